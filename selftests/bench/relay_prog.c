/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_prog.c - what the relay's XDP program takes for a packet, nanoseconds, by BPF_PROG_TEST_RUN: for the four
 * pairs of address families on one path, and with many paths at random. Driver and transmission come on top. The
 * best of some rounds counts. `relay_prog quick` does less.
 */
#include <stdlib.h>
#include <string.h>

#include "selftests/prog/relay_bench.skel.h"
#include "selftests/prog/relay_world.h"

#define PAYLOAD 48 /* with the NTM header a UDP payload of 64 bytes */
#define REPEAT 5000
#define ROUNDS 200
#define PATHS_MAX 1000000

static struct world world;
static struct relay_bench_bpf *bench;
static int repeat = REPEAT;
static bool slot_used[PATHS_MAX];

struct pair {
	const char *name, *remote[2];
	uint16_t local[2];
};

static const struct pair pairs[] = {
	{"IPv4 to IPv4", {"192.0.2.10:1000", "198.51.100.10:2000"}, {LOCAL4, LOCAL4}},
	{"IPv6 to IPv6", {"[2001:db8:1::10]:1000", "[2001:db8:2::10]:2000"}, {LOCAL6, LOCAL6}},
	{"IPv4 to IPv6", {"192.0.2.10:1000", "[2001:db8:2::10]:2000"}, {LOCAL4, LOCAL6}},
	{"IPv6 to IPv4", {"[2001:db8:1::10]:1000", "198.51.100.10:2000"}, {LOCAL6, LOCAL4}},
};
#define PAIRS (sizeof(pairs) / sizeof(pairs[0]))

