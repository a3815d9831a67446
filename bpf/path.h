/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path.h - from a virtual address or a Path ID to what is known of the path, and counting what is dropped.
 * Used by every program of the node; who writes what: include/ntm/maps.h.
 */
#ifndef NTM_BPF_PATH_H
#define NTM_BPF_PATH_H

#include "maps.h"

#include <bpf/bpf_endian.h>
#include <ntm/header.h>

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))

struct path {
	const struct ntm_ends *ends; /* only its first part, which is constant */
	struct ntm_state *state;
	__u32 slot;
};

/* Over the Ethernet header between tc_egress.bpf.c and tc_seal.bpf.c, where no address is needed. */
struct path_hint {
	__u16 zero; /* a group's address would begin with an odd byte */
	__u32 slot; /* of the packet's path, plus one; 0: not known */
} __attribute__((packed, aligned(2), may_alias));

static __always_inline const struct ntm_config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ntm_config, &zero);
}

/* Whether ntmd's loop runs. now: boot-time clock */
static __always_inline bool config_alive(const struct ntm_config *config, __u64 now)
{
	return (__s64)(now - READ_ONCE(config->heartbeat_ns)) < NTM_HEARTBEAT_NS;
}

/* Whether a device is one of the tunnel's own: a route that leads there is a loop. */
static __always_inline bool config_is_own(const struct ntm_config *config, __u32 ifindex)
{
	return ifindex == config->device || ifindex == config->seal_in || ifindex == config->seal_out;
}

/* reason: as helpers return it, negative */
static __always_inline void drop_count(int reason)
{
	__u32 index = -reason;
	__u64 *count = bpf_map_lookup_elem(&ntm_stats, &index);

	if (count)
		(*count)++;
}

static __always_inline void path_drop(const struct path *path, int reason)
{
	drop_count(reason);
	__sync_fetch_and_add(&path->state->drops, 1);
}

static __always_inline bool addr_equal(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

/* Whether both lead to the same place, from whichever source. */
static __always_inline bool way_equal(const struct ntm_way *a, const struct ntm_way *b)
{
	return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

static __always_inline bool addr_is_none(const void *addr)
{
	const __u32 *w = addr;

	return !(w[0] | w[1] | w[2] | w[3]);
}

static __always_inline bool addr_is4(const struct ntm_addr *addr)
{
	const __u32 *w = (const void *)addr;

	return !(w[0] | w[1] | (w[2] ^ bpf_htonl(0xffff)));
}

static __always_inline __be32 addr_get4(const struct ntm_addr *addr)
{
	return *(const __be32 *)(addr->b + 12);
}

static __always_inline void addr_set4(struct ntm_addr *addr, __be32 v4)
{
	__u32 *w = (void *)addr;

	w[0] = w[1] = 0;
	w[2] = bpf_htonl(0xffff);
	w[3] = v4;
}

static __always_inline void addr_set6(struct ntm_addr *addr, const struct in6_addr *v6)
{
	__u32 *w = (void *)addr;

	w[0] = v6->in6_u.u6_addr32[0];
	w[1] = v6->in6_u.u6_addr32[1];
	w[2] = v6->in6_u.u6_addr32[2];
	w[3] = v6->in6_u.u6_addr32[3];
}

/*
 * What is known of a slot's path; ret_now: the part of ntm_ends that changes, as it was at one moment. ntmd
 * fills the copy that is not in use, then counts the version up: a copy read between two equal versions is
 * whole. Twice in vain only if ntmd writes all the time. 0 or -NTM_DROP_NO_PATH.
 */
static __always_inline int path_take(struct path *path, struct ntm_ends_copy *ret_now, __u32 slot)
{
	const struct ntm_ends *ends = bpf_map_lookup_elem(&ntm_ends, &slot);
	struct ntm_state *state = bpf_map_lookup_elem(&ntm_state, &slot);
	__u64 order = 0;

	if (!ends || !state)
		return -NTM_DROP_NO_PATH;
	path->slot = slot;
	path->ends = ends;
	path->state = state;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		__u32 version = READ_ONCE(ends->version);

		*ret_now = ends->copy[version & 1];
		__sync_fetch_and_add(&order, 1); /* the copy is read before the version is looked at again */
		if (READ_ONCE(ends->version) == version)
			return 0;
	}
	return -NTM_DROP_NO_PATH;
}

/* The key of this phase, if BPF has it and its time is not over, else NULL. now: boot-time clock */
static __always_inline const struct ntm_map_key *path_key(__u32 slot, __u32 phase, __u64 now)
{
	__u32 index = slot * 2 + (phase & 1);
	const struct ntm_map_key *key = bpf_map_lookup_elem(&ntm_keys, &index);

	if (!key || !READ_ONCE(key->tag) || key->phase != phase || now >= key->expires_ns)
		return NULL;
	return key;
}

/* Whether `bytes` more may go to the path's route: one that is not proven takes only so much. take: and
 * counts them. */
static __always_inline bool path_allowed(const struct path *path, const struct ntm_ends_copy *now,
					 __u32 bytes, bool take)
{
	__u64 serial = (__u64)now->serial << 32, before, after;

	if (!now->unproven_bytes)
		return true;
	before = READ_ONCE(path->state->unproven);
	after = (before >> 32 == now->serial ? before : serial) + bytes;
	if ((__u32)after > now->unproven_bytes)
		return false;
	/* Another CPU was faster: this packet finds no room, the next one does. */
	return !take || __sync_val_compare_and_swap(&path->state->unproven, before, after) == before;
}

#endif
