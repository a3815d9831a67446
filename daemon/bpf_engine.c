/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_engine.c - the BPF engine as a whole: attaching and detaching, what it tells the programs all the time
 * (that we live, where we are), and what they tell (bpf_event.c). Its paths are in bpf_path.c, programs in
 * bpf_attach.c, maps in datapath_maps.c.
 *
 * Detaching goes in two steps, so that nothing is lost: first no packet is taken any more, and a moment
 * later, when those that were are through, all is removed. Descriptors of the maps and of the program that
 * asks the replay windows live on here until the last key phase that began under BPF is over: its packets
 * that still come are opened by the user engine.
 */
#include "daemon/bpf_engine.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/rtnetlink.h>
#include <ntm/maps.h>

#include "daemon/bpf_internal.h"
#include "daemon/veth.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"
#include "netlink.h"
#include "stats.h"

#define BEAT_MS 20 /* NTM_HEARTBEAT_NS with room for a loop that is busy */
#define OLD_LOOK_MS 200 /* how far programs of another version have come */
#define OLD_MS 60000 /* and when they end at the latest */
#define STOP_MS 50 /* packets between our programs are through by then */
/*
 * From a change of networks until the programs follow it. The kernel takes 20 ms and more for that, in which
 * nothing else is done here, and a node that has just moved has to answer its relay and its peers. Until
 * then ntmd opens what comes by a new interface; one that was away for less keeps its programs.
 */
#define INTERFACES_MS 250

/* ---- open and close */

static void beat(evutil_socket_t fd, short what, void *arg);
static void stop_finish(evutil_socket_t fd, short what, void *arg);
static void old_fired(evutil_socket_t fd, short what, void *arg);
static void interfaces_fired(evutil_socket_t fd, short what, void *arg);

int ntmd_bpf_open(struct ntmd_engine *engine, struct event_base *base)
{
	struct ntmd_kernel *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return -ENOMEM;
	kernel->engine = engine;
	kernel->base = base;
	kernel->packet_fd = -1;
	TAILQ_INIT(&kernel->draining);
	kernel->beat = event_new(base, -1, EV_PERSIST, beat, kernel);
	kernel->stop_timer = ntm_timer_new(base, stop_finish, kernel);
	kernel->drain_timer = ntm_timer_new(base, ntmd_bpf_drain_fired, kernel);
	kernel->old_timer = ntm_timer_new(base, old_fired, kernel);
	kernel->interfaces_timer = ntm_timer_new(base, interfaces_fired, kernel);
	engine->kernel = kernel;
	engine->kernel_ops = &ntmd_bpf_ops;
	if (kernel->beat && kernel->stop_timer && kernel->drain_timer && kernel->old_timer &&
	    kernel->interfaces_timer)
		return 0;
	ntmd_bpf_close(engine);
	return -ENOMEM;
}

static void tools_close(struct ntmd_kernel *kernel)
{
	event_del(kernel->beat);
	event_del(kernel->drain_timer);
	event_del(kernel->old_timer);
	event_del(kernel->interfaces_timer);
	free(kernel->old_vip);
	kernel->old_vip = NULL;
	kernel->old_vips = 0;
	if (kernel->readable)
		event_free(kernel->readable);
	kernel->readable = NULL;
	ring_buffer__free(kernel->ring);
	kernel->ring = NULL;
	if (kernel->packet_fd >= 0)
		close(kernel->packet_fd);
	kernel->packet_fd = -1;
}

/* Paths of an earlier ntmd have nobody else who would delete them. */
static void inherited_delete(struct ntmd_kernel *kernel)
{
	struct ntmd_engine_path *path, *next;

	for (path = LIST_FIRST(&kernel->engine->paths); path; path = next) {
		next = LIST_NEXT(path, all);
		if (path->kernel && path->kernel->inherited)
			ntmd_engine_path_delete(path, false);
	}
}

