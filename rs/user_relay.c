/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_relay.c - the sockets of the Relay Server and the threads that relay in user space. Each listen
 * endpoint has one socket for the main loop and two for each thread (SO_REUSEPORT): a filter in the kernel
 * puts sessions, binds and the like into that of the main loop, so that control has a receive buffer of its
 * own and never waits for data, and spreads the rest over the threads by Path ID, so that the packets of a
 * path stay in order and its counters in one cache. Handshakes and path control have the second sockets:
 * anybody can send more data in the name of paths that nobody knows than a thread can look up, and what then
 * overflows must not be what new tunnels need.
 *
 *	            filter: type?     +-> main loop, lane 0: receive.c
 *	packet -> of the endpoint ----+-> thread of lane 1 + Path ID % threads, two sockets: user_lane.c
 *
 * In a train (UDP_GRO) only the first datagram decides; threads hand over what is not theirs.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "rs.h"

#define ROUNDS 8 /* batches of one socket before the others have their turn */

/* A lane's thread, or for lane 0 only what the main loop listens to. */
struct runner {
	struct rs *rs;
	unsigned number; /* of its lane */
	pthread_t thread;
	bool running;
	struct event *inbox;
};

struct rs_user_relay {
	int stop_fd; /* readable: threads end */
	struct runner runner[1 + RS_THREADS_MAX];
	struct event *readable[NTM_SERVERS_MAX]; /* lane 0 */
};

struct ntm_udp *rs_user_relay_udp(struct rs *rs, unsigned listen)
{
	return rs_lane_udp(rs->lane[0], listen);
}

unsigned rs_user_relay_listen(const struct rs *rs, const struct ntm_udp *udp)
{
	return (unsigned)(udp - rs_lane_udp(rs->lane[0], 0));
}

bool rs_user_relay_flow(struct rs *rs, const struct ntm_endpoint *local, struct ntm_flow *flow)
{
	for (unsigned i = 0; i < rs->config.listens; i++) {
		const struct ntm_endpoint *listen = &rs->config.listen[i];
		bool any = rs_lane_is_any(&listen->addr);

		if (listen->port != local->port || ntm_endpoint_is4(listen) != ntm_endpoint_is4(local) ||
		    (!any && !ntm_addr_equal(&listen->addr, &local->addr)))
			continue;
		flow->udp = rs_user_relay_udp(rs, i);
		memset(&flow->local, 0, sizeof(flow->local));
		if (any)
			flow->local = local->addr;
		return true;
	}
	return false;
}

void rs_user_relay_gro(struct rs *rs, bool on)
{
	int value = on;

	for (unsigned i = 0; i < rs->lanes; i++) {
		/* Where it is not there, it was not there before. */
		for (unsigned j = 0; j < rs->config.listens; j++) {
			setsockopt(rs_lane_udp(rs->lane[i], j)->fd, SOL_UDP, UDP_GRO, &value, sizeof(value));
			if (i)
				setsockopt(rs_lane_urgent(rs->lane[i], j)->fd, SOL_UDP, UDP_GRO, &value,
					   sizeof(value));
		}
	}
}

/* ---- the main loop's lane */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct rs *rs = arg;

	(void)what;
	for (unsigned listen = 0; listen < rs->config.listens; listen++) {
		if (rs_user_relay_udp(rs, listen)->fd != fd)
			continue;
		for (unsigned round = 0; round < ROUNDS && rs_lane_read(rs->lane[0], listen, false); round++)
			;
	}
}

static void on_inbox(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	rs_lane_inbox_read(arg);
}

static struct event *event_make(struct rs *rs, int fd, event_callback_fn call, void *arg)
{
	struct event *event = event_new(rs->base, fd, EV_READ | EV_PERSIST, call, arg);

	if (event && event_priority_set(event, event_base_get_npriorities(rs->base) - 1) >= 0 &&
	    event_add(event, NULL) >= 0)
		return event;
	if (event)
		event_free(event);
	return NULL;
}

/* ---- threads */

