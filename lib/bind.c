/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bind.c - the packets of a Relay Bind (bind.h): node's daemon/relay_bind.c <-> rs/relay.c. Pure.
 */
#include <string.h>

#include <ntm/drop.h>

#include "bind.h"
#include "crypto.h"

static void u64_put(uint8_t out[8], uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		out[i] = (uint8_t)v;
}

static void u32_put(uint8_t out[4], uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		out[i] = (uint8_t)v;
}

static uint32_t u32_get(const uint8_t in[4])
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void ntm_bind_leg_key(uint8_t out[NTM_KEY_LEN], const uint8_t ck[NTM_KEY_LEN], uint64_t path_id, uint8_t side)
{
	uint8_t context[9];

	u64_put(context, path_id);
	context[8] = side;
	ntm_crypto_derive(out, ck, "leg", context, sizeof(context));
}

int ntm_bind_parse(const struct ntm_bind **ret_bind, const uint8_t *packet, size_t len,
		   enum ntm_bind_sender sender)
{
	const struct ntm_bind *bind = (const struct ntm_bind *)packet; /* bytes only: any alignment */
	bool from_rs;

	if (len < sizeof(*bind))
		return -NTM_DROP_SHORT;
	if (len > sizeof(*bind))
		return -NTM_DROP_LONG;
	if (bind->kind > NTM_BIND_KEEPALIVE || bind->side > NTM_SIDE_OTHER)
		return -NTM_DROP_FIELD_VALUE;
	from_rs = bind->kind == NTM_BIND_CHALLENGE || bind->kind == NTM_BIND_ACK;
	if (from_rs != (sender == NTM_BIND_FROM_RS))
		return -NTM_DROP_FIELD_VALUE;
	*ret_bind = bind;
	return 0;
}

bool ntm_bind_verify(const struct ntm_bind *bind, const uint8_t leg_key[NTM_KEY_LEN])
{
	uint8_t mac[NTM_MAC_LEN];

	ntm_crypto_mac(mac, sizeof(mac), leg_key, bind, offsetof(struct ntm_bind, mac));
	return ntm_crypto_equal(mac, bind->mac, sizeof(mac));
}

void ntm_bind_observed(const struct ntm_bind *bind, struct ntm_endpoint *ret_observed)
{
	memcpy(ret_observed->addr.b, bind->addr, sizeof(bind->addr));
	ret_observed->port = (__u16)(bind->port[0] << 8 | bind->port[1]);
}

/* Everything but the fields of the kind is zero. */
static void bind_begin(struct ntm_bind *out, enum ntm_bind_kind kind, uint64_t path_id, uint8_t side,
		       uint64_t counter)
{
	memset(out, 0, sizeof(*out));
	ntm_header_set(&out->h, NTM_TYPE_RELAY_BIND, counter, path_id);
	out->kind = (__u8)kind;
	out->side = side;
}

static void bind_end(struct ntm_bind *out, const uint8_t leg_key[NTM_KEY_LEN])
{
	ntm_crypto_mac(out->mac, sizeof(out->mac), leg_key, out, offsetof(struct ntm_bind, mac));
}

void ntm_bind_request_build(struct ntm_bind *out, enum ntm_bind_kind kind, uint64_t path_id, uint8_t side,
			    uint64_t counter, const uint8_t leg_key[NTM_KEY_LEN])
{
	bind_begin(out, kind, path_id, side, counter);
	bind_end(out, leg_key);
}

void ntm_bind_echo_build(struct ntm_bind *out, const struct ntm_bind *challenge, uint64_t counter,
			 const uint8_t leg_key[NTM_KEY_LEN])
{
	struct ntm_bind echo;

	bind_begin(&echo, NTM_BIND_ECHO, ntm_header_id(&challenge->h), challenge->side, counter);
	memcpy(echo.time, challenge->time, sizeof(echo.time));
	memcpy(echo.challenge, challenge->challenge, sizeof(echo.challenge));
	bind_end(&echo, leg_key);
	*out = echo;
}

/* An answer begins with what all answers have; `to` may be the memory of out. */
static void answer_begin(struct ntm_bind *out, enum ntm_bind_kind kind, const struct ntm_bind *to,
			 const struct ntm_endpoint *source)
{
	bind_begin(out, kind, ntm_header_id(&to->h), to->side, ntm_header_counter(&to->h));
	memcpy(out->addr, source->addr.b, sizeof(out->addr));
	out->port[0] = (__u8)(source->port >> 8);
	out->port[1] = (__u8)source->port;
}

static void challenge_make(uint8_t out[NTM_MAC_LEN], const uint8_t secret[NTM_KEY_LEN],
			   const struct ntm_endpoint *source, uint64_t path_id, uint8_t side, uint32_t time_s)
{
	uint8_t msg[16 + 2 + 8 + 1 + 4];

	memcpy(msg, source->addr.b, 16);
	msg[16] = (uint8_t)(source->port >> 8);
	msg[17] = (uint8_t)source->port;
	u64_put(msg + 18, path_id);
	msg[26] = side;
	u32_put(msg + 27, time_s);
	ntm_crypto_mac(out, NTM_MAC_LEN, secret, msg, sizeof(msg));
}

void ntm_bind_challenge_build(struct ntm_bind *out, const struct ntm_bind *to,
			      const struct ntm_endpoint *source, uint32_t now_s,
			      const uint8_t secret[NTM_KEY_LEN], const uint8_t leg_key[NTM_KEY_LEN])
{
	struct ntm_bind answer;

	answer_begin(&answer, NTM_BIND_CHALLENGE, to, source);
	u32_put(answer.time, now_s);
	challenge_make(answer.challenge, secret, source, ntm_header_id(&to->h), to->side, now_s);
	bind_end(&answer, leg_key);
	*out = answer;
}

bool ntm_bind_challenge_ok(const struct ntm_bind *echo, const struct ntm_endpoint *source, uint32_t now_s,
			   const uint8_t secret[NTM_KEY_LEN])
{
	uint8_t challenge[NTM_MAC_LEN];
	uint32_t time_s = u32_get(echo->time);

	challenge_make(challenge, secret, source, ntm_header_id(&echo->h), echo->side, time_s);
	/* Modulo 2^32: a time ahead of now is as far away as a very old one. */
	return ntm_crypto_equal(challenge, echo->challenge, sizeof(challenge)) &&
	       (uint32_t)(now_s - time_s) <= NTM_BIND_CHALLENGE_S;
}

void ntm_bind_ack_build(struct ntm_bind *out, const struct ntm_bind *to, const struct ntm_endpoint *source,
			const uint8_t reset_token[NTM_MAC_LEN], const uint8_t leg_key[NTM_KEY_LEN])
{
	struct ntm_bind answer;

	answer_begin(&answer, NTM_BIND_ACK, to, source);
	memcpy(answer.challenge, reset_token, NTM_MAC_LEN);
	bind_end(&answer, leg_key);
	*out = answer;
}
