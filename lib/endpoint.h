/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * endpoint.h - addresses: comparing, converting from and to sockaddr and text, and what kind they are.
 */
#ifndef NTM_LIB_ENDPOINT_H
#define NTM_LIB_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <ntm/types.h>

#define NTM_ENDPOINT_TEXT 56 /* "[IPv6]:port" and the closing zero: bytes */
#define NTM_ADDR_TEXT 46

bool ntm_addr_is4(const struct ntm_addr *addr);
bool ntm_addr_is_none(const struct ntm_addr *addr);
bool ntm_addr_equal(const struct ntm_addr *a, const struct ntm_addr *b);
void ntm_addr_from4(struct ntm_addr *ret_addr, const uint8_t v4[4]);
void ntm_addr_from6(struct ntm_addr *ret_addr, const uint8_t v6[16]);
const char *ntm_addr_format(const struct ntm_addr *addr, char text[NTM_ADDR_TEXT]); /* returns text */
int ntm_addr_parse(struct ntm_addr *ret_addr, const char *text); /* 0 or -EINVAL */
/* Whether the whole Internet could reach it: not private (RFC 1918), shared (RFC 6598), link-local, ULA,
 * loopback, multicast... The documentation prefixes count as global: test networks use them. */
bool ntm_addr_is_global(const struct ntm_addr *addr);
/* Whether a node could be reached there at all by another in its site: unicast, not loopback or
 * link-local. */
bool ntm_addr_is_usable(const struct ntm_addr *addr);
/* Whether one machine could be meant by it, this one too: not 0.0.0.0/8 or ::, multicast, reserved,
 * broadcast. */
bool ntm_addr_is_host(const struct ntm_addr *addr);
/* 0.0.0.0 or ::, where a server listens at all of its own */
bool ntm_addr_is_any(const struct ntm_addr *addr);
bool ntm_addr_in_prefix(const struct ntm_addr *addr, const struct ntm_addr *prefix,
			unsigned bits); /* bits of the 128 */

bool ntm_endpoint_is4(const struct ntm_endpoint *ep);
bool ntm_endpoint_is_none(const struct ntm_endpoint *ep);
bool ntm_endpoint_equal(const struct ntm_endpoint *a, const struct ntm_endpoint *b);
/* To a sockaddr_in for IPv4, sockaddr_in6 otherwise; returns its length. */
socklen_t ntm_endpoint_to_sockaddr(const struct ntm_endpoint *ep, struct sockaddr_storage *ret_sa);
int ntm_endpoint_from_sockaddr(struct ntm_endpoint *ret_ep,
			       const struct sockaddr *sa); /* 0 or -EAFNOSUPPORT */
const char *ntm_endpoint_format(const struct ntm_endpoint *ep,
				char text[NTM_ENDPOINT_TEXT]); /* "-" for none */
/* "1.2.3.4:port", "[::1]:port", or an address alone, then with default_port; 0 or -EINVAL. */
int ntm_endpoint_parse(struct ntm_endpoint *ret_ep, const char *text, uint16_t default_port);

/* Names: lower-cases into ret_name, checks labels and length (RFC 1035; letters, digits, '-', '_'), drops a
 * closing dot. 0 or -EINVAL. */
int ntm_name_normalise(char ret_name[NTM_FQDN_MAX + 1], const char *text);
/* Whether name is zone or below it; both normalised. */
bool ntm_name_in_zone(const char *name, const char *zone);

#endif
