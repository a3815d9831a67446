/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_node_out.c - what leaves a node: bpf/tc_seal.bpf.c seals and sends what bpf/tc_egress.bpf.c gives it. The choice of
 * the lane: test_node_lane.c.
 */
#include "node_pair.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- there and back */

static void travels(const struct node_inner *what, bool outer4)
{
	uint8_t inner[NODE_FRAME], text[NODE_FRAME];
	size_t len = node_inner_make(inner, &a, &b, what);
	struct node_outer outer = {.key = 10};
	struct prog_run run, arrived;
	uint64_t magic;

	assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_REDIRECT);
	assert_int_equal(run.out_len, 14 + len);
	assert_int_equal(run.out[12] << 8 | run.out[13], what->six ? 0x86dd : 0x0800);
	assert_memory_equal(run.out + 14, inner, len);
	assert_int_equal(node_seal(&a, run.out, run.out_len, &arrived), NODE_REDIRECT);
	assert_int_equal(node_outer_open(arrived.out, arrived.out_len, &a, &b, &outer, text), len);
	assert_memory_equal(text, inner, len);
	assert_int_equal(outer.four, outer4);
	assert_int_equal(outer.tos, what->tos);
	assert_int_equal(outer.type, NTM_TYPE_DATA);

	assert_int_equal(node_receive(&b, arrived.out, arrived.out_len, &run), NODE_PASS);
	assert_int_equal(run.out_len, 8 + 14 + len);
	memcpy(&magic, run.out, 8);
	assert_true(magic == b.config->magic);
	assert_int_equal(run.out[8 + 12] << 8 | run.out[8 + 13], what->six ? 0x86dd : 0x0800);
	assert_memory_equal(run.out + 8 + 14, inner, len);
	/* once more: it was seen */
	assert_int_equal(node_receive(&b, arrived.out, arrived.out_len, &run), NODE_DROP);
}

static void every_kind_of_packet_arrives_as_it_was_sent(void **state)
{
	uint64_t begun = node_now();
	static const size_t payloads[] = {0, 1, 2, 3, 4, 63, 64, 65, 512, 900};
	struct ntm_state sent, received;
	unsigned count = 0, bytes = 0;

	(void)state;
	for (int i = 0; i < 16; i++) {
		struct node_inner what = {.six = i & 1, .tcp = i & 2, .tos = i & 8 ? 0xb9 : 0};

		node_path(&a, &b, !(i & 4));
		node_path(&b, &a, !(i & 4));
		count = bytes = 0;
		for (size_t n = 0; n < sizeof(payloads) / sizeof(payloads[0]); n++) {
			what.payload = payloads[n];
			travels(&what, !(i & 4));
			count++;
			bytes += (what.six ? 40 : 20) + (what.tcp ? 20 : 8) + (unsigned)what.payload;
		}
		node_state(&a, &sent);
		node_state(&b, &received);
		assert_int_equal(sent.tx_packets, count);
		assert_int_equal(sent.tx_next, count);
		assert_int_equal(sent.tx_bytes, bytes);
		assert_int_equal(received.rx_packets, count);
		assert_int_equal(received.rx_bytes, bytes);
		assert_in_range(sent.tx_ns, begun, node_now());
		assert_in_range(received.rx_ns, begun, node_now());
		assert_int_equal(node_drops_all(&a), 0);
		assert_int_equal(node_drops_all(&b), count);
		assert_int_equal(node_drops(&b, NTM_DROP_REPLAY), count);
	}
}

/* Every length changes what of a block and a checksum is left over. */
static void checksums_are_right_at_every_length(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];

	(void)state;
	for (int four = 0; four < 2; four++) {
		node_path(&a, &b, four);
		for (size_t payload = 0; payload <= NODE_MTU - 28; payload++) {
			size_t len = plain_make(inner, payload);
			struct node_outer outer = {.key = 10};
			struct prog_run run;

			assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
			assert_int_equal(node_outer_open(run.out, run.out_len, &a, &b, &outer, text), len);
			assert_memory_equal(text, inner, len);
			assert_int_equal(outer.counter, payload);
		}
	}
}

