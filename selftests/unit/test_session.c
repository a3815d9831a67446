/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_session.c - requests and answers in sessions, and who gets one: lib/session*.c, two ends in one
 * process. What moves, is lost, repeated or forged on the way: test_session_network.c.
 */
#include "session_ends.h"
#include "session_internal.h"

static void a_request_makes_the_session_it_needs(void **state)
{
	(void)state;
	assert_false(ntm_peer_is_up(&client.peer));
	ends_request_answered(&client);
	assert_true(ntm_peer_is_up(&client.peer));
	assert_true(ntm_peer_is_up(&server.peer));
	assert_true(ntm_endpoint_equal(&server.peer.flow.remote, &client.udp[0].bound));
	assert_true(ntm_endpoint_equal(&client.peer.flow.remote, &server.udp[0].bound));
	assert_int_equal(client.moved, 1);
	assert_int_equal(server.moved, 1);
	assert_int_equal(client.lost + server.lost, 0);
	assert_true(client.peer.rtt.srtt_us > 0);
	/* the next one is a single packet each way */
	client.packets = server.packets = 0;
	ends_request_answered(&client);
	assert_int_equal(server.packets, 1);
	assert_int_equal(client.packets, 1);
}

static void many_requests_wait_for_one_handshake(void **state)
{
	struct outcome outcome[20];

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(ends_request(&client, &outcome[i], 5000, NULL), 0);
	for (int i = 0; i < 20; i++) {
		until(outcome[i].done, 5000);
		assert_int_equal(outcome[i].err, 0);
	}
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 1);
	assert_int_equal(server.requests, 20);
}

static void the_server_may_ask_too_once_it_was_called(void **state)
{
	struct outcome outcome;

	(void)state;
	assert_int_equal(ends_request(&server, &outcome, 1000, NULL), -EDESTADDRREQ);
	assert_int_equal(ends_notify(&server), -ENOTCONN);
	ends_request_answered(&client);
	ends_request_answered(&server);
	assert_int_equal(client.requests, 1);
	assert_int_equal(outcome.done, 0);
}

static void notices_come_and_are_not_answered(void **state)
{
	(void)state;
	assert_int_equal(ntm_session_connect(&client.peer), 0);
	until(ntm_peer_is_up(&client.peer), 5000);
	client.packets = 0;
	assert_int_equal(ends_notify(&client), 0);
	until(server.notices == 1, 5000);
	ends_run_ms(20);
	assert_int_equal(client.packets, 0);
}

static void a_refusal_says_why(void **state)
{
	struct outcome outcome;

	(void)state;
	server.behaviour = REFUSE;
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, -EREMOTEIO);
	assert_int_equal(outcome.error.code, NTM_ERROR_NOT_MEMBER);
	assert_string_equal(outcome.error.text, "mn.ntm.example is not a member");
}

