/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_find.h - a path by its ID: by rs_index to its slot of rs_state, where all is in two lines of memory; or, if it is
 * not there, by rs_paths. relay_packet.h -> here -> relay_admit.h.
 */
#ifndef NTM_BPF_RELAY_FIND_H
#define NTM_BPF_RELAY_FIND_H

#include "relay_maps.h"

struct found {
	const struct ntm_relay_leg *leg; /* both, by side */
	struct ntm_relay_state *state;
};

#define TAG_ONES 0x0001000100010001ULL
#define TAG_TOPS 0x8000800080008000ULL
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TAG_GATHER 0x0001000200040008ULL /* brings bits 0, 16, 32, 48 to 48, 49, 50, 51 */
#else
#define TAG_GATHER 0x0008000400020001ULL /* to 51, 50, 49, 48 */
#endif

/* Which of the four tags in a word it is, a bit each; beside a match there may be bits that are none. */
static __always_inline __u64 tags_match(__u64 word, __u64 tag)
{
	__u64 x = word ^ tag * TAG_ONES, zero = (x - TAG_ONES) & ~x & TAG_TOPS;

	return (zero >> 15) * TAG_GATHER >> 48 & 0xf;
}

/* A bit for each of a bucket's tags. */
static __always_inline __u64 bucket_match(const __u64 word[4], __u64 tag)
{
	return tags_match(word[0], tag) | tags_match(word[1], tag) << 4 | tags_match(word[2], tag) << 8 |
	       tags_match(word[3], tag) << 12;
}

/* The number of the lowest bit of 16, one of which is set. */
static __always_inline __u32 lowest_bit(__u64 bits)
{
	/* The powers of 2, multiplied by this, have 16 different upper nibbles; the other number is what they stand for. */
	__u64 nibble = (bits & -bits) * 0x09af >> 12 & 0xf;

	return 0xcd7ea84fb6935210ULL >> nibble * 4 & 0xf;
}

/*
 * The state of a path that rs_index knows, or NULL. Where it is is found out without a branch: nobody could foresee it.
 */
static __always_inline struct ntm_relay_state *find_short(__u64 id, const struct ntm_relay_config *config)
{
	struct ntm_relay_home home = ntm_relay_home(id, config->buckets);
	const __u64 *first = bpf_map_lookup_elem(&rs_index, &home.bucket[0]);
	const __u64 *second = bpf_map_lookup_elem(&rs_index, &home.bucket[1]);
	struct ntm_relay_state *state = bpf_map_lookup_elem(&rs_state, &home.slot);
	__u64 bits, others, in_first;
	__u32 slot;

	if (state) {
		/* Half of all paths are there. */
		asm volatile("" : : "r"(*(volatile const __u64 *)&state->id));
		asm volatile("" : : "r"(*(volatile const __u64 *)&state->rate_ns));
	}
	if (!first || !second)
		return NULL;
	bits = bucket_match(first, home.tag);
	others = bucket_match(second, home.tag);
	in_first = (bits + 0xffff) >> 16;
	bits |= others * (1 - in_first);
	if (!bits)
		return NULL;
	slot = (home.bucket[1] + (home.bucket[0] - home.bucket[1]) * (__u32)in_first) * NTM_RELAY_BUCKET +
	       lowest_bit(bits);
	state = bpf_map_lookup_elem(&rs_state, &slot);
	return state && state->id == id ? state : NULL;
}

/* Whether there is such a path. */
static __always_inline bool find(__u64 id, const struct ntm_relay_config *config, struct found *ret_found)
{
	const struct ntm_relay_path *path;

	ret_found->state = find_short(id, config);
	if (ret_found->state) {
		ret_found->leg = ret_found->state->leg;
		return true;
	}
	path = bpf_map_lookup_elem(&rs_paths, &id);
	if (!path)
		return false;
	ret_found->leg = path->leg;
	ret_found->state = bpf_map_lookup_elem(&rs_state, &path->slot);
	return ret_found->state;
}

#endif
