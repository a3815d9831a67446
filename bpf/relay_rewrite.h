/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_rewrite.h - new outer headers, from Ethernet to UDP; what is behind them is not touched. Only other
 * families or tags move the head of the packet. relay_hop.h -> here -> the interface.
 *
 * The IPv4 header is written anew, the UDP checksum changed by what it no longer covers and what it now does.
 * But it may not be made yet (CHECKSUM_PARTIAL: packets of a local stack behind veth or virtio, which native
 * XDP sends as they are): then the field holds the sum of the pseudo header. A finished checksum does so once
 * in 65536 packets, too; what it is, only the sum of the whole packet tells.
 */
#ifndef NTM_BPF_RELAY_REWRITE_H
#define NTM_BPF_RELAY_REWRITE_H

#include "relay_hop.h"
#include "relay_maps.h"
#include "relay_packet.h"

#define TAG_LEN sizeof(struct vlan_hdr)
#define VLAN_ID 0xfff

/* What the packet becomes. */
struct rewrite {
	struct address source, dest;
	__u16 sport, dport; /* host byte order */
	__u16 check; /* of UDP */
	__u16 vlan; /* 0: no tag */
	bool is4;
	__u32 flow_label;
};

static __always_inline __u64 pseudo_sum(const struct address *a, const struct address *b, __u16 udp_len)
{
	return address_sum(a) + address_sum(b) + bpf_htons(IPPROTO_UDP) + bpf_htons(udp_len);
}

static __always_inline __u64 ports_sum(__u16 sport, __u16 dport)
{
	return (__u64)bpf_htons(sport) + bpf_htons(dport);
}

static __always_inline bool check_looks_partial(const struct packet *p)
{
	return p->udp_check == csum_fold(pseudo_sum(&p->source, &p->dest, p->udp_len));
}

/* 0 or XDP_PASS: the packet is too long to be summed. */
static __attribute__((noinline)) int check_partial(struct xdp_md *ctx, const struct packet *p,
						   struct rewrite *out, bool generic)
{
	__u64 after = pseudo_sum(&out->source, &out->dest, p->udp_len);
	__s64 sum = csum_packet(ctx, p->l2_len + ip_len(p->is4), p->udp_len);

	if (sum < 0)
		return XDP_PASS;
	if (!generic) {
		/* Made here, without what the field and the ports held. */
		out->check = csum_replace((__u16)~csum_fold(sum + after),
					  p->udp_check + ports_sum(p->sport, p->dport),
					  ports_sum(out->sport, out->dport));
	} else if (csum_fold(sum + pseudo_sum(&p->source, &p->dest, p->udp_len)) != 0xffff) {
		out->check = csum_fold(after); /* the kernel goes on to make it */
	}
	return 0;
}

/* 0, XDP_PASS, or -NTM_DROP_CHECKSUM_NONE. */
static __always_inline int rewrite_check(struct xdp_md *ctx, const struct packet *p, struct rewrite *out,
					 bool generic)
{
	if (!p->udp_check) {
		out->check = 0;
		return p->is4 && out->is4 ? 0 : -NTM_DROP_CHECKSUM_NONE;
	}
	out->check = csum_replace(
		p->udp_check,
		address_sum(&p->source) + address_sum(&p->dest) + ports_sum(p->sport, p->dport),
		address_sum(&out->source) + address_sum(&out->dest) + ports_sum(out->sport, out->dport));
	if (check_looks_partial(p) && check_partial(ctx, p, out, generic))
		return XDP_PASS;
	out->check = csum_udp(out->check);
	return 0;
}

/* Makes or takes room for the new headers. 0, or XDP_PASS: the driver left no headroom. */
static __always_inline int rewrite_room(struct xdp_md *ctx, const struct packet *p, const struct rewrite *out)
{
	int before = (int)(p->l2_len + ip_len(p->is4));
	int after = (int)(ETH_HLEN + (out->vlan ? TAG_LEN : 0) + ip_len(out->is4));

	if (before != after && bpf_xdp_adjust_head(ctx, before - after))
		return XDP_PASS;
	return 0;
}

