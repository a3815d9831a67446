/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_piece.c - daemon/piece.c: the header's bytes, every order of pieces, and each rule by which a piece is refused or a
 * packet given up. What it holds is checked to be freed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/piece.h"

static struct ntmd_piece_room room;
static struct ntmd_pieces pieces;
static uint8_t packet[70000];

static int setup(void **state)
{
	(void)state;
	room = (struct ntmd_piece_room){.max = NTM_PIECE_TOTAL};
	ntmd_piece_init(&pieces, &room);
	for (size_t i = 0; i < sizeof(packet); i++)
		packet[i] = (uint8_t)(i * 31 + i / 251);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ntmd_piece_clear(&pieces);
	assert_int_equal(pieces.used, 0);
	assert_int_equal(room.used, 0);
	return 0;
}

/* One piece of `packet`, at exactly its length in memory; the length of what is complete, compared and freed. */
static int take_at(uint32_t id, size_t at, size_t len, bool more, int64_t now_ms)
{
	uint8_t *plain = malloc(NTMD_PIECE_HEADER + len), *whole = NULL;
	int n;

	assert_non_null(plain);
	ntmd_piece_header_build(plain, more, (unsigned)at, id);
	memcpy(plain + NTMD_PIECE_HEADER, packet + at, len);
	n = ntmd_piece_take(&pieces, plain, NTMD_PIECE_HEADER + len, now_ms, &whole);
	free(plain);
	if (n) {
		assert_memory_equal(whole, packet, (size_t)n);
		free(whole);
	} else {
		assert_null(whole);
	}
	return n;
}

static int take(uint32_t id, size_t at, size_t len, bool more)
{
	return take_at(id, at, len, more, 1000);
}

static unsigned kept(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NTM_PIECE_PACKETS_MAX; i++)
		n += pieces.packet[i].data != NULL;
	return n;
}

static void the_header_has_these_bytes(void **state)
{
	static const uint8_t first[] = {0, 1, 0, 0, 0xde, 0xad, 0xbe, 0xef};
	static const uint8_t last[] = {0, 0, 0x04, 0x20, 0, 0, 0, 7};
	uint8_t out[NTMD_PIECE_HEADER];

	(void)state;
	ntmd_piece_header_build(out, true, 0, 0xdeadbeef);
	assert_memory_equal(out, first, sizeof(out));
	ntmd_piece_header_build(out, false, 1056, 7);
	assert_memory_equal(out, last, sizeof(out));
}

/* Every order of five pieces. */
static void order_does_not_matter(void **state)
{
	static const unsigned at[] = {0, 300, 500, 1000, 1100, 1420};

	(void)state;
	for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5; code++) {
		unsigned order[5], seen = 0, c = code;

		for (int i = 0; i < 5; i++, c /= 5) {
			order[i] = c % 5;
			seen |= 1u << order[i];
		}
		if (seen != 31)
			continue;
		for (int i = 0; i < 5; i++) {
			unsigned k = order[i];

			assert_int_equal(take(code, at[k], at[k + 1] - at[k], k < 4), i < 4 ? 0 : 1420);
		}
		assert_int_equal(kept(), 0);
	}
	assert_int_equal(pieces.dropped, 0);
	assert_int_equal(room.used, 0);
}

static void packets_may_come_mixed(void **state)
{
	(void)state;
	for (uint32_t id = 0; id < NTM_PIECE_PACKETS_MAX; id++)
		assert_int_equal(take(id, 0, 100, true), 0);
	for (uint32_t id = NTM_PIECE_PACKETS_MAX; id-- > 0;)
		assert_int_equal(take(id, 100, 50 + id, false), 150 + (int)id);
	assert_int_equal(pieces.dropped, 0);
}

