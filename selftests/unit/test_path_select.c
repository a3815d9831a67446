/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_path_select.c - the direction table of doc/PROTOCOL.md, row by row, and the choice of the relay
 * (dc/path_select.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dc/path_select.h"
#include "endpoint.h"

/* An end as text: its real addresses, how it is seen, what it says of its NAT. */
struct end_text {
	const char *real[4];
	const char *seen4, *seen6;
	enum ntm_nat nat;
};

struct end {
	struct ntm_endpoint real[4];
	struct dc_select_end select;
};

static struct ntm_endpoint endpoint(const char *text)
{
	struct ntm_endpoint ep = {0};

	if (text)
		assert_int_equal(ntm_endpoint_parse(&ep, text, 7000), 0);
	return ep;
}

static void end_make(struct end *end, const struct end_text *text)
{
	*end = (struct end){0};
	end->select.real = end->real;
	for (; end->select.reals < 4 && text->real[end->select.reals]; end->select.reals++)
		end->real[end->select.reals] = endpoint(text->real[end->select.reals]);
	end->select.observed4 = endpoint(text->seen4);
	end->select.observed6 = endpoint(text->seen6);
	end->select.nat = text->nat;
}

#define GLOBAL4_A                                                   \
	{                                                           \
		{"192.0.2.1"}, "192.0.2.1:7000", NULL, NTM_NAT_NONE \
	}
#define GLOBAL4_B                                                         \
	{                                                                 \
		{"198.51.100.1"}, "198.51.100.1:7000", NULL, NTM_NAT_NONE \
	}
#define GLOBAL6_A                                                             \
	{                                                                     \
		{"2001:db8:a::1"}, NULL, "[2001:db8:a::1]:7000", NTM_NAT_NONE \
	}
#define GLOBAL6_B                                                             \
	{                                                                     \
		{"2001:db8:b::1"}, NULL, "[2001:db8:b::1]:7000", NTM_NAT_NONE \
	}
#define DUAL_A                                                                       \
	{                                                                            \
		{"192.0.2.1", "2001:db8:a::1"}, "192.0.2.1:7000", NULL, NTM_NAT_NONE \
	}
#define DUAL_B                                                                                \
	{                                                                                     \
		{"198.51.100.1", "2001:db8:b::1"}, NULL, "[2001:db8:b::1]:7000", NTM_NAT_NONE \
	}
#define NAT_A                                                            \
	{                                                                \
		{"192.168.0.2"}, "203.0.113.1:40000", NULL, NTM_NAT_EASY \
	}
#define NAT_A2                                                           \
	{                                                                \
		{"192.168.0.3"}, "203.0.113.1:40001", NULL, NTM_NAT_EASY \
	}
#define NAT_A2_HARD                                                      \
	{                                                                \
		{"192.168.0.3"}, "203.0.113.1:40001", NULL, NTM_NAT_HARD \
	}
#define NAT_B                                                         \
	{                                                             \
		{"10.0.0.2"}, "203.0.113.2:50000", NULL, NTM_NAT_EASY \
	}
#define NAT_B_HARD                                                    \
	{                                                             \
		{"10.0.0.2"}, "203.0.113.2:50000", NULL, NTM_NAT_HARD \
	}
#define NAT_B_UNKNOWN                                                    \
	{                                                                \
		{"10.0.0.2"}, "203.0.113.2:50000", NULL, NTM_NAT_UNKNOWN \
	}

static const struct {
	const char *name;
	struct end_text mn, cn;
	const char *to_mn, *to_cn; /* candidates: kind@endpoint, in order */
	uint8_t why[5]; /* of DIRECT6, DIRECT4, PRIVATE4, NAT4, PUNCH4 */
} table[] = {
	{"both have global IPv6",
	 GLOBAL6_A,
	 GLOBAL6_B,
	 "1@[2001:db8:b::1]:7000",
	 "1@[2001:db8:a::1]:7000",
	 {NTM_WHY_CANDIDATE, NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_MN,
	  NTM_WHY_NO_ADDRESS_MN}},
	{"both have global IPv4",
	 GLOBAL4_A,
	 GLOBAL4_B,
	 "2@198.51.100.1:7000",
	 "2@192.0.2.1:7000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_CANDIDATE, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT}},
	{"both have both, one never heard over IPv4: IPv6 first",
	 DUAL_A,
	 DUAL_B,
	 "1@[2001:db8:b::1]:7000 2@198.51.100.1:7000",
	 "1@[2001:db8:a::1]:7000 2@192.0.2.1:7000",
	 {NTM_WHY_CANDIDATE, NTM_WHY_CANDIDATE, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT}},
	{"the requester is behind a NAT",
	 NAT_A,
	 GLOBAL4_B,
	 "4@198.51.100.1:7000",
	 "4@203.0.113.1:40000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_MN, NTM_WHY_OTHER_NAT, NTM_WHY_CANDIDATE,
	  NTM_WHY_NO_NAT}},
	{"the correspondent is behind a NAT, even a hard one",
	 GLOBAL4_A,
	 NAT_B_HARD,
	 "4@203.0.113.2:50000",
	 "4@192.0.2.1:7000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_CN, NTM_WHY_OTHER_NAT, NTM_WHY_CANDIDATE,
	  NTM_WHY_NO_NAT}},
	{"both behind the same NAT",
	 NAT_A,
	 NAT_A2,
	 "3@192.168.0.3:7000 5@203.0.113.1:40001",
	 "3@192.168.0.2:7000 5@203.0.113.1:40000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_BOTH_NAT, NTM_WHY_CANDIDATE, NTM_WHY_BOTH_NAT, NTM_WHY_CANDIDATE}},
	{"both behind the same hard NAT",
	 NAT_A,
	 NAT_A2_HARD,
	 "3@192.168.0.3:7000",
	 "3@192.168.0.2:7000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_BOTH_NAT, NTM_WHY_CANDIDATE, NTM_WHY_BOTH_NAT, NTM_WHY_HARD_NAT}},
	{"both behind different NATs",
	 NAT_A,
	 NAT_B,
	 "5@203.0.113.2:50000",
	 "5@203.0.113.1:40000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_BOTH_NAT, NTM_WHY_OTHER_NAT, NTM_WHY_BOTH_NAT, NTM_WHY_CANDIDATE}},
	{"a NAT that was not measured is tried",
	 NAT_A,
	 NAT_B_UNKNOWN,
	 "5@203.0.113.2:50000",
	 "5@203.0.113.1:40000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_BOTH_NAT, NTM_WHY_OTHER_NAT, NTM_WHY_BOTH_NAT, NTM_WHY_CANDIDATE}},
	{"different NATs, one hard",
	 NAT_A,
	 NAT_B_HARD,
	 "",
	 "",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_BOTH_NAT, NTM_WHY_OTHER_NAT, NTM_WHY_BOTH_NAT, NTM_WHY_HARD_NAT}},
	{"IPv4 only and IPv6 only, which one of them may leave",
	 GLOBAL4_A,
	 GLOBAL6_B,
	 "1@[2001:db8:b::1]:7000",
	 "2@192.0.2.1:7000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_CN, NTM_WHY_NO_ADDRESS_CN, NTM_WHY_NO_ADDRESS_CN,
	  NTM_WHY_NO_ADDRESS_CN}},
	{"private IPv4 that the DC sees as it is",
	 {{"10.9.0.2"}, "10.9.0.2:7000", NULL, NTM_NAT_NONE},
	 {{"10.9.0.3"}, "10.9.0.3:7000", NULL, NTM_NAT_NONE},
	 "2@10.9.0.3:7000",
	 "2@10.9.0.2:7000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_CANDIDATE, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT}},
	{"the port of an open end is the registered one",
	 GLOBAL4_A,
	 {{"198.51.100.1:7777"}, "198.51.100.1:1234", NULL, NTM_NAT_NONE},
	 "2@198.51.100.1:7777",
	 "2@192.0.2.1:7000",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_CANDIDATE, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT, NTM_WHY_NO_NAT}},
	{"unique local and link-local IPv6 are not global",
	 {{"fd00::1", "fe80::1"}, NULL, NULL, NTM_NAT_UNKNOWN},
	 GLOBAL6_B,
	 "",
	 "",
	 {NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_MN, NTM_WHY_NO_ADDRESS_MN,
	  NTM_WHY_NO_ADDRESS_MN}},
};

static void candidates_format(char *text, size_t size, const struct dc_selection *sel, int to)
{
	char ep[NTM_ENDPOINT_TEXT];
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < sel->candidates[to]; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%u@%s", i ? " " : "",
				       sel->candidate[to][i].kind,
				       ntm_endpoint_format(&sel->candidate[to][i].endpoint, ep));
}

static void every_row_of_the_direction_table_holds(void **state)
{
	(void)state;
	for (size_t row = 0; row < sizeof(table) / sizeof(*table); row++) {
		static const uint8_t kind[5] = {NTM_ROUTE_DIRECT6, NTM_ROUTE_DIRECT4, NTM_ROUTE_PRIVATE4,
						NTM_ROUTE_NAT4, NTM_ROUTE_PUNCH4};
		struct dc_selection sel;
		struct end mn, cn;
		char text[512];

		end_make(&mn, &table[row].mn);
		end_make(&cn, &table[row].cn);
		dc_path_select(&sel, &mn.select, &cn.select, NULL, 0, -1);
		candidates_format(text, sizeof(text), &sel, 0);
		if (strcmp(text, table[row].to_mn))
			fail_msg("%s: the requester gets '%s'", table[row].name, text);
		candidates_format(text, sizeof(text), &sel, 1);
		if (strcmp(text, table[row].to_cn))
			fail_msg("%s: the correspondent gets '%s'", table[row].name, text);
		assert_int_equal(sel.verdicts, 6);
		for (int i = 0; i < 5; i++)
			if (sel.verdict[i].kind != kind[i] || sel.verdict[i].why != table[row].why[i])
				fail_msg("%s: verdict %d is %u because of %u", table[row].name, i,
					 sel.verdict[i].kind, sel.verdict[i].why);
		assert_int_equal(sel.verdict[5].kind, NTM_ROUTE_RELAY);
		assert_int_equal(sel.verdict[5].why, NTM_WHY_NO_RELAY);
	}
}

static void the_table_is_symmetric(void **state)
{
	(void)state;
	for (size_t row = 0; row < sizeof(table) / sizeof(*table); row++) {
		struct dc_selection sel;
		struct end mn, cn;
		char text[512];

		end_make(&mn, &table[row].mn);
		end_make(&cn, &table[row].cn);
		dc_path_select(&sel, &cn.select, &mn.select, NULL, 0, -1);
		candidates_format(text, sizeof(text), &sel, 1);
		assert_string_equal(text, table[row].to_mn);
		candidates_format(text, sizeof(text), &sel, 0);
		assert_string_equal(text, table[row].to_cn);
	}
}

static void the_nat_is_judged_by_what_is_seen(void **state)
{
	static const struct {
		struct end_text end;
		enum ntm_nat nat;
	} row[] = {
		{GLOBAL4_A, NTM_NAT_NONE},
		{{{"192.0.2.1"}, "192.0.2.1:9", NULL, NTM_NAT_HARD}, NTM_NAT_NONE},
		{NAT_A, NTM_NAT_EASY},
		{NAT_B_HARD, NTM_NAT_HARD},
		{NAT_B_UNKNOWN, NTM_NAT_UNKNOWN},
		{{{"10.0.0.2"}, "203.0.113.2:50000", NULL, NTM_NAT_NONE}, NTM_NAT_UNKNOWN},
		{GLOBAL6_A, NTM_NAT_UNKNOWN},
	};
	struct end end;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		end_make(&end, &row[i].end);
		assert_int_equal(dc_path_select_nat(&end.select), row[i].nat);
	}
}

