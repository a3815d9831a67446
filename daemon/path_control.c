/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_control.c - sealed messages between the two ends of a path, under keys of their own, and the resets
 * that tell that one of them has lost its state. Messages: lib/msg_handover.c, lib/msg_keepalive.c; what they
 * do: route.c, handover.c, keepalive.c.
 */
#include <errno.h>
#include <string.h>

#include <ntm/drop.h>

#include "aead.h"
#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"
#include "stats.h"

#define MOVES_PER_S 20 /* each costs challenges, and all data threads a halt */
#define MOVES_AT_ONCE 40

/* A challenge may be padded, to find the path's MTU. */
static size_t len_max(uint16_t type)
{
	return type == NTM_MSG_PATH_CHALLENGE ? NTM_PROBE_MAX : NTM_CONTROL_MAX;
}

int ntmd_path_control_send(struct ntmd_path *path, const struct ntm_flow *to, uint16_t type,
			   uint32_t transaction, uint8_t *body, size_t fields_len)
{
	size_t len = NTM_MSG_HEADER_LEN + fields_len, max = len_max(type);
	uint8_t packet[NTM_PROBE_MAX];
	struct ntmd_path_keys *keys;
	uint64_t counter;

	if (path->phase < 0 || !to->udp)
		return -ENOTCONN;
	if (NTM_HEADER_LEN + len + NTM_TAG_LEN > max)
		return -EMSGSIZE;
	keys = path->keys[path->phase];
	counter = keys->counter++;
	ntm_msg_header_build(body, type, transaction);
	ntm_header_set((struct ntm_header *)packet,
		       (uint8_t)(NTM_TYPE_PATH | path->phase << NTM_TYPE_PHASE_SHIFT |
				 (path->side ? NTM_TYPE_SIDE_BIT : 0)),
		       counter, path->id);
	ntm_aead_seal_once(keys->send, counter, packet, NTM_HEADER_LEN, body, len, packet + NTM_HEADER_LEN);
	return ntm_udp_send(to, packet, NTM_HEADER_LEN + len + NTM_TAG_LEN);
}

static void challenge_answer(struct ntmd_path *path, const struct ntm_flow *from,
			     const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	struct ntm_path_response response = { .observed = from->remote };
	struct ntm_challenge challenge;
	struct ntmd_route *route = ntmd_route_seen(path, from);
	bool was_wished = route && route->wished == (uint32_t)path->update_seen;
	int n = ntm_msg_challenge_parse(&challenge, message->fields, message->len);

	if (n < 0) {
		ntm_drop_count(n);
		return;
	}
	response.nonce = challenge.nonce;
	if (route)
		route->wished = (uint32_t)path->update_seen;
	if (route && route->kind == NTM_ROUTE_RELAY)
		memset(&response.observed, 0, sizeof(response.observed)); /* that is the RS */
	n = ntm_msg_path_response_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					&response);
	ntmd_path_control_send(path, from, NTM_MSG_PATH_RESPONSE, message->transaction, body, (size_t)n);
	/* The other end tries this way: so do we, at once (both NATs are open now). */
	if (route && route->state != NTMD_ROUTE_PROVEN)
		ntmd_route_challenge(path, route);
	else if (route && !was_wished && path->state == NTMD_PATH_UP)
		ntmd_route_select(path); /* it may be better than one that only had the Path Update */
}

static void response_take(struct ntmd_path *path, const struct ntm_flow *from,
			  const struct ntm_message *message)
{
	struct ntm_path_response response;
	int err = ntm_msg_path_response_parse(&response, message->fields, message->len);

	if (err) {
		ntm_drop_count(err);
		return;
	}
	ntmd_route_response(path, from, response.nonce);
	ntmd_nat_mapping_observed(path, from, &response.observed);
}

static void keepalive_answer(struct ntmd_path *path, const struct ntm_flow *from,
			     const struct ntm_message *message)
{
	const struct ntmd_route *route = ntmd_route_find(path, from);
	struct ntm_keepalive keepalive = { .observed = from->remote };
	uint8_t body[NTM_MSG_HEADER_LEN + 64];
	int n;

	if (route && route->kind == NTM_ROUTE_RELAY)
		memset(&keepalive.observed, 0, sizeof(keepalive.observed)); /* that is the RS */
	n = ntm_msg_keepalive_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &keepalive);
	ntmd_path_control_send(path, from, NTM_MSG_KEEPALIVE_RESPONSE, message->transaction, body, (size_t)n);
}

static void keepalive_response_take(struct ntmd_path *path, const struct ntm_flow *from,
				    const struct ntm_message *message)
{
	struct ntm_keepalive keepalive;
	int err = ntm_msg_keepalive_parse(&keepalive, message->fields, message->len);

	if (err) {
		ntm_drop_count(err);
		return;
	}
	ntmd_keepalive_response(path, message->transaction);
	ntmd_nat_mapping_observed(path, from, &keepalive.observed);
}

static void close_take(struct ntmd_path *path, const struct ntm_flow *from, const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN];

	ntmd_path_control_send(path, from, NTM_MSG_TUNNEL_CLOSE_ACK, message->transaction, body, 0);
	ntm_info("%s closed the tunnel", path->cn->fqdn);
	ntmd_path_close(path, NTM_REASON_USER, false);
}

