/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp_attach.c - on which interfaces the XDP relay is, in which mode, and what frames may leave by. All
 * interfaces run in one mode, since a packet that comes in by one may leave by any other. Called by xdp.c;
 * one interface: xdp_link.c.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/xdp_relay.skel.h"
#include "device.h"
#include "endpoint.h"
#include "log.h"
#include "netlink.h"
#include "pin.h"
#include "relay_map.h"
#include "rs.h"
#include "xdp_internal.h"

void rs_xdp_why_set(struct rs_xdp *xdp, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(xdp->why, sizeof(xdp->why), format, ap);
	va_end(ap);
}

/* Where things stand, if it is not what was told last. */
static void tell(struct rs_xdp *xdp)
{
	char names[RS_INTERFACES_MAX * (RS_INTERFACE_MAX + 2)] = "", text[sizeof(xdp->told)];
	size_t used = 0;

	for (unsigned i = 0; i < xdp->links; i++) {
		if (xdp->link[i].fd >= 0)
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
						 xdp->link[i].name);
	}
	if (used)
		snprintf(text, sizeof(text), "relaying by %s XDP on %s%s%s", rs_xdp_mode_name(xdp->mode),
			 names, xdp->why[0] ? ": " : "", xdp->why);
	else
		snprintf(text, sizeof(text), "relaying in user space: %s",
			 xdp->why[0] ? xdp->why : "no interface takes XDP");
	if (!strcmp(text, xdp->told))
		return;
	memcpy(xdp->told, text, sizeof(text));
	ntm_notice("%s", text);
	for (unsigned i = 0; i < xdp->links && used; i++) {
		if (xdp->link[i].fd < 0)
			ntm_warn("packets that come in by %s are relayed in user space: %s",
				 xdp->link[i].name, xdp->link[i].why);
	}
}

/* ---- interfaces */

static const struct rs_device *device_by_index(const struct rs_device *device, int devices, unsigned ifindex)
{
	for (int i = 0; i < devices; i++) {
		if (device[i].ifindex == ifindex)
			return &device[i];
	}
	return NULL;
}

#define ENDPOINTS_MAX 256

struct wanted {
	const struct rs_config *config;
	unsigned ifindex[RS_INTERFACES_MAX];
	unsigned count;
	struct ntm_endpoint at[ENDPOINTS_MAX]; /* ours, for rs_local */
	unsigned ats;
};

static void want(struct wanted *wanted, unsigned ifindex)
{
	for (unsigned i = 0; i < wanted->count; i++) {
		if (wanted->ifindex[i] == ifindex)
			return;
	}
	if (wanted->count < RS_INTERFACES_MAX)
		wanted->ifindex[wanted->count++] = ifindex;
}

/* One of this machine's addresses: which listen endpoints it is of, and where it is. */
static void on_address(void *ctx, const struct ntm_netlink_address *address)
{
	struct wanted *wanted = ctx;
	const struct rs_config *config = wanted->config;
	struct ntm_endpoint at = {.addr = address->addr};
	bool is4 = ntm_endpoint_is4(&at), ours = false;

	for (unsigned i = 0; i < config->listens; i++) {
		const struct ntm_endpoint *listen = &config->listen[i];

		if (ntm_endpoint_is4(listen) != is4 ||
		    (!rs_lane_is_any(&listen->addr) && !ntm_addr_equal(&listen->addr, &address->addr)))
			continue;
		ours = true;
		at.port = listen->port;
		if (address->scope == 0 && wanted->ats < ENDPOINTS_MAX)
			wanted->at[wanted->ats++] = at;
	}
	if (ours && address->scope == 0 && !config->interfaces)
		want(wanted, address->ifindex);
}

/* Without a place in rs_local, paths bound there are relayed in user space. */
static void addresses_read(struct rs_xdp *xdp, struct wanted *ret_wanted)
{
	memset(ret_wanted, 0, sizeof(*ret_wanted));
	ret_wanted->config = &xdp->rs->config;
	if (!ntm_netlink_addresses(on_address, ret_wanted))
		rs_relay_map_locals(xdp->rs->map, ret_wanted->at, ret_wanted->ats);
}

/*
 * What to attach to in this mode, as links that are not attached yet. Native XDP sees VLAN tags, so it
 * belongs to the device below; the generic one does not see those that were taken off, so there it belongs to
 * the VLAN device.
 */
