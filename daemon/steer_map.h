/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * steer_map.h - keys and sizes of the maps that steer.c fills and bpf/steer.bpf.c reads.
 */
#ifndef NTMD_STEER_MAP_H
#define NTMD_STEER_MAP_H

#include <ntm/limits.h>
#include <ntm/types.h>

#define NTMD_STEER_VIPS (2 * NTM_PATHS_MAX)
#define NTMD_STEER_ENDS 16384 /* what leaves by age is only slower: threads pass it on */

/* An endpoint without bytes between its members. */
struct ntmd_steer_end {
	struct ntm_addr addr;
	__u32 port; /* host byte order */
};

#endif
