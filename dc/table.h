/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * table.h - hash tables whose links lie inside the things they hold (members, paths, names). They grow by
 * themselves.
 */
#ifndef DC_TABLE_H
#define DC_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct dc_table_link {
	struct dc_table_link *next;
	uint64_t hash;
};

struct dc_table {
	struct dc_table_link **bucket;
	size_t buckets; /* a power of two */
	size_t count;
};

#define dc_container(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

int dc_table_init(struct dc_table *table); /* 0 or -ENOMEM */
void dc_table_clear(struct dc_table *table); /* frees the buckets, not the things */
void dc_table_add(struct dc_table *table, struct dc_table_link *link, uint64_t hash);
void dc_table_remove(struct dc_table *table, struct dc_table_link *link);
/* Those with this hash, one after the other; NULL at the end. */
struct dc_table_link *dc_table_first(const struct dc_table *table, uint64_t hash);
struct dc_table_link *dc_table_next(const struct dc_table_link *link);
/* All of them; link NULL: the first. Nothing may be added meanwhile. */
struct dc_table_link *dc_table_each(const struct dc_table *table, const struct dc_table_link *link);

uint64_t dc_table_hash(const void *data, size_t len, uint64_t seed);

#endif
