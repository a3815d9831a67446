/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * route_direction.c - Route Direction: the DC tells an end of a path everything about the other end. To a
 * member directly, to another DC's member by that DC, which passes it on. Before it: direction.c. Codec:
 * lib/msg_route_direction.c; the node's part: daemon/route_direction.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"

/* Verdicts only explain, and of candidates the last are the least likely. */
int dc_route_direction_build(uint8_t body[DC_BODY_MAX], const struct ntm_route_direction *route)
{
	struct ntm_route_direction fitting = *route;
	int n;

	while ((n = ntm_msg_route_direction_build(DC_FIELDS(body), DC_FIELDS_MAX, &fitting)) == -EMSGSIZE) {
		if (fitting.verdicts)
			fitting.verdicts--;
		else if (fitting.candidates > 2)
			fitting.candidates--;
		else if (fitting.relay.servers > 2)
			fitting.relay.servers--;
		else
			break;
	}
	ntm_crypto_wipe(fitting.ck, sizeof(fitting.ck));
	return n;
}

int dc_route_direction_send(struct dc_path_end *end, struct ntm_route_direction *route, ntm_session_done done,
			    void *arg, struct ntm_session_request **ret_request)
{
	struct ntm_peer *peer = end->member ? &end->member->actor.peer : &end->other->actor.peer;
	uint8_t body[DC_BODY_MAX];
	int n;

	strcpy(route->target, end->member ? "" : end->name);
	n = dc_route_direction_build(body, route);
	if (n >= 0)
		n = ntm_session_request(peer, NTM_MSG_ROUTE_DIRECTION, body, (size_t)n, DC_NODE_TIMEOUT_MS,
					done, arg, ret_request);
	ntm_crypto_wipe(body, sizeof(body));
	return n;
}

/* ---- from another DC, for a member of ours */

struct passing {
	struct dc *dc;
	struct ntm_session_from from;
	uint64_t path_id;
	char member[NTM_FQDN_MAX + 1];
};

static void passed(void *arg, int err, const struct ntm_message *message,
		   const struct ntm_error_message *error)
{
	struct passing *passing = arg;
	struct dc_path *path = dc_path_find(passing->dc, passing->path_id);
	uint8_t body[NTM_MSG_HEADER_LEN];

	(void)message;
	if (!err)
		ntm_session_answer(&passing->from, NTM_MSG_ROUTE_DIRECTION_ACK, body, 0);
	else if (err == -EREMOTEIO)
		ntm_session_refuse(&passing->from, error->code, "%s", error->text);
	else
		ntm_session_refuse(&passing->from, NTM_ERROR_TIMEOUT, "%.100s does not answer its DC",
				   passing->member);
	if (!err && path)
		path->established = true;
	else if (err && path && path->foreign && !path->established)
		dc_path_free(path);
	free(passing);
}

/* What we keep of a path that another DC directs, so that either end's withdrawal finds its way. */
static int foreign_path_keep(struct dc *dc, struct dc_other *other, struct dc_member *member,
			     const struct ntm_route_direction *route)
{
	struct dc_path *path = dc_path_find(dc, route->path_id);

	if (path) {
		const struct dc_path_end *near = &path->end[route->side], *far = &path->end[!route->side];

		if (near->member != member || far->other != other ||
		    memcmp(far->public_key, route->public_key, NTM_KEY_LEN))
			return -EEXIST;
		/* directed by us before, perhaps: the one who directed last is in charge */
		if (path->direction)
			dc_direction_cancel(path->direction, NTM_ERROR_SUPERSEDED,
					    "the other DC directs this path now");
		path = dc_path_find(dc, route->path_id);
		if (!path)
			return -EEXIST; /* it was new, and ended with its direction */
		path->foreign = true;
		dc_path_relay_set(path, NULL);
		dc_path_ck_set(path, route->ck);
		return 0;
	}
	if (member->paths >= NTM_PATHS_MAX)
		return -ENOSPC;
	path = dc_path_new(dc, route->path_id, route->ck);
	if (!path)
		return -ENOMEM;
	path->foreign = true;
	if (dc_path_end_set(path, route->side, member, NULL, NULL, member->actor.peer.key) ||
	    dc_path_end_set(path, !route->side, NULL, other, route->fqdn, route->public_key)) {
		dc_path_free(path);
		return -ENOMEM;
	}
	return 0;
}

static void route_pass(struct dc *dc, struct dc_other *other, const struct ntm_session_from *from,
		       struct dc_member *member, struct ntm_route_direction *route)
{
	struct passing *passing = calloc(1, sizeof(*passing));
	uint8_t body[DC_BODY_MAX];
	int n;

	n = passing ? foreign_path_keep(dc, other, member, route) : -ENOMEM;
	if (n) {
		ntm_session_refuse(from, n == -EEXIST ? NTM_ERROR_PATH_ID_TAKEN : NTM_ERROR_LIMIT, "%s",
				   ntm_error_text(n == -EEXIST ? NTM_ERROR_PATH_ID_TAKEN : NTM_ERROR_LIMIT));
		free(passing);
		return;
	}
	passing->dc = dc;
	passing->from = *from;
	passing->path_id = route->path_id;
	strcpy(passing->member, member->fqdn);
	route->target[0] = '\0';
	n = dc_route_direction_build(body, route);
	if (n >= 0)
		n = ntm_session_request(&member->actor.peer, NTM_MSG_ROUTE_DIRECTION, body, (size_t)n,
					DC_NODE_TIMEOUT_MS, passed, passing, NULL);
	ntm_crypto_wipe(body, sizeof(body));
	if (n < 0)
		passed(passing, n, NULL, NULL);
}

void dc_route_direction_handle(struct dc *dc, struct dc_other *other, const struct ntm_session_from *from,
			       const struct ntm_message *message)
{
	struct ntm_route_direction route;
	struct dc_member *member;
	char why[NTM_TEXT_MAX + 1];
	int drop = ntm_msg_route_direction_parse(&route, message->fields, message->len);

	if (drop < 0) {
		dc_receive_malformed(dc, from, drop);
		return;
	}
	member = route.target[0] ? dc_member_find(dc, route.target) : NULL;
	if (dc_location_distrust(dc, other, route.fqdn, route.vip4, route.vip6, why, sizeof(why))) {
		dc->refused++;
		dc_location_distrusted(dc, other, route.fqdn, -NTM_DROP_FOREIGN, why);
		ntm_session_refuse(from, NTM_ERROR_REFUSED, "%s", why);
	} else if (!route.path_id) {
		ntm_session_refuse(from, NTM_ERROR_REFUSED, "a Path ID is never 0");
	} else if (!member) {
		ntm_session_refuse(from, NTM_ERROR_NAME_UNKNOWN, "%.60s has no such member", dc->config.name);
	} else if (!dc_member_is_registered(member)) {
		ntm_session_refuse(from, NTM_ERROR_NOT_REGISTERED, "%.90s is a member but not registered now",
				   member->fqdn);
	} else {
		route_pass(dc, other, from, member, &route);
	}
	ntm_crypto_wipe(route.ck, sizeof(route.ck));
}
