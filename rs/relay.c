/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay.c - Relay Direction and Relay Withdraw from a DC, and the binds by which the two nodes put themselves
 * on the legs of a path (doc/PROTOCOL.md, "Relay Bind"). Codecs: lib/msg_relay.c, lib/bind.c; rules: path.c.
 */
#include <errno.h>

#include <ntm/drop.h>

#include "bind.h"
#include "crypto.h"
#include "loop.h"
#include "relay_map.h"
#include "rs.h"
#include "stats.h"

void rs_relay_direction_handle(struct rs *rs, const struct ntm_session_from *from,
			       const struct ntm_message *message)
{
	struct rs_dc *dc = rs_registration_dc(from->peer);
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	struct ntm_relay_response response = {.boot_id = rs->boot_id};
	struct ntm_relay_direction direction;
	struct rs_path *path;
	int r;

	r = ntm_msg_relay_direction_parse(&direction, message->fields, message->len);
	if (r) {
		ntm_drop_count(r);
		ntm_session_refuse(from, NTM_ERROR_MALFORMED, "Relay Direction: %s", ntm_drop_text(r));
		return;
	}
	if (rs->draining && !rs_path_find(&rs->paths, direction.path_id, ntm_loop_now_ms())) {
		ntm_crypto_wipe(&direction, sizeof(direction));
		ntm_session_refuse(from, NTM_ERROR_REFUSED, "%s is being drained", rs->config.name);
		return;
	}
	r = rs_path_direct(&rs->paths, &direction, dc, ntm_loop_now_ms(), &path);
	ntm_crypto_wipe(&direction, sizeof(direction));
	if (r == -EEXIST) {
		ntm_session_refuse(from, NTM_ERROR_PATH_ID_TAKEN, "another DC directed this Path ID");
		return;
	}
	if (r == -EDQUOT) {
		ntm_drop_count(NTM_DROP_LIMIT);
		ntm_session_refuse(from, NTM_ERROR_LIMIT,
				   "%s relays %u paths of %s, and may no more (max-paths)", rs->config.name,
				   dc->paths, dc->name);
		return;
	}
	if (r < 0) {
		ntm_drop_count(NTM_DROP_LIMIT);
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "%s has no room for another path", rs->config.name);
		return;
	}
	if (rs_relay_map_put(rs->map, path, ntm_loop_now_ms()) && r) {
		/* XDP would drop what comes for a path that it does not know. */
		rs_path_remove(&rs->paths, path);
		ntm_drop_count(NTM_DROP_LIMIT);
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "%s has no room for another path", rs->config.name);
		return;
	}
	dc->directed_ms = ntm_loop_now_ms();
	if (r)
		rs_control_path_event(rs, "path_directed", path);
	for (unsigned side = 0; side < 2; side++)
		response.bound |= (uint8_t)(rs_leg_is_bound(&path->leg[side]) << side);
	r = ntm_msg_relay_response_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					 &response);
	if (r >= 0)
		ntm_session_answer(from, NTM_MSG_RELAY_RESPONSE, body, (size_t)r);
}

void rs_relay_withdraw_handle(struct rs *rs, const struct ntm_session_from *from,
			      const struct ntm_message *message)
{
	struct rs_dc *dc = rs_registration_dc(from->peer);
	uint8_t body[NTM_MSG_HEADER_LEN];
	struct ntm_relay_withdraw withdraw;
	struct rs_path *path;
	int r;

	r = ntm_msg_relay_withdraw_parse(&withdraw, message->fields, message->len);
	if (r) {
		ntm_drop_count(r);
		ntm_session_refuse(from, NTM_ERROR_MALFORMED, "Relay Withdraw: %s", ntm_drop_text(r));
		return;
	}
	path = rs_path_find(&rs->paths, withdraw.path_id, ntm_loop_now_ms());
	if (path && path->dc != dc) {
		ntm_session_refuse(from, NTM_ERROR_REFUSED, "another DC directed this path");
		return;
	}
	if (path) {
		rs_control_path_event(rs, "path_withdrawn", path);
		rs_relay_map_remove(rs->map, path->id);
		rs_path_remove(&rs->paths, path);
	}
	/* Also for a path that is gone already: that is what was asked for. */
	ntm_session_answer(from, NTM_MSG_RELAY_WITHDRAW_ACK, body, 0);
	rs_drain_check(rs);
}

/* ---- paths of an earlier ntm-rs */

struct forgotten {
	struct rs *rs;
	const struct rs_dc *dc;
};

static void inherited_forget(void *ctx, struct rs_path *path)
{
	struct forgotten *forgotten = ctx;

	if (!path->inherited || path->dc != forgotten->dc)
		return;
	rs_control_path_event(forgotten->rs, "path_expired", path);
	rs_relay_map_remove(forgotten->rs->map, path->id);
	rs_path_remove(&forgotten->rs->paths, path);
}

