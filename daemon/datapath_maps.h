/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * datapath_maps.h - the maps of the BPF programs as ntmd sees them: slots for paths, keys, endpoints.
 * include/ntm/maps.h says what is in them and in which order it changes; datapath_maps.c is the one file that
 * writes them. Before it: bpf_engine.c, which knows what paths want; beside it: bpf_attach.c, which makes the
 * maps.
 */
#ifndef NTMD_DATAPATH_MAPS_H
#define NTMD_DATAPATH_MAPS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/drop.h>
#include <ntm/types.h>

/* The maps by number, as in ntmd_map_names. */
enum ntmd_map {
	NTMD_MAP_VIPS,
	NTMD_MAP_PATHS,
	NTMD_MAP_ENDS,
	NTMD_MAP_SOURCES,
	NTMD_MAP_KEYS,
	NTMD_MAP_WINDOWS,
	NTMD_MAP_STATE,
	NTMD_MAP_LOCAL,
	NTMD_MAP_CONFIG,
	NTMD_MAP_STATS,
	NTMD_MAP_EVENTS,
	NTMD_MAP_FLOWS,
	NTMD_MAP_SEGMENTS,
	NTMD_MAPS
};
extern const char *const ntmd_map_names[NTMD_MAPS];

struct ntmd_maps;

/* The descriptors are borrowed, and good until _close. commit: the program inline_commit. 0 or -errno. */
int ntmd_maps_open(struct ntmd_maps **ret_maps, struct event_base *base, const int map_fd[NTMD_MAPS],
		   int commit_fd);
void ntmd_maps_close(struct ntmd_maps *maps); /* the maps stay as they are; dropped keys are wiped */
unsigned ntmd_maps_slots(const struct ntmd_maps *maps);

/* ---- what holds for all paths */

enum ntmd_maps_lane { NTMD_MAPS_LANE_AUTO, NTMD_MAPS_LANE_INLINE, NTMD_MAPS_LANE_BULK };

/* Some milliseconds: 0 when every program that ran at the call has ended, or -errno: the kernel cannot
 * tell. */
int ntmd_maps_programs_wait(void);

struct ntmd_maps_config {
	unsigned device, seal_in, seal_out; /* indexes: ntm0, ntm0s, ntm0p */
	enum ntmd_maps_lane lane; /* of what could go by either: automatic, or always that one */
	bool generic; /* some interface has XDP in generic mode, or is about to */
};
void ntmd_maps_config_set(struct ntmd_maps *maps, const struct ntmd_maps_config *config);
void ntmd_maps_own_set(struct ntmd_maps *maps, const struct ntm_addr *vip4, const struct ntm_addr *vip6);
void ntmd_maps_heartbeat(struct ntmd_maps *maps, int64_t now_us); /* boot-time clock */
/* The network is not as it was: next hops are looked up again. */
void ntmd_maps_routes_changed(struct ntmd_maps *maps);
/* Packets to these endpoints are ours; replaces what was there. 0, or -ENOSPC: so many do not fit. */
int ntmd_maps_local_set(struct ntmd_maps *maps, const struct ntm_endpoint *local, unsigned count);
void ntmd_maps_drops_add(const struct ntmd_maps *maps, uint64_t drops[NTM_DROP_MAX]); /* adds the programs' */

/* ---- slots */

struct ntmd_maps_who {
	uint64_t path_id;
	enum ntm_side side; /* ours */
	struct ntm_addr vip[2]; /* the peer's, [0]: IPv4; either may be none */
};

struct ntmd_maps_way {
	struct ntm_endpoint remote, local; /* none: no such way */
	unsigned ifindex; /* interface it leaves by; 0: as the routing table says */
};

struct ntmd_maps_ends {
	struct ntmd_maps_way route, second;
	uint64_t unproven_bytes; /* 0: no bound */
	unsigned serial; /* another one: the count of them starts again */
	unsigned mtu; /* inner, bytes */
	bool bulk_dead; /* all goes inline */
	bool away; /* nothing goes inline */
	bool expected; /* the next packet that comes is to be told */
	int phase; /* that seals; -1: none */
};

