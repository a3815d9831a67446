/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * decap.h - from an outer packet to the inner one: what is before and behind it goes, congestion marks come
 * in, and a mark in the metadata tells tc_ingress.bpf.c. At the near end: encap.h; before it: crypt.h.
 */
#ifndef NTM_BPF_DECAP_H
#define NTM_BPF_DECAP_H

#include "csum.h"
#include "inner.h"

#define ECN_ECT1 1
#define ECN_CE 3
#define ECN_MASK 3

/* The metadata is the magic of struct ntm_config: drawn at attach, so that nobody else's is taken for it. */
struct decap_meta {
	__u64 magic;
};

/*
 * The inner packet's ECN field from both (RFC 6040, figure 4), or -NTM_DROP_ECN: a mark for a flow that would
 * not understand it is a drop.
 */
static __always_inline int decap_ecn(__u8 inner, __u8 outer)
{
	inner &= ECN_MASK;
	outer &= ECN_MASK;
	if (outer == ECN_CE)
		return inner ? ECN_CE : -NTM_DROP_ECN;
	if (outer == ECN_ECT1 && inner == 2)
		return ECN_ECT1;
	return inner;
}

/* Sets the inner packet's ECN field, at p. */
static __always_inline int decap_ecn_set(struct parse p, const struct inner *inner, int ecn)
{
	struct ipv6hdr *ip6;
	struct iphdr *ip4;
	__be16 before, *first;

	if (inner->version == 4) {
		ip4 = parse_take(&p, sizeof(*ip4));
		if (!ip4)
			return -NTM_DROP_INNER_SHORT;
		first = (__be16 *)ip4;
		before = *first;
		ip4->tos = (ip4->tos & ~ECN_MASK) | ecn;
		ip4->check = csum_replace(ip4->check, before, *first);
		return 0;
	}
	ip6 = parse_take(&p, sizeof(*ip6));
	if (!ip6)
		return -NTM_DROP_INNER_SHORT;
	first = (__be16 *)ip6;
	*first = (*first & ~bpf_htons(ECN_MASK << 4)) | bpf_htons(ecn << 4);
	return 0;
}

/*
 * The second mark, the Ethernet source: where a packet has too little room before it, as those that a program
 * on this very machine has sent, generic XDP makes a copy, and the kernel (seen on 6.18) forgets how long its
 * Ethernet header is. Then tc programs see the packet without that header, and what they take for the
 * metadata is its end.
 */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define DECAP_SOURCE 0x0000fffffffffffeULL /* of a 64-bit word in memory: an address, and no group's */
#else
#define DECAP_SOURCE 0xfeffffffffff0000ULL
#endif

static __always_inline void decap_source_mark(__u8 *source, const struct ntm_config *config)
{
	__u64 magic = config->magic & DECAP_SOURCE;

	__builtin_memcpy(source, &magic, ETH_ALEN);
}

/* Whether the last 8 bytes of an Ethernet header, source and type, have it. */
static __always_inline bool decap_source_is_marked(const struct decap_meta *end,
						   const struct ntm_config *config)
{
	return (end->magic & DECAP_SOURCE) == (config->magic & DECAP_SOURCE);
}

/*
 * Cuts the inner packet of `len` bytes at `offset` out of the frame, and gives it the frame's Ethernet
 * destination and both marks, for which there is room. 0 or -NTM_DROP_SEND.
 *
 * What is behind it (tag, padding) must go before GRO sees it. But after bpf_xdp_adjust_tail in generic mode
 * the kernel takes the end of its buffer for 14 bytes later than it is, and what it later appends there (TCP
 * does, to the packet before) begins with 14 bytes of nothing. So where that can be, where there is no GRO
 * behind XDP either, tc_ingress.bpf.c cuts it off.
 */
static __always_inline int decap_cut(struct xdp_md *ctx, __u32 offset, __u32 len, __u8 version,
				     const struct ntm_config *config)
{
	struct parse p = parse_start(ctx);
	struct decap_meta *meta;
	struct ethhdr *eth, old;
	__u32 behind = bpf_xdp_get_buff_len(ctx) - offset - len; /* tag, padding */

	eth = parse_take(&p, sizeof(*eth));
	if (!eth)
		return -NTM_DROP_SEND;
	old = *eth;
	if (!(config->flags & NTM_CONFIG_GENERIC) && bpf_xdp_adjust_tail(ctx, -(int)behind))
		return -NTM_DROP_SEND;
	if (bpf_xdp_adjust_head(ctx, offset - ETH_HLEN))
		return -NTM_DROP_SEND;
	p = parse_start(ctx);
	eth = parse_take(&p, sizeof(*eth));
	meta = (void *)(long)ctx->data_meta;
	if (!eth || (void *)(meta + 1) > (void *)(long)ctx->data)
		return -NTM_DROP_SEND;
	decap_source_mark(old.h_source, config);
	old.h_proto = version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	*eth = old;
	meta->magic = config->magic;
	return 0;
}

#endif
