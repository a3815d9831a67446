/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * main.c - ntm-dc: starts, runs and ends the Direction Coordinator. What it does then is in receive.c (nodes,
 * relays, other DCs), dns.c (resolvers) and control.c (ntmctl).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dc/dc.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"

#define DEFAULT_CONFIG "/etc/ntm/dc.conf"
#define TICK_MS 1000

void dc_listen_explain(char *ret_why, size_t why_len, const char *protocol, const struct ntm_endpoint *ep,
		       int err)
{
	char text[NTM_ENDPOINT_TEXT];
	const char *what = "";
	char flag = protocol[0] == 'T' ? 't' : 'u';
	int n;

	ntm_endpoint_format(ep, text);
	n = snprintf(ret_why, why_len, "cannot listen on %s %s: ", protocol, text);
	if (n < 0 || (size_t)n >= why_len)
		return;
	ret_why += n;
	why_len -= (size_t)n;
	switch (err) {
	case -EADDRINUSE:
		snprintf(ret_why, why_len,
			 "the port is taken; `ss -%clpn sport = :%u` shows by which program: stop that one, "
			 "or "
			 "change listen in the configuration",
			 flag, ep->port);
		return;
	case -EADDRNOTAVAIL:
		what = "; no interface of this machine has the address: add it, or change listen in the "
		       "configuration";
		break;
	case -EACCES:
	case -EPERM:
		what = "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
		break;
	case -EAFNOSUPPORT:
		what = "; this kernel has that address family switched off";
		break;
	}
	snprintf(ret_why, why_len, "%s%s", strerror(-err), what);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	int64_t now_ms = ntm_loop_now_ms();
	struct dc *dc = arg;

	(void)fd;
	(void)what;
	dc_keepalive_expire(dc, now_ms);
	dc_path_tick(dc, now_ms);
	dc_relay_tick(dc, now_ms);
	ntm_timer_set_ms(dc->tick, TICK_MS);
}

/* Listen addresses, relays, peers and pools are tied to state; what changed is said, not half done. */
static void reload(void *ctx)
{
	struct dc_config fresh;
	struct dc *dc = ctx;
	char why[512];

	if (dc_config_read(&fresh, dc->config_path, why, sizeof(why))) {
		ntm_error("the configuration was not read again: %s", why);
		return;
	}
	if (fresh.locations_public != dc->config.locations_public) {
		dc->config.locations_public = fresh.locations_public;
		ntm_notice("[dns] locations is %s now", fresh.locations_public ? "public" : "none");
	}
	if (fresh.relays != dc->config.relays || fresh.peers != dc->config.peers ||
	    fresh.listens != dc->config.listens || fresh.dnss != dc->config.dnss ||
	    fresh.dns_rate_limit != dc->config.dns_rate_limit ||
	    memcmp(fresh.listen, dc->config.listen, sizeof(fresh.listen)) ||
	    memcmp(fresh.dns, dc->config.dns, sizeof(fresh.dns)) || strcmp(fresh.zone, dc->config.zone) ||
	    strcmp(fresh.name, dc->config.name) || strcmp(fresh.database, dc->config.database) ||
	    strcmp(fresh.control_socket, dc->config.control_socket) ||
	    memcmp(&fresh.virtual4, &dc->config.virtual4, sizeof(fresh.virtual4)) ||
	    memcmp(&fresh.virtual6, &dc->config.virtual6, sizeof(fresh.virtual6)) ||
	    memcmp(fresh.private_key, dc->config.private_key, NTM_KEY_LEN) ||
	    (fresh.relays && memcmp(fresh.relay, dc->config.relay, fresh.relays * sizeof(*fresh.relay))) ||
	    (fresh.peers && memcmp(fresh.peer, dc->config.peer, fresh.peers * sizeof(*fresh.peer))))
		ntm_warn("the configuration changed in more than [dns] locations: restart ntm-dc for that "
			 "(members, addresses and "
			 "running tunnels stay)");
	dc_config_clear(&fresh);
}

static int listen_all(struct dc *dc, char *ret_why, size_t why_len)
{
	for (unsigned i = 0; i < dc->config.listens; i++) {
		const struct ntm_endpoint *ep = &dc->config.listen[i];
		int err = ntm_udp_open(&dc->udp[dc->udps], dc->loop.base, ep, ntm_endpoint_is4(ep),
				       dc_receive, dc);

		if (err) {
			dc_listen_explain(ret_why, why_len, "UDP", ep, err);
			return err;
		}
		dc->udps++;
	}
	return 0;
}

