/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_aead.c - lib/aead.c with each implementation against RFC 8439, Wycheproof, packets that were tampered
 * with, and the implementations against each other.
 */
#include "vectors.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>

#include "aead.h"
#include "aead_internal.h"
#include "crypto.h"

static const char *const rfc_key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
static const char *const rfc_text =
	"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
	"sunscreen would be it.";
static const char *const rfc_sealed = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
				      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
				      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
				      "3ff4def08e4b7a9de576d26586cec64b6116"
				      "1ae10b594f09e26a7e902ecbd0600691";

static void chacha20_poly1305_seals_as_section_2_8_2_of_rfc_8439(void **state)
{
	uint8_t key[32], nonce[12], ad[12], out[200], text[200];
	struct ntm_aead aead;
	size_t len = strlen(rfc_text);

	(void)state;
	hex(rfc_key, key, 32);
	hex("070000004041424344454647", nonce, 12);
	hex("50515253c0c1c2c3c4c5c6c7", ad, 12);
	assert_int_equal(ntm_aead_init(&aead, NTM_CIPHER_CHACHA20_POLY1305, key), 0);
	ntm_aead_seal_nonce(&aead, nonce, ad, 12, rfc_text, len, out);
	assert_hex(out, len + 16, rfc_sealed);
	assert_int_equal(ntm_aead_open_nonce(&aead, nonce, ad, 12, out, len + 16, text), len);
	assert_memory_equal(text, rfc_text, len);
	ntm_aead_clear(&aead);
}

/* Its nonce is 4 zero bytes and a little-endian counter, as ours. */
static void a_counter_becomes_the_nonce_of_appendix_a_5_of_rfc_8439(void **state)
{
	static const char *const sealed_hex =
		"64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e"
		"382d26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd"
		"60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c76"
		"7b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a"
		"0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a67276"
		"27097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b0270"
		"9beead9d67890cbb22392336fea1851f38";
	static const char *const text =
		"Internet-Drafts are draft documents valid for a maximum of six months and may be updated, "
		"replaced, or obsoleted by other documents at any time. It is inappropriate to use "
		"Internet-Drafts as reference material or to cite them other than as "
		"/\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
	uint8_t key[32], ad[12], sealed[300], out[300];
	size_t len = strlen(text);

	(void)state;
	hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", key, 32);
	hex("f33388860000000000004e91", ad, 12);
	assert_int_equal(hex(sealed_hex, sealed, sizeof(sealed)), len + 16);
	assert_int_equal(ntm_aead_open_once(key, 0x0807060504030201, ad, 12, sealed, len + 16, out), len);
	assert_memory_equal(out, text, len);
	ntm_aead_seal_once(key, 0x0807060504030201, ad, 12, text, len, out);
	assert_memory_equal(out, sealed, len + 16);
	assert_int_equal(ntm_aead_open_once(key, 0x0807060504030202, ad, 12, sealed, len + 16, out),
			 -EBADMSG);
}

/* One case of Wycheproof. Returns whether it was to open. */
static bool wycheproof_case(enum ntm_cipher cipher, const struct ntm_aead_impl *impl, struct json_object *test)
{
	uint8_t key[32], nonce[12], ad[1024], text[1024], sealed[1024], out[1024];
	bool valid = !strcmp(vectors_text(test, "result"), "valid");
	size_t ad_len, text_len, len;
	struct ntm_aead aead;

	assert_int_equal(vectors_hex(test, "key", key, 32), 32);
	assert_int_equal(vectors_hex(test, "iv", nonce, 12), 12);
	ad_len = vectors_hex(test, "aad", ad, sizeof(ad));
	text_len = vectors_hex(test, "msg", text, sizeof(text));
	len = vectors_hex(test, "ct", sealed, sizeof(sealed) - 16);
	len += vectors_hex(test, "tag", sealed + len, 16);
	assert_int_equal(len, text_len + 16);

	ntm_aead_init_by(&aead, cipher, impl, key);
	if (valid) {
		assert_int_equal(ntm_aead_open_nonce(&aead, nonce, ad, ad_len, sealed, len, out), text_len);
		assert_memory_equal(out, text, text_len);
	} else {
		assert_int_equal(ntm_aead_open_nonce(&aead, nonce, ad, ad_len, sealed, len, out), -EBADMSG);
	}
	ntm_aead_seal_nonce(&aead, nonce, ad, ad_len, text, text_len, out);
	if (valid)
		assert_memory_equal(out, sealed, len);
	else
		assert_memory_not_equal(out, sealed, len);
	ntm_aead_clear(&aead);
	return valid;
}

