/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_user_engine.c - paths of the user engine: who gets a packet, what waits for how long and in which
 * order, routes, and what applications are told (daemon/user_engine.c, user_held.c, user_egress.c,
 * user_table.c). Keys and lanes: test_user_lanes.c.
 */
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <signal.h>

#include "user_pair.h"

static void nobody_knows_is_told_and_the_packet_dropped_or_held(void **state)
{
	(void)state;
	app_send(&a, 60, 1);
	assert_int_equal(a.no_path, 1);
	assert_true(ntm_addr_equal(&a.wanted, &b.vip4));
	assert_int_equal(dropped(NTM_DROP_NO_PATH), 1);
	a.holder = a.path = ntmd_engine_path_add(a.engine, &a);
	app_send(&a, 60, 2);
	assert_int_equal(a.no_path, 2);
	assert_int_equal(stats_of(&a).held_packets, 1);
	ntmd_engine_path_map(a.path, &b.vip4, &b.vip6);
	app_send(&a, 60, 3);
	assert_int_equal(a.no_path, 2);
	assert_int_equal(stats_of(&a).held_packets, 2);
	b.path = path_make(&b, &a);
	path_establish(&b, &a);
	path_establish(&a, &b);
	pump();
	assert_int_equal(app_number(&b), 2);
	assert_int_equal(app_number(&b), 3);
	assert_int_equal(dropped_in_all(), 1);
}

static void only_own_packets_to_hosts_ask_for_a_tunnel(void **state)
{
	static const char *const local[] = {"224.0.0.22", "255.255.255.255", "169.254.1.1",
					    "ff02::2",	  "ff02::16",	     "fe80::1"};
	struct ntm_addr dst, from_link;
	uint8_t packet[100];

	(void)state;
	assert_int_equal(ntm_addr_parse(&from_link, "fe80::5"), 0);
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		assert_int_equal(ntm_addr_parse(&dst, local[i]), 0);
		app_write(&a, packet,
			  inner_make(packet, ntm_addr_is4(&dst) ? &a.vip4 : &from_link, &dst, 60, 1));
	}
	app_write(&a, packet, inner_make(packet, &a.vip4, &a.vip4, 60, 1));
	assert_int_equal(dropped(NTM_DROP_NO_PATH), 7);
	app_write(&a, packet, inner_make(packet, &b.vip4, &b.vip4, 60, 1)); /* somebody else's address */
	app_write(&a, packet, inner_make(packet, &b.vip6, &b.vip6, 60, 1));
	assert_int_equal(dropped(NTM_DROP_INNER_SOURCE), 2);
	inner_make(packet, &a.vip4, &b.vip4, 60, 1);
	app_write(&a, packet, 59);
	assert_int_equal(dropped(NTM_DROP_INNER_SHORT), 1);
	assert_int_equal(a.no_path, 0);
	assert_int_equal(dropped_in_all(), 10);
}

/* What is missing comes in each of the possible orders; nothing goes before all of it is there. */
static void held_packets_go_in_order_when_the_last_thing_comes(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	b.path = path_make(&b, &a);
	path_establish(&b, &a);
	for (int last = 0; last < 4; last++) {
		a.path = path_make(&a, &b);
		for (uint32_t i = 0; i < 20; i++)
			app_send(&a, 60 + i, i);
		for (int step = 1; step <= 4; step++) {
			assert_int_equal(app_number(&b), -1);
			switch ((last + step) % 4) {
			case 0:
				assert_int_equal(ntmd_engine_path_identify(a.path, PATH_ID, 0), 0);
				break;
			case 1:
				key_set(&a, 0, (uint8_t)last);
				break;
			case 2:
				ntmd_engine_path_phase_set(a.path, 0);
				break;
			case 3:
				ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
				break;
			}
			pump();
			if (step == 1)
				key_set(&b, 0, (uint8_t)last);
		}
		for (uint32_t i = 0; i < 20; i++)
			assert_int_equal(app_number(&b), i);
		assert_int_equal(app_number(&b), -1);
		assert_int_equal(stats_of(&a).held_packets, 0);
		assert_int_equal(stats_of(&a).held_bytes, 0);
		ntmd_engine_path_delete(a.path, false);
	}
	a.path = NULL;
	assert_int_equal(dropped_in_all(), 0);
}

