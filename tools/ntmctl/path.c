/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path.c - ntmctl path: why data takes the route it takes, by asking ntmd, which learnt it from the DC's
 * Route Direction and from its own probes.
 */
#include <stdio.h>

#include "ntmctl.h"

static const struct ntm_print_column explain_lines[] = {
	{ "peer", "peer", NTM_PRINT_PLAIN },
	{ "path_id", "Path ID", NTM_PRINT_PLAIN },
	{ "taken", "taken", NTM_PRINT_PLAIN },
	{ "because", "because", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column route_columns[] = {
	{ "route", "ROUTE", NTM_PRINT_PLAIN },
	{ "name", "BY", NTM_PRINT_PLAIN },
	{ "verdict", "VERDICT", NTM_PRINT_PLAIN },
	{ "why", "WHY", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

int ntmctl_path_explain(const struct ntmctl *ctl)
{
	struct json_object *request, *result;
	char fqdn[NTM_FQDN_MAX + 1];
	int r;

	r = ntmctl_read_name(ctl, ctl->argv[0], fqdn);
	if (r != NTMCTL_DONE)
		return r;
	request = ntmctl_request("path explain");
	json_object_object_add(request, "fqdn", json_object_new_string(fqdn));
	r = ntmctl_ask(ctl, request, &result);
	if (r != NTMCTL_DONE)
		return r;
	ntm_print_object(stdout, ctl->mode, result, explain_lines);
	if (ctl->mode == NTM_PRINT_TEXT) {
		putchar('\n');
		ntm_print_table(stdout, ctl->mode, ntm_print_find(result, "routes"), route_columns,
				"no routes were considered");
	}
	json_object_put(result);
	return NTMCTL_DONE;
}
