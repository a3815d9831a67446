/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_too_big.h - a packet that is larger than the next hop's MTU, or would be in the other family: its
 * sender is told by ICMP (RFC 1191, RFC 8201), and the packet is dropped. relay_rewrite.h is not reached
 * then.
 *
 * Only the bound source is told: nobody can have us send to others. An error is a fraction of what caused
 * it, and there are at most rs_config.too_big_limit of them a tick.
 */
#ifndef NTM_BPF_RELAY_TOO_BIG_H
#define NTM_BPF_RELAY_TOO_BIG_H

#include "relay_admit.h"
#include "relay_hop.h"
#include "relay_rewrite.h"

#define ICMP_UNREACH 3 /* destination unreachable */
#define ICMP_UNREACH_FRAG_NEEDED 4
#define ICMP6_PACKET_TOO_BIG 2
#define ICMP_LEN 8
#define ICMP_TTL 64
/* Quoted of the packet, from its IP header on: past the first bytes of the payload, by which an NTM node
 * knows its own packet. A multiple of 4. */
#define ICMP_QUOTE 160

/* Where the ICMP message is to begin, after `before` bytes of other headers. */
static __always_inline void icmp_write(struct icmphdr *icmp, __u8 type, __u8 code, __u32 mtu, __u64 pseudo)
{
	__s64 quoted;

	icmp->type = type;
	icmp->code = code;
	icmp->checksum = 0;
	icmp->un.gateway = bpf_htonl(mtu); /* for both families: 16 unused bits or the upper half */
	quoted = bpf_csum_diff(NULL, 0, (void *)(icmp + 1), ICMP_QUOTE, 0);
	icmp->checksum = (__u16)~csum_fold(pseudo + (__u32)quoted + *(__u32 *)icmp + icmp->un.gateway);
}

static __always_inline int icmp_build(struct xdp_md *ctx, const struct packet *p, const struct way_out *way,
				      __u16 mtu)
{
	struct packet fresh = {.ip4_frag = bpf_htons(IP4_DF)};
	void *end = (void *)(long)ctx->data_end;
	void *at = write_eth((void *)(long)ctx->data, end, way, way->exit.vlan & VLAN_ID, p->is4);
	struct icmphdr *icmp;

	if (!at)
		return -NTM_DROP_TOO_BIG;
	if (p->is4) {
		icmp = at + sizeof(struct iphdr);
		if ((void *)(icmp + 1) + ICMP_QUOTE > end)
			return -NTM_DROP_TOO_BIG;
		write_ip4(at, sizeof(struct iphdr) + ICMP_LEN + ICMP_QUOTE, IPPROTO_ICMP, &p->dest,
			  &p->source, &fresh, ICMP_TTL);
		icmp_write(icmp, ICMP_UNREACH, ICMP_UNREACH_FRAG_NEEDED, mtu, 0);
	} else {
		icmp = at + sizeof(struct ipv6hdr);
		if ((void *)(icmp + 1) + ICMP_QUOTE > end)
			return -NTM_DROP_TOO_BIG;
		write_ip6(at, ICMP_LEN + ICMP_QUOTE, IPPROTO_ICMPV6, &p->dest, &p->source, &fresh, ICMP_TTL,
			  0);
		icmp_write(icmp, ICMP6_PACKET_TOO_BIG, 0, mtu,
			   address_sum(&p->source) + address_sum(&p->dest) +
				   bpf_htons(ICMP_LEN + ICMP_QUOTE) + bpf_htons(IPPROTO_ICMPV6));
	}
	return 0;
}

/*
 * mtu: what the sender may send, an IP packet of its family. Returns the action, with the drop counted, or
 * -NTM_DROP_TOO_BIG.
 */
static __attribute__((noinline)) int too_big(struct xdp_md *ctx, const struct packet *p,
					     const struct ntm_relay_leg *leg, __u16 mtu)
{
	struct way_out way = {0};
	int headers;
	long frame;

	if (!is_source(p, &leg->remote) || hop_lookup(ctx, leg, &way) || !way_is_open(ctx, &way))
		return -NTM_DROP_TOO_BIG;
	/* In front of the IP header there is to be another one, and the frame ends behind the quote. */
	headers = (int)(ETH_HLEN + (way.exit.vlan & VLAN_ID ? TAG_LEN : 0) + ip_len(p->is4) + ICMP_LEN);
	if (bpf_xdp_adjust_head(ctx, p->l2_len - headers))
		return -NTM_DROP_TOO_BIG;
	frame = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
	barrier_var(frame); /* the verifier wants the difference of pointers in 64 bits */
	if (bpf_xdp_adjust_tail(ctx, headers + ICMP_QUOTE - (int)frame))
		return -NTM_DROP_TOO_BIG;
	if (icmp_build(ctx, p, &way, mtu))
		return -NTM_DROP_TOO_BIG;
	stats_count(NTM_DROP_TOO_BIG);
	return way_send(ctx, &way);
}

#endif
