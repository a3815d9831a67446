/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_table.h - the hash table by which the user engine finds paths: by Path ID and by virtual address.
 * Entries are links inside the paths; of several with one key the one that was inserted last is found first.
 */
#ifndef NTMD_USER_TABLE_H
#define NTMD_USER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ntmd_user_link {
	struct ntmd_user_link *next;
	uint64_t hash;
	bool in; /* a table */
};

struct ntmd_user_table {
	struct ntmd_user_link **bucket;
	unsigned bits; /* 2^bits buckets */
	unsigned count;
	uint64_t seed; /* random: nobody can choose keys that meet in one bucket */
};

#define ntmd_user_entry(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

int ntmd_user_table_init(struct ntmd_user_table *table); /* 0 or -ENOMEM */
void ntmd_user_table_clear(struct ntmd_user_table *table); /* the entries are the caller's */

/* Hash of a key of two words. */
uint64_t ntmd_user_table_hash(const struct ntmd_user_table *table, uint64_t a, uint64_t b);
void ntmd_user_table_insert(struct ntmd_user_table *table, struct ntmd_user_link *link, uint64_t hash);
void ntmd_user_table_remove(struct ntmd_user_table *table,
			    struct ntmd_user_link *link); /* harmless if not in */

/* The first link with this hash, and the next one; the caller compares keys. */
struct ntmd_user_link *ntmd_user_table_first(const struct ntmd_user_table *table, uint64_t hash);
struct ntmd_user_link *ntmd_user_table_next(const struct ntmd_user_link *link);

#endif
