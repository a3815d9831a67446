/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_node_lane.c - which packets bpf/tc_egress.bpf.c takes for the inline lane, and which go on to ntmd.
 */
#include "node_pair.h"

/* Longer than a test may take on any machine: time passes by flows_age(). */
#define WINDOW_NS 4000000000U
#define HOLD_NS 4000000000U

/* All that was sent was sent so much earlier. */
static void flows_age(uint64_t ns)
{
	const struct bpf_map *map = a.bpf->maps.ntm_flows;
	struct ntm_map_flow flow;

	for (uint32_t i = 0; i < NTM_FLOWS_SLOTS; i++) {
		assert_int_equal(bpf_map__lookup_elem(map, &i, sizeof(i), &flow, sizeof(flow), 0), 0);
		if (!flow.hash)
			continue;
		flow.since -= (uint32_t)(ns >> 10);
		if (flow.bulk)
			flow.bulk -= (uint32_t)(ns >> 10);
		assert_int_equal(bpf_map__update_elem(map, &i, sizeof(i), &flow, sizeof(flow), BPF_ANY), 0);
	}
}

static void trains_are_bulk_and_their_flow_stays_so_for_a_while(void **state)
{
	uint8_t small[NODE_FRAME];
	size_t len = plain_make(small, 64);
	struct prog_run run;

	(void)state;
	a.config->lane_hold_ns = HOLD_NS;
	assert_int_equal(node_egress(&a, small, len, 0, &run), NODE_REDIRECT);
	assert_int_equal(node_egress(&a, small, len, 20, &run), NODE_NEXT);
	assert_memory_equal(run.out, small, len);
	assert_int_equal(node_egress(&a, small, len, 0, &run), NODE_NEXT);
	flows_age(HOLD_NS);
	assert_int_equal(node_egress(&a, small, len, 0, &run), NODE_REDIRECT);
}

/* How many of so many packets of a flow go inline. */
static int inline_of(const uint8_t *packet, size_t len, unsigned count)
{
	struct prog_run run;
	int inlined = 0;

	for (unsigned i = 0; i < count; i++)
		inlined += node_egress(&a, packet, len, 0, &run) == NODE_REDIRECT;
	return inlined;
}

static void large_packets_count_twice(void **state)
{
	uint8_t large[NODE_FRAME];
	size_t at = NTM_LANE_SIZE - 28, len = plain_make(large, at + 1);

	(void)state;
	a.config->lane_ns = WINDOW_NS;
	assert_int_equal(len, NTM_LANE_SIZE + 1);
	assert_int_equal(inline_of(large, len, 2 * NTM_LANE_PACKETS), NTM_LANE_PACKETS / 2);
	node_flows_clear(&a);
	len = plain_make(large, at);
	assert_int_equal(inline_of(large, len, 2 * NTM_LANE_PACKETS), NTM_LANE_PACKETS);
}

static void fast_flows_are_bulk_until_they_are_slow_again(void **state)
{
	uint8_t fast[NODE_FRAME];
	size_t len = plain_make(fast, 64);
	struct prog_run run;

	(void)state;
	a.config->lane_ns = WINDOW_NS;
	a.config->lane_hold_ns = HOLD_NS;
	assert_int_equal(inline_of(fast, len, 2 * NTM_LANE_PACKETS), NTM_LANE_PACKETS);
	/* once it is slow it comes back, when the time has gone for which its last packets may still be on their way */
	a.config->lane_ns = 1000;
	assert_int_equal(node_egress(&a, fast, len, 0, &run), NODE_NEXT);
	flows_age(HOLD_NS);
	assert_int_equal(node_egress(&a, fast, len, 0, &run), NODE_REDIRECT);
}

