/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_tunnel.c - payloads of Tunnel Request and Response (paper A, section II.C.4), which are Noise IKpsk2
 * messages. Node: daemon/tunnel.c.
 */
#include "field.h"

static const struct ntm_field tunnel_request_fields[] = {
	{ NTM_FIELD_ONE(RESET_TOKEN, BYTES, ntm_tunnel_request, reset_token), .required = true },
	{ NTM_FIELD_ONE(VERSION, U8, ntm_tunnel_request, version), .required = true },
	{ NTM_FIELD_ONE(CIPHERS, U32, ntm_tunnel_request, ciphers), .required = true },
	{ NTM_FIELD_ONE(MTU, U16, ntm_tunnel_request, mtu), .required = true },
	{ NTM_FIELD_ONE(PHASE, U8, ntm_tunnel_request, phase), .required = true, .below = 4 },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(tunnel_request)

static const struct ntm_field tunnel_response_fields[] = {
	{ NTM_FIELD_ONE(ERROR_CODE, U16, ntm_tunnel_response, error) },
	{ NTM_FIELD_ONE(RESET_TOKEN, BYTES, ntm_tunnel_response, reset_token), .required = true },
	{ NTM_FIELD_ONE(CIPHERS, U32, ntm_tunnel_response, ciphers) },
	{ NTM_FIELD_ONE(CIPHER, U8, ntm_tunnel_response, cipher), .required = true, .below = NTM_CIPHERS },
	{ NTM_FIELD_ONE(MTU, U16, ntm_tunnel_response, mtu), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(tunnel_response)
