/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_zone.c - what the zone of a DC answers. A and AAAA of a member are its virtual addresses, registered or
 * not; NTMv4 and NTMv6 (lib/record.h) tell a node's stub that it is one of ours. Before it: dns.c; the
 * reader: daemon/dns_stub.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include <ntm/wire.h>

#include "dc/dns_guard.h"
#include "dc/dns_zone.h"
#include "endpoint.h"
#include "record.h"

#define SOA_REFRESH_S 3600 /* for secondaries, of which there are none: AXFR is refused */
#define SOA_RETRY_S 600
#define SOA_EXPIRE_S 604800
#define SOA_NUMBERS 20 /* bytes of the five numbers */
#define UDP_PLAIN 512 /* RFC 1035, 4.2.1 */

struct dc_zone {
	struct dc_zone_config config;
	struct ntm_endpoint dc4, dc6; /* the first of each family */
	char apex_text[NTM_FQDN_MAX + 1], dc_text[NTM_FQDN_MAX + 1];
	struct ntm_endpoint dns[NTM_SERVERS_MAX];
	unsigned dnss;
	bool dc_inside; /* dc_name lies in the zone */
	knot_dname_storage_t apex, dc_name;
	uint8_t soa[2 * KNOT_DNAME_MAXLEN + SOA_NUMBERS];
	size_t soa_len;
	knot_pkt_t *query, *answer; /* used again for every query: their memory stays */
	knot_rrset_t opt;
	struct dc_guard *guard;
};

/* ---- making it */

/* A name of the configuration as wire; returns its length. */
static int name_wire(knot_dname_storage_t out, const char *name)
{
	return knot_dname_from_str(out, name, sizeof(knot_dname_storage_t)) ? (int)knot_dname_size(out)
									    : -EINVAL;
}

static int soa_make(struct dc_zone *zone)
{
	char rname[NTM_FQDN_MAX + 16] = "hostmaster.";
	static const uint32_t number[] = {0, SOA_REFRESH_S, SOA_RETRY_S, SOA_EXPIRE_S, DC_ZONE_NTM_TTL_S};
	knot_dname_storage_t name;
	size_t at = knot_dname_size(zone->dc_name);
	int n;

	memcpy(zone->soa, zone->dc_name, at);
	strcat(rname, zone->apex_text);
	n = name_wire(name, rname);
	if (n < 0) /* a zone so long that nothing fits before it */
		n = name_wire(name, zone->apex_text);
	if (n < 0)
		return n;
	memcpy(zone->soa + at, name, (size_t)n);
	at += (size_t)n;
	for (size_t i = 0; i < sizeof(number) / sizeof(*number); i++, at += 4)
		knot_wire_write_u32(zone->soa + at, number[i]);
	zone->soa_len = at;
	return 0;
}

int dc_zone_new(struct dc_zone **ret_zone, const struct dc_zone_config *config)
{
	struct dc_zone *zone = calloc(1, sizeof(*zone));
	int err = -EINVAL;

	if (!zone)
		return -ENOMEM;
	zone->config = *config;
	strncpy(zone->apex_text, config->apex, NTM_FQDN_MAX);
	strncpy(zone->dc_text, config->dc_name, NTM_FQDN_MAX);
	for (unsigned i = config->dcs; i-- > 0;)
		if (ntm_addr_is_usable(&config->dc[i].addr))
			*(ntm_endpoint_is4(&config->dc[i]) ? &zone->dc4 : &zone->dc6) = config->dc[i];
	for (unsigned i = 0; i < config->dnss && zone->dnss < NTM_SERVERS_MAX; i++)
		if (ntm_addr_is_usable(&config->dns[i].addr))
			zone->dns[zone->dnss++] = config->dns[i];
	zone->dc_inside = ntm_name_in_zone(zone->dc_text, zone->apex_text);
	if (name_wire(zone->apex, zone->apex_text) < 0 || name_wire(zone->dc_name, zone->dc_text) < 0 ||
	    soa_make(zone))
		goto free;
	err = -ENOMEM;
	zone->query = knot_pkt_new(NULL, DC_ZONE_QUERY_MAX, NULL);
	zone->answer = knot_pkt_new(NULL, DC_ZONE_ANSWER_MAX, NULL);
	if (!zone->query || !zone->answer ||
	    knot_edns_init(&zone->opt, DC_ZONE_UDP_MAX, 0, KNOT_EDNS_VERSION, NULL) ||
	    dc_guard_new(&zone->guard, config->rate_limit))
		goto free;
	*ret_zone = zone;
	return 0;
free:
	dc_zone_free(zone);
	return err;
}

