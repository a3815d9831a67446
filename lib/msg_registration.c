/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_registration.c - Registration Request and Response (paper A, section II.B).
 * Node: daemon/registration.c; DC: dc/registration.c.
 */
#include "field.h"

static const struct ntm_field registration_request_fields[] = {
	{NTM_FIELD_ONE(FQDN, NAME, ntm_registration_request, fqdn), .required = true},
	{NTM_FIELD_MANY(REAL_ADDRESS, ENDPOINT, ntm_registration_request, real, reals)},
	{NTM_FIELD_ONE(NAT, U8, ntm_registration_request, nat), .below = NTM_NAT_HARD + 1},
	{NTM_FIELD_MANY(RELAY_RTT, FIELDS, ntm_registration_request, rtt, rtts),
	 .fields = ntm_relay_rtt_fields},
	{NTM_FIELD_ONE(BOOT_ID, U64, ntm_registration_request, boot_id), .required = true},
	{NTM_FIELD_ONE(SOFTWARE, TEXT, ntm_registration_request, software)},
	{NTM_FIELD_ONE(PADDING, PADDING, ntm_registration_request, padding)},
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(registration_request)

static const struct ntm_field registration_response_fields[] = {
	{NTM_FIELD_ONE(LIFETIME, U32, ntm_registration_response, lifetime_s), .required = true},
	{NTM_FIELD_ONE(VIP4, BYTES, ntm_registration_response, vip4)},
	{NTM_FIELD_ONE(VIP6, BYTES, ntm_registration_response, vip6)},
	{NTM_FIELD_ONE(VIP4_PREFIX, U8, ntm_registration_response, vip4_prefix), .below = 33},
	{NTM_FIELD_ONE(VIP6_PREFIX, U8, ntm_registration_response, vip6_prefix), .below = 129},
	{NTM_FIELD_ONE(OBSERVED, ENDPOINT, ntm_registration_response, observed), .required = true},
	{NTM_FIELD_MANY(SERVER, ENDPOINT, ntm_registration_response, server, servers)},
	{NTM_FIELD_MANY(RELAY, FIELDS, ntm_registration_response, relay, relays),
	 .fields = ntm_relay_info_fields},
	{NTM_FIELD_ONE(ZONE, NAME, ntm_registration_response, zone), .required = true},
	{NTM_FIELD_ONE(DC_NAME, NAME, ntm_registration_response, dc_name), .required = true},
	{NTM_FIELD_MANY(DNS_SERVER, ENDPOINT, ntm_registration_response, dns, dnss)},
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(registration_response)
