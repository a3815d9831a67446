/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_state.c - what a node keeps over restarts (daemon/state.c): keys of peers and its port, and that files that are
 * damaged or not its own are told, and cost nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/ntmd.h"
#include "key.h"

static struct ntmd ntmd;
static char folder[64], why[512];
static const char *event;

void ntmd_event(struct ntmd *ntmd_, const char *name, ...)
{
	(void)ntmd_;
	event = name;
}

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/ntm_test_state.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	ntmd.config.state_dir = folder;
	ntmd.state_fd = -1;
	event = NULL;
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	if (ntmd.state_fd >= 0)
		close(ntmd.state_fd);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static const char *in(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void file_write(const char *name, const char *text)
{
	FILE *file = fopen(in(name), "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static const char *file_text(const char *name)
{
	static char text[1000];
	FILE *file = fopen(in(name), "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = 0;
	fclose(file);
	return text;
}

static const uint8_t *key(int number)
{
	static uint8_t bytes[NTM_KEY_LEN];

	memset(bytes, number, sizeof(bytes));
	return bytes;
}

static int check(const char *name, int number)
{
	return ntmd_state_key_check(&ntmd, name, key(number));
}

static void the_key_of_a_peer_is_known_after_it_was_seen_once(void **state)
{
	(void)state;
	assert_int_equal(ntmd_state_open(&ntmd, why, sizeof(why)), 0);
	assert_int_equal(check("a.ntm.example", 1), 1);
	assert_int_equal(check("b.ntm.example", 2), 1);
	assert_int_equal(check("a.ntm.example", 1), 0);
	assert_int_equal(check("b.ntm.example", 2), 0);
	assert_null(event);
	assert_int_equal(check("a.ntm.example", 3), -EKEYREVOKED);
	assert_string_equal(event, "peer_key_changed");
	assert_int_equal(check("a.ntm.example", 3), 0);
	assert_int_equal(check("b.ntm.example", 2), 0);
}

static void a_file_that_was_cut_off_loses_its_last_line_only(void **state)
{
	char text[1000];

	(void)state;
	for (int i = 1; i <= 3; i++) {
		snprintf(text, sizeof(text), "n%d.ntm.example", i);
		assert_int_equal(check(text, i), 1);
	}
	strcpy(text, file_text("peers"));
	text[strlen(text) - 20] = 0;
	file_write("peers", text);
	assert_int_equal(ntmd_state_open(&ntmd, why, sizeof(why)), 0);
	assert_string_equal(file_text("peers"), text);
	assert_int_equal(check("n4.ntm.example", 4), 1);
	assert_string_equal(file_text("peers.damaged"), text);
	assert_int_equal(check("n1.ntm.example", 1), 0);
	assert_int_equal(check("n2.ntm.example", 2), 0);
	assert_int_equal(check("n3.ntm.example", 3), 1); /* its line is gone */
	assert_int_equal(check("n4.ntm.example", 4), 0);
}

static void keys_that_cannot_be_read_are_not_written_over(void **state)
{
	char before[1000], moved[128];

	(void)state;
	assert_int_equal(check("a.ntm.example", 1), 1);
	strcpy(before, file_text("peers"));
	snprintf(moved, sizeof(moved), "%s", in("moved"));
	assert_int_equal(rename(in("peers"), moved), 0);
	assert_int_equal(symlink(moved, in("peers")), 0);
	assert_int_equal(ntmd_state_open(&ntmd, why, sizeof(why)), 0);
	check("b.ntm.example", 2);
	assert_string_equal(file_text("peers"), before);
}

static void the_port_is_kept(void **state)
{
	static const char *const bad[] = {"", "\n", "0\n", "65536\n", "-1\n", "x\n", "12", "99999999999999999999\n"};

	(void)state;
	assert_int_equal(ntmd_state_port_load(&ntmd), 0);
	ntmd_state_port_save(&ntmd, 43210);
	assert_int_equal(ntmd_state_port_load(&ntmd), 43210);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		file_write("port", bad[i]);
		assert_int_equal(ntmd_state_port_load(&ntmd), 0);
	}
	ntmd_state_port_save(&ntmd, 1);
	assert_int_equal(ntmd_state_port_load(&ntmd), 1);
}

static void a_file_is_no_state_folder(void **state)
{
	char path[128];

	(void)state;
	file_write("file", "");
	snprintf(path, sizeof(path), "%s", in("file"));
	ntmd.config.state_dir = path;
	assert_int_equal(ntmd_state_open(&ntmd, why, sizeof(why)), -ENOTDIR);
	assert_non_null(strstr(why, "Not a directory; set [node] state-dir"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_key_of_a_peer_is_known_after_it_was_seen_once),
		TEST(a_file_that_was_cut_off_loses_its_last_line_only),
		TEST(keys_that_cannot_be_read_are_not_written_over),
		TEST(the_port_is_kept),
		TEST(a_file_is_no_state_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
