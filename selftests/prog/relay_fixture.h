/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_fixture.h - the relayed paths that test_relay.c has, and how one of its fixtures is run: a packet in, the
 * verdict, the packet out, the drop reason counted. The same for both programs.
 */
#ifndef NTM_PROG_RELAY_FIXTURE_H
#define NTM_PROG_RELAY_FIXTURE_H

#include <time.h>

#include "relay_world.h"

static struct world world;
static bool shown; /* paths are found by the short way */
static int failed;

/* ---- the paths */

enum path {
	P44,
	P66,
	P46,
	P_SAME, /* both ends behind nw0 */
	P_SAME6,
	P_SAME46,
	P_OTHER, /* side 1 is bound at another address of ours */
	P_VLAN,
	P_VLAN6,
	P_HALF,
	P_NO_NEIGHBOUR,
	P_NO_ROUTE,
	P_NO_DEVICE,
	P_TX_ONLY,
	P_USER,
	P_OVER,
	P_MOVING,
	P_MOVING_FULL, /* there was no room for it in rs_moving */
	P_RATE,
	PATHS,
	P_NONE = PATHS, /* an unknown Path ID */
};

#define ID(path) (0xa1b2c3d4e5f60000ULL + (path))

struct path_ends {
	const char *remote[2];
	uint8_t local[2];
	uint16_t flags;
};

#define WORLD_ROOM (16 * PATHS) /* so that each path gets a slot where the short way leads */
static uint32_t path_slot[PATHS];

static const struct path_ends path_ends[PATHS] = {
	[P44] = {{"192.0.2.10:1000", "198.51.100.10:2000"}, {LOCAL4, LOCAL4}, 0},
	[P66] = {{"[2001:db8:1::10]:1000", "[2001:db8:2::10]:2000"}, {LOCAL6, LOCAL6}, 0},
	[P46] = {{"192.0.2.10:1000", "[2001:db8:2::10]:2000"}, {LOCAL4, LOCAL6}, 0},
	[P_SAME] = {{"192.0.2.10:1000", "192.0.2.11:1000"}, {LOCAL4, LOCAL4}, 0},
	[P_SAME6] = {{"[2001:db8:1::10]:1000", "[2001:db8:1::11]:1000"}, {LOCAL6, LOCAL6}, 0},
	[P_SAME46] = {{"192.0.2.10:1000", "[2001:db8:1::11]:1000"}, {LOCAL4, LOCAL6}, 0},
	[P_OTHER] = {{"192.0.2.10:1000", "192.0.2.11:1000"}, {LOCAL4, LOCAL4_OTHER}, 0},
	[P_VLAN] = {{"192.0.2.10:1000", "203.0.113.10:2000"}, {LOCAL4, LOCAL4}, 0},
	[P_VLAN6] = {{"192.0.2.10:1000", "[2001:db8:3::10]:2000"}, {LOCAL4, LOCAL6}, 0},
	[P_HALF] = {{"192.0.2.10:1000", NULL}, {LOCAL4, LOCAL4}, 0},
	[P_NO_NEIGHBOUR] = {{"192.0.2.10:1000", "198.51.100.99:2000"}, {LOCAL4, LOCAL4}, 0},
	[P_NO_ROUTE] = {{"192.0.2.10:1000", "100.64.0.1:2000"}, {LOCAL4, LOCAL4}, 0},
	[P_NO_DEVICE] = {{"192.0.2.10:1000", "192.168.3.10:2000"}, {LOCAL4, LOCAL4}, 0},
	[P_TX_ONLY] = {{"192.0.2.10:1000", "192.168.4.10:2000"}, {LOCAL4, LOCAL4}, 0},
	[P_USER] = {{"192.0.2.10:1000", "198.51.100.10:2000"}, {LOCAL4, LOCAL4}, NTM_RELAY_PASS},
	[P_OVER] = {{"192.0.2.10:1000", "198.51.100.10:2000"}, {LOCAL4, LOCAL4}, 0},
	[P_MOVING] = {{"192.0.2.10:1000", "198.51.100.10:2000"}, {LOCAL4, LOCAL4}, NTM_RELAY_MOVING},
	[P_MOVING_FULL] = {{"192.0.2.10:1000", "198.51.100.10:2000"}, {LOCAL4, LOCAL4}, NTM_RELAY_MOVING},
	[P_RATE] = {{"192.0.2.10:1000", "192.0.2.11:1000"}, {LOCAL4, LOCAL4}, 0},
};

