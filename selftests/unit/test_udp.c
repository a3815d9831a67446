/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_udp.c - lib/udp.c and udp_send.c on the loopback device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ntm/limits.h>

#include "endpoint.h"
#include "stats.h"
#include "udp.h"

static struct event_base *base;
static int received, received_bytes;
static struct ntm_flow last;
static uint8_t last_bytes[65536];

static void receive(void *ctx, const struct ntm_flow *from, uint8_t *buf, size_t len)
{
	assert_ptr_equal(ctx, from->udp);
	received++;
	received_bytes += (int)len;
	last = *from;
	memcpy(last_bytes, buf, len);
	memset(buf, 0xee, len); /* allowed */
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	received = received_bytes = 0;
	memset(&last, 0, sizeof(last));
	return !base;
}

static int tear_down(void **state)
{
	(void)state;
	event_base_free(base);
	return 0;
}

static struct ntm_endpoint endpoint_of(const char *text)
{
	struct ntm_endpoint ep;

	assert_int_equal(ntm_endpoint_parse(&ep, text, 0), 0);
	return ep;
}

/* A socket at the address, any port. */
static void open_at(struct ntm_udp *udp, const char *address)
{
	struct ntm_endpoint ep = endpoint_of(address);
	int r = ntm_udp_open(udp, base, &ep, ntm_endpoint_is4(&ep), receive, udp);

	if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) {
		print_message("%s is not there\n", address);
		skip();
	}
	assert_int_equal(r, 0);
	assert_true(udp->bound.port > 0);
}

static struct ntm_flow flow_to(struct ntm_udp *udp, const char *address, uint16_t port)
{
	struct ntm_flow flow = {.udp = udp, .remote = endpoint_of(address)};

	flow.remote.port = port;
	return flow;
}

static void a_datagram_arrives_with_both_its_addresses(void **state)
{
	static const char *const any[] = {"0.0.0.0", "::"}, *const loopback[] = {"127.0.0.1", "::1"};
	struct ntm_udp a, b;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct iovec part[] = {{"one ", 4}, {"two", 3}};
		struct ntm_flow flow;

		open_at(&a, any[i]);
		open_at(&b, loopback[i]);
		flow = flow_to(&b, loopback[i], a.bound.port);
		received = 0;
		assert_int_equal(ntm_udp_sendv(&flow, part, 2), 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(received, 1);
		assert_memory_equal(last_bytes, "one two", 7);
		assert_ptr_equal(last.udp, &a);
		assert_true(ntm_endpoint_equal(&last.remote, &b.bound));
		assert_true(ntm_addr_equal(&last.local, &flow.remote.addr));
		/* And back the way it came. */
		flow = last;
		assert_int_equal(ntm_udp_send(&flow, "back", 4), 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(received, 2);
		assert_ptr_equal(last.udp, &b);
		assert_int_equal(last.remote.port, a.bound.port);
		ntm_udp_close(&a);
		ntm_udp_close(&b);
	}
}

static void the_source_address_is_the_one_asked_for(void **state)
{
	struct ntm_flow flow;
	struct ntm_udp a, b;

	(void)state;
	open_at(&a, "0.0.0.0");
	open_at(&b, "127.0.0.1");
	flow = flow_to(&a, "127.0.0.1", b.bound.port);
	flow.local = endpoint_of("127.0.0.7").addr;
	assert_int_equal(ntm_udp_send(&flow, "x", 1), 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received, 1);
	assert_true(ntm_addr_equal(&last.remote.addr, &flow.local));
	flow.local = endpoint_of("192.0.2.99").addr; /* not ours */
	assert_true(ntm_udp_send(&flow, "x", 1) < 0);
	flow.local = endpoint_of("::1").addr;
	assert_int_equal(ntm_udp_send(&flow, "x", 1), -EAFNOSUPPORT);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received, 1);
	ntm_udp_close(&a);
	ntm_udp_close(&b);
}

