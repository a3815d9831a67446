/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path.c - the table of relayed paths and the rules of their legs (path.h). Pure: no sockets, and no clock
 * but for the rate that is shared with XDP.
 * Relay Direction and binds come from relay.c, packets from user_relay.c.
 *
 * The buckets are fixed, so that no packet ever waits for the table to grow: 2 MiB of addresses, of which
 * only what is used takes memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "endpoint.h"
#include "rs.h"

#define BUCKET_BITS 18
#define BUCKETS (1U << BUCKET_BITS)
#define SWEEP_PATHS 32768 /* looked at in one sweep, about: a millisecond or two */
#define RATE_BURST_NS 100000000ULL /* a path may send a tenth of a second's bytes at once, */
#define RATE_BURST_BYTES 65536ULL /* and at least so many */

int rs_paths_init(struct rs_paths *paths, uint32_t max)
{
	struct rs_path **bucket = calloc(BUCKETS, sizeof(*bucket));
	uint32_t *heard_s = calloc(1U << RS_HEARD_BITS, sizeof(*heard_s));
	pthread_rwlockattr_t attr;

	if (!bucket || !heard_s) {
		free(bucket);
		free(heard_s);
		return -ENOMEM;
	}
	memset(paths, 0, sizeof(*paths));
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&paths->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	paths->bucket = bucket;
	paths->heard_s = heard_s;
	paths->hash_key = ntm_crypto_random_u64();
	paths->max = max;
	return 0;
}

static void write_lock(struct rs_paths *paths)
{
	pthread_rwlock_wrlock(&paths->lock);
}

static void write_unlock(struct rs_paths *paths)
{
	pthread_rwlock_unlock(&paths->lock);
}

static void path_free(struct rs_path *path)
{
	ntm_crypto_wipe(path, sizeof(*path));
	free(path);
}

void rs_paths_clear(struct rs_paths *paths)
{
	for (uint32_t i = 0; paths->bucket && i < BUCKETS; i++) {
		while (paths->bucket[i]) {
			struct rs_path *path = paths->bucket[i];

			paths->bucket[i] = path->next;
			path_free(path);
		}
	}
	if (paths->bucket)
		pthread_rwlock_destroy(&paths->lock);
	free(paths->bucket);
	free(paths->heard_s);
	memset(paths, 0, sizeof(*paths));
}

/* Path IDs are random; the key only keeps a DC from choosing them all into one bucket. */
static struct rs_path **path_bucket(const struct rs_paths *paths, uint64_t id)
{
	uint64_t v = (id ^ paths->hash_key) * 0x9e3779b97f4a7c15ULL;

	v ^= v >> 32;
	v *= 0xd6e8feb86659fd93ULL;
	return &paths->bucket[v >> (64 - BUCKET_BITS)];
}

static bool path_is_over(const struct rs_path *path, int64_t now_ms)
{
	if (now_ms >= path->expires_ms)
		return true;
	return !rs_leg_is_bound(&path->leg[0]) && !rs_leg_is_bound(&path->leg[1]) &&
	       now_ms >= path->directed_ms + NTM_RELAY_UNBOUND_S * 1000LL;
}

static struct rs_path *path_lookup(const struct rs_paths *paths, uint64_t id)
{
	struct rs_path *path = *path_bucket(paths, id);

	while (path && path->id != id)
		path = path->next;
	return path;
}

struct rs_path *rs_path_find(const struct rs_paths *paths, uint64_t id, int64_t now_ms)
{
	struct rs_path *path = path_lookup(paths, id);

	return path && !path_is_over(path, now_ms) ? path : NULL;
}

/* Under a new key nothing is a replay, and a node that restarted with a wrong clock can bind again. */
static void leg_set_key(struct rs_leg *leg, const uint8_t key[NTM_KEY_LEN])
{
	if (ntm_crypto_equal(leg->key, key, NTM_KEY_LEN))
		return;
	memcpy(leg->key, key, NTM_KEY_LEN);
	leg->asked = leg->moved = leg->alive = 0;
}

