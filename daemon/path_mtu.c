/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_mtu.c - the search for the largest datagram that a route carries: what to ask next, and what answers,
 * silence and errors mean. Pure; path_mtu_probe.c moves it. path_mtu.h says why it is done this way.
 */
#include "daemon/path_mtu.h"

#include <ntm/limits.h>

/* So many tries must be lost before a size is given up: most where most would be lost by a mistake. */
#define LOST_IN_USE 10 /* it was answered before */
#define LOST_HINTED 3 /* the same, but ICMP says so too */
#define LOST_FIRST 4 /* it is in use, and never was answered */
#define LOST_SEARCH 3 /* a larger one */
#define SILENT_MAX 8 /* nothing comes back at all: that is not about sizes */

#define REORDER_MS 20 /* the large question's answer may come this much after the small one's */
#define WAIT_FIRST_MS 300 /* for an answer, before a round trip was measured */
#define WAIT_MIN_MS 200
#define WAIT_MAX_MS 3000

void ntmd_path_mtu_begin(struct ntmd_path_mtu *mtu, unsigned wanted, unsigned floor, int64_t now_ms)
{
	unsigned size = mtu->size && mtu->size < wanted ? mtu->size : wanted;

	*mtu = (struct ntmd_path_mtu){
		.wanted = (uint16_t)wanted,
		.floor = (uint16_t)(floor < wanted ? floor : wanted),
		.size = (uint16_t)size,
		.due_ms = now_ms,
	};
}

static unsigned lost_enough(const struct ntmd_path_mtu *mtu)
{
	if (mtu->probe > mtu->size)
		return LOST_SEARCH;
	if (mtu->proven != mtu->size)
		return LOST_FIRST;
	return mtu->hint ? LOST_HINTED : LOST_IN_USE;
}

static int64_t wait_ms(uint32_t rtt_us)
{
	int64_t ms = rtt_us ? 2 * (int64_t)rtt_us / 1000 + 100 : WAIT_FIRST_MS;

	return ms < WAIT_MIN_MS ? WAIT_MIN_MS : ms > WAIT_MAX_MS ? WAIT_MAX_MS : ms;
}

static void size_set(struct ntmd_path_mtu *mtu, unsigned size, int64_t now_ms)
{
	mtu->size = (uint16_t)size;
	mtu->proven = mtu->probe = mtu->hint = 0;
	mtu->raise_ms = 0;
	mtu->due_ms = now_ms;
}

static void probe_failed(struct ntmd_path_mtu *mtu, int64_t now_ms)
{
	unsigned probe = mtu->probe;

	mtu->probe = 0;
	mtu->due_ms = now_ms;
	if (!mtu->too_big || probe < mtu->too_big)
		mtu->too_big = (uint16_t)probe;
	if (probe > mtu->size)
		return;
	mtu->check = false;
	if (mtu->size <= mtu->floor)
		/* There is nothing smaller; it is asked again while there is traffic */
		mtu->proven = mtu->size;
	else
		size_set(mtu, mtu->hint && mtu->hint < mtu->size ? mtu->hint : mtu->floor, now_ms);
}

/* What to ask now; 0: nothing. */
static unsigned probe_next(struct ntmd_path_mtu *mtu)
{
	unsigned too_big = mtu->too_big, size = mtu->size;

	if (mtu->proven != size || mtu->check)
		return size;
	if (size >= mtu->wanted)
		return 0;
	if (!too_big)
		return mtu->wanted;
	if (mtu->hint > size && mtu->hint < too_big)
		return mtu->hint;
	return too_big > size + NTM_PATH_MTU_GRAIN ? size + (too_big - size) / 2 : 0;
}

/* The search is at its end. */
static void rest(struct ntmd_path_mtu *mtu, int64_t now_ms)
{
	if (!mtu->raise_ms && mtu->size < mtu->wanted)
		mtu->raise_ms = now_ms + NTM_PATH_MTU_RAISE_MS;
	mtu->due_ms = mtu->raise_ms ? mtu->raise_ms : INT64_MAX;
}

