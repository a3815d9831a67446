/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ifmon.c - the kernel tells of links, addresses and routes that come and go; handover.c acts on it. Never a
 * poll.
 */
#include <errno.h>

#include "crypto.h"
#include "log.h"
#include "bpf_engine.h"
#include "path.h"

#define CHANGES 50 /* at once without waiting */
#define CHANGE_MS 25 /* in the long run not more than one in so long, */
#define CHANGE_PATHS 16 /* and 1 ms more for so many paths */

static void changed(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct ntmd *ntmd = arg;

	ntmd_handover_network_changed(ntmd);
	ntmd_bpf_network_changed(ntmd->engine);
}

/*
 * A handover is a handful of changes, and none of them waits. A link that goes up and down all the time must
 * not keep us, our peers and the DC busy: then changes are gathered for some time, longer where there are
 * more paths, and with jitter.
 */
static int64_t wait_ms(struct ntmd *ntmd)
{
	int64_t now = ntm_loop_now_ms(), each = CHANGE_MS + ntmd->paths / CHANGE_PATHS;

	if (ntmd->network_due_ms < now - CHANGES * each)
		ntmd->network_due_ms = now - CHANGES * each;
	ntmd->network_due_ms += each;
	if (ntmd->network_due_ms <= now)
		return 0;
	return ntmd->network_due_ms - now + ntm_crypto_random_below((uint32_t)each + 1);
}

static void event(void *ctx, const struct ntm_netlink_event *event)
{
	struct ntmd *ntmd = ctx;

	if (event && event->ifindex && event->ifindex == ntmd_interface_index(ntmd))
		return; /* our own device */
	/* What comes in one batch is one change: act when the batch has been read. */
	if (!event_pending(ntmd->network_timer, EV_TIMEOUT, NULL))
		ntm_timer_set_ms(ntmd->network_timer, wait_ms(ntmd));
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
