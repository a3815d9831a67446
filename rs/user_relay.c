/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_relay.c - the sockets of the Relay Server, and relaying in user space: batches of datagrams come by
 * recvmmsg, receive.c decides on each, and what is to be forwarded leaves unchanged by sendmmsg, one batch a
 * socket. A packet goes out by the socket, and from the address, that the receiving leg bound itself at:
 * so NAT mappings on its way fit, and families are crossed by nothing but the choice of the socket.
 *
 * The kernel has checked the UDP checksum of what comes and makes a full one for what leaves.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <ntm/drop.h>

#include "log.h"
#include "loop.h"
#include "rs.h"
#include "stats.h"

#define BATCH 64 /* datagrams in one system call */
#define ROUNDS 8 /* batches of one socket before the others have their turn */
#define CONTROL_LEN 128 /* control messages of one received datagram (its local address, overruns): bytes */

/* Destination of one datagram that waits in a socket's batch. */
struct out {
	struct sockaddr_storage to;
	struct iovec part;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct rs_socket {
	struct ntm_udp udp;
	struct rs *rs;
	struct event *readable;
	bool any; /* bound to no address: each packet's own matters */
	unsigned outs;
	struct out out[BATCH];
	struct mmsghdr msg[BATCH];
};

/* One received batch: the sockets take turns with it. */
struct rs_batch {
	struct sockaddr_storage from[BATCH];
	struct iovec part[BATCH];
	struct mmsghdr msg[BATCH];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_LEN];
	uint8_t buf[BATCH][NTM_PACKET_MAX];
};

/* ---- sending */

static struct rs_socket *socket_of(const struct ntm_flow *flow)
{
	return (struct rs_socket *)((char *)flow->udp - offsetof(struct rs_socket, udp));
}

/* Source address of a datagram from a socket that is bound to none. */
static void out_source(struct out *out, struct msghdr *msg, bool is4, const struct ntm_addr *local)
{
	struct cmsghdr *cmsg = (struct cmsghdr *)out->control;

	memset(out->control, 0, sizeof(out->control));
	msg->msg_control = out->control;
	if (is4) {
		struct in_pktinfo info = {0};

		memcpy(&info.ipi_spec_dst, local->b + 12, 4);
		*cmsg = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		msg->msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = {0};

		memcpy(&info.ipi6_addr, local->b, 16);
		*cmsg = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO};
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		msg->msg_controllen = CMSG_SPACE(sizeof(info));
	}
}

static void socket_put(struct rs_socket *socket, const struct ntm_flow *to, uint8_t *buf, size_t len)
{
	struct out *out = &socket->out[socket->outs];
	struct msghdr *msg = &socket->msg[socket->outs++].msg_hdr;

	memset(msg, 0, sizeof(*msg));
	out->part = (struct iovec){buf, len};
	msg->msg_name = &out->to;
	msg->msg_namelen = ntm_endpoint_to_sockaddr(&to->remote, &out->to);
	msg->msg_iov = &out->part;
	msg->msg_iovlen = 1;
	if (socket->any && !ntm_addr_is_none(&to->local))
		out_source(out, msg, socket->udp.is4, &to->local);
}

/* What one datagram's refusal means; a relay keeps nothing back to try again, the ends do that better. */
static void refused(int err)
{
	ntm_drop_count(err == EMSGSIZE ? NTM_DROP_TOO_BIG : NTM_DROP_SEND);
}

static void socket_flush(struct rs_socket *socket)
{
	struct rs *rs = socket->rs;

	for (unsigned done = 0; done < socket->outs;) {
		int n = sendmmsg(socket->udp.fd, socket->msg + done, socket->outs - done, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			refused(errno);
			done++;
			continue;
		}
		rs->packets += (unsigned)n;
		while (n--)
			rs->bytes += socket->out[done++].part.iov_len;
	}
	socket->outs = 0;
}

int rs_user_relay_forward(struct rs *rs, const struct ntm_flow *from, uint8_t *buf, size_t len,
			  int64_t now_us)
{
	const struct ntm_header *h = (const struct ntm_header *)buf;
	struct rs_path *path = rs_path_find(&rs->paths, ntm_header_id(h), now_us / 1000);
	const struct ntm_flow *to;
	int side;

	if (!path)
		return -NTM_DROP_PATH_UNKNOWN;
	side = rs_path_admit(path, h->type, &from->remote, len, now_us);
	if (side < 0)
		return side;
	to = &path->leg[!side].bound;
	socket_put(socket_of(to), to, buf, len);
	return 0;
}

/* ---- receiving */

static void overruns_count(struct ntm_udp *udp, uint32_t overruns)
{
	/* The sum since the socket was made, modulo 2^32; two CPUs that deliver may tell it out of order. */
	int32_t more = (int32_t)(overruns - (uint32_t)udp->overruns);

	if (more <= 0)
		return;
	udp->overruns += (uint32_t)more;
	ntm_drops[NTM_DROP_SOCKET_OVERRUN] += (uint32_t)more;
}

static void control_read(struct ntm_udp *udp, struct msghdr *msg, struct ntm_addr *ret_local)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			uint32_t overruns;

			memcpy(&overruns, CMSG_DATA(c), sizeof(overruns));
			overruns_count(udp, overruns);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ntm_addr_from4(ret_local, (const uint8_t *)&info.ipi_spec_dst);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ntm_addr_from6(ret_local, (const uint8_t *)&info.ipi6_addr);
		}
	}
}

