/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path.c - the paths that were directed: Path ID, CK, both ends, standby relay; and how they end: withdrawn
 * by an end, by removal of a member, by a newer path of the same two nodes, or with CK. Before it:
 * direction.c makes them, route_direction.c knows those of other DCs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "dc/dc.h"
#include "log.h"

#define CK_LIFETIME_MS (NTM_CK_LIFETIME_S * 1000LL)
#define RENEW_MS (CK_LIFETIME_MS / 4 * 3) /* age of CK at which the DC renews it by itself */
#define RENEWALS_A_TICK 64

static uint64_t id_hash(const struct dc *dc, uint64_t id)
{
	return id ^ dc->hash_seed; /* random by itself */
}

int dc_path_open(struct dc *dc)
{
	TAILQ_INIT(&dc->path_by_age);
	TAILQ_INIT(&dc->path_draining);
	return dc_table_init(&dc->path);
}

/* Paths go on without the DC: nothing is withdrawn. */
void dc_path_close(struct dc *dc)
{
	struct dc_path *path;

	for (unsigned i = 0; i < dc->relays; i++)
		dc->relay[i].alive = false;
	while ((path = TAILQ_FIRST(&dc->path_by_age)))
		dc_path_free(path);
	dc_table_clear(&dc->path);
}

struct dc_path *dc_path_find(struct dc *dc, uint64_t id)
{
	struct dc_table_link *link = dc_table_first(&dc->path, id_hash(dc, id));

	for (; link; link = dc_table_next(link)) {
		struct dc_path *path = dc_container(link, struct dc_path, by_id);

		if (path->id == id)
			return path;
	}
	return NULL;
}

uint64_t dc_path_id_draw(struct dc *dc)
{
	uint64_t id;

	do
		id = ntm_crypto_random_u64();
	while (!id || dc_path_find(dc, id));
	return id;
}

struct dc_path *dc_path_new(struct dc *dc, uint64_t id, const uint8_t ck[NTM_KEY_LEN])
{
	struct dc_path *path = calloc(1, sizeof(*path));

	if (!path)
		return NULL;
	path->dc = dc;
	path->id = id;
	path->made_ms = ntm_loop_now_ms();
	path->ck_ms = path->made_ms;
	memcpy(path->ck, ck, NTM_KEY_LEN);
	for (int side = 0; side < 2; side++)
		path->end[side].path = path;
	dc_table_add(&dc->path, &path->by_id, id_hash(dc, id));
	TAILQ_INSERT_TAIL(&dc->path_by_age, path, by_age);
	return path;
}

static void end_clear(struct dc_path_end *end)
{
	if (end->member) {
		LIST_REMOVE(end, by_member);
		end->member->paths--;
	}
	free(end->name);
	*end = (struct dc_path_end){.path = end->path};
}

int dc_path_end_set(struct dc_path *path, int side, struct dc_member *member, struct dc_other *other,
		    const char *name, const uint8_t public_key[NTM_KEY_LEN])
{
	struct dc_path_end *end = &path->end[side];
	char *copy = NULL;

	if (!member && !(copy = strdup(name)))
		return -ENOMEM;
	end_clear(end);
	end->member = member;
	end->other = other;
	end->name = copy;
	memcpy(end->public_key, public_key, NTM_KEY_LEN);
	if (member) {
		LIST_INSERT_HEAD(&member->path, end, by_member);
		member->paths++;
	}
	return 0;
}

const char *dc_path_end_name(const struct dc_path_end *end)
{
	return end->member ? end->member->fqdn : end->name ? end->name : "";
}

void dc_path_id_set(struct dc_path *path, uint64_t id)
{
	dc_table_remove(&path->dc->path, &path->by_id);
	path->id = id;
	dc_table_add(&path->dc->path, &path->by_id, id_hash(path->dc, id));
}

void dc_path_ck_set(struct dc_path *path, const uint8_t ck[NTM_KEY_LEN])
{
	if (ntm_crypto_equal(path->ck, ck, NTM_KEY_LEN))
		return;
	memcpy(path->ck, ck, NTM_KEY_LEN);
	path->ck_ms = ntm_loop_now_ms();
	path->renewed = false;
	TAILQ_REMOVE(&path->dc->path_by_age, path, by_age);
	TAILQ_INSERT_TAIL(&path->dc->path_by_age, path, by_age);
}

