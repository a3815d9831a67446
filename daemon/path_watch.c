/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_watch.c - finds out soon that a path in use does not work any more. The engine tells when data goes
 * out and nothing comes (ntmd_engine_ops.unheard); the peer is asked, then handover.c leaves the route.
 * keepalive.c does the same, slowly, for paths without data.
 *
 *	data goes out ... a round trip and 35 ms without anything: Keep Alive, twice more after 25 ms
 *			  ... a round trip and 50 ms: the route is left
 *
 * That is less than 3 round trips + 200 ms, with the one that the peer needs to hear of it. With the first
 * question the routes that might come next are asked whether they work: one that answers is taken at once. If
 * none has by the last question, our leg at the relay is bound again: a NAT of ours may have forgotten it,
 * with the route. If the relay sees us elsewhere then, that is so, and the path moves at once.
 *
 * What BPF sends the engine does not see: while it does, its times are looked at, 40 times a second.
 *
 * Where none of them answers either, the peer's daemon may be dead and its kernel not: BPF goes on opening
 * the inline lane. Then all goes inline for a round trip and 60 ms. What comes back to BPF here shows that
 * the route works, and it stays. That begins with the last question, or, where round trips are so short that
 * the peer's kernel cannot know yet, soon after it.
 */
#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define PATIENCE_MS 35 /* and a round trip, before the first question */
#define AGAIN_MS 25
#define QUESTIONS 3
#define LAST_MS 50 /* and a round trip, after the last one */
#define INLINE_MS 60 /* and a round trip, for the peer's kernel */
#define KERNEL_KNOWS_MS 120 /* that its ntmd is dead (NTM_HEARTBEAT_NS), since the last that it answered */
#define UNKNOWN_RTT_MS 100
#define LOOK_MS 25
#define LOOK_FOR_MS 1000 /* after the last packet that the kernel sent */

static int64_t rtt_ms(const struct ntmd_path *path)
{
	const struct ntm_rtt *rtt = &path->route[path->active]->rtt;
	uint32_t more;

	if (!rtt->srtt_us)
		rtt = &path->rtt;
	/* It varies; but after one sample nobody knows how much, and two of this must fit into what was
	 * promised. */
	more = rtt->srtt_us / 4 + 5000;
	if (2 * rtt->var_us < more)
		more = 2 * rtt->var_us;
	return rtt->srtt_us ? (rtt->srtt_us + more + 999) / 1000 : UNKNOWN_RTT_MS;
}

/* Where packets would go next. */
static void others_ask(struct ntmd_path *path)
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (route->kind && (int)i != path->active && route->state == NTMD_ROUTE_PROVEN)
			ntmd_route_challenge(path, route);
	}
}

static void ask(struct ntmd_path *path)
{
	uint8_t body[NTM_MSG_HEADER_LEN];

	ntmd_path_control_send(path, &path->route[path->active]->flow, NTM_MSG_KEEPALIVE_REQUEST,
			       (uint32_t)ntm_crypto_random_u64(), body, 0);
}

static bool other_answers(const struct ntmd_path *path)
{
	for (unsigned i = 0; i < path->routes; i++) {
		const struct ntmd_route *route = path->route[i];

		if (route->kind && (int)i != path->active && route->state == NTMD_ROUTE_PROVEN &&
		    route->heard_ms >= path->move->watch_ms)
			return true;
	}
	return false;
}

static int64_t kernel_heard_ms(const struct ntmd_path *path)
{
	int64_t tx, rx;

	ntmd_engine_path_kernel_times(path->engine, &tx, &rx);
	return rx;
}

/* Of a route that is not proven, route_probe.c asks. */
static bool is_watched(const struct ntmd_path *path)
{
	return path->state == NTMD_PATH_UP && path->phase >= 0 && path->active >= 0 &&
	       path->route[path->active]->state == NTMD_ROUTE_PROVEN;
}

static void question(struct ntmd_path *path, int64_t now)
{
	struct ntmd_move *move = path->move;

	if (!move->watch_questions++) {
		move->watch_ms = now;
		move->watch_inline = false;
		others_ask(path);
	}
	ask(path);
	if (move->watch_questions == QUESTIONS)
		move->watch_end_ms = now + rtt_ms(path) + LAST_MS;
}

/* All questions are out, and nothing has come yet. When to look again; 0: the route is to be left. */
static int64_t last_resorts(struct ntmd_path *path, int64_t now, int64_t since)
{
	struct ntmd_move *move = path->move;
	int64_t answer_ms = move->watch_ms + rtt_ms(path), kernel_ms = since + KERNEL_KNOWS_MS, next = 0;

	if (now >= answer_ms && path->bind.state == NTMD_BIND_BOUND && path->bind.asked_ms < move->watch_ms &&
	    !other_answers(path))
		ntmd_relay_bind_start(path);
	if (now >= kernel_ms && !move->watch_inline && !other_answers(path) &&
	    ntmd_engine_path_inline_try(path->engine)) {
		move->watch_inline = true;
		move->watch_end_ms = now + rtt_ms(path) + INLINE_MS;
	}
	if (now < move->watch_end_ms)
		next = move->watch_end_ms;
	if (now < answer_ms && answer_ms < next)
		next = answer_ms;
	if (now < kernel_ms && kernel_ms < next)
		next = kernel_ms;
	return next;
}

