/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ntm0.c - the TUN device: an application's packet to a virtual address comes out of it to user_egress.c, and
 * what user_ingress.c opened goes into it. Addresses and routes by lib/netlink.h.
 *
 * The device is persistent: applications keep their sockets and routes while ntmd is restarted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config.h"
#include "daemon/ntm0.h"
#include "daemon/vnet.h"
#include "endpoint.h"
#include "netlink.h"

#define TUN_PATH "/dev/net/tun"
/* The largest super-packet: with headers, tags and 45 segments still one UDP datagram's worth. */
#define GSO_MAX 62000
#define QUEUE 1000 /* packets waiting for us */
#define OLD_MAX 32 /* addresses of earlier times taken away at once */

/* ---- the device */

/* A descriptor or -errno. */
static int tun_open(char *why, size_t why_len)
{
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC), err;

	if (fd >= 0)
		return fd;
	err = -errno;
	if (err == -ENOENT || err == -ENXIO || err == -ENODEV)
		snprintf(why, why_len, "%s is missing (%s): load the kernel's TUN driver with `modprobe tun`",
			 TUN_PATH, strerror(-err));
	else if (err == -EACCES || err == -EPERM)
		snprintf(why, why_len, "no permission to open %s: start ntmd as root", TUN_PATH);
	else
		snprintf(why, why_len, "cannot open %s: %s", TUN_PATH, strerror(-err));
	return err;
}

static void attach_explain(const char *device, int err, char *why, size_t why_len)
{
	switch (err) {
	case -EBUSY:
		snprintf(why, why_len, "another process holds the device %s: is ntmd running already?",
			 device);
		break;
	case -EPERM:
		snprintf(why, why_len,
			 "no permission to make the device %s: ntmd needs root or CAP_NET_ADMIN", device);
		break;
	case -EINVAL:
		snprintf(
			why, why_len,
			"%s exists and is not a TUN device that ntmd can use: set another [node] device, or, if "
			"nobody needs it, remove it with `ip link del %s`",
			device, device);
		break;
	default:
		snprintf(why, why_len, "cannot make the device %s: %s", device, strerror(-err));
	}
}

static int queue_attach(int fd, const char *device, bool queues)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};

	if (queues)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(request.ifr_name, device, strlen(device));
	return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
}

