/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_find.h - a path by its ID: by rs_index to its slot of rs_state, where all is in two lines of memory;
 * or, if it is not there, by rs_paths. relay_packet.h -> here -> relay_admit.h.
 */
#ifndef NTM_BPF_RELAY_FIND_H
#define NTM_BPF_RELAY_FIND_H

#include "relay_maps.h"

struct found {
	const struct ntm_relay_leg *leg; /* both, by side */
	struct ntm_relay_state *state;
};

#define TAG_ONES 0x0001000100010001ULL
#define TAG_TOPS 0x8000800080008000ULL /* tags have 15 bits */

/* At the top of each of the four tags in a word that are not this one. */
static __always_inline __u64 tags_differ(__u64 word, __u64 tags)
{
	return ((word ^ tags) + (TAG_TOPS - TAG_ONES)) & TAG_TOPS;
}

/* The same of a bucket: of tag i of word k at bit 16 * i + 12 + k. */
static __always_inline __u64 bucket_differ(const __u64 word[4], __u64 tags)
{
	return tags_differ(word[0], tags) >> 3 | tags_differ(word[1], tags) >> 2 |
	       tags_differ(word[2], tags) >> 1 | tags_differ(word[3], tags);
}

#define TAG_PLACES 0xff00ff00ff00ff00ULL /* of both buckets, the second one's bits four lower */
/* The upper 6 bits of its products with powers of 2 are all different */
#define BIT_HASH 0x03f79d71b4cb0a89ULL
#define BIT_PLACE(bit) ((BIT_HASH << (bit)) >> 58)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LANE_BIT(tag) (16 * (tag))
#else
#define LANE_BIT(tag) (16 * (3 - (tag)))
#endif
/* The tag that a bit stands for: of bit 8 to 11 of a lane in the second bucket, of 12 to 15 in the first */
#define WORD_TAGS(word, tag)                                                \
	[BIT_PLACE(LANE_BIT(tag) + 12 + (word))] = 4 * (word) + (tag),      \
	[BIT_PLACE(LANE_BIT(tag) + 8 + (word))] = 4 * (word) + (tag) + NTM_RELAY_BUCKET
#define LANE_TAGS(tag) WORD_TAGS(0, tag), WORD_TAGS(1, tag), WORD_TAGS(2, tag), WORD_TAGS(3, tag)
static const __u8 tag_of_bit[64] = {LANE_TAGS(0), LANE_TAGS(1), LANE_TAGS(2), LANE_TAGS(3)};

/* Has both lines of a slot come from memory; nothing waits for them yet. */
static __always_inline void slot_fetch(__u32 slot)
{
	const struct ntm_relay_state *state = bpf_map_lookup_elem(&rs_state, &slot);

	if (!state)
		return;
	asm volatile("" : : "r"(*(volatile const __u64 *)&state->id));
	asm volatile("" : : "r"(*(volatile const __u64 *)&state->rate_ns));
}

/*
 * The state of a path that rs_index knows, or NULL. Where it is is found out without a branch: nobody could
 * foresee it.
 */
static __always_inline struct ntm_relay_state *find_short(__u64 id, const struct ntm_relay_config *config)
{
	struct ntm_relay_home home = ntm_relay_home(id, config->buckets);
	const __u64 *first = bpf_map_lookup_elem(&rs_index, &home.bucket[0]);
	const __u64 *second = bpf_map_lookup_elem(&rs_index, &home.bucket[1]);
	struct ntm_relay_state *state;
	__u64 tags = home.tag * TAG_ONES, same;
	__u32 number, slot;

	/* Two thirds of all paths are there. */
	slot_fetch(home.slot[0]);
	slot_fetch(home.slot[1]);
	if (!first || !second)
		return NULL;
	same = ~(bucket_differ(first, tags) | bucket_differ(second, tags) >> 4) & TAG_PLACES;
	if (!same)
		return NULL;
	number = tag_of_bit[(same & -same) * BIT_HASH >> 58];
	slot = (home.bucket[0] + (home.bucket[1] - home.bucket[0]) * (number / NTM_RELAY_BUCKET)) *
		       NTM_RELAY_BUCKET +
	       number % NTM_RELAY_BUCKET;
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
