/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_lookup.c - decides what a question is answered with: dns_stub.c hands it in, dns_upstream.c asks,
 * direction.c (ops->direct) makes the tunnel of an NTM node.
 *
 *	A, AAAA -> name -- NTMv4, NTMv6 asked -> a record: wait -- direct -> ntmd_dns_result: address
 *	            |                                       '-- NTM_DNS_WAIT_MS: address or SERVFAIL
 *	            '-- itself asked -> no record, NXDOMAIN, NTMD_DNS_GRACE_MS without news: as it came
 *
 * A name lives while it is undecided or its tunnel is being made. Names that are aliases of one node share a
 * wait. What the records hold is not used, only that they are there: address and key come from Route
 * Direction.
 */
#include "dns_internal.h"

#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "log.h"
#include "loop.h"
#include "record.h"

enum news { NEWS_PENDING, NEWS_NONE, NEWS_FAILED };

struct ntmd_dns_name {
	TAILQ_ENTRY(ntmd_dns_name) link;
	TAILQ_ENTRY(ntmd_dns_name) wait_link;
	struct ntmd_dns *dns;
	knot_dname_storage_t name; /* lower case */
	struct ntmd_dns_waiter ntm[2]; /* NTMv4, NTMv6 */
	enum news news[2];
	uint32_t none_ttl; /* lower of those of the "none"s: s */
	struct ntmd_dns_waiter
		other; /* A, for who asked AAAA, and the reverse: the application will want it next */
	struct event *grace;
	struct ntmd_dns_queries queries;
	struct ntmd_dns_wait *wait; /* NULL: undecided */
	uint8_t *chain; /* the answer whose CNAMEs lead to the node */
	size_t chain_len;
};

struct ntmd_dns_wait {
	TAILQ_ENTRY(ntmd_dns_wait) link;
	struct ntmd_dns *dns;
	char fqdn[NTM_FQDN_MAX + 1];
	TAILQ_HEAD(, ntmd_dns_name) names;
	struct event *timer;
	bool registered;
	bool has4, has6;
	uint8_t vip4[4], vip6[16];
};

/* ---- answers */

static void reply_error(struct ntmd_dns_query *query, int ede, const char *text)
{
	query->dns->stats.failures++;
	ntmd_dns_query_reply(query, ntmd_dns_answer_error(query, KNOT_RCODE_SERVFAIL, ede, text));
}

static void reply_packet(struct ntmd_dns_query *query, const knot_pkt_t *packet)
{
	if (packet)
		ntmd_dns_query_reply(query, ntmd_dns_answer_relay(query, packet));
	else
		reply_error(query, KNOT_EDNS_EDE_NETWORK, "no answer from the upstream servers");
}

static void reply_not_asked(struct ntmd_dns_query *query, int err)
{
	if (err == -ENOENT)
		reply_error(query, KNOT_EDNS_EDE_NETWORK, "no upstream server");
	else
		reply_error(query, KNOT_EDNS_EDE_OTHER, "too many questions at once");
}

/* A packet from bytes that were parsed before. NULL: no memory, or no bytes. */
static knot_pkt_t *packet_again(uint8_t *wire, size_t len)
{
	knot_pkt_t *packet = wire ? knot_pkt_new(wire, (uint16_t)len, NULL) : NULL;

	if (packet && knot_pkt_parse(packet, KNOT_PF_KEEPWIRE | KNOT_PF_NOCANON) != KNOT_EOK) {
		knot_pkt_free(packet);
		packet = NULL;
	}
	return packet;
}

static void reply_kept(struct ntmd_dns_query *query)
{
	knot_pkt_t *packet = packet_again(query->answer, query->answer_len);

	reply_packet(query, packet);
	knot_pkt_free(packet);
}

/* ---- names */

static void name_stop_asking(struct ntmd_dns_name *name)
{
	ntmd_dns_upstream_forget(&name->ntm[0]);
	ntmd_dns_upstream_forget(&name->ntm[1]);
	ntmd_dns_upstream_forget(&name->other);
	event_del(name->grace);
}

/* Without queries. */
static void name_free(struct ntmd_dns_name *name)
{
	name_stop_asking(name);
	if (name->wait)
		TAILQ_REMOVE(&name->wait->names, name, wait_link);
	TAILQ_REMOVE(&name->dns->names, name, link);
	event_free(name->grace);
	free(name->chain);
	free(name);
}