#define MOVED_TO "[2001:db8:1::11]:1111" /* candidate of side 0 of P_MOVING */
#define MOVED_FROM "192.0.2.11:1212" /* old source of side 0 */
#define MOVED_LONG_AGO "198.51.100.10:1313" /* old source of side 1, no longer valid */
#define RATE 1000000 /* bytes a second, P_RATE */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static struct world_path path_make(enum path i)
{
	const struct path_ends *ends = &path_ends[i];

	return (struct world_path){.entry = {.leg = {world_leg(ends->remote[0], ends->local[0]),
						     world_leg(ends->remote[1], ends->local[1])},
					     .slot = path_slot[i]},
				   .rate = i == P_RATE ? RATE : 0,
				   .flags = ends->flags,
				   .expires = i == P_OVER ? 1 : UINT32_MAX};
}

static int path_put(enum path i)
{
	struct world_path path = path_make(i);

	return world_path(&world, ID(i), &path, shown);
}

static int slots_take(void)
{
	int err = 0;

	for (enum path i = 0; i < PATHS && !err; i++)
		err = rs_relay_slot_take(&world.slots, ID(i), world.tick, &path_slot[i]);
	return err;
}

static int paths_make(void)
{
	struct ntm_relay_moving moving = {
		.leg = {{.candidate = endpoint(MOVED_TO),
			 .old = endpoint(MOVED_FROM),
			 .old_until_ns = now_ns() + 3600 * 1000000000ULL},
			{.old = endpoint(MOVED_LONG_AGO), .old_until_ns = now_ns() - 1000000}}};
	uint64_t id = ID(P_MOVING);
	int err = world_put(world.bpf->maps.rs_moving, &id, &moving);

	for (enum path i = 0; i < PATHS; i++)
		err |= path_put(i);
	return err;
}

/* ---- saying what holds */

static bool check(bool holds, const char *name)
{
	printf("%s - %s%s\n", holds ? "ok" : "not ok", shown ? "the short way: " : "", name);
	failed |= !holds;
	return holds;
}

static void dump(const char *what, const uint8_t *b, size_t len)
{
	printf("# %s, %zu bytes:", what, len);
	for (size_t i = 0; i < len && i < 128; i++)
		printf("%s%02x", i % 16 ? " " : "\n#   ", b[i]);
	putchar('\n');
}

/* ---- one packet */

#define NATIVE 1
#define GENERIC 2
#define BOTH (NATIVE | GENERIC)

static const struct bpf_program *prog_of(int mode)
{
	return mode == NATIVE ? world.bpf->progs.rs_relay : world.bpf->progs.rs_relay_skb;
}

struct fixture {
	const char *name;
	enum path path;
	uint8_t type;
	const char *from, *to; /* packet in; to NULL: our endpoint of the sender's family */
	void (*describe)(struct frame *in); /* what is special about it, before it is built */
	void (*change)(struct frame *in); /* and after */
	uint32_t verdict;
	int drop; /* reason counted */
	const char *out_from, *out_to; /* packet out, when it is passed on */
	void (*expect)(struct frame *out); /* what is special about that */
	int modes; /* 0: both */
};