/* The kernel may hand over more than the packet. */
static void what_is_behind_the_packet_stays_here(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];
	struct node_outer outer = {.key = 10};
	size_t len = plain_make(inner, 4);
	struct prog_run run;

	(void)state;
	memset(frame, 0xee, sizeof(frame));
	node_frame_make(frame, inner, len);
	assert_int_equal(node_seal(&a, frame, 60, &run), NODE_REDIRECT);
	assert_int_equal(node_outer_open(run.out, run.out_len, &a, &b, &outer, text), len);
}

static void phase_and_side_are_in_the_header(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];
	size_t len = node_frame_make(frame, inner, plain_make(inner, 64));
	struct node_outer outer = {.key = 33};
	struct prog_run run;

	(void)state;
	node_key(&a, 3, 33, 44, 9, UINT64_MAX);
	a.ends[NODE_SLOT].side = 1;
	node_ends_next(&a)->phase = 3;
	node_ends_flip(&a);
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT);
	node_outer_open(run.out, run.out_len, &a, &b, &outer, text);
	assert_int_equal(outer.type, NTM_TYPE_DATA | 3 << NTM_TYPE_PHASE_SHIFT | NTM_TYPE_SIDE_BIT);
}

static void the_outer_header_has_the_traffic_class_with_its_congestion_bits(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];

	(void)state;
	for (int i = 0; i < 8; i++) { /* RFC 6040, normal mode: who opens brings marks back inside, and relays carry them on */
		uint8_t tos = (uint8_t)(0xb8 | (i & 3));
		size_t len = node_inner_make(inner, &a, &b, &(struct node_inner){.tos = tos, .six = i & 4});
		struct node_outer outer = {.key = 10};
		struct prog_run run;

		assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
		node_outer_open(run.out, run.out_len, &a, &b, &outer, text);
		assert_int_equal(outer.tos, tos);
	}
}

/* ---- drops */

/* Router solicitations of the pair's own devices come there too. */
static void what_the_host_itself_says_there_is_no_drop(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t len = node_frame_make(frame, inner, plain_make(inner, 64));
	struct prog_run run;

	(void)state;
	frame[11] = 1;
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_SHOT);
	assert_int_equal(node_drops_all(&a), 0);
}

/* Spoils the frame or the maps before tc_seal. */
enum fault {
	CUT, OPTIONS, LONGER, VERSION, ETHERTYPE, MAPPED_SOURCE, MAPPED_DEST, SOURCE, STRANGER, ROUTELESS, KEYLESS, EXPIRED,
	SPENT, BOUND, UNREACHABLE, LOOP, SOURCELESS, LARGE, FAULTS
};

static const struct fixture {
	const char *name;
	enum fault fault;
	bool six;
	int reason;
} fixtures[] = {
	{"less than an IP header", CUT, false, NTM_DROP_INNER_SHORT},
	{"less than an IPv6 header", CUT, true, NTM_DROP_INNER_SHORT},
	{"IPv4 header longer than the packet", OPTIONS, false, NTM_DROP_INNER_SHORT},
	{"IPv4 length beyond the frame", LONGER, false, NTM_DROP_INNER_SHORT},
	{"IPv6 length beyond the frame", LONGER, true, NTM_DROP_INNER_SHORT},
	{"neither IPv4 nor IPv6", VERSION, false, NTM_DROP_INNER_VERSION},
	{"another EtherType than its version", ETHERTYPE, false, NTM_DROP_INNER_VERSION},
	{"IPv4-mapped source", MAPPED_SOURCE, true, NTM_DROP_INNER_SOURCE},
	{"IPv4-mapped destination", MAPPED_DEST, true, NTM_DROP_INNER_DEST},
	{"source not our own", SOURCE, false, NTM_DROP_INNER_SOURCE},
	{"IPv6 source not our own", SOURCE, true, NTM_DROP_INNER_SOURCE},
	{"destination without a path", STRANGER, false, NTM_DROP_NO_PATH},
	{"path without a route", ROUTELESS, false, NTM_DROP_NO_ROUTE},
	{"no key", KEYLESS, false, NTM_DROP_NO_KEY},
	{"key over its time", EXPIRED, false, NTM_DROP_NO_KEY},
	{"counter at its end", SPENT, false, NTM_DROP_KEY_EXPIRED},
	{"unproven route has had its bytes", BOUND, false, NTM_DROP_NO_ROUTE},
	{"unreachable", UNREACHABLE, false, NTM_DROP_NO_ROUTE},
	{"route into the tunnel", LOOP, false, NTM_DROP_NO_ROUTE},
	{"local end unknown", SOURCELESS, false, NTM_DROP_NO_ROUTE},
	{"larger than the path", LARGE, false, NTM_DROP_TOO_BIG},
	{"larger than the path, IPv6", LARGE, true, NTM_DROP_TOO_BIG},
};