/* As in relay_bench.bpf.c */
static uint64_t path_id(uint32_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

static void die(const char *what)
{
	fprintf(stderr, "relay_prog: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void map_share(struct bpf_map *map, const struct bpf_map *with)
{
	if (bpf_map__reuse_fd(map, bpf_map__fd(with)))
		die(bpf_map__name(map));
}

static void bench_open(void)
{
	bench = relay_bench_bpf__open();
	if (!bench)
		die("relay_bench");
	map_share(bench->maps.rs_paths, world.bpf->maps.rs_paths);
	map_share(bench->maps.rs_moving, world.bpf->maps.rs_moving);
	map_share(bench->maps.rs_local, world.bpf->maps.rs_local);
	map_share(bench->maps.rs_devices, world.bpf->maps.rs_devices);
	map_share(bench->maps.rs_config, world.bpf->maps.rs_config);
	map_share(bench->maps.rs_state, world.bpf->maps.rs_state);
	map_share(bench->maps.rs_stats, world.bpf->maps.rs_stats);
	map_share(bench->maps.rs_load, world.bpf->maps.rs_load);
	if (relay_bench_bpf__load(bench))
		die("relay_bench");
}

/* As ntm-rs does: the one it should be, or the next that is free. */
static uint32_t slot_take(uint64_t id)
{
	uint32_t slot = ntm_relay_slot(id, world.config.slots);

	while (slot_used[slot])
		slot = (slot + 1) % world.config.slots;
	slot_used[slot] = true;
	return slot;
}

static void paths_fill(const struct pair *pair, uint32_t from, uint32_t to)
{
	struct ntm_relay_path path = {
		.leg = {world_leg(pair->remote[0], pair->local[0]), world_leg(pair->remote[1], pair->local[1])},
		.expires = UINT32_MAX};
	/* The next hop is known. */
	struct ntm_relay_state state = world_state(&world, ntm_relay_slot(path_id(0), world.config.slots));

	if (!from)
		memset(slot_used, 0, sizeof(slot_used));
	for (uint32_t i = from; i < to; i++) {
		path.slot = slot_take(path_id(i));
		if (world_path(&world, path_id(i), &path) || world_put(world.bpf->maps.rs_state, &path.slot, &state))
			die("rs_paths");
	}
}

/* Nanoseconds of one run, the mean. */
static double run(const struct bpf_program *prog, uint8_t *frame, size_t len, uint32_t verdict)
{
	struct xdp_md ctx = {.data_end = (uint32_t)len, .ingress_ifindex = (uint32_t)world.ifindex[0]};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = repeat);

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		die("test run");
	if (opts.retval != verdict) {
		errno = 0;
		fprintf(stderr, "relay_prog: verdict %u, not %u\n", opts.retval, verdict);
		exit(1);
	}
	return opts.duration;
}

/* The frame of side 0 as it is to be put back, and as the relay would leave it (only its length matters). */
static size_t frame_prepare(const struct pair *pair, uint8_t left[FRAME_MAX])
{
	struct frame f = {.source = endpoint(pair->remote[0]),
			  .dest = endpoint(world_local[pair->local[0]]),
			  .ttl = 64,
			  .ip4_frag = 0x4000,
			  .type = NTM_TYPE_DATA,
			  .payload = PAYLOAD};
	bool is4 = ntm_endpoint_is4(&f.source), out4 = pair->local[1] != LOCAL6;

	frame_build(&f);
	memcpy(bench->bss->head, f.b, sizeof(bench->bss->head));
	bench->bss->is4 = is4;
	bench->bss->shift = is4 == out4 ? 0 : is4 ? IP6_LEN - IP4_LEN : IP4_LEN - IP6_LEN;
	memset(left, 0, FRAME_MAX);
	return (size_t)((int)f.len + bench->bss->shift);
}

/* Program alone. unknown: Path IDs that are in no path */
static double measure(const struct pair *pair, uint32_t paths, uint32_t hot, uint32_t verdict)
{
	uint8_t frame[FRAME_MAX];
	size_t len = frame_prepare(pair, frame);
	double with = 1e18, without = 1e18;
	int32_t shift = bench->bss->shift;

	bench->bss->paths = paths;
	bench->bss->hot = hot;
	bench->bss->hot_share = hot ? 230 : 0; /* 90 % */
	for (int i = 0; i < ROUNDS; i++) {
		double ns = run(bench->progs.relay_again, frame, len, verdict);

		with = ns < with ? ns : with;
		ns = run(bench->progs.again, frame, len, XDP_REDIRECT);
		bench->bss->shift = shift;
		without = ns < without ? ns : without;
	}
	return with - without;
}

int main(int argc, char **argv)
{
	static const uint32_t counts[] = {1, 1000, 100000, PATHS_MAX};
	uint32_t most = PATHS_MAX, filled = 1;
	double one;

	if (argc > 1 && !strcmp(argv[1], "quick")) {
		most = 100000;
		repeat /= 4;
	}
	if (world_open(&world, most))
		return 1;
	world.config.unknown_limit = 0;
	world_config(&world);
	bench_open();
	for (size_t i = 0; i < PAIRS; i++) {
		paths_fill(&pairs[i], 0, 1);
		printf("%-28s %6.1f ns\n", pairs[i].name, measure(&pairs[i], 1, 0, XDP_REDIRECT));
	}
	paths_fill(&pairs[0], 0, 1);
	one = measure(&pairs[0], 1, 0, XDP_REDIRECT);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && counts[i] <= most; i++) {
		char name[64];

		paths_fill(&pairs[0], filled, counts[i]);
		filled = counts[i];
		snprintf(name, sizeof(name), "%u paths at random", counts[i]);
		printf("%-28s %6.1f ns\n", name, measure(&pairs[0], counts[i], 0, XDP_REDIRECT));
	}
	printf("%-28s %6.1f ns\n", "the same, 1000 have 90 %", measure(&pairs[0], filled, 1000, XDP_REDIRECT));
	/* Beyond what is filled */
	printf("%-28s %6.1f ns\n", "one path again", one);
	relay_bench_bpf__destroy(bench);
	world_close(&world);
	return 0;
}
