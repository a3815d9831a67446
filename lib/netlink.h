/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * netlink.h - rtnetlink by libmnl: watching links, addresses and routes, and setting up ntm0.
 */
#ifndef NTM_LIB_NETLINK_H
#define NTM_LIB_NETLINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include <ntm/types.h>

struct ntm_netlink_address {
	unsigned ifindex;
	struct ntm_addr addr;
	unsigned prefix; /* bits */
	unsigned flags; /* IFA_F_*: tentative, optimistic, deprecated, temporary... */
	unsigned scope; /* RT_SCOPE_* */
};

enum ntm_netlink_what { NTM_NETLINK_LINK, NTM_NETLINK_ADDRESS, NTM_NETLINK_ROUTE };

struct ntm_netlink_event {
	enum ntm_netlink_what what;
	bool removed;
	unsigned ifindex; /* of a route: its output interface, 0 if it has several */
	bool link_up; /* LINK: IFF_UP and IFF_LOWER_UP (carrier) */
	struct ntm_netlink_address address; /* ADDRESS */
	bool is_default; /* ROUTE: prefix length 0 */
};

/*
 * Watches links, IPv4 and IPv6 addresses and routes (unicast and those that refuse; not the kernel's local
 * and broadcast ones). event(ctx, NULL) means that events were lost: read everything again. event() must not
 * close the watch. 0 or -errno.
 */
struct ntm_netlink_watch;
int ntm_netlink_watch_open(struct ntm_netlink_watch **ret_watch, struct event_base *base,
			   void (*event)(void *ctx, const struct ntm_netlink_event *event), void *ctx);
void ntm_netlink_watch_close(struct ntm_netlink_watch *watch);

/* Calls each() for every address of the network namespace, once the whole list is there. 0 or -errno. */
int ntm_netlink_addresses(void (*each)(void *ctx, const struct ntm_netlink_address *address), void *ctx);

/*
 * Set-up of a device; idempotent: what is there already, or gone already, is no error. A route to the same
 * prefix and of the same metric is replaced. 0 or -errno. mtu: bytes, 0 leaves it.
 */
/* The calls below but ntm_netlink_route_get() and _match() go by this rtnetlink socket from now on (blocking,
 * borrowed), and so to its network namespace; -1: to our own again. */
void ntm_netlink_setup_by(int fd);
int ntm_netlink_link_up(unsigned ifindex, unsigned mtu);
int ntm_netlink_link_mtu(unsigned ifindex, unsigned mtu);
int ntm_netlink_link_queue(unsigned ifindex, unsigned packets); /* txqueuelen */
int ntm_netlink_link_gso_max(unsigned ifindex, unsigned bytes); /* largest super-packet, both families */
/*
 * A pair of devices: one end's frames come out of the other. Both are down. packets: txqueuelen. 0 or -errno:
 * -EEXIST one of the names is taken, -EOPNOTSUPP the kernel has no veth.
 */
int ntm_netlink_veth_add(const char *name, const char *peer, unsigned mtu, unsigned packets);
int ntm_netlink_link_silent(unsigned ifindex); /* it gets no IPv6 address of its own, and so says nothing */
int ntm_netlink_link_del(unsigned ifindex); /* 0 also if it is gone */
/* peer prefix length; IPv6 without duplicate address detection. */
int ntm_netlink_address_add(unsigned ifindex, const struct ntm_addr *addr, unsigned prefix);
int ntm_netlink_address_del(unsigned ifindex, const struct ntm_addr *addr, unsigned prefix);
/* A route by the device, no gateway; source: preferred source, or none. */
int ntm_netlink_route_add(unsigned ifindex, const struct ntm_addr *dst, unsigned prefix,
			  const struct ntm_addr *source);
int ntm_netlink_route_del(unsigned ifindex, const struct ntm_addr *dst, unsigned prefix);

/* ifindex, MTU of the interface that a packet to remote leaves by; 0 or -errno, -ENETUNREACH: no route. */
int ntm_netlink_route_get(const struct ntm_addr *remote, unsigned *ret_ifindex, unsigned *ret_mtu);
/* The interface of the route to remote, and the length of its prefix: 0 a default route. As above. */
int ntm_netlink_route_match(const struct ntm_addr *remote, unsigned *ret_ifindex, unsigned *ret_bits);

/* An interface that default routes of a family leave by, and the least metric among them. */
struct ntm_netlink_default {
	unsigned ifindex;
	bool is4;
	uint32_t metric;
	bool down; /* no carrier: the kernel goes on using it, unless it was told not to */
};
/* All of them; returns how many (max at most), or -errno. */
int ntm_netlink_defaults(struct ntm_netlink_default *ret_list, unsigned max);

#endif
