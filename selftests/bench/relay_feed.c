/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_feed.c - for group_relay.sh: more packets than sockets can send, made in the kernel, and XDP programs of a few
 * instructions around the relay that is measured. IPv4, one length, root.
 *
 *	relay_feed feed DEV SECONDS MAC FROM TO SIZE HEAD	Ethernet frames out of DEV to MAC: UDP from FROM to TO, both
 *							ADDR:PORT, SIZE bytes of payload that begin with HEAD (hex)
 *	relay_feed sink DEV SIZE		drops what has so many bytes of payload as it enters DEV; `ethtool -S` counts
 *	relay_feed redirect DEV TODEV SIZE generic|native	sends it out of TODEV as it is: a relay that does nothing
 *
 * The first prints "sent N seconds S", by XDP's live frames (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18). The others print
 * "ready" and stay attached until they are ended.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))
#define FRAME_MAX 1514
#define REPEAT 32768 /* frames in one system call */
#define BATCH 64
#define WRITTEN 106 /* bytes of each frame: headers, and as much of the payload as is compared */

static void die(const char *what)
{
	fprintf(stderr, "relay_feed: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned device(const char *name)
{
	unsigned index = if_nametoindex(name);

	if (!index)
		die(name);
	return index;
}

static size_t size_of(const char *text)
{
	long size = atol(text);

	errno = EINVAL;
	if (size < 0 || (size_t)size > FRAME_MAX - HEADERS)
		die(text);
	return (size_t)size;
}

/* ---- programs: instructions as the kernel takes them */

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define LOAD32(d, s, o) INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define SET(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static int program_load(const struct bpf_insn *insn, size_t count)
{
	static char log[16384];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .log_level = 0);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "relay_feed", "GPL", insn, count, &opts);

	if (fd < 0)
		die("program");
	return fd;
}

/* What has the measured length: dropped, or sent out of `to`; the rest passes. */
static int sized_load(size_t size, unsigned to)
{
	const struct bpf_insn insn[] = {
		LOAD32(2, 1, offsetof(struct xdp_md, data_end)),
		LOAD32(3, 1, offsetof(struct xdp_md, data)),
		INSN(BPF_ALU64 | BPF_SUB | BPF_X, 2, 3, 0, 0),
		SET(0, XDP_PASS),
		INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 4, (int32_t)(HEADERS + size)),
		SET(0, XDP_DROP),
		SET(1, (int32_t)to),
		SET(2, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect),
		EXIT,
	};
	const struct bpf_insn drop[] = {insn[0], insn[1], insn[2], insn[3],
					INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 1, (int32_t)(HEADERS + size)), insn[5], EXIT};

	return to ? program_load(insn, sizeof(insn) / sizeof(insn[0])) : program_load(drop, sizeof(drop) / sizeof(drop[0]));
}

static void stay_attached(int program, unsigned index, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);

	if (bpf_link_create(program, (int)index, BPF_XDP, &opts) < 0)
		die("attach");
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}

/* ---- frames */

static uint32_t sum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t s = 0;

	for (size_t i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return s;
}

static uint16_t folded(uint32_t s)
{
	s = (s >> 16) + (s & 0xffff);
	s = (s >> 16) + (s & 0xffff);
	return htons((uint16_t)~s);
}

static void endpoint(char *text, uint32_t *addr, uint16_t *port)
{
	char *colon = strrchr(text, ':');

	errno = EINVAL;
	if (!colon)
		die(text);
	*colon = 0;
	*port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, text, addr) != 1)
		die(text);
}

