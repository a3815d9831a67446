/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_pair.h - two nodes with the real user engine for its tests: socket pairs in place of the TUN devices,
 *loopback UDP sockets in place of the network, a clock that the test sets. No root.
 *
 *	a.app <-socketpair-> a.engine <-127.0.0.1, UDP-> b.engine <-socketpair-> b.app
 */
#ifndef SELFTESTS_USER_PAIR_H
#define SELFTESTS_USER_PAIR_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/user_engine.h"
#include "endpoint.h"
#include "stats.h"

#define PATH_ID 0x1122334455667788ULL
#define CAPTURES 200

struct node {
	struct ntmd_engine *engine;
	struct ntmd_engine_path *path;
	struct ntm_udp udp, udp2; /* udp2: a second address of the node */
	int app; /* the application's end of the TUN */
	struct ntm_addr vip4, vip6;
	/* what ops told */
	int no_path, phase_opened, new_source, bulk_received, bulk_dead, key_worn, unheard, arrived;
	int send_failed, path_unknown, replayed;
	unsigned phase;
	int err;
	struct ntm_addr wanted;
	struct ntmd_engine_path *holder; /* no_path's answer */
	bool delete_when_opened, reroute_when_failed;
	/* packets from the network: kept instead of received, if capturing */
	bool capturing;
	int captured;
	struct ntm_flow from;
	uint8_t capture[CAPTURES][2048];
	size_t capture_len[CAPTURES];
};

static struct event_base *base;
static struct node a, b;
static int64_t clock_us;
static uint64_t drops_before[NTM_DROP_MAX];

static inline int64_t fake_now_us(void)
{
	return clock_us;
}

static inline uint64_t dropped(int reason)
{
	return ntm_drops[reason] - drops_before[reason];
}

static inline uint64_t dropped_in_all(void)
{
	uint64_t sum = 0;

	for (int i = 1; i < NTM_DROP_MAX; i++)
		sum += dropped(i);
	return sum;
}

/* ---- ops */

static inline struct ntmd_engine_path *on_no_path(void *ctx, const struct ntm_addr *dst)
{
	struct node *node = ctx;

	node->no_path++;
	node->wanted = *dst;
	return node->holder;
}

static inline struct ntm_flow flow_to(struct node *from, const struct ntm_udp *to)
{
	struct ntm_flow flow = {.udp = &from->udp, .remote = to->bound};

	return flow;
}

static inline void on_phase_opened(void *ctx, void *user, unsigned phase)
{
	struct node *node = ctx;

	assert_ptr_equal(user, node);
	node->phase_opened++;
	node->phase = phase;
	if (node->delete_when_opened) {
		ntmd_engine_path_delete(node->path, false);
		node->path = NULL;
	}
}

static inline void on_new_source(void *ctx, void *user, const struct ntm_flow *from)
{
	struct node *node = ctx;

	assert_ptr_equal(user, node);
	node->new_source++;
	node->from = *from;
}

static inline void on_bulk_received(void *ctx, void *user)
{
	assert_ptr_equal(user, ctx);
	((struct node *)ctx)->bulk_received++;
}

static inline void on_bulk_dead(void *ctx, void *user)
{
	assert_ptr_equal(user, ctx);
	((struct node *)ctx)->bulk_dead++;
}

static inline void on_unheard(void *ctx, void *user)
{
	(void)user;
	((struct node *)ctx)->unheard++;
}

static inline void on_arrived(void *ctx, void *user)
{
	(void)user;
	((struct node *)ctx)->arrived++;
}

static inline void on_key_worn(void *ctx, void *user)
{
	assert_ptr_equal(user, ctx);
	((struct node *)ctx)->key_worn++;
}

static inline void on_send_failed(void *ctx, void *user, int err)
{
	struct node *node = ctx;
	struct ntm_flow flow = flow_to(node, &(node == &a ? &b : &a)->udp);

	assert_ptr_equal(user, ctx);
	node->send_failed++;
	node->err = err;
	if (node->reroute_when_failed)
		ntmd_engine_path_route_set(node->path, &flow, NULL, 0);
}

static inline void on_replayed(void *ctx, void *user)
{
	assert_ptr_equal(user, ctx);
	((struct node *)ctx)->replayed++;
}

static inline void on_path_unknown(void *ctx, const struct ntm_flow *from, uint64_t path_id, size_t len)
{
	struct node *node = ctx;

	(void)path_id;
	(void)len;
	node->path_unknown++;
	node->from = *from;
}