static void held_packets_are_bounded_and_the_oldest_goes_first(void **state)
{
	const uint32_t sent = 400;
	unsigned left;

	(void)state;
	b.path = path_make(&b, &a);
	path_establish(&b, &a);
	a.path = path_make(&a, &b);
	for (uint32_t i = 0; i < sent; i++) {
		app_send(&a, 1400, i);
		assert_true(stats_of(&a).held_bytes <= NTM_HELD_BYTES);
	}
	left = stats_of(&a).held_packets;
	assert_in_range(left, NTM_HELD_BYTES / 1400 - 20, NTM_HELD_BYTES / 1400);
	assert_int_equal(dropped(NTM_DROP_HELD_FULL), sent - left);
	b.capturing = true; /* they are more than the socket pair of b's application holds */
	path_establish(&a, &b);
	pump();
	assert_int_equal(b.captured, left);
	for (unsigned i = 0; i < left; i++) {
		replay(&b, b.capture[i], b.capture_len[i]);
		assert_int_equal(app_number(&b), sent - left + i);
	}
	assert_int_equal(dropped_in_all(), sent - left);
}

static void held_packets_grow_too_old(void **state)
{
	(void)state;
	b.path = path_make(&b, &a);
	path_establish(&b, &a);
	a.path = path_make(&a, &b);
	app_send(&a, 60, 1);
	pass_ms(NTM_HELD_MS / 2);
	app_send(&a, 60, 2);
	pass_ms(NTM_HELD_MS / 2 - 1);
	assert_int_equal(stats_of(&a).held_packets, 2);
	assert_true(evtimer_pending(a.engine->timer, NULL));
	pass_ms(1);
	assert_int_equal(stats_of(&a).held_packets, 1);
	assert_int_equal(dropped(NTM_DROP_HELD_OLD), 1);
	path_establish(&a, &b);
	pump();
	assert_int_equal(app_number(&b), 2);
	assert_int_equal(app_number(&b), -1);
}

static void without_a_route_packets_wait(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	ntmd_engine_path_route_set(a.path, NULL, NULL, 0);
	app_send(&a, 60, 1);
	assert_int_equal(app_number(&b), -1);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(dropped_in_all(), 0);
}

static void silence_is_told_once_until_something_comes_by_the_route(void **state)
{
	struct ntm_flow back = flow_to(&b, &a.udp);

	(void)state;
	app_send(&a, 60, 1);
	app_send(&a, 60, 2);
	assert_int_equal(a.unheard, 1);
	assert_true(ntmd_engine_path_unheard(a.path) > 0);
	pump();
	ntmd_engine_path_route_set(b.path, &back, NULL, 0);
	app_send(&b, 60, 3);
	pump();
	assert_int_equal(ntmd_engine_path_unheard(a.path), 0);
	app_send(&a, 60, 4);
	assert_int_equal(a.unheard, 2);
	ntmd_engine_path_unheard_forget(a.path);
	assert_int_equal(ntmd_engine_path_unheard(a.path), 0);
}

static void a_second_route_carries_duplicates_that_arrive_once(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp), second = flow_to(&a, &b.udp2);

	(void)state;
	ntmd_engine_path_route_set(a.path, &flow, &second, 0);
	for (uint32_t i = 0; i < 10; i++)
		app_send(&a, 60, i);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(dropped(NTM_DROP_REPLAY), 10);
	assert_int_equal(stats_of(&a).tx_packets, 10);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	app_send(&a, 60, 10);
	assert_int_equal(dropped(NTM_DROP_REPLAY), 10);
}

