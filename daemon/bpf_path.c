/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_path.c - paths of the user engine as the BPF programs shall have them: what kernel.h asks becomes
 * slots, keys and endpoints in the maps (datapath_maps.c). Whether programs are attached at all is
 * bpf_engine.c's.
 *
 * A path gets a slot with the first key phase that begins while the programs are attached. Its packets go by
 * BPF when that phase seals and there is a route; until then, and for all that BPF leaves, the user engine
 * sends them, in the bulk lane.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "crypto.h"
#include "daemon/bpf_internal.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"

#define FULL_PAUSE_MS 60000 /* between two complaints that the slots are too few */

static struct ntmd_maps *maps_now(const struct ntmd_kernel *kernel)
{
	return ntmd_bpf_set_maps(kernel->now->set);
}

void ntmd_bpf_use_drop(struct ntmd_bpf_use *use)
{
	if (use->attached || use->phases)
		return;
	ntmd_bpf_set_free(use->set);
	free(use);
}

static bool is_attached(const struct ntmd_kernel *kernel)
{
	return kernel->now && !kernel->stopping;
}

static void own_changed(struct ntmd_kernel *kernel)
{
	if (kernel->now)
		ntmd_maps_own_set(maps_now(kernel), &kernel->engine->own[0], &kernel->engine->own[1]);
}

/* ---- slots that drain */

static void slot_end(struct ntmd_kernel *kernel, struct ntmd_kernel_path *kp)
{
	TAILQ_REMOVE(&kernel->draining, kp, draining);
	kp->drain_ms = 0;
	if (kp->path) { /* of an earlier ntmd; takes the slot with it */
		kp->path->replaced = false;
		ntmd_engine_path_delete(kp->path, false);
		return;
	}
	ntmd_maps_slot_give(maps_now(kernel), kp->slot);
	kernel->by_slot[kp->slot] = NULL;
	free(kp);
}

void ntmd_bpf_drain_arm(struct ntmd_kernel *kernel)
{
	struct ntmd_kernel_path *first = TAILQ_FIRST(&kernel->draining);

	if (first)
		ntm_timer_set_ms(kernel->drain_timer, first->drain_ms - ntm_loop_now_ms());
}

void ntmd_bpf_drain_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_kernel *kernel = arg;
	struct ntmd_kernel_path *kp;

	(void)fd;
	(void)what;
	while ((kp = TAILQ_FIRST(&kernel->draining)) && ntm_loop_now_ms() >= kp->drain_ms)
		slot_end(kernel, kp);
	ntmd_bpf_drain_arm(kernel);
}

static void drain_begin(struct ntmd_kernel *kernel, struct ntmd_kernel_path *kp)
{
	if (kp->drain_ms)
		return;
	kp->drain_ms = ntm_loop_now_ms() + NTM_KEY_DRAIN_S * 1000LL;
	TAILQ_INSERT_TAIL(&kernel->draining, kp, draining);
	if (TAILQ_FIRST(&kernel->draining) == kp)
		ntmd_bpf_drain_arm(kernel);
}

/* Paths of an earlier ntmd to this address have done their work. */
static void inherited_replace(struct ntmd_kernel *kernel, const struct ntmd_kernel_path *by)
{
	struct ntmd_engine_path *path;

	LIST_FOREACH(path, &kernel->engine->paths, all) {
		struct ntmd_kernel_path *kp = path->kernel;

		if (!kp || !kp->inherited || kp == by)
			continue;
		for (int family = 0; family < 2; family++)
			if (!ntm_addr_is_none(&kp->vip[family]) &&
			    ntm_addr_equal(&kp->vip[family], &by->vip[family]))
				memset(&kp->vip[family], 0, sizeof(kp->vip[family]));
		if (ntm_addr_is_none(&kp->vip[0]) && ntm_addr_is_none(&kp->vip[1]))
			drain_begin(kernel, kp);
	}
}

/* ---- what a path wants */

