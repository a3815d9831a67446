/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_lane.c - relaying in user space: batches of datagrams, or trains of them (UDP_GRO), come by recvmmsg,
 * receive.c decides on each, and what is to be forwarded leaves unchanged by sendmmsg. Datagrams of one batch that go
 * to one leg leave as one train (UDP_SEGMENT) as long as their sizes allow: each message costs the kernel a route and
 * a buffer, a datagram in a train much less. A packet goes out by the socket, and from the address, that the
 * receiving leg bound itself at: so NAT mappings on its way fit, and families are crossed by nothing but the choice
 * of the socket.
 *
 * The kernel has checked the UDP checksum of what comes and makes a full one for what leaves. The table of paths is
 * locked while a batch is decided on, not while it is sent.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ntm/drop.h>

#include "loop.h"
#include "rs.h"
#include "stats.h"

#define BATCH 64 /* messages in one system call */
#define BATCH_TRAINS 4 /* while they are long: few stay in the cache until they are sent */
#define TRAIN_BYTES 16384 /* what counts as long */
#define OUTS 64 /* messages that wait to be sent */
#define SLOTS 128 /* power of two: a leg's open train is looked for at one place */
/* Not a power of two: the beginnings of all buffers would compete for the same few places of the cache. */
#define BUFFER (NTM_PACKET_MAX + 1 + 5 * 64)
#define CONTROL_LEN 128 /* control messages of one received datagram (its local address, size, TOS): bytes */
#define SEGMENT_PAUSE_US 1000000 /* a socket whose device refused a train (no checksum offload) sends none for so long */

/* What is handed over: in 10 ms at most so many packets of unknown IDs, which strangers can make any number of. */
#define INBOX 64
#define UNKNOWN_MAX 16
#define UNKNOWN_US 10000

/* One message that waits to be sent. */
struct out {
	const struct rs_leg *leg; /* that it goes to; only to compare with, and only in its batch */
	unsigned listen;
	size_t size, len; /* of a datagram, of all: bytes */
	unsigned segments, parts;
	bool closed; /* its last datagram was shorter */
	struct ntm_flow from;
	struct sockaddr_storage to;
	socklen_t to_len;
	size_t control_len;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
						 CMSG_SPACE(sizeof(uint16_t))];
	struct iovec part[NTM_UDP_SEGMENTS_ALWAYS];
};

/* One received batch. */
struct batch {
	struct sockaddr_storage from[BATCH];
	struct iovec part[BATCH];
	struct mmsghdr msg[BATCH];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_LEN];
	uint8_t buf[BATCH][BUFFER]; /* only pages that packets reached take memory */
};

struct handed {
	struct ntm_flow from;
	size_t len; /* bytes it had */
	bool header_only;
	uint8_t packet[NTM_CONTROL_MAX];
};

struct rs_lane {
	struct rs *rs;
	bool is_main;
	struct ntm_udp udp[NTM_SERVERS_MAX], urgent[NTM_SERVERS_MAX];
	bool any[NTM_SERVERS_MAX]; /* bound to no address: each packet's own matters */
	int64_t no_segment_us[NTM_SERVERS_MAX]; /* until then */
	unsigned udps, urgents;
	unsigned ask[NTM_SERVERS_MAX]; /* messages next time */
	unsigned outs;
	uint8_t slot[SLOTS]; /* hash of a leg -> number of its out, plus one */
	struct out out[OUTS];
	struct mmsghdr msg[OUTS]; /* being sent */
	struct out *sending[OUTS];
	/* to the main loop */
	pthread_mutex_t inbox_lock;
	int inbox_fd;
	unsigned handed_in; /* under the lock; as is `in` */
	struct handed *in, *read; /* written by the lane; taken by the main loop */
	unsigned unknown; /* handed over since unknown_us */
	int64_t unknown_us;
	struct batch batch;
};

/* ---- making it */

/* No address, or 0.0.0.0 */
bool rs_lane_is_any(const struct ntm_addr *addr)
{
	struct ntm_addr any4;

	ntm_addr_from4(&any4, (const uint8_t[4]){0});
	return ntm_addr_is_none(addr) || ntm_addr_equal(addr, &any4);
}

static void batch_init(struct batch *batch)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct msghdr *msg = &batch->msg[i].msg_hdr;

		batch->part[i] = (struct iovec){batch->buf[i], NTM_PACKET_MAX};
		msg->msg_name = &batch->from[i];
		msg->msg_iov = &batch->part[i];
		msg->msg_iovlen = 1;
		msg->msg_control = batch->control[i];
	}
}

