/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_control.c - lib/control.c and lib/control_client.c against each other and against rude clients. The
 * server runs in this thread's loop, ntm_control_call() in another thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"

static char folder[] = "/tmp/ntm-test-control-XXXXXX";
static char path[64];
static struct event_base *base;
static struct ntm_control *control;
static struct ntm_control_request *kept; /* by "later" */
static int gone_calls;

static void gone(void *arg)
{
	assert_ptr_equal(arg, &gone_calls);
	kept = NULL;
	gone_calls++;
}

static void handle_echo(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *result = json_object_new_object();

	assert_ptr_equal(ctx, path);
	json_object_object_add(result, "text",
			       json_object_new_string(ntm_control_arg_string(args, "text") ?: "(none)"));
	json_object_object_add(result, "number",
			       json_object_new_int64(ntm_control_arg_int(args, "number", -7)));
	ntm_control_reply(request, result);
}

static void handle_refuse(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	(void)ctx;
	(void)args;
	ntm_control_fail(request, "%s at %d", "no", 3);
}

static void handle_later(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	(void)ctx;
	(void)args;
	assert_null(kept); /* one request a client, and the tests have one client with this */
	kept = request;
	ntm_control_on_gone(request, gone, &gone_calls);
}

static void handle_count(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	(void)ctx;
	for (int i = 0; i < ntm_control_arg_int(args, "to", 0); i++)
		assert_int_equal(ntm_control_event(request, json_object_new_int(i)), 0);
	ntm_control_reply(request, NULL);
}

static const struct ntm_control_command commands[] = {
	{"echo", handle_echo}, {"refuse it", handle_refuse}, {"later", handle_later}, {"count", handle_count},
	{NULL, NULL},
};

static int open_control(void **state)
{
	(void)state;
	base = event_base_new();
	snprintf(path, sizeof(path), "%s/run/sock", folder);
	gone_calls = 0;
	kept = NULL;
	return ntm_control_open(&control, base, path, commands, path);
}

static int close_control(void **state)
{
	(void)state;
	ntm_control_close(control);
	control = NULL;
	event_base_free(base);
	return 0;
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char run[64];

	(void)state;
	snprintf(run, sizeof(run), "%s/run", folder);
	rmdir(run);
	return rmdir(folder);
}

/* ---- a raw client in this thread */

static void steps(int ms)
{
	struct timeval tv = {.tv_usec = ms * 1000};

	event_base_loopexit(base, &tv);
	event_base_loop(base, 0);
}

static int raw_connect(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void raw_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	steps(20);
}

/* What has come by now. */
static const char *raw_read(int fd)
{
	static char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = 0;
	return n < 0 ? (errno == EAGAIN ? "(nothing)" : "(error)") : n == 0 ? "(end)" : buf;
}

#define ECHO_7 "{\"ok\":true,\"result\":{\"text\":\"(none)\",\"number\":-7}}\n"

static void answers_keep_the_order_of_requests_in_one_write(void **state)
{
	int fd = raw_connect();

	(void)state;
	raw_send(fd, "{\"command\":\"echo\",\"text\":\"a/"
		     "\\n\"}\n{\"command\":\"later\"}\r\n{\"command\":\"echo\"}\n");
	assert_string_equal(raw_read(fd), "{\"ok\":true,\"result\":{\"text\":\"a/\\n\",\"number\":-7}}\n");
	assert_non_null(kept);
	ntm_control_reply(kept, json_object_new_string("now"));
	kept = NULL;
	steps(20);
	assert_string_equal(raw_read(fd), "{\"ok\":true,\"result\":\"now\"}\n" ECHO_7);
	assert_int_equal(gone_calls, 0);
	close(fd);
}

static void lines_that_are_no_command_get_a_reason(void **state)
{
	static const char *const bad[] = {"\n",
					  "x\n",
					  "[]\n",
					  "{}\n",
					  "{\"command\":1}\n",
					  "{\"command\":\"echo\"} x\n",
					  "{\"command\":\"echo\"\n",
					  "{\"command\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}\n"};
	int fd = raw_connect();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		raw_send(fd, bad[i]);
		assert_string_equal(raw_read(fd),
				    "{\"ok\":false,\"error\":\"expected one JSON object a line with the "
				    "string \\\"command\\\"\"}\n");
	}
	raw_send(fd, "{\"command\":\"fly\"}\n");
	assert_string_equal(raw_read(fd), "{\"ok\":false,\"error\":\"this daemon has no command 'fly'\"}\n");
	raw_send(fd, "{\"command\":\"echo\"}\n");
	assert_string_equal(raw_read(fd), ECHO_7);
	close(fd);
}

