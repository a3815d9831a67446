/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * member.c - the members of this DC: enrolled in the store, all in memory, found by name, virtual address, or
 * key (by the sessions). Before it: control.c (node add, node del); beside it: addr_pool.c, store.c and
 * recall.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto.h"
#include "dc/dc.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"

/* A name between the zone and a member's name that is no member's (RFC 8020). */
struct empty_name {
	struct dc_table_link link;
	unsigned below; /* names that need it */
	char name[];
};

static uint64_t name_hash(const struct dc *dc, const char *name)
{
	return dc_table_hash(name, strlen(name), dc->hash_seed);
}

static uint64_t number_hash(const struct dc *dc, uint32_t number)
{
	return dc_table_hash(&number, sizeof(number), dc->hash_seed);
}

struct dc_member *dc_member_find(struct dc *dc, const char *fqdn)
{
	struct dc_table_link *link = dc_table_first(&dc->member_by_name, name_hash(dc, fqdn));

	for (; link; link = dc_table_next(link)) {
		struct dc_member *member = dc_container(link, struct dc_member, by_name);

		if (!strcmp(member->fqdn, fqdn))
			return member;
	}
	return NULL;
}

struct dc_member *dc_member_find_vip(struct dc *dc, const struct ntm_addr *vip)
{
	struct dc_table_link *link;
	uint32_t number;

	if (dc_addr_pool_number(&dc->pool, vip, &number))
		return NULL;
	link = dc_table_first(&dc->member_by_number, number_hash(dc, number));
	for (; link; link = dc_table_next(link)) {
		struct dc_member *member = dc_container(link, struct dc_member, by_number);

		if (member->number == number)
			return member;
	}
	return NULL;
}

void dc_member_vips(const struct dc_member *member, uint8_t ret_vip4[4], uint8_t ret_vip6[16])
{
	dc_addr_pool_v4(&member->dc->pool, member->number, ret_vip4);
	dc_addr_pool_v6(&member->dc->pool, member->number, ret_vip6);
}

/* ---- names in between */

static struct empty_name *empty_find(struct dc *dc, const char *name)
{
	struct dc_table_link *link = dc_table_first(&dc->empty_name, name_hash(dc, name));

	for (; link; link = dc_table_next(link)) {
		struct empty_name *empty = dc_container(link, struct empty_name, link);

		if (!strcmp(empty->name, name))
			return empty;
	}
	return NULL;
}

bool dc_member_name_is_empty(struct dc *dc, const char *fqdn)
{
	return empty_find(dc, fqdn);
}

static void empty_unref(struct dc *dc, struct empty_name *empty)
{
	if (--empty->below)
		return;
	dc_table_remove(&dc->empty_name, &empty->link);
	free(empty);
}

/* The name one label up, or NULL when that is the zone. */
static const char *parent_of(const struct dc *dc, const char *name)
{
	const char *dot = strchr(name, '.');

	return dot && strlen(dot + 1) > strlen(dc->config.zone) ? dot + 1 : NULL;
}

static void empty_unref_above(struct dc *dc, const char *fqdn, const char *until)
{
	for (const char *name = parent_of(dc, fqdn); name && name != until; name = parent_of(dc, name))
		empty_unref(dc, empty_find(dc, name));
}

static int empty_ref_above(struct dc *dc, const char *fqdn)
{
	for (const char *name = parent_of(dc, fqdn); name; name = parent_of(dc, name)) {
		struct empty_name *empty = empty_find(dc, name);

		if (!empty) {
			empty = calloc(1, sizeof(*empty) + strlen(name) + 1);
			if (!empty) {
				empty_unref_above(dc, fqdn, name);
				return -ENOMEM;
			}
			strcpy(empty->name, name);
			dc_table_add(&dc->empty_name, &empty->link, name_hash(dc, name));
		}
		empty->below++;
	}
	return 0;
}

/* ---- coming and going */

struct dc_leaver { /* a member that was removed, while it is told so */
	LIST_ENTRY(dc_leaver) next;
	struct dc_member *member;
	struct event *timer;
};

/* Its session is none of ours any more: it need not wait for its next Keep Alive to learn it. */
static void leave_tell(struct dc_member *member)
{
	const struct ntm_peer *peer = &member->actor.peer;
	uint64_t id = ntm_session_id(peer);

	if (id && peer->flow.udp)
		ntm_session_reset_tell(&member->dc->sessions, &peer->flow, id);
}