void dc_zone_free(struct dc_zone *zone)
{
	if (!zone)
		return;
	dc_guard_free(zone->guard);
	knot_rrset_clear(&zone->opt, NULL);
	knot_pkt_free(zone->query);
	knot_pkt_free(zone->answer);
	free(zone);
}

/* ---- records */

/* Puts one record; owner NULL: the name that was asked for. What does not fit sets TC, unless it was
 * optional. */
static int put(struct dc_zone *zone, const knot_dname_t *owner, uint16_t type, uint32_t ttl,
	       const void *rdata, size_t len, bool optional)
{
	union {
		knot_rdata_t rdata;
		uint8_t room[sizeof(uint16_t) + sizeof(zone->soa) + 1];
	} one;
	knot_rrset_t rrset;

	one.rdata.len = (uint16_t)len;
	memcpy(one.rdata.data, rdata, len);
	knot_rrset_init(&rrset, (knot_dname_t *)(owner ? owner : knot_pkt_qname(zone->answer)), type,
			KNOT_CLASS_IN, ttl);
	rrset.rrs.count = 1;
	rrset.rrs.size = (uint32_t)knot_rdata_size((uint16_t)len);
	rrset.rrs.rdata = &one.rdata;
	return knot_pkt_put(zone->answer, owner ? KNOT_COMPR_HINT_NONE : KNOT_COMPR_HINT_QNAME, &rrset,
			    optional ? KNOT_PF_NOTRUNC : KNOT_PF_NULL);
}

static void soa_put(struct dc_zone *zone, knot_section_t section, uint32_t ttl)
{
	/* the serial is the first number */
	knot_wire_write_u32(zone->soa + zone->soa_len - SOA_NUMBERS, zone->config.serial(zone->config.ctx));
	knot_pkt_begin(zone->answer, section);
	put(zone, section == KNOT_ANSWER ? NULL : zone->apex, KNOT_RRTYPE_SOA, ttl, zone->soa, zone->soa_len,
	    false);
}

static void negative(struct dc_zone *zone, int rcode)
{
	knot_wire_set_rcode(zone->answer->wire, (short)rcode);
	soa_put(zone, KNOT_AUTHORITY, DC_ZONE_NTM_TTL_S);
}

/* The DNS servers' own addresses, of one family or of both; returns how many. */
static unsigned server_put(struct dc_zone *zone, const knot_dname_t *owner, bool want4, bool want6,
			   bool optional)
{
	unsigned count = 0;

	for (unsigned i = 0; i < zone->dnss; i++) {
		const struct ntm_addr *addr = &zone->dns[i].addr;
		bool is4 = ntm_addr_is4(addr), known = false;

		for (unsigned j = 0; j < i; j++) /* two ports of one address */
			known |= ntm_addr_equal(&zone->dns[j].addr, addr);
		if (known || !(is4 ? want4 : want6))
			continue;
		count++;
		if (put(zone, owner, is4 ? KNOT_RRTYPE_A : KNOT_RRTYPE_AAAA, DC_ZONE_TTL_S,
			is4 ? addr->b + 12 : addr->b, is4 ? 4 : 16, optional))
			break;
	}
	return count;
}

static void node_ntm_put(struct dc_zone *zone, const struct dc_zone_node *node, bool is4)
{
	struct ntm_record record = {
		.is4 = is4,
		.dc = is4 ? zone->dc4 : zone->dc6,
		.real = is4 ? node->real4 : node->real6,
		.nat = is4 ? node->nat4 : node->nat6,
	};
	uint8_t rdata[NTM_RECORD6_LEN];
	size_t len;

	if (is4)
		ntm_addr_from4(&record.vip, node->vip4);
	else
		ntm_addr_from6(&record.vip, node->vip6);
	memcpy(record.public_key, node->public_key, NTM_KEY_LEN);
	len = ntm_record_build(rdata, &record);
	put(zone, NULL, is4 ? NTM_RRTYPE_NTMV4 : NTM_RRTYPE_NTMV6, DC_ZONE_NTM_TTL_S, rdata, len, false);
}

