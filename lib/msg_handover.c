/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_handover.c - path control that moves, proves and closes paths (doc/PROTOCOL.md, "Handover").
 * Node: daemon/handover.c, daemon/path_control.c.
 */
#include "field.h"

static const struct ntm_field path_update_fields[] = {
	{ NTM_FIELD_ONE(NONCE, U64, ntm_path_update, nonce), .required = true },
	{ NTM_FIELD_ONE(SEQUENCE, U64, ntm_path_update, sequence), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(path_update)

static const struct ntm_field path_response_fields[] = {
	{ NTM_FIELD_ONE(OBSERVED, ENDPOINT, ntm_path_response, observed) },
	{ NTM_FIELD_ONE(NONCE, U64, ntm_path_response, nonce), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(path_response)

static const struct ntm_field tunnel_close_fields[] = {
	{ NTM_FIELD_ONE(REASON, U8, ntm_tunnel_close, reason), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(tunnel_close)
