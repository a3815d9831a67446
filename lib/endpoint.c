/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * endpoint.c - addresses, endpoints and names: comparing, converting and judging them. No state, no I/O.
 * Neighbours: udp.c turns endpoints into sockaddrs and back, config.c and control messages bring text.
 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96 */

bool ntm_addr_is4(const struct ntm_addr *addr)
{
	return !memcmp(addr->b, mapped, sizeof(mapped));
}

bool ntm_addr_is_none(const struct ntm_addr *addr)
{
	static const struct ntm_addr none;

	return ntm_addr_equal(addr, &none);
}

bool ntm_addr_equal(const struct ntm_addr *a, const struct ntm_addr *b)
{
	return !memcmp(a->b, b->b, sizeof(a->b));
}

void ntm_addr_from4(struct ntm_addr *ret_addr, const uint8_t v4[4])
{
	memcpy(ret_addr->b, mapped, sizeof(mapped));
	memcpy(ret_addr->b + sizeof(mapped), v4, 4);
}

void ntm_addr_from6(struct ntm_addr *ret_addr, const uint8_t v6[16])
{
	memcpy(ret_addr->b, v6, sizeof(ret_addr->b));
}

const char *ntm_addr_format(const struct ntm_addr *addr, char text[NTM_ADDR_TEXT])
{
	if (ntm_addr_is4(addr))
		inet_ntop(AF_INET, addr->b + sizeof(mapped), text, NTM_ADDR_TEXT);
	else
		inet_ntop(AF_INET6, addr->b, text, NTM_ADDR_TEXT);
	return text;
}

int ntm_addr_parse(struct ntm_addr *ret_addr, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		ntm_addr_from4(ret_addr, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		ntm_addr_from6(ret_addr, bytes);
	else
		return -EINVAL;
	return 0;
}

bool ntm_addr_in_prefix(const struct ntm_addr *addr, const struct ntm_addr *prefix, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (bits > 128 || memcmp(addr->b, prefix->b, bytes))
		return false;
	return !rest || !((addr->b[bytes] ^ prefix->b[bytes]) >> (8 - rest));
}

/* One prefix of a table; for IPv4 the bits are those of the 32. */
struct prefix4 {
	uint32_t net;
	unsigned bits;
};

struct prefix6 {
	uint8_t net[16];
	unsigned bits;
};

/* Where no other node can be: this host, loopback, link-local, multicast, reserved with broadcast. */
static const struct prefix4 unusable4[] = {
	{0x00000000, 8}, {0x7f000000, 8}, {0xa9fe0000, 16}, {0xe0000000, 4}, {0xf0000000, 4},
};

/*
 * Beyond those, not global (IANA special-purpose registry): RFC 1918, RFC 6598, protocol assignments, and the
 * benchmark range, where the virtual addresses are. The documentation prefixes are missing on purpose.
 */
static const struct prefix4 local4[] = {
	{0x0a000000, 8},  {0x64400000, 10}, {0xac100000, 12},
	{0xc0000000, 24}, {0xc0a80000, 16}, {0xc6120000, 15},
};

static const struct prefix6 unusable6[] = {
	{{0}, 127}, /* none and loopback */
	{{0xfe, 0x80}, 10}, /* link-local */
	{{0xff}, 8}, /* multicast */
};

static const struct prefix6 global6 = {{0x20}, 3}; /* RFC 4291, section 2.4, as far as assigned */
static const struct prefix6 benchmark6 = {{0x20, 0x01, 0x00, 0x02}, 48}; /* RFC 5180 */

static bool any4(const struct ntm_addr *addr, const struct prefix4 *table, size_t count)
{
	uint32_t ip = (uint32_t)addr->b[12] << 24 | (uint32_t)addr->b[13] << 16 | (uint32_t)addr->b[14] << 8 |
		      addr->b[15];

	for (size_t i = 0; i < count; i++) {
		if (!((ip ^ table[i].net) >> (32 - table[i].bits)))
			return true;
	}
	return false;
}

static bool in6(const struct ntm_addr *addr, const struct prefix6 *prefix)
{
	struct ntm_addr net;

	ntm_addr_from6(&net, prefix->net);
	return ntm_addr_in_prefix(addr, &net, prefix->bits);
}

bool ntm_addr_is_host(const struct ntm_addr *addr)
{
	if (ntm_addr_is4(addr))
		return addr->b[12] && addr->b[12] < 224;
	return !ntm_addr_is_none(addr) && addr->b[0] != 0xff;
}

bool ntm_addr_is_any(const struct ntm_addr *addr)
{
	static const uint8_t any4[4];

	return ntm_addr_is_none(addr) || (ntm_addr_is4(addr) && !memcmp(addr->b + 12, any4, sizeof(any4)));
}

bool ntm_addr_is_usable(const struct ntm_addr *addr)
{
	if (ntm_addr_is4(addr))
		return !any4(addr, unusable4, sizeof(unusable4) / sizeof(unusable4[0]));
	for (size_t i = 0; i < sizeof(unusable6) / sizeof(unusable6[0]); i++) {
		if (in6(addr, &unusable6[i]))
			return false;
	}
	return true;
}

bool ntm_addr_is_global(const struct ntm_addr *addr)
{
	if (!ntm_addr_is_usable(addr))
		return false;
	if (ntm_addr_is4(addr))
		return !any4(addr, local4, sizeof(local4) / sizeof(local4[0]));
	return in6(addr, &global6) && !in6(addr, &benchmark6);
}

/* ---- endpoints */

bool ntm_endpoint_is4(const struct ntm_endpoint *ep)
{
	return ntm_addr_is4(&ep->addr);
}

bool ntm_endpoint_is_none(const struct ntm_endpoint *ep)
{
	return !ep->port && ntm_addr_is_none(&ep->addr);
}

bool ntm_endpoint_equal(const struct ntm_endpoint *a, const struct ntm_endpoint *b)
{
	return a->port == b->port && ntm_addr_equal(&a->addr, &b->addr);
}

socklen_t ntm_endpoint_to_sockaddr(const struct ntm_endpoint *ep, struct sockaddr_storage *ret_sa)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret_sa;
	struct sockaddr_in *sin = (struct sockaddr_in *)ret_sa;

	memset(ret_sa, 0, sizeof(*ret_sa));
	if (ntm_endpoint_is4(ep)) {
		sin->sin_family = AF_INET;
		sin->sin_port = htons(ep->port);
		memcpy(&sin->sin_addr, ep->addr.b + sizeof(mapped), 4);
		return sizeof(*sin);
	}
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(ep->port);
	memcpy(&sin6->sin6_addr, ep->addr.b, 16);
	return sizeof(*sin6);
}

