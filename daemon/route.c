/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * route.c - the ways a path's packets could take: candidates from the DC, addresses the peer was seen at, the
 * standby RS. Each is proven by a question that is answered (route_probe.c), and there is one for each
 * network of ours (route_way.c); data takes the best proven one, and while none is, the best guess and a
 * second beside it (doc/PROTOCOL.md, "Routes"). The relay's leg: relay_bind.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define WAIT_TRIES 3 /* of NTM_PUNCH_INTERVAL_MS */

struct ntmd_route *ntmd_route_find(struct ntmd_path *path, const struct ntm_flow *flow)
{
	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind && ntm_endpoint_equal(&path->route[i]->flow.remote, &flow->remote) &&
		    ntm_addr_equal(&path->route[i]->flow.local, &flow->local))
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

/* Neither in use nor of use now, and not the relay. */
static bool is_spare(const struct ntmd_path *path, unsigned i, bool reflexive)
{
	const struct ntmd_route *route = path->route[i];

	if ((int)i == path->active || (int)i == path->second || route->kind == NTM_ROUTE_RELAY)
		return false;
	return reflexive ? route->kind == NTM_ROUTE_REFLEXIVE && route->state != NTMD_ROUTE_PROVEN :
			   !route->way || route->state == NTMD_ROUTE_FAILED;
}

/* A free slot, a new one, that of an observed address which did not work, or of a candidate which did not. */
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
	for (int reflexive = 1; reflexive >= 0; reflexive--)
		for (unsigned i = 0; i < path->routes; i++)
			if (is_spare(path, i, reflexive))
				return path->route[i];
	return NULL;
}

/* The slot is free, or another route's: the engine must not go on by it. Who calls chooses anew. */
static void forsake(struct ntmd_path *path, const struct ntmd_route *route)
{
	int i = ntmd_route_index(path, route);

	if (path->active == i)
		path->active = -1;
	if (path->second == i)
		path->second = -1;
	if (path->active < 0)
		path->second = -1;
}

static void clear(struct ntmd_path *path, struct ntmd_route *route)
{
	int active = path->active, second = path->second;

	forsake(path, route);
	memset(route, 0, sizeof(*route));
	if (active != path->active || second != path->second)
		ntmd_route_apply(path, path->active, path->second, 0);
}

/* ---- ways: the networks from which a remote endpoint can be reached */

static bool way_takes(struct ntmd_route *route, const struct ntmd_way *way)
{
	struct ntm_flow *flow = &route->flow;
	bool same = route->way && flow->ifindex == way->ifindex;

	route->rank = way->rank;
	route->way = true;
	flow->ifindex = way->ifindex;
	flow->local = way->local;
	return !same;
}

static void way_begin(struct ntmd_path *path, struct ntmd_route *route, enum ntm_route_kind kind,
		      const struct ntm_endpoint *remote, const struct ntmd_way *way)
{
	memset(route, 0, sizeof(*route));
	route->kind = (uint8_t)kind;
	route->flow = ntmd_flow_to(path->ntmd, remote);
	if (way)
		way_takes(route, way);
}

static bool is_to(const struct ntmd_route *route, const struct ntm_endpoint *remote)
{
	return route->kind && ntm_endpoint_equal(&route->flow.remote, remote);
}

/* Routes whose way is still there keep what is known of them. */
static void ways_keep(struct ntmd_path *path, const struct ntm_endpoint *remote, const struct ntmd_way *way,
		      unsigned ways, bool taken[])
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];
		unsigned w = 0;

		if (!is_to(route, remote))
			continue;
		while (w < ways && !(ntm_addr_equal(&way[w].local, &route->flow.local) && !taken[w]))
			w++;
		if (w == ways) {
			route->way = false;
			continue;
		}
		taken[w] = true;
		if (way_takes(route, &way[w]) && (path->active == (int)i || path->second == (int)i))
			ntmd_route_apply(path, path->active, path->second,
					 path->unproven ? NTM_UNPROVEN_BYTES : 0);
	}
}

/* One whose way is gone; it makes room for a new one. */
static struct ntmd_route *way_gone(struct ntmd_path *path, const struct ntm_endpoint *remote)
{
	for (unsigned i = 0; i < path->routes; i++)
		if (is_to(path->route[i], remote) && !path->route[i]->way)
			return path->route[i];
	return NULL;
}

