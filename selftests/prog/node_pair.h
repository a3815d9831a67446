/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * node_pair.h - the two ends of a path that test_node_*.c work with, made once for a program, and as good as new before
 * each test; and what one sends the other. Included by each once, after node.h.
 */
#ifndef NTM_PROG_NODE_PAIR_H
#define NTM_PROG_NODE_PAIR_H

#include "node.h"

#include "../unit/vectors.h"

static struct node a, b; /* a sends, b receives */

static int setup(void **state)
{
	(void)state;
	return node_network() || node_open(&a, 0) || node_open(&b, 1) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	node_close(&a);
	node_close(&b);
	return 0;
}

/* Both ends as they are when the path is up. */
static int fresh(void **state)
{
	(void)state;
	node_path(&a, &b, true);
	node_path(&b, &a, true);
	node_flows_clear(&a);
	return 0;
}

/* An IPv4 packet of a to b. Its length. */
static inline size_t plain_make(uint8_t *inner, size_t payload)
{
	return node_inner_make(inner, &a, &b, &(struct node_inner){.payload = payload});
}

/* A frame from a that b takes, with everything in it. */
struct arrival {
	struct node_outer outer;
	uint8_t inner[NODE_FRAME], frame[NODE_FRAME];
	size_t inner_len, len;
};

static inline void arrival_seal(struct arrival *p)
{
	p->len = node_outer_make(p->frame, &a, &b, &p->outer, p->inner, p->inner_len);
}

static inline void arrival_make(struct arrival *p, bool four, bool six, uint64_t counter)
{
	p->outer = (struct node_outer){.four = four, .type = NTM_TYPE_DATA, .key = 10, .counter = counter};
	p->inner_len = node_inner_make(p->inner, &a, &b, &(struct node_inner){.six = six, .payload = 100});
	arrival_seal(p);
}
#endif
