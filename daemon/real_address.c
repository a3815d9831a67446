/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * real_address.c - RIP4 and RIP6: the addresses of the interfaces packets can leave by. Read again at each change
 * (ifmon.c), registered with the DC (registration.c).
 */
#include <linux/if_addr.h>
#include <net/if.h>
#include <string.h>

#include "endpoint.h"
#include "path.h"

#define INTERFACES_MAX 32

struct reading {
	struct ntmd *ntmd;
	unsigned ifindex[INTERFACES_MAX]; /* those with a default route */
	int interfaces; /* 0: none has one, and all will do */
};

static bool wanted_interface(const struct reading *reading, unsigned ifindex)
{
	const struct ntmd *ntmd = reading->ntmd;
	char name[IF_NAMESIZE];

	if (ifindex == ntmd_interface_index(ntmd))
		return false;
	if (!ntmd->config.interfaces) {
		for (int i = 0; i < reading->interfaces; i++)
			if (reading->ifindex[i] == ifindex)
				return true;
		return reading->interfaces <= 0;
	}
	if (!if_indextoname(ifindex, name))
		return false;
	for (unsigned i = 0; i < ntmd->config.interfaces; i++)
		if (!strcmp(ntmd->config.interface[i], name))
			return true;
	return false;
}

/* Such as that of another node on this machine: no way to us, but through a tunnel. */
static bool is_virtual(const struct ntmd *ntmd, const struct ntm_addr *addr)
{
	bool is4 = ntm_addr_is4(addr);
	const struct ntm_addr *vip = is4 ? &ntmd->registration.vip4 : &ntmd->registration.vip6;
	unsigned bits = is4 ? ntmd->registration.vip4_prefix + 96u : ntmd->registration.vip6_prefix;

	return !ntm_addr_is_none(vip) && ntm_addr_in_prefix(addr, vip, bits);
}

static void take(void *ctx, const struct ntm_netlink_address *address)
{
	struct reading *reading = ctx;
	struct ntmd *ntmd = reading->ntmd;

	if (ntmd->real.count == NTM_REAL_ADDRS_MAX || !ntm_addr_is_usable(&address->addr) ||
	    !wanted_interface(reading, address->ifindex))
		return;
	/* Tentative ones cannot be used; optimistic ones can (RFC 4429), that is what they are for. */
	if ((address->flags & IFA_F_TENTATIVE) && !(address->flags & IFA_F_OPTIMISTIC))
		return;
	if (address->flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED))
		return;
	if (is_virtual(ntmd, &address->addr))
		return;
	ntmd->real.addr[ntmd->real.count++] = address->addr;
}

void ntmd_real_address_read(struct ntmd *ntmd)
{
	struct reading reading = { .ntmd = ntmd };

	reading.interfaces = ntm_netlink_default_interfaces(reading.ifindex, INTERFACES_MAX);
	ntmd->real.count = 0;
	ntm_netlink_addresses(take, &reading);
}

bool ntmd_real_address_is_own(const struct ntmd *ntmd, const struct ntm_addr *addr)
{
	for (unsigned i = 0; i < ntmd->real.count; i++)
		if (ntm_addr_equal(&ntmd->real.addr[i], addr))
			return true;
	return false;
}