/* ---- relays */

struct relay_row {
	const char *name;
	struct dc_select_relay relay[3];
	uint32_t mn_us[3], cn_us[3];
	int held;
	const char *order; /* numbers, best first */
	uint8_t why[3]; /* by number */
};

#define UP(cpu)                                                                              \
	{                                                                                    \
		.name = "up", .alive = true, .has4 = true, .has6 = true, .cpu_permille = cpu \
	}
#define DOWN                                               \
	{                                                  \
		.name = "down", .has4 = true, .has6 = true \
	}
#define DRAINING                                                                           \
	{                                                                                  \
		.name = "drain", .alive = true, .has4 = true, .has6 = true, .draining = true \
	}
#define ONLY4                                             \
	{                                                 \
		.name = "v4", .alive = true, .has4 = true \
	}

static const struct relay_row relay_table[] = {
	{"the nearest",
	 {UP(0), UP(0), UP(0)},
	 {20000, 5000, 9000},
	 {20000, 6000, 1000},
	 -1,
	 "210",
	 {NTM_WHY_RELAY_SLOWER, NTM_WHY_RELAY_SLOWER, NTM_WHY_STANDBY}},
	{"load makes a near one lose",
	 {UP(900), UP(100), UP(0)},
	 {8000, 9000, 40000},
	 {8000, 9000, 40000},
	 -1,
	 "102",
	 {NTM_WHY_RELAY_SLOWER, NTM_WHY_STANDBY, NTM_WHY_RELAY_SLOWER}},
	{"measured beats unmeasured",
	 {UP(0), UP(0), DOWN},
	 {0, 30000, 1},
	 {0, 30000, 1},
	 -1,
	 "10",
	 {NTM_WHY_RELAY_SLOWER, NTM_WHY_STANDBY, NTM_WHY_RELAY_DOWN}},
	{"the order of the configuration decides between equals",
	 {UP(0), UP(0), UP(0)},
	 {0},
	 {0},
	 -1,
	 "012",
	 {NTM_WHY_STANDBY, NTM_WHY_RELAY_SLOWER, NTM_WHY_RELAY_SLOWER}},
	{"one that is held is kept when another is a little better",
	 {UP(0), UP(0), UP(0)},
	 {10000, 11000, 90000},
	 {10000, 11000, 90000},
	 1,
	 "102",
	 {NTM_WHY_RELAY_SLOWER, NTM_WHY_STANDBY, NTM_WHY_RELAY_SLOWER}},
	{"and left when another is much better",
	 {UP(0), UP(0), UP(0)},
	 {5000, 11000, 90000},
	 {5000, 11000, 90000},
	 1,
	 "012",
	 {NTM_WHY_STANDBY, NTM_WHY_RELAY_SLOWER, NTM_WHY_RELAY_SLOWER}},
	{"one held that is down is left",
	 {UP(0), DOWN, DOWN},
	 {90000, 1000, 0},
	 {90000, 1000, 0},
	 1,
	 "0",
	 {NTM_WHY_STANDBY, NTM_WHY_RELAY_DOWN, NTM_WHY_RELAY_DOWN}},
	{"a relay must reach both ends",
	 {ONLY4, UP(0), ONLY4},
	 {1, 9000, 1},
	 {1, 9000, 1},
	 -1,
	 "1",
	 {NTM_WHY_RELAY_FAMILY, NTM_WHY_STANDBY, NTM_WHY_RELAY_FAMILY}},
	{"one that is drained is taken for no new path, however near",
	 {DRAINING, UP(0), DOWN},
	 {1000, 90000, 1},
	 {1000, 90000, 1},
	 -1,
	 "1",
	 {NTM_WHY_RELAY_DRAINING, NTM_WHY_STANDBY, NTM_WHY_RELAY_DOWN}},
	{"a pair that has it leaves it for any other",
	 {DRAINING, UP(1500), DOWN},
	 {1000, 0, 1},
	 {1000, 0, 1},
	 0,
	 "10",
	 {NTM_WHY_RELAY_DRAINING, NTM_WHY_STANDBY, NTM_WHY_RELAY_DOWN}},
	{"but keeps it where there is no other",
	 {DRAINING, DOWN, DRAINING},
	 {1000, 0, 1},
	 {1000, 0, 1},
	 0,
	 "0",
	 {NTM_WHY_STANDBY, NTM_WHY_RELAY_DOWN, NTM_WHY_RELAY_DRAINING}},
};

