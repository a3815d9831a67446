/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_dns_stub.c - the node's DNS stub (daemon/dns_*.c) between an application that sends anything and a
 * server that answers anything: what comes back to the application is a well-formed answer to what it asked,
 * as long as it may be, and one at most.
 *
 * Input: a byte of mode, then records of two bytes of length and so many bytes. The first is the
 * application's query, sent twice, so that the second meets what is cached by then; each later one is the
 * server's answer to a question of the stub. Mode: bit 0 the query comes by TCP, bit 1 answers get the ID
 * that was asked, bit 2 and the question, bits 3 and 4 what becomes of a direction.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/dns_internal.h"
#include "endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define TURNS_MAX 200
#define ANSWERS_MAX 32 /* of the server */
#define CONNECTIONS_MAX 16

#define require(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

enum mode { BY_TCP = 1, RIGHT_ID = 2, RIGHT_QUESTION = 4, DIRECTION_SHIFT = 3 };

static struct event_base *base;
static struct ntm_endpoint upstream;
static int server_udp = -1, server_tcp = -1, app_udp = -1;
static struct sockaddr_storage app_address;
static socklen_t app_address_len;

static struct {
	const uint8_t *at, *end; /* answers that are left */
	unsigned mode, answered;
	int fd[CONNECTIONS_MAX]; /* the stub's to the server, by TCP */
	bool done[CONNECTIONS_MAX];
	unsigned fds;
} server;

static struct {
	const uint8_t *query;
	size_t len;
	unsigned asked, answered;
	int tcp;
	uint8_t in[4 * (2 + NTMD_DNS_MESSAGE_MAX)];
	size_t got;
} app;

/* ---- the server */

static bool record_take(const uint8_t **at, const uint8_t *end, const uint8_t **ret_record, size_t *ret_len)
{
	size_t len;

	if (end - *at < 2)
		return false;
	len = (size_t)(*at)[0] << 8 | (*at)[1];
	*at += 2;
	if (len > (size_t)(end - *at))
		len = (size_t)(end - *at);
	*ret_record = *at;
	*ret_len = len;
	*at += len;
	return true;
}

/* The next answer, to a question of the stub; 0: none is left. */
static size_t answer_make(uint8_t *out, const uint8_t *question, size_t question_len)
{
	const uint8_t *record, *asked;
	size_t len, name;

	require(question_len > KNOT_WIRE_HEADER_SIZE + 4 && !knot_wire_get_qr(question));
	if (server.answered++ >= ANSWERS_MAX || !record_take(&server.at, server.end, &record, &len))
		return 0;
	memcpy(out, record, len);
	if (server.mode & RIGHT_ID && len >= 2)
		memcpy(out, question, 2);
	if (!(server.mode & RIGHT_QUESTION) || len < KNOT_WIRE_HEADER_SIZE)
		return len;
	asked = question + KNOT_WIRE_HEADER_SIZE;
	name = (size_t)knot_dname_wire_check(asked, question + question_len, NULL) + 4;
	if (len + name > NTMD_DNS_MESSAGE_MAX)
		return len;
	memcpy(out + KNOT_WIRE_HEADER_SIZE, asked, name);
	memcpy(out + KNOT_WIRE_HEADER_SIZE + name, record + KNOT_WIRE_HEADER_SIZE,
	       len - KNOT_WIRE_HEADER_SIZE);
	return len + name;
}

/* What is left of it when it closes is thrown away: no port stays taken. */
static void reset_close(int fd)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

