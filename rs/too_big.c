/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * too_big.c - ICMP "fragmentation needed" and ICMPv6 "packet too big" (RFC 792 with RFC 1191, RFC 4443) by
 * raw sockets, for packets that an interface of this relay refused. The quoted headers are those the sender's
 * packet came with, so the error finds its way back through NATs and to the sender's socket (lib/udp.c:
 * too_big).
 */
#include "too_big.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cookie.h"
#include "log.h"
#include "loop.h"
#include "rs.h"

#define PER_S 200 /* over all */
#define SOURCE_PER_S 20

struct rs_too_big {
	int fd4, fd6;
	pthread_mutex_t lock; /* of the limiter */
	struct ntm_limiter limiter;
};

/* ---- the message */

static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return htons((uint16_t)~sum);
}

static size_t quote_ip4(uint8_t *out, const struct ntm_addr *sender, const struct ntm_addr *local, size_t len)
{
	struct iphdr ip = {
		.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .frag_off = htons(IP_DF)};

	ip.tot_len = htons((uint16_t)(sizeof(ip) + sizeof(struct udphdr) + len));
	memcpy(&ip.saddr, sender->b + 12, 4);
	memcpy(&ip.daddr, local->b + 12, 4);
	memcpy(out, &ip, sizeof(ip));
	ip.check = checksum(out, sizeof(ip));
	memcpy(out, &ip, sizeof(ip));
	return sizeof(ip);
}

static size_t quote_ip6(uint8_t *out, const struct ntm_addr *sender, const struct ntm_addr *local, size_t len)
{
	struct ip6_hdr ip = {.ip6_flow = htonl(6U << 28), .ip6_nxt = IPPROTO_UDP, .ip6_hlim = 64};

	ip.ip6_plen = htons((uint16_t)(sizeof(struct udphdr) + len));
	memcpy(&ip.ip6_src, sender->b, 16);
	memcpy(&ip.ip6_dst, local->b, 16);
	memcpy(out, &ip, sizeof(ip));
	return sizeof(ip);
}

size_t rs_too_big_build(uint8_t out[RS_TOO_BIG_MAX], const struct ntm_endpoint *sender,
			const struct ntm_endpoint *local, const uint8_t *packet, size_t len, unsigned mtu)
{
	bool is4 = ntm_endpoint_is4(sender);
	size_t quote = len < RS_TOO_BIG_QUOTE ? len : RS_TOO_BIG_QUOTE, at = 8;
	struct udphdr udp = {.source = htons(sender->port), .dest = htons(local->port)};
	struct icmphdr icmp = {.type = ICMP_DEST_UNREACH, .code = ICMP_FRAG_NEEDED};
	struct icmp6_hdr icmp6 = {.icmp6_type = ICMP6_PACKET_TOO_BIG, .icmp6_mtu = htonl(mtu)};

	udp.len = htons((uint16_t)(sizeof(udp) + len));
	at += is4 ? quote_ip4(out + at, &sender->addr, &local->addr, len)
		  : quote_ip6(out + at, &sender->addr, &local->addr, len);
	memcpy(out + at, &udp, sizeof(udp));
	at += sizeof(udp);
	memcpy(out + at, packet, quote);
	at += quote;
	if (!is4) {
		memcpy(out, &icmp6, sizeof(icmp6));
		return at;
	}
	icmp.un.frag.mtu = htons((uint16_t)mtu);
	memcpy(out, &icmp, sizeof(icmp));
	icmp.checksum = checksum(out, at);
	memcpy(out, &icmp, sizeof(icmp));
	return at;
}

/* ---- sending */

/* Largest IP packet that passes on the way there; 0: not known. */
static unsigned route_mtu(const struct sockaddr *to)
{
	struct ntm_endpoint remote;
	unsigned mtu = 0;

	if (!ntm_endpoint_from_sockaddr(&remote, to))
		(void)ntm_udp_path_mtu(&remote, &mtu); /* leaves it alone when it fails */
	return mtu;
}

static unsigned ip_header(bool is4)
{
	return is4 ? sizeof(struct iphdr) : sizeof(struct ip6_hdr);
}

