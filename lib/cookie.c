/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cookie.c - mac1, mac2 and cookies of handshakes, and the limiter of answers to strangers.
 * Before it: each binary's receive.c; behind it: noise.c, which costs scalar multiplications.
 *
 * A stranger's packet is looked at with a few hashes and leaves nothing behind but a time in a fixed table.
 */
#include <string.h>

#include "cookie.h"
#include "crypto.h"

#define LIFETIME_MS (NTM_COOKIE_LIFETIME_S * 1000LL)
#define SECOND_US 1000000LL

void ntm_cookie_mac1_key(uint8_t ret_key[NTM_KEY_LEN], const uint8_t responder_public[NTM_KEY_LEN])
{
	ntm_crypto_derive(ret_key, responder_public, "mac1", NULL, 0);
}

/* mac2 over len bytes, mac1 being the last of them. */
static void mac2_make(uint8_t mac[NTM_MAC_LEN], const uint8_t cookie[NTM_MAC_LEN], const uint8_t *packet,
		      size_t len)
{
	uint8_t key[NTM_KEY_LEN] = {0};

	memcpy(key, cookie, NTM_MAC_LEN);
	ntm_crypto_mac(mac, NTM_MAC_LEN, key, packet, len);
	ntm_crypto_wipe(key, sizeof(key));
}

void ntm_cookie_macs_add(uint8_t *packet, size_t len, const uint8_t mac1_key[NTM_KEY_LEN],
			 const uint8_t *cookie)
{
	uint8_t *mac1 = packet + len, *mac2 = mac1 + NTM_MAC_LEN;

	ntm_crypto_mac(mac1, NTM_MAC_LEN, mac1_key, packet, len);
	if (cookie)
		mac2_make(mac2, cookie, packet, len + NTM_MAC_LEN);
	else
		memset(mac2, 0, NTM_MAC_LEN);
}

bool ntm_cookie_mac1_ok(const uint8_t *packet, size_t len, const uint8_t mac1_key[NTM_KEY_LEN])
{
	uint8_t mac[NTM_MAC_LEN];

	if (len < NTM_HANDSHAKE_MACS)
		return false;
	len -= NTM_HANDSHAKE_MACS;
	ntm_crypto_mac(mac, sizeof(mac), mac1_key, packet, len);
	return ntm_crypto_equal(mac, packet + len, sizeof(mac));
}

void ntm_cookie_init(struct ntm_cookie *cookie, int64_t now_ms)
{
	ntm_crypto_random(cookie->secret, sizeof(cookie->secret));
	cookie->changed_ms = now_ms;
}

/* A secret makes cookies for one lifetime and is remembered for the next one. */
static void secret_age(struct ntm_cookie *cookie, int64_t now_ms)
{
	int64_t age = now_ms - cookie->changed_ms;

	if (age < LIFETIME_MS)
		return;
	if (age < 2 * LIFETIME_MS)
		memcpy(cookie->secret[1], cookie->secret[0], sizeof(cookie->secret[1]));
	else
		ntm_crypto_random(cookie->secret[1], sizeof(cookie->secret[1]));
	ntm_crypto_random(cookie->secret[0], sizeof(cookie->secret[0]));
	cookie->changed_ms = now_ms;
}

static void cookie_under(const uint8_t secret[NTM_KEY_LEN], const struct ntm_endpoint *source,
			 uint64_t path_id, uint8_t out[NTM_MAC_LEN])
{
	uint8_t text[16 + 2 + 8];

	memcpy(text, source->addr.b, 16);
	text[16] = (uint8_t)(source->port >> 8);
	text[17] = (uint8_t)source->port;
	for (int i = 7; i >= 0; i--, path_id >>= 8)
		text[18 + i] = (uint8_t)path_id;
	ntm_crypto_mac(out, NTM_MAC_LEN, secret, text, sizeof(text));
}

void ntm_cookie_make(struct ntm_cookie *cookie, int64_t now_ms, const struct ntm_endpoint *source,
		     uint64_t path_id, uint8_t ret_cookie[NTM_MAC_LEN])
{
	secret_age(cookie, now_ms);
	cookie_under(cookie->secret[0], source, path_id, ret_cookie);
}

bool ntm_cookie_mac2_ok(struct ntm_cookie *cookie, int64_t now_ms, const struct ntm_endpoint *source,
			uint64_t path_id, const uint8_t *packet, size_t len)
{
	uint8_t expected[NTM_MAC_LEN], mac[NTM_MAC_LEN];
	bool ok = false;

	if (len < NTM_HANDSHAKE_MACS)
		return false;
	len -= NTM_MAC_LEN;
	secret_age(cookie, now_ms);
	for (int i = 0; i < 2 && !ok; i++) {
		cookie_under(cookie->secret[i], source, path_id, expected);
		mac2_make(mac, expected, packet, len);
		ok = ntm_crypto_equal(mac, packet + len, sizeof(mac));
	}
	ntm_crypto_wipe(expected, sizeof(expected));
	ntm_crypto_wipe(mac, sizeof(mac));
	return ok;
}

/* ---- limiter */

static uint64_t rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 of whole words: under a secret key nobody outside can aim at another source's slot. */
static uint64_t sip_hash(const uint64_t key[2], const uint64_t *word, int words)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
			 key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};

	for (int i = 0; i <= words; i++) {
		uint64_t m = i < words ? word[i] : (uint64_t)words * 8 << 56;

		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* One address of IPv4, or one /64 of IPv6, which is what one stranger easily has. */
static int64_t *source_slot(struct ntm_limiter *limiter, const struct ntm_endpoint *source, uint64_t path_id)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint64_t word[3] = {0, 0, path_id};

	memcpy(&word[0], source->addr.b, 8);
	if (!memcmp(source->addr.b, mapped, sizeof(mapped)))
		memcpy(&word[1], source->addr.b + 8, 8);
	return &limiter->source_us[sip_hash(limiter->hash_key, word, 3) % NTM_SOURCES_MAX];
}

/*
 * GCRA: the time at which the bucket will be full again moves on by one token's worth with each token, and
 * may be one second ahead at most. Returns that time after one more token, or -1 if that is too far.
 */
static int64_t time_after(int64_t full_us, int64_t now_us, uint32_t per_s)
{
	int64_t token_us;

	if (!per_s)
		return -1;
	token_us = per_s < SECOND_US ? SECOND_US / per_s : 1;
	if (full_us < now_us)
		full_us = now_us;
	return full_us + token_us <= now_us + SECOND_US ? full_us + token_us : -1;
}

void ntm_limiter_init(struct ntm_limiter *limiter, uint32_t per_s, uint32_t source_per_s)
{
	memset(limiter, 0, sizeof(*limiter));
	limiter->per_s = per_s;
	limiter->source_per_s = source_per_s;
	ntm_crypto_random(limiter->hash_key, sizeof(limiter->hash_key));
}

bool ntm_limiter_take(struct ntm_limiter *limiter, int64_t now_us, const struct ntm_endpoint *source,
		      uint64_t path_id)
{
	int64_t *slot = source_slot(limiter, source, path_id);
	int64_t source_us = time_after(*slot, now_us, limiter->source_per_s);
	int64_t all_us = time_after(limiter->all_us, now_us, limiter->per_s);

	if (source_us < 0 || all_us < 0)
		return false;
	*slot = source_us;
	limiter->all_us = all_us;
	return true;
}
