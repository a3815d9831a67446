/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session_request.c - requests, answers, refusals and notices inside sessions: a request is sent until it is
 * answered, a repeated one gets the same answer and changes nothing. Below: session.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "crypto.h"
#include "loop.h"
#include "session_internal.h"
#include "stats.h"

static void request_free(struct ntm_session_request *request)
{
	LIST_REMOVE(request, next);
	request->peer->requests--;
	if (request->to_candidate) {
		free(request->peer->challenge);
		request->peer->challenge = NULL;
	}
	ntm_transaction_clear(&request->transaction);
	ntm_crypto_wipe(request->body, request->len);
	free(request);
}

/* Whether a body of that length may go to the unproven address, and leave `reserve` bytes. */
static bool allowance_take(struct ntm_session_challenge *challenge, size_t len, size_t reserve)
{
	len += NTM_SESSION_OVERHEAD;
	if (challenge->allowance < len + reserve)
		return false;
	challenge->allowance -= (uint32_t)len;
	return true;
}

static void request_end(struct ntm_session_request *request, int err, const struct ntm_message *message,
			const struct ntm_error_message *error)
{
	ntm_session_done done = request->done;
	void *arg = request->arg;

	request_free(request);
	if (done)
		done(arg, err, message, error);
}

static void request_send(struct ntm_transaction *transaction, void *arg)
{
	struct ntm_session_request *request = arg;
	struct ntm_peer *peer = request->peer;
	struct ntm_flow flow;
	int err;

	if (request->to_candidate) {
		/* A packet that came from there allows for some; when it is used up only another one does. */
		if (allowance_take(peer->challenge, request->len, 0))
			ntm_session_send(peer, &peer->challenge->candidate, request->body, request->len);
		return;
	}
	/* Nothing at all came since the first try: the peer may have lost the session without a word. */
	if (transaction->tries > 3 && peer->heard_ms * 1000 < transaction->first_us && peer->servers)
		ntm_session_handshake_start(peer);
	if (!peer->current)
		return;
	err = ntm_session_send(peer, &peer->flow, request->body, request->len);
	/* No answer where the server was: try its other addresses as well, the other family too. */
	if ((err || transaction->tries > 1) && ntm_session_server_flow(peer, transaction->tries, &flow) &&
	    !ntm_endpoint_equal(&flow.remote, &peer->flow.remote))
		ntm_session_send(peer, &flow, request->body, request->len);
}

static void request_timeout(struct ntm_transaction *transaction, void *arg)
{
	struct ntm_session_request *request = arg;

	(void)transaction;
	request_end(request, -ETIMEDOUT, NULL, NULL);
}

static struct ntm_session_request *request_new(struct ntm_peer *peer, uint16_t type, const uint8_t *body,
					       size_t len, ntm_session_done done, void *arg)
{
	struct ntm_session_request *request = calloc(1, sizeof(*request) + len);

	if (!request)
		return NULL;
	if (ntm_transaction_init(&request->transaction, peer->sessions->base, &peer->rtt, request_send,
				 request_timeout, request)) {
		free(request);
		return NULL;
	}
	request->peer = peer;
	request->type = type;
	request->number = (uint32_t)ntm_crypto_random_u64();
	request->done = done;
	request->arg = arg;
	request->len = len;
	memcpy(request->body, body, len);
	ntm_msg_header_build(request->body, type, request->number);
	LIST_INSERT_HEAD(&peer->request, request, next);
	peer->requests++;
	return request;
}

int ntm_session_request(struct ntm_peer *peer, uint16_t type, uint8_t *body, size_t fields_len,
			int64_t timeout_ms, ntm_session_done done, void *arg,
			struct ntm_session_request **ret_request)
{
	struct ntm_session_request *request;
	int err;

	if (!peer->sessions)
		return -ECANCELED; /* being removed */
	if (peer->requests >= peer->sessions->requests_max)
		return -EAGAIN;
	if (!peer->current && !peer->servers)
		return -EDESTADDRREQ;
	if (NTM_HEADER_LEN + NTM_MSG_HEADER_LEN + fields_len + NTM_TAG_LEN > NTM_CONTROL_MAX)
		return -EMSGSIZE;
	err = peer->servers ? ntm_session_connect(peer) : 0;
	if (err && !peer->current)
		return err;
	request = request_new(peer, type, body, NTM_MSG_HEADER_LEN + fields_len, done, arg);
	if (!request)
		return -ENOMEM;
	/* Without a session it goes nowhere until ntm_session_requests_begin(); its time runs from now. */
	ntm_transaction_start(&request->transaction, timeout_ms);
	if (ret_request)
		*ret_request = request;
	return 0;
}

