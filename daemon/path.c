/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path.c - the life of a path: directed, handshake, up, closing; and the one that replaces another. Keys are
 * in session_keys.c, ways in route.c, and how it is told to `ntmctl` at the end here.
 */
#include "path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aead.h"
#include "crypto.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"

struct ntmd_path *ntmd_path_find(struct ntmd *ntmd, uint64_t id)
{
	struct ntmd_path *path;

	LIST_FOREACH(path, &ntmd->path_by_id[id % NTMD_PATH_BUCKETS], by_id)
		if (path->id == id)
			return path;
	return NULL;
}

struct ntmd_path *ntmd_path_new(struct ntmd_cn *cn, uint64_t id, enum ntm_side side)
{
	struct ntmd *ntmd = cn->ntmd;
	struct ntmd_path *path;

	if (ntmd->paths >= NTM_PATHS_MAX)
		return NULL;
	path = calloc(1, sizeof(*path));
	if (!path)
		return NULL;
	path->ntmd = ntmd;
	path->cn = cn;
	path->id = id;
	path->side = side;
	path->state = NTMD_PATH_DIRECTED;
	path->directed_ms = ntm_loop_now_ms();
	path->phase = path->active = path->second = -1;
	/* The peer may have kept what an earlier ntmd told it on this path */
	path->update_sent = ntmd_counter_next(ntmd);
	path->engine = ntmd_engine_path_add(ntmd->engine, path);
	if (!path->engine || ntmd_engine_path_identify(path->engine, id, side)) {
		if (path->engine)
			ntmd_engine_path_delete(path->engine, false);
		free(path);
		return NULL;
	}
	ntmd_engine_path_map(path->engine, &cn->vip4, &cn->vip6);
	LIST_INSERT_HEAD(&ntmd->path, path, next);
	LIST_INSERT_HEAD(&ntmd->path_by_id[id % NTMD_PATH_BUCKETS], path, by_id);
	ntmd->paths++;
	if (cn->waiting) {
		ntmd_engine_path_hand_over(cn->waiting, path->engine);
		ntmd_engine_path_delete(cn->waiting, false);
		cn->waiting = NULL;
	}
	if (cn->path) {
		/* The one in use goes on getting the packets until this one is up. */
		ntmd_engine_path_hand_over(path->engine, cn->path->engine);
		cn->next_path = path;
	} else {
		cn->path = path;
	}
	ntmd_keepalive_start(path);
	return path;
}

struct ntmd_move *ntmd_path_move(struct ntmd_path *path)
{
	if (!path->move)
		path->move = calloc(1, sizeof(*path->move));
	return path->move;
}

void ntmd_path_up(struct ntmd_path *path)
{
	struct ntmd_cn *cn = path->cn;

	if (path->state == NTMD_PATH_UP)
		return;
	path->state = NTMD_PATH_UP;
	path->up_ms = ntm_loop_now_ms();
	path->heard_ms = path->up_ms;
	if (cn->next_path == path) {
		struct ntmd_path *old = cn->path;

		ntmd_engine_path_hand_over(old->engine, path->engine);
		ntmd_route_interrupted(path, NULL); /* the other end had lost the old one, perhaps */
		cn->path = path;
		cn->next_path = NULL;
		ntmd_path_free(old, false); /* the other end does the same */
	}
	if (cn->waiting) {
		ntmd_engine_path_hand_over(cn->waiting, path->engine);
		ntmd_engine_path_delete(cn->waiting, false);
		cn->waiting = NULL;
	}
	ntm_info("tunnel to %s is up after %lld ms", cn->fqdn, (long long)(path->up_ms - path->directed_ms));
	ntmd_event(path->ntmd, "tunnel_up", "peer", cn->fqdn, NULL);
	if (path->active >= 0) {
		ntmd_route_select(path);
		ntmd_route_tell(path); /* what was chosen before the path was up */
	}
	ntmd_direction_settled(cn);
	ntmd_attach_path_up(path->ntmd);
}

