/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_table.c - a chained hash table that doubles as it fills: a node with three paths pays for 64 buckets,
 * one with NTM_PATHS_MAX still looks at one or two links a packet. Used by user_engine.c, user_egress.c,
 * user_ingress.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "crypto.h"
#include "daemon/user_table.h"

#define FIRST_BITS 6

int ntmd_user_table_init(struct ntmd_user_table *table)
{
	struct ntmd_user_link **bucket = calloc(1U << FIRST_BITS, sizeof(*bucket));

	if (!bucket)
		return -ENOMEM;
	*table = (struct ntmd_user_table){
		.bucket = bucket, .bits = FIRST_BITS, .seed = ntm_crypto_random_u64()};
	return 0;
}

void ntmd_user_table_clear(struct ntmd_user_table *table)
{
	free(table->bucket);
	table->bucket = NULL;
	table->count = 0;
}

static uint64_t mix(uint64_t v)
{
	/* the finaliser of MurmurHash3's 128-bit form: every bit of v reaches every bit of the result */
	v = (v ^ v >> 33) * 0xff51afd7ed558ccdULL;
	v = (v ^ v >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return v ^ v >> 33;
}

uint64_t ntmd_user_table_hash(const struct ntmd_user_table *table, uint64_t a, uint64_t b)
{
	return mix(mix(mix(table->seed ^ a) ^ b) + table->seed);
}

static struct ntmd_user_link **bucket_of(const struct ntmd_user_table *table, uint64_t hash)
{
	return &table->bucket[hash & ((1ULL << table->bits) - 1)];
}

/* Splits every chain in two, in order: of equal keys the newest stays first. Without memory chains only grow
 * longer. */
static void grow(struct ntmd_user_table *table)
{
	size_t old = (size_t)1 << table->bits;
	struct ntmd_user_link **bucket = calloc(2 * old, sizeof(*bucket));

	if (!bucket)
		return;
	for (size_t i = 0; i < old; i++) {
		struct ntmd_user_link **tail[2] = {&bucket[i], &bucket[i + old]}, *link, *next;

		for (link = table->bucket[i]; link; link = next) {
			int half = (link->hash & old) != 0;

			next = link->next;
			link->next = NULL;
			*tail[half] = link;
			tail[half] = &link->next;
		}
	}
	free(table->bucket);
	table->bucket = bucket;
	table->bits++;
}

void ntmd_user_table_insert(struct ntmd_user_table *table, struct ntmd_user_link *link, uint64_t hash)
{
	struct ntmd_user_link **bucket;

	if (table->count >> table->bits)
		grow(table);
	bucket = bucket_of(table, hash);
	link->hash = hash;
	link->next = *bucket;
	link->in = true;
	*bucket = link;
	table->count++;
}

void ntmd_user_table_remove(struct ntmd_user_table *table, struct ntmd_user_link *link)
{
	struct ntmd_user_link **at;

	if (!link->in)
		return;
	for (at = bucket_of(table, link->hash); *at != link; at = &(*at)->next)
		;
	*at = link->next;
	link->next = NULL;
	link->in = false;
	table->count--;
}

struct ntmd_user_link *ntmd_user_table_first(const struct ntmd_user_table *table, uint64_t hash)
{
	struct ntmd_user_link *link = *bucket_of(table, hash);

	while (link && link->hash != hash)
		link = link->next;
	return link;
}

struct ntmd_user_link *ntmd_user_table_next(const struct ntmd_user_link *link)
{
	uint64_t hash = link->hash;

	do
		link = link->next;
	while (link && link->hash != hash);
	return (struct ntmd_user_link *)link;
}
