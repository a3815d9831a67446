/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_session_network.c - sessions while ends move and restart, and packets are lost, repeated, copied or
 * made up: lib/session*.c. The network is the drop() of session_ends.h. Handshakes: test_session_handshake.c.
 */
#include "aead.h"
#include "session_internal.h"
#include "session_stranger.h"

/* ---- moving */

static void a_client_that_changes_its_port_is_challenged_and_followed(void **state)
{
	(void)state;
	ends_request_answered(&client);
	client.calls_from = 1;
	ntm_session_kick(&client.peer);
	server.moved = 0;
	ends_request_answered(&client);
	until(server.moved == 1, 5000);
	assert_true(ntm_endpoint_equal(&server.peer.flow.remote, &client.udp[1].bound));
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 1); /* the session went with it */
	assert_int_equal((uintptr_t)server.peer.challenge, 0);
	assert_int_equal(server.peer.requests, 0);
	client.last_len[NTM_TYPE_SESSION] = 0;
	ends_request_answered(&server); /* and is reached there */
	assert_int_equal(server.moved, 1);
}

static bool drop_requests(struct end *end, const struct ntm_flow *from, const uint8_t *packet, size_t len)
{
	(void)end;
	(void)len;
	return packet[0] == NTM_TYPE_SESSION && !ntm_endpoint_equal(&from->remote, &third.bound);
}

static void a_packet_sent_on_from_elsewhere_moves_nobody(void **state)
{
	struct ntm_flow seen_by_client = {.udp = &client.udp[0], .remote = server.udp[0].bound};
	uint8_t challenge[NTM_CONTROL_MAX];
	struct outcome outcome;
	ssize_t len;

	(void)state;
	ends_request_answered(&client);
	/* the true packet is held back, its copy comes first, from another address */
	server.drop = drop_requests;
	server.last_len[NTM_TYPE_SESSION] = 0;
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	until(server.last_len[NTM_TYPE_SESSION], 5000);
	server.moved = 0;
	third_sends(&server, server.last[NTM_TYPE_SESSION], server.last_len[NTM_TYPE_SESSION]);
	until(server.requests == 2, 5000);
	assert_true(ntm_endpoint_equal(&server.peer.challenge->candidate.remote, &third.bound));
	assert_true(ntm_endpoint_equal(&server.peer.flow.remote, &client.udp[0].bound));
	server.drop = NULL;
	/* the challenge sent on to the client, as if the server had sent it there: its response proves
	 * nothing about third */
	len = read(third.fd, challenge, sizeof(challenge));
	assert_true(len > NTM_HEADER_LEN);
	assert_int_equal(ntm_session_receive(&client.sessions, &seen_by_client, challenge, (size_t)len), 0);
	ends_run_ms(20);
	assert_int_equal(server.moved, 0);
	assert_true(server.peer.challenge);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(server.requests, 2); /* repeated from its own address, it was answered as before */
	ends_run_ms(300);
	assert_int_equal(server.moved, 0);
	assert_true(ntm_endpoint_equal(&server.peer.flow.remote, &client.udp[0].bound));
	ends_request_answered(&server);
}

static size_t bytes_to[2]; /* the client's end, the server's */

static bool count_bytes(struct end *end, const struct ntm_flow *from, const uint8_t *packet, size_t len)
{
	(void)from;
	(void)packet;
	bytes_to[end == &server] += len;
	return end == &client; /* nothing comes back to who asked */
}

static void an_unproven_address_gets_three_times_what_came_from_it_at_most(void **state)
{
	struct outcome outcome;

	(void)state;
	ends_request_answered(&client);
	client.calls_from = 1;
	ntm_session_kick(&client.peer);
	bytes_to[0] = bytes_to[1] = 0;
	client.drop = server.drop = count_bytes;
	server.behaviour = REFUSE; /* a text: 80 bytes for 40 */
	assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
	for (int i = 0; i < 300; i++) {
		ends_run_ms(10);
		assert_true(bytes_to[0] <= 3 * bytes_to[1]);
	}
	assert_true(bytes_to[0] > 0);
	assert_true(server.peer.challenge);
	assert_int_equal(server.requests, 2); /* with the one before it moved */
	client.drop = server.drop = NULL;
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, -EREMOTEIO);
	until(!server.peer.challenge, 5000);
}

