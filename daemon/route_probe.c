/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * route_probe.c - asks on each route whether it works (doc/PROTOCOL.md, "Routes"), and tells the peer which
 * network of ours it is to use. What was found goes to route.c, which chooses. Messages: path_control.c.
 *
 * Three questions, all answered at once:
 *
 *	PATH_UPDATE	we have moved, or prefer another network: the peer is to send there
 *	PATH_CHALLENGE	a candidate, or a network that we would prefer; the peer asks back, and may send there
 *	KEEPALIVE	a network that stands by while a preferred one works: only we need to know
 */
#include <string.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define RETRY_MIN_MS 4000
#define RETRY_MAX_MS 120000
#define RETRY_TRIES 4
#define DOUBTS_MAX 3 /* a network that stands by has failed after so many questions */

bool ntmd_route_is_standby(const struct ntmd_path *path, const struct ntmd_route *route)
{
	const struct ntmd_route *active = path->active < 0 ? NULL : path->route[path->active];

	return active && active != route && active->state == NTMD_ROUTE_PROVEN && route->rank > active->rank;
}

static void update_send(struct ntmd_path *path, const struct ntmd_route *route, uint64_t nonce)
{
	struct ntm_path_update update = { .nonce = nonce, .sequence = path->update_sent };
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	int n = ntm_msg_path_update_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					  &update);

	ntmd_path_control_send(path, &route->flow, NTM_MSG_PATH_UPDATE, 0, body, (size_t)n);
}

static void question_send(struct ntmd_path *path, struct ntmd_route *route)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	struct ntm_challenge challenge;
	int n;

	/* One nonce for all tries: a late answer to an early one counts. */
	route->again = route->nonce;
	if (!route->nonce)
		route->nonce = ntm_crypto_random_u64() | 1;
	route->sent_us = ntm_loop_now_us();
	if (path->update_us) {
		update_send(path, route, route->nonce);
		return;
	}
	if (ntmd_route_is_standby(path, route)) {
		ntmd_path_control_send(path, &route->flow, NTM_MSG_KEEPALIVE_REQUEST, (uint32_t)route->nonce,
				       body, 0);
		return;
	}
	challenge = (struct ntm_challenge){ .nonce = route->nonce };
	n = ntm_msg_challenge_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &challenge);
	ntmd_path_control_send(path, &route->flow, NTM_MSG_PATH_CHALLENGE, 0, body, (size_t)n);
}

static void probe_timer_start(struct ntmd_path *path);

/* false: it has failed, or need not be asked. */
static bool ask_again(struct ntmd_path *path, struct ntmd_route *route)
{
	if (!route->kind || route->state != NTMD_ROUTE_PROBING)
		return false;
	if (route->tries++ >= NTM_PUNCH_TRIES) {
		ntmd_route_failed(path, route);
		return false;
	}
	if (ntmd_route_usable(path, route)) /* else its network, or the bind, may come in a moment */
		question_send(path, route);
	return true;
}

static bool announce_again(struct ntmd_path *path)
{
	struct ntmd_move *move = path->move;

	if (!move || !move->announce_nonce)
		return false;
	if (path->active < 0 || move->announce_tries++ >= NTM_PUNCH_TRIES) {
		move->announce_nonce = 0;
		return false;
	}
	update_send(path, path->route[path->active], move->announce_nonce);
	return true;
}

static void on_probe(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_path *path = arg;
	bool more = announce_again(path);

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < path->routes; i++)
		more = ask_again(path, path->route[i]) || more;
	more = more || ntm_loop_now_ms() < path->ntmd->networks_ms + NTMD_NETWORK_WAIT_MS;
	if (path->active >= 0 && path->route[path->active]->state == NTMD_ROUTE_PROVEN)
		ntmd_route_select(path); /* it may have waited for one of these */
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

void ntmd_route_wait(struct ntmd_path *path)
{
	probe_timer_start(path);
}