/* A slot that nobody uses, for this path. Nothing is sent or received by it yet. Its number, or -ENOSPC. */
int ntmd_maps_slot_take(struct ntmd_maps *maps, const struct ntmd_maps_who *who);
/* 0, or -errno if the local ends are too many: then nothing goes inline. */
int ntmd_maps_slot_set(struct ntmd_maps *maps, unsigned slot, const struct ntmd_maps_ends *ends);
/* Packets under its Path ID are taken from now on */
int ntmd_maps_slot_receive(struct ntmd_maps *maps, unsigned slot);
/* Packets to this peer's address go by this slot from now on. 0 or -errno. */
int ntmd_maps_slot_reach(struct ntmd_maps *maps, unsigned slot, const struct ntm_addr *vip);
/* If they still do */
void ntmd_maps_slot_unreach(struct ntmd_maps *maps, unsigned slot, const struct ntm_addr *vip);
bool ntmd_maps_slot_is_reached(const struct ntmd_maps *maps, unsigned slot, const struct ntm_addr *vip);
bool ntmd_maps_is_reached(const struct ntmd_maps *maps, const struct ntm_addr *vip); /* by some slot */
void ntmd_maps_slot_give(struct ntmd_maps *maps, unsigned slot); /* its keys and their windows are dropped */

struct ntmd_maps_traffic {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, drops; /* since the slot was taken */
	int64_t last_rx_ms, last_tx_ms; /* boot-time clock; 0: never */
};
void ntmd_maps_slot_traffic(const struct ntmd_maps *maps, unsigned slot,
			    struct ntmd_maps_traffic *ret_traffic);

/*
 * The last segment of each TCP connection that went inline: whole packets; sent_ms: boot-time clock. Programs
 * may be writing there: who takes one verifies its checksum.
 */
void ntmd_maps_segments_each(const struct ntmd_maps *maps,
			     void (*take)(void *ctx, const uint8_t *packet, size_t len, int64_t sent_ms),
			     void *ctx);

/* ---- keys */

/*
 * The inline lane of this phase is BPF's from now on. 0 and the key's tag; or -errno, and it is not: -EBUSY
 * if the place is that of the phase which seals now, -E2BIG if the windows are full.
 */
int ntmd_maps_key_set(struct ntmd_maps *maps, unsigned slot, unsigned phase, const uint8_t send[NTM_KEY_LEN],
		      const uint8_t receive[NTM_KEY_LEN], int64_t expires_ms, uint32_t *ret_tag);
/* Neither seals nor opens any more. The window stays for packets that ntmd opens, until _window_drop. */
void ntmd_maps_key_drop(struct ntmd_maps *maps, unsigned slot, unsigned phase, uint32_t tag);
/* It is in its place */
bool ntmd_maps_key_is(const struct ntmd_maps *maps, unsigned slot, unsigned phase, uint32_t tag);
void ntmd_maps_window_drop(struct ntmd_maps *maps, uint32_t tag);
void ntmd_maps_keys_end(struct ntmd_maps *maps); /* drops all: the programs go. The windows stay. */
/* A packet that ntmd opened under this key: whether its counter is new. */
bool ntmd_maps_commit(const struct ntmd_maps *maps, unsigned slot, uint32_t tag, uint64_t counter);

/* ---- what an earlier ntmd left */

struct ntmd_maps_left {
	unsigned slot;
	struct ntmd_maps_who who;
	int phase; /* that seals; -1: none */
	bool reached[2]; /* packets to the peer's addresses go by it */
	struct {
		uint32_t tag; /* 0: no key */
		unsigned phase;
		int64_t expires_ms;
		uint8_t send[NTM_KEY_LEN], receive[NTM_KEY_LEN];
	} key[2];
};

/*
 * Call before anything is taken. Calls each() for every path that the programs still serve, after having told
 * them to use the inline lane only; what is half made or half removed is removed. Keys are wiped after the
 * call. 0 or -errno.
 */
int ntmd_maps_left_each(struct ntmd_maps *maps, void (*each)(void *ctx, const struct ntmd_maps_left *left),
			void *ctx);

#endif