/* It comes behind the proof, not when the client asks again. */
static void an_answer_too_long_for_an_unproven_address_waits_for_the_proof(void **state)
{
	struct outcome outcome;
	unsigned came;

	(void)state;
	ends_request_answered(&client);
	client.calls_from = 1;
	ntm_session_kick(&client.peer);
	came = server.came[NTM_TYPE_SESSION];
	server.behaviour = REFUSE;
	client.peer.rtt.srtt_us = 2000000; /* it would be long */
	assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
	until(outcome.done, 1500);
	assert_int_equal(outcome.err, -EREMOTEIO);
	assert_string_equal(outcome.error.text, "mn.ntm.example is not a member");
	assert_true(ntm_endpoint_equal(&server.peer.flow.remote, &client.udp[1].bound));
	assert_int_equal(server.came[NTM_TYPE_SESSION], came + 2); /* the request, and the challenge's response */
	ends_run_ms(50);
	assert_int_equal(outcome.done, 1);
	assert_int_equal(client.error[NTM_DROP_UNMATCHED], 0);
}

static bool drop_to_first_address(struct end *end, const struct ntm_flow *from, const uint8_t *packet,
				  size_t len)
{
	(void)packet;
	(void)len;
	return end == &server ? from->udp == &server.udp[0]
			      : ntm_endpoint_equal(&from->remote, &server.udp[0].bound);
}

