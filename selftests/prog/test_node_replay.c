/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_node_replay.c - every packet once: the replay window of bpf/replay.h, as inline_commit and xdp_ingress use it,
 * and the TX counter of tc_seal, also with two CPUs at the same time.
 */
#include "node_pair.h"

#include <pthread.h>
#include <sched.h>

#include <bpf/bpf.h>

#include "replay.h"

#define TAG 1
#define CPUS 2
#define PACKETS 3000 /* more than a window */

static void committed(uint64_t counter, enum ntm_commit_result result)
{
	assert_int_equal(node_commit(&b, TAG, counter), result);
}

static void a_counter_is_new_once(void **state)
{
	(void)state;
	for (uint64_t counter = 0; counter < 200; counter++) {
		committed(counter, NTM_COMMIT_NEW);
		committed(counter, NTM_COMMIT_REPLAY);
	}
	for (uint64_t counter = 0; counter < 200; counter++)
		committed(counter, NTM_COMMIT_REPLAY);
}

static void the_window_has_2048_counters_at_every_position(void **state)
{
	(void)state;
	for (uint64_t at = 0; at < 200; at++) {
		uint64_t top = 5000 + at;

		node_window_make(&b, TAG, 0);
		committed(top, NTM_COMMIT_NEW);
		committed(top - NTM_REPLAY_WINDOW, NTM_COMMIT_REPLAY); /* just behind it */
		committed(top - NTM_REPLAY_WINDOW + 1, NTM_COMMIT_NEW); /* its last */
		committed(top - NTM_REPLAY_WINDOW + 1, NTM_COMMIT_REPLAY);
		committed(top - 1, NTM_COMMIT_NEW);
		committed(top + 1, NTM_COMMIT_NEW);
		committed(top - NTM_REPLAY_WINDOW + 1, NTM_COMMIT_REPLAY);
		committed(top - NTM_REPLAY_WINDOW + 2, NTM_COMMIT_NEW);
	}
}

static void a_jump_forgets_what_is_behind(void **state)
{
	static const uint64_t jumps[] = {1, 63, 64, 65, 2047, 2048, 2049, 2111, 2112, 2113, 4224, 1ULL << 40};

	(void)state;
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		uint64_t top = 10000 + jumps[i];

		node_window_make(&b, TAG, 10001); /* all up to 10000 were seen */
		committed(top, NTM_COMMIT_NEW);
		for (uint64_t counter = top - NTM_REPLAY_WINDOW + 1; counter < top; counter += 61)
			committed(counter, counter <= 10000 ? NTM_COMMIT_REPLAY : NTM_COMMIT_NEW);
	}
}

static void the_largest_counter_is_a_counter(void **state)
{
	(void)state;
	committed(NTM_COUNTER_MASK, NTM_COMMIT_NEW);
	committed(NTM_COUNTER_MASK, NTM_COMMIT_REPLAY);
	committed(NTM_COUNTER_MASK - 1, NTM_COMMIT_NEW);
	committed(NTM_COUNTER_MASK + 1, NTM_COMMIT_UNKNOWN);
	committed(0, NTM_COMMIT_REPLAY);
}

static void without_a_window_nothing_is_known(void **state)
{
	(void)state;
	assert_int_equal(node_commit(&b, 77, 1), NTM_COMMIT_UNKNOWN);
	committed(1, NTM_COMMIT_NEW);
}

/* The same walk as ntmd's own window takes, which was written by itself. */
static void it_decides_as_the_window_of_user_space(void **state)
{
	struct ntm_replay model = {0};
	uint64_t near = 0, x = 88172645463325252;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint64_t counter;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (!(x % 50))
			near += x >> 32 & 0xfff;
		counter = near + (x >> 20 & 0xfff);
		counter = counter > 2200 ? counter - 2200 : 0;
		if (counter > near)
			near = counter;
		committed(counter, ntm_replay_commit(&model, counter) ? NTM_COMMIT_NEW : NTM_COMMIT_REPLAY);
	}
}

static size_t frame_make(uint8_t *frame, uint64_t counter)
{
	uint8_t inner[NODE_FRAME];
	size_t len = node_inner_make(inner, &a, &b, &(struct node_inner){.payload = 32});

	return node_outer_make(frame, &a, &b,
			       &(struct node_outer){.four = true, .type = NTM_TYPE_DATA, .key = 10, .counter = counter}, inner,
			       len);
}

static void xdp_and_ntmd_have_one_window(void **state)
{
	uint8_t frame[NODE_FRAME];
	struct ntm_event event;
	struct prog_run run;

	(void)state;
	committed(50, NTM_COMMIT_NEW);
	assert_int_equal(node_events(&b, &event), 1);
	assert_int_equal(event.kind, NTM_EVENT_PHASE_OPENED);
	assert_int_equal(event.value, TAG);
	assert_int_equal(node_receive(&b, frame, frame_make(frame, 50), &run), NODE_DROP);
	assert_int_equal(node_receive(&b, frame, frame_make(frame, 51), &run), NODE_PASS);
	committed(51, NTM_COMMIT_REPLAY);
	assert_int_equal(node_events(&b, &event), 1);
	assert_int_equal(event.kind, NTM_EVENT_REPLAY);
}

