/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * store.c - the tables of members and their sessions in SQLite. Write-ahead log with synchronous=FULL: a
 * change of members that returned 0 survives kill -9 and a loss of power. Before it: dc/member.c,
 * dc/recall.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dc/store.h"
#include "endpoint.h"
#include "log.h"

#define SCHEMA_VERSION 1
#define BUSY_MS 250 /* another process (a backup) holds the database: the loop waits no longer */

struct dc_store {
	sqlite3 *db;
	sqlite3_stmt *add, *del, *list;
	sqlite3_stmt *session_put, *session_del, *session_list;
};

static const char schema[] = "BEGIN IMMEDIATE;"
			     "CREATE TABLE IF NOT EXISTS member ("
			     " fqdn TEXT NOT NULL PRIMARY KEY,"
			     " public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 32),"
			     " virtual4 BLOB NOT NULL UNIQUE CHECK (length(virtual4) = 4),"
			     " virtual6 BLOB NOT NULL UNIQUE CHECK (length(virtual6) = 16),"
			     " added INTEGER NOT NULL" /* seconds since 1970 */
			     ") WITHOUT ROWID;"
			     "CREATE TABLE IF NOT EXISTS session ("
			     " fqdn TEXT NOT NULL PRIMARY KEY REFERENCES member ON DELETE CASCADE,"
			     " remote TEXT NOT NULL," /* endpoints */
			     " listen TEXT NOT NULL,"
			     " id INTEGER NOT NULL"
			     ") WITHOUT ROWID;"
			     "PRAGMA user_version = 1;"
			     "COMMIT;";

static int said(const struct dc_store *store, char *ret_why, size_t why_len)
{
	int system = sqlite3_system_errno(store->db);

	snprintf(ret_why, why_len, "%s%s%s", sqlite3_errmsg(store->db), system ? ": " : "",
		 system ? strerror(system) : "");
	return -EIO;
}

/* The same for what keeps the DC from starting, with what to do. */
static int said_advice(const struct dc_store *store, char *ret_why, size_t why_len)
{
	const char *advice = "it must lie where this user may write";
	size_t len;

	switch (sqlite3_errcode(store->db) & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* other tables than ours */
		advice =
			"put a copy back, or move it away and make the members anew with `ntmctl dc node add`";
		break;
	case SQLITE_BUSY:
		advice = "another program holds it: stop that one";
		break;
	case SQLITE_FULL:
	case SQLITE_IOERR:
		advice = "see to the disk and its free space";
		break;
	}
	said(store, ret_why, why_len);
	len = strlen(ret_why);
	snprintf(ret_why + len, why_len - len, "; %s", advice);
	return -EIO;
}

/*
 * The folder of the database and the file, for their owner only: it tells where nodes are. What cannot be
 * made here is told by opening the file.
 */
static void file_make(const char *path)
{
	char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
	struct stat st;
	int fd;

	if (slash && slash != folder) {
		*slash = '\0';
		mkdir(folder, 0700);
	}
	free(folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_size)
		ntm_notice("the database %s is new: there are no members yet", path);
	close(fd);
}

static int version_read(struct dc_store *store, int *ret_version, char *ret_why, size_t why_len)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &statement, NULL) ||
	    sqlite3_step(statement) != SQLITE_ROW) {
		int err = said_advice(store, ret_why, why_len);

		sqlite3_finalize(statement);
		return err;
	}
	*ret_version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return 0;
}

static int prepare(struct dc_store *store, char *ret_why, size_t why_len)
{
	static const char *const text[] = {
		"INSERT INTO member (fqdn, public_key, virtual4, virtual6, added) VALUES (?, ?, ?, ?, ?)",
		"DELETE FROM member WHERE fqdn = ?",
		"SELECT fqdn, public_key, virtual4, virtual6 FROM member ORDER BY virtual4",
		"INSERT OR REPLACE INTO session (fqdn, remote, listen, id) VALUES (?, ?, ?, ?)",
		"DELETE FROM session WHERE fqdn = ?",
		"SELECT fqdn, remote, listen, id FROM session",
	};
	sqlite3_stmt **const statement[] = {&store->add,	 &store->del,	      &store->list,
					    &store->session_put, &store->session_del, &store->session_list};

	for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++)
		if (sqlite3_prepare_v3(store->db, text[i], -1, SQLITE_PREPARE_PERSISTENT, statement[i], NULL))
			return said_advice(store, ret_why, why_len);
	return 0;
}

