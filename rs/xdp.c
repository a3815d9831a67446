/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp.c - the XDP relay from loading to detaching (xdp.h): which interfaces, in which mode, what is pinned,
 * and what is done when something cannot be had. The order of what may be is native, generic, user space; all
 * interfaces run in one mode, since a packet that comes in by one may leave by any other.
 *
 * Whether a frame that native XDP redirected was taken by the far end nobody tells. So XDP counts Tunnel
 * Requests and answers to them: SILENT_REQUESTS of them in at least SILENT_MS, and not one answer, and the
 * next mode is tried. It may also be that the far ends are gone: the better mode is tried again later, each
 * time after twice as long.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ntm/relay_map.h>

#include "bpf/xdp_relay.skel.h"
#include "log.h"
#include "loop.h"
#include "pin.h"
#include "pins.h"
#include "relay_map.h"
#include "rs.h"
#include "xdp_internal.h"

#define SETTLE_MS 200 /* changes of interfaces within this are looked at once */
#define SILENT_REQUESTS 5
#define SILENT_MS 3000
#define RETRY_MIN_MS 600000
#define RETRY_MAX_MS 86400000

/* ---- status */

enum rs_xdp_mode rs_xdp_mode(const struct rs *rs)
{
	return rs->xdp ? rs->xdp->mode : RS_XDP_OFF;
}

const char *rs_xdp_why(const struct rs *rs)
{
	return rs->xdp ? rs->xdp->why : "";
}

bool rs_xdp_is_pinned(const struct rs *rs)
{
	return rs->xdp && rs->xdp->bpf && rs->xdp->pinned;
}

unsigned rs_xdp_links(const struct rs *rs, const struct rs_xdp_link **ret_link)
{
	*ret_link = rs->xdp ? rs->xdp->link : NULL;
	return rs->xdp ? rs->xdp->links : 0;
}

/* ---- whether it works */

static void answers_begin(struct rs_xdp *xdp)
{
	struct ntm_relay_load load;

	rs_relay_map_load(xdp->rs->map, &load);
	xdp->requests = load.requests;
	xdp->answers = load.answers;
	xdp->answered_ms = ntm_loop_now_ms();
}

static void fall_back(struct rs_xdp *xdp, uint64_t requests)
{
	enum rs_xdp_mode from = xdp->mode, to = RS_XDP_OFF;

	if (from == RS_XDP_NATIVE && xdp->rs->config.xdp == RS_XDP_AUTO)
		to = RS_XDP_GENERIC;
	if (!xdp->retry_after_ms)
		xdp->retry_after_ms = RETRY_MIN_MS;
	xdp->retry_ms = ntm_loop_now_ms() + xdp->retry_after_ms;
	xdp->retry_after_ms = xdp->retry_after_ms > RETRY_MAX_MS / 2 ? RETRY_MAX_MS : 2 * xdp->retry_after_ms;
	if (xdp->silent == RS_XDP_AUTO)
		xdp->silent = from;
	rs_xdp_why_set(xdp, "%s XDP sent %llu Tunnel Requests and no answer came: tried again in %lld min",
		rs_xdp_mode_name(from), (unsigned long long)requests,
		(long long)(xdp->retry_ms - ntm_loop_now_ms() + 59999) / 60000);
	ntm_warn("%s", xdp->why);
	if (to == RS_XDP_OFF)
		rs_xdp_interfaces_leave(xdp, "nothing that XDP sent was answered");
	else
		rs_xdp_interfaces_take(xdp, to);
	answers_begin(xdp);
}

