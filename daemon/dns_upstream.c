/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_upstream.c - asks servers: dns_lookup.c wants an answer, dns_servers.c says whom to ask.
 *
 * Each question has a connected socket of its own, so that the kernel picks a random port and drops what
 * others send, and a random ID (RFC 5452). It is sent again, to the next server if there are several, after
 * 0.2, 0.4, 0.8, 1.6, 1.6 s; all ends after NTMD_DNS_TIMEOUT_MS. A truncated answer is fetched by TCP. Those
 * who want the same share one question.
 */
#include "dns_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "loop.h"

#define QUERY_MAX 512 /* a header, a name, an OPT record: bytes */
#define TCP_WAIT_MS 2000 /* then the next server is asked */

struct ntmd_dns_ask {
	TAILQ_ENTRY(ntmd_dns_ask) link;
	struct ntmd_dns *dns;
	struct ntmd_dns_question question;
	struct ntmd_dns_waiters waiters;
	struct event *timer, *io;
	int fd; /* -1: none */
	struct ntmd_dns_server server; /* whom fd is connected to */
	unsigned turn; /* servers[turn % count] is asked */
	unsigned tries;
	unsigned refusals; /* servers that cannot answer, one after the other */
	int64_t deadline_ms;
	bool tcp, no_edns, delivering;
	uint16_t id;
	uint8_t query[2 + QUERY_MAX]; /* with TCP's length in front */
	size_t query_len, sent; /* with those two bytes */
	uint8_t *in; /* TCP: NTMD_DNS_MESSAGE_MAX + 2 bytes */
	size_t got;
};

static void ask_ready(evutil_socket_t fd, short what, void *arg);

