/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * addr_pool.c - which virtual addresses are free: a bitmap and a hand that goes round. The members' numbers
 * come from the database at start (dc/member.c); nothing here does I/O.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dc/addr_pool.h"
#include "endpoint.h"

#define WORD_BITS 64
#define V4_OFFSET 12 /* of an IPv4 address in struct ntm_addr */

static unsigned bits_of_128(const struct dc_prefix *prefix)
{
	return prefix->bits + (ntm_addr_is4(&prefix->addr) ? 96 : 0);
}

static int prefix_parse(struct dc_prefix *ret_prefix, const char *text, unsigned max4, unsigned max6)
{
	const char *slash = strchr(text, '/');
	struct dc_prefix prefix;
	char addr[NTM_ADDR_TEXT], *end;
	unsigned long bits;

	if (!slash || (size_t)(slash - text) >= sizeof(addr) || slash[1] < '0' || slash[1] > '9')
		return -EINVAL;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	bits = strtoul(slash + 1, &end, 10);
	if (*end || ntm_addr_parse(&prefix.addr, addr))
		return -EINVAL;
	if (bits < 8 || bits > (ntm_addr_is4(&prefix.addr) ? max4 : max6))
		return -EINVAL;
	prefix.bits = (unsigned)bits;
	for (unsigned bit = bits_of_128(&prefix); bit < 128; bit++)
		if (prefix.addr.b[bit / 8] & 0x80 >> bit % 8)
			return -EINVAL;
	*ret_prefix = prefix;
	return 0;
}

int dc_prefix_parse(struct dc_prefix *ret_prefix, const char *text)
{
	return prefix_parse(ret_prefix, text, 29, 125);
}

int dc_prefix_parse_any(struct dc_prefix *ret_prefix, const char *text)
{
	return prefix_parse(ret_prefix, text, 32, 128);
}

bool dc_prefix_holds(const struct dc_prefix *prefix, const struct ntm_addr *addr)
{
	return ntm_addr_in_prefix(addr, &prefix->addr, bits_of_128(prefix));
}

bool dc_prefix_meets(const struct dc_prefix *a, const struct dc_prefix *b)
{
	return bits_of_128(a) < bits_of_128(b) ? dc_prefix_holds(a, &b->addr) : dc_prefix_holds(b, &a->addr);
}

int dc_addr_pool_init(struct dc_addr_pool *pool, const struct dc_prefix *v4, const struct dc_prefix *v6)
{
	unsigned host4 = 32 - v4->bits, host6 = 128 - v6->bits;
	uint32_t size = 1U << (host4 < host6 ? host4 : host6);

	*pool = (struct dc_addr_pool){.v4 = *v4, .v6 = *v6, .end = size - 1, .cursor = DC_ADDR_POOL_FIRST};
	pool->bitmap = calloc((size + WORD_BITS - 1) / WORD_BITS, sizeof(*pool->bitmap));
	return pool->bitmap ? 0 : -ENOMEM;
}

void dc_addr_pool_clear(struct dc_addr_pool *pool)
{
	free(pool->bitmap);
	pool->bitmap = NULL;
}

static bool is_used(const struct dc_addr_pool *pool, uint32_t number)
{
	return pool->bitmap[number / WORD_BITS] >> number % WORD_BITS & 1;
}

int dc_addr_pool_take(struct dc_addr_pool *pool, uint32_t number)
{
	if (number < DC_ADDR_POOL_FIRST || number >= pool->end)
		return -ERANGE;
	if (is_used(pool, number))
		return -EEXIST;
	pool->bitmap[number / WORD_BITS] |= 1ULL << number % WORD_BITS;
	pool->used++;
	if (number >= pool->cursor)
		pool->cursor = number + 1;
	return 0;
}

int dc_addr_pool_allocate(struct dc_addr_pool *pool, uint32_t *ret_number)
{
	uint32_t number = pool->cursor;

	if (pool->used >= pool->end - DC_ADDR_POOL_FIRST)
		return -ENOSPC;
	for (;;) {
		if (number >= pool->end)
			number = DC_ADDR_POOL_FIRST;
		if (pool->bitmap[number / WORD_BITS] == UINT64_MAX)
			number = (number / WORD_BITS + 1) * WORD_BITS; /* a full word */
		else if (is_used(pool, number))
			number++;
		else
			break;
	}
	pool->bitmap[number / WORD_BITS] |= 1ULL << number % WORD_BITS;
	pool->used++;
	pool->cursor = number + 1;
	*ret_number = number;
	return 0;
}

void dc_addr_pool_release(struct dc_addr_pool *pool, uint32_t number)
{
	if (number < DC_ADDR_POOL_FIRST || number >= pool->end || !is_used(pool, number))
		return;
	pool->bitmap[number / WORD_BITS] &= ~(1ULL << number % WORD_BITS);
	pool->used--;
}

/* The number fits into 24 bits, the prefix into the others: no carry. */
static void number_add(uint8_t *last4, uint32_t number)
{
	for (int i = 3; i >= 0; i--, number >>= 8)
		last4[i] |= (uint8_t)number;
}

void dc_addr_pool_v4(const struct dc_addr_pool *pool, uint32_t number, uint8_t ret_v4[4])
{
	memcpy(ret_v4, pool->v4.addr.b + V4_OFFSET, 4);
	number_add(ret_v4, number);
}

void dc_addr_pool_v6(const struct dc_addr_pool *pool, uint32_t number, uint8_t ret_v6[16])
{
	memcpy(ret_v6, pool->v6.addr.b, 16);
	number_add(ret_v6 + 12, number);
}

int dc_addr_pool_number(const struct dc_addr_pool *pool, const struct ntm_addr *addr, uint32_t *ret_number)
{
	const struct dc_prefix *prefix = ntm_addr_is4(addr) ? &pool->v4 : &pool->v6;
	unsigned bits = bits_of_128(prefix);
	uint32_t number = 0;

	if (!ntm_addr_in_prefix(addr, &prefix->addr, bits))
		return -ERANGE;
	for (unsigned bit = bits; bit < 128; bit++) {
		if (number >> 31) /* a large IPv6 suffix */
			return -ERANGE;
		number = number << 1 | (addr->b[bit / 8] >> (7 - bit % 8) & 1);
	}
	if (number < DC_ADDR_POOL_FIRST || number >= pool->end)
		return -ERANGE;
	*ret_number = number;
	return 0;
}

bool dc_addr_pool_holds(const struct dc_addr_pool *pool, const struct ntm_addr *addr)
{
	return dc_prefix_holds(ntm_addr_is4(addr) ? &pool->v4 : &pool->v6, addr);
}
