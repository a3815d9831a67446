/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead_ipsec_mb.c - AES-256-GCM by libipsec-mb: three to four times as fast as libcrypto's of OpenSSL 3.0
 * where the CPU has VAES. In front of it: aead.c; where this has nothing to offer, aead_openssl.c works.
 *
 * The library brings one set of functions for each generation of CPUs. Which one fits is seen at run time,
 * and nothing of it runs on a CPU without AES-NI. Only three functions are needed of it, and they need no
 * manager (200 KiB): that is given back.
 */
#include "aead_internal.h"

#if defined(HAVE_IPSEC_MB) && defined(__x86_64__)

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>

#include "crypto.h"

#define NEEDED (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
	aes_gcm_pre_t key_expand;
	aes_gcm_enc_dec_t seal, open; /* NULL: not for this CPU */
} gcm;

/*
 * The library asks the CPU only; whether the system also saves the wide registers is what the compiler's
 * function knows (XCR0). Without that, not even the library's self test may run.
 */
static bool usable(uint64_t features)
{
	if ((features & NEEDED) != NEEDED)
		return false;
	__builtin_cpu_init();
	if (((features & IMB_FEATURE_AVX) && !__builtin_cpu_supports("avx")) ||
	    ((features & IMB_FEATURE_AVX2) && !__builtin_cpu_supports("avx2")) ||
	    ((features & IMB_FEATURE_AVX512F) && !__builtin_cpu_supports("avx512f")))
		return false;
	/* Who forbids libcrypto some of the CPU's instructions means this library too, which cannot be
	 * told. */
	return !getenv("OPENSSL_ia32cap");
}

static void look(void)
{
	IMB_MGR *mgr;
	bool good;

	if (!usable(imb_get_feature_flags()))
		return;
	mgr = alloc_mb_mgr(0);
	if (!mgr)
		return;
	init_mb_mgr_auto(mgr, NULL);
	good = !imb_get_errno(mgr) && (mgr->features & NEEDED) == NEEDED;
#ifdef IMB_FEATURE_SELF_TEST
	good = good && (!(mgr->features & IMB_FEATURE_SELF_TEST) ||
			(mgr->features & IMB_FEATURE_SELF_TEST_PASS));
#endif
	if (good && mgr->gcm256_pre && mgr->gcm256_enc && mgr->gcm256_dec) {
		gcm.key_expand = mgr->gcm256_pre;
		gcm.seal = mgr->gcm256_enc;
		gcm.open = mgr->gcm256_dec;
	}
	free_mb_mgr(mgr);
}

static void *ctx_make(enum ntm_cipher cipher, const uint8_t key[NTM_KEY_LEN], bool seal)
{
	struct gcm_key_data *ctx = malloc(sizeof(*ctx));

	(void)cipher;
	(void)seal; /* the same for both */
	if (!ctx)
		ntm_crypto_broken("memory for a key");
	gcm.key_expand(key, ctx);
	return ctx;
}

static void ctx_free(void *ctx)
{
	if (!ctx)
		return;
	ntm_crypto_wipe(ctx, sizeof(struct gcm_key_data));
	free(ctx);
}

static void seal_by(void *ctx, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad, size_t ad_len,
		    const void *text, size_t len, void *out)
{
	struct gcm_context_data work;
	uint8_t *p = out;

	gcm.seal(ctx, &work, p, len ? text : p, len, nonce, ad, ad_len, p + len, NTM_TAG_LEN);
}

static int open_by(void *ctx, const uint8_t nonce[NTM_AEAD_NONCE_LEN], const void *ad, size_t ad_len,
		   const void *sealed, size_t len, void *out)
{
	uint8_t tag[NTM_TAG_LEN], right[NTM_TAG_LEN];
	const uint8_t *text = sealed;
	struct gcm_context_data work;
	bool equal;

	len -= NTM_TAG_LEN;
	memcpy(tag, text + len, sizeof(tag)); /* out may be sealed itself */
	gcm.open(ctx, &work, out, text, len, nonce, ad, ad_len, right, sizeof(right));
	equal = ntm_crypto_equal(tag, right, sizeof(tag));
	ntm_crypto_wipe(right, sizeof(right)); /* who has it could forge this packet */
	return equal ? (int)len : -EBADMSG;
}

static const struct ntm_aead_impl ipsec_mb = {
	.name = "libipsec-mb",
	.ctx_make = ctx_make,
	.ctx_free = ctx_free,
	.seal = seal_by,
	.open = open_by,
};

const struct ntm_aead_impl *ntm_aead_ipsec_mb(enum ntm_cipher cipher)
{
	pthread_once(&once, look);
	return cipher == NTM_CIPHER_AES_256_GCM && gcm.seal ? &ipsec_mb : NULL;
}

#else

const struct ntm_aead_impl *ntm_aead_ipsec_mb(enum ntm_cipher cipher)
{
	(void)cipher;
	return NULL;
}

#endif
