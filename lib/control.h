/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * control.h - the control socket between a daemon and ntmctl: a Unix stream socket, one JSON object a line.
 *
 *	ntmctl -> daemon  {"command": "tunnel list", ...arguments}
 *	daemon -> ntmctl  {"ok": true, "result": ...}   or  {"ok": false, "error": "sentence for the user"}
 * `monitor` and `ping` get a {"ok": true, "event": ...} line for each event until one side closes.
 * doc/PROTOCOL.md does not cover it: it is local, and the JSON of results is documented in ntmctl(8).
 */
#ifndef NTM_LIB_CONTROL_H
#define NTM_LIB_CONTROL_H

#include <event2/event.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

struct ntm_control; /* the listening socket of a daemon */
/* One command that waits for its answer, one a client; lives until answered or the client goes. */
struct ntm_control_request;

/* A command of a daemon. handle answers now or later by ntm_control_reply/_fail; args is the whole object,
 * borrowed. */
struct ntm_control_command {
	const char *name; /* "tunnel list" */
	void (*handle)(void *ctx, struct ntm_control_request *request, struct json_object *args);
};

/*
 * Listens at path (mode 0660, its folder made with 0755 if missing; a stale socket of a dead daemon is
 * replaced, a live one refused with -EADDRINUSE, another kind of file with -EEXIST). commands ends with a
 * NULL name. At most 64 clients, 64 KiB a request; a client that sends or reads nothing for long is dropped.
 * 0 or -errno.
 */
int ntm_control_open(struct ntm_control **ret_control, struct event_base *base, const char *path,
		     const struct ntm_control_command *commands, void *ctx);
/* Unlinks the socket; open requests end as if their clients had gone. Not from a handle(); NULL: nothing. */
void ntm_control_close(struct ntm_control *control);

/* Answers and ends the request, which is freed; takes over result (NULL: null). */
void ntm_control_reply(struct ntm_control_request *request, struct json_object *result);
void ntm_control_fail(struct ntm_control_request *request, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * For long commands: sends an event line and stays open. Takes over event. 0, or -EPIPE if the client reads
 * too slowly: then it is dropped from the loop soon, and the request is good until gone() or its answer as
 * always.
 */
int ntm_control_event(struct ntm_control_request *request, struct json_object *event);
/*
 * Called when the client goes before the answer: the request is freed after gone() returns and must not be
 * answered in it. A client that only ends its sending direction is still there.
 */
void ntm_control_on_gone(struct ntm_control_request *request, void (*gone)(void *arg), void *arg);

/* ---- the client's side, blocking */

/*
 * Sends the command and calls line() for every JSON object that comes back ("result" or "event" part), until
 * the result or the end. Returns 0, 1 with the daemon's sentence in ret_why, or -errno with what to do in
 * ret_why (no daemon there, no permission). command and part are borrowed; an end after events is no error.
 */
int ntm_control_call(const char *path, struct json_object *command,
		     void (*line)(void *ctx, struct json_object *part), void *ctx, char *ret_why,
		     size_t why_len);

/* Small helpers for args. */
const char *ntm_control_arg_string(struct json_object *args, const char *name); /* NULL: missing */
int64_t ntm_control_arg_int(struct json_object *args, const char *name, int64_t fallback);

#endif
