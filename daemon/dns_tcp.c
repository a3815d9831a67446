/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_tcp.c - the stub's TCP side (RFC 7766): messages behind a two-byte length, several at once, answered in
 * any order. Bounded: connections, questions of one, and bytes that one does not take off us. dns_stub.c
 * handles the messages.
 */
#include "dns_internal.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

#define BACKLOG 32

struct ntmd_dns_tcp {
	TAILQ_ENTRY(ntmd_dns_tcp) link;
	struct ntmd_dns *dns;
	struct bufferevent *stream;
	struct ntmd_dns_queries queries;
	unsigned query_count;
	bool ended; /* the application sends no more, but waits for its answers */
	bool reading; /* inside tcp_read: it must not be freed */
};

static void tcp_free(struct ntmd_dns_tcp *tcp)
{
	while (!TAILQ_EMPTY(&tcp->queries))
		ntmd_dns_query_free(TAILQ_FIRST(&tcp->queries));
	TAILQ_REMOVE(&tcp->dns->tcps, tcp, link);
	tcp->dns->tcp_count--;
	bufferevent_free(tcp->stream);
	free(tcp);
}

static size_t output_len(const struct ntmd_dns_tcp *tcp)
{
	return evbuffer_get_length(bufferevent_get_output(tcp->stream));
}

static bool is_full(const struct ntmd_dns_tcp *tcp)
{
	return tcp->query_count >= NTMD_DNS_TCP_QUERIES_MAX || output_len(tcp) > NTMD_DNS_TCP_OUTPUT_MAX;
}

/* Takes one message off the input; false: none is complete. */
static bool message_take(struct ntmd_dns_tcp *tcp)
{
	struct evbuffer *input = bufferevent_get_input(tcp->stream);
	const struct ntmd_dns_asker asker = { .tcp = tcp, .udp = -1 };
	uint8_t prefix[2];
	size_t len;

	if (evbuffer_copyout(input, prefix, 2) < 2)
		return false;
	len = knot_wire_read_u16(prefix);
	if (evbuffer_get_length(input) < 2 + len)
		return false;
	evbuffer_drain(input, 2);
	evbuffer_remove(input, tcp->dns->in, len);
	ntmd_dns_query_handle(tcp->dns, tcp->dns->in, len, &asker);
	return true;
}

static void tcp_read(struct bufferevent *stream, void *arg)
{
	struct ntmd_dns_tcp *tcp = arg;

	TAILQ_REMOVE(&tcp->dns->tcps, tcp, link);
	TAILQ_INSERT_TAIL(&tcp->dns->tcps, tcp, link);
	tcp->reading = true;
	while (!is_full(tcp) && message_take(tcp))
		;
	tcp->reading = false;
	if (is_full(tcp))
		bufferevent_disable(stream, EV_READ);
}

