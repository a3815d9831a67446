/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_crypto.c - lib/crypto.c against RFC 7693, RFC 7748, Wycheproof, and a second BLAKE2s written from the
 * RFC's text, which must first pass the RFC's own self-test.
 */
#include "vectors.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "crypto.h"

/* ---- BLAKE2s as RFC 7693, section 3, describes it: slow, plain, any key and output length */

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint8_t sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint32_t rotated(uint32_t v, int bits)
{
	return v >> bits | v << (32 - bits);
}

static void mix(uint32_t v[16], int a, int b, int c, int d, uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotated(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotated(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotated(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotated(v[b] ^ v[c], 7);
}

static void compress(uint32_t h[8], const uint8_t block[64], uint64_t total, bool final)
{
	uint32_t v[16], m[16];

	for (int i = 0; i < 16; i++)
		m[i] = (uint32_t)block[4 * i] | (uint32_t)block[4 * i + 1] << 8 |
		       (uint32_t)block[4 * i + 2] << 16 | (uint32_t)block[4 * i + 3] << 24;
	memcpy(v, h, 32);
	memcpy(v + 8, iv, 32);
	v[12] ^= (uint32_t)total;
	v[13] ^= (uint32_t)(total >> 32);
	if (final)
		v[14] = ~v[14];
	for (int r = 0; r < 10; r++) {
		const uint8_t *s = sigma[r];

		for (int i = 0; i < 4; i++)
			mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
		for (int i = 0; i < 4; i++)
			mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]],
			    m[s[9 + 2 * i]]);
	}
	for (int i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

static void rfc_blake2s(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len, const uint8_t *msg,
			size_t len)
{
	uint8_t text[64 + 2048] = {0};
	size_t total = len, at = 0;
	uint32_t h[8];

	assert_true(len <= 2048);
	memcpy(h, iv, sizeof(h));
	h[0] ^= 0x01010000 ^ (uint32_t)(key_len << 8) ^ (uint32_t)out_len;
	if (key_len) {
		memcpy(text, key, key_len);
		total += 64;
	}
	if (len)
		memcpy(text + (key_len ? 64 : 0), msg, len);
	for (; total - at > 64; at += 64)
		compress(h, text + at, at + 64, false);
	memset(text + total, 0, sizeof(text) - total);
	compress(h, text + at, total, true);
	for (size_t i = 0; i < out_len; i++)
		out[i] = (uint8_t)(h[i / 4] >> (8 * (i % 4)));
}

/* RFC 7693, appendix E: a sequence of bytes from a seed. */
static void fibonacci(uint8_t *out, size_t len, uint32_t seed)
{
	uint32_t a = 0xdead4bad * seed, b = 1;

	for (size_t i = 0; i < len; i++) {
		uint32_t t = a + b;

		a = b;
		b = t;
		out[i] = (uint8_t)(t >> 24);
	}
}

static void the_second_blake2s_passes_the_self_test_of_rfc_7693(void **state)
{
	static const size_t out_len[] = {16, 20, 28, 32}, in_len[] = {0, 3, 64, 65, 255, 1024};
	uint8_t in[1024], key[32], out[32], all[2 * 6 * (16 + 20 + 28 + 32)];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 6; j++) {
			fibonacci(in, in_len[j], (uint32_t)in_len[j]);
			rfc_blake2s(all + n, out_len[i], NULL, 0, in, in_len[j]);
			n += out_len[i];
			fibonacci(key, out_len[i], (uint32_t)out_len[i]);
			rfc_blake2s(all + n, out_len[i], key, out_len[i], in, in_len[j]);
			n += out_len[i];
		}
	}
	assert_int_equal(n, sizeof(all));
	rfc_blake2s(out, 32, NULL, 0, all, n);
	assert_hex(out, 32, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

/* ---- hashes */

static void the_hash_of_abc_is_that_of_rfc_7693(void **state)
{
	struct iovec part = {"abc", 3};
	uint8_t out[32];

	(void)state;
	ntm_crypto_hash(out, &part, 1);
	assert_hex(out, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

static void the_hash_is_blake2s_at_every_length_and_however_it_is_cut(void **state)
{
	uint8_t in[300], expected[32], out[32];

	(void)state;
	fibonacci(in, sizeof(in), 7);
	for (size_t len = 0; len <= sizeof(in); len++) {
		struct iovec part[] = {{in, len / 3}, {NULL, 0}, {in + len / 3, len - len / 3}};

		rfc_blake2s(expected, 32, NULL, 0, in, len);
		ntm_crypto_hash(out, part, 3);
		assert_memory_equal(out, expected, 32);
	}
}

static void the_mac_is_keyed_blake2s_at_every_output_length(void **state)
{
	uint8_t in[200], key[32], expected[32], out[33];

	(void)state;
	fibonacci(in, sizeof(in), 3);
	fibonacci(key, sizeof(key), 5);
	for (size_t out_len = 1; out_len <= 32; out_len++) {
		for (size_t len = 0; len <= sizeof(in); len += 40) {
			memset(out, 0xa5, sizeof(out));
			rfc_blake2s(expected, out_len, key, 32, in, len);
			ntm_crypto_mac(out, out_len, key, in, len);
			assert_memory_equal(out, expected, out_len);
			assert_int_equal(out[out_len], 0xa5);
		}
	}
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	ntm_crypto_mac(out, 32, key, "", 0);
	assert_hex(out, 32, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49");
}

static void a_short_mac_is_no_cut_long_one(void **state)
{
	uint8_t key[32] = {1}, lng[32], shrt[16];

	(void)state;
	ntm_crypto_mac(lng, 32, key, "text", 4);
	ntm_crypto_mac(shrt, 16, key, "text", 4);
	assert_memory_not_equal(lng, shrt, 16);
}

static void hmac_takes_keys_shorter_and_longer_than_a_block(void **state)
{
	static const char *const text = "what do ya want for nothing?";
	uint8_t key[100], out[32];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	ntm_crypto_hmac(out, key, 32, text, strlen(text));
	assert_hex(out, 32, "14229dde9cdbd4dd31b1a703ac36832ecc9177e0ba0d4632568515aaec7e401f");
	ntm_crypto_hmac(out, key, sizeof(key), NULL, 0);
	assert_hex(out, 32, "60c8ad712b1d426c37f4b615c6232c8a91904ab8685338e99b3e8ac9f0834c68");
}

static void hkdf_gives_three_outputs_and_may_overwrite_its_input(void **state)
{
	uint8_t ck[32], a[32], b[32], c[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		ck[i] = (uint8_t)i;
	ntm_crypto_hkdf(a, b, c, ck, "input", 5);
	assert_hex(a, 32, "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040");
	assert_hex(b, 32, "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824");
	assert_hex(c, 32, "9ad858025593be88de0f9442a589cfe84a88dc19e4753d93684d1c5efc4837f9");
	memset(b, 0, sizeof(b));
	ntm_crypto_hkdf(ck, b, NULL, ck, "input", 5);
	assert_memory_equal(ck, a, 32);
	assert_hex(b, 32, "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824");
}

static void a_derived_key_is_the_first_output_of_hkdf_over_label_and_context(void **state)
{
	uint8_t secret[32], out[32], other[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		secret[i] = (uint8_t)i;
	ntm_crypto_derive(out, secret, "probe", "\1\2", 2);
	assert_hex(out, 32, "c22bdb88604a9d89153bacb9cb9227e8533ad6ffd1c89b01d1190577566e7a01");
	ntm_crypto_derive(other, secret, "probe", NULL, 0);
	assert_memory_not_equal(out, other, 32);
}

/* ---- X25519 */

static void x25519_of(uint8_t out[32], const char *private_key, const char *public_key)
{
	uint8_t k[32], u[32];

	assert_int_equal(hex(private_key, k, 32) + hex(public_key, u, 32), 64);
	assert_int_equal(ntm_crypto_shared(out, k, u), 0);
}

static void x25519_gives_the_results_of_rfc_7748(void **state)
{
	uint8_t out[32], a[32], a_pub[32], b[32], b_pub[32];

	(void)state;
	x25519_of(out, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
		  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
	assert_hex(out, 32, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	x25519_of(out, "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
		  "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
	assert_hex(out, 32, "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");

	/* section 6.1: both sides, with their public keys */
	hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", a, 32);
	hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", b, 32);
	ntm_crypto_public(a_pub, a);
	ntm_crypto_public(b_pub, b);
	assert_hex(a_pub, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_hex(b_pub, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	assert_int_equal(ntm_crypto_shared(out, a, b_pub), 0);
	assert_hex(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(ntm_crypto_shared(out, b, a_pub), 0);
	assert_hex(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

static void a_thousand_rounds_of_x25519_end_where_rfc_7748_says(void **state)
{
	uint8_t k[32] = {9}, u[32] = {9}, out[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(ntm_crypto_shared(out, k, u), 0);
		memcpy(u, k, 32);
		memcpy(k, out, 32);
		if (i == 0)
			assert_hex(k, 32, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
	}
	assert_hex(k, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

static void a_key_of_small_order_is_refused_and_leaves_the_result_alone(void **state)
{
	static const char *const bad[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t k[32], u[32], out[32], before[32];

	(void)state;
	ntm_crypto_keypair(k, u);
	memset(out, 0x5a, 32);
	memset(before, 0x5a, 32);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		hex(bad[i], u, 32);
		assert_int_equal(ntm_crypto_shared(out, k, u), -EINVAL);
		assert_memory_equal(out, before, 32);
	}
}

static void x25519_gives_the_results_of_wycheproof(void **state)
{
	static const uint8_t zero[32];
	struct json_object *vectors = vectors_open("wycheproof_x25519_test.json");
	struct json_object *groups = vectors_get(vectors, "testGroups");
	int good = 0, refused = 0;

	(void)state;
	for (size_t g = 0; g < json_object_array_length(groups); g++) {
		struct json_object *tests = vectors_get(json_object_array_get_idx(groups, g), "tests");

		for (size_t i = 0; i < json_object_array_length(tests); i++) {
			struct json_object *test = json_object_array_get_idx(tests, i);
			uint8_t k[32], u[32], expected[32], out[32];
			int r;

			assert_int_equal(vectors_hex(test, "private", k, 32), 32);
			assert_int_equal(vectors_hex(test, "public", u, 32), 32);
			assert_int_equal(vectors_hex(test, "shared", expected, 32), 32);
			r = ntm_crypto_shared(out, k, u);
			if (!memcmp(expected, zero, 32)) {
				assert_int_equal(r, -EINVAL);
				refused++;
			} else {
				assert_int_equal(r, 0);
				assert_memory_equal(out, expected, 32);
				good++;
			}
		}
	}
	json_object_put(vectors);
	assert_true(good > 400 && refused > 20);
}

static void two_new_key_pairs_agree_on_a_secret_and_differ(void **state)
{
	uint8_t a[32], a_pub[32], b[32], b_pub[32], ab[32], ba[32];

	(void)state;
	ntm_crypto_keypair(a, a_pub);
	ntm_crypto_keypair(b, b_pub);
	assert_memory_not_equal(a, b, 32);
	assert_int_equal(ntm_crypto_shared(ab, a, b_pub), 0);
	assert_int_equal(ntm_crypto_shared(ba, b, a_pub), 0);
	assert_memory_equal(ab, ba, 32);
}

/* ---- the rest */

static void random_numbers_stay_below_their_limit_and_reach_all_of_it(void **state)
{
	unsigned int seen[7] = {0};

	(void)state;
	for (int i = 0; i < 7000; i++) {
		uint32_t v = ntm_crypto_random_below(7);

		assert_true(v < 7);
		seen[v]++;
	}
	/* 1000 expected, standard deviation 29 */
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 750, 1250);
	assert_int_equal(ntm_crypto_random_below(1), 0);
	/* three quarters of 2^32: with a bare remainder a half would lie in the lowest third, not a third */
	seen[0] = 0;
	for (int i = 0; i < 6000; i++)
		seen[0] += ntm_crypto_random_below(0xc0000000U) < 0x40000000U;
	assert_in_range(seen[0], 1750, 2250);
	assert_true(ntm_crypto_random_below(0x80000001U) <= 0x80000000U);
	assert_true(ntm_crypto_random_u64() != ntm_crypto_random_u64());
}

static void equal_looks_at_every_byte_and_wipe_at_none_but_its_own(void **state)
{
	uint8_t a[40], b[40];

	(void)state;
	ntm_crypto_random(a, sizeof(a));
	memcpy(b, a, sizeof(b));
	assert_true(ntm_crypto_equal(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		assert_false(ntm_crypto_equal(a, b, sizeof(a)));
		assert_true(ntm_crypto_equal(a, b, i));
		b[i] ^= 0x80;
	}
	memset(a, 0xff, sizeof(a));
	ntm_crypto_wipe(a + 1, 38);
	assert_int_equal(a[0], 0xff);
	assert_int_equal(a[39], 0xff);
	for (int i = 1; i < 39; i++)
		assert_int_equal(a[i], 0);
}

static void *hash_in_a_thread(void *arg)
{
	uint8_t key[32] = {0};

	for (int i = 0; i < 200; i++) {
		ntm_crypto_mac(arg, 32, key, &i, sizeof(i));
		ntm_crypto_hmac(arg, arg, 32, &i, sizeof(i));
	}
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	uint8_t out[4][32], expected[32];
	pthread_t thread[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hash_in_a_thread, out[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	hash_in_a_thread(expected);
	for (int i = 0; i < 4; i++)
		assert_memory_equal(out[i], expected, 32);
}

int main(void)
{
	const struct CMUnitTest crypto[] = {
		cmocka_unit_test(the_second_blake2s_passes_the_self_test_of_rfc_7693),
		cmocka_unit_test(the_hash_of_abc_is_that_of_rfc_7693),
		cmocka_unit_test(the_hash_is_blake2s_at_every_length_and_however_it_is_cut),
		cmocka_unit_test(the_mac_is_keyed_blake2s_at_every_output_length),
		cmocka_unit_test(a_short_mac_is_no_cut_long_one),
		cmocka_unit_test(hmac_takes_keys_shorter_and_longer_than_a_block),
		cmocka_unit_test(hkdf_gives_three_outputs_and_may_overwrite_its_input),
		cmocka_unit_test(a_derived_key_is_the_first_output_of_hkdf_over_label_and_context),
		cmocka_unit_test(x25519_gives_the_results_of_rfc_7748),
		cmocka_unit_test(a_thousand_rounds_of_x25519_end_where_rfc_7748_says),
		cmocka_unit_test(a_key_of_small_order_is_refused_and_leaves_the_result_alone),
		cmocka_unit_test(x25519_gives_the_results_of_wycheproof),
		cmocka_unit_test(two_new_key_pairs_agree_on_a_secret_and_differ),
		cmocka_unit_test(random_numbers_stay_below_their_limit_and_reach_all_of_it),
		cmocka_unit_test(equal_looks_at_every_byte_and_wipe_at_none_but_its_own),
		cmocka_unit_test(threads_do_not_disturb_each_other),
	};

	return cmocka_run_group_tests(crypto, NULL, NULL);
}
