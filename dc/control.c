/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * control.c - the commands of ntm-dc's control socket (lib/control.h; `ntmctl dc ...` is the other end) and
 * the events for `monitor`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dc/dc.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"
#include "stats.h"

struct dc_monitor {
	LIST_ENTRY(dc_monitor) next;
	struct ntm_control_request *request;
};

/* ---- JSON */

static void put_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static void put_int(struct json_object *object, const char *key, int64_t value)
{
	json_object_object_add(object, key, json_object_new_int64(value));
}

static void put_vips(struct json_object *object, const struct dc_member *member)
{
	uint8_t vip4[4], vip6[16];
	struct ntm_addr addr;
	char text[NTM_ADDR_TEXT];

	dc_member_vips(member, vip4, vip6);
	ntm_addr_from4(&addr, vip4);
	put_string(object, "virtual4", ntm_addr_format(&addr, text));
	ntm_addr_from6(&addr, vip6);
	put_string(object, "virtual6", ntm_addr_format(&addr, text));
}

static struct json_object *endpoints_json(const struct ntm_endpoint *list, unsigned count)
{
	struct json_object *array = json_object_new_array();
	char text[NTM_ENDPOINT_TEXT];

	for (unsigned i = 0; i < count; i++)
		if (!ntm_endpoint_is_none(&list[i]))
			json_object_array_add(array,
					      json_object_new_string(ntm_endpoint_format(&list[i], text)));
	return array;
}

/* ---- commands */

static void put_prefix(struct json_object *object, const char *name, const struct dc_prefix *prefix)
{
	char text[NTM_ADDR_TEXT + 4], addr[NTM_ADDR_TEXT];

	snprintf(text, sizeof(text), "%s/%u", ntm_addr_format(&prefix->addr, addr), prefix->bits);
	put_string(object, name, text);
}

static void status(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *result = json_object_new_object(), *peers = json_object_new_array();
	struct json_object *listen = json_object_new_array();
	char key[NTM_KEY_TEXT_LEN + 1], text[NTM_ENDPOINT_TEXT];
	struct dc *dc = ctx;
	unsigned up = 0;

	(void)args;
	for (unsigned i = 0; i < dc->relays; i++)
		up += dc->relay[i].alive;
	for (unsigned i = 0; i < dc->others; i++)
		json_object_array_add(peers, json_object_new_string(dc->other[i].config->name));
	put_string(result, "name", dc->config.name);
	put_string(result, "zone", dc->config.zone);
	put_prefix(result, "virtual4", &dc->config.virtual4);
	put_prefix(result, "virtual6", &dc->config.virtual6);
	for (unsigned i = 0; i < dc->config.listens; i++)
		json_object_array_add(
			listen, json_object_new_string(ntm_endpoint_format(&dc->config.listen[i], text)));
	json_object_object_add(result, "listen", listen);
	ntm_key_format(key, dc->sessions.public_key);
	put_string(result, "public_key", key);
	put_int(result, "members", (int64_t)dc->member_by_name.count);
	put_int(result, "registered", dc->locations);
	put_int(result, "paths", (int64_t)dc->path.count);
	put_int(result, "directions", dc->directions);
	put_int(result, "relays", dc->relays);
	put_int(result, "relays_up", up);
	json_object_object_add(result, "peers", peers);
	put_int(result, "addresses_free", dc->pool.end - DC_ADDR_POOL_FIRST - dc->pool.used);
	put_int(result, "uptime_s", (ntm_loop_now_ms() - dc->started_ms) / 1000);
	put_string(result, "version", NTM_VERSION);
	ntm_control_reply(request, result);
}

static void node_add(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	const char *fqdn = ntm_control_arg_string(args, "fqdn"),
		   *text = ntm_control_arg_string(args, "public_key");
	struct dc_member *member;
	struct json_object *result;
	uint8_t key[NTM_KEY_LEN];
	char why[512];

	if (!fqdn || !text) {
		ntm_control_fail(request, "node add needs fqdn and public_key");
		return;
	}
	if (ntm_key_parse(key, text)) {
		ntm_control_fail(
			request,
			"'%.60s' is no public key: 44 characters of base64 are expected, as `ntmctl key pub` "
			"prints them",
			text);
		return;
	}
	if (dc_member_add(ctx, fqdn, key, &member, why, sizeof(why))) {
		ntm_warn("node add: %s", why);
		ntm_control_fail(request, "%s", why);
		return;
	}
	result = json_object_new_object();
	put_string(result, "fqdn", member->fqdn);
	put_vips(result, member);
	ntm_control_reply(request, result);
}

