/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * shard_world.h - the node, its peers and the kernel of test_user_shard.c, which says how they stand to each
 * other.
 */
#ifndef SELFTESTS_SHARD_WORLD_H
#define SELFTESTS_SHARD_WORLD_H

#include <linux/filter.h>

#include "daemon/steer.h"
#include "daemon/user_shard.h"
#include "loop.h"
#include "user_pair.h"

#define THREADS 2
#define PEERS 4
#define WINDOW 48 /* packets of a flow on their way */
#define LEN 600 /* bytes of a packet */
#define PATIENCE_US 10000000
#define PEER_ID(i) (0x4242000000000000ULL + (i))

/* A flow, and what must come next of it. */
struct flow {
	uint32_t sent, due;
};

struct peer {
	unsigned number;
	struct ntmd_engine *engine;
	struct ntmd_engine_path *path, *far; /* far: the node's to it */
	struct ntm_udp udp, udp2;
	int app;
	struct ntm_addr vip4;
	struct flow to, from; /* to the node, from it */
	/* what had been sent when keys were last changed: sent from the node, due to it */
	struct flow changed;
	unsigned generation; /* of keys */
	/* what the node's engine told of far */
	int opened, new_source, bulk, worn, failed, unheard, arrived, replayed;
};

static struct {
	struct ntmd_engine *engine;
	struct ntm_udp udp4, none;
	int app[1 + THREADS]; /* applications' ends of the queues */
	struct ntm_addr vip4;
	int no_path, unknown;
	struct ntmd_engine_path *holder;
} node;
static struct peer peer[PEERS];
static const struct ntm_addr nobody;

/* ---- steering as the kernel would do it */

static struct {
	struct ntm_addr vip;
	unsigned thread;
} steered[16];

int ntmd_steer_open(struct ntmd_steer **ret_steer, unsigned threads)
{
	assert_int_equal(threads, THREADS);
	memset(steered, 0, sizeof(steered));
	*ret_steer = (struct ntmd_steer *)steered;
	return 0;
}

void ntmd_steer_close(struct ntmd_steer *steer)
{
	(void)steer;
}

int ntmd_steer_tun(struct ntmd_steer *steer, int fd)
{
	(void)steer;
	(void)fd;
	return 0;
}

/* Control's first, then by the parity of the far port, which peers choose as they like it. */
int ntmd_steer_udp(struct ntmd_steer *steer, int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NTM_TYPE_DATA, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (unsigned)SKF_NET_OFF + 20),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	(void)steer;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0 ? -errno : 0;
}

int ntmd_steer_vip(struct ntmd_steer *steer, const struct ntm_addr *vip, unsigned thread)
{
	(void)steer;
	for (unsigned i = 0; i < 16; i++) {
		if (!ntm_addr_is_none(&steered[i].vip) && !ntm_addr_equal(&steered[i].vip, vip))
			continue;
		steered[i].vip = *vip;
		steered[i].thread = thread;
		return 0;
	}
	return -ENOSPC;
}

int ntmd_steer_end(struct ntmd_steer *steer, const struct ntm_endpoint *end, unsigned thread)
{
	(void)steer;
	(void)end;
	assert_in_range(thread, 1, THREADS);
	return 0;
}

static int queue_of(const struct ntm_addr *vip)
{
	for (unsigned i = 0; i < 16; i++)
		if (ntm_addr_equal(&steered[i].vip, vip))
			return (int)steered[i].thread;
	return 0;
}

/* ---- what the node's engine tells */

static struct ntmd_engine_path *node_no_path(void *ctx, const struct ntm_addr *dst)
{
	(void)ctx;
	(void)dst;
	node.no_path++;
	return node.holder;
}

static void node_phase_opened(void *ctx, void *user, unsigned phase)
{
	(void)ctx;
	(void)phase;
	((struct peer *)user)->opened++;
}

static void node_new_source(void *ctx, void *user, const struct ntm_flow *from)
{
	(void)ctx;
	assert_ptr_equal(from->udp, &node.udp4); /* control's, whichever thread has seen it */
	((struct peer *)user)->new_source++;
}

static void node_bulk_received(void *ctx, void *user)
{
	struct peer *p = user;

	(void)ctx;
	p->bulk++;
	if (p->path)
		ntmd_engine_path_bulk_acked(p->path);
}

static void node_bulk_dead(void *ctx, void *user)
{
	(void)ctx;
	(void)user;
}

static void node_unheard(void *ctx, void *user)
{
	(void)ctx;
	((struct peer *)user)->unheard++;
}

static void node_arrived(void *ctx, void *user)
{
	(void)ctx;
	((struct peer *)user)->arrived++;
}

static void node_key_worn(void *ctx, void *user)
{
	(void)ctx;
	((struct peer *)user)->worn++;
}

