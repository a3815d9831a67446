/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * coalesce.c - from the opened packets of one batch to super-packets for the TUN device; between
 * user_ingress.c's checks and its writev.
 *
 * A super-packet is written with its checksum marked as still to be made, and the kernel takes that as right.
 * So nothing is joined whose own checksums were not verified here. Whatever is not plain TCP or UDP goes by
 * itself, as it came.
 */
#include "daemon/coalesce.h"

#include <netinet/in.h>
#include <string.h>

#include "daemon/checksum.h"

#define IP4_LEN 20
#define IP6_LEN 40
#define IP4_DF 0x4000
#define TCP_LEN 20
#define UDP_LEN 8
#define TCP_CHECK 16 /* offset in the header */
#define UDP_CHECK 6
#define TCP_FLAGS 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_CWR 0x80
#define TCP_LAST (TCP_FIN | TCP_PSH) /* only the last of a super-packet has these */

/* What is known of one packet. */
struct view {
	uint8_t *packet;
	size_t len, payload; /* bytes */
	unsigned transport, header_len;
	bool is4, tcp;
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* ---- looking at a packet */

enum kind {
	FOREIGN, /* may belong to any flow: fragments, extension headers, options, other protocols */
	ALONE, /* of a flow, but never joined */
	JOINABLE,
};

static enum kind view_tcp(struct view *view)
{
	const uint8_t *tcp = view->packet + view->transport;
	size_t len = view->len - view->transport;
	unsigned header;

	if (len < TCP_LEN)
		return FOREIGN;
	header = (tcp[12] >> 4) * 4u;
	if (header < TCP_LEN || header >= len || !(tcp[TCP_FLAGS] & TCP_ACK) ||
	    tcp[TCP_FLAGS] & (TCP_SYN | TCP_RST | TCP_URG))
		return ALONE;
	view->header_len = view->transport + header;
	view->payload = view->len - view->header_len;
	return JOINABLE;
}

static enum kind view_udp(struct view *view)
{
	const uint8_t *udp = view->packet + view->transport;
	size_t len = view->len - view->transport;

	if (len < UDP_LEN)
		return FOREIGN;
	if (get16(udp + 4) != len || len == UDP_LEN || !ntmd_checksum_load(udp + UDP_CHECK))
		return ALONE;
	view->header_len = view->transport + UDP_LEN;
	view->payload = len - UDP_LEN;
	return JOINABLE;
}

static enum kind view_make(struct view *view, uint8_t *packet, size_t len)
{
	uint8_t protocol;

