/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * control.c - the daemon's end of the control socket. Who may connect is decided by the socket's mode (0660)
 * alone. Neighbours: control_client.c is ntmctl's end; the tables of commands are in daemon/, dc/ and rs/
 * control.c.
 *
 * A client has one request at a time: its next line is read when the answer to the last one has been sent,
 * so neither side can make the other one buffer without limit.
 */
#include "control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

#define CLIENTS_MAX 64
#define REQUEST_MAX 65536 /* bytes of one line */
#define EVENTS_MAX (1 << 20) /* bytes of events that a client has not read yet */
#define IDLE_S 60 /* without a request */
#define WRITE_S 10 /* for a client that reads nothing */
#define NESTING_MAX 16

struct control_client {
	LIST_ENTRY(control_client) link;
	struct ntm_control *control;
	struct bufferevent *bev;
	struct event *drop; /* frees the client from the loop, not from under whoever sends an event */
	struct ntm_control_request *request; /* the one that waits, or NULL */
	bool closing; /* once all is sent */
	bool ended; /* it will send no more */
	bool dropped;
};

struct ntm_control_request {
	struct control_client *client;
	void (*gone)(void *arg);
	void *gone_arg;
};

struct ntm_control {
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *retry; /* accepting goes on */
	const struct ntm_control_command *commands;
	void *ctx;
	LIST_HEAD(, control_client) clients;
	unsigned count;
	dev_t dev; /* of the socket file, which another daemon may have replaced when we close */
	ino_t ino;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

/* ---- one client */

static void client_free(struct control_client *client)
{
	struct ntm_control_request *request = client->request;

	client->request = NULL;
	if (request) {
		if (request->gone)
			request->gone(request->gone_arg);
		free(request);
	}
	LIST_REMOVE(client, link);
	client->control->count--;
	event_free(client->drop);
	bufferevent_free(client->bev);
	free(client);
}

/* Waiting for a command has a limit, a command has none: `monitor` runs for days. */
static void client_timeouts(struct control_client *client)
{
	struct timeval idle = {.tv_sec = IDLE_S}, slow = {.tv_sec = WRITE_S};

	bufferevent_set_timeouts(client->bev, client->request || client->ended ? NULL : &idle, &slow);
}

/* Takes over line. */
static int client_send(struct control_client *client, struct json_object *line)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	int r = !text || bufferevent_write(client->bev, text, len) || bufferevent_write(client->bev, "\n", 1)
			? -ENOMEM
			: 0;

	json_object_put(line);
	return r;
}

static struct json_object *line_new(bool ok, const char *part, struct json_object *value)
{
	struct json_object *line = json_object_new_object();

	json_object_object_add(line, "ok", json_object_new_boolean(ok));
	json_object_object_add(line, part, value);
	return line;
}

static void client_refuse(struct control_client *client, const char *sentence)
{
	client_send(client, line_new(false, "error", json_object_new_string(sentence)));
}

/* A whole JSON object and nothing else, or NULL. */
static struct json_object *line_parse(const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(NESTING_MAX);
	struct json_object *object = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, line, (int)len);
	if (object &&
	    (json_tokener_get_error(tokener) != json_tokener_success ||
	     json_tokener_get_parse_end(tokener) != len || !json_object_is_type(object, json_type_object))) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

static void client_command(struct control_client *client, const char *line, size_t len)
{
	const struct ntm_control_command *command = client->control->commands;
	struct json_object *args = line_parse(line, len);
	const char *name = args ? ntm_control_arg_string(args, "command") : NULL;
	char sentence[128];

	while (name && command->name && strcmp(command->name, name))
		command++;
	if (!name) {
		client_refuse(client, "expected one JSON object a line with the string \"command\"");
	} else if (!command->name) {
		snprintf(sentence, sizeof(sentence), "this daemon has no command '%.64s'", name);
		client_refuse(client, sentence);
	} else {
		client->request = calloc(1, sizeof(*client->request));
		if (client->request) {
			client->request->client = client;
			command->handle(client->control->ctx, client->request, args);
		} else {
			client_refuse(client, "no memory is left");
		}
	}
	json_object_put(args);
}