static void families_do_not_mix(void **state)
{
	struct ntm_endpoint ep6 = endpoint_of("[::1]:0");
	struct ntm_flow flow;
	struct ntm_udp a, b;

	(void)state;
	memset(&b, 0xa5, sizeof(b));
	assert_int_equal(ntm_udp_open(&b, base, &ep6, true, receive, &b), -EAFNOSUPPORT);
	assert_int_equal(b.fd, (int)0xa5a5a5a5);
	open_at(&a, "127.0.0.1");
	flow = flow_to(&a, "::1", 9);
	assert_int_equal(ntm_udp_send(&flow, "x", 1), -EAFNOSUPPORT);
	ntm_udp_close(&a);
	assert_int_equal(ntm_udp_send(&flow, "x", 1), -EBADF);
	ntm_udp_close(&a);
}

static void no_address_means_any_and_both_families_share_a_port(void **state)
{
	struct ntm_endpoint none = {.port = 0};
	struct ntm_udp a, b;

	(void)state;
	assert_int_equal(ntm_udp_open(&a, base, &none, true, receive, &a), 0);
	none.port = a.bound.port;
	assert_int_equal(ntm_udp_open(&b, base, &none, true, receive, &b), -EADDRINUSE);
	if (ntm_udp_open(&b, base, &none, false, receive, &b) == 0) {
		assert_int_equal(b.bound.port, a.bound.port);
		ntm_udp_close(&b);
	}
	ntm_udp_close(&a);
}

static void the_largest_datagram_arrives_whole(void **state)
{
	static uint8_t big[65507];
	struct ntm_flow flow;
	struct ntm_udp a;

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 256);
	open_at(&a, "127.0.0.1");
	flow = flow_to(&a, "127.0.0.1", a.bound.port);
	assert_int_equal(ntm_udp_send(&flow, big, sizeof(big)), 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received_bytes, sizeof(big));
	assert_memory_equal(last_bytes, big, sizeof(big));
	assert_int_equal(ntm_udp_send(&flow, big, 0), 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received, 2);
	ntm_udp_close(&a);
}

static void one_wakeup_takes_a_bounded_number_and_the_rest_comes_later(void **state)
{
	struct ntm_flow flow;
	struct ntm_udp a;

	(void)state;
	open_at(&a, "127.0.0.1");
	flow = flow_to(&a, "127.0.0.1", a.bound.port);
	for (int i = 0; i < 200; i++)
		assert_int_equal(ntm_udp_send(&flow, "x", 1), 0);
	event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	assert_int_equal(received, 128);
	event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	assert_int_equal(received, 200);
	ntm_udp_close(&a);
}

