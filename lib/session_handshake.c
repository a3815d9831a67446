/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session_handshake.c - Noise IK around sessions: who calls, who answers, cookies under load. The new keys
 * replace nothing until a packet under them has opened. Above: session.c; below: noise.c, cookie.c.
 *
 * Message 1 can be recorded and sent again by anybody. Its number is its sender's clock, so what is older
 * than the handshake under way does not take that one's place; and it is answered all the same, since a clock
 * may be set back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "loop.h"
#include "session_internal.h"
#include "stats.h"

#define HANDSHAKE_BURST_US 20000
#define WAITED_LOOK_US 10000 /* a look costs some microseconds */
/* Answered handshakes remembered, over all peers: more than a busy DC answers until a caller that waited asks
 * again. */
#define RECENT 4096
/* By then its peer has come with the first packet, or given it up */
#define PENDING_MS (2 * NTM_REQUEST_TIMEOUT_MS)
#define RESPONSE_MAX (NTM_HEADER_LEN + NTM_NOISE_MSG2_OVERHEAD + 64 + NTM_HANDSHAKE_MACS)

/* A message 1 that was answered; kept only for authenticated peers, found again by its ephemeral key. */
struct ntm_session_done_handshake {
	uint16_t older; /* in its bucket: place in the ring + 1; 0: none */
	uint8_t ephemeral[NTM_KEY_LEN];
	uint8_t packet[RESPONSE_MAX];
	size_t len;
};

int ntm_session_handshakes_init(struct ntm_sessions *sessions)
{
	/* a large calloc takes memory as it is used: who answers few handshakes has few pages of it */
	sessions->recent = calloc(RECENT, sizeof(*sessions->recent));
	sessions->recent_bucket = calloc(RECENT, sizeof(*sessions->recent_bucket));
	return sessions->recent && sessions->recent_bucket ? 0 : -ENOMEM;
}

void ntm_session_handshakes_clear(struct ntm_sessions *sessions)
{
	free(sessions->recent);
	free(sessions->recent_bucket);
}

static void prologue_make(uint8_t prologue[4 + NTM_HEADER_LEN], const void *header)
{
	memcpy(prologue, NTM_PROLOGUE, 4);
	memcpy(prologue + 4, header, NTM_HEADER_LEN);
}

/* ---- calling */

static void handshake_send(struct ntm_transaction *transaction, void *arg)
{
	struct ntm_session_handshake *handshake = arg;
	struct ntm_peer *peer = handshake->peer;
	uint8_t mac1_key[NTM_KEY_LEN];
	struct ntm_flow flow;

	(void)transaction;
	if (!ntm_session_server_flow(peer, handshake->server++, &flow))
		return; /* no network now: tried again */
	ntm_cookie_mac1_key(mac1_key, peer->key);
	ntm_cookie_macs_add(handshake->packet, handshake->len, mac1_key,
			    handshake->has_cookie ? handshake->cookie : NULL);
	ntm_udp_send(&flow, handshake->packet, handshake->len + NTM_HANDSHAKE_MACS);
}

static void handshake_timeout(struct ntm_transaction *transaction, void *arg)
{
	struct ntm_session_handshake *handshake = arg;
	struct ntm_peer *peer = handshake->peer;
	bool had_session = peer->current;

	(void)transaction;
	ntm_session_handshake_free(peer);
	if (had_session)
		return; /* the old one may still do; its requests time out by themselves */
	/* Not those that lost() makes anew: they have a handshake of their own */
	ntm_session_requests_condemn(peer);
	if (peer->sessions->ops->lost)
		peer->sessions->ops->lost(peer->sessions->ctx, peer);
	ntm_session_requests_fail(peer, -ETIMEDOUT);
}

int ntm_session_handshake_start(struct ntm_peer *peer)
{
	struct ntm_sessions *sessions = peer->sessions;
	struct ntm_session_hello hello = { .version = NTM_VERSION_1 };
	uint8_t prologue[4 + NTM_HEADER_LEN], payload[64];
	struct ntm_session_handshake *handshake;
	int n;

	if (peer->handshake)
		return 0;
	if (!peer->servers)
		return -EDESTADDRREQ;
	handshake = calloc(1, sizeof(*handshake));
	if (!handshake)
		return -ENOMEM;
	handshake->peer = peer;
	handshake->id = ntm_session_id_draw(sessions);
	handshake->number = ntm_loop_real_us() & NTM_COUNTER_MASK;
	if (ntm_transaction_init(&handshake->transaction, sessions->base, &peer->rtt, handshake_send,
				 handshake_timeout, handshake)) {
		free(handshake);
		return -ENOMEM;
	}
	ntm_header_set((struct ntm_header *)handshake->packet, NTM_TYPE_SESSION_INIT, handshake->number,
		       handshake->id);
	prologue_make(prologue, handshake->packet);
	ntm_session_reset_token(sessions, handshake->id, hello.reset_token);
	n = ntm_msg_session_hello_build(payload, sizeof(payload), &hello);
	ntm_noise_init(&handshake->noise, true, NULL, prologue, sizeof(prologue), sessions->private_key,
		       sessions->public_key, peer->key);
	n = ntm_noise_msg1_build(&handshake->noise, payload, (size_t)n, handshake->packet + NTM_HEADER_LEN);
	if (n < 0) {
		ntm_transaction_clear(&handshake->transaction);
		ntm_noise_wipe(&handshake->noise);
		free(handshake);
		return n;
	}
	handshake->len = NTM_HEADER_LEN + (size_t)n;
	peer->handshake = handshake;
	LIST_INSERT_HEAD(&sessions->handshake, handshake, next);
	ntm_transaction_start(&handshake->transaction, NTM_REQUEST_TIMEOUT_MS);
	return 0;
}