/* A new entry, not yet in the table. */
static struct rs_path *path_new(uint64_t id, struct rs_dc *dc, int64_t now_ms)
{
	struct rs_path *path = calloc(1, sizeof(*path));

	if (!path)
		return NULL;
	path->id = id;
	path->dc = dc;
	path->made_ms = path->used_ms = now_ms;
	return path;
}

static void path_insert(struct rs_paths *paths, struct rs_path *path)
{
	struct rs_path **bucket = path_bucket(paths, path->id);

	path->next = *bucket;
	*bucket = path;
	paths->count++;
	path->dc->paths++;
}

int rs_path_direct(struct rs_paths *paths, const struct ntm_relay_direction *direction, struct rs_dc *dc,
		   int64_t now_ms, struct rs_path **ret_path)
{
	struct rs_path *path = path_lookup(paths, direction->path_id);
	bool made = false;

	if (path && path_is_over(path, now_ms)) {
		rs_path_remove(paths, path);
		path = NULL;
	}
	if (path && path->dc != dc)
		return -EEXIST;
	if (!path) {
		if (paths->count >= paths->max)
			return -ENOSPC;
		if (dc->paths >= dc->max_paths)
			return -EDQUOT;
		path = path_new(direction->path_id, dc, now_ms);
		if (!path)
			return -ENOMEM;
		made = true;
	}
	write_lock(paths);
	for (int side = 0; side < 2; side++)
		leg_set_key(&path->leg[side], direction->leg_key[side]);
	path->directed_ms = now_ms;
	path->expires_ms = now_ms + direction->lifetime_s * 1000LL;
	path->rate = direction->rate;
	paths->inherited -= path->inherited;
	path->inherited = false;
	if (made)
		path_insert(paths, path);
	write_unlock(paths);
	if (ret_path)
		*ret_path = path;
	return made;
}

static bool path_is_bound(const struct rs_path *path)
{
	return rs_leg_is_bound(&path->leg[0]) && rs_leg_is_bound(&path->leg[1]);
}

int rs_path_inherit(struct rs_paths *paths, const struct rs_path_left *left, struct rs_dc *dc, int64_t now_ms)
{
	struct rs_path *path;

	if (path_lookup(paths, left->id))
		return -EEXIST;
	if (paths->count >= paths->max)
		return -ENOSPC;
	path = path_new(left->id, dc, now_ms);
	if (!path)
		return -ENOMEM;
	for (int side = 0; side < 2; side++)
		path->leg[side].bound = left->bound[side];
	path->directed_ms = now_ms;
	path->expires_ms = left->expires_ms;
	path->rate = left->rate;
	path->inherited = true;
	write_lock(paths);
	path_insert(paths, path);
	paths->inherited++;
	paths->bound += path_is_bound(path);
	write_unlock(paths);
	return 0;
}

void rs_path_remove(struct rs_paths *paths, struct rs_path *path)
{
	struct rs_path **at = path_bucket(paths, path->id);

	write_lock(paths);
	while (*at != path)
		at = &(*at)->next;
	*at = path->next;
	paths->count--;
	path->dc->paths--;
	paths->inherited -= path->inherited;
	paths->bound -= path_is_bound(path);
	write_unlock(paths);
	path_free(path);
}

void rs_paths_each(struct rs_paths *paths, void (*each)(void *ctx, struct rs_path *path), void *ctx)
{
	for (uint32_t i = 0; i < BUCKETS && paths->count; i++) {
		for (struct rs_path *path = paths->bucket[i], *next; path; path = next) {
			next = path->next;
			each(ctx, path);
		}
	}
}

/* Two endpoints in one place only keep what is idle for longer. */
static uint32_t *heard_place(const struct rs_paths *paths, const struct ntm_endpoint *source)
{
	uint64_t part[2], v = paths->hash_key ^ source->port;

	memcpy(part, source->addr.b, sizeof(part));
	v = (v ^ part[0]) * 0x9e3779b97f4a7c15ULL;
	v = ((v ^ (v >> 32)) ^ part[1]) * 0xd6e8feb86659fd93ULL;
	return &paths->heard_s[(v ^ (v >> 29)) * 0x9e3779b97f4a7c15ULL >> (64 - RS_HEARD_BITS)];
}