static void address_set(struct ntm_addr *addr, uint8_t a0, uint8_t a1, uint8_t a2, uint8_t a3)
{
	addr->b[12] = a0;
	addr->b[13] = a1;
	addr->b[14] = a2;
	addr->b[15] = a3;
}

/* Returns the frame's length. */
static size_t frame_spoil(uint8_t *frame, size_t len, enum fault fault, bool six)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 198, 18, 0, 1};
	uint8_t *ip = frame + 14;

	if (fault == CUT) {
		frame[12] = 0x88; /* the kernel makes no such frames with an EtherType of IP */
		return six ? 14 + 39 : 14 + 19;
	}
	if (fault == OPTIONS)
		ip[0] = 0x4f, ip[3] = 59, ip[2] = 0;
	else if (fault == LONGER)
		ip[six ? 5 : 3]++;
	else if (fault == VERSION)
		ip[0] = 0x75;
	else if (fault == ETHERTYPE)
		frame[12] = 0x86, frame[13] = 0xdd;
	else if (fault == MAPPED_SOURCE)
		memcpy(ip + 8, mapped, 16);
	else if (fault == MAPPED_DEST)
		memcpy(ip + 24, mapped, 16);
	else if (fault == SOURCE)
		ip[six ? 23 : 15] ^= 0x40;
	else if (fault == STRANGER)
		ip[19] ^= 0x40;
	return len;
}

static void maps_spoil(enum fault fault)
{
	struct ntm_ends_copy *next = node_ends_next(&a);
	struct ntm_state spent = {.tx_next = NTM_STOP_AFTER_CHACHA};

	if (fault == ROUTELESS)
		next->flags = 0;
	else if (fault == KEYLESS)
		node_key(&a, 0, 0, 0, 0, 0);
	else if (fault == EXPIRED)
		node_key(&a, 0, 10, 20, 1, node_now());
	else if (fault == SPENT)
		node_state_set(&a, &spent);
	else if (fault == BOUND)
		next->unproven_bytes = 50;
	else if (fault == UNREACHABLE)
		address_set(&next->route.addr, 198, 51, 100, 1);
	else if (fault == LOOP)
		address_set(&next->route.addr, 203, 0, 113, 1);
	else if (fault == SOURCELESS)
		next->route.source = NTM_SOURCES_SLOTS;
	else if (fault == LARGE)
		next->mtu = 90;
	node_ends_flip(&a);
}

static void every_fault_is_dropped_and_counted_by_its_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
		const struct fixture *f = &fixtures[i];
		uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
		struct ntm_state before, after;
		struct prog_run run;
		size_t len;

		node_path(&a, &b, true);
		len = node_inner_make(inner, &a, &b, &(struct node_inner){.six = f->six, .payload = 70});
		len = node_frame_make(frame, inner, len);
		assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT);
		maps_spoil(f->fault);
		node_state(&a, &before);
		len = frame_spoil(frame, len, f->fault, f->six);
		if (node_seal(&a, frame, len, &run) != NODE_SHOT || node_drops(&a, f->reason) != 1)
			fail_msg("%s: verdict %u, %u drops of its reason", f->name, run.verdict,
				 (unsigned)node_drops(&a, f->reason));
		assert_int_equal(node_drops_all(&a), 1);
		node_state(&a, &after);
		assert_int_equal(after.tx_packets, before.tx_packets);
		if (f->fault != SPENT) /* no counter is used for what does not go out */
			assert_true(after.tx_next == before.tx_next);
	}
}

