/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * udp.c - UDP sockets: opening, and batches of datagrams in, with the local address of each.
 * On a packet's way between the kernel and receive.c of each program, which switches on the packet type;
 * udp_send.c sends.
 */
#include "udp_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ntm/limits.h>

#include "endpoint.h"
#include "stats.h"

#define BATCH 32 /* datagrams (or with UDP_GRO trains of them) a system call */
#define BATCHES 4 /* batches a wakeup: timers and other sockets must get their turn */
/* Trains are long: few of them a system call stay in the cache until they are worked on. */
#define BATCH_TRAINS 4
#define TRAIN_BYTES 8192 /* what counts as long */
#define WAKEUP_BYTES (1 << 20) /* no other batch after so many: at most about a millisecond's work */
#define ERRORS 64 /* entries taken from the error queue a wakeup */
#define SOCKET_BUFFER (4 << 20) /* bytes, each direction */

/* About 2 MiB of address space; only pages that packets reached take memory. */
struct ntm_udp_batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_storage name[BATCH];
	union ntm_udp_control control[BATCH];
	unsigned ask; /* datagrams next time: BATCH or BATCH_TRAINS */
	uint8_t data[BATCH][NTM_PACKET_MAX + 1]; /* one more keeps the buffers aligned */
};

/* ---- opening */

int ntm_udp_set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The forced size needs CAP_NET_ADMIN and ignores the system's limit; the other is cut to it. */
static void set_buffer(int fd, int forced, int plain)
{
	if (ntm_udp_set_int(fd, SOL_SOCKET, forced, SOCKET_BUFFER) < 0)
		ntm_udp_set_int(fd, SOL_SOCKET, plain, SOCKET_BUFFER);
}

struct option_value {
	int level, option, value;
};

static const struct option_value option4[] = {
	{IPPROTO_IP, IP_PKTINFO, 1},
	{IPPROTO_IP, IP_RECVTOS, 1},
	{IPPROTO_IP, IP_RECVERR, 1},
	{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE},
};

static const struct option_value option6[] = {
	{IPPROTO_IPV6, IPV6_V6ONLY, 1},	 {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1},
	{IPPROTO_IPV6, IPV6_RECVTCLASS, 1},
	{IPPROTO_IPV6, IPV6_RECVERR, 1}, {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE},
};

