/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_hop.h - the next hop towards a leg: interface and link-layer addresses by the kernel's routes and
 * neighbours, kept with the path until ntm-rs tells that those changed (rs_config.generation).
 * relay_admit.h -> here -> relay_rewrite.h.
 */
#ifndef NTM_BPF_RELAY_HOP_H
#define NTM_BPF_RELAY_HOP_H

#include "relay_maps.h"
#include "relay_packet.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

/* What the packets for a leg are sent from: one of rs_local. */
static __always_inline const struct ntm_relay_local *leg_local(const struct ntm_relay_leg *leg)
{
	__u32 key = leg->local;

	return bpf_map_lookup_elem(&rs_local, &key);
}

/*
 * Asks the kernel. As `lo`, so that the rules for the host's own packets apply: no reverse path, forwarding of
 * real interfaces off or on. Without a route, a neighbour or a device that may be used ntm-rs sends the packet,
 * which also makes the kernel look for the neighbour.
 */
static __attribute__((noinline)) int hop_lookup(struct xdp_md *ctx, const struct ntm_relay_leg *leg,
						struct ntm_relay_hop *ret_hop)
{
	const struct ntm_relay_local *local = leg_local(leg);
	struct bpf_fib_lookup fib = {.l4_protocol = IPPROTO_UDP, .ifindex = LOOPBACK_IFINDEX};
	struct address source, dest = address_load(&leg->remote.addr);
	const struct ntm_relay_device *device;
	__u32 mtu = 0;

	if (!local)
		return XDP_PASS;
	source = address_load(&local->at.addr);
	fib.sport = bpf_htons(local->at.port);
	fib.dport = bpf_htons(leg->remote.port);
	if (address_is4(&dest)) {
		fib.family = AF_INET;
		fib.ipv4_src = ADDRESS_SECOND(source.lo);
		fib.ipv4_dst = ADDRESS_SECOND(dest.lo);
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, &source, sizeof(source));
		__builtin_memcpy(fib.ipv6_dst, &dest, sizeof(dest));
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	/* The device's, as for ntm-rs's sockets. fib.mtu_result is what ICMP has told of the route: by anybody, good for
	 * ten minutes, and the ends find out themselves what passes. */
	if (bpf_check_mtu(ctx, fib.ifindex, &mtu, 0, 0) < 0 || !mtu)
		return XDP_PASS;
	device = bpf_map_lookup_elem(&rs_devices, &fib.ifindex);
	if (!device)
		return XDP_PASS;
	ret_hop->ifindex = device->ifindex;
	__builtin_memcpy(ret_hop->dmac, fib.dmac, sizeof(fib.dmac));
	__builtin_memcpy(ret_hop->smac, fib.smac, sizeof(fib.smac));
	ret_hop->vlan = device->vlan | device->flags;
	ret_hop->mtu = mtu < 65535 ? (__u16)mtu : 65535; /* lo has one more */
	return 0;
}

/* 0, or XDP_PASS. */
static __always_inline int hop_find(struct xdp_md *ctx, struct ntm_relay_hop *kept, const struct ntm_relay_leg *leg,
				    __u32 generation, __u64 now_ns, struct ntm_relay_hop *ret_hop)
{
	__u16 tick = (__u16)(now_ns >> NTM_RELAY_TICK_SHIFT), wanted = (__u16)(generation + leg->moves);

	*ret_hop = *kept;
	if (ret_hop->ifindex && ret_hop->generation == wanted &&
	    (__u16)(tick - ret_hop->looked) <= NTM_RELAY_HOP_TICKS)
		return 0;
	if (hop_lookup(ctx, leg, ret_hop))
		return XDP_PASS;
	ret_hop->generation = wanted;
	ret_hop->looked = tick;
	/* Another CPU that reads now finds it too old, not half of each. */
	*(volatile __u16 *)&kept->generation = (__u16)~wanted;
	barrier();
	kept->ifindex = ret_hop->ifindex;
	__builtin_memcpy(kept->dmac, ret_hop->dmac, sizeof(kept->dmac));
	__builtin_memcpy(kept->smac, ret_hop->smac, sizeof(kept->smac));
	kept->vlan = ret_hop->vlan;
	kept->mtu = ret_hop->mtu;
	kept->looked = tick;
	barrier();
	*(volatile __u16 *)&kept->generation = wanted;
	return 0;
}

static __always_inline bool hop_is_tx(const struct xdp_md *ctx, const struct ntm_relay_hop *hop)
{
	return hop->ifindex == ctx->ingress_ifindex;
}

/* Whether frames that came in by this interface can go there. */
static __always_inline bool hop_is_open(const struct xdp_md *ctx, const struct ntm_relay_hop *hop)
{
	return hop_is_tx(ctx, hop) || !(hop->vlan & NTM_RELAY_TX_ONLY);
}

static __always_inline int hop_send(const struct xdp_md *ctx, const struct ntm_relay_hop *hop)
{
	return hop_is_tx(ctx, hop) ? XDP_TX : (int)bpf_redirect(hop->ifindex, 0);
}

#endif