/* Where a flow leaves from; none if there is no way now. */
static void local_find(const struct ntm_flow *flow, struct ntm_endpoint *ret_local)
{
	memset(ret_local, 0, sizeof(*ret_local));
	if (!flow->udp)
		return;
	ret_local->addr = flow->local;
	if (ntm_addr_is_none(&flow->local) &&
	    ntm_udp_source_by(&flow->remote, flow->ifindex, &ret_local->addr))
		return;
	ret_local->port = flow->udp->bound.port;
}

static void locals_find(struct ntmd_kernel_path *kp, const struct ntmd_engine_path *path)
{
	if (kp->ends_told && kp->route_serial == path->route_serial)
		return;
	kp->route_serial = path->route_serial;
	memset(&kp->local, 0, sizeof(kp->local));
	memset(&kp->second_local, 0, sizeof(kp->second_local));
	if (path->has_route)
		local_find(&path->route, &kp->local);
	if (path->has_second)
		local_find(&path->second, &kp->second_local);
}

static void way_fill(struct ntmd_maps_way *way, bool has, const struct ntm_flow *flow,
		     const struct ntm_endpoint *local)
{
	/* A peer on this very host: what goes there leaves by no interface. */
	if (!has || !local->port || ntm_addr_equal(&local->addr, &flow->remote.addr))
		return;
	way->remote = flow->remote;
	way->local = *local;
	way->ifindex = flow->ifindex;
}

/* Whether BPF has the inline lane of the phase that seals. */
static bool is_ours(const struct ntmd_kernel *kernel, const struct ntmd_engine_path *path)
{
	const struct ntmd_user_key *key = path->phase < 0 ? NULL : path->key[path->phase];

	return key && key->kernel && key->kernel->use == kernel->now && path->kernel &&
	       key->kernel->slot == path->kernel->slot;
}

static void ends_make(const struct ntmd_kernel *kernel, const struct ntmd_engine_path *path,
		      struct ntmd_maps_ends *ends)
{
	const struct ntmd_kernel_path *kp = path->kernel;
	unsigned mtu = path->mtu ? path->mtu : kernel->attach.mtu;

	memset(ends, 0, sizeof(*ends));
	if (!kp->blocked || kp->blocked_serial != path->route_serial) {
		way_fill(&ends->route, path->has_route, &path->route, &kp->local);
		way_fill(&ends->second, path->has_second, &path->second, &kp->second_local);
	}
	ends->unproven_bytes = (path->unproven_bytes + 1) / 2; /* the user engine counts the other half */
	ends->serial = path->route_serial;
	ends->mtu = path->mtu_learned && path->mtu_learned < mtu ? path->mtu_learned : mtu;
	ends->bulk_dead = path->bulk_dead;
	ends->away = path->stats.held_packets || kernel->stopping;
	ends->expected = path->expecting;
	ends->phase = is_ours(kernel, path) ? path->phase : -1;
}

/* Packets to an address of the peer's go by this slot, or do not. */
static void vip_sync(struct ntmd_kernel *kernel, struct ntmd_engine_path *path, int family, bool ready)
{
	struct ntmd_kernel_path *kp = path->kernel;
	struct ntm_addr *vip = &kp->vip[family];
	bool wanted = path->by_vip[family].in, there = !ntm_addr_is_none(vip);

	if (there && (!wanted || !ntm_addr_equal(vip, &path->vip[family]))) {
		ntmd_maps_slot_unreach(maps_now(kernel), kp->slot, vip);
		memset(vip, 0, sizeof(*vip));
		there = false;
	}
	if (!wanted || there || !ready)
		return;
	if (ntmd_maps_slot_reach(maps_now(kernel), kp->slot, &path->vip[family]))
		return;
	*vip = path->vip[family];
}

