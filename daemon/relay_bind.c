/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_bind.c - our leg of each path at its standby RS: bound when the path is directed, bound again when we
 * move, kept by one Keep Alive for all paths of an RS endpoint. Packets: lib/bind.c; other end: rs/relay.c.
 */
#include "bind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define OLD_LEG_MS 900 /* the RS takes packets from the old place of a leg for so long (rs/path.h) */
/* Another RS for longer: until its DC withdraws the path (NTM_KEY_DRAIN_S) */
#define OLD_RELAY_MS NTM_HANDSHAKE_TIMEOUT_MS
#define KEEPALIVE_AGAIN_MS 1000 /* after one that was not acknowledged */
#define SILENT_AGAIN_MS 5000 /* the relay is silent, but relays on */
/* All legs at a relay are bound again not more than once in so long, whatever it is said to say */
#define REBIND_MS 1000

/* ---- endpoints of relays, shared by their paths */

/* To the RS; without a socket if there is none. */
static struct ntm_flow leg_flow(const struct ntmd_path *path)
{
	const struct ntmd_bind *bind = &path->bind;
	struct ntm_flow flow = { 0 };

	if (!bind->relay)
		return flow;
	flow = ntmd_flow_to(path->ntmd, &bind->relay->endpoint);
	flow.local = bind->way.local;
	flow.ifindex = bind->way.ifindex;
	return flow;
}

/* The route that the leg serves; NULL: none. */
static struct ntmd_route *route_of(struct ntmd_path *path)
{
	struct ntm_flow flow = leg_flow(path);

	return flow.udp ? ntmd_route_find(path, &flow) : NULL;
}

static struct ntmd_path *bound_path(const struct ntmd_relay *relay)
{
	struct ntmd_path *path;

	LIST_FOREACH(path, &relay->ntmd->path, next)
		if (path->bind.relay == relay && path->bind.state == NTMD_BIND_BOUND)
			return path;
	return NULL;
}

/* By its legs, before it is given up: what answers there came through it. */
static void legs_ask(const struct ntmd_relay *relay)
{
	struct ntmd_path *path;

	LIST_FOREACH(path, &relay->ntmd->path, next) {
		struct ntmd_route *route = path->bind.relay == relay ? route_of(path) : NULL;

		if (route && route->state == NTMD_ROUTE_PROVEN)
			ntmd_route_challenge(path, route);
	}
}

/* XDP relays on while ntm-rs is dead or starts again: then a leg that is bound is as good as before. */
static bool leg_goes_on(struct ntmd_path *path, const struct ntmd_route *route)
{
	int64_t since_ms = ntm_loop_now_ms() - NTM_KEEPALIVE_MISSES * KEEPALIVE_AGAIN_MS;
	struct ntmd_engine_stats stats;

	if (path->bind.state != NTMD_BIND_BOUND || !route || route->state != NTMD_ROUTE_PROVEN)
		return false;
	if (route->heard_ms >= since_ms)
		return true;
	if (path->active != ntmd_route_index(path, route))
		return false;
	ntmd_engine_path_stats(path->engine, &stats);
	return stats.last_rx_ms >= since_ms;
}

static void relay_silent(struct ntmd_relay *relay)
{
	relay->misses = 0;
	relay->keepalive_counter = 0;
	if (relay->silent)
		return;
	relay->silent = true;
	ntm_warn("relay %s does not answer", relay->name);
	ntmd_event(relay->ntmd, "relay_lost", "relay", relay->name, NULL);
}

static void relay_lost(struct ntmd_relay *relay)
{
	struct ntmd_path *path, *next;

	relay_silent(relay);
	for (path = LIST_FIRST(&relay->ntmd->path); path; path = next) {
		struct ntmd_route *route;

		next = LIST_NEXT(path, next);
		if (path->bind.relay != relay)
			continue;
		route = route_of(path);
		if (leg_goes_on(path, route)) {
			ntm_timer_set_ms(relay->keepalive, SILENT_AGAIN_MS);
			continue;
		}
		path->bind.first++;
		ntmd_relay_bind_start(path); /* perhaps by the other family */
		if (route && route->state == NTMD_ROUTE_PROVEN)
			ntmd_route_failed(path, route);
		ntmd_direction_again(path->cn, NTM_REASON_HANDOVER); /* the DC may know another relay */
	}
}

