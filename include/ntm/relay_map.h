/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_map.h - the maps between ntm-rs and its XDP program: what each holds, who writes it, and what
 * ntm-rs has to do around them. Included by bpf/xdp_relay.bpf.c, rs/ and the tests.
 *
 *	map          key -> value                                           written by
 *	rs_paths     Path ID -> struct ntm_relay_path: both legs            ntm-rs only
 *	rs_index     bucket -> struct ntm_relay_bucket: slots by Path ID;   ntm-rs only
 *	             mmapped
 *	rs_moving    Path ID -> struct ntm_relay_moving: other sources      ntm-rs only
 *	rs_local     0.. -> struct ntm_relay_local: our listen endpoints    ntm-rs only
 *	rs_devices   interface index -> struct ntm_relay_device: ways out   ntm-rs only
 *	rs_exits     number of a way out -> struct ntm_relay_exit           XDP only
 *	rs_config    0 -> struct ntm_relay_config                           ntm-rs only
 *	rs_state     slot -> struct ntm_relay_state: settings, a copy of    first half ntm-rs, second XDP
 *	             the legs; counters, last use, next hops; mmapped
 *	rs_stats     enum ntm_drop -> count, per CPU                        XDP only
 *	rs_load      0 -> struct ntm_relay_load, per CPU                    XDP only
 *	rs_control   hash -> struct ntm_relay_limit, per CPU                XDP only
 *
 * One writer a map, or a field of what is mmapped: a value that both sides wrote would have counters rolled
 * back by each update. Only a path's rate is one for both, by compare-and-swap; and ntm-rs zeroes a slot of
 * rs_state before it gives it to a path. No map holds keys. Numbers are in host byte order, addresses as in
 * types.h; keys that are Path IDs are __u64 as ntm_header_id() returns them. Times are of CLOCK_MONOTONIC, in
 * nanoseconds or in ticks of 2^30 of them.
 *
 * Two programs use them: rs_relay for native mode, rs_relay_skb for generic mode, where a "packet" may be a
 * train of several (GSO, GRO) and its checksum not yet be made. What XDP cannot or need not do itself goes up
 * to the sockets (XDP_PASS), and ntm-rs handles it: binds, sessions, echoes, as many as it takes; IP options,
 * fragments, extension headers; destinations without a route, a neighbour or a device in rs_devices; trains
 * larger than the MTU. So the table in ntm-rs must know all that the maps know, and its counters are added to
 * those here.
 *
 * The short way and the long one. rs_paths says what holds, and is what people look at; but with a million
 * paths each step of a search in it waits for memory that no cache has. rs_index is small enough to be in a
 * cache, and leads to the slot of rs_state that has all a packet needs, in two lines. So XDP looks there
 * first; only a path that it does not find there, since there was no room in its buckets or its legs are
 * changing, is looked up in rs_paths. rs/relay_slot.c writes what bpf/relay_find.h reads.
 *
 * What ntm-rs does:
 *  - Order, new path: zero rs_state[slot], then rs_paths. A move: out of rs_index, rs_moving, then rs_paths
 *    with `moves` one more; into rs_state and rs_index two ticks later at the earliest, when no program that
 *    knew the old legs there still runs. Removal: rs_index, rs_paths, rs_moving; the slot is free for another
 *    path two ticks later at the earliest (packets under way still count there).
 *  - Adds 1 to rs_config.generation whenever rtnetlink tells a change of a route, rule, neighbour (also its
 *    link-layer address), link or address: all cached next hops are looked up again. While it can be told, it
 *    puts off rs_config.watched_until; after that, they are looked up again by time.
 *  - Sets net.ipv4.conf.lo.forwarding and net.ipv6.conf.lo.forwarding to 1: bpf_fib_lookup() answers only for
 *    an interface that forwards; XDP asks as `lo`, which is how the host's own packets are routed. Forwarding
 *    on the real interfaces stays as it is.
 *  - Lists in rs_devices what frames can be sent out of. Native mode: devices whose driver takes redirected
 *    frames, and with NTM_RELAY_TX_ONLY those that can only send back what came in by them; a VLAN device as
 *    its parent and the tag. Generic mode: any Ethernet device, a VLAN device as itself. There, do not attach
 *    to a device that has VLAN devices on it but to those: a tag that was taken off in advance is invisible,
 *    and would stay on what is sent.
 *  - In generic mode its sockets use UDP_GRO only if all interfaces are veth: elsewhere the kernel would
 *    merge packets before XDP sees them, to trains that the device it sends out of may not take.
 */
#ifndef NTM_RELAY_MAP_H
#define NTM_RELAY_MAP_H

#include "types.h"

