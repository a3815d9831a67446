/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead.c - ChaCha20-Poly1305 and AES-256-GCM by libcrypto.
 * Before it: crypto.c (key derivation); behind it: noise.c and whoever sends sealed packets.
 *
 * Each key has a context for each direction, set up once: a packet costs its nonce, not a key schedule.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "aead.h"
#include "aead_internal.h"
#include "crypto.h"

static const struct {
	const char *name; /* for people */
	const char *algorithm; /* for libcrypto */
} ciphers[NTM_CIPHERS] = {
	[NTM_CIPHER_CHACHA20_POLY1305] = {"chacha20-poly1305", "ChaCha20-Poly1305"},
	[NTM_CIPHER_AES_256_GCM] = {"aes-256-gcm", "AES-256-GCM"},
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *fetched[NTM_CIPHERS];

static void fetch(void)
{
	for (int i = 0; i < NTM_CIPHERS; i++) {
		fetched[i] = EVP_CIPHER_fetch(NULL, ciphers[i].algorithm, NULL);
		if (!fetched[i])
			ntm_crypto_broken(ciphers[i].algorithm);
	}
}

static EVP_CIPHER_CTX *ctx_make(enum ntm_cipher cipher, const uint8_t key[NTM_KEY_LEN], int seal)
{
	EVP_CIPHER_CTX *ctx;

	pthread_once(&once, fetch);
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx || EVP_CipherInit_ex2(ctx, fetched[cipher], key, NULL, seal, NULL) != 1)
		ntm_crypto_broken(ciphers[cipher].algorithm);
	return ctx;
}

static void nonce_make(uint8_t nonce[NTM_AEAD_NONCE_LEN], uint64_t counter)
{
	memset(nonce, 0, 4);
	for (int i = 4; i < NTM_AEAD_NONCE_LEN; i++, counter >>= 8)
		nonce[i] = (uint8_t)counter;
}

int ntm_aead_init(struct ntm_aead *aead, enum ntm_cipher cipher, const uint8_t key[NTM_KEY_LEN])
{
	if ((unsigned int)cipher >= NTM_CIPHERS)
		return -ENOTSUP;
	aead->cipher = cipher;
	aead->seal_ctx = ctx_make(cipher, key, 1);
	aead->open_ctx = ctx_make(cipher, key, 0);
	return 0;
}

void ntm_aead_clear(struct ntm_aead *aead)
{
	/* libcrypto wipes what it frees of a cipher */
	EVP_CIPHER_CTX_free(aead->seal_ctx);
	EVP_CIPHER_CTX_free(aead->open_ctx);
	memset(aead, 0, sizeof(*aead));
}

void ntm_aead_seal_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			 size_t ad_len, const void *text, size_t len, void *out)
{
	EVP_CIPHER_CTX *ctx = aead->seal_ctx;
	uint8_t *p = out;
	int n = 0, last = 0;
	bool ok;

	ok = ctx && ad_len <= INT_MAX && len <= INT_MAX - NTM_TAG_LEN &&
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

int ntm_aead_open_nonce(struct ntm_aead *aead, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad,
			size_t ad_len, const void *sealed, size_t len, void *out)
{
	EVP_CIPHER_CTX *ctx = aead->open_ctx;
	uint8_t tag[NTM_TAG_LEN], *p = out;
	int n = 0, last = 0;
	bool ok;

	if (len < NTM_TAG_LEN || len > INT_MAX || ad_len > INT_MAX)
		return -EINVAL;
	if (!ctx)
		return -EBADMSG;
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

void ntm_aead_seal(struct ntm_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const void *text,
		   size_t len, void *out)
{
	uint8_t nonce[NTM_AEAD_NONCE_LEN];

	nonce_make(nonce, counter);
	ntm_aead_seal_nonce(aead, nonce, ad, ad_len, text, len, out);
}

int ntm_aead_open(struct ntm_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const void *sealed,
		  size_t len, void *out)
{
	uint8_t nonce[NTM_AEAD_NONCE_LEN];

	nonce_make(nonce, counter);
	return ntm_aead_open_nonce(aead, nonce, ad, ad_len, sealed, len, out);
}

void ntm_aead_seal_once(const uint8_t key[NTM_KEY_LEN], uint64_t counter, const void *ad, size_t ad_len,
			const void *text, size_t len, void *out)
{
	struct ntm_aead aead = {.seal_ctx = ctx_make(NTM_CIPHER_CHACHA20_POLY1305, key, 1)};

	ntm_aead_seal(&aead, counter, ad, ad_len, text, len, out);
	ntm_aead_clear(&aead);
}

int ntm_aead_open_once(const uint8_t key[NTM_KEY_LEN], uint64_t counter, const void *ad, size_t ad_len,
		       const void *sealed, size_t len, void *out)
{
	struct ntm_aead aead = {.open_ctx = ctx_make(NTM_CIPHER_CHACHA20_POLY1305, key, 0)};
	int r = ntm_aead_open(&aead, counter, ad, ad_len, sealed, len, out);

	ntm_aead_clear(&aead);
	return r;
}

const char *ntm_aead_name(enum ntm_cipher cipher)
{
	return (unsigned int)cipher < NTM_CIPHERS ? ciphers[cipher].name : "unknown";
}
