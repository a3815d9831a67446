/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * key.h - keys as people handle them: base64 text and private key files.
 */
#ifndef NTM_LIB_KEY_H
#define NTM_LIB_KEY_H

#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

#define NTM_KEY_TEXT_LEN 44 /* base64 of 32 bytes, without the closing zero */

void ntm_key_format(char ret_text[NTM_KEY_TEXT_LEN + 1], const uint8_t key[NTM_KEY_LEN]);

/* Exactly 44 characters of base64 with canonical padding; 0 or -EINVAL. */
int ntm_key_parse(uint8_t ret_key[NTM_KEY_LEN], const char *text);

/*
 * Reads a private key file (one line of base64, a newline at most). 0, or negative errno with the sentence
 * for the user in ret_why (why_len bytes): -EPERM if others than the owner have any right to it (what to do:
 * chmod 600), -EINVAL for a wrong form, else what opening it said.
 */
int ntm_key_load(uint8_t ret_private[NTM_KEY_LEN], const char *path, char *ret_why, size_t why_len);

#endif