void rs_xdp_check(struct rs *rs)
{
	struct rs_xdp *xdp = rs->xdp;
	struct ntm_relay_load load;
	int64_t now_ms = ntm_loop_now_ms();

	if (!xdp || !xdp->bpf)
		return;
	if (xdp->next_hop)
		rs_relay_map_watched(rs->map);
	if (xdp->held)
		return;
	if (xdp->silent != RS_XDP_AUTO && now_ms >= xdp->retry_ms) {
		enum rs_xdp_mode mode = xdp->silent;

		xdp->silent = RS_XDP_AUTO;
		xdp->why[0] = '\0';
		rs_xdp_interfaces_take(xdp, mode);
		answers_begin(xdp);
		return;
	}
	if (xdp->mode == RS_XDP_OFF)
		return;
	rs_relay_map_load(rs->map, &load);
	if (load.answers != xdp->answers || load.requests == xdp->requests) {
		if (load.answers != xdp->answers && xdp->silent == RS_XDP_AUTO)
			xdp->retry_after_ms = 0; /* it was one dead peer, most likely */
		xdp->requests = load.requests;
		xdp->answers = load.answers;
		xdp->answered_ms = now_ms;
	} else if (load.requests - xdp->requests >= SILENT_REQUESTS &&
		   now_ms - xdp->answered_ms >= SILENT_MS) {
		fall_back(xdp, load.requests - xdp->requests);
	}
}

/* ---- changes */

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct rs_xdp *xdp = arg;

	(void)fd;
	(void)what;
	/* In user space since nothing was answered: new interfaces wait for the next try, too. */
	if (!xdp->held && !(xdp->silent != RS_XDP_AUTO && xdp->mode == RS_XDP_OFF))
		rs_xdp_interfaces_take(xdp, RS_XDP_AUTO);
}

void rs_xdp_interfaces_changed(struct rs *rs)
{
	/* The first of many changes sets the time. */
	if (rs->xdp && rs->xdp->settle && !evtimer_pending(rs->xdp->settle, NULL))
		ntm_timer_set_ms(rs->xdp->settle, SETTLE_MS);
}

int rs_xdp_detach(struct rs *rs)
{
	struct rs_xdp *xdp = rs->xdp;

	if (!xdp || !xdp->bpf)
		return -ENODEV;
	xdp->held = true;
	rs_xdp_why_set(xdp, "detached by hand; `ntmctl rs attach` undoes it");
	rs_xdp_interfaces_leave(xdp, "detached by hand");
	return 0;
}

int rs_xdp_attach(struct rs *rs)
{
	struct rs_xdp *xdp = rs->xdp;

	if (!xdp || !xdp->bpf)
		return -ENODEV;
	xdp->held = false;
	xdp->silent = RS_XDP_AUTO;
	xdp->retry_after_ms = 0;
	if (xdp->mode == RS_XDP_OFF) {
		xdp->why[0] = '\0';
		rs_xdp_interfaces_take(xdp, RS_XDP_AUTO);
		answers_begin(xdp);
	}
	return xdp->mode == RS_XDP_OFF ? -EOPNOTSUPP : 0;
}

/* ---- loading */

/* libbpf's own words are for those who debug; rs_xdp_why_set() has one sentence for all others. */
static int print(enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[512];

	if (level == LIBBPF_DEBUG || ntm_log_level() < NTM_LOG_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = '\0';
	ntm_debug("%s", line);
	return 0;
}

/* The size of a pinned map is that of whoever made it. */
static unsigned pinned_max(const char *path)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	int fd = bpf_obj_get(path), err;

	if (fd < 0)
		return 0;
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	return err ? 0 : info.max_entries;
}

static int sizes_set(struct rs_xdp *xdp)
{
	unsigned max = xdp->rs->config.max_paths, there = 0;
	char path[PATH_MAX];

	if (xdp->pinned && !rs_pin_set_path(path, xdp->rs->config.pin_dir, NTM_RELAY_LAYOUT, "rs_paths"))
		there = pinned_max(path);
	if (there && there != max)
		ntm_warn(
			"the maps in pin-dir are for %u paths, not %u: `ntm-rs --detach` before the next start "
			"makes new ones",
			there, max);
	max = there ? there : max;
	bpf_map__set_max_entries(xdp->bpf->maps.rs_paths, max);
	bpf_map__set_max_entries(xdp->bpf->maps.rs_state, ntm_relay_slots(max));
	bpf_map__set_max_entries(xdp->bpf->maps.rs_index, ntm_relay_buckets(ntm_relay_slots(max)));
	return 0;
}

