/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_stub.c - the stub's listening side: UDP here, TCP in dns_tcp.c; dns_lookup.c decides the answers.
 * dns_internal.h shows the whole way of a question.
 */
#include "dns_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"
#include "log.h"

#define UDP_BURST 32 /* datagrams read before other events have their turn */

/* ---- one question */

void ntmd_dns_query_free(struct ntmd_dns_query *query)
{
	ntmd_dns_lookup_forget(query);
	if (query->asker.tcp)
		ntmd_dns_tcp_query_gone(query->asker.tcp, query);
	TAILQ_REMOVE(&query->dns->queries, query, link);
	query->dns->query_count--;
	free(query->answer);
	free(query);
}

static void wire_send(struct ntmd_dns *dns, size_t len, const struct ntmd_dns_asker *to)
{
	dns->stats.answers++;
	if (to->tcp)
		ntmd_dns_tcp_send(to->tcp, dns->out, len);
	else if (sendto(to->udp, dns->out, len, MSG_NOSIGNAL, (const struct sockaddr *)&to->from,
			to->from_len) < 0)
		ntm_debug("dns: an answer could not be sent: %s", strerror(errno));
}

void ntmd_dns_query_reply(struct ntmd_dns_query *query, size_t len)
{
	if (len)
		wire_send(query->dns, len, &query->asker);
	ntmd_dns_query_free(query);
}

