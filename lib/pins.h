/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * pins.h - BPF programs that stay attached, and their maps, in a folder of the BPF file system: what is there
 * is what runs, for whoever comes next (a new daemon, or ntmctl without one).
 *
 *	PIN_DIR -> NAME-layoutN		a symbolic link, made last: without it the folder is not whole
 *	NAME-lock			whoever works with them has locked it
 *	NAME-layoutN/MAP		the maps
 *	NAME-layoutN/link_HOOK_IFINDEX	a link (XDP, tcx): removing it detaches
 *	NAME-layoutN/prog_HOOK_IFINDEX	a program at clsact, which has no links; ..._q: its qdisc is ours
 *
 * HOOK is a word of the caller's; one that begins with "in" hangs at ingress.
 */
#ifndef NTM_LIB_PINS_H
#define NTM_LIB_PINS_H

#include <stdbool.h>
#include <stddef.h>

#define NTM_PINS_PATH 512 /* longest path with its end: bytes */

struct ntm_pins {
	char link[NTM_PINS_PATH]; /* PIN_DIR */
	char dir[NTM_PINS_PATH]; /* the folder */
	unsigned layout;
};

enum ntm_pins_how { NTM_PINS_TCX, NTM_PINS_CLSACT };

/*
 * Where a set of this layout is, or comes. 0, or -errno and a sentence in ret_why: no BPF file system there
 * (it is mounted at /sys/fs/bpf if none is), no permission, too long. Nothing is made.
 */
int ntm_pins_find(struct ntm_pins *ret_pins, const char *pin_dir, unsigned layout, char *ret_why,
		  size_t why_len);
bool ntm_pins_are_there(const struct ntm_pins *pins); /* complete ones, of this layout */
/* The layout that is there, complete; 0: none. */
unsigned ntm_pins_layout(const char *pin_dir);
int ntm_pins_begin(const struct ntm_pins *pins); /* makes the folder. 0 or -errno */
/* From now on it is the complete one. The folder of another layout, if there was one, stays. 0 or -errno. */
int ntm_pins_complete(const struct ntm_pins *pins);

/*
 * Two processes with one folder would take each other's programs away, and each sees the other only here:
 * their network namespaces and control sockets may differ. Ends with the process. A descriptor; -EBUSY: another
 * process has it; or -errno.
 */
int ntm_pins_lock(const char *pin_dir);
void ntm_pins_unlock(const char *pin_dir, int fd); /* negative: nothing */

int ntm_pins_map_add(const struct ntm_pins *pins, const char *name, int fd); /* 0 or -errno */
int ntm_pins_map_get(const struct ntm_pins *pins, const char *name); /* a descriptor or -errno */

/*
 * Attaches a program to a device, or puts it in the place of the one that is there: no packet goes without
 * one meanwhile. front: before programs of others at the same hook. 0 and how, or -errno.
 */
int ntm_pins_tc_set(const struct ntm_pins *pins, const char *hook, unsigned ifindex, int prog_fd, bool front,
		    enum ntm_pins_how *ret_how);
/* flags: XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE; one that is there keeps its mode. */
int ntm_pins_xdp_set(const struct ntm_pins *pins, const char *hook, unsigned ifindex, int prog_fd,
		     unsigned flags);
bool ntm_pins_hook_is_set(const struct ntm_pins *pins, const char *hook, unsigned ifindex);
/* Harmless if not there */
void ntm_pins_hook_remove(const struct ntm_pins *pins, const char *hook, unsigned ifindex);
/* What hangs there by `from` hangs there by `to`: a new layout takes it over. Links only. */
int ntm_pins_hook_move(const struct ntm_pins *from, const struct ntm_pins *to, const char *hook,
		       unsigned ifindex);
/* Calls each() for every hook of the folder; it may remove it. */
void ntm_pins_hooks_each(const struct ntm_pins *pins,
			 void (*each)(void *ctx, const struct ntm_pins *pins, const char *hook,
				      unsigned ifindex),
			 void *ctx);

/* Removes the folder with all that is in it, and the symbolic link if it leads there. 0 or -errno. */
int ntm_pins_remove(const struct ntm_pins *pins);
/*
 * Calls each(), if any, for the folder of every layout that is there, complete or not: so the remains of a
 * crash are found. How many there are.
 */
size_t ntm_pins_each(const char *pin_dir, void (*each)(void *ctx, const struct ntm_pins *pins, bool complete),
		     void *ctx);

#endif
