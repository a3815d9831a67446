/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_inner.c - daemon/inner.c: every length and version of inner packets, and the ICMP errors byte by byte.
 * The packets with checksums were made by hand from RFC 791, 792, 4443 and 8200; the checksums are verified
 * by a second sum here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ntm/drop.h>

#include "daemon/inner.h"
#include "endpoint.h"

/* 198.18.0.1 -> 198.18.0.2, UDP 1000 -> 53, 4 bytes of data */
static const uint8_t packet4[32] = {
	0x45, 0x00, 0x00, 0x20, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x9c, 0x6f, 198,  18,   0,	  1,
	198,  18,   0,	  2,	0x03, 0xe8, 0x00, 0x35, 0x00, 0x0c, 0x00, 0x00, 0xde, 0xad, 0xbe, 0xef,
};
/* fd4e:544d:1::1 -> fd4e:544d:1::2, UDP, 4 bytes of data */
static const uint8_t packet6[52] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x11, 0x40, 0xfd, 0x4e, 0x54, 0x4d, 0x00, 0x01, 0,	  0,	0, 0,
	0,    0,    0,	  0,	0,    1,    0xfd, 0x4e, 0x54, 0x4d, 0x00, 0x01, 0,    0,    0,	  0,	0, 0,
	0,    0,    0,	  2,	0x03, 0xe8, 0x00, 0x35, 0x00, 0x0c, 0x00, 0x00, 0xde, 0xad, 0xbe, 0xef,
};

static void check_address(const struct ntm_addr *addr, const char *text)
{
	char got[NTM_ADDR_TEXT];

	assert_string_equal(ntm_addr_format(addr, got), text);
}

static void addresses_are_read(void **state)
{
	struct ntmd_inner inner;

	(void)state;
	assert_int_equal(ntmd_inner_parse(&inner, packet4, sizeof(packet4)), 0);
	assert_int_equal(inner.version, 4);
	assert_int_equal(inner.header_len, 20);
	check_address(&inner.source, "198.18.0.1");
	check_address(&inner.dest, "198.18.0.2");
	assert_int_equal(ntmd_inner_parse(&inner, packet6, sizeof(packet6)), 0);
	assert_int_equal(inner.version, 6);
	assert_int_equal(inner.header_len, 40);
	check_address(&inner.source, "fd4e:544d:1::1");
	check_address(&inner.dest, "fd4e:544d:1::2");
}

static void only_the_exact_length_is_taken_and_the_result_untouched_else(void **state)
{
	struct ntmd_inner inner, before;
	uint8_t packet[128];

	(void)state;
	memset(&before, 0xa5, sizeof(before));
	inner = before;
	for (int v6 = 0; v6 < 2; v6++) {
		size_t right = v6 ? sizeof(packet6) : sizeof(packet4);

		memset(packet, 0, sizeof(packet));
		memcpy(packet, v6 ? packet6 : packet4, right);
		for (size_t len = 0; len < sizeof(packet); len++) {
			if (len == right)
				continue;
			assert_int_equal(ntmd_inner_parse(&inner, packet, len), -NTM_DROP_INNER_SHORT);
		}
	}
	assert_memory_equal(&inner, &before, sizeof(inner));
}

static void header_lengths_of_ipv4_are_checked(void **state)
{
	struct ntmd_inner inner;
	uint8_t packet[32];

	(void)state;
	memcpy(packet, packet4, sizeof(packet));
	for (uint8_t words = 0; words < 16; words++) {
		packet[0] = 0x40 | words;
		assert_int_equal(ntmd_inner_parse(&inner, packet, sizeof(packet)),
				 words < 5 || words > 8 ? -NTM_DROP_INNER_SHORT : 0);
	}
	packet[0] = 0x45;
	packet[3] = 19; /* shorter than its header */
	assert_int_equal(ntmd_inner_parse(&inner, packet, 19), -NTM_DROP_INNER_SHORT);
}

