/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * udp.c - UDP sockets: batches in, single datagrams out, with the local address of both.
 * On a packet's way between the kernel and receive.c of each program, which switches on the packet type.
 */
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ntm/limits.h>

#include "endpoint.h"
#include "stats.h"

#define BATCH 32 /* datagrams a system call */
#define BATCHES 4 /* batches a wakeup: timers and other sockets must get their turn */
#define ERRORS 64 /* entries taken from the error queue a wakeup */
#define SOCKET_BUFFER (4 << 20) /* bytes, each direction */

union control {
	struct cmsghdr align;
	uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t))];
};

/* About 2 MiB of address space; only pages that packets reached take memory. */
struct ntm_udp_batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_storage name[BATCH];
	union control control[BATCH];
	uint8_t data[BATCH][NTM_PACKET_MAX + 1]; /* one more keeps the buffers aligned */
};

/* ---- opening */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The forced size needs CAP_NET_ADMIN and ignores the system's limit; the other is cut to it. */
static void set_buffer(int fd, int forced, int plain)
{
	if (set_int(fd, SOL_SOCKET, forced, SOCKET_BUFFER) < 0)
		set_int(fd, SOL_SOCKET, plain, SOCKET_BUFFER);
}

struct option_value {
	int level, option, value;
};

static const struct option_value option4[] = {
	{IPPROTO_IP, IP_PKTINFO, 1},
	{IPPROTO_IP, IP_RECVERR, 1},
	{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE},
	{SOL_SOCKET, SO_RXQ_OVFL, 1},
};

static const struct option_value option6[] = {
	{IPPROTO_IPV6, IPV6_V6ONLY, 1},	 {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1},
	{IPPROTO_IPV6, IPV6_RECVERR, 1}, {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE},
	{SOL_SOCKET, SO_RXQ_OVFL, 1},
};

static int set_options(int fd, bool is4)
{
	size_t count = is4 ? sizeof(option4) / sizeof(option4[0]) : sizeof(option6) / sizeof(option6[0]);
	const struct option_value *option = is4 ? option4 : option6;

	for (size_t i = 0; i < count; i++) {
		int r = set_int(fd, option[i].level, option[i].option, option[i].value);

		if (r < 0)
			return r;
	}
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	return 0;
}

static int bind_socket(int fd, const struct ntm_endpoint *bind_to, bool is4, struct ntm_endpoint *ret_bound)
{
	static const uint8_t any4[4];
	struct ntm_endpoint ep = *bind_to;
	struct sockaddr_storage sa;
	socklen_t len;

	if (is4 && ntm_addr_is_none(&ep.addr))
		ntm_addr_from4(&ep.addr, any4);
	if (ntm_endpoint_is4(&ep) != is4)
		return -EAFNOSUPPORT;
	len = ntm_endpoint_to_sockaddr(&ep, &sa);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return ntm_endpoint_from_sockaddr(ret_bound, (struct sockaddr *)&sa);
}

static struct ntm_udp_batch *batch_new(void)
{
	/* calloc of this size is an untouched mapping: nothing is cleared. */
	struct ntm_udp_batch *batch = calloc(1, sizeof(*batch));

	for (int i = 0; batch && i < BATCH; i++) {
		batch->iov[i] = (struct iovec){batch->data[i], NTM_PACKET_MAX};
		batch->msg[i].msg_hdr.msg_iov = &batch->iov[i];
		batch->msg[i].msg_hdr.msg_iovlen = 1;
		batch->msg[i].msg_hdr.msg_name = &batch->name[i];
		batch->msg[i].msg_hdr.msg_control = &batch->control[i];
	}
	return batch;
}

static void on_readable(evutil_socket_t fd, short what, void *arg);

int ntm_udp_open(struct ntm_udp *ret_udp, struct event_base *base, const struct ntm_endpoint *bind_to,
		 bool is4, ntm_udp_receive receive, void *ctx)
{
	struct ntm_udp udp = {.is4 = is4, .receive = receive, .ctx = ctx};
	int r;

	udp.fd = socket(is4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (udp.fd < 0)
		return -errno;
	r = set_options(udp.fd, is4);
	if (r < 0)
		goto err_close;
	r = bind_socket(udp.fd, bind_to, is4, &udp.bound);
	if (r < 0)
		goto err_close;
	if (base && receive) {
		r = -ENOMEM;
		udp.batch = batch_new();
		udp.readable = event_new(base, udp.fd, EV_READ | EV_PERSIST, on_readable, ret_udp);
		if (!udp.batch || !udp.readable || event_add(udp.readable, NULL) < 0)
			goto err_event;
	}
	*ret_udp = udp;
	return 0;

err_event:
	if (udp.readable)
		event_free(udp.readable);
	free(udp.batch);
err_close:
	close(udp.fd);
	return r;
}

void ntm_udp_close(struct ntm_udp *udp)
{
	if (udp->fd < 0)
		return;
	if (udp->readable)
		event_free(udp->readable);
	udp->readable = NULL;
	free(udp->batch);
	udp->batch = NULL;
	close(udp->fd);
	udp->fd = -1;
}

/* ---- receiving */

/* ICMP errors queue up (IP_RECVERR), and a queue that is not empty keeps the socket readable for ever. */
static void drain_errors(int fd)
{
	struct msghdr msg = {0};

	for (int i = 0; i < ERRORS; i++) {
		msg.msg_flags = 0;
		if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
	}
}

/* The kernel's count has 32 bits and can seem to go back a little when two CPUs deliver. */
static void count_overruns(struct ntm_udp *udp, uint32_t total)
{
	int32_t more = (int32_t)(total - (uint32_t)udp->overruns);

	if (more <= 0)
		return;
	udp->overruns += (uint32_t)more;
	ntm_drops[NTM_DROP_SOCKET_OVERRUN] += (uint32_t)more;
}

static void local4(struct ntm_addr *ret_local, const struct in_pktinfo *info)
{
	/* The address to answer from: differs from ipi_addr for broadcasts. */
	const struct in_addr *addr = info->ipi_spec_dst.s_addr ? &info->ipi_spec_dst : &info->ipi_addr;

	ntm_addr_from4(ret_local, (const uint8_t *)addr);
}

static void read_control(struct ntm_udp *udp, struct msghdr *msg, struct ntm_addr *ret_local)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local4(ret_local, &info);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
				ntm_addr_from6(ret_local, info.ipi6_addr.s6_addr);
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			uint32_t total;

			memcpy(&total, CMSG_DATA(c), sizeof(total));
			count_overruns(udp, total);
		}
	}
}

