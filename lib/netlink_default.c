/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * netlink_default.c - the interfaces that default routes leave by: those are a node's ways to the world, and
 * their addresses its real addresses (daemon/real_address.c). Neighbour: netlink_watch.c tells when they
 * change.
 */
#include "netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "netlink_dump.h"

#define BUFFER_BYTES 32768

struct found {
	struct ntm_netlink_default *list;
	unsigned max, count;
};

static void found_add(struct found *found, unsigned ifindex, bool is4, uint32_t metric, bool down)
{
	for (unsigned i = 0; i < found->count; i++)
		if (found->list[i].ifindex == ifindex && found->list[i].is4 == is4) {
			if (metric < found->list[i].metric)
				found->list[i].metric = metric;
			found->list[i].down = found->list[i].down && down;
			return;
		}
	if (ifindex && found->count < found->max)
		found->list[found->count++] = (struct ntm_netlink_default){ ifindex, is4, metric, down };
}

static void nexthops_add(struct found *found, const struct nlattr *attr, bool is4, uint32_t metric)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(attr);
	size_t left = mnl_attr_get_payload_len(attr);

	while (left >= sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= left) {
		size_t step = RTNH_ALIGN(hop->rtnh_len);

		found_add(found, (unsigned)hop->rtnh_ifindex, is4, metric, hop->rtnh_flags & RTNH_F_LINKDOWN);
		if (step > left)
			break;
		left -= step;
		hop = (const struct rtnexthop *)((const char *)hop + step);
	}
}

static int on_route(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *hops = NULL;
	unsigned ifindex = 0, metric = 0;
	struct found *found = arg;
	bool is4;

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*route) ||
	    route->rtm_dst_len || route->rtm_type != RTN_UNICAST || (route->rtm_flags & RTM_F_CLONED) ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6))
		return MNL_CB_OK;
	is4 = route->rtm_family == AF_INET;
	mnl_attr_for_each(attr, nlh, sizeof(*route)) {
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			ifindex = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == RTA_PRIORITY &&
			 mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			metric = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == RTA_MULTIPATH)
			hops = attr;
	}
	found_add(found, ifindex, is4, metric, route->rtm_flags & RTNH_F_LINKDOWN);
	if (hops)
		nexthops_add(found, hops, is4, metric);
	return MNL_CB_OK;
}

static int dump(struct mnl_socket *socket, char *buf, struct found *found)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *route;
	int r = MNL_CB_OK;

	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	route = mnl_nlmsg_put_extra_header(nlh, sizeof(*route));
	route->rtm_family = AF_UNSPEC;
	if (mnl_socket_sendto(socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(socket, buf, BUFFER_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		netlink_interrupted(buf, n); /* what is missing is told by the watch */
		r = mnl_cb_run(buf, (size_t)n, 1, 0, on_route, found);
		if (r < MNL_CB_STOP)
			return -errno;
	}
	return 0;
}

int ntm_netlink_defaults(struct ntm_netlink_default *ret_list, unsigned max)
{
	struct found found = { ret_list, max, 0 };
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char *buf = malloc(BUFFER_BYTES);
	int err = -ENOMEM;

	if (!socket)
		err = -errno;
	else if (buf && mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	else if (buf)
		err = dump(socket, buf, &found);
	free(buf);
	if (socket)
		mnl_socket_close(socket);
	return err ? err : (int)found.count;
}
