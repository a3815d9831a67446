/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_place.c - with data threads: which path is in which shard (user_shard.h). All by the control loop.
 *
 * A path begins in the main engine, and stays there while it has no route. Then it goes to the shard with the
 * fewest paths, or to the one that has paths to the same endpoint (a relay) already: what comes from one
 * endpoint goes to one thread (bpf/steer.bpf.c says why). The main engine's tables have all paths; a shard's
 * have those that are in it, and of those to one virtual address only the one that has it now.
 *
 * No packet overtakes another of its flow on the way: the kernel is told first, so that nothing is added to
 * the old queues; what waits there is worked on where the path still is; then the path goes. All shards stand
 * still meanwhile. A packet for which the kernel has just chosen a queue, on another CPU, and that it has not
 * put there yet, can be late: then it goes by the control loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/steer.h"
#include "daemon/user_shard.h"
#include "endpoint.h"
#include "log.h"

#define TUN_ROUNDS 32 /* batches read from a device's queue: more than its 1000 packets */
#define UDP_ROUNDS 16 /* wake-ups' worth read from a socket: more than its buffer */

int ntmd_user_place_add(struct ntmd_engine_path *path)
{
	if (!path->engine->shards)
		return 0;
	path->local = calloc(1, sizeof(*path->local));
	if (!path->local)
		return -ENOMEM;
	path->local->path = path;
	return 0;
}

void ntmd_user_place_free(struct ntmd_engine_path *path)
{
	free(path->local);
	path->local = NULL;
}

/* ---- queues */

static void tun_drain(struct ntmd_engine *engine)
{
	if (engine->reading || (engine->shard && engine->shard->deaf))
		return;
	for (int i = 0; i < TUN_ROUNDS && ntmd_user_egress_read(engine); i++)
		;
}

static void udp_drain(struct ntmd_user_shard *shard)
{
	for (int family = 0; family < 2; family++)
		for (int i = 0; i < UDP_ROUNDS && shard->udp[family].fd >= 0; i++)
			if (!ntm_udp_read(&shard->udp[family]))
				break;
}

/* What fails here only makes packets go by the control loop. */
static void steer_vip(const struct ntmd_user_shards *shards, const struct ntm_addr *vip, unsigned number)
{
	int err = ntmd_steer_vip(shards->steer, vip, number);

	if (err)
		ntm_debug("cannot steer packets to data thread %u: %s", number, strerror(-err));
}

static void steer_end(const struct ntmd_user_shards *shards, const struct ntm_endpoint *end, unsigned number)
{
	int err = ntmd_steer_end(shards->steer, end, number);

	if (err)
		ntm_debug("cannot steer datagrams to data thread %u: %s", number, strerror(-err));
}

/* ---- addresses */

void ntmd_user_place_unmap(struct ntmd_engine_path *path, int family)
{
	struct ntmd_engine *engine = path->engine;

	if (!path->local || !path->local->by_vip[family].in)
		return;
	steer_vip(engine->main->shards, &path->vip[family], 0);
	tun_drain(engine);
	ntmd_user_table_remove(&engine->by_vip, &path->local->by_vip[family]);
}

/* Whether packets to this address of the peer's go by this path. */
static bool has_vip(const struct ntmd_engine_path *path, int family)
{
	return path->by_vip[family].in &&
	       ntmd_user_path_by_vip(path->engine->main, &path->vip[family]) == path;
}

void ntmd_user_place_mapped(struct ntmd_engine *main, const struct ntm_addr *vip)
{
	int family = !ntm_addr_is4(vip);
	struct ntmd_engine_path *winner, *path;

	if (!main->shards || ntm_addr_is_none(vip))
		return;
	winner = ntmd_user_path_by_vip(main, vip);
	for (path = winner; path; path = ntmd_user_path_by_vip_next(path, family)) {
		if (path == winner || !path->local->by_vip[family].in)
			continue;
		ntmd_user_lock(path->engine);
		ntmd_user_place_unmap(path, family);
		ntmd_user_unlock(path->engine);
	}
	if (winner && winner->engine->shard && !winner->local->by_vip[family].in)
		ntmd_user_place_want(winner);
}

