/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_field.c - lib/field.c by tables of its own: every form, the order, lists, and what must be refused.
 * Input is always copied to memory of exactly its size, so that AddressSanitizer sees a byte read too much.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include <ntm/drop.h>

#include "field.h"

struct part {
	uint8_t kind;
	struct ntm_endpoint endpoint;
};

struct all {
	char fqdn[NTM_FQDN_MAX + 1];
	uint64_t path_id;
	uint8_t side;
	uint8_t key[NTM_KEY_LEN];
	uint32_t lifetime;
	struct ntm_endpoint real[3];
	uint16_t reals;
	struct part part[2];
	uint16_t parts;
	char text[NTM_TEXT_MAX + 1];
	uint16_t mtu;
};

static const struct ntm_field part_fields[] = {
	{NTM_FIELD_ONE(KIND, U8, part, kind), .required = true, .below = 3},
	{NTM_FIELD_ONE(ENDPOINT, ENDPOINT, part, endpoint)},
	NTM_FIELDS_END,
};

static const struct ntm_field all_fields[] = {
	{NTM_FIELD_ONE(FQDN, NAME, all, fqdn)},
	{NTM_FIELD_ONE(PATH_ID, U64, all, path_id), .required = true},
	{NTM_FIELD_ONE(SIDE, U8, all, side), .below = 2},
	{NTM_FIELD_ONE(PUBLIC_KEY, BYTES, all, key)},
	{NTM_FIELD_ONE(LIFETIME, U32, all, lifetime)},
	{NTM_FIELD_MANY(REAL_ADDRESS, ENDPOINT, all, real, reals)},
	{NTM_FIELD_MANY(CANDIDATE, FIELDS, all, part, parts), .fields = part_fields},
	{NTM_FIELD_ONE(TEXT, TEXT, all, text)},
	{NTM_FIELD_ONE(MTU, U16, all, mtu)},
	NTM_FIELDS_END,
};

/* The shortest message that all_fields allows: Path ID 1. */
#define PATH_ID_1 "\x00\x02\x00\x08\x00\x00\x00\x00\x00\x00\x00\x01"
#define ADDRESS \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x1a\xd2" /* 192.0.2.1:6866 */

static int parse(struct all *ret_all, const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	r = ntm_fields_parse(ret_all, sizeof(*ret_all), all_fields, copy, len);
	free(copy);
	return r;
}

/* Refused for exactly this reason. */
#define assert_refused(bytes, reason)                                                \
	do {                                                                         \
		struct all got_;                                                     \
		assert_int_equal(parse(&got_, bytes, sizeof(bytes) - 1), -(reason)); \
	} while (0)

#define assert_taken(bytes, ret_all) assert_int_equal(parse(ret_all, bytes, sizeof(bytes) - 1), 0)

static struct ntm_endpoint endpoint(uint8_t last, uint16_t port)
{
	struct ntm_endpoint ep = {.addr = {{[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = last}},
				  .port = port};