static void other_versions_are_refused(void **state)
{
	struct ntmd_inner inner;
	uint8_t packet[64];

	(void)state;
	memcpy(packet, packet6, sizeof(packet6));
	for (uint8_t version = 0; version < 16; version++) {
		packet[0] = (uint8_t)(version << 4);
		if (version != 4 && version != 6)
			assert_int_equal(ntmd_inner_parse(&inner, packet, sizeof(packet6)),
					 -NTM_DROP_INNER_VERSION);
	}
}

static void ipv4_mapped_addresses_are_refused_in_ipv6(void **state)
{
	struct ntmd_inner inner;
	uint8_t packet[sizeof(packet6)];

	(void)state;
	memcpy(packet, packet6, sizeof(packet));
	memset(packet + 8, 0, 10);
	memset(packet + 18, 0xff, 2);
	assert_int_equal(ntmd_inner_parse(&inner, packet, sizeof(packet)), -NTM_DROP_INNER_SOURCE);
	memcpy(packet, packet6, sizeof(packet));
	memset(packet + 24, 0, 10);
	memset(packet + 34, 0xff, 2);
	assert_int_equal(ntmd_inner_parse(&inner, packet, sizeof(packet)), -NTM_DROP_INNER_DEST);
}

static void local_addresses_are_told_from_hosts(void **state)
{
	static const char *const local[] = {
		"0.0.0.0",	   "0.1.2.3",	      "127.0.0.1", "169.254.9.9", "224.0.0.1",
		"239.255.255.250", "255.255.255.255", "::",	   "::1",	  "fe80::1",
		"febf::1",	   "ff02::1",	      "ff0e::1"};
	static const char *const host[] = {"198.18.0.1",      "10.0.0.1", "169.253.0.1",
					   "223.255.255.255", "1.1.1.1",  "fd4e:544d:1::1",
					   "2001:db8::1",     "::2",	  "fec0::1"};
	struct ntm_addr addr;

	(void)state;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		assert_int_equal(ntm_addr_parse(&addr, local[i]), 0);
		assert_true(ntmd_inner_is_local(&addr));
	}
	for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++) {
		assert_int_equal(ntm_addr_parse(&addr, host[i]), 0);
		assert_false(ntmd_inner_is_local(&addr));
	}
}

/* ---- ICMP errors */

/* The Internet checksum over everything, the checksum itself included: 0xffff if right. Bytewise, unlike
 * inner.c. */