uint32_t dc_path_ck_left_s(const struct dc_path *path)
{
	int64_t left_ms = path->ck_ms + CK_LIFETIME_MS - ntm_loop_now_ms();

	return left_ms < 1000 ? 1 : (uint32_t)(left_ms / 1000);
}

/* ---- the standby relay */

static void drain_start(struct dc_path *path)
{
	if (path->drain_ms)
		TAILQ_REMOVE(&path->dc->path_draining, path, draining);
	path->drain_ms = ntm_loop_now_ms() + DC_DRAIN_MS;
	TAILQ_INSERT_TAIL(&path->dc->path_draining, path, draining);
}

void dc_path_relay_set(struct dc_path *path, struct dc_relay *relay)
{
	struct dc_relay *before = path->relay;

	if (relay == before)
		return;
	if (before) {
		dc_relay_direct_cancel(path);
		TAILQ_REMOVE(path->relay_directed ? &before->directed : &before->undirected, path, by_relay);
		before->paths--;
		/* back to the one before, when the new one did not come about, needs no withdrawal of it */
		if (path->old_relay && path->old_relay != relay)
			dc_relay_withdraw(path->old_relay, path->id);
		path->old_relay = before;
		drain_start(path);
	} else if (path->old_relay == relay) {
		path->old_relay = NULL;
	}
	path->relay = relay;
	path->relay_directed = true;
	if (relay) {
		TAILQ_INSERT_TAIL(&relay->directed, path, by_relay);
		relay->paths++;
	}
}

/* ---- ending */

void dc_path_free(struct dc_path *path)
{
	struct dc *dc = path->dc;

	if (path->direction)
		dc_direction_path_gone(path->direction);
	dc_relay_direct_cancel(path);
	if (path->route_request)
		ntm_session_cancel(path->route_request);
	if (path->relay) {
		dc_relay_withdraw(path->relay, path->id);
		TAILQ_REMOVE(path->relay_directed ? &path->relay->directed : &path->relay->undirected, path,
			     by_relay);
		path->relay->paths--;
	}
	if (path->old_relay)
		dc_relay_withdraw(path->old_relay, path->id);
	if (path->drain_ms)
		TAILQ_REMOVE(&dc->path_draining, path, draining);
	TAILQ_REMOVE(&dc->path_by_age, path, by_age);
	dc_table_remove(&dc->path, &path->by_id);
	for (int side = 0; side < 2; side++)
		end_clear(&path->end[side]);
	ntm_crypto_wipe(path->ck, sizeof(path->ck));
	free(path);
}

void dc_path_drain(struct dc_path *path)
{
	if (path->closing)
		return;
	path->closing = true;
	drain_start(path);
}

void dc_path_supersede(struct dc_path *path)
{
	int shorter = path->end[0].member ? 0 : 1;
	struct dc_path_end *end;

	if (path->end[0].member && path->end[1].member)
		shorter = path->end[0].member->paths > path->end[1].member->paths;
	LIST_FOREACH (end, &path->end[shorter].member->path, by_member) {
		struct dc_path_end *far = &end->path->end[end == &end->path->end[0]];

		if (end->path != path &&
		    !memcmp(far->public_key, path->end[!shorter].public_key, NTM_KEY_LEN))
			dc_path_drain(end->path);
	}
}

static void withdraw_done(void *arg, int err, const struct ntm_message *message,
			  const struct ntm_error_message *error)
{
	(void)arg;
	(void)message;
	/* Whoever cannot be told loses the path with CK, or when it asks for it again. */
	if (err)
		ntm_debug("a withdrawal was not acknowledged: %s", error ? error->text : strerror(-err));
}

static void withdraw_send(struct ntm_peer *peer, uint64_t path_id, uint8_t reason, const char *target)
{
	struct ntm_route_withdraw withdraw = {.path_id = path_id, .reason = reason};
	uint8_t body[DC_BODY_MAX];
	int n;

	strcpy(withdraw.target, target);
	n = ntm_msg_route_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw);
	if (n >= 0)
		ntm_session_request(peer, NTM_MSG_ROUTE_WITHDRAW, body, (size_t)n, NTM_REQUEST_TIMEOUT_MS,
				    withdraw_done, NULL, NULL);
}

