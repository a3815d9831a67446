/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp_internal.h - what xdp.c (loading, falling back) and xdp_attach.c (interfaces) share; for everybody else
 * there is xdp.h.
 */
#ifndef NTM_RS_XDP_INTERNAL_H
#define NTM_RS_XDP_INTERNAL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "xdp.h"

#define RS_LAYOUTS_MAX 16 /* sets of pins beside each other; there are never more than two */

struct rs_xdp {
	struct rs *rs;
	struct xdp_relay_bpf *bpf; /* NULL: not loaded */
	bool pinned;
	int lock; /* of ntm_pins_lock, for pin-dir; negative: not ours */
	bool held; /* detached by hand */
	enum rs_xdp_mode mode; /* what is attached is attached so; OFF: none is */
	struct rs_xdp_link link[RS_INTERFACES_MAX];
	unsigned links;
	struct rs_next_hop *next_hop;
	struct event *settle;
	char told[512]; /* in the log */
	char why[256]; /* a sentence: why it is not better; empty: as wanted */
	/* Of what XDP sent, what arrived: counts when the last answer came. */
	uint64_t requests, answers;
	int64_t answered_ms, retry_ms, retry_after_ms;
	enum rs_xdp_mode silent; /* the mode that was given up; AUTO: none */
};

/* Attaches wherever it is wanted, and leaves what is not. mode AUTO: as it was, or to begin with. */
void rs_xdp_interfaces_take(struct rs_xdp *xdp, enum rs_xdp_mode mode);
/* Off all interfaces, pins included. why: a sentence for each of them. */
void rs_xdp_interfaces_leave(struct rs_xdp *xdp, const char *why);
/* Tells the maps our endpoints. */
void rs_xdp_locals_put(struct rs_xdp *xdp);
void rs_xdp_why_set(struct rs_xdp *xdp, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
