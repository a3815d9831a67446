/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead.c - sealing and opening data packets with the best implementation there is: aead_ipsec_mb.c, else
 * aead_openssl.c.
 * Before it: crypto.c (key derivation); cipher.c (which cipher is fast here); behind it: whoever sends and
 * receives data packets. Handshakes and sessions use aead_openssl.c directly (ntm_aead_seal_once()).
 *
 * A context, which is a key set up for a direction, has about 1 KiB. It is made when the first packet needs
 * it: most lanes of most tunnels never see one. From then on a packet costs its nonce, not a key schedule.
 */
#include <errno.h>
#include <string.h>

#include "aead.h"
#include "aead_internal.h"
#include "crypto.h"

static const char *const names[NTM_CIPHERS] = {
	[NTM_CIPHER_CHACHA20_POLY1305] = "chacha20-poly1305",
	[NTM_CIPHER_AES_256_GCM] = "aes-256-gcm",
};

const struct ntm_aead_impl *ntm_aead_impl_get(enum ntm_cipher cipher, unsigned int n)
{
	const struct ntm_aead_impl *list[3] = {ntm_aead_ipsec_mb(cipher), &ntm_aead_openssl, NULL};

	if (!list[0])
		n++;
	return n < 3 ? list[n] : NULL;
}

void ntm_aead_init_by(struct ntm_aead *aead, enum ntm_cipher cipher, const struct ntm_aead_impl *impl,
		      const uint8_t key[NTM_KEY_LEN])
{
	memset(aead, 0, sizeof(*aead));
	aead->impl = impl;
	aead->cipher = cipher;
	memcpy(aead->key, key, NTM_KEY_LEN);
}

int ntm_aead_init(struct ntm_aead *aead, enum ntm_cipher cipher, const uint8_t key[NTM_KEY_LEN])
{
	if ((unsigned int)cipher >= NTM_CIPHERS)
		return -ENOTSUP;
	ntm_aead_init_by(aead, cipher, ntm_aead_impl_get(cipher, 0), key);
	return 0;
}

void ntm_aead_rest(struct ntm_aead *aead)
{
	if (!aead->impl)
		return;
	aead->impl->ctx_free(aead->seal_ctx);
	aead->impl->ctx_free(aead->open_ctx);
	aead->seal_ctx = aead->open_ctx = NULL;
}

void ntm_aead_clear(struct ntm_aead *aead)
{
	ntm_aead_rest(aead);
	ntm_crypto_wipe(aead, sizeof(*aead));
}

void ntm_aead_seal_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			 size_t ad_len, const void *text, size_t len, void *out)
{
	if (!aead->impl)
		ntm_crypto_broken("sealing without a key");
	if (!aead->seal_ctx)
		aead->seal_ctx = aead->impl->ctx_make(aead->cipher, aead->key, true);
	aead->impl->seal(aead->seal_ctx, nonce, ad, ad_len, text, len, out);
}

int ntm_aead_open_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			size_t ad_len, const void *sealed, size_t len, void *out)
{
	if (len < NTM_TAG_LEN)
		return -EINVAL;
	if (!aead->impl)
		return -EBADMSG;
	if (!aead->open_ctx)
		aead->open_ctx = aead->impl->ctx_make(aead->cipher, aead->key, false);
	return aead->impl->open(aead->open_ctx, nonce, ad, ad_len, sealed, len, out);
}

void ntm_aead_seal(struct ntm_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const void *text,
		   size_t len, void *out)
{
	uint8_t nonce[NTM_AEAD_NONCE_LEN];

	ntm_aead_nonce(nonce, counter);
	ntm_aead_seal_nonce(aead, nonce, ad, ad_len, text, len, out);
}

int ntm_aead_open(struct ntm_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const void *sealed,
		  size_t len, void *out)
{
	uint8_t nonce[NTM_AEAD_NONCE_LEN];

	ntm_aead_nonce(nonce, counter);
	return ntm_aead_open_nonce(aead, nonce, ad, ad_len, sealed, len, out);
}

const char *ntm_aead_name(enum ntm_cipher cipher)
{
	return (unsigned int)cipher < NTM_CIPHERS ? names[cipher] : "unknown";
}

const char *ntm_aead_implementation(enum ntm_cipher cipher)
{
	return (unsigned int)cipher < NTM_CIPHERS ? ntm_aead_impl_get(cipher, 0)->name : "none";
}