static void each_key_has_a_window_of_its_own(void **state)
{
	uint8_t frame[NODE_FRAME], inner[NODE_FRAME];
	size_t len = node_inner_make(inner, &a, &b, &(struct node_inner){.payload = 32});
	struct node_outer other = {.four = true, .type = NTM_TYPE_DATA | 1 << NTM_TYPE_PHASE_SHIFT, .key = 60, .counter = 9};
	struct prog_run run;

	(void)state;
	node_key(&b, 1, 70, 60, 2, UINT64_MAX);
	assert_int_equal(node_receive(&b, frame, frame_make(frame, 9), &run), NODE_PASS);
	assert_int_equal(node_receive(&b, frame, node_outer_make(frame, &a, &b, &other, inner, len), &run), NODE_PASS);
	assert_true(run.out_len == 8 + 14 + len);
	assert_int_equal(node_commit(&b, 2, 9), NTM_COMMIT_REPLAY);
	committed(9, NTM_COMMIT_REPLAY);
	committed(10, NTM_COMMIT_NEW);
	assert_int_equal(node_commit(&b, 2, 10), NTM_COMMIT_NEW);
}

/* ---- two CPUs */

static uint8_t frames[PACKETS][200];
static size_t frame_len;

struct worker {
	pthread_t thread;
	int cpu;
	uint8_t taken[PACKETS]; /* delivered, or: sealed with this counter */
	unsigned refused, other;
};

static pthread_barrier_t together;

static void cpu_take(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	pthread_barrier_wait(&together);
}

static void *receiver(void *arg)
{
	struct worker *w = arg;

	cpu_take(w->cpu);
	for (int i = 0; i < PACKETS; i++) {
		struct prog_run run = {.in = frames[i], .len = frame_len};

		if (prog_run(b.bpf->progs.xdp_ingress, &run))
			w->other++;
		else if (run.verdict == NODE_PASS && run.out_len != frame_len)
			w->taken[i]++;
		else if (run.verdict == NODE_DROP)
			w->refused++;
		else
			w->other++;
	}
	return NULL;
}

static void *committer(void *arg)
{
	struct worker *w = arg;

	cpu_take(w->cpu);
	for (int i = 0; i < PACKETS; i++) {
		int result = node_commit(&b, TAG, (uint64_t)i);

		if (result == NTM_COMMIT_NEW)
			w->taken[i]++;
		else if (result == NTM_COMMIT_REPLAY)
			w->refused++;
		else
			w->other++;
	}
	return NULL;
}

static void *sealer(void *arg)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t len = node_frame_make(frame, inner, node_inner_make(inner, &a, &b, &(struct node_inner){.payload = 32}));
	struct worker *w = arg;

	cpu_take(w->cpu);
	for (int i = 0; i < PACKETS / CPUS; i++) {
		struct prog_run run = {.in = frame, .len = len};
		uint64_t counter;

		if (prog_run(a.bpf->progs.tc_seal, &run) || (int)run.verdict != NODE_REDIRECT) {
			w->other++;
			continue;
		}
		counter = ntm_header_counter((const struct ntm_header *)(run.out + 14 + 28));
		if (counter < PACKETS)
			w->taken[counter]++;
		else
			w->other++;
	}
	return NULL;
}

/* Both at once; ret_taken: what both have together. */
static void run_both(void *(*first)(void *), void *(*second)(void *), unsigned *ret_taken, unsigned *ret_refused)
{
	static struct worker workers[CPUS];
	cpu_set_t before;

	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS) {
		print_message("this machine has one CPU\n");
		skip();
	}
	sched_getaffinity(0, sizeof(before), &before);
	memset(workers, 0, sizeof(workers));
	memset(ret_taken, 0, PACKETS * sizeof(*ret_taken));
	*ret_refused = 0;
	pthread_barrier_init(&together, NULL, CPUS);
	for (int i = 0; i < CPUS; i++) {
		workers[i].cpu = i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, i ? second : first, &workers[i]), 0);
	}
	for (int i = 0; i < CPUS; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&together);
	for (int i = 0; i < CPUS; i++) {
		assert_int_equal(workers[i].other, 0);
		*ret_refused += workers[i].refused;
		for (int n = 0; n < PACKETS; n++)
			ret_taken[n] += workers[i].taken[n];
	}
}

static void frames_make(void)
{
	for (int i = 0; i < PACKETS; i++) {
		uint8_t frame[NODE_FRAME];

		frame_len = frame_make(frame, (uint64_t)i);
		assert_true(frame_len <= sizeof(frames[i]));
		memcpy(frames[i], frame, frame_len);
	}
}

