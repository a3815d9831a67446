/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_user_offload.c - the user engine on a device with vnet headers: super-packets in, trains of sealed packets
 * on the wire, super-packets out; and what becomes of a train that cannot go (daemon/user_egress.c,
 * user_train.c, user_ingress.c). Cutting and joining themselves: test_segment.c, test_coalesce.c.
 */
#include <netinet/ip_icmp.h>

#include "inner_packets.h"
#include "user_pair.h"

#define SIZE 1000 /* payload of a segment */
#define SEGMENTS 10

static const struct virtio_net_hdr plain;
static size_t segment_size; /* of what arrives: payload */

/* A socket pair has no offloads; whoever is at the other end here knows of vnet headers. */
static int offload_open(void **state)
{
	struct node *node[2] = {&a, &b};

	segment_size = SIZE;
	pair_open_established(state);
	for (int i = 0; i < 2; i++) {
		node[i]->engine->tun.vnet = node[i]->engine->tun.tso = node[i]->engine->tun.uso = true;
		ntmd_user_ingress_init(node[i]->engine);
	}
	return 0;
}

static struct spec super(bool tcp)
{
	/* 198.18.0.1 -> 198.18.0.200: b is told that this is its address */
	struct spec spec = {.is4 = true, .tcp = tcp, .host = 1, .port = 77, .ttl = 64, .df = true, .flags = TCP_F_ACK,
			    .window = 9, .seq = 3, .payload = SIZE * SEGMENTS - 3};
	struct ntm_addr to;

	assert_int_equal(ntm_addr_parse(&to, "198.18.0.200"), 0);
	b.vip4 = to;
	ntmd_engine_own_set(b.engine, &b.vip4, &b.vip6);
	ntmd_engine_path_map(a.path, &b.vip4, &b.vip6);
	return spec;
}

static void vnet_write(struct node *node, const struct virtio_net_hdr *vnet, const uint8_t *packet, size_t len)
{
	struct iovec part[2] = {{(void *)vnet, NTMD_VNET_LEN}, {(void *)packet, len}};

	assert_int_equal(writev(node->app, part, 2), NTMD_VNET_LEN + len);
}

static void super_write(const struct spec *spec)
{
	static uint8_t packet[PACKET_ROOM];
	struct virtio_net_hdr vnet = spec_vnet(spec, SIZE);

	vnet_write(&a, &vnet, packet, spec_make(packet, spec, true));
}

/* What b's application gets next is `count` packets of the super-packet, from the first-th on, in one piece or
 * several. */
static void expect_segments(const struct spec *spec, unsigned first, unsigned count, bool one_piece)
{
	static uint8_t got[PACKET_ROOM], expected[PACKET_ROOM];
	static struct ntmd_segments segments;
	unsigned i = first, writes = 0;

	for (; i < first + count; writes++) {
		struct virtio_net_hdr vnet;
		int n = app_read(&b, got, sizeof(got));
		uint8_t *packet;
		size_t len;

		assert_true(n > (int)NTMD_VNET_LEN);
		memcpy(&vnet, got, NTMD_VNET_LEN);
		assert_int_equal(ntmd_segment_begin(&segments, &vnet, got + NTMD_VNET_LEN, (size_t)n - NTMD_VNET_LEN), 0);
		while ((packet = ntmd_segment_next(&segments, &len))) {
			struct spec part = spec_segment(spec, i++, (unsigned)segment_size);

			assert_int_equal(len, spec_make(expected, &part, false));
			assert_memory_equal(packet, expected, len);
		}
	}
	assert_int_equal(i, first + count);
	if (one_piece)
		assert_int_equal(writes, 1);
	assert_int_equal(app_read(&b, got, sizeof(got)), -1);
}

static void a_super_packet_goes_through_in_one_piece(void **state)
{
	(void)state;
	for (int tcp = 0; tcp < 2; tcp++) {
		struct spec spec = super(tcp);

		super_write(&spec);
		pump();
		expect_segments(&spec, 0, SEGMENTS, a.udp.segment && b.udp.gro);
	}
	assert_int_equal(stats_of(&a).tx_packets, 2 * SEGMENTS);
	assert_int_equal(stats_of(&b).rx_packets, 2 * SEGMENTS);
	assert_int_equal(stats_of(&a).tx_bytes, stats_of(&b).rx_bytes);
	assert_int_equal(stats_of(&a).tx_bytes, 2 * (SIZE * SEGMENTS - 3) + SEGMENTS * (40 + 28));
	assert_int_equal(a.path->key[0]->lane[NTM_LANE_BULK].next, 2 * SEGMENTS);
	assert_int_equal(dropped_in_all(), 0);
}