/* ---- where to */

static uint64_t end_hash(const struct ntmd_user_table *ends, const struct ntm_endpoint *at)
{
	uint64_t word[2];

	memcpy(word, at->addr.b, sizeof(word));
	return ntmd_user_table_hash(ends, word[0], word[1] ^ at->port);
}

static struct ntmd_user_end *end_find(const struct ntmd_user_shards *shards, const struct ntm_endpoint *at)
{
	struct ntmd_user_link *link = ntmd_user_table_first(&shards->ends, end_hash(&shards->ends, at));

	for (; link; link = ntmd_user_table_next(link)) {
		struct ntmd_user_end *end = ntmd_user_entry(link, struct ntmd_user_end, link);

		if (ntm_endpoint_equal(&end->at, at))
			return end;
	}
	return NULL;
}

static void end_drop(struct ntmd_engine_path *path)
{
	struct ntmd_user_end *end = path->local->at;

	path->local->at = NULL;
	if (!end || --end->users)
		return;
	ntmd_user_table_remove(&path->engine->main->shards->ends, &end->link);
	free(end);
}

/* Without memory others do not know of it: what comes from there then goes by the control loop for some. */
static void end_take(struct ntmd_engine_path *path, struct ntmd_user_shard *to)
{
	struct ntmd_user_shards *shards = path->engine->main->shards;
	struct ntmd_user_end *end;

	end_drop(path);
	end = end_find(shards, &path->route.remote);
	if (!end) {
		end = calloc(1, sizeof(*end));
		if (!end)
			return;
		end->at = path->route.remote;
		end->shard = to;
		ntmd_user_table_insert(&shards->ends, &end->link, end_hash(&shards->ends, &end->at));
	}
	end->users++;
	path->local->at = end;
}

/* The shard that has this endpoint for another path; NULL: none. */
static struct ntmd_user_shard *shard_of(const struct ntmd_engine_path *but, const struct ntm_endpoint *at)
{
	const struct ntmd_user_end *end = end_find(but->engine->main->shards, at);

	return end && end->users > (but->local->at == end) ? end->shard : NULL;
}

static struct ntmd_user_shard *shard_choose(const struct ntmd_engine_path *path)
{
	const struct ntmd_user_shards *shards = path->engine->main->shards;
	struct ntmd_user_shard *best = shard_of(path, &path->route.remote);

	if (best || path->engine->shard)
		return best ? best : path->engine->shard;
	for (unsigned i = 0; i < shards->count; i++) {
		if (!shards->shard[i]->running)
			continue;
		if (!best || shards->shard[i]->paths + shards->shard[i]->coming < best->paths + best->coming)
			best = shards->shard[i];
	}
	return best;
}

void ntmd_user_place_want(struct ntmd_engine_path *path)
{
	struct ntmd_user_shards *shards = path->engine->main->shards;

	if (!path->local || path->local->placing || path->gone)
		return;
	path->local->placing = true;
	TAILQ_INSERT_TAIL(&shards->to_place, path->local, to_place);
	event_active(shards->place, EV_TIMEOUT, 0);
}

/* ---- going there */

static void leave(struct ntmd_engine_path *path)
{
	struct ntmd_engine *from = path->engine;

	ntmd_user_train_flush(path, true);
	ntmd_user_piece_clear(path);
	if (path->unsettled)
		TAILQ_REMOVE(&from->unsettled, path, to_settle);
	path->unsettled = false;
	if (path->ack_paused)
		TAILQ_REMOVE(&from->acks, path, acks);
	if (!from->shard)
		return;
	ntmd_user_table_remove(&from->by_id, &path->local->by_id);
	if (path->local->telling)
		TAILQ_REMOVE(&from->shard->to_tell, path->local, to_tell);
	path->local->telling = false;
	from->shard->paths--;
}

