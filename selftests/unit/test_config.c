/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_config.c - lib/config.c: what a configuration file may hold, and that every error names file, line and
 * what was expected.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "endpoint.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

struct config {
	char fqdn[NTM_FQDN_MAX + 1];
	char *file;
	uint16_t port;
	unsigned int number;
	struct ntm_endpoint last;
	int endpoints, pins;
	uint8_t key[NTM_KEY_LEN];
	char pin[NTM_FQDN_MAX + 1];
};

static const char *add_endpoint(void *config, const char *value, void *arg)
{
	const char *expected = ntm_config_set_endpoint(config, value, arg);

	if (!expected)
		((struct config *)config)->endpoints++;
	return expected;
}

static const char *begin_pin(void *config, const char *name)
{
	((struct config *)config)->pins++;
	return ntm_name_normalise(((struct config *)config)->pin, name) < 0 ? "a name" : NULL;
}

#define AT(field) ((void *)offsetof(struct config, field))

static const struct ntm_config_key keys[] = {
	{"node", "fqdn", false, true, ntm_config_set_name, AT(fqdn)},
	{"node", "file", false, false, ntm_config_set_string, AT(file)},
	{"node", "port", false, false, ntm_config_set_port, AT(port)},
	{"node", "number", false, false, ntm_config_set_number, AT(number)},
	{"dc", "endpoint", true, false, add_endpoint, AT(last)},
	{"pin", "public-key", false, true, ntm_config_set_key, AT(key)},
	{0},
};
static const struct ntm_config_section sections[] = {{"pin", begin_pin}, {0}};

static char path[] = "/tmp/ntm-test-config-XXXXXX";
static char why[400];
static struct config config;

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int remove_file(void **state)
{
	(void)state;
	free(config.file);
	return unlink(path);
}

static int read_bytes(const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	free(config.file);
	memset(&config, 0, sizeof(config));
	strcpy(why, "untouched");
	return ntm_config_read(path, &config, keys, sections, why, sizeof(why));
}

/* A good file. */
static void assert_reads(const char *text)
{
	if (read_bytes(text, strlen(text)))
		fail_msg("refused: %s", why);
}

/* The error: "PATH" and then what is given. */
static void assert_refused(const char *text, const char *sentence)
{
	char expected[400];

	assert_int_equal(read_bytes(text, strlen(text)), -1);
	snprintf(expected, sizeof(expected), "%s%s", path, sentence);
	assert_string_equal(why, expected);
}

static void every_kind_of_value_arrives(void **state)
{
	char text[NTM_ENDPOINT_TEXT];

	(void)state;
	assert_reads("# comment\n"
		     "; another\n"
		     "\n"
		     "[node]   # words\n"
		     "fqdn = MN.ntm.example.    # the name\n"
		     "file = /tmp/a#b c\t# a path\n"
		     "  port = 53\n"
		     "number=4294967295\n"
		     "[dc]\n"
		     "endpoint = 203.0.113.10:53    # (R)\r\n"
		     "endpoint = 2001:db8::1\n"
		     "[pin \"cn.ntm.example\"]\n"
		     "public-key = " KEY " # key");
	assert_string_equal(config.fqdn, "mn.ntm.example");
	assert_string_equal(config.file, "/tmp/a#b c");
	assert_int_equal(config.port, 53);
	assert_int_equal(config.number, 4294967295u);
	assert_int_equal(config.endpoints, 2);
	assert_string_equal(ntm_endpoint_format(&config.last, text), "[2001:db8::1]:6866");
	assert_string_equal(config.pin, "cn.ntm.example");
	for (int i = 0; i < NTM_KEY_LEN; i++)
		assert_int_equal(config.key[i], i);
}

static void a_byte_order_mark_and_repeated_sections_do_no_harm(void **state)
{
	(void)state;
	assert_reads("\xef\xbb\xbf[node]\nfqdn = a.b\n[pin \"a\"]\npublic-key = " KEY
		     "\n[pin \"b\"]\npublic-key = " KEY "\n[node]\nport = 1\n");
	assert_int_equal(config.pins, 2);
	assert_int_equal(config.port, 1);
}

static void unknown_sections_and_keys_are_refused(void **state)
{
	(void)state;
	assert_refused("[node]\nfqdn = a.b\n\n[nodes]\n", ":4: unknown section [nodes]");
	assert_refused("[node]\nfqdn = a.b\nfdqn = a.b\n", ":3: unknown key 'fdqn' in [node]");
	assert_refused("[dc]\nfqdn = a.b\n", ":2: unknown key 'fqdn' in [dc]");
	assert_refused("fqdn = a.b\n", ":1: expected a section as [word] before the key 'fqdn'");
}

static void a_key_that_does_not_repeat_is_refused_the_second_time(void **state)
{
	(void)state;
	assert_refused("[node]\nfqdn = a.b\nfqdn = a.b\n",
		       ":3: the key 'fqdn' is there twice, expected once");
	assert_refused("[node]\nfqdn = a.b\n[dc]\n[node]\nfqdn = a.b\n",
		       ":5: the key 'fqdn' is there twice, expected once");
	assert_refused("[node]\nfqdn = a.b\n[pin \"a\"]\npublic-key = " KEY "\npublic-key = " KEY "\n",
		       ":5: the key 'public-key' is there twice, expected once");
}