#define NTM_RELAY_LAYOUT 3 /* changes with every structure here; part of the pin path */
#define NTM_RELAY_LOCALS 32 /* entries of rs_local; paths bound at another address go up: _PASS */
#define NTM_RELAY_DEVICES 64 /* entries of rs_devices, and of rs_exits */
#define NTM_RELAY_MOVINGS 65536 /* entries of rs_moving; when it is full, sources not in it go up */
#define NTM_RELAY_STATS 128 /* entries of rs_stats: room for more drop reasons in the same layout */
#define NTM_RELAY_CONTROL_BITS 12 /* log2 of the entries of rs_control */
#define NTM_RELAY_TICK_SHIFT 30 /* a tick is about 1.07 s: a shift is cheaper than a division */
/* A next hop is looked up again after 2^9 ticks at the latest, whatever the generation; */
#define NTM_RELAY_HOP_SHIFT 9
#define NTM_RELAY_ALONE_SHIFT 5 /* and after 2^5 while no ntm-rs watches routes */
#define NTM_RELAY_WATCH_TICKS 3 /* how long it is believed to, after it has said so */
/* Of so many slots one is left over, so that nearly all paths have room where they are looked for */
#define NTM_RELAY_SPARE 40
#define NTM_RELAY_SAMPLE 64 /* the time of one packet in so many is measured */

/* ---- rs_paths: memory a path: 16 bucket + 48 element + 8 key + 48 here + (2 in rs_index + 128 in rs_state)
 * * 41/40 = 253 bytes */

struct ntm_relay_leg {
	struct ntm_endpoint remote; /* bound: packets for this leg go there; port 0: not bound */
	__u8 local; /* they come from this one of rs_local, the one it bound itself at */
	__u8 moves; /* one more with each change of remote or local: the next hop is looked up again */
};

struct ntm_relay_path {
	struct ntm_relay_leg leg[2]; /* by enum ntm_side */
	__u32 slot; /* in rs_state, with the rest */
	__u32 dc; /* for ntm-rs alone: first 32 bits of the public key of the DC that directed it */
};

/*
 * ---- rs_moving: sources that count as a leg's beside the bound one, while a leg moves. Looked at only if
 * the path has NTM_RELAY_MOVING; if there is no entry then, packets from other than the bound sources go up.
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
	__u32 number; /* in rs_exits; no other entry has it */
};
#define NTM_RELAY_TX_ONLY 0x8000 /* no redirected frames: only what came in by it */

/* ---- rs_exits: the same for XDP, with what the kernel told of it when a next hop was looked up */
struct ntm_relay_exit {
	__u32 ifindex;
	__u16 vlan; /* VLAN ID; and NTM_RELAY_TX_ONLY */
	__u16 mtu; /* IP packet, bytes */
	__u8 smac[6];
	__u16 zero;
};

/* ---- rs_config */
struct ntm_relay_config {
	__u64 flow_key; /* random: key of the IPv6 flow labels */
	__u64 control_key; /* random: of the hash that chooses an entry of rs_control */
	__u32 generation; /* of routes and neighbours */
	__u32 locals; /* entries of rs_local */
	__u32 buckets; /* entries of rs_index */
	/* A CPU and tick: */
	/* Packets of unknown Path IDs passed up, to be answered by a reset; and as many binds */
	__u32 unknown_limit;
	__u32 too_big_limit; /* ICMP errors sent */
	__u32 control_limit; /* binds of one path passed up; packets of sessions from one source */
	__u32 echo_limit; /* echoes passed up */
	__u32 watched_until; /* ticks: until then ntm-rs sees to `generation`; it says so once a second */
};

/* ---- rs_index */

#define NTM_RELAY_BUCKET 16 /* slots in each: bucket i has the tags of the slots 16 i to 16 i + 15 */

struct ntm_relay_bucket {
	/* 15 bits, of the path that has the slot; 0: none that is to be found here */
	__u16 tag[NTM_RELAY_BUCKET];
};

/*
 * Where a path is found by the short way: in a slot of one of two buckets, and best in one of these two
 * slots, which XDP has on their way from memory while it looks into rs_index.
 */
struct ntm_relay_home {
	__u32 bucket[2];
	__u32 slot[2]; /* one of each */
	__u16 tag;
};

/* Entries of rs_state for so many paths: whole buckets. */
static inline __u32 ntm_relay_slots(__u32 paths)
{
	return (paths + paths / NTM_RELAY_SPARE + NTM_RELAY_BUCKET - 1) / NTM_RELAY_BUCKET * NTM_RELAY_BUCKET;
}

static inline __u32 ntm_relay_buckets(__u32 slots)
{
	return (slots + NTM_RELAY_BUCKET - 1) / NTM_RELAY_BUCKET;
}