static void malformed_pieces_are_refused(void **state)
{
	uint8_t plain[16] = {0}, *whole = NULL;
	unsigned refused = 0;

	(void)state;
	for (size_t len = 0; len <= NTMD_PIECE_HEADER; len++, refused++) { /* no byte of a packet */
		plain[1] = NTMD_PIECE_MORE;
		assert_int_equal(ntmd_piece_take(&pieces, plain, len, 1000, &whole), 0);
	}
	for (unsigned flags = 2; flags < 256; flags++, refused++) { /* bits without a meaning */
		plain[1] = (uint8_t)flags;
		plain[3] = 1;
		assert_int_equal(ntmd_piece_take(&pieces, plain, 12, 1000, &whole), 0);
	}
	plain[0] = 0x45; /* no piece */
	plain[1] = NTMD_PIECE_MORE;
	assert_int_equal(ntmd_piece_take(&pieces, plain, 12, 1000, &whole), 0);
	refused++;
	assert_int_equal(take(1, 0, 500, false), 0); /* one piece is no packet in pieces */
	assert_int_equal(take(1, 65000, 536, false), 0); /* 65536 bytes */
	assert_int_equal(take(1, 65000, 535, true), 0); /* no room for more */
	refused += 3;
	assert_int_equal(pieces.dropped, refused);
	assert_int_equal(kept(), 0);
	assert_null(whole);
}

static void the_longest_packet_fits(void **state)
{
	(void)state;
	assert_int_equal(take(1, 65000, 535, false), 0);
	for (size_t at = 0; at < 64000; at += 2000)
		assert_int_equal(take(1, at, 2000, true), 0);
	assert_int_equal(take(1, 64000, 1000, true), 65535);
	assert_int_equal(pieces.dropped, 0);
}

/* Two pieces are there, [100, 200) and [300, 400); a third one that touches any byte of them ends it. */
static void overlaps_give_the_packet_up(void **state)
{
	(void)state;
	for (size_t at = 60; at < 440; at += 20) {
		for (size_t end = at + 20; end <= 460; end += 20) {
			bool overlaps = (at < 200 && end > 100) || (at < 400 && end > 300);
			uint64_t before = pieces.dropped;

			assert_int_equal(take(5, 300, 100, true), 0);
			assert_int_equal(take(5, 100, 100, true), 0);
			assert_int_equal(take(5, at, end - at, true), 0);
			assert_int_equal(pieces.dropped - before, overlaps);
			assert_int_equal(kept(), !overlaps);
			if (!overlaps) {
				assert_int_equal(pieces.packet[0].have, 200 + end - at);
				assert_int_equal(take(5, 100, 1, true), 0); /* ends it as well */
			}
			assert_int_equal(kept(), 0);
		}
	}
}

static void a_copy_is_an_overlap(void **state)
{
	(void)state;
	take(1, 0, 100, true);
	assert_int_equal(take(1, 0, 100, true), 0);
	assert_int_equal(pieces.dropped, 1);
	assert_int_equal(kept(), 0);
	take(2, 100, 100, false);
	assert_int_equal(take(2, 100, 100, false), 0);
	assert_int_equal(pieces.dropped, 2);
	assert_int_equal(kept(), 0);
}

static void the_end_is_one_and_the_last(void **state)
{
	(void)state;
	take(1, 100, 100, false);
	assert_int_equal(take(1, 200, 100, true), 0); /* behind it */
	assert_int_equal(pieces.dropped, 1);
	take(1, 100, 100, false);
	assert_int_equal(take(1, 50, 50, false), 0); /* a second one */
	assert_int_equal(pieces.dropped, 2);
	take(1, 500, 100, true);
	assert_int_equal(take(1, 300, 100, false), 0); /* before what is there */
	assert_int_equal(pieces.dropped, 3);
	take(1, 50, 50, true);
	take(1, 100, 100, false);
	assert_int_equal(take(1, 0, 150, true), 0);
	assert_int_equal(pieces.dropped, 4);
	/* "More" that ends where the end is. */
	take(1, 100, 100, false);
	assert_int_equal(take(1, 150, 50, true), 0);
	assert_int_equal(pieces.dropped, 5);
	assert_int_equal(kept(), 0);
}

static void a_gap_is_not_complete(void **state)
{
	(void)state;
	take(1, 0, 100, true);
	assert_int_equal(take(1, 101, 99, false), 0);
	assert_int_equal(kept(), 1);
	assert_int_equal(take(1, 100, 1, true), 200);
}

