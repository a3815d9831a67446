/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session.h - trusted control channels: node-DC, DC-DC, DC-RS. A peer is whoever owns a static key; requests
 * go to peers, and whether a session exists, must be made by a Noise IK handshake (session_handshake.c) or
 * has moved to another address is settled here. doc/PROTOCOL.md, "Sessions".
 *
 *	daemon's receive.c -> ntm_session_receive -> opens -> request()/notice() of the daemon, or the
 *	done() of the outstanding request
 */
#ifndef NTM_LIB_SESSION_H
#define NTM_LIB_SESSION_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <ntm/header.h>
#include <ntm/limits.h>
#include <ntm/types.h>

#include "cookie.h"
#include "endpoint.h"
#include "msg.h"
#include "transaction.h"
#include "udp.h"

struct ntm_session; /* one set of keys; inside session.c */
struct ntm_session_request;
struct ntm_session_handshake;

/* Embed it in the daemon's own structure (a member, the DC, a relay). Fields below the line are
 * session.c's. */
struct ntm_peer {
	uint8_t key[NTM_KEY_LEN]; /* public */
	const struct ntm_endpoint *server; /* where we may call it, kept by the owner; none: it calls us */
	uint16_t servers;
	/* ---- */
	struct ntm_sessions *sessions;
	LIST_ENTRY(ntm_peer) by_key;
	struct ntm_flow flow; /* where it is now, proven; remote none: not yet */
	/* Of where packets came from last, not yet proven; NULL: none open */
	struct ntm_session_challenge *challenge;
	struct ntm_session *current, *previous;
	/* Answered, not used yet: the one with the highest number; the last other one */
	struct ntm_session *pending, *pending_other;
	struct ntm_session_handshake *handshake;
	struct ntm_rtt rtt;
	LIST_HEAD(ntm_session_request_list, ntm_session_request) request; /* outstanding, ours */
	unsigned requests;
	/* its requests that are being served, and the last answers given, for repeated requests: newest
	 * first */
	SLIST_HEAD(ntm_session_answer_list, ntm_session_answer) answer;
	int64_t heard_ms; /* when an authentic packet last came (boot-time clock) */
};

/* A request being served; copy it to answer later. */
struct ntm_session_from {
	struct ntm_peer *peer;
	struct ntm_flow flow; /* where the request came from: the answer goes there */
	uint32_t transaction;
	uint16_t len; /* of its packet, bytes */
	bool proven; /* flow is the peer's proven one */
};

/* What a daemon does with what comes. All run in the loop. */
struct ntm_session_ops {
	/* Whose key is this? NULL: a stranger, dropped and counted. Called after the handshake authenticated
	 * it. */
	struct ntm_peer *(*accept)(void *ctx, const uint8_t key[NTM_KEY_LEN]);
	/* A request (odd type) from a peer; must lead to ntm_session_answer or _refuse, now or later. */
	void (*request)(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message);
	/* A message without a response. May be NULL. */
	void (*notice)(void *ctx, struct ntm_peer *peer, const struct ntm_message *message);
	/* peer->flow changed: first session, or moved and proven. May be NULL. */
	void (*moved)(void *ctx, struct ntm_peer *peer);
	/* The peer lost its state (its reset token came) or a handshake we started failed: the session is
	 * gone. May be NULL. */
	void (*lost)(void *ctx, struct ntm_peer *peer);
};

struct ntm_sessions {
	struct event_base *base;
	uint8_t private_key[NTM_KEY_LEN], public_key[NTM_KEY_LEN], mac1_key[NTM_KEY_LEN],
		reset_key[NTM_KEY_LEN];
	const struct ntm_session_ops *ops;
	void *ctx;
	/* socket for a remote endpoint we call first; NULL: none of its family */
	struct ntm_udp *(*socket_for)(void *ctx, const struct ntm_endpoint *remote);
	unsigned requests_max; /* outstanding ones a peer */
	struct ntm_cookie cookie;
	/* handshakes before they cost a cookie, those with a cookie, cookies, and other answers to the
	 * unauthenticated */
	struct ntm_limiter handshake_limiter, proven_limiter, cookie_limiter, reply_limiter;
	int64_t handshake_us; /* when the time that handshakes took will have been their share of all time */
	/* For a CPU that others had, and when that was looked at: all time is without it */
	int64_t waited_us, waited_at_us;
	/* of all peers, oldest first: forgotten when nobody can ask again */
	TAILQ_HEAD(ntm_session_answers, ntm_session_answer) answers;
	LIST_HEAD(ntm_peer_bucket, ntm_peer) *by_key; /* hash tables; grown with the number of peers */
	LIST_HEAD(ntm_session_bucket, ntm_session) *by_id, *by_remote_id;
	unsigned buckets, peer_count;
	uint64_t hash_key;
	LIST_HEAD(ntm_session_handshake_list, ntm_session_handshake) handshake; /* those we started */
	/* ring: so that a repeated message 1 gets the same message 2 */
	struct ntm_session_done_handshake *recent;
	uint16_t *recent_bucket; /* its hash table, by ephemeral key */
	unsigned recent_next;
};

