/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_cgroup.bpf.c - [dns] mode = bpf: leads the name queries of applications to ntmd's stub, and shows the
 * applications the server that they asked. daemon/resolver_bpf.c loads it and attaches it to the top of the
 * cgroup tree.
 *
 *	connect(), sendto() to SERVER port 53 --> dns_connect, dns_sendmsg: to the stub, on the loopback
 *	recvfrom(), getpeername(): SERVER <-- dns_recvmsg, dns_peername <-- an answer of daemon/dns_stub.c
 *
 * The hooks see the sockets of every network namespace and of ntmd itself; what is not for the stub is left
 * as it is. So is everything while the stub says nothing.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <ntm/limits.h>

#include "dns_cgroup.h"

#define DNS_PORT bpf_htons(53)
#define LOOPBACK4 bpf_htonl(0x7f000001)
#define MAPPED bpf_htonl(0xffff) /* third word of ::ffff:a.b.c.d */
#define NSEC_PER_MSEC 1000000ULL

const volatile struct ntm_dns_config config;
struct ntm_dns_live live;

/* The servers that a socket asked last, all zero if none. One per family: an IPv6 socket may ask IPv4
 * servers, too. */
struct asked {
	struct ntm_dns_addr server4, server6;
};

/* socket -> servers asked */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct asked);
} ntm_dns_asked SEC(".maps");

