/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * rs_world.h - a whole Relay Server in this process, and around it, over loopback, DCs with real sessions and
 * nodes that are plain sockets. For test_rs_relay.c.
 *
 *	dc[0], dc[1] (rs.conf), dc[2] (a stranger) --- sessions ---+
 *	node 0, 127.0.0.1 or ::1  <---------- 127.0.0.1:p, [::1]:p  RS  ---------->  node 1
 */
#ifndef NTM_UNIT_RS_WORLD_H
#define NTM_UNIT_RS_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <ntm/drop.h>

#include "bind.h"
#include "crypto.h"
#include "key.h"
#include "loop.h"
#include "rs/rs.h"
#include "stats.h"

#define DCS 3
#define STRANGER 2
#define WAIT_MS 2000 /* for what must come */
#define QUIET_MS 30 /* for what must not come */

struct dc {
	struct ntm_sessions sessions;
	struct ntm_udp udp;
	struct ntm_peer rs;
	/* what came */
	int err; /* 1: nothing yet */
	uint16_t type, error;
	struct ntm_relay_response response;
	struct ntm_relay_report report;
	unsigned reports;
};

static struct event_base *base;
static struct rs rs;
static struct dc dc[DCS];
static char folder[] = "/tmp/ntm_test_rs_XXXXXX";
static char config_path[64], key_path[64], socket_path[64];
static struct ntm_endpoint listen4, listen6, any4, any6; /* the last two: 0.0.0.0 and [::] */
static uint64_t next_path_id = 0xfedcba9876543210ULL;

/* Runs the loop for ms, or until done() says so. */
static bool run(bool (*done)(void *arg), void *arg, int ms)
{
	int64_t end_ms = ntm_loop_now_ms() + ms;

	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (done && done(arg))
			return true;
		usleep(500);
	} while (ntm_loop_now_ms() < end_ms);
	return false;
}

/* ---- the DCs */

static void dc_receive(void *ctx, const struct ntm_flow *from, uint8_t *buf, size_t len)
{
	struct dc *d = ctx;

	ntm_session_receive(&d->sessions, from, buf, len);
}

static struct ntm_udp *dc_socket(void *ctx, const struct ntm_endpoint *remote)
{
	struct dc *d = ctx;

	return ntm_endpoint_is4(remote) ? &d->udp : NULL;
}

static struct ntm_peer *dc_accept(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	(void)ctx;
	(void)key;
	return NULL;
}

static void dc_request(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	(void)ctx;
	(void)message;
	ntm_session_refuse(from, NTM_ERROR_UNSUPPORTED, "only a test");
}

static void dc_notice(void *ctx, struct ntm_peer *peer, const struct ntm_message *message)
{
	struct dc *d = ctx;

	assert_ptr_equal(peer, &d->rs);
	assert_int_equal(message->type, NTM_MSG_RELAY_REPORT);
	assert_int_equal(ntm_msg_relay_report_parse(&d->report, message->fields, message->len), 0);
	d->reports++;
}

static const struct ntm_session_ops dc_ops = {
	.accept = dc_accept, .request = dc_request, .notice = dc_notice};

static void dc_done(void *arg, int err, const struct ntm_message *message,
		    const struct ntm_error_message *error)
{
	struct dc *d = arg;

	d->err = err;
	d->error = err == -EREMOTEIO ? error->code : 0;
	d->type = err ? 0 : message->type;
	if (!err && message->type == NTM_MSG_RELAY_RESPONSE)
		assert_int_equal(ntm_msg_relay_response_parse(&d->response, message->fields, message->len),
				 0);
}

static bool dc_is_answered(void *arg)
{
	return ((struct dc *)arg)->err != 1;
}

/* Sends a request whose fields stand in body; returns 0, or the RS's error code, or a negative errno. */
static int dc_ask(struct dc *d, uint16_t type, uint8_t *body, int fields_len, int timeout_ms)
{
	assert_true(fields_len >= 0);
	d->err = 1;
	assert_int_equal(
		ntm_session_request(&d->rs, type, body, (size_t)fields_len, timeout_ms, dc_done, d, NULL), 0);
	assert_true(run(dc_is_answered, d, timeout_ms + WAIT_MS));
	return d->err == -EREMOTEIO ? d->error : d->err;
}

