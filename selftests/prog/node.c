/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * node.c - the network, maps and packets of node.h.
 */
#include "node.h"

#include "../unit/vectors.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <bpf/bpf.h>

#include "aead.h"
#include "endpoint.h"

unsigned node_slots = NODE_SLOTS;
unsigned node_device, node_seal_in, node_seal_out, node_net;

/* ---- network */

static const char *const commands[] = {
	"ip link set lo up",
	"ip link add ntm0 type veth peer name far0 && ip link set ntm0 up && ip link set far0 up",
	"ip link add ntm0s type veth peer name ntm0p && ip link set ntm0s up && ip link set ntm0p up",
	"ip link add net0 type veth peer name far1 && ip link set net0 up && ip link set far1 up",
	"ip addr add 192.0.2.1/24 dev net0",
	"ip -6 addr add 2001:db8::1/64 dev net0 nodad",
	"ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev net0 nud permanent",
	"ip -6 neigh add 2001:db8::2 lladdr 02:00:00:00:00:02 dev net0 nud permanent",
	"ip route add 198.18.0.0/16 dev ntm0 && ip route add 203.0.113.0/24 dev ntm0",
	"ip route add unreachable 198.51.100.0/24",
	"echo 1 >/proc/sys/net/ipv4/conf/ntm0p/forwarding",
	"echo 1 >/proc/sys/net/ipv6/conf/ntm0p/forwarding",
};

