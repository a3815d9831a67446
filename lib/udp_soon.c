/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * udp_soon.c - what one datagram makes a server send to one place leaves as one: an answer and the challenge
 * of the address it goes to; a node's Route Direction and the Direction Response. Most of what sending costs
 * is the kernel's way to the device, and with UDP_SEGMENT it is gone once. Before it: session.c; behind it:
 * udp.c.
 *
 * Segments have one size, but the last may be shorter. So the longer of two has to come first; who cares
 * sends in this order.
 */
#include <errno.h>
#include <string.h>

#include <ntm/limits.h>

#include "endpoint.h"
#include "udp.h"

#define SOON_MAX (4 * NTM_CONTROL_MAX) /* bytes that wait */

static _Thread_local struct {
	bool begun; /* receive runs */
	struct ntm_flow to;
	size_t len, size; /* of all that wait (0: none do), and of each but the last */
	uint8_t data[SOON_MAX];
} soon;

static void flush(void)
{
	struct ntm_udp *udp = soon.to.udp;
	unsigned sent;

	if (!soon.len)
		return;
	/* A device that cannot will not be able to later. */
	if (ntm_udp_send_train(&soon.to, soon.data, soon.len, soon.size, udp->segment, &sent) == -EIO) {
		udp->segment = false;
		ntm_udp_send_train(&soon.to, soon.data, soon.len, soon.size, false, &sent);
	}
	soon.len = 0;
}

void ntm_udp_soon_begin(void)
{
	soon.begun = true;
}

void ntm_udp_soon_end(void)
{
	flush();
	soon.begun = false;
}

static bool is_to(const struct ntm_flow *a, const struct ntm_flow *b)
{
	return a->udp == b->udp && a->ifindex == b->ifindex && ntm_endpoint_equal(&a->remote, &b->remote) &&
	       ntm_addr_equal(&a->local, &b->local);
}

/* Whether these bytes can stand behind those that wait. */
static bool fits(const struct ntm_flow *to, size_t len)
{
	return len <= soon.size && soon.len % soon.size == 0 && soon.len + len <= sizeof(soon.data) &&
	       is_to(to, &soon.to);
}

void ntm_udp_send_soon(const struct ntm_flow *to, const void *buf, size_t len)
{
	if (soon.len && !fits(to, len))
		flush();
	if (!soon.begun || !len || len > sizeof(soon.data) || !to->udp->segment) {
		ntm_udp_send(to, buf, len);
		return;
	}
	if (!soon.len) {
		soon.to = *to;
		soon.size = len;
	}
	memcpy(soon.data + soon.len, buf, len);
	soon.len += len;
}