static void two_cpus_deliver_each_packet_once(void **state)
{
	unsigned taken[PACKETS], refused;
	struct ntm_state counts;

	(void)state;
	frames_make();
	for (int round = 0; round < 10; round++) {
		fresh(state);
		run_both(receiver, receiver, taken, &refused);
		for (int i = 0; i < PACKETS; i++)
			assert_int_equal(taken[i], 1);
		assert_int_equal(refused, PACKETS);
		assert_int_equal(node_drops(&b, NTM_DROP_REPLAY), PACKETS);
		node_state(&b, &counts);
		assert_int_equal(counts.rx_packets, PACKETS);
	}
}

static void a_cpu_and_ntmd_take_each_counter_once(void **state)
{
	unsigned taken[PACKETS], refused;

	(void)state;
	frames_make();
	for (int round = 0; round < 10; round++) {
		fresh(state);
		run_both(receiver, committer, taken, &refused);
		for (int i = 0; i < PACKETS; i++)
			assert_int_equal(taken[i], 1);
		assert_int_equal(refused, PACKETS);
	}
}

static void two_cpus_seal_with_different_counters(void **state)
{
	unsigned taken[PACKETS], refused;
	struct ntm_state counts;

	(void)state;
	for (int round = 0; round < 10; round++) {
		fresh(state);
		run_both(sealer, sealer, taken, &refused);
		for (int i = 0; i < PACKETS; i++)
			assert_int_equal(taken[i], 1);
		node_state(&a, &counts);
		assert_int_equal(counts.tx_next, PACKETS);
		assert_int_equal(counts.tx_packets, PACKETS);
	}
}

/* ntmd rewrites a path's ends all the time: no packet is made from two versions. */
static volatile bool writing;

static void *writer(void *arg)
{
	uint64_t *flips = arg;
	uint16_t port = 0;

	cpu_take(1);
	while (writing) {
		struct ntm_ends_copy *next = node_ends_next(&a);

		/* three fields that must come together, far from each other */
		port++;
		next->route.port = port;
		next->second.port = port;
		next->serial = port;
		next->unproven_bytes = 1U << 30;
		node_ends_flip(&a);
		__atomic_fetch_add(flips, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void ends_are_never_read_half_written(void **state)
{
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t len = node_frame_make(frame, inner, node_inner_make(inner, &a, &b, &(struct node_inner){.payload = 32}));
	uint64_t flips = 0;
	pthread_t thread;
	cpu_set_t before;

	(void)state;
	sched_getaffinity(0, sizeof(before), &before);
	writing = true;
	pthread_barrier_init(&together, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, writer, &flips), 0);
	cpu_take(0);
	/* the other CPU may have somebody else's work to do first */
	for (int i = 0; i < 20000 || __atomic_load_n(&flips, __ATOMIC_RELAXED) <= 1000; i++) {
		struct prog_run run = {.in = frame, .len = len};
		struct ntm_state counts;
		unsigned port;

		assert_int_equal(prog_run(a.bpf->progs.tc_seal, &run), 0);
		if ((int)run.verdict != NODE_REDIRECT) { /* rewritten twice meanwhile: known as such */
			assert_int_equal(run.verdict, NODE_SHOT);
			continue;
		}
		port = (unsigned)run.out[14 + 22] << 8 | run.out[14 + 23];
		node_state(&a, &counts);
		if (port != b.port) /* the first version */
			assert_int_equal(counts.unproven >> 32, port);
	}
	writing = false;
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&together);
	sched_setaffinity(0, sizeof(before), &before);
	assert_int_equal(node_drops_all(&a), node_drops(&a, NTM_DROP_NO_PATH));
}

int main(void)
{
	const struct CMUnitTest replay[] = {
		cmocka_unit_test_setup(a_counter_is_new_once, fresh),
		cmocka_unit_test_setup(the_window_has_2048_counters_at_every_position, fresh),
		cmocka_unit_test_setup(a_jump_forgets_what_is_behind, fresh),
		cmocka_unit_test_setup(the_largest_counter_is_a_counter, fresh),
		cmocka_unit_test_setup(without_a_window_nothing_is_known, fresh),
		cmocka_unit_test_setup(it_decides_as_the_window_of_user_space, fresh),
		cmocka_unit_test_setup(xdp_and_ntmd_have_one_window, fresh),
		cmocka_unit_test_setup(each_key_has_a_window_of_its_own, fresh),
		cmocka_unit_test_setup(two_cpus_deliver_each_packet_once, fresh),
		cmocka_unit_test_setup(a_cpu_and_ntmd_take_each_counter_once, fresh),
		cmocka_unit_test_setup(two_cpus_seal_with_different_counters, fresh),
		cmocka_unit_test_setup(ends_are_never_read_half_written, fresh),
	};

	return cmocka_run_group_tests(replay, setup, teardown);
}
