/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * piece.h - inner packets in pieces: those that do not fit the path, and may not be refused by ICMP either.
 * Cut and sent by user_piece.c in the bulk lane, one piece a data packet, and put together here at the far
 * end. Pure; memory is bounded by path and in all. doc/PROTOCOL.md, "Pieces".
 *
 *	0 (8 bit) | flags (8 bit; bit 0: more follow) | offset (16 bit) | id (32 bit) | bytes of the packet
 *
 * Integers are big endian, offsets in bytes.
 */
#ifndef NTMD_PIECE_H
#define NTMD_PIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/limits.h>

#define NTMD_PIECE_HEADER 8
#define NTMD_PIECE_MORE 0x01 /* flags; the other bits are 0 */
#define NTMD_PIECE_PACKET_MAX 65535 /* longest packet: bytes */

/* Writes the header of a piece whose first byte is the packet's `offset`. */
void ntmd_piece_header_build(uint8_t out[NTMD_PIECE_HEADER], bool more, unsigned offset, uint32_t id);

/* What all paths use together: bytes. */
struct ntmd_piece_room {
	size_t used, max;
};

struct ntmd_piece_packet { /* one that is not complete yet */
	uint8_t *data; /* NULL: the slot is free */
	size_t size; /* of data: bytes */
	uint32_t id;
	int64_t since_ms; /* its first piece came */
	unsigned total; /* its length; 0: not known yet */
	unsigned have; /* bytes that are there */
	unsigned ranges;
	struct {
		uint16_t at, end;
	} range[NTM_PIECES_MAX]; /* that are there: ascending, apart from each other */
	unsigned pieces;
};

struct ntmd_pieces { /* of one path; zero at first */
	struct ntmd_piece_room *room;
	size_t used; /* bytes of all data */
	uint64_t dropped; /* pieces refused, and packets given up incomplete */
	struct ntmd_piece_packet packet[NTM_PIECE_PACKETS_MAX];
};

void ntmd_piece_init(struct ntmd_pieces *ret_pieces, struct ntmd_piece_room *room);
/*
 * Takes the plaintext of a data packet that begins with 0. The length of the packet that is complete by it,
 * and ret_packet, which the caller frees; or 0: none is. A piece that breaks a rule is refused, and the
 * packet it belongs to is given up: it overlaps another (a copy does, too), lies behind the end, or is one
 * more than NTM_PIECES_MAX. When the path's room is full, its oldest packet is given up. now_ms: boot-time
 * clock.
 */
int ntmd_piece_take(struct ntmd_pieces *pieces, const uint8_t *plain, size_t len, int64_t now_ms,
		    uint8_t **ret_packet);
/* Gives up what is older than NTM_PIECE_MS. When the next one will be, or INT64_MAX: there is nothing
 * left. */
int64_t ntmd_piece_expire(struct ntmd_pieces *pieces, int64_t now_ms);
void ntmd_piece_clear(struct ntmd_pieces *pieces); /* frees all; nothing is counted */

#endif
