/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_rs_relay.c - the Relay Server: DCs direct paths, two nodes bind their legs over IPv4 and IPv6 and send
 * through it; strangers, replays and forged binds get nowhere, and nobody is ever sent more than he sent.
 * What is around the server is in rs_world.h.
 */
#include "rs_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/un.h>

/* ---- directions and reports */

static void directions(void **state)
{
	struct pair pair = pair_directed(true, true);
	uint8_t body[NTM_MSG_HEADER_LEN];
	uint64_t strangers = ntm_drop_get(NTM_DROP_STRANGER);

	(void)state;
	assert_int_equal(dc[0].type, NTM_MSG_RELAY_RESPONSE);
	assert_true(dc[0].response.boot_id && dc[0].response.boot_id == rs.boot_id);
	assert_int_equal(dc_direct(&dc[0], pair.id, pair.ck, WAIT_MS), 0);
	assert_int_equal(dc_direct(&dc[1], pair.id, pair.ck, WAIT_MS), NTM_ERROR_PATH_ID_TAKEN);
	assert_int_equal(dc_withdraw(&dc[1], pair.id), NTM_ERROR_REFUSED);
	assert_int_equal(dc_direct(&dc[STRANGER], next_path_id, pair.ck, 400), -ETIMEDOUT);
	assert_true(ntm_drop_get(NTM_DROP_STRANGER) > strangers);
	assert_null(rs_path_find(&rs.paths, next_path_id, ntm_loop_now_ms()));

	assert_int_equal(dc_ask(&dc[1], NTM_MSG_KEEPALIVE_REQUEST, body, 0, WAIT_MS), 0);
	assert_int_equal(dc[1].type, NTM_MSG_KEEPALIVE_RESPONSE);
	assert_int_equal(dc_ask(&dc[0], NTM_MSG_RELAY_DIRECTION, body, 0, WAIT_MS), NTM_ERROR_MALFORMED);
	assert_int_equal(dc_ask(&dc[0], NTM_MSG_DIRECTION_REQUEST, body, 0, WAIT_MS), NTM_ERROR_UNSUPPORTED);

	assert_int_equal(rs.paths.count, 1);
	assert_int_equal(dc_withdraw(&dc[0], pair.id), 0);
	assert_int_equal(rs.paths.count, 0);
	pair_end(&pair); /* a second time is as good */
}

static bool dc_has_report(void *arg)
{
	return ((struct dc *)arg)->reports > 0;
}

/* As if NTM_RELAY_REPORT_S were over. */
static void report_now(void)
{
	dc[0].reports = 0;
	event_active(rs.report, EV_TIMEOUT, 0);
	assert_true(run(dc_has_report, &dc[0], WAIT_MS));
}

/* The thread counts when it has sent. */
static bool bytes_are(void *arg)
{
	return rs_path_count(&rs.bytes) == *(uint64_t *)arg;
}

static void reports(void **state)
{
	struct pair pair = pair_bound(true, true);
	uint64_t packets_per_s, bytes = rs_path_count(&rs.bytes) + 10000;

	(void)state;
	report_now();
	for (int i = 0; i < 10; i++)
		data_passes(&pair.node[0], &pair.node[1], 1000);
	assert_true(run(bytes_are, &bytes, WAIT_MS));
	run(NULL, NULL, 2);
	report_now();
	packets_per_s = dc[0].report.load.packets_per_s;
	assert_int_equal(dc[0].report.boot_id, rs.boot_id);
	assert_int_equal(dc[0].report.load.paths, 1);
	assert_int_equal(dc[0].report.draining, 0);
	assert_true(packets_per_s > 0);
	assert_in_range(dc[0].report.load.bytes_per_s, packets_per_s * 1000, (packets_per_s + 1) * 1000);
	pair_end(&pair);
}

/* ---- packets and binds */

