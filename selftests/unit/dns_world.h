/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_world.h - what test_dns_stub.c plays on: upstream servers, direction.c and applications around one
 * stub, all in one event loop on loopback.
 */
#ifndef SELFTESTS_DNS_WORLD_H
#define SELFTESTS_DNS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/dns_internal.h"
#include "endpoint.h"
#include "loop.h"
#include "record.h"

#define SOA_MINIMUM 30

/* ---- an upstream server */

enum behaviour { ANSWERS, SAYS_NOTHING, FAILS, FORGES, KNOWS_NO_EDNS, ANSWERS_BIG };

struct record {
	const char *name;
	uint16_t type;
	enum behaviour behaviour;
	const char *cname; /* the answer begins with it */
	const char *rdata; /* text form of an address, or of a TXT string; NULL: none */
};

struct server {
	int udp, tcp;
	struct event *udp_event, *tcp_event;
	uint16_t port;
	const struct record *records;
	unsigned count;
	enum behaviour behaviour; /* for all, unless ANSWERS */
	unsigned asked, by_tcp, asked_type[5]; /* A, AAAA, NTMv4, NTMv6, others */
	uint16_t last_id, last_port;
	bool last_do;
};

static struct event_base *base;
static struct event *tick;
static struct server upstream[2];
static struct ntmd_dns *dns;

static unsigned type_index(uint16_t type)
{
	static const uint16_t types[] = {KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA, NTMD_DNS_TYPE_NTM4,
					 NTMD_DNS_TYPE_NTM6};

	for (unsigned i = 0; i < 4; i++) {
		if (types[i] == type)
			return i;
	}
	return 4;
}

static void put(knot_pkt_t *packet, const knot_dname_t *owner, uint16_t type, const void *data, size_t len)
{
	knot_rrset_t *rr = knot_rrset_new(owner, type, KNOT_CLASS_IN, 300, NULL);

	assert_non_null(rr);
	assert_int_equal(knot_rrset_add_rdata(rr, data, (uint16_t)len, NULL), KNOT_EOK);
	assert_int_equal(knot_pkt_put(packet, 0, rr, KNOT_PF_NOTRUNC), KNOT_EOK);
	knot_rrset_free(rr, NULL);
}

static void put_soa(knot_pkt_t *packet)
{
	uint8_t soa[2 + 20] = {0};
	knot_dname_t root[1] = {0};

	soa[21] = SOA_MINIMUM;
	knot_pkt_begin(packet, KNOT_AUTHORITY);
	put(packet, root, KNOT_RRTYPE_SOA, soa, sizeof(soa));
}

static void put_rdata(knot_pkt_t *packet, const knot_dname_t *owner, const struct record *r)
{
	struct ntm_record record = {.is4 = r->type == NTMD_DNS_TYPE_NTM4};
	uint8_t data[256];

	switch (r->type) {
	case KNOT_RRTYPE_A:
		assert_int_equal(inet_pton(AF_INET, r->rdata, data), 1);
		put(packet, owner, r->type, data, 4);
		break;
	case KNOT_RRTYPE_AAAA:
		assert_int_equal(inet_pton(AF_INET6, r->rdata, data), 1);
		put(packet, owner, r->type, data, 16);
		break;
	case NTMD_DNS_TYPE_NTM4:
	case NTMD_DNS_TYPE_NTM6:
		assert_int_equal(ntm_addr_parse(&record.vip, r->rdata), 0);
		assert_int_equal(ntm_addr_parse(&record.dc.addr, record.is4 ? "192.0.2.1" : "2001:db8::1"),
				 0);
		ntm_addr_from4(&record.real, (const uint8_t[4]){0});
		record.nat = record.real;
		put(packet, owner, r->type, data, ntm_record_build(data, &record));
		break;
	default:
		data[0] = (uint8_t)strlen(r->rdata);
		memcpy(data + 1, r->rdata, data[0]);
		put(packet, owner, r->type, data, data[0] + 1u);
	}
}

