/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * maps.h - the maps of the node's BPF programs. Keys, values and who writes them: include/ntm/maps.h. Each
 * object that includes this has them weakly; bpftool links them into one. ntmd sets the sizes of those marked
 * "slots" before loading.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include <ntm/drop.h>
#include <ntm/maps.h>

_Static_assert(NTM_DROP_MAX <= NTM_STATS_SLOTS, "a counter for every reason");

#define SLOTS 4096 /* the default number of paths */

/* peer's virtual address -> slot; 2 * slots */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * SLOTS);
	__type(key, struct ntm_addr);
	__type(value, __u32);
} ntm_vips SEC(".maps") __weak;

/* Path ID -> slot; slots */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__type(key, __u64);
	__type(value, __u32);
} ntm_paths SEC(".maps") __weak;

/* slot -> endpoints, MTU, flags; slots */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct ntm_ends);
} ntm_ends SEC(".maps") __weak;

/* index -> local end of paths */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NTM_SOURCES_SLOTS);
	__type(key, __u32);
	__type(value, struct ntm_source);
} ntm_sources SEC(".maps") __weak;

/* slot * 2 + (phase & 1) -> keys; 2 * slots */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SLOTS);
	__type(key, __u32);
	__type(value, struct ntm_map_key);
} ntm_keys SEC(".maps") __weak;

/* tag of a key -> replay window; 2 * slots, but most of the time only half of them are there: not allocated
 * before */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * SLOTS);
	__type(key, __u32);
	__type(value, struct ntm_window);
} ntm_windows SEC(".maps") __weak;

/* slot -> TX counter, traffic; slots */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct ntm_state);
} ntm_state SEC(".maps") __weak;

/* own address and port -> nothing yet */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NTM_LOCAL_SLOTS);
	__type(key, struct ntm_local);
	__type(value, __u32);
} ntm_local SEC(".maps") __weak;

/* 0 -> what holds for all paths */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ntm_config);
} ntm_config SEC(".maps") __weak;

/* drop reason -> count */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NTM_STATS_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} ntm_stats SEC(".maps") __weak;

/* struct ntm_event */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, NTM_EVENTS_BYTES);
} ntm_events SEC(".maps") __weak;

/* low bits of a flow's hash -> its rate */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NTM_FLOWS_SLOTS);
	__type(key, __u32);
	__type(value, struct ntm_map_flow);
} ntm_flows SEC(".maps") __weak;

/* hash of a TCP connection -> its last segment with data */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NTM_SEGMENTS_SLOTS);
	__type(key, __u32);
	__type(value, struct ntm_map_segment);
} ntm_segments SEC(".maps") __weak;

#endif
