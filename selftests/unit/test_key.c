/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_key.c - lib/key.c: base64 text of keys, and which private key files are taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto.h"
#include "key.h"

/* 0, 1, 2 ... 31 */
static const char counting[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

static char folder[] = "/tmp/ntm-test-key.XXXXXX";
static char path[sizeof(folder) + 8];

static int folder_make(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/key", folder);
	return 0;
}

static int folder_remove(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

/* Writes the file anew with these permissions. */
static void file_write(const void *text, size_t len, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Loads the file; a refused one must leave the key alone and say a sentence that names it. */
static int file_load(uint8_t key[32], char why[200])
{
	uint8_t before[32];
	int r;

	memset(key, 0x5a, 32);
	memcpy(before, key, 32);
	why[0] = '\0';
	r = ntm_key_load(key, path, why, 200);
	if (r < 0) {
		assert_memory_equal(key, before, 32);
		assert_non_null(strstr(why, path));
	}
	return r;
}

static void text_is_the_base64_of_the_key(void **state)
{
	uint8_t key[32];
	char text[NTM_KEY_TEXT_LEN + 1];

	(void)state;
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	ntm_key_format(text, key);
	assert_string_equal(text, counting);
	memset(key, 0xff, 32);
	ntm_key_format(text, key);
	assert_string_equal(text, "//////////////////////////////////////////8=");
	memset(key, 0xfb, 32);
	key[1] = 0xef;
	key[2] = 0xbe;
	ntm_key_format(text, key);
	assert_memory_equal(text, "++++", 4);
}

static void every_key_comes_back_from_its_text(void **state)
{
	uint8_t key[32], back[32];
	char text[NTM_KEY_TEXT_LEN + 1];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		ntm_crypto_random(key, sizeof(key));
		ntm_key_format(text, key);
		assert_int_equal(strlen(text), NTM_KEY_TEXT_LEN);
		assert_int_equal(ntm_key_parse(back, text), 0);
		assert_memory_equal(back, key, 32);
	}
}

/* All 256 characters at all 44 places: what parses is exactly what formats to the same text. */
static void only_canonical_base64_parses(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[NTM_KEY_TEXT_LEN + 1], back[NTM_KEY_TEXT_LEN + 1];

	(void)state;
	for (int at = 0; at < NTM_KEY_TEXT_LEN; at++) {
		int parsed = 0;

		for (int c = 0; c < 256; c++) {
			uint8_t key[32], before[32];

			memcpy(text, counting, sizeof(text));
			memset(key, 0x5a, 32);
			memcpy(before, key, 32);
			text[at] = (char)c;
			if (ntm_key_parse(key, text)) {
				assert_memory_equal(key, before, 32);
				continue;
			}
			ntm_key_format(back, key);
			assert_string_equal(back, text);
			assert_true(at == 43 ? c == '=' : c && strchr(alphabet, c));
			parsed++;
		}
		/* the last character before the padding carries 4 bits, so 16 of the 64 are canonical */
		assert_int_equal(parsed, at == 43 ? 1 : at == 42 ? 16 : 64);
	}
}

static void text_of_another_length_is_refused(void **state)
{
	uint8_t key[32];
	char text[64];

	(void)state;
	assert_int_equal(ntm_key_parse(key, ""), -EINVAL);
	for (int len = 0; len < NTM_KEY_TEXT_LEN; len++) {
		snprintf(text, sizeof(text), "%.*s", len, counting);
		assert_int_equal(ntm_key_parse(key, text), -EINVAL);
	}
	snprintf(text, sizeof(text), "%s\n", counting);
	assert_int_equal(ntm_key_parse(key, text), -EINVAL);
	snprintf(text, sizeof(text), " %s", counting);
	assert_int_equal(ntm_key_parse(key, text), -EINVAL);
	snprintf(text, sizeof(text), "%.42s==", counting);
	assert_int_equal(ntm_key_parse(key, text), -EINVAL);
	assert_int_equal(ntm_key_parse(key, counting), 0);
}

static void a_private_file_loads_with_and_without_its_newline(void **state)
{
	uint8_t key[32];
	char why[200], line[64];

	(void)state;
	file_write(counting, NTM_KEY_TEXT_LEN, 0600);
	assert_int_equal(file_load(key, why), 0);
	assert_int_equal(key[31], 31);
	snprintf(line, sizeof(line), "%s\n", counting);
	file_write(line, strlen(line), 0400);
	assert_int_equal(file_load(key, why), 0);
	assert_int_equal(key[31], 31);
}

static void a_file_that_others_have_access_to_is_refused(void **state)
{
	static const mode_t bad[] = {0640, 0604, 0644, 0620, 0602, 0660, 0666, 0777, 0610, 0601};
	uint8_t key[32];
	char why[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		file_write(counting, NTM_KEY_TEXT_LEN, bad[i]);
		assert_int_equal(file_load(key, why), -EPERM);
		assert_non_null(strstr(why, "chmod 600"));
	}
	file_write(counting, NTM_KEY_TEXT_LEN, 0600);
	assert_int_equal(file_load(key, why), 0);
}

static void a_malformed_file_is_refused(void **state)
{
	static const char *const after[] = {"\n\n", "\r\n", " ", "A", "\nAAAA", "\n#"};
	uint8_t key[32];
	char why[200], text[100];

	(void)state;
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", counting, after[i]);
		file_write(text, strlen(text), 0600);
		assert_int_equal(file_load(key, why), -EINVAL);
	}
	for (size_t len = 0; len < NTM_KEY_TEXT_LEN; len++) {
		file_write(counting, len, 0600);
		assert_int_equal(file_load(key, why), -EINVAL);
	}
	/* zero bytes end no text in a file */
	memcpy(text, counting, NTM_KEY_TEXT_LEN);
	text[NTM_KEY_TEXT_LEN] = '\0';
	file_write(text, NTM_KEY_TEXT_LEN + 1, 0600);
	assert_int_equal(file_load(key, why), -EINVAL);
	text[20] = '\0';
	file_write(text, NTM_KEY_TEXT_LEN, 0600);
	assert_int_equal(file_load(key, why), -EINVAL);
	assert_non_null(strstr(why, "44 characters"));
}

static void what_is_no_file_is_refused_without_waiting(void **state)
{
	uint8_t key[32];
	char why[200];

	(void)state;
	unlink(path);
	assert_int_equal(file_load(key, why), -ENOENT);
	assert_non_null(strstr(why, strerror(ENOENT)));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_load(key, why), -EINVAL);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_load(key, why), -EINVAL);
	rmdir(path);
}

static void a_long_sentence_is_cut_to_its_room(void **state)
{
	uint8_t key[32];
	char why[12];

	(void)state;
	unlink(path);
	memset(why, 'x', sizeof(why));
	assert_int_equal(ntm_key_load(key, path, why, 8), -ENOENT);
	assert_int_equal(why[7], '\0');
	assert_int_equal(why[8], 'x');
	assert_int_equal(ntm_key_load(key, path, NULL, 0), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest key[] = {
		cmocka_unit_test(text_is_the_base64_of_the_key),
		cmocka_unit_test(every_key_comes_back_from_its_text),
		cmocka_unit_test(only_canonical_base64_parses),
		cmocka_unit_test(text_of_another_length_is_refused),
		cmocka_unit_test(a_private_file_loads_with_and_without_its_newline),
		cmocka_unit_test(a_file_that_others_have_access_to_is_refused),
		cmocka_unit_test(a_malformed_file_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused_without_waiting),
		cmocka_unit_test(a_long_sentence_is_cut_to_its_room),
	};

	return cmocka_run_group_tests(key, folder_make, folder_remove);
}
