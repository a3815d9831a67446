/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * stats.c - the process's drop counters and the names of the reasons (ntm/drop.h). Every layer that refuses a
 * packet counts here; `ntmctl stats` prints them beside the kernel's.
 */
#include "stats.h"

#include <errno.h>
#include <stdlib.h>

uint64_t ntm_drops[NTM_DROP_MAX];

static const struct {
	const char *name, *text;
} reasons[NTM_DROP_MAX] = {[NTM_DROP_NONE] = {"none", "not dropped"},
#define X(id, string, meaning) [NTM_DROP_##id] = {string, meaning},
			   NTM_DROP_LIST(X)
#undef X
};

/* Index of a reason given as it is or negated; NTM_DROP_NONE for numbers that are no reason. */
static int reason_index(int reason)
{
	if (reason <= -NTM_DROP_MAX || reason >= NTM_DROP_MAX)
		return NTM_DROP_NONE;
	return abs(reason);
}

int ntm_drop_count(int reason)
{
	ntm_drop_count_many(reason, 1);
	return -EBADMSG;
}

void ntm_drop_count_many(int reason, uint64_t count)
{
	__atomic_fetch_add(&ntm_drops[reason_index(reason)], count, __ATOMIC_RELAXED);
}

uint64_t ntm_drop_get(int reason)
{
	return __atomic_load_n(&ntm_drops[reason_index(reason)], __ATOMIC_RELAXED);
}

const char *ntm_drop_name(int reason)
{
	return reasons[reason_index(reason)].name;
}

const char *ntm_drop_text(int reason)
{
	return reasons[reason_index(reason)].text;
}