/* Where each map is pinned, and taken from if it is there. */
static int pins_set(struct rs_xdp *xdp)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map (map, xdp->bpf->obj) {
		char path[PATH_MAX];

		if (bpf_map__is_internal(map))
			continue;
		err = rs_pin_set_path(path, xdp->rs->config.pin_dir, NTM_RELAY_LAYOUT, bpf_map__name(map));
		if (!err)
			err = bpf_map__set_pin_path(map, path);
		if (err)
			break;
	}
	return err;
}

static int load_once(struct rs_xdp *xdp)
{
	int err;

	xdp->bpf = xdp_relay_bpf__open();
	if (!xdp->bpf)
		return -errno;
	err = sizes_set(xdp);
	if (!err && xdp->pinned)
		err = pins_set(xdp);
	if (!err)
		err = xdp_relay_bpf__load(xdp->bpf);
	if (err) {
		xdp_relay_bpf__destroy(xdp->bpf);
		xdp->bpf = NULL;
	}
	return err;
}

static void load_refused(struct rs_xdp *xdp, int err)
{
	if (err == -EPERM || err == -EACCES)
		rs_xdp_why_set(
			xdp,
			"no permission to load BPF programs: root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
	else if (err == -ENOMEM || err == -E2BIG)
		rs_xdp_why_set(xdp, "no memory for the maps: make max-paths smaller");
	else
		rs_xdp_why_set(
			xdp,
			"this kernel does not take the XDP program (%s): Linux 6.1 does; `ntm-rs -vv` tells more",
			strerror(-err));
}

static int load(struct rs_xdp *xdp)
{
	const char *dir = xdp->rs->config.pin_dir;
	char why[256];
	int err;

	xdp->pinned = !rs_pin_prepare(dir, why, sizeof(why));
	if (xdp->pinned)
		xdp->lock = ntm_pins_lock(dir);
	if (xdp->lock == -EBUSY) {
		rs_xdp_why_set(xdp, "another ntm-rs has its maps at %s: set another [datapath] pin-dir", dir);
		return -EBUSY;
	}
	if (xdp->pinned && rs_pin_set_make(dir, NTM_RELAY_LAYOUT)) {
		snprintf(why, sizeof(why), "cannot make directories in pin-dir");
		xdp->pinned = false;
	}
	libbpf_set_print(print);
	err = load_once(xdp);
	if (err == -EINVAL && xdp->pinned) {
		/* Somebody's maps, but not ours, in spite of the layout's number. */
		rs_pin_set_remove(dir, NTM_RELAY_LAYOUT);
		err = rs_pin_set_make(dir, NTM_RELAY_LAYOUT);
		if (!err)
			err = load_once(xdp);
	}
	if (err)
		load_refused(xdp, err);
	else if (!xdp->pinned)
		ntm_warn("XDP will end with this process, and with it what it relays: %s", why);
	return err;
}

/* ---- opening */

static int maps_open(struct rs_xdp *xdp)
{
	struct rs_relay_map_fds fds = {
		.paths = bpf_map__fd(xdp->bpf->maps.rs_paths),
		.index = bpf_map__fd(xdp->bpf->maps.rs_index),
		.moving = bpf_map__fd(xdp->bpf->maps.rs_moving),
		.local = bpf_map__fd(xdp->bpf->maps.rs_local),
		.devices = bpf_map__fd(xdp->bpf->maps.rs_devices),
		.config = bpf_map__fd(xdp->bpf->maps.rs_config),
		.state = bpf_map__fd(xdp->bpf->maps.rs_state),
		.stats = bpf_map__fd(xdp->bpf->maps.rs_stats),
		.load = bpf_map__fd(xdp->bpf->maps.rs_load),
	};
	int err = rs_relay_map_open(&xdp->rs->map, &fds);

	if (!err)
		xdp->rs->paths.max = rs_relay_map_max(xdp->rs->map);
	return err;
}

static int64_t xdp_used_ms(void *ctx, uint64_t id)
{
	struct rs_relay_counts counts;

	rs_relay_map_read(ctx, id, &counts);
	return counts.used_ms;
}

static int pinned_map(const struct rs_xdp *xdp, unsigned layout, const char *name)
{
	char path[PATH_MAX];

	return rs_pin_set_path(path, xdp->rs->config.pin_dir, layout, name) ? -ENAMETOOLONG
									    : bpf_obj_get(path);
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void inherit_other(struct rs_xdp *xdp, unsigned layout)
{
	struct rs_inherit_fds fds = {.paths = pinned_map(xdp, layout, "rs_paths"),
				     .local = pinned_map(xdp, layout, "rs_local"),
				     .state = pinned_map(xdp, layout, "rs_state")};
	int n = fds.paths < 0 || fds.local < 0 ? -ENOENT : rs_inherit_other(xdp->rs, xdp->rs->map, &fds);

	if (n < 0)
		ntm_warn("the maps of layout %u in pin-dir cannot be read: nodes have to bind again", layout);
	else
		ntm_notice("%d paths go on from maps of layout %u", n, layout);
	close_if_open(fds.paths);
	close_if_open(fds.local);
	close_if_open(fds.state);
}

static void inherit(struct rs_xdp *xdp)
{
	struct rs *rs = xdp->rs;
	unsigned layout[RS_LAYOUTS_MAX];
	struct rs_inherit_fds own = {.paths = bpf_map__fd(xdp->bpf->maps.rs_paths),
				     .local = bpf_map__fd(xdp->bpf->maps.rs_local),
				     .state = bpf_map__fd(xdp->bpf->maps.rs_state)};
	int n = rs_inherit_own(rs, rs->map, &own), sets;

	if (n < 0)
		ntm_error("cannot read which paths were relayed: %s", strerror(-n));
	else if (n)
		ntm_notice("%d paths go on from before; their DCs direct them again", n);
	rs_xdp_locals_put(xdp); /* now that it is known at which of the old ones legs are bound */
	sets = xdp->pinned ? rs_pin_sets(rs->config.pin_dir, layout, RS_LAYOUTS_MAX) : 0;
	for (int i = 0; i < sets; i++) {
		if (layout[i] != NTM_RELAY_LAYOUT)
			inherit_other(xdp, layout[i]);
	}
}

static void write_one(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		ntm_warn("cannot set %s to 1 (%s): XDP finds no routes without, and user space relays", path,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* bpf_fib_lookup() asks as `lo`, whose packets are the host's own, and answers only where forwarding is
 * on. */
static void routes_allow(void)
{
	write_one("/proc/sys/net/ipv4/conf/lo/forwarding");
	if (!access("/proc/sys/net/ipv6", F_OK))
		write_one("/proc/sys/net/ipv6/conf/lo/forwarding");
}

/* Links that none of our interfaces has taken over: of a device that is gone, or that is not wanted any
 * more. */
static void on_stale_link(void *ctx, const char *path, unsigned ifindex)
{
	const struct rs_xdp *xdp = ctx;

	for (unsigned i = 0; i < xdp->links; i++) {
		if (xdp->link[i].fd >= 0 && xdp->link[i].ifindex == ifindex)
			return;
	}
	rs_xdp_link_drop(path);
}

static void others_remove(struct rs_xdp *xdp)
{
	const char *dir = xdp->rs->config.pin_dir;
	unsigned layout[RS_LAYOUTS_MAX];
	struct bpf_map *map;
	int sets = rs_pin_sets(dir, layout, RS_LAYOUTS_MAX);

	for (int i = 0; i < sets; i++) {
		if (layout[i] != NTM_RELAY_LAYOUT)
			rs_pin_set_remove(dir, layout[i]);
	}
	rs_pin_links(dir, NTM_RELAY_LAYOUT, on_stale_link, xdp);
	bpf_object__for_each_map (map, xdp->bpf->obj) {
		if (!bpf_map__is_internal(map))
			rs_pin_show(dir, NTM_RELAY_LAYOUT, bpf_map__name(map));
	}
}

static void unlock(struct rs_xdp *xdp)
{
	ntm_pins_unlock(xdp->rs->config.pin_dir, xdp->lock);
	xdp->lock = -1;
}

/* What an earlier ntm-rs left must not go on forwarding by maps that nobody keeps. */
static void left_remove(struct rs_xdp *xdp)
{
	const char *dir = xdp->rs->config.pin_dir;
	unsigned layout, links;

	if (rs_pin_sets(dir, &layout, 1) <= 0)
		return;
	if (xdp->lock < 0)
		xdp->lock = ntm_pins_lock(dir);
	if (xdp->lock == -EBUSY) /* another's, who lives */
		return;
	if (!rs_pin_remove(dir, &links) && links)
		ntm_notice("XDP is off: detached from %u interfaces", links);
	unlock(xdp);
}

static int start(struct rs_xdp *xdp)
{
	struct rs *rs = xdp->rs;
	int err = maps_open(xdp);

	if (err) {
		rs_xdp_why_set(xdp, "the maps cannot be used: %s", strerror(-err));
		return err;
	}
	rs->paths.used_elsewhere_ms = xdp_used_ms;
	rs->paths.used_ctx = rs->map;
	routes_allow();
	inherit(xdp);
	rs_xdp_interfaces_take(xdp, RS_XDP_AUTO);
	if (xdp->pinned)
		others_remove(xdp);
	answers_begin(xdp);
	err = rs_next_hop_open(rs, &xdp->next_hop);
	if (err)
		ntm_error("cannot watch routes (%s): XDP learns of changes up to 30 s late", strerror(-err));
	return 0;
}

int rs_xdp_open(struct rs *rs)
{
	struct rs_xdp *xdp = calloc(1, sizeof(*xdp));

	if (!xdp)
		return -ENOMEM;
	xdp->rs = rs;
	xdp->mode = RS_XDP_OFF;
	xdp->silent = RS_XDP_AUTO;
	xdp->lock = -1;
	rs->xdp = xdp;
	if (rs->config.xdp == RS_XDP_OFF) {
		left_remove(xdp);
		return 0;
	}
	xdp->settle = ntm_timer_new(rs->base, on_settle, xdp);
	if (!xdp->settle) {
		rs_xdp_close(rs);
		return -ENOMEM;
	}
	if (load(xdp) || start(xdp)) {
		ntm_warn("relaying in user space: %s", xdp->why);
		if (xdp->bpf)
			xdp_relay_bpf__destroy(xdp->bpf);
		xdp->bpf = NULL;
		left_remove(xdp);
	}
	return 0;
}

void rs_xdp_close(struct rs *rs)
{
	struct rs_xdp *xdp = rs->xdp;

	if (!xdp)
		return;
	rs_next_hop_close(xdp->next_hop);
	if (xdp->settle)
		event_free(xdp->settle);
	for (unsigned i = 0; i < xdp->links; i++)
		rs_xdp_link_close(&xdp->link[i], NULL);
	rs->paths.used_elsewhere_ms = NULL;
	rs_relay_map_close(rs->map);
	rs->map = NULL;
	if (xdp->bpf)
		xdp_relay_bpf__destroy(xdp->bpf);
	unlock(xdp);
	free(xdp);
	rs->xdp = NULL;
}
