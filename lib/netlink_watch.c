/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * netlink_watch.c - what the kernel tells of links, addresses and routes, as it happens and as a list.
 * Neighbours: daemon/ifmon.c turns it into handovers; netlink_setup.c changes what is watched here.
 */
#include "netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "endpoint.h"
#include "netlink_dump.h"

#define BUFFER_BYTES \
	32768 /* the kernel's largest netlink message but for huge dumps, which it cuts to this */
#define SOCKET_BUFFER (1 << 20)
#define MESSAGES 32 /* read a wakeup */
#define DUMP_TRIES 5
#define ADDRESSES_MAX 65536

struct ntm_netlink_watch {
	struct mnl_socket *socket;
	struct event *readable;
	void (*event)(void *ctx, const struct ntm_netlink_event *event);
	void *ctx;
	char buf[BUFFER_BYTES];
};

struct attrs {
	const struct nlattr **of;
	uint16_t max;
};

static int keep_attr(const struct nlattr *attr, void *arg)
{
	struct attrs *attrs = arg;

	if (mnl_attr_get_type(attr) <= attrs->max)
		attrs->of[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static bool attr_addr(struct ntm_addr *ret_addr, const struct nlattr *attr, int family)
{
	if (!attr || mnl_attr_get_payload_len(attr) != (family == AF_INET ? 4 : 16))
		return false;
	if (family == AF_INET)
		ntm_addr_from4(ret_addr, mnl_attr_get_payload(attr));
	else
		ntm_addr_from6(ret_addr, mnl_attr_get_payload(attr));
	return true;
}

/* Whether it is an address of a family that we know. */
static bool address_read(struct ntm_netlink_address *ret_address, const struct nlmsghdr *nlh)
{
	const struct nlattr *of[IFA_FLAGS + 1] = {0};
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct attrs attrs = {of, IFA_FLAGS};

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa) ||
	    (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return false;
	if (mnl_attr_parse(nlh, sizeof(*ifa), keep_attr, &attrs) < 0)
		return false;
	/* With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 has IFA_LOCAL only then. */
	if (!attr_addr(&ret_address->addr, of[of[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS], ifa->ifa_family))
		return false;
	ret_address->ifindex = ifa->ifa_index;
	ret_address->prefix = ifa->ifa_prefixlen;
	ret_address->scope = ifa->ifa_scope;
	ret_address->flags = ifa->ifa_flags;
	if (of[IFA_FLAGS] && mnl_attr_validate(of[IFA_FLAGS], MNL_TYPE_U32) == 0)
		ret_address->flags = mnl_attr_get_u32(of[IFA_FLAGS]);
	return true;
}

static bool link_read(struct ntm_netlink_event *event, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	/* A bridge tells of its ports with messages of the same type: leaving a bridge is not going. */
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC)
		return false;
	event->what = NTM_NETLINK_LINK;
	event->removed = nlh->nlmsg_type == RTM_DELLINK;
	event->ifindex = (unsigned)ifi->ifi_index;
	event->link_up = !event->removed && (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_LOWER_UP);
	return true;
}

static bool route_read(struct ntm_netlink_event *event, const struct nlmsghdr *nlh)
{
	const struct nlattr *of[RTA_OIF + 1] = {0};
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct attrs attrs = {of, RTA_OIF};

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) || (rtm->rtm_flags & RTM_F_CLONED))
		return false;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return false;
	/* Local, broadcast and multicast routes only repeat what the addresses say. */
	if (rtm->rtm_type != RTN_UNICAST && rtm->rtm_type != RTN_BLACKHOLE &&
	    rtm->rtm_type != RTN_UNREACHABLE && rtm->rtm_type != RTN_PROHIBIT && rtm->rtm_type != RTN_THROW)
		return false;
	if (mnl_attr_parse(nlh, sizeof(*rtm), keep_attr, &attrs) < 0)
		return false;
	event->what = NTM_NETLINK_ROUTE;
	event->removed = nlh->nlmsg_type == RTM_DELROUTE;
	event->is_default = rtm->rtm_dst_len == 0;
	if (of[RTA_OIF] && mnl_attr_validate(of[RTA_OIF], MNL_TYPE_U32) == 0)
		event->ifindex = mnl_attr_get_u32(of[RTA_OIF]);
	return true;
}

/* ---- watching */

