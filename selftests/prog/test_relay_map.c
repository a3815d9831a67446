/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_relay_map.c - what rs/relay_map.c and rs/relay_slot.c write into the maps of the relay: read back from the kernel,
 * as bpf/xdp_relay.bpf.c would.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/xdp_relay.skel.h"
#include "endpoint.h"
#include "loop.h"
#include "rs/relay_map.h"
#include "rs/relay_slot.h"
#include "rs/rs.h"

#define PATHS 100
#define SLOTS ntm_relay_slots(PATHS)
#define ID(i) (0x1000000000000001ULL * (uint64_t)((i) + 1))

static struct xdp_relay_bpf *bpf;
static struct rs_relay_map *map;
static struct rs_paths paths;
static struct ntm_udp udp;
static struct rs_dc dc;
static int failed;

static void check(bool holds, const char *name)
{
	printf("%s - %s\n", holds ? "ok" : "not ok", name);
	failed |= !holds;
}

/* ---- as ntm-rs calls it */

static struct ntm_endpoint ours(unsigned i)
{
	char text[64];
	struct ntm_endpoint at;

	snprintf(text, sizeof(text), "192.0.2.%u:6866", i);
	if (ntm_endpoint_parse(&at, text, 0))
		abort();
	return at;
}

/* Our endpoints are from..to-1 now. */
static int locals(unsigned from, unsigned to)
{
	struct ntm_endpoint at[64];

	for (unsigned i = from; i < to; i++)
		at[i - from] = ours(i);
	return rs_relay_map_locals(map, at, to - from);
}

static struct rs_path *path_new(unsigned i)
{
	struct ntm_relay_direction direction = {.path_id = ID(i), .lifetime_s = 600};
	struct rs_path *path;

	return rs_path_direct(&paths, &direction, &dc, ntm_loop_now_ms(), &path) < 0 ? NULL : path;
}

static int leg_bind(struct rs_path *path, unsigned side, uint16_t port, unsigned local)
{
	static uint64_t counter;
	struct ntm_flow flow = {.udp = &udp, .local = ours(local).addr};

	flow.remote = ours(200 + side);
	flow.remote.port = port;
	if (rs_leg_move(&paths, path, side, &flow, ++counter, ntm_loop_now_ms()) < 0)
		return -1;
	return rs_relay_map_put(map, path, ntm_loop_now_ms());
}

/* ---- as XDP reads it */

static struct ntm_relay_path entry_of(unsigned i)
{
	struct ntm_relay_path entry = {.slot = UINT32_MAX};

	bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_paths), &(uint64_t){ID(i)}, &entry);
	return entry;
}

static struct ntm_relay_state state_of(unsigned i)
{
	struct ntm_relay_path entry = entry_of(i);
	struct ntm_relay_state state = {0};

	bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_state), &entry.slot, &state);
	return state;
}

/* Slots that the short way finds for it. */
static unsigned ways_to(unsigned i)
{
	struct ntm_relay_home home = ntm_relay_home(ID(i), ntm_relay_buckets(SLOTS));
	struct ntm_relay_bucket bucket;
	struct ntm_relay_state state;
	unsigned ways = 0;

	for (unsigned k = 0; k < 2 && !(k && home.bucket[0] == home.bucket[1]); k++) {
		bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_index), &home.bucket[k], &bucket);
		for (uint32_t at = 0; at < NTM_RELAY_BUCKET; at++) {
			uint32_t slot = home.bucket[k] * NTM_RELAY_BUCKET + at;

			if (bucket.tag[at] == home.tag &&
			    !bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_state), &slot, &state))
				ways += state.id == ID(i);
		}
	}
	return ways;
}

/* Where a local endpoint of ours is in rs_local; -1: nowhere. */
static int local_of(unsigned number)
{
	struct ntm_endpoint at = ours(number);
	struct ntm_relay_config config = {0};
	struct ntm_relay_local local;

	bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_config), &(uint32_t){0}, &config);
	for (uint32_t i = 0; i < config.locals; i++) {
		if (!bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_local), &i, &local) &&
		    ntm_endpoint_equal(&local.at, &at))
			return (int)i;
	}
	return -1;
}

/* ---- what holds */

/* Slots that were hidden or freed may be written. */
static void settle(void)
{
	nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 400000000}, NULL);
}

