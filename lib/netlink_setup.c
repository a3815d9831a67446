/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * netlink_setup.c - sets up a device: state, MTU, addresses, routes; and asks by which one a packet leaves.
 * Neighbours: daemon/ntm0.c makes the device and calls this; netlink_watch.c tells of every change.
 */
#include "netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"

#define REQUEST_BYTES 512
#define ANSWER_BYTES 32768
#define SEQ 1 /* a socket serves one request */

/* Where devices are set up; -1: in our own network namespace. */
static int setup_fd = -1;

void ntm_netlink_setup_by(int fd)
{
	setup_fd = fd;
}

union request {
	struct nlmsghdr nlh;
	char b[REQUEST_BYTES];
};

static struct nlmsghdr *request_begin(union request *request, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request->b);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	nlh->nlmsg_seq = SEQ;
	return nlh;
}

/* Sends the request and waits for the acknowledgement; answer gets what comes before it, may be NULL. 0 or
 * -errno. */
static int request_exchange(int fd, const struct nlmsghdr *nlh, mnl_cb_t answer, void *arg)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int r = MNL_CB_OK;
	char buf[ANSWER_BYTES];

	if (sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n >= 0)
			r = mnl_cb_run(buf, (size_t)n, SEQ, 0, answer, arg);
		if (n < 0 || r < MNL_CB_STOP)
			return -errno;
	}
	return 0;
}

static int request_run(const struct nlmsghdr *nlh, mnl_cb_t answer, void *arg)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), r;

	if (fd < 0)
		return -errno;
	r = request_exchange(fd, nlh, answer, arg);
	close(fd);
	return r;
}

/* The same where devices are set up. */
static int setup_run(const struct nlmsghdr *nlh)
{
	return setup_fd < 0 ? request_run(nlh, NULL, NULL) : request_exchange(setup_fd, nlh, NULL, NULL);
}

static int family_of(const struct ntm_addr *addr)
{
	return ntm_addr_is4(addr) ? AF_INET : AF_INET6;
}

static bool prefix_ok(const struct ntm_addr *addr, unsigned prefix)
{
	return prefix <= (ntm_addr_is4(addr) ? 32 : 128);
}

static void put_addr(struct nlmsghdr *nlh, uint16_t type, const struct ntm_addr *addr)
{
	if (ntm_addr_is4(addr))
		mnl_attr_put(nlh, type, 4, addr->b + 12);
	else
		mnl_attr_put(nlh, type, 16, addr->b);
}

/* ---- links */

/* attr: IFLA_* with a 32-bit value, set unless value is 0. */
static int link_set(unsigned ifindex, unsigned flags, uint16_t attr, unsigned value)
{
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	if (!ifindex)
		return -ENODEV;
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	ifi->ifi_flags = flags;
	ifi->ifi_change = flags;
	if (value)
		mnl_attr_put_u32(nlh, attr, value);
	return setup_run(nlh);
}

int ntm_netlink_link_up(unsigned ifindex, unsigned mtu)
{
	return link_set(ifindex, IFF_UP, IFLA_MTU, mtu);
}

int ntm_netlink_link_mtu(unsigned ifindex, unsigned mtu)
{
	return link_set(ifindex, 0, IFLA_MTU, mtu);
}

int ntm_netlink_link_queue(unsigned ifindex, unsigned packets)
{
	return link_set(ifindex, 0, IFLA_TXQLEN, packets);
}

int ntm_netlink_link_gso_max(unsigned ifindex, unsigned bytes)
{
	/* Up to 65536 it holds for IPv4 as well, which has a number of its own since Linux 6.3. */
	return link_set(ifindex, 0, IFLA_GSO_MAX_SIZE, bytes);
}

int ntm_netlink_link_silent(unsigned ifindex)
{
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	struct nlattr *spec, *inet6;
	int r;

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(nlh, AF_INET6);
	mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(nlh, inet6);
	mnl_attr_nest_end(nlh, spec);
	r = setup_run(nlh);
	return r == -EAFNOSUPPORT ? 0 : r; /* no IPv6 here */
}

static void put_end(struct nlmsghdr *nlh, const char *name, unsigned mtu, unsigned packets)
{
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	mnl_attr_put_u32(nlh, IFLA_TXQLEN, packets);
}

int ntm_netlink_veth_add(const char *name, const char *peer, unsigned mtu, unsigned packets)
{
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	struct nlattr *info, *data, *other;

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_flags = ifi->ifi_change = IFF_NOARP;
	put_end(nlh, name, mtu, packets);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi)); /* inside the attribute */
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_flags = ifi->ifi_change = IFF_NOARP;
	put_end(nlh, peer, mtu, packets);
	mnl_attr_nest_end(nlh, other);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return setup_run(nlh);
}

int ntm_netlink_link_del(unsigned ifindex)
{
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, RTM_DELLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	int r;

	if (!ifindex)
		return 0;
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	r = setup_run(nlh);
	return r == -ENODEV ? 0 : r;
}

/* ---- addresses */

static int address_change(uint16_t type, uint16_t flags, unsigned ifindex, const struct ntm_addr *addr,
			  unsigned prefix)
{
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, type, flags);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

	if (!prefix_ok(addr, prefix))
		return -EINVAL;
	ifa->ifa_family = (uint8_t)family_of(addr);
	ifa->ifa_prefixlen = (uint8_t)prefix;
	ifa->ifa_index = ifindex;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	/* Nobody else on the device can have the address, and it must work at once. */
	if (ifa->ifa_family == AF_INET6)
		ifa->ifa_flags = IFA_F_NODAD;
	put_addr(nlh, IFA_LOCAL, addr);
	put_addr(nlh, IFA_ADDRESS, addr);
	return setup_run(nlh);
}

