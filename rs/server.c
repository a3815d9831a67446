/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * server.c - a Relay Server from its configuration to running, and back. Called by main.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "log.h"
#include "loop.h"
#include "relay_map.h"
#include "rs.h"

#define SWEEP_MS 1000

static void path_expired(void *ctx, struct rs_path *path)
{
	struct rs *rs = ctx;

	rs_control_path_event(rs, "path_expired", path);
	rs_relay_map_remove(rs->map, path->id);
}

static void sweep(evutil_socket_t fd, short what, void *arg)
{
	struct rs *rs = arg;
	int64_t now_ms = ntm_loop_now_ms();

	(void)fd;
	(void)what;
	rs_paths_sweep(&rs->paths, now_ms, path_expired, rs);
	rs_relay_inherited_check(rs, now_ms);
	rs_relay_map_settle(rs->map, &rs->paths, now_ms);
	rs_xdp_check(rs);
	rs_drain_check(rs);
	ntm_timer_set_ms(rs->sweep, SWEEP_MS);
}

static int memory_open(struct rs *rs, char *ret_why, size_t why_len)
{
	int err = rs_paths_init(&rs->paths, rs->config.max_paths);

	if (!err) {
		rs->sweep = ntm_timer_new(rs->base, sweep, rs);
		err = rs->sweep ? 0 : -ENOMEM;
	}
	if (err)
		snprintf(ret_why, why_len, "cannot start: %s", strerror(-err));
	else
		ntm_timer_set_ms(rs->sweep, SWEEP_MS);
	return err;
}

int rs_open(struct rs *rs, struct event_base *base, const char *config_path, struct rs_config *config,
	    char *ret_why, size_t why_len)
{
	int err;

	memset(rs, 0, sizeof(*rs));
	rs->base = base;
	rs->config_path = config_path;
	rs->config = *config;
	ntm_crypto_wipe(config, sizeof(*config));
	LIST_INIT(&rs->dcs);
	rs->started_ms = ntm_loop_now_ms();
	do
		rs->boot_id = ntm_crypto_random_u64();
	while (!rs->boot_id);
	ntm_crypto_random(rs->bind_secret, sizeof(rs->bind_secret));

	err = memory_open(rs, ret_why, why_len);
	if (err)
		goto err_memory;
	err = rs_registration_open(rs, ret_why, why_len);
	if (err)
		goto err_memory;
	err = rs_user_relay_open(rs, ret_why, why_len);
	if (err)
		goto err_registration;
	err = rs_control_open(rs, ret_why, why_len);
	if (err)
		goto err_relay;
	/* Last: nothing that is pinned is touched by a second ntm-rs, which does not come so far. */
	err = rs_xdp_open(rs);
	if (!err)
		err = rs_keepalive_open(rs);
	if (err) {
		snprintf(ret_why, why_len, "cannot start: %s", strerror(-err));
		goto err_xdp;
	}
	err = rs_user_relay_start(rs, ret_why, why_len);
	if (err)
		goto err_xdp;
	return 0;

err_xdp:
	rs_xdp_close(rs);
	rs_control_close(rs);
err_relay:
	rs_user_relay_close(rs);
err_registration:
	rs_registration_close(rs);
err_memory:
	rs_keepalive_close(rs);
	if (rs->sweep)
		event_free(rs->sweep);
	rs_paths_clear(&rs->paths);
	rs_config_clear(&rs->config);
	return err;
}

void rs_close(struct rs *rs)
{
	rs_xdp_close(rs); /* before the table: what is pinned stays as it is */
	rs_control_close(rs);
	rs_registration_close(rs);
	rs_user_relay_close(rs);
	rs_keepalive_close(rs);
	event_free(rs->sweep);
	rs_paths_clear(&rs->paths);
	rs_config_clear(&rs->config);
	ntm_crypto_wipe(rs->bind_secret, sizeof(rs->bind_secret));
}

void rs_reload(struct rs *rs)
{
	struct rs_config config;
	char why[512];
	int err;

	if (rs_config_read(&config, rs->config_path, why, sizeof(why))) {
		ntm_error("%s; the configuration stays as it was", why);
		return;
	}
	err = rs_registration_update(rs, &config);
	if (err)
		ntm_error("some DCs could not be added: %s", strerror(-err));
	else
		ntm_notice("read %s again: %u DCs may direct this relay", rs->config_path, config.dcs);
	rs_config_clear(&config);
}
