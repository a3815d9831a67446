/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_internal.h - what the stub's files share. A question's way:
 *
 *	application -> dns_stub.c, dns_tcp.c -> dns_lookup.c --> dns_upstream.c -> server (dns_servers.c)
 *	                                         |         '-> ops->direct, for an NTM node (dns_cache.c)
 *	application <- dns_stub.c, dns_tcp.c <- dns_answer.c
 */
#ifndef NTMD_DNS_INTERNAL_H
#define NTMD_DNS_INTERNAL_H

#include <libknot/libknot.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include "dns_stub.h"
#include "resolv_conf.h"

#define NTMD_DNS_QUERIES_MAX 1024 /* questions of applications being worked on */
#define NTMD_DNS_ASKS_MAX 512 /* questions upstream; each has a socket, of usually 1024 */
#define NTMD_DNS_SERVERS_MAX 8
#define NTMD_DNS_CACHE_MAX 1024 /* names known to be nodes or ordinary */
#define NTMD_DNS_CACHE_TTL_S 60 /* and for how long at most */
#define NTMD_DNS_CACHE_WIRE_MAX 1024 /* longest answer kept for a node's name: bytes */
#define NTMD_DNS_TCP_MAX 32 /* connections of applications */
#define NTMD_DNS_TCP_QUERIES_MAX 64 /* questions of one connection being worked on; then it is not read */
#define NTMD_DNS_TCP_OUTPUT_MAX 262144 /* bytes a connection does not take off us; then it is not read */
#define NTMD_DNS_TCP_IDLE_S 10
#define NTMD_DNS_TIMEOUT_MS 5000 /* upstream, over all servers and tries */
#define NTMD_DNS_RETRY_MS 200 /* first; doubles up to NTMD_DNS_RETRY_MAX_MS */
#define NTMD_DNS_RETRY_MAX_MS 1600
#define NTMD_DNS_GRACE_MS 300 /* NTM answers may come this much later than that of the asked type */
#define NTMD_DNS_GRACE_CACHE_S 5 /* then the name is taken to be ordinary: some servers drop unknown types \
				  */
#define NTMD_DNS_ANSWER_TTL_S 10 /* of virtual addresses */
#define NTMD_DNS_PAYLOAD 1232 /* EDNS: bytes; fits every IPv6 path */
#define NTMD_DNS_UDP_MAX 4096 /* longest answer by UDP, whatever the application can take: bytes */
#define NTMD_DNS_MESSAGE_MAX 65535

#define NTMD_DNS_TYPE_NTM4 65280
#define NTMD_DNS_TYPE_NTM6 65281

enum ntmd_dns_flag { NTMD_DNS_RD = 1, NTMD_DNS_CD = 2, NTMD_DNS_AD = 4, NTMD_DNS_DO = 8 };

struct ntmd_dns_question {
	knot_dname_storage_t name; /* lower case */
	uint16_t type, rclass;
	unsigned flags; /* of enum ntmd_dns_flag */
};

/* Somebody who wants an upstream answer. */
struct ntmd_dns_waiter {
	TAILQ_ENTRY(ntmd_dns_waiter) link;
	struct ntmd_dns_ask *ask; /* NULL: not waiting */
	/* Called once. packet: parsed, gone after the call; NULL: no server answered in time. */
	void (*answered)(struct ntmd_dns_waiter *waiter, const knot_pkt_t *packet);
	void *arg;
};
TAILQ_HEAD(ntmd_dns_waiters, ntmd_dns_waiter);

struct ntmd_dns_name;
struct ntmd_dns_tcp;

#define NTMD_DNS_LISTENERS_MAX 3 /* the configured one, and 127.0.0.1 and ::1 for resolver_bpf.c */

/* Where the stub answers. */
struct ntmd_dns_listener {
	struct ntmd_dns *dns;
	int udp, tcp; /* -1: none */
	struct event *udp_event, *tcp_event;
};

/* Who gets the answer. */
struct ntmd_dns_asker {
	struct ntmd_dns_tcp *tcp; /* NULL: by UDP, through the socket udp to from */
	int udp;
	struct sockaddr_storage from;
	socklen_t from_len;
};

