/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * keepalive.c - Keep Alive to the DC and on paths, always acknowledged: they hold NAT mappings, measure the
 * round trip, and find out that the other end is gone. Each path has one tick, which also looks at its keys.
 * To the RS: relay_bind.c.
 */
#include <errno.h>
#include <malloc.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"
#include "stats.h"

#define TICK_BUSY_MS 500 /* while there is traffic, or something to wait for */
#define TICK_IDLE_MS 5000
#define BUSY_FOR_MS 30000
#define REST_MS 10000 /* without data: what only makes the next packet faster is given back */
#define TRIM_MS 1000 /* after the last one that came to rest */
#define UNANSWERED_MS 1000 /* we send and hear nothing: ask */
/* A Keep Alive without answer is sent again after this, or 3 round trips if that is more */
#define AGAIN_MS 300

/* ---- to the DC */

static void dc_done(void *arg, int err, const struct ntm_message *message,
		    const struct ntm_error_message *error)
{
	struct ntmd *ntmd = arg;
	struct ntm_keepalive keepalive;

	(void)error;
	if (err == -ECANCELED)
		return;
	if (err) {
		ntmd_registration_lost(ntmd);
		return;
	}
	if (ntm_msg_keepalive_parse(&keepalive, message->fields, message->len))
		return;
	if (!ntm_endpoint_is_none(&keepalive.observed) &&
	    !ntm_endpoint_equal(&keepalive.observed, &ntmd->registration.observed))
		ntmd_registration_start(ntmd); /* a NAT has changed its mind */
}

void ntmd_keepalive_dc(struct ntmd *ntmd)
{
	uint8_t body[NTM_MSG_HEADER_LEN];

	if (!ntmd_netcheck_is_complete(ntmd))
		ntmd_netcheck_start(ntmd, NULL); /* a relay may have come up since */
	ntm_session_request(&ntmd->dc, NTM_MSG_KEEPALIVE_REQUEST, body, 0, NTM_REQUEST_TIMEOUT_MS, dc_done,
			    ntmd, NULL);
}

/* ---- on a path */

static void ask(struct ntmd_path *path, int64_t now_us)
{
	uint8_t body[NTM_MSG_HEADER_LEN];

	/* One number for all repetitions: a late answer to an early one counts. */
	if (!path->keepalive_us) {
		path->keepalive_us = now_us;
		path->keepalive_number = (uint32_t)ntm_crypto_random_u64();
	}
	path->keepalive_again_us = now_us;
	ntmd_path_control_send(path, &path->route[path->active]->flow, NTM_MSG_KEEPALIVE_REQUEST,
			       path->keepalive_number, body, 0);
	if (path->second >= 0)
		ntmd_path_control_send(path, &path->route[path->second]->flow, NTM_MSG_KEEPALIVE_REQUEST,
				       path->keepalive_number, body, 0);
}

void ntmd_keepalive_ask(struct ntmd_path *path)
{
	if (path->state != NTMD_PATH_UP || path->active < 0 || path->phase < 0 || path->keepalive_us)
		return;
	ask(path, ntm_loop_now_us());
	ntm_timer_set_ms(path->tick, AGAIN_MS);
}

/* 0: nothing to wait for; else when to look again, ms. */
static int64_t liveness(struct ntmd_path *path, const struct ntmd_engine_stats *stats, int64_t now)
{
	int64_t heard = stats->last_rx_ms;
	int64_t again = 3LL * path->rtt.srtt_us / 1000 > AGAIN_MS ? 3LL * path->rtt.srtt_us / 1000 : AGAIN_MS;

	if (path->active < 0 || path->phase < 0)
		return 0;
	if (path->route[path->active]->state != NTMD_ROUTE_PROVEN) {
		/* route.c asks by every way until all have failed; begun again from here, that would never
		 * end. */
		path->keepalive_us = 0;
		path->misses = 0;
		return 0;
	}
	/* Not the path's: a network that stands by is asked, too. */
	if (path->route[path->active]->heard_ms > heard)
		heard = path->route[path->active]->heard_ms;
	if (path->keepalive_us) {
		int64_t waited = now - path->keepalive_again_us / 1000;

		if (waited < again)
			return again - waited;
		if (++path->misses >= NTM_KEEPALIVE_MISSES) {
			ntmd_handover_route_dead(path, path->keepalive_us / 1000);
			return again;
		}
		ask(path, now * 1000);
		return again;
	}
	if (now - heard >= NTM_KEEPALIVE_S * 1000LL ||
	    (stats->last_tx_ms > heard && now - heard >= UNANSWERED_MS)) {
		ask(path, now * 1000);
		return again;
	}
	return 0;
}

/* ---- rest */

