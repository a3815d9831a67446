/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fib.h - where an outer packet goes next: the last look before tc_seal.bpf.c uses up a counter, and the
 * redirect after encap.h.
 *
 * The lookup is that of a packet which came in by ntm0p, where forwarding is on: bpf_fib_lookup refuses
 * others, and whether this host forwards must not matter. Neighbours are left to bpf_redirect_neigh, which
 * asks for unknown ones and confirms those in use, as the socket's packets do.
 *
 * An answer holds for FIB_KNOWN_NS, since asking takes 0.2 us, and 0.4 with IPv6: a fifth to a third of what
 * tc_seal takes for a small packet. It ends sooner when ntmd hears of any change (`routes` of struct
 * ntm_config).
 */
#ifndef NTM_BPF_FIB_H
#define NTM_BPF_FIB_H

#include "csum.h"
#include "path.h"

#define FIB_KNOWN 256 /* ways a CPU, a power of two; the newer one takes another's place */
#define FIB_KNOWN_NS 100000000ULL
#define FIB_HASH 0x9e3779b1U /* odd, its bits as if by chance */

struct fib_hop {
	__u32 ifindex;
	__u32 mtu; /* of the device, outer packet; 0: the kernel looks at it */
	__u32 result; /* -NTM_DROP_NO_ROUTE: of bpf_fib_lookup */
	bool waits; /* its neighbour is not known yet: the kernel will ask, and keep the packet meanwhile */
	/* nh_family 0: the kernel looks for the route, among those of that device */
	struct bpf_redir_neigh neigh;
};

/* What fib_ask said of a way; now < until_ns and no change of routes since: it still holds. */
struct fib_known {
	struct ntm_way way;
	__u32 routes;
	__u64 until_ns; /* boot-time clock */
	struct fib_hop hop;
};

/* hash of a way -> what is known of it */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FIB_KNOWN);
	__type(key, __u32);
	__type(value, struct fib_known);
} ntm_hops SEC(".maps") __weak;

/*
 * One lookup for an outer packet of `len` bytes. 0, -NTM_DROP_NO_ROUTE (also for a route into the tunnel
 * itself) or -NTM_DROP_TOO_BIG.
 */
static __noinline int fib_ask(struct __sk_buff *skb, const struct ntm_source *source,
			      const struct ntm_way *way, __u32 len, struct fib_hop *ret)
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
	/* tot_len stays 0: then it is the device's MTU that counts, as for the socket. What ICMP has told of
	 * the route is for ntmd to believe or not; it says so in the path's MTU. */
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
	if (!ret->ifindex)
		ret->mtu = fib.mtu_result;
	ret->ifindex = fib.ifindex;
	ret->waits = result == BPF_FIB_LKUP_RET_NO_NEIGH;
	ret->neigh.nh_family = fib.family; /* may differ from the packet's: the gateway's */
	if (fib.family == AF_INET)
		ret->neigh.ipv4_nh = fib.ipv4_dst;
	else
		__builtin_memcpy(ret->neigh.ipv6_nh, fib.ipv6_dst, 16);
	return 0;
}

static __always_inline struct fib_known *fib_place(const struct ntm_way *way)
{
	const __u32 *w = (const void *)way;
	__u32 index = ((w[0] ^ w[1] ^ w[2] ^ w[3] ^ w[4]) * FIB_HASH) >> 16 & (FIB_KNOWN - 1);

	return bpf_map_lookup_elem(&ntm_hops, &index);
}

/* As fib_ask, or what that said a moment ago. now: boot-time clock */
static __always_inline int fib_find(struct __sk_buff *skb, const struct ntm_config *config,
				    const struct ntm_source *source, const struct ntm_way *way, __u32 len,
				    __u64 now, struct fib_hop *ret)
{
	struct fib_known *known = fib_place(way);
	__u32 routes = READ_ONCE(config->routes);
	int err;

	if (known && now < known->until_ns && known->routes == routes && way_equal(&known->way, way) &&
	    known->way.source == way->source && (!known->hop.mtu || len <= known->hop.mtu)) {
		*ret = known->hop;
		return 0;
	}
	err = fib_ask(skb, source, way, len, ret);
	if (known && !err && !ret->waits) {
		known->way = *way;
		known->routes = routes;
		known->until_ns = now + FIB_KNOWN_NS;
		known->hop = *ret;
	}
	return err;
}

/* Sends the packet there, as the verdict of a program. Its Ethernet header is replaced, or cut off. */
static __always_inline int fib_redirect(struct fib_hop *hop)
{
	if (!hop->neigh.nh_family)
		return bpf_redirect_neigh(hop->ifindex, NULL, 0, 0);
	return bpf_redirect_neigh(hop->ifindex, &hop->neigh, sizeof(hop->neigh), 0);
}

#endif