static void on_keepalive(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_relay *relay = arg;
	struct ntmd_path *path = bound_path(relay);
	struct ntm_flow flow;
	struct ntm_bind bind;

	(void)fd;
	(void)what;
	if (!path)
		return; /* a bind starts it again */
	if (relay->keepalive_counter && ++relay->misses >= NTM_KEEPALIVE_MISSES) {
		relay_lost(relay);
		return;
	}
	if (relay->misses == NTM_KEEPALIVE_MISSES - 1)
		legs_ask(relay);
	relay->keepalive_counter = ntmd_counter_next(relay->ntmd);
	relay->sent_us = ntm_loop_now_us();
	ntm_bind_request_build(&bind, NTM_BIND_KEEPALIVE, path->id, path->side, relay->keepalive_counter,
			       path->bind.leg_key);
	relay->keepalive_local = path->bind.way.local;
	flow = leg_flow(path);
	if (flow.udp)
		ntm_udp_send(&flow, &bind, sizeof(bind));
	ntm_timer_set_ms(relay->keepalive, KEEPALIVE_AGAIN_MS);
}

void ntmd_relay_bind_ask(struct ntmd *ntmd)
{
	struct ntmd_relay *relay;

	LIST_FOREACH(relay, &ntmd->relay, next)
		if (!relay->keepalive_counter)
			ntm_timer_set_ms(relay->keepalive, 0);
}

static void keepalive_rest(struct ntmd_relay *relay)
{
	relay->keepalive_counter = 0;
	relay->misses = 0;
	relay->silent = false;
	ntm_timer_set_ms(relay->keepalive, NTM_KEEPALIVE_S * 1000LL - ntm_crypto_random_below(2000));
}

static struct ntmd_relay *relay_get(struct ntmd *ntmd, const char *name, const struct ntm_endpoint *endpoint)
{
	struct ntmd_relay *relay;

	LIST_FOREACH(relay, &ntmd->relay, next)
		if (ntm_endpoint_equal(&relay->endpoint, endpoint)) {
			relay->users++;
			return relay;
		}
	relay = calloc(1, sizeof(*relay));
	if (!relay)
		return NULL;
	relay->keepalive = ntm_timer_new(ntmd->loop.base, on_keepalive, relay);
	if (!relay->keepalive) {
		free(relay);
		return NULL;
	}
	relay->ntmd = ntmd;
	relay->endpoint = *endpoint;
	relay->users = 1;
	snprintf(relay->name, sizeof(relay->name), "%s", name);
	LIST_INSERT_HEAD(&ntmd->relay, relay, next);
	return relay;
}

static void relay_put(struct ntmd_relay *relay)
{
	if (!relay || --relay->users)
		return;
	LIST_REMOVE(relay, next);
	event_free(relay->keepalive);
	free(relay);
}

/* ---- the leg of one path */

static void bind_send(struct ntm_transaction *transaction, void *arg)
{
	struct ntmd_path *path = arg;
	struct ntmd_bind *bind = &path->bind;
	struct ntm_flow flow = leg_flow(path);
	struct ntm_bind packet;

	(void)transaction;
	if (!flow.udp)
		return;
	bind->counter = ntmd_counter_next(path->ntmd);
	if (bind->state == NTMD_BIND_ECHOED)
		ntm_bind_echo_build(&packet, bind->echo, bind->counter, bind->leg_key);
	else
		ntm_bind_request_build(&packet, NTM_BIND_REQUEST, path->id, path->side, bind->counter,
				       bind->leg_key);
	ntm_udp_send(&flow, &packet, sizeof(packet));
}

static void bind_timeout(struct ntm_transaction *transaction, void *arg)
{
	struct ntmd_path *path = arg;

	(void)transaction;
	ntm_info("relay %s does not bind our leg to %s", path->bind.name, path->cn->fqdn);
	path->bind.state = NTMD_BIND_NONE; /* keepalive.c tries again */
	path->bind.first++;
	if (path->state == NTMD_PATH_UP)
		ntmd_direction_again(path->cn, NTM_REASON_HANDOVER);
}

/* 0 or -ENOMEM. A leg that is bound needs none. */
static int transaction_make(struct ntmd_path *path)
{
	struct ntmd_bind *bind = &path->bind;

	if (bind->transaction)
		return 0;
	bind->transaction = calloc(1, sizeof(*bind->transaction));
	if (!bind->transaction)
		return -ENOMEM;
	if (!ntm_transaction_init(bind->transaction, path->ntmd->loop.base, &bind->relay->rtt, bind_send,
				  bind_timeout, path))
		return 0;
	free(bind->transaction);
	bind->transaction = NULL;
	return -ENOMEM;
}

static void transaction_end(struct ntmd_bind *bind)
{
	if (bind->transaction)
		ntm_transaction_clear(bind->transaction);
	free(bind->transaction);
	bind->transaction = NULL;
}

