/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * pin.c - the pin directory: a BPF file system where the maps and links of the relay outlive ntm-rs.
 *
 *	PIN_DIR/rs_paths -> v3/rs_paths		what people look at
 *	PIN_DIR/v3/rs_paths, v3/rs_stats...	the maps of layout 3 (NTM_RELAY_LAYOUT)
 *	PIN_DIR/v3/link_3			the XDP program of the interface with the index 3
 *
 * Another ntm-rs may have another layout: its set stands beside ours until ours has taken over. Called by
 * xdp.c, and by main.c for --detach.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pin.h"
#include "xdp_link.h"

#define BPFFS "/sys/fs/bpf"
#define BPFFS_MAGIC 0xcafe4a11U
#define SETS_MAX 16

/* ---- the file system */

/* The directory, or what there is of it: its nearest ancestor. */
static int nearest(const char *dir, char ret_path[PATH_MAX])
{
	struct stat st;

	if (dir[0] != '/' || snprintf(ret_path, PATH_MAX, "%s", dir) >= PATH_MAX)
		return -EINVAL;
	while (stat(ret_path, &st)) {
		char *slash = strrchr(ret_path, '/');

		if (errno != ENOENT)
			return -errno;
		slash[slash == ret_path] = '\0';
	}
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned)fs.f_type == BPFFS_MAGIC;
}

/* As `mkdir -p`, for root alone: the maps tell who talks with whom. */
static int make_dirs(const char *dir)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	for (char *at = path + 1;; at++) {
		char end = *at;

		if (end && end != '/')
			continue;
		*at = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			return -errno;
		if (!end)
			return 0;
		*at = end;
	}
}

static bool is_below(const char *dir, const char *of)
{
	size_t len = strlen(of);

	return !strncmp(dir, of, len) && (!dir[len] || dir[len] == '/');
}

/* A file system that is mounted there would hide what it holds. */
static int need_empty(const char *dir)
{
	const struct dirent *one;
	DIR *d = opendir(dir);
	bool empty = true;

	if (!d)
		return -errno;
	while (empty && (one = readdir(d)))
		empty = !strcmp(one->d_name, ".") || !strcmp(one->d_name, "..");
	closedir(d);
	return empty ? 0 : -ENOTEMPTY;
}