static void relays_are_chosen_by_round_trip_and_load(void **state)
{
	const struct end_text v4 = GLOBAL4_A, v6 = GLOBAL6_B; /* no direct route */

	(void)state;
	for (size_t row = 0; row < sizeof(relay_table) / sizeof(*relay_table); row++) {
		const struct relay_row *r = &relay_table[row];
		struct dc_selection sel;
		struct end mn, cn;
		char order[4] = "";

		end_make(&mn, &v4);
		end_make(&cn, &v6);
		for (int i = 0; i < 3; i++) {
			mn.select.relay_rtt_us[i] = r->mn_us[i];
			cn.select.relay_rtt_us[i] = r->cn_us[i];
		}
		dc_path_select(&sel, &mn.select, &cn.select, r->relay, 3, r->held);
		for (unsigned i = 0; i < sel.relays; i++)
			order[i] = (char)('0' + sel.relay[i]);
		if (strcmp(order, r->order))
			fail_msg("%s: the order is %s", r->name, order);
		assert_int_equal(sel.verdicts, 5 + 3);
		for (int i = 0; i < 3; i++) {
			int found = 0;

			for (unsigned v = 5; v < sel.verdicts; v++)
				found += sel.verdict[v].why == r->why[i] &&
					 !strcmp(sel.verdict[v].name, r->relay[i].name);
			if (!found)
				fail_msg("%s: relay %d has another verdict", r->name, i);
		}
	}
}