static void families(void **state)
{
	static const uint8_t type[] = {NTM_TYPE_DATA, NTM_TYPE_PATH, NTM_TYPE_TUNNEL_REQUEST};
	uint8_t sent[200], came[201];

	(void)state;
	for (int first = 0; first < 2; first++) {
		for (int second = 0; second < 2; second++) {
			struct pair pair = pair_bound(first, second);

			data_passes(&pair.node[0], &pair.node[1], NTM_HEADER_LEN);
			data_passes(&pair.node[0], &pair.node[1], 1400);
			data_passes(&pair.node[1], &pair.node[0], 1400);
			for (size_t i = 0; i < sizeof(type); i++) {
				data_build(sent, sizeof(sent), type[i], pair.id);
				node_send(&pair.node[0], sent, sizeof(sent));
				assert_int_equal(node_receive(&pair.node[1], came, sizeof(came), WAIT_MS),
						 sizeof(sent));
				assert_memory_equal(came, sent, sizeof(sent));
			}
			pair_end(&pair);
		}
	}
}

/* Where the RS listens at no address of its own, it sends from the one the leg has sent to. */
static void any_address(void **state)
{
	struct pair pair = pair_directed(true, true);
	struct ntm_endpoint to4, to6 = listen6;

	(void)state;
	assert_int_equal(ntm_endpoint_parse(&to4, "127.0.0.2", any4.port), 0);
	to6.port = any6.port;
	close(pair.node[0].fd);
	close(pair.node[1].fd);
	pair.node[0] = node_new_to(&to4, pair.id, 0, pair.ck);
	pair.node[1] = node_new_to(&to6, pair.id, 1, pair.ck);
	node_bind(&pair.node[0]);
	node_bind(&pair.node[1]);
	data_passes(&pair.node[0], &pair.node[1], 100);
	data_passes(&pair.node[1], &pair.node[0], 100);
	pair_end(&pair);
}

/* More than one system call's batch, both ways, nothing lost or doubled. */
static void batches(void **state)
{
	struct pair pair = pair_bound(true, false);
	uint64_t packets = rs_path_count(&rs.packets), bytes = rs_path_count(&rs.bytes);
	uint8_t packet[200], came[201];

	(void)state;
	for (unsigned i = 0; i < 150; i++) {
		for (int side = 0; side < 2; side++) {
			data_build(packet, sizeof(packet), data_type(&pair.node[side]), pair.id);
			packet[NTM_HEADER_LEN] = (uint8_t)i;
			node_send(&pair.node[side], packet, sizeof(packet));
		}
	}
	for (unsigned i = 0; i < 150; i++) {
		for (int side = 0; side < 2; side++) {
			assert_int_equal(node_receive(&pair.node[side], came, sizeof(came), WAIT_MS),
					 sizeof(packet));
			assert_int_equal(came[NTM_HEADER_LEN], (uint8_t)i);
			assert_int_equal(NTM_TYPE_SIDE(came[0]), !side);
		}
	}
	node_hears_nothing(&pair.node[0]);
	node_hears_nothing(&pair.node[1]);
	assert_int_equal(rs_path_count(&rs.packets) - packets, 300);
	assert_int_equal(rs_path_count(&rs.bytes) - bytes, 300 * sizeof(packet));
	pair_end(&pair);
}

static void strangers(void **state)
{
	struct pair pair = pair_bound(true, true);
	struct node stranger = node_new(true, pair.id, 0, pair.ck);
	struct node *n = pair.node;

	(void)state;
	data_is_dropped(&stranger, &n[0], &n[1], NTM_TYPE_DATA, NTM_DROP_SOURCE);
	data_is_dropped(&n[0], &n[0], &n[1], NTM_TYPE_DATA | NTM_TYPE_SIDE_BIT, NTM_DROP_SIDE);
	data_is_dropped(&n[0], &n[0], &n[1], NTM_TYPE_TUNNEL_RESPONSE, NTM_DROP_SIDE);
	data_is_dropped(&n[0], &n[0], &n[1], 0x7f, NTM_DROP_TYPE_UNKNOWN);
	node_hears_nothing(&stranger);
	data_passes(&n[0], &n[1], 100);
	close(stranger.fd);
	pair_end(&pair);
}

