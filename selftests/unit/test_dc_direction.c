/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dc_direction.c - a whole DC in this process, and around it two nodes, a relay and another DC that
 * speak the protocol over 127.0.0.1: what is directed, in which order, and what is said when it cannot be
 * (dc/direction.c, dc/relay.c, dc/path.c, dc/registration.c, dc/recall.c).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto.h"
#include "dc/dc.h"
#include "endpoint.h"

#define MN "mn.ntm.example"
#define CN "cn.ntm.example"
#define FAR "far.other.example" /* a member of the other DC */

struct outcome { /* of a request of a node */
	unsigned done;
	int err;
	uint16_t type;
	struct ntm_error_message error;
	struct ntm_registration_response registration;
	struct ntm_direction_response direction;
};

struct station { /* a node, the relay, or the other DC */
	struct ntm_sessions sessions;
	struct ntm_peer dc;
	struct ntm_udp udp;
	uint8_t private_key[NTM_KEY_LEN];
	const char *real;
	bool silent; /* answers no request */
	enum ntm_error refuses_once; /* the next Route Direction */
	unsigned routes, withdrawals, directions, relay_withdrawals; /* received */
	unsigned order; /* of the last Route or Relay Direction among all */
	struct ntm_route_direction route;
	struct ntm_route_withdraw withdraw;
	struct ntm_relay_direction direction;
	uint64_t boot_id;
	struct ntm_location location; /* what it tells when it is asked */
	struct outcome outcome;
};

static struct dc dc;
static struct station mn, cn, rs, other;
static unsigned order;
static char folder[64], socket_path[96], database[96];

