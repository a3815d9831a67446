/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * registration.c - Registration Request and Response: a member tells its real addresses, the DC adds what it
 * sees from outside, and tells virtual addresses, servers and relays. Codec: lib/msg_registration.c; the
 * node's part: daemon/registration.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"

/* Addresses that nobody else could reach are left out rather than refused: the node cannot do anything about
 * them. How many are left. */
static unsigned reals_take(struct ntm_endpoint ret_real[NTM_REAL_ADDRS_MAX],
			   const struct ntm_registration_request *request)
{
	unsigned reals = 0;

	for (unsigned i = 0; i < request->reals; i++) {
		const struct ntm_endpoint *real = &request->real[i];
		bool known = false;

		for (unsigned j = 0; j < reals; j++)
			known |= ntm_endpoint_equal(&ret_real[j], real);
		if (!known && real->port && ntm_addr_is_usable(&real->addr))
			ret_real[reals++] = *real;
	}
	return reals;
}

static void rtts_take(struct dc *dc, struct dc_location *location,
		      const struct ntm_registration_request *request)
{
	location->rtts = 0;
	for (unsigned i = 0; i < request->rtts; i++) {
		struct dc_relay *relay = dc_relay_find(dc, request->rtt[i].name);

		if (!relay)
			continue;
		location->rtt[location->rtts].relay = (uint8_t)relay->number;
		location->rtt[location->rtts++].rtt_us = request->rtt[i].rtt_us;
	}
}

static bool has_family(const struct dc_location *location, bool is4)
{
	for (unsigned i = 0; i < location->reals; i++)
		if (ntm_endpoint_is4(&location->real[i]) == is4)
			return true;
	return false;
}

/* What was seen of a family the node has no address of any more is over; so is what was seen elsewhere before
 * it moved. */
static void observed_take(struct dc_location *location, const struct ntm_session_from *from)
{
	const struct ntm_endpoint *remote = &from->flow.remote;
	struct ntm_endpoint *seen = &location->observed[!ntm_endpoint_is4(remote)];

	for (int i = 0; i < 2; i++)
		if (!has_family(location, !i))
			memset(&location->observed[i], 0, sizeof(location->observed[i]));
	if (from->proven)
		*seen = *remote;
	else if (!ntm_endpoint_equal(seen, remote))
		memset(seen, 0, sizeof(*seen)); /* until moved() says that the new one is proven */
}

/* The member's location with these real addresses, a new one where there is none or it has not their number;
 * NULL: no memory. */
static struct dc_location *location_of(struct dc *dc, struct dc_member *member,
				       const struct ntm_endpoint *real, unsigned reals)
{
	struct dc_location *old = member->location, *location = old;

	if (!old || old->reals != reals) {
		location = calloc(1, sizeof(*location) + reals * sizeof(*real));
		if (!location)
			return NULL;
		if (old)
			memcpy(location, old, sizeof(*location));
		dc_member_location_end(member);
		location->member = member;
		location->reals = (uint8_t)reals;
		member->location = location;
		TAILQ_INSERT_TAIL(&dc->location, location, by_expiry);
		location->version++;
		dc->locations++;
	} else if (memcmp(location->real, real, reals * sizeof(*real))) {
		location->version++;
	}
	memcpy(location->real, real, reals * sizeof(*real));
	return location;
}

/* Endpoints that can be told to others: not "any". */
static uint16_t endpoints_tell(struct ntm_endpoint *ret_list, const struct ntm_endpoint *list, uint16_t count)
{
	uint16_t told = 0;

	for (unsigned i = 0; i < count; i++)
		if (ntm_addr_is_usable(&list[i].addr))
			ret_list[told++] = list[i];
	return told;
}