static void unbound(void **state)
{
	struct pair pair = pair_directed(true, false);
	struct node *n = pair.node;
	struct ntm_bind request, challenge;

	(void)state;
	data_is_dropped(&n[0], &n[0], &n[1], NTM_TYPE_DATA, NTM_DROP_SOURCE);
	node_bind(&n[0]);
	data_is_dropped(&n[0], &n[0], &n[1], NTM_TYPE_DATA, NTM_DROP_LEG_UNBOUND);
	/* From the moment of its request a leg may send, but is sent nothing before its echo. */
	request = node_request(&n[1], NTM_BIND_REQUEST);
	challenge = node_answer(&n[1], &request, NTM_BIND_CHALLENGE);
	data_passes(&n[1], &n[0], 100);
	data_is_dropped(&n[0], &n[0], &n[1], NTM_TYPE_DATA, NTM_DROP_LEG_UNBOUND);
	request = node_echo(&n[1], &challenge);
	node_answer(&n[1], &request, NTM_BIND_ACK);
	data_passes(&n[0], &n[1], 100);
	pair_end(&pair);
}

static void forged_binds(void **state)
{
	struct pair pair = pair_bound(true, true);
	struct node other = node_new(true, pair.id, 0, pair.ck), *n = pair.node;
	struct ntm_bind request, challenge, echo, first_echo;

	(void)state;
	/* under another key, altered, of a kind only the RS sends */
	ntm_bind_request_build(&request, NTM_BIND_REQUEST, pair.id, 0, ntm_loop_real_us(), n[1].key);
	bind_is_dropped(&other, &request, NTM_DROP_AUTH);
	ntm_bind_request_build(&request, NTM_BIND_REQUEST, pair.id, 0, ntm_loop_real_us(), n[0].key);
	request.time[0] ^= 1;
	bind_is_dropped(&other, &request, NTM_DROP_AUTH);
	ntm_bind_request_build(&request, NTM_BIND_ACK, pair.id, 0, ntm_loop_real_us(), n[0].key);
	bind_is_dropped(&other, &request, NTM_DROP_FIELD_VALUE);

	/* an echo without, and with another one's challenge */
	ntm_bind_request_build(&echo, NTM_BIND_ECHO, pair.id, 0, ntm_loop_real_us(), n[0].key);
	bind_is_dropped(&other, &echo, NTM_DROP_BIND_CHALLENGE);
	request = node_request(&n[0], NTM_BIND_REQUEST);
	challenge = node_answer(&n[0], &request, NTM_BIND_CHALLENGE);
	ntm_bind_echo_build(&echo, &challenge, ntm_loop_real_us(), n[0].key);
	bind_is_dropped(&other, &echo, NTM_DROP_BIND_CHALLENGE);

	/* replayed: a request from elsewhere, and an echo after the leg has moved on */
	bind_is_dropped(&other, &request, NTM_DROP_BIND_OLD);
	first_echo = node_bind(&n[0]);
	node_bind(&other);
	bind_is_dropped(&n[0], &first_echo, NTM_DROP_BIND_OLD);
	data_passes(&n[1], &other, 100);
	node_hears_nothing(&n[0]);
	close(other.fd);
	pair_end(&pair);
}

static void moving(void **state)
{
	struct pair pair = pair_bound(true, true);
	struct node moved = node_new(false, pair.id, 0, pair.ck), *n = pair.node;
	struct ntm_bind request, challenge, echo;

	(void)state;
	request = node_request(&moved, NTM_BIND_REQUEST);
	challenge = node_answer(&moved, &request, NTM_BIND_CHALLENGE);
	data_passes(&moved, &n[1], 100);
	data_passes(&n[0], &n[1], 100);
	data_passes(&n[1], &n[0], 100); /* still to the old one only */
	echo = node_echo(&moved, &challenge);
	node_answer(&moved, &echo, NTM_BIND_ACK);
	node_send(&moved, &echo, sizeof(echo)); /* as if the ACK had been lost */
	node_answer(&moved, &echo, NTM_BIND_ACK);
	data_passes(&n[1], &moved, 100);
	data_passes(&n[0], &n[1], 100); /* was on its way */
	run(NULL, NULL, RS_OLD_SOURCE_MS);
	data_is_dropped(&n[0], &moved, &n[1], NTM_TYPE_DATA, NTM_DROP_SOURCE);
	data_passes(&moved, &n[1], 100);
	close(moved.fd);
	pair_end(&pair);
}

