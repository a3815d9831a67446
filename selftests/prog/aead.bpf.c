/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * aead.bpf.c - bpf/crypt.h alone: programs that seal and open the frame they are given, for test_aead.c and
 * selftests/bench/bpf.c, which say by variables what to do and read the result there.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "crypt.h"

char LICENSE[] SEC("license") = "GPL";

__u8 key[32] __attribute__((aligned(4)));
__u64 counter;
__u32 offset; /* of the text in the frame */
__u32 length; /* of the text to seal; of ciphertext and tag to open */
__u32 nonce[3]; /* the raw programs take all of it */
__u32 ad_length;
int result;
__u32 csum;
__u8 sealed[2048];

SEC("tc")
int seal(struct __sk_buff *skb)
{
	const struct crypt_ad *ad = (void *)(long)skb->data + ((offset - NTM_HEADER_LEN) & 0xff);

	if ((void *)(ad + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	result = crypt_seal_tc(skb, offset, length, &(struct crypt_ad){{ad->w[0], ad->w[1], ad->w[2], ad->w[3]}}, key, counter,
			       &csum);
	return TC_ACT_OK;
}

SEC("xdp")
int open(struct xdp_md *ctx)
{
	result = crypt_open_xdp(ctx, offset, length, key, counter);
	return XDP_PASS;
}

SEC("xdp")
int nothing(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* `sealed` into the frame */
static __always_inline void fill(struct xdp_md *ctx)
{
	__u32 len = length;

	barrier_var(len);
	bpf_xdp_store_bytes(ctx, offset, sealed, ((len - 1) & (sizeof(sealed) - 1)) + 1);
}

SEC("xdp")
int refill(struct xdp_md *ctx)
{
	fill(ctx);
	return XDP_PASS;
}

/* The same, and opens it: so that a repeated run finds something to open each time */
SEC("xdp")
int reopen(struct xdp_md *ctx)
{
	fill(ctx);
	result = crypt_open_xdp(ctx, offset, length, key, counter);
	return XDP_PASS;
}

/*
 * The frame as crypt_seal_buffer has it: associated data of any length, padded, the text, the tag; with any
 * nonce, and none of the limits of a packet. Both directions.
 */
static __always_inline int raw(struct xdp_md *ctx, bool sealing)
{
	struct ntm_crypt *c = crypt_scratch();
	__u32 len = ((ad_length + 15) & ~15U) + length + NTM_TAG_LEN;
	struct chacha20 s;

	if (!c || bpf_xdp_load_bytes(ctx, 0, c->b, crypt_bound(len)))
		return XDP_ABORTED;
	chacha20_init(&s, key, 0, nonce[0], nonce[1], nonce[2]);
	result = sealing ? crypt_seal_buffer(c, &s, ad_length, length)
			 : crypt_open_buffer(c, &s, ad_length, length);
	csum = c->sum;
	return bpf_xdp_store_bytes(ctx, 0, c->b, crypt_bound(len)) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int raw_seal(struct xdp_md *ctx)
{
	return raw(ctx, true);
}

SEC("xdp")
int raw_open(struct xdp_md *ctx)
{
	return raw(ctx, false);
}
