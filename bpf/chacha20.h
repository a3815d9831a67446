/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * chacha20.h - the ChaCha20 stream cipher (RFC 8439, section 2.4), one block a call. For crypt.h, which alone
 * knows the order of keystream, tag and packet.
 */
#ifndef NTM_BPF_CHACHA20_H
#define NTM_BPF_CHACHA20_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words of key, nonce and packet are taken as they lie in memory: little endian only"
#endif

#define CHACHA20_BLOCK 64 /* bytes */

/* The input of one block: constants, key, block number, nonce. It lies on the stack: keys stay out of maps. */
struct chacha20 {
	__u32 w[16];
};

/* Bytes read as words: packets and keys are bytes to everybody else. */
struct chacha20_word {
	__u32 v;
} __attribute__((may_alias));

static __always_inline __u32 chacha20_rotate(__u32 v, int bits)
{
	return v << bits | v >> (32 - bits);
}

#define CHACHA20_STEP(x, a, b, c, d)                                                                         \
	do {                                                                                                 \
		__u32 va = (x)[a], vb = (x)[b], vc = (x)[c], vd = (x)[d];                                    \
                                                                                                             \
		va += vb;                                                                                    \
		vd = chacha20_rotate(vd ^ va, 16);                                                           \
		vc += vd;                                                                                    \
		vb = chacha20_rotate(vb ^ vc, 12);                                                           \
		va += vb;                                                                                    \
		vd = chacha20_rotate(vd ^ va, 8);                                                            \
		vc += vd;                                                                                    \
		vb = chacha20_rotate(vb ^ vc, 7);                                                            \
		(x)[a] = va;                                                                                 \
		(x)[b] = vb;                                                                                 \
		(x)[c] = vc;                                                                                 \
		(x)[d] = vd;                                                                                 \
		/* Ten registers do not hold x: it lives on the stack, instead of moving between both. */    \
		asm volatile("" : : "r"(x) : "memory");                                                      \
	} while (0)

/* key: aligned to 4 bytes; block: number of the first block; nonce as three words. */
static __always_inline void chacha20_init(struct chacha20 *s, const __u8 key[32], __u32 block, __u32 nonce0,
					  __u32 nonce1, __u32 nonce2)
{
	const struct chacha20_word *k = (const void *)key;

	s->w[0] = 0x61707865; /* "expand 32-byte k" */
	s->w[1] = 0x3320646e;
	s->w[2] = 0x79622d32;
	s->w[3] = 0x6b206574;
#pragma unroll
	for (int i = 0; i < 8; i++)
		s->w[4 + i] = k[i].v;
	s->w[12] = block;
	s->w[13] = nonce0;
	s->w[14] = nonce1;
	s->w[15] = nonce2;
}

/* Adds one block of keystream to the 64 bytes at `text` and goes on to the next block. */
static __always_inline void chacha20_block(struct chacha20 *s, struct chacha20_word *text)
{
	__u32 x[16];

#pragma unroll
	for (int i = 0; i < 16; i++)
		x[i] = s->w[i];
	asm volatile("" : : "r"(x) : "memory");
#pragma clang loop unroll(disable)
	for (int i = 0; i < 10; i++) {
		CHACHA20_STEP(x, 0, 4, 8, 12);
		CHACHA20_STEP(x, 1, 5, 9, 13);
		CHACHA20_STEP(x, 2, 6, 10, 14);
		CHACHA20_STEP(x, 3, 7, 11, 15);
		CHACHA20_STEP(x, 0, 5, 10, 15);
		CHACHA20_STEP(x, 1, 6, 11, 12);
		CHACHA20_STEP(x, 2, 7, 8, 13);
		CHACHA20_STEP(x, 3, 4, 9, 14);
	}
#pragma unroll
	for (int i = 0; i < 16; i++)
		text[i].v ^= x[i] + s->w[i];
	s->w[12]++;
}

#endif