static void a_request_of_more_than_64_kib_ends_the_client(void **state)
{
	char *text = malloc(70000);
	int fd = raw_connect();

	(void)state;
	memset(text, ' ', 70000);
	assert_int_equal(send(fd, text, 70000, MSG_NOSIGNAL), 70000);
	steps(50);
	assert_string_equal(raw_read(fd),
			    "{\"ok\":false,\"error\":\"the request is longer than 65536 bytes\"}\n");
	assert_string_not_equal(raw_read(fd), "(nothing)");
	close(fd);
	free(text);
}

static void a_client_that_goes_is_told_of_once(void **state)
{
	int fd = raw_connect();

	(void)state;
	raw_send(fd, "{\"command\":\"later\"}\n");
	assert_non_null(kept);
	assert_int_equal(gone_calls, 0);
	close(fd);
	steps(20);
	assert_int_equal(gone_calls, 1);
}

static void a_client_that_only_ends_its_sending_gets_its_answer(void **state)
{
	int fd = raw_connect();

	(void)state;
	raw_send(fd, "{\"command\":\"later\"}\n");
	shutdown(fd, SHUT_WR);
	steps(20);
	assert_int_equal(gone_calls, 0);
	assert_non_null(kept);
	ntm_control_fail(kept, "late");
	steps(20);
	assert_string_equal(raw_read(fd), "{\"ok\":false,\"error\":\"late\"}\n");
	assert_string_equal(raw_read(fd), "(end)");
	close(fd);
}

static void a_client_that_reads_too_slowly_is_dropped_from_the_loop(void **state)
{
	int fd = raw_connect(), sent = 0, r = 0;
	char text[1001] = {0};

	(void)state;
	memset(text, 'x', 1000);
	raw_send(fd, "{\"command\":\"later\"}\n");
	while (r == 0 && sent++ < 100000)
		r = ntm_control_event(kept, json_object_new_string(text));
	assert_int_equal(r, -EPIPE);
	assert_in_range(sent, 900, 3000); /* about a MiB, and the socket's buffer */
	assert_int_equal(gone_calls, 0); /* the sender may still be in its list */
	assert_int_equal(ntm_control_event(kept, json_object_new_string(text)), -EPIPE);
	steps(20);
	assert_int_equal(gone_calls, 1);
	close(fd);
}

static void an_answer_to_a_dropped_client_ends_its_request_without_gone(void **state)
{
	int fd = raw_connect();
	char *text = calloc(1, 2 << 20);

	(void)state;
	memset(text, 'x', (2 << 20) - 1);
	raw_send(fd, "{\"command\":\"later\"}\n");
	assert_int_equal(ntm_control_event(kept, json_object_new_string(text)), -EPIPE);
	ntm_control_reply(kept, NULL);
	steps(20);
	assert_int_equal(gone_calls, 0);
	free(text);
	close(fd);
}

static void the_sixty_fifth_client_is_refused(void **state)
{
	int fd[65];

	(void)state;
	for (int i = 0; i < 65; i++) {
		fd[i] = raw_connect();
		steps(2);
	}
	assert_string_equal(raw_read(fd[64]),
			    "{\"ok\":false,\"error\":\"the daemon serves 64 clients already\"}\n");
	assert_string_equal(raw_read(fd[64]), "(end)");
	raw_send(fd[63], "{\"command\":\"echo\"}\n");
	assert_string_equal(raw_read(fd[63]), ECHO_7);
	close(fd[0]);
	close(fd[64]);
	steps(20);
	fd[0] = raw_connect();
	raw_send(fd[0], "{\"command\":\"echo\"}\n");
	assert_string_equal(raw_read(fd[0]), ECHO_7);
	for (int i = 0; i < 64; i++)
		close(fd[i]);
}

/* ---- the socket file */

