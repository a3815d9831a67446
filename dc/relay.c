/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay.c - the relays this DC directs: which of them live, how loaded they are, and the Relay Directions and
 * withdrawals to them. An RS keeps nothing over a restart, so one that forgot gets all its paths again.
 * Codec: lib/msg_relay.c; the other end: rs/relay.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "crypto.h"
#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"
#include "stats.h"

static void keepalive_send(struct dc_relay *relay);
static void redirect_some(struct dc_relay *relay);

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	keepalive_send(arg);
}

int dc_relay_open(struct dc *dc, char *ret_why, size_t why_len)
{
	dc->relay = calloc(dc->config.relays ? dc->config.relays : 1, sizeof(*dc->relay));
	if (!dc->relay) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	for (unsigned i = 0; i < dc->config.relays; i++) {
		const struct dc_config_relay *config = &dc->config.relay[i];
		struct dc_relay *relay = &dc->relay[i];
		int err;

		relay->dc = dc;
		relay->config = config;
		relay->number = i;
		TAILQ_INIT(&relay->directed);
		TAILQ_INIT(&relay->undirected);
		relay->actor.kind = DC_ACTOR_RELAY;
		memcpy(relay->actor.peer.key, config->public_key, NTM_KEY_LEN);
		relay->actor.peer.server = config->endpoint;
		relay->actor.peer.servers = config->endpoints;
		for (unsigned j = 0; j < config->endpoints; j++)
			*(ntm_endpoint_is4(&config->endpoint[j]) ? &relay->has4 : &relay->has6) = true;
		err = ntm_peer_add(&dc->sessions, &relay->actor.peer);
		if (err) {
			snprintf(ret_why, why_len,
				 "[relay \"%s\"]: its public key is somebody else's in this configuration "
				 "too: each DC and relay has its own",
				 config->name);
			return err;
		}
		dc->relays++;
	}
	return 0;
}

void dc_relay_start(struct dc *dc)
{
	for (unsigned i = 0; i < dc->relays; i++) {
		dc->relay[i].timer = ntm_timer_new(dc->loop.base, timer_fired, &dc->relay[i]);
		keepalive_send(&dc->relay[i]);
	}
}

/* The paths are gone before. */
void dc_relay_close(struct dc *dc)
{
	for (unsigned i = 0; i < dc->relays; i++) {
		struct event *timer = dc->relay[i].timer;

		dc->relay[i].timer = NULL; /* what the removal ends is not begun again */
		ntm_peer_remove(&dc->relay[i].actor.peer);
		if (timer)
			event_free(timer);
	}
	free(dc->relay);
	dc->relay = NULL;
	dc->relays = 0;
}

struct dc_relay *dc_relay_find(struct dc *dc, const char *name)
{
	for (unsigned i = 0; i < dc->relays; i++)
		if (!strcmp(dc->relay[i].config->name, name))
			return &dc->relay[i];
	return NULL;
}

void dc_relay_info(const struct dc_relay *relay, struct ntm_relay_info *ret_info)
{
	memset(ret_info, 0, sizeof(*ret_info));
	strcpy(ret_info->name, relay->config->name);
	memcpy(ret_info->server, relay->config->endpoint, sizeof(ret_info->server));
	ret_info->servers = relay->config->endpoints;
}

/* ---- which of them live */

static void relay_down(struct dc_relay *relay, const char *why)
{
	if (!relay->alive)
		return;
	relay->alive = false;
	ntm_warn("the relay %s does not answer: %s", relay->config->name, why);
	dc_control_tell(relay->dc, "relay_down", NULL, relay->config->name, why);
}

void dc_relay_answered(struct dc_relay *relay)
{
	relay->misses = 0;
	if (!relay->alive) {
		relay->alive = true;
		ntm_notice("the relay %s answers", relay->config->name);
		dc_control_tell(relay->dc, "relay_up", NULL, relay->config->name, NULL);
	}
}

void dc_relay_lost(struct dc_relay *relay)
{
	relay->forgot = true;
	if (relay->timer)
		ntm_timer_set_ms(relay->timer, 0);
}

/* What it was directed before is unknown to it. */
static void all_again(struct dc_relay *relay)
{
	struct dc_path *path;

	relay->forgot = false;
	TAILQ_FOREACH (path, &relay->directed, by_relay)
		path->relay_directed = false;
	TAILQ_CONCAT(&relay->undirected, &relay->directed, by_relay);
	if (!TAILQ_EMPTY(&relay->undirected))
		ntm_notice("the relay %s has started anew: directing its %u paths again", relay->config->name,
			   relay->paths);
}