static int set_options(int fd, bool is4)
{
	size_t count = is4 ? sizeof(option4) / sizeof(option4[0]) : sizeof(option6) / sizeof(option6[0]);
	const struct option_value *option = is4 ? option4 : option6;

	for (size_t i = 0; i < count; i++) {
		int r = ntm_udp_set_int(fd, option[i].level, option[i].option, option[i].value);

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

	if (batch)
		batch->ask = BATCH;
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

/* Opens and binds udp->fd; udp->is4 is set. 0 or -errno. */
static int open_bound(struct ntm_udp *udp, const struct ntm_endpoint *bind_to, bool shared)
{
	int r;

	udp->fd = socket(udp->is4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (udp->fd < 0)
		return -errno;
	r = set_options(udp->fd, udp->is4);
	if (!r && shared)
		r = ntm_udp_set_int(udp->fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!r)
		r = bind_socket(udp->fd, bind_to, udp->is4, &udp->bound);
	if (r < 0) {
		close(udp->fd);
		return r;
	}
	/* Linux 4.18; the size comes with each call */
	udp->segment = !ntm_udp_set_int(udp->fd, IPPROTO_UDP, UDP_SEGMENT, 0);
	return 0;
}

int ntm_udp_open_shared(struct ntm_udp *ret_udp, const struct ntm_endpoint *bind_to, bool is4)
{
	struct ntm_udp udp = {.is4 = is4};
	int r = open_bound(&udp, bind_to, true);

	if (r < 0)
		return r;
	udp.gro = !ntm_udp_set_int(udp.fd, IPPROTO_UDP, UDP_GRO, 1); /* Linux 5.0 */
	*ret_udp = udp;
	return 0;
}

/* base NULL: nobody listens to it yet. */
static int open_reading(struct ntm_udp *ret_udp, struct event_base *base, const struct ntm_endpoint *bind_to,
			bool shared, struct ntm_udp udp)
{
	int r = open_bound(&udp, bind_to, shared);

	if (r < 0)
		return r;
	if (udp.receive) {
		r = -ENOMEM;
		udp.batch = batch_new();
		udp.readable =
			base ? event_new(base, udp.fd, EV_READ | EV_PERSIST, on_readable, ret_udp) : NULL;
		if (!udp.batch || (base && !udp.readable))
			goto err_event;
		if (base && (event_priority_set(udp.readable, event_base_get_npriorities(base) - 1) < 0 ||
			     event_add(udp.readable, NULL) < 0))
			goto err_event;
		udp.gro = !ntm_udp_set_int(udp.fd, IPPROTO_UDP, UDP_GRO, 1); /* Linux 5.0 */
	}
	*ret_udp = udp;
	return 0;

err_event:
	if (udp.readable)
		event_free(udp.readable);
	free(udp.batch);
	close(udp.fd);
	return r;
}

int ntm_udp_open(struct ntm_udp *ret_udp, struct event_base *base, const struct ntm_endpoint *bind_to,
		 bool is4, ntm_udp_receive receive, void *ctx)
{
	struct ntm_udp udp = {.is4 = is4, .receive = base ? receive : NULL, .ctx = ctx};

	return open_reading(ret_udp, base, bind_to, false, udp);
}

int ntm_udp_open_one(struct ntm_udp *ret_udp, struct event_base *base, const struct ntm_endpoint *bind_to,
		     bool is4, ntm_udp_receive receive, void *ctx)
{
	struct ntm_udp udp = {.is4 = is4, .receive = receive, .ctx = ctx};

	return open_reading(ret_udp, base, bind_to, true, udp);
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

/* One entry of the error queue. Tells its owner if it says that a datagram was too large. */
static void error_read(const struct ntm_udp *udp, struct msghdr *msg, const uint8_t *quote, size_t quote_len)
{
	struct ntm_udp_too_big told = {.quote = quote, .quote_len = quote_len};
	struct sock_extended_err error;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&error, CMSG_DATA(c), sizeof(error));
		if (error.ee_errno != EMSGSIZE || !error.ee_info ||
		    ntm_endpoint_from_sockaddr(&told.remote, (struct sockaddr *)msg->msg_name) < 0)
			return;
		told.mtu = error.ee_info;
		told.local = error.ee_origin == SO_EE_ORIGIN_LOCAL;
		udp->too_big(udp->ctx, &told);
		return;
	}
}

bool ntm_udp_errors_drain(const struct ntm_udp *udp)
{
	struct sockaddr_storage name;
	union {
		struct cmsghdr align;
		uint8_t b[256];
	} control;
	uint8_t quote[NTM_UDP_QUOTE];
	struct iovec part = {quote, sizeof(quote)};

	for (int i = 0; i < ERRORS; i++) {
		struct msghdr msg = {.msg_name = &name,
				     .msg_namelen = sizeof(name),
				     .msg_iov = &part,
				     .msg_iovlen = 1,
				     .msg_control = &control,
				     .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(udp->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);

		if (n < 0)
			return false;
		if (udp->too_big)
			error_read(udp, &msg, quote, (size_t)n);
	}
	return true;
}

void ntm_udp_overruns_read(struct ntm_udp *udp)
{
	uint32_t info[SK_MEMINFO_VARS], more;
	socklen_t len = sizeof(info);

	if (udp->fd < 0 || getsockopt(udp->fd, SOL_SOCKET, SO_MEMINFO, info, &len) ||
	    len <= SK_MEMINFO_DROPS * sizeof(*info))
		return;
	more = info[SK_MEMINFO_DROPS] - (uint32_t)udp->overruns; /* the kernel's count has 32 bits */
	if (!more)
		return;
	udp->overruns += more;
	ntm_drop_count_many(NTM_DROP_SOCKET_OVERRUN, more);
}

static void local4(struct ntm_addr *ret_local, const struct in_pktinfo *info)
{
	/* The address to answer from: differs from ipi_addr for broadcasts. */
	const struct in_addr *addr = info->ipi_spec_dst.s_addr ? &info->ipi_spec_dst : &info->ipi_addr;

	ntm_addr_from4(ret_local, (const uint8_t *)addr);
}

/* ret_size: bytes of a datagram, if several came as one: then with one TOS byte. */
static void read_control(struct ntm_udp *udp, struct msghdr *msg, struct ntm_flow *from, size_t *ret_size)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local4(&from->local, &info);
			from->ifindex = udp->by_interface ? (unsigned)info.ipi_ifindex : 0;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
				ntm_addr_from6(&from->local, info.ipi6_addr.s6_addr);
			from->ifindex = udp->by_interface ? info.ipi6_ifindex : 0;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			from->tos = *CMSG_DATA(c);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			int class;

			memcpy(&class, CMSG_DATA(c), sizeof(class));
			from->tos = (uint8_t)class;
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			*ret_size = size > 0 ? (size_t)size : 0;
		}
	}
}