static size_t frame_make(uint8_t *frame, const char *mac, char *from, char *to, size_t size, const char *head)
{
	struct ethhdr eth = {.h_proto = htons(ETH_P_IP)};
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
	struct udphdr udp = {.len = htons((uint16_t)(sizeof(udp) + size))};
	uint8_t *payload = frame + HEADERS, *d = eth.h_dest;
	size_t at = 0;

	errno = EINVAL;
	if (sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", d, d + 1, d + 2, d + 3, d + 4, d + 5) != 6)
		die(mac);
	eth.h_source[0] = 2;
	for (; head[0] && head[1] && at < size; head += 2, at++) {
		if (sscanf(head, "%2hhx", &payload[at]) != 1)
			die("HEAD");
	}
	endpoint(from, &ip.saddr, &udp.source);
	endpoint(to, &ip.daddr, &udp.dest);
	ip.tot_len = htons((uint16_t)(sizeof(ip) + sizeof(udp) + size));
	ip.check = folded(sum(&ip, sizeof(ip)));
	udp.check = folded(sum(&ip.saddr, 8) + IPPROTO_UDP + (uint32_t)(sizeof(udp) + size) + sum(&udp, sizeof(udp)) +
			   sum(payload, size));
	memcpy(frame, &eth, sizeof(eth));
	memcpy(frame + sizeof(eth), &ip, sizeof(ip));
	memcpy(frame + sizeof(eth) + sizeof(ip), &udp, sizeof(udp));
	return HEADERS + size;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Buffers come back as the relay left them: the program writes their beginning anew, and sends them. */
static int feeder_load(const uint8_t *frame, size_t len)
{
	size_t written = (len < WRITTEN ? len : WRITTEN) & ~(size_t)1, n = 0;
	struct bpf_insn insn[WRITTEN / 2 + 8];

	insn[n++] = LOAD32(2, 1, offsetof(struct xdp_md, data));
	insn[n++] = LOAD32(3, 1, offsetof(struct xdp_md, data_end));
	insn[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0);
	insn[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, (int32_t)written);
	insn[n++] = SET(0, XDP_ABORTED);
	insn[n] = INSN(BPF_JMP | BPF_JGT | BPF_X, 4, 3, (int16_t)((written + 3) / 4 + 1), 0);
	n++;
	for (size_t at = 0; at < written; at += 4) {
		bool half = written - at < 4;
		int32_t word = 0;

		memcpy(&word, frame + at, half ? 2 : 4);
		insn[n++] = INSN(BPF_ST | BPF_MEM | (half ? BPF_H : BPF_W), 2, 0, (int16_t)at, word);
	}
	insn[n++] = SET(0, XDP_TX);
	insn[n++] = EXIT;
	return program_load(insn, n);
}

static void feed(char **argv)
{
	static uint8_t frame[FRAME_MAX];
	size_t len = frame_make(frame, argv[4], argv[5], argv[6], size_of(argv[7]), argv[8]);
	struct xdp_md ctx = {.data_end = (uint32_t)len, .ingress_ifindex = device(argv[2])};
	int program = feeder_load(frame, len);
	double start = now(), end = start + atof(argv[3]), t;
	uint64_t sent = 0;

	while ((t = now()) < end) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .ctx_in = &ctx,
			    .ctx_size_in = sizeof(ctx), .repeat = REPEAT, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
			    .batch_size = BATCH);

		if (bpf_prog_test_run_opts(program, &opts))
			die("live frames");
		sent += REPEAT;
	}
	printf("sent %llu seconds %.3f\n", (unsigned long long)sent, t - start);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "feed") && argc == 9) {
		feed(argv);
	} else if (!strcmp(command, "sink") && argc == 4) {
		stay_attached(sized_load(size_of(argv[3]), 0), device(argv[2]), XDP_FLAGS_DRV_MODE);
	} else if (!strcmp(command, "redirect") && argc == 6) {
		stay_attached(sized_load(size_of(argv[4]), device(argv[3])), device(argv[2]),
			      strcmp(argv[5], "native") ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	} else {
		fprintf(stderr, "usage: relay_feed feed DEV SECONDS MAC FROM TO SIZE HEAD\n"
				"       relay_feed sink DEV SIZE\n"
				"       relay_feed redirect DEV TODEV SIZE generic|native\n");
		return 2;
	}
	return 0;
}
