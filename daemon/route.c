/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * route.c - the ways a path's packets could take: candidates from the DC, addresses the peer was seen at, the standby RS. Each is
 * proven by a challenge that comes back; data takes the best proven one, and while none is, the best guess and a second
 * beside it (doc/PROTOCOL.md, "Routes"). Messages: path_control.c; the relay's leg: relay_bind.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

struct ntmd_route *ntmd_route_find(struct ntmd_path *path, const struct ntm_endpoint *remote)
{
	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind && ntm_endpoint_equal(&path->route[i]->flow.remote, remote))
			return path->route[i];
	return NULL;
}

static void sources_tell(struct ntmd_path *path)
{
	struct ntm_endpoint source[NTM_ROUTES_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind)
			source[count++] = path->route[i]->flow.remote;
	ntmd_engine_path_sources_set(path->engine, source, count);
}

int ntmd_route_index(const struct ntmd_path *path, const struct ntmd_route *route)
{
	int i = 0;

	while (path->route[i] != route)
		i++;
	return i;
}

/* A free slot, a new one, or that of an observed address which did not work. */
static struct ntmd_route *slot_find(struct ntmd_path *path)
{
	for (unsigned i = 0; i < path->routes; i++)
		if (!path->route[i]->kind)
			return path->route[i];
	if (path->routes < NTM_ROUTES_MAX) {
		path->route[path->routes] = calloc(1, sizeof(*path->route[0]));
		if (path->route[path->routes])
			return path->route[path->routes++];
	}
	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind == NTM_ROUTE_REFLEXIVE && path->route[i]->state != NTMD_ROUTE_PROVEN &&
		    (int)i != path->active && (int)i != path->second)
			return path->route[i];
	return NULL;
}

struct ntmd_route *ntmd_route_add(struct ntmd_path *path, enum ntm_route_kind kind, const struct ntm_endpoint *remote)
{
	struct ntmd_route *route = ntmd_route_find(path, remote);

	if (route) {
		if (kind == NTM_ROUTE_RELAY || (route->kind != NTM_ROUTE_RELAY && kind < route->kind))
			route->kind = kind;
		return route;
	}
	route = slot_find(path);
	if (!route)
		return NULL;
	memset(route, 0, sizeof(*route));
	route->kind = kind;
	route->flow = ntmd_flow_to(path->ntmd, remote);
	sources_tell(path);
	return route;
}

static void clear(struct ntmd_path *path, struct ntmd_route *route)
{
	int i = ntmd_route_index(path, route);

	memset(route, 0, sizeof(*route));
	if (path->active == i || path->second == i)
		ntmd_route_apply(path, path->active == i ? -1 : path->active, -1, 0);
}

void ntmd_route_del(struct ntmd_path *path, enum ntm_route_kind kind)
{
	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind == kind)
			clear(path, path->route[i]);
	sources_tell(path);
}

void ntmd_route_free_all(struct ntmd_path *path)
{
	while (path->routes)
		free(path->route[--path->routes]);
	path->active = path->second = -1;
}

bool ntmd_route_usable(struct ntmd_path *path, struct ntmd_route *route)
{
	const struct ntmd *ntmd = path->ntmd;
	struct ntm_addr local;

	if (route->kind == NTM_ROUTE_RELAY && !ntmd_relay_bind_asked(path))
		return false;
	if (!route->flow.udp || ntm_udp_source(&route->flow.remote, &local))
		return false;
	/* A tunnel inside itself. */
	return !ntm_addr_equal(&local, &ntmd->registration.vip4) && !ntm_addr_equal(&local, &ntmd->registration.vip6);
}

void ntmd_route_candidates_set(struct ntmd_path *path, const struct ntm_candidate *candidate, unsigned count)
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];
		bool named = false;

		if (!route->kind || route->kind == NTM_ROUTE_RELAY || route->state == NTMD_ROUTE_PROVEN ||
		    path->active == (int)i || path->second == (int)i)
			continue;
		for (unsigned k = 0; k < count; k++)
			named = named || ntm_endpoint_equal(&candidate[k].endpoint, &route->flow.remote);
		if (!named)
			clear(path, route);
	}
	for (unsigned k = 0; k < count; k++)
		if (candidate[k].kind > NTM_ROUTE_NONE && candidate[k].kind < NTM_ROUTE_REFLEXIVE &&
		    ntm_addr_is_usable(&candidate[k].endpoint.addr))
			ntmd_route_add(path, (enum ntm_route_kind)candidate[k].kind, &candidate[k].endpoint);
	sources_tell(path);
}

void ntmd_route_each_usable(struct ntmd_path *path, void (*each)(struct ntmd_path *path, struct ntmd_route *route, void *arg),
			    void *arg)
{
	for (int kind = NTM_ROUTE_NONE + 1; kind < NTM_ROUTE_KINDS; kind++)
		for (unsigned i = 0; i < path->routes; i++)
			if ((int)path->route[i]->kind == kind && ntmd_route_usable(path, path->route[i]))
				each(path, path->route[i], arg);
}

