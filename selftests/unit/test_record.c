/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_record.c - RDATA of NTMv4 and NTMv6 records byte for byte (lib/record.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "endpoint.h"
#include "record.h"

static struct ntm_addr addr(const char *text)
{
	struct ntm_addr a;

	assert_int_equal(ntm_addr_parse(&a, text), 0);
	return a;
}

static void key_fill(uint8_t key[NTM_KEY_LEN])
{
	for (int i = 0; i < NTM_KEY_LEN; i++)
		key[i] = (uint8_t)(0xa0 + i);
}

static void an_ntmv4_record_has_these_50_bytes(void **state)
{
	static const uint8_t head[] = {198, 18, 0, 2, 203, 0, 113, 10, 0x1a, 0xd2};
	static const uint8_t tail[] = {192, 168, 1, 5, 203, 0, 113, 77};
	struct ntm_record record = {.is4 = true,
				    .vip = addr("198.18.0.2"),
				    .real = addr("192.168.1.5"),
				    .nat = addr("203.0.113.77"),
				    .dc = {addr("203.0.113.10"), 6866}};
	uint8_t out[NTM_RECORD6_LEN];

	(void)state;
	key_fill(record.public_key);
	assert_int_equal(ntm_record_build(out, &record), NTM_RECORD4_LEN);
	assert_memory_equal(out, head, sizeof(head));
	assert_memory_equal(out + sizeof(head), record.public_key, NTM_KEY_LEN);
	assert_memory_equal(out + sizeof(head) + NTM_KEY_LEN, tail, sizeof(tail));
}

static void an_ntmv6_record_has_these_98_bytes(void **state)
{
	struct ntm_record record = {.is4 = false,
				    .vip = addr("fd4e:544d:1::2"),
				    .real = addr("2001:db8::5"),
				    .nat = addr("2001:db8::77"),
				    .dc = {addr("2001:db8::10"), 6866}};
	uint8_t out[NTM_RECORD6_LEN], expected[NTM_RECORD6_LEN];

	(void)state;
	key_fill(record.public_key);
	memcpy(expected, record.vip.b, 16);
	memcpy(expected + 16, record.dc.addr.b, 16);
	memcpy(expected + 32, "\x1a\xd2", 2);
	memcpy(expected + 34, record.public_key, NTM_KEY_LEN);
	memcpy(expected + 66, record.real.b, 16);
	memcpy(expected + 82, record.nat.b, 16);
	assert_int_equal(ntm_record_build(out, &record), NTM_RECORD6_LEN);
	assert_memory_equal(out, expected, sizeof(expected));
}

static void what_was_built_is_parsed_again(void **state)
{
	struct ntm_record in[2] = {
		{.is4 = true,
		 .vip = addr("198.18.0.2"),
		 .real = addr("192.0.2.5"),
		 .dc = {addr("203.0.113.10"), 53}},
		{.is4 = false,
		 .vip = addr("fd00::2"),
		 .nat = addr("2001:db8::1"),
		 .dc = {addr("2001:db8::10"), 1}},
	};
	uint8_t out[NTM_RECORD6_LEN];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct ntm_record record;
		size_t len;

		key_fill(in[i].public_key);
		len = ntm_record_build(out, &in[i]);
		assert_int_equal(ntm_record_parse(&record, in[i].is4, out, len), 0);
		assert_int_equal(record.is4, in[i].is4);
		assert_true(ntm_addr_equal(&record.vip, &in[i].vip));
		assert_true(ntm_endpoint_equal(&record.dc, &in[i].dc));
		assert_memory_equal(record.public_key, in[i].public_key, NTM_KEY_LEN);
		assert_true(ntm_addr_equal(&record.real, &in[i].real));
		assert_true(ntm_addr_equal(&record.nat, &in[i].nat));
	}
}

static void addresses_that_are_none_or_of_the_other_family_are_zero(void **state)
{
	struct ntm_record record = {.is4 = true,
				    .vip = addr("198.18.0.2"),
				    .real = addr("2001:db8::5"),
				    .dc = {addr("2001:db8::10"), 6866}};
	static const uint8_t zero[8];
	uint8_t out[NTM_RECORD6_LEN];

	(void)state;
	ntm_record_build(out, &record);
	assert_memory_equal(out + 4, zero, 4);
	assert_memory_equal(out + 42, zero, 8);
	assert_int_equal(ntm_record_parse(&record, true, out, NTM_RECORD4_LEN), 0);
	assert_true(ntm_addr_is_none(&record.real));
	assert_true(ntm_addr_is_none(&record.nat));
	assert_true(ntm_addr_is_none(&record.dc.addr));
	record = (struct ntm_record){.vip = addr("fd00::2"), .real = addr("192.0.2.1")};
	ntm_record_build(out, &record);
	assert_memory_equal(out + 66, zero, 8);
	assert_memory_equal(out + 74, zero, 8);
}

static void records_of_a_wrong_length_are_refused(void **state)
{
	uint8_t rdata[NTM_RECORD6_LEN + 1] = {0};
	struct ntm_record record;

	(void)state;
	for (size_t len = 0; len <= sizeof(rdata); len++) {
		assert_int_equal(ntm_record_parse(&record, true, rdata, len) == 0, len == NTM_RECORD4_LEN);
		assert_int_equal(ntm_record_parse(&record, false, rdata, len) == 0, len == NTM_RECORD6_LEN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ntmv4_record_has_these_50_bytes),
		cmocka_unit_test(an_ntmv6_record_has_these_98_bytes),
		cmocka_unit_test(what_was_built_is_parsed_again),
		cmocka_unit_test(addresses_that_are_none_or_of_the_other_family_are_zero),
		cmocka_unit_test(records_of_a_wrong_length_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
