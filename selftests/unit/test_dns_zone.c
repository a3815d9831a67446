/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dns_zone.c - query packets in, answer packets out (dc/dns_zone.c), read with libknot's parser.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libknot/libknot.h>

#include <ntm/wire.h>

#include "dc/dns_guard.h"
#include "dc/dns_zone.h"
#include "endpoint.h"
#include "record.h"

static struct dc_zone *zone;
static knot_pkt_t *answer; /* the last one, parsed */
static uint8_t answer_wire[DC_ZONE_ANSWER_MAX];
static size_t answer_len;
static const char *asker_at = "192.0.2.1:5300"; /* and when, */
static int64_t asker_us = 1000000;

static struct ntm_endpoint endpoint(const char *text)
{
	struct ntm_endpoint ep;

	assert_int_equal(ntm_endpoint_parse(&ep, text, 0), 0);
	return ep;
}

static enum dc_zone_found find(void *ctx, const char *name, struct dc_zone_node *ret_node)
{
	static const struct dc_zone_node node = {
		.vip4 = {198, 18, 0, 2}, .vip6 = {0xfd, 0x4e, [15] = 2}, .public_key = {1, 2, 3}};

	(void)ctx;
	if (!strcmp(name, "branch.ntm.example"))
		return DC_ZONE_EMPTY;
	if (strcmp(name, "mn.ntm.example") && strcmp(name, "x.branch.ntm.example"))
		return DC_ZONE_NONE;
	*ret_node = node;
	return DC_ZONE_NODE;
}

static uint32_t serial(void *ctx)
{
	(void)ctx;
	return 20260101;
}

static uint32_t rate_limit;

static void zone_make(const char *apex, const char *dc_name)
{
	struct ntm_endpoint dc[2] = {endpoint("203.0.113.10:6866"), endpoint("[2001:db8::10]:6866")};
	struct ntm_endpoint dns[3] = {endpoint("203.0.113.10:53"), endpoint("[2001:db8::10]:53"),
				      endpoint("203.0.113.10:5353")};
	struct dc_zone_config config = {.apex = apex,
					.dc_name = dc_name,
					.dc = dc,
					.dcs = 2,
					.dns = dns,
					.dnss = 3,
					.find = find,
					.serial = serial,
					.rate_limit = rate_limit};

	dc_zone_free(zone);
	zone = NULL;
	assert_int_equal(dc_zone_new(&zone, &config), 0);
}

static int setup(void **state)
{
	(void)state;
	rate_limit = 0;
	asker_at = "192.0.2.1:5300";
	zone_make("ntm.example", "dc.ntm.example");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	knot_pkt_free(answer);
	answer = NULL;
	dc_zone_free(zone);
	zone = NULL;
	return 0;
}

/* A query with EDNS of this payload size (0: without); the name is put as it is. Returns its length. */
static size_t query_with(uint8_t *wire, const char *name, uint16_t type, uint16_t edns, const uint8_t *cookie,
			 uint16_t cookie_len)
{
	knot_pkt_t *query = knot_pkt_new(NULL, 1024, NULL);
	knot_dname_storage_t qname;
	knot_rrset_t opt;
	size_t len;

	assert_non_null(knot_dname_from_str(qname, name, sizeof(qname)));
	knot_wire_set_id(query->wire, 0x1234);
	knot_wire_set_rd(query->wire);
	assert_int_equal(knot_pkt_put_question(query, qname, KNOT_CLASS_IN, type), 0);
	if (edns) {
		knot_pkt_begin(query, KNOT_ADDITIONAL);
		assert_int_equal(knot_edns_init(&opt, edns, 0, 0, NULL), 0);
		if (cookie_len)
			assert_int_equal(knot_edns_add_option(&opt, KNOT_EDNS_OPTION_COOKIE, cookie_len, cookie, NULL),
					 0);
		assert_int_equal(knot_pkt_put(query, KNOT_COMPR_HINT_NONE, &opt, 0), 0);
		knot_rrset_clear(&opt, NULL);
	}
	len = query->size;
	memcpy(wire, query->wire, len);
	knot_pkt_free(query);
	return len;
}

