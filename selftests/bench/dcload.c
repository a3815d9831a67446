/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dcload - many nodes in one process, as a DC sees them: each has its key, its session and its requests. What the DC
 * needs for them is read from its own clock (/proc/PID/schedstat): how fast this program is does not matter. For
 * group_dc.sh and netns/dc_flood.sh.
 *
 *	dcload members DATABASE ZONE VIRTUAL4 VIRTUAL6 NODES
 *
 * enrols n1.ZONE ... with a DC that does not run: NODES commands at its control socket would each wait for the disk.
 *
 *	dcload load DC_PID DC_KEY SERVER SOURCE ZONE NODES SECONDS [PART...]
 *
 * SERVER: address of the DC, port 6866. SOURCE: an IPv4 address; this host must have the LANES addresses from there on,
 * and as many 256 further. A DC bounds the handshakes of one source, so the nodes are spread over them: each lane
 * is one address, whose nodes make their handshakes one after the other. Then comes each PART for SECONDS:
 *
 *	handshakes	NODES sessions made, each with the node's first Registration (always first; not for SECONDS)
 *	refreshes	Keep Alives in established sessions
 *	round		the same, but each node once, however long it takes, and after 9 s of rest: the DC has forgotten its
 *			answers of before
 *	registrations	Registrations from where the node was
 *	directions	a node asks for another: Route Directions to both, acknowledged, and the answer
 *	handovers	a node registers from its lane's other address with other real addresses, proves that address, and
 *			asks for a better direction of its path: all of that is one
 *	flood		refreshes, as many as OUTSTANDING at once, while message 1 of handshakes that lead nowhere come from
 *			all addresses as fast as this program can; tells the median and the longest round trip, too.
 *			It lasts longer where the DC gets little of the CPU
 *
 * and prints "PART COUNT PER_CPU_SECOND RESIDENT_KIB", RESIDENT_KIB being the DC's. Exit status 1 if anything was refused or
 * not answered.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "dc/addr_pool.h"
#include "dc/store.h"
#include "endpoint.h"
#include "key.h"
#include "loop.h"
#include "msg.h"
#include "noise.h"
#include "session.h"

#define LANES 256
#define OUTSTANDING 64 /* nodes that have a request under way */
#define TIMEOUT_MS 5000
#define CONNECT_MS 60000 /* many wait for their turn */
#define PLACES 2
#define KEEPALIVE_MS 40000 /* while others still connect */
#define KEEPALIVE_TICK_MS 20
#define REST_S 9
#define FLOOD_PER_MS 20
#define FLOOD_ID 0xf100d
#define FLOOD_CPU_S 1
#define FLOOD_LONGER_MS 40000
#define RTTS_MAX (1U << 22)

/* One address (and another, to move to), and one handshake at a time. */
struct lane {
	struct ntm_sessions sessions;
	struct ntm_udp udp[PLACES];
	struct node *connecting;
	uint8_t cookie[NTM_MAC_LEN]; /* of the flood's address */
	bool has_cookie;
};

struct node {
	struct ntm_peer dc;
	struct lane *lane;
	unsigned number, place;
	uint64_t path_id;
	int64_t heard_ms, sent_us;
};

static struct {
	struct event_base *base;
	struct lane *lane;
	unsigned lanes;
	struct ntm_endpoint server;
	uint8_t dc_key[NTM_KEY_LEN];
	const char *zone;
	int pid;
	struct node *node, **heard; /* heard: connected, oldest first; a ring */
	unsigned nodes, connected, keep;
	struct event *keepalive;
	void (*part)(struct node *node); /* what each node does, again and again */
	unsigned next, step, busy; /* step: between two nodes; 2: the first of each pair */
	uint64_t count, limit;
	int64_t until_ms;
	double cpu_begun; /* the DC's clock when the part began */
} load;