void dc_path_withdraw(struct dc_path *path, int side, enum ntm_reason reason)
{
	struct dc_path_end *end = &path->end[side];

	if (end->member)
		withdraw_send(&end->member->actor.peer, path->id, (uint8_t)reason, "");
	else if (end->other)
		withdraw_send(&end->other->actor.peer, path->id, (uint8_t)reason, end->name);
}

/* Which end of the path the sender of a withdrawal speaks for; -1: none. */
static int side_of(const struct dc_path *path, const struct ntm_peer *peer)
{
	for (int side = 0; side < 2; side++) {
		const struct dc_path_end *end = &path->end[side];

		if ((end->member && &end->member->actor.peer == peer) ||
		    (end->other && &end->other->actor.peer == peer))
			return side;
	}
	return -1;
}

/* What the ends still say to each other, the TUNNEL_CLOSE above all, goes by the relay: that forgets the path
 * later. */
static void path_over(struct dc_path *path)
{
	if (!path->relay && !path->old_relay) {
		dc_path_free(path);
		return;
	}
	if (path->direction)
		dc_direction_path_gone(path->direction);
	if (path->route_request)
		ntm_session_cancel(path->route_request);
	path->route_request = NULL;
	dc_path_drain(path);
}

void dc_path_withdraw_handle(struct dc *dc, const struct ntm_session_from *from,
			     const struct ntm_message *message)
{
	struct ntm_route_withdraw withdraw;
	uint8_t body[NTM_MSG_HEADER_LEN];
	struct dc_path_end *far;
	struct dc_path *path;
	int side, drop = ntm_msg_route_withdraw_parse(&withdraw, message->fields, message->len);

	if (drop < 0) {
		dc_receive_malformed(dc, from, drop);
		return;
	}
	/* Repeated, or of a path that is none here: it is over, as the sender wants it. */
	ntm_session_answer(from, NTM_MSG_ROUTE_WITHDRAW_ACK, body, 0);
	path = dc_path_find(dc, withdraw.path_id);
	side = path ? side_of(path, from->peer) : -1;
	if (side < 0)
		return;
	far = &path->end[!side];
	if (path->end[side].other) {
		if (withdraw.target[0] && far->member && !strcmp(far->member->fqdn, withdraw.target))
			dc_path_withdraw(path, !side, withdraw.reason);
	} else if (far->other) {
		/* The node tells its peer by itself; the other DC forgets the path. */
		withdraw_send(&far->other->actor.peer, path->id, withdraw.reason, "");
	}
	dc_control_tell(dc, "withdrawn", dc_path_end_name(&path->end[side]), dc_path_end_name(far), NULL);
	path_over(path);
}

/* The old relay's part of a path that moved to another one, or the path itself. */
static void drained(struct dc_path *path)
{
	TAILQ_REMOVE(&path->dc->path_draining, path, draining);
	path->drain_ms = 0;
	if (path->old_relay)
		dc_relay_withdraw(path->old_relay, path->id);
	path->old_relay = NULL;
	if (path->closing)
		dc_path_free(path);
}

void dc_path_tick(struct dc *dc, int64_t now_ms)
{
	uint64_t renew[RENEWALS_A_TICK];
	struct dc_path *path, *next;
	unsigned renewals = 0;

	while ((path = TAILQ_FIRST(&dc->path_draining)) && path->drain_ms <= now_ms)
		drained(path);
	for (path = TAILQ_FIRST(&dc->path_by_age); path && path->ck_ms + RENEW_MS <= now_ms; path = next) {
		next = TAILQ_NEXT(path, by_age);
		if (path->ck_ms + CK_LIFETIME_MS <= now_ms) {
			dc_path_free(path);
		} else if (!path->renewed && !path->foreign && !path->closing && !path->direction &&
			   renewals < RENEWALS_A_TICK) {
			path->renewed = true;
			renew[renewals++] = path->id;
		}
	}
	/* Not above: it may free others, a direction of the same two nodes that it crosses. */
	for (unsigned i = 0; i < renewals; i++) {
		path = dc_path_find(dc, renew[i]);
		if (path)
			dc_direction_renew(path, NTM_REASON_RENEW);
	}
}