/* Takes the next line if its turn has come. May free the client. */
static void client_advance(struct control_client *client)
{
	struct evbuffer *in = bufferevent_get_input(client->bev), *out = bufferevent_get_output(client->bev);

	while (!client->request && !evbuffer_get_length(out)) {
		size_t len, waiting = evbuffer_get_length(in);
		char *line;

		if (client->closing) {
			client_free(client);
			return;
		}
		line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF);
		if (line && len <= REQUEST_MAX) {
			client_command(client, line, len);
		} else if (line || waiting > REQUEST_MAX) {
			client_refuse(client, "the request is longer than 65536 bytes");
			client->closing = true;
		} else if (client->ended) {
			client->closing = true;
		} else {
			break;
		}
		free(line);
	}
	client_timeouts(client);
}

static void on_progress(struct bufferevent *bev, void *arg)
{
	struct control_client *client = arg;

	(void)bev;
	if (!client->dropped)
		client_advance(client);
}

/* `echo ... | nc -U` ends its sending direction and still waits for the answer: not gone. */
static bool half_closed(struct bufferevent *bev)
{
	struct pollfd fd = {.fd = bufferevent_getfd(bev), .events = POLLIN};

	return poll(&fd, 1, 0) >= 0 && !(fd.revents & (POLLHUP | POLLERR));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct control_client *client = arg;

	if ((what & BEV_EVENT_EOF) && !client->dropped && half_closed(bev)) {
		client->ended = true;
		client_advance(client);
	} else {
		client_free(client);
	}
}

static void on_drop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_free(arg);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
		      void *arg)
{
	static const char full[] = "{\"ok\":false,\"error\":\"the daemon serves 64 clients already\"}\n";
	struct ntm_control *control = arg;
	struct control_client *client = NULL;

	(void)listener;
	(void)sa;
	(void)len;
	if (control->count >= CLIENTS_MAX) {
		send(fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* or not */
		goto err_close;
	}
	client = calloc(1, sizeof(*client));
	if (!client)
		goto err_close;
	client->control = control;
	client->drop = event_new(control->base, -1, 0, on_drop, client);
	if (!client->drop)
		goto err_close;
	client->bev = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client->bev)
		goto err_event;
	LIST_INSERT_HEAD(&control->clients, client, link);
	control->count++;
	bufferevent_setcb(client->bev, on_progress, on_progress, on_event, client);
	bufferevent_setwatermark(client->bev, EV_READ, 0, REQUEST_MAX + 2);
	client_timeouts(client);
	bufferevent_enable(client->bev, EV_READ | EV_WRITE);
	return;

err_event:
	event_free(client->drop);
err_close:
	free(client);
	close(fd);
}

/* No descriptors are left: the listener stays readable, and trying on would eat the CPU. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct ntm_control *control = arg;
	struct timeval pause = {.tv_sec = 1};

	ntm_debug("control socket: %m");
	evconnlistener_disable(listener);
	evtimer_add(control->retry, &pause);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct ntm_control *control = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(control->listener);
}

/* ---- the listening socket */

