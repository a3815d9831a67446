/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * segment.c - from one super-packet of the TUN device to the packets of the tunnel; between ntm0.c's device
 * and sealing in user_egress.c.
 *
 * Nothing is copied but headers. Checksums: the kernel leaves the folded sum of the pseudo-header, with the
 * length of the whole, in the checksum field. So the addresses need not be looked for, which a routing header
 * may have moved: the length is replaced, the segment's bytes are added.
 */
#include "daemon/segment.h"

#include <netinet/in.h>
#include <string.h>

#include <ntm/drop.h>

#include "daemon/checksum.h"

#define TCP_LEN 20
#define UDP_LEN 8
#define TCP_CHECK 16 /* offset in the header */
#define UDP_CHECK 6
#define TCP_FLAGS 13
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* The checksum the kernel left to us, of a packet that stays whole. */
static int checksum_complete(const struct virtio_net_hdr *vnet, uint8_t *packet, size_t len)
{
	size_t start = vnet->csum_start, field = start + vnet->csum_offset;
	size_t ip_len = packet[0] >> 4 == 4 ? (packet[0] & 15) * 4u : 40;
	uint16_t check;

	if (start < ip_len || start >= len || field + 2 > len)
		return -NTM_DROP_INNER_SHORT;
	check = (uint16_t)~ntmd_checksum_fold(ntmd_checksum_sum(packet + start, len - start));
	/* 0 would mean "none" in UDP; in every other protocol both stand for the same. */
	ntmd_checksum_store(packet + field, check ? check : 0xffff);
	return 0;
}

static bool type_fits(const struct virtio_net_hdr *vnet, const uint8_t *packet,
		      struct ntmd_segments *segments)
{
	segments->is4 = packet[0] >> 4 == 4;
	switch (vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		segments->tcp = true;
		return segments->is4 && packet[9] == IPPROTO_TCP;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		segments->tcp = true;
		return !segments->is4;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		segments->tcp = false;
		return !segments->is4 || packet[9] == IPPROTO_UDP;
	default: /* UFO is never switched on */
		return false;
	}
}

int ntmd_segment_begin(struct ntmd_segments *segments, const struct virtio_net_hdr *vnet, uint8_t *packet,
		       size_t len)
{
	size_t transport = vnet->csum_start, header_len, ip_len;
	unsigned check;

	segments->packet = packet;
	segments->len = len;
	segments->at = 0;
	segments->size = 0;
	segments->index = 0;
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? checksum_complete(vnet, packet, len) : 0;
	if (!type_fits(vnet, packet, segments) || !(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return -NTM_DROP_INNER_SHORT;
	check = segments->tcp ? TCP_CHECK : UDP_CHECK;
	ip_len = segments->is4 ? (packet[0] & 15) * 4u : 40;
	if (vnet->csum_offset != check || transport < ip_len || (segments->is4 && transport != ip_len) ||
	    transport + (segments->tcp ? TCP_LEN : UDP_LEN) > len)
		return -NTM_DROP_INNER_SHORT;
	header_len = transport + (segments->tcp ? (packet[transport + 12] >> 4) * 4u : UDP_LEN);
	if (header_len < transport + (segments->tcp ? TCP_LEN : UDP_LEN) || header_len >= len ||
	    header_len > NTMD_SEGMENT_HEADER_MAX)
		return -NTM_DROP_INNER_SHORT;
	if (!vnet->gso_size || len - header_len <= vnet->gso_size) /* one segment */
		return vnet->gso_size ? checksum_complete(vnet, packet, len) : -NTM_DROP_INNER_SHORT;
	segments->size = vnet->gso_size;
	segments->transport = (unsigned)transport;
	segments->header_len = (unsigned)header_len;
	segments->at = header_len;
	/* Taking a number away is adding its complement. */
	segments->sum = ntmd_checksum_load(packet + transport + check) +
			(uint64_t)(uint16_t)~ntmd_checksum_of((unsigned)(len - transport));
	memcpy(segments->header, packet, header_len);
	/* What all segments have in common: without length, ID and checksum. */
	segments->ip_sum = ntmd_checksum_load(packet) + ntmd_checksum_sum(packet + 6, 4) +
			   (segments->is4 ? ntmd_checksum_sum(packet + 12, transport - 12) : 0);
	return 0;
}

void ntmd_segment_limit(struct ntmd_segments *segments, size_t mtu)
{
	if (segments->size && segments->tcp && mtu > segments->header_len &&
	    segments->header_len + segments->size > mtu)
		segments->size = mtu - segments->header_len;
}

static void tcp_write(const struct ntmd_segments *segments, uint8_t *tcp, bool last)
{
	const uint8_t *whole = segments->header + segments->transport;

	put32(tcp + 4, get32(whole + 4) + segments->index * (uint32_t)segments->size);
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	if (segments->index) /* one segment tells of a reduced window */
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

static void ip_write(const struct ntmd_segments *segments, uint8_t *packet, size_t len)
{
	const uint8_t *whole = segments->header;

	if (!segments->is4) {
		put16(packet + 4, (unsigned)(len - 40));
		return;
	}
	put16(packet + 2, (unsigned)len);
	put16(packet + 4, ((unsigned)whole[4] << 8 | whole[5]) + segments->index);
	ntmd_checksum_store(packet + 10,
			    (uint16_t)~ntmd_checksum_fold(segments->ip_sum + ntmd_checksum_load(packet + 2) +
							  ntmd_checksum_load(packet + 4)));
}

uint8_t *ntmd_segment_next(struct ntmd_segments *segments, size_t *ret_len)
{
	size_t left = segments->len - segments->at, n = left < segments->size ? left : segments->size, len;
	uint8_t *packet, *transport, *field;
	uint16_t check;

	if (!left)
		return NULL;
	if (!segments->size) {
		segments->at = segments->len;
		*ret_len = segments->len;
		return segments->packet;
	}
	packet = segments->packet + segments->at - segments->header_len;
	transport = packet + segments->transport;
	len = segments->header_len + n;
	memcpy(packet, segments->header, segments->header_len);
	ip_write(segments, packet, len);
	if (segments->tcp)
		tcp_write(segments, transport, n == left);
	else
		put16(transport + 4, (unsigned)(len - segments->transport));
	field = transport + (segments->tcp ? TCP_CHECK : UDP_CHECK);
	ntmd_checksum_store(field, 0);
	check = (uint16_t)~ntmd_checksum_fold(segments->sum +
					      ntmd_checksum_of((unsigned)(len - segments->transport)) +
					      ntmd_checksum_sum(transport, len - segments->transport));
	ntmd_checksum_store(field, segments->tcp || check ? check : 0xffff);
	segments->at += n;
	segments->index++;
	*ret_len = len;
	return packet;
}