struct rs_lane *rs_lane_new(struct rs *rs, bool is_main)
{
	/* calloc of this size is an untouched mapping: nothing is cleared. */
	struct rs_lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->rs = rs;
	lane->is_main = is_main;
	lane->inbox_fd = -1;
	pthread_mutex_init(&lane->inbox_lock, NULL);
	batch_init(&lane->batch);
	if (is_main)
		return lane;
	lane->inbox_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	lane->in = calloc(INBOX, sizeof(*lane->in));
	lane->read = calloc(INBOX, sizeof(*lane->read));
	if (lane->inbox_fd >= 0 && lane->in && lane->read)
		return lane;
	rs_lane_free(lane);
	return NULL;
}

static int socket_open(struct ntm_udp *udp, const struct ntm_endpoint *listen)
{
	bool is4 = ntm_endpoint_is4(listen);
	int level = is4 ? IPPROTO_IP : IPPROTO_IPV6, off = 0;
	int err = ntm_udp_open_shared(udp, listen, is4);

	if (err)
		return err;
	/* ICMP errors mean nothing to a relay, and unread they would fill the receive buffer. */
	setsockopt(udp->fd, level, is4 ? IP_RECVERR : IPV6_RECVERR, &off, sizeof(off));
	if (!rs_lane_is_any(&listen->addr))
		setsockopt(udp->fd, level, is4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &off, sizeof(off));
	return 0;
}

int rs_lane_open(struct rs_lane *lane, const struct ntm_endpoint *listen)
{
	int err = socket_open(&lane->udp[lane->udps], listen);

	if (err)
		return err;
	lane->any[lane->udps] = rs_lane_is_any(&listen->addr);
	lane->ask[lane->udps] = BATCH;
	lane->udps++;
	return 0;
}

int rs_lane_open_urgent(struct rs_lane *lane, const struct ntm_endpoint *listen)
{
	int err = socket_open(&lane->urgent[lane->urgents], listen);

	if (!err)
		lane->urgents++;
	return err;
}

void rs_lane_free(struct rs_lane *lane)
{
	if (!lane)
		return;
	while (lane->urgents)
		ntm_udp_close(&lane->urgent[--lane->urgents]);
	while (lane->udps)
		ntm_udp_close(&lane->udp[--lane->udps]);
	if (lane->inbox_fd >= 0)
		close(lane->inbox_fd);
	free(lane->in);
	free(lane->read);
	pthread_mutex_destroy(&lane->inbox_lock);
	free(lane);
}

struct ntm_udp *rs_lane_udp(struct rs_lane *lane, unsigned listen)
{
	return &lane->udp[listen];
}

struct ntm_udp *rs_lane_urgent(struct rs_lane *lane, unsigned listen)
{
	return &lane->urgent[listen];
}

/* ---- sending */

static void out_control(struct out *out, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)(out->control + out->control_len);

	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	out->control_len += CMSG_SPACE(len);
}