static void boot_learn(struct dc_relay *relay, uint64_t boot_id)
{
	if (relay->boot_id && relay->boot_id != boot_id)
		all_again(relay);
	relay->boot_id = boot_id;
	redirect_some(relay);
}

static void keepalive_done(void *arg, int err, const struct ntm_message *message,
			   const struct ntm_error_message *error)
{
	struct dc_relay *relay = arg;

	(void)message;
	if (!relay->timer)
		return; /* closing */
	if (!err || err == -EREMOTEIO) {
		dc_relay_answered(relay);
		if (relay->forgot)
			all_again(relay);
		redirect_some(relay);
		if (error)
			ntm_warn("the relay %s refuses a keepalive: %s", relay->config->name, error->text);
	} else if (++relay->misses >= DC_RELAY_MISSES) {
		relay_down(relay, strerror(-err));
	}
	ntm_timer_set_ms(relay->timer, err && err != -EREMOTEIO ? DC_RELAY_RETRY_MS : DC_RELAY_KEEPALIVE_MS);
}

static void keepalive_send(struct dc_relay *relay)
{
	struct ntm_keepalive keepalive = {0};
	uint8_t body[DC_BODY_MAX];
	int err, n = ntm_msg_keepalive_build(DC_FIELDS(body), DC_FIELDS_MAX, &keepalive);

	if (n < 0 || !relay->timer)
		return;
	err = ntm_session_request(&relay->actor.peer, NTM_MSG_KEEPALIVE_REQUEST, body, (size_t)n,
				  DC_RELAY_KEEPALIVE_MS, keepalive_done, relay, NULL);
	if (err)
		keepalive_done(relay, err, NULL, NULL);
}

/* ---- draining: its paths go to other relays, by new directions */

static void draining_learn(struct dc_relay *relay, bool draining)
{
	if (relay->draining == draining)
		return;
	relay->draining = draining;
	if (draining)
		ntm_notice("the relay %s is being drained of its %u paths", relay->config->name,
			   relay->paths);
	else
		ntm_notice("the relay %s takes paths again", relay->config->name);
	dc_control_tell(relay->dc, draining ? "relay_draining" : "relay_up", NULL, relay->config->name, NULL);
}

static bool is_movable(const struct dc_path *path, int64_t now_ms)
{
	return !path->direction && !path->closing && !path->foreign &&
	       (!path->move_ms || now_ms - path->move_ms >= DC_RELAY_MOVE_MS);
}

/* A path that finds no other relay, or whose nodes are away, stays, and is tried again. */
static void paths_move(struct dc_relay *relay, int64_t now_ms)
{
	unsigned count = relay->paths;

	if (count > DC_RELAY_MOVES)
		count = DC_RELAY_MOVES;
	while (count--) {
		struct dc_path *path = TAILQ_FIRST(&relay->directed);

		if (!path)
			return;
		/* Each has its turn; a direction may change this list in any way. */
		TAILQ_REMOVE(&relay->directed, path, by_relay);
		TAILQ_INSERT_TAIL(&relay->directed, path, by_relay);
		if (!is_movable(path, now_ms))
			continue;
		path->move_ms = now_ms;
		dc_direction_renew(path, NTM_REASON_HANDOVER);
	}
}

void dc_relay_tick(struct dc *dc, int64_t now_ms)
{
	bool other = false;

	for (unsigned i = 0; i < dc->relays; i++)
		other |= dc->relay[i].alive && !dc->relay[i].draining;
	for (unsigned i = 0; i < dc->relays && other; i++) {
		if (dc->relay[i].draining && dc->relay[i].alive)
			paths_move(&dc->relay[i], now_ms);
	}
}

void dc_relay_report_handle(struct dc *dc, struct dc_relay *relay, const struct ntm_message *message)
{
	struct ntm_relay_report report;
	int drop = ntm_msg_relay_report_parse(&report, message->fields, message->len);

	(void)dc;
	if (drop < 0) {
		ntm_drop_count(drop);
		return;
	}
	relay->load = report.load;
	draining_learn(relay, report.draining);
	dc_relay_answered(relay);
	boot_learn(relay, report.boot_id);
}

/* ---- Relay Direction */