static void deliver(struct ntm_udp *udp, int i)
{
	struct mmsghdr *msg = &udp->batch->msg[i];
	struct ntm_flow from = {.udp = udp};

	read_control(udp, &msg->msg_hdr, &from.local);
	if (ntm_endpoint_from_sockaddr(&from.remote, (struct sockaddr *)&udp->batch->name[i]) < 0)
		return;
	udp->receive(udp->ctx, &from, udp->batch->data[i], msg->msg_len);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ntm_udp *udp = arg;
	struct ntm_udp_batch *batch = udp->batch;

	(void)what;
	for (int round = 0; round < BATCHES; round++) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			batch->msg[i].msg_hdr.msg_namelen = sizeof(batch->name[i]);
			batch->msg[i].msg_hdr.msg_controllen = sizeof(batch->control[i]);
			batch->msg[i].msg_hdr.msg_flags = 0;
		}
		n = recvmmsg(fd, batch->msg, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0) {
			/* Nothing (left): if an error woke us, it is in the queue. Else one system call lost.
			 */
			if (round == 0 || errno != EAGAIN)
				drain_errors(fd);
			if (n < 0 && errno == EAGAIN)
				return;
			continue;
		}
		for (int i = 0; i < n; i++)
			deliver(udp, i);
		if (n < BATCH)
			return;
	}
}

/* ---- sending */

static void put_control(struct msghdr *msg, union control *control, int level, int type, const void *data,
			size_t len)
{
	struct cmsghdr *c;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(len);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
}

static void put_source(struct msghdr *msg, union control *control, const struct ntm_addr *local, bool is4)
{
	struct in6_pktinfo info6 = {0};
	struct in_pktinfo info4 = {0};

	if (is4) {
		memcpy(&info4.ipi_spec_dst, local->b + 12, 4);
		put_control(msg, control, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
	} else {
		memcpy(&info6.ipi6_addr, local->b, 16);
		put_control(msg, control, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
}

static int send_once(int fd, const struct msghdr *msg)
{
	ssize_t n;

	do
		n = sendmsg(fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	/* A full queue of the device is to the caller the same as a full buffer. */
	return errno == ENOBUFS ? -EAGAIN : -errno;
}

/* Errors that may be an earlier packet's ICMP: taking them once clears them. */
static bool may_be_old(int error)
{
	switch (error) {
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -EHOSTDOWN:
	case -ENONET:
	case -ENOPROTOOPT:
	case -EOPNOTSUPP:
	case -EPROTO:
	case -EACCES:
	case -EMSGSIZE:
		return true;
	default:
		return false;
	}
}

int ntm_udp_sendv(const struct ntm_flow *to, const struct iovec *part, int parts)
{
	struct ntm_udp *udp = to->udp;
	struct sockaddr_storage sa;
	union control control;
	struct msghdr msg = {.msg_name = &sa, .msg_iov = (struct iovec *)part, .msg_iovlen = (size_t)parts};
	int r;

	if (udp->fd < 0)
		return -EBADF;
	if (ntm_endpoint_is4(&to->remote) != udp->is4)
		return -EAFNOSUPPORT;
	msg.msg_namelen = ntm_endpoint_to_sockaddr(&to->remote, &sa);
	if (!ntm_addr_is_none(&to->local)) {
		if (ntm_addr_is4(&to->local) != udp->is4)
			return -EAFNOSUPPORT;
		put_source(&msg, &control, &to->local, udp->is4);
	}
	r = send_once(udp->fd, &msg);
	if (may_be_old(r)) {
		drain_errors(udp->fd);
		r = send_once(udp->fd, &msg);
	}
	return r;
}

int ntm_udp_send(const struct ntm_flow *to, const void *buf, size_t len)
{
	struct iovec part = {(void *)buf, len};

	return ntm_udp_sendv(to, &part, 1);
}

int ntm_udp_source(const struct ntm_endpoint *remote, struct ntm_addr *ret_local)
{
	struct sockaddr_storage sa;
	struct ntm_endpoint local;
	socklen_t len = ntm_endpoint_to_sockaddr(remote, &sa);
	int r, fd;

	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
	if (r < 0)
		goto out;
	len = sizeof(sa);
	r = getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ? -errno : 0;
	if (r < 0)
		goto out;
	r = ntm_endpoint_from_sockaddr(&local, (struct sockaddr *)&sa);
	if (r == 0)
		*ret_local = local.addr;
out:
	close(fd);
	return r;
}