	return ep;
}

static void filled(struct all *all)
{
	memset(all, 0, sizeof(*all));
	strcpy(all->fqdn, "mn.ntm.example");
	all->path_id = 0x0102030405060708;
	all->side = 1;
	memset(all->key, 0x11, sizeof(all->key));
	all->lifetime = 0xa0b0c0d0;
	all->real[0] = endpoint(1, 6866);
	all->real[1] = endpoint(2, 1);
	all->real[2] = endpoint(3, 65535);
	all->reals = 3;
	all->part[0] = (struct part){.kind = 1, .endpoint = endpoint(4, 4)};
	all->part[1] = (struct part){.kind = 2};
	all->parts = 2;
	strcpy(all->text, "gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x99\x82");
	all->mtu = 1420;
}

static void every_form_comes_back_as_it_was(void **state)
{
	struct all all, got;
	uint8_t out[1024];
	int n;

	(void)state;
	filled(&all);
	n = ntm_fields_build(out, sizeof(out), all_fields, &all);
	assert_true(n > 0);
	assert_int_equal(parse(&got, out, (size_t)n), 0);
	assert_memory_equal(&got, &all, sizeof(all));
}

static void integers_are_big_endian(void **state)
{
	static const uint8_t expected[] = "\x00\x02\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08"
					  "\x00\x03\x00\x01\x01"
					  "\x00\x06\x00\x04\xa0\xb0\xc0\xd0"
					  "\x00\x1e\x00\x02\x05\x8c";
	struct all all = {.path_id = 0x0102030405060708, .side = 1, .lifetime = 0xa0b0c0d0, .mtu = 1420};
	uint8_t out[64];

	(void)state;
	assert_int_equal(ntm_fields_build(out, sizeof(out), all_fields, &all), sizeof(expected) - 1);
	assert_memory_equal(out, expected, sizeof(expected) - 1);
}

static void a_required_field_is_sent_even_if_zero_and_an_optional_one_not(void **state)
{
	static const uint8_t expected[] = "\x00\x02\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00";
	struct all all = {0}, got;
	uint8_t out[64];

	(void)state;
	assert_int_equal(ntm_fields_build(out, sizeof(out), all_fields, &all), sizeof(expected) - 1);
	assert_memory_equal(out, expected, sizeof(expected) - 1);
	assert_taken(expected, &got);
	assert_memory_equal(&got, &all, sizeof(all));
	assert_int_equal(parse(&got, "", 0), -NTM_DROP_FIELD_MISSING);
}

static void what_is_cut_is_refused_or_a_shorter_message(void **state)
{
	struct all all, got;
	uint8_t out[1024], again[1024];
	int n, taken = 0;

	(void)state;
	filled(&all);
	n = ntm_fields_build(out, sizeof(out), all_fields, &all);
	for (int len = 0; len < n; len++) {
		if (parse(&got, out, (size_t)len))
			continue;
		/* cut between two fields, the rest being optional */
		assert_int_equal(ntm_fields_build(again, sizeof(again), all_fields, &got), len);
		assert_memory_equal(again, out, len);
		taken++;
	}
	/* after Path ID, side, key, lifetime, each of three addresses, each of two parts, the text */
	assert_int_equal(taken, 10);
}

static void a_buffer_too_small_is_never_written_beyond(void **state)
{
	struct all all;
	uint8_t out[1024];
	int n;

	(void)state;
	filled(&all);
	n = ntm_fields_build(out, sizeof(out), all_fields, &all);
	for (int size = 0; size < n; size++) {
		uint8_t *exact = malloc(size ? (size_t)size : 1);

		assert_int_equal(ntm_fields_build(exact, (size_t)size, all_fields, &all), -EMSGSIZE);
		free(exact);
	}
	assert_int_equal(ntm_fields_build(out, (size_t)n, all_fields, &all), n);
}

static void fields_stand_in_ascending_order_once(void **state)
{
	(void)state;
	assert_refused("\x00\x03\x00\x01\x01" PATH_ID_1,
		       NTM_DROP_FIELD_MISSING); /* the table has gone past it */
	assert_refused(PATH_ID_1 "\x00\x03\x00\x01\x01" PATH_ID_1, NTM_DROP_FIELD_ORDER);
	assert_refused(PATH_ID_1 "\x00\x06\x00\x04\x00\x00\x00\x01"
				 "\x00\x03\x00\x01\x01",
		       NTM_DROP_FIELD_ORDER);
	assert_refused(PATH_ID_1 PATH_ID_1, NTM_DROP_FIELD_ORDER);
}

static void a_list_may_be_as_long_as_its_table_says(void **state)
{
	struct all got;

	(void)state;
	assert_taken(PATH_ID_1 "\x00\x0c\x00\x12" ADDRESS "\x00\x0c\x00\x12" ADDRESS
			       "\x00\x0c\x00\x12" ADDRESS,
		     &got);
	assert_int_equal(got.reals, 3);
	assert_refused(PATH_ID_1 "\x00\x0c\x00\x12" ADDRESS "\x00\x0c\x00\x12" ADDRESS
				 "\x00\x0c\x00\x12" ADDRESS "\x00\x0c\x00\x12" ADDRESS,
		       NTM_DROP_FIELD_MANY);
	/* elements stand together */
	assert_refused(PATH_ID_1 "\x00\x0c\x00\x12" ADDRESS "\x00\x1e\x00\x02\x05\x8c"
				 "\x00\x0c\x00\x12" ADDRESS,
		       NTM_DROP_FIELD_ORDER);
}

static void an_unknown_field_is_skipped_only_if_its_bit_says_so(void **state)
{
	struct all got;

	(void)state;
	assert_taken(PATH_ID_1 "\x80\x05\x00\x03zzz", &got);
	assert_int_equal(got.path_id, 1);
	assert_taken("\x80\x01\x00\x00" PATH_ID_1 "\x80\x02\x00\x00"
		     "\xff\xff\x00\x01z",
		     &got);
	assert_refused(PATH_ID_1 "\x00\x05\x00\x03zzz", NTM_DROP_FIELD_UNKNOWN);
	assert_refused(PATH_ID_1 "\x7f\xff\x00\x00", NTM_DROP_FIELD_UNKNOWN);
	assert_refused("\x00\x00\x00\x00" PATH_ID_1, NTM_DROP_FIELD_UNKNOWN);
	/* skipped ones keep to the order and to their length too */
	assert_refused(PATH_ID_1 "\x80\x01\x00\x00", NTM_DROP_FIELD_ORDER);
	assert_refused(PATH_ID_1 "\x80\x05\x00\x04zzz", NTM_DROP_FIELD_TRUNCATED);
	assert_refused(PATH_ID_1 "\x80\x05\x00", NTM_DROP_FIELD_TRUNCATED);
	/* and stand for nothing that is required */
	assert_refused("\x80\x02\x00\x08\x00\x00\x00\x00\x00\x00\x00\x01", NTM_DROP_FIELD_MISSING);
}

static void lengths_are_exact(void **state)
{
	(void)state;
	assert_refused("\x00\x02\x00\x07\x00\x00\x00\x00\x00\x00\x01", NTM_DROP_FIELD_LENGTH);
	assert_refused("\x00\x02\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01", NTM_DROP_FIELD_LENGTH);
	assert_refused(PATH_ID_1 "\x00\x03\x00\x00", NTM_DROP_FIELD_LENGTH);
	assert_refused(PATH_ID_1 "\x00\x04\x00\x01\x01", NTM_DROP_FIELD_LENGTH);
	assert_refused(PATH_ID_1 "\x00\x0c\x00\x11"
				 "0123456789abcdefg",
		       NTM_DROP_FIELD_LENGTH);
	assert_refused("\x00\x01\x00\x00" PATH_ID_1, NTM_DROP_FIELD_LENGTH);
	assert_refused(PATH_ID_1 "\x00\x16\x00\x00", NTM_DROP_FIELD_LENGTH);
	assert_refused("\x00\x02\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01", NTM_DROP_FIELD_TRUNCATED);
}

static void values_out_of_range_are_refused(void **state)
{
	struct all got;

	(void)state;
	assert_refused(PATH_ID_1 "\x00\x03\x00\x01\x02", NTM_DROP_FIELD_VALUE);
	/* no address, no port */
	assert_refused(PATH_ID_1 "\x00\x0c\x00\x12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
		       NTM_DROP_FIELD_VALUE);
	assert_refused(PATH_ID_1 "\x00\x0c\x00\x12\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\0\0",
		       NTM_DROP_FIELD_VALUE);
	assert_taken("\x00\x01\x00\x03"
		     "a.b" PATH_ID_1,
		     &got);
	assert_string_equal(got.fqdn, "a.b");
	assert_refused("\x00\x01\x00\x03"
		       "A.b" PATH_ID_1,
		       NTM_DROP_FIELD_VALUE);
	assert_refused("\x00\x01\x00\x04"
		       "a.b." PATH_ID_1,
		       NTM_DROP_FIELD_VALUE);
	assert_refused("\x00\x01\x00\x04"
		       "a..b" PATH_ID_1,
		       NTM_DROP_FIELD_VALUE);
	assert_refused("\x00\x01\x00\x04"
		       "a.b\0" PATH_ID_1,
		       NTM_DROP_FIELD_VALUE);
	assert_refused("\x00\x01\x00\x03"
		       "a\0b" PATH_ID_1,
		       NTM_DROP_FIELD_VALUE);
}

static void names_have_253_bytes_at_most(void **state)
{
	uint8_t wire[4 + 254 + 12];
	struct all got;

	(void)state;
	for (unsigned len = 253; len <= 254; len++) {
		memset(wire, 0, sizeof(wire));
		wire[1] = 1;
		wire[3] = (uint8_t)len;
		for (unsigned i = 0; i < len; i++)
			wire[4 + i] = i % 50 == 49 ? '.' : 'x';
		memcpy(wire + 4 + len, PATH_ID_1, 12);
		assert_int_equal(parse(&got, wire, 4 + len + 12), len == 253 ? 0 : -NTM_DROP_FIELD_LENGTH);
	}
}

static void text_is_utf8_that_a_terminal_shows(void **state)
{
	static const char *const good[] = {"a",
					   "~",
					   " ",
					   "\xc2\xa0",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"\x1b[2J",
					  "a\n",
					  "\x7f",
					  "\x80",
					  "\xc0\xaf",
					  "\xc1\xbf",
					  "\xc2",
					  "\xc2\x41",
					  "\xc2\x9b",
					  "\xe0\x9f\xbf",
					  "\xe2\x82",
					  "\xed\xa0\x80",
					  "\xf0\x8f\xbf\xbf",
					  "\xf0\x90\x80",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xff",
					  "a\xe2\x82"};
	struct all all = {0}, got;
	uint8_t wire[64], out[64];

	(void)state;
	memcpy(wire, PATH_ID_1 "\x00\x16\x00", 15);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]) + sizeof(bad) / sizeof(bad[0]); i++) {
		bool ok = i < sizeof(good) / sizeof(good[0]);
		const char *text = ok ? good[i] : bad[i - sizeof(good) / sizeof(good[0])];

		wire[15] = (uint8_t)strlen(text);
		memcpy(wire + 16, text, strlen(text));
		assert_int_equal(parse(&got, wire, 16 + strlen(text)), ok ? 0 : -NTM_DROP_FIELD_VALUE);
		memset(all.text, 0, sizeof(all.text));
		strcpy(all.text, text);
		assert_int_equal(ntm_fields_build(out, sizeof(out), all_fields, &all),
				 ok ? (int)(16 + strlen(text)) : -EINVAL);
	}
}

