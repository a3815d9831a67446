/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_rs_path.c - rs/path.c: who may make and renew a relayed path, when it is forgotten, how a bind moves a
 * leg, and which source may send what. With a clock of its own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ntm/drop.h>

#include "endpoint.h"
#include "rs/rs.h"

#define MAX 100
#define NOW 1000000 /* ms */
#define LIFETIME_S 3600

static struct rs_dc dcs[2];
#define DC(n) (&dcs[n])

static struct rs_paths paths;

static int setup(void **state)
{
	(void)state;
	memset(dcs, 0, sizeof(dcs));
	dcs[0].max_paths = dcs[1].max_paths = MAX;
	return rs_paths_init(&paths, MAX);
}

static int teardown(void **state)
{
	(void)state;
	rs_paths_clear(&paths);
	return 0;
}

static struct ntm_endpoint endpoint(const char *text)
{
	struct ntm_endpoint ep;

	assert_int_equal(ntm_endpoint_parse(&ep, text, 0), 0);
	return ep;
}

static struct ntm_relay_direction direction(uint64_t id, uint8_t key)
{
	struct ntm_relay_direction d = {.path_id = id, .lifetime_s = LIFETIME_S};

	memset(d.leg_key[0], key, NTM_KEY_LEN);
	memset(d.leg_key[1], key + 1, NTM_KEY_LEN);
	return d;
}

static int direct(uint64_t id, struct rs_dc *dc, uint8_t key, int64_t now_ms)
{
	struct ntm_relay_direction d = direction(id, key);

	return rs_path_direct(&paths, &d, dc, now_ms, NULL);
}

static int move(struct rs_path *path, unsigned side, const char *to, uint64_t counter, int64_t now_ms)
{
	struct ntm_flow flow = {.remote = endpoint(to)};

	return rs_leg_move(&paths, path, side, &flow, counter, now_ms);
}

static int ask(struct rs_path *path, unsigned side, const char *from, uint64_t counter)
{
	struct ntm_endpoint source = endpoint(from);

	return rs_leg_ask(&paths, &path->leg[side], &source, counter);
}

static int admit(struct rs_path *path, uint8_t type, const char *from, int64_t now_ms)
{
	struct ntm_endpoint source = endpoint(from);

	return rs_path_admit(path, type, &source, 100, now_ms * 1000);
}

#define A "192.0.2.1:1000"
#define A2 "198.51.100.1:1000"
#define A3 "[2001:db8::1]:1000"
#define B "192.0.2.2:2000"
#define DATA0 NTM_TYPE_DATA
#define DATA1 (NTM_TYPE_DATA | NTM_TYPE_SIDE_BIT)

static struct rs_path *bound_path(void)
{
	struct rs_path *path;

	assert_int_equal(direct(1, DC(0), 1, NOW), 1);
	path = rs_path_find(&paths, 1, NOW);
	assert_non_null(path);
	assert_int_equal(move(path, 0, A, 10, NOW), 2);
	assert_int_equal(paths.bound, 0);
	assert_int_equal(move(path, 1, B, 10, NOW), 2);
	assert_int_equal(paths.bound, 1);
	return path;
}

static void directions(void **state)
{
	struct rs_path *path;

	(void)state;
	assert_null(rs_path_find(&paths, 1, NOW));
	assert_int_equal(direct(1, DC(0), 1, NOW), 1);
	path = rs_path_find(&paths, 1, NOW);
	assert_non_null(path);
	assert_null(rs_path_find(&paths, 2, NOW));
	assert_int_equal(direct(1, DC(1), 9, NOW), -EEXIST);
	assert_int_equal(path->leg[0].key[0], 1);

	/* The same again keeps counters, a new key forgets them; both keep the binding. */
	assert_int_equal(move(path, 0, A, 10, NOW), 2);
	assert_int_equal(direct(1, DC(0), 1, NOW + 5000), 0);
	assert_ptr_equal(rs_path_find(&paths, 1, NOW), path);
	assert_int_equal(path->expires_ms, NOW + 5000 + LIFETIME_S * 1000);
	assert_true(rs_leg_is_bound(&path->leg[0]));
	assert_int_equal(path->leg[0].moved, 10);
	assert_int_equal(direct(1, DC(0), 7, NOW + 6000), 0);
	assert_int_equal(path->leg[1].key[5], 8);
	assert_true(rs_leg_is_bound(&path->leg[0]));
	assert_int_equal(path->leg[0].moved, 0);

	rs_path_remove(&paths, path);
	assert_null(rs_path_find(&paths, 1, NOW));
	assert_int_equal(paths.count, 0);
}

