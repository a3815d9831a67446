/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tunnel.c - ntmctl tunnel: the tunnels of this node, by asking ntmd.
 */
#include <stdio.h>

#include "ntmctl.h"

/* The way that data takes: "direct 192.0.2.1:6866", or "relay rs1.ntm.example 192.0.2.2:6866". */
static const struct ntm_print_column way_parts[] = {
	{ "route", "", NTM_PRINT_PLAIN },
	{ "relay", "", NTM_PRINT_PLAIN },
	{ "remote", "", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column list_columns[] = {
	{ "peer", "PEER", NTM_PRINT_PLAIN },
	{ "path_id", "PATH ID", NTM_PRINT_PLAIN },
	{ "state", "STATE", NTM_PRINT_PLAIN },
	{ "established_s", "UP", NTM_PRINT_AGO },
	{ "rtt_us", "RTT", NTM_PRINT_MS },
	{ "rx_bytes", "RECEIVED", NTM_PRINT_BYTES },
	{ "tx_bytes", "SENT", NTM_PRINT_BYTES },
	{ "cipher", "CIPHER", NTM_PRINT_PLAIN },
	{ "way", "ROUTE", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column standby_parts[] = {
	{ "name", "", NTM_PRINT_PLAIN },
	{ "endpoint", "", NTM_PRINT_PLAIN },
	{ "bound", "bound: ", NTM_PRINT_YESNO },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column received_parts[] = {
	{ "rx_bytes", "", NTM_PRINT_BYTES },
	{ "rx_packets", "in packets: ", NTM_PRINT_COUNT },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column sent_parts[] = {
	{ "tx_bytes", "", NTM_PRINT_BYTES },
	{ "tx_packets", "in packets: ", NTM_PRINT_COUNT },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column show_lines[] = {
	{ "peer", "peer", NTM_PRINT_PLAIN },
	{ "path_id", "Path ID", NTM_PRINT_PLAIN },
	{ "state", "state", NTM_PRINT_PLAIN },
	{ "established_s", "up for", NTM_PRINT_AGO },
	{ "virtual4", "virtual IPv4", NTM_PRINT_PLAIN },
	{ "virtual6", "virtual IPv6", NTM_PRINT_PLAIN },
	{ "way", "route", NTM_PRINT_PLAIN },
	{ "route_kind", "kind of route", NTM_PRINT_PLAIN },
	{ "local", "local", NTM_PRINT_PLAIN },
	{ "remote", "remote", NTM_PRINT_PLAIN },
	{ "standby_text", "standby relay", NTM_PRINT_PLAIN },
	{ "rtt_us", "round trip", NTM_PRINT_MS },
	{ "received", "received", NTM_PRINT_PLAIN },
	{ "sent", "sent", NTM_PRINT_PLAIN },
	{ "drops", "drops", NTM_PRINT_COUNT },
	{ "held_packets", "held packets", NTM_PRINT_COUNT },
	{ "engine", "engine", NTM_PRINT_PLAIN },
	{ "lane", "lane", NTM_PRINT_PLAIN },
	{ "cipher", "cipher", NTM_PRINT_PLAIN },
	{ "key_age_s", "age of the key", NTM_PRINT_AGO },
	{ "phase", "key phase", NTM_PRINT_PLAIN },
	{ "side", "side", NTM_PRINT_PLAIN },
	{ "peer_public_key", "peer's key", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column route_columns[] = {
	{ "kind", "ROUTE", NTM_PRINT_PLAIN },
	{ "state", "STATE", NTM_PRINT_PLAIN },
	{ "rtt_us", "RTT", NTM_PRINT_MS },
	{ "local", "LOCAL", NTM_PRINT_PLAIN },
	{ "remote", "REMOTE", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

int ntmctl_tunnel_list(const struct ntmctl *ctl)
{
	struct json_object *result;
	int r = ntmctl_ask(ctl, ntmctl_request("tunnel list"), &result);

	if (r != NTMCTL_DONE)
		return r;
	if (ctl->mode == NTM_PRINT_TEXT && json_object_is_type(result, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(result); i++) {
			struct json_object *tunnel = json_object_array_get_idx(result, i);

			if (json_object_is_type(tunnel, json_type_object))
				json_object_object_add(tunnel, "way", ntmctl_join(tunnel, way_parts));
		}
	}
	ntm_print_table(stdout, ctl->mode, result, list_columns, "no tunnels");
	json_object_put(result);
	return NTMCTL_DONE;
}

/* Sends the command about the tunnel that the argument names. */
static int ask_about(const struct ntmctl *ctl, const char *command, struct json_object **ret_result)
{
	struct json_object *request;
	char peer[NTM_FQDN_MAX + 1];
	int r;

	r = ntmctl_read_name(ctl, ctl->argv[0], peer); /* a Path ID has the form of a name too */
	if (r != NTMCTL_DONE)
		return r;
	request = ntmctl_request(command);
	json_object_object_add(request, "peer", json_object_new_string(peer));
	return ntmctl_ask(ctl, request, ret_result);
}

static void print_tunnel(struct json_object *tunnel)
{
	struct json_object *routes = ntm_print_find(tunnel, "routes");

	json_object_object_add(tunnel, "way", ntmctl_join(tunnel, way_parts));
	json_object_object_add(tunnel, "standby_text",
			       ntmctl_join(ntm_print_find(tunnel, "standby"), standby_parts));
	json_object_object_add(tunnel, "received", ntmctl_join(tunnel, received_parts));
	json_object_object_add(tunnel, "sent", ntmctl_join(tunnel, sent_parts));
	ntm_print_object(stdout, NTM_PRINT_TEXT, tunnel, show_lines);
	if (routes) {
		putchar('\n');
		ntm_print_table(stdout, NTM_PRINT_TEXT, routes, route_columns, "no routes known");
	}
}

int ntmctl_tunnel_show(const struct ntmctl *ctl)
{
	struct json_object *result;
	int r = ask_about(ctl, "tunnel show", &result);

	if (r != NTMCTL_DONE)
		return r;
	if (ctl->mode == NTM_PRINT_TEXT && json_object_is_type(result, json_type_object))
		print_tunnel(result);
	else
		ntm_print_json(stdout, ctl->mode, result);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_tunnel_close(const struct ntmctl *ctl)
{
	struct json_object *result;
	int r = ask_about(ctl, "tunnel close", &result);

	if (r != NTMCTL_DONE)
		return r;
	if (ctl->mode == NTM_PRINT_TEXT)
		printf("closed the tunnel %s\n", ctl->argv[0]);
	else
		ntm_print_json(stdout, ctl->mode, result);
	json_object_put(result);
	return NTMCTL_DONE;
}