/* All shards are locked, and nothing of the path is on its way. */
static void move(struct ntmd_engine_path *path, struct ntmd_user_shard *shard)
{
	struct ntmd_engine *from = path->engine, *to = shard->engine;

	leave(path);
	ntmd_user_held_take(path, to);
	path->engine = to;
	ntmd_user_shard_flow(from->main->shards, shard, &path->route);
	ntmd_user_shard_flow(from->main->shards, shard, &path->second);
	if (path->ack_paused) {
		TAILQ_INSERT_TAIL(&to->acks, path, acks);
		ntmd_user_timer_arm(to, path->ack_ms);
	}
	ntmd_user_table_insert(&to->by_id, &path->local->by_id,
			       ntmd_user_table_hash(&to->by_id, path->id, 0));
	shard->paths++;
	if (path->notes)
		ntmd_user_shard_tell(path, 0);
}

static void queues_drain(struct ntmd_user_shards *shards, const struct ntmd_user_shard *to)
{
	/* What it reads itself comes before what is added from now on. */
	for (unsigned i = 0; i < shards->count; i++)
		if (shards->shard[i] != to)
			udp_drain(shards->shard[i]);
	tun_drain(shards->main);
	for (unsigned i = 0; i < shards->count; i++)
		ntmd_user_shard_up_take(shards->shard[i]);
}

static bool can_be_placed(const struct ntmd_engine_path *path)
{
	return !path->gone && path->identified && path->has_route;
}

/*
 * Also the second route's, and the others that the peer may send from: it may change over before we do. But
 * not those that another path's route has: from there they go by the control loop.
 */
static void ends_steer(struct ntmd_engine_path *path, const struct ntmd_user_shard *to)
{
	const struct ntmd_user_shards *shards = to->main->shards;

	path->local->end[0] = path->route.remote;
	path->local->end[1] = path->has_second ? path->second.remote : path->route.remote;
	steer_end(shards, &path->route.remote, to->number);
	if (path->has_second && !shard_of(path, &path->second.remote))
		steer_end(shards, &path->second.remote, to->number);
	for (unsigned i = 0; i < path->sources; i++)
		if (!shard_of(path, &path->source[i]))
			steer_end(shards, &path->source[i], to->number);
	path->local->sources_new = false;
}

static bool is_placed(const struct ntmd_engine_path *path, const struct ntmd_user_shard *shard)
{
	const struct ntmd_user_local *local = path->local;

	for (int family = 0; family < 2; family++)
		if (has_vip(path, family) && !local->by_vip[family].in)
			return false;
	return path->engine == shard->engine && !local->sources_new &&
	       ntm_endpoint_equal(&local->end[0], &path->route.remote) &&
	       (!path->has_second || ntm_endpoint_equal(&local->end[1], &path->second.remote));
}

/* Where it belongs, if something of it is not there yet. */
static struct ntmd_user_shard *place_due(const struct ntmd_engine_path *path)
{
	struct ntmd_user_shard *to = can_be_placed(path) ? shard_choose(path) : NULL;

	return to && !is_placed(path, to) ? to : NULL;
}

/* From now on the kernel adds to the new queues. */
static void place_begin(struct ntmd_engine_path *path, struct ntmd_user_shard *to)
{
	struct ntmd_user_shards *shards = to->main->shards;

	if (path->engine != to->engine)
		for (int family = 0; family < 2; family++)
			ntmd_user_place_unmap(path, family);
	ends_steer(path, to);
	for (int family = 0; family < 2; family++)
		if (has_vip(path, family))
			steer_vip(shards, &path->vip[family], to->number);
}

/* The old queues are empty. What was in them may have changed everything; then there is another call. */
static void place_end(struct ntmd_engine_path *path, struct ntmd_user_shard *to)
{
	if (can_be_placed(path) && path->engine != to->engine)
		move(path, to);
	for (int family = 0; family < 2 && !path->gone; family++) {
		struct ntmd_user_link *link = &path->local->by_vip[family];
		struct ntmd_engine *engine = path->engine;

		if (has_vip(path, family) && engine == to->engine && !link->in)
			ntmd_user_table_insert(&engine->by_vip, link,
					       ntmd_user_vip_hash(engine, &path->vip[family]));
	}
	if (!path->gone)
		ntmd_user_path_settle(path);
}

