/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * handover.c - our address changed, or the peer's did (paper A, section II.E; doc/PROTOCOL.md, "Handover").
 * The moved node proves its new address on the existing paths, by a Path Update on every way at once;
 * registration and a new direction go on beside it.
 *
 *	ifmon.c -> ntmd_handover_network_changed -> session, Registration; each path: bind, Path Update
 *	peer's Path Update -> answer, challenge it, send to both places until one is proven -> route.c
 */
#include "log.h"
#include "path.h"

#include <stdio.h>
#include <string.h>

#include <ntm/drop.h>

#include "endpoint.h"
#include "stats.h"

/* Between two packets from unknown places that count; twice as long after each place that was none */
#define SEEN_MS 1000
#define SEEN_DOUBLED 6 /* times at most */
#define ADDRESSES_TEXT (NTM_REAL_ADDRS_MAX * NTM_ADDR_TEXT)

static void direct_unprove(struct ntmd_path *path, const struct ntmd_route *but)
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (route->kind && route != but) {
			route->state = NTMD_ROUTE_IDLE;
			route->nonce = 0;
			route->tries = 0;
		}
	}
}

static void reachable_note(struct ntmd_path *path, struct ntmd_route *route, void *arg)
{
	(void)path;
	(void)route;
	*(bool *)arg = true;
}

static bool is_reachable(struct ntmd_path *path)
{
	bool reachable = false;

	ntmd_route_each_usable(path, reachable_note, &reachable);
	return reachable;
}

/* By every way at once: nothing is known to work. */
static void move(struct ntmd_path *path, const char *why)
{
	char sequence[32];

	direct_unprove(path, NULL);
	ntmd_route_interrupted(path, why);
	if (path->move) {
		path->move->announce_nonce = 0;
		memset(&path->move->announced, 0, sizeof(path->move->announced));
	}
	if (!is_reachable(path)) {
		ntmd_route_apply(path, -1, -1, 0); /* no network: packets are held */
		return;
	}
	path->update_sent++;
	path->update_us = ntm_loop_now_us();
	if (ntmd_path_move(path))
		path->move->moved_us = path->update_us;
	ntmd_engine_path_expect(path->engine);
	path->keepalive_us = 0;
	path->misses = 0;
	ntmd_route_retry_soon(path);
	path->ntmd->handovers++;
	ntmd_event(path->ntmd, "path_update_sent", "peer", path->cn->fqdn, "#sequence",
		   ntmd_event_number(sequence, sizeof(sequence), path->update_sent), NULL);
	ntmd_route_probe(path); /* the Updates themselves */
	ntmd_route_select(path); /* nothing is proven: the best guess and the relay */
}

/* The network in use is gone, and there is another one that stood by. */
static bool switch_over(struct ntmd_path *path)
{
	struct ntmd_route *route = ntmd_route_best(path, NTMD_ROUTE_PROVEN);

	if (!route)
		return false;
	ntmd_route_interrupted(path, "the network before is gone, and this one stood by");
	ntmd_route_announce(path, route);
	ntmd_route_select(path);
	ntmd_route_probe(path);
	return true;
}

void ntmd_handover_path(struct ntmd_path *path)
{
	bool lost = ntmd_route_sync(path) || path->active < 0 ||
		    !ntmd_route_usable(path, path->route[path->active]);

	/* The request goes first: the RS then takes our packets from here. */
	if (path->bind.name && ntmd_relay_bind_is_stale(path)) {
		path->bind.first = 0; /* what failed before may work now */
		ntmd_relay_bind_start(path);
	}
	if (path->state != NTMD_PATH_UP) {
		ntmd_tunnel_kick(path);
		return;
	}
	if (!lost) {
		/* There may be a better network, and what failed before may work now */
		ntmd_route_probe(path);
		if (path->route[path->active]->state == NTMD_ROUTE_PROVEN)
			ntmd_route_select(path);
		return;
	}
	if (switch_over(path))
		return;
	move(path, "our network changed");
}

