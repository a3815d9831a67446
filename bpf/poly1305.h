/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * poly1305.h - the Poly1305 authenticator (RFC 8439, section 2.5) over whole blocks of 16 bytes, and their
 * checksum on the way, since each word is in a register then. For crypt.h.
 *
 * Numbers are held in words of 32 bits, because BPF multiplies into 64: the number is the sum of h[i] << 32 *
 * i. The clamped r has 28 bits in each word, the lowest two of r[1..3] zero; as 2^130 = 5, a product that
 * goes beyond 2^128 comes back with r[i] * 5 / 4, which is whole. There is room for two or three carries in
 * every h[i], so that the message is added without passing them on: with h[0] < 3.25 * 2^32 and the others
 * < 2^33, sums of products stay < 2^63.5.
 */
#ifndef NTM_BPF_POLY1305_H
#define NTM_BPF_POLY1305_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define POLY1305_BLOCK 16 /* bytes */

struct poly1305_word {
	__u32 v;
} __attribute__((may_alias));

struct poly1305 {
	__u64 h0, h1, h2, h3, h4;
	__u64 r0, r1, r2, r3; /* clamped */
	__u64 s1, s2, s3; /* 5/4 of r1 to r3 */
	__u64 sum; /* of the message's 32-bit words */
};

/* key: the first 16 bytes of the one-time key */
static __always_inline void poly1305_init(struct poly1305 *p, const struct poly1305_word *key)
{
	p->h0 = p->h1 = p->h2 = p->h3 = p->h4 = p->sum = 0;
	p->r0 = key[0].v & 0x0fffffff;
	p->r1 = key[1].v & 0x0ffffffc;
	p->r2 = key[2].v & 0x0ffffffc;
	p->r3 = key[3].v & 0x0ffffffc;
	p->s1 = p->r1 + (p->r1 >> 2);
	p->s2 = p->r2 + (p->r2 >> 2);
	p->s3 = p->r3 + (p->r3 >> 2);
}

/* The low word of v, by a move of 32 bits, which clears the high one: compilers shift to and fro. */
static __always_inline __u64 poly1305_low(__u64 v)
{
	__u32 low = (__u32)v;

	asm("%0 = %0" : "+w"(low));
	return low;
}

/* h = (h + m + 2^128) * r for one block m */
static __always_inline void poly1305_block(struct poly1305 *p, const struct poly1305_word *m)
{
	__u64 d0, d1, d2, d3, m0 = m[0].v, m1 = m[1].v, m2 = m[2].v, m3 = m[3].v;

	p->sum += m0 + m1 + m2 + m3;
	p->h0 += m0;
	p->h1 += m1;
	p->h2 += m2;
	p->h3 += m3;
	p->h4++;
	d0 = p->h0 * p->r0 + p->h1 * p->s3 + p->h2 * p->s2 + p->h3 * p->s1;
	d1 = p->h0 * p->r1 + p->h1 * p->r0 + p->h2 * p->s3 + p->h3 * p->s2 + p->h4 * p->s1;
	d2 = p->h0 * p->r2 + p->h1 * p->r1 + p->h2 * p->r0 + p->h3 * p->s3 + p->h4 * p->s2;
	d3 = p->h0 * p->r3 + p->h1 * p->r2 + p->h2 * p->r1 + p->h3 * p->r0 + p->h4 * p->s3;
	d1 += d0 >> 32;
	d2 += d1 >> 32;
	d3 += d2 >> 32;
	p->h4 = p->h4 * p->r0 + (d3 >> 32);
	p->h0 = poly1305_low(d0) + (p->h4 >> 2) * 5;
	p->h1 = poly1305_low(d1);
	p->h2 = poly1305_low(d2);
	p->h3 = poly1305_low(d3);
	p->h4 &= 3;
}

/* tag = h modulo 2^130 - 5, plus the last 16 bytes of the key, modulo 2^128 */
static __always_inline void poly1305_tag(const struct poly1305 *p, const struct poly1305_word *key,
					 __u32 ret_tag[4])
{
	__u64 h0 = p->h0, h1 = p->h1, h2 = p->h2, h3 = p->h3, h4 = p->h4, c;

	/*
	 * h4 is at most 3 and h0 has less than 64 bits, so h < 2^130 + 2^64: the prime is in it once at most.
	 * h + 5 reaches 2^130 only if it is; subtracting it is adding 5, below 2^128.
	 */
	c = (h0 + 5) >> 32;
	c = (h1 + c) >> 32;
	c = (h2 + c) >> 32;
	c = (h3 + c) >> 32;
	c = (h4 + c) >> 2;
	c = h0 + c * 5 + key[0].v;
	ret_tag[0] = (__u32)c;
	c = (c >> 32) + h1 + key[1].v;
	ret_tag[1] = (__u32)c;
	c = (c >> 32) + h2 + key[2].v;
	ret_tag[2] = (__u32)c;
	c = (c >> 32) + h3 + key[3].v;
	ret_tag[3] = (__u32)c;
}

#endif
