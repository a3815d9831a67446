/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * replay.c - the sliding window of counters, RFC 6479's way: words are used in turn, and moving on clears
 * whole words instead of shifting bits. Before it: aead.c; bpf/replay.h does the same for the inline lane.
 *
 * There is one word more than the window has, as the newest word is mostly not full.
 */
#include "replay.h"

_Static_assert(NTM_REPLAY_WINDOW % 64 == 0 && NTM_SESSION_WINDOW % 64 == 0, "the windows are whole words");

/* Inline, so that the number of words is a constant to each caller. */
static inline bool check(uint64_t next, const uint64_t *bits, unsigned words, uint64_t counter)
{
	if (counter >= next)
		return counter != UINT64_MAX; /* next would be 0, a fresh window */
	if (next - counter > (words - 1) * 64)
		return false;
	return !(bits[counter / 64 % words] >> (counter % 64) & 1);
}

static inline bool commit(uint64_t *next, uint64_t *bits, unsigned words, uint64_t counter)
{
	if (!check(*next, bits, words, counter))
		return false;
	if (counter >= *next) {
		uint64_t from = *next ? (*next - 1) / 64 : 0;
		uint64_t on = counter / 64 - from;

		if (on > words)
			on = words;
		for (uint64_t i = 1; i <= on; i++)
			bits[(from + i) % words] = 0;
		*next = counter + 1;
	}
	bits[counter / 64 % words] |= 1ULL << (counter % 64);
	return true;
}

bool ntm_replay_check(const struct ntm_replay *replay, uint64_t counter)
{
	return check(replay->next, replay->bits, NTM_REPLAY_WINDOW / 64 + 1, counter);
}

bool ntm_replay_commit(struct ntm_replay *replay, uint64_t counter)
{
	return commit(&replay->next, replay->bits, NTM_REPLAY_WINDOW / 64 + 1, counter);
}

bool ntm_replay_session_check(const struct ntm_replay_session *replay, uint64_t counter)
{
	return check(replay->next, replay->bits, NTM_SESSION_WINDOW / 64 + 1, counter);
}

bool ntm_replay_session_commit(struct ntm_replay_session *replay, uint64_t counter)
{
	return commit(&replay->next, replay->bits, NTM_SESSION_WINDOW / 64 + 1, counter);
}
