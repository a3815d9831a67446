/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session.c - peers, their sessions, and sealed control messages between them. Handshakes are in
 * session_handshake.c; what requests and answers do with messages in session_request.c.
 *
 * A session survives address changes of both ends: packets are found by session ID, and a source that is new
 * counts for nothing but the answer to its own packet until a challenge to it came back (doc/PROTOCOL.md,
 * "Sessions").
 */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "aead.h"
#include "crypto.h"
#include "log.h"
#include "loop.h"
#include "session_internal.h"
#include "stats.h"

#define BUCKETS_FIRST 64
#define RESET_MIN_LEN (sizeof(struct ntm_reset) + 1) /* a reset is shorter than what it answers */
#define HANDSHAKES_PROVEN_PER_S 20000 /* with a valid cookie: bounded by source, and by the time they take */

static unsigned bucket(const struct ntm_sessions *sessions, uint64_t value)
{
	/* Session IDs we draw are random, remote ones and keys are not ours: the multiplier is. */
	return (unsigned)((value * (sessions->hash_key | 1)) >> 32) & (sessions->buckets - 1);
}

static uint64_t key_value(const uint8_t key[NTM_KEY_LEN])
{
	uint64_t value;

	memcpy(&value, key, sizeof(value));
	return value;
}

static int tables_alloc(struct ntm_sessions *sessions, unsigned buckets)
{
	struct ntm_peer_bucket *by_key = calloc(buckets, sizeof(*by_key));
	struct ntm_session_bucket *by_id = calloc(buckets, sizeof(*by_id));
	struct ntm_session_bucket *by_remote_id = calloc(buckets, sizeof(*by_remote_id));

	if (!by_key || !by_id || !by_remote_id) {
		free(by_key);
		free(by_id);
		free(by_remote_id);
		return -ENOMEM;
	}
	sessions->by_key = by_key;
	sessions->by_id = by_id;
	sessions->by_remote_id = by_remote_id;
	sessions->buckets = buckets;
	return 0;
}

int ntm_sessions_init(struct ntm_sessions *sessions, struct event_base *base,
		      const uint8_t private_key[NTM_KEY_LEN], const struct ntm_session_ops *ops, void *ctx,
		      struct ntm_udp *(*socket_for)(void *ctx, const struct ntm_endpoint *remote))
{
	int err;

	memset(sessions, 0, sizeof(*sessions));
	sessions->base = base;
	sessions->ops = ops;
	sessions->ctx = ctx;
	sessions->socket_for = socket_for;
	sessions->requests_max = NTM_REQUESTS_MAX;
	sessions->hash_key = ntm_crypto_random_u64();
	memcpy(sessions->private_key, private_key, NTM_KEY_LEN);
	ntm_crypto_public(sessions->public_key, private_key);
	ntm_cookie_mac1_key(sessions->mac1_key, sessions->public_key);
	ntm_crypto_derive(sessions->reset_key, private_key, "reset", NULL, 0);
	ntm_cookie_init(&sessions->cookie, ntm_loop_now_ms());
	ntm_limiter_init(&sessions->handshake_limiter, NTM_HANDSHAKES_PER_S, NTM_HANDSHAKES_PER_S / 10);
	ntm_limiter_init(&sessions->proven_limiter, HANDSHAKES_PROVEN_PER_S, NTM_HANDSHAKES_PER_S / 10);
	ntm_limiter_init(&sessions->cookie_limiter, NTM_COOKIES_PER_S, NTM_COOKIES_SOURCE_PER_S);
	ntm_limiter_init(&sessions->reply_limiter, NTM_UNAUTH_REPLIES_PER_S, NTM_UNAUTH_REPLIES_SOURCE_PER_S);
	TAILQ_INIT(&sessions->answers);
	err = tables_alloc(sessions, BUCKETS_FIRST);
	if (!err)
		err = ntm_session_handshakes_init(sessions);
	if (err)
		ntm_sessions_clear(sessions);
	return err;
}

void ntm_sessions_clear(struct ntm_sessions *sessions)
{
	ntm_session_handshakes_clear(sessions);
	free(sessions->by_key);
	free(sessions->by_id);
	free(sessions->by_remote_id);
	ntm_crypto_wipe(sessions, sizeof(*sessions));
}

