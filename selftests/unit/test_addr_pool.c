/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_addr_pool.c - virtual addresses are unique, stay, and go round (dc/addr_pool.c).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dc/addr_pool.h"
#include "endpoint.h"

static void pool_make(struct dc_addr_pool *pool, const char *v4, const char *v6)
{
	struct dc_prefix p4, p6;

	assert_int_equal(dc_prefix_parse(&p4, v4), 0);
	assert_int_equal(dc_prefix_parse(&p6, v6), 0);
	assert_int_equal(dc_addr_pool_init(pool, &p4, &p6), 0);
}

static void prefixes_are_taken_only_in_their_plain_form(void **state)
{
	static const char *const good[] = {"198.18.0.0/16",    "10.0.0.0/8", "192.0.2.8/29",
					   "fd4e:544d:1::/64", "fd00::/8",   "fd00::8/125"};
	static const char *const bad[] = {"198.18.0.0",
					  "198.18.0.0/",
					  "198.18.0.0/7",
					  "198.18.0.0/30",
					  "198.18.0.1/16",
					  "198.18.0.0/16x",
					  "198.18.0.0/ 16",
					  "198.18.0.0/+16",
					  "198.18.0/16",
					  "/16",
					  "",
					  "fd4e:544d:1::1/64",
					  "fd00::/126",
					  "fd00::/129",
					  "fd00::/7",
					  "x/16"};
	struct dc_prefix prefix;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(dc_prefix_parse(&prefix, good[i]), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(dc_prefix_parse(&prefix, bad[i]), -EINVAL);
}

static void network_router_and_broadcast_are_nobodys(void **state)
{
	struct dc_addr_pool pool;
	uint32_t number, count = 0;
	uint8_t v4[4];

	(void)state;
	pool_make(&pool, "192.0.2.8/29", "fd00::/64");
	while (!dc_addr_pool_allocate(&pool, &number)) {
		dc_addr_pool_v4(&pool, number, v4);
		assert_in_range(v4[3], 10, 14);
		count++;
	}
	assert_int_equal(count, 5);
	assert_int_equal(dc_addr_pool_allocate(&pool, &number), -ENOSPC);
	assert_int_equal(dc_addr_pool_take(&pool, 0), -ERANGE);
	assert_int_equal(dc_addr_pool_take(&pool, 1), -ERANGE);
	assert_int_equal(dc_addr_pool_take(&pool, 7), -ERANGE);
	dc_addr_pool_clear(&pool);
}

static void all_numbers_of_a_pool_are_given_once(void **state)
{
	static uint8_t seen[65536];
	struct dc_addr_pool pool;
	uint32_t number;

	(void)state;
	pool_make(&pool, "198.18.0.0/16", "fd4e:544d:1::/64");
	for (int i = 0; i < 65536 - 3; i++) {
		assert_int_equal(dc_addr_pool_allocate(&pool, &number), 0);
		assert_false(seen[number]++);
	}
	assert_int_equal(dc_addr_pool_allocate(&pool, &number), -ENOSPC);
	/* the only free one is found wherever it lies */
	for (uint32_t free_one = 2; free_one < 65535; free_one += 4099) {
		dc_addr_pool_release(&pool, free_one);
		assert_int_equal(dc_addr_pool_allocate(&pool, &number), 0);
		assert_int_equal(number, free_one);
	}
	dc_addr_pool_clear(&pool);
}

static void a_released_number_is_given_again_last(void **state)
{
	struct dc_addr_pool pool;
	uint32_t first, number;

	(void)state;
	pool_make(&pool, "192.0.2.0/24", "fd00::/64");
	assert_int_equal(dc_addr_pool_allocate(&pool, &first), 0);
	dc_addr_pool_release(&pool, first);
	dc_addr_pool_release(&pool, first); /* twice changes nothing */
	assert_int_equal(pool.used, 0);
	for (int i = 0; i < 252; i++) {
		assert_int_equal(dc_addr_pool_allocate(&pool, &number), 0);
		assert_int_not_equal(number, first);
	}
	assert_int_equal(dc_addr_pool_allocate(&pool, &number), 0);
	assert_int_equal(number, first);
	dc_addr_pool_clear(&pool);
}

static void numbers_from_the_database_are_not_given_to_others(void **state)
{
	struct dc_addr_pool pool;
	uint32_t number;

	(void)state;
	pool_make(&pool, "192.0.2.0/24", "fd00::/64");
	assert_int_equal(dc_addr_pool_take(&pool, 200), 0);
	assert_int_equal(dc_addr_pool_take(&pool, 200), -EEXIST);
	for (int i = 0; i < 252; i++) {
		assert_int_equal(dc_addr_pool_allocate(&pool, &number), 0);
		assert_int_not_equal(number, 200);
	}
	assert_int_equal(dc_addr_pool_allocate(&pool, &number), -ENOSPC);
	dc_addr_pool_clear(&pool);
}

static void number_and_addresses_belong_together(void **state)
{
	static const struct {
		const char *addr;
		int64_t number; /* -1: none */
	} table[] = {
		{"198.18.0.2", 2},
		{"198.18.1.0", 256},
		{"198.18.255.254", 65534},
		{"198.18.0.0", -1},
		{"198.18.0.1", -1},
		{"198.18.255.255", -1},
		{"198.19.0.2", -1},
		{"fd4e:544d:1::2", 2},
		{"fd4e:544d:1::fffe", 65534},
		{"fd4e:544d:1::1:2", -1},
		{"fd4e:544d:2::2", -1},
		{"fd4e:544d:1::1:0:2", -1},
		{"fd4e:544d:1::ffff", -1},
		{"fd4e:544d:1:0:8000::2", -1},
	};
	struct dc_addr_pool pool;

	(void)state;
	pool_make(&pool, "198.18.0.0/16", "fd4e:544d:1::/64");
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct ntm_addr addr, back;
		uint32_t number = 0;
		uint8_t v4[4], v6[16];
		int err;

		assert_int_equal(ntm_addr_parse(&addr, table[i].addr), 0);
		err = dc_addr_pool_number(&pool, &addr, &number);
		assert_int_equal(err, table[i].number < 0 ? -ERANGE : 0);
		if (err)
			continue;
		assert_int_equal(number, table[i].number);
		dc_addr_pool_v4(&pool, number, v4);
		dc_addr_pool_v6(&pool, number, v6);
		if (ntm_addr_is4(&addr))
			ntm_addr_from4(&back, v4);
		else
			ntm_addr_from6(&back, v6);
		assert_true(ntm_addr_equal(&addr, &back));
		assert_true(dc_addr_pool_holds(&pool, &addr));
	}
	dc_addr_pool_clear(&pool);
}

static void the_smaller_prefix_bounds_the_pool(void **state)
{
	struct dc_addr_pool pool;

	(void)state;
	pool_make(&pool, "10.0.0.0/8", "fd00::/120");
	assert_int_equal(pool.end, 255);
	dc_addr_pool_clear(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_are_taken_only_in_their_plain_form),
		cmocka_unit_test(network_router_and_broadcast_are_nobodys),
		cmocka_unit_test(all_numbers_of_a_pool_are_given_once),
		cmocka_unit_test(a_released_number_is_given_again_last),
		cmocka_unit_test(numbers_from_the_database_are_not_given_to_others),
		cmocka_unit_test(number_and_addresses_belong_together),
		cmocka_unit_test(the_smaller_prefix_bounds_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