/* An endpoint of the RS and a way to it. */
struct choice {
	const struct ntm_endpoint *server;
	struct ntmd_way way;
};

/* All of them, the preferred networks first; how many. */
static unsigned choices_find(const struct ntmd_path *path,
			     struct choice choice[NTM_SERVERS_MAX * NTMD_WAYS_MAX])
{
	const struct ntmd_bind *bind = &path->bind;
	struct ntmd_way way[NTMD_WAYS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < bind->servers && i < NTM_SERVERS_MAX; i++) {
		unsigned ways = ntmd_route_ways(path->ntmd, &bind->server[i], way);

		for (unsigned w = 0; w < ways; w++) {
			unsigned at = count++;

			for (; at && choice[at - 1].way.rank > way[w].rank; at--)
				choice[at] = choice[at - 1];
			choice[at] = (struct choice){ &bind->server[i], way[w] };
		}
	}
	return count;
}

/* After a failure it begins with the next. */
static void endpoint_choose(struct ntmd_path *path)
{
	struct choice choice[NTM_SERVERS_MAX * NTMD_WAYS_MAX];
	unsigned count = choices_find(path, choice);
	struct ntmd_bind *bind = &path->bind;
	struct ntmd_relay *old = bind->relay;

	/* Until the leg has moved, the RS sends to the old place, and takes from both. */
	if (old && bind->state == NTMD_BIND_BOUND) {
		if (!bind->old)
			bind->old = malloc(sizeof(*bind->old));
		if (bind->old)
			*bind->old = leg_flow(path);
		bind->old_until_ms = ntm_loop_now_ms() + OLD_RELAY_MS;
	}
	bind->relay = NULL;
	if (count) {
		const struct choice *chosen = &choice[bind->first % count];

		bind->way = chosen->way;
		bind->relay = relay_get(path->ntmd, bind->name, chosen->server);
		/* A first guess: it is hardly farther than the peer. */
		if (bind->relay && !bind->relay->rtt.srtt_us)
			bind->relay->rtt = path->rtt;
	}
	relay_put(old);
	if (bind->relay)
		ntmd_route_add(path, NTM_ROUTE_RELAY, &bind->relay->endpoint);
}

static bool is_by(const struct ntmd_route *route, const struct ntm_flow *flow)
{
	return ntm_endpoint_equal(&route->flow.remote, &flow->remote) &&
	       ntm_addr_equal(&route->flow.local, &flow->local);
}

bool ntmd_relay_bind_serves(const struct ntmd_path *path, const struct ntmd_route *route)
{
	const struct ntmd_bind *bind = &path->bind;
	struct ntm_flow flow = leg_flow(path);

	if (ntmd_relay_bind_asked(path) && is_by(route, &flow))
		return true;
	return bind->old && ntm_loop_now_ms() < bind->old_until_ms && is_by(route, bind->old);
}

bool ntmd_relay_bind_is_leg(const struct ntmd_path *path, const struct ntmd_route *route)
{
	struct ntm_flow flow = leg_flow(path);

	return is_by(route, &flow);
}

bool ntmd_relay_bind_is_named(const struct ntmd_bind *bind, const struct ntm_endpoint *remote)
{
	for (unsigned i = 0; i < bind->servers; i++)
		if (ntm_endpoint_equal(&bind->server[i], remote))
			return true;
	return false;
}

void ntmd_relay_bind_rest(struct ntmd_path *path)
{
	if (ntm_loop_now_ms() < path->bind.old_until_ms)
		return;
	free(path->bind.old);
	path->bind.old = NULL;
}

bool ntmd_relay_bind_is_stale(const struct ntmd_path *path)
{
	struct choice choice[NTM_SERVERS_MAX * NTMD_WAYS_MAX];
	const struct ntmd_bind *bind = &path->bind;
	unsigned count = choices_find(path, choice);

	if (!bind->relay || !count)
		return bind->relay || count;
	for (unsigned i = 0; i < count && choice[i].way.rank == choice[0].way.rank; i++)
		if (ntm_endpoint_equal(choice[i].server, &bind->relay->endpoint) &&
		    ntm_addr_equal(&choice[i].way.local, &bind->way.local))
			return false;
	return true;
}

void ntmd_relay_bind_start(struct ntmd_path *path)
{
	struct ntmd_bind *bind = &path->bind;

	transaction_end(bind);
	endpoint_choose(path);
	bind->state = NTMD_BIND_NONE;
	if (!bind->relay || transaction_make(path))
		return;
	bind->state = NTMD_BIND_ASKED;
	bind->asked_ms = ntm_loop_now_ms();
	ntm_transaction_start(bind->transaction, NTM_HANDSHAKE_TIMEOUT_MS);
}