static void direct_done(void *arg, int err, const struct ntm_message *message,
			const struct ntm_error_message *error)
{
	struct dc_path *path = arg;
	struct dc_relay *relay = path->relay;
	struct ntm_relay_response response;
	dc_relay_done done = path->relay_done;
	void *done_arg = path->relay_arg;
	bool again = path->relay_again;

	path->relay_request = NULL;
	path->relay_done = NULL;
	path->relay_again = false;
	if (!err && ntm_msg_relay_response_parse(&response, message->fields, message->len))
		err = -EBADMSG;
	if (!err)
		path->relay_bound = response.bound;
	if (err == -ETIMEDOUT)
		relay_down(relay, "a Relay Direction timed out");
	else if (err != -ECANCELED)
		dc_relay_answered(relay);
	if (again) {
		relay->redirects--;
		if (err) { /* once more when it answers again */
			TAILQ_REMOVE(path->relay_directed ? &relay->directed : &relay->undirected, path,
				     by_relay);
			path->relay_directed = false;
			TAILQ_INSERT_TAIL(&relay->undirected, path, by_relay);
		}
	}
	/* the path may be gone after done */
	if (done)
		done(done_arg, err, error ? error->text : err ? "the relay does not answer" : NULL);
	if (!err)
		boot_learn(relay, response.boot_id);
}

static int64_t direct_timeout_ms(const struct dc_relay *relay)
{
	int64_t ms = DC_RELAY_PATIENCE_MS + 8LL * relay->actor.peer.rtt.srtt_us / 1000;

	return relay->actor.peer.rtt.srtt_us && ms < DC_RELAY_TIMEOUT_MS ? ms : DC_RELAY_TIMEOUT_MS;
}

int dc_relay_direct(struct dc_path *path, const uint8_t ck[NTM_KEY_LEN], uint32_t lifetime_s,
		    dc_relay_done done, void *arg)
{
	struct ntm_relay_direction direction = {
		.path_id = path->id, .lifetime_s = lifetime_s, .rate = path->relay->config->path_rate};
	uint8_t body[DC_BODY_MAX];
	int n, err;

	for (uint8_t side = 0; side < 2; side++)
		ntm_bind_leg_key(direction.leg_key[side], ck, path->id, side);
	n = ntm_msg_relay_direction_build(DC_FIELDS(body), DC_FIELDS_MAX, &direction);
	ntm_crypto_wipe(direction.leg_key, sizeof(direction.leg_key));
	if (n < 0)
		return n;
	dc_relay_direct_cancel(path);
	err = ntm_session_request(&path->relay->actor.peer, NTM_MSG_RELAY_DIRECTION, body, (size_t)n,
				  direct_timeout_ms(path->relay), direct_done, path, &path->relay_request);
	ntm_crypto_wipe(body, sizeof(body));
	if (err)
		return err;
	path->relay_done = done;
	path->relay_arg = arg;
	return 0;
}

void dc_relay_direct_cancel(struct dc_path *path)
{
	if (!path->relay_request)
		return;
	ntm_session_cancel(path->relay_request);
	path->relay_request = NULL;
	path->relay_done = NULL;
	if (path->relay_again)
		path->relay->redirects--;
	path->relay_again = false;
}

/* Directs paths again that the relay forgot, DC_RELAY_REDIRECTS at a time. */
static void redirect_some(struct dc_relay *relay)
{
	struct dc_path *path;

	while (relay->alive && relay->redirects < DC_RELAY_REDIRECTS &&
	       (path = TAILQ_FIRST(&relay->undirected))) {
		TAILQ_REMOVE(&relay->undirected, path, by_relay);
		TAILQ_INSERT_TAIL(&relay->directed, path, by_relay);
		path->relay_directed = true;
		if (path->relay_request)
			continue; /* on its way to the restarted one already */
		if (dc_relay_direct(path, path->ck, dc_path_ck_left_s(path), NULL, NULL)) {
			TAILQ_REMOVE(&relay->directed, path, by_relay);
			TAILQ_INSERT_HEAD(&relay->undirected, path, by_relay);
			path->relay_directed = false;
			return;
		}
		path->relay_again = true;
		relay->redirects++;
	}
}

/* ---- withdrawal */

static void withdraw_done(void *arg, int err, const struct ntm_message *message,
			  const struct ntm_error_message *error)
{
	(void)message;
	(void)error;
	/* An RS that cannot be told forgets the path when nothing binds to it, or with its lifetime. */
	if (err)
		ntm_debug("the relay %s did not acknowledge a withdrawal",
			  ((struct dc_relay *)arg)->config->name);
}

void dc_relay_withdraw(struct dc_relay *relay, uint64_t path_id)
{
	struct ntm_relay_withdraw withdraw = {.path_id = path_id};
	uint8_t body[DC_BODY_MAX];
	int n = ntm_msg_relay_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw);

	if (n >= 0 && relay->alive)
		ntm_session_request(&relay->actor.peer, NTM_MSG_RELAY_WITHDRAW, body, (size_t)n,
				    NTM_REQUEST_TIMEOUT_MS, withdraw_done, relay, NULL);
}
