/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * lane.h - which lane a packet takes while ntmd lives at both ends: inline saves the way through two daemons,
 * bulk saves work where there is much of it. The thresholds are in struct ntm_config.
 */
#ifndef NTM_BPF_LANE_H
#define NTM_BPF_LANE_H

#include "inner.h"

#define LANE_ACKED_MAX (1U << 22) /* more at once is no progress: the table had another flow there */
#define LANE_SEGMENT 1400 /* bytes of a full segment, about */
#define LANE_COUNT_MAX 0x7fff /* packets that are counted: far more than any threshold */
/* Odd, its bits as if by chance: the upper half of a product depends on all bits */
#define LANE_HASH 0x9e3779b97f4a7c15ULL
#define LANE_NO_SLOT 0xffff /* of a flow: not known. It may be one: there is no harm in looking at that */
#define LANE_SHIFT 10 /* times are kept in 1024 ns: 32 bits of them last for 73 minutes */

/* What the lane is chosen by. */
struct lane {
	struct ntm_map_flow *flow; /* NULL: its place in the table is another's */
	bool bulk;
	bool again; /* so were packets of the flow before */
};

/* Where TCP's or UDP's header begins, or 0: options, a fragment, another protocol. p: at the IP header */
static __always_inline __u32 lane_transport(const struct inner *inner, struct parse p, __u8 *ret_proto)
{
	const struct ipv6hdr *ip6 = p.at;
	const struct iphdr *ip4 = p.at;
	__u32 at = sizeof(*ip6);

	if ((void *)(ip4 + 1) > p.end)
		return 0;
	if (inner->version == 6) {
		*ret_proto = ip6->nexthdr;
	} else {
		if (*(const __u8 *)ip4 != 0x45 || ip4->frag_off & bpf_htons(IP4_FRAGMENT))
			return 0;
		*ret_proto = ip4->protocol;
		at = sizeof(*ip4);
	}
	return *ret_proto == IPPROTO_TCP || *ret_proto == IPPROTO_UDP ? at : 0;
}

/*
 * The flow as a number. The kernel's own, which comes with what TCP sends; to ask for it
 * (bpf_get_hash_recalc) costs as much as the rest of tc_egress, so others get one of their addresses and
 * ports. at: of lane_transport
 */
static __always_inline __u32 lane_hash(const struct __sk_buff *skb, const struct inner *inner, struct parse p,
				       __u32 at)
{
	const __u32 *from = (const void *)&inner->source, *to = (const void *)&inner->dest;
	__u32 hash = skb->hash, ports = 0;
	const void *transport = p.at + at;

	if (hash)
		return hash;
	if (at && transport + sizeof(ports) <= p.end)
		ports = *(const __u32 *)transport;
	return (((__u64)ports << 32 | (from[3] ^ to[0] ^ to[1] ^ to[2] ^ to[3])) * LANE_HASH) >> 32;
}

/*
 * How many packets a TCP segment without data acknowledges; 0: it is none, or nothing new. Acknowledgements
 * belong into the lane of what they acknowledge: inline ones come so early that the other end has little to
 * put into its next super-packet. at: where TCP begins
 */
static __always_inline __u32 lane_acked(struct __sk_buff *skb, __u32 at, struct ntm_map_flow *flow)
{
	__u8 tcp[14] = {};
	__u32 ack, more;

	if (skb->len > 120 || bpf_skb_load_bytes(skb, at, tcp, sizeof(tcp)) ||
	    skb->len != at + (tcp[12] >> 4) * 4)
		return 0;
	ack = (__u32)tcp[8] << 24 | (__u32)tcp[9] << 16 | (__u32)tcp[10] << 8 | tcp[11];
	more = ack - flow->ack;
	flow->ack = ack;
	return more < LANE_ACKED_MAX ? more / LANE_SEGMENT : 0;
}

/* The flow's place, or NULL: a bulk flow has it. */
static __always_inline struct ntm_map_flow *lane_flow(const struct ntm_config *config, __u32 hash, __u32 time)
{
	__u32 at = (__u64)hash * NTM_FLOWS_SLOTS >> 32;
	struct ntm_map_flow *flow = bpf_map_lookup_elem(&ntm_flows, &at);

	if (!flow || flow->hash == hash)
		return flow;
	if (flow->bulk && time - flow->bulk < config->lane_hold_ns >> LANE_SHIFT)
		return NULL;
	flow->hash = hash;
	flow->packets = 0;
	flow->since = time;
	flow->bulk = 0;
	flow->ack = 0;
	return flow;
}

/*
 * Whether this packet, with its IP header at p, is bulk. A flow that was bulk stays so for lane_hold_ns,
 * since packets that take the inline lane overtake what ntmd still has. Two flows with one place in the
 * table: the bulk one keeps it, the other is judged packet by packet: super-packets are bulk. CPUs do not
 * wait for each other here: a wrong count is no harm.
 */
static __always_inline void lane_choose(struct lane *ret, struct __sk_buff *skb,
					const struct ntm_config *config, const struct inner *inner,
					struct parse p, __u64 now)
{
	__u32 at, time = (__u32)(now >> LANE_SHIFT), weight = skb->len > config->lane_size ? 2 : 1;
	struct ntm_map_flow *flow;
	__u8 proto = 0;

	ret->flow = NULL;
	ret->again = false;
	ret->bulk = skb->gso_size;
	if (config->flags & (NTM_CONFIG_ALL_INLINE | NTM_CONFIG_ALL_BULK)) {
		ret->bulk = config->flags & NTM_CONFIG_ALL_BULK;
		return;
	}
	at = lane_transport(inner, p, &proto);
	flow = lane_flow(config, lane_hash(skb, inner, p, at), time);
	ret->flow = flow;
	if (!flow)
		return;
	ret->again = flow->bulk;
	if (time - flow->since >= config->lane_ns >> LANE_SHIFT) {
		flow->packets = 0;
		flow->since = time;
	}
	if (at && proto == IPPROTO_TCP)
		weight += lane_acked(skb, at, flow);
	if (flow->packets <= LANE_COUNT_MAX)
		flow->packets += weight;
	if (ret->bulk || flow->packets > config->lane_packets) {
		flow->bulk = time ? time : 1;
		ret->bulk = true;
		return;
	}
	ret->bulk = flow->bulk && time - flow->bulk < config->lane_hold_ns >> LANE_SHIFT;
}

/*
 * ntmd gets this packet, whatever its lane: there is no path yet, or no way, or others wait there. Those
 * behind it must not overtake it, neither in the TUN's queue nor at the peer: its flow is bulk for
 * lane_hold_ns as well.
 */
static __always_inline void lane_stays(const struct lane *lane, __u64 now)
{
	__u32 time = (__u32)(now >> LANE_SHIFT);

	if (!lane->flow)
		return;
	lane->flow->bulk = time ? time : 1;
	lane->flow->slot = LANE_NO_SLOT; /* the next one is not clear */
}

/* Whether it is bulk for certain, without looking for its path: ntmd looks, too. */
static __always_inline bool lane_is_clear(const struct lane *lane)
{
	const struct ntm_ends *ends;
	__u32 slot;

	if (!lane->flow || !lane->bulk || !lane->again)
		return false;
	slot = lane->flow->slot;
	ends = bpf_map_lookup_elem(&ntm_ends, &slot);
	return ends && !(ends->copy[READ_ONCE(ends->version) & 1].flags & NTM_ENDS_BULK_DEAD);
}

#endif