/* ---- proving */

/* While we are moving, the question is the Path Update itself; its answer proves the way as well. */
static void question_send(struct ntmd_path *path, struct ntmd_route *route)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	struct ntm_path_update update;
	struct ntm_challenge challenge;
	int n;

	/* One nonce for all tries: a late answer to an early one counts. */
	if (!route->nonce)
		route->nonce = ntm_crypto_random_u64() | 1;
	route->sent_us = ntm_loop_now_us();
	ntm_udp_source(&route->flow.remote, &route->local);
	if (path->update_us) {
		update.nonce = route->nonce;
		update.sequence = path->update_sent;
		n = ntm_msg_path_update_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &update);
		ntmd_path_control_send(path, &route->flow, NTM_MSG_PATH_UPDATE, 0, body, (size_t)n);
		return;
	}
	challenge = (struct ntm_challenge){ .nonce = route->nonce };
	n = ntm_msg_challenge_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &challenge);
	ntmd_path_control_send(path, &route->flow, NTM_MSG_PATH_CHALLENGE, 0, body, (size_t)n);
}

static void probe_timer_start(struct ntmd_path *path);

static void on_probe(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_path *path = arg;
	bool more = false;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (!route->kind || route->state != NTMD_ROUTE_PROBING)
			continue;
		if (!ntmd_route_usable(path, route)) {
			route->tries++; /* its network, or the bind, may come in a moment */
			more = more || route->tries < NTM_PUNCH_TRIES;
			if (route->tries >= NTM_PUNCH_TRIES)
				ntmd_route_failed(path, route);
			continue;
		}
		if (route->tries++ < NTM_PUNCH_TRIES) {
			question_send(path, route);
			more = true;
		} else {
			ntmd_route_failed(path, route);
		}
	}
	if (more) {
		probe_timer_start(path);
	} else if (path->probe_timer && !event_pending(path->probe_timer, EV_TIMEOUT, NULL)) {
		event_free(path->probe_timer);
		path->probe_timer = NULL;
	}
}

static void probe_timer_start(struct ntmd_path *path)
{
	if (!path->probe_timer)
		path->probe_timer = ntm_timer_new(path->ntmd->loop.base, on_probe, path);
	if (path->probe_timer && !event_pending(path->probe_timer, EV_TIMEOUT, NULL))
		ntm_timer_set_ms(path->probe_timer, NTM_PUNCH_INTERVAL_MS);
}

void ntmd_route_challenge(struct ntmd_path *path, struct ntmd_route *route)
{
	if (path->phase < 0)
		return;
	if (route->state != NTMD_ROUTE_PROVEN) {
		if (route->state != NTMD_ROUTE_PROBING)
			route->tries = 0;
		route->state = NTMD_ROUTE_PROBING;
		probe_timer_start(path);
	}
	if (ntmd_route_usable(path, route))
		question_send(path, route);
}

void ntmd_route_probe(struct ntmd_path *path)
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (!route->kind || route->state == NTMD_ROUTE_PROVEN)
			continue;
		route->state = NTMD_ROUTE_IDLE;
		route->tries = 0;
		ntmd_route_challenge(path, route);
	}
}

void ntmd_route_response(struct ntmd_path *path, const struct ntm_flow *from, uint64_t nonce)
{
	(void)from; /* it answers what we sent that way, wherever it came back */
	if (ntmd_path_mtu_response(path, nonce))
		return;
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];
		int64_t rtt;

		if (!route->kind || !route->nonce || route->nonce != nonce)
			continue;
		rtt = ntm_loop_now_us() - route->sent_us;
		route->nonce = 0;
		if (!route->tries) { /* sent once only (Karn) */
			ntm_rtt_add(&route->rtt, (uint32_t)rtt);
			if (path->active == (int)i)
				ntm_rtt_add(&path->rtt, (uint32_t)rtt);
		}
		ntmd_route_proven(path, route);
		return;
	}
}

void ntmd_route_proven(struct ntmd_path *path, struct ntmd_route *route)
{
	char remote[NTM_ENDPOINT_TEXT];
	bool first = route->state != NTMD_ROUTE_PROVEN;

	route->state = NTMD_ROUTE_PROVEN;
	route->heard_ms = ntm_loop_now_ms();
	ntm_udp_source(&route->flow.remote, &route->local);
	if (first)
		ntmd_path_mtu_start(path, route);
	if (first)
		ntmd_event(path->ntmd, "route_proven", "peer", path->cn->fqdn, "route", ntm_route_name(route->kind),
			   "remote", ntm_endpoint_format(&route->flow.remote, remote), NULL);
	ntmd_route_select(path);
}

void ntmd_route_failed(struct ntmd_path *path, struct ntmd_route *route)
{
	int i = ntmd_route_index(path, route);
	bool in_use = path->active == i || path->second == i;

	route->state = NTMD_ROUTE_FAILED;
	route->nonce = 0;
	if (!in_use)
		return;
	ntmd_event(path->ntmd, "route_failed", "peer", path->cn->fqdn, "route", ntm_route_name(route->kind), NULL);
	ntmd_route_select(path);
}

