/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * datapath_keys.c - writes the maps with keys and with their replay windows: ntm_keys, the only one with
 * secrets, and ntm_windows. The order of changes: include/ntm/maps.h. Before it: bpf_path.c; on the other
 * side: bpf/path.h, bpf/replay.h and bpf/inline_commit.bpf.c. All other maps: datapath_maps.c.
 */
#include "daemon/datapath_maps_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "crypto.h"
#include "loop.h"

#define WAIT_PAUSE_MS 250 /* between two waits for all programs */

/* A tag that no window has: random, so that a new ntmd need not know what earlier ones drew. */
static int window_make(struct ntmd_maps *maps, uint32_t *ret_tag)
{
	static const struct ntm_window window;

	for (int i = 0; i < 16; i++) {
		uint32_t tag = (uint32_t)ntm_crypto_random_u64();

		if (!tag)
			continue;
		if (!bpf_map_update_elem(maps->fd[NTMD_MAP_WINDOWS], &tag, &window, BPF_NOEXIST)) {
			*ret_tag = tag;
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/*
 * Whether no program still reads the key that was dropped from there, to be wiped at wipe_ms. To wait for
 * them stops the loop for some 10 ms, and a peer can ask for new keys as often as it likes: once in a while
 * one may.
 */
static bool place_is_left(struct ntmd_maps *maps, int64_t wipe_ms)
{
	int64_t now = ntm_loop_now_ms();

	if (wipe_ms - NTM_MAPS_GRACE_MS < maps->waited_ms)
		return true;
	if ((maps->waited_ms && now - maps->waited_ms < WAIT_PAUSE_MS) || ntmd_maps_programs_wait())
		return false;
	maps->waited_ms = now;
	return true;
}

int ntmd_maps_key_set(struct ntmd_maps *maps, unsigned number, unsigned phase,
		      const uint8_t send[NTM_KEY_LEN], const uint8_t receive[NTM_KEY_LEN], int64_t expires_ms,
		      uint32_t *ret_tag)
{
	struct ntmd_maps_slot *slot = maps->slot[number];
	uint32_t index = number * 2 + (phase & 1), tag;
	int fd = maps->fd[NTMD_MAP_KEYS], err;
	struct ntm_map_key key;

	if (slot->phase >= 0 && (slot->phase & 1) == (int)(phase & 1) && slot->tag[phase & 1])
		return -EBUSY;
	if (slot->tag[phase & 1])
		ntmd_maps_key_drop(maps, number, phase, slot->tag[phase & 1]);
	if (slot->wipe_ms[phase & 1] && !place_is_left(maps, slot->wipe_ms[phase & 1]))
		return -EBUSY;
	slot->wipe_ms[phase & 1] = 0;
	err = window_make(maps, &tag);
	if (err)
		return err;
	memset(&key, 0, sizeof(key));
	memcpy(key.send, send, sizeof(key.send));
	memcpy(key.receive, receive, sizeof(key.receive));
	key.expires_ns = (uint64_t)expires_ms * 1000000;
	key.phase = (uint8_t)phase;
	if (bpf_map_update_elem(fd, &index, &key, 0))
		err = -errno;
	key.tag = tag;
	if (!err && bpf_map_update_elem(fd, &index, &key, 0))
		err = -errno;
	ntm_crypto_wipe(&key, sizeof(key));
	if (err) {
		bpf_map_delete_elem(maps->fd[NTMD_MAP_WINDOWS], &tag);
		return err;
	}
	slot->tag[phase & 1] = tag;
	*ret_tag = tag;
	return 0;
}

void ntmd_maps_key_drop(struct ntmd_maps *maps, unsigned number, unsigned phase, uint32_t tag)
{
	struct ntmd_maps_slot *slot = maps->slot[number];
	uint32_t index = number * 2 + (phase & 1);
	int fd = maps->fd[NTMD_MAP_KEYS];
	struct ntm_map_key key;

	if (!slot || slot->tag[phase & 1] != tag)
		return; /* another one is there */
	slot->tag[phase & 1] = 0;
	if (bpf_map_lookup_elem(fd, &index, &key))
		return;
	key.tag = 0;
	bpf_map_update_elem(fd, &index, &key, 0);
	ntm_crypto_wipe(&key, sizeof(key));
	slot->wipe_ms[phase & 1] = ntmd_maps_grace_begin(maps, NTMD_MAPS_GRACE_KEY, index);
}

void ntmd_maps_keys_end(struct ntmd_maps *maps)
{
	for (unsigned i = 0; i < maps->slots; i++)
		for (unsigned parity = 0; maps->slot[i] && parity < 2; parity++)
			if (maps->slot[i]->tag[parity])
				ntmd_maps_key_drop(maps, i, parity, maps->slot[i]->tag[parity]);
}

bool ntmd_maps_key_is(const struct ntmd_maps *maps, unsigned slot, unsigned phase, uint32_t tag)
{
	return maps->slot[slot] && maps->slot[slot]->tag[phase & 1] == tag;
}

void ntmd_maps_window_drop(struct ntmd_maps *maps, uint32_t tag)
{
	ntmd_maps_grace_begin(maps, NTMD_MAPS_GRACE_WINDOW, tag);
}

bool ntmd_maps_commit(const struct ntmd_maps *maps, unsigned slot, uint32_t tag, uint64_t counter)
{
	struct ntm_commit commit = { .slot = slot, .tag = tag, .counter = counter };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = &commit, .data_size_in = sizeof(commit), .repeat = 1);

	return !bpf_prog_test_run_opts(maps->commit_fd, &run) && run.retval == NTM_COMMIT_NEW;
}