static void flows_are_told_apart_by_their_ports(void **state)
{
	uint8_t packet[NODE_FRAME];

	(void)state;
	a.config->lane_ns = WINDOW_NS;
	for (int six = 0; six < 2; six++) {
		size_t len = node_inner_make(packet, &a, &b, &(struct node_inner){.six = six, .payload = 64}), udp = six ? 40 : 20;

		node_flows_clear(&a);
		assert_int_equal(inline_of(packet, len, 2 * NTM_LANE_PACKETS), NTM_LANE_PACKETS);
		for (int port = 0; port < 2; port++) {
			packet[udp + 2 * port + 1] ^= 1;
			assert_int_equal(inline_of(packet, len, 10), 10);
			packet[udp + 2 * port + 1] ^= 1;
		}
		assert_int_equal(inline_of(packet, len, 10), 0);
	}
}

/* Fragments, of which only the first has ports, IPv4 options and other protocols: by addresses alone. */
static void what_has_no_ports_is_one_flow(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} what[] = {{6, 0x20}, {7, 8}, {0, 0x46}, {9, 1}};
	uint8_t packet[NODE_FRAME];

	(void)state;
	a.config->lane_ns = WINDOW_NS;
	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		size_t len = plain_make(packet, 64);

		packet[what[i].at] = what[i].value;
		node_flows_clear(&a);
		assert_int_equal(inline_of(packet, len, 2 * NTM_LANE_PACKETS), NTM_LANE_PACKETS);
		packet[21] ^= 1;
		assert_int_equal(inline_of(packet, len, 10), 0);
	}
}

/* How many of so many acknowledgements go inline, each of `bytes` more. */
static int acks_inline(bool six, unsigned count, uint32_t bytes)
{
	uint8_t packet[NODE_FRAME];
	size_t len = node_inner_make(packet, &a, &b, &(struct node_inner){.six = six, .tcp = true}), tcp = six ? 40 : 20;
	uint32_t acknowledged = 0xfffff000; /* goes over zero */
	int inlined = 0;

	node_flows_clear(&a);
	packet[tcp + 12] = 5 << 4;
	for (unsigned i = 0; i < count; i++, acknowledged += bytes) {
		for (int j = 0; j < 4; j++)
			packet[tcp + 8 + j] = (uint8_t)(acknowledged >> (24 - 8 * j));
		inlined += inline_of(packet, len, 1);
	}
	return inlined;
}

static void acknowledgements_of_bulk_are_bulk(void **state)
{
	(void)state;
	a.config->lane_ns = WINDOW_NS;
	for (int six = 0; six < 2; six++) {
		assert_int_equal(acks_inline(six, 20, 1000), 20);
		/* the first one acknowledges nothing that is known, each further one counts for itself and 14000 / 1400 */
		assert_int_equal(acks_inline(six, 20, 14000), 1 + (NTM_LANE_PACKETS - 1) / 11);
	}
}

static void without_ntmd_here_or_there_everything_is_inline(void **state)
{
	uint8_t inner[NODE_FRAME];
	size_t len = plain_make(inner, NTM_LANE_SIZE);
	struct prog_run run;

	(void)state;
	assert_int_equal(node_egress(&a, inner, len, 500, &run), NODE_NEXT);
	a.config->heartbeat_ns = node_now() - NTM_HEARTBEAT_NS - 1000000;
	assert_int_equal(node_egress(&a, inner, len, 500, &run), NODE_REDIRECT);
	a.config->heartbeat_ns = node_now();
	node_ends_next(&a)->flags |= NTM_ENDS_BULK_DEAD;
	node_ends_flip(&a);
	assert_int_equal(node_egress(&a, inner, len, 500, &run), NODE_REDIRECT);
}

/* What each of these lacks is ntmd's to find, hold or answer: the packet goes on to the TUN as it is. */
enum lack { NO_VIP, NO_ROUTE_FLAG, AWAY, NO_PHASE, NO_KEY, OTHER_PHASE, KEY_OVER, WORN, TOO_LARGE, UNPROVEN, LACKS };

