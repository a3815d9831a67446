/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_rs_lanes.c - the threads of the Relay Server: while they relay, the main loop directs, binds, moves and
 * withdraws paths; trains arrive whole, in order, each at the leg of its path, with their congestion marks; a path's rate holds whoever asks; ICMP
 * errors have the bytes of the RFCs. Also built with ThreadSanitizer (make check-tsan).
 * What is around the server is in rs_world.h.
 */
#include "rs_world.h"

#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdatomic.h>

#define PATHS 6
#define FLOOD 40000 /* more than a receive buffer takes */
#define FLOOD_LEN 1200
#define PACKETS 200 /* each way of each path: as many as the receive buffer of a node takes */

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* A train of `count` datagrams, numbered from `first` on. */
static void train_send(const struct node *node, unsigned first, unsigned count, size_t len)
{
	static uint8_t buf[64 * 200];
	int size = (int)len;

	assert_true(count * len <= sizeof(buf));
	for (unsigned i = 0; i < count; i++) {
		uint8_t *packet = buf + i * len;

		memset(packet, 0x5a, len);
		ntm_header_set((struct ntm_header *)packet, data_type(node), first + i, node->path_id);
	}
	assert_int_equal(setsockopt(node->fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	node_send(node, buf, count * len);
	size = 0;
	assert_int_equal(setsockopt(node->fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
}

static void trains_arrive_whole_and_in_order(void **state)
{
	struct pair pair = pair_bound(true, false);
	uint8_t came[201];

	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		train_send(&pair.node[0], round * 40, 40, 100);
		for (unsigned i = 0; i < 40; i++) {
			assert_int_equal(node_receive(&pair.node[1], came, sizeof(came), WAIT_MS), 100);
			assert_int_equal(ntm_header_counter((struct ntm_header *)came), round * 40 + i);
			assert_int_equal(ntm_header_id((struct ntm_header *)came), pair.id);
		}
	}
	node_hears_nothing(&pair.node[1]);
	node_hears_nothing(&pair.node[0]);
	pair_end(&pair);
}

static void tos_set(const struct node *node, int tos)
{
	bool is4 = ntm_endpoint_is4(&node->self);

	assert_int_equal(setsockopt(node->fd, is4 ? IPPROTO_IP : IPPROTO_IPV6, is4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos)), 0);
}

/* TOS or traffic class of the next datagram. */
static int tos_receive(struct node *node)
{
	_Alignas(struct cmsghdr) uint8_t control[64];
	uint8_t packet[200];
	struct iovec part = {packet, sizeof(packet)};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	assert_true(run(node_has, &node->fd, WAIT_MS));
	assert_int_equal(recvmsg(node->fd, &msg, 0), 100);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		int value;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			return *CMSG_DATA(c);
		if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_TCLASS)
			continue;
		memcpy(&value, CMSG_DATA(c), sizeof(value));
		return value;
	}
	return -1;
}

/* Between all families, one by one and in trains; a train has one of them only. */
static void congestion_marks_are_carried_on(void **state)
{
	static const uint8_t tos[] = {0, 1, 2, 3, 0xb8, 0xbb, 0};
	int one = 1;

	(void)state;
	for (unsigned families = 0; families < 4; families++) {
		struct pair pair = pair_bound(families & 1, families & 2);
		struct node *to = &pair.node[1];
		bool is4 = ntm_endpoint_is4(&to->self);

		assert_int_equal(setsockopt(to->fd, is4 ? IPPROTO_IP : IPPROTO_IPV6, is4 ? IP_RECVTOS : IPV6_RECVTCLASS, &one,
					    sizeof(one)), 0);
		for (unsigned i = 0; i < sizeof(tos); i++) {
			tos_set(&pair.node[0], tos[i]);
			train_send(&pair.node[0], 2 * i, 1, 100);
			train_send(&pair.node[0], 2 * i + 1, 3, 100);
		}
		for (unsigned i = 0; i < 4 * sizeof(tos); i++)
			assert_int_equal(tos_receive(to), tos[i / 4]);
		pair_end(&pair);
	}
}

