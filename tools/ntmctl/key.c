/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * key.c - ntmctl key: private and public keys as base64 text, without a daemon.
 * Next: lib/key.c and lib/crypto.c; the daemons read the file by ntm_key_load.
 *
 * Private keys pass by in local buffers that are wiped: not through stdio or JSON objects, which keep copies.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "key.h"
#include "ntmctl.h"

static bool write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* Base64 has no character that JSON must escape. */
static int print_key(const struct ntmctl *ctl, const char *name, const char *key)
{
	char text[128];
	int len, r = NTMCTL_DONE;

	if (ctl->mode == NTM_PRINT_TEXT)
		len = snprintf(text, sizeof(text), "%s\n", key);
	else if (ctl->mode == NTM_PRINT_JSON)
		len = snprintf(text, sizeof(text), "{\"%s\":\"%s\"}\n", name, key);
	else
		len = snprintf(text, sizeof(text), "{\n  \"%s\": \"%s\"\n}\n", name, key);
	if (!write_all(STDOUT_FILENO, text, (size_t)len))
		r = ntmctl_fail("cannot write the key: %s", strerror(errno));
	ntm_crypto_wipe(text, sizeof(text));
	return r;
}

int ntmctl_key_gen(const struct ntmctl *ctl)
{
	uint8_t key[NTM_KEY_LEN];
	char text[NTM_KEY_TEXT_LEN + 1];
	struct stat st;
	int r;

	if (!fstat(STDOUT_FILENO, &st) && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)))
		fputs("ntmctl: warning: others have access to the file that this private key goes into: "
		      "chmod 600 it (the daemons refuse it otherwise)\n", stderr);
	ntm_crypto_random(key, sizeof(key));
	/* RFC 7748, section 5: as X25519 would clamp it, so that all tools show the same key */
	key[0] &= 248;
	key[31] = (uint8_t)((key[31] & 127) | 64);
	ntm_key_format(text, key);
	r = print_key(ctl, "private_key", text);
	ntm_crypto_wipe(key, sizeof(key));
	ntm_crypto_wipe(text, sizeof(text));
	return r;
}

/* Reads standard input to its end, at most size - 1 bytes; returns how many, or -1. */
static ssize_t read_input(char *text, size_t size)
{
	size_t done = 0;

	while (done < size - 1) {
		ssize_t n = read(STDIN_FILENO, text + done, size - 1 - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
		if (text[done - 1] == '\n' && isatty(STDIN_FILENO))
			break;
	}
	return (ssize_t)done;
}

int ntmctl_key_pub(const struct ntmctl *ctl)
{
	uint8_t private_key[NTM_KEY_LEN], public_key[NTM_KEY_LEN];
	char text[NTM_KEY_TEXT_LEN + 8] = "";
	char public_text[NTM_KEY_TEXT_LEN + 1];
	ssize_t len;
	int r;

	if (isatty(STDIN_FILENO))
		fputs("ntmctl: waiting for a private key on standard input\n", stderr);
	len = read_input(text, sizeof(text));
	if (len < 0) {
		r = ntmctl_fail("cannot read standard input: %s", strerror(errno));
		goto out;
	}
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	text[len] = '\0';
	if (!len) {
		r = ntmctl_fail("no private key on standard input: ntmctl key pub <FILE");
		goto out;
	}
	if (strlen(text) != (size_t)len || ntm_key_parse(private_key, text)) {
		r = ntmctl_fail("no private key on standard input: one line of 44 characters of base64 is "
				"wanted, as `ntmctl key gen` prints it");
		goto out;
	}
	ntm_crypto_public(public_key, private_key);
	ntm_crypto_wipe(private_key, sizeof(private_key));
	ntm_key_format(public_text, public_key);
	r = print_key(ctl, "public_key", public_text);
out:
	ntm_crypto_wipe(text, sizeof(text));
	return r;
}
