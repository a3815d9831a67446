/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * node_packet.c - the packets of node.h: inner ones, frames as a peer sends them, and every field of those that
 * tc_seal has made.
 */
#include "node.h"

#include "../unit/vectors.h"

#include "aead.h"

#define ETH 14
#define UDP 17
#define TCP 6
#define ICMP 1
#define ICMP6 58

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static unsigned sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The sum of what is behind the IP header, with the pseudo header: 0xffff if it is right. */
static unsigned transport_sum(const uint8_t *packet, size_t len)
{
	bool six = packet[0] >> 4 == 6;
	size_t at = six ? 40 : (packet[0] & 15) * 4;
	unsigned protocol = six ? packet[6] : packet[9];
	uint32_t sum = protocol == ICMP ? 0 : protocol + (uint32_t)(len - at);

	if (protocol != ICMP)
		sum = sum_add(sum, packet + (six ? 8 : 12), six ? 32 : 8);
	return sum_fold(sum_add(sum, packet + at, len - at));
}

bool node_sums_right(const uint8_t *packet, size_t len)
{
	if (packet[0] >> 4 == 4 && sum_fold(sum_add(0, packet, (packet[0] & 15) * 4u)) != 0xffff)
		return false;
	return transport_sum(packet, len) == 0xffff;
}

static void checksum_set(uint8_t *packet, size_t len, size_t at)
{
	unsigned sum;

	put16(packet + at, 0);
	sum = transport_sum(packet, len) ^ 0xffff;
	put16(packet + at, sum ? sum : 0xffff);
}

static void ip4_make(uint8_t *p, size_t len, uint8_t tos, uint8_t hops, uint8_t protocol, const struct ntm_addr *from,
		     const struct ntm_addr *to)
{
	memset(p, 0, 20);
	p[0] = 0x45;
	p[1] = tos;
	put16(p + 2, len);
	p[6] = 0x40;
	p[8] = hops;
	p[9] = protocol;
	memcpy(p + 12, from->b + 12, 4);
	memcpy(p + 16, to->b + 12, 4);
	put16(p + 10, sum_fold(sum_add(0, p, 20)) ^ 0xffff);
}

static void ip6_make(uint8_t *p, size_t len, uint8_t tos, uint8_t hops, uint8_t protocol, const struct ntm_addr *from,
		     const struct ntm_addr *to)
{
	memset(p, 0, 8);
	put16(p, 0x6000U | (unsigned)tos << 4);
	put16(p + 4, len - 40);
	p[6] = protocol;
	p[7] = hops;
	memcpy(p + 8, from->b, 16);
	memcpy(p + 24, to->b, 16);
}

size_t node_inner_make(uint8_t *out, const struct node *from, const struct node *to, const struct node_inner *what)
{
	size_t ip = what->six ? 40 : 20, header = what->tcp ? 20 : 8, len = ip + header + what->payload;
	uint8_t protocol = what->tcp ? TCP : UDP, hops = what->hops ? what->hops : 64;

	for (size_t i = ip; i < len; i++)
		out[i] = (uint8_t)(i * 31 + i / 251);
	if (what->six)
		ip6_make(out, len, what->tos, hops, protocol, &from->vip6, &to->vip6);
	else
		ip4_make(out, len, what->tos, hops, protocol, &from->vip4, &to->vip4);
	put16(out + ip, 5001);
	put16(out + ip + 2, 5002);
	if (what->tcp)
		out[ip + 12] = 5 << 4;
	else
		put16(out + ip + 4, len - ip);
	checksum_set(out, len, ip + (what->tcp ? 16 : 6));
	return len;
}

size_t node_frame_make(uint8_t *out, const uint8_t *inner, size_t len)
{
	memset(out, 0, 12);
	put16(out + 12, inner[0] >> 4 == 6 ? 0x86dd : 0x0800);
	memcpy(out + ETH, inner, len);
	return ETH + len;
}

size_t node_outer_make(uint8_t *out, const struct node *from, const struct node *to, const struct node_outer *what,
		       const uint8_t *text, size_t len)
{
	size_t ip = what->four ? 20 : 40, packet = ip + 8 + NODE_OVERHEAD + len;
	uint8_t *p = out + ETH, *udp = p + ip, key[NTM_KEY_LEN];
	struct ntm_header *h = (struct ntm_header *)(udp + 8);

	memcpy(out, "\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
	put16(out + 12, what->four ? 0x0800 : 0x86dd);
	if (what->four)
		ip4_make(p, packet, what->tos, 60, UDP, &from->real4, &to->real4);
	else
		ip6_make(p, packet, what->tos, 60, UDP, &from->real6, &to->real6);
	put16(udp, from->port);
	put16(udp + 2, to->port);
	put16(udp + 4, packet - ip);
	ntm_header_set(h, what->type, what->counter, what->path_id ? what->path_id : NODE_PATH_ID);
	node_key_bytes(key, what->key);
	ntm_aead_seal_once(key, what->counter, h, sizeof(*h), text, len, h + 1);
	checksum_set(p, packet, ip + 6);
	return ETH + packet;
}

int node_outer_open(const uint8_t *frame, size_t len, const struct node *from, const struct node *to,
		    struct node_outer *what, uint8_t *ret_text)
{
	const uint8_t *p = frame + ETH, *udp;
	const struct ntm_header *h;
	size_t ip;
	uint8_t key[NTM_KEY_LEN];
	int n;

	assert_true(len > ETH + 40 + 8);
	what->four = get16(frame + 12) == 0x0800;
	ip = what->four ? 20 : 40;
	if (what->four) {
		assert_int_equal(p[0], 0x45);
		what->tos = p[1];
		assert_int_equal(get16(p + 2), len - ETH);
		assert_int_equal(get16(p + 6), 0x4000); /* DF */
		assert_int_equal(p[8], 64);
		assert_int_equal(p[9], UDP);
		assert_memory_equal(p + 12, from->real4.b + 12, 4);
		assert_memory_equal(p + 16, to->real4.b + 12, 4);
	} else {
		assert_int_equal(get16(frame + 12), 0x86dd);
		assert_int_equal(p[0] >> 4, 6);
		what->tos = (uint8_t)(get16(p) >> 4);
		assert_int_equal((p[1] & 15) << 16 | (int)get16(p + 2), 0xabcde);
		assert_int_equal(get16(p + 4), len - ETH - 40);
		assert_int_equal(p[6], UDP);
		assert_int_equal(p[7], 64);
		assert_memory_equal(p + 8, from->real6.b, 16);
		assert_memory_equal(p + 24, to->real6.b, 16);
	}
	udp = p + ip;
	assert_int_equal(get16(udp), from->port);
	assert_int_equal(get16(udp + 2), to->port);
	assert_int_equal(get16(udp + 4), len - ETH - ip);
	assert_int_not_equal(get16(udp + 6), 0);
	assert_true(node_sums_right(p, len - ETH));
	h = (const struct ntm_header *)(udp + 8);
	assert_true(ntm_header_id(h) == NODE_PATH_ID);
	what->type = h->type;
	what->counter = ntm_header_counter(h);
	node_key_bytes(key, what->key);
	n = ntm_aead_open_once(key, what->counter, h, sizeof(*h), h + 1, len - ETH - ip - 8 - sizeof(*h), ret_text);
	assert_true(n >= 0);
	return n;
}
