/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_attach.c - loads the node's BPF programs, pins their maps, and attaches them:
 *
 *	egress	ntm0, tc egress		bpf/tc_egress.bpf.c
 *	inseal	ntm0p, tc ingress	bpf/tc_seal.bpf.c
 *	in	interfaces, tc ingress	bpf/tc_ingress.bpf.c
 *	xdp	interfaces, XDP		bpf/xdp_ingress.bpf.c
 *
 * What is attached is only ever known by its pins, so that a new ntmd, or ntmctl without one, finds the same
 * as we do. A new ntmd always puts its own programs in the place of those that run.
 */
#include "daemon/bpf_attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <ntm/maps.h>

#include "bpf/node.skel.h"
#include "daemon/veth.h"
#include "log.h"

#define HOOK_EGRESS "egress"
#define HOOK_SEAL "inseal"
#define HOOK_IN "in"
#define HOOK_XDP "xdp"

/* For tests of the change to another layout this file is built with another one. */
#ifndef NTMD_BPF_LAYOUT
#define NTMD_BPF_LAYOUT NTM_MAPS_LAYOUT
#endif

struct ntmd_bpf_set {
	struct ntmd_bpf_config config; /* its strings are the caller's */
	struct node_bpf *skel;
	struct ntmd_maps *maps;
	struct ntm_pins pins;
	struct ntmd_veth veth;
	bool taken_over;
	bool front; /* a set of another layout is attached: ours come before it */
	struct ntm_pins old; /* that one */
	bool other_veth;
	int lock; /* of ntm_pins_lock; negative: not ours */
	struct ntmd_bpf_interface interface[NTMD_INTERFACES_MAX];
	unsigned interfaces;
};

/* ---- loading */

static int libbpf_says(enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[1024];

	(void)level;
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = 0;
	if (line[0])
		ntm_debug("%s", line);
	return 0;
}

static const struct {
	enum ntmd_map map;
	unsigned times; /* the number of slots */
} sized[] = {
	{ NTMD_MAP_VIPS, 2 }, { NTMD_MAP_PATHS, 1 },   { NTMD_MAP_ENDS, 1 },
	{ NTMD_MAP_KEYS, 2 }, { NTMD_MAP_WINDOWS, 2 }, { NTMD_MAP_STATE, 1 },
};

static struct bpf_map *map_of(const struct ntmd_bpf_set *set, enum ntmd_map map)
{
	return bpf_object__find_map_by_name(set->skel->obj, ntmd_map_names[map]);
}

static int maps_size(struct ntmd_bpf_set *set)
{
	for (unsigned i = 0; i < sizeof(sized) / sizeof(sized[0]); i++) {
		int err = bpf_map__set_max_entries(map_of(set, sized[i].map),
						   sized[i].times * set->config.paths);

		if (err)
			return err;
	}
	return 0;
}

/* Whether a pinned map is what the programs expect. */
static bool map_fits(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map);
}

/* The programs use the maps that are pinned. 0, or -ESTALE: these are not what they expect, or some are
 * missing. */
static int maps_take_over(struct ntmd_bpf_set *set)
{
	for (int i = 0; i < NTMD_MAPS; i++) {
		struct bpf_map *map = map_of(set, (enum ntmd_map)i);
		int fd = ntm_pins_map_get(&set->pins, ntmd_map_names[i]), err;

		if (fd < 0)
			return -ESTALE;
		err = map_fits(map, fd) ? bpf_map__reuse_fd(map, fd) : -ESTALE;
		close(fd);
		if (err)
			return err;
	}
	return 0;
}

