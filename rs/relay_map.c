/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_map.c - the one file that writes the maps rs_*, and reads what XDP counts in them (relay_map.h). What
 * changes: relay.c and server.c tell of paths, next_hop.c of routes, devices and addresses. The other side:
 * bpf/xdp_relay.bpf.c.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto.h"
#include "endpoint.h"
#include "loop.h"
#include "relay_map.h"
#include "relay_slot.h"
#include "rs.h"

#define UNKNOWN_LIMIT NTM_UNAUTH_REPLIES_PER_S /* no more are answered, so no more need come up */
#define TOO_BIG_LIMIT NTM_UNAUTH_REPLIES_PER_S
/* A DC may direct 20,000 paths a second; a flood so large is some percent of a CPU's work */
#define CONTROL_LIMIT 32768
#define ECHO_LIMIT (10 * NTM_UNAUTH_REPLIES_PER_S) /* of which it is chosen who is answered */
/* Old sources do not count any more, and nothing reads what was in a slot before. */
#define SETTLE_MS (((RS_SLOT_TICKS * 1000LL) << NTM_RELAY_TICK_SHIFT) / 1000000000 + 100)
_Static_assert(SETTLE_MS > RS_OLD_SOURCE_MS, "old sources are settled as well");

/* A path whose leg has moved, in the order of its moves. */
struct settling {
	struct settling *next;
	uint64_t id;
	int64_t at_ms;
};

struct rs_relay_map {
	struct rs_relay_map_fds fd;
	struct rs_relay_slots slots;
	struct settling *settling, **settling_end;
	struct ntm_relay_config config;
	struct ntm_relay_local local[NTM_RELAY_LOCALS];
	uint32_t legs[NTM_RELAY_LOCALS]; /* bound at each of them */
	uint32_t max; /* entries of rs_paths */
	int cpus;
};

/* ---- time */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static uint32_t now_tick(void)
{
	return (uint32_t)(now_ns() >> NTM_RELAY_TICK_SHIFT);
}

/* A time of the boot-time clock in that of the maps. */
static uint64_t mono_ns(int64_t boot_ms)
{
	int64_t ns = (int64_t)now_ns() + (boot_ms * 1000 - ntm_loop_now_us()) * 1000;

	return ns > 0 ? (uint64_t)ns : 0;
}

int64_t rs_relay_map_tick_ms(uint32_t tick)
{
	int64_t ms = ntm_loop_now_ms() +
		     ((int64_t)((uint64_t)tick << NTM_RELAY_TICK_SHIFT) - (int64_t)now_ns()) / 1000000;

	return ms > 0 ? ms : 0;
}

/* ---- opening */

static int config_write(struct rs_relay_map *map)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(map->fd.config, &zero, &map->config, BPF_ANY);
}

static int config_read(struct rs_relay_map *map)
{
	uint32_t zero = 0;
	int err = bpf_map_lookup_elem(map->fd.config, &zero, &map->config);

	if (err)
		return err;
	if (map->config.locals > NTM_RELAY_LOCALS)
		return -EINVAL;
	for (uint32_t i = 0; i < map->config.locals && !err; i++)
		err = bpf_map_lookup_elem(map->fd.local, &i, &map->local[i]);
	if (err)
		return err;
	if (!map->config.flow_key)
		map->config.flow_key = ntm_crypto_random_u64();
	map->config.unknown_limit = UNKNOWN_LIMIT;
	if (!map->config.control_key)
		map->config.control_key = ntm_crypto_random_u64();
	map->config.too_big_limit = TOO_BIG_LIMIT;
	map->config.control_limit = CONTROL_LIMIT;
	map->config.echo_limit = ECHO_LIMIT;
	map->config.buckets = map->slots.buckets;
	map->config.generation++;
	return config_write(map);
}

/* Every path has a slot, and some are left over. */
static int paths_max(struct rs_relay_map *map)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(map->fd.paths, &info, &len))
		return -errno;
	map->max = info.max_entries;
	return map->slots.max < map->max ? -EINVAL : 0;
}

