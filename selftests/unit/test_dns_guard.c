/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dns_guard.c - what a zone answers whom, and how often (dc/dns_guard.c): limits by network, cookies.
 */
#include "zone_world.h"

#define LIMIT 20
static void limited_zone_make(void)
{
	rate_limit = LIMIT;
	asker_us = 1000000;
	zone_make("ntm.example", "dc.ntm.example");
}

struct got {
	unsigned whole, truncated;
	size_t bytes, asked;
};

/* So many queries, evenly over so many ms, from host addresses at + 0 ... 99 of the network. */
static struct got flood(const char *network, unsigned queries, unsigned ms, const uint8_t *cookie, uint16_t cookie_len)
{
	struct got got = { 0 };
	uint8_t wire[1024];
	size_t len = query_with(wire, "mn.ntm.example.", NTM_RRTYPE_NTMV6, 1232, cookie, cookie_len);
	char at[64];

	for (unsigned i = 0; i < queries; i++) {
		snprintf(at, sizeof(at), network, i % 100);
		asker_at = at;
		ask_wire(wire, len, false);
		got.asked += len;
		got.bytes += answer_len;
		if (answer_len && knot_wire_get_tc(answer_wire)) {
			got.truncated++;
			assert_int_equal(count(KNOT_ANSWER) + count(KNOT_AUTHORITY), 0);
			assert_in_range(answer_len, 12, len + DC_GUARD_COOKIE_LEN + 4);
		} else if (answer_len) {
			got.whole++;
			assert_int_equal(count(KNOT_ANSWER), 1);
		}
		asker_us += ms * 1000LL / queries;
	}
	asker_at = "192.0.2.1:5300";
	return got;
}

static void a_network_gets_so_many_answers_a_second_and_others_theirs(void **state)
{
	static const char *const network[] = { "198.51.100.%u:53", "[2001:db8:0:100::%u]:53" };
	static const char *const other[] = { "198.51.101.%u:53", "198.51.99.%u:53", "203.0.113.%u:53",
					     "[2001:db8:0:200::%u]:53" };
	unsigned others;
	uint8_t wire[1024];
	struct got got;
	size_t len;

	(void)state;
	limited_zone_make();
	for (int i = 0; i < 2; i++) {
		got = flood(network[i], 10000, 1000, NULL, 0);
		/* what a second's burst and a second give */
		assert_in_range(got.whole, LIMIT - 1, 2 * LIMIT + 1);
		assert_in_range(got.truncated, (10000 - got.whole) / 2, (10000 - got.whole) / 2 + 1);
		assert_in_range(got.bytes, 0, got.asked); /* nothing is amplified */
		assert_true(got.bytes > got.whole * 150); /* the answers themselves would be */
	}
	/* The next /24 and others, the next /56: networks may share a place, but hardly two of them that of a flooded one. */
	others = 0;
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		others += flood(other[i], LIMIT, 0, NULL, 0).whole == LIMIT;
	assert_in_range(others, 3, 4);
	/* by TCP everything is answered, to whomever */
	len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 0);
	asker_at = "198.51.100.1:53";
	for (int i = 0; i < 1000; i++) {
		ask_wire(wire, len, true);
		assert_int_equal(count(KNOT_ANSWER), 1);
		assert_false(knot_wire_get_tc(answer_wire));
	}
	/* and a moment later by UDP */
	asker_us += 1000000;
	assert_int_equal(flood("198.51.100.%u:53", LIMIT, 0, NULL, 0).whole, LIMIT);
	got = flood("198.51.100.%u:53", LIMIT, 0, NULL, 0);
	assert_int_equal(got.whole, 0);
}

/* There is nothing to gain by having them sent elsewhere. */
static void short_answers_are_not_counted(void **state)
{
	static const uint16_t types[] = { KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA };
	uint8_t wire[1024];
	size_t len;

	(void)state;
	limited_zone_make();
	assert_int_equal(flood("198.51.100.%u:53", 10 * LIMIT, 0, NULL, 0).whole, LIMIT);
	asker_at = "198.51.100.1:53";
	for (int i = 0; i < 10 * LIMIT; i++) {
		len = query_make(wire, "mn.ntm.example.", types[i & 1], i & 2 ? 1232 : 0);
		ask_wire(wire, len, false);
		assert_int_equal(count(KNOT_ANSWER), 1);
		assert_in_range(answer_len, len, 2 * len);
	}
	/* nor are errors */
	wire[4] = wire[5] = 0;
	ask_wire(wire, len, false);
	assert_int_equal(answer_len, 12);
	knot_wire_set_opcode(wire, KNOT_OPCODE_UPDATE);
	ask_wire(wire, len, false);
	assert_int_equal(answer_len, 12);
	/* but that a name is not there takes more */
	ask_wire(wire, query_make(wire, "nobody.ntm.example.", KNOT_RRTYPE_A, 0), false);
	assert_true(answer_len == 0 || knot_wire_get_tc(answer_wire));
}