void ntm_session_cancel(struct ntm_session_request *request)
{
	request_free(request);
}

void ntm_session_requests_begin(struct ntm_peer *peer)
{
	struct ntm_session_request *request;

	/* Those made before could not be sent at all, or only with lost keys. */
	LIST_FOREACH(request, &peer->request, next)
		ntm_transaction_kick(&request->transaction);
}

void ntm_session_requests_condemn(struct ntm_peer *peer)
{
	struct ntm_session_request *request;

	LIST_FOREACH(request, &peer->request, next)
		request->condemned = true;
}

void ntm_session_requests_fail(struct ntm_peer *peer, int err)
{
	struct ntm_session_request *request, *last;

	/* From the beginning every time: done() may make and cancel requests. */
	do {
		last = NULL;
		LIST_FOREACH(request, &peer->request, next)
			if (request->condemned)
				last = request;
		if (last)
			request_end(last, err, NULL, NULL);
	} while (last);
}

int ntm_session_notify(struct ntm_peer *peer, uint16_t type, uint8_t *body, size_t fields_len)
{
	ntm_msg_header_build(body, type, 0);
	return ntm_session_send(peer, &peer->flow, body, NTM_MSG_HEADER_LEN + fields_len);
}

/* ---- answering */

static struct ntm_session_answer *answer_find(const struct ntm_peer *peer, uint32_t transaction)
{
	struct ntm_session_answer *answer;

	SLIST_FOREACH(answer, &peer->answer, next)
		if (answer->transaction == transaction)
			return answer;
	return NULL;
}

static void answer_free(struct ntm_sessions *sessions, struct ntm_session_answer *answer)
{
	SLIST_REMOVE(&answer->peer->answer, answer, ntm_session_answer, next);
	TAILQ_REMOVE(&sessions->answers, answer, by_age);
	free(answer);
}

/* Forgets all answers of the peer but the newest, and requests that were never answered. Returns how many are
 * being served. */
static unsigned answers_age(struct ntm_peer *peer)
{
	int64_t too_old_ms = ntm_loop_now_ms() - NTM_REQUEST_TIMEOUT_MS;
	struct ntm_session_answer *answer, *next;
	unsigned served = 0, given = 0;

	for (answer = SLIST_FIRST(&peer->answer); answer; answer = next) {
		next = SLIST_NEXT(answer, next);
		if (answer->len ? ++given > NTM_ANSWERS_KEPT : answer->came_ms < too_old_ms)
			answer_free(peer->sessions, answer);
		else if (!answer->len)
			served++;
	}
	return served;
}

/* Of all peers: nobody repeats a request for so long. Two are forgotten for each that comes, so that none
 * pile up. */
static void answers_expire(struct ntm_sessions *sessions, int64_t now_ms)
{
	struct ntm_session_answer *oldest;

	for (int i = 0; i < 2; i++) {
		oldest = TAILQ_FIRST(&sessions->answers);
		if (!oldest || oldest->came_ms >= now_ms - NTM_REQUEST_TIMEOUT_MS)
			return;
		answer_free(sessions, oldest);
	}
}

/* Remembers an answer, or (len 0) that the request is being served. Without memory it is served again:
 * requests are idempotent. */
static void answer_keep(struct ntm_peer *peer, uint32_t transaction, const uint8_t *body, size_t len)
{
	struct ntm_session_answer *answer, *served = answer_find(peer, transaction);
	struct ntm_sessions *sessions = peer->sessions;

	if (!sessions)
		return; /* being removed */
	if (served)
		answer_free(sessions, served);
	answer = malloc(sizeof(*answer) + len);
	if (!answer)
		return;
	answer->peer = peer;
	answer->transaction = transaction;
	answer->came_ms = ntm_loop_now_ms();
	answer->len = (uint16_t)len;
	answer->withheld = false;
	answers_expire(sessions, answer->came_ms);
	TAILQ_INSERT_TAIL(&sessions->answers, answer, by_age);
	if (len)
		memcpy(answer->body, body, len);
	SLIST_INSERT_HEAD(&peer->answer, answer, next);
}

void ntm_session_answers_clear(struct ntm_peer *peer)
{
	struct ntm_session_answer *answer;

	while ((answer = SLIST_FIRST(&peer->answer)))
		answer_free(peer->sessions, answer);
}

/* Bytes of the challenge itself, while it has never been sent. */
static size_t challenge_due(const struct ntm_session_challenge *challenge)
{
	return challenge->request->transaction.tries ? 0 : challenge->request->len + NTM_SESSION_OVERHEAD;
}

