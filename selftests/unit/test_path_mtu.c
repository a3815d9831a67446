/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_path_mtu.c - daemon/path_mtu.c against simulated routes: any true size is found, with ICMP and without, and neither
 * loss, nor silence, nor forged errors leave a size in use that does not pass, or lose one that does for good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <ntm/limits.h>

#include "daemon/path_mtu.h"

#define WANTED 1452
#define RTT_US 10000

/* A route: what it carries, and how. */
struct world {
	struct ntmd_path_mtu mtu;
	unsigned carries; /* datagrams up to this size */
	unsigned named; /* by ICMP about larger ones; 0: filtered */
	bool refuses; /* own interface: sending itself fails */
	bool down; /* nothing comes back */
	unsigned loss_permille; /* of questions of either size */
	int64_t now_ms;
	unsigned questions, smallest_in_use;
	uint32_t seed;
};

static bool lost(struct world *world)
{
	world->seed = world->seed * 1664525 + 1013904223;
	return world->down || world->seed / 65536 % 1000 < world->loss_permille;
}

static void size_note(struct world *world)
{
	if (world->mtu.size < world->smallest_in_use)
		world->smallest_in_use = world->mtu.size;
}

/* Both questions of one try, and their answers a round trip later. */
static void try_do(struct world *world)
{
	struct ntmd_path_mtu *mtu = &world->mtu;
	uint64_t large = mtu->nonce, small = mtu->nonce + mtu->tries;
	bool large_passes = mtu->probe <= world->carries && !lost(world), small_passes = !lost(world);

	world->questions++;
	if (world->refuses && mtu->probe > world->carries) {
		ntmd_path_mtu_refused(mtu, world->now_ms);
		return;
	}
	if (mtu->probe > world->carries && world->named)
		ntmd_path_mtu_hint(mtu, world->named, world->now_ms);
	size_note(world);
	if (mtu->due_ms <= world->now_ms)
		return; /* the hint was believed: the question is another */
	world->now_ms += RTT_US / 1000;
	if (large_passes)
		assert_true(ntmd_path_mtu_answered(mtu, large, world->now_ms));
	if (small_passes)
		ntmd_path_mtu_answered(mtu, small, world->now_ms);
	size_note(world);
}

/* Until nothing is to be done before `until_ms`. */
static void run(struct world *world, int64_t until_ms)
{
	for (unsigned steps = 0; steps < 100000; steps++) {
		if (world->mtu.due_ms > world->now_ms) {
			if (world->mtu.due_ms > until_ms)
				return;
			world->now_ms = world->mtu.due_ms;
		}
		if (ntmd_path_mtu_step(&world->mtu, world->now_ms, RTT_US, 0x123456789abcdef0ULL + steps * 256))
			try_do(world);
		size_note(world);
	}
	fail_msg("it never ends");
}

static void begin(struct world *world, unsigned carries, unsigned named)
{
	memset(world, 0, sizeof(*world));
	world->carries = carries;
	world->named = named;
	world->now_ms = 1000;
	world->seed = carries * 7 + 1;
	world->smallest_in_use = 65535;
	ntmd_path_mtu_begin(&world->mtu, WANTED, NTM_PATH_MTU_FLOOR4, world->now_ms);
	size_note(world);
}

static void the_usual_size_needs_one_question(void **state)
{
	struct world world;

	(void)state;
	begin(&world, WANTED, 0);
	run(&world, 100000);
	assert_int_equal(world.mtu.size, WANTED);
	assert_int_equal(world.mtu.proven, WANTED);
	assert_int_equal(world.questions, 1);
	assert_true(world.mtu.due_ms == INT64_MAX);
	assert_int_equal(world.now_ms, 1000 + RTT_US / 1000);
}

static void every_size_is_found_without_icmp_within_seconds(void **state)
{
	(void)state;
	for (unsigned carries = NTM_PATH_MTU_FLOOR4; carries <= WANTED + 1; carries++) {
		struct world world;

		begin(&world, carries, 0);
		run(&world, 1000 + NTM_PATH_MTU_RAISE_MS / 2);
		assert_true(world.mtu.size <= carries);
		assert_int_equal(world.mtu.proven, world.mtu.size);
		assert_true(world.mtu.size + (unsigned)NTM_PATH_MTU_GRAIN >= (carries < WANTED ? carries : WANTED));
		assert_true(world.now_ms - 1000 < 2000);
	}
}

static void icmp_names_the_size_at_once(void **state)
{
	(void)state;
	for (unsigned carries = NTM_PATH_MTU_FLOOR4; carries < WANTED; carries++) {
		struct world world;

		begin(&world, carries, carries);
		ntmd_path_mtu_step(&world.mtu, world.now_ms, RTT_US, 0);
		try_do(&world);
		assert_int_equal(world.mtu.size, carries); /* no question was lost for it */
		run(&world, 1000 + NTM_PATH_MTU_RAISE_MS / 2);
		assert_int_equal(world.mtu.size, carries);
		assert_int_equal(world.smallest_in_use, carries);
	}
}

