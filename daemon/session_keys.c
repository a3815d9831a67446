/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session_keys.c - the keys that come out of a tunnel handshake, and when they change: each lane and path
 * control have their own by direction; a new phase is made while the old one works (doc/PROTOCOL.md, section
 * 12).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "log.h"
#include "path.h"

#define RENEW_AT_ONCE 32 /* paths; the others with their next tick: handshakes are work */

static void lane_derive(uint8_t out[NTM_KEY_LEN], const uint8_t secret[NTM_KEY_LEN], enum ntm_lane lane)
{
	ntm_crypto_derive(out, secret, lane == NTM_LANE_INLINE ? "inline" : "bulk", NULL, 0);
}

/* Wipes and frees the keys of a phase; harmless if there are none. */
static void keys_free(struct ntmd_path *path, unsigned phase)
{
	if (!path->keys[phase])
		return;
	ntm_crypto_wipe(path->keys[phase], sizeof(*path->keys[phase]));
	free(path->keys[phase]);
	path->keys[phase] = NULL;
}

int ntmd_session_keys_set(struct ntmd_path *path, unsigned phase, enum ntm_cipher cipher,
			  uint8_t send[NTM_KEY_LEN], uint8_t receive[NTM_KEY_LEN])
{
	struct ntmd_path_keys *keys = calloc(1, sizeof(*keys));
	int64_t now = ntm_loop_now_ms();
	struct ntmd_engine_keys engine;
	int err = -ENOMEM;

	for (int lane = 0; lane < NTM_LANES; lane++) {
		engine.lane[lane].cipher = lane == NTM_LANE_INLINE ? NTM_CIPHER_CHACHA20_POLY1305 : cipher;
		lane_derive(engine.lane[lane].send, send, (enum ntm_lane)lane);
		lane_derive(engine.lane[lane].receive, receive, (enum ntm_lane)lane);
	}
	if (keys)
		err = ntmd_engine_path_key_set(path->engine, phase, &engine,
					       now + NTM_KEY_HARD_LIFETIME_S * 1000LL);
	if (!err) {
		ntm_crypto_derive(keys->send, send, "control", NULL, 0);
		ntm_crypto_derive(keys->receive, receive, "control", NULL, 0);
		keys->created_ms = now;
		path->rekey = false;
		keys_free(path, phase);
		path->keys[phase] = keys;
		path->cipher = cipher;
	} else {
		free(keys);
	}
	ntm_crypto_wipe(&engine, sizeof(engine));
	ntm_crypto_wipe(send, NTM_KEY_LEN);
	ntm_crypto_wipe(receive, NTM_KEY_LEN);
	return err;
}

void ntmd_session_keys_use(struct ntmd_path *path, unsigned phase)
{
	for (unsigned i = 0; i < NTM_TYPE_PHASES; i++)
		if (i != phase && path->keys[i] && !path->keys[i]->drop_ms)
			path->keys[i]->drop_ms = ntm_loop_now_ms() + NTM_KEY_DRAIN_S * 1000LL;
	path->phase = (int)phase;
	ntmd_engine_path_phase_set(path->engine, phase);
	ntmd_event(path->ntmd, "keys_changed", "peer", path->cn->fqdn, NULL);
}

void ntmd_session_keys_opened(struct ntmd_path *path, unsigned phase)
{
	const struct ntmd_path_keys *keys = path->keys[phase];

	if (path->phase == (int)phase || !keys || keys->drop_ms)
		return;
	/* Side 1 may have answered a further request meanwhile: an older phase than the one in use only
	 * drains. */
	if (path->phase < 0 || keys->created_ms >= path->keys[path->phase]->created_ms)
		ntmd_session_keys_use(path, phase);
}

static void drop(struct ntmd_path *path, unsigned phase)
{
	keys_free(path, phase);
	ntmd_engine_path_key_drop(path->engine, phase);
	if (path->phase == (int)phase)
		path->phase = -1;
}

void ntmd_session_keys_renew(struct ntmd *ntmd)
{
	struct ntmd_path *path;
	unsigned now = 0;

	LIST_FOREACH(path, &ntmd->path, next) {
		path->rekey = true;
		if (path->state == NTMD_PATH_UP && !path->tunnel && now++ < RENEW_AT_ONCE)
			ntmd_tunnel_start(path);
	}
}

void ntmd_session_keys_tick(struct ntmd_path *path)
{
	int64_t now = ntm_loop_now_ms(), soft = path->ntmd->config.rekey_after_s * 1000LL, created;
	struct ntmd_engine_stats stats;

	for (unsigned phase = 0; phase < NTM_TYPE_PHASES; phase++) {
		const struct ntmd_path_keys *keys = path->keys[phase];

		if (keys && ((keys->drop_ms && now >= keys->drop_ms) ||
			     now - keys->created_ms >= NTM_KEY_HARD_LIFETIME_S * 1000LL))
			drop(path, phase);
	}
	if (path->state != NTMD_PATH_UP || path->tunnel)
		return;
	if (path->phase < 0 || path->rekey) {
		ntmd_tunnel_start(path);
		return;
	}
	/* Side 0 makes new keys; side 1 asks for them when they are overdue. */
	created = path->keys[path->phase]->created_ms;
	if (path->side == NTM_SIDE_OTHER)
		soft += soft / 4 + 1000;
	ntmd_engine_path_stats(path->engine, &stats);
	if (now - created >= soft && (stats.last_tx_ms > created || stats.last_rx_ms > created))
		ntmd_tunnel_start(path);
}

void ntmd_session_keys_wipe(struct ntmd_path *path)
{
	for (unsigned phase = 0; phase < NTM_TYPE_PHASES; phase++)
		keys_free(path, phase);
	path->phase = -1;
	ntm_crypto_wipe(path->ck, sizeof(path->ck));
}