static void withdraw_tell(struct ntmd_path *path, enum ntm_reason reason)
{
	struct ntm_route_withdraw withdraw = { .path_id = path->id, .reason = (uint8_t)reason };
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	int n = ntm_msg_route_withdraw_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					     &withdraw);

	ntm_session_request(&path->ntmd->dc, NTM_MSG_ROUTE_WITHDRAW, body, (size_t)n, NTM_REQUEST_TIMEOUT_MS,
			    NULL, NULL, NULL);
}

void ntmd_path_close(struct ntmd_path *path, enum ntm_reason reason, bool tell_peer)
{
	struct ntm_tunnel_close close = { .reason = (uint8_t)reason };
	uint8_t body[NTM_MSG_HEADER_LEN + 16];
	int n;

	ntmd_event(path->ntmd, "tunnel_closed", "peer", path->cn->fqdn, NULL);
	n = ntm_msg_tunnel_close_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &close);
	/* By every way that works, unacknowledged: the path is gone here, and a packet of the other end's
	 * would be answered by a reset. */
	for (unsigned i = 0; tell_peer && path->state == NTMD_PATH_UP && i < path->routes; i++)
		if (path->route[i]->kind && path->route[i]->state == NTMD_ROUTE_PROVEN)
			ntmd_path_control_send(path, &path->route[i]->flow, NTM_MSG_TUNNEL_CLOSE, 0, body,
					       (size_t)n);
	if (tell_peer && reason != NTM_REASON_SHUTDOWN)
		withdraw_tell(path, reason);
	ntmd_path_free(path, true);
}

void ntmd_path_free(struct ntmd_path *path, bool refuse)
{
	struct ntmd_cn *cn = path->cn;

	ntmd_tunnel_free(path);
	ntmd_relay_bind_clear(path);
	ntmd_path_watch_clear(path);
	if (cn->path == path && cn->next_path)
		ntmd_engine_path_hand_over(path->engine, cn->next_path->engine);
	ntmd_engine_path_delete(path->engine, refuse);
	ntmd_session_keys_wipe(path);
	if (path->tick)
		event_free(path->tick);
	if (path->probe_timer)
		event_free(path->probe_timer);
	ntmd_path_mtu_free(path);
	ntmd_route_free_all(path);
	free(path->answer);
	LIST_REMOVE(path, next);
	LIST_REMOVE(path, by_id);
	path->ntmd->paths--;
	if (cn->path == path) {
		cn->path = cn->next_path;
		cn->next_path = NULL;
	} else if (cn->next_path == path) {
		cn->next_path = NULL;
	}
	ntm_crypto_wipe(path, sizeof(*path));
	free(path);
	if (!cn->path && !cn->going && !cn->direction)
		ntmd_direction_ended(cn);
	ntmd_cn_release(cn);
}

/* ---- what the engine tells */

static struct ntmd_engine_path *no_path(void *ctx, const struct ntm_addr *dst)
{
	struct ntmd *ntmd = ctx;
	struct ntmd_cn *cn = ntmd_cn_find_vip(ntmd, dst);

	if (!cn)
		cn = ntmd_cn_new(ntmd, NULL, dst);
	if (!cn)
		return NULL;
	if (!cn->waiting) {
		cn->waiting = ntmd_engine_path_add(ntmd->engine, NULL);
		if (!cn->waiting) {
			ntmd_cn_release(cn);
			return NULL;
		}
		ntmd_engine_path_map(cn->waiting, &cn->vip4, &cn->vip6);
	}
	ntmd_direction_start(cn, NTM_REASON_PACKET);
	if (cn->direction || ntmd_direction_is_expected(cn))
		return cn->waiting;
	/* Refused a moment ago: tell the application, do not ask the DC at every packet. */
	if (cn->waiting) {
		ntmd_engine_path_delete(cn->waiting, true);
		cn->waiting = NULL;
	}
	ntmd_cn_release(cn);
	return NULL;
}