int ntm_endpoint_from_sockaddr(struct ntm_endpoint *ret_ep, const struct sockaddr *sa)
{
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *sin = (const struct sockaddr_in *)sa;

	/* Endpoints are compared and hashed as bytes by some: the padding is cleared too. */
	switch (sa->sa_family) {
	case AF_INET:
		memset(ret_ep, 0, sizeof(*ret_ep));
		ntm_addr_from4(&ret_ep->addr, (const uint8_t *)&sin->sin_addr);
		ret_ep->port = ntohs(sin->sin_port);
		return 0;
	case AF_INET6:
		memset(ret_ep, 0, sizeof(*ret_ep));
		ntm_addr_from6(&ret_ep->addr, sin6->sin6_addr.s6_addr);
		ret_ep->port = ntohs(sin6->sin6_port);
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}

const char *ntm_endpoint_format(const struct ntm_endpoint *ep, char text[NTM_ENDPOINT_TEXT])
{
	char addr[NTM_ADDR_TEXT];

	if (ntm_endpoint_is_none(ep))
		snprintf(text, NTM_ENDPOINT_TEXT, "-");
	else
		snprintf(text, NTM_ENDPOINT_TEXT, ntm_endpoint_is4(ep) ? "%s:%u" : "[%s]:%u",
			 ntm_addr_format(&ep->addr, addr), ep->port);
	return text;
}

/* Decimal digits only, 0..65535. */
static int port_parse(uint16_t *ret_port, const char *text)
{
	unsigned port = 0;

	if (!*text || strlen(text) > 5)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (unsigned)(*text - '0');
	}
	if (port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

int ntm_endpoint_parse(struct ntm_endpoint *ret_ep, const char *text, uint16_t default_port)
{
	const char *port = NULL, *end = text + strlen(text);
	struct ntm_endpoint ep = {.port = default_port};
	bool bracket = *text == '[';
	char addr[NTM_ADDR_TEXT];

	if (bracket) {
		text++;
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		port = end[1] ? end + 2 : NULL;
	} else if (strchr(text, '.') && strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
		end = strchr(text, ':'); /* one colon after an IPv4 address; ::ffff:1.2.3.4 has more */
		port = end + 1;
	}
	if (end - text >= NTM_ADDR_TEXT)
		return -EINVAL;
	memcpy(addr, text, (size_t)(end - text));
	addr[end - text] = 0;
	/* Brackets go with IPv6 only. */
	if (ntm_addr_parse(&ep.addr, addr) < 0 || (bracket && !strchr(addr, ':')))
		return -EINVAL;
	if (port && port_parse(&ep.port, port) < 0)
		return -EINVAL;
	memset(ret_ep, 0, sizeof(*ret_ep));
	ret_ep->addr = ep.addr;
	ret_ep->port = ep.port;
	return 0;
}

/* ---- names */

static bool label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

int ntm_name_normalise(char ret_name[NTM_FQDN_MAX + 1], const char *text)
{
	size_t len = strlen(text), label = 0;
	char name[NTM_FQDN_MAX + 1];

	if (len && text[len - 1] == '.')
		len--;
	if (!len || len > NTM_FQDN_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '.') {
			if (!label || name[i - 1] == '-')
				return -EINVAL;
			label = 0;
		} else {
			if (c >= 'A' && c <= 'Z')
				c = (char)(c - 'A' + 'a');
			if (!label_char(c) || (c == '-' && !label) || ++label > 63)
				return -EINVAL;
		}
		name[i] = c;
	}
	if (!label || name[len - 1] == '-')
		return -EINVAL;
	memcpy(ret_name, name, len);
	ret_name[len] = 0;
	return 0;
}

bool ntm_name_in_zone(const char *name, const char *zone)
{
	size_t len = strlen(name), zone_len = strlen(zone);

	if (len < zone_len || strcmp(name + len - zone_len, zone))
		return false;
	return len == zone_len || name[len - zone_len - 1] == '.';
}
