/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * flow - an application over TCP that notices everything: the sender paces bytes whose values follow from their
 * offsets, the receiver checks each and writes down when none came. Handover and restart tests run it through tunnels.
 *
 *	flow receive PORT			takes one connection, from any address of both families
 *	flow send HOST PORT KBYTES_PER_S SECONDS	connects, sends, and asks in the end how much has arrived
 *	flow fetch HOST PORT			connects and receives, as `receive` does
 *	flow serve PORT KBYTES_PER_S SECONDS	takes one connection and sends, as `send` does
 *
 * The receiving end prints "listening" or "connected", a line for each silence of 20 ms or more,
 *
 *	gap FROM TO OFFSET		FROM, TO: seconds since 1970; OFFSET: of the byte that ended it
 *
 * every 100 ms "at TIME OFFSET", and at the end "received BYTES longest_gap_ms MS from FROM to TO". The sending end prints
 * "sent BYTES". USR1 makes it stop sending now, as if SECONDS had passed. Exit status 0: all bytes arrived as they were sent;
 * 1: they did not, with a sentence on stderr.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 1000000 /* between two writes */
#define GAP_US 20000
#define TOLD_US 100000
#define CHUNK 65536 /* bytes; a multiple of 8 */

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list ap;

	fputs("flow: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* The byte at an offset: a piece that is missing, twice or elsewhere shows. */
static uint8_t byte_at(uint64_t offset)
{
	uint64_t word = (offset / 8 + 1) * 0x9e3779b97f4a7c15u;

	return (uint8_t)((word ^ word >> 29) >> offset % 8 * 8);
}

static int listen_one(const char *port)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port)) };
	int on = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM, 0), connection;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		die("port %s: %s", port, strerror(errno));
	printf("listening\n");
	fflush(stdout);
	connection = accept(fd, NULL, NULL);
	if (connection < 0)
		die("accept: %s", strerror(errno));
	close(fd);
	return connection;
}

static int connect_to(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found, *one;
	int fd = -1, err = getaddrinfo(host, port, &hints, &found);

	if (err)
		die("%s: %s", host, gai_strerror(err));
	for (one = found; one; one = one->ai_next) {
		fd = socket(one->ai_family, SOCK_STREAM, 0);
		if (fd >= 0 && !connect(fd, one->ai_addr, one->ai_addrlen))
			break;
		err = errno;
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	if (fd < 0)
		die("cannot connect to %s: %s", host, strerror(err));
	printf("connected\n");
	fflush(stdout);
	return fd;
}

static uint64_t write_some(int fd, uint64_t offset, uint64_t until)
{
	static uint8_t buf[CHUNK];
	size_t len = until - offset < CHUNK ? (size_t)(until - offset) : CHUNK;
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		buf[i] = byte_at(offset + i);
	n = write(fd, buf, len);
	if (n < 0 && errno == EINTR)
		return offset;
	if (n < 0)
		die("broken after %llu bytes: %s", (unsigned long long)offset, strerror(errno));
	return offset + (uint64_t)n;
}

/* USR1 may come while we wait: it was to end what has ended by itself. */
static bool number_read(int fd, uint64_t *ret_number)
{
	ssize_t n;

	do
		n = recv(fd, ret_number, sizeof(*ret_number), MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	return n == sizeof(*ret_number);
}

static void send_paced(int fd, uint64_t bytes_per_s, double seconds)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	int64_t begin = now_us(), end = begin + (int64_t)(seconds * 1e6), now;
	uint64_t sent = 0, arrived, due;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while (!stopped && (now = now_us()) < end) {
		due = (uint64_t)((double)(now - begin) * (double)bytes_per_s / 1e6);
		/* What a silence kept back is not made up for in one burst: the pace is that of an application. */
		if (due > sent + bytes_per_s / 4) {
			begin += (int64_t)((double)(due - sent) * 1e6 / (double)bytes_per_s);
			due = sent;
		}
		while (due > sent && !stopped)
			sent = write_some(fd, sent, due);
		nanosleep(&tick, NULL);
	}
	if (shutdown(fd, SHUT_WR) || !number_read(fd, &arrived))
		die("the far end did not tell how much arrived of %llu bytes", (unsigned long long)sent);
	if (arrived != sent)
		die("%llu bytes were sent, %llu arrived", (unsigned long long)sent, (unsigned long long)arrived);
	printf("sent %llu\n", (unsigned long long)sent);
}

static void receive_all(int fd)
{
	static uint8_t buf[CHUNK];
	int64_t last = 0, told = 0, longest = 0, from = 0, to = 0, now;
	uint64_t received = 0;
	ssize_t n;

	signal(SIGUSR1, SIG_IGN); /* for the sending end */
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		now = now_us();
		if (last && now - last >= GAP_US)
			printf("gap %.6f %.6f %llu\n", (double)last / 1e6, (double)now / 1e6,
			       (unsigned long long)received);
		if (last && now - last > longest) {
			longest = now - last;
			from = last;
			to = now;
		}
		last = now;
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != byte_at(received + (uint64_t)i))
				die("the byte at %llu is wrong", (unsigned long long)(received + (uint64_t)i));
		received += (uint64_t)n;
		if (now - told >= TOLD_US) {
			printf("at %.6f %llu\n", (double)now / 1e6, (unsigned long long)received);
			told = now;
		}
		fflush(stdout);
	}
	if (n < 0)
		die("broken after %llu bytes: %s", (unsigned long long)received, strerror(errno));
	if (send(fd, &received, sizeof(received), MSG_NOSIGNAL) != sizeof(received))
		die("cannot tell how much arrived: %s", strerror(errno));
	printf("received %llu longest_gap_ms %.1f from %.6f to %.6f\n", (unsigned long long)received,
	       (double)longest / 1e3, (double)from / 1e6, (double)to / 1e6);
}

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = stop }; /* interrupts a write */

	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR1, &action, NULL);
	if (argc == 3 && !strcmp(argv[1], "receive"))
		receive_all(listen_one(argv[2]));
	else if (argc == 4 && !strcmp(argv[1], "fetch"))
		receive_all(connect_to(argv[2], argv[3]));
	else if (argc == 6 && !strcmp(argv[1], "send"))
		send_paced(connect_to(argv[2], argv[3]), strtoull(argv[4], NULL, 10) * 1000, atof(argv[5]));
	else if (argc == 5 && !strcmp(argv[1], "serve"))
		send_paced(listen_one(argv[2]), strtoull(argv[3], NULL, 10) * 1000, atof(argv[4]));
	else {
		fprintf(stderr, "usage: flow receive PORT | fetch HOST PORT | send HOST PORT KBYTES_PER_S SECONDS |\n"
				"       serve PORT KBYTES_PER_S SECONDS\n");
		return 2;
	}
	return 0;
}
