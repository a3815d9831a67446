/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_transaction.c - lib/transaction.c: the policy by numbers, the timer in a real loop of some hundred
 * milliseconds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop.h"
#include "transaction.h"

#define MS 1000LL

static void the_first_sample_is_the_round_trip(void **state)
{
	struct ntm_rtt rtt = {0};

	(void)state;
	ntm_rtt_add(&rtt, 40000);
	assert_int_equal(rtt.srtt_us, 40000);
	assert_int_equal(rtt.var_us, 20000);
}

static void further_samples_are_smoothed_as_rfc_6298_says(void **state)
{
	struct ntm_rtt rtt = {0};

	(void)state;
	ntm_rtt_add(&rtt, 40000);
	ntm_rtt_add(&rtt, 80000);
	assert_int_equal(rtt.var_us, (3 * 20000 + 40000) / 4); /* with the old mean */
	assert_int_equal(rtt.srtt_us, (7 * 40000 + 80000) / 8);
	for (int i = 0; i < 200; i++)
		ntm_rtt_add(&rtt, 10000);
	assert_in_range(rtt.srtt_us, 10000, 10010);
	assert_in_range(rtt.var_us, 0, 10);
}

static void a_measured_round_trip_is_never_taken_for_none(void **state)
{
	struct ntm_rtt rtt = {0};

	(void)state;
	ntm_rtt_add(&rtt, 0);
	assert_true(rtt.srtt_us > 0);
	for (int i = 0; i < 100; i++)
		ntm_rtt_add(&rtt, 0);
	assert_true(rtt.srtt_us > 0);
	ntm_rtt_add(&rtt, UINT32_MAX);
	assert_int_equal(rtt.srtt_us, (7ULL * 1 + UINT32_MAX) / 8);
}

static void waits_double_within_their_bounds(void **state)
{
	struct ntm_rtt rtt = {.srtt_us = 20000, .var_us = 10000};
	static const int64_t unmeasured[] = {300, 600, 1200, 2400, 4000, 4000};
	static const int64_t measured[] = {60, 120, 240, 480, 960, 1920, 3840, 4000, 4000};

	(void)state;
	for (unsigned i = 0; i < sizeof(unmeasured) / sizeof(unmeasured[0]); i++) {
		assert_int_equal(ntm_transaction_wait_us(NULL, i + 1, 0), unmeasured[i] * MS);
		assert_int_equal(ntm_transaction_wait_us(&(struct ntm_rtt){0}, i + 1, 0), unmeasured[i] * MS);
	}
	for (unsigned i = 0; i < sizeof(measured) / sizeof(measured[0]); i++)
		assert_int_equal(ntm_transaction_wait_us(&rtt, i + 1, 0), measured[i] * MS);
	rtt = (struct ntm_rtt){.srtt_us = 100};
	assert_int_equal(ntm_transaction_wait_us(&rtt, 1, 0), NTM_RTO_MIN_MS * MS);
	rtt = (struct ntm_rtt){.srtt_us = UINT32_MAX, .var_us = UINT32_MAX};
	assert_int_equal(ntm_transaction_wait_us(&rtt, 1, 0), NTM_RTO_MAX_MS * MS);
	assert_int_equal(ntm_transaction_wait_us(&rtt, UINT32_MAX, 0), NTM_RTO_MAX_MS * MS);
}

static void jitter_adds_a_quarter_at_most(void **state)
{
	(void)state;
	assert_int_equal(ntm_transaction_wait_us(NULL, 1, 512), 300 * MS + 37500);
	for (unsigned jitter = 0; jitter < 1024; jitter++)
		assert_in_range(ntm_transaction_wait_us(NULL, 5, jitter), 4000 * MS,
				4000 * MS + 1000 * MS - 1);
}

/* ---- the timer */

static struct event_base *base;
static struct ntm_transaction transaction;
static struct ntm_rtt rtt;
static unsigned sent, timeouts;
static int64_t sent_ms[32];
static enum { NOTHING, STOP, RESTART, CLEAR } in_send, in_timeout;

static void act(struct ntm_transaction *t, int what)
{
	if (what == STOP)
		ntm_transaction_stop(t);
	else if (what == RESTART)
		ntm_transaction_start(t, 60);
	else if (what == CLEAR)
		ntm_transaction_clear(t);
}

static void on_send(struct ntm_transaction *t, void *arg)
{
	assert_ptr_equal(arg, &sent);
	if (sent < sizeof(sent_ms) / sizeof(sent_ms[0]))
		sent_ms[sent] = ntm_loop_now_ms();
	sent++;
	act(t, in_send);
}

static void on_timeout(struct ntm_transaction *t, void *arg)
{
	int what = in_timeout;

	assert_ptr_equal(arg, &sent);
	assert_false(ntm_transaction_running(t));
	timeouts++;
	in_timeout = NOTHING;
	act(t, what);
}

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	rtt = (struct ntm_rtt){.srtt_us = 10000, .var_us = 1000};
	sent = timeouts = 0;
	in_send = in_timeout = NOTHING;
	return ntm_transaction_init(&transaction, base, &rtt, on_send, on_timeout, &sent);
}

static int teardown(void **state)
{
	(void)state;
	ntm_transaction_clear(&transaction);
	event_base_free(base);
	return 0;
}

