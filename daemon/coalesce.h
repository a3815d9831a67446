/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * coalesce.h - joins inner packets that follow on each other into super-packets, so that the TUN device and
 * the stack behind it are walked through once for many: what segment.h does at the sender, undone. Pure; used
 * by user_ingress.c between opening and the TUN.
 *
 * Two packets are joined only if cutting the super-packet again gives exactly these two. One exception: UDP
 * datagrams over IPv4 that must not be fragmented and all carry one ID are joined, though the kernel would
 * count it up; in such datagrams it means nothing (RFC 6864).
 */
#ifndef NTMD_COALESCE_H
#define NTMD_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "daemon/vnet.h"

#define NTMD_COALESCE_FLOWS 8 /* gathered at the same time */
#define NTMD_COALESCE_SEGMENTS 64 /* joined into one: what the kernel takes of UDP */
#define NTMD_COALESCE_HEADER_MAX 100 /* IPv6 and the longest TCP header */

/* One flow's packets so far. */
struct ntmd_coalesce_flow {
	unsigned count; /* 0: unused */
	uint64_t age; /* of the first packet: which flow goes first if there are too many */
	bool is4, tcp, summed; /* summed: the first packet's checksum was verified */
	bool same_id; /* UDP: all have one ID */
	unsigned transport, header_len; /* where the transport header begins, the payload begins */
	size_t size, len; /* payload of the first packet; length of what it becomes: bytes */
	uint32_t seq; /* TCP: of the next packet */
	uint16_t id; /* IPv4: of the last packet */
	uint8_t flags; /* TCP: FIN and PSH of the last packet */
	struct virtio_net_hdr vnet;
	struct iovec part[1 + NTMD_COALESCE_SEGMENTS]; /* vnet header, first packet, payloads of the others */
};

struct ntmd_coalesce {
	bool udp; /* the device takes UDP super-packets */
	/* part[0] is the vnet header; packets: how many were joined. */
	void (*write)(void *ctx, const struct iovec *part, int parts, unsigned packets);
	void *ctx;
	uint64_t age;
	struct ntmd_coalesce_flow *last; /* used last */
	struct ntmd_coalesce_flow flow[NTMD_COALESCE_FLOWS];
};

/*
 * Takes a packet whose IP lengths were found right (ntmd_inner_parse). It must stay where it is until flush,
 * and may be written to. Packets of one flow (addresses, protocol, ports) are written in the order they came.
 */
void ntmd_coalesce_add(struct ntmd_coalesce *coalesce, uint8_t *packet, size_t len);
void ntmd_coalesce_flush(struct ntmd_coalesce *coalesce); /* writes what is gathered */

#endif
