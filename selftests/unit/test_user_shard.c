/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_user_shard.c - the user engine with two data threads, which really run: a node among peers that each have an engine
 * without threads. Socket pairs are the queues of its TUN device, and the test is the kernel that steers. Every packet
 * has a number, and each flow must arrive complete and in order, whatever control does meanwhile. No root.
 *
 *	           +-> queue 0 -+                 +- socket 0 <-+
 *	test(apps) +-> queue 1 -+- node's engine -+- socket 1 <-+- loopback <-> peers' engines <-> test(apps)
 *	           +-> queue 2 -+                 +- socket 2 <-+
 *
 * Also built with ThreadSanitizer: make SAN=thread.
 */
#include "shard_world.h"

#define MANY 30000
#define MANY_US 3000000 /* some 30 ms, and what a sanitizer and a busy machine add */

/* ---- tests */

static void flows_stay_in_order_and_complete(void **state)
{
	(void)state;
	all_connect();
	traffic(4000, NULL);
	for (unsigned i = 0; i < PEERS; i++)
		assert_int_equal(shard_of(&peer[i]), 1 + i % THREADS);
	/* Two of the peers' datagrams come to the wrong thread, and by the control loop to the right one. */
	for (unsigned i = 0; i < PEERS; i++)
		assert_true(peer[i].opened && peer[i].bulk && peer[i].unheard);
	assert_int_equal(node.no_path + node.unknown, 0);
	for (int reason = 1; reason < NTM_DROP_MAX; reason++)
		assert_int_equal(ntm_drop_get(reason), drops_before[reason]);
}

static void what_waits_goes_first_when_a_path_gets_its_thread(void **state)
{
	struct peer *p = &peer[0];

	(void)state;
	p->far = node.holder = ntmd_engine_path_add(node.engine, p);
	assert_non_null(p->far);
	ntmd_engine_path_map(p->far, &p->vip4, &nobody);
	for (int i = 0; i < 30; i++)
		assert_true(node_send(p));
	turn();
	peer_connect(p, PEER_ID(0));
	for (int i = 0; i < 15; i++)
		assert_true(node_send(p)); /* into the queue that it is about to leave */
	node.holder = NULL;
	quiet();
	placed(p);
	assert_int_equal(p->from.due, 45);
}

static void a_packet_to_nobody_asks_control_and_waits(void **state)
{
	struct peer *p = &peer[1];

	(void)state;
	peer_connect(&peer[0], PEER_ID(0));
	placed(&peer[0]);
	p->far = node.holder = ntmd_engine_path_add(node.engine, p);
	/* As if the kernel had not heard yet that nobody is there: it comes by a thread. */
	assert_int_equal(ntmd_steer_vip(NULL, &p->vip4, 2), 0);
	for (int i = 0; i < 20; i++)
		assert_true(node_send(p));
	assert_true(eventually_is(&node.no_path, 20));
	node.holder = NULL;
	peer_connect(p, PEER_ID(1));
	quiet();
	assert_int_equal(p->from.due, 20);
}

static void a_path_id_that_nobody_has_is_told_of(void **state)
{
	uint8_t packet[LEN] = {0};
	struct ntm_flow flow;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		flow = to_node(&peer[i]);
		ntm_header_set((struct ntm_header *)packet, NTM_TYPE_DATA, 1, 77);
		assert_int_equal(ntm_udp_send(&flow, packet, sizeof(packet)), 0);
	}
	assert_true(eventually_is(&node.unknown, 2));
	assert_int_equal(dropped(NTM_DROP_PATH_UNKNOWN), 2);
}

/* Keys of a phase are only replaced when no packet under them can be on its way: all that was sent before the last change came. */
static void keys_churn(struct peer *p)
{
	unsigned phase;

	if (p->to.due < p->changed.due || p->from.due < p->changed.sent)
		return;
	phase = ++p->generation % NTM_TYPE_PHASES;
	p->changed = (struct flow){.sent = p->from.sent, .due = p->to.sent};
	both_keys_set(p, phase, (uint8_t)(p->generation % 16));
	both_phases_set(p, phase);
}

