/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * field.c - the codec behind all control messages (doc/PROTOCOL.md, "Control messages"). Everything that
 * comes from the network as fields passes through ntm_fields_parse: strict order, exact lengths, no
 * leftovers. Tables: msg_*.c. Pure: no I/O, no allocation.
 */
#include "field.h"

#include <errno.h>
#include <string.h>

#include <ntm/drop.h>

#include "endpoint.h"

#define ENDPOINT_LEN 18 /* address 16, port 2 */
#define DEPTH_MAX 2 /* a field of fields holds no further fields of fields */

static void put_be(uint8_t *out, uint64_t value, size_t len)
{
	while (len--) {
		out[len] = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t get_be(const uint8_t *in, size_t len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | *in++;
	return value;
}

/* Integers are read and written through their own type: the structures are in host order. */
static uint64_t integer_get(const void *member, size_t size)
{
	switch (size) {
	case 1:
		return *(const uint8_t *)member;
	case 2:
		return *(const uint16_t *)member;
	case 4:
		return *(const uint32_t *)member;
	default:
		return *(const uint64_t *)member;
	}
}

static void integer_set(void *member, size_t size, uint64_t value)
{
	switch (size) {
	case 1:
		*(uint8_t *)member = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)member = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)member = (uint32_t)value;
		break;
	default:
		*(uint64_t *)member = value;
	}
}

static bool is_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;

	while (len--)
		any |= *p++;
	return !any;
}

/* Valid UTF-8 (RFC 3629) without control characters: it ends up on terminals. */
static bool text_ok(const uint8_t *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t c = s[i];
		size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4 || more >= len - i)
			return false;
		if (more)
			c &= 0x3f >> more;
		for (size_t k = 1; k <= more; k++) {
			if ((s[i + k] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (s[i + k] & 0x3f);
		}
		if (more && (c < (more == 1 ? 0x80u : more == 2 ? 0x800u : 0x10000u) || c > 0x10ffff ||
			     (c >= 0xd800 && c < 0xe000) || (c >= 0x80 && c < 0xa0)))
			return false;
		i += more + 1;
	}
	return true;
}

/* Whether an optional member is left out: zero, empty, or all parts of it are. */
static bool is_empty(const struct ntm_field *field, const uint8_t *member)
{
	switch (field->form) {
	case NTM_FORM_NAME:
	case NTM_FORM_TEXT:
		return !member[0];
	case NTM_FORM_ENDPOINT:
		return ntm_endpoint_is_none((const struct ntm_endpoint *)member);
	case NTM_FORM_FIELDS:
		for (const struct ntm_field *f = field->fields; f->type; f++)
			if (f->max ? integer_get(member + f->count_offset, 2)
				   : !is_empty(f, member + f->offset))
				return false;
		return true;
	default:
		return is_zero(member, field->size);
	}
}

/* Length of the value written, or negative errno. */
static int value_build(uint8_t *out, size_t size, const struct ntm_field *field, const uint8_t *member)
{
	const struct ntm_endpoint *endpoint = (const struct ntm_endpoint *)member;
	char name[NTM_FQDN_MAX + 1];
	size_t len;

	switch (field->form) {
	case NTM_FORM_U8:
	case NTM_FORM_U16:
	case NTM_FORM_U32:
	case NTM_FORM_U64:
		if (size < field->size)
			return -EMSGSIZE;
		if (field->below && integer_get(member, field->size) >= field->below)
			return -EINVAL;
		put_be(out, integer_get(member, field->size), field->size);
		return (int)field->size;
	case NTM_FORM_BYTES:
		if (size < field->size)
			return -EMSGSIZE;
		memcpy(out, member, field->size);
		return (int)field->size;
	case NTM_FORM_NAME:
		len = strnlen((const char *)member, field->size);
		if (len == field->size || ntm_name_normalise(name, (const char *)member) ||
		    strcmp(name, (const char *)member))
			return -EINVAL;
		if (size < len)
			return -EMSGSIZE;
		memcpy(out, member, len);
		return (int)len;
	case NTM_FORM_TEXT:
		len = strnlen((const char *)member, field->size);
		if (len == field->size || !text_ok(member, len))
			return -EINVAL;
		if (size < len)
			return -EMSGSIZE;
		memcpy(out, member, len);
		return (int)len;
	case NTM_FORM_ENDPOINT:
		if (ntm_endpoint_is_none(endpoint) || !endpoint->port)
			return -EINVAL;
		if (size < ENDPOINT_LEN)
			return -EMSGSIZE;
		memcpy(out, endpoint->addr.b, 16);
		put_be(out + 16, endpoint->port, 2);
		return ENDPOINT_LEN;
	case NTM_FORM_PADDING:
		len = integer_get(member, field->size);
		if (size < len)
			return -EMSGSIZE;
		memset(out, 0, len);
		return (int)len;
	case NTM_FORM_FIELDS:
		return ntm_fields_build(out, size, field->fields, member);
	}
	return -EINVAL;
}

int ntm_fields_build(uint8_t *out, size_t size, const struct ntm_field *table, const void *msg)
{
	const uint8_t *base = msg;
	size_t at = 0;

	for (const struct ntm_field *f = table; f->type; f++) {
		size_t count = f->max ? integer_get(base + f->count_offset, 2) : 1;

		if (f->max && (count > f->max || (f->required && !count)))
			return -EINVAL;
		if (!f->max && !f->required && is_empty(f, base + f->offset))
			continue;
		for (size_t i = 0; i < count; i++) {
			int len;

			if (size - at < NTM_FIELD_HEADER_LEN)
				return -EMSGSIZE;
			len = value_build(out + at + NTM_FIELD_HEADER_LEN, size - at - NTM_FIELD_HEADER_LEN,
					  f, base + f->offset + i * f->size);
			if (len < 0)
				return len;
			put_be(out + at, f->type, 2);
			put_be(out + at + 2, (uint64_t)len, 2);
			at += NTM_FIELD_HEADER_LEN + (size_t)len;
		}
	}
	return (int)at;
}

