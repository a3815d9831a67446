/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tc_seal.bpf.c - at the ingress of ntm0p, the far end of the helper pair: path.h -> fib.h -> crypt.h ->
 * encap.h -> out. Before it: tc_egress.bpf.c, or ntmd, which puts packets into ntm0s that waited; at the
 * peer: xdp_ingress.bpf.c.
 *
 * Packets here are whole: one IP packet with all checksums. Everything that can refuse one comes before its
 * counter is taken. Nothing goes on to this host's own stack: whatever comes is sent, answered or dropped.
 */
#include "crypt.h"
#include "encap.h"
#include "event.h"
#include "fib.h"
#include "inner.h"
#include "lane.h"
#include "resume.h"
#include "too_big.h"

char LICENSE[] SEC("license") __weak = "GPL";

#define NOT_SENT (-NTM_DROP_MAX) /* nothing that anybody wanted to send through the tunnel */
#define OVERHEAD (NTM_HEADER_LEN + NTM_TAG_LEN)

/* One packet on its way through this program. */
struct sealing {
	const struct ntm_config *config;
	const struct ntm_map_key *key;
	struct path path;
	struct ntm_ends_copy ends;
	__u64 now;
	struct fib_hop hop; /* of the way that is sent last */
	__u32 len; /* of the inner packet */
	__u32 tcp; /* where TCP's header begins; 0: it has none */
	__u8 version, tos;
	bool both, second_only; /* to which of the path's two ways */
};

static __always_inline bool way_is4(const struct ntm_way *way)
{
	return addr_is4(&way->addr);
}

