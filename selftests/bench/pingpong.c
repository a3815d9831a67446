/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * pingpong.c - request and response over one TCP connection, for group_bpf.sh: a byte there, a byte back. IPv4.
 *
 *	pingpong serve PORT			answers one connection after the other
 *	pingpong ask HOST PORT SECONDS		prints "rate N median US p99 US"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TIMES_MAX 2000000

static uint32_t times[TIMES_MAX]; /* ns */

static void die(const char *what)
{
	fprintf(stderr, "pingpong: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		die("socket");
	return fd;
}

static void serve(const char *port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = tcp_socket();

	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 8))
		die(port);
	for (;;) {
		int one = accept(fd, NULL, NULL);
		char byte;

		if (one < 0)
			die("accept");
		while (read(one, &byte, 1) == 1 && write(one, &byte, 1) == 1)
			;
		close(one);
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void ask(const char *host, const char *port, double seconds)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int64_t start, end, t;
	int fd = tcp_socket();
	size_t n = 0;

	errno = EINVAL;
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die(host);
	start = t = now_ns();
	end = start + (int64_t)(seconds * 1e9);
	while (t < end && n < TIMES_MAX) {
		int64_t before = t;
		char byte = 0;

		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("broken");
		t = now_ns();
		times[n++] = (uint32_t)(t - before);
	}
	close(fd);
	if (!n)
		die("no time");
	qsort(times, n, sizeof(*times), by_value);
	printf("rate %.0f median %.1f p99 %.1f\n", (double)n * 1e9 / (double)(t - start), times[n / 2] / 1e3,
	       times[n * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(argv[2]);
	else if (argc == 5 && !strcmp(argv[1], "ask"))
		ask(argv[2], argv[3], atof(argv[4]));
	else {
		fprintf(stderr, "usage: pingpong serve PORT | ask HOST PORT SECONDS\n");
		return 2;
	}
	return 0;
}
