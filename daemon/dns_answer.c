/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_answer.c - builds the stub's answers. They are made anew from the parsed records and not patched, so
 * that nothing a server sends reaches an application unparsed, and ID, spelling, EDNS and length are the
 * application's.
 */
#include "dns_internal.h"

#include <string.h>

#define CHAIN_MAX 16 /* CNAMEs followed */

/* What goes into the closing OPT record. */
struct extra {
	unsigned rcode; /* with the extended bits */
	int ede; /* negative: none */
	const char *text;
	size_t text_len;
};

static int opt_make(knot_rrset_t *ret_opt, const struct ntmd_dns_query *query, const struct extra *extra)
{
	uint8_t *option;
	int err;

	err = knot_edns_init(ret_opt, NTMD_DNS_PAYLOAD, (uint8_t)(extra->rcode >> 4), KNOT_EDNS_VERSION,
			     NULL);
	if (err != KNOT_EOK)
		return err;
	if (query->question.flags & NTMD_DNS_DO)
		knot_edns_set_do(ret_opt);
	if (extra->ede < 0)
		return KNOT_EOK;
	err = knot_edns_reserve_option(ret_opt, KNOT_EDNS_OPTION_EDE, (uint16_t)(2 + extra->text_len),
				       &option, NULL);
	if (err == KNOT_EOK) {
		knot_wire_write_u16(option, (uint16_t)extra->ede);
		memcpy(option + 2, extra->text, extra->text_len);
	} else {
		knot_rrset_clear(ret_opt, NULL);
	}
	return err;
}

/* Header and question; opt's room is kept free. NULL: no memory. */
static knot_pkt_t *packet_begin(const struct ntmd_dns_query *query, knot_rrset_t *opt)
{
	knot_pkt_t *packet = knot_pkt_new(query->dns->out, query->payload, NULL);

	if (!packet)
		return NULL;
	knot_pkt_clear(packet);
	knot_wire_set_id(packet->wire, query->id);
	knot_wire_set_qr(packet->wire);
	knot_wire_set_ra(packet->wire);
	if (query->question.flags & NTMD_DNS_RD)
		knot_wire_set_rd(packet->wire);
	if (query->question.flags & NTMD_DNS_CD)
		knot_wire_set_cd(packet->wire);
	if (knot_pkt_put_question(packet, query->name, query->question.rclass, query->question.type) !=
		    KNOT_EOK ||
	    (opt && knot_pkt_reserve(packet, (uint16_t)knot_edns_wire_size(opt)) != KNOT_EOK)) {
		knot_pkt_free(packet);
		return NULL;
	}
	return packet;
}

static size_t packet_end(knot_pkt_t *packet, knot_rrset_t *opt, unsigned rcode)
{
	size_t len;

	knot_wire_set_rcode(packet->wire, rcode & 15);
	if (opt) {
		knot_pkt_reclaim(packet, (uint16_t)knot_edns_wire_size(opt));
		if (packet->current != KNOT_ADDITIONAL)
			knot_pkt_begin(packet, KNOT_ADDITIONAL);
		knot_pkt_put(packet, KNOT_COMPR_HINT_NONE, opt, 0);
	}
	len = packet->size;
	knot_pkt_free(packet);
	return len;
}

static int section_copy(knot_pkt_t *packet, const knot_pkt_t *from, knot_section_t id)
{
	const knot_pktsection_t *section = knot_pkt_section(from, id);
	int err;

	knot_pkt_begin(packet, id);
	for (uint16_t i = 0; i < section->count; i++) {
		const knot_rrset_t *rr = knot_pkt_rr(section, i);

		if (rr->type == KNOT_RRTYPE_OPT || rr->type == KNOT_RRTYPE_TSIG)
			continue;
		err = knot_pkt_put(packet, KNOT_COMPR_HINT_NONE, rr, KNOT_PF_NOTRUNC);
		if (err != KNOT_EOK)
			return err;
	}
	return KNOT_EOK;
}

/* Only the question and TC: half of an answer helps nobody. */
static size_t truncated(const struct ntmd_dns_query *query, knot_rrset_t *opt, unsigned rcode)
{
	knot_pkt_t *packet = packet_begin(query, opt);

	if (!packet)
		return 0;
	knot_wire_set_tc(packet->wire);
	return packet_end(packet, opt, rcode);
}

static void relay_header(knot_pkt_t *packet, const struct ntmd_dns_query *query, const knot_pkt_t *from)
{
	if (knot_wire_get_aa(from->wire))
		knot_wire_set_aa(packet->wire);
	/* RFC 6840, section 5.7: only for those who can make use of it. */
	if (knot_wire_get_ad(from->wire) && query->question.flags & (NTMD_DNS_AD | NTMD_DNS_DO))
		knot_wire_set_ad(packet->wire);
}