static struct ntmd_dns_name *name_find(struct ntmd_dns *dns, const knot_dname_t *wanted)
{
	struct ntmd_dns_name *name;

	TAILQ_FOREACH (name, &dns->names, link) {
		if (knot_dname_is_equal(name->name, wanted))
			return name;
	}
	return NULL;
}

static void query_leave(struct ntmd_dns_query *query)
{
	TAILQ_REMOVE(&query->lookup->queries, query, name_link);
	query->lookup = NULL;
}

static void query_join(struct ntmd_dns_query *query, struct ntmd_dns_name *name)
{
	query->lookup = name;
	TAILQ_INSERT_TAIL(&name->queries, query, name_link);
}

/* No NTM node: who has his answer gets it, the others wait for theirs as for any other question. */
static void name_is_ordinary(struct ntmd_dns_name *name)
{
	struct ntmd_dns_query *query;

	while ((query = TAILQ_FIRST(&name->queries))) {
		query_leave(query);
		if (query->plain_done)
			reply_kept(query);
	}
	name_free(name);
}

static void grace_over(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_dns_name *name = arg;

	(void)fd;
	(void)what;
	if (!ntmd_dns_servers_in_zone(name->dns, name->name))
		ntmd_dns_cache_put(name->dns->cache, name->name, NTMD_DNS_ORDINARY, NULL, 0,
				   NTMD_DNS_GRACE_CACHE_S);
	name_is_ordinary(name);
}

/* ---- directions */

static void wait_free(struct ntmd_dns_wait *wait)
{
	TAILQ_REMOVE(&wait->dns->waits, wait, link);
	event_free(wait->timer);
	free(wait);
}

static void reply_address(struct ntmd_dns_query *query, const struct ntmd_dns_wait *wait,
			  const knot_pkt_t *chain)
{
	const uint8_t *vip;

	if (query->question.type == KNOT_RRTYPE_A)
		vip = wait->has4 ? wait->vip4 : NULL;
	else
		vip = wait->has6 ? wait->vip6 : NULL;
	ntmd_dns_query_reply(query, ntmd_dns_answer_address(query, chain, vip));
}

/* Answers all who wait. failure: NULL to answer with the virtual addresses. */
static void wait_answer(struct ntmd_dns_wait *wait, const char *failure)
{
	struct ntmd_dns_name *name;
	struct ntmd_dns_query *query;

	while ((name = TAILQ_FIRST(&wait->names))) {
		knot_pkt_t *chain = packet_again(name->chain, name->chain_len);

		if (failure)
			ntmd_dns_cache_drop(wait->dns->cache, name->name);
		while ((query = TAILQ_FIRST(&name->queries))) {
			query_leave(query);
			if (failure)
				reply_error(query, KNOT_EDNS_EDE_NREACH_AUTH, failure);
			else
				reply_address(query, wait, chain);
		}
		knot_pkt_free(chain);
		name_free(name);
	}
}

static void wait_over(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_dns_wait *wait = arg;
	struct ntmd_dns *dns = wait->dns;

	(void)fd;
	(void)what;
	wait_answer(wait, wait->registered ? NULL : "no answer from the Direction Coordinator in time");
	dns->ops.abandoned(dns->ctx, wait);
	wait_free(wait);
}

static struct ntmd_dns_wait *wait_new(struct ntmd_dns *dns, const char *fqdn)
{
	struct ntmd_dns_wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return NULL;
	wait->timer = ntm_timer_new(dns->base, wait_over, wait);
	if (!wait->timer) {
		free(wait);
		return NULL;
	}
	wait->dns = dns;
	strcpy(wait->fqdn, fqdn);
	TAILQ_INIT(&wait->names);
	TAILQ_INSERT_TAIL(&dns->waits, wait, link);
	ntm_timer_set_ms(wait->timer, NTM_DNS_WAIT_MS);
	return wait;
}

/* name is an NTM node's, or leads there. Name and wait may be gone after the call: the daemon may answer
 * inside. */