/* A question of an application. */
struct ntmd_dns_query {
	TAILQ_ENTRY(ntmd_dns_query) link; /* ntmd_dns.queries */
	TAILQ_ENTRY(ntmd_dns_query) name_link; /* ntmd_dns_name.queries */
	TAILQ_ENTRY(ntmd_dns_query) tcp_link; /* ntmd_dns_tcp.queries */
	struct ntmd_dns *dns;

	struct ntmd_dns_asker asker;

	uint16_t id;
	knot_dname_storage_t name; /* as it was written */
	struct ntmd_dns_question question;
	bool edns;
	uint16_t payload; /* longest answer: bytes */

	struct ntmd_dns_name *lookup; /* until the name is known to be ordinary; NULL: just forwarded */
	struct ntmd_dns_waiter plain; /* the question as it was asked */
	bool plain_done;
	uint8_t *answer; /* its answer, kept while lookup is undecided; NULL: none came */
	size_t answer_len;
};
TAILQ_HEAD(ntmd_dns_queries, ntmd_dns_query);

struct ntmd_dns_server {
	struct sockaddr_storage sa;
	socklen_t len;
};

struct ntmd_dns_servers {
	struct ntmd_dns_server server[NTMD_DNS_SERVERS_MAX];
	unsigned count;
};

struct ntmd_dns {
	struct event_base *base;
	struct ntmd_dns_ops ops;
	void *ctx;
	struct ntm_endpoint listen; /* none: in another network namespace */
	struct ntmd_dns_listener listener[NTMD_DNS_LISTENERS_MAX];
	unsigned listeners;
	struct ntmd_dns_loopback loopback; /* where the further ones are */
	uint32_t mark; /* of sockets towards servers; 0: none */
	struct ntmd_dns_stats stats;

	struct ntmd_dns_queries queries;
	unsigned query_count;
	TAILQ_HEAD(, ntmd_dns_tcp) tcps; /* the one idle for longest first */
	unsigned tcp_count;
	TAILQ_HEAD(, ntmd_dns_name) names; /* undecided or waiting for a direction */
	TAILQ_HEAD(, ntmd_dns_wait) waits;
	TAILQ_HEAD(, ntmd_dns_ask) asks;
	unsigned ask_count;
	struct ntmd_dns_cache *cache;

	bool has_zone;
	knot_dname_storage_t zone;
	struct ntmd_dns_servers zone_servers, upstream, file_servers;
	char resolv_conf[256], uplink_conf[256]; /* dns_servers.c says when the second is read */
	struct ntm_addr file_named[NTMD_RESOLV_CONF_SERVERS]; /* all that the file names, but for ourselves */
	unsigned file_nameds;
	unsigned servers_generation; /* counts changes of servers and of own addresses */
	int64_t file_checked_ms; /* 0: never */
	struct ntmd_resolv_conf_state file_state[2]; /* of these two */

	uint8_t in[NTMD_DNS_MESSAGE_MAX]; /* a datagram being handled */
	uint8_t out[NTMD_DNS_MESSAGE_MAX]; /* an answer being built */
};

/* ---- dns_stub.c */
/* Takes one message of an application in; answers it at once if it makes no sense. */
void ntmd_dns_query_handle(struct ntmd_dns *dns, uint8_t *wire, size_t len,
			   const struct ntmd_dns_asker *asker);
/* Sends dns->out and forgets the query. */
void ntmd_dns_query_reply(struct ntmd_dns_query *query, size_t len);
void ntmd_dns_query_free(struct ntmd_dns_query *query);

/* ---- dns_tcp.c */
/* 0 or -errno */
int ntmd_dns_tcp_open(struct ntmd_dns_listener *listener, const struct sockaddr *sa, socklen_t len);
/* fd: a listening socket, the stub's from now on. 0 or -ENOMEM. */
int ntmd_dns_tcp_watch(struct ntmd_dns_listener *listener, int fd);
void ntmd_dns_tcp_unlisten(struct ntmd_dns_listener *listener);
void ntmd_dns_tcp_close(struct ntmd_dns *dns); /* all connections */
void ntmd_dns_tcp_send(struct ntmd_dns_tcp *tcp, const uint8_t *wire, size_t len);
void ntmd_dns_tcp_query_added(struct ntmd_dns_tcp *tcp, struct ntmd_dns_query *query);
void ntmd_dns_tcp_query_gone(struct ntmd_dns_tcp *tcp, struct ntmd_dns_query *query);

