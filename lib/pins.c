/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * pins.c - folders of pinned BPF maps and attached programs (pins.h). Users: daemon/bpf_attach.c, which loads
 * what is pinned here; tools/ntmctl/attach.c, which removes it when no ntmd runs.
 */
#include "pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"
#define TCX_INGRESS 46 /* enum bpf_attach_type of Linux 6.6 */
#define TCX_EGRESS 47
#define TCX_BEFORE 8 /* BPF_F_BEFORE */
#define HANDLE 0x4e54 /* of our filters at clsact */
#define PRIORITY 0x4e54 /* less the layout: a newer one comes first */
#define HOOKS_MAX 1024

/* ---- folders */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* The deepest folder of the path that exists. */
static void existing_part(char *path)
{
	char *slash;

	while (access(path, F_OK) && (slash = strrchr(path, '/')) && slash != path)
		*slash = 0;
}

static int bpffs_need(const char *pin_dir, char *why, size_t why_len)
{
	char path[NTM_PINS_PATH];

	snprintf(path, sizeof(path), "%s", pin_dir);
	existing_part(path);
	if (is_bpffs(path))
		return 0;
	if (!strncmp(pin_dir, BPFFS "/", strlen(BPFFS "/")) && !is_bpffs(BPFFS) &&
	    !mount("bpf", BPFFS, "bpf", 0, "mode=0700"))
		return 0;
	snprintf(
		why, why_len,
		"%s is not in a BPF file system: mount one with `mount -t bpf bpf %s`, or set [datapath] pin-dir to a folder of one",
		pin_dir, BPFFS);
	return -ENODEV;
}

static int folder_name(struct ntm_pins *pins, const char *pin_dir, unsigned layout)
{
	pins->layout = layout;
	if ((size_t)snprintf(pins->link, sizeof(pins->link), "%s", pin_dir) >= sizeof(pins->link) ||
	    (size_t)snprintf(pins->dir, sizeof(pins->dir), "%s-layout%u", pin_dir, layout) >=
		    sizeof(pins->dir) - 64)
		return -ENAMETOOLONG;
	return 0;
}

int ntm_pins_find(struct ntm_pins *ret_pins, const char *pin_dir, unsigned layout, char *ret_why,
		  size_t why_len)
{
	const char *name = strrchr(pin_dir, '/');
	struct stat st;

	if (pin_dir[0] != '/' || !name[1] || strchr(name, '.') || folder_name(ret_pins, pin_dir, layout)) {
		snprintf(ret_why, why_len,
			 "[datapath] pin-dir = %s: expected a folder below %s, without dots in its name",
			 pin_dir, BPFFS);
		return -EINVAL;
	}
	if (!lstat(ret_pins->link, &st) && !S_ISLNK(st.st_mode)) {
		snprintf(
			ret_why, why_len,
			"%s is not the symbolic link of an earlier ntmd: remove it, or set another [datapath] pin-dir",
			pin_dir);
		return -EEXIST;
	}
	return bpffs_need(pin_dir, ret_why, why_len);
}

/* What PIN_DIR leads to, or empty. */
static void link_read(const char *pin_dir, char target[NTM_PINS_PATH])
{
	ssize_t n = readlink(pin_dir, target, NTM_PINS_PATH - 1);

	target[n < 0 ? 0 : n] = 0;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode);
}

/*
 * Whether only root or we can have put into a folder what is there. The kernel's own default lets everybody
 * make folders in a BPF file system: in one of somebody else's, maps that keys go into could be his.
 */
static bool is_trusted(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode) && (!st.st_uid || st.st_uid == geteuid()) &&
	       (!(st.st_mode & (S_IWGRP | S_IWOTH)) || st.st_mode & S_ISVTX);
}

bool ntm_pins_are_there(const struct ntm_pins *pins)
{
	char target[NTM_PINS_PATH];

	link_read(pins->link, target);
	return !strcmp(target, last_name(pins->dir)) && is_trusted(pins->dir);
}

unsigned ntm_pins_layout(const char *pin_dir)
{
	char target[NTM_PINS_PATH], *number;

	link_read(pin_dir, target);
	number = strstr(target, "-layout");
	return number ? (unsigned)strtoul(number + strlen("-layout"), NULL, 10) : 0;
}