static unsigned links_wanted(struct rs_xdp *xdp, enum rs_xdp_mode mode, const struct rs_device *device,
			     int devices, struct rs_xdp_link *ret_link)
{
	const struct rs_config *config = &xdp->rs->config;
	struct wanted wanted, found = {0};
	unsigned links = 0;

	addresses_read(xdp, &wanted);
	for (int i = 0; i < devices; i++) {
		for (unsigned j = 0; j < config->interfaces; j++) {
			if (!strcmp(config->interface[j], device[i].name))
				want(&wanted, device[i].ifindex);
		}
	}
	for (unsigned i = 0; i < wanted.count; i++) {
		const struct rs_device *one = device_by_index(device, devices, wanted.ifindex[i]);

		/* XDP on the loopback device has crashed kernels. */
		if (one && !one->loopback)
			want(&found, mode == RS_XDP_NATIVE && one->parent ? one->parent : one->ifindex);
	}
	for (unsigned i = 0; i < found.count; i++) {
		const struct rs_device *one = device_by_index(device, devices, found.ifindex[i]);
		struct rs_xdp_link *link = &ret_link[links];

		if (!one)
			continue;
		memset(link, 0, sizeof(*link));
		link->fd = -1;
		link->mode = RS_XDP_OFF;
		link->ifindex = one->ifindex;
		memcpy(link->name, one->name, sizeof(link->name));
		for (int j = 0; j < devices && mode == RS_XDP_GENERIC; j++) {
			if (device[j].parent == one->ifindex)
				snprintf(link->why, sizeof(link->why),
					 "it has VLAN devices, as %s: generic XDP sees "
					 "no tags",
					 device[j].name);
		}
		links++;
	}
	return links;
}

static bool has_veth(const struct rs_xdp_link *link, unsigned links, const struct rs_device *device,
		     int devices)
{
	for (unsigned i = 0; i < links; i++) {
		const struct rs_device *one = device_by_index(device, devices, link[i].ifindex);

		if (one && one->veth)
			return true;
	}
	return false;
}

static bool all_veth(const struct rs_xdp *xdp, const struct rs_device *device, int devices)
{
	for (unsigned i = 0; i < xdp->links; i++) {
		const struct rs_device *one = device_by_index(device, devices, xdp->link[i].ifindex);

		if (!one || !one->veth)
			return false;
	}
	return true;
}

/* What frames can be sent out of. */
static void ways_out_put(struct rs_xdp *xdp, const struct rs_device *device, int devices)
{
	struct rs_relay_device way[NTM_RELAY_DEVICES];
	unsigned ways = 0;

	for (int i = 0; i < devices && ways < NTM_RELAY_DEVICES; i++) {
		unsigned by = device[i].ifindex;

		if (!device[i].ethernet)
			continue;
		if (xdp->mode == RS_XDP_NATIVE) {
			unsigned j = 0;

			by = device[i].parent ? device[i].parent : by;
			while (j < xdp->links && (xdp->link[j].ifindex != by || xdp->link[j].fd < 0))
				j++;
			if (j == xdp->links)
				continue;
		}
		way[ways++] = (struct rs_relay_device){
			device[i].ifindex,
			{.ifindex = by, .vlan = by == device[i].ifindex ? 0 : device[i].vlan}};
	}
	rs_relay_map_devices(xdp->rs->map, way, ways);
}

/* ---- attaching */

static int program_of(const struct rs_xdp *xdp, enum rs_xdp_mode mode)
{
	return bpf_program__fd(mode == RS_XDP_NATIVE ? xdp->bpf->progs.rs_relay
						     : xdp->bpf->progs.rs_relay_skb);
}

/* NULL: nothing is pinned. */
static const char *pin_path(const struct rs_xdp *xdp, unsigned layout, unsigned ifindex, char buf[PATH_MAX])
{
	char name[32];

	snprintf(name, sizeof(name), RS_PIN_LINK "%u", ifindex);
	return xdp->pinned && !rs_pin_set_path(buf, xdp->rs->config.pin_dir, layout, name) ? buf : NULL;
}

/* An earlier ntm-rs, of any layout, may have left a link for this interface; else it is made. */
static int link_attach(struct rs_xdp *xdp, struct rs_xdp_link *link, enum rs_xdp_mode mode)
{
	unsigned layout[RS_LAYOUTS_MAX];
	char pin[PATH_MAX], from[PATH_MAX];
	const char *own = pin_path(xdp, NTM_RELAY_LAYOUT, link->ifindex, pin);
	int n = own ? rs_pin_sets(xdp->rs->config.pin_dir, layout, RS_LAYOUTS_MAX) : 0, err;

	for (int i = 0; i < n; i++) {
		if (!pin_path(xdp, layout[i], link->ifindex, from))
			continue;
		err = rs_xdp_link_adopt(link, program_of(xdp, mode), mode, from, own);
		if (!err)
			return 0;
		rs_xdp_link_drop(from);
	}
	return rs_xdp_link_attach(link, program_of(xdp, mode), mode, own);
}

static void link_close(struct rs_xdp *xdp, struct rs_xdp_link *link)
{
	char pin[PATH_MAX];

	rs_xdp_link_close(link, link->fd < 0 ? NULL : pin_path(xdp, NTM_RELAY_LAYOUT, link->ifindex, pin));
}

static bool link_is_wanted(const struct rs_xdp_link *link, const struct rs_xdp_link *wanted, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (wanted[i].ifindex == link->ifindex)
			return rs_xdp_link_is_there(link);
	}
	return false;
}