static void test_ways(void)
{
	struct rs_path *path = path_new(0);

	check(path && !rs_relay_map_put(map, path, ntm_loop_now_ms()) && entry_of(0).slot < SLOTS && !ways_to(0),
	      "a path that is not bound is in rs_paths alone");
	path->rate = 12345;
	check(!leg_bind(path, 0, 1000, 1) && !ways_to(0), "nor is one with one leg in rs_index");
	check(!leg_bind(path, 1, 1000, 2) && ways_to(0) == 1, "with both it is found at once");
	check(!memcmp(entry_of(0).leg, state_of(0).leg, sizeof(entry_of(0).leg)), "with the legs of rs_paths");
	check(state_of(0).rate == 12345 && state_of(0).expires, "rate and expiry are in rs_state");
	check(!leg_bind(path, 1, 1001, 2) && !ways_to(0) && entry_of(0).leg[1].remote.port == 1001,
	      "a leg moves: it is not found, and rs_paths has the new one");
	check(state_of(0).flags == NTM_RELAY_MOVING, "and that there are old sources");
	check(!leg_bind(path, 1, 1001, 2) && !ways_to(0), "for a while it is not found: somebody may still read the old legs");
	settle();
	rs_relay_map_settle(map, &paths, ntm_loop_now_ms());
	check(ways_to(0) == 1 && state_of(0).leg[1].remote.port == 1001, "then it is found again, with the new leg");
	check(!state_of(0).flags, "and old sources count no more");
	rs_relay_map_remove(map, ID(0));
	rs_path_remove(&paths, path);
	check(!ways_to(0) && entry_of(0).slot == UINT32_MAX, "when it is removed it is nowhere");
}

static void test_full(void)
{
	struct rs_path *path[PATHS];
	unsigned found = 0, right = 0;
	bool used[2 * PATHS] = {false}, alone = true;

	for (unsigned i = 0; i < PATHS; i++) {
		path[i] = path_new(i);
		if (!path[i] || leg_bind(path[i], 0, 2000, 1) || leg_bind(path[i], 1, 2000, 2))
			break;
		right++;
	}
	check(right == PATHS, "there is room for as many paths as there should be");
	for (unsigned i = 0; i < right; i++) {
		uint32_t slot = entry_of(i).slot;

		alone &= slot < SLOTS && !used[slot];
		used[slot % SLOTS] = true;
		found += ways_to(i) == 1;
		alone &= ways_to(i) <= 1;
	}
	check(alone, "each with a slot of its own");
	printf("# %u of %u are found by rs_index\n", found, PATHS);
	check(found >= PATHS * 8 / 10, "most of them by rs_index");
	paths.max++;
	path[0] = path_new(PATHS);
	check(path[0] && rs_relay_map_put(map, path[0], ntm_loop_now_ms()) == -E2BIG, "and for no more");
	rs_path_remove(&paths, path[0]);
}

/* Another ntm-rs comes, after one that ended in the middle of something. */
static void test_inherited(const struct rs_relay_map_fds *fds)
{
	struct ntm_relay_path entry;
	unsigned shown = 0, wrong[2] = {PATHS, PATHS};

	for (unsigned i = 0; i < PATHS && wrong[1] == PATHS; i++) {
		if (ways_to(i) == 1)
			wrong[shown++] = i;
	}
	/* One was removed from rs_paths only, the other moved there only. */
	bpf_map_delete_elem(fds->paths, &(uint64_t){ID(wrong[0])});
	entry = entry_of(wrong[1]);
	entry.leg[0].remote.port = 9;
	bpf_map_update_elem(fds->paths, &(uint64_t){ID(wrong[1])}, &entry, BPF_ANY);
	rs_relay_map_close(map);
	if (rs_relay_map_open(&map, fds))
		abort();
	for (unsigned i = 0; i < PATHS; i++) {
		entry = entry_of(i);
		if (i != wrong[0] && rs_relay_map_keep(map, ID(i), &entry))
			check(false, "a slot can be kept");
	}
	check(ways_to(wrong[0]) == 1, "(until then it is found)");
	rs_relay_map_kept(map);
	check(!ways_to(wrong[0]), "a path that is not in rs_paths is found no more");
	check(!ways_to(wrong[1]), "nor one whose legs are others there");
	entry = entry_of(wrong[1]);
	check(rs_relay_map_keep(map, ID(wrong[0]), &entry) == -EEXIST, "a slot is not given twice");
	for (unsigned i = 0; i < PATHS; i++)
		rs_relay_map_remove(map, ID(i));
}

static void test_locals(void)
{
	struct rs_path *path = path_new(0);
	int bound;

	check(!locals(1, 31), "thirty endpoints of ours");
	bound = local_of(5);
	check(bound >= 0 && !leg_bind(path, 0, 3000, 5) && !leg_bind(path, 1, 3000, 6) && entry_of(0).leg[0].local == bound &&
		      !state_of(0).flags,
	      "a path is bound at two of them");
	check(!locals(31, 61), "other thirty, as the first are gone");
	check(local_of(5) == bound && local_of(6) >= 0, "where a leg is bound keeps its place");
	check(local_of(7) < 0 && local_of(31) >= 0 && local_of(60) >= 0, "the places of the others are used again");
	check(locals(61, 92) == -ENOSPC && local_of(5) == bound, "more than there is room for");
	rs_relay_map_remove(map, path->id);
	check(!locals(61, 92) && local_of(5) < 0 && local_of(91) >= 0, "when the path is gone its places are free");
	check(!locals(61, 92) && local_of(61) >= 0, "the same again changes nothing");
	rs_path_remove(&paths, path);
}

