/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * node.c - the commands that concern the node as a whole: status, netcheck, stats, monitor.
 * They ask ntmd.
 */
#include <stdio.h>

#include "ntmctl.h"

/* A DC or relay on one line: what of it is known. */
static const struct ntm_print_column server_parts[] = {
	{ "name", "", NTM_PRINT_PLAIN },
	{ "endpoint", "", NTM_PRINT_PLAIN },
	{ "state", "", NTM_PRINT_PLAIN },
	{ "rtt_us", "", NTM_PRINT_MS },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column cipher_parts[] = {
	{ "name", "", NTM_PRINT_PLAIN },
	{ "implementation", "by ", NTM_PRINT_PLAIN },
	{ "ns_per_1420", "ns for 1420 bytes: ", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column interface_parts[] = {
	{ "name", "", NTM_PRINT_PLAIN },
	{ "mode", "XDP ", NTM_PRINT_PLAIN },
	{ "tc", "", NTM_PRINT_PLAIN },
	{ "why", "", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column dns_parts[] = {
	{ "mode", "", NTM_PRINT_PLAIN },
	{ "listen", "at ", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column buffer_parts[] = {
	{ "receive_bytes", "to receive ", NTM_PRINT_BYTES },
	{ "send_bytes", "to send ", NTM_PRINT_BYTES },
	{ "overruns", "lost packets: ", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

#define PATH_MTU_TO                               \
	{ "name", "to ", NTM_PRINT_PLAIN },       \
	{ "endpoint", "", NTM_PRINT_PLAIN },      \
	{ "known_by", "by ", NTM_PRINT_PLAIN },   \
	{ NULL, NULL, NTM_PRINT_PLAIN }

static const struct ntm_print_column path_mtu_parts[] = {
	{ "mtu", "", NTM_PRINT_PLAIN },
	PATH_MTU_TO,
};
static const struct ntm_print_column path_mtu_least[] = {
	{ "mtu", "at least ", NTM_PRINT_PLAIN },
	PATH_MTU_TO,
};

static const struct ntm_print_column status_lines[] = {
	{ "fqdn", "name", NTM_PRINT_PLAIN },
	{ "virtual4", "virtual IPv4", NTM_PRINT_PLAIN },
	{ "virtual6", "virtual IPv6", NTM_PRINT_PLAIN },
	{ "registered", "registered", NTM_PRINT_YESNO },
	{ "text.dc", "DC", NTM_PRINT_PLAIN },
	{ "dc.error", "DC error", NTM_PRINT_PLAIN },
	{ "text.relays", "relays", NTM_PRINT_LINES },
	{ "real", "real addresses", NTM_PRINT_LINES },
	{ "observed", "seen outside as", NTM_PRINT_LINES },
	{ "nat", "NAT", NTM_PRINT_PLAIN },
	{ "tunnels", "tunnels", NTM_PRINT_PLAIN },
	{ "engine", "engine", NTM_PRINT_PLAIN },
	{ "engine_why", "no BPF engine", NTM_PRINT_PLAIN },
	{ "text.interfaces", "interfaces", NTM_PRINT_LINES },
	{ "text.ciphers", "ciphers", NTM_PRINT_LINES },
	{ "offloads", "offloads", NTM_PRINT_PLAIN },
	{ "threads", "data threads", NTM_PRINT_PLAIN },
	{ "text.socket_buffer", "socket buffers", NTM_PRINT_PLAIN },
	{ "socket_buffer.advice", "larger ones by", NTM_PRINT_PLAIN },
	{ "device", "device", NTM_PRINT_PLAIN },
	{ "text.dns", "DNS", NTM_PRINT_PLAIN },
	{ "public_key", "public key", NTM_PRINT_PLAIN },
	{ "uptime_s", "running for", NTM_PRINT_AGO },
	{ "version", "version", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static const struct ntm_print_column netcheck_lines[] = {
	{ "ipv4", "IPv4", NTM_PRINT_YESNO },
	{ "ipv6", "IPv6", NTM_PRINT_YESNO },
	{ "real", "real addresses", NTM_PRINT_LINES },
	{ "observed", "seen outside as", NTM_PRINT_LINES },
	{ "nat", "NAT", NTM_PRINT_PLAIN },
	{ "mtu", "device MTU", NTM_PRINT_PLAIN },
	{ "text.path_mtu", "path MTU", NTM_PRINT_LINES },
	{ "text.dc", "DC", NTM_PRINT_PLAIN },
	{ "dc.error", "DC error", NTM_PRINT_PLAIN },
	{ "text.relays", "relays", NTM_PRINT_LINES },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

/* "rs1.ntm.example 192.0.2.1:6866 0.912 ms" each, or "... no answer". */
static struct json_object *relay_texts(struct json_object *relays)
{
	struct json_object *texts = ntmctl_join_each(relays, server_parts);

	for (size_t i = 0; texts && i < json_object_array_length(texts); i++) {
		struct json_object *text = json_object_array_get_idx(texts, i);
		char line[1100];

		if (ntm_print_find(json_object_array_get_idx(relays, i), "rtt_us"))
			continue;
		snprintf(line, sizeof(line), "%s no answer", text ? json_object_get_string(text) : "-");
		json_object_array_put_idx(texts, i, json_object_new_string(line));
	}
	return texts;
}

/* "1500 to rs1.ntm.example 192.0.2.1:6866 by kernel" each. */
static struct json_object *path_mtu_texts(struct json_object *mtus)
{
	struct json_object *texts = ntmctl_join_each(mtus, path_mtu_parts);

	for (size_t i = 0; texts && i < json_object_array_length(texts); i++) {
		struct json_object *mtu = json_object_array_get_idx(mtus, i);

		if (json_object_get_boolean(ntm_print_find(mtu, "at_least")))
			json_object_array_put_idx(texts, i, ntmctl_join(mtu, path_mtu_least));
	}
	return texts;
}

/* Shows an answer with a "dc" and "relays": for text, lines made of several values are put beside them. */
static int show(const struct ntmctl *ctl, const char *command, const struct ntm_print_column *lines)
{
	struct json_object *result, *text;
	int r = ntmctl_ask(ctl, ntmctl_request(command), &result);

	if (r != NTMCTL_DONE)
		return r;
	if (ctl->mode == NTM_PRINT_TEXT && json_object_is_type(result, json_type_object)) {
		text = json_object_new_object();
		json_object_object_add(text, "dc", ntmctl_join(ntm_print_find(result, "dc"), server_parts));
		json_object_object_add(text, "dns", ntmctl_join(ntm_print_find(result, "dns"), dns_parts));
		json_object_object_add(text, "ciphers",
				       ntmctl_join_each(ntm_print_find(result, "ciphers"), cipher_parts));
		json_object_object_add(
			text, "interfaces",
			ntmctl_join_each(ntm_print_find(result, "interfaces"), interface_parts));
		json_object_object_add(text, "socket_buffer",
				       ntmctl_join(ntm_print_find(result, "socket_buffer"), buffer_parts));
		json_object_object_add(text, "path_mtu",
				       path_mtu_texts(ntm_print_find(result, "path_mtu")));
		json_object_object_add(text, "relays", relay_texts(ntm_print_find(result, "relays")));
		json_object_object_add(result, "text", text);
	}
	ntm_print_object(stdout, ctl->mode, result, lines);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_status(const struct ntmctl *ctl)
{
	return show(ctl, "status", status_lines);
}

int ntmctl_netcheck(const struct ntmctl *ctl)
{
	return show(ctl, "netcheck", netcheck_lines);
}

int ntmctl_stats(const struct ntmctl *ctl)
{
	return ntmctl_show_counters(ctl, "stats");
}

int ntmctl_monitor(const struct ntmctl *ctl)
{
	return ntmctl_show_events(ctl, "monitor");
}