int ntmd_ntm0_queue_open(const char *device)
{
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = queue_attach(fd, device, true);
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int tun_attach(int fd, const char *device, bool queues)
{
	int err = queue_attach(fd, device, queues);

	/* The kernel refuses the other kind, which an earlier ntmd may have made. */
	if (err == -EINVAL)
		err = queue_attach(fd, device, !queues);
	if (err)
		return err;
	/* It outlives us, so that a new ntmd takes it over with addresses, routes and the sockets bound to
	 * them. */
	if (ioctl(fd, TUNSETPERSIST, 1) < 0)
		return -errno;
	return 0;
}

/* Each step down is for an older kernel: USO came with Linux 6.2. */
static void offloads_set(struct ntmd_ntm0 *ntm0)
{
	static const struct {
		unsigned long flags;
		bool tso, uso;
	} step[] = {
		{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6, true, true},
		{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, true, false},
		{TUN_F_CSUM, false, false},
	};

	ntm0->tso = ntm0->uso = false;
	for (size_t i = 0; ntm0->vnet && i < sizeof(step) / sizeof(step[0]); i++) {
		if (ioctl(ntm0->fd, TUNSETOFFLOAD, step[i].flags) < 0)
			continue;
		ntm0->tso = step[i].tso;
		ntm0->uso = step[i].uso;
		return;
	}
}

void ntmd_ntm0_adopt(struct ntmd_ntm0 *ret_ntm0, int fd)
{
	struct ntmd_ntm0 ntm0 = {.fd = fd};
	struct ifreq request = {0};
	int len = NTMD_VNET_LEN;

	if (!ioctl(fd, TUNGETIFF, &request)) {
		request.ifr_name[IFNAMSIZ - 1] = 0;
		ntm0.ifindex = if_nametoindex(request.ifr_name);
		ntm0.queues = request.ifr_flags & IFF_MULTI_QUEUE;
		ntm0.vnet = (request.ifr_flags & IFF_VNET_HDR) && !ioctl(fd, TUNSETVNETHDRSZ, &len);
		offloads_set(&ntm0);
	}
	*ret_ntm0 = ntm0;
}

int ntmd_ntm0_link_up(unsigned ifindex, bool tso, unsigned mtu)
{
	int err = ifindex ? ntm_netlink_link_up(ifindex, mtu) : -ENODEV;

	if (err)
		return err;
	/* Without these it is slower, no more. */
	ntm_netlink_link_queue(ifindex, QUEUE);
	if (tso)
		ntm_netlink_link_gso_max(ifindex, GSO_MAX);
	return 0;
}

int ntmd_ntm0_open(struct ntmd_ntm0 *ret_ntm0, const char *device, unsigned mtu, bool queues, char *ret_why,
		   size_t why_len)
{
	struct ntmd_ntm0 ntm0;
	int fd, err;

	if (!ntm_config_is_device(device)) {
		snprintf(ret_why, why_len,
			 "\"%s\" is no name for a device: 1 to %d letters, digits, '-', '_', '.'", device,
			 IFNAMSIZ - 1);
		return -EINVAL;
	}
	fd = tun_open(ret_why, why_len);
	if (fd < 0)
		return fd;
	err = tun_attach(fd, device, queues);
	if (err) {
		attach_explain(device, err, ret_why, why_len);
		goto fail;
	}
	ntmd_ntm0_adopt(&ntm0, fd);
	err = ntmd_ntm0_link_up(ntm0.ifindex, ntm0.tso, mtu);
	if (err) {
		snprintf(ret_why, why_len, "cannot bring the device %s up with an MTU of %u: %s", device, mtu,
			 strerror(-err));
		goto fail;
	}
	*ret_ntm0 = ntm0;
	return 0;
fail:
	close(fd);
	return err;
}

/* ---- addresses and routes */

/* What this process set, by family (0: IPv4): the pool's route must go when the pool changes. There is one
 * device. */
static struct {
	struct ntm_addr net;
	unsigned prefix; /* 0: none */
} pools[2];

struct old_search {
	unsigned ifindex, count;
	const struct ntm_addr *keep[2];
	struct ntm_netlink_address old[OLD_MAX];
};

static void old_found(void *ctx, const struct ntm_netlink_address *address)
{
	struct old_search *search = ctx;

	if (address->ifindex != search->ifindex || address->scope == RT_SCOPE_LINK ||
	    search->count == OLD_MAX)
		return;
	for (int i = 0; i < 2;
	     i++) /* the right address with another prefix length would shadow the pool's route */
		if (ntm_addr_equal(&address->addr, search->keep[i]) && address->prefix == (i ? 128u : 32u))
			return;
	search->old[search->count++] = *address;
}

static int old_remove(unsigned ifindex, const struct ntm_addr *vip4, const struct ntm_addr *vip6)
{
	struct old_search search = {.ifindex = ifindex, .keep = {vip4, vip6}};
	int err = ntm_netlink_addresses(old_found, &search);

	for (unsigned i = 0; i < search.count; i++) {
		int failed = ntm_netlink_address_del(ifindex, &search.old[i].addr, search.old[i].prefix);

		if (failed && failed != -EADDRNOTAVAIL)
			err = failed;
	}
	return err;
}

/* The first `bits` of an address of the family that has its bits from `from` on, the rest zero. */
static struct ntm_addr masked(const struct ntm_addr *addr, unsigned from, unsigned bits)
{
	struct ntm_addr net = *addr;

	for (unsigned bit = from + bits; bit < 128; bit++)
		net.b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return net;
}

static int family_configure(unsigned ifindex, int family, const struct ntm_addr *vip, unsigned prefix)
{
	unsigned width = family ? 128 : 32;
	struct ntm_addr net = masked(vip, 128 - width, prefix);
	int err;

	if (ntm_addr_is_none(vip))
		prefix = 0;
	if (pools[family].prefix &&
	    (pools[family].prefix != prefix || !ntm_addr_equal(&pools[family].net, &net))) {
		ntm_netlink_route_del(ifindex, &pools[family].net,
				      pools[family].prefix); /* gone already: as well */
		pools[family].prefix = 0;
	}
	if (!prefix)
		return 0;
	err = ntm_netlink_address_add(ifindex, vip, width);
	if (err && err != -EEXIST)
		return err;
	err = ntm_netlink_route_add(ifindex, &net, prefix, vip);
	if (err && err != -EEXIST)
		return err;
	pools[family].net = net;
	pools[family].prefix = prefix;
	return 0;
}

int ntmd_ntm0_configure(unsigned ifindex, const struct ntm_addr *vip4, unsigned prefix4,
			const struct ntm_addr *vip6, unsigned prefix6)
{
	int err, err4, err6;

	/* A pool that is the whole Internet would take every packet of the host. */
	if ((!ntm_addr_is_none(vip4) && (!ntm_addr_is4(vip4) || !prefix4 || prefix4 > 32)) ||
	    (!ntm_addr_is_none(vip6) && (ntm_addr_is4(vip6) || !prefix6 || prefix6 > 128)))
		return -EINVAL;
	err = old_remove(ifindex, vip4, vip6);
	err4 = family_configure(ifindex, 0, vip4, prefix4);
	err6 = family_configure(ifindex, 1, vip6, prefix6);
	return err4 ? err4 : err6 ? err6 : err;
}
