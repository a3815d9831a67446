/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cipher.c - see cipher.h. In front of it: daemon/main.c, daemon/tunnel.c; behind it: aead.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "aead.h"
#include "cipher.h"
#include "crypto.h"

#define BATCH 8 /* packets between two looks at the clock */
#define ENOUGH_NS 2000000 /* for each cipher */
#define AD_LEN 16 /* as a data packet's header */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The best batch counts: whatever else ran meanwhile only makes one longer. */
static uint32_t measure(enum ntm_cipher cipher, uint8_t packet[NTM_CIPHER_PACKET + NTM_TAG_LEN])
{
	uint8_t key[NTM_KEY_LEN], ad[AD_LEN] = {0};
	uint64_t counter = 0, start, before, now, best = UINT32_MAX;
	struct ntm_aead aead;

	ntm_crypto_random(key, sizeof(key));
	ntm_aead_init(&aead, cipher, key);
	ntm_aead_seal(&aead, counter++, ad, sizeof(ad), packet, NTM_CIPHER_PACKET, packet); /* sets it up */
	start = now = now_ns();
	do {
		before = now;
		for (int i = 0; i < BATCH; i++)
			ntm_aead_seal(&aead, counter++, ad, sizeof(ad), packet, NTM_CIPHER_PACKET, packet);
		now = now_ns();
		if ((now - before) / BATCH < best)
			best = (now - before) / BATCH;
	} while (now - start < ENOUGH_NS);
	ntm_aead_clear(&aead);
	return best ? (uint32_t)best : 1;
}

void ntm_cipher_measure(uint32_t ret_ns[NTM_CIPHERS])
{
	uint8_t packet[NTM_CIPHER_PACKET + NTM_TAG_LEN] = {0};

	for (int i = 0; i < NTM_CIPHERS; i++)
		ret_ns[i] = measure((enum ntm_cipher)i, packet);
}

uint32_t ntm_cipher_bits(const char *wish, const uint32_t ns[NTM_CIPHERS])
{
	uint32_t bits = 0, best = UINT32_MAX;

	for (int i = 0; i < NTM_CIPHERS; i++)
		if (!strcmp(wish, ntm_aead_name((enum ntm_cipher)i)))
			return 1u << i;
	for (int i = 0; i < NTM_CIPHERS; i++)
		if (ns[i] < best)
			best = ns[i];
	for (int i = 0; i < NTM_CIPHERS; i++) {
		bits |= 1u << i;
		if (ns[i] > best)
			bits |= 1u << (NTM_CIPHERS_SLOW_SHIFT + i);
	}
	return bits;
}

int ntm_cipher_choose(uint32_t a, uint32_t b)
{
	uint32_t both = a & b & ((1u << NTM_CIPHERS) - 1);
	uint32_t slow = (a | b) >> NTM_CIPHERS_SLOW_SHIFT;

	/*
	 * That ChaCha20-Poly1305 is the slower one at an end says only that AES-256-GCM is fast there: where
	 * it is slow at the other, that end decides.
	 */
	if ((both & 1u << NTM_CIPHER_AES_256_GCM) &&
	    (!(slow & 1u << NTM_CIPHER_AES_256_GCM) || !(both & 1u << NTM_CIPHER_CHACHA20_POLY1305)))
		return NTM_CIPHER_AES_256_GCM;
	return both & 1u << NTM_CIPHER_CHACHA20_POLY1305 ? NTM_CIPHER_CHACHA20_POLY1305 : -ENOTSUP;
}

const char *ntm_cipher_list(uint32_t bits, char buf[NTM_CIPHERS_TEXT])
{
	size_t len = 0;

	snprintf(buf, NTM_CIPHERS_TEXT, "none known here");
	for (int i = 0; i < NTM_CIPHERS; i++)
		if (bits & 1u << i)
			len += (size_t)snprintf(buf + len, NTM_CIPHERS_TEXT - len, "%s%s", len ? " and " : "",
						ntm_aead_name((enum ntm_cipher)i));
	return buf;
}