/* For messages that are no good question: header alone. */
static void refuse(struct ntmd_dns *dns, const uint8_t *wire, unsigned rcode,
		   const struct ntmd_dns_asker *asker)
{
	memset(dns->out, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_id(dns->out, knot_wire_get_id(wire));
	knot_wire_set_qr(dns->out);
	knot_wire_set_opcode(dns->out, knot_wire_get_opcode(wire));
	knot_wire_set_rcode(dns->out, rcode & 15);
	dns->stats.failures++;
	wire_send(dns, KNOT_WIRE_HEADER_SIZE, asker);
}

static void question_read(struct ntmd_dns_query *query, const knot_pkt_t *packet)
{
	struct ntmd_dns_question *question = &query->question;
	uint16_t payload = KNOT_WIRE_MIN_PKTSIZE;

	query->id = knot_wire_get_id(packet->wire);
	memcpy(query->name, knot_pkt_wire_qname(packet), packet->qname_size);
	knot_dname_copy_lower(question->name, query->name);
	question->type = knot_pkt_qtype(packet);
	question->rclass = knot_pkt_qclass(packet);
	question->flags = (knot_wire_get_rd(packet->wire) ? NTMD_DNS_RD : 0u) |
			  (knot_wire_get_cd(packet->wire) ? NTMD_DNS_CD : 0u) |
			  (knot_wire_get_ad(packet->wire) ? NTMD_DNS_AD : 0u) |
			  (knot_pkt_has_dnssec(packet) ? NTMD_DNS_DO : 0u);
	query->edns = knot_pkt_has_edns(packet);
	if (query->edns && knot_edns_get_payload(packet->opt_rr) > payload)
		payload = knot_edns_get_payload(packet->opt_rr);
	if (payload > NTMD_DNS_UDP_MAX)
		payload = NTMD_DNS_UDP_MAX;
	query->payload = query->asker.tcp ? NTMD_DNS_MESSAGE_MAX : payload;
}

/* A response code for what is not forwarded: 0 is good. */
static unsigned question_check(const knot_pkt_t *packet)
{
	if (knot_wire_get_qdcount(packet->wire) != 1)
		return KNOT_RCODE_FORMERR;
	/* Answers of several messages; and a resolver has no zones to hand out. */
	if (knot_pkt_qtype(packet) == KNOT_RRTYPE_AXFR || knot_pkt_qtype(packet) == KNOT_RRTYPE_IXFR)
		return KNOT_RCODE_NOTIMPL;
	return 0;
}

static void query_begin(struct ntmd_dns *dns, const knot_pkt_t *packet,
			const struct ntmd_dns_asker *asker)
{
	struct ntmd_dns_query *query = calloc(1, sizeof(*query));

	if (!query)
		return;
	query->dns = dns;
	query->asker = *asker;
	question_read(query, packet);
	TAILQ_INSERT_TAIL(&dns->queries, query, link);
	dns->query_count++;
	if (asker->tcp)
		ntmd_dns_tcp_query_added(asker->tcp, query);
	if (query->edns && knot_edns_get_version(packet->opt_rr) > KNOT_EDNS_VERSION)
		ntmd_dns_query_reply(query, ntmd_dns_answer_error(query, KNOT_RCODE_BADVERS, -1, NULL));
	else
		ntmd_dns_lookup_start(query);
}

void ntmd_dns_query_handle(struct ntmd_dns *dns, uint8_t *wire, size_t len,
			   const struct ntmd_dns_asker *asker)
{
	unsigned rcode = 0;
	knot_pkt_t *packet;

	/* No answer to an answer: two servers could go on for ever. */
	if (len < KNOT_WIRE_HEADER_SIZE || knot_wire_get_qr(wire))
		return;
	dns->stats.queries++;
	if (knot_wire_get_opcode(wire) != KNOT_OPCODE_QUERY)
		rcode = KNOT_RCODE_NOTIMPL;
	else if (dns->query_count >= NTMD_DNS_QUERIES_MAX)
		rcode = KNOT_RCODE_SERVFAIL;
	if (rcode) {
		refuse(dns, wire, rcode, asker);
		return;
	}
	packet = knot_pkt_new(wire, (uint16_t)len, NULL);
	if (!packet)
		return;
	if (knot_pkt_parse(packet, KNOT_PF_KEEPWIRE) != KNOT_EOK)
		rcode = KNOT_RCODE_FORMERR;
	else
		rcode = question_check(packet);
	if (rcode)
		refuse(dns, wire, rcode, asker);
	else
		query_begin(dns, packet, asker);
	knot_pkt_free(packet);
}

/* ---- the sockets */

static void udp_ready(evutil_socket_t fd, short what, void *arg)
{
	const struct ntmd_dns_listener *listener = arg;
	struct ntmd_dns *dns = listener->dns;
	struct ntmd_dns_asker asker = { .udp = listener->udp };
	ssize_t len;

	(void)what;
	for (int i = 0; i < UDP_BURST; i++) {
		asker.from_len = sizeof(asker.from);
		len = recvfrom(fd, dns->in, sizeof(dns->in), 0, (struct sockaddr *)&asker.from,
			       &asker.from_len);
		if (len < 0)
			break;
		ntmd_dns_query_handle(dns, dns->in, (size_t)len, &asker);
	}
}

/* The stub's from now on if this succeeds. */
static int udp_watch(struct ntmd_dns_listener *listener, int fd)
{
	listener->udp_event = event_new(listener->dns->base, fd, EV_READ | EV_PERSIST, udp_ready, listener);
	if (!listener->udp_event || event_add(listener->udp_event, NULL) < 0)
		return -ENOMEM;
	listener->udp = fd;
	return 0;
}

static int udp_open(struct ntmd_dns_listener *listener, const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = bind(fd, sa, len) < 0 ? -errno : udp_watch(listener, fd);
	if (err)
		close(fd);
	return err;
}

static struct ntmd_dns_listener *listener_add(struct ntmd_dns *dns)
{
	struct ntmd_dns_listener *listener = &dns->listener[dns->listeners++];

	listener->dns = dns;
	listener->udp = listener->tcp = -1;
	return listener;
}

static void listener_close(struct ntmd_dns_listener *listener)
{
	ntmd_dns_tcp_unlisten(listener);
	if (listener->udp_event)
		event_free(listener->udp_event);
	listener->udp_event = NULL;
	if (listener->udp >= 0)
		close(listener->udp);
	listener->udp = -1;
}

/* Why listening failed, and what to do. */
static void why_say(char *ret_why, size_t why_len, const struct ntm_endpoint *listen, const char *protocol,
		    int err)
{
	char text[NTM_ENDPOINT_TEXT];
	const char *todo = "";

	if (err == -EADDRINUSE)
		todo = "; another program answers there (systemd-resolved takes 127.0.0.53 and 127.0.0.54): "
		       "set another address in [dns] listen";
	else if (err == -EACCES)
		todo = "; ports below 1024 need CAP_NET_BIND_SERVICE";
	else if (err == -EADDRNOTAVAIL)
		todo = "; [dns] listen must be an address of this machine";
	snprintf(ret_why, why_len, "cannot answer names at %s (%s): %s%s", ntm_endpoint_format(listen, text),
		 protocol, strerror(-err), todo);
}

/* Without sockets; NULL: no memory. */
static struct ntmd_dns *dns_new(struct event_base *base, const struct ntm_endpoint *listen,
				const struct ntm_endpoint *upstream, unsigned upstreams,
				const struct ntmd_dns_ops *ops, void *ctx)
{
	struct ntmd_dns *dns = calloc(1, sizeof(*dns));

	if (!dns || ntmd_dns_cache_open(&dns->cache) < 0) {
		free(dns);
		return NULL;
	}
	dns->base = base;
	dns->ops = *ops;
	dns->ctx = ctx;
	dns->listen = *listen;
	TAILQ_INIT(&dns->queries);
	TAILQ_INIT(&dns->tcps);
	TAILQ_INIT(&dns->names);
	TAILQ_INIT(&dns->waits);
	TAILQ_INIT(&dns->asks);
	ntmd_dns_servers_files(dns, NULL, NULL);
	ntmd_dns_upstream_set(dns, upstream, upstreams);
	return dns;
}

static int bound_to(int fd, struct ntm_endpoint *ret_at)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return ntm_endpoint_from_sockaddr(ret_at, (struct sockaddr *)&sa);
}