static __always_inline __u32 way_overhead(const struct ntm_way *way)
{
	return OVERHEAD + sizeof(struct udphdr) +
	       (way_is4(way) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

static __always_inline const struct ntm_source *way_source(const struct ntm_way *way)
{
	__u32 index = way->source;

	return bpf_map_lookup_elem(&ntm_sources, &index);
}

/* What this host itself says on ntm0s (router solicitations and the like) has a source address; ours have
 * none. */
static __always_inline bool is_chatter(const struct ethhdr *eth)
{
	const __u16 *w = (const void *)eth->h_source;

	return w[0] | w[1] | w[2];
}

/* The path to the packet's destination. 0 or -NTM_DROP_NO_PATH */
static __always_inline int sealing_path(struct sealing *s, const struct inner *inner, __u32 hint)
{
	const struct ntm_ends *ends = bpf_map_lookup_elem(&ntm_ends, &hint);
	__u32 *slot;

	if (ends && inner_is_peers(ends, inner, &inner->dest))
		return path_take(&s->path, &s->ends, hint);
	slot = bpf_map_lookup_elem(&ntm_vips, &inner->dest);
	return slot ? path_take(&s->path, &s->ends, *slot) : -NTM_DROP_NO_PATH;
}

/*
 * From the frame to the path. 0, NOT_SENT or -NTM_DROP_*. Not inlined, as others here: its stack is not on
 * the way to crypt.h, where there is little left.
 */
static __noinline int sealing_begin(struct __sk_buff *skb, struct sealing *s)
{
	struct inner inner;
	struct ethhdr *eth;
	struct parse p;
	__u32 hint, at;
	__u8 proto = 0;
	int err;

	p = inner_pull(skb, ETH_HLEN + INNER_HEADER);
	eth = parse_take(&p, sizeof(*eth));
	if (!eth)
		return -NTM_DROP_INNER_SHORT;
	if (is_chatter(eth))
		return NOT_SENT;
	hint = ((const struct path_hint *)eth)->slot - 1;
	err = inner_parse(&inner, p, skb->len - ETH_HLEN);
	if (err)
		return err;
	/* Its length goes on, and the protocol that the kernel believes must be the packet's. */
	if (skb->protocol != (inner.version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6)))
		return -NTM_DROP_INNER_VERSION;
	if (!inner_is_own(s->config, &inner, &inner.source))
		return -NTM_DROP_INNER_SOURCE;
	err = sealing_path(s, &inner, hint);
	if (err)
		return err;
	at = lane_transport(&inner, p, &proto);
	s->tcp = at && proto == IPPROTO_TCP ? ETH_HLEN + at : 0;
	s->len = inner.len;
	s->version = inner.version;
	s->tos = inner.tos;
	return 0;
}

/* A counter, never the same twice. 0 or -NTM_DROP_KEY_EXPIRED */
static __always_inline int counter_take(const struct sealing *s, __u64 *ret_counter)
{
	__u64 counter = __sync_fetch_and_add(&s->path.state->tx_next, 1);

	if (counter >= NTM_STOP_AFTER_CHACHA)
		return -NTM_DROP_KEY_EXPIRED;
	if (counter == NTM_REKEY_AFTER_CHACHA)
		event_send(&s->path, NTM_EVENT_COUNTER_WORN, s->ends.phase, counter, s->now);
	*ret_counter = counter;
	return 0;
}

/* Room for headers and tag. 0 or -NTM_DROP_SEND */
static __always_inline int sealing_room(struct __sk_buff *skb, const struct sealing *s, bool four)
{
	return encap_room(skb, four, s->len, !s->both && four == (s->version == 4));
}

/*
 * The copy of a sealed packet enters this program once more, since only a program's last act can look for a
 * neighbour: by its Ethernet addresses it is known as a finished one, and the interface it is bound to.
 */
struct finished {
	__u32 magic[2];
	__u32 ifindex;
} __attribute__((may_alias));

#define NO_GROUP bpf_htonl(0xfeffffff) /* the first byte of a group's address is odd */

static __always_inline void finished_mark(struct finished *eth, const struct ntm_config *config,
					  __u32 ifindex)
{
	eth->magic[0] = (__u32)config->magic & NO_GROUP;
	eth->magic[1] = config->magic >> 32;
	eth->ifindex = ifindex;
}

/* Sends a copy of the finished packet. 0 or -NTM_DROP_SEND */
static __always_inline int copy_send(struct __sk_buff *skb, const struct sealing *s,
				     const struct ntm_source *source)
{
	struct finished eth;

	finished_mark(&eth, s->config, source->ifindex);
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return -NTM_DROP_SEND;
	return bpf_clone_redirect(skb, s->config->seal_out, BPF_F_INGRESS) ? -NTM_DROP_SEND : 0;
}

/* The second way's copy; what cannot be sent there is lost. 0 or -NTM_DROP_SEND */
static __always_inline int second_send(struct __sk_buff *skb, const struct sealing *s, const struct encap *e)
{
	const struct ntm_source *source = way_source(&s->ends.second);

	return !source || encap_write(skb, e, source, &s->ends.second) ? -NTM_DROP_SEND
								       : copy_send(skb, s, source);
}

/* Whether this is a second copy. */
static __always_inline bool is_finished(const struct __sk_buff *skb, const struct ntm_config *config)
{
	const struct finished *eth = (void *)(long)skb->data;

	return (void *)(eth + 1) <= (void *)(long)skb->data_end &&
	       eth->magic[0] == ((__u32)config->magic & NO_GROUP) && eth->magic[1] == config->magic >> 32;
}

/* Sends a second copy on: the verdict, -NTM_DROP_SEND or -NTM_DROP_NO_ROUTE. */
static __noinline int finished_send(struct __sk_buff *skb)
{
	const struct ntm_config *config = config_get();
	const struct finished *eth = (void *)(long)skb->data;
	struct encap4 *p4 = (void *)(long)skb->data + ETH_HLEN;
	struct encap6 *p6 = (void *)(long)skb->data + ETH_HLEN;
	void *end = (void *)(long)skb->data_end;
	struct ntm_source source = {};
	struct ntm_way way __attribute__((aligned(4))) = {};
	struct fib_hop hop;
	struct udphdr *udp;

	if (!config || (void *)(eth + 1) > end)
		return -NTM_DROP_SEND;
	source.ifindex = eth->ifindex;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if ((void *)(p4 + 1) > end)
			return -NTM_DROP_SEND;
		addr_set4(&source.addr, p4->ip.saddr);
		addr_set4(&way.addr, p4->ip.daddr);
		udp = &p4->udp;
	} else {
		if ((void *)(p6 + 1) > end)
			return -NTM_DROP_SEND;
		addr_set6(&source.addr, &p6->ip.saddr);
		addr_set6(&way.addr, &p6->ip.daddr);
		udp = &p6->udp;
	}
	source.port = bpf_ntohs(udp->source);
	way.port = bpf_ntohs(udp->dest);
	if (fib_ask(skb, &source, &way, skb->len - ETH_HLEN, &hop))
		return -NTM_DROP_NO_ROUTE;
	skb->mark = config->mark;
	return fib_redirect(&hop);
}

/* Makes the sealed packet one for `way` and sends it. The verdict or -NTM_DROP_SEND */
static __noinline int sealed_send(struct __sk_buff *skb, struct sealing *s, const struct encap *e)
{
	const struct ntm_way *way = s->second_only ? &s->ends.second : &s->ends.route;
	const struct ntm_source *source = way_source(way);
	bool four = way_is4(way), four_now = s->both ? way_is4(&s->ends.second) : four;

	if (s->both) {
		second_send(skb, s, e);
		if (four != four_now && encap_turn(skb, four))
			return -NTM_DROP_SEND;
	}
	if (!source || encap_write(skb, e, source, way))
		return -NTM_DROP_SEND;
	__sync_fetch_and_add(&s->path.state->tx_packets, 1);
	__sync_fetch_and_add(&s->path.state->tx_bytes, s->len);
	s->path.state->tx_ns = s->now;
	/*
	 * Seconds, if the neighbour never answers: as after a move. TCP sends nothing again that it believes
	 * to be still on its way out of this host, so this must not be the packet that it gave us.
	 */
	if (s->hop.waits)
		return copy_send(skb, s, source) ? -NTM_DROP_SEND : TC_ACT_SHOT;
	skb->mark = s->config->mark;
	return fib_redirect(&s->hop);
}