static void load_explain(int err, char *why, size_t why_len)
{
	switch (err) {
	case -EPERM:
		snprintf(
			why, why_len,
			"no permission to load BPF programs: ntmd needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
		break;
	case -ESTALE:
		snprintf(why, why_len,
			 "the pinned BPF maps are of another build: `ntmctl detach` removes them");
		break;
	case -ENOSYS:
		snprintf(why, why_len, "this kernel has no BPF");
		break;
	case -EMFILE:
		snprintf(why, why_len,
			 "too many open files: a limit (`ulimit -n`, LimitNOFILE=) of 1024 is enough");
		break;
	case -ENOMEM:
		snprintf(why, why_len, "no memory for the BPF maps: fewer [datapath] paths need less");
		break;
	default:
		snprintf(
			why, why_len,
			"this kernel does not take the BPF programs (%s); they need Linux 6.1, and `ntmd -v -v` says more",
			strerror(-err));
	}
}

static void other_layout_note(void *ctx, const struct ntm_pins *pins, bool complete)
{
	struct ntmd_bpf_set *set = ctx;

	if (pins->layout != set->pins.layout && complete) {
		set->front = true;
		set->old = *pins;
	}
}

int ntmd_bpf_set_load(struct ntmd_bpf_set **ret_set, const struct ntmd_bpf_config *config, char *ret_why,
		      size_t why_len)
{
	struct ntmd_bpf_set *set = calloc(1, sizeof(*set));
	int err = -ENOMEM;

	if (!set)
		goto explain;
	set->config = *config;
	libbpf_set_print(libbpf_says);
	err = ntm_pins_find(&set->pins, config->pin_dir, NTMD_BPF_LAYOUT, ret_why, why_len);
	if (err) { /* it has explained */
		free(set);
		return err;
	}
	set->lock = config->check ? -1 : ntm_pins_lock(config->pin_dir);
	if (set->lock == -EBUSY) {
		snprintf(ret_why, why_len,
			 "another ntmd has its BPF programs at %s: set another [datapath] pin-dir",
			 config->pin_dir);
		free(set);
		return -EBUSY;
	}
	ntm_pins_each(config->pin_dir, other_layout_note, set);
	set->skel = node_bpf__open();
	if (!set->skel) {
		err = -errno;
		goto fail;
	}
	set->taken_over = ntm_pins_are_there(&set->pins);
	err = set->taken_over ? maps_take_over(set) : maps_size(set);
	if (!err)
		err = node_bpf__load(set->skel);
	if (err)
		goto fail;
	*ret_set = set;
	return 0;
fail:
	ntmd_bpf_set_free(set);
explain:
	load_explain(err, ret_why, why_len);
	return err;
}

int ntmd_bpf_set_open(struct ntmd_bpf_set *set, struct event_base *base, char *ret_why, size_t why_len)
{
	int fd[NTMD_MAPS], err;

	for (int i = 0; i < NTMD_MAPS; i++)
		fd[i] = bpf_map__fd(map_of(set, (enum ntmd_map)i));
	err = ntmd_maps_open(&set->maps, base, fd, bpf_program__fd(set->skel->progs.inline_commit));
	if (err)
		load_explain(err, ret_why, why_len);
	return err;
}

bool ntmd_bpf_set_is_taken_over(const struct ntmd_bpf_set *set)
{
	return set->taken_over;
}

struct ntmd_maps *ntmd_bpf_set_maps(const struct ntmd_bpf_set *set)
{
	return set->maps;
}

unsigned ntmd_bpf_set_seal_in(const struct ntmd_bpf_set *set)
{
	return set->veth.in;
}

int ntmd_bpf_set_events_fd(const struct ntmd_bpf_set *set)
{
	return bpf_map__fd(map_of(set, NTMD_MAP_EVENTS));
}

static void unlock(struct ntmd_bpf_set *set)
{
	ntm_pins_unlock(set->config.pin_dir, set->lock);
	set->lock = -1;
}

void ntmd_bpf_set_free(struct ntmd_bpf_set *set)
{
	if (!set)
		return;
	ntmd_maps_close(set->maps);
	node_bpf__destroy(set->skel);
	unlock(set);
	free(set);
}

/* ---- attaching */

/*
 * Whether programs must work as generic XDP needs it (bpf/decap.h). Also while no interface is left: a
 * program may still run for a moment on one that was just left, and cutting the end of a packet there
 * corrupts it. (Shown by selftests/netns/bpf_left.sh)
 */
static bool is_generic(const struct ntmd_bpf_set *set)
{
	unsigned native = 0;

	for (unsigned i = 0; i < set->interfaces; i++) {
		if (set->interface[i].attached && !set->interface[i].native)
			return true;
		native += set->interface[i].attached;
	}
	return !native;
}

static void config_tell(struct ntmd_bpf_set *set, bool generic)
{
	struct ntmd_maps_config config = {.device = set->config.device_index,
					  .seal_in = set->veth.in,
					  .seal_out = set->veth.out,
					  .generic = generic,
					  .lane = set->config.lane};

	ntmd_maps_config_set(set->maps, &config);
}

static void seal_note(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	unsigned *out = ctx;

	(void)pins;
	if (!strcmp(hook, HOOK_SEAL))
		*out = ifindex;
}

/* Whether this is a set with the other pair. */
static bool pins_have_other_veth(const struct ntm_pins *pins)
{
	unsigned out = 0;

	ntm_pins_hooks_each(pins, seal_note, &out);
	return out && ntmd_veth_is_other(out);
}

static int maps_pin(struct ntmd_bpf_set *set)
{
	int err = ntm_pins_begin(&set->pins);

	for (int i = 0; !err && i < NTMD_MAPS; i++)
		err = ntm_pins_map_add(&set->pins, ntmd_map_names[i],
				       bpf_map__fd(map_of(set, (enum ntmd_map)i)));
	return err;
}

/* Hooks of devices that we use no more. */
static void old_hook_remove(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	const struct ntmd_bpf_set *set = ctx;

	if ((!strcmp(hook, HOOK_SEAL) && ifindex != set->veth.out) ||
	    (!strcmp(hook, HOOK_EGRESS) && ifindex != set->config.device_index))
		ntm_pins_hook_remove(pins, hook, ifindex);
}

int ntmd_bpf_set_attach(struct ntmd_bpf_set *set, char *ret_why, size_t why_len)
{
	enum ntm_pins_how how;
	int err;

	set->other_veth = set->taken_over ? pins_have_other_veth(&set->pins)
					  : set->front && !pins_have_other_veth(&set->old);
	err = ntmd_veth_open(&set->veth, set->config.device, set->other_veth, set->config.mtu, ret_why,
			     why_len);
	if (err)
		return err;
	if (!set->taken_over) {
		ntm_pins_remove(&set->pins); /* what a crash left half made */
		err = maps_pin(set);
	}
	config_tell(set, true);
	if (!err)
		err = ntm_pins_tc_set(&set->pins, HOOK_SEAL, set->veth.out,
				      bpf_program__fd(set->skel->progs.tc_seal), set->front, &how);
	if (!err)
		err = ntm_pins_tc_set(&set->pins, HOOK_EGRESS, set->config.device_index,
				      bpf_program__fd(set->skel->progs.tc_egress), set->front, &how);
	if (!err)
		err = ntm_pins_complete(&set->pins);
	if (err) {
		snprintf(ret_why, why_len, "cannot attach the BPF programs: %s%s", strerror(-err),
			 err == -EPERM
				 ? " (a folder for pins must be root's, and nobody else may write to it)"
				 : "");
		if (!set->taken_over)
			ntmd_bpf_set_remove(set);
		return err;
	}
	ntm_pins_hooks_each(&set->pins, old_hook_remove, set);
	return 0;
}

/* ---- interfaces */

/* Where the native mode would switch off what makes bulk fast: the queue's own offloads. */
static bool is_native_better(unsigned ifindex)
{
	static const char *const slower[] = { "veth", "virtio_net", "tun", "" };
	char driver[32];

	ntmd_veth_driver(ifindex, driver, sizeof(driver));
	for (unsigned i = 0; i < sizeof(slower) / sizeof(slower[0]); i++)
		if (!strcmp(driver, slower[i]))
			return false;
	return true;
}

/* How XDP is attached there now: XDP_ATTACHED_*. */
static bool is_native_now(unsigned ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	return !bpf_xdp_query((int)ifindex, 0, &query) && query.attach_mode == XDP_ATTACHED_DRV;
}

static int xdp_attach(struct ntmd_bpf_set *set, struct ntmd_bpf_interface *interface, enum ntmd_bpf_mode mode)
{
	int fd = bpf_program__fd(set->skel->progs.xdp_ingress), err;
	bool native =
		mode == NTMD_BPF_NATIVE || (mode == NTMD_BPF_AUTO && is_native_better(interface->ifindex));

	if (ntm_pins_hook_is_set(&set->pins, HOOK_XDP, interface->ifindex) && mode != NTMD_BPF_AUTO &&
	    is_native_now(interface->ifindex) != native)
		/* Packets go up to ntmd meanwhile */
		ntm_pins_hook_remove(&set->pins, HOOK_XDP, interface->ifindex);
	if (native) {
		err = ntm_pins_xdp_set(&set->pins, HOOK_XDP, interface->ifindex, fd, XDP_FLAGS_DRV_MODE);
		if (!err || mode == NTMD_BPF_NATIVE)
			return err;
		ntm_debug("%s: native XDP: %s", interface->name, strerror(-err));
	}
	return ntm_pins_xdp_set(&set->pins, HOOK_XDP, interface->ifindex, fd, XDP_FLAGS_SKB_MODE);
}

static void interface_detach(struct ntmd_bpf_set *set, unsigned ifindex)
{
	ntm_pins_hook_remove(&set->pins, HOOK_XDP, ifindex);
	ntm_pins_hook_remove(&set->pins, HOOK_IN, ifindex);
}

static void interface_attach(struct ntmd_bpf_set *set, struct ntmd_bpf_interface *interface,
			     enum ntmd_bpf_mode mode)
{
	int err = ntm_pins_tc_set(&set->pins, HOOK_IN, interface->ifindex,
				  bpf_program__fd(set->skel->progs.tc_ingress), set->front, &interface->how);

	if (!err)
		err = xdp_attach(set, interface, mode);
	interface->attached = !err;
	interface->native = !err && is_native_now(interface->ifindex);
	interface->why[0] = 0;
	if (!err)
		return;
	interface_detach(set, interface->ifindex);
	snprintf(interface->why, sizeof(interface->why), "%s",
		 set->front ? "programs of another version are there until their paths have ended" :
		 err == -EBUSY || err == -EEXIST ? "another XDP program is there" :
		 err == -EOPNOTSUPP		 ? "the driver has no native XDP" :
						   strerror(-err));
	if (!set->front)
		ntm_warn("no BPF programs on %s: %s; ntmd opens what comes in there", interface->name,
			 interface->why);
}

static bool is_in(const unsigned *ifindex, unsigned count, unsigned one)
{
	for (unsigned i = 0; i < count; i++)
		if (ifindex[i] == one)
			return true;
	return false;
}

struct wanted {
	const struct ntmd_bpf_set *set;
	const unsigned *ifindex;
	unsigned count;
};

static void unwanted_remove(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	const struct wanted *wanted = ctx;

	if ((!strcmp(hook, HOOK_XDP) || !strcmp(hook, HOOK_IN)) &&
	    !is_in(wanted->ifindex, wanted->count, ifindex))
		ntm_pins_hook_remove(pins, hook, ifindex);
}

static const struct ntmd_bpf_interface *interface_find(const struct ntmd_bpf_set *set, unsigned ifindex)
{
	for (unsigned i = 0; i < set->interfaces; i++)
		if (set->interface[i].ifindex == ifindex)
			return &set->interface[i];
	return NULL;
}

void ntmd_bpf_set_interfaces(struct ntmd_bpf_set *set, const unsigned *ifindex, unsigned count,
			     enum ntmd_bpf_mode mode)
{
	struct ntmd_bpf_interface list[NTMD_INTERFACES_MAX];
	struct wanted wanted = { set, ifindex, count };
	bool was_generic = is_generic(set), generic;
	unsigned n = 0;

	config_tell(set, true); /* before it is */
	ntm_pins_hooks_each(&set->pins, unwanted_remove, &wanted);
	for (unsigned i = 0; i < count && n < NTMD_INTERFACES_MAX; i++) {
		const struct ntmd_bpf_interface *before = interface_find(set, ifindex[i]);

		memset(&list[n], 0, sizeof(list[n]));
		list[n].ifindex = ifindex[i];
		if (!if_indextoname(ifindex[i], list[n].name))
			continue;
		if (before && mode == NTMD_BPF_AUTO && before->attached &&
		    ntm_pins_hook_is_set(&set->pins, HOOK_XDP, ifindex[i]))
			list[n].attached = true, list[n].native = before->native, list[n].how = before->how;
		else
			interface_attach(set, &list[n], mode);
		n++;
	}
	memcpy(set->interface, list, n * sizeof(list[0]));
	set->interfaces = n;
	generic = is_generic(set);
	if (was_generic && !generic && ntmd_maps_programs_wait())
		generic = true; /* one may still run on an interface that was left: slower, but right */
	config_tell(set, generic);
}

const struct ntmd_bpf_interface *ntmd_bpf_set_interface_list(const struct ntmd_bpf_set *set,
							     unsigned *ret_count)
{
	*ret_count = set->interfaces;
	return set->interface;
}

/* ---- detaching */

static void taking_remove(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	(void)ctx;
	if (!strcmp(hook, HOOK_XDP) || !strcmp(hook, HOOK_EGRESS))
		ntm_pins_hook_remove(pins, hook, ifindex);
}

void ntmd_bpf_set_stop(struct ntmd_bpf_set *set)
{
	ntm_pins_hooks_each(&set->pins, taking_remove, NULL);
}

void ntmd_bpf_set_remove(struct ntmd_bpf_set *set)
{
	if (set->front)
		ntmd_bpf_set_old_end(set);
	ntm_pins_remove(&set->pins);
	ntmd_veth_remove(set->config.device, set->other_veth);
	ntmd_maps_keys_end(set->maps);
	set->interfaces = 0;
	unlock(set);
}

/* ---- a set of another layout */

struct ntm_addr *ntmd_bpf_set_old_vips(const struct ntmd_bpf_set *set, size_t *ret_count)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	struct ntm_addr *list = NULL;
	size_t count = 0;
	int fd;

	*ret_count = 0;
	if (!set->front)
		return NULL;
	fd = ntm_pins_map_get(&set->old, ntmd_map_names[NTMD_MAP_VIPS]);
	if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && info.key_size == sizeof(*list))
		list = calloc(info.max_entries, sizeof(*list));
	while (list && count < info.max_entries &&
	       !bpf_map_get_next_key(fd, count ? &list[count - 1] : NULL, &list[count]))
		count++;
	if (fd >= 0)
		close(fd);
	*ret_count = count;
	return list ? list : calloc(1, sizeof(*list));
}

