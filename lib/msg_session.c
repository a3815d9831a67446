/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_session.c - what sessions themselves say: handshake payloads, address challenge, errors.
 * Sent and handled in session.c and session_handshake.c.
 */
#include "field.h"

static const struct ntm_field session_hello_fields[] = {
	{ NTM_FIELD_ONE(RESET_TOKEN, BYTES, ntm_session_hello, reset_token), .required = true },
	{ NTM_FIELD_ONE(VERSION, U8, ntm_session_hello, version), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(session_hello)

static const struct ntm_field session_welcome_fields[] = {
	{ NTM_FIELD_ONE(SESSION_ID, U64, ntm_session_welcome, session_id), .required = true },
	{ NTM_FIELD_ONE(RESET_TOKEN, BYTES, ntm_session_welcome, reset_token), .required = true },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(session_welcome)

static const struct ntm_field challenge_fields[] = {
	{ NTM_FIELD_ONE(NONCE, U64, ntm_challenge, nonce), .required = true },
	{ NTM_FIELD_ONE(PADDING, PADDING, ntm_challenge, padding) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(challenge)

static const struct ntm_field error_message_fields[] = {
	{ NTM_FIELD_ONE(ERROR_CODE, U16, ntm_error_message, code), .required = true },
	{ NTM_FIELD_ONE(TEXT, TEXT, ntm_error_message, text) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(error_message)
