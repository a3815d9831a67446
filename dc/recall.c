/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * recall.c - calls the members back after a restart. A DC that starts knows its members (store.c) but not
 * where they are, and they would find out only by their next Keep Alive. So the store also has, of each
 * registered member, its address, ours that it talks to, and our session ID; and a DC that starts sends
 * each of these sessions its reset (doc/PROTOCOL.md, "Resets"), whereupon the node registers again.
 *
 *	keepalive.c, registration.c -> dc_recall_note -> changed -> store.c, late and many at a time
 *	start: store.c -> call -> ntm_session_reset_tell
 *
 * What the store has is a hint: it makes no location and no session. One that is old does nothing, for a node
 * believes a reset of the session it uses only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dc/dc.h"
#include "endpoint.h"
#include "log.h"

/* From the first change to the batch it is written with: one commit that waits for no disk */
#define STORE_MS 50
#define STORE_MORE_MS 100 /* to the next batch, where one was too small */
#define STORE_BATCH 500 /* rows: some milliseconds */
#define STORE_RETRY_MS 30000 /* the database cannot be written */
/* Calls are paced at about a third of what one CPU computes of handshakes: more of them would only make nodes
 * repeat theirs, and the rest is for those who are back. */
#define CALL_MS 100
#define CALLS_AT_ONCE 100
#define CALL_AGAIN_MS 1000

/* ---- to the store */

/* What the store should have now, but for the name. false: that is not known, and what it has may do. */
static bool wanted(const struct dc_member *member, struct dc_store_session *ret_session)
{
	const struct ntm_peer *peer = &member->actor.peer;
	const struct ntm_flow *flow = &peer->flow;

	memset(ret_session, 0, sizeof(*ret_session));
	if (!member->location)
		return true;
	ret_session->id = ntm_session_id(peer);
	if (!ret_session->id || !flow->udp)
		return false;
	ret_session->remote = flow->remote;
	ret_session->listen.addr = ntm_addr_is_none(&flow->local) ? flow->udp->bound.addr : flow->local;
	ret_session->listen.port = flow->udp->bound.port;
	return true;
}

/* Which of the store's rows, told apart by a hash: with bad luck a change is not written, and costs a Keep
 * Alive's time after a restart. */
static uint64_t digest(const struct dc *dc, const struct dc_store_session *session)
{
	struct {
		struct ntm_endpoint remote, listen;
		uint32_t id[2];
	} row;

	if (!session->id)
		return 0;
	memset(&row, 0, sizeof(row));
	row.remote = session->remote;
	row.listen = session->listen;
	memcpy(row.id, &session->id, sizeof(row.id));
	return dc_table_hash(&row, sizeof(row), dc->hash_seed) | 1;
}

static int member_write(struct dc *dc, const struct dc_member *member, char *ret_why, size_t why_len)
{
	struct dc_store_session session;

	if (!wanted(member, &session) || member->stored == digest(dc, &session))
		return 0; /* changed there and back */
	strcpy(session.fqdn, member->fqdn);
	return session.id ? dc_store_session_put(dc->store, &session, ret_why, why_len)
			  : dc_store_session_del(dc->store, member->fqdn, ret_why, why_len);
}

static void member_written(struct dc *dc, struct dc_member *member)
{
	struct dc_store_session session;

	TAILQ_REMOVE(&dc->changed, member, by_change);
	member->changed = false;
	if (wanted(member, &session))
		member->stored = digest(dc, &session);
}

/* One batch. 0 or -EIO: all are still to be written. */
static int batch_write(struct dc *dc)
{
	struct dc_member *member;
	char why[DC_STORE_WHY];
	unsigned count = 0;
	int err, end;

	err = dc_store_sessions_begin(dc->store, why, sizeof(why));
	if (err)
		goto failed;
	TAILQ_FOREACH (member, &dc->changed, by_change) {
		err = member_write(dc, member, why, sizeof(why));
		if (err || ++count == STORE_BATCH)
			break;
	}
	end = dc_store_sessions_end(dc->store, !err, why, sizeof(why));
	err = err ? err : end;
	if (err)
		goto failed;
	while (count--)
		member_written(dc, TAILQ_FIRST(&dc->changed));
	dc->recall_failed = false;
	return 0;
failed:
	if (!dc->recall_failed)
		ntm_warn("where members are cannot be written to the database %s: %s; after a restart some "
			 "come "
			 "back with their next Keep Alive only",
			 dc->config.database, why);
	dc->recall_failed = true;
	return err;
}

static void store_fired(evutil_socket_t fd, short what, void *arg)
{
	struct dc *dc = arg;

	(void)fd;
	(void)what;
	if (TAILQ_EMPTY(&dc->changed))
		return; /* they were removed */
	if (batch_write(dc))
		ntm_timer_set_ms(dc->recall_store, STORE_RETRY_MS);
	else if (!TAILQ_EMPTY(&dc->changed))
		ntm_timer_set_ms(dc->recall_store, STORE_MORE_MS);
}

void dc_recall_note(struct dc_member *member)
{
	struct dc *dc = member->dc;
	struct dc_store_session session;

	if (member->changed || !wanted(member, &session) || member->stored == digest(dc, &session))
		return;
	member->changed = true;
	if (TAILQ_EMPTY(&dc->changed))
		ntm_timer_set_ms(dc->recall_store, STORE_MS);
	TAILQ_INSERT_TAIL(&dc->changed, member, by_change);
}

/* ---- calling back */

static void call_queue(struct dc *dc, struct dc_call *call, int64_t when_ms)
{
	call->call_ms = when_ms;
	TAILQ_INSERT_TAIL(&dc->call[call->calls - 1], call, by_call);
}