/*
 * One route for each way to the remote end. Those whose way is gone are cleared; but a remote end without any
 * way keeps one route, so that it is known when there is a network again.
 */
static void remote_sync(struct ntmd_path *path, enum ntm_route_kind kind, const struct ntm_endpoint *remote)
{
	struct ntmd_way way[NTMD_WAYS_MAX];
	bool taken[NTMD_WAYS_MAX] = { false }, kept = false;
	unsigned ways = ntmd_route_ways(path->ntmd, remote, way);
	struct ntmd_route *route;

	ways_keep(path, remote, way, ways, taken);
	for (unsigned w = 0; w < ways; w++) {
		kept = true;
		if (taken[w])
			continue;
		route = way_gone(path, remote);
		if (!route)
			route = slot_find(path);
		if (!route)
			break;
		forsake(path, route);
		way_begin(path, route, kind, remote, &way[w]);
	}
	for (unsigned i = 0; i < path->routes; i++) {
		route = path->route[i];
		if (!is_to(route, remote) || route->way)
			continue;
		forsake(path, route);
		if (kept)
			memset(route, 0, sizeof(*route));
		else
			way_begin(path, route, kind, remote, NULL);
		kept = true;
	}
}

bool ntmd_route_sync(struct ntmd_path *path)
{
	struct ntm_endpoint done[NTM_ROUTES_MAX];
	int active = path->active, second = path->second;
	unsigned count = 0, k;

	for (unsigned i = 0; i < path->routes; i++) {
		struct ntm_endpoint remote = path->route[i]->flow.remote;

		for (k = 0; k < count && !ntm_endpoint_equal(&done[k], &remote); k++)
			;
		if (!path->route[i]->kind || k < count)
			continue;
		done[count++] = remote;
		remote_sync(path, (enum ntm_route_kind)path->route[i]->kind, &remote);
	}
	sources_tell(path);
	if (path->active == active && path->second != second)
		ntmd_route_apply(path, path->active, path->second, path->unproven ? NTM_UNPROVEN_BYTES : 0);
	return path->active != active;
}

/* The best way's of those to this remote end. */
static struct ntmd_route *to_remote(struct ntmd_path *path, const struct ntm_endpoint *remote)
{
	struct ntmd_route *found = NULL;

	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (is_to(route, remote) &&
		    (!found || (route->way && (!found->way || route->rank < found->rank))))
			found = route;
	}
	return found;
}

struct ntmd_route *ntmd_route_add(struct ntmd_path *path, enum ntm_route_kind kind,
				  const struct ntm_endpoint *remote)
{
	struct ntmd_route *route = to_remote(path, remote);

	if (!route) {
		route = slot_find(path);
		if (!route)
			return NULL;
		forsake(path, route);
		way_begin(path, route, kind, remote, NULL);
		remote_sync(path, kind, remote);
		sources_tell(path);
		return to_remote(path, remote);
	}
	if (kind == NTM_ROUTE_RELAY || (route->kind != NTM_ROUTE_RELAY && kind < route->kind))
		for (unsigned i = 0; i < path->routes; i++)
			if (is_to(path->route[i], remote))
				path->route[i]->kind = (uint8_t)kind;
	return route;
}

struct ntmd_route *ntmd_route_seen(struct ntmd_path *path, const struct ntm_flow *from)
{
	struct ntmd_route *route = ntmd_route_find(path, from), *best;

	if (route)
		return route;
	best = ntmd_route_add(path, NTM_ROUTE_REFLEXIVE, &from->remote);
	route = ntmd_route_find(path, from);
	return route ? route : best;
}

void ntmd_route_relays_forget(struct ntmd_path *path)
{
	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind == NTM_ROUTE_RELAY && !ntmd_relay_bind_serves(path, path->route[i]))
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
	return route->way && route->flow.udp &&
	       (route->kind != NTM_ROUTE_RELAY || ntmd_relay_bind_serves(path, route));
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
	ntmd_route_retry_soon(path);
	for (unsigned k = 0; k < count; k++)
		if (candidate[k].kind > NTM_ROUTE_NONE && candidate[k].kind < NTM_ROUTE_REFLEXIVE &&
		    ntm_addr_is_usable(&candidate[k].endpoint.addr))
			ntmd_route_add(path, (enum ntm_route_kind)candidate[k].kind, &candidate[k].endpoint);
	sources_tell(path);
}