static void datagrams_lost_in_the_buffer_are_counted(void **state)
{
	uint64_t before = ntm_drops[NTM_DROP_SOCKET_OVERRUN];
	int sent = 0, small = 4096;
	struct ntm_flow flow;
	struct ntm_udp a;

	(void)state;
	open_at(&a, "127.0.0.1");
	assert_int_equal(setsockopt(a.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	flow = flow_to(&a, "127.0.0.1", a.bound.port);
	for (; sent < 100; sent++)
		assert_int_equal(ntm_udp_send(&flow, last_bytes, 1000), 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(received < 100);
	/* The count is read when datagrams are. */
	assert_int_equal(ntm_udp_send(&flow, "x", 1), 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received + a.overruns, sent + 1);
	assert_int_equal(ntm_drops[NTM_DROP_SOCKET_OVERRUN] - before, a.overruns);
	ntm_udp_close(&a);
}

static size_t lengths[100];

static void receive_in_order(void *ctx, const struct ntm_flow *from, uint8_t *buf, size_t len)
{
	(void)ctx;
	(void)from;
	assert_int_equal(buf[0], received);
	assert_int_equal(buf[len - 1], received);
	lengths[received++] = len;
}

static int flushed_at, flushes;

static void flush(void *ctx)
{
	(void)ctx;
	flushed_at = received;
	flushes++;
}

static void a_train_arrives_as_its_datagrams(void **state)
{
	static uint8_t train[NTM_UDP_DATAGRAM_MAX];
	const size_t size = 1000, len = 63 * size + 7;
	struct ntm_endpoint ep = endpoint_of("127.0.0.1");
	struct ntm_flow flow;
	unsigned sent;
	struct ntm_udp a;

	(void)state;
	for (size_t i = 0; i < len; i++)
		train[i] = (uint8_t)(i / size);
	assert_int_equal(ntm_udp_open(&a, base, &ep, true, receive_in_order, NULL), 0);
	a.flush = flush;
	for (int segment = 0; segment <= a.segment; segment++) {
		flow = flow_to(&a, "127.0.0.1", a.bound.port);
		received = flushes = 0;
		assert_int_equal(ntm_udp_send_train(&flow, train, len, size, segment, &sent), 0);
		assert_int_equal(sent, 64);
		event_base_loop(base, EVLOOP_NONBLOCK);
		event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(received, 64);
		assert_int_equal(flushed_at, 64);
		for (int i = 0; i < 64; i++)
			assert_int_equal(lengths[i], i < 63 ? size : 7);
		if (segment && a.gro) /* they came in one piece */
			assert_int_equal(flushes, 1);
		/* one alone */
		received = 0;
		assert_int_equal(ntm_udp_send_train(&flow, train, 5, 1000, segment, &sent), 0);
		assert_int_equal(sent, 1);
		event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(received, 1);
		assert_int_equal(lengths[0], 5);
	}
	ntm_udp_close(&a);
}

static struct ntm_flow soon_a, soon_b;
static const size_t soon_sizes[] = {
	100, 100, 60, 100, 20, NTM_CONTROL_MAX, NTM_CONTROL_MAX, NTM_CONTROL_MAX, NTM_CONTROL_MAX, 30, 40};
#define SOONS (int)(sizeof(soon_sizes) / sizeof(soon_sizes[0]))

static int soon_came;

static void receive_soon(void *ctx, const struct ntm_flow *from, uint8_t *buf, size_t len)
{
	(void)ctx;
	(void)from;
	assert_true(soon_came < SOONS);
	assert_int_equal(len, soon_sizes[soon_came]);
	assert_int_equal(buf[0], soon_came);
	assert_int_equal(buf[len - 1], soon_came);
	soon_came++;
}

/* Sends them all to a, and in their midst one to b. */
static void receive_and_answer(void *ctx, const struct ntm_flow *from, uint8_t *buf, size_t len)
{
	uint8_t bytes[NTM_CONTROL_MAX];

	(void)ctx;
	(void)from;
	(void)buf;
	(void)len;
	for (int i = 0; i < SOONS; i++) {
		memset(bytes, i, sizeof(bytes));
		ntm_udp_send_soon(&soon_a, bytes, soon_sizes[i]);
		if (i == 3)
			ntm_udp_send_soon(&soon_b, "b", 1);
	}
}

static void what_is_sent_soon_arrives_in_order(void **state)
{
	struct ntm_endpoint ep = endpoint_of("127.0.0.1");
	struct ntm_udp server, a, b;
	struct ntm_flow flow;

	(void)state;
	assert_int_equal(ntm_udp_open(&server, base, &ep, true, receive_and_answer, NULL), 0);
	assert_int_equal(ntm_udp_open(&a, base, &ep, true, receive_soon, NULL), 0);
	open_at(&b, "127.0.0.1");
	for (int segment = server.segment; segment >= 0; segment--) {
		server.segment = segment;
		soon_a = flow_to(&server, "127.0.0.1", a.bound.port);
		soon_b = flow_to(&server, "127.0.0.1", b.bound.port);
		flow = flow_to(&b, "127.0.0.1", server.bound.port);
		received = soon_came = 0;
		assert_int_equal(ntm_udp_send(&flow, "?", 1), 0);
		for (int i = 0; i < 4; i++)
			event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(soon_came, SOONS);
		assert_int_equal(received, 1); /* at b */
		assert_int_equal(server.segment, segment); /* the device can */
	}
	/* at any other time it is sent at once */
	ntm_udp_send_soon(&soon_b, "b", 1);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received, 2);
	ntm_udp_close(&server);
	ntm_udp_close(&a);
	ntm_udp_close(&b);
}

static unsigned kernel_takes = NTM_UDP_SEGMENTS_MAX; /* datagrams with UDP_SEGMENT: older kernels take 64 */

/* In front of the C library's: lib/udp_send.c comes here. */
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
		uint16_t size;

		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_SEGMENT)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		if (msg->msg_iov[0].iov_len > (size_t)kernel_takes * size) {
			errno = EINVAL;
			return -1;
		}
	}
	return syscall(SYS_sendmsg, fd, msg, flags);
}

