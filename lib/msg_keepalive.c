/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * msg_keepalive.c - Keep Alive (paper A, section II.C): node-DC, DC-RS, DC-DC in sessions, node-node in path
 * control. Node: daemon/keepalive.c; DC: dc/keepalive.c; RS: rs/keepalive.c. Towards the RS a node's Keep
 * Alive is a bind (bind.c).
 */
#include "field.h"

static const struct ntm_field keepalive_fields[] = {
	{ NTM_FIELD_ONE(OBSERVED, ENDPOINT, ntm_keepalive, observed) },
	NTM_FIELDS_END,
};
NTM_MSG_CODEC(keepalive)
