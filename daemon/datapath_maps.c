/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * datapath_maps.c - writes the maps of the BPF programs, and nobody else does, except for those of keys and
 * their windows: datapath_keys.c. Which map has what, and the order of changes: include/ntm/maps.h. Before
 * it: bpf_engine.c; on the other side: bpf/path.h and its neighbours. What an earlier ntmd left:
 * datapath_left.c.
 *
 * What was taken away from the programs is used for something else only after NTM_MAPS_GRACE_MS, or after the
 * kernel has said that no program runs which could know it (membarrier waits for all RCU readers, and
 * programs are such).
 */
#include "daemon/datapath_maps_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"

const char *const ntmd_map_names[NTMD_MAPS] = {
	[NTMD_MAP_VIPS] = "ntm_vips",	      [NTMD_MAP_PATHS] = "ntm_paths",
	[NTMD_MAP_ENDS] = "ntm_ends",	      [NTMD_MAP_SOURCES] = "ntm_sources",
	[NTMD_MAP_KEYS] = "ntm_keys",	      [NTMD_MAP_WINDOWS] = "ntm_windows",
	[NTMD_MAP_STATE] = "ntm_state",	      [NTMD_MAP_LOCAL] = "ntm_local",
	[NTMD_MAP_CONFIG] = "ntm_config",     [NTMD_MAP_STATS] = "ntm_stats",
	[NTMD_MAP_EVENTS] = "ntm_events",     [NTMD_MAP_FLOWS] = "ntm_flows",
	[NTMD_MAP_SEGMENTS] = "ntm_segments",
};

/* ---- what was taken away, and waits */

struct grace {
	STAILQ_ENTRY(grace) next;
	enum ntmd_maps_grace kind;
	int64_t due_ms;
	uint32_t id; /* slot, index in ntm_keys, tag */
};

/* Nobody who reads it is left: what it was about may be used again. */
static void grace_over(struct ntmd_maps *maps, const struct grace *grace)
{
	static const struct ntm_map_key none;
	struct ntmd_maps_slot *slot;

	switch (grace->kind) {
	case NTMD_MAPS_GRACE_SLOT:
		free(maps->slot[grace->id]);
		maps->slot[grace->id] = NULL;
		maps->ends[grace->id].path_id = 0;
		break;
	case NTMD_MAPS_GRACE_KEY:
		slot = maps->slot[grace->id / 2];
		if (slot && slot->wipe_ms[grace->id % 2] != grace->due_ms)
			break; /* another key is there by now */
		if (slot)
			slot->wipe_ms[grace->id % 2] = 0;
		bpf_map_update_elem(maps->fd[NTMD_MAP_KEYS], &grace->id, &none, 0);
		break;
	case NTMD_MAPS_GRACE_WINDOW:
		bpf_map_delete_elem(maps->fd[NTMD_MAP_WINDOWS], &grace->id);
		break;
	}
}

static void grace_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_maps *maps = arg;
	int64_t now = ntm_loop_now_ms();
	struct grace *grace;

	(void)fd;
	(void)what;
	while ((grace = STAILQ_FIRST(&maps->grace)) && now >= grace->due_ms) {
		STAILQ_REMOVE_HEAD(&maps->grace, next);
		grace_over(maps, grace);
		free(grace);
	}
	if (grace)
		ntm_timer_set_ms(maps->timer, grace->due_ms - now);
}

int64_t ntmd_maps_grace_begin(struct ntmd_maps *maps, enum ntmd_maps_grace kind, uint32_t id)
{
	struct grace *grace = malloc(sizeof(*grace));

	if (!grace)
		return INT64_MAX;
	*grace = (struct grace){ .kind = kind, .due_ms = ntm_loop_now_ms() + NTM_MAPS_GRACE_MS, .id = id };
	STAILQ_INSERT_TAIL(&maps->grace, grace, next);
	if (!event_pending(maps->timer, EV_TIMEOUT, NULL))
		ntm_timer_set_ms(maps->timer, NTM_MAPS_GRACE_MS);
	return grace->due_ms;
}

int ntmd_maps_programs_wait(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}

/* ---- opening */

static int map_room(const struct ntmd_maps *maps, enum ntmd_map map, unsigned *ret_entries)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(maps->fd[map], &info, &len))
		return -errno;
	*ret_entries = info.max_entries;
	return 0;
}

/* Array maps lie in memory as values of a multiple of 8 bytes. */
static void *map_memory(const struct ntmd_maps *maps, enum ntmd_map map, size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, maps->fd[map], 0);

	return at == MAP_FAILED ? NULL : at;
}

