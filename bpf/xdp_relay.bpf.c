/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp_relay.bpf.c - the Relay Server's forwarding: a packet of a bound path comes in, gets new outer headers
 * by its Path ID, and leaves by the right interface. Its payload is not looked at.
 *
 *	NIC -> relay_packet.h -> relay_find.h -> relay_admit.h -> relay_hop.h -> relay_rewrite.h -> NIC
 *	                                                                  \-> relay_too_big.h: ICMP back
 *	   \-> relay_control.h, and what this cannot or must not do: sockets of ntm-rs -> rs/user_relay.c
 *
 * include/ntm/relay_map.h is the contract with ntm-rs, which loads this (rs/xdp.c).
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <ntm/drop.h>
#include <ntm/header.h>
#include <ntm/relay_map.h>

#include "relay_admit.h"
#include "relay_control.h"
#include "relay_find.h"
#include "relay_forward.h"
#include "relay_maps.h"
#include "relay_packet.h"

static __always_inline int relay(struct xdp_md *ctx, bool generic)
{
	const struct ntm_relay_config *config;
	struct ntm_relay_load *load;
	struct packet p;
	__u64 start = 0, now_ns;
	__u32 zero = 0;
	int side, r;

	if (!packet_read(ctx, &p))
		return XDP_PASS;
	config = bpf_map_lookup_elem(&rs_config, &zero);
	load = bpf_map_lookup_elem(&rs_load, &zero);
	if (!config || !load || !is_local(&p, config))
		return XDP_PASS;
	side = type_side(p.type);
	now_ns = clock_ns(load);
	if (side == SIDE_NONE) {
		r = control(&p, config, load, (__u32)(now_ns >> NTM_RELAY_TICK_SHIFT));
	} else {
		if (load->seen++ % NTM_RELAY_SAMPLE == 0)
			start = bpf_ktime_get_ns();
		r = forward(ctx, &p, side, config, load, now_ns, generic);
	}
	if (start) {
		load->sampled_ns += bpf_ktime_get_ns() - start;
		load->samples++;
	}
	if (r >= 0)
		return r;
	stats_count((__u32)-r);
	return XDP_DROP;
}

/* Native mode: one frame, which leaves as this writes it. */
SEC("xdp")
int rs_relay(struct xdp_md *ctx)
{
	return relay(ctx, false);
}

/* Generic mode: a socket buffer, maybe a train, maybe with its checksum still to be made. */
SEC("xdp")
int rs_relay_skb(struct xdp_md *ctx)
{
	return relay(ctx, true);
}

char LICENSE[] SEC("license") = "GPL";
