/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_fuzz.h - frames changed at random, for test_relay.c. Whatever they are, they go up as they came, are
 * dropped, or leave whole for a bound endpoint.
 */
#ifndef NTM_PROG_RELAY_FUZZ_H
#define NTM_PROG_RELAY_FUZZ_H

#include "relay_fixture.h"

#define FUZZ_FRAMES 20000

static bool is_remote(const struct ntm_relay_path *path, const uint8_t *addr, bool is4, uint16_t port)
{
	for (int side = 0; side < 2; side++) {
		const struct ntm_endpoint *remote = &path->leg[side].remote;

		if (remote->port == port && ntm_endpoint_is4(remote) == is4 &&
		    !memcmp(frame_addr(remote), addr, is4 ? 4 : 16))
			return true;
	}
	return false;
}

/* An error about a packet, not the packet. */
static bool is_icmp(const uint8_t *b)
{
	size_t ip = ETH_LEN + (frame_get16(b + 12) == 0x8100 ? 4 : 0);

	return (frame_get16(b + ip - 2) == 0x0800 ? b[ip + 9] : b[ip + 6]) != IPPROTO_UDP;
}

/* Whether what left is a whole packet from one of our endpoints to a bound one, or an ICMP error to one. */
static bool left_well(const struct world_run *run)
{
	const uint8_t *b = run->out;
	size_t ip = ETH_LEN + (frame_get16(b + 12) == 0x8100 ? 4 : 0), at;
	bool is4 = frame_get16(b + ip - 2) == 0x0800, icmp = is_icmp(b);
	const uint8_t *addr = b + ip + (is4 ? 16 : 24);

	at = ip + (is4 ? IP4_LEN : IP6_LEN);
	for (enum path i = 0; i < PATHS; i++) {
		struct ntm_relay_path path = path_make(i).entry;

		if (icmp ? is_remote(&path, addr, is4, path.leg[0].remote.port) ||
				   is_remote(&path, addr, is4, path.leg[1].remote.port) :
			   is_remote(&path, addr, is4, frame_get16(b + at + 2)))
			return true;
	}
	return false;
}

/* Of an untagged frame that was passed on. */
static bool looks_partial(const uint8_t *b)
{
	bool is4 = frame_get16(b + 12) == 0x0800;
	const uint8_t *ip = b + ETH_LEN, *udp = ip + (is4 ? IP4_LEN : IP6_LEN);
	uint32_t pseudo = is4 ? frame_pseudo(ip + 12, ip + 16, true, IPPROTO_UDP, frame_get16(udp + 4)) :
				frame_pseudo(ip + 8, ip + 24, false, IPPROTO_UDP, frame_get16(udp + 4));

	return frame_get16(udp + 6) == pseudo;
}

/* A wrong checksum must not be made right on the way, nor a right one wrong; an unfinished one is finished. */
static bool checks_kept(const struct frame *in, const struct world_run *run, int mode)
{
	bool holds = frame_checks_hold(run->out, run->len);

	if (is_icmp(run->out))
		return holds;
	if (looks_partial(in->b))
		return mode == NATIVE ? holds : true;
	return holds == frame_checks_hold(in->b, in->len);
}

static void fuzz_mutate(struct frame *f)
{
	size_t headers = f->ntm + NTM_HEADER_LEN;

	for (long n = random() % 4; n > 0; n--) {
		/* Mostly in the headers, and there mostly by single bits. */
		size_t at = (size_t)random() % (random() % 4 ? headers : f->len);

		f->b[at] ^= (uint8_t)(random() % 2 ? 1 << random() % 8 : random() % 256);
	}
	if (random() % 2 && frame_get16(f->b + f->ip - 2) == 0x0800)
		frame_ip4_fix(f);
	if (random() % 8 == 0)
		f->len = ETH_LEN + (size_t)random() % (f->len - ETH_LEN + 1);
}

static void fuzz_describe(struct frame *f)
{
	f->payload = (size_t)(random() % 8 ? random() % 200 : random() % 1420);
	f->check = random() % 8 ? CHECK_FULL : random() % 2 ? CHECK_ZERO : CHECK_PARTIAL;
	f->vlan = (uint16_t)(random() % 4 ? 0 : random() % 4096);
	f->outer_vlan = (uint16_t)(f->vlan && random() % 2 ? 1 + random() % 4095 : 0);
	f->ttl = (uint8_t)(random() % 8 ? 64 : random() % 256);
	f->payload_end = (uint16_t)random();
}

static bool fuzz_one(unsigned verdicts[8])
{
	static const uint8_t types[] = {DATA0, DATA1, NTM_TYPE_PATH, NTM_TYPE_TUNNEL_REQUEST, NTM_TYPE_COOKIE};
	enum path path = (enum path)(random() % PATHS);
	int side = (int)(random() % 2), mode = random() % 2 ? NATIVE : GENERIC;
	const char *from = path_ends[path].remote[side];
	struct fixture fixture = {.path = path,
				  .type = random() % 2 ? (side ? DATA1 : DATA0) : types[random() % sizeof(types)],
				  .from = from ? from : MOVED_TO,
				  .describe = fuzz_describe,
				  .change = fuzz_mutate};
	struct world_run run;
	struct frame in;

	frame_in(&fixture, &in);
	if (in.len < ETH_LEN)
		return true;
	if (world_run(&world, prog_of(mode), in.b, in.len, &run)) {
		printf("# cannot run on %zu bytes: %s\n", in.len, strerror(errno));
		return false;
	}
	verdicts[run.verdict & 7]++;
	if (run.verdict == XDP_PASS)
		return out_is(&run, in.b, in.len);
	if (run.verdict == XDP_DROP)
		return true;
	if (run.verdict != XDP_TX && run.verdict != XDP_REDIRECT)
		return false;
	/* The checks below look for no tags. */
	while (frame_get16(in.b + 12) == 0x8100 || frame_get16(in.b + 12) == 0x88a8) {
		memmove(in.b + 12, in.b + 16, in.len - 16);
		in.len -= 4;
	}
	if (left_well(&run) && checks_kept(&in, &run, mode))
		return true;
	printf("# path %d side %d mode %d verdict %u\n", path, side, mode, run.verdict);
	dump("went in", in.b, in.len);
	dump("came out", run.out, run.len);
	return false;
}

static void test_fuzz(void)
{
	unsigned verdicts[8] = {0};
	bool holds = true;

	srandom(20140624);
	for (int i = 0; i < FUZZ_FRAMES && holds; i++)
		holds = fuzz_one(verdicts);
	printf("# dropped %u, up %u, sent back %u, redirected %u\n", verdicts[XDP_DROP], verdicts[XDP_PASS],
	       verdicts[XDP_TX], verdicts[XDP_REDIRECT]);
	check(holds, "frames changed at random: up as they came, dropped, or to a bound endpoint as they were");
	check(verdicts[XDP_DROP] > FUZZ_FRAMES / 50 && verdicts[XDP_PASS] > FUZZ_FRAMES / 50 &&
		      verdicts[XDP_TX] > FUZZ_FRAMES / 50 && verdicts[XDP_REDIRECT] > FUZZ_FRAMES / 50,
	      "each of it often enough");
}

#endif
