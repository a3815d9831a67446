/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * encap.h - the outer headers: room for them, the NTM header before crypt.h seals, IP and UDP with all
 * checksums after. At the far end: decap.h.
 */
#ifndef NTM_BPF_ENCAP_H
#define NTM_BPF_ENCAP_H

#include "crypt.h"
#include "csum.h"
#include "path.h"

#define ENCAP_HOPS 64 /* TTL and hop limit of outer packets */

/* Behind the Ethernet header: */
struct encap4 {
	struct iphdr ip;
	struct udphdr udp;
	struct ntm_header h;
};

struct encap6 {
	struct ipv6hdr ip;
	struct udphdr udp;
	struct ntm_header h;
};

#define ENCAP4 sizeof(struct encap4)
#define ENCAP6 sizeof(struct encap6)

/* What an outer packet says, whichever way it goes. */
struct encap {
	__u32 udp_len;
	__u32 sum; /* of NTM header, ciphertext and tag, as crypt_seal_tc gives it */
	__u32 flow_label;
	__u8 tos;
};

/* 16 bytes as words: packets begin 2 bytes off a word, so that headers behind Ethernet are at whole words. */
struct encap_words {
	__u32 w[4];
} __attribute__((may_alias));

static __always_inline __u64 encap_sum(const void *p)
{
	const struct encap_words *v = p;

	return (__u64)v->w[0] + v->w[1] + v->w[2] + v->w[3];
}

static __always_inline void encap_copy(void *to, const void *from)
{
	struct encap_words *a = to;
	const struct encap_words *b = from;

	a->w[0] = b->w[0];
	a->w[1] = b->w[1];
	a->w[2] = b->w[2];
	a->w[3] = b->w[3];
}

/* The NTM header in network order. */
static __always_inline void encap_header(struct crypt_ad *ret, __u8 type, __u64 counter, __u64 id)
{
	ret->w[0] = bpf_htonl((__u32)type << 24 | (__u32)(counter >> 32));
	ret->w[1] = bpf_htonl((__u32)counter);
	ret->w[2] = bpf_htonl((__u32)(id >> 32));
	ret->w[3] = bpf_htonl((__u32)id);
}

/*
 * Makes the packet one of the other IP version for the kernel: 20 bytes come or go behind the Ethernet
 * header. (There are flags of bpf_skb_adjust_room for that. They leave a mark on the packet that other
 * helpers do not like, also at the far end if that is on this machine.)
 */
static __always_inline long encap_turn(struct __sk_buff *skb, bool four)
{
	return bpf_skb_change_proto(skb, four ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6), 0);
}

/*
 * Makes room for the tag behind and the outer headers before the inner packet of `len` bytes. simple: it goes
 * one way only, and that is of its own IP version. 0 or -NTM_DROP_SEND; then the packet may be changed.
 * Pointers into it are invalid.
 */
static __always_inline int encap_room(struct __sk_buff *skb, bool four, __u32 len, bool simple)
{
	bool inner4 = skb->protocol == bpf_htons(ETH_P_IP);
	__u32 room = inner4 ? ENCAP4 : ENCAP6;

	/* Linear first: growing wants it. What is behind the inner packet is cut off. */
	if ((void *)(long)skb->data + skb->len > (void *)(long)skb->data_end &&
	    bpf_skb_pull_data(skb, skb->len))
		return -NTM_DROP_SEND;
	if (bpf_skb_change_tail(skb, ETH_HLEN + len + NTM_TAG_LEN, 0))
		return -NTM_DROP_SEND;
	/* In front of all, where nothing needs to be moved: then the kernel still takes the inner packet's
	 * header for the packet's, which bpf_redirect_neigh does not mind. */
	if (simple)
		return bpf_skb_change_head(skb, room, 0) ? -NTM_DROP_SEND : 0;
	if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) || (four != inner4 && encap_turn(skb, four)))
		return -NTM_DROP_SEND;
	return 0;
}

/* The UDP header, checksummed with pseudo: the sum of both addresses. */
static __always_inline void encap_udp(struct udphdr *udp, const struct encap *e, __u16 source, __u16 dest,
				      __u64 pseudo)
{
	__be16 len = bpf_htons(e->udp_len);

	udp->source = bpf_htons(source);
	udp->dest = bpf_htons(dest);
	udp->len = len;
	udp->check = csum_udp(~csum_fold(pseudo + e->sum + bpf_htons(IPPROTO_UDP) + len + len +
					 udp->source + udp->dest));
}

static __always_inline int encap_write4(struct __sk_buff *skb, const struct encap *e,
					const struct ntm_source *source, const struct ntm_way *way)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct encap4 *p = (void *)(eth + 1);
	__u32 *w;
	__u64 sum;

	if ((void *)(p + 1) > (void *)(long)skb->data_end)
		return -NTM_DROP_SEND;
	eth->h_proto = bpf_htons(ETH_P_IP);
	w = (__u32 *)&p->ip;
	w[0] = bpf_htonl(0x45000000 | (__u32)e->tos << 16 | (sizeof(p->ip) + e->udp_len));
	w[1] = bpf_htonl(0x4000); /* DF; so the identification says nothing (RFC 6864) */
	w[2] = bpf_htonl(ENCAP_HOPS << 24 | IPPROTO_UDP << 16);
	w[3] = addr_get4(&source->addr);
	w[4] = addr_get4(&way->addr);
	sum = (__u64)w[3] + w[4];
	p->ip.check = (__u16)~csum_fold(sum + w[0] + w[1] + w[2]);
	encap_udp(&p->udp, e, source->port, way->port, sum);
	return 0;
}

static __always_inline int encap_write6(struct __sk_buff *skb, const struct encap *e,
					const struct ntm_source *source, const struct ntm_way *way)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct encap6 *p = (void *)(eth + 1);
	__u32 *w;

	if ((void *)(p + 1) > (void *)(long)skb->data_end)
		return -NTM_DROP_SEND;
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	w = (__u32 *)&p->ip;
	w[0] = bpf_htonl(0x60000000 | (__u32)e->tos << 20 | (e->flow_label & 0xfffff));
	w[1] = bpf_htonl(e->udp_len << 16 | IPPROTO_UDP << 8 | ENCAP_HOPS);
	encap_copy(&p->ip.saddr, &source->addr);
	encap_copy(&p->ip.daddr, &way->addr);
	encap_udp(&p->udp, e, source->port, way->port, encap_sum(&source->addr) + encap_sum(&way->addr));
	return 0;
}

/* IP and UDP for one way, before a packet that has encap_room for its family. 0 or -NTM_DROP_SEND. */
static __always_inline int encap_write(struct __sk_buff *skb, const struct encap *e,
				       const struct ntm_source *source, const struct ntm_way *way)
{
	return addr_is4(&way->addr) ? encap_write4(skb, e, source, way) : encap_write6(skb, e, source, way);
}

#endif