static void run_ms(int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_base_loopexit(base, &tv);
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

/* On a busy machine everything may come late, so only what comes too early is exact. */
static void run_until(const unsigned *counter, unsigned value)
{
	for (int i = 0; i < 1000 && *counter < value; i++)
		run_ms(5);
	assert_int_equal(*counter, value);
}

static void it_is_sent_at_once_and_again_and_then_given_up(void **state)
{
	int64_t start = ntm_loop_now_ms();

	(void)state;
	assert_false(ntm_transaction_running(&transaction));
	ntm_transaction_start(&transaction, 260);
	assert_int_equal(sent, 1);
	run_until(&timeouts, 1);
	assert_in_range(ntm_loop_now_ms() - start, 258, 2000);
	assert_false(ntm_transaction_running(&transaction));
	/* at 0, after 50 to 63 ms, after 100 to 125 more; the next would be after the end, or just before it
	 */
	assert_in_range(sent, 2, 4);
	assert_in_range(sent_ms[1] - start, 48, 1000);
	if (sent > 2)
		assert_in_range(sent_ms[2] - sent_ms[1], 90, 1000);
	run_ms(100);
	assert_int_equal(timeouts, 1);
}

static void an_answer_to_the_first_transmission_is_measured(void **state)
{
	(void)state;
	rtt = (struct ntm_rtt){0};
	ntm_transaction_start(&transaction, 1000);
	run_ms(30);
	ntm_transaction_answered(&transaction);
	assert_in_range(rtt.srtt_us, 28000, 290000);
	run_ms(400);
	assert_int_equal(sent, 1);
	assert_int_equal(timeouts, 0);
}

static void an_answer_to_a_repeated_one_is_not_measured(void **state)
{
	struct ntm_rtt before = rtt;

	(void)state;
	ntm_transaction_start(&transaction, 5000);
	run_until(&sent, 2);
	ntm_transaction_answered(&transaction);
	assert_int_equal(rtt.srtt_us, before.srtt_us);
	assert_int_equal(rtt.var_us, before.var_us);
}

static void a_kick_sends_now_and_begins_the_backoff_anew_but_not_the_time(void **state)
{
	int64_t start = ntm_loop_now_ms(), deadline_us;

	(void)state;
	ntm_transaction_kick(&transaction); /* not running: nothing */
	assert_int_equal(sent, 0);
	ntm_transaction_start(&transaction, 1000);
	run_until(&sent, 3);
	deadline_us = transaction.deadline_us;
	ntm_transaction_kick(&transaction);
	assert_int_equal(sent, 4);
	assert_int_equal(transaction.deadline_us, deadline_us);
	run_until(&sent, 5);
	/* as after a second transmission; the fourth would wait 400 ms and more */
	assert_in_range(sent_ms[4] - sent_ms[3], 90, 390);
	run_until(&timeouts, 1);
	assert_in_range(ntm_loop_now_ms() - start, 995, 3000);
}

static void an_answer_after_a_kick_is_not_measured(void **state)
{
	struct ntm_rtt before = rtt;

	(void)state;
	ntm_transaction_start(&transaction, 5000);
	ntm_transaction_kick(&transaction);
	ntm_transaction_answered(&transaction);
	assert_int_equal(rtt.srtt_us, before.srtt_us);
	assert_int_equal(rtt.var_us, before.var_us);
}

static void callbacks_may_stop_restart_and_clear_it(void **state)
{
	(void)state;
	in_send = STOP;
	ntm_transaction_start(&transaction, 100);
	run_ms(150);
	assert_int_equal(sent, 1);
	assert_int_equal(timeouts, 0);
	in_send = NOTHING;
	in_timeout = RESTART;
	ntm_transaction_start(&transaction, 40);
	run_until(&timeouts, 2); /* given up, begun again, given up */
	assert_in_range(sent, 3, 6);
	in_send = CLEAR;
	ntm_transaction_start(&transaction, 100);
	run_ms(150);
	assert_int_equal(timeouts, 2);
}

static void stopped_it_stays_silent(void **state)
{
	(void)state;
	ntm_transaction_start(&transaction, 100);
	ntm_transaction_stop(&transaction);
	run_ms(150);
	assert_int_equal(sent, 1);
	assert_int_equal(timeouts, 0);
	ntm_transaction_start(&transaction, 1000);
	assert_int_equal(sent, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_sample_is_the_round_trip),
		cmocka_unit_test(further_samples_are_smoothed_as_rfc_6298_says),
		cmocka_unit_test(a_measured_round_trip_is_never_taken_for_none),
		cmocka_unit_test(waits_double_within_their_bounds),
		cmocka_unit_test(jitter_adds_a_quarter_at_most),
		TEST(it_is_sent_at_once_and_again_and_then_given_up),
		TEST(an_answer_to_the_first_transmission_is_measured),
		TEST(an_answer_to_a_repeated_one_is_not_measured),
		TEST(a_kick_sends_now_and_begins_the_backoff_anew_but_not_the_time),
		TEST(an_answer_after_a_kick_is_not_measured),
		TEST(callbacks_may_stop_restart_and_clear_it),
		TEST(stopped_it_stays_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
