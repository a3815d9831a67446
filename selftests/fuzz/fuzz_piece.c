/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_piece.c - daemon/piece.c with pieces in any order, of any form, at any time: what it keeps stays within its bounds and
 * is accounted for, and every packet that comes out has in each place the bytes of a piece that was put in there. The
 * input: records of 2 bytes of time, 2 of length, and the header of a piece; its bytes follow from that.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/piece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define require(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* What a byte of a packet is, by its place: pieces of all packets agree on it, so each one that comes out can be checked. */
static uint8_t byte_of(uint32_t id, size_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + id);
}

static void bounds_check(const struct ntmd_pieces *pieces, const struct ntmd_piece_room *room)
{
	size_t used = 0;

	for (unsigned i = 0; i < NTM_PIECE_PACKETS_MAX; i++) {
		const struct ntmd_piece_packet *packet = &pieces->packet[i];
		unsigned have = 0, end = 0;

		require(!packet->data == !packet->size);
		used += packet->size;
		require(packet->ranges <= packet->pieces && packet->pieces <= NTM_PIECES_MAX);
		for (unsigned k = 0; k < packet->ranges; k++) {
			/* Ascending, and not even touching. */
			require(packet->range[k].at < packet->range[k].end && (!k || packet->range[k].at > end));
			end = packet->range[k].end;
			have += end - packet->range[k].at;
		}
		require(have == packet->have && end <= packet->size && (!packet->total || end <= packet->total));
		require(!packet->data || !packet->total || have < packet->total);
	}
	require(used == pieces->used && used == room->used && used <= NTM_PIECE_BYTES && used <= room->max);
}

/* Fills a piece with what its place in its packet says. */
static void plain_fill(uint8_t *plain, size_t len)
{
	uint32_t id;
	size_t offset;

	if (len < NTMD_PIECE_HEADER)
		return;
	plain[4] = plain[5] = plain[6] = 0; /* few packets, or pieces would hardly meet */
	id = plain[7] &= 15;
	offset = (size_t)plain[2] << 8 | plain[3];
	for (size_t i = NTMD_PIECE_HEADER; i < len; i++)
		plain[i] = byte_of(id, offset + i - NTMD_PIECE_HEADER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ntmd_piece_room room = {.max = len & 1 ? 20000 : NTM_PIECE_TOTAL};
	struct ntmd_pieces pieces;
	int64_t now = 1;

	ntmd_piece_init(&pieces, &room);
	while (len > 4) {
		size_t n = ((size_t)data[2] << 8 | data[3]) % 2048;
		uint8_t *plain, *packet = NULL;
		uint64_t dropped = pieces.dropped;
		int got;

		now += data[0] & 0x80 ? (data[0] & 0x7f) << 8 | data[1] : 0;
		data += 4;
		len -= 4;
		/* What the input does not have is made up: long pieces from short inputs. */
		plain = calloc(1, n ? n : 1);
		require(plain);
		memcpy(plain, data, n < len ? n : len);
		if (n < len ? n : len)
			plain_fill(plain, n);
		got = ntmd_piece_take(&pieces, plain, n, now, &packet);
		require(got >= 0 && !got == !packet && pieces.dropped >= dropped);
		if (got) {
			require(got <= NTMD_PIECE_PACKET_MAX && got >= 2 && n > NTMD_PIECE_HEADER);
			for (int i = 0; i < got; i++)
				require(packet[i] == byte_of(plain[7], (size_t)i));
		}
		free(packet);
		free(plain);
		bounds_check(&pieces, &room);
		/* A record's plaintext is its header only: the rest follows from it. */
		n = n < NTMD_PIECE_HEADER ? n : NTMD_PIECE_HEADER;
		data += n < len ? n : len;
		len -= n < len ? n : len;
	}
	ntmd_piece_expire(&pieces, now + NTM_PIECE_MS);
	require(!pieces.used && !room.used);
	ntmd_piece_clear(&pieces);
	return 0;
}