static void text_has_160_bytes_at_most(void **state)
{
	uint8_t wire[16 + 161];
	struct all got;

	(void)state;
	memcpy(wire, PATH_ID_1 "\x00\x16\x00", 15);
	memset(wire + 16, 'x', 161);
	wire[15] = 160;
	assert_int_equal(parse(&got, wire, 16 + 160), 0);
	assert_int_equal(strlen(got.text), 160);
	wire[15] = 161;
	assert_int_equal(parse(&got, wire, 16 + 161), -NTM_DROP_FIELD_LENGTH);
}

static void what_has_no_wire_form_is_not_built(void **state)
{
	struct all all;
	uint8_t out[1024];

	(void)state;
#define REFUSED(change)                                                                          \
	do {                                                                                     \
		filled(&all);                                                                    \
		change;                                                                          \
		assert_int_equal(ntm_fields_build(out, sizeof(out), all_fields, &all), -EINVAL); \
	} while (0)
	REFUSED(all.side = 2);
	REFUSED(all.reals = 4);
	REFUSED(all.real[1].port = 0);
	REFUSED(all.real[2] = (struct ntm_endpoint){0});
	REFUSED(strcpy(all.fqdn, "MN.example"));
	REFUSED(memset(all.fqdn, 'a', sizeof(all.fqdn)));
	REFUSED(memset(all.text, 'a', sizeof(all.text)));
	REFUSED(all.part[0].kind = 3);
#undef REFUSED
}

