/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * inner.c - bounded reading of inner IPv4 and IPv6 headers, and ICMP errors to applications.
 * Between the TUN device (ntm0.c) and user_egress.c or user_ingress.c.
 */
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include <ntm/drop.h>

#include "daemon/inner.h"
#include "endpoint.h"

#define IP4_LEN 20
#define IP6_LEN 40
#define ICMP_LEN 8 /* the fixed part of an error, both families */
#define QUOTE4_MAX (576 - IP4_LEN - ICMP_LEN) /* RFC 1812, section 4.3.2.3 */
#define QUOTE6_MAX (NTMD_INNER_ERROR_MAX - IP6_LEN - ICMP_LEN)
#define EXTENSIONS_MAX 8 /* IPv6 extension headers looked through */
#define TOS_CONTROL 0xc0 /* internetwork control (RFC 1812, section 4.3.2.5) */

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static int parse4(struct ntmd_inner *inner, const uint8_t *packet, size_t len)
{
	if (len < IP4_LEN)
		return -NTM_DROP_INNER_SHORT;
	inner->version = 4;
	inner->header_len = (packet[0] & 15) * 4u;
	if (inner->header_len < IP4_LEN || inner->header_len > len || get16(packet + 2) != len)
		return -NTM_DROP_INNER_SHORT;
	ntm_addr_from4(&inner->source, packet + 12);
	ntm_addr_from4(&inner->dest, packet + 16);
	return 0;
}

static int parse6(struct ntmd_inner *inner, const uint8_t *packet, size_t len)
{
	/* A payload length of 0 (a jumbogram) fits only a bare header: none is taken. */
	if (len < IP6_LEN || get16(packet + 4) != len - IP6_LEN)
		return -NTM_DROP_INNER_SHORT;
	inner->version = 6;
	inner->header_len = IP6_LEN;
	memcpy(inner->source.b, packet + 8, 16);
	memcpy(inner->dest.b, packet + 24, 16);
	if (ntm_addr_is4(&inner->source))
		return -NTM_DROP_INNER_SOURCE;
	if (ntm_addr_is4(&inner->dest))
		return -NTM_DROP_INNER_DEST;
	return 0;
}

int ntmd_inner_parse(struct ntmd_inner *ret_inner, const uint8_t *packet, size_t len)
{
	struct ntmd_inner inner;
	int err;

	if (!len)
		return -NTM_DROP_INNER_SHORT;
	if (packet[0] >> 4 == 4)
		err = parse4(&inner, packet, len);
	else if (packet[0] >> 4 == 6)
		err = parse6(&inner, packet, len);
	else
		err = -NTM_DROP_INNER_VERSION;
	if (!err)
		*ret_inner = inner;
	return err;
}

bool ntmd_inner_is_local(const struct ntm_addr *addr)
{
	const uint8_t *b = addr->b;

	if (ntm_addr_is4(addr))
		return b[12] == 0 || b[12] == 127 || (b[12] == 169 && b[13] == 254) || b[12] >= 224;
	if (b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80))
		return true;
	for (int i = 0; i < 15; i++)
		if (b[i])
			return false;
	return b[15] <= 1; /* :: and ::1 */
}

/* ---- congestion marks: 0 not capable, 1 ECT(1), 2 ECT(0), 3 marked */

int ntmd_inner_ecn(uint8_t *packet, uint8_t outer)
{
	bool four = packet[0] >> 4 == 4;
	unsigned inner = (four ? packet[1] : packet[1] >> 4) & 3, ecn = inner, sum;

	outer &= 3;
	if (outer == 3 && !inner)
		return -NTM_DROP_ECN;
	if (outer == 3 || (outer == 1 && inner == 2))
		ecn = outer;
	if (ecn == inner)
		return 0;
	if (!four) {
		packet[1] = (uint8_t)((packet[1] & ~0x30) | ecn << 4);
		return 0;
	}
	packet[1] = (uint8_t)((packet[1] & ~3) | ecn);
	/* RFC 1624, equation 3: the sum loses the old word and gains the new one */
	sum = (~get16(packet + 10) & 0xffff) + (~inner & 0xffff) + ecn;
	sum = (sum & 0xffff) + (sum >> 16);
	put16(packet + 10, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
	return 0;
}

/* ---- ICMP errors */

static bool answerable4(const uint8_t *packet, size_t len, const struct ntmd_inner *inner)
{
	if (get16(packet + 6) & 0x1fff) /* not the first fragment */
		return false;
	if (packet[9] != IPPROTO_ICMP)
		return true;
	if (len <= inner->header_len)
		return false;
	switch (packet[inner->header_len]) {
	case ICMP_DEST_UNREACH:
	case ICMP_SOURCE_QUENCH:
	case ICMP_REDIRECT:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		return false;
	}
	return true;
}

static bool answerable6(const uint8_t *packet, size_t len)
{
	unsigned next = packet[6];
	size_t at = IP6_LEN, header;

	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (next == IPPROTO_ICMPV6) /* errors have types below 128 */
			return at < len && packet[at] & ICMP6_INFOMSG_MASK;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			return true;
		if (len - at < 8)
			return false;
		if (next == IPPROTO_FRAGMENT && get16(packet + at + 2) & 0xfff8) /* not the first fragment */
			return false;
		header = next == IPPROTO_FRAGMENT ? 8 : (packet[at + 1] + 1u) * 8;
		if (header > len - at)
			return false;
		next = packet[at];
		at += header;
	}
	return false;
}

