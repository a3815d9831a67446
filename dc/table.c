/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * table.c - the hash table behind dc/member.c and dc/path.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "dc/table.h"

#define FIRST_BUCKETS 64

int dc_table_init(struct dc_table *table)
{
	struct dc_table_link **bucket = calloc(FIRST_BUCKETS, sizeof(*bucket));

	if (!bucket)
		return -ENOMEM;
	*table = (struct dc_table){.bucket = bucket, .buckets = FIRST_BUCKETS};
	return 0;
}

void dc_table_clear(struct dc_table *table)
{
	free(table->bucket);
	*table = (struct dc_table){0};
}

static struct dc_table_link **bucket_of(const struct dc_table *table, uint64_t hash)
{
	return &table->bucket[hash & (table->buckets - 1)];
}

/* Without memory for a larger one the table stays as it is: slower, still right. */
static void grow(struct dc_table *table)
{
	struct dc_table larger = {.buckets = table->buckets * 2, .count = table->count};
	struct dc_table_link *link, *next;

	larger.bucket = calloc(larger.buckets, sizeof(*larger.bucket));
	if (!larger.bucket)
		return;
	for (size_t i = 0; i < table->buckets; i++)
		for (link = table->bucket[i]; link; link = next) {
			next = link->next;
			link->next = *bucket_of(&larger, link->hash);
			*bucket_of(&larger, link->hash) = link;
		}
	free(table->bucket);
	*table = larger;
}

void dc_table_add(struct dc_table *table, struct dc_table_link *link, uint64_t hash)
{
	if (table->count >= table->buckets)
		grow(table);
	link->hash = hash;
	link->next = *bucket_of(table, hash);
	*bucket_of(table, hash) = link;
	table->count++;
}

void dc_table_remove(struct dc_table *table, struct dc_table_link *link)
{
	struct dc_table_link **at = bucket_of(table, link->hash);

	while (*at && *at != link)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = link->next;
	link->next = NULL;
	table->count--;
}

struct dc_table_link *dc_table_first(const struct dc_table *table, uint64_t hash)
{
	struct dc_table_link *link = table->bucket ? *bucket_of(table, hash) : NULL;

	while (link && link->hash != hash)
		link = link->next;
	return link;
}

struct dc_table_link *dc_table_next(const struct dc_table_link *link)
{
	uint64_t hash = link->hash;
	struct dc_table_link *next = link->next;

	while (next && next->hash != hash)
		next = next->next;
	return next;
}

struct dc_table_link *dc_table_each(const struct dc_table *table, const struct dc_table_link *link)
{
	size_t i = 0;

	if (link) {
		if (link->next)
			return link->next;
		i = (link->hash & (table->buckets - 1)) + 1;
	}
	for (; i < table->buckets; i++)
		if (table->bucket[i])
			return table->bucket[i];
	return NULL;
}

/* FNV-1a, begun at a seed that strangers do not know, and mixed so that the low bits depend on all. */
uint64_t dc_table_hash(const void *data, size_t len, uint64_t seed)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ seed;
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3ULL;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdULL;
	return hash ^ hash >> 33;
}
