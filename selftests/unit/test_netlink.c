/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_netlink.c - lib/netlink_watch.c and lib/netlink_setup.c on a TUN device in a network namespace of the
 * test's own, made without root by a user namespace. Skipped where the system refuses either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <linux/if_addr.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "endpoint.h"
#include "netlink.h"
#include "udp.h"

static const char *missing; /* why the tests are skipped */
static int tun = -1;
static unsigned device;
static struct event_base *base;
static struct ntm_netlink_watch *watch;

static struct seen {
	int links, up, addresses, addresses_gone, routes, routes_gone, defaults, lost;
	struct ntm_netlink_address address;
} seen;

static void on_event(void *ctx, const struct ntm_netlink_event *event)
{
	assert_ptr_equal(ctx, &seen);
	if (!event) {
		seen.lost++;
		return;
	}
	if (event->ifindex != device)
		return;
	switch (event->what) {
	case NTM_NETLINK_LINK:
		seen.links++;
		seen.up += event->link_up;
		break;
	case NTM_NETLINK_ADDRESS:
		seen.addresses += !event->removed;
		seen.addresses_gone += event->removed;
		if (!event->address.scope) /* not the link-local one that the kernel makes */
			seen.address = event->address;
		break;
	case NTM_NETLINK_ROUTE:
		seen.routes += !event->removed;
		seen.routes_gone += event->removed;
		seen.defaults += event->is_default;
		break;
	}
}

static void look(void)
{
	memset(&seen, 0, sizeof(seen));
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static int make_namespace(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		missing = "no network namespace of our own (unprivileged user namespaces are off)";
		return 0;
	}
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tun < 0)
		missing = "no TUN device (/dev/net/tun)";
	return 0;
}

static int close_tun(void **state)
{
	(void)state;
	if (tun >= 0)
		close(tun);
	return 0;
}

/* A fresh device for each test, and a watch that has seen nothing yet. */
static int set_up(void **state)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "ntmtest0"};

	(void)state;
	if (missing)
		return 0;
	close(tun);
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &ifr) < 0)
		return -1;
	device = if_nametoindex("ntmtest0");
	base = event_base_new();
	return ntm_netlink_watch_open(&watch, base, on_event, &seen);
}

static int tear_down(void **state)
{
	(void)state;
	if (missing)
		return 0;
	ntm_netlink_watch_close(watch);
	event_base_free(base);
	return 0;
}

static void need_namespace(void)
{
	if (missing) {
		print_message("skipped: %s\n", missing);
		skip();
	}
}

static struct ntm_addr addr_of(const char *text)
{
	struct ntm_addr addr;

	assert_int_equal(ntm_addr_parse(&addr, text), 0);
	return addr;
}

struct wanted {
	struct ntm_addr addr;
	int found;
	struct ntm_netlink_address as;
};

static void find_address(void *ctx, const struct ntm_netlink_address *address)
{
	struct wanted *wanted = ctx;

	if (address->ifindex == device && ntm_addr_equal(&address->addr, &wanted->addr)) {
		wanted->found++;
		wanted->as = *address;
	}
}

static void going_up_is_seen_and_the_mtu_set(void **state)
{
	struct ifreq ifr = {.ifr_name = "ntmtest0"};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)state;
	need_namespace();
	assert_int_equal(ntm_netlink_link_up(device, 1340), 0);
	look();
	assert_true(seen.links > 0 && seen.up > 0);
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &ifr), 0);
	assert_int_equal(ifr.ifr_mtu, 1340);
	assert_int_equal(ntm_netlink_link_up(device, 0), 0);
	assert_int_equal(ntm_netlink_link_mtu(device, 1400), 0);
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &ifr), 0);
	assert_int_equal(ifr.ifr_mtu, 1400);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	assert_true(ifr.ifr_flags & IFF_UP);
	assert_int_equal(ntm_netlink_link_up(device + 100, 0), -ENODEV);
	assert_int_equal(ntm_netlink_link_mtu(0, 1400), -ENODEV);
	close(fd);
}

