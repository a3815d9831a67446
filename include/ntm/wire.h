/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * wire.h - numbers of the control messages and their fields. doc/PROTOCOL.md gives every message byte for
 * byte; lib/msg.h has them as structures, lib/msg_<procedure>.c converts.
 *
 * A control message is  message (16 bit) | 0 (16 bit) | transaction (32 bit) | fields...
 * A field is            type (16 bit) | length of the value (16 bit) | value
 * Fields stand in ascending order of type; only those marked as lists may repeat. Bit 15 of a type says
 * that a receiver who does not know the field may ignore it. Everything else unknown refuses the message.
 */
#ifndef NTM_WIRE_H
#define NTM_WIRE_H

#define NTM_VERSION_1 1
#define NTM_PROLOGUE "NTM1" /* then the 16 bytes of the header of message 1, and for tunnels more */
#define NTM_MSG_HEADER_LEN 8
#define NTM_FIELD_HEADER_LEN 4
#define NTM_FIELD_MAY_IGNORE 0x8000

/* Requests are odd, their responses even; notices without a response are from 0x80. */
enum ntm_msg_type {
	NTM_MSG_REGISTRATION_REQUEST = 0x01, /* node -> DC */
	NTM_MSG_REGISTRATION_RESPONSE = 0x02,
	NTM_MSG_KEEPALIVE_REQUEST = 0x03, /* node -> DC, DC -> RS, DC -> DC, node <-> node (path control) */
	NTM_MSG_KEEPALIVE_RESPONSE = 0x04,
	NTM_MSG_DIRECTION_REQUEST = 0x05, /* node -> DC */
	NTM_MSG_DIRECTION_RESPONSE = 0x06,
	NTM_MSG_ROUTE_DIRECTION = 0x07, /* DC -> node, DC -> DC */
	NTM_MSG_ROUTE_DIRECTION_ACK = 0x08,
	NTM_MSG_ROUTE_WITHDRAW = 0x09, /* DC -> node, DC -> DC, node -> DC */
	NTM_MSG_ROUTE_WITHDRAW_ACK = 0x0a,
	NTM_MSG_RELAY_DIRECTION = 0x0b, /* DC -> RS */
	NTM_MSG_RELAY_RESPONSE = 0x0c,
	NTM_MSG_RELAY_WITHDRAW = 0x0d, /* DC -> RS */
	NTM_MSG_RELAY_WITHDRAW_ACK = 0x0e,
	NTM_MSG_LOCATION_REQUEST = 0x0f, /* DC -> DC */
	NTM_MSG_LOCATION_RESPONSE = 0x10,
	NTM_MSG_ADDRESS_CHALLENGE = 0x11, /* either end of a session: prove that you receive here */
	NTM_MSG_ADDRESS_RESPONSE = 0x12,
	NTM_MSG_PATH_CHALLENGE = 0x13, /* path control: prove that you receive here */
	NTM_MSG_PATH_RESPONSE = 0x14, /* answers PATH_CHALLENGE and PATH_UPDATE */
	NTM_MSG_PATH_UPDATE = 0x15, /* path control: I am here now */
	NTM_MSG_TUNNEL_CLOSE = 0x17, /* path control */
	NTM_MSG_TUNNEL_CLOSE_ACK = 0x18,
	NTM_MSG_ERROR = 0x7e, /* instead of a response */
	NTM_MSG_BULK_ACK = 0x80, /* path control: the daemon lives and takes bulk data */
	NTM_MSG_RELAY_REPORT = 0x82, /* RS -> DC: load */
};

