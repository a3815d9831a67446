/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * datapath_maps_internal.h - what datapath_maps.c, datapath_keys.c and datapath_left.c share; nobody else
 * looks into the maps.
 */
#ifndef NTMD_DATAPATH_MAPS_INTERNAL_H
#define NTMD_DATAPATH_MAPS_INTERNAL_H

#include <linux/bpf.h>
#include <sys/queue.h>

#include <ntm/maps.h>

#include "daemon/datapath_maps.h"

/* What we know of a slot that is taken. */
struct ntmd_maps_slot {
	struct ntm_state found; /* when it was taken */
	int source[2]; /* of route and second; -1: none */
	int phase; /* that seals; -1: none */
	uint32_t tag[2]; /* of the keys, by the lowest bit of their phase; 0: none */
	int64_t wipe_ms[2]; /* when the place of a dropped key is wiped; 0: it is clean */
};

struct ntmd_maps {
	int fd[NTMD_MAPS];
	int commit_fd;
	unsigned slots, next_slot;
	struct ntmd_maps_slot **slot; /* NULL: free */
	struct ntm_ends *ends; /* these four are the maps themselves */
	struct ntm_source *sources;
	struct ntm_config *config;
	struct ntm_map_segment *segments;
	struct {
		unsigned users; /* ways of slots */
		int64_t free_ms; /* without users: may be another one from then on */
	} source[NTM_SOURCES_SLOTS];
	STAILQ_HEAD(, grace) grace; /* the first due first */
	struct event *timer;
	int64_t waited_ms; /* what was dropped before, no program reads any more */
	uint8_t label_key[NTM_KEY_LEN];
};

int ntmd_maps_state_get(const struct ntmd_maps *maps, unsigned slot, struct ntm_state *ret_state);
void ntmd_maps_who_get(const struct ntm_ends *ends, struct ntmd_maps_who *ret_who);
void ntmd_maps_ends_flip(struct ntm_ends *ends, const struct ntm_ends_copy *copy);
void ntmd_maps_source_found(struct ntmd_maps *maps, struct ntmd_maps_slot *slot, int which, unsigned source);

/* What was taken away from the programs, and waits until nobody can know it: a slot, an index in ntm_keys, a
 * tag. */
enum ntmd_maps_grace { NTMD_MAPS_GRACE_SLOT, NTMD_MAPS_GRACE_KEY, NTMD_MAPS_GRACE_WINDOW };
/* When it is due, loop time. Without memory it stays taken for ever: INT64_MAX. */
int64_t ntmd_maps_grace_begin(struct ntmd_maps *maps, enum ntmd_maps_grace kind, uint32_t id);

#endif
