/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * call.c - asking the daemons over their control sockets, and showing what they answer.
 * Before it: the files of the objects. Next: lib/control.c, lib/print.c.
 */
#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "endpoint.h"
#include "ntmctl.h"

#define WHY_LEN 512 /* sentences of the daemons: bytes */

static const struct daemon_info {
	const char *name;
	const char *socket;
	const char *config;
} daemons[] = {
	[NTMCTL_NTMD] = { "ntmd", "/run/ntm/ntmd.sock", "/etc/ntm/ntmd.conf" },
	[NTMCTL_DC] = { "ntm-dc", "/run/ntm/dc.sock", "/etc/ntm/dc.conf" },
	[NTMCTL_RS] = { "ntm-rs", "/run/ntm/rs.sock", "/etc/ntm/rs.conf" },
};

/* ---- asking */

struct json_object *ntmctl_request(const char *command)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "command", json_object_new_string(command));
	return request;
}

static int no_permission(const char *path)
{
	struct stat st;
	struct group *group = NULL;

	/* root's group is no advice */
	if (!stat(path, &st) && st.st_gid && (st.st_mode & S_IWGRP))
		group = getgrgid(st.st_gid);
	if (group)
		return ntmctl_fail("no permission for %s: run ntmctl as root (sudo ntmctl ...), or as a "
				   "member of the group %s", path, group->gr_name);
	return ntmctl_fail("no permission for %s: run ntmctl as root (sudo ntmctl ...)", path);
}

static int explain(const struct daemon_info *info, const char *path, int error, const char *why)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
	case -ENOTDIR:
		return ntmctl_fail("%s does not run, or elsewhere: nobody answers at %s\n"
				   "start it with `systemctl start %s` or `%s -c %s`, or name its socket "
				   "with --socket", info->name, path, info->name, info->name, info->config);
	case -EACCES:
	case -EPERM:
		return no_permission(path);
	default:
		if (*why)
			return ntmctl_fail("%s", why);
		return ntmctl_fail("%s at %s: %s", info->name, path, strerror(-error));
	}
}

struct follower {
	void (*part)(void *arg, struct json_object *part);
	void *arg;
	bool any; /* something came */
};

static void follow_part(void *ctx, struct json_object *part)
{
	struct follower *follower = ctx;

	follower->any = true;
	follower->part(follower->arg, part);
}

/* `ntmctl run` tells its command which ntmd serves it. */
static const char *default_socket(const struct ntmctl *ctl)
{
	const char *own = ctl->command->daemon == NTMCTL_NTMD ? getenv("NTM_CONTROL_SOCKET") : NULL;

	return own && *own ? own : daemons[ctl->command->daemon].socket;
}

bool ntmctl_answers(const struct ntmctl *ctl)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answers;

	if (fd < 0)
		return false;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s",
		 ctl->socket ? ctl->socket : default_socket(ctl));
	answers = !connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
		  (errno != ENOENT && errno != ECONNREFUSED);
	close(fd);
	return answers;
}

int ntmctl_follow(const struct ntmctl *ctl, struct json_object *request,
		  void (*part)(void *arg, struct json_object *part), void *arg)
{
	const struct daemon_info *info = &daemons[ctl->command->daemon];
	const char *path = ctl->socket ? ctl->socket : default_socket(ctl);
	struct follower follower = { part, arg, false };
	char why[WHY_LEN] = "";
	int r;

	r = ntm_control_call(path, request, follow_part, &follower, why, sizeof(why));
	json_object_put(request);
	if (r < 0)
		return explain(info, path, r, why);
	if (r > 0)
		return ntmctl_fail("%s", *why ? why : "the daemon refused without a reason");
	if (!follower.any)
		return ntmctl_fail("%s ended before it answered", info->name);
	return NTMCTL_DONE;
}

static void keep_part(void *arg, struct json_object *part)
{
	struct json_object **kept = arg;

	json_object_put(*kept);
	*kept = json_object_get(part);
}

int ntmctl_ask(const struct ntmctl *ctl, struct json_object *request, struct json_object **ret_result)
{
	struct json_object *result = NULL;
	int r = ntmctl_follow(ctl, request, keep_part, &result);

	if (r != NTMCTL_DONE)
		json_object_put(result);
	else
		*ret_result = result;
	return r;
}

/* ---- asking and showing */

int ntmctl_show_table(const struct ntmctl *ctl, const char *command, const struct ntm_print_column *columns,
		      const char *empty)
{
	struct json_object *result;
	int r = ntmctl_ask(ctl, ntmctl_request(command), &result);

	if (r != NTMCTL_DONE)
		return r;
	ntm_print_table(stdout, ctl->mode, result, columns, empty);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_show_object(const struct ntmctl *ctl, const char *command, const struct ntm_print_column *columns)
{
	struct json_object *result;
	int r = ntmctl_ask(ctl, ntmctl_request(command), &result);

	if (r != NTMCTL_DONE)
		return r;
	ntm_print_object(stdout, ctl->mode, result, columns);
	if (ctl->mode == NTM_PRINT_TEXT)
		ntm_print_flat(stdout, ctl->mode, result, columns);
	json_object_put(result);
	return NTMCTL_DONE;
}

int ntmctl_show_counters(const struct ntmctl *ctl, const char *command)
{
	struct json_object *result;
	int r = ntmctl_ask(ctl, ntmctl_request(command), &result);

	if (r != NTMCTL_DONE)
		return r;
	ntm_print_flat(stdout, ctl->mode, result, NULL);
	json_object_put(result);
	return NTMCTL_DONE;
}

static void show_event(void *arg, struct json_object *event)
{
	const struct ntmctl *ctl = arg;

	ntm_print_event(stdout, ctl->mode, event);
	fflush(stdout); /* whoever reads a pipe wants it now */
}

int ntmctl_show_events(const struct ntmctl *ctl, const char *command)
{
	int r = ntmctl_follow(ctl, ntmctl_request(command), show_event, (void *)ctl);

	if (r != NTMCTL_DONE)
		return r;
	return ntmctl_fail("%s has ended, and no more events will come", daemons[ctl->command->daemon].name);
}

/* ---- small things that the objects share */

int ntmctl_read_name(const struct ntmctl *ctl, const char *text, char ret_name[NTM_FQDN_MAX + 1])
{
	if (!ntm_name_normalise(ret_name, text))
		return NTMCTL_DONE;
	return ntmctl_usage(ctl, "\"%s\" is no name of a node, as mn.ntm.example", text);
}

struct json_object *ntmctl_join(struct json_object *object, const struct ntm_print_column *parts)
{
	char text[1024];
	size_t used = 0;

	for (; parts->key; parts++) {
		struct json_object *value = ntm_print_find(object, parts->key);
		char *part;
		int len;

		if (!value)
			continue;
		part = ntm_print_text(value, parts->form);
		len = snprintf(text + used, sizeof(text) - used, "%s%s%s", used ? " " : "", parts->title,
			       part);
		free(part);
		if (len < 0 || (size_t)len >= sizeof(text) - used)
			break;
		used += (size_t)len;
	}
	return used ? json_object_new_string_len(text, (int)used) : NULL;
}

struct json_object *ntmctl_join_each(struct json_object *array, const struct ntm_print_column *parts)
{
	struct json_object *joined;

	if (!json_object_is_type(array, json_type_array))
		return NULL;
	joined = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(array); i++)
		json_object_array_add(joined, ntmctl_join(json_object_array_get_idx(array, i), parts));
	return joined;
}