static void name_is_node(struct ntmd_dns_name *name, const char *fqdn)
{
	struct ntmd_dns *dns = name->dns;
	struct ntmd_dns_wait *wait;
	struct ntmd_dns_query *query;

	name_stop_asking(name);
	TAILQ_FOREACH (query, &name->queries, name_link)
		ntmd_dns_upstream_forget(&query->plain);

	TAILQ_FOREACH (wait, &dns->waits, link) {
		if (strcmp(wait->fqdn, fqdn) == 0)
			break;
	}
	if (wait) {
		name->wait = wait;
		TAILQ_INSERT_TAIL(&wait->names, name, wait_link);
		return;
	}
	wait = wait_new(dns, fqdn);
	if (!wait) {
		while ((query = TAILQ_FIRST(&name->queries))) {
			query_leave(query);
			reply_error(query, KNOT_EDNS_EDE_OTHER, "out of memory");
		}
		name_free(name);
		return;
	}
	name->wait = wait;
	TAILQ_INSERT_TAIL(&wait->names, name, wait_link);
	dns->stats.directions++;
	ntm_debug("dns: %s is an NTM node", fqdn);
	dns->ops.direct(dns->ctx, wait->fqdn, wait);
}

static bool vip_take(uint8_t *ret_vip, const uint8_t *vip, size_t len)
{
	static const uint8_t none[16];

	if (!vip || memcmp(vip, none, len) == 0)
		return false;
	memcpy(ret_vip, vip, len);
	return true;
}

void ntmd_dns_result(struct ntmd_dns_wait *wait, enum ntmd_dns_result result, const uint8_t vip4[4],
		     const uint8_t vip6[16], const char *text)
{
	if (result == NTMD_DNS_FAILED) {
		wait_answer(wait, text && *text ? text : "the node cannot be reached");
		wait_free(wait);
		return;
	}
	wait->has4 = vip_take(wait->vip4, vip4, sizeof(wait->vip4));
	wait->has6 = vip_take(wait->vip6, vip6, sizeof(wait->vip6));
	wait->registered = true;
	if (result == NTMD_DNS_UP) {
		wait_answer(wait, NULL);
		wait_free(wait);
	}
}

/* ---- what the NTM records say */

/* How long "there is none" holds, RFC 2308; 0: not said. */
static uint32_t negative_ttl(const knot_pkt_t *packet)
{
	const knot_pktsection_t *authority = knot_pkt_section(packet, KNOT_AUTHORITY);

	for (uint16_t i = 0; i < authority->count; i++) {
		const knot_rrset_t *rr = knot_pkt_rr(authority, i);
		uint32_t minimum;

		if (rr->type != KNOT_RRTYPE_SOA || rr->rclass != KNOT_CLASS_IN)
			continue;
		minimum = knot_soa_minimum(rr->rrs.rdata);
		return minimum < rr->ttl ? minimum : rr->ttl;
	}
	return 0;
}

static bool record_is_good(const knot_rrset_t *rr, uint16_t type, const knot_dname_t *owner)
{
	struct ntm_record record;

	return rr->type == type && rr->rclass == KNOT_CLASS_IN &&
	       knot_dname_is_case_equal(rr->owner, owner) &&
	       ntm_record_parse(&record, type == NTMD_DNS_TYPE_NTM4, rr->rrs.rdata->data,
				rr->rrs.rdata->len) == 0;
}

/* Whether packet holds an NTM record; then the node's name and how long that is true (s). ret_fqdn also when
 * not. */
static bool node_find(char ret_fqdn[NTM_FQDN_MAX + 1], uint32_t *ret_ttl, const knot_pkt_t *packet,
		      uint16_t type, const knot_dname_t *name)
{
	const knot_pktsection_t *answer = knot_pkt_section(packet, KNOT_ANSWER);
	uint32_t ttl = UINT32_MAX;
	const knot_dname_t *owner = ntmd_dns_answer_canonical(packet, name, &ttl);
	knot_dname_txt_storage_t text;

	for (uint16_t i = 0; i < answer->count; i++) {
		const knot_rrset_t *rr = knot_pkt_rr(answer, i);

		if (!record_is_good(rr, type, owner))
			continue;
		if (!knot_dname_to_str(text, owner, sizeof(text)) || ntm_name_normalise(ret_fqdn, text) < 0)
			return false;
		*ret_ttl = rr->ttl < ttl ? rr->ttl : ttl;
		return true;
	}
	return false;
}

