/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_fd_passing.c - descriptors that are passed to ntmd: which are taken from the environment, what is refused, and in
 * which order the stub gets its sockets. A TUN that is one takes root: netns/rootless.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/ntmd.h"

#define FDS 3 /* passed ones begin here */

static char why[256];

static struct ntmd_config nothing(void)
{
	return (struct ntmd_config){ .tun_fd = -1, .netlink_fd = -1 };
}

static int local_socket(int type, bool listening)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void pass(const char *pid, const char *fds, const char *names)
{
	char own[16];

	snprintf(own, sizeof(own), "%d", (int)getpid());
	setenv("LISTEN_PID", pid ? pid : own, 1);
	setenv("LISTEN_FDS", fds, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

/* Puts it where passed descriptors are. */
static void place(int fd, int at)
{
	assert_int_equal(dup2(fd, at), at);
	if (fd != at)
		close(fd);
}

static void refuses(struct ntmd_config config, const char *reason)
{
	memset(why, 0, sizeof(why));
	assert_int_equal(ntmd_fd_passing_take(&config, why, sizeof(why)), -EINVAL);
	if (!strstr(why, reason))
		fail_msg("\"%s\" does not say: %s", why, reason);
}

static void test_none(void **state)
{
	struct ntmd_config config = nothing();

	(void)state;
	assert_int_equal(ntmd_fd_passing_take(&config, why, sizeof(why)), 0);
	assert_int_equal(config.tun_fd, -1);
	assert_int_equal(config.dns_fds, 0);
}

static void test_others(void **state)
{
	struct ntmd_config config = nothing();

	(void)state;
	pass("1", "1", "tun"); /* for the process that started us */
	assert_int_equal(ntmd_fd_passing_take(&config, why, sizeof(why)), 0);
	assert_int_equal(config.tun_fd, -1);
	assert_non_null(getenv("LISTEN_FDS"));
}

static void test_dns(void **state)
{
	struct ntmd_config config = nothing();
	int type;
	socklen_t len = sizeof(type);

	(void)state;
	place(local_socket(SOCK_STREAM, true), FDS);
	place(local_socket(SOCK_DGRAM, false), FDS + 1);
	pass(NULL, "2", "dns:dns");
	assert_int_equal(ntmd_fd_passing_take(&config, why, sizeof(why)), 0);
	assert_null(getenv("LISTEN_FDS"));
	assert_int_equal(config.dns_fds, 2);
	assert_int_equal(getsockopt(config.dns_fd[0], SOL_SOCKET, SO_TYPE, &type, &len), 0);
	assert_int_equal(type, SOCK_DGRAM); /* UDP goes first, however they came */
	assert_int_equal(config.dns_fd[1], FDS);
	assert_true(config.dns_listen.port != 0);
	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(config.dns_fd[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(config.dns_fd[i], F_GETFD) & FD_CLOEXEC);
		close(config.dns_fd[i]);
	}
}

static void test_names(void **state)
{
	(void)state;
	pass(NULL, "1", "varlink");
	refuses(nothing(), "another name");
	pass(NULL, "3", "dns:dns:dns");
	refuses(nothing(), "too often");
	pass(NULL, "2", "tun:tun");
	refuses(nothing(), "too often");
	pass(NULL, "1", "");
	refuses(nothing(), "another name");
	pass(NULL, "3", "dns:dns"); /* one without a name */
	refuses(nothing(), "another name");
	pass(NULL, "17", "tun");
	refuses(nothing(), "at most 16");
	pass(NULL, "-1", "tun");
	refuses(nothing(), "at most 16");
}

static void test_kinds(void **state)
{
	struct ntmd_config config = nothing();
	int udp = local_socket(SOCK_DGRAM, false), udp2 = local_socket(SOCK_DGRAM, false);
	int tcp = local_socket(SOCK_STREAM, false), null = open("/dev/null", O_RDWR);
	int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	(void)state;
	unsetenv("LISTEN_PID");
	config.tun_fd = 999;
	refuses(config, "descriptor 999 is not open");
	config.tun_fd = null;
	refuses(config, "is no TUN");
	config.tun_fd = udp;
	refuses(config, "is no TUN");
	config = nothing();
	config.netlink_fd = netlink;
	refuses(config, "with a tun-fd only");
	config = nothing();
	config.dns_fd[0] = udp;
	config.dns_fds = 1;
	refuses(config, "expected two sockets");
	config.dns_fd[1] = udp2;
	config.dns_fds = 2;
	refuses(config, "expected two sockets");
	config.dns_fd[1] = tcp; /* it does not listen */
	refuses(config, "listening TCP");
	config.dns_fd[1] = netlink;
	refuses(config, "listening TCP");
	config.dns_fd[1] = null;
	refuses(config, "listening TCP");
	close(udp);
	close(udp2);
	close(tcp);
	close(null);
	close(netlink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),  cmocka_unit_test(test_others), cmocka_unit_test(test_dns),
		cmocka_unit_test(test_names), cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests_name("fd_passing", tests, NULL, NULL);
}