static void put_answer(knot_pkt_t *packet, const knot_dname_t *owner, const struct record *r, bool by_tcp)
{
	knot_dname_storage_t target;
	uint8_t text[201];

	knot_pkt_begin(packet, KNOT_ANSWER);
	if (r->cname) {
		assert_non_null(knot_dname_from_str(target, r->cname, sizeof(target)));
		put(packet, owner, KNOT_RRTYPE_CNAME, target, knot_dname_size(target));
		owner = target;
	}
	if (r->behaviour == ANSWERS_BIG && !by_tcp) {
		knot_wire_set_tc(packet->wire);
	} else if (r->behaviour == ANSWERS_BIG) {
		text[0] = 200;
		for (unsigned i = 0; i < 30; i++) {
			memset(text + 1, 'a' + (int)i, 200);
			put(packet, owner, r->type, text, sizeof(text));
		}
	} else if (r->rdata) {
		put_rdata(packet, owner, r);
	} else {
		put_soa(packet);
	}
}

/* Builds the answer to query into out; 0: says nothing. */
static size_t answer_make(struct server *server, uint8_t *out, const knot_pkt_t *query, bool by_tcp)
{
	const struct record *found = NULL;
	enum behaviour behaviour = server->behaviour;
	bool exists = false;
	char name[256];
	knot_pkt_t *packet;
	size_t len;

	server->asked++;
	server->by_tcp += by_tcp;
	server->asked_type[type_index(knot_pkt_qtype(query))]++;
	server->last_id = knot_wire_get_id(query->wire);
	server->last_do = knot_pkt_has_dnssec(query);
	assert_non_null(knot_dname_to_str(name, knot_pkt_qname(query), sizeof(name)));
	for (unsigned i = 0; i < server->count; i++) {
		if (strcmp(server->records[i].name, name) != 0)
			continue;
		exists = true;
		if (server->records[i].type == knot_pkt_qtype(query))
			found = &server->records[i];
	}
	if (found && behaviour == ANSWERS)
		behaviour = found->behaviour;
	if (behaviour == SAYS_NOTHING)
		return 0;
	packet = knot_pkt_new(out, 65535, NULL);
	knot_pkt_clear(packet);
	assert_int_equal(knot_pkt_init_response(packet, query), KNOT_EOK);
	if (behaviour == FAILS)
		knot_wire_set_rcode(packet->wire, KNOT_RCODE_SERVFAIL);
	else if (behaviour == KNOWS_NO_EDNS && knot_pkt_has_edns(query))
		knot_wire_set_rcode(packet->wire, KNOT_RCODE_FORMERR);
	else if (found)
		put_answer(packet, knot_pkt_qname(query), found, by_tcp);
	else
		put_soa(packet);
	if (!exists && behaviour == ANSWERS)
		knot_wire_set_rcode(packet->wire, KNOT_RCODE_NXDOMAIN);
	len = packet->size;
	knot_pkt_free(packet);
	return len;
}

/* Answers that must not be believed: wrong ID, another question, no answer, another source. */
static void forge(struct server *server, uint8_t *out, size_t len, const struct sockaddr_in *to)
{
	static uint8_t copy[65535];
	int other = socket(AF_INET, SOCK_DGRAM, 0);

	memcpy(copy, out, len);
	copy[len - 1] ^= 1; /* the address */
	assert_int_equal(sendto(other, copy, len, 0, (const struct sockaddr *)to, sizeof(*to)), (ssize_t)len);
	close(other);
	copy[0] ^= 1;
	sendto(server->udp, copy, len, 0, (const struct sockaddr *)to, sizeof(*to));
	copy[0] ^= 1;
	copy[13] ^= 1; /* the name's first letter */
	sendto(server->udp, copy, len, 0, (const struct sockaddr *)to, sizeof(*to));
	copy[13] ^= 1;
	knot_wire_clear_qr(copy);
	sendto(server->udp, copy, len, 0, (const struct sockaddr *)to, sizeof(*to));
	knot_wire_set_qr(copy);
	sendto(server->udp, copy, 20, 0, (const struct sockaddr *)to, sizeof(*to));
	sendto(server->udp, copy, len - 3, 0, (const struct sockaddr *)to, sizeof(*to)); /* cut off */
}

static void server_udp(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t in[65535], out[65535];
	struct server *server = arg;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
	knot_pkt_t *query;
	size_t len;

	(void)what;
	if (got < 0)
		return;
	query = knot_pkt_new(in, (uint16_t)got, NULL);
	assert_int_equal(knot_pkt_parse(query, 0), KNOT_EOK);
	server->last_port = ntohs(from.sin_port);
	len = answer_make(server, out, query, false);
	if (len && server->behaviour == FORGES)
		forge(server, out, len, &from);
	if (len)
		sendto(fd, out, len, 0, (struct sockaddr *)&from, from_len);
	knot_pkt_free(query);
}