/* Where it is usual, if dir is meant to be there, else just at dir. */
static int bpffs_mount(const char *dir)
{
	const char *at = is_below(dir, BPFFS) ? BPFFS : dir;
	int err = at == dir ? make_dirs(dir) : 0;

	if (!err && at == dir)
		err = need_empty(dir);
	if (!err && mount("bpf", at, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		err = -errno;
	return err;
}

int rs_pin_prepare(const char *dir, char *ret_why, size_t why_len)
{
	char path[PATH_MAX];
	int err = nearest(dir, path);

	if (!err && !is_bpffs(path)) {
		err = bpffs_mount(dir);
		if (err == -ENOTEMPTY) {
			snprintf(
				ret_why, why_len,
				"pin-dir = %s is not in a BPF file system and holds other files: set [datapath] "
				"pin-dir to a folder below %s",
				dir, BPFFS);
			return err;
		}
		if (err) {
			snprintf(
				ret_why, why_len,
				"no BPF file system at %s, and none can be mounted (%s): `mount -t bpf bpf %s`",
				dir, strerror(-err), is_below(dir, BPFFS) ? BPFFS : dir);
			return err;
		}
	}
	if (!err)
		err = make_dirs(dir);
	if (err)
		snprintf(ret_why, why_len, "cannot use pin-dir = %s: %s", dir, strerror(-err));
	return err;
}

/* ---- sets */

int rs_pin_set_path(char ret_path[PATH_MAX], const char *dir, unsigned layout, const char *name)
{
	int n = snprintf(ret_path, PATH_MAX, "%s/v%u%s%s", dir, layout, name ? "/" : "", name ? name : "");

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int rs_pin_set_make(const char *dir, unsigned layout)
{
	char path[PATH_MAX];
	int err = rs_pin_set_path(path, dir, layout, NULL);

	return err ? err : make_dirs(path);
}

/* The layout that a directory's name says; 0: it is no set. */
static unsigned layout_of(const char *name)
{
	unsigned long layout;
	char *end;

	if (name[0] != 'v' || name[1] < '1' || name[1] > '9')
		return 0;
	layout = strtoul(name + 1, &end, 10);
	return *end || layout > INT_MAX ? 0 : (unsigned)layout;
}

int rs_pin_sets(const char *dir, unsigned *ret_layout, unsigned max)
{
	DIR *d = opendir(dir);
	const struct dirent *one;
	unsigned n = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((one = readdir(d)) && n < max) {
		if (layout_of(one->d_name))
			ret_layout[n++] = layout_of(one->d_name);
	}
	closedir(d);
	return (int)n;
}

int rs_pin_links(const char *dir, unsigned layout,
		 void (*each)(void *ctx, const char *path, unsigned ifindex), void *ctx)
{
	char set[PATH_MAX], path[PATH_MAX];
	const struct dirent *one;
	unsigned ifindex;
	DIR *d;
	int err = rs_pin_set_path(set, dir, layout, NULL);

	if (err)
		return err;
	d = opendir(set);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((one = readdir(d))) {
		if (sscanf(one->d_name, RS_PIN_LINK "%u", &ifindex) == 1 &&
		    !rs_pin_set_path(path, dir, layout, one->d_name))
			each(ctx, path, ifindex);
	}
	closedir(d);
	return 0;
}

void rs_pin_set_remove(const char *dir, unsigned layout)
{
	const struct dirent *one;
	char path[PATH_MAX];
	DIR *d;

	if (rs_pin_set_path(path, dir, layout, NULL))
		return;
	d = opendir(path);
	if (!d)
		return;
	/* Every name, not only those that this version knows. */
	while ((one = readdir(d))) {
		char name[PATH_MAX];

		if (!strncmp(one->d_name, RS_PIN_LINK, strlen(RS_PIN_LINK)) &&
		    !rs_pin_set_path(name, dir, layout, one->d_name))
			rs_xdp_link_drop(name);
		else if (one->d_name[0] != '.')
			unlinkat(dirfd(d), one->d_name, 0);
	}
	closedir(d);
	rmdir(path);
}

void rs_pin_show(const char *dir, unsigned layout, const char *name)
{
	char to[64 + NAME_MAX], path[PATH_MAX];

	if (snprintf(to, sizeof(to), "v%u/%s", layout, name) >= (int)sizeof(to) ||
	    snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return;
	/* Only for people to look at: without it everything works. */
	unlink(path);
	if (symlink(to, path))
		return;
}

int rs_pin_remove(const char *dir, unsigned *ret_links)
{
	unsigned layout[SETS_MAX];
	const struct dirent *one;
	char path[PATH_MAX];
	int n, err = nearest(dir, path);
	DIR *d;

	*ret_links = 0;
	if (err)
		return err;
	if (strcmp(path, dir))
		return 0; /* there is none */
	if (!is_bpffs(dir))
		return -ENOTSUP;
	n = rs_pin_sets(dir, layout, SETS_MAX);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		rs_pin_links(dir, layout[i], rs_pin_count, ret_links);
		rs_pin_set_remove(dir, layout[i]);
	}
	d = opendir(dir);
	if (!d)
		return -errno;
	while ((one = readdir(d))) {
		if (one->d_type == DT_LNK)
			unlinkat(dirfd(d), one->d_name, 0);
	}
	closedir(d);
	/* Fails if it is a mount point or somebody keeps something of his own there: it is left then. */
	return rmdir(dir) && errno != ENOTEMPTY && errno != EBUSY ? -errno : 0;
}

void rs_pin_count(void *ctx, const char *path, unsigned ifindex)
{
	(void)path;
	(void)ifindex;
	(*(unsigned *)ctx)++;
}