/* After an answer or when output went out: goes on reading, or ends. */
static void tcp_go_on(struct ntmd_dns_tcp *tcp)
{
	if (tcp->reading)
		return;
	if (tcp->ended) {
		if (tcp->query_count == 0 && output_len(tcp) == 0)
			tcp_free(tcp);
	} else if (!is_full(tcp) && !(bufferevent_get_enabled(tcp->stream) & EV_READ)) {
		bufferevent_enable(tcp->stream, EV_READ);
		/* Messages may lie in the buffer already. Later, not here: a caller may hold a query. */
		bufferevent_trigger(tcp->stream, EV_READ,
				    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
	}
}

static void tcp_written(struct bufferevent *stream, void *arg)
{
	(void)stream;
	tcp_go_on(arg);
}

static void tcp_event(struct bufferevent *stream, short what, void *arg)
{
	struct ntmd_dns_tcp *tcp = arg;

	if (what & BEV_EVENT_EOF) {
		tcp->ended = true;
		bufferevent_disable(stream, EV_READ);
		tcp_go_on(tcp);
	} else if (what & BEV_EVENT_TIMEOUT && what & BEV_EVENT_READING && tcp->query_count > 0) {
		bufferevent_enable(stream, EV_READ); /* not idle: it waits for us */
	} else {
		tcp_free(tcp);
	}
}

void ntmd_dns_tcp_send(struct ntmd_dns_tcp *tcp, const uint8_t *wire, size_t len)
{
	uint8_t prefix[2];

	knot_wire_write_u16(prefix, (uint16_t)len);
	bufferevent_write(tcp->stream, prefix, 2);
	bufferevent_write(tcp->stream, wire, len);
}

void ntmd_dns_tcp_query_added(struct ntmd_dns_tcp *tcp, struct ntmd_dns_query *query)
{
	TAILQ_INSERT_TAIL(&tcp->queries, query, tcp_link);
	tcp->query_count++;
}

void ntmd_dns_tcp_query_gone(struct ntmd_dns_tcp *tcp, struct ntmd_dns_query *query)
{
	TAILQ_REMOVE(&tcp->queries, query, tcp_link);
	tcp->query_count--;
	/* The answer's last bytes bring tcp_written(), which goes on or ends. */
}

/* Room for one more: the one idle for longest goes. */
static bool room_make(struct ntmd_dns *dns)
{
	struct ntmd_dns_tcp *tcp;

	if (dns->tcp_count < NTMD_DNS_TCP_MAX)
		return true;
	TAILQ_FOREACH (tcp, &dns->tcps, link) {
		if (tcp->query_count == 0) {
			tcp_free(tcp);
			return true;
		}
	}
	return false;
}

static int tcp_new(struct ntmd_dns *dns, int fd)
{
	const struct timeval idle = {.tv_sec = NTMD_DNS_TCP_IDLE_S};
	struct ntmd_dns_tcp *tcp = calloc(1, sizeof(*tcp));
	int one = 1;

	if (!tcp)
		return -ENOMEM;
	tcp->stream = bufferevent_socket_new(dns->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!tcp->stream) {
		free(tcp);
		return -ENOMEM;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only faster */
	tcp->dns = dns;
	TAILQ_INIT(&tcp->queries);
	TAILQ_INSERT_TAIL(&dns->tcps, tcp, link);
	dns->tcp_count++;
	bufferevent_setcb(tcp->stream, tcp_read, tcp_written, tcp_event, tcp);
	bufferevent_setwatermark(tcp->stream, EV_READ, 0, NTMD_DNS_MESSAGE_MAX + 2);
	bufferevent_set_timeouts(tcp->stream, &idle, &idle);
	bufferevent_enable(tcp->stream, EV_READ | EV_WRITE);
	return 0;
}

static void accept_ready(evutil_socket_t listening, short what, void *arg)
{
	const struct ntmd_dns_listener *listener = arg;
	struct ntmd_dns *dns = listener->dns;
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd < 0)
		return;
	if (!room_make(dns) || tcp_new(dns, fd) < 0) {
		ntm_debug("dns: a TCP connection was refused: too many");
		close(fd);
	}
}

int ntmd_dns_tcp_watch(struct ntmd_dns_listener *listener, int fd)
{
	listener->tcp_event =
		event_new(listener->dns->base, fd, EV_READ | EV_PERSIST, accept_ready, listener);
	if (!listener->tcp_event || event_add(listener->tcp_event, NULL) < 0)
		return -ENOMEM;
	listener->tcp = fd;
	return 0;
}

int ntmd_dns_tcp_open(struct ntmd_dns_listener *listener, const struct sockaddr *sa, socklen_t len)
{
	int one = 1, err;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* After a restart old connections still hold the port. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(fd, sa, len) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		err = -errno;
		goto failed;
	}
	err = ntmd_dns_tcp_watch(listener, fd);
	if (!err)
		return 0;
failed:
	close(fd);
	return err;
}

void ntmd_dns_tcp_unlisten(struct ntmd_dns_listener *listener)
{
	if (listener->tcp_event)
		event_free(listener->tcp_event);
	listener->tcp_event = NULL;
	if (listener->tcp >= 0)
		close(listener->tcp);
	listener->tcp = -1;
}

void ntmd_dns_tcp_close(struct ntmd_dns *dns)
{
	while (!TAILQ_EMPTY(&dns->tcps))
		tcp_free(TAILQ_FIRST(&dns->tcps));
}
