/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_maps.h - the relay's maps (include/ntm/relay_map.h says what is in them), and counting.
 * Sizes of rs_paths, rs_index and rs_state are what ntm-rs sets before it loads.
 */
#ifndef NTM_BPF_RELAY_MAPS_H
#define NTM_BPF_RELAY_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include <ntm/drop.h>
#include <ntm/limits.h>
#include <ntm/relay_map.h>

/* Path ID -> both legs */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NTM_RELAY_PATHS_MAX);
	__type(key, __u64);
	__type(value, struct ntm_relay_path);
} rs_paths SEC(".maps");

/* bucket -> tags of the paths in eight slots */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NTM_RELAY_PATHS_MAX / NTM_RELAY_BUCKET);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ntm_relay_bucket);
} rs_index SEC(".maps");

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

/* number of a way out -> what is written into frames that leave there */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NTM_RELAY_DEVICES);
	__type(key, __u32);
	__type(value, struct ntm_relay_exit);
} rs_exits SEC(".maps");

/* 0 -> settings */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ntm_relay_config);
} rs_config SEC(".maps");

/* slot -> all that a packet of a path needs, and counts */
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

/* hash of a path or a source -> how much control it has sent of late, to this CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1 << NTM_RELAY_CONTROL_BITS);
	__type(key, __u32);
	__type(value, struct ntm_relay_limit);
} rs_control SEC(".maps");

static __always_inline void stats_count(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&rs_stats, &reason);

	if (count)
		++*count;
}

/*
 * CLOCK_MONOTONIC to a jiffy. Asking for it takes a fifth of the whole relay's time, the jiffies none: so it
 * is asked once in each.
 */
static __always_inline __u64 clock_ns(struct ntm_relay_load *load)
{
	__u64 jiffies = bpf_jiffies64();

	if (load->jiffies != jiffies) {
		load->jiffies = jiffies;
		load->now_ns = bpf_ktime_get_coarse_ns();
	}
	return load->now_ns;
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