int rs_relay_map_open(struct rs_relay_map **ret_map, const struct rs_relay_map_fds *fds)
{
	struct rs_relay_map *map = calloc(1, sizeof(*map));
	int err;

	if (!map)
		return -ENOMEM;
	map->fd = *fds;
	map->settling_end = &map->settling;
	map->cpus = libbpf_num_possible_cpus();
	err = map->cpus < 0 ? map->cpus : rs_relay_slots_open(&map->slots, fds->state, fds->index);
	if (!err)
		err = paths_max(map);
	if (!err)
		err = config_read(map);
	if (err) {
		rs_relay_map_close(map);
		return err;
	}
	*ret_map = map;
	return 0;
}

void rs_relay_map_close(struct rs_relay_map *map)
{
	if (!map)
		return;
	while (map->settling) {
		struct settling *one = map->settling;

		map->settling = one->next;
		free(one);
	}
	rs_relay_slots_close(&map->slots);
	free(map);
}

uint32_t rs_relay_map_max(const struct rs_relay_map *map)
{
	return map->max;
}

/* ---- paths */

static int local_number(const struct rs_relay_map *map, const struct ntm_endpoint *at)
{
	for (uint32_t i = 0; i < map->config.locals; i++) {
		if (ntm_endpoint_equal(&map->local[i].at, at))
			return (int)i;
	}
	return -ENOENT;
}

static int local_find(const struct rs_relay_map *map, const struct ntm_flow *bound)
{
	struct ntm_endpoint at = {bound->local, bound->udp->bound.port};

	if (ntm_addr_is_none(&at.addr))
		at.addr = bound->udp->bound.addr;
	return local_number(map, &at);
}

/* How many legs are bound at each of our endpoints. */
static void locals_count(struct rs_relay_map *map, const struct ntm_relay_path *entry, int more)
{
	for (unsigned side = 0; side < 2; side++) {
		const struct ntm_relay_leg *leg = &entry->leg[side];

		if (leg->remote.port && leg->local < NTM_RELAY_LOCALS)
			map->legs[leg->local] += (uint32_t)more;
	}
}

/* `leg` is as it was before, zero for a new path. Returns flags. */
static uint16_t leg_set(const struct rs_relay_map *map, struct ntm_relay_leg *leg,
			const struct ntm_flow *bound)
{
	uint16_t flags = 0;
	int local = 0;

	if (bound->remote.port) {
		local = local_find(map, bound);
		if (local < 0) {
			flags = NTM_RELAY_PASS;
			local = 0;
		}
	}
	if (ntm_endpoint_equal(&leg->remote, &bound->remote) && leg->local == local)
		return flags;
	leg->remote = bound->remote;
	leg->local = (__u8)local;
	leg->moves++;
	return flags;
}

static bool moving_set(struct ntm_relay_moving_leg *moving, const struct rs_leg *leg, int64_t now_ms)
{
	memset(moving, 0, sizeof(*moving));
	moving->candidate = leg->candidate;
	if (now_ms < leg->old_until_ms) {
		moving->old = leg->old;
		moving->old_until_ns = mono_ns(leg->old_until_ms);
	}
	return moving->candidate.port || moving->old.port;
}

/* The path is looked at again when `old` of a leg is over, and its slot may be shown. */
static void settle_later(struct rs_relay_map *map, const struct rs_path *path, int64_t now_ms)
{
	struct settling *one = malloc(sizeof(*one));

	if (!one)
		return; /* XDP goes the long way, that is all */
	*one = (struct settling){.id = path->id, .at_ms = now_ms + SETTLE_MS};
	*map->settling_end = one;
	map->settling_end = &one->next;
}

/* The other sources of the path, before its flags say that there are any; without room for them they go
 * up. */