static bool answerable(const uint8_t *packet, size_t len, const struct ntmd_inner *inner)
{
	if (ntmd_inner_is_local(&inner->source) || ntmd_inner_is_local(&inner->dest))
		return false;
	return inner->version == 4 ? answerable4(packet, len, inner) : answerable6(packet, len);
}

/* Adds big endian 16-bit words up (RFC 1071); an odd byte at the end counts as the high one. */
static uint32_t sum_words(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += get16(p);
	return len ? sum + ((uint32_t)p[0] << 8) : sum;
}

static unsigned sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* rest: the second 32 bits of the ICMP header. Both lengths fit their fields: the error is at most 1280
 * bytes. */
static size_t build4(uint8_t *out, const uint8_t *packet, size_t len, uint8_t code, uint32_t rest)
{
	size_t quote = len < QUOTE4_MAX ? len : QUOTE4_MAX;
	size_t total = IP4_LEN + ICMP_LEN + quote;
	uint8_t *icmp = out + IP4_LEN;

	memset(out, 0, IP4_LEN + ICMP_LEN);
	out[0] = 0x45;
	out[1] = TOS_CONTROL;
	put16(out + 2, (unsigned)total);
	out[8] = 64;
	out[9] = IPPROTO_ICMP;
	memcpy(out + 12, packet + 16, 4);
	memcpy(out + 16, packet + 12, 4);
	put16(out + 10, sum_fold(sum_words(0, out, IP4_LEN)));
	icmp[0] = ICMP_DEST_UNREACH;
	icmp[1] = code;
	put16(icmp + 4, rest >> 16);
	put16(icmp + 6, rest & 0xffff);
	memcpy(icmp + ICMP_LEN, packet, quote);
	put16(icmp + 2, sum_fold(sum_words(0, icmp, ICMP_LEN + quote)));
	return total;
}

static size_t build6(uint8_t *out, const uint8_t *packet, size_t len, uint8_t type, uint8_t code,
		     uint32_t rest)
{
	size_t quote = len < QUOTE6_MAX ? len : QUOTE6_MAX;
	size_t payload = ICMP_LEN + quote;
	uint8_t *icmp = out + IP6_LEN;
	uint32_t sum;

	memset(out, 0, IP6_LEN + ICMP_LEN);
	put16(out, 0x6000 | TOS_CONTROL << 4);
	put16(out + 4, (unsigned)payload);
	out[6] = IPPROTO_ICMPV6;
	out[7] = 64;
	memcpy(out + 8, packet + 24, 16);
	memcpy(out + 24, packet + 8, 16);
	icmp[0] = type;
	icmp[1] = code;
	put16(icmp + 4, rest >> 16);
	put16(icmp + 6, rest & 0xffff);
	memcpy(icmp + ICMP_LEN, packet, quote);
	/* pseudo header: both addresses, length, next header (RFC 8200, section 8.1) */
	sum = sum_words((uint32_t)payload + IPPROTO_ICMPV6, out + 8, 32);
	put16(icmp + 2, sum_fold(sum_words(sum, icmp, payload)));
	return IP6_LEN + payload;
}

size_t ntmd_inner_unreachable_build(uint8_t out[NTMD_INNER_ERROR_MAX], const uint8_t *packet, size_t len)
{
	struct ntmd_inner inner;

	if (ntmd_inner_parse(&inner, packet, len) || !answerable(packet, len, &inner))
		return 0;
	if (inner.version == 4)
		return build4(out, packet, len, ICMP_HOST_UNREACH, 0);
	return build6(out, packet, len, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, 0);
}

size_t ntmd_inner_too_big_build(uint8_t out[NTMD_INNER_ERROR_MAX], const uint8_t *packet, size_t len,
				unsigned mtu)
{
	struct ntmd_inner inner;

	if (ntmd_inner_parse(&inner, packet, len) || !answerable(packet, len, &inner))
		return 0;
	if (inner.version == 6)
		return build6(out, packet, len, ICMP6_PACKET_TOO_BIG, 0,
			      mtu < NTMD_INNER_MTU_MIN6 ? NTMD_INNER_MTU_MIN6 : mtu);
	if (mtu < NTMD_INNER_MTU_MIN4)
		mtu = NTMD_INNER_MTU_MIN4;
	return build4(out, packet, len, ICMP_FRAG_NEEDED, mtu > 0xffff ? 0xffff : mtu);
}

unsigned ntmd_inner_mtu_guess(size_t len)
{
	static const unsigned usual[] = {32000, 17914, 8970, 4352, 2002, 1420, 1392, 1280, 1006, 508, 296};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (usual[i] < len)
			return usual[i];
	return NTMD_INNER_MTU_MIN4;
}