static struct {
	struct event *timer;
	uint8_t packet[NTM_CONTROL_MAX], mac1_key[NTM_KEY_LEN];
	size_t len; /* without the MACs */
	unsigned next, rtts;
	uint32_t *rtt_us; /* of the refreshes meanwhile; NULL: there is no flood */
} flood;

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("dcload: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* ---- who the nodes are: the same in every run */

static const char *node_name(char name[NTM_FQDN_MAX + 1], unsigned number)
{
	snprintf(name, NTM_FQDN_MAX + 1, "n%u.%s", number + 1, load.zone);
	return name;
}

static void node_key(uint8_t private_key[NTM_KEY_LEN], unsigned number)
{
	static const uint8_t seed[NTM_KEY_LEN];

	ntm_crypto_derive(private_key, seed, "dcload", &number, sizeof(number));
}

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL))
		die("%s: %s", text, sqlite3_errmsg(db));
}

static void member_insert(sqlite3_stmt *insert, const struct dc_addr_pool *pool, unsigned number)
{
	uint8_t private_key[NTM_KEY_LEN], public_key[NTM_KEY_LEN], v4[4], v6[16];
	char name[NTM_FQDN_MAX + 1];

	node_key(private_key, number);
	ntm_crypto_public(public_key, private_key);
	dc_addr_pool_v4(pool, number + DC_ADDR_POOL_FIRST, v4);
	dc_addr_pool_v6(pool, number + DC_ADDR_POOL_FIRST, v6);
	sqlite3_bind_text(insert, 1, node_name(name, number), -1, SQLITE_STATIC);
	sqlite3_bind_blob(insert, 2, public_key, sizeof(public_key), SQLITE_STATIC);
	sqlite3_bind_blob(insert, 3, v4, sizeof(v4), SQLITE_STATIC);
	sqlite3_bind_blob(insert, 4, v6, sizeof(v6), SQLITE_STATIC);
	if (sqlite3_step(insert) != SQLITE_DONE)
		die("%s cannot be enrolled: %s", name, sqlite3_errmsg(sqlite3_db_handle(insert)));
	sqlite3_reset(insert);
}

/* dc/store.c makes the database; all rows are one transaction. */
static int members(int argc, char **argv)
{
	struct dc_prefix prefix4, prefix6;
	char where[512], why[DC_STORE_WHY];
	struct dc_addr_pool pool;
	struct dc_store *store;
	sqlite3_stmt *insert;
	unsigned count;
	sqlite3 *db;

	if (argc != 7 || dc_prefix_parse(&prefix4, argv[4]) || dc_prefix_parse(&prefix6, argv[5]))
		die("usage: dcload members DATABASE ZONE VIRTUAL4 VIRTUAL6 NODES");
	load.zone = argv[3];
	count = (unsigned)atoi(argv[6]);
	snprintf(where, sizeof(where), "sqlite:%s", argv[2]);
	if (dc_store_open(&store, where, why, sizeof(why)))
		die("%s: %s", argv[2], why);
	dc_store_close(store);
	if (dc_addr_pool_init(&pool, &prefix4, &prefix6) || pool.end < count + DC_ADDR_POOL_FIRST)
		die("the pool is too small");
	if (sqlite3_open(argv[2], &db))
		die("%s cannot be opened", argv[2]);
	sql(db, "BEGIN");
	if (sqlite3_prepare_v2(db, "INSERT INTO member (fqdn, public_key, virtual4, virtual6, added) VALUES (?, ?, ?, ?, 0)",
			       -1, &insert, NULL))
		die("%s", sqlite3_errmsg(db));
	for (unsigned i = 0; i < count; i++)
		member_insert(insert, &pool, i);
	sqlite3_finalize(insert);
	sql(db, "COMMIT");
	sqlite3_close(db);
	dc_addr_pool_clear(&pool);
	return 0;
}

/* ---- the network */