/* ---- dns_lookup.c */
void ntmd_dns_lookup_start(struct ntmd_dns_query *query); /* the query may be gone after the call */
void ntmd_dns_lookup_forget(struct ntmd_dns_query *query); /* the asker has gone */
void ntmd_dns_lookup_close(struct ntmd_dns *dns); /* tells abandoned() for each wait */

/* ---- dns_answer.c: build into query->dns->out, return the length in bytes */
/* What upstream said, with the query's ID, spelling and EDNS; only the question and TC if that is too long
 * for it. */
size_t ntmd_dns_answer_relay(const struct ntmd_dns_query *query, const knot_pkt_t *packet);
/* The virtual address; chain: packet whose CNAMEs lead from the question to the node's name, or NULL. vip
 * NULL: none of the family. */
size_t ntmd_dns_answer_address(const struct ntmd_dns_query *query, const knot_pkt_t *chain,
			       const uint8_t *vip);
/* ede: RFC 8914 info code, with text for people (may be NULL), for those who speak EDNS; negative: none. */
size_t ntmd_dns_answer_error(const struct ntmd_dns_query *query, unsigned rcode, int ede, const char *text);
/* Where the question's name leads in packet: follows CNAMEs. Lowers *ttl (s) to theirs. */
const knot_dname_t *ntmd_dns_answer_canonical(const knot_pkt_t *packet, const knot_dname_t *name,
					      uint32_t *ttl);

/* ---- dns_upstream.c */
/*
 * Asks, or joins those who ask the same already. waiter->answered is called later, never inside. 0, -ENOENT:
 * no server known, -EBUSY: too many questions are outstanding, -ENOMEM.
 */
int ntmd_dns_upstream_ask(struct ntmd_dns *dns, struct ntmd_dns_waiter *waiter,
			  const struct ntmd_dns_question *question);
void ntmd_dns_upstream_forget(
	struct ntmd_dns_waiter *waiter); /* answered will not be called; harmless twice */
void ntmd_dns_upstream_kick(struct ntmd_dns *dns);
void ntmd_dns_upstream_close(struct ntmd_dns *dns);

/* ---- dns_servers.c */
const struct ntmd_dns_servers *ntmd_dns_servers_for(struct ntmd_dns *dns, const knot_dname_t *name);
/* In place of /etc/resolv.conf and systemd-resolved's list of uplink servers (tests). */
void ntmd_dns_servers_files(struct ntmd_dns *dns, const char *resolv_conf, const char *uplink_conf);
bool ntmd_dns_servers_in_zone(const struct ntmd_dns *dns, const knot_dname_t *name);

/* ---- dns_cache.c: name is in lower case */
enum ntmd_dns_known { NTMD_DNS_UNKNOWN, NTMD_DNS_ORDINARY, NTMD_DNS_NODE };
int ntmd_dns_cache_open(struct ntmd_dns_cache **ret_cache); /* 0 or -ENOMEM */
/* wire: with NODE, the NTM answer; it stays where it is until the cache is next written to. */
enum ntmd_dns_known ntmd_dns_cache_find(struct ntmd_dns_cache *cache, const knot_dname_t *name,
					const uint8_t **ret_wire, size_t *ret_len);
void ntmd_dns_cache_put(struct ntmd_dns_cache *cache, const knot_dname_t *name, enum ntmd_dns_known known,
			const uint8_t *wire, size_t len, uint32_t ttl_s);
void ntmd_dns_cache_drop(struct ntmd_dns_cache *cache, const knot_dname_t *name);
void ntmd_dns_cache_flush(struct ntmd_dns_cache *cache);
void ntmd_dns_cache_close(struct ntmd_dns_cache *cache);

#endif