int node_network(void)
{
	if (unshare(CLONE_NEWNET)) {
		print_error("no network namespace: %s\n", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (system(commands[i])) {
			print_error("failed: %s\n", commands[i]);
			return -1;
		}
	}
	node_device = if_nametoindex("ntm0");
	node_seal_in = if_nametoindex("ntm0s");
	node_seal_out = if_nametoindex("ntm0p");
	node_net = if_nametoindex("net0");
	return 0;
}

/* ---- maps */

static void *map_mapped(const struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, (size + 4095) & ~4095UL, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

static void addr_set(struct ntm_addr *ret_addr, const char *prefix, unsigned last)
{
	char text[NTM_ADDR_TEXT];

	snprintf(text, sizeof(text), "%s%u", prefix, last);
	assert_int_equal(ntm_addr_parse(ret_addr, text), 0);
}

int node_open(struct node *node, uint8_t side)
{
	struct node_bpf *bpf = node_bpf__open();

	memset(node, 0, sizeof(*node));
	if (!bpf)
		return -1;
	bpf_map__set_max_entries(bpf->maps.ntm_vips, 2 * node_slots);
	bpf_map__set_max_entries(bpf->maps.ntm_paths, node_slots);
	bpf_map__set_max_entries(bpf->maps.ntm_ends, node_slots);
	bpf_map__set_max_entries(bpf->maps.ntm_keys, 2 * node_slots);
	bpf_map__set_max_entries(bpf->maps.ntm_windows, 2 * node_slots);
	bpf_map__set_max_entries(bpf->maps.ntm_state, node_slots);
	if (node_bpf__load(bpf)) {
		print_error("the programs do not load: %s\n", strerror(errno));
		node_bpf__destroy(bpf);
		return -1;
	}
	node->bpf = bpf;
	node->config = map_mapped(bpf->maps.ntm_config, sizeof(*node->config));
	node->ends = map_mapped(bpf->maps.ntm_ends, node_slots * sizeof(*node->ends));
	node->sources = map_mapped(bpf->maps.ntm_sources, NTM_SOURCES_SLOTS * sizeof(*node->sources));
	if (!node->config || !node->ends || !node->sources)
		return -1;
	addr_set(&node->vip4, "198.18.0.", side + 1U);
	addr_set(&node->vip6, "fd4e:544d:1::", side + 1U);
	addr_set(&node->real4, "192.0.2.", side + 1U);
	addr_set(&node->real6, "2001:db8::", side + 1U);
	node->port = (uint16_t)(40001 + side);
	node->side = side;
	return 0;
}

void node_close(struct node *node)
{
	node_bpf__destroy(node->bpf);
}

static void map_put(const struct bpf_map *map, const void *key, size_t key_len, const void *value, size_t len)
{
	assert_int_equal(bpf_map__update_elem(map, key, key_len, value, len, BPF_ANY), 0);
}

void node_key_bytes(uint8_t ret_key[NTM_KEY_LEN], uint8_t first)
{
	for (int i = 0; i < NTM_KEY_LEN; i++)
		ret_key[i] = (uint8_t)(first + 7 * i);
}

void node_window_make(struct node *node, uint32_t tag, uint64_t next)
{
	struct ntm_window window = {.next = next};

	for (uint64_t i = 1; i <= NTM_REPLAY_WINDOW && i <= next; i++)
		window.bits[(next - i) / 64 % (NTM_REPLAY_WINDOW / 64 + 1)] |= 1ULL << ((next - i) % 64);
	map_put(node->bpf->maps.ntm_windows, &tag, sizeof(tag), &window, sizeof(window));
}

void node_key(struct node *node, unsigned phase, uint8_t seal, uint8_t open, uint32_t tag, uint64_t expires_ns)
{
	struct ntm_map_key key = {.expires_ns = expires_ns, .tag = tag, .phase = (uint8_t)phase};
	uint32_t index = NODE_SLOT * 2 + (phase & 1);

	node_key_bytes(key.send, seal);
	node_key_bytes(key.receive, open);
	if (tag)
		node_window_make(node, tag, 0);
	map_put(node->bpf->maps.ntm_keys, &index, sizeof(index), &key, sizeof(key));
}

struct ntm_ends_copy *node_ends_next(struct node *node)
{
	struct ntm_ends *ends = &node->ends[NODE_SLOT];

	ends->copy[(ends->version + 1) & 1] = ends->copy[ends->version & 1];
	return &ends->copy[(ends->version + 1) & 1];
}

void node_ends_flip(struct node *node)
{
	__atomic_fetch_add(&node->ends[NODE_SLOT].version, 1, __ATOMIC_RELEASE);
}

uint64_t node_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void config_fill(struct node *node)
{
	*node->config = (struct ntm_config){
		.vip4 = node->vip4,
		.vip6 = node->vip6,
		.heartbeat_ns = node_now() + 3600000000000, /* alive, whatever the test takes */
		.magic = 0x1122334455667788,
		.device = node_device,
		.seal_in = node_seal_in,
		.seal_out = node_seal_out,
		.lane_size = NTM_LANE_SIZE,
		.lane_packets = NTM_LANE_PACKETS,
		.lane_ns = NTM_LANE_NS,
		.lane_hold_ns = NTM_LANE_HOLD_NS,
	};
}

/* Both of the node's own ends, in ntm_sources (0: IPv4) and ntm_local. */
static void locals_fill(struct node *node)
{
	for (int i = 0; i < 2; i++) {
		struct ntm_local local = {.addr = i ? node->real6 : node->real4, .port = node->port};
		uint32_t value = 0;

		node->sources[i] = (struct ntm_source){.addr = local.addr, .port = node->port};
		map_put(node->bpf->maps.ntm_local, &local, sizeof(local), &value, sizeof(value));
	}
}

void node_path(struct node *node, const struct node *peer, bool outer4)
{
	struct ntm_ends *ends = &node->ends[NODE_SLOT];
	uint32_t slot = NODE_SLOT;
	uint64_t id = NODE_PATH_ID;
	struct ntm_state state = {0};

	config_fill(node);
	locals_fill(node);
	memset(ends, 0, sizeof(*ends));
	ends->path_id = NODE_PATH_ID;
	memcpy(ends->vip6, peer->vip6.b, 16);
	memcpy(ends->vip4, peer->vip4.b + 12, 4);
	ends->flow_label = 0xabcde;
	ends->side = node->side;
	ends->copy[0] = (struct ntm_ends_copy){
		.route = {outer4 ? peer->real4 : peer->real6, peer->port, outer4 ? 0 : 1},
		.mtu = NODE_MTU,
		.flags = NTM_ENDS_ROUTE | NTM_ENDS_ECN,
	};
	map_put(node->bpf->maps.ntm_paths, &id, sizeof(id), &slot, sizeof(slot));
	map_put(node->bpf->maps.ntm_vips, &peer->vip4, sizeof(peer->vip4), &slot, sizeof(slot));
	map_put(node->bpf->maps.ntm_vips, &peer->vip6, sizeof(peer->vip6), &slot, sizeof(slot));
	node_key(node, 0, node->side ? 20 : 10, node->side ? 10 : 20, 1, UINT64_MAX);
	node_key(node, 1, 0, 0, 0, 0);
	node_state_set(node, &state);
	node_events(node, NULL);
	for (uint32_t reason = 0; reason < NTM_DROP_MAX; reason++) {
		uint64_t zero[256] = {0};

		assert_int_equal(bpf_map_update_elem(bpf_map__fd(node->bpf->maps.ntm_stats), &reason, zero, BPF_ANY), 0);
	}
}

void node_flows_clear(struct node *node)
{
	for (uint32_t i = 0; i < NTM_FLOWS_SLOTS; i++) {
		struct ntm_map_flow flow = {0};

		map_put(node->bpf->maps.ntm_flows, &i, sizeof(i), &flow, sizeof(flow));
	}
}

void node_state(const struct node *node, struct ntm_state *ret_state)
{
	uint32_t slot = NODE_SLOT;

	assert_int_equal(bpf_map__lookup_elem(node->bpf->maps.ntm_state, &slot, sizeof(slot), ret_state,
					      sizeof(*ret_state), 0), 0);
}

void node_state_set(struct node *node, const struct ntm_state *state)
{
	uint32_t slot = NODE_SLOT;

	map_put(node->bpf->maps.ntm_state, &slot, sizeof(slot), state, sizeof(*state));
}

uint64_t node_drops(const struct node *node, int reason)
{
	uint64_t counts[256] = {0}, sum = 0;
	uint32_t key = (uint32_t)reason;

	assert_true(libbpf_num_possible_cpus() <= 256);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(node->bpf->maps.ntm_stats), &key, counts), 0);
	for (int i = 0; i < 256; i++)
		sum += counts[i];
	return sum;
}