/* Without memory the path has no standby RS. */
static void info_set(struct ntmd_bind *bind, const struct ntm_relay_info *info)
{
	size_t len = info->servers * sizeof(*bind->server);

	free(bind->name);
	free(bind->server);
	bind->servers = 0;
	bind->name = info->name[0] ? strdup(info->name) : NULL;
	bind->server = bind->name && len ? malloc(len) : NULL;
	if (!bind->server)
		return;
	memcpy(bind->server, info->server, len);
	bind->servers = info->servers;
}

static bool info_equal(const struct ntmd_bind *bind, const struct ntm_relay_info *info)
{
	return !strcmp(bind->name ? bind->name : "", info->name) && bind->servers == info->servers &&
	       (!bind->servers || !memcmp(bind->server, info->server, bind->servers * sizeof(*bind->server)));
}

void ntmd_relay_bind_set(struct ntmd_path *path, const struct ntm_relay_info *info)
{
	struct ntmd_bind *bind = &path->bind;
	uint8_t leg_key[NTM_KEY_LEN];
	bool same;

	ntm_bind_leg_key(leg_key, path->ck, path->id, path->side);
	same = info_equal(bind, info) && ntm_crypto_equal(bind->leg_key, leg_key, NTM_KEY_LEN);
	memcpy(bind->leg_key, leg_key, NTM_KEY_LEN);
	ntm_crypto_wipe(leg_key, sizeof(leg_key));
	if (same && bind->state != NTMD_BIND_NONE)
		return;
	/*
	 * The leg at the relay before stays until this one is proven, and its routes longer: the peer may
	 * learn of the change later, and what it still sends by that relay must not look like a shorter way.
	 */
	ntmd_route_relays_forget(path);
	info_set(bind, info);
	bind->first = 0;
	bind->has_token = false;
	ntmd_relay_bind_start(path);
}

void ntmd_relay_bind_clear(struct ntmd_path *path)
{
	struct ntmd_bind *bind = &path->bind;

	transaction_end(bind);
	relay_put(bind->relay);
	free(bind->echo);
	free(bind->old);
	free(bind->name);
	free(bind->server);
	ntm_crypto_wipe(bind, sizeof(*bind));
}

static void bound(struct ntmd_path *path, const struct ntm_bind *ack)
{
	struct ntmd_bind *bind = &path->bind;
	struct ntmd_relay *relay = bind->relay;
	struct ntmd_route *route;

	transaction_end(bind);
	free(bind->echo);
	bind->echo = NULL;
	bind->state = NTMD_BIND_BOUND;
	memcpy(bind->reset_token, ntm_bind_reset_token(ack), NTM_MAC_LEN);
	bind->has_token = true;
	if (!event_pending(relay->keepalive, EV_TIMEOUT, NULL))
		keepalive_rest(relay);
	ntmd_event(path->ntmd, "relay_bound", "peer", path->cn->fqdn, "relay", relay->name, NULL);
	ntmd_tunnel_kick(path);
	if (bind->old && ntmd_relay_bind_is_named(bind, &bind->old->remote))
		bind->old_until_ms = ntm_loop_now_ms() + OLD_LEG_MS;
	route = route_of(path);
	if (route && path->state == NTMD_PATH_UP)
		ntmd_route_challenge(path, route);
	ntmd_path_watch_leg_bound(path, &relay->observed_local, relay->moved_ms);
}

/*
 * What happened to the leg of this path happened to all legs there. Somebody on the way could make us believe
 * so again and again. false: it was a moment ago.
 */
static bool others_rebind(struct ntmd_path *path)
{
	struct ntmd_relay *relay = path->bind.relay;
	int64_t now = ntm_loop_now_ms();
	struct ntmd_path *other;

	if (relay->rebound_ms && now - relay->rebound_ms < REBIND_MS)
		return false;
	relay->rebound_ms = now;
	LIST_FOREACH(other, &path->ntmd->path, next)
		if (other != path && other->bind.relay == relay && other->bind.state == NTMD_BIND_BOUND)
			ntmd_relay_bind_start(other);
	return true;
}