/* ---- choosing */

void ntmd_route_apply(struct ntmd_path *path, int active, int second, uint64_t unproven_bytes)
{
	path->active = active;
	path->second = second;
	ntmd_engine_path_relayed_set(path->engine, (active >= 0 && path->route[active]->kind == NTM_ROUTE_RELAY) ||
						   (second >= 0 && path->route[second]->kind == NTM_ROUTE_RELAY));
	ntmd_engine_path_route_set(path->engine, active < 0 ? NULL : &path->route[active]->flow,
				   second < 0 ? NULL : &path->route[second]->flow, unproven_bytes);
	ntmd_path_mtu_apply(path);
}

/* Lower kinds are shorter; of one kind the nearer. */
static bool is_better(const struct ntmd_route *a, const struct ntmd_route *b)
{
	if (!b)
		return true;
	if (a->kind != b->kind)
		return a->kind < b->kind;
	return a->rtt.srtt_us && b->rtt.srtt_us && a->rtt.srtt_us < b->rtt.srtt_us;
}

static struct ntmd_route *best(struct ntmd_path *path, enum ntmd_route_state state)
{
	struct ntmd_route *found = NULL;

	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (route->kind && route->state == state && is_better(route, found) && ntmd_route_usable(path, route))
			found = route;
	}
	return found;
}

/* No way is proven. Try all again, and meanwhile send by the best guess and by the relay. */
static void guess(struct ntmd_path *path)
{
	struct ntmd_route *route = best(path, NTMD_ROUTE_PROBING), *relay = NULL;

	if (!route) {
		ntmd_route_apply(path, -1, -1, 0);
		/* Without a network there is nothing to ask for: ifmon.c tells when there is one. */
		if (best(path, NTMD_ROUTE_FAILED) || best(path, NTMD_ROUTE_IDLE))
			ntmd_direction_again(path->cn, NTM_REASON_LOST);
		return;
	}
	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind == NTM_ROUTE_RELAY && path->route[i]->state != NTMD_ROUTE_FAILED)
			relay = path->route[i];
	if (relay == route || (relay && !ntmd_route_usable(path, relay)))
		relay = NULL;
	ntmd_route_apply(path, ntmd_route_index(path, route), relay ? ntmd_route_index(path, relay) : -1,
			 route->kind == NTM_ROUTE_REFLEXIVE ? NTM_UNPROVEN_BYTES : 0);
}

void ntmd_route_select(struct ntmd_path *path)
{
	struct ntmd_route *route = best(path, NTMD_ROUTE_PROVEN);
	char remote[NTM_ENDPOINT_TEXT], ms[32];

	if (!route) {
		guess(path);
		return;
	}
	if (path->update_us) {
		snprintf(ms, sizeof(ms), "%.3f", (double)(ntm_loop_now_us() - path->update_us) / 1000);
		ntmd_event(path->ntmd, "handover_done", "peer", path->cn->fqdn, "route", ntm_route_name(route->kind), "ms",
			   ms, NULL);
		path->update_us = 0;
	}
	if (path->active == ntmd_route_index(path, route) && path->second < 0)
		return;
	if (path->active != ntmd_route_index(path, route)) {
		ntm_info("packets to %s go by %s, %s", path->cn->fqdn, ntm_route_name(route->kind),
			 ntm_endpoint_format(&route->flow.remote, remote));
		ntmd_event(path->ntmd, "route_changed", "peer", path->cn->fqdn, "route", ntm_route_name(route->kind), "remote",
			   ntm_endpoint_format(&route->flow.remote, remote), NULL);
		path->rtt = route->rtt;
	}
	ntmd_route_apply(path, ntmd_route_index(path, route), -1, 0);
}

struct json_object *ntmd_routes_json(struct ntmd_path *path)
{
	static const char *const state[] = { "idle", "probing", "proven", "failed" };
	struct json_object *array = json_object_new_array();
	char text[NTM_ENDPOINT_TEXT];

	for (unsigned i = 0; i < path->routes; i++) {
		const struct ntmd_route *route = path->route[i];
		struct json_object *o;

		if (!route->kind)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "kind", json_object_new_string(ntm_route_name(route->kind)));
		json_object_object_add(o, "remote",
				       json_object_new_string(ntm_endpoint_format(&route->flow.remote, text)));
		json_object_object_add(o, "local", ntm_addr_is_none(&route->local) ?
							   NULL :
							   json_object_new_string(ntm_addr_format(&route->local, text)));
		json_object_object_add(o, "state", json_object_new_string(state[route->state]));
		json_object_object_add(o, "active", json_object_new_boolean((int)i == path->active));
		json_object_object_add(o, "mtu", json_object_new_int64(ntmd_path_mtu_inner(path, route)));
		json_object_object_add(o, "rtt_us",
				       route->rtt.srtt_us ? json_object_new_int64(route->rtt.srtt_us) : NULL);
		json_object_array_add(array, o);
	}
	return array;
}
