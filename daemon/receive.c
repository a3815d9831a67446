/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * receive.c - the one switch of the node: packet types and message types to their handlers. Packets come from
 * lib/udp.c, messages of sessions from lib/session.c, those of paths from path_control.c.
 */
#include <string.h>

#include <ntm/drop.h>
#include <ntm/header.h>

#include "endpoint.h"
#include "log.h"
#include "path.h"
#include "stats.h"

struct ntm_udp *ntmd_socket_for(void *ctx, const struct ntm_endpoint *remote)
{
	struct ntmd *ntmd = ctx;
	struct ntm_udp *udp = ntm_endpoint_is4(remote) ? &ntmd->udp4 : &ntmd->udp6;

	return udp->fd < 0 ? NULL : udp;
}

struct ntm_flow ntmd_flow_to(struct ntmd *ntmd, const struct ntm_endpoint *remote)
{
	struct ntm_flow flow = { .udp = ntmd_socket_for(ntmd, remote), .remote = *remote };

	return flow;
}

/* Answers leave by the network that the question came by; where it came by something else, as the kernel
 * says. */
void ntmd_flow_clean(const struct ntmd *ntmd, struct ntm_flow *from)
{
	if (from->ifindex && !ntmd_network_find(ntmd, from->ifindex))
		from->ifindex = 0;
}

void ntmd_receive(void *ctx, const struct ntm_flow *came, uint8_t *packet, size_t len)
{
	const struct ntm_flow *from = came;
	struct ntmd *ntmd = ctx;
	struct ntm_flow plain;
	int err;

	if (len < NTM_HEADER_LEN) {
		ntm_drop_count(NTM_DROP_SHORT);
		return;
	}
	if (from->ifindex && !ntmd_network_find(ntmd, from->ifindex)) {
		plain = *from;
		ntmd_flow_clean(ntmd, &plain);
		from = &plain;
	}
	switch (packet[0] & NTM_TYPE_CLASS) {
	case NTM_TYPE_DATA:
		ntmd_engine_receive(ntmd->engine, from, packet, len);
		return;
	case NTM_TYPE_PATH:
		err = ntmd_path_control_receive(ntmd, from, packet, len);
		break;
	default:
		switch (packet[0]) {
		case NTM_TYPE_SESSION_RESPONSE:
		case NTM_TYPE_SESSION:
			err = ntm_session_receive(&ntmd->sessions, from, packet, len);
			break;
		case NTM_TYPE_COOKIE:
			err = ntm_session_receive(&ntmd->sessions, from, packet, len);
			if (err == -NTM_DROP_SESSION_UNKNOWN)
				err = ntmd_tunnel_cookie_receive(ntmd, packet, len);
			break;
		case NTM_TYPE_RESET:
			err = ntm_session_receive(&ntmd->sessions, from, packet, len);
			if (err == -NTM_DROP_SESSION_UNKNOWN)
				err = ntmd_path_reset_receive(ntmd, packet, len);
			break;
		case NTM_TYPE_TUNNEL_REQUEST:
			err = ntmd_tunnel_request_receive(ntmd, from, packet, len);
			break;
		case NTM_TYPE_TUNNEL_RESPONSE:
			err = ntmd_tunnel_response_receive(ntmd, from, packet, len);
			break;
		case NTM_TYPE_TUNNEL_PROBE:
			err = ntmd_tunnel_probe_receive(ntmd, from, packet, len);
			break;
		case NTM_TYPE_RELAY_BIND:
			err = ntmd_relay_bind_receive(ntmd, from, packet, len);
			break;
		case NTM_TYPE_ECHO:
			err = ntmd_netcheck_receive(ntmd, from, packet, len);
			break;
		case NTM_TYPE_SESSION_INIT: /* nobody calls a node */
			err = -NTM_DROP_TYPE_UNEXPECTED;
			break;
		default:
			err = -NTM_DROP_TYPE_UNKNOWN;
		}
	}
	if (err < 0) {
		ntm_drop_count(err);
		ntm_debug("dropped a packet of type 0x%02x: %s", packet[0], ntm_drop_text(err));
	}
}

void ntmd_receive_flush(void *ctx)
{
	struct ntmd *ntmd = ctx;

	ntmd_engine_flush(ntmd->engine);
}

static struct ntm_peer *accept_nobody(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	(void)ctx;
	(void)key;
	return NULL;
}

static void request(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	struct ntmd *ntmd = ctx;

	switch (message->type) {
	case NTM_MSG_ROUTE_DIRECTION:
		ntmd_route_direction_handle(ntmd, from, message);
		return;
	case NTM_MSG_ROUTE_WITHDRAW:
		ntmd_route_withdraw_handle(ntmd, from, message);
		return;
	case NTM_MSG_KEEPALIVE_REQUEST: {
		uint8_t body[NTM_MSG_HEADER_LEN];

		ntm_session_answer(from, NTM_MSG_KEEPALIVE_RESPONSE, body, 0);
		return;
	}
	}
	ntm_session_refuse(from, NTM_ERROR_UNSUPPORTED, "a node does not take %s",
			   ntm_msg_name(message->type));
}

static void lost(void *ctx, struct ntm_peer *peer)
{
	(void)peer; /* the DC is the only one */
	ntmd_registration_lost(ctx);
}

const struct ntm_session_ops ntmd_session_ops = {
	.accept = accept_nobody,
	.request = request,
	.lost = lost,
};