static void a_request_without_an_answer_ends_in_its_time(void **state)
{
	int64_t start = ntm_loop_now_ms();
	struct outcome outcome;

	(void)state;
	server.behaviour = SILENT;
	assert_int_equal(ends_request(&client, &outcome, 300, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, -ETIMEDOUT);
	assert_in_range(ntm_loop_now_ms() - start, 295, 3000);
	assert_int_equal(server.requests, 1); /* repetitions are not served again */
	assert_true(server.came[NTM_TYPE_SESSION] > 1);
	ends_run_ms(100);
	assert_int_equal(outcome.done, 1);
}

static void time_waiting_for_the_handshake_counts(void **state)
{
	struct outcome outcome;

	(void)state;
	server.accepts_nobody = true;
	assert_int_equal(ends_request(&client, &outcome, 150, NULL), 0);
	until(outcome.done, 4000); /* the handshake itself has 8 s */
	assert_int_equal(outcome.err, -ETIMEDOUT);
}

static void strangers_are_not_answered(void **state)
{
	(void)state;
	server.accepts_nobody = true;
	assert_int_equal(ntm_session_connect(&client.peer), 0);
	until(server.error[NTM_DROP_STRANGER] == 1, 5000);
	ends_run_ms(20);
	assert_int_equal(client.packets, 0);
	assert_false(ntm_peer_is_up(&client.peer));
}

static void a_server_with_another_key_does_not_even_look(void **state)
{
	struct outcome outcome;
	uint8_t other[NTM_KEY_LEN];

	(void)state;
	ntm_peer_remove(&client.peer);
	ntm_crypto_keypair(other, client.peer.key);
	assert_int_equal(ntm_peer_add(&client.sessions, &client.peer), 0);
	assert_int_equal(ends_request(&client, &outcome, 200, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, -ETIMEDOUT);
	assert_true(server.error[NTM_DROP_MAC1] > 0);
	assert_int_equal(client.packets, 0);
}

static void a_handshake_given_up_ends_what_waits_and_is_said(void **state)
{
	struct outcome outcome;

	(void)state;
	server.accepts_nobody = true;
	assert_int_equal(ends_request(&client, &outcome, 60000, NULL), 0);
	client.peer.handshake->transaction.deadline_us = ntm_loop_now_us();
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, -ETIMEDOUT);
	assert_int_equal(client.lost, 1);
	assert_null(client.peer.handshake);
	/* and it may be tried again */
	server.accepts_nobody = false;
	ends_request_answered(&client);
}

static struct outcome second;

static void ask_again(void *arg, int err, const struct ntm_message *message,
		      const struct ntm_error_message *error)
{
	unsigned *calls = arg;

	(void)message;
	(void)error;
	++*calls;
	assert_int_equal(ends_request(&client, &second, 2000, NULL), err == -ECANCELED ? -ECANCELED : 0);
}

static void who_asks_again_when_told_gets_a_new_try(void **state)
{
	uint8_t body[NTM_MSG_HEADER_LEN];
	unsigned calls = 0;

	(void)state;
	server.accepts_nobody = true;
	assert_int_equal(ntm_session_request(&client.peer, NTM_MSG_KEEPALIVE_REQUEST, body, 0, 60000,
					     ask_again, &calls, NULL),
			 0);
	client.peer.handshake->transaction.deadline_us = ntm_loop_now_us();
	until(calls, 5000);
	server.accepts_nobody = false;
	until(second.done, 5000);
	assert_int_equal(second.err, 0);
	assert_int_equal(calls, 1);
}

static void removing_a_peer_ends_its_requests_and_takes_no_new_ones(void **state)
{
	uint8_t body[NTM_MSG_HEADER_LEN];
	struct outcome outcome;
	unsigned calls = 0;

	(void)state;
	ends_request_answered(&client);
	server.behaviour = SILENT;
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	assert_int_equal(ntm_session_request(&client.peer, NTM_MSG_KEEPALIVE_REQUEST, body, 0, 5000,
					     ask_again, &calls, NULL),
			 0);
	ntm_peer_remove(&client.peer);
	assert_int_equal(outcome.done, 1);
	assert_int_equal(outcome.err, -ECANCELED);
	assert_int_equal(calls, 1);
	assert_int_equal(second.done, 0);
	assert_int_equal(ntm_session_connect(&client.peer), -ECANCELED);
	ends_run_ms(100);
	assert_int_equal(outcome.done, 1);
}

static void removing_a_peer_in_the_middle_of_a_handshake_leaves_nothing(void **state)
{
	struct outcome outcome;

	(void)state;
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	ntm_peer_remove(&client.peer);
	assert_int_equal(outcome.err, -ECANCELED);
	ends_run_ms(50);
	assert_int_equal(client.error[NTM_DROP_UNMATCHED], 1); /* the server's message 2 */
	assert_false(ntm_peer_is_up(&server.peer));
}

static void a_cancelled_request_is_never_done(void **state)
{
	struct ntm_session_request *request;
	struct outcome outcome;

	(void)state;
	ends_request_answered(&client);
	assert_int_equal(ends_request(&client, &outcome, 5000, &request), 0);
	ntm_session_cancel(request);
	until(server.requests == 2, 5000);
	ends_run_ms(50);
	assert_int_equal(outcome.done, 0);
	assert_int_equal(client.peer.requests, 0);
}

static void outstanding_requests_have_a_limit(void **state)
{
	struct outcome outcome[NTM_REQUESTS_MAX + 1];

	(void)state;
	server.behaviour = SILENT;
	for (int i = 0; i < NTM_REQUESTS_MAX; i++)
		assert_int_equal(ends_request(&client, &outcome[i], 5000, NULL), 0);
	assert_int_equal(ends_request(&client, &outcome[NTM_REQUESTS_MAX], 5000, NULL), -EAGAIN);
	ntm_peer_remove(&client.peer);
	for (int i = 0; i < NTM_REQUESTS_MAX; i++)
		assert_int_equal(outcome[i].err, -ECANCELED);
	assert_int_equal(outcome[NTM_REQUESTS_MAX].done, 0);
}

static void a_body_that_fits_no_packet_is_refused(void **state)
{
	uint8_t body[NTM_CONTROL_MAX] = {0};
	size_t most = NTM_CONTROL_MAX - NTM_HEADER_LEN - NTM_MSG_HEADER_LEN - NTM_TAG_LEN;

	(void)state;
	assert_int_equal(ntm_session_request(&client.peer, NTM_MSG_KEEPALIVE_REQUEST, body, most + 1, 100,
					     NULL, NULL, NULL),
			 -EMSGSIZE);
	assert_int_equal(ntm_session_request(&client.peer, NTM_MSG_KEEPALIVE_REQUEST, body, most, 5000, NULL,
					     NULL, NULL),
			 0);
	until(server.requests == 1, 5000);
	assert_int_equal(server.last_len[NTM_TYPE_SESSION], NTM_CONTROL_MAX);
}

static void an_old_session_is_renewed_and_still_opens_what_is_on_its_way(void **state)
{
	struct ntm_session *first;

	(void)state;
	ends_request_answered(&client);
	first = client.peer.current;
	first->created_ms -= NTM_SESSION_LIFETIME_S * 1000LL;
	ends_request_answered(&client); /* by the old one, while the handshake runs */
	until(client.peer.current != first, 5000);
	assert_ptr_equal(client.peer.previous, first);
	ends_request_answered(&client);
	until(server.peer.previous, 5000);
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 2);
	assert_int_equal(client.lost + server.lost, 0);
}