/* Every socket towards a server is made here. */
static int upstream_socket(const struct ntmd_dns *dns, const struct ntmd_dns_server *server, int type)
{
	int fd = socket(server->sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	/* Unmarked it would come back to us. */
	if (dns->mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &dns->mark, sizeof(dns->mark)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	if (connect(fd, (const struct sockaddr *)&server->sa, server->len) < 0 && errno != EINPROGRESS) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int ntmd_dns_mark_set(struct ntmd_dns *dns, uint32_t mark)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		err = -errno;
	else
		dns->mark = mark;
	if (fd >= 0)
		close(fd);
	return err;
}

static void socket_drop(struct ntmd_dns_ask *ask)
{
	if (ask->io)
		event_free(ask->io);
	ask->io = NULL;
	if (ask->fd >= 0)
		close(ask->fd);
	ask->fd = -1;
	free(ask->in);
	ask->in = NULL;
	ask->got = ask->sent = 0;
}

static void ask_free(struct ntmd_dns_ask *ask)
{
	socket_drop(ask);
	event_free(ask->timer);
	free(ask);
}

/* packet: NULL for none. The ask is gone afterwards. */
static void ask_deliver(struct ntmd_dns_ask *ask, const knot_pkt_t *packet)
{
	struct ntmd_dns_waiter *waiter;

	TAILQ_REMOVE(&ask->dns->asks, ask, link);
	ask->dns->ask_count--;
	ask->delivering = true;
	if (!packet)
		ask->dns->stats.upstream_timeouts++;
	/* Each may make others forget: they take themselves off the list. */
	while ((waiter = TAILQ_FIRST(&ask->waiters))) {
		TAILQ_REMOVE(&ask->waiters, waiter, link);
		waiter->ask = NULL;
		waiter->answered(waiter, packet);
	}
	ask_free(ask);
}

static int query_build(struct ntmd_dns_ask *ask)
{
	const struct ntmd_dns_question *question = &ask->question;
	knot_pkt_t *packet;
	knot_rrset_t opt;
	int err;

	if (getrandom(&ask->id, sizeof(ask->id), 0) != sizeof(ask->id))
		return -EIO;
	packet = knot_pkt_new(ask->query + 2, QUERY_MAX, NULL);
	if (!packet)
		return -ENOMEM;
	knot_pkt_clear(packet);
	knot_wire_set_id(packet->wire, ask->id);
	if (question->flags & NTMD_DNS_RD)
		knot_wire_set_rd(packet->wire);
	if (question->flags & NTMD_DNS_CD)
		knot_wire_set_cd(packet->wire);
	if (question->flags & NTMD_DNS_AD)
		knot_wire_set_ad(packet->wire);
	err = knot_pkt_put_question(packet, question->name, question->rclass, question->type);
	if (err == KNOT_EOK && !ask->no_edns) {
		err = knot_edns_init(&opt, NTMD_DNS_PAYLOAD, 0, KNOT_EDNS_VERSION, NULL);
		if (err == KNOT_EOK) {
			if (question->flags & NTMD_DNS_DO)
				knot_edns_set_do(&opt);
			knot_pkt_begin(packet, KNOT_ADDITIONAL);
			err = knot_pkt_put(packet, KNOT_COMPR_HINT_NONE, &opt, 0);
			knot_rrset_clear(&opt, NULL);
		}
	}
	ask->query_len = 2 + packet->size;
	knot_wire_write_u16(ask->query, (uint16_t)packet->size);
	knot_pkt_free(packet);
	return err == KNOT_EOK ? 0 : -EMSGSIZE;
}

static void timer_set(struct ntmd_dns_ask *ask, int64_t ms)
{
	int64_t left = ask->deadline_ms - ntm_loop_now_ms();

	ntm_timer_set_ms(ask->timer, ms < left ? ms : left);
}

static void retry_set(struct ntmd_dns_ask *ask)
{
	int64_t ms = ask->tries < 8 ? (int64_t)NTMD_DNS_RETRY_MS << ask->tries : NTMD_DNS_RETRY_MAX_MS;

	timer_set(ask, ms < NTMD_DNS_RETRY_MAX_MS ? ms : NTMD_DNS_RETRY_MAX_MS);
}

static int socket_make(struct ntmd_dns_ask *ask, const struct ntmd_dns_server *server, bool tcp)
{
	struct ntmd_dns_server to = *server;
	int fd, err;

	socket_drop(ask);
	ask->server = to;
	ask->tcp = tcp;
	err = query_build(ask);
	if (err)
		return err;
	fd = upstream_socket(ask->dns, &to, tcp ? SOCK_STREAM : SOCK_DGRAM);
	if (fd < 0)
		return fd;
	ask->fd = fd;
	ask->io = event_new(ask->dns->base, fd,
			    (short)(tcp ? EV_READ | EV_WRITE | EV_PERSIST : EV_READ | EV_PERSIST), ask_ready,
			    ask);
	if (tcp)
		ask->in = malloc(NTMD_DNS_MESSAGE_MAX + 2);
	if (!ask->io || (tcp && !ask->in) || event_add(ask->io, NULL) < 0) {
		socket_drop(ask);
		return -ENOMEM;
	}
	return 0;
}

static bool same_server(const struct ntmd_dns_ask *ask, const struct ntmd_dns_server *server)
{
	return ask->fd >= 0 && !ask->tcp && ask->server.len == server->len &&
	       memcmp(&ask->server.sa, &server->sa, server->len) == 0;
}

/*
 * Sends by UDP to the first server from ask->turn on that can be sent to at all. If there is none the network
 * is probably changing: the timer or ntmd_dns_kick() tries again.
 */
static void ask_send(struct ntmd_dns_ask *ask)
{
	const struct ntmd_dns_servers *servers = ntmd_dns_servers_for(ask->dns, ask->question.name);

	for (unsigned i = 0; i < servers->count; i++, ask->turn++) {
		const struct ntmd_dns_server *server = &servers->server[ask->turn % servers->count];

		/* The same socket for the same server: a late answer to the first copy still counts. */
		if (!same_server(ask, server) && socket_make(ask, server, false) < 0)
			continue;
		if (send(ask->fd, ask->query + 2, ask->query_len - 2, MSG_NOSIGNAL) > 0) {
			ask->dns->stats.upstream_queries++;
			break;
		}
		socket_drop(ask);
	}
	retry_set(ask);
}

static void ask_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_dns_ask *ask = arg;

	(void)fd;
	(void)what;
	if (ntm_loop_now_ms() >= ask->deadline_ms) {
		ask_deliver(ask, NULL);
		return;
	}
	ask->tries++;
	ask->turn++;
	ask_send(ask);
}

/* The server asked cannot answer. packet: what it says; NULL: it is not there. */
static void server_refused(struct ntmd_dns_ask *ask, const knot_pkt_t *packet)
{
	if (++ask->refusals >= ntmd_dns_servers_for(ask->dns, ask->question.name)->count) {
		ask_deliver(ask, packet);
		return;
	}
	socket_drop(ask);
	ask->turn++;
	ask_send(ask);
}

static void ask_by_tcp(struct ntmd_dns_ask *ask)
{
	struct ntmd_dns_server server = ask->server;

	if (socket_make(ask, &server, true) < 0) {
		server_refused(ask, NULL);
		return;
	}
	ask->dns->stats.upstream_queries++;
	timer_set(ask, TCP_WAIT_MS);
}

static bool question_is_ours(const struct ntmd_dns_ask *ask, const uint8_t *wire, size_t len)
{
	const uint8_t *end = wire + len, *at = wire + KNOT_WIRE_HEADER_SIZE;
	int name_len;

	if (knot_wire_get_qdcount(wire) != 1)
		return false;
	name_len = knot_dname_wire_check(at, end, NULL);
	if (name_len <= 0 || (size_t)(end - at) < (size_t)name_len + 4)
		return false;
	return knot_dname_is_case_equal(at, ask->question.name) &&
	       knot_wire_read_u16(at + name_len) == ask->question.type &&
	       knot_wire_read_u16(at + name_len + 2) == ask->question.rclass;
}

/* Servers from before EDNS (RFC 6891, section 7) answer so, some with the header alone. */
static bool edns_refused(const struct ntmd_dns_ask *ask, const uint8_t *wire)
{
	uint8_t rcode = knot_wire_get_rcode(wire);

	return !ask->no_edns && (rcode == KNOT_RCODE_FORMERR || rcode == KNOT_RCODE_NOTIMPL) &&
	       knot_wire_get_arcount(wire) == 0;
}

/* What is no answer to the question is passed over: it may be forged, and the true one may still come. */
static void message_handle(struct ntmd_dns_ask *ask, uint8_t *wire, size_t len)
{
	knot_pkt_t *packet;
	uint16_t rcode;

	if (len < KNOT_WIRE_HEADER_SIZE || knot_wire_get_id(wire) != ask->id || !knot_wire_get_qr(wire) ||
	    knot_wire_get_opcode(wire) != KNOT_OPCODE_QUERY)
		return;
	if (edns_refused(ask, wire) &&
	    (knot_wire_get_qdcount(wire) == 0 || question_is_ours(ask, wire, len))) {
		ask->no_edns = true;
		socket_drop(ask);
		ask_send(ask);
		return;
	}
	if (!question_is_ours(ask, wire, len))
		return;
	if (knot_wire_get_tc(wire) && !ask->tcp) {
		ask_by_tcp(ask);
		return;
	}
	packet = knot_pkt_new(wire, (uint16_t)len, NULL);
	if (!packet)
		return;
	if (knot_pkt_parse(packet, KNOT_PF_KEEPWIRE | KNOT_PF_NOCANON) == KNOT_EOK) {
		rcode = knot_pkt_ext_rcode(packet);
		if (rcode == KNOT_RCODE_SERVFAIL || rcode == KNOT_RCODE_REFUSED ||
		    rcode == KNOT_RCODE_NOTIMPL)
			server_refused(ask, packet);
		else
			ask_deliver(ask, packet);
	}
	knot_pkt_free(packet);
}

static void udp_ready(struct ntmd_dns_ask *ask)
{
	ssize_t len = recv(ask->fd, ask->dns->in, sizeof(ask->dns->in), 0);

	if (len >= 0)
		message_handle(ask, ask->dns->in, (size_t)len);
	else if (errno == ECONNREFUSED)
		server_refused(ask, NULL);
}

static bool tcp_again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void tcp_read(struct ntmd_dns_ask *ask)
{
	size_t want = ask->got < 2 ? 2 : 2u + knot_wire_read_u16(ask->in);
	ssize_t len = recv(ask->fd, ask->in + ask->got, want - ask->got, 0);
	uint8_t *in;

	if (len <= 0) {
		if (len == 0 || !tcp_again())
			server_refused(ask, NULL);
		return;
	}
	ask->got += (size_t)len;
	if (ask->got < 2 || ask->got < 2u + knot_wire_read_u16(ask->in) || ask->got == 2)
		return;
	in = ask->in; /* the ask may be gone, or sent anew, after the call */
	ask->in = NULL;
	len = (ssize_t)ask->got - 2;
	event_del(ask->io); /* one answer is all that was asked for; the timer goes on if it is no good */
	message_handle(ask, in + 2, (size_t)len);
	free(in);
}

static void tcp_write(struct ntmd_dns_ask *ask)
{
	ssize_t len = send(ask->fd, ask->query + ask->sent, ask->query_len - ask->sent, MSG_NOSIGNAL);

	if (len < 0) {
		if (!tcp_again())
			server_refused(ask, NULL);
		return;
	}
	ask->sent += (size_t)len;
	if (ask->sent < ask->query_len)
		return;
	event_free(ask->io);
	ask->io = event_new(ask->dns->base, ask->fd, EV_READ | EV_PERSIST, ask_ready, ask);
	if (!ask->io || event_add(ask->io, NULL) < 0)
		server_refused(ask, NULL);
}

static void ask_ready(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_dns_ask *ask = arg;

	(void)fd;
	if (!ask->tcp)
		udp_ready(ask);
	else if (what & EV_WRITE)
		tcp_write(ask);
	else
		tcp_read(ask);
}

static struct ntmd_dns_ask *ask_find(struct ntmd_dns *dns, const struct ntmd_dns_question *question)
{
	struct ntmd_dns_ask *ask;

	TAILQ_FOREACH (ask, &dns->asks, link) {
		if (ask->question.type == question->type && ask->question.rclass == question->rclass &&
		    ask->question.flags == question->flags &&
		    knot_dname_is_equal(ask->question.name, question->name))
			return ask;
	}
	return NULL;
}

static int ask_new(struct ntmd_dns_ask **ret_ask, struct ntmd_dns *dns,
		   const struct ntmd_dns_question *question)
{
	struct ntmd_dns_ask *ask;

	if (ntmd_dns_servers_for(dns, question->name)->count == 0)
		return -ENOENT;
	if (dns->ask_count == NTMD_DNS_ASKS_MAX)
		return -EBUSY;
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return -ENOMEM;
	ask->timer = ntm_timer_new(dns->base, ask_timer, ask);
	if (!ask->timer) {
		free(ask);
		return -ENOMEM;
	}
	ask->dns = dns;
	ask->fd = -1;
	ask->question = *question;
	ask->deadline_ms = ntm_loop_now_ms() + NTMD_DNS_TIMEOUT_MS;
	TAILQ_INIT(&ask->waiters);
	TAILQ_INSERT_TAIL(&dns->asks, ask, link);
	dns->ask_count++;
	ask_send(ask);
	*ret_ask = ask;
	return 0;
}

int ntmd_dns_upstream_ask(struct ntmd_dns *dns, struct ntmd_dns_waiter *waiter,
			  const struct ntmd_dns_question *question)
{
	struct ntmd_dns_ask *ask = ask_find(dns, question);
	int err;

	if (!ask) {
		err = ask_new(&ask, dns, question);
		if (err)
			return err;
	}
	waiter->ask = ask;
	TAILQ_INSERT_TAIL(&ask->waiters, waiter, link);
	return 0;
}

void ntmd_dns_upstream_forget(struct ntmd_dns_waiter *waiter)
{
	struct ntmd_dns_ask *ask = waiter->ask;

	if (!ask)
		return;
	waiter->ask = NULL;
	TAILQ_REMOVE(&ask->waiters, waiter, link);
	if (!TAILQ_EMPTY(&ask->waiters) || ask->delivering)
		return;
	TAILQ_REMOVE(&ask->dns->asks, ask, link);
	ask->dns->ask_count--;
	ask_free(ask);
}

void ntmd_dns_upstream_kick(struct ntmd_dns *dns)
{
	struct ntmd_dns_ask *ask;

	TAILQ_FOREACH (ask, &dns->asks, link) {
		/* The old socket is bound to the address that was lost. */
		socket_drop(ask);
		ask->tries = ask->turn = ask->refusals = 0;
		ask_send(ask);
	}
}

void ntmd_dns_upstream_close(struct ntmd_dns *dns)
{
	struct ntmd_dns_ask *ask;

	while ((ask = TAILQ_FIRST(&dns->asks))) {
		TAILQ_REMOVE(&dns->asks, ask, link);
		ask_free(ask);
	}
}
