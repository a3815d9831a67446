/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * crypt.h - seals and opens packets of the inline lane: ChaCha20-Poly1305 (RFC 8439, section 2.8), as
 * lib/aead.h does in user space. tc_seal.bpf.c: path.h -> crypt.h -> encap.h; xdp_ingress.bpf.c: replay.h ->
 * crypt.h -> decap.h. The cipher's two halves are in chacha20.h and poly1305.h.
 *
 * Packets are copied into a buffer of the CPU, worked on there and copied back: without direct access's
 * checks in every step, and a packet that does not authenticate stays as it was. Nothing else runs on the CPU
 * between (bottom halves are off in XDP and tc); a sleepable program must not use the buffer. It holds
 * packets, and a packet's one-time key for the time of the call; the key itself is on the stack only.
 *
 * What takes long are global functions, which the verifier looks at once a program, however many ways lead
 * there. On its way stand: 512 bytes of stack over all frames; a length is only known if it is compared or
 * masked right before use; 6.1 does not learn a minimum from `if (!len)`.
 */
#ifndef NTM_BPF_CRYPT_H
#define NTM_BPF_CRYPT_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include <ntm/drop.h>
#include <ntm/header.h>

#include "chacha20.h"
#include "poly1305.h"

#define CRYPT_LEN_MAX 1500 /* longest text: bytes */
#define CRYPT_AD_MAX 528 /* longest associated data, of use to the test vectors only: bytes */
#define CRYPT_BLOCKS_MAX 96 /* of 16 bytes: data, text and lengths; as many as the longest packet has */
#define CRYPT_BUFFER 2048 /* bytes; a power of two */
#define CRYPT_SHORT 320 /* longest one that is copied without the kernel: bytes */
#define CRYPT_SHORT_OFFSET 128 /* if it begins before this: bytes; a power of two */
#define CRYPT_ONCE (CRYPT_BUFFER + CHACHA20_BLOCK) /* see below */

/*
 * The buffer: associated data, padded with zeros to a multiple of 16 | text | tag, and while that is made
 * instead: padding to a multiple of 16 | lengths of both, 8 bytes each. At CRYPT_ONCE, zero between packets:
 * the first two blocks of keystream, which are the one-time key and what is added to the first 64 bytes of
 * text.
 */
struct ntm_crypt {
	__u8 b[CRYPT_ONCE +
	       2 * CHACHA20_BLOCK]; /* a text may end in CRYPT_BUFFER, its block of cipher behind */
	__u32 tag[4]; /* as computed */
	__u32 pad;
	__u32 sum; /* ones' complement, of associated data, sealed text and tag */
};
_Static_assert(CRYPT_AD_MAX + CRYPT_LEN_MAX + 4 + 16 <= CRYPT_BUFFER,
	       "what the verifier knows of lengths fits");
_Static_assert(NTM_HEADER_LEN / 16 + (CRYPT_LEN_MAX + 15) / 16 < CRYPT_BLOCKS_MAX, "the longest packet fits");

/* 0 -> the CPU's buffer */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ntm_crypt);
} ntm_scratch SEC(".maps") __weak;

/* The associated data of a packet: its NTM header, in network order. */
struct crypt_ad {
	__u32 w[NTM_HEADER_LEN / 4];
} __attribute__((may_alias));

static __always_inline bool crypt_fits(__u64 ad_len, __u64 len)
{
	return ad_len <= CRYPT_AD_MAX && len <= CRYPT_LEN_MAX &&
	       (ad_len + 15) / 16 + (len + 15) / 16 < CRYPT_BLOCKS_MAX;
}

/* Adds a block of keystream to 64 bytes of the buffer. 0. */
__weak __attribute__((noinline)) int crypt_chacha20(struct ntm_crypt *c, struct chacha20 *s, __u64 offset)
{
	if (!c || !s || offset > CRYPT_BUFFER)
		return -NTM_DROP_LONG;
	chacha20_block(s, (struct chacha20_word *)(c->b + offset));
	return 0;
}

/* Adds two blocks, to 64 bytes each. 0. */
__weak __attribute__((noinline)) int crypt_chacha20_two(struct ntm_crypt *c, struct chacha20 *s, __u64 first,
							__u64 second)
{
	if (!c || !s || first > CRYPT_ONCE || second > CRYPT_ONCE + CHACHA20_BLOCK)
		return -NTM_DROP_LONG;
	chacha20_pair(s, (struct chacha20_word *)(c->b + first), (struct chacha20_word *)(c->b + second));
	return 0;
}