static void *runner_run(void *arg)
{
	struct runner *runner = arg;
	struct rs *rs = runner->rs;
	struct rs_lane *lane = rs->lane[runner->number];
	unsigned listens = rs->config.listens;
	struct pollfd fds[2 * NTM_SERVERS_MAX + 1]; /* what is urgent comes first */

	for (unsigned i = 0; i < listens; i++) {
		fds[i] = (struct pollfd){.fd = rs_lane_urgent(lane, i)->fd, .events = POLLIN};
		fds[listens + i] = (struct pollfd){.fd = rs_lane_udp(lane, i)->fd, .events = POLLIN};
	}
	fds[2 * listens] = (struct pollfd){.fd = rs->user_relay->stop_fd, .events = POLLIN};
	while (poll(fds, 2 * listens + 1, -1) >= 0 || errno == EINTR) {
		if (fds[2 * listens].revents)
			break;
		for (unsigned i = 0; i < 2 * listens; i++) {
			for (unsigned round = 0; fds[i].revents && round < ROUNDS &&
						 rs_lane_read(lane, i % listens, i < listens);
			     round++)
				;
		}
	}
	return NULL;
}

/* Signals are the main loop's. */
static int runner_start(struct runner *runner)
{
	sigset_t all, before;
	char name[16];
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&runner->thread, NULL, runner_run, runner);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	runner->running = true;
	snprintf(name, sizeof(name), "ntm-rs/%u", runner->number);
	pthread_setname_np(runner->thread, name);
	return 0;
}

/* As many as there are CPUs for this process. */
static unsigned threads_count(const struct rs_config *config)
{
	cpu_set_t cpus;
	int count;

	if (config->threads)
		return config->threads;
	count = sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus);
	return count > RS_THREADS_MAX ? RS_THREADS_MAX : (unsigned)count;
}

/* ---- sockets */

/*
 * For SO_ATTACH_REUSEPORT_CBPF, which sees the UDP payload and returns the number of a socket in the order in
 * which they were bound: the threads' for data, theirs for what is urgent, the main loop's. A load beyond a
 * short packet's end returns 0.
 */
static int filter_attach(int fd, unsigned threads)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), /* the type */
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NTM_TYPE_RESET, 4, 0), /* data, path control, unknown */
		/* Bind, echo, reset: main loop */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NTM_TYPE_RELAY_BIND, 2, 0),
		/* A tunnel's handshake: urgent */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NTM_TYPE_TUNNEL_REQUEST, 7, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0), /* sessions: main loop */
		BPF_STMT(BPF_RET | BPF_K, 2 * threads),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, NTM_TYPE_CLASS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NTM_TYPE_PATH, 3, 0), /* path control: urgent */
		/* Path IDs are random */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct ntm_header, id) + 4),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, threads),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct ntm_header, id) + 4),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, threads),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, threads),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0 ? -errno
												   : 0;
}

/* Whoever else is at this endpoint, and would share it (SO_REUSEPORT), is noticed here. */
static int endpoint_is_free(const struct ntm_endpoint *listen)
{
	struct ntm_udp alone;
	int err = ntm_udp_open(&alone, NULL, listen, ntm_endpoint_is4(listen), NULL, NULL);

	if (!err)
		ntm_udp_close(&alone);
	return err;
}

static int listen_open(struct rs *rs, unsigned listen)
{
	const struct ntm_endpoint *endpoint = &rs->config.listen[listen];
	int err = endpoint_is_free(endpoint);

	/* The filter counts on the order. */
	for (unsigned i = 1; i < rs->lanes && !err; i++)
		err = rs_lane_open(rs->lane[i], endpoint);
	for (unsigned i = 1; i < rs->lanes && !err; i++)
		err = rs_lane_open_urgent(rs->lane[i], endpoint);
	if (!err)
		err = rs_lane_open(rs->lane[0], endpoint);
	if (err)
		return err;
	err = filter_attach(rs_user_relay_udp(rs, listen)->fd, rs->lanes - 1);
	if (err) /* the kernel spreads packets anyhow: threads hand over what is not theirs */
		ntm_warn("control and data share receive buffers: %s", strerror(-err));
	rs->user_relay->readable[listen] = event_make(rs, rs_user_relay_udp(rs, listen)->fd, on_readable, rs);
	return rs->user_relay->readable[listen] ? 0 : -ENOMEM;
}

