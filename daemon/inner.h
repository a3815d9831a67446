/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * inner.h - the IP packets inside the tunnel: reading their headers and answering them with ICMP errors.
 * Used by user_egress.c (what applications send) and user_ingress.c (what peers send). Pure, no state.
 */
#ifndef NTMD_INNER_H
#define NTMD_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

#define NTMD_INNER_ERROR_MAX 1280 /* longest ICMP error built: bytes (RFC 4443, section 2.4 (c)) */
#define NTMD_INNER_MTU_MIN4 68 /* smallest MTU of IPv4: bytes (RFC 791) */
#define NTMD_INNER_MTU_MIN6 1280 /* of IPv6 (RFC 8200) */

struct ntmd_inner {
	unsigned version; /* 4 or 6 */
	unsigned header_len; /* of the fixed header and IPv4's options: bytes */
	struct ntm_addr source, dest;
};

/*
 * Reads the IP header of a packet of exactly len bytes. 0, or -NTM_DROP_INNER_SHORT (too short, lengths that
 * do not fit each other, bytes behind the packet), -NTM_DROP_INNER_VERSION, -NTM_DROP_INNER_SOURCE or
 * -NTM_DROP_INNER_DEST (an IPv4-mapped address in an IPv6 header: it would be taken for an IPv4 one).
 */
int ntmd_inner_parse(struct ntmd_inner *ret_inner, const uint8_t *packet, size_t len);

/*
 * Brings the congestion mark of the outer packet's TOS byte into the inner packet, which parses (RFC 6040,
 * figure 4). 0, or -NTM_DROP_ECN: it is marked, and its flow would not understand: a mark is a drop there.
 */
int ntmd_inner_ecn(uint8_t *packet, uint8_t outer);

/* Whether packets to this address never leave the host or its link: unspecified, loopback, link-local,
 * multicast, broadcast. They get no tunnel. */
bool ntmd_inner_is_local(const struct ntm_addr *addr);

/*
 * ICMP errors about a packet, from its destination to its source. Return the length, or 0 where none may be
 * sent: about a packet that does not parse, an ICMP error, a later fragment, or one to or from a group (RFC
 * 1122, section 3.2.2; RFC 4443, section 2.4 (e)).
 */
size_t ntmd_inner_unreachable_build(uint8_t out[NTMD_INNER_ERROR_MAX], const uint8_t *packet, size_t len);
/* mtu: largest inner packet that passes, bytes; raised to the family's smallest. */
size_t ntmd_inner_too_big_build(uint8_t out[NTMD_INNER_ERROR_MAX], const uint8_t *packet, size_t len,
				unsigned mtu);

/* The next usual MTU below len, for when nobody knows the real one (RFC 1191, section 7.1). */
unsigned ntmd_inner_mtu_guess(size_t len);

#endif
