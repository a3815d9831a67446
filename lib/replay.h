/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * replay.h - which counters of one key were seen: a sliding bitmap (RFC 6479).
 * Pure; zeroed memory is a fresh window. The newest NTM_REPLAY_WINDOW counters up to the highest seen count;
 * UINT64_MAX is never new.
 */
#ifndef NTM_LIB_REPLAY_H
#define NTM_LIB_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include <ntm/limits.h>

struct ntm_replay {
	uint64_t next; /* highest counter seen + 1; 0: none */
	uint64_t bits[NTM_REPLAY_WINDOW / 64 + 1];
};

/* The same with a window of NTM_SESSION_WINDOW counters: a DC has a million of them. */
struct ntm_replay_session {
	uint64_t next;
	uint64_t bits[NTM_SESSION_WINDOW / 64 + 1];
};

/* Whether this counter could still be new: the cheap look before opening a packet. */
bool ntm_replay_check(const struct ntm_replay *replay, uint64_t counter);

/* After the packet opened: true if it is new (and marks it), false if it is a replay or too old. */
bool ntm_replay_commit(struct ntm_replay *replay, uint64_t counter);

bool ntm_replay_session_check(const struct ntm_replay_session *replay, uint64_t counter);
bool ntm_replay_session_commit(struct ntm_replay_session *replay, uint64_t counter);

#endif
