/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * linkdelay - a cable with a length: takes each Ethernet frame from one interface and puts it out of the
 * other a fixed time later, both ways. Kernels without netem get their delay and loss from it.
 * Started by selftests/netns/lib.sh, in a namespace of its own between an access router and the core:
 *
 *	router wan ---- a  linkdelay  b ---- core
 *
 * Frames must be whole when they arrive: the far ends of both veths have their offloads off.
 *
 *	linkdelay A B DELAY_MS [DROP_EVERY]	DELAY_MS may have a fraction; DROP_EVERY 0: drop nothing
 *
 * Prints "ready" when it forwards. Ends by a signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 9216 /* bytes; longer frames are dropped */
#define QUEUE_LEN 8192 /* frames under way in one direction; more are dropped */
#define SOCKET_BUFFER (8 << 20)
#define TAKEN_AT_ONCE 32 /* frames; others may be due meanwhile */

struct frame {
	int64_t due_ns;
	size_t len;
	uint8_t *data;
};

/* One direction: a ring in order of arrival, which with one delay for all is the order of departure. */
struct direction {
	int from, to; /* sockets */
	uint64_t seen;
	unsigned int head, count;
	struct frame ring[QUEUE_LEN];
};

static struct direction directions[2];

static void die(const char *what)
{
	fprintf(stderr, "linkdelay: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int open_interface(const char *name)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct packet_mreq promiscuous = { .mr_type = PACKET_MR_PROMISC };
	int size = SOCKET_BUFFER, on = 1, fd;

	addr.sll_ifindex = promiscuous.mr_ifindex = (int)if_nametoindex(name);
	if (!addr.sll_ifindex)
		die(name);
	/* Protocol 0 until bound: no frame of another interface gets in. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)))
		die("setsockopt");
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("bind");
	return fd;
}

static void take(struct direction *d, int64_t delay_ns, uint64_t drop_every)
{
	static uint8_t buf[FRAME_MAX];
	struct frame *f;
	ssize_t len = 0;

	for (int i = 0; i < TAKEN_AT_ONCE && (len = recv(d->from, buf, sizeof(buf), MSG_TRUNC)) >= 0; i++) {
		d->seen++;
		if ((drop_every && d->seen % drop_every == 0) || d->count == QUEUE_LEN || (size_t)len > sizeof(buf))
			continue;
		f = &d->ring[(d->head + d->count) % QUEUE_LEN];
		f->data = malloc((size_t)len);
		if (!f->data)
			continue;
		memcpy(f->data, buf, (size_t)len);
		f->len = (size_t)len;
		f->due_ns = now_ns() + delay_ns;
		d->count++;
	}
	/* A link that goes down for a moment is no reason to end. */
	if (len < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
		die("recv");
}

/* Sends what is due; returns when the next frame is, or INT64_MAX. */
static int64_t give(struct direction *d)
{
	struct frame *f;

	while (d->count) {
		f = &d->ring[d->head];
		if (f->due_ns > now_ns())
			return f->due_ns;
		/* A full device queue or a link that is down loses the frame, as a cable would. */
		if (send(d->to, f->data, f->len, 0) < 0 && errno == EBADF)
			die("send");
		free(f->data);
		d->head = (d->head + 1) % QUEUE_LEN;
		d->count--;
	}
	return INT64_MAX;
}

static void forward(int64_t delay_ns, uint64_t drop_every)
{
	struct pollfd fds[2] = { { .fd = directions[0].from, .events = POLLIN },
				 { .fd = directions[1].from, .events = POLLIN } };

	for (;;) {
		int64_t next = INT64_MAX, now;
		struct timespec wait;

		for (int i = 0; i < 2; i++) {
			int64_t due = give(&directions[i]);

			if (due < next)
				next = due;
		}
		now = now_ns();
		next = next > now ? next - now : 0;
		wait.tv_sec = next / 1000000000;
		wait.tv_nsec = next % 1000000000;
		if (ppoll(fds, 2, directions[0].count || directions[1].count ? &wait : NULL, NULL) < 0 &&
		    errno != EINTR)
			die("ppoll");
		for (int i = 0; i < 2; i++)
			if (fds[i].revents)
				take(&directions[i], delay_ns, drop_every);
	}
}

int main(int argc, char **argv)
{
	/* A cable does not wait for a processor; without leave it does. */
	const struct sched_param first = { .sched_priority = 1 };
	unsigned long drop_every = 0;
	char *end = NULL;
	double ms = -1;

	if (argc == 4 || argc == 5)
		ms = strtod(argv[3], &end);
	if (argc == 5 && !*end)
		drop_every = strtoul(argv[4], &end, 10);
	if (!end || *end || !(ms >= 0 && ms <= 10000)) {
		fprintf(stderr, "usage: linkdelay A B DELAY_MS [DROP_EVERY]\n");
		return 2;
	}
	directions[0].from = directions[1].to = open_interface(argv[1]);
	directions[1].from = directions[0].to = open_interface(argv[2]);
	sched_setscheduler(0, SCHED_FIFO, &first);
	printf("ready\n");
	fflush(stdout);
	forward((int64_t)(ms * 1e6), drop_every);
}
