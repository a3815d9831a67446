/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * direction.c - one direction from Direction Request to Direction Response:
 *
 *	request -> (the requester proves a new address) -> where is CN? -> select -> direction_round.c:
 *	Relay Direction to the RS and Route Direction to CN, at once -> both acknowledged ->
 *	Route Direction and Direction Response to MN
 *
 * Codec: lib/msg_direction.c; the node's part: daemon/direction.c.
 * Beside it: location.c, path_select.c, path.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "dc/direction.h"
#include "endpoint.h"
#include "log.h"

/* ---- what to direct */

static void select_local(struct dc_select_end *end, const struct dc_location *location)
{
	end->real = location->real;
	end->reals = location->reals;
	end->observed4 = location->observed[0];
	end->observed6 = location->observed[1];
	end->nat = location->nat;
	for (unsigned i = 0; i < location->rtts; i++)
		end->relay_rtt_us[location->rtt[i].relay] = location->rtt[i].rtt_us;
}

static void select_remote(struct dc *dc, struct dc_select_end *end, const struct ntm_location *location)
{
	end->real = location->real;
	end->reals = location->reals;
	end->nat = location->nat;
	for (unsigned i = 0; i < location->observeds; i++)
		*(ntm_endpoint_is4(&location->observed[i]) ? &end->observed4 : &end->observed6) =
			location->observed[i];
	for (unsigned i = 0; i < location->rtts; i++) {
		const struct dc_relay *relay = dc_relay_find(dc, location->rtt[i].name);

		if (relay)
			end->relay_rtt_us[relay->number] = location->rtt[i].rtt_us;
	}
}

static void select_route(struct dc_direction *direction, const struct ntm_location *remote)
{
	struct dc_select_end mn = {0}, cn = {0};
	struct dc_select_relay relay[DC_RELAYS_MAX];
	struct dc *dc = direction->dc;

	select_local(&mn, direction->mn->location);
	if (remote)
		select_remote(dc, &cn, remote);
	else
		select_local(&cn, direction->cn->location);
	if (!remote)
		direction->cn_version = direction->cn->location->version;
	for (unsigned i = 0; i < dc->relays; i++)
		relay[i] = (struct dc_select_relay){
			.name = dc->relay[i].config->name,
			.alive = dc->relay[i].alive,
			.draining = dc->relay[i].draining,
			.has4 = dc->relay[i].has4,
			.has6 = dc->relay[i].has6,
			.cpu_permille = dc->relay[i].load.cpu_permille,
		};
	dc_path_select(&direction->selection, &mn, &cn, relay, dc->relays,
		       direction->relay_before ? (int)direction->relay_before->number : -1);
}

/* The path the requester holds, if it is one of exactly these two nodes and can be directed anew. */
static struct dc_path *held_path(const struct dc_direction *direction, int *ret_mn_side)
{
	struct dc_path *path;

	if (!direction->request.path_id || direction->request.reason == NTM_REASON_LOST)
		return NULL;
	path = dc_path_find(direction->dc, direction->request.path_id);
	if (!path || path->closing || path->direction)
		return NULL;
	for (int side = 0; side < 2; side++)
		if (path->end[side].member == direction->mn &&
		    !memcmp(path->end[!side].public_key, direction->cn_key, NTM_KEY_LEN)) {
			*ret_mn_side = side;
			return path;
		}
	return NULL;
}

static bool ck_is_old(const struct dc_path *path)
{
	return dc_path_ck_left_s(path) < NTM_CK_LIFETIME_S / 2;
}

/* The held path, or a new one. 0, -ENOSPC: the requester has too many, -ENOMEM. */
static int path_take(struct dc_direction *direction)
{
	struct dc_path *path = held_path(direction, &direction->mn_side);

	if (path) {
		memcpy(direction->ck, path->ck, NTM_KEY_LEN);
		if (direction->request.reason == NTM_REASON_RENEW || ck_is_old(path))
			ntm_crypto_random(direction->ck, sizeof(direction->ck));
		direction->relay_before = path->relay;
	} else {
		if (direction->mn->paths >= NTM_PATHS_MAX)
			return -ENOSPC;
		direction->mn_side = NTM_SIDE_REQUESTER;
		ntm_crypto_random(direction->ck, sizeof(direction->ck));
		path = dc_path_new(direction->dc, dc_path_id_draw(direction->dc), direction->ck);
		if (!path)
			return -ENOMEM;
		if (dc_path_end_set(path, 0, direction->mn, NULL, NULL, direction->mn->actor.peer.key) ||
		    dc_path_end_set(path, 1, direction->cn, direction->other, direction->cn_name,
				    direction->cn_key)) {
			dc_path_free(path);
			return -ENOMEM;
		}
		direction->path_is_new = true;
		direction->draws = 1;
	}
	direction->path = path;
	path->direction = direction;
	return 0;
}

