/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * replay.c - the sliding window of counters, RFC 6479's way: words are used in turn, and moving on clears
 * whole words instead of shifting bits. Before it: aead.c; bpf/replay.h does the same for the inline lane.
 *
 * There is one word more than the window has, as the newest word is mostly not full.
 */
#include "replay.h"

#define WORDS (NTM_REPLAY_WINDOW / 64 + 1)

_Static_assert(NTM_REPLAY_WINDOW % 64 == 0, "the window is whole words");

bool ntm_replay_check(const struct ntm_replay *replay, uint64_t counter)
{
	if (counter >= replay->next)
		return counter != UINT64_MAX; /* next would be 0, a fresh window */
	if (replay->next - counter > NTM_REPLAY_WINDOW)
		return false;
	return !(replay->bits[counter / 64 % WORDS] >> (counter % 64) & 1);
}

bool ntm_replay_commit(struct ntm_replay *replay, uint64_t counter)
{
	if (!ntm_replay_check(replay, counter))
		return false;
	if (counter >= replay->next) {
		uint64_t from = replay->next ? (replay->next - 1) / 64 : 0;
		uint64_t words = counter / 64 - from;

		if (words > WORDS)
			words = WORDS;
		for (uint64_t i = 1; i <= words; i++)
			replay->bits[(from + i) % WORDS] = 0;
		replay->next = counter + 1;
	}
	replay->bits[counter / 64 % WORDS] |= 1ULL << (counter % 64);
	return true;
}
