/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session_ends.h - for test_session*.c: two ends of lib/session.h in one process, over sockets of 127.0.0.1,
 * and a network between them that records, drops and lets the test copy packets.
 */
#ifndef NTM_UNIT_SESSION_ENDS_H
#define NTM_UNIT_SESSION_ENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "loop.h"
#include "session.h"

enum behaviour { ANSWER, REFUSE, SILENT };

struct end {
	struct ntm_sessions sessions;
	struct ntm_peer peer; /* the other end, */
	struct ntm_endpoint server[2]; /* and where it is called */
	uint8_t private_key[NTM_KEY_LEN];
	struct ntm_udp udp[2];
	unsigned calls_from; /* which of the two */
	enum behaviour behaviour;
	bool accepts_nobody;
	/* the network before this end: whether the packet is lost */
	bool (*drop)(struct end *end, const struct ntm_flow *from, const uint8_t *packet, size_t len);
	/* what happened */
	unsigned requests, notices, moved, lost;
	unsigned packets, came[256]; /* by type */
	uint8_t last[256][NTM_CONTROL_MAX]; /* the last packet of each type, as it came */
	size_t last_len[256];
	int error[NTM_DROP_MAX]; /* how often receiving said so */
};

struct outcome { /* of a request */
	unsigned done;
	int err;
	uint16_t type;
	struct ntm_error_message error;
};

static struct event_base *ends_base;
static struct end client, server;

/* Runs the loop until the condition holds; fails after ms milliseconds. */
#define until(condition, ms)                                                                           \
	do {                                                                                           \
		int64_t end_ = ntm_loop_now_ms() + (ms);                                               \
		while (!(condition)) {                                                                 \
			if (ntm_loop_now_ms() >= end_)                                                 \
				fail_msg("%s:%d: not within %d ms: %s", __FILE__, __LINE__, (int)(ms), \
					 #condition);                                                  \
			ends_step();                                                                   \
		}                                                                                      \
	} while (0)

static inline void ends_count(struct end *end, int err)
{
	if (err < 0 && -err < NTM_DROP_MAX)
		end->error[-err]++;
}

static inline void ends_on_packet(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct end *end = ctx;

	end->packets++;
	if (!len)
		return;
	end->came[packet[0]]++;
	if (len <= NTM_CONTROL_MAX) {
		memcpy(end->last[packet[0]], packet, len);
		end->last_len[packet[0]] = len;
	}
	if (end->drop && end->drop(end, from, packet, len))
		return;
	if (packet[0] == NTM_TYPE_ECHO)
		ends_count(end, ntm_session_echo_answer(&end->sessions, from, packet, len));
	else
		ends_count(end, ntm_session_receive(&end->sessions, from, packet, len));
}

static inline struct ntm_peer *ends_on_accept(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	struct end *end = ctx;

	return end->accepts_nobody ? NULL : ntm_peer_find(&end->sessions, key);
}

static inline void ends_on_request(void *ctx, const struct ntm_session_from *from,
				   const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	struct ntm_keepalive keepalive = {.observed = from->flow.remote};
	struct end *end = ctx;
	int n;

	assert_int_equal(message->type, NTM_MSG_KEEPALIVE_REQUEST);
	end->requests++;
	switch (end->behaviour) {
	case ANSWER:
		n = ntm_msg_keepalive_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					    &keepalive);
		ntm_session_answer(from, NTM_MSG_KEEPALIVE_RESPONSE, body, (size_t)n);
		break;
	case REFUSE:
		ntm_session_refuse(from, NTM_ERROR_NOT_MEMBER, "%s is not a member", "mn.ntm.example");
		break;
	case SILENT:
		break;
	}
}

static inline void ends_on_notice(void *ctx, struct ntm_peer *peer, const struct ntm_message *message)
{
	struct end *end = ctx;

	assert_ptr_equal(peer, &end->peer);
	assert_int_equal(message->type, NTM_MSG_RELAY_REPORT);
	end->notices++;
}

static inline void ends_on_moved(void *ctx, struct ntm_peer *peer)
{
	struct end *end = ctx;

	assert_ptr_equal(peer, &end->peer);
	end->moved++;
}

static inline void ends_on_lost(void *ctx, struct ntm_peer *peer)
{
	struct end *end = ctx;

	assert_ptr_equal(peer, &end->peer);
	end->lost++;
}

static const struct ntm_session_ops ends_ops = {
	.accept = ends_on_accept,
	.request = ends_on_request,
	.notice = ends_on_notice,
	.moved = ends_on_moved,
	.lost = ends_on_lost,
};

