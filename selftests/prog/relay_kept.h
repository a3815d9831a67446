/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_kept.h - what the relay keeps from one packet to the next: counters, rates, next hops, where a path is found,
 * how much control has come; for test_relay.c.
 */
#ifndef NTM_PROG_RELAY_KEPT_H
#define NTM_PROG_RELAY_KEPT_H

#include <unistd.h>

#include "relay_fixture.h"

/* ---- counters, rate, next hops */

static uint32_t run_one(enum path path, uint8_t type, const char *from, struct frame *ret_in, struct world_run *ret_run)
{
	const struct fixture fixture = {.path = path, .type = type, .from = from};

	frame_in(&fixture, ret_in);
	if (world_run(&world, prog_of(NATIVE), ret_in->b, ret_in->len, ret_run))
		return UINT32_MAX;
	return ret_run->verdict;
}

static void test_counters(void)
{
	const uint64_t len = NTM_HEADER_LEN + 64;
	struct ntm_relay_load before = world_load(&world), load;
	uint16_t tick = (uint16_t)(now_ns() >> NTM_RELAY_TICK_SHIFT);
	struct ntm_relay_state state;
	struct world_run run;
	struct frame in;

	path_put(P44);
	for (int i = 0; i < 3; i++)
		run_one(P44, DATA0, "192.0.2.10:1000", &in, &run);
	run_one(P44, DATA1, "198.51.100.10:2000", &in, &run);
	run_one(P44, NTM_TYPE_TUNNEL_REQUEST, "192.0.2.10:1000", &in, &run);
	run_one(P44, NTM_TYPE_TUNNEL_PROBE, "198.51.100.10:2000", &in, &run);
	run_one(P44, DATA1, "192.0.2.10:1000", &in, &run);
	run_one(P44, DATA0, "192.0.2.10:1", &in, &run);
	run_one(P44, NTM_TYPE_RELAY_BIND, "192.0.2.10:1000", &in, &run);
	state = world_state(&world, path_slot[P44]);
	load = world_load(&world);
	check(state.packets[0] == 4 && state.bytes[0] == 4 * len, "packets and bytes from side 0");
	check(state.packets[1] == 2 && state.bytes[1] == 2 * len, "packets and bytes from side 1");
	check(state.drops == 2, "drops of the path");
	check((uint16_t)(state.used - tick) <= 2, "last use");
	check(load.packets - before.packets == 6 && load.bytes - before.bytes == 6 * len, "load: passed on");
	check(load.seen - before.seen == 8, "load: seen, without what is never relayed");
	check(load.requests - before.requests == 1 && load.answers - before.answers == 1,
	      "load: requests, and answers without probes");
	check(load.samples && load.sampled_ns >= load.samples && load.samples <= load.seen / NTM_RELAY_SAMPLE + 2,
	      "load: time is measured now and then");
}

/* P_RATE may send a tenth of a second's bytes at once. */
static void test_rate(void)
{
	const unsigned burst = RATE / 10 / (NTM_HEADER_LEN + 64);
	unsigned passed = 0, refused = 0;
	struct world_run run;
	struct frame in;
	uint64_t before[NTM_DROP_MAX], after[NTM_DROP_MAX], start = now_ns(), more;
	uint32_t last = XDP_ABORTED;

	world_drops(&world, before);
	for (unsigned i = 0; i < 3 * burst; i++) {
		last = i & 1 ? run_one(P_RATE, DATA1, "192.0.2.11:1000", &in, &run) :
			       run_one(P_RATE, DATA0, "192.0.2.10:1000", &in, &run);
		passed += last == XDP_TX;
		refused += last == XDP_DROP;
	}
	/* What came to be allowed meanwhile; the clock of the program has steps of up to 10 ms. */
	more = ((now_ns() - start) / 1000 + 20000) * RATE / 1000000 / (NTM_HEADER_LEN + 64);
	world_drops(&world, after);
	check(passed >= burst - 1 && passed <= burst + more, "a path's rate holds for both directions together");
	check(passed + refused == 3 * burst && after[NTM_DROP_RATE] - before[NTM_DROP_RATE] == refused,
	      "what is above it is dropped and counted");
	if (last == XDP_DROP) {
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
		last = run_one(P_RATE, DATA0, "192.0.2.10:1000", &in, &run);
	}
	check(last == XDP_TX, "and after a pause there is room again");
}