static int dc_direct(struct dc *d, uint64_t path_id, const uint8_t ck[NTM_KEY_LEN], int timeout_ms)
{
	struct ntm_relay_direction direction = {.path_id = path_id, .lifetime_s = 3600};
	uint8_t body[512];

	ntm_bind_leg_key(direction.leg_key[0], ck, path_id, 0);
	ntm_bind_leg_key(direction.leg_key[1], ck, path_id, 1);
	return dc_ask(d, NTM_MSG_RELAY_DIRECTION, body,
		      ntm_msg_relay_direction_build(body + NTM_MSG_HEADER_LEN, 500, &direction), timeout_ms);
}

static int dc_withdraw(struct dc *d, uint64_t path_id)
{
	struct ntm_relay_withdraw withdraw = {.path_id = path_id};
	uint8_t body[64];

	return dc_ask(d, NTM_MSG_RELAY_WITHDRAW, body,
		      ntm_msg_relay_withdraw_build(body + NTM_MSG_HEADER_LEN, 50, &withdraw), WAIT_MS);
}

/* ---- the nodes */

struct node {
	int fd;
	struct ntm_endpoint self, rs;
	uint64_t path_id;
	uint8_t side, key[NTM_KEY_LEN], token[NTM_MAC_LEN];
};

static int socket_new(const struct ntm_endpoint *at, struct ntm_endpoint *ret_self)
{
	struct sockaddr_storage sa;
	socklen_t len = ntm_endpoint_to_sockaddr(at, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(ntm_endpoint_from_sockaddr(ret_self, (struct sockaddr *)&sa), 0);
	return fd;
}

static struct node node_new_to(const struct ntm_endpoint *to, uint64_t path_id, uint8_t side,
			       const uint8_t ck[NTM_KEY_LEN])
{
	struct node node = {.rs = *to, .path_id = path_id, .side = side};
	struct ntm_endpoint at = ntm_endpoint_is4(to) ? listen4 : listen6;

	at.port = 0;
	node.fd = socket_new(&at, &node.self);
	ntm_bind_leg_key(node.key, ck, path_id, side);
	return node;
}

static struct node node_new(bool is4, uint64_t path_id, uint8_t side, const uint8_t ck[NTM_KEY_LEN])
{
	return node_new_to(is4 ? &listen4 : &listen6, path_id, side, ck);
}

static void node_send(const struct node *node, const void *packet, size_t len)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = ntm_endpoint_to_sockaddr(&node->rs, &sa);

	assert_int_equal(sendto(node->fd, packet, len, 0, (struct sockaddr *)&sa, sa_len), (int)len);
}

static bool node_has(void *arg)
{
	struct pollfd fd = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

/* What came, always from where the node sends to; -1: nothing within ms. */
static int node_receive(struct node *node, void *buf, size_t size, int ms)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);
	struct ntm_endpoint from;
	ssize_t n;

	if (!run(node_has, &node->fd, ms))
		return -1;
	n = recvfrom(node->fd, buf, size, 0, (struct sockaddr *)&sa, &sa_len);
	assert_true(n >= 0);
	assert_int_equal(ntm_endpoint_from_sockaddr(&from, (struct sockaddr *)&sa), 0);
	assert_true(ntm_endpoint_equal(&from, &node->rs));
	return (int)n;
}

static void node_hears_nothing(struct node *node)
{
	uint8_t buf[64];

	assert_int_equal(node_receive(node, buf, sizeof(buf), QUIET_MS), -1);
}

/* The authentic answer of this kind to `sent`. */
static struct ntm_bind node_answer(struct node *node, const struct ntm_bind *sent, enum ntm_bind_kind kind)
{
	const struct ntm_bind *parsed;
	struct ntm_endpoint observed;
	struct ntm_bind answer;

	assert_int_equal(node_receive(node, &answer, sizeof(answer), WAIT_MS), sizeof(answer));
	assert_int_equal(ntm_bind_parse(&parsed, (uint8_t *)&answer, sizeof(answer), NTM_BIND_FROM_RS), 0);
	assert_true(ntm_bind_verify(&answer, node->key));
	assert_int_equal(answer.kind, kind);
	assert_memory_equal(&answer.h, &sent->h, sizeof(answer.h));
	assert_int_equal(answer.side, node->side);
	ntm_bind_observed(&answer, &observed);
	assert_true(ntm_endpoint_equal(&observed, &node->self));
	return answer;
}

