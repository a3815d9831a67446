/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_key.c - the keys of a path by phase: session_keys.c installs them through engine.h, user_egress.c
 * seals and user_ingress.c opens with them. A counter is never used twice under one key.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "daemon/user_engine.h"

static const struct {
	uint64_t soft, hard; /* packets */
} limits[NTM_CIPHERS] = {
	[NTM_CIPHER_CHACHA20_POLY1305] = {NTM_REKEY_AFTER_CHACHA, NTM_STOP_AFTER_CHACHA},
	[NTM_CIPHER_AES_256_GCM] = {NTM_REKEY_AFTER_AESGCM, NTM_STOP_AFTER_AESGCM},
};
_Static_assert(NTM_STOP_AFTER_CHACHA <= NTM_COUNTER_MASK, "a counter has 56 bits");

static void key_free(const struct ntmd_engine *some, struct ntmd_user_key *key)
{
	const struct ntmd_engine *engine = some->main;

	if (!key)
		return;
	if (key->kernel)
		engine->kernel_ops->phase_drop(engine->kernel, key->kernel);
	for (int i = 0; i < NTM_LANES; i++) {
		ntm_aead_clear(&key->lane[i].seal);
		ntm_aead_clear(&key->lane[i].open);
	}
	ntm_crypto_wipe(key, sizeof(*key));
	free(key);
}

/* The keys' digest, never the keys themselves, is kept for comparing. */
static void digest_make(uint8_t digest[NTM_KEY_LEN], const struct ntmd_engine_keys *keys)
{
	uint8_t cipher[NTM_LANES];
	struct iovec part[1 + 2 * NTM_LANES];
	int parts = 0;

	for (int i = 0; i < NTM_LANES; i++) {
		cipher[i] = (uint8_t)keys->lane[i].cipher;
		part[parts++] = (struct iovec){(void *)keys->lane[i].send, NTM_KEY_LEN};
		part[parts++] = (struct iovec){(void *)keys->lane[i].receive, NTM_KEY_LEN};
	}
	part[parts++] = (struct iovec){cipher, sizeof(cipher)};
	ntm_crypto_hash(digest, part, parts);
}

static int lane_init(struct ntmd_user_lane *lane, enum ntm_cipher cipher, const uint8_t send[NTM_KEY_LEN],
		     const uint8_t receive[NTM_KEY_LEN])
{
	int err = ntm_aead_init(&lane->seal, cipher, send);

	if (!err)
		err = ntm_aead_init(&lane->open, cipher, receive);
	if (err)
		return err;
	lane->soft = limits[cipher].soft;
	lane->hard = limits[cipher].hard;
	return 0;
}

int ntmd_engine_path_key_set(struct ntmd_engine_path *path, unsigned phase,
			     const struct ntmd_engine_keys *keys, int64_t expires_ms)
{
	uint8_t digest[NTM_KEY_LEN];
	const struct ntmd_engine *engine = path->engine->main;
	struct ntmd_user_key *key, *old;
	int err = 0;
	NTMD_USER_LOCKED(path->engine);

	if (phase >= NTM_TYPE_PHASES || keys->lane[NTM_LANE_INLINE].cipher != NTM_CIPHER_CHACHA20_POLY1305)
		return -EINVAL;
	digest_make(digest, keys);
	old = path->key[phase];
	if (old && ntm_crypto_equal(old->digest, digest, sizeof(digest))) {
		old->expires_ms = expires_ms;
		goto settle;
	}
	key = calloc(1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	for (int i = 0; !err && i < NTM_LANES; i++)
		err = lane_init(&key->lane[i], keys->lane[i].cipher, keys->lane[i].send,
				keys->lane[i].receive);
	if (err) {
		key_free(engine, key);
		return err;
	}
	memcpy(key->digest, digest, sizeof(digest));
	key->expires_ms = expires_ms;
	path->key[phase] = key;
	key_free(engine, old);
	if (engine->kernel)
		key->kernel = engine->kernel_ops->phase_take(engine->kernel, path, phase, keys, expires_ms);
settle:
	if (path->phase == (int)phase)
		ntmd_user_path_settle(path);
	return 0;
}

int ntmd_user_key_inherit(struct ntmd_engine_path *path, unsigned phase, const uint8_t send[NTM_KEY_LEN],
			  const uint8_t receive[NTM_KEY_LEN], int64_t expires_ms,
			  struct ntmd_kernel_phase *kernel)
{
	struct ntmd_user_key *key = calloc(1, sizeof(*key));
	int err;

	if (!key)
		return -ENOMEM;
	err = lane_init(&key->lane[NTM_LANE_INLINE], NTM_CIPHER_CHACHA20_POLY1305, send, receive);
	if (err) {
		key_free(path->engine, key);
		return err;
	}
	key->expires_ms = expires_ms;
	key->inline_only = true;
	key->kernel = kernel;
	key_free(path->engine, path->key[phase]);
	path->key[phase] = key;
	return 0;
}

void ntmd_engine_path_phase_set(struct ntmd_engine_path *path, unsigned phase)
{
	NTMD_USER_LOCKED(path->engine);

	if (phase >= NTM_TYPE_PHASES)
		return;
	path->phase = (int)phase;
	ntmd_user_path_changed(path);
	ntmd_user_path_settle(path);
}

void ntmd_engine_path_key_drop(struct ntmd_engine_path *path, unsigned phase)
{
	NTMD_USER_LOCKED(path->engine);

	if (phase >= NTM_TYPE_PHASES)
		return;
	key_free(path->engine, path->key[phase]);
	path->key[phase] = NULL;
}

void ntmd_engine_path_rest(struct ntmd_engine_path *path)
{
	NTMD_USER_LOCKED(path->engine);

	for (unsigned phase = 0; phase < NTM_TYPE_PHASES; phase++)
		for (int i = 0; path->key[phase] && i < NTM_LANES; i++) {
			ntm_aead_rest(&path->key[phase]->lane[i].seal);
			ntm_aead_rest(&path->key[phase]->lane[i].open);
		}
	ntmd_user_resume_rest(path);
}

void ntmd_user_key_drop_all(struct ntmd_engine_path *path)
{
	for (unsigned phase = 0; phase < NTM_TYPE_PHASES; phase++)
		ntmd_engine_path_key_drop(path, phase);
}

struct ntmd_user_key *ntmd_user_key_sending(const struct ntmd_engine_path *path)
{
	struct ntmd_user_key *key = path->phase < 0 ? NULL : path->key[path->phase];

	return key && ntmd_user_now_ms(path->engine) < key->expires_ms ? key : NULL;
}

bool ntmd_user_key_spent(const struct ntmd_engine_path *path)
{
	const struct ntmd_user_key *key = path->phase < 0 ? NULL : path->key[path->phase];
	enum ntm_lane lane = path->bulk_dead ? NTM_LANE_INLINE : NTM_LANE_BULK;

	return key && (!ntmd_user_key_sending(path) || (!(key->kernel && lane == NTM_LANE_INLINE) &&
							key->lane[lane].next >= key->lane[lane].hard));
}
