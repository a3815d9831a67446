/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dc.c - ntmctl dc: the Direction Coordinator, by asking ntm-dc.
 */
#include <stdio.h>

#include "key.h"
#include "ntmctl.h"

static const struct ntm_print_column status_lines[] = {
	{ "name", "name", NTM_PRINT_PLAIN },
	{ "zone", "zone", NTM_PRINT_PLAIN },
	{ "virtual4", "virtual IPv4", NTM_PRINT_PLAIN },
	{ "virtual6", "virtual IPv6", NTM_PRINT_PLAIN },
	{ "listen", "listens at", NTM_PRINT_LINES },
	{ "members", "members", NTM_PRINT_COUNT },
	{ "registered", "registered now", NTM_PRINT_COUNT },
	{ "addresses_free", "free addresses", NTM_PRINT_COUNT },
	{ "paths", "paths", NTM_PRINT_COUNT },
	{ "directions", "directions now", NTM_PRINT_COUNT },
	{ "relays", "relays", NTM_PRINT_COUNT },
	{ "relays_up", "relays up", NTM_PRINT_COUNT },
	{ "peers", "other DCs", NTM_PRINT_LINES },
	{ "public_key", "public key", NTM_PRINT_PLAIN },
	{ "uptime_s", "running for", NTM_PRINT_AGO },
	{ "version", "version", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column added_lines[] = {
	{ "fqdn", "name", NTM_PRINT_PLAIN },
	{ "virtual4", "virtual IPv4", NTM_PRINT_PLAIN },
	{ "virtual6", "virtual IPv6", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column node_columns[] = {
	{ "fqdn", "NAME", NTM_PRINT_PLAIN },
	{ "virtual4", "VIRTUAL IPV4", NTM_PRINT_PLAIN },
	{ "virtual6", "VIRTUAL IPV6", NTM_PRINT_PLAIN },
	{ "registered", "HERE", NTM_PRINT_YESNO },
	{ "last_seen_s", "LAST SEEN", NTM_PRINT_AGO },
	{ "nat", "NAT", NTM_PRINT_PLAIN },
	{ "real", "REAL ADDRESSES", NTM_PRINT_LIST },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column relay_columns[] = {
	{ "name", "RELAY", NTM_PRINT_PLAIN },
	{ "state", "STATE", NTM_PRINT_PLAIN },
	{ "rtt_us", "RTT", NTM_PRINT_MS },
	{ "paths", "PATHS", NTM_PRINT_COUNT },
	{ "packets_per_s", "PACKETS/S", NTM_PRINT_COUNT },
	{ "bytes_per_s", "BYTES/S", NTM_PRINT_RATE },
	{ "cpu_permille", "CPU", NTM_PRINT_PERCENT },
	{ "endpoints", "ENDPOINTS", NTM_PRINT_LIST },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column path_columns[] = {
	{ "path_id", "PATH ID", NTM_PRINT_PLAIN },
	{ "age_s", "AGE", NTM_PRINT_AGO },
	{ "requester", "REQUESTER", NTM_PRINT_PLAIN },
	{ "correspondent", "CORRESPONDENT", NTM_PRINT_PLAIN },
	{ "relay", "RELAY", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

int ntmctl_dc_status(const struct ntmctl *ctl)
{
	return ntmctl_show_object(ctl, "status", status_lines);
}

int ntmctl_dc_node_add(const struct ntmctl *ctl)
{
	struct json_object *request, *result;
	char fqdn[NTM_FQDN_MAX + 1];
	uint8_t key[NTM_KEY_LEN];
	int r;

	r = ntmctl_read_name(ctl, ctl->argv[0], fqdn);
	if (r != NTMCTL_DONE)
		return r;
	if (ntm_key_parse(key, ctl->argv[1]))
		return ntmctl_usage(ctl, "\"%s\" is no public key: 44 characters of base64, as `ntmctl key "
				    "pub` prints them, are wanted", ctl->argv[1]);
	request = ntmctl_request("node add");
	json_object_object_add(request, "fqdn", json_object_new_string(fqdn));
	json_object_object_add(request, "public_key", json_object_new_string(ctl->argv[1]));
	r = ntmctl_ask(ctl, request, &result);
	if (r != NTMCTL_DONE)
		return r;
	ntm_print_object(stdout, ctl->mode, result, added_lines);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_dc_node_del(const struct ntmctl *ctl)
{
	struct json_object *request, *result;
	char fqdn[NTM_FQDN_MAX + 1];
	int r;

	r = ntmctl_read_name(ctl, ctl->argv[0], fqdn);
	if (r != NTMCTL_DONE)
		return r;
	request = ntmctl_request("node del");
	json_object_object_add(request, "fqdn", json_object_new_string(fqdn));
	r = ntmctl_ask(ctl, request, &result);
	if (r != NTMCTL_DONE)
		return r;
	if (ctl->mode == NTM_PRINT_TEXT)
		printf("%s is no member any more\n", fqdn);
	else
		ntm_print_json(stdout, ctl->mode, result);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_dc_node_list(const struct ntmctl *ctl)
{
	return ntmctl_show_table(ctl, "node list", node_columns,
				 "no members; `ntmctl dc node add FQDN PUBLIC_KEY` makes one");
}

int ntmctl_dc_relay_list(const struct ntmctl *ctl)
{
	return ntmctl_show_table(ctl, "relay list", relay_columns,
				 "no relays; a [relay \"NAME\"] section in the configuration names one");
}

int ntmctl_dc_path_list(const struct ntmctl *ctl)
{
	return ntmctl_show_table(ctl, "path list", path_columns, "no paths");
}

int ntmctl_dc_stats(const struct ntmctl *ctl)
{
	return ntmctl_show_counters(ctl, "stats");
}

int ntmctl_dc_monitor(const struct ntmctl *ctl)
{
	return ntmctl_show_events(ctl, "monitor");
}