/* Source address of a datagram from a socket that is bound to none. */
static void out_source(struct out *out, bool is4, const struct ntm_addr *local)
{
	struct in6_pktinfo info6 = {0};
	struct in_pktinfo info4 = {0};

	if (is4) {
		memcpy(&info4.ipi_spec_dst, local->b + 12, 4);
		out_control(out, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
	} else {
		memcpy(&info6.ipi6_addr, local->b, 16);
		out_control(out, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
}

/* As XDP does it: congestion marks of the way here reach the end, which opens the packet and knows what they mean. */
static void out_tos(struct out *out, bool is4, uint8_t tos)
{
	int value = tos;

	if (is4)
		out_control(out, IPPROTO_IP, IP_TOS, &value, sizeof(value));
	else
		out_control(out, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
}

static unsigned leg_slot(const struct rs_leg *leg)
{
	return (unsigned)(((uintptr_t)leg * 0x9e3779b97f4a7c15ULL) >> 57) & (SLOTS - 1);
}

/* The train that this datagram may be the next of; NULL: it begins one. */
static struct out *out_open(struct rs_lane *lane, const struct rs_leg *leg, unsigned listen, uint8_t tos, size_t len,
			    int64_t now_us)
{
	unsigned number = lane->slot[leg_slot(leg)];
	struct out *out = number ? &lane->out[number - 1] : NULL;

	/* What the main loop handles between two datagrams may free one leg and make another at its place. */
	if (!out || lane->is_main || out->leg != leg || out->from.tos != tos || out->closed || len > out->size ||
	    out->segments == NTM_UDP_SEGMENTS_ALWAYS || out->len + len > NTM_UDP_DATAGRAM_MAX || !lane->udp[listen].segment ||
	    now_us < lane->no_segment_us[listen])
		return NULL;
	return out;
}

static struct out *out_new(struct rs_lane *lane, const struct rs_leg *leg, unsigned listen, const struct ntm_flow *from)
{
	struct out *out = &lane->out[lane->outs++];
	const struct ntm_flow *to = &leg->bound;

	out->leg = leg;
	out->listen = listen;
	out->size = out->len = 0;
	out->segments = out->parts = 0;
	out->closed = false;
	out->from = *from;
	out->to_len = ntm_endpoint_to_sockaddr(&to->remote, &out->to);
	out->control_len = 0;
	if (lane->any[listen] && !ntm_addr_is_none(&to->local))
		out_source(out, lane->udp[listen].is4, &to->local);
	if (from->tos)
		out_tos(out, lane->udp[listen].is4, from->tos);
	lane->slot[leg_slot(leg)] = (uint8_t)lane->outs;
	return out;
}

/* The caller has seen to it that there is room for one out more. */
static void out_add(struct rs_lane *lane, const struct rs_leg *leg, const struct ntm_flow *from, uint8_t *buf, size_t len,
		    int64_t now_us)
{
	unsigned listen = (unsigned)(leg->bound.udp - rs_lane_udp(lane->rs->lane[0], 0));
	struct out *out = out_open(lane, leg, listen, from->tos, len, now_us);
	struct iovec *last;

	if (!out) {
		out = out_new(lane, leg, listen, from);
		out->size = len;
	}
	out->closed = len < out->size;
	out->len += len;
	out->segments++;
	last = out->parts ? &out->part[out->parts - 1] : NULL;
	if (last && (uint8_t *)last->iov_base + last->iov_len == buf)
		last->iov_len += len; /* it came as a train */
	else
		out->part[out->parts++] = (struct iovec){buf, len};
}

static void message_fill(struct msghdr *msg, struct out *out)
{
	*msg = (struct msghdr){
		.msg_name = &out->to,
		.msg_namelen = out->to_len,
		.msg_control = out->control_len ? out->control : NULL,
		.msg_controllen = out->control_len,
	};
}

static void relayed(struct rs *rs, unsigned packets, size_t bytes)
{
	__atomic_fetch_add(&rs->packets, packets, __ATOMIC_RELAXED);
	__atomic_fetch_add(&rs->bytes, bytes, __ATOMIC_RELAXED);
}

/*
 * What one datagram's refusal means. A relay keeps nothing back to try again, the ends do that better; but of what is
 * too large for the interface it can tell the sender.
 */
static void refused(struct rs_lane *lane, const struct out *out, const uint8_t *packet, size_t len, int err)
{
	if (err != EMSGSIZE) {
		ntm_drop_count(NTM_DROP_SEND);
		return;
	}
	ntm_drop_count(NTM_DROP_TOO_BIG);
	rs_too_big_tell(lane->rs, &out->from, (const struct sockaddr *)&out->to, packet, len);
}

static void send_single(struct rs_lane *lane, struct out *out, uint8_t *packet, size_t len)
{
	struct iovec part = {packet, len};
	struct msghdr msg;

	message_fill(&msg, out);
	msg.msg_iov = &part;
	msg.msg_iovlen = 1;
	while (sendmsg(lane->udp[out->listen].fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		refused(lane, out, packet, len, errno);
		return;
	}
	relayed(lane->rs, 1, len);
}

/* A train that was refused, one by one. */
static void send_apart(struct rs_lane *lane, struct out *out)
{
	out->control_len -= CMSG_SPACE(sizeof(uint16_t));
	for (unsigned i = 0; i < out->parts; i++) {
		uint8_t *at = out->part[i].iov_base, *end = at + out->part[i].iov_len;

		while (at < end) {
			size_t len = (size_t)(end - at) < out->size ? (size_t)(end - at) : out->size;

			send_single(lane, out, at, len);
			at += len;
		}
	}
}

static void out_refused(struct rs_lane *lane, struct out *out, int err)
{
	switch (out->segments > 1 ? err : 0) {
	case EIO:
		/* Which device it was is not known, only that trying again costs a system call. */
		lane->no_segment_us[out->listen] = ntm_loop_now_us() + SEGMENT_PAUSE_US;
		/* fall through */
	case EINVAL:
	case EMSGSIZE:
	case EOPNOTSUPP:
	case ENOPROTOOPT:
		send_apart(lane, out);
		return;
	}
	for (unsigned i = 1; i < out->segments; i++)
		ntm_drop_count(NTM_DROP_SEND);
	refused(lane, out, out->part[0].iov_base, out->size, err);
}

static void socket_send(struct rs_lane *lane, unsigned listen, unsigned count)
{
	for (unsigned done = 0; done < count;) {
		int n = sendmmsg(lane->udp[listen].fd, lane->msg + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		unsigned packets = 0;
		size_t bytes = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			out_refused(lane, lane->sending[done++], errno);
			continue;
		}
		while (n--) {
			packets += lane->sending[done]->segments;
			bytes += lane->sending[done++]->len;
		}
		relayed(lane->rs, packets, bytes);
	}
}

/* Before the buffers are received into again. */
static void lane_flush(struct rs_lane *lane)
{
	for (unsigned listen = 0; listen < lane->udps && lane->outs; listen++) {
		unsigned count = 0;

		for (unsigned i = 0; i < lane->outs; i++) {
			struct out *out = &lane->out[i];
			uint16_t size = (uint16_t)out->size;

			if (out->listen != listen)
				continue;
			if (out->segments > 1)
				out_control(out, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
			message_fill(&lane->msg[count].msg_hdr, out);
			lane->msg[count].msg_hdr.msg_iov = out->part;
			lane->msg[count].msg_hdr.msg_iovlen = out->parts;
			lane->sending[count++] = out;
		}
		if (count)
			socket_send(lane, listen, count);
	}
	if (lane->outs)
		memset(lane->slot, 0, sizeof(lane->slot));
	lane->outs = 0;
}

/* ---- the table of paths, which the main loop need not lock */

static void paths_lock(struct rs_lane *lane)
{
	if (!lane->is_main)
		rs_paths_read_lock(&lane->rs->paths);
}

static void paths_unlock(struct rs_lane *lane)
{
	if (!lane->is_main)
		rs_paths_read_unlock(&lane->rs->paths);
}

int rs_lane_forward(struct rs_lane *lane, const struct ntm_flow *from, uint8_t *buf, size_t len, int64_t now_us)
{
	const struct ntm_header *h = (const struct ntm_header *)buf;
	struct ntm_flow quiet;
	struct rs_path *path;
	int side;

	if (lane->outs == OUTS) {
		paths_unlock(lane);
		lane_flush(lane);
		paths_lock(lane);
	}
	path = rs_path_find(&lane->rs->paths, ntm_header_id(h), now_us / 1000);
	if (!path)
		return -NTM_DROP_PATH_UNKNOWN;
	side = rs_path_admit(path, h->type, &from->remote, len, now_us);
	if (side < 0)
		return side;
	if (!rs_leg_is_bound_to(&path->leg[side], &from->remote)) {
		/* It has not shown that it is there: no error is sent to it. */
		quiet = *from;
		quiet.remote.port = 0;
		from = &quiet;
	}
	out_add(lane, &path->leg[!side], from, buf, len, now_us);
	return 0;
}

/* ---- receiving */

/* ret_size: of a datagram, if several came as one, then with one TOS. */
static void control_read(struct msghdr *msg, struct ntm_addr *ret_local, uint8_t *ret_tos, size_t *ret_size)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			*ret_size = size > 0 ? (size_t)size : 0;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ntm_addr_from4(ret_local, (const uint8_t *)&info.ipi_spec_dst);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ntm_addr_from6(ret_local, (const uint8_t *)&info.ipi6_addr);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			*ret_tos = *CMSG_DATA(c);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			int class;

			memcpy(&class, CMSG_DATA(c), sizeof(class));
			*ret_tos = (uint8_t)class;
		}
	}
}

/* One message: a datagram, or several of one size and a shorter last one. */
static void message_receive(struct rs_lane *lane, unsigned listen, unsigned i, int64_t now_us)
{
	struct batch *batch = &lane->batch;
	struct msghdr *msg = &batch->msg[i].msg_hdr;
	/* Whichever lane it came by, a flow's socket is the main one's: that is what legs are bound by. */
	struct ntm_flow from = {.udp = rs_lane_udp(lane->rs->lane[0], listen)};
	size_t len = batch->msg[i].msg_len, size = 0, at = 0;
	struct ntm_addr local = {0};

	if (msg->msg_controllen)
		control_read(msg, &local, &from.tos, &size);
	if (lane->any[listen])
		from.local = local;
	if (ntm_endpoint_from_sockaddr(&from.remote, msg->msg_name))
		return;
	do { /* an empty datagram is one too */
		size_t n = size && size < len - at ? size : len - at;

		if (lane->is_main)
			rs_receive_packet(lane->rs, &from, batch->buf[i] + at, n, now_us);
		else
			rs_receive_relayed(lane, &from, batch->buf[i] + at, n, now_us);
		at += n;
	} while (at < len);
}

bool rs_lane_read(struct rs_lane *lane, unsigned listen, bool urgent)
{
	struct ntm_udp *udp = urgent ? &lane->urgent[listen] : &lane->udp[listen];
	struct batch *batch = &lane->batch;
	unsigned ask = lane->ask[listen];
	size_t bytes = 0;
	int64_t now_us;
	int n;

	for (unsigned i = 0; i < ask; i++) {
		batch->msg[i].msg_hdr.msg_namelen = sizeof(batch->from[i]);
		batch->msg[i].msg_hdr.msg_controllen = sizeof(batch->control[i]);
	}
	n = recvmmsg(udp->fd, batch->msg, ask, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return false; /* empty now, or an error that the next event tells again */
	ntm_udp_overruns_read(udp);
	now_us = ntm_loop_now_us();
	paths_lock(lane);
	for (unsigned i = 0; i < (unsigned)n; i++) {
		bytes += batch->msg[i].msg_len;
		message_receive(lane, listen, i, now_us);
	}
	paths_unlock(lane);
	lane_flush(lane);
	lane->ask[listen] = bytes / (unsigned)n >= TRAIN_BYTES ? BATCH_TRAINS : BATCH;
	return (unsigned)n == ask;
}

/* ---- to the main loop */

static bool unknown_is_too_many(struct rs_lane *lane, int64_t now_us)
{
	if (now_us - lane->unknown_us >= UNKNOWN_US) {
		lane->unknown_us = now_us;
		lane->unknown = 0;
	}
	return lane->unknown++ >= UNKNOWN_MAX;
}

void rs_lane_hand_over(struct rs_lane *lane, const struct ntm_flow *from, const uint8_t *buf, size_t len,
		       bool header_only, int64_t now_us)
{
	size_t keep = header_only ? NTM_HEADER_LEN : len;
	struct handed *handed = NULL;
	uint64_t one = 1;
	bool first;

	if (header_only && unknown_is_too_many(lane, now_us)) {
		ntm_drop_count(NTM_DROP_PATH_UNKNOWN);
		return;
	}
	if (keep > sizeof(handed->packet)) {
		ntm_drop_count(NTM_DROP_LONG);
		return;
	}
	pthread_mutex_lock(&lane->inbox_lock);
	first = !lane->handed_in;
	if (lane->handed_in < INBOX) {
		handed = &lane->in[lane->handed_in++];
		handed->from = *from;
		handed->len = len;
		handed->header_only = header_only;
		memcpy(handed->packet, buf, keep);
	}
	pthread_mutex_unlock(&lane->inbox_lock);
	if (!handed)
		ntm_drop_count(header_only ? NTM_DROP_PATH_UNKNOWN : NTM_DROP_LIMIT);
	else if (first && write(lane->inbox_fd, &one, sizeof(one)) < 0)
		ntm_drop_count(NTM_DROP_LIMIT); /* cannot be: the counter is far from full */
}

int rs_lane_inbox_fd(const struct rs_lane *lane)
{
	return lane->inbox_fd;
}

void rs_lane_inbox_read(struct rs_lane *lane)
{
	struct rs *rs = lane->rs;
	struct handed *taken;
	uint64_t wakes;
	unsigned count;

	if (read(lane->inbox_fd, &wakes, sizeof(wakes)) < 0)
		return;
	pthread_mutex_lock(&lane->inbox_lock);
	taken = lane->in;
	count = lane->handed_in;
	lane->in = lane->read;
	lane->read = taken;
	lane->handed_in = 0;
	pthread_mutex_unlock(&lane->inbox_lock);
	for (unsigned i = 0; i < count; i++) {
		struct handed *handed = &taken[i];

		if (handed->header_only)
			rs_receive_unknown(rs, &handed->from, handed->packet, handed->len);
		else
			rs_receive_packet(rs, &handed->from, handed->packet, handed->len, ntm_loop_now_us());
	}
	lane_flush(rs->lane[0]);
}
