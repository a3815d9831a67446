/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns.c - the DC's authoritative DNS server: UDP and TCP sockets (RFC 7766) around dns_zone.c, which knows
 * the answers from member.c, and how many a network gets from dns_guard.c.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dc/dc.h"
#include "dc/dns_zone.h"
#include "endpoint.h"
#include "log.h"

#define TCP_CLIENTS_MAX 256
#define TCP_IDLE_S 10
#define TCP_BACKLOG 64
#define ACCEPT_AGAIN_MS 1000
#define TCP_UNREAD_MAX 65536 /* answers that a client has not read: no more queries of it are taken */

struct client {
	TAILQ_ENTRY(client) next;
	struct dc_dns *dns;
	struct bufferevent *stream;
	struct ntm_endpoint from;
	bool ended; /* it asks no more, and reads the last answers */
};

struct dc_dns {
	struct dc *dc;
	struct dc_zone *zone;
	struct ntm_udp udp[NTM_SERVERS_MAX];
	struct evconnlistener *listener[NTM_SERVERS_MAX];
	unsigned udps, listeners, clients;
	TAILQ_HEAD(clients, client) client; /* who asked last is last */
	struct event *accept_timer;
	uint8_t answer[2 + DC_ZONE_ANSWER_MAX]; /* over TCP behind its length */
};

/* ---- what the zone asks of us */

/* The paper's records hold one real address a family, and the NAT's if there is one. */
static void location_publish(const struct dc_location *location, struct dc_zone_node *node)
{
	bool own4 = false;

	for (unsigned i = location->reals; i-- > 0;) {
		const struct ntm_endpoint *real = &location->real[i];

		*(ntm_endpoint_is4(real) ? &node->real4 : &node->real6) = real->addr;
		own4 |= ntm_addr_equal(&real->addr, &location->observed[0].addr);
	}
	if (!own4)
		node->nat4 = location->observed[0].addr;
}

static enum dc_zone_found node_find(void *ctx, const char *name, struct dc_zone_node *ret_node)
{
	struct dc *dc = ctx;
	const struct dc_member *member = dc_member_find(dc, name);

	if (!member)
		return dc_member_name_is_empty(dc, name) ? DC_ZONE_EMPTY : DC_ZONE_NONE;
	dc_member_vips(member, ret_node->vip4, ret_node->vip6);
	memcpy(ret_node->public_key, member->actor.peer.key, NTM_KEY_LEN);
	if (dc->config.locations_public && member->location)
		location_publish(member->location, ret_node);
	return DC_ZONE_NODE;
}

static uint32_t serial(void *ctx)
{
	return ((struct dc *)ctx)->zone_serial;
}

/* ---- UDP */

static void udp_query(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct dc_dns *dns = ctx;
	struct dc_zone_asker asker = { .from = &from->remote, .now_us = ntm_loop_now_us() };
	size_t n = dc_zone_answer(dns->zone, &asker, packet, len, dns->answer);

	dns->dc->dns_queries++;
	if (n)
		ntm_udp_send(from, dns->answer, n);
}

/* ---- TCP */

static void client_free(struct client *client)
{
	TAILQ_REMOVE(&client->dns->client, client, next);
	client->dns->clients--;
	bufferevent_free(client->stream);
	free(client);
}

/* Every whole query in the buffer, in the order they came; a client that does not read its answers waits. */
static void client_read(struct bufferevent *stream, void *arg)
{
	struct client *client = arg;
	struct dc_dns *dns = client->dns;
	struct evbuffer *in = bufferevent_get_input(stream);
	struct dc_zone_asker asker = { .from = &client->from, .now_us = ntm_loop_now_us(), .tcp = true };

	for (;;) {
		uint8_t length[2], *query;
		size_t len, n;

		if (evbuffer_get_length(bufferevent_get_output(stream)) > TCP_UNREAD_MAX) {
			bufferevent_disable(stream, EV_READ);
			return;
		}
		if (evbuffer_copyout(in, length, 2) < 2)
			return;
		len = (size_t)length[0] << 8 | length[1];
		if (len > DC_ZONE_QUERY_MAX) {
			client_free(client);
			return;
		}
		if (evbuffer_get_length(in) < 2 + len)
			return;
		TAILQ_REMOVE(&dns->client, client, next);
		TAILQ_INSERT_TAIL(&dns->client, client, next);
		query = evbuffer_pullup(in, (ev_ssize_t)(2 + len));
		n = query ? dc_zone_answer(dns->zone, &asker, query + 2, len, dns->answer + 2) : 0;
		dns->dc->dns_queries++;
		evbuffer_drain(in, 2 + len);
		dns->answer[0] = (uint8_t)(n >> 8);
		dns->answer[1] = (uint8_t)n;
		if (n)
			bufferevent_write(stream, dns->answer, 2 + n);
	}
}

/* The client has read its answers. */
static void client_written(struct bufferevent *stream, void *arg)
{
	struct client *client = arg;

	if (client->ended) {
		client_free(client);
		return;
	}
	bufferevent_enable(stream, EV_READ);
	client_read(stream, client);
}

