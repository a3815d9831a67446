/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_world.h - a relay server's world for BPF_PROG_TEST_RUN: a network namespace of its own, interfaces with
 * addresses and permanent neighbours, the relay's maps filled as ntm-rs fills them.
 *
 *	nw0  192.0.2.1    2001:db8:1::1   the program runs here (native), so that frames can come in by it
 *	nw1  198.51.100.1 2001:db8:2::1   MTU 1400
 *	nw2  203.0.113.1  2001:db8:3::1   stands for a VLAN device: frames leave by nw0 with tag 7
 *	nw3  192.168.3.1                  not among the devices that may be used
 *	nw4  192.168.4.1                  takes no redirected frames
 *
 * Neighbours are .10 and .11, ::10 and ::11 on nw0, .10 and ::10 elsewhere.
 */
#ifndef NTM_PROG_RELAY_WORLD_H
#define NTM_PROG_RELAY_WORLD_H

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <ntm/drop.h>
#include <ntm/relay_map.h>

#include "bpf/xdp_relay.skel.h"
#include "relay_frame.h"
#include "rs/relay_slot.h"

#define WORLD_PORT 6866
#define WORLD_FLOW_KEY 0x1122334455667788ULL
#define WORLD_VLAN 7
#define WORLD_NARROW 1400 /* MTU of nw1 */
#define WORLD_CPUS 256
#define WORLD_DEVICES 5

/* rs_local */
enum { LOCAL4, LOCAL6, LOCAL4_OTHER, LOCALS };
static const char *const world_local[LOCALS] = {"192.0.2.1:6866", "[2001:db8:1::1]:6866", "198.51.100.1:6866"};

struct world {
	struct xdp_relay_bpf *bpf;
	int ifindex[WORLD_DEVICES];
	struct ntm_relay_config config;
	struct rs_relay_slots slots;
	uint32_t tick; /* for the slots: time that goes on when it has to */
};

/* Where frames to an address go: as the routes and neighbours below say. */
struct world_neighbour {
	const char *addr;
	uint8_t device, mac; /* last byte */
};
static const struct world_neighbour world_neighbours[] = {
	{"192.0.2.10", 0, 0x10},    {"2001:db8:1::10", 0, 0x10}, {"192.0.2.11", 0, 0x11},
	{"2001:db8:1::11", 0, 0x11}, {"198.51.100.10", 1, 0x20},  {"2001:db8:2::10", 1, 0x20},
	{"203.0.113.10", 2, 0x30},   {"2001:db8:3::10", 2, 0x30}, {"192.168.3.10", 3, 0x40},
	{"192.168.4.10", 4, 0x50},
};
#define WORLD_NEIGHBOURS (sizeof(world_neighbours) / sizeof(world_neighbours[0]))

static inline struct ntm_endpoint endpoint(const char *text)
{
	struct ntm_endpoint e;

	if (ntm_endpoint_parse(&e, text, WORLD_PORT)) {
		fprintf(stderr, "no endpoint: %s\n", text);
		abort();
	}
	return e;
}

static inline void world_mac(uint8_t mac[6], uint8_t kind, uint8_t last)
{
	memcpy(mac, (uint8_t[6]){2, 0, 0, 0, kind, last}, 6);
}

static inline const struct world_neighbour *world_neighbour(const struct ntm_endpoint *to)
{
	for (size_t i = 0; i < WORLD_NEIGHBOURS; i++) {
		struct ntm_addr addr;

		if (!ntm_addr_parse(&addr, world_neighbours[i].addr) && !memcmp(&addr, &to->addr, sizeof(addr)))
			return &world_neighbours[i];
	}
	return NULL;
}

static inline int world_sysctl(const char *path, const char *value)
{
	FILE *file = fopen(path, "w");
	int failed = !file || fputs(value, file) < 0;

	if (file && fclose(file))
		failed = 1;
	return failed ? -EIO : 0;
}

