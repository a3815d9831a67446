/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * control.c - the control socket: what `ntmctl rs ...` asks, and the events that `monitor` follows.
 * Asked by tools/ntmctl/rs.c; the JSON is documented in ntm-rs(8).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "key.h"
#include "log.h"
#include "loop.h"
#include "relay_map.h"
#include "rs.h"
#include "stats.h"

#ifndef NTM_VERSION
#define NTM_VERSION "unknown"
#endif

#define PATHS_LISTED 65536 /* more would block forwarding for long, and nobody reads them */

static void put_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static void put_u64(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

/* NULL (null) for none. */
static void put_endpoint(struct json_object *object, const char *key, const struct ntm_endpoint *ep)
{
	char text[NTM_ENDPOINT_TEXT];

	put_string(object, key, ntm_endpoint_is_none(ep) ? NULL : ntm_endpoint_format(ep, text));
}

static void put_path_id(struct json_object *object, uint64_t id)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, id);
	put_string(object, "path_id", text);
}

/* ---- commands */

static struct json_object *interfaces(const struct rs *rs)
{
	struct json_object *array = json_object_new_array();
	const struct rs_xdp_link *link;
	unsigned links = rs_xdp_links(rs, &link);

	for (unsigned i = 0; i < links; i++) {
		struct json_object *one = json_object_new_object();

		put_string(one, "name", link[i].name);
		put_string(one, "mode", rs_xdp_mode_name(link[i].mode));
		if (link[i].why[0])
			put_string(one, "why", link[i].why);
		json_object_array_add(array, one);
	}
	return array;
}

static void status(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct rs *rs = ctx;
	struct json_object *result = json_object_new_object(), *listen = json_object_new_array();
	struct json_object *dcs = json_object_new_array();
	char key[NTM_KEY_TEXT_LEN + 1], text[NTM_ENDPOINT_TEXT];
	const struct rs_dc *dc;

	(void)args;
	ntm_key_format(key, rs->sessions.public_key);
	put_string(result, "name", rs->config.name);
	put_string(result, "public_key", key);
	for (unsigned i = 0; i < rs->config.listens; i++)
		json_object_array_add(
			listen, json_object_new_string(ntm_endpoint_format(&rs->config.listen[i], text)));
	json_object_object_add(result, "listen", listen);
	LIST_FOREACH (dc, &rs->dcs, entry) {
		struct json_object *one = json_object_new_object();

		put_string(one, "name", dc->name);
		json_object_object_add(one, "connected", json_object_new_boolean(ntm_peer_is_up(&dc->peer)));
		put_u64(one, "paths", dc->paths);
		put_u64(one, "max_paths", dc->max_paths);
		json_object_array_add(dcs, one);
	}
	json_object_object_add(result, "dcs", dcs);
	json_object_object_add(result, "draining", json_object_new_boolean(rs->draining));
	put_u64(result, "paths", rs->paths.count);
	put_u64(result, "bound", rs->paths.bound);
	put_u64(result, "inherited", rs->paths.inherited);
	put_u64(result, "packets_per_s", rs->load.packets_per_s);
	put_u64(result, "bytes_per_s", rs->load.bytes_per_s);
	put_u64(result, "cpu_permille", rs->load.cpu_permille);
	put_string(result, "mode", rs_xdp_mode_name(rs_xdp_mode(rs)));
	if (rs_xdp_why(rs)[0])
		put_string(result, "mode_why", rs_xdp_why(rs));
	json_object_object_add(result, "interfaces", interfaces(rs));
	put_string(result, "pin_dir", rs_xdp_is_pinned(rs) ? rs->config.pin_dir : NULL);
	put_u64(result, "uptime_s", (uint64_t)(ntm_loop_now_ms() - rs->started_ms) / 1000);
	put_string(result, "version", NTM_VERSION);
	ntm_control_reply(request, result);
}

struct listing {
	struct rs *rs;
	struct json_object *array;
	int64_t now_ms;
};

/* From one leg, by both relays; XDP's part on its own, too. */
static void put_leg(struct json_object *object, const struct rs_path *path, const struct rs_relay_counts *xdp,
		    unsigned side)
{
	static const char *const key[2][3] = {{"packets0", "bytes0", "xdp_packets0"},
					      {"packets1", "bytes1", "xdp_packets1"}};
	const struct rs_leg *leg = &path->leg[side];

	put_u64(object, key[side][0], rs_path_count(&leg->packets) + xdp->packets[side]);
	put_u64(object, key[side][1], rs_path_count(&leg->bytes) + xdp->bytes[side]);
	put_u64(object, key[side][2], xdp->packets[side]);
}

