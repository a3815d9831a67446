/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * udpload.c - paced UDP load, for overload.sh and selftests/bench: the same sender and the same sink for
 * everything that is measured. IPv4.
 *
 *	udpload send DST PORT SIZE SECONDS PPS [OPTION...]	SIZE bytes a datagram; PPS 0: as fast as it goes
 *	udpload sink PORT SECONDS [QUIET [stamp]]	counts until SECONDS are over, or nothing came for 0.3 (or QUIET) s
 *	udpload turn SERVER PEER PORT SIZE SECONDS PPS	the same as send, as ChannelData (RFC 8656) through
 *						a TURN server at port 3478 that asks for no password
 *
 * Options of send:
 *	segment=N	N datagrams in one message by UDP_SEGMENT, instead of one message each
 *	from=ADDR:PORT	raw packets with that source: what a relay takes from a leg that a node has bound
 *	head=HEX	each datagram begins with these bytes
 *	single		one datagram at a time, also what is late: never more than some ten a millisecond
 *	stamp		each datagram begins with the time when it was handed to the kernel (not with segment=N)
 *
 * They print "sent N seconds S" and "received N seconds S" (from the first arrival to the last); with stamp also
 * " median_us M p99_us P", how long datagrams were on their way, on one machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define BATCH 64 /* messages in one system call */
#define MESSAGE_MAX 65507 /* bytes of a message: what UDP takes */
#define SEGMENTS_MAX 64 /* what every kernel with UDP_SEGMENT takes */
#define SOCKET_BYTES (4 << 20)
#define NAP_NS 50000 /* how long the sender sleeps when nothing is due */
#define RAW_LEN (sizeof(struct iphdr) + sizeof(struct udphdr))

static struct iovec part[BATCH];
static struct mmsghdr msg[BATCH];

struct load {
	int fd;
	size_t message_len; /* bytes handed to the kernel at once */
	unsigned segments; /* datagrams in them */
	double seconds, pps;
	int single;
	uint8_t *stamp; /* where the time goes, or NULL */
};

