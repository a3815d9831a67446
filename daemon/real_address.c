/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * real_address.c - the networks this node is in: interfaces packets can leave by, which of them is preferred,
 * and their addresses, RIP4 and RIP6. Read again at each change (ifmon.c); those of the preferred networks
 * are registered with the DC (registration.c), and route.c makes a way of each network.
 *
 * Preferred is the interface with the least metric: that of its default routes, or what [interface "NAME"]
 * metric says.
 */
#include <linux/if_addr.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "path.h"

#define DEFAULTS_MAX 64

/* Whether the configuration lets packets leave by it. */
static bool is_wanted(const struct ntmd *ntmd, const char *name)
{
	for (unsigned i = 0; i < ntmd->config.interfaces; i++)
		if (!strcmp(ntmd->config.interface[i], name))
			return true;
	return !ntmd->config.interfaces;
}

static void metric_override(const struct ntmd *ntmd, struct ntmd_network *network)
{
	for (unsigned i = 0; i < ntmd->config.metrics; i++)
		if (!strcmp(ntmd->config.metric[i].name, network->name))
			network->metric = ntmd->config.metric[i].metric;
}

static struct ntmd_network *network_get(struct ntmd *ntmd, unsigned ifindex)
{
	struct ntmd_network *network = (struct ntmd_network *)ntmd_network_find(ntmd, ifindex);
	char name[IF_NAMESIZE];

	if (network)
		return network;
	if (ntmd->real.networks == NTMD_NETWORKS_MAX || ifindex == ntmd_interface_index(ntmd) ||
	    !if_indextoname(ifindex, name) || !is_wanted(ntmd, name))
		return NULL;
	network = &ntmd->real.network[ntmd->real.networks++];
	memset(network, 0, sizeof(*network));
	network->ifindex = ifindex;
	network->metric = UINT32_MAX;
	strcpy(network->name, name);
	return network;
}

static int by_metric(const void *a, const void *b)
{
	const struct ntmd_network *x = a, *y = b;

	if (x->metric != y->metric)
		return x->metric < y->metric ? -1 : 1;
	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

static void networks_read(struct ntmd *ntmd)
{
	struct ntm_netlink_default list[DEFAULTS_MAX];
	int count = ntm_netlink_defaults(list, DEFAULTS_MAX);

	ntmd->real.networks = 0;
	for (int i = 0; i < count; i++) {
		struct ntmd_network *network = network_get(ntmd, list[i].ifindex);

		if (!network)
			continue;
		network->has[!list[i].is4] = true;
		network->down = network->down || list[i].down;
		if (list[i].metric < network->metric)
			network->metric = list[i].metric;
	}
	for (unsigned i = 0; i < ntmd->real.networks; i++)
		metric_override(ntmd, &ntmd->real.network[i]);
	qsort(ntmd->real.network, ntmd->real.networks, sizeof(ntmd->real.network[0]), by_metric);
}

const struct ntmd_network *ntmd_network_find(const struct ntmd *ntmd, unsigned ifindex)
{
	for (unsigned i = 0; i < ntmd->real.networks; i++)
		if (ntmd->real.network[i].ifindex == ifindex)
			return &ntmd->real.network[i];
	return NULL;
}

/* Where no interface has a default route, all will do; named ones do without one. */
static bool is_wanted_interface(const struct ntmd *ntmd, unsigned ifindex)
{
	char name[IF_NAMESIZE];

	if (ntmd_network_find(ntmd, ifindex))
		return true;
	if (ifindex == ntmd_interface_index(ntmd) || (!ntmd->config.interfaces && ntmd->real.networks))
		return false;
	return if_indextoname(ifindex, name) && is_wanted(ntmd, name);
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
	struct ntmd *ntmd = ctx;

	if (ntmd->real.count == NTM_REAL_ADDRS_MAX || !ntm_addr_is_usable(&address->addr) ||
	    !is_wanted_interface(ntmd, address->ifindex))
		return;
	/* Tentative ones cannot be used; optimistic ones can (RFC 4429), that is what they are for. */
	if ((address->flags & IFA_F_TENTATIVE) && !(address->flags & IFA_F_OPTIMISTIC))
		return;
	if (address->flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED))
		return;
	if (is_virtual(ntmd, &address->addr))
		return;
	ntmd->real.ifindex[ntmd->real.count] = address->ifindex;
	ntmd->real.addr[ntmd->real.count++] = address->addr;
}

void ntmd_real_address_read(struct ntmd *ntmd)
{
	memset(&ntmd->real, 0, sizeof(ntmd->real)); /* it is compared with what it was */
	networks_read(ntmd);
	ntm_netlink_addresses(take, ntmd);
}

bool ntmd_real_address_is_own(const struct ntmd *ntmd, const struct ntm_addr *addr)
{
	for (unsigned i = 0; i < ntmd->real.count; i++)
		if (ntm_addr_equal(&ntmd->real.addr[i], addr))
			return true;
	return false;
}

unsigned ntmd_real_address_interface(const struct ntmd *ntmd, const struct ntm_addr *addr)
{
	for (unsigned i = 0; i < ntmd->real.count; i++)
		if (ntm_addr_equal(&ntmd->real.addr[i], addr))
			return ntmd->real.ifindex[i];
	return 0;
}

bool ntmd_real_address_is_preferred(const struct ntmd *ntmd, unsigned i)
{
	bool is4 = ntm_addr_is4(&ntmd->real.addr[i]);

	for (unsigned n = 0; n < ntmd->real.networks; n++) {
		if (ntmd->real.network[n].ifindex == ntmd->real.ifindex[i])
			return true;
		for (unsigned k = 0; k < ntmd->real.count; k++)
			if (ntmd->real.ifindex[k] == ntmd->real.network[n].ifindex &&
			    ntm_addr_is4(&ntmd->real.addr[k]) == is4)
				return false;
	}
	return true;
}
