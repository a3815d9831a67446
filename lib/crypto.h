/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * crypto.h - the primitives under Noise and the data lanes, all from OpenSSL's libcrypto.
 * Next: noise.h (handshakes), aead.h (packets), cookie.h (floods).
 *
 * Functions without a stated error cannot fail but by exhausted memory or a broken libcrypto, and then
 * abort: going on without crypto would be worse.
 */
#ifndef NTM_LIB_CRYPTO_H
#define NTM_LIB_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <ntm/types.h>

/* Says what failed on standard error and aborts; for aead.c too. */
_Noreturn void ntm_crypto_broken(const char *what);

/* Random bytes from the system. */
void ntm_crypto_random(void *buf, size_t len);
uint64_t ntm_crypto_random_u64(void);
uint32_t ntm_crypto_random_below(uint32_t limit); /* 0..limit-1, even; limit > 0 */

/* Overwrites len bytes; never optimised away. */
void ntm_crypto_wipe(void *buf, size_t len);

/* Whether len bytes are equal, in time that depends on len only. */
bool ntm_crypto_equal(const void *a, const void *b, size_t len);

/* BLAKE2s-256 over the parts, 32 bytes (RFC 7693). */
void ntm_crypto_hash(uint8_t out[NTM_KEY_LEN], const struct iovec *part, int parts);

/* Keyed BLAKE2s (RFC 7693, section 2.9), out_len 1..32 bytes being the hash's own parameter. */
void ntm_crypto_mac(uint8_t *out, size_t out_len, const uint8_t key[NTM_KEY_LEN], const void *msg,
		    size_t len);

/* HMAC-BLAKE2s, 32 bytes (Noise, section 4.3). */
void ntm_crypto_hmac(uint8_t out[NTM_KEY_LEN], const void *key, size_t key_len, const void *msg, size_t len);

/*
 * Noise HKDF (section 4.3) with HMAC-BLAKE2s: 2 or 3 outputs of 32 bytes; out3 may be NULL. The outputs may
 * be the memory of the inputs, but not each other's.
 */
void ntm_crypto_hkdf(uint8_t out1[NTM_KEY_LEN], uint8_t out2[NTM_KEY_LEN], uint8_t *out3,
		     const uint8_t chaining_key[NTM_KEY_LEN], const void *input, size_t len);

/* One labelled key: the first output of HKDF(secret, label || context); label without its closing zero. */
void ntm_crypto_derive(uint8_t out[NTM_KEY_LEN], const uint8_t secret[NTM_KEY_LEN], const char *label,
		       const void *context, size_t context_len);

/* X25519 (RFC 7748). shared: -EINVAL if the result is all zero (a point of small order). */
void ntm_crypto_keypair(uint8_t private_key[NTM_KEY_LEN], uint8_t public_key[NTM_KEY_LEN]);
void ntm_crypto_public(uint8_t public_key[NTM_KEY_LEN], const uint8_t private_key[NTM_KEY_LEN]);
int ntm_crypto_shared(uint8_t ret_shared[NTM_KEY_LEN], const uint8_t private_key[NTM_KEY_LEN],
		      const uint8_t public_key[NTM_KEY_LEN]);

#endif
