/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session_internal.h - between session.c (peers, sealed messages), session_request.c (requests and answers)
 * and session_handshake.c (Noise IK). Nobody else includes it.
 */
#ifndef NTM_LIB_SESSION_INTERNAL_H
#define NTM_LIB_SESSION_INTERNAL_H

#include "noise.h"
#include "replay.h"
#include "session.h"

/* One set of keys with a peer. */
struct ntm_session {
	LIST_ENTRY(ntm_session) by_id, by_remote_id;
	struct ntm_peer *peer;
	uint64_t id, remote_id; /* where we, where the peer wants packets */
	uint8_t send_key[NTM_KEY_LEN], receive_key[NTM_KEY_LEN];
	uint8_t remote_token[NTM_MAC_LEN]; /* a reset with it is believed */
	uint64_t counter; /* next to send */
	struct ntm_replay_session replay;
	struct ntm_endpoint remote; /* responder: where message 2 went */
	uint64_t number; /* responder: of message 1 */
	int64_t created_ms;
};

/* A handshake we started. */
struct ntm_session_handshake {
	LIST_ENTRY(ntm_session_handshake) next;
	struct ntm_peer *peer;
	struct ntm_noise noise;
	struct ntm_transaction transaction;
	uint64_t id; /* our session ID to be */
	uint64_t number; /* in the header: the time */
	unsigned server; /* which one the next transmission goes to */
	uint8_t packet[NTM_HEADER_LEN + NTM_NOISE_MSG1_OVERHEAD + 64 + NTM_HANDSHAKE_MACS];
	size_t len; /* without the MACs */
	uint8_t cookie[NTM_MAC_LEN];
	bool has_cookie;
};

/* A request of ours. */
struct ntm_session_request {
	LIST_ENTRY(ntm_session_request) next;
	struct ntm_peer *peer;
	uint32_t number; /* transaction in the message */
	uint16_t type;
	bool to_candidate; /* the address challenge: goes with peer->challenge */
	bool condemned; /* ntm_session_requests_fail() ends it */
	struct ntm_transaction transaction;
	ntm_session_done done;
	void *arg;
	size_t len; /* of body */
	uint8_t body[]; /* header and fields */
};

/* Whether the peer really is where its newest packet came from. */
struct ntm_session_challenge {
	struct ntm_flow candidate;
	uint64_t nonce;
	uint32_t allowance; /* bytes that may still be sent there before it is proven */
	struct ntm_session_request *request;
};

/* An answer we gave; len 0: the request is being served. */
struct ntm_session_answer {
	SLIST_ENTRY(ntm_session_answer) next;
	TAILQ_ENTRY(ntm_session_answer) by_age; /* of sessions->answers */
	struct ntm_peer *peer;
	uint32_t transaction;
	uint16_t len;
	bool withheld; /* too long for an address that is not proven: sent when that is */
	int64_t came_ms; /* the request */
	uint8_t body[];
};

/* session.c */
struct ntm_session *ntm_session_new(struct ntm_peer *peer, uint64_t id, uint64_t remote_id,
				    const uint8_t send_key[NTM_KEY_LEN],
				    const uint8_t receive_key[NTM_KEY_LEN],
				    const uint8_t remote_token[NTM_MAC_LEN]);
void ntm_session_free(struct ntm_session *session);
uint64_t ntm_session_id_draw(struct ntm_sessions *sessions); /* random, not in use, not 0 */
/* The session is the one to use from now on; the one before stays for what is on its way. */
void ntm_session_use(struct ntm_session *session, const struct ntm_flow *flow);
/* The peer is at flow now, and that is proven. */
void ntm_session_moved(struct ntm_peer *peer, const struct ntm_flow *flow);
#define NTM_SESSION_OVERHEAD (NTM_HEADER_LEN + NTM_TAG_LEN) /* bytes of a packet around the body */
/* Seals body (header and fields) and sends it to `to`. 0, -ENOTCONN, -EMSGSIZE, or what sending said. */
int ntm_session_send(struct ntm_peer *peer, const struct ntm_flow *to, const uint8_t *body, size_t len);
/* The best of the peer's configured servers to send to now, the n-th best for n > 0. false: none is
 * routable. */
bool ntm_session_server_flow(struct ntm_peer *peer, unsigned n, struct ntm_flow *ret_flow);
/* Whether the peer is configured to be called there. */
bool ntm_session_is_server(const struct ntm_peer *peer, const struct ntm_endpoint *remote);
/* The session with this peer is over: forget it, tell the daemon. */
void ntm_session_drop(struct ntm_peer *peer);

/* session_request.c */
void ntm_session_requests_begin(struct ntm_peer *peer); /* a session is there: send what waits */
void ntm_session_requests_condemn(struct ntm_peer *peer); /* all there are now */
void ntm_session_requests_fail(struct ntm_peer *peer, int err); /* ends those, oldest first */
void ntm_session_message(struct ntm_peer *peer, const struct ntm_flow *from, const uint8_t *body, size_t len);
/* A packet of len bytes came from there, which is not proven: as much as NTM_UNPROVEN_FACTOR times that may
 * go there. */
void ntm_session_challenge_heard(struct ntm_peer *peer, const struct ntm_flow *candidate, size_t len);
void ntm_session_challenge_send(struct ntm_peer *peer); /* the first time */
void ntm_session_challenge_cancel(struct ntm_peer *peer);
void ntm_session_answers_release(struct ntm_peer *peer); /* its address is proven: what was withheld */
void ntm_session_answers_clear(struct ntm_peer *peer);

/* session_handshake.c */
int ntm_session_handshake_start(struct ntm_peer *peer);
void ntm_session_handshake_free(struct ntm_peer *peer);
int ntm_session_init_receive(struct ntm_sessions *sessions, const struct ntm_flow *from, uint8_t *packet,
			     size_t len);
int ntm_session_response_receive(struct ntm_sessions *sessions, const struct ntm_flow *from, uint8_t *packet,
				 size_t len);
int ntm_session_cookie_receive(struct ntm_sessions *sessions, const struct ntm_flow *from,
			       const uint8_t *packet, size_t len);
int ntm_session_handshakes_init(struct ntm_sessions *sessions);
void ntm_session_handshakes_clear(struct ntm_sessions *sessions);

#endif