void ntmd_route_each_usable(struct ntmd_path *path,
			    void (*each)(struct ntmd_path *path, struct ntmd_route *route, void *arg),
			    void *arg)
{
	for (int kind = NTM_ROUTE_NONE + 1; kind < NTM_ROUTE_KINDS; kind++)
		for (unsigned i = 0; i < path->routes; i++)
			if ((int)path->route[i]->kind == kind && ntmd_route_usable(path, path->route[i]))
				each(path, path->route[i], arg);
}

void ntmd_route_proven(struct ntmd_path *path, struct ntmd_route *route)
{
	char remote[NTM_ENDPOINT_TEXT], local[NTM_ADDR_TEXT];
	bool first = route->state != NTMD_ROUTE_PROVEN;

	route->state = NTMD_ROUTE_PROVEN;
	route->was_proven = true;
	route->heard_ms = ntm_loop_now_ms();
	if (first) {
		if (route->kind == NTM_ROUTE_REFLEXIVE && path->move)
			path->move->seen_in_vain = 0;
		ntmd_path_mtu_start(path, route);
		ntmd_event(path->ntmd, "route_proven", "peer", path->cn->fqdn, "route",
			   ntm_route_name(route->kind), "remote",
			   ntm_endpoint_format(&route->flow.remote, remote), "local",
			   ntm_addr_format(&route->flow.local, local), NULL);
	}
	ntmd_route_select(path);
}

void ntmd_route_failed(struct ntmd_path *path, struct ntmd_route *route)
{
	int i = ntmd_route_index(path, route);
	bool in_use = path->active == i || path->second == i;

	route->state = NTMD_ROUTE_FAILED;
	route->nonce = 0;
	if (!in_use) {
		/* The peer was seen there and never answered: a copied packet, perhaps. Nobody is to be asked
		 * there again. */
		if (route->kind == NTM_ROUTE_REFLEXIVE && !route->rtt.srtt_us && !route->mtu.proven) {
			clear(path, route);
			sources_tell(path);
			ntmd_handover_seen_in_vain(path);
		}
		return;
	}
	ntmd_event(path->ntmd, "route_failed", "peer", path->cn->fqdn, "route", ntm_route_name(route->kind),
		   NULL);
	ntmd_route_select(path);
}

/* ---- choosing */

void ntmd_route_apply(struct ntmd_path *path, int active, int second, uint64_t unproven_bytes)
{
	path->active = active;
	path->second = second;
	path->unproven = unproven_bytes > 0;
	ntmd_engine_path_route_set(path->engine, active < 0 ? NULL : &path->route[active]->flow,
				   second < 0 ? NULL : &path->route[second]->flow, unproven_bytes);
	ntmd_path_mtu_apply(path);
}

/* Since the peer moved last it has asked this way: the network it prefers, not one that stands by there. */
static bool is_wished(const struct ntmd_path *path, const struct ntmd_route *route)
{
	return route->wished == (uint32_t)path->update_seen;
}

/*
 * The network that we prefer, the one that the peer does; then lower kinds are shorter; the relay where our
 * leg is; of one kind the one in use, unless another is much nearer.
 */
static bool is_better(const struct ntmd_path *path, const struct ntmd_route *a, const struct ntmd_route *b)
{
	uint32_t nearer;

	if (!b)
		return true;
	if (a->rank != b->rank)
		return a->rank < b->rank;
	if (is_wished(path, a) != is_wished(path, b))
		return is_wished(path, a);
	if (a->kind != b->kind)
		return a->kind < b->kind;
	if (a->kind == NTM_ROUTE_RELAY && ntmd_relay_bind_is_leg(path, a) != ntmd_relay_bind_is_leg(path, b))
		return ntmd_relay_bind_is_leg(path, a);
	nearer = b->rtt.srtt_us;
	if (path->active >= 0 && path->route[path->active] == b)
		nearer = nearer / 4 * 3;
	else if (path->active >= 0 && path->route[path->active] == a)
		nearer += nearer / 3;
	return a->rtt.srtt_us && b->rtt.srtt_us && a->rtt.srtt_us < nearer;
}

