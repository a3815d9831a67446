/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * maps.h - what the node's BPF programs (bpf/) and ntmd (daemon/datapath_maps.c, datapath_keys.c) share: keys
 * and values of the maps, defined for BPF in bpf/maps.h. Addresses, ports and IDs are as in types.h: host
 * byte order, IPv4 as ::ffff:a.b.c.d.
 *
 *	map		key -> value				writer
 *	ntm_vips	struct ntm_addr -> slot			ntmd	peers' virtual addresses
 *	ntm_paths	Path ID, __u64 -> slot			ntmd
 *	ntm_ends	slot -> struct ntm_ends			ntmd	endpoints, MTU, flags; mmapable
 *	ntm_sources	index -> struct ntm_source		ntmd	local ends; mmapable
 *	ntm_keys	slot * 2 + (phase & 1) -> struct ntm_map_key	ntmd	the only map with secrets
 *	ntm_windows	tag -> struct ntm_window		BPF, after ntmd made it (zeroed)
 *	ntm_state	slot -> struct ntm_state		BPF	TX counter, traffic
 *	ntm_local	struct ntm_local -> __u32 (not used)	ntmd	where our sockets are bound
 *	ntm_config	0 -> struct ntm_config			ntmd	mmapable
 *	ntm_stats	enum ntm_drop -> __u64, per CPU		BPF
 *	ntm_events	ring buffer of struct ntm_event		BPF
 *	ntm_flows	hash of a flow -> struct ntm_map_flow	BPF	for the choice of the lane
 *	ntm_segments	hash -> struct ntm_map_segment		BPF	what is sent again; mmapable
 *
 * A slot is a number below max_entries of ntm_state; ntm_ends has as many, ntm_keys, ntm_vips and ntm_windows
 * twice as many. ntmd sets these sizes before loading and chooses the slots. Programs run for microseconds,
 * but nothing tells when the last one that knows a slot, a source or a key has ended. So what was taken away
 * is used for something else only after NTM_MAPS_GRACE_MS.
 *
 * Who owns an inline lane: the phase whose key is in ntm_keys is BPF's, in both directions; any other is
 * ntmd's.
 *
 * New path, in this order: ntm_ends[slot], key (below), then ntm_paths and ntm_vips. Removed in the opposite
 * one.
 *
 * New key: 1. ntm_windows[tag] = zeroes; 2. ntm_keys[index] with tag 0; 3. the same with the tag. Old key: 1.
 * tag = 0;
 * 2. after NTM_MAPS_GRACE_MS the rest is wiped and ntm_windows[tag] deleted. A tag is never used for a second
 *    key, so a window belongs to one key for ever, and no program ever resets one.
 */
#ifndef NTM_MAPS_H
#define NTM_MAPS_H

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#endif

#include "limits.h"
#include "types.h"

#define NTM_MAPS_LAYOUT 2 /* counted up when anything here changes: part of the pin path */
#define NTM_MAPS_GRACE_MS 2000

#define NTM_SOURCES_SLOTS 256 /* max_entries of ntm_sources */
#define NTM_LOCAL_SLOTS 256 /* of ntm_local */
#define NTM_STATS_SLOTS 128 /* of ntm_stats: room for more drop reasons within one layout */
#define NTM_FLOWS_SLOTS 8192 /* of ntm_flows; a power of two. 128 KiB: collisions are rare and harmless */
#define NTM_SEGMENTS_SLOTS 256 /* of ntm_segments; a power of two. 380 KiB, for all paths together */
#define NTM_EVENTS_BYTES 65536 /* ring buffer: 1365 events */

/* ---- ntm_sources: a local end that paths send from. Many paths share one, so that a path stays small. */
struct ntm_source {
	struct ntm_addr addr; /* never none */
	__u32 ifindex; /* packets go out there, by that interface's routes; 0: as the routing table says */
	__u16 port; /* the socket's */
	__u16 zero;
};
_Static_assert(sizeof(struct ntm_source) == 24, "layout");

/* ---- ntm_ends */
struct ntm_way {
	struct ntm_addr addr; /* the far end: the peer or a relay */
	__u16 port;
	__u16 source; /* index in ntm_sources; its family is that of addr */
};

enum ntm_ends_flag {
	NTM_ENDS_ROUTE = 1, /* `route` holds one; else packets go to ntmd, which holds them */
	NTM_ENDS_SECOND = 2, /* and `second`: every packet goes there as well */
	NTM_ENDS_BULK_DEAD = 4, /* the peer's daemon is gone: everything goes inline */
	/* Nothing new goes inline: all to ntmd (detach, packets held there). Receiving goes on, and what is
	 * on its way to tc_seal is still sent. */
	NTM_ENDS_AWAY = 8,
	NTM_ENDS_EXPECTED = 16, /* the next packet that is delivered is to be told: NTM_EVENT_ARRIVED */
};

#define NTM_ENDS_NO_PHASE 0xff

