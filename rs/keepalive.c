/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * keepalive.c - answers a DC's Keep Alive, and tells the DCs every NTM_RELAY_REPORT_S seconds how loaded this
 * relay is (dc/path_select.c weighs it) and, by the boot ID, whether it has lost its paths. Codecs:
 * lib/msg_keepalive.c, lib/msg_relay.c.
 */
#include <errno.h>
#include <sys/resource.h>

#include "loop.h"
#include "rs.h"
#include "stats.h"

void rs_keepalive_handle(struct rs *rs, const struct ntm_session_from *from,
			 const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN];
	struct ntm_keepalive keepalive;
	int r;

	(void)rs;
	r = ntm_msg_keepalive_parse(&keepalive, message->fields, message->len);
	if (r) {
		ntm_drop_count(r);
		ntm_session_refuse(from, NTM_ERROR_MALFORMED, "Keep Alive: %s", ntm_drop_text(r));
		return;
	}
	ntm_session_answer(from, NTM_MSG_KEEPALIVE_RESPONSE, body, 0);
}

/* CPU time of this process so far, microseconds. */
static int64_t cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec +
	       usage.ru_stime.tv_usec;
}

static uint64_t per_second(uint64_t count, int64_t interval_us)
{
	return count * 1000000 / (uint64_t)interval_us;
}

static void load_measure(struct rs *rs)
{
	int64_t now_us = ntm_loop_now_us(), now_cpu_us = cpu_us(), interval_us = now_us - rs->load_us;
	uint64_t packets_per_s;

	if (interval_us <= 0)
		return;
	packets_per_s = per_second(rs->packets - rs->load_packets, interval_us);
	rs->load.packets_per_s = packets_per_s > UINT32_MAX ? UINT32_MAX : (uint32_t)packets_per_s;
	rs->load.bytes_per_s = per_second(rs->bytes - rs->load_bytes, interval_us);
	rs->load.paths = rs->paths.count;
	rs->load.cpu_permille = (uint32_t)((now_cpu_us - rs->load_cpu_us) * 1000 / interval_us);
	rs->load_us = now_us;
	rs->load_cpu_us = now_cpu_us;
	rs->load_packets = rs->packets;
	rs->load_bytes = rs->bytes;
}

static void report(evutil_socket_t fd, short what, void *arg)
{
	struct rs *rs = arg;
	struct ntm_relay_report notice = {.boot_id = rs->boot_id};
	struct rs_dc *dc;

	(void)fd;
	(void)what;
	load_measure(rs);
	notice.load = rs->load;
	LIST_FOREACH (dc, &rs->dcs, entry) {
		uint8_t body[NTM_MSG_HEADER_LEN + 128];
		int len = ntm_msg_relay_report_build(body + NTM_MSG_HEADER_LEN,
						     sizeof(body) - NTM_MSG_HEADER_LEN, &notice);

		/* Lost without a session, or on the way: the next one tells all of it again. */
		if (len >= 0 && ntm_peer_is_up(&dc->peer))
			ntm_session_notify(&dc->peer, NTM_MSG_RELAY_REPORT, body, (size_t)len);
	}
	ntm_timer_set_ms(rs->report, NTM_RELAY_REPORT_S * 1000LL);
}

int rs_keepalive_open(struct rs *rs)
{
	rs->load_us = ntm_loop_now_us();
	rs->load_cpu_us = cpu_us();
	rs->report = ntm_timer_new(rs->base, report, rs);
	if (!rs->report)
		return -ENOMEM;
	ntm_timer_set_ms(rs->report, NTM_RELAY_REPORT_S * 1000LL);
	return 0;
}

void rs_keepalive_close(struct rs *rs)
{
	if (rs->report)
		event_free(rs->report);
	rs->report = NULL;
}