/* An answer goes to where the question came from: bounded where that is not proven, since the source may be a
 * victim's. */
static void answer_send(const struct ntm_session_from *from, const uint8_t *body, size_t len)
{
	struct ntm_peer *peer = from->peer;
	struct ntm_session_challenge *challenge = peer->challenge;
	struct ntm_session_answer *answer;
	bool may = true;

	if (!peer->sessions)
		return; /* being removed */
	if (!ntm_endpoint_equal(&peer->flow.remote, &from->flow.remote) &&
	    !ntm_session_is_server(peer, &from->flow.remote)) {
		if (challenge && ntm_endpoint_equal(&challenge->candidate.remote, &from->flow.remote))
			may = allowance_take(challenge, len, challenge_due(challenge));
		else /* an older packet, overtaken by one from elsewhere */
			may = len + NTM_SESSION_OVERHEAD <= NTM_UNPROVEN_FACTOR * (size_t)from->len;
	}
	if (may) {
		ntm_session_send(peer, &from->flow, body, len);
		return;
	}
	answer = answer_find(peer, from->transaction);
	if (answer)
		answer->withheld = true;
}

void ntm_session_answers_release(struct ntm_peer *peer)
{
	struct ntm_session_answer *answer;

	SLIST_FOREACH(answer, &peer->answer, next) {
		if (!answer->withheld)
			continue;
		answer->withheld = false;
		ntm_session_send(peer, &peer->flow, answer->body, answer->len);
	}
}

void ntm_session_answer(const struct ntm_session_from *from, uint16_t type, uint8_t *body, size_t fields_len)
{
	ntm_msg_header_build(body, type, from->transaction);
	answer_keep(from->peer, from->transaction, body, NTM_MSG_HEADER_LEN + fields_len);
	answer_send(from, body, NTM_MSG_HEADER_LEN + fields_len);
}

void ntm_session_refuse(const struct ntm_session_from *from, enum ntm_error code, const char *format, ...)
{
	struct ntm_error_message error = { .code = (uint16_t)code };
	uint8_t body[NTM_MSG_HEADER_LEN + 256];
	va_list args;
	int n;

	va_start(args, format);
	vsnprintf(error.text, sizeof(error.text), format, args);
	va_end(args);
	n = ntm_msg_error_message_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &error);
	if (n < 0) { /* a text that has no wire form, cut in the middle of a character perhaps */
		error.text[0] = 0;
		n = ntm_msg_error_message_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
						&error);
	}
	ntm_session_answer(from, NTM_MSG_ERROR, body, (size_t)n);
}

/* ---- address challenge */

void ntm_session_challenge_cancel(struct ntm_peer *peer)
{
	struct ntm_session_request *request;

	LIST_FOREACH(request, &peer->request, next) {
		if (request->to_candidate) {
			request_free(request);
			return; /* there is one at most */
		}
	}
}

/* An open challenge of this address, made where there is none; NULL: no memory. */
static struct ntm_session_challenge *challenge_make(struct ntm_peer *peer, const struct ntm_flow *candidate)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 16];
	struct ntm_challenge message = { .nonce = ntm_crypto_random_u64() | 1 };
	struct ntm_session_challenge *challenge = peer->challenge;
	int n;

	if (challenge && ntm_endpoint_equal(&challenge->candidate.remote, &candidate->remote))
		return challenge;
	ntm_session_challenge_cancel(peer); /* of an address it has left again */
	challenge = calloc(1, sizeof(*challenge));
	if (!challenge)
		return NULL;
	challenge->candidate = *candidate;
	challenge->nonce = message.nonce;
	n = ntm_msg_challenge_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &message);
	/* No done(): response_handle() settles it, which knows where the answer came from. */
	challenge->request = request_new(peer, NTM_MSG_ADDRESS_CHALLENGE, body,
					 NTM_MSG_HEADER_LEN + (size_t)n, NULL, NULL);
	if (!challenge->request) {
		free(challenge);
		return NULL;
	}
	challenge->request->to_candidate = true;
	peer->challenge = challenge;
	return challenge;
}

void ntm_session_challenge_heard(struct ntm_peer *peer, const struct ntm_flow *candidate, size_t len)
{
	struct ntm_session_challenge *challenge = challenge_make(peer, candidate);

	/* No more than what a few packets allow for: nobody is owed a flood. */
	if (challenge && challenge->allowance < NTM_UNPROVEN_FACTOR * NTM_CONTROL_MAX)
		challenge->allowance += (uint32_t)(NTM_UNPROVEN_FACTOR * len);
}

