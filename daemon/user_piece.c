/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_piece.c - packets in pieces in the user engine: user_egress.c asks here which packets it may cut,
 * user_ingress.c brings pieces here until piece.c has the packet. A path that gets no pieces has no memory
 * here.
 */
#include <stdlib.h>

#include "daemon/inner.h"
#include "daemon/user_engine.h"

struct ntmd_user_pieces {
	LIST_ENTRY(ntmd_user_pieces) in_engine;
	struct ntmd_engine_path *path;
	struct ntmd_pieces pieces;
};

bool ntmd_user_piece_needed(const uint8_t *packet, size_t len)
{
	struct ntmd_inner inner;

	if (ntmd_inner_parse(&inner, packet, len))
		return false;
	if (inner.version == 6)
		return len <= NTMD_INNER_MTU_MIN6; /* IPv6 sends no smaller ones (RFC 8200, section 5) */
	return !(packet[6] & 0x40); /* without DF it may be cut on its way */
}

static void dropped_count(struct ntmd_user_pieces *pieces)
{
	for (; pieces->pieces.dropped; pieces->pieces.dropped--)
		ntmd_user_path_drop(pieces->path, NTM_DROP_PIECE);
}

void ntmd_user_piece_clear(struct ntmd_engine_path *path)
{
	struct ntmd_user_pieces *pieces = path->pieces;

	if (!pieces)
		return;
	path->pieces = NULL;
	ntmd_piece_clear(&pieces->pieces);
	LIST_REMOVE(pieces, in_engine);
	free(pieces);
}

/* Drops what is too old, and arms the timer for the rest, or frees the memory. */
static void settle(struct ntmd_user_pieces *pieces, int64_t now_ms)
{
	int64_t next = ntmd_piece_expire(&pieces->pieces, now_ms);

	dropped_count(pieces);
	if (next == INT64_MAX)
		ntmd_user_piece_clear(pieces->path);
	else
		ntmd_user_timer_arm(pieces->path->engine, next);
}

int ntmd_user_piece_take(struct ntmd_engine_path *path, const uint8_t *plain, size_t len,
			 uint8_t **ret_packet)
{
	struct ntmd_engine *engine = path->engine;
	int64_t now = ntmd_user_now_ms(engine);
	struct ntmd_user_pieces *pieces = path->pieces;
	int n;

	if (!pieces) {
		pieces = malloc(sizeof(*pieces));
		if (!pieces) {
			ntmd_user_path_drop(path, NTM_DROP_PIECE);
			return 0;
		}
		pieces->path = path;
		path->pieces = pieces;
		ntmd_piece_init(&pieces->pieces, &engine->piece_room);
		LIST_INSERT_HEAD(&engine->pieces, pieces, in_engine);
	}
	n = ntmd_piece_take(&pieces->pieces, plain, len, now, ret_packet);
	settle(pieces, now);
	return n;
}

void ntmd_user_piece_expire(struct ntmd_engine *engine)
{
	int64_t now = ntmd_user_now_ms(engine);
	struct ntmd_user_pieces *pieces, *next;

	for (pieces = LIST_FIRST(&engine->pieces); pieces; pieces = next) {
		next = LIST_NEXT(pieces, in_engine);
		settle(pieces, now);
	}
}
