/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolv_conf.h - reading resolv.conf(5): the stub's upstream servers (dns_servers.c), and what stood in the
 * file that resolver_file.c takes over.
 */
#ifndef NTMD_RESOLV_CONF_H
#define NTMD_RESOLV_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#define NTMD_RESOLV_CONF "/etc/resolv.conf"
#define NTMD_RESOLV_CONF_SERVERS 4
#define NTMD_RESOLV_CONF_MAX 65536 /* longer files are refused: bytes */
/* First line of a file that ntmd wrote, and where the one that stood there before is. */
#define NTMD_RESOLV_CONF_MARK "# Written by ntmd; the file that was here before is kept as *.ntm-saved"
#define NTMD_RESOLV_CONF_SAVED ".ntm-saved"

/* Tells whether a file was changed or replaced. */
struct ntmd_resolv_conf_state {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

/* The file's text, closed by a zero byte, for the caller to free, and its state (may be NULL). -errno;
 * -EFBIG. */
int ntmd_resolv_conf_read(char **ret_text, struct ntmd_resolv_conf_state *ret_state, const char *path);
/* All zero if there is no file. */
void ntmd_resolv_conf_stat(struct ntmd_resolv_conf_state *ret_state, const char *path);
/* Whether ntmd wrote it. */
bool ntmd_resolv_conf_is_ours(const char *text);
/* "nameserver" lines, port 53, IPv6 also with %scope; at most NTMD_RESOLV_CONF_SERVERS, the count is
 * returned. */
unsigned ntmd_resolv_conf_servers(const char *text,
				  struct sockaddr_storage ret_servers[NTMD_RESOLV_CONF_SERVERS]);

#endif