	view->packet = packet;
	view->len = len;
	view->is4 = packet[0] >> 4 == 4;
	view->transport = view->is4 ? IP4_LEN : IP6_LEN;
	/* Of the fragment field only DF may be set. */
	if (view->is4 && ((packet[0] & 15) * 4u != IP4_LEN || get16(packet + 6) & ~IP4_DF))
		return FOREIGN;
	protocol = view->is4 ? packet[9] : packet[6];
	view->tcp = protocol == IPPROTO_TCP;
	return view->tcp ? view_tcp(view) : protocol == IPPROTO_UDP ? view_udp(view) : FOREIGN;
}

static bool sums_right(const struct view *view)
{
	const uint8_t *packet = view->packet, *transport = packet + view->transport;
	size_t len = view->len - view->transport;
	uint64_t sum;

	/* All ones is right too, but nobody computes it: the kernel would write zero. */
	if (view->is4 && (ntmd_checksum_load(packet + 10) == 0xffff ||
			  ntmd_checksum_fold(ntmd_checksum_sum(packet, IP4_LEN)) != 0xffff))
		return false;
	if (view->tcp && ntmd_checksum_load(transport + TCP_CHECK) == 0xffff)
		return false;
	sum = ntmd_checksum_pseudo(packet + (view->is4 ? 12 : 8), view->is4 ? 8 : 32,
				   view->tcp ? IPPROTO_TCP : IPPROTO_UDP, len);
	return ntmd_checksum_fold(sum + ntmd_checksum_sum(transport, len)) == 0xffff;
}

/* ---- flows */

static uint8_t *first_of(const struct ntmd_coalesce_flow *flow)
{
	return flow->part[1].iov_base;
}

static bool same_flow(const struct ntmd_coalesce_flow *flow, const struct view *view)
{
	const uint8_t *a = first_of(flow), *b = view->packet;

	return flow->is4 == view->is4 && flow->tcp == view->tcp &&
	       !memcmp(a + flow->transport, b + flow->transport, 4) && /* ports */
	       (flow->is4 ? !memcmp(a + 12, b + 12, 8) : !memcmp(a + 8, b + 8, 32));
}

static struct ntmd_coalesce_flow *flow_find(struct ntmd_coalesce *coalesce, const struct view *view)
{
	if (coalesce->last && coalesce->last->count && same_flow(coalesce->last, view))
		return coalesce->last;
	for (int i = 0; i < NTMD_COALESCE_FLOWS; i++)
		if (coalesce->flow[i].count && same_flow(&coalesce->flow[i], view))
			return &coalesce->flow[i];
	return NULL;
}

/* The first packet's header becomes the super-packet's. */
static void header_join(struct ntmd_coalesce_flow *flow)
{
	uint8_t *packet = first_of(flow), *transport = packet + flow->transport;
	size_t len = flow->len - flow->transport;
	unsigned check = flow->tcp ? TCP_CHECK : UDP_CHECK;

	if (flow->is4) {
		put16(packet + 2, (unsigned)flow->len);
		ntmd_checksum_store(packet + 10, 0);
		ntmd_checksum_store(packet + 10,
				    (uint16_t)~ntmd_checksum_fold(ntmd_checksum_sum(packet, IP4_LEN)));
	} else {
		put16(packet + 4, (unsigned)len);
	}
	if (flow->tcp)
		transport[TCP_FLAGS] |= flow->flags;
	else
		put16(transport + 4, (unsigned)len);
	/* The kernel adds the rest to the sum of the pseudo-header. */
	ntmd_checksum_store(transport + check, ntmd_checksum_fold(ntmd_checksum_pseudo(
						       packet + (flow->is4 ? 12 : 8), flow->is4 ? 8 : 32,
						       flow->tcp ? IPPROTO_TCP : IPPROTO_UDP, len)));
	flow->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !flow->tcp	? VIRTIO_NET_HDR_GSO_UDP_L4
			    : flow->is4 ? VIRTIO_NET_HDR_GSO_TCPV4
					: VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = (uint16_t)flow->header_len,
		.gso_size = (uint16_t)flow->size,
		.csum_start = (uint16_t)flow->transport,
		.csum_offset = (uint16_t)check,
	};
	if (flow->tcp && transport[TCP_FLAGS] & TCP_CWR)
		flow->vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

static void flow_flush(struct ntmd_coalesce *coalesce, struct ntmd_coalesce_flow *flow)
{
	if (flow->count > 1)
		header_join(flow);
	coalesce->write(coalesce->ctx, flow->part, (int)flow->count + 1, flow->count);
	flow->count = 0;
}

void ntmd_coalesce_flush(struct ntmd_coalesce *coalesce)
{
	struct ntmd_coalesce_flow *oldest;

	do {
		oldest = NULL;
		for (int i = 0; i < NTMD_COALESCE_FLOWS; i++) {
			struct ntmd_coalesce_flow *flow = &coalesce->flow[i];

			if (flow->count && (!oldest || flow->age < oldest->age))
				oldest = flow;
		}
		if (oldest)
			flow_flush(coalesce, oldest);
	} while (oldest);
}

static void write_alone(struct ntmd_coalesce *coalesce, uint8_t *packet, size_t len)
{
	struct virtio_net_hdr vnet = {0}; /* the checksum is the kernel's to verify */
	struct iovec part[2] = {{&vnet, NTMD_VNET_LEN}, {packet, len}};

	coalesce->write(coalesce->ctx, part, 2, 1);
}

/* ---- joining */

static bool same_ip_header(const struct ntmd_coalesce_flow *flow, const struct view *view)
{
	const uint8_t *a = first_of(flow), *b = view->packet;
	unsigned id;

	if (!flow->is4) /* version, traffic class, flow label; hop limit */
		return !memcmp(a, b, 4) && a[7] == b[7];
	if (a[1] != b[1] || a[6] != b[6] || a[8] != b[8]) /* TOS, DF, TTL */
		return false;
	id = get16(b + 4);
	if (flow->count > 1 && flow->same_id)
		return id == flow->id;
	if (id == ((flow->id + 1u) & 0xffff))
		return true;
	return flow->count == 1 && !flow->tcp && id == flow->id && a[6] & IP4_DF >> 8;
}

static bool same_tcp_header(const struct ntmd_coalesce_flow *flow, const struct view *view)
{
	const uint8_t *a = first_of(flow) + flow->transport, *b = view->packet + view->transport;

	/* FIN and PSH would have closed the flow; CWR stands in the first packet only. */
	return get32(b + 4) == flow->seq &&
	       !memcmp(a + 8, b + 8, 5) && /* ack; header length and reserved bits */
	       !(b[TCP_FLAGS] & TCP_CWR) &&
	       (a[TCP_FLAGS] & ~(TCP_LAST | TCP_CWR)) == (b[TCP_FLAGS] & ~(TCP_LAST | TCP_CWR)) &&
	       !memcmp(a + 14, b + 14, 2) && !memcmp(a + 18, b + 18, 2) && /* window, urgent pointer */
	       !memcmp(a + TCP_LEN, b + TCP_LEN, flow->header_len - flow->transport - TCP_LEN);
}

/* Whether this packet may follow on the flow's last; the flow is open, so that one was of full size. */
static bool follows(struct ntmd_coalesce_flow *flow, const struct view *view)
{
	struct view first = {first_of(flow),  flow->part[1].iov_len, flow->size,
			     flow->transport, flow->header_len,	     flow->is4,
			     flow->tcp};

	if (view->payload > flow->size || view->header_len != flow->header_len ||
	    flow->len + view->payload > 0xffff || flow->count == NTMD_COALESCE_SEGMENTS ||
	    !same_ip_header(flow, view) || (flow->tcp && !same_tcp_header(flow, view)))
		return false;
	if (!flow->summed && !sums_right(&first))
		return false;
	flow->summed = true;
	return sums_right(view);
}

/* Whether nothing may come behind this packet. */
static bool closes(const struct ntmd_coalesce_flow *flow, const struct view *view)
{
	return view->payload < flow->size ||
	       (view->tcp && view->packet[view->transport + TCP_FLAGS] & TCP_LAST);
}

static void note_last(struct ntmd_coalesce_flow *flow, const struct view *view)
{
	const uint8_t *tcp = view->packet + view->transport;

	if (flow->is4) {
		unsigned id = get16(view->packet + 4);

		flow->same_id = flow->count == 2 && id == flow->id ? true : flow->same_id;
		flow->id = (uint16_t)id;
	}
	if (flow->tcp) {
		flow->seq = get32(tcp + 4) + (uint32_t)view->payload;
		flow->flags = tcp[TCP_FLAGS] & TCP_LAST;
	}
}

static void begin(struct ntmd_coalesce *coalesce, struct ntmd_coalesce_flow *flow, const struct view *view)
{
	flow->count = 1;
	flow->age = coalesce->age++;
	flow->is4 = view->is4;
	flow->tcp = view->tcp;
	flow->summed = false;
	flow->same_id = false;
	flow->transport = view->transport;
	flow->header_len = view->header_len;
	flow->size = view->payload;
	flow->len = view->len;
	memset(&flow->vnet, 0, sizeof(flow->vnet));
	flow->part[0] = (struct iovec){&flow->vnet, NTMD_VNET_LEN};
	flow->part[1] = (struct iovec){view->packet, view->len};
	note_last(flow, view);
}

/* An unused one; if there is none, the oldest goes. */
static struct ntmd_coalesce_flow *flow_new(struct ntmd_coalesce *coalesce)
{
	struct ntmd_coalesce_flow *oldest = &coalesce->flow[0];