static struct ntm_bind node_request(struct node *node, enum ntm_bind_kind kind)
{
	struct ntm_bind request;

	ntm_bind_request_build(&request, kind, node->path_id, node->side, ntm_loop_real_us(), node->key);
	node_send(node, &request, sizeof(request));
	return request;
}

static struct ntm_bind node_echo(struct node *node, const struct ntm_bind *challenge)
{
	struct ntm_bind echo;

	ntm_bind_echo_build(&echo, challenge, ntm_loop_real_us(), node->key);
	node_send(node, &echo, sizeof(echo));
	return echo;
}

/* Returns the ECHO that bound it. */
static struct ntm_bind node_bind(struct node *node)
{
	struct ntm_bind request = node_request(node, NTM_BIND_REQUEST);
	struct ntm_bind challenge = node_answer(node, &request, NTM_BIND_CHALLENGE);
	struct ntm_bind echo = node_echo(node, &challenge);
	struct ntm_bind ack = node_answer(node, &echo, NTM_BIND_ACK);

	memcpy(node->token, ntm_bind_reset_token(&ack), NTM_MAC_LEN);
	return echo;
}

/* A packet of this length and type on the node's path; what follows the header is arbitrary. */
static void data_build(uint8_t *packet, size_t len, uint8_t type, uint64_t path_id)
{
	ntm_crypto_random(packet, len);
	ntm_header_set((struct ntm_header *)packet, type, 77, path_id);
}

static uint8_t data_type(const struct node *from)
{
	return (uint8_t)(NTM_TYPE_DATA | (from->side ? NTM_TYPE_SIDE_BIT : 0));
}

static void data_passes(const struct node *from, struct node *to, size_t len)
{
	uint8_t sent[1500], came[1501];

	data_build(sent, len, data_type(from), from->path_id);
	node_send(from, sent, len);
	assert_int_equal(node_receive(to, came, sizeof(came), WAIT_MS), (int)len);
	assert_memory_equal(came, sent, len);
}

/* Exactly one more drop of this reason, and nothing at either node. */
static inline void data_is_dropped(const struct node *from, struct node *a, struct node *b, uint8_t type, int reason)
{
	uint64_t before = ntm_drop_get(reason);
	uint8_t sent[100];

	data_build(sent, sizeof(sent), type, from->path_id);
	node_send(from, sent, sizeof(sent));
	node_hears_nothing(a);
	node_hears_nothing(b);
	assert_int_equal(ntm_drop_get(reason), before + 1);
}

static inline void bind_is_dropped(struct node *node, const struct ntm_bind *bind, int reason)
{
	uint64_t before = ntm_drop_get(reason);

	node_send(node, bind, sizeof(*bind));
	node_hears_nothing(node);
	assert_int_equal(ntm_drop_get(reason), before + 1);
}

/* A path with both legs bound. */
struct pair {
	uint64_t id;
	uint8_t ck[NTM_KEY_LEN];
	struct node node[2];
};

static struct pair pair_directed(bool first_is4, bool second_is4)
{
	struct pair pair = {.id = next_path_id++};

	ntm_crypto_random(pair.ck, sizeof(pair.ck));
	assert_int_equal(dc_direct(&dc[0], pair.id, pair.ck, WAIT_MS), 0);
	pair.node[0] = node_new(first_is4, pair.id, 0, pair.ck);
	pair.node[1] = node_new(second_is4, pair.id, 1, pair.ck);
	return pair;
}

static struct pair pair_bound(bool first_is4, bool second_is4)
{
	struct pair pair = pair_directed(first_is4, second_is4);

	node_bind(&pair.node[0]);
	node_bind(&pair.node[1]);
	return pair;
}

static void pair_end(struct pair *pair)
{
	assert_int_equal(dc_withdraw(&dc[0], pair->id), 0);
	close(pair->node[0].fd);
	close(pair->node[1].fd);
}

/* ---- setting it up */