static void deliver(struct ntm_udp *udp, int i)
{
	struct mmsghdr *msg = &udp->batch->msg[i];
	size_t size = 0, at = 0, len = msg->msg_len;
	struct ntm_flow from = {.udp = udp};

	read_control(udp, &msg->msg_hdr, &from, &size);
	if (ntm_endpoint_from_sockaddr(&from.remote, (struct sockaddr *)&udp->batch->name[i]) < 0)
		return;
	do { /* an empty datagram is one too */
		size_t n = size && size < len - at ? size : len - at;

		ntm_udp_soon_begin();
		udp->receive(udp->ctx, &from, udp->batch->data[i] + at, n);
		ntm_udp_soon_end();
		at += n;
	} while (at < len);
}

/* One system call's datagrams: how many, or -1. */
static int batch_receive(struct ntm_udp *udp, unsigned ask, size_t *bytes)
{
	struct ntm_udp_batch *batch = udp->batch;
	size_t before = *bytes;
	int n;

	for (unsigned i = 0; i < ask; i++) {
		batch->msg[i].msg_hdr.msg_namelen = sizeof(batch->name[i]);
		batch->msg[i].msg_hdr.msg_controllen = sizeof(batch->control[i]);
		batch->msg[i].msg_hdr.msg_flags = 0;
	}
	n = recvmmsg(udp->fd, batch->msg, ask, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return n;
	for (int i = 0; i < n; i++) {
		*bytes += batch->msg[i].msg_len;
		deliver(udp, i);
	}
	if (udp->flush)
		udp->flush(udp->ctx);
	batch->ask = (*bytes - before) / (unsigned)n >= TRAIN_BYTES ? BATCH_TRAINS : BATCH;
	return n;
}

bool ntm_udp_read(struct ntm_udp *udp)
{
	size_t bytes = 0;

	ntm_udp_overruns_read(udp); /* while the socket is surely open */
	for (int round = 0; round < BATCHES; round++) {
		unsigned ask = udp->batch->ask;
		int n = batch_receive(udp, ask, &bytes);

		if (n <= 0) {
			/* Nothing (left): if an error woke us, it is in the queue. Else one system call lost.
			 */
			if (round == 0 || errno != EAGAIN)
				ntm_udp_errors_drain(udp);
			if (n < 0 && errno == EAGAIN)
				return false;
			continue;
		}
		if ((unsigned)n < ask)
			return false;
		if (bytes >= WAKEUP_BYTES)
			break;
	}
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ntm_udp_read(arg);
}
