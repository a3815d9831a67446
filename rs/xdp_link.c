/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp_link.c - attaches the XDP program to one interface, as a pinned link (xdp_link.h). Called by xdp.c.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "xdp_link.h"

const char *rs_xdp_mode_name(enum rs_xdp_mode mode)
{
	static const char *const name[] = {
		[RS_XDP_AUTO] = "auto",
		[RS_XDP_NATIVE] = "native",
		[RS_XDP_GENERIC] = "generic",
		[RS_XDP_OFF] = "user",
	};

	return name[mode];
}

/* What someone reads who wonders why an interface is not as it could be. */
static void refused(struct rs_xdp_link *link, enum rs_xdp_mode mode, int err)
{
	const char *name = rs_xdp_mode_name(mode);

	if (err == -EBUSY || err == -EEXIST)
		snprintf(link->why, sizeof(link->why),
			 "another XDP program is attached there: `ip link show %s`", link->name);
	else if (err == -EPERM)
		snprintf(link->why, sizeof(link->why),
			 "no permission for %s XDP: CAP_NET_ADMIN and CAP_BPF are needed", name);
	else if (err == -EOPNOTSUPP)
		snprintf(link->why, sizeof(link->why), "its driver has no %s XDP", name);
	else
		snprintf(link->why, sizeof(link->why), "%s XDP is refused: %s", name, strerror(-err));
}

/* It works without, until we end. */
static void pin_at(struct rs_xdp_link *link, const char *pin)
{
	int err;

	unlink(pin);
	err = bpf_obj_pin(link->fd, pin);
	if (err)
		snprintf(link->why, sizeof(link->why), "cannot be pinned: %s", strerror(-err));
}

int rs_xdp_link_attach(struct rs_xdp_link *link, int prog_fd, enum rs_xdp_mode mode, const char *pin)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = mode == RS_XDP_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(prog_fd, (int)link->ifindex, BPF_XDP, &opts);

	if (fd < 0) {
		refused(link, mode, fd);
		return fd;
	}
	link->fd = fd;
	link->mode = mode;
	link->why[0] = '\0';
	if (pin)
		pin_at(link, pin);
	return 0;
}

/* The interface of a link; 0: its device is gone. */
static unsigned link_ifindex(int fd)
{
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != BPF_LINK_TYPE_XDP)
		return 0;
	return info.xdp.ifindex;
}

enum rs_xdp_mode rs_xdp_link_mode(unsigned ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	if (bpf_xdp_query((int)ifindex, 0, &opts) || opts.attach_mode == XDP_ATTACHED_NONE)
		return RS_XDP_OFF;
	return opts.attach_mode == XDP_ATTACHED_SKB ? RS_XDP_GENERIC : RS_XDP_NATIVE;
}

int rs_xdp_link_adopt(struct rs_xdp_link *link, int prog_fd, enum rs_xdp_mode mode, const char *from,
		      const char *pin)
{
	int err, fd = bpf_obj_get(from);

	if (fd < 0)
		return fd;
	if (link_ifindex(fd) != link->ifindex)
		err = -ENODEV;
	else if (rs_xdp_link_mode(link->ifindex) != mode)
		err = -EMEDIUMTYPE;
	else
		err = bpf_link_update(fd, prog_fd, NULL);
	if (err) {
		close(fd);
		return err;
	}
	link->fd = fd;
	link->mode = mode;
	link->why[0] = '\0';
	if (strcmp(from, pin)) {
		pin_at(link, pin);
		unlink(from);
	}
	return 0;
}

bool rs_xdp_link_is_there(const struct rs_xdp_link *link)
{
	return link->fd >= 0 && link_ifindex(link->fd) == link->ifindex;
}

void rs_xdp_link_drop(const char *pin)
{
	int fd = bpf_obj_get(pin);

	/* Only to remove the pin would detach it some time later. */
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	unlink(pin);
}

void rs_xdp_link_close(struct rs_xdp_link *link, const char *pin)
{
	if (pin)
		rs_xdp_link_drop(pin);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->mode = RS_XDP_OFF;
}