static void fields_of_fields_follow_the_same_rules(void **state)
{
	struct all got;

	(void)state;
	assert_taken(PATH_ID_1 "\x00\x12\x00\x05"
			       "\x00\x29\x00\x01\x02",
		     &got);
	assert_int_equal(got.parts, 1);
	assert_int_equal(got.part[0].kind, 2);
	assert_refused(PATH_ID_1 "\x00\x12\x00\x00", NTM_DROP_FIELD_MISSING);
	assert_refused(PATH_ID_1 "\x00\x12\x00\x05"
				 "\x00\x29\x00\x01\x03",
		       NTM_DROP_FIELD_VALUE);
	/* an inner length that reaches into the next outer field */
	assert_refused(PATH_ID_1 "\x00\x12\x00\x04"
				 "\x00\x29\x00\x01"
				 "\x02",
		       NTM_DROP_FIELD_TRUNCATED);
	assert_refused(PATH_ID_1 "\x00\x12\x00\x06"
				 "\x00\x29\x00\x01\x02\x00",
		       NTM_DROP_FIELD_TRUNCATED);
	assert_refused(PATH_ID_1 "\x00\x12\x00\x0a"
				 "\x00\x29\x00\x01\x02"
				 "\x00\x29\x00\x01\x02",
		       NTM_DROP_FIELD_ORDER);
}