static unsigned whole_sum(unsigned sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (unsigned)p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static void unreachable_quotes_the_packet(void **state)
{
	uint8_t out[NTMD_INNER_ERROR_MAX];
	struct ntmd_inner inner;
	size_t len = ntmd_inner_unreachable_build(out, packet4, sizeof(packet4));

	(void)state;
	assert_int_equal(len, 28 + sizeof(packet4));
	assert_int_equal(ntmd_inner_parse(&inner, out, len), 0);
	check_address(&inner.source, "198.18.0.2");
	check_address(&inner.dest, "198.18.0.1");
	assert_int_equal(out[9], 1);
	assert_int_equal(out[20], 3);
	assert_int_equal(out[21], 1);
	assert_memory_equal(out + 24, "\0\0\0\0", 4);
	assert_memory_equal(out + 28, packet4, sizeof(packet4));
	assert_int_equal(whole_sum(0, out, 20), 0xffff);
	assert_int_equal(whole_sum(0, out + 20, len - 20), 0xffff);

	len = ntmd_inner_unreachable_build(out, packet6, sizeof(packet6));
	assert_int_equal(len, 48 + sizeof(packet6));
	assert_int_equal(ntmd_inner_parse(&inner, out, len), 0);
	check_address(&inner.source, "fd4e:544d:1::2");
	check_address(&inner.dest, "fd4e:544d:1::1");
	assert_int_equal(out[6], 58);
	assert_int_equal(out[40], 1);
	assert_int_equal(out[41], 3);
	assert_memory_equal(out + 48, packet6, sizeof(packet6));
	assert_int_equal(whole_sum(whole_sum(58 + (unsigned)len - 40, out + 8, 32), out + 40, len - 40),
			 0xffff);
}

static void too_big_tells_the_size_and_is_itself_small(void **state)
{
	uint8_t out[NTMD_INNER_ERROR_MAX], packet[1501];
	size_t len;

	(void)state;
	memset(packet, 0x77, sizeof(packet));
	memcpy(packet, packet4, sizeof(packet4));
	packet[2] = sizeof(packet) >> 8;
	packet[3] = sizeof(packet) & 0xff;
	len = ntmd_inner_too_big_build(out, packet, sizeof(packet), 1400);
	assert_int_equal(len, 576);
	assert_int_equal(out[20], 3);
	assert_int_equal(out[21], 4);
	assert_int_equal(out[26] << 8 | out[27], 1400);
	assert_memory_equal(out + 28, packet, 548);
	assert_int_equal(whole_sum(0, out, 20), 0xffff);
	assert_int_equal(whole_sum(0, out + 20, len - 20), 0xffff);
	ntmd_inner_too_big_build(out, packet, sizeof(packet), 1);
	assert_int_equal(out[26] << 8 | out[27], NTMD_INNER_MTU_MIN4);

	memcpy(packet, packet6, sizeof(packet6));
	packet[4] = (sizeof(packet) - 40) >> 8;
	packet[5] = (sizeof(packet) - 40) & 0xff;
	len = ntmd_inner_too_big_build(out, packet, sizeof(packet), 1400);
	assert_int_equal(len, 1280);
	assert_int_equal(out[40], 2);
	assert_int_equal(out[41], 0);
	assert_memory_equal(out + 44, "\0\0\x05\x78", 4);
	assert_memory_equal(out + 48, packet, 1232);
	assert_int_equal(whole_sum(whole_sum(58 + (unsigned)len - 40, out + 8, 32), out + 40, len - 40),
			 0xffff);
	ntmd_inner_too_big_build(out, packet, sizeof(packet), 1000);
	assert_memory_equal(out + 44, "\0\0\x05\x00", 4);
}

static size_t answered(const uint8_t *packet, size_t len)
{
	uint8_t out[NTMD_INNER_ERROR_MAX];

	assert_int_equal(ntmd_inner_unreachable_build(out, packet, len) != 0,
			 ntmd_inner_too_big_build(out, packet, len, 1300) != 0);
	return ntmd_inner_unreachable_build(out, packet, len);
}

static void no_error_answers_an_error_a_fragment_or_a_group(void **state)
{
	uint8_t packet[sizeof(packet6) + 8];

	(void)state;
	memcpy(packet, packet4, sizeof(packet4));
	packet[9] = 1;
	for (unsigned type = 0; type < 256; type++) {
		packet[20] = (uint8_t)type;
		assert_int_equal(answered(packet, sizeof(packet4)) == 0,
				 type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
	}
	memcpy(packet, packet4, sizeof(packet4));
	packet[6] = 0x20; /* the first fragment */
	assert_true(answered(packet, sizeof(packet4)));
	packet[7] = 1;
	assert_false(answered(packet, sizeof(packet4)));
	memcpy(packet, packet4, sizeof(packet4));
	packet[16] = 224;
	assert_false(answered(packet, sizeof(packet4)));
	assert_false(answered(packet4, sizeof(packet4) - 1));

	memcpy(packet, packet6, sizeof(packet6));
	packet[6] = 58;
	for (unsigned type = 0; type < 256; type++) {
		packet[40] = (uint8_t)type;
		assert_int_equal(answered(packet, sizeof(packet6)) == 0, type < 128);
	}
	/* behind a fragment header, and behind one that lies about its length */
	memcpy(packet, packet6, 40);
	packet[5] = sizeof(packet) - 40;
	packet[6] = 44;
	memcpy(packet + 40, "\x11\0\0\x01\0\0\0\1", 8);
	memcpy(packet + 48, packet6 + 40, 12);
	assert_true(answered(packet, sizeof(packet)));
	packet[43] = 8 | 1;
	assert_false(answered(packet, sizeof(packet)));
	packet[43] = 1;
	packet[40] = 58;
	packet[48] = 1;
	assert_false(answered(packet, sizeof(packet)));
	packet[48] = 128;
	assert_true(answered(packet, sizeof(packet)));
	packet[6] = 60;
	packet[41] = 2; /* 24 bytes of options, 20 are there */
	assert_false(answered(packet, sizeof(packet)));
}

static void a_guessed_mtu_is_always_smaller(void **state)
{
	(void)state;
	for (size_t len = NTMD_INNER_MTU_MIN4 + 1; len <= 65535; len++)
		assert_in_range(ntmd_inner_mtu_guess(len), NTMD_INNER_MTU_MIN4, len - 1);
	assert_int_equal(ntmd_inner_mtu_guess(1500), 1420);
	assert_int_equal(ntmd_inner_mtu_guess(1420), 1392);
}

/* Every case of RFC 6040, figure 4; -1: dropped. */
static void congestion_marks_come_in_from_the_outer_packet(void **state)
{
	static const int expected[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};

	(void)state;
	for (int i = 0; i < 32; i++) {
		bool four = i & 1;
		int inner = i >> 1 & 3, outer = i >> 3 & 3, ecn = expected[inner][outer];
		uint8_t packet[52], sent[52];

		memcpy(packet, four ? packet4 : packet6, four ? sizeof(packet4) : sizeof(packet6));
		if (four) {
			unsigned sum;

			packet[1] = (uint8_t)(0xb8 | inner);
			packet[10] = packet[11] = 0;
			sum = ~whole_sum(0, packet, 20);
			packet[10] = (uint8_t)(sum >> 8);
			packet[11] = (uint8_t)sum;
		} else {
			packet[0] = 0x6b;
			packet[1] = (uint8_t)(0x80 | inner << 4 | 5);
		}
		memcpy(sent, packet, sizeof(sent));
		assert_int_equal(ntmd_inner_ecn(packet, (uint8_t)(0x48 | outer)), ecn < 0 ? -NTM_DROP_ECN : 0);
		if (ecn < 0)
			continue;
		if (four) {
			assert_int_equal(packet[1], 0xb8 | ecn);
			assert_int_equal(whole_sum(0, packet, 20), 0xffff);
			packet[1] = sent[1];
			memcpy(packet + 10, sent + 10, 2);
		} else {
			assert_int_equal(packet[1], 0x80 | ecn << 4 | 5);
			packet[1] = sent[1];
		}
		assert_memory_equal(packet, sent, four ? sizeof(packet4) : sizeof(packet6));
	}
}

int main(void)
{
	const struct CMUnitTest inner[] = {
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(only_the_exact_length_is_taken_and_the_result_untouched_else),
		cmocka_unit_test(header_lengths_of_ipv4_are_checked),
		cmocka_unit_test(other_versions_are_refused),
		cmocka_unit_test(ipv4_mapped_addresses_are_refused_in_ipv6),
		cmocka_unit_test(local_addresses_are_told_from_hosts),
		cmocka_unit_test(unreachable_quotes_the_packet),
		cmocka_unit_test(too_big_tells_the_size_and_is_itself_small),
		cmocka_unit_test(no_error_answers_an_error_a_fragment_or_a_group),
		cmocka_unit_test(a_guessed_mtu_is_always_smaller),
		cmocka_unit_test(congestion_marks_come_in_from_the_outer_packet),
	};

	return cmocka_run_group_tests(inner, NULL, NULL);
}
