/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolver_file.c - takes /etc/resolv.conf over: the stub becomes its only server, `search` and `options`
 * stay. The old file is kept beside it (resolv_conf.h says under which name) and dns_servers.c reads its
 * servers there. resolver.c chooses this way.
 *
 * Whose file it is says its first line: ours is restored at close, or used again after a kill -9. Another
 * program (a DHCP client after a move to another network) may replace it at any time: then its file becomes
 * the kept one.
 */
#include "resolver_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "endpoint.h"
#include "log.h"
#include "loop.h"
#include "resolv_conf.h"

#define CHECK_MS 2000
#define TAKE_AGAIN_MS \
	10000 /* at least between two take-overs: no race with a program that insists on its own */
#define TEMPORARY ".ntm-new"

struct ntmd_resolver_file {
	char path[PATH_MAX]; /* behind all symlinks */
	char saved[PATH_MAX + sizeof(NTMD_RESOLV_CONF_SAVED)];
	char server[NTM_ADDR_TEXT]; /* the stub's address */
	struct event *timer;
	struct ntmd_resolv_conf_state state;
	int64_t taken_ms;
};

static int all_write(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t done = write(fd, text, len);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			text += done;
			len -= (size_t)done;
		}
	}
	return 0;
}

static int write_new(const char *path, const char *text, size_t len, const struct stat *like)
{
	char temporary[PATH_MAX + sizeof(NTMD_RESOLV_CONF_SAVED) + sizeof(TEMPORARY)];
	int fd, err;

	snprintf(temporary, sizeof(temporary), "%s%s", path, TEMPORARY);
	if (unlink(temporary) < 0 && errno != ENOENT)
		return -errno;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	err = all_write(fd, text, len);
	/* chown before chmod: it clears bits. As a user without the right to it the file is his own already.
	 */
	if (!err && like && fchown(fd, like->st_uid, like->st_gid) < 0 && errno != EPERM)
		err = -errno;
	if (!err && fchmod(fd, like ? like->st_mode & 0777 : 0644) < 0)
		err = -errno;
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && rename(temporary, path) < 0)
		err = -errno;
	if (err)
		unlink(temporary);
	return err;
}

static int write_in_place(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = all_write(fd, text, len);
	if (close(fd) < 0 && !err)
		err = -errno;
	return err;
}

/*
 * Atomically; where the file itself is a mount (containers) or its folder cannot be written, in place. Owner
 * and mode are those of like, if that exists.
 */
static int file_write(const char *path, const char *text, const char *like)
{
	struct stat st;
	size_t len = strlen(text);
	int err = write_new(path, text, len, stat(like, &st) == 0 ? &st : NULL);

	if (err == -EBUSY || err == -EXDEV || err == -EACCES || err == -EPERM || err == -EROFS)
		err = write_in_place(path, text, len);
	return err;
}

static bool line_is(const char *line, const char *keyword)
{
	size_t len = strlen(keyword);

	return strncmp(line, keyword, len) == 0 && (line[len] == ' ' || line[len] == '\t');
}

/* What applications' resolvers read besides servers stays as it was. */
static char *text_make(const struct ntmd_resolver_file *file, const char *old)
{
	size_t room = strlen(old) + sizeof(NTMD_RESOLV_CONF_MARK) + NTM_ADDR_TEXT + 32, len;
	char *text = malloc(room);

	if (!text)
		return NULL;
	len = (size_t)snprintf(text, room, "%s\nnameserver %s\n", NTMD_RESOLV_CONF_MARK, file->server);
	while (*old) {
		size_t line = strcspn(old, "\n");

		if (line_is(old, "search") || line_is(old, "domain") || line_is(old, "options") ||
		    line_is(old, "sortlist")) {
			memcpy(text + len, old, line);
			len += line;
			text[len++] = '\n';
		}
		old += line + (old[line] == '\n');
	}
	text[len] = '\0';
	return text;
}

/* Taking over failed half way (a full disk): what was there is there, or comes back, and is kept no more. */
static void give_back(struct ntmd_resolver_file *file, const char *old)
{
	char *now = NULL;
	bool same = !ntmd_resolv_conf_read(&now, NULL, file->path) && !strcmp(now, old);

	if (same || !write_in_place(file->path, old, strlen(old)))
		unlink(file->saved); /* else the kept copy stays */
	free(now);
}

/*
 * Makes the file ours. The kept copy is complete before the file is touched, so that a crash in between loses
 * nothing.
 */
static int take_over(struct ntmd_resolver_file *file)
{
	char *now = NULL, *old = NULL, *text;
	bool existed = true;
	int err;

	err = ntmd_resolv_conf_read(&now, NULL, file->path);
	if (err == -ENOENT) {
		existed = false;
		now = strdup("");
		err = now ? 0 : -ENOMEM;
	}
	if (err)
		return err;
	if (ntmd_resolv_conf_is_ours(now)) {
		/* Left over by a kill -9. Without a kept copy there was no file. */
		if (ntmd_resolv_conf_read(&old, NULL, file->saved) < 0)
			old = strdup("");
		err = old ? 0 : -ENOMEM;
	} else {
		old = now;
		now = NULL;
		if (existed)
			err = file_write(file->saved, old, file->path);
		else if (unlink(file->saved) < 0 && errno != ENOENT)
			err = -errno;
	}
	if (err)
		goto out;
	text = text_make(file, old);
	err = text ? file_write(file->path, text, file->path) : -ENOMEM;
	free(text);
	if (err && !now && existed)
		give_back(file, old);
	if (err)
		goto out;
	ntmd_resolv_conf_stat(&file->state, file->path);
	file->taken_ms = ntm_loop_now_ms();
out:
	free(now);
	free(old);
	return err;
}

