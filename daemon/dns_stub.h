/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_stub.h - the node's DNS stub: answers applications, asks upstream for A, AAAA, NTMv4 and NTMv6 at once,
 * and lets direction.c set up the tunnel before an NTM node's virtual address is answered (paper A, section
 * II.C; doc/PROTOCOL.md, "Names"). How applications come to ask it: resolver.h.
 */
#ifndef NTMD_DNS_STUB_H
#define NTMD_DNS_STUB_H

#include <event2/event.h>
#include <stdint.h>

#include <ntm/limits.h>
#include <ntm/types.h>

struct ntmd_dns;
struct ntmd_dns_wait; /* a name whose tunnel is being set up; queries for it wait */

struct ntmd_dns_ops {
	/*
	 * The name belongs to an NTM node. Must lead to ntmd_dns_result, now or later; wait stays valid until
	 * then (or until NTM_DNS_WAIT_MS later abandoned() is called and it is gone).
	 */
	void (*direct)(void *ctx, const char *fqdn, struct ntmd_dns_wait *wait);
	void (*abandoned)(void *ctx, struct ntmd_dns_wait *wait);
};

enum ntmd_dns_result {
	NTMD_DNS_REGISTERED, /* the DC knows the peer; the tunnel is on its way: answered at the time-out if
				not before (wait stays) */
	NTMD_DNS_UP, /* the tunnel is up: answer now (wait is gone after the call) */
	NTMD_DNS_FAILED, /* SERVFAIL with Extended DNS Error 22 (No Reachable Authority) and text (wait is
			    gone) */
};

/* listen: UDP and TCP. upstream: servers for everything else; none: those of /etc/resolv.conf
 * (other than ourselves), read again when the file changes. 0 or -errno with a sentence in ret_why. */
int ntmd_dns_open(struct ntmd_dns **ret_dns, struct event_base *base, const struct ntm_endpoint *listen,
		  const struct ntm_endpoint *upstream, unsigned upstreams, const struct ntmd_dns_ops *ops,
		  void *ctx, char *ret_why, size_t why_len);
/* The same on ready sockets, of this or another network namespace: fd[0] a bound UDP one, fd[1] a listening
 * TCP one, both not blocking. They are the stub's if this succeeds. */
int ntmd_dns_open_sockets(struct ntmd_dns **ret_dns, struct event_base *base, const int fd[2],
			  const struct ntm_endpoint *upstream, unsigned upstreams,
			  const struct ntmd_dns_ops *ops, void *ctx, char *ret_why, size_t why_len);
void ntmd_dns_close(struct ntmd_dns *dns);

/* Names in this zone are asked at these servers (the DC's; told at registration). */
void ntmd_dns_zone_set(struct ntmd_dns *dns, const char *zone, const struct ntm_endpoint *server,
		       unsigned servers);
/*
 * Asks these from now on; none: those of /etc/resolv.conf again. Not needed after resolver.c took that file
 * over: the stub sees that it did, and reads the kept one beside it, also when that changes with the network.
 */
void ntmd_dns_upstream_set(struct ntmd_dns *dns, const struct ntm_endpoint *upstream, unsigned upstreams);
/* The own address changed: outstanding upstream queries are sent again at once. */
void ntmd_dns_kick(struct ntmd_dns *dns);

/* vip4, vip6: from the Route Direction or Direction Response; text: for people, with FAILED. */
void ntmd_dns_result(struct ntmd_dns_wait *wait, enum ntmd_dns_result result, const uint8_t vip4[4],
		     const uint8_t vip6[16], const char *text);

/* ---- for resolver_bpf.c */

struct ntmd_dns_loopback {
	uint16_t udp4, tcp4, udp6, tcp6; /* 0: not there */
};

/*
 * Answers at 127.0.0.1 and ::1 also, at ports that the kernel chooses, until ntmd_dns_close(); another time
 * it tells the same ports. ::1 may be missing. 0 or -errno with a sentence in ret_why.
 */
int ntmd_dns_loopback_open(struct ntmd_dns *dns, struct ntmd_dns_loopback *ret_loopback, char *ret_why,
			   size_t why_len);
/* Everything sent upstream has this socket mark from now on; 0: none. 0 or -errno: -EPERM. */
int ntmd_dns_mark_set(struct ntmd_dns *dns, uint32_t mark);
#define NTMD_DNS_OWN_MAX 8
/*
 * The servers of this machine itself among those that the stub asks (but for the zone's) and that resolv.conf
 * names: they send queries of their own. Returns their count. *generation: of the last call, at first 0;
 * -EAGAIN if nothing has changed since.
 */
int ntmd_dns_servers_own(struct ntmd_dns *dns, unsigned *generation,
			 struct ntm_addr ret_own[NTMD_DNS_OWN_MAX]);

struct ntmd_dns_stats {
	uint64_t queries, answers, upstream_queries, upstream_timeouts, directions, failures;
};
void ntmd_dns_stats(const struct ntmd_dns *dns, struct ntmd_dns_stats *ret_stats);

#endif