void ntm_session_challenge_send(struct ntm_peer *peer)
{
	struct ntm_session_challenge *challenge = peer->challenge;

	if (!challenge)
		return;
	if (!challenge->request->transaction.tries)
		ntm_transaction_start(&challenge->request->transaction, NTM_REQUEST_TIMEOUT_MS);
}

static void challenge_answer(const struct ntm_session_from *from, const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 16];
	struct ntm_challenge challenge;
	int n = ntm_msg_challenge_parse(&challenge, message->fields, message->len);

	if (n < 0) {
		ntm_drop_count(n);
		return;
	}
	/* Not by ntm_session_answer: it must leave from where we are now, whenever it is repeated. */
	n = ntm_msg_challenge_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &challenge);
	ntm_msg_header_build(body, NTM_MSG_ADDRESS_RESPONSE, from->transaction);
	ntm_session_send(from->peer, &from->flow, body, NTM_MSG_HEADER_LEN + (size_t)n);
}

/* ---- what comes */

static void response_handle(struct ntm_peer *peer, const struct ntm_flow *from,
			    const struct ntm_message *message)
{
	struct ntm_session_request *request;
	struct ntm_error_message error;
	struct ntm_challenge challenge;
	int err;

	LIST_FOREACH(request, &peer->request, next)
		if (request->number == message->transaction)
			break;
	if (!request || (message->type != NTM_MSG_ERROR && message->type != request->type + 1)) {
		ntm_drop_count(NTM_DROP_UNMATCHED);
		return;
	}
	if (message->type == NTM_MSG_ERROR) {
		err = ntm_msg_error_message_parse(&error, message->fields, message->len);
		if (err) {
			ntm_drop_count(err);
			return;
		}
		if (!error.text[0])
			snprintf(error.text, sizeof(error.text), "%s", ntm_error_text(error.code));
		ntm_transaction_answered(&request->transaction);
		request_end(request, -EREMOTEIO, NULL, &error);
		return;
	}
	if (request->to_candidate) {
		err = ntm_msg_challenge_parse(&challenge, message->fields, message->len);
		if (err || challenge.nonce != peer->challenge->nonce ||
		    !ntm_endpoint_equal(&from->remote, &peer->challenge->candidate.remote)) {
			ntm_drop_count(err ? err : NTM_DROP_UNMATCHED);
			return;
		}
		ntm_transaction_answered(&request->transaction);
		ntm_session_moved(peer, from); /* ends the challenge */
		return;
	}
	ntm_transaction_answered(&request->transaction);
	request_end(request, 0, message, NULL);
}

static void request_handle(struct ntm_peer *peer, const struct ntm_flow *from,
			   const struct ntm_message *message)
{
	struct ntm_sessions *sessions = peer->sessions;
	struct ntm_session_from request = {
		.peer = peer,
		.flow = *from,
		.transaction = message->transaction,
		.len = (uint16_t)(NTM_SESSION_OVERHEAD + NTM_MSG_HEADER_LEN + message->len),
		.proven = ntm_endpoint_equal(&peer->flow.remote, &from->remote),
	};
	struct ntm_session_answer *answer;

	if (message->type == NTM_MSG_ADDRESS_CHALLENGE) {
		challenge_answer(&request, message);
		return;
	}
	answer = answer_find(peer, message->transaction);
	if (answer) {
		if (answer->len)
			answer_send(&request, answer->body, answer->len);
		return;
	}
	if (answers_age(peer) >= (peer->servers ? sessions->requests_max : NTM_REQUESTS_MAX)) {
		ntm_drop_count(NTM_DROP_LIMIT);
		return;
	}
	answer_keep(peer, message->transaction, NULL, 0);
	sessions->ops->request(sessions->ctx, &request, message);
}

void ntm_session_message(struct ntm_peer *peer, const struct ntm_flow *from, const uint8_t *body, size_t len)
{
	struct ntm_sessions *sessions = peer->sessions;
	struct ntm_message message;
	int err = ntm_msg_header_parse(&message, body, len);

	if (err) {
		ntm_drop_count(err);
		return;
	}
	if (!ntm_msg_name(message.type)) {
		ntm_drop_count(NTM_DROP_MESSAGE_UNKNOWN);
		return;
	}
	if (message.type >= NTM_MSG_BULK_ACK) {
		if (sessions->ops->notice)
			sessions->ops->notice(sessions->ctx, peer, &message);
	} else if (message.type & 1) {
		request_handle(peer, from, &message);
	} else {
		response_handle(peer, from, &message);
	}
}
