/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_engine.c - the engine that does everything in user space: the paths, whom they lead to, by which
 * routes, and the one timer. Above: path.c through engine.h; below: user_egress.c, user_ingress.c,
 * user_key.c, user_held.c.
 *
 * Control and data share one thread; it does not use more than one core. So that control does not wait long for
 * data, a wake-up of the device or of a socket takes a bounded number of bytes (NTMD_USER_BATCH_BYTES, about a
 * millisecond), and timers, the control socket and DNS come before the next one (NTM_LOOP_DATA); control packets
 * of peers share the data sockets and wait in their queue. A flow is not reordered: one thread reads, seals and
 * sends in the order of the counters.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ntm0.h"
#include "daemon/user_engine.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"
#include "stats.h"

#define SETTLE_ROUNDS 4 /* what ops change while they are told is acted on at once, this often */

/* ---- the engine */

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_engine *engine = arg;
	struct ntmd_engine_path *path;
	int64_t now = ntmd_user_now_ms(engine);

	(void)fd;
	(void)what;
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

void ntmd_user_timer_arm(struct ntmd_engine *engine, int64_t due_ms)
{
	if (due_ms >= engine->timer_ms)
		return;
	engine->timer_ms = due_ms;
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

int ntmd_engine_open(struct ntmd_engine **ret_engine, struct event_base *base,
		     const struct ntmd_engine_config *config, const struct ntmd_engine_ops *ops, void *ctx,
		     char *ret_why, size_t why_len)
{
	struct ntmd_engine *engine = calloc(1, sizeof(*engine));
	int err = -ENOMEM;

	if (!engine)
		goto explain;
	engine->base = base;
	engine->ops = ops;
	engine->ctx = ctx;
	engine->now_us = ntm_loop_now_us;
	engine->timer_ms = INT64_MAX;
	LIST_INIT(&engine->paths);
	TAILQ_INIT(&engine->held);
	engine->piece_room.max = NTM_PIECE_TOTAL;
	TAILQ_INIT(&engine->acks);
	TAILQ_INIT(&engine->unsettled);
	if (ntmd_user_table_init(&engine->by_id) || ntmd_user_table_init(&engine->by_vip))
		goto fail;
	if (config->tun_fd >= 0) {
		ntmd_ntm0_adopt(&engine->tun, config->tun_fd);
	} else {
		err = ntmd_ntm0_open(&engine->tun, config->device, config->mtu, ret_why, why_len);
		if (err) { /* it has explained */
			engine_free(engine);
			return err;
		}
	}
	ntmd_user_ingress_init(engine);
	err = events_make(engine);
	if (err)
		goto fail_tun;
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
	close(engine->tun.fd);
	engine_free(engine);
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

	return key && key->kernel && path->engine->kernel_ops->is_attached(path->engine->kernel) ? "bpf" : "user";
}

void ntmd_engine_offloads(const struct ntmd_engine *engine, struct ntmd_engine_offloads *ret_offloads)
{
	*ret_offloads = (struct ntmd_engine_offloads){
		.tso = engine->tun.tso, .uso = engine->tun.uso, .train = !engine->train_refused};
}

void ntmd_engine_own_set(struct ntmd_engine *engine, const struct ntm_addr *vip4, const struct ntm_addr *vip6)
{
	engine->own[0] = *vip4;
	engine->own[1] = *vip6;
	if (engine->kernel)
		engine->kernel_ops->own_changed(engine->kernel);
	/* Only now: what applications sent while ntmd was away waits in the device's queue. */
	if (event_add(engine->readable, NULL) < 0)
		ntm_error("cannot watch the device: no packet leaves by it");
}

/* ---- finding paths */

static uint64_t vip_hash(const struct ntmd_engine *engine, const struct ntm_addr *vip)
{
	uint64_t word[2];

	memcpy(word, vip->b, sizeof(word));
	return ntmd_user_table_hash(&engine->by_vip, word[0], word[1]);
}

struct ntmd_engine_path *ntmd_user_path_by_id(const struct ntmd_engine *engine, uint64_t id)
{
	struct ntmd_user_link *link =
		ntmd_user_table_first(&engine->by_id, ntmd_user_table_hash(&engine->by_id, id, 0));

	for (; link; link = ntmd_user_table_next(link)) {
		struct ntmd_engine_path *path = ntmd_user_entry(link, struct ntmd_engine_path, by_id);

		if (path->id == id)
			return path;
	}
	return NULL;
}

struct ntmd_engine_path *ntmd_user_path_by_vip(const struct ntmd_engine *engine, const struct ntm_addr *vip)
{
	struct ntmd_user_link *link = ntmd_user_table_first(&engine->by_vip, vip_hash(engine, vip));
	bool is4 = ntm_addr_is4(vip);

	for (; link; link = ntmd_user_table_next(link)) {
		struct ntmd_engine_path *path =
			is4 ? ntmd_user_entry(link, struct ntmd_engine_path, by_vip[0])
			    : ntmd_user_entry(link, struct ntmd_engine_path, by_vip[1]);

		if (ntm_addr_equal(&path->vip[!is4], vip))
			return path;
	}
	return NULL;
}

/* ---- paths */

struct ntmd_engine_path *ntmd_engine_path_add(struct ntmd_engine *engine, void *user)
{
	struct ntmd_engine_path *path;

	if (engine->path_count >= NTM_PATHS_MAX) {
		ntm_drop_count(NTM_DROP_LIMIT);
		return NULL;
	}
	path = calloc(1, sizeof(*path));
	if (!path)
		return NULL;
	path->engine = engine;
	path->user = user;
	path->phase = -1;
	TAILQ_INIT(&path->held);
	LIST_INSERT_HEAD(&engine->paths, path, all);
	engine->path_count++;
	return path;
}

static void vip_map(struct ntmd_engine_path *path, int family, const struct ntm_addr *vip)
{
	struct ntmd_engine *engine = path->engine;

	ntmd_user_table_remove(&engine->by_vip, &path->by_vip[family]);
	path->vip[family] = *vip;
	if (!ntm_addr_is_none(vip))
		ntmd_user_table_insert(&engine->by_vip, &path->by_vip[family], vip_hash(engine, vip));
}

void ntmd_engine_path_map(struct ntmd_engine_path *path, const struct ntm_addr *vip4,
			  const struct ntm_addr *vip6)
{
	static const struct ntm_addr none;

	vip_map(path, 0, ntm_addr_is4(vip4) ? vip4 : &none);
	vip_map(path, 1, ntm_addr_is4(vip6) ? &none : vip6);
	ntmd_user_path_changed(path);
}

int ntmd_engine_path_identify(struct ntmd_engine_path *path, uint64_t path_id, enum ntm_side side)
{
	struct ntmd_engine *engine = path->engine;
	struct ntmd_engine_path *other = ntmd_user_path_by_id(engine, path_id);

	if (other && other != path)
		return -EEXIST;
	ntmd_user_table_remove(&engine->by_id, &path->by_id);
	path->id = path_id;
	path->side = (uint8_t)side;
	path->identified = true;
	ntmd_user_table_insert(&engine->by_id, &path->by_id,
			       ntmd_user_table_hash(&engine->by_id, path_id, 0));
	ntmd_user_path_changed(path);
	ntmd_user_path_settle(path);
	return 0;
}

void ntmd_engine_path_hand_over(struct ntmd_engine_path *from, struct ntmd_engine_path *to)
{
	if (from == to)
		return;
	for (int family = 0; family < 2; family++) {
		struct ntm_addr vip = from->vip[family];

		if (!from->by_vip[family].in)
			continue;
		ntmd_user_table_remove(&from->engine->by_vip, &from->by_vip[family]);
		if (ntm_addr_is_none(&to->vip[family]) || ntm_addr_equal(&to->vip[family], &vip))
			vip_map(to, family, &vip);
	}
	from->replaced = true;
	to->replaced = false;
	ntmd_user_path_changed(to); /* first: nothing goes to nobody meanwhile */
	ntmd_user_path_changed(from);
	ntmd_user_held_move(from, to);
	ntmd_user_resume_move(from, to);
	ntmd_user_path_changed(to);
	ntmd_user_path_settle(to);
}

void ntmd_engine_path_delete(struct ntmd_engine_path *path, bool refuse)
{
	struct ntmd_engine *engine = path->engine;

	if (path->gone)
		return;
	if (engine->kernel)
		engine->kernel_ops->path_deleted(engine->kernel, path, path->replaced);
	path->gone = true;
	ntmd_user_train_forget(path);
	ntmd_user_held_clear(path, refuse);
	ntmd_user_piece_clear(path);
	ntmd_user_resume_clear(path);
	ntmd_user_key_drop_all(path);
	ntmd_user_table_remove(&engine->by_id, &path->by_id);
	for (int family = 0; family < 2; family++)
		ntmd_user_table_remove(&engine->by_vip, &path->by_vip[family]);
	if (path->ack_paused)
		TAILQ_REMOVE(&engine->acks, path, acks);
	path->ack_paused = false;
	if (path->unsettled)
		TAILQ_REMOVE(&engine->unsettled, path, to_settle);
	path->unsettled = false;
	LIST_REMOVE(path, all);
	engine->path_count--;
	free(path->source);
	path->source = NULL;
	path->sources = 0;
	if (!path->pins)
		free(path);
}

void ntmd_user_path_unpin(struct ntmd_engine_path *path)
{
	if (!--path->pins && path->gone)
		free(path);
}

/* ---- routes */

/*
 * What may go to routes that are not proven, whoever makes us choose them: a peer that says every moment that it is elsewhere
 * now gets no more than one that says it once a second. The kernel counts its half itself: all of it is taken to be spent.
 */
static uint64_t unproven_left(struct ntmd_engine_path *path, uint64_t bytes)
{
	int64_t now = ntmd_user_now_ms(path->engine), since = now - path->unproven_ms;
	uint64_t back;

	if (path->unproven_bytes)
		path->unproven_spent += path->unproven_sent + (path->kernel ? path->unproven_bytes / 2 : 0);
	back = since < NTMD_USER_UNPROVEN_MS ? NTM_UNPROVEN_BYTES * (uint64_t)since / NTMD_USER_UNPROVEN_MS :
					       path->unproven_spent;
	path->unproven_spent -= back < path->unproven_spent ? back : path->unproven_spent;
	path->unproven_ms = now;
	if (!bytes)
		return 0;
	return bytes > path->unproven_spent ? bytes - path->unproven_spent : 1;
}

void ntmd_engine_path_route_set(struct ntmd_engine_path *path, const struct ntm_flow *route,
				const struct ntm_flow *second, uint64_t unproven_bytes)
{
	path->has_route = route != NULL;
	path->has_second = route && second;
	if (path->has_route)
		path->route = *route;
	if (path->has_second)
		path->second = *second;
	path->route_serial++;
	path->unproven_bytes = unproven_left(path, unproven_bytes);
	path->unproven_sent = 0;
	path->retry_ms = 0;
	path->failed_told = false;
	path->mtu_learned = 0;
	path->train_refused = false;
	ntmd_user_path_changed(path);
	ntmd_user_path_settle(path);
}

void ntmd_engine_path_relayed_set(struct ntmd_engine_path *path, bool relayed)
{
	path->relayed = relayed;
}

void ntmd_engine_path_sources_set(struct ntmd_engine_path *path, const struct ntm_endpoint *source,
				  unsigned count)
{
	struct ntm_endpoint *copy = NULL;

	if (count > NTM_ROUTES_MAX)
		count = NTM_ROUTES_MAX;
	if (count) {
		copy = malloc(count * sizeof(*copy));
		if (!copy) /* then these endpoints are told as new ones: they are delivered all the same */
			count = 0;
		else
			memcpy(copy, source, count * sizeof(*copy));
	}
	free(path->source);
	path->source = copy;
	path->sources = count;
}

void ntmd_engine_path_bulk_acked(struct ntmd_engine_path *path)
{
	bool was_dead = path->bulk_dead;

	path->bulk_dead = false;
	path->bulk_waiting = false;
	if (was_dead)
		ntmd_user_path_changed(path);
	ntmd_user_path_settle(path);
}

bool ntmd_engine_path_inline_try(struct ntmd_engine_path *path)
{
	const struct ntmd_user_key *key = ntmd_user_key_sending(path);

	if (!key || !key->kernel)
		return false;
	if (!path->bulk_dead) {
		path->bulk_dead = true;
		path->notes |= NTMD_USER_NOTE_DEAD;
		ntmd_user_path_changed(path);
	}
	path->resume_due = true;
	ntmd_user_path_settle(path);
	return true;
}

void ntmd_engine_path_kernel_times(const struct ntmd_engine_path *path, int64_t *ret_tx_ms, int64_t *ret_rx_ms)
{
	struct ntmd_engine_stats stats = {0};

	if (path->engine->kernel)
		path->engine->kernel_ops->path_stats(path->engine->kernel, path, &stats);
	*ret_tx_ms = stats.last_tx_ms;
	*ret_rx_ms = stats.last_rx_ms;
}

void ntmd_engine_path_heard(struct ntmd_engine_path *path)
{
	path->unheard_ms = 0;
}

int64_t ntmd_engine_path_unheard(struct ntmd_engine_path *path)
{
	path->unheard_told = path->unheard_told && path->unheard_ms;
	return path->unheard_ms;
}

bool ntmd_engine_path_unheard_since(struct ntmd_engine_path *path, int64_t since_ms)
{
	if (path->unheard_told)
		return false;
	path->unheard_ms = since_ms;
	path->unheard_told = true;
	return true;
}

void ntmd_engine_path_unheard_forget(struct ntmd_engine_path *path)
{
	path->unheard_ms = 0;
	path->unheard_told = false;
}

void ntmd_engine_path_expect(struct ntmd_engine_path *path)
{
	path->expecting = true;
}

void ntmd_engine_path_mtu_set(struct ntmd_engine_path *path, unsigned mtu)
{
	if (path->mtu == mtu)
		return;
	path->mtu = mtu;
	ntmd_user_path_changed(path);
}

/* ---- telling */

void ntmd_user_path_drop(struct ntmd_engine_path *path, int reason)
{
	ntm_drop_count(reason);
	path->stats.drops++;
}

static void notes_tell(struct ntmd_engine_path *path)
{
	const struct ntmd_engine *engine = path->engine;
	unsigned notes = path->notes;

	path->notes = 0;
	if (notes & NTMD_USER_NOTE_WORN && !path->gone)
		engine->ops->key_worn(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_DEAD && !path->gone)
		engine->ops->bulk_dead(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_UNHEARD && !path->gone)
		engine->ops->unheard(engine->ctx, path->user);
	if (notes & NTMD_USER_NOTE_FAILED && !path->gone)
		engine->ops->send_failed(engine->ctx, path->user, path->failed_err);
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
	engine->ops->bulk_received(engine->ctx, path->user);
}

void ntmd_engine_path_stats(const struct ntmd_engine_path *path, struct ntmd_engine_stats *ret_stats)
{
	*ret_stats = path->stats;
	ret_stats->lane = path->bulk_dead ? NTM_LANE_INLINE : NTM_LANE_BULK;
	if (path->engine->kernel)
		path->engine->kernel_ops->path_stats(path->engine->kernel, path, ret_stats);
}
