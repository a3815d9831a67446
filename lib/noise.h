/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * noise.h - Noise_IK_25519_ChaChaPoly_BLAKE2s (sessions with a DC or RS) and
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (tunnels; the psk is the common key CK).
 * Noise revision 34. The caller builds packets around it: session_handshake.c, daemon/tunnel.c.
 *
 *	IK:      <- s   ...   -> e, es, s, ss, payload    <- e, ee, se [, psk], payload
 */
#ifndef NTM_LIB_NOISE_H
#define NTM_LIB_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

#define NTM_NOISE_MSG1_OVERHEAD (32 + 48 + 16) /* e, s + tag, tag of the payload */
#define NTM_NOISE_MSG2_OVERHEAD (32 + 16)

struct ntm_noise {
	bool initiator;
	bool has_psk;
	bool has_key; /* k is set: no message is sealed or opened before */
	uint64_t nonce;
	uint8_t h[NTM_KEY_LEN], ck[NTM_KEY_LEN], k[NTM_KEY_LEN];
	uint8_t psk[NTM_KEY_LEN];
	uint8_t s[NTM_KEY_LEN], s_pub[NTM_KEY_LEN]; /* own static */
	uint8_t e[NTM_KEY_LEN], e_pub[NTM_KEY_LEN]; /* own ephemeral */
	uint8_t rs[NTM_KEY_LEN], re[NTM_KEY_LEN]; /* the other's static and ephemeral, public */
};

/*
 * Starts a handshake. psk: NULL for IK, 32 bytes for IKpsk2. public_key: that of private_key, or NULL: it is
 * worked out, which costs as much as a step of the handshake. remote_static: the responder's key for the
 * initiator; NULL for the responder, who learns it from message 1 (noise.rs).
 */
void ntm_noise_init(struct ntm_noise *noise, bool initiator, const uint8_t *psk, const void *prologue,
		    size_t prologue_len, const uint8_t private_key[NTM_KEY_LEN], const uint8_t *public_key,
		    const uint8_t *remote_static);

/* For test vectors: uses this ephemeral key instead of a random one. */
void ntm_noise_set_ephemeral(struct ntm_noise *noise, const uint8_t private_key[NTM_KEY_LEN]);

/*
 * Message 1: out gets NTM_NOISE_MSG1_OVERHEAD + len bytes and must not overlap payload; returns that.
 * -EINVAL, and nothing is changed or written: the remote key is of small order, or the message is longer than
 * 65535.
 */
int ntm_noise_msg1_build(struct ntm_noise *noise, const void *payload, size_t len, void *out);

/*
 * Opens message 1; ret_payload gets len - NTM_NOISE_MSG1_OVERHEAD bytes; returns that. noise->rs is then
 * the initiator's static key, authenticated: whether it is welcome is for the caller to say. -EBADMSG: does
 * not open (a key of small order too); -EINVAL: too short, or longer than 65535. ret_payload must not overlap
 * msg; it is zero after -EBADMSG.
 */
int ntm_noise_msg1_parse(struct ntm_noise *noise, const void *msg, size_t len, void *ret_payload);

/* The same for message 2. A failed parse leaves the state as it was: a forged answer changes nothing. */
int ntm_noise_msg2_build(struct ntm_noise *noise, const void *payload, size_t len, void *out);
int ntm_noise_msg2_parse(struct ntm_noise *noise, const void *msg, size_t len, void *ret_payload);

/*
 * After message 2: the two transport keys, by direction, and the handshake hash; then wipes the state.
 * ret_hash may be NULL.
 */
void ntm_noise_split(struct ntm_noise *noise, uint8_t ret_send[NTM_KEY_LEN], uint8_t ret_receive[NTM_KEY_LEN],
		     uint8_t *ret_hash);

void ntm_noise_wipe(struct ntm_noise *noise);

#endif
