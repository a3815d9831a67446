/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolver_bpf.c - leads the name queries of this network namespace's applications to the stub where they
 * send them: hooks on sockets (bpf/dns_cgroup.bpf.c) at the top of the cgroup tree, and no file is touched.
 * resolver.c chooses this way.
 *
 * Nothing is pinned: the hooks last as long as this process, however it ends. While it hangs, they see that
 * from the time that a timer here writes, and leave queries alone.
 *
 * A server of this machine (dnsmasq, unbound, systemd-resolved) sends queries of its own. Led to the stub,
 * which may ask that same server, they would go in a circle: where resolv.conf or [dns] upstream names one,
 * only queries to it are led.
 */
#include "resolver_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/types.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <ntm/limits.h>

#include "dns_stub.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"

#include "bpf/dns_cgroup.h"
#include "bpf/dns_cgroup.skel.h"

#define MOUNTINFO "/proc/self/mountinfo"
#define PATH_ROOM 4096

struct ntmd_resolver_bpf {
	struct ntmd_dns *dns;
	struct dns_cgroup_bpf *skel;
	struct event *timer;
	unsigned servers_generation; /* what live.server has */
	bool attached;
};

static int libbpf_say(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[1024];

	(void)level;
	if (ntm_log_level() < NTM_LOG_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	ntm_debug("%s", text);
	return 0;
}

/* ---- the cgroup */

/* Spaces and the like are \ooo there. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' && text[2] <= '7' &&
		    text[3] >= '0' && text[3] <= '7') {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* Opens the mount of a line of mountinfo; -1: it is no cgroup2, or is covered by another mount. top: its
 * whole tree. */
static int cgroup_of_line(const char *line, bool *ret_top)
{
	char root[PATH_ROOM], point[PATH_ROOM];
	const char *type = strstr(line, " - ");
	struct statfs fs;
	int fd;

	if (!type || strncmp(type, " - cgroup2 ", 11) != 0 ||
	    sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) != 2)
		return -1;
	unescape(point);
	fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstatfs(fd, &fs) < 0 || (unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC) {
		close(fd);
		return -1;
	}
	*ret_top = strcmp(root, "/") == 0;
	return fd;
}

/* The top of the cgroup tree that this process sees, or the nearest to it. A descriptor or -errno with
 * why. */
static int cgroup_open(char *ret_why, size_t why_len)
{
	FILE *in = fopen(MOUNTINFO, "re");
	char *line = NULL;
	size_t room = 0;
	bool top = false;
	int found = -1;

	while (in && !top && getline(&line, &room, in) > 0) {
		bool this_top;
		int fd = cgroup_of_line(line, &this_top);

		if (fd < 0)
			continue;
		if (found >= 0 && !this_top) {
			close(fd);
			continue;
		}
		if (found >= 0)
			close(found);
		found = fd;
		top = this_top;
	}
	free(line);
	if (in)
		fclose(in);
	if (found >= 0)
		return found;
	snprintf(
		ret_why, why_len,
		"queries cannot be led to the stub by BPF: no cgroup2 file system is mounted here "
		"(mount -t cgroup2 cgroup2 /sys/fs/cgroup; `ip netns exec` hides it, `nsenter --net` does not)");
	return -ENOENT;
}

/* ---- what the hooks are told */

static void addr_put(struct ntm_dns_addr *to, const struct ntm_addr *from)
{
	memcpy(to->word, from->b, sizeof(to->word));
}

/* After a change of resolv.conf or of the own addresses. A program that reads this in between is wrong about
 * one query. */
static void servers_tell(struct ntmd_resolver_bpf *bpf)
{
	struct ntm_dns_live *live = &bpf->skel->bss->live;
	struct ntm_addr own[NTMD_DNS_OWN_MAX];
	char text[NTM_ADDR_TEXT];
	int count = ntmd_dns_servers_own(bpf->dns, &bpf->servers_generation, own);

	_Static_assert(NTMD_DNS_OWN_MAX <= NTM_DNS_SERVERS_MAX, "all have room");
	if (count < 0)
		return;
	for (int i = 0; i < count; i++) {
		addr_put(&live->server[i], &own[i]);
		ntm_info("dns: %s is a server of this machine: only queries to such are led to the stub",
			 ntm_addr_format(&own[i], text));
	}
	__atomic_store_n(&live->servers, (__u32)count, __ATOMIC_RELEASE);
}

static void beat(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_resolver_bpf *bpf = arg;
	struct timespec now;

	(void)fd;
	(void)what;
	servers_tell(bpf);
	clock_gettime(CLOCK_MONOTONIC, &now); /* bpf_ktime_get_ns() has the same */
	__atomic_store_n(&bpf->skel->bss->live.beat_ns, (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec,
			 __ATOMIC_RELAXED);
	ntm_timer_set_ms(bpf->timer, NTM_DNS_BEAT_MS);
}

static int netns_cookie_get(uint64_t *ret_cookie)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret_cookie);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* ---- load, attach */