/* Keeps what is attached already in this mode. Returns how many interfaces could not be had. */
static unsigned links_attach(struct rs_xdp *xdp, enum rs_xdp_mode mode, const struct rs_device *device,
			     int devices)
{
	struct rs_xdp_link wanted[RS_INTERFACES_MAX], was[RS_INTERFACES_MAX];
	unsigned count = links_wanted(xdp, mode, device, devices, wanted), was_count = xdp->links, failed = 0;

	memcpy(was, xdp->link, sizeof(was));
	for (unsigned i = 0; i < was_count; i++) {
		if (xdp->mode != mode || !link_is_wanted(&was[i], wanted, count))
			link_close(xdp, &was[i]);
	}
	xdp->links = count;
	xdp->mode = mode;
	for (unsigned i = 0; i < count; i++) {
		struct rs_xdp_link *link = &xdp->link[i];
		unsigned j = 0;

		while (j < was_count && (was[j].fd < 0 || was[j].ifindex != wanted[i].ifindex))
			j++;
		*link = j < was_count ? was[j] : wanted[i];
		if (j == was_count && !link->why[0])
			link_attach(xdp, link, mode);
		failed += link->fd < 0;
	}
	return failed;
}

/* In the mode that pinned links are attached in nothing is lost by a restart. */
static void on_pinned_link(void *ctx, const char *path, unsigned ifindex)
{
	enum rs_xdp_mode *mode = ctx, is = rs_xdp_link_mode(ifindex);

	(void)path;
	if (is != RS_XDP_OFF)
		*mode = is;
}

static enum rs_xdp_mode mode_first(struct rs_xdp *xdp, const struct rs_device *device, int devices)
{
	enum rs_xdp_mode mode = xdp->rs->config.xdp, pinned = RS_XDP_OFF;
	unsigned layout[RS_LAYOUTS_MAX], links;
	struct rs_xdp_link link[RS_INTERFACES_MAX];
	int n;

	if (mode != RS_XDP_AUTO)
		return mode;
	links = links_wanted(xdp, RS_XDP_NATIVE, device, devices, link);
	if (has_veth(link, links, device, devices)) {
		rs_xdp_why_set(xdp, "native XDP on veth can lose what is sent there");
		return RS_XDP_GENERIC;
	}
	n = xdp->pinned ? rs_pin_sets(xdp->rs->config.pin_dir, layout, RS_LAYOUTS_MAX) : 0;
	for (int i = 0; i < n; i++)
		rs_pin_links(xdp->rs->config.pin_dir, layout[i], on_pinned_link, &pinned);
	if (pinned == RS_XDP_GENERIC)
		rs_xdp_why_set(xdp, "attached so before");
	return pinned == RS_XDP_OFF ? RS_XDP_NATIVE : pinned;
}

void rs_xdp_interfaces_take(struct rs_xdp *xdp, enum rs_xdp_mode mode)
{
	struct rs_device *device = calloc(RS_DEVICES_MAX, sizeof(*device));
	int devices = device ? rs_devices_read(device) : -ENOMEM;
	unsigned failed;

	if (devices < 0) {
		ntm_error("cannot list the interfaces: %s", strerror(-devices));
		free(device);
		return;
	}
	if (mode == RS_XDP_AUTO && xdp->mode == RS_XDP_OFF) {
		xdp->why[0] = '\0';
		mode = mode_first(xdp, device, devices);
	} else if (mode == RS_XDP_AUTO) {
		mode = xdp->mode;
	}
	failed = links_attach(xdp, mode, device, devices);
	if (failed && mode == RS_XDP_NATIVE && xdp->rs->config.xdp == RS_XDP_AUTO) {
		for (unsigned i = 0; i < xdp->links; i++) {
			if (xdp->link[i].fd < 0)
				rs_xdp_why_set(xdp, "%s: %s", xdp->link[i].name, xdp->link[i].why);
		}
		failed = links_attach(xdp, RS_XDP_GENERIC, device, devices);
	}
	ways_out_put(xdp, device, devices);
	rs_user_relay_gro(xdp->rs, xdp->mode != RS_XDP_GENERIC || failed == xdp->links ||
					   all_veth(xdp, device, devices));
	if (failed == xdp->links) {
		if (!xdp->links)
			rs_xdp_why_set(xdp, xdp->rs->config.interfaces ?
					       "none of the interfaces in the configuration is there" :
					       "no interface but the loopback device holds a listen address");
		else
			rs_xdp_why_set(xdp, "%s: %s", xdp->link[0].name, xdp->link[0].why);
		xdp->mode = RS_XDP_OFF;
	}
	free(device);
	tell(xdp);
}

void rs_xdp_interfaces_leave(struct rs_xdp *xdp, const char *why)
{
	for (unsigned i = 0; i < xdp->links; i++) {
		link_close(xdp, &xdp->link[i]);
		snprintf(xdp->link[i].why, sizeof(xdp->link[i].why), "%s", why);
	}
	xdp->mode = RS_XDP_OFF;
	rs_user_relay_gro(xdp->rs, true);
	tell(xdp);
}

void rs_xdp_locals_put(struct rs_xdp *xdp)
{
	struct wanted wanted;

	addresses_read(xdp, &wanted);
}