void ntmd_handover_route_dead(struct ntmd_path *path, int64_t since_ms)
{
	struct ntmd_route *dead = path->route[path->active], *next;

	ntm_info("%s does not answer by %s", path->cn->fqdn, ntm_route_name(dead->kind));
	ntmd_event(path->ntmd, "route_failed", "peer", path->cn->fqdn, "route", ntm_route_name(dead->kind),
		   NULL);
	path->misses = 0;
	path->keepalive_us = 0;
	/* What was proven before is not proven now. */
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (route->kind && route->state == NTMD_ROUTE_PROVEN &&
		    (route == dead || route->heard_ms < since_ms)) {
			route->state = NTMD_ROUTE_IDLE;
			route->nonce = 0;
		}
	}
	if (dead->kind == NTM_ROUTE_RELAY)
		ntmd_direction_again(path->cn, NTM_REASON_HANDOVER); /* the DC may know another relay */
	next = ntmd_route_best(path, NTMD_ROUTE_PROVEN);
	if (!next) {
		if (path->bind.name &&
		    path->bind.asked_ms < since_ms) /* a NAT of ours may have forgotten where the leg was */
			ntmd_relay_bind_start(path);
		move(path, "nothing else answered, and this does now");
		return;
	}
	ntmd_route_interrupted(path, "the route before does not answer, and this one does");
	ntmd_route_announce(path, next);
	ntmd_route_select(path);
	ntmd_route_probe(path);
}

void ntmd_handover_nat_forgot(struct ntmd_path *path)
{
	move(path, "a NAT of ours forgot us");
}

static const char *addresses_format(const struct ntmd *ntmd, char text[ADDRESSES_TEXT])
{
	char one[NTM_ADDR_TEXT];
	size_t len = 0;

	text[0] = 0;
	for (unsigned i = 0; i < ntmd->real.count; i++)
		len += (size_t)snprintf(text + len, ADDRESSES_TEXT - len, "%s%s", i ? " " : "",
					ntm_addr_format(&ntmd->real.addr[i], one));
	return text;
}

void ntmd_handover_network_changed(struct ntmd *ntmd)
{
	struct ntmd_real before = ntmd->real;
	struct ntm_addr local = { { 0 } };
	struct ntmd_path *path, *next;
	char addresses[ADDRESSES_TEXT];
	bool changed;

	ntmd_real_address_read(ntmd);
	changed = memcmp(&before, &ntmd->real, sizeof(before)) != 0;
	if (changed) {
		ntmd->networks_ms = ntm_loop_now_ms();
		ntmd_event(ntmd, "network_changed", "addresses", addresses_format(ntmd, addresses), NULL);
	}
	ntmd_route_ways_remember(ntmd, true);
	for (path = LIST_FIRST(&ntmd->path); path; path = next) {
		next = LIST_NEXT(path, next);
		ntmd_handover_path(path);
	}
	ntmd_route_ways_remember(ntmd, false);
	if (ntmd->dc.flow.udp && ntm_udp_source(&ntmd->dc.flow.remote, &local))
		memset(&local, 0, sizeof(local));
	if (!changed && ntm_addr_equal(&local, &ntmd->dc_local))
		return;
	ntmd->dc_local = local;
	ntm_info("the network has changed: %u real addresses", ntmd->real.count);
	ntm_session_kick(&ntmd->dc);
	ntmd_registration_start(ntmd);
	if (ntmd->dns)
		ntmd_dns_kick(ntmd->dns);
}

void ntmd_handover_arrived(struct ntmd_path *path)
{
	char ms[32];

	if (!path->move)
		return;
	snprintf(ms, sizeof(ms), "%.3f", (double)(ntm_loop_now_us() - path->move->moved_us) / 1000);
	ntmd_event(path->ntmd, "data_flows", "peer", path->cn->fqdn, "#ms", ms, NULL);
}

/* ---- the peer moves */

/*
 * Data goes to the new place at once, but only so much until it is proven, and to the old place too: a copied
 * or redirected packet can neither pull the traffic away nor multiply it.
 */
static void peer_moved(struct ntmd_path *path, struct ntmd_route *route, const char *why)
{
	int old = path->active, new = ntmd_route_index(path, route);
	uint64_t cap = route->kind == NTM_ROUTE_RELAY ? 0 : NTM_UNPROVEN_BYTES;

	direct_unprove(path, route);
	ntmd_route_interrupted(path, why);
	if (route->state == NTMD_ROUTE_PROVEN) {
		ntmd_route_select(path);
		return;
	}
	ntmd_route_resume(path, NTMD_PATH_GUESSED);
	ntmd_route_apply(path, new, old == new ? -1 : old, cap);
	ntmd_route_challenge(path, route);
	/* Whoever copied a packet cannot answer: then the old way answers, and is taken again. */
	if (old >= 0 && old != new)
		ntmd_route_challenge(path, path->route[old]);
}

