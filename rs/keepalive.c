/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * keepalive.c - answers a DC's Keep Alive, and tells the DCs every NTM_RELAY_REPORT_S seconds how loaded this
 * relay is (dc/path_select.c weighs it) and, by the boot ID, whether it has lost its paths. Codecs:
 * lib/msg_keepalive.c, lib/msg_relay.c.
 */
#include <errno.h>
#include <sys/resource.h>

#include "loop.h"
#include "relay_map.h"
#include "rs.h"
#include "stats.h"

#define LOAD_MIN_US 1000 /* less says nothing: what was measured before is told again */

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

/* All that was relayed, and the CPU time of it: of all threads, and of XDP's programs as far as it is
 * sampled. */
struct totals {
	uint64_t packets, bytes, cpu_ns;
};

static void totals_read(const struct rs *rs, struct totals *ret_totals)
{
	struct ntm_relay_load xdp;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	rs_relay_map_load(rs->map, &xdp);
	ret_totals->packets = rs_path_count(&rs->packets) + xdp.packets;
	ret_totals->bytes = rs_path_count(&rs->bytes) + xdp.bytes;
	ret_totals->cpu_ns = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
			     (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
	if (xdp.samples)
		ret_totals->cpu_ns +=
			(uint64_t)((double)xdp.sampled_ns / (double)xdp.samples * (double)xdp.seen);
}

/* An estimate, and maps that were replaced, may seem to go back. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static uint64_t per_second(uint64_t count, int64_t interval_us)
{
	return count * 1000000 / (uint64_t)interval_us;
}

static void load_measure(struct rs *rs)
{
	int64_t now_us = ntm_loop_now_us(), interval_us = now_us - rs->load_us;
	uint64_t packets_per_s;
	struct totals totals;

	if (interval_us < LOAD_MIN_US)
		return;
	totals_read(rs, &totals);
	packets_per_s = per_second(since(totals.packets, rs->load_packets), interval_us);
	rs->load.packets_per_s = packets_per_s > UINT32_MAX ? UINT32_MAX : (uint32_t)packets_per_s;
	rs->load.bytes_per_s = per_second(since(totals.bytes, rs->load_bytes), interval_us);
	rs->load.cpu_permille = (uint32_t)(since(totals.cpu_ns, rs->load_cpu_ns) / (uint64_t)interval_us);
	rs->load_us = now_us;
	rs->load_cpu_ns = totals.cpu_ns;
	rs->load_packets = totals.packets;
	rs->load_bytes = totals.bytes;
}

void rs_keepalive_report(struct rs *rs)
{
	struct ntm_relay_report notice = {.boot_id = rs->boot_id, .draining = rs->draining};
	struct rs_dc *dc;

	load_measure(rs);
	rs->load.paths = rs->paths.count;
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

static void report(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	rs_keepalive_report(arg);
}

int rs_keepalive_open(struct rs *rs)
{
	struct totals totals;

	totals_read(rs, &totals);
	rs->load_us = ntm_loop_now_us();
	rs->load_cpu_ns = totals.cpu_ns;
	rs->load_packets = totals.packets; /* XDP counts on while there is no ntm-rs */
	rs->load_bytes = totals.bytes;
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