static void node_del(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	const char *fqdn = ntm_control_arg_string(args, "fqdn");
	struct json_object *result;
	char why[512];

	if (!fqdn) {
		ntm_control_fail(request, "node del needs fqdn");
		return;
	}
	if (dc_member_del(ctx, fqdn, why, sizeof(why))) {
		ntm_control_fail(request, "%s", why);
		return;
	}
	result = json_object_new_object();
	put_string(result, "fqdn", fqdn);
	ntm_control_reply(request, result);
}

static const char *nat_name(const struct dc_location *location)
{
	struct dc_select_end end = {
		.real = location->real,
		.reals = location->reals,
		.observed4 = location->observed[0],
		.observed6 = location->observed[1],
		.nat = location->nat,
	};

	return ntm_nat_name(dc_path_select_nat(&end));
}

static struct json_object *member_json(const struct dc_member *member)
{
	const struct dc_location *location = member->location;
	struct json_object *object = json_object_new_object();
	char key[NTM_KEY_TEXT_LEN + 1];

	ntm_key_format(key, member->actor.peer.key);
	put_string(object, "fqdn", member->fqdn);
	put_string(object, "public_key", key);
	put_vips(object, member);
	json_object_object_add(object, "registered", json_object_new_boolean(location != NULL));
	json_object_object_add(
		object, "real",
		endpoints_json(location ? location->real : NULL, location ? location->reals : 0));
	json_object_object_add(object, "observed",
			       endpoints_json(location ? location->observed : NULL, location ? 2 : 0));
	put_string(object, "nat", location ? nat_name(location) : NULL);
	if (location)
		put_int(object, "last_seen_s", (ntm_loop_now_ms() - location->heard_ms) / 1000);
	else
		json_object_object_add(object, "last_seen_s", NULL);
	put_int(object, "paths", member->paths);
	return object;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct dc_member *const *)a)->fqdn, (*(struct dc_member *const *)b)->fqdn);
}

static void node_list(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct dc *dc = ctx;
	struct dc_member **member = calloc(dc->member_by_name.count + 1, sizeof(*member));
	struct dc_table_link *link = NULL;
	struct json_object *array;
	size_t count = 0;

	(void)args;
	if (!member) {
		ntm_control_fail(request, "out of memory");
		return;
	}
	while ((link = dc_table_each(&dc->member_by_name, link)))
		member[count++] = dc_container(link, struct dc_member, by_name);
	qsort(member, count, sizeof(*member), by_name);
	array = json_object_new_array();
	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, member_json(member[i]));
	free(member);
	ntm_control_reply(request, array);
}

static void relay_list(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *array = json_object_new_array();
	struct dc *dc = ctx;

	(void)args;
	for (unsigned i = 0; i < dc->relays; i++) {
		const struct dc_relay *relay = &dc->relay[i];
		struct json_object *object = json_object_new_object();

		put_string(object, "name", relay->config->name);
		json_object_object_add(object, "endpoints",
				       endpoints_json(relay->config->endpoint, relay->config->endpoints));
		put_string(object, "state", !relay->alive ? "down" : relay->draining ? "draining" : "up");
		put_int(object, "rtt_us", relay->actor.peer.rtt.srtt_us);
		put_int(object, "packets_per_s", relay->load.packets_per_s);
		put_int(object, "bytes_per_s", (int64_t)relay->load.bytes_per_s);
		put_int(object, "paths", relay->paths); /* of this DC; the RS may serve others too */
		put_int(object, "paths_all", relay->load.paths);
		put_int(object, "cpu_permille", relay->load.cpu_permille);
		json_object_array_add(array, object);
	}
	ntm_control_reply(request, array);
}

/* The numbers of the bits that are set. */
static struct json_object *sides(unsigned bits)
{
	struct json_object *array = json_object_new_array();

	for (int side = 0; side < 2; side++) {
		if (bits & 1U << side)
			json_object_array_add(array, json_object_new_int(side));
	}
	return array;
}

