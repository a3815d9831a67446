/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ntmctl_world.h - for test_ntmctl.c: a daemon that gives canned answers, and running the program.
 */
#ifndef NTM_UNIT_NTMCTL_WORLD_H
#define NTM_UNIT_NTMCTL_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/event.h>

#include "control.h"
#include "key.h"

#define ARGS_MAX 16
#define DEADLINE_S 20 /* for one run of ntmctl, on a busy machine with sanitizers */
#define NOBODY 65534

/* RFC 7748, section 6.1: Alice's keys */
#define PRIVATE_KEY "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
#define PUBLIC_KEY "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="

static struct event_base *base;
static struct ntm_control *control;
static char dir[64], sock[96];
static int program = -1;
static struct json_object *asked; /* the last request */

/* ---- the daemon */

static const char status_json[] =
	"{\"fqdn\":\"mn.ntm.example\",\"virtual4\":\"198.18.0.1\",\"virtual6\":\"fd4e:544d:1::1\","
	"\"registered\":true,"
	"\"dc\":{\"name\":\"dc.ntm.example\",\"endpoint\":\"203.0.113.10:6866\",\"rtt_us\":412,"
	"\"state\":\"up\"},"
	"\"engine\":\"user\",\"ciphers\":["
	"{\"name\":\"chacha20-poly1305\",\"implementation\":\"openssl\",\"ns_per_1420\":850},"
	"{\"name\":\"aes-256-gcm\",\"implementation\":\"libipsec-mb\",\"ns_per_1420\":118}],"
	"\"offloads\":{\"tso\":true,\"uso\":false,\"udp_segment\":true,\"udp_gro\":true},\"threads\":2,"
	"\"socket_buffer\":{\"receive_bytes\":212992,\"send_bytes\":4194304,\"overruns\":3,"
	"\"advice\":\"sysctl -w net.core.rmem_max=4194304\"},"
	"\"nat\":\"easy\",\"real\":[\"192.168.1.2\",\"2001:db8::2\"],"
	"\"observed\":[\"198.51.100.7:40001\"],"
	"\"relays\":[{\"name\":\"rs1.ntm.example\",\"rtt_us\":900,\"endpoint\":\"203.0.113.20:6866\"},"
	"{\"name\":\"rs2.ntm.example\",\"rtt_us\":null,\"endpoint\":\"203.0.113.21:6866\"}],\"tunnels\":2,"
	"\"device\":\"ntm0\",\"dns\":{\"mode\":\"resolv.conf\",\"listen\":\"127.0.0.54:53\"},"
	"\"public_key\":\"" PUBLIC_KEY "\",\"uptime_s\":182,\"version\":\"0.1.0\"}";

#define TUNNEL \
	"\"peer\":\"cn.ntm.example\",\"path_id\":\"00c0ffee00c0ffee\",\"route\":\"relay\"," \
	"\"relay\":\"rs1.ntm.example\",\"local\":\"192.168.1.2:6866\",\"remote\":\"203.0.113.20:6866\"," \
	"\"engine\":\"user\",\"cipher\":\"aes-256-gcm\",\"rx_bytes\":12897484,\"tx_bytes\":1000," \
	"\"rx_packets\":9001,\"tx_packets\":10,\"drops\":3,\"rtt_us\":1234," \
	"\"established_s\":75,\"state\":\"up\",\"virtual4\":\"198.18.0.2\",\"virtual6\":\"fd4e:544d:1::2\"," \
	"\"key_age_s\":61,\"side\":\"requester\",\"route_kind\":\"relay\""

