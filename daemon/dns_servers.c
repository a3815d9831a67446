/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_servers.c - which servers dns_upstream.c asks: the DC's for its zone, else those given, else those of
 * resolv.conf.
 *
 * Two files are not taken at their word. One that resolver_file.c wrote names only the stub: the saved one
 * beside it is read. One that names systemd-resolved's own stub would lead in a circle when resolved asks us
 * for every name (resolver.h: "~."): resolved's list of uplink servers is read.
 */
#include "dns_internal.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"
#include "log.h"
#include "loop.h"

#define UPLINK_CONF "/run/systemd/resolve/resolv.conf"
#define CHECK_MS 1000 /* the file is looked at this often at most */

static void server_add(struct ntmd_dns_servers *servers, const struct sockaddr_storage *sa, socklen_t len)
{
	if (servers->count == NTMD_DNS_SERVERS_MAX)
		return;
	servers->server[servers->count].sa = *sa;
	servers->server[servers->count].len = len;
	servers->count++;
}

static void servers_set(struct ntmd_dns_servers *servers, const struct ntm_endpoint *given, unsigned count)
{
	struct sockaddr_storage sa;
	socklen_t len;

	servers->count = 0;
	for (unsigned i = 0; i < count; i++) {
		if (ntm_endpoint_is_none(&given[i]))
			continue;
		len = ntm_endpoint_to_sockaddr(&given[i], &sa);
		server_add(servers, &sa, len);
	}
}

/* Whether asking there is asking ourselves. */
static bool server_is_us(const struct ntmd_dns *dns, const struct ntm_endpoint *server)
{
	if (ntm_endpoint_equal(server, &dns->listen))
		return true;
	if (server->port != dns->listen.port)
		return false;
	if (ntm_addr_is4(&dns->listen.addr)) {
		static const uint8_t any4[4];

		return memcmp(dns->listen.addr.b + 12, any4, 4) == 0 && ntm_addr_is4(&server->addr) &&
		       server->addr.b[12] == 127;
	}
	return ntm_addr_is_none(&dns->listen.addr) &&
	       (ntm_addr_is4(&server->addr) ? server->addr.b[12] == 127
					    : IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)server->addr.b));
}

static bool server_is_resolved(const struct ntm_endpoint *server)
{
	static const uint8_t stub[2][4] = {{127, 0, 0, 53}, {127, 0, 0, 54}};

	return ntm_addr_is4(&server->addr) &&
	       (memcmp(server->addr.b + 12, stub[0], 4) == 0 || memcmp(server->addr.b + 12, stub[1], 4) == 0);
}

/* Adds the servers that can be asked; returns whether systemd-resolved was among them. */
static bool text_read(struct ntmd_dns *dns, const char *text, bool resolved_too)
{
	struct sockaddr_storage found[NTMD_RESOLV_CONF_SERVERS];
	unsigned count = ntmd_resolv_conf_servers(text, found);
	bool resolved = false;

	for (unsigned i = 0; i < count; i++) {
		struct ntm_endpoint server;

		if (ntm_endpoint_from_sockaddr(&server, (struct sockaddr *)&found[i]) < 0 ||
		    server_is_us(dns, &server))
			continue;
		if (server_is_resolved(&server)) {
			resolved = true;
			if (!resolved_too)
				continue;
		}
		server_add(&dns->file_servers, &found[i],
			   found[i].ss_family == AF_INET ? sizeof(struct sockaddr_in)
							 : sizeof(struct sockaddr_in6));
	}
	return resolved;
}

/* Those that text_read() passes over, too. */
static void names_read(struct ntmd_dns *dns, const char *text)
{
	struct sockaddr_storage found[NTMD_RESOLV_CONF_SERVERS];
	unsigned count = ntmd_resolv_conf_servers(text, found);
	struct ntm_endpoint server;

	for (unsigned i = 0; i < count; i++) {
		if (ntm_endpoint_from_sockaddr(&server, (struct sockaddr *)&found[i]) == 0 &&
		    !server_is_us(dns, &server))
			dns->file_named[dns->file_nameds++] = server.addr;
	}
}

static void saved_read(struct ntmd_dns *dns, char **text)
{
	char real[PATH_MAX], saved[PATH_MAX + sizeof(NTMD_RESOLV_CONF_SAVED)];
	char *old;

	if (!realpath(dns->resolv_conf, real))
		return;
	snprintf(saved, sizeof(saved), "%s%s", real, NTMD_RESOLV_CONF_SAVED);
	if (ntmd_resolv_conf_read(&old, NULL, saved) < 0)
		return;
	free(*text);
	*text = old;
}