#define until(condition)                                                                       \
	do {                                                                                   \
		int64_t end_ = ntm_loop_now_ms() + 8000;                                       \
		while (!(condition)) {                                                         \
			if (ntm_loop_now_ms() >= end_)                                         \
				fail_msg("line %d: not within 8 s: %s", __LINE__, #condition); \
			loop_step();                                                           \
		}                                                                              \
	} while (0)

static void loop_step(void)
{
	struct timeval tv = {.tv_usec = 10000};

	event_base_loopexit(dc.loop.base, &tv);
	event_base_loop(dc.loop.base, EVLOOP_ONCE);
}

/* Lets what is on its way arrive. */
static void settle(void)
{
	int64_t end = ntm_loop_now_ms() + 100;

	while (ntm_loop_now_ms() < end)
		loop_step();
}

/* ---- stations */

static void on_packet(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct station *station = ctx;

	ntm_session_receive(&station->sessions, from, packet, len);
}

static struct ntm_peer *on_accept(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	return ntm_peer_find(&((struct station *)ctx)->sessions, key);
}

static void relay_answer(struct station *station, const struct ntm_session_from *from)
{
	struct ntm_relay_response response = {.boot_id = station->boot_id};
	uint8_t body[DC_BODY_MAX];
	int n = ntm_msg_relay_response_build(DC_FIELDS(body), DC_FIELDS_MAX, &response);

	assert_true(n > 0);
	ntm_session_answer(from, NTM_MSG_RELAY_RESPONSE, body, (size_t)n);
}

static void location_answer(struct station *station, const struct ntm_session_from *from)
{
	uint8_t body[DC_BODY_MAX];
	int n = ntm_msg_location_build(DC_FIELDS(body), DC_FIELDS_MAX, &station->location);

	assert_true(n > 0);
	ntm_session_answer(from, NTM_MSG_LOCATION_RESPONSE, body, (size_t)n);
}

static void on_request(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	struct station *station = ctx;
	struct ntm_relay_withdraw relay_withdraw;
	uint8_t body[NTM_MSG_HEADER_LEN];

	switch (message->type) {
	case NTM_MSG_KEEPALIVE_REQUEST:
		if (!station->silent)
			ntm_session_answer(from, NTM_MSG_KEEPALIVE_RESPONSE, body, 0);
		return;
	case NTM_MSG_ROUTE_DIRECTION:
		assert_int_equal(
			ntm_msg_route_direction_parse(&station->route, message->fields, message->len), 0);
		station->routes++;
		station->order = ++order;
		break;
	case NTM_MSG_ROUTE_WITHDRAW:
		assert_int_equal(
			ntm_msg_route_withdraw_parse(&station->withdraw, message->fields, message->len), 0);
		station->withdrawals++;
		break;
	case NTM_MSG_RELAY_DIRECTION:
		assert_int_equal(
			ntm_msg_relay_direction_parse(&station->direction, message->fields, message->len), 0);
		station->directions++;
		station->order = ++order;
		if (!station->silent)
			relay_answer(station, from);
		return;
	case NTM_MSG_LOCATION_REQUEST:
		location_answer(station, from);
		return;
	case NTM_MSG_RELAY_WITHDRAW:
		assert_int_equal(ntm_msg_relay_withdraw_parse(&relay_withdraw, message->fields, message->len),
				 0);
		station->relay_withdrawals++;
		break;
	default:
		fail_msg("message %u", message->type);
	}
	if (station->silent)
		return;
	if (message->type == NTM_MSG_ROUTE_DIRECTION && station->refuses_once) {
		ntm_session_refuse(from, station->refuses_once, "no");
		station->refuses_once = NTM_ERROR_NONE;
		return;
	}
	ntm_session_answer(from, message->type + 1, body, 0);
}

static const struct ntm_session_ops station_ops = {.accept = on_accept, .request = on_request};

static struct ntm_udp *station_socket(void *ctx, const struct ntm_endpoint *remote)
{
	(void)remote;
	return &((struct station *)ctx)->udp;
}

static void station_open(struct station *station, const char *real)
{
	uint8_t public_key[NTM_KEY_LEN];
	struct ntm_endpoint any;

	*station = (struct station){.real = real, .boot_id = 7};
	ntm_crypto_keypair(station->private_key, public_key);
	assert_int_equal(ntm_endpoint_parse(&any, "127.0.0.1:0", 0), 0);
	assert_int_equal(ntm_udp_open(&station->udp, dc.loop.base, &any, true, on_packet, station), 0);
	assert_int_equal(ntm_sessions_init(&station->sessions, dc.loop.base, station->private_key,
					   &station_ops, station, station_socket),
			 0);
}

static void station_connect(struct station *station, bool calls)
{
	memcpy(station->dc.key, dc.sessions.public_key, NTM_KEY_LEN);
	station->dc.server = &dc.udp[0].bound;
	station->dc.servers = calls;
	assert_int_equal(ntm_peer_add(&station->sessions, &station->dc), 0);
}

static void station_close(struct station *station)
{
	ntm_peer_remove(&station->dc);
	ntm_sessions_clear(&station->sessions);
	ntm_udp_close(&station->udp);
}

static void on_done(void *arg, int err, const struct ntm_message *message,
		    const struct ntm_error_message *error)
{
	struct outcome *outcome = arg;

	outcome->done++;
	outcome->err = err;
	if (error)
		outcome->error = *error;
	if (!message)
		return;
	outcome->type = message->type;
	if (message->type == NTM_MSG_REGISTRATION_RESPONSE)
		assert_int_equal(ntm_msg_registration_response_parse(&outcome->registration, message->fields,
								     message->len),
				 0);
	if (message->type == NTM_MSG_DIRECTION_RESPONSE)
		assert_int_equal(
			ntm_msg_direction_response_parse(&outcome->direction, message->fields, message->len),
			0);
}

static void send_request(struct station *station, uint16_t type, uint8_t *body, int n)
{
	assert_true(n >= 0);
	memset(&station->outcome, 0, sizeof(station->outcome));
	assert_int_equal(ntm_session_request(&station->dc, type, body, (size_t)n, NTM_REQUEST_TIMEOUT_MS,
					     on_done, &station->outcome, NULL),
			 0);
}

static void send_registration(struct station *station, const char *fqdn)
{
	struct ntm_registration_request request = {.reals = 1, .nat = NTM_NAT_HARD, .boot_id = 1};
	uint8_t body[DC_BODY_MAX];

	strcpy(request.fqdn, fqdn);
	assert_int_equal(ntm_endpoint_parse(&request.real[0], station->real, 7000), 0);
	send_request(station, NTM_MSG_REGISTRATION_REQUEST, body,
		     ntm_msg_registration_request_build(DC_FIELDS(body), DC_FIELDS_MAX, &request));
}

static void registered(struct station *station, const char *fqdn)
{
	send_registration(station, fqdn);
	until(station->outcome.done);
	assert_int_equal(station->outcome.err, 0);
}

static void send_direction(struct station *station, const char *fqdn, uint64_t path_id,
			   enum ntm_reason reason)
{
	struct ntm_direction_request request = {.path_id = path_id, .reason = (uint8_t)reason};
	uint8_t body[DC_BODY_MAX];

	strcpy(request.fqdn, fqdn);
	send_request(station, NTM_MSG_DIRECTION_REQUEST, body,
		     ntm_msg_direction_request_build(DC_FIELDS(body), DC_FIELDS_MAX, &request));
}

static void directed(struct station *station, const char *fqdn, uint64_t path_id, enum ntm_reason reason)
{
	send_direction(station, fqdn, path_id, reason);
	until(station->outcome.done);
	assert_int_equal(station->outcome.err, 0);
	settle();
}

static void assert_refused(struct station *station, enum ntm_error code)
{
	until(station->outcome.done);
	assert_int_equal(station->outcome.err, -EREMOTEIO);
	assert_int_equal(station->outcome.error.code, code);
	assert_true(strlen(station->outcome.error.text) > 10 || !strcmp(station->outcome.error.text, "no"));
}

/* ---- the DC */

static void dc_open(void)
{
	struct ntm_endpoint any;
	char why[512];

	assert_int_equal(ntm_endpoint_parse(&any, "127.0.0.1:0", 0), 0);
	strcpy(dc.config.name, "dc.ntm.example");
	strcpy(dc.config.zone, "ntm.example");
	snprintf(socket_path, sizeof(socket_path), "%s/dc.sock", folder);
	snprintf(database, sizeof(database), "sqlite:%s/dc.sqlite", folder);
	dc.config.control_socket = strdup(socket_path);
	dc.config.database = strdup(database);
	assert_int_equal(dc_prefix_parse(&dc.config.virtual4, "198.18.0.0/16"), 0);
	assert_int_equal(dc_prefix_parse(&dc.config.virtual6, "fd4e:544d:1::/64"), 0);
	TAILQ_INIT(&dc.location);
	ntm_crypto_random(dc.config.private_key, NTM_KEY_LEN);
	assert_int_equal(ntm_sessions_init(&dc.sessions, dc.loop.base, dc.config.private_key, &dc_receive_ops,
					   &dc, dc_receive_socket_for),
			 0);
	dc.sessions.requests_max = NTM_REQUESTS_SERVER_MAX;
	assert_int_equal(ntm_udp_open(&dc.udp[0], dc.loop.base, &any, true, dc_receive, &dc), 0);
	dc.udps = 1;
	dc.config.relay = calloc(1, sizeof(*dc.config.relay));
	dc.config.relays = 1;
	strcpy(dc.config.relay->name, "rs1.ntm.example");
	memcpy(dc.config.relay->public_key, rs.sessions.public_key, NTM_KEY_LEN);
	dc.config.relay->endpoint[0] = rs.udp.bound;
	dc.config.relay->endpoints = 1;
	dc.config.peer = calloc(1, sizeof(*dc.config.peer));
	dc.config.peers = 1;
	strcpy(dc.config.peer->name, "dc.other.example");
	strcpy(dc.config.peer->zone, "other.example");
	memcpy(dc.config.peer->public_key, other.sessions.public_key, NTM_KEY_LEN);
	dc.config.peer->endpoint[0] = other.udp.bound;
	dc.config.peer->endpoints = 1;
	assert_int_equal(dc_path_open(&dc), 0);
	assert_int_equal(dc_relay_open(&dc, why, sizeof(why)), 0);
	assert_int_equal(dc_location_open(&dc, why, sizeof(why)), 0);
	assert_int_equal(dc_member_open(&dc, why, sizeof(why)), 0);
	assert_int_equal(dc_control_open(&dc, why, sizeof(why)), 0);
	dc_relay_start(&dc);
}

static int setup(void **state)
{
	struct dc_member *member;
	char why[512];

	(void)state;
	memset(&dc, 0, sizeof(dc));
	order = 0;
	strcpy(folder, "/tmp/ntm_test_dc.XXXXXX");
	if (!mkdtemp(folder) || ntm_loop_init(&dc.loop, NULL, NULL))
		return -1;
	station_open(&mn, "192.168.1.2");
	station_open(&cn, "10.0.0.2");
	station_open(&rs, NULL);
	station_open(&other, NULL);
	dc_open();
	station_connect(&mn, true);
	station_connect(&cn, true);
	station_connect(&rs, false);
	station_connect(&other, true);
	assert_int_equal(dc_member_add(&dc, MN, mn.sessions.public_key, &member, why, sizeof(why)), 0);
	assert_int_equal(dc_member_add(&dc, CN, cn.sessions.public_key, &member, why, sizeof(why)), 0);
	until(dc.relay[0].alive);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	dc_control_close(&dc);
	dc_direction_close(&dc);
	dc_path_close(&dc);
	dc_member_close(&dc);
	dc_location_close(&dc);
	dc_relay_close(&dc);
	ntm_sessions_clear(&dc.sessions);
	ntm_udp_close(&dc.udp[0]);
	station_close(&mn);
	station_close(&cn);
	station_close(&rs);
	station_close(&other);
	ntm_loop_clear(&dc.loop);
	dc_config_clear(&dc.config);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

/* ---- registration */

static void a_node_registers_under_its_own_name_only(void **state)
{
	(void)state;
	send_registration(&mn, CN);
	assert_refused(&mn, NTM_ERROR_WRONG_NAME);
	assert_non_null(strstr(mn.outcome.error.text, MN));
	assert_int_equal(dc.locations, 0);
	registered(&mn, MN);
	assert_int_equal(dc.locations, 1);
	assert_memory_equal(mn.outcome.registration.vip4, "\xc6\x12\x00\x02", 4);
	assert_int_equal(mn.outcome.registration.vip4_prefix, 16);
	assert_true(ntm_endpoint_equal(&mn.outcome.registration.observed, &mn.udp.bound));
	assert_int_equal(mn.outcome.registration.relays, 1);
	assert_string_equal(mn.outcome.registration.relay[0].name, "rs1.ntm.example");
}

static void a_keepalive_holds_a_location_and_makes_none(void **state)
{
	uint8_t body[DC_BODY_MAX];
	int64_t heard_ms;

	(void)state;
	send_request(&mn, NTM_MSG_KEEPALIVE_REQUEST, body, 0);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED);
	registered(&mn, MN);
	heard_ms = TAILQ_FIRST(&dc.location)->heard_ms;
	settle();
	send_request(&mn, NTM_MSG_KEEPALIVE_REQUEST, body, 0);
	until(mn.outcome.done);
	assert_int_equal(mn.outcome.err, 0);
	assert_true(TAILQ_FIRST(&dc.location)->heard_ms > heard_ms);
	dc_keepalive_expire(&dc, ntm_loop_now_ms() + (NTM_LOCATION_LIFETIME_S - 1) * 1000LL);
	assert_int_equal(dc.locations, 1);
	dc_keepalive_expire(&dc, ntm_loop_now_ms() + (NTM_LOCATION_LIFETIME_S + 1) * 1000LL);
	assert_int_equal(dc.locations, 0);
}

/* ---- a restart */

static int collect_session(void *ctx, const struct dc_store_session *session)
{
	struct dc_store_session *found = ctx;

	*(found->id ? found + 1 : found) = *session;
	return 0;
}

static bool stored(struct dc_store_session found[2])
{
	char why[DC_STORE_WHY];

	memset(found, 0, 2 * sizeof(*found));
	assert_int_equal(dc_store_sessions(dc.store, collect_session, found, why, sizeof(why)), 0);
	return found[0].id;
}

/* Waits for the next batch, but not for the time that passes before it is written. */
static void until_stored(struct dc_store_session found[2], unsigned count)
{
	ntm_timer_set_ms(dc.recall_store, 0);
	until(stored(found) && (count < 2 || found[1].id));
}

static void the_store_has_where_a_member_is_until_its_location_expires(void **state)
{
	struct dc_store_session found[2];
	uint8_t body[DC_BODY_MAX];
	struct dc_member *member = dc_member_find(&dc, MN);

	(void)state;
	registered(&mn, MN);
	assert_false(stored(found)); /* not on the way of a message */
	until(stored(found));
	assert_true(!found[1].id);
	assert_string_equal(found[0].fqdn, MN);
	assert_true(ntm_endpoint_equal(&found[0].remote, &mn.udp.bound));
	assert_true(ntm_endpoint_equal(&found[0].listen, &dc.udp[0].bound));
	assert_true(found[0].id == ntm_session_id(&member->actor.peer));
	send_request(&mn, NTM_MSG_KEEPALIVE_REQUEST, body, 0);
	until(mn.outcome.done);
	registered(&mn, MN);
	assert_false(member->changed); /* nothing to write */
	dc_keepalive_expire(&dc, ntm_loop_now_ms() + NTM_LOCATION_LIFETIME_S * 1000LL + 1);
	assert_null(member->location);
	until(!stored(found));
	assert_true(!member->stored);
}

/* As a DC that was killed and started: it knows no session, and who was registered only from the store. */
static void forget_like_a_restart(const char *fqdn)
{
	struct dc_member *member = dc_member_find(&dc, fqdn);
	struct ntm_peer *peer = &member->actor.peer;
	uint8_t key[NTM_KEY_LEN];

	memcpy(key, peer->key, NTM_KEY_LEN);
	dc_member_location_end(member);
	member->stored = 0;
	ntm_peer_remove(peer);
	memset(peer, 0, sizeof(*peer));
	memcpy(peer->key, key, NTM_KEY_LEN);
	assert_int_equal(ntm_peer_add(&dc.sessions, peer), 0);
}

static void a_restarted_dc_calls_the_nodes_back_that_are_away(void **state)
{
	struct dc_store_session found[2];
	struct dc_member *member;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	until_stored(found, 2);
	forget_like_a_restart(MN);
	dc_recall_start(&dc);
	until(!ntm_peer_is_up(&mn.dc)); /* the reset came, and was believed */
	assert_true(ntm_peer_is_up(&cn.dc)); /* this one was not away */
	registered(&mn, MN);
	member = dc_member_find(&dc, MN);
	until(!member->call);
	settle();
	assert_true(ntm_peer_is_up(&mn.dc)); /* once is enough */
	ntm_timer_set_ms(dc.recall_store, 0);
	until(stored(found) && (found[0].id == ntm_session_id(&member->actor.peer) ||
				found[1].id == ntm_session_id(&member->actor.peer)));
}

static void who_does_not_come_back_is_forgotten(void **state)
{
	struct dc_store_session found[2];

	(void)state;
	registered(&mn, MN);
	until_stored(found, 1);
	forget_like_a_restart(MN);
	dc_recall_start(&dc);
	until(!dc_member_find(&dc, MN)->call);
	settle();
	assert_true(stored(found));
	dc.recall_end_ms = ntm_loop_now_ms(); /* the life of a location later */
	ntm_timer_set_ms(dc.recall_call, 0);
	until(!stored(found));
}

static void a_removed_member_learns_it_at_once_and_why(void **state)
{
	struct dc_store_session found[2];
	char why[512];

	(void)state;
	registered(&mn, MN);
	until_stored(found, 1);
	assert_int_equal(dc_member_del(&dc, MN, why, sizeof(why)), 0);
	assert_false(stored(found));
	until(!ntm_peer_is_up(&mn.dc));
	send_registration(&mn, MN);
	assert_refused(&mn, NTM_ERROR_NOT_MEMBER);
	assert_true(ntm_peer_is_up(&mn.dc));
	until(LIST_EMPTY(&dc.leaver));
	until(!ntm_peer_is_up(&mn.dc)); /* nor is the session it was told in any more */
}

/* ---- directions */

static void both_ends_and_the_relay_are_directed_to_one_path(void **state)
{
	uint8_t context[9], leg[NTM_KEY_LEN];

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(mn.routes, 1);
	assert_int_equal(cn.routes, 1);
	assert_int_equal(rs.directions, 1);
	assert_true(mn.order > cn.order && mn.order > rs.order); /* the requester last */
	assert_string_equal(mn.route.fqdn, CN);
	assert_string_equal(cn.route.fqdn, MN);
	assert_int_equal(mn.route.side, 0);
	assert_int_equal(cn.route.side, 1);
	assert_memory_equal(mn.route.public_key, cn.sessions.public_key, NTM_KEY_LEN);
	assert_memory_equal(cn.route.public_key, mn.sessions.public_key, NTM_KEY_LEN);
	assert_memory_equal(mn.route.ck, cn.route.ck, NTM_KEY_LEN);
	assert_true(mn.route.path_id && mn.route.path_id == cn.route.path_id &&
		    mn.route.path_id == rs.direction.path_id);
	assert_true(mn.outcome.direction.path_id == mn.route.path_id);
	assert_string_equal(mn.outcome.direction.fqdn, CN);
	assert_memory_equal(mn.route.vip4, "\xc6\x12\x00\x03", 4);
	assert_memory_equal(cn.route.vip4, "\xc6\x12\x00\x02", 4);
	assert_string_equal(mn.route.relay.name, "rs1.ntm.example");
	assert_string_equal(cn.route.relay.name, "rs1.ntm.example");
	assert_int_equal(mn.route.candidates, 1); /* the same "NAT": both are seen as 127.0.0.1 */
	assert_int_equal(mn.route.candidate[0].kind, NTM_ROUTE_PRIVATE4);
	assert_int_equal(mn.route.verdicts, 6);
	for (int i = 0; i < 8; i++)
		context[i] = (uint8_t)(mn.route.path_id >> (56 - 8 * i));
	for (int side = 0; side < 2; side++) {
		context[8] = (uint8_t)side;
		ntm_crypto_derive(leg, mn.route.ck, "leg", context, 9);
		assert_memory_equal(rs.direction.leg_key[side], leg, NTM_KEY_LEN);
	}
}

static void what_cannot_be_directed_is_refused_with_a_reason(void **state)
{
	(void)state;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED); /* itself */
	registered(&mn, MN);
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED); /* the other */
	assert_non_null(strstr(mn.outcome.error.text, CN));
	send_direction(&mn, "nobody.ntm.example", 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NAME_UNKNOWN);
	send_direction(&mn, "www.example.com", 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NAME_UNKNOWN);
	send_direction(&mn, MN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_REFUSED);
	assert_int_equal(dc.path.count, 0);
	assert_int_equal(dc.directions, 0);
}

