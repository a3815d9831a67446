/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_tell.c - what the user engine tells those above it (struct ntmd_engine_ops) and the kernel's part
 * beside it, and when: user_egress.c and user_ingress.c note it while they have packets in hand. Of a path in
 * a shard the control loop tells it.
 */
#include "daemon/user_shard.h"
#include "stats.h"

#define SETTLE_ROUNDS 4 /* what ops change while they are told is acted on at once, this often */

void ntmd_user_path_drop(struct ntmd_engine_path *path, int reason)
{
	ntm_drop_count(reason);
	path->stats.drops++;
}

void ntmd_user_kernel_changed(struct ntmd_engine_path *path)
{
	struct ntmd_engine *main = path->engine->main;

	if (ntmd_user_in_thread(path->engine))
		ntmd_user_shard_tell(path, NTMD_USER_NOTE_CHANGED);
	else
		main->kernel_ops->path_changed(main->kernel, path);
}

void ntmd_user_notes_tell(struct ntmd_engine_path *path, const struct ntmd_user_told *told)
{
	const struct ntmd_engine *engine = path->engine;
	unsigned notes = told->notes;

	if (notes & NTMD_USER_NOTE_ARRIVED && !path->gone)
		engine->ops->arrived(engine->ctx, path->user);
	for (unsigned phase = 0; phase < NTM_TYPE_PHASES; phase++)
		if (notes & (NTMD_USER_NOTE_OPENED << phase) && !path->gone)
			engine->ops->phase_opened(engine->ctx, path->user, phase);
	if (notes & NTMD_USER_NOTE_SOURCE && !path->gone)
		engine->ops->new_source(engine->ctx, path->user, &told->from);
	if (notes & NTMD_USER_NOTE_REPLAYED && !path->gone)
		engine->ops->replayed(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_BULK && !path->gone)
		engine->ops->bulk_received(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_WORN && !path->gone)
		engine->ops->key_worn(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_DEAD && !path->gone)
		engine->ops->bulk_dead(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_UNHEARD && !path->gone)
		engine->ops->unheard(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_FAILED && !path->gone)
		engine->ops->send_failed(engine->ctx, path->user, told->err);
}

static void notes_tell(struct ntmd_engine_path *path)
{
	struct ntmd_user_told told = {.notes = path->notes, .err = path->failed_err};

	if (path->engine->shard) {
		ntmd_user_shard_tell(path, 0);
		return;
	}
	path->notes = 0;
	ntmd_user_notes_tell(path, &told);
}

void ntmd_user_path_settle(struct ntmd_engine_path *path)
{
	if (path->settling) { /* called from ops that are told below */
		path->again = true;
		return;
	}
	if (path->engine->reading) { /* called from ops, or for what the sockets told, between trains */
		ntmd_user_egress_unsettled(path);
		return;
	}
	ntmd_user_path_pin(path);
	path->settling = true;
	for (int i = 0; i < SETTLE_ROUNDS; i++) {
		path->again = false;
		ntmd_user_held_flush(path);
		notes_tell(path);
		if (!path->again || path->gone)
			break;
	}
	path->settling = false;
	ntmd_user_path_unpin(path);
}

/*
 * The last packets of a burst must be acknowledged too, or the sender would take us for dead: what comes
 * during the pause is told at its end.
 */
void ntmd_user_bulk_received(struct ntmd_engine_path *path)
{
	struct ntmd_engine *engine = path->engine;

	if (path->ack_paused) {
		path->ack_owed = true;
		return;
	}
	if (path->gone)
		return;
	path->ack_owed = false;
	path->ack_paused = true;
	path->ack_ms = ntmd_user_now_ms(engine) + NTM_BULK_ACK_MS;
	TAILQ_INSERT_TAIL(&engine->acks, path, acks);
	ntmd_user_timer_arm(engine, path->ack_ms);
	if (engine->shard)
		ntmd_user_shard_tell(path, NTMD_USER_NOTE_BULK);
	else
		engine->ops->bulk_received(engine->ctx, path->user);
}

bool ntmd_user_replay_due(struct ntmd_engine_path *path)
{
	int64_t now = ntmd_user_now_ms(path->engine);

	if (path->gone || (path->replayed_ms && now - path->replayed_ms < NTMD_ENGINE_REPLAYED_MS))
		return false;
	path->replayed_ms = now;
	return true;
}

void ntmd_user_replayed(struct ntmd_engine_path *path)
{
	struct ntmd_engine *engine = path->engine;

	if (!ntmd_user_replay_due(path))
		return;
	if (engine->shard)
		ntmd_user_shard_tell(path, NTMD_USER_NOTE_REPLAYED);
	else
		engine->ops->replayed(engine->ctx, path->user);
}