_Static_assert(sizeof(struct ntm_ends) % 8 == 0 && sizeof(struct ntm_source) % 8 == 0 &&
		       sizeof(struct ntm_map_segment) % 8 == 0,
	       "values lie without gaps");

int ntmd_maps_open(struct ntmd_maps **ret_maps, struct event_base *base, const int map_fd[NTMD_MAPS],
		   int commit_fd)
{
	struct ntmd_maps *maps = calloc(1, sizeof(*maps));
	int err = -ENOMEM;

	if (!maps)
		return -ENOMEM;
	memcpy(maps->fd, map_fd, sizeof(maps->fd));
	maps->commit_fd = commit_fd;
	STAILQ_INIT(&maps->grace);
	maps->timer = ntm_timer_new(base, grace_fired, maps);
	if (!maps->timer)
		goto fail;
	err = map_room(maps, NTMD_MAP_STATE, &maps->slots);
	if (err)
		goto fail;
	err = -ENOMEM;
	maps->slot = calloc(maps->slots, sizeof(*maps->slot));
	if (!maps->slot)
		goto fail;
	maps->ends = map_memory(maps, NTMD_MAP_ENDS, maps->slots * sizeof(struct ntm_ends));
	maps->sources = map_memory(maps, NTMD_MAP_SOURCES, NTM_SOURCES_SLOTS * sizeof(struct ntm_source));
	maps->config = map_memory(maps, NTMD_MAP_CONFIG, sizeof(struct ntm_config));
	maps->segments = map_memory(maps, NTMD_MAP_SEGMENTS, NTM_SEGMENTS_SLOTS * sizeof(maps->segments[0]));
	if (!maps->ends || !maps->sources || !maps->config || !maps->segments)
		goto fail;
	ntm_crypto_random(maps->label_key, sizeof(maps->label_key));
	*ret_maps = maps;
	return 0;
fail:
	ntmd_maps_close(maps);
	return err;
}

/* Keys that were dropped lately: nobody comes back to wipe them, and the kernel does not when it frees a
 * map. */
static void dropped_wipe(struct ntmd_maps *maps)
{
	bool waited = false;
	struct grace *grace;

	STAILQ_FOREACH(grace, &maps->grace, next) {
		if (grace->kind != NTMD_MAPS_GRACE_KEY)
			continue;
		if (!waited && ntmd_maps_programs_wait())
			return;
		waited = true;
		grace_over(maps, grace);
	}
}

void ntmd_maps_close(struct ntmd_maps *maps)
{
	struct grace *grace;

	if (!maps)
		return;
	dropped_wipe(maps);
	while ((grace = STAILQ_FIRST(&maps->grace))) {
		STAILQ_REMOVE_HEAD(&maps->grace, next);
		free(grace);
	}
	if (maps->timer)
		event_free(maps->timer);
	for (unsigned i = 0; maps->slot && i < maps->slots; i++)
		free(maps->slot[i]);
	free(maps->slot);
	if (maps->ends)
		munmap(maps->ends, maps->slots * sizeof(struct ntm_ends));
	if (maps->sources)
		munmap(maps->sources, NTM_SOURCES_SLOTS * sizeof(struct ntm_source));
	if (maps->config)
		munmap(maps->config, sizeof(struct ntm_config));
	if (maps->segments)
		munmap(maps->segments, NTM_SEGMENTS_SLOTS * sizeof(maps->segments[0]));
	free(maps);
}

unsigned ntmd_maps_slots(const struct ntmd_maps *maps)
{
	return maps->slots;
}

/* ---- what holds for all paths */

void ntmd_maps_config_set(struct ntmd_maps *maps, const struct ntmd_maps_config *config)
{
	struct ntm_config *to = maps->config;
	uint32_t flags =
		to->flags & ~(uint32_t)(NTM_CONFIG_GENERIC | NTM_CONFIG_ALL_INLINE | NTM_CONFIG_ALL_BULK);

	if (config->generic)
		flags |= NTM_CONFIG_GENERIC;
	if (config->lane == NTMD_MAPS_LANE_INLINE)
		flags |= NTM_CONFIG_ALL_INLINE;
	if (config->lane == NTMD_MAPS_LANE_BULK)
		flags |= NTM_CONFIG_ALL_BULK;
	if (!to->magic)
		to->magic = ntm_crypto_random_u64() | 1;
	to->device = config->device;
	to->seal_in = config->seal_in;
	to->seal_out = config->seal_out;
	to->mark = 0; /* our sockets have none */
	to->lane_size = NTM_LANE_SIZE;
	to->lane_packets = NTM_LANE_PACKETS;
	to->lane_ns = NTM_LANE_NS;
	to->lane_hold_ns = NTM_LANE_HOLD_NS;
	__atomic_store_n(&to->flags, flags, __ATOMIC_RELEASE);
}

