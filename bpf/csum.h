/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * csum.h - Internet checksums (RFC 1071) and their change when a header changes (RFC 1624, equation 3).
 *
 * Sums are of 32-bit words as they lie in memory, in 64 bits, so that they need folding only once. Byte order
 * does not matter to a one's complement sum.
 */
#ifndef NTM_BPF_CSUM_H
#define NTM_BPF_CSUM_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* A sum below 2^49 as 16 bits, never 0 unless the sum is. */
static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)((sum & 0xffff) + (sum >> 16));
}

/* A multiple of 0xffff, which is 0 here: what is taken from it stays positive */
#define CSUM_ZERO (0xffffULL << 32)

/* Field `check` of a header when words of sum `before` became words of sum `after`, both below 2^47. */
static __always_inline __u16 csum_replace(__u16 check, __u64 before, __u64 after)
{
	return (__u16)~csum_fold((__u16)~check + (CSUM_ZERO - before) + after);
}

/* UDP: no checksum is written as 0, so that one that is 0 is written as its other form. */
static __always_inline __u16 csum_udp(__u16 check)
{
	return check ? check : 0xffff;
}

#define CSUM_CHUNK 64 /* bytes summed at once: what fits the stack comfortably */
#define CSUM_CHUNKS 145 /* 9,280 bytes: a jumbo frame */

/*
 * Sum of len bytes of the packet from off on, or -1 if they are not there or more than CSUM_CHUNKS. Slow: a
 * hundred nanoseconds for 500 bytes. A function of its own for the verifier, which looks at it once.
 */
__weak __attribute__((noinline)) __s64 csum_packet(struct xdp_md *ctx, __u32 off, __u32 len)
{
	__u32 chunk[CSUM_CHUNK / 4];
	__s64 sum = 0;

	for (int i = 0; i < CSUM_CHUNKS && len; i++) {
		__u32 n = len;

		if (n >= CSUM_CHUNK) {
			n = CSUM_CHUNK;
			if (bpf_xdp_load_bytes(ctx, off, chunk, CSUM_CHUNK))
				return -1;
		} else {
			__builtin_memset(chunk, 0, sizeof(chunk));
			/* Known to the verifier of 6.1 as 1..64 only so. */
			n = ((n - 1) & (CSUM_CHUNK - 1)) + 1;
			if (bpf_xdp_load_bytes(ctx, off, chunk, n))
				return -1;
		}
		sum = bpf_csum_diff(NULL, 0, chunk, sizeof(chunk), (__u32)sum);
		off += n;
		len -= n;
	}
	return len ? -1 : sum;
}

#endif