static void old_hook_take(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	struct ntmd_bpf_set *set = ctx;
	enum ntm_pins_how how;

	if (strcmp(hook, HOOK_XDP))
		return;
	/* First who takes what our XDP program opens. */
	if (ntm_pins_tc_set(&set->pins, HOOK_IN, ifindex, bpf_program__fd(set->skel->progs.tc_ingress), true,
			    &how))
		return;
	if (!ntm_pins_hook_move(pins, &set->pins, hook, ifindex))
		ntm_pins_xdp_set(&set->pins, hook, ifindex, bpf_program__fd(set->skel->progs.xdp_ingress),
				 is_native_now(ifindex) ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
}

void ntmd_bpf_set_old_end(struct ntmd_bpf_set *set)
{
	if (!set->front)
		return;
	config_tell(set, true); /* some of its links may be generic */
	ntm_pins_hooks_each(&set->old, old_hook_take, set);
	ntm_pins_remove(&set->old);
	ntmd_veth_remove(set->config.device, !set->other_veth);
	set->front = false;
}

struct clean {
	bool all, removed, left;
};

static void clean_one(void *ctx, const struct ntm_pins *pins, bool complete)
{
	struct clean *clean = ctx;

	if (complete && !clean->all) {
		clean->left = true;
		return;
	}
	ntm_pins_remove(pins);
	clean->removed = true;
}

int ntmd_bpf_clean(const char *pin_dir, const char *device, bool all)
{
	struct clean clean = { .all = all };
	int lock;

	if (!ntm_pins_each(pin_dir, NULL, NULL))
		return 0;
	lock = ntm_pins_lock(pin_dir);
	if (lock == -EBUSY) /* another's, who lives */
		return 0;
	ntm_pins_each(pin_dir, clean_one, &clean);
	if (!clean.left && clean.removed)
		for (int other = 0; other < 2; other++)
			ntmd_veth_remove(device, other);
	ntm_pins_unlock(pin_dir, lock);
	return clean.removed;
}
