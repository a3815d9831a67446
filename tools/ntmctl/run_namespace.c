/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * run_namespace.c - the network that a command of `ntmctl run` sees: namespaces that any user may make, with
 * a TUN, and with resolver files that name the stub. Before: run.c; the TUN is served by ntmd
 * (daemon/fd_passing.c).
 *
 * We are mapped to ourselves: the command sees the user that it is. In a new user namespace that gives all
 * capabilities until the next execve(), enough to set it up; the command has none.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"
#include "run.h"

#define TUN_PATH "/dev/net/tun"
#define LO_INDEX 1 /* of lo in every network namespace */
#define BACKLOG 32

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
	va_list args;

	fputs("ntmctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return RUN_FAILED;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;
	size_t len = strlen(text);

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

/* ---- user namespace */

/* The number in a file of /proc/sys, or -1. */
static long sysctl_read(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

/* Namespaces were refused: what switched them off, and how an administrator switches them on. */
static int refused(const char *what, int err)
{
	static const struct {
		const char *path, *name;
		long off;
		const char *todo;
	} keys[] = {
		{"/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone", 0,
		 "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", 0,
		 "sysctl -w user.max_user_namespaces=15000"},
		{"/proc/sys/user/max_net_namespaces", "user.max_net_namespaces", 0,
		 "sysctl -w user.max_net_namespaces=15000"},
		{"/proc/sys/user/max_mnt_namespaces", "user.max_mnt_namespaces", 0,
		 "sysctl -w user.max_mnt_namespaces=15000"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
		 "kernel.apparmor_restrict_unprivileged_userns", 1,
		 "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` or an AppArmor profile for ntmctl with `userns"},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (sysctl_read(keys[i].path) == keys[i].off)
			return fail(
				"namespaces of ordinary users are switched off on this system (%s = %ld); its administrator can "
				"allow them with `%s`; or run ntmd as root instead",
				keys[i].name, keys[i].off, keys[i].todo);
	if (err == -ENOSPC || err == -EUSERS)
		return fail(
			"%s: too many namespaces are in use, or nested in each other (see /proc/sys/user)",
			what);
	if (err == -EINVAL || err == -ENOSYS)
		return fail(
			"%s: this kernel has no user namespaces (CONFIG_USER_NS); run ntmd as root instead",
			what);
	return fail(
		"%s: %s; a container or a security module may forbid namespaces here: run ntmctl outside of it, or ntmd as "
		"root instead",
		what, strerror(-err));
}

static int map_ourselves(uid_t uid, gid_t gid)
{
	char text[64];
	int err = write_file("/proc/self/setgroups", "deny");

	if (err && err != -ENOENT)
		return err;
	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	err = write_file("/proc/self/uid_map", text);
	if (err)
		return err;
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	return write_file("/proc/self/gid_map", text);
}

/* ---- network */

static int tun_make(int *ret_fd)
{
	struct ifreq request = { .ifr_name = "ntm0", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return fail("no permission to open " TUN_PATH
			    ": it must be accessible to everyone, as udev makes it (it gives no "
			    "rights over the machine's own devices); as root: chmod 666 " TUN_PATH);
	if (fd < 0)
		return fail("cannot open " TUN_PATH ": %s; as root, `modprobe tun` loads the driver",
			    strerror(errno));
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		err = -errno;
		close(fd);
		return err == -EPERM ? refused("making a TUN in the namespace", err) :
				       fail("cannot make a TUN: %s", strerror(-err));
	}
	*ret_fd = fd;
	return 0;
}

/* A socket at the stub's address in the namespace, where port 53 is ours to have. */
static int stub_socket(int type, int *ret_fd)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(53) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return fail("no socket: %s", strerror(errno));
	inet_pton(AF_INET, RUN_STUB, &sa.sin_addr);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || (type == SOCK_STREAM && listen(fd, BACKLOG))) {
		err = errno;
		close(fd);
		return fail("cannot listen at " RUN_STUB ":53 in the namespace: %s", strerror(err));
	}
	*ret_fd = fd;
	return 0;
}

static int network_make(gid_t gid, int fd[RUN_FDS])
{
	char range[32];
	int err = ntm_netlink_link_up(LO_INDEX, 0);

	if (err)
		return fail("cannot bring lo up in the namespace: %s", strerror(-err));
	/* So that ping needs no privilege; where /proc/sys is read-only it may have one of its own. */
	snprintf(range, sizeof(range), "%u %u", gid, gid);
	write_file("/proc/sys/net/ipv4/ping_group_range", range);
	err = tun_make(&fd[RUN_TUN]);
	if (err)
		return err;
	fd[RUN_NETLINK] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd[RUN_NETLINK] < 0)
		return fail("no netlink socket: %s", strerror(errno));
	err = stub_socket(SOCK_DGRAM, &fd[RUN_UDP]);
	return err ? err : stub_socket(SOCK_STREAM, &fd[RUN_TCP]);
}