void rs_paths_heard(struct rs_paths *paths, const struct ntm_endpoint *source, int64_t now_ms)
{
	*heard_place(paths, source) = (uint32_t)(now_ms / 1000);
}

int64_t rs_path_used_ms(const struct rs_paths *paths, const struct rs_path *path)
{
	int64_t used_ms = __atomic_load_n(&path->used_ms, __ATOMIC_RELAXED), other_ms;

	for (int side = 0; side < 2; side++) {
		if (!rs_leg_is_bound(&path->leg[side]))
			continue;
		other_ms = *heard_place(paths, &path->leg[side].bound.remote) * 1000LL;
		used_ms = other_ms > used_ms ? other_ms : used_ms;
	}
	return used_ms;
}

/* What costs least is asked first; most paths need no more. */
static bool path_is_idle(const struct rs_paths *paths, struct rs_path *path, int64_t now_ms)
{
	int64_t since_ms = now_ms - NTM_RELAY_IDLE_S * 1000LL, used_ms;

	if (path->directed_ms > since_ms || rs_path_used_ms(paths, path) > since_ms)
		return false;
	used_ms = paths->used_elsewhere_ms ? paths->used_elsewhere_ms(paths->used_ctx, path->id) : 0;
	if (used_ms <= since_ms)
		return true;
	/* So that it is not asked every second */
	__atomic_store_n(&path->used_ms, used_ms, __ATOMIC_RELAXED);
	return false;
}

void rs_paths_sweep(struct rs_paths *paths, int64_t now_ms, void (*expired)(void *ctx, struct rs_path *path),
		    void *ctx)
{
	uint32_t seen = 0;

	for (uint32_t i = 0; i < BUCKETS && seen < SWEEP_PATHS && paths->count; i++) {
		for (struct rs_path *path = paths->bucket[paths->cursor], *next; path; path = next) {
			next = path->next;
			seen++;
			if (!path_is_over(path, now_ms) && !path_is_idle(paths, path, now_ms))
				continue;
			if (expired)
				expired(ctx, path);
			rs_path_remove(paths, path);
		}
		paths->cursor = (paths->cursor + 1) % BUCKETS;
	}
}

bool rs_leg_is_bound_to(const struct rs_leg *leg, const struct ntm_endpoint *source)
{
	return rs_leg_is_bound(leg) && ntm_endpoint_equal(&leg->bound.remote, source);
}

int rs_leg_ask(struct rs_paths *paths, struct rs_leg *leg, const struct ntm_endpoint *source,
	       uint64_t counter)
{
	if (counter < leg->asked || (counter == leg->asked && !ntm_endpoint_equal(&leg->candidate, source)))
		return -NTM_DROP_BIND_OLD;
	write_lock(paths);
	leg->asked = counter;
	leg->candidate = *source;
	write_unlock(paths);
	return 0;
}

int rs_leg_keep_alive(struct rs_leg *leg, uint64_t counter)
{
	if (counter < leg->alive)
		return -NTM_DROP_BIND_OLD;
	leg->alive = counter;
	return 0;
}

int rs_leg_move(struct rs_paths *paths, struct rs_path *path, unsigned side, const struct ntm_flow *from,
		uint64_t counter, int64_t now_ms)
{
	struct rs_leg *leg = &path->leg[side];
	bool here = rs_leg_is_bound_to(leg, &from->remote), first = !rs_leg_is_bound(leg);

	/* The same bind again, because its ACK was lost, is acked again. */
	if (counter < leg->moved || (counter == leg->moved && !here))
		return -NTM_DROP_BIND_OLD;
	if (rs_leg_is_bound_to(&path->leg[!side], &from->remote))
		return -NTM_DROP_SOURCE;
	write_lock(paths);
	if (!here && !first) {
		leg->old = leg->bound.remote;
		leg->old_until_ms = now_ms + RS_OLD_SOURCE_MS;
	}
	leg->bound = *from;
	leg->moved = counter;
	if (ntm_endpoint_equal(&leg->candidate, &from->remote))
		memset(&leg->candidate, 0, sizeof(leg->candidate));
	if (first)
		paths->bound += path_is_bound(path);
	write_unlock(paths);
	return first ? 2 : !here;
}