static void more_addresses_than_fit_are_cut(void **state)
{
	struct ntm_endpoint real[NTM_REAL_ADDRS_MAX];
	struct dc_select_end mn = {.real = real, .reals = NTM_REAL_ADDRS_MAX}, cn = mn;
	struct dc_select_relay relay[DC_RELAYS_MAX];
	struct dc_selection sel;
	char text[64];

	(void)state;
	for (int i = 0; i < NTM_REAL_ADDRS_MAX; i++) {
		snprintf(text, sizeof(text), i % 2 ? "192.0.2.%d" : "2001:db8::%d", i + 1);
		real[i] = endpoint(text);
	}
	for (int i = 0; i < DC_RELAYS_MAX; i++)
		relay[i] = (struct dc_select_relay){.name = "r", .alive = true, .has4 = true};
	dc_path_select(&sel, &mn, &cn, relay, DC_RELAYS_MAX, -1);
	assert_int_equal(sel.candidates[0], NTM_CANDIDATES_MAX);
	assert_int_equal(sel.relays, DC_RELAYS_MAX);
	assert_int_equal(sel.verdicts, NTM_VERDICTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_direction_table_holds),
		cmocka_unit_test(the_table_is_symmetric),
		cmocka_unit_test(the_nat_is_judged_by_what_is_seen),
		cmocka_unit_test(relays_are_chosen_by_round_trip_and_load),
		cmocka_unit_test(more_addresses_than_fit_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
