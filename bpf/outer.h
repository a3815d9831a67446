/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * outer.h - a frame that may hold a packet of the inline lane: parse.h's steps, and what is not plain is left
 * to the kernel. For xdp_ingress.bpf.c.
 */
#ifndef NTM_BPF_OUTER_H
#define NTM_BPF_OUTER_H

#include "csum.h"
#include "parse.h"
#include "path.h"

struct outer {
	struct ntm_way from __attribute__((aligned(4))); /* its source field is not used */
	struct ntm_local to __attribute__((aligned(4)));
	__u64 counter, path_id;
	__u32 text; /* where the ciphertext begins in the frame */
	__u32 len; /* of ciphertext and tag */
	__u8 type, tos;
};

/* 20 bytes that sum up to nothing. */
static __always_inline bool outer_ip4_right(const struct iphdr *ip)
{
	const __u32 *w = (const void *)ip;

	return csum_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]) == 0xffff;
}

/*
 * The IP and UDP headers: the length of what UDP carries, or negative: not for BPF (options, extension
 * headers, fragments, lengths or checksums that do not fit, which the kernel counts).
 */
static __always_inline int outer_ip(struct outer *ret, struct parse *p, __be16 proto)
{
	struct ipv6hdr *ip6;
	struct udphdr *udp;
	struct iphdr *ip4;
	int len;

	if (proto == bpf_htons(ETH_P_IP)) {
		if (parse_ip4(p, &ip4) != IPPROTO_UDP || ip4->frag_off & bpf_htons(IP4_FRAGMENT) ||
		    !outer_ip4_right(ip4))
			return -NTM_DROP_SHORT;
		len = parse_udp(p, &udp);
		if (len < 0 || len + (int)sizeof(*ip4) != bpf_ntohs(ip4->tot_len))
			return -NTM_DROP_SHORT;
		addr_set4(&ret->from.addr, ip4->saddr);
		addr_set4(&ret->to.addr, ip4->daddr);
		ret->tos = ip4->tos;
		ret->text = ETH_HLEN + sizeof(*ip4);
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		if (parse_ip6(p, &ip6) != IPPROTO_UDP)
			return -NTM_DROP_SHORT;
		len = parse_udp(p, &udp);
		if (len < 0 || len != bpf_ntohs(ip6->payload_len) || !udp->check)
			return -NTM_DROP_SHORT;
		addr_set6(&ret->from.addr, &ip6->saddr);
		addr_set6(&ret->to.addr, &ip6->daddr);
		ret->tos = bpf_ntohs(*(__be16 *)ip6) >> 4;
		ret->text = ETH_HLEN + sizeof(*ip6);
	} else {
		return -NTM_DROP_SHORT;
	}
	ret->text += sizeof(*udp) + NTM_HEADER_LEN;
	ret->from.port = bpf_ntohs(udp->source);
	ret->to.port = bpf_ntohs(udp->dest);
	ret->to.zero = 0;
	return len - (int)sizeof(*udp);
}

/* 0, or negative: nothing of the inline lane, or not plain. Tagged frames too: the tag may lead to another
 * network. */
static __always_inline int outer_parse(struct outer *ret, struct parse p)
{
	struct ethhdr *eth = parse_take(&p, sizeof(*eth));
	struct ntm_header *h;
	int len;

	if (!eth)
		return -NTM_DROP_SHORT;
	len = outer_ip(ret, &p, eth->h_proto);
	if (len < NTM_HEADER_LEN + NTM_TAG_LEN)
		return -NTM_DROP_SHORT;
	if (parse_ntm(&p, &h) < 0 || (h->type & NTM_TYPE_CLASS) != NTM_TYPE_DATA ||
	    NTM_TYPE_LANE(h->type) != NTM_LANE_INLINE)
		return -NTM_DROP_TYPE_UNEXPECTED;
	ret->len = len - NTM_HEADER_LEN;
	if (p.at + ret->len > p.end) /* behind it there may be padding */
		return -NTM_DROP_SHORT;
	ret->type = h->type;
	ret->counter = ntm_header_counter(h);
	ret->path_id = ntm_header_id(h);
	return 0;
}

#endif