/* ---- answers by name */

static void apex_answer(struct dc_zone *zone, uint16_t type)
{
	bool is_dc = !strcmp(zone->apex_text, zone->dc_text);
	bool any = type == KNOT_RRTYPE_ANY; /* one set is enough (RFC 8482) */

	knot_pkt_begin(zone->answer, KNOT_ANSWER);
	if (type == KNOT_RRTYPE_SOA || any) {
		soa_put(zone, KNOT_ANSWER, DC_ZONE_TTL_S);
	} else if (type == KNOT_RRTYPE_NS) {
		put(zone, NULL, KNOT_RRTYPE_NS, DC_ZONE_TTL_S, zone->dc_name, knot_dname_size(zone->dc_name),
		    false);
		knot_pkt_begin(zone->answer, KNOT_ADDITIONAL);
		if (zone->dc_inside)
			server_put(zone, zone->dc_name, true, true, true);
	} else if (!is_dc ||
		   !server_put(zone, NULL, type == KNOT_RRTYPE_A, type == KNOT_RRTYPE_AAAA, false)) {
		negative(zone, KNOT_RCODE_NOERROR);
	}
}

static void dc_answer(struct dc_zone *zone, uint16_t type)
{
	bool any = type == KNOT_RRTYPE_ANY;
	unsigned count;

	knot_pkt_begin(zone->answer, KNOT_ANSWER);
	count = server_put(zone, NULL, type == KNOT_RRTYPE_A || any, type == KNOT_RRTYPE_AAAA, false);
	if (!count && any)
		count = server_put(zone, NULL, false, true, false);
	if (!count)
		negative(zone, KNOT_RCODE_NOERROR);
}

static void node_answer(struct dc_zone *zone, uint16_t type, const struct dc_zone_node *node)
{
	knot_pkt_begin(zone->answer, KNOT_ANSWER);
	switch (type) {
	case KNOT_RRTYPE_ANY:
	case KNOT_RRTYPE_A:
		put(zone, NULL, KNOT_RRTYPE_A, DC_ZONE_TTL_S, node->vip4, sizeof(node->vip4), false);
		break;
	case KNOT_RRTYPE_AAAA:
		put(zone, NULL, KNOT_RRTYPE_AAAA, DC_ZONE_TTL_S, node->vip6, sizeof(node->vip6), false);
		break;
	case NTM_RRTYPE_NTMV4:
	case NTM_RRTYPE_NTMV6:
		node_ntm_put(zone, node, type == NTM_RRTYPE_NTMV4);
		break;
	default:
		negative(zone, KNOT_RCODE_NOERROR);
	}
}

/* The name asked for as text; false: it has characters that no name here has. */
static bool name_text(const knot_dname_t *name, char ret_text[NTM_FQDN_MAX + 1])
{
	size_t at = 0;

	for (; *name; name += *name + 1) {
		for (unsigned i = 1; i <= *name; i++, at++) {
			if (name[i] <= ' ' || name[i] == '.' || name[i] >= 0x7f)
				return false;
			ret_text[at] = (char)name[i];
		}
		ret_text[at++] = '.';
	}
	ret_text[at ? at - 1 : 0] = '\0';
	return true;
}

static void name_answer(struct dc_zone *zone, uint16_t type)
{
	char name[NTM_FQDN_MAX + 2];
	struct dc_zone_node node = {0};

	knot_wire_set_aa(zone->answer->wire);
	if (!name_text(knot_pkt_qname(zone->query), name)) {
		negative(zone, KNOT_RCODE_NXDOMAIN);
		return;
	}
	if (!strcmp(name, zone->apex_text)) {
		apex_answer(zone, type);
		return;
	}
	if (!strcmp(name, zone->dc_text)) {
		dc_answer(zone, type);
		return;
	}
	switch (zone->config.find(zone->config.ctx, name, &node)) {
	case DC_ZONE_NODE:
		node_answer(zone, type, &node);
		break;
	case DC_ZONE_EMPTY:
		negative(zone, KNOT_RCODE_NOERROR);
		break;
	case DC_ZONE_NONE:
		negative(zone, zone->dc_inside && ntm_name_in_zone(zone->dc_text, name)
				       ? KNOT_RCODE_NOERROR
				       : KNOT_RCODE_NXDOMAIN);
	}
}