/* One question a connection; the stub sends it in one piece. */
static void server_tcp_question(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t in[65537], out[65537];
	struct server *server = arg;
	knot_pkt_t *query;
	ssize_t got;
	size_t len;

	(void)what;
	got = recv(fd, in, sizeof(in), MSG_DONTWAIT);
	assert_true(got > 14);
	query = knot_pkt_new(in + 2, (uint16_t)(got - 2), NULL);
	assert_int_equal(knot_pkt_parse(query, 0), KNOT_EOK);
	len = answer_make(server, out + 2, query, true);
	knot_wire_write_u16(out, (uint16_t)len);
	assert_int_equal(send(fd, out, len + 2, 0), (ssize_t)len + 2);
	knot_pkt_free(query);
	close(fd);
}

static void server_tcp(evutil_socket_t listener, short what, void *arg)
{
	int fd = accept(listener, NULL, NULL);

	(void)what;
	assert_true(fd >= 0);
	assert_int_equal(event_base_once(base, fd, EV_READ, server_tcp_question, arg, NULL), 0);
}

static void server_open(struct server *server, const struct record *records, unsigned count)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sa);

	memset(server, 0, sizeof(*server));
	server->records = records;
	server->count = count;
	server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	server->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(server->tcp, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(server->tcp, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(bind(server->udp, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(server->tcp, 8), 0);
	server->port = ntohs(sa.sin_port);
	server->udp_event = event_new(base, server->udp, EV_READ | EV_PERSIST, server_udp, server);
	server->tcp_event = event_new(base, server->tcp, EV_READ | EV_PERSIST, server_tcp, server);
	event_add(server->udp_event, NULL);
	event_add(server->tcp_event, NULL);
}

static void server_close(struct server *server)
{
	event_free(server->udp_event);
	event_free(server->tcp_event);
	close(server->udp);
	close(server->tcp);
}

/* ---- direction.c */

static const uint8_t vip4[4] = {198, 18, 0, 7};
static const uint8_t vip6[16] = {0xfd, 0x4e, 0x54, 0x4d, 0, 1, [15] = 7};
static struct ntmd_dns_wait *waiting;
static char directed[NTM_FQDN_MAX + 1];
static unsigned directions, abandoned;
static bool up_at_once;

static void on_direct(void *ctx, const char *fqdn, struct ntmd_dns_wait *wait)
{
	assert_ptr_equal(ctx, &waiting);
	directions++;
	snprintf(directed, sizeof(directed), "%s", fqdn);
	if (up_at_once)
		ntmd_dns_result(wait, NTMD_DNS_UP, vip4, vip6, NULL);
	else
		waiting = wait;
}

static void on_abandoned(void *ctx, struct ntmd_dns_wait *wait)
{
	assert_ptr_equal(ctx, &waiting);
	assert_ptr_equal(wait, waiting);
	abandoned++;
	waiting = NULL;
}

/* ---- applications */

static struct ntm_endpoint loopback(uint16_t port)
{
	struct ntm_endpoint ep = {.port = port};

	ntm_addr_from4(&ep.addr, (const uint8_t[4]){127, 0, 0, 1});
	return ep;
}

static uint8_t answer_wire[65537];
static knot_pkt_t *answer;
static uint16_t last_query_id;

static size_t query_make(uint8_t *out, const char *name, uint16_t type, unsigned payload, bool want_do)
{
	knot_dname_storage_t dname;
	knot_pkt_t *packet = knot_pkt_new(out, 512, NULL);
	knot_rrset_t opt;
	size_t len;

	knot_pkt_clear(packet);
	knot_wire_set_id(packet->wire, ++last_query_id);
	knot_wire_set_rd(packet->wire);
	assert_non_null(knot_dname_from_str(dname, name, sizeof(dname)));
	assert_int_equal(knot_pkt_put_question(packet, dname, KNOT_CLASS_IN, type), KNOT_EOK);
	if (payload) {
		assert_int_equal(knot_edns_init(&opt, (uint16_t)payload, 0, 0, NULL), KNOT_EOK);
		if (want_do)
			knot_edns_set_do(&opt);
		knot_pkt_begin(packet, KNOT_ADDITIONAL);
		assert_int_equal(knot_pkt_put(packet, 0, &opt, 0), KNOT_EOK);
		knot_rrset_clear(&opt, NULL);
	}
	len = packet->size;
	knot_pkt_free(packet);
	return len;
}

static int application(int type)
{
	struct ntm_endpoint to = loopback(dns->listen.port);
	struct sockaddr_storage sa;
	socklen_t len = ntm_endpoint_to_sockaddr(&to, &sa);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

static void send_query(int fd, const char *name, uint16_t type, unsigned payload)
{
	uint8_t wire[512];
	size_t len = query_make(wire, name, type, payload, false);

	assert_int_equal(send(fd, wire, len, 0), (ssize_t)len);
}

static void run_ms(int64_t ms)
{
	int64_t end = ntm_loop_now_ms() + ms;

	while (ntm_loop_now_ms() < end)
		event_base_loop(base, EVLOOP_ONCE);
}

static void answer_take(uint8_t *wire, size_t len)
{
	knot_pkt_free(answer);
	answer = knot_pkt_new(wire, (uint16_t)len, NULL);
	assert_int_equal(knot_pkt_parse(answer, KNOT_PF_NOCANON), KNOT_EOK);
	assert_true(knot_wire_get_qr(answer->wire) && knot_wire_get_ra(answer->wire));
}

/* Into answer; false: nothing came in ms. */
static bool receive(int fd, int64_t ms)
{
	int64_t end = ntm_loop_now_ms() + ms;
	ssize_t len;

	do {
		event_base_loop(base, EVLOOP_ONCE);
		len = recv(fd, answer_wire, sizeof(answer_wire), MSG_DONTWAIT);
	} while (len < 0 && ntm_loop_now_ms() < end);
	if (len < 0)
		return false;
	answer_take(answer_wire, (size_t)len);
	return true;
}

static bool receive_tcp(int fd, int64_t ms)
{
	static uint8_t wire[65537];
	int64_t end = ntm_loop_now_ms() + ms;
	size_t got = 0, want = 2;
	ssize_t len;

	while (got < want && ntm_loop_now_ms() < end) {
		event_base_loop(base, EVLOOP_ONCE);
		len = recv(fd, wire + got, want - got, MSG_DONTWAIT);
		if (len == 0)
			return false;
		if (len > 0)
			got += (size_t)len;
		if (got >= 2)
			want = 2u + knot_wire_read_u16(wire);
	}
	if (got < want)
		return false;
	answer_take(wire + 2, got - 2);
	return true;
}

static int64_t ask(const char *name, uint16_t type, unsigned payload)
{
	int fd = application(SOCK_DGRAM);
	int64_t start = ntm_loop_now_ms();

	send_query(fd, name, type, payload);
	assert_true(receive(fd, 8000));
	close(fd);
	assert_int_equal(knot_wire_get_id(answer->wire), last_query_id);
	return ntm_loop_now_ms() - start;
}

/* The answer section has count records, the last one this. */
static void assert_last(unsigned count, const char *owner, uint16_t type, const void *data, size_t len)
{
	const knot_pktsection_t *section = knot_pkt_section(answer, KNOT_ANSWER);
	const knot_rrset_t *rr;
	char text[256];

	assert_int_equal(section->count, count);
	rr = knot_pkt_rr(section, (uint16_t)(count - 1));
	assert_non_null(knot_dname_to_str(text, rr->owner, sizeof(text)));
	assert_string_equal(text, owner);
	assert_int_equal(rr->type, type);
	assert_int_equal(rr->rrs.rdata->len, len);
	assert_memory_equal(rr->rrs.rdata->data, data, len);
}

static void assert_virtual(uint16_t type)
{
	assert_int_equal(knot_pkt_ext_rcode(answer), KNOT_RCODE_NOERROR);
	if (type == KNOT_RRTYPE_A)
		assert_last(1, "cn.ntm.example.", type, vip4, 4);
	else
		assert_last(1, "cn.ntm.example.", type, vip6, 16);
	assert_int_equal(knot_pkt_rr(knot_pkt_section(answer, KNOT_ANSWER), 0)->ttl, 10);
}

static void assert_failed(int ede, const char *text)
{
	uint8_t *option;

	assert_int_equal(knot_pkt_ext_rcode(answer), KNOT_RCODE_SERVFAIL);
	option = knot_pkt_edns_option(answer, KNOT_EDNS_OPTION_EDE);
	assert_non_null(option);
	assert_int_equal(knot_wire_read_u16(option + 4), ede);
	assert_int_equal(knot_edns_opt_get_length(option), 2 + strlen(text));
	assert_memory_equal(option + 6, text, strlen(text));
}

/* ---- the stage */

static const struct record world[] = {
	{.name = "www.example.com.", .type = KNOT_RRTYPE_A, .rdata = "192.0.2.80"},
	{.name = "www.example.com.", .type = KNOT_RRTYPE_AAAA, .rdata = "2001:db8::80"},
	{.name = "www.example.com.", .type = KNOT_RRTYPE_TXT, .rdata = "hello"},
	{.name = "big.example.com.", .type = KNOT_RRTYPE_TXT, .behaviour = ANSWERS_BIG},
	{.name = "old.example.com.",
	 .type = KNOT_RRTYPE_A,
	 .behaviour = KNOWS_NO_EDNS,
	 .rdata = "192.0.2.81"},
	{.name = "dropper.example.com.", .type = KNOT_RRTYPE_A, .rdata = "192.0.2.82"},
	{.name = "dropper.example.com.", .type = NTMD_DNS_TYPE_NTM4, .behaviour = SAYS_NOTHING},
	{.name = "dropper.example.com.", .type = NTMD_DNS_TYPE_NTM6, .behaviour = SAYS_NOTHING},
	{.name = "six.example.com.", .type = KNOT_RRTYPE_A, .behaviour = SAYS_NOTHING},
	{.name = "six.example.com.", .type = KNOT_RRTYPE_AAAA, .rdata = "2001:db8::6"},
	{.name = "cn.ntm.example.",
	 .type = KNOT_RRTYPE_A,
	 .rdata = "203.0.113.66"}, /* not what must come out */
	{.name = "cn.ntm.example.", .type = NTMD_DNS_TYPE_NTM4, .rdata = "198.18.0.66"},
	{.name = "cn.ntm.example.", .type = NTMD_DNS_TYPE_NTM6, .rdata = "fd4e:544d:1::66"},
	{.name = "six.ntm.example.", .type = NTMD_DNS_TYPE_NTM6, .rdata = "fd4e:544d:1::67"},
	{.name = "alias.example.com.",
	 .type = NTMD_DNS_TYPE_NTM4,
	 .cname = "cn.ntm.example.",
	 .rdata = "198.18.0.66"},
	{.name = "bad.ntm.example.", .type = NTMD_DNS_TYPE_NTM4 + 2, .rdata = "x"},
};

static void stub_open(const struct ntm_endpoint *servers, unsigned count)
{
	const struct ntmd_dns_ops ops = {.direct = on_direct, .abandoned = on_abandoned};
	struct ntm_endpoint listen;
	char why[256];
	int err = -EADDRINUSE;

	/* A port that is free for both protocols. */
	for (int i = 0; i < 50 && err == -EADDRINUSE; i++) {
		listen = loopback((uint16_t)(20000 + (getpid() * 7 + i * 131) % 12000));
		err = ntmd_dns_open(&dns, base, &listen, servers, count, &ops, &waiting, why, sizeof(why));
	}
	assert_int_equal(err, 0);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static int setup(void **state)
{
	const struct timeval every = {.tv_usec = 2000};
	struct ntm_endpoint servers[2];

	(void)state;
	base = event_base_new();
	tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	event_add(tick, &every);
	for (unsigned i = 0; i < 2; i++) {
		server_open(&upstream[i], world, sizeof(world) / sizeof(world[0]));
		servers[i] = loopback(upstream[i].port);
	}
	waiting = NULL;
	directions = abandoned = 0;
	up_at_once = false;
	stub_open(servers, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	knot_pkt_free(answer);
	answer = NULL;
	ntmd_dns_close(dns);
	dns = NULL;
	server_close(&upstream[0]);
	server_close(&upstream[1]);
	event_free(tick);
	event_base_free(base);
	return 0;
}

static void servers_use(unsigned first, unsigned count)
{
	struct ntm_endpoint servers[2];

	for (unsigned i = 0; i < count; i++)
		servers[i] = loopback(upstream[(first + i) % 2].port);
	ntmd_dns_upstream_set(dns, servers, count);
}

#endif