static void ones_own_interface_is_believed(void **state)
{
	struct world world;

	(void)state;
	begin(&world, 1300, 0);
	ntmd_path_mtu_local(&world.mtu, 1300, world.now_ms);
	assert_int_equal(world.mtu.size, 1300);
	run(&world, 100000);
	assert_int_equal(world.mtu.proven, 1300);
	assert_int_equal(world.questions, 1); /* nothing larger is asked */
	/* It goes below what ICMP can do, and not below what IPv4 is. */
	ntmd_path_mtu_local(&world.mtu, 900, world.now_ms);
	assert_int_equal(world.mtu.size, 900);
	ntmd_path_mtu_local(&world.mtu, 0, world.now_ms);
	assert_int_equal(world.mtu.size, NTM_PATH_MTU_LEAST);
	/* Where only the refusal tells, the search finds it. */
	begin(&world, 1300, 0);
	world.refuses = true;
	run(&world, 100000);
	assert_in_range(world.mtu.size, 1300 - NTM_PATH_MTU_GRAIN, 1300);
	assert_int_equal(world.mtu.proven, world.mtu.size);
}

static void forged_errors_shrink_to_the_floor_at_most_and_not_for_long(void **state)
{
	struct world world;

	(void)state;
	begin(&world, WANTED, 0);
	ntmd_path_mtu_hint(&world.mtu, 100, world.now_ms);
	assert_int_equal(world.mtu.size, NTM_PATH_MTU_FLOOR4);
	run(&world, 1000 + NTM_PATH_MTU_CHECK_MS);
	assert_int_equal(world.mtu.size, WANTED);
	assert_true(world.now_ms - 1000 <= 2 * RTT_US / 1000);
	/* Once the size is proven they only make it ask. */
	for (int i = 0; i < 1000; i++) {
		ntmd_path_mtu_hint(&world.mtu, i, world.now_ms);
		assert_int_equal(world.mtu.size, WANTED);
		run(&world, world.now_ms + 5);
	}
	assert_int_equal(world.mtu.size, WANTED);
	/* None makes it larger. */
	begin(&world, 1200, 1200);
	run(&world, 100000);
	ntmd_path_mtu_hint(&world.mtu, 65535, world.now_ms);
	ntmd_path_mtu_hint(&world.mtu, 1300, world.now_ms);
	assert_int_equal(world.mtu.size, 1200);
}

static void a_route_that_gets_narrower_is_noticed(void **state)
{
	(void)state;
	for (int icmp = 0; icmp < 2; icmp++) {
		struct world world;
		int64_t since;

		begin(&world, WANTED, 0);
		run(&world, 100000);
		world.carries = 1300;
		since = world.now_ms;
		if (icmp) {
			world.named = 1300;
			ntmd_path_mtu_hint(&world.mtu, 1300, world.now_ms);
			assert_int_equal(world.mtu.size, WANTED);
		} else {
			ntmd_path_mtu_check(&world.mtu, world.now_ms);
		}
		run(&world, since + 5000);
		assert_in_range(world.mtu.size, 1300 - NTM_PATH_MTU_GRAIN, 1300);
		assert_int_equal(world.mtu.proven, world.mtu.size);
		assert_true(world.now_ms - since < 2000);
		if (icmp)
			assert_int_equal(world.smallest_in_use, 1300);
	}
}

static void a_wider_route_is_noticed_after_ten_minutes(void **state)
{
	struct world world;

	(void)state;
	begin(&world, 1200, 0);
	run(&world, 5000);
	assert_in_range(world.mtu.size, 1200 - NTM_PATH_MTU_GRAIN, 1200);
	world.carries = WANTED;
	run(&world, NTM_PATH_MTU_RAISE_MS);
	assert_in_range(world.mtu.size, 1200 - NTM_PATH_MTU_GRAIN, 1200);
	/* A check in between is no reason to look for more. */
	ntmd_path_mtu_check(&world.mtu, world.now_ms);
	run(&world, NTM_PATH_MTU_RAISE_MS);
	assert_in_range(world.mtu.size, 1200 - NTM_PATH_MTU_GRAIN, 1200);
	run(&world, NTM_PATH_MTU_RAISE_MS + 20000);
	assert_int_equal(world.mtu.size, WANTED);
	assert_true(world.mtu.due_ms == INT64_MAX);
}

