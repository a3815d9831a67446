/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead_internal.h - aead.h with the nonce given as it is; for aead.c, and for published test vectors, whose
 * nonces are no counters.
 */
#ifndef NTM_LIB_AEAD_INTERNAL_H
#define NTM_LIB_AEAD_INTERNAL_H

#include "aead.h"

#define NTM_AEAD_NONCE_LEN 12 /* bytes */

/* As ntm_aead_seal() and ntm_aead_open(), which see. */
void ntm_aead_seal_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			 size_t ad_len, const void *text, size_t len, void *out);
int ntm_aead_open_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			size_t ad_len, const void *sealed, size_t len, void *out);

#endif
