/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_frame.h - frames for the tests and measurements of the relay's XDP program: built from a description,
 * with checksums made over the whole packet, so that what the program changes by difference is compared with
 * what it should be.
 */
#ifndef NTM_PROG_RELAY_FRAME_H
#define NTM_PROG_RELAY_FRAME_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ntm/header.h>
#include <ntm/types.h>

#include "endpoint.h"

#define FRAME_MAX 3072
#define ETH_LEN 14
#define IP4_LEN 20
#define IP6_LEN 40
#define UDP_LEN 8

enum frame_check { CHECK_FULL, CHECK_ZERO, CHECK_PARTIAL }; /* of UDP */

struct frame {
	uint8_t dmac[6], smac[6];
	uint16_t vlan, outer_vlan; /* tags; 0: none */
	struct ntm_endpoint source, dest;
	uint8_t tos, ttl;
	uint32_t flow_label;
	uint16_t ip4_id, ip4_frag; /* host byte order */
	enum frame_check check;
	uint8_t type;
	uint64_t id;
	size_t payload; /* bytes behind the NTM header */
	uint16_t payload_end; /* its last two bytes, if there are as many */
	size_t trailer; /* zeros behind the packet: Ethernet pads short frames */
	/* the frame */
	uint8_t b[FRAME_MAX];
	size_t len, ip, udp, ntm; /* where these headers begin */
};

