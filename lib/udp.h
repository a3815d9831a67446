/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * udp.h - UDP sockets of both families with the local address of every packet (IP_PKTINFO), batched.
 * One struct ntm_udp is one socket. A node opens one an address family on the same port, a server one a
 * listen address.
 */
#ifndef NTM_LIB_UDP_H
#define NTM_LIB_UDP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <ntm/types.h>

struct ntm_udp;

/* Where a packet came from, or goes to. */
struct ntm_flow {
	struct ntm_udp *udp; /* the socket */
	struct ntm_endpoint remote;
	struct ntm_addr local; /* source address of what we send; none: the kernel chooses */
	/* of what came: TOS byte or traffic class, with its congestion mark; sending does not look at it */
	uint8_t tos;
	unsigned ifindex; /* interface that what we send leaves by; 0: the kernel chooses */
};

/*
 * Called for every datagram; buf may be changed in place and is good until the return, or until flush (below)
 * returns if the socket has one. Runs in the loop. It may send and close other sockets, but not close its
 * own.
 */
typedef void (*ntm_udp_receive)(void *ctx, const struct ntm_flow *from, uint8_t *buf, size_t len);

/* A datagram did not pass. Anybody can forge what is not local: it is a hint. */
struct ntm_udp_too_big {
	struct ntm_endpoint remote; /* where it went; the port may be 0 if local */
	unsigned mtu; /* largest IP packet that passes: bytes */
	bool local; /* this host's own interface says so */
	const uint8_t *quote; /* the datagram's first bytes, as far as the ICMP error has them */
	size_t quote_len; /* NTM_UDP_QUOTE at most */
};
#define NTM_UDP_QUOTE 64

struct ntm_udp {
	int fd; /* -1: closed */
	bool is4;
	struct ntm_endpoint bound;
	struct event *readable;
	ntm_udp_receive receive;
	/* Called with ctx when the datagrams that arrived together were given to receive: their buffers are
	 * used again. May be NULL; set after opening. */
	void (*flush)(void *ctx);
	/*
	 * Called with ctx when the kernel tells that a datagram of this socket was too large, also from
	 * within the sending calls: it must not send. May be NULL; set after opening.
	 */
	void (*too_big)(void *ctx, const struct ntm_udp_too_big *told);
	void *ctx;
	bool gro; /* several datagrams arrive as one (UDP_GRO): cheaper, receive does not see it */
	bool segment; /* the kernel knows UDP_SEGMENT */
	/* answers leave by the interface that a packet came by (receive's ifindex); set after opening */
	bool by_interface;
	uint64_t overruns; /* datagrams lost in the full receive buffer: ntm_udp_overruns_read keeps it */
	struct ntm_udp_batch *batch; /* receive buffers */
};

/*
 * Opens and binds a non-blocking socket: DF set (IP_MTU_DISCOVER probe mode: the outer packet is never
 * fragmented), IP_PKTINFO, IP_RECVERR, large buffers (SO_*BUFFORCE, else SO_*BUF), IPV6_V6ONLY.
 * bind_to: address none means any, port 0 any. base and receive may be NULL for a socket that is only sent
 * on. ret_udp must stay where it is while open. 0 or -errno.
 */
int ntm_udp_open(struct ntm_udp *ret_udp, struct event_base *base, const struct ntm_endpoint *bind_to,
		 bool is4, ntm_udp_receive receive, void *ctx);
/*
 * The same for one of several sockets of one process at one endpoint (SO_REUSEPORT), which the caller reads
 * by himself. bind_to has a port.
 */
int ntm_udp_open_shared(struct ntm_udp *ret_udp, const struct ntm_endpoint *bind_to, bool is4);
/*
 * Likewise one of several, with ntm_udp_open's parameters. Without a base its owner calls ntm_udp_read when
 * it is readable: that gives the datagrams of a bounded time to receive; true: there may be more.
 */
int ntm_udp_open_one(struct ntm_udp *ret_udp, struct event_base *base, const struct ntm_endpoint *bind_to,
		     bool is4, ntm_udp_receive receive, void *ctx);
bool ntm_udp_read(struct ntm_udp *udp);
void ntm_udp_close(struct ntm_udp *udp); /* again: no harm */

/*
 * Brings udp->overruns up to date; receiving does so once a wakeup. By SO_MEMINFO: with SO_RXQ_OVFL the
 * kernel reads the count out of the packet, which its hardened usercopy takes for a leak, and kills the
 * process, where the packet began as another host's TCP segment on the same machine and BPF has sealed it in
 * place (seen on Linux 6.18, veth).
 */
void ntm_udp_overruns_read(struct ntm_udp *udp);

/*
 * Sends one datagram made of parts. 0, or -errno: -EMSGSIZE larger than the path MTU, -ENETUNREACH and the
 * like: no route; -EAGAIN: the buffer is full. Errors that only report an earlier ICMP are tried again once.
 */
int ntm_udp_sendv(const struct ntm_flow *to, const struct iovec *part, int parts);
int ntm_udp_send(const struct ntm_flow *to, const void *buf, size_t len);

/*
 * As ntm_udp_send for a datagram whose fate nobody asks for (udp_soon.c). While receive runs it may wait for
 * the next one: those to one place leave as one, which costs little more than one does. All have left when
 * receive has returned, in their order; ntm_udp_send does not wait for them. The socket must stay until then.
 */
void ntm_udp_send_soon(const struct ntm_flow *to, const void *buf, size_t len);
/* For udp.c, around receive. */
void ntm_udp_soon_begin(void);
void ntm_udp_soon_end(void);

/*
 * Sends len bytes as datagrams of `size` bytes each, the last one may be shorter: at most
 * NTM_UDP_SEGMENTS_MAX and NTM_UDP_DATAGRAM_MAX bytes in all. segment: as one, that the kernel or the device
 * cuts (UDP_SEGMENT); else one by one. Returns 0, or as ntm_udp_sendv; ret_sent: so many datagrams were sent,
 * the next one failed. With segment also -EIO, and no datagram sent: the device or the kernel cannot, or the
 * size is larger than the path's MTU; say so one by one.
 */
#define NTM_UDP_SEGMENTS_MAX 128 /* taken at once since Linux 6.9 */
#define NTM_UDP_SEGMENTS_ALWAYS 64 /* by every kernel that knows UDP_SEGMENT */
#define NTM_UDP_DATAGRAM_MAX 65507
/* so many go at once here, as far as is known; more go in several calls */
unsigned ntm_udp_segments_max(void);
int ntm_udp_send_train(const struct ntm_flow *to, const uint8_t *buf, size_t len, size_t size, bool segment,
		       unsigned *ret_sent);

/*
 * The source address the kernel would use to reach remote now: 0 and ret_local, or -ENETUNREACH etc. if there
 * is no route. Sends nothing.
 */
int ntm_udp_source(const struct ntm_endpoint *remote, struct ntm_addr *ret_local);
/* The same for a packet that leaves by this interface; 0: as above. Also -EPERM (before Linux 5.7 without
 * CAP_NET_RAW). */
int ntm_udp_source_by(const struct ntm_endpoint *remote, unsigned ifindex, struct ntm_addr *ret_local);
/*
 * Bytes of the largest IP packet that the kernel believes to pass on the way to remote: the MTU of the route
 * or interface, or less where ICMP has said so. 0, or as ntm_udp_source. Sends nothing.
 */
int ntm_udp_path_mtu(const struct ntm_endpoint *remote, unsigned *ret_mtu);

#endif
