/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * drop.h - every reason for which a packet or message is dropped, once. Kernel and user space count by
 * these numbers, `ntmctl stats` prints the names. Append only: the numbers are map keys.
 *
 * X(NAME, "name_in_stats", "what it means")
 */
#ifndef NTM_DROP_H
#define NTM_DROP_H

#define NTM_DROP_LIST(X) \
	X(SHORT, "short", "shorter than its form needs") \
	X(LONG, "long", "longer than allowed") \
	X(TYPE_UNKNOWN, "type_unknown", "unknown packet type") \
	X(TYPE_UNEXPECTED, "type_unexpected", "a packet type that this program does not take") \
	X(SESSION_UNKNOWN, "session_unknown", "unknown session ID") \
	X(PATH_UNKNOWN, "path_unknown", "unknown Path ID") \
	X(PHASE_UNKNOWN, "phase_unknown", "no key for this key phase") \
	X(KEY_EXPIRED, "key_expired", "the key reached its hard limit") \
	X(SIDE, "side", "sent by our own side: reflected") \
	X(AUTH, "auth", "authentication failed") \
	X(REPLAY, "replay", "counter seen before or too old") \
	X(SOURCE, "source", "from an endpoint that does not belong to the path") \
	X(STRANGER, "stranger", "handshake from a key that is not trusted here") \
	X(MAC1, "mac1", "handshake without a valid mac1") \
	X(COOKIE_NEEDED, "cookie_needed", "handshake under load answered with a cookie") \
	X(HANDSHAKE, "handshake", "handshake message that does not open") \
	X(UNMATCHED, "unmatched", "response to no outstanding request") \
	X(FIELD_TRUNCATED, "field_truncated", "control message: field cut off") \
	X(FIELD_UNKNOWN, "field_unknown", "control message: unknown field that must not be ignored") \
	X(FIELD_ORDER, "field_order", "control message: field twice or out of order") \
	X(FIELD_LENGTH, "field_length", "control message: field of a wrong length") \
	X(FIELD_VALUE, "field_value", "control message: field with a forbidden value") \
	X(FIELD_MISSING, "field_missing", "control message: required field missing") \
	X(FIELD_MANY, "field_many", "control message: field repeated too often") \
	X(MESSAGE_UNKNOWN, "message_unknown", "control message of unknown kind") \
	X(RATE, "rate", "rate limit of unauthenticated answers") \
	X(LIMIT, "limit", "a limit of limits.h is reached") \
	X(INNER_SHORT, "inner_short", "inner packet too short or with bad lengths") \
	X(INNER_VERSION, "inner_version", "inner packet is neither IPv4 nor IPv6") \
	X(INNER_SOURCE, "inner_source", "inner source is not the peer's virtual address") \
	X(INNER_DEST, "inner_dest", "inner destination is not our virtual address") \
	X(NO_PATH, "no_path", "packet to a virtual address without a tunnel") \
	X(NO_ROUTE, "no_route", "no usable route to the far end") \
	X(NO_KEY, "no_key", "tunnel not established yet") \
	X(HELD_FULL, "held_full", "too many packets waiting for a tunnel or a route") \
	X(HELD_OLD, "held_old", "packet waited too long for a tunnel or a route") \
	X(TOO_BIG, "too_big", "larger than the path's MTU") \
	X(SEND, "send", "the system refused to send") \
	X(TUN_WRITE, "tun_write", "the TUN device refused the packet") \
	X(SOCKET_OVERRUN, "socket_overrun", "lost in a full socket buffer") \
	X(LEG_UNBOUND, "leg_unbound", "relay: the other leg has not bound") \
	X(BIND_CHALLENGE, "bind_challenge", "relay: challenge wrong or too old") \
	X(BIND_OLD, "bind_old", "relay: bind older than the last one") \
	X(CHECKSUM, "checksum", "inner checksum is wrong") \
	X(PIECE, "piece", "piece of a packet that does not fit the others") \
	X(CIPHER, "cipher", "handshake of two ends that allow no cipher in common") \
	X(HOP_LIMIT, "hop_limit", "relay: hop limit (TTL) used up") \
	X(CHECKSUM_NONE, "checksum_none", "relay: no UDP checksum where IPv6 needs one") \
	X(ECN, "ecn", "marked for congestion on the way, and the inner packet cannot carry the mark") \
	X(FOREIGN, "foreign", "another DC told of a name or virtual address that is not its own")

enum ntm_drop {
	NTM_DROP_NONE = 0,
#define X(name, string, text) NTM_DROP_##name,
	NTM_DROP_LIST(X)
#undef X
	NTM_DROP_MAX
};

#endif
