/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_event.c - what the BPF programs tell by the ring buffer (struct ntm_event). They send it by
 * bpf/event.h; it is read for bpf_engine.c, and goes on to the path it is about, and to path.c by engine.h.
 */
#include <ntm/maps.h>

#include "daemon/bpf_internal.h"

static void phase_opened(struct ntmd_engine_path *path, const struct ntm_event *event)
{
	struct ntmd_engine *engine = path->engine;

	for (unsigned phase = 0; phase < NTM_TYPE_PHASES; phase++) {
		struct ntmd_user_key *key = path->key[phase];

		if (!key || !key->kernel || key->kernel->tag != (uint32_t)event->value || key->opened)
			continue;
		key->opened = true;
		engine->ops->phase_opened(engine->ctx, path->user, phase);
		return;
	}
}

int ntmd_bpf_event_take(void *ctx, void *data, size_t size)
{
	struct ntmd_kernel *kernel = ctx;
	struct ntmd_engine *engine = kernel->engine;
	const struct ntm_event *event = data;
	struct ntmd_engine_path *path;
	struct ntmd_engine *home; /* the path's */

	if (size < sizeof(*event) || event->slot >= ntmd_maps_slots(ntmd_bpf_set_maps(kernel->now->set)) ||
	    !kernel->by_slot[event->slot])
		return 0;
	path = kernel->by_slot[event->slot]->path;
	if (!path || path->id != event->path_id || path->kernel->inherited)
		return 0;
	home = ntmd_user_lock(path->engine);
	ntmd_user_path_pin(path);
	switch (event->kind) {
	case NTM_EVENT_PHASE_OPENED:
		phase_opened(path, event);
		break;
	case NTM_EVENT_COUNTER_WORN:
		path->kernel->worn = true;
		engine->ops->key_worn(engine->ctx, path->user);
		break;
	case NTM_EVENT_NO_ROUTE:
		/* Rules that hold for sockets need not hold for it. If there is no way at all, sending will
		 * tell. */
		path->kernel->blocked = true;
		path->kernel->blocked_serial = path->route_serial;
		ntmd_user_path_changed(path);
		break;
	case NTM_EVENT_TOO_BIG:
		if (event->value < 576 || (path->mtu_learned && path->mtu_learned <= event->value))
			break;
		path->mtu_learned = (unsigned)event->value;
		ntmd_user_path_changed(path);
		break;
	case NTM_EVENT_ARRIVED:
		if (!path->expecting)
			break;
		path->expecting = false;
		ntmd_user_path_changed(path);
		engine->ops->arrived(engine->ctx, path->user);
		break;
	case NTM_EVENT_REPLAY:
		if (ntmd_user_replay_due(path))
			engine->ops->replayed(engine->ctx, path->user);
		break;
	}
	ntmd_user_path_unpin(path);
	ntmd_user_unlock(home);
	return 0;
}