size_t ntmd_dns_answer_relay(const struct ntmd_dns_query *query, const knot_pkt_t *from)
{
	struct extra extra = {.rcode = knot_pkt_ext_rcode(from), .ede = -1};
	uint8_t *ede = knot_pkt_edns_option(from, KNOT_EDNS_OPTION_EDE);
	knot_rrset_t opt_room, *opt = NULL;
	knot_pkt_t *packet;
	size_t len = 0;

	if (ede && knot_edns_opt_get_length(ede) >= 2) {
		extra.ede = knot_wire_read_u16(knot_edns_opt_get_data(ede));
		extra.text = (const char *)knot_edns_opt_get_data(ede) + 2;
		extra.text_len = knot_edns_opt_get_length(ede) - 2u;
		if (extra.text_len > NTM_TEXT_MAX)
			extra.text_len = NTM_TEXT_MAX;
	}
	if (query->edns) {
		if (opt_make(&opt_room, query, &extra) != KNOT_EOK)
			return 0;
		opt = &opt_room;
	}
	packet = packet_begin(query, opt);
	if (!packet)
		goto out;
	relay_header(packet, query, from);
	if (section_copy(packet, from, KNOT_ANSWER) != KNOT_EOK ||
	    section_copy(packet, from, KNOT_AUTHORITY) != KNOT_EOK) {
		knot_pkt_free(packet);
		len = truncated(query, opt, extra.rcode);
		goto out;
	}
	section_copy(packet, from, KNOT_ADDITIONAL); /* as many as fit: they are only hints */
	len = packet_end(packet, opt, extra.rcode);
out:
	if (opt)
		knot_rrset_clear(opt, NULL);
	return len;
}

static const knot_rrset_t *cname_of(const knot_pkt_t *packet, const knot_dname_t *name)
{
	const knot_pktsection_t *answer = knot_pkt_section(packet, KNOT_ANSWER);

	for (uint16_t i = 0; i < answer->count; i++) {
		const knot_rrset_t *rr = knot_pkt_rr(answer, i);

		if (rr->type == KNOT_RRTYPE_CNAME && rr->rclass == KNOT_CLASS_IN &&
		    knot_dname_is_case_equal(rr->owner, name))
			return rr;
	}
	return NULL;
}

const knot_dname_t *ntmd_dns_answer_canonical(const knot_pkt_t *packet, const knot_dname_t *name,
					      uint32_t *ttl)
{
	for (int i = 0; i < CHAIN_MAX; i++) {
		const knot_rrset_t *cname = cname_of(packet, name);

		if (!cname)
			break;
		if (cname->ttl < *ttl)
			*ttl = cname->ttl;
		name = knot_cname_name(cname->rrs.rdata);
	}
	return name;
}

static int address_put(knot_pkt_t *packet, const knot_dname_t *owner, uint16_t type, const uint8_t *vip)
{
	knot_rrset_t *rr = knot_rrset_new(owner, type, KNOT_CLASS_IN, NTMD_DNS_ANSWER_TTL_S, NULL);
	int err;

	if (!rr)
		return KNOT_ENOMEM;
	err = knot_rrset_add_rdata(rr, vip, type == KNOT_RRTYPE_A ? 4 : 16, NULL);
	if (err == KNOT_EOK)
		err = knot_pkt_put(packet, KNOT_COMPR_HINT_NONE, rr, KNOT_PF_NOTRUNC);
	knot_rrset_free(rr, NULL);
	return err;
}

/* The CNAMEs from the question on; *ret_owner is where they end. */
static int chain_put(knot_pkt_t *packet, const knot_dname_t **ret_owner, const knot_pkt_t *chain,
		     const knot_dname_t *name)
{
	for (int i = 0; chain && i < CHAIN_MAX; i++) {
		const knot_rrset_t *cname = cname_of(chain, name);
		knot_rrset_t copy;
		int err;

		if (!cname)
			break;
		copy = *cname;
		if (copy.ttl > NTMD_DNS_ANSWER_TTL_S)
			copy.ttl = NTMD_DNS_ANSWER_TTL_S;
		err = knot_pkt_put(packet, KNOT_COMPR_HINT_NONE, &copy, KNOT_PF_NOTRUNC);
		if (err != KNOT_EOK)
			return err;
		name = knot_cname_name(cname->rrs.rdata);
	}
	*ret_owner = name;
	return KNOT_EOK;
}

size_t ntmd_dns_answer_address(const struct ntmd_dns_query *query, const knot_pkt_t *chain,
			       const uint8_t *vip)
{
	const struct extra extra = {.rcode = KNOT_RCODE_NOERROR, .ede = -1};
	const knot_dname_t *owner = query->name;
	knot_rrset_t opt_room, *opt = NULL;
	knot_pkt_t *packet;
	size_t len = 0;
	int err;

	if (query->edns) {
		if (opt_make(&opt_room, query, &extra) != KNOT_EOK)
			return 0;
		opt = &opt_room;
	}
	packet = packet_begin(query, opt);
	if (!packet)
		goto out;
	knot_pkt_begin(packet, KNOT_ANSWER);
	err = chain_put(packet, &owner, chain, owner);
	if (err == KNOT_EOK && vip)
		err = address_put(packet, owner, query->question.type, vip);
	if (err == KNOT_EOK) {
		len = packet_end(packet, opt, KNOT_RCODE_NOERROR);
	} else {
		knot_pkt_free(packet);
		len = truncated(query, opt, KNOT_RCODE_NOERROR);
	}
out:
	if (opt)
		knot_rrset_clear(opt, NULL);
	return len;
}

size_t ntmd_dns_answer_error(const struct ntmd_dns_query *query, unsigned rcode, int ede, const char *text)
{
	struct extra extra = {.rcode = rcode, .ede = ede, .text = text ? text : ""};
	knot_rrset_t opt_room, *opt = NULL;
	knot_pkt_t *packet;
	size_t len = 0;

	extra.text_len = strnlen(extra.text, NTM_TEXT_MAX);
	if (query->edns) {
		if (opt_make(&opt_room, query, &extra) != KNOT_EOK)
			return 0;
		opt = &opt_room;
	}
	packet = packet_begin(query, opt);
	if (packet)
		len = packet_end(packet, opt, rcode);
	if (opt)
		knot_rrset_clear(opt, NULL);
	return len;
}
