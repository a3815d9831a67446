/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_slot.h - the slots of rs_state: which path has which, and which paths XDP finds there by rs_index,
 * without a look into rs_paths (include/ntm/relay_map.h, "the short way and the long one"). relay_map.c ->
 * here -> both maps, mmapped.
 *
 * A program that found a slot a moment ago may still read it. So what it reads of another path, or of other
 * legs, is written two ticks after the slot was hidden. Ticks are those of relay_map.h, given by the caller.
 */
#ifndef NTM_RS_RELAY_SLOT_H
#define NTM_RS_RELAY_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include <ntm/relay_map.h>

#define RS_SLOT_TICKS 2

struct rs_relay_slots {
	struct ntm_relay_state *state; /* all of rs_state */
	struct ntm_relay_bucket *bucket; /* all of rs_index */
	uint32_t max, buckets;
	uint64_t *used; /* a bit a slot */
	uint32_t *hidden; /* when each was taken out of rs_index, or freed: ticks; 0: never */
};

/* Maps both; what an earlier ntm-rs left there stays. 0 or -errno. */
int rs_relay_slots_open(struct rs_relay_slots *slots, int state_fd, int index_fd);
void rs_relay_slots_close(struct rs_relay_slots *slots);

/* A slot for a new path, zeroed: if there is one, where it can be found by rs_index. 0 or -ENOSPC. */
int rs_relay_slot_take(struct rs_relay_slots *slots, uint64_t id, uint32_t tick, uint32_t *ret_slot);
/* The slot of a path that was there before; 0, or -EEXIST: it is another's, or none. */
int rs_relay_slot_keep(struct rs_relay_slots *slots, uint32_t slot);
void rs_relay_slot_free(struct rs_relay_slots *slots, uint32_t slot, uint32_t tick);
/* When all that are to be kept are: nothing is found in the others. */
void rs_relay_slots_clean(struct rs_relay_slots *slots, uint32_t tick);

static inline bool rs_relay_slot_is_shown(const struct rs_relay_slots *slots, uint32_t slot)
{
	return slots->state[slot].id != 0;
}

/* The path with these legs is found there from now on. False: not yet; true, too, if it never can be. */
bool rs_relay_slot_show(struct rs_relay_slots *slots, uint32_t slot, uint64_t id,
			const struct ntm_relay_leg leg[2], uint32_t tick);
/* It is not found there any more; before its legs change in rs_paths. */
void rs_relay_slot_hide(struct rs_relay_slots *slots, uint32_t slot, uint32_t tick);

#endif
