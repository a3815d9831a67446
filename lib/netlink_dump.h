/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * netlink_dump.h - lists that the kernel gives in several messages while what they list may change. For
 * netlink_watch.c and netlink_default.c.
 */
#ifndef NTM_LIB_NETLINK_DUMP_H
#define NTM_LIB_NETLINK_DUMP_H

#include <libmnl/libmnl.h>
#include <stdbool.h>

/*
 * Whether something has changed since the list was begun: entries may be missing, or be there twice. libmnl
 * would end there, without the rest of the list, so it gets the `len` bytes at buf without the mark.
 */
static inline bool netlink_interrupted(void *buf, ssize_t len)
{
	struct nlmsghdr *nlh = buf;
	bool interrupted = false;

	for (int left = (int)len; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		interrupted |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
		nlh->nlmsg_flags &= ~NLM_F_DUMP_INTR;
	}
	return interrupted;
}

#endif
