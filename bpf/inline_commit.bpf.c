/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * inline_commit.bpf.c - ntmd's question, by BPF_PROG_TEST_RUN, whether a packet of BPF's inline lane that it
 * opened itself is new: replay.h on the same window that xdp_ingress.bpf.c uses. struct ntm_commit in
 * include/ntm/maps.h
 */
#include "event.h"
#include "replay.h"

char LICENSE[] SEC("license") __weak = "GPL";

SEC("tc")
int inline_commit(struct __sk_buff *skb)
{
	const struct ntm_commit *commit = (void *)(long)skb->data;
	struct ntm_window *window;
	struct ntm_ends_copy now;
	struct path path;
	__u64 counter;
	__u32 tag;
	bool first;

	if ((void *)(commit + 1) > (void *)(long)skb->data_end)
		return NTM_COMMIT_UNKNOWN;
	tag = commit->tag;
	counter = commit->counter;
	if (path_take(&path, &now, commit->slot) || counter > NTM_COUNTER_MASK)
		return NTM_COMMIT_UNKNOWN;
	window = bpf_map_lookup_elem(&ntm_windows, &tag);
	if (!window)
		return NTM_COMMIT_UNKNOWN;
	if (!replay_commit(window, counter, &first))
		return NTM_COMMIT_REPLAY;
	path.state->rx_ns = bpf_ktime_get_boot_ns();
	if (first)
		event_send(&path, NTM_EVENT_PHASE_OPENED, 0, tag, path.state->rx_ns);
	return NTM_COMMIT_NEW;
}
