/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp.h - the XDP relay as the rest of ntm-rs sees it: it is there or not, on which interfaces and how, and
 * why not in a better way. Relaying in user space goes on beside it, for all that XDP passes up.
 *
 *	rs.conf -> xdp.c -+- pin.c        where maps and links are pinned
 *	                  |- inherit.c    what an earlier ntm-rs left there
 *	                  |- xdp_link.c   the program on one interface
 *	                  |- relay_map.c  the maps
 *	                  '- next_hop.c   routes and devices that change
 */
#ifndef NTM_RS_XDP_H
#define NTM_RS_XDP_H

#include <stdbool.h>

#include "xdp_link.h"

#define RS_INTERFACES_MAX 16

struct rs;
struct rs_xdp;

/*
 * Loads, takes over what is pinned, attaches. What cannot be had is told in the log and in the status, and
 * never an error: user space relays. 0 or -ENOMEM.
 */
int rs_xdp_open(struct rs *rs);
/* Pinned links stay attached, and forward until their paths expire. */
void rs_xdp_close(struct rs *rs);
/* Every second: whether what XDP sends arrives, else it falls back. */
void rs_xdp_check(struct rs *rs);
/* Links, addresses or devices may have changed: looked at a moment later, all changes at once. */
void rs_xdp_interfaces_changed(struct rs *rs);
/* By hand: off every interface, pins included, until attached again (or the next start). 0 or -errno. */
int rs_xdp_detach(struct rs *rs);
int rs_xdp_attach(struct rs *rs);

/* ---- for the status */

enum rs_xdp_mode rs_xdp_mode(const struct rs *rs); /* the best of the interfaces; OFF: user space alone */
const char *rs_xdp_why(const struct rs *rs); /* why not a better one; empty: as configured */
bool rs_xdp_is_pinned(const struct rs *rs);
/* Returns how many interfaces there are to attach to, and where they stand. */
unsigned rs_xdp_links(const struct rs *rs, const struct rs_xdp_link **ret_link);

/* ---- next_hop.c: routes, neighbours, links and addresses that change make cached next hops void */

struct rs_next_hop;
int rs_next_hop_open(struct rs *rs, struct rs_next_hop **ret_next_hop); /* 0 or -errno */
void rs_next_hop_close(struct rs_next_hop *next_hop);

#endif
