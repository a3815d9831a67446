/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * socket_buffer.c - the buffers of the node's sockets (lib/udp.c). Without CAP_NET_ADMIN they are as large as
 * the system lets everyone have, which is often little: if packets are lost for that, the user is told what
 * to raise.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "log.h"
#include "ntmd.h"

#define WANTED (4 << 20) /* bytes: what lib/udp.c asks for */
#define CHECK_MS 5000

static unsigned size_of(const struct ntm_udp *udp, int option)
{
	socklen_t len = sizeof(int);
	int size;

	/* The kernel answers with twice what one may use: the rest is for its own. */
	return udp->fd < 0 || getsockopt(udp->fd, SOL_SOCKET, option, &size, &len) ? 0 : (unsigned)size / 2;
}

static unsigned smallest(const struct ntmd *ntmd, int option)
{
	unsigned size4 = size_of(&ntmd->udp4, option), size6 = size_of(&ntmd->udp6, option);

	return !size4 || (size6 && size6 < size4) ? size6 : size4;
}

static uint64_t overruns(struct ntmd *ntmd)
{
	ntm_udp_overruns_read(&ntmd->udp4);
	ntm_udp_overruns_read(&ntmd->udp6);
	return ntmd->udp4.overruns + ntmd->udp6.overruns;
}

static void check(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd *ntmd = arg;

	(void)fd;
	(void)what;
	if (!overruns(ntmd)) {
		ntm_timer_set_ms(ntmd->buffer_timer, CHECK_MS);
		return;
	}
	ntm_warn(
		"packets are lost because the receive buffer of %u KiB is full, and ntmd may not enlarge it: as root, "
		"`sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d`, then start again",
		smallest(ntmd, SO_RCVBUF) / 1024, WANTED, WANTED);
}

int ntmd_socket_buffer_watch(struct ntmd *ntmd)
{
	if (smallest(ntmd, SO_RCVBUF) >= WANTED)
		return 0;
	ntmd->buffer_timer = ntm_timer_new(ntmd->loop.base, check, ntmd);
	if (!ntmd->buffer_timer)
		return -ENOMEM;
	ntm_timer_set_ms(ntmd->buffer_timer, CHECK_MS);
	return 0;
}

void ntmd_socket_buffer_clear(struct ntmd *ntmd)
{
	if (ntmd->buffer_timer)
		event_free(ntmd->buffer_timer);
	ntmd->buffer_timer = NULL;
}

struct json_object *ntmd_socket_buffer_json(struct ntmd *ntmd)
{
	struct json_object *o = json_object_new_object();
	unsigned receive = smallest(ntmd, SO_RCVBUF), send = smallest(ntmd, SO_SNDBUF);
	char text[96];

	json_object_object_add(o, "receive_bytes", json_object_new_int64(receive));
	json_object_object_add(o, "send_bytes", json_object_new_int64(send));
	json_object_object_add(o, "overruns", json_object_new_int64((int64_t)overruns(ntmd)));
	if (receive < WANTED || send < WANTED) {
		snprintf(text, sizeof(text), "sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d", WANTED,
			 WANTED);
		json_object_object_add(o, "advice", json_object_new_string(text));
	}
	return o;
}