static void pieces_are_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < NTM_PIECES_MAX - 1; i++)
		assert_int_equal(take(1, 2 * i, 1, true), 0);
	assert_int_equal(take(1, 2000, 1, true), 0);
	assert_int_equal(kept(), 1);
	assert_int_equal(pieces.packet[0].ranges, NTM_PIECES_MAX);
	assert_int_equal(take(1, 1, 1, true), 0);
	assert_int_equal(kept(), 0);
	assert_int_equal(pieces.dropped, 1);
	/* So many are fine. */
	for (size_t i = 1; i < NTM_PIECES_MAX; i++)
		assert_int_equal(take(2, 10 * i, 10, i < NTM_PIECES_MAX - 1), 0);
	assert_int_equal(take(2, 0, 10, true), 10 * NTM_PIECES_MAX);
}

static void the_oldest_packet_goes_when_there_are_too_many(void **state)
{
	(void)state;
	for (uint32_t id = 0; id < NTM_PIECE_PACKETS_MAX; id++)
		take_at(id, 0, 10, true, 1000 + id);
	take_at(100, 0, 10, true, 1500);
	assert_int_equal(pieces.dropped, 1);
	assert_int_equal(kept(), NTM_PIECE_PACKETS_MAX);
	assert_int_equal(take_at(1, 10, 10, false, 1500), 20);
	assert_int_equal(take_at(100, 10, 10, false, 1500), 20);
	assert_int_equal(take_at(0, 10, 10, false, 1500), 0); /* it is gone: a new one */
}

static void bytes_are_bounded(void **state)
{
	(void)state;
	take_at(1, 30000, 10, true, 1000);
	take_at(2, 30000, 10, true, 1001);
	assert_int_equal(kept(), 2);
	take_at(3, 6000, 10, true, 1002);
	assert_int_equal(kept(), 2);
	assert_int_equal(pieces.dropped, 1);
	assert_true(pieces.used <= NTM_PIECE_BYTES);
	/* A packet that grows makes room by the others, never by itself. */
	take_at(2, 65000, 10, true, 1003);
	assert_int_equal(kept(), 1);
	assert_int_equal(pieces.dropped, 2);
	assert_int_equal(pieces.packet[0].data ? pieces.packet[0].id : pieces.packet[1].id, 2);
	assert_int_equal(room.used, pieces.used);
	/* The room of all paths. */
	room.max = room.used + 100;
	assert_int_equal(take_at(4, 0, 200, true, 1004), 0);
	assert_int_equal(pieces.dropped, 3);
	assert_int_equal(take_at(5, 0, 100, true, 1004), 0);
	assert_int_equal(pieces.dropped, 3);
	assert_int_equal(take_at(5, 100, 1, false, 1004), 0);
	assert_int_equal(pieces.dropped, 4);
	assert_int_equal(kept(), 1);
}

static void time_is_bounded(void **state)
{
	(void)state;
	take_at(1, 0, 100, true, 1000);
	take_at(2, 0, 100, true, 1500);
	/* Counted from the first piece, whatever comes after it. */
	take_at(1, 200, 100, false, 1000 + NTM_PIECE_MS - 1);
	assert_int_equal(ntmd_piece_expire(&pieces, 1000 + NTM_PIECE_MS - 1), 1000 + NTM_PIECE_MS);
	assert_int_equal(kept(), 2);
	assert_int_equal(ntmd_piece_expire(&pieces, 1000 + NTM_PIECE_MS), 1500 + NTM_PIECE_MS);
	assert_int_equal(kept(), 1);
	assert_int_equal(pieces.dropped, 1);
	/* A piece that comes too late for its packet begins a new one. */
	assert_int_equal(take_at(2, 100, 100, false, 1500 + NTM_PIECE_MS), 0);
	assert_int_equal(pieces.dropped, 2);
	assert_int_equal(kept(), 1);
	assert_true(ntmd_piece_expire(&pieces, 99999) == INT64_MAX);
	assert_int_equal(pieces.dropped, 3);
	assert_int_equal(room.used, 0);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(the_header_has_these_bytes),
		test(order_does_not_matter),
		test(packets_may_come_mixed),
		test(malformed_pieces_are_refused),
		test(the_longest_packet_fits),
		test(overlaps_give_the_packet_up),
		test(a_copy_is_an_overlap),
		test(the_end_is_one_and_the_last),
		test(a_gap_is_not_complete),
		test(pieces_are_counted),
		test(the_oldest_packet_goes_when_there_are_too_many),
		test(bytes_are_bounded),
		test(time_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