static void silence_says_nothing_about_sizes(void **state)
{
	struct world world;

	(void)state;
	begin(&world, WANTED, 0);
	run(&world, 100000);
	world.down = true;
	for (int i = 0; i < 20; i++) {
		ntmd_path_mtu_check(&world.mtu, world.now_ms);
		run(&world, world.now_ms + 30000);
	}
	assert_int_equal(world.mtu.size, WANTED);
	assert_int_equal(world.smallest_in_use, WANTED);
	assert_true(world.questions < 1000);
}

static void loss_is_not_taken_for_size(void **state)
{
	unsigned shrunk = 0;

	(void)state;
	for (uint32_t seed = 0; seed < 200; seed++) {
		struct world world;

		begin(&world, WANTED, 0);
		run(&world, 100000);
		world.loss_permille = 200;
		world.seed = seed * 2654435761U;
		for (int i = 0; i < 100; i++) {
			ntmd_path_mtu_check(&world.mtu, world.now_ms);
			run(&world, world.now_ms + 5000);
		}
		shrunk += world.smallest_in_use < WANTED;
	}
	assert_in_range(shrunk, 0, 2); /* of 20000 checks with 20 % of all packets lost */
}

static void a_route_below_the_floor_keeps_it_and_goes_on_asking(void **state)
{
	struct world world;

	(void)state;
	begin(&world, 1000, 1000);
	run(&world, 100000);
	assert_int_equal(world.mtu.size, NTM_PATH_MTU_FLOOR4);
	world.carries = WANTED;
	world.named = 0;
	run(&world, NTM_PATH_MTU_RAISE_MS + 100000);
	assert_int_equal(world.mtu.size, WANTED);
}

static void beginning_again_keeps_what_was_found(void **state)
{
	struct world world;

	(void)state;
	begin(&world, 1300, 1300);
	run(&world, 100000);
	assert_int_equal(world.mtu.size, 1300);
	ntmd_path_mtu_begin(&world.mtu, WANTED, NTM_PATH_MTU_FLOOR4, world.now_ms);
	assert_int_equal(world.mtu.size, 1300);
	world.carries = WANTED;
	run(&world, world.now_ms + 1000);
	assert_int_equal(world.mtu.size, WANTED);
	/* Less is wanted: a peer with a smaller device. */
	ntmd_path_mtu_begin(&world.mtu, 1000, NTM_PATH_MTU_FLOOR4, world.now_ms);
	assert_int_equal(world.mtu.size, 1000);
	run(&world, world.now_ms + 1000);
	assert_int_equal(world.mtu.proven, 1000);
}

static void other_nonces_and_an_unused_route_are_nothing(void **state)
{
	struct ntmd_path_mtu mtu = {0};

	(void)state;
	ntmd_path_mtu_check(&mtu, 5);
	ntmd_path_mtu_hint(&mtu, 1300, 5);
	ntmd_path_mtu_local(&mtu, 1300, 5);
	ntmd_path_mtu_refused(&mtu, 5);
	assert_false(ntmd_path_mtu_step(&mtu, 5, 0, 1));
	assert_false(ntmd_path_mtu_answered(&mtu, 0, 5));
	ntmd_path_mtu_begin(&mtu, WANTED, NTM_PATH_MTU_FLOOR6, 5);
	assert_false(ntmd_path_mtu_answered(&mtu, 0, 5));
	assert_true(ntmd_path_mtu_step(&mtu, 5, 0, 0xabcdef0123456789ULL));
	assert_false(ntmd_path_mtu_answered(&mtu, mtu.nonce + 256, 6));
	assert_false(ntmd_path_mtu_answered(&mtu, mtu.nonce ^ 1ULL << 63, 6));
	assert_true(ntmd_path_mtu_answered(&mtu, mtu.nonce + 7, 6)); /* of no try yet: nothing happens */
	assert_int_equal(mtu.proven, 0);
	assert_true(ntmd_path_mtu_answered(&mtu, mtu.nonce, 6));
	assert_int_equal(mtu.proven, WANTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_usual_size_needs_one_question),
		cmocka_unit_test(every_size_is_found_without_icmp_within_seconds),
		cmocka_unit_test(icmp_names_the_size_at_once),
		cmocka_unit_test(ones_own_interface_is_believed),
		cmocka_unit_test(forged_errors_shrink_to_the_floor_at_most_and_not_for_long),
		cmocka_unit_test(a_route_that_gets_narrower_is_noticed),
		cmocka_unit_test(a_wider_route_is_noticed_after_ten_minutes),
		cmocka_unit_test(silence_says_nothing_about_sizes),
		cmocka_unit_test(loss_is_not_taken_for_size),
		cmocka_unit_test(a_route_below_the_floor_keeps_it_and_goes_on_asking),
		cmocka_unit_test(beginning_again_keeps_what_was_found),
		cmocka_unit_test(other_nonces_and_an_unused_route_are_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
