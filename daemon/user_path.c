/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_path.c - the paths of the user engine: found by ID and by virtual address, whom they lead to, by which
 * routes, what one hands over to the next, and whether the peer is heard. Above: path.c through engine.h;
 * beside: user_engine.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/user_engine.h"
#include "daemon/user_shard.h"
#include "endpoint.h"
#include "stats.h"

/* ---- finding paths */

uint64_t ntmd_user_vip_hash(const struct ntmd_engine *engine, const struct ntm_addr *vip)
{
	uint64_t word[2];

	memcpy(word, vip->b, sizeof(word));
	return ntmd_user_table_hash(&engine->by_vip, word[0], word[1]);
}

struct ntmd_engine_path *ntmd_user_path_by_id(const struct ntmd_engine *engine, uint64_t id)
{
	struct ntmd_user_link *link =
		ntmd_user_table_first(&engine->by_id, ntmd_user_table_hash(&engine->by_id, id, 0));

	for (; link; link = ntmd_user_table_next(link)) {
		struct ntmd_engine_path *path =
			engine->shard ? ntmd_user_entry(link, struct ntmd_user_local, by_id)->path
				      : ntmd_user_entry(link, struct ntmd_engine_path, by_id);

		if (path->id == id)
			return path;
	}
	return NULL;
}

static struct ntmd_engine_path *path_of_vip(const struct ntmd_engine *engine, struct ntmd_user_link *link,
					    bool is4)
{
	if (engine->shard)
		return is4 ? ntmd_user_entry(link, struct ntmd_user_local, by_vip[0])->path
			   : ntmd_user_entry(link, struct ntmd_user_local, by_vip[1])->path;
	return is4 ? ntmd_user_entry(link, struct ntmd_engine_path, by_vip[0])
		   : ntmd_user_entry(link, struct ntmd_engine_path, by_vip[1]);
}

struct ntmd_engine_path *ntmd_user_path_by_vip(const struct ntmd_engine *engine, const struct ntm_addr *vip)
{
	struct ntmd_user_link *link = ntmd_user_table_first(&engine->by_vip, ntmd_user_vip_hash(engine, vip));
	bool is4 = ntm_addr_is4(vip);

	for (; link; link = ntmd_user_table_next(link)) {
		struct ntmd_engine_path *path = path_of_vip(engine, link, is4);

		if (ntm_addr_equal(&path->vip[!is4], vip))
			return path;
	}
	return NULL;
}

struct ntmd_engine_path *ntmd_user_path_by_vip_next(const struct ntmd_engine_path *path, int family)
{
	struct ntmd_user_link *link = ntmd_user_table_next(&path->by_vip[family]);

	for (; link; link = ntmd_user_table_next(link)) {
		struct ntmd_engine_path *next = path_of_vip(path->engine->main, link, !family);

		if (ntm_addr_equal(&next->vip[family], &path->vip[family]))
			return next;
	}
	return NULL;
}

/* ---- paths */

struct ntmd_engine_path *ntmd_engine_path_add(struct ntmd_engine *engine, void *user)
{
	struct ntmd_engine_path *path;

	if (engine->path_count >= NTM_PATHS_MAX) {
		ntm_drop_count(NTM_DROP_LIMIT);
		return NULL;
	}
	path = calloc(1, sizeof(*path));
	if (!path)
		return NULL;
	path->engine = engine;
	if (ntmd_user_place_add(path)) {
		free(path);
		return NULL;
	}
	path->user = user;
	path->phase = -1;
	TAILQ_INIT(&path->held);
	LIST_INSERT_HEAD(&engine->paths, path, all);
	engine->path_count++;
	return path;
}

static void vip_map(struct ntmd_engine_path *path, int family, const struct ntm_addr *vip)
{
	struct ntmd_engine *engine = path->engine->main;
	struct ntm_addr before = path->vip[family];

	if (!ntm_addr_equal(&before, vip))
		ntmd_user_place_unmap(path, family);
	ntmd_user_table_remove(&engine->by_vip, &path->by_vip[family]);
	path->vip[family] = *vip;
	if (!ntm_addr_is_none(vip))
		ntmd_user_table_insert(&engine->by_vip, &path->by_vip[family],
				       ntmd_user_vip_hash(engine, vip));
	if (!ntm_addr_equal(&before, vip))
		ntmd_user_place_mapped(engine, &before);
	ntmd_user_place_mapped(engine, vip);
}

void ntmd_engine_path_map(struct ntmd_engine_path *path, const struct ntm_addr *vip4,
			  const struct ntm_addr *vip6)
{
	static const struct ntm_addr none;
	NTMD_USER_LOCKED(path->engine);

	vip_map(path, 0, ntm_addr_is4(vip4) ? vip4 : &none);
	vip_map(path, 1, ntm_addr_is4(vip6) ? &none : vip6);
	ntmd_user_path_changed(path);
}