static void addresses_come_and_go_and_twice_is_no_error(void **state)
{
	static const char *const texts[] = {"198.18.0.5", "fd4e:544d:1::5"};
	static const unsigned prefix[] = {32, 128};

	(void)state;
	need_namespace();
	assert_int_equal(ntm_netlink_link_up(device, 1340), 0);
	for (int i = 0; i < 2; i++) {
		struct wanted wanted = {.addr = addr_of(texts[i])};

		look();
		assert_int_equal(ntm_netlink_address_add(device, &wanted.addr, prefix[i]), 0);
		assert_int_equal(ntm_netlink_address_add(device, &wanted.addr, prefix[i]), 0);
		look();
		assert_true(seen.addresses > 0);
		assert_true(ntm_addr_equal(&seen.address.addr, &wanted.addr));
		assert_int_equal(seen.address.prefix, prefix[i]);
		assert_int_equal(ntm_netlink_addresses(find_address, &wanted), 0);
		assert_int_equal(wanted.found, 1);
		assert_int_equal(wanted.as.prefix, prefix[i]);
		assert_int_equal(wanted.as.flags & IFA_F_TENTATIVE, 0);
		assert_int_equal(!!(wanted.as.flags & IFA_F_NODAD), i);
		assert_int_equal(ntm_netlink_address_del(device, &wanted.addr, prefix[i]), 0);
		assert_int_equal(ntm_netlink_address_del(device, &wanted.addr, prefix[i]), 0);
		look();
		assert_int_equal(seen.addresses_gone, 1);
		wanted.found = 0;
		assert_int_equal(ntm_netlink_addresses(find_address, &wanted), 0);
		assert_int_equal(wanted.found, 0);
		assert_int_equal(ntm_netlink_address_add(device, &wanted.addr, prefix[i] + 1), -EINVAL);
	}
}

static void more_addresses_than_one_message_holds_are_listed(void **state)
{
	int found = 0;

	(void)state;
	need_namespace();
	assert_int_equal(ntm_netlink_link_up(device, 1340), 0);
	for (int i = 0; i < 600; i++) {
		struct ntm_addr addr = {{0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};

		assert_int_equal(ntm_netlink_address_add(device, &addr, 128), 0);
	}
	for (int i = 0; i < 600; i += 150) {
		struct wanted wanted = {.addr = {{0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}}};

		assert_int_equal(ntm_netlink_addresses(find_address, &wanted), 0);
		found += wanted.found;
	}
	assert_int_equal(found, 4);
}

/* One that is there all the time is in every list, or the next: which entry a change costs is chance. */
static void addresses_that_change_all_the_time_are_listed_still(void **state)
{
	unsigned unseen = 0;
	pid_t changes;

	(void)state;
	need_namespace();
	assert_int_equal(ntm_netlink_link_up(device, 1340), 0);
	for (int i = 0; i < 600; i++) {
		struct ntm_addr addr = {{0xfd, [13] = 1, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};

		assert_int_equal(ntm_netlink_address_add(device, &addr, 128), 0);
	}
	changes = fork();
	if (!changes) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint8_t i = 0;; i++) {
			struct ntm_addr addr = {{0xfd, [13] = 2, [15] = i}};

			ntm_netlink_address_add(device, &addr, 128);
			ntm_netlink_address_del(device, &addr, 128);
		}
	}
	assert_true(changes > 0);
	for (int i = 0; i < 200; i++) {
		struct wanted wanted = {.addr = {{0xfd, [13] = 1, [15] = (uint8_t)i}}};

		assert_int_equal(ntm_netlink_addresses(find_address, &wanted), 0);
		unseen += !wanted.found;
	}
	kill(changes, SIGKILL);
	waitpid(changes, NULL, 0);
	assert_in_range(unseen, 0, 20);
}