static size_t query_make(uint8_t *wire, const char *name, uint16_t type, uint16_t edns)
{
	return query_with(wire, name, type, edns, NULL, 0);
}

static size_t answer_make(const uint8_t *query, size_t len, bool tcp)
{
	struct ntm_endpoint from = endpoint(asker_at);
	struct dc_zone_asker asker = { .from = &from, .now_us = asker_us, .tcp = tcp };

	return dc_zone_answer(zone, &asker, query, len, answer_wire);
}

static void ask_wire(const uint8_t *wire, size_t len, bool tcp)
{
	uint8_t *exact = malloc(len ? len : 1); /* so that reading beyond it is seen */

	memcpy(exact, wire, len);
	answer_len = answer_make(exact, len, tcp);
	free(exact);
	knot_pkt_free(answer);
	answer = NULL;
	if (answer_len <= KNOT_WIRE_HEADER_SIZE)
		return;
	answer = knot_pkt_new(answer_wire, (uint16_t)answer_len, NULL);
	assert_int_equal(knot_pkt_parse(answer, 0), 0);
	assert_int_equal(knot_wire_get_id(answer_wire), knot_wire_get_id(wire));
	assert_true(knot_wire_get_qr(answer_wire));
	assert_false(knot_wire_get_ra(answer_wire));
}

static void ask(const char *name, uint16_t type)
{
	uint8_t wire[1024];

	ask_wire(wire, query_make(wire, name, type, 0), false);
}

static int rcode(void)
{
	return knot_wire_get_rcode(answer_wire);
}

static unsigned count(knot_section_t section)
{
	return knot_pkt_section(answer, section)->count;
}

static const knot_rrset_t *rr(knot_section_t section, uint16_t i)
{
	assert_in_range(i, 0, count(section) - 1);
	return knot_pkt_rr(knot_pkt_section(answer, section), i);
}

static void assert_negative(int code)
{
	assert_int_equal(rcode(), code);
	assert_true(knot_wire_get_aa(answer_wire));
	assert_int_equal(count(KNOT_ANSWER), 0);
	assert_int_equal(count(KNOT_AUTHORITY), 1);
	assert_int_equal(rr(KNOT_AUTHORITY, 0)->type, KNOT_RRTYPE_SOA);
	assert_int_equal(rr(KNOT_AUTHORITY, 0)->ttl, DC_ZONE_NTM_TTL_S);
	assert_int_equal(knot_soa_minimum(rr(KNOT_AUTHORITY, 0)->rrs.rdata), DC_ZONE_NTM_TTL_S);
}

static void a_and_aaaa_are_the_virtual_addresses(void **state)
{
	static const uint8_t v4[4] = {198, 18, 0, 2}, v6[16] = {0xfd, 0x4e, [15] = 2};

	(void)state;
	ask("mn.ntm.example.", KNOT_RRTYPE_A);
	assert_int_equal(rcode(), KNOT_RCODE_NOERROR);
	assert_true(knot_wire_get_aa(answer_wire));
	assert_true(knot_wire_get_rd(answer_wire));
	assert_int_equal(count(KNOT_ANSWER), 1);
	assert_int_equal(rr(KNOT_ANSWER, 0)->ttl, DC_ZONE_TTL_S);
	assert_int_equal(rr(KNOT_ANSWER, 0)->rrs.rdata->len, 4);
	assert_memory_equal(rr(KNOT_ANSWER, 0)->rrs.rdata->data, v4, 4);
	ask("mn.ntm.example.", KNOT_RRTYPE_AAAA);
	assert_int_equal(rr(KNOT_ANSWER, 0)->rrs.rdata->len, 16);
	assert_memory_equal(rr(KNOT_ANSWER, 0)->rrs.rdata->data, v6, 16);
}

