/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * interface.c - whose the device is, and who gives it addresses and routes. One that ntm0.c made is ours. A
 * TUN that was passed to us (fd_passing.c) lies in another network namespace or belongs to another program:
 * with a netlink socket of that namespace we set it up through that, without one its owner does, from what
 * `ntmctl status` says.
 *
 * For `ntmctl run` neither needs a capability: who made a user namespace has all of them in it, also from
 * outside, as long as he is in its parent (user_namespaces(7)); and the socket was opened inside.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "endpoint.h"
#include "log.h"
#include "ntm0.h"
#include "ntmd.h"

/* Its index in the namespace of the netlink socket; 0: it is not there. */
static unsigned passed_index(const struct ntmd *ntmd)
{
	struct ifreq request = { 0 };

	if (ioctl(ntmd->config.tun_fd, TUNGETIFF, &request) < 0 ||
	    ioctl(ntmd->config.netlink_fd, SIOCGIFINDEX, &request) < 0)
		return 0;
	return (unsigned)request.ifr_ifindex;
}

/* They may come later, as a modem's do. */
static void missing_tell(const struct ntmd *ntmd)
{
	for (unsigned i = 0; i < ntmd->config.interfaces; i++)
		if (!if_nametoindex(ntmd->config.interface[i]))
			ntm_warn(
				"[datapath] interface = %s: there is no such interface now; it is used when it appears",
				ntmd->config.interface[i]);
}

int ntmd_interface_open(struct ntmd *ntmd)
{
	struct ntmd_engine_offloads offloads;
	unsigned index;
	int err;

	missing_tell(ntmd);
	if (ntmd->config.tun_fd < 0) {
		ntmd->interface.index = ntmd_engine_ifindex(ntmd->engine);
		return 0;
	}
	if (ntmd->config.netlink_fd < 0) {
		ntm_notice("a TUN was passed: who made it must set its addresses, routes and MTU");
		return 0;
	}
	index = passed_index(ntmd);
	if (!index) {
		ntm_error(
			"the TUN (tun-fd) is not in the network namespace of the netlink socket (netlink-fd)");
		return -ENODEV;
	}
	ntm_netlink_setup_by(ntmd->config.netlink_fd);
	ntmd_engine_offloads(ntmd->engine, &offloads);
	err = ntmd_ntm0_link_up(index, offloads.tso, ntmd->mtu);
	if (err) {
		ntm_error("cannot bring the passed TUN up with an MTU of %u: %s", ntmd->mtu, strerror(-err));
		return err;
	}
	ntmd->interface.passed = index;
	return 0;
}

unsigned ntmd_interface_index(const struct ntmd *ntmd)
{
	return ntmd->interface.index;
}

static struct ntm_addr pool_of(const struct ntm_addr *vip, unsigned prefix)
{
	unsigned from = ntm_addr_is4(vip) ? 96 : 0;
	struct ntm_addr net = *vip;

	for (unsigned bit = from + prefix; bit < 128; bit++)
		net.b[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	return net;
}

static int family_configure(struct ntmd *ntmd, int family, const struct ntm_addr *vip, unsigned prefix)
{
	unsigned width = family ? 128 : 32, index = ntmd->interface.passed;
	struct ntm_addr *old = &ntmd->interface.vip[family], net;
	unsigned *old_prefix = &ntmd->interface.prefix[family];
	int err;

	if (!ntm_addr_is_none(old) && (!ntm_addr_equal(old, vip) || *old_prefix != prefix)) {
		net = pool_of(old, *old_prefix);
		ntm_netlink_route_del(index, &net, *old_prefix); /* gone already: as well */
		ntm_netlink_address_del(index, old, width);
		memset(old, 0, sizeof(*old));
	}
	if (ntm_addr_is_none(vip))
		return 0;
	/* A pool that is everything would be no pool. */
	if (ntm_addr_is4(vip) != !family || !prefix || prefix > width)
		return -EINVAL;
	net = pool_of(vip, prefix);
	err = ntm_netlink_address_add(index, vip, width);
	if (!err)
		err = ntm_netlink_route_add(index, &net, prefix, vip);
	if (err)
		return err;
	*old = *vip;
	*old_prefix = prefix;
	return 0;
}

int ntmd_interface_configure(struct ntmd *ntmd)
{
	const struct ntm_addr *vip4 = &ntmd->registration.vip4, *vip6 = &ntmd->registration.vip6;
	unsigned prefix4 = ntmd->registration.vip4_prefix, prefix6 = ntmd->registration.vip6_prefix;
	int err4, err6;

	if (ntmd->config.tun_fd < 0)
		return ntmd_ntm0_configure(ntmd->interface.index, vip4, prefix4, vip6, prefix6);
	if (!ntmd->interface.passed)
		return 0;
	err4 = family_configure(ntmd, 0, vip4, prefix4);
	err6 = family_configure(ntmd, 1, vip6, prefix6);
	return err4 ? err4 : err6;
}

/* The device where we set it up ourselves; 0: its owner does. */
static unsigned managed_index(const struct ntmd *ntmd)
{
	return ntmd->config.tun_fd < 0 ? ntmd->interface.index : ntmd->interface.passed;
}

int ntmd_interface_route_del(struct ntmd *ntmd, const struct ntm_addr *vip)
{
	unsigned index = managed_index(ntmd);

	return index && !ntm_addr_is_none(vip)
		       ? ntm_netlink_route_del(index, vip, ntm_addr_is4(vip) ? 32 : 128)
		       : 0;
}

int ntmd_interface_route_add(struct ntmd *ntmd, const struct ntm_addr *vip, const struct ntm_addr *source)
{
	unsigned index = managed_index(ntmd);

	return index ? ntm_netlink_route_add(index, vip, ntm_addr_is4(vip) ? 32 : 128, source) : 0;
}
