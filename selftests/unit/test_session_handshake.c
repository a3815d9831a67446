/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_session_handshake.c - handshakes of sessions that are repeated, replayed, or too many:
 * lib/session_handshake.c, lib/cookie.c. Plain ones: test_session.c.
 */
#include <poll.h>

#include "session_internal.h"
#include "session_stranger.h"

/* ---- repeated and replayed */

static void a_repeated_message_1_gets_the_identical_message_2(void **state)
{
	uint8_t got[NTM_CONTROL_MAX];
	struct ntm_session *session;

	(void)state;
	ends_request_answered(&client);
	session = server.peer.current;
	third_sends(&server, server.last[NTM_TYPE_SESSION_INIT], server.last_len[NTM_TYPE_SESSION_INIT]);
	until(server.came[NTM_TYPE_SESSION_INIT] == 2, 5000);
	assert_int_equal(read(third.fd, got, sizeof(got)), client.last_len[NTM_TYPE_SESSION_RESPONSE]);
	assert_memory_equal(got, client.last[NTM_TYPE_SESSION_RESPONSE],
			    client.last_len[NTM_TYPE_SESSION_RESPONSE]);
	assert_true(client.last_len[NTM_TYPE_SESSION_RESPONSE] < server.last_len[NTM_TYPE_SESSION_INIT]);
	assert_ptr_equal(server.peer.current, session);
	assert_null(server.peer.pending);
	ends_request_answered(&client);
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 2);
}

static void a_message_2_sent_on_from_elsewhere_is_not_taken(void **state)
{
	struct outcome outcome;

	(void)state;
	client.drop = drop_all;
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	until(client.came[NTM_TYPE_SESSION_RESPONSE] == 1, 5000);
	client.drop = NULL;
	third_sends(&client, client.last[NTM_TYPE_SESSION_RESPONSE],
		    client.last_len[NTM_TYPE_SESSION_RESPONSE]);
	until(client.error[NTM_DROP_SOURCE] == 1, 5000);
	assert_false(ntm_peer_is_up(&client.peer));
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_true(ntm_endpoint_equal(&client.peer.flow.remote, &server.udp[0].bound));
}

static void a_damaged_message_2_leaves_the_handshake_open(void **state)
{
	struct outcome outcome;
	uint8_t packet[NTM_CONTROL_MAX], mac1_key[NTM_KEY_LEN];
	size_t len;
	struct ntm_flow flow = {.udp = &client.udp[0], .remote = server.udp[0].bound};

	(void)state;
	client.drop = drop_all;
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	until(client.came[NTM_TYPE_SESSION_RESPONSE] == 1, 5000);
	client.drop = NULL;
	len = client.last_len[NTM_TYPE_SESSION_RESPONSE];
	memcpy(packet, client.last[NTM_TYPE_SESSION_RESPONSE], len);
	packet[NTM_HEADER_LEN + 40] ^= 1; /* whoever knows the public keys can make a good mac1 */
	assert_int_equal(ntm_session_receive(&client.sessions, &flow, packet, len), -NTM_DROP_MAC1);
	ntm_cookie_mac1_key(mac1_key, client.sessions.public_key);
	ntm_cookie_macs_add(packet, len - NTM_HANDSHAKE_MACS, mac1_key, NULL);
	assert_int_equal(ntm_session_receive(&client.sessions, &flow, packet, len), -NTM_DROP_HANDSHAKE);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
}

static void an_old_message_1_replaces_nothing(void **state)
{
	uint8_t old[NTM_CONTROL_MAX];
	size_t len;
	struct ntm_session *session;

	(void)state;
	ends_request_answered(&client);
	len = server.last_len[NTM_TYPE_SESSION_INIT];
	memcpy(old, server.last[NTM_TYPE_SESSION_INIT], len);
	ends_restart_server(); /* so that it is not remembered */
	ends_request_answered(&client);
	session = server.peer.current;
	server.moved = 0;
	third_sends(&server, old, len);
	until(server.peer.pending, 5000);
	assert_ptr_equal(server.peer.current, session);
	ends_request_answered(&client);
	ends_request_answered(&server);
	assert_ptr_equal(server.peer.current, session);
	assert_int_equal(server.moved, 0);
}