/* What is above the BPF file system is not ours to judge. */
static int folder_make(const char *path)
{
	if (!mkdir(path, 0700))
		return 0;
	if (errno != EEXIST)
		return -errno;
	return is_bpffs(path) && !is_trusted(path) ? -EPERM : 0;
}

/* With all that are above it. */
static int folders_make(const char *folder)
{
	char path[NTM_PINS_PATH];
	int err = 0;

	snprintf(path, sizeof(path), "%s", folder);
	for (char *at = strchr(path + 1, '/'); at && !err; at = strchr(at + 1, '/')) {
		*at = 0;
		err = folder_make(path);
		*at = '/';
	}
	return err ? err : folder_make(path);
}

int ntm_pins_begin(const struct ntm_pins *pins)
{
	return folders_make(pins->dir);
}

int ntm_pins_complete(const struct ntm_pins *pins)
{
	char fresh[NTM_PINS_PATH];

	if (ntm_pins_are_there(pins))
		return 0;
	if ((size_t)snprintf(fresh, sizeof(fresh), "%s-new", pins->link) >= sizeof(fresh))
		return -ENAMETOOLONG;
	unlink(fresh);
	if (symlink(last_name(pins->dir), fresh))
		return -errno;
	if (rename(fresh, pins->link)) {
		int err = -errno;

		unlink(fresh);
		return err;
	}
	return 0;
}

static void pin_path(const struct ntm_pins *pins, const char *name, char path[NTM_PINS_PATH])
{
	snprintf(path, NTM_PINS_PATH, "%.440s/%.64s", pins->dir, name);
}

int ntm_pins_map_add(const struct ntm_pins *pins, const char *name, int fd)
{
	char path[NTM_PINS_PATH];

	pin_path(pins, name, path);
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

int ntm_pins_map_get(const struct ntm_pins *pins, const char *name)
{
	char path[NTM_PINS_PATH];
	int fd;

	pin_path(pins, name, path);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

/* ---- one process at a time */

static int lock_name(const char *pin_dir, char path[NTM_PINS_PATH])
{
	return snprintf(path, NTM_PINS_PATH, "%s-lock", pin_dir) < NTM_PINS_PATH ? 0 : -ENAMETOOLONG;
}

static bool is_same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !lstat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int ntm_pins_lock(const char *pin_dir)
{
	char path[NTM_PINS_PATH];
	int err = lock_name(pin_dir, path), fd;

	while (!err) {
		err = folders_make(path);
		if (err)
			break;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB))
			err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		else if (is_same_file(fd, path))
			return fd;
		close(fd); /* who had it has removed it meanwhile */
	}
	return err;
}

void ntm_pins_unlock(const char *pin_dir, int fd)
{
	char path[NTM_PINS_PATH];

	if (fd < 0)
		return;
	if (!lock_name(pin_dir, path))
		rmdir(path);
	close(fd);
}

/* ---- hooks */

static void hook_path(const struct ntm_pins *pins, const char *kind, const char *hook, unsigned ifindex,
		      const char *end, char path[NTM_PINS_PATH])
{
	snprintf(path, NTM_PINS_PATH, "%.440s/%s_%.24s_%u%s", pins->dir, kind, hook, ifindex, end);
}

static bool at_ingress(const char *hook)
{
	return !strncmp(hook, "in", 2);
}

/* A link whose device is gone has index 0, and serves nobody. -ENOENT: no such link. */
static int link_get(const char *path, unsigned ifindex)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return -ENOENT;
	/* In XDP's and tcx's part of it the index is the first thing. */
	if (!bpf_obj_get_info_by_fd(fd, &info, &len) && info.xdp.ifindex == ifindex)
		return fd;
	close(fd);
	unlink(path);
	return -ENOENT;
}

static int link_set(const char *path, int prog_fd, unsigned ifindex, enum bpf_attach_type type,
		    unsigned flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int fd = link_get(path, ifindex), err = 0;

	if (fd >= 0) {
		if (bpf_link_update(fd, prog_fd, NULL))
			err = -errno;
		close(fd);
		return err;
	}
	fd = bpf_link_create(prog_fd, (int)ifindex, type, &options);
	if (fd < 0)
		return fd;
	if (bpf_obj_pin(fd, path))
		err = -errno; /* closed without a pin, it is detached */
	close(fd);
	return err;
}

int ntm_pins_xdp_set(const struct ntm_pins *pins, const char *hook, unsigned ifindex, int prog_fd,
		     unsigned flags)
{
	char path[NTM_PINS_PATH];

	hook_path(pins, "link", hook, ifindex, "", path);
	return link_set(path, prog_fd, ifindex, BPF_XDP, flags);
}