static void two_that_call_each_other_at_once_both_get_through(void **state)
{
	struct outcome a, b;

	(void)state;
	server.server[0] = client.udp[0].bound;
	server.peer.server = server.server;
	server.peer.servers = 1;
	assert_int_equal(ends_request(&client, &a, 2000, NULL), 0);
	assert_int_equal(ends_request(&server, &b, 2000, NULL), 0);
	until(a.done && b.done, 5000);
	assert_int_equal(a.err, 0);
	assert_int_equal(b.err, 0);
	for (int i = 0; i < 10; i++) {
		ends_request_answered(&client);
		ends_request_answered(&server);
	}
	assert_int_equal(client.came[NTM_TYPE_SESSION_INIT], 1);
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 1);
	assert_int_equal(client.error[NTM_DROP_SESSION_UNKNOWN] + server.error[NTM_DROP_SESSION_UNKNOWN], 0);
}

static void peers_are_found_among_many(void **state)
{
	static struct ntm_peer peer[500];

	(void)state;
	ends_request_answered(&client); /* a session that must survive the growing tables */
	for (int i = 0; i < 500; i++) {
		memset(&peer[i], 0, sizeof(peer[i]));
		ntm_crypto_random(peer[i].key, NTM_KEY_LEN);
		assert_int_equal(ntm_peer_add(&server.sessions, &peer[i]), 0);
		assert_int_equal(ntm_peer_add(&server.sessions, &peer[i]), -EEXIST);
	}
	assert_true(server.sessions.buckets >= 256);
	for (int i = 0; i < 500; i++)
		assert_ptr_equal(ntm_peer_find(&server.sessions, peer[i].key), &peer[i]);
	ends_request_answered(&client);
	for (int i = 0; i < 500; i++)
		ntm_peer_remove(&peer[i]);
	assert_null(ntm_peer_find(&server.sessions, peer[0].key));
	ends_request_answered(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, ends_setup, ends_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_makes_the_session_it_needs),
		TEST(many_requests_wait_for_one_handshake),
		TEST(the_server_may_ask_too_once_it_was_called),
		TEST(notices_come_and_are_not_answered),
		TEST(a_refusal_says_why),
		TEST(a_request_without_an_answer_ends_in_its_time),
		TEST(time_waiting_for_the_handshake_counts),
		TEST(strangers_are_not_answered),
		TEST(a_server_with_another_key_does_not_even_look),
		TEST(a_handshake_given_up_ends_what_waits_and_is_said),
		TEST(who_asks_again_when_told_gets_a_new_try),
		TEST(removing_a_peer_ends_its_requests_and_takes_no_new_ones),
		TEST(removing_a_peer_in_the_middle_of_a_handshake_leaves_nothing),
		TEST(a_cancelled_request_is_never_done),
		TEST(outstanding_requests_have_a_limit),
		TEST(a_body_that_fits_no_packet_is_refused),
		TEST(an_old_session_is_renewed_and_still_opens_what_is_on_its_way),
		TEST(two_that_call_each_other_at_once_both_get_through),
		TEST(peers_are_found_among_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