static const struct canned {
	const char *command, *json;
} canned[] = {
	{ "status", status_json },
	{ "tunnel list", "[{" TUNNEL "}]" },
	{ "tunnel show",
	  "{" TUNNEL ",\"standby\":{\"name\":\"rs1.ntm.example\",\"endpoint\":\"203.0.113.20:6866\","
	  "\"bound\":true},"
	  "\"routes\":[{\"kind\":\"direct4\",\"remote\":\"203.0.113.5:6866\",\"local\":\"192.168.1.2:6866\","
	  "\"state\":\"probing\",\"rtt_us\":null}],\"lane\":\"bulk\",\"held_packets\":0,\"phase\":2,"
	  "\"peer_public_key\":\"" PUBLIC_KEY "\"}" },
	{ "tunnel close", "{\"path_id\":\"00c0ffee00c0ffee\"}" },
	{ "path explain",
	  "{\"peer\":\"cn.ntm.example\",\"path_id\":\"00c0ffee00c0ffee\",\"taken\":\"relay\",\"routes\":["
	  "{\"route\":\"direct6\",\"verdict\":\"no\",\"why\":\"cn.ntm.example has no IPv6\"},"
	  "{\"route\":\"relay\",\"name\":\"rs1.ntm.example\",\"verdict\":\"taken\","
	  "\"why\":\"least round trip\"}]}" },
	{ "netcheck",
	  "{\"real\":[\"192.168.1.2\"],\"nat\":\"hard\",\"observed\":[],\"ipv4\":true,\"ipv6\":false,"
	  "\"relays\":[{\"name\":\"rs1.ntm.example\",\"rtt_us\":null}],\"dc\":{\"name\":\"dc.ntm.example\"},"
	  "\"mtu\":1420,\"path_mtu\":["
	  "{\"name\":\"rs1.ntm.example\",\"endpoint\":\"203.0.113.20:6866\",\"mtu\":1400,\"at_least\":false,"
	  "\"known_by\":\"kernel\"},"
	  "{\"name\":\"cn.ntm.example\",\"endpoint\":\"203.0.113.5:6866\",\"mtu\":1480,\"at_least\":true,"
	  "\"known_by\":\"answer\"}]}" },
	{ "stats", "{\"drops\":{\"replay\":12,\"no_path\":0},\"engine\":{\"rx_packets\":5}}" },
	{ "node add",
	  "{\"fqdn\":\"mn.ntm.example\",\"virtual4\":\"198.18.0.1\",\"virtual6\":\"fd4e:544d:1::1\"}" },
	{ "node del", "null" },
	{ "node list", "[]" },
	{ "relay list",
	  "[{\"name\":\"rs1.ntm.example\",\"endpoints\":[\"203.0.113.20:6866\",\"[2001:db8::20]:6866\"],"
	  "\"state\":\"up\",\"rtt_us\":200,\"packets_per_s\":1000,\"bytes_per_s\":2048,\"paths\":7,"
	  "\"cpu_permille\":125}]" },
	{ "path list",
	  "[{\"path_id\":\"00c0ffee00c0ffee\",\"requester\":\"mn.ntm.example\",\"correspondent\":"
	  "\"cn.ntm.example\",\"relay\":null,\"age_s\":5}]" },
};

static void handle(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	const struct canned *answer = ctx;
	const char *command = ntm_control_arg_string(args, "command");
	const char *peer = ntm_control_arg_string(args, "peer");

	json_object_put(asked);
	asked = json_object_get(args);
	if (peer && !strcmp(peer, "nobody.ntm.example")) {
		ntm_control_fail(request, "there is no tunnel to %s", peer);
		return;
	}
	for (size_t i = 0; i < sizeof(canned) / sizeof(canned[0]); i++, answer++) {
		if (!strcmp(answer->command, command)) {
			ntm_control_reply(request, json_tokener_parse(answer->json));
			return;
		}
	}
	ntm_control_fail(request, "nothing is canned for %s", command);
}

/* cn answers the first of two, nobody.ntm.example none. */
static void handle_ping(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	const char *fqdn = ntm_control_arg_string(args, "fqdn");
	int answers = fqdn && !strcmp(fqdn, "cn.ntm.example");

	(void)ctx;
	json_object_put(asked);
	asked = json_object_get(args);
	if (answers)
		ntm_control_event(request, json_tokener_parse("{\"seq\":1,\"rtt_us\":412,\"route\":\"direct\","
							      "\"remote\":\"203.0.113.5:6866\"}"));
	ntm_control_event(request, json_tokener_parse("{\"seq\":2,\"timeout\":true}"));
	ntm_control_reply(request,
			  json_tokener_parse(answers ? "{\"sent\":2,\"received\":1,\"min_us\":412,\"avg_us\":412,"
						       "\"max_us\":412}" :
						       "{\"sent\":1,\"received\":0}"));
}

static void handle_monitor(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	(void)ctx;
	(void)args;
	ntm_control_event(request, json_tokener_parse("{\"time\":1763765006.0426,\"event\":\"tunnel_up\","
						      "\"peer\":\"cn.ntm.example\"}"));
	ntm_control_reply(request, json_tokener_parse("{\"time\":1763765007.5,\"event\":\"end\"}"));
}

static const struct ntm_control_command commands[] = {
	{ "status", handle },	    { "tunnel list", handle },	   { "tunnel show", handle },
	{ "tunnel close", handle }, { "path explain", handle },	   { "netcheck", handle },
	{ "stats", handle },	    { "node add", handle },	   { "node del", handle },
	{ "node list", handle },    { "relay list", handle },	   { "path list", handle },
	{ "ping", handle_ping },    { "monitor", handle_monitor }, { NULL, NULL },
};

