/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead.c - nanoseconds to seal and to open a packet, for each cipher and each implementation of it that works
 * here. Three lengths: a short one, a middle one, and a full packet. The best of many batches counts.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "aead.h"
#include "aead_internal.h"

#define BATCH 64
#define BATCHES 400

static const size_t lengths[] = {64, 256, 1420};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double measure(struct ntm_aead *aead, size_t len, int opening)
{
	static uint8_t text[2048], sealed[2048];
	uint8_t ad[16] = {0};
	double best = 1e18;

	ntm_aead_seal(aead, 1, ad, sizeof(ad), text, len, sealed);
	for (int i = 0; i < BATCHES; i++) {
		double start = now_ns(), each;

		for (int k = 0; k < BATCH; k++) {
			if (!opening)
				ntm_aead_seal(aead, 1, ad, sizeof(ad), text, len, sealed);
			else if (ntm_aead_open(aead, 1, ad, sizeof(ad), sealed, len + NTM_TAG_LEN, text) < 0)
				abort();
		}
		each = (now_ns() - start) / BATCH;
		if (each < best)
			best = each;
	}
	return best;
}

int main(void)
{
	static const uint8_t key[NTM_KEY_LEN] = {1};

	printf("%-18s %-12s %-6s", "cipher", "by", "ns to");
	for (size_t i = 0; i < LENGTHS; i++)
		printf(" %5zu B", lengths[i]);
	putchar('\n');
	for (int c = 0; c < NTM_CIPHERS; c++) {
		const struct ntm_aead_impl *impl;

		for (unsigned int n = 0; (impl = ntm_aead_impl_get((enum ntm_cipher)c, n)); n++) {
			for (int opening = 0; opening < 2; opening++) {
				struct ntm_aead aead;

				ntm_aead_init_by(&aead, (enum ntm_cipher)c, impl, key);
				printf("%-18s %-12s %-6s", ntm_aead_name((enum ntm_cipher)c), impl->name,
				       opening ? "open" : "seal");
				for (size_t i = 0; i < LENGTHS; i++)
					printf(" %7.0f", measure(&aead, lengths[i], opening));
				putchar('\n');
				ntm_aead_clear(&aead);
			}
		}
	}
	return 0;
}