static void the_socket_is_open_to_owner_and_group_only(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

static void a_live_socket_is_left_alone_and_a_dead_one_replaced(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct ntm_control *second = NULL;
	int fd;

	(void)state;
	assert_int_equal(ntm_control_open(&second, base, path, commands, path), -EADDRINUSE);
	assert_null(second);
	ntm_control_close(control);
	assert_int_equal(access(path, F_OK), -1);

	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(ntm_control_open(&control, base, path, commands, path), 0);
	fd = raw_connect();
	raw_send(fd, "{\"command\":\"echo\"}\n");
	assert_string_equal(raw_read(fd), ECHO_7);
	close(fd);
}

static void a_file_that_is_no_socket_is_not_touched(void **state)
{
	struct ntm_control *second;
	char file[80];
	int fd;

	(void)state;
	snprintf(file, sizeof(file), "%s/run/file", folder);
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(ntm_control_open(&second, base, file, commands, path), -EEXIST);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(
		ntm_control_open(&second, base,
				 "/tmp/0123456789012345678901234567890123456789012345678901234567890123456789"
				 "0123456789012345678901234567890123456789",
				 commands, path),
		-ENAMETOOLONG);
}

static void closing_leaves_the_socket_of_a_successor(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	(void)state;
	assert_int_equal(unlink(path), 0);
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ntm_control_close(control);
	control = NULL;
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	close(fd);
}

static void closing_ends_open_requests(void **state)
{
	int fd = raw_connect();

	(void)state;
	raw_send(fd, "{\"command\":\"later\"}\n");
	ntm_control_close(control);
	control = NULL;
	assert_int_equal(gone_calls, 1);
	steps(5); /* libevent closes from the loop */
	assert_string_equal(raw_read(fd), "(end)");
	close(fd);
}

/* ---- ntm_control_call */

struct call {
	struct json_object *command;
	int lines, r;
	char text[4096], why[256];
};

static void take(void *ctx, struct json_object *part)
{
	struct call *call = ctx;
	size_t len = strlen(call->text);

	call->lines++;
	snprintf(call->text + len, sizeof(call->text) - len, "%s;",
		 json_object_to_json_string_ext(part, JSON_C_TO_STRING_PLAIN));
}

static void *call_thread(void *arg)
{
	struct call *call = arg;

	call->r = ntm_control_call(path, call->command, take, call, call->why, sizeof(call->why));
	event_base_loopbreak(base);
	return NULL;
}

static void call_run(struct call *call, const char *command)
{
	pthread_t thread;

	memset(call, 0, sizeof(*call));
	call->command = json_tokener_parse(command);
	assert_int_equal(pthread_create(&thread, NULL, call_thread, call), 0);
	steps(300);
	assert_int_equal(pthread_join(thread, NULL), 0);
	json_object_put(call->command);
}

static void a_call_gives_the_result_or_the_sentence(void **state)
{
	struct call call;

	(void)state;
	call_run(&call, "{\"command\":\"echo\",\"text\":\"\\u20ac\",\"number\":9007199254740993}");
	assert_int_equal(call.r, 0);
	assert_string_equal(call.text, "{\"text\":\"\xe2\x82\xac\",\"number\":9007199254740993};");
	call_run(&call, "{\"command\":\"refuse it\"}");
	assert_int_equal(call.r, 1);
	assert_int_equal(call.lines, 0);
	assert_string_equal(call.why, "no at 3");
}

static void a_call_gives_every_event_before_the_result(void **state)
{
	struct call call;

	(void)state;
	call_run(&call, "{\"command\":\"count\",\"to\":5}");
	assert_int_equal(call.r, 0);
	assert_string_equal(call.text, "0;1;2;3;4;null;");
}

static void a_call_without_a_daemon_says_what_to_do(void **state)
{
	struct json_object *command = json_object_new_object();
	char why[256], expected[256];

	(void)state;
	ntm_control_close(control);
	control = NULL;
	assert_int_equal(ntm_control_call(path, command, NULL, NULL, why, sizeof(why)), -ENOENT);
	snprintf(expected, sizeof(expected),
		 "%s: no daemon is there; start it, or name its socket with --socket", path);
	assert_string_equal(why, expected);
	json_object_put(command);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_control, close_control)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_keep_the_order_of_requests_in_one_write),
		TEST(lines_that_are_no_command_get_a_reason),
		TEST(a_request_of_more_than_64_kib_ends_the_client),
		TEST(a_client_that_goes_is_told_of_once),
		TEST(a_client_that_only_ends_its_sending_gets_its_answer),
		TEST(a_client_that_reads_too_slowly_is_dropped_from_the_loop),
		TEST(an_answer_to_a_dropped_client_ends_its_request_without_gone),
		TEST(the_sixty_fifth_client_is_refused),
		TEST(the_socket_is_open_to_owner_and_group_only),
		TEST(a_live_socket_is_left_alone_and_a_dead_one_replaced),
		TEST(a_file_that_is_no_socket_is_not_touched),
		TEST(closing_leaves_the_socket_of_a_successor),
		TEST(closing_ends_open_requests),
		TEST(a_call_gives_the_result_or_the_sentence),
		TEST(a_call_gives_every_event_before_the_result),
		TEST(a_call_without_a_daemon_says_what_to_do),
	};

	return cmocka_run_group_tests_name("control", tests, make_folder, remove_folder);
}
