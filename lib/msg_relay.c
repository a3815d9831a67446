/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_relay.c - Relay Direction and Response (paper A, section II.C.2), Relay Withdraw, the RS's load report;
 * and how other messages describe a relay.
 * DC: dc/relay.c; RS: rs/relay.c, rs/keepalive.c.
 */
#include "field.h"

const struct ntm_field ntm_relay_info_fields[] = {
	{ NTM_FIELD_MANY(SERVER, ENDPOINT, ntm_relay_info, server, servers), .required = true },
	{ NTM_FIELD_ONE(NAME, NAME, ntm_relay_info, name), .required = true },
	NTM_FIELDS_END,
};

const struct ntm_field ntm_relay_rtt_fields[] = {
	{ NTM_FIELD_ONE(RTT, U32, ntm_relay_rtt, rtt_us), .required = true },
	{ NTM_FIELD_ONE(NAME, NAME, ntm_relay_rtt, name), .required = true },
	NTM_FIELDS_END,
};

static const struct ntm_field relay_direction_fields[] = {
	{ NTM_FIELD_ONE(PATH_ID, U64, ntm_relay_direction, path_id), .required = true },
	{ NTM_FIELD_ONE(LIFETIME, U32, ntm_relay_direction, lifetime_s), .required = true },
	{ NTM_FIELD_ONE(LEG_KEY0, BYTES, ntm_relay_direction, leg_key[0]), .required = true },
	{ NTM_FIELD_ONE(LEG_KEY1, BYTES, ntm_relay_direction, leg_key[1]), .required = true },
	{ NTM_FIELD_ONE(RATE, U64, ntm_relay_direction, rate) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(relay_direction)

static const struct ntm_field relay_response_fields[] = {
	{ NTM_FIELD_ONE(BOOT_ID, U64, ntm_relay_response, boot_id), .required = true },
	{ NTM_FIELD_ONE(BOUND, U8, ntm_relay_response, bound) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(relay_response)

static const struct ntm_field relay_withdraw_fields[] = {
	{ NTM_FIELD_ONE(PATH_ID, U64, ntm_relay_withdraw, path_id), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(relay_withdraw)

static const struct ntm_field load_fields[] = {
	{ NTM_FIELD_ONE(PACKETS_PER_S, U32, ntm_load, packets_per_s), .required = true },
	{ NTM_FIELD_ONE(BYTES_PER_S, U64, ntm_load, bytes_per_s), .required = true },
	{ NTM_FIELD_ONE(PATHS, U32, ntm_load, paths), .required = true },
	{ NTM_FIELD_ONE(CPU_PERMILLE, U32, ntm_load, cpu_permille), .required = true },
	NTM_FIELDS_END,
};

static const struct ntm_field relay_report_fields[] = {
	{ NTM_FIELD_ONE(BOOT_ID, U64, ntm_relay_report, boot_id), .required = true },
	{ NTM_FIELD_ONE(LOAD, FIELDS, ntm_relay_report, load), .required = true, .fields = load_fields },
	{ NTM_FIELD_ONE(DRAINING, U8, ntm_relay_report, draining) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(relay_report)