static void larger_ones_are_answered(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];

	(void)state;
	node_ends_next(&a)->mtu = 1350;
	node_ends_flip(&a);
	for (int six = 0; six < 2; six++) {
		size_t len = node_inner_make(inner, &a, &b, &(struct node_inner){.six = six, .payload = 1330}), ip = six ? 40 : 20;
		struct prog_run run;
		uint8_t *answer = run.out + 14;

		assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
		assert_int_equal(run.out_len, 14 + ip + 8 + 128);
		assert_true(node_sums_right(answer, ip + 8 + 128));
		if (six) {
			assert_memory_equal(answer + 8, b.vip6.b, 16);
			assert_memory_equal(answer + 24, a.vip6.b, 16);
			assert_memory_equal(answer + 40, "\2\0", 2);
		} else {
			assert_memory_equal(answer + 12, b.vip4.b + 12, 4);
			assert_memory_equal(answer + 16, a.vip4.b + 12, 4);
			assert_memory_equal(answer + 20, "\3\4", 2);
		}
		assert_int_equal(answer[ip + 6] << 8 | answer[ip + 7], 1350);
		assert_memory_equal(answer + ip + 8, inner, 128);
		assert_int_equal(node_drops(&a, NTM_DROP_TOO_BIG), six + 1);
	}
	/* but no errors, and no later fragments */
	for (int i = 0; i < 2; i++) {
		size_t len = plain_make(inner, 1330);
		struct prog_run run;

		if (i)
			inner[9] = 1, inner[20] = 3;
		else
			inner[7] = 9;
		assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_SHOT);
	}
}

/* As ntmd does when the kernel tells it. */
static int network_change(const char *command)
{
	int status = system(command);

	a.config->routes++;
	return status;
}

static void the_devices_mtu_counts_too(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t len = plain_make(inner, 1300);
	struct prog_run run;
	struct ntm_event event;

	(void)state;
	assert_int_equal(network_change("ip link set net0 mtu 1300"), 0);
	assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
	assert_int_equal(network_change("ip link set net0 mtu 1500"), 0);
	assert_int_equal(node_drops(&a, NTM_DROP_TOO_BIG), 1);
	assert_int_equal(run.out[14 + 26] << 8 | run.out[14 + 27], 1300 - 60);
	assert_int_equal(node_events(&a, &event), 1);
	assert_int_equal(event.kind, NTM_EVENT_TOO_BIG);
	assert_int_equal(event.value, 1300 - 60);
}

/* ---- ways */

static void an_unproven_route_gets_only_so_many_bytes_of_each_serial(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t len = plain_make(inner, 100), outer = len + NODE_OVERHEAD;
	struct prog_run run;

	(void)state;
	len = node_frame_make(frame, inner, len);
	for (uint16_t serial = 1; serial < 4; serial++) {
		struct ntm_ends_copy *next = node_ends_next(&a);

		next->unproven_bytes = (uint32_t)(3 * outer);
		next->serial = serial;
		node_ends_flip(&a);
		for (int i = 0; i < 3; i++)
			assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT);
		assert_int_equal(node_seal(&a, frame, len, &run), NODE_SHOT);
	}
	node_ends_next(&a)->unproven_bytes = 0;
	node_ends_flip(&a);
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT);
}

/* What comes out of ntm0p, where second copies go once more. */
static int wire_open(void)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)node_seal_out};
	struct timeval wait = {.tv_usec = 200000};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static size_t wire_take(int fd, uint8_t *frame)
{
	ssize_t n;

	do /* the kernel's own chatter is no UDP; its MLD reports come when they like, and may be as long as what we send */
		n = recv(fd, frame, NODE_FRAME, 0);
	while (n > 14 && frame[14 + (frame[12] == 0x86 ? 6 : 9)] != IPPROTO_UDP);
	return n < 0 ? 0 : (size_t)n;
}

static void both_ways_get_the_same_sealed_packet_whatever_their_families(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		bool first4 = i & 1, second4 = i & 2;
		uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];
		struct node_outer outer = {.key = 10}, copy = {.key = 10};
		struct ntm_ends_copy *next;
		struct prog_run run, again;
		size_t len, n;
		int fd;

		node_path(&a, &b, first4);
		next = node_ends_next(&a);
		next->second = (struct ntm_way){second4 ? b.real4 : b.real6, b.port, second4 ? 0 : 1};
		next->flags |= NTM_ENDS_SECOND;
		node_ends_flip(&a);
		fd = wire_open();
		len = plain_make(inner, 333);
		assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
		assert_int_equal(node_outer_open(run.out, run.out_len, &a, &b, &outer, text), len);
		assert_int_equal(outer.four, first4);
		n = wire_take(fd, frame);
		assert_true(n);
		close(fd);
		assert_int_equal(node_outer_open(frame, n, &a, &b, &copy, text), len);
		assert_memory_equal(text, inner, len);
		assert_int_equal(copy.four, second4);
		assert_int_equal(copy.counter, outer.counter);
		/* which goes out as it is, its Ethernet addresses are for the next hop to replace */
		assert_int_equal(node_seal(&a, frame, n, &again), NODE_REDIRECT);
		assert_int_equal(again.out_len, n);
		assert_memory_equal(again.out + 12, frame + 12, n - 12);
		assert_int_equal(node_drops_all(&a), 0);
	}
}

