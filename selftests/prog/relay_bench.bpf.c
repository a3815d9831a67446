/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * relay_bench.bpf.c - the relay's program again and again on one frame, for selftests/bench/relay_prog.c: each run
 * of BPF_PROG_TEST_RUN finds the frame as the last one left it, so that its head is put back first, with the Path ID
 * of any of many paths. `again` does only that; what it takes is subtracted. `bare_again` is the least that a relay
 * has to do, and `redirect_again` a relay that does nothing.
 */
#include "bpf/xdp_relay.bpf.c"

#define HEAD 80 /* bytes put back: Ethernet, IPv6, UDP, NTM and a little more */
#define HEAD_WORDS (HEAD / 8)

__u64 head[HEAD_WORDS];
bool is4; /* that is an IPv4 packet */
__s32 shift; /* by how much the relay moved the start of the frame */
__u32 paths, hot; /* Path IDs: of all, or in hot_share of 256 packets of the first `hot` */
__u32 hot_share;
__u32 slots; /* entries of rs_state, for far_again */
__u64 sunk; /* frames that arrived at the far end */
__u32 out; /* interface index, for bare_again and redirect_again */
__u64 random_state = 88172645463325252ULL;

/* Also in relay_prog.c */
static __always_inline __u64 path_id(__u32 i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

/* xorshift64 */
static __always_inline __u64 random_next(void)
{
	__u64 x = random_state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	random_state = x;
	return x;
}

/*
 * Written field by field: what is loaded before its bytes have left the store buffer, and was not stored as one
 * there, would be waited for, which a packet from a device does not know.
 */
#define PUT(type, at) (*(type *)((void *)to + (at)) = *(const type *)((const __u8 *)head + (at)))

static __always_inline void put_eth(void *to)
{
	PUT(__u64, 0);
	PUT(__u32, 8);
	PUT(__u16, 12);
}

static __always_inline void put_ip4(void *to, __u64 id)
{
	put_eth(to);
	PUT(__u32, 14);
	PUT(__u32, 18);
	PUT(__u32, 22);
	PUT(__u32, 26);
	PUT(__u32, 30);
	PUT(__u64, 34);
	PUT(__u64, 42);
	*(__u64 *)(to + 50) = id;
}

static __always_inline void put_ip6(void *to, __u64 id)
{
	put_eth(to);
	PUT(__u32, 14);
	PUT(__u32, 18);
	PUT(__u64, 22);
	PUT(__u64, 30);
	PUT(__u64, 38);
	PUT(__u64, 46);
	PUT(__u64, 54);
	PUT(__u64, 62);
	*(__u64 *)(to + 70) = id;
}

/* first: the first of the paths; 0 */
static __always_inline int put_back(struct xdp_md *ctx, __u32 first)
{
	__u64 r = random_next(), *to, of = (r >> 56) < hot_share ? hot : paths, id;
	void *end;

	if (shift && bpf_xdp_adjust_head(ctx, shift))
		return -1;
	to = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)to + HEAD > end)
		return -1;
	id = bpf_cpu_to_be64(path_id(first + (__u32)((__u32)r * of >> 32)));
	if (is4)
		put_ip4(to, id);
	else
		put_ip6(to, id);
	return 0;
}

SEC("xdp")
int relay_again(struct xdp_md *ctx)
{
	return put_back(ctx, 0) ? XDP_ABORTED : relay(ctx, false);
}

/*
 * The same, but it waits for one place in the memory of all paths before it knows which of `paths` it is: what no relay
 * of so many can be spared.
 */
SEC("xdp")
int far_again(struct xdp_md *ctx)
{
	__u32 slot = (__u32)((__u32)(random_next() >> 16) * (__u64)slots >> 32);
	struct ntm_relay_state *state = bpf_map_lookup_elem(&rs_state, &slot);

	/* There is no rate: 0. */
	return !state || put_back(ctx, (__u32)state->rate) ? XDP_ABORTED : relay(ctx, false);
}

/* Leaves the frame where it would find it. */
SEC("xdp")
int again(struct xdp_md *ctx)
{
	int r = put_back(ctx, 0);

	shift = -shift;
	return r ? XDP_ABORTED : XDP_REDIRECT;
}

/* The packet is read, its path looked up, and it leaves as it came. */
SEC("xdp")
int bare_again(struct xdp_md *ctx)
{
	struct packet p;

	if (put_back(ctx, 0) || !packet_read(ctx, &p) || !bpf_map_lookup_elem(&rs_paths, &p.id))
		return XDP_ABORTED;
	shift = 0;
	return (int)bpf_redirect(out, 0);
}

SEC("xdp")
int redirect_again(struct xdp_md *ctx)
{
	return put_back(ctx, 0) ? XDP_ABORTED : (int)bpf_redirect(out, 0);
}

/* At the far end, where live frames arrive. */
SEC("xdp")
int sink(struct xdp_md *ctx)
{
	(void)ctx;
	sunk++;
	return XDP_DROP;
}
