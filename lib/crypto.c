/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * crypto.c - BLAKE2s, HMAC, HKDF, X25519 and random bytes.
 * Next: noise.c (handshakes), aead.c (packets), cookie.c (floods).
 *
 * libcrypto 3 looks an algorithm up by name under a lock at each implicit use, which costs more than hashing
 * a handshake; so all are fetched once, and each thread keeps its contexts.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto.h"

#define HASH_BLOCK 64 /* BLAKE2s: bytes */

/* What one thread works with. */
struct tools {
	EVP_MD_CTX *hash;
	EVP_MAC_CTX *mac;
	EVP_PKEY_CTX *x25519; /* makes EVP_PKEYs from bytes */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t tools_key; /* only to free the tools of a thread that ends */
static EVP_MD *blake2s;
static EVP_MAC *blake2s_mac;
static _Thread_local struct tools *tools;

_Noreturn void ntm_crypto_broken(const char *what)
{
	fprintf(stderr, "libcrypto: %s failed\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

static void tools_free(void *arg)
{
	struct tools *t = arg;

	EVP_MD_CTX_free(t->hash);
	EVP_MAC_CTX_free(t->mac);
	EVP_PKEY_CTX_free(t->x25519);
	free(t);
	tools = NULL;
}

static void fetch(void)
{
	blake2s = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	blake2s_mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_BLAKE2SMAC, NULL);
	if (!blake2s || !blake2s_mac)
		ntm_crypto_broken("fetching BLAKE2s");
	if (pthread_key_create(&tools_key, tools_free))
		ntm_crypto_broken("making a thread key");
}

static struct tools *tools_get(void)
{
	struct tools *t = tools;

	if (t)
		return t;
	pthread_once(&once, fetch);
	t = calloc(1, sizeof(*t));
	if (!t)
		ntm_crypto_broken("allocating");
	t->hash = EVP_MD_CTX_new();
	t->mac = EVP_MAC_CTX_new(blake2s_mac);
	t->x25519 = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
	if (!t->hash || !t->mac || !t->x25519 || pthread_setspecific(tools_key, t))
		ntm_crypto_broken("allocating");
	tools = t;
	return t;
}

void ntm_crypto_random(void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			ntm_crypto_broken("getrandom");
		p += n;
		len -= (size_t)n;
	}
}

/*
 * Numbers come from a store that one system call fills: a DC draws several for each message, one in 25 of its
 * CPU time. What was given away is wiped. Keys are not taken from here. No daemon forks, so nobody draws the
 * same ones again.
 */
static void draw(void *buf, size_t len)
{
	static _Thread_local struct {
		uint8_t bytes[512];
		size_t left;
	} store;

	if (store.left < len) {
		ntm_crypto_random(store.bytes, sizeof(store.bytes));
		store.left = sizeof(store.bytes);
	}
	store.left -= len;
	memcpy(buf, store.bytes + store.left, len);
	ntm_crypto_wipe(store.bytes + store.left, len);
}

uint64_t ntm_crypto_random_u64(void)
{
	uint64_t v;

	draw(&v, sizeof(v));
	return v;
}

uint32_t ntm_crypto_random_below(uint32_t limit)
{
	uint32_t surplus, v;

	if (!limit)
		ntm_crypto_broken("a random number below 0");
	/* 2^32 mod limit: with so many values refused, each remainder is left equally often */
	surplus = -limit % limit;
	do {
		draw(&v, sizeof(v));
	} while (v < surplus);
	return v % limit;
}

void ntm_crypto_wipe(void *buf, size_t len)
{
	OPENSSL_cleanse(buf, len);
}

bool ntm_crypto_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

/* BLAKE2s over a first block and the parts; libcrypto wipes the hash's state at the end. */
static void hash_parts(uint8_t out[NTM_KEY_LEN], const uint8_t *block, const struct iovec *part, int parts)
{
	EVP_MD_CTX *ctx = tools_get()->hash;
	bool ok = EVP_DigestInit_ex2(ctx, blake2s, NULL) == 1;

	if (block)
		ok = ok && EVP_DigestUpdate(ctx, block, HASH_BLOCK) == 1;
	for (int i = 0; i < parts; i++)
		ok = ok && EVP_DigestUpdate(ctx, part[i].iov_base, part[i].iov_len) == 1;
	if (!ok || EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		ntm_crypto_broken("BLAKE2s");
}

void ntm_crypto_hash(uint8_t out[NTM_KEY_LEN], const struct iovec *part, int parts)
{
	hash_parts(out, NULL, part, parts);
}

void ntm_crypto_mac(uint8_t *out, size_t out_len, const uint8_t key[NTM_KEY_LEN], const void *msg, size_t len)
{
	static const uint8_t no_key[NTM_KEY_LEN];
	EVP_MAC_CTX *ctx = tools_get()->mac;
	OSSL_PARAM param[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &out_len),
		OSSL_PARAM_construct_end(),
	};
	size_t done;

	if (EVP_MAC_init(ctx, key, NTM_KEY_LEN, param) != 1 || EVP_MAC_update(ctx, msg, len) != 1 ||
	    EVP_MAC_final(ctx, out, &done, out_len) != 1 || done != out_len)
		ntm_crypto_broken("keyed BLAKE2s");
	/* the context would keep the key until its next use */
	if (EVP_MAC_init(ctx, no_key, sizeof(no_key), NULL) != 1)
		ntm_crypto_broken("keyed BLAKE2s");
}

/* HMAC (RFC 2104) by hand: two hashes over one context are cheaper than libcrypto's own. */
static void hmac_parts(uint8_t out[NTM_KEY_LEN], const void *key, size_t key_len, const struct iovec *part,
		       int parts)
{
	uint8_t block[HASH_BLOCK] = {0}, inner[NTM_KEY_LEN];
	struct iovec iov;

	if (key_len > sizeof(block)) {
		iov = (struct iovec){(void *)key, key_len};
		hash_parts(block, NULL, &iov, 1);
	} else if (key_len) {
		memcpy(block, key, key_len);
	}
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	hash_parts(inner, block, part, parts);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	iov = (struct iovec){inner, sizeof(inner)};
	hash_parts(out, block, &iov, 1);
	ntm_crypto_wipe(block, sizeof(block));
	ntm_crypto_wipe(inner, sizeof(inner));
}

void ntm_crypto_hmac(uint8_t out[NTM_KEY_LEN], const void *key, size_t key_len, const void *msg, size_t len)
{
	struct iovec part = {(void *)msg, len};

	hmac_parts(out, key, key_len, &part, 1);
}

/* Output i of HKDF: HMAC(temp, output before || i). */
static void hkdf_step(uint8_t out[NTM_KEY_LEN], const uint8_t temp[NTM_KEY_LEN], const uint8_t *before,
		      uint8_t i)
{
	struct iovec part[] = {{(void *)before, before ? NTM_KEY_LEN : 0}, {&i, 1}};

	hmac_parts(out, temp, NTM_KEY_LEN, part, 2);
}

void ntm_crypto_hkdf(uint8_t out1[NTM_KEY_LEN], uint8_t out2[NTM_KEY_LEN], uint8_t *out3,
		     const uint8_t chaining_key[NTM_KEY_LEN], const void *input, size_t len)
{
	uint8_t temp[NTM_KEY_LEN];

	ntm_crypto_hmac(temp, chaining_key, NTM_KEY_LEN, input, len);
	hkdf_step(out1, temp, NULL, 1);
	hkdf_step(out2, temp, out1, 2);
	if (out3)
		hkdf_step(out3, temp, out2, 3);
	ntm_crypto_wipe(temp, sizeof(temp));
}

void ntm_crypto_derive(uint8_t out[NTM_KEY_LEN], const uint8_t secret[NTM_KEY_LEN], const char *label,
		       const void *context, size_t context_len)
{
	struct iovec part[] = {{(void *)label, strlen(label)}, {(void *)context, context_len}};
	uint8_t temp[NTM_KEY_LEN];

	hmac_parts(temp, secret, NTM_KEY_LEN, part, 2);
	hkdf_step(out, temp, NULL, 1);
	ntm_crypto_wipe(temp, sizeof(temp));
}

/* An X25519 key from its bytes; one of the two may be NULL. libcrypto wipes the private half when it is
 * freed. */
static EVP_PKEY *x25519_key(const uint8_t *private_key, const uint8_t *public_key)
{
	EVP_PKEY_CTX *ctx = tools_get()->x25519;
	OSSL_PARAM param[3], *p = param;
	EVP_PKEY *key = NULL;

	if (private_key)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)private_key,
							 NTM_KEY_LEN);
	if (public_key)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)public_key,
							 NTM_KEY_LEN);
	*p = OSSL_PARAM_construct_end();
	if (EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, private_key ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, param) != 1)
		ntm_crypto_broken("making an X25519 key");
	return key;
}