static void only_the_second_way_is_used_when_the_first_may_not(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];
	struct node_outer outer = {.key = 10};
	struct ntm_ends_copy *next = node_ends_next(&a);
	struct prog_run run;
	size_t len = plain_make(inner, 100);

	(void)state;
	next->second = (struct ntm_way){b.real6, b.port, 1};
	next->flags |= NTM_ENDS_SECOND;
	next->unproven_bytes = 10;
	node_ends_flip(&a);
	assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_REDIRECT);
	assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
	assert_int_equal(node_outer_open(run.out, run.out_len, &a, &b, &outer, text), len);
	assert_false(outer.four);
}

static void one_way_is_enough_when_the_other_leads_nowhere(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];
	struct node_outer outer = {.key = 10};
	struct ntm_ends_copy *next = node_ends_next(&a);
	struct ntm_event event;
	struct prog_run run;
	size_t len = plain_make(inner, 100);

	(void)state;
	next->second = (struct ntm_way){b.real6, b.port, 1};
	next->flags |= NTM_ENDS_SECOND;
	address_set(&next->route.addr, 198, 51, 100, 1);
	node_ends_flip(&a);
	node_events(&a, NULL);
	usleep(NTM_EVENT_NS / 1000 + 10000); /* after other tests' ones no more are told for so long */
	assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
	assert_int_equal(node_outer_open(run.out, run.out_len, &a, &b, &outer, text), len);
	assert_false(outer.four);
	assert_int_equal(node_drops_all(&a), 0);
	assert_int_equal(node_events(&a, &event), 1); /* ntmd hears of it all the same */
	assert_int_equal(event.kind, NTM_EVENT_NO_ROUTE);
	/* and neither is none */
	next = node_ends_next(&a);
	next->second.source = NTM_SOURCES_SLOTS;
	node_ends_flip(&a);
	assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_SHOT);
	assert_int_equal(node_drops(&a, NTM_DROP_NO_ROUTE), 1);
}

static void a_bound_way_goes_by_its_interface(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];
	struct node_outer outer = {.key = 10};
	size_t len = plain_make(inner, 100);
	struct prog_run run;

	(void)state;
	/* the routing table does not lead there: nothing but the interface does */
	assert_int_equal(network_change("ip route add unreachable 192.0.2.2/32"), 0);
	assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_SHOT);
	a.sources[0].ifindex = node_net;
	assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_REDIRECT);
	assert_int_equal(network_change("ip route del unreachable 192.0.2.2/32"), 0);
	assert_int_equal(node_outer_open(run.out, run.out_len, &a, &b, &outer, text), len);
	a.sources[0].ifindex = node_device;
	assert_int_equal(node_seal(&a, frame, node_frame_make(frame, inner, len), &run), NODE_SHOT);
	assert_int_equal(node_drops(&a, NTM_DROP_NO_ROUTE), 2);
}

#define HOLDS_NS 100000000 /* what the kernel said of a way, if ntmd hears of nothing */

static void a_change_of_routes_is_noticed(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t len = node_frame_make(frame, inner, plain_make(inner, 64));
	struct prog_run run;
	cpu_set_t one, all;
	uint64_t asked;
	int verdict;

	(void)state;
	/* each CPU asks for itself */
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT);
	assert_int_equal(network_change("ip route add unreachable 192.0.2.2/32"), 0);
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_SHOT);
	assert_int_equal(system("ip route del unreachable 192.0.2.2/32"), 0);
	asked = node_now();
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT); /* "no" is not kept */
	assert_int_equal(system("ip route add unreachable 192.0.2.2/32"), 0);
	verdict = node_seal(&a, frame, len, &run);
	if (node_now() - asked < HOLDS_NS)
		assert_int_equal(verdict, NODE_REDIRECT);
	usleep(HOLDS_NS / 1000 + 10000);
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_SHOT);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(system("ip route del unreachable 192.0.2.2/32"), 0);
	assert_int_equal(node_drops(&a, NTM_DROP_NO_ROUTE), verdict == NODE_SHOT ? 3 : 2);
}