void ntmd_maps_own_set(struct ntmd_maps *maps, const struct ntm_addr *vip4, const struct ntm_addr *vip6)
{
	maps->config->vip4 = *vip4;
	maps->config->vip6 = *vip6;
}

void ntmd_maps_heartbeat(struct ntmd_maps *maps, int64_t now_us)
{
	__atomic_store_n(&maps->config->heartbeat_ns, (uint64_t)now_us * 1000, __ATOMIC_RELAXED);
}

void ntmd_maps_routes_changed(struct ntmd_maps *maps)
{
	__atomic_fetch_add(&maps->config->routes, 1, __ATOMIC_RELEASE);
}

static bool is_wanted(const struct ntm_local *key, const struct ntm_endpoint *local, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (key->port == local[i].port && ntm_addr_equal(&key->addr, &local[i].addr))
			return true;
	return false;
}

int ntmd_maps_local_set(struct ntmd_maps *maps, const struct ntm_endpoint *local, unsigned count)
{
	int fd = maps->fd[NTMD_MAP_LOCAL], err = 0;
	struct ntm_local key, old[NTM_LOCAL_SLOTS];
	unsigned olds = 0;
	uint32_t value = 0;

	for (void *from = NULL; olds < NTM_LOCAL_SLOTS && !bpf_map_get_next_key(fd, from, &old[olds]); olds++)
		from = &old[olds];
	for (unsigned i = 0; i < olds; i++)
		if (!is_wanted(&old[i], local, count))
			bpf_map_delete_elem(fd, &old[i]);
	for (unsigned i = 0; i < count; i++) {
		key = (struct ntm_local){ .addr = local[i].addr, .port = local[i].port };
		if (bpf_map_update_elem(fd, &key, &value, 0))
			err = -ENOSPC;
	}
	return err;
}

void ntmd_maps_drops_add(const struct ntmd_maps *maps, uint64_t drops[NTM_DROP_MAX])
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *value = cpus > 0 ? calloc((size_t)cpus, sizeof(*value)) : NULL;

	for (uint32_t reason = 1; value && reason < NTM_DROP_MAX; reason++) {
		if (bpf_map_lookup_elem(maps->fd[NTMD_MAP_STATS], &reason, value))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			drops[reason] += value[cpu];
	}
	free(value);
}

/* ---- slots */

static uint32_t flow_label(const struct ntmd_maps *maps, uint64_t path_id)
{
	uint32_t label;

	ntm_crypto_mac((uint8_t *)&label, sizeof(label), maps->label_key, &path_id, sizeof(path_id));
	return label & 0xfffff;
}

int ntmd_maps_state_get(const struct ntmd_maps *maps, unsigned slot, struct ntm_state *ret_state)
{
	uint32_t key = slot;

	return bpf_map_lookup_elem(maps->fd[NTMD_MAP_STATE], &key, ret_state) ? -errno : 0;
}

int ntmd_maps_slot_take(struct ntmd_maps *maps, const struct ntmd_maps_who *who)
{
	struct ntmd_maps_slot *slot;
	struct ntm_ends *ends;
	unsigned i;

	/* Slots are taken in turn: one that was given back rests as long as possible. */
	for (i = 0; i < maps->slots && maps->slot[(maps->next_slot + i) % maps->slots]; i++)
		;
	if (i == maps->slots)
		return -ENOSPC;
	i = (maps->next_slot + i) % maps->slots;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOSPC;
	if (ntmd_maps_state_get(maps, i, &slot->found)) {
		free(slot);
		return -ENOSPC;
	}
	maps->next_slot = i + 1;
	maps->slot[i] = slot;
	slot->source[0] = slot->source[1] = -1;
	ends = &maps->ends[i];
	memset(ends->copy, 0, sizeof(ends->copy));
	ends->copy[0].phase = ends->copy[1].phase = NTM_ENDS_NO_PHASE;
	ends->path_id = who->path_id;
	ends->side = (uint8_t)who->side;
	memset(ends->vip4, 0, sizeof(ends->vip4));
	if (!ntm_addr_is_none(&who->vip[0]))
		memcpy(ends->vip4, who->vip[0].b + 12, sizeof(ends->vip4));
	memcpy(ends->vip6, who->vip[1].b, sizeof(ends->vip6));
	ends->flow_label = flow_label(maps, who->path_id);
	return (int)i;
}

