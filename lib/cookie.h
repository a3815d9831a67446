/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cookie.h - the MACs at the end of handshake packets and the cookie that an overloaded receiver asks for
 * (doc/PROTOCOL.md, "Floods"); and the limiter that bounds every answer to the unauthenticated.
 *
 *	mac1 = keyed BLAKE2s over the packet before it; key known to whoever may talk to us
 *	mac2 = keyed BLAKE2s over the packet and mac1; key: the cookie and 16 zero bytes.
 *	       All zero where no cookie was asked for
 *	cookie = keyed BLAKE2s(secret, source address 16, port 2, Path ID 8: 0 if from no relay), big endian;
 *		 secret changes every 2 minutes
 *
 * Each has 16 bytes, the hash's own length.
 */
#ifndef NTM_LIB_COOKIE_H
#define NTM_LIB_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/header.h>
#include <ntm/limits.h>
#include <ntm/types.h>

/* The mac1 key of handshakes to the owner of this public key: HKDF(public key, "mac1"). */
void ntm_cookie_mac1_key(uint8_t ret_key[NTM_KEY_LEN], const uint8_t responder_public[NTM_KEY_LEN]);

/*
 * Writes mac1 and mac2 behind len bytes of packet (there must be room for 32 more). cookie: NULL (mac2 is
 * zero), or the 16 bytes the receiver sent.
 */
void ntm_cookie_macs_add(uint8_t *packet, size_t len, const uint8_t mac1_key[NTM_KEY_LEN],
			 const uint8_t *cookie);

/* Whether the packet of len bytes (MACs included) has a valid mac1. Short packets have not. */
bool ntm_cookie_mac1_ok(const uint8_t *packet, size_t len, const uint8_t mac1_key[NTM_KEY_LEN]);

/* The receiver's side: current and previous secret. Times are of a clock that never goes back. */
struct ntm_cookie {
	uint8_t secret[2][NTM_KEY_LEN];
	int64_t changed_ms;
};

void ntm_cookie_init(struct ntm_cookie *cookie, int64_t now_ms);

/* The cookie for this source; path_id 0 where the source is no relay. */
void ntm_cookie_make(struct ntm_cookie *cookie, int64_t now_ms, const struct ntm_endpoint *source,
		     uint64_t path_id, uint8_t ret_cookie[NTM_MAC_LEN]);

/* Whether mac2 of the packet was made with the current or the previous cookie of this source. */
bool ntm_cookie_mac2_ok(struct ntm_cookie *cookie, int64_t now_ms, const struct ntm_endpoint *source,
			uint64_t path_id, const uint8_t *packet, size_t len);

/*
 * A limiter: token buckets by source (an IPv4 address, or an IPv6 /64, and path_id where the source is a
 * relay) in a fixed hash table, and one over all. Memory is fixed; strangers who share a slot share its
 * tokens.
 */
struct ntm_limiter {
	uint32_t per_s, source_per_s; /* tokens a second, 0: none ever; the bucket holds one second's */
	int64_t all_us; /* virtual time of the bucket over all (GCRA) */
	uint64_t hash_key[2];
	int64_t source_us[NTM_SOURCES_MAX];
};

/* Full buckets. Rates above 1000 a second are rounded to whole microseconds a token. */
void ntm_limiter_init(struct ntm_limiter *limiter, uint32_t per_s, uint32_t source_per_s);

/* Takes a token from the source's bucket and the one over all; false: one was empty, so none was taken. */
bool ntm_limiter_take(struct ntm_limiter *limiter, int64_t now_us, const struct ntm_endpoint *source,
		      uint64_t path_id);

#endif