static void on_rest(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

/*
 * What only makes the next packet faster is given back; and when no other path has come to rest for a while,
 * the memory goes back to the system, with what handshakes and long answers of the control socket have left.
 */
static void path_rest(struct ntmd_path *path)
{
	struct ntmd *ntmd = path->ntmd;

	ntmd_engine_path_rest(path->engine);
	ntmd_tunnel_rest(path);
	ntmd_path_watch_rest(path);
	ntmd_relay_bind_rest(path);
	if (path->resting)
		return;
	path->resting = true;
	if (!ntmd->rest_timer)
		ntmd->rest_timer = ntm_timer_new(ntmd->loop.base, on_rest, NULL);
	if (ntmd->rest_timer)
		ntm_timer_set_ms(ntmd->rest_timer, TRIM_MS);
}

void ntmd_keepalive_close(struct ntmd *ntmd)
{
	if (ntmd->rest_timer)
		event_free(ntmd->rest_timer);
	ntmd->rest_timer = NULL;
}

/* ---- the tick */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_path *path = arg;
	int64_t now = ntm_loop_now_ms(), last, next;
	struct ntmd_engine_stats stats;

	(void)fd;
	(void)what;
	ntmd_engine_path_stats(path->engine, &stats);
	last = stats.last_tx_ms > stats.last_rx_ms ? stats.last_tx_ms : stats.last_rx_ms;
	if (last < path->up_ms)
		last = path->up_ms;
	if (path->state == NTMD_PATH_UP && now - last >= NTM_PATH_IDLE_S * 1000LL) {
		ntmd_path_close(path, NTM_REASON_IDLE, true);
		return;
	}
	if (now >= path->ck_expires_ms) {
		/* No DC said that both may still talk: one of them may be no member any more. */
		ntm_info("the tunnel to %s was directed too long ago", path->cn->fqdn);
		ntmd_path_close(path, NTM_REASON_RENEW, true);
		return;
	}
	if (path->state != NTMD_PATH_UP && !path->tunnel &&
	    now - path->directed_ms > 2 * NTM_HANDSHAKE_TIMEOUT_MS) {
		ntmd_path_free(path, true); /* the other end never came with the keys */
		return;
	}
	next = now - last < BUSY_FOR_MS ? TICK_BUSY_MS : TICK_IDLE_MS;
	if (now - last < REST_MS)
		path->resting = false;
	else if (path->state == NTMD_PATH_UP)
		path_rest(path);
	if (path->state == NTMD_PATH_UP) {
		int64_t wait = liveness(path, &stats, now);

		ntmd_path_watch_kernel(path, now);
		if (wait && wait < next)
			next = wait;
		if (path->bind.state == NTMD_BIND_NONE && path->bind.name)
			ntmd_relay_bind_start(path);
		if (path->active < 0 && !path->cn->next_path)
			ntmd_route_select(path); /* asks for a new direction, now and then */
		ntmd_session_keys_tick(path);
		ntmd_path_mtu_tick(path, stats.tx_bytes);
		ntmd_route_upkeep(path, now);
		if (now - last < REST_MS ||
		    path->active < 0) /* later there is nothing that remembers when the last try was */
			ntmd_route_retry(path, now);
		if (path->side == NTM_SIDE_REQUESTER &&
		    path->ck_expires_ms - now < NTM_CK_LIFETIME_S * 1000LL / 10)
			ntmd_direction_again(path->cn, NTM_REASON_RENEW);
	}
	ntm_timer_set_ms(path->tick, next);
}

void ntmd_keepalive_start(struct ntmd_path *path)
{
	path->tick = ntm_timer_new(path->ntmd->loop.base, on_tick, path);
	if (path->tick)
		ntm_timer_set_ms(path->tick, TICK_BUSY_MS);
}

void ntmd_keepalive_response(struct ntmd_path *path, uint32_t transaction)
{
	if (path->keepalive_us && transaction == path->keepalive_number) {
		ntm_rtt_add(&path->rtt, (uint32_t)(ntm_loop_now_us() - path->keepalive_us));
		path->keepalive_us = 0;
		path->misses = 0;
		return;
	}
	if (!ntmd_route_keepalive_response(path, transaction))
		ntmd_ping_response(path->cn, transaction);
}

void ntmd_keepalive_heard(struct ntmd_path *path, const struct ntm_flow *from)
{
	/* Of a path that is up, one that we do not know yet is not added here: data from there is to be a
	 * surprise. */
	struct ntmd_route *route =
		path->state == NTMD_PATH_UP ? ntmd_route_find(path, from) : ntmd_route_seen(path, from);

	path->heard_ms = ntm_loop_now_ms();
	ntmd_engine_path_bulk_acked(path->engine);
	if (route && path->active == ntmd_route_index(path, route))
		ntmd_engine_path_heard(path->engine);
	if (route)
		route->heard_ms = path->heard_ms;
	if (path->state == NTMD_PATH_UP)
		return;
	/* Side 1: the other end has the keys of our answer. Where that answer went is proven by this. */
	if (path->phase >= 0) {
		if (route && ntm_endpoint_equal(&path->answer_to, &from->remote))
			ntmd_route_proven(path, route);
		ntmd_path_up(path);
		ntmd_route_probe(path);
	}
}
