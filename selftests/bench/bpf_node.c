/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_node.c - nanoseconds a packet of the node's whole BPF programs, and what many paths cost, by BPF_PROG_TEST_RUN
 * (root), a packet a call: programs change their packet. So each figure has some 50 ns of the clock in it, as the row
 * "nothing" tells. For sealing and opening alone: bpf.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/prog/node.h"

#define RUNS 3000
#define MANY 65536

static struct node a, b;

static const size_t lengths[] = {64, 256, 512, 1400}; /* inner packets */
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static int by_value(const void *x, const void *y)
{
	return *(const int *)x - *(const int *)y;
}

static int one(const struct bpf_program *prog, const uint8_t *frame, size_t len, int verdict)
{
	struct prog_run run = {.in = frame, .len = len};

	if (prog_run(prog, &run) || (int)run.verdict != verdict) {
		fprintf(stderr, "bpf_node: %s: verdict %d\n", bpf_program__name(prog), (int)run.verdict);
		exit(1);
	}
	return (int)run.ns;
}

static int median(int ns[RUNS])
{
	qsort(ns, RUNS, sizeof(*ns), by_value);
	return ns[RUNS / 2];
}

static int measure(const struct bpf_program *prog, const uint8_t *frame, size_t len, int verdict)
{
	static int ns[RUNS];

	for (int i = 0; i < RUNS; i++)
		ns[i] = one(prog, frame, len, verdict);
	return median(ns);
}

static void row(const char *name, const int ns[LENGTHS])
{
	printf("%-28s", name);
	for (size_t i = 0; i < LENGTHS; i++)
		printf(" %7d", ns[i]);
	putchar('\n');
}

/* Every packet has a counter of its own, within the window's room. */
static int measure_receive(bool four, const uint8_t *inner, size_t len)
{
	static int ns[RUNS];

	node_path(&b, &a, four);
	for (int i = 0; i < RUNS; i++) {
		struct node_outer outer = {.four = four, .type = NTM_TYPE_DATA, .key = 10, .counter = (uint64_t)i};
		uint8_t frame[NODE_FRAME];

		ns[i] = one(b.bpf->progs.xdp_ingress, frame, node_outer_make(frame, &a, &b, &outer, inner, len), NODE_PASS);
	}
	return median(ns);
}

static void programs(void)
{
	int nothing[LENGTHS], egress[LENGTHS], leaves[LENGTHS], seal4[LENGTHS], seal6[LENGTHS], open4[LENGTHS], open6[LENGTHS],
		bulk[LENGTHS];

	for (size_t i = 0; i < LENGTHS; i++) {
		uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
		uint32_t hint = NODE_SLOT + 1; /* as tc_egress gives it */
		size_t len = node_inner_make(inner, &a, &b, &(struct node_inner){.payload = lengths[i] - 28}), frame_len;

		node_path(&a, &b, true);
		node_path(&b, &a, true);
		node_flows_clear(&a);
		a.config->lane_size = 65535;
		a.config->lane_packets = UINT32_MAX;
		egress[i] = measure(a.bpf->progs.tc_egress, inner, len, NODE_REDIRECT);
		a.config->lane_packets = 0;
		leaves[i] = measure(a.bpf->progs.tc_egress, inner, len, NODE_NEXT);
		frame_len = node_frame_make(frame, inner, len);
		memcpy(frame + 2, &hint, sizeof(hint));
		nothing[i] = measure(a.bpf->progs.tc_ingress, frame, frame_len, NODE_NEXT);
		seal4[i] = measure(a.bpf->progs.tc_seal, frame, frame_len, NODE_REDIRECT);
		node_path(&a, &b, false);
		seal6[i] = measure(a.bpf->progs.tc_seal, frame, frame_len, NODE_REDIRECT);
		open4[i] = measure_receive(true, inner, len);
		open6[i] = measure_receive(false, inner, len);
		frame_len = node_outer_make(frame, &a, &b,
					    &(struct node_outer){.four = true, .type = NTM_TYPE_DATA | NTM_TYPE_LANE_BIT, .key = 10},
					    inner, len);
		bulk[i] = measure(b.bpf->progs.xdp_ingress, frame, frame_len, NODE_PASS);
	}
	row("nothing (tc_ingress)", nothing);
	row("tc_egress, inline", egress);
	row("tc_egress, bulk passes", leaves);
	row("tc_seal, IPv4", seal4);
	row("tc_seal, IPv6", seal6);
	row("xdp_ingress, IPv4", open4);
	row("xdp_ingress, IPv6", open6);
	row("xdp_ingress, bulk passes", bulk);
}

