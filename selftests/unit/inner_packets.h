/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * inner_packets.h - TCP and UDP packets to order, with checksums computed byte by byte, for the tests and fuzz
 * targets of daemon/segment.c and daemon/coalesce.c. Shares no code with them.
 */
#ifndef SELFTESTS_INNER_PACKETS_H
#define SELFTESTS_INNER_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemon/vnet.h"

#define PACKET_ROOM 65600
#define TCP_F_FIN 0x01
#define TCP_F_SYN 0x02
#define TCP_F_RST 0x04
#define TCP_F_PSH 0x08
#define TCP_F_ACK 0x10
#define TCP_F_URG 0x20
#define TCP_F_ECE 0x40
#define TCP_F_CWR 0x80

struct spec {
	bool is4, tcp;
	uint8_t host; /* last byte of the source address */
	uint16_t port, id, window;
	uint8_t tos, ttl, flags, flow_label;
	bool df;
	uint32_t seq, ack; /* seq also says which bytes the payload has, in UDP as well */
	uint8_t options; /* bytes, multiple of 4, each with the value option */
	uint8_t option;
	size_t payload;
};

static inline void spec_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void spec_put32(uint8_t *p, uint32_t v)
{
	spec_put16(p, v >> 16);
	spec_put16(p + 2, v & 0xffff);
}

/* Folded, not complemented. */
static inline unsigned spec_sum(unsigned sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (unsigned)p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static inline unsigned spec_transport(const struct spec *spec)
{
	return spec->is4 ? 20 : 40;
}

static inline unsigned spec_header_len(const struct spec *spec)
{
	return spec_transport(spec) + (spec->tcp ? 20u + spec->options : 8u);
}

static inline unsigned spec_pseudo(const struct spec *spec, const uint8_t *packet, size_t len)
{
	unsigned sum = spec->tcp ? 6 : 17;

	sum = spec_sum(sum, packet + (spec->is4 ? 12 : 8), spec->is4 ? 8 : 32);
	sum += (unsigned)len;
	return sum > 0xffff ? sum - 0xffff : sum;
}

static inline uint8_t *spec_check(const struct spec *spec, uint8_t *packet)
{
	return packet + spec_transport(spec) + (spec->tcp ? 16 : 6);
}

/* partial: as the kernel leaves it to a device, the pseudo-header's sum only. */
static inline size_t spec_make(uint8_t *packet, const struct spec *spec, bool partial)
{
	unsigned transport = spec_transport(spec), header = spec_header_len(spec), check;
	size_t len = header + spec->payload, inner = len - transport;
	uint8_t *t = packet + transport;

	memset(packet, 0, header);
	if (spec->is4) {
		packet[0] = 0x45;
		packet[1] = spec->tos;
		spec_put16(packet + 2, (unsigned)len);
		spec_put16(packet + 4, spec->id);
		packet[6] = spec->df ? 0x40 : 0;
		packet[8] = spec->ttl;
		packet[9] = spec->tcp ? 6 : 17;
		memcpy(packet + 12, (uint8_t[]){198, 18, 0, spec->host, 198, 18, 0, 200}, 8);
		spec_put16(packet + 10, ~spec_sum(0, packet, 20) & 0xffff);
	} else {
		packet[0] = 0x60;
		packet[1] = (uint8_t)(spec->tos << 4 & 0xf0);
		packet[3] = spec->flow_label;
		spec_put16(packet + 4, (unsigned)inner);
		packet[6] = spec->tcp ? 6 : 17;
		packet[7] = spec->ttl;
		memset(packet + 8, 0xfd, 32);
		packet[23] = spec->host;
	}
	spec_put16(t, spec->port);
	spec_put16(t + 2, 5001);
	if (spec->tcp) {
		spec_put32(t + 4, spec->seq);
		spec_put32(t + 8, spec->ack);
		t[12] = (uint8_t)((20 + spec->options) / 4 << 4);
		t[13] = spec->flags;
		spec_put16(t + 14, spec->window);
		memset(t + 20, spec->option, spec->options);
	} else {
		spec_put16(t + 4, (unsigned)inner);
	}
	for (size_t i = 0; i < spec->payload; i++)
		packet[header + i] = (uint8_t)((spec->seq + i) * 7 + ((spec->seq + i) >> 8));
	check = spec_pseudo(spec, packet, inner);
	if (!partial) {
		check = ~spec_sum(check, t, inner) & 0xffff;
		if (!check && !spec->tcp)
			check = 0xffff;
	}
	spec_put16(spec_check(spec, packet), check);
	return len;
}

/* What the device says of a super-packet of this form, cut into `size` bytes of payload. */
static inline struct virtio_net_hdr spec_vnet(const struct spec *spec, unsigned size)
{
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !spec->tcp	? VIRTIO_NET_HDR_GSO_UDP_L4
			    : spec->is4 ? VIRTIO_NET_HDR_GSO_TCPV4
					: VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = (uint16_t)spec_header_len(spec),
		.gso_size = (uint16_t)size,
		.csum_start = (uint16_t)spec_transport(spec),
		.csum_offset = spec->tcp ? 16 : 6,
	};

	if (spec->tcp && spec->flags & TCP_F_CWR)
		vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	return vnet;
}

/* The i-th packet of a super-packet cut into `size` bytes of payload, from the definition. */
static inline struct spec spec_segment(const struct spec *whole, unsigned i, size_t size)
{
	struct spec part = *whole;
	size_t at = i * size;
	bool last = whole->payload - at <= size;

	part.payload = last ? whole->payload - at : size;
	part.seq += (uint32_t)at;
	part.id = (uint16_t)(part.id + i);
	if (!last)
		part.flags &= (uint8_t)~(TCP_F_FIN | TCP_F_PSH);
	if (i)
		part.flags &= (uint8_t)~TCP_F_CWR;
	return part;
}

#endif