bool ntmd_path_mtu_step(struct ntmd_path_mtu *mtu, int64_t now_ms, uint32_t rtt_us, uint64_t random)
{
	if (!mtu->wanted || now_ms < mtu->due_ms)
		return false;
	if (mtu->probe) {
		*(mtu->small_back ? &mtu->lost : &mtu->silent) += 1;
		if (mtu->lost >= lost_enough(mtu)) {
			probe_failed(mtu, now_ms);
		} else if (mtu->silent >= SILENT_MAX) {
			mtu->probe = 0;
			mtu->due_ms = now_ms + NTM_PATH_MTU_CHECK_MS;
			return false;
		}
	}
	if (!mtu->probe) {
		if (mtu->raise_ms && now_ms >= mtu->raise_ms) {
			mtu->too_big = mtu->hint = 0; /* from the beginning */
			mtu->raise_ms = 0;
		}
		mtu->probe = (uint16_t)probe_next(mtu);
		if (!mtu->probe) {
			rest(mtu, now_ms);
			return false;
		}
		mtu->nonce = random & ~0xffULL;
		mtu->tries = mtu->lost = mtu->silent = 0;
	}
	mtu->tries++;
	mtu->small_back = false;
	mtu->due_ms = now_ms + wait_ms(rtt_us);
	return true;
}

bool ntmd_path_mtu_answered(struct ntmd_path_mtu *mtu, uint64_t nonce, int64_t now_ms)
{
	if (!mtu->probe || (nonce ^ mtu->nonce) >> 8)
		return false;
	if (nonce != mtu->nonce) {
		if ((nonce & 0xff) == mtu->tries && !mtu->small_back) {
			mtu->small_back = true;
			if (now_ms + REORDER_MS < mtu->due_ms)
				mtu->due_ms = now_ms + REORDER_MS;
		}
		return true;
	}
	if (mtu->probe == mtu->size)
		mtu->check = false;
	mtu->size = mtu->proven = mtu->probe;
	mtu->probe = 0;
	mtu->due_ms = now_ms;
	if (mtu->too_big <= mtu->size)
		mtu->too_big = 0;
	if (mtu->hint <= mtu->size)
		mtu->hint = 0;
	return true;
}

void ntmd_path_mtu_refused(struct ntmd_path_mtu *mtu, int64_t now_ms)
{
	if (mtu->probe)
		probe_failed(mtu, now_ms);
}

void ntmd_path_mtu_hint(struct ntmd_path_mtu *mtu, unsigned size, int64_t now_ms)
{
	if (size < mtu->floor)
		size = mtu->floor;
	if (!mtu->wanted || size >= mtu->wanted || size == mtu->size)
		return;
	if (size < mtu->size && mtu->proven != mtu->size) {
		size_set(mtu, size, now_ms);
		return;
	}
	mtu->hint = (uint16_t)size;
	if (size < mtu->size)
		ntmd_path_mtu_check(mtu, now_ms);
}

void ntmd_path_mtu_local(struct ntmd_path_mtu *mtu, unsigned size, int64_t now_ms)
{
	if (size < NTM_PATH_MTU_LEAST)
		size = NTM_PATH_MTU_LEAST;
	if (!mtu->wanted || size >= mtu->wanted)
		return;
	if (!mtu->too_big || size + 1 < mtu->too_big)
		mtu->too_big = (uint16_t)(size + 1);
	if (mtu->floor > size)
		mtu->floor = (uint16_t)size;
	if (size < mtu->size)
		size_set(mtu, size, now_ms);
	else if (mtu->probe > size) {
		mtu->probe = 0;
		mtu->due_ms = now_ms;
	}
}

void ntmd_path_mtu_check(struct ntmd_path_mtu *mtu, int64_t now_ms)
{
	if (!mtu->wanted || mtu->check)
		return;
	mtu->check = true;
	if (!mtu->probe && mtu->due_ms > now_ms)
		mtu->due_ms = now_ms;
}
