/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_map.h - the maps of the XDP relay as ntm-rs sees them: relay_map.c alone writes them and reads the
 * counters back. What they hold, and who may write it, is in include/ntm/relay_map.h.
 *
 *	path.c's table, changed by relay.c -> rs_relay_map_put() -> rs_paths, rs_moving -> bpf/xdp_relay.bpf.c
 *
 * Without XDP there is none: then every struct rs_relay_map * is NULL, which all functions here take.
 */
#ifndef NTM_RS_RELAY_MAP_H
#define NTM_RS_RELAY_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include <ntm/relay_map.h>

#include "path.h"

struct rs_relay_map;

/* File descriptors; borrowed. */
struct rs_relay_map_fds {
	int paths, index, moving, local, devices, config, state, stats, load;
};

/* Also of maps that an earlier ntm-rs has filled. 0 or -errno. */
int rs_relay_map_open(struct rs_relay_map **ret_map, const struct rs_relay_map_fds *fds);
/* The maps stay as they are. No thread relays any more. */
void rs_relay_map_close(struct rs_relay_map *map);
uint32_t rs_relay_map_max(const struct rs_relay_map *map); /* paths that there is room for */

/* ---- paths */

/*
 * The entry becomes what the path is now; call it after every change of a path. 0, or -errno: then XDP does
 * not know the path, and drops what comes for it.
 */
int rs_relay_map_put(struct rs_relay_map *map, struct rs_path *path, int64_t now_ms);
void rs_relay_map_remove(struct rs_relay_map *map, uint64_t id);
/* Sources that counted for a while after a move do not any more; every second. paths: where they are looked
 * up. */
void rs_relay_map_settle(struct rs_relay_map *map, const struct rs_paths *paths, int64_t now_ms);

/* Packets that XDP passed on, by the leg they came from; zero if it knows no such path. */
struct rs_relay_counts {
	uint64_t packets[2], bytes[2], drops;
	int64_t used_ms; /* boot-time clock, to about a second; 0: never */
};
void rs_relay_map_read(const struct rs_relay_map *map, uint64_t id, struct rs_relay_counts *ret_counts);

/* ---- what concerns all of them */

/* Cached next hops are looked up again. */
void rs_relay_map_routes_changed(struct rs_relay_map *map);
/* Whenever they do, it is told: every second. Without, XDP looks them up again by time. */
void rs_relay_map_watched(struct rs_relay_map *map);
/*
 * All our endpoints, no wildcard among them. Those that were there and are not given now keep their place
 * while a leg is bound there. 0, or -errno: -ENOSPC says that there is no place for the last ones.
 */
int rs_relay_map_locals(struct rs_relay_map *map, const struct ntm_endpoint *at, unsigned count);
/* All devices that frames may be sent out of: those that were there and are not given now are forgotten. */
struct rs_relay_device {
	uint32_t route; /* the interface index that a route names */
	struct ntm_relay_device device; /* its number is chosen here */
};
int rs_relay_map_devices(struct rs_relay_map *map, const struct rs_relay_device *device, unsigned count);

void rs_relay_map_load(const struct rs_relay_map *map, struct ntm_relay_load *ret_sum); /* of all CPUs */
uint64_t rs_relay_map_drops(const struct rs_relay_map *map, unsigned reason);

/* ---- inherit.c: taking over what an earlier ntm-rs left */

struct rs;
struct rs_inherit_fds {
	int paths, local, state; /* borrowed */
};
/* Paths of our own maps go into the table; what nobody may use any more goes. Returns how many came, or
 * -errno. */
int rs_inherit_own(struct rs *rs, struct rs_relay_map *map, const struct rs_inherit_fds *fds);
/* Paths of the maps of another layout, by the names of their fields: they come into the table and our
 * maps. */
int rs_inherit_other(struct rs *rs, struct rs_relay_map *map, const struct rs_inherit_fds *fds);
/* For inherit.c: the slot of an entry that is taken over. 0 or -EEXIST. */
int rs_relay_map_keep(struct rs_relay_map *map, uint64_t id, const struct ntm_relay_path *entry);
/* When all of them are: in other slots nothing is found any more. */
void rs_relay_map_kept(struct rs_relay_map *map);
int64_t rs_relay_map_tick_ms(uint32_t tick); /* of the boot-time clock */

#endif
