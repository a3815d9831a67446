/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * key.c - base64 text of keys, and private key files.
 * Behind it: the configuration of each daemon, and ntmctl key.
 *
 * Text of private keys passes here, so characters are computed: no table, no branch depends on a secret.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "key.h"

/* All bits set if first <= v <= last, else none; for small values. */
static int within(int v, int first, int last)
{
	return ~((v - first) | (last - v)) >> 31;
}

static char base64_char(int v)
{
	return (char)((within(v, 0, 25) & ('A' + v)) | (within(v, 26, 51) & ('a' + v - 26)) |
		      (within(v, 52, 61) & ('0' + v - 52)) | (within(v, 62, 62) & '+') |
		      (within(v, 63, 63) & '/'));
}

/* 0..63, or -1 for a character that is none of base64's. */
static int base64_value(char text)
{
	int c = (unsigned char)text;
	int upper = within(c, 'A', 'Z'), lower = within(c, 'a', 'z'), digit = within(c, '0', '9');
	int plus = within(c, '+', '+'), slash = within(c, '/', '/');

	return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) | (plus & 62) |
	       (slash & 63) | ~(upper | lower | digit | plus | slash);
}

void ntm_key_format(char ret_text[NTM_KEY_TEXT_LEN + 1], const uint8_t key[NTM_KEY_LEN])
{
	/* 32 bytes are ten groups of three, and two bytes that one '=' pads */
	for (int i = 0; i < 11; i++) {
		int bits = key[3 * i] << 16 | key[3 * i + 1] << 8 | (i < 10 ? key[3 * i + 2] : 0);

		for (int j = 0; j < 4; j++)
			ret_text[4 * i + j] = base64_char(bits >> (18 - 6 * j) & 63);
	}
	ret_text[NTM_KEY_TEXT_LEN - 1] = '=';
	ret_text[NTM_KEY_TEXT_LEN] = '\0';
}

int ntm_key_parse(uint8_t ret_key[NTM_KEY_LEN], const char *text)
{
	static const uint8_t zeros[NTM_KEY_LEN];
	uint8_t key[NTM_KEY_LEN + 1]; /* the padding makes a 33rd byte, which must be zero */
	int bad = 0, r = 0;

	if (strnlen(text, NTM_KEY_TEXT_LEN + 1) != NTM_KEY_TEXT_LEN || text[NTM_KEY_TEXT_LEN - 1] != '=')
		return -EINVAL;
	for (int i = 0; i < 11; i++) {
		unsigned int bits = 0;

		for (int j = 0; j < 4; j++) {
			int v = i == 10 && j == 3 ? 0 : base64_value(text[4 * i + j]);

			bad |= v;
			bits = bits << 6 | ((unsigned int)v & 63);
		}
		key[3 * i] = (uint8_t)(bits >> 16);
		key[3 * i + 1] = (uint8_t)(bits >> 8);
		key[3 * i + 2] = (uint8_t)bits;
	}
	/* zeros are what a key is not: nobody could have it, and nothing can be agreed on with it */
	if (bad < 0 || key[NTM_KEY_LEN] || ntm_crypto_equal(key, zeros, NTM_KEY_LEN))
		r = -EINVAL;
	else
		memcpy(ret_key, key, NTM_KEY_LEN);
	ntm_crypto_wipe(key, sizeof(key));
	return r;
}

/* Reads up to size bytes; returns how many, or negative errno. */
static int read_up_to(int fd, char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buf + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (int)done;
}

int ntm_key_load(uint8_t ret_private[NTM_KEY_LEN], const char *path, char *ret_why, size_t why_len)
{
	char text[NTM_KEY_TEXT_LEN + 3] = {0}; /* a newline, one byte too many, a zero */
	struct stat st;
	int fd, n, r;

	/* not blocking: the path may name a pipe that nobody writes to */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		if (r == -ENOENT)
			snprintf(ret_why, why_len, "%s: %s; (umask 077; ntmctl key gen >%s) makes a key",
				 path, strerror(-r), path);
		else
			snprintf(ret_why, why_len, "%s: %s", path, strerror(-r));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		r = -EINVAL;
		snprintf(ret_why, why_len, "%s: this is not a file", path);
		goto out;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		r = -EPERM;
		snprintf(ret_why, why_len, "%s: others than its owner have access to it: chmod 600 %s", path,
			 path);
		goto out;
	}
	n = read_up_to(fd, text, sizeof(text) - 1);
	if (n < 0) {
		r = n;
		snprintf(ret_why, why_len, "%s: %s", path, strerror(-r));
		goto out;
	}
	if (n == NTM_KEY_TEXT_LEN + 1 && text[n - 1] == '\n')
		text[--n] = '\0';
	r = n == NTM_KEY_TEXT_LEN ? ntm_key_parse(ret_private, text) : -EINVAL;
	if (r < 0)
		snprintf(ret_why, why_len, "%s: no key: one line of 44 characters of base64 is wanted", path);
out:
	ntm_crypto_wipe(text, sizeof(text));
	if (fd >= 0)
		close(fd);
	return r;
}
