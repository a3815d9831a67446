/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * direction.c - one direction from Direction Request to Direction Response:
 *
 *	request -> (the requester proves a new address) -> where is CN? -> select -> Relay Direction to the RS and
 *	Route Direction to CN, at once -> both acknowledged -> Route Direction and Direction Response to MN
 *
 * An RS that fails is passed over, a Path ID that CN holds for another pair is drawn again; everything else that fails ends the direction with a
 * reason the requester sees. Codec: lib/msg_direction.c; the node's part: daemon/direction.c. Beside it: location.c, path_select.c, path.c, relay.c,
 * route_direction.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"

struct dc_direction {
	LIST_ENTRY(dc_direction) all, by_requester;
	struct dc *dc;
	bool has_from; /* somebody waits for the response; false: the DC renews CK by itself */
	struct ntm_session_from from;
	struct ntm_direction_request request;
	struct dc_member *mn;
	struct event *proof; /* waits for the requester's address to be proven */
	struct dc_location_query *query; /* waits for another DC */
	/* the correspondent: ours, or another DC's */
	struct dc_member *cn;
	struct dc_other *other;
	char cn_name[NTM_FQDN_MAX + 1];
	uint8_t cn_key[NTM_KEY_LEN], cn_vip4[4], cn_vip6[16];
	/* the path, and what it will be when the direction succeeds */
	struct dc_path *path;
	bool path_is_new;
	int mn_side;
	uint8_t ck[NTM_KEY_LEN];
	struct dc_relay *relay_before; /* the path's, to return to */
	unsigned draws; /* of Path IDs */
	struct dc_selection selection;
	struct ntm_session_request *cn_request;
	bool cn_told, cn_ok, relay_ok;
};

/* ---- ending */

static void direction_free(struct dc_direction *direction)
{
	LIST_REMOVE(direction, all);
	direction->dc->directions--;
	LIST_REMOVE(direction, by_requester);
	direction->mn->directions--;
	if (direction->proof)
		event_free(direction->proof);
	if (direction->query)
		dc_location_cancel(direction->query);
	if (direction->cn_request)
		ntm_session_cancel(direction->cn_request);
	if (direction->path) {
		dc_relay_direct_cancel(direction->path);
		direction->path->direction = NULL;
	}
	ntm_crypto_wipe(direction->ck, sizeof(direction->ck));
	free(direction);
}

void dc_direction_cancel(struct dc_direction *direction, enum ntm_error code, const char *why)
{
	struct dc_path *path = direction->path;
	struct dc_relay *relay_before = direction->relay_before;
	bool is_new = direction->path_is_new, cn_told = direction->cn_told;
	int cn_side = !direction->mn_side;

	ntm_debug("no direction from %s to %s: %s", direction->mn->fqdn, direction->cn_name, why);
	dc_control_tell(direction->dc, "direction_refused", direction->mn->fqdn, direction->cn_name, why);
	if (direction->has_from) {
		direction->dc->refused++;
		ntm_session_refuse(&direction->from, code, "%.*s", NTM_TEXT_MAX, why);
	}
	direction_free(direction);
	if (!path)
		return;
	if (!is_new) {
		dc_path_relay_set(path, relay_before);
		return;
	}
	if (cn_told)
		dc_path_withdraw(path, cn_side, NTM_REASON_SUPERSEDED);
	dc_path_free(path);
}

void dc_direction_path_gone(struct dc_direction *direction)
{
	dc_relay_direct_cancel(direction->path);
	direction->path->direction = NULL;
	direction->path = NULL;
	dc_direction_cancel(direction, NTM_ERROR_PATH_UNKNOWN, "the path was withdrawn meanwhile");
}

void dc_direction_forget_member(struct dc_member *member)
{
	struct dc_direction *direction, *next;

	for (direction = LIST_FIRST(&member->dc->direction); direction; direction = next) {
		next = LIST_NEXT(direction, all);
		if (direction->mn == member)
			dc_direction_cancel(direction, NTM_ERROR_NOT_MEMBER, "the node was removed from its DC");
		else if (direction->cn == member)
			dc_direction_cancel(direction, NTM_ERROR_NAME_UNKNOWN, ntm_error_text(NTM_ERROR_NAME_UNKNOWN));
	}
}

void dc_direction_close(struct dc *dc)
{
	struct dc_direction *direction;

	while ((direction = LIST_FIRST(&dc->direction)))
		direction_free(direction);
}

/* ---- MN: the last step */