static const struct ntmd_engine_ops pair_ops = {
	.no_path = on_no_path,
	.phase_opened = on_phase_opened,
	.new_source = on_new_source,
	.bulk_received = on_bulk_received,
	.bulk_dead = on_bulk_dead,
	.unheard = on_unheard,
	.arrived = on_arrived,
	.key_worn = on_key_worn,
	.send_failed = on_send_failed,
	.replayed = on_replayed,
	.path_unknown = on_path_unknown,
};

/* ---- the network */

static inline void on_packet(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct node *node = ctx;

	if (!node->capturing) {
		ntmd_engine_receive(node->engine, from, packet, len);
		return;
	}
	assert_true(node->captured < CAPTURES && len <= sizeof(node->capture[0]));
	memcpy(node->capture[node->captured], packet, len);
	node->capture_len[node->captured++] = len;
	node->from = *from;
}

static inline void on_flush(void *ctx)
{
	ntmd_engine_flush(((struct node *)ctx)->engine);
}

/* Gives a node a captured packet, which stays as it is, as if it came from the other's socket. */
static inline void replay(struct node *node, const uint8_t *packet, size_t len)
{
	uint8_t copy[2048];
	struct ntm_flow from = flow_to(node, &(node == &a ? &b : &a)->udp);

	memcpy(copy, packet, len);
	ntmd_engine_receive(node->engine, &from, copy, len);
	ntmd_engine_flush(node->engine);
}

/* Lets everything happen that is ready: loopback delivers at once. */
static inline void pump(void)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Moves the clock and lets the engines' timers see it. */
static inline void pass_ms(int64_t ms)
{
	clock_us += ms * 1000;
	event_active(a.engine->timer, EV_TIMEOUT, 0);
	event_active(b.engine->timer, EV_TIMEOUT, 0);
	pump();
}

/* ---- nodes */

static inline void loopback_open(struct ntm_udp *udp, struct node *node)
{
	struct ntm_endpoint any = {0};

	assert_int_equal(ntm_endpoint_parse(&any, "127.0.0.1", 0), 0);
	any.port = 0;
	assert_int_equal(ntm_udp_open(udp, base, &any, true, on_packet, node), 0);
	udp->flush = on_flush;
}

static inline void node_open(struct node *node, const char *vip4, const char *vip6)
{
	struct ntmd_engine_config config = {.device = "none", .mtu = 1420};
	char why[256] = "";
	int pair[2];

	memset(node, 0, sizeof(*node));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	node->app = pair[0];
	config.tun_fd = pair[1];
	assert_int_equal(ntmd_engine_open(&node->engine, base, &config, &pair_ops, node, why, sizeof(why)),
			 0);
	node->engine->now_us = fake_now_us;
	assert_int_equal(ntm_addr_parse(&node->vip4, vip4), 0);
	assert_int_equal(ntm_addr_parse(&node->vip6, vip6), 0);
	ntmd_engine_own_set(node->engine, &node->vip4, &node->vip6);
	loopback_open(&node->udp, node);
	loopback_open(&node->udp2, node);
}

static inline void node_close(struct node *node)
{
	if (node->path)
		ntmd_engine_path_delete(node->path, false);
	assert_true(LIST_EMPTY(&node->engine->paths));
	assert_int_equal(node->engine->held_bytes, 0);
	ntmd_engine_close(node->engine);
	ntm_udp_close(&node->udp);
	ntm_udp_close(&node->udp2);
	close(node->app);
}

static inline struct ntmd_engine_path *path_make(struct node *node, const struct node *peer)
{
	struct ntmd_engine_path *path = ntmd_engine_path_add(node->engine, node);

	assert_non_null(path);
	ntmd_engine_path_map(path, &peer->vip4, &peer->vip6);
	return path;
}

/* Keys of one generation; what side 0 seals with, side 1 opens with. */
static inline struct ntmd_engine_keys keys_make(const struct node *node, uint8_t generation)
{
	struct ntmd_engine_keys keys;

	for (int lane = 0; lane < NTM_LANES; lane++) {
		uint8_t *from_a = node == &a ? keys.lane[lane].send : keys.lane[lane].receive;
		uint8_t *from_b = node == &a ? keys.lane[lane].receive : keys.lane[lane].send;

		keys.lane[lane].cipher = lane ? NTM_CIPHER_AES_256_GCM : NTM_CIPHER_CHACHA20_POLY1305;
		memset(from_a, 0x10 + generation * 4 + lane, NTM_KEY_LEN);
		memset(from_b, 0x80 + generation * 4 + lane, NTM_KEY_LEN);
	}
	return keys;
}

