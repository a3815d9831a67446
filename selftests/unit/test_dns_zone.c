/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dns_zone.c - query packets in, answer packets out (dc/dns_zone.c), read with libknot's parser.
 */
#include "zone_world.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
