/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dc_world.h - a whole DC in this process, and around it two nodes, a relay and two other DCs that speak the
 * protocol over 127.0.0.1. test_dc_direction.c and test_dc_peers.c are such worlds.
 */
#ifndef NTM_TEST_DC_WORLD_H
#define NTM_TEST_DC_WORLD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ntm/drop.h>

#include "crypto.h"
#include "dc/dc.h"
#include "endpoint.h"
#include "stats.h"

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
	unsigned asked; /* where a node is */
	struct outcome outcome;
};

static struct dc dc;
static struct station mn, cn, rs, other, third;
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
		station->asked++;
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

static void peer_configure(struct dc_config_peer *peer, const struct station *station, const char *name)
{
	snprintf(peer->name, sizeof(peer->name), "dc.%s.example", name);
	snprintf(peer->zone, sizeof(peer->zone), "%s.example", name);
	memcpy(peer->public_key, station->sessions.public_key, NTM_KEY_LEN);
	peer->endpoint[0] = station->udp.bound;
	peer->endpoints = 1;
}

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
	dc.config.peer = calloc(2, sizeof(*dc.config.peer));
	peer_configure(&dc.config.peer[dc.config.peers++], &other, "other");
	peer_configure(&dc.config.peer[dc.config.peers++], &third, "third");
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
	station_open(&third, NULL);
	dc_open();
	station_connect(&mn, true);
	station_connect(&cn, true);
	station_connect(&rs, false);
	station_connect(&other, true);
	station_connect(&third, true);
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
	station_close(&third);
	ntm_loop_clear(&dc.loop);
	dc_config_clear(&dc.config);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