static void die(const char *what)
{
	fprintf(stderr, "udpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct sockaddr_in address(const char *ip, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	errno = EINVAL;
	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		die(ip);
	return a;
}

static int socket_open(int type, int protocol)
{
	int fd = socket(AF_INET, type, protocol), bytes = SOCKET_BYTES;

	if (fd < 0)
		die("socket");
	/* Not even an ordinary user's larger one is needed: it is the same for all that are compared. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}

static void socket_connect(int fd, const char *ip, unsigned port)
{
	struct sockaddr_in to = address(ip, port);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
}

/* ---- sending */

/* All messages share one buffer: what is in them is not looked at. */
static void messages_set(uint8_t *buf, size_t len)
{
	for (unsigned i = 0; i < BATCH; i++) {
		part[i] = (struct iovec){buf, len};
		msg[i].msg_hdr = (struct msghdr){.msg_iov = &part[i], .msg_iovlen = 1};
	}
}

static void load_run(const struct load *load)
{
	const struct timespec nap = {0, NAP_NS};
	double start = now(), t;
	uint64_t sent = 0;

	prctl(PR_SET_TIMERSLACK, 1);
	while ((t = now()) - start < load->seconds) {
		unsigned batch = BATCH;
		int n;

		if (load->pps > 0) {
			double due = ((t - start) * load->pps - (double)sent) / load->segments;

			if (due < 1) {
				nanosleep(&nap, NULL);
				continue;
			}
			if (due < BATCH)
				batch = (unsigned)due;
			if (load->single) {
				batch = 1;
				nanosleep(&nap, NULL);
			}
		}
		if (load->stamp) {
			t = now();
			memcpy(load->stamp, &t, sizeof(t));
		}
		n = sendmmsg(load->fd, msg, batch, 0);
		/* A full queue (ENOBUFS), or nobody there yet (ECONNREFUSED), is the receiver's loss to count. */
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED && errno != EPERM)
			die("send");
		if (n > 0)
			sent += (uint64_t)n * load->segments;
	}
	printf("sent %llu seconds %.3f\n", (unsigned long long)sent, t - start);
}

static void head_write(uint8_t *buf, const char *hex)
{
	for (; hex[0] && hex[1]; hex += 2) {
		unsigned byte;

		if (sscanf(hex, "%2x", &byte) != 1)
			die("head");
		*buf++ = (uint8_t)byte;
	}
}

/* Source "ADDR:PORT" and the destination as headers; the kernel adds length, ID and checksum of the first. */
static void raw_headers(uint8_t *buf, char *from, const char *to_ip, unsigned to_port, size_t size)
{
	char *colon = strrchr(from, ':');
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
	struct udphdr udp = {.dest = htons((uint16_t)to_port), .len = htons((uint16_t)(sizeof(udp) + size))};

	if (!colon)
		die("from: expected ADDR:PORT");
	*colon = 0;
	udp.source = htons((uint16_t)atoi(colon + 1));
	ip.saddr = address(from, 0).sin_addr.s_addr;
	ip.daddr = address(to_ip, 0).sin_addr.s_addr;
	memcpy(buf, &ip, sizeof(ip));
	memcpy(buf + sizeof(ip), &udp, sizeof(udp));
}

static void command_send(int argc, char **argv)
{
	static uint8_t buf[MESSAGE_MAX];
	const char *ip = argv[2], *head = "";
	unsigned port = (unsigned)atoi(argv[3]), segments = 1;
	size_t size = (size_t)atoi(argv[4]), before;
	char *from = NULL;
	struct load load = {.seconds = atof(argv[5]), .pps = atof(argv[6])};

	for (int i = 7; i < argc; i++) {
		if (!strncmp(argv[i], "segment=", 8))
			segments = (unsigned)atoi(argv[i] + 8);
		else if (!strncmp(argv[i], "from=", 5))
			from = argv[i] + 5;
		else if (!strncmp(argv[i], "head=", 5))
			head = argv[i] + 5;
		else if (!strcmp(argv[i], "single"))
			load.single = 1;
		else if (!strcmp(argv[i], "stamp"))
			load.stamp = buf;
		else
			die(argv[i]);
	}
	before = from ? RAW_LEN : 0;
	if (load.stamp)
		load.stamp += before;
	errno = EINVAL;
	if ((load.stamp && (segments > 1 || size < sizeof(double))) || !segments || segments > SEGMENTS_MAX || before + size * segments > sizeof(buf) ||
	    (from && segments > 1) || strlen(head) / 2 > size)
		die("sizes");
	load.fd = from ? socket_open(SOCK_RAW, IPPROTO_RAW) : socket_open(SOCK_DGRAM, 0);
	socket_connect(load.fd, ip, port);
	if (segments > 1) {
		int each = (int)size;

		if (setsockopt(load.fd, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof(each)))
			die("UDP_SEGMENT");
	}
	if (from)
		raw_headers(buf, from, ip, port, size);
	for (unsigned i = 0; i < segments; i++)
		head_write(buf + before + i * size, head);
	load.segments = segments;
	load.message_len = before + size * segments;
	messages_set(buf, load.message_len);
	load_run(&load);
}

/* ---- through a TURN server */

#define TURN_COOKIE 0x2112a442u
#define TURN_CHANNEL 0x4000u
#define TURN_HEADER 20 /* bytes before the attributes */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* One request, answered with success or the end. */
static void turn_ask(int fd, unsigned method, const uint8_t *attributes, unsigned len)
{
	uint8_t request[128] = {0}, answer[1500];
	ssize_t n;

	put16(request, method);
	put16(request + 2, len);
	put32(request + 4, TURN_COOKIE);
	put32(request + 8, (uint32_t)getpid());
	put32(request + 16, method);
	memcpy(request + TURN_HEADER, attributes, len);
	if (send(fd, request, TURN_HEADER + len, 0) < 0)
		die("TURN request");
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < TURN_HEADER || answer[0] != (method >> 8 | 1) || answer[1] != (method & 0xff)) {
		errno = EPROTO;
		die("TURN answer");
	}
}