void ntm_session_handshake_free(struct ntm_peer *peer)
{
	struct ntm_session_handshake *handshake = peer->handshake;

	if (!handshake)
		return;
	peer->handshake = NULL;
	LIST_REMOVE(handshake, next);
	ntm_transaction_clear(&handshake->transaction);
	ntm_crypto_wipe(handshake, sizeof(*handshake));
	free(handshake);
}

/* The handshake of ours that a message 2 or cookie answers. */
static struct ntm_session_handshake *handshake_find(struct ntm_sessions *sessions,
						    const struct ntm_header *header)
{
	uint64_t id = ntm_header_id(header), number = ntm_header_counter(header);
	struct ntm_session_handshake *handshake;

	LIST_FOREACH(handshake, &sessions->handshake, next)
		if (handshake->id == id && handshake->number == number)
			return handshake;
	return NULL;
}

int ntm_session_response_receive(struct ntm_sessions *sessions, const struct ntm_flow *from, uint8_t *packet,
				 size_t len)
{
	uint8_t send_key[NTM_KEY_LEN], receive_key[NTM_KEY_LEN], payload[NTM_CONTROL_MAX];
	struct ntm_session_handshake *handshake;
	struct ntm_session_welcome welcome;
	struct ntm_session *session;
	struct ntm_peer *peer;
	int n;

	if (len < NTM_HANDSHAKE2_MIN)
		return -NTM_DROP_SHORT;
	handshake = handshake_find(sessions, (const struct ntm_header *)packet);
	if (!handshake)
		return -NTM_DROP_UNMATCHED;
	peer = handshake->peer;
	/* A copy sent on from elsewhere must not take our requests there; the true one comes as well. */
	if (!ntm_session_is_server(peer, &from->remote))
		return -NTM_DROP_SOURCE;
	if (!ntm_cookie_mac1_ok(packet, len, sessions->mac1_key))
		return -NTM_DROP_MAC1;
	n = ntm_noise_msg2_parse(&handshake->noise, packet + NTM_HEADER_LEN,
				 len - NTM_HEADER_LEN - NTM_HANDSHAKE_MACS, payload);
	if (n < 0)
		return -NTM_DROP_HANDSHAKE;
	n = ntm_msg_session_welcome_parse(&welcome, payload, (size_t)n);
	if (n < 0)
		return n;
	ntm_noise_split(&handshake->noise, send_key, receive_key, NULL);
	session = ntm_session_new(peer, handshake->id, welcome.session_id, send_key, receive_key,
				  welcome.reset_token);
	ntm_crypto_wipe(send_key, sizeof(send_key));
	ntm_crypto_wipe(receive_key, sizeof(receive_key));
	ntm_transaction_answered(&handshake->transaction);
	ntm_session_handshake_free(peer);
	if (!session)
		return -NTM_DROP_LIMIT;
	peer->heard_ms = ntm_loop_now_ms();
	ntm_session_use(session, from);
	return 0;
}

int ntm_session_cookie_receive(struct ntm_sessions *sessions, const struct ntm_flow *from,
			       const uint8_t *packet, size_t len)
{
	const struct ntm_cookie_packet *cookie = (const struct ntm_cookie_packet *)packet;
	struct ntm_session_handshake *handshake;

	(void)from;
	if (len != sizeof(*cookie))
		return -NTM_DROP_SESSION_UNKNOWN;
	/* The random ID of ours stands in the header: whoever answers has seen our packet. */
	handshake = handshake_find(sessions, &cookie->h);
	if (!handshake)
		return -NTM_DROP_SESSION_UNKNOWN;
	memcpy(handshake->cookie, cookie->cookie, NTM_MAC_LEN);
	if (handshake->has_cookie)
		/* It goes on with the backoff: the receiver is busy, or somebody wants us to be its echo */
		return 0;
	handshake->has_cookie = true;
	handshake->server--; /* to the same server: the cookie is its */
	ntm_transaction_kick(&handshake->transaction);
	return 0;
}