static void node_send_failed(void *ctx, void *user, int err)
{
	(void)ctx;
	assert_true(err > 0);
	((struct peer *)user)->failed++;
}

static void node_replayed(void *ctx, void *user)
{
	(void)ctx;
	((struct peer *)user)->replayed++;
}

static void node_path_unknown(void *ctx, const struct ntm_flow *from, uint64_t path_id, size_t len)
{
	(void)ctx;
	(void)path_id;
	(void)len;
	assert_ptr_equal(from->udp, &node.udp4);
	node.unknown++;
}

static const struct ntmd_engine_ops node_ops = {
	.no_path = node_no_path,
	.phase_opened = node_phase_opened,
	.new_source = node_new_source,
	.bulk_received = node_bulk_received,
	.bulk_dead = node_bulk_dead,
	.unheard = node_unheard,
	.arrived = node_arrived,
	.key_worn = node_key_worn,
	.send_failed = node_send_failed,
	.replayed = node_replayed,
	.path_unknown = node_path_unknown,
};

/* Peers' engines tell the other way round. */
static void peer_bulk_received(void *ctx, void *user)
{
	(void)user;
	if (((struct peer *)ctx)->far)
		ntmd_engine_path_bulk_acked(((struct peer *)ctx)->far);
}

static void ignore(void *ctx, void *user)
{
	(void)ctx;
	(void)user;
}

static void ignore_number(void *ctx, void *user, unsigned number)
{
	(void)ctx;
	(void)user;
	(void)number;
}

static void ignore_err(void *ctx, void *user, int err)
{
	(void)ctx;
	(void)user;
	(void)err;
}

static void ignore_from(void *ctx, void *user, const struct ntm_flow *from)
{
	(void)ctx;
	(void)user;
	(void)from;
}

static void ignore_unknown(void *ctx, const struct ntm_flow *from, uint64_t path_id, size_t len)
{
	(void)ctx;
	(void)from;
	(void)path_id;
	(void)len;
}

static struct ntmd_engine_path *nothing(void *ctx, const struct ntm_addr *dst)
{
	(void)ctx;
	(void)dst;
	return NULL;
}

static const struct ntmd_engine_ops peer_ops = {
	.no_path = nothing,
	.phase_opened = ignore_number,
	.new_source = ignore_from,
	.bulk_received = peer_bulk_received,
	.bulk_dead = ignore,
	.unheard = ignore,
	.arrived = ignore,
	.key_worn = ignore,
	.send_failed = ignore_err,
	.replayed = ignore,
	.path_unknown = ignore_unknown,
};

/* ---- opening */

static void node_datagram(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	(void)ctx;
	if ((packet[0] & NTM_TYPE_CLASS) == NTM_TYPE_DATA)
		ntmd_engine_receive(node.engine, from, packet, len);
}

static void node_flush(void *ctx)
{
	(void)ctx;
	ntmd_engine_flush(node.engine);
}

static void peer_datagram(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	ntmd_engine_receive(((struct peer *)ctx)->engine, from, packet, len);
}

static void peer_flush(void *ctx)
{
	ntmd_engine_flush(((struct peer *)ctx)->engine);
}

static int queue_pair(int *ret_app)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	*ret_app = pair[0];
	return pair[1];
}

/* A socket at a port of this parity. */
static void parity_open(struct ntm_udp *udp, struct peer *p, unsigned parity)
{
	struct ntm_endpoint any = {0};

	for (int i = 0; i < 200; i++) {
		assert_int_equal(ntm_endpoint_parse(&any, "127.0.0.1", 1), 0);
		any.port = 0;
		assert_int_equal(ntm_udp_open(udp, base, &any, true, peer_datagram, p), 0);
		udp->flush = peer_flush;
		if (udp->bound.port % 2 == parity)
			return;
		ntm_udp_close(udp);
	}
	fail();
}

static void peer_open(unsigned i)
{
	struct ntmd_engine_config config = {.device = "none", .mtu = 1420};
	struct peer *p = &peer[i];
	char why[256], text[32];

	memset(p, 0, sizeof(*p));
	p->number = i;
	config.tun_fd = queue_pair(&p->app);
	assert_int_equal(ntmd_engine_open(&p->engine, base, &config, &peer_ops, p, why, sizeof(why)), 0);
	snprintf(text, sizeof(text), "198.18.1.%u", i + 1);
	assert_int_equal(ntm_addr_parse(&p->vip4, text), 0);
	ntmd_engine_own_set(p->engine, &p->vip4, &nobody);
	/* Paths go to the shards in turn: the datagrams of the first two come to the right one, of the others to the wrong one. */
	parity_open(&p->udp, p, i < 2 ? i % 2 : (i + 1) % 2);
	parity_open(&p->udp2, p, 0);
}