static void phase_opened(void *ctx, void *user, unsigned phase)
{
	struct ntmd_path *path = user;

	(void)ctx;
	if (path)
		ntmd_session_keys_opened(path, phase);
}

static void new_source(void *ctx, void *user, const struct ntm_flow *from)
{
	struct ntm_flow clean = *from;

	ntmd_flow_clean(ctx, &clean); /* data threads do not know the networks */
	if (user)
		ntmd_handover_peer_seen(user, &clean);
}

static void bulk_received(void *ctx, void *user)
{
	uint8_t body[NTM_MSG_HEADER_LEN];
	struct ntmd_path *path = user;

	(void)ctx;
	if (path && path->active >= 0)
		ntmd_path_control_send(path, &path->route[path->active]->flow, NTM_MSG_BULK_ACK, 0, body, 0);
}

static void bulk_dead(void *ctx, void *user)
{
	struct ntmd_path *path = user;

	(void)ctx;
	if (path)
		ntm_info("%s does not acknowledge bulk data: inline lane only", path->cn->fqdn);
}

static void key_worn(void *ctx, void *user)
{
	(void)ctx;
	if (user)
		ntmd_tunnel_start(user);
}

static void send_failed(void *ctx, void *user, int err)
{
	struct ntmd_path *path = user;

	(void)ctx;
	if (!path || path->active < 0)
		return;
	ntm_debug("sending to %s failed: %s", path->cn->fqdn, strerror(err));
	if (ntmd_route_sync(path) || !ntmd_route_usable(path, path->route[path->active]))
		ntmd_handover_path(path);
	/* There is a way, but the system lets nothing out by it, for a firewall's rule, say: others may
	 * work. */
	else if (ntmd_engine_path_unheard_since(path->engine, ntm_loop_now_ms()))
		ntmd_path_watch_start(path);
}

static void unheard(void *ctx, void *user)
{
	(void)ctx;
	if (user)
		ntmd_path_watch_start(user);
}

static void arrived(void *ctx, void *user)
{
	(void)ctx;
	if (user)
		ntmd_handover_arrived(user);
}

static void replayed(void *ctx, void *user)
{
	struct ntmd_path *path = user;

	if (path)
		ntmd_event(ctx, "packet_replayed", "peer", path->cn->fqdn, NULL);
}

static void path_unknown(void *ctx, const struct ntm_flow *from, uint64_t path_id, size_t len)
{
	struct ntmd *ntmd = ctx;

	ntm_session_reset_send(&ntmd->sessions, from, path_id, len);
}

const struct ntmd_engine_ops ntmd_engine_ops = {
	.no_path = no_path,
	.phase_opened = phase_opened,
	.new_source = new_source,
	.bulk_received = bulk_received,
	.bulk_dead = bulk_dead,
	.unheard = unheard,
	.arrived = arrived,
	.key_worn = key_worn,
	.send_failed = send_failed,
	.replayed = replayed,
	.path_unknown = path_unknown,
};

/* ---- for ntmctl */

const char *ntmd_path_state_name(const struct ntmd_path *path)
{
	static const char *const name[] = { "directed", "handshake", "up" };

	return name[path->state];
}

static void add_string(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, value && *value ? json_object_new_string(value) : NULL);
}

