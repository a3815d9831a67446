/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fib.h - where an outer packet goes next: the last look before tc_seal.bpf.c uses up a counter, and the redirect after
 * encap.h.
 *
 * The lookup is that of a packet which came in by ntm0p, where forwarding is on: bpf_fib_lookup refuses others, and
 * whether this host forwards must not matter. Neighbours are left to bpf_redirect_neigh, which asks for unknown ones
 * and confirms those in use, as the socket's packets do.
 */
#ifndef NTM_BPF_FIB_H
#define NTM_BPF_FIB_H

#include "csum.h"
#include "path.h"

struct fib_hop {
	__u32 ifindex;
	__u32 mtu; /* -NTM_DROP_TOO_BIG: of the device, outer packet */
	__u32 result; /* -NTM_DROP_NO_ROUTE: of bpf_fib_lookup */
	bool waits; /* its neighbour is not known yet: the kernel will ask, and keep the packet meanwhile */
	struct bpf_redir_neigh neigh; /* nh_family 0: the kernel looks for the route, among those of that device */
};

/*
 * One lookup for an outer packet of `len` bytes. 0, -NTM_DROP_NO_ROUTE (also for a route into the tunnel itself) or
 * -NTM_DROP_TOO_BIG.
 */
static __noinline int fib_find(struct __sk_buff *skb, const struct ntm_source *source, const struct ntm_way *way,
			       __u32 len, struct fib_hop *ret)
{
	const struct ntm_config *config = config_get();
	struct bpf_fib_lookup fib = {};
	long result = -1;
	bool found;

	if (!config)
		return -NTM_DROP_NO_ROUTE;
	ret->neigh.nh_family = 0;
	ret->ifindex = source->ifindex;
	ret->result = ret->mtu = 0;
	ret->waits = false;
	if (ret->ifindex && config_is_own(config, ret->ifindex))
		return -NTM_DROP_NO_ROUTE;
	fib.l4_protocol = IPPROTO_UDP;
	fib.sport = bpf_htons(source->port);
	fib.dport = bpf_htons(way->port);
	/* tot_len stays 0: then it is the device's MTU that counts, as for the socket. What ICMP has told of the route
	 * is for ntmd to believe or not; it says so in the path's MTU. */
	fib.ifindex = config->seal_out;
	if (addr_is4(&way->addr)) {
		fib.family = AF_INET;
		fib.ipv4_src = addr_get4(&source->addr);
		fib.ipv4_dst = addr_get4(&way->addr);
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, &source->addr, 16);
		__builtin_memcpy(fib.ipv6_dst, &way->addr, 16);
	}
	if (config->mark) { /* refused before Linux 6.10 */
		fib.mark = config->mark;
		result = bpf_fib_lookup(skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_MARK);
	}
	if (result < 0)
		result = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	found = result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH;
	if (ret->ifindex) {
		if (!found || fib.ifindex != ret->ifindex)
			return 0; /* the kernel looks again, among that device's routes */
	} else if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED ||
		   (result == BPF_FIB_LKUP_RET_SUCCESS && fib.mtu_result && len > fib.mtu_result)) {
		ret->mtu = fib.mtu_result;
		return -NTM_DROP_TOO_BIG;
	} else if (!found || config_is_own(config, fib.ifindex)) {
		ret->result = result;
		return -NTM_DROP_NO_ROUTE;
	}
	ret->ifindex = fib.ifindex;
	ret->waits = result == BPF_FIB_LKUP_RET_NO_NEIGH;
	ret->neigh.nh_family = fib.family; /* may differ from the packet's: the gateway's */
	if (fib.family == AF_INET)
		ret->neigh.ipv4_nh = fib.ipv4_dst;
	else
		__builtin_memcpy(ret->neigh.ipv6_nh, fib.ipv6_dst, 16);
	return 0;
}

/* Sends the packet there, as the verdict of a program. Its Ethernet header is replaced, or cut off. */
static __always_inline int fib_redirect(struct fib_hop *hop)
{
	if (!hop->neigh.nh_family)
		return bpf_redirect_neigh(hop->ifindex, NULL, 0, 0);
	return bpf_redirect_neigh(hop->ifindex, &hop->neigh, sizeof(hop->neigh), 0);
}

#endif