/* ---- resolver files */

static FILE *scratch_open(const char *scratch, const char *name, char *path, size_t size)
{
	if ((size_t)snprintf(path, size, "%s/%s", scratch, name) >= size) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(path, "wxe");
}

/* Mounts what was written over the file; 0 or -errno. Closes it. */
static int put_over(FILE *file, const char *path, const char *target)
{
	int err = ferror(file) ? -EIO : 0;

	if (fclose(file) && !err)
		err = -errno;
	if (!err && mount(path, target, NULL, MS_BIND, NULL))
		err = -errno;
	return err;
}

static bool begins(const char *line, const char *word)
{
	size_t len = strlen(word);

	return !strncmp(line, word, len) && strchr(" \t:", line[len]) && line[len];
}

/* The stub is the only server; search lists and options stay. */
static int resolv_conf_put(const char *scratch)
{
	FILE *old = fopen("/etc/resolv.conf", "re"), *file;
	char path[4096], *line = NULL;
	size_t size = 0;
	int err;

	if (!old)
		return fail("cannot read /etc/resolv.conf (%s): names need it; an empty file will do",
			    strerror(errno));
	file = scratch_open(scratch, "resolv.conf", path, sizeof(path));
	if (!file) {
		err = errno;
		fclose(old);
		return fail("cannot write %s: %s", path, strerror(err));
	}
	fprintf(file, "# ntmctl run: names are asked at ntmd's stub\nnameserver " RUN_STUB "\n");
	while (getline(&line, &size, old) > 0)
		if (begins(line, "search") || begins(line, "domain") || begins(line, "options"))
			fputs(line, file);
	free(line);
	fclose(old);
	err = put_over(file, path, "/etc/resolv.conf");
	return err ? fail("cannot put another /etc/resolv.conf into the namespace: %s", strerror(-err)) : 0;
}

/* Others of its sources would ask daemons outside, such as systemd-resolved, and not the stub. */
static int nsswitch_put(const char *scratch)
{
	FILE *old = fopen("/etc/nsswitch.conf", "re"), *file;
	char path[4096], *line = NULL;
	size_t size = 0;
	int err;

	if (!old)
		return 0; /* the library's own order is right */
	file = scratch_open(scratch, "nsswitch.conf", path, sizeof(path));
	if (!file) {
		err = errno;
		fclose(old);
		return fail("cannot write %s: %s", path, strerror(err));
	}
	while (getline(&line, &size, old) > 0)
		fputs(begins(line, "hosts") ? "hosts: files dns\n" : line, file);
	free(line);
	fclose(old);
	err = put_over(file, path, "/etc/nsswitch.conf");
	return err ? fail("cannot put another /etc/nsswitch.conf into the namespace: %s", strerror(-err)) : 0;
}

/* A cache of names outside would be asked before anything else. */
static int nscd_hide(const char *scratch)
{
	static const char socket_path[] = "/run/nscd/socket";
	char path[4096];
	FILE *file;
	int err;

	if (access(socket_path, F_OK))
		return 0;
	file = scratch_open(scratch, "nscd", path, sizeof(path));
	err = file ? put_over(file, path, socket_path) : -errno;
	return err ? fail("cannot hide %s in the namespace: %s", socket_path, strerror(-err)) : 0;
}

/*
 * The files are on a file system of their own in this namespace, which nobody outside ever sees: nothing is
 * left behind, however we end.
 */
static int files_make(const char *scratch)
{
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)) {
		r = -errno;
		return r == -EACCES || r == -EPERM ? refused("mounting in the namespace", r) :
						     fail("cannot separate the mounts: %s", strerror(-r));
	}
	if (mount("ntm", scratch, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=256k"))
		return fail("cannot mount a file system at %s in the namespace: %s", scratch,
			    strerror(errno));
	r = resolv_conf_put(scratch);
	if (!r)
		r = nsswitch_put(scratch);
	if (!r)
		r = nscd_hide(scratch);
	if (umount2(scratch, MNT_DETACH) && !r)
		r = fail("cannot unmount %s in the namespace: %s", scratch, strerror(errno));
	return r;
}

int ntmctl_run_namespace_enter(const char *scratch, int ret_fd[RUN_FDS])
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int err;

	if (unshare(CLONE_NEWUSER))
		return refused("making a user namespace", -errno);
	err = map_ourselves(uid, gid);
	if (err)
		return refused("mapping the user into the namespace", err);
	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return refused("making a network and a mount namespace", -errno);
	err = network_make(gid, ret_fd);
	return err ? err : files_make(scratch);
}