static inline struct ntm_relay_home ntm_relay_home(__u64 path_id, __u32 buckets)
{
	__u64 v = (path_id ^ path_id >> 32) * 0x9e3779b97f4a7c15ULL, w;
	__u32 first, second;

	v ^= v >> 29;
	w = v * 0xd6e8feb86659fd93ULL;
	first = (__u32)((v >> 32) * buckets >> 32);
	second = (__u32)((w >> 32) * buckets >> 32);
	return (struct ntm_relay_home){
		{first, second},
		{first * NTM_RELAY_BUCKET + ((__u32)v & (NTM_RELAY_BUCKET - 1)),
		 second * NTM_RELAY_BUCKET + ((__u32)(v >> 4) & (NTM_RELAY_BUCKET - 1))},
		(__u16)((w & 0x7fff) | 1)};
}

/* ---- rs_state */

/* ntm_relay_state.flags */
#define NTM_RELAY_PASS 1 /* this path is relayed by ntm-rs alone */
#define NTM_RELAY_MOVING 2 /* there are more sources than the bound ones: see rs_moving */

/* Where frames for a leg go. Written by any CPU, `generation` last. */
struct ntm_relay_hop {
	__u8 dmac[6];
	__u8 number; /* of the way out, in rs_exits; one more, so that 0 says: none looked up yet */
	__u8 zero;
	__u16 generation; /* ntm_relay_hop_wanted() when it was looked up */
};

/* How much of what a next hop must have been looked up under has grown since nobody watches routes; turn:
 * below 2^9 */
static inline __u32 ntm_relay_hop_alone(__u32 watched_until, __u32 turn, __u32 tick)
{
	__u32 alone = tick > watched_until ? tick - watched_until : 0;

	return (alone + (turn & ((1U << NTM_RELAY_ALONE_SHIFT) - 1))) >> NTM_RELAY_ALONE_SHIFT;
}

/*
 * What a next hop towards a leg must have been looked up under to hold now. It only grows: by ntm-rs, by
 * moves, and by time, not for all paths at once: so that nothing is kept for long when there is no ntm-rs,
 * and nothing for ever. An ntm-rs that comes back adds what ntm_relay_hop_alone() says at most, before it
 * puts off watched_until.
 */
static inline __u16 ntm_relay_hop_wanted(const struct ntm_relay_config *config, __u8 moves, __u64 path_id,
					 __u32 tick)
{
	__u32 turn = (__u32)path_id & ((1U << NTM_RELAY_HOP_SHIFT) - 1);

	return (__u16)(config->generation + moves + ((tick + turn) >> NTM_RELAY_HOP_SHIFT) +
		       ntm_relay_hop_alone(config->watched_until, turn, tick));
}

/* Two lines of 64 bytes; arrays by enum ntm_side of the leg that packets came from. */
struct ntm_relay_state {
	__u64 id; /* Path ID, if it is to be found by rs_index; else 0 */
	struct ntm_relay_leg leg[2]; /* while it is: as in rs_paths */
	__u64 rate; /* UDP payload bytes a second, both directions together; 0: no limit */
	__u32 expires; /* tick from which on it is as an unknown Path ID: nobody need be there to remove it */
	__u32 drops; /* XDP's, as all that follows but flags */
	__u64 packets[2], bytes[2]; /* passed on; bytes of UDP payload, as ntm-rs counts them */
	/* Virtual time of the rate's bucket, as in rs/path.c, which takes out of it as well:
	 * CLOCK_MONOTONIC */
	__u64 rate_ns;
	struct ntm_relay_hop hop[2]; /* of what came from this side: so to the other leg */
	__u16 used; /* when the last packet was passed on: ticks, low 16 bits, never 0; 0: never */
	__u16 flags; /* ntm-rs's */
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
	 * Whether what XDP sends arrives: `requests` Tunnel Requests were passed on, and as `answers` Tunnel
	 * Responses, path control and data of side 1, which it only sends when a Request has reached it.
	 * Requests without any answers mean that frames are lost (native veth can), and ntm-rs falls back.
	 */
	__u64 requests, answers;
	__u64 jiffies, now_ns; /* the time that XDP knows */
	struct ntm_relay_limit unknown, unknown_bind, too_big, echo;
};

_Static_assert(sizeof(struct ntm_relay_leg) == 20, "no padding");
_Static_assert(sizeof(struct ntm_relay_path) == 48, "rs_paths: 48 bytes a path");
_Static_assert(sizeof(struct ntm_relay_moving) == 96, "no padding");
_Static_assert(sizeof(struct ntm_relay_local) == 24, "no padding");
_Static_assert(sizeof(struct ntm_relay_device) == 12, "no padding");
_Static_assert(sizeof(struct ntm_relay_exit) == 16, "no padding");
_Static_assert(sizeof(struct ntm_relay_bucket) == 32, "no padding");
_Static_assert(sizeof(struct ntm_relay_hop) == 10, "no padding");
_Static_assert(sizeof(struct ntm_relay_state) == 128, "rs_state: 128 bytes a path");

#endif