static void path_list(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *array = json_object_new_array();
	struct dc *dc = ctx;
	struct dc_path *path;
	char id[17];

	(void)args;
	TAILQ_FOREACH (path, &dc->path_by_age, by_age) {
		struct json_object *object = json_object_new_object();

		snprintf(id, sizeof(id), "%016llx", (unsigned long long)path->id);
		put_string(object, "path_id", id);
		put_string(object, "requester", dc_path_end_name(&path->end[0]));
		put_string(object, "correspondent", dc_path_end_name(&path->end[1]));
		put_string(object, "relay", path->relay ? path->relay->config->name : NULL);
		json_object_object_add(object, "relay_bound", sides(path->relay_bound));
		put_int(object, "age_s", (ntm_loop_now_ms() - path->made_ms) / 1000);
		json_object_object_add(object, "closing", json_object_new_boolean(path->closing));
		json_object_array_add(array, object);
	}
	ntm_control_reply(request, array);
}

static void stats(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *result = json_object_new_object(), *drops = json_object_new_object();
	struct json_object *messages = json_object_new_object();
	struct dc *dc = ctx;

	(void)args;
	for (int reason = 1; reason < NTM_DROP_MAX; reason++)
		if (ntm_drops[reason])
			put_int(drops, ntm_drop_name(reason), (int64_t)ntm_drops[reason]);
	for (int type = 0; type < 256; type++)
		if (dc->messages[type])
			put_int(messages, ntm_msg_name((uint16_t)type), (int64_t)dc->messages[type]);
	json_object_object_add(result, "drops", drops);
	json_object_object_add(result, "messages", messages);
	put_int(result, "refused", (int64_t)dc->refused);
	put_int(result, "dns_queries", (int64_t)dc->dns_queries);
	ntm_control_reply(request, result);
}

/* ---- events */

static void monitor_gone(void *arg)
{
	struct dc_monitor *monitor = arg;

	LIST_REMOVE(monitor, next);
	free(monitor);
}

static void monitor_begin(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct dc_monitor *monitor = calloc(1, sizeof(*monitor));
	struct dc *dc = ctx;

	(void)args;
	if (!monitor) {
		ntm_control_fail(request, "out of memory");
		return;
	}
	monitor->request = request;
	LIST_INSERT_HEAD(&dc->monitor, monitor, next);
	ntm_control_on_gone(request, monitor_gone, monitor);
}

bool dc_control_is_watched(const struct dc *dc)
{
	return !LIST_EMPTY(&dc->monitor);
}

void dc_control_event(struct dc *dc, struct json_object *event)
{
	struct dc_monitor *monitor, *next;

	json_object_object_add(event, "time", json_object_new_double((double)ntm_loop_real_us() / 1e6));
	for (monitor = LIST_FIRST(&dc->monitor); monitor; monitor = next) {
		next = LIST_NEXT(monitor, next);
		ntm_control_event(monitor->request, json_object_get(event));
	}
	json_object_put(event);
}

void dc_control_tell(struct dc *dc, const char *event, const char *fqdn, const char *peer, const char *detail)
{
	struct json_object *object;

	if (!dc_control_is_watched(dc))
		return;
	object = json_object_new_object();
	put_string(object, "event", event);
	if (fqdn)
		put_string(object, "fqdn", fqdn);
	if (peer)
		put_string(object, "peer", peer);
	if (detail)
		put_string(object, "detail", detail);
	dc_control_event(dc, object);
}

/* ---- the socket */

static const struct ntm_control_command commands[] = {
	{"status", status},	  {"node add", node_add},     {"node del", node_del},
	{"node list", node_list}, {"relay list", relay_list}, {"path list", path_list},
	{"stats", stats},	  {"monitor", monitor_begin}, {0},
};

int dc_control_open(struct dc *dc, char *ret_why, size_t why_len)
{
	int err = ntm_control_open(&dc->control, dc->loop.base, dc->config.control_socket, commands, dc);

	if (err == -EADDRINUSE)
		snprintf(ret_why, why_len,
			 "another daemon answers at the control socket %s: stop it, or set control-socket in "
			 "[dc]",
			 dc->config.control_socket);
	else if (err)
		snprintf(ret_why, why_len,
			 "cannot make the control socket %s: %s; set control-socket in [dc] to a path that "
			 "this user may write",
			 dc->config.control_socket, strerror(-err));
	return err;
}

void dc_control_close(struct dc *dc)
{
	if (dc->control)
		ntm_control_close(dc->control);
	dc->control = NULL;
}