/* The index of this local end in ntm_sources, or -ENOSPC. */
static int source_take(struct ntmd_maps *maps, const struct ntm_endpoint *local, unsigned ifindex)
{
	int64_t now = ntm_loop_now_ms();
	int free_one = -ENOSPC;

	for (int i = 0; i < NTM_SOURCES_SLOTS; i++) {
		struct ntm_source *source = &maps->sources[i];

		if (source->port == local->port && source->ifindex == ifindex &&
		    ntm_addr_equal(&source->addr, &local->addr)) {
			maps->source[i].users++;
			return i;
		}
		if (free_one < 0 && !maps->source[i].users && now >= maps->source[i].free_ms)
			free_one = i;
	}
	if (free_one < 0)
		return -ENOSPC;
	maps->sources[free_one] =
		(struct ntm_source){.addr = local->addr, .port = local->port, .ifindex = ifindex};
	maps->source[free_one].users++;
	return free_one;
}

static void source_give(struct ntmd_maps *maps, int source)
{
	if (source >= 0 && !--maps->source[source].users)
		maps->source[source].free_ms = ntm_loop_now_ms() + NTM_MAPS_GRACE_MS;
}

void ntmd_maps_source_found(struct ntmd_maps *maps, struct ntmd_maps_slot *slot, int which, unsigned source)
{
	if (source >= NTM_SOURCES_SLOTS)
		return;
	slot->source[which] = (int)source;
	maps->source[source].users++;
}

/* 0 or -ENOSPC */
static int way_set(struct ntmd_maps *maps, struct ntm_way *to, const struct ntmd_maps_way *way,
		   int *ret_source)
{
	int source;

	*ret_source = -1;
	if (ntm_endpoint_is_none(&way->remote))
		return 0;
	source = source_take(maps, &way->local, way->ifindex);
	if (source < 0)
		return source;
	*to = (struct ntm_way){ .addr = way->remote.addr,
				.port = way->remote.port,
				.source = (uint16_t)source };
	*ret_source = source;
	return 0;
}

void ntmd_maps_ends_flip(struct ntm_ends *ends, const struct ntm_ends_copy *copy)
{
	uint32_t version = ends->version + 1;

	ends->copy[version & 1] = *copy;
	__atomic_store_n(&ends->version, version, __ATOMIC_RELEASE);
}

int ntmd_maps_slot_set(struct ntmd_maps *maps, unsigned number, const struct ntmd_maps_ends *ends)
{
	struct ntmd_maps_slot *slot = maps->slot[number];
	struct ntm_ends_copy copy;
	int source[2], err;

	memset(&copy, 0, sizeof(copy));
	err = way_set(maps, &copy.route, &ends->route, &source[0]);
	if (!err)
		err = way_set(maps, &copy.second, &ends->second, &source[1]);
	else
		source[1] = -1;
	copy.unproven_bytes = ends->unproven_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)ends->unproven_bytes;
	copy.serial = (uint16_t)ends->serial;
	copy.mtu = ends->mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)ends->mtu;
	copy.phase = ends->phase < 0 ? NTM_ENDS_NO_PHASE : (uint8_t)ends->phase;
	if (!err && source[0] >= 0)
		copy.flags |= NTM_ENDS_ROUTE;
	if (!err && source[1] >= 0)
		copy.flags |= NTM_ENDS_SECOND;
	if (ends->bulk_dead)
		copy.flags |= NTM_ENDS_BULK_DEAD;
	if (ends->away)
		copy.flags |= NTM_ENDS_AWAY;
	if (ends->expected)
		copy.flags |= NTM_ENDS_EXPECTED;
	ntmd_maps_ends_flip(&maps->ends[number], &copy);
	slot->phase = ends->phase;
	for (int i = 0; i < 2; i++) {
		source_give(maps, slot->source[i]);
		slot->source[i] = source[i];
	}
	return err;
}

int ntmd_maps_slot_receive(struct ntmd_maps *maps, unsigned slot)
{
	uint32_t value = slot;

	return bpf_map_update_elem(maps->fd[NTMD_MAP_PATHS], &maps->ends[slot].path_id, &value, 0) ? -errno
												   : 0;
}

int ntmd_maps_slot_reach(struct ntmd_maps *maps, unsigned slot, const struct ntm_addr *vip)
{
	uint32_t value = slot;

	return bpf_map_update_elem(maps->fd[NTMD_MAP_VIPS], vip, &value, 0) ? -errno : 0;
}