void ntmd_bpf_path_sync(struct ntmd_kernel *kernel, struct ntmd_engine_path *path)
{
	struct ntmd_kernel_path *kp = path->kernel;
	struct ntmd_maps_ends ends;
	bool ready, reached;
	NTMD_USER_LOCKED(path->engine);

	if (!kp || kp->inherited || !kernel->now)
		return;
	locals_find(kp, path);
	ends_make(kernel, path, &ends);
	if (!kp->ends_told || memcmp(&ends, &kp->ends, sizeof(ends))) {
		if (ntmd_maps_slot_set(maps_now(kernel), kp->slot, &ends))
			ntm_warn("too many local addresses at a time: a path stays with the user engine");
		kp->ends = ends;
		kp->ends_told = true;
	}
	ready = ends.phase >= 0 && ends.route.local.port;
	reached = !ntm_addr_is_none(&kp->vip[0]) || !ntm_addr_is_none(&kp->vip[1]);
	for (int family = 0; family < 2; family++)
		vip_sync(kernel, path, family, ready);
	if (!reached && (!ntm_addr_is_none(&kp->vip[0]) || !ntm_addr_is_none(&kp->vip[1])))
		inherited_replace(kernel, kp);
}

static void path_changed(struct ntmd_kernel *kernel, struct ntmd_engine_path *path)
{
	if (!kernel->leaving)
		ntmd_bpf_path_sync(kernel, path);
}

/* The path goes, its slot stays. */
static void phases_drain(struct ntmd_engine_path *path, const struct ntmd_bpf_use *use)
{
	for (unsigned i = 0; i < NTM_TYPE_PHASES; i++)
		if (path->key[i] && path->key[i]->kernel && path->key[i]->kernel->use == use)
			path->key[i]->kernel->drains = true;
}

static void path_deleted(struct ntmd_kernel *kernel, struct ntmd_engine_path *path, bool replaced)
{
	struct ntmd_kernel_path *kp = path->kernel;
	bool stays = kernel->leaving && (kp && (kp->inherited || kp->ends.phase >= 0));

	if (!kp)
		return;
	path->kernel = NULL;
	if (replaced && !kp->drain_ms && !kernel->leaving) {
		phases_drain(path, kernel->now);
		kp->path = NULL;
		drain_begin(kernel, kp);
		return;
	}
	if (kp->drain_ms)
		TAILQ_REMOVE(&kernel->draining, kp, draining);
	if (stays)
		phases_drain(path, kernel->now);
	else
		ntmd_maps_slot_give(maps_now(kernel), kp->slot);
	kernel->by_slot[kp->slot] = NULL;
	free(kp);
}

static void traffic_add(const struct ntmd_maps_traffic *traffic, struct ntmd_engine_stats *stats)
{
	stats->rx_packets += traffic->rx_packets;
	stats->rx_bytes += traffic->rx_bytes;
	stats->tx_packets += traffic->tx_packets;
	stats->tx_bytes += traffic->tx_bytes;
	stats->drops += traffic->drops;
	stats->lane_rx_packets[NTM_LANE_INLINE] += traffic->rx_packets;
	stats->lane_tx_packets[NTM_LANE_INLINE] += traffic->tx_packets;
	if (traffic->last_rx_ms > stats->last_rx_ms)
		stats->last_rx_ms = traffic->last_rx_ms;
	if (traffic->last_tx_ms > stats->last_tx_ms)
		stats->last_tx_ms = traffic->last_tx_ms;
}

static void path_stats(struct ntmd_kernel *kernel, const struct ntmd_engine_path *path,
		       struct ntmd_engine_stats *stats)
{
	struct ntmd_maps_traffic traffic;

	if (!path->kernel || !kernel->now)
		return;
	ntmd_maps_slot_traffic(maps_now(kernel), path->kernel->slot, &traffic);
	traffic_add(&traffic, stats);
}

void ntmd_bpf_paths_retire(struct ntmd_kernel *kernel)
{
	struct ntmd_engine_path *path, *next;
	struct ntmd_engine *home;
	struct ntmd_kernel_path *kp;

	for (path = LIST_FIRST(&kernel->engine->paths); path; path = next) {
		next = LIST_NEXT(path, all);
		kp = path->kernel;
		if (!kp)
			continue;
		home = ntmd_user_lock(path->engine);
		path_stats(kernel, path, &path->stats);
		phases_drain(path, kernel->now);
		path->kernel = NULL;
		ntmd_user_unlock(home);
		if (kp->drain_ms)
			TAILQ_REMOVE(&kernel->draining, kp, draining);
		if (kp->inherited) /* its peer hears of it when it sends */
			ntmd_engine_path_delete(path, false);
		free(kp);
	}
	while ((kp = TAILQ_FIRST(&kernel->draining))) {
		TAILQ_REMOVE(&kernel->draining, kp, draining);
		free(kp);
	}
	free(kernel->by_slot);
	kernel->by_slot = NULL;
}

