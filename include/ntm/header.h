/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * header.h - the 16 bytes every packet begins with, and the packets that have a fixed form.
 * doc/PROTOCOL.md, "Every packet". Bodies made of fields are in wire.h.
 *
 *  0       1                                   8                                16
 * +-------+-----------------------------------+----------------------------------+
 * | type  | counter, or transaction (56 bit)  | Path ID, or session ID (64 bit)  |
 * +-------+-----------------------------------+----------------------------------+
 *
 * Integers are big endian. The header is the associated data of every AEAD.
 */
#ifndef NTM_HEADER_H
#define NTM_HEADER_H

#include "types.h"

#define NTM_HEADER_LEN 16
#define NTM_COUNTER_MASK ((1ULL << 56) - 1)

struct ntm_header {
	__u8 type;
	__u8 counter[7];
	__u8 id[8];
};
_Static_assert(sizeof(struct ntm_header) == NTM_HEADER_LEN, "the header is 16 bytes");

/* Byte 0. */
enum ntm_type {
	NTM_TYPE_SESSION_INIT = 0x01, /* Noise IK message 1; ID: the sender's session ID */
	NTM_TYPE_SESSION_RESPONSE = 0x02, /* Noise IK message 2; ID: the receiver's session ID */
	NTM_TYPE_COOKIE = 0x03, /* answers a handshake under load; transaction and ID of that handshake */
	NTM_TYPE_SESSION = 0x04, /* sealed control message; ID: the receiver's session ID */
	NTM_TYPE_TUNNEL_REQUEST = 0x05, /* Noise IKpsk2 message 1; Path ID */
	NTM_TYPE_TUNNEL_RESPONSE = 0x06, /* Noise IKpsk2 message 2; transaction of message 1, Path ID */
	NTM_TYPE_TUNNEL_PROBE = 0x07, /* side 1 asks side 0 for a Tunnel Request; MAC under CK */
	NTM_TYPE_RELAY_BIND = 0x08, /* struct ntm_bind; Path ID; ends at the RS */
	NTM_TYPE_ECHO = 0x09, /* struct ntm_echo; transaction; ends at a DC or RS */
	NTM_TYPE_RESET = 0x0a, /* struct ntm_reset; the ID nobody knew */
	NTM_TYPE_PATH = 0x40, /* 0x40..0x4f: sealed path control; D and K bits below, L is 0 */
	NTM_TYPE_DATA = 0x80, /* 0x80..0x8f: data; L, D and K bits below */
};

/* The low bits of NTM_TYPE_PATH and NTM_TYPE_DATA: 0000 KK D L. */
#define NTM_TYPE_CLASS 0xf0
#define NTM_TYPE_LANE_BIT 0x01 /* L: enum ntm_lane */
#define NTM_TYPE_SIDE_BIT 0x02 /* D: enum ntm_side of the sender */
#define NTM_TYPE_PHASE_SHIFT 2 /* K: key phase, 2 bits */
#define NTM_TYPE_PHASES 4
#define NTM_TYPE_PHASE(type) (((type) >> NTM_TYPE_PHASE_SHIFT) & 3)
#define NTM_TYPE_SIDE(type) (((type) >> 1) & 1)
#define NTM_TYPE_LANE(type) ((type) & NTM_TYPE_LANE_BIT)

/*
 * Handshake packets:  header | e 32 | s 32 + tag 16 | payload n + tag 16 | mac1 16 | mac2 16   (message 1)
 *                     header | e 32 | payload n + tag 16 | mac1 16 | mac2 16                   (message 2)
 * mac1 and mac2 cover everything before them; mac2 is zero unless a cookie was asked for.
 */
#define NTM_HANDSHAKE_MACS (2 * NTM_MAC_LEN)
#define NTM_HANDSHAKE1_MIN (NTM_HEADER_LEN + 32 + 48 + 16 + NTM_HANDSHAKE_MACS)
#define NTM_HANDSHAKE2_MIN (NTM_HEADER_LEN + 32 + 16 + NTM_HANDSHAKE_MACS)

/* NTM_TYPE_COOKIE */
struct ntm_cookie_packet {
	struct ntm_header h;
	__u8 cookie[NTM_MAC_LEN];
};

/* NTM_TYPE_TUNNEL_PROBE; counter: CLOCK_REALTIME in microseconds, always growing */
struct ntm_probe {
	struct ntm_header h;
	__u8 mac[NTM_MAC_LEN]; /* keyed BLAKE2s over the header, key HKDF(CK, "probe") */
};

/* NTM_TYPE_RESET */
struct ntm_reset {
	struct ntm_header h; /* counter 0 */
	__u8 token[NTM_MAC_LEN];
};

/* NTM_TYPE_ECHO: request and answer have one length, so nothing is amplified. */
struct ntm_echo {
	struct ntm_header h; /* ID: 0 request, 1 answer; transaction random, repeated in the answer */
	__u8 addr[16]; /* answer: where the request came from; request: zero */
	__u8 port[2];
	__u8 zero[6];
};

/* NTM_TYPE_RELAY_BIND: the four packets of a bind have one length. */
enum ntm_bind_kind {
	NTM_BIND_REQUEST = 0, /* node -> RS */
	NTM_BIND_CHALLENGE = 1, /* RS -> node: challenge filled in */
	NTM_BIND_ECHO = 2, /* node -> RS: challenge repeated; the leg moves to where this came from */
	NTM_BIND_ACK = 3, /* RS -> node: bound; observed address, reset token in `challenge` */
	NTM_BIND_KEEPALIVE = 4, /* node -> RS: answered by NTM_BIND_ACK if the source is the bound one,
				 * else by NTM_BIND_CHALLENGE */
};

struct ntm_bind {
	struct ntm_header h; /* counter: CLOCK_REALTIME in microseconds, always growing per leg */
	__u8 kind; /* enum ntm_bind_kind */
	__u8 side; /* which leg: enum ntm_side */
	__u8 port[2]; /* RS -> node: the source port seen */
	__u8 time[4]; /* challenge: when it was made, seconds of the RS's boot-time clock */
	__u8 addr[16]; /* RS -> node: the source address seen */
	__u8 challenge[NTM_MAC_LEN];
	__u8 mac[NTM_MAC_LEN]; /* keyed BLAKE2s over all before, key: leg key of that side. In a
				* challenge too, so that nobody off the path can forge one. */
};
_Static_assert(sizeof(struct ntm_bind) == 72, "the four packets of a bind have one length");
_Static_assert(sizeof(struct ntm_echo) == 40, "echo request and answer have one length");
_Static_assert(sizeof(struct ntm_reset) == 32, "a reset is no longer than what it answers");

static inline __u64 ntm_header_counter(const struct ntm_header *h)
{
	__u64 v = 0;

	for (int i = 0; i < 7; i++)
		v = v << 8 | h->counter[i];
	return v;
}

static inline __u64 ntm_header_id(const struct ntm_header *h)
{
	__u64 v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | h->id[i];
	return v;
}

static inline void ntm_header_set(struct ntm_header *h, __u8 type, __u64 counter, __u64 id)
{
	h->type = type;
	for (int i = 6; i >= 0; i--, counter >>= 8)
		h->counter[i] = (__u8)counter;
	for (int i = 7; i >= 0; i--, id >>= 8)
		h->id[i] = (__u8)id;
}

#endif
