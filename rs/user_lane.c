/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_lane.c - relaying in user space: batches of datagrams, or trains of them (UDP_GRO), come by recvmmsg,
 * receive.c decides on each, and what is to be forwarded leaves unchanged by user_send.c. What a thread
 * cannot decide it hands over to the main loop.
 *
 * The kernel has checked the UDP checksum of what comes. The table of paths is locked while a batch is
 * decided on, not while it is sent.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ntm/drop.h>

#include "loop.h"
#include "stats.h"
#include "user_lane_internal.h"

#define BATCH_TRAINS 4 /* while they are long: few stay in the cache until they are sent */
#define TRAIN_BYTES 16384 /* what counts as long */

/* What is handed over: in 10 ms at most so many packets of unknown IDs, which strangers can make any number
 * of. */
#define INBOX 64
#define UNKNOWN_MAX 16
#define UNKNOWN_US 10000

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

int rs_lane_forward(struct rs_lane *lane, const struct ntm_flow *from, uint8_t *buf, size_t len,
		    int64_t now_us)
{
	const struct ntm_header *h = (const struct ntm_header *)buf;
	struct ntm_flow quiet;
	struct rs_path *path;
	int side;

	if (lane->outs == OUTS) {
		paths_unlock(lane);
		rs_lane_flush(lane);
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
	rs_lane_out_add(lane, &path->leg[!side], from, buf, len, now_us);
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
	rs_lane_flush(lane);
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
	rs_lane_flush(rs->lane[0]);
}