static void leave_end(struct dc_leaver *leaver)
{
	struct dc_member *member = leaver->member;

	leave_tell(member); /* the session that was made since, to be told why */
	LIST_REMOVE(leaver, next);
	ntm_peer_remove(&member->actor.peer);
	event_free(leaver->timer);
	free(leaver);
	free(member);
}

static void leave_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	leave_end(arg);
}

static struct dc_leaver *leaver_new(struct dc_member *member)
{
	struct dc_leaver *leaver = calloc(1, sizeof(*leaver));

	if (!leaver)
		return NULL;
	leaver->member = member;
	leaver->timer = ntm_timer_new(member->dc->loop.base, leave_fired, leaver);
	if (!leaver->timer) {
		free(leaver);
		return NULL;
	}
	return leaver;
}

/* A member that is being told that it is none any more does not stand in the way of a new one with its key.
 */
static void leaver_make_way(struct dc *dc, const uint8_t public_key[NTM_KEY_LEN])
{
	struct dc_leaver *leaver, *next;

	for (leaver = LIST_FIRST(&dc->leaver); leaver; leaver = next) {
		next = LIST_NEXT(leaver, next);
		if (!memcmp(leaver->member->actor.peer.key, public_key, NTM_KEY_LEN))
			leave_end(leaver);
	}
}

/* A member whose number is taken in the pool, into all tables. */
static struct dc_member *member_new(struct dc *dc, const char *fqdn, const uint8_t public_key[NTM_KEY_LEN],
				    uint32_t number)
{
	struct dc_member *member = calloc(1, sizeof(*member) + strlen(fqdn) + 1);

	if (!member)
		return NULL;
	member->dc = dc;
	member->number = number;
	member->actor.kind = DC_ACTOR_MEMBER;
	LIST_INIT(&member->path);
	LIST_INIT(&member->direction);
	strcpy(member->fqdn, fqdn);
	memcpy(member->actor.peer.key, public_key, NTM_KEY_LEN);
	if (empty_ref_above(dc, fqdn))
		goto no_names;
	if (ntm_peer_add(&dc->sessions, &member->actor.peer))
		goto key_taken;
	dc_table_add(&dc->member_by_name, &member->by_name, name_hash(dc, fqdn));
	dc_table_add(&dc->member_by_number, &member->by_number, number_hash(dc, number));
	return member;
key_taken:
	empty_unref_above(dc, fqdn, NULL);
no_names:
	free(member);
	return NULL;
}

void dc_member_location_end(struct dc_member *member)
{
	if (!member->location)
		return;
	TAILQ_REMOVE(&member->dc->location, member->location, by_expiry);
	member->dc->locations--;
	free(member->location);
	member->location = NULL;
}

/* Out of all tables but the sessions'. */
static void member_unlink(struct dc_member *member)
{
	struct dc *dc = member->dc;

	dc_member_location_end(member);
	dc_recall_forget(member);
	dc_table_remove(&dc->member_by_name, &member->by_name);
	dc_table_remove(&dc->member_by_number, &member->by_number);
	empty_unref_above(dc, member->fqdn, NULL);
	dc_addr_pool_release(&dc->pool, member->number);
}

struct loading {
	struct dc *dc;
	char *why;
	size_t why_len;
};

static int member_load(void *ctx, const struct dc_store_member *row)
{
	struct loading *loading = ctx;
	struct dc *dc = loading->dc;
	char text4[NTM_ADDR_TEXT], text6[NTM_ADDR_TEXT], name[NTM_FQDN_MAX + 1];
	struct ntm_addr v4, v6;
	uint32_t number, number6;

	ntm_addr_from4(&v4, row->vip4);
	ntm_addr_from6(&v6, row->vip6);
	if (ntm_name_normalise(name, row->fqdn) || strcmp(name, row->fqdn) ||
	    !strcmp(name, dc->config.zone) || !ntm_name_in_zone(name, dc->config.zone)) {
		snprintf(loading->why, loading->why_len,
			 "the database has the member %s, outside the zone %s: give this zone a database of "
			 "its own",
			 row->fqdn, dc->config.zone);
		return -EINVAL;
	}
	if (dc_addr_pool_number(&dc->pool, &v4, &number) || dc_addr_pool_number(&dc->pool, &v6, &number6) ||
	    number != number6 || dc_addr_pool_take(&dc->pool, number)) {
		snprintf(loading->why, loading->why_len,
			 "the member %s has the addresses %s and %s, which do not come from the pools "
			 "virtual4 and "
			 "virtual6: members keep theirs for ever, so set both as they were",
			 row->fqdn, ntm_addr_format(&v4, text4), ntm_addr_format(&v6, text6));
		return -EINVAL;
	}
	if (!member_new(dc, row->fqdn, row->public_key, number)) {
		snprintf(loading->why, loading->why_len,
			 "cannot take the member %s from the database: its key is that of a "
			 "relay or DC in the configuration, or memory is exhausted",
			 row->fqdn);
		return -EINVAL;
	}
	return 0;
}

