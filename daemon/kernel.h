/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * kernel.h - what the user engine asks of the one beside it, which has the inline lane where BPF programs are
 * attached: behind it is bpf_engine.c, before it user_engine.c and its neighbours. Without one (unit tests,
 * `ntmctl run`) struct ntmd_engine's pointer is NULL.
 *
 * For each key phase of a path one of the two has the inline lane, from the moment the keys are set until
 * they are dropped. The bulk lane is always the user engine's.
 */
#ifndef NTMD_KERNEL_H
#define NTMD_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/engine.h"

struct ntmd_kernel; /* of one engine */
struct ntmd_kernel_path; /* of one path: hangs at struct ntmd_engine_path; NULL: it has none */
/* The inline lane of one key phase; hangs at struct ntmd_user_key; NULL: it is the user engine's */
struct ntmd_kernel_phase;

/* Takes packets one by one. sent_ms: boot-time clock */
struct ntmd_kernel_each {
	void (*take)(void *ctx, const uint8_t *packet, size_t len, int64_t sent_ms);
	void *ctx;
};

struct ntmd_kernel_ops {
	bool (*is_attached)(const struct ntmd_kernel *kernel);
	void (*own_changed)(struct ntmd_kernel *kernel); /* virtual addresses of the engine */
	/* Something that packets depend on: ID, addresses, routes, MTU, phase, whether the peer's daemon is
	 * dead. */
	void (*path_changed)(struct ntmd_kernel *kernel, struct ntmd_engine_path *path);
	/* replaced: another path has its addresses now; what is on the way still comes. */
	void (*path_deleted)(struct ntmd_kernel *kernel, struct ntmd_engine_path *path, bool replaced);
	void (*path_stats)(struct ntmd_kernel *kernel, const struct ntmd_engine_path *path,
			   struct ntmd_engine_stats *stats);
	/* Takes the inline lane of a new phase, or not (NULL). */
	struct ntmd_kernel_phase *(*phase_take)(struct ntmd_kernel *kernel, struct ntmd_engine_path *path,
						unsigned phase, const struct ntmd_engine_keys *keys,
						int64_t expires_ms);
	void (*phase_drop)(struct ntmd_kernel *kernel, struct ntmd_kernel_phase *phase);
	/* A packet under it opened here: true if its counter is new, by the one window. */
	bool (*phase_commit)(struct ntmd_kernel *kernel, struct ntmd_kernel_phase *phase, uint64_t counter);
	/* Sends one inner packet by the inline lane. 0, or -EAGAIN: hold it. */
	int (*path_send)(struct ntmd_kernel *kernel, struct ntmd_engine_path *path, const uint8_t *packet,
			 size_t len);
	/* The last segment of each TCP connection, of all paths, that it sent or had no way for. */
	void (*segments_each)(struct ntmd_kernel *kernel, const struct ntmd_kernel_each *each);
};

#endif
