/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_node_in.c - what comes to a node: bpf/xdp_ingress.bpf.c opens what is certainly its own, drops what is certainly
 * wrong, and leaves everything else as it came. At random: test_node_mutate.c.
 */
#include "node_pair.h"

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void ip4_sum_set(uint8_t *ip)
{
	uint32_t sum = 0;

	put16(ip + 10, 0);
	for (int i = 0; i < (ip[0] & 15) * 4; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, sum ^ 0xffff);
}

/* Puts bytes into a frame. */
static void frame_insert(struct arrival *p, size_t at, const void *bytes, size_t len)
{
	memmove(p->frame + at + len, p->frame + at, p->len - at);
	memcpy(p->frame + at, bytes, len);
	p->len += len;
}

static bool delivered(const struct prog_run *run, const struct arrival *p)
{
	return run->verdict == NODE_PASS && run->out_len == 8 + 14 + p->inner_len &&
	       !memcmp(run->out, &b.config->magic, 8) && !memcmp(run->out + 8 + 14, p->inner, p->inner_len);
}

static bool untouched(const struct prog_run *run, const struct arrival *p)
{
	return run->verdict == NODE_PASS && run->out_len == p->len && !memcmp(run->out, p->frame, p->len);
}

/* ---- left alone */

enum foreign {
	VLAN, ETHERTYPE, OPTIONS, MORE_FRAGMENTS, FRAGMENT, IP_SUM, IP_VERSION, IP_LENGTH, NOT_UDP, UDP_LENGTH, UDP_SHORT,
	HOP_BY_HOP, FRAGMENT6, NO_SUM6, LENGTH6, CUT, BULK, CONTROL, TYPE, PATH, TO_ADDR, TO_PORT, FROM_ADDR, FROM_PORT,
	SIDE, PHASE, NO_KEY, EXPIRED, NO_WINDOW, NO_ROUTE, TOO_LONG, FOREIGNS
};

static const struct {
	enum foreign what;
	bool four;
	const char *name;
} foreign[] = {
	{VLAN, true, "VLAN tag"},
	{VLAN, false, "VLAN tag, IPv6"},
	{ETHERTYPE, true, "another EtherType"},
	{OPTIONS, true, "IPv4 options"},
	{MORE_FRAGMENTS, true, "first fragment"},
	{FRAGMENT, true, "later fragment"},
	{IP_SUM, true, "wrong IPv4 checksum"},
	{IP_VERSION, true, "IP version 5"},
	{IP_VERSION, false, "IP version 4 as IPv6"},
	{IP_LENGTH, true, "IPv4 length that is not UDP's"},
	{NOT_UDP, true, "TCP"},
	{NOT_UDP, false, "TCP, IPv6"},
	{UDP_LENGTH, true, "UDP longer than the frame"},
	{UDP_LENGTH, false, "UDP longer than the frame, IPv6"},
	{UDP_SHORT, true, "UDP too short for header and tag"},
	{HOP_BY_HOP, false, "hop-by-hop options"},
	{FRAGMENT6, false, "IPv6 fragment"},
	{NO_SUM6, false, "IPv6 without UDP checksum"},
	{LENGTH6, false, "IPv6 length that is not UDP's"},
	{CUT, true, "frame cut off"},
	{CUT, false, "frame cut off, IPv6"},
	{BULK, true, "bulk lane"},
	{CONTROL, true, "path control"},
	{TYPE, true, "another packet type"},
	{PATH, true, "unknown path"},
	{TO_ADDR, true, "to another address"},
	{TO_PORT, true, "to another port"},
	{TO_PORT, false, "to another port, IPv6"},
	{FROM_ADDR, true, "from another address"},
	{FROM_PORT, true, "from another port"},
	{FROM_PORT, false, "from another port, IPv6"},
	{SIDE, true, "reflected"},
	{PHASE, true, "another phase with the same index"},
	{NO_KEY, true, "no key"},
	{EXPIRED, true, "key over its time"},
	{NO_WINDOW, true, "no window"},
	{NO_ROUTE, true, "the path has no route now"},
	{TOO_LONG, true, "longer than BPF opens"},
};

