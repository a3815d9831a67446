/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * direction.h - one direction under way, between direction.c (requests, and who is to be directed) and
 * direction_round.c (telling them).
 */
#ifndef DC_DIRECTION_H
#define DC_DIRECTION_H

#include "dc/dc.h"

struct dc_direction {
	LIST_ENTRY(dc_direction) all, by_requester;
	struct dc *dc;
	bool has_from; /* somebody waits for the response; false: the DC renews CK by itself */
	struct ntm_session_from from;
	struct ntm_direction_request request;
	struct dc_member *mn;
	struct event *proof; /* waits for the requester's address to be proven */
	struct dc_location_query *query; /* waits for another DC */
	/* the correspondent: ours, or another DC's */
	struct dc_member *cn;
	struct dc_other *other;
	char cn_name[NTM_FQDN_MAX + 1];
	uint8_t cn_key[NTM_KEY_LEN], cn_vip4[4], cn_vip6[16];
	/* the path, and what it will be when the direction succeeds */
	struct dc_path *path;
	bool path_is_new;
	int mn_side;
	uint8_t ck[NTM_KEY_LEN];
	struct dc_relay *relay_before; /* the path's, to return to */
	unsigned draws; /* of Path IDs */
	struct dc_selection selection;
	uint16_t cn_version; /* of CN's location, where CN is ours, when that was made */
	struct ntm_session_request *cn_request;
	bool cn_told, cn_ok, relay_ok;
};

/* Sends the Relay Direction and CN's Route Direction, then goes on by itself until the direction ends. */
void dc_direction_round_send(struct dc_direction *direction);

#endif