/* b may be in config. */
static __always_inline bool addr_equal(const struct ntm_dns_addr *a, const volatile struct ntm_dns_addr *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

static __always_inline bool is_mapped(const struct ntm_dns_addr *addr)
{
	return !addr->word[0] && !addr->word[1] && addr->word[2] == MAPPED;
}

static __always_inline bool is_link_local(const struct ntm_dns_addr *addr)
{
	return (addr->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline void addr4_get(struct ntm_dns_addr *ret_addr, const struct bpf_sock_addr *ctx)
{
	*ret_addr = (struct ntm_dns_addr){ .word = { 0, 0, MAPPED, ctx->user_ip4 } };
}

static __always_inline void addr6_get(struct ntm_dns_addr *ret_addr, const struct bpf_sock_addr *ctx)
{
	*ret_addr = (struct ntm_dns_addr){
		.word = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] }
	};
}

static __always_inline void addr6_put(struct bpf_sock_addr *ctx, const struct ntm_dns_addr *addr)
{
	ctx->user_ip6[0] = addr->word[0];
	ctx->user_ip6[1] = addr->word[1];
	ctx->user_ip6[2] = addr->word[2];
	ctx->user_ip6[3] = addr->word[3];
}

/* The stub's port for such a socket, 0: it has none. */
static __always_inline __u16 stub_port(const struct bpf_sock_addr *ctx, bool is4)
{
	switch (ctx->protocol) {
	case IPPROTO_UDP:
		return is4 ? config.udp4 : config.udp6;
	case IPPROTO_TCP:
		return is4 ? config.tcp4 : config.tcp6;
	}
	return 0;
}

/* Whether it is one of those whose queries are wanted. */
static __always_inline bool is_wanted(const struct ntm_dns_addr *server)
{
	if (config.listen_port == DNS_PORT && addr_equal(server, &config.listen))
		return false;
	if (!live.servers)
		return true;
	for (__u32 i = 0; i < NTM_DNS_SERVERS_MAX; i++) {
		if (i < live.servers && addr_equal(server, &live.server[i]))
			return true;
	}
	return false;
}

static __always_inline bool stub_lives(void)
{
	return bpf_ktime_get_ns() - live.beat_ns < NTM_DNS_DEAD_MS * NSEC_PER_MSEC;
}

/*
 * Decides about a socket that is about to ask server: the port that it is led to, 0: the server's. The server
 * is remembered then. A socket that is bound to an interface could not reach the loopback; and it asks there
 * on purpose.
 */
static __always_inline __u16 lead(struct bpf_sock_addr *ctx, const struct ntm_dns_addr *server)
{
	bool is4 = is_mapped(server);
	__u16 port = stub_port(ctx, is4);
	struct bpf_sock *sk = ctx->sk;
	struct asked *asked;

	if ((__u16)ctx->user_port != DNS_PORT || !port || !sk ||
	    bpf_get_netns_cookie(ctx) != config.netns_cookie)
		return 0;
	if (sk->mark == NTM_DNS_MARK || sk->bound_dev_if || !is_wanted(server) || !stub_lives())
		return 0;
	asked = bpf_sk_storage_get(&ntm_dns_asked, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!asked)
		return 0; /* no memory: the application must not see an answer of somebody else */
	if (is4) {
		asked->server4 = *server;
		if (!server->word[3]) /* for the kernel that is the loopback */
			asked->server4.word[3] = LOOPBACK4;
	} else {
		asked->server6 = *server;
		if (!server->word[0] && !server->word[1] && !server->word[2] && !server->word[3])
			asked->server6.word[3] = bpf_htonl(1);
	}
	return port;
}

static __always_inline void lead4(struct bpf_sock_addr *ctx)
{
	struct ntm_dns_addr server;
	__u16 port;

	addr4_get(&server, ctx);
	port = lead(ctx, &server);
	if (!port)
		return;
	ctx->user_ip4 = LOOPBACK4;
	ctx->user_port = port;
}

/*
 * An IPv6 socket that is not connected is told the sender's address with the interface that a link-local
 * address needs, which cannot be given here: an application that compares all of it would drop the answer.
 */
static __always_inline void lead6(struct bpf_sock_addr *ctx, bool connects)
{
	struct ntm_dns_addr server, stub = { .word = { 0, 0, 0, bpf_htonl(1) } };
	__u16 port;

	addr6_get(&server, ctx);
	if (!connects && is_link_local(&server))
		return;
	port = lead(ctx, &server);
	if (!port)
		return;
	if (is_mapped(&server)) {
		stub.word[2] = MAPPED;
		stub.word[3] = LOOPBACK4;
	}
	addr6_put(ctx, &stub);
	ctx->user_port = port;
}

/* The server that this socket asked when it was led to where from is; false: it was not. */
static __always_inline bool asked_find(struct ntm_dns_addr *ret_server, struct bpf_sock_addr *ctx,
				       const struct ntm_dns_addr *from)
{
	bool is4 = is_mapped(from);
	__u16 port = stub_port(ctx, is4);
	struct bpf_sock *sk = ctx->sk;
	struct asked *asked;

	if (!port || (__u16)ctx->user_port != port || !sk)
		return false;
	if (from->word[3] != (is4 ? LOOPBACK4 : bpf_htonl(1)) || from->word[0] || from->word[1] ||
	    (!is4 && from->word[2]))
		return false;
	asked = bpf_sk_storage_get(&ntm_dns_asked, sk, NULL, 0);
	if (!asked)
		return false;
	*ret_server = is4 ? asked->server4 : asked->server6;
	return ret_server->word[3] || ret_server->word[2] || ret_server->word[1] || ret_server->word[0];
}

static __always_inline void show4(struct bpf_sock_addr *ctx)
{
	struct ntm_dns_addr from, server;

	addr4_get(&from, ctx);
	if (!asked_find(&server, ctx, &from))
		return;
	ctx->user_ip4 = server.word[3];
	ctx->user_port = DNS_PORT;
}

static __always_inline void show6(struct bpf_sock_addr *ctx)
{
	struct ntm_dns_addr from, server;

	addr6_get(&from, ctx);
	if (!asked_find(&server, ctx, &from))
		return;
	addr6_put(ctx, &server);
	ctx->user_port = DNS_PORT;
}

SEC("cgroup/connect4")
int dns_connect4(struct bpf_sock_addr *ctx)
{
	lead4(ctx);
	return 1;
}

SEC("cgroup/connect6")
int dns_connect6(struct bpf_sock_addr *ctx)
{
	lead6(ctx, true);
	return 1;
}

SEC("cgroup/sendmsg4")
int dns_sendmsg4(struct bpf_sock_addr *ctx)
{
	lead4(ctx);
	return 1;
}

SEC("cgroup/sendmsg6")
int dns_sendmsg6(struct bpf_sock_addr *ctx)
{
	lead6(ctx, false);
	return 1;
}

SEC("cgroup/recvmsg4")
int dns_recvmsg4(struct bpf_sock_addr *ctx)
{
	show4(ctx);
	return 1;
}

SEC("cgroup/recvmsg6")
int dns_recvmsg6(struct bpf_sock_addr *ctx)
{
	show6(ctx);
	return 1;
}

SEC("cgroup/getpeername4")
int dns_peername4(struct bpf_sock_addr *ctx)
{
	show4(ctx);
	return 1;
}

SEC("cgroup/getpeername6")
int dns_peername6(struct bpf_sock_addr *ctx)
{
	show6(ctx);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
