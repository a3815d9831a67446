/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * route_way.c - the ways to a remote endpoint: by each network of real_address.c that has its family, and by
 * what the kernel would choose, where that is none of them. route.c has one route for each.
 *
 * What is sent on a way of a network names its address and its interface (struct ntm_flow), so that two
 * networks are used at the same time, and a change of the kernel's routes does not move a packet before it is
 * known here.
 */
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "path.h"

/* A tunnel inside itself. */
static bool is_inside(const struct ntmd *ntmd, const struct ntm_addr *local)
{
	return ntm_addr_equal(local, &ntmd->registration.vip4) ||
	       ntm_addr_equal(local, &ntmd->registration.vip6);
}

static unsigned way_add(struct ntmd_way *way, unsigned ways, unsigned ifindex, const struct ntm_addr *local,
			uint32_t rank)
{
	unsigned at = ways;

	for (; at && way[at - 1].rank > rank; at--)
		way[at] = way[at - 1];
	way[at] = (struct ntmd_way){ *local, ifindex, rank };
	return ways + 1;
}

static unsigned ways_find(const struct ntmd *ntmd, const struct ntm_endpoint *remote,
			  struct ntmd_way ret_way[NTMD_WAYS_MAX])
{
	bool is6 = !ntm_endpoint_is4(remote);
	const struct ntmd_network *network;
	unsigned ways = 0, chosen = 0;
	struct ntm_addr local;

	if (!ntmd_socket_for((void *)ntmd, remote))
		return 0;
	if (!ntm_udp_source(remote, &local) && !is_inside(ntmd, &local)) {
		chosen = ntmd_real_address_interface(ntmd, &local);
		network = ntmd_network_find(ntmd, chosen);
		if (!network || !network->has[is6])
			/* By a route of its own: the kernel knows best */
			ways = way_add(ret_way, ways, 0, &local, 0);
	}
	for (unsigned i = 0; i < ntmd->real.networks; i++) {
		network = &ntmd->real.network[i];
		if (network->down || !network->has[is6] ||
		    ntm_udp_source_by(remote, network->ifindex, &local) ||
		    ntmd_real_address_interface(ntmd, &local) != network->ifindex)
			continue;
		ways = way_add(ret_way, ways, network->ifindex, &local, network->metric);
	}
	return ways;
}

/*
 * While all paths look at one change, each remote end (a relay's above all) is asked for again and again, and
 * the kernel's answer takes ten system calls: it is asked once.
 */
#define KNOWN 32 /* of these together; a path has NTM_ROUTES_MAX */

struct ntmd_ways_known {
	unsigned next;
	struct {
		struct ntm_endpoint remote; /* none: free */
		unsigned ways;
		struct ntmd_way way[NTMD_WAYS_MAX];
	} of[KNOWN];
};

void ntmd_route_ways_remember(struct ntmd *ntmd, bool on)
{
	free(ntmd->ways_known);
	ntmd->ways_known = on ? calloc(1, sizeof(*ntmd->ways_known)) : NULL;
}

unsigned ntmd_route_ways(const struct ntmd *ntmd, const struct ntm_endpoint *remote,
			 struct ntmd_way ret_way[NTMD_WAYS_MAX])
{
	struct ntmd_ways_known *known = ntmd->ways_known;
	unsigned ways, i;

	for (i = 0; known && i < KNOWN; i++)
		if (ntm_endpoint_equal(&known->of[i].remote, remote)) {
			memcpy(ret_way, known->of[i].way, known->of[i].ways * sizeof(*ret_way));
			return known->of[i].ways;
		}
	ways = ways_find(ntmd, remote, ret_way);
	if (known) {
		i = known->next++ % KNOWN;
		known->of[i].remote = *remote;
		known->of[i].ways = ways;
		memcpy(known->of[i].way, ret_way, ways * sizeof(*ret_way));
	}
	return ways;
}