/* Changes the frame's headers: nothing that is sealed. */
static void headers_spoil(struct arrival *p, enum foreign what)
{
	static const uint8_t options[4] = {1, 1, 1, 0}, extension[8] = {17, 0, 1, 4}, vlan[4] = {0x81, 0, 0, 5};
	uint8_t *ip = p->frame + 14, *udp = ip + (p->outer.four ? 20 : 40), *h = udp + 8;

	if (what == VLAN)
		frame_insert(p, 12, vlan, 4);
	else if (what == ETHERTYPE)
		p->frame[12] = 0x88;
	else if (what == OPTIONS)
		frame_insert(p, 34, options, 4), ip[0] = 0x46, put16(ip + 2, (unsigned)p->len - 14);
	else if (what == MORE_FRAGMENTS)
		ip[6] = 0x20;
	else if (what == FRAGMENT)
		ip[7] = 1;
	else if (what == IP_VERSION)
		ip[0] = p->outer.four ? 0x55 : 0x45;
	else if (what == IP_LENGTH)
		ip[3]--;
	else if (what == NOT_UDP)
		ip[p->outer.four ? 9 : 6] = 6;
	else if (what == UDP_LENGTH)
		udp[5]++, ip[p->outer.four ? 3 : 5]++;
	else if (what == UDP_SHORT)
		put16(udp + 4, 8 + 31), put16(ip + 2, 20 + 8 + 31);
	else if (what == HOP_BY_HOP)
		frame_insert(p, 54, extension, 8), ip[6] = 0, put16(ip + 4, (unsigned)p->len - 54);
	else if (what == FRAGMENT6)
		frame_insert(p, 54, extension, 8), ip[6] = 44, put16(ip + 4, (unsigned)p->len - 54);
	else if (what == NO_SUM6)
		udp[6] = udp[7] = 0;
	else if (what == LENGTH6)
		ip[5]--;
	else if (what == CUT)
		p->len--;
	else if (what == PATH)
		h[15] ^= 1;
	else if (what == TO_ADDR)
		ip[19] ^= 0x40;
	else if (what == TO_PORT)
		udp[3] ^= 1;
	else if (what == FROM_ADDR)
		ip[15] ^= 0x40;
	else if (what == FROM_PORT)
		udp[1] ^= 1;
	if (p->outer.four && what != VLAN) {
		ip4_sum_set(ip);
		if (what == IP_SUM)
			ip[10] ^= 0x10;
	}
}

static void maps_spoil(struct arrival *p, enum foreign what)
{
	uint32_t tag = 1;

	if (what == BULK)
		p->outer.type |= NTM_TYPE_LANE_BIT;
	else if (what == CONTROL)
		p->outer.type = NTM_TYPE_PATH;
	else if (what == TYPE)
		p->outer.type = 0x90;
	else if (what == SIDE)
		p->outer.type |= NTM_TYPE_SIDE_BIT;
	else if (what == PHASE)
		p->outer.type |= 2 << NTM_TYPE_PHASE_SHIFT;
	else if (what == NO_KEY)
		node_key(&b, 0, 0, 0, 0, 0);
	else if (what == EXPIRED)
		node_key(&b, 0, 20, 10, 1, node_now());
	else if (what == NO_WINDOW)
		bpf_map__delete_elem(b.bpf->maps.ntm_windows, &tag, sizeof(tag), 0);
	else if (what == NO_ROUTE)
		node_ends_next(&b)->flags = 0;
	else if (what == TOO_LONG)
		p->inner_len = 1501;
	if (what == NO_ROUTE)
		node_ends_flip(&b);
}

