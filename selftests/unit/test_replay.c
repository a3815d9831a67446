/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_replay.c - lib/replay.c at the edges of its window, and against a plain list of what was seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "replay.h"

#define WINDOW ((uint64_t)NTM_REPLAY_WINDOW)

static void a_fresh_window_takes_any_counter_once(void **state)
{
	static const uint64_t first[] = {0, 1, 63, 64, 2047, 2048, 2111, 2112, 1ULL << 48, UINT64_MAX - 1};

	(void)state;
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct ntm_replay replay = {0};

		assert_true(ntm_replay_check(&replay, first[i]));
		assert_true(ntm_replay_commit(&replay, first[i]));
		assert_false(ntm_replay_check(&replay, first[i]));
		assert_false(ntm_replay_commit(&replay, first[i]));
	}
}

static void looking_marks_nothing(void **state)
{
	struct ntm_replay replay = {0};

	(void)state;
	assert_true(ntm_replay_check(&replay, 9));
	assert_true(ntm_replay_check(&replay, 9));
	assert_int_equal(replay.next, 0);
	assert_true(ntm_replay_commit(&replay, 9));
}

static void a_whole_window_may_come_backwards(void **state)
{
	(void)state;
	/* each alignment of the newest counter within its word */
	for (uint64_t newest = 3 * WINDOW; newest < 3 * WINDOW + 64; newest++) {
		struct ntm_replay replay = {0};

		for (uint64_t i = 0; i < WINDOW; i++)
			assert_true(ntm_replay_commit(&replay, newest - i));
		for (uint64_t i = 0; i < WINDOW; i++)
			assert_false(ntm_replay_commit(&replay, newest - i));
		assert_false(ntm_replay_check(&replay, newest - WINDOW));
		assert_false(ntm_replay_commit(&replay, newest - WINDOW));
		assert_true(ntm_replay_commit(&replay, newest + 1));
	}
}

static void the_window_of_a_session_is_a_smaller_one(void **state)
{
	const uint64_t window = NTM_SESSION_WINDOW, newest = 3 * window + 5;
	struct ntm_replay_session replay = {0};

	(void)state;
	for (uint64_t i = 0; i < window; i++) {
		assert_true(ntm_replay_session_check(&replay, newest - i));
		assert_true(ntm_replay_session_commit(&replay, newest - i));
	}
	for (uint64_t i = 0; i < window; i++)
		assert_false(ntm_replay_session_commit(&replay, newest - i));
	assert_false(ntm_replay_session_check(&replay, newest - window));
	assert_true(ntm_replay_session_commit(&replay, newest + 2 * window));
	assert_true(ntm_replay_session_commit(&replay, newest + window + 1));
	assert_false(ntm_replay_session_commit(&replay, newest + window));
	assert_false(ntm_replay_session_commit(&replay, UINT64_MAX));
}

static void what_is_older_than_the_window_is_refused_though_never_seen(void **state)
{
	struct ntm_replay replay = {0};

	(void)state;
	assert_true(ntm_replay_commit(&replay, 10000));
	assert_true(ntm_replay_check(&replay, 10000 - WINDOW + 1));
	assert_false(ntm_replay_check(&replay, 10000 - WINDOW));
	assert_false(ntm_replay_commit(&replay, 10000 - WINDOW));
	assert_false(ntm_replay_commit(&replay, 0));
	assert_true(ntm_replay_commit(&replay, 10000 - WINDOW + 1));
}

static void a_jump_far_ahead_forgets_the_marks_of_the_old_words(void **state)
{
	static const uint64_t jump[] = {64, 2047, 2048, 2049, 33 * 64, 33 * 64 + 1, 34 * 64, 1ULL << 40};

	(void)state;
	for (size_t j = 0; j < sizeof(jump) / sizeof(jump[0]); j++) {
		struct ntm_replay replay = {0};
		uint64_t newest;

		for (uint64_t i = 0; i < 3 * WINDOW; i++)
			assert_true(ntm_replay_commit(&replay, i));
		newest = 3 * WINDOW - 1 + jump[j];
		assert_true(ntm_replay_commit(&replay, newest));
		for (uint64_t i = 1; i < WINDOW; i++)
			assert_int_equal(ntm_replay_commit(&replay, newest - i), newest - i >= 3 * WINDOW);
	}
}

static void a_refused_counter_does_not_move_the_window(void **state)
{
	struct ntm_replay replay = {0};

	(void)state;
	assert_true(ntm_replay_commit(&replay, 5000));
	assert_false(ntm_replay_commit(&replay, 5000));
	assert_false(ntm_replay_commit(&replay, 1));
	assert_int_equal(replay.next, 5001);
}

static void the_last_counter_of_all_never_resets_the_window(void **state)
{
	struct ntm_replay replay = {0};

	(void)state;
	assert_false(ntm_replay_check(&replay, UINT64_MAX));
	assert_true(ntm_replay_commit(&replay, UINT64_MAX - 1));
	assert_false(ntm_replay_commit(&replay, UINT64_MAX));
	assert_int_equal(replay.next, UINT64_MAX);
	assert_false(ntm_replay_commit(&replay, UINT64_MAX - 1));
}

/* A long random walk beside a table of all counters: same answers, through many turns of the bitmap. */
static void the_window_agrees_with_a_list_of_all_that_was_seen(void **state)
{
	enum { ALL = 200000 };
	struct ntm_replay replay = {0};
	uint8_t *seen = calloc(ALL, 1);
	uint64_t newest = 0, seed = 1;
	int taken = 0, refused = 0;

	(void)state;
	assert_non_null(seen);
	for (int i = 0; i < 300000; i++) {
		uint64_t range = i % 5000 == 0 ? 3 * WINDOW : 12, at;
		int expected;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		at = seed >> 33;
		/* mostly near the newest, sometimes anywhere around the window's old end */
		if (at & 7)
			at = newest + (at >> 3) % range;
		else
			at = newest - (at >> 3) % (WINDOW + 200);
		if (at >= ALL)
			continue;
		expected = !seen[at] && (at > newest || newest - at < WINDOW);
		assert_int_equal(ntm_replay_check(&replay, at), expected);
		assert_int_equal(ntm_replay_commit(&replay, at), expected);
		if (expected) {
			seen[at] = 1;
			taken++;
		} else {
			refused++;
		}
		if (expected && at > newest)
			newest = at;
	}
	free(seen);
	assert_true(newest > 20 * WINDOW && taken > 10000 && refused > 10000);
}

int main(void)
{
	const struct CMUnitTest replay[] = {
		cmocka_unit_test(a_fresh_window_takes_any_counter_once),
		cmocka_unit_test(looking_marks_nothing),
		cmocka_unit_test(the_window_of_a_session_is_a_smaller_one),
		cmocka_unit_test(a_whole_window_may_come_backwards),
		cmocka_unit_test(what_is_older_than_the_window_is_refused_though_never_seen),
		cmocka_unit_test(a_jump_far_ahead_forgets_the_marks_of_the_old_words),
		cmocka_unit_test(a_refused_counter_does_not_move_the_window),
		cmocka_unit_test(the_last_counter_of_all_never_resets_the_window),
		cmocka_unit_test(the_window_agrees_with_a_list_of_all_that_was_seen),
	};

	return cmocka_run_group_tests(replay, NULL, NULL);
}
