/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * location.c - Location Request and Response between DCs: where a member of the other's zone is. A DC
 * believes another one only about names of that one's zone. Before it: direction.c. Codec:
 * lib/msg_direction.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"

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

/* NULL, or why another DC's answer is not believed. */
static const char *location_check(struct dc_location_query *query, const struct dc_other *other,
				  const struct ntm_location *location)
{
	struct ntm_addr v4, v6;

	ntm_addr_from4(&v4, location->vip4);
	ntm_addr_from6(&v6, location->vip6);
	if (!ntm_name_in_zone(location->fqdn, other->config->zone))
		return "it is not of that DC's zone";
	if (query->fqdn[0] ? strcmp(location->fqdn, query->fqdn) != 0
			   : !ntm_addr_equal(&v4, &query->vip) && !ntm_addr_equal(&v6, &query->vip))
		return "it is not the node that was asked for";
	if (dc_addr_pool_holds(&query->dc->pool, &v4) || dc_addr_pool_holds(&query->dc->pool, &v6))
		return "its virtual address lies in our own pool: two DCs that know each other need "
		       "different pools";
	return NULL;
}

static bool query_send(struct dc_location_query *query);

static void query_done(void *arg, int err, const struct ntm_message *message,
		       const struct ntm_error_message *error)
{
	struct dc_location_query *query = arg;
	struct dc_other *other = &query->dc->other[query->at];
	struct ntm_location location;
	char text[NTM_TEXT_MAX + 1];
	const char *why;

	query->request = NULL;
	if (!query->fqdn[0] && err && err != -ECANCELED) { /* the address may be the next DC's */
		query->at++;
		if (query_send(query))
			return;
	}
	if (err == -EREMOTEIO) {
		query_end(query, other, NULL, error->code, error->text);
		return;
	}
	if (err) {
		snprintf(text, sizeof(text), "the DC %.100s does not answer", other->config->name);
		query_end(query, other, NULL, NTM_ERROR_TIMEOUT, text);
		return;
	}
	why = ntm_msg_location_parse(&location, message->fields, message->len)
		      ? "its answer is malformed"
		      : location_check(query, other, &location);
	if (why) {
		ntm_warn("the DC %s told of %s: not believed, %s", other->config->name,
			 query->fqdn[0] ? query->fqdn : "an address", why);
		query_end(query, other, NULL, NTM_ERROR_REFUSED, why);
		return;
	}
	query_end(query, other, &location, NTM_ERROR_NONE, NULL);
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

		if (query->fqdn[0] && !ntm_name_in_zone(query->fqdn, other->config->zone))
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