/* ---- the packet around it */

#define COOKIE_HEADER 4 /* of an EDNS option: code and length */
#define WORTH 2 /* times the query: A and AAAA are below; who floods others gets as much from any server */

union cookie_room {
	knot_rdata_t rdata;
	uint8_t room[sizeof(uint16_t) + COOKIE_HEADER + DC_GUARD_COOKIE_LEN];
};

/* Everything but what the name says: the response code, or NOERROR to go on. */
static int query_check(struct dc_zone *zone)
{
	const knot_pkt_t *query = zone->query;
	uint16_t type = knot_pkt_qtype(query);

	if (knot_pkt_has_tsig(query))
		return KNOT_RCODE_NOTAUTH; /* no keys are shared with anybody */
	if (knot_pkt_qclass(query) != KNOT_CLASS_IN && knot_pkt_qclass(query) != KNOT_CLASS_ANY)
		return KNOT_RCODE_REFUSED;
	if (type == KNOT_RRTYPE_AXFR || type == KNOT_RRTYPE_IXFR)
		return KNOT_RCODE_REFUSED;
	if (knot_dname_in_bailiwick(knot_pkt_qname(query), zone->apex) < 0)
		return KNOT_RCODE_REFUSED;
	return KNOT_RCODE_NOERROR;
}

static size_t answer_limit(const knot_pkt_t *query, bool tcp)
{
	size_t payload = knot_pkt_has_edns(query) ? knot_edns_get_payload(query->opt_rr) : UDP_PLAIN;

	if (tcp)
		return DC_ZONE_ANSWER_MAX;
	return payload < UDP_PLAIN ? UDP_PLAIN : payload > DC_ZONE_UDP_MAX ? DC_ZONE_UDP_MAX : payload;
}

/* What the query's cookie is; *opt gets the answer's, in the room given. */
static enum dc_guard_cookie cookie_take(struct dc_zone *zone, const struct dc_zone_asker *asker,
					knot_rrset_t *opt, union cookie_room *room)
{
	uint8_t *option = knot_pkt_edns_option(zone->query, KNOT_EDNS_OPTION_COOKIE);
	enum dc_guard_cookie cookie;

	if (!option)
		return DC_GUARD_NONE;
	cookie = dc_guard_cookie(zone->guard, asker->now_us, asker->from, knot_edns_opt_get_data(option),
				 knot_edns_opt_get_length(option), room->rdata.data + COOKIE_HEADER);
	if (cookie == DC_GUARD_NEW || cookie == DC_GUARD_OURS) {
		knot_wire_write_u16(room->rdata.data, KNOT_EDNS_OPTION_COOKIE);
		knot_wire_write_u16(room->rdata.data + 2, DC_GUARD_COOKIE_LEN);
		room->rdata.len = COOKIE_HEADER + DC_GUARD_COOKIE_LEN;
		opt->rrs.rdata = &room->rdata;
		opt->rrs.size = (uint32_t)knot_rdata_size(room->rdata.len);
	}
	return cookie;
}

/* All but OPT. */
static void answer_fill(struct dc_zone *zone, enum dc_guard_cookie cookie, bool truncate)
{
	int rcode = cookie == DC_GUARD_BROKEN ? KNOT_RCODE_FORMERR : query_check(zone);

	if (rcode != KNOT_RCODE_NOERROR) {
		knot_wire_set_rcode(zone->answer->wire, (short)rcode);
	} else if (truncate) {
		knot_wire_set_aa(zone->answer->wire);
		knot_wire_set_tc(zone->answer->wire);
	} else {
		name_answer(zone, knot_pkt_qtype(zone->query));
	}
}

