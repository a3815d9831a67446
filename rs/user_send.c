/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_send.c - how a lane sends: datagrams of one batch that go to one leg leave as one train (UDP_SEGMENT)
 * as long as their sizes allow: each message costs the kernel a route and a buffer, a datagram in a train
 * much less. A packet goes out by the socket, and from the address, that the receiving leg bound itself at:
 * so NAT mappings on its way fit, and families are crossed by nothing but the choice of the socket. The
 * kernel makes a full UDP checksum for what leaves. user_lane.c -> here -> sendmmsg.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include <ntm/drop.h>

#include "loop.h"
#include "stats.h"
#include "user_lane_internal.h"

/* A socket whose device refused a train (no checksum offload) sends none for so long */
#define SEGMENT_PAUSE_US 1000000

/* ---- what waits to be sent */

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

/* As XDP does it: congestion marks of the way here reach the end, which opens the packet and knows what they
 * mean. */
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
static struct out *out_open(struct rs_lane *lane, const struct rs_leg *leg, unsigned listen, uint8_t tos,
			    size_t len, int64_t now_us)
{
	unsigned number = lane->slot[leg_slot(leg)];
	struct out *out = number ? &lane->out[number - 1] : NULL;

	/* What the main loop handles between two datagrams may free one leg and make another at its place. */
	if (!out || lane->is_main || out->leg != leg || out->from.tos != tos || out->closed ||
	    len > out->size || out->segments == NTM_UDP_SEGMENTS_ALWAYS ||
	    out->len + len > NTM_UDP_DATAGRAM_MAX || !lane->udp[listen].segment ||
	    now_us < lane->no_segment_us[listen])
		return NULL;
	return out;
}

static struct out *out_new(struct rs_lane *lane, const struct rs_leg *leg, unsigned listen,
			   const struct ntm_flow *from)
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

void rs_lane_out_add(struct rs_lane *lane, const struct rs_leg *leg, const struct ntm_flow *from,
		     uint8_t *buf, size_t len, int64_t now_us)
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

/* ---- sending it */

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
 * What one datagram's refusal means. A relay keeps nothing back to try again, the ends do that better; but of
 * what is too large for the interface it can tell the sender.
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
		int n = sendmmsg(lane->udp[listen].fd, lane->msg + done, count - done,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
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

void rs_lane_flush(struct rs_lane *lane)
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