/* Error codes: a text for people goes with each. */
#define NTM_ERROR_LIST(X) \
	X(MALFORMED, 1, "the message is malformed") \
	X(NOT_MEMBER, 2, "not a member of this DC") \
	X(WRONG_NAME, 3, "the name belongs to another key") \
	X(POOL_EXHAUSTED, 4, "no virtual address is left") \
	X(DATABASE, 5, "the DC's database cannot be written") \
	X(NAME_UNKNOWN, 6, "no node has this name or address") \
	X(NOT_REGISTERED, 7, "the node is a member but not registered now") \
	X(NO_ROUTE, 8, "no direct route and no relay that reaches both ends") \
	X(PATH_ID_TAKEN, 9, "the Path ID is in use for another pair") \
	X(PATH_UNKNOWN, 10, "the Path ID is unknown") \
	X(SUPERSEDED, 11, "another direction for this pair is kept") \
	X(LIMIT, 12, "a limit is reached") \
	X(REFUSED, 13, "refused by policy") \
	X(TIMEOUT, 14, "the far end did not answer") \
	X(PEER_KEY, 15, "the peer's key is not the pinned one") \
	X(UNSUPPORTED, 16, "this receiver does not take the message") \
	X(CIPHER, 17, "the two ends allow no cipher in common")

enum ntm_error {
	NTM_ERROR_NONE = 0,
#define X(name, number, text) NTM_ERROR_##name = number,
	NTM_ERROR_LIST(X)
#undef X
};

/* Field types. One number has one form everywhere; lib/msg_*.c say which message holds which. */
enum ntm_field_type {
	NTM_FIELD_FQDN = 1, /* name: whom the message is about */
	NTM_FIELD_PATH_ID = 2, /* u64 */
	NTM_FIELD_SIDE = 3, /* u8, enum ntm_side */
	NTM_FIELD_PUBLIC_KEY = 4, /* 32 bytes */
	NTM_FIELD_CK = 5, /* 32 bytes: common key */
	NTM_FIELD_LIFETIME = 6, /* u32, seconds */
	NTM_FIELD_VIP = 7, /* 16 bytes: a virtual address asked for */
	NTM_FIELD_VIP4 = 8, /* 4 bytes */
	NTM_FIELD_VIP6 = 9, /* 16 bytes */
	NTM_FIELD_VIP4_PREFIX = 10, /* u8, bits */
	NTM_FIELD_VIP6_PREFIX = 11, /* u8, bits */
	NTM_FIELD_REAL_ADDRESS = 12, /* endpoint, list: RIP4/RIP6 and the node's UDP port */
	NTM_FIELD_NAT = 13, /* u8, enum ntm_nat */
	NTM_FIELD_OBSERVED = 14, /* endpoint: the source as the receiver saw it; list in a LOCATION */
	NTM_FIELD_SERVER = 15, /* endpoint, list: where the DC or RS listens */
	NTM_FIELD_RELAY = 16, /* fields of struct ntm_relay_info; list in a Registration Response */
	NTM_FIELD_RELAY_RTT = 17, /* fields of struct ntm_relay_rtt, list */
	NTM_FIELD_CANDIDATE = 18, /* fields of struct ntm_candidate, list, best first */
	NTM_FIELD_VERDICT = 19, /* fields of struct ntm_verdict, list: for `path explain` */
	NTM_FIELD_REASON = 20, /* u8, enum ntm_reason */
	NTM_FIELD_ERROR_CODE = 21, /* u16, enum ntm_error */
	NTM_FIELD_TEXT = 22, /* text for people */
	NTM_FIELD_NONCE = 23, /* u64: what a challenge asks to be repeated */
	NTM_FIELD_SEQUENCE = 24, /* u64: of Path Updates, by path and sender */
	NTM_FIELD_SESSION_ID = 25, /* u64: where the responder of a handshake wants its packets */
	NTM_FIELD_RESET_TOKEN = 26, /* 16 bytes */
	NTM_FIELD_VERSION = 27, /* u8 */
	NTM_FIELD_CIPHERS = 28, /* u32, bits: 1 << enum ntm_cipher; 1 << (NTM_CIPHERS_SLOW_SHIFT + it) */
	NTM_FIELD_CIPHER = 29, /* u8, the one chosen */
	NTM_FIELD_MTU = 30, /* u16: largest inner packet taken */
	NTM_FIELD_PHASE = 31, /* u8, key phase K */
	NTM_FIELD_LEG_KEY0 = 32, /* 32 bytes */
	NTM_FIELD_LEG_KEY1 = 33, /* 32 bytes */
	NTM_FIELD_RATE = 34, /* u64, bytes a second, 0: no limit */
	NTM_FIELD_BOOT_ID = 35, /* u64, random at every start of the sender */
	NTM_FIELD_LOAD = 36, /* fields of struct ntm_load */
	NTM_FIELD_ZONE = 37, /* name */
	NTM_FIELD_DC_NAME = 38, /* name */
	NTM_FIELD_DNS_SERVER = 39, /* endpoint, list */
	NTM_FIELD_TARGET = 40, /* name: the member a DC is asked to pass the message on to */
	NTM_FIELD_KIND = 41, /* u8, enum ntm_route_kind */
	NTM_FIELD_RTT = 42, /* u32, microseconds */
	NTM_FIELD_PACKETS_PER_S = 43, /* u32 */
	NTM_FIELD_BYTES_PER_S = 44, /* u64 */
	NTM_FIELD_PATHS = 45, /* u32 */
	NTM_FIELD_CPU_PERMILLE = 46, /* u32, of one core */
	NTM_FIELD_NAME = 47, /* name: of a relay */
	NTM_FIELD_WHY = 48, /* u8, enum ntm_why */
	NTM_FIELD_ENDPOINT = 49, /* endpoint */
	NTM_FIELD_REGISTERED = 50, /* u8, 0 or 1 */
	NTM_FIELD_SOFTWARE = 52, /* text: name and version of the sender */
	/* Zero bytes, any number: makes a PATH_CHALLENGE as long as wanted */
	NTM_FIELD_PADDING = NTM_FIELD_MAY_IGNORE | 53,
	/* u8, 1: the RS takes no new paths and ends without any */
	NTM_FIELD_DRAINING = NTM_FIELD_MAY_IGNORE | 54,
	NTM_FIELD_BOUND = NTM_FIELD_MAY_IGNORE | 55, /* u8, bits by side: these legs of the path are bound */
};

