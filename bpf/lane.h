/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * lane.h - which lane a packet takes while ntmd lives at both ends: inline saves the way through two daemons, bulk
 * saves work where there is much of it. The thresholds are in struct ntm_config.
 */
#ifndef NTM_BPF_LANE_H
#define NTM_BPF_LANE_H

#include "path.h"

#define LANE_SHIFT 10 /* times are kept in 1024 ns: 32 bits of them last for 73 minutes */

/*
 * Whether this packet is bulk. A flow that was bulk stays so for lane_hold_ns, since packets that take the inline
 * lane overtake what ntmd still has. Two flows with one place in the table: the bulk one keeps it, the other is
 * judged packet by packet: super-packets are bulk. CPUs do not wait for each other here: a wrong count is no harm.
 */
static __always_inline bool lane_is_bulk(struct __sk_buff *skb, const struct ntm_config *config, __u64 now)
{
	__u32 weight = skb->len > config->lane_size ? 2 : 1;
	bool bulk = skb->gso_size;
	__u32 hash, at, time = (__u32)(now >> LANE_SHIFT);
	struct ntm_map_flow *flow;

	if (config->flags & (NTM_CONFIG_ALL_INLINE | NTM_CONFIG_ALL_BULK))
		return config->flags & NTM_CONFIG_ALL_BULK;
	hash = bpf_get_hash_recalc(skb);
	at = hash & (NTM_FLOWS_SLOTS - 1);
	flow = bpf_map_lookup_elem(&ntm_flows, &at);
	if (!flow)
		return bulk;
	if (flow->hash != hash) {
		if (flow->bulk && time - flow->bulk < config->lane_hold_ns >> LANE_SHIFT)
			return bulk;
		flow->hash = hash;
		flow->packets = 0;
		flow->since = time;
		flow->bulk = 0;
	}
	if (time - flow->since >= config->lane_ns >> LANE_SHIFT) {
		flow->packets = 0;
		flow->since = time;
	}
	flow->packets += weight;
	if (bulk || flow->packets > config->lane_packets) {
		flow->bulk = time ? time : 1;
		return true;
	}
	return flow->bulk && time - flow->bulk < config->lane_hold_ns >> LANE_SHIFT;
}

#endif
