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

/* The input of one block: constants, key, block number, nonce. On the stack, since keys stay out of maps. */
struct chacha20 {
	__u32 w[16];
};

/* Bytes read as words: packets and keys are bytes to everybody else. */
struct chacha20_word {
	__u32 v;
} __attribute__((may_alias));

/* Two words at once: each += b, then each d = (d ^ a) rotated left. */
#define CHACHA20_HALF(a, b, d, e, f, h, left, right) \
	"%[" #a "] += %[" #b "]\n"                   \
	"%[" #e "] += %[" #f "]\n"                   \
	"%[" #d "] ^= %[" #a "]\n"                   \
	"%[" #h "] ^= %[" #e "]\n"                   \
	"%[t] = %[" #d "]\n"                         \
	"%[" #d "] <<= " #left "\n"                  \
	"%[t] >>= " #right "\n"                      \
	"%[" #d "] |= %[t]\n"                        \
	"%[t] = %[" #h "]\n"                         \
	"%[" #h "] <<= " #left "\n"                  \
	"%[t] >>= " #right "\n"                      \
	"%[" #h "] |= %[t]\n"

/*
 * Two quarter rounds, on words a, b, c, d and e, f, g, h of x, step by step beside each other: one alone is a
 * chain in which the processor finds too little to do at a time (15 % slower). All is in registers meanwhile,
 * which compilers do not find; between quarter rounds x lies on the stack, since ten registers do not hold
 * it.
 */
#define CHACHA20_STEP(x, ia, ib, ic, id, ie, if, ig, ih)                                                  \
	do {                                                                                              \
		__u32 va = (x)[ia], vb = (x)[ib], vc = (x)[ic], vd = (x)[id];                             \
		__u32 ve = (x)[ie], vf = (x)[if], vg = (x)[ig], vh = (x)[ih], vt;                         \
                                                                                                          \
		asm(CHACHA20_HALF(a, b, d, e, f, h, 16, 16) CHACHA20_HALF(c, d, b, g, h, f, 12, 20)       \
			    CHACHA20_HALF(a, b, d, e, f, h, 8, 24) CHACHA20_HALF(c, d, b, g, h, f, 7, 25) \
		    : [a] "+w"(va), [b] "+w"(vb), [c] "+w"(vc), [d] "+w"(vd), [e] "+w"(ve), [f] "+w"(vf), \
		      [g] "+w"(vg), [h] "+w"(vh), [t] "=&w"(vt));                                         \
		(x)[ia] = va;                                                                             \
		(x)[ib] = vb;                                                                             \
		(x)[ic] = vc;                                                                             \
		(x)[id] = vd;                                                                             \
		(x)[ie] = ve;                                                                             \
		(x)[if] = vf;                                                                             \
		(x)[ig] = vg;                                                                             \
		(x)[ih] = vh;                                                                             \
		asm volatile("" : : : "memory");                                                          \
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

#define CHACHA20_COLUMNS(x)                                   \
	do {                                                  \
		CHACHA20_STEP(x, 0, 4, 8, 12, 1, 5, 9, 13);   \
		CHACHA20_STEP(x, 2, 6, 10, 14, 3, 7, 11, 15); \
	} while (0)

#define CHACHA20_DIAGONALS(x)                                 \
	do {                                                  \
		CHACHA20_STEP(x, 0, 5, 10, 15, 1, 6, 11, 12); \
		CHACHA20_STEP(x, 2, 7, 8, 13, 3, 4, 9, 14);   \
	} while (0)

static __always_inline void chacha20_begin(const struct chacha20 *s, __u32 x[16])
{
#pragma unroll
	for (int i = 0; i < 16; i++) {
		x[i] = s->w[i];
		asm volatile("" : : "r"(x) : "memory"); /* each word by itself, as it is read again */
	}
}

static __always_inline void chacha20_end(struct chacha20 *s, const __u32 x[16], struct chacha20_word *text)
{
#pragma unroll
	for (int i = 0; i < 16; i++)
		text[i].v ^= x[i] + s->w[i];
	s->w[12]++;
}

/* Adds one block of keystream to the 64 bytes at `text` and goes on to the next block. */
static __always_inline void chacha20_block(struct chacha20 *s, struct chacha20_word *text)
{
	__u32 x[16];

	chacha20_begin(s, x);
#pragma clang loop unroll(disable)
	for (int i = 0; i < 10; i++) {
		CHACHA20_COLUMNS(x);
		CHACHA20_DIAGONALS(x);
	}
	chacha20_end(s, x, text);
}

/* The same with two blocks, which takes 1.8 times as long. */
static __always_inline void chacha20_pair(struct chacha20 *s, struct chacha20_word *first,
					  struct chacha20_word *second)
{
	__u32 x[16], y[16];

	chacha20_begin(s, x);
	chacha20_begin(s, y);
	y[12]++;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 10; i++) {
		CHACHA20_COLUMNS(x);
		CHACHA20_COLUMNS(y);
		CHACHA20_DIAGONALS(x);
		CHACHA20_DIAGONALS(y);
	}
	chacha20_end(s, x, first);
	chacha20_end(s, y, second);
}

#endif