int dc_store_open(struct dc_store **ret_store, const char *where, char *ret_why, size_t why_len)
{
	const char *path = where + strlen("sqlite:");
	struct dc_store *store;
	int version = 0, err;

	if (strncmp(where, "sqlite:", strlen("sqlite:")) || !*path) {
		snprintf(ret_why, why_len, "'%s' is not of the form sqlite:PATH", where);
		return -EINVAL;
	}
	store = calloc(1, sizeof(*store));
	if (!store) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	file_make(path);
	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL)) {
		err = said_advice(store, ret_why, why_len);
		goto close;
	}
	sqlite3_busy_timeout(store->db, BUSY_MS);
	err = version_read(store, &version, ret_why, why_len);
	if (err)
		goto close;
	if (version > SCHEMA_VERSION) {
		snprintf(
			ret_why, why_len,
			"made by a newer version of ntm-dc (schema %d, this one knows %d); start that version",
			version, SCHEMA_VERSION);
		err = -EPROTO;
		goto close;
	}
	/* what was deleted tells where nodes were: it is overwritten */
	err = sqlite3_exec(store->db,
			   "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
			   "PRAGMA secure_delete = ON;",
			   NULL, NULL, NULL);
	/* writing it anew, though nothing changes, shows at start whether the database can be written */
	if (err || sqlite3_exec(store->db, schema, NULL, NULL, NULL)) {
		err = said_advice(store, ret_why, why_len);
		goto close;
	}
	err = prepare(store, ret_why, why_len);
	if (err)
		goto close;
	*ret_store = store;
	return 0;
close:
	dc_store_close(store);
	return err;
}

void dc_store_close(struct dc_store *store)
{
	if (!store)
		return;
	sqlite3_finalize(store->add);
	sqlite3_finalize(store->del);
	sqlite3_finalize(store->list);
	sqlite3_finalize(store->session_put);
	sqlite3_finalize(store->session_del);
	sqlite3_finalize(store->session_list);
	sqlite3_close(store->db);
	free(store);
}

/* A column of exactly len bytes (or, with len 0, a name). */
static int column_get(sqlite3_stmt *row, int column, void *ret_value, size_t len)
{
	const void *value = sqlite3_column_blob(row, column);
	size_t bytes = (size_t)sqlite3_column_bytes(row, column);

	if (!value || (len ? bytes != len : bytes > NTM_FQDN_MAX))
		return -EIO;
	memcpy(ret_value, value, bytes);
	return 0;
}

int dc_store_members(struct dc_store *store, int (*each)(void *ctx, const struct dc_store_member *member),
		     void *ctx, char *ret_why, size_t why_len)
{
	int step, err = 0;

	while (!err && (step = sqlite3_step(store->list)) != SQLITE_DONE) {
		struct dc_store_member member = {0};

		if (step != SQLITE_ROW) {
			err = said_advice(store, ret_why, why_len);
		} else if (column_get(store->list, 0, member.fqdn, 0) ||
			   column_get(store->list, 1, member.public_key, NTM_KEY_LEN) ||
			   column_get(store->list, 2, member.vip4, sizeof(member.vip4)) ||
			   column_get(store->list, 3, member.vip6, sizeof(member.vip6))) {
			snprintf(ret_why, why_len,
				 "the table of members is damaged near '%.60s'; put a copy back",
				 member.fqdn);
			err = -EIO;
		} else {
			err = each(ctx, &member);
		}
	}
	sqlite3_reset(store->list);
	return err < 0 ? err : 0;
}

