/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * field.h - the one codec behind all control messages: a message is a structure and a table of its fields,
 * and this converts between the structure and the bytes. msg_*.c hold the tables.
 */
#ifndef NTM_LIB_FIELD_H
#define NTM_LIB_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>
#include <ntm/wire.h>

#include "msg.h"

enum ntm_field_form {
	NTM_FORM_U8,
	NTM_FORM_U16,
	NTM_FORM_U32,
	NTM_FORM_U64,
	NTM_FORM_BYTES, /* size bytes */
	NTM_FORM_NAME, /* char[NTM_FQDN_MAX + 1], normalised on the wire too */
	NTM_FORM_TEXT, /* char[NTM_TEXT_MAX + 1], printable UTF-8 */
	NTM_FORM_ENDPOINT, /* struct ntm_endpoint: 16 bytes of address, 2 of port */
	NTM_FORM_PADDING, /* zero bytes; the structure has their number, a uint16_t */
	NTM_FORM_FIELDS, /* a structure with a table of its own */
};

struct ntm_field {
	uint16_t type; /* enum ntm_field_type, perhaps with NTM_FIELD_MAY_IGNORE */
	uint8_t form; /* enum ntm_field_form */
	bool required; /* of a list: at least one */
	uint16_t max; /* lists: elements at most; 0: no list */
	uint32_t below; /* integers: only smaller values are allowed; 0: any */
	uint32_t offset; /* in the structure */
	uint32_t size; /* of one element in the structure, bytes */
	uint32_t count_offset; /* lists: of the uint16_t that counts the elements */
	const struct ntm_field *fields; /* NTM_FORM_FIELDS: its table */
};

/* Tables end with NTM_FIELDS_END and stand in ascending order of type. */
#define NTM_FIELDS_END { 0 }
#define NTM_FIELD_ONE(type_, form_, struct_, member_) \
	.type = NTM_FIELD_##type_, .form = NTM_FORM_##form_, .offset = offsetof(struct struct_, member_), \
	.size = sizeof(((struct struct_ *)0)->member_)
#define NTM_FIELD_MANY(type_, form_, struct_, member_, count_) \
	.type = NTM_FIELD_##type_, .form = NTM_FORM_##form_, .offset = offsetof(struct struct_, member_), \
	.size = sizeof(((struct struct_ *)0)->member_[0]), \
	.max = sizeof(((struct struct_ *)0)->member_) / sizeof(((struct struct_ *)0)->member_[0]), \
	.count_offset = offsetof(struct struct_, count_)

/* Bytes written, -EMSGSIZE, -EINVAL. */
int ntm_fields_build(uint8_t *out, size_t size, const struct ntm_field *table, const void *msg);
/* 0 or -NTM_DROP_FIELD_...; msg_size bytes of ret_msg are zeroed first. */
int ntm_fields_parse(void *ret_msg, size_t msg_size, const struct ntm_field *table, const uint8_t *fields,
		     size_t len);

/* Parts that several messages hold: msg_relay.c. */
extern const struct ntm_field ntm_relay_info_fields[], ntm_relay_rtt_fields[];

/* Defines ntm_msg_X_build and _parse by the table X_fields. */
#define NTM_MSG_CODEC(name) \
	int ntm_msg_##name##_build(uint8_t *out, size_t size, const struct ntm_##name *msg) \
	{ \
		return ntm_fields_build(out, size, name##_fields, msg); \
	} \
	int ntm_msg_##name##_parse(struct ntm_##name *ret_msg, const uint8_t *fields, size_t len) \
	{ \
		return ntm_fields_parse(ret_msg, sizeof(*ret_msg), name##_fields, fields, len); \
	}

#endif