static void limit(void **state)
{
	(void)state;
	for (uint64_t id = 1; id <= MAX; id++)
		assert_int_equal(direct(id, DC(0), 1, NOW), 1);
	assert_int_equal(direct(MAX + 1, DC(0), 1, NOW), -ENOSPC);
	assert_int_equal(direct(MAX, DC(0), 2, NOW), 0);
	for (uint64_t id = 1; id <= MAX; id++)
		assert_int_equal(rs_path_find(&paths, id, NOW)->id, id);
}

static void count(void *ctx, struct rs_path *path)
{
	unsigned *counts = ctx;

	counts[path->id]++;
}

static void expiry(void **state)
{
	int64_t unbound = NOW + NTM_RELAY_UNBOUND_S * 1000, end = NOW + LIFETIME_S * 1000LL;
	unsigned counts[3] = {0};

	(void)state;
	bound_path();
	assert_int_equal(direct(2, DC(0), 1, NOW), 1);
	assert_non_null(rs_path_find(&paths, 2, unbound - 1));
	assert_null(rs_path_find(&paths, 2, unbound));
	rs_paths_sweep(&paths, unbound - 1, count, counts);
	assert_int_equal(counts[1] + counts[2], 0);
	rs_paths_sweep(&paths, unbound, count, counts);
	assert_int_equal(counts[1], 0);
	assert_int_equal(counts[2], 1);
	assert_int_equal(paths.count, 1);

	assert_non_null(rs_path_find(&paths, 1, end - 1));
	assert_null(rs_path_find(&paths, 1, end));
	/* One that is over, but not yet swept away, is no other DC's any more. */
	assert_int_equal(direct(1, DC(1), 1, end), 1);
	assert_int_equal(paths.count, 1);
	assert_int_equal(paths.bound, 0);
	rs_paths_sweep(&paths, end + NTM_RELAY_UNBOUND_S * 1000, count, counts);
	assert_int_equal(counts[1], 1);
	assert_int_equal(paths.count, 0);
}

static int64_t elsewhere_ms;

static int64_t used_elsewhere_ms(void *ctx, uint64_t id)
{
	assert_ptr_equal(ctx, &elsewhere_ms);
	assert_int_equal(id, 1);
	return elsewhere_ms;
}

/* Neither packets nor its nodes: forgotten. Any of them, or XDP, keeps it. */
static void idleness(void **state)
{
	const int64_t idle = NTM_RELAY_IDLE_S * 1000LL;
	struct ntm_endpoint b = endpoint(B), stranger = endpoint(A3);
	unsigned counts[3] = {0};
	struct rs_path *path;
	int64_t now = NOW;

	(void)state;
	path = bound_path();
	assert_int_equal(admit(path, DATA0, A, now + 5000), 0);
	now += 5000 + idle;
	rs_paths_sweep(&paths, now - 1, count, counts);
	assert_int_equal(counts[1], 0);
	rs_paths_heard(&paths, &b, now - 1000); /* of whole seconds */
	now += idle - 1000;
	rs_paths_sweep(&paths, now - 1, count, counts);
	assert_int_equal(counts[1], 0);
	rs_paths_heard(&paths, &stranger, now);
	paths.used_elsewhere_ms = used_elsewhere_ms;
	paths.used_ctx = &elsewhere_ms;
	elsewhere_ms = now - idle + 1;
	rs_paths_sweep(&paths, now, count, counts);
	assert_int_equal(counts[1], 0);
	rs_paths_sweep(&paths, now + 1, count, counts);
	assert_int_equal(counts[1], 1);
	assert_int_equal(paths.count, 0);
	paths.used_elsewhere_ms = NULL;
}

/* From an ntm-rs before this one: forwarded, but keyless until its own DC directs it, which moves no leg. */
static void inheritance(void **state)
{
	struct rs_path_left left = {.id = 1, .expires_ms = NOW + 90000};
	struct rs_path *path;

	(void)state;
	left.bound[0].remote = endpoint(A);
	left.bound[1].remote = endpoint(B);
	assert_int_equal(rs_path_inherit(&paths, &left, DC(0), NOW), 0);
	assert_int_equal(rs_path_inherit(&paths, &left, DC(0), NOW), -EEXIST);
	assert_int_equal(paths.count, 1);
	assert_int_equal(paths.bound, 1);
	assert_int_equal(paths.inherited, 1);
	path = rs_path_find(&paths, 1, NOW + 89999);
	assert_non_null(path);
	assert_null(rs_path_find(&paths, 1, NOW + 90000));
	assert_true(path->inherited);
	assert_int_equal(admit(path, DATA0, A, NOW), 0);
	assert_int_equal(admit(path, DATA1, B, NOW), 1);
	assert_int_equal(direct(1, DC(1), 1, NOW), -EEXIST);
	assert_true(path->inherited);
	assert_int_equal(direct(1, DC(0), 1, NOW), 0);
	assert_false(path->inherited);
	assert_int_equal(paths.inherited, 0);
	assert_int_equal(paths.bound, 1);
	assert_int_equal(admit(path, DATA0, A, NOW), 0);
	assert_int_equal(path->expires_ms, NOW + LIFETIME_S * 1000LL);
	left.id = 2;
	assert_int_equal(rs_path_inherit(&paths, &left, DC(0), NOW), 0);
	rs_path_remove(&paths, rs_path_find(&paths, 2, NOW));
	assert_int_equal(paths.inherited, 0);
	assert_int_equal(paths.bound, 1);
}

