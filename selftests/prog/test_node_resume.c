/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_node_resume.c - which packets bpf/resume.h keeps for daemon/user_resume.c: the last segment with data
 * of each TCP connection that went inline.
 */
#include "node_pair.h"

#include <sys/mman.h>

#define FIN 1
#define SYN 2
#define ACK 16

static struct ntm_map_segment *segments;

static int open_all(void **state)
{
	if (setup(state))
		return -1;
	segments = mmap(NULL, NTM_SEGMENTS_SLOTS * sizeof(*segments), PROT_READ | PROT_WRITE, MAP_SHARED,
			bpf_map__fd(a.bpf->maps.ntm_segments), 0);
	return segments == MAP_FAILED ? -1 : 0;
}

static int none_kept(void **state)
{
	memset(segments, 0, NTM_SEGMENTS_SLOTS * sizeof(*segments));
	return fresh(state);
}

static const struct ntm_map_segment *only_one(void)
{
	const struct ntm_map_segment *found = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < NTM_SEGMENTS_SLOTS; i++) {
		if (!segments[i].sent_ns)
			continue;
		found = &segments[i];
		count++;
	}
	return count == 1 ? found : NULL;
}

static unsigned kept(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < NTM_SEGMENTS_SLOTS; i++)
		count += segments[i].sent_ns != 0;
	return count;
}

static size_t segment_make(uint8_t *inner, bool six, size_t payload, uint8_t flags)
{
	struct node_inner what = {.six = six, .tcp = true, .payload = payload};
	size_t len = node_inner_make(inner, &a, &b, &what);

	inner[(six ? 40 : 20) + 13] = flags;
	return len;
}

static int seal(const uint8_t *inner, size_t len)
{
	uint8_t frame[NODE_FRAME];
	struct prog_run run;

	return node_seal(&a, frame, node_frame_make(frame, inner, len), &run);
}

static void segments_with_data_are_kept_whole(void **state)
{
	static const size_t payloads[] = {1, 2, 3, 63, 64, 512, 1300};
	uint8_t inner[NODE_FRAME];
	uint64_t begun;

	(void)state;
	for (int i = 0; i < 4; i++) {
		node_path(&a, &b, i & 1);
		memset(segments, 0, NTM_SEGMENTS_SLOTS * sizeof(*segments));
		for (size_t n = 0; n < sizeof(payloads) / sizeof(payloads[0]); n++) {
			size_t len = segment_make(inner, i & 2, payloads[n], ACK);
			const struct ntm_map_segment *segment;

			begun = node_now();
			assert_int_equal(seal(inner, len), NODE_REDIRECT);
			segment = only_one(); /* in the place of the one before */
			assert_non_null(segment);
			assert_in_range(segment->sent_ns, begun, node_now());
			assert_int_equal(segment->len, len);
			assert_memory_equal(segment->packet, inner, len);
		}
	}
}

static void what_is_not_acknowledged_is_not_kept(void **state)
{
	uint8_t inner[NODE_FRAME];

	(void)state;
	for (int six = 0; six < 2; six++) {
		struct node_inner datagram = {.six = six, .payload = 100};

		assert_int_equal(seal(inner, segment_make(inner, six, 0, ACK)), NODE_REDIRECT);
		assert_int_equal(seal(inner, node_inner_make(inner, &a, &b, &datagram)), NODE_REDIRECT);
	}
	assert_int_equal(kept(), 0);
	assert_int_equal(seal(inner, segment_make(inner, false, 0, SYN)), NODE_REDIRECT);
	assert_int_equal(kept(), 1);
	memset(segments, 0, NTM_SEGMENTS_SLOTS * sizeof(*segments));
	assert_int_equal(seal(inner, segment_make(inner, false, 0, FIN | ACK)), NODE_REDIRECT);
	assert_int_equal(kept(), 1);
}

static void each_connection_has_its_own(void **state)
{
	uint8_t inner[NODE_FRAME];
	size_t len = segment_make(inner, false, 100, ACK);

	(void)state;
	for (int i = 0; i < 16; i++) {
		inner[20] = (uint8_t)(i * 7);
		inner[21] = (uint8_t)(i * 31);
		assert_int_equal(seal(inner, len), NODE_REDIRECT);
	}
	assert_in_range(kept(), 14, 16); /* some may share a place */
}

/* TCP takes it for sent. But what ntmd or BPF has refused is not sent again. */
static void also_what_found_no_route_is_kept(void **state)
{
	uint8_t inner[NODE_FRAME];
	size_t len = segment_make(inner, false, 100, ACK);

	(void)state;
	node_ends_next(&a)->flags = 0;
	node_ends_flip(&a);
	assert_int_equal(seal(inner, len), NODE_SHOT);
	assert_int_equal(node_drops(&a, NTM_DROP_NO_ROUTE), 1);
	assert_int_equal(kept(), 1);
	memset(segments, 0, NTM_SEGMENTS_SLOTS * sizeof(*segments));
	node_path(&a, &b, true);
	node_key(&a, 0, 0, 0, 0, 0);
	assert_int_equal(seal(inner, len), NODE_SHOT);
	node_path(&a, &b, true);
	inner[15] ^= 4; /* not our address */
	assert_int_equal(seal(inner, len), NODE_SHOT);
	assert_int_equal(kept(), 0);
}

int main(void)
{
	const struct CMUnitTest resume[] = {
		cmocka_unit_test_setup(segments_with_data_are_kept_whole, none_kept),
		cmocka_unit_test_setup(what_is_not_acknowledged_is_not_kept, none_kept),
		cmocka_unit_test_setup(each_connection_has_its_own, none_kept),
		cmocka_unit_test_setup(also_what_found_no_route_is_kept, none_kept),
	};

	return cmocka_run_group_tests(resume, open_all, teardown);
}
