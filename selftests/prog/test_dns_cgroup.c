/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dns_cgroup.c - bpf/dns_cgroup.bpf.c as daemon/resolver_bpf.c attaches it: which sockets are led to the stub, and when.
 * What applications get for answers shows netns/dns_bpf.sh.
 *
 * In a network namespace of its own that has lo and no route: what is not led to the stub is unreachable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <ntm/limits.h>

#include "daemon/dns_internal.h"
#include "daemon/resolver_internal.h"
#include "endpoint.h"

#define SERVER4 "192.0.2.1"
#define SERVER6 "2001:db8::1"
#define MAPPED "::ffff:192.0.2.1"
#define LINK_LOCAL "fe80::1"

static struct event_base *base;
static struct ntmd_dns *dns;
static struct ntmd_resolver_bpf *bpf;
static char why[256];

static void nobody_direct(void *ctx, const char *fqdn, struct ntmd_dns_wait *wait)
{
	(void)ctx;
	(void)fqdn;
	ntmd_dns_result(wait, NTMD_DNS_FAILED, NULL, NULL, "nobody");
}

static void nobody_abandoned(void *ctx, struct ntmd_dns_wait *wait)
{
	(void)ctx;
	(void)wait;
}

static int lo_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = ioctl(fd, SIOCSIFFLAGS, &ifr);

	close(fd);
	return err;
}

static int load(void **state)
{
	static const struct ntmd_dns_ops ops = { .direct = nobody_direct, .abandoned = nobody_abandoned };
	struct ntm_endpoint listen;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0 || lo_up() < 0 || ntm_endpoint_parse(&listen, "127.0.0.54:53", 53)) {
		print_error("no network namespace: %s\n", strerror(errno));
		return -1;
	}
	base = event_base_new();
	if (ntmd_dns_open(&dns, base, &listen, NULL, 0, &ops, NULL, why, sizeof(why))) {
		print_error("%s\n", why);
		return -1;
	}
	/* Not the machine's own: a server on 127.0.0.1 there would change what is led. */
	ntmd_dns_servers_files(dns, "/nonexistent/resolv.conf", "/nonexistent/uplink");
	if (ntmd_resolver_bpf_open(&bpf, base, dns, &listen, why, sizeof(why))) {
		print_error("%s\n", why);
		return -1;
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	ntmd_resolver_bpf_close(bpf);
	ntmd_dns_close(dns);
	event_base_free(base);
	return 0;
}

/* ---- a socket and what becomes of it */

static socklen_t address(struct sockaddr_storage *sa, const char *server, uint16_t port)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)sa;
	struct sockaddr_in *sin = (struct sockaddr_in *)sa;

	memset(sa, 0, sizeof(*sa));
	if (strchr(server, ':')) {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, server, &sin6->sin6_addr), 1);
		if (IN6_IS_ADDR_LINKLOCAL(&sin6->sin6_addr))
			sin6->sin6_scope_id = 1;
		return sizeof(*sin6);
	}
	sin->sin_family = AF_INET;
	sin->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, server, &sin->sin_addr), 1);
	return sizeof(*sin);
}