static void a_held_path_keeps_its_id_and_a_lost_one_does_not(void **state)
{
	uint8_t ck[NTM_KEY_LEN];
	uint64_t id;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	id = mn.route.path_id;
	memcpy(ck, mn.route.ck, NTM_KEY_LEN);
	directed(&mn, CN, id, NTM_REASON_HANDOVER);
	assert_true(mn.route.path_id == id);
	assert_memory_equal(mn.route.ck, ck, NTM_KEY_LEN);
	/* the other end may ask too, and keeps its side */
	directed(&cn, MN, id, NTM_REASON_HANDOVER);
	assert_true(cn.route.path_id == id);
	assert_int_equal(cn.route.side, 1);
	assert_int_equal(mn.route.side, 0);
	/* a renewed one has a new CK */
	directed(&mn, CN, id, NTM_REASON_RENEW);
	assert_true(cn.route.path_id == id);
	assert_memory_not_equal(cn.route.ck, ck, NTM_KEY_LEN);
	assert_memory_equal(cn.route.ck, mn.route.ck, NTM_KEY_LEN);
	assert_int_equal(dc.path.count, 1);
	/* one the DC does not know is drawn anew */
	directed(&mn, CN, id ^ 1, NTM_REASON_HANDOVER);
	assert_true(mn.route.path_id != id && mn.route.path_id != (id ^ 1));
	id = mn.route.path_id;
	directed(&cn, MN, id, NTM_REASON_LOST);
	assert_true(cn.route.path_id != id);
	assert_int_equal(cn.route.side, 0);
	/* those before are withdrawn at the relay after a while */
	assert_int_equal(dc.path.count, 3);
	dc_path_tick(&dc, ntm_loop_now_ms() + DC_DRAIN_MS + 1);
	assert_int_equal(dc.path.count, 1);
	until(rs.relay_withdrawals == 2);
}

