/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * stream - an application over UDP that notices everything: the sender paces numbered datagrams, the receiver tells
 * what was lost, came twice or came late, and writes down when none came. Handover tests and `make bench-handover` run
 * it through tunnels; flow.c does the same over TCP.
 *
 *	stream send HOST PORT PPS SECONDS [SIZE]	SIZE bytes each (64)
 *	stream receive PORT [GAP_MS]			from any address of both families
 *
 * The receiver prints "listening", for each silence of GAP_MS (5) or more
 *
 *	gap FROM TO NUMBER SENT		FROM, TO: seconds since 1970, of the datagrams before and behind it; NUMBER of
 *					the one that ended it, SENT: when that one was sent
 *
 * and when it is told to end (USR1 or TERM) "missing NUMBER" for each of the first 20 that did not come, and "received N
 * lost N duplicate N reordered N longest_gap_ms MS". A datagram behind the highest number that came does not count as
 * lost: the sender's "sent N" tells of those. reordered: came behind one with a higher number. The sender ends early by
 * the same signals.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS_MAX (1ULL << 24) /* datagrams of a stream */
#define LENGTH_MIN 16
#define LENGTH_MAX 1400
#define BUFFER (8 << 20)
#define MISSING_TOLD 20

static volatile sig_atomic_t stopped;

static void stop(int signo)
{
	(void)signo;
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct datagram {
	uint64_t number;
	int64_t sent_ns; /* since 1970 */
};

static int send_all(const char *host, const char *port, double pps, double seconds, size_t size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *ai;
	char buf[LENGTH_MAX] = {0};
	struct datagram datagram = {0};
	int64_t start, due;
	struct timespec t;
	int fd, err;

	err = getaddrinfo(host, port, &hints, &ai);
	if (err) {
		fprintf(stderr, "stream: %s: %s\n", host, gai_strerror(err));
		return 1;
	}
	fd = socket(ai->ai_family, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen))
		die(host);
	start = now_ns(CLOCK_MONOTONIC);
	while (!stopped && datagram.number < NUMBERS_MAX) {
		due = start + (int64_t)((double)datagram.number * 1e9 / pps);
		if ((double)(due - start) >= seconds * 1e9)
			break;
		t = (struct timespec){due / 1000000000, due % 1000000000};
		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
			continue; /* a signal */
		datagram.sent_ns = now_ns(CLOCK_REALTIME);
		memcpy(buf, &datagram, sizeof(datagram));
		/* An error reports an earlier datagram's ICMP: this one was not sent. */
		for (int i = 0; send(fd, buf, size, 0) < 0 && i < 3; i++)
			;
		datagram.number++;
	}
	printf("sent %llu\n", (unsigned long long)datagram.number);
	freeaddrinfo(ai);
	close(fd);
	return 0;
}

struct seen {
	uint8_t *bits;
	uint64_t received, highest, duplicate, reordered; /* highest: number + 1 */
	int64_t last_ns, longest_ns;
};

static void take(struct seen *seen, const struct datagram *datagram, int64_t now, int64_t gap_ns)
{
	int64_t gap = now - seen->last_ns;
	uint8_t bit = (uint8_t)(1 << (datagram->number & 7)), *byte = &seen->bits[datagram->number / 8];

	if (*byte & bit) {
		seen->duplicate++;
		return;
	}
	*byte |= bit;
	if (seen->received++) {
		if (gap > seen->longest_ns)
			seen->longest_ns = gap;
		if (gap >= gap_ns)
			printf("gap %.6f %.6f %llu %.6f\n", (double)seen->last_ns / 1e9, (double)now / 1e9,
			       (unsigned long long)datagram->number, (double)datagram->sent_ns / 1e9);
	}
	seen->last_ns = now;
	if (datagram->number + 1 < seen->highest)
		seen->reordered++;
	else
		seen->highest = datagram->number + 1;
}

/* When the kernel had it, not when this process came to read it: where processors are few that is later, and not what is measured. */
static ssize_t receive_one(int fd, char *buf, size_t size, int64_t *ret_ns)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(struct timespec))];
	} control;
	struct iovec iov = {buf, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, 0);
	struct timespec t;

	*ret_ns = now_ns(CLOCK_REALTIME);
	for (struct cmsghdr *cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&t, CMSG_DATA(cmsg), sizeof(t));
			*ret_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
		}
	return n;
}

static int receive_all(const char *port, double gap_ms)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0, on = 1, size = BUFFER;
	struct seen seen = {.bits = calloc(1, NUMBERS_MAX / 8)};
	struct datagram datagram;
	char buf[LENGTH_MAX];
	int64_t at_ns;
	ssize_t n;

	if (!seen.bits || fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)))
		die(port);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	puts("listening");
	while (!stopped) {
		n = receive_one(fd, buf, sizeof(buf), &at_ns);
		if (n < LENGTH_MIN)
			continue;
		memcpy(&datagram, buf, sizeof(datagram));
		if (datagram.number < NUMBERS_MAX)
			take(&seen, &datagram, at_ns, (int64_t)(gap_ms * 1e6));
	}
	for (uint64_t i = 0, told = 0; i < seen.highest && told < MISSING_TOLD; i++)
		if (!(seen.bits[i / 8] & 1 << (i & 7))) {
			printf("missing %llu\n", (unsigned long long)i);
			told++;
		}
	printf("received %llu lost %llu duplicate %llu reordered %llu longest_gap_ms %.3f\n",
	       (unsigned long long)seen.received, (unsigned long long)(seen.highest - seen.received),
	       (unsigned long long)seen.duplicate, (unsigned long long)seen.reordered, (double)seen.longest_ns / 1e6);
	free(seen.bits);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: recv ends */
	size_t size;

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc >= 6 && !strcmp(argv[1], "send")) {
		size = argc > 6 ? (size_t)atoi(argv[6]) : 64;
		if (atof(argv[4]) > 0 && size >= LENGTH_MIN && size <= LENGTH_MAX)
			return send_all(argv[2], argv[3], atof(argv[4]), atof(argv[5]), size);
	} else if (argc >= 3 && !strcmp(argv[1], "receive")) {
		return receive_all(argv[2], argc > 3 ? atof(argv[3]) : 5);
	}
	fprintf(stderr, "usage: stream send HOST PORT PPS SECONDS [SIZE] | stream receive PORT [GAP_MS]\n");
	return 2;
}