/* Whether a socket is of our own network namespace; also if the kernel (before 5.14) cannot tell. */
static bool is_here(int fd)
{
	uint64_t theirs = 0, ours = 0;
	socklen_t len = sizeof(theirs);
	int own;

	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &theirs, &len))
		return true;
	own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (own < 0)
		return true;
	len = sizeof(ours);
	if (getsockopt(own, SOL_SOCKET, SO_NETNS_COOKIE, &ours, &len))
		ours = theirs;
	close(own);
	return ours == theirs;
}

int ntmd_dns_open_sockets(struct ntmd_dns **ret_dns, struct event_base *base, const int fd[2],
			  const struct ntm_endpoint *upstream, unsigned upstreams,
			  const struct ntmd_dns_ops *ops, void *ctx, char *ret_why, size_t why_len)
{
	struct ntm_endpoint listen = { .port = 0 };
	struct ntmd_dns *dns;
	int err = 0;

	/* What it listens at matters only where asking upstream there would be asking ourselves. */
	if (is_here(fd[0]))
		err = bound_to(fd[0], &listen);
	dns = err ? NULL : dns_new(base, &listen, upstream, upstreams, ops, ctx);
	if (!err && !dns)
		err = -ENOMEM;
	if (!err)
		err = udp_watch(listener_add(dns), fd[0]);
	if (!err)
		err = ntmd_dns_tcp_watch(&dns->listener[0], fd[1]);
	if (err) {
		snprintf(ret_why, why_len, "cannot answer names on the sockets that were passed: %s",
			 strerror(-err));
		if (dns)
			dns->listener[0].udp = -1; /* the caller's still */
		ntmd_dns_close(dns);
		return err;
	}
	*ret_dns = dns;
	return 0;
}