/* Why a direction is asked for, or a path closed. */
enum ntm_reason {
	NTM_REASON_NAME = 1, /* a name was looked up */
	NTM_REASON_PACKET = 2, /* a packet to a virtual address without a tunnel */
	NTM_REASON_HANDOVER = 3, /* an end moved: is there a better route? */
	NTM_REASON_LOST = 4, /* the far end or the RS forgot the path */
	NTM_REASON_RENEW = 5, /* CK grows old */
	NTM_REASON_SUPERSEDED = 6,
	NTM_REASON_IDLE = 7,
	NTM_REASON_USER = 8, /* a person said so */
	NTM_REASON_REMOVED = 9, /* the node is no member any more */
	NTM_REASON_SHUTDOWN = 10,
};

/* Why a route was taken or not (`ntmctl path explain`). X(NAME, number, text) */
#define NTM_WHY_LIST(X) \
	X(CANDIDATE, 1, "candidate: both ends probe it") \
	X(STANDBY, 2, "standby while no direct route is proven") \
	X(NO_ADDRESS_MN, 3, "the requester has no such address") \
	X(NO_ADDRESS_CN, 4, "the correspondent has no such address") \
	X(NO_NAT, 5, "no NAT is in the way") \
	X(OTHER_NAT, 6, "they are not behind the same NAT") \
	X(HARD_NAT, 7, "a NAT maps by destination, hole punching cannot work") \
	X(BOTH_NAT, 8, "both are behind NATs") \
	X(RELAY_DOWN, 9, "the relay does not answer its DC") \
	X(RELAY_FAMILY, 10, "the relay has no address family both ends reach") \
	X(RELAY_SLOWER, 11, "another relay is nearer or less loaded") \
	X(NO_RELAY, 12, "this DC has no relay") \
	X(RELAY_DRAINING, 13, "the relay is being drained: it takes no new paths")

enum ntm_why {
	NTM_WHY_NONE = 0,
#define X(name, number, text) NTM_WHY_##name = number,
	NTM_WHY_LIST(X)
#undef X
};

/* Private-use record types of the NTM records (RFC 6895), and their RDATA: doc/PROTOCOL.md, "Names". */
#define NTM_RRTYPE_NTMV4 65280
#define NTM_RRTYPE_NTMV6 65281

#endif