/* Whoever copies packets cannot make us look for the peer everywhere all the time. */
static bool may_be_elsewhere(struct ntmd_path *path)
{
	struct ntmd_move *move = ntmd_path_move(path);
	int64_t now = ntm_loop_now_ms();

	if (!move || (move->seen_ms && now - move->seen_ms < (int64_t)SEEN_MS << move->seen_in_vain))
		return false;
	move->seen_ms = now;
	/* Also the next doubling, which comes when this place has failed. */
	if (move->keep_ms < now + ((int64_t)SEEN_MS << (move->seen_in_vain + 1)))
		move->keep_ms = now + ((int64_t)SEEN_MS << (move->seen_in_vain + 1));
	return true;
}

void ntmd_handover_seen_in_vain(struct ntmd_path *path)
{
	struct ntmd_move *move = ntmd_path_move(path);

	if (move && move->seen_in_vain < SEEN_DOUBLED)
		move->seen_in_vain++;
}

void ntmd_handover_peer_seen(struct ntmd_path *path, const struct ntm_flow *from)
{
	char remote[NTM_ENDPOINT_TEXT];
	struct ntmd_route *route;

	if (path->state != NTMD_PATH_UP || !may_be_elsewhere(path))
		return;
	route = ntmd_route_seen(path, from);
	if (!route)
		return;
	ntmd_event(path->ntmd, "peer_seen_elsewhere", "peer", path->cn->fqdn, "remote",
		   ntm_endpoint_format(&from->remote, remote), NULL);
	peer_moved(path, route, "the peer's packets come from there");
}

/*
 * The same move by another way, or again. A better way than the one guessed is taken. By the RS again: a leg
 * there moves a round trip after the first Update passed, and what answered that went to the old place.
 */
static void update_again(struct ntmd_path *path, struct ntmd_route *route)
{
	int index = ntmd_route_index(path, route), active = path->active;

	/* It is there; the place guessed may be that of somebody who was faster with a copy. */
	if (route->state == NTMD_ROUTE_PROVEN) {
		if (active >= 0 && active != index && path->second != index &&
		    path->route[active]->state != NTMD_ROUTE_PROVEN)
			ntmd_route_apply(path, active, index, path->unproven ? NTM_UNPROVEN_BYTES : 0);
		return;
	}
	if (active >= 0 && active != index && path->route[active]->state != NTMD_ROUTE_PROVEN &&
	    ntmd_route_outranks_active(path, route)) {
		ntmd_route_interrupted(path, path->why);
		ntmd_route_resume(path, NTMD_PATH_GUESSED);
		ntmd_route_apply(path, index,
				 path->second >= 0 && path->second != index ? path->second : active,
				 NTM_UNPROVEN_BYTES);
	} else if (active == index && route->kind == NTM_ROUTE_RELAY &&
		   path->interrupted == NTMD_PATH_GUESSED) {
		ntmd_route_interrupted(path, path->why);
		ntmd_route_resume(path, NTMD_PATH_GUESSED);
		ntmd_route_apply(path, active, path->second, 0);
	}
	ntmd_route_challenge(path, route);
}

void ntmd_handover_update_handle(struct ntmd_path *path, const struct ntm_flow *from,
				 const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	struct ntm_path_response response = { .observed = from->remote };
	struct ntmd_route *route = ntmd_route_seen(path, from);
	char remote[NTM_ENDPOINT_TEXT];
	struct ntm_path_update update;
	int n = ntm_msg_path_update_parse(&update, message->fields, message->len);

	if (n < 0) {
		ntm_drop_count(n);
		return;
	}
	if (update.sequence < path->update_seen) {
		ntm_drop_count(NTM_DROP_REPLAY);
		return;
	}
	response.nonce = update.nonce;
	if (route && route->kind == NTM_ROUTE_RELAY)
		memset(&response.observed, 0, sizeof(response.observed));
	n = ntm_msg_path_response_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					&response);
	ntmd_path_control_send(path, from, NTM_MSG_PATH_RESPONSE, message->transaction, body, (size_t)n);
	if (!route)
		return; /* no slot is left */
	route->wished = (uint32_t)update.sequence;
	if (update.sequence == path->update_seen) {
		update_again(path, route);
		return;
	}
	path->update_seen = update.sequence;
	ntmd_route_retry_soon(path);
	ntmd_event(path->ntmd, "peer_moved", "peer", path->cn->fqdn, "remote",
		   ntm_endpoint_format(&from->remote, remote), NULL);
	/* Where it was heard before says nothing about now, also if it is the same way again. */
	route->state = NTMD_ROUTE_IDLE;
	peer_moved(path, route, "the peer asked for it: its network changed");
}