static void watch_end(struct ntmd_path *path)
{
	path->move->watch_questions = 0;
	ntmd_engine_path_unheard_forget(path->engine);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_path *path = arg;
	struct ntmd_move *move = path->move;
	int64_t now = ntm_loop_now_ms(), since = ntmd_engine_path_unheard(path->engine), patience, next;

	(void)fd;
	(void)what;
	if (!since || !is_watched(path) || kernel_heard_ms(path) > since) {
		watch_end(path);
		return;
	}
	patience = rtt_ms(path) + PATIENCE_MS;
	if (now - since < patience) { /* something has come, and more was sent behind it */
		move->watch_questions = 0;
		ntm_timer_set_ms(move->watch_timer, patience - (now - since));
		return;
	}
	if (move->watch_questions < QUESTIONS)
		question(path, now);
	if (move->watch_questions < QUESTIONS) {
		ntm_timer_set_ms(move->watch_timer, AGAIN_MS);
		return;
	}
	next = last_resorts(path, now, since);
	if (next) {
		ntm_timer_set_ms(move->watch_timer, next - now);
		return;
	}
	watch_end(path);
	ntmd_handover_route_dead(path, move->watch_ms);
}

void ntmd_path_watch_leg_bound(struct ntmd_path *path, const struct ntm_addr *local, int64_t moved_ms)
{
	struct ntmd_move *move = path->move;

	if (!move || !move->watch_questions || moved_ms < move->watch_ms || !is_watched(path) ||
	    !ntm_addr_equal(&path->route[path->active]->flow.local, local))
		return;
	event_del(move->watch_timer);
	watch_end(path);
	ntmd_handover_nat_forgot(path);
}

void ntmd_path_watch_start(struct ntmd_path *path)
{
	struct ntmd_move *move = ntmd_path_move(path);
	int64_t since, waited, patience;

	if (move && !move->watch_timer)
		move->watch_timer = ntm_timer_new(path->ntmd->loop.base, on_watch, path);
	if (!move || !move->watch_timer || !is_watched(path)) {
		ntmd_engine_path_unheard_forget(path->engine);
		return;
	}
	since = ntmd_engine_path_unheard(path->engine);
	waited = since ? ntm_loop_now_ms() - since : 0;
	patience = rtt_ms(path) + PATIENCE_MS;
	move->watch_questions = 0;
	ntm_timer_set_ms(move->watch_timer, waited < patience ? patience - waited : 0);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_path *path = arg;
	struct ntmd_move *move = path->move;
	int64_t now = ntm_loop_now_ms(), tx, rx;
	bool unheard;

	(void)fd;
	(void)what;
	ntmd_engine_path_kernel_times(path->engine, &tx, &rx);
	unheard = tx > move->look_tx_ms && rx == move->look_rx_ms;
	if (unheard && is_watched(path) && ntmd_engine_path_unheard_since(path->engine, move->look_ms))
		ntmd_path_watch_start(path);
	move->look_ms = now - tx < LOOK_FOR_MS ? now : 0;
	move->look_tx_ms = tx;
	move->look_rx_ms = rx;
	if (move->look_ms)
		ntm_timer_set_ms(move->look_timer, LOOK_MS);
}

void ntmd_path_watch_kernel(struct ntmd_path *path, int64_t now_ms)
{
	struct ntmd_move *move = path->move;
	int64_t tx, rx;

	if (move && move->look_ms)
		return;
	ntmd_engine_path_kernel_times(path->engine, &tx, &rx);
	if (!tx || now_ms - tx >= LOOK_FOR_MS)
		return;
	move = ntmd_path_move(path);
	if (move && !move->look_timer)
		move->look_timer = ntm_timer_new(path->ntmd->loop.base, on_look, path);
	if (!move || !move->look_timer)
		return;
	move->look_ms = now_ms;
	move->look_tx_ms = tx;
	move->look_rx_ms = rx;
	ntm_timer_set_ms(move->look_timer, LOOK_MS);
}

void ntmd_path_watch_rest(struct ntmd_path *path)
{
	if (path->move && ntm_loop_now_ms() >= path->move->keep_ms)
		ntmd_path_watch_clear(path);
}

void ntmd_path_watch_clear(struct ntmd_path *path)
{
	if (!path->move)
		return;
	if (path->move->look_timer)
		event_free(path->move->look_timer);
	if (path->move->watch_timer)
		event_free(path->move->watch_timer);
	free(path->move);
	path->move = NULL;
	ntmd_engine_path_unheard_forget(path->engine);
}