static int world_open(void **state)
{
	struct ntmd_engine_config config = {.device = "none", .mtu = 1420, .threads = THREADS};
	struct ntm_endpoint any = {0};
	int queue[THREADS];
	char why[256];

	(void)state;
	memset(&node, 0, sizeof(node));
	base = event_base_new();
	assert_non_null(base);
	assert_int_equal(event_base_priority_init(base, NTM_LOOP_PRIORITIES), 0);
	config.tun_fd = queue_pair(&node.app[0]);
	for (int i = 0; i < THREADS; i++)
		queue[i] = queue_pair(&node.app[1 + i]);
	config.tun_queue = queue;
	assert_int_equal(ntm_endpoint_parse(&any, "127.0.0.1", 1), 0);
	any.port = 0;
	assert_int_equal(ntm_udp_open(&node.none, NULL, &any, true, NULL, NULL), 0); /* finds a free port */
	any.port = node.none.bound.port;
	ntm_udp_close(&node.none);
	assert_int_equal(ntm_udp_open_one(&node.udp4, base, &any, true, node_datagram, &node), 0);
	node.udp4.flush = node_flush;
	config.udp[0] = &node.udp4;
	config.udp[1] = &node.none;
	assert_int_equal(ntmd_engine_open(&node.engine, base, &config, &node_ops, &node, why, sizeof(why)), 0);
	assert_int_equal(ntmd_engine_threads(node.engine), THREADS);
	assert_int_equal(ntm_addr_parse(&node.vip4, "198.18.0.1"), 0);
	ntmd_engine_own_set(node.engine, &node.vip4, &nobody);
	for (unsigned i = 0; i < PEERS; i++)
		peer_open(i);
	for (int i = 0; i < NTM_DROP_MAX; i++)
		drops_before[i] = ntm_drop_get(i);
	return 0;
}

static int world_close(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PEERS; i++) {
		if (peer[i].far)
			ntmd_engine_path_delete(peer[i].far, false);
		if (peer[i].path)
			ntmd_engine_path_delete(peer[i].path, false);
		ntmd_engine_close(peer[i].engine);
		ntm_udp_close(&peer[i].udp);
		ntm_udp_close(&peer[i].udp2);
		close(peer[i].app);
	}
	if (node.holder)
		ntmd_engine_path_delete(node.holder, false);
	assert_true(LIST_EMPTY(&node.engine->paths));
	ntmd_engine_close(node.engine);
	ntm_udp_close(&node.udp4);
	for (int i = 0; i <= THREADS; i++)
		close(node.app[i]);
	event_base_free(base);
	return 0;
}

/* ---- paths */

static void both_keys_set(struct peer *p, unsigned phase, uint8_t generation)
{
	int64_t until = ntm_loop_now_ms() + 1000000;
	struct ntmd_engine_keys near, far;

	for (int lane = 0; lane < NTM_LANES; lane++) {
		near.lane[lane].cipher = far.lane[lane].cipher =
			lane ? NTM_CIPHER_AES_256_GCM : NTM_CIPHER_CHACHA20_POLY1305;
		memset(near.lane[lane].send, 1 + generation * 4 + lane, NTM_KEY_LEN);
		memset(near.lane[lane].receive, 129 + generation * 4 + lane, NTM_KEY_LEN);
		memcpy(far.lane[lane].receive, near.lane[lane].send, NTM_KEY_LEN);
		memcpy(far.lane[lane].send, near.lane[lane].receive, NTM_KEY_LEN);
	}
	assert_int_equal(ntmd_engine_path_key_set(p->far, phase, &near, until), 0);
	assert_int_equal(ntmd_engine_path_key_set(p->path, phase, &far, until), 0);
}

static void both_phases_set(struct peer *p, unsigned phase)
{
	ntmd_engine_path_phase_set(p->far, phase);
	ntmd_engine_path_phase_set(p->path, phase);
}

static struct ntm_flow to_peer(struct peer *p)
{
	return (struct ntm_flow){.udp = &node.udp4, .remote = p->udp.bound};
}

static struct ntm_flow to_node(struct peer *p)
{
	return (struct ntm_flow){.udp = &p->udp, .remote = node.udp4.bound};
}

static void peer_connect(struct peer *p, uint64_t id)
{
	struct ntm_flow there = to_peer(p), back = to_node(p);

	if (!p->far)
		p->far = ntmd_engine_path_add(node.engine, p);
	p->path = ntmd_engine_path_add(p->engine, p);
	assert_non_null(p->far);
	ntmd_engine_path_map(p->far, &p->vip4, &nobody);
	ntmd_engine_path_map(p->path, &node.vip4, &nobody);
	assert_int_equal(ntmd_engine_path_identify(p->far, id, 0), 0);
	assert_int_equal(ntmd_engine_path_identify(p->path, id, 1), 0);
	both_keys_set(p, 0, 0);
	both_phases_set(p, 0);
	ntmd_engine_path_route_set(p->path, &back, NULL, 0);
	ntmd_engine_path_route_set(p->far, &there, NULL, 0);
}