void ntmd_route_announce(struct ntmd_path *path, struct ntmd_route *route)
{
	struct ntmd_move *move = ntmd_path_move(path);
	char sequence[32];

	if (!move)
		return;
	path->update_sent++;
	move->announce_nonce = ntm_crypto_random_u64() | 1;
	move->announce_tries = 0;
	move->announced = route->flow.local;
	move->moved_us = ntm_loop_now_us();
	ntmd_engine_path_expect(path->engine);
	ntmd_route_retry_soon(path);
	path->ntmd->handovers++;
	ntmd_event(path->ntmd, "path_update_sent", "peer", path->cn->fqdn, "#sequence",
		   ntmd_event_number(sequence, sizeof(sequence), path->update_sent), "route",
		   ntm_route_name(route->kind), NULL);
	update_send(path, route, move->announce_nonce);
	probe_timer_start(path);
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

static void probe(struct ntmd_path *path, struct ntmd_route *route)
{
	if (route->state == NTMD_ROUTE_PROVEN)
		return;
	route->state = NTMD_ROUTE_IDLE;
	route->tries = 0;
	if (route->kind != NTM_ROUTE_RELAY ||
	    ntmd_route_usable(path, route)) /* relay_bind.c asks when there is a leg */
		ntmd_route_challenge(path, route);
}

/* The best kinds first: the peer takes the first Path Update that comes. */
void ntmd_route_probe(struct ntmd_path *path)
{
	for (int kind = NTM_ROUTE_NONE + 1; kind < NTM_ROUTE_KINDS; kind++)
		for (unsigned i = 0; i < path->routes; i++)
			if (path->route[i]->kind == kind)
				probe(path, path->route[i]);
}

static void answered(struct ntmd_path *path, struct ntmd_route *route)
{
	int64_t rtt = ntm_loop_now_us() - route->sent_us;

	route->nonce = 0;
	route->doubts = 0;
	if (!route->again) { /* sent once only (Karn) */
		ntm_rtt_add(&route->rtt, (uint32_t)rtt);
		if (path->active == ntmd_route_index(path, route))
			ntm_rtt_add(&path->rtt, (uint32_t)rtt);
	}
	ntmd_route_proven(path, route);
	/* How far it is path_watch.c must know, to tell soon that it does not work any more. */
	if (!route->rtt.srtt_us && ntmd_route_usable(path, route))
		question_send(path, route);
}

void ntmd_route_response(struct ntmd_path *path, const struct ntm_flow *from, uint64_t nonce)
{
	(void)from; /* it answers what we sent that way, wherever it came back */
	if (ntmd_path_mtu_response(path, nonce))
		return;
	if (path->move && path->move->announce_nonce && nonce == path->move->announce_nonce) {
		path->move->announce_nonce = 0;
		ntmd_event(path->ntmd, "peer_follows", "peer", path->cn->fqdn, NULL);
		return;
	}
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (!route->kind || !route->nonce || route->nonce != nonce)
			continue;
		answered(path, route);
		return;
	}
}

bool ntmd_route_keepalive_response(struct ntmd_path *path, uint32_t number)
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (!route->kind || !route->nonce || (uint32_t)route->nonce != number)
			continue;
		answered(path, route);
		return true;
	}
	return false;
}

void ntmd_route_upkeep(struct ntmd_path *path, int64_t now_ms)
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (!route->kind || route->state != NTMD_ROUTE_PROVEN ||
		    !ntmd_route_is_standby(path, route) || !ntmd_route_usable(path, route) ||
		    (!route->doubts && now_ms - route->heard_ms < NTM_KEEPALIVE_S * 1000LL))
			continue;
		if (route->doubts++ >= DOUBTS_MAX) {
			ntmd_route_failed(path, route);
			continue;
		}
		route->tries = route->doubts - 1;
		question_send(path, route);
	}
}

void ntmd_route_retry_soon(struct ntmd_path *path)
{
	if (path->move)
		path->move->retry_wait_ms = path->move->retry_ms = 0;
}

void ntmd_route_retry(struct ntmd_path *path, int64_t now_ms)
{
	struct ntmd_move *move = ntmd_path_move(path);
	bool works = path->active >= 0;

	if (!move || (works && path->route[path->active]->state != NTMD_ROUTE_PROVEN) ||
	    now_ms < move->retry_ms)
		return;
	/* Twice as long each time, with jitter: many paths may have failed at the same time. */
	move->retry_wait_ms = move->retry_wait_ms ? 2 * move->retry_wait_ms : RETRY_MIN_MS;
	if (move->retry_wait_ms > RETRY_MAX_MS)
		move->retry_wait_ms = RETRY_MAX_MS;
	move->retry_ms =
		now_ms + move->retry_wait_ms * 3 / 4 + ntm_crypto_random_below(move->retry_wait_ms / 2);
	if (move->keep_ms < move->retry_ms)
		move->keep_ms = move->retry_ms;
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (!route->kind || !ntmd_route_usable(path, route))
			continue;
		/* One that is not asked any more has failed, or either end has moved since: it may still
		 * work. */
		if (route->state != NTMD_ROUTE_FAILED && route->state != NTMD_ROUTE_IDLE)
			continue;
		/* When none works any will do: perhaps the network was away for a moment, and no DC is there
		 * to ask. */
		if (works && !ntmd_route_outranks_active(path, route))
			continue;
		ntmd_route_challenge(path, route);
		route->tries = NTM_PUNCH_TRIES - RETRY_TRIES;
	}
}