/* Whether the peer may once more say that it is elsewhere: no device moves as often as one can say so. */
static bool may_move(struct ntmd_path *path)
{
	int64_t now = ntm_loop_now_ms();

	if (path->moves_ms < now)
		path->moves_ms = now;
	if (path->moves_ms - now > MOVES_AT_ONCE * 1000 / MOVES_PER_S) {
		ntm_drop_count(-NTM_DROP_LIMIT);
		return false;
	}
	path->moves_ms += 1000 / MOVES_PER_S;
	return true;
}

static void handle(struct ntmd_path *path, const struct ntm_flow *from, const struct ntm_message *message)
{
	switch (message->type) {
	case NTM_MSG_PATH_CHALLENGE:
		if (ntmd_route_find(path, from) || may_move(path))
			challenge_answer(path, from, message);
		return;
	case NTM_MSG_PATH_RESPONSE:
		response_take(path, from, message);
		return;
	case NTM_MSG_PATH_UPDATE:
		if (may_move(path))
			ntmd_handover_update_handle(path, from, message);
		return;
	case NTM_MSG_KEEPALIVE_REQUEST:
		keepalive_answer(path, from, message);
		return;
	case NTM_MSG_KEEPALIVE_RESPONSE:
		keepalive_response_take(path, from, message);
		return;
	case NTM_MSG_TUNNEL_CLOSE:
		close_take(path, from, message);
		return;
	case NTM_MSG_BULK_ACK: /* that it came is what it says; it goes where data would */
		if (!ntmd_route_find(path, from))
			ntmd_handover_peer_seen(path, from);
		return;
	case NTM_MSG_TUNNEL_CLOSE_ACK:
		return;
	}
	ntm_drop_count(NTM_DROP_MESSAGE_UNKNOWN);
}

int ntmd_path_control_receive(struct ntmd *ntmd, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	const struct ntm_header *header = (const struct ntm_header *)packet;
	uint64_t id = ntm_header_id(header), counter = ntm_header_counter(header);
	unsigned phase = NTM_TYPE_PHASE(header->type);
	uint8_t body[NTM_PROBE_MAX];
	struct ntmd_path_keys *keys;
	struct ntm_message message;
	struct ntmd_path *path;
	int n;

	if (len < NTM_HEADER_LEN + NTM_TAG_LEN)
		return -NTM_DROP_SHORT;
	if (len > sizeof(body))
		return -NTM_DROP_LONG;
	if (NTM_TYPE_LANE(header->type))
		return -NTM_DROP_TYPE_UNKNOWN;
	path = ntmd_path_find(ntmd, id);
	if (!path) {
		ntm_session_reset_send(&ntmd->sessions, from, id, len);
		return -NTM_DROP_PATH_UNKNOWN;
	}
	if (NTM_TYPE_SIDE(header->type) == (unsigned)path->side)
		return -NTM_DROP_SIDE;
	keys = path->keys[phase];
	if (!keys)
		return -NTM_DROP_PHASE_UNKNOWN;
	if (!ntm_replay_check(&keys->replay, counter))
		return -NTM_DROP_REPLAY;
	n = ntm_aead_open_once(keys->receive, counter, packet, NTM_HEADER_LEN, packet + NTM_HEADER_LEN,
			       len - NTM_HEADER_LEN, body);
	if (n < 0)
		return -NTM_DROP_AUTH;
	if (!ntm_replay_commit(&keys->replay, counter))
		return -NTM_DROP_REPLAY;
	n = ntm_msg_header_parse(&message, body, (size_t)n);
	if (n)
		return n;
	if (len > len_max(message.type))
		return -NTM_DROP_LONG;
	ntmd_session_keys_opened(path, phase);
	ntmd_keepalive_heard(path, from);
	handle(path, from, &message); /* may free the path */
	return 0;
}

int ntmd_path_reset_receive(struct ntmd *ntmd, const uint8_t *packet, size_t len)
{
	const struct ntm_reset *reset = (const struct ntm_reset *)packet;
	struct ntmd_path *path;

	if (len != sizeof(*reset))
		return len < sizeof(*reset) ? -NTM_DROP_SHORT : -NTM_DROP_LONG;
	path = ntmd_path_find(ntmd, ntm_header_id(&reset->h));
	if (!path)
		return -NTM_DROP_PATH_UNKNOWN;
	if (ntmd_relay_bind_reset(path, reset->token))
		return 0;
	if (!path->has_token || !ntm_crypto_equal(path->peer_token, reset->token, NTM_MAC_LEN))
		return -NTM_DROP_UNMATCHED; /* nobody we know: perhaps an RS that never bound us */
	ntm_info("%s has lost the tunnel, asking for a new one", path->cn->fqdn);
	ntmd_event(ntmd, "peer_reset", "peer", path->cn->fqdn, NULL);
	path->cn->lost = true;
	ntmd_direction_again(path->cn, NTM_REASON_LOST);
	return 0;
}
