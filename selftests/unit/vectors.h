/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * vectors.h - published test vectors: JSON files, and bytes written as hexadecimal text.
 * For test_crypto.c, test_aead.c and test_noise.c.
 */
#ifndef NTM_UNIT_VECTORS_H
#define NTM_UNIT_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

/* Where the files lie; NTM_VECTORS names another folder. */
#define VECTORS_FOLDER "../shared/vectors"

/* The bytes of hexadecimal text; returns how many. The text must be well-formed and fit. */
static inline size_t hex(const char *text, void *ret_bytes, size_t size)
{
	size_t len = strlen(text) / 2;
	uint8_t *p = ret_bytes;

	assert_true(strlen(text) % 2 == 0 && len <= size);
	for (size_t i = 0; i < len; i++) {
		unsigned int v;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &v), 1);
		p[i] = (uint8_t)v;
	}
	return len;
}

/* Compares bytes with hexadecimal text, lengths too. */
static inline void assert_hex(const void *bytes, size_t len, const char *text)
{
	uint8_t expected[4096];

	assert_int_equal(hex(text, expected, sizeof(expected)), len);
	assert_memory_equal(bytes, expected, len);
}

/* The parsed file, to be put by the caller; a missing one skips the test and names the folder. */
static inline struct json_object *vectors_open(const char *file)
{
	const char *folder = getenv("NTM_VECTORS");
	struct json_object *vectors;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder ? folder : VECTORS_FOLDER, file);
	if (access(path, R_OK)) {
		print_message("no %s in %s (NTM_VECTORS names another folder)\n", file,
			      folder ? folder : VECTORS_FOLDER);
		skip();
	}
	vectors = json_object_from_file(path);
	if (!vectors)
		fail_msg("%s: %s", path, json_util_get_last_err());
	return vectors;
}

static inline struct json_object *vectors_get(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value))
		fail_msg("no \"%s\" in a test vector", name);
	return value;
}

static inline const char *vectors_text(struct json_object *object, const char *name)
{
	return json_object_get_string(vectors_get(object, name));
}

static inline size_t vectors_hex(struct json_object *object, const char *name, void *ret_bytes, size_t size)
{
	return hex(vectors_text(object, name), ret_bytes, size);
}

#endif
