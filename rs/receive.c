/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * receive.c - the one switch from packet type, and from message type, to its handler.
 * Packets come from user_lane.c, messages out of sessions (lib/session.c).
 */
#include "rs.h"
#include "stats.h"

/* Cookies and resets belong to a relayed path, or else to a session; they are never answered. */
static int path_or_session(struct rs *rs, const struct ntm_flow *from, uint8_t *buf, size_t len,
			   int64_t now_us)
{
	int r = rs_lane_forward(rs->lane[0], from, buf, len, now_us);

	return r == -NTM_DROP_PATH_UNKNOWN ? ntm_session_receive(&rs->sessions, from, buf, len) : r;
}

static int packet_switch(struct rs *rs, const struct ntm_flow *from, uint8_t *buf, size_t len, int64_t now_us)
{
	int r;

	switch (buf[0] & NTM_TYPE_CLASS) {
	case NTM_TYPE_DATA:
	case NTM_TYPE_PATH:
		r = rs_lane_forward(rs->lane[0], from, buf, len, now_us);
		goto path_done;
	}
	switch (buf[0]) {
	case NTM_TYPE_SESSION_INIT:
	case NTM_TYPE_SESSION_RESPONSE:
	case NTM_TYPE_SESSION:
		return ntm_session_receive(&rs->sessions, from, buf, len);
	case NTM_TYPE_COOKIE:
	case NTM_TYPE_RESET:
		return path_or_session(rs, from, buf, len, now_us);
	case NTM_TYPE_TUNNEL_REQUEST:
	case NTM_TYPE_TUNNEL_RESPONSE:
	case NTM_TYPE_TUNNEL_PROBE:
		r = rs_lane_forward(rs->lane[0], from, buf, len, now_us);
		goto path_done;
	case NTM_TYPE_RELAY_BIND:
		r = rs_relay_bind_handle(rs, from, buf, len, now_us);
		goto path_done;
	case NTM_TYPE_ECHO:
		return ntm_session_echo_answer(&rs->sessions, from, buf, len);
	}
	return -NTM_DROP_TYPE_UNKNOWN;

path_done:
	/* Who uses a path we have lost must learn it, to bind again or to ask the DC. Rate-limited. */
	if (r == -NTM_DROP_PATH_UNKNOWN)
		ntm_session_reset_send(&rs->sessions, from, ntm_header_id((const struct ntm_header *)buf),
				       len);
	return r;
}

void rs_receive_packet(struct rs *rs, const struct ntm_flow *from, uint8_t *buf, size_t len, int64_t now_us)
{
	int r;

	if (len < NTM_HEADER_LEN)
		r = -NTM_DROP_SHORT;
	else if (!from->remote.port)
		r = -NTM_DROP_SOURCE; /* nothing can be answered to port 0 */
	else
		r = packet_switch(rs, from, buf, len, now_us);
	if (r < 0)
		ntm_drop_count(r);
}

/* What this answers is on its way to a node, or from one to a node: user_relay.c's filter knows the same. */
static bool is_relayed(uint8_t type)
{
	switch (type & NTM_TYPE_CLASS) {
	case NTM_TYPE_DATA:
	case NTM_TYPE_PATH:
		return true;
	}
	return type == NTM_TYPE_TUNNEL_REQUEST || type == NTM_TYPE_TUNNEL_RESPONSE ||
	       type == NTM_TYPE_TUNNEL_PROBE;
}

static bool is_known(uint8_t type)
{
	return is_relayed(type) || (type >= NTM_TYPE_SESSION_INIT && type <= NTM_TYPE_RESET);
}

void rs_receive_relayed(struct rs_lane *lane, const struct ntm_flow *from, uint8_t *buf, size_t len,
			int64_t now_us)
{
	int r = 0;

	if (len < NTM_HEADER_LEN)
		r = -NTM_DROP_SHORT;
	else if (!from->remote.port)
		r = -NTM_DROP_SOURCE;
	else if (!is_known(buf[0]))
		r = -NTM_DROP_TYPE_UNKNOWN;
	else if (!is_relayed(buf[0]))
		rs_lane_hand_over(lane, from, buf, len, false, now_us); /* came in a train that data began */
	else
		r = rs_lane_forward(lane, from, buf, len, now_us);
	if (r == -NTM_DROP_PATH_UNKNOWN)
		rs_lane_hand_over(lane, from, buf, len, true, now_us);
	else if (r < 0)
		ntm_drop_count(r);
}

void rs_receive_unknown(struct rs *rs, const struct ntm_flow *from, const uint8_t header[NTM_HEADER_LEN],
			size_t len)
{
	ntm_drop_count(NTM_DROP_PATH_UNKNOWN);
	ntm_session_reset_send(&rs->sessions, from, ntm_header_id((const struct ntm_header *)header), len);
}

void rs_receive_request(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	struct rs *rs = ctx;

	switch (message->type) {
	case NTM_MSG_RELAY_DIRECTION:
		rs_relay_direction_handle(rs, from, message);
		return;
	case NTM_MSG_RELAY_WITHDRAW:
		rs_relay_withdraw_handle(rs, from, message);
		return;
	case NTM_MSG_KEEPALIVE_REQUEST:
		rs_keepalive_handle(rs, from, message);
		return;
	}
	ntm_session_refuse(from, NTM_ERROR_UNSUPPORTED, "a Relay Server takes no %s",
			   ntm_msg_name(message->type) ? ntm_msg_name(message->type) : "such message");
}
