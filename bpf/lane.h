/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * lane.h - which lane a packet takes while ntmd lives at both ends: inline saves the way through two daemons, bulk
 * saves work where there is much of it. The thresholds are in struct ntm_config.
 */
#ifndef NTM_BPF_LANE_H
#define NTM_BPF_LANE_H

#include "path.h"

#define LANE_ACKED_MAX (1U << 22) /* more at once is no progress: the table had another flow there */
#define LANE_SEGMENT 1400 /* bytes of a full segment, about */
#define LANE_SHIFT 10 /* times are kept in 1024 ns: 32 bits of them last for 73 minutes */

/*
 * How many packets a TCP segment without data acknowledges; 0: it is none, or nothing new. Acknowledgements belong into the
 * lane of what they acknowledge: inline ones come so early that the other end has little to put into its next
 * super-packet.
 */
static __always_inline __u32 lane_acked(struct __sk_buff *skb, struct ntm_map_flow *flow)
{
	__u8 ip[10] = {}, tcp[14] = {};
	__u32 at, ack, more;

	if (skb->len > 120 || bpf_skb_load_bytes(skb, 0, ip, sizeof(ip)))
		return 0;
	at = ip[0] >> 4 == 4 ? (ip[0] & 15) * 4 : 40;
	if ((ip[0] >> 4 == 4 ? ip[9] : ip[6]) != IPPROTO_TCP || bpf_skb_load_bytes(skb, at, tcp, sizeof(tcp)) ||
	    skb->len != at + (tcp[12] >> 4) * 4)
		return 0;
	ack = (__u32)tcp[8] << 24 | (__u32)tcp[9] << 16 | (__u32)tcp[10] << 8 | tcp[11];
	more = ack - flow->ack;
	flow->ack = ack;
	return more < LANE_ACKED_MAX ? more / LANE_SEGMENT : 0;
}

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
		flow->ack = 0;
	}
	if (time - flow->since >= config->lane_ns >> LANE_SHIFT) {
		flow->packets = 0;
		flow->since = time;
	}
	flow->packets += weight + lane_acked(skb, flow);
	if (bulk || flow->packets > config->lane_packets) {
		flow->bulk = time ? time : 1;
		return true;
	}
	return flow->bulk && time - flow->bulk < config->lane_hold_ns >> LANE_SHIFT;
}

#endif
