/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * direction_round.c - the second half of a direction: the RS and CN are told at once, when both have
 * acknowledged MN is told and gets its Direction Response. An RS that fails is passed over, a Path ID that CN
 * holds for another pair is drawn again; everything else that fails ends the direction with a reason the
 * requester sees. Before it: direction.c; beside it: relay.c, route_direction.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "dc/direction.h"
#include "log.h"

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
			dc_direction_cancel(direction, NTM_ERROR_NOT_MEMBER,
					    "the node was removed from its DC");
		else if (direction->cn == member)
			dc_direction_cancel(direction, NTM_ERROR_NAME_UNKNOWN,
					    ntm_error_text(NTM_ERROR_NAME_UNKNOWN));
	}
}

void dc_direction_close(struct dc *dc)
{
	struct dc_direction *direction;

	while ((direction = LIST_FIRST(&dc->direction)))
		direction_free(direction);
}

/* ---- MN: the last step */

static void mn_done(void *arg, int err, const struct ntm_message *message,
		    const struct ntm_error_message *error)
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
		.lifetime_s = ntm_crypto_equal(path->ck, direction->ck, NTM_KEY_LEN) ? dc_path_ck_left_s(path)
										     : NTM_CK_LIFETIME_S,
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
	struct ntm_direction_response response = {.path_id = direction->path->id};
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
	json_object_object_add(event, "relay",
			       path->relay ? json_object_new_string(path->relay->config->name) : NULL);
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
	err = dc_route_direction_send(&path->end[direction->mn_side], &route, mn_done, path,
				      &path->route_request);
	ntm_crypto_wipe(route.ck, sizeof(route.ck));
	if (err) {
		dc_direction_cancel(direction, NTM_ERROR_LIMIT,
				    "the DC could not send the requester its Route Direction");
		return;
	}
	if (direction->has_from)
		respond(direction);
	tell(direction);
	direction_free(direction);
	dc_path_supersede(path);
}

/* ---- RS and CN, at once */

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
	if (!selection->relays && !selection->direct) {
		snprintf(text, sizeof(text), "no direct route to %.60s, and no relay: %.60s",
			 direction->cn_name, why);
		dc_direction_cancel(direction, NTM_ERROR_NO_ROUTE, text);
		return;
	}
	dc_direction_round_send(direction);
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
	dc_direction_round_send(direction);
}

static void cn_done(void *arg, int err, const struct ntm_message *message,
		    const struct ntm_error_message *error)
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
		snprintf(text, sizeof(text), "%.100s is registered but does not answer now",
			 direction->cn_name);
		dc_direction_cancel(direction, NTM_ERROR_TIMEOUT, text);
	}
}

void dc_direction_round_send(struct dc_direction *direction)
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
	err = dc_route_direction_send(&path->end[!direction->mn_side], &route, cn_done, direction,
				      &direction->cn_request);
	ntm_crypto_wipe(route.ck, sizeof(route.ck));
	if (err) {
		char text[NTM_TEXT_MAX + 1];

		snprintf(text, sizeof(text), "the DC has no session with %.100s now", direction->cn_name);
		dc_direction_cancel(direction, err == -EAGAIN ? NTM_ERROR_LIMIT : NTM_ERROR_NOT_REGISTERED,
				    text);
		return;
	}
	direction->cn_told = true;
	if (path->relay && dc_relay_direct(path, direction->ck, lifetime_s, relay_done, direction))
		relay_next(direction, "too many requests to it are outstanding");
}
