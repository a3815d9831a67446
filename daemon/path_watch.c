/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_watch.c - finds out soon that a path in use does not work any more. The engine tells when data goes out and nothing
 * comes (ntmd_engine_ops.unheard); the peer is asked, then handover.c leaves the route. keepalive.c does the same, slowly, for
 * paths without data.
 *
 *	data goes out ... a round trip and 40 ms without anything: Keep Alive, 35 ms, Keep Alive, 35 ms, Keep Alive
 *			  ... a round trip and 60 ms: the route is left
 *
 * That is less than 3 round trips + 200 ms. With the first question the routes that might come next are asked whether they
 * work: one that answers is taken at once.
 */
#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define PATIENCE_MS 40 /* and a round trip, before the first question */
#define AGAIN_MS 35
#define QUESTIONS 3
#define LAST_MS 60 /* and a round trip, after the last one */
#define UNKNOWN_RTT_MS 100

static int64_t rtt_ms(const struct ntmd_path *path)
{
	const struct ntm_rtt *rtt = &path->route[path->active]->rtt;
	uint32_t more;

	if (!rtt->srtt_us)
		rtt = &path->rtt;
	/* It varies; but after one sample nobody knows how much, and two of this must fit into what was promised. */
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

/* Of a route that is not proven, route_probe.c asks. */
static bool is_watched(const struct ntmd_path *path)
{
	return path->state == NTMD_PATH_UP && path->phase >= 0 && path->active >= 0 &&
	       path->route[path->active]->state == NTMD_ROUTE_PROVEN;
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_path *path = arg;
	struct ntmd_move *move = path->move;
	int64_t now = ntm_loop_now_ms(), since = ntmd_engine_path_unheard(path->engine), patience;

	(void)fd;
	(void)what;
	if (!since || !is_watched(path)) {
		move->watch_questions = 0;
		ntmd_engine_path_unheard_forget(path->engine);
		return;
	}
	patience = rtt_ms(path) + PATIENCE_MS;
	if (now - since < patience) { /* something has come, and more was sent behind it */
		move->watch_questions = 0;
		ntm_timer_set_ms(move->watch_timer, patience - (now - since));
		return;
	}
	if (move->watch_questions == QUESTIONS) {
		move->watch_questions = 0;
		ntmd_engine_path_unheard_forget(path->engine);
		ntmd_handover_route_dead(path, move->watch_ms);
		return;
	}
	if (!move->watch_questions++) {
		move->watch_ms = now;
		others_ask(path);
	}
	ask(path);
	ntm_timer_set_ms(move->watch_timer, move->watch_questions < QUESTIONS ? AGAIN_MS : rtt_ms(path) + LAST_MS);
}

void ntmd_path_watch_start(struct ntmd_path *path)
{
	struct ntmd_move *move = ntmd_path_move(path);

	if (move && !move->watch_timer)
		move->watch_timer = ntm_timer_new(path->ntmd->loop.base, on_watch, path);
	if (!move || !move->watch_timer || !is_watched(path)) {
		ntmd_engine_path_unheard_forget(path->engine);
		return;
	}
	move->watch_questions = 0;
	ntm_timer_set_ms(move->watch_timer, rtt_ms(path) + PATIENCE_MS);
}

void ntmd_path_watch_rest(struct ntmd_path *path)
{
	if (!path->move)
		return;
	if (path->move->watch_timer)
		event_free(path->move->watch_timer);
	free(path->move);
	path->move = NULL;
	ntmd_engine_path_unheard_forget(path->engine);
}