/* All cases with our key and nonce lengths. */
static void wycheproof_file_by(enum ntm_cipher cipher, const struct ntm_aead_impl *impl, const char *file,
			       int at_least_valid, int at_least_invalid)
{
	struct json_object *vectors = vectors_open(file);
	struct json_object *groups = vectors_get(vectors, "testGroups");
	int valid = 0, invalid = 0;

	for (size_t g = 0; g < json_object_array_length(groups); g++) {
		struct json_object *group = json_object_array_get_idx(groups, g);
		struct json_object *tests = vectors_get(group, "tests");

		if (json_object_get_int(vectors_get(group, "keySize")) != 256 ||
		    json_object_get_int(vectors_get(group, "ivSize")) != 96)
			continue;
		for (size_t i = 0; i < json_object_array_length(tests); i++) {
			if (wycheproof_case(cipher, impl, json_object_array_get_idx(tests, i)))
				valid++;
			else
				invalid++;
		}
	}
	json_object_put(vectors);
	assert_true(valid >= at_least_valid && invalid >= at_least_invalid);
}

static void wycheproof_file(enum ntm_cipher cipher, const char *file, int at_least_valid, int at_least_invalid)
{
	const struct ntm_aead_impl *impl;

	for (unsigned int n = 0; (impl = ntm_aead_impl_get(cipher, n)); n++) {
		print_message("%s by %s\n", ntm_aead_name(cipher), impl->name);
		wycheproof_file_by(cipher, impl, file, at_least_valid, at_least_invalid);
	}
}

static void chacha20_poly1305_gives_the_results_of_wycheproof(void **state)
{
	(void)state;
	wycheproof_file(NTM_CIPHER_CHACHA20_POLY1305, "wycheproof_chacha20_poly1305_test.json", 200, 20);
}

static void aes_256_gcm_gives_the_results_of_wycheproof(void **state)
{
	(void)state;
	wycheproof_file(NTM_CIPHER_AES_256_GCM, "wycheproof_aes_gcm_test.json", 30, 20);
}

static void what_was_sealed_opens_at_every_length_in_place_or_not(void **state)
{
	uint8_t key[32], ad[16], text[1500], apart[1516], place[1516];

	(void)state;
	ntm_crypto_random(key, sizeof(key));
	ntm_crypto_random(ad, sizeof(ad));
	ntm_crypto_random(text, sizeof(text));
	for (enum ntm_cipher cipher = 0; cipher < NTM_CIPHERS; cipher++) {
		struct ntm_aead aead;

		assert_int_equal(ntm_aead_init(&aead, cipher, key), 0);
		for (size_t len = 0; len <= sizeof(text); len += len < 300 ? 1 : 37) {
			memcpy(place, text, len);
			ntm_aead_seal(&aead, len, ad, sizeof(ad), text, len, apart);
			ntm_aead_seal(&aead, len, ad, sizeof(ad), place, len, place);
			assert_memory_equal(place, apart, len + 16);
			assert_int_equal(ntm_aead_open(&aead, len, ad, sizeof(ad), place, len + 16, place),
					 len);
			assert_memory_equal(place, text, len);
			assert_int_equal(ntm_aead_open(&aead, len, ad, sizeof(ad), apart, len + 16, place),
					 len);
			assert_memory_equal(place, text, len);
		}
		ntm_aead_clear(&aead);
	}
}

