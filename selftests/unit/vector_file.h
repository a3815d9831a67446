/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * vector_file.h - the protocol's own test vectors, selftests/vectors/NAME.txt: lines "name hex", comments
 * with '#'. doc/PROTOCOL.md refers to them. Each file belongs to one test: messages.txt to test_msg.c,
 * handshake.txt and packets.txt to test_vectors.c. Tests run in the project's top folder.
 *
 * With NTM_VECTORS_WRITE=1 the files are written instead of compared: only for a deliberate change of the
 * protocol.
 */
#ifndef NTM_UNIT_VECTOR_FILE_H
#define NTM_UNIT_VECTOR_FILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VECTOR_LINE 8192

static inline const char *vector_path(const char *file, char path[256])
{
	snprintf(path, 256, "selftests/vectors/%s", file);
	return path;
}

static inline int vector_writing(void)
{
	return getenv("NTM_VECTORS_WRITE") != NULL;
}

/* Before the first vector: empties the file when writing. about: comment lines, each with its '#'. */
static inline void vector_begin(const char *file, const char *about)
{
	char path[256];
	FILE *f;

	if (!vector_writing())
		return;
	f = fopen(vector_path(file, path), "w");
	assert_non_null(f);
	fprintf(f, "# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0\n%s", about);
	assert_int_equal(fclose(f), 0);
}

static inline void vector_hex(char *text, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	text[2 * len] = 0;
}

/* The bytes must be those that stand in the file under this name. */
static inline void vector_check(const char *file, const char *name, const void *bytes, size_t len)
{
	char path[256], line[VECTOR_LINE], hex[VECTOR_LINE];
	size_t name_len = strlen(name);
	FILE *f;

	assert_true(2 * len < sizeof(hex) - name_len - 2);
	vector_hex(hex, bytes, len);
	f = fopen(vector_path(file, path), vector_writing() ? "a" : "r");
	if (!f)
		fail_msg("cannot open %s here; tests run in the project's top folder", path);
	if (vector_writing()) {
		fprintf(f, "%s %s\n", name, hex);
		assert_int_equal(fclose(f), 0);
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, name_len) || line[name_len] != ' ')
			continue;
		line[strcspn(line, "\n")] = 0;
		fclose(f);
		if (strcmp(line + name_len + 1, hex))
			fail_msg("%s: %s\nis      %s\nmust be %s", file, name, hex, line + name_len + 1);
		return;
	}
	fclose(f);
	fail_msg("%s has no vector %s", file, name);
}

#endif
