/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_coalesce.c - daemon/coalesce.c with packets that nearly follow on each other: what is written, cut again
 * by daemon/segment.c, is what went in, each packet once, each flow in order.
 *
 * Input: records. Each begins with a byte that says which of four flows (2 bits), and what happens to its next
 * packet: bit 2 one more byte is an offset whose byte gets the value of another one, bits 3 to 5 which header
 * field changes, bit 6 the payload's length is another byte, bit 7 flush.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/coalesce.h"
#include "daemon/inner.h"
#include "daemon/segment.h"
#include "selftests/unit/inner_packets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MAX 256
#define ROOM 512

#define require(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static struct {
	uint8_t given[ROOM], packet[ROOM];
	size_t len;
	unsigned flow;
	bool out;
} sent[MAX];
static unsigned sents, outs;
static struct ntmd_coalesce coalesce;

/* The ID of a UDP datagram that is not to be fragmented may change, and with it the header's checksum. */
static bool same(const uint8_t *a, const uint8_t *b, size_t len)
{
	if (len >= 20 && a[0] == 0x45 && a[6] & 0x40 && a[9] == 17)
		return !memcmp(a, b, 4) && !memcmp(a + 6, b + 6, 4) && !memcmp(a + 12, b + 12, len - 12);
	return !memcmp(a, b, len);
}

/* The next packet of each flow is what may come. */
static void take(const uint8_t *packet, size_t len)
{
	bool seen[5] = {false};

	for (unsigned i = 0; i < sents; i++) {
		if (sent[i].out || seen[sent[i].flow])
			continue;
		if (sent[i].len == len && same(packet, sent[i].packet, len)) {
			sent[i].out = true;
			outs++;
			return;
		}
		seen[sent[i].flow] = true;
	}
	abort();
}

static void written(void *ctx, const struct iovec *part, int parts, unsigned packets)
{
	static uint8_t whole[PACKET_ROOM];
	static struct ntmd_segments segments;
	struct virtio_net_hdr vnet;
	struct ntmd_inner inner;
	size_t len = 0, n;
	unsigned count = 0;
	uint8_t *got;

	require(ctx == &coalesce && parts == (int)packets + 1 && part[0].iov_len == sizeof(vnet));
	memcpy(&vnet, part[0].iov_base, sizeof(vnet));
	for (int p = 1; p < parts; p++) {
		require(len + part[p].iov_len <= 65535);
		memcpy(whole + len, part[p].iov_base, part[p].iov_len);
		len += part[p].iov_len;
	}
	require(!ntmd_inner_parse(&inner, whole, len));
	require(!ntmd_segment_begin(&segments, &vnet, whole, len));
	for (; (got = ntmd_segment_next(&segments, &n)); count++)
		take(got, n);
	require(count == packets);
}

static void field_change(struct spec *spec, unsigned field)
{
	switch (field) {
	case 1:
		spec->flags ^= TCP_F_PSH;
		break;
	case 2:
		spec->flags ^= TCP_F_CWR;
		break;
	case 3:
		spec->id--;
		break;
	case 4:
		spec->ack++;
		break;
	case 5:
		spec->options = spec->options ? 0 : 12;
		break;
	case 6:
		spec->flags ^= TCP_F_FIN;
		break;
	case 7:
		spec->seq++;
		break;
	}
}

static bool add(const struct spec *spec, unsigned flow, bool spoil, uint8_t at, uint8_t value)
{
	struct ntmd_inner inner;
	size_t len;

	if (sents == MAX)
		return false;
	len = spec_make(sent[sents].packet, spec, false);
	if (spoil) {
		sent[sents].packet[at % len] = value;
		if (ntmd_inner_parse(&inner, sent[sents].packet, len))
			return true;
		/* It may belong to any flow now, or to none. */
		flow = 4;
		ntmd_coalesce_flush(&coalesce);
	}
	memcpy(sent[sents].given, sent[sents].packet, len);
	sent[sents].len = len;
	sent[sents].flow = flow;
	sent[sents].out = false;
	sents++;
	ntmd_coalesce_add(&coalesce, sent[sents - 1].given, len);
	if (spoil)
		ntmd_coalesce_flush(&coalesce);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct spec flow[4];
	size_t at = 0;

	memset(&coalesce, 0, sizeof(coalesce));
	coalesce.udp = true;
	coalesce.write = written;
	coalesce.ctx = &coalesce;
	sents = outs = 0;
	for (unsigned i = 0; i < 4; i++)
		flow[i] = (struct spec){.is4 = i & 1, .tcp = i & 2, .host = 9, .port = 100, .ttl = 64, .df = true,
					.flags = TCP_F_ACK, .window = 5, .payload = 20};
	while (at < len) {
		uint8_t what = data[at++], place = 0, value = 0;
		struct spec *spec = &flow[what & 3];

		if (what & 0x40 && at < len)
			spec->payload = data[at++];
		if (what & 4 && at + 1 < len) {
			place = data[at++];
			value = data[at++];
		}
		field_change(spec, what >> 3 & 7);
		if (!add(spec, what & 3, what & 4, place, value))
			break;
		spec->seq += (uint32_t)spec->payload;
		spec->id++;
		if (what & 0x80)
			ntmd_coalesce_flush(&coalesce);
	}
	ntmd_coalesce_flush(&coalesce);
	require(outs == sents);
	return 0;
}