/* ---- many paths */

static void put(const struct bpf_map *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY)) {
		perror(bpf_map__name(map));
		exit(1);
	}
}

static uint64_t path_id(uint32_t slot)
{
	return slot == NODE_SLOT ? NODE_PATH_ID : (slot + 1) * 0x9e3779b97f4a7c15ULL;
}

static struct ntm_addr path_vip(uint32_t slot)
{
	struct ntm_addr vip = b.vip6;

	memcpy(vip.b + 8, &slot, 4);
	return vip;
}

/* Receiving and sending paths in every slot, all like the first. */
static void paths_fill(struct node *node)
{
	uint8_t key_bytes[NTM_KEY_LEN];

	node_key_bytes(key_bytes, 10);
	for (uint32_t slot = 0; slot < MANY; slot++) {
		struct ntm_map_key key = {.expires_ns = UINT64_MAX, .tag = slot + 1000};
		struct ntm_addr vip = path_vip(slot);
		uint32_t index = slot * 2;
		uint64_t id = path_id(slot);

		memcpy(key.send, key_bytes, sizeof(key.send));
		memcpy(key.receive, key_bytes, sizeof(key.receive));
		node_window_make(node, key.tag, 0);
		put(node->bpf->maps.ntm_keys, &index, &key);
		node->ends[slot] = node->ends[NODE_SLOT];
		node->ends[slot].path_id = id;
		put(node->bpf->maps.ntm_paths, &id, &slot);
		put(node->bpf->maps.ntm_vips, &vip, &slot);
	}
}

static int measure_many(bool receive, uint32_t paths)
{
	static int ns[RUNS];
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t len = node_inner_make(inner, &a, &b, &(struct node_inner){.six = true, .payload = 16});
	uint32_t random = 1;

	for (int i = 0; i < RUNS; i++) {
		struct node_outer outer = {.four = true, .type = NTM_TYPE_DATA, .key = 10, .counter = (uint64_t)i};
		uint32_t slot;

		random = random * 1664525 + 1013904223;
		slot = paths == 1 ? 777 : (random >> 8) % paths;
		outer.path_id = path_id(slot);
		if (receive) {
			ns[i] = one(b.bpf->progs.xdp_ingress, frame, node_outer_make(frame, &a, &b, &outer, inner, len), NODE_PASS);
		} else {
			struct ntm_addr vip = path_vip(slot);

			memcpy(inner + 24, vip.b, 16);
			ns[i] = one(a.bpf->progs.tc_seal, frame, node_frame_make(frame, inner, len), NODE_REDIRECT);
		}
	}
	return median(ns);
}

/* As the kernel counts it. */
static unsigned long memory(const struct node *node)
{
	unsigned long sum = 0, one_map;
	struct bpf_map *map;

	bpf_object__for_each_map(map, node->bpf->obj) {
		char path[64], line[128];
		FILE *info;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
		info = fopen(path, "r");
		while (info && fgets(line, sizeof(line), info))
			if (sscanf(line, "memlock: %lu", &one_map) == 1)
				sum += one_map;
		if (info)
			fclose(info);
	}
	return sum;
}

int main(void)
{
	unsigned long few;

	if (node_network() || node_open(&a, 0) || node_open(&b, 1))
		return 1;
	few = memory(&a);
	printf("%-28s", "ns a packet of");
	for (size_t i = 0; i < LENGTHS; i++)
		printf(" %5zu B", lengths[i]);
	putchar('\n');
	programs();
	node_close(&a);
	node_close(&b);
	node_slots = MANY;
	if (node_open(&a, 0) || node_open(&b, 1))
		return 1;
	node_path(&a, &b, true);
	node_path(&b, &a, true);
	a.config->vip6 = a.vip6;
	paths_fill(&a);
	paths_fill(&b);
	printf("%-28s %7s %7s\n", "64 B, paths in use", "1", "65536");
	printf("%-28s %7d %7d\n", "tc_seal, IPv4", measure_many(false, 1), measure_many(false, MANY));
	printf("%-28s %7d %7d\n", "xdp_ingress, IPv4", measure_many(true, 1), measure_many(true, MANY));
	printf("%lu bytes of maps a path of 65536 in use, each with a key (without its paths: %lu KiB)\n", memory(&a) / MANY,
	       few / 1024);
	node_close(&a);
	node_close(&b);
	return 0;
}
