/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dcload - many nodes in one process, as a DC sees them: each has its key, its session and its requests, all share two
 * sockets, so that each can move from one to the other. What the DC needs for them is read from its own clock
 * (/proc/PID/schedstat): how fast this program is does not matter. For group_servers.sh.
 *
 *	dcload DC_PID CONTROL_SOCKET DC_KEY SERVER ZONE NODES SECONDS [PART...]
 *
 * SERVER: address of the DC, port 6866. It enrols n1.ZONE ... at the control socket, then does each PART for SECONDS:
 *
 *	handshakes	NODES sessions made, one after the other, each with the node's first Registration (not for SECONDS)
 *	refreshes	Keep Alives in established sessions
 *	registrations	Registrations from where the node was
 *	directions	a node asks for another: Route Directions to both, acknowledged, and the answer
 *	handovers	a node registers from its other socket with other real addresses, proves that address, and asks
 *			for a better direction of its path: all of that is one
 *
 * and prints "PART COUNT PER_CPU_SECOND RESIDENT_KIB", RESIDENT_KIB being the DC's. Exit status 1 if anything was refused or
 * not answered.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "control.h"
#include "crypto.h"
#include "endpoint.h"
#include "key.h"
#include "loop.h"
#include "msg.h"
#include "session.h"

#define OUTSTANDING 64 /* nodes that have a request under way */
#define TIMEOUT_MS 5000
#define PLACES 2

struct node {
	struct ntm_sessions sessions;
	struct ntm_peer dc;
	struct node *by_id; /* next in its bucket */
	uint64_t id; /* session ID it is found by; 0: none */
	char fqdn[NTM_FQDN_MAX + 1];
	unsigned number, place;
	uint64_t path_id;
};

static struct {
	struct event_base *base;
	struct ntm_udp udp[PLACES];
	struct ntm_endpoint server;
	uint8_t dc_key[NTM_KEY_LEN];
	const char *zone, *control;
	int pid;
	struct node *node, *connecting, **bucket;
	unsigned nodes, buckets;
	void (*part)(struct node *node); /* what each node does, again and again */
	unsigned next, step, busy; /* step: between two nodes; 2: the first of each pair */
	uint64_t count;
	int64_t until_ms;
} load;