static void another_address_of_the_server_is_tried_and_then_used_both_ways(void **state)
{
	struct outcome outcome;

	(void)state;
	client.server[1] = server.udp[1].bound;
	client.peer.servers = 2;
	ends_request_answered(&client);
	assert_true(ntm_endpoint_equal(&client.peer.flow.remote, &server.udp[0].bound));
	server.drop = client.drop = drop_to_first_address;
	assert_int_equal(ends_request(&client, &outcome, 3000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_true(ntm_endpoint_equal(&client.peer.flow.remote, &server.udp[1].bound));
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 1);
	/* the server asks from the address that works */
	assert_ptr_equal(server.peer.flow.udp, &server.udp[1]);
	ends_request_answered(&server);
}

static void a_handshake_goes_to_the_next_address_when_one_is_dead(void **state)
{
	struct outcome outcome;

	(void)state;
	client.server[1] = server.udp[1].bound;
	client.peer.servers = 2;
	server.drop = drop_to_first_address;
	assert_int_equal(ends_request(&client, &outcome, 3000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
}

/* ---- restarts */

static void a_restarted_server_resets_and_the_request_is_answered_in_a_new_session(void **state)
{
	struct outcome outcome;

	(void)state;
	ends_request_answered(&client);
	ends_restart_server();
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(client.came[NTM_TYPE_RESET], 1);
	assert_int_equal(client.lost, 1);
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 2);
}

static void a_server_that_restarts_without_a_word_is_called_again(void **state)
{
	struct outcome outcome;

	(void)state;
	ends_request_answered(&client);
	ends_restart_server();
	ntm_limiter_init(&server.sessions.reply_limiter, 0, 0); /* no resets */
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(client.came[NTM_TYPE_RESET], 0);
}

static void only_a_reset_with_the_token_is_believed(void **state)
{
	struct ntm_reset reset;

	(void)state;
	ends_request_answered(&client);
	ntm_header_set(&reset.h, NTM_TYPE_RESET, 0, client.peer.current->remote_id);
	memset(reset.token, 0x55, sizeof(reset.token));
	third_sends(&client, (const uint8_t *)&reset, sizeof(reset));
	until(client.error[NTM_DROP_SESSION_UNKNOWN] == 1, 5000);
	assert_int_equal(client.lost, 0);
	assert_true(ntm_peer_is_up(&client.peer));
	/* the token of another ID neither */
	ntm_session_reset_token(&server.sessions, client.peer.current->remote_id ^ 1, reset.token);
	third_sends(&client, (const uint8_t *)&reset, sizeof(reset));
	until(client.error[NTM_DROP_SESSION_UNKNOWN] == 2, 5000);
	assert_true(ntm_peer_is_up(&client.peer));
	ntm_session_reset_token(&server.sessions, client.peer.current->remote_id, reset.token);
	third_sends(&client, (const uint8_t *)&reset, sizeof(reset));
	until(client.lost == 1, 5000);
	assert_false(ntm_peer_is_up(&client.peer));
}

static void resets_are_shorter_than_what_they_answer_and_few(void **state)
{
	uint8_t packet[64] = {NTM_TYPE_SESSION};
	uint8_t got[64];

	(void)state;
	third_sends(&server, packet, sizeof(struct ntm_reset));
	until(server.error[NTM_DROP_SESSION_UNKNOWN] == 1, 5000);
	assert_int_equal(read(third.fd, got, sizeof(got)), -1);
	for (unsigned i = 0; i < 30; i++)
		third_sends(&server, packet, sizeof(struct ntm_reset) + 1);
	until(server.error[NTM_DROP_SESSION_UNKNOWN] == 31, 5000);
	for (unsigned i = 0; i < NTM_UNAUTH_REPLIES_SOURCE_PER_S; i++)
		assert_int_equal(read(third.fd, got, sizeof(got)), sizeof(struct ntm_reset));
	assert_true(read(third.fd, got, sizeof(got)) < 0 ||
		    read(third.fd, got, sizeof(got)) < 0); /* one more ripened perhaps */
}

/* ---- losses and repetitions */

static bool drop_first_of_type(struct end *end, const struct ntm_flow *from, const uint8_t *packet,
			       size_t len)
{
	(void)from;
	(void)len;
	return end->came[packet[0]] == 1;
}

static void lost_packets_are_sent_again_until_answered(void **state)
{
	struct outcome outcome;

	(void)state;
	server.drop = client.drop = drop_first_of_type;
	assert_int_equal(ends_request(&client, &outcome, 8000, NULL), 0);
	until(outcome.done, 8000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(server.came[NTM_TYPE_SESSION_INIT], 3); /* lost, its answer lost, good */
	assert_int_equal(server.came[NTM_TYPE_SESSION], 3);
	assert_int_equal(server.requests, 1);
}

static void a_repeated_request_gets_the_same_answer_and_is_served_once(void **state)
{
	uint8_t first[NTM_CONTROL_MAX];
	struct outcome outcome;

	(void)state;
	ends_request_answered(&client);
	client.drop = drop_all; /* answers are lost */
	client.came[NTM_TYPE_SESSION] = 0;
	assert_int_equal(ends_request(&client, &outcome, 5000, NULL), 0);
	until(client.came[NTM_TYPE_SESSION] == 1, 5000);
	assert_int_equal(ntm_aead_open_once(client.peer.current->receive_key, 1,
					    client.last[NTM_TYPE_SESSION], NTM_HEADER_LEN,
					    client.last[NTM_TYPE_SESSION] + NTM_HEADER_LEN,
					    client.last_len[NTM_TYPE_SESSION] - NTM_HEADER_LEN, first),
			 NTM_MSG_HEADER_LEN + 22);
	until(client.came[NTM_TYPE_SESSION] == 2, 5000);
	assert_int_equal(server.requests, 2);
	{
		uint8_t again[NTM_CONTROL_MAX];

		assert_int_equal(
			ntm_aead_open_once(client.peer.current->receive_key, 2, client.last[NTM_TYPE_SESSION],
					   NTM_HEADER_LEN, client.last[NTM_TYPE_SESSION] + NTM_HEADER_LEN,
					   client.last_len[NTM_TYPE_SESSION] - NTM_HEADER_LEN, again),
			NTM_MSG_HEADER_LEN + 22);
		assert_memory_equal(again, first, NTM_MSG_HEADER_LEN + 22);
	}
	client.drop = NULL;
	until(outcome.done, 5000);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(server.requests, 2);
}

static void requests_that_take_long_are_served_once_and_bounded(void **state)
{
	struct outcome outcome[NTM_REQUESTS_MAX];
	struct ntm_session_answer *answer;
	unsigned kept = 0;

	(void)state;
	ends_request_answered(&client);
	server.behaviour = SILENT;
	for (int i = 0; i < NTM_REQUESTS_MAX; i++)
		assert_int_equal(ends_request(&client, &outcome[i], 400, NULL), 0);
	until(outcome[0].done, 5000);
	ends_run_ms(30);
	assert_true(server.came[NTM_TYPE_SESSION] > 2 * NTM_REQUESTS_MAX);
	assert_int_equal(server.requests, 1 + NTM_REQUESTS_MAX);
	/* one more is too many, until those never answered are forgotten */
	assert_int_equal(ends_request(&client, &outcome[0], 100, NULL), 0);
	until(outcome[0].done, 5000);
	assert_int_equal(server.requests, 1 + NTM_REQUESTS_MAX);
	SLIST_FOREACH(answer, &server.peer.answer, next)
	answer->came_ms -= NTM_REQUEST_TIMEOUT_MS + 1000;
	server.behaviour = ANSWER;
	for (int i = 0; i < 2 * NTM_ANSWERS_KEPT; i++)
		ends_request_answered(&client);
	SLIST_FOREACH(answer, &server.peer.answer, next)
	kept++;
	assert_in_range(kept, NTM_ANSWERS_KEPT, NTM_ANSWERS_KEPT + 1);
}

static void replayed_packets_do_nothing(void **state)
{
	(void)state;
	ends_request_answered(&client);
	server.moved = 0;
	third_sends(&server, server.last[NTM_TYPE_SESSION], server.last_len[NTM_TYPE_SESSION]);
	until(server.error[NTM_DROP_REPLAY] == 1, 5000);
	assert_int_equal(server.requests, 1);
	assert_int_equal(server.moved, 0);
	assert_int_equal((uintptr_t)server.peer.challenge, 0);
}

static void damaged_packets_do_nothing(void **state)
{
	uint8_t packet[NTM_CONTROL_MAX];
	struct outcome outcome;
	size_t len;

	(void)state;
	ends_request_answered(&client);
	server.drop = drop_requests;
	server.last_len[NTM_TYPE_SESSION] = 0;
	assert_int_equal(ends_request(&client, &outcome, 300, NULL), 0);
	until(outcome.done, 5000); /* all its packets are held back */
	server.drop = NULL;
	len = server.last_len[NTM_TYPE_SESSION];
	memcpy(packet, server.last[NTM_TYPE_SESSION], len);
	for (size_t i = 1; i < len;
	     i++) { /* all but the type; the ID leads to another session, the rest to another tag */
		packet[i] ^= 0x80;
		third_sends(&server, packet, len);
		packet[i] ^= 0x80;
	}
	until(server.error[NTM_DROP_SESSION_UNKNOWN] == 8 && server.error[NTM_DROP_AUTH] == (int)len - 9,
	      5000);
	assert_int_equal(server.requests, 1);
	third_sends(&server, packet, len); /* undamaged it is still new */
	until(server.requests == 2, 5000);
}

/* ---- whatever else comes */

static void echoes_say_the_source_and_are_bounded(void **state)
{
	struct ntm_echo echo = {0}, answer;
	struct ntm_endpoint seen = {0};

	(void)state;
	ntm_header_set(&echo.h, NTM_TYPE_ECHO, 0x123456, 0);
	third_sends(&server, (const uint8_t *)&echo, sizeof(echo));
	until(server.came[NTM_TYPE_ECHO] == 1, 5000);
	assert_int_equal(read(third.fd, &answer, sizeof(answer)), sizeof(answer));
	assert_int_equal(ntm_header_counter(&answer.h), 0x123456);
	assert_int_equal(ntm_header_id(&answer.h), 1);
	memcpy(seen.addr.b, answer.addr, 16);
	seen.port = (uint16_t)(answer.port[0] << 8 | answer.port[1]);
	assert_true(ntm_endpoint_equal(&seen, &third.bound));
	/* an answer is never answered, nor is what has another length */
	third_sends(&server, (const uint8_t *)&answer, sizeof(answer));
	third_sends(&server, (const uint8_t *)&echo, sizeof(echo) - 1);
	until(server.came[NTM_TYPE_ECHO] == 3, 5000);
	assert_int_equal(server.error[NTM_DROP_TYPE_UNEXPECTED], 1);
	assert_int_equal(server.error[NTM_DROP_SHORT], 1);
	assert_int_equal(read(third.fd, &answer, sizeof(answer)), -1);
	for (int i = 0; i < 20; i++)
		third_sends(&server, (const uint8_t *)&echo, sizeof(echo));
	until(server.came[NTM_TYPE_ECHO] == 23, 5000);
	assert_in_range(server.error[NTM_DROP_RATE], 8, 11);
}

static void packets_of_any_length_and_type_are_refused(void **state)
{
	struct ntm_flow flow = {.udp = &server.udp[0], .remote = third.bound};
	static const uint8_t types[] = {NTM_TYPE_SESSION_INIT,
					NTM_TYPE_SESSION_RESPONSE,
					NTM_TYPE_COOKIE,
					NTM_TYPE_SESSION,
					NTM_TYPE_RESET,
					NTM_TYPE_ECHO,
					NTM_TYPE_DATA,
					0,
					0xff};

	(void)state;
	for (size_t t = 0; t < sizeof(types); t++) {
		for (size_t len = 0; len <= NTM_CONTROL_MAX + 1; len++) {
			uint8_t *packet = calloc(1, len ? len : 1);

			packet[0] = len ? types[t] : 0;
			assert_true(ntm_session_receive(&server.sessions, &flow, packet, len) < 0);
			free(packet);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_client_that_changes_its_port_is_challenged_and_followed),
		TEST(a_packet_sent_on_from_elsewhere_moves_nobody),
		TEST(an_unproven_address_gets_three_times_what_came_from_it_at_most),
		TEST(an_answer_too_long_for_an_unproven_address_waits_for_the_proof),
		TEST(another_address_of_the_server_is_tried_and_then_used_both_ways),
		TEST(a_handshake_goes_to_the_next_address_when_one_is_dead),
		TEST(a_restarted_server_resets_and_the_request_is_answered_in_a_new_session),
		TEST(a_server_that_restarts_without_a_word_is_called_again),
		TEST(only_a_reset_with_the_token_is_believed),
		TEST(resets_are_shorter_than_what_they_answer_and_few),
		TEST(lost_packets_are_sent_again_until_answered),
		TEST(a_repeated_request_gets_the_same_answer_and_is_served_once),
		TEST(requests_that_take_long_are_served_once_and_bounded),
		TEST(replayed_packets_do_nothing),
		TEST(damaged_packets_do_nothing),
		TEST(echoes_say_the_source_and_are_bounded),
		TEST(packets_of_any_length_and_type_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