static void what_is_not_certainly_ours_passes_untouched(void **state)
{
	struct ntm_state counts;

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		struct prog_run run;
		struct arrival p = {0};

		fresh(state);
		node_path(&b, &a, foreign[i].four);
		arrival_make(&p, foreign[i].four, false, 1);
		node_receive(&b, p.frame, p.len, &run);
		if (!delivered(&run, &p))
			fail_msg("before %s: not delivered", foreign[i].name);
		node_path(&b, &a, foreign[i].four);
		maps_spoil(&p, foreign[i].what);
		arrival_seal(&p);
		headers_spoil(&p, foreign[i].what);
		node_receive(&b, p.frame, p.len, &run);
		if (!untouched(&run, &p))
			fail_msg("%s: verdict %u, %zu of %zu bytes", foreign[i].name, run.verdict, run.out_len, p.len);
		assert_int_equal(node_drops_all(&b), 0);
		node_state(&b, &counts);
		assert_int_equal(counts.rx_packets, 0);
		assert_int_equal(counts.rx_ns, 0);
	}
}

static void other_frames_pass(void **state)
{
	struct arrival p;
	struct prog_run run;

	(void)state;
	arrival_make(&p, true, false, 1);
	for (size_t len = 14; len < p.len; len++) { /* shorter ones the kernel does not make */
		struct arrival cut = p;

		cut.len = len;
		node_receive(&b, cut.frame, len, &run);
		assert_true(untouched(&run, &cut));
	}
}

/* ---- dropped */

enum wrong {
	REPLAY, TAG, TEXT, HEADER, SHORT4, SHORT6, LONGER, SHORTER, LONGER6, SHORTER6, VERSION, SOURCE4, SOURCE6, MAPPED,
	DEST4, DEST6, PIECE, MARKED
};

static const struct {
	enum wrong what;
	bool six;
	int reason;
	const char *name;
} wrongs[] = {
	{REPLAY, false, NTM_DROP_REPLAY, "seen before"},
	{TAG, false, NTM_DROP_AUTH, "tag"},
	{TEXT, false, NTM_DROP_AUTH, "text"},
	{HEADER, false, NTM_DROP_AUTH, "header"},
	{SHORT4, false, NTM_DROP_INNER_SHORT, "19 bytes of IPv4"},
	{SHORT6, true, NTM_DROP_INNER_SHORT, "39 bytes of IPv6"},
	{LONGER, false, NTM_DROP_INNER_SHORT, "IPv4 length beyond"},
	{SHORTER, false, NTM_DROP_INNER_SHORT, "IPv4 length below"},
	{LONGER6, true, NTM_DROP_INNER_SHORT, "IPv6 length beyond"},
	{SHORTER6, true, NTM_DROP_INNER_SHORT, "IPv6 length below"},
	{VERSION, false, NTM_DROP_INNER_VERSION, "version"},
	{SOURCE4, false, NTM_DROP_INNER_SOURCE, "source"},
	{SOURCE6, true, NTM_DROP_INNER_SOURCE, "IPv6 source"},
	{MAPPED, true, NTM_DROP_INNER_SOURCE, "IPv4-mapped source"},
	{DEST4, false, NTM_DROP_INNER_DEST, "destination"},
	{DEST6, true, NTM_DROP_INNER_DEST, "IPv6 destination"},
	{PIECE, false, NTM_DROP_PIECE, "piece"},
	{MARKED, false, NTM_DROP_ECN, "congestion mark that the flow does not understand"},
};

static void inner_spoil(struct arrival *p, enum wrong what)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 198, 18, 0, 1};

	if (what == SHORT4)
		p->inner_len = 19;
	else if (what == SHORT6)
		p->inner_len = 39;
	else if (what == LONGER)
		p->inner[3]++;
	else if (what == SHORTER)
		p->inner[3]--;
	else if (what == LONGER6)
		p->inner[5]++;
	else if (what == SHORTER6)
		p->inner[5]--;
	else if (what == VERSION)
		p->inner[0] = 0x55;
	else if (what == SOURCE4)
		p->inner[15] ^= 8;
	else if (what == SOURCE6)
		p->inner[23] ^= 8;
	else if (what == MAPPED)
		memcpy(p->inner + 8, mapped, 16);
	else if (what == DEST4)
		p->inner[19] ^= 8;
	else if (what == DEST6)
		p->inner[39] ^= 8;
	else if (what == PIECE)
		p->inner[0] = 0;
	else if (what == MARKED)
		p->outer.tos = 3;
}

