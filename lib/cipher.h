/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cipher.h - which cipher the bulk lane of a tunnel has: what is fast here, what the user allows, and what
 * two ends make of it (doc/PROTOCOL.md, section 12). Users: ntmd at start, daemon/tunnel.c.
 */
#ifndef NTM_LIB_CIPHER_H
#define NTM_LIB_CIPHER_H

#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

#define NTM_CIPHER_PACKET 1420 /* inner bytes of the packets measured: a full one */
#define NTM_CIPHERS_TEXT 64 /* room for ntm_cipher_list() */

/* Time to seal a full packet, by cipher: nanoseconds, at least 1. Takes 5 ms, and on slow machines at most
 * 20. */
void ntm_cipher_measure(uint32_t ret_ns[NTM_CIPHERS]);

/*
 * What a node offers and takes: bits as in NTM_FIELD_CIPHERS. wish: "auto" allows all and marks the slower
 * ones; the name of a cipher (ntm_aead_name()) allows only that.
 */
uint32_t ntm_cipher_bits(const char *wish, const uint32_t ns[NTM_CIPHERS]);

/*
 * The cipher of two ends with these bits: AES-256-GCM unless an end finds it slow or does not allow it, then
 * ChaCha20-Poly1305; slow or not where there is no other. -ENOTSUP: none is allowed by both.
 */
int ntm_cipher_choose(uint32_t a, uint32_t b);

/* "aes-256-gcm", or "chacha20-poly1305 and aes-256-gcm", or "none known here"; returns buf. */
const char *ntm_cipher_list(uint32_t bits, char buf[NTM_CIPHERS_TEXT]);

#endif