/* Where the RS sees us has changed without our doing: a NAT forgot. All legs there move. */
static void observed_check(struct ntmd_path *path, const struct ntm_bind *ack)
{
	struct ntmd_relay *relay = path->bind.relay;
	struct ntm_endpoint observed;
	bool changed;

	ntm_bind_observed(ack, &observed);
	/* Two networks are seen at two places; that is no change. */
	changed = !ntm_endpoint_is_none(&relay->observed) &&
		  !ntm_endpoint_equal(&relay->observed, &observed) &&
		  ntm_addr_equal(&relay->observed_local, &path->bind.way.local);
	if (changed && !others_rebind(path)) {
		ntm_timer_set_ms(relay->keepalive, REBIND_MS); /* look again then */
		return;
	}
	relay->observed = observed;
	relay->observed_local = path->bind.way.local;
	if (!changed)
		return;
	relay->moved_ms = ntm_loop_now_ms();
	ntmd_nat_mapping_relay(relay);
}

static int challenge_take(struct ntmd_path *path, const struct ntm_bind *challenge)
{
	struct ntmd_bind *bind = &path->bind;
	struct ntmd_route *route;

	if (!bind->echo)
		bind->echo = malloc(sizeof(*bind->echo));
	if (!bind->echo || transaction_make(path))
		return -NTM_DROP_LIMIT;
	*bind->echo = *challenge;
	ntm_transaction_answered(bind->transaction); /* measures the round trip */
	bind->state = NTMD_BIND_ECHOED;
	ntm_transaction_start(bind->transaction, NTM_HANDSHAKE_TIMEOUT_MS);
	/* Right behind the echo, which moves the leg: what answers the first question may have gone to the
	 * old place. */
	route = route_of(path);
	if (route && route->state == NTMD_ROUTE_PROBING)
		ntmd_route_challenge(path, route);
	return 0;
}

int ntmd_relay_bind_receive(struct ntmd *ntmd, const struct ntm_flow *from, const uint8_t *packet, size_t len)
{
	const struct ntm_bind *packet_bind;
	struct ntmd_relay *relay;
	struct ntmd_path *path;
	uint64_t counter;
	int err = ntm_bind_parse(&packet_bind, packet, len, NTM_BIND_FROM_RS);

	if (err)
		return err;
	path = ntmd_path_find(ntmd, ntm_header_id(&packet_bind->h));
	if (!path)
		return -NTM_DROP_PATH_UNKNOWN;
	relay = path->bind.relay;
	if (!relay || !ntm_endpoint_equal(&relay->endpoint, &from->remote))
		return -NTM_DROP_SOURCE;
	if (packet_bind->side != path->side)
		return -NTM_DROP_SIDE;
	if (!ntm_bind_verify(packet_bind, path->bind.leg_key))
		return -NTM_DROP_AUTH;
	counter = ntm_header_counter(&packet_bind->h);
	if (relay->keepalive_counter && counter == relay->keepalive_counter) {
		if (packet_bind->kind == NTM_BIND_ACK)
			ntm_rtt_add(&relay->rtt, (uint32_t)(ntm_loop_now_us() - relay->sent_us));
		keepalive_rest(relay);
	} else if (counter != path->bind.counter || path->bind.state == NTMD_BIND_NONE) {
		return -NTM_DROP_UNMATCHED;
	}
	if (packet_bind->kind == NTM_BIND_CHALLENGE)
		return challenge_take(path, packet_bind);
	/* What answers a Keep Alive tells nothing of a bind, and nothing of the network that we are in by
	 * now. */
	if (counter == path->bind.counter || ntm_addr_equal(&relay->keepalive_local, &path->bind.way.local))
		observed_check(path, packet_bind);
	if (counter == path->bind.counter && path->bind.state == NTMD_BIND_ECHOED)
		bound(path, packet_bind);
	return 0;
}

bool ntmd_relay_bind_reset(struct ntmd_path *path, const uint8_t token[NTM_MAC_LEN])
{
	struct ntmd_bind *bind = &path->bind;

	if (!bind->has_token || !ntm_crypto_equal(bind->reset_token, token, NTM_MAC_LEN))
		return false;
	if (bind->state != NTMD_BIND_BOUND)
		return true; /* at it already */
	ntm_info("relay %s has lost the path to %s", bind->name, path->cn->fqdn);
	ntmd_event(path->ntmd, "relay_reset", "peer", path->cn->fqdn, "relay", bind->name, NULL);
	/* It was restarted, most likely: all legs there are gone. Its DC directs them again, and if data goes
	 * there it is told to do so now; the transactions go on trying. */
	if (path->active >= 0 && path->route[path->active]->kind == NTM_ROUTE_RELAY)
		ntmd_direction_again(path->cn, NTM_REASON_HANDOVER);
	others_rebind(path); /* those that it skips are told by resets of their own */
	ntmd_relay_bind_start(path);
	return true;
}
