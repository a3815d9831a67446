/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * keepalive.c - Keep Alive at the DC: it holds a node's NAT mapping and its location, and tells the node how
 * it is seen. The node's part: daemon/keepalive.c; towards relays the DC itself asks: relay.c.
 */
#include "dc/dc.h"
#include "log.h"

void dc_keepalive_refresh(struct dc *dc, struct dc_location *location)
{
	location->heard_ms = ntm_loop_now_ms();
	/* all live equally long, so the one heard last stands last */
	TAILQ_REMOVE(&dc->location, location, by_expiry);
	TAILQ_INSERT_TAIL(&dc->location, location, by_expiry);
	dc_recall_note(location->member);
}

void dc_keepalive_handle(struct dc *dc, const struct ntm_session_from *from,
			 const struct ntm_message *message)
{
	struct dc_actor *actor = dc_container(from->peer, struct dc_actor, peer);
	struct ntm_keepalive keepalive;
	uint8_t body[DC_BODY_MAX];
	int n = ntm_msg_keepalive_parse(&keepalive, message->fields, message->len);

	if (n < 0) {
		dc_receive_malformed(dc, from, n);
		return;
	}
	if (actor->kind == DC_ACTOR_MEMBER) {
		struct dc_member *member = (struct dc_member *)actor;

		if (!member->location) { /* it makes the node register again */
			ntm_session_refuse(from, NTM_ERROR_NOT_REGISTERED,
					   "this DC has no location of %.80s: register", member->fqdn);
			return;
		}
		dc_keepalive_refresh(dc, member->location);
	}
	keepalive = (struct ntm_keepalive){.observed = from->flow.remote};
	n = ntm_msg_keepalive_build(DC_FIELDS(body), DC_FIELDS_MAX, &keepalive);
	if (n >= 0)
		ntm_session_answer(from, NTM_MSG_KEEPALIVE_RESPONSE, body, (size_t)n);
}

void dc_keepalive_expire(struct dc *dc, int64_t now_ms)
{
	int64_t over_ms = now_ms - NTM_LOCATION_LIFETIME_S * 1000LL;
	struct dc_location *location;

	while ((location = TAILQ_FIRST(&dc->location)) && location->heard_ms <= over_ms) {
		struct dc_member *member = location->member;

		ntm_info("%s was not heard for %d s: not registered any more", member->fqdn,
			 NTM_LOCATION_LIFETIME_S);
		dc_member_location_end(member);
		dc_recall_note(member);
		dc_control_tell(dc, "expired", member->fqdn, NULL, NULL);
	}
}