struct ntm_ends_copy {
	struct ntm_way route, second; /* XDP takes packets from these two, and no others */
	/* At most so many go to `route` under this serial (outer UDP payload); 0: no bound */
	__u32 unproven_bytes;
	__u16 serial; /* another one with every route_set: the count of unproven bytes starts again */
	__u16 mtu; /* largest inner packet, bytes; never 0 */
	__u8 flags; /* enum ntm_ends_flag */
	__u8 phase; /* that seals, 0..3, or NTM_ENDS_NO_PHASE: packets go to ntmd */
	__u8 zero[2];
};

/*
 * The first part is set before the slot is in ntm_paths or ntm_vips, and stays. The rest changes thus: fill
 * copy[(version + 1) & 1] wholly, then (store-release) version = version + 1. Readers take copy[version & 1]
 * and look whether version is still the same when they have it.
 */
struct ntm_ends {
	__u64 path_id;
	/* The peer's virtual addresses: inner packets from it have one as source; zero: none */
	__u8 vip6[16];
	__u8 vip4[4];
	__u32 flow_label; /* of outer IPv6 packets: low 20 bits of a keyed hash of the Path ID */
	__u8 side; /* ours: enum ntm_side */
	__u8 zero[3];
	__u32 version;
	struct ntm_ends_copy copy[2];
};
_Static_assert(sizeof(struct ntm_way) == 20, "layout");
_Static_assert(sizeof(struct ntm_ends_copy) == 52, "layout");
_Static_assert(sizeof(struct ntm_ends) == 144, "layout");

/* ---- ntm_keys; all-zero: none */
struct ntm_map_key {
	__u8 send[NTM_KEY_LEN], receive[NTM_KEY_LEN];
	__u64 expires_ns; /* boot-time clock: neither seals nor opens from then on */
	__u32 tag; /* 0: no key; else its window in ntm_windows */
	__u8 phase; /* 0..3: the index has only its lowest bit */
	__u8 zero[3];
};
_Static_assert(sizeof(struct ntm_map_key) == 80, "layout");

/* ---- ntm_windows: as struct ntm_replay of lib/replay.h */
struct ntm_window {
	struct bpf_spin_lock lock;
	__u32 zero;
	__u64 next; /* highest counter seen + 1; 0: no packet has opened under this key yet */
	__u64 bits[NTM_REPLAY_WINDOW / 64 + 1];
};
_Static_assert(sizeof(struct ntm_window) == 16 + NTM_REPLAY_WINDOW / 8 + 8, "layout");

/*
 * ntm_state: zeroed when the map is made and never written by ntmd, also when a slot gets another path (what
 * a path has done is the difference to what it found). So a slot's TX counter never starts again, and is new
 * under every key.
 */
struct ntm_state {
	__u64 tx_next; /* counter of the next packet sealed, whatever its phase */
	__u64 tx_packets, tx_bytes; /* inner ones sent */
	__u64 rx_packets, rx_bytes; /* inner ones delivered */
	__u64 tx_ns, rx_ns; /* last sent, last authentic one received: boot-time clock; 0: never */
	__u64 unproven; /* serial << 32 | bytes sent to an unproven route */
	__u64 drops;
};
_Static_assert(sizeof(struct ntm_state) == 72, "layout");

/* ---- ntm_local: a key there: packets to this address and port are ours */
struct ntm_local {
	struct ntm_addr addr;
	__u16 port;
	__u16 zero;
};
_Static_assert(sizeof(struct ntm_local) == 20, "layout");

/* ---- ntm_config */
enum ntm_config_flag {
	/* Some interface has the program in generic mode: several datagrams may come as one. Then what does
	 * not open or was seen before goes up to ntmd, which gets them one by one; without it is dropped and
	 * counted. Also the end of packets is cut off elsewhere then (bpf/decap.h). Must be set before a
	 * program is attached in that mode. */
	NTM_CONFIG_GENERIC = 1,
	/* One lane for everything that has a path: measurements and tests. */
	NTM_CONFIG_ALL_INLINE = 2,
	NTM_CONFIG_ALL_BULK = 4,
};

/*
 * The choice of the lane, where ntmd lives: bulk if the packet is a super-packet (gso), or of a flow that had
 * more than lane_packets in lane_ns (those larger than lane_size count twice), or has been bulk less than
 * lane_hold_ns ago. The defaults come from measurement (doc/DATAPATH.md has the table; the rows lane_* of
 * `make bench` measure again):
 *
 * lane_packets, lane_ns: inline costs the same for every packet, and one CPU is full at 75,000 to 85,000 a
 * second where this was measured (plain routing: 130,000). ntmd costs a wake-up at both ends, shared by what
 * has come meanwhile: 24 us a packet at 20,000 a second, 11 at 40,000, 6 at 60,000. So both cost the same CPU
 * time at some 48 a millisecond; inline is faster on the way (44 us against 113 at 40,000) up to there and a
 * little beyond (51 against 127 at 60,000), and falls behind at 80,000. Counted over 2 ms, so that one
 * sendmmsg of 64, or a sender that slept too long, makes no slow flow bulk. lane_size: full-sized packets are
 * faster inline as well (30 us against 55, up to 20,000 a second), but cost 7 us more to seal and open, so
 * both lanes cost the same at about half the rate.
 * lane_hold_ns: the packets of one flow must not overtake each other, so what ntmd has got has to be on its
 * way before the flow goes inline again. On a busy machine it may not run for tens of milliseconds, but if it
 * does not for NTM_HEARTBEAT_NS it counts as dead. With 5 ms 5 of 8 transfers by TCP sent hundreds of
 * segments again, with 100 none of 16.
 */
