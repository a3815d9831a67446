/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_segment.c - daemon/segment.c and checksum.c: every segment byte for byte as it must be, and vnet headers
 * that do not fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <ntm/drop.h>

#include "daemon/checksum.h"
#include "daemon/segment.h"
#include "inner_packets.h"

static uint8_t packet[PACKET_ROOM], expected[PACKET_ROOM];
static struct ntmd_segments segments;

static const struct spec tcp4 = {
	.is4 = true, .tcp = true, .host = 1, .port = 4000, .id = 0xfffe, .window = 512, .tos = 2, .ttl = 64,
	.flags = TCP_F_ACK, .df = true, .seq = 0xfffffa00, .ack = 99, .options = 12, .option = 1, .payload = 5000,
};

static void cut_and_compare(const struct spec *whole, unsigned size)
{
	struct virtio_net_hdr vnet = spec_vnet(whole, size);
	size_t len = spec_make(packet, whole, true), n;
	unsigned i = 0;
	uint8_t *got;

	assert_int_equal(ntmd_segment_begin(&segments, &vnet, packet, len), 0);
	while ((got = ntmd_segment_next(&segments, &n))) {
		struct spec part = spec_segment(whole, i++, size);

		assert_int_equal(n, spec_make(expected, &part, false));
		assert_memory_equal(got, expected, n);
	}
	assert_int_equal(i, (whole->payload + size - 1) / size);
}

static void every_segment_is_as_if_sent_alone(void **state)
{
	static const size_t payload[] = {1, 2, 47, 1368, 1369, 2736, 5000, 61560, 65000};
	static const uint8_t flags[] = {TCP_F_ACK, TCP_F_ACK | TCP_F_PSH | TCP_F_FIN, TCP_F_ACK | TCP_F_CWR | TCP_F_ECE,
					TCP_F_ACK | TCP_F_CWR | TCP_F_PSH};

	(void)state;
	for (int form = 0; form < 4; form++) {
		for (size_t i = 0; i < sizeof(payload) / sizeof(payload[0]) * 4; i++) {
			struct spec whole = tcp4;

			whole.is4 = form & 1;
			whole.tcp = form & 2;
			whole.payload = payload[i / 4];
			whole.flags = flags[i % 4];
			whole.options = (uint8_t)(i % 4 * 12);
			cut_and_compare(&whole, 1368);
			cut_and_compare(&whole, 999);
			if (whole.payload < 3000)
				cut_and_compare(&whole, 1);
		}
	}
}

static void a_udp_checksum_of_zero_becomes_all_ones(void **state)
{
	struct spec whole = tcp4;
	unsigned zeros = 0;

	(void)state;
	whole.tcp = false;
	whole.payload = 2;
	for (unsigned port = 0; port < 0x10000; port++) { /* one of them makes the sum come out so */
		struct virtio_net_hdr vnet = spec_vnet(&whole, 1);
		uint8_t *got;
		size_t n;

		whole.port = (uint16_t)port;
		assert_int_equal(ntmd_segment_begin(&segments, &vnet, packet, spec_make(packet, &whole, true)), 0);
		while ((got = ntmd_segment_next(&segments, &n))) {
			assert_true(got[26] || got[27]);
			zeros += got[26] == 0xff && got[27] == 0xff;
		}
	}
	assert_int_equal(zeros, 2);
}

static void a_whole_packet_gets_its_checksum_or_stays_as_it_is(void **state)
{
	struct virtio_net_hdr vnet, none = {0};
	struct spec whole = tcp4;
	uint8_t *got;
	size_t len, n;

	(void)state;
	whole.payload = 1001;
	for (int form = 0; form < 4; form++) {
		whole.is4 = form & 1;
		whole.tcp = form & 2;
		vnet = spec_vnet(&whole, 0);
		vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		len = spec_make(packet, &whole, true);
		assert_int_equal(ntmd_segment_begin(&segments, &vnet, packet, len), 0);
		got = ntmd_segment_next(&segments, &n);
		assert_ptr_equal(got, packet);
		assert_int_equal(n, spec_make(expected, &whole, false));
		assert_memory_equal(got, expected, n);
		assert_null(ntmd_segment_next(&segments, &n));
		/* nothing to do */
		packet[30] ^= 1;
		memcpy(expected, packet, len);
		assert_int_equal(ntmd_segment_begin(&segments, &none, packet, len), 0);
		assert_ptr_equal(ntmd_segment_next(&segments, &n), packet);
		assert_int_equal(n, len);
		assert_memory_equal(packet, expected, len);
		assert_null(ntmd_segment_next(&segments, &n));
	}
}