/* ---- being called */

/* Where other programs have most of the CPU, handshakes get their share of what is left, not all of it. */
static void handshake_waited(struct ntm_sessions *sessions, int64_t now_us)
{
	int64_t passed_us = now_us - sessions->waited_at_us, waited_us, more_us;

	if (passed_us < WAITED_LOOK_US)
		return;
	waited_us = ntm_loop_waited_us();
	if (waited_us < 0)
		return;
	more_us = waited_us - sessions->waited_us;
	if (sessions->waited_at_us) /* not for what was before the first look */
		sessions->handshake_us += more_us < passed_us ? more_us : passed_us;
	sessions->waited_us = waited_us;
	sessions->waited_at_us = now_us;
}

int ntm_session_handshake_admit(struct ntm_sessions *sessions, const struct ntm_flow *from, uint64_t path_id,
				const uint8_t *packet, size_t len)
{
	const struct ntm_header *header = (const struct ntm_header *)packet;
	int64_t now_us = ntm_loop_now_us();
	struct ntm_cookie_packet reply;

	if (ntm_limiter_take(&sessions->handshake_limiter, now_us, &from->remote, path_id))
		return 0;
	if (ntm_cookie_mac2_ok(&sessions->cookie, now_us / 1000, &from->remote, path_id, packet, len)) {
		handshake_waited(sessions, now_us);
		if (now_us < sessions->handshake_us ||
		    !ntm_limiter_take(&sessions->proven_limiter, now_us, &from->remote, path_id))
			return -NTM_DROP_RATE;
		return 0;
	}
	if (!ntm_limiter_take(&sessions->cookie_limiter, now_us, &from->remote, path_id))
		return -NTM_DROP_RATE;
	ntm_header_set(&reply.h, NTM_TYPE_COOKIE, ntm_header_counter(header), ntm_header_id(header));
	ntm_cookie_make(&sessions->cookie, now_us / 1000, &from->remote, path_id, reply.cookie);
	ntm_udp_send(from, &reply, sizeof(reply));
	return -NTM_DROP_COOKIE_NEEDED;
}

/*
 * What was admitted took so long: the next one waits until that is its share of the time. A short burst is
 * not held up. The sealed messages of those who have a session get the rest.
 */
static void handshake_took(struct ntm_sessions *sessions, int64_t took_us)
{
	int64_t due_us = ntm_loop_now_us() - HANDSHAKE_BURST_US;

	if (sessions->handshake_us < due_us)
		sessions->handshake_us = due_us;
	sessions->handshake_us += took_us * 100 / NTM_HANDSHAKE_SHARE_PERCENT;
}

static uint16_t *recent_bucket(const struct ntm_sessions *sessions, const uint8_t *ephemeral)
{
	uint64_t value;

	memcpy(&value, ephemeral, sizeof(value));
	return &sessions->recent_bucket[(value * (sessions->hash_key | 1)) >> 32 & (RECENT - 1)];
}

static const struct ntm_session_done_handshake *recent_find(const struct ntm_sessions *sessions,
							    const uint8_t *ephemeral)
{
	const struct ntm_session_done_handshake *done;

	for (unsigned at = *recent_bucket(sessions, ephemeral); at; at = done->older) {
		done = &sessions->recent[at - 1];
		if (done->len && !memcmp(done->ephemeral, ephemeral, NTM_KEY_LEN))
			return done;
	}
	return NULL;
}

/* The place of the oldest, for the answer to the one with this ephemeral key; len is 0 until there is one. */
static struct ntm_session_done_handshake *recent_take(struct ntm_sessions *sessions, const uint8_t *ephemeral)
{
	unsigned number = sessions->recent_next++ % RECENT + 1;
	struct ntm_session_done_handshake *done = &sessions->recent[number - 1];
	uint16_t *at = recent_bucket(sessions, done->ephemeral);

	while (*at && *at != number)
		at = &sessions->recent[*at - 1].older;
	if (*at)
		*at = done->older;
	memcpy(done->ephemeral, ephemeral, NTM_KEY_LEN);
	done->len = 0;
	at = recent_bucket(sessions, ephemeral);
	done->older = *at;
	*at = (uint16_t)number;
	return done;
}

/*
 * Two sessions of a peer may wait for their first packet: the one with the highest number, and the last of
 * the others. The first is out of reach for replays. The second is for a peer whose clock was set back, which
 * is older than what it sent before.
 */