static void mn_done(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct dc_path *path = arg;

	(void)message;
	path->route_request = NULL;
	if (!err) {
		path->established = true;
		return;
	}
	ntm_debug("the requester did not take path %016llx: %s", (unsigned long long)path->id,
		  error ? error->text : strerror(-err));
	/* One that is in use stays: the requester asks again. A new one that it refused is nobody's. */
	if (path->established && err != -EREMOTEIO)
		return;
	for (int side = 0; side < 2; side++)
		dc_path_withdraw(path, side, NTM_REASON_SUPERSEDED);
	dc_path_free(path);
}

static void route_fill(const struct dc_direction *direction, int to_side, struct ntm_route_direction *route)
{
	const struct dc_path *path = direction->path;
	int role = to_side == direction->mn_side ? 0 : 1; /* 0: to the requester */

	*route = (struct ntm_route_direction){
		.path_id = path->id,
		.side = (uint8_t)to_side,
		.lifetime_s = ntm_crypto_equal(path->ck, direction->ck, NTM_KEY_LEN) ? dc_path_ck_left_s(path) :
										       NTM_CK_LIFETIME_S,
		.reason = direction->request.reason,
		.candidates = direction->selection.candidates[role],
		.verdicts = direction->selection.verdicts,
	};
	strcpy(route->fqdn, dc_path_end_name(&path->end[!to_side]));
	memcpy(route->public_key, path->end[!to_side].public_key, NTM_KEY_LEN);
	memcpy(route->ck, direction->ck, NTM_KEY_LEN);
	if (role == 0) {
		memcpy(route->vip4, direction->cn_vip4, sizeof(route->vip4));
		memcpy(route->vip6, direction->cn_vip6, sizeof(route->vip6));
	} else {
		dc_member_vips(direction->mn, route->vip4, route->vip6);
	}
	if (path->relay)
		dc_relay_info(path->relay, &route->relay);
	memcpy(route->candidate, direction->selection.candidate[role], sizeof(route->candidate));
	memcpy(route->verdict, direction->selection.verdict, sizeof(route->verdict));
}

static void respond(struct dc_direction *direction)
{
	struct ntm_direction_response response = { .path_id = direction->path->id };
	uint8_t body[DC_BODY_MAX];
	int n;

	strcpy(response.fqdn, direction->cn_name);
	memcpy(response.vip4, direction->cn_vip4, sizeof(response.vip4));
	memcpy(response.vip6, direction->cn_vip6, sizeof(response.vip6));
	n = ntm_msg_direction_response_build(DC_FIELDS(body), DC_FIELDS_MAX, &response);
	if (n >= 0)
		ntm_session_answer(&direction->from, NTM_MSG_DIRECTION_RESPONSE, body, (size_t)n);
}

static void tell(const struct dc_direction *direction)
{
	const struct dc_path *path = direction->path;
	struct json_object *event;
	char id[17];

	if (!dc_control_is_watched(direction->dc))
		return;
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)path->id);
	event = json_object_new_object();
	json_object_object_add(event, "event", json_object_new_string("direction"));
	json_object_object_add(event, "fqdn", json_object_new_string(direction->mn->fqdn));
	json_object_object_add(event, "peer", json_object_new_string(direction->cn_name));
	json_object_object_add(event, "path_id", json_object_new_string(id));
	json_object_object_add(event, "candidates", json_object_new_int(direction->selection.candidates[0]));
	json_object_object_add(event, "relay", path->relay ? json_object_new_string(path->relay->config->name) : NULL);
	dc_control_event(direction->dc, event);
}

/* RS and CN have acknowledged theirs. */
static void finish(struct dc_direction *direction)
{
	struct dc_path *path = direction->path;
	struct ntm_route_direction route;
	int err;

	dc_path_ck_set(path, direction->ck);
	path->foreign = false;
	route_fill(direction, direction->mn_side, &route);
	if (path->route_request)
		ntm_session_cancel(path->route_request);
	path->route_request = NULL;
	err = dc_route_direction_send(&path->end[direction->mn_side], &route, mn_done, path, &path->route_request);
	ntm_crypto_wipe(route.ck, sizeof(route.ck));
	if (err) {
		dc_direction_cancel(direction, NTM_ERROR_LIMIT, "the DC could not send the requester its Route Direction");
		return;
	}
	if (direction->has_from)
		respond(direction);
	tell(direction);
	direction_free(direction);
	dc_path_supersede(path);
}

/* ---- RS and CN, at once */

static void round_send(struct dc_direction *direction);

static void step_finished(struct dc_direction *direction)
{
	if (direction->cn_ok && direction->relay_ok)
		finish(direction);
}