static void received(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	const struct ntm_cookie_packet *cookie = (const struct ntm_cookie_packet *)packet;
	struct lane *lane = ctx;

	if (len == sizeof(*cookie) && cookie->h.type == NTM_TYPE_COOKIE && ntm_header_id(&cookie->h) == FLOOD_ID) {
		memcpy(lane->cookie, cookie->cookie, sizeof(lane->cookie));
		lane->has_cookie = true;
		return;
	}
	ntm_session_receive(&lane->sessions, from, packet, len);
}

static struct ntm_udp *socket_for(void *ctx, const struct ntm_endpoint *remote)
{
	struct lane *lane = ctx;

	(void)remote;
	return &lane->udp[0];
}

/* ---- a node */

static struct ntm_peer *accept_nobody(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	(void)ctx;
	(void)key;
	return NULL;
}

/* A Route Direction: acknowledged, and its Path ID kept if it answers what this node asked. */
static void asked(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	uint8_t body[NTM_CONTROL_MAX];

	(void)ctx;
	if (message->type == NTM_MSG_ROUTE_DIRECTION)
		ntm_session_answer(from, NTM_MSG_ROUTE_DIRECTION_ACK, body, 0);
	else if (message->type == NTM_MSG_ROUTE_WITHDRAW)
		ntm_session_answer(from, NTM_MSG_ROUTE_WITHDRAW_ACK, body, 0);
	else if (message->type == NTM_MSG_KEEPALIVE_REQUEST)
		ntm_session_answer(from, NTM_MSG_KEEPALIVE_RESPONSE, body, 0);
	else
		ntm_session_refuse(from, NTM_ERROR_REFUSED, "not here");
}

static const struct ntm_session_ops ops = {.accept = accept_nobody, .request = asked};

static void lane_open(struct lane *lane, const struct ntm_endpoint *source, unsigned number)
{
	uint8_t nobody[NTM_KEY_LEN] = {1};

	if (ntm_sessions_init(&lane->sessions, load.base, nobody, &ops, lane, socket_for))
		die("no memory");
	for (unsigned place = 0; place < PLACES; place++) {
		struct ntm_endpoint at = *source;
		unsigned last = at.addr.b[15] + number;
		int err;

		at.addr.b[15] = (uint8_t)last;
		at.addr.b[14] = (uint8_t)(at.addr.b[14] + place + (last >> 8));
		err = ntm_udp_open(&lane->udp[place], load.base, &at, true, received, lane);
		if (err)
			die("no socket at the address %u.%u.%u.%u: %s", at.addr.b[12], at.addr.b[13], at.addr.b[14], at.addr.b[15],
			    strerror(-err));
	}
}

/* All nodes of a lane share its sessions: one of them has its key there while it makes its handshake. */
static void node_open(struct node *node)
{
	struct ntm_sessions *sessions = &node->lane->sessions;

	node_key(sessions->private_key, node->number);
	ntm_crypto_public(sessions->public_key, sessions->private_key);
	ntm_cookie_mac1_key(sessions->mac1_key, sessions->public_key);
	memcpy(node->dc.key, sessions->public_key, NTM_KEY_LEN); /* peers are told apart by their keys, */
	node->dc.server = &load.server;
	node->dc.servers = 1;
	if (ntm_peer_add(sessions, &node->dc))
		die("no memory");
	memcpy(node->dc.key, load.dc_key, NTM_KEY_LEN); /* but all of these are the DC */
}

static void requested(struct node *node, uint16_t type, uint8_t *body, int fields_len, ntm_session_done done)
{
	int64_t timeout_ms = node->lane->connecting == node ? CONNECT_MS : TIMEOUT_MS;
	int err = fields_len < 0 ? fields_len
				 : ntm_session_request(&node->dc, type, body, (size_t)fields_len, timeout_ms, done, node, NULL);

	if (err)
		die("n%u cannot ask: %s", node->number + 1, strerror(-err));
}

static void answered(struct node *node, const char *what, int err, const struct ntm_error_message *error)
{
	if (err)
		die("%s of n%u: %s", what, node->number + 1, err == -EREMOTEIO ? error->text : strerror(-err));
}