void rs_relay_inherited_check(struct rs *rs, int64_t now_ms)
{
	struct rs_dc *dc;

	if (!rs->paths.inherited)
		return;
	LIST_FOREACH (dc, &rs->dcs, entry) {
		struct forgotten forgotten = {rs, dc};
		int64_t since_ms = dc->directed_ms > dc->connected_ms ? dc->directed_ms : dc->connected_ms;

		if (ntm_peer_is_up(&dc->peer) && now_ms - since_ms >= NTM_RELAY_INHERITED_S * 1000LL)
			rs_paths_each(&rs->paths, inherited_forget, &forgotten);
	}
}

/* ---- binds */

/* One authenticated bind, and what its answers need. */
struct bind {
	struct rs *rs;
	const struct ntm_flow *from;
	const struct ntm_bind *packet;
	struct rs_path *path;
	struct rs_leg *leg;
	int64_t now_us;
};

static uint32_t seconds(const struct bind *bind)
{
	return (uint32_t)(bind->now_us / 1000000);
}

static void challenge_send(const struct bind *bind)
{
	struct ntm_bind answer;

	ntm_bind_challenge_build(&answer, bind->packet, &bind->from->remote, seconds(bind),
				 bind->rs->bind_secret, bind->leg->key);
	ntm_udp_send(bind->from, &answer, sizeof(answer));
}

static void ack_send(const struct bind *bind)
{
	uint8_t token[NTM_MAC_LEN];
	struct ntm_bind answer;

	ntm_session_reset_token(&bind->rs->sessions, bind->path->id, token);
	ntm_bind_ack_build(&answer, bind->packet, &bind->from->remote, token, bind->leg->key);
	ntm_udp_send(bind->from, &answer, sizeof(answer));
}

static int request_handle(const struct bind *bind)
{
	int r = rs_leg_ask(&bind->rs->paths, bind->leg, &bind->from->remote,
			   ntm_header_counter(&bind->packet->h));

	if (!r) {
		rs_relay_map_put(bind->rs->map, bind->path, bind->now_us / 1000);
		challenge_send(bind);
	}
	return r;
}

static int echo_handle(const struct bind *bind)
{
	static const char *const event[] = {NULL, "leg_moved", "leg_bound"};
	int r;

	if (!ntm_bind_challenge_ok(bind->packet, &bind->from->remote, seconds(bind), bind->rs->bind_secret))
		return -NTM_DROP_BIND_CHALLENGE;
	r = rs_leg_move(&bind->rs->paths, bind->path, bind->packet->side, bind->from,
			ntm_header_counter(&bind->packet->h), bind->now_us / 1000);
	if (r < 0)
		return r;
	/* First the map: who has the ACK may count on what he sends from here. */
	rs_relay_map_put(bind->rs->map, bind->path, bind->now_us / 1000);
	ack_send(bind);
	if (r)
		rs_control_leg_event(bind->rs, event[r], bind->path, bind->packet->side);
	return 0;
}

/* From elsewhere a Keep Alive asks to move there: a NAT on the way has forgotten its mapping. */
static int keepalive_handle(const struct bind *bind)
{
	int r;

	if (!rs_leg_is_bound_to(bind->leg, &bind->from->remote))
		return request_handle(bind);
	r = rs_leg_keep_alive(bind->leg, ntm_header_counter(&bind->packet->h));
	if (!r)
		ack_send(bind);
	return r;
}

int rs_relay_bind_handle(struct rs *rs, const struct ntm_flow *from, const uint8_t *packet, size_t len,
			 int64_t now_us)
{
	struct bind bind = {.rs = rs, .from = from, .now_us = now_us};
	int r;

	r = ntm_bind_parse(&bind.packet, packet, len, NTM_BIND_FROM_NODE);
	if (r)
		return r;
	bind.path = rs_path_find(&rs->paths, ntm_header_id(&bind.packet->h), now_us / 1000);
	if (!bind.path)
		return -NTM_DROP_PATH_UNKNOWN;
	bind.leg = &bind.path->leg[bind.packet->side];
	if (bind.path->inherited)
		return -NTM_DROP_NO_KEY; /* until its DC has directed it again */
	if (!ntm_bind_verify(bind.packet, bind.leg->key))
		return -NTM_DROP_AUTH;
	rs_paths_heard(&rs->paths, &from->remote, now_us / 1000);
	switch (bind.packet->kind) {
	case NTM_BIND_REQUEST:
		return request_handle(&bind);
	case NTM_BIND_ECHO:
		return echo_handle(&bind);
	default: /* ntm_bind_parse() leaves one */
		return keepalive_handle(&bind);
	}
}