static bool leg_owns(const struct rs_leg *leg, const struct ntm_endpoint *source, int64_t now_ms)
{
	/* A source has a port, so it never equals the none of an unbound leg. */
	return ntm_endpoint_equal(&leg->bound.remote, source) ||
	       ntm_endpoint_equal(&leg->candidate, source) ||
	       (now_ms < leg->old_until_ms && ntm_endpoint_equal(&leg->old, source));
}

/* The side that sends packets of this type; -1: either. */
static int type_side(uint8_t type)
{
	switch (type & NTM_TYPE_CLASS) {
	case NTM_TYPE_PATH:
	case NTM_TYPE_DATA:
		return NTM_TYPE_SIDE(type);
	}
	switch (type) {
	case NTM_TYPE_TUNNEL_REQUEST:
		return NTM_SIDE_REQUESTER;
	case NTM_TYPE_TUNNEL_RESPONSE:
	case NTM_TYPE_TUNNEL_PROBE:
		return NTM_SIDE_OTHER;
	}
	return -1;
}

/* The sender's side by its source, for a type that claims `side`. */
static int source_side(const struct rs_path *path, int side, const struct ntm_endpoint *source,
		       int64_t now_ms)
{
	if (side < 0) {
		for (side = 0; side < 2; side++) {
			if (leg_owns(&path->leg[side], source, now_ms))
				return side;
		}
		return -NTM_DROP_SOURCE;
	}
	if (leg_owns(&path->leg[side], source, now_ms))
		return side;
	return leg_owns(&path->leg[!side], source, now_ms) ? -NTM_DROP_SIDE : -NTM_DROP_SOURCE;
}

/* XDP's clock, which stands still while the machine sleeps. */
static uint64_t shared_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* Threads that pay for one path's packets at once, and XDP, each take their part. */
static bool rate_take(struct rs_path *path, size_t len, int64_t now_us)
{
	uint64_t now_ns, burst_ns, cost_ns, before, from, *bucket;

	if (!path->rate)
		return true;
	bucket = __atomic_load_n(&path->rate_shared, __ATOMIC_RELAXED);
	now_ns = bucket ? shared_now_ns() : (uint64_t)now_us * 1000;
	bucket = bucket ? bucket : &path->rate_ns;
	cost_ns = len * 1000000000ULL / path->rate;
	burst_ns = RATE_BURST_BYTES * 1000000000ULL / path->rate;
	if (burst_ns < RATE_BURST_NS)
		burst_ns = RATE_BURST_NS;
	before = __atomic_load_n(bucket, __ATOMIC_RELAXED);
	do {
		from = before + burst_ns < now_ns ? now_ns - burst_ns : before;
		if (from + cost_ns > now_ns)
			return false;
	} while (!__atomic_compare_exchange_n(bucket, &before, from + cost_ns, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

int rs_path_admit(struct rs_path *path, uint8_t type, const struct ntm_endpoint *source, size_t len,
		  int64_t now_us)
{
	int side = source_side(path, type_side(type), source, now_us / 1000);

	if (side < 0)
		goto dropped;
	if (!rs_leg_is_bound(&path->leg[!side])) {
		side = -NTM_DROP_LEG_UNBOUND;
		goto dropped;
	}
	if (!rate_take(path, len, now_us)) {
		side = -NTM_DROP_RATE;
		goto dropped;
	}
	__atomic_fetch_add(&path->leg[side].packets, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&path->leg[side].bytes, len, __ATOMIC_RELAXED);
	__atomic_store_n(&path->used_ms, now_us / 1000, __ATOMIC_RELAXED);
	return side;

dropped:
	__atomic_fetch_add(&path->drops, 1, __ATOMIC_RELAXED);
	return side;
}
