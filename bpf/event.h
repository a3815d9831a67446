/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * event.h - tells ntmd what it cannot see itself (enum ntm_event_kind of include/ntm/maps.h).
 */
#ifndef NTM_BPF_EVENT_H
#define NTM_BPF_EVENT_H

#include "path.h"

#define EVENT_KINDS 8

/* kind -> when it was told last on this CPU, boot-time clock */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} ntm_event_ns SEC(".maps") __weak;

/* If the ring is full, ntmd does not read it: then nobody is told. */
static __always_inline void event_send(const struct path *path, __u32 kind, __u32 phase, __u64 value,
				       __u64 now)
{
	struct ntm_event *event = bpf_ringbuf_reserve(&ntm_events, sizeof(*event), 0);

	if (!event)
		return;
	event->kind = kind;
	event->slot = path->slot;
	event->path_id = path->ends->path_id;
	event->value = value;
	event->time_ns = now;
	event->phase = phase;
	event->zero = 0;
	bpf_ringbuf_submit(event, 0);
}

/* The same, at most once in NTM_EVENT_NS: for what strangers can cause. */
static __always_inline void event_hint(const struct path *path, __u32 kind, __u32 phase, __u64 value,
				       __u64 now)
{
	__u64 *last = bpf_map_lookup_elem(&ntm_event_ns, &kind);

	if (!last || (*last && now - *last < NTM_EVENT_NS))
		return;
	*last = now;
	event_send(path, kind, phase, value, now);
}

#endif