void ntmd_bpf_close(struct ntmd_engine *engine)
{
	struct ntmd_kernel *kernel = engine->kernel;
	struct ntmd_kernel_path *kp;

	if (!kernel)
		return;
	ntmd_bpf_load_end(kernel);
	kernel->leaving = true;
	inherited_delete(kernel);
	while ((kp = TAILQ_FIRST(&kernel->draining))) {
		TAILQ_REMOVE(&kernel->draining, kp, draining);
		free(kp);
	}
	if (kernel->beat && kernel->old_timer && kernel->drain_timer && kernel->interfaces_timer)
		tools_close(kernel);
	if (kernel->now) {
		kernel->now->attached = false;
		ntmd_bpf_use_drop(kernel->now);
	}
	free(kernel->by_slot);
	if (kernel->beat)
		event_free(kernel->beat);
	if (kernel->stop_timer)
		event_free(kernel->stop_timer);
	if (kernel->drain_timer)
		event_free(kernel->drain_timer);
	if (kernel->old_timer)
		event_free(kernel->old_timer);
	if (kernel->interfaces_timer)
		event_free(kernel->interfaces_timer);
	engine->kernel = NULL;
	engine->kernel_ops = NULL;
	free(kernel);
}

void ntmd_bpf_leave(struct ntmd_engine *engine)
{
	if (!engine->kernel || !engine->kernel->now)
		return;
	if (engine->kernel->stopping) /* it was to go */
		stop_finish(-1, 0, engine->kernel);
	else
		engine->kernel->leaving = true;
}

bool ntmd_bpf_is_attached(const struct ntmd_engine *engine)
{
	return engine->kernel && engine->kernel_ops->is_attached(engine->kernel);
}

bool ntmd_bpf_is_changing(const struct ntmd_engine *engine)
{
	return engine->kernel && (engine->kernel->stopping || engine->kernel->load);
}

/* ---- what the programs are told */

static void beat(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_kernel *kernel = arg;

	(void)fd;
	(void)what;
	ntmd_maps_heartbeat(ntmd_bpf_set_maps(kernel->now->set), ntm_loop_now_us());
}

struct locals {
	const struct ntmd_kernel *kernel;
	unsigned helper[2]; /* no way to us leads by these */
	struct ntm_endpoint local[NTM_LOCAL_SLOTS];
	unsigned count;
};

static void address_add(void *ctx, const struct ntm_netlink_address *address)
{
	struct locals *locals = ctx;
	const struct ntmd_kernel *kernel = locals->kernel;
	uint16_t port = kernel->attach.port[!ntm_addr_is4(&address->addr)];

	if (!port || locals->count == NTM_LOCAL_SLOTS || address->ifindex == kernel->engine->tun.ifindex ||
	    address->scope == RT_SCOPE_HOST)
		return;
	locals->local[locals->count++] = (struct ntm_endpoint){ .addr = address->addr, .port = port };
}

static void locals_tell(struct ntmd_kernel *kernel)
{
	struct locals locals = { .kernel = kernel };

	if (ntm_netlink_addresses(address_add, &locals))
		return;
	if (ntmd_maps_local_set(ntmd_bpf_set_maps(kernel->now->set), locals.local, locals.count))
		ntm_warn("more than %d local addresses: packets to the others are opened by ntmd",
			 NTM_LOCAL_SLOTS);
}

static bool is_usable(const struct ntmd_kernel *kernel, unsigned ifindex)
{
	char name[IF_NAMESIZE];
	size_t len = strlen(kernel->attach.device);

	if (!ifindex || ifindex == kernel->engine->tun.ifindex || !if_indextoname(ifindex, name))
		return false;
	/* XDP on the loopback device has made kernels panic. */
	return strcmp(name, "lo") &&
	       (strncmp(name, kernel->attach.device, len) || (name[len] && name[len + 1]));
}

/* The interfaces with a default route, each once. */
static int interfaces_default(unsigned ifindex[NTMD_INTERFACES_MAX])
{
	struct ntm_netlink_default route[2 * NTMD_INTERFACES_MAX];
	int routes = ntm_netlink_defaults(route, 2 * NTMD_INTERFACES_MAX), n = 0;

	for (int i = 0; i < routes && n < NTMD_INTERFACES_MAX; i++) {
		int known = 0;

		while (known < n && ifindex[known] != route[i].ifindex)
			known++;
		if (known == n)
			ifindex[n++] = route[i].ifindex;
	}
	return n;
}

static void interfaces_tell(struct ntmd_kernel *kernel, enum ntmd_bpf_mode mode)
{
	unsigned ifindex[NTMD_INTERFACES_MAX], count = 0;
	int n = 0;

	for (unsigned i = 0; i < kernel->attach.interfaces && n < NTMD_INTERFACES_MAX; i++)
		ifindex[n++] = if_nametoindex(kernel->attach.interface[i]);
	if (!kernel->attach.interfaces)
		n = interfaces_default(ifindex);
	for (int i = 0; i < n; i++)
		if (is_usable(kernel, ifindex[i]))
			ifindex[count++] = ifindex[i];
	ntmd_bpf_set_interfaces(kernel->now->set, ifindex, count, mode);
}

