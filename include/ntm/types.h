/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * types.h - the nouns that every message, map and daemon shares.
 *
 * Included by BPF programs (after vmlinux.h) and by user space alike, so only fixed-size kernel types
 * are used here.  Numbers in these structures are in host byte order; the wire forms are in header.h
 * and wire.h, and only the codecs in lib/ convert.
 */
#ifndef NTM_TYPES_H
#define NTM_TYPES_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define NTM_KEY_LEN 32 /* X25519 keys, symmetric keys, BLAKE2s digests, the common key CK: bytes */
#define NTM_TAG_LEN 16 /* AEAD tag: bytes */
#define NTM_MAC_LEN 16 /* truncated keyed BLAKE2s: mac1, mac2, bind MAC, reset token: bytes */
#define NTM_FQDN_MAX 253 /* longest name in text form, without the closing dot: bytes */
#define NTM_TEXT_MAX 160 /* longest text for people in a message: bytes */

/* An address without a port. IPv4 is written as ::ffff:a.b.c.d, so that one comparison serves both. */
struct ntm_addr {
	__u8 b[16];
};

/* Where UDP packets are sent to or come from. All-zero means "none". */
struct ntm_endpoint {
	struct ntm_addr addr;
	__u16 port; /* host byte order */
};

/* The two ends of a path; fixed by the Route Direction for the life of the Path ID. */
enum ntm_side {
	NTM_SIDE_REQUESTER = 0, /* sends all Noise initiations */
	NTM_SIDE_OTHER = 1,
};

/* The two lanes of a path: see doc/PROTOCOL.md, "Two lanes". */
enum ntm_lane {
	NTM_LANE_INLINE = 0, /* ChaCha20-Poly1305, the kernel's where BPF is attached */
	NTM_LANE_BULK = 1, /* the fastest AEAD both ends have, user space */
	NTM_LANES = 2,
};

/*
 * Ciphers of the bulk lane. The numbers are bit positions in NTM_FIELD_CIPHERS: allowed; and from
 * NTM_CIPHERS_SLOW_SHIFT on: allowed, but another one is faster here.
 */
enum ntm_cipher {
	NTM_CIPHER_CHACHA20_POLY1305 = 0,
	NTM_CIPHER_AES_256_GCM = 1,
	NTM_CIPHERS = 2,
};
#define NTM_CIPHERS_SLOW_SHIFT 16

/* Ways from one node to another, best first where several work (protocol.md's direction table). */
enum ntm_route_kind {
	NTM_ROUTE_NONE = 0,
	NTM_ROUTE_DIRECT6 = 1, /* both have global IPv6 */
	NTM_ROUTE_DIRECT4 = 2, /* both have global IPv4 */
	NTM_ROUTE_PRIVATE4 = 3, /* both behind the same NAT: private addresses */
	NTM_ROUTE_NAT4 = 4, /* one behind a NAT, which sends first */
	NTM_ROUTE_PUNCH4 = 5, /* both behind different NATs: hole punching */
	NTM_ROUTE_REFLEXIVE = 6, /* an address the peer's authenticated packets came from */
	NTM_ROUTE_RELAY = 7, /* by the RS */
	NTM_ROUTE_KINDS = 8,
};

/* How a node's NAT maps its one socket towards different servers (RFC 4787, section 4.1). */
enum ntm_nat {
	NTM_NAT_UNKNOWN = 0,
	NTM_NAT_NONE = 1, /* the address seen from outside is one of the node's own */
	NTM_NAT_EASY = 2, /* endpoint-independent mapping: the same outside port for every destination */
	NTM_NAT_HARD = 3, /* the outside port depends on the destination: no hole punching */
};

#endif
