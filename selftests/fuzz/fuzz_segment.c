/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_segment.c - daemon/segment.c with any vnet header before any packet: segments lie inside the buffer,
 * none is longer than the whole, together they have its payload once, and their checksums are what the
 * whole's partial checksum makes of them.
 *
 * Input: vnet header (10 bytes), packet; the length in its IP header is set right.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/inner.h"
#include "daemon/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define require(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static unsigned sum(unsigned start, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		start += i & 1 ? p[i] : (unsigned)p[i] << 8;
		if (start > 0xffff)
			start -= 0xffff;
	}
	return start;
}

/* Whether a segment's checksum is right, given that the whole had this in its place, for its length. */
static void checksum_check(const struct ntmd_segments *segments, const uint8_t *packet, size_t len, unsigned partial)
{
	const uint8_t *transport = packet + segments->transport;
	unsigned inner = (unsigned)(len - segments->transport);
	unsigned whole = (unsigned)(segments->len - segments->transport) & 0xffff;
	unsigned all = partial + (0xffff - whole);

	all = all % 0xffff + inner;
	all = sum(all % 0xffff, transport, inner) % 0xffff;
	require(all == 0);
	if (segments->is4)
		require(sum(0, packet, segments->transport) % 0xffff == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct virtio_net_hdr vnet;
	struct ntmd_segments segments;
	struct ntmd_inner inner;
	uint8_t *packet, *got;
	size_t n, payload = 0;
	unsigned partial = 0;

	if (len < sizeof(vnet) + 1 || len > 70000)
		return 0;
	memcpy(&vnet, data, sizeof(vnet));
	len -= sizeof(vnet);
	packet = malloc(len); /* of the exact size: the sanitizer sees what is outside */
	require(packet);
	memcpy(packet, data + sizeof(vnet), len);
	if (packet[0] >> 4 == 4 && len >= 20 && len <= 0xffff) {
		packet[2] = (uint8_t)(len >> 8);
		packet[3] = (uint8_t)len;
	} else if (packet[0] >> 4 == 6 && len >= 40) {
		packet[4] = (uint8_t)((len - 40) >> 8);
		packet[5] = (uint8_t)(len - 40);
	}
	if (ntmd_inner_parse(&inner, packet, len) || ntmd_segment_begin(&segments, &vnet, packet, len))
		goto out;
	if (segments.size) {
		const uint8_t *field = packet + segments.transport + (segments.tcp ? 16 : 6);

		partial = (unsigned)field[0] << 8 | field[1];
	}
	while ((got = ntmd_segment_next(&segments, &n))) {
		require(n && got >= packet && got + n <= packet + len);
		require(!ntmd_inner_parse(&inner, got, n));
		if (!segments.size) {
			require(got == packet && n == len);
			payload = len;
			continue;
		}
		require(n > segments.header_len && n - segments.header_len <= vnet.gso_size);
		payload += n - segments.header_len;
		checksum_check(&segments, got, n, partial);
	}
	require(payload == (segments.size ? len - segments.header_len : len));
out:
	free(packet);
	return 0;
}