/* rs.conf with the DCs from this one on; `more` stands in or after [rs], from line 9 on. */
static void config_write(unsigned from_dc, const char *more)
{
	const struct ntm_endpoint *listen[] = {&listen4, &listen6, &any4, &any6};
	char text[NTM_ENDPOINT_TEXT], key[NTM_KEY_TEXT_LEN + 1];
	FILE *file = fopen(config_path, "w");

	assert_non_null(file);
	fprintf(file, "[rs]\nname = rs.ntm.example\nprivate-key-file = %s\n", key_path);
	for (size_t i = 0; i < sizeof(listen) / sizeof(listen[0]); i++)
		fprintf(file, "listen = %s\n", ntm_endpoint_format(listen[i], text));
	fprintf(file, "control-socket = %s\n%s", socket_path, more);
	for (unsigned i = from_dc; i < STRANGER; i++) {
		ntm_key_format(key, dc[i].sessions.public_key);
		fprintf(file, "[dc \"dc%u.ntm.example\"]\npublic-key = %s\n", i, key);
	}
	assert_int_equal(fclose(file), 0);
}

/* One port that is free for both families now. */
static void port_choose(const char *text4, const char *text6, struct ntm_endpoint *ret4,
			struct ntm_endpoint *ret6)
{
	for (int i = 0; i < 100; i++) {
		struct ntm_endpoint self;
		struct sockaddr_storage sa;
		int fd4, fd6, one = 1, r;
		socklen_t len;

		assert_int_equal(ntm_endpoint_parse(ret4, text4, 0), 0);
		assert_int_equal(ntm_endpoint_parse(ret6, text6, 0), 0);
		fd4 = socket_new(ret4, &self);
		ret4->port = ret6->port = self.port;
		fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
		setsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		len = ntm_endpoint_to_sockaddr(ret6, &sa);
		r = bind(fd6, (struct sockaddr *)&sa, len);
		close(fd4);
		close(fd6);
		if (!r)
			return;
	}
	fail_msg("no port is free for both families");
}

static void dc_open(struct dc *d, const uint8_t rs_public[NTM_KEY_LEN])
{
	struct ntm_endpoint at = listen4;
	uint8_t private_key[NTM_KEY_LEN], public_key[NTM_KEY_LEN];

	at.port = 0;
	ntm_crypto_keypair(private_key, public_key);
	assert_int_equal(ntm_sessions_init(&d->sessions, base, private_key, &dc_ops, d, dc_socket), 0);
	assert_int_equal(ntm_udp_open(&d->udp, base, &at, true, dc_receive, d), 0);
	memcpy(d->rs.key, rs_public, NTM_KEY_LEN);
	d->rs.server = &listen4;
	d->rs.servers = 1;
	assert_int_equal(ntm_peer_add(&d->sessions, &d->rs), 0);
}

static void key_write(const uint8_t key[NTM_KEY_LEN])
{
	char text[NTM_KEY_TEXT_LEN + 2];
	int fd = open(key_path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	ntm_key_format(text, key);
	text[NTM_KEY_TEXT_LEN] = '\n';
	assert_int_equal(write(fd, text, NTM_KEY_TEXT_LEN + 1), NTM_KEY_TEXT_LEN + 1);
	close(fd);
}

static int group_setup(void **state)
{
	uint8_t private_key[NTM_KEY_LEN], public_key[NTM_KEY_LEN];
	struct rs_config config;
	char why[256] = "", datapath[128];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(config_path, sizeof(config_path), "%s/rs.conf", folder);
	snprintf(key_path, sizeof(key_path), "%s/rs.key", folder);
	snprintf(socket_path, sizeof(socket_path), "%s/rs.sock", folder);
	base = event_base_new();
	assert_non_null(base);
	port_choose("127.0.0.1:0", "[::1]:0", &listen4, &listen6);
	port_choose("0.0.0.0:0", "[::]:0", &any4, &any6);
	ntm_crypto_keypair(private_key, public_key);
	key_write(private_key);
	for (int i = 0; i < DCS; i++)
		dc_open(&dc[i], public_key);
	/* Without XDP, and what may be pinned on this machine is not ours. */
	snprintf(datapath, sizeof(datapath), "[datapath]\nxdp = off\npin-dir = %s/pins\n", folder);
	config_write(0, datapath);
	if (rs_config_read(&config, config_path, why, sizeof(why)) ||
	    rs_open(&rs, base, config_path, &config, why, sizeof(why)))
		fail_msg("%s", why);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	rs_close(&rs);
	for (int i = 0; i < DCS; i++) {
		ntm_peer_remove(&dc[i].rs);
		ntm_sessions_clear(&dc[i].sessions);
		ntm_udp_close(&dc[i].udp);
	}
	event_base_free(base);
	unlink(config_path);
	unlink(key_path);
	return rmdir(folder); /* fails if the control socket was left */
}

#endif