/* A kernel before 6.6, or told so for a test. */
static bool lacks_tcx(int err)
{
	return err == -EINVAL || err == -EOPNOTSUPP || err == -ENOTSUP;
}

static bool tcx_forbidden(void)
{
	const char *way = getenv("NTM_TC");

	return way && !strcmp(way, "clsact");
}

/* The record first: what a crash leaves attached can be found by it. */
static int record_make(const struct ntm_pins *pins, const char *hook, unsigned ifindex, int prog_fd,
		       bool own_qdisc)
{
	char path[NTM_PINS_PATH], fresh[NTM_PINS_PATH];

	hook_path(pins, "prog", hook, ifindex, own_qdisc ? "_q" : "", path);
	hook_path(pins, "new", hook, ifindex, "", fresh);
	unlink(fresh);
	if (bpf_obj_pin(prog_fd, fresh))
		return -errno;
	return rename(fresh, path) ? -errno : 0;
}

static bool record_is_there(const struct ntm_pins *pins, const char *hook, unsigned ifindex, bool own_qdisc)
{
	char path[NTM_PINS_PATH];

	hook_path(pins, "prog", hook, ifindex, own_qdisc ? "_q" : "", path);
	return !access(path, F_OK);
}

static int clsact_set(const struct ntm_pins *pins, const char *hook, unsigned ifindex, int prog_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = (int)ifindex,
		    .attach_point = at_ingress(hook) ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = HANDLE, .priority = PRIORITY - pins->layout,
		    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&at);
	bool own = !err || record_is_there(pins, hook, ifindex, true);

	if (err && err != -EEXIST)
		return err;
	err = record_make(pins, hook, ifindex, prog_fd, own);
	return err ? err : bpf_tc_attach(&at, &options);
}

int ntm_pins_tc_set(const struct ntm_pins *pins, const char *hook, unsigned ifindex, int prog_fd, bool front,
		    enum ntm_pins_how *ret_how)
{
	char path[NTM_PINS_PATH];
	int err;

	hook_path(pins, "link", hook, ifindex, "", path);
	*ret_how = NTM_PINS_TCX;
	err = tcx_forbidden() ? -EOPNOTSUPP :
				link_set(path, prog_fd, ifindex,
					 (enum bpf_attach_type)(at_ingress(hook) ? TCX_INGRESS : TCX_EGRESS),
					 front ? TCX_BEFORE : 0);
	if (!lacks_tcx(err))
		return err;
	*ret_how = NTM_PINS_CLSACT;
	return clsact_set(pins, hook, ifindex, prog_fd);
}

bool ntm_pins_hook_is_set(const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	char path[NTM_PINS_PATH];
	int fd;

	hook_path(pins, "link", hook, ifindex, "", path);
	fd = link_get(path, ifindex);
	if (fd >= 0) {
		close(fd);
		return true;
	}
	return record_is_there(pins, hook, ifindex, false) || record_is_there(pins, hook, ifindex, true);
}

static uint32_t pinned_id(const char *path)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		info.id = 0;
	close(fd);
	return info.id;
}

/* Only if the filter there is the one of the record: the number of a device may be another one's by now. */
static void clsact_remove(const struct ntm_pins *pins, const char *hook, unsigned ifindex, bool own_qdisc)
{
	LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = (int)ifindex,
		    .attach_point = at_ingress(hook) ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = HANDLE, .priority = PRIORITY - pins->layout);
	char path[NTM_PINS_PATH];
	uint32_t id;

	hook_path(pins, "prog", hook, ifindex, own_qdisc ? "_q" : "", path);
	id = pinned_id(path);
	if (id && !bpf_tc_query(&at, &options) && options.prog_id == id) {
		options.prog_id = 0;
		bpf_tc_detach(&at, &options);
		at.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		if (own_qdisc)
			bpf_tc_hook_destroy(&at);
	}
	unlink(path);
}

/*
 * Without its pin a link ends, but some time later: until then the kernel refuses XDP in another mode, or on
 * the device below, and the order of removing would be nobody's.
 */
static void link_end(const char *path)
{
	int fd = bpf_obj_get(path);

	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	unlink(path);
}