int dc_member_open(struct dc *dc, char *ret_why, size_t why_len)
{
	struct loading loading = {.dc = dc, .why = ret_why, .why_len = why_len};
	char why[DC_STORE_WHY];
	int err;

	dc->hash_seed = ntm_crypto_random_u64();
	dc->zone_serial = (uint32_t)time(NULL);
	if (dc_addr_pool_init(&dc->pool, &dc->config.virtual4, &dc->config.virtual6) ||
	    dc_table_init(&dc->member_by_name) || dc_table_init(&dc->member_by_number) ||
	    dc_table_init(&dc->empty_name)) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	err = dc_store_open(&dc->store, dc->config.database, why, sizeof(why));
	if (err) {
		snprintf(ret_why, why_len, "cannot use the database %s: %s", dc->config.database, why);
		return err;
	}
	if (dc_recall_open(dc)) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	why[0] = '\0';
	err = dc_store_members(dc->store, member_load, &loading, why, sizeof(why));
	if (err && why[0])
		snprintf(ret_why, why_len, "cannot read the database %s: %s", dc->config.database, why);
	return err;
}

void dc_member_close(struct dc *dc)
{
	struct dc_table_link *link;

	dc_recall_close(dc);
	while (!LIST_EMPTY(&dc->leaver))
		leave_end(LIST_FIRST(&dc->leaver));
	while (dc->member_by_name.bucket && (link = dc_table_each(&dc->member_by_name, NULL))) {
		struct dc_member *member = dc_container(link, struct dc_member, by_name);

		member_unlink(member);
		ntm_peer_remove(&member->actor.peer);
		free(member);
	}
	dc_table_clear(&dc->member_by_name);
	dc_table_clear(&dc->member_by_number);
	dc_table_clear(&dc->empty_name);
	dc_addr_pool_clear(&dc->pool);
	dc_store_close(dc->store);
	dc->store = NULL;
}

static int name_check(struct dc *dc, const char *fqdn, char ret_name[NTM_FQDN_MAX + 1], char *ret_why,
		      size_t why_len)
{
	if (ntm_name_normalise(ret_name, fqdn)) {
		snprintf(ret_why, why_len, "'%.100s' is no domain name", fqdn);
		return -EINVAL;
	}
	if (!ntm_name_in_zone(ret_name, dc->config.zone) || !strcmp(ret_name, dc->config.zone)) {
		snprintf(ret_why, why_len, "%s does not lie below this DC's zone %s", ret_name,
			 dc->config.zone);
		return -EINVAL;
	}
	if (!strcmp(ret_name, dc->config.name)) {
		snprintf(ret_why, why_len, "%s is the name of the DC itself", ret_name);
		return -EEXIST;
	}
	return 0;
}

/* Whether somebody has this key; a member that leaves makes way. */
static int key_check(struct dc *dc, const uint8_t public_key[NTM_KEY_LEN], char *ret_why, size_t why_len)
{
	const struct dc_actor *actor;
	const char *owner;

	leaver_make_way(dc, public_key);
	if (!memcmp(public_key, dc->sessions.public_key, NTM_KEY_LEN)) {
		snprintf(ret_why, why_len, "this is the key of the DC itself");
		return -EEXIST;
	}
	actor = (const struct dc_actor *)ntm_peer_find(&dc->sessions, public_key);
	if (!actor)
		return 0;
	owner = actor->kind == DC_ACTOR_MEMBER	? ((const struct dc_member *)actor)->fqdn
		: actor->kind == DC_ACTOR_RELAY ? ((const struct dc_relay *)actor)->config->name
						: ((const struct dc_other *)actor)->config->name;
	snprintf(ret_why, why_len,
		 "this key is %s's already: every node needs a key of its own (ntmctl key gen)", owner);
	return -EEXIST;
}

