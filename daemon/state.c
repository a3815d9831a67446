/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * state.c - the little that a node remembers over restarts, in state-dir: its UDP port (so that peers and
 * NATs find it where it was) and the first-seen keys of its correspondent nodes.
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

/* A line of the peers file, "FQDN KEY", without its end: the key. 0 or -EINVAL. */
static int peer_parse(const char *line, size_t name_len, uint8_t ret_key[NTM_KEY_LEN])
{
	return !name_len || line[name_len] != ' ' ? -EINVAL : ntm_key_parse(ret_key, line + name_len + 1);
}

/* The next line of it into *line (getline); 1, or 0 at the end. *ret_name_len is 0 if the line is damaged. */
static int peer_next(FILE *file, char **line, size_t *line_size, size_t *ret_name_len,
		     uint8_t ret_key[NTM_KEY_LEN])
{
	ssize_t len = getline(line, line_size, file);

	if (len <= 0)
		return 0;
	if ((*line)[len - 1] == '\n')
		(*line)[--len] = 0;
	*ret_name_len = strcspn(*line, " ");
	if (strlen(*line) != (size_t)len || peer_parse(*line, *ret_name_len, ret_key))
		*ret_name_len = 0;
	return 1;
}

/* A file that we wrote: nobody else's is believed. 0, -ENOENT: there is none, or -errno. */
static int file_read(const char *path, FILE **ret_file)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), err = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else if (st.st_uid != geteuid())
		err = -EPERM;
	if (!err) {
		*ret_file = fdopen(fd, "r");
		err = *ret_file ? 0 : -errno;
	}
	if (err)
		close(fd);
	return err;
}

/*
 * Said at the start, when somebody may look. A damaged file stays beside the one that is written next; names
 * whose lines are gone are taken as never seen.
 */
static void peers_check(const char *path)
{
	unsigned number = 0, damaged = 0;
	uint8_t key[NTM_KEY_LEN];
	size_t size = 0, name_len;
	char *line = NULL, *copy;
	FILE *file;
	int err = file_read(path, &file);

	if (err == -ENOENT)
		return;
	if (err) {
		ntm_warn(
			"the keys of peers in %s cannot be read (%s), so that a changed one is not noticed: it must be a file "
			"of this user's own; put it right, or remove it",
			path, strerror(-err));
		return;
	}
	while (peer_next(file, &line, &size, &name_len, key)) {
		number++;
		if (!name_len && !damaged)
			damaged = number;
	}
	fclose(file);
	free(line);
	if (!damaged || asprintf(&copy, "%s.damaged", path) < 0)
		return;
	unlink(copy);
	err = link(path, copy) ? errno : 0;
	ntm_warn(
		"%s:%u: expected a name and a key: the file is damaged, and %s%s%s; a peer whose line is gone is taken as "
		"seen for the first time, unless a [pin] section has its key",
		path, damaged, err ? "cannot be kept: " : "kept as ", err ? strerror(err) : copy,
		err ? "" : " when it is written anew");
	free(copy);
}

