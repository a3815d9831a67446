/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path.h - the relayed paths: a hash table Path ID -> both legs, and every decision about a leg that needs
 * no I/O: which source counts as it, when a bind moves it, when the entry is forgotten.
 *
 *	relay.c         makes and removes entries (Relay Direction) and moves legs (binds)
 *	user_lane.c     asks rs_path_admit() for every packet, in a thread for each lane
 *
 * Threads: only the main one changes the table and the legs, and the functions that do take the lock for that
 * as long as they need, so the main thread may read without. Any other holds rs_paths_read_lock() from
 * rs_path_find() on until it is done with the entry. What packets change (counters, last use, the rate's
 * bucket) is atomic. Times are of the boot-time clock and given by the caller.
 */
#ifndef NTM_RS_PATH_H
#define NTM_RS_PATH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/header.h>
#include <ntm/limits.h>
#include <ntm/types.h>

#include "msg.h"
#include "udp.h"

struct rs_dc;

#define RS_HEARD_BITS 20
#define RS_OLD_SOURCE_MS \
	1000 /* after a move: packets in flight from the old source still count as the leg's */

struct rs_leg {
	uint8_t key[NTM_KEY_LEN]; /* of its binds */
	struct ntm_flow bound; /* where packets for it are sent; remote none: not bound */
	struct ntm_endpoint candidate; /* asked for a challenge under the leg key; none: nobody */
	struct ntm_endpoint old; /* bound before, counts until old_until_ms */
	int64_t old_until_ms;
	uint64_t asked, moved,
		alive; /* counters of the newest bind that asked, that moved, that kept alive */
	uint64_t packets, bytes; /* that came from it and were passed on; bytes of UDP payload; atomic */
};

struct rs_path {
	struct rs_path *next; /* in its bucket */
	uint64_t id;
	struct rs_dc *dc; /* that directed it */
	struct rs_leg leg[2]; /* by side */
	int64_t made_ms, directed_ms, expires_ms;
	int64_t used_ms; /* atomic */
	uint64_t rate; /* bytes a second, both directions together; 0: no limit */
	uint64_t rate_ns; /* virtual time of the rate's bucket; atomic */
	/* instead: the bucket that XDP takes from (relay_map.c), by CLOCK_MONOTONIC; NULL: none; atomic */
	uint64_t *rate_shared;
	uint64_t drops; /* atomic */
	bool inherited; /* from an ntm-rs before this one, and not directed since: without leg keys */
};

struct rs_paths {
	pthread_rwlock_t lock;
	struct rs_path **bucket;
	uint64_t hash_key;
	uint32_t cursor; /* where the sweep goes on */
	uint32_t count, max;
	uint32_t bound; /* paths with both legs bound */
	uint32_t inherited; /* paths that nobody has directed since the start */
	/* When nodes gave a sign of life, by a hash of their endpoints: 1 << RS_HEARD_BITS */
	uint32_t *heard_s;
	/* When somebody else (XDP) last forwarded a packet of the path, 0: never. NULL: nobody else does. */
	int64_t (*used_elsewhere_ms)(void *ctx, uint64_t id);
	void *used_ctx;
};

/* max: NTM_RELAY_PATHS_MAX, less in tests. 0 or -ENOMEM. */
int rs_paths_init(struct rs_paths *paths, uint32_t max);
void rs_paths_clear(struct rs_paths *paths); /* wipes the leg keys */

/* For threads other than the main one. Writers go first, so that control never waits for data. */
static inline void rs_paths_read_lock(struct rs_paths *paths)
{
	pthread_rwlock_rdlock(&paths->lock);
}

static inline void rs_paths_read_unlock(struct rs_paths *paths)
{
	pthread_rwlock_unlock(&paths->lock);
}