static void candidates(void **state)
{
	struct rs_path *path;

	(void)state;
	assert_int_equal(direct(1, DC(0), 1, NOW), 1);
	path = rs_path_find(&paths, 1, NOW);
	assert_int_equal(move(path, 1, B, 1, NOW), 2);
	assert_int_equal(admit(path, DATA0, A, NOW), -NTM_DROP_SOURCE);
	assert_int_equal(ask(path, 0, A, 20), 0);
	assert_int_equal(admit(path, DATA0, A, NOW), 0); /* accepted at once, */
	assert_int_equal(admit(path, DATA1, B, NOW), -NTM_DROP_LEG_UNBOUND); /* but nothing is sent there */
	assert_int_equal(ask(path, 0, A2, 19), -NTM_DROP_BIND_OLD);
	assert_int_equal(ask(path, 0, A2, 20), -NTM_DROP_BIND_OLD); /* copied and sent from elsewhere */
	assert_int_equal(ask(path, 0, A, 20), 0); /* only repeated */
	assert_int_equal(admit(path, DATA0, A2, NOW), -NTM_DROP_SOURCE);
	assert_int_equal(ask(path, 0, A2, 21), 0);
	assert_int_equal(admit(path, DATA0, A, NOW), -NTM_DROP_SOURCE);
	assert_int_equal(admit(path, DATA0, A2, NOW), 0);
	assert_int_equal(path->drops, 4);
	assert_int_equal(path->leg[0].packets, 2);
	assert_int_equal(path->leg[0].bytes, 200);
}

static void moves(void **state)
{
	struct rs_path *path = bound_path();
	struct ntm_endpoint a2 = endpoint(A2);

	(void)state;
	/* Make before break: both sources count until the move, and the old one a moment longer. */
	assert_int_equal(ask(path, 0, A2, 20), 0);
	assert_int_equal(admit(path, DATA0, A, NOW), 0);
	assert_int_equal(admit(path, DATA0, A2, NOW), 0);
	assert_int_equal(move(path, 0, A2, 21, NOW), 1);
	assert_true(ntm_endpoint_equal(&path->leg[0].bound.remote, &a2));
	assert_true(ntm_endpoint_is_none(&path->leg[0].candidate));
	assert_int_equal(admit(path, DATA0, A, NOW + RS_OLD_SOURCE_MS - 1), 0);
	assert_int_equal(admit(path, DATA0, A, NOW + RS_OLD_SOURCE_MS), -NTM_DROP_SOURCE);
	assert_int_equal(admit(path, DATA0, A2, NOW + RS_OLD_SOURCE_MS), 0);

	assert_int_equal(move(path, 0, A2, 21, NOW), 0); /* its ACK was lost */
	assert_int_equal(move(path, 0, A3, 21, NOW), -NTM_DROP_BIND_OLD);
	assert_int_equal(move(path, 0, A, 10, NOW), -NTM_DROP_BIND_OLD);
	assert_int_equal(move(path, 0, B, 30, NOW), -NTM_DROP_SOURCE); /* both legs at one place */
	assert_true(rs_leg_is_bound_to(&path->leg[0], &a2));

	/* A later candidate stays one when an earlier bind moves. */
	assert_int_equal(ask(path, 0, A3, 40), 0);
	assert_int_equal(move(path, 0, A2, 22, NOW), 0);
	assert_int_equal(admit(path, DATA0, A3, NOW), 0);
	assert_int_equal(paths.bound, 1);

	assert_int_equal(rs_leg_keep_alive(&path->leg[0], 50), 0);
	assert_int_equal(rs_leg_keep_alive(&path->leg[0], 50), 0);
	assert_int_equal(rs_leg_keep_alive(&path->leg[0], 49), -NTM_DROP_BIND_OLD);
}