/* Ethernet and a tag, if there is one: what follows them; NULL: no room, which cannot be. */
static __always_inline void *write_eth(void *at, void *end, const struct way_out *way, __u16 vlan, bool is4)
{
	struct ethhdr *eth = at;
	__be16 type = is4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	struct vlan_hdr *tag = (void *)(eth + 1);

	if ((void *)(tag + 1) > end)
		return NULL;
	__builtin_memcpy(eth->h_dest, way->dmac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, way->exit.smac, sizeof(eth->h_source));
	if (!vlan) {
		eth->h_proto = type;
		return eth + 1;
	}
	eth->h_proto = bpf_htons(ETH_P_8021Q);
	tag->h_vlan_TCI = bpf_htons(vlan);
	tag->h_vlan_encapsulated_proto = type;
	return tag + 1;
}

/* IPv4, 20 bytes. len: of the whole packet */
static __always_inline void write_ip4(void *at, __u16 len, __u8 protocol, const struct address *source,
				      const struct address *dest, const struct packet *p, __u8 ttl)
{
	struct iphdr *ip = at;
	__u32 *word = at;

	*(__be16 *)at = bpf_htons(0x4500 | p->tos);
	ip->tot_len = bpf_htons(len);
	ip->id = p->ip4_id;
	ip->frag_off = p->ip4_frag;
	ip->ttl = ttl;
	ip->protocol = protocol;
	ip->check = 0;
	ip->saddr = ADDRESS_SECOND(source->lo);
	ip->daddr = ADDRESS_SECOND(dest->lo);
	ip->check = (__u16)~csum_fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]);
}

/* IPv6, 40 bytes. len: of what follows them */
static __always_inline void write_ip6(void *at, __u16 len, __u8 next, const struct address *source,
				      const struct address *dest, const struct packet *p, __u8 ttl,
				      __u32 flow_label)
{
	struct ipv6hdr *ip = at;

	*(__be32 *)at = bpf_htonl(6U << 28 | (__u32)p->tos << 20 | flow_label);
	ip->payload_len = bpf_htons(len);
	ip->nexthdr = next;
	ip->hop_limit = ttl;
	__builtin_memcpy(__builtin_assume_aligned(&ip->saddr, 8), source, sizeof(*source));
	__builtin_memcpy(__builtin_assume_aligned(&ip->daddr, 8), dest, sizeof(*dest));
}

/* Writes the headers; the room is there. 0, or -NTM_DROP_SHORT, which cannot be. */
static __always_inline int rewrite_headers(struct xdp_md *ctx, const struct packet *p,
					   const struct rewrite *out, const struct way_out *way)
{
	void *end = (void *)(long)ctx->data_end;
	void *at = write_eth((void *)(long)ctx->data, end, way, out->vlan, out->is4);
	struct udphdr *udp;

	if (!at)
		return -NTM_DROP_SHORT;
	if (out->is4) {
		udp = at + sizeof(struct iphdr);
		if ((void *)(udp + 1) > end)
			return -NTM_DROP_SHORT;
		write_ip4(at, (__u16)(sizeof(struct iphdr) + p->udp_len), IPPROTO_UDP, &out->source,
			  &out->dest, p, p->ttl - 1);
	} else {
		udp = at + sizeof(struct ipv6hdr);
		if ((void *)(udp + 1) > end)
			return -NTM_DROP_SHORT;
		write_ip6(at, p->udp_len, IPPROTO_UDP, &out->source, &out->dest, p, p->ttl - 1,
			  out->flow_label);
	}
	udp->source = bpf_htons(out->sport);
	udp->dest = bpf_htons(out->dport);
	udp->check = out->check;
	return 0;
}

#endif