static void send_from(int fd, const struct ntm_endpoint *to, const struct ntm_addr *local,
		      const uint8_t *packet, size_t len)
{
	bool is4 = ntm_endpoint_is4(to);
	struct ntm_endpoint no_port = {.addr = to->addr}; /* raw sockets have none */
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
	struct cmsghdr *c = (struct cmsghdr *)control;
	struct sockaddr_storage sa;
	struct iovec part = {(void *)packet, len};
	struct in6_pktinfo info6 = {0};
	struct in_pktinfo info4 = {0};
	struct msghdr msg = {.msg_name = &sa, .msg_iov = &part, .msg_iovlen = 1, .msg_control = control};

	msg.msg_namelen = ntm_endpoint_to_sockaddr(&no_port, &sa);
	memcpy(&info4.ipi_spec_dst, local->b + 12, 4);
	memcpy(&info6.ipi6_addr, local->b, 16);
	*c = is4 ? (struct cmsghdr){CMSG_LEN(sizeof(info4)), IPPROTO_IP, IP_PKTINFO}
		 : (struct cmsghdr){CMSG_LEN(sizeof(info6)), IPPROTO_IPV6, IPV6_PKTINFO};
	memcpy(CMSG_DATA(c), is4 ? (void *)&info4 : (void *)&info6, is4 ? sizeof(info4) : sizeof(info6));
	msg.msg_controllen = is4 ? CMSG_SPACE(sizeof(info4)) : CMSG_SPACE(sizeof(info6));
	if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		ntm_debug("an ICMP error could not be sent: %s", strerror(errno));
}

void rs_too_big_tell(struct rs *rs, const struct ntm_flow *from, const struct sockaddr *to,
		     const uint8_t *packet, size_t len)
{
	bool is4 = ntm_endpoint_is4(&from->remote), allowed;
	struct rs_too_big *too_big = rs->too_big;
	struct ntm_endpoint local = from->udp->bound;
	uint8_t out[RS_TOO_BIG_MAX];
	unsigned mtu;
	int fd;

	fd = !too_big || !from->remote.port ? -1 : is4 ? too_big->fd4 : too_big->fd6;
	if (fd < 0)
		return;
	pthread_mutex_lock(&too_big->lock);
	allowed = ntm_limiter_take(&too_big->limiter, ntm_loop_now_us(), &from->remote, 0);
	pthread_mutex_unlock(&too_big->lock);
	mtu = allowed ? route_mtu(to) : 0;
	/* An error without a smaller size would teach nothing. */
	if (!mtu || mtu >= ip_header(to->sa_family == AF_INET) + sizeof(struct udphdr) + len)
		return;
	if (!ntm_addr_is_none(&from->local))
		local.addr = from->local;
	mtu = mtu + ip_header(is4) - ip_header(to->sa_family == AF_INET);
	send_from(fd, &from->remote, &local.addr, out,
		  rs_too_big_build(out, &from->remote, &local, packet, len, mtu));
}

/* ---- opening */

/* Such a socket is only sent on: nothing is to be queued in it. */
static int raw_open(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	struct icmp6_filter none6;
	struct icmp_filter none4 = {.data = ~0U};

	if (fd < 0)
		return -1;
	ICMP6_FILTER_SETBLOCKALL(&none6);
	if (family == AF_INET)
		setsockopt(fd, SOL_RAW, ICMP_FILTER, &none4, sizeof(none4));
	else
		setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &none6, sizeof(none6));
	return fd;
}

void rs_too_big_open(struct rs *rs)
{
	struct rs_too_big *too_big = calloc(1, sizeof(*too_big));

	if (!too_big)
		return;
	too_big->fd4 = raw_open(AF_INET);
	too_big->fd6 = raw_open(AF_INET6);
	if (too_big->fd4 < 0 && too_big->fd6 < 0) {
		ntm_info("no raw sockets (%s): senders of packets that are too large are not told",
			 strerror(errno));
		free(too_big);
		return;
	}
	pthread_mutex_init(&too_big->lock, NULL);
	ntm_limiter_init(&too_big->limiter, PER_S, SOURCE_PER_S);
	rs->too_big = too_big;
}

void rs_too_big_close(struct rs *rs)
{
	struct rs_too_big *too_big = rs->too_big;

	if (!too_big)
		return;
	if (too_big->fd4 >= 0)
		close(too_big->fd4);
	if (too_big->fd6 >= 0)
		close(too_big->fd6);
	pthread_mutex_destroy(&too_big->lock);
	free(too_big);
	rs->too_big = NULL;
}
