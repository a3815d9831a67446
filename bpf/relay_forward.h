/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_forward.h - the relay's decision on a packet to one of its endpoints: which path, from which leg,
 * where to, and whether it may. The order matters: until a packet is sure to be sent, nothing is taken from
 * its path's rate (only looked at) and nothing is counted as passed on, since ntm-rs does both for what goes
 * up.
 */
#ifndef NTM_BPF_RELAY_FORWARD_H
#define NTM_BPF_RELAY_FORWARD_H

#include "relay_admit.h"
#include "relay_control.h"
#include "relay_hop.h"
#include "relay_rewrite.h"
#include "relay_too_big.h"

/* IPv6 flow label: routers see which packets belong together, and no more than the Path ID shows anyway. */
static __always_inline __u32 flow_label(__u64 id, __u64 key)
{
	return (__u32)(((id ^ key) * 0x9e3779b97f4a7c15ULL) >> 44);
}

static __always_inline int outgrown(struct xdp_md *ctx, const struct packet *p,
				    const struct ntm_relay_leg *from, struct ntm_relay_load *load,
				    const struct ntm_relay_config *config, __u32 mtu, __u32 tick,
				    bool generic)
{
	/* Maybe a train of smaller ones: the socket takes it apart. */
	if (generic && check_looks_partial(p))
		return XDP_PASS;
	/* May be fragmented, and is too short to be quoted: not ours. */
	if ((p->is4 && !(p->ip4_frag & bpf_htons(IP4_DF))) || p->udp_len < ICMP_QUOTE)
		return XDP_PASS;
	if (!limit_take(&load->too_big, config->too_big_limit, tick))
		return -NTM_DROP_TOO_BIG;
	return too_big(ctx, p, from, (__u16)mtu);
}

static __always_inline void count(const struct packet *p, int side, struct ntm_relay_state *state,
				  struct ntm_relay_load *load, __u32 tick)
{
	__u32 len = p->udp_len - sizeof(struct udphdr);

	__sync_fetch_and_add(&state->packets[side], 1);
	__sync_fetch_and_add(&state->bytes[side], len);
	state->used = (__u16)tick | 1;
	load->packets++;
	load->bytes += len;
	if (side == NTM_SIDE_REQUESTER)
		load->requests += p->type == NTM_TYPE_TUNNEL_REQUEST;
	else
		load->answers += p->type >= NTM_TYPE_PATH || p->type == NTM_TYPE_TUNNEL_RESPONSE;
}

/* Sends the packet, which came from leg[side], on to the other one. side: a constant */
static __always_inline int forward_from(struct xdp_md *ctx, const struct packet *p, int side,
					const struct found *found, const struct ntm_relay_config *config,
					struct ntm_relay_load *load, __u64 now_ns, bool generic)
{
	const struct ntm_relay_leg *from = &found->leg[side], *to = &found->leg[!side];
	struct ntm_relay_state *state = found->state;
	__u32 tick = (__u32)(now_ns >> NTM_RELAY_TICK_SHIFT), mtu;
	const struct ntm_relay_local *local;
	__u16 wanted = ntm_relay_hop_wanted(config, to->moves, p->id, tick);
	__u64 rate = state->rate;
	struct rewrite out;
	struct way_out way;
	int r;

	if (!to->remote.port)
		return -NTM_DROP_LEG_UNBOUND;
	if (p->ttl <= 1)
		return -NTM_DROP_HOP_LIMIT;
	if (rate && !rate_left(rate, &state->rate_ns, p->udp_len - sizeof(struct udphdr), now_ns))
		return -NTM_DROP_RATE;
	local = leg_local(to);
	if (!local || hop_find(ctx, &state->hop[side], to, wanted, &way) || !way_is_open(ctx, &way))
		return XDP_PASS;
	out.source = address_load(&local->at.addr);
	out.dest = address_load(&to->remote.addr);
	out.sport = local->at.port;
	out.dport = to->remote.port;
	out.vlan = way.exit.vlan & VLAN_ID;
	out.is4 = address_is4(&out.dest);
	out.flow_label = flow_label(p->id, config->flow_key);

	mtu = way.exit.mtu + ip_len(p->is4) - ip_len(out.is4); /* in the sender's family */
	if (ip_len(p->is4) + p->udp_len > mtu)
		return outgrown(ctx, p, from, load, config, mtu, tick, generic);
	r = rewrite_check(ctx, p, &out, generic);
	if (r)
		return r;
	r = rewrite_room(ctx, p, &out);
	if (r)
		return r;
	if (rate && !rate_take(rate, &state->rate_ns, p->udp_len - sizeof(struct udphdr), now_ns))
		return -NTM_DROP_RATE;
	r = rewrite_headers(ctx, p, &out, &way);
	if (r)
		return r;
	count(p, side, state, load, tick);
	return way_send(ctx, &way);
}

static __always_inline int forward(struct xdp_md *ctx, const struct packet *p, int type_side,
				   const struct ntm_relay_config *config, struct ntm_relay_load *load,
				   __u64 now_ns, bool generic)
{
	__u32 tick = (__u32)(now_ns >> NTM_RELAY_TICK_SHIFT);
	struct found found;
	int side, r;

	if (!find(p->id, config, &found) || tick >= found.state->expires)
		return unknown(&load->unknown, config, tick);
	if (found.state->flags & NTM_RELAY_PASS)
		return XDP_PASS;
	side = p->sport ? source_side(p, &found, type_side, now_ns) : -NTM_DROP_SOURCE;
	if (side == SIDE_UP)
		return XDP_PASS;
	/* Two calls with constants: an index that is a variable costs more than the code it saves. */
	if (side == 0)
		r = forward_from(ctx, p, 0, &found, config, load, now_ns, generic);
	else if (side == 1)
		r = forward_from(ctx, p, 1, &found, config, load, now_ns, generic);
	else
		r = side;
	if (r < 0)
		__sync_fetch_and_add(&found.state->drops, 1);
	return r;
}

#endif