/* ---- keys */

static struct ntmd_kernel_path *slot_take(struct ntmd_kernel *kernel, struct ntmd_engine_path *path)
{
	struct ntmd_maps_who who = { .path_id = path->id, .side = (enum ntm_side)path->side,
				     .vip = { path->vip[0], path->vip[1] } };
	struct ntmd_kernel_path *kp = calloc(1, sizeof(*kp));
	int64_t now = ntm_loop_now_ms();
	int slot;

	if (!kp)
		return NULL;
	slot = ntmd_maps_slot_take(maps_now(kernel), &who);
	if (slot < 0) {
		if (!kernel->full_ms || now - kernel->full_ms >= FULL_PAUSE_MS)
			ntm_warn(
				"all %u paths of the BPF engine are taken: further tunnels stay with the user engine; more "
				"of them: [datapath] paths",
				ntmd_maps_slots(maps_now(kernel)));
		kernel->full_ms = now;
		free(kp);
		return NULL;
	}
	kp->slot = (unsigned)slot;
	kp->path = path;
	kernel->by_slot[slot] = kp;
	path->kernel = kp;
	ntmd_bpf_path_sync(kernel, path);
	return kp;
}

static struct ntmd_kernel_phase *phase_new(struct ntmd_bpf_use *use, unsigned slot, unsigned phase,
					   uint32_t tag)
{
	struct ntmd_kernel_phase *taken = calloc(1, sizeof(*taken));

	if (!taken)
		return NULL;
	*taken = (struct ntmd_kernel_phase){ .use = use, .slot = slot, .phase = phase, .tag = tag };
	use->phases++;
	return taken;
}

static void phase_drop(struct ntmd_kernel *kernel, struct ntmd_kernel_phase *phase)
{
	struct ntmd_bpf_use *use = phase->use;
	struct ntmd_maps *maps = ntmd_bpf_set_maps(use->set);

	(void)kernel;
	/* The place in the maps of one that drains is given back with its slot. */
	if (phase->drains && ntmd_maps_key_is(maps, phase->slot, phase->phase, phase->tag)) {
		free(phase);
	} else {
		if (phase->tag) {
			ntmd_maps_key_drop(maps, phase->slot, phase->phase, phase->tag);
			ntmd_maps_window_drop(maps, phase->tag);
		}
		free(phase);
	}
	use->phases--;
	ntmd_bpf_use_drop(use);
}

static struct ntmd_kernel_phase *phase_take(struct ntmd_kernel *kernel, struct ntmd_engine_path *path,
					    unsigned phase, const struct ntmd_engine_keys *keys,
					    int64_t expires_ms)
{
	struct ntmd_kernel_path *kp = path->kernel;
	struct ntmd_kernel_phase *taken;
	int err;

	if (!is_attached(kernel) || kernel->leaving || !path->identified)
		return NULL;
	if (!kp)
		kp = slot_take(kernel, path);
	if (!kp || kp->inherited || kp->worn)
		return NULL;
	kp->blocked = false;
	taken = phase_new(kernel->now, kp->slot, phase, 0);
	if (!taken)
		return NULL;
	/* The key last: once it is there BPF may have sealed under it, and ntmd must not begin with counter 0
	 * again. */
	err = ntmd_maps_slot_receive(maps_now(kernel), kp->slot);
	if (!err)
		err = ntmd_maps_key_set(maps_now(kernel), kp->slot, phase, keys->lane[NTM_LANE_INLINE].send,
					keys->lane[NTM_LANE_INLINE].receive, expires_ms, &taken->tag);
	if (!err)
		return taken;
	ntm_debug("a key phase stays with the user engine: %s", strerror(-err));
	phase_drop(kernel, taken);
	return NULL;
}