static void response_fill(struct dc *dc, const struct dc_member *member, const struct ntm_session_from *from,
			  struct ntm_registration_response *response)
{
	response->lifetime_s = NTM_LOCATION_LIFETIME_S;
	dc_member_vips(member, response->vip4, response->vip6);
	response->vip4_prefix = (uint8_t)dc->config.virtual4.bits;
	response->vip6_prefix = (uint8_t)dc->config.virtual6.bits;
	response->observed = from->flow.remote;
	response->servers = endpoints_tell(response->server, dc->config.listen, dc->config.listens);
	response->dnss = endpoints_tell(response->dns, dc->config.dns, dc->config.dnss);
	strcpy(response->zone, dc->config.zone);
	strcpy(response->dc_name, dc->config.name);
	/* those that answer first, so that the node measures what can be chosen */
	for (int alive = 1; alive >= 0; alive--)
		for (unsigned i = 0; i < dc->relays && response->relays < NTM_RELAYS_MAX; i++)
			if (dc->relay[i].alive == alive)
				dc_relay_info(&dc->relay[i], &response->relay[response->relays++]);
}

static void response_send(struct dc *dc, const struct dc_member *member, const struct ntm_session_from *from)
{
	struct ntm_registration_response response = {0};
	uint8_t body[DC_BODY_MAX];
	int n;

	response_fill(dc, member, from, &response);
	/* four relays with eight endpoints each would not fit: fewer endpoints, then fewer relays */
	while ((n = ntm_msg_registration_response_build(DC_FIELDS(body), DC_FIELDS_MAX, &response)) ==
	       -EMSGSIZE) {
		struct ntm_relay_info *most = NULL;

		for (unsigned i = 0; i < response.relays; i++)
			if (!most || response.relay[i].servers >= most->servers)
				most = &response.relay[i];
		if (most && most->servers > 2)
			most->servers--;
		else if (response.relays)
			response.relays--;
		else
			break;
	}
	if (n < 0) {
		ntm_error("the Registration Response to %s has no wire form: %s", member->fqdn, strerror(-n));
		ntm_session_refuse(from, NTM_ERROR_LIMIT,
				   "the DC's names and endpoints do not fit into a message");
		return;
	}
	ntm_session_answer(from, NTM_MSG_REGISTRATION_RESPONSE, body, (size_t)n);
}

void dc_registration_handle(struct dc *dc, struct dc_member *member, const struct ntm_session_from *from,
			    const struct ntm_message *message)
{
	struct ntm_endpoint real[NTM_REAL_ADDRS_MAX];
	struct ntm_registration_request request;
	struct dc_location *location;
	char text[NTM_ENDPOINT_TEXT];
	bool is_new = !member->location;
	int drop = ntm_msg_registration_request_parse(&request, message->fields, message->len);

	if (drop < 0) {
		dc_receive_malformed(dc, from, drop);
		return;
	}
	if (strcmp(request.fqdn, member->fqdn)) {
		dc->refused++;
		ntm_warn("a node with the key of %s asked to be %s from %s: refused", member->fqdn,
			 request.fqdn, ntm_endpoint_format(&from->flow.remote, text));
		ntm_session_refuse(from, NTM_ERROR_WRONG_NAME, "the key of this node is enrolled as %.80s",
				   member->fqdn);
		return;
	}
	location = location_of(dc, member, real, reals_take(real, &request));
	if (!location) {
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "the DC has no memory left");
		return;
	}
	if (!is_new && location->boot_id != request.boot_id)
		ntm_info("%s has started anew, or two nodes share its key", member->fqdn);
	rtts_take(dc, location, &request);
	observed_take(location, from);
	location->nat = request.nat;
	location->boot_id = request.boot_id;
	dc_keepalive_refresh(dc, location);
	response_send(dc, member, from);
	if (!dc_control_is_watched(dc) && ntm_log_level() < NTM_LOG_DEBUG)
		return; /* a text for nobody */
	ntm_endpoint_format(&from->flow.remote, text);
	ntm_debug("%s registered from %s", member->fqdn, text);
	dc_control_tell(dc, is_new ? "registered" : "registration", member->fqdn, NULL, text);
}

void dc_registration_moved(struct dc *dc, struct dc_member *member)
{
	const struct ntm_endpoint *remote = &member->actor.peer.flow.remote;

	(void)dc;
	if (member->location) {
		member->location->observed[!ntm_endpoint_is4(remote)] = *remote;
		member->location->version++;
		dc_recall_note(member);
	}
	dc_direction_moved(member);
}
