/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_cgroup.h - what daemon/resolver_bpf.c tells dns_cgroup.bpf.c. Addresses are 16 bytes, IPv4 as
 * ::ffff:a.b.c.d; addresses and ports are in network byte order. The includer has __u32 and the like
 * (vmlinux.h or linux/types.h).
 */
#ifndef NTM_BPF_DNS_CGROUP_H
#define NTM_BPF_DNS_CGROUP_H

#define NTM_DNS_SERVERS_MAX 8

struct ntm_dns_addr {
	__u32 word[4];
};

/* Before the programs are loaded. */
struct ntm_dns_config {
	__u64 netns_cookie; /* ntmd's network namespace */
	struct ntm_dns_addr listen; /* [dns] listen: what goes there needs no help */
	__u16 listen_port;
	__u16 udp4, tcp4; /* where the stub answers at 127.0.0.1 */
	__u16 udp6, tcp6; /* and at ::1; 0: it does not */
	__u16 unused[3];
};

/* While they run. */
struct ntm_dns_live {
	__u64 beat_ns; /* when the stub last said that it lives: CLOCK_MONOTONIC */
	__u32 servers; /* 0: queries to all servers are led to the stub */
	__u32 unused;
	struct ntm_dns_addr server[NTM_DNS_SERVERS_MAX]; /* else only those to these */
};

#endif
