/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * command_ping.c - `ntmctl ping`: round trips of path control messages, over whatever route the path has; a
 * direction first where there is no tunnel.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "endpoint.h"
#include "path.h"

#define COUNT_MAX 100000
#define TIMEOUT_MS 2000

struct ntmd_ping {
	LIST_ENTRY(ntmd_ping) next;
	struct ntmd_cn *cn;
	struct ntm_control_request *request;
	struct event *timer;
	unsigned count, sent, received;
	int64_t interval_ms, sent_us, min_us, max_us, sum_us;
	uint32_t number; /* of the one that is out; 0: none */
};

static void ping_free(struct ntmd_ping *ping)
{
	struct ntmd_cn *cn = ping->cn;

	LIST_REMOVE(ping, next);
	event_free(ping->timer);
	free(ping);
	ntmd_cn_release(cn);
}

static void gone(void *arg)
{
	ping_free(arg);
}

static void finish(struct ntmd_ping *ping)
{
	struct json_object *o = json_object_new_object();
	struct ntm_control_request *request = ping->request;

	json_object_object_add(o, "sent", json_object_new_int64(ping->sent));
	json_object_object_add(o, "received", json_object_new_int64(ping->received));
	if (ping->received) {
		json_object_object_add(o, "min_us", json_object_new_int64(ping->min_us));
		json_object_object_add(o, "avg_us", json_object_new_int64(ping->sum_us / ping->received));
		json_object_object_add(o, "max_us", json_object_new_int64(ping->max_us));
	}
	ntm_control_on_gone(request, NULL, NULL);
	ping_free(ping);
	ntm_control_reply(request, o);
}

static void next_send(struct ntmd_ping *ping)
{
	struct ntmd_path *path = ping->cn->path;
	uint8_t body[NTM_MSG_HEADER_LEN];

	if (ping->sent == ping->count) {
		finish(ping);
		return;
	}
	ping->sent++;
	ping->number = (uint32_t)ntm_crypto_random_u64() | 1;
	ping->sent_us = ntm_loop_now_us();
	if (path && path->active >= 0) {
		ntmd_path_control_send(path, &path->route[path->active]->flow, NTM_MSG_KEEPALIVE_REQUEST,
				       ping->number, body, 0);
		if (path->second >= 0)
			ntmd_path_control_send(path, &path->route[path->second]->flow,
					       NTM_MSG_KEEPALIVE_REQUEST, ping->number, body, 0);
	}
	ntm_timer_set_ms(ping->timer, TIMEOUT_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_ping *ping = arg;

	(void)fd;
	(void)what;
	if (ping->number) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "seq", json_object_new_int64(ping->sent));
		json_object_object_add(o, "timeout", json_object_new_boolean(1));
		ntm_control_event(ping->request, o);
		ping->number = 0;
	}
	next_send(ping);
}

void ntmd_ping_response(struct ntmd_cn *cn, uint32_t transaction)
{
	struct ntmd_ping *ping;
	struct ntmd_route *route;
	struct json_object *o;
	char text[NTM_ENDPOINT_TEXT];
	int64_t rtt;

	LIST_FOREACH(ping, &cn->ping, next)
		if (ping->number && ping->number == transaction)
			break;
	if (!ping)
		return;
	rtt = ntm_loop_now_us() - ping->sent_us;
	ping->number = 0;
	ping->received++;
	ping->sum_us += rtt;
	if (ping->received == 1 || rtt < ping->min_us)
		ping->min_us = rtt;
	if (rtt > ping->max_us)
		ping->max_us = rtt;
	route = cn->path && cn->path->active >= 0 ? cn->path->route[cn->path->active] : NULL;
	o = json_object_new_object();
	json_object_object_add(o, "seq", json_object_new_int64(ping->sent));
	json_object_object_add(o, "rtt_us", json_object_new_int64(rtt));
	json_object_object_add(o, "route",
			       json_object_new_string(!route			       ? "none" :
						      route->kind == NTM_ROUTE_RELAY ? "relay" :
										       "direct"));
	if (route)
		json_object_object_add(
			o, "remote", json_object_new_string(ntm_endpoint_format(&route->flow.remote, text)));
	ntm_control_event(ping->request, o);
	ntm_timer_set_ms(ping->timer, ping->sent == ping->count ? 0 : ping->interval_ms);
}

void ntmd_ping_settled(struct ntmd_cn *cn, const char *error)
{
	struct ntmd_ping *ping, *next;

	for (ping = LIST_FIRST(&cn->ping); ping; ping = next) {
		next = LIST_NEXT(ping, next);
		if (ping->sent)
			continue; /* was under way already */
		if (error) {
			struct ntm_control_request *request = ping->request;

			ntm_control_on_gone(request, NULL, NULL);
			LIST_REMOVE(ping, next);
			event_free(ping->timer);
			free(ping);
			ntm_control_fail(request, "no tunnel to %s: %s", cn->fqdn, error);
		} else {
			next_send(ping);
		}
	}
}

void ntmd_ping_handle(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	int64_t count = ntm_control_arg_int(args, "count", 5),
		interval = ntm_control_arg_int(args, "interval_ms", 1000);
	const char *name = ntm_control_arg_string(args, "fqdn");
	char fqdn[NTM_FQDN_MAX + 1];
	struct ntmd *ntmd = ctx;
	struct ntmd_ping *ping;
	struct ntmd_cn *cn;

	if (!name || ntm_name_normalise(fqdn, name) || count < 1 || count > COUNT_MAX || interval < 0 ||
	    interval > 3600000) {
		ntm_control_fail(
			request,
			"expected the name of a node, a count of 1 to %d and an interval of at most an hour",
			COUNT_MAX);
		return;
	}
	cn = ntmd_cn_find(ntmd, fqdn);
	if (!cn)
		cn = ntmd_cn_new(ntmd, fqdn, NULL);
	ping = cn ? calloc(1, sizeof(*ping)) : NULL;
	if (ping)
		ping->timer = ntm_timer_new(ntmd->loop.base, on_timer, ping);
	if (!ping || !ping->timer) {
		free(ping);
		if (cn)
			ntmd_cn_release(cn);
		ntm_control_fail(request, "out of memory");
		return;
	}
	ping->cn = cn;
	ping->request = request;
	ping->count = (unsigned)count;
	ping->interval_ms = interval;
	LIST_INSERT_HEAD(&cn->ping, ping, next);
	ntm_control_on_gone(request, gone, ping);
	if (cn->path && cn->path->state == NTMD_PATH_UP)
		next_send(ping);
	else if (!cn->path && !cn->next_path)
		ntmd_direction_start(cn, NTM_REASON_NAME);
}
