/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_cache.c - which names are NTM nodes and which are not, so that dns_lookup.c need not ask for NTM
 * records each time. Bounded; the oldest knowledge goes first.
 */
#include "dns_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "loop.h"

#define BUCKETS 256

struct entry {
	TAILQ_ENTRY(entry) age;
	LIST_ENTRY(entry) link;
	enum ntmd_dns_known known;
	int64_t until_ms;
	uint8_t *wire;
	size_t len;
	knot_dname_t name[];
};

struct ntmd_dns_cache {
	LIST_HEAD(, entry) bucket[BUCKETS];
	TAILQ_HEAD(, entry) age; /* oldest first */
	unsigned count;
	uint32_t seed; /* strangers choose names: they must not choose buckets */
};

static unsigned bucket_of(const struct ntmd_dns_cache *cache, const knot_dname_t *name)
{
	size_t len = knot_dname_size(name);
	uint32_t hash = cache->seed;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ name[i]) * 16777619u; /* FNV-1a */
	return (hash ^ hash >> 16) % BUCKETS;
}

int ntmd_dns_cache_open(struct ntmd_dns_cache **ret_cache)
{
	struct ntmd_dns_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	TAILQ_INIT(&cache->age);
	if (getrandom(&cache->seed, sizeof(cache->seed), 0) != sizeof(cache->seed)) {
		free(cache);
		return -EIO;
	}
	*ret_cache = cache;
	return 0;
}

static void entry_free(struct ntmd_dns_cache *cache, struct entry *entry)
{
	TAILQ_REMOVE(&cache->age, entry, age);
	LIST_REMOVE(entry, link);
	cache->count--;
	free(entry->wire);
	free(entry);
}

static struct entry *entry_find(struct ntmd_dns_cache *cache, const knot_dname_t *name)
{
	struct entry *entry;

	LIST_FOREACH (entry, &cache->bucket[bucket_of(cache, name)], link) {
		if (knot_dname_is_equal(entry->name, name))
			return entry;
	}
	return NULL;
}

enum ntmd_dns_known ntmd_dns_cache_find(struct ntmd_dns_cache *cache, const knot_dname_t *name,
					const uint8_t **ret_wire, size_t *ret_len)
{
	struct entry *entry = entry_find(cache, name);

	if (!entry)
		return NTMD_DNS_UNKNOWN;
	if (ntm_loop_now_ms() >= entry->until_ms) {
		entry_free(cache, entry);
		return NTMD_DNS_UNKNOWN;
	}
	*ret_wire = entry->wire;
	*ret_len = entry->len;
	return entry->known;
}

void ntmd_dns_cache_put(struct ntmd_dns_cache *cache, const knot_dname_t *name, enum ntmd_dns_known known,
			const uint8_t *wire, size_t len, uint32_t ttl_s)
{
	size_t name_len = knot_dname_size(name);
	struct entry *entry;

	ntmd_dns_cache_drop(cache, name);
	if (ttl_s == 0 || len > NTMD_DNS_CACHE_WIRE_MAX)
		return;
	if (ttl_s > NTMD_DNS_CACHE_TTL_S)
		ttl_s = NTMD_DNS_CACHE_TTL_S;
	if (cache->count == NTMD_DNS_CACHE_MAX)
		entry_free(cache, TAILQ_FIRST(&cache->age));
	entry = calloc(1, sizeof(*entry) + name_len);
	if (!entry)
		return;
	if (len) {
		entry->wire = malloc(len);
		if (!entry->wire) {
			free(entry);
			return;
		}
		memcpy(entry->wire, wire, len);
		entry->len = len;
	}
	memcpy(entry->name, name, name_len);
	entry->known = known;
	entry->until_ms = ntm_loop_now_ms() + (int64_t)ttl_s * 1000;
	LIST_INSERT_HEAD(&cache->bucket[bucket_of(cache, name)], entry, link);
	TAILQ_INSERT_TAIL(&cache->age, entry, age);
	cache->count++;
}

void ntmd_dns_cache_drop(struct ntmd_dns_cache *cache, const knot_dname_t *name)
{
	struct entry *entry = entry_find(cache, name);

	if (entry)
		entry_free(cache, entry);
}

void ntmd_dns_cache_flush(struct ntmd_dns_cache *cache)
{
	while (!TAILQ_EMPTY(&cache->age))
		entry_free(cache, TAILQ_FIRST(&cache->age));
}

void ntmd_dns_cache_close(struct ntmd_dns_cache *cache)
{
	if (!cache)
		return;
	ntmd_dns_cache_flush(cache);
	free(cache);
}