static void chain_keep(struct ntmd_dns_name *name, const uint8_t *wire, size_t len)
{
	free(name->chain);
	name->chain_len = 0;
	name->chain = malloc(len);
	if (!name->chain)
		return;
	memcpy(name->chain, wire, len);
	name->chain_len = len;
}

static void none_found(struct ntmd_dns_name *name, const knot_pkt_t *packet)
{
	uint32_t ttl = negative_ttl(packet);

	ntmd_dns_answer_canonical(packet, name->name, &ttl);
	if (ttl < name->none_ttl)
		name->none_ttl = ttl;
}

static void ntm_answered(struct ntmd_dns_waiter *waiter, const knot_pkt_t *packet)
{
	struct ntmd_dns_name *name = waiter->arg;
	struct ntmd_dns *dns = name->dns;
	unsigned which = waiter == &name->ntm[1];
	uint16_t rcode = packet ? knot_pkt_ext_rcode(packet) : KNOT_RCODE_SERVFAIL;
	char fqdn[NTM_FQDN_MAX + 1];
	uint32_t ttl;

	if (rcode == KNOT_RCODE_NOERROR &&
	    node_find(fqdn, &ttl, packet, which ? NTMD_DNS_TYPE_NTM6 : NTMD_DNS_TYPE_NTM4, name->name)) {
		chain_keep(name, packet->wire, packet->size);
		ntmd_dns_cache_put(dns->cache, name->name, NTMD_DNS_NODE, packet->wire, packet->size, ttl);
		name_is_node(name, fqdn);
		return;
	}
	if (rcode == KNOT_RCODE_NOERROR || rcode == KNOT_RCODE_NXDOMAIN) {
		name->news[which] = NEWS_NONE;
		none_found(name, packet);
	} else {
		name->news[which] = NEWS_FAILED;
	}
	if (rcode != KNOT_RCODE_NXDOMAIN && name->news[!which] == NEWS_PENDING)
		return;
	if (rcode == KNOT_RCODE_NXDOMAIN || (name->news[0] == NEWS_NONE && name->news[1] == NEWS_NONE))
		ntmd_dns_cache_put(dns->cache, name->name, NTMD_DNS_ORDINARY, NULL, 0, name->none_ttl);
	name_is_ordinary(name);
}

/* ---- questions */

static void plain_answered(struct ntmd_dns_waiter *waiter, const knot_pkt_t *packet)
{
	struct ntmd_dns_query *query = waiter->arg;
	struct ntmd_dns_name *name = query->lookup;

	if (!name) {
		reply_packet(query, packet);
		return;
	}
	query->plain_done = true;
	if (packet) {
		query->answer = malloc(packet->size);
		if (query->answer) {
			memcpy(query->answer, packet->wire, packet->size);
			query->answer_len = packet->size;
		}
	}
	if (packet && knot_pkt_ext_rcode(packet) == KNOT_RCODE_NXDOMAIN) {
		none_found(name, packet);
		ntmd_dns_cache_put(name->dns->cache, name->name, NTMD_DNS_ORDINARY, NULL, 0, name->none_ttl);
		name_is_ordinary(name);
	} else if (!evtimer_pending(name->grace, NULL)) {
		ntm_timer_set_ms(name->grace, NTMD_DNS_GRACE_MS);
	}
}

static void other_answered(struct ntmd_dns_waiter *waiter, const knot_pkt_t *packet)
{
	/* Asked ahead: who wants it has joined the question by now. */
	(void)waiter;
	(void)packet;
}

static bool plain_ask(struct ntmd_dns_query *query)
{
	int err;

	query->plain.answered = plain_answered;
	query->plain.arg = query;
	err = ntmd_dns_upstream_ask(query->dns, &query->plain, &query->question);
	if (err)
		reply_not_asked(query, err);
	return err == 0;
}

static struct ntmd_dns_name *name_new(struct ntmd_dns *dns, const knot_dname_t *wanted)
{
	struct ntmd_dns_name *name = calloc(1, sizeof(*name));