static int fields_parse(void *ret_msg, const struct ntm_field *table, const uint8_t *fields, size_t len,
			int depth);

static int value_parse(uint8_t *member, const struct ntm_field *field, const uint8_t *value, size_t len,
		       int depth)
{
	char name[NTM_FQDN_MAX + 1];
	struct ntm_endpoint endpoint;

	switch (field->form) {
	case NTM_FORM_U8:
	case NTM_FORM_U16:
	case NTM_FORM_U32:
	case NTM_FORM_U64:
		if (len != field->size)
			return -NTM_DROP_FIELD_LENGTH;
		if (field->below && get_be(value, len) >= field->below)
			return -NTM_DROP_FIELD_VALUE;
		integer_set(member, field->size, get_be(value, len));
		return 0;
	case NTM_FORM_BYTES:
		if (len != field->size)
			return -NTM_DROP_FIELD_LENGTH;
		memcpy(member, value, len);
		return 0;
	case NTM_FORM_NAME:
		if (!len || len > NTM_FQDN_MAX)
			return -NTM_DROP_FIELD_LENGTH;
		memcpy(member, value, len);
		member[len] = 0;
		/* One name has one wire form: lower case, no closing dot. */
		if (memchr(value, 0, len) || ntm_name_normalise(name, (char *)member) ||
		    strcmp(name, (char *)member))
			return -NTM_DROP_FIELD_VALUE;
		return 0;
	case NTM_FORM_TEXT:
		if (!len || len >= field->size)
			return -NTM_DROP_FIELD_LENGTH;
		if (!text_ok(value, len))
			return -NTM_DROP_FIELD_VALUE;
		memcpy(member, value, len);
		member[len] = 0;
		return 0;
	case NTM_FORM_ENDPOINT:
		if (len != ENDPOINT_LEN)
			return -NTM_DROP_FIELD_LENGTH;
		memset(&endpoint, 0, sizeof(endpoint));
		memcpy(endpoint.addr.b, value, 16);
		endpoint.port = (uint16_t)get_be(value + 16, 2);
		if (ntm_endpoint_is_none(&endpoint) || !endpoint.port)
			return -NTM_DROP_FIELD_VALUE;
		memcpy(member, &endpoint, sizeof(endpoint));
		return 0;
	case NTM_FORM_PADDING:
		if (!len)
			return -NTM_DROP_FIELD_LENGTH;
		if (!is_zero(value, len))
			return -NTM_DROP_FIELD_VALUE;
		integer_set(member, field->size, len);
		return 0;
	case NTM_FORM_FIELDS:
		return fields_parse(member, field->fields, value, len, depth + 1);
	}
	return -NTM_DROP_FIELD_UNKNOWN;
}

static int fields_parse(void *ret_msg, const struct ntm_field *table, const uint8_t *fields, size_t len,
			int depth)
{
	const struct ntm_field *f = table; /* the next one that may come */
	uint8_t *base = ret_msg;
	unsigned seen = 0; /* elements of *f */
	unsigned last = 0;

	if (depth > DEPTH_MAX)
		return -NTM_DROP_FIELD_UNKNOWN;
	for (size_t at = 0; at < len;) {
		unsigned type, value_len;
		int err;

		if (len - at < NTM_FIELD_HEADER_LEN)
			return -NTM_DROP_FIELD_TRUNCATED;
		type = (unsigned)get_be(fields + at, 2);
		value_len = (unsigned)get_be(fields + at + 2, 2);
		at += NTM_FIELD_HEADER_LEN;
		if (len - at < value_len)
			return -NTM_DROP_FIELD_TRUNCATED;

		/* Ascending by number, whatever the may-ignore bit says; equal only in lists. */
		if ((type & ~NTM_FIELD_MAY_IGNORE) < last)
			return -NTM_DROP_FIELD_ORDER;
		last = type & ~NTM_FIELD_MAY_IGNORE;
		while (f->type && (f->type & ~NTM_FIELD_MAY_IGNORE) < last) {
			if (f->required && !seen)
				return -NTM_DROP_FIELD_MISSING;
			f++;
			seen = 0;
		}
		if (!f->type || f->type != type) {
			if (!(type & NTM_FIELD_MAY_IGNORE))
				return -NTM_DROP_FIELD_UNKNOWN;
			at += value_len;
			continue;
		}
		if (!f->max && seen)
			return -NTM_DROP_FIELD_ORDER;
		if (f->max && seen >= f->max)
			return -NTM_DROP_FIELD_MANY;
		err = value_parse(base + f->offset + seen * f->size, f, fields + at, value_len, depth);
		if (err)
			return err;
		seen++;
		if (f->max)
			integer_set(base + f->count_offset, 2, seen);
		at += value_len;
	}
	for (; f->type; f++, seen = 0)
		if (f->required && !seen)
			return -NTM_DROP_FIELD_MISSING;
	return 0;
}

int ntm_fields_parse(void *ret_msg, size_t msg_size, const struct ntm_field *table, const uint8_t *fields,
		     size_t len)
{
	memset(ret_msg, 0, msg_size);
	return fields_parse(ret_msg, table, fields, len, 0);
}
