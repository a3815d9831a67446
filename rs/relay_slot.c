/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_slot.c - slots of rs_state for paths, and rs_index, by which XDP finds them (relay_slot.h). Its other
 * end is bpf/relay_find.h.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "relay_slot.h"

/* All of an array map; its entries are value bytes each. */
static int map_all(int fd, uint32_t value, uint32_t *ret_entries, void **ret_at)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	void *at;

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	if (info.value_size != value)
		return -EINVAL;
	at = mmap(NULL, (size_t)info.max_entries * value, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*ret_at = at;
	*ret_entries = info.max_entries;
	return 0;
}

int rs_relay_slots_open(struct rs_relay_slots *slots, int state_fd, int index_fd)
{
	void *state, *bucket;
	int err;

	memset(slots, 0, sizeof(*slots));
	err = map_all(state_fd, sizeof(*slots->state), &slots->max, &state);
	if (err)
		return err;
	slots->state = state;
	err = map_all(index_fd, sizeof(*slots->bucket), &slots->buckets, &bucket);
	if (err)
		goto fail;
	slots->bucket = bucket;
	slots->used = calloc(slots->max / 64 + 1, sizeof(*slots->used));
	slots->hidden = calloc(slots->max, sizeof(*slots->hidden));
	err = !slots->used || !slots->hidden		       ? -ENOMEM
	      : slots->buckets < ntm_relay_buckets(slots->max) ? -EINVAL
							       : 0;
	if (err)
		goto fail;
	slots->buckets = ntm_relay_buckets(slots->max);
	return 0;

fail:
	rs_relay_slots_close(slots);
	return err;
}

void rs_relay_slots_close(struct rs_relay_slots *slots)
{
	if (slots->state)
		munmap(slots->state, (size_t)slots->max * sizeof(*slots->state));
	if (slots->bucket)
		munmap(slots->bucket, (size_t)slots->buckets * sizeof(*slots->bucket));
	free(slots->used);
	free(slots->hidden);
	memset(slots, 0, sizeof(*slots));
}

/* ---- which are free */

static bool is_used(const struct rs_relay_slots *slots, uint32_t slot)
{
	return slots->used[slot / 64] & 1ULL << slot % 64;
}

static bool is_settled(const struct rs_relay_slots *slots, uint32_t slot, uint32_t tick)
{
	return !slots->hidden[slot] || tick - slots->hidden[slot] >= RS_SLOT_TICKS;
}

static bool is_free(const struct rs_relay_slots *slots, uint32_t slot, uint32_t tick)
{
	return slot < slots->max && !is_used(slots, slot) && is_settled(slots, slot, tick);
}

/* How many of a bucket's slots are, and the first of them. */
static unsigned free_in(const struct rs_relay_slots *slots, uint32_t bucket, uint32_t tick,
			uint32_t *ret_slot)
{
	unsigned count = 0;

	for (uint32_t i = NTM_RELAY_BUCKET; i--;) {
		if (!is_free(slots, bucket * NTM_RELAY_BUCKET + i, tick))
			continue;
		*ret_slot = bucket * NTM_RELAY_BUCKET + i;
		count++;
	}
	return count;
}

/* Any: XDP looks into rs_paths for the path. */
static int free_anywhere(const struct rs_relay_slots *slots, uint32_t from, uint32_t tick, uint32_t *ret_slot)
{
	uint32_t slot = from;

	for (uint32_t seen = 0; seen < slots->max;) {
		uint32_t step = 1;

		if (slot % 64 == 0 && slots->used[slot / 64] == UINT64_MAX) {
			step = 64;
		} else if (is_free(slots, slot, tick)) {
			*ret_slot = slot;
			return 0;
		}
		seen += step;
		slot = slot + step < slots->max ? slot + step : 0;
	}
	return -ENOSPC;
}

int rs_relay_slot_take(struct rs_relay_slots *slots, uint64_t id, uint32_t tick, uint32_t *ret_slot)
{
	struct ntm_relay_home home = ntm_relay_home(id, slots->buckets);
	uint32_t first = 0, second = 0, slot;
	unsigned firsts = free_in(slots, home.bucket[0], tick, &first),
		 seconds = free_in(slots, home.bucket[1], tick, &second);
	bool homes[2] = {is_free(slots, home.slot[0], tick), is_free(slots, home.slot[1], tick)};
	int err = 0;

	if (homes[0] || homes[1])
		slot = home.slot[!homes[0] || (homes[1] && seconds > firsts)]; /* where XDP looks anyway */
	else if (firsts || seconds)
		slot = firsts >= seconds ? first : second;
	else
		err = free_anywhere(slots, home.bucket[0] * NTM_RELAY_BUCKET % slots->max, tick, &slot);
	if (err)
		return err;
	slots->used[slot / 64] |= 1ULL << slot % 64;
	memset(&slots->state[slot], 0, sizeof(slots->state[slot]));
	*ret_slot = slot;
	return 0;
}

int rs_relay_slot_keep(struct rs_relay_slots *slots, uint32_t slot)
{
	if (slot >= slots->max || is_used(slots, slot))
		return -EEXIST;
	slots->used[slot / 64] |= 1ULL << slot % 64;
	return 0;
}

void rs_relay_slot_free(struct rs_relay_slots *slots, uint32_t slot, uint32_t tick)
{
	rs_relay_slot_hide(slots, slot, tick);
	slots->hidden[slot] = tick;
	slots->used[slot / 64] &= ~(1ULL << slot % 64);
}

void rs_relay_slots_clean(struct rs_relay_slots *slots, uint32_t tick)
{
	for (uint32_t slot = 0; slot < slots->max; slot++) {
		if (!is_used(slots, slot))
			rs_relay_slot_hide(slots, slot, tick);
	}
}

/* ---- what is found */

static uint16_t *tag_of(const struct rs_relay_slots *slots, uint32_t slot)
{
	return &slots->bucket[slot / NTM_RELAY_BUCKET].tag[slot % NTM_RELAY_BUCKET];
}

bool rs_relay_slot_show(struct rs_relay_slots *slots, uint32_t slot, uint64_t id,
			const struct ntm_relay_leg leg[2], uint32_t tick)
{
	struct ntm_relay_home home = ntm_relay_home(id, slots->buckets);
	struct ntm_relay_state *state = &slots->state[slot];
	uint32_t bucket = slot / NTM_RELAY_BUCKET;

	if (state->id == id || (bucket != home.bucket[0] && bucket != home.bucket[1]))
		return true;
	if (!is_settled(slots, slot, tick))
		return false;
	memcpy(state->leg, leg, sizeof(state->leg));
	__atomic_store_n(&state->id, id, __ATOMIC_RELEASE);
	__atomic_store_n(tag_of(slots, slot), home.tag, __ATOMIC_RELEASE);
	return true;
}

void rs_relay_slot_hide(struct rs_relay_slots *slots, uint32_t slot, uint32_t tick)
{
	struct ntm_relay_state *state = &slots->state[slot];

	if (!state->id && !*tag_of(slots, slot))
		return;
	__atomic_store_n(tag_of(slots, slot), 0, __ATOMIC_RELEASE);
	__atomic_store_n(&state->id, 0, __ATOMIC_RELEASE);
	slots->hidden[slot] = tick;
}
