/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * event.c - `ntmctl monitor`: what happens, as it happens, to everyone who listens.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ntmd.h"

struct ntmd_monitor {
	LIST_ENTRY(ntmd_monitor) next;
	struct ntm_control_request *request;
};

static void gone(void *arg)
{
	struct ntmd_monitor *monitor = arg;

	LIST_REMOVE(monitor, next);
	free(monitor);
}

void ntmd_event_monitor(struct ntmd *ntmd, struct ntm_control_request *request)
{
	struct ntmd_monitor *monitor = calloc(1, sizeof(*monitor));

	if (!monitor) {
		ntm_control_fail(request, "out of memory");
		return;
	}
	monitor->request = request;
	LIST_INSERT_HEAD(&ntmd->monitor, monitor, next);
	ntm_control_on_gone(request, gone, monitor);
}

const char *ntmd_event_number(char *text, size_t len, uint64_t number)
{
	snprintf(text, len, "%llu", (unsigned long long)number);
	return text;
}

/* As it stands there: a number that is printed has the digits it was written with. */
static struct json_object *number_of(const char *text)
{
	return strchr(text, '.') ? json_object_new_double_s(strtod(text, NULL), text) :
				   json_object_new_uint64(strtoull(text, NULL, 10));
}

void ntmd_event(struct ntmd *ntmd, const char *event, ...)
{
	struct ntmd_monitor *monitor, *next;
	struct timespec now;

	if (LIST_EMPTY(&ntmd->monitor))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	for (monitor = LIST_FIRST(&ntmd->monitor); monitor; monitor = next) {
		struct json_object *o = json_object_new_object();
		const char *name, *value;
		va_list args;

		next = LIST_NEXT(monitor, next);
		json_object_object_add(
			o, "time", json_object_new_double((double)now.tv_sec + (double)now.tv_nsec / 1e9));
		json_object_object_add(o, "event", json_object_new_string(event));
		va_start(args, event);
		while ((name = va_arg(args, const char *)) && (value = va_arg(args, const char *)))
			if (*name == '#')
				json_object_object_add(o, name + 1, number_of(value));
			else
				json_object_object_add(o, name, json_object_new_string(value));
		va_end(args);
		ntm_control_event(monitor->request, o);
	}
}