	if (!name)
		return NULL;
	name->grace = ntm_timer_new(dns->base, grace_over, name);
	if (!name->grace) {
		free(name);
		return NULL;
	}
	name->dns = dns;
	memcpy(name->name, wanted, knot_dname_size(wanted));
	name->none_ttl = UINT32_MAX;
	TAILQ_INIT(&name->queries);
	TAILQ_INSERT_TAIL(&dns->names, name, link);
	return name;
}

/* Both NTM records and the other family. An NTM question that cannot be asked now counts as failed. */
static void name_ask(struct ntmd_dns_name *name, const struct ntmd_dns_query *query)
{
	struct ntmd_dns_question question = query->question;

	question.type = question.type == KNOT_RRTYPE_A ? KNOT_RRTYPE_AAAA : KNOT_RRTYPE_A;
	name->other.answered = other_answered;
	(void)ntmd_dns_upstream_ask(name->dns, &name->other, &question); /* only ahead: it may fail */

	question.flags = NTMD_DNS_RD;
	for (unsigned i = 0; i < 2; i++) {
		question.type = i ? NTMD_DNS_TYPE_NTM6 : NTMD_DNS_TYPE_NTM4;
		name->ntm[i].answered = ntm_answered;
		name->ntm[i].arg = name;
		if (ntmd_dns_upstream_ask(name->dns, &name->ntm[i], &question) < 0)
			name->news[i] = NEWS_FAILED;
	}
}

/* A cached NTM answer; false: it does not help. */
static bool start_known(struct ntmd_dns_query *query, const uint8_t *wire, size_t len)
{
	struct ntmd_dns_name *name;
	char fqdn[NTM_FQDN_MAX + 1];
	knot_pkt_t *packet;
	uint32_t ttl;
	bool found;

	name = name_new(query->dns, query->question.name);
	if (!name)
		return false;
	chain_keep(name, wire, len);
	packet = packet_again(name->chain, name->chain_len);
	found = packet && (node_find(fqdn, &ttl, packet, NTMD_DNS_TYPE_NTM4, name->name) ||
			   node_find(fqdn, &ttl, packet, NTMD_DNS_TYPE_NTM6, name->name));
	knot_pkt_free(packet);
	if (!found) {
		name_free(name);
		return false;
	}
	query_join(query, name);
	name_is_node(name, fqdn);
	return true;
}

void ntmd_dns_lookup_start(struct ntmd_dns_query *query)
{
	const struct ntmd_dns_question *question = &query->question;
	enum ntmd_dns_known known;
	struct ntmd_dns_name *name;
	const uint8_t *wire;
	size_t len;

	if (question->rclass != KNOT_CLASS_IN ||
	    (question->type != KNOT_RRTYPE_A && question->type != KNOT_RRTYPE_AAAA)) {
		plain_ask(query);
		return;
	}
	name = name_find(query->dns, question->name);
	if (name) {
		if (name->wait || plain_ask(query))
			query_join(query, name);
		return;
	}
	known = ntmd_dns_cache_find(query->dns->cache, question->name, &wire, &len);
	if (known == NTMD_DNS_NODE && start_known(query, wire, len))
		return;
	if (!plain_ask(query) || known == NTMD_DNS_ORDINARY)
		return;
	name = name_new(query->dns, question->name);
	if (!name)
		return; /* answered as it comes */
	query_join(query, name);
	name_ask(name, query);
	if (name->news[0] == NEWS_FAILED && name->news[1] == NEWS_FAILED)
		name_is_ordinary(name);
}

void ntmd_dns_lookup_forget(struct ntmd_dns_query *query)
{
	struct ntmd_dns_name *name = query->lookup;

	ntmd_dns_upstream_forget(&query->plain);
	if (!name)
		return;
	query_leave(query);
	/* A direction under way goes on: the next question for the name finds it done. */
	if (!name->wait && TAILQ_EMPTY(&name->queries))
		name_free(name);
}

void ntmd_dns_lookup_close(struct ntmd_dns *dns)
{
	struct ntmd_dns_name *name;
	struct ntmd_dns_wait *wait;

	while ((name = TAILQ_FIRST(&dns->names)))
		name_free(name);
	while ((wait = TAILQ_FIRST(&dns->waits))) {
		dns->ops.abandoned(dns->ctx, wait);
		wait_free(wait);
	}
}
