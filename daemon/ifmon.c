/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ifmon.c - the kernel tells of links, addresses and routes that come and go; handover.c acts on it. Never a poll.
 */
#include <errno.h>

#include "log.h"
#include "bpf_engine.h"
#include "path.h"

static void changed(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct ntmd *ntmd = arg;

	ntmd_handover_network_changed(ntmd);
	ntmd_bpf_network_changed(ntmd->engine);
}

static void event(void *ctx, const struct ntm_netlink_event *event)
{
	struct ntmd *ntmd = ctx;

	if (event && event->ifindex && event->ifindex == ntmd_interface_index(ntmd))
		return; /* our own device */
	/* What comes in one batch is one change: act when the batch has been read. */
	ntm_timer_set_ms(ntmd->network_timer, 0);
}

int ntmd_ifmon_open(struct ntmd *ntmd)
{
	ntmd->network_timer = ntm_timer_new(ntmd->loop.base, changed, ntmd);
	if (!ntmd->network_timer)
		return -ENOMEM;
	return ntm_netlink_watch_open(&ntmd->watch, ntmd->loop.base, event, ntmd);
}

void ntmd_ifmon_close(struct ntmd *ntmd)
{
	if (ntmd->watch)
		ntm_netlink_watch_close(ntmd->watch);
	ntmd->watch = NULL;
	if (ntmd->network_timer)
		event_free(ntmd->network_timer);
	ntmd->network_timer = NULL;
}