static struct ntm_session *find(const struct ntm_sessions *sessions, uint64_t id)
{
	struct ntm_session *session;

	LIST_FOREACH(session, &sessions->by_id[bucket(sessions, id)], by_id)
		if (session->id == id)
			return session;
	return NULL;
}

static void tables_grow(struct ntm_sessions *sessions)
{
	struct ntm_session_bucket *by_id = sessions->by_id, *by_remote_id = sessions->by_remote_id;
	struct ntm_peer_bucket *by_key = sessions->by_key;
	unsigned buckets = sessions->buckets;
	struct ntm_session *session;
	struct ntm_peer *peer;

	if (sessions->peer_count <= buckets || tables_alloc(sessions, buckets * 2))
		return; /* longer chains are slower, not wrong */
	for (unsigned i = 0; i < buckets; i++) {
		while ((peer = LIST_FIRST(&by_key[i]))) {
			LIST_REMOVE(peer, by_key);
			LIST_INSERT_HEAD(&sessions->by_key[bucket(sessions, key_value(peer->key))], peer,
					 by_key);
		}
		while ((session = LIST_FIRST(&by_id[i]))) {
			LIST_REMOVE(session, by_id);
			LIST_INSERT_HEAD(&sessions->by_id[bucket(sessions, session->id)], session, by_id);
		}
		while ((session = LIST_FIRST(&by_remote_id[i]))) {
			LIST_REMOVE(session, by_remote_id);
			LIST_INSERT_HEAD(&sessions->by_remote_id[bucket(sessions, session->remote_id)],
					 session, by_remote_id);
		}
	}
	free(by_key);
	free(by_id);
	free(by_remote_id);
}

int ntm_peer_add(struct ntm_sessions *sessions, struct ntm_peer *peer)
{
	if (ntm_peer_find(sessions, peer->key))
		return -EEXIST;
	peer->sessions = sessions;
	LIST_INIT(&peer->request);
	LIST_INSERT_HEAD(&sessions->by_key[bucket(sessions, key_value(peer->key))], peer, by_key);
	sessions->peer_count++;
	tables_grow(sessions);
	return 0;
}

void ntm_peer_remove(struct ntm_peer *peer)
{
	ntm_session_handshake_free(peer);
	ntm_session_free(peer->current);
	ntm_session_free(peer->previous);
	ntm_session_free(peer->pending);
	ntm_session_free(peer->pending_other);
	peer->current = peer->previous = peer->pending = peer->pending_other = NULL;
	LIST_REMOVE(peer, by_key);
	peer->sessions->peer_count--;
	ntm_session_answers_clear(peer);
	peer->sessions = NULL; /* done() may try another request, or to answer one: refused */
	ntm_session_requests_condemn(peer);
	ntm_session_requests_fail(peer, -ECANCELED);
}

struct ntm_peer *ntm_peer_find(struct ntm_sessions *sessions, const uint8_t key[NTM_KEY_LEN])
{
	struct ntm_peer *peer;

	LIST_FOREACH(peer, &sessions->by_key[bucket(sessions, key_value(key))], by_key)
		if (!memcmp(peer->key, key, NTM_KEY_LEN)) /* public keys */
			return peer;
	return NULL;
}

bool ntm_peer_is_up(const struct ntm_peer *peer)
{
	return peer->current;
}

uint64_t ntm_session_id(const struct ntm_peer *peer)
{
	return peer->current ? peer->current->id : 0;
}

uint64_t ntm_session_id_draw(struct ntm_sessions *sessions)
{
	uint64_t id;

	do
		id = ntm_crypto_random_u64();
	while (!id || find(sessions, id));
	return id;
}