/* A bind that the kernel put behind data into one train is not lost: the thread hands it over. */
static void a_bind_in_a_train_reaches_control(void **state)
{
	struct pair pair = pair_bound(true, true);
	struct node *node = &pair.node[0];
	uint8_t buf[2 * sizeof(struct ntm_bind)];
	int size = sizeof(struct ntm_bind);
	struct ntm_bind alive;

	(void)state;
	data_build(buf, sizeof(alive), data_type(node), pair.id);
	ntm_bind_request_build(&alive, NTM_BIND_KEEPALIVE, pair.id, 0, ntm_loop_real_us(), node->key);
	memcpy(buf + sizeof(alive), &alive, sizeof(alive));
	assert_int_equal(setsockopt(node->fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	node_send(node, buf, sizeof(buf));
	assert_int_equal(node_receive(&pair.node[1], buf, sizeof(buf), WAIT_MS), sizeof(alive));
	node_answer(node, &alive, NTM_BIND_ACK);
	pair_end(&pair);
}

/* What a new tunnel needs gets through when more data comes than a thread can take, of paths that nobody knows. */
static void a_flood_of_data_leaves_room_for_handshakes(void **state)
{
	static const uint8_t type[] = {NTM_TYPE_TUNNEL_REQUEST, NTM_TYPE_PATH};
	struct pair pair = pair_bound(true, true);
	struct node *node = &pair.node[0];
	uint8_t sent[FLOOD_LEN], came[FLOOD_LEN];
	uint64_t overruns = ntm_drop_get(NTM_DROP_SOCKET_OVERRUN);

	(void)state;
	/* Threads look nothing up meanwhile, and their sockets fill. */
	assert_int_equal(pthread_rwlock_wrlock(&rs.paths.lock), 0);
	data_build(sent, sizeof(sent), data_type(node), pair.id ^ 1ULL << 40); /* the same thread has it */
	for (unsigned i = 0; i < FLOOD; i++)
		node_send(node, sent, sizeof(sent));
	for (unsigned i = 0; i < sizeof(type); i++) {
		data_build(sent, 200, type[i], pair.id);
		node_send(node, sent, 200);
	}
	assert_int_equal(pthread_rwlock_unlock(&rs.paths.lock), 0);
	for (unsigned i = 0; i < sizeof(type); i++) {
		assert_int_equal(node_receive(&pair.node[1], came, sizeof(came), WAIT_MS), 200);
		assert_int_equal(came[0], type[i]);
	}
	run(NULL, NULL, QUIET_MS);
	assert_true(ntm_drop_get(NTM_DROP_SOCKET_OVERRUN) > overruns);
	data_passes(node, &pair.node[1], 100);
	pair_end(&pair);
}

/* ---- everything at once */

struct traffic {
	struct pair *pair;
	atomic_bool stop;
	atomic_uint sent;
};

static void *traffic_run(void *arg)
{
	struct traffic *traffic = arg;
	uint8_t packet[64];

	for (unsigned i = 0; i < PACKETS && !traffic->stop; i++) {
		for (unsigned p = 0; p < PATHS; p++) {
			for (int side = 0; side < 2; side++) {
				const struct node *node = &traffic->pair[p].node[side];
				struct sockaddr_storage sa;
				socklen_t sa_len = ntm_endpoint_to_sockaddr(&node->rs, &sa);

				memset(packet, 0, sizeof(packet));
				ntm_header_set((struct ntm_header *)packet, data_type(node), i, node->path_id);
				if (sendto(node->fd, packet, sizeof(packet), 0, (struct sockaddr *)&sa, sa_len) > 0)
					traffic->sent++;
			}
		}
		usleep(200);
	}
	traffic->stop = true;
	return NULL;
}

static bool traffic_is_over(void *arg)
{
	return ((struct traffic *)arg)->stop;
}

/* Counts what a node has got; all of it is of its path and from the other side. */
static unsigned node_count(struct node *node)
{
	uint8_t came[100];
	unsigned count = 0;
	ssize_t n;

	while ((n = recv(node->fd, came, sizeof(came), MSG_DONTWAIT)) > 0) {
		assert_int_equal(n, 64);
		assert_int_equal(ntm_header_id((struct ntm_header *)came), node->path_id);
		assert_int_equal(NTM_TYPE_SIDE(came[0]), !node->side);
		count++;
	}
	return count;
}

static void control_changes_the_table_while_threads_relay(void **state)
{
	struct pair pair[PATHS];
	struct traffic traffic = {.pair = pair};
	unsigned received = 0, rounds = 0;
	pthread_t thread;

	(void)state;
	for (unsigned p = 0; p < PATHS; p++)
		pair[p] = pair_bound(p & 1, p & 2);
	assert_int_equal(pthread_create(&thread, NULL, traffic_run, &traffic), 0);
	while (!traffic_is_over(&traffic)) {
		struct pair other = pair_bound(true, true), *renewed = &pair[rounds % PATHS];
		struct node moved = node_new(true, other.id, 0, other.ck);

		node_bind(&moved);
		close(moved.fd);
		assert_int_equal(dc_direct(&dc[0], renewed->id, renewed->ck, WAIT_MS), 0);
		pair_end(&other);
		run(NULL, NULL, 1);
		rounds++;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	run(NULL, NULL, 2 * QUIET_MS);
	for (unsigned p = 0; p < PATHS; p++) {
		received += node_count(&pair[p].node[0]);
		received += node_count(&pair[p].node[1]);
	}
	assert_true(rounds > 2);
	assert_int_equal(received, traffic.sent);
	for (unsigned p = 0; p < PATHS; p++)
		pair_end(&pair[p]);
}

/* ---- a path's rate, with several threads that pay at once */

#define RATE 1000000
#define PAYERS 4

struct payer {
	struct rs_path *path;
	struct ntm_endpoint from;
	int64_t end_us;
	uint64_t bytes;
};

static void *payer_run(void *arg)
{
	struct payer *payer = arg;

	for (int64_t now_us = 1000000; now_us < payer->end_us; now_us += 50) {
		if (rs_path_admit(payer->path, NTM_TYPE_DATA, &payer->from, 100, now_us) >= 0)
			payer->bytes += 100;
	}
	return NULL;
}

static void a_rate_holds_for_all_threads_together(void **state)
{
	struct ntm_relay_direction direction = {.path_id = 4711, .lifetime_s = 60, .rate = RATE};
	struct ntm_flow flow[2] = {0};
	struct payer payer[PAYERS];
	pthread_t thread[PAYERS];
	struct rs_dc owner = {.max_paths = 1};
	struct rs_paths paths;
	struct rs_path *path;
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(rs_paths_init(&paths, 1), 0);
	assert_int_equal(rs_path_direct(&paths, &direction, &owner, 0, &path), 1);
	for (unsigned side = 0; side < 2; side++) {
		assert_int_equal(ntm_endpoint_parse(&flow[side].remote, side ? "192.0.2.2:2" : "192.0.2.1:1", 0), 0);
		assert_int_equal(rs_leg_move(&paths, path, side, &flow[side], 1, 0), 2);
	}
	for (unsigned i = 0; i < PAYERS; i++) {
		payer[i] = (struct payer){.path = path, .from = flow[0].remote, .end_us = 3000000};
		assert_int_equal(pthread_create(&thread[i], NULL, payer_run, &payer[i]), 0);
	}
	for (unsigned i = 0; i < PAYERS; i++) {
		pthread_join(thread[i], NULL);
		bytes += payer[i].bytes;
	}
	/* Two seconds of it and one burst of 0.1 s; that some pay with an earlier time than others gives nothing. */
	assert_in_range(bytes, 2 * RATE * 9 / 10, 2 * RATE + RATE / 10 + 100 * PAYERS);
	assert_int_equal(rs_path_count(&path->leg[0].bytes), bytes);
	rs_paths_clear(&paths);
}

/* ---- ICMP */

static uint16_t sum16(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | (i + 1 < len ? p[i + 1] : 0));
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + sum);
}

static void icmp_errors_quote_what_was_sent(void **state)
{
	struct ntm_endpoint sender, local;
	uint8_t out[RS_TOO_BIG_MAX], packet[1400];
	struct iphdr ip;
	struct udphdr udp;
	size_t len;

	(void)state;
	data_build(packet, sizeof(packet), NTM_TYPE_DATA, 4711);
	assert_int_equal(ntm_endpoint_parse(&sender, "192.0.2.1:1000", 0), 0);
	assert_int_equal(ntm_endpoint_parse(&local, "203.0.113.20:6866", 0), 0);
	len = rs_too_big_build(out, &sender, &local, packet, sizeof(packet), 1380);
	assert_int_equal(len, 8 + 20 + 8 + RS_TOO_BIG_QUOTE);
	assert_int_equal(out[0], ICMP_DEST_UNREACH);
	assert_int_equal(out[1], ICMP_FRAG_NEEDED);
	assert_int_equal(out[6] << 8 | out[7], 1380);
	assert_int_equal(sum16(out, len), 0xffff);
	memcpy(&ip, out + 8, sizeof(ip));
	assert_int_equal(sum16(out + 8, sizeof(ip)), 0xffff);
	assert_int_equal(ntohs(ip.tot_len), 28 + sizeof(packet));
	assert_memory_equal(&ip.saddr, sender.addr.b + 12, 4);
	assert_memory_equal(&ip.daddr, local.addr.b + 12, 4);
	memcpy(&udp, out + 28, sizeof(udp));
	assert_int_equal(ntohs(udp.source), 1000);
	assert_int_equal(ntohs(udp.dest), 6866);
	assert_memory_equal(out + 36, packet, RS_TOO_BIG_QUOTE);

	assert_int_equal(ntm_endpoint_parse(&sender, "[2001:db8::1]:1000", 0), 0);
	assert_int_equal(ntm_endpoint_parse(&local, "[2001:db8::2]:6866", 0), 0);
	len = rs_too_big_build(out, &sender, &local, packet, 20, 1420);
	assert_int_equal(len, 8 + 40 + 8 + 20); /* no more than there was */
	assert_int_equal(out[0], ICMP6_PACKET_TOO_BIG);
	assert_int_equal(out[6] << 8 | out[7], 1420);
	assert_int_equal(out[8] >> 4, 6);
	assert_memory_equal(out + 16, sender.addr.b, 16);
	assert_memory_equal(out + 32, local.addr.b, 16);
}

/* ---- draining; last, because it ends the loop */

static bool dc_hears_of_draining(void *arg)
{
	return ((struct dc *)arg)->report.draining == 1;
}

static void draining(void **state)
{
	struct pair pair = pair_bound(true, true);

	(void)state;
	rs_drain_set(&rs, true);
	assert_true(run(dc_hears_of_draining, &dc[0], WAIT_MS));
	assert_int_equal(dc_direct(&dc[0], next_path_id, pair.ck, WAIT_MS), NTM_ERROR_REFUSED);
	assert_int_equal(dc_direct(&dc[0], pair.id, pair.ck, WAIT_MS), 0); /* what is there may be renewed */
	data_passes(&pair.node[0], &pair.node[1], 100);
	rs_drain_set(&rs, false);
	run(NULL, NULL, QUIET_MS);
	assert_int_equal(dc[0].report.draining, 0);
	assert_int_equal(dc_direct(&dc[0], next_path_id, pair.ck, WAIT_MS), 0);
	assert_int_equal(dc_withdraw(&dc[0], next_path_id), 0);
	assert_false(event_base_got_exit(base));
	rs_drain_set(&rs, true);
	assert_int_equal(dc_withdraw(&dc[0], pair.id), 0);
	assert_int_equal(rs.paths.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trains_arrive_whole_and_in_order),
		cmocka_unit_test(congestion_marks_are_carried_on),
		cmocka_unit_test(a_bind_in_a_train_reaches_control),
		cmocka_unit_test(a_flood_of_data_leaves_room_for_handshakes),
		cmocka_unit_test(control_changes_the_table_while_threads_relay),
		cmocka_unit_test(a_rate_holds_for_all_threads_together),
		cmocka_unit_test(icmp_errors_quote_what_was_sent),
		cmocka_unit_test(draining),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
