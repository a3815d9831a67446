/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * zone_world.h - for test_dns_zone.c and test_dns_guard.c: a zone with a node, queries to it, and the last
 * answer.
 */
#ifndef NTM_UNIT_ZONE_WORLD_H
#define NTM_UNIT_ZONE_WORLD_H

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
