/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg.h - every control message as a structure, and its two converters. The tables of fields are in
 * msg_<procedure>.c, the one codec behind them in field.c.
 *
 * Build:  int ntm_msg_X_build(uint8_t *out, size_t size, const struct ntm_X *msg)
 *	-> bytes of fields written (ntm_msg_build puts the message header before them), -EMSGSIZE: does not
 *	   fit, -EINVAL: a value has no wire form.
 * Parse:  int ntm_msg_X_parse(struct ntm_X *ret_msg, const uint8_t *fields, size_t len)
 *	-> 0, or -NTM_DROP_FIELD_... (drop.h), then ret_msg is undefined.
 * An optional field is left out when it is zero, empty or a list without elements.
 */
#ifndef NTM_LIB_MSG_H
#define NTM_LIB_MSG_H

#include <stddef.h>
#include <stdint.h>

#include <ntm/limits.h>
#include <ntm/types.h>
#include <ntm/wire.h>

/* ---- around the fields */

struct ntm_message {
	uint16_t type; /* enum ntm_msg_type */
	uint32_t transaction;
	const uint8_t *fields;
	size_t len;
};

/* Puts the header before fields that stand at out + NTM_MSG_HEADER_LEN. */
void ntm_msg_header_build(uint8_t out[NTM_MSG_HEADER_LEN], uint16_t type, uint32_t transaction);
/* 0 or -NTM_DROP_...; ret_message points into body. */
int ntm_msg_header_parse(struct ntm_message *ret_message, const uint8_t *body, size_t len);
/* "registration_request", or NULL */
const char *ntm_msg_name(uint16_t type);
const char *ntm_error_text(uint16_t code); /* never NULL */
const char *ntm_error_name(uint16_t code); /* "NOT_MEMBER"; never NULL */
const char *ntm_why_text(uint8_t why);
const char *ntm_route_name(enum ntm_route_kind kind); /* "direct IPv6", ... */
const char *ntm_nat_name(enum ntm_nat nat); /* "none", "easy", "hard", "unknown" */

/* ---- parts of messages */

struct ntm_relay_info {
	char name[NTM_FQDN_MAX + 1];
	struct ntm_endpoint server[NTM_SERVERS_MAX];
	uint16_t servers;
};

struct ntm_relay_rtt { /* as a node measured it */
	char name[NTM_FQDN_MAX + 1];
	uint32_t rtt_us;
};

struct ntm_candidate {
	uint8_t kind; /* enum ntm_route_kind */
	struct ntm_endpoint endpoint; /* the other end's */
};

struct ntm_verdict {
	uint8_t kind; /* enum ntm_route_kind */
	uint8_t why; /* enum ntm_why */
	char name[NTM_FQDN_MAX + 1]; /* of the relay, if it is about one */
};

struct ntm_load { /* over the last NTM_RELAY_REPORT_S seconds */
	uint32_t packets_per_s;
	uint64_t bytes_per_s;
	uint32_t paths;
	uint32_t cpu_permille;
};

/* ---- handshake payloads: msg_session.c, msg_tunnel.c */

struct ntm_session_hello { /* payload of Noise message 1 */
	uint8_t version;
	uint8_t reset_token[NTM_MAC_LEN]; /* the initiator's, for the session ID in the header */
};

struct ntm_session_welcome { /* payload of Noise message 2 */
	uint64_t session_id; /* where the responder wants packets of this session */
	uint8_t reset_token[NTM_MAC_LEN]; /* the responder's, for that ID */
};

struct ntm_tunnel_request { /* payload of Noise message 1 */
	uint8_t version;
	uint8_t phase; /* K of the keys that come out of it */
	/* Bulk lane: those the sender allows, and which of them are slow there (cipher.h) */
	uint32_t ciphers;
	uint16_t mtu; /* largest inner packet the sender takes */
	uint8_t reset_token[NTM_MAC_LEN];
};

struct ntm_tunnel_response { /* payload of Noise message 2 */
	uint16_t error; /* enum ntm_error: refused, there are no keys; 0: there are */
	uint32_t ciphers; /* if refused by NTM_ERROR_CIPHER: as in the request */
	uint8_t cipher; /* bulk lane, enum ntm_cipher; 0 if refused */
	uint16_t mtu;
	uint8_t reset_token[NTM_MAC_LEN];
};

/* ---- sessions: msg_session.c */

struct ntm_challenge { /* ADDRESS_CHALLENGE, ADDRESS_RESPONSE, PATH_CHALLENGE */
	uint64_t nonce;
	uint16_t padding; /* so many zero bytes more; 0: none */
};

struct ntm_error_message { /* ERROR */
	uint16_t code; /* enum ntm_error */
	char text[NTM_TEXT_MAX + 1];
};

/* ---- registration: msg_registration.c */

struct ntm_registration_request {
	char fqdn[NTM_FQDN_MAX + 1];
	struct ntm_endpoint real[NTM_REAL_ADDRS_MAX]; /* RIP4 and RIP6 with the node's UDP port */
	uint16_t reals;
	uint8_t nat; /* enum ntm_nat */
	struct ntm_relay_rtt rtt[NTM_RELAYS_MAX];
	uint16_t rtts;
	uint64_t boot_id;
	char software[NTM_TEXT_MAX + 1];
	uint16_t padding; /* so many zero bytes more; 0: none */
};