static void call_end(struct dc_member *member)
{
	struct dc_call *call = member->call;

	if (!call)
		return;
	TAILQ_REMOVE(&member->dc->call[call->calls - 1], call, by_call);
	free(call);
	member->call = NULL;
}

/* The socket it talked to: no other gets through its NAT. */
static struct ntm_udp *socket_of(struct dc *dc, const struct ntm_endpoint *listen)
{
	struct ntm_udp *found = NULL;
	struct ntm_addr any4;

	ntm_addr_from4(&any4, (const uint8_t[4]){0});
	for (unsigned i = 0; i < dc->udps; i++) {
		struct ntm_udp *udp = &dc->udp[i];

		if (udp->is4 != ntm_endpoint_is4(listen) || udp->bound.port != listen->port)
			continue;
		if (ntm_addr_equal(&udp->bound.addr, &listen->addr))
			return udp;
		if (ntm_addr_is_none(&udp->bound.addr) || ntm_addr_equal(&udp->bound.addr, &any4))
			found = udp;
	}
	return found;
}

/* Calls once, unless it is back, and plans the next. */
static void call_make(struct dc *dc, struct dc_call *call, int64_t now_ms)
{
	struct ntm_flow flow = {.remote = call->remote, .local = call->listen.addr};

	if (!call->member->location)
		flow.udp = socket_of(dc, &call->listen);
	if (flow.udp && flow.udp->is4 == ntm_endpoint_is4(&flow.remote))
		ntm_session_reset_tell(&dc->sessions, &flow, call->session);
	if (call->calls == 1) {
		call_end(call->member);
		return;
	}
	TAILQ_REMOVE(&dc->call[call->calls - 1], call, by_call);
	call->calls--;
	call_queue(dc, call, now_ms + CALL_AGAIN_MS);
}

/* Who was registered before the restart and has not come back for the life of a location is not where the
 * store says. */
static void lost_forget(struct dc *dc)
{
	struct dc_table_link *link = NULL;

	dc->recall_end_ms = 0;
	while ((link = dc_table_each(&dc->member_by_name, link))) {
		struct dc_member *member = dc_container(link, struct dc_member, by_name);

		if (!member->location)
			dc_recall_note(member);
	}
}

static void call_fired(evutil_socket_t fd, short what, void *arg)
{
	struct dc *dc = arg;
	int64_t now_ms = ntm_loop_now_ms();
	bool waiting = false;

	(void)fd;
	(void)what;
	for (unsigned calls = 1; calls <= DC_RECALLS; calls++) {
		struct dc_call *call;

		for (unsigned i = 0; i < CALLS_AT_ONCE && (call = TAILQ_FIRST(&dc->call[calls - 1])) &&
				     call->call_ms <= now_ms;
		     i++)
			call_make(dc, call, now_ms);
	}
	for (unsigned i = 0; i < DC_RECALLS; i++)
		waiting |= !TAILQ_EMPTY(&dc->call[i]);
	if (!waiting && dc->recall_end_ms && dc->recall_end_ms <= now_ms)
		lost_forget(dc);
	if (waiting)
		ntm_timer_set_ms(dc->recall_call, CALL_MS);
	else if (dc->recall_end_ms)
		ntm_timer_set_ms(dc->recall_call, dc->recall_end_ms - now_ms);
}

/* ---- coming and going */

static int session_load(void *ctx, const struct dc_store_session *session)
{
	struct dc *dc = ctx;
	struct dc_member *member = dc_member_find(dc, session->fqdn);
	struct dc_call *call;

	if (!member || member->call || member->stored)
		return 0;
	member->stored = digest(dc, session);
	call = calloc(1, sizeof(*call));
	if (!call)
		return 0; /* it comes with its next Keep Alive */
	*call = (struct dc_call){.member = member, .remote = session->remote, .listen = session->listen,
				 .session = session->id, .calls = DC_RECALLS};
	member->call = call;
	call_queue(dc, call, 0);
	return 0;
}

int dc_recall_open(struct dc *dc)
{
	TAILQ_INIT(&dc->changed);
	for (unsigned i = 0; i < DC_RECALLS; i++)
		TAILQ_INIT(&dc->call[i]);
	dc->recall_store = ntm_timer_new(dc->loop.base, store_fired, dc);
	dc->recall_call = ntm_timer_new(dc->loop.base, call_fired, dc);
	return dc->recall_store && dc->recall_call ? 0 : -ENOMEM;
}

void dc_recall_start(struct dc *dc)
{
	char why[DC_STORE_WHY];

	if (dc_store_sessions(dc->store, session_load, dc, why, sizeof(why)))
		ntm_warn("the database %s does not tell where members were: %s; they come back with their "
			 "next "
			 "Keep Alive",
			 dc->config.database, why);
	dc->recall_end_ms = ntm_loop_now_ms() + NTM_LOCATION_LIFETIME_S * 1000LL;
	ntm_timer_set_ms(dc->recall_call, 0);
}

void dc_recall_forget(struct dc_member *member)
{
	struct dc *dc = member->dc;

	if (member->changed)
		TAILQ_REMOVE(&dc->changed, member, by_change);
	member->changed = false;
	call_end(member);
}

void dc_recall_close(struct dc *dc)
{
	if (dc->recall_store) {
		while (!TAILQ_EMPTY(&dc->changed) && !batch_write(dc))
			;
		event_free(dc->recall_store);
	}
	if (dc->recall_call)
		event_free(dc->recall_call);
	dc->recall_store = dc->recall_call = NULL;
}