static inline struct ntm_udp *ends_socket_for(void *ctx, const struct ntm_endpoint *remote)
{
	struct end *end = ctx;

	return ntm_endpoint_is4(remote) ? &end->udp[end->calls_from] : NULL;
}

static inline void end_begin(struct end *end)
{
	static const struct ntm_endpoint loopback = {
		.addr = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
	uint8_t public_key[NTM_KEY_LEN];

	memset(end, 0, sizeof(*end));
	ntm_crypto_keypair(end->private_key, public_key);
	for (int i = 0; i < 2; i++)
		assert_int_equal(ntm_udp_open(&end->udp[i], ends_base, &loopback, true, ends_on_packet, end),
				 0);
	assert_int_equal(ntm_sessions_init(&end->sessions, ends_base, end->private_key, &ends_ops, end,
					   ends_socket_for),
			 0);
}

static inline void end_finish(struct end *end)
{
	if (end->peer.sessions)
		ntm_peer_remove(&end->peer);
	ntm_sessions_clear(&end->sessions);
	for (int i = 0; i < 2; i++)
		ntm_udp_close(&end->udp[i]);
}

/* The client calls the server at server.udp[0]. */
static inline int ends_setup(void **state)
{
	(void)state;
	ends_base = event_base_new();
	assert_non_null(ends_base);
	end_begin(&client);
	end_begin(&server);
	memcpy(client.peer.key, server.sessions.public_key, NTM_KEY_LEN);
	client.server[0] = server.udp[0].bound;
	client.peer.server = client.server;
	client.peer.servers = 1;
	assert_int_equal(ntm_peer_add(&client.sessions, &client.peer), 0);
	memcpy(server.peer.key, client.sessions.public_key, NTM_KEY_LEN);
	assert_int_equal(ntm_peer_add(&server.sessions, &server.peer), 0);
	return 0;
}

static inline int ends_teardown(void **state)
{
	(void)state;
	end_finish(&client);
	end_finish(&server);
	event_base_free(ends_base);
	return 0;
}

/* The server forgets everything but its key. */
static inline void ends_restart_server(void)
{
	ntm_peer_remove(&server.peer);
	ntm_sessions_clear(&server.sessions);
	assert_int_equal(ntm_sessions_init(&server.sessions, ends_base, server.private_key, &ends_ops,
					   &server, ends_socket_for),
			 0);
	memset(&server.peer, 0, sizeof(server.peer));
	memcpy(server.peer.key, client.sessions.public_key, NTM_KEY_LEN);
	assert_int_equal(ntm_peer_add(&server.sessions, &server.peer), 0);
}

/* What is ready, or 2 ms. */
static inline void ends_step(void)
{
	struct timeval tv = {.tv_usec = 2000};

	event_base_loopexit(ends_base, &tv);
	event_base_loop(ends_base, EVLOOP_ONCE);
}

static inline void ends_run_ms(int64_t ms)
{
	int64_t end = ntm_loop_now_ms() + ms;

	while (ntm_loop_now_ms() < end)
		ends_step();
}

static inline void ends_on_done(void *arg, int err, const struct ntm_message *message,
				const struct ntm_error_message *error)
{
	struct outcome *outcome = arg;

	outcome->done++;
	outcome->err = err;
	outcome->type = message ? message->type : 0;
	if (error)
		outcome->error = *error;
}

/* A Keep Alive Request; the outcome is zeroed. Returns what ntm_session_request does. */
static inline int ends_request(struct end *end, struct outcome *ret_outcome, int64_t timeout_ms,
			       struct ntm_session_request **ret_request)
{
	uint8_t body[NTM_MSG_HEADER_LEN];

	memset(ret_outcome, 0, sizeof(*ret_outcome));
	return ntm_session_request(&end->peer, NTM_MSG_KEEPALIVE_REQUEST, body, 0, timeout_ms, ends_on_done,
				   ret_outcome, ret_request);
}

/* One more request is answered, soon. */
static inline void ends_request_answered(struct end *end)
{
	struct outcome outcome;

	assert_int_equal(ends_request(end, &outcome, 5000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(outcome.type, NTM_MSG_KEEPALIVE_RESPONSE);
}

static inline int ends_notify(struct end *end)
{
	struct ntm_relay_report report = {.boot_id = 1};
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	int n = ntm_msg_relay_report_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					   &report);

	assert_true(n > 0);
	return ntm_session_notify(&end->peer, NTM_MSG_RELAY_REPORT, body, (size_t)n);
}

#endif