static void control_churns(uint32_t at)
{
	bool odd = at / 50 % 2;

	for (unsigned i = 0; i < PEERS; i++) {
		struct ntm_flow there = to_peer(&peer[i]);
		struct ntmd_engine_stats stats;

		keys_churn(&peer[i]);
		ntmd_engine_path_stats(peer[i].far, &stats);
		ntmd_engine_path_route_set(peer[i].far, &there, odd ? &there : NULL, 0);
		ntmd_engine_path_sources_set(peer[i].far, &peer[i].udp.bound, odd);
		ntmd_engine_path_heard(peer[i].far);
		ntmd_engine_path_unheard(peer[i].far);
		ntmd_engine_path_rest(peer[i].far);
		ntmd_engine_path_mtu_set(peer[i].far, 1300 + odd);
		ntmd_engine_path_map(peer[i].far, &peer[i].vip4, &nobody);
	}
}

static void flows_do_not_notice_what_control_does(void **state)
{
	(void)state;
	all_connect();
	traffic(4000, control_churns);
	/* Nothing is lost but what came twice: by both routes. */
	assert_true(dropped(NTM_DROP_REPLAY) > 0);
}

/* A path gives its addresses to a newer one of the pair, which is in the other shard. */
static void path_renews(uint32_t at)
{
	struct peer *p = &peer[at / 50 % PEERS];
	struct ntmd_engine_path *old = p->far, *old_near = p->path;
	static uint64_t id = 1000;

	p->far = NULL;
	peer_connect(p, id++);
	ntmd_engine_path_hand_over(old, p->far);
	ntmd_engine_path_hand_over(old_near, p->path);
	/* What is still on the way under the old ID must arrive too. */
	quiet();
	ntmd_engine_path_delete(old, false);
	ntmd_engine_path_delete(old_near, false);
}

static void a_newer_path_takes_over_in_order(void **state)
{
	(void)state;
	all_connect();
	traffic(4000, path_renews);
}

/* Two paths that come to have one far endpoint (a relay) are in one shard from then on. */
static void paths_by_one_endpoint_meet(void **state)
{
	struct ntm_flow there;

	(void)state;
	all_connect();
	traffic(500, NULL);
	assert_int_not_equal(shard_of(&peer[0]), shard_of(&peer[1]));
	there = to_peer(&peer[1]);
	for (int i = 0; i < 20; i++)
		assert_true(node_send(&peer[0]));
	quiet();
	ntmd_engine_path_route_set(peer[0].far, &there, NULL, 0);
	turn();
	assert_int_equal(shard_of(&peer[0]), shard_of(&peer[1]));
	there = to_peer(&peer[0]);
	ntmd_engine_path_route_set(peer[0].far, &there, NULL, 0);
	for (int i = 0; i < 20; i++)
		assert_true(node_send(&peer[0]));
	traffic(1000, NULL);
}

/* As many paths by one relay as a large node has move at once, and nobody waits for it. */
static void many_paths_move_together(void **state)
{
	struct ntm_flow there[2] = {to_peer(&peer[0]), to_peer(&peer[1])};
	struct ntmd_engine_path **path = calloc(MANY, sizeof(*path));
	int64_t began;

	(void)state;
	assert_non_null(path);
	for (unsigned i = 0; i < MANY; i++) {
		path[i] = ntmd_engine_path_add(node.engine, &peer[0]);
		assert_non_null(path[i]);
		assert_int_equal(ntmd_engine_path_identify(path[i], PEER_ID(1000 + i), NTM_SIDE_REQUESTER), 0);
	}
	for (int to = 0; to < 2; to++) {
		began = ntm_loop_now_us();
		for (unsigned i = 0; i < MANY; i++)
			ntmd_engine_path_route_set(path[i], &there[to], NULL, 0);
		turn();
		assert_in_range(ntm_loop_now_us() - began, 0, MANY_US);
		for (unsigned i = 0; i < MANY; i++) {
			assert_non_null(path[i]->engine->shard);
			assert_ptr_equal(path[i]->engine, path[0]->engine);
		}
	}
	for (unsigned i = 0; i < MANY; i++)
		ntmd_engine_path_delete(path[i], false);
	free(path);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(node.engine->shards->shard[i]->paths, 0);
	assert_int_equal(node.engine->shards->ends.count, 0);
}

