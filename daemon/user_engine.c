/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_engine.c - the engine that does everything in user space: how it begins and ends, and its one timer.
 * Its paths are user_path.c's; below: user_tell.c, user_egress.c, user_ingress.c, user_key.c, user_held.c.
 *
 * With one thread (user_shard.h has more) control and data share it. So that control does not wait long for
 * data, a wake-up of the device or of a socket takes a bounded number of bytes (NTMD_USER_BATCH_BYTES, about
 * a millisecond), and timers, the control socket and DNS come before the next one (NTM_LOOP_DATA); control
 * packets of peers share the data sockets and wait in their queue. A flow is not reordered: one thread reads,
 * seals and sends in the order of the counters.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ntm0.h"
#include "daemon/user_engine.h"
#include "daemon/user_shard.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"
#include "stats.h"

/* ---- the engine */

void ntmd_user_timer_run(struct ntmd_engine *engine)
{
	struct ntmd_engine_path *path;
	int64_t now = ntmd_user_now_ms(engine);

	engine->timer_ms = INT64_MAX;
	ntmd_user_held_expire(engine);
	ntmd_user_piece_expire(engine);
	while ((path = TAILQ_FIRST(&engine->acks)) && now >= path->ack_ms) {
		TAILQ_REMOVE(&engine->acks, path, acks);
		path->ack_paused = false;
		if (!path->ack_owed)
			continue;
		ntmd_user_path_pin(path);
		ntmd_user_bulk_received(path);
		ntmd_user_path_unpin(path);
	}
	if (path)
		ntmd_user_timer_arm(engine, path->ack_ms);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ntmd_user_timer_run(arg);
}

void ntmd_user_timer_arm(struct ntmd_engine *engine, int64_t due_ms)
{
	if (due_ms >= engine->timer_ms)
		return;
	engine->timer_ms = due_ms;
	if (engine->shard)
		ntmd_user_shard_timer(engine->shard);
	else
		ntm_timer_set_ms(engine->timer, due_ms - ntmd_user_now_ms(engine));
}