static void without_the_relay_a_direct_candidate_is_enough(void **state)
{
	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	rs.silent = true;
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_string_equal(mn.route.relay.name, "");
	assert_string_equal(cn.route.relay.name, "");
	assert_int_equal(mn.route.verdict[5].why, NTM_WHY_RELAY_DOWN);
	assert_false(dc.relay[0].alive);
}

static void without_relay_and_candidate_there_is_no_route(void **state)
{
	(void)state;
	cn.real = "2001:db8::2";
	registered(&mn, MN);
	registered(&cn, CN);
	/* the correspondent is seen by IPv6 only */
	memset(&dc_member_find(&dc, CN)->location->observed, 0,
	       sizeof(dc_member_find(&dc, CN)->location->observed));
	rs.silent = true;
	dc.relay[0].has6 = true;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NO_ROUTE);
	assert_non_null(strstr(mn.outcome.error.text, "relay"));
	assert_int_equal(mn.routes, 0);
	assert_int_equal(dc.path.count, 0);
	until(cn.withdrawals == 1); /* it had been told */
}

static void a_path_id_that_is_taken_is_drawn_again(void **state)
{
	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	cn.refuses_once = NTM_ERROR_PATH_ID_TAKEN;
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(cn.routes, 2);
	assert_true(rs.direction.path_id == cn.route.path_id && mn.route.path_id == cn.route.path_id);
	assert_memory_equal(mn.route.ck, cn.route.ck, NTM_KEY_LEN);
	assert_int_equal(dc.path.count, 1);
}

