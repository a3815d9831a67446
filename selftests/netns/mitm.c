/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * mitm - somebody on the way between two hosts who copies their UDP packets and sends the copies again as somebody else, at once
 * or later. handover_mitm.sh runs it in the core. It cannot open what it copies. IPv4; offloads must be off (NTM_OFFLOADS), since
 * several datagrams in one frame would be copied as one.
 *
 *	mitm DEV SRC DST [OPTION...]	copies what comes in by DEV from SRC to DST, addresses
 *
 *	as=ADDR:PORT[-PORT]	the copies' source; of a range of ports each copy has the next one (default: as it was)
 *	netns=PATH		the copies leave there: nearer to DST they may be there before the original
 *	delay=MS		so much later
 *	types=LOW-HIGH		only packets whose first byte is one of these, hexadecimal
 *
 * Prints "ready", and when it is told to end (TERM) "copied N bytes B", of UDP payload.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 2048 /* longer ones are let go by */
#define QUEUE_LEN 8192 /* copies that wait; more are not made */

struct copy {
	int64_t due_ns;
	size_t len;
	uint8_t *packet;
};

static struct {
	uint32_t src, dst, as; /* network byte order; as 0: as it was */
	unsigned port_low, port_high, port;
	unsigned type_low, type_high;
	int64_t delay_ns;
	int in, out;
	struct copy queue[QUEUE_LEN];
	unsigned head, count;
	uint64_t copied, bytes;
} mitm = { .type_high = 255 };

static volatile sig_atomic_t stopped;

static void stop(int signo)
{
	(void)signo;
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "mitm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t sum(const void *data, size_t len, uint32_t value)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i++)
		value += i & 1 ? byte[i] : (uint32_t)byte[i] << 8;
	return value;
}

/* The UDP checksum may not have been filled in when it was copied. The kernel fills in the IP header's. */
static void rewrite(uint8_t *packet)
{
	struct iphdr *ip = (struct iphdr *)packet;
	struct udphdr *udp = (struct udphdr *)(packet + ip->ihl * 4);
	uint32_t value;

	if (mitm.as) {
		ip->saddr = mitm.as;
		udp->source = htons((uint16_t)mitm.port);
		mitm.port = mitm.port >= mitm.port_high ? mitm.port_low : mitm.port + 1;
	}
	udp->check = 0;
	value = sum(udp, ntohs(udp->len), sum(&ip->saddr, 8, IPPROTO_UDP + ntohs(udp->len)));
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	udp->check = htons((uint16_t)(value == 0xffff ? value : ~value));
}