static void wrong_make(struct arrival *p, enum wrong what, bool six)
{
	arrival_make(p, true, six, 1);
	inner_spoil(p, what);
	arrival_seal(p);
	if (what == TAG)
		p->frame[p->len - 1] ^= 1;
	else if (what == TEXT)
		p->frame[p->len - 40] ^= 1;
	else if (what == HEADER)
		p->frame[14 + 28 + 7] ^= 2; /* the counter, which is still a new one */
}

static void every_fault_is_dropped_and_counted_by_its_reason(void **state)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct ntm_state counts;
		struct prog_run run;
		struct arrival p;

		fresh(state);
		wrong_make(&p, wrongs[i].what, wrongs[i].six);
		if (wrongs[i].what == REPLAY) {
			node_receive(&b, p.frame, p.len, &run);
			assert_true(delivered(&run, &p));
		}
		if (node_receive(&b, p.frame, p.len, &run) != NODE_DROP || node_drops(&b, wrongs[i].reason) != 1)
			fail_msg("%s: verdict %u, %u of its reason", wrongs[i].name, run.verdict,
				 (unsigned)node_drops(&b, wrongs[i].reason));
		assert_int_equal(node_drops_all(&b), 1);
		node_state(&b, &counts);
		assert_int_equal(counts.drops, 1);
		assert_int_equal(counts.rx_packets, wrongs[i].what == REPLAY);
	}
}

static void what_does_not_open_takes_no_counter(void **state)
{
	struct prog_run run;
	struct arrival p;

	(void)state;
	wrong_make(&p, TAG, false);
	assert_int_equal(node_receive(&b, p.frame, p.len, &run), NODE_DROP);
	p.frame[p.len - 1] ^= 1;
	node_receive(&b, p.frame, p.len, &run);
	assert_true(delivered(&run, &p));
}

/* Several datagrams may have become one: ntmd gets them one by one, and judges each. */
static void in_generic_mode_what_does_not_open_or_was_seen_goes_up(void **state)
{
	static const enum wrong kinds[] = {REPLAY, TAG, TEXT, HEADER};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct prog_run run;
		struct arrival p;

		fresh(state);
		wrong_make(&p, kinds[i], false);
		if (kinds[i] == REPLAY)
			node_receive(&b, p.frame, p.len, &run);
		b.config->flags = NTM_CONFIG_GENERIC;
		node_receive(&b, p.frame, p.len, &run);
		assert_true(untouched(&run, &p));
		assert_int_equal(node_drops_all(&b), 0);
	}
}

static void two_merged_datagrams_go_up_as_they_are(void **state)
{
	struct arrival p, second;
	size_t len;
	struct prog_run run;

	(void)state;
	b.config->flags = NTM_CONFIG_GENERIC;
	arrival_make(&p, true, false, 1);
	arrival_make(&second, true, false, 2);
	len = second.len - 14 - 28;
	memcpy(p.frame + p.len, second.frame + 14 + 28, len);
	p.len += len;
	put16(p.frame + 14 + 2, (unsigned)p.len - 14);
	put16(p.frame + 14 + 20 + 4, (unsigned)p.len - 34);
	ip4_sum_set(p.frame + 14);
	node_receive(&b, p.frame, p.len, &run);
	assert_true(untouched(&run, &p));
}

/* tc_ingress cuts there. */
static void in_generic_mode_the_end_of_the_frame_stays(void **state)
{
	struct prog_run run;
	struct arrival p;

	(void)state;
	b.config->flags = NTM_CONFIG_GENERIC;
	arrival_make(&p, true, false, 1);
	assert_int_equal(node_receive(&b, p.frame, p.len, &run), NODE_PASS);
	assert_int_equal(run.out_len, 8 + 14 + p.inner_len + NTM_TAG_LEN);
	assert_memory_equal(run.out + 8 + 14, p.inner, p.inner_len);
}

/* ---- delivered */

