/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead.h - sealing and opening with one key: ChaCha20-Poly1305 (RFC 8439) or AES-256-GCM.
 * The nonce is 4 zero bytes and the counter as 64-bit little endian (doc/PROTOCOL.md, "Two lanes").
 */
#ifndef NTM_LIB_AEAD_H
#define NTM_LIB_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

/*
 * One key. What it takes to seal, and to open, is made when it is first needed: a key that only seals has no
 * context for opening. One thread at a time may use it. Zeroed memory is "no key".
 */
struct ntm_aead {
	const struct ntm_aead_impl *impl; /* NULL: no key */
	void *seal_ctx, *open_ctx; /* about 1 KiB each, NULL until needed */
	uint8_t key[NTM_KEY_LEN];
	enum ntm_cipher cipher;
};

/* 0, or -ENOTSUP for an unknown cipher. */
int ntm_aead_init(struct ntm_aead *aead, enum ntm_cipher cipher, const uint8_t key[NTM_KEY_LEN]);

/* Wipes the key; harmless on zeroed or cleared memory. */
void ntm_aead_clear(struct ntm_aead *aead);

/* Gives back the contexts of a key that is idle; the next packet makes them again (0.2 to 0.6 us). */
void ntm_aead_rest(struct ntm_aead *aead);

/*
 * out := ciphertext (len bytes) and tag (16 bytes). out may be text itself (in place) or not overlap it.
 * Aborts without a key: nothing may leave unsealed.
 */
void ntm_aead_seal(struct ntm_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const void *text,
		   size_t len, void *out);

/*
 * out := plaintext (len - 16 bytes). Returns that length, -EBADMSG if the tag is wrong (out is then
 * undefined and must not be used), -EINVAL if len < 16. The tag is compared in constant time. Without a key
 * nothing opens: -EBADMSG. out may be sealed itself (in place; a wrong packet is then lost) or not overlap
 * it.
 */
int ntm_aead_open(struct ntm_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const void *sealed,
		  size_t len, void *out);

/* For handshakes: one packet with a 32-byte ChaCha20-Poly1305 key that is used once. Same results. */
void ntm_aead_seal_once(const uint8_t key[NTM_KEY_LEN], uint64_t counter, const void *ad, size_t ad_len,
			const void *text, size_t len, void *out);
int ntm_aead_open_once(const uint8_t key[NTM_KEY_LEN], uint64_t counter, const void *ad, size_t ad_len,
		       const void *sealed, size_t len, void *out);

const char *ntm_aead_name(enum ntm_cipher cipher); /* "chacha20-poly1305", "aes-256-gcm" */
/* What computes it here: "libipsec-mb", "openssl" */
const char *ntm_aead_implementation(enum ntm_cipher cipher);

#endif
