/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_control.h - what is for ntm-rs itself: binds, sessions, echoes. It has one socket buffer for them,
 * and anybody may send them, in any name; so what one path or one source can have there is limited before it
 * is there. A flood under one name takes nothing from others. relay_find.h -> here -> the sockets of ntm-rs
 * (rs/receive.c).
 */
#ifndef NTM_BPF_RELAY_CONTROL_H
#define NTM_BPF_RELAY_CONTROL_H

#include "relay_find.h"
#include "relay_maps.h"
#include "relay_packet.h"

/*
 * Nobody knows this Path ID. A few are answered by ntm-rs, so that nodes learn of a lost path; the rest of a
 * flood ends here. So do resets of ntm-rs's sessions: its DCs, which make the sessions, make new ones without
 * them.
 */
static __always_inline int unknown(struct ntm_relay_limit *limit, const struct ntm_relay_config *config,
				   __u32 tick)
{
	if (limit_take(limit, config->unknown_limit, tick))
		return XDP_PASS;
	return -NTM_DROP_PATH_UNKNOWN;
}

/* name: a Path ID or a source */
static __always_inline int control_of(__u64 name, const struct ntm_relay_config *config, __u32 tick)
{
	__u32 key = (__u32)((name ^ config->control_key) * 0x9e3779b97f4a7c15ULL >>
			    (64 - NTM_RELAY_CONTROL_BITS));
	struct ntm_relay_limit *limit = bpf_map_lookup_elem(&rs_control, &key);

	return !limit || limit_take(limit, config->control_limit, tick) ? XDP_PASS : -NTM_DROP_RATE;
}

/* A packet of a type that is not relayed. */
static __always_inline int control(const struct packet *p, const struct ntm_relay_config *config,
				   struct ntm_relay_load *load, __u32 tick)
{
	struct found found;

	switch (p->type) {
	case NTM_TYPE_RELAY_BIND:
		if (!find(p->id, config, &found) || tick >= found.state->expires)
			return unknown(&load->unknown_bind, config, tick);
		return control_of(p->id, config, tick);
	case NTM_TYPE_SESSION_INIT:
	case NTM_TYPE_SESSION_RESPONSE:
	case NTM_TYPE_SESSION:
		/* Of IPv6 the network */
		return control_of(p->is4 ? p->source.lo : p->source.hi, config, tick);
	case NTM_TYPE_ECHO:
		return limit_take(&load->echo, config->echo_limit, tick) ? XDP_PASS : -NTM_DROP_RATE;
	}
	return -NTM_DROP_TYPE_UNKNOWN;
}

#endif