static void larger_than_any(struct frame *f)
{
	f->payload = 1500;
	f->ip4_frag = 0;
}

/* What ntm-rs would relay, and take out of the same bucket (rs/path.c). */
static void test_rate_up(void)
{
	const struct fixture fixture = {.path = P_RATE, .type = DATA0, .from = "192.0.2.10:1000",
					.describe = larger_than_any};
	struct ntm_relay_state state;
	struct world_run run;
	struct frame in, up;

	frame_in(&fixture, &up);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	state = world_state(&world, path_slot[P_RATE]);
	check(!world_run(&world, prog_of(NATIVE), up.b, up.len, &run) && run.verdict == XDP_PASS &&
		      world_state(&world, path_slot[P_RATE]).rate_ns == state.rate_ns,
	      "what goes up takes nothing of the rate here");
	run.verdict = XDP_PASS;
	/* The clock may step, and leave room again, just when all was taken. */
	for (unsigned i = 0; i < 20 && run.verdict == XDP_PASS; i++) {
		while (run_one(P_RATE, DATA0, "192.0.2.10:1000", &in, &run) == XDP_TX)
			;
		world_run(&world, prog_of(NATIVE), up.b, up.len, &run);
	}
	check(run.verdict == XDP_DROP, "what is beyond the rate does not go up");
}

static bool goes_to(uint8_t mac)
{
	struct world_run run;
	struct frame in;
	uint8_t dmac[6];

	world_mac(dmac, 1, mac);
	return run_one(P44, DATA0, "192.0.2.10:1000", &in, &run) == XDP_REDIRECT && !memcmp(run.out, dmac, 6);
}

/* Until this many ticks from now somebody watches routes. */
static void watched(int ticks)
{
	world.config.watched_until = (uint32_t)((int64_t)(now_ns() >> NTM_RELAY_TICK_SHIFT) + ticks);
	world_config(&world);
}

static void test_hops(void)
{
	bool young = now_ns() >> NTM_RELAY_TICK_SHIFT < 4 << NTM_RELAY_ALONE_SHIFT; /* a virtual machine, perhaps */
	struct ntm_relay_hop hop;
	struct world_path path = path_make(P44);

	watched(100);
	check(goes_to(0x20), "the next hop is the neighbour");
	check(!system("ip neighbour replace 198.51.100.10 lladdr 02:00:00:00:01:21 dev nw1 nud permanent"),
	      "(the neighbour changes)");
	check(goes_to(0x20), "it is kept with the path");
	world.config.generation++;
	world_config(&world);
	check(goes_to(0x21), "and looked up again in another generation");
	check(!system("ip neighbour replace 198.51.100.10 lladdr 02:00:00:00:01:20 dev nw1 nud permanent"),
	      "(the neighbour changes back)");
	check(goes_to(0x21), "until then it is kept");
	path.entry.leg[1].moves++;
	hop = world.slots.state[path.entry.slot].hop[0];
	world_path(&world, ID(P44), &path, shown);
	world.slots.state[path.entry.slot].hop[0] = hop;
	check(goes_to(0x20), "and looked up again when the leg moves");
	check(!system("ip neighbour replace 198.51.100.10 lladdr 02:00:00:00:01:21 dev nw1 nud permanent"),
	      "(the neighbour changes again)");
	watched(200);
	check(goes_to(0x20), "it is kept as long as routes are watched");
	if (!young) {
		watched(-(1 << NTM_RELAY_ALONE_SHIFT) - 1);
		check(goes_to(0x21), "and looked up again when nobody does for a while");
	}
	check(!system("ip neighbour replace 198.51.100.10 lladdr 02:00:00:00:01:20 dev nw1 nud permanent"),
	      "(and back)");
	if (young) {
		puts("skip - next hops when nobody watches routes: this system has run for less than the time it takes");
	} else {
		watched(-3 * (1 << NTM_RELAY_ALONE_SHIFT));
		check(goes_to(0x20), "and again after that");
	}
	world.config.watched_until = 0;
	world_config(&world);
}