static void copy_send(const uint8_t *packet, size_t len)
{
	const struct iphdr *ip = (const struct iphdr *)packet;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = ip->daddr };

	if (sendto(mitm.out, packet, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return;
	mitm.copied++;
	mitm.bytes += len - ip->ihl * 4u - sizeof(struct udphdr);
}

/* The packet's length, or 0: it is none of those that are copied. */
static size_t wanted(const uint8_t *packet, size_t len)
{
	const struct iphdr *ip = (const struct iphdr *)packet;
	const struct udphdr *udp;
	size_t total;

	if (len < sizeof(*ip) || ip->version != 4 || ip->protocol != IPPROTO_UDP || ip->saddr != mitm.src ||
	    ip->daddr != mitm.dst)
		return 0;
	total = ntohs(ip->tot_len);
	udp = (const struct udphdr *)(packet + ip->ihl * 4);
	if (total > len || total < ip->ihl * 4 + sizeof(*udp) + 1u || ntohs(udp->len) != total - ip->ihl * 4u)
		return 0;
	if (packet[ip->ihl * 4 + sizeof(*udp)] < mitm.type_low || packet[ip->ihl * 4 + sizeof(*udp)] > mitm.type_high)
		return 0;
	return total;
}

static void take(void)
{
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	uint8_t packet[PACKET_MAX];
	struct copy *copy;
	ssize_t n = recvfrom(mitm.in, packet, sizeof(packet), MSG_TRUNC | MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
	size_t len;

	if (n <= 0 || (size_t)n > sizeof(packet) || from.sll_pkttype == PACKET_OUTGOING)
		return;
	len = wanted(packet, (size_t)n);
	if (!len)
		return;
	rewrite(packet);
	if (!mitm.delay_ns) {
		copy_send(packet, len);
		return;
	}
	if (mitm.count == QUEUE_LEN)
		return;
	copy = &mitm.queue[(mitm.head + mitm.count) % QUEUE_LEN];
	copy->packet = malloc(len);
	if (!copy->packet)
		return;
	memcpy(copy->packet, packet, len);
	copy->len = len;
	copy->due_ns = now_ns() + mitm.delay_ns;
	mitm.count++;
}

/* Sends what is due; how long there is nothing to do, ms (-1: for ever). */
static int queue_run(void)
{
	int64_t now = now_ns();

	while (mitm.count) {
		struct copy *copy = &mitm.queue[mitm.head];

		if (copy->due_ns > now)
			return (int)((copy->due_ns - now) / 1000000) + 1;
		copy_send(copy->packet, copy->len);
		free(copy->packet);
		mitm.head = (mitm.head + 1) % QUEUE_LEN;
		mitm.count--;
	}
	return -1;
}

static uint32_t address(const char *text)
{
	struct in_addr addr;

	if (inet_pton(AF_INET, text, &addr) != 1) {
		fprintf(stderr, "mitm: %s is no IPv4 address\n", text);
		exit(2);
	}
	return addr.s_addr;
}

static void option(char *text)
{
	char *colon;
	int fd;

	if (!strncmp(text, "as=", 3) && (colon = strchr(text, ':'))) {
		*colon = 0;
		mitm.as = address(text + 3);
		if (sscanf(colon + 1, "%u-%u", &mitm.port_low, &mitm.port_high) < 2)
			mitm.port_high = mitm.port_low;
		mitm.port = mitm.port_low;
	} else if (!strncmp(text, "netns=", 6)) {
		fd = open(text + 6, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWNET))
			die(text);
		close(fd);
	} else if (!strncmp(text, "delay=", 6)) {
		mitm.delay_ns = (int64_t)(atof(text + 6) * 1e6);
	} else if (strncmp(text, "types=", 6) || sscanf(text + 6, "%x-%x", &mitm.type_low, &mitm.type_high) != 2) {
		fprintf(stderr, "mitm: what is %s?\n", text);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_ll device = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	struct sigaction action = { .sa_handler = stop }; /* no SA_RESTART: poll ends */
	struct pollfd pollfd = { .events = POLLIN };
	int size = 8 << 20;

	if (argc < 4) {
		fprintf(stderr, "usage: mitm DEV SRC DST [as=ADDR:PORT[-PORT]] [netns=PATH] [delay=MS] [types=LOW-HIGH]\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	mitm.src = address(argv[2]);
	mitm.dst = address(argv[3]);
	device.sll_ifindex = (int)if_nametoindex(argv[1]);
	mitm.in = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
	if (!device.sll_ifindex || mitm.in < 0 || bind(mitm.in, (struct sockaddr *)&device, sizeof(device)))
		die(argv[1]);
	setsockopt(mitm.in, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	for (int i = 4; i < argc; i++)
		option(argv[i]);
	mitm.out = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (mitm.out < 0)
		die("a raw socket");
	pollfd.fd = mitm.in;
	puts("ready");
	while (!stopped) {
		int wait = queue_run();

		if (poll(&pollfd, 1, wait) > 0)
			take();
	}
	printf("copied %llu bytes %llu\n", (unsigned long long)mitm.copied, (unsigned long long)mitm.bytes);
	while (mitm.count) {
		free(mitm.queue[mitm.head].packet);
		mitm.head = (mitm.head + 1) % QUEUE_LEN;
		mitm.count--;
	}
	return 0;
}
