/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * addr_pool.h - the virtual addresses of members. Address number i is the i-th of the IPv4 prefix and of the
 * IPv6 prefix alike, so one number is a member's pair of addresses. Pure: dc/member.c asks, dc/store.c keeps
 * what was given.
 */
#ifndef DC_ADDR_POOL_H
#define DC_ADDR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

struct dc_prefix {
	struct ntm_addr addr;
	unsigned bits; /* of the family: 0..32 or 0..128 */
};

/* Numbers 0 (network) and 1 (left for a router), and the last (broadcast) are nobody's. */
#define DC_ADDR_POOL_FIRST 2

struct dc_addr_pool {
	struct dc_prefix v4, v6;
	uint32_t end; /* numbers FIRST..end-1 can be given */
	uint32_t used, cursor;
	uint64_t *bitmap;
};

/*
 * "198.18.0.0/16", "fd4e:544d:1::/64": 0, or -EINVAL: no prefix, bits set behind it, or of a size no pool can
 * have (IPv4: 8..29 bits, IPv6: 8..125).
 */
int dc_prefix_parse(struct dc_prefix *ret_prefix, const char *text);
/* The same of any size from 8 bits on: what another DC has may be a part of its pool, or one address. */
int dc_prefix_parse_any(struct dc_prefix *ret_prefix, const char *text);
bool dc_prefix_holds(const struct dc_prefix *prefix, const struct ntm_addr *addr);
bool dc_prefix_meets(const struct dc_prefix *a, const struct dc_prefix *b); /* some address lies in both */

/* 0 or -ENOMEM. The pool is as large as the smaller of both prefixes. */
int dc_addr_pool_init(struct dc_addr_pool *pool, const struct dc_prefix *v4, const struct dc_prefix *v6);
void dc_addr_pool_clear(struct dc_addr_pool *pool);

/* A free number, or -ENOSPC. Numbers go round: one that was released is given again as late as possible. */
int dc_addr_pool_allocate(struct dc_addr_pool *pool, uint32_t *ret_number);
/* Takes this very number (found in the database): 0, -EEXIST: taken, -ERANGE: not in the pool. */
int dc_addr_pool_take(struct dc_addr_pool *pool, uint32_t number);
void dc_addr_pool_release(struct dc_addr_pool *pool, uint32_t number);

/* The addresses of a number, and back. number: -ERANGE if addr is none that the pool gives. */
void dc_addr_pool_v4(const struct dc_addr_pool *pool, uint32_t number, uint8_t ret_v4[4]);
void dc_addr_pool_v6(const struct dc_addr_pool *pool, uint32_t number, uint8_t ret_v6[16]);
int dc_addr_pool_number(const struct dc_addr_pool *pool, const struct ntm_addr *addr, uint32_t *ret_number);
/* Whether addr lies in one of the prefixes, given or not. */
bool dc_addr_pool_holds(const struct dc_addr_pool *pool, const struct ntm_addr *addr);

#endif
