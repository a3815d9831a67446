/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_fields.c - every control message: what parses can be built again, into no more bytes, and then parses
 * to the same structure. Input: one byte that chooses the message, then its fields.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "msg.h"

#define FIELDS_MAX 8192

#define X(name)                                                                                     \
	static void try_##name(const uint8_t *fields, size_t len)                                   \
	{                                                                                           \
		static struct ntm_##name first, second;                                             \
		static uint8_t out[FIELDS_MAX];                                                     \
		int n;                                                                              \
		if (ntm_msg_##name##_parse(&first, fields, len))                                    \
			return;                                                                     \
		n = ntm_msg_##name##_build(out, sizeof(out), &first);                               \
		/* fields that were ignored are left out, and so are optional ones that are zero */ \
		if (n < 0 || (size_t)n > len || ntm_msg_##name##_parse(&second, out, (size_t)n) ||  \
		    memcmp(&first, &second, sizeof(first)))                                         \
			abort();                                                                    \
	}
NTM_MSG_LIST(X)
#undef X

static void (*const tries[])(const uint8_t *fields, size_t len) = {
#define X(name) try_##name,
	NTM_MSG_LIST(X)
#undef X
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ntm_message message;

	if (!len || len > FIELDS_MAX)
		return 0;
	tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](data + 1, len - 1);
	if (!ntm_msg_header_parse(&message, data, len)) {
		uint8_t header[NTM_MSG_HEADER_LEN];

		ntm_msg_header_build(header, message.type, message.transaction);
		if (memcmp(header, data, sizeof(header)) || message.len != len - NTM_MSG_HEADER_LEN)
			abort();
	}
	return 0;
}
