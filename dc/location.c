/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * location.c - Location Request and Response between DCs: where a member of the other's zone is; and what
 * another DC is believed: names of its zone, and virtual addresses that are not ours nor a third DC's. Before
 * it: direction.c, route_direction.c. Codec: lib/msg_direction.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"
#include "stats.h"

struct dc_location_query {
	struct dc *dc;
	unsigned at; /* the DC being asked */
	char fqdn[NTM_FQDN_MAX + 1]; /* one of both is set */
	struct ntm_addr vip;
	struct ntm_session_request *request;
	dc_location_done done;
	void *arg;
};

int dc_location_open(struct dc *dc, char *ret_why, size_t why_len)
{
	dc->other = calloc(dc->config.peers ? dc->config.peers : 1, sizeof(*dc->other));
	if (!dc->other) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	for (unsigned i = 0; i < dc->config.peers; i++) {
		const struct dc_config_peer *config = &dc->config.peer[i];
		struct dc_other *other = &dc->other[i];
		int err;

		other->config = config;
		other->actor.kind = DC_ACTOR_DC;
		memcpy(other->actor.peer.key, config->public_key, NTM_KEY_LEN);
		other->actor.peer.server = config->endpoint;
		other->actor.peer.servers = config->endpoints;
		err = ntm_peer_add(&dc->sessions, &other->actor.peer);
		if (err) {
			snprintf(ret_why, why_len,
				 "[peer \"%s\"]: its public key is somebody else's in this configuration "
				 "too: each DC and relay has its own",
				 config->name);
			return err;
		}
		dc->others++;
	}
	return 0;
}

void dc_location_close(struct dc *dc)
{
	for (unsigned i = 0; i < dc->others; i++)
		ntm_peer_remove(&dc->other[i].actor.peer);
	free(dc->other);
	dc->other = NULL;
	dc->others = 0;
}

/* ---- what another DC is believed */

static bool peer_names(const struct dc_config_peer *peer, int family, const struct ntm_addr *vip)
{
	for (unsigned i = 0; i < peer->prefixes[family]; i++)
		if (dc_prefix_holds(&peer->prefix[family][i], vip))
			return true;
	return false;
}

/* Whose prefixes, as configured, hold this address; NULL: nobody's. */
static const struct dc_config_peer *vip_owner(const struct dc *dc, const struct ntm_addr *vip)
{
	int family = ntm_addr_is4(vip) ? 0 : 1;

	for (unsigned i = 0; i < dc->config.peers; i++)
		if (peer_names(&dc->config.peer[i], family, vip))
			return &dc->config.peer[i];
	return NULL;
}

/* Whether a node of that DC can have this address, as far as prefixes are configured. */
static bool vip_may_be_of(const struct dc *dc, const struct dc_config_peer *peer, const struct ntm_addr *vip)
{
	const struct dc_config_peer *owner = vip_owner(dc, vip);

	return owner ? owner == peer : !peer->prefixes[ntm_addr_is4(vip) ? 0 : 1];
}

static const char *vip_distrust(const struct dc *dc, const struct dc_config_peer *peer,
				const struct ntm_addr *vip, char *why, size_t why_len)
{
	const struct dc_config_peer *owner;
	char text[NTM_ADDR_TEXT];

	ntm_addr_format(vip, text);
	if (dc_addr_pool_holds(&dc->pool, vip)) {
		snprintf(why, why_len,
			 "%s lies in our own pool: DCs that know each other need different pools", text);
		return why;
	}
	if (!ntm_addr_is_usable(vip) || ntm_addr_is_global(vip)) {
		snprintf(why, why_len, "%s is public, or nobody's: nodes would refuse it", text);
		return why;
	}
	if (vip_may_be_of(dc, peer, vip))
		return NULL;
	owner = vip_owner(dc, vip);
	if (owner)
		snprintf(why, why_len, "%s is for nodes of %.80s, as virtual%c there says", text, owner->name,
			 ntm_addr_is4(vip) ? '4' : '6');
	else
		snprintf(why, why_len, "%s lies in no virtual%c of that peer", text,
			 ntm_addr_is4(vip) ? '4' : '6');
	return why;
}