static void add_int(struct json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

static void add_route(struct json_object *o, struct ntmd_path *path)
{
	struct ntmd_route *route = path->active >= 0 ? path->route[path->active] : NULL;
	char text[NTM_ENDPOINT_TEXT];
	struct ntm_endpoint local;

	add_string(o, "route", !route ? "none" : route->kind == NTM_ROUTE_RELAY ? "relay" : "direct");
	/* By the one before, until our leg at this one is proven: that has no name here any more. */
	add_string(o, "relay",
		   route && route->kind == NTM_ROUTE_RELAY &&
				   ntmd_relay_bind_is_named(&path->bind, &route->flow.remote)
			   ? path->bind.name
			   : NULL);
	if (!route) {
		add_string(o, "local", NULL);
		add_string(o, "remote", NULL);
		return;
	}
	add_string(o, "route_kind", ntm_route_name(route->kind));
	local.addr = route->flow.local;
	local.port = route->flow.udp ? route->flow.udp->bound.port : 0;
	add_string(o, "local", ntm_endpoint_format(&local, text));
	add_string(o, "remote", ntm_endpoint_format(&route->flow.remote, text));
}

static void add_details(struct json_object *o, struct ntmd_path *path, const struct ntmd_engine_stats *stats)
{
	char key[NTM_KEY_TEXT_LEN + 1], text[NTM_ENDPOINT_TEXT];
	struct json_object *standby = NULL;

	ntm_key_format(key, path->cn->public_key);
	add_string(o, "peer_public_key", key);
	add_string(o, "why", path->why);
	add_string(o, "lane", stats->lane == NTM_LANE_BULK ? "bulk" : "inline");
	add_int(o, "phase", path->phase);
	add_int(o, "held_packets", stats->held_packets);
	add_int(o, "resent_packets", (int64_t)stats->resent_packets);
	add_int(o, "rx_inline_packets", (int64_t)stats->lane_rx_packets[NTM_LANE_INLINE]);
	add_int(o, "rx_bulk_packets", (int64_t)stats->lane_rx_packets[NTM_LANE_BULK]);
	add_int(o, "tx_inline_packets", (int64_t)stats->lane_tx_packets[NTM_LANE_INLINE]);
	add_int(o, "tx_bulk_packets", (int64_t)stats->lane_tx_packets[NTM_LANE_BULK]);
	if (path->bind.name) {
		standby = json_object_new_object();
		add_string(standby, "name", path->bind.name);
		add_string(standby, "endpoint",
			   path->bind.relay ? ntm_endpoint_format(&path->bind.relay->endpoint, text) : NULL);
		json_object_object_add(standby, "bound",
				       json_object_new_boolean(path->bind.state == NTMD_BIND_BOUND));
	}
	json_object_object_add(o, "standby", standby);
	json_object_object_add(o, "routes", ntmd_routes_json(path));
}

struct json_object *ntmd_path_json(struct ntmd_path *path, bool all)
{
	struct json_object *o = json_object_new_object();
	int64_t now = ntm_loop_now_ms();
	struct ntmd_engine_stats stats;
	char text[NTM_ADDR_TEXT];

	ntmd_engine_path_stats(path->engine, &stats);
	add_string(o, "peer", path->cn->fqdn);
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)path->id);
	add_string(o, "path_id", text);
	add_string(o, "state", ntmd_path_state_name(path));
	add_route(o, path);
	add_string(o, "engine", ntmd_engine_path_name(path->engine));
	add_string(o, "cipher", path->phase < 0 ? NULL : ntm_aead_name(path->cipher));
	add_int(o, "rx_bytes", (int64_t)stats.rx_bytes);
	add_int(o, "tx_bytes", (int64_t)stats.tx_bytes);
	add_int(o, "rx_packets", (int64_t)stats.rx_packets);
	add_int(o, "tx_packets", (int64_t)stats.tx_packets);
	add_int(o, "drops", (int64_t)stats.drops);
	add_int(o, "rtt_us", path->rtt.srtt_us);
	add_int(o, "mtu", path->active < 0 ? 0 : ntmd_path_mtu_inner(path, path->route[path->active]));
	add_int(o, "established_s", path->state == NTMD_PATH_UP ? (now - path->up_ms) / 1000 : 0);
	add_int(o, "key_age_s", path->phase < 0 ? 0 : (now - path->keys[path->phase]->created_ms) / 1000);
	add_int(o, "side", path->side);
	add_string(o, "virtual4", ntm_addr_format(&path->cn->vip4, text));
	add_string(o, "virtual6", ntm_addr_format(&path->cn->vip6, text));
	if (all)
		add_details(o, path, &stats);
	return o;
}
