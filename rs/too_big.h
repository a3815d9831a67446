/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * too_big.h - tells a sender by ICMP that its packet does not fit the interface it should leave by: it grew
 * when it crossed from IPv4 to IPv6, or that link is narrow. From user_lane.c, in any thread.
 */
#ifndef NTM_RS_TOO_BIG_H
#define NTM_RS_TOO_BIG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "udp.h"

/* Bytes of the packet (UDP payload) that are quoted: the ends look for the Path ID */
#define RS_TOO_BIG_QUOTE 64
#define RS_TOO_BIG_MAX (8 + 40 + 8 + RS_TOO_BIG_QUOTE)

struct rs;

/* Without the right to raw sockets (CAP_NET_RAW) nobody is told: the ends find out by themselves, some
 * seconds later. */
void rs_too_big_open(struct rs *rs);
void rs_too_big_close(struct rs *rs);

/*
 * packet came from `from`, and was too large for the way to `to`. At a limited rate, never more than came.
 * from without a port: nobody is told.
 */
void rs_too_big_tell(struct rs *rs, const struct ntm_flow *from, const struct sockaddr *to,
		     const uint8_t *packet, size_t len);

/*
 * The ICMP or ICMPv6 message, from its type on (IPv6: the checksum is left to the kernel): sender sent packet
 * to local, in its family, and IP packets of mtu bytes would have passed. Returns its length.
 */
size_t rs_too_big_build(uint8_t out[RS_TOO_BIG_MAX], const struct ntm_endpoint *sender,
			const struct ntm_endpoint *local, const uint8_t *packet, size_t len, unsigned mtu);

#endif