static int why_refused(int err, const char *what, char *ret_why, size_t why_len)
{
	snprintf(ret_why, why_len, "queries cannot be led to the stub by BPF: %s: %s%s", what, strerror(-err),
		 err == -EPERM || err == -EACCES ? " (needs CAP_BPF and CAP_NET_ADMIN)" : "");
	return err;
}

static int programs_load(struct ntmd_resolver_bpf *bpf, const struct ntm_endpoint *listen, char *ret_why,
			 size_t why_len)
{
	struct ntmd_dns_loopback at;
	struct ntm_dns_config *config;
	uint64_t cookie;
	int err = netns_cookie_get(&cookie);

	if (err)
		return why_refused(err, "the kernel does not tell network namespaces apart", ret_why,
				   why_len);
	err = ntmd_dns_mark_set(bpf->dns, NTM_DNS_MARK);
	if (err)
		return why_refused(err, "a socket mark", ret_why, why_len);
	err = ntmd_dns_loopback_open(bpf->dns, &at, ret_why, why_len);
	if (err)
		return err;
	bpf->skel = dns_cgroup_bpf__open();
	if (!bpf->skel)
		return why_refused(-errno, "the programs", ret_why, why_len);
	config = &bpf->skel->rodata->config;
	config->netns_cookie = cookie;
	addr_put(&config->listen, &listen->addr);
	config->listen_port = htons(listen->port);
	config->udp4 = htons(at.udp4);
	config->tcp4 = htons(at.tcp4);
	config->udp6 = htons(at.udp6);
	config->tcp6 = htons(at.tcp6);
	err = dns_cgroup_bpf__load(bpf->skel);
	return err ? why_refused(err, "the kernel refuses the programs", ret_why, why_len) : 0;
}

void ntmd_resolver_bpf_detach(struct ntmd_resolver_bpf *bpf)
{
	/* First those that lead, so that no answer comes to an application unchanged. */
	for (int i = 0; i < bpf->skel->skeleton->prog_cnt; i++) {
		bpf_link__destroy(*bpf->skel->skeleton->progs[i].link);
		*bpf->skel->skeleton->progs[i].link = NULL;
	}
	bpf->attached = false;
}

int ntmd_resolver_bpf_attach(struct ntmd_resolver_bpf *bpf, char *ret_why, size_t why_len)
{
	struct bpf_object_skeleton *all = bpf->skel->skeleton;
	int err = 0, cgroup;

	if (bpf->attached)
		return 0;
	cgroup = cgroup_open(ret_why, why_len);
	if (cgroup < 0)
		return cgroup;
	/* Last those that lead: they come first in the object. */
	for (int i = all->prog_cnt - 1; i >= 0 && !err; i--) {
		*all->progs[i].link = bpf_program__attach_cgroup(*all->progs[i].prog, cgroup);
		if (!*all->progs[i].link)
			err = -errno;
	}
	close(cgroup);
	if (err) {
		ntmd_resolver_bpf_detach(bpf);
		return why_refused(err, "the cgroup refuses the programs", ret_why, why_len);
	}
	bpf->attached = true;
	return 0;
}

bool ntmd_resolver_bpf_attached(const struct ntmd_resolver_bpf *bpf)
{
	return bpf->attached;
}

int ntmd_resolver_bpf_open(struct ntmd_resolver_bpf **ret_bpf, struct event_base *base, struct ntmd_dns *dns,
			   const struct ntm_endpoint *listen, char *ret_why, size_t why_len)
{
	struct ntmd_resolver_bpf *bpf = calloc(1, sizeof(*bpf));
	int err;

	if (bpf)
		bpf->timer = ntm_timer_new(base, beat, bpf);
	if (!bpf || !bpf->timer) {
		snprintf(ret_why, why_len, "out of memory");
		free(bpf);
		return -ENOMEM;
	}
	libbpf_set_print(libbpf_say);
	bpf->dns = dns;
	err = programs_load(bpf, listen, ret_why, why_len);
	if (!err) {
		beat(-1, 0, bpf);
		err = ntmd_resolver_bpf_attach(bpf, ret_why, why_len);
	}
	if (err) {
		ntmd_resolver_bpf_close(bpf);
		return err;
	}
	*ret_bpf = bpf;
	return 0;
}

void ntmd_resolver_bpf_close(struct ntmd_resolver_bpf *bpf)
{
	event_free(bpf->timer);
	if (bpf->skel)
		ntmd_resolver_bpf_detach(bpf);
	dns_cgroup_bpf__destroy(bpf->skel);
	free(bpf);
}