static void what_the_correspondent_refuses_is_passed_on(void **state)
{
	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	cn.refuses_once = NTM_ERROR_SUPERSEDED;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_SUPERSEDED);
	assert_int_equal(mn.routes, 0);
	assert_int_equal(dc.path.count, 0);
	cn.silent = true;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_TIMEOUT);
	assert_int_equal(dc.path.count, 0);
}

static void of_crossing_directions_that_of_the_lower_key_is_kept(void **state)
{
	bool mn_is_lower = memcmp(mn.sessions.public_key, cn.sessions.public_key, NTM_KEY_LEN) < 0;
	struct station *kept = mn_is_lower ? &mn : &cn, *refused = mn_is_lower ? &cn : &mn;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	rs.silent = true; /* holds both in the middle */
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	send_direction(&cn, MN, 0, NTM_REASON_NAME);
	until(refused->outcome.done);
	assert_refused(refused, NTM_ERROR_SUPERSEDED);
	until(kept->outcome.done);
	assert_int_equal(kept->outcome.err, 0);
	settle();
	assert_int_equal(dc.path.count, 1);
	assert_true(kept->route.path_id == refused->route.path_id);
	assert_int_equal(kept->route.side, 0);
	assert_int_equal(refused->route.side, 1);
}

/* ---- the end of paths */

