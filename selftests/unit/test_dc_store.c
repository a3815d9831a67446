/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dc_store.c - members survive in the database, and what cannot be written is said (dc/store.c).
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "dc/store.h"

static char folder[64], where[160], why[DC_STORE_WHY];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/ntm_test_dc_store.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(where, sizeof(where), "sqlite:%s/sub/dc.sqlite", folder);
	why[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static struct dc_store_member member(int number)
{
	struct dc_store_member m = {.vip4 = {198, 18, 0, (uint8_t)number},
				    .vip6 = {0xfd, [15] = (uint8_t)number}};

	snprintf(m.fqdn, sizeof(m.fqdn), "n%d.ntm.example", number);
	memset(m.public_key, number, sizeof(m.public_key));
	return m;
}

struct found {
	struct dc_store_member member[8];
	int count, stop_after;
};

static int collect(void *ctx, const struct dc_store_member *m)
{
	struct found *found = ctx;

	found->member[found->count++] = *m;
	return found->stop_after && found->count == found->stop_after ? -ECANCELED : 0;
}

static void members_are_there_after_opening_again(void **state)
{
	struct dc_store_member a = member(2), b = member(3);
	struct found found = {0};
	struct dc_store *store;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(dc_store_add(store, &b, why, sizeof(why)), 0);
	assert_int_equal(dc_store_add(store, &a, why, sizeof(why)), 0);
	dc_store_close(store);
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(dc_store_members(store, collect, &found, why, sizeof(why)), 0);
	assert_int_equal(found.count, 2);
	assert_memory_equal(&found.member[0], &a, sizeof(a)); /* by address */
	assert_memory_equal(&found.member[1], &b, sizeof(b));
	dc_store_close(store);
}

static void members_survive_a_kill_right_after_they_were_added(void **state)
{
	struct found found = {0};
	struct dc_store *store;
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		struct dc_store_member a = member(2);

		if (dc_store_open(&store, where, why, sizeof(why)) ||
		    dc_store_add(store, &a, why, sizeof(why)))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(dc_store_members(store, collect, &found, why, sizeof(why)), 0);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.member[0].fqdn, "n2.ntm.example");
	dc_store_close(store);
}

static void name_key_and_addresses_are_each_unique(void **state)
{
	struct dc_store_member a = member(2), b;
	struct dc_store *store;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(dc_store_add(store, &a, why, sizeof(why)), 0);
	b = member(3);
	strcpy(b.fqdn, a.fqdn);
	assert_int_equal(dc_store_add(store, &b, why, sizeof(why)), -EEXIST);
	b = member(3);
	memcpy(b.public_key, a.public_key, sizeof(b.public_key));
	assert_int_equal(dc_store_add(store, &b, why, sizeof(why)), -EEXIST);
	b = member(3);
	memcpy(b.vip4, a.vip4, sizeof(b.vip4));
	assert_int_equal(dc_store_add(store, &b, why, sizeof(why)), -EEXIST);
	b = member(3);
	memcpy(b.vip6, a.vip6, sizeof(b.vip6));
	assert_int_equal(dc_store_add(store, &b, why, sizeof(why)), -EEXIST);
	assert_true(why[0]);
	b = member(3); /* a refused one leaves the store usable */
	assert_int_equal(dc_store_add(store, &b, why, sizeof(why)), 0);
	dc_store_close(store);
}

static void removed_members_are_gone_for_ever(void **state)
{
	struct dc_store_member a = member(2);
	struct found found = {0};
	struct dc_store *store;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(dc_store_del(store, a.fqdn, why, sizeof(why)), -ENOENT);
	assert_int_equal(dc_store_add(store, &a, why, sizeof(why)), 0);
	assert_int_equal(dc_store_del(store, a.fqdn, why, sizeof(why)), 0);
	dc_store_close(store);
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(dc_store_members(store, collect, &found, why, sizeof(why)), 0);
	assert_int_equal(found.count, 0);
	dc_store_close(store);
}

static void reading_stops_when_it_is_told_to(void **state)
{
	struct found found = {.stop_after = 1};
	struct dc_store_member a = member(2), b = member(3);
	struct dc_store *store;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(dc_store_add(store, &a, why, sizeof(why)), 0);
	assert_int_equal(dc_store_add(store, &b, why, sizeof(why)), 0);
	assert_int_equal(dc_store_members(store, collect, &found, why, sizeof(why)), -ECANCELED);
	assert_int_equal(found.count, 1);
	found = (struct found){0};
	assert_int_equal(dc_store_members(store, collect, &found, why, sizeof(why)), 0);
	assert_int_equal(found.count, 2);
	dc_store_close(store);
}

static void other_kinds_of_databases_are_refused(void **state)
{
	struct dc_store *store;

	(void)state;
	assert_int_equal(dc_store_open(&store, "mysql:host", why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "sqlite:PATH"));
	assert_int_equal(dc_store_open(&store, "sqlite:", why, sizeof(why)), -EINVAL);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
	char path[128];
	struct dc_store *store;
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/other", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 200; i++)
		fputs("this is a text and no database\n", file);
	fclose(file);
	snprintf(where, sizeof(where), "sqlite:%s", path);
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), -EIO);
	assert_true(why[0]);
}

static void a_database_of_a_newer_version_is_left_alone(void **state)
{
	struct dc_store *store;
	sqlite3 *db;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	dc_store_close(store);
	assert_int_equal(sqlite3_open(where + 7, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), -EPROTO);
	assert_non_null(strstr(why, "newer version"));
}

static void a_locked_database_is_an_error_and_no_more(void **state)
{
	struct dc_store_member a = member(2);
	struct dc_store *store;
	sqlite3 *db;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(sqlite3_open(where + 7, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(dc_store_add(store, &a, why, sizeof(why)), -EIO);
	assert_true(why[0]);
	sqlite3_close(db);
	assert_int_equal(dc_store_add(store, &a, why, sizeof(why)), 0);
	dc_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(members_are_there_after_opening_again),
		TEST(members_survive_a_kill_right_after_they_were_added),
		TEST(name_key_and_addresses_are_each_unique),
		TEST(removed_members_are_gone_for_ever),
		TEST(reading_stops_when_it_is_told_to),
		TEST(other_kinds_of_databases_are_refused),
		TEST(a_file_that_is_no_database_is_refused),
		TEST(a_database_of_a_newer_version_is_left_alone),
		TEST(a_locked_database_is_an_error_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