static void interfaces_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_kernel *kernel = arg;

	(void)fd;
	(void)what;
	/* A mode that was asked for is kept by those that are attached, and tried on new ones. */
	if (ntmd_bpf_is_attached(kernel->engine) && !kernel->leaving)
		interfaces_tell(kernel, NTMD_BPF_AUTO);
}

void ntmd_bpf_network_changed(struct ntmd_engine *engine)
{
	struct ntmd_kernel *kernel = engine->kernel;

	if (!ntmd_bpf_is_attached(engine) || kernel->leaving)
		return;
	ntmd_maps_routes_changed(ntmd_bpf_set_maps(kernel->now->set));
	locals_tell(kernel);
	if (!event_pending(kernel->interfaces_timer, EV_TIMEOUT, NULL))
		ntm_timer_set_ms(kernel->interfaces_timer, INTERFACES_MS);
}

/* ---- what they tell (bpf_event.c) */

static void events_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_kernel *kernel = arg;

	(void)fd;
	(void)what;
	ring_buffer__consume(kernel->ring);
}

/* ---- a set of another layout, which runs beside until its peers have paths here */

static void old_begin(struct ntmd_kernel *kernel)
{
	kernel->old_vip = ntmd_bpf_set_old_vips(kernel->now->set, &kernel->old_vips);
	if (!kernel->old_vip)
		return;
	ntm_notice("BPF programs of another version serve %zu addresses, until there are new tunnels to them",
		   kernel->old_vips);
	kernel->old_until_ms = ntm_loop_now_ms() + OLD_MS;
	ntm_timer_set_ms(kernel->old_timer, OLD_LOOK_MS);
}

static void old_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_kernel *kernel = arg;
	int64_t now = ntm_loop_now_ms();
	size_t left = 0;

	(void)fd;
	(void)what;
	if (kernel->stopping)
		return; /* they go with the others */
	if (now >= kernel->old_until_ms) {
		ntmd_bpf_set_old_end(kernel->now->set);
		free(kernel->old_vip);
		kernel->old_vip = NULL;
		kernel->old_vips = 0;
		interfaces_tell(kernel, kernel->attach.mode);
		ntm_notice("BPF programs of another version are removed");
		return;
	}
	for (size_t i = 0; i < kernel->old_vips; i++)
		left += !ntmd_maps_is_reached(ntmd_bpf_set_maps(kernel->now->set), &kernel->old_vip[i]);
	/* What the peers sent by the old paths is still opened by the old programs. */
	if (!left && kernel->old_until_ms > now + NTM_KEY_DRAIN_S * 1000LL)
		kernel->old_until_ms = now + NTM_KEY_DRAIN_S * 1000LL;
	ntm_timer_set_ms(kernel->old_timer, OLD_LOOK_MS);
}

/* ---- attaching */

/* What a living engine needs beside the programs. 0 or -errno. */
static int tools_open(struct ntmd_kernel *kernel)
{
	struct timeval interval = { 0, BEAT_MS * 1000 };

	kernel->ring =
		ring_buffer__new(ntmd_bpf_set_events_fd(kernel->now->set), ntmd_bpf_event_take, kernel, NULL);
	if (!kernel->ring)
		return -errno;
	kernel->readable = event_new(kernel->base, ring_buffer__epoll_fd(kernel->ring), EV_READ | EV_PERSIST,
				     events_readable, kernel);
	if (!kernel->readable || event_add(kernel->readable, NULL) < 0)
		return -ENOMEM;
	kernel->packet_ifindex = ntmd_bpf_set_seal_in(kernel->now->set);
	kernel->packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	beat(-1, 0, kernel);
	return event_add(kernel->beat, &interval) < 0 ? -ENOMEM : 0;
}

/* From now on the set is the attached one; and the paths of an earlier ntmd, if it was its. On failure it
 * stays the caller's. */
static int set_begin(struct ntmd_kernel *kernel, const struct ntmd_bpf_attach *attach,
		     struct ntmd_bpf_set *set, char *ret_why, size_t why_len)
{
	struct ntmd_bpf_use *use = calloc(1, sizeof(*use));
	int err = -ENOMEM;