	for (int i = 0; i < NTMD_COALESCE_FLOWS; i++) {
		struct ntmd_coalesce_flow *flow = &coalesce->flow[i];

		if (!flow->count)
			return flow;
		if (flow->age < oldest->age)
			oldest = flow;
	}
	flow_flush(coalesce, oldest);
	return oldest;
}

static void join(struct ntmd_coalesce *coalesce, const struct view *view)
{
	struct ntmd_coalesce_flow *flow = flow_find(coalesce, view);

	if (flow && follows(flow, view)) {
		flow->count++;
		flow->part[flow->count] = (struct iovec){view->packet + view->header_len, view->payload};
		flow->len += view->payload;
		note_last(flow, view);
	} else {
		if (flow)
			flow_flush(coalesce, flow);
		else
			flow = flow_new(coalesce);
		begin(coalesce, flow, view);
	}
	coalesce->last = flow;
	if (closes(flow, view))
		flow_flush(coalesce, flow);
}

void ntmd_coalesce_add(struct ntmd_coalesce *coalesce, uint8_t *packet, size_t len)
{
	struct ntmd_coalesce_flow *flow;
	struct view view;
	enum kind kind = view_make(&view, packet, len);

	if (kind == JOINABLE && (view.tcp || coalesce->udp)) {
		join(coalesce, &view);
		return;
	}
	if (kind == FOREIGN) {
		ntmd_coalesce_flush(coalesce);
	} else {
		flow = flow_find(coalesce, &view);
		if (flow)
			flow_flush(coalesce, flow);
	}
	write_alone(coalesce, packet, len);
}
