/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_prog.c - the relay's XDP program by BPF_PROG_TEST_RUN; for group_relay.sh. The best of some rounds counts.
 *
 *	relay_prog [pairs | paths | all [quick]]
 *
 * pairs: nanoseconds that it takes for a packet of one path, in the four pairs of address families; NAME_bare: what
 * only reads the packet, looks its path up and redirects it. Driver and transmission come on top.
 * paths: the same with many paths (paths_N: evenly at random, paths_hot: HOT of them have 90 % of the packets); and
 * thousands of frames a second that one CPU relays and delivers (live_*, by BPF_F_TEST_XDP_LIVE_FRAMES through a veth),
 * beside the same with one path and beside a program that only redirects; live_far: one path, but each packet waits for
 * one place in the memory of all, as any relay of so many must; long_ways: how many paths rs_index has no room for; map
 * memory for each path; and far_ns, what one load from memory costs.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "selftests/prog/relay_bench.skel.h"
#include "selftests/prog/relay_world.h"

#define PAYLOAD 48 /* with the NTM header a UDP payload of 64 bytes */
#define REPEAT 10000 /* each run has the kernel change code and wait; but ticks disturb longer ones */
#define PATHS_MAX 1000000
#define HOT 1000
#define HOT_SHARE 230 /* of 256 */
#define LIVE_BATCH 64
#define LIVE_ROUNDS 3
#define FAR_BYTES (128UL << 20) /* as the largest map */
#define FAR_LINE 64
#define FAR_STEPS 500000

static struct world world;
static struct relay_bench_bpf *bench;
static int rounds = 16, live_frames = 1 << 20;
static uint32_t slot[PATHS_MAX], taken; /* of the paths */
static unsigned long_ways; /* paths that rs_index does not know */

struct pair {
	const char *name, *remote[2];
	uint8_t local[2];
};

static const struct pair pairs[] = {
	{"4to4", {"192.0.2.10:1000", "198.51.100.10:2000"}, {LOCAL4, LOCAL4}},
	{"6to6", {"[2001:db8:1::10]:1000", "[2001:db8:2::10]:2000"}, {LOCAL6, LOCAL6}},
	{"4to6", {"192.0.2.10:1000", "[2001:db8:2::10]:2000"}, {LOCAL4, LOCAL6}},
	{"6to4", {"[2001:db8:1::10]:1000", "198.51.100.10:2000"}, {LOCAL6, LOCAL4}},
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
	map_share(bench->maps.rs_index, world.bpf->maps.rs_index);
	map_share(bench->maps.rs_exits, world.bpf->maps.rs_exits);
	map_share(bench->maps.rs_moving, world.bpf->maps.rs_moving);
	map_share(bench->maps.rs_local, world.bpf->maps.rs_local);
	map_share(bench->maps.rs_devices, world.bpf->maps.rs_devices);
	map_share(bench->maps.rs_config, world.bpf->maps.rs_config);
	map_share(bench->maps.rs_state, world.bpf->maps.rs_state);
	map_share(bench->maps.rs_stats, world.bpf->maps.rs_stats);
	map_share(bench->maps.rs_load, world.bpf->maps.rs_load);
	map_share(bench->maps.rs_control, world.bpf->maps.rs_control);
	if (relay_bench_bpf__load(bench))
		die("relay_bench");
}

static uint32_t now_tick(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)(((uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec) >> NTM_RELAY_TICK_SHIFT);
}

/* As ntm-rs does; from path 1 on, the next hop is known, from the first path, which had to look for it. */
static void paths_fill(const struct pair *pair, uint32_t from, uint32_t to)
{
	struct world_path path = {.entry.leg = {world_leg(pair->remote[0], pair->local[0]),
						world_leg(pair->remote[1], pair->local[1])},
				  .expires = UINT32_MAX};

	for (uint32_t i = from; i < to; i++) {
		struct ntm_relay_hop *hop;
		uint64_t id = path_id(i);
		int err;

		if (i >= taken && rs_relay_slot_take(&world.slots, id, world.tick, &slot[taken++]))
			die("rs_state");
		path.entry.slot = slot[i];
		err = world_path(&world, id, &path, true);
		if (err == -EIO)
			die("rs_paths");
		long_ways += err != 0;
		hop = &world.slots.state[slot[i]].hop[0];
		*hop = world.slots.state[slot[0]].hop[0];
		hop->generation = i ? ntm_relay_hop_wanted(&world.config, 0, id, now_tick()) : 0;
	}
}