/* Tag and sum of the first `blocks` of the buffer, with the one-time key. 0. */
__weak __attribute__((noinline)) int crypt_poly1305(struct ntm_crypt *c, __u64 blocks)
{
	struct poly1305_word *key;
	struct poly1305 p;
	__u64 end = blocks * POLY1305_BLOCK;

	if (!c || blocks > CRYPT_BLOCKS_MAX)
		return -NTM_DROP_LONG;
	key = (struct poly1305_word *)(c->b + CRYPT_ONCE);
	poly1305_init(&p, key);
	for (__u64 at = 0; at < CRYPT_BLOCKS_MAX * POLY1305_BLOCK && at < end; at += POLY1305_BLOCK)
		poly1305_block(&p, (const struct poly1305_word *)(c->b + at));
	poly1305_tag(&p, key + 4, c->tag);
	p.sum = (__u32)p.sum + (p.sum >> 32);
	c->sum = (__u32)p.sum + (__u32)(p.sum >> 32);
	return 0;
}

/*
 * What lies at an offset in CRYPT_BUFFER. The mask tells the verifier so, and changes nothing: 6.1 forgets
 * what a comparison told of a number that also lies on the stack.
 */
static __always_inline struct poly1305_word *crypt_words(struct ntm_crypt *c, __u64 offset)
{
	barrier_var(offset);
	return (struct poly1305_word *)(c->b + (offset & (CRYPT_BUFFER - 1)));
}

/* The tag of what is in the buffer, into c->tag; behind the text there are padding and lengths then. */
static __always_inline void crypt_authenticate(struct ntm_crypt *c, __u64 ad_len, __u64 text, __u64 len)
{
	struct poly1305_word *end = crypt_words(c, text + len);
	struct poly1305_word *lengths = crypt_words(c, text + ((len + 15) & ~15ULL));

	end[0].v = end[1].v = end[2].v = end[3].v = 0;
	lengths[0].v = (__u32)ad_len;
	lengths[2].v = (__u32)len;
	lengths[1].v = lengths[3].v = 0;
	crypt_poly1305(c, (text + ((len + 15) & ~15ULL)) / POLY1305_BLOCK + 1);
}

/* Adds to the text's first block what was made with the one-time key. */
static __always_inline void crypt_first(struct ntm_crypt *c, __u64 text)
{
	struct poly1305_word *first = crypt_words(c, text);
	const struct poly1305_word *stream = (const void *)(c->b + CRYPT_ONCE + CHACHA20_BLOCK);

#pragma unroll
	for (int i = 0; i < 16; i++)
		first[i].v ^= stream[i].v;
}

/* Adds the keystream to the text behind its first block. */
static __always_inline void crypt_text(struct ntm_crypt *c, struct chacha20 *s, __u64 text, __u64 len)
{
	__u64 at;

	for (at = CHACHA20_BLOCK; at < CRYPT_LEN_MAX && at + CHACHA20_BLOCK < len; at += 2 * CHACHA20_BLOCK)
		crypt_chacha20_two(c, s, text + at, text + at + CHACHA20_BLOCK);
	if (at < len)
		crypt_chacha20(c, s, text + at);
}

static __always_inline void crypt_wipe_once(struct ntm_crypt *c)
{
	__u64 *once = (__u64 *)(c->b + CRYPT_ONCE);

#pragma unroll
	for (int i = 0; i < 2 * CHACHA20_BLOCK / 8; i++)
		once[i] = 0;
}

/*
 * Seals the text in the buffer, writes the tag behind it and c->sum. s: from chacha20_init with block 0.
 * -NTM_DROP_LONG, or 0.
 */
static __always_inline int crypt_seal_buffer(struct ntm_crypt *c, struct chacha20 *s, __u64 ad_len, __u64 len)
{
	struct poly1305_word *tag;
	__u64 text, sum = 0;

	if (!c || !s || !crypt_fits(ad_len, len))
		return -NTM_DROP_LONG;
	text = (ad_len + 15) & ~15ULL;
	crypt_chacha20_two(c, s, CRYPT_ONCE, text);
	crypt_text(c, s, text, len);
	crypt_authenticate(c, ad_len, text, len);
	crypt_wipe_once(c);
	tag = crypt_words(c, text + len);
#pragma unroll
	for (int i = 0; i < 4; i++) {
		tag[i].v = c->tag[i];
		sum += c->tag[i];
	}
	/* the tag takes the lengths' place, and at an odd offset its bytes are the other halves of words */
	sum = (__u32)sum + (sum >> 32);
	if (len & 1)
		sum <<= 8;
	sum += (__u64)c->sum + (__u32)~ad_len + (__u32)~len;
	sum = (__u32)sum + (sum >> 32);
	c->sum = (__u32)sum + (__u32)(sum >> 32);
	return 0;
}

/*
 * Opens the text in the buffer, if the tag behind it is right: len is that of the text, without. s: from
 * chacha20_init with block 0. -NTM_DROP_LONG, -NTM_DROP_AUTH with the text as it was, or 0.
 */
