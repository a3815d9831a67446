/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * checksum.c - the Internet checksum of long packets, 32 bytes at a time. Each inner TCP packet that is
 * segmented or coalesced is summed once (segment.c, coalesce.c): next to the cipher this is what costs most,
 * so it is vectorised.
 */
#include "daemon/checksum.h"

typedef uint64_t lanes __attribute__((vector_size(32)));

/*
 * Adds 32-bit words in 64-bit lanes: no carry can be lost in 2^20 bytes. Always inlined, so that each caller
 * compiles it for its own instruction set.
 */
static inline __attribute__((always_inline)) uint64_t sum_any(const uint8_t *p, size_t len)
{
	lanes low = {0}, high = {0}, a, b;

	for (; len >= 64; p += 64, len -= 64) {
		memcpy(&a, p, 32);
		memcpy(&b, p + 32, 32);
		low += (a & 0xffffffff) + (b & 0xffffffff);
		high += (a >> 32) + (b >> 32);
	}
	low += high;
	return low[0] + low[1] + low[2] + low[3] + ntmd_checksum_sum(p, len);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *p, size_t len)
{
	return sum_any(p, len);
}
#endif

uint64_t ntmd_checksum_sum_long(const uint8_t *p, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		return sum_avx2(p, len);
#endif
	return sum_any(p, len);
}

uint64_t ntmd_checksum_pseudo(const uint8_t *addresses, size_t addresses_len, uint8_t protocol, size_t len)
{
	return ntmd_checksum_sum(addresses, addresses_len) + ntmd_checksum_of(protocol) +
	       ntmd_checksum_of((unsigned)len & 0xffff) + ntmd_checksum_of((unsigned)(len >> 16));
}
