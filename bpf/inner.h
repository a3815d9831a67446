/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * inner.h - the headers of the IP packets inside the tunnel, as daemon/inner.c reads them: lengths that do not fit
 * each other are refused.
 */
#ifndef NTM_BPF_INNER_H
#define NTM_BPF_INNER_H

#include "parse.h"
#include "path.h"

/* Enough of a packet for both families: less is only taken where the packet is less. */
#define INNER_HEADER 40

struct inner {
	__u32 len; /* of the whole packet */
	__u8 version; /* 4 or 6 */
	__u8 tos; /* traffic class */
	struct ntm_addr source, dest;
};

/*
 * Reads the header at p, of a packet of `len` bytes, where more may be there: the packet's own length is ret's.
 * 0, -NTM_DROP_INNER_SHORT, -NTM_DROP_INNER_VERSION, or -NTM_DROP_INNER_SOURCE/DEST: an IPv4-mapped address in
 * IPv6, which would be taken for an IPv4 one.
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

/* Our own virtual address of that family; its comparison fails if there is none. */
static __always_inline const struct ntm_addr *inner_own(const struct ntm_config *config, const struct inner *inner)
{
	return inner->version == 4 ? &config->vip4 : &config->vip6;
}

#endif
