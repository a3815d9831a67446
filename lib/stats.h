/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * stats.h - counts of drops by reason and of messages by kind; `ntmctl stats` prints them.
 * One set a process: counters are global because a drop can happen in any layer.
 */
#ifndef NTM_LIB_STATS_H
#define NTM_LIB_STATS_H

#include <stdint.h>

#include <ntm/drop.h>

extern uint64_t ntm_drops[NTM_DROP_MAX]; /* where threads count, only by the functions below */

/* Counts a drop; takes the reason as it is returned by helpers, negative or positive. Returns -EBADMSG for
 * chaining. */
int ntm_drop_count(int reason);
void ntm_drop_count_many(int reason, uint64_t count);
uint64_t ntm_drop_get(int reason);
const char *ntm_drop_name(int reason); /* "replay" */
const char *ntm_drop_text(int reason); /* what it means */

#endif