/*
 * Directions of this pair that are under way: of the same requester the newer one is kept; of crossing ones
 * that whose requester has the lower public key, unless this requester has moved since: the other one leads
 * to where it was. false: this one was refused.
 */
static bool crossing_settle(struct dc_direction *direction)
{
	struct dc_direction *old, *next;

	for (old = LIST_FIRST(&direction->mn->direction); old; old = next) {
		next = LIST_NEXT(old, by_requester);
		if (old != direction && !strcmp(old->cn_name, direction->cn_name))
			dc_direction_cancel(old, NTM_ERROR_SUPERSEDED,
					    "a newer request of this node took its place");
	}
	if (!direction->cn)
		return true;
	for (old = LIST_FIRST(&direction->cn->direction); old; old = next) {
		next = LIST_NEXT(old, by_requester);
		if (old->cn != direction->mn)
			continue;
		if (old->cn_version == direction->mn->location->version &&
		    memcmp(direction->mn->actor.peer.key, direction->cn->actor.peer.key, NTM_KEY_LEN) > 0) {
			dc_direction_cancel(direction, NTM_ERROR_SUPERSEDED,
					    "the other node's direction for this pair is kept");
			return false;
		}
		dc_direction_cancel(old, NTM_ERROR_SUPERSEDED,
				    "the other node's direction for this pair is kept");
	}
	return true;
}

static const char *no_route_why(const struct dc_selection *selection)
{
	for (unsigned i = 0; i < selection->verdicts; i++)
		if (selection->verdict[i].kind == NTM_ROUTE_RELAY)
			return ntm_why_text(selection->verdict[i].why);
	return ntm_why_text(NTM_WHY_NO_RELAY);
}

/* CN is known (remote: as its DC described it). */
static void begin(struct dc_direction *direction, const struct ntm_location *remote)
{
	bool registered = remote ? remote->registered : dc_member_is_registered(direction->cn);
	char text[NTM_TEXT_MAX + 1];
	int err;

	if (!registered) {
		snprintf(text, sizeof(text), "%.100s is a member but not registered now", direction->cn_name);
		dc_direction_cancel(direction, NTM_ERROR_NOT_REGISTERED, text);
		return;
	}
	if (!direction->mn->location) { /* it went while another DC was asked */
		dc_direction_cancel(direction, NTM_ERROR_NOT_REGISTERED,
				    "this node is not registered: register first");
		return;
	}
	if (!memcmp(direction->cn_key, direction->mn->actor.peer.key, NTM_KEY_LEN)) {
		dc_direction_cancel(direction, NTM_ERROR_REFUSED, "both nodes have the same key");
		return;
	}
	if (!crossing_settle(direction))
		return;
	err = path_take(direction);
	if (err) {
		dc_direction_cancel(direction, NTM_ERROR_LIMIT,
				    err == -ENOSPC ? "this node has too many paths"
						   : "the DC has no memory left");
		return;
	}
	select_route(direction, remote);
	if (!direction->selection.relays && !direction->selection.direct) {
		snprintf(text, sizeof(text), "no direct route to %.60s, and no relay: %.60s",
			 direction->cn_name, no_route_why(&direction->selection));
		dc_direction_cancel(direction, NTM_ERROR_NO_ROUTE, text);
		return;
	}
	dc_direction_round_send(direction);
}

/* ---- who is CN? */

static void cn_set(struct dc_direction *direction, const char *name, const uint8_t key[NTM_KEY_LEN],
		   const uint8_t vip4[4], const uint8_t vip6[16])
{
	strcpy(direction->cn_name, name);
	memcpy(direction->cn_key, key, NTM_KEY_LEN);
	memcpy(direction->cn_vip4, vip4, sizeof(direction->cn_vip4));
	memcpy(direction->cn_vip6, vip6, sizeof(direction->cn_vip6));
}

static void located(void *arg, struct dc_other *other, const struct ntm_location *location,
		    enum ntm_error code, const char *why)
{
	struct dc_direction *direction = arg;

	direction->query = NULL;
	if (!location) {
		dc_direction_cancel(direction, code, why);
		return;
	}
	direction->other = other;
	cn_set(direction, location->fqdn, location->public_key, location->vip4, location->vip6);
	begin(direction, location);
}