int dc_store_add(struct dc_store *store, const struct dc_store_member *member, char *ret_why, size_t why_len)
{
	sqlite3_stmt *add = store->add;
	int step, err = 0;

	sqlite3_bind_text(add, 1, member->fqdn, -1, SQLITE_STATIC);
	sqlite3_bind_blob(add, 2, member->public_key, NTM_KEY_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(add, 3, member->vip4, sizeof(member->vip4), SQLITE_STATIC);
	sqlite3_bind_blob(add, 4, member->vip6, sizeof(member->vip6), SQLITE_STATIC);
	sqlite3_bind_int64(add, 5, (sqlite3_int64)time(NULL));
	step = sqlite3_step(add);
	if (step != SQLITE_DONE) {
		err = said(store, ret_why, why_len);
		if (step == SQLITE_CONSTRAINT)
			err = -EEXIST;
	}
	sqlite3_reset(add);
	sqlite3_clear_bindings(add);
	return err;
}

int dc_store_del(struct dc_store *store, const char *fqdn, char *ret_why, size_t why_len)
{
	int err = 0;

	sqlite3_bind_text(store->del, 1, fqdn, -1, SQLITE_STATIC);
	if (sqlite3_step(store->del) != SQLITE_DONE)
		err = said(store, ret_why, why_len);
	else if (!sqlite3_changes(store->db)) {
		snprintf(ret_why, why_len, "no member is named %s", fqdn);
		err = -ENOENT;
	}
	sqlite3_reset(store->del);
	sqlite3_clear_bindings(store->del);
	return err;
}

/* ---- sessions */

static int endpoint_get(sqlite3_stmt *row, int column, struct ntm_endpoint *ret_endpoint)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	return text && !ntm_endpoint_parse(ret_endpoint, text, 0) && ret_endpoint->port ? 0 : -EIO;
}

int dc_store_sessions(struct dc_store *store, int (*each)(void *ctx, const struct dc_store_session *session),
		      void *ctx, char *ret_why, size_t why_len)
{
	sqlite3_stmt *list = store->session_list;
	int step, err = 0;

	while (!err && (step = sqlite3_step(list)) != SQLITE_DONE) {
		struct dc_store_session session = {0};

		if (step != SQLITE_ROW) {
			err = said(store, ret_why, why_len);
			break;
		}
		session.id = (uint64_t)sqlite3_column_int64(list, 3);
		/* one row less costs its node a Keep Alive's time, no more */
		if (session.id && !column_get(list, 0, session.fqdn, 0) &&
		    !endpoint_get(list, 1, &session.remote) && !endpoint_get(list, 2, &session.listen))
			err = each(ctx, &session);
	}
	sqlite3_reset(list);
	return err < 0 ? err : 0;
}

int dc_store_sessions_begin(struct dc_store *store, char *ret_why, size_t why_len)
{
	int err = 0;

	sqlite3_busy_timeout(store->db, 0);
	/* in a write-ahead log only the last changes can be lost by this, the database is never damaged */
	if (sqlite3_exec(store->db, "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE;", NULL, NULL, NULL)) {
		err = said(store, ret_why, why_len);
		sqlite3_exec(store->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
		sqlite3_busy_timeout(store->db, BUSY_MS);
	}
	return err;
}

static int session_step(struct dc_store *store, sqlite3_stmt *statement, char *ret_why, size_t why_len)
{
	int err = sqlite3_step(statement) == SQLITE_DONE ? 0 : said(store, ret_why, why_len);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return err;
}

int dc_store_session_put(struct dc_store *store, const struct dc_store_session *session, char *ret_why,
			 size_t why_len)
{
	char remote[NTM_ENDPOINT_TEXT], listen[NTM_ENDPOINT_TEXT];
	sqlite3_stmt *put = store->session_put;

	sqlite3_bind_text(put, 1, session->fqdn, -1, SQLITE_STATIC);
	sqlite3_bind_text(put, 2, ntm_endpoint_format(&session->remote, remote), -1, SQLITE_STATIC);
	sqlite3_bind_text(put, 3, ntm_endpoint_format(&session->listen, listen), -1, SQLITE_STATIC);
	sqlite3_bind_int64(put, 4, (sqlite3_int64)session->id);
	return session_step(store, put, ret_why, why_len);
}

int dc_store_session_del(struct dc_store *store, const char *fqdn, char *ret_why, size_t why_len)
{
	sqlite3_bind_text(store->session_del, 1, fqdn, -1, SQLITE_STATIC);
	return session_step(store, store->session_del, ret_why, why_len);
}

int dc_store_sessions_end(struct dc_store *store, bool commit, char *ret_why, size_t why_len)
{
	int err = 0;

	if (commit && sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL))
		err = said(store, ret_why, why_len);
	if (!sqlite3_get_autocommit(store->db)) /* still in it */
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_exec(store->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	sqlite3_busy_timeout(store->db, BUSY_MS);
	return err;
}