static double cpu_seconds(void);

/* A flood lasts longer where others have most of the CPU: until the DC has worked so long. */
static bool part_lasts(void)
{
	int64_t over_ms = ntm_loop_now_ms() - load.until_ms;

	if (over_ms < 0)
		return true;
	return flood.rtt_us && over_ms < FLOOD_LONGER_MS && cpu_seconds() - load.cpu_begun < FLOOD_CPU_S;
}

/* One more is done: the next node goes on, as long as there is time. */
static void part_done(void)
{
	load.busy--;
	load.count++;
	if (load.limit ? load.count + load.busy < load.limit : part_lasts()) {
		load.busy++;
		load.part(&load.node[load.next % load.nodes]);
		load.next += load.step;
	} else if (!load.busy) {
		event_base_loopbreak(load.base);
	}
}

/* ---- the parts */

static void registration_send(struct node *node, ntm_session_done done)
{
	struct ntm_registration_request request = {.reals = 2, .nat = NTM_NAT_NONE, .boot_id = node->number + 1};
	uint8_t body[NTM_CONTROL_MAX];
	uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, (uint8_t)node->place, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(node->number >> 16),
			  (uint8_t)(node->number >> 8), (uint8_t)node->number};

	node_name(request.fqdn, node->number);
	request.real[0] = node->lane->udp[node->place].bound;
	ntm_addr_from6(&request.real[1].addr, v6);
	request.real[1].port = request.real[0].port;
	requested(node, NTM_MSG_REGISTRATION_REQUEST, body,
		  ntm_msg_registration_request_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &request), done);
}

static void direction_send(struct node *node, enum ntm_reason reason, ntm_session_done done)
{
	struct ntm_direction_request request = {.path_id = node->path_id, .reason = (uint8_t)reason};
	uint8_t body[NTM_CONTROL_MAX];

	node_name(request.fqdn, node->number ^ 1);
	requested(node, NTM_MSG_DIRECTION_REQUEST, body,
		  ntm_msg_direction_request_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &request), done);
}

static void refreshed(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct node *node = arg;

	(void)message;
	answered(node, "a Keep Alive", err, error);
	if (flood.rtt_us && flood.rtts < RTTS_MAX)
		flood.rtt_us[flood.rtts++] = (uint32_t)(ntm_loop_now_us() - node->sent_us);
	part_done();
}

static void refresh(struct node *node)
{
	uint8_t body[NTM_CONTROL_MAX];

	node->sent_us = ntm_loop_now_us();
	requested(node, NTM_MSG_KEEPALIVE_REQUEST, body, 0, refreshed);
}

static void registered(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	(void)message;
	answered(arg, "a Registration", err, error);
	part_done();
}

static void reregister(struct node *node)
{
	registration_send(node, registered);
}

static void directed(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct ntm_direction_response response;
	struct node *node = arg;

	answered(node, "a direction", err, error);
	if (ntm_msg_direction_response_parse(&response, message->fields, message->len))
		die("a Direction Response that cannot be read");
	node->path_id = response.path_id;
	part_done();
}

static void direct(struct node *node)
{
	direction_send(node, NTM_REASON_NAME, directed);
}

static void moved(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	(void)message;
	answered(arg, "the Registration of a handover", err, error);
	direction_send(arg, NTM_REASON_HANDOVER, directed);
}

static void hand_over(struct node *node)
{
	node->place ^= 1;
	node->dc.flow.udp = &node->lane->udp[node->place];
	registration_send(node, moved);
}

/* ---- measuring */

static double cpu_seconds(void)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", load.pid);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%llu", &ns) != 1)
		die("%s cannot be read", path);
	fclose(file);
	return (double)ns / 1e9;
}

static unsigned resident_kib(void)
{
	char path[64], line[256];
	unsigned kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", load.pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "VmRSS: %u", &kib);
	if (file)
		fclose(file);
	return kib;
}

