/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * store.h - what a DC must not forget: its members, their keys and virtual addresses, in SQLite. dc/member.c
 * reads it once at start and writes a change before it takes effect, so a killed DC comes back with what it
 * had promised. Paths are soft state and never here; of the locations there is what it takes to call the
 * registered members back after a restart (dc/recall.c), written late, and removed when a location expires.
 */
#ifndef DC_STORE_H
#define DC_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

struct dc_store;

struct dc_store_member {
	char fqdn[NTM_FQDN_MAX + 1];
	uint8_t public_key[NTM_KEY_LEN];
	uint8_t vip4[4], vip6[16];
};

struct dc_store_session { /* with a member that is registered */
	char fqdn[NTM_FQDN_MAX + 1];
	struct ntm_endpoint remote, listen; /* where it is, and which address of ours it talks to */
	uint64_t id; /* ours */
};

#define DC_STORE_WHY 320 /* room for a sentence */

/*
 * Opens (makes) the database; where is "sqlite:PATH". 0, -EINVAL: where has another form, -EIO: what SQLite
 * or the system says stands in ret_why, -EPROTO: made by a newer version.
 */
int dc_store_open(struct dc_store **ret_store, const char *where, char *ret_why, size_t why_len);
void dc_store_close(struct dc_store *store);

/* Calls each() for every member; stops when it returns negative, and returns that. -EIO as above, also for a
 * damaged row. */
int dc_store_members(struct dc_store *store, int (*each)(void *ctx, const struct dc_store_member *member),
		     void *ctx, char *ret_why, size_t why_len);

/* On the disk when they return 0. -EEXIST: name, key or an address is there already; -ENOENT; -EIO. */
int dc_store_add(struct dc_store *store, const struct dc_store_member *member, char *ret_why, size_t why_len);
/* Its session goes with it. */
int dc_store_del(struct dc_store *store, const char *fqdn, char *ret_why, size_t why_len);

/* As dc_store_members; a damaged row is passed over. */
int dc_store_sessions(struct dc_store *store, int (*each)(void *ctx, const struct dc_store_session *session),
		      void *ctx, char *ret_why, size_t why_len);
/*
 * Sessions are written many at a time: begin, put and del, end. A batch that has ended well survives kill -9,
 * but maybe not a loss of power, since it does not wait for the disk, nor for another process that holds the
 * database. 0, or -EIO; put also for a name that is no member's; del of what is not there is none.
 * dc_store_sessions_end must follow a begin that returned 0; with commit false, or when it fails, nothing
 * was written.
 */
int dc_store_sessions_begin(struct dc_store *store, char *ret_why, size_t why_len);
int dc_store_session_put(struct dc_store *store, const struct dc_store_session *session, char *ret_why,
			 size_t why_len);
int dc_store_session_del(struct dc_store *store, const char *fqdn, char *ret_why, size_t why_len);
int dc_store_sessions_end(struct dc_store *store, bool commit, char *ret_why, size_t why_len);

#endif