int ntmd_engine_path_identify(struct ntmd_engine_path *path, uint64_t path_id, enum ntm_side side)
{
	struct ntmd_engine *engine = path->engine->main;
	struct ntmd_engine_path *other = ntmd_user_path_by_id(engine, path_id);
	NTMD_USER_LOCKED(path->engine);

	if (other && other != path)
		return -EEXIST;
	ntmd_user_table_remove(&engine->by_id, &path->by_id);
	path->id = path_id;
	path->side = (uint8_t)side;
	path->identified = true;
	ntmd_user_table_insert(&engine->by_id, &path->by_id,
			       ntmd_user_table_hash(&engine->by_id, path_id, 0));
	ntmd_user_place_identified(path);
	ntmd_user_path_changed(path);
	ntmd_user_path_settle(path);
	return 0;
}

static void hand_over(struct ntmd_engine_path *from, struct ntmd_engine_path *to)
{
	struct ntmd_engine *engine = from->engine->main;

	for (int family = 0; family < 2; family++) {
		struct ntm_addr vip = from->vip[family];

		if (!from->by_vip[family].in)
			continue;
		ntmd_user_place_unmap(from, family);
		ntmd_user_table_remove(&engine->by_vip, &from->by_vip[family]);
		if (ntm_addr_is_none(&to->vip[family]) || ntm_addr_equal(&to->vip[family], &vip))
			vip_map(to, family, &vip);
		else
			ntmd_user_place_mapped(engine, &vip);
	}
	from->replaced = true;
	to->replaced = false;
	ntmd_user_path_changed(to); /* first: nothing goes to nobody meanwhile */
	ntmd_user_path_changed(from);
	ntmd_user_held_move(from, to);
	ntmd_user_resume_move(from, to);
	ntmd_user_path_changed(to);
	ntmd_user_path_settle(to);
}

void ntmd_engine_path_hand_over(struct ntmd_engine_path *from, struct ntmd_engine_path *to)
{
	struct ntmd_engine *engine[2] = {from->engine, to->engine};

	if (from == to)
		return;
	ntmd_user_lock(engine[0]);
	ntmd_user_lock(engine[1]);
	hand_over(from, to);
	ntmd_user_unlock(engine[1]);
	ntmd_user_unlock(engine[0]);
}

static void path_free(struct ntmd_engine_path *path)
{
	ntmd_user_place_free(path);
	free(path);
}

void ntmd_engine_path_delete(struct ntmd_engine_path *path, bool refuse)
{
	struct ntmd_engine *engine = path->engine, *table = engine->main;
	NTMD_USER_LOCKED(engine);

	if (path->gone)
		return;
	if (table->kernel)
		table->kernel_ops->path_deleted(table->kernel, path, path->replaced);
	ntmd_user_place_forget(path);
	path->gone = true;
	ntmd_user_train_forget(path);
	ntmd_user_held_clear(path, refuse);
	ntmd_user_piece_clear(path);
	ntmd_user_resume_clear(path);
	ntmd_user_key_drop_all(path);
	ntmd_user_table_remove(&table->by_id, &path->by_id);
	for (int family = 0; family < 2; family++)
		ntmd_user_table_remove(&table->by_vip, &path->by_vip[family]);
	if (path->ack_paused)
		TAILQ_REMOVE(&engine->acks, path, acks);
	path->ack_paused = false;
	if (path->unsettled)
		TAILQ_REMOVE(&engine->unsettled, path, to_settle);
	path->unsettled = false;
	LIST_REMOVE(path, all);
	table->path_count--;
	for (int family = 0; family < 2; family++)
		ntmd_user_place_mapped(table, &path->vip[family]);
	free(path->source);
	path->source = NULL;
	path->sources = 0;
	if (!path->pins)
		path_free(path);
}

void ntmd_user_path_unpin(struct ntmd_engine_path *path)
{
	if (!--path->pins && path->gone)
		path_free(path);
}

/* ---- routes */

/*
 * What may go to routes that are not proven, whoever makes us choose them: a peer that says every moment that
 * it is elsewhere now gets no more than one that says it once a second. The kernel counts its half itself:
 * all of it is taken to be spent.
 */
static uint64_t unproven_left(struct ntmd_engine_path *path, uint64_t bytes)
{
	int64_t now = ntmd_user_now_ms(path->engine), since = now - path->unproven_ms;
	uint64_t back;

	if (path->unproven_bytes)
		path->unproven_spent += path->unproven_sent + (path->kernel ? path->unproven_bytes / 2 : 0);
	back = since < NTMD_USER_UNPROVEN_MS ? NTM_UNPROVEN_BYTES * (uint64_t)since / NTMD_USER_UNPROVEN_MS :
					       path->unproven_spent;
	path->unproven_spent -= back < path->unproven_spent ? back : path->unproven_spent;
	path->unproven_ms = now;
	if (!bytes)
		return 0;
	return bytes > path->unproven_spent ? bytes - path->unproven_spent : 1;
}