static inline uint16_t frame_get16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline void frame_put16(uint8_t *b, unsigned v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline uint32_t frame_sum(const uint8_t *b, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += frame_get16(b + i);
	if (len & 1)
		sum += (uint32_t)b[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Addresses as on the wire: 4 or 16 bytes each. */
static inline uint32_t frame_pseudo(const uint8_t *source, const uint8_t *dest, bool is4, uint8_t protocol, size_t len)
{
	size_t n = is4 ? 4 : 16;

	return frame_sum(dest, n, frame_sum(source, n, protocol + (uint32_t)len));
}

static inline const uint8_t *frame_addr(const struct ntm_endpoint *endpoint)
{
	return ntm_endpoint_is4(endpoint) ? endpoint->addr.b + 12 : endpoint->addr.b;
}

static inline void frame_ip4(struct frame *f, size_t len)
{
	uint8_t *ip = f->b + f->ip;

	ip[0] = 0x45;
	ip[1] = f->tos;
	frame_put16(ip + 2, (unsigned)(IP4_LEN + len));
	frame_put16(ip + 4, f->ip4_id);
	frame_put16(ip + 6, f->ip4_frag);
	ip[8] = f->ttl;
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 12, frame_addr(&f->source), 4);
	memcpy(ip + 16, frame_addr(&f->dest), 4);
	frame_put16(ip + 10, (uint16_t)~frame_sum(ip, IP4_LEN, 0));
}

static inline void frame_ip6(struct frame *f, size_t len)
{
	uint8_t *ip = f->b + f->ip;
	uint32_t first = htonl(6U << 28 | (uint32_t)f->tos << 20 | f->flow_label);

	memcpy(ip, &first, 4);
	frame_put16(ip + 4, (unsigned)len);
	ip[6] = IPPROTO_UDP;
	ip[7] = f->ttl;
	memcpy(ip + 8, frame_addr(&f->source), 16);
	memcpy(ip + 24, frame_addr(&f->dest), 16);
}

static inline void frame_tag(struct frame *f, uint16_t type, uint16_t vlan)
{
	if (!vlan)
		return;
	frame_put16(f->b + f->ip, type);
	frame_put16(f->b + f->ip + 2, vlan);
	f->ip += 4;
}

/* Fills b from what is described above it. */
static inline void frame_build(struct frame *f)
{
	bool is4 = ntm_endpoint_is4(&f->source);
	size_t len = UDP_LEN + NTM_HEADER_LEN + f->payload;
	uint32_t pseudo = frame_pseudo(frame_addr(&f->source), frame_addr(&f->dest), is4, IPPROTO_UDP, len);
	uint8_t *udp;
	uint16_t check;

	memset(f->b, 0, sizeof(f->b));
	memcpy(f->b, f->dmac, 6);
	memcpy(f->b + 6, f->smac, 6);
	f->ip = ETH_LEN - 2;
	frame_tag(f, 0x88a8, f->outer_vlan);
	frame_tag(f, 0x8100, f->vlan);
	frame_put16(f->b + f->ip, is4 ? 0x0800 : 0x86dd);
	f->ip += 2;
	f->udp = f->ip + (is4 ? IP4_LEN : IP6_LEN);
	f->ntm = f->udp + UDP_LEN;
	f->len = f->udp + len;
	if (is4)
		frame_ip4(f, len);
	else
		frame_ip6(f, len);
	udp = f->b + f->udp;
	frame_put16(udp, f->source.port);
	frame_put16(udp + 2, f->dest.port);
	frame_put16(udp + 4, (unsigned)len);
	ntm_header_set((struct ntm_header *)(f->b + f->ntm), f->type, 0x123456789aULL, f->id);
	for (size_t i = 0; i < f->payload; i++)
		f->b[f->ntm + NTM_HEADER_LEN + i] = (uint8_t)(i * 7 + 1);
	if (f->payload >= 2)
		frame_put16(f->b + f->len - 2, f->payload_end);
	check = (uint16_t)~frame_sum(udp, len, pseudo);
	if (!check)
		check = 0xffff;
	frame_put16(udp + 6, f->check == CHECK_FULL ? check : f->check == CHECK_ZERO ? 0 : pseudo);
	f->len += f->trailer;
}

/* After changes: makes the IPv4 header's checksum again, with its options. */
static inline void frame_ip4_fix(struct frame *f)
{
	uint8_t *ip = f->b + f->ip;

	frame_put16(ip + 10, 0);
	frame_put16(ip + 10, (uint16_t)~frame_sum(ip, (ip[0] & 15) * 4U, 0));
}

/* Builds the frame so that its UDP checksum becomes `check` (but 0 is written as 0xffff): payload_end does that. */
static inline void frame_steer(struct frame *f, uint16_t check)
{
	uint32_t sum;

	f->payload_end = 0;
	f->check = CHECK_FULL;
	frame_build(f);
	/* Of all but the two bytes: ~check now. They must add what is missing to ~check as wanted. */
	sum = frame_get16(f->b + f->udp + 6) + (uint32_t)(uint16_t)~check;
	f->payload_end = (uint16_t)((sum & 0xffff) + (sum >> 16));
	if ((f->len - f->udp) & 1)
		f->payload_end = (uint16_t)(f->payload_end << 8 | f->payload_end >> 8);
	frame_build(f);
}

/*
 * Whether a frame's checksums hold: IPv4's header, and UDP, ICMP or ICMPv6 over all of it. Untagged or with
 * one tag.
 */
static inline bool frame_checks_hold(const uint8_t *b, size_t len)
{
	size_t ip = ETH_LEN, at, n;
	bool is4;
	uint8_t protocol;
	uint32_t pseudo;

	if (len > ETH_LEN && frame_get16(b + 12) == 0x8100)
		ip += 4;
	if (len < ip + IP6_LEN)
		return false;
	is4 = frame_get16(b + ip - 2) == 0x0800;
	if (!is4 && frame_get16(b + ip - 2) != 0x86dd)
		return false;
	at = ip + (is4 ? IP4_LEN : IP6_LEN);
	n = is4 ? (size_t)frame_get16(b + ip + 2) - IP4_LEN : frame_get16(b + ip + 4);
	if (at + n > len || (is4 && frame_sum(b + ip, IP4_LEN, 0) != 0xffff))
		return false;
	protocol = is4 ? b[ip + 9] : b[ip + 6];
	pseudo = is4 ? frame_pseudo(b + ip + 12, b + ip + 16, true, protocol, n) :
		       frame_pseudo(b + ip + 8, b + ip + 24, false, protocol, n);
	if (protocol == IPPROTO_ICMP)
		pseudo = 0;
	if (protocol == IPPROTO_UDP && is4 && !frame_get16(b + at + 6))
		return true;
	return frame_sum(b + at, n, pseudo) == 0xffff;
}

#endif
