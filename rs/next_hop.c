/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * next_hop.c - XDP keeps the next hop of every leg in the leg's entry. Here ntm-rs learns from rtnetlink that
 * a route, a rule, a neighbour's link-layer address, a link or an address has changed, and has all of them
 * looked up again (rs_relay_map_routes_changed()). While it does, xdp.c says so (rs_relay_map_watched()).
 * Links and addresses also decide where XDP is attached: xdp.c.
 */
#include <errno.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "netlink.h"
#include "relay_map.h"
#include "rs.h"
#include "xdp.h"

#define BUFFER_BYTES 32768
#define SOCKET_BUFFER (1 << 20)
#define MESSAGES 32 /* read a wakeup */
#define SEEN_BITS 12

struct rs_next_hop {
	struct rs *rs;
	struct ntm_netlink_watch *watch;
	struct mnl_socket *socket; /* neighbours and rules, which the watch does not tell */
	struct event *readable;
	/*
	 * The link-layer addresses last told, as a hash of neighbour and address at the hash of the
	 * neighbour: most messages only say that a neighbour was asked again. One too many costs a few
	 * lookups.
	 */
	uint64_t seen[1 << SEEN_BITS];
	char buf[BUFFER_BYTES];
};

static void on_change(void *ctx, const struct ntm_netlink_event *event)
{
	struct rs_next_hop *next_hop = ctx;

	rs_relay_map_routes_changed(next_hop->rs->map);
	if (!event || event->what != NTM_NETLINK_ROUTE)
		rs_xdp_interfaces_changed(next_hop->rs);
}

/* ---- neighbours and rules */

static uint64_t hash(uint64_t v, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++)
		v = (v ^ b[i]) * 0x100000001b3ULL;
	return v ^ v >> 32;
}

struct neighbour {
	uint64_t who, where;
};

static int on_attr(const struct nlattr *attr, void *arg)
{
	struct neighbour *neighbour = arg;

	if (mnl_attr_get_type(attr) == NDA_DST)
		neighbour->who =
			hash(neighbour->who, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	else if (mnl_attr_get_type(attr) == NDA_LLADDR)
		neighbour->where = hash(1, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	return MNL_CB_OK;
}

/* Whether packets to this neighbour may now go elsewhere than before. */
static bool neighbour_changed(struct rs_next_hop *next_hop, const struct nlmsghdr *nlh)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	struct neighbour neighbour = {.where = 0};
	uint64_t *seen;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm))
		return false;
	neighbour.who = hash(1, &ndm->ndm_ifindex, sizeof(ndm->ndm_ifindex));
	if (mnl_attr_parse(nlh, sizeof(*ndm), on_attr, &neighbour) < 0)
		return false;
	seen = &next_hop->seen[neighbour.who & ((1 << SEEN_BITS) - 1)];
	neighbour.where ^= neighbour.who;
	if (*seen == neighbour.where)
		return false;
	*seen = neighbour.where;
	return true;
}

static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	struct rs_next_hop *next_hop = arg;

	if (nlh->nlmsg_type == RTM_NEWRULE || nlh->nlmsg_type == RTM_DELRULE ||
	    nlh->nlmsg_type == RTM_DELNEIGH ||
	    (nlh->nlmsg_type == RTM_NEWNEIGH && neighbour_changed(next_hop, nlh)))
		rs_relay_map_routes_changed(next_hop->rs->map);
	return MNL_CB_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct rs_next_hop *next_hop = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < MESSAGES; i++) {
		ssize_t n = mnl_socket_recvfrom(next_hop->socket, next_hop->buf, sizeof(next_hop->buf));

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* Some were lost, or cut: it could have been any. */
		if (n < 0 || mnl_cb_run(next_hop->buf, (size_t)n, 0, 0, on_message, next_hop) < MNL_CB_STOP)
			rs_relay_map_routes_changed(next_hop->rs->map);
	}
}

static int socket_open(struct rs_next_hop *next_hop)
{
	static const int group[] = {RTNLGRP_NEIGH, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE};
	int size = SOCKET_BUFFER, fd;

	next_hop->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!next_hop->socket)
		return -errno;
	fd = mnl_socket_get_fd(next_hop->socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_bind(next_hop->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(group) / sizeof(group[0]); i++) {
		int one = group[i];

		if (mnl_socket_setsockopt(next_hop->socket, NETLINK_ADD_MEMBERSHIP, &one, sizeof(one)) < 0)
			return -errno;
	}
	next_hop->readable = event_new(next_hop->rs->base, fd, EV_READ | EV_PERSIST, on_readable, next_hop);
	return next_hop->readable && event_add(next_hop->readable, NULL) >= 0 ? 0 : -ENOMEM;
}

int rs_next_hop_open(struct rs *rs, struct rs_next_hop **ret_next_hop)
{
	struct rs_next_hop *next_hop = calloc(1, sizeof(*next_hop));
	int err;

	if (!next_hop)
		return -ENOMEM;
	next_hop->rs = rs;
	err = ntm_netlink_watch_open(&next_hop->watch, rs->base, on_change, next_hop);
	if (!err)
		err = socket_open(next_hop);
	if (err) {
		rs_next_hop_close(next_hop);
		return err;
	}
	*ret_next_hop = next_hop;
	return 0;
}

void rs_next_hop_close(struct rs_next_hop *next_hop)
{
	if (!next_hop)
		return;
	ntm_netlink_watch_close(next_hop->watch);
	if (next_hop->readable)
		event_free(next_hop->readable);
	if (next_hop->socket)
		mnl_socket_close(next_hop->socket);
	free(next_hop);
}