static void without_udp_segment_it_goes_through_as_well(void **state)
{
	struct spec spec = super(true);
	int on = 1;

	(void)state;
	a.udp.segment = false;
	super_write(&spec);
	pump();
	expect_segments(&spec, 0, SEGMENTS, false);
	/* refused by the system: found out and remembered until there is another route */
	a.udp.segment = true;
	assert_int_equal(setsockopt(a.udp.fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	for (int i = 0; i < 2; i++) {
		struct ntmd_engine_offloads offloads;

		super_write(&spec);
		pump();
		expect_segments(&spec, 0, SEGMENTS, false);
		ntmd_engine_offloads(a.engine, &offloads);
		assert_false(offloads.train);
		assert_true(a.path->train_refused);
	}
	on = 0;
	assert_int_equal(setsockopt(a.udp.fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	path_establish(&a, &b);
	assert_false(a.path->train_refused);
	super_write(&spec);
	pump();
	expect_segments(&spec, 0, SEGMENTS, b.udp.gro);
	assert_int_equal(stats_of(&a).tx_packets, 4 * SEGMENTS);
	assert_int_equal(dropped_in_all(), 0);
}

static void single_packets_of_a_wakeup_go_in_order_whatever_their_size(void **state)
{
	static const size_t size[] = {100, 100, 100, 60, 100, 101, 101, 99, 99, 1400};
	struct spec spec = super(false);
	static uint8_t packet[PACKET_ROOM], got[PACKET_ROOM];

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		spec.payload = size[i];
		spec.seq = (uint32_t)i;
		vnet_write(&a, &plain, packet, spec_make(packet, &spec, false));
	}
	pump();
	for (size_t i = 0; i < 10; i++) { /* the ID stands still and DF is set: joined where the size allows */
		struct virtio_net_hdr vnet;
		static struct ntmd_segments segments;
		int n = app_read(&b, got, sizeof(got));
		uint8_t *one;
		size_t len, last = i;

		assert_true(n > 0);
		memcpy(&vnet, got, NTMD_VNET_LEN);
		assert_int_equal(ntmd_segment_begin(&segments, &vnet, got + NTMD_VNET_LEN, (size_t)n - NTMD_VNET_LEN), 0);
		for (; (one = ntmd_segment_next(&segments, &len)); last++) {
			spec.payload = size[last];
			spec.seq = (uint32_t)last;
			assert_int_equal(len, spec_make(packet, &spec, false));
			assert_memory_equal(one + 20, packet + 20, len - 20);
		}
		i = last - 1;
	}
	assert_int_equal(app_read(&b, got, sizeof(got)), -1);
	assert_int_equal(stats_of(&b).rx_packets, 10);
	assert_int_equal(dropped_in_all(), 0);
}

/* The train does not keep plaintext: it is opened again. */
static void a_train_that_no_route_takes_waits_in_order(void **state)
{
	struct spec spec = super(true);
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	assert_int_equal(ntm_addr_parse(&flow.local, "192.0.2.1"), 0); /* not ours */
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	super_write(&spec);
	pump();
	assert_int_equal(stats_of(&a).held_packets, SEGMENTS);
	assert_int_equal(a.send_failed, 1);
	flow = flow_to(&a, &b.udp);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	expect_segments(&spec, 0, SEGMENTS, false);
	assert_int_equal(stats_of(&a).tx_packets, SEGMENTS);
	assert_int_equal(dropped_in_all(), 0);
}

static void a_second_route_takes_the_train_as_well(void **state)
{
	struct spec spec = super(true);
	struct ntm_flow bad = flow_to(&a, &b.udp), second = flow_to(&a, &b.udp2);

	(void)state;
	assert_int_equal(ntm_addr_parse(&bad.local, "192.0.2.1"), 0);
	ntmd_engine_path_route_set(a.path, &bad, &second, 0);
	super_write(&spec);
	pump();
	expect_segments(&spec, 0, SEGMENTS, false);
	assert_int_equal(stats_of(&a).held_packets, 0);
	assert_int_equal(stats_of(&a).tx_packets, SEGMENTS);
}

static void a_train_stops_where_its_key_does(void **state)
{
	struct ntmd_user_lane *lane = &a.path->key[0]->lane[NTM_LANE_BULK];
	struct spec spec = super(true);

	(void)state;
	lane->next = lane->hard - 3;
	super_write(&spec);
	pump();
	assert_int_equal(lane->next, lane->hard);
	assert_int_equal(stats_of(&a).held_packets, SEGMENTS - 3);
	expect_segments(&spec, 0, 3, false);
	key_set(&b, 1, 1);
	key_set(&a, 1, 1);
	ntmd_engine_path_phase_set(a.path, 1);
	pump();
	expect_segments(&spec, 3, SEGMENTS - 3, false);
	assert_int_equal(dropped_in_all(), 0);
}

static void an_unproven_route_gets_only_a_part_of_a_super_packet(void **state)
{
	struct spec spec = super(true);
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	ntmd_engine_path_route_set(a.path, &flow, NULL, 4 * (SIZE + 40 + NTMD_USER_OVERHEAD) + 100);
	super_write(&spec);
	pump();
	expect_segments(&spec, 0, 4, false);
	assert_int_equal(stats_of(&a).held_packets, SEGMENTS - 4);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	expect_segments(&spec, 4, SEGMENTS - 4, false);
}

static void segments_that_are_too_big_are_answered_once(void **state)
{
	static uint8_t packet[PACKET_ROOM];
	struct spec spec = super(false);

	(void)state;
	ntmd_engine_path_mtu_set(a.path, 1025); /* the last one is 3 bytes shorter */
	super_write(&spec);
	pump();
	assert_int_equal(dropped(NTM_DROP_TOO_BIG), SEGMENTS - 1);
	assert_true(app_read(&a, packet, sizeof(packet)) > (int)NTMD_VNET_LEN);
	assert_int_equal(packet[NTMD_VNET_LEN + 20], ICMP_DEST_UNREACH);
	assert_int_equal(packet[NTMD_VNET_LEN + 21], ICMP_FRAG_NEEDED);
	assert_int_equal(packet[NTMD_VNET_LEN + 26] << 8 | packet[NTMD_VNET_LEN + 27], 1025);
	assert_int_equal(app_read(&a, packet, sizeof(packet)), -1);
	expect_segments(&spec, SEGMENTS - 1, 1, false);
}

static void tcp_is_cut_to_what_the_path_takes(void **state)
{
	struct spec spec = super(true);

	(void)state;
	segment_size = SIZE - 300;
	ntmd_engine_path_mtu_set(a.path, (unsigned)segment_size + 40);
	super_write(&spec);
	pump();
	assert_int_equal(stats_of(&a).tx_packets, spec.payload / segment_size + 1);
	expect_segments(&spec, 0, (unsigned)(spec.payload / segment_size + 1), a.udp.segment && b.udp.gro);
	assert_int_equal(dropped_in_all(), 0);
	assert_int_equal(app_number(&a), -1);
}

static void what_the_device_says_wrong_is_dropped(void **state)
{
	static uint8_t packet[PACKET_ROOM];
	struct spec spec = super(true);
	struct virtio_net_hdr vnet = spec_vnet(&spec, SIZE);
	size_t len = spec_make(packet, &spec, true);

	(void)state;
	vnet.csum_start = 60;
	vnet_write(&a, &vnet, packet, len);
	assert_int_equal(write(a.app, packet, 5), 5); /* not even a vnet header */
	pump();
	assert_int_equal(dropped(NTM_DROP_INNER_SHORT), 2);
	assert_int_equal(stats_of(&a).tx_packets, 0);
	super_write(&spec);
	pump();
	expect_segments(&spec, 0, SEGMENTS, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, offload_open, pair_close)

int main(void)
{
	const struct CMUnitTest user_offload[] = {
		TEST(a_super_packet_goes_through_in_one_piece),
		TEST(without_udp_segment_it_goes_through_as_well),
		TEST(single_packets_of_a_wakeup_go_in_order_whatever_their_size),
		TEST(a_train_that_no_route_takes_waits_in_order),
		TEST(a_second_route_takes_the_train_as_well),
		TEST(a_train_stops_where_its_key_does),
		TEST(an_unproven_route_gets_only_a_part_of_a_super_packet),
		TEST(segments_that_are_too_big_are_answered_once),
		TEST(tcp_is_cut_to_what_the_path_takes),
		TEST(what_the_device_says_wrong_is_dropped),
	};

	return cmocka_run_group_tests(user_offload, NULL, NULL);
}