static void ntm_records_hold_address_dc_and_key_and_no_location(void **state)
{
	struct ntm_record record;

	(void)state;
	for (int is4 = 0; is4 < 2; is4++) {
		const knot_rrset_t *set;

		ask("mn.ntm.example.", is4 ? NTM_RRTYPE_NTMV4 : NTM_RRTYPE_NTMV6);
		set = rr(KNOT_ANSWER, 0);
		assert_int_equal(set->type, is4 ? 65280 : 65281);
		assert_int_equal(set->ttl, DC_ZONE_NTM_TTL_S);
		assert_int_equal(ntm_record_parse(&record, is4, set->rrs.rdata->data, set->rrs.rdata->len),
				 0);
		assert_int_equal(record.public_key[2], 3);
		assert_int_equal(record.dc.port, 6866);
		assert_int_equal(ntm_addr_is4(&record.dc.addr), is4);
		assert_int_equal(record.vip.b[15], 2);
		assert_true(ntm_addr_is_none(&record.real));
		assert_true(ntm_addr_is_none(&record.nat));
	}
}

static void case_is_ignored_and_given_back(void **state)
{
	static const uint8_t qname[] = "\x02"
				       "mN\x03nTm\x07"
				       "ExAmPlE";

	(void)state;
	ask("mN.nTm.ExAmPlE.", KNOT_RRTYPE_A);
	assert_int_equal(rcode(), KNOT_RCODE_NOERROR);
	assert_int_equal(count(KNOT_ANSWER), 1);
	assert_memory_equal(answer_wire + KNOT_WIRE_HEADER_SIZE, qname, sizeof(qname));
	/* and the owner is a pointer to the question */
	assert_memory_equal(answer_wire + KNOT_WIRE_HEADER_SIZE + sizeof(qname) + 4, "\xc0\x0c", 2);
}

static void names_that_do_not_exist_and_types_that_do_not_differ(void **state)
{
	(void)state;
	ask("nobody.ntm.example.", KNOT_RRTYPE_A);
	assert_negative(KNOT_RCODE_NXDOMAIN);
	ask("below.mn.ntm.example.", KNOT_RRTYPE_A);
	assert_negative(KNOT_RCODE_NXDOMAIN);
	ask("a\\.b.ntm.example.", KNOT_RRTYPE_A);
	assert_negative(KNOT_RCODE_NXDOMAIN);
	ask("mn.ntm.example.", KNOT_RRTYPE_MX);
	assert_negative(KNOT_RCODE_NOERROR);
	ask("branch.ntm.example.", KNOT_RRTYPE_A); /* others lie below it */
	assert_negative(KNOT_RCODE_NOERROR);
	ask("ntm.example.", KNOT_RRTYPE_A);
	assert_negative(KNOT_RCODE_NOERROR);
	ask("dc.ntm.example.", NTM_RRTYPE_NTMV4);
	assert_negative(KNOT_RCODE_NOERROR);
}

static void the_apex_has_soa_and_ns_with_glue(void **state)
{
	(void)state;
	ask("ntm.example.", KNOT_RRTYPE_SOA);
	assert_int_equal(count(KNOT_ANSWER), 1);
	assert_int_equal(knot_soa_serial(rr(KNOT_ANSWER, 0)->rrs.rdata), 20260101);
	ask("ntm.example.", KNOT_RRTYPE_NS);
	assert_int_equal(count(KNOT_ANSWER), 1);
	assert_memory_equal(rr(KNOT_ANSWER, 0)->rrs.rdata->data,
			    "\x02"
			    "dc\x03ntm\x07"
			    "example",
			    16);
	assert_int_equal(count(KNOT_ADDITIONAL), 2); /* an address with two ports counts once */
	ask("dc.ntm.example.", KNOT_RRTYPE_A);
	assert_int_equal(count(KNOT_ANSWER), 1);
	assert_memory_equal(rr(KNOT_ANSWER, 0)->rrs.rdata->data, "\xcb\x00\x71\x0a", 4);
	ask("dc.ntm.example.", KNOT_RRTYPE_AAAA);
	assert_int_equal(count(KNOT_ANSWER), 1);
}

