/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg.c - the header of control messages, and the names of their numbers.
 */
#include "msg.h"

#include <ntm/drop.h>

void ntm_msg_header_build(uint8_t out[NTM_MSG_HEADER_LEN], uint16_t type, uint32_t transaction)
{
	out[0] = (uint8_t)(type >> 8);
	out[1] = (uint8_t)type;
	out[2] = out[3] = 0;
	out[4] = (uint8_t)(transaction >> 24);
	out[5] = (uint8_t)(transaction >> 16);
	out[6] = (uint8_t)(transaction >> 8);
	out[7] = (uint8_t)transaction;
}

int ntm_msg_header_parse(struct ntm_message *ret_message, const uint8_t *body, size_t len)
{
	if (len < NTM_MSG_HEADER_LEN)
		return -NTM_DROP_SHORT;
	if (body[2] || body[3])
		return -NTM_DROP_FIELD_VALUE;
	ret_message->type = (uint16_t)(body[0] << 8 | body[1]);
	ret_message->transaction =
		(uint32_t)body[4] << 24 | (uint32_t)body[5] << 16 | (uint32_t)body[6] << 8 | body[7];
	ret_message->fields = body + NTM_MSG_HEADER_LEN;
	ret_message->len = len - NTM_MSG_HEADER_LEN;
	return 0;
}

const char *ntm_msg_name(uint16_t type)
{
	switch (type) {
	case NTM_MSG_REGISTRATION_REQUEST:
		return "registration_request";
	case NTM_MSG_REGISTRATION_RESPONSE:
		return "registration_response";
	case NTM_MSG_KEEPALIVE_REQUEST:
		return "keepalive_request";
	case NTM_MSG_KEEPALIVE_RESPONSE:
		return "keepalive_response";
	case NTM_MSG_DIRECTION_REQUEST:
		return "direction_request";
	case NTM_MSG_DIRECTION_RESPONSE:
		return "direction_response";
	case NTM_MSG_ROUTE_DIRECTION:
		return "route_direction";
	case NTM_MSG_ROUTE_DIRECTION_ACK:
		return "route_direction_ack";
	case NTM_MSG_ROUTE_WITHDRAW:
		return "route_withdraw";
	case NTM_MSG_ROUTE_WITHDRAW_ACK:
		return "route_withdraw_ack";
	case NTM_MSG_RELAY_DIRECTION:
		return "relay_direction";
	case NTM_MSG_RELAY_RESPONSE:
		return "relay_response";
	case NTM_MSG_RELAY_WITHDRAW:
		return "relay_withdraw";
	case NTM_MSG_RELAY_WITHDRAW_ACK:
		return "relay_withdraw_ack";
	case NTM_MSG_LOCATION_REQUEST:
		return "location_request";
	case NTM_MSG_LOCATION_RESPONSE:
		return "location_response";
	case NTM_MSG_ADDRESS_CHALLENGE:
		return "address_challenge";
	case NTM_MSG_ADDRESS_RESPONSE:
		return "address_response";
	case NTM_MSG_PATH_CHALLENGE:
		return "path_challenge";
	case NTM_MSG_PATH_RESPONSE:
		return "path_response";
	case NTM_MSG_PATH_UPDATE:
		return "path_update";
	case NTM_MSG_TUNNEL_CLOSE:
		return "tunnel_close";
	case NTM_MSG_TUNNEL_CLOSE_ACK:
		return "tunnel_close_ack";
	case NTM_MSG_ERROR:
		return "error";
	case NTM_MSG_BULK_ACK:
		return "bulk_ack";
	case NTM_MSG_RELAY_REPORT:
		return "relay_report";
	}
	return NULL;
}

const char *ntm_error_text(uint16_t code)
{
	switch (code) {
#define X(name, number, text) \
	case number: \
		return text;
		NTM_ERROR_LIST(X)
#undef X
	}
	return "an error this version does not know";
}

const char *ntm_error_name(uint16_t code)
{
	switch (code) {
#define X(name, number, text) \
	case number: \
		return #name;
		NTM_ERROR_LIST(X)
#undef X
	}
	return "UNKNOWN";
}

const char *ntm_why_text(uint8_t why)
{
	switch (why) {
#define X(name, number, text) \
	case number: \
		return text;
		NTM_WHY_LIST(X)
#undef X
	}
	return "for a reason this version does not know";
}

const char *ntm_route_name(enum ntm_route_kind kind)
{
	static const char *const name[NTM_ROUTE_KINDS] = {
		[NTM_ROUTE_NONE] = "none",
		[NTM_ROUTE_DIRECT6] = "direct IPv6",
		[NTM_ROUTE_DIRECT4] = "direct IPv4",
		[NTM_ROUTE_PRIVATE4] = "private IPv4 behind the same NAT",
		[NTM_ROUTE_NAT4] = "IPv4 through one NAT",
		[NTM_ROUTE_PUNCH4] = "IPv4 hole punching",
		[NTM_ROUTE_REFLEXIVE] = "observed address",
		[NTM_ROUTE_RELAY] = "relay",
	};

	return (unsigned)kind < NTM_ROUTE_KINDS ? name[kind] : "unknown";
}

const char *ntm_nat_name(enum ntm_nat nat)
{
	static const char *const name[] = { "unknown", "none", "easy", "hard" };

	return (unsigned)nat < sizeof(name) / sizeof(name[0]) ? name[nat] : "unknown";
}
