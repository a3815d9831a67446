/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp_link.h - the XDP program on one interface: which way it is attached, and why not in a better one. xdp.c
 * has one for every interface that packets for the relay come in by.
 */
#ifndef NTM_RS_XDP_LINK_H
#define NTM_RS_XDP_LINK_H

#include <stdbool.h>

#define RS_INTERFACE_MAX 16 /* name of an interface, with the closing zero: bytes */

/* As rs.conf has them. Of an interface: NATIVE, GENERIC, or OFF: user space relays what comes in there. */
enum rs_xdp_mode { RS_XDP_AUTO, RS_XDP_NATIVE, RS_XDP_GENERIC, RS_XDP_OFF };

struct rs_xdp_link {
	char name[RS_INTERFACE_MAX];
	unsigned ifindex;
	enum rs_xdp_mode mode;
	int fd; /* -1: not attached */
	char why[160]; /* a sentence: why it is not attached, or not natively; empty: as wanted */
};

/* "native", "generic", "user" */
const char *rs_xdp_mode_name(enum rs_xdp_mode mode);

/*
 * Attaches the program; mode: NATIVE or GENERIC. pin: path to pin the link at, or NULL. 0, or -errno and a
 * sentence in link->why.
 */
int rs_xdp_link_attach(struct rs_xdp_link *link, int prog_fd, enum rs_xdp_mode mode, const char *pin);

/*
 * Goes on with a link that an earlier ntm-rs pinned at `from`: its program is replaced, and no packet passes
 * by in between; then it is pinned at `pin`. 0, or -errno, then nothing has changed: -ENODEV: it is of
 * another interface, or its device is gone, -EMEDIUMTYPE: attached in another mode.
 */
int rs_xdp_link_adopt(struct rs_xdp_link *link, int prog_fd, enum rs_xdp_mode mode, const char *from,
		      const char *pin);

enum rs_xdp_mode rs_xdp_link_mode(unsigned ifindex); /* in which XDP is attached there; OFF: not at all */
bool rs_xdp_link_is_there(const struct rs_xdp_link *link); /* attached, and its device has not gone since */

/*
 * Without pin: lets go of it; if it is pinned, it stays attached. With pin: detaches, whoever else has it
 * open, and removes the pin.
 */
void rs_xdp_link_close(struct rs_xdp_link *link, const char *pin);
void rs_xdp_link_drop(const char *pin); /* detaches what is pinned there, and removes the pin */

#endif
