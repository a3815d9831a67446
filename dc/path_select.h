/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_select.h - which routes two nodes may try, which relay stands by, and why each other one was not
 * taken: doc/PROTOCOL.md's direction table. Pure; dc/direction.c asks.
 */
#ifndef DC_PATH_SELECT_H
#define DC_PATH_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include <ntm/limits.h>
#include <ntm/types.h>

#include "msg.h"

#define DC_RELAYS_MAX 64 /* relays of one DC */
#define DC_RTT_UNKNOWN_US 50000 /* taken for a round trip that a node has not measured */

/* One end, as it registered and as it is seen from outside. */
struct dc_select_end {
	const struct ntm_endpoint *real; /* RIP4 and RIP6 with the node's UDP port */
	unsigned reals;
	struct ntm_endpoint observed4, observed6; /* none: not seen by this family */
	enum ntm_nat nat; /* as the node found by comparing mappings */
	uint32_t relay_rtt_us[DC_RELAYS_MAX]; /* by number of the relay; 0: not measured */
};

struct dc_select_relay {
	const char *name;
	bool alive, has4, has6;
	bool draining; /* only for a pair that uses it, and has no other */
	uint32_t cpu_permille;
};

struct dc_selection {
	/* [0] for the requester: where the correspondent may be reached; [1] the other way round. Best first.
	 */
	struct ntm_candidate candidate[2][NTM_CANDIDATES_MAX];
	uint16_t candidates[2];
	bool direct; /* some of them are of use now; the others after a move, to an end without the family */
	uint8_t relay[DC_RELAYS_MAX]; /* numbers of those that would do, best first */
	unsigned relays;
	struct ntm_verdict verdict[NTM_VERDICTS_MAX];
	uint16_t verdicts;
};

/* The NAT in front of an end's IPv4: none if the address seen from outside is its own, else as the node says.
 */
enum ntm_nat dc_path_select_nat(const struct dc_select_end *end);

/* held: number of the relay the pair uses now, which must be clearly beaten; -1: none. */
void dc_path_select(struct dc_selection *ret_selection, const struct dc_select_end *mn,
		    const struct dc_select_end *cn, const struct dc_select_relay *relay, unsigned relays,
		    int held);

#endif