static void tell(const char *part, double before)
{
	printf("%s %llu %.0f %u\n", part, (unsigned long long)load.count, (double)load.count / (cpu_seconds() - before),
	       resident_kib());
}

/* ---- sessions */

static void connect_next(struct lane *lane, struct node *node);

static void connected(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct node *node = arg;
	struct lane *lane = node->lane;
	unsigned next = node->number + load.lanes;

	(void)message;
	answered(node, "the first Registration", err, error);
	node->heard_ms = ntm_loop_now_ms();
	load.heard[load.connected++] = node;
	lane->connecting = NULL;
	if (next < load.nodes)
		connect_next(lane, &load.node[next]);
	else if (load.connected == load.nodes)
		event_base_loopbreak(load.base);
}

static void connect_next(struct lane *lane, struct node *node)
{
	node->lane = lane;
	lane->connecting = node;
	node_open(node);
	registration_send(node, connected);
}

static void kept(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	(void)message;
	answered(arg, "a Keep Alive", err, error);
}

/* So that the first are not forgotten before the last are there. */
static void keepalive_fired(evutil_socket_t fd, short what, void *arg)
{
	int64_t before_ms = ntm_loop_now_ms() - KEEPALIVE_MS;
	uint8_t body[NTM_CONTROL_MAX];
	struct node *node;

	(void)fd;
	(void)what;
	(void)arg;
	for (unsigned i = 0; i < load.connected; i++) {
		node = load.heard[load.keep % load.connected];
		if (node->heard_ms > before_ms)
			break;
		node->heard_ms = ntm_loop_now_ms();
		load.keep++;
		requested(node, NTM_MSG_KEEPALIVE_REQUEST, body, 0, kept);
	}
	ntm_timer_set_ms(load.keepalive, KEEPALIVE_TICK_MS);
}

static void handshakes(void)
{
	double before = cpu_seconds();

	load.keepalive = ntm_timer_new(load.base, keepalive_fired, NULL);
	ntm_timer_set_ms(load.keepalive, KEEPALIVE_TICK_MS);
	for (unsigned i = 0; i < load.nodes; i++)
		load.node[i].number = i;
	for (unsigned i = 0; i < load.lanes && i < load.nodes; i++)
		connect_next(&load.lane[i], &load.node[i]);
	event_base_dispatch(load.base);
	event_del(load.keepalive);
	load.count = load.connected;
	tell("handshakes", before);
}

/* ---- a flood: message 1 of somebody whom the DC does not know, again and again, with each lane's cookie */

static void flood_make(void)
{
	uint8_t prologue[4 + NTM_HEADER_LEN], private_key[NTM_KEY_LEN], public_key[NTM_KEY_LEN], hello[64] = {0};
	struct ntm_noise noise;
	int n;

	ntm_header_set((struct ntm_header *)flood.packet, NTM_TYPE_SESSION_INIT, 1, FLOOD_ID);
	memcpy(prologue, NTM_PROLOGUE, 4);
	memcpy(prologue + 4, flood.packet, NTM_HEADER_LEN);
	ntm_crypto_keypair(private_key, public_key);
	ntm_noise_init(&noise, true, NULL, prologue, sizeof(prologue), private_key, public_key, load.dc_key);
	n = ntm_noise_msg1_build(&noise, hello, sizeof(hello), flood.packet + NTM_HEADER_LEN);
	if (n < 0)
		die("no flood: %s", strerror(-n));
	flood.len = NTM_HEADER_LEN + (size_t)n;
	ntm_cookie_mac1_key(flood.mac1_key, load.dc_key);
}

static void flood_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	for (unsigned i = 0; i < FLOOD_PER_MS; i++) {
		struct lane *lane = &load.lane[flood.next++ % load.lanes];
		struct ntm_flow to = {.udp = &lane->udp[1], .remote = load.server};

		ntm_cookie_macs_add(flood.packet, flood.len, flood.mac1_key, lane->has_cookie ? lane->cookie : NULL);
		ntm_udp_send(&to, flood.packet, flood.len + NTM_HANDSHAKE_MACS);
	}
	ntm_timer_set_ms(flood.timer, 1);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void part_run(const char *name, void (*part)(struct node *node), unsigned step, int64_t seconds);

