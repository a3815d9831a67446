/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead_internal.h - what is behind aead.h: the implementations, and the nonce given as it is. For aead*.c,
 * and for tests and benchmarks, which compare implementations and use published vectors, whose nonces are no
 * counters.
 */
#ifndef NTM_LIB_AEAD_INTERNAL_H
#define NTM_LIB_AEAD_INTERNAL_H

#include <stdbool.h>

#include "aead.h"

#define NTM_AEAD_NONCE_LEN 12 /* bytes */

/*
 * One library. A context is a key set up for one direction. make and seal abort where they cannot work.
 * open() gets at least a tag; the results are those of ntm_aead_open().
 */
struct ntm_aead_impl {
	const char *name;
	void *(*ctx_make)(enum ntm_cipher cipher, const uint8_t key[NTM_KEY_LEN], bool seal);
	void (*ctx_free)(void *ctx); /* wipes; NULL is harmless */
	void (*seal)(void *ctx, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad, size_t ad_len,
		     const void *text, size_t len, void *out);
	int (*open)(void *ctx, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad, size_t ad_len,
		    const void *sealed, size_t len, void *out);
};

extern const struct ntm_aead_impl ntm_aead_openssl; /* aead_openssl.c */
/* NULL: not built in, or not for this CPU or cipher. Decided once. aead_ipsec_mb.c */
const struct ntm_aead_impl *ntm_aead_ipsec_mb(enum ntm_cipher cipher);

/* The implementations of a cipher that work here, best first: n = 0, 1 ... until NULL. */
const struct ntm_aead_impl *ntm_aead_impl_get(enum ntm_cipher cipher, unsigned int n);

/* As ntm_aead_init() with an implementation from ntm_aead_impl_get(). */
void ntm_aead_init_by(struct ntm_aead *aead, enum ntm_cipher cipher, const struct ntm_aead_impl *impl,
		      const uint8_t key[NTM_KEY_LEN]);

static inline void ntm_aead_nonce(uint8_t nonce[NTM_AEAD_NONCE_LEN], uint64_t counter)
{
	for (int i = 0; i < 4; i++)
		nonce[i] = 0;
	for (int i = 4; i < NTM_AEAD_NONCE_LEN; i++, counter >>= 8)
		nonce[i] = (uint8_t)counter;
}

/* As ntm_aead_seal() and ntm_aead_open(), which see. */
void ntm_aead_seal_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			 size_t ad_len, const void *text, size_t len, void *out);
int ntm_aead_open_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			size_t ad_len, const void *sealed, size_t len, void *out);

#endif