static void an_unproven_route_gets_no_more_than_its_bound(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp), second = flow_to(&a, &b.udp2);
	const unsigned len = 1000, bound = 5 * (1000 + 32) + 1031;

	(void)state;
	ntmd_engine_path_route_set(a.path, &flow, &second, bound);
	for (uint32_t i = 0; i < 20; i++)
		app_send(&a, len, i);
	assert_int_equal(dropped(NTM_DROP_REPLAY),
			 5); /* five came twice, the others by the second route only */
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(app_number(&b), i);
	/* without a second route the rest waits */
	clock_us += 1000000;
	ntmd_engine_path_route_set(a.path, &flow, NULL, bound);
	for (uint32_t i = 0; i < 8; i++)
		app_send(&a, len, i);
	assert_int_equal(stats_of(&a).held_packets, 3);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(dropped_in_all(), 5);
}

/* A peer that says again and again that it is elsewhere now does not get so much each time. */
static void unproven_routes_get_no_more_by_being_set_again(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp), second = flow_to(&a, &b.udp2);
	const unsigned len = 1000 + 32, each = NTM_UNPROVEN_BYTES / len;
	unsigned twice = 0;
	uint32_t number = 0;

	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		for (int again = 0; again < 10; again++) {
			ntmd_engine_path_route_set(a.path, &flow, &second, NTM_UNPROVEN_BYTES);
			for (unsigned i = 0; i < 10; i++, number++) {
				app_send(&a, 1000, number);
				assert_int_equal(app_number(&b), number);
			}
		}
		/* 100 packets went out, not more than the bound by both routes */
		twice += each;
		assert_in_range(dropped(NTM_DROP_REPLAY), twice - turn - 1, twice);
		twice = (unsigned)dropped(NTM_DROP_REPLAY);
		if (turn == 1) /* that one of them was proven meanwhile changes nothing */
			ntmd_engine_path_route_set(a.path, &second, NULL, 0);
		clock_us += 1000000;
	}
	/* half of the time brings half of it back */
	clock_us -= 500000;
	ntmd_engine_path_route_set(a.path, &flow, &second, NTM_UNPROVEN_BYTES);
	for (unsigned i = 0; i < 100; i++, number++) {
		app_send(&a, 1000, number);
		assert_int_equal(app_number(&b), number);
	}
	assert_in_range(dropped(NTM_DROP_REPLAY), twice + each / 2 - 1, twice + each / 2 + 1);
}

static void a_small_packet_does_not_overtake_a_large_one_that_waits(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	ntmd_engine_path_route_set(a.path, &flow, NULL, 1500);
	app_send(&a, 1000, 1);
	app_send(&a, 1000, 2); /* over the bound */
	app_send(&a, 60, 3); /* would fit */
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(app_number(&b), -1);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	assert_int_equal(app_number(&b), 2);
	assert_int_equal(app_number(&b), 3);
	assert_int_equal(dropped_in_all(), 0);
}

static void what_cannot_be_sent_waits_and_is_told_once(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	assert_int_equal(ntm_addr_parse(&flow.local, "192.0.2.1"), 0); /* not ours any more */
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	for (uint32_t i = 0; i < 4; i++)
		app_send(&a, 60, i);
	assert_int_equal(a.send_failed, 1);
	assert_true(a.err > 0);
	assert_int_equal(stats_of(&a).held_packets, 4);
	pass_ms(NTMD_USER_RETRY_MS);
	app_send(&a, 60, 4);
	assert_int_equal(a.send_failed, 1);
	/* the second route is enough */
	flow = flow_to(&a, &b.udp);
	ntmd_engine_path_route_set(a.path, &a.path->route, &flow, 0);
	pump();
	assert_int_equal(a.send_failed, 2);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(stats_of(&a).held_packets, 0);
	assert_int_equal(dropped_in_all(), 0);
}

static void a_better_route_may_be_set_while_the_failure_is_told(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	assert_int_equal(ntm_addr_parse(&flow.local, "192.0.2.1"), 0);
	a.reroute_when_failed = true;
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	app_send(&a, 60, 1);
	assert_int_equal(a.send_failed, 1);
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(dropped_in_all(), 0);
}