static void flood_run(int64_t seconds)
{
	flood.timer = ntm_timer_new(load.base, flood_fired, NULL);
	flood.rtt_us = calloc(RTTS_MAX, sizeof(*flood.rtt_us));
	if (!flood.timer || !flood.rtt_us)
		die("no memory");
	flood_make();
	ntm_timer_set_ms(flood.timer, 0);
	part_run("flood", refresh, 1, seconds);
	event_free(flood.timer);
	qsort(flood.rtt_us, flood.rtts, sizeof(*flood.rtt_us), by_value);
	if (flood.rtts)
		printf("flood_rtt_us %u %u\n", flood.rtt_us[flood.rtts / 2], flood.rtt_us[flood.rtts - 1]);
	free(flood.rtt_us);
	flood.rtt_us = NULL;
}

/* ---- */

static void part_run(const char *name, void (*part)(struct node *node), unsigned step, int64_t seconds)
{
	load.cpu_begun = cpu_seconds();
	load.part = part;
	load.count = 0;
	load.next = 0;
	load.step = step;
	load.limit = seconds ? 0 : load.nodes;
	load.until_ms = ntm_loop_now_ms() + seconds * 1000;
	for (unsigned i = 0; i < OUTSTANDING && i * step < load.nodes; i++) {
		load.busy++;
		part(&load.node[load.next]);
		load.next += step;
	}
	event_base_dispatch(load.base);
	tell(name, load.cpu_begun);
}

static void loading_open(char **argv)
{
	struct ntm_endpoint source;

	load.pid = atoi(argv[2]);
	load.zone = argv[6];
	load.nodes = (unsigned)atoi(argv[7]) & ~1U;
	load.lanes = LANES;
	if (ntm_key_parse(load.dc_key, argv[3]) || ntm_endpoint_parse(&load.server, argv[4], NTM_PORT) ||
	    ntm_endpoint_parse(&source, argv[5], 0) || load.nodes < 2)
		die("a key, two addresses, and at least 2 nodes are expected");
	source.port = 0;
	load.base = event_base_new();
	load.node = calloc(load.nodes, sizeof(*load.node));
	load.heard = calloc(load.nodes, sizeof(*load.heard));
	load.lane = calloc(load.lanes, sizeof(*load.lane));
	if (!load.base || event_base_priority_init(load.base, NTM_LOOP_PRIORITIES) || !load.node || !load.heard || !load.lane)
		die("no memory");
	for (unsigned i = 0; i < load.lanes; i++)
		lane_open(&load.lane[i], &source, i);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*part)(struct node *node);
		unsigned step; /* of a pair only the first asks: directions that cross would be refused */
	} parts[] = {{"refreshes", refresh, 1}, {"registrations", reregister, 1}, {"directions", direct, 2}, {"handovers", hand_over, 2}};

	if (argc > 1 && !strcmp(argv[1], "members"))
		return members(argc, argv);
	if (argc < 9 || strcmp(argv[1], "load"))
		die("usage: dcload members ... | load DC_PID DC_KEY SERVER SOURCE ZONE NODES SECONDS [PART...]");
	loading_open(argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	handshakes();
	for (int i = 9; i < argc; i++) {
		for (unsigned j = 0; j < sizeof(parts) / sizeof(parts[0]); j++)
			if (!strcmp(argv[i], parts[j].name))
				part_run(parts[j].name, parts[j].part, parts[j].step, atoi(argv[8]));
		if (!strcmp(argv[i], "round")) {
			sleep(REST_S);
			part_run("round", refresh, 1, 0);
		}
		if (!strcmp(argv[i], "flood"))
			flood_run(atoi(argv[8]));
	}
	return 0;
}