static void a_route_leads_to_the_device_with_its_source(void **state)
{
	static const char *const own[] = {"198.18.0.5", "fd4e:544d:1::5"};
	static const char *const net[] = {"198.18.0.0", "fd4e:544d:1::"};
	static const char *const far[] = {"198.18.9.9", "fd4e:544d:1::9"};
	static const unsigned prefix[] = {16, 64};

	(void)state;
	need_namespace();
	assert_int_equal(ntm_netlink_link_up(device, 1340), 0);
	for (int i = 0; i < 2; i++) {
		struct ntm_addr source = addr_of(own[i]), dst = addr_of(net[i]), local, none = {{0}};
		struct ntm_endpoint remote = {.addr = addr_of(far[i]), .port = 9};
		unsigned ifindex = 0, mtu = 0, bits = 0;

		assert_true(ntm_netlink_route_get(&remote.addr, &ifindex, &mtu) < 0);
		assert_true(ntm_netlink_route_match(&remote.addr, &ifindex, &bits) < 0);
		assert_true(ntm_udp_source(&remote, &local) < 0);
		assert_int_equal(ifindex, 0);
		assert_int_equal(ntm_netlink_address_add(device, &source, i ? 128 : 32), 0);
		assert_int_equal(ntm_netlink_route_add(device, &dst, prefix[i], &none), 0);
		look();
		assert_int_equal(ntm_netlink_route_add(device, &dst, prefix[i], &source), 0);
		look();
		assert_int_equal(seen.routes, 1);
		assert_int_equal(seen.defaults, 0);
		assert_int_equal(ntm_netlink_route_add(device, &dst, prefix[i], &source), 0);
		assert_int_equal(ntm_netlink_route_get(&remote.addr, &ifindex, &mtu), 0);
		assert_int_equal(ifindex, device);
		assert_int_equal(mtu, 1340);
		assert_int_equal(ntm_netlink_route_match(&remote.addr, &ifindex, &bits), 0);
		assert_int_equal(ifindex, device);
		assert_int_equal(bits, prefix[i]);
		assert_int_equal(ntm_udp_source(&remote, &local), 0);
		assert_true(ntm_addr_equal(&local, &source));
		look();
		assert_int_equal(ntm_netlink_route_del(device, &dst, prefix[i]), 0);
		look();
		assert_int_equal(seen.routes_gone, 1);
		assert_int_equal(ntm_netlink_route_del(device, &dst, prefix[i]), 0);
		assert_true(ntm_netlink_route_get(&remote.addr, &ifindex, &mtu) < 0);
	}
}

static void default_routes_are_told_apart(void **state)
{
	struct ntm_addr any4 = addr_of("0.0.0.0"), any6 = addr_of("::"), bad = addr_of("::1");

	(void)state;
	need_namespace();
	assert_int_equal(ntm_netlink_link_up(device, 1340), 0);
	look();
	assert_int_equal(ntm_netlink_route_add(device, &any4, 0, NULL), 0);
	look();
	assert_int_equal(seen.defaults, 1);
	assert_int_equal(ntm_netlink_route_add(device, &any6, 0, NULL), 0);
	look();
	assert_int_equal(seen.defaults, 1);
	assert_int_equal(ntm_netlink_route_add(device, &any4, 33, NULL), -EINVAL);
	assert_int_equal(ntm_netlink_route_add(device, &any4, 0, &bad), -EINVAL);
	assert_int_equal(ntm_netlink_route_del(device, &any4, 0), 0);
	look();
	assert_int_equal(seen.defaults, 1);
	assert_int_equal(seen.routes_gone, 1);
}

static void lost_events_are_told(void **state)
{
	struct ntm_addr addr = addr_of("198.18.0.5");

	(void)state;
	need_namespace();
	assert_int_equal(ntm_netlink_link_up(device, 1340), 0);
	look();
	assert_int_equal(seen.lost, 0);
	for (int i = 0; i < 4000; i++) {
		assert_int_equal(ntm_netlink_address_add(device, &addr, 32), 0);
		assert_int_equal(ntm_netlink_address_del(device, &addr, 32), 0);
	}
	memset(&seen, 0, sizeof(seen));
	for (int i = 0; i < 2000; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(seen.lost > 0);
	assert_true(seen.addresses < 4000);
	/* And it goes on. */
	assert_int_equal(ntm_netlink_address_add(device, &addr, 32), 0);
	look();
	assert_true(seen.addresses > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(going_up_is_seen_and_the_mtu_set),
		TEST(addresses_come_and_go_and_twice_is_no_error),
		TEST(more_addresses_than_one_message_holds_are_listed),
		TEST(addresses_that_change_all_the_time_are_listed_still),
		TEST(a_route_leads_to_the_device_with_its_source),
		TEST(default_routes_are_told_apart),
		TEST(lost_events_are_told),
	};

	return cmocka_run_group_tests_name("netlink", tests, make_namespace, close_tun);
}
