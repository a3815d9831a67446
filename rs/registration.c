/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * registration.c - the DCs that may direct this relay, and their sessions. An RS never calls: a DC in rs.conf
 * makes a session by Noise IK, and whoever is not in rs.conf stays a stranger.
 * Next: relay.c (what a DC then directs), keepalive.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "relay_map.h"
#include "rs.h"

struct rs_dc *rs_registration_dc(struct ntm_peer *peer)
{
	return (struct rs_dc *)((char *)peer - offsetof(struct rs_dc, peer));
}

static struct ntm_peer *accept_dc(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	struct rs *rs = ctx;

	return ntm_peer_find(&rs->sessions, key);
}

static void moved(void *ctx, struct ntm_peer *peer)
{
	char text[NTM_ENDPOINT_TEXT];
	struct rs_dc *dc = rs_registration_dc(peer);

	dc->connected_ms = ntm_loop_now_ms();
	ntm_info("%s is connected from %s", dc->name, ntm_endpoint_format(&peer->flow.remote, text));
	rs_control_dc_event(ctx, "dc_connected", dc);
}

static void lost(void *ctx, struct ntm_peer *peer)
{
	struct rs_dc *dc = rs_registration_dc(peer);

	ntm_info("the session with %s is gone", dc->name);
	rs_control_dc_event(ctx, "dc_lost", dc);
}

static const struct ntm_session_ops ops = {
	.accept = accept_dc,
	.request = rs_receive_request,
	.moved = moved,
	.lost = lost,
};

/* Only to answer, so there is always a socket already; a DC has no address we would call. */
static struct ntm_udp *socket_for(void *ctx, const struct ntm_endpoint *remote)
{
	(void)ctx;
	(void)remote;
	return NULL;
}

static int dc_add(struct rs *rs, const struct rs_config_dc *config)
{
	struct rs_dc *dc = calloc(1, sizeof(*dc));
	int err;

	if (!dc)
		return -ENOMEM;
	memcpy(dc->name, config->name, sizeof(dc->name));
	memcpy(dc->peer.key, config->key, sizeof(dc->peer.key));
	dc->max_paths = config->max_paths;
	err = ntm_peer_add(&rs->sessions, &dc->peer);
	if (err) {
		free(dc);
		return err;
	}
	LIST_INSERT_HEAD(&rs->dcs, dc, entry);
	return 0;
}

struct removal {
	struct rs *rs;
	const struct rs_dc *dc;
};

static void path_of_dc_remove(void *ctx, struct rs_path *path)
{
	struct removal *removal = ctx;

	if (path->dc != removal->dc)
		return;
	rs_control_path_event(removal->rs, "path_removed", path);
	rs_relay_map_remove(removal->rs->map, path->id);
	rs_path_remove(&removal->rs->paths, path);
}

static void dc_remove(struct rs *rs, struct rs_dc *dc)
{
	struct removal removal = {rs, dc};

	rs_paths_each(&rs->paths, path_of_dc_remove, &removal);
	LIST_REMOVE(dc, entry);
	ntm_peer_remove(&dc->peer);
	free(dc);
}

static bool is_same_dc(const struct rs_dc *dc, const struct rs_config_dc *config)
{
	return !strcmp(dc->name, config->name) && !memcmp(dc->peer.key, config->key, NTM_KEY_LEN);
}

static bool config_has(const struct rs_config *config, const struct rs_dc *dc)
{
	for (unsigned i = 0; i < config->dcs; i++) {
		if (is_same_dc(dc, &config->dc[i]))
			return true;
	}
	return false;
}

static struct rs_dc *dc_find(const struct rs *rs, const struct rs_config_dc *config)
{
	struct rs_dc *dc;

	LIST_FOREACH (dc, &rs->dcs, entry) {
		if (is_same_dc(dc, config))
			return dc;
	}
	return NULL;
}

int rs_registration_update(struct rs *rs, const struct rs_config *config)
{
	struct rs_dc *dc, *next;
	int err = 0;

	for (dc = LIST_FIRST(&rs->dcs); dc; dc = next) {
		next = LIST_NEXT(dc, entry);
		if (config_has(config, dc))
			continue;
		ntm_notice("%s may not direct this relay any more", dc->name);
		dc_remove(rs, dc);
	}
	for (unsigned i = 0; i < config->dcs && !err; i++) {
		dc = dc_find(rs, &config->dc[i]);
		if (dc)
			dc->max_paths = config->dc[i].max_paths;
		else
			err = dc_add(rs, &config->dc[i]);
	}
	return err;
}

int rs_registration_open(struct rs *rs, char *ret_why, size_t why_len)
{
	int err;

	err = ntm_sessions_init(&rs->sessions, rs->base, rs->config.private_key, &ops, rs, socket_for);
	if (err)
		goto fail;
	err = rs_registration_update(rs, &rs->config);
	if (err) {
		rs_registration_close(rs);
		goto fail;
	}
	return 0;

fail:
	snprintf(ret_why, why_len, "cannot set up sessions: %s", strerror(-err));
	return err;
}

void rs_registration_close(struct rs *rs)
{
	while (!LIST_EMPTY(&rs->dcs))
		dc_remove(rs, LIST_FIRST(&rs->dcs));
	ntm_sessions_clear(&rs->sessions);
}