static __always_inline int crypt_open_buffer(struct ntm_crypt *c, struct chacha20 *s, __u64 ad_len, __u64 len)
{
	struct poly1305_word *tag;
	__u32 given[4], wrong = 0;
	__u64 text;

	if (!c || !s || !crypt_fits(ad_len, len))
		return -NTM_DROP_LONG;
	text = (ad_len + 15) & ~15ULL;
	tag = crypt_words(c, text + len);
#pragma unroll
	for (int i = 0; i < 4; i++)
		given[i] = tag[i].v;
	crypt_chacha20_two(c, s, CRYPT_ONCE, CRYPT_ONCE + CHACHA20_BLOCK);
	crypt_authenticate(c, ad_len, text, len);
#pragma unroll
	for (int i = 0; i < 4; i++) {
		wrong |= given[i] ^ c->tag[i];
		barrier_var(wrong); /* all words are compared, wherever they differ */
	}
	if (!wrong) {
		crypt_first(c, text);
		crypt_text(c, s, text, len);
	}
	crypt_wipe_once(c);
	return wrong ? -NTM_DROP_AUTH : 0;
}

static __always_inline struct ntm_crypt *crypt_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ntm_scratch, &zero);
}

/* Of 1 to CRYPT_BUFFER bytes, as the verifier sees it too. */
static __always_inline __u32 crypt_bound(__u32 len)
{
	barrier_var(len);
	return ((len - 1) & (CRYPT_BUFFER - 1)) + 1;
}

/* 16 bytes as they lie in memory */
struct crypt_chunk {
	__u64 v[2];
} __attribute__((may_alias));

static __always_inline void crypt_copy_chunk(struct crypt_chunk *packet, struct crypt_chunk *buffer,
					     bool back)
{
	if (back)
		*packet = *buffer;
	else
		*buffer = *packet;
}

/*
 * From a packet into the buffer, or back. A short one is copied here: asking the kernel takes 20 to 30 ns
 * where it guards each return against speculation (AMD's Safe RET: 10 ns a call), as long as 300 bytes here.
 * packet: `offset` bytes from `data`; the last 16 bytes of `len` overlap those before. 0, or -NTM_DROP_SHORT
 * and nothing was copied.
 */
static __always_inline int crypt_copy(void *data, const void *end, __u32 offset, void *buffer, __u32 len,
				      bool back)
{
	struct crypt_chunk *packet = data + offset, *at = buffer, *last;
	__u64 before_last = len - sizeof(*at), left = len - 1;

	barrier_var(before_last);
	before_last &= CRYPT_BUFFER / 4 - 1;
	last = (void *)packet + before_last;
	if ((void *)(last + 1) > end)
		return -NTM_DROP_SHORT;
	barrier_var(left);
	left &= CRYPT_BUFFER / 4 - 1;
#pragma clang loop unroll(disable)
	for (; left >= sizeof(*at); left -= sizeof(*at)) {
		if ((void *)(packet + 1) > end)
			return -NTM_DROP_SHORT;
		crypt_copy_chunk(packet++, at++, back);
	}
	crypt_copy_chunk(last, buffer + before_last, back);
	return 0;
}

static __always_inline bool crypt_is_short(__u32 offset, __u32 len)
{
	return offset < CRYPT_SHORT_OFFSET && len >= sizeof(struct crypt_chunk) && len <= CRYPT_SHORT;
}

/* As the verifier sees it too. */
static __always_inline __u32 crypt_short_offset(__u32 offset)
{
	barrier_var(offset);
	return offset & (CRYPT_SHORT_OFFSET - 1);
}

/* `len` bytes at `offset` of the frame into the buffer, and back. 0 or -NTM_DROP_SHORT */
static __always_inline int crypt_load_xdp(struct xdp_md *ctx, __u32 offset, __u8 *buffer, __u32 len)
{
	if (crypt_is_short(offset, len))
		return crypt_copy((void *)(long)ctx->data, (void *)(long)ctx->data_end,
				  crypt_short_offset(offset), buffer, len, false);
	return bpf_xdp_load_bytes(ctx, offset, buffer, crypt_bound(len)) ? -NTM_DROP_SHORT : 0;
}

static __always_inline int crypt_store_xdp(struct xdp_md *ctx, __u32 offset, __u8 *buffer, __u32 len)
{
	if (crypt_is_short(offset, len))
		return crypt_copy((void *)(long)ctx->data, (void *)(long)ctx->data_end,
				  crypt_short_offset(offset), buffer, len, true);
	return bpf_xdp_store_bytes(ctx, offset, buffer, crypt_bound(len)) ? -NTM_DROP_SHORT : 0;
}

static __always_inline int crypt_load_tc(struct __sk_buff *skb, __u32 offset, __u8 *buffer, __u32 len)
{
	if (crypt_is_short(offset, len))
		return crypt_copy((void *)(long)skb->data, (void *)(long)skb->data_end,
				  crypt_short_offset(offset), buffer, len, false);
	return bpf_skb_load_bytes(skb, offset, buffer, crypt_bound(len)) ? -NTM_DROP_SHORT : 0;
}