static void path_list(void *ctx, struct rs_path *path)
{
	struct listing *listing = ctx;
	struct json_object *one;
	int64_t left_ms = path->expires_ms - listing->now_ms, used_ms;
	struct rs_relay_counts xdp;

	if (left_ms <= 0)
		return;
	rs_relay_map_read(listing->rs->map, path->id, &xdp);
	used_ms = __atomic_load_n(&path->used_ms, __ATOMIC_RELAXED);
	used_ms = xdp.used_ms > used_ms ? xdp.used_ms : used_ms;
	used_ms = listing->now_ms > used_ms ? used_ms : listing->now_ms; /* XDP's is rounded */
	one = json_object_new_object();
	put_path_id(one, path->id);
	put_string(one, "dc", path->dc->name);
	put_endpoint(one, "leg0", &path->leg[0].bound.remote);
	put_endpoint(one, "leg1", &path->leg[1].bound.remote);
	put_leg(one, path, &xdp, 0);
	put_leg(one, path, &xdp, 1);
	put_u64(one, "drops", rs_path_count(&path->drops) + xdp.drops);
	put_u64(one, "age_s", (uint64_t)(listing->now_ms - path->made_ms) / 1000);
	put_u64(one, "idle_s", (uint64_t)(listing->now_ms - used_ms) / 1000);
	put_u64(one, "expires_s", (uint64_t)left_ms / 1000);
	json_object_array_add(listing->array, one);
}

static void tunnel_list(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct rs *rs = ctx;
	struct listing listing = {.rs = rs, .now_ms = ntm_loop_now_ms()};

	(void)args;
	if (rs->paths.count > PATHS_LISTED) {
		ntm_control_fail(request, "%u paths are too many to list: at most %u", rs->paths.count,
				 PATHS_LISTED);
		return;
	}
	listing.array = json_object_new_array();
	rs_paths_each(&rs->paths, path_list, &listing);
	ntm_control_reply(request, listing.array);
}

static void stats(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct rs *rs = ctx;
	struct json_object *result = json_object_new_object(), *drops = json_object_new_object();
	struct json_object *xdp_drops = json_object_new_object();
	struct ntm_relay_load xdp;

	(void)args;
	rs_relay_map_load(rs->map, &xdp);
	put_u64(result, "packets", rs_path_count(&rs->packets) + xdp.packets);
	put_u64(result, "bytes", rs_path_count(&rs->bytes) + xdp.bytes);
	put_u64(result, "xdp_packets", xdp.packets);
	put_u64(result, "xdp_bytes", xdp.bytes);
	for (unsigned reason = 1; reason < NTM_DROP_MAX; reason++) {
		uint64_t by_xdp = rs_relay_map_drops(rs->map, reason),
			 all = ntm_drop_get((int)reason) + by_xdp;

		if (all)
			put_u64(drops, ntm_drop_name((int)reason), all);
		if (by_xdp)
			put_u64(xdp_drops, ntm_drop_name((int)reason), by_xdp);
	}
	json_object_object_add(result, "drops", drops);
	json_object_object_add(result, "xdp_drops", xdp_drops);
	ntm_control_reply(request, result);
}

/* Both answer with where the interfaces stand then. */
static void attached(struct rs *rs, struct ntm_control_request *request, int err)
{
	struct json_object *result;

	if (err) {
		ntm_control_fail(request, "%s",
				 rs_xdp_why(rs)[0] ? rs_xdp_why(rs) : "xdp = off in the configuration");
		return;
	}
	result = json_object_new_object();
	put_string(result, "mode", rs_xdp_mode_name(rs_xdp_mode(rs)));
	json_object_object_add(result, "interfaces", interfaces(rs));
	ntm_control_reply(request, result);
}

static void attach(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	(void)args;
	attached(ctx, request, rs_xdp_attach(ctx));
}

static void detach(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	(void)args;
	attached(ctx, request, rs_xdp_detach(ctx));
}

