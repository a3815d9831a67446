/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_cookie.c - lib/cookie.c: who passes mac1 and mac2, how long a cookie lives, and what a limiter lets
 * through. Time is given, none is waited for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cookie.h"
#include "crypto.h"

#define LIFETIME_MS (NTM_COOKIE_LIFETIME_S * 1000LL)
#define PACKET 60 /* bytes before the MACs */

static struct ntm_endpoint ipv4(uint32_t addr, uint16_t port)
{
	struct ntm_endpoint e = {.port = port};

	e.addr.b[10] = e.addr.b[11] = 0xff;
	for (int i = 0; i < 4; i++)
		e.addr.b[12 + i] = (uint8_t)(addr >> (24 - 8 * i));
	return e;
}

static struct ntm_endpoint ipv6(uint32_t net, uint32_t host)
{
	struct ntm_endpoint e = {.port = 6866};

	e.addr.b[0] = 0x20;
	for (int i = 0; i < 4; i++) {
		e.addr.b[4 + i] = (uint8_t)(net >> (24 - 8 * i));
		e.addr.b[12 + i] = (uint8_t)(host >> (24 - 8 * i));
	}
	return e;
}

/* ---- MACs */

static void the_mac1_key_is_a_labelled_key_of_the_public_key(void **state)
{
	static const uint8_t expected[32] = {0x50, 0x41, 0x54, 0xbc, 0x08, 0x01, 0x7c, 0x69, 0x92, 0xd4, 0xda,
					     0x96, 0xd7, 0x22, 0x2f, 0x5f, 0x67, 0xca, 0x50, 0x2d, 0xdb, 0x9c,
					     0x53, 0x1a, 0x14, 0xf6, 0x83, 0x3e, 0x81, 0x48, 0x61, 0x23};
	uint8_t public_key[32], key[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		public_key[i] = (uint8_t)i;
	ntm_cookie_mac1_key(key, public_key);
	assert_memory_equal(key, expected, 32);
}

static void mac1_is_keyed_blake2s_and_mac2_zero_without_a_cookie(void **state)
{
	static const uint8_t zero[NTM_MAC_LEN];
	uint8_t packet[PACKET + 32], key[32] = {1}, mac[NTM_MAC_LEN];

	(void)state;
	ntm_crypto_random(packet, sizeof(packet));
	ntm_cookie_macs_add(packet, PACKET, key, NULL);
	ntm_crypto_mac(mac, sizeof(mac), key, packet, PACKET);
	assert_memory_equal(packet + PACKET, mac, NTM_MAC_LEN);
	assert_memory_equal(packet + PACKET + NTM_MAC_LEN, zero, NTM_MAC_LEN);
}

static void mac1_covers_every_bit_before_it_and_not_mac2(void **state)
{
	uint8_t packet[PACKET + 32], key[32] = {1}, other[32] = {2};

	(void)state;
	ntm_crypto_random(packet, sizeof(packet));
	ntm_cookie_macs_add(packet, PACKET, key, NULL);
	assert_true(ntm_cookie_mac1_ok(packet, sizeof(packet), key));
	assert_false(ntm_cookie_mac1_ok(packet, sizeof(packet), other));
	for (size_t bit = 0; bit < sizeof(packet) * 8; bit++) {
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ntm_cookie_mac1_ok(packet, sizeof(packet), key),
				 bit / 8 >= PACKET + NTM_MAC_LEN);
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void short_packets_have_no_macs(void **state)
{
	struct ntm_endpoint source = ipv4(0x0a000001, 6866);
	uint8_t packet[PACKET + 32] = {0}, key[32] = {1};
	struct ntm_cookie cookie;

	(void)state;
	ntm_cookie_init(&cookie, 0);
	ntm_cookie_macs_add(packet, PACKET, key, NULL);
	for (size_t len = 0; len < sizeof(packet); len++) {
		assert_false(ntm_cookie_mac1_ok(packet, len, key));
		assert_false(ntm_cookie_mac2_ok(&cookie, 0, &source, 0, packet, len));
	}
	/* nothing before the MACs is a packet too */
	ntm_cookie_macs_add(packet, 0, key, NULL);
	assert_true(ntm_cookie_mac1_ok(packet, 32, key));
}

/* ---- cookies */

static void mac2_needs_the_cookie_and_covers_every_bit(void **state)
{
	struct ntm_endpoint source = ipv4(0x0a000001, 6866);
	uint8_t packet[PACKET + 32], key[32] = {1}, token[NTM_MAC_LEN];
	struct ntm_cookie cookie;

	(void)state;
	ntm_crypto_random(packet, sizeof(packet));
	ntm_cookie_init(&cookie, 1000);
	ntm_cookie_macs_add(packet, PACKET, key, NULL);
	assert_false(ntm_cookie_mac2_ok(&cookie, 1000, &source, 0, packet, sizeof(packet)));
	ntm_cookie_make(&cookie, 1000, &source, 0, token);
	ntm_cookie_macs_add(packet, PACKET, key, token);
	assert_true(ntm_cookie_mac1_ok(packet, sizeof(packet), key));
	assert_true(ntm_cookie_mac2_ok(&cookie, 1000, &source, 0, packet, sizeof(packet)));
	for (size_t bit = 0; bit < sizeof(packet) * 8; bit++) {
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(ntm_cookie_mac2_ok(&cookie, 1000, &source, 0, packet, sizeof(packet)));
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void mac2_is_keyed_by_the_cookie_and_sixteen_zero_bytes(void **state)
{
	uint8_t packet[PACKET + 32] = {7}, key[32] = {1}, token[32] = {9, 8, 7}, mac[NTM_MAC_LEN];

	(void)state;
	ntm_cookie_macs_add(packet, PACKET, key, token);
	ntm_crypto_mac(mac, sizeof(mac), token, packet, PACKET + NTM_MAC_LEN);
	assert_memory_equal(packet + PACKET + NTM_MAC_LEN, mac, NTM_MAC_LEN);
}

static void a_cookie_is_for_one_address_port_path_and_receiver(void **state)
{
	struct ntm_endpoint source = ipv4(0x0a000001, 6866), neighbour = ipv4(0x0a000002, 6866);
	struct ntm_endpoint low = ipv4(0x0a000001, 6867), high = ipv4(0x0a000001, 6866 ^ 0x100);
	uint8_t packet[PACKET + 32] = {0}, key[32] = {1}, token[NTM_MAC_LEN];
	struct ntm_cookie cookie, other;

	(void)state;
	ntm_cookie_init(&cookie, 0);
	ntm_cookie_init(&other, 0);
	ntm_cookie_make(&cookie, 0, &source, 77, token);
	ntm_cookie_macs_add(packet, PACKET, key, token);
	assert_true(ntm_cookie_mac2_ok(&cookie, 0, &source, 77, packet, sizeof(packet)));
	assert_false(ntm_cookie_mac2_ok(&cookie, 0, &neighbour, 77, packet, sizeof(packet)));
	assert_false(ntm_cookie_mac2_ok(&cookie, 0, &low, 77, packet, sizeof(packet)));
	assert_false(ntm_cookie_mac2_ok(&cookie, 0, &high, 77, packet, sizeof(packet)));
	assert_false(ntm_cookie_mac2_ok(&cookie, 0, &source, 76, packet, sizeof(packet)));
	assert_false(ntm_cookie_mac2_ok(&cookie, 0, &source, 77ULL | 1ULL << 63, packet, sizeof(packet)));
	assert_false(ntm_cookie_mac2_ok(&other, 0, &source, 77, packet, sizeof(packet)));
}

/* Whether a cookie made at made_ms still passes at now_ms, nobody having asked in between. */
static bool lives(int64_t made_ms, int64_t now_ms)
{
	struct ntm_endpoint source = ipv6(1, 1);
	uint8_t packet[PACKET + 32] = {0}, key[32] = {1}, token[NTM_MAC_LEN];
	struct ntm_cookie cookie;

	ntm_cookie_init(&cookie, 0);
	ntm_cookie_make(&cookie, made_ms, &source, 0, token);
	ntm_cookie_macs_add(packet, PACKET, key, token);
	return ntm_cookie_mac2_ok(&cookie, now_ms, &source, 0, packet, sizeof(packet));
}

static void a_cookie_outlives_its_secrets_use_by_one_lifetime(void **state)
{
	(void)state;
	assert_true(lives(0, LIFETIME_MS - 1));
	assert_true(lives(0, LIFETIME_MS));
	assert_true(lives(LIFETIME_MS - 1, 2 * LIFETIME_MS - 1));
	assert_false(lives(0, 2 * LIFETIME_MS));
	assert_false(lives(0, 100 * LIFETIME_MS));
	assert_true(lives(LIFETIME_MS, 3 * LIFETIME_MS - 1));
	assert_false(lives(LIFETIME_MS, 3 * LIFETIME_MS));
}

static void the_secret_changes_every_lifetime_and_is_forgotten_after_the_next(void **state)
{
	struct ntm_endpoint source = ipv4(1, 1);
	uint8_t packet[PACKET + 32] = {0}, key[32] = {1}, token[4][NTM_MAC_LEN];
	struct ntm_cookie cookie;

	(void)state;
	ntm_cookie_init(&cookie, 500);
	ntm_cookie_make(&cookie, 500, &source, 0, token[0]);
	ntm_cookie_make(&cookie, 500 + LIFETIME_MS - 1, &source, 0, token[1]);
	ntm_cookie_make(&cookie, 500 + LIFETIME_MS, &source, 0, token[2]);
	ntm_cookie_make(&cookie, 500 + 2 * LIFETIME_MS, &source, 0, token[3]);
	assert_memory_equal(token[0], token[1], NTM_MAC_LEN);
	assert_memory_not_equal(token[1], token[2], NTM_MAC_LEN);
	assert_memory_not_equal(token[2], token[3], NTM_MAC_LEN);
	for (int i = 0; i < 4; i++) {
		ntm_cookie_macs_add(packet, PACKET, key, token[i]);
		assert_int_equal(ntm_cookie_mac2_ok(&cookie, 500 + 2 * LIFETIME_MS, &source, 0, packet,
						    sizeof(packet)),
				 i >= 2);
	}
}

/* ---- limiter */

static int taken(struct ntm_limiter *limiter, int64_t now_us, struct ntm_endpoint source, uint64_t path_id,
		 int tries)
{
	int n = 0;

	for (int i = 0; i < tries; i++)
		n += ntm_limiter_take(limiter, now_us, &source, path_id);
	return n;
}

static void one_source_gets_one_seconds_tokens_at_once_and_then_its_rate(void **state)
{
	static struct ntm_limiter limiter;
	struct ntm_endpoint source = ipv4(0x0a000001, 1);
	int64_t start = 5000000000LL;
	int n = 0;

	(void)state;
	ntm_limiter_init(&limiter, 1000, 10);
	assert_int_equal(taken(&limiter, start, source, 0, 50), 10);
	assert_int_equal(taken(&limiter, start + 99999, source, 0, 5), 0);
	assert_int_equal(taken(&limiter, start + 100000, source, 0, 5), 1);
	/* hammered every millisecond for 10 s: 10 a second */
	for (int64_t t = 100001; t <= 10100000; t += 1000)
		n += taken(&limiter, start + t, source, 0, 1);
	assert_in_range(n, 99, 100);
	/* a rest fills the bucket, not more */
	assert_int_equal(taken(&limiter, start + 100000000, source, 0, 50), 10);
}

static void all_sources_together_stay_below_the_rate_over_all(void **state)
{
	static struct ntm_limiter limiter;
	int n = 0;

	(void)state;
	ntm_limiter_init(&limiter, 100, 10);
	for (uint32_t i = 0; i < 5000; i++)
		n += taken(&limiter, 0, ipv4(0x0a000000 + i, 1), 0, 1);
	assert_int_equal(n, 100);
	n = 0;
	for (uint32_t i = 0; i < 5000; i++)
		n += taken(&limiter, 1000 * (int64_t)i, ipv4(0x0b000000 + i * 7, 1), 0, 1);
	assert_in_range(n, 490, 500);
}

static void a_source_over_its_limit_takes_nothing_from_the_others(void **state)
{
	static struct ntm_limiter limiter;
	int n = 0;

	(void)state;
	ntm_limiter_init(&limiter, 100, 10);
	assert_int_equal(taken(&limiter, 0, ipv4(1, 1), 0, 100000), 10);
	for (uint32_t i = 2; i < 1000; i++)
		n += taken(&limiter, 0, ipv4(i, 1), 0, 1);
	assert_int_equal(n, 90);
}

static void the_limit_over_all_takes_nothing_from_a_source(void **state)
{
	static struct ntm_limiter limiter;

	(void)state;
	ntm_limiter_init(&limiter, 5, 10);
	assert_int_equal(taken(&limiter, 0, ipv4(1, 1), 0, 1000), 5);
	for (size_t i = 0; i < NTM_SOURCES_MAX; i++)
		assert_true(limiter.source_us[i] == 0 || limiter.source_us[i] == 500000);
}

/* How many of `tries` sources, which differ as `kind` says, get a token when each asks once and 1 is allowed.
 */
static int sources_counted(char kind, int tries)
{
	static struct ntm_limiter limiter;
	int n = 0;

	ntm_limiter_init(&limiter, 1000000, 1);
	for (int i = 0; i < tries; i++) {
		uint32_t v = (uint32_t)i;

		n += taken(&limiter, 0,
			   kind == 'a'	 ? ipv4(0xc0000200 + v, 1)
			   : kind == 'p' ? ipv4(0xc0000200, (uint16_t)(1000 + v))
			   : kind == 'h' ? ipv6(7, v)
			   : kind == 'n' ? ipv6(v, 7)
					 : ipv4(0xc0000200, 1),
			   kind == 'i' ? v : 0, 1);
	}
	return n;
}

static void sources_are_ipv4_addresses_ipv6_networks_and_paths_but_no_ports(void **state)
{
	(void)state;
	/* 100 in 1024 slots: about 95 slots; fewer than 70 comes with a chance below 10^-9 */
	assert_in_range(sources_counted('a', 100), 70, 100);
	assert_in_range(sources_counted('n', 100), 70, 100);
	assert_in_range(sources_counted('i', 100), 70, 100);
	assert_int_equal(sources_counted('p', 100), 1);
	assert_int_equal(sources_counted('h', 100), 1);
}

static void two_limiters_put_sources_into_different_slots(void **state)
{
	static struct ntm_limiter a, b;

	(void)state;
	ntm_limiter_init(&a, 1000000, 1);
	ntm_limiter_init(&b, 1000000, 1);
	for (uint32_t i = 0; i < 50; i++) {
		taken(&a, 0, ipv4(i, 1), 0, 1);
		taken(&b, 0, ipv4(i, 1), 0, 1);
	}
	assert_memory_not_equal(a.source_us, b.source_us, sizeof(a.source_us));
}

static void a_rate_of_zero_lets_nothing_through(void **state)
{
	static struct ntm_limiter limiter;

	(void)state;
	ntm_limiter_init(&limiter, 0, 10);
	assert_int_equal(taken(&limiter, 0, ipv4(1, 1), 0, 10), 0);
	assert_int_equal(taken(&limiter, 1000000000, ipv4(1, 1), 0, 10), 0);
	ntm_limiter_init(&limiter, 10, 0);
	assert_int_equal(taken(&limiter, 1000000000, ipv4(1, 1), 0, 10), 0);
}

int main(void)
{
	const struct CMUnitTest cookie[] = {
		cmocka_unit_test(the_mac1_key_is_a_labelled_key_of_the_public_key),
		cmocka_unit_test(mac1_is_keyed_blake2s_and_mac2_zero_without_a_cookie),
		cmocka_unit_test(mac1_covers_every_bit_before_it_and_not_mac2),
		cmocka_unit_test(short_packets_have_no_macs),
		cmocka_unit_test(mac2_needs_the_cookie_and_covers_every_bit),
		cmocka_unit_test(mac2_is_keyed_by_the_cookie_and_sixteen_zero_bytes),
		cmocka_unit_test(a_cookie_is_for_one_address_port_path_and_receiver),
		cmocka_unit_test(a_cookie_outlives_its_secrets_use_by_one_lifetime),
		cmocka_unit_test(the_secret_changes_every_lifetime_and_is_forgotten_after_the_next),
		cmocka_unit_test(one_source_gets_one_seconds_tokens_at_once_and_then_its_rate),
		cmocka_unit_test(all_sources_together_stay_below_the_rate_over_all),
		cmocka_unit_test(a_source_over_its_limit_takes_nothing_from_the_others),
		cmocka_unit_test(the_limit_over_all_takes_nothing_from_a_source),
		cmocka_unit_test(sources_are_ipv4_addresses_ipv6_networks_and_paths_but_no_ports),
		cmocka_unit_test(two_limiters_put_sources_into_different_slots),
		cmocka_unit_test(a_rate_of_zero_lets_nothing_through),
	};

	return cmocka_run_group_tests(cookie, NULL, NULL);
}
