/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * too_big.h - answers an application whose packet is larger than the path's MTU, for tc_seal.bpf.c, where
 * ntmd cannot (it is dead), or the route's device has a smaller MTU than ntmd thought. As daemon/inner.c, but
 * with a short quote.
 */
#ifndef NTM_BPF_TOO_BIG_H
#define NTM_BPF_TOO_BIG_H

#include "csum.h"
#include "inner.h"

#define TOO_BIG_QUOTE 128 /* bytes of the packet: any header with options, and enough behind */
#define TOO_BIG_TOS 0xc0 /* internetwork control */
#define TOO_BIG_HOPS 64
#define ICMP_UNREACHABLE 3
#define ICMP_UNREACHABLE_FRAGMENT 4
#define ICMP_ECHO_REQUEST 8
#define ICMP6_TOO_BIG 2
#define ICMP6_ECHO_REQUEST 128

/* Behind the Ethernet header: */
struct too_big4 {
	struct iphdr ip;
	struct icmphdr icmp;
	struct iphdr quoted;
	__u8 rest[TOO_BIG_QUOTE - sizeof(struct iphdr)];
};

struct too_big6 {
	struct ipv6hdr ip;
	struct icmp6hdr icmp;
	struct ipv6hdr quoted;
	__u8 rest[TOO_BIG_QUOTE - sizeof(struct ipv6hdr)];
};

/* Errors about errors, later fragments and what is unknown are not sent. first: behind the IP header */
static __always_inline bool too_big_answerable(struct __sk_buff *skb, __u8 version)
{
	__u8 next, first = 0;
	__u32 at;

	if (version == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.frag_off & bpf_htons(0x1fff))
			return false;
		next = ip.protocol;
		at = ETH_HLEN + ip.ihl * 4;
	} else {
		at = ETH_HLEN + sizeof(struct ipv6hdr);
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, &next, 1))
			return false;
	}
	if (next == IPPROTO_TCP || next == IPPROTO_UDP)
		return true;
	if (bpf_skb_load_bytes(skb, at, &first, 1))
		return false;
	return version == 4 ? next == IPPROTO_ICMP && first == ICMP_ECHO_REQUEST :
			      next == IPPROTO_ICMPV6 && first == ICMP6_ECHO_REQUEST;
}

static __always_inline int too_big_write4(struct __sk_buff *skb, __u32 mtu)
{
	struct too_big4 *p = (void *)(long)skb->data + ETH_HLEN;
	__u32 *w;

	if ((void *)(p + 1) > (void *)(long)skb->data_end)
		return -NTM_DROP_TOO_BIG;
	w = (__u32 *)&p->ip;
	w[0] = bpf_htonl(0x45000000 | TOO_BIG_TOS << 16 | sizeof(*p));
	w[1] = 0;
	w[2] = bpf_htonl(TOO_BIG_HOPS << 24 | IPPROTO_ICMP << 16);
	w[3] = p->quoted.daddr;
	w[4] = p->quoted.saddr;
	p->ip.check = (__u16)~csum_fold((__u64)w[0] + w[2] + w[3] + w[4]);
	w[5] = bpf_htonl(ICMP_UNREACHABLE << 24 | ICMP_UNREACHABLE_FRAGMENT << 16);
	w[6] = bpf_htonl(mtu);
	p->icmp.checksum =
		(__u16)~csum_fold((__u32)bpf_csum_diff(NULL, 0, w + 5, sizeof(p->icmp) + TOO_BIG_QUOTE, 0));
	return 0;
}

static __always_inline int too_big_write6(struct __sk_buff *skb, __u32 mtu)
{
	struct too_big6 *p = (void *)(long)skb->data + ETH_HLEN;
	const __u32 len = sizeof(p->icmp) + TOO_BIG_QUOTE;
	__u32 *w;
	__u64 sum;

	if ((void *)(p + 1) > (void *)(long)skb->data_end)
		return -NTM_DROP_TOO_BIG;
	w = (__u32 *)&p->ip;
	w[0] = bpf_htonl(0x60000000 | TOO_BIG_TOS << 20);
	w[1] = bpf_htonl(len << 16 | IPPROTO_ICMPV6 << 8 | TOO_BIG_HOPS);
#pragma unroll
	for (int i = 0; i < 4; i++) {
		w[2 + i] = p->quoted.daddr.in6_u.u6_addr32[i];
		w[6 + i] = p->quoted.saddr.in6_u.u6_addr32[i];
	}
	w[10] = bpf_htonl(ICMP6_TOO_BIG << 24);
	w[11] = bpf_htonl(mtu < 1280 ? 1280 : mtu);
	/* both addresses of the pseudo header and all of ICMP lie in one piece */
	sum = (__u32)bpf_csum_diff(NULL, 0, w + 2, 32 + len, 0);
	p->icmp.icmp6_cksum = (__u16)~csum_fold(sum + bpf_htonl(len) + bpf_htonl(IPPROTO_ICMPV6));
	return 0;
}

/*
 * Makes the packet at ntm0p an answer to itself, from its destination, and puts it before the application:
 * the verdict, or -NTM_DROP_TOO_BIG: dropped unanswered. mtu: largest inner packet that passes
 */
static __noinline int too_big_answer(struct __sk_buff *skb, __u32 version, __u32 mtu)
{
	const struct ntm_config *config = config_get();
	int err;

	if (!config || skb->len < ETH_HLEN + TOO_BIG_QUOTE || !too_big_answerable(skb, version) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + TOO_BIG_QUOTE, 0) ||
	    bpf_skb_adjust_room(skb,
				(version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
					sizeof(struct icmphdr),
				BPF_ADJ_ROOM_MAC, 0))
		return -NTM_DROP_TOO_BIG;
	err = version == 4 ? too_big_write4(skb, mtu) : too_big_write6(skb, mtu);
	if (err || bpf_skb_change_type(skb, 0)) /* to this host */
		return -NTM_DROP_TOO_BIG;
	return bpf_redirect(config->device, BPF_F_INGRESS);
}

#endif