static int events_make(struct ntmd_engine *engine)
{
	int flags = fcntl(engine->tun.fd, F_GETFL);

	if (flags < 0 || fcntl(engine->tun.fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	engine->timer = ntm_timer_new(engine->base, timer_fired, engine);
	engine->readable = event_new(engine->base, engine->tun.fd, EV_READ | EV_PERSIST,
				     ntmd_user_egress_readable, engine);
	if (!engine->timer || !engine->readable ||
	    event_priority_set(engine->readable, event_base_get_npriorities(engine->base) - 1) < 0)
		return -ENOMEM;
	return 0;
}

static void engine_free(struct ntmd_engine *engine)
{
	if (engine->readable)
		event_free(engine->readable);
	if (engine->timer)
		event_free(engine->timer);
	ntmd_user_table_clear(&engine->by_id);
	ntmd_user_table_clear(&engine->by_vip);
	free(engine);
}

int ntmd_user_engine_init(struct ntmd_engine *engine, struct event_base *base,
			  const struct ntmd_engine_ops *ops, void *ctx)
{
	engine->base = base;
	engine->ops = ops;
	engine->ctx = ctx;
	engine->now_us = ntm_loop_now_us;
	engine->timer_ms = INT64_MAX;
	LIST_INIT(&engine->paths);
	TAILQ_INIT(&engine->held);
	engine->piece_room.max = NTM_PIECE_TOTAL;
	engine->held_max = NTMD_USER_HELD_TOTAL;
	TAILQ_INIT(&engine->acks);
	TAILQ_INIT(&engine->unsettled);
	return ntmd_user_table_init(&engine->by_id) || ntmd_user_table_init(&engine->by_vip) ? -ENOMEM : 0;
}

static void threads_open(struct ntmd_engine *engine, const struct ntmd_engine_config *config)
{
	char why[256];

	if (config->threads < 2 || (config->tun_fd >= 0 && !config->tun_queue))
		return;
	if (config->tun_fd < 0 && !engine->tun.queues)
		ntm_warn(
			"one data thread: %s was made with one queue; end ntmd, remove it with `ip link del %s`, and start "
			"again for %u",
			config->device, config->device, config->threads);
	else if (ntmd_user_shards_open(engine, config, why, sizeof(why)))
		ntm_warn("one data thread: %s", why);
}

int ntmd_engine_open(struct ntmd_engine **ret_engine, struct event_base *base,
		     const struct ntmd_engine_config *config, const struct ntmd_engine_ops *ops, void *ctx,
		     char *ret_why, size_t why_len)
{
	struct ntmd_engine *engine = calloc(1, sizeof(*engine));
	int err = -ENOMEM;

	if (!engine)
		goto explain;
	engine->main = engine;
	if (ntmd_user_engine_init(engine, base, ops, ctx))
		goto fail;
	if (config->tun_fd >= 0) {
		ntmd_ntm0_adopt(&engine->tun, config->tun_fd);
	} else {
		err = ntmd_ntm0_open(&engine->tun, config->device, config->mtu, config->threads > 1, ret_why,
				     why_len);
		if (err) { /* it has explained */
			engine_free(engine);
			return err;
		}
	}
	ntmd_user_ingress_init(engine);
	err = events_make(engine);
	if (err)
		goto fail_tun;
	threads_open(engine, config);
	*ret_engine = engine;
	return 0;
fail_tun:
	if (config->tun_fd < 0)
		close(engine->tun.fd);
fail:
	engine_free(engine);
explain:
	snprintf(ret_why, why_len, "cannot start the user engine: %s", strerror(-err));
	return err;
}

void ntmd_engine_close(struct ntmd_engine *engine)
{
	if (!engine)
		return;
	ntmd_user_shards_close(engine->shards);
	close(engine->tun.fd);
	engine_free(engine);
}

unsigned ntmd_engine_threads(const struct ntmd_engine *engine)
{
	return engine->shards ? engine->shards->count : 1;
}

unsigned ntmd_engine_ifindex(const struct ntmd_engine *engine)
{
	return engine->tun.ifindex;
}

const char *ntmd_engine_name(const struct ntmd_engine *engine)
{
	return engine->kernel && engine->kernel_ops->is_attached(engine->kernel) ? "bpf" : "user";
}

const char *ntmd_engine_path_name(const struct ntmd_engine_path *path)
{
	const struct ntmd_user_key *key = path->phase < 0 ? NULL : path->key[path->phase];

	return key && key->kernel ? ntmd_engine_name(path->engine->main) : "user";
}

void ntmd_engine_offloads(const struct ntmd_engine *engine, struct ntmd_engine_offloads *ret_offloads)
{
	bool refused = engine->train_refused;

	for (unsigned i = 0; engine->shards && i < engine->shards->count; i++) {
		NTMD_USER_LOCKED(engine->shards->shard[i]->engine);
		refused = refused || engine->shards->shard[i]->engine->train_refused;
	}
	*ret_offloads = (struct ntmd_engine_offloads){
		.tso = engine->tun.tso, .uso = engine->tun.uso, .train = !refused};
}

void ntmd_engine_own_set(struct ntmd_engine *engine, const struct ntm_addr *vip4, const struct ntm_addr *vip6)
{
	engine->own[0] = *vip4;
	engine->own[1] = *vip6;
	for (unsigned i = 0; engine->shards && i < engine->shards->count; i++) {
		NTMD_USER_LOCKED(engine->shards->shard[i]->engine);
		memcpy(engine->shards->shard[i]->engine->own, engine->own, sizeof(engine->own));
	}
	if (engine->kernel)
		engine->kernel_ops->own_changed(engine->kernel);
	/* Only now: what applications sent while ntmd was away waits in the device's queue. */
	if (event_add(engine->readable, NULL) < 0)
		ntm_error("cannot watch the device: no packet leaves by it");
	if (engine->shards)
		ntmd_user_shards_start(engine->shards);
}
