/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_held.c - packets of applications that wait for a tunnel or a route: user_egress.c puts them here when
 * it cannot send, and gets them back in order when it can. Bounded in bytes (NTM_HELD_BYTES a path,
 * NTMD_USER_HELD_TOTAL in all, of which each shard has its share) and in age (NTM_HELD_MS): an answer that
 * comes later helps no application.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/inner.h"
#include "daemon/user_engine.h"

/* What a held packet costs: its own memory too, or tiny packets would hold much more than the bound. */
static unsigned cost(size_t len)
{
	return (unsigned)(sizeof(struct ntmd_user_held) + len);
}

void ntmd_user_held_remove(struct ntmd_user_held *held)
{
	struct ntmd_engine_path *path = held->path;

	TAILQ_REMOVE(&path->held, held, in_path);
	TAILQ_REMOVE(&path->engine->held, held, in_engine);
	path->stats.held_packets--;
	path->stats.held_bytes -= cost(held->len);
	path->engine->held_bytes -= cost(held->len);
	free(held);
	if (!path->stats.held_packets) /* new ones need not wait behind it any more */
		ntmd_user_path_changed(path);
}

static void drop(struct ntmd_user_held *held, int reason)
{
	struct ntmd_engine_path *path = held->path;

	ntmd_user_held_remove(held);
	ntmd_user_path_drop(path, reason);
}

/* The oldest that may go: not those that are just being sent, which can lead to another being put here. */
static struct ntmd_user_held *oldest_of(const struct ntmd_engine_path *path)
{
	struct ntmd_user_held *oldest = TAILQ_FIRST(&path->held);

	while (oldest && oldest->going)
		oldest = TAILQ_NEXT(oldest, in_path);
	return oldest;
}

void ntmd_user_held_put(struct ntmd_engine_path *path, const uint8_t *packet, size_t len)
{
	struct ntmd_engine *engine = path->engine;
	struct ntmd_user_held *held, *oldest;

	if (path->gone) {
		ntmd_user_path_drop(path, NTM_DROP_NO_PATH);
		return;
	}
	while ((path->stats.held_bytes + cost(len) > NTM_HELD_BYTES ||
		engine->held_bytes + cost(len) > engine->held_max) &&
	       (oldest = oldest_of(path)))
		drop(oldest, NTM_DROP_HELD_FULL);
	held = engine->held_bytes + cost(len) > engine->held_max ? NULL : malloc(sizeof(*held) + len);
	if (!held) {
		ntmd_user_path_drop(path, NTM_DROP_HELD_FULL);
		return;
	}
	held->path = path;
	held->since_ms = ntmd_user_now_ms(engine);
	held->len = (unsigned)len;
	held->going = false;
	memcpy(held->packet, packet, len);
	TAILQ_INSERT_TAIL(&path->held, held, in_path);
	TAILQ_INSERT_TAIL(&engine->held, held, in_engine);
	path->stats.held_packets++;
	path->stats.held_bytes += cost(len);
	engine->held_bytes += cost(len);
	if (path->stats.held_packets == 1)
		ntmd_user_path_changed(path);
	ntmd_user_timer_arm(engine, held->since_ms + NTM_HELD_MS);
}

void ntmd_user_held_expire(struct ntmd_engine *engine)
{
	int64_t now = ntmd_user_now_ms(engine);
	struct ntmd_user_held *held;

	while ((held = TAILQ_FIRST(&engine->held)) && now - held->since_ms >= NTM_HELD_MS) {
		struct ntmd_engine_path *path = held->path;

		ntmd_user_held_remove(held);
		ntmd_user_path_drop(path,
				    ntmd_user_key_spent(path) ? NTM_DROP_KEY_EXPIRED : NTM_DROP_HELD_OLD);
	}
	if (held)
		ntmd_user_timer_arm(engine, held->since_ms + NTM_HELD_MS);
}

/*
 * As many as one train takes: after an interruption there may be a thousand, and whoever waits for the
 * control loop meanwhile (the relay's challenge, say) should not wait long. How many went, or -EAGAIN: the
 * first one did not.
 */
