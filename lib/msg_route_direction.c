/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_route_direction.c - Route Direction and Route Withdraw (paper A, section II.C.3).
 * Node: daemon/route_direction.c; DC: dc/route_direction.c. Their acknowledgements have no fields.
 */
#include "field.h"

static const struct ntm_field candidate_fields[] = {
	{ NTM_FIELD_ONE(KIND, U8, ntm_candidate, kind), .required = true, .below = NTM_ROUTE_KINDS },
	{ NTM_FIELD_ONE(ENDPOINT, ENDPOINT, ntm_candidate, endpoint), .required = true },
	NTM_FIELDS_END,
};

static const struct ntm_field verdict_fields[] = {
	{ NTM_FIELD_ONE(KIND, U8, ntm_verdict, kind), .required = true, .below = NTM_ROUTE_KINDS },
	{ NTM_FIELD_ONE(NAME, NAME, ntm_verdict, name) },
	{ NTM_FIELD_ONE(WHY, U8, ntm_verdict, why), .required = true },
	NTM_FIELDS_END,
};

static const struct ntm_field route_direction_fields[] = {
	{NTM_FIELD_ONE(FQDN, NAME, ntm_route_direction, fqdn), .required = true},
	{NTM_FIELD_ONE(PATH_ID, U64, ntm_route_direction, path_id), .required = true},
	{NTM_FIELD_ONE(SIDE, U8, ntm_route_direction, side), .required = true, .below = 2},
	{NTM_FIELD_ONE(PUBLIC_KEY, BYTES, ntm_route_direction, public_key), .required = true},
	{NTM_FIELD_ONE(CK, BYTES, ntm_route_direction, ck), .required = true},
	{NTM_FIELD_ONE(LIFETIME, U32, ntm_route_direction, lifetime_s), .required = true},
	{NTM_FIELD_ONE(VIP4, BYTES, ntm_route_direction, vip4)},
	{NTM_FIELD_ONE(VIP6, BYTES, ntm_route_direction, vip6)},
	{NTM_FIELD_ONE(RELAY, FIELDS, ntm_route_direction, relay), .fields = ntm_relay_info_fields},
	{NTM_FIELD_MANY(CANDIDATE, FIELDS, ntm_route_direction, candidate, candidates),
	 .fields = candidate_fields},
	{NTM_FIELD_MANY(VERDICT, FIELDS, ntm_route_direction, verdict, verdicts), .fields = verdict_fields},
	{NTM_FIELD_ONE(REASON, U8, ntm_route_direction, reason), .required = true},
	{NTM_FIELD_ONE(TARGET, NAME, ntm_route_direction, target)},
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(route_direction)

static const struct ntm_field route_withdraw_fields[] = {
	{ NTM_FIELD_ONE(PATH_ID, U64, ntm_route_withdraw, path_id), .required = true },
	{ NTM_FIELD_ONE(REASON, U8, ntm_route_withdraw, reason), .required = true },
	{ NTM_FIELD_ONE(TARGET, NAME, ntm_route_withdraw, target) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(route_withdraw)
