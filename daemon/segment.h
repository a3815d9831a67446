/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * segment.h - cuts what the TUN device gave as one into the packets that go into the tunnel, with complete
 * checksums: TCP (TSO) and UDP (USO) segments, or the packet itself. Pure; used by user_egress.c, undone at
 * the far end by coalesce.h.
 */
#ifndef NTMD_SEGMENT_H
#define NTMD_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/vnet.h"

#define NTMD_SEGMENT_HEADER_MAX 256 /* IP header, extension headers and transport header of a segment */

struct ntmd_segments {
	uint8_t *packet;
	size_t len;
	size_t at; /* payload not cut yet begins here */
	size_t size; /* payload of a segment; 0: the packet stays whole */
	unsigned transport, header_len; /* where the transport header begins, the payload begins */
	bool tcp, is4;
	unsigned index; /* of the next segment */
	uint64_t sum; /* pseudo-header without its length */
	uint64_t ip_sum; /* IPv4 header without what differs between segments */
	uint8_t header[NTMD_SEGMENT_HEADER_MAX]; /* as the packet has it: cutting overwrites it */
};

/*
 * Begins with a packet (IP header first) whose IP lengths were found right (ntmd_inner_parse). 0, or
 * -NTM_DROP_INNER_SHORT: the vnet header does not fit the packet. The packet is written to: a checksum that
 * is left to do is done.
 */
int ntmd_segment_begin(struct ntmd_segments *ret_segments, const struct virtio_net_hdr *vnet, uint8_t *packet,
		       size_t len);

/*
 * Before the first packet: TCP segments are cut so small that no packet is longer than mtu bytes (it need not
 * follow what the device asks for: TCP does not see how its stream was cut). Nothing else is made smaller.
 */
void ntmd_segment_limit(struct ntmd_segments *segments, size_t mtu);

/*
 * The next packet, complete, or NULL. Its header is written just before its payload where that lies, over the
 * payload of the packet before it: the earlier one must be done with.
 */
uint8_t *ntmd_segment_next(struct ntmd_segments *segments, size_t *ret_len);

#endif
