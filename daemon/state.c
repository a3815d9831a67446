/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * state.c - the little that a node remembers over restarts, in state-dir: its UDP port (so that peers and NATs find it
 * where it was) and the first-seen keys of its correspondent nodes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"
#include "ntmd.h"

#define PEERS_MAX 100000 /* lines of the peers file */

static int file_path(const struct ntmd *ntmd, const char *name, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/%s", ntmd->config.state_dir, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int ntmd_state_open(struct ntmd *ntmd, char *ret_why, size_t why_len)
{
	const char *dir = ntmd->config.state_dir;

	if (mkdir(dir, 0700) && errno != EEXIST) {
		snprintf(ret_why, why_len, "cannot make the state folder %s: %s; make it, or set [node] state-dir", dir,
			 strerror(errno));
		return -errno;
	}
	if (access(dir, R_OK | W_OK | X_OK)) {
		snprintf(ret_why, why_len, "cannot use the state folder %s: %s", dir, strerror(errno));
		return -errno;
	}
	/* Two nodes of one name would take turns at the DC, and write over each other's files. */
	ntmd->state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ntmd->state_fd >= 0 && flock(ntmd->state_fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
		snprintf(ret_why, why_len, "another ntmd uses the state folder %s: one node runs once", dir);
		return -EBUSY;
	}
	return 0;
}

/* Writes beside the file and renames, so that a crash leaves the old or the new one. */
static int file_replace(const char *path, const char *content, size_t len)
{
	char tmp[4096];
	int fd, err = 0;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp))
		return -ENAMETOOLONG;
	/* Others may write into the folder: what lies there under that name is not followed. */
	if (unlink(tmp) && errno != ENOENT)
		return -errno;
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, content, len) != (ssize_t)len || fsync(fd))
		err = errno ? -errno : -EIO;
	close(fd);
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		unlink(tmp);
	return err;
}

/* A file that we wrote: nobody else's is believed. NULL: there is none. */
static FILE *file_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	FILE *file;

	if (fd < 0)
		return NULL;
	file = fstat(fd, &st) || st.st_uid != geteuid() || !S_ISREG(st.st_mode) ? NULL : fdopen(fd, "r");
	if (!file) {
		ntm_warn("%s is not read: it is not this user's", path);
		close(fd);
	}
	return file;
}

uint16_t ntmd_state_port_load(struct ntmd *ntmd)
{
	char path[4096];
	unsigned port = 0;
	FILE *file;

	if (file_path(ntmd, "port", path, sizeof(path)))
		return 0;
	file = file_read(path);
	if (!file)
		return 0;
	if (fscanf(file, "%u", &port) != 1 || port > 65535)
		port = 0;
	fclose(file);
	return (uint16_t)port;
}

void ntmd_state_port_save(struct ntmd *ntmd, uint16_t port)
{
	char path[4096], text[16];
	int n = snprintf(text, sizeof(text), "%u\n", port), err;

	err = file_path(ntmd, "port", path, sizeof(path));
	if (!err)
		err = file_replace(path, text, (size_t)n);
	if (err)
		ntm_warn("cannot keep the UDP port in %s: %s", ntmd->config.state_dir, strerror(-err));
}

/* The peers file is "FQDN KEY" lines. Rewrites it with this key for the name. */
static int peers_put(const char *path, const char *fqdn, const char *key_text)
{
	char *out = NULL, *line = NULL;
	size_t out_len = 0, line_size = 0, name_len = strlen(fqdn);
	FILE *memory = open_memstream(&out, &out_len);
	FILE *file = file_read(path);
	unsigned lines = 0;
	int err;

	if (!memory) {
		if (file)
			fclose(file);
		return -ENOMEM;
	}
	while (file && lines++ < PEERS_MAX && getline(&line, &line_size, file) > 0)
		if (strncmp(line, fqdn, name_len) || line[name_len] != ' ')
			fputs(line, memory);
	fprintf(memory, "%s %s\n", fqdn, key_text);
	if (file)
		fclose(file);
	free(line);
	err = fclose(memory) ? -ENOMEM : file_replace(path, out, out_len);
	free(out);
	return err;
}

/* 1 and ret_key if the name is there, 0 if not. */
static int peers_get(const char *path, const char *fqdn, uint8_t ret_key[NTM_KEY_LEN])
{
	FILE *file = file_read(path);
	size_t size = 0, name_len = strlen(fqdn);
	char *line = NULL;
	int found = 0;

	if (!file)
		return 0;
	while (!found && getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = 0;
		found = !strncmp(line, fqdn, name_len) && line[name_len] == ' ' &&
			!ntm_key_parse(ret_key, line + name_len + 1);
	}
	free(line);
	fclose(file);
	return found;
}

int ntmd_state_key_check(struct ntmd *ntmd, const char *fqdn, const uint8_t key[NTM_KEY_LEN])
{
	char path[4096], now[NTM_KEY_TEXT_LEN + 1], before[NTM_KEY_TEXT_LEN + 1];
	uint8_t seen[NTM_KEY_LEN];
	int found, err;

	for (unsigned i = 0; i < ntmd->config.pins; i++)
		if (!strcmp(ntmd->config.pin[i].fqdn, fqdn))
			return ntm_crypto_equal(ntmd->config.pin[i].public_key, key, NTM_KEY_LEN) ? 0 : -EKEYREJECTED;
	if (file_path(ntmd, "peers", path, sizeof(path)))
		return 0;
	found = peers_get(path, fqdn, seen);
	if (found && ntm_crypto_equal(seen, key, NTM_KEY_LEN))
		return 0;
	ntm_key_format(now, key);
	err = peers_put(path, fqdn, now);
	if (err)
		ntm_warn("cannot keep the key of %s in %s: %s", fqdn, path, strerror(-err));
	if (!found)
		return 1;
	ntm_key_format(before, seen);
	ntm_warn("THE KEY OF %s HAS CHANGED: it was %s, now it is %s. Ask its owner whether that is right; to take only one "
		 "key, pin it in the configuration: [pin \"%s\"] public-key = ...",
		 fqdn, before, now, fqdn);
	ntmd_event(ntmd, "peer_key_changed", "peer", fqdn, "was", before, "is", now, NULL);
	return -EKEYREVOKED;
}
