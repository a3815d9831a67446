/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ping.c - ntmctl ping: round trips through a tunnel. ntmd sends them as path control; an event comes back
 * for each, and at the end the sum.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ntmctl.h"

#define COUNT_DEFAULT 5
#define COUNT_MAX 100000
#define INTERVAL_DEFAULT_MS 1000
#define INTERVAL_MIN_S 0.01
#define INTERVAL_MAX_S 3600

struct ping {
	const struct ntmctl *ctl;
	char fqdn[NTM_FQDN_MAX + 1];
	struct json_object *replies; /* events, for the one JSON document */
	struct json_object *sum;
};

/* Options that are not given leave the default. */
static int read_count(const struct ntmctl *ctl, int64_t *ret_count)
{
	char *end;
	long long count;

	if (!ctl->count)
		return NTMCTL_DONE;
	errno = 0;
	count = strtoll(ctl->count, &end, 10);
	if (errno || end == ctl->count || *end || count < 1 || count > COUNT_MAX)
		return ntmctl_usage(ctl, "-c %s: a number from 1 to %d is wanted", ctl->count, COUNT_MAX);
	*ret_count = count;
	return NTMCTL_DONE;
}

static int read_interval(const struct ntmctl *ctl, int64_t *ret_ms)
{
	char *end;
	double seconds;

	if (!ctl->interval)
		return NTMCTL_DONE;
	seconds = strtod(ctl->interval, &end);
	if (end == ctl->interval || *end || !isfinite(seconds) || seconds < INTERVAL_MIN_S ||
	    seconds > INTERVAL_MAX_S)
		return ntmctl_usage(ctl, "-i %s: seconds from %.2f to %d are wanted", ctl->interval,
				    INTERVAL_MIN_S, INTERVAL_MAX_S);
	*ret_ms = (int64_t)(seconds * 1000 + 0.5);
	return NTMCTL_DONE;
}

/* "reply from cn.ntm.example: seq=1 time=0.412 ms via direct 203.0.113.5:6866" */
static void print_reply(const char *fqdn, struct json_object *event)
{
	static const struct ntm_print_column parts[] = {
		{ "seq", "seq=", NTM_PRINT_COUNT },
		{ "rtt_us", "time=", NTM_PRINT_MS },
		{ "route", "via ", NTM_PRINT_PLAIN },
		{ "remote", "", NTM_PRINT_PLAIN },
		{ NULL, NULL, NTM_PRINT_PLAIN },
	};
	struct json_object *text = ntmctl_join(event, parts);

	if (json_object_get_boolean(ntm_print_find(event, "timeout")))
		printf("no reply from %s: seq=%" PRId64 "\n", fqdn,
		       json_object_get_int64(ntm_print_find(event, "seq")));
	else
		printf("reply from %s: %s\n", fqdn, json_object_get_string(text));
	fflush(stdout); /* each line when it happens */
	json_object_put(text);
}

static void print_sum(const char *fqdn, struct json_object *sum)
{
	int64_t sent = json_object_get_int64(ntm_print_find(sum, "sent"));
	int64_t received = json_object_get_int64(ntm_print_find(sum, "received"));
	double lost = sent > 0 ? 100.0 * (double)(sent - received) / (double)sent : 0;

	printf("%s: %" PRId64 " sent, %" PRId64 " received, %.3g %% lost", fqdn, sent, received, lost);
	if (received > 0)
		printf(", round trip min/avg/max %.3f/%.3f/%.3f ms",
		       json_object_get_double(ntm_print_find(sum, "min_us")) / 1000,
		       json_object_get_double(ntm_print_find(sum, "avg_us")) / 1000,
		       json_object_get_double(ntm_print_find(sum, "max_us")) / 1000);
	putchar('\n');
}

static void take_part(void *arg, struct json_object *part)
{
	struct ping *ping = arg;

	if (!ntm_print_find(part, "seq")) {
		json_object_put(ping->sum);
		ping->sum = json_object_get(part);
	} else if (ping->ctl->mode == NTM_PRINT_TEXT) {
		print_reply(ping->fqdn, part);
	} else {
		json_object_array_add(ping->replies, json_object_get(part));
	}
}

static int finish(struct ping *ping)
{
	if (!json_object_is_type(ping->sum, json_type_object))
		return ntmctl_fail("ntmd ended before all pings were done");
	if (ping->ctl->mode == NTM_PRINT_TEXT) {
		print_sum(ping->fqdn, ping->sum);
	} else {
		json_object_object_add(ping->sum, "replies", json_object_get(ping->replies));
		ntm_print_json(stdout, ping->ctl->mode, ping->sum);
	}
	if (json_object_get_int64(ntm_print_find(ping->sum, "received")) > 0)
		return NTMCTL_DONE;
	return ntmctl_fail("nothing came back from %s", ping->fqdn);
}

int ntmctl_ping(const struct ntmctl *ctl)
{
	struct ping ping = { .ctl = ctl };
	struct json_object *request;
	int64_t count = COUNT_DEFAULT, interval_ms = INTERVAL_DEFAULT_MS;
	int r;

	r = ntmctl_read_name(ctl, ctl->argv[0], ping.fqdn);
	if (r == NTMCTL_DONE)
		r = read_count(ctl, &count);
	if (r == NTMCTL_DONE)
		r = read_interval(ctl, &interval_ms);
	if (r != NTMCTL_DONE)
		return r;
	ping.replies = json_object_new_array();
	request = ntmctl_request("ping");
	json_object_object_add(request, "fqdn", json_object_new_string(ping.fqdn));
	json_object_object_add(request, "count", json_object_new_int64(count));
	json_object_object_add(request, "interval_ms", json_object_new_int64(interval_ms));
	r = ntmctl_follow(ctl, request, take_part, &ping);
	if (r == NTMCTL_DONE)
		r = finish(&ping);
	json_object_put(ping.sum);
	json_object_put(ping.replies);
	return r;
}