static void keep_alives(void **state)
{
	struct pair pair = pair_bound(false, true);
	struct node other = node_new(true, pair.id, 0, pair.ck);
	struct ntm_bind alive, older;

	(void)state;
	ntm_bind_request_build(&older, NTM_BIND_KEEPALIVE, pair.id, 0, ntm_loop_real_us(), pair.node[0].key);
	alive = node_request(&pair.node[0], NTM_BIND_KEEPALIVE);
	node_answer(&pair.node[0], &alive, NTM_BIND_ACK);
	bind_is_dropped(&pair.node[0], &older, NTM_DROP_BIND_OLD);
	/* from a new mapping of a NAT */
	alive = node_request(&other, NTM_BIND_KEEPALIVE);
	node_answer(&other, &alive, NTM_BIND_CHALLENGE);
	close(other.fd);
	pair_end(&pair);
}

static void resets(void **state)
{
	struct pair pair = pair_bound(true, true);
	struct node *node = &pair.node[0];
	uint8_t packet[100], came[101];
	struct ntm_reset *reset = (struct ntm_reset *)came;
	unsigned answers = 0;
	uint64_t before;

	(void)state;
	assert_int_equal(dc_withdraw(&dc[0], pair.id), 0);
	data_build(packet, sizeof(packet), NTM_TYPE_DATA, pair.id);
	node_send(node, packet, sizeof(packet));
	assert_int_equal(node_receive(node, came, sizeof(came), WAIT_MS), sizeof(*reset));
	assert_int_equal(reset->h.type, NTM_TYPE_RESET);
	assert_int_equal(ntm_header_id(&reset->h), pair.id);
	assert_memory_equal(reset->token, node->token, NTM_MAC_LEN); /* as the ACK had told */
	node_request(node, NTM_BIND_REQUEST);
	assert_int_equal(node_receive(node, came, sizeof(came), WAIT_MS), sizeof(*reset));
	assert_memory_equal(reset->token, node->token, NTM_MAC_LEN);

	/* Nothing longer than what came, and no reset for a reset. */
	node_send(node, packet, sizeof(*reset));
	node_hears_nothing(node);
	data_build(packet, sizeof(packet), NTM_TYPE_RESET, pair.id);
	node_send(node, packet, sizeof(packet));
	node_hears_nothing(node);
	node_send(node, packet, NTM_HEADER_LEN - 1);
	node_hears_nothing(node);

	/* A flood is answered at the limit's rate only. */
	before = ntm_drop_get(NTM_DROP_PATH_UNKNOWN);
	data_build(packet, sizeof(packet), NTM_TYPE_DATA, pair.id);
	for (int i = 0; i < 4 * NTM_UNAUTH_REPLIES_SOURCE_PER_S; i++)
		node_send(node, packet, sizeof(packet));
	run(NULL, NULL, QUIET_MS);
	assert_int_equal(ntm_drop_get(NTM_DROP_PATH_UNKNOWN) - before, 4 * NTM_UNAUTH_REPLIES_SOURCE_PER_S);
	while (node_receive(node, came, sizeof(came), QUIET_MS) > 0)
		answers++;
	assert_in_range(answers, 1, 2 * NTM_UNAUTH_REPLIES_SOURCE_PER_S);
	pair_end(&pair);
}

static void echoes(void **state)
{
	static const uint8_t ck[NTM_KEY_LEN];
	struct node node = node_new(false, 0, 0, ck);
	struct ntm_echo echo = {0};
	struct ntm_endpoint observed;

	(void)state;
	ntm_header_set(&echo.h, NTM_TYPE_ECHO, 4711, 0);
	node_send(&node, &echo, sizeof(echo));
	assert_int_equal(node_receive(&node, &echo, sizeof(echo), WAIT_MS), sizeof(echo));
	assert_int_equal(ntm_header_counter(&echo.h), 4711);
	assert_int_equal(ntm_header_id(&echo.h), 1);
	memcpy(observed.addr.b, echo.addr, 16);
	observed.port = (uint16_t)(echo.port[0] << 8 | echo.port[1]);
	assert_true(ntm_endpoint_equal(&observed, &node.self));
	node_send(&node, &echo, sizeof(echo)); /* an answer is not answered */
	node_hears_nothing(&node);
	close(node.fd);
}