static void everything_is_told_by_the_control_loop(void **state)
{
	struct ntm_flow other, there = to_peer(&peer[0]), nowhere = there;
	struct peer *p = &peer[0];

	(void)state;
	peer_connect(p, PEER_ID(0));
	assert_true(node_send(p) && peer_send(p));
	quiet();
	placed(p);
	assert_true(eventually_is(&p->opened, 1) && eventually_is(&p->bulk, 1) && eventually_is(&p->unheard, 1));

	other = (struct ntm_flow){.udp = &p->udp2, .remote = node.udp4.bound};
	ntmd_engine_path_route_set(p->path, &other, NULL, 0);
	assert_true(peer_send(p));
	assert_true(eventually_is(&p->new_source, 1));
	other = to_node(p);
	ntmd_engine_path_expect(p->far);
	ntmd_engine_path_route_set(p->path, &other, NULL, 0);
	assert_true(peer_send(p));
	assert_true(eventually_is(&p->arrived, 1));
	ntmd_engine_path_route_set(p->path, &other, &other, 0); /* each packet twice */
	assert_true(peer_send(p));
	assert_true(eventually_is(&p->replayed, 1));
	ntmd_engine_path_route_set(p->path, &other, NULL, 0);

	ntmd_user_lock(p->far->engine);
	p->far->key[0]->lane[NTM_LANE_BULK].soft = p->far->key[0]->lane[NTM_LANE_BULK].next;
	ntmd_user_unlock(p->far->engine);
	assert_true(node_send(p));
	assert_true(eventually_is(&p->worn, 1));

	assert_int_equal(ntm_endpoint_parse(&nowhere.remote, "255.255.255.255:9", 9), 0);
	ntmd_engine_path_route_set(p->far, &nowhere, NULL, 0);
	assert_true(node_send(p));
	assert_true(eventually_is(&p->failed, 1));
	ntmd_engine_path_route_set(p->far, &there, NULL, 0);
	quiet();
}

static void a_path_may_go_at_any_time(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		for (unsigned i = 0; i < PEERS; i++) {
			peer_connect(&peer[i], PEER_ID(i) + (uint64_t)round * PEERS);
			for (int j = 0; j < 20; j++) {
				node_send(&peer[i]);
				peer_send(&peer[i]);
			}
		}
		for (int i = 0; i < round % 4; i++)
			event_base_loop(base, EVLOOP_NONBLOCK);
		for (unsigned i = 0; i < PEERS; i++) {
			uint8_t packet[2048];

			ntmd_engine_path_delete(peer[i].far, round % 2);
			ntmd_engine_path_delete(peer[i].path, false);
			peer[i].far = peer[i].path = NULL;
			event_base_loop(base, EVLOOP_NONBLOCK);
			while (read(peer[i].app, packet, sizeof(packet)) > 0)
				;
			for (int queue = 0; queue <= THREADS; queue++)
				while (read(node.app[queue], packet, sizeof(packet)) > 0)
					;
			memset(&peer[i].from, 0, sizeof(peer[i].from));
			memset(&peer[i].to, 0, sizeof(peer[i].to));
		}
	}
	/* What is still on its way belongs to nobody. */
	assert_true(LIST_EMPTY(&node.engine->paths));
	assert_int_equal(node.engine->held_bytes, 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(node.engine->shards->shard[i]->paths, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flows_stay_in_order_and_complete),
		TEST(what_waits_goes_first_when_a_path_gets_its_thread),
		TEST(a_packet_to_nobody_asks_control_and_waits),
		TEST(a_path_id_that_nobody_has_is_told_of),
		TEST(flows_do_not_notice_what_control_does),
		TEST(a_newer_path_takes_over_in_order),
		TEST(paths_by_one_endpoint_meet),
		TEST(many_paths_move_together),
		TEST(everything_is_told_by_the_control_loop),
		TEST(a_path_may_go_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