static void removing_a_member_ends_its_paths_everywhere(void **state)
{
	char why[512];

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(dc_member_del(&dc, CN, why, sizeof(why)), 0);
	until(mn.withdrawals == 1 && cn.withdrawals == 1 && rs.relay_withdrawals == 1);
	assert_true(mn.withdraw.path_id == mn.route.path_id);
	assert_int_equal(mn.withdraw.reason, NTM_REASON_REMOVED);
	assert_int_equal(dc.path.count, 0);
	send_registration(&cn, CN);
	assert_refused(&cn, NTM_ERROR_NOT_MEMBER);
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NAME_UNKNOWN);
}

static void a_node_withdraws_its_own_paths_only(void **state)
{
	struct ntm_route_withdraw withdraw = {.reason = NTM_REASON_IDLE};
	struct station *third = calloc(1, sizeof(*third));
	struct dc_member *member;
	uint8_t body[DC_BODY_MAX];
	char why[512];

	(void)state;
	station_open(third, "192.0.2.9");
	station_connect(third, true);
	assert_int_equal(dc_member_add(&dc, "third.ntm.example", third->sessions.public_key, &member, why,
				       sizeof(why)),
			 0);
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	withdraw.path_id = mn.route.path_id;
	send_request(third, NTM_MSG_ROUTE_WITHDRAW, body,
		     ntm_msg_route_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw));
	until(third->outcome.done);
	assert_int_equal(dc.path.count, 1);
	send_request(&cn, NTM_MSG_ROUTE_WITHDRAW, body,
		     ntm_msg_route_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw));
	until(cn.outcome.done && rs.relay_withdrawals == 1);
	assert_int_equal(cn.outcome.err, 0);
	assert_int_equal(dc.path.count, 0);
	station_close(third);
	free(third);
}