static void a_train_longer_than_older_kernels_take_goes_in_two(void **state)
{
	enum { SIZE = 100, LEN = 99 * SIZE + 7 };
	struct ntm_endpoint ep = endpoint_of("127.0.0.1");
	uint8_t train[LEN];
	struct ntm_flow flow;
	struct ntm_udp a;
	unsigned sent;

	(void)state;
	for (size_t i = 0; i < LEN; i++)
		train[i] = (uint8_t)(i / SIZE);
	assert_int_equal(ntm_udp_open(&a, base, &ep, true, receive_in_order, NULL), 0);
	if (!a.segment) {
		ntm_udp_close(&a);
		skip();
	}
	flow = flow_to(&a, "127.0.0.1", a.bound.port);
	assert_int_equal(ntm_udp_segments_max(), NTM_UDP_SEGMENTS_MAX);
	kernel_takes = NTM_UDP_SEGMENTS_ALWAYS;
	for (int again = 0; again < 2; again++) {
		received = 0;
		assert_int_equal(ntm_udp_send_train(&flow, train, LEN, SIZE, true, &sent), 0);
		assert_int_equal(sent, 100);
		for (int i = 0; i < 4; i++)
			event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(received, 100);
		assert_int_equal(lengths[99], 7);
		/* and who asks makes them shorter from now on */
		assert_int_equal(ntm_udp_segments_max(), NTM_UDP_SEGMENTS_ALWAYS);
	}
	ntm_udp_close(&a);
}