static int open_for(const char *server, int type)
{
	int fd = socket(strchr(server, ':') ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static const char *text(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
	static char shown[2][NTM_ENDPOINT_TEXT];
	static int turn;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct ntm_endpoint ep;

	turn = !turn;
	assert_int_equal(name(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(ntm_endpoint_from_sockaddr(&ep, (struct sockaddr *)&sa), 0);
	return ntm_endpoint_format(&ep, shown[turn]);
}

/* Where a socket is really connected to. */
static const char *peer_really(int fd)
{
	const char *peer;

	ntmd_resolver_bpf_detach(bpf);
	peer = text(fd, getpeername);
	assert_int_equal(ntmd_resolver_bpf_attach(bpf, why, sizeof(why)), 0);
	return peer;
}

/* errno of connect(), 0: it works, which it does only if led: then the peer shown must be peer. */
static int connects(int fd, const char *server, uint16_t port, const char *peer)
{
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, server, port);
	int err = connect(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;

	if (!err && peer)
		assert_string_equal(text(fd, getpeername), peer);
	close(fd);
	return err;
}

static int sends(int fd, const char *server, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, server, port);
	int err = sendto(fd, "", 1, 0, (struct sockaddr *)&sa, len) < 0 ? errno : 0;

	close(fd);
	return err;
}

static int udp(const char *server)
{
	return open_for(server, SOCK_DGRAM);
}

static int tcp(const char *server)
{
	return open_for(server, SOCK_STREAM);
}

/* ---- tests */

static void every_way_to_port_53_is_led_and_shows_the_server(void **state)
{
	(void)state;
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, SERVER4 ":53"), 0);
	assert_int_equal(connects(tcp(SERVER4), SERVER4, 53, SERVER4 ":53"), 0);
	assert_int_equal(sends(udp(SERVER4), SERVER4, 53), 0);
	assert_int_equal(connects(udp(SERVER6), SERVER6, 53, "[" SERVER6 "]:53"), 0);
	assert_int_equal(connects(tcp(SERVER6), SERVER6, 53, "[" SERVER6 "]:53"), 0);
	assert_int_equal(sends(udp(SERVER6), SERVER6, 53), 0);
	/* An endpoint is IPv4's, whichever way it is written. */
	assert_int_equal(connects(udp(MAPPED), MAPPED, 53, SERVER4 ":53"), 0);
	assert_int_equal(connects(tcp(MAPPED), MAPPED, 53, SERVER4 ":53"), 0);
	assert_int_equal(sends(udp(MAPPED), MAPPED, 53), 0);
}

static void no_address_is_the_loopback(void **state)
{
	(void)state;
	assert_int_equal(connects(udp("0.0.0.0"), "0.0.0.0", 53, "127.0.0.1:53"), 0);
	assert_int_equal(connects(udp("::"), "::", 53, "[::1]:53"), 0);
}

static void another_port_is_not_led(void **state)
{
	static const uint16_t ports[] = { 1, 52, 54, 853, 5353, 13568 /* 53 with its bytes turned round */, 65535 };

	(void)state;
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		assert_int_equal(connects(udp(SERVER4), SERVER4, ports[i], NULL), ENETUNREACH);
		assert_int_equal(connects(tcp(SERVER6), SERVER6, ports[i], NULL), ENETUNREACH);
		assert_int_equal(sends(udp(SERVER4), SERVER4, ports[i]), ENETUNREACH);
		assert_int_equal(sends(udp(SERVER6), SERVER6, ports[i]), ENETUNREACH);
	}
}

static void the_stub_itself_is_not_led(void **state)
{
	int fd = udp("127.0.0.54");
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, "127.0.0.54", 53);

	(void)state;
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	assert_string_equal(peer_really(fd), "127.0.0.54:53");
	close(fd);
	/* Others of that network are. */
	fd = udp("127.0.0.53");
	len = address(&sa, "127.0.0.53", 53);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	assert_string_equal(text(fd, getpeername), "127.0.0.53:53");
	assert_memory_equal(peer_really(fd), "127.0.0.1:", 10);
	close(fd);
}

static void marked_and_bound_sockets_are_not_led(void **state)
{
	const unsigned marks[] = { NTM_DNS_MARK, NTM_DNS_MARK + 1 };
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, SERVER4, 53);
	int fd;

	(void)state;
	for (int i = 0; i < 2; i++) {
		fd = udp(SERVER4);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_MARK, &marks[i], sizeof(marks[i])), 0);
		assert_int_equal(connects(fd, SERVER4, 53, NULL), i ? 0 : ENETUNREACH);
		fd = udp(SERVER6);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_MARK, &marks[i], sizeof(marks[i])), 0);
		assert_int_equal(sends(fd, SERVER6, 53), i ? 0 : ENETUNREACH);
	}
	fd = udp(SERVER4);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0); /* lo takes anything that is bound to it */
	assert_string_equal(peer_really(fd), SERVER4 ":53");
	close(fd);
}

