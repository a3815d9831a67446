/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_cipher.c - lib/cipher.c: what a node offers, and what two of them agree on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "cipher.h"

#define CHACHA NTM_CIPHER_CHACHA20_POLY1305
#define AES NTM_CIPHER_AES_256_GCM

static const uint32_t aes_fast[NTM_CIPHERS] = {[CHACHA] = 850, [AES] = 118};
static const uint32_t aes_slow[NTM_CIPHERS] = {[CHACHA] = 850, [AES] = 9000};

static int agreed(const char *a, const uint32_t *ns_a, const char *b, const uint32_t *ns_b)
{
	uint32_t bits_a = ntm_cipher_bits(a, ns_a), bits_b = ntm_cipher_bits(b, ns_b);

	assert_int_equal(ntm_cipher_choose(bits_a, bits_b), ntm_cipher_choose(bits_b, bits_a));
	return ntm_cipher_choose(bits_a, bits_b);
}

static void the_bits_tell_what_is_allowed_and_what_is_slow(void **state)
{
	(void)state;
	assert_int_equal(ntm_cipher_bits("auto", aes_fast), 0x10003);
	assert_int_equal(ntm_cipher_bits("auto", aes_slow), 0x20003);
	assert_int_equal(ntm_cipher_bits("chacha20-poly1305", aes_fast), 1);
	assert_int_equal(ntm_cipher_bits("aes-256-gcm", aes_slow), 2);
}

static void aes_is_taken_where_it_is_fast_at_both_ends(void **state)
{
	(void)state;
	assert_int_equal(agreed("auto", aes_fast, "auto", aes_fast), AES);
	assert_int_equal(agreed("auto", aes_fast, "auto", aes_slow), CHACHA);
	assert_int_equal(agreed("auto", aes_slow, "auto", aes_slow), CHACHA);
}

static void auto_goes_with_whatever_the_other_end_insists_on(void **state)
{
	const char *const cipher[] = {[CHACHA] = "chacha20-poly1305", [AES] = "aes-256-gcm"};

	(void)state;
	for (int c = 0; c < NTM_CIPHERS; c++) {
		assert_int_equal(agreed("auto", aes_fast, cipher[c], aes_slow), c);
		assert_int_equal(agreed("auto", aes_slow, cipher[c], aes_fast), c);
		assert_int_equal(agreed(cipher[c], aes_slow, cipher[c], aes_fast), c);
	}
}

static void without_a_common_cipher_there_is_none(void **state)
{
	(void)state;
	assert_int_equal(agreed("aes-256-gcm", aes_fast, "chacha20-poly1305", aes_fast), -ENOTSUP);
	assert_int_equal(ntm_cipher_choose(0, 3), -ENOTSUP);
	/* bits of ciphers to come, slow or not, are not chosen */
	assert_int_equal(ntm_cipher_choose(0xfffc, 0xffff), -ENOTSUP);
	assert_int_equal(ntm_cipher_choose(0xfffd, 0xffff), CHACHA);
}

static void bits_are_told_in_words(void **state)
{
	char text[NTM_CIPHERS_TEXT];

	(void)state;
	assert_string_equal(ntm_cipher_list(0x20001, text), "chacha20-poly1305");
	assert_string_equal(ntm_cipher_list(2, text), "aes-256-gcm");
	assert_string_equal(ntm_cipher_list(0xffffffff, text), "chacha20-poly1305 and aes-256-gcm");
	assert_string_equal(ntm_cipher_list(0x10004, text), "none known here");
}

static void measuring_is_short_and_says_something(void **state)
{
	uint32_t ns[NTM_CIPHERS] = {0};
	struct timespec start, end;
	int64_t took_us;

	(void)state;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start); /* other processes do not count */
	ntm_cipher_measure(ns);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	took_us = (end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000;
	print_message("chacha20-poly1305 %u ns, aes-256-gcm %u ns, in %lld us\n", ns[CHACHA], ns[AES],
		      (long long)took_us);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(took_us, 1, 20000);
#endif
	for (int i = 0; i < NTM_CIPHERS; i++) /* 1420 bytes take 20 ns nowhere, and 1 ms nowhere */
		assert_in_range(ns[i], 20, 1000000);
}

int main(void)
{
	const struct CMUnitTest cipher[] = {
		cmocka_unit_test(the_bits_tell_what_is_allowed_and_what_is_slow),
		cmocka_unit_test(aes_is_taken_where_it_is_fast_at_both_ends),
		cmocka_unit_test(auto_goes_with_whatever_the_other_end_insists_on),
		cmocka_unit_test(without_a_common_cipher_there_is_none),
		cmocka_unit_test(bits_are_told_in_words),
		cmocka_unit_test(measuring_is_short_and_says_something),
	};

	return cmocka_run_group_tests(cipher, NULL, NULL);
}