/* tc_egress tells tc_seal which slot it has found. A wrong one does no harm. */
static void the_slot_in_the_frame_is_a_hint(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME], text[NODE_FRAME];
	size_t len = plain_make(inner, 64), frame_len = node_frame_make(frame, inner, len);
	static const uint32_t slots[] = {0, 1, NODE_SLOT, NODE_SLOT + 2, NODE_SLOTS, NODE_SLOTS + 1, 0xffffffff};
	struct node_outer outer = {.key = 10};
	uint32_t slot = NODE_SLOT + 1;
	struct prog_run run;

	(void)state;
	assert_int_equal(node_egress(&a, inner, len, 0, &run), NODE_REDIRECT);
	assert_memory_equal(run.out + 2, &slot, sizeof(slot));
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		memcpy(frame + 2, &slots[i], sizeof(slots[i]));
		assert_int_equal(node_seal(&a, frame, frame_len, &run), NODE_REDIRECT);
		assert_int_equal(node_outer_open(run.out, run.out_len, &a, &b, &outer, text), len);
		assert_memory_equal(text, inner, len);
	}
	/* the right one leads there alone */
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(a.bpf->maps.ntm_vips), &b.vip4), 0);
	assert_int_equal(node_seal(&a, frame, frame_len, &run), NODE_SHOT);
	assert_int_equal(node_drops(&a, NTM_DROP_NO_PATH), 1);
	memcpy(frame + 2, &slot, sizeof(slot));
	assert_int_equal(node_seal(&a, frame, frame_len, &run), NODE_REDIRECT);
}

static void the_end_of_a_counter_is_told_in_time(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	struct ntm_state worn = {.tx_next = NTM_REKEY_AFTER_CHACHA - 1};
	size_t len = node_frame_make(frame, inner, plain_make(inner, 64));
	struct ntm_event event;
	struct prog_run run;

	(void)state;
	node_state_set(&a, &worn);
	assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT);
	assert_int_equal(node_events(&a, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(node_seal(&a, frame, len, &run), NODE_REDIRECT);
	assert_int_equal(node_events(&a, &event), 1);
	assert_int_equal(event.kind, NTM_EVENT_COUNTER_WORN);
	assert_int_equal(event.slot, NODE_SLOT);
	assert_true(event.path_id == NODE_PATH_ID);
}

int main(void)
{
	const struct CMUnitTest out[] = {
		cmocka_unit_test_setup(every_kind_of_packet_arrives_as_it_was_sent, fresh),
		cmocka_unit_test_setup(checksums_are_right_at_every_length, fresh),
		cmocka_unit_test_setup(what_is_behind_the_packet_stays_here, fresh),
		cmocka_unit_test_setup(phase_and_side_are_in_the_header, fresh),
		cmocka_unit_test_setup(the_outer_header_has_the_traffic_class_with_its_congestion_bits, fresh),
		cmocka_unit_test_setup(what_the_host_itself_says_there_is_no_drop, fresh),
		cmocka_unit_test_setup(every_fault_is_dropped_and_counted_by_its_reason, fresh),
		cmocka_unit_test_setup(larger_ones_are_answered, fresh),
		cmocka_unit_test_setup(the_devices_mtu_counts_too, fresh),
		cmocka_unit_test_setup(an_unproven_route_gets_only_so_many_bytes_of_each_serial, fresh),
		cmocka_unit_test_setup(both_ways_get_the_same_sealed_packet_whatever_their_families, fresh),
		cmocka_unit_test_setup(only_the_second_way_is_used_when_the_first_may_not, fresh),
		cmocka_unit_test_setup(one_way_is_enough_when_the_other_leads_nowhere, fresh),
		cmocka_unit_test_setup(a_bound_way_goes_by_its_interface, fresh),
		cmocka_unit_test_setup(a_change_of_routes_is_noticed, fresh),
		cmocka_unit_test_setup(the_slot_in_the_frame_is_a_hint, fresh),
		cmocka_unit_test_setup(the_end_of_a_counter_is_told_in_time, fresh),
	};

	return cmocka_run_group_tests(out, setup, teardown);
}