/* With no next hop known. */
static uint32_t run_anew(enum path path)
{
	struct ntm_relay_hop *hop = world.slots.state[path_slot[path]].hop;
	struct world_run run;
	struct frame in;

	memset(hop, 0, 2 * sizeof(*hop));
	return run_one(path, DATA0, "192.0.2.10:1000", &in, &run);
}

/* Legs in rs_state count only while rs_index leads there, for the path that it belongs to. */
static void test_ways(void)
{
	struct world_path path = path_make(P44), other = path_make(P_SAME);
	struct ntm_relay_home home = ntm_relay_home(ID(P44), world.slots.buckets);
	struct ntm_relay_state *state = &world.slots.state[path.entry.slot];
	uint16_t *tag = world.slots.bucket[path.entry.slot / NTM_RELAY_BUCKET].tag;

	path_put(P44);
	memcpy(state->leg, other.entry.leg, sizeof(state->leg));
	check(run_anew(P44) == (shown ? XDP_TX : XDP_REDIRECT), "only the legs that it leads to count");
	if (!shown)
		return;
	state->id++;
	check(run_anew(P44) == XDP_REDIRECT, "a tag that leads to another path's slot: rs_paths is asked");
	state->id--;
	for (uint32_t i = 0; i < NTM_RELAY_BUCKET; i++)
		tag[i] = i == path.entry.slot % NTM_RELAY_BUCKET ? home.tag : home.tag ^ 2;
	check(run_anew(P44) == XDP_TX, "it is found among tags that are nearly its own");
	rs_relay_slot_hide(&world.slots, path.entry.slot, world.tick);
	check(run_anew(P44) == XDP_REDIRECT, "and not when it is taken out");
	check(!rs_relay_slot_show(&world.slots, path.entry.slot, ID(P44), path.entry.leg, world.tick + 1),
	      "for two ticks it is not put back");
	memset(tag, 0, NTM_RELAY_BUCKET * sizeof(*tag));
	paths_make();
}

/* How many of ten go up. */
static unsigned ten_up(enum path path, uint8_t type, const char *from)
{
	uint64_t before[NTM_DROP_MAX], after[NTM_DROP_MAX];
	struct world_run run;
	struct frame in;
	unsigned up = 0;

	world_drops(&world, before);
	for (int i = 0; i < 10; i++)
		up += run_one(path, type, from, &in, &run) == XDP_PASS;
	world_drops(&world, after);
	return after[NTM_DROP_RATE] - before[NTM_DROP_RATE] == 10 - up ? up : UINT32_MAX;
}

/* Into the beginning of a tick, also of the program's clock, which may be a jiffy behind. */
static void tick_await(void)
{
	uint64_t ns = now_ns() & ((1ULL << NTM_RELAY_TICK_SHIFT) - 1);

	usleep((unsigned)(((1ULL << NTM_RELAY_TICK_SHIFT) - ns) / 1000 + 50000));
}

/* All in one tick and on one CPU. */
static void test_control(void)
{
	struct ntm_relay_config config = world.config;
	cpu_set_t cpus, one;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	world.config.control_key = now_ns();
	world.config.control_limit = 4;
	world.config.echo_limit = 3;
	world_config(&world);
	tick_await();
	check(ten_up(P44, NTM_TYPE_RELAY_BIND, "192.0.2.10:1000") == 4, "binds of one path go up to their limit");
	check(run_one(P66, NTM_TYPE_RELAY_BIND, "192.0.2.10:1000", &(struct frame){0}, &(struct world_run){0}) == XDP_PASS,
	      "those of another path are not concerned");
	check(ten_up(P44, NTM_TYPE_SESSION, "192.0.2.77:7000") == 4,
	      "sessions of one source go up to their limit");
	check(run_one(P44, NTM_TYPE_SESSION_INIT, "192.0.2.78:7000", &(struct frame){0}, &(struct world_run){0}) == XDP_PASS,
	      "those of another source are not concerned");
	check(ten_up(P44, NTM_TYPE_ECHO, "192.0.2.10:1000") == 3, "echoes go up to their limit");
	world.config = config;
	world_config(&world);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

#endif
