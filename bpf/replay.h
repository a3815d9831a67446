/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * replay.h - which counters of one key were seen (RFC 6479), as lib/replay.c, for several CPUs at once. On a
 * packet's way: a look before crypt.h opens it, the decision after.
 */
#ifndef NTM_BPF_REPLAY_H
#define NTM_BPF_REPLAY_H

#include "maps.h"

#define REPLAY_WORDS (NTM_REPLAY_WINDOW / 64 + 1)

/* The word of a counter, as an index that the verifier believes. */
static __always_inline __u32 replay_word(__u64 counter)
{
	__u32 word = counter / 64 % REPLAY_WORDS;

	barrier_var(word);
	return word < REPLAY_WORDS ? word : 0;
}

/* Whether this counter could still be new. Without the lock: a wrong answer costs an opening, or is as good
 * as right (a counter that is being marked by another CPU). */
static __always_inline bool replay_check(const struct ntm_window *window, __u64 counter)
{
	__u64 next = *(volatile const __u64 *)&window->next;

	if (counter >= next)
		return true;
	if (next - counter > NTM_REPLAY_WINDOW)
		return false;
	return !(*(volatile const __u64 *)&window->bits[replay_word(counter)] >> (counter & 63) & 1);
}

/*
 * After the packet opened: true if it is new (and marks it). ret_first: it is the first one of all. No call
 * is allowed under the lock, so that everything is written out.
 */
static __always_inline bool replay_commit(struct ntm_window *window, __u64 counter, bool *ret_first)
{
	__u32 word = replay_word(counter), at;
	__u64 bit = 1ULL << (counter & 63), next, words;
	bool new;

	bpf_spin_lock(&window->lock);
	next = window->next;
	if (counter >= next) {
		__u64 from = next ? (next - 1) / 64 : 0;

		words = counter / 64 - from;
		at = replay_word(from * 64);
		for (__u32 i = 0; i < REPLAY_WORDS && i < words; i++) {
			at = at + 1 < REPLAY_WORDS ? at + 1 : 0;
			window->bits[at] = 0;
		}
		window->next = counter + 1;
		new = true;
	} else {
		new = next - counter <= NTM_REPLAY_WINDOW && !(window->bits[word] & bit);
	}
	if (new)
		window->bits[word] |= bit;
	bpf_spin_unlock(&window->lock);
	*ret_first = !next;
	return new;
}

#endif
