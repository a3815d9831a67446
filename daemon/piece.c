/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * piece.c - puts packets that came in pieces together. Before it: user_piece.c, which gets authentic pieces
 * from user_ingress.c; behind it: the same inner checks as for a packet that came whole.
 *
 * The peer is authenticated but not trusted: what it can make us keep is bounded, and no byte is ever written
 * twice, so that no rule about which copy counts is needed.
 */
#include "daemon/piece.h"

#include <stdlib.h>
#include <string.h>

struct piece {
	bool more;
	unsigned offset, end;
	uint32_t id;
	const uint8_t *data;
};

void ntmd_piece_header_build(uint8_t out[NTMD_PIECE_HEADER], bool more, unsigned offset, uint32_t id)
{
	out[0] = 0;
	out[1] = more ? NTMD_PIECE_MORE : 0;
	out[2] = (uint8_t)(offset >> 8);
	out[3] = (uint8_t)offset;
	for (int i = 0; i < 4; i++)
		out[4 + i] = (uint8_t)(id >> (24 - 8 * i));
}

static bool piece_parse(struct piece *piece, const uint8_t *plain, size_t len)
{
	if (len <= NTMD_PIECE_HEADER || plain[0] || plain[1] & ~NTMD_PIECE_MORE)
		return false;
	piece->more = plain[1] & NTMD_PIECE_MORE;
	piece->offset = (unsigned)plain[2] << 8 | plain[3];
	piece->id = (uint32_t)plain[4] << 24 | (uint32_t)plain[5] << 16 | (uint32_t)plain[6] << 8 | plain[7];
	piece->data = plain + NTMD_PIECE_HEADER;
	if (len - NTMD_PIECE_HEADER > NTMD_PIECE_PACKET_MAX - piece->offset)
		return false;
	piece->end = piece->offset + (unsigned)(len - NTMD_PIECE_HEADER);
	/* One piece is no packet in pieces; and behind the last byte that a packet can have nothing
	 * follows. */
	return piece->more ? piece->end < NTMD_PIECE_PACKET_MAX : piece->offset != 0;
}

/* ---- packets that are not complete */

static void packet_resize(struct ntmd_pieces *pieces, struct ntmd_piece_packet *packet, size_t size)
{
	pieces->used += size - packet->size;
	pieces->room->used += size - packet->size;
	packet->size = size;
}

/* The slot is free then; the data is the caller's. */
static uint8_t *packet_take_out(struct ntmd_pieces *pieces, struct ntmd_piece_packet *packet)
{
	uint8_t *data = packet->data;

	packet_resize(pieces, packet, 0);
	memset(packet, 0, sizeof(*packet));
	return data;
}

static void packet_give_up(struct ntmd_pieces *pieces, struct ntmd_piece_packet *packet)
{
	free(packet_take_out(pieces, packet));
	pieces->dropped++;
}

static struct ntmd_piece_packet *packet_find(struct ntmd_pieces *pieces, uint32_t id)
{
	for (unsigned i = 0; i < NTM_PIECE_PACKETS_MAX; i++)
		if (pieces->packet[i].data && pieces->packet[i].id == id)
			return &pieces->packet[i];
	return NULL;
}

static struct ntmd_piece_packet *oldest_but(struct ntmd_pieces *pieces, const struct ntmd_piece_packet *but)
{
	struct ntmd_piece_packet *oldest = NULL;

	for (unsigned i = 0; i < NTM_PIECE_PACKETS_MAX; i++) {
		struct ntmd_piece_packet *packet = &pieces->packet[i];

		if (packet->data && packet != but && (!oldest || packet->since_ms < oldest->since_ms))
			oldest = packet;
	}
	return oldest;
}

static struct ntmd_piece_packet *packet_new(struct ntmd_pieces *pieces, uint32_t id, int64_t now_ms)
{
	struct ntmd_piece_packet *packet = NULL;

	for (unsigned i = 0; i < NTM_PIECE_PACKETS_MAX && !packet; i++)
		if (!pieces->packet[i].data)
			packet = &pieces->packet[i];
	if (!packet) {
		packet = oldest_but(pieces, NULL);
		packet_give_up(pieces, packet);
	}
	packet->id = id;
	packet->since_ms = now_ms;
	return packet;
}

/* Room for `size` bytes. */
static bool packet_grow(struct ntmd_pieces *pieces, struct ntmd_piece_packet *packet, size_t size)
{
	struct ntmd_piece_packet *oldest;
	uint8_t *data;

	if (size <= packet->size)
		return true;
	while (pieces->used - packet->size + size > NTM_PIECE_BYTES && (oldest = oldest_but(pieces, packet)))
		packet_give_up(pieces, oldest);
	if (pieces->room->used - packet->size + size > pieces->room->max)
		return false;
	data = realloc(packet->data, size);
	if (!data)
		return false;
	packet->data = data;
	packet_resize(pieces, packet, size);
	return true;
}