static void missing_keys_are_named_with_their_section(void **state)
{
	(void)state;
	assert_refused("", ": the key 'fqdn' is missing in [node]");
	assert_refused("[node]\nport = 1\n", ": the key 'fqdn' is missing in [node]");
	assert_refused("[node]\nfqdn = a.b\n[pin \"c.d\"]\n# nothing\n[dc]\n",
		       ":3: [pin \"c.d\"] lacks the key 'public-key'");
	assert_refused("[node]\nfqdn = a.b\n[pin \"a\"]\npublic-key = " KEY "\n[pin \"c.d\"]\n",
		       ":5: [pin \"c.d\"] lacks the key 'public-key'");
}

static void bad_values_are_refused_with_what_was_expected(void **state)
{
	(void)state;
	assert_refused("[node]\nfqdn = a..b\n", ":2: fqdn = a..b: expected a name, as mn.ntm.example");
	assert_refused("[node]\nfile =\n", ":2: file = : expected a value");
	assert_refused("[node]\nfile = # nothing\n", ":2: file = : expected a value");
	assert_refused("[node]\nport = 65536\n", ":2: port = 65536: expected a port, 0 to 65535");
	assert_refused("[node]\nport = -1\n", ":2: port = -1: expected a port, 0 to 65535");
	assert_refused("[node]\nnumber = 4294967296\n",
		       ":2: number = 4294967296: expected a whole number, 0 to 4294967295");
	assert_refused("[node]\nnumber = 1x\n", ":2: number = 1x: expected a whole number, 0 to 4294967295");
	assert_refused("[dc]\nendpoint = dc.ntm.example\n",
		       ":2: endpoint = dc.ntm.example: expected an address and port, as 192.0.2.1:6866 or "
		       "[2001:db8::1]:6866");
	assert_refused("[pin \"a\"]\npublic-key = AAAA\n",
		       ":2: public-key = AAAA: expected a key, 44 characters of base64");
}

static void lines_that_are_neither_key_nor_section_are_refused(void **state)
{
	(void)state;
	assert_refused("[node]\nfqdn = a.b\njust words\nfdqn = 1\n",
		       ":3: expected 'key = value' or a section");
	/* libinih alone would take an indented line for more of the value above. */
	assert_refused("[node]\nfqdn = a.b\n  c.d\n", ":3: expected 'key = value' or a section");
	assert_refused("[node\nfqdn = a.b\n", ":1: expected a section as [word] or [word \"name\"]");
	assert_refused("[]\n", ":1: expected a section as [word] or [word \"name\"]");
	assert_refused("[pin \"a]\n", ":1: expected a section as [word] or [word \"name\"]");
	assert_refused("[pin a]\n", ":1: expected a section as [word] or [word \"name\"]");
	assert_refused("[pin \"\"]\n", ":1: expected a section as [word] or [word \"name\"]");
}

static void names_of_sections_stand_where_they_belong(void **state)
{
	(void)state;
	assert_refused("[pin]\n", ":1: [pin] needs a name: [pin \"NAME\"]");
	assert_refused("[node \"a\"]\n", ":1: expected [node], which has no name");
	assert_refused("[pin \"a..b\"]\n", ":1: [pin \"a..b\"]: expected a name");
}

static void long_lines_and_names_arrive_whole_or_are_refused(void **state)
{
	char name[NTM_FQDN_MAX + 1], text[3000];

	(void)state;
	memset(name, 'a', sizeof(name));
	for (int i = 60; i < 240; i += 60)
		name[i] = '.';
	name[240] = 0;
	snprintf(text, sizeof(text), "[node]\nfqdn = %s\n[pin \"%s\"]\npublic-key = " KEY "\n", name, name);
	assert_reads(text);
	assert_string_equal(config.fqdn, name);
	assert_string_equal(config.pin, name);

	snprintf(text, sizeof(text), "[node]\nfqdn = a.b\nfile = %01000d\nport = 7\n", 0);
	assert_reads(text);
	assert_int_equal(strlen(config.file), 1000);
	assert_int_equal(config.port, 7);

	snprintf(text, sizeof(text), "[node]\nfqdn = a.b\nfile = %02000d\nport = 7\n", 0);
	assert_refused(text, ":3: expected at most 1098 bytes in a line");
}

static void zero_bytes_and_missing_files_are_refused(void **state)
{
	static const char zero[] = "[node]\nfqdn = a\0b\n";

	(void)state;
	assert_int_equal(read_bytes(zero, sizeof(zero) - 1), -1);
	assert_string_equal(why + strlen(path), ":2: expected text, but there is a zero byte");
	assert_int_equal(ntm_config_read("/nonexistent/ntmd.conf", &config, keys, sections, why, sizeof(why)),
			 -1);
	assert_string_equal(why, "/nonexistent/ntmd.conf: cannot open: No such file or directory");
	assert_int_equal(ntm_config_read("/", &config, keys, sections, why, sizeof(why)), -1);
	assert_string_equal(why, "/: cannot read: Is a directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_value_arrives),
		cmocka_unit_test(a_byte_order_mark_and_repeated_sections_do_no_harm),
		cmocka_unit_test(unknown_sections_and_keys_are_refused),
		cmocka_unit_test(a_key_that_does_not_repeat_is_refused_the_second_time),
		cmocka_unit_test(missing_keys_are_named_with_their_section),
		cmocka_unit_test(bad_values_are_refused_with_what_was_expected),
		cmocka_unit_test(lines_that_are_neither_key_nor_section_are_refused),
		cmocka_unit_test(names_of_sections_stand_where_they_belong),
		cmocka_unit_test(long_lines_and_names_arrive_whole_or_are_refused),
		cmocka_unit_test(zero_bytes_and_missing_files_are_refused),
	};

	return cmocka_run_group_tests_name("config", tests, make_file, remove_file);
}