static void pending_add(struct ntm_session *session)
{
	struct ntm_peer *peer = session->peer;
	struct ntm_session *first = peer->pending;

	ntm_session_free(peer->pending_other);
	if (first && session->number < first->number &&
	    session->created_ms - first->created_ms < PENDING_MS) {
		peer->pending_other = session;
		return;
	}
	peer->pending_other = first;
	peer->pending = session;
}

/* A message 1 that was admitted, answered. */
static int init_answer(struct ntm_sessions *sessions, const struct ntm_flow *from, const uint8_t *packet,
		       size_t len)
{
	uint8_t prologue[4 + NTM_HEADER_LEN], payload[NTM_CONTROL_MAX], mac1_key[NTM_KEY_LEN];
	uint8_t send_key[NTM_KEY_LEN], receive_key[NTM_KEY_LEN];
	const struct ntm_header *header = (const struct ntm_header *)packet;
	struct ntm_session_done_handshake *done;
	struct ntm_session_welcome welcome;
	struct ntm_session_hello hello;
	struct ntm_session *session;
	struct ntm_noise noise;
	struct ntm_peer *peer;
	int n;

	prologue_make(prologue, packet);
	ntm_noise_init(&noise, false, NULL, prologue, sizeof(prologue), sessions->private_key,
		       sessions->public_key, NULL);
	n = ntm_noise_msg1_parse(&noise, packet + NTM_HEADER_LEN, len - NTM_HEADER_LEN - NTM_HANDSHAKE_MACS,
				 payload);
	if (n < 0) {
		n = -NTM_DROP_HANDSHAKE;
		goto wipe;
	}
	peer = sessions->ops->accept(sessions->ctx, noise.rs);
	if (!peer) {
		n = -NTM_DROP_STRANGER;
		goto wipe;
	}
	n = ntm_msg_session_hello_parse(&hello, payload, (size_t)n);
	if (!n && hello.version != NTM_VERSION_1)
		n = -NTM_DROP_FIELD_VALUE;
	if (n < 0)
		goto wipe;

	welcome.session_id = ntm_session_id_draw(sessions);
	ntm_session_reset_token(sessions, welcome.session_id, welcome.reset_token);
	n = ntm_msg_session_welcome_build(payload, sizeof(payload), &welcome);
	done = recent_take(sessions, packet + NTM_HEADER_LEN);
	ntm_header_set((struct ntm_header *)done->packet, NTM_TYPE_SESSION_RESPONSE,
		       ntm_header_counter(header), ntm_header_id(header));
	n = ntm_noise_msg2_build(&noise, payload, (size_t)n, done->packet + NTM_HEADER_LEN);
	if (n < 0) {
		n = -NTM_DROP_HANDSHAKE;
		goto wipe;
	}
	ntm_cookie_mac1_key(mac1_key, peer->key);
	ntm_cookie_macs_add(done->packet, NTM_HEADER_LEN + (size_t)n, mac1_key, NULL);
	ntm_noise_split(&noise, send_key, receive_key, NULL);
	session = ntm_session_new(peer, welcome.session_id, ntm_header_id(header), send_key, receive_key,
				  hello.reset_token);
	ntm_crypto_wipe(send_key, sizeof(send_key));
	ntm_crypto_wipe(receive_key, sizeof(receive_key));
	if (!session) {
		n = -NTM_DROP_LIMIT;
		goto wipe;
	}
	done->len = NTM_HEADER_LEN + (size_t)n + NTM_HANDSHAKE_MACS;
	session->remote = from->remote;
	session->number = ntm_header_counter(header);
	pending_add(session);
	ntm_udp_send(from, done->packet, done->len);
	n = 0;
wipe:
	ntm_noise_wipe(&noise);
	return n;
}

int ntm_session_init_receive(struct ntm_sessions *sessions, const struct ntm_flow *from, uint8_t *packet,
			     size_t len)
{
	const struct ntm_session_done_handshake *repeated;
	int64_t start_us;
	int n;

	if (len < NTM_HANDSHAKE1_MIN)
		return -NTM_DROP_SHORT;
	if (!ntm_cookie_mac1_ok(packet, len, sessions->mac1_key))
		return -NTM_DROP_MAC1;
	repeated = recent_find(sessions, packet + NTM_HEADER_LEN);
	if (repeated) {
		/* Its answer was lost, or somebody replays it: the same answer, shorter than the question,
		 * changes nothing. */
		if (!ntm_limiter_take(&sessions->reply_limiter, ntm_loop_now_us(), &from->remote, 0))
			return -NTM_DROP_RATE;
		ntm_udp_send(from, repeated->packet, repeated->len);
		return 0;
	}
	n = ntm_session_handshake_admit(sessions, from, 0, packet, len);
	if (n)
		return n;
	start_us = ntm_loop_cpu_us();
	n = init_answer(sessions, from, packet, len);
	handshake_took(sessions, ntm_loop_cpu_us() - start_us);
	return n;
}