/* IPv6 with an extension header: where the transport header is, the vnet header says. */
static void extension_headers_are_repeated(void **state)
{
	struct spec whole = tcp4, part;
	struct virtio_net_hdr vnet;
	size_t len, n;
	uint8_t *got;

	(void)state;
	whole.is4 = false;
	len = spec_make(packet, &whole, true);
	memmove(packet + 48, packet + 40, len - 40);
	memcpy(packet + 40, (uint8_t[]){6, 0, 1, 4, 0, 0, 0, 0}, 8); /* destination options: padding */
	packet[6] = 60;
	len += 8;
	spec_put16(packet + 4, (unsigned)len - 40);
	vnet = spec_vnet(&whole, 1000);
	vnet.csum_start = 48;
	vnet.hdr_len += 8;
	assert_int_equal(ntmd_segment_begin(&segments, &vnet, packet, len), 0);
	for (unsigned i = 0; i < 5; i++) {
		got = ntmd_segment_next(&segments, &n);
		part = spec_segment(&whole, i, 1000);
		len = spec_make(expected, &part, false);
		assert_int_equal(n, len + 8);
		assert_int_equal(got[4] << 8 | got[5], n - 40);
		assert_int_equal(got[6], 60);
		assert_memory_equal(got + 48, expected + 40, len - 40);
	}
	assert_null(ntmd_segment_next(&segments, &n));
}

static void refused(const struct virtio_net_hdr *vnet, size_t len)
{
	assert_int_equal(ntmd_segment_begin(&segments, vnet, packet, len), -NTM_DROP_INNER_SHORT);
}

static void what_does_not_fit_is_refused(void **state)
{
	struct spec udp = tcp4;
	struct virtio_net_hdr good = spec_vnet(&tcp4, 1000), vnet;
	size_t len = spec_make(packet, &tcp4, true);

	(void)state;
	assert_int_equal(ntmd_segment_begin(&segments, &good, packet, len), 0);
#define bad(change)                  \
	do {                         \
		vnet = good;         \
		change;              \
		refused(&vnet, len); \
	} while (0)
	bad(vnet.gso_size = 0);
	bad(vnet.flags = 0);
	bad(vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP);
	bad(vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4);
	bad(vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
	bad(vnet.gso_type = 77);
	bad(vnet.csum_offset = 6);
	bad(vnet.csum_start = 19);
	bad(vnet.csum_start = 24);
	bad(vnet.csum_start = 0xffff);
	bad(vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE; vnet.csum_start = (uint16_t)len);
	bad(vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE; vnet.csum_start = 0);
	bad(vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE; vnet.csum_start = (uint16_t)(len - 17));
	packet[32] = 0x40; /* a TCP header of 16 bytes */
	refused(&good, len);
	packet[32] = 0xf0;
	assert_int_equal(ntmd_segment_begin(&segments, &good, packet, len), 0);
	refused(&good, 80); /* nothing behind the header */
	refused(&good, 39);
	udp.tcp = false;
	len = spec_make(packet, &udp, true);
	refused(&good, len); /* TCP says the device, UDP the packet */
}

static void sums_are_right_at_every_length_and_place(void **state)
{
	static uint8_t bytes[2100];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i < 1000 ? 0xff : (uint8_t)rand();
	for (size_t len = 0; len <= 2000; len++) {
		for (size_t at = 0; at < 3; at++) {
			uint16_t sum = ntmd_checksum_fold(ntmd_checksum_sum(bytes + at, len));

			assert_int_equal(ntohs(sum), spec_sum(0, bytes + at, len));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_segment_is_as_if_sent_alone),
		cmocka_unit_test(a_udp_checksum_of_zero_becomes_all_ones),
		cmocka_unit_test(a_whole_packet_gets_its_checksum_or_stays_as_it_is),
		cmocka_unit_test(extension_headers_are_repeated),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(sums_are_right_at_every_length_and_place),
	};

	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