/* Makes the folder, one level; removes the socket of a daemon that is dead. */
static int path_prepare(const struct sockaddr_un *sa)
{
	char folder[sizeof(sa->sun_path)];
	char *slash;
	struct stat st;
	int fd, r;

	strcpy(folder, sa->sun_path);
	slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = 0;
		if (mkdir(folder, 0755) == 0)
			chmod(folder, 0755); /* whatever the umask */
		else if (errno != EEXIST)
			return -errno;
	}
	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	close(fd);
	if (r != -ECONNREFUSED)
		return r == 0 || r == -EAGAIN ? -EADDRINUSE : r; /* EAGAIN: alive and busy */
	return unlink(sa->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int listen_at(struct ntm_control *control, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	r = path_prepare(&sa);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The file gets this mode less the umask at once, and is never open to others. */
	if (fchmod(fd, 0660) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		goto err_close;
	if (chmod(path, 0660) < 0 || stat(path, &st) < 0 || listen(fd, 16) < 0)
		goto err_unlink;
	strcpy(control->path, path);
	control->dev = st.st_dev;
	control->ino = st.st_ino;
	return fd;

err_unlink:
	r = -errno;
	unlink(path);
	close(fd);
	return r;
err_close:
	r = -errno;
	close(fd);
	return r;
}

int ntm_control_open(struct ntm_control **ret_control, struct event_base *base, const char *path,
		     const struct ntm_control_command *commands, void *ctx)
{
	struct ntm_control *control = calloc(1, sizeof(*control));
	int fd, r;

	if (!control)
		return -ENOMEM;
	control->base = base;
	control->commands = commands;
	control->ctx = ctx;
	LIST_INIT(&control->clients);
	fd = listen_at(control, path);
	if (fd < 0) {
		r = fd;
		goto err_free;
	}
	r = -ENOMEM;
	control->retry = evtimer_new(base, on_retry, control);
	if (!control->retry)
		goto err_unlink;
	control->listener = evconnlistener_new(base, on_accept, control,
					       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!control->listener)
		goto err_event;
	evconnlistener_set_error_cb(control->listener, on_accept_error);
	*ret_control = control;
	return 0;

err_event:
	event_free(control->retry);
err_unlink:
	unlink(path);
	close(fd);
err_free:
	free(control);
	return r;
}

void ntm_control_close(struct ntm_control *control)
{
	struct control_client *client;
	struct stat st;

	if (!control)
		return;
	while ((client = LIST_FIRST(&control->clients))) {
		/* What is answered already should still arrive. */
		evbuffer_unfreeze(bufferevent_get_output(client->bev), 1);
		evbuffer_write(bufferevent_get_output(client->bev), bufferevent_getfd(client->bev));
		client_free(client);
	}
	evconnlistener_free(control->listener);
	event_free(control->retry);
	if (lstat(control->path, &st) == 0 && st.st_dev == control->dev && st.st_ino == control->ino)
		unlink(control->path);
	free(control);
}

/* ---- answers */

static void request_end(struct ntm_control_request *request, struct json_object *line)
{
	struct control_client *client = request->client;

	client->request = NULL;
	free(request);
	if (client->dropped) { /* on_drop is on its way */
		json_object_put(line);
		return;
	}
	/* Half an answer is none. The next line is taken in on_progress(), when this one is sent. */
	if (client_send(client, line) < 0)
		client->closing = true;
	client_timeouts(client);
}

void ntm_control_reply(struct ntm_control_request *request, struct json_object *result)
{
	request_end(request, line_new(true, "result", result));
}

void ntm_control_fail(struct ntm_control_request *request, const char *format, ...)
{
	char sentence[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	request_end(request, line_new(false, "error", json_object_new_string(sentence)));
}

int ntm_control_event(struct ntm_control_request *request, struct json_object *event)
{
	struct control_client *client = request->client;
	struct json_object *line = line_new(true, "event", event);

	if (client->dropped) {
		json_object_put(line);
		return -EPIPE;
	}
	if (client_send(client, line) == 0 &&
	    evbuffer_get_length(bufferevent_get_output(client->bev)) <= EVENTS_MAX)
		return 0;
	client->dropped = true;
	bufferevent_disable(client->bev, EV_READ | EV_WRITE);
	event_active(client->drop, EV_TIMEOUT, 0);
	return -EPIPE;
}

void ntm_control_on_gone(struct ntm_control_request *request, void (*gone)(void *arg), void *arg)
{
	request->gone = gone;
	request->gone_arg = arg;
}

/* ---- arguments */

const char *ntm_control_arg_string(struct json_object *args, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(args, name, &value) || !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

int64_t ntm_control_arg_int(struct json_object *args, const char *name, int64_t fallback)
{
	struct json_object *value;

	if (!json_object_object_get_ex(args, name, &value) || !json_object_is_type(value, json_type_int))
		return fallback;
	return json_object_get_int64(value);
}