static void drain(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *result = json_object_new_object();
	struct rs *rs = ctx;

	rs_drain_set(rs, !ntm_control_arg_int(args, "cancel", 0));
	json_object_object_add(result, "draining", json_object_new_boolean(rs->draining));
	put_u64(result, "paths", rs->paths.count);
	ntm_control_reply(request, result);
}

/* ---- monitor */

static void monitor_gone(void *arg)
{
	struct rs_monitor *monitor = arg;

	monitor->request = NULL;
}

static void monitor(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct rs *rs = ctx;

	(void)args;
	for (unsigned i = 0; i < RS_MONITORS_MAX; i++) {
		if (rs->monitor[i].request)
			continue;
		rs->monitor[i].request = request;
		ntm_control_on_gone(request, monitor_gone, &rs->monitor[i]);
		return;
	}
	ntm_control_fail(request, "%d clients are monitoring already", RS_MONITORS_MAX);
}

static bool is_monitored(const struct rs *rs)
{
	for (unsigned i = 0; i < RS_MONITORS_MAX; i++) {
		if (rs->monitor[i].request)
			return true;
	}
	return false;
}

static struct json_object *event_begin(const char *name)
{
	struct json_object *event = json_object_new_object();
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_object_add(event, "time",
			       json_object_new_double((double)now.tv_sec + (double)now.tv_nsec / 1e9));
	put_string(event, "event", name);
	return event;
}

/* Takes over event. A client that reads too slowly is dropped by control.c of lib/. */
static void event_send(struct rs *rs, struct json_object *event)
{
	for (unsigned i = 0; i < RS_MONITORS_MAX; i++) {
		if (rs->monitor[i].request)
			ntm_control_event(rs->monitor[i].request, json_object_get(event));
	}
	json_object_put(event);
}

void rs_control_path_event(struct rs *rs, const char *event, const struct rs_path *path)
{
	struct json_object *object;

	ntm_debug("%s %016" PRIx64 " of %s", event, path->id, path->dc->name);
	if (!is_monitored(rs))
		return;
	object = event_begin(event);
	put_path_id(object, path->id);
	put_string(object, "dc", path->dc->name);
	event_send(rs, object);
}

void rs_control_leg_event(struct rs *rs, const char *event, const struct rs_path *path, unsigned side)
{
	const struct ntm_endpoint *remote = &path->leg[side].bound.remote;
	char text[NTM_ENDPOINT_TEXT];
	struct json_object *object;

	ntm_debug("%s %016" PRIx64 " side %u at %s", event, path->id, side,
		  ntm_endpoint_format(remote, text));
	if (!is_monitored(rs))
		return;
	object = event_begin(event);
	put_path_id(object, path->id);
	put_u64(object, "side", side);
	put_endpoint(object, "endpoint", remote);
	event_send(rs, object);
}

void rs_control_rs_event(struct rs *rs, const char *event)
{
	struct json_object *object;

	if (!is_monitored(rs))
		return;
	object = event_begin(event);
	put_u64(object, "paths", rs->paths.count);
	event_send(rs, object);
}

void rs_control_dc_event(struct rs *rs, const char *event, const struct rs_dc *dc)
{
	struct json_object *object;

	if (!is_monitored(rs))
		return;
	object = event_begin(event);
	put_string(object, "dc", dc->name);
	put_endpoint(object, "endpoint", &dc->peer.flow.remote);
	event_send(rs, object);
}

/* ---- the socket */

static const struct ntm_control_command commands[] = {
	{"status", status}, {"tunnel list", tunnel_list}, {"stats", stats}, {"monitor", monitor},
	{"attach", attach}, {"detach", detach}, {"drain", drain},
	{NULL, NULL},
};

int rs_control_open(struct rs *rs, char *ret_why, size_t why_len)
{
	const char *path = rs->config.control_socket,
		   *advice = "; set control-socket in [rs] to a path that this user may write";
	int err = ntm_control_open(&rs->control, rs->base, path, commands, rs);

	if (err == -EADDRINUSE)
		advice = "; another ntm-rs is running with this control-socket";
	if (err)
		snprintf(ret_why, why_len, "cannot open the control socket %s: %s%s", path, strerror(-err),
			 advice);
	return err;
}

void rs_control_close(struct rs *rs)
{
	if (rs->control)
		ntm_control_close(rs->control);
	rs->control = NULL;
}