/* The ICMP error the application gets; its length. */
static int error_read(struct node *node, uint8_t *packet, const struct node *about)
{
	int n = app_read(node, packet, 2048);
	bool is4 = n > 0 && packet[0] >> 4 == 4;

	assert_true(n > 0);
	assert_memory_equal(packet + (is4 ? 12 : 8), is4 ? about->vip4.b + 12 : about->vip6.b, is4 ? 4 : 16);
	assert_memory_equal(packet + (is4 ? 16 : 24), is4 ? node->vip4.b + 12 : node->vip6.b, is4 ? 4 : 16);
	return n;
}

static void deleting_a_path_refuses_what_waits(void **state)
{
	uint8_t packet[2048];

	(void)state;
	a.path = path_make(&a, &b);
	app_send(&a, 60, 1);
	app_write(&a, packet, inner_make(packet, &a.vip6, &b.vip6, 60, 2));
	ntmd_engine_path_delete(a.path, true);
	a.path = NULL;
	error_read(&a, packet, &b);
	assert_int_equal(packet[20], ICMP_DEST_UNREACH);
	assert_int_equal(packet[21], ICMP_HOST_UNREACH);
	error_read(&a, packet, &b);
	assert_int_equal(packet[40], ICMP6_DST_UNREACH);
	assert_int_equal(packet[41], ICMP6_DST_UNREACH_ADDR);
	assert_int_equal(app_number(&a), -1);
	assert_int_equal(dropped(NTM_DROP_NO_PATH), 2);

	a.path = path_make(&a, &b);
	app_send(&a, 60, 1);
	ntmd_engine_path_delete(a.path, false);
	a.path = NULL;
	assert_int_equal(app_number(&a), -1);
}

static void packets_larger_than_the_path_are_answered(void **state)
{
	uint8_t packet[2048];

	(void)state;
	ntmd_engine_path_mtu_set(a.path, 1300);
	app_send(&a, 1300, 1);
	app_send(&a, 1301, 2);
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(dropped(NTM_DROP_TOO_BIG), 1);
	error_read(&a, packet, &b);
	assert_int_equal(packet[20], ICMP_DEST_UNREACH);
	assert_int_equal(packet[21], ICMP_FRAG_NEEDED);
	assert_int_equal(packet[26] << 8 | packet[27], 1300);
	app_write(&a, packet, inner_make(packet, &a.vip6, &b.vip6, 1301, 3));
	error_read(&a, packet, &b);
	assert_int_equal(packet[40], ICMP6_PACKET_TOO_BIG);
	assert_int_equal(packet[46] << 8 | packet[47], 1300);
	ntmd_engine_path_mtu_set(a.path, 0);
	app_send(&a, 1301, 4);
	assert_int_equal(app_number(&b), 4);
}

static void a_size_the_system_refuses_is_learnt(void **state)
{
	uint8_t packet[2048];

	(void)state;
	app_send(&a, 65535, 1); /* with header, tag, UDP and IP more than the 65536 of the loopback device */
	assert_int_equal(dropped(NTM_DROP_TOO_BIG), 1);
	error_read(&a, packet, &b);
	assert_int_equal(packet[21], ICMP_FRAG_NEEDED);
	assert_int_equal(packet[26] << 8 | packet[27], 65536 - 20 - 8 - 32);
	app_send(&a, 65477, 2); /* now refused before it is sealed */
	assert_int_equal(dropped(NTM_DROP_TOO_BIG), 2);
	assert_int_equal(a.path->key[0]->lane[NTM_LANE_BULK].next, 1);
	app_send(&a, 65475, 3); /* the largest UDP datagram is 65507 bytes */
	assert_int_equal(app_number(&b), 3);
	assert_int_equal(a.send_failed, 0);
}