static bool server_tcp_turn(void)
{
	static uint8_t in[1024], out[2 + NTMD_DNS_MESSAGE_MAX];
	bool moved = false;
	ssize_t got;
	size_t len;
	int fd;

	while (server.fds < CONNECTIONS_MAX && (fd = accept4(server_tcp, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		server.done[server.fds] = false;
		server.fd[server.fds++] = fd;
		moved = true;
	}
	for (unsigned i = 0; i < server.fds; i++) {
		got = server.done[i] ? 0 : recv(server.fd[i], in, sizeof(in), MSG_DONTWAIT);
		if (got <= 0)
			continue;
		server.done[i] = moved = true;
		require(got > 2 && knot_wire_read_u16(in) == got - 2);
		len = answer_make(out + 2, in + 2, (size_t)got - 2);
		knot_wire_write_u16(out, (uint16_t)len);
		if (len)
			(void)!send(server.fd[i], out, 2 + len, MSG_NOSIGNAL);
	}
	return moved;
}

static bool server_turn(void)
{
	static uint8_t in[1024], out[NTMD_DNS_MESSAGE_MAX];
	struct sockaddr_storage from;
	bool moved = server_tcp_turn();
	ssize_t got;
	size_t len;

	for (;;) {
		socklen_t from_len = sizeof(from);

		got = recvfrom(server_udp, in, sizeof(in), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
		if (got < 0)
			return moved;
		moved = true;
		len = answer_make(out, in, (size_t)got);
		if (len)
			(void)!sendto(server_udp, out, len, 0, (struct sockaddr *)&from, from_len);
	}
}

/* ---- the node */

static void direct(void *ctx, const char *fqdn, struct ntmd_dns_wait *wait)
{
	static const uint8_t vip4[4] = {198, 18, 0, 7}, vip6[16] = {0xfd, 0x4e, [15] = 7};
	static const enum ntmd_dns_result results[] = {NTMD_DNS_UP, NTMD_DNS_FAILED, NTMD_DNS_REGISTERED};
	unsigned what = server.mode >> DIRECTION_SHIFT & 3;

	(void)ctx;
	require(strlen(fqdn) <= NTM_FQDN_MAX);
	if (what < 3)
		ntmd_dns_result(wait, results[what], vip4, vip6, "the peer is asleep");
}

static void abandoned(void *ctx, struct ntmd_dns_wait *wait)
{
	(void)ctx;
	(void)wait;
}

/* ---- the application */

static void answer_check(uint8_t *wire, size_t len, bool by_tcp)
{
	uint16_t most = KNOT_WIRE_MIN_PKTSIZE;
	knot_pkt_t *query, *answer = knot_pkt_new(wire, (uint16_t)len, NULL);

	require(answer && len >= KNOT_WIRE_HEADER_SIZE && app.len >= KNOT_WIRE_HEADER_SIZE);
	require(!memcmp(wire, app.query, 2) && knot_wire_get_qr(wire) && !knot_wire_get_qr(app.query));
	require(len == KNOT_WIRE_HEADER_SIZE || knot_pkt_parse(answer, KNOT_PF_NOCANON) == KNOT_EOK);
	require(++app.answered <= app.asked);
	knot_pkt_free(answer);
	if (by_tcp)
		return;
	query = knot_pkt_new((void *)app.query, (uint16_t)app.len, NULL);
	require(query);
	if (knot_pkt_parse(query, KNOT_PF_KEEPWIRE) == KNOT_EOK && knot_pkt_has_edns(query) &&
	    knot_edns_get_payload(query->opt_rr) > most)
		most = knot_edns_get_payload(query->opt_rr);
	require(len <= most && len <= NTMD_DNS_UDP_MAX);
	knot_pkt_free(query);
}

static bool app_turn(void)
{
	static uint8_t in[NTMD_DNS_MESSAGE_MAX];
	bool moved = false;
	size_t at = 0;
	ssize_t got;

	while ((got = recv(app_udp, in, sizeof(in), MSG_DONTWAIT)) >= 0) {
		answer_check(in, (size_t)got, false);
		moved = true;
	}
	if (app.tcp < 0)
		return moved;
	got = recv(app.tcp, app.in + app.got, sizeof(app.in) - app.got, MSG_DONTWAIT);
	if (got <= 0)
		return moved;
	app.got += (size_t)got;
	while (app.got - at >= 2 && app.got - at - 2 >= knot_wire_read_u16(app.in + at)) {
		size_t len = knot_wire_read_u16(app.in + at);

		answer_check(app.in + at + 2, len, true);
		at += 2 + len;
	}
	memmove(app.in, app.in + at, app.got - at);
	app.got -= at;
	return true;
}

static void app_ask(struct ntmd_dns *dns)
{
	struct ntmd_dns_asker asker = {
		.udp = dns->listener[0].udp, .from = app_address, .from_len = app_address_len};
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	uint8_t prefix[2];

	app.asked++;
	if (!(server.mode & BY_TCP)) {
		memcpy(dns->in, app.query, app.len);
		ntmd_dns_query_handle(dns, dns->in, app.len, &asker);
		return;
	}
	if (app.tcp < 0) {
		require(!getsockname(dns->listener[0].tcp, (struct sockaddr *)&sa, &len));
		app.tcp = socket(AF_INET, SOCK_STREAM, 0);
		require(app.tcp >= 0 && !connect(app.tcp, (struct sockaddr *)&sa, len));
	}
	knot_wire_write_u16(prefix, (uint16_t)app.len);
	/* It may have been hung up on. */
	(void)!send(app.tcp, prefix, 2, MSG_NOSIGNAL);
	(void)!send(app.tcp, app.query, app.len, MSG_NOSIGNAL);
}

/* Until nothing moves. */
static void run(void)
{
	unsigned still = 0;

	for (unsigned turn = 0; turn < TURNS_MAX && still < 3; turn++) {
		bool moved;

		event_base_loop(base, EVLOOP_NONBLOCK);
		moved = server_turn();
		moved |= app_turn();
		still = moved ? 0 : still + 1;
	}
}

/* ---- */

static int loopback_bind(int type, struct sockaddr_storage *ret_sa, socklen_t *ret_len)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	require(fd >= 0);
	if (ret_sa->ss_family == AF_INET)
		memcpy(&sa, ret_sa, sizeof(sa));
	require(!bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	*ret_len = sizeof(*ret_sa);
	require(!getsockname(fd, (struct sockaddr *)ret_sa, ret_len));
	return fd;
}

static void open_once(void)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len;

	if (base)
		return;
	base = event_base_new();
	require(base);
	app_udp = loopback_bind(SOCK_DGRAM, &app_address, &app_address_len);
	server_tcp = loopback_bind(SOCK_STREAM, &sa, &len);
	require(!listen(server_tcp, CONNECTIONS_MAX));
	server_udp = loopback_bind(SOCK_DGRAM, &sa, &len); /* at the same port */
	ntm_addr_from4(&upstream.addr, (const uint8_t[4]){127, 0, 0, 1});
	upstream.port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

/* What is still on its way is not for the next input. */
static void rest_drop(void)
{
	uint8_t byte;
	int fd;

	while ((fd = accept(server_tcp, NULL, NULL)) >= 0)
		reset_close(fd);
	for (unsigned i = 0; i < server.fds; i++)
		reset_close(server.fd[i]);
	while (recv(server_udp, &byte, 1, MSG_DONTWAIT) >= 0 || recv(app_udp, &byte, 1, MSG_DONTWAIT) >= 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct ntmd_dns_ops ops = {.direct = direct, .abandoned = abandoned};
	struct ntm_endpoint listen_at = {.port = 0};
	struct ntmd_dns *dns;
	char why[256];

	open_once();
	memset(&server, 0, sizeof(server));
	app.asked = app.answered = 0;
	app.got = 0;
	app.tcp = -1;
	if (len < 1)
		return 0;
	server.mode = data[0];
	server.at = data + 1;
	server.end = data + len;
	if (!record_take(&server.at, server.end, &app.query, &app.len))
		return 0;
	listen_at.addr = upstream.addr;
	require(!ntmd_dns_open(&dns, base, &listen_at, &upstream, 1, &ops, NULL, why, sizeof(why)));
	for (int i = 0; i < 2; i++) {
		app_ask(dns);
		run();
	}
	if (app.tcp >= 0)
		reset_close(app.tcp);
	ntmd_dns_close(dns);
	rest_drop();
	return 0;
}
