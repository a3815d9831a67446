/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolver_internal.h - the ways that resolver.c chooses from.
 */
#ifndef NTMD_RESOLVER_INTERNAL_H
#define NTMD_RESOLVER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "resolver.h"

struct ntmd_resolver_resolved;
struct ntmd_resolver_bpf;
struct ntmd_resolver_file;

/* ---- resolver_resolved.c: systemd-resolved by D-Bus. zone: NULL or "" while it is not known. */
int ntmd_resolver_resolved_open(struct ntmd_resolver_resolved **ret_resolved, const struct ntm_endpoint *stub,
				unsigned ifindex, const char *zone, char *ret_why, size_t why_len);
void ntmd_resolver_resolved_zone_set(struct ntmd_resolver_resolved *resolved, const char *zone);
void ntmd_resolver_resolved_close(struct ntmd_resolver_resolved *resolved);

/* ---- resolver_bpf.c: hooks on sockets */
int ntmd_resolver_bpf_open(struct ntmd_resolver_bpf **ret_bpf, struct event_base *base, struct ntmd_dns *dns,
			   const struct ntm_endpoint *listen, char *ret_why, size_t why_len);
/* Harmless twice, as detach */
int ntmd_resolver_bpf_attach(struct ntmd_resolver_bpf *bpf, char *ret_why, size_t why_len);
void ntmd_resolver_bpf_detach(struct ntmd_resolver_bpf *bpf);
bool ntmd_resolver_bpf_attached(const struct ntmd_resolver_bpf *bpf);
void ntmd_resolver_bpf_close(struct ntmd_resolver_bpf *bpf);

/* ---- resolver_file.c: resolv.conf. path: /etc/resolv.conf but in tests. */
int ntmd_resolver_file_open(struct ntmd_resolver_file **ret_file, struct event_base *base, const char *path,
			    const struct ntm_endpoint *stub, char *ret_why, size_t why_len);
/* Looks whether another program replaced the file, and then takes over the new one, if now_ms
 * (ntm_loop_now_ms) is long enough after the last time. A timer does so by itself. */
void ntmd_resolver_file_check(struct ntmd_resolver_file *file, int64_t now_ms);
void ntmd_resolver_file_close(struct ntmd_resolver_file *file);
/* Restores a file that an ntmd with this stub had taken over when it was killed; leaves others alone. */
void ntmd_resolver_file_put_back(const char *path, const struct ntm_endpoint *stub);

#endif
