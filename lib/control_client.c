/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * control_client.c - ntmctl's end of the control socket: one command, then lines until the result. Blocking.
 * Neighbours: control.c in the daemon; tools/ntmctl/ prints what comes back.
 */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct call {
	const char *path;
	void (*line)(void *ctx, struct json_object *part);
	void *ctx;
	char *why;
	size_t why_len;
	bool events; /* some came */
};

__attribute__((format(printf, 3, 4))) static int fail(struct call *call, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(call->why, call->why_len, format, args);
	va_end(args);
	return error;
}

static int connect_to(struct call *call)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(call->path) >= sizeof(sa.sun_path))
		return fail(call, -ENAMETOOLONG, "%.120s...: too long for a socket, at most %zu bytes",
			    call->path, sizeof(sa.sun_path) - 1);
	strcpy(sa.sun_path, call->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(call, -errno, "no socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = -errno;
	close(fd);
	switch (r) {
	case -ENOENT:
	case -ECONNREFUSED:
		return fail(call, r, "%s: no daemon is there; start it, or name its socket with --socket",
			    call->path);
	case -EACCES:
	case -EPERM:
		return fail(call, r, "%s: no permission; run as root or as a member of the socket's group",
			    call->path);
	default:
		return fail(call, r, "%s: %s", call->path, strerror(-r));
	}
}

static int send_all(struct call *call, int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(call, -errno, "%s: sending the command: %s", call->path, strerror(errno));
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_command(struct call *call, int fd, struct json_object *command)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		command, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	int r = text ? send_all(call, fd, text, len) : fail(call, -ENOMEM, "no memory is left");

	return r < 0 ? r : send_all(call, fd, "\n", 1);
}

/* 0: that was all; -EAGAIN: more will come; else as ntm_control_call(). */
static int take_line(struct call *call, const char *text)
{
	struct json_object *line = json_tokener_parse(text), *part;
	int r = -EAGAIN;

	if (!json_object_is_type(line, json_type_object) || !json_object_object_get_ex(line, "ok", &part)) {
		r = fail(call, -EPROTO, "%s: what answers there is no NTMobile daemon", call->path);
	} else if (!json_object_get_boolean(part)) {
		const char *error = ntm_control_arg_string(line, "error");

		r = fail(call, 1, "%s", error ? error : "the daemon refused without a reason");
	} else if (json_object_object_get_ex(line, "event", &part)) {
		call->events = true;
		if (call->line)
			call->line(call->ctx, part);
	} else {
		json_object_object_get_ex(line, "result", &part);
		if (call->line)
			call->line(call->ctx, part);
		r = 0;
	}
	json_object_put(line);
	return r;
}

/* Takes over fd. A signal that ntmctl handles ends it as the daemon's end would. */
static int read_lines(struct call *call, int fd)
{
	FILE *file = fdopen(fd, "r");
	char *buf = NULL;
	size_t size = 0;
	int r = -EAGAIN;

	if (!file) {
		close(fd);
		return fail(call, -ENOMEM, "no memory is left");
	}
	while (r == -EAGAIN) {
		ssize_t n = getline(&buf, &size, file);

		if (n < 0)
			break;
		if (buf[n - 1] != '\n')
			r = fail(call, -EPROTO, "%s: the daemon's answer is cut off", call->path);
		else
			r = take_line(call, buf);
	}
	if (r == -EAGAIN)
		r = call->events ? 0
				 : fail(call, -ECONNRESET, "%s: the daemon went away without an answer",
					call->path);
	free(buf);
	fclose(file);
	return r;
}

int ntm_control_call(const char *path, struct json_object *command,
		     void (*line)(void *ctx, struct json_object *part), void *ctx, char *ret_why,
		     size_t why_len)
{
	struct call call = {.path = path, .line = line, .ctx = ctx, .why = ret_why, .why_len = why_len};
	int fd, r;

	fd = connect_to(&call);
	if (fd < 0)
		return fd;
	r = send_command(&call, fd, command);
	if (r < 0) {
		close(fd);
		return r;
	}
	return read_lines(&call, fd);
}