static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	struct ntm_netlink_event event = {0};
	struct ntm_netlink_watch *watch = arg;
	bool known = false;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		known = link_read(&event, nlh);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		known = address_read(&event.address, nlh);
		event.what = NTM_NETLINK_ADDRESS;
		event.removed = nlh->nlmsg_type == RTM_DELADDR;
		event.ifindex = event.address.ifindex;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		known = route_read(&event, nlh);
		break;
	}
	if (known)
		watch->event(watch->ctx, &event);
	return MNL_CB_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ntm_netlink_watch *watch = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < MESSAGES; i++) {
		ssize_t n = mnl_socket_recvfrom(watch->socket, watch->buf, sizeof(watch->buf));

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* ENOBUFS: the kernel dropped some; ENOSPC: one was cut. Either way something is lost. */
		if (n < 0 || mnl_cb_run(watch->buf, (size_t)n, 0, 0, on_message, watch) < MNL_CB_STOP)
			watch->event(watch->ctx, NULL);
	}
}

int ntm_netlink_watch_open(struct ntm_netlink_watch **ret_watch, struct event_base *base,
			   void (*event)(void *ctx, const struct ntm_netlink_event *event), void *ctx)
{
	unsigned groups =
		RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	struct ntm_netlink_watch *watch = calloc(1, sizeof(*watch));
	int r, size = SOCKET_BUFFER;

	if (!watch)
		return -ENOMEM;
	watch->event = event;
	watch->ctx = ctx;
	watch->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!watch->socket) {
		r = -errno;
		goto err_free;
	}
	setsockopt(mnl_socket_get_fd(watch->socket), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_bind(watch->socket, groups, MNL_SOCKET_AUTOPID) < 0) {
		r = -errno;
		goto err_close;
	}
	r = -ENOMEM;
	watch->readable =
		event_new(base, mnl_socket_get_fd(watch->socket), EV_READ | EV_PERSIST, on_readable, watch);
	if (!watch->readable)
		goto err_close;
	if (event_add(watch->readable, NULL) < 0)
		goto err_event;
	*ret_watch = watch;
	return 0;

err_event:
	event_free(watch->readable);
err_close:
	mnl_socket_close(watch->socket);
err_free:
	free(watch);
	return r;
}

void ntm_netlink_watch_close(struct ntm_netlink_watch *watch)
{
	if (!watch)
		return;
	event_free(watch->readable);
	mnl_socket_close(watch->socket);
	free(watch);
}

/* ---- listing */

struct list {
	struct ntm_netlink_address *address;
	size_t count, room;
	char buf[BUFFER_BYTES];
};

static int on_listed(const struct nlmsghdr *nlh, void *arg)
{
	struct ntm_netlink_address address, *more;
	struct list *list = arg;

	if (nlh->nlmsg_type != RTM_NEWADDR || !address_read(&address, nlh))
		return MNL_CB_OK;
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 32;

		more = room > ADDRESSES_MAX ? NULL : realloc(list->address, room * sizeof(*more));
		if (!more) {
			errno = ENOMEM;
			return MNL_CB_ERROR;
		}
		list->address = more;
		list->room = room;
	}
	list->address[list->count++] = address;
	return MNL_CB_OK;
}

/* One try. 0, or -errno; -EINTR: addresses changed while the kernel listed them, so some may be missing. */
static int list_dump(struct mnl_socket *socket, struct list *list, unsigned seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(list->buf);
	bool interrupted = false;
	struct ifaddrmsg *ifa;
	int r = MNL_CB_OK;

	list->count = 0;
	nlh->nlmsg_type = RTM_GETADDR;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = seq;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = AF_UNSPEC;
	if (mnl_socket_sendto(socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(socket, list->buf, sizeof(list->buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		interrupted |= netlink_interrupted(list->buf, n);
		r = mnl_cb_run(list->buf, (size_t)n, seq, 0, on_listed, list);
		if (r < MNL_CB_STOP)
			return -errno;
	}
	return interrupted ? -EINTR : 0;
}

int ntm_netlink_addresses(void (*each)(void *ctx, const struct ntm_netlink_address *address), void *ctx)
{
	struct list *list = calloc(1, sizeof(*list));
	int r = -EINTR;

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; r == -EINTR && i < DUMP_TRIES; i++) {
		struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

		if (!socket) {
			r = -errno;
			break;
		}
		r = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno
								       : list_dump(socket, list, i + 1);
		mnl_socket_close(socket);
	}
	/* Where they never stand still the last list is better than none: the watch tells what has changed. */
	if (r == -EINTR)
		r = 0;
	for (size_t i = 0; r == 0 && i < list->count; i++)
		each(ctx, &list->address[i]);
	free(list->address);
	free(list);
	return r;
}