/* ---- what ntmctl sees; its side blocks, so it has a thread */

struct ask {
	const char *command;
	struct json_object *part;
	int result;
	atomic_bool done;
};

static void ask_part(void *ctx, struct json_object *part)
{
	struct ask *ask = ctx;

	ask->part = json_object_get(part);
}

static void *ask_thread(void *arg)
{
	struct json_object *command = json_object_new_object();
	struct ask *ask = arg;
	char why[256];

	json_object_object_add(command, "command", json_object_new_string(ask->command));
	ask->result = ntm_control_call(socket_path, command, ask_part, ask, why, sizeof(why));
	json_object_put(command);
	ask->done = true;
	return NULL;
}

static bool ask_is_done(void *arg)
{
	return ((struct ask *)arg)->done;
}

static struct json_object *ask_for(const char *command)
{
	struct ask ask = {.command = command};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask_thread, &ask), 0);
	assert_true(run(ask_is_done, &ask, WAIT_MS));
	pthread_join(thread, NULL);
	assert_int_equal(ask.result, 0);
	assert_non_null(ask.part);
	return ask.part;
}

static int64_t number(struct json_object *object, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	return json_object_get_int64(value);
}

static void has_text(struct json_object *object, const char *key, const char *text)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	assert_string_equal(json_object_get_string(value), text);
}

static void control(void **state)
{
	struct pair pair = pair_directed(true, false);
	struct json_object *list, *one, *leg, *status, *stats;
	char id[17], leg0[NTM_ENDPOINT_TEXT];

	(void)state;
	node_bind(&pair.node[0]);
	list = ask_for("tunnel list");
	assert_int_equal(json_object_array_length(list), 1);
	one = json_object_array_get_idx(list, 0);
	assert_true(json_object_object_get_ex(one, "leg1", &leg));
	assert_null(leg);
	json_object_put(list);

	node_bind(&pair.node[1]);
	data_passes(&pair.node[0], &pair.node[1], 100);
	data_passes(&pair.node[0], &pair.node[1], 200);
	data_passes(&pair.node[1], &pair.node[0], 50);
	data_is_dropped(&pair.node[1], &pair.node[0], &pair.node[1], NTM_TYPE_DATA, NTM_DROP_SIDE);
	list = ask_for("tunnel list");
	one = json_object_array_get_idx(list, 0);
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)pair.id);
	has_text(one, "path_id", id);
	has_text(one, "dc", "dc0.ntm.example");
	has_text(one, "leg0", ntm_endpoint_format(&pair.node[0].self, leg0));
	assert_int_equal(number(one, "packets0"), 2);
	assert_int_equal(number(one, "bytes0"), 300);
	assert_int_equal(number(one, "packets1"), 1);
	assert_int_equal(number(one, "bytes1"), 50);
	assert_int_equal(number(one, "drops"), 1);
	assert_in_range(number(one, "expires_s"), 3590, 3600);
	json_object_put(list);

	status = ask_for("status");
	has_text(status, "name", "rs.ntm.example");
	has_text(status, "mode", "user");
	assert_int_equal(number(status, "paths"), 1);
	assert_int_equal(number(status, "bound"), 1);
	json_object_put(status);
	stats = ask_for("stats");
	assert_int_equal(number(stats, "packets"), rs_path_count(&rs.packets));
	assert_int_equal(number(stats, "bytes"), rs_path_count(&rs.bytes));
	assert_true(json_object_object_get_ex(stats, "drops", &one));
	assert_int_equal(number(one, "side"), ntm_drop_get(NTM_DROP_SIDE));
	json_object_put(stats);
	pair_end(&pair);
}

#define EVENTS 5

struct lines {
	int fd;
	char text[4001];
	size_t len;
};