static void a_newer_path_takes_over_addresses_and_what_waits(void **state)
{
	struct ntmd_engine_path *old;
	struct ntm_addr none = {0};

	(void)state;
	b.path = path_make(&b, &a);
	path_establish(&b, &a);
	old = path_make(&a, &b);
	app_send(&a, 60, 1);
	app_send(&a, 60, 2);
	a.path = ntmd_engine_path_add(a.engine, &a);
	ntmd_engine_path_map(a.path, &b.vip4, &none);
	app_send(&a, 60, 3);
	assert_int_equal(stats_of(&a).held_packets, 1);
	ntmd_engine_path_hand_over(old, a.path);
	assert_int_equal(stats_of(&a).held_packets, 3);
	assert_true(ntm_addr_equal(&a.path->vip[1], &b.vip6));
	app_send(&a, 60, 4);
	ntmd_engine_path_delete(old, true);
	assert_int_equal(app_number(&a), -1);
	path_establish(&a, &b);
	pump();
	for (int i = 1; i <= 4; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(a.no_path, 0);
	assert_int_equal(dropped_in_all(), 0);
}

static void the_path_mapped_last_is_used_and_the_one_before_it_again(void **state)
{
	struct ntmd_engine_path *newer;
	struct ntm_addr none = {0};

	(void)state;
	newer = path_make(&a, &b);
	app_send(&a, 60, 1);
	assert_int_equal(app_number(&b), -1);
	ntmd_engine_path_map(a.path, &b.vip4, &b.vip6);
	app_send(&a, 60, 2);
	assert_int_equal(app_number(&b), 2);
	ntmd_engine_path_map(newer, &b.vip4, &b.vip6);
	ntmd_engine_path_delete(newer, false);
	app_send(&a, 60, 3);
	assert_int_equal(app_number(&b), 3);
	ntmd_engine_path_map(a.path, &none, &none);
	app_send(&a, 60, 4);
	assert_int_equal(a.no_path, 1);
}

static void a_path_id_belongs_to_one_path(void **state)
{
	struct ntmd_engine_path *other = ntmd_engine_path_add(a.engine, &a);

	(void)state;
	assert_int_equal(ntmd_engine_path_identify(other, PATH_ID, 0), -EEXIST);
	assert_int_equal(ntmd_engine_path_identify(a.path, PATH_ID, 0), 0);
	assert_int_equal(ntmd_engine_path_identify(a.path, PATH_ID + 1, 0), 0);
	assert_int_equal(ntmd_engine_path_identify(other, PATH_ID, 0), 0);
	ntmd_engine_path_delete(other, false);
}

static struct ntm_addr numbered(unsigned i)
{
	struct ntm_addr addr = b.vip6;

	addr.b[12] = (uint8_t)(i >> 16);
	addr.b[13] = (uint8_t)(i >> 8);
	addr.b[14] = (uint8_t)i;
	return addr;
}

static void as_many_paths_as_allowed_are_found(void **state)
{
	static struct ntmd_engine_path *path[NTM_PATHS_MAX];
	struct ntm_addr none = {0}, vip;

	(void)state;
	assert_true(sizeof(struct ntmd_engine_path) <= 768);
	for (unsigned i = 0; i < NTM_PATHS_MAX; i++) {
		path[i] = ntmd_engine_path_add(a.engine, &a);
		assert_non_null(path[i]);
		vip = numbered(
			i %
			1000); /* every address many times: the newest must be found, also after growing */
		ntmd_engine_path_map(path[i], &none, &vip);
		assert_int_equal(ntmd_engine_path_identify(path[i], i, 0), 0);
	}
	assert_null(ntmd_engine_path_add(a.engine, &a));
	assert_int_equal(dropped(NTM_DROP_LIMIT), 1);
	for (unsigned i = 0; i < NTM_PATHS_MAX; i++)
		assert_ptr_equal(ntmd_user_path_by_id(a.engine, i), path[i]);
	assert_null(ntmd_user_path_by_id(a.engine, NTM_PATHS_MAX));
	for (unsigned i = 0; i < 1000; i++) {
		unsigned newest = (NTM_PATHS_MAX - 1 - i) / 1000 * 1000 + i;

		vip = numbered(i);
		assert_ptr_equal(ntmd_user_path_by_vip(a.engine, &vip), path[newest]);
	}
	for (unsigned i = 0; i < NTM_PATHS_MAX; i += 2)
		ntmd_engine_path_delete(path[i], false);
	for (unsigned i = 0; i < NTM_PATHS_MAX; i++)
		assert_ptr_equal(ntmd_user_path_by_id(a.engine, i), i & 1 ? path[i] : NULL);
	for (unsigned i = 1; i < NTM_PATHS_MAX; i += 2)
		ntmd_engine_path_delete(path[i], false);
}

static void a_wakeup_takes_a_bounded_number_of_packets(void **state)
{
	uint8_t packet[64];
	unsigned held;

	(void)state;
	a.path = path_make(&a, &b);
	inner_make(packet, &a.vip4, &b.vip4, sizeof(packet), 1);
	for (int i = 0; i < NTMD_USER_BATCH + 10; i++)
		assert_int_equal(write(a.app, packet, sizeof(packet)), sizeof(packet));
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	held = stats_of(&a).held_packets;
	assert_int_equal(held, NTMD_USER_BATCH);
	pump();
	assert_int_equal(stats_of(&a).held_packets, NTMD_USER_BATCH + 10);
}

static void an_application_that_takes_nothing_is_counted(void **state)
{
	uint64_t full = 0;

	(void)state;
	for (uint32_t i = 0; i < 4000 && !full; i++) {
		app_send(&a, 1400, i);
		full = dropped(NTM_DROP_TUN_WRITE);
	}
	assert_true(full > 0);
	assert_int_equal(stats_of(&b).drops, full);
	assert_int_equal(stats_of(&b).rx_packets + full, stats_of(&a).tx_packets);
}

static void a_device_that_goes_away_does_not_spin(void **state)
{
	(void)state;
	close(a.app);
	pump();
	assert_false(event_pending(a.engine->readable, EV_READ, NULL));
	a.app = dup(0);
}

#define pair_test(f) cmocka_unit_test_setup_teardown(f, pair_open, pair_close)
#define established_test(f) cmocka_unit_test_setup_teardown(f, pair_open_established, pair_close)

int main(void)
{
	const struct CMUnitTest user_engine[] = {
		pair_test(nobody_knows_is_told_and_the_packet_dropped_or_held),
		pair_test(only_own_packets_to_hosts_ask_for_a_tunnel),
		pair_test(held_packets_go_in_order_when_the_last_thing_comes),
		pair_test(held_packets_are_bounded_and_the_oldest_goes_first),
		pair_test(held_packets_grow_too_old),
		established_test(without_a_route_packets_wait),
		established_test(silence_is_told_once_until_something_comes_by_the_route),
		established_test(a_second_route_carries_duplicates_that_arrive_once),
		established_test(an_unproven_route_gets_no_more_than_its_bound),
		established_test(unproven_routes_get_no_more_by_being_set_again),
		established_test(a_small_packet_does_not_overtake_a_large_one_that_waits),
		established_test(what_cannot_be_sent_waits_and_is_told_once),
		established_test(a_better_route_may_be_set_while_the_failure_is_told),
		pair_test(deleting_a_path_refuses_what_waits),
		established_test(packets_larger_than_the_path_are_answered),
		established_test(a_size_the_system_refuses_is_learnt),
		pair_test(a_newer_path_takes_over_addresses_and_what_waits),
		established_test(the_path_mapped_last_is_used_and_the_one_before_it_again),
		established_test(a_path_id_belongs_to_one_path),
		pair_test(as_many_paths_as_allowed_are_found),
		pair_test(a_wakeup_takes_a_bounded_number_of_packets),
		established_test(an_application_that_takes_nothing_is_counted),
		pair_test(a_device_that_goes_away_does_not_spin),
	};

	signal(SIGPIPE, SIG_IGN); /* as ntm_loop_init does */
	return cmocka_run_group_tests(user_engine, NULL, NULL);
}