const char *dc_location_distrust(struct dc *dc, const struct dc_other *other, const char *fqdn,
				 const uint8_t vip4[4], const uint8_t vip6[16], char *why, size_t why_len)
{
	static const uint8_t none[4];
	struct ntm_addr vip;

	if (!ntm_name_in_zone(fqdn, other->config->zone)) {
		snprintf(why, why_len, "it is not of that DC's zone");
		return why;
	}
	if (memcmp(vip4, none, sizeof(none))) {
		ntm_addr_from4(&vip, vip4);
		if (vip_distrust(dc, other->config, &vip, why, why_len))
			return why;
	}
	ntm_addr_from6(&vip, vip6);
	return ntm_addr_is_none(&vip) ? NULL : vip_distrust(dc, other->config, &vip, why, why_len);
}

void dc_location_distrusted(struct dc *dc, struct dc_other *other, const char *fqdn, int drop,
			    const char *why)
{
	int64_t now_ms = ntm_loop_now_ms();
	char more[64] = "";

	ntm_drop_count(drop);
	dc_control_tell(dc, "distrusted", fqdn, other->config->name, why);
	if (other->distrust_ms && now_ms - other->distrust_ms < DC_DISTRUST_LOG_MS) {
		other->distrusts++;
		return;
	}
	if (other->distrusts)
		snprintf(more, sizeof(more), " (and %u times more since it was said last)", other->distrusts);
	ntm_warn("the DC %s told of %s: not believed, %s%s", other->config->name, fqdn, why, more);
	other->distrust_ms = now_ms;
	other->distrusts = 0;
}

/* ---- asking */

void dc_location_cancel(struct dc_location_query *query)
{
	if (query->request)
		ntm_session_cancel(query->request);
	free(query);
}

static void query_end(struct dc_location_query *query, struct dc_other *other,
		      const struct ntm_location *location, enum ntm_error code, const char *why)
{
	dc_location_done done = query->done;
	void *arg = query->arg;

	free(query);
	done(arg, other, location, code, why);
}

/* NULL, or why another DC's answer is none to the question. */
static const char *location_check(const struct dc_location_query *query, const struct ntm_location *location)
{
	struct ntm_addr v4, v6;

	ntm_addr_from4(&v4, location->vip4);
	ntm_addr_from6(&v6, location->vip6);
	if (query->fqdn[0] ? strcmp(location->fqdn, query->fqdn) != 0
			   : !ntm_addr_equal(&v4, &query->vip) && !ntm_addr_equal(&v6, &query->vip))
		return "its answer is about another node than the one that was asked for";
	return NULL;
}

static bool query_send(struct dc_location_query *query);

/* An address may be the next DC's: whoever answers wrongly for it must not keep us from that one. */
static bool query_next(struct dc_location_query *query)
{
	if (query->fqdn[0])
		return false;
	query->at++;
	return query_send(query);
}

static void query_done(void *arg, int err, const struct ntm_message *message,
		       const struct ntm_error_message *error)
{
	struct dc_location_query *query = arg;
	struct dc_other *other = &query->dc->other[query->at];
	struct ntm_location location;
	char text[NTM_TEXT_MAX + 1], vip[NTM_ADDR_TEXT];
	const char *why;
	int drop;

	query->request = NULL;
	if (err && err != -ECANCELED && query_next(query))
		return;
	if (err == -EREMOTEIO) {
		query_end(query, other, NULL, error->code, error->text);
		return;
	}
	if (err) {
		snprintf(text, sizeof(text), "the DC %.100s does not answer", other->config->name);
		query_end(query, other, NULL, NTM_ERROR_TIMEOUT, text);
		return;
	}
	drop = ntm_msg_location_parse(&location, message->fields, message->len);
	if (drop < 0) {
		why = "its answer is malformed";
	} else {
		drop = -NTM_DROP_FOREIGN;
		why = location_check(query, &location);
		if (!why)
			why = dc_location_distrust(query->dc, other, location.fqdn, location.vip4,
						   location.vip6, text, sizeof(text));
	}
	if (!why) {
		query_end(query, other, &location, NTM_ERROR_NONE, NULL);
		return;
	}
	dc_location_distrusted(query->dc, other,
			       query->fqdn[0] ? query->fqdn : ntm_addr_format(&query->vip, vip), drop, why);
	if (!query_next(query))
		query_end(query, other, NULL, NTM_ERROR_REFUSED, why);
}

