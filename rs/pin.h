/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * pin.h - the pin directory of rs.conf, where maps and links outlive ntm-rs (pin.c). Used by xdp.c and
 * main.c.
 */
#ifndef NTM_RS_PIN_H
#define NTM_RS_PIN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define RS_PIN_LINK "link_" /* and the index of the interface: names may have dots, which bpffs refuses */

/*
 * Makes the directory, and mounts a BPF file system for it where there is none and we may. 0, or -errno and
 * what to do in ret_why.
 */
int rs_pin_prepare(const char *dir, char *ret_why, size_t why_len);

/* A name in the set of a layout, or with NULL the set itself. 0 or -ENAMETOOLONG. */
int rs_pin_set_path(char ret_path[PATH_MAX], const char *dir, unsigned layout, const char *name);
int rs_pin_set_make(const char *dir, unsigned layout); /* 0 or -errno; also if it is there */
/* The layouts that have a set; returns how many (max at most), or -errno. */
int rs_pin_sets(const char *dir, unsigned *ret_layout, unsigned max);
/* Everything in the set; a link that nobody has open is detached by that. */
void rs_pin_set_remove(const char *dir, unsigned layout);

/* Calls each() for the pinned link of every interface; it may remove that. 0 or -errno. */
int rs_pin_links(const char *dir, unsigned layout,
		 void (*each)(void *ctx, const char *path, unsigned ifindex), void *ctx);
void rs_pin_count(void *ctx, const char *path, unsigned ifindex); /* an each(): adds one to unsigned *ctx */

/* PIN_DIR/name leads to the one in the set. */
void rs_pin_show(const char *dir, unsigned layout, const char *name);

/* All sets, and the directory if nothing else is in it. 0 or -errno; -ENOTSUP: it is in no BPF file
 * system. */
int rs_pin_remove(const char *dir, unsigned *ret_links);

#endif
