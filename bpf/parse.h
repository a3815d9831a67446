/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * parse.h - from the first byte of a frame to the NTM header: a cursor that each step moves past one header.
 * A step returns what comes next (an EtherType, a protocol number) or -NTM_DROP_SHORT, and checks bounds and
 * forms only: what is taken, passed on or dropped is the program's decision.
 *
 *	parse_eth -> parse_ip4, or parse_ip6 -> parse_ip6_ext -> parse_udp -> parse_ntm
 */
#ifndef NTM_BPF_PARSE_H
#define NTM_BPF_PARSE_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <ntm/drop.h>
#include <ntm/header.h>

#define PARSE_VLANS 2 /* tags that are looked behind */
#define PARSE_EXTENSIONS 4 /* IPv6 extension headers that are looked behind */
#define IP4_FRAGMENT 0x3fff /* more fragments, or an offset */
#define IP4_DF 0x4000

struct parse {
	void *at, *end;
};

static __always_inline struct parse parse_start(const struct xdp_md *ctx)
{
	return (struct parse){(void *)(long)ctx->data, (void *)(long)ctx->data_end};
}

/* The next len bytes, or NULL. len: a constant */
static __always_inline void *parse_take(struct parse *p, __u32 len)
{
	void *at = p->at;

	if (at + len > p->end)
		return NULL;
	p->at = at + len;
	return at;
}

/* Ethernet, and up to PARSE_VLANS tags: the EtherType behind them. */
static __always_inline int parse_eth(struct parse *p)
{
	struct ethhdr *eth = parse_take(p, sizeof(*eth));
	__be16 type;

	if (!eth)
		return -NTM_DROP_SHORT;
	type = eth->h_proto;
#pragma unroll
	for (int i = 0; i < PARSE_VLANS; i++) {
		struct vlan_hdr *tag;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		tag = parse_take(p, sizeof(*tag));
		if (!tag)
			return -NTM_DROP_SHORT;
		type = tag->h_vlan_encapsulated_proto;
	}
	return bpf_ntohs(type);
}

/*
 * IPv4 without options: the protocol. -NTM_DROP_INNER_VERSION if the header says another version, or has
 * options (nothing of ours has).
 */
static __always_inline int parse_ip4(struct parse *p, struct iphdr **ret_ip)
{
	struct iphdr *ip = parse_take(p, sizeof(*ip));

	if (!ip)
		return -NTM_DROP_SHORT;
	if (*(__u8 *)ip != 0x45)
		return -NTM_DROP_INNER_VERSION;
	*ret_ip = ip;
	return ip->protocol;
}

/* IPv6: the number of the next header, which may be an extension. */
static __always_inline int parse_ip6(struct parse *p, struct ipv6hdr **ret_ip)
{
	struct ipv6hdr *ip = parse_take(p, sizeof(*ip));

	if (!ip)
		return -NTM_DROP_SHORT;
	if (*(__u8 *)ip >> 4 != 6)
		return -NTM_DROP_INNER_VERSION;
	*ret_ip = ip;
	return ip->nexthdr;
}

/*
 * Past extension headers, beginning with one of number `next`: the number behind them; IPPROTO_FRAGMENT for a
 * fragment, with the cursor at its header; -NTM_DROP_LONG if there are more than PARSE_EXTENSIONS.
 */
static __always_inline int parse_ip6_ext(struct parse *p, int next)
{
	for (int i = 0; i < PARSE_EXTENSIONS; i++) {
		__u8 *ext = p->at;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
			return next;
		if (!parse_take(p, 8))
			return -NTM_DROP_SHORT;
		p->at = ext + 8 + ext[1] * 8;
		if (p->at > p->end)
			return -NTM_DROP_SHORT;
		next = ext[0];
	}
	return -NTM_DROP_LONG;
}

/* UDP: its length as the header says, 8 at least. */
static __always_inline int parse_udp(struct parse *p, struct udphdr **ret_udp)
{
	struct udphdr *udp = parse_take(p, sizeof(*udp));
	int len;

	if (!udp)
		return -NTM_DROP_SHORT;
	len = bpf_ntohs(udp->len);
	if (len < (int)sizeof(*udp))
		return -NTM_DROP_SHORT;
	*ret_udp = udp;
	return len;
}

/* The NTM header: its type. */
static __always_inline int parse_ntm(struct parse *p, struct ntm_header **ret_h)
{
	struct ntm_header *h = parse_take(p, sizeof(*h));

	if (!h)
		return -NTM_DROP_SHORT;
	*ret_h = h;
	return h->type;
}

#endif