void ntmd_resolver_file_check(struct ntmd_resolver_file *file, int64_t now_ms)
{
	struct ntmd_resolv_conf_state state;
	char *now;
	int err;

	ntmd_resolv_conf_stat(&state, file->path);
	if (memcmp(&state, &file->state, sizeof(state)) == 0 || now_ms - file->taken_ms < TAKE_AGAIN_MS)
		return;
	if (ntmd_resolv_conf_read(&now, NULL, file->path) == 0) {
		bool ours = ntmd_resolv_conf_is_ours(now);

		free(now);
		if (ours) {
			file->state = state;
			return;
		}
	}
	err = take_over(file);
	if (err) {
		file->taken_ms = ntm_loop_now_ms();
		ntm_warn("%s was replaced, and cannot be taken over again: %s", file->path, strerror(-err));
	} else {
		ntm_notice("%s was replaced by another program; taken over again", file->path);
	}
}

static void check_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_resolver_file *file = arg;

	(void)fd;
	(void)what;
	ntmd_resolver_file_check(file, ntm_loop_now_ms());
	ntm_timer_set_ms(file->timer, CHECK_MS);
}

/* Finds the file behind all symlinks: replacing a link would cut off the program that owns its target. */
static int path_find(char ret_path[PATH_MAX], const char *path, char *ret_why, size_t why_len)
{
	struct stat st;

	if (realpath(path, ret_path))
		return 0;
	if (errno == ENOENT && lstat(path, &st) < 0 && errno == ENOENT && strlen(path) < PATH_MAX) {
		strcpy(ret_path, path);
		return 0;
	}
	snprintf(ret_why, why_len, "%s leads nowhere: make it a file, or set [dns] mode = off", path);
	return -ENOENT;
}

static void saved_name(struct ntmd_resolver_file *file)
{
	snprintf(file->saved, sizeof(file->saved), "%s%s", file->path, NTMD_RESOLV_CONF_SAVED);
}

int ntmd_resolver_file_open(struct ntmd_resolver_file **ret_file, struct event_base *base, const char *path,
			    const struct ntm_endpoint *stub, char *ret_why, size_t why_len)
{
	struct ntmd_resolver_file *file;
	int err;

	if (stub->port != 53) {
		snprintf(ret_why, why_len,
			 "%s cannot name a port: [dns] listen must be on port 53, not %u, or set [dns] mode "
			 "= off",
			 path, stub->port);
		return -EINVAL;
	}
	file = calloc(1, sizeof(*file));
	if (!file) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	err = path_find(file->path, path, ret_why, why_len);
	if (err)
		goto failed;
	saved_name(file);
	ntm_addr_format(&stub->addr, file->server);
	file->timer = ntm_timer_new(base, check_timer, file);
	err = file->timer ? take_over(file) : -ENOMEM;
	if (err) {
		snprintf(ret_why, why_len, "cannot take over %s: %s; see to it, or set another [dns] mode",
			 file->path, strerror(-err));
		goto failed;
	}
	ntm_timer_set_ms(file->timer, CHECK_MS);
	*ret_file = file;
	return 0;
failed:
	if (file->timer)
		event_free(file->timer);
	free(file);
	return err;
}

static int restore(struct ntmd_resolver_file *file)
{
	char *old;
	int err;

	err = ntmd_resolv_conf_read(&old, NULL, file->saved);
	if (err == -ENOENT) /* there was none before us */
		return unlink(file->path) < 0 ? -errno : 0;
	if (err)
		return err;
	if (rename(file->saved, file->path) < 0) {
		err = write_in_place(file->path, old, strlen(old));
		if (!err && unlink(file->saved) < 0)
			err = -errno;
	}
	free(old);
	return err;
}

/* Whether the stub that it names is this one: it might be that of another ntmd, which lives. */
static bool names_stub(const char *text, const struct ntm_endpoint *stub)
{
	struct sockaddr_storage servers[NTMD_RESOLV_CONF_SERVERS];
	struct ntm_endpoint server;

	return ntmd_resolv_conf_servers(text, servers) == 1 &&
	       ntm_endpoint_from_sockaddr(&server, (struct sockaddr *)&servers[0]) == 0 &&
	       ntm_addr_equal(&server.addr, &stub->addr);
}

void ntmd_resolver_file_put_back(const char *path, const struct ntm_endpoint *stub)
{
	struct ntmd_resolver_file *file = calloc(1, sizeof(*file));
	char *now = NULL, why[256];

	if (!file || path_find(file->path, path, why, sizeof(why)) ||
	    ntmd_resolv_conf_read(&now, NULL, file->path) || !ntmd_resolv_conf_is_ours(now) ||
	    !names_stub(now, stub))
		goto out;
	saved_name(file);
	if (restore(file))
		ntm_warn("%s, which a former ntmd wrote, could not be restored; what stood there is in %s",
			 file->path, file->saved);
	else
		ntm_notice("%s, which a former ntmd wrote, was restored", file->path);
out:
	free(now);
	free(file);
}

void ntmd_resolver_file_close(struct ntmd_resolver_file *file)
{
	char *now = NULL;
	int err = ntmd_resolv_conf_read(&now, NULL, file->path);

	if (!err && ntmd_resolv_conf_is_ours(now)) {
		err = restore(file);
		if (err)
			ntm_error("%s could not be restored: %s; what stood there is in %s", file->path,
				  strerror(-err), file->saved);
	} else {
		ntm_warn("%s was replaced by another program: left as it is", file->path);
		unlink(file->saved);
	}
	free(now);
	event_free(file->timer);
	free(file);
}