/* Nanoseconds of one run, the mean. */
static double run(const struct bpf_program *prog, uint8_t *frame, size_t len, uint32_t verdict)
{
	struct xdp_md ctx = {.data_end = (uint32_t)len, .ingress_ifindex = (uint32_t)world.ifindex[0]};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = REPEAT);

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		die("test run");
	if (opts.retval != verdict) {
		fprintf(stderr, "relay_prog: verdict %u\n", opts.retval);
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

static void paths_use(uint32_t paths, uint32_t hot)
{
	bench->bss->paths = paths;
	bench->bss->hot = hot;
	bench->bss->hot_share = hot ? HOT_SHARE : 0;
}

/* What one program takes, by itself. */
static double alone(const struct bpf_program *prog, const struct pair *pair, uint32_t verdict)
{
	uint8_t frame[FRAME_MAX];
	size_t len = frame_prepare(pair, frame);
	int32_t shift = bench->bss->shift;
	double with = 1e18, without = 1e18, ns;

	for (int i = 0; i < rounds; i++) {
		/* The least that a relay must do leaves the frame's head where it is. */
		if (prog == bench->progs.bare_again)
			bench->bss->shift = 0;
		ns = run(prog, frame, prog == bench->progs.bare_again ? len - (size_t)shift : len, verdict);
		with = ns < with ? ns : with;
		bench->bss->shift = shift;
		ns = run(bench->progs.again, frame, len, XDP_REDIRECT);
		bench->bss->shift = shift;
		without = ns < without ? ns : without;
	}
	return with - without;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Thousands of frames a second that one CPU takes in, relays and drops at the far end of the device they leave by. */
static double live(const struct bpf_program *prog)
{
	uint8_t frame[FRAME_MAX];
	size_t len = frame_prepare(&pairs[0], frame);
	struct xdp_md ctx = {.data_end = (uint32_t)len, .ingress_ifindex = (uint32_t)world.ifindex[0]};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = live_frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = LIVE_BATCH);
	uint64_t before = bench->bss->sunk;
	double start = now(), seconds;

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		die("live frames");
	seconds = now() - start;
	/* What the far end still has is less than a batch. */
	if (bench->bss->sunk - before + LIVE_BATCH < (uint64_t)live_frames) {
		fprintf(stderr, "relay_prog: %llu of %d live frames arrived\n",
			(unsigned long long)(bench->bss->sunk - before), live_frames);
		exit(1);
	}
	return live_frames / seconds / 1000;
}

static double live_best(const struct bpf_program *prog)
{
	double best = 0;

	for (int i = 0; i < LIVE_ROUNDS; i++) {
		double kpps = live(prog);

		best = kpps > best ? kpps : best;
	}
	return best;
}

/* The best of both, in turns. */
static void live_pair(double *ret_many, double *ret_one, uint32_t paths, uint32_t hot)
{
	*ret_many = *ret_one = 0;
	for (int i = 0; i < LIVE_ROUNDS; i++) {
		double one, many;

		paths_use(1, 0);
		one = live(bench->progs.relay_again);
		paths_use(paths, hot);
		many = live(bench->progs.relay_again);
		*ret_one = one > *ret_one ? one : *ret_one;
		*ret_many = many > *ret_many ? many : *ret_many;
	}
}

static unsigned long long map_bytes(int fd)
{
	char path[64], line[128];
	unsigned long long bytes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	}
	if (file)
		fclose(file);
	return bytes;
}

/* Of all maps, whatever they are for. */
static double path_bytes(uint32_t paths)
{
	unsigned long long bytes = 0;
	struct bpf_map *map;

	bpf_object__for_each_map (map, world.bpf->obj)
		bytes += map_bytes(bpf_map__fd(map));
	return (double)bytes / paths;
}

/* Frames that are sent out of nw1 arrive only where a program waits for them. */
static void sink_attach(void)
{
	unsigned far = if_nametoindex("nw1p");

	if (!far || bpf_xdp_attach((int)far, bpf_program__fd(bench->progs.sink), 1U << 2 /* native */, NULL))
		die("sink");
	bench->bss->out = (uint32_t)world.ifindex[1];
}