/* It closed its side, an error, or it was idle. */
static void client_event(struct bufferevent *stream, short what, void *arg)
{
	struct client *client = arg;

	client->ended = what & BEV_EVENT_EOF && evbuffer_get_length(bufferevent_get_output(stream));
	if (!client->ended)
		client_free(client);
}

static void client_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len,
			  void *arg)
{
	static const struct timeval idle = {.tv_sec = TCP_IDLE_S};
	struct dc_dns *dns = arg;
	struct client *client = NULL;

	(void)listener;
	(void)len;
	if (dns->clients >= TCP_CLIENTS_MAX) /* nobody holds a place by asking nothing */
		client_free(TAILQ_FIRST(&dns->client));
	client = calloc(1, sizeof(*client));
	if (client)
		client->stream = bufferevent_socket_new(dns->dc->loop.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client || !client->stream) {
		free(client);
		close(fd);
		return;
	}
	client->dns = dns;
	ntm_endpoint_from_sockaddr(&client->from, addr);
	TAILQ_INSERT_TAIL(&dns->client, client, next);
	dns->clients++;
	bufferevent_setcb(client->stream, client_read, client_written, client_event, client);
	bufferevent_set_timeouts(client->stream, &idle, &idle);
	bufferevent_setwatermark(client->stream, EV_READ, 0, 2 * (2 + DC_ZONE_QUERY_MAX));
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

/* Out of descriptors, most likely: what waits there would be tried again and again. */
static void accept_failed(struct evconnlistener *listener, void *arg)
{
	struct dc_dns *dns = arg;

	evconnlistener_disable(listener);
	ntm_timer_set_ms(dns->accept_timer, ACCEPT_AGAIN_MS);
}

static void accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct dc_dns *dns = arg;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < dns->listeners; i++)
		evconnlistener_enable(dns->listener[i]);
}

static int tcp_listen(struct dc_dns *dns, const struct ntm_endpoint *ep)
{
	struct sockaddr_storage sa;
	socklen_t len = ntm_endpoint_to_sockaddr(ep, &sa);
	int on = 1, err, fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, len) || listen(fd, TCP_BACKLOG)) {
		err = -errno;
		close(fd);
		return err;
	}
	dns->listener[dns->listeners] =
		evconnlistener_new(dns->dc->loop.base, client_accept, dns, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (!dns->listener[dns->listeners]) {
		close(fd);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(dns->listener[dns->listeners], accept_failed);
	dns->listeners++;
	return 0;
}

/* ---- opening and closing */

static int zone_open(struct dc_dns *dns)
{
	const struct dc_config *c = &dns->dc->config;
	struct dc_zone_config config = {
		.apex = c->zone,
		.dc_name = c->name,
		.dc = c->listen,
		.dcs = c->listens,
		.dns = c->dnss ? c->dns : c->listen,
		.dnss = c->dnss ? c->dnss : c->listens,
		.find = node_find,
		.serial = serial,
		.ctx = dns->dc,
		.rate_limit = c->dns_rate_limit,
	};

	return dc_zone_new(&dns->zone, &config);
}

int dc_dns_open(struct dc *dc, char *ret_why, size_t why_len)
{
	struct dc_dns *dns = calloc(1, sizeof(*dns));
	int err = dns ? 0 : -ENOMEM;

	if (!err) {
		dns->dc = dc;
		dc->dns = dns;
		TAILQ_INIT(&dns->client);
		dns->accept_timer = ntm_timer_new(dc->loop.base, accept_again, dns);
		err = dns->accept_timer ? zone_open(dns) : -ENOMEM;
	}
	if (err) {
		snprintf(ret_why, why_len, "cannot make the zone %s: %s", dc->config.zone, strerror(-err));
		return err;
	}
	for (unsigned i = 0; i < dc->config.dnss; i++) {
		const struct ntm_endpoint *ep = &dc->config.dns[i];

		err = ntm_udp_open(&dns->udp[dns->udps], dc->loop.base, ep, ntm_endpoint_is4(ep), udp_query,
				   dns);
		if (err) {
			dc_listen_explain(ret_why, why_len, "UDP", ep, err);
			return err;
		}
		dns->udps++;
		err = tcp_listen(dns, ep);
		if (err) {
			dc_listen_explain(ret_why, why_len, "TCP", ep, err);
			return err;
		}
	}
	return 0;
}

void dc_dns_close(struct dc *dc)
{
	struct dc_dns *dns = dc->dns;

	if (!dns)
		return;
	while (!TAILQ_EMPTY(&dns->client))
		client_free(TAILQ_FIRST(&dns->client));
	for (unsigned i = 0; i < dns->listeners; i++)
		evconnlistener_free(dns->listener[i]);
	for (unsigned i = 0; i < dns->udps; i++)
		ntm_udp_close(&dns->udp[i]);
	if (dns->accept_timer)
		event_free(dns->accept_timer);
	dc_zone_free(dns->zone);
	free(dns);
	dc->dns = NULL;
}