/* Of what is known of a route before it works. */
bool ntmd_route_outranks_active(const struct ntmd_path *path, const struct ntmd_route *route)
{
	const struct ntmd_route *active = path->active < 0 ? NULL : path->route[path->active];

	return !active || route->rank < active->rank ||
	       (route->rank == active->rank && route->kind < active->kind);
}

struct ntmd_route *ntmd_route_best(struct ntmd_path *path, enum ntmd_route_state state)
{
	struct ntmd_route *found = NULL;

	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (route->kind && route->state == state && is_better(path, route, found) &&
		    ntmd_route_usable(path, route))
			found = route;
	}
	return found;
}

void ntmd_route_interrupted(struct ntmd_path *path, const char *why)
{
	path->interrupted = NTMD_PATH_INTERRUPTED;
	path->why = why;
}

/* TCP need not wait for its timers: by a guess, and once more by the route that is proven. */
void ntmd_route_resume(struct ntmd_path *path, int now)
{
	if (path->interrupted == NTMD_PATH_INTERRUPTED || (path->interrupted && now == NTMD_PATH_WHOLE))
		ntmd_engine_path_resume(path->engine);
	if (path->interrupted)
		path->interrupted = now;
}

/* A peer could tell its DC somebody else's address, and then send nothing more itself. */
static bool is_bounded(const struct ntmd_route *route)
{
	return route->kind == NTM_ROUTE_REFLEXIVE || (route->kind != NTM_ROUTE_RELAY && !route->was_proven);
}

/* No way is proven. Try all again, and meanwhile send by the best guess and by the relay. */
static void guess(struct ntmd_path *path)
{
	struct ntmd_route *route = ntmd_route_best(path, NTMD_ROUTE_PROBING), *relay = NULL;

	if (!route) {
		ntmd_route_apply(path, -1, -1, 0);
		/* Without a network there is nothing to ask for: ifmon.c tells when there is one. */
		if (ntmd_route_best(path, NTMD_ROUTE_FAILED) || ntmd_route_best(path, NTMD_ROUTE_IDLE))
			ntmd_direction_again(path->cn, NTM_REASON_LOST);
		return;
	}
	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind == NTM_ROUTE_RELAY && path->route[i]->state != NTMD_ROUTE_FAILED &&
		    ntmd_route_usable(path, path->route[i]))
			relay = path->route[i];
	if (relay == route)
		relay = NULL;
	ntmd_route_resume(path, NTMD_PATH_GUESSED);
	ntmd_route_apply(path, ntmd_route_index(path, route), relay ? ntmd_route_index(path, relay) : -1,
			 is_bounded(route) ? NTM_UNPROVEN_BYTES : 0);
}

/*
 * A better network's relay is proven, and its direct routes are still being asked, or perhaps not known yet:
 * the one in use will do for a moment.
 */
static bool may_wait(struct ntmd_path *path, const struct ntmd_route *relay)
{
	struct ntmd_route *active = path->active < 0 ? NULL : path->route[path->active];

	if (relay->kind != NTM_ROUTE_RELAY || !active || active->kind == NTM_ROUTE_RELAY ||
	    active->rank == relay->rank || active->state != NTMD_ROUTE_PROVEN || path->interrupted ||
	    !ntmd_route_usable(path, active))
		return false;
	if (ntm_loop_now_ms() < path->ntmd->networks_ms + NTMD_NETWORK_WAIT_MS) {
		ntmd_route_wait(path);
		return true;
	}
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (route->kind && route->kind != NTM_ROUTE_RELAY && route->rank == relay->rank &&
		    route->state == NTMD_ROUTE_PROBING && route->tries < WAIT_TRIES &&
		    ntmd_route_usable(path, route))
			return true;
	}
	return false;
}

/* The peer sends to another network of ours, or to whichever it found first. */
static bool is_news(const struct ntmd_path *path, const struct ntmd_route *route)
{
	struct ntmd *ntmd = path->ntmd;
	unsigned to;

	if (ntmd->real.networks < 2)
		return false;
	if (!path->move || ntm_addr_is_none(&path->move->announced))
		return true;
	/* By another family of the same network is none. */
	to = ntmd_real_address_interface(ntmd, &path->move->announced);
	return !to || to != ntmd_real_address_interface(ntmd, &route->flow.local);
}