static void without_a_limit_all_is_answered(void **state)
{
	(void)state;
	assert_int_equal(flood("198.51.100.%u:53", 5000, 1, NULL, 0).whole, 5000);
}

/* What the last answer has; NULL: none. */
static const uint8_t *answer_cookie(void)
{
	uint8_t *option = knot_pkt_edns_option(answer, KNOT_EDNS_OPTION_COOKIE);

	if (!option)
		return NULL;
	assert_int_equal(knot_edns_opt_get_length(option), DC_GUARD_COOKIE_LEN);
	return knot_edns_opt_get_data(option);
}

static void cookie_get(uint8_t cookie[DC_GUARD_COOKIE_LEN])
{
	static const uint8_t client[8] = "client!";
	uint8_t wire[1024];

	ask_wire(wire, query_with(wire, "mn.ntm.example.", NTM_RRTYPE_NTMV6, 1232, client, 8), false);
	assert_non_null(answer_cookie());
	memcpy(cookie, answer_cookie(), DC_GUARD_COOKIE_LEN);
	assert_memory_equal(cookie, client, 8);
}

static unsigned whole_with(const char *network, const uint8_t cookie[DC_GUARD_COOKIE_LEN])
{
	return flood(network, 10 * LIMIT, 0, cookie, DC_GUARD_COOKIE_LEN).whole;
}

static void whoever_has_a_cookie_of_ours_is_not_limited(void **state)
{
	uint8_t cookie[DC_GUARD_COOKIE_LEN], later[DC_GUARD_COOKIE_LEN];

	(void)state;
	limited_zone_make();
	asker_at = "198.51.100.7:53";
	cookie_get(cookie);
	assert_int_equal(flood("198.51.100.8:53", 10 * LIMIT, 0, cookie, 8).whole, LIMIT - 1); /* its own part alone */
	assert_int_equal(whole_with("198.51.100.7:53", cookie), 10 * LIMIT);
	assert_int_equal(whole_with("198.51.100.7:1234", cookie), 10 * LIMIT); /* of the address, not of the port */
	assert_int_equal(whole_with("198.51.100.8:53", cookie), 0); /* another's */
	cookie[DC_GUARD_COOKIE_LEN - 1] ^= 1;
	assert_int_equal(whole_with("198.51.100.7:53", cookie), 0);
	cookie[DC_GUARD_COOKIE_LEN - 1] ^= 1;
	/* an hour later it is too old; who went on asking has a newer one, by then under the next day's secret */
	memcpy(later, cookie, sizeof(later));
	for (int hour = 0; hour < 30; hour++) {
		asker_us += 3599 * 1000000LL;
		assert_int_equal(whole_with("198.51.100.7:53", later), 10 * LIMIT);
		memcpy(later, answer_cookie(), sizeof(later));
	}
	assert_int_equal(whole_with("198.51.100.7:53", cookie), LIMIT);
}

static void a_limited_client_gets_its_cookie_with_the_truncation(void **state)
{
	uint8_t cookie[DC_GUARD_COOKIE_LEN];

	(void)state;
	limited_zone_make();
	assert_int_equal(flood("198.51.100.%u:53", LIMIT + 1, 0, NULL, 0).truncated, 1);
	asker_at = "198.51.100.7:53";
	flood("198.51.100.9:53", 1, 0, NULL, 0); /* the one of two that gets nothing */
	asker_at = "198.51.100.7:53";
	cookie_get(cookie);
	assert_true(knot_wire_get_tc(answer_wire));
	assert_int_equal(whole_with("198.51.100.7:53", cookie), 10 * LIMIT);
}

static void cookies_of_wrong_lengths_are_format_errors(void **state)
{
	static const uint8_t cookie[41];
	uint8_t wire[1024];

	(void)state;
	for (uint16_t len = 1; len <= 41; len++) {
		bool good = len == 8 || (len >= 16 && len <= 40);

		ask_wire(wire, query_with(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 1232, cookie, len), false);
		assert_int_equal(rcode(), good ? KNOT_RCODE_NOERROR : KNOT_RCODE_FORMERR);
		assert_int_equal(count(KNOT_ANSWER), good);
		assert_int_equal(answer_cookie() != NULL, good);
	}
	ask("mn.ntm.example.", KNOT_RRTYPE_A);
	assert_null(answer_cookie());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_network_gets_so_many_answers_a_second_and_others_theirs),
		TEST(short_answers_are_not_counted),
		TEST(without_a_limit_all_is_answered),
		TEST(whoever_has_a_cookie_of_ours_is_not_limited),
		TEST(a_limited_client_gets_its_cookie_with_the_truncation),
		TEST(cookies_of_wrong_lengths_are_format_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