int ntm_netlink_address_add(unsigned ifindex, const struct ntm_addr *addr, unsigned prefix)
{
	int r = address_change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, addr, prefix);

	return r == -EEXIST ? 0 : r;
}

int ntm_netlink_address_del(unsigned ifindex, const struct ntm_addr *addr, unsigned prefix)
{
	int r = address_change(RTM_DELADDR, 0, ifindex, addr, prefix);

	return r == -EADDRNOTAVAIL ? 0 : r;
}

/* ---- routes */

static int route_change(uint16_t type, uint16_t flags, unsigned ifindex, const struct ntm_addr *dst,
			unsigned prefix, const struct ntm_addr *source)
{
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, type, flags);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	bool is4 = ntm_addr_is4(dst);

	if (!prefix_ok(dst, prefix) || (source && ntm_addr_is4(source) != is4))
		return -EINVAL;
	rtm->rtm_family = (uint8_t)family_of(dst);
	rtm->rtm_dst_len = (uint8_t)prefix;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_scope = is4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE; /* link: there is no gateway */
	/* Deleting takes unspecified values as "any". */
	rtm->rtm_protocol = type == RTM_NEWROUTE ? RTPROT_STATIC : RTPROT_UNSPEC;
	rtm->rtm_type = type == RTM_NEWROUTE ? RTN_UNICAST : RTN_UNSPEC;
	put_addr(nlh, RTA_DST, dst);
	mnl_attr_put_u32(nlh, RTA_OIF, ifindex);
	if (source)
		put_addr(nlh, RTA_PREFSRC, source);
	return setup_run(nlh);
}

int ntm_netlink_route_add(unsigned ifindex, const struct ntm_addr *dst, unsigned prefix,
			  const struct ntm_addr *source)
{
	if (source && ntm_addr_is_none(source))
		source = NULL;
	return route_change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, ifindex, dst, prefix, source);
}

int ntm_netlink_route_del(unsigned ifindex, const struct ntm_addr *dst, unsigned prefix)
{
	int r = route_change(RTM_DELROUTE, 0, ifindex, dst, prefix, NULL);

	return r == -ESRCH ? 0 : r;
}

/* ---- questions */

struct number {
	uint16_t attr; /* looked for: a u32 */
	uint32_t value;
	bool found;
	bool refused; /* the route says that nothing gets there */
	unsigned bits; /* of the route's prefix */
};

static int on_attr(const struct nlattr *attr, void *arg)
{
	struct number *number = arg;

	if (mnl_attr_get_type(attr) == number->attr && mnl_attr_validate(attr, MNL_TYPE_U32) == 0) {
		number->value = mnl_attr_get_u32(attr);
		number->found = true;
	}
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *nlh, void *arg)
{
	if (nlh->nlmsg_type == RTM_NEWLINK)
		mnl_attr_parse(nlh, sizeof(struct ifinfomsg), on_attr, arg);
	return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct number *number = arg;

	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	number->bits = rtm->rtm_dst_len;
	number->refused = rtm->rtm_type != RTN_UNICAST && rtm->rtm_type != RTN_LOCAL;
	mnl_attr_parse(nlh, sizeof(*rtm), on_attr, arg);
	return MNL_CB_OK;
}

static int link_mtu_get(unsigned ifindex, unsigned *ret_mtu)
{
	struct number mtu = {.attr = IFLA_MTU};
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, RTM_GETLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	int r;

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	r = request_run(nlh, on_link, &mtu);
	if (r < 0)
		return r;
	if (!mtu.found)
		return -ENODEV;
	*ret_mtu = mtu.value;
	return 0;
}

/* flags: RTM_F_*; oif->value is the interface. */
static int route_ask(const struct ntm_addr *remote, unsigned flags, struct number *oif)
{
	union request request;
	struct nlmsghdr *nlh = request_begin(&request, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int r;

	*oif = (struct number){.attr = RTA_OIF};
	rtm->rtm_family = (uint8_t)family_of(remote);
	rtm->rtm_dst_len = rtm->rtm_family == AF_INET ? 32 : 128;
	rtm->rtm_flags = flags;
	put_addr(nlh, RTA_DST, remote);
	r = request_run(nlh, on_route, oif);
	if (r < 0)
		return r;
	return oif->found && !oif->refused ? 0 : -ENETUNREACH;
}

int ntm_netlink_route_match(const struct ntm_addr *remote, unsigned *ret_ifindex, unsigned *ret_bits)
{
	struct number oif;
	int r = route_ask(remote, RTM_F_FIB_MATCH, &oif);

	if (r < 0)
		return r;
	*ret_ifindex = oif.value;
	*ret_bits = oif.bits;
	return 0;
}

int ntm_netlink_route_get(const struct ntm_addr *remote, unsigned *ret_ifindex, unsigned *ret_mtu)
{
	struct number oif;
	unsigned mtu;
	int r = route_ask(remote, 0, &oif);

	if (r < 0)
		return r;
	r = link_mtu_get(oif.value, &mtu);
	if (r < 0)
		return r;
	*ret_ifindex = oif.value;
	*ret_mtu = mtu;
	return 0;
}