struct ntm_session *ntm_session_new(struct ntm_peer *peer, uint64_t id, uint64_t remote_id,
				    const uint8_t send_key[NTM_KEY_LEN],
				    const uint8_t receive_key[NTM_KEY_LEN],
				    const uint8_t remote_token[NTM_MAC_LEN])
{
	struct ntm_sessions *sessions = peer->sessions;
	struct ntm_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->peer = peer;
	session->id = id;
	session->remote_id = remote_id;
	memcpy(session->send_key, send_key, NTM_KEY_LEN);
	memcpy(session->receive_key, receive_key, NTM_KEY_LEN);
	memcpy(session->remote_token, remote_token, NTM_MAC_LEN);
	session->created_ms = ntm_loop_now_ms();
	LIST_INSERT_HEAD(&sessions->by_id[bucket(sessions, id)], session, by_id);
	LIST_INSERT_HEAD(&sessions->by_remote_id[bucket(sessions, remote_id)], session, by_remote_id);
	return session;
}

void ntm_session_free(struct ntm_session *session)
{
	if (!session)
		return;
	LIST_REMOVE(session, by_id);
	LIST_REMOVE(session, by_remote_id);
	ntm_crypto_wipe(session, sizeof(*session));
	free(session);
}

bool ntm_session_is_server(const struct ntm_peer *peer, const struct ntm_endpoint *remote)
{
	for (unsigned i = 0; i < peer->servers; i++)
		if (ntm_endpoint_equal(&peer->server[i], remote))
			return true;
	return false;
}

void ntm_session_moved(struct ntm_peer *peer, const struct ntm_flow *flow)
{
	peer->flow = *flow;
	/* Towards a server the kernel chooses our source anew whenever we move; a server answers from the
	 * address it was asked at. */
	if (ntm_session_is_server(peer, &flow->remote))
		memset(&peer->flow.local, 0, sizeof(peer->flow.local));
	ntm_session_challenge_cancel(peer);
	ntm_session_answers_release(peer);
	if (peer->sessions->ops->moved)
		peer->sessions->ops->moved(peer->sessions->ctx, peer);
}

void ntm_session_use(struct ntm_session *session, const struct ntm_flow *flow)
{
	struct ntm_peer *peer = session->peer;

	ntm_session_free(peer->previous);
	peer->previous = peer->current;
	peer->current = session;
	if (peer->pending == session) {
		ntm_session_free(peer->pending_other); /* older: given up, or somebody replayed it */
		peer->pending = peer->pending_other = NULL;
	} else if (peer->pending_other == session) {
		peer->pending_other = NULL;
	}
	if (flow)
		ntm_session_moved(peer, flow);
	ntm_session_requests_begin(peer);
}

void ntm_session_drop(struct ntm_peer *peer)
{
	ntm_session_free(peer->current);
	ntm_session_free(peer->previous);
	peer->current = peer->previous = NULL;
	if (peer->sessions->ops->lost)
		peer->sessions->ops->lost(peer->sessions->ctx, peer);
}

bool ntm_session_server_flow(struct ntm_peer *peer, unsigned n, struct ntm_flow *ret_flow)
{
	struct ntm_sessions *sessions = peer->sessions;
	struct ntm_flow found[NTM_SERVERS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < peer->servers; i++) {
		struct ntm_flow flow = { .remote = peer->server[i] };
		struct ntm_addr local;

		flow.udp = sessions->socket_for(sessions->ctx, &flow.remote);
		if (flow.udp && !ntm_udp_source(&flow.remote, &local))
			found[count++] = flow;
	}
	if (!count)
		return false;
	*ret_flow = found[n % count];
	return true;
}

int ntm_session_send(struct ntm_peer *peer, const struct ntm_flow *to, const uint8_t *body, size_t len)
{
	struct ntm_session *session = peer->current;
	uint8_t packet[NTM_CONTROL_MAX];

	if (!session || !to->udp)
		return -ENOTCONN;
	if (NTM_HEADER_LEN + len + NTM_TAG_LEN > sizeof(packet))
		return -EMSGSIZE;
	if (session->counter >= NTM_SESSION_COUNTER_MAX)
		return -ENOTCONN;
	ntm_header_set((struct ntm_header *)packet, NTM_TYPE_SESSION, session->counter, session->remote_id);
	ntm_aead_seal_once(session->send_key, session->counter++, packet, NTM_HEADER_LEN, body, len,
			   packet + NTM_HEADER_LEN);
	len += NTM_HEADER_LEN + NTM_TAG_LEN;
	if (peer->servers)
		/* If that fails there may be another address of the server */
		return ntm_udp_send(to, packet, len);
	ntm_udp_send_soon(to, packet, len);
	return 0;
}