static void any_flipped_bit_keeps_a_packet_shut_and_the_next_one_opens(void **state)
{
	uint8_t key[32] = {1}, ad[16] = {2}, text[40] = {3}, sealed[56], out[56];

	(void)state;
	for (enum ntm_cipher cipher = 0; cipher < NTM_CIPHERS; cipher++) {
		struct ntm_aead aead;

		assert_int_equal(ntm_aead_init(&aead, cipher, key), 0);
		ntm_aead_seal(&aead, 5, ad, 16, text, 40, sealed);
		for (int bit = 0; bit < 56 * 8; bit++) {
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(ntm_aead_open(&aead, 5, ad, 16, sealed, 56, out), -EBADMSG);
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(ntm_aead_open(&aead, 5, ad, 16, sealed, 56, out), 40);
			assert_memory_equal(out, text, 40);
		}
		for (int bit = 0; bit < 16 * 8; bit++) {
			ad[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(ntm_aead_open(&aead, 5, ad, 16, sealed, 56, out), -EBADMSG);
			ad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (int bit = 0; bit < 64; bit++)
			assert_int_equal(ntm_aead_open(&aead, 5 ^ 1ULL << bit, ad, 16, sealed, 56, out),
					 -EBADMSG);
		ntm_aead_clear(&aead);
	}
}

static void a_truncated_packet_does_not_open(void **state)
{
	uint8_t key[32] = {1}, text[40] = {3}, sealed[56], out[56];

	(void)state;
	for (enum ntm_cipher cipher = 0; cipher < NTM_CIPHERS; cipher++) {
		struct ntm_aead aead;

		assert_int_equal(ntm_aead_init(&aead, cipher, key), 0);
		ntm_aead_seal(&aead, 0, NULL, 0, text, 40, sealed);
		for (size_t len = 0; len < 56; len++)
			assert_int_equal(ntm_aead_open(&aead, 0, NULL, 0, sealed, len, out),
					 len < 16 ? -EINVAL : -EBADMSG);
		assert_int_equal(ntm_aead_open(&aead, 0, NULL, 0, sealed, 56, out), 40);
		ntm_aead_clear(&aead);
	}
}

static void another_key_or_cipher_does_not_open(void **state)
{
	uint8_t key[32] = {1}, sealed[20], out[20];
	struct ntm_aead a, b, c;

	(void)state;
	ntm_aead_init(&a, NTM_CIPHER_CHACHA20_POLY1305, key);
	ntm_aead_init(&b, NTM_CIPHER_AES_256_GCM, key);
	key[31] ^= 1;
	ntm_aead_init(&c, NTM_CIPHER_CHACHA20_POLY1305, key);
	ntm_aead_seal(&a, 0, NULL, 0, "text", 4, sealed);
	assert_int_equal(ntm_aead_open(&a, 0, NULL, 0, sealed, 20, out), 4);
	assert_int_equal(ntm_aead_open(&b, 0, NULL, 0, sealed, 20, out), -EBADMSG);
	assert_int_equal(ntm_aead_open(&c, 0, NULL, 0, sealed, 20, out), -EBADMSG);
	ntm_aead_clear(&a);
	ntm_aead_clear(&b);
	ntm_aead_clear(&c);
}

static void without_a_key_nothing_opens_and_clearing_is_harmless(void **state)
{
	uint8_t key[32] = {0}, sealed[16], out[16];
	struct ntm_aead aead = {0};

	(void)state;
	ntm_aead_seal_once(key, 0, NULL, 0, NULL, 0, sealed);
	assert_int_equal(ntm_aead_open_once(key, 0, NULL, 0, sealed, 16, out), 0);
	assert_int_equal(ntm_aead_open(&aead, 0, NULL, 0, sealed, 16, out), -EBADMSG);
	ntm_aead_clear(&aead);
	assert_int_equal(ntm_aead_init(&aead, NTM_CIPHER_CHACHA20_POLY1305, key), 0);
	ntm_aead_clear(&aead);
	ntm_aead_clear(&aead);
	assert_int_equal(ntm_aead_open(&aead, 0, NULL, 0, sealed, 16, out), -EBADMSG);
}

/*
 * Every implementation seals the same bytes and opens the others', at every length, in place and not, and
 * wherever in memory the packet begins. Nothing is written beyond it.
 */
static void implementations_agree(enum ntm_cipher cipher, const struct ntm_aead_impl *one,
				  const struct ntm_aead_impl *other)
{
	uint8_t key[32], ad[16], text[2000], sealed[2016], buf[2100], opened[2100];
	struct ntm_aead a, b;

	ntm_crypto_random(key, sizeof(key));
	ntm_crypto_random(ad, sizeof(ad));
	ntm_crypto_random(text, sizeof(text));
	ntm_aead_init_by(&a, cipher, one, key);
	ntm_aead_init_by(&b, cipher, other, key);
	for (size_t len = 0; len <= sizeof(text); len++) {
		uint64_t counter = ntm_crypto_random_u64();
		uint8_t *place = buf + 1 + len % 67, *apart = opened + 1 + len * 7 % 64;
		size_t ad_len = len % 17;

		ntm_aead_seal(&a, counter, ad, ad_len, text, len, sealed);
		place[-1] = place[len + 16] = apart[-1] = apart[len] = 0xa5;
		memcpy(place, text, len);
		ntm_aead_seal(&b, counter, ad, ad_len, place, len, place);
		assert_memory_equal(place, sealed, len + 16);
		assert_int_equal(ntm_aead_open(&a, counter, ad, ad_len, place, len + 16, apart), len);
		assert_memory_equal(apart, text, len);
		assert_int_equal(ntm_aead_open(&b, counter, ad, ad_len, place, len + 16, place), len);
		assert_memory_equal(place, text, len);
		assert_true(place[-1] == 0xa5 && place[len + 16] == 0xa5);
		assert_true(apart[-1] == 0xa5 && apart[len] == 0xa5);
		sealed[len + len % 16] ^= 0x10;
		assert_int_equal(ntm_aead_open(&b, counter, ad, ad_len, sealed, len + 16, apart), -EBADMSG);
	}
	ntm_aead_clear(&a);
	ntm_aead_clear(&b);
}

static void implementations_agree_at_every_length(void **state)
{
	(void)state;
	for (enum ntm_cipher cipher = 0; cipher < NTM_CIPHERS; cipher++) {
		const struct ntm_aead_impl *impl, *best = ntm_aead_impl_get(cipher, 0);

		assert_string_equal(best->name, ntm_aead_implementation(cipher));
		for (unsigned int n = 0; (impl = ntm_aead_impl_get(cipher, n)); n++) {
			print_message("%s by %s and %s\n", ntm_aead_name(cipher), best->name, impl->name);
			implementations_agree(cipher, best, impl);
			if (impl != best)
				implementations_agree(cipher, impl, best);
		}
	}
}

/* Wherever the test runs, the slower implementation has to be there too: it is the one that always works. */
static void openssl_is_the_last_resort(void **state)
{
	(void)state;
	for (enum ntm_cipher cipher = 0; cipher < NTM_CIPHERS; cipher++) {
		const struct ntm_aead_impl *last = NULL, *impl;

		for (unsigned int n = 0; (impl = ntm_aead_impl_get(cipher, n)); n++)
			last = impl;
		assert_ptr_equal(last, &ntm_aead_openssl);
	}
	assert_null(ntm_aead_ipsec_mb(NTM_CIPHER_CHACHA20_POLY1305));
	assert_string_equal(ntm_aead_implementation(NTM_CIPHERS), "none");
}

static void a_key_takes_memory_only_for_what_it_is_used_for(void **state)
{
	uint8_t key[32] = {7}, packet[80] = {0};

	(void)state;
	for (enum ntm_cipher cipher = 0; cipher < NTM_CIPHERS; cipher++) {
		struct ntm_aead aead;

		assert_int_equal(ntm_aead_init(&aead, cipher, key), 0);
		assert_true(!aead.seal_ctx && !aead.open_ctx);
		ntm_aead_seal(&aead, 1, NULL, 0, packet, 64, packet);
		assert_true(aead.seal_ctx && !aead.open_ctx);
		ntm_aead_rest(&aead);
		assert_true(!aead.seal_ctx && !aead.open_ctx);
		assert_int_equal(ntm_aead_open(&aead, 1, NULL, 0, packet, 80, packet), 64);
		assert_true(!aead.seal_ctx && aead.open_ctx);
		for (int i = 0; i < 64; i++)
			assert_int_equal(packet[i], 0);
		ntm_aead_clear(&aead);
		for (size_t i = 0; i < sizeof(aead); i++)
			assert_int_equal(((uint8_t *)&aead)[i], 0);
	}
}

/*
 * What an idle tunnel keeps: the two lanes' keys of one phase, the bulk lane used in both directions. With the
 * rest of a path (about 1.2 KiB) that must stay below 4 KiB.
 */
static void the_keys_of_a_tunnel_fit_into_its_memory(void **state)
{
	enum { TUNNELS = 500 };
	static struct ntm_aead aead[TUNNELS][4];
	uint8_t key[32] = {9}, packet[80];
	size_t before = 0, used;

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	print_message("memory has another size with AddressSanitizer\n");
	skip();
#endif
	for (int i = -TUNNELS / 2; i < TUNNELS; i++) { /* the first ones fill malloc's caches */
		struct ntm_aead *a = aead[i < 0 ? 0 : i];

		if (i == 0)
			before = mallinfo2().uordblks;
		for (int k = 0; k < 4; k++)
			ntm_aead_init(&a[k], k < 2 ? NTM_CIPHER_CHACHA20_POLY1305 : NTM_CIPHER_AES_256_GCM, key);
		ntm_aead_seal(&a[2], 1, NULL, 0, packet, 64, packet);
		ntm_aead_open(&a[3], 1, NULL, 0, packet, 80, packet);
		for (int k = 0; i < 0 && k < 4; k++)
			ntm_aead_clear(&a[k]);
	}
	used = (mallinfo2().uordblks - before) / TUNNELS + sizeof(aead[0]);
	print_message("%zu bytes a tunnel\n", used);
	assert_in_range(used, sizeof(aead[0]) + 1000, 2800);
	for (int i = 0; i < TUNNELS; i++)
		for (int k = 0; k < 4; k++)
			ntm_aead_clear(&aead[i][k]);
}

static void an_unknown_cipher_is_refused(void **state)
{
	uint8_t key[32] = {0};
	struct ntm_aead aead = {0};

	(void)state;
	assert_int_equal(ntm_aead_init(&aead, NTM_CIPHERS, key), -ENOTSUP);
	assert_int_equal(ntm_aead_init(&aead, (enum ntm_cipher) - 1, key), -ENOTSUP);
	assert_null(aead.impl);
	assert_string_equal(ntm_aead_name(NTM_CIPHER_CHACHA20_POLY1305), "chacha20-poly1305");
	assert_string_equal(ntm_aead_name(NTM_CIPHER_AES_256_GCM), "aes-256-gcm");
	assert_string_equal(ntm_aead_name(NTM_CIPHERS), "unknown");
}

int main(void)
{
	const struct CMUnitTest aead[] = {
		cmocka_unit_test(chacha20_poly1305_seals_as_section_2_8_2_of_rfc_8439),
		cmocka_unit_test(a_counter_becomes_the_nonce_of_appendix_a_5_of_rfc_8439),
		cmocka_unit_test(chacha20_poly1305_gives_the_results_of_wycheproof),
		cmocka_unit_test(aes_256_gcm_gives_the_results_of_wycheproof),
		cmocka_unit_test(what_was_sealed_opens_at_every_length_in_place_or_not),
		cmocka_unit_test(any_flipped_bit_keeps_a_packet_shut_and_the_next_one_opens),
		cmocka_unit_test(a_truncated_packet_does_not_open),
		cmocka_unit_test(another_key_or_cipher_does_not_open),
		cmocka_unit_test(without_a_key_nothing_opens_and_clearing_is_harmless),
		cmocka_unit_test(implementations_agree_at_every_length),
		cmocka_unit_test(openssl_is_the_last_resort),
		cmocka_unit_test(a_key_takes_memory_only_for_what_it_is_used_for),
		cmocka_unit_test(the_keys_of_a_tunnel_fit_into_its_memory),
		cmocka_unit_test(an_unknown_cipher_is_refused),
	};

	return cmocka_run_group_tests(aead, NULL, NULL);
}