__attribute__((format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("dcload: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* ---- the network */

static void node_index(struct node *node)
{
	uint64_t id = ntm_session_id(&node->dc);
	struct node **at;

	if (node->id == id)
		return;
	if (node->id) {
		for (at = &load.bucket[node->id % load.buckets]; *at != node; at = &(*at)->by_id)
			;
		*at = node->by_id;
	}
	node->id = id;
	at = &load.bucket[id % load.buckets];
	node->by_id = *at;
	*at = node;
}

static void received(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct ntm_header *header = (struct ntm_header *)packet;
	struct node *node = NULL;
	uint64_t id;

	(void)ctx;
	if (len < sizeof(*header))
		return;
	id = ntm_header_id(header);
	if (header->type == NTM_TYPE_SESSION)
		for (node = load.bucket[id % load.buckets]; node && node->id != id; node = node->by_id)
			;
	if (!node)
		node = load.connecting;
	if (node)
		ntm_session_receive(&node->sessions, from, packet, len);
}

static struct ntm_udp *socket_for(void *ctx, const struct ntm_endpoint *remote)
{
	struct node *node = ctx;

	(void)remote;
	return &load.udp[node->place];
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

static void node_make(struct node *node, unsigned number)
{
	uint8_t private_key[NTM_KEY_LEN];
	char text[NTM_KEY_TEXT_LEN + 1], why[512];
	struct json_object *command = json_object_new_object();

	ntm_crypto_random(private_key, sizeof(private_key));
	node->number = number;
	snprintf(node->fqdn, sizeof(node->fqdn), "n%u.%s", number + 1, load.zone);
	if (ntm_sessions_init(&node->sessions, load.base, private_key, &ops, node, socket_for))
		die("no memory");
	memcpy(node->dc.key, load.dc_key, NTM_KEY_LEN);
	node->dc.server[0] = load.server;
	node->dc.servers = 1;
	if (ntm_peer_add(&node->sessions, &node->dc))
		die("no memory");
	ntm_key_format(text, node->sessions.public_key);
	json_object_object_add(command, "command", json_object_new_string("node add"));
	json_object_object_add(command, "fqdn", json_object_new_string(node->fqdn));
	json_object_object_add(command, "public_key", json_object_new_string(text));
	if (ntm_control_call(load.control, command, NULL, NULL, why, sizeof(why)))
		die("node add %s: %s", node->fqdn, why);
	json_object_put(command);
}

static void requested(struct node *node, uint16_t type, uint8_t *body, int fields_len, ntm_session_done done)
{
	int err = fields_len < 0 ? fields_len
				 : ntm_session_request(&node->dc, type, body, (size_t)fields_len, TIMEOUT_MS, done, node, NULL);

	if (err)
		die("%s cannot ask: %s", node->fqdn, strerror(-err));
}

static void answered(struct node *node, const char *what, int err, const struct ntm_error_message *error)
{
	if (err)
		die("%s of %s: %s", what, node->fqdn, err == -EREMOTEIO ? error->text : strerror(-err));
}

/* One more is done: the next node goes on, as long as there is time. */
static void part_done(void)
{
	load.busy--;
	load.count++;
	if (ntm_loop_now_ms() < load.until_ms) {
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
	struct ntm_registration_request request = {.reals = 1, .nat = NTM_NAT_NONE, .boot_id = node->number + 1};
	uint8_t body[NTM_CONTROL_MAX], v4[4] = {11, (uint8_t)node->place, (uint8_t)(node->number >> 8), (uint8_t)node->number};

	memcpy(request.fqdn, node->fqdn, sizeof(request.fqdn));
	ntm_addr_from4(&request.real[0].addr, v4);
	request.real[0].port = load.udp[node->place].bound.port;
	requested(node, NTM_MSG_REGISTRATION_REQUEST, body,
		  ntm_msg_registration_request_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &request), done);
}

static void direction_send(struct node *node, enum ntm_reason reason, ntm_session_done done)
{
	struct ntm_direction_request request = {.path_id = node->path_id, .reason = (uint8_t)reason};
	uint8_t body[NTM_CONTROL_MAX];

	memcpy(request.fqdn, load.node[node->number ^ 1].fqdn, sizeof(request.fqdn));
	requested(node, NTM_MSG_DIRECTION_REQUEST, body,
		  ntm_msg_direction_request_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &request), done);
}

static void connected(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct node *node = arg;

	(void)message;
	answered(node, "the first Registration", err, error);
	load.count++;
	event_base_loopbreak(load.base);
}

static void refreshed(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	(void)message;
	answered(arg, "a Keep Alive", err, error);
	part_done();
}

static void refresh(struct node *node)
{
	uint8_t body[NTM_CONTROL_MAX];

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
	node->dc.flow.udp = &load.udp[node->place];
	registration_send(node, moved);
}

/* ---- measuring */

static double cpu_seconds(void)
{
	unsigned long long ns;
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

static void handshakes(void)
{
	double before;

	for (unsigned i = 0; i < load.nodes; i++)
		node_make(&load.node[i], i);
	before = cpu_seconds();
	load.count = 0;
	for (unsigned i = 0; i < load.nodes; i++) {
		load.connecting = &load.node[i];
		registration_send(load.connecting, connected);
		event_base_dispatch(load.base);
		node_index(load.connecting);
	}
	load.connecting = NULL;
	tell("handshakes", before);
}

static void part_run(const char *name, void (*part)(struct node *node), unsigned step, int64_t seconds)
{
	double before = cpu_seconds();

	load.part = part;
	load.count = 0;
	load.next = 0;
	load.step = step;
	load.until_ms = ntm_loop_now_ms() + seconds * 1000;
	for (unsigned i = 0; i < OUTSTANDING && i * step < load.nodes; i++) {
		load.busy++;
		part(&load.node[load.next]);
		load.next += step;
	}
	event_base_dispatch(load.base);
	tell(name, before);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*part)(struct node *node);
		unsigned step; /* of a pair only the first asks: directions that cross would be refused */
	} parts[] = {{"refreshes", refresh, 1}, {"registrations", reregister, 1}, {"directions", direct, 2}, {"handovers", hand_over, 2}};
	struct ntm_endpoint any = {0};

	if (argc < 8)
		die("usage: dcload DC_PID CONTROL_SOCKET DC_KEY SERVER ZONE NODES SECONDS [PART...]");
	load.pid = atoi(argv[1]);
	load.control = argv[2];
	load.zone = argv[5];
	load.nodes = (unsigned)atoi(argv[6]) & ~1U;
	if (ntm_key_parse(load.dc_key, argv[3]) || ntm_endpoint_parse(&load.server, argv[4], NTM_PORT) || load.nodes < 2 ||
	    load.nodes > 65536)
		die("a key, an address, and 2 to 65536 nodes are expected");
	load.base = event_base_new();
	load.buckets = load.nodes * 2;
	load.node = calloc(load.nodes, sizeof(*load.node));
	load.bucket = calloc(load.buckets, sizeof(*load.bucket));
	if (!load.base || event_base_priority_init(load.base, NTM_LOOP_PRIORITIES) || !load.node || !load.bucket)
		die("no memory");
	for (int i = 0; i < PLACES; i++)
		if (ntm_udp_open(&load.udp[i], load.base, &any, ntm_endpoint_is4(&load.server), received, NULL))
			die("no socket");
	setvbuf(stdout, NULL, _IOLBF, 0);
	handshakes();
	for (int i = 8; i < argc; i++)
		for (unsigned j = 0; j < sizeof(parts) / sizeof(parts[0]); j++)
			if (!strcmp(argv[i], parts[j].name))
				part_run(parts[j].name, parts[j].part, parts[j].step, atoi(argv[7]));
	return 0;
}