void ntmd_engine_path_route_set(struct ntmd_engine_path *path, const struct ntm_flow *route,
				const struct ntm_flow *second, uint64_t unproven_bytes)
{
	NTMD_USER_LOCKED(path->engine);

	path->has_route = route != NULL;
	path->has_second = route && second;
	if (path->has_route)
		path->route = *route;
	if (path->has_second)
		path->second = *second;
	if (path->local) {
		ntmd_user_shard_flow(path->engine->main->shards, path->engine->shard, &path->route);
		ntmd_user_shard_flow(path->engine->main->shards, path->engine->shard, &path->second);
		ntmd_user_place_route(path);
	}
	path->route_serial++;
	path->unproven_bytes = unproven_left(path, unproven_bytes);
	path->unproven_sent = 0;
	path->retry_ms = 0;
	path->failed_told = false;
	path->mtu_learned = 0;
	path->train_refused = false;
	ntmd_user_path_changed(path);
	ntmd_user_path_settle(path);
}

void ntmd_engine_path_sources_set(struct ntmd_engine_path *path, const struct ntm_endpoint *source,
				  unsigned count)
{
	struct ntm_endpoint *copy = NULL;
	NTMD_USER_LOCKED(path->engine);

	if (count > NTM_ROUTES_MAX)
		count = NTM_ROUTES_MAX;
	if (count) {
		copy = malloc(count * sizeof(*copy));
		if (!copy) /* then these endpoints are told as new ones: they are delivered all the same */
			count = 0;
		else
			memcpy(copy, source, count * sizeof(*copy));
	}
	if (path->local && count &&
	    (count != path->sources || memcmp(copy, path->source, count * sizeof(*copy)))) {
		path->local->sources_new = true;
		ntmd_user_place_want(path);
	}
	free(path->source);
	path->source = copy;
	path->sources = count;
}

void ntmd_engine_path_bulk_acked(struct ntmd_engine_path *path)
{
	NTMD_USER_LOCKED(path->engine);
	bool was_dead = path->bulk_dead;

	path->bulk_dead = false;
	path->bulk_waiting = false;
	if (was_dead)
		ntmd_user_path_changed(path);
	ntmd_user_path_settle(path);
}

bool ntmd_engine_path_inline_try(struct ntmd_engine_path *path)
{
	const struct ntmd_user_key *key;
	NTMD_USER_LOCKED(path->engine);

	key = ntmd_user_key_sending(path);
	if (!key || !key->kernel)
		return false;
	if (!path->bulk_dead) {
		path->bulk_dead = true;
		path->notes |= NTMD_USER_NOTE_DEAD;
		ntmd_user_path_changed(path);
	}
	ntmd_engine_path_resume(path);
	ntmd_user_path_settle(path);
	return true;
}

void ntmd_engine_path_kernel_times(const struct ntmd_engine_path *path, int64_t *ret_tx_ms,
				   int64_t *ret_rx_ms)
{
	/* It has the BPF engine, whichever thread has the path */
	const struct ntmd_engine *main = path->engine->main;
	struct ntmd_engine_stats stats = {0};

	if (main->kernel)
		main->kernel_ops->path_stats(main->kernel, path, &stats);
	*ret_tx_ms = stats.last_tx_ms;
	*ret_rx_ms = stats.last_rx_ms;
}

void ntmd_engine_path_heard(struct ntmd_engine_path *path)
{
	NTMD_USER_LOCKED(path->engine);

	path->unheard_ms = 0;
}

int64_t ntmd_engine_path_unheard(struct ntmd_engine_path *path)
{
	NTMD_USER_LOCKED(path->engine);

	path->unheard_told = path->unheard_told && path->unheard_ms;
	return path->unheard_ms;
}

bool ntmd_engine_path_unheard_since(struct ntmd_engine_path *path, int64_t since_ms)
{
	NTMD_USER_LOCKED(path->engine);

	if (path->unheard_told)
		return false;
	path->unheard_ms = since_ms;
	path->unheard_told = true;
	return true;
}

void ntmd_engine_path_unheard_forget(struct ntmd_engine_path *path)
{
	NTMD_USER_LOCKED(path->engine);

	path->unheard_ms = 0;
	path->unheard_told = false;
}

void ntmd_engine_path_expect(struct ntmd_engine_path *path)
{
	NTMD_USER_LOCKED(path->engine);

	path->expecting = true;
	ntmd_user_path_changed(path);
}

void ntmd_engine_path_mtu_set(struct ntmd_engine_path *path, unsigned mtu)
{
	NTMD_USER_LOCKED(path->engine);

	if (path->mtu == mtu)
		return;
	path->mtu = mtu;
	ntmd_user_path_changed(path);
}

/* ---- asking */

void ntmd_engine_path_stats(const struct ntmd_engine_path *path, struct ntmd_engine_stats *ret_stats)
{
	const struct ntmd_engine *main = path->engine->main;
	NTMD_USER_LOCKED(path->engine);

	*ret_stats = path->stats;
	ret_stats->lane = path->bulk_dead ? NTM_LANE_INLINE : NTM_LANE_BULK;
	if (main->kernel)
		main->kernel_ops->path_stats(main->kernel, path, ret_stats);
}