/* Where an authentic, newest packet came from. true: that is not proven. */
static bool source_seen(struct ntm_peer *peer, const struct ntm_flow *from)
{
	bool server = ntm_session_is_server(peer, &from->remote);

	if (ntm_endpoint_equal(&peer->flow.remote, &from->remote)) {
		if (!server)
			/* It now calls another address of ours: it expects answers from there */
			peer->flow = *from;
		return false;
	}
	if (server) {
		ntm_session_moved(peer, from); /* we configured this address, and it answers us there */
		return false;
	}
	return true;
}

static int sealed_receive(struct ntm_sessions *sessions, const struct ntm_flow *from, uint8_t *packet,
			  size_t len)
{
	const struct ntm_header *header = (const struct ntm_header *)packet;
	uint64_t id = ntm_header_id(header), counter = ntm_header_counter(header);
	struct ntm_session *session = find(sessions, id);
	uint8_t body[NTM_CONTROL_MAX];
	bool newest, unproven;
	struct ntm_peer *peer;
	int n;

	if (!session) {
		ntm_session_reset_send(sessions, from, id, len);
		return -NTM_DROP_SESSION_UNKNOWN;
	}
	if (!ntm_replay_session_check(&session->replay, counter))
		return -NTM_DROP_REPLAY;
	n = ntm_aead_open_once(session->receive_key, counter, packet, NTM_HEADER_LEN, packet + NTM_HEADER_LEN,
			       len - NTM_HEADER_LEN, body);
	if (n < 0)
		return -NTM_DROP_AUTH;
	newest = counter >= session->replay.next;
	if (!ntm_replay_session_commit(&session->replay, counter))
		return -NTM_DROP_REPLAY;

	peer = session->peer;
	peer->heard_ms = ntm_loop_now_ms();
	if (session == peer->pending || session == peer->pending_other) {
		/* Whoever answers with these keys has received message 2 there. */
		bool same = ntm_endpoint_equal(&session->remote, &from->remote);

		ntm_session_use(session, same ? from : NULL);
	}
	unproven = newest && source_seen(peer, from);
	if (unproven)
		ntm_session_challenge_heard(peer, from, len);
	ntm_session_message(peer, from, body, (size_t)n);
	ntm_crypto_wipe(body, (size_t)n); /* Route Directions hold keys */
	/* Behind the answer, which is longer: both can leave as one. The message may have ended the
	 * session. */
	if (unproven && find(sessions, id) == session)
		ntm_session_challenge_send(peer);
	return 0;
}

static int reset_receive(struct ntm_sessions *sessions, const uint8_t *packet, size_t len)
{
	const struct ntm_reset *reset = (const struct ntm_reset *)packet;
	uint64_t id;
	struct ntm_session *session;

	if (len != sizeof(*reset))
		return -NTM_DROP_SESSION_UNKNOWN;
	id = ntm_header_id(&reset->h);
	LIST_FOREACH(session, &sessions->by_remote_id[bucket(sessions, id)], by_remote_id) {
		struct ntm_peer *peer = session->peer;

		if (session->remote_id != id ||
		    !ntm_crypto_equal(session->remote_token, reset->token, NTM_MAC_LEN))
			continue;
		if (session != peer->current)
			return 0; /* an older one: nothing is lost */
		ntm_debug("session: the peer has lost its state, starting anew");
		ntm_session_drop(peer);
		if (peer->servers && !LIST_EMPTY(&peer->request))
			ntm_session_handshake_start(peer);
		return 0;
	}
	return -NTM_DROP_SESSION_UNKNOWN;
}