int ntm_sessions_init(struct ntm_sessions *sessions, struct event_base *base,
		      const uint8_t private_key[NTM_KEY_LEN], const struct ntm_session_ops *ops, void *ctx,
		      struct ntm_udp *(*socket_for)(void *ctx, const struct ntm_endpoint *remote));
void ntm_sessions_clear(struct ntm_sessions *sessions); /* peers must be removed before */

/* peer->key (and server) filled in, the rest zero. 0, -EEXIST: that key is there already, -ENOMEM. */
int ntm_peer_add(struct ntm_sessions *sessions, struct ntm_peer *peer);
/* Ends its requests with -ECANCELED and its sessions. */
void ntm_peer_remove(struct ntm_peer *peer);
struct ntm_peer *ntm_peer_find(struct ntm_sessions *sessions, const uint8_t key[NTM_KEY_LEN]);
bool ntm_peer_is_up(const struct ntm_peer *peer); /* there is a session */
uint64_t ntm_session_id(const struct ntm_peer *peer); /* ours, of the session in use; 0: there is none */

/*
 * Takes SESSION_INIT, SESSION_RESPONSE, COOKIE, SESSION and RESET packets. 0 if it was for a session, else
 * the negative drop reason, not yet counted: -NTM_DROP_SESSION_UNKNOWN for a COOKIE or RESET that belongs to
 * no session (maybe a tunnel's: the caller goes on).
 */
int ntm_session_receive(struct ntm_sessions *sessions, const struct ntm_flow *from, uint8_t *packet,
			size_t len);

/*
 * err 0: the response (fields to be parsed by the caller); -EREMOTEIO: message is NULL and error says what
 * the peer refused; -ETIMEDOUT, -ECANCELED: no answer.
 */
typedef void (*ntm_session_done)(void *arg, int err, const struct ntm_message *message,
				 const struct ntm_error_message *error);

/*
 * Sends a request, after a handshake if there is no session; body: NTM_MSG_HEADER_LEN free bytes, then
 * fields. done is called exactly once, never from inside this call. 0 and ret_request (may be NULL; valid
 * until done), or -errno and done is not called: -EAGAIN too many outstanding, -EDESTADDRREQ: no address of
 * the peer is known.
 */
int ntm_session_request(struct ntm_peer *peer, uint16_t type, uint8_t *body, size_t fields_len,
			int64_t timeout_ms, ntm_session_done done, void *arg,
			struct ntm_session_request **ret_request);
void ntm_session_cancel(struct ntm_session_request *request); /* done is not called */

/* A message without a response; lost if there is no session (-ENOTCONN). */
int ntm_session_notify(struct ntm_peer *peer, uint16_t type, uint8_t *body, size_t fields_len);

/* Answers a request; the answer is remembered, so that a repetition of the request gets it again. */
void ntm_session_answer(const struct ntm_session_from *from, uint16_t type, uint8_t *body, size_t fields_len);
void ntm_session_refuse(const struct ntm_session_from *from, enum ntm_error code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The own address changed: outstanding requests are sent again at once; the flow's source is chosen anew. */
void ntm_session_kick(struct ntm_peer *peer);

/* Makes sure that there is a session (a handshake that nothing waits for). */
int ntm_session_connect(struct ntm_peer *peer);

/*
 * Whether a handshake message 1 may cost a scalar multiplication now: 0, or a negative drop reason; under
 * load only who shows a cookie, others are sent one. path_id: of a tunnel handshake that came by a relay, 0
 * otherwise.
 */
int ntm_session_handshake_admit(struct ntm_sessions *sessions, const struct ntm_flow *from, uint64_t path_id,
				const uint8_t *packet, size_t len);

/* Resets for IDs nobody knows: answers packet (at least 33 bytes, rate-limited); also used for paths. */
void ntm_session_reset_send(struct ntm_sessions *sessions, const struct ntm_flow *to, uint64_t id,
			    size_t packet_len);
/* A reset that answers nothing: to where a peer had the session with this ID of ours. The caller bounds how
 * many. */
void ntm_session_reset_tell(const struct ntm_sessions *sessions, const struct ntm_flow *to, uint64_t id);
/* The token that goes with an ID of ours: keyed hash under a secret derived from our private key. */
void ntm_session_reset_token(const struct ntm_sessions *sessions, uint64_t id,
			     uint8_t ret_token[NTM_MAC_LEN]);

/* Answers NTM_TYPE_ECHO (rate-limited); for servers. */
int ntm_session_echo_answer(struct ntm_sessions *sessions, const struct ntm_flow *from, const uint8_t *packet,
			    size_t len);

#endif
