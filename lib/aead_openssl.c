/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead_openssl.c - ChaCha20-Poly1305 and AES-256-GCM by libcrypto, on every machine.
 * In front of it: aead.c (data packets); noise.c, session.c and path control for single packets.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "aead_internal.h"
#include "crypto.h"

static const char *const algorithm[NTM_CIPHERS] = {
	[NTM_CIPHER_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
	[NTM_CIPHER_AES_256_GCM] = "AES-256-GCM",
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *fetched[NTM_CIPHERS];

static void fetch(void)
{
	for (int i = 0; i < NTM_CIPHERS; i++) {
		fetched[i] = EVP_CIPHER_fetch(NULL, algorithm[i], NULL);
		if (!fetched[i])
			ntm_crypto_broken(algorithm[i]);
	}
}

static void *ctx_make(enum ntm_cipher cipher, const uint8_t key[NTM_KEY_LEN], bool seal)
{
	EVP_CIPHER_CTX *ctx;

	pthread_once(&once, fetch);
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx || EVP_CipherInit_ex2(ctx, fetched[cipher], key, NULL, seal, NULL) != 1)
		ntm_crypto_broken(algorithm[cipher]);
	return ctx;
}

static void ctx_free(void *ctx)
{
	EVP_CIPHER_CTX_free(ctx); /* libcrypto wipes what it frees of a cipher */
}

static void seal_by(void *ctx, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad, size_t ad_len,
		    const void *text, size_t len, void *out)
{
	uint8_t *p = out;
	int n = 0, last = 0;
	bool ok;

	ok = ad_len <= INT_MAX && len <= INT_MAX - NTM_TAG_LEN &&
	     EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1;
	if (ad_len)
		ok = ok && EVP_EncryptUpdate(ctx, NULL, &n, ad, (int)ad_len) == 1;
	n = 0;
	if (len)
		ok = ok && EVP_EncryptUpdate(ctx, p, &n, text, (int)len) == 1;
	if (!ok || EVP_EncryptFinal_ex(ctx, p + n, &last) != 1 || (size_t)(n + last) != len ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, NTM_TAG_LEN, p + len) != 1)
		ntm_crypto_broken("sealing");
}

static int open_by(void *ctx, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad, size_t ad_len,
		   const void *sealed, size_t len, void *out)
{
	uint8_t tag[NTM_TAG_LEN], *p = out;
	int n = 0, last = 0;
	bool ok;

	if (len < NTM_TAG_LEN || len > INT_MAX || ad_len > INT_MAX)
		return -EINVAL;
	len -= NTM_TAG_LEN;
	memcpy(tag, (const uint8_t *)sealed + len, sizeof(tag));
	ok = EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) == 1;
	if (ad_len)
		ok = ok && EVP_DecryptUpdate(ctx, NULL, &n, ad, (int)ad_len) == 1;
	n = 0;
	if (len)
		ok = ok && EVP_DecryptUpdate(ctx, p, &n, sealed, (int)len) == 1;
	if (!ok)
		ntm_crypto_broken("opening");
	if (EVP_DecryptFinal_ex(ctx, p + n, &last) != 1) {
		ERR_clear_error();
		return -EBADMSG;
	}
	return n + last;
}

const struct ntm_aead_impl ntm_aead_openssl = {
	.name = "openssl",
	.ctx_make = ctx_make,
	.ctx_free = ctx_free,
	.seal = seal_by,
	.open = open_by,
};

void ntm_aead_seal_once(const uint8_t key[NTM_KEY_LEN], uint64_t counter, const void *ad, size_t ad_len,
			const void *text, size_t len, void *out)
{
	void *ctx = ctx_make(NTM_CIPHER_CHACHA20_POLY1305, key, true);
	uint8_t nonce[NTM_AEAD_NONCE_LEN];

	ntm_aead_nonce(nonce, counter);
	seal_by(ctx, nonce, ad, ad_len, text, len, out);
	ctx_free(ctx);
}

int ntm_aead_open_once(const uint8_t key[NTM_KEY_LEN], uint64_t counter, const void *ad, size_t ad_len,
		       const void *sealed, size_t len, void *out)
{
	void *ctx = ctx_make(NTM_CIPHER_CHACHA20_POLY1305, key, false);
	uint8_t nonce[NTM_AEAD_NONCE_LEN];
	int r;

	ntm_aead_nonce(nonce, counter);
	r = open_by(ctx, nonce, ad, ad_len, sealed, len, out);
	ctx_free(ctx);
	return r;
}
