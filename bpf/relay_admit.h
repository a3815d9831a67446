/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_admit.h - whether a packet may go on, and from which leg it came: the same rules as rs_path_admit()
 * in rs/path.c has for what user space relays. relay_find.h -> here -> relay_hop.h.
 */
#ifndef NTM_BPF_RELAY_ADMIT_H
#define NTM_BPF_RELAY_ADMIT_H

#include "relay_find.h"
#include "relay_maps.h"
#include "relay_packet.h"

#define SIDE_EITHER 2 /* the type does not tell its sender's side */
#define SIDE_NONE (-1) /* not a type that is relayed */
#define SIDE_UP 2 /* source_side(): ntm-rs must decide */

#define RATE_BURST_NS 100000000ULL /* as rs/path.c: a tenth of a second's bytes at once, */
#define RATE_BURST_BYTES 65536ULL /* and at least so many */
/* rate_left() looks for no more room than this: a train's first datagram may fit */
#define RATE_ASKED_BYTES 1500U
#define RATE_TRIES 4 /* when other CPUs take from the same bucket */

/* The side that sends packets of this type. */
static __always_inline int type_side(__u8 type)
{
	if ((type & NTM_TYPE_CLASS) == NTM_TYPE_DATA || (type & NTM_TYPE_CLASS) == NTM_TYPE_PATH)
		return NTM_TYPE_SIDE(type);
	switch (type) {
	case NTM_TYPE_TUNNEL_REQUEST:
		return NTM_SIDE_REQUESTER;
	case NTM_TYPE_TUNNEL_RESPONSE:
	case NTM_TYPE_TUNNEL_PROBE:
		return NTM_SIDE_OTHER;
	case NTM_TYPE_COOKIE:
	case NTM_TYPE_RESET:
		return SIDE_EITHER;
	}
	return SIDE_NONE;
}

/* Whether it came to one of our listen endpoints. */
static __always_inline bool is_local(const struct packet *p, const struct ntm_relay_config *config)
{
	for (__u32 i = 0; i < NTM_RELAY_LOCALS; i++) {
		const struct ntm_relay_local *local;
		struct address addr;
		__u32 key = i;

		if (i >= config->locals)
			return false;
		local = bpf_map_lookup_elem(&rs_local, &key);
		if (!local)
			return false;
		if (local->at.port != p->dport)
			continue;
		addr = address_load(&local->at.addr);
		if (address_equal(&addr, &p->dest))
			return true;
	}
	return false;
}

/* A source has a port, so it never equals the none of what is not bound. */
static __always_inline bool is_source(const struct packet *p, const struct ntm_endpoint *endpoint)
{
	struct address addr = address_load(&endpoint->addr);

	return endpoint->port == p->sport && address_equal(&addr, &p->source);
}

static __always_inline bool is_moving_source(const struct packet *p, const struct ntm_relay_moving_leg *leg,
					     __u64 now_ns)
{
	return is_source(p, &leg->candidate) || (now_ns < leg->old_until_ns && is_source(p, &leg->old));
}

/* Bit 1 << side: the source is one of that leg's. -1: ntm-rs must decide. */
static __attribute__((noinline)) int source_sides(const struct packet *p, const struct ntm_relay_leg *leg,
						  __u32 flags, __u64 now_ns)
{
	const struct ntm_relay_moving *moving;
	int sides = is_source(p, &leg[0].remote) | is_source(p, &leg[1].remote) << 1;

	if (!(flags & NTM_RELAY_MOVING))
		return sides;
	moving = bpf_map_lookup_elem(&rs_moving, &p->id);
	if (!moving)
		return sides ? sides : -1;
	return sides | is_moving_source(p, &moving->leg[0], now_ns) |
	       is_moving_source(p, &moving->leg[1], now_ns) << 1;
}

/* The sender's side by its source, for a type that claims `side`; SIDE_UP, or -NTM_DROP_SIDE or _SOURCE. */
static __always_inline int source_side(const struct packet *p, const struct found *found, int side,
				       __u64 now_ns)
{
	const struct ntm_relay_leg *leg = found->leg;
	int sides;

	if (side == 0 && is_source(p, &leg[0].remote))
		return 0;
	if (side == 1 && is_source(p, &leg[1].remote))
		return 1;
	sides = source_sides(p, leg, found->state->flags, now_ns);
	if (sides < 0)
		return SIDE_UP;
	if (!sides)
		return -NTM_DROP_SOURCE;
	if (side == SIDE_EITHER)
		return sides & 1 ? 0 : 1;
	return sides & (1 << side) ? side : -NTM_DROP_SIDE;
}

/* What the bucket may hold, as time. */
static __always_inline __u64 rate_burst_ns(__u64 rate)
{
	__u64 burst_ns = RATE_BURST_BYTES * 1000000000ULL / rate;

	return burst_ns < RATE_BURST_NS ? RATE_BURST_NS : burst_ns;
}

/*
 * Whether there is anything left in the bucket. What is asked before a packet goes up: ntm-rs takes its bytes
 * out of the same bucket, each datagram's of a train, and what is far beyond the rate is not to cost it
 * anything.
 */
static __always_inline bool rate_left(__u64 rate, const __u64 *rate_ns, __u32 len, __u64 now_ns)
{
	if (len > RATE_ASKED_BYTES)
		len = RATE_ASKED_BYTES;
	return *(const volatile __u64 *)rate_ns + len * 1000000000ULL / rate <= now_ns;
}

/* Whether the path's rate leaves room for len bytes; takes them. */
static __always_inline bool rate_take(__u64 rate, __u64 *rate_ns, __u32 len, __u64 now_ns)
{
	__u64 cost_ns = len * 1000000000ULL / rate, burst_ns = rate_burst_ns(rate);

	for (int i = 0; i < RATE_TRIES; i++) {
		__u64 seen = *(volatile __u64 *)rate_ns, from = seen;

		if (from + burst_ns < now_ns)
			from = now_ns - burst_ns;
		if (from + cost_ns > now_ns)
			return false;
		if (__sync_val_compare_and_swap(rate_ns, seen, from + cost_ns) == seen)
			return true;
	}
	return true; /* others took theirs meanwhile: a packet too many, no more */
}

#endif