/* Those that belong to one shard go together: queues are drained once for all of them. All shards are
 * locked. */
static void place_in(struct ntmd_user_shard *to)
{
	struct ntmd_user_shards *shards = to->main->shards;
	struct ntmd_user_local_list on_way = TAILQ_HEAD_INITIALIZER(on_way);
	struct ntmd_user_local *local, *next;

	for (local = TAILQ_FIRST(&shards->to_place); local; local = next) {
		next = TAILQ_NEXT(local, to_place);
		if (place_due(local->path) != to)
			continue;
		TAILQ_REMOVE(&shards->to_place, local, to_place);
		local->placing = false;
		end_take(local->path, to);
		to->coming += local->path->engine != to->engine;
		ntmd_user_path_pin(local->path);
		TAILQ_INSERT_TAIL(&on_way, local, on_way);
	}
	if (TAILQ_EMPTY(&on_way))
		return;
	TAILQ_FOREACH(local, &on_way, on_way)
		if (can_be_placed(local->path))
			place_begin(local->path, to);
	queues_drain(shards, to);
	to->coming = 0;
	while ((local = TAILQ_FIRST(&on_way))) {
		TAILQ_REMOVE(&on_way, local, on_way);
		place_end(local->path, to);
		ntmd_user_path_unpin(local->path);
	}
}

/* Those of which nothing is left to do. */
static void placed_forget(struct ntmd_user_shards *shards)
{
	struct ntmd_user_local *local, *next;

	for (local = TAILQ_FIRST(&shards->to_place); local; local = next) {
		next = TAILQ_NEXT(local, to_place);
		if (place_due(local->path))
			continue;
		TAILQ_REMOVE(&shards->to_place, local, to_place);
		local->placing = false;
	}
}

void ntmd_user_place_all(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_user_shards *shards = arg;

	(void)fd;
	(void)what;
	/* Where all is well no data thread has to stop. */
	placed_forget(shards);
	if (TAILQ_EMPTY(&shards->to_place))
		return;
	for (unsigned i = 0; i < shards->count; i++)
		ntmd_user_lock(shards->shard[i]->engine);
	for (unsigned i = 0; i < shards->count; i++)
		place_in(shards->shard[i]);
	for (unsigned i = 0; i < shards->count; i++)
		ntmd_user_unlock(shards->shard[i]->engine);
	placed_forget(shards);
	/* Where one goes may depend on where another has just gone. */
	if (!TAILQ_EMPTY(&shards->to_place))
		event_active(shards->place, EV_TIMEOUT, 0);
}

/* ---- what changes about a path */

void ntmd_user_place_route(struct ntmd_engine_path *path)
{
	const struct ntmd_user_end *end = path->local->at;

	if (end && (!path->has_route || !ntm_endpoint_equal(&end->at, &path->route.remote)))
		end_drop(path);
	ntmd_user_place_want(path);
}

void ntmd_user_place_identified(struct ntmd_engine_path *path)
{
	struct ntmd_engine *engine = path->engine;

	if (engine->shard) {
		ntmd_user_table_remove(&engine->by_id, &path->local->by_id);
		ntmd_user_table_insert(&engine->by_id, &path->local->by_id,
				       ntmd_user_table_hash(&engine->by_id, path->id, 0));
	} else if (path->has_route) {
		ntmd_user_place_want(path);
	}
}

void ntmd_user_place_forget(struct ntmd_engine_path *path)
{
	struct ntmd_user_local *local = path->local;
	struct ntmd_engine *engine = path->engine;

	if (!local)
		return;
	for (int family = 0; family < 2; family++)
		ntmd_user_place_unmap(path, family);
	end_drop(path);
	if (local->placing)
		TAILQ_REMOVE(&engine->main->shards->to_place, local, to_place);
	local->placing = false;
	if (!engine->shard)
		return;
	ntmd_user_table_remove(&engine->by_id, &local->by_id);
	if (local->telling)
		TAILQ_REMOVE(&engine->shard->to_tell, local, to_tell);
	local->telling = false;
	engine->shard->paths--;
}