static void file_read(struct ntmd_dns *dns)
{
	char *text, *uplink;

	dns->file_servers.count = dns->file_nameds = 0;
	dns->servers_generation++;
	if (ntmd_resolv_conf_read(&text, NULL, dns->resolv_conf) < 0)
		return;
	if (ntmd_resolv_conf_is_ours(text))
		saved_read(dns, &text);
	names_read(dns, text);
	if (text_read(dns, text, false) && dns->file_servers.count == 0) {
		if (ntmd_resolv_conf_read(&uplink, NULL, dns->uplink_conf) == 0) {
			text_read(dns, uplink, false);
			free(uplink);
		}
		if (dns->file_servers.count == 0)
			text_read(dns, text, true);
	}
	free(text);
	ntm_debug("dns: %u upstream servers in %s", dns->file_servers.count, dns->resolv_conf);
}

static void file_check(struct ntmd_dns *dns)
{
	struct ntmd_resolv_conf_state now[2];
	int64_t ms = ntm_loop_now_ms();

	if (dns->file_checked_ms && ms - dns->file_checked_ms < CHECK_MS)
		return;
	ntmd_resolv_conf_stat(&now[0], dns->resolv_conf);
	ntmd_resolv_conf_stat(&now[1], dns->uplink_conf);
	if (!dns->file_checked_ms || memcmp(now, dns->file_state, sizeof(now)) != 0) {
		memcpy(dns->file_state, now, sizeof(now));
		file_read(dns);
	}
	dns->file_checked_ms = ms;
}

bool ntmd_dns_servers_in_zone(const struct ntmd_dns *dns, const knot_dname_t *name)
{
	return dns->has_zone && knot_dname_in_bailiwick(name, dns->zone) >= 0;
}

const struct ntmd_dns_servers *ntmd_dns_servers_for(struct ntmd_dns *dns, const knot_dname_t *name)
{
	if (dns->zone_servers.count && ntmd_dns_servers_in_zone(dns, name))
		return &dns->zone_servers;
	if (dns->upstream.count)
		return &dns->upstream;
	file_check(dns);
	return &dns->file_servers;
}

void ntmd_dns_servers_files(struct ntmd_dns *dns, const char *resolv_conf, const char *uplink_conf)
{
	snprintf(dns->resolv_conf, sizeof(dns->resolv_conf), "%s",
		 resolv_conf ? resolv_conf : NTMD_RESOLV_CONF);
	snprintf(dns->uplink_conf, sizeof(dns->uplink_conf), "%s", uplink_conf ? uplink_conf : UPLINK_CONF);
	dns->file_checked_ms = 0;
}

void ntmd_dns_upstream_set(struct ntmd_dns *dns, const struct ntm_endpoint *upstream, unsigned upstreams)
{
	servers_set(&dns->upstream, upstream, upstreams);
	dns->servers_generation++;
	ntmd_dns_cache_flush(dns->cache);
}

/* Whether a socket of ours can have this address. */
static bool is_own(const struct ntm_addr *addr)
{
	const struct ntm_endpoint at = { .addr = *addr };
	struct sockaddr_storage sa;
	socklen_t len = ntm_endpoint_to_sockaddr(&at, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool own;

	if (fd < 0)
		return false;
	own = bind(fd, (struct sockaddr *)&sa, len) == 0;
	close(fd);
	return own;
}

static void own_add(struct ntm_addr own[NTMD_DNS_OWN_MAX], int *count, const struct ntm_addr *addr)
{
	for (int i = 0; i < *count; i++) {
		if (ntm_addr_equal(&own[i], addr))
			return;
	}
	if (*count < NTMD_DNS_OWN_MAX && is_own(addr))
		own[(*count)++] = *addr;
}

int ntmd_dns_servers_own(struct ntmd_dns *dns, unsigned *generation,
			 struct ntm_addr ret_own[NTMD_DNS_OWN_MAX])
{
	struct ntm_endpoint server;
	int count = 0;

	file_check(dns);
	if (*generation == dns->servers_generation)
		return -EAGAIN;
	*generation = dns->servers_generation;
	for (unsigned i = 0; i < dns->upstream.count; i++) {
		if (ntm_endpoint_from_sockaddr(&server, (struct sockaddr *)&dns->upstream.server[i].sa) == 0)
			own_add(ret_own, &count, &server.addr);
	}
	for (unsigned i = 0; i < dns->file_nameds; i++)
		own_add(ret_own, &count, &dns->file_named[i]);
	return count;
}

void ntmd_dns_zone_set(struct ntmd_dns *dns, const char *zone, const struct ntm_endpoint *server,
		       unsigned servers)
{
	dns->has_zone = knot_dname_from_str(dns->zone, zone, sizeof(dns->zone)) != NULL;
	if (dns->has_zone)
		knot_dname_to_lower(dns->zone);
	servers_set(&dns->zone_servers, server, servers);
	/* What other servers said about the zone's names counts no more. */
	ntmd_dns_cache_flush(dns->cache);
}