struct deep {
	struct part part;
};
static const struct ntm_field deep3[] = {{NTM_FIELD_ONE(KIND, FIELDS, deep, part), .fields = part_fields},
					 NTM_FIELDS_END};
static const struct ntm_field deep2[] = {{NTM_FIELD_ONE(KIND, FIELDS, deep, part), .fields = deep3},
					 NTM_FIELDS_END};
static const struct ntm_field deep1[] = {{NTM_FIELD_ONE(KIND, FIELDS, deep, part), .fields = deep2},
					 NTM_FIELDS_END};

static void nesting_ends(void **state)
{
	static const uint8_t wire[] = "\x00\x29\x00\x0d"
				      "\x00\x29\x00\x09"
				      "\x00\x29\x00\x05"
				      "\x00\x29\x00\x01\x02";
	struct deep got;

	(void)state;
	assert_int_equal(ntm_fields_parse(&got, sizeof(got), deep1, wire, sizeof(wire) - 1),
			 -NTM_DROP_FIELD_UNKNOWN);
	/* one less is allowed */
	assert_int_equal(ntm_fields_parse(&got, sizeof(got), deep2, wire + 4, sizeof(wire) - 5), 0);
	assert_int_equal(got.part.kind, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_comes_back_as_it_was),
		cmocka_unit_test(integers_are_big_endian),
		cmocka_unit_test(a_required_field_is_sent_even_if_zero_and_an_optional_one_not),
		cmocka_unit_test(what_is_cut_is_refused_or_a_shorter_message),
		cmocka_unit_test(a_buffer_too_small_is_never_written_beyond),
		cmocka_unit_test(fields_stand_in_ascending_order_once),
		cmocka_unit_test(a_list_may_be_as_long_as_its_table_says),
		cmocka_unit_test(an_unknown_field_is_skipped_only_if_its_bit_says_so),
		cmocka_unit_test(lengths_are_exact),
		cmocka_unit_test(values_out_of_range_are_refused),
		cmocka_unit_test(names_have_253_bytes_at_most),
		cmocka_unit_test(text_is_utf8_that_a_terminal_shows),
		cmocka_unit_test(text_has_160_bytes_at_most),
		cmocka_unit_test(what_has_no_wire_form_is_not_built),
		cmocka_unit_test(fields_of_fields_follow_the_same_rules),
		cmocka_unit_test(nesting_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