static void cn_find(struct dc_direction *direction)
{
	const struct ntm_direction_request *request = &direction->request;
	struct dc *dc = direction->dc;
	char text[NTM_TEXT_MAX + 1], vip[NTM_ADDR_TEXT];
	uint8_t vip4[4], vip6[16];

	direction->cn =
		request->fqdn[0] ? dc_member_find(dc, request->fqdn) : dc_member_find_vip(dc, &request->vip);
	if (direction->cn == direction->mn) {
		dc_direction_cancel(direction, NTM_ERROR_REFUSED, "a node needs no route to itself");
		return;
	}
	if (direction->cn) {
		dc_member_vips(direction->cn, vip4, vip6);
		cn_set(direction, direction->cn->fqdn, direction->cn->actor.peer.key, vip4, vip6);
		begin(direction, NULL);
		return;
	}
	if (!(request->fqdn[0] ? ntm_name_in_zone(request->fqdn, dc->config.zone)
			       : dc_addr_pool_holds(&dc->pool, &request->vip)) &&
	    !dc_location_find(dc, request->fqdn, &request->vip, located, direction, &direction->query))
		return;
	snprintf(text, sizeof(text), "no node known to %.50s is %.80s", dc->config.name,
		 request->fqdn[0] ? request->fqdn : ntm_addr_format(&request->vip, vip));
	dc_direction_cancel(direction, NTM_ERROR_NAME_UNKNOWN, text);
}

static void proof_over(struct dc_direction *direction)
{
	event_free(direction->proof);
	direction->proof = NULL;
	cn_find(direction);
}

static void proof_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	proof_over(arg);
}

void dc_direction_moved(struct dc_member *member)
{
	struct dc_direction *direction, *next;

	for (direction = LIST_FIRST(&member->direction); direction; direction = next) {
		next = LIST_NEXT(direction, by_requester);
		if (!direction->proof)
			continue;
		/* one may end others of the same requester: begin again at the first */
		proof_over(direction);
		next = LIST_FIRST(&member->direction);
	}
}

static struct dc_direction *direction_new(struct dc_member *mn, const struct ntm_direction_request *request)
{
	struct dc_direction *direction = calloc(1, sizeof(*direction));

	if (!direction)
		return NULL;
	direction->dc = mn->dc;
	direction->mn = mn;
	direction->request = *request;
	LIST_INSERT_HEAD(&mn->dc->direction, direction, all);
	mn->dc->directions++;
	LIST_INSERT_HEAD(&mn->direction, direction, by_requester);
	mn->directions++;
	return direction;
}

void dc_direction_handle(struct dc *dc, struct dc_member *mn, const struct ntm_session_from *from,
			 const struct ntm_message *message)
{
	struct ntm_direction_request request;
	struct dc_direction *direction;
	int drop = ntm_msg_direction_request_parse(&request, message->fields, message->len);

	if (drop < 0 || (!request.fqdn[0] && ntm_addr_is_none(&request.vip))) {
		dc_receive_malformed(dc, from, drop < 0 ? drop : -NTM_DROP_FIELD_MISSING);
		return;
	}
	if (!mn->location) {
		ntm_session_refuse(from, NTM_ERROR_NOT_REGISTERED,
				   "this node is not registered: register first");
		return;
	}
	direction = mn->directions < NTM_REQUESTS_MAX ? direction_new(mn, &request) : NULL;
	if (!direction) {
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "too many directions of this node are under way");
		return;
	}
	direction->has_from = true;
	direction->from = *from;
	/* A node that moved says so and asks at once: what is seen of it from outside is known when its new
	 * address is proven. */
	if (!from->proven && (direction->proof = ntm_timer_new(dc->loop.base, proof_fired, direction)))
		ntm_timer_set_ms(direction->proof, DC_PROOF_MS);
	else
		cn_find(direction);
}

void dc_direction_renew(struct dc_path *path, enum ntm_reason reason)
{
	struct ntm_direction_request request = {.path_id = path->id, .reason = (uint8_t)reason};
	struct dc_direction *direction;
	int side = path->end[0].member ? 0 : 1;
	struct dc_member *mn = path->end[side].member;

	if (!mn || !mn->location || mn->directions >= NTM_REQUESTS_MAX)
		return;
	strcpy(request.fqdn, dc_path_end_name(&path->end[!side]));
	direction = direction_new(mn, &request);
	if (direction)
		cn_find(direction);
}