static bool lines_are_there(void *arg)
{
	struct lines *lines = arg;
	ssize_t n = read(lines->fd, lines->text + lines->len, sizeof(lines->text) - 1 - lines->len);
	unsigned count = 0;

	if (n > 0)
		lines->len += (size_t)n;
	for (size_t i = 0; i < lines->len; i++)
		count += lines->text[i] == '\n';
	return count == EVENTS;
}

/* The five lines of a path's life. */
static void monitoring(void **state)
{
	static const char *const name[] = {"path_directed", "leg_bound", "leg_bound", "leg_moved",
					   "path_withdrawn"};
	static const char command[] = "{\"command\": \"monitor\"}\n";
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct lines lines = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)};
	char id[17], *rest = lines.text;
	struct node moved;
	struct pair pair;

	(void)state;
	memcpy(sa.sun_path, socket_path, sizeof(socket_path));
	assert_int_equal(connect(lines.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(write(lines.fd, command, strlen(command)), strlen(command));
	run(NULL, NULL, QUIET_MS);
	pair = pair_bound(true, true);
	moved = node_new(false, pair.id, 0, pair.ck);
	node_bind(&moved);
	pair_end(&pair);
	assert_true(run(lines_are_there, &lines, WAIT_MS));
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)pair.id);
	for (int i = 0; i < EVENTS; i++) {
		struct json_object *object = json_tokener_parse(strsep(&rest, "\n")), *event;

		assert_true(json_object_object_get_ex(object, "event", &event));
		has_text(event, "event", name[i]);
		has_text(event, "path_id", id);
		json_object_put(object);
	}
	close(moved.fd);
	close(lines.fd);
	run(NULL, NULL, QUIET_MS);
	for (int i = 0; i < RS_MONITORS_MAX; i++)
		assert_null(rs.monitor[i].request);
}

/* ---- the configuration, read again; last, because dc[0] may direct nothing afterwards */

static void config_is_refused(const char *more, const char *where)
{
	struct rs_config config;
	char why[256] = "";

	config_write(0, more);
	assert_int_equal(rs_config_read(&config, config_path, why, sizeof(why)), -1);
	if (!strstr(why, where))
		fail_msg("'%s' lacks '%s'", why, where);
}

/* In the last section, which is a DC's. */
static void config_add(const char *line)
{
	FILE *file = fopen(config_path, "a");

	assert_non_null(file);
	assert_true(fputs(line, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void reload(void **state)
{
	struct pair pair = pair_bound(true, true);

	(void)state;
	config_is_refused("[datapath]\nxdp = yes\n", ":10: ");
	config_is_refused("listen = 127.0.0.1:0\n", ":9: ");
	config_is_refused("color = red\n", ":9: ");
	rs_reload(&rs); /* with that it stays as it was */
	data_passes(&pair.node[0], &pair.node[1], 100);
	config_write(1, "[datapath]\nxdp = off\ninterface = eth0\n");
	rs_reload(&rs);
	assert_int_equal(rs.paths.count, 0);
	assert_int_equal(dc_direct(&dc[1], pair.id, pair.ck, WAIT_MS), 0);
	assert_int_equal(dc_direct(&dc[0], pair.id + 1, pair.ck, 400), -ETIMEDOUT);
	config_add("max-paths = 1\n");
	rs_reload(&rs);
	assert_int_equal(dc_direct(&dc[1], pair.id, pair.ck, WAIT_MS), 0);
	assert_int_equal(dc_direct(&dc[1], pair.id + 2, pair.ck, WAIT_MS), NTM_ERROR_LIMIT);
	assert_int_equal(rs.paths.count, 1);
	close(pair.node[0].fd);
	close(pair.node[1].fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directions),  cmocka_unit_test(families),     cmocka_unit_test(batches),
		cmocka_unit_test(reports),     cmocka_unit_test(strangers),    cmocka_unit_test(unbound),
		cmocka_unit_test(moving),      cmocka_unit_test(forged_binds), cmocka_unit_test(keep_alives),
		cmocka_unit_test(resets),      cmocka_unit_test(echoes),       cmocka_unit_test(control),
		cmocka_unit_test(any_address), cmocka_unit_test(monitoring),   cmocka_unit_test(reload),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