int dc_member_add(struct dc *dc, const char *fqdn, const uint8_t public_key[NTM_KEY_LEN],
		  struct dc_member **ret_member, char *ret_why, size_t why_len)
{
	struct dc_store_member row = {0};
	struct dc_member *member;
	char why[DC_STORE_WHY];
	uint32_t number;
	int err;

	err = name_check(dc, fqdn, row.fqdn, ret_why, why_len);
	if (err)
		return err;
	member = dc_member_find(dc, row.fqdn);
	if (member) {
		*ret_member = member;
		if (!memcmp(member->actor.peer.key, public_key, NTM_KEY_LEN))
			return 0;
		snprintf(ret_why, why_len,
			 "%s is a member with another key: to give it this one, remove it first "
			 "(ntmctl dc node del %s)",
			 row.fqdn, row.fqdn);
		return -EEXIST;
	}
	err = key_check(dc, public_key, ret_why, why_len);
	if (err)
		return err;
	if (dc_addr_pool_allocate(&dc->pool, &number)) {
		snprintf(ret_why, why_len,
			 "no virtual address is left for %s: all %u are given; remove members that "
			 "are gone (ntmctl dc node del)",
			 row.fqdn, dc->pool.used);
		return -ENOSPC;
	}
	memcpy(row.public_key, public_key, NTM_KEY_LEN);
	dc_addr_pool_v4(&dc->pool, number, row.vip4);
	dc_addr_pool_v6(&dc->pool, number, row.vip6);
	err = dc_store_add(dc->store, &row, why, sizeof(why));
	if (err) {
		snprintf(ret_why, why_len, "%s was not added, the database %s cannot be written: %s",
			 row.fqdn, dc->config.database, why);
		goto release;
	}
	member = member_new(dc, row.fqdn, public_key, number);
	if (!member) {
		snprintf(ret_why, why_len, "%s was not added: out of memory", row.fqdn);
		dc_store_del(dc->store, row.fqdn, why, sizeof(why));
		err = -ENOMEM;
		goto release;
	}
	dc->zone_serial++;
	dc_control_tell(dc, "member_added", row.fqdn, NULL, NULL);
	ntm_info("%s is a member now", row.fqdn);
	*ret_member = member;
	return 0;
release:
	dc_addr_pool_release(&dc->pool, number);
	return err;
}

/* Paths of a removed member end at once. It is sent to register again, and refused for as long as it takes to
 * tell it why. */
static void member_leave(struct dc_leaver *leaver)
{
	struct dc_member *member = leaver->member;
	struct dc *dc = member->dc;
	struct dc_path_end *end;

	dc_direction_forget_member(member);
	while ((end = LIST_FIRST(&member->path))) {
		dc_path_withdraw(end->path, 0, NTM_REASON_REMOVED);
		dc_path_withdraw(end->path, 1, NTM_REASON_REMOVED);
		dc_path_free(end->path);
	}
	member_unlink(member);
	member->leaving = true;
	LIST_INSERT_HEAD(&dc->leaver, leaver, next);
	ntm_timer_set_ms(leaver->timer, DC_LEAVING_MS);
	leave_tell(member);
}

int dc_member_del(struct dc *dc, const char *fqdn, char *ret_why, size_t why_len)
{
	char name[NTM_FQDN_MAX + 1], why[DC_STORE_WHY];
	struct dc_member *member;
	struct dc_leaver *leaver;
	int err;

	if (ntm_name_normalise(name, fqdn) || !(member = dc_member_find(dc, name))) {
		snprintf(ret_why, why_len, "no member is named '%.100s'", fqdn);
		return -ENOENT;
	}
	leaver = leaver_new(member);
	if (!leaver) {
		snprintf(ret_why, why_len, "%s was not removed: out of memory", name);
		return -ENOMEM;
	}
	err = dc_store_del(dc->store, name, why, sizeof(why));
	if (err && err != -ENOENT) {
		snprintf(ret_why, why_len, "%s was not removed, the database %s cannot be written: %s", name,
			 dc->config.database, why);
		event_free(leaver->timer);
		free(leaver);
		return err;
	}
	member_leave(leaver);
	dc->zone_serial++;
	dc_control_tell(dc, "member_removed", name, NULL, NULL);
	ntm_info("%s is no member any more", name);
	return 0;
}