static void a_restarted_relay_is_directed_again(void **state)
{
	struct ntm_relay_report report = {.boot_id = 7, .load = {.cpu_permille = 123}};
	uint8_t body[DC_BODY_MAX];
	int n;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(rs.directions, 1);
	for (int boot = 0; boot < 2; boot++) { /* the same, then a new one */
		report.boot_id = rs.boot_id = 7 + (uint64_t)boot;
		n = ntm_msg_relay_report_build(DC_FIELDS(body), DC_FIELDS_MAX, &report);
		assert_true(n > 0);
		assert_int_equal(ntm_session_notify(&rs.dc, NTM_MSG_RELAY_REPORT, body, (size_t)n), 0);
		settle();
		assert_int_equal(dc.relay[0].load.cpu_permille, 123);
		assert_int_equal(rs.directions, 1 + boot);
	}
	assert_true(rs.direction.path_id == mn.route.path_id);
	assert_int_equal(dc.relay[0].redirects, 0);
}

static void a_ck_that_grows_old_is_renewed_and_then_forgotten(void **state)
{
	uint8_t ck[NTM_KEY_LEN];

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	memcpy(ck, mn.route.ck, NTM_KEY_LEN);
	dc_path_tick(&dc, ntm_loop_now_ms() + NTM_CK_LIFETIME_S * 800LL); /* 80 % of it */
	until(mn.routes == 2 && cn.routes == 2);
	assert_int_equal(mn.route.reason, NTM_REASON_RENEW);
	assert_memory_equal(mn.route.ck, cn.route.ck, NTM_KEY_LEN);
	assert_memory_not_equal(mn.route.ck, ck, NTM_KEY_LEN);
	assert_int_equal(dc.path.count, 1);
	dc_path_tick(&dc, ntm_loop_now_ms() + NTM_CK_LIFETIME_S * 1000LL + 1000);
	assert_int_equal(dc.path.count, 0);
}

/* ---- two DCs */

static void far_describe(void)
{
	other.location = (struct ntm_location){.vip4 = {198, 19, 0, 9},
					       .vip6 = {0xfd, 1, [15] = 9},
					       .registered = 1,
					       .reals = 1,
					       .observeds = 1};
	strcpy(other.location.fqdn, FAR);
	memset(other.location.public_key, 0x55, NTM_KEY_LEN);
	assert_int_equal(ntm_endpoint_parse(&other.location.real[0], "192.0.2.1:7000", 0), 0);
	other.location.observed[0] = other.location.real[0];
}

static void a_member_of_another_dc_is_directed_through_it(void **state)
{
	struct ntm_route_withdraw withdraw = {.reason = NTM_REASON_IDLE};
	uint8_t body[DC_BODY_MAX];

	(void)state;
	far_describe();
	registered(&mn, MN);
	directed(&mn, FAR, 0, NTM_REASON_NAME);
	assert_int_equal(other.routes, 1);
	assert_string_equal(other.route.target, FAR);
	assert_string_equal(other.route.fqdn, MN);
	assert_int_equal(other.route.side, 1);
	assert_string_equal(mn.route.fqdn, FAR);
	assert_string_equal(mn.route.target, "");
	assert_memory_equal(mn.route.vip4, other.location.vip4, 4);
	assert_memory_equal(mn.route.public_key, other.location.public_key, NTM_KEY_LEN);
	assert_int_equal(mn.route.candidate[0].kind, NTM_ROUTE_NAT4);
	/* the other DC's member closes it: our member is told */
	withdraw.path_id = mn.route.path_id;
	strcpy(withdraw.target, MN);
	send_request(&other, NTM_MSG_ROUTE_WITHDRAW, body,
		     ntm_msg_route_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw));
	until(mn.withdrawals == 1 && rs.relay_withdrawals == 1);
	assert_int_equal(dc.path.count, 0);
}

