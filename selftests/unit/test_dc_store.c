/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dc_store.c - members and their sessions survive in the database, and what cannot be written is said
 * (dc/store.c).
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "dc/store.h"
#include "endpoint.h"

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
	assert_non_null(strstr(why, "put a copy back"));
}

static void a_database_that_was_cut_off_is_refused_and_left_as_it_is(void **state)
{
	struct dc_store *store;
	struct stat st;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	dc_store_close(store);
	assert_int_equal(truncate(where + 7, 1000), 0);
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), -EIO);
	assert_non_null(strstr(why, "put a copy back"));
	assert_int_equal(stat(where + 7, &st), 0);
	assert_int_equal(st.st_size, 1000);
}

static void only_its_owner_can_read_a_database(void **state)
{
	struct dc_store *store;
	mode_t before = umask(0);
	struct stat st;

	(void)state;
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	assert_int_equal(stat(where + 7, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	dc_store_close(store);
	umask(before);
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

/* ---- sessions */

static struct dc_store_session session(int number)
{
	struct dc_store_session s = {.id = 0xfedcba9876543210ULL + (unsigned)number};
	struct dc_store_member m = member(number);
	char text[NTM_ENDPOINT_TEXT];

	strcpy(s.fqdn, m.fqdn);
	snprintf(text, sizeof(text), number & 1 ? "[2001:db8::%d]:40000" : "192.0.2.%d:40000", number);
	assert_int_equal(ntm_endpoint_parse(&s.remote, text, 0), 0);
	assert_int_equal(
		ntm_endpoint_parse(&s.listen, number & 1 ? "[2001:db8:1::1]:6866" : "203.0.113.1:6867", 0),
		0);
	return s;
}

struct found_sessions {
	struct dc_store_session session[8];
	int count;
};

static int collect_session(void *ctx, const struct dc_store_session *s)
{
	struct found_sessions *found = ctx;

	found->session[found->count++] = *s;
	return 0;
}

static struct found_sessions sessions_of(struct dc_store *store)
{
	struct found_sessions found = {0};

	assert_int_equal(dc_store_sessions(store, collect_session, &found, why, sizeof(why)), 0);
	return found;
}

static int put(struct dc_store *store, const struct dc_store_session *s, bool commit)
{
	int err, end;

	err = dc_store_sessions_begin(store, why, sizeof(why));
	if (err)
		return err;
	err = dc_store_session_put(store, s, why, sizeof(why));
	end = dc_store_sessions_end(store, !err && commit, why, sizeof(why));
	return err ? err : end;
}

static struct dc_store *store_with_members(int first, int last)
{
	struct dc_store *store;

	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	for (int i = first; i <= last; i++) {
		struct dc_store_member m = member(i);

		assert_int_equal(dc_store_add(store, &m, why, sizeof(why)), 0);
	}
	return store;
}

static void assert_session(const struct dc_store_session *expected, const struct dc_store_session *s)
{
	assert_string_equal(s->fqdn, expected->fqdn);
	assert_true(ntm_endpoint_equal(&s->remote, &expected->remote));
	assert_true(ntm_endpoint_equal(&s->listen, &expected->listen));
	assert_true(s->id == expected->id);
}

static void sessions_survive_a_kill_right_after_they_were_written(void **state)
{
	struct dc_store_session a = session(2), b = session(3);
	struct found_sessions found;
	struct dc_store *store;
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		store = store_with_members(2, 3);
		if (put(store, &a, true) || put(store, &b, true))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(dc_store_open(&store, where, why, sizeof(why)), 0);
	found = sessions_of(store);
	assert_int_equal(found.count, 2); /* by name */
	assert_session(&a, &found.session[0]);
	assert_session(&b, &found.session[1]);
	dc_store_close(store);
}

static void a_session_replaces_the_one_before_and_can_be_removed(void **state)
{
	struct dc_store *store = store_with_members(2, 3);
	struct dc_store_session a = session(2), b = session(3);
	struct found_sessions found;

	(void)state;
	assert_int_equal(put(store, &a, true), 0);
	a.id++;
	a.remote = b.remote;
	assert_int_equal(put(store, &a, true), 0);
	assert_int_equal(put(store, &b, true), 0);
	found = sessions_of(store);
	assert_int_equal(found.count, 2);
	assert_session(&a, &found.session[0]);
	assert_int_equal(dc_store_sessions_begin(store, why, sizeof(why)), 0);
	assert_int_equal(dc_store_session_del(store, a.fqdn, why, sizeof(why)), 0);
	assert_int_equal(dc_store_session_del(store, a.fqdn, why, sizeof(why)), 0);
	assert_int_equal(dc_store_sessions_end(store, true, why, sizeof(why)), 0);
	found = sessions_of(store);
	assert_int_equal(found.count, 1);
	assert_session(&b, &found.session[0]);
	dc_store_close(store);
}

static void what_is_not_committed_was_not_written(void **state)
{
	struct dc_store *store = store_with_members(2, 3);
	struct dc_store_session a = session(2), nobody = session(4);

	(void)state;
	assert_int_equal(put(store, &a, false), 0);
	assert_int_equal(sessions_of(store).count, 0);
	assert_int_equal(dc_store_sessions_begin(store, why, sizeof(why)), 0);
	assert_int_equal(dc_store_session_put(store, &a, why, sizeof(why)), 0);
	assert_int_equal(dc_store_session_put(store, &nobody, why, sizeof(why)), -EIO); /* no member */
	assert_int_equal(dc_store_sessions_end(store, false, why, sizeof(why)), 0);
	assert_int_equal(sessions_of(store).count, 0);
	assert_int_equal(put(store, &a, true), 0); /* it is usable after that */
	assert_int_equal(sessions_of(store).count, 1);
	dc_store_close(store);
}

static void the_session_of_a_removed_member_is_gone_with_it(void **state)
{
	struct dc_store *store = store_with_members(2, 3);
	struct dc_store_session a = session(2), b = session(3);
	struct dc_store_member m = member(2);
	struct found_sessions found;

	(void)state;
	assert_int_equal(put(store, &a, true), 0);
	assert_int_equal(put(store, &b, true), 0);
	assert_int_equal(dc_store_del(store, a.fqdn, why, sizeof(why)), 0);
	assert_int_equal(dc_store_add(store, &m, why, sizeof(why)), 0); /* another of that name */
	found = sessions_of(store);
	assert_int_equal(found.count, 1);
	assert_session(&b, &found.session[0]);
	dc_store_close(store);
}

static void a_damaged_session_is_passed_over(void **state)
{
	struct dc_store *store = store_with_members(2, 5);
	struct found_sessions found;
	sqlite3 *db;

	(void)state;
	for (int i = 2; i <= 5; i++) {
		struct dc_store_session s = session(i);

		assert_int_equal(put(store, &s, true), 0);
	}
	assert_int_equal(sqlite3_open(where + 7, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "UPDATE session SET remote = 'rubbish' WHERE fqdn = 'n2.ntm.example';"
				      "UPDATE session SET listen = x'ff00' WHERE fqdn = 'n3.ntm.example';"
				      "UPDATE session SET id = 0 WHERE fqdn = 'n4.ntm.example';",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	found = sessions_of(store);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.session[0].fqdn, "n5.ntm.example");
	dc_store_close(store);
}

static void sessions_do_not_wait_for_a_locked_database(void **state)
{
	struct dc_store *store = store_with_members(2, 2);
	struct dc_store_session a = session(2);
	struct timespec start, end;
	sqlite3 *db;

	(void)state;
	assert_int_equal(sqlite3_open(where + 7, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_int_equal(dc_store_sessions_begin(store, why, sizeof(why)), -EIO);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 < 200);
	assert_true(why[0]);
	sqlite3_close(db);
	assert_int_equal(put(store, &a, true), 0);
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
		TEST(a_database_that_was_cut_off_is_refused_and_left_as_it_is),
		TEST(only_its_owner_can_read_a_database),
		TEST(a_database_of_a_newer_version_is_left_alone),
		TEST(a_locked_database_is_an_error_and_no_more),
		TEST(sessions_survive_a_kill_right_after_they_were_written),
		TEST(a_session_replaces_the_one_before_and_can_be_removed),
		TEST(what_is_not_committed_was_not_written),
		TEST(the_session_of_a_removed_member_is_gone_with_it),
		TEST(a_damaged_session_is_passed_over),
		TEST(sessions_do_not_wait_for_a_locked_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