static bool phase_commit(struct ntmd_kernel *kernel, struct ntmd_kernel_phase *phase, uint64_t counter)
{
	(void)kernel;
	return ntmd_maps_commit(ntmd_bpf_set_maps(phase->use->set), phase->slot, phase->tag, counter);
}

/* Into ntm0s: it comes out at ntm0p, where it is sealed. */
static int path_send(struct ntmd_kernel *kernel, struct ntmd_engine_path *path, const uint8_t *packet,
		     size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)kernel->packet_ifindex,
				  .sll_halen = ETH_ALEN,
				  .sll_protocol = htons(packet[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP) };
	struct ethhdr ethernet = { .h_proto = to.sll_protocol };
	struct iovec part[2] = { { &ethernet, sizeof(ethernet) }, { (void *)packet, len } };
	struct msghdr message = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = part, .msg_iovlen = 2};

	if (!is_attached(kernel) || !path->kernel || kernel->packet_fd < 0 || !is_ours(kernel, path))
		return -EAGAIN;
	if (sendmsg(kernel->packet_fd, &message, MSG_DONTWAIT) < 0)
		ntmd_user_path_drop(path, NTM_DROP_SEND);
	return 0;
}

static void segments_each(struct ntmd_kernel *kernel, const struct ntmd_kernel_each *each)
{
	if (kernel->now)
		ntmd_maps_segments_each(maps_now(kernel), each->take, each->ctx);
}

/* ---- of an earlier ntmd */

static void inherit_one(void *ctx, const struct ntmd_maps_left *left)
{
	struct ntmd_kernel *kernel = ctx;
	struct ntmd_engine_path *path = ntmd_engine_path_add(kernel->engine, NULL);
	struct ntmd_kernel_path *kp = path ? calloc(1, sizeof(*kp)) : NULL;
	struct ntmd_kernel_phase *phase;

	if (!kp || ntmd_engine_path_identify(path, left->who.path_id, left->who.side)) {
		ntmd_maps_slot_give(maps_now(kernel), left->slot);
		free(kp);
		if (path)
			ntmd_engine_path_delete(path, false);
		return;
	}
	*kp = (struct ntmd_kernel_path){ .path = path, .slot = left->slot, .inherited = true };
	kernel->by_slot[left->slot] = kp;
	path->kernel = kp;
	/* Not in the table of addresses: what the TUN has for them waits for a path with bulk keys. */
	path->vip[0] = left->who.vip[0];
	path->vip[1] = left->who.vip[1];
	path->phase = left->phase;
	for (int i = 0; i < 2; i++) {
		if (!left->key[i].tag)
			continue;
		phase = phase_new(kernel->now, left->slot, left->key[i].phase, left->key[i].tag);
		if (phase && !ntmd_user_key_inherit(path, left->key[i].phase, left->key[i].send,
						    left->key[i].receive, left->key[i].expires_ms, phase))
			continue;
		ntm_warn("no memory to open packets of an earlier path");
		if (phase)
			phase_drop(kernel, phase);
	}
	for (int family = 0; family < 2; family++)
		if (left->reached[family])
			kp->vip[family] = left->who.vip[family];
	if (!left->reached[0] && !left->reached[1])
		drain_begin(kernel, kp);
}

void ntmd_bpf_inherit(struct ntmd_kernel *kernel)
{
	int err = ntmd_maps_left_each(maps_now(kernel), inherit_one, kernel);

	if (err)
		ntm_warn("cannot read what an earlier ntmd left: %s", strerror(-err));
}

const struct ntmd_kernel_ops ntmd_bpf_ops = {
	.is_attached = is_attached,
	.own_changed = own_changed,
	.path_changed = path_changed,
	.path_deleted = path_deleted,
	.path_stats = path_stats,
	.phase_take = phase_take,
	.phase_drop = phase_drop,
	.phase_commit = phase_commit,
	.path_send = path_send,
	.segments_each = segments_each,
};