/* Asks the DC at query->at, or the next that can be asked. */
static bool query_send(struct dc_location_query *query)
{
	struct ntm_location_request request = {.vip = query->vip};
	uint8_t body[DC_BODY_MAX];
	int n;

	strcpy(request.fqdn, query->fqdn);
	n = ntm_msg_location_request_build(DC_FIELDS(body), DC_FIELDS_MAX, &request);
	if (n < 0)
		return false;
	for (; query->at < query->dc->others; query->at++) {
		struct dc_other *other = &query->dc->other[query->at];

		if (query->fqdn[0] ? !ntm_name_in_zone(query->fqdn, other->config->zone)
				   : !vip_may_be_of(query->dc, other->config, &query->vip))
			continue;
		if (!ntm_session_request(&other->actor.peer, NTM_MSG_LOCATION_REQUEST, body, (size_t)n,
					 DC_LOCATION_TIMEOUT_MS, query_done, query, &query->request))
			return true;
	}
	return false;
}

int dc_location_find(struct dc *dc, const char *fqdn, const struct ntm_addr *vip, dc_location_done done,
		     void *arg, struct dc_location_query **ret_query)
{
	struct dc_location_query *query = calloc(1, sizeof(*query));

	if (!query)
		return -ENOMEM;
	query->dc = dc;
	query->done = done;
	query->arg = arg;
	if (fqdn[0])
		strcpy(query->fqdn, fqdn);
	else
		query->vip = *vip;
	if (!query_send(query)) {
		free(query);
		return -ENOENT;
	}
	*ret_query = query;
	return 0;
}

/* ---- being asked */

void dc_location_describe(const struct dc_member *member, struct ntm_location *ret_location)
{
	const struct dc_location *location = member->location;

	*ret_location = (struct ntm_location){.registered = location != NULL};
	strcpy(ret_location->fqdn, member->fqdn);
	memcpy(ret_location->public_key, member->actor.peer.key, NTM_KEY_LEN);
	dc_member_vips(member, ret_location->vip4, ret_location->vip6);
	if (!location)
		return;
	memcpy(ret_location->real, location->real, location->reals * sizeof(location->real[0]));
	ret_location->reals = location->reals;
	ret_location->nat = location->nat;
	for (int i = 0; i < 2; i++)
		if (!ntm_endpoint_is_none(&location->observed[i]))
			ret_location->observed[ret_location->observeds++] = location->observed[i];
	for (unsigned i = 0; i < location->rtts; i++) {
		const struct dc_relay *relay = &member->dc->relay[location->rtt[i].relay];

		if (!location->rtt[i].rtt_us)
			continue;
		strcpy(ret_location->rtt[ret_location->rtts].name, relay->config->name);
		ret_location->rtt[ret_location->rtts++].rtt_us = location->rtt[i].rtt_us;
	}
}

void dc_location_handle(struct dc *dc, struct dc_other *other, const struct ntm_session_from *from,
			const struct ntm_message *message)
{
	struct ntm_location_request request;
	struct ntm_location location;
	struct dc_member *member;
	uint8_t body[DC_BODY_MAX];
	int n = ntm_msg_location_request_parse(&request, message->fields, message->len);

	if (n < 0) {
		dc_receive_malformed(dc, from, n);
		return;
	}
	member = request.fqdn[0] ? dc_member_find(dc, request.fqdn) : dc_member_find_vip(dc, &request.vip);
	if (!member) {
		ntm_session_refuse(from, NTM_ERROR_NAME_UNKNOWN, "%.60s has no such member", dc->config.name);
		return;
	}
	dc_location_describe(member, &location);
	while ((n = ntm_msg_location_build(DC_FIELDS(body), DC_FIELDS_MAX, &location)) == -EMSGSIZE &&
	       location.rtts)
		location.rtts--;
	if (n < 0) {
		ntm_error("the location of %s has no wire form: %s", member->fqdn, strerror(-n));
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "the location does not fit into a message");
		return;
	}
	ntm_debug("told the DC %s where %s is", other->config->name, member->fqdn);
	ntm_session_answer(from, NTM_MSG_LOCATION_RESPONSE, body, (size_t)n);
}