static void a_train_that_the_kernel_does_not_cut_is_refused_whole(void **state)
{
	static uint8_t train[5000];
	struct ntm_flow flow;
	struct ntm_udp a, b;
	int on = 1;
	unsigned sent = 9;

	(void)state;
	open_at(&a, "127.0.0.1");
	open_at(&b, "127.0.0.1");
	/* without a checksum the kernel makes no segments */
	assert_int_equal(setsockopt(a.fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	flow = flow_to(&a, "127.0.0.1", b.bound.port);
	assert_int_equal(ntm_udp_send_train(&flow, train, sizeof(train), 1000, true, &sent), -EIO);
	assert_int_equal(sent, 0);
	assert_int_equal(ntm_udp_send_train(&flow, train, sizeof(train), 1000, false, &sent), 0);
	assert_int_equal(sent, 5);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received, 5);
	ntm_udp_close(&a);
	ntm_udp_close(&b);
}

/* A port of the loopback device that nobody has. */
static uint16_t closed_port(const char *address)
{
	struct ntm_udp udp;
	uint16_t port;

	open_at(&udp, address);
	port = udp.bound.port;
	ntm_udp_close(&udp);
	return port;
}

static void an_earlier_refusal_does_not_stop_the_next_datagram(void **state)
{
	static const char *const loopback[] = {"127.0.0.1", "::1"};
	struct ntm_flow closed, open;
	struct ntm_udp a, b;

	(void)state;
	for (int i = 0; i < 2; i++) {
		open_at(&a, loopback[i]);
		closed = flow_to(&a, loopback[i], closed_port(loopback[i]));
		open_at(&b, loopback[i]);
		open = flow_to(&a, loopback[i], b.bound.port);
		received = 0;
		for (int n = 0; n < 10; n++) {
			assert_int_equal(ntm_udp_send(&closed, "x", 1), 0);
			assert_int_equal(ntm_udp_send(&open, "x", 1), 0);
		}
		event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(received, 10);
		ntm_udp_close(&a);
		ntm_udp_close(&b);
	}
}

static void icmp_errors_do_not_keep_the_loop_busy(void **state)
{
	struct ntm_flow closed;
	struct pollfd fd;
	struct ntm_udp a;

	(void)state;
	open_at(&a, "127.0.0.1");
	closed = flow_to(&a, "127.0.0.1", closed_port("127.0.0.1"));
	assert_int_equal(ntm_udp_send(&closed, "x", 1), 0);
	fd = (struct pollfd){.fd = a.fd, .events = POLLIN};
	assert_int_equal(poll(&fd, 1, 100), 1);
	assert_true(fd.revents & POLLERR);
	for (int i = 0; i < 3; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_int_equal(received, 0);
	ntm_udp_close(&a);
}

static void a_socket_only_for_sending_needs_no_loop(void **state)
{
	struct ntm_endpoint ep = endpoint_of("127.0.0.1");
	struct ntm_flow flow;
	struct ntm_udp a, b;

	(void)state;
	assert_int_equal(ntm_udp_open(&a, NULL, &ep, true, NULL, NULL), 0);
	open_at(&b, "127.0.0.1");
	flow = flow_to(&a, "127.0.0.1", b.bound.port);
	assert_int_equal(ntm_udp_send(&flow, "x", 1), 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(received, 1);
	ntm_udp_close(&a);
	ntm_udp_close(&b);
}

static void fragments_are_never_made(void **state)
{
	struct ntm_udp a;
	int value = -1;
	socklen_t len = sizeof(value);

	(void)state;
	open_at(&a, "127.0.0.1");
	assert_int_equal(getsockopt(a.fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, &len), 0);
	assert_int_equal(value, IP_PMTUDISC_PROBE);
	ntm_udp_close(&a);
	open_at(&a, "::1");
	assert_int_equal(getsockopt(a.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, &len), 0);
	assert_int_equal(value, IPV6_PMTUDISC_PROBE);
	ntm_udp_close(&a);
}

static void the_kernel_says_what_passes(void **state)
{
	struct ntm_endpoint ep = endpoint_of("127.0.0.5:9"), broadcast = endpoint_of("255.255.255.255:9");
	unsigned mtu = 7;

	(void)state;
	assert_true(ntm_udp_path_mtu(&broadcast, &mtu) < 0); /* nobody has allowed it */
	assert_int_equal(mtu, 7);
	assert_int_equal(ntm_udp_path_mtu(&ep, &mtu), 0);
	assert_true(mtu >= 1280); /* of lo */
}

static void the_kernel_says_which_source_it_would_use(void **state)
{
	struct ntm_endpoint ep = endpoint_of("127.0.0.5:9");
	struct ntm_addr local, expected = endpoint_of("127.0.0.1").addr;

	(void)state;
	assert_int_equal(ntm_udp_source(&ep, &local), 0);
	assert_true(ntm_addr_equal(&local, &expected));
}

static void the_traffic_class_arrives_too(void **state)
{
	static const char *const loopback[] = {"127.0.0.1", "::1"};
	struct ntm_udp a, b;

	(void)state;
	for (int i = 0; i < 2; i++) {
		int class = 0xbb;
		struct ntm_flow flow;

		open_at(&a, loopback[i]);
		open_at(&b, loopback[i]);
		assert_int_equal(setsockopt(b.fd, i ? IPPROTO_IPV6 : IPPROTO_IP, i ? IPV6_TCLASS : IP_TOS,
					    &class, sizeof(class)),
				 0);
		flow = flow_to(&b, loopback[i], a.bound.port);
		received = 0;
		assert_int_equal(ntm_udp_send(&flow, "x", 1), 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
		assert_int_equal(received, 1);
		assert_int_equal(last.tos, class);
		ntm_udp_close(&a);
		ntm_udp_close(&b);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_datagram_arrives_with_both_its_addresses),
		TEST(the_source_address_is_the_one_asked_for),
		TEST(families_do_not_mix),
		TEST(no_address_means_any_and_both_families_share_a_port),
		TEST(the_largest_datagram_arrives_whole),
		TEST(one_wakeup_takes_a_bounded_number_and_the_rest_comes_later),
		TEST(datagrams_lost_in_the_buffer_are_counted),
		TEST(a_train_arrives_as_its_datagrams),
		TEST(what_is_sent_soon_arrives_in_order),
		TEST(a_train_longer_than_older_kernels_take_goes_in_two),
		TEST(a_train_that_the_kernel_does_not_cut_is_refused_whole),
		TEST(an_earlier_refusal_does_not_stop_the_next_datagram),
		TEST(icmp_errors_do_not_keep_the_loop_busy),
		TEST(a_socket_only_for_sending_needs_no_loop),
		TEST(fragments_are_never_made),
		TEST(the_kernel_says_which_source_it_would_use),
		TEST(the_kernel_says_what_passes),
		TEST(the_traffic_class_arrives_too),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