int ntmd_state_open(struct ntmd *ntmd, char *ret_why, size_t why_len)
{
	const char *dir = ntmd->config.state_dir;
	char path[4096];

	if (mkdir(dir, 0700) && errno != EEXIST) {
		snprintf(ret_why, why_len,
			 "cannot make the state folder %s: %s; make it, or set [node] state-dir", dir,
			 strerror(errno));
		return -errno;
	}
	ntmd->state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ntmd->state_fd < 0 || access(dir, R_OK | W_OK | X_OK)) {
		snprintf(ret_why, why_len,
			 "cannot use the state folder %s: %s; set [node] state-dir to one that this user may "
			 "write",
			 dir, strerror(errno));
		return -errno;
	}
	/* Two nodes of one name would take turns at the DC, and write over each other's files. */
	if (flock(ntmd->state_fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
		snprintf(ret_why, why_len, "another ntmd uses the state folder %s: one node runs once", dir);
		return -EBUSY;
	}
	if (!file_path(ntmd, "peers", path, sizeof(path)))
		peers_check(path);
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

uint16_t ntmd_state_port_load(struct ntmd *ntmd)
{
	char path[4096], text[16] = "", *end = text;
	unsigned long port = 0;
	FILE *file;
	int err;

	if (file_path(ntmd, "port", path, sizeof(path)))
		return 0;
	err = file_read(path, &file);
	if (!err) {
		if (fgets(text, sizeof(text), file))
			port = strtoul(text, &end, 10);
		fclose(file);
	}
	if (err == -ENOENT)
		return 0;
	if (err || *text < '1' || *text > '9' || *end != '\n' || port > 65535) {
		ntm_warn("the UDP port is not kept: %s %s; another one is taken", path,
			 err ? strerror(-err) : "holds no port");
		return 0;
	}
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
		ntm_warn("cannot keep the UDP port in %s: %s; another one may be taken next time",
			 ntmd->config.state_dir, strerror(-err));
}

/*
 * Rewrites the peers file with this key for the name. What cannot be read is not written over: the keys in it
 * may only be out of reach for the moment.
 */
static int peers_put(const char *path, const char *fqdn, const char *key_text)
{
	size_t out_len = 0, line_size = 0, name_len, fqdn_len = strlen(fqdn);
	char *out = NULL, *line = NULL;
	uint8_t key[NTM_KEY_LEN];
	FILE *memory, *file = NULL;
	unsigned lines = 0;
	int err = file_read(path, &file);

	if (err && err != -ENOENT)
		return err;
	memory = open_memstream(&out, &out_len);
	err = memory ? 0 : -ENOMEM;
	while (!err && file && lines++ < PEERS_MAX && peer_next(file, &line, &line_size, &name_len, key))
		if (name_len && (name_len != fqdn_len || memcmp(line, fqdn, fqdn_len)))
			fprintf(memory, "%s\n", line);
	if (file) {
		if (ferror(file))
			err = -EIO;
		fclose(file);
	}
	free(line);
	if (memory) {
		fprintf(memory, "%s %s\n", fqdn, key_text);
		if (fclose(memory) && !err)
			err = -ENOMEM;
	}
	if (!err)
		err = file_replace(path, out, out_len);
	free(out);
	return err;
}

/* 1 and ret_key if the name is there, 0 if not. */
static int peers_get(const char *path, const char *fqdn, uint8_t ret_key[NTM_KEY_LEN])
{
	size_t size = 0, name_len, fqdn_len = strlen(fqdn);
	uint8_t key[NTM_KEY_LEN];
	char *line = NULL;
	int found = 0;
	FILE *file;

	if (file_read(path, &file))
		return 0;
	while (!found && peer_next(file, &line, &size, &name_len, key))
		found = name_len == fqdn_len && !memcmp(line, fqdn, fqdn_len);
	if (found)
		memcpy(ret_key, key, NTM_KEY_LEN);
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
			return ntm_crypto_equal(ntmd->config.pin[i].public_key, key, NTM_KEY_LEN)
				       ? 0
				       : -EKEYREJECTED;
	if (file_path(ntmd, "peers", path, sizeof(path)))
		return 0;
	found = peers_get(path, fqdn, seen);
	if (found && ntm_crypto_equal(seen, key, NTM_KEY_LEN))
		return 0;
	ntm_key_format(now, key);
	err = peers_put(path, fqdn, now);
	if (err)
		ntm_warn("cannot keep the key of %s in %s: %s; if it changes, that will not be noticed", fqdn,
			 path, strerror(-err));
	if (!found)
		return 1;
	ntm_key_format(before, seen);
	ntm_warn(
		"THE KEY OF %s HAS CHANGED: it was %s, now it is %s. Ask its owner whether that is right; to take only one "
		"key, pin it in the configuration: [pin \"%s\"] public-key = ...",
		fqdn, before, now, fqdn);
	ntmd_event(ntmd, "peer_key_changed", "peer", fqdn, "was", before, "is", now, NULL);
	return -EKEYREVOKED;
}