bool ntmd_maps_is_reached(const struct ntmd_maps *maps, const struct ntm_addr *vip)
{
	uint32_t value;

	return !bpf_map_lookup_elem(maps->fd[NTMD_MAP_VIPS], vip, &value);
}

bool ntmd_maps_slot_is_reached(const struct ntmd_maps *maps, unsigned slot, const struct ntm_addr *vip)
{
	uint32_t value;

	return !ntm_addr_is_none(vip) && !bpf_map_lookup_elem(maps->fd[NTMD_MAP_VIPS], vip, &value) &&
	       value == slot;
}

void ntmd_maps_slot_unreach(struct ntmd_maps *maps, unsigned slot, const struct ntm_addr *vip)
{
	if (ntmd_maps_slot_is_reached(maps, slot, vip))
		bpf_map_delete_elem(maps->fd[NTMD_MAP_VIPS], vip);
}

void ntmd_maps_who_get(const struct ntm_ends *ends, struct ntmd_maps_who *ret_who)
{
	static const uint8_t none[4];

	memset(ret_who, 0, sizeof(*ret_who));
	ret_who->path_id = ends->path_id;
	ret_who->side = (enum ntm_side)ends->side;
	if (memcmp(ends->vip4, none, sizeof(none)))
		ntm_addr_from4(&ret_who->vip[0], ends->vip4);
	ntm_addr_from6(&ret_who->vip[1], ends->vip6);
}

void ntmd_maps_slot_give(struct ntmd_maps *maps, unsigned number)
{
	static const struct ntmd_maps_ends nowhere = { .mtu = 1280, .phase = -1 };
	struct ntm_ends *ends = &maps->ends[number];
	struct ntmd_maps_who who;
	uint32_t value, tag;

	ntmd_maps_who_get(ends, &who);
	for (int family = 0; family < 2; family++)
		ntmd_maps_slot_unreach(maps, number, &who.vip[family]);
	if (!bpf_map_lookup_elem(maps->fd[NTMD_MAP_PATHS], &who.path_id, &value) && value == number)
		bpf_map_delete_elem(maps->fd[NTMD_MAP_PATHS], &who.path_id);
	ntmd_maps_slot_set(maps, number, &nowhere);
	for (unsigned parity = 0; parity < 2; parity++)
		if ((tag = maps->slot[number]->tag[parity])) {
			ntmd_maps_key_drop(maps, number, parity, tag);
			ntmd_maps_window_drop(maps, tag);
		}
	ntmd_maps_grace_begin(maps, NTMD_MAPS_GRACE_SLOT, number);
}

void ntmd_maps_slot_traffic(const struct ntmd_maps *maps, unsigned slot,
			    struct ntmd_maps_traffic *ret_traffic)
{
	const struct ntm_state *found = &maps->slot[slot]->found;
	struct ntm_state state;

	memset(ret_traffic, 0, sizeof(*ret_traffic));
	if (ntmd_maps_state_get(maps, slot, &state))
		return;
	ret_traffic->rx_packets = state.rx_packets - found->rx_packets;
	ret_traffic->rx_bytes = state.rx_bytes - found->rx_bytes;
	ret_traffic->tx_packets = state.tx_packets - found->tx_packets;
	ret_traffic->tx_bytes = state.tx_bytes - found->tx_bytes;
	ret_traffic->drops = state.drops - found->drops;
	if (state.rx_ns != found->rx_ns)
		ret_traffic->last_rx_ms = (int64_t)(state.rx_ns / 1000000);
	if (state.tx_ns != found->tx_ns)
		ret_traffic->last_tx_ms = (int64_t)(state.tx_ns / 1000000);
}

void ntmd_maps_segments_each(const struct ntmd_maps *maps,
			     void (*take)(void *ctx, const uint8_t *packet, size_t len, int64_t sent_ms),
			     void *ctx)
{
	uint8_t packet[NTM_SEGMENT_MAX];
	uint64_t sent_ns;
	uint32_t len;

	for (unsigned i = 0; i < NTM_SEGMENTS_SLOTS; i++) {
		const struct ntm_map_segment *segment = &maps->segments[i];

		sent_ns = __atomic_load_n(&segment->sent_ns, __ATOMIC_ACQUIRE);
		len = __atomic_load_n(&segment->len, __ATOMIC_RELAXED);
		if (!sent_ns || !len || len > sizeof(packet))
			continue;
		memcpy(packet, segment->packet, len);
		take(ctx, packet, len, (int64_t)(sent_ns / 1000000));
	}
}