static void command_turn(char **argv)
{
	static uint8_t buf[MESSAGE_MAX];
	struct sockaddr_in peer = address(argv[3], (unsigned)atoi(argv[4]));
	size_t size = (size_t)atoi(argv[5]);
	struct load load = {.segments = 1, .seconds = atof(argv[6]), .pps = atof(argv[7])};
	struct timeval patience = {2, 0};
	uint8_t transport[8], channel[20] = {0};

	load.fd = socket_open(SOCK_DGRAM, 0);
	setsockopt(load.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	socket_connect(load.fd, argv[2], 3478);
	put16(transport, 0x0019); /* REQUESTED-TRANSPORT: UDP */
	put16(transport + 2, 4);
	put32(transport + 4, (uint32_t)IPPROTO_UDP << 24);
	turn_ask(load.fd, 0x003, transport, sizeof(transport)); /* Allocate */
	put16(channel, 0x000c); /* CHANNEL-NUMBER */
	put16(channel + 2, 4);
	put16(channel + 4, TURN_CHANNEL);
	put16(channel + 8, 0x0012); /* XOR-PEER-ADDRESS */
	put16(channel + 10, 8);
	put16(channel + 12, 1); /* IPv4 */
	put16(channel + 14, ntohs(peer.sin_port) ^ (TURN_COOKIE >> 16));
	put32(channel + 16, ntohl(peer.sin_addr.s_addr) ^ TURN_COOKIE);
	turn_ask(load.fd, 0x009, channel, sizeof(channel)); /* ChannelBind */
	put16(buf, TURN_CHANNEL);
	put16(buf + 2, (unsigned)size);
	messages_set(buf, 4 + size);
	load_run(&load);
}

/* ---- the sink */

#define DELAY_STEP 0.5e-6 /* s */
#define DELAYS (1 << 16) /* 33 ms; what takes longer is in the last one */

static uint32_t delays[DELAYS];

static void delay_note(const uint8_t *datagram, double t)
{
	double sent, steps;

	memcpy(&sent, datagram, sizeof(sent));
	steps = (t - sent) / DELAY_STEP;
	delays[steps < 0 ? 0 : steps < DELAYS ? (size_t)steps : DELAYS - 1]++;
}

/* In microseconds: so many, of all `received`, took no longer. */
static double delay_of(uint64_t received, double share)
{
	uint64_t sum = 0;
	size_t i = 0;

	while (i < DELAYS - 1 && (double)(sum += delays[i]) < share * (double)received)
		i++;
	return (double)(i + 1) * DELAY_STEP * 1e6;
}

static void command_sink(int argc, char **argv)
{
	double quiet = argc > 4 ? atof(argv[4]) : 0.3;
	static uint8_t buf[BATCH][2048];
	struct sockaddr_in any = address("0.0.0.0", (unsigned)atoi(argv[2]));
	struct timeval patience = {0, 100000};
	double end = now() + atof(argv[3]), first = 0, last = 0, t;
	int fd = socket_open(SOCK_DGRAM, 0), stamp = argc > 5 && !strcmp(argv[5], "stamp");
	uint64_t received = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)))
		die("bind");
	for (unsigned i = 0; i < BATCH; i++) {
		part[i] = (struct iovec){buf[i], sizeof(buf[i])};
		msg[i].msg_hdr = (struct msghdr){.msg_iov = &part[i], .msg_iovlen = 1};
	}
	while ((t = now()) < end) {
		int n = recvmmsg(fd, msg, BATCH, MSG_WAITFORONE, NULL);

		t = now();
		if (n > 0) {
			received += (uint64_t)n;
			for (int i = 0; stamp && i < n; i++)
				delay_note(buf[i], t);
			first = first > 0 ? first : t;
			last = t;
		} else if (first > 0 && t - last > quiet) {
			break;
		}
	}
	printf("received %llu seconds %.3f", (unsigned long long)received, last - first);
	if (stamp)
		printf(" median_us %.1f p99_us %.1f", delay_of(received, 0.5), delay_of(received, 0.99));
	putchar('\n');
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "send") && argc >= 7)
		command_send(argc, argv);
	else if (!strcmp(command, "sink") && argc >= 4 && argc <= 6)
		command_sink(argc, argv);
	else if (!strcmp(command, "turn") && argc == 8)
		command_turn(argv);
	else {
		fprintf(stderr, "usage: udpload send DST PORT SIZE SECONDS PPS [segment=N] [from=ADDR:PORT] [head=HEX] [single] "
				"[stamp]\n"
				"       udpload sink PORT SECONDS [QUIET [stamp]]\n"
				"       udpload turn SERVER PEER PORT SIZE SECONDS PPS\n");
		return 2;
	}
	return 0;
}