/* Nanoseconds for a word that no cache has: what each step from one place in memory to the next costs here. */
static double far_ns(void)
{
	void **line = malloc(FAR_BYTES), **at = line;
	size_t lines = FAR_BYTES / FAR_LINE, step = FAR_LINE / sizeof(*line);
	double start;

	if (!line)
		die("memory");
	for (size_t i = 0; i < lines; i++)
		line[i * step] = &line[i * step];
	/* One ring of all, in an order that nothing can guess (Sattolo's shuffle). */
	for (size_t i = lines - 1; i; i--) {
		size_t other = (size_t)random() % i;
		void *next = line[i * step];

		line[i * step] = line[other * step];
		line[other * step] = next;
	}
	start = now();
	for (int i = 0; i < FAR_STEPS; i++)
		at = *(void *volatile *)at;
	start = (now() - start) / FAR_STEPS * 1e9;
	free(line);
	return start;
}

static void show(const char *name, double figure, const char *unit)
{
	printf("%-24s %8.1f %s\n", name, figure, unit);
	fflush(stdout);
}

static void pairs_show(void)
{
	char name[32];

	paths_use(1, 0);
	show("unknown", alone(bench->progs.relay_again, &pairs[0], XDP_DROP), "ns");
	for (size_t i = 0; i < PAIRS; i++) {
		paths_fill(&pairs[i], 0, 1);
		paths_use(1, 0);
		show(pairs[i].name, alone(bench->progs.relay_again, &pairs[i], XDP_REDIRECT), "ns");
		snprintf(name, sizeof(name), "%s_bare", pairs[i].name);
		show(name, alone(bench->progs.bare_again, &pairs[i], XDP_REDIRECT), "ns");
	}
}

/* Path IDs at random, evenly or 90 % of them of the first HOT: what the program takes, and what one CPU relays. */
static void paths_show(uint32_t most)
{
	static const uint32_t counts[] = {1, HOT, 100000, PATHS_MAX};
	uint32_t filled = 0;
	double many, one;
	char name[64];

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && counts[i] <= most; i++) {
		paths_fill(&pairs[0], filled, counts[i]);
		filled = counts[i];
		paths_use(filled, 0);
		snprintf(name, sizeof(name), "paths_%u", filled);
		show(name, alone(bench->progs.relay_again, &pairs[0], XDP_REDIRECT), "ns");
		if (filled == 1 || filled == most)
			continue;
		live_pair(&many, &one, filled, 0);
		snprintf(name, sizeof(name), "live_%u", filled);
		show(name, many, "kpps");
		snprintf(name, sizeof(name), "live_%u_one", filled);
		show(name, one, "kpps");
	}
	paths_use(filled, HOT);
	show("paths_hot", alone(bench->progs.relay_again, &pairs[0], XDP_REDIRECT), "ns");
	show("live_redirect", live_best(bench->progs.redirect_again), "kpps");
	paths_use(1, 0);
	bench->bss->slots = filled;
	show("live_far", live_best(bench->progs.far_again), "kpps");
	live_pair(&many, &one, filled, 0);
	show("live_random", many, "kpps");
	show("live_random_one", one, "kpps");
	live_pair(&many, &one, filled, HOT);
	show("live_hot", many, "kpps");
	show("live_hot_one", one, "kpps");
	show("long_ways", long_ways, "paths");
	show("map_bytes", path_bytes(most), "bytes");
	show("far_ns", far_ns(), "ns");
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "all";
	bool quick = argc > 2 && !strcmp(argv[2], "quick"), with_paths = strcmp(what, "pairs") != 0;
	uint32_t most = !with_paths ? 1 : quick ? 100000 : PATHS_MAX;

	if (quick) {
		rounds /= 4;
		live_frames /= 8;
	}
	if (world_open(&world, most))
		return 1;
	world.config.unknown_limit = 0;
	world.config.watched_until = UINT32_MAX; /* ntm-rs is there */
	world_config(&world);
	bench_open();
	sink_attach();
	if (strcmp(what, "paths") != 0)
		pairs_show();
	if (with_paths)
		paths_show(most);
	relay_bench_bpf__destroy(bench);
	world_close(&world);
	return 0;
}