static inline int world_network(void)
{
	static const char *const addrs[WORLD_DEVICES][2] = {{"192.0.2.1/24", "2001:db8:1::1/64"},
							    {"198.51.100.1/24", "2001:db8:2::1/64"},
							    {"203.0.113.1/24", "2001:db8:3::1/64"},
							    {"192.168.3.1/24", NULL},
							    {"192.168.4.1/24", NULL}};
	FILE *ip;

	if (unshare(CLONE_NEWNET))
		return -errno;
	ip = popen("ip -batch -", "w");
	if (!ip)
		return -errno;
	fputs("link set lo up\n", ip);
	for (int i = 0; i < WORLD_DEVICES; i++) {
		fprintf(ip, "link add nw%d address 02:00:00:00:00:%02x type veth peer name nw%dp\n", i, i, i);
		fprintf(ip, "link set nw%dp up\nlink set nw%d up mtu %d\n", i, i, i == 1 ? WORLD_NARROW : 1500);
		for (int k = 0; k < 2 && addrs[i][k]; k++)
			fprintf(ip, "address add %s dev nw%d%s\n", addrs[i][k], i, k ? " nodad" : "");
	}
	for (size_t i = 0; i < WORLD_NEIGHBOURS; i++)
		fprintf(ip, "neighbour add %s lladdr 02:00:00:00:01:%02x dev nw%d nud permanent\n",
			world_neighbours[i].addr, world_neighbours[i].mac, world_neighbours[i].device);
	if (pclose(ip))
		return -EIO;
	if (world_sysctl("/proc/sys/net/ipv4/conf/lo/forwarding", "1"))
		return -EIO;
	return world_sysctl("/proc/sys/net/ipv6/conf/lo/forwarding", "1");
}

static inline int world_put(const struct bpf_map *map, const void *key, const void *value)
{
	int err = bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY);

	if (err)
		fprintf(stderr, "map %s: %s\n", bpf_map__name(map), strerror(-err));
	return err;
}

static inline int world_config(struct world *w)
{
	return world_put(w->bpf->maps.rs_config, &(uint32_t){0}, &w->config);
}

static inline int world_maps(struct world *w)
{
	int err = 0;

	for (uint32_t i = 0; i < LOCALS; i++) {
		struct ntm_relay_local local = {.at = endpoint(world_local[i])};

		err |= world_put(w->bpf->maps.rs_local, &i, &local);
	}
	for (int i = 0; i < WORLD_DEVICES; i++) {
		struct ntm_relay_device device = {.ifindex = (uint32_t)w->ifindex[i], .number = (uint32_t)i};

		if (i == 2)
			device = (struct ntm_relay_device){(uint32_t)w->ifindex[0], WORLD_VLAN, 0, 2};
		if (i == 4)
			device.flags = NTM_RELAY_TX_ONLY;
		if (i != 3)
			err |= world_put(w->bpf->maps.rs_devices, &w->ifindex[i], &device);
	}
	w->config = (struct ntm_relay_config){.flow_key = WORLD_FLOW_KEY,
					      .generation = 1,
					      .locals = LOCALS,
					      .unknown_limit = 1000000,
					      .too_big_limit = 1000000,
					      .control_limit = 1000000,
					      .echo_limit = 1000000,
					      .buckets = bpf_map__max_entries(w->bpf->maps.rs_index)};
	w->tick = RS_SLOT_TICKS;
	err |= rs_relay_slots_open(&w->slots, bpf_map__fd(w->bpf->maps.rs_state), bpf_map__fd(w->bpf->maps.rs_index));
	return err | world_config(w);
}

/* paths: room for so many. 0 or -errno, said on stderr. */
static inline int world_open(struct world *w, uint32_t paths)
{
	int err = world_network();

	if (err) {
		fprintf(stderr, "no network namespace: %s\n", strerror(-err));
		return err;
	}
	w->bpf = xdp_relay_bpf__open();
	if (!w->bpf)
		return -errno;
	bpf_map__set_max_entries(w->bpf->maps.rs_paths, paths);
	bpf_map__set_max_entries(w->bpf->maps.rs_state, ntm_relay_slots(paths));
	bpf_map__set_max_entries(w->bpf->maps.rs_index, ntm_relay_buckets(ntm_relay_slots(paths)));
	err = xdp_relay_bpf__load(w->bpf);
	if (err) {
		fprintf(stderr, "the programs do not load: %s\n", strerror(-err));
		return err;
	}
	for (int i = 0; i < WORLD_DEVICES; i++) {
		char name[IF_NAMESIZE];

		snprintf(name, sizeof(name), "nw%d", i);
		w->ifindex[i] = (int)if_nametoindex(name);
	}
	/* Only then does an interface have what a test run needs to say "came in by it". */
	err = bpf_xdp_attach(w->ifindex[0], bpf_program__fd(w->bpf->progs.rs_relay), 1U << 2 /* native */, NULL);
	if (err) {
		fprintf(stderr, "cannot attach: %s\n", strerror(-err));
		return err;
	}
	return world_maps(w);
}