/* Their sender's scope cannot be shown, which matters only to those who are not connected. */
static void link_local_servers_are_led_if_connected(void **state)
{
	int fd = udp(LINK_LOCAL);
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, LINK_LOCAL, 53);

	(void)state;
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	assert_string_equal(text(fd, getpeername), "[" LINK_LOCAL "]:53");
	assert_memory_equal(peer_really(fd), "[::1]:", 6);
	close(fd);
	fd = tcp(LINK_LOCAL);
	assert_int_equal(connects(fd, LINK_LOCAL, 53, "[" LINK_LOCAL "]:53"), 0);
	assert_int_not_equal(sends(udp(LINK_LOCAL), LINK_LOCAL, 53), 0);
}

/* A socket may be connected again, to somebody else. */
static void what_a_socket_asked_before_does_not_show(void **state)
{
	int fd = udp(SERVER4);
	struct sockaddr_storage sa;
	socklen_t len;

	(void)state;
	len = address(&sa, SERVER4, 53);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	len = address(&sa, "198.51.100.9", 53);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	assert_string_equal(text(fd, getpeername), "198.51.100.9:53");
	len = address(&sa, "127.0.0.1", 9);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	assert_string_equal(text(fd, getpeername), "127.0.0.1:9");
	close(fd);
}

static void other_network_namespaces_are_left_alone(void **state)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	(void)state;
	assert_true(here >= 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(lo_up(), 0);
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, NULL), ENETUNREACH);
	assert_int_equal(sends(udp(SERVER6), SERVER6, 53), ENETUNREACH);
	/* It is the socket's that counts, not the process's. */
	fd = udp(SERVER4);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	assert_int_equal(connects(fd, SERVER4, 53, NULL), ENETUNREACH);
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, SERVER4 ":53"), 0);
	close(here);
}

static void detach_and_attach_work_at_any_time(void **state)
{
	(void)state;
	ntmd_resolver_bpf_detach(bpf);
	ntmd_resolver_bpf_detach(bpf);
	assert_false(ntmd_resolver_bpf_attached(bpf));
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, NULL), ENETUNREACH);
	assert_int_equal(connects(tcp(SERVER6), SERVER6, 53, NULL), ENETUNREACH);
	assert_int_equal(ntmd_resolver_bpf_attach(bpf, why, sizeof(why)), 0);
	assert_int_equal(ntmd_resolver_bpf_attach(bpf, why, sizeof(why)), 0);
	assert_true(ntmd_resolver_bpf_attached(bpf));
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, SERVER4 ":53"), 0);
	assert_int_equal(connects(tcp(SERVER6), SERVER6, 53, "[" SERVER6 "]:53"), 0);
}

/* The stub's loop lives, however long the tests before took. */
static int beat(void **state)
{
	(void)state;
	return event_base_loop(base, EVLOOP_NONBLOCK) < 0;
}

static void sleep_ms(long ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* The last test before the end: the event loop is what lives. */
static void a_loop_that_stands_still_gets_nothing(void **state)
{
	int fd = udp(SERVER4);
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, SERVER4, 53);

	(void)state;
	sleep_ms(NTM_DNS_BEAT_MS + 10);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	sleep_ms(NTM_DNS_DEAD_MS / 2);
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, SERVER4 ":53"), 0);
	sleep_ms(NTM_DNS_DEAD_MS / 2 + 10);
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, NULL), ENETUNREACH);
	assert_int_equal(sends(udp(SERVER6), SERVER6, 53), ENETUNREACH);
	/* Those that were led go on seeing whom they asked. */
	assert_string_equal(text(fd, getpeername), SERVER4 ":53");
	close(fd);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(connects(udp(SERVER4), SERVER4, 53, SERVER4 ":53"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_way_to_port_53_is_led_and_shows_the_server, beat),
		cmocka_unit_test_setup(no_address_is_the_loopback, beat),
		cmocka_unit_test_setup(another_port_is_not_led, beat),
		cmocka_unit_test_setup(the_stub_itself_is_not_led, beat),
		cmocka_unit_test_setup(marked_and_bound_sockets_are_not_led, beat),
		cmocka_unit_test_setup(link_local_servers_are_led_if_connected, beat),
		cmocka_unit_test_setup(what_a_socket_asked_before_does_not_show, beat),
		cmocka_unit_test_setup(other_network_namespaces_are_left_alone, beat),
		cmocka_unit_test_setup(detach_and_attach_work_at_any_time, beat),
		cmocka_unit_test_setup(a_loop_that_stands_still_gets_nothing, beat),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