static const char *advice(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return ": another program has this port, see `ss -ulpn`";
	case -EADDRNOTAVAIL:
		return ": no interface has this address, see `ip address`";
	case -EACCES:
	case -EPERM:
		return ": ports below 1024 need root or CAP_NET_BIND_SERVICE";
	}
	return "";
}

/* ---- opening */

static int lanes_make(struct rs *rs, unsigned count)
{
	rs->user_relay = calloc(1, sizeof(*rs->user_relay));
	if (!rs->user_relay)
		return -ENOMEM;
	rs->user_relay->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (rs->user_relay->stop_fd < 0)
		return -errno;
	for (; rs->lanes < count; rs->lanes++) {
		rs->lane[rs->lanes] = rs_lane_new(rs, !rs->lanes);
		if (!rs->lane[rs->lanes])
			return -ENOMEM;
		rs->user_relay->runner[rs->lanes] = (struct runner){.rs = rs, .number = rs->lanes};
	}
	return 0;
}

int rs_user_relay_start(struct rs *rs, char *ret_why, size_t why_len)
{
	int err = 0;

	for (unsigned i = 1; i < rs->lanes && !err; i++) {
		struct runner *runner = &rs->user_relay->runner[i];

		runner->inbox = event_make(rs, rs_lane_inbox_fd(rs->lane[i]), on_inbox, rs->lane[i]);
		err = runner->inbox ? runner_start(runner) : -ENOMEM;
	}
	if (err)
		snprintf(ret_why, why_len, "cannot start %u threads: %s", rs->lanes - 1, strerror(-err));
	return err;
}

int rs_user_relay_open(struct rs *rs, char *ret_why, size_t why_len)
{
	char text[NTM_ENDPOINT_TEXT];
	int err;

	err = lanes_make(rs, 1 + threads_count(&rs->config));
	if (err) {
		snprintf(ret_why, why_len, "no memory for the sockets");
		goto fail;
	}
	for (unsigned i = 0; i < rs->config.listens; i++) {
		ntm_endpoint_format(&rs->config.listen[i], text);
		err = listen_open(rs, i);
		if (err) {
			snprintf(ret_why, why_len, "cannot listen on %s: %s%s", text, strerror(-err),
				 advice(err));
			goto fail;
		}
		ntm_info("listening on %s", text);
	}
	rs_too_big_open(rs);
	return 0;

fail:
	rs_user_relay_close(rs);
	return err;
}

static void runner_end(struct runner *runner)
{
	if (runner->running)
		pthread_join(runner->thread, NULL);
	runner->running = false;
	if (runner->inbox)
		event_free(runner->inbox);
	runner->inbox = NULL;
}

void rs_user_relay_stop(struct rs *rs)
{
	struct rs_user_relay *relay = rs->user_relay;
	uint64_t one = 1;

	if (!relay || relay->stop_fd < 0)
		return;
	if (write(relay->stop_fd, &one, sizeof(one)) < 0)
		ntm_error("cannot end the threads: %s", strerror(errno));
	for (unsigned i = 0; i < rs->lanes; i++)
		runner_end(&relay->runner[i]);
}

void rs_user_relay_close(struct rs *rs)
{
	struct rs_user_relay *relay = rs->user_relay;

	rs_user_relay_stop(rs);
	if (relay && relay->stop_fd >= 0)
		close(relay->stop_fd);
	for (unsigned i = 0; relay && i < NTM_SERVERS_MAX; i++) {
		if (relay->readable[i])
			event_free(relay->readable[i]);
	}
	rs_too_big_close(rs);
	while (rs->lanes)
		rs_lane_free(rs->lane[--rs->lanes]);
	free(relay);
	rs->user_relay = NULL;
}