int ntmd_dns_open(struct ntmd_dns **ret_dns, struct event_base *base, const struct ntm_endpoint *listen,
		  const struct ntm_endpoint *upstream, unsigned upstreams, const struct ntmd_dns_ops *ops,
		  void *ctx, char *ret_why, size_t why_len)
{
	struct ntmd_dns *dns = dns_new(base, listen, upstream, upstreams, ops, ctx);
	struct ntmd_dns_listener *listener;
	struct sockaddr_storage sa;
	socklen_t len;
	int err;

	if (!dns) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	listener = listener_add(dns);
	len = ntm_endpoint_to_sockaddr(listen, &sa);
	err = udp_open(listener, (const struct sockaddr *)&sa, len);
	if (err) {
		why_say(ret_why, why_len, listen, "UDP", err);
		goto failed;
	}
	err = ntmd_dns_tcp_open(listener, (const struct sockaddr *)&sa, len);
	if (err) {
		why_say(ret_why, why_len, listen, "TCP", err);
		goto failed;
	}
	*ret_dns = dns;
	return 0;
failed:
	ntmd_dns_close(dns);
	return err;
}

/* One more listener at a port that the kernel chooses. Ports are those of sockets or 0. */
static int loopback_listen(struct ntmd_dns *dns, const char *address, uint16_t *ret_udp, uint16_t *ret_tcp)
{
	struct ntmd_dns_listener *listener = &dns->listener[dns->listeners];
	struct ntm_endpoint at = { .port = 0 }, udp, tcp;
	struct sockaddr_storage sa;
	socklen_t len;
	int err;

	if (dns->listeners == NTMD_DNS_LISTENERS_MAX)
		return -EBUSY;
	listener_add(dns);
	err = ntm_addr_parse(&at.addr, address);
	len = ntm_endpoint_to_sockaddr(&at, &sa);
	if (!err)
		err = udp_open(listener, (const struct sockaddr *)&sa, len);
	if (!err)
		err = ntmd_dns_tcp_open(listener, (const struct sockaddr *)&sa, len);
	if (!err)
		err = bound_to(listener->udp, &udp);
	if (!err)
		err = bound_to(listener->tcp, &tcp);
	if (err) {
		listener_close(listener);
		dns->listeners--;
		return err;
	}
	*ret_udp = udp.port;
	*ret_tcp = tcp.port;
	return 0;
}

int ntmd_dns_loopback_open(struct ntmd_dns *dns, struct ntmd_dns_loopback *ret_loopback, char *ret_why,
			   size_t why_len)
{
	struct ntmd_dns_loopback *at = &dns->loopback;
	int err = at->udp4 ? 0 : loopback_listen(dns, "127.0.0.1", &at->udp4, &at->tcp4);

	if (err) {
		snprintf(ret_why, why_len, "cannot answer names at 127.0.0.1: %s", strerror(-err));
		return err;
	}
	if (!at->udp6) {
		err = loopback_listen(dns, "::1", &at->udp6, &at->tcp6);
		if (err)
			ntm_info("cannot answer names at ::1 (%s): queries to IPv6 name servers go there",
				 strerror(-err));
	}
	*ret_loopback = *at;
	return 0;
}

void ntmd_dns_close(struct ntmd_dns *dns)
{
	if (!dns)
		return;
	ntmd_dns_tcp_close(dns);
	while (!TAILQ_EMPTY(&dns->queries))
		ntmd_dns_query_free(TAILQ_FIRST(&dns->queries));
	ntmd_dns_lookup_close(dns);
	ntmd_dns_upstream_close(dns);
	for (unsigned i = 0; i < dns->listeners; i++)
		listener_close(&dns->listener[i]);
	ntmd_dns_cache_close(dns->cache);
	free(dns);
}

void ntmd_dns_kick(struct ntmd_dns *dns)
{
	/* Another network may see other names. */
	ntmd_dns_cache_flush(dns->cache);
	dns->file_checked_ms = 0;
	dns->servers_generation++;
	ntmd_dns_upstream_kick(dns);
}

void ntmd_dns_stats(const struct ntmd_dns *dns, struct ntmd_dns_stats *ret_stats)
{
	*ret_stats = dns->stats;
}
