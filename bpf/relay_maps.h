/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_maps.h - the relay's maps (include/ntm/relay_map.h says what is in them), and counting.
 * Sizes of rs_paths and rs_state are what ntm-rs sets before it loads.
 */
#ifndef NTM_BPF_RELAY_MAPS_H
#define NTM_BPF_RELAY_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include <ntm/drop.h>
#include <ntm/limits.h>
#include <ntm/relay_map.h>

/* Path ID -> both legs. Its memory is taken at once: an element alone would be rounded up to 192 bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NTM_RELAY_PATHS_MAX);
	__type(key, __u64);
	__type(value, struct ntm_relay_path);
} rs_paths SEC(".maps");

/* Path ID -> sources that count besides the bound ones */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NTM_RELAY_MOVINGS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct ntm_relay_moving);
} rs_moving SEC(".maps");

/* number -> one of our listen endpoints */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NTM_RELAY_LOCALS);
	__type(key, __u32);
	__type(value, struct ntm_relay_local);
} rs_local SEC(".maps");

/* interface index in a route -> how frames leave there */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NTM_RELAY_DEVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ntm_relay_device);
} rs_devices SEC(".maps");

/* 0 -> settings */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ntm_relay_config);
} rs_config SEC(".maps");

/* slot -> counters, last use and next hops of a path */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NTM_RELAY_PATHS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ntm_relay_state);
} rs_state SEC(".maps");

/* enum ntm_drop -> packets */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NTM_RELAY_STATS);
	__type(key, __u32);
	__type(value, __u64);
} rs_stats SEC(".maps");
_Static_assert(NTM_DROP_MAX <= NTM_RELAY_STATS, "every reason has its counter");

/* 0 -> load of this CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ntm_relay_load);
} rs_load SEC(".maps");

static __always_inline void stats_count(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&rs_stats, &reason);

	if (count)
		++*count;
}

/* Whether there is still one in this tick, of `most`. */
static __always_inline bool limit_take(struct ntm_relay_limit *limit, __u32 most, __u32 tick)
{
	if (limit->tick != tick) {
		limit->tick = tick;
		limit->used = 0;
	}
	if (limit->used >= most)
		return false;
	limit->used++;
	return true;
}

#endif