#define RECORDED 6
static uint8_t recorded[RECORDED][NTM_CONTROL_MAX];
static size_t recorded_len[RECORDED];

/* Message 1 of that many handshakes, which the server has forgotten since. */
static void handshakes_record(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		ntm_session_drop(&client.peer);
		assert_int_equal(ntm_session_connect(&client.peer), 0);
		until(ntm_peer_is_up(&client.peer), 5000);
		recorded_len[i] = server.last_len[NTM_TYPE_SESSION_INIT];
		memcpy(recorded[i], server.last[NTM_TYPE_SESSION_INIT], recorded_len[i]);
	}
	ends_restart_server();
	ntm_session_drop(&client.peer);
	memset(server.came, 0, sizeof(server.came));
	client.lost = 0;
}

static void replay_all(void)
{
	unsigned before = server.came[NTM_TYPE_SESSION_INIT];

	for (unsigned i = 0; i < RECORDED; i++)
		third_sends(&server, recorded[i], recorded_len[i]);
	until(server.came[NTM_TYPE_SESSION_INIT] == before + RECORDED, 5000);
}

/* All that the client sends after message 2 has come: its first packets wait here. */
static bool drop_sealed(struct end *end, const struct ntm_flow *from, const uint8_t *packet, size_t len)
{
	(void)end;
	(void)from;
	(void)len;
	return packet[0] == NTM_TYPE_SESSION;
}

static void replayed_messages_1_do_not_push_out_the_handshake_under_way(void **state)
{
	struct ntm_session *session;
	struct outcome outcome;

	(void)state;
	handshakes_record(RECORDED);
	server.drop = drop_sealed;
	assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
	until(server.came[NTM_TYPE_SESSION], 5000);
	session = server.peer.pending;
	assert_non_null(session);
	/* all of them come between message 2 and the first packet */
	replay_all();
	server.drop = NULL;
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_ptr_equal(server.peer.current, session);
	assert_int_equal(client.lost, 0);
	assert_int_equal(server.error[NTM_DROP_SESSION_UNKNOWN], 0);
	assert_null(server.peer.pending);
	assert_null(server.peer.pending_other);
}

static void replayed_messages_1_do_not_keep_a_new_handshake_out(void **state)
{
	struct outcome outcome;

	(void)state;
	handshakes_record(RECORDED);
	for (int i = 0; i < 3; i++) {
		replay_all(); /* before, and while a session is there */
		assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
		until(outcome.done, 5000);
		assert_int_equal(outcome.err, 0);
	}
	assert_int_equal(client.lost, 0);
	assert_int_equal(client.came[NTM_TYPE_RESET], 0);
}

/* The client's numbers begin below what it has sent before: it is answered, whatever waits there. */
static void a_clock_that_was_set_back_keeps_nobody_out(void **state)
{
	struct ntm_session *stale;
	struct outcome outcome;

	(void)state;
	server.drop = drop_sealed;
	assert_int_equal(ntm_session_connect(&client.peer), 0);
	until(ntm_peer_is_up(&client.peer), 5000);
	stale = server.peer.pending;
	stale->number += 1ULL << 40; /* days later */
	server.drop = NULL;
	ntm_session_drop(&client.peer);
	assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(client.came[NTM_TYPE_RESET], 0);
	assert_ptr_equal(server.peer.pending, stale);
	/* after its time it is in nobody's way */
	stale->created_ms -= 3 * NTM_REQUEST_TIMEOUT_MS;
	ntm_session_drop(&client.peer);
	assert_int_equal(ntm_session_connect(&client.peer), 0);
	until(ntm_peer_is_up(&client.peer), 5000);
	assert_true(server.peer.pending && server.peer.pending != stale);
	ends_request_answered(&client);
}

/* ---- load */

