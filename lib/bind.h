/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bind.h - Relay Bind: how a node binds its leg of a relayed path at the RS. The four packets are all
 * struct ntm_bind (header.h); this builds and checks them, nothing here sends or remembers.
 * Node: daemon/relay_bind.c. RS: rs/relay.c.
 *
 *	node                                                          RS
 *	REQUEST   counter t1            ->                            source becomes the leg's candidate
 *	                                <- CHALLENGE counter t1, time and challenge, source seen
 *	ECHO      counter t2 > t1, time and challenge repeated ->     the leg moves to this source
 *	                                <- ACK       counter t2, source seen, reset token
 *	KEEPALIVE counter t3 > t2       ->                            answered by ACK t3, or by CHALLENGE t3
 *
 * An answer repeats the counter of what it answers, and so is matched and its round trip measured. The node
 * takes a new counter (ntm_loop_real_us()) for every transmission, repeated ones too: an RS drops what is not
 * newer than the last of its kind.
 *
 * The leg key is the only thing the RS gets from CK (by Relay Direction), so it can authenticate a leg but
 * not read the tunnel. Kinds 0, 2 and 4 come only from nodes, 1 and 3 only from the RS: the kind under the
 * MAC keeps a reflected packet from being taken for an answer.
 */
#ifndef NTM_LIB_BIND_H
#define NTM_LIB_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/header.h>
#include <ntm/limits.h>
#include <ntm/types.h>

/* The leg key: first output of HKDF(CK, "leg" || Path ID, 8 bytes big endian || side, 1 byte). */
void ntm_bind_leg_key(uint8_t out[NTM_KEY_LEN], const uint8_t ck[NTM_KEY_LEN], uint64_t path_id,
		      uint8_t side);

/* ---- both ends: before anything of a packet is believed */

enum ntm_bind_sender { NTM_BIND_FROM_NODE, NTM_BIND_FROM_RS };

/*
 * The form of a packet whose type is NTM_TYPE_RELAY_BIND: its length, a kind this sender may send, a side.
 * 0 and ret_bind (which points into packet), or -NTM_DROP_SHORT, _LONG, _FIELD_VALUE. Nothing is authentic
 * yet.
 */
int ntm_bind_parse(const struct ntm_bind **ret_bind, const uint8_t *packet, size_t len,
		   enum ntm_bind_sender sender);

/* Whether the MAC is right; in constant time. */
bool ntm_bind_verify(const struct ntm_bind *bind, const uint8_t leg_key[NTM_KEY_LEN]);

/* Where the RS saw the node's packet come from; of a CHALLENGE or ACK. */
void ntm_bind_observed(const struct ntm_bind *bind, struct ntm_endpoint *ret_observed);

/* ---- node: complete packets, MAC included */

/* kind: NTM_BIND_REQUEST or NTM_BIND_KEEPALIVE. counter: CLOCK_REALTIME, microseconds, always growing. */
void ntm_bind_request_build(struct ntm_bind *out, enum ntm_bind_kind kind, uint64_t path_id, uint8_t side,
			    uint64_t counter, const uint8_t leg_key[NTM_KEY_LEN]);

/* Answers a verified challenge; sent from where the challenge arrived. */
void ntm_bind_echo_build(struct ntm_bind *out, const struct ntm_bind *challenge, uint64_t counter,
			 const uint8_t leg_key[NTM_KEY_LEN]);

/* The reset token in an ACK (NTM_MAC_LEN bytes): the RS's, for this Path ID. */
static inline const uint8_t *ntm_bind_reset_token(const struct ntm_bind *ack)
{
	return ack->challenge;
}

/* ---- RS: answers to a verified packet `to`; out may be *to */

/*
 * A challenge is stateless: keyed BLAKE2s(secret of the RS, source address 16 || port 2 || Path ID 8 || side
 * 1 || time 4), big endian. now_s: the RS's boot-time clock, seconds.
 */
void ntm_bind_challenge_build(struct ntm_bind *out, const struct ntm_bind *to,
			      const struct ntm_endpoint *source, uint32_t now_s,
			      const uint8_t secret[NTM_KEY_LEN], const uint8_t leg_key[NTM_KEY_LEN]);

/* Whether an ECHO repeats a challenge made for exactly this source at most NTM_BIND_CHALLENGE_S ago. */
bool ntm_bind_challenge_ok(const struct ntm_bind *echo, const struct ntm_endpoint *source, uint32_t now_s,
			   const uint8_t secret[NTM_KEY_LEN]);

void ntm_bind_ack_build(struct ntm_bind *out, const struct ntm_bind *to, const struct ntm_endpoint *source,
			const uint8_t reset_token[NTM_MAC_LEN], const uint8_t leg_key[NTM_KEY_LEN]);

#endif