static int start(void **state)
{
	const char *bin = getenv("NTM_BIN"), *tmp = getenv("TMPDIR");
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/ntmctl", bin ? bin : ".output");
	program = open(path, O_RDONLY | O_CLOEXEC);
	if (program < 0)
		return 0; /* each test skips itself */
	snprintf(dir, sizeof(dir), "%.30s/ntmctl-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(sock, sizeof(sock), "%s/daemon.sock", dir);
	base = event_base_new();
	return base ? ntm_control_open(&control, base, sock, commands, (void *)canned) : -1;
}

static int stop(void **state)
{
	(void)state;
	if (program < 0)
		return 0;
	json_object_put(asked);
	ntm_control_close(control);
	event_base_free(base);
	close(program);
	return rmdir(dir);
}

/* ---- running the program */

struct run {
	int status; /* exit status */
	char *out, *err;
};

struct reader {
	struct evbuffer *text;
	struct event *event;
	int *open; /* readers that have not seen the end */
};

static void on_output(int fd, short what, void *arg)
{
	struct reader *reader = arg;

	(void)what;
	if (evbuffer_read(reader->text, fd, -1) > 0)
		return;
	event_del(reader->event);
	if (!--*reader->open)
		event_base_loopbreak(base);
}

static void on_deadline(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	event_base_loopbreak(base);
}

static void reader_begin(struct reader *reader, int fd, int *open_readers)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	reader->text = evbuffer_new();
	reader->event = event_new(base, fd, EV_READ | EV_PERSIST, on_output, reader);
	reader->open = open_readers;
	assert_int_equal(event_add(reader->event, NULL), 0);
}

static char *reader_end(struct reader *reader)
{
	char *text;

	evbuffer_add(reader->text, "", 1);
	text = strdup((char *)evbuffer_pullup(reader->text, -1));
	evbuffer_free(reader->text);
	event_free(reader->event);
	return text;
}

/* In the child: runs ntmctl; uid other than 0 is changed to. */
static _Noreturn void exec_program(const char *const *args, const int fds[3], uid_t uid)
{
	char *argv[ARGS_MAX + 1] = { (char *)"ntmctl" };

	for (int i = 0; args[i] && i + 1 < ARGS_MAX; i++)
		argv[i + 1] = (char *)args[i];
	for (int i = 0; i < 3; i++)
		dup2(fds[i], i);
	if (uid && (setgroups(0, NULL) || setgid(uid) || setuid(uid)))
		_exit(126);
	fexecve(program, argv, environ);
	_exit(127);
}

/* Gives input to ntmctl, and serves it until it ends. */
static void run_as(struct run *run, uid_t uid, const char *input, const char *const *args)
{
	struct timeval deadline = { DEADLINE_S, 0 };
	struct reader out, err;
	struct event *late;
	int in_pipe[2], out_pipe[2], err_pipe[2];
	int status, open_readers = 2;
	pid_t pid;

	assert_int_equal(pipe2(in_pipe, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out_pipe, O_CLOEXEC), 0);
	assert_int_equal(pipe2(err_pipe, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		exec_program(args, (int[]){ in_pipe[0], out_pipe[1], err_pipe[1] }, uid);
	close(in_pipe[0]);
	close(out_pipe[1]);
	close(err_pipe[1]);
	assert_int_equal(write(in_pipe[1], input, strlen(input)), strlen(input)); /* fits into the pipe */
	close(in_pipe[1]);
	reader_begin(&out, out_pipe[0], &open_readers);
	reader_begin(&err, err_pipe[0], &open_readers);
	late = evtimer_new(base, on_deadline, NULL);
	assert_int_equal(evtimer_add(late, &deadline), 0);
	event_base_dispatch(base);
	event_free(late);
	if (open_readers)
		kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	run->out = reader_end(&out);
	run->err = reader_end(&err);
	close(out_pipe[0]);
	close(err_pipe[0]);
	assert_true(WIFEXITED(status));
	run->status = WEXITSTATUS(status);
}

static void run_end(struct run *run)
{
	free(run->out);
	free(run->err);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define ASK(...) ARGS("--socket", sock, __VA_ARGS__)

/* Runs and expects exactly this status and output, and nothing on stderr if it was done. */
static void assert_run(const char *const *args, int status, const char *out)
{
	struct run run;

	run_as(&run, 0, "", args);
	if (run.status != status)
		print_error("%s", run.err);
	assert_int_equal(run.status, status);
	assert_string_equal(run.out, out);
	if (!status)
		assert_string_equal(run.err, "");
	run_end(&run);
}

/* Runs and expects this status, nothing on stdout, and these words in stderr. */
static void assert_refused(const char *const *args, int status, const char *words)
{
	struct run run;

	run_as(&run, 0, "", args);
	assert_int_equal(run.status, status);
	assert_string_equal(run.out, "");
	if (!strstr(run.err, words) || strncmp(run.err, "ntmctl: ", 8)) {
		print_error("\"%s\" is not in: %s", words, run.err);
		fail();
	}
	run_end(&run);
}

static void assert_asked(const char *name, const char *value)
{
	const char *was = ntm_control_arg_string(asked, name);

	assert_non_null(was);
	assert_string_equal(was, value);
}

static void skip_without_program(void)
{
	if (program < 0)
		skip();
}

#endif