static void under_load_a_cookie_is_asked_for_and_shown(void **state)
{
	struct outcome outcome;

	(void)state;
	ntm_limiter_init(&server.sessions.handshake_limiter, 0, 0);
	assert_int_equal(ends_request(&client, &outcome, 2000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(client.came[NTM_TYPE_COOKIE], 1);
	assert_int_equal(server.error[NTM_DROP_COOKIE_NEEDED], 1);
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 2);
}

static void a_repeated_message_1_begins_nothing_even_after_many_others(void **state)
{
	uint8_t message1[NTM_CONTROL_MAX], answer[NTM_CONTROL_MAX];
	struct pollfd arriving = {.fd = third.fd, .events = POLLIN};
	size_t len;

	(void)state;
	ntm_limiter_init(&server.sessions.handshake_limiter, 100000, 100000);
	assert_int_equal(ntm_session_connect(&client.peer), 0);
	until(ntm_peer_is_up(&client.peer), 5000);
	len = server.last_len[NTM_TYPE_SESSION_INIT];
	memcpy(message1, server.last[NTM_TYPE_SESSION_INIT], len);
	for (int i = 0; i < 200; i++) {
		ntm_session_drop(&client.peer);
		assert_int_equal(ntm_session_connect(&client.peer), 0);
		until(ntm_peer_is_up(&client.peer), 5000);
	}
	ends_request_answered(&client);
	assert_null(server.peer.pending);
	third_sends(&server, message1, len);
	until(poll(&arriving, 1, 0) == 1, 5000);
	assert_true(read(third.fd, answer, sizeof(answer)) > NTM_HEADER_LEN);
	assert_int_equal(answer[0], NTM_TYPE_SESSION_RESPONSE);
	assert_null(server.peer.pending);
	ends_request_answered(&client);
}

static void with_a_cookie_handshakes_take_no_more_than_their_share_of_the_time(void **state)
{
	int64_t from_ms = ntm_loop_now_ms() + 400;
	struct outcome outcome;

	(void)state;
	ntm_limiter_init(&server.sessions.handshake_limiter, 0, 0);
	server.sessions.handshake_us = from_ms * 1000; /* as if those before had taken very long */
	assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
	until(outcome.done, 8000);
	assert_int_equal(outcome.err, 0);
	assert_true(ntm_loop_now_ms() >= from_ms);
	assert_true(server.error[NTM_DROP_RATE] > 0);
	/* that one was added to it, from a moment before now on */
	assert_true(server.sessions.handshake_us >= from_ms * 1000 - 20000);
	assert_true(server.sessions.handshake_us < ntm_loop_now_us() + 1000000);
	/* a session that is there does not care */
	server.sessions.handshake_us = ntm_loop_now_us() + 60000000;
	ends_request_answered(&client);
}

/* What others had of the CPU is not to share. */
static void where_others_have_the_cpu_handshakes_get_less_of_it(void **state)
{
	int64_t now_us = ntm_loop_now_us(), waited_us = ntm_loop_waited_us();
	struct outcome outcome;

	(void)state;
	if (waited_us < 0)
		skip(); /* a kernel without /proc/PID/schedstat */
	ntm_limiter_init(&server.sessions.handshake_limiter, 0, 0);
	server.sessions.handshake_us = now_us + 100000;
	server.sessions.waited_us = waited_us - 400000;
	server.sessions.waited_at_us = now_us - 500000;
	assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
	until(outcome.done, 8000);
	assert_int_equal(outcome.err, 0);
	assert_true(ntm_loop_now_us() >= now_us + 500000);
	assert_true(server.sessions.waited_us >= waited_us);
}

static void an_answer_is_forgotten_when_nobody_can_ask_again(void **state)
{
	struct ntm_session_answer *first;

	(void)state;
	ends_request_answered(&client);
	first = TAILQ_FIRST(&server.sessions.answers);
	assert_non_null(first);
	assert_ptr_equal(first, SLIST_FIRST(&server.peer.answer));
	first->came_ms -= NTM_REQUEST_TIMEOUT_MS + 1;
	ends_request_answered(&client);
	first = TAILQ_FIRST(&server.sessions.answers);
	assert_non_null(first);
	assert_null(TAILQ_NEXT(first, by_age));
	assert_ptr_equal(first, SLIST_FIRST(&server.peer.answer));
	assert_null(SLIST_NEXT(first, next));
}

static void cookies_are_bounded_too(void **state)
{
	uint8_t message1[NTM_CONTROL_MAX], mac1_key[NTM_KEY_LEN];
	struct pollfd arriving = {.fd = third.fd, .events = POLLIN};
	unsigned cookies = 0;
	int64_t started_ms;
	size_t len;

	(void)state;
	assert_int_equal(ntm_session_connect(&client.peer), 0);
	until(ntm_peer_is_up(&client.peer), 5000);
	len = server.last_len[NTM_TYPE_SESSION_INIT];
	memcpy(message1, server.last[NTM_TYPE_SESSION_INIT], len);
	ntm_limiter_init(&server.sessions.handshake_limiter, 0, 0);
	ntm_cookie_mac1_key(mac1_key, server.sessions.public_key);
	started_ms = ntm_loop_now_ms();
	message1[NTM_HEADER_LEN + 1] ^= 1;
	for (uint8_t i = 0; i < 250; i++) {
		message1[NTM_HEADER_LEN] = i; /* another ephemeral key, never that of the true one */
		ntm_cookie_macs_add(message1, len - NTM_HANDSHAKE_MACS, mac1_key, NULL);
		third_sends(&server, message1, len);
	}
	until(server.error[NTM_DROP_COOKIE_NEEDED] + server.error[NTM_DROP_RATE] >= 249, 5000);
	while (poll(&arriving, 1, 100) == 1 && /* what was sent may still be on its way */
	       read(third.fd, message1, sizeof(message1)) == sizeof(struct ntm_cookie_packet))
		cookies++;
	/* A busy machine takes its time, and tokens come with it. */
	assert_in_range(cookies, NTM_COOKIES_SOURCE_PER_S,
			NTM_COOKIES_SOURCE_PER_S * (1 + (ntm_loop_now_ms() - started_ms) / 1000.0) + 2);
}

static void a_cookie_nobody_asked_for_is_ignored(void **state)
{
	struct ntm_cookie_packet cookie = {0};

	(void)state;
	server.drop = drop_all;
	assert_int_equal(ntm_session_connect(&client.peer), 0);
	until(server.came[NTM_TYPE_SESSION_INIT] == 1, 5000);
	ntm_header_set(&cookie.h, NTM_TYPE_COOKIE, client.peer.handshake->number ^ 1,
		       client.peer.handshake->id);
	third_sends(&client, (const uint8_t *)&cookie, sizeof(cookie));
	until(client.error[NTM_DROP_SESSION_UNKNOWN] == 1, 5000);
	assert_false(client.peer.handshake->has_cookie);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_repeated_message_1_gets_the_identical_message_2),
		TEST(a_message_2_sent_on_from_elsewhere_is_not_taken),
		TEST(a_damaged_message_2_leaves_the_handshake_open),
		TEST(an_old_message_1_replaces_nothing),
		TEST(replayed_messages_1_do_not_push_out_the_handshake_under_way),
		TEST(replayed_messages_1_do_not_keep_a_new_handshake_out),
		TEST(a_clock_that_was_set_back_keeps_nobody_out),
		TEST(under_load_a_cookie_is_asked_for_and_shown),
		TEST(a_repeated_message_1_begins_nothing_even_after_many_others),
		TEST(with_a_cookie_handshakes_take_no_more_than_their_share_of_the_time),
		TEST(where_others_have_the_cpu_handshakes_get_less_of_it),
		TEST(an_answer_is_forgotten_when_nobody_can_ask_again),
		TEST(cookies_are_bounded_too),
		TEST(a_cookie_nobody_asked_for_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