struct ntm_registration_response {
	uint32_t lifetime_s; /* of the location, without a keepalive */
	uint8_t vip4[4], vip6[16];
	uint8_t vip4_prefix, vip6_prefix; /* of the pools they come from, bits */
	struct ntm_endpoint observed;
	struct ntm_endpoint server[NTM_SERVERS_MAX]; /* the DC's, to compare mappings with */
	uint16_t servers;
	struct ntm_relay_info relay[NTM_RELAYS_MAX];
	uint16_t relays;
	char zone[NTM_FQDN_MAX + 1];
	char dc_name[NTM_FQDN_MAX + 1];
	struct ntm_endpoint dns[NTM_SERVERS_MAX];
	uint16_t dnss;
};

/* ---- keepalive: msg_keepalive.c */

struct ntm_keepalive { /* request: empty; response: observed where the receiver is a DC */
	struct ntm_endpoint observed;
};

/* ---- direction: msg_direction.c */

struct ntm_direction_request { /* fqdn or vip is set */
	char fqdn[NTM_FQDN_MAX + 1];
	struct ntm_addr vip;
	uint64_t path_id; /* the path held for this peer; 0: none */
	uint8_t reason; /* enum ntm_reason */
};

struct ntm_direction_response { /* sent when both Route Directions are on their way */
	uint64_t path_id;
	char fqdn[NTM_FQDN_MAX + 1];
	uint8_t vip4[4], vip6[16];
};

struct ntm_location_request { /* DC -> DC: fqdn or vip is set */
	char fqdn[NTM_FQDN_MAX + 1];
	struct ntm_addr vip;
};

struct ntm_location { /* what a DC knows of a node; LOCATION_RESPONSE */
	char fqdn[NTM_FQDN_MAX + 1];
	uint8_t public_key[NTM_KEY_LEN];
	uint8_t vip4[4], vip6[16];
	struct ntm_endpoint real[NTM_REAL_ADDRS_MAX];
	uint16_t reals;
	uint8_t nat;
	struct ntm_endpoint observed[2]; /* one a family at most */
	uint16_t observeds;
	struct ntm_relay_rtt rtt[NTM_RELAYS_MAX];
	uint16_t rtts;
	uint8_t registered; /* 0: member, but no location now */
};

/* ---- route direction: msg_route_direction.c */

struct ntm_route_direction {
	char fqdn[NTM_FQDN_MAX + 1]; /* the other end */
	uint64_t path_id;
	uint8_t side; /* the receiver's, enum ntm_side */
	uint8_t public_key[NTM_KEY_LEN]; /* the other end's */
	uint8_t ck[NTM_KEY_LEN];
	uint32_t lifetime_s; /* of CK */
	uint8_t vip4[4], vip6[16]; /* the other end's */
	struct ntm_relay_info relay; /* the standby RS; name empty: none */
	struct ntm_candidate candidate[NTM_CANDIDATES_MAX];
	uint16_t candidates;
	struct ntm_verdict verdict[NTM_VERDICTS_MAX];
	uint16_t verdicts;
	uint8_t reason; /* enum ntm_reason of the Direction Request behind it */
	char target[NTM_FQDN_MAX + 1]; /* DC -> DC: the member it is for; empty otherwise */
};

struct ntm_route_withdraw {
	uint64_t path_id;
	uint8_t reason;
	char target[NTM_FQDN_MAX + 1]; /* as above */
};

/* ---- relay direction: msg_relay.c */

struct ntm_relay_direction {
	uint64_t path_id;
	uint32_t lifetime_s;
	uint8_t leg_key[2][NTM_KEY_LEN]; /* by side: HKDF(CK, Path ID, side) */
	uint64_t rate; /* bytes a second, 0: no limit */
};

struct ntm_relay_response {
	uint64_t boot_id; /* of the RS: a new one tells the DC to direct all its paths again */
	uint8_t bound; /* bit 0, 1: the leg of side 0, 1 is bound: a repeated direction asks for that */
};

struct ntm_relay_withdraw {
	uint64_t path_id;
};

struct ntm_relay_report { /* RS -> DC, a notice */
	uint64_t boot_id;
	struct ntm_load load;
	uint8_t draining; /* 1: it takes no new paths, and its paths are to go elsewhere */
};

/* ---- handover and path control: msg_handover.c */

struct ntm_path_update {
	uint64_t nonce; /* repeated in the PATH_RESPONSE */
	uint64_t sequence; /* grows by one a move of the sender; older ones change nothing */
};

struct ntm_path_response {
	uint64_t nonce;
	struct ntm_endpoint observed; /* where the question came from; none by a relay */
};

struct ntm_tunnel_close {
	uint8_t reason; /* enum ntm_reason */
};

#define NTM_MSG_LIST(X) \
	X(session_hello) \
	X(session_welcome) \
	X(challenge) \
	X(error_message) \
	X(registration_request) \
	X(registration_response) \
	X(keepalive) \
	X(direction_request) \
	X(direction_response) \
	X(location_request) \
	X(location) \
	X(route_direction) \
	X(route_withdraw) \
	X(relay_direction) \
	X(relay_response) \
	X(relay_withdraw) \
	X(relay_report) \
	X(tunnel_request) \
	X(tunnel_response) \
	X(path_update) \
	X(path_response) \
	X(tunnel_close)

#define X(name) \
	int ntm_msg_##name##_build(uint8_t *out, size_t size, const struct ntm_##name *msg); \
	int ntm_msg_##name##_parse(struct ntm_##name *ret_msg, const uint8_t *fields, size_t len);
NTM_MSG_LIST(X)
#undef X

#endif