static void sides(void **state)
{
	static const struct {
		uint8_t type;
		int from_a, from_b; /* what admit says */
	} row[] = {
		{NTM_TYPE_TUNNEL_REQUEST, 0, -NTM_DROP_SIDE},
		{NTM_TYPE_TUNNEL_RESPONSE, -NTM_DROP_SIDE, 1},
		{NTM_TYPE_TUNNEL_PROBE, -NTM_DROP_SIDE, 1},
		{NTM_TYPE_COOKIE, 0, 1},
		{NTM_TYPE_RESET, 0, 1},
		{NTM_TYPE_PATH, 0, -NTM_DROP_SIDE},
		{NTM_TYPE_PATH | NTM_TYPE_SIDE_BIT, -NTM_DROP_SIDE, 1},
		{NTM_TYPE_DATA, 0, -NTM_DROP_SIDE},
		{NTM_TYPE_DATA | 0x0d, 0, -NTM_DROP_SIDE},
		{NTM_TYPE_DATA | 0x0f, -NTM_DROP_SIDE, 1},
	};
	struct rs_path *path = bound_path();

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(admit(path, row[i].type, A, NOW), row[i].from_a);
		assert_int_equal(admit(path, row[i].type, B, NOW), row[i].from_b);
		assert_int_equal(admit(path, row[i].type, A2, NOW), -NTM_DROP_SOURCE);
	}
}

static void rate(void **state)
{
	struct ntm_relay_direction d = direction(1, 1);
	struct rs_path *path = bound_path();
	unsigned passed = 0;

	(void)state;
	d.rate = 1000000;
	assert_int_equal(rs_path_direct(&paths, &d, DC(0), NOW, NULL), 0);
	/* At once: a tenth of a second's bytes. 100 bytes each, so 1000 packets. */
	while (admit(path, DATA0, A, NOW) == 0)
		passed++;
	assert_int_equal(passed, 1000);
	assert_int_equal(admit(path, DATA0, A, NOW), -NTM_DROP_RATE);
	/* Then 10 packets a millisecond, both directions together. */
	for (passed = 0; admit(path, DATA1, B, NOW + 7) == 1;)
		passed++;
	assert_int_equal(passed, 70);
	/* A slow path still takes whole packets, and never saves up more than its burst. */
	d.rate = 1000;
	assert_int_equal(rs_path_direct(&paths, &d, DC(0), NOW, NULL), 0);
	for (passed = 0; admit(path, DATA0, A, NOW + 3000000) == 0;)
		passed++;
	assert_int_equal(passed, 655);
	d.rate = 0;
	assert_int_equal(rs_path_direct(&paths, &d, DC(0), NOW + 3000000, NULL), 0);
	assert_int_equal(admit(path, DATA0, A, NOW + 3000000), 0);
}

/* What one DC may have leaves room for others; what it gives back it may have again. */
static void shares(void **state)
{
	struct rs_path_left left = {.id = 50, .expires_ms = NOW + 1000};

	(void)state;
	dcs[0].max_paths = 3;
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(direct(id, DC(0), 1, NOW), 1);
	assert_int_equal(dcs[0].paths, 3);
	assert_int_equal(direct(4, DC(0), 1, NOW), -EDQUOT);
	assert_null(rs_path_find(&paths, 4, NOW));
	assert_int_equal(direct(3, DC(0), 2, NOW), 0); /* one that is there is renewed */
	assert_int_equal(direct(4, DC(1), 1, NOW), 1);
	rs_path_remove(&paths, rs_path_find(&paths, 1, NOW));
	assert_int_equal(direct(5, DC(0), 1, NOW), 1);
	assert_int_equal(direct(6, DC(0), 1, NOW), -EDQUOT);
	/* Those of an earlier ntm-rs go on, and count. */
	assert_int_equal(rs_path_inherit(&paths, &left, DC(0), NOW), 0);
	assert_int_equal(dcs[0].paths, 4);
	/* Expired ones do not. */
	rs_paths_sweep(&paths, NOW + LIFETIME_S * 1000LL + 1, NULL, NULL);
	while (paths.count)
		rs_paths_sweep(&paths, NOW + LIFETIME_S * 1000LL + 1, NULL, NULL);
	assert_int_equal(dcs[0].paths, 0);
	assert_int_equal(dcs[1].paths, 0);
	assert_int_equal(direct(7, DC(0), 1, NOW), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(directions, setup, teardown),
		cmocka_unit_test_setup_teardown(limit, setup, teardown),
		cmocka_unit_test_setup_teardown(expiry, setup, teardown),
		cmocka_unit_test_setup_teardown(idleness, setup, teardown),
		cmocka_unit_test_setup_teardown(inheritance, setup, teardown),
		cmocka_unit_test_setup_teardown(candidates, setup, teardown),
		cmocka_unit_test_setup_teardown(moves, setup, teardown),
		cmocka_unit_test_setup_teardown(sides, setup, teardown),
		cmocka_unit_test_setup_teardown(rate, setup, teardown),
		cmocka_unit_test_setup_teardown(shares, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