static uint16_t sources_put(struct rs_relay_map *map, const struct rs_path *path, int64_t now_ms)
{
	struct ntm_relay_moving moving;
	bool first = moving_set(&moving.leg[0], &path->leg[0], now_ms),
	     second = moving_set(&moving.leg[1], &path->leg[1], now_ms);

	if (!first && !second)
		return 0;
	if (bpf_map_update_elem(map->fd.moving, &path->id, &moving, BPF_ANY))
		bpf_map_delete_elem(map->fd.moving, &path->id);
	return NTM_RELAY_MOVING;
}

/* XDP reads and writes it meanwhile, each number at once. */
#define GET(at) __atomic_load_n(&(at), __ATOMIC_RELAXED)
#define PUT(at, value) __atomic_store_n(&(at), value, __ATOMIC_RELAXED)

/* What is not in rs_paths. */
static void settings_put(struct ntm_relay_state *state, const struct rs_path *path, uint16_t flags)
{
	uint64_t expires = (mono_ns(path->expires_ms) >> NTM_RELAY_TICK_SHIFT) + 1;

	PUT(state->rate, path->rate);
	PUT(state->expires, expires > UINT32_MAX ? UINT32_MAX : (uint32_t)expires);
	PUT(state->flags, flags);
}

/* By the short way goes what is bound at both ends: while it binds there is more to change. */
static void path_show(struct rs_relay_map *map, const struct rs_path *path,
		      const struct ntm_relay_path *entry, int64_t now_ms)
{
	bool bound = entry->leg[0].remote.port && entry->leg[1].remote.port,
	     shown = !bound || rs_relay_slot_show(&map->slots, entry->slot, path->id, entry->leg, now_tick());

	if (!shown || now_ms < path->leg[0].old_until_ms || now_ms < path->leg[1].old_until_ms)
		settle_later(map, path, now_ms);
}

/* One bucket for both relays: what passes here and what passes there is one path's rate. */
static void rate_share(struct rs_relay_map *map, struct rs_path *path, uint32_t slot)
{
	__atomic_store_n(&path->rate_shared, (uint64_t *)&map->slots.state[slot].rate_ns, __ATOMIC_RELAXED);
}

int rs_relay_map_put(struct rs_relay_map *map, struct rs_path *path, int64_t now_ms)
{
	struct ntm_relay_path entry, before;
	uint16_t flags = 0, flags_before;
	bool made = false;
	int err;

	if (!map)
		return 0;
	if (bpf_map_lookup_elem(map->fd.paths, &path->id, &entry)) {
		memset(&entry, 0, sizeof(entry));
		err = rs_relay_slot_take(&map->slots, path->id, now_tick(), &entry.slot);
		if (err)
			return err;
		made = true;
	}
	before = entry;
	for (unsigned side = 0; side < 2; side++)
		flags |= leg_set(map, &entry.leg[side], &path->leg[side].bound);
	memcpy(&entry.dc, path->dc->peer.key, sizeof(entry.dc));
	if (memcmp(entry.leg, before.leg, sizeof(entry.leg)))
		rs_relay_slot_hide(&map->slots, entry.slot, now_tick());
	flags |= sources_put(map, path, now_ms);
	flags_before = map->slots.state[entry.slot].flags;
	settings_put(&map->slots.state[entry.slot], path, flags);
	err = made || memcmp(&entry, &before, sizeof(entry)) ?
		      bpf_map_update_elem(map->fd.paths, &path->id, &entry, BPF_ANY) : 0;
	if (!err) {
		rate_share(map, path, entry.slot);
		locals_count(map, &before, -1);
		locals_count(map, &entry, 1);
		path_show(map, path, &entry, now_ms);
	} else if (made) {
		rs_relay_slot_free(&map->slots, entry.slot, now_tick());
	}
	if (flags_before & NTM_RELAY_MOVING && !(flags & NTM_RELAY_MOVING))
		bpf_map_delete_elem(map->fd.moving, &path->id);
	return err;
}