static void frame_in(const struct fixture *fixture, struct frame *f)
{
	*f = (struct frame){.source = endpoint(fixture->from),
			    .tos = 0xb9, /* DSCP EF, ECN ECT(1) */
			    .ttl = 64,
			    .flow_label = 0x12345,
			    .ip4_id = 0x4321,
			    .ip4_frag = 0x4000,
			    .type = fixture->type,
			    .id = ID(fixture->path),
			    .payload = 64,
			    .payload_end = 0x1234};
	f->dest = endpoint(fixture->to ? fixture->to : world_local[ntm_endpoint_is4(&f->source) ? LOCAL4 : LOCAL6]);
	world_mac(f->dmac, 0, 0);
	world_mac(f->smac, 2, 1);
	if (fixture->describe)
		fixture->describe(f);
	frame_build(f);
	if (fixture->change)
		fixture->change(f);
}

static uint32_t flow_label(uint64_t id)
{
	return (uint32_t)((id ^ WORLD_FLOW_KEY) * 0x9e3779b97f4a7c15ULL >> 44);
}

static void frame_out(const struct fixture *fixture, const struct frame *in, struct frame *f)
{
	const struct world_neighbour *next;
	bool is4;

	*f = *in;
	f->source = endpoint(fixture->out_from);
	f->dest = endpoint(fixture->out_to);
	is4 = ntm_endpoint_is4(&f->dest);
	next = world_neighbour(&f->dest);
	if (!next)
		abort();
	world_mac(f->dmac, 1, next->mac);
	world_mac(f->smac, 0, next->device);
	f->outer_vlan = 0;
	f->vlan = next->device == 2 ? WORLD_VLAN : 0;
	f->ttl--;
	f->flow_label = flow_label(in->id);
	if (!is4 || !ntm_endpoint_is4(&in->source)) {
		f->ip4_id = 0;
		f->ip4_frag = 0x4000;
	}
	if (fixture->expect)
		fixture->expect(f);
	frame_build(f);
}

static bool drops_are(const uint64_t before[NTM_DROP_MAX], int reason)
{
	uint64_t now[NTM_DROP_MAX];

	world_drops(&world, now);
	for (int i = 0; i < NTM_DROP_MAX; i++) {
		if (now[i] - before[i] != (i && i == reason)) {
			printf("# drop reason %d counted %d times\n", i, (int)(now[i] - before[i]));
			return false;
		}
	}
	return true;
}

static bool out_is(const struct world_run *run, const uint8_t *b, size_t len)
{
	if (run->len == len && !memcmp(run->out, b, len))
		return true;
	dump("came out", run->out, run->len);
	dump("should be", b, len);
	return false;
}

static bool fixture_holds(const struct fixture *fixture, int mode)
{
	uint64_t before[NTM_DROP_MAX];
	struct frame in, out;
	struct world_run run;

	world_drops(&world, before);
	frame_in(fixture, &in);
	if (world_run(&world, prog_of(mode), in.b, in.len, &run))
		return false;
	if (run.verdict != fixture->verdict) {
		printf("# verdict %u, not %u\n", run.verdict, fixture->verdict);
		return false;
	}
	if (!drops_are(before, fixture->drop))
		return false;
	if (run.verdict == XDP_DROP)
		return true;
	if (run.verdict == XDP_PASS)
		return out_is(&run, in.b, in.len);
	frame_out(fixture, &in, &out);
	return out_is(&run, out.b, out.len);
}

static void fixtures_run(const struct fixture *fixture, size_t n)
{
	for (size_t i = 0; i < n; i++, fixture++) {
		int modes = fixture->modes ? fixture->modes : BOTH;

		check((!(modes & NATIVE) || fixture_holds(fixture, NATIVE)) &&
			      (!(modes & GENERIC) || fixture_holds(fixture, GENERIC)),
		      fixture->name);
	}
}
#define FIXTURES_RUN(fixtures) fixtures_run(fixtures, sizeof(fixtures) / sizeof((fixtures)[0]))

#define DATA0 NTM_TYPE_DATA
#define DATA1 (NTM_TYPE_DATA | NTM_TYPE_SIDE_BIT)

#endif