static inline void key_set(struct node *node, unsigned phase, uint8_t generation)
{
	struct ntmd_engine_keys keys = keys_make(node, generation);

	assert_int_equal(ntmd_engine_path_key_set(node->path, phase, &keys,
						  clock_us / 1000 + NTM_KEY_HARD_LIFETIME_S * 1000),
			 0);
}

static inline void path_establish(struct node *node, const struct node *peer)
{
	struct ntm_flow flow = flow_to(node, &peer->udp);

	assert_int_equal(ntmd_engine_path_identify(node->path, PATH_ID, node == &a ? 0 : 1), 0);
	key_set(node, 0, 0);
	ntmd_engine_path_phase_set(node->path, 0);
	ntmd_engine_path_route_set(node->path, &flow, NULL, 0);
}

/* Two nodes without paths. */
static inline int pair_open(void **state)
{
	(void)state;
	clock_us = 5000000;
	base = event_base_new();
	assert_non_null(base);
	node_open(&a, "198.18.0.1", "fd4e:544d:1::1");
	node_open(&b, "198.18.0.2", "fd4e:544d:1::2");
	memcpy(drops_before, ntm_drops, sizeof(drops_before));
	return 0;
}

/* Two nodes with an established path. */
static inline int pair_open_established(void **state)
{
	pair_open(state);
	a.path = path_make(&a, &b);
	b.path = path_make(&b, &a);
	path_establish(&a, &b);
	path_establish(&b, &a);
	return 0;
}

static inline int pair_close(void **state)
{
	(void)state;
	node_close(&a);
	node_close(&b);
	event_base_free(base);
	return 0;
}

/* ---- applications */

/* A UDP-like packet of len bytes whose last 4 are a number. */
static inline size_t inner_make(uint8_t *packet, const struct ntm_addr *source, const struct ntm_addr *dest,
				size_t len, uint32_t number)
{
	memset(packet, 0x5a, len);
	if (ntm_addr_is4(source)) {
		memset(packet, 0, 20);
		packet[0] = 0x45;
		packet[2] = (uint8_t)(len >> 8);
		packet[3] = (uint8_t)len;
		packet[6] = 0x40; /* DF */
		packet[8] = 64;
		packet[9] = 17;
		memcpy(packet + 12, source->b + 12, 4);
		memcpy(packet + 16, dest->b + 12, 4);
	} else {
		memset(packet, 0, 8);
		packet[0] = 0x60;
		packet[4] = (uint8_t)((len - 40) >> 8);
		packet[5] = (uint8_t)(len - 40);
		packet[6] = 17;
		packet[7] = 64;
		memcpy(packet + 8, source->b, 16);
		memcpy(packet + 24, dest->b, 16);
	}
	memcpy(packet + len - 4, &number, 4);
	return len;
}

static inline void app_write(struct node *node, const uint8_t *packet, size_t len)
{
	assert_int_equal(write(node->app, packet, len), len);
	pump();
}

/* An IPv4 packet of len bytes to the other node. */
static inline void app_send(struct node *node, size_t len, uint32_t number)
{
	static uint8_t packet[65536];

	inner_make(packet, &node->vip4, &(node == &a ? &b : &a)->vip4, len, number);
	app_write(node, packet, len);
}

/* Length of the next packet the application gets; -1: none. */
static inline int app_read(struct node *node, uint8_t *packet, size_t size)
{
	return (int)read(node->app, packet, size);
}

/* The number in the next packet; -1: there is none. */
static inline int64_t app_number(struct node *node)
{
	static uint8_t packet[65536];
	int n = app_read(node, packet, sizeof(packet));
	uint32_t number;

	/* On a busy machine the loopback may take a moment. */
	for (int again = 0; n < 0 && again < 10; again++) {
		usleep(200);
		pump();
		n = app_read(node, packet, sizeof(packet));
	}
	if (n < 4)
		return -1;
	memcpy(&number, packet + n - 4, 4);
	return number;
}

static inline struct ntmd_engine_stats stats_of(const struct node *node)
{
	struct ntmd_engine_stats stats;

	ntmd_engine_path_stats(node->path, &stats);
	return stats;
}

#endif