void rs_relay_map_remove(struct rs_relay_map *map, uint64_t id)
{
	struct ntm_relay_path entry;

	if (!map || bpf_map_lookup_elem(map->fd.paths, &id, &entry))
		return;
	rs_relay_slot_hide(&map->slots, entry.slot, now_tick());
	bpf_map_delete_elem(map->fd.paths, &id);
	bpf_map_delete_elem(map->fd.moving, &id);
	locals_count(map, &entry, -1);
	rs_relay_slot_free(&map->slots, entry.slot, now_tick());
}

/* ---- of an earlier ntm-rs */

int rs_relay_map_keep(struct rs_relay_map *map, uint64_t id, const struct ntm_relay_path *entry)
{
	const struct ntm_relay_state *state;
	int err = rs_relay_slot_keep(&map->slots, entry->slot);

	if (err)
		return err;
	/* It may have ended between two changes. */
	state = &map->slots.state[entry->slot];
	if (state->id != id || memcmp(state->leg, entry->leg, sizeof(state->leg)))
		rs_relay_slot_hide(&map->slots, entry->slot, now_tick());
	locals_count(map, entry, 1);
	return 0;
}

void rs_relay_map_kept(struct rs_relay_map *map)
{
	rs_relay_slots_clean(&map->slots, now_tick());
}

void rs_relay_map_settle(struct rs_relay_map *map, const struct rs_paths *paths, int64_t now_ms)
{
	while (map && map->settling && map->settling->at_ms <= now_ms) {
		struct settling *one = map->settling;
		struct rs_path *path = rs_path_find(paths, one->id, now_ms);

		map->settling = one->next;
		if (!map->settling)
			map->settling_end = &map->settling;
		free(one);
		if (path)
			rs_relay_map_put(map, path, now_ms);
	}
}

void rs_relay_map_read(const struct rs_relay_map *map, uint64_t id, struct rs_relay_counts *ret_counts)
{
	const struct ntm_relay_state *state;
	struct ntm_relay_path entry;
	uint32_t tick = now_tick();
	uint16_t used;

	memset(ret_counts, 0, sizeof(*ret_counts));
	if (!map || bpf_map_lookup_elem(map->fd.paths, &id, &entry) || entry.slot >= map->slots.max)
		return;
	state = &map->slots.state[entry.slot];
	for (unsigned side = 0; side < 2; side++) {
		ret_counts->packets[side] = GET(state->packets[side]);
		ret_counts->bytes[side] = GET(state->bytes[side]);
	}
	ret_counts->drops = GET(state->drops);
	used = GET(state->used);
	if (used) /* it may be a tick ahead: it is never 0 */
		ret_counts->used_ms = rs_relay_map_tick_ms(tick + 1 - (uint16_t)(tick + 1 - used));
}

/* ---- what concerns all paths */

void rs_relay_map_routes_changed(struct rs_relay_map *map)
{
	if (!map)
		return;
	map->config.generation++;
	config_write(map);
}

void rs_relay_map_watched(struct rs_relay_map *map)
{
	uint32_t tick = now_tick(), turn = (1U << NTM_RELAY_ALONE_SHIFT) - 1;

	if (!map)
		return;
	if (tick > map->config.watched_until) {
		/* XDP has gone by time meanwhile: nothing that it then kept may seem to hold again. */
		map->config.generation += 1 + ntm_relay_hop_alone(map->config.watched_until, turn, tick);
		config_write(map);
	}
	map->config.watched_until = tick + NTM_RELAY_WATCH_TICKS;
	config_write(map);
}

static bool local_is_given(const struct ntm_endpoint *at, unsigned count, const struct ntm_endpoint *local)
{
	for (unsigned i = 0; i < count; i++) {
		if (ntm_endpoint_equal(&at[i], local))
			return true;
	}
	return false;
}

/* A place for another one: of one that is gone and has no legs, else a new one. */
static int local_place(const struct rs_relay_map *map, const struct ntm_endpoint *at, unsigned count)
{
	for (uint32_t i = 0; i < map->config.locals; i++) {
		if (!map->legs[i] && !local_is_given(at, count, &map->local[i].at))
			return (int)i;
	}
	return map->config.locals < NTM_RELAY_LOCALS ? (int)map->config.locals : -ENOSPC;
}

