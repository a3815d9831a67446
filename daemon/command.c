/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * command.c - what ntmctl asks the node: status, tunnels, why a route was taken, counters, events. The JSON
 * is documented in ntmctl(8); the socket is lib/control.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aead.h"
#include "daemon/bpf_engine.h"
#include "endpoint.h"
#include "key.h"
#include "path.h"
#include "stats.h"

#ifndef NTM_VERSION
#define NTM_VERSION "unknown"
#endif

static void add_string(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, value && *value ? json_object_new_string(value) : NULL);
}

static void add_int(struct json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

static struct json_object *addresses_json(const struct ntmd *ntmd)
{
	struct json_object *array = json_object_new_array();
	char text[NTM_ADDR_TEXT];

	for (unsigned i = 0; i < ntmd->real.count; i++)
		json_object_array_add(array,
				      json_object_new_string(ntm_addr_format(&ntmd->real.addr[i], text)));
	return array;
}

static struct json_object *observed_json(const struct ntmd *ntmd)
{
	struct json_object *array = json_object_new_array();
	char text[NTM_ENDPOINT_TEXT];

	for (unsigned i = 0; i < ntmd->netcheck.count; i++) {
		bool told = ntm_endpoint_is_none(&ntmd->netcheck.observed[i]);

		for (unsigned k = 0; k < i; k++)
			told = told ||
			       ntm_endpoint_equal(&ntmd->netcheck.observed[k], &ntmd->netcheck.observed[i]);
		if (!told)
			json_object_array_add(array, json_object_new_string(ntm_endpoint_format(
							     &ntmd->netcheck.observed[i], text)));
	}
	return array;
}

static struct json_object *ciphers_json(const struct ntmd *ntmd)
{
	struct json_object *array = json_object_new_array();

	for (int i = 0; i < NTM_CIPHERS; i++) {
		struct json_object *o = json_object_new_object();

		add_string(o, "name", ntm_aead_name((enum ntm_cipher)i));
		add_string(o, "implementation", ntm_aead_implementation((enum ntm_cipher)i));
		add_int(o, "ns_per_1420", ntmd->cipher_ns[i]);
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *offloads_json(const struct ntmd *ntmd)
{
	const struct ntm_udp *udp = ntmd->udp4.fd >= 0 ? &ntmd->udp4 : &ntmd->udp6;
	struct json_object *o = json_object_new_object();
	struct ntmd_engine_offloads offloads;

	ntmd_engine_offloads(ntmd->engine, &offloads);
	json_object_object_add(o, "tso", json_object_new_boolean(offloads.tso));
	json_object_object_add(o, "uso", json_object_new_boolean(offloads.uso));
	json_object_object_add(o, "udp_segment", json_object_new_boolean(udp->segment && offloads.train));
	json_object_object_add(o, "udp_gro", json_object_new_boolean(udp->gro));
	return o;
}

static void handle_status(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *o = json_object_new_object(), *dns = json_object_new_object();
	char key[NTM_KEY_TEXT_LEN + 1], text[NTM_ENDPOINT_TEXT];
	struct ntmd *ntmd = ctx;

	(void)args;
	add_string(o, "fqdn", ntmd->config.fqdn);
	add_string(o, "virtual4",
		   ntm_addr_is_none(&ntmd->registration.vip4)
			   ? NULL
			   : ntm_addr_format(&ntmd->registration.vip4, text));
	add_string(o, "virtual6",
		   ntm_addr_is_none(&ntmd->registration.vip6)
			   ? NULL
			   : ntm_addr_format(&ntmd->registration.vip6, text));
	if (ntmd->registration.vip4_prefix)
		add_int(o, "virtual4_prefix", ntmd->registration.vip4_prefix);
	if (ntmd->registration.vip6_prefix)
		add_int(o, "virtual6_prefix", ntmd->registration.vip6_prefix);
	json_object_object_add(o, "registered",
			       json_object_new_boolean(ntmd->registration.state == NTMD_REGISTERED));
	json_object_object_add(o, "dc", ntmd_registration_json(ntmd));
	add_string(o, "engine", ntmd_engine_name(ntmd->engine));
	add_string(o, "engine_why", ntmd->attach.why);
	json_object_object_add(o, "interfaces", ntmd_attach_interfaces_json(ntmd));
	json_object_object_add(o, "ciphers", ciphers_json(ntmd));
	json_object_object_add(o, "offloads", offloads_json(ntmd));
	add_int(o, "threads", ntmd_engine_threads(ntmd->engine));
	add_string(o, "nat", ntm_nat_name(ntmd->netcheck.nat));
	json_object_object_add(o, "real", addresses_json(ntmd));
	json_object_object_add(o, "observed", observed_json(ntmd));
	json_object_object_add(o, "relays", ntmd_netcheck_relays_json(ntmd));
	add_int(o, "tunnels", ntmd->paths);
	add_string(o, "device", ntmd->config.device);
	add_int(o, "port", ntmd->udp4.fd >= 0 ? ntmd->udp4.bound.port : ntmd->udp6.bound.port);
	add_int(o, "mtu", ntmd->mtu);
	json_object_object_add(o, "socket_buffer", ntmd_socket_buffer_json(ntmd));
	add_string(dns, "mode", ntmd->resolver ? ntmd_resolver_name(ntmd->resolver) : "off");
	add_string(dns, "listen", ntmd->dns ? ntm_endpoint_format(&ntmd->config.dns_listen, text) : NULL);
	json_object_object_add(o, "dns", dns);
	ntm_key_format(key, ntmd->sessions.public_key);
	add_string(o, "public_key", key);
	add_int(o, "uptime_s", (ntm_loop_now_ms() - ntmd->started_ms) / 1000);
	add_string(o, "version", NTM_VERSION);
	ntm_control_reply(request, o);
}

static void handle_netcheck(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *o = json_object_new_object();
	bool has4 = false, has6 = false;
	struct ntmd *ntmd = ctx;

	(void)args;
	for (unsigned i = 0; i < ntmd->netcheck.count; i++)
		if (ntmd->netcheck.rtt_us[i]) {
			has4 = has4 || ntm_endpoint_is4(&ntmd->netcheck.server[i]);
			has6 = has6 || !ntm_endpoint_is4(&ntmd->netcheck.server[i]);
		}
	json_object_object_add(o, "real", addresses_json(ntmd));
	add_string(o, "nat", ntm_nat_name(ntmd->netcheck.nat));
	json_object_object_add(o, "observed", observed_json(ntmd));
	json_object_object_add(o, "ipv4", json_object_new_boolean(has4));
	json_object_object_add(o, "ipv6", json_object_new_boolean(has6));
	json_object_object_add(o, "relays", ntmd_netcheck_relays_json(ntmd));
	json_object_object_add(o, "dc", ntmd_registration_json(ntmd));
	add_int(o, "mtu", ntmd->mtu);
	json_object_object_add(o, "path_mtu", ntmd_netcheck_path_mtu_json(ntmd));
	ntm_control_reply(request, o);
}

static void handle_tunnel_list(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *array = json_object_new_array();
	struct ntmd *ntmd = ctx;
	struct ntmd_path *path;

	(void)args;
	LIST_FOREACH(path, &ntmd->path, next)
		json_object_array_add(array, ntmd_path_json(path, false));
	ntm_control_reply(request, array);
}

/* By name or by Path ID of 16 digits; NULL after failing the request. */
static struct ntmd_path *path_named(struct ntmd *ntmd, struct ntm_control_request *request,
				    struct json_object *args)
{
	const char *name = ntm_control_arg_string(args, "peer");
	char fqdn[NTM_FQDN_MAX + 1], *end;
	struct ntmd_path *path = NULL;
	struct ntmd_cn *cn;
	uint64_t id;

	if (!name) {
		ntm_control_fail(request, "expected the name of a node or a Path ID");
		return NULL;
	}
	id = strtoull(name, &end, 16);
	if (strlen(name) == 16 && !*end)
		path = ntmd_path_find(ntmd, id);
	if (!path && !ntm_name_normalise(fqdn, name)) {
		cn = ntmd_cn_find(ntmd, fqdn);
		path = cn ? cn->path : NULL;
	}
	if (!path)
		ntm_control_fail(request, "there is no tunnel to %s", name);
	return path;
}

static void handle_tunnel_show(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct ntmd_path *path = path_named(ctx, request, args);

	if (path)
		ntm_control_reply(request, ntmd_path_json(path, true));
}

static void handle_tunnel_close(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct ntmd_path *path = path_named(ctx, request, args);
	struct json_object *o;

	if (!path)
		return;
	o = json_object_new_object();
	add_string(o, "closed", path->cn->fqdn);
	ntmd_path_close(path, NTM_REASON_USER, true);
	ntm_control_reply(request, o);
}

/* Of the routes of a kind, by several interfaces, the one that came farthest. */
static enum ntmd_route_state kind_state(const struct ntmd_path *path, unsigned kind)
{
	enum ntmd_route_state state = NTMD_ROUTE_IDLE;

	for (unsigned i = 0; i < path->routes; i++) {
		const struct ntmd_route *route = path->route[i];

		if (!route || (unsigned)route->kind != kind)
			continue;
		if (route->state == NTMD_ROUTE_PROVEN)
			return NTMD_ROUTE_PROVEN;
		if (route->state != NTMD_ROUTE_IDLE && state != NTMD_ROUTE_PROBING)
			state = route->state;
	}
	return state;
}

/* What the DC decided, as it looks from this end now. */
static const char *verdict_text(const struct ntmd_path *path, const struct ntmd_verdict *verdict, bool taken)
{
	bool requester = path->side == NTM_SIDE_REQUESTER;

	switch (verdict->why) {
	case NTM_WHY_NO_ADDRESS_MN:
	case NTM_WHY_NO_ADDRESS_CN:
		return (verdict->why == NTM_WHY_NO_ADDRESS_MN) == requester ? "this node has no such address"
									    : "the peer has no such address";
	case NTM_WHY_STANDBY:
		return taken ? "no direct route is proven" : "it stands by, should the direct route fail";
	case NTM_WHY_CANDIDATE:
		if (taken)
			return "both ends probe it, and it works";
		switch (kind_state(path, verdict->kind)) {
		case NTMD_ROUTE_PROVEN:
			return "it works, but another one is preferred";
		case NTMD_ROUTE_PROBING:
		case NTMD_ROUTE_FAILED:
			return "its probes are not answered";
		default:
			break;
		}
		break;
	default:
		break;
	}
	return ntm_why_text(verdict->why);
}

static void handle_path_explain(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	const char *name = ntm_control_arg_string(args, "fqdn");
	struct json_object *o, *routes;
	char fqdn[NTM_FQDN_MAX + 1], id[20];
	struct ntmd *ntmd = ctx;
	enum ntm_route_kind taken = NTM_ROUTE_NONE;
	struct ntmd_cn *cn;

	cn = name && !ntm_name_normalise(fqdn, name) ? ntmd_cn_find(ntmd, fqdn) : NULL;
	if (!cn || !cn->path) {
		ntm_control_fail(request, "there is no tunnel to %s%s%s; `ntmctl ping` makes one",
				 name ? name : "(no name)", cn && cn->error ? ": " : "",
				 cn && cn->error ? cn->error : "");
		return;
	}
	if (cn->path->active >= 0)
		taken = cn->path->route[cn->path->active]->kind;
	o = json_object_new_object();
	add_string(o, "peer", cn->fqdn);
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)cn->path->id);
	add_string(o, "path_id", id);
	add_string(o, "taken", ntm_route_name(taken));
	add_string(o, "because", cn->path->why ? cn->path->why : "it is the first that worked");
	routes = json_object_new_array();
	for (unsigned i = 0; i < cn->verdicts; i++) {
		const struct ntmd_verdict *verdict = &cn->verdict[i];
		struct json_object *route = json_object_new_object();
		bool candidate = verdict->why == NTM_WHY_CANDIDATE, standby = verdict->why == NTM_WHY_STANDBY;
		bool is_taken = verdict->kind == taken && (candidate || standby);

		add_string(route, "route", ntm_route_name((enum ntm_route_kind)verdict->kind));
		add_string(route, "name", verdict->name);
		add_string(route, "verdict",
			   is_taken  ? "taken" :
			   candidate ? "candidate" :
			   standby   ? "standby" :
				       "no");
		add_string(route, "why", verdict_text(cn->path, verdict, is_taken));
		json_object_array_add(routes, route);
	}
	json_object_object_add(o, "routes", routes);
	json_object_object_add(o, "tried", ntmd_routes_json(cn->path));
	ntm_control_reply(request, o);
}

static void handle_stats(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *o = json_object_new_object(), *drops = json_object_new_object();
	struct json_object *engine = json_object_new_object(), *dns = json_object_new_object();
	struct ntmd_engine_stats sum = { 0 }, stats;
	uint64_t dropped[NTM_DROP_MAX];
	struct ntmd_dns_stats dns_stats;
	struct ntmd *ntmd = ctx;
	struct ntmd_path *path;

	(void)args;
	for (int reason = 0; reason < NTM_DROP_MAX; reason++)
		dropped[reason] = ntm_drop_get(reason);
	ntmd_bpf_drops_add(ntmd->engine, dropped);
	for (int reason = 1; reason < NTM_DROP_MAX; reason++)
		add_int(drops, ntm_drop_name(reason), (int64_t)dropped[reason]);
	json_object_object_add(o, "drops", drops);
	LIST_FOREACH(path, &ntmd->path, next) {
		ntmd_engine_path_stats(path->engine, &stats);
		sum.rx_packets += stats.rx_packets;
		sum.tx_packets += stats.tx_packets;
		sum.rx_bytes += stats.rx_bytes;
		sum.tx_bytes += stats.tx_bytes;
	}
	add_int(engine, "rx_packets", (int64_t)sum.rx_packets);
	add_int(engine, "tx_packets", (int64_t)sum.tx_packets);
	add_int(engine, "rx_bytes", (int64_t)sum.rx_bytes);
	add_int(engine, "tx_bytes", (int64_t)sum.tx_bytes);
	add_int(engine, "paths", ntmd->paths);
	add_int(engine, "handovers", (int64_t)ntmd->handovers);
	json_object_object_add(o, "engine", engine);
	if (ntmd->dns) {
		ntmd_dns_stats(ntmd->dns, &dns_stats);
		add_int(dns, "queries", (int64_t)dns_stats.queries);
		add_int(dns, "answers", (int64_t)dns_stats.answers);
		add_int(dns, "upstream_queries", (int64_t)dns_stats.upstream_queries);
		add_int(dns, "upstream_timeouts", (int64_t)dns_stats.upstream_timeouts);
		add_int(dns, "directions", (int64_t)dns_stats.directions);
		add_int(dns, "failures", (int64_t)dns_stats.failures);
	}
	json_object_object_add(o, "dns", dns);
	ntm_control_reply(request, o);
}

static void handle_monitor(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	(void)args;
	ntmd_event_monitor(ctx, request);
}

const struct ntm_control_command ntmd_commands[] = {
	{ "status", handle_status },
	{ "netcheck", handle_netcheck },
	{ "tunnel list", handle_tunnel_list },
	{ "tunnel show", handle_tunnel_show },
	{ "tunnel close", handle_tunnel_close },
	{ "path explain", handle_path_explain },
	{ "ping", ntmd_ping_handle },
	{ "stats", handle_stats },
	{ "attach", ntmd_attach_handle },
	{ "detach", ntmd_detach_handle },
	{ "monitor", handle_monitor },
	{ NULL, NULL },
};