void ntm_pins_hook_remove(const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	char path[NTM_PINS_PATH];

	hook_path(pins, "link", hook, ifindex, "", path);
	link_end(path);
	for (int own = 0; own < 2; own++)
		if (record_is_there(pins, hook, ifindex, own))
			clsact_remove(pins, hook, ifindex, own);
}

int ntm_pins_hook_move(const struct ntm_pins *from, const struct ntm_pins *to, const char *hook,
		       unsigned ifindex)
{
	char old[NTM_PINS_PATH], new[NTM_PINS_PATH];

	hook_path(from, "link", hook, ifindex, "", old);
	hook_path(to, "link", hook, ifindex, "", new);
	return rename(old, new) ? -errno : 0;
}

/* ---- looking around */

/* The names in a folder that begin so; the caller frees all. */
static char **names_list(const char *dir, const char *begin, size_t *ret_count)
{
	char **name = calloc(HOOKS_MAX, sizeof(*name));
	DIR *stream = name ? opendir(dir) : NULL;
	struct dirent *entry;

	*ret_count = 0;
	while (stream && *ret_count < HOOKS_MAX && (entry = readdir(stream)))
		if (entry->d_name[0] != '.' && !strncmp(entry->d_name, begin, strlen(begin)) &&
		    (name[*ret_count] = strdup(entry->d_name)))
			++*ret_count;
	if (stream)
		closedir(stream);
	return name;
}

static void names_free(char **name, size_t count)
{
	for (size_t i = 0; name && i < count; i++)
		free(name[i]);
	free(name);
}

/* "link_HOOK_5" or "prog_HOOK_5_q" */
static bool hook_parse(const char *name, char ret_hook[32], unsigned *ret_ifindex)
{
	return !strncmp(name, "link_", 5) || !strncmp(name, "prog_", 5) ?
		       sscanf(name + 5, "%31[a-z]_%u", ret_hook, ret_ifindex) == 2 :
		       false;
}

void ntm_pins_hooks_each(const struct ntm_pins *pins,
			 void (*each)(void *ctx, const struct ntm_pins *pins, const char *hook,
				      unsigned ifindex),
			 void *ctx)
{
	char **name, hook[32];
	unsigned ifindex;
	size_t count;

	name = names_list(pins->dir, "", &count);
	/* First those that take packets, then those that get them from these: who removes all leaves none
	 * between. */
	for (int last = 0; last < 2; last++)
		for (size_t i = 0; i < count; i++)
			if (hook_parse(name[i], hook, &ifindex) && at_ingress(hook) == (bool)last)
				each(ctx, pins, hook, ifindex);
	names_free(name, count);
}

static void hook_remove(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	(void)ctx;
	ntm_pins_hook_remove(pins, hook, ifindex);
}

int ntm_pins_remove(const struct ntm_pins *pins)
{
	char path[NTM_PINS_PATH], **name;
	size_t count;

	/* A symbolic link in its place, or a folder of another file system, has nothing of ours. */
	if (!is_folder(pins->dir))
		return unlink(pins->dir) && errno != ENOENT ? -errno : 0;
	if (!is_bpffs(pins->dir))
		return -ENODEV;
	if (ntm_pins_are_there(pins))
		unlink(pins->link); /* first: what is left by a crash is known to be half removed */
	ntm_pins_hooks_each(pins, hook_remove, NULL);
	name = names_list(pins->dir, "", &count);
	for (size_t i = 0; i < count; i++) {
		pin_path(pins, name[i], path);
		unlink(path);
	}
	names_free(name, count);
	return rmdir(pins->dir) && errno != ENOENT ? -errno : 0;
}

size_t ntm_pins_each(const char *pin_dir, void (*each)(void *ctx, const struct ntm_pins *pins, bool complete),
		     void *ctx)
{
	char above[NTM_PINS_PATH], begin[NTM_PINS_PATH], **name;
	struct ntm_pins pins;
	size_t count;

	snprintf(above, sizeof(above), "%s", pin_dir);
	if (strrchr(above, '/'))
		*strrchr(above, '/') = 0;
	snprintf(begin, sizeof(begin), "%.400s-layout", last_name(pin_dir));
	name = names_list(above, begin, &count);
	for (size_t i = 0; each && i < count; i++)
		if (!folder_name(&pins, pin_dir, (unsigned)strtoul(name[i] + strlen(begin), NULL, 10)))
			each(ctx, &pins, ntm_pins_are_there(&pins));
	names_free(name, count);
	return count;
}
