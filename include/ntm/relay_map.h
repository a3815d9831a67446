/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_map.h - the maps between ntm-rs and its XDP program: what each holds, who writes it, and what
 * ntm-rs has to do around them. Included by bpf/xdp_relay.bpf.c, rs/ and the tests.
 *
 *	map          key -> value                                           written by
 *	rs_paths     Path ID -> struct ntm_relay_path: both legs            ntm-rs only
 *	rs_moving    Path ID -> struct ntm_relay_moving: other sources      ntm-rs only
 *	rs_local     0.. -> struct ntm_relay_local: our listen endpoints    ntm-rs only
 *	rs_devices   interface index -> struct ntm_relay_device: ways out   ntm-rs only
 *	rs_config    0 -> struct ntm_relay_config                           ntm-rs only
 *	rs_state     slot -> struct ntm_relay_state: counters, last use,    XDP only; ntm-rs zeroes a slot
 *	             next hops; can be mmapped                              before it gives it to a path
 *	rs_stats     enum ntm_drop -> count, per CPU                        XDP only
 *	rs_load      0 -> struct ntm_relay_load, per CPU                    XDP only
 *
 * One writer a map: a value that both sides wrote would have counters rolled back by each update. No map
 * holds keys. Numbers are in host byte order, addresses as in types.h; keys that are Path IDs are __u64 as
 * ntm_header_id() returns them. Times are of CLOCK_MONOTONIC, in nanoseconds or in ticks of 2^30 of them.
 *
 * Two programs use them: rs_relay for native mode, rs_relay_skb for generic mode, where a "packet" may be a
 * train of several (GSO, GRO) and its checksum not yet be made. What XDP cannot or need not do itself goes up
 * to the sockets (XDP_PASS), and ntm-rs relays it: binds, sessions, echoes; IP options, fragments, extension
 * headers; destinations without a route, a neighbour or a device in rs_devices; trains larger than the MTU.
 * So the table in ntm-rs must know all that the maps know, and its counters are added to those here.
 *
 * What ntm-rs does:
 *  - Order, new path: zero rs_state[slot], then rs_paths. A move: rs_moving, then rs_paths with `moves` one
 *    more. Removal: rs_paths, rs_moving; the slot is free for another path a second later at the earliest
 *    (packets under way still count there).
 *  - Adds 1 to rs_config.generation whenever rtnetlink tells a change of a route, rule, neighbour (also its
 *    link-layer address), link or address: all cached next hops are looked up again.
 *  - Sets net.ipv4.conf.lo.forwarding and net.ipv6.conf.lo.forwarding to 1: bpf_fib_lookup() answers only for
 *    an interface that forwards; XDP asks as `lo`, which is how the host's own packets are routed. Forwarding
 *    on the real interfaces stays as it is.
 *  - Lists in rs_devices what frames can be sent out of. Native mode: devices whose driver takes redirected
 *    frames, and with NTM_RELAY_TX_ONLY those that can only send back what came in by them; a VLAN device as its
 *    parent and the tag. Generic mode: any Ethernet device, a VLAN device as itself. There, do not attach to a
 *    device that has VLAN devices on it but to those: a tag that was taken off in advance is invisible, and would
 *    stay on what is sent.
 *  - In generic mode its sockets use UDP_GRO only if all interfaces are veth: elsewhere the kernel would merge
 *    packets before XDP sees them, to trains that the device it sends out of may not take.
 */
#ifndef NTM_RELAY_MAP_H
#define NTM_RELAY_MAP_H

#include "types.h"

#define NTM_RELAY_LAYOUT 1 /* changes with every structure here; part of the pin path */
#define NTM_RELAY_LOCALS 32 /* entries of rs_local; paths bound at another address go up: _PASS */
#define NTM_RELAY_DEVICES 64 /* entries of rs_devices */
#define NTM_RELAY_MOVINGS 65536 /* entries of rs_moving; when it is full, sources not in it go up */
#define NTM_RELAY_STATS 128 /* entries of rs_stats: room for more drop reasons in the same layout */
#define NTM_RELAY_TICK_SHIFT 30 /* a tick is about 1.07 s: a shift is cheaper than a division */
#define NTM_RELAY_HOP_TICKS 28 /* a next hop is looked up again after this, whatever the generation */
#define NTM_RELAY_SAMPLE 64 /* the time of one packet in so many is measured */

/* ---- rs_paths: memory a path: 16 bucket + 48 element + 8 key + 72 here + 104 in rs_state = 248 bytes */

struct ntm_relay_leg {
	struct ntm_endpoint remote; /* bound: packets for this leg go there; port 0: not bound */
	__u16 local; /* they come from this one of rs_local, the one it bound itself at */
	__u16 moves; /* one more with each change of remote or local: the next hop is looked up again */
	__u16 zero;
} __attribute__((aligned(8)));

/* ntm_relay_path.flags */
#define NTM_RELAY_PASS 1 /* this path is relayed by ntm-rs alone */
#define NTM_RELAY_MOVING 2 /* there are more sources than the bound ones: see rs_moving */