static void the_way_to_a_deep_server_name_exists(void **state)
{
	(void)state;
	zone_make("ntm.example", "dc.infra.ntm.example");
	ask("infra.ntm.example.", KNOT_RRTYPE_A);
	assert_negative(KNOT_RCODE_NOERROR);
	ask("fra.ntm.example.", KNOT_RRTYPE_A);
	assert_negative(KNOT_RCODE_NXDOMAIN);
}

static void any_gets_one_set(void **state)
{
	(void)state;
	ask("mn.ntm.example.", KNOT_RRTYPE_ANY);
	assert_int_equal(count(KNOT_ANSWER), 1);
	ask("ntm.example.", KNOT_RRTYPE_ANY);
	assert_int_equal(count(KNOT_ANSWER), 1);
	ask("dc.ntm.example.", KNOT_RRTYPE_ANY);
	assert_int_equal(count(KNOT_ANSWER), 1);
}

static void what_is_not_ours_is_refused(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
	} row[] = {
		{"example.", KNOT_RRTYPE_A},	     {".", KNOT_RRTYPE_NS},
		{"www.example.com.", KNOT_RRTYPE_A}, {"xntm.example.", KNOT_RRTYPE_A},
		{"ntm.example.", KNOT_RRTYPE_AXFR},  {"ntm.example.", KNOT_RRTYPE_IXFR},
	};
	uint8_t wire[1024];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		ask(row[i].name, row[i].type);
		assert_int_equal(rcode(), KNOT_RCODE_REFUSED);
		assert_false(knot_wire_get_aa(answer_wire));
		assert_int_equal(count(KNOT_ANSWER), 0);
		assert_int_equal(count(KNOT_AUTHORITY), 0);
	}
	len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 0);
	wire[len - 1] = KNOT_CLASS_CH;
	ask_wire(wire, len, false);
	assert_int_equal(rcode(), KNOT_RCODE_REFUSED);
}

static void edns_is_answered_with_our_size(void **state)
{
	uint8_t wire[1024];
	size_t len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 4096);

	(void)state;
	ask_wire(wire, len, false);
	assert_true(knot_pkt_has_edns(answer));
	assert_int_equal(knot_edns_get_payload(answer->opt_rr), DC_ZONE_UDP_MAX);
	assert_int_equal(count(KNOT_ANSWER), 1);
	assert_false(knot_pkt_has_dnssec(answer));
	ask("mn.ntm.example.", KNOT_RRTYPE_A);
	assert_false(knot_pkt_has_edns(answer));
	/* unknown version: its number is the second byte of the TTL, 11 bytes of OPT from the end */
	wire[len - 5] = 1;
	ask_wire(wire, len, false);
	assert_int_equal(knot_pkt_ext_rcode(answer), KNOT_RCODE_BADVERS);
	assert_int_equal(count(KNOT_ANSWER), 0);
	wire[len - 5] = 0;
	wire[len - 4] = 0x80; /* DO */
	ask_wire(wire, len, false);
	assert_true(knot_pkt_has_dnssec(answer));
}

/* A name of n labels of 49 characters before the zone. */
static void long_name(char *out, int labels, const char *end)
{
	out[0] = '\0';
	for (int i = 0; i < labels; i++)
		strcat(out, "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeee.");
	strcat(out, end);
}

static void what_does_not_fit_into_udp_is_truncated_and_whole_over_tcp(void **state)
{
	char dc_name[256], name[256];
	uint8_t wire[1024];
	size_t len;

	(void)state;
	long_name(dc_name, 4, "a-server-that-is-elsewhere.example.net");
	zone_make("ntm.example", dc_name);
	long_name(name, 4, "a-node-that-is-nowhere.ntm.example.");
	len = query_make(wire, name, KNOT_RRTYPE_A, 0);
	ask_wire(wire, len, false);
	assert_true(knot_wire_get_tc(answer_wire));
	assert_in_range(answer_len, len, 512);
	assert_int_equal(rcode(), KNOT_RCODE_NXDOMAIN);
	ask_wire(wire, len, true);
	assert_false(knot_wire_get_tc(answer_wire));
	assert_in_range(answer_len, 513, DC_ZONE_ANSWER_MAX);
	assert_negative(KNOT_RCODE_NXDOMAIN);
	/* a larger buffer by EDNS takes it, one below 512 counts as 512 */
	len = query_make(wire, name, KNOT_RRTYPE_A, 1232);
	ask_wire(wire, len, false);
	assert_false(knot_wire_get_tc(answer_wire));
	len = query_make(wire, name, KNOT_RRTYPE_A, 100);
	ask_wire(wire, len, false);
	assert_true(knot_wire_get_tc(answer_wire));
	assert_true(knot_pkt_has_edns(answer));
	len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 100);
	ask_wire(wire, len, false);
	assert_false(knot_wire_get_tc(answer_wire));
}