int rs_relay_map_locals(struct rs_relay_map *map, const struct ntm_endpoint *at, unsigned count)
{
	int err = 0;

	for (unsigned i = 0; map && i < count && !err; i++) {
		uint32_t place;
		int r = local_number(map, &at[i]);

		if (r >= 0)
			continue;
		r = local_place(map, at, count);
		if (r < 0)
			return r;
		place = (uint32_t)r;
		map->local[place] = (struct ntm_relay_local){.at = at[i]};
		err = bpf_map_update_elem(map->fd.local, &place, &map->local[place], BPF_ANY);
		if (!err && place == map->config.locals) {
			map->config.locals++;
			err = config_write(map);
		}
	}
	return err;
}

_Static_assert(NTM_RELAY_DEVICES == 64, "a bit for each");

static bool device_is_given(const struct rs_relay_device *device, unsigned count, uint32_t route)
{
	for (unsigned i = 0; i < count; i++) {
		if (device[i].route == route)
			return true;
	}
	return false;
}

int rs_relay_map_devices(struct rs_relay_map *map, const struct rs_relay_device *device, unsigned count)
{
	uint32_t stale[NTM_RELAY_DEVICES], route, *at = NULL;
	struct ntm_relay_device was;
	uint64_t numbers = 0; /* those that are taken */
	unsigned stales = 0;
	int err = 0;

	for (; stales < NTM_RELAY_DEVICES && !bpf_map_get_next_key(map->fd.devices, at, &route);
	     at = &route) {
		if (!device_is_given(device, count, route))
			stale[stales++] = route;
		else if (!bpf_map_lookup_elem(map->fd.devices, &route, &was))
			numbers |= 1ULL << was.number % NTM_RELAY_DEVICES;
	}
	while (stales)
		bpf_map_delete_elem(map->fd.devices, &stale[--stales]);
	for (unsigned i = 0; i < count && !err; i++) {
		struct ntm_relay_device now = device[i].device;

		if (!bpf_map_lookup_elem(map->fd.devices, &device[i].route, &was))
			now.number = was.number;
		else
			now.number = (uint32_t)__builtin_ctzll(~numbers); /* there are as many as devices */
		numbers |= 1ULL << now.number % NTM_RELAY_DEVICES;
		err = bpf_map_update_elem(map->fd.devices, &device[i].route, &now, BPF_ANY);
	}
	/* Next hops were kept by what was there before: a VLAN device in one mode is its parent in the
	 * other. */
	rs_relay_map_routes_changed(map);
	return err;
}

void rs_relay_map_load(const struct rs_relay_map *map, struct ntm_relay_load *ret_sum)
{
	struct ntm_relay_load *load;
	uint32_t zero = 0;

	memset(ret_sum, 0, sizeof(*ret_sum));
	load = map ? calloc((size_t)map->cpus, sizeof(*load)) : NULL;
	if (!load)
		return;
	if (!bpf_map_lookup_elem(map->fd.load, &zero, load)) {
		for (int i = 0; i < map->cpus; i++) {
			ret_sum->packets += load[i].packets;
			ret_sum->bytes += load[i].bytes;
			ret_sum->seen += load[i].seen;
			ret_sum->sampled_ns += load[i].sampled_ns;
			ret_sum->samples += load[i].samples;
			ret_sum->requests += load[i].requests;
			ret_sum->answers += load[i].answers;
		}
	}
	free(load);
}

uint64_t rs_relay_map_drops(const struct rs_relay_map *map, unsigned reason)
{
	uint64_t *count, sum = 0;

	count = map ? calloc((size_t)map->cpus, sizeof(*count)) : NULL;
	if (count && !bpf_map_lookup_elem(map->fd.stats, &reason, count)) {
		for (int i = 0; i < map->cpus; i++)
			sum += count[i];
	}
	free(count);
	return sum;
}
