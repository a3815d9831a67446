/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_bind.c - Relay Bind packets (lib/bind.h): what has the right form is answered by packets that have it
 * too and verify, and no challenge but our own is accepted. Input: a packet; its MAC is made good, so that
 * what stands behind the check is reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "crypto.h"

static const uint8_t leg_key[NTM_KEY_LEN] = {1}, secret[NTM_KEY_LEN] = {2};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must_be_from_rs(const struct ntm_bind *packet, const struct ntm_bind *to)
{
	const struct ntm_bind *parsed;

	if (ntm_bind_parse(&parsed, (const uint8_t *)packet, sizeof(*packet), NTM_BIND_FROM_RS) ||
	    !ntm_bind_verify(parsed, leg_key) || memcmp(&packet->h, &to->h, sizeof(to->h)) ||
	    packet->side != to->side)
		abort();
}

static void node_says(const struct ntm_bind *bind)
{
	static const uint8_t token[NTM_MAC_LEN] = {3};
	struct ntm_endpoint source = {.addr = {{[15] = 1}}, .port = 6866}, seen;
	struct ntm_bind answer, echo;
	uint32_t now_s = (uint32_t)bind->time[0] << 24 | bind->time[3];

	if (bind->kind == NTM_BIND_ECHO && ntm_bind_challenge_ok(bind, &source, now_s, secret))
		abort(); /* a MAC guessed */
	ntm_bind_challenge_build(&answer, bind, &source, now_s, secret, leg_key);
	must_be_from_rs(&answer, bind);
	ntm_bind_observed(&answer, &seen);
	if (memcmp(&seen, &source, sizeof(seen)))
		abort();
	ntm_bind_echo_build(&echo, &answer, 1, leg_key);
	if (!ntm_bind_verify(&echo, leg_key) ||
	    !ntm_bind_challenge_ok(&echo, &source, now_s + NTM_BIND_CHALLENGE_S, secret) ||
	    ntm_bind_challenge_ok(&echo, &source, now_s + NTM_BIND_CHALLENGE_S + 1, secret))
		abort();
	source.port++;
	if (ntm_bind_challenge_ok(&echo, &source, now_s, secret))
		abort();
	ntm_bind_ack_build(&answer, bind, &source, token, leg_key);
	must_be_from_rs(&answer, bind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct ntm_bind *bind;
	struct ntm_bind good;
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		abort();
	if (len)
		memcpy(exact, data, len);
	if (!ntm_bind_parse(&bind, exact, len, NTM_BIND_FROM_RS))
		ntm_bind_verify(bind, leg_key);
	if (!ntm_bind_parse(&bind, exact, len, NTM_BIND_FROM_NODE)) {
		memcpy(&good, bind, sizeof(good));
		good.h.type = NTM_TYPE_RELAY_BIND; /* what receive.c has looked at before */
		ntm_crypto_mac(good.mac, NTM_MAC_LEN, leg_key, &good, offsetof(struct ntm_bind, mac));
		if (!ntm_bind_verify(&good, leg_key))
			abort();
		node_says(&good);
	}
	free(exact);
	return 0;
}