/* Of the fields marked atomic. */
static inline uint64_t rs_path_count(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* NULL: unknown, or over by now_ms (the sweep will remove it). */
struct rs_path *rs_path_find(const struct rs_paths *paths, uint64_t id, int64_t now_ms);

/*
 * Makes the entry, or renews keys, lifetime and rate of the one this DC made before; bound legs stay bound.
 * 1: new, 0: renewed; -EEXIST: another DC's, -ENOSPC: the table is full, -EDQUOT: this DC has as many paths
 * as it may, -ENOMEM. ret_path: may be NULL.
 */
int rs_path_direct(struct rs_paths *paths, const struct ntm_relay_direction *direction, struct rs_dc *dc,
		   int64_t now_ms, struct rs_path **ret_path);
void rs_path_remove(struct rs_paths *paths, struct rs_path *path);

/*
 * The entry of a path that an earlier ntm-rs served: its legs are bound where they were, but nobody can bind
 * until dc directs it again; it is taken whatever the number of the dc's paths. 0, -EEXIST: it is there
 * already, -ENOSPC, -ENOMEM.
 */
struct rs_path_left {
	uint64_t id, rate;
	int64_t expires_ms;
	struct ntm_flow bound[2]; /* remote none: that leg was not bound */
};
int rs_path_inherit(struct rs_paths *paths, const struct rs_path_left *left, struct rs_dc *dc,
		    int64_t now_ms);

/*
 * Calls each() for all entries, expired ones too; each() may remove the one it is given.
 */
void rs_paths_each(struct rs_paths *paths, void (*each)(void *ctx, struct rs_path *path), void *ctx);

/*
 * Calls expired() for entries that are over, then removes them: lifetime past, no leg bound for
 * NTM_RELAY_UNBOUND_S, or for NTM_RELAY_IDLE_S neither a packet on the path nor a bind from one of its nodes.
 * Looks at a bounded part of a large table; meant to be called every second. expired may be NULL.
 */
void rs_paths_sweep(struct rs_paths *paths, int64_t now_ms, void (*expired)(void *ctx, struct rs_path *path),
		    void *ctx);

/* ---- legs; all binds here are authenticated by the caller */

static inline bool rs_leg_is_bound(const struct rs_leg *leg)
{
	return leg->bound.remote.port != 0;
}

bool rs_leg_is_bound_to(const struct rs_leg *leg, const struct ntm_endpoint *source);

/*
 * A bind from source asks for a challenge: source becomes the candidate. 0, or -NTM_DROP_BIND_OLD if it is
 * not newer than the last one that asked (the same one again from the candidate is answered again).
 */
int rs_leg_ask(struct rs_paths *paths, struct rs_leg *leg, const struct ntm_endpoint *source,
	       uint64_t counter);

/* A bind came from there: all paths bound to this source are in use. */
void rs_paths_heard(struct rs_paths *paths, const struct ntm_endpoint *source, int64_t now_ms);
/* When this path last was, by all that is known: a packet, or a sign of life of one of its nodes. */
int64_t rs_path_used_ms(const struct rs_paths *paths, const struct rs_path *path);

/* A Keep Alive from the bound source. 0, or -NTM_DROP_BIND_OLD. */
int rs_leg_keep_alive(struct rs_leg *leg, uint64_t counter);

/*
 * A bind from `from` repeated its challenge: the leg moves there. 2: was not bound before, 1: moved, 0: was
 * there already; -NTM_DROP_BIND_OLD: not newer than what moved it last, -NTM_DROP_SOURCE: the other leg is
 * bound there.
 */
int rs_leg_move(struct rs_paths *paths, struct rs_path *path, unsigned side, const struct ntm_flow *from,
		uint64_t counter, int64_t now_ms);

/* ---- packets */

/*
 * Whether a packet to be forwarded may go on: the side it came from (0, 1), or -NTM_DROP_SIDE, _SOURCE,
 * _LEG_UNBOUND, _RATE. Counts it for the path either way. Every type has its sender's side: path control and
 * data in D, Tunnel Request comes from side 0, Response and probe from side 1; cookies and resets come from
 * either. len: bytes of UDP payload.
 */
int rs_path_admit(struct rs_path *path, uint8_t type, const struct ntm_endpoint *source, size_t len,
		  int64_t now_us);

#endif
