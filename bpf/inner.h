/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * inner.h - the headers of the IP packets inside the tunnel, as daemon/inner.c reads them: lengths that do
 * not fit each other are refused.
 */
#ifndef NTM_BPF_INNER_H
#define NTM_BPF_INNER_H

#include "parse.h"
#include "path.h"

/* Enough of a packet for both families: less is only taken where the packet is less. */
#define INNER_HEADER 40

/* The packet, of which the first `least` bytes are made readable if there are so many. */
static __always_inline struct parse inner_pull(struct __sk_buff *skb, __u32 least)
{
	struct parse p = {(void *)(long)skb->data, (void *)(long)skb->data_end};

	if (p.at + least > p.end && skb->len >= least) {
		bpf_skb_pull_data(skb, least);
		p.at = (void *)(long)skb->data;
		p.end = (void *)(long)skb->data_end;
	}
	return p;
}

struct inner {
	struct ntm_addr source __attribute__((aligned(4))), dest;
	__u32 len; /* of the whole packet */
	__u8 version; /* 4 or 6 */
	__u8 tos; /* traffic class */
};

/*
 * Reads the header at p, of a packet of `len` bytes, where more may be there: the packet's own length is
 * ret's. 0, -NTM_DROP_INNER_SHORT, -NTM_DROP_INNER_VERSION, or -NTM_DROP_INNER_SOURCE/DEST: an IPv4-mapped
 * address in IPv6, which would be taken for an IPv4 one.
 */
static __always_inline int inner_parse(struct inner *ret, struct parse p, __u32 len)
{
	const __u8 *first = p.at;
	struct ipv6hdr *ip6;
	struct iphdr *ip4;

	if ((void *)(first + 1) > p.end)
		return -NTM_DROP_INNER_SHORT;
	if (*first >> 4 == 4) {
		ip4 = parse_take(&p, sizeof(*ip4));
		if (!ip4)
			return -NTM_DROP_INNER_SHORT;
		ret->version = 4;
		ret->tos = ip4->tos;
		ret->len = bpf_ntohs(ip4->tot_len);
		if ((*first & 15) < 5 || (*first & 15) * 4 > ret->len || ret->len > len)
			return -NTM_DROP_INNER_SHORT;
		addr_set4(&ret->source, ip4->saddr);
		addr_set4(&ret->dest, ip4->daddr);
		return 0;
	}
	if (*first >> 4 != 6)
		return -NTM_DROP_INNER_VERSION;
	ip6 = parse_take(&p, sizeof(*ip6));
	if (!ip6)
		return -NTM_DROP_INNER_SHORT;
	ret->version = 6;
	ret->tos = bpf_ntohs(*(__be16 *)ip6) >> 4;
	ret->len = sizeof(*ip6) + bpf_ntohs(ip6->payload_len);
	if (ret->len > len)
		return -NTM_DROP_INNER_SHORT;
	addr_set6(&ret->source, &ip6->saddr);
	addr_set6(&ret->dest, &ip6->daddr);
	if (addr_is4(&ret->source))
		return -NTM_DROP_INNER_SOURCE;
	if (addr_is4(&ret->dest))
		return -NTM_DROP_INNER_DEST;
	return 0;
}

/* Whether an address of the packet is our own virtual one of its family. */
static __always_inline bool inner_is_own(const struct ntm_config *config, const struct inner *inner,
					 const struct ntm_addr *addr)
{
	const struct ntm_addr *own = inner->version == 4 ? &config->vip4 : &config->vip6;

	return addr_equal(own, addr) && !addr_is_none(own);
}

/* The same for the peer's. */
static __always_inline bool inner_is_peers(const struct ntm_ends *ends, const struct inner *inner,
					   const struct ntm_addr *addr)
{
	if (inner->version == 4)
		return *(const __be32 *)ends->vip4 == addr_get4(addr) && *(const __be32 *)ends->vip4;
	return addr_equal(ends->vip6, addr) && !addr_is_none(ends->vip6);
}

#endif