void ntm_crypto_keypair(uint8_t private_key[NTM_KEY_LEN], uint8_t public_key[NTM_KEY_LEN])
{
	ntm_crypto_random(private_key, NTM_KEY_LEN);
	ntm_crypto_public(public_key, private_key);
}

void ntm_crypto_public(uint8_t public_key[NTM_KEY_LEN], const uint8_t private_key[NTM_KEY_LEN])
{
	EVP_PKEY *key = x25519_key(private_key, NULL);
	size_t len = NTM_KEY_LEN;

	if (EVP_PKEY_get_raw_public_key(key, public_key, &len) != 1 || len != NTM_KEY_LEN)
		ntm_crypto_broken("X25519");
	EVP_PKEY_free(key);
}

int ntm_crypto_shared(uint8_t ret_shared[NTM_KEY_LEN], const uint8_t private_key[NTM_KEY_LEN],
		      const uint8_t public_key[NTM_KEY_LEN])
{
	static const uint8_t zero[NTM_KEY_LEN];
	/*
	 * Without a public half libcrypto would compute it, a third of the whole cost; the shared secret
	 * needs our private half and their public half only, so ours is left zero.
	 */
	EVP_PKEY *own = x25519_key(private_key, zero);
	EVP_PKEY *peer = x25519_key(NULL, public_key);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	uint8_t shared[NTM_KEY_LEN];
	size_t len = sizeof(shared);
	int r = 0;

	if (!ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1)
		ntm_crypto_broken("X25519");
	/* libcrypto refuses an all-zero result, its only failure here; compared anyway: RFC 7748, section 6.1
	 */
	if (EVP_PKEY_derive(ctx, shared, &len) != 1 || len != sizeof(shared) ||
	    ntm_crypto_equal(shared, zero, sizeof(shared))) {
		ERR_clear_error();
		r = -EINVAL;
	} else {
		memcpy(ret_shared, shared, sizeof(shared));
	}
	ntm_crypto_wipe(shared, sizeof(shared));
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(own);
	return r;
}