/* The Ethernet source is the second mark: no group's address. */
static void padding_behind_the_packet_is_cut_off(void **state)
{
	struct prog_run run;
	struct arrival p;
	uint8_t mark[6];

	(void)state;
	memcpy(mark, &b.config->magic, sizeof(mark));
	mark[0] &= 0xfe;
	for (int four = 0; four < 2; four++) {
		node_path(&b, &a, four);
		arrival_make(&p, four, false, 1);
		memset(p.frame + p.len, 0xaa, 40);
		node_receive(&b, p.frame, p.len + 40, &run);
		assert_true(delivered(&run, &p));
		assert_memory_equal(run.out + 8, p.frame, 6); /* Ethernet destination */
		assert_memory_equal(run.out + 8 + 6, mark, 6);
	}
}

static void ipv4_may_come_without_udp_checksum(void **state)
{
	struct prog_run run;
	struct arrival p;

	(void)state;
	arrival_make(&p, true, false, 1);
	put16(p.frame + 14 + 20 + 6, 0);
	node_receive(&b, p.frame, p.len, &run);
	assert_true(delivered(&run, &p));
}

static void the_second_way_is_as_good_as_the_first(void **state)
{
	struct ntm_ends_copy *next = node_ends_next(&b);
	struct prog_run run;
	struct arrival p;

	(void)state;
	next->second = next->route;
	next->route.port ^= 1;
	node_ends_flip(&b);
	arrival_make(&p, true, false, 1);
	node_receive(&b, p.frame, p.len, &run);
	assert_true(untouched(&run, &p));
	node_ends_next(&b)->flags |= NTM_ENDS_SECOND;
	node_ends_flip(&b);
	node_receive(&b, p.frame, p.len, &run);
	assert_true(delivered(&run, &p));
}

static void an_empty_packet_only_shows_that_the_peer_lives(void **state)
{
	struct ntm_state counts;
	struct prog_run run;
	struct arrival p;

	(void)state;
	arrival_make(&p, true, false, 7);
	p.inner_len = 0;
	arrival_seal(&p);
	assert_int_equal(node_receive(&b, p.frame, p.len, &run), NODE_DROP);
	assert_int_equal(node_drops_all(&b), 0);
	node_state(&b, &counts);
	assert_int_not_equal(counts.rx_ns, 0);
	assert_int_equal(counts.rx_packets, 0);
	assert_int_equal(node_receive(&b, p.frame, p.len, &run), NODE_DROP);
	assert_int_equal(node_drops(&b, NTM_DROP_REPLAY), 1);
}

/* RFC 6040, figure 4: [inner][outer], -1: dropped. 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE */
static const int ecn[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};

static void congestion_marks_come_in(void **state)
{
	int dropped = 0;

	(void)state;
	for (int i = 0; i < 64; i++) {
		bool six = i & 1, four = i & 2;
		int in = i >> 2 & 3, out = i >> 4 & 3;
		struct prog_run run;
		struct arrival p;
		uint8_t *inner = run.out + 8 + 14;

		node_path(&b, &a, four);
		p.outer = (struct node_outer){.four = four, .tos = (uint8_t)(0x28 | out), .type = NTM_TYPE_DATA, .key = 10};
		p.inner_len = node_inner_make(p.inner, &a, &b,
					      &(struct node_inner){.six = six, .tos = (uint8_t)(0xb8 | in), .payload = 33});
		arrival_seal(&p);
		node_receive(&b, p.frame, p.len, &run);
		if (ecn[in][out] < 0) {
			assert_int_equal(run.verdict, NODE_DROP);
			assert_int_equal(node_drops(&b, NTM_DROP_ECN), 1);
			dropped++;
			continue;
		}
		assert_int_equal(run.verdict, NODE_PASS);
		assert_int_equal(six ? (inner[0] << 8 | inner[1]) >> 4 & 0xff : inner[1], 0xb8 | ecn[in][out]);
		assert_true(node_sums_right(inner, p.inner_len));
		inner[1] = p.inner[1];
		if (!six)
			memcpy(inner + 10, p.inner + 10, 2);
		assert_memory_equal(inner, p.inner, p.inner_len);
	}
	assert_int_equal(dropped, 4);
}