/* 0, or the exit status with the sentence in ret_why. What was begun is ended by stop(). */
static int start(struct dc *dc, char *ret_why, size_t why_len)
{
	int err = ntm_loop_init(&dc->loop, reload, dc);

	if (!err)
		err = ntm_sessions_init(&dc->sessions, dc->loop.base, dc->config.private_key, &dc_receive_ops,
					dc, dc_receive_socket_for);
	if (!err)
		err = dc_path_open(dc);
	if (err) {
		snprintf(ret_why, why_len, "cannot start: %s", strerror(-err));
		return NTM_EXIT_SYSTEM;
	}
	dc->sessions.requests_max = NTM_REQUESTS_SERVER_MAX;
	if (dc_relay_open(dc, ret_why, why_len) || dc_location_open(dc, ret_why, why_len))
		return NTM_EXIT_CONFIG;
	err = dc_member_open(dc, ret_why, why_len);
	if (err)
		return err == -EINVAL ? NTM_EXIT_CONFIG : NTM_EXIT_SYSTEM;
	if (listen_all(dc, ret_why, why_len) || dc_dns_open(dc, ret_why, why_len) ||
	    dc_control_open(dc, ret_why, why_len))
		return NTM_EXIT_SYSTEM;
	dc->tick = ntm_timer_new(dc->loop.base, tick, dc);
	if (!dc->tick) {
		snprintf(ret_why, why_len, "out of memory");
		return NTM_EXIT_SYSTEM;
	}
	dc->started_ms = ntm_loop_now_ms();
	ntm_timer_set_ms(dc->tick, TICK_MS);
	dc_relay_start(dc);
	dc_recall_start(dc);
	return 0;
}

/* Nobody is told: nodes and relays go on with what was directed, and find a restarted DC by themselves. */
static void stop(struct dc *dc)
{
	dc_control_close(dc);
	dc_dns_close(dc);
	dc_direction_close(dc);
	dc_path_close(dc);
	dc_member_close(dc);
	dc_location_close(dc);
	dc_relay_close(dc);
	if (dc->sessions.base)
		ntm_sessions_clear(&dc->sessions);
	for (unsigned i = 0; i < dc->udps; i++)
		ntm_udp_close(&dc->udp[i]);
	if (dc->tick)
		event_free(dc->tick);
	if (dc->loop.base)
		ntm_loop_clear(&dc->loop);
	dc_config_clear(&dc->config);
}

static int run(struct dc *dc)
{
	char why[768], key[NTM_KEY_TEXT_LEN + 1], ready[NTM_FQDN_MAX + 64];
	int status = start(dc, why, sizeof(why));

	if (status) {
		ntm_error("%s", why);
	} else {
		ntm_key_format(key, dc->sessions.public_key);
		ntm_notice("%s serves %s: %zu members, public key %s", dc->config.name, dc->config.zone,
			   dc->member_by_name.count, key);
		snprintf(ready, sizeof(ready), "%zu members of %s", dc->member_by_name.count,
			 dc->config.zone);
		ntm_loop_ready(ready);
		ntm_loop_run(&dc->loop);
	}
	stop(dc);
	return status;
}

int main(int argc, char **argv)
{
	struct ntm_loop_options options;
	struct dc *dc;
	char why[512];
	int status = ntm_loop_options_parse(&options, argc, argv, "ntm-dc",
					    "Direction Coordinator of NTMobile", DEFAULT_CONFIG);

	if (status >= 0)
		return status;
	dc = calloc(1, sizeof(*dc));
	if (!dc) {
		ntm_error("out of memory");
		return NTM_EXIT_SYSTEM;
	}
	TAILQ_INIT(&dc->location);
	dc->config_path = options.config;
	if (dc_config_read(&dc->config, options.config, why, sizeof(why))) {
		ntm_error("%s", why);
		free(dc);
		return NTM_EXIT_CONFIG;
	}
	if (options.check_config) {
		dc_config_clear(&dc->config);
		status = NTM_EXIT_OK;
	} else {
		status = run(dc);
	}
	free(dc);
	return status;
}