#define NTM_LANE_SIZE 512 /* inner packet, bytes */
#define NTM_LANE_PACKETS 96
#define NTM_LANE_NS 2000000
#define NTM_LANE_HOLD_NS 100000000
#define NTM_HEARTBEAT_NS 100000000 /* ntmd is taken for dead after that */

struct ntm_config {
	struct ntm_addr vip4, vip6; /* own virtual addresses, all-zero: none */
	__u64 heartbeat_ns; /* boot-time clock: ntmd's loop lives; written at least every 25 ms */
	__u64 magic; /* random, not 0, drawn at attach: marks in metadata what XDP has decapsulated */
	__u32 device; /* ifindex of ntm0 */
	__u32 seal_in, seal_out; /* ifindexes of ntm0s (tc_egress redirects there) and of ntm0p (tc_seal) */
	__u32 mark; /* the sockets' SO_MARK, for the lookup of routes */
	__u32 flags; /* enum ntm_config_flag */
	__u32 lane_size, lane_packets;
	__u32 lane_ns, lane_hold_ns;
	/* Counts the changes of links, addresses and routes: what programs know of them is asked anew */
	__u32 routes;
};
_Static_assert(sizeof(struct ntm_config) == 88, "layout");

/* ---- ntm_flows */
struct ntm_map_flow {
	__u32 hash; /* whose this is */
	__u16 packets; /* since `since` */
	/* Of its path, once it has been bulk; only to find out fast whether the peer's daemon is gone */
	__u16 slot;
	__u32 since; /* boot-time clock in units of 1024 ns, low bits */
	__u32 bulk; /* last time it was bulk, the same; 0: never */
	__u32 ack; /* TCP: acknowledged last */
};
_Static_assert(sizeof(struct ntm_map_flow) == 20, "layout");

/*
 * ntm_segments: the last segment with data of a TCP connection that went inline, or found no way. ntmd sends
 * it again when a path that was interrupted works again (daemon/user_resume.c says what for). Two connections
 * with one place: the newer segment has it. Programs on two CPUs may write one at the same time: its checksum
 * tells.
 */
#define NTM_SEGMENT_MAX 1500 /* longest inner packet: bytes */
struct ntm_map_segment {
	__u64 sent_ns; /* boot-time clock; 0: none, or it is being written */
	__u32 len;
	__u8 packet[NTM_SEGMENT_MAX];
};
_Static_assert(sizeof(struct ntm_map_segment) == 1512, "layout");

/* ---- ntm_events: hints, which may be lost when the ring is full. What matters can be read from the maps as
 * well. */
enum ntm_event_kind {
	NTM_EVENT_PHASE_OPENED = 1, /* first packet under a key (its window's next was 0); value: tag */
	/* The slot's TX counter reached NTM_REKEY_AFTER_CHACHA: give the path another slot */
	NTM_EVENT_COUNTER_WORN = 2,
	NTM_EVENT_REPLAY = 3, /* seen before or too old; value: counter. At most once in NTM_EVENT_NS a CPU */
	/* tc_seal found none, the packet is lost; value: result of bpf_fib_lookup. As above */
	NTM_EVENT_NO_ROUTE = 4,
	/* The route's MTU is less than the path's; value: largest inner packet. As above */
	NTM_EVENT_TOO_BIG = 5,
	NTM_EVENT_ARRIVED = 6, /* NTM_ENDS_EXPECTED; value: 0. As above */
};
#define NTM_EVENT_NS 100000000

struct ntm_event {
	__u32 kind; /* enum ntm_event_kind */
	__u32 slot;
	__u64 path_id;
	__u64 value;
	__u64 time_ns; /* boot-time clock */
	__u32 phase;
	__u32 zero;
};
_Static_assert(sizeof(struct ntm_event) == 40, "layout");

/*
 * The program inline_commit asks a window for a packet that ntmd has opened itself. It is a tc program that
 * nothing is attached to, run by BPF_PROG_TEST_RUN on this frame (system call programs may not take a lock on
 * 6.1). Returns enum ntm_commit_result.
 */
struct ntm_commit {
	__u8 ethernet[14]; /* zero; the kernel wants one */
	__u8 zero[2];
	__u32 slot;
	__u32 tag; /* of the key that opened it */
	__u64 counter;
	__u8 room[32]; /* zero: kernels refuse short frames */
};
_Static_assert(sizeof(struct ntm_commit) == 64, "layout");

enum ntm_commit_result {
	NTM_COMMIT_NEW = 1, /* deliver it; the slot's rx_ns is set, traffic is ntmd's to count */
	NTM_COMMIT_REPLAY = 2,
	NTM_COMMIT_UNKNOWN = 3, /* no such window: the key is gone */
};

#endif