static void the_first_packet_of_a_phase_is_told_once(void **state)
{
	struct ntm_event event;
	struct prog_run run;
	struct arrival p;

	(void)state;
	node_key(&b, 3, 20, 10, 99, UINT64_MAX);
	for (uint64_t counter = 5; counter < 8; counter++) {
		arrival_make(&p, true, false, counter);
		p.outer.type |= 3 << NTM_TYPE_PHASE_SHIFT;
		arrival_seal(&p);
		node_receive(&b, p.frame, p.len, &run);
		assert_true(delivered(&run, &p));
		assert_int_equal(node_events(&b, &event), counter == 5);
	}
	assert_int_equal(event.kind, NTM_EVENT_PHASE_OPENED);
	assert_int_equal(event.value, 99);
	assert_int_equal(event.phase, 3);
	assert_int_equal(event.slot, NODE_SLOT);
	assert_true(event.path_id == NODE_PATH_ID);
}

/* At most one a CPU in NTM_EVENT_NS, and the phase's. */
static void replays_are_told_but_seldom(void **state)
{
	struct ntm_event event;
	struct prog_run run;
	struct arrival p;
	uint64_t start, most;

	(void)state;
	usleep(NTM_EVENT_NS / 1000 + 10000); /* other tests' ones are told of no more */
	arrival_make(&p, true, false, 1234);
	start = node_now();
	for (int i = 0; i < 200; i++)
		node_receive(&b, p.frame, p.len, &run);
	most = 1 + (uint64_t)libbpf_num_possible_cpus() * (1 + (node_now() - start) / NTM_EVENT_NS);
	assert_in_range(node_events(&b, &event), 2, most);
	assert_int_equal(event.kind, NTM_EVENT_REPLAY);
	assert_int_equal(event.value, 1234);
	assert_int_equal(node_drops(&b, NTM_DROP_REPLAY), 199);
}

static void frames_without_the_mark_are_nothing_to_tc_ingress(void **state)
{
	struct prog_run run;
	struct arrival p;

	(void)state;
	arrival_make(&p, true, false, 1);
	run = (struct prog_run){.in = p.frame, .len = p.len};
	assert_int_equal(prog_run(b.bpf->progs.tc_ingress, &run), 0);
	assert_int_equal((int)run.verdict, NODE_NEXT);
	assert_int_equal(run.out_len, p.len);
	assert_memory_equal(run.out, p.frame, p.len);
}

int main(void)
{
	const struct CMUnitTest in[] = {
		cmocka_unit_test_setup(what_is_not_certainly_ours_passes_untouched, fresh),
		cmocka_unit_test_setup(other_frames_pass, fresh),
		cmocka_unit_test_setup(every_fault_is_dropped_and_counted_by_its_reason, fresh),
		cmocka_unit_test_setup(what_does_not_open_takes_no_counter, fresh),
		cmocka_unit_test_setup(in_generic_mode_what_does_not_open_or_was_seen_goes_up, fresh),
		cmocka_unit_test_setup(two_merged_datagrams_go_up_as_they_are, fresh),
		cmocka_unit_test_setup(in_generic_mode_the_end_of_the_frame_stays, fresh),
		cmocka_unit_test_setup(padding_behind_the_packet_is_cut_off, fresh),
		cmocka_unit_test_setup(ipv4_may_come_without_udp_checksum, fresh),
		cmocka_unit_test_setup(the_second_way_is_as_good_as_the_first, fresh),
		cmocka_unit_test_setup(an_empty_packet_only_shows_that_the_peer_lives, fresh),
		cmocka_unit_test_setup(congestion_marks_come_in, fresh),
		cmocka_unit_test_setup(the_first_packet_of_a_phase_is_told_once, fresh),
		cmocka_unit_test_setup(replays_are_told_but_seldom, fresh),
		cmocka_unit_test_setup(frames_without_the_mark_are_nothing_to_tc_ingress, fresh),
	};

	return cmocka_run_group_tests(in, setup, teardown);
}