static void lack_make(enum lack lack)
{
	struct ntm_ends_copy *next = node_ends_next(&a);
	struct ntm_state worn = {.tx_next = NTM_STOP_AFTER_CHACHA};

	if (lack == NO_VIP)
		bpf_map__delete_elem(a.bpf->maps.ntm_vips, &b.vip4, sizeof(b.vip4), 0);
	else if (lack == NO_ROUTE_FLAG)
		next->flags = 0;
	else if (lack == AWAY)
		next->flags |= NTM_ENDS_AWAY;
	else if (lack == NO_PHASE)
		next->phase = NTM_ENDS_NO_PHASE;
	else if (lack == NO_KEY)
		node_key(&a, 0, 0, 0, 0, 0);
	else if (lack == OTHER_PHASE)
		next->phase = 2;
	else if (lack == KEY_OVER)
		node_key(&a, 0, 10, 20, 1, node_now());
	else if (lack == WORN)
		node_state_set(&a, &worn);
	else if (lack == TOO_LARGE)
		next->mtu = 100;
	else if (lack == UNPROVEN)
		next->unproven_bytes = 100;
	node_ends_flip(&a);
}

static void what_bpf_cannot_send_goes_on_to_ntmd_untouched(void **state)
{
	uint8_t inner[NODE_FRAME];
	size_t len = plain_make(inner, 100);
	struct prog_run run;

	(void)state;
	for (enum lack lack = 0; lack < LACKS; lack++) {
		node_path(&a, &b, true);
		a.config->flags = NTM_CONFIG_ALL_INLINE;
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_REDIRECT);
		lack_make(lack);
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_NEXT);
		assert_int_equal(run.out_len, len);
		assert_memory_equal(run.out, inner, len);
		assert_int_equal(node_drops_all(&a), 0);
	}
}

/* Also where BPF has something to send by again: what ntmd got may be in a queue, or under way. */
static void what_ntmd_got_is_not_overtaken_by_its_flow(void **state)
{
	static const enum lack lacks[] = {NO_VIP, NO_ROUTE_FLAG, AWAY, NO_KEY, UNPROVEN};
	uint8_t inner[NODE_FRAME];
	size_t len = plain_make(inner, 100);
	struct prog_run run;

	(void)state;
	for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
		node_path(&a, &b, true);
		a.config->lane_hold_ns = HOLD_NS;
		node_flows_clear(&a);
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_REDIRECT);
		lack_make(lacks[i]);
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_NEXT);
		flows_age(HOLD_NS / 2);
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_NEXT);
		node_path(&a, &b, true);
		a.config->lane_hold_ns = HOLD_NS;
		flows_age(HOLD_NS / 2); /* since the last one, not since the first */
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_NEXT);
		inner[21] ^= 1;
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_REDIRECT);
		inner[21] ^= 1;
		flows_age(HOLD_NS);
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_REDIRECT);
	}
}

static void somebody_elses_source_is_dropped_at_once(void **state)
{
	uint8_t inner[NODE_FRAME];
	struct prog_run run;

	(void)state;
	for (int six = 0; six < 2; six++) {
		size_t len = node_inner_make(inner, &a, &b, &(struct node_inner){.six = six});

		inner[six ? 23 : 15] ^= 4;
		assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_SHOT);
		assert_int_equal(node_drops(&a, NTM_DROP_INNER_SOURCE), six + 1);
	}
}

int main(void)
{
	const struct CMUnitTest lane[] = {
		cmocka_unit_test_setup(trains_are_bulk_and_their_flow_stays_so_for_a_while, fresh),
		cmocka_unit_test_setup(large_packets_count_twice, fresh),
		cmocka_unit_test_setup(fast_flows_are_bulk_until_they_are_slow_again, fresh),
		cmocka_unit_test_setup(flows_are_told_apart_by_their_ports, fresh),
		cmocka_unit_test_setup(what_has_no_ports_is_one_flow, fresh),
		cmocka_unit_test_setup(acknowledgements_of_bulk_are_bulk, fresh),
		cmocka_unit_test_setup(without_ntmd_here_or_there_everything_is_inline, fresh),
		cmocka_unit_test_setup(what_bpf_cannot_send_goes_on_to_ntmd_untouched, fresh),
		cmocka_unit_test_setup(what_ntmd_got_is_not_overtaken_by_its_flow, fresh),
		cmocka_unit_test_setup(somebody_elses_source_is_dropped_at_once, fresh),
	};

	return cmocka_run_group_tests(lane, setup, teardown);
}