/* The chosen relay did not come about: the next one, or none if there is another way. */
static void relay_next(struct dc_direction *direction, const char *why)
{
	struct dc_selection *selection = &direction->selection;
	const char *failed = direction->path->relay->config->name;
	char text[NTM_TEXT_MAX + 1];
	bool next_named = false;

	ntm_debug("the relay %s takes no path: %s", failed, why);
	selection->relays--;
	memmove(selection->relay, selection->relay + 1, selection->relays);
	for (unsigned i = 0; i < selection->verdicts; i++) {
		struct ntm_verdict *verdict = &selection->verdict[i];

		if (verdict->kind != NTM_ROUTE_RELAY)
			continue;
		if (!strcmp(verdict->name, failed)) {
			verdict->why = NTM_WHY_RELAY_DOWN;
		} else if (verdict->why == NTM_WHY_RELAY_SLOWER && !next_named) {
			verdict->why = NTM_WHY_STANDBY;
			next_named = true;
		}
	}
	if (!selection->relays && !selection->candidates[0] && !selection->candidates[1]) {
		snprintf(text, sizeof(text), "no direct route to %.60s, and no relay: %.60s", direction->cn_name, why);
		dc_direction_cancel(direction, NTM_ERROR_NO_ROUTE, text);
		return;
	}
	round_send(direction);
}

static void relay_done(void *arg, int err, const char *why)
{
	struct dc_direction *direction = arg;

	if (err) {
		relay_next(direction, why);
		return;
	}
	direction->relay_ok = true;
	step_finished(direction);
}

static void draw(struct dc_direction *direction)
{
	struct dc_path *path = direction->path;

	direction->draws++;
	dc_relay_direct_cancel(path);
	dc_path_relay_set(path, NULL);
	if (path->old_relay)
		dc_relay_withdraw(path->old_relay, path->id);
	path->old_relay = NULL; /* under the ID that was drawn before */
	dc_path_id_set(path, dc_path_id_draw(direction->dc));
	ntm_crypto_random(direction->ck, sizeof(direction->ck));
	dc_path_ck_set(path, direction->ck);
	round_send(direction);
}

static void cn_done(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct dc_direction *direction = arg;
	char text[NTM_TEXT_MAX + 1];

	(void)message;
	direction->cn_request = NULL;
	if (!err) {
		direction->cn_ok = true;
		step_finished(direction);
		return;
	}
	direction->cn_told = err != -EREMOTEIO;
	if (err == -EREMOTEIO && error->code == NTM_ERROR_PATH_ID_TAKEN && direction->path_is_new &&
	    direction->draws < DC_PATH_ID_DRAWS) {
		draw(direction);
	} else if (err == -EREMOTEIO) {
		snprintf(text, sizeof(text), "%.*s", NTM_TEXT_MAX, error->text);
		dc_direction_cancel(direction, error->code, text);
	} else {
		snprintf(text, sizeof(text), "%.100s is registered but does not answer now", direction->cn_name);
		dc_direction_cancel(direction, NTM_ERROR_TIMEOUT, text);
	}
}

static void round_send(struct dc_direction *direction)
{
	struct dc_selection *selection = &direction->selection;
	struct dc_path *path = direction->path;
	struct ntm_route_direction route;
	uint32_t lifetime_s;
	int err;

	dc_path_relay_set(path, selection->relays ? &direction->dc->relay[selection->relay[0]] : NULL);
	direction->relay_ok = !path->relay;
	direction->cn_ok = false;
	if (direction->cn_request)
		ntm_session_cancel(direction->cn_request);
	direction->cn_request = NULL;
	route_fill(direction, !direction->mn_side, &route);
	lifetime_s = route.lifetime_s;
	err = dc_route_direction_send(&path->end[!direction->mn_side], &route, cn_done, direction, &direction->cn_request);
	ntm_crypto_wipe(route.ck, sizeof(route.ck));
	if (err) {
		char text[NTM_TEXT_MAX + 1];

		snprintf(text, sizeof(text), "the DC has no session with %.100s now", direction->cn_name);
		dc_direction_cancel(direction, err == -EAGAIN ? NTM_ERROR_LIMIT : NTM_ERROR_NOT_REGISTERED, text);
		return;
	}
	direction->cn_told = true;
	if (path->relay && dc_relay_direct(path, direction->ck, lifetime_s, relay_done, direction))
		relay_next(direction, "too many requests to it are outstanding");
}

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
		*(ntm_endpoint_is4(&location->observed[i]) ? &end->observed4 : &end->observed6) = location->observed[i];
	for (unsigned i = 0; i < location->rtts; i++) {
		const struct dc_relay *relay = dc_relay_find(dc, location->rtt[i].name);

		if (relay)
			end->relay_rtt_us[relay->number] = location->rtt[i].rtt_us;
	}
}