static int train_flush(struct ntmd_engine_path *path)
{
	struct ntmd_user_held *going[NTM_UDP_SEGMENTS_MAX], *held = TAILQ_FIRST(&path->held);
	unsigned count = 0, done = 0;
	int err;

	while (held && count < NTM_UDP_SEGMENTS_MAX &&
	       ntmd_user_egress_gather(path, held->packet, held->len)) {
		held->going = true;
		going[count++] = held;
		held = TAILQ_NEXT(held, in_path);
	}
	if (!count)
		return 0;
	err = ntmd_user_train_flush_some(path, &done);
	if (path->gone) /* and all that it held */
		return -EAGAIN;
	for (unsigned i = 0; i < count; i++) {
		going[i]->going = false;
		if (i >= done)
			continue;
		ntmd_user_resume_note(path, going[i]->packet, going[i]->len);
		ntmd_user_held_remove(going[i]);
	}
	return err ? err : (int)count;
}

static int one_flush(struct ntmd_engine_path *path)
{
	struct ntmd_user_held *held = TAILQ_FIRST(&path->held);
	int err;

	held->going = true;
	err = ntmd_user_egress_send(path, held->packet, held->len);
	if (path->gone) /* and all that it held */
		return -EAGAIN;
	held->going = false;
	if (!err)
		ntmd_user_held_remove(held);
	return err;
}

void ntmd_user_held_flush(struct ntmd_engine_path *path)
{
	int err = 0;

	ntmd_user_held_expire(path->engine);
	if (path->resume_due && ntmd_user_egress_can_send(path))
		ntmd_user_resume_send(path); /* older than what waits */
	while (err >= 0 && !TAILQ_EMPTY(&path->held)) {
		err = train_flush(path);
		if (!err && !TAILQ_EMPTY(&path->held))
			err = one_flush(path);
	}
}

void ntmd_user_held_clear(struct ntmd_engine_path *path, bool refuse)
{
	uint8_t error[NTMD_INNER_ERROR_MAX];
	struct ntmd_user_held *held;
	size_t len;

	while ((held = TAILQ_FIRST(&path->held))) {
		if (refuse) {
			len = ntmd_inner_unreachable_build(error, held->packet, held->len);
			if (len && ntmd_user_ingress_write(path->engine, error, len))
				ntmd_user_path_drop(path, NTM_DROP_TUN_WRITE);
		}
		drop(held, NTM_DROP_NO_PATH);
	}
}

void ntmd_user_held_take(struct ntmd_engine_path *path, struct ntmd_engine *to)
{
	struct ntmd_user_held *held, *before;

	TAILQ_FOREACH (held, &path->held, in_path) {
		TAILQ_REMOVE(&path->engine->held, held, in_engine);
		before = TAILQ_LAST(&to->held, ntmd_user_held_list);
		while (before && before->since_ms > held->since_ms)
			before = TAILQ_PREV(before, ntmd_user_held_list, in_engine);
		if (before)
			TAILQ_INSERT_AFTER(&to->held, before, held, in_engine);
		else
			TAILQ_INSERT_HEAD(&to->held, held, in_engine);
		ntmd_user_timer_arm(to, held->since_ms + NTM_HELD_MS);
	}
	path->engine->held_bytes -= path->stats.held_bytes;
	to->held_bytes += path->stats.held_bytes;
}

/* Packets to one peer went to the older path first: they stay in front. */
void ntmd_user_held_move(struct ntmd_engine_path *from, struct ntmd_engine_path *to)
{
	struct ntmd_user_held *held;

	if (from->engine != to->engine)
		ntmd_user_held_take(from, to->engine);
	TAILQ_FOREACH (held, &from->held, in_path)
		held->path = to;
	TAILQ_CONCAT(&from->held, &to->held, in_path);
	TAILQ_CONCAT(&to->held, &from->held, in_path);
	to->stats.held_packets += from->stats.held_packets;
	to->stats.held_bytes += from->stats.held_bytes;
	from->stats.held_packets = 0;
	from->stats.held_bytes = 0;
	while (to->stats.held_bytes > NTM_HELD_BYTES && (held = oldest_of(to)))
		drop(held, NTM_DROP_HELD_FULL);
}