	if (!use) {
		snprintf(ret_why, why_len, "no memory");
		return err;
	}
	err = ntmd_bpf_set_open(set, kernel->base, ret_why, why_len);
	if (err)
		goto fail;
	kernel->by_slot = calloc(ntmd_maps_slots(ntmd_bpf_set_maps(set)), sizeof(kernel->by_slot[0]));
	if (!kernel->by_slot) {
		err = -ENOMEM;
		snprintf(ret_why, why_len, "no memory");
		goto fail;
	}
	use->set = set;
	use->attached = true;
	kernel->now = use;
	kernel->attach = *attach;
	/* Before we are seen to live: until then all goes inline, and must go on so for the paths that were
	 * there. */
	if (ntmd_bpf_set_is_taken_over(set))
		ntmd_bpf_inherit(kernel);
	return 0;
fail:
	free(use);
	return err;
}

static void set_end(struct ntmd_kernel *kernel)
{
	struct ntmd_bpf_use *use = kernel->now;

	ntmd_maps_drops_add(ntmd_bpf_set_maps(use->set), ntm_drops); /* what it counted does not go with it */
	tools_close(kernel);
	ntmd_bpf_paths_retire(kernel);
	kernel->now = NULL;
	use->attached = false;
	ntmd_bpf_use_drop(use);
}

/* Another choice of interfaces or mode for what is attached. */
static void attach_again(struct ntmd_kernel *kernel, const struct ntmd_bpf_attach *attach)
{
	kernel->attach = *attach;
	interfaces_tell(kernel, attach->mode);
}

/* Takes the set in any case. */
static int set_attach(struct ntmd_kernel *kernel, const struct ntmd_bpf_attach *attach,
		      struct ntmd_bpf_set *set, char *ret_why, size_t why_len)
{
	struct ntmd_engine *engine = kernel->engine;
	int err = set_begin(kernel, attach, set, ret_why, why_len);

	if (err) {
		ntmd_bpf_set_free(set);
		return err;
	}
	if (!ntm_addr_is_none(&engine->own[0]) || !ntm_addr_is_none(&engine->own[1]))
		ntmd_maps_own_set(ntmd_bpf_set_maps(set), &engine->own[0], &engine->own[1]);
	locals_tell(kernel);
	err = ntmd_bpf_set_attach(set, ret_why, why_len);
	if (err)
		goto fail;
	interfaces_tell(kernel, attach->mode);
	err = tools_open(kernel);
	if (!err) {
		old_begin(kernel);
		return 0;
	}
	snprintf(ret_why, why_len, "cannot watch the BPF programs: %s", strerror(-err));
	ntmd_bpf_set_remove(set);
fail:
	set_end(kernel);
	return err;
}

int ntmd_bpf_attach(struct ntmd_engine *engine, const struct ntmd_bpf_attach *attach, char *ret_why,
		    size_t why_len)
{
	struct ntmd_bpf_set *set;
	int err = ntmd_bpf_load(&set, engine->kernel, attach, ret_why, why_len);

	return err ? err : set_attach(engine->kernel, attach, set, ret_why, why_len);
}

void ntmd_bpf_loaded(struct ntmd_bpf_load *load)
{
	if (!load->err && !load->check) {
		load->err = set_attach(load->kernel, &load->attach, load->set, load->why, sizeof(load->why));
		load->set = NULL;
	}
	load->done(load->ctx, load->err, load->why);
}

int ntmd_bpf_attach_start(struct ntmd_engine *engine, const struct ntmd_bpf_attach *attach, bool check,
			  void (*done)(void *ctx, int err, const char *why), void *ctx)
{
	struct ntmd_kernel *kernel = engine->kernel;

	if (ntmd_bpf_is_changing(engine))
		return -EBUSY;
	if (!kernel->now || check)
		return ntmd_bpf_load_start(kernel, attach, check, done, ctx);
	attach_again(kernel, attach);
	done(ctx, 0, "");
	return 0;
}

/* ---- detaching */

static void stop_finish(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_kernel *kernel = arg;
	void (*stopped)(void *ctx) = kernel->stopped;

	(void)fd;
	(void)what;
	event_del(kernel->stop_timer);
	ntmd_bpf_set_remove(kernel->now->set);
	set_end(kernel);
	kernel->stopping = false;
	kernel->stopped = NULL;
	if (stopped)
		stopped(kernel->stopped_ctx);
}