/* Who interrupted the path has said why; otherwise this one is better than the one before. */
static void why_set(struct ntmd_path *path, const struct ntmd_route *route)
{
	const struct ntmd_route *before = path->active < 0 ? NULL : path->route[path->active];

	if (path->interrupted || !before)
		return;
	if (before->state != NTMD_ROUTE_PROVEN)
		path->why = "it was proven first";
	else if (route->rank != before->rank)
		path->why = route->rank < before->rank ? "this network is preferred, and works"
						       : "its network is preferred now";
	else if (route->kind != before->kind)
		path->why = "it is shorter, and works";
	else
		path->why = "it is nearer";
}

void ntmd_route_select(struct ntmd_path *path)
{
	struct ntmd_route *route = ntmd_route_best(path, NTMD_ROUTE_PROVEN);
	char remote[NTM_ENDPOINT_TEXT], local[NTM_ADDR_TEXT], ms[32];

	if (!route) {
		guess(path);
		return;
	}
	if (may_wait(path, route))
		return;
	if (path->update_us) {
		snprintf(ms, sizeof(ms), "%.3f", (double)(ntm_loop_now_us() - path->update_us) / 1000);
		ntmd_event(path->ntmd, "handover_done", "peer", path->cn->fqdn, "route",
			   ntm_route_name(route->kind), "#ms", ms, NULL);
		path->update_us = 0;
	}
	if (path->active == ntmd_route_index(path, route) && path->second < 0 && !path->interrupted)
		return;
	if (path->active != ntmd_route_index(path, route)) {
		ntm_info("packets to %s go by %s, %s", path->cn->fqdn, ntm_route_name(route->kind),
			 ntm_endpoint_format(&route->flow.remote, remote));
		why_set(path, route);
		ntmd_event(path->ntmd, "route_changed", "peer", path->cn->fqdn, "route",
			   ntm_route_name(route->kind), "remote",
			   ntm_endpoint_format(&route->flow.remote, remote), "local",
			   ntm_addr_format(&route->flow.local, local), "why",
			   path->why ? path->why : "it is the first that works", NULL);
		path->rtt = route->rtt;
		if (!route->mtu.proven) /* a network that stood by is not asked for sizes */
			ntmd_path_mtu_start(path, route);
	}
	ntmd_route_resume(path, NTMD_PATH_WHOLE);
	/* First: the peer is to know why packets come from elsewhere. */
	if (path->state == NTMD_PATH_UP && is_news(path, route))
		ntmd_route_announce(path, route);
	else if (path->move)
		path->move->announced = route->flow.local;
	ntmd_route_apply(path, ntmd_route_index(path, route), -1, 0);
}

void ntmd_route_tell(struct ntmd_path *path)
{
	struct ntmd_route *route = path->active < 0 ? NULL : path->route[path->active];

	if (route && route->state == NTMD_ROUTE_PROVEN && is_news(path, route))
		ntmd_route_announce(path, route);
}

static struct json_object *interface_json(const struct ntmd *ntmd, const struct ntmd_route *route)
{
	const struct ntmd_network *network = ntmd_network_find(ntmd, route->flow.ifindex);

	return network ? json_object_new_string(network->name) : NULL;
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
		json_object_object_add(
			o, "remote", json_object_new_string(ntm_endpoint_format(&route->flow.remote, text)));
		json_object_object_add(
			o, "local",
			ntm_addr_is_none(&route->flow.local)
				? NULL
				: json_object_new_string(ntm_addr_format(&route->flow.local, text)));
		json_object_object_add(o, "interface", interface_json(path->ntmd, route));
		json_object_object_add(o, "state", json_object_new_string(state[route->state]));
		json_object_object_add(o, "active", json_object_new_boolean((int)i == path->active));
		json_object_object_add(o, "mtu", json_object_new_int64(ntmd_path_mtu_inner(path, route)));
		json_object_object_add(o, "rtt_us",
				       route->rtt.srtt_us ? json_object_new_int64(route->rtt.srtt_us) : NULL);
		json_object_array_add(array, o);
	}
	return array;
}