static void packets_that_are_no_queries_get_an_error_or_silence(void **state)
{
	uint8_t wire[1024];
	size_t len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 0);

	(void)state;
	ask_wire(wire, 11, false);
	assert_int_equal(answer_len, 0);
	ask_wire(wire, len - 1, false);
	assert_int_equal(answer_len, 12);
	assert_int_equal(rcode(), KNOT_RCODE_FORMERR);
	knot_wire_set_qr(wire);
	ask_wire(wire, len, false);
	assert_int_equal(answer_len, 0);
	len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 0);
	knot_wire_set_opcode(wire, KNOT_OPCODE_UPDATE);
	ask_wire(wire, len, false);
	assert_int_equal(rcode(), KNOT_RCODE_NOTIMPL);
	len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 0);
	knot_wire_set_qdcount(wire, 0);
	ask_wire(wire, len, false);
	assert_int_equal(rcode(), KNOT_RCODE_FORMERR);
	knot_wire_set_qdcount(wire, 2);
	ask_wire(wire, len, false);
	assert_int_equal(rcode(), KNOT_RCODE_FORMERR);
}

static void broken_packets_of_every_kind_do_no_harm(void **state)
{
	uint8_t wire[1024], broken[1024];
	size_t len = query_make(wire, "mn.ntm.example.", KNOT_RRTYPE_A, 1232);
	uint32_t seed = 1;

	(void)state;
	for (size_t cut = 0; cut <= len; cut++)
		answer_make(wire, cut, false);
	for (int round = 0; round < 20000; round++) {
		memcpy(broken, wire, len);
		for (int i = 0; i < 3; i++) {
			seed = seed * 1664525 + 1013904223;
			broken[(seed >> 8) % len] = (uint8_t)(seed >> 24);
		}
		answer_len = answer_make(broken, len, seed & 1);
		assert_true(answer_len == 0 || (answer_len >= 12 && answer_len <= DC_ZONE_ANSWER_MAX));
	}
	ask("mn.ntm.example.", KNOT_RRTYPE_A);
	assert_int_equal(count(KNOT_ANSWER), 1);
}

/* ---- the guard */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_and_aaaa_are_the_virtual_addresses),
		TEST(ntm_records_hold_address_dc_and_key_and_no_location),
		TEST(case_is_ignored_and_given_back),
		TEST(names_that_do_not_exist_and_types_that_do_not_differ),
		TEST(the_apex_has_soa_and_ns_with_glue),
		TEST(the_way_to_a_deep_server_name_exists),
		TEST(any_gets_one_set),
		TEST(what_is_not_ours_is_refused),
		TEST(edns_is_answered_with_our_size),
		TEST(what_does_not_fit_into_udp_is_truncated_and_whole_over_tcp),
		TEST(packets_that_are_no_queries_get_an_error_or_silence),
		TEST(broken_packets_of_every_kind_do_no_harm),
		TEST(a_network_gets_so_many_answers_a_second_and_others_theirs),
		TEST(short_answers_are_not_counted),
		TEST(without_a_limit_all_is_answered),
		TEST(whoever_has_a_cookie_of_ours_is_not_limited),
		TEST(a_limited_client_gets_its_cookie_with_the_truncation),
		TEST(cookies_of_wrong_lengths_are_format_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