int ntmd_bpf_detach(struct ntmd_engine *engine, void (*done)(void *ctx), void *ctx)
{
	struct ntmd_kernel *kernel = engine->kernel;

	if (ntmd_bpf_is_changing(engine))
		return -EBUSY;
	if (!kernel || !kernel->now)
		return -EALREADY;
	kernel->stopping = true;
	kernel->stopped = done;
	kernel->stopped_ctx = ctx;
	ntmd_bpf_set_stop(kernel->now->set);
	ntm_timer_set_ms(kernel->stop_timer, STOP_MS);
	return 0;
}

/* ---- asking */

const struct ntmd_bpf_interface *ntmd_bpf_interfaces(const struct ntmd_engine *engine, unsigned *ret_count)
{
	*ret_count = 0;
	return ntmd_bpf_is_attached(engine) ? ntmd_bpf_set_interface_list(engine->kernel->now->set, ret_count)
					    : NULL;
}

void ntmd_bpf_drops_add(const struct ntmd_engine *engine, uint64_t drops[NTM_DROP_MAX])
{
	if (engine->kernel && engine->kernel->now)
		ntmd_maps_drops_add(ntmd_bpf_set_maps(engine->kernel->now->set), drops);
}

/* Of a set of another layout: true if one of this family wants a new path. */
static bool old_each(struct ntmd_kernel *kernel, bool is4,
		     bool (*each)(void *ctx, const struct ntm_addr *vip4, const struct ntm_addr *vip6),
		     void *ctx)
{
	static const struct ntm_addr none;
	bool any = false;

	for (size_t i = 0; i < kernel->old_vips; i++) {
		const struct ntm_addr *vip = &kernel->old_vip[i];

		if (ntm_addr_is4(vip) != is4 ||
		    ntmd_maps_is_reached(ntmd_bpf_set_maps(kernel->now->set), vip))
			continue;
		any = true;
		each(ctx, is4 ? vip : &none, is4 ? &none : vip);
	}
	return any;
}

static bool is_expired(const struct ntmd_engine_path *path, int64_t now_ms)
{
	for (unsigned i = 0; i < NTM_TYPE_PHASES; i++)
		if (path->key[i] && path->key[i]->expires_ms > now_ms)
			return false;
	return true;
}

void ntmd_bpf_inherited_each(struct ntmd_engine *engine,
			     bool (*each)(void *ctx, const struct ntm_addr *vip4,
					  const struct ntm_addr *vip6),
			     void *ctx)
{
	struct ntmd_engine_path *path, *next;
	int64_t now = ntm_loop_now_ms();

	for (path = LIST_FIRST(&engine->paths); path; path = next) {
		next = LIST_NEXT(path, all);
		if (!path->kernel || !path->kernel->inherited || path->kernel->drain_ms)
			continue;
		if (is_expired(path, now) || each(ctx, &path->vip[0], &path->vip[1]))
			ntmd_engine_path_delete(path, false);
	}
	/* Which two addresses are one node's is not known: those of the other family mostly come with the
	 * first. */
	if (engine->kernel && !old_each(engine->kernel, true, each, ctx))
		old_each(engine->kernel, false, each, ctx);
}

static bool is_same(const struct ntm_addr *a, const struct ntm_addr *b)
{
	return !ntm_addr_is_none(a) && ntm_addr_equal(a, b);
}

void ntmd_bpf_inherited_end(struct ntmd_engine *engine, const struct ntm_addr *vip4,
			    const struct ntm_addr *vip6)
{
	struct ntmd_engine_path *path, *next;

	for (path = LIST_FIRST(&engine->paths); path; path = next) {
		next = LIST_NEXT(path, all);
		if (path->kernel && path->kernel->inherited &&
		    (is_same(&path->vip[0], vip4) || is_same(&path->vip[1], vip6)))
			ntmd_engine_path_delete(path, false);
	}
}

void ntmd_bpf_inherited_withdraw(struct ntmd_engine *engine, uint64_t path_id)
{
	struct ntmd_engine_path *path = ntmd_user_path_by_id(engine, path_id);

	if (path && path->kernel && path->kernel->inherited)
		ntmd_engine_path_delete(path, false);
}