struct ntm_relay_path {
	struct ntm_relay_leg leg[2]; /* by enum ntm_side */
	__u64 rate; /* UDP payload bytes a second, both directions together; 0: no limit */
	__u32 slot; /* in rs_state */
	__u32 flags;
	__u32 expires; /* tick from which on it is as an unknown Path ID: nobody need be there to remove it */
	__u32 dc; /* for ntm-rs alone: first 32 bits of the public key of the DC that directed it */
};

/*
 * ---- rs_moving: sources that count as a leg's beside the bound one, while a leg moves. Looked at only if the
 * path has NTM_RELAY_MOVING; if there is no entry then, packets from other than the bound sources go up.
 */
struct ntm_relay_moving_leg {
	struct ntm_endpoint candidate; /* was sent a challenge; port 0: none */
	struct ntm_endpoint old; /* bound before; port 0: none */
	__u32 zero;
	__u64 old_until_ns; /* old counts until then */
};

struct ntm_relay_moving {
	struct ntm_relay_moving_leg leg[2]; /* by enum ntm_side */
};

/* ---- rs_local: no gaps; rs_config.locals of them */
struct ntm_relay_local {
	struct ntm_endpoint at; /* never a wildcard: ntm-rs lists the host's addresses instead */
	__u16 zero[3];
} __attribute__((aligned(8)));

/* ---- rs_devices: by the interface index that a route names */
struct ntm_relay_device {
	__u32 ifindex; /* frames are sent out of this one: the same, or in native mode a VLAN's parent */
	__u16 vlan; /* VLAN ID of the 802.1Q tag that XDP puts on; 0: none */
	__u16 flags; /* NTM_RELAY_TX_ONLY */
};
#define NTM_RELAY_TX_ONLY 0x8000 /* no redirected frames: only what came in by it */

/* ---- rs_config */
struct ntm_relay_config {
	__u64 flow_key; /* random: key of the IPv6 flow labels */
	__u32 generation; /* of routes and neighbours */
	__u32 locals; /* entries of rs_local */
	__u32 unknown_limit; /* packets of unknown Path IDs passed up, to be answered by a reset: a CPU and tick */
	__u32 too_big_limit; /* ICMP errors sent: a CPU and tick */
	__u32 slots; /* entries of rs_state */
	__u32 zero;
};

/*
 * The slot that a path should be given if it is free: XDP has it loaded while it searches for the path, which
 * saves one of three waits for memory when there are many paths. Any other slot works as well.
 */
static inline __u32 ntm_relay_slot(__u64 path_id, __u32 slots)
{
	return (__u32)(((path_id * 0x9e3779b97f4a7c15ULL) >> 32) * slots >> 32);
}

/* ---- rs_state */

/* Where frames for a leg go. Written by any CPU, `generation` last. */
struct ntm_relay_hop {
	__u32 ifindex; /* send out of; 0: none looked up yet */
	__u8 dmac[6], smac[6];
	__u16 vlan; /* VLAN ID; and NTM_RELAY_TX_ONLY */
	__u16 mtu; /* IP packet, bytes */
	__u16 generation; /* rs_config.generation + leg.moves it was looked up under, low 16 bits */
	__u16 looked; /* when: ticks, low 16 bits */
};

/* Packets that came from one leg. */
struct ntm_relay_way {
	__u64 packets, bytes; /* passed on; bytes of UDP payload, as ntm-rs counts them */
	__u32 drops;
	__u32 used; /* when the last one was passed on: ticks; 0: never */
	struct ntm_relay_hop hop; /* to the other leg */
};

struct ntm_relay_state {
	struct ntm_relay_way from[2]; /* by enum ntm_side of the leg they came from */
	__u64 rate_ns; /* virtual time of the rate's bucket, as in rs/path.c */
};

/*
 * ---- rs_load: for the load report. The CPU time of XDP is about seen * sampled_ns / samples; that is the
 * program alone: driver and transmission come on top.
 */
struct ntm_relay_limit {
	__u32 tick, used;
};

struct ntm_relay_load {
	__u64 packets, bytes; /* passed on; bytes of UDP payload */
	__u64 seen; /* to one of our endpoints, of a type that is relayed: passed on, up, or dropped */
	__u64 sampled_ns, samples;
	/*
	 * Whether what XDP sends arrives: `requests` Tunnel Requests were passed on, and as `answers` Tunnel Responses,
	 * path control and data of side 1, which it only sends when a Request has reached it. Requests without any
	 * answers mean that frames are lost (native veth can), and ntm-rs falls back.
	 */
	__u64 requests, answers;
	__u64 jiffies, now_ns; /* the time that XDP knows */
	struct ntm_relay_limit unknown, too_big;
};

_Static_assert(sizeof(struct ntm_relay_leg) == 24, "no padding");
_Static_assert(sizeof(struct ntm_relay_path) == 72, "rs_paths: 72 bytes a path");
_Static_assert(sizeof(struct ntm_relay_moving) == 96, "no padding");
_Static_assert(sizeof(struct ntm_relay_local) == 24, "no padding");
_Static_assert(sizeof(struct ntm_relay_hop) == 24, "no padding");
_Static_assert(sizeof(struct ntm_relay_state) == 104, "rs_state: 104 bytes a path");

#endif