static void select_route(struct dc_direction *direction, const struct ntm_location *remote)
{
	struct dc_select_end mn = { 0 }, cn = { 0 };
	struct dc_select_relay relay[DC_RELAYS_MAX];
	struct dc *dc = direction->dc;

	select_local(&mn, direction->mn->location);
	if (remote)
		select_remote(dc, &cn, remote);
	else
		select_local(&cn, direction->cn->location);
	for (unsigned i = 0; i < dc->relays; i++)
		relay[i] = (struct dc_select_relay){
			.name = dc->relay[i].config->name,
			.alive = dc->relay[i].alive,
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
		    dc_path_end_set(path, 1, direction->cn, direction->other, direction->cn_name, direction->cn_key)) {
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
 * Directions of this pair that are under way: of the same requester the newer one is kept, of crossing ones that whose requester has the
 * lower public key. false: this one was refused.
 */
static bool crossing_settle(struct dc_direction *direction)
{
	struct dc_direction *old, *next;

	for (old = LIST_FIRST(&direction->mn->direction); old; old = next) {
		next = LIST_NEXT(old, by_requester);
		if (old != direction && !strcmp(old->cn_name, direction->cn_name))
			dc_direction_cancel(old, NTM_ERROR_SUPERSEDED, "a newer request of this node took its place");
	}
	if (!direction->cn)
		return true;
	for (old = LIST_FIRST(&direction->cn->direction); old; old = next) {
		next = LIST_NEXT(old, by_requester);
		if (old->cn != direction->mn)
			continue;
		if (memcmp(direction->mn->actor.peer.key, direction->cn->actor.peer.key, NTM_KEY_LEN) > 0) {
			dc_direction_cancel(direction, NTM_ERROR_SUPERSEDED,
					    "the other node's direction for this pair is kept");
			return false;
		}
		dc_direction_cancel(old, NTM_ERROR_SUPERSEDED, "the other node's direction for this pair is kept");
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
		dc_direction_cancel(direction, NTM_ERROR_NOT_REGISTERED, "this node is not registered: register first");
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
				    err == -ENOSPC ? "this node has too many paths" : "the DC has no memory left");
		return;
	}
	select_route(direction, remote);
	if (!direction->selection.relays && !direction->selection.candidates[0] && !direction->selection.candidates[1]) {
		snprintf(text, sizeof(text), "no direct route to %.60s, and no relay: %.60s", direction->cn_name,
			 no_route_why(&direction->selection));
		dc_direction_cancel(direction, NTM_ERROR_NO_ROUTE, text);
		return;
	}
	round_send(direction);
}

/* ---- who is CN? */

static void cn_set(struct dc_direction *direction, const char *name, const uint8_t key[NTM_KEY_LEN], const uint8_t vip4[4],
		   const uint8_t vip6[16])
{
	strcpy(direction->cn_name, name);
	memcpy(direction->cn_key, key, NTM_KEY_LEN);
	memcpy(direction->cn_vip4, vip4, sizeof(direction->cn_vip4));
	memcpy(direction->cn_vip6, vip6, sizeof(direction->cn_vip6));
}

static void located(void *arg, struct dc_other *other, const struct ntm_location *location, enum ntm_error code,
		    const char *why)
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

	direction->cn = request->fqdn[0] ? dc_member_find(dc, request->fqdn) : dc_member_find_vip(dc, &request->vip);
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
	if (!(request->fqdn[0] ? ntm_name_in_zone(request->fqdn, dc->config.zone) :
				 dc_addr_pool_holds(&dc->pool, &request->vip)) &&
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
		ntm_session_refuse(from, NTM_ERROR_NOT_REGISTERED, "this node is not registered: register first");
		return;
	}
	direction = mn->directions < NTM_REQUESTS_MAX ? direction_new(mn, &request) : NULL;
	if (!direction) {
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "too many directions of this node are under way");
		return;
	}
	direction->has_from = true;
	direction->from = *from;
	/* A node that moved says so and asks at once: what is seen of it from outside is known when its new address is proven. */
	if (!from->proven && (direction->proof = ntm_timer_new(dc->loop.base, proof_fired, direction)))
		ntm_timer_set_ms(direction->proof, DC_PROOF_MS);
	else
		cn_find(direction);
}

void dc_direction_renew(struct dc_path *path)
{
	struct ntm_direction_request request = { .path_id = path->id, .reason = NTM_REASON_RENEW };
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