static struct ntm_relay_config config_get(void)
{
	struct ntm_relay_config config = {0};

	bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_config), &(uint32_t){0}, &config);
	return config;
}

/* What next hops must have been looked up under never falls back. */
static void test_watched(const struct rs_relay_map_fds *fds)
{
	struct ntm_relay_config config;
	uint32_t generation, tick;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	tick = (uint32_t)(((uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec) >> NTM_RELAY_TICK_SHIFT);
	rs_relay_map_watched(map);
	config = config_get();
	check(config.watched_until > tick && config.watched_until <= tick + NTM_RELAY_WATCH_TICKS + 1,
	      "routes are watched, for a while");
	generation = config.generation;
	rs_relay_map_watched(map);
	check(config_get().generation == generation, "next hops stay as they are");
	config.watched_until = tick > 1000 ? tick - 1000 : 0; /* it is dead for so long */
	bpf_map_update_elem(fds->config, &(uint32_t){0}, &config, BPF_ANY);
	rs_relay_map_close(map);
	if (rs_relay_map_open(&map, fds))
		abort();
	check(config_get().watched_until == config.watched_until, "another one does not watch yet");
	rs_relay_map_watched(map);
	for (uint64_t id = 0; id < 1 << NTM_RELAY_HOP_SHIFT; id++) {
		struct ntm_relay_config after = config_get();
		uint16_t was = ntm_relay_hop_wanted(&config, 0, id, tick), is = ntm_relay_hop_wanted(&after, 0, id, tick);

		if ((int16_t)(is - was) <= 0) {
			check(false, "what was kept meanwhile is looked up again");
			return;
		}
	}
	check(config_get().watched_until > tick, "and when it does, what was kept meanwhile is looked up again");
}

static int device_number(uint32_t route)
{
	struct ntm_relay_device device;

	return bpf_map_lookup_elem(bpf_map__fd(bpf->maps.rs_devices), &route, &device) ? -1 : (int)device.number;
}

static void test_devices(void)
{
	struct rs_relay_device device[] = {{5, {.ifindex = 5}}, {6, {.ifindex = 6}}, {7, {.ifindex = 5, .vlan = 9}}};
	int six;

	check(!rs_relay_map_devices(map, device, 3) && device_number(5) >= 0 && device_number(6) >= 0 &&
		      device_number(7) >= 0 && device_number(5) != device_number(6) &&
		      device_number(6) != device_number(7) && device_number(5) != device_number(7),
	      "each way out has a number of its own");
	six = device_number(6);
	device[0].route = 8;
	check(!rs_relay_map_devices(map, device, 2) && device_number(6) == six && device_number(8) >= 0 &&
		      device_number(8) != six && device_number(5) < 0 && device_number(7) < 0,
	      "one that stays keeps its number, and nobody else gets it");
}

int main(void)
{
	struct rs_relay_map_fds fds;

	bpf = xdp_relay_bpf__open();
	if (bpf) {
		bpf_map__set_max_entries(bpf->maps.rs_paths, PATHS);
		bpf_map__set_max_entries(bpf->maps.rs_state, SLOTS);
		bpf_map__set_max_entries(bpf->maps.rs_index, ntm_relay_buckets(SLOTS));
	}
	if (!bpf || xdp_relay_bpf__load(bpf) || rs_paths_init(&paths, PATHS)) {
		check(false, "the maps are made");
		return 1;
	}
	fds = (struct rs_relay_map_fds){.paths = bpf_map__fd(bpf->maps.rs_paths),
					.index = bpf_map__fd(bpf->maps.rs_index),
					.moving = bpf_map__fd(bpf->maps.rs_moving),
					.local = bpf_map__fd(bpf->maps.rs_local),
					.devices = bpf_map__fd(bpf->maps.rs_devices),
					.config = bpf_map__fd(bpf->maps.rs_config),
					.state = bpf_map__fd(bpf->maps.rs_state),
					.stats = bpf_map__fd(bpf->maps.rs_stats),
					.load = bpf_map__fd(bpf->maps.rs_load)};
	udp.bound = ours(0);
	dc.max_paths = 2 * PATHS;
	check(!rs_relay_map_open(&map, &fds) && !locals(1, 3), "the maps are taken");
	test_ways();
	settle();
	test_full();
	test_inherited(&fds);
	settle();
	rs_paths_clear(&paths);
	rs_paths_init(&paths, PATHS);
	test_locals();
	test_devices();
	test_watched(&fds);
	rs_relay_map_close(map);
	rs_paths_clear(&paths);
	xdp_relay_bpf__destroy(bpf);
	return failed;
}
