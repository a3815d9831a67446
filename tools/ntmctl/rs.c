/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * rs.c - ntmctl rs: the Relay Server, by asking ntm-rs.
 */
#include <stdio.h>

#include "ntmctl.h"

static const struct ntm_print_column dc_parts[] = {
	{ "name", "", NTM_PRINT_PLAIN },
	{ "connected", "connected: ", NTM_PRINT_YESNO },
	{ "paths", "paths: ", NTM_PRINT_PLAIN },
	{ "max_paths", "of ", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column interface_parts[] = {
	{ "name", "", NTM_PRINT_PLAIN },
	{ "mode", "", NTM_PRINT_PLAIN },
	{ "why", "because: ", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column status_lines[] = {
	{ "name", "name", NTM_PRINT_PLAIN },
	{ "listen", "listens at", NTM_PRINT_LINES },
	{ "dcs", "coordinators", NTM_PRINT_LINES },
	{ "mode", "mode", NTM_PRINT_PLAIN },
	{ "mode_why", "because", NTM_PRINT_PLAIN },
	{ "interfaces", "interfaces", NTM_PRINT_LINES },
	{ "pin_dir", "pinned in", NTM_PRINT_PLAIN },
	{ "draining", "draining", NTM_PRINT_YESNO },
	{ "paths", "paths", NTM_PRINT_COUNT },
	{ "bound", "bound on both legs", NTM_PRINT_COUNT },
	{ "inherited", "not yet directed again", NTM_PRINT_COUNT },
	{ "packets_per_s", "packets/s", NTM_PRINT_COUNT },
	{ "bytes_per_s", "bytes/s", NTM_PRINT_RATE },
	{ "cpu_permille", "CPU", NTM_PRINT_PERCENT },
	{ "public_key", "public key", NTM_PRINT_PLAIN },
	{ "uptime_s", "running for", NTM_PRINT_AGO },
	{ "version", "version", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

/* Which DC directed a path and when it expires is in the JSON: the table is wide enough. */
static const struct ntm_print_column tunnel_columns[] = {
	{ "path_id", "PATH ID", NTM_PRINT_PLAIN },
	{ "age_s", "AGE", NTM_PRINT_AGO },
	{ "idle_s", "IDLE", NTM_PRINT_AGO },
	{ "bytes0", "FROM LEG 0", NTM_PRINT_BYTES },
	{ "bytes1", "FROM LEG 1", NTM_PRINT_BYTES },
	{ "drops", "DROPS", NTM_PRINT_COUNT },
	{ "leg0", "LEG 0", NTM_PRINT_PLAIN },
	{ "leg1", "LEG 1", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

/* Text has a line for each. */
static void interfaces_join(const struct ntmctl *ctl, struct json_object *result)
{
	struct json_object *interfaces = ntm_print_find(result, "interfaces");

	if (ctl->mode == NTM_PRINT_TEXT && interfaces)
		json_object_object_add(result, "interfaces", ntmctl_join_each(interfaces, interface_parts));
}

int ntmctl_rs_status(const struct ntmctl *ctl)
{
	struct json_object *result;
	int r = ntmctl_ask(ctl, ntmctl_request("status"), &result);

	if (r != NTMCTL_DONE)
		return r;
	if (ctl->mode == NTM_PRINT_TEXT && ntm_print_find(result, "dcs"))
		json_object_object_add(result, "dcs",
				       ntmctl_join_each(ntm_print_find(result, "dcs"), dc_parts));
	interfaces_join(ctl, result);
	ntm_print_object(stdout, ctl->mode, result, status_lines);
	if (ctl->mode == NTM_PRINT_TEXT)
		ntm_print_flat(stdout, ctl->mode, result, status_lines);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_rs_tunnel_list(const struct ntmctl *ctl)
{
	return ntmctl_show_table(ctl, "tunnel list", tunnel_columns, "no relayed paths");
}

int ntmctl_rs_stats(const struct ntmctl *ctl)
{
	return ntmctl_show_counters(ctl, "stats");
}

static int attached(const struct ntmctl *ctl, const char *command)
{
	struct json_object *result;
	int r = ntmctl_ask(ctl, ntmctl_request(command), &result);

	if (r != NTMCTL_DONE)
		return r;
	interfaces_join(ctl, result);
	ntm_print_object(stdout, ctl->mode, result, status_lines);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_rs_attach(const struct ntmctl *ctl)
{
	return attached(ctl, "attach");
}

int ntmctl_rs_detach(const struct ntmctl *ctl)
{
	return attached(ctl, "detach");
}

/* The paths that are left, every time it is asked. */
int ntmctl_rs_drain(const struct ntmctl *ctl)
{
	struct json_object *request, *result, *draining, *paths;
	int r;

	request = ntmctl_request("drain");
	json_object_object_add(request, "cancel", json_object_new_int(ctl->cancel));
	r = ntmctl_ask(ctl, request, &result);
	if (r != NTMCTL_DONE)
		return r;
	draining = ntm_print_find(result, "draining");
	paths = ntm_print_find(result, "paths");
	if (ctl->mode != NTM_PRINT_TEXT)
		ntm_print_json(stdout, ctl->mode, result);
	else if (json_object_get_boolean(draining))
		printf("draining, %lld paths left\n", (long long)json_object_get_int64(paths));
	else
		printf("not draining, %lld paths\n", (long long)json_object_get_int64(paths));
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_rs_monitor(const struct ntmctl *ctl)
{
	return ntmctl_show_events(ctl, "monitor");
}
