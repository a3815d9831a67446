/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_inner.c - daemon/inner.c with any bytes: what parses has addresses inside the packet, and every ICMP
 * error built about it is a packet that parses itself, goes the other way, has right checksums, and is never
 * answered by another error.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/inner.h"
#include "endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define require(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static unsigned whole_sum(unsigned sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (unsigned)p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static void error_check(const struct ntmd_inner *about, const uint8_t *error, size_t len)
{
	uint8_t again[NTMD_INNER_ERROR_MAX];
	struct ntmd_inner inner;

	require(len <= NTMD_INNER_ERROR_MAX);
	require(!ntmd_inner_parse(&inner, error, len));
	require(inner.version == about->version);
	require(ntm_addr_equal(&inner.source, &about->dest) && ntm_addr_equal(&inner.dest, &about->source));
	if (inner.version == 4) {
		require(whole_sum(0, error, 20) == 0xffff && whole_sum(0, error + 20, len - 20) == 0xffff);
	} else {
		unsigned pseudo = whole_sum(58 + (unsigned)len - 40, error + 8, 32);

		require(whole_sum(pseudo, error + 40, len - 40) == 0xffff);
	}
	require(!ntmd_inner_unreachable_build(again, error, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t unreachable[NTMD_INNER_ERROR_MAX], big[NTMD_INNER_ERROR_MAX];
	unsigned mtu = len ? data[len - 1] * 300u : 0;
	size_t unreachable_len = ntmd_inner_unreachable_build(unreachable, data, len);
	size_t big_len = ntmd_inner_too_big_build(big, data, len, mtu);
	struct ntmd_inner inner;

	require(!unreachable_len == !big_len);
	if (ntmd_inner_parse(&inner, data, len)) {
		require(!unreachable_len);
		return 0;
	}
	require(inner.header_len <= len);
	require(!memcmp(inner.version == 4 ? inner.dest.b + 12 : inner.dest.b,
			data + (inner.version == 4 ? 16 : 24), inner.version == 4 ? 4 : 16));
	if (unreachable_len) {
		error_check(&inner, unreachable, unreachable_len);
		error_check(&inner, big, big_len);
	}
	return 0;
}