/* After knot_pkt_init_response. opt: NULL without EDNS; known: its version */
static void answer_put(struct dc_zone *zone, enum dc_guard_cookie cookie, const knot_rrset_t *opt, bool known,
		       bool truncate)
{
	knot_pkt_t *answer = zone->answer;
	uint16_t reserved = opt ? (uint16_t)knot_edns_wire_size((knot_rrset_t *)opt) : 0;

	knot_pkt_reserve(answer, reserved);
	if (known)
		answer_fill(zone, cookie, truncate);
	if (!opt)
		return;
	knot_pkt_reclaim(answer, reserved);
	if (answer->current != KNOT_ADDITIONAL)
		knot_pkt_begin(answer, KNOT_ADDITIONAL);
	knot_pkt_put(answer, KNOT_COMPR_HINT_NONE, opt, KNOT_PF_NOTRUNC);
}

/*
 * What goes by UDP to whom sent no cookie of ours, and would be more than WORTH times the query, is counted.
 * false: nothing is to be answered.
 */
static bool answer_make(struct dc_zone *zone, const struct dc_zone_asker *asker)
{
	knot_pkt_t *query = zone->query, *answer = zone->answer;
	bool edns = knot_pkt_has_edns(query),
	     known = !edns || knot_edns_get_version(query->opt_rr) == KNOT_EDNS_VERSION;
	enum dc_guard_cookie cookie = DC_GUARD_NONE;
	enum dc_guard_verdict verdict;
	knot_rrset_t opt = zone->opt;
	union cookie_room room;

	if (edns && known)
		cookie = cookie_take(zone, asker, &opt, &room);
	if (!known)
		knot_edns_set_ext_rcode(&opt, KNOT_RCODE_BADVERS >> 4);
	if (edns && knot_edns_do(query->opt_rr))
		knot_edns_set_do(&opt);
	answer_put(zone, cookie, edns ? &opt : NULL, known, false);
	if (asker->tcp || cookie == DC_GUARD_OURS || answer->size <= WORTH * query->size)
		return true;
	verdict = dc_guard_take(zone->guard, asker->now_us, asker->from);
	if (verdict != DC_GUARD_TRUNCATE)
		return verdict == DC_GUARD_ANSWER;
	knot_pkt_clear(answer);
	if (knot_pkt_init_response(answer, query))
		return false;
	answer_put(zone, cookie, edns ? &opt : NULL, known, true);
	return true;
}

/* To what cannot be read as a query: the header with this code. */
static size_t error_make(const uint8_t *query, int rcode, uint8_t *ret_answer)
{
	memset(ret_answer, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_id(ret_answer, knot_wire_get_id(query));
	knot_wire_set_qr(ret_answer);
	knot_wire_set_opcode(ret_answer, knot_wire_get_opcode(query));
	if (knot_wire_get_rd(query))
		knot_wire_set_rd(ret_answer);
	knot_wire_set_rcode(ret_answer, (uint8_t)rcode);
	return KNOT_WIRE_HEADER_SIZE;
}

size_t dc_zone_answer(struct dc_zone *zone, const struct dc_zone_asker *asker, const uint8_t *query,
		      size_t len, uint8_t *ret_answer)
{
	if (len < KNOT_WIRE_HEADER_SIZE || len > DC_ZONE_QUERY_MAX || knot_wire_get_qr(query))
		return 0; /* an answer is never answered */
	if (knot_wire_get_opcode(query) != KNOT_OPCODE_QUERY)
		return error_make(query, KNOT_RCODE_NOTIMPL, ret_answer);
	knot_pkt_clear(zone->query);
	knot_pkt_clear(zone->answer);
	memcpy(zone->query->wire, query, len);
	zone->query->size = len;
	zone->query->max_size = DC_ZONE_QUERY_MAX;
	if (knot_wire_get_qdcount(query) != 1 || knot_wire_get_ancount(query) ||
	    knot_pkt_parse(zone->query, 0))
		return error_make(query, KNOT_RCODE_FORMERR, ret_answer);
	zone->answer->max_size = answer_limit(zone->query, asker->tcp);
	if (knot_pkt_init_response(zone->answer, zone->query))
		return error_make(query, KNOT_RCODE_FORMERR, ret_answer);
	if (!answer_make(zone, asker))
		return 0;
	memcpy(ret_answer, zone->answer->wire, zone->answer->size);
	return zone->answer->size;
}
