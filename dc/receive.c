/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * receive.c - what comes to a DC: the one switch from packet type, and from message type, to its handler.
 * Before it: lib/udp.c and lib/session.c. A message is taken only from those it may come from: members,
 * relays and other DCs are told apart by key.
 */
#include <ntm/drop.h>
#include <ntm/header.h>

#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"
#include "stats.h"

void dc_receive(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct dc *dc = ctx;
	int drop;

	if (len < NTM_HEADER_LEN) {
		ntm_drop_count(NTM_DROP_SHORT);
		return;
	}
	switch (packet[0]) {
	case NTM_TYPE_SESSION_INIT:
	case NTM_TYPE_SESSION_RESPONSE:
	case NTM_TYPE_COOKIE:
	case NTM_TYPE_SESSION:
	case NTM_TYPE_RESET:
		drop = ntm_session_receive(&dc->sessions, from, packet, len);
		break;
	case NTM_TYPE_ECHO:
		drop = ntm_session_echo_answer(&dc->sessions, from, packet, len);
		break;
	case NTM_TYPE_TUNNEL_REQUEST:
	case NTM_TYPE_TUNNEL_RESPONSE:
	case NTM_TYPE_TUNNEL_PROBE:
	case NTM_TYPE_RELAY_BIND:
		drop = -NTM_DROP_TYPE_UNEXPECTED;
		break;
	default:
		drop = (packet[0] & NTM_TYPE_CLASS) == NTM_TYPE_PATH ||
				       (packet[0] & NTM_TYPE_CLASS) == NTM_TYPE_DATA
			       ? -NTM_DROP_TYPE_UNEXPECTED
			       : -NTM_DROP_TYPE_UNKNOWN;
	}
	if (drop < 0)
		ntm_drop_count(drop);
}

void dc_receive_malformed(struct dc *dc, const struct ntm_session_from *from, int drop)
{
	dc->refused++;
	ntm_drop_count(drop);
	ntm_session_refuse(from, NTM_ERROR_MALFORMED, "%s", ntm_drop_text(drop));
}

static void member_request(struct dc *dc, struct dc_member *member, const struct ntm_session_from *from,
			   const struct ntm_message *message)
{
	if (member->leaving) {
		ntm_session_refuse(from, NTM_ERROR_NOT_MEMBER, "%s was removed from this DC", member->fqdn);
		return;
	}
	switch (message->type) {
	case NTM_MSG_REGISTRATION_REQUEST:
		dc_registration_handle(dc, member, from, message);
		break;
	case NTM_MSG_KEEPALIVE_REQUEST:
		dc_keepalive_handle(dc, from, message);
		break;
	case NTM_MSG_DIRECTION_REQUEST:
		dc_direction_handle(dc, member, from, message);
		break;
	case NTM_MSG_ROUTE_WITHDRAW:
		dc_path_withdraw_handle(dc, from, message);
		break;
	default:
		ntm_session_refuse(from, NTM_ERROR_UNSUPPORTED, "a DC takes no %s from a node",
				   ntm_msg_name(message->type));
	}
}

static void other_request(struct dc *dc, struct dc_other *other, const struct ntm_session_from *from,
			  const struct ntm_message *message)
{
	switch (message->type) {
	case NTM_MSG_KEEPALIVE_REQUEST:
		dc_keepalive_handle(dc, from, message);
		break;
	case NTM_MSG_LOCATION_REQUEST:
		dc_location_handle(dc, other, from, message);
		break;
	case NTM_MSG_ROUTE_DIRECTION:
		dc_route_direction_handle(dc, other, from, message);
		break;
	case NTM_MSG_ROUTE_WITHDRAW:
		dc_path_withdraw_handle(dc, from, message);
		break;
	default:
		ntm_session_refuse(from, NTM_ERROR_UNSUPPORTED, "a DC takes no %s from another DC",
				   ntm_msg_name(message->type));
	}
}

static void request(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	struct dc_actor *actor = dc_container(from->peer, struct dc_actor, peer);
	struct dc *dc = ctx;

	dc->messages[message->type & 0xff]++;
	switch (actor->kind) {
	case DC_ACTOR_MEMBER:
		member_request(dc, (struct dc_member *)actor, from, message);
		break;
	case DC_ACTOR_DC:
		other_request(dc, (struct dc_other *)actor, from, message);
		break;
	case DC_ACTOR_RELAY:
		dc_relay_answered((struct dc_relay *)actor);
		if (message->type == NTM_MSG_KEEPALIVE_REQUEST)
			dc_keepalive_handle(dc, from, message);
		else
			ntm_session_refuse(from, NTM_ERROR_UNSUPPORTED, "a DC takes no %s from a relay",
					   ntm_msg_name(message->type));
		break;
	}
}

static void notice(void *ctx, struct ntm_peer *peer, const struct ntm_message *message)
{
	struct dc_actor *actor = dc_container(peer, struct dc_actor, peer);
	struct dc *dc = ctx;

	dc->messages[message->type & 0xff]++;
	if (actor->kind == DC_ACTOR_RELAY && message->type == NTM_MSG_RELAY_REPORT)
		dc_relay_report_handle(dc, (struct dc_relay *)actor, message);
	else
		ntm_drop_count(NTM_DROP_MESSAGE_UNKNOWN);
}

static struct ntm_peer *accept_key(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	struct dc *dc = ctx;

	return ntm_peer_find(&dc->sessions, key);
}

static void moved(void *ctx, struct ntm_peer *peer)
{
	struct dc_actor *actor = dc_container(peer, struct dc_actor, peer);
	char text[NTM_ENDPOINT_TEXT];
	struct dc_member *member;

	if (actor->kind != DC_ACTOR_MEMBER)
		return;
	member = (struct dc_member *)actor;
	ntm_debug("%s is at %s", member->fqdn, ntm_endpoint_format(&peer->flow.remote, text));
	if (!member->leaving)
		dc_registration_moved(ctx, member);
}

static void lost(void *ctx, struct ntm_peer *peer)
{
	struct dc_actor *actor = dc_container(peer, struct dc_actor, peer);

	(void)ctx;
	if (actor->kind == DC_ACTOR_RELAY)
		dc_relay_lost((struct dc_relay *)actor);
}

const struct ntm_session_ops dc_receive_ops = {
	.accept = accept_key,
	.request = request,
	.notice = notice,
	.moved = moved,
	.lost = lost,
};

/* A socket bound to any address can reach all of its family; one bound to loopback only that. */
struct ntm_udp *dc_receive_socket_for(void *ctx, const struct ntm_endpoint *remote)
{
	bool is4 = ntm_endpoint_is4(remote);
	struct ntm_udp *found = NULL;
	struct ntm_addr source;
	struct dc *dc = ctx;

	if (ntm_udp_source(remote, &source))
		source = (struct ntm_addr){0};
	for (unsigned i = 0; i < dc->udps; i++) {
		if (dc->udp[i].is4 != is4)
			continue;
		if (ntm_addr_equal(&dc->udp[i].bound.addr, &source))
			return &dc->udp[i]; /* the address the kernel would have chosen */
		if (!found)
			found = &dc->udp[i];
	}
	return found;
}