/* One datagram of the batch. */
static void batch_receive(struct rs_socket *socket, unsigned i, int64_t now_us)
{
	struct rs_batch *batch = socket->rs->batch;
	struct msghdr *msg = &batch->msg[i].msg_hdr;
	struct ntm_flow from = {.udp = &socket->udp};
	struct ntm_addr local = {0};

	if (msg->msg_controllen)
		control_read(&socket->udp, msg, &local);
	if (socket->any)
		from.local = local;
	if (ntm_endpoint_from_sockaddr(&from.remote, msg->msg_name))
		return;
	rs_receive_packet(socket->rs, &from, batch->buf[i], batch->msg[i].msg_len, now_us);
}

static int batch_read(struct rs_socket *socket)
{
	struct rs_batch *batch = socket->rs->batch;

	for (unsigned i = 0; i < BATCH; i++) {
		batch->msg[i].msg_hdr.msg_namelen = sizeof(batch->from[i]);
		batch->msg[i].msg_hdr.msg_controllen = sizeof(batch->control[i]);
	}
	return recvmmsg(socket->udp.fd, batch->msg, BATCH, MSG_DONTWAIT, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct rs_socket *socket = arg;
	struct rs *rs = socket->rs;

	(void)fd;
	(void)what;
	for (unsigned round = 0; round < ROUNDS; round++) {
		int n = batch_read(socket);
		int64_t now_us = ntm_loop_now_us();

		for (int i = 0; i < n; i++)
			batch_receive(socket, (unsigned)i, now_us);
		/* Before the buffers are read into again. */
		for (unsigned i = 0; i < rs->sockets; i++)
			socket_flush(&rs->socket[i]);
		if (n < BATCH)
			return; /* empty now, or an error that the next event tells again */
	}
}

static struct rs_batch *batch_new(void)
{
	struct rs_batch *batch = calloc(1, sizeof(*batch));

	for (unsigned i = 0; batch && i < BATCH; i++) {
		struct msghdr *msg = &batch->msg[i].msg_hdr;

		batch->part[i] = (struct iovec){batch->buf[i], NTM_PACKET_MAX};
		msg->msg_name = &batch->from[i];
		msg->msg_iov = &batch->part[i];
		msg->msg_iovlen = 1;
		msg->msg_control = batch->control[i];
	}
	return batch;
}

/* ---- opening */

static void socket_close(struct rs_socket *socket)
{
	if (socket->readable)
		event_free(socket->readable);
	ntm_udp_close(&socket->udp);
}

/* No address, or 0.0.0.0 */
static bool is_any(const struct ntm_addr *addr)
{
	struct ntm_addr any4;

	ntm_addr_from4(&any4, (const uint8_t[4]){0});
	return ntm_addr_is_none(addr) || ntm_addr_equal(addr, &any4);
}

static int socket_open(struct rs *rs, struct rs_socket *socket, const struct ntm_endpoint *listen)
{
	bool is4 = ntm_endpoint_is4(listen);
	int level = is4 ? IPPROTO_IP : IPPROTO_IPV6, off = 0, err;

	err = ntm_udp_open(&socket->udp, NULL, listen, is4, NULL, NULL);
	if (err)
		return err;
	socket->rs = rs;
	socket->any = is_any(&listen->addr);
	/* ICMP errors mean nothing to a relay, and unread they would fill the receive buffer. */
	setsockopt(socket->udp.fd, level, is4 ? IP_RECVERR : IPV6_RECVERR, &off, sizeof(off));
	if (!socket->any)
		setsockopt(socket->udp.fd, level, is4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &off, sizeof(off));
	socket->readable = event_new(rs->base, socket->udp.fd, EV_READ | EV_PERSIST, on_readable, socket);
	if (!socket->readable || event_add(socket->readable, NULL)) {
		socket_close(socket);
		return -ENOMEM;
	}
	return 0;
}

static const char *advice(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return ": another program has this port, see `ss -ulpn`";
	case -EADDRNOTAVAIL:
		return ": no interface has this address, see `ip address`";
	case -EACCES:
	case -EPERM:
		return ": ports below 1024 need root or CAP_NET_BIND_SERVICE";
	}
	return "";
}

int rs_user_relay_open(struct rs *rs, char *ret_why, size_t why_len)
{
	char text[NTM_ENDPOINT_TEXT];
	int err = -ENOMEM;

	rs->batch = batch_new();
	rs->socket = calloc(rs->config.listens, sizeof(*rs->socket));
	if (!rs->batch || !rs->socket) {
		snprintf(ret_why, why_len, "no memory for the sockets");
		goto fail;
	}
	for (; rs->sockets < rs->config.listens; rs->sockets++) {
		const struct ntm_endpoint *listen = &rs->config.listen[rs->sockets];

		err = socket_open(rs, &rs->socket[rs->sockets], listen);
		if (err) {
			snprintf(ret_why, why_len, "cannot listen on %s: %s%s",
				 ntm_endpoint_format(listen, text), strerror(-err), advice(err));
			goto fail;
		}
		ntm_info("listening on %s", ntm_endpoint_format(listen, text));
	}
	return 0;

fail:
	rs_user_relay_close(rs);
	return err;
}

void rs_user_relay_close(struct rs *rs)
{
	while (rs->sockets)
		socket_close(&rs->socket[--rs->sockets]);
	free(rs->socket);
	rs->socket = NULL;
	free(rs->batch);
	rs->batch = NULL;
}
