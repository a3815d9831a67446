/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_direction.c - Direction Request and Response (paper A, section II.C.1), and the Location Request
 * between DCs behind it. Node: daemon/direction.c; DC: dc/direction.c, dc/location.c.
 */
#include "field.h"

static const struct ntm_field direction_request_fields[] = {
	{ NTM_FIELD_ONE(FQDN, NAME, ntm_direction_request, fqdn) },
	{ NTM_FIELD_ONE(PATH_ID, U64, ntm_direction_request, path_id) },
	{ NTM_FIELD_ONE(VIP, BYTES, ntm_direction_request, vip) },
	{ NTM_FIELD_ONE(REASON, U8, ntm_direction_request, reason), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(direction_request)

static const struct ntm_field direction_response_fields[] = {
	{ NTM_FIELD_ONE(FQDN, NAME, ntm_direction_response, fqdn), .required = true },
	{ NTM_FIELD_ONE(PATH_ID, U64, ntm_direction_response, path_id), .required = true },
	{ NTM_FIELD_ONE(VIP4, BYTES, ntm_direction_response, vip4) },
	{ NTM_FIELD_ONE(VIP6, BYTES, ntm_direction_response, vip6) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(direction_response)

static const struct ntm_field location_request_fields[] = {
	{ NTM_FIELD_ONE(FQDN, NAME, ntm_location_request, fqdn) },
	{ NTM_FIELD_ONE(VIP, BYTES, ntm_location_request, vip) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(location_request)

static const struct ntm_field location_fields[] = {
	{ NTM_FIELD_ONE(FQDN, NAME, ntm_location, fqdn), .required = true },
	{ NTM_FIELD_ONE(PUBLIC_KEY, BYTES, ntm_location, public_key), .required = true },
	{ NTM_FIELD_ONE(VIP4, BYTES, ntm_location, vip4) },
	{ NTM_FIELD_ONE(VIP6, BYTES, ntm_location, vip6) },
	{ NTM_FIELD_MANY(REAL_ADDRESS, ENDPOINT, ntm_location, real, reals) },
	{ NTM_FIELD_ONE(NAT, U8, ntm_location, nat), .below = NTM_NAT_HARD + 1 },
	{ NTM_FIELD_MANY(OBSERVED, ENDPOINT, ntm_location, observed, observeds) },
	{ NTM_FIELD_MANY(RELAY_RTT, FIELDS, ntm_location, rtt, rtts), .fields = ntm_relay_rtt_fields },
	{ NTM_FIELD_ONE(REGISTERED, U8, ntm_location, registered), .below = 2 },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(location)
