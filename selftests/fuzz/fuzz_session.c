/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_session.c - ntm_session_receive with whatever comes: from strangers, and from peers that have the keys
 * but behave badly. Input: one byte that says how the rest arrives (enum way), then the rest.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/header.h>

#include "aead.h"
#include "crypto.h"
#include "session_internal.h"

enum way {
	RAW, /* as a packet */
	SEALED, /* the plaintext of a packet of the session */
	ANSWER, /* the same, with the number of an outstanding request */
	HELLO, /* payload of a handshake message 1 of a trusted peer */
	STRANGER_HELLO, /* payload of one of another key */
	WAYS
};

static struct ntm_sessions sessions;
static struct ntm_peer peer;
static struct ntm_udp udp, sink;
static struct ntm_flow flow;
static uint8_t peer_private[NTM_KEY_LEN], stranger_private[NTM_KEY_LEN], key[NTM_KEY_LEN];
static uint64_t counter;
static struct ntm_session_request *request;

static struct ntm_peer *on_accept(void *ctx, const uint8_t public_key[NTM_KEY_LEN])
{
	(void)ctx;
	return ntm_peer_find(&sessions, public_key);
}

static void on_request(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 32];

	(void)ctx;
	if (message->len % 3 == 0)
		ntm_session_refuse(from, NTM_ERROR_UNSUPPORTED, "no %s", ntm_msg_name(message->type));
	else if (message->len % 3 == 1)
		ntm_session_answer(from, (uint16_t)(message->type + 1), body, 0);
}

static void on_notice(void *ctx, struct ntm_peer *from, const struct ntm_message *message)
{
	(void)ctx;
	if (from != &peer || !message)
		abort();
}

static void on_done(void *arg, int err, const struct ntm_message *message,
		    const struct ntm_error_message *error)
{
	(void)arg;
	if (!err != !!message || (err == -EREMOTEIO) != !!error)
		abort();
	request = NULL;
}

static struct ntm_udp *socket_for(void *ctx, const struct ntm_endpoint *remote)
{
	(void)ctx;
	return ntm_endpoint_is4(remote) ? &udp : NULL;
}

static const struct ntm_session_ops ops = {.accept = on_accept, .request = on_request, .notice = on_notice};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct ntm_endpoint loopback = {
		.addr = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
	uint8_t private_key[NTM_KEY_LEN], public_key[NTM_KEY_LEN];

	(void)argc;
	(void)argv;
	ntm_crypto_keypair(private_key, public_key);
	ntm_crypto_keypair(stranger_private, public_key);
	ntm_crypto_keypair(peer_private, peer.key);
	ntm_crypto_random(key, sizeof(key));
	/* The sink takes what is sent, and nobody reads it. */
	if (ntm_udp_open(&udp, NULL, &loopback, true, NULL, NULL) ||
	    ntm_udp_open(&sink, NULL, &loopback, true, NULL, NULL) ||
	    ntm_sessions_init(&sessions, event_base_new(), private_key, &ops, NULL, socket_for))
		abort();
	flow.udp = &udp;
	flow.remote = sink.bound;
	/* The limits would hide what stands behind them. */
	ntm_limiter_init(&sessions.handshake_limiter, 1000000, 1000000);
	if (ntm_peer_add(&sessions, &peer))
		abort();
	return 0;
}

/* The session may have been replaced by a handshake of a run before. */
static void session_make(void)
{
	static const uint8_t token[NTM_MAC_LEN];

	if (peer.current && !memcmp(peer.current->receive_key, key, NTM_KEY_LEN))
		return;
	counter = 0;
	ntm_session_use(ntm_session_new(&peer, ntm_session_id_draw(&sessions), 2, key, key, token), &flow);
}

static void sealed_receive(const uint8_t *body, size_t len)
{
	uint8_t packet[NTM_CONTROL_MAX];

	ntm_header_set((struct ntm_header *)packet, NTM_TYPE_SESSION, counter, peer.current->id);
	ntm_aead_seal_once(key, counter++, packet, NTM_HEADER_LEN, body, len, packet + NTM_HEADER_LEN);
	ntm_session_receive(&sessions, &flow, packet, NTM_HEADER_LEN + len + NTM_TAG_LEN);
}

static void hello_receive(const uint8_t *payload, size_t len, const uint8_t private_key[NTM_KEY_LEN])
{
	uint8_t prologue[4 + NTM_HEADER_LEN], packet[NTM_CONTROL_MAX];
	struct ntm_noise noise;
	int n;

	ntm_header_set((struct ntm_header *)packet, NTM_TYPE_SESSION_INIT, 7, 8);
	memcpy(prologue, NTM_PROLOGUE, 4);
	memcpy(prologue + 4, packet, NTM_HEADER_LEN);
	ntm_noise_init(&noise, true, NULL, prologue, sizeof(prologue), private_key, NULL, sessions.public_key);
	n = ntm_noise_msg1_build(&noise, payload, len, packet + NTM_HEADER_LEN);
	if (n < 0)
		abort();
	ntm_cookie_macs_add(packet, NTM_HEADER_LEN + (size_t)n, sessions.mac1_key, NULL);
	ntm_session_receive(&sessions, &flow, packet, NTM_HEADER_LEN + (size_t)n + NTM_HANDSHAKE_MACS);
	ntm_noise_wipe(&noise);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t copy[NTM_CONTROL_MAX + 2], body[NTM_MSG_HEADER_LEN];
	enum way way;

	if (!len || len > NTM_CONTROL_MAX + 2)
		return 0;
	way = (enum way)(data[0] % WAYS);
	len--;
	memcpy(copy, data + 1, len);
	if (way == RAW) {
		ntm_session_receive(&sessions, &flow, copy, len);
		return 0;
	}
	if (len > NTM_CONTROL_MAX - NTM_HANDSHAKE1_MIN)
		return 0;
	if (way == HELLO || way == STRANGER_HELLO) {
		hello_receive(copy, len, way == HELLO ? peer_private : stranger_private);
		return 0;
	}
	session_make();
	if (way == ANSWER && len >= NTM_MSG_HEADER_LEN) {
		if (!request && ntm_session_request(&peer, NTM_MSG_KEEPALIVE_REQUEST, body, 0, 1000, on_done,
						    NULL, &request))
			abort();
		for (int i = 0; i < 4; i++)
			copy[4 + i] = (uint8_t)(request->number >> (24 - 8 * i));
	}
	sealed_receive(copy, len);
	return 0;
}