static inline void world_close(struct world *w)
{
	rs_relay_slots_close(&w->slots);
	xdp_relay_bpf__destroy(w->bpf);
	w->bpf = NULL;
}

/* NULL: this leg is not bound. */
static inline struct ntm_relay_leg world_leg(const char *remote, uint8_t local)
{
	struct ntm_relay_leg leg = {.local = local};

	if (remote)
		leg.remote = endpoint(remote);
	return leg;
}

struct world_path {
	struct ntm_relay_path entry; /* its slot is taken */
	uint64_t rate;
	uint32_t expires;
	uint16_t flags;
};

/*
 * Into rs_paths and its slot of rs_state, which begins anew; by the short way it is found if `shown`. 0, -EIO, or
 * -ENOSPC: there is only the long one.
 */
static inline int world_path(struct world *w, uint64_t id, const struct world_path *path, bool shown)
{
	struct ntm_relay_state *state = &w->slots.state[path->entry.slot];

	rs_relay_slot_hide(&w->slots, path->entry.slot, w->tick);
	*state = (struct ntm_relay_state){.rate = path->rate, .expires = path->expires, .flags = path->flags};
	w->tick += RS_SLOT_TICKS;
	if (world_put(w->bpf->maps.rs_paths, &id, &path->entry))
		return -EIO;
	if (!shown)
		return 0;
	rs_relay_slot_show(&w->slots, path->entry.slot, id, path->entry.leg, w->tick);
	return rs_relay_slot_is_shown(&w->slots, path->entry.slot) ? 0 : -ENOSPC;
}

static inline struct ntm_relay_state world_state(const struct world *w, uint32_t slot)
{
	return *(const volatile struct ntm_relay_state *)&w->slots.state[slot];
}

/* Drops of all CPUs, by reason. */
static inline void world_drops(const struct world *w, uint64_t drops[NTM_DROP_MAX])
{
	int cpus = libbpf_num_possible_cpus();

	for (uint32_t i = 0; i < NTM_DROP_MAX; i++) {
		uint64_t count[WORLD_CPUS] = {0};

		drops[i] = 0;
		bpf_map_lookup_elem(bpf_map__fd(w->bpf->maps.rs_stats), &i, count);
		for (int cpu = 0; cpu < cpus; cpu++)
			drops[i] += count[cpu];
	}
}

static inline struct ntm_relay_load world_load(const struct world *w)
{
	struct ntm_relay_load load[WORLD_CPUS] = {0}, sum = {0};
	int cpus = libbpf_num_possible_cpus();

	bpf_map_lookup_elem(bpf_map__fd(w->bpf->maps.rs_load), &(uint32_t){0}, load);
	for (int cpu = 0; cpu < cpus; cpu++) {
		sum.packets += load[cpu].packets;
		sum.bytes += load[cpu].bytes;
		sum.seen += load[cpu].seen;
		sum.samples += load[cpu].samples;
		sum.sampled_ns += load[cpu].sampled_ns;
		sum.requests += load[cpu].requests;
		sum.answers += load[cpu].answers;
	}
	return sum;
}

struct world_run {
	uint32_t verdict;
	uint8_t out[FRAME_MAX];
	size_t len;
};

/* Runs a program on a frame that came in by nw0. 0 or -errno. */
static inline int world_run(const struct world *w, const struct bpf_program *prog, const uint8_t *frame, size_t len,
			    struct world_run *ret_run)
{
	struct xdp_md ctx = {.data_end = (uint32_t)len, .ingress_ifindex = (uint32_t)w->ifindex[0]};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .data_out = ret_run->out,
		    .data_size_out = sizeof(ret_run->out), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx));

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		return -errno;
	ret_run->verdict = opts.retval;
	ret_run->len = opts.data_size_out;
	return 0;
}

#endif