static void all_connect(void)
{
	for (unsigned i = 0; i < PEERS; i++)
		peer_connect(&peer[i], PEER_ID(i));
}

static unsigned shard_of(const struct peer *p)
{
	return p->far->engine->shard ? p->far->engine->shard->number : 0;
}

/* ---- applications */

static void flow_take(struct flow *flow, const uint8_t *packet, ssize_t n)
{
	uint32_t number;

	memcpy(&number, packet + n - 4, 4);
	assert_int_equal(number, flow->due);
	flow->due++;
}

static void node_apps_read(void)
{
	uint8_t packet[2048];
	ssize_t n;

	for (int queue = 0; queue <= THREADS; queue++)
		while ((n = read(node.app[queue], packet, sizeof(packet))) > 0) {
			assert_int_equal(n, LEN);
			assert_in_range(packet[15], 1, PEERS);
			flow_take(&peer[packet[15] - 1].to, packet, n);
		}
}

static void peer_app_read(struct peer *p)
{
	uint8_t packet[2048];
	ssize_t n;

	while ((n = read(p->app, packet, sizeof(packet))) > 0) {
		assert_int_equal(n, LEN);
		flow_take(&p->from, packet, n);
	}
}

/* Peers and control do what there is to do; threads do it anyhow. */
static void turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	node_apps_read();
	for (unsigned i = 0; i < PEERS; i++)
		peer_app_read(&peer[i]);
}

static bool node_send(struct peer *p)
{
	uint8_t packet[LEN];

	if (p->from.sent - p->from.due >= WINDOW)
		return false;
	inner_make(packet, &node.vip4, &p->vip4, LEN, p->from.sent);
	if (write(node.app[queue_of(&p->vip4)], packet, LEN) != LEN)
		return false;
	p->from.sent++;
	return true;
}

static bool peer_send(struct peer *p)
{
	uint8_t packet[LEN];

	if (p->to.sent - p->to.due >= WINDOW)
		return false;
	inner_make(packet, &p->vip4, &node.vip4, LEN, p->to.sent);
	if (write(p->app, packet, LEN) != LEN)
		return false;
	p->to.sent++;
	return true;
}

static bool all_arrived(void)
{
	for (unsigned i = 0; i < PEERS; i++)
		if (peer[i].to.due != peer[i].to.sent || peer[i].from.due != peer[i].from.sent)
			return false;
	return true;
}

static void quiet(void)
{
	int64_t end = ntm_loop_now_us() + PATIENCE_US;

	while (!all_arrived() && ntm_loop_now_us() < end)
		turn();
	for (unsigned i = 0; i < PEERS; i++) {
		assert_int_equal(peer[i].to.due, peer[i].to.sent);
		assert_int_equal(peer[i].from.due, peer[i].from.sent);
	}
}

/* So many packets each way for each peer with a path, and in between what control does. */
static void traffic(uint32_t count, void (*control)(uint32_t at))
{
	int64_t end = ntm_loop_now_us() + PATIENCE_US;
	uint32_t left[PEERS][2], controlled = peer[0].from.sent;

	for (unsigned i = 0; i < PEERS; i++)
		left[i][0] = left[i][1] = peer[i].path ? count : 0;
	for (bool more = true; more && ntm_loop_now_us() < end;) {
		more = false;
		for (unsigned i = 0; i < PEERS; i++) {
			for (int j = 0; j < 8 && left[i][0] && node_send(&peer[i]); j++)
				left[i][0]--;
			for (int j = 0; j < 8 && left[i][1] && peer_send(&peer[i]); j++)
				left[i][1]--;
			more = more || left[i][0] || left[i][1];
		}
		turn();
		if (control && peer[0].from.sent - controlled >= 50) {
			controlled = peer[0].from.sent;
			control(controlled);
		}
	}
	quiet();
}

static bool eventually_is(const int *value, int least)
{
	int64_t end = ntm_loop_now_us() + PATIENCE_US;

	while (*(const volatile int *)value < least && ntm_loop_now_us() < end)
		turn();
	return *value >= least;
}

static void placed(const struct peer *p)
{
	int64_t end = ntm_loop_now_us() + PATIENCE_US;

	while ((!shard_of(p) || p->far->local->placing) && ntm_loop_now_us() < end)
		turn();
	assert_in_range(shard_of(p), 1, THREADS);
}

#endif