int ntm_session_receive(struct ntm_sessions *sessions, const struct ntm_flow *from, uint8_t *packet,
			size_t len)
{
	if (len < NTM_HEADER_LEN)
		return -NTM_DROP_SHORT;
	if (len > NTM_CONTROL_MAX)
		return -NTM_DROP_LONG;
	switch (packet[0]) {
	case NTM_TYPE_SESSION_INIT:
		return ntm_session_init_receive(sessions, from, packet, len);
	case NTM_TYPE_SESSION_RESPONSE:
		return ntm_session_response_receive(sessions, from, packet, len);
	case NTM_TYPE_COOKIE:
		return ntm_session_cookie_receive(sessions, from, packet, len);
	case NTM_TYPE_SESSION:
		return sealed_receive(sessions, from, packet, len);
	case NTM_TYPE_RESET:
		return reset_receive(sessions, packet, len);
	}
	return -NTM_DROP_TYPE_UNEXPECTED;
}

void ntm_session_reset_token(const struct ntm_sessions *sessions, uint64_t id, uint8_t ret_token[NTM_MAC_LEN])
{
	struct ntm_header h;

	ntm_header_set(&h, NTM_TYPE_RESET, 0, id);
	ntm_crypto_mac(ret_token, NTM_MAC_LEN, sessions->reset_key, &h, sizeof(h));
}

void ntm_session_reset_tell(const struct ntm_sessions *sessions, const struct ntm_flow *to, uint64_t id)
{
	struct ntm_reset reset;

	ntm_header_set(&reset.h, NTM_TYPE_RESET, 0, id);
	ntm_session_reset_token(sessions, id, reset.token);
	ntm_udp_send(to, &reset, sizeof(reset));
}

void ntm_session_reset_send(struct ntm_sessions *sessions, const struct ntm_flow *to, uint64_t id,
			    size_t packet_len)
{
	if (packet_len < RESET_MIN_LEN)
		return;
	if (!ntm_limiter_take(&sessions->reply_limiter, ntm_loop_now_us(), &to->remote, 0)) {
		ntm_drop_count(NTM_DROP_RATE);
		return;
	}
	ntm_session_reset_tell(sessions, to, id);
}

int ntm_session_echo_answer(struct ntm_sessions *sessions, const struct ntm_flow *from, const uint8_t *packet,
			    size_t len)
{
	struct ntm_echo echo;

	if (len != sizeof(echo))
		return len < sizeof(echo) ? -NTM_DROP_SHORT : -NTM_DROP_LONG;
	memcpy(&echo, packet, sizeof(echo));
	if (ntm_header_id(&echo.h) != 0)
		return -NTM_DROP_TYPE_UNEXPECTED; /* an answer: never answered */
	if (!ntm_limiter_take(&sessions->reply_limiter, ntm_loop_now_us(), &from->remote, 0))
		return -NTM_DROP_RATE;
	ntm_header_set(&echo.h, NTM_TYPE_ECHO, ntm_header_counter(&echo.h), 1);
	memcpy(echo.addr, from->remote.addr.b, sizeof(echo.addr));
	echo.port[0] = (uint8_t)(from->remote.port >> 8);
	echo.port[1] = (uint8_t)from->remote.port;
	memset(echo.zero, 0, sizeof(echo.zero));
	ntm_udp_send(from, &echo, sizeof(echo));
	return 0;
}

int ntm_session_connect(struct ntm_peer *peer)
{
	const struct ntm_session *session = peer->current;

	if (!peer->sessions)
		return -ECANCELED; /* being removed */
	if (session && session->counter < NTM_SESSION_COUNTER_MAX / 2 &&
	    ntm_loop_now_ms() - session->created_ms < NTM_SESSION_LIFETIME_S * 1000LL)
		return 0;
	return ntm_session_handshake_start(peer);
}

void ntm_session_kick(struct ntm_peer *peer)
{
	struct ntm_flow flow = { .remote = peer->flow.remote };
	struct ntm_session_request *request;
	struct ntm_addr local;

	/* Stay with the server we use if it can still be reached, else take the next. */
	if (peer->servers && peer->flow.udp) {
		flow.udp = peer->sessions->socket_for(peer->sessions->ctx, &flow.remote);
		if (flow.udp && !ntm_udp_source(&flow.remote, &local))
			peer->flow = flow;
		else if (ntm_session_server_flow(peer, 0, &flow))
			peer->flow = flow;
	}
	if (peer->handshake)
		ntm_transaction_kick(&peer->handshake->transaction);
	LIST_FOREACH(request, &peer->request, next)
		ntm_transaction_kick(&request->transaction);
}