static __always_inline int crypt_store_tc(struct __sk_buff *skb, __u32 offset, __u8 *buffer, __u32 len)
{
	if (crypt_is_short(offset, len))
		return crypt_copy((void *)(long)skb->data, (void *)(long)skb->data_end,
				  crypt_short_offset(offset), buffer, len, true);
	return bpf_skb_store_bytes(skb, offset, buffer, crypt_bound(len), 0) ? -NTM_DROP_SHORT : 0;
}

static __always_inline void crypt_nonce(struct chacha20 *s, const __u8 key[32], __u64 counter)
{
	chacha20_init(s, key, 0, 0, (__u32)counter, (__u32)(counter >> 32));
}

/* crypt_open_xdp's part that the verifier looks at once. s: with nonce and block 0 */
__weak __attribute__((noinline)) int crypt_open_frame(struct xdp_md *ctx, struct ntm_crypt *c,
						      struct chacha20 *s, __u32 offset, __u32 len)
{
	int err;

	if (!c || !s || len < NTM_TAG_LEN || offset < NTM_HEADER_LEN)
		return -NTM_DROP_SHORT;
	if (len > CRYPT_LEN_MAX + NTM_TAG_LEN)
		return -NTM_DROP_LONG;
	if (crypt_load_xdp(ctx, offset - NTM_HEADER_LEN, c->b, NTM_HEADER_LEN + len))
		return -NTM_DROP_SHORT;
	len -= NTM_TAG_LEN;
	err = crypt_open_buffer(c, s, NTM_HEADER_LEN, len);
	if (err)
		return err;
	if (len && crypt_store_xdp(ctx, offset, c->b + NTM_HEADER_LEN, len))
		return -NTM_DROP_SHORT;
	return len;
}

/*
 * Opens a packet in place. offset: of the ciphertext in the frame, the 16 bytes before it are the associated
 * data; len: of ciphertext and tag; key: aligned to 4 bytes, in a map value or on the stack. Returns the
 * length of the plaintext, -NTM_DROP_SHORT (also if the frame is shorter), -NTM_DROP_LONG or -NTM_DROP_AUTH;
 * then the frame is unchanged. Pointers into the frame stay valid.
 */
static __always_inline int crypt_open_xdp(struct xdp_md *ctx, __u32 offset, __u32 len, const __u8 key[32],
					  __u64 counter)
{
	struct chacha20 s;

	crypt_nonce(&s, key, counter);
	return crypt_open_frame(ctx, crypt_scratch(), &s, offset, len);
}

/* crypt_seal_tc's part that the verifier looks at once. The buffer begins with the header already. 0 or
 * -NTM_DROP_* */
__weak __attribute__((noinline)) int crypt_seal_frame(struct __sk_buff *skb, struct ntm_crypt *c,
						      struct chacha20 *s, __u32 offset, __u32 len)
{
	if (!c || !s || offset < NTM_HEADER_LEN)
		return -NTM_DROP_SHORT;
	if (len > CRYPT_LEN_MAX)
		return -NTM_DROP_LONG;
	if (len && crypt_load_tc(skb, offset, c->b + NTM_HEADER_LEN, len))
		return -NTM_DROP_SHORT;
	if (crypt_seal_buffer(c, s, NTM_HEADER_LEN, len))
		return -NTM_DROP_LONG;
	return crypt_store_tc(skb, offset - NTM_HEADER_LEN, c->b, NTM_HEADER_LEN + len + NTM_TAG_LEN);
}

/*
 * Seals a packet. offset: of the text in the packet, as bpf_skb_load_bytes counts; len: of the text, behind
 * which there is room for the tag of 16 bytes; ad: what is written into the 16 bytes before it, the
 * associated data; key: as above. Returns 0 and the sum of all three for the outer checksum (as of
 * bpf_csum_diff, as if they began at an even offset), -NTM_DROP_SHORT (also if the packet is shorter) or
 * -NTM_DROP_LONG. Pointers into the packet are invalid afterwards.
 */
static __always_inline int crypt_seal_tc(struct __sk_buff *skb, __u32 offset, __u32 len,
					 const struct crypt_ad *ad, const __u8 key[32], __u64 counter,
					 __wsum *ret_csum)
{
	struct ntm_crypt *c = crypt_scratch();
	struct chacha20 s;
	int err;

	if (!c)
		return -NTM_DROP_SHORT;
	*(struct crypt_ad *)c->b = *ad;
	crypt_nonce(&s, key, counter);
	err = crypt_seal_frame(skb, c, &s, offset, len);
	if (!err)
		*ret_csum = c->sum;
	return err;
}

#endif
