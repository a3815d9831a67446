/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_hop.h - the next hop towards a leg: interface and link-layer addresses by the kernel's routes and
 * neighbours, kept with the path until ntm-rs tells that those changed (rs_config.generation); what all paths
 * by one device have in common is in rs_exits.
 * relay_admit.h -> here -> relay_rewrite.h.
 */
#ifndef NTM_BPF_RELAY_HOP_H
#define NTM_BPF_RELAY_HOP_H

#include "relay_maps.h"
#include "relay_packet.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

/* Where a frame leaves, and for whom. */
struct way_out {
	struct ntm_relay_exit exit;
	__u8 dmac[6];
	__u8 number; /* as in struct ntm_relay_hop */
};

/* What the packets for a leg are sent from: one of rs_local. */
static __always_inline const struct ntm_relay_local *leg_local(const struct ntm_relay_leg *leg)
{
	__u32 key = leg->local;

	return bpf_map_lookup_elem(&rs_local, &key);
}

/*
 * Asks the kernel. As `lo`, so that the rules for the host's own packets apply: no reverse path, forwarding
 * of real interfaces off or on. Without a route, a neighbour or a device that may be used ntm-rs sends the
 * packet, which also makes the kernel look for the neighbour. What is the device's goes to rs_exits, too.
 */
static __attribute__((noinline)) int hop_lookup(struct xdp_md *ctx, const struct ntm_relay_leg *leg,
						struct way_out *ret_way)
{
	const struct ntm_relay_local *local = leg_local(leg);
	struct bpf_fib_lookup fib = {.l4_protocol = IPPROTO_UDP, .ifindex = LOOPBACK_IFINDEX};
	struct address source, dest = address_load(&leg->remote.addr);
	const struct ntm_relay_device *device;
	struct ntm_relay_exit *kept;
	__u32 mtu = 0, number;

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
	/* The device's, as for ntm-rs's sockets. fib.mtu_result is what ICMP has told of the route: by
	 * anybody, good for ten minutes, and the ends find out themselves what passes. */
	if (bpf_check_mtu(ctx, fib.ifindex, &mtu, 0, 0) < 0 || !mtu)
		return XDP_PASS;
	device = bpf_map_lookup_elem(&rs_devices, &fib.ifindex);
	if (!device)
		return XDP_PASS;
	number = device->number;
	kept = bpf_map_lookup_elem(&rs_exits, &number);
	if (!kept)
		return XDP_PASS;
	__builtin_memcpy(ret_way->dmac, fib.dmac, sizeof(fib.dmac));
	ret_way->number = (__u8)(number + 1);
	ret_way->exit.ifindex = device->ifindex;
	ret_way->exit.vlan = device->vlan | device->flags;
	ret_way->exit.mtu = mtu < 65535 ? (__u16)mtu : 65535; /* lo has one more */
	__builtin_memcpy(ret_way->exit.smac, fib.smac, sizeof(fib.smac));
	ret_way->exit.zero = 0;
	*kept = ret_way->exit;
	return 0;
}

/* wanted: ntm_relay_hop_wanted(). 0, or XDP_PASS. */
static __always_inline int hop_find(struct xdp_md *ctx, struct ntm_relay_hop *hop,
				    const struct ntm_relay_leg *leg, __u16 wanted, struct way_out *ret_way)
{
	if (*(volatile const __u16 *)&hop->generation == wanted) {
		__u32 number = hop->number - 1U;
		const struct ntm_relay_exit *kept = bpf_map_lookup_elem(&rs_exits, &number);

		__builtin_memcpy(ret_way->dmac, hop->dmac, sizeof(hop->dmac));
		if (kept && *(volatile const __u16 *)&hop->generation == wanted) {
			ret_way->exit = *kept;
			return 0;
		}
	}
	if (hop_lookup(ctx, leg, ret_way))
		return XDP_PASS;
	/* Another CPU that reads now finds it too old, before or after it has read half of each. */
	*(volatile __u16 *)&hop->generation = (__u16)~wanted;
	barrier();
	__builtin_memcpy(hop->dmac, ret_way->dmac, sizeof(hop->dmac));
	hop->number = ret_way->number;
	barrier();
	*(volatile __u16 *)&hop->generation = wanted;
	return 0;
}

static __always_inline bool way_is_tx(const struct xdp_md *ctx, const struct way_out *way)
{
	return way->exit.ifindex == ctx->ingress_ifindex;
}

/* Whether frames that came in by this interface can go there. */
static __always_inline bool way_is_open(const struct xdp_md *ctx, const struct way_out *way)
{
	return way_is_tx(ctx, way) || !(way->exit.vlan & NTM_RELAY_TX_ONLY);
}

static __always_inline int way_send(const struct xdp_md *ctx, const struct way_out *way)
{
	return way_is_tx(ctx, way) ? XDP_TX : (int)bpf_redirect(way->exit.ifindex, 0);
}

#endif
