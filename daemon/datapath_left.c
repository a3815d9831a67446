/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * datapath_left.c - what an earlier ntmd left in the maps: the paths that the programs go on serving, for
 * bpf_engine.c to take over, and what was half made or half removed when it ended. The maps: datapath_maps.c.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "daemon/datapath_maps_internal.h"
#include "endpoint.h"

/* Its entries in ntm_keys: those with a tag go on, the rest of others is wiped. */
static void keys_read(struct ntmd_maps *maps, unsigned number, struct ntmd_maps_left *left)
{
	static const struct ntm_map_key none;
	struct ntmd_maps_slot *slot = maps->slot[number];
	struct ntm_map_key key;

	for (uint32_t i = 0; i < 2; i++) {
		uint32_t index = number * 2 + i;

		if (bpf_map_lookup_elem(maps->fd[NTMD_MAP_KEYS], &index, &key))
			continue;
		if (left && key.tag) {
			left->key[i].tag = key.tag;
			left->key[i].phase = key.phase & 3;
			left->key[i].expires_ms = (int64_t)(key.expires_ns / 1000000);
			memcpy(left->key[i].send, key.send, sizeof(key.send));
			memcpy(left->key[i].receive, key.receive, sizeof(key.receive));
			slot->tag[i] = key.tag;
		} else if (memcmp(&key, &none, sizeof(key))) {
			bpf_map_update_elem(maps->fd[NTMD_MAP_KEYS], &index, &none, 0);
		}
	}
	ntm_crypto_wipe(&key, sizeof(key));
}

/* The slot is served. 0, or -errno: it is not taken over. */
static int slot_read(struct ntmd_maps *maps, unsigned number, struct ntmd_maps_left *ret_left)
{
	struct ntm_ends *ends = &maps->ends[number];
	struct ntm_ends_copy copy = ends->copy[ends->version & 1];
	struct ntmd_maps_slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	if (ntmd_maps_state_get(maps, number, &slot->found)) {
		free(slot);
		return -EIO;
	}
	maps->slot[number] = slot;
	slot->source[0] = slot->source[1] = -1;
	if (copy.flags & NTM_ENDS_ROUTE)
		ntmd_maps_source_found(maps, slot, 0, copy.route.source);
	if (copy.flags & NTM_ENDS_SECOND)
		ntmd_maps_source_found(maps, slot, 1, copy.second.source);
	slot->phase = copy.phase == NTM_ENDS_NO_PHASE ? -1 : copy.phase & 3;
	/* Nobody has its bulk keys any more. */
	copy.flags |= NTM_ENDS_BULK_DEAD;
	copy.flags &= (uint8_t)~NTM_ENDS_AWAY;
	ntmd_maps_ends_flip(ends, &copy);
	memset(ret_left, 0, sizeof(*ret_left));
	ret_left->slot = number;
	ret_left->phase = slot->phase;
	ntmd_maps_who_get(ends, &ret_left->who);
	keys_read(maps, number, ret_left);
	for (int family = 0; family < 2; family++)
		ret_left->reached[family] =
			ntmd_maps_slot_is_reached(maps, number, &ret_left->who.vip[family]);
	return 0;
}

/* All keys of a hash map, count of them in ret_count; the caller frees. NULL: none, or no memory. */
static void *keys_list(int fd, size_t key_size, size_t max, size_t *ret_count)
{
	uint8_t *list = calloc(max, key_size), *from = NULL;
	size_t count = 0;

	while (list && count < max && !bpf_map_get_next_key(fd, from, list + count * key_size)) {
		from = list + count * key_size;
		count++;
	}
	*ret_count = count;
	return list;
}

static int paths_read(struct ntmd_maps *maps, void (*each)(void *ctx, const struct ntmd_maps_left *left),
		      void *ctx)
{
	struct ntmd_maps_left *left;
	size_t count;
	uint64_t *id = keys_list(maps->fd[NTMD_MAP_PATHS], sizeof(*id), maps->slots, &count);
	uint32_t slot;

	if (!id)
		return -ENOMEM;
	left = calloc(count ? count : 1, sizeof(*left));
	if (!left) {
		free(id);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		/* An entry of a slot that is about another path was not removed in time. */
		if (bpf_map_lookup_elem(maps->fd[NTMD_MAP_PATHS], &id[i], &slot) || slot >= maps->slots ||
		    maps->slot[slot] || maps->ends[slot].path_id != id[i] ||
		    slot_read(maps, slot, &left[i])) {
			bpf_map_delete_elem(maps->fd[NTMD_MAP_PATHS], &id[i]);
			left[i].who.path_id = 0;
		}
	}
	for (size_t i = 0; i < count; i++)
		if (left[i].who.path_id)
			each(ctx, &left[i]);
	ntm_crypto_wipe(left, count * sizeof(*left));
	free(left);
	free(id);
	return 0;
}

/* Addresses that lead to no path. */
static void vips_clean(struct ntmd_maps *maps)
{
	size_t count;
	struct ntm_addr *vip =
		keys_list(maps->fd[NTMD_MAP_VIPS], sizeof(*vip), 2 * (size_t)maps->slots, &count);
	uint32_t slot;

	for (size_t i = 0; vip && i < count; i++)
		if (bpf_map_lookup_elem(maps->fd[NTMD_MAP_VIPS], &vip[i], &slot) || slot >= maps->slots ||
		    !maps->slot[slot])
			bpf_map_delete_elem(maps->fd[NTMD_MAP_VIPS], &vip[i]);
	free(vip);
}

static int tag_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Windows of keys that are gone. */
static void windows_clean(struct ntmd_maps *maps)
{
	size_t count, used = 0;
	uint32_t *tag = keys_list(maps->fd[NTMD_MAP_WINDOWS], sizeof(*tag), 2 * (size_t)maps->slots, &count);
	uint32_t *live = calloc(2 * (size_t)maps->slots, sizeof(*live));

	for (unsigned i = 0; live && i < maps->slots; i++)
		for (int k = 0; maps->slot[i] && k < 2; k++)
			if (maps->slot[i]->tag[k])
				live[used++] = maps->slot[i]->tag[k];
	if (live)
		qsort(live, used, sizeof(*live), tag_compare);
	for (size_t i = 0; tag && live && i < count; i++)
		if (!bsearch(&tag[i], live, used, sizeof(*live), tag_compare))
			ntmd_maps_window_drop(maps, tag[i]);
	free(live);
	free(tag);
}

int ntmd_maps_left_each(struct ntmd_maps *maps, void (*each)(void *ctx, const struct ntmd_maps_left *left),
			void *ctx)
{
	struct ntmd_maps_slot *slot;
	int err = paths_read(maps, each, ctx);

	if (err)
		return err;
	vips_clean(maps);
	windows_clean(maps);
	/* Slots that were used once, or are being given back: a program may still know them. */
	for (unsigned i = 0; i < maps->slots; i++) {
		if (maps->slot[i] || !maps->ends[i].path_id)
			continue;
		keys_read(maps, i, NULL);
		slot = calloc(1, sizeof(*slot));
		if (!slot)
			continue;
		slot->source[0] = slot->source[1] = slot->phase = -1;
		maps->slot[i] = slot;
		ntmd_maps_grace_begin(maps, NTMD_MAPS_GRACE_SLOT, i);
	}
	return 0;
}