/* Seals, with the headers of the way that gets it first. The verdict or -NTM_DROP_* */
static __always_inline int sealing_send(struct __sk_buff *skb, struct sealing *s)
{
	struct encap e = {.udp_len = sizeof(struct udphdr) + OVERHEAD + s->len,
			  .flow_label = s->path.ends->flow_label,
			  .tos = s->tos};
	bool four = way_is4(s->both || s->second_only ? &s->ends.second : &s->ends.route);
	struct crypt_ad header;
	__u64 counter;
	int err;

	err = counter_take(s, &counter);
	if (err)
		return err;
	err = sealing_room(skb, s, four);
	if (err)
		return err;
	encap_header(&header,
		     NTM_TYPE_DATA | s->ends.phase << NTM_TYPE_PHASE_SHIFT | (s->path.ends->side & 1) << 1,
		     counter, s->path.ends->path_id);
	err = crypt_seal_tc(skb, ETH_HLEN + (four ? ENCAP4 : ENCAP6), s->len, &header, s->key->send, counter,
			    &e.sum);
	return err ? err : sealed_send(skb, s, &e);
}

/* Answers what is larger than the path takes: the verdict. */
static __always_inline int sealing_refuse(struct __sk_buff *skb, const struct sealing *s, __u32 mtu)
{
	int verdict;

	path_drop(&s->path, -NTM_DROP_TOO_BIG);
	verdict = too_big_answer(skb, s->version, mtu);
	return verdict < 0 ? TC_ACT_SHOT : verdict;
}

/* Where the packet goes next by this way: 0 or as fib_find. */
static __always_inline int way_find(struct __sk_buff *skb, struct sealing *s, const struct ntm_way *way)
{
	const struct ntm_source *source = way_source(way);

	s->hop.result = 0;
	if (!source)
		return -NTM_DROP_NO_ROUTE;
	return fib_find(skb, s->config, source, way, way_overhead(way) + s->len, s->now, &s->hop);
}

/* Finds out whether and where it can go: 0; or the verdict, it was answered; or -NTM_DROP_* */
static __noinline int sealing_way(struct __sk_buff *skb, struct sealing *s)
{
	__u32 mtu = s->ends.mtu < CRYPT_LEN_MAX ? s->ends.mtu : CRYPT_LEN_MAX;
	const struct ntm_way *way = &s->ends.route;
	int err;

	if (!(s->ends.flags & NTM_ENDS_ROUTE))
		return -NTM_DROP_NO_ROUTE;
	s->key = path_key(s->path.slot, s->ends.phase, s->now);
	if (!s->key)
		return -NTM_DROP_NO_KEY;
	if (s->len > mtu)
		return sealing_refuse(skb, s, mtu);
	s->both = s->ends.flags & NTM_ENDS_SECOND;
	s->second_only = false;
	if (!path_allowed(&s->path, &s->ends, OVERHEAD + s->len, true)) {
		if (!s->both)
			return -NTM_DROP_NO_ROUTE;
		way = &s->ends.second;
		s->second_only = true;
		s->both = false;
	}
	err = way_find(skb, s, way);
	if (err == -NTM_DROP_NO_ROUTE && s->both) { /* one of two is enough */
		event_hint(&s->path, NTM_EVENT_NO_ROUTE, s->ends.phase, s->hop.result, s->now);
		way = &s->ends.second;
		s->second_only = true;
		s->both = false;
		err = way_find(skb, s, way);
	}
	if (err == -NTM_DROP_TOO_BIG) {
		mtu = s->hop.mtu - way_overhead(way);
		event_hint(&s->path, NTM_EVENT_TOO_BIG, s->ends.phase, mtu, s->now);
		return sealing_refuse(skb, s, mtu);
	}
	if (err)
		event_hint(&s->path, NTM_EVENT_NO_ROUTE, s->ends.phase, s->hop.result, s->now);
	return err;
}

SEC("tc")
int tc_seal(struct __sk_buff *skb)
{
	struct sealing s = {.config = config_get()};
	int verdict;

	if (!s.config)
		return TC_ACT_SHOT;
	if (is_finished(skb, s.config)) {
		verdict = finished_send(skb);
		if (verdict >= 0)
			return verdict;
		drop_count(verdict);
		return TC_ACT_SHOT;
	}
	s.now = bpf_ktime_get_boot_ns();
	verdict = sealing_begin(skb, &s);
	if (verdict) {
		if (verdict != NOT_SENT)
			drop_count(verdict);
		return TC_ACT_SHOT;
	}
	verdict = sealing_way(skb, &s);
	if (s.tcp && (!verdict || verdict == -NTM_DROP_NO_ROUTE))
		resume_note(skb, s.tcp, s.len, s.path.slot, s.now);
	if (!verdict)
		verdict = sealing_send(skb, &s);
	if (verdict >= 0)
		return verdict;
	path_drop(&s.path, verdict);
	return TC_ACT_SHOT;
}