static void another_dc_is_believed_about_its_own_zone_only(void **state)
{
	(void)state;
	registered(&mn, MN);
	far_describe();
	strcpy(other.location.fqdn, "far.third.example");
	send_direction(&mn, FAR, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_REFUSED);
	far_describe();
	other.location.vip4[1] = 18; /* an address of our pool */
	send_direction(&mn, FAR, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_REFUSED);
	far_describe();
	other.location.registered = 0;
	send_direction(&mn, FAR, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED);
	assert_int_equal(dc.path.count, 0);
}

static void send_far_route(const char *target, const char *fqdn, uint8_t vip4_second)
{
	struct ntm_route_direction route = {.path_id = 42,
					    .side = 1,
					    .lifetime_s = 1000,
					    .vip4 = {198, vip4_second, 0, 9},
					    .vip6 = {0xfd, 1, [15] = 9},
					    .reason = NTM_REASON_NAME};
	uint8_t body[DC_BODY_MAX];

	strcpy(route.fqdn, fqdn);
	strcpy(route.target, target);
	memset(route.public_key, 0x55, NTM_KEY_LEN);
	memset(route.ck, 0x66, NTM_KEY_LEN);
	send_request(&other, NTM_MSG_ROUTE_DIRECTION, body,
		     ntm_msg_route_direction_build(DC_FIELDS(body), DC_FIELDS_MAX, &route));
}

static void another_dc_directs_routes_to_our_members_and_gets_their_answer(void **state)
{
	char why[512];

	(void)state;
	send_far_route(MN, FAR, 19);
	assert_refused(&other, NTM_ERROR_NOT_REGISTERED);
	registered(&mn, MN);
	send_far_route("nobody.ntm.example", FAR, 19);
	assert_refused(&other, NTM_ERROR_NAME_UNKNOWN);
	send_far_route(MN, CN, 19);
	assert_refused(&other, NTM_ERROR_REFUSED);
	send_far_route(MN, FAR, 18);
	assert_refused(&other, NTM_ERROR_REFUSED);
	assert_int_equal(mn.routes, 0);
	mn.refuses_once = NTM_ERROR_PATH_ID_TAKEN;
	send_far_route(MN, FAR, 19);
	assert_refused(&other, NTM_ERROR_PATH_ID_TAKEN);
	assert_int_equal(dc.path.count, 0);
	send_far_route(MN, FAR, 19);
	until(other.outcome.done);
	assert_int_equal(other.outcome.err, 0);
	assert_int_equal(mn.routes, 2);
	assert_string_equal(mn.route.fqdn, FAR);
	assert_string_equal(mn.route.target, "");
	assert_int_equal(dc.path.count, 1);
	/* removal tells both */
	assert_int_equal(dc_member_del(&dc, MN, why, sizeof(why)), 0);
	until(mn.withdrawals == 1 && other.withdrawals == 1);
	assert_string_equal(other.withdraw.target, FAR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_node_registers_under_its_own_name_only),
		TEST(a_keepalive_holds_a_location_and_makes_none),
		TEST(the_store_has_where_a_member_is_until_its_location_expires),
		TEST(a_restarted_dc_calls_the_nodes_back_that_are_away),
		TEST(who_does_not_come_back_is_forgotten),
		TEST(a_removed_member_learns_it_at_once_and_why),
		TEST(both_ends_and_the_relay_are_directed_to_one_path),
		TEST(what_cannot_be_directed_is_refused_with_a_reason),
		TEST(a_held_path_keeps_its_id_and_a_lost_one_does_not),
		TEST(without_the_relay_a_direct_candidate_is_enough),
		TEST(without_relay_and_candidate_there_is_no_route),
		TEST(a_path_id_that_is_taken_is_drawn_again),
		TEST(what_the_correspondent_refuses_is_passed_on),
		TEST(of_crossing_directions_that_of_the_lower_key_is_kept),
		TEST(removing_a_member_ends_its_paths_everywhere),
		TEST(a_node_withdraws_its_own_paths_only),
		TEST(a_restarted_relay_is_directed_again),
		TEST(a_ck_that_grows_old_is_renewed_and_then_forgotten),
		TEST(a_member_of_another_dc_is_directed_through_it),
		TEST(another_dc_is_believed_about_its_own_zone_only),
		TEST(another_dc_directs_routes_to_our_members_and_gets_their_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
