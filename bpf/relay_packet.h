/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_packet.h - what the relay must know of a packet, taken out of it once: pointers would not survive the
 * moving of its head. parse.h -> here -> relay_find.h, relay_admit.h, relay_hop.h, relay_rewrite.h,
 * relay_too_big.h.
 */
#ifndef NTM_BPF_RELAY_PACKET_H
#define NTM_BPF_RELAY_PACKET_H

#include "parse.h"
#include "csum.h"

/*
 * What the steps of the relay return: an XDP action, or -NTM_DROP_<REASON>. XDP_PASS says that ntm-rs is to
 * handle the packet, which is then as it came.
 */

/* struct ntm_addr in two words, as they lie in memory. */
struct address {
	__u64 hi, lo;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MAPPED4 0xffff0000U /* of ::ffff:a.b.c.d, the word before the last */
#define ADDRESS4_LO(ip) ((__u64)(ip) << 32 | MAPPED4)
#define ADDRESS_FIRST(word) ((__u32)(word))
#define ADDRESS_SECOND(word) ((__u32)((word) >> 32))
#else
#define MAPPED4 0x0000ffffU
#define ADDRESS4_LO(ip) ((__u64)MAPPED4 << 32 | (ip))
#define ADDRESS_FIRST(word) ((__u32)((word) >> 32))
#define ADDRESS_SECOND(word) ((__u32)(word))
#endif

struct packet {
	struct address source, dest;
	__u16 sport, dport; /* host byte order */
	__u16 l2_len; /* bytes before the IP header */
	__u16 udp_len; /* with its header */
	__u16 udp_check; /* as it is in the packet */
	__be16 ip4_id, ip4_frag;
	__u8 tos, ttl, type;
	bool is4;
	__u64 id;
};

static __always_inline struct address address_load(const void *at)
{
	struct address a;

	/* The architectures of BPF's JITs load words from anywhere; the compiler does not know that. */
	__builtin_memcpy(&a, __builtin_assume_aligned(at, 8), sizeof(a));
	return a;
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	return !((a->hi ^ b->hi) | (a->lo ^ b->lo));
}

static __always_inline bool address_is4(const struct address *a)
{
	return !a->hi && ADDRESS_FIRST(a->lo) == MAPPED4;
}

/* Of the pseudo header. The mapped form of IPv4 adds 0xffff, which is 0 in a one's complement sum. */
static __always_inline __u64 address_sum(const struct address *a)
{
	return (__u64)(__u32)a->hi + (a->hi >> 32) + (__u32)a->lo + (a->lo >> 32);
}

static __always_inline __u32 ip_len(bool is4)
{
	return is4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

static __always_inline bool packet_read4(struct parse *parse, struct packet *p, __u32 *ret_len)
{
	struct iphdr *ip;
	__u32 *word;

	if (parse_ip4(parse, &ip) != IPPROTO_UDP || ip->frag_off & bpf_htons(IP4_FRAGMENT))
		return false;
	word = (__u32 *)ip;
	if (csum_fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]) != 0xffff)
		return false; /* the kernel drops and counts it */
	p->is4 = true;
	p->source = (struct address){0, ADDRESS4_LO(ip->saddr)};
	p->dest = (struct address){0, ADDRESS4_LO(ip->daddr)};
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	p->ip4_id = ip->id;
	p->ip4_frag = ip->frag_off;
	*ret_len = bpf_ntohs(ip->tot_len) - sizeof(*ip);
	return true;
}

static __always_inline bool packet_read6(struct parse *parse, struct packet *p, __u32 *ret_len)
{
	struct ipv6hdr *ip;

	if (parse_ip6(parse, &ip) != IPPROTO_UDP)
		return false;
	p->is4 = false;
	p->source = address_load(&ip->saddr);
	p->dest = address_load(&ip->daddr);
	if (address_is4(&p->source) || address_is4(&p->dest))
		return false; /* not on the wire; and never taken for what it looks like */
	p->tos = (__u8)(bpf_ntohs(*(__be16 *)ip) >> 4);
	p->ttl = ip->hop_limit;
	p->ip4_id = 0;
	p->ip4_frag = bpf_htons(IP4_DF);
	*ret_len = bpf_ntohs(ip->payload_len);
	return true;
}

/* Whether it is a whole UDP datagram with an NTM header; everything else is for the kernel. */
static __always_inline bool packet_read(const struct xdp_md *ctx, struct packet *p)
{
	struct parse parse = parse_start(ctx);
	int type = parse_eth(&parse), len;
	struct ntm_header *h;
	struct udphdr *udp;
	__u32 payload;

	if (type < 0)
		return false;
	p->l2_len = (__u16)(parse.at - (void *)(long)ctx->data);
	if (type == ETH_P_IP) {
		if (!packet_read4(&parse, p, &payload))
			return false;
	} else if (type == ETH_P_IPV6) {
		if (!packet_read6(&parse, p, &payload))
			return false;
	} else {
		return false;
	}
	len = parse_udp(&parse, &udp);
	if (len < (int)(sizeof(*udp) + sizeof(*h)) || (__u32)len != payload)
		return false;
	type = parse_ntm(&parse, &h);
	if (type < 0 || (void *)udp + len > parse.end)
		return false;
	p->sport = bpf_ntohs(udp->source);
	p->dport = bpf_ntohs(udp->dest);
	p->udp_len = (__u16)len;
	p->udp_check = udp->check;
	p->type = (__u8)type;
	p->id = bpf_be64_to_cpu(*(__be64 *)h->id);
	return true;
}

#endif
