/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_dns_zone.c - dc/dns_zone.c asked anything: it stays silent, or answers with a well-formed packet that
 * is no longer than the query allows and tells of nothing outside its zone. Input: a byte, of which bit 0
 * says that it came by TCP, and the query.
 */
#include <libknot/libknot.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dc/dns_zone.h"
#include "endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define require(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static const char apex_text[] = "ntm.example";

/* Called with names below the apex only, normalised. */
static enum dc_zone_found find(void *ctx, const char *name, struct dc_zone_node *ret_node)
{
	static const struct dc_zone_node node = {
		.vip4 = {198, 18, 0, 2}, .vip6 = {0xfd, 0x4e, [15] = 2}, .public_key = {1}};
	char normal[NTM_FQDN_MAX + 1];
	size_t len = strlen(name);

	(void)ctx;
	require(len > sizeof(apex_text) && !strcmp(name + len - sizeof(apex_text) + 1, apex_text));
	if (!ntm_name_normalise(normal, name))
		require(!strcmp(normal, name));
	if (!strcmp(name, "b.ntm.example"))
		return DC_ZONE_EMPTY;
	if (strcmp(name, "mn.ntm.example") && strcmp(name, "x.b.ntm.example"))
		return DC_ZONE_NONE;
	*ret_node = node;
	return DC_ZONE_NODE;
}

static uint32_t serial(void *ctx)
{
	(void)ctx;
	return 7;
}

static struct dc_zone *zone_make(void)
{
	struct ntm_endpoint at[2];
	struct dc_zone_config config = {.apex = apex_text,
					.dc_name = "dc.ntm.example",
					.dc = at,
					.dcs = 2,
					.dns = at,
					.dnss = 2,
					.find = find,
					.serial = serial};
	struct dc_zone *zone;

	require(!ntm_endpoint_parse(&at[0], "203.0.113.10:53", 0) &&
		!ntm_endpoint_parse(&at[1], "[2001:db8::10]:53", 0));
	require(!dc_zone_new(&zone, &config));
	return zone;
}

static void answer_check(const uint8_t *query_wire, size_t query_len, bool tcp, uint8_t *wire, size_t len)
{
	knot_pkt_t *query = knot_pkt_new((void *)query_wire, (uint16_t)query_len, NULL), *answer;
	size_t most = tcp ? DC_ZONE_ANSWER_MAX : KNOT_WIRE_MIN_PKTSIZE;
	knot_dname_storage_t apex;

	require(query && query_len >= KNOT_WIRE_HEADER_SIZE && !knot_wire_get_qr(query_wire));
	answer = knot_pkt_new(wire, (uint16_t)len, NULL);
	require(answer && knot_pkt_parse(answer, 0) == KNOT_EOK); /* names are in lower case then */
	require(!memcmp(wire, query_wire, 2) && knot_wire_get_qr(wire));
	if (!tcp && knot_pkt_parse(query, KNOT_PF_KEEPWIRE) == KNOT_EOK && knot_pkt_has_edns(query) &&
	    knot_edns_get_payload(query->opt_rr) > most) {
		most = knot_edns_get_payload(query->opt_rr);
		most = most < DC_ZONE_UDP_MAX ? most : DC_ZONE_UDP_MAX;
	}
	require(len <= most);
	require(knot_dname_from_str(apex, apex_text, sizeof(apex)));
	for (unsigned i = 0; i < answer->rrset_count; i++)
		require(answer->rr[i].type == KNOT_RRTYPE_OPT ||
			knot_dname_in_bailiwick(answer->rr[i].owner, apex) >= 0);
	knot_pkt_free(query);
	knot_pkt_free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t answer[DC_ZONE_ANSWER_MAX];
	static struct dc_zone *zone;
	static const struct ntm_endpoint from = { .port = 53 };
	struct dc_zone_asker asker = { .from = &from, .tcp = len && data[0] & 1 };
	uint8_t *query;
	size_t n;

	if (!zone)
		zone = zone_make();
	if (len < 1 || len > DC_ZONE_QUERY_MAX + 64)
		return 0;
	query = malloc(len - 1 ? len - 1 : 1); /* where it ends, memory does */
	require(query);
	memcpy(query, data + 1, len - 1);
	n = dc_zone_answer(zone, &asker, query, len - 1, answer);
	require(n <= sizeof(answer));
	if (n)
		answer_check(data + 1, len - 1, asker.tcp, answer, n);
	free(query);
	return 0;
}