/* Adds the piece to what is there; false: it overlaps, or there are too many. */
static bool range_add(struct ntmd_piece_packet *packet, const struct piece *piece)
{
	unsigned i = 0;

	while (i < packet->ranges && packet->range[i].end < piece->offset)
		i++;
	/* The first one that ends at the piece's begin, or behind it. */
	if (i < packet->ranges && packet->range[i].end == piece->offset) {
		if (i + 1 < packet->ranges && packet->range[i + 1].at < piece->end)
			return false;
		packet->range[i].end = (uint16_t)piece->end;
		if (i + 1 < packet->ranges && packet->range[i + 1].at == piece->end) {
			packet->range[i].end = packet->range[i + 1].end;
			packet->ranges--;
			memmove(&packet->range[i + 1], &packet->range[i + 2],
				(packet->ranges - i - 1) * sizeof(packet->range[0]));
		}
		return true;
	}
	if (i < packet->ranges && packet->range[i].at < piece->end)
		return false;
	if (i < packet->ranges && packet->range[i].at == piece->end) {
		packet->range[i].at = (uint16_t)piece->offset;
		return true;
	}
	/* No more ranges than pieces, and those are counted. */
	memmove(&packet->range[i + 1], &packet->range[i], (packet->ranges - i) * sizeof(packet->range[0]));
	packet->range[i].at = (uint16_t)piece->offset;
	packet->range[i].end = (uint16_t)piece->end;
	packet->ranges++;
	return true;
}

/* Whether the piece agrees with what is known of the packet's length. */
static bool end_agrees(const struct ntmd_piece_packet *packet, const struct piece *piece)
{
	unsigned last = packet->ranges ? packet->range[packet->ranges - 1].end : 0;

	if (packet->total)
		return piece->more && piece->end < packet->total;
	return piece->more || last <= piece->offset;
}

static bool piece_add(struct ntmd_pieces *pieces, struct ntmd_piece_packet *packet, const struct piece *piece)
{
	if (packet->pieces >= NTM_PIECES_MAX || !end_agrees(packet, piece) ||
	    !packet_grow(pieces, packet, piece->end) || !range_add(packet, piece))
		return false;
	memcpy(packet->data + piece->offset, piece->data, piece->end - piece->offset);
	packet->pieces++;
	packet->have += piece->end - piece->offset;
	if (!piece->more)
		packet->total = piece->end;
	return true;
}

int ntmd_piece_take(struct ntmd_pieces *pieces, const uint8_t *plain, size_t len, int64_t now_ms,
		    uint8_t **ret_packet)
{
	struct ntmd_piece_packet *packet;
	struct piece piece;
	unsigned total;

	ntmd_piece_expire(pieces, now_ms);
	if (!piece_parse(&piece, plain, len)) {
		pieces->dropped++;
		return 0;
	}
	packet = packet_find(pieces, piece.id);
	if (!packet)
		packet = packet_new(pieces, piece.id, now_ms);
	if (!piece_add(pieces, packet, &piece)) {
		packet_give_up(pieces, packet);
		return 0;
	}
	if (!packet->total || packet->have < packet->total)
		return 0;
	total = packet->total;
	*ret_packet = packet_take_out(pieces, packet);
	return (int)total;
}

int64_t ntmd_piece_expire(struct ntmd_pieces *pieces, int64_t now_ms)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < NTM_PIECE_PACKETS_MAX; i++) {
		struct ntmd_piece_packet *packet = &pieces->packet[i];

		if (!packet->data)
			continue;
		if (now_ms - packet->since_ms >= NTM_PIECE_MS)
			packet_give_up(pieces, packet);
		else if (packet->since_ms + NTM_PIECE_MS < next)
			next = packet->since_ms + NTM_PIECE_MS;
	}
	return next;
}

void ntmd_piece_init(struct ntmd_pieces *ret_pieces, struct ntmd_piece_room *room)
{
	memset(ret_pieces, 0, sizeof(*ret_pieces));
	ret_pieces->room = room;
}

void ntmd_piece_clear(struct ntmd_pieces *pieces)
{
	for (unsigned i = 0; i < NTM_PIECE_PACKETS_MAX; i++)
		if (pieces->packet[i].data)
			free(packet_take_out(pieces, &pieces->packet[i]));
}