uint64_t node_drops_all(const struct node *node)
{
	uint64_t sum = 0;

	for (int reason = 0; reason < NTM_DROP_MAX; reason++)
		sum += node_drops(node, reason);
	return sum;
}

struct events {
	unsigned count;
	struct ntm_event *last;
};

static int event_take(void *ctx, void *data, size_t len)
{
	struct events *events = ctx;

	assert_int_equal(len, sizeof(struct ntm_event));
	events->count++;
	if (events->last)
		memcpy(events->last, data, len);
	return 0;
}

unsigned node_events(const struct node *node, struct ntm_event *ret_last)
{
	struct events events = {0, ret_last};
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(node->bpf->maps.ntm_events), event_take, &events, NULL);

	assert_non_null(ring);
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
	return events.count;
}

/* ---- running */

int node_egress(struct node *node, const uint8_t *packet, size_t len, unsigned gso_size, struct prog_run *run)
{
	struct __sk_buff skb = {.gso_size = gso_size, .gso_segs = gso_size ? (unsigned)(len / gso_size) + 1 : 0};

	/* An L3 device's packets begin with IP: what the kernel takes for their Ethernet header is only given back. */
	*run = (struct prog_run){.in = packet, .len = len, .ctx = &skb, .ctx_len = sizeof(skb)};
	assert_int_equal(prog_run(node->bpf->progs.tc_egress, run), 0);
	return (int)run->verdict;
}

int node_seal(struct node *node, const uint8_t *frame, size_t len, struct prog_run *run)
{
	*run = (struct prog_run){.in = frame, .len = len};
	assert_int_equal(prog_run(node->bpf->progs.tc_seal, run), 0);
	return (int)run->verdict;
}

int node_receive(struct node *node, const uint8_t *frame, size_t len, struct prog_run *run)
{
	*run = (struct prog_run){.in = frame, .len = len};
	assert_int_equal(prog_run(node->bpf->progs.xdp_ingress, run), 0);
	return (int)run->verdict;
}

int node_commit(struct node *node, uint32_t tag, uint64_t counter)
{
	struct ntm_commit commit = {.slot = NODE_SLOT, .tag = tag, .counter = counter};
	struct prog_run run = {.in = &commit, .len = sizeof(commit)};

	assert_int_equal(prog_run(node->bpf->progs.inline_commit, &run), 0);
	return (int)run.verdict;
}
