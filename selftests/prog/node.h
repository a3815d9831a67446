/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * node.h - a network of the test's own, and the node's BPF programs in it with the maps of a node, filled as ntmd
 * would; packets to order. For test_node_*.c and selftests/bench/bpf.c.
 *
 *	ntm0    ntm0s ==== ntm0p    net0 192.0.2.1/24 and 2001:db8::1/64    (all veth)
 *
 * Shares no code with what it tests: lib/aead.h seals and opens here, sums are computed byte by byte.
 */
#ifndef NTM_PROG_NODE_H
#define NTM_PROG_NODE_H

#include <stdbool.h>

#include <ntm/drop.h>
#include <ntm/header.h>
#include <ntm/maps.h>

#include "bpf/node.skel.h"
#include "prog.h"

#define NODE_SLOTS 64 /* paths a node has room for, if nobody sets node_slots */
#define NODE_MTU 1400
#define NODE_OVERHEAD (NTM_HEADER_LEN + NTM_TAG_LEN)
#define NODE_FRAME 2048

enum { NODE_PASS = 2, NODE_DROP = 1 }; /* XDP_PASS, XDP_DROP */
enum { NODE_SHOT = 2, NODE_REDIRECT = 7, NODE_NEXT = -1 }; /* TC_ACT_SHOT, _REDIRECT, _UNSPEC */

/* One end of a path. Each node has its own programs and maps; both are in one network namespace. */
struct node {
	struct node_bpf *bpf;
	struct ntm_config *config; /* mapped */
	struct ntm_ends *ends; /* mapped, node_slots */
	struct ntm_source *sources; /* mapped */
	struct ntm_addr vip4, vip6;
	struct ntm_addr real4, real6;
	uint16_t port;
	uint8_t side;
};

#define NODE_PATH_ID 0x0123456789abcdefULL
#define NODE_SLOT 5 /* of the one path there is */

extern unsigned node_slots; /* to be set before node_open */
/* The interfaces' indexes. */
extern unsigned node_device, node_seal_in, node_seal_out, node_net;

/* A network namespace for this process, with all devices. 0, or -1 and a message. */
int node_network(void);
/* Loads the programs for the end `side`: its addresses end in side + 1. 0, or -1 and a message. */
int node_open(struct node *node, uint8_t side);
void node_close(struct node *node);

/* Everything of the path between both as it is when it is up: keys of phase 0, IPv4 or IPv6 outside, windows empty. */
void node_path(struct node *node, const struct node *peer, bool outer4);
struct ntm_ends_copy *node_ends_next(struct node *node); /* the copy not in use, which is made like the one in use */
void node_ends_flip(struct node *node);
/* A key for this phase; seal and open are the first bytes of otherwise fixed keys. */
void node_key(struct node *node, unsigned phase, uint8_t seal, uint8_t open, uint32_t tag, uint64_t expires_ns);
void node_key_bytes(uint8_t ret_key[NTM_KEY_LEN], uint8_t first);
void node_window_make(struct node *node, uint32_t tag, uint64_t next); /* all before next: seen */
void node_flows_clear(struct node *node); /* no flow was ever fast */
void node_state(const struct node *node, struct ntm_state *ret_state);
void node_state_set(struct node *node, const struct ntm_state *state);
uint64_t node_drops(const struct node *node, int reason); /* over all CPUs */
uint64_t node_drops_all(const struct node *node);
unsigned node_events(const struct node *node, struct ntm_event *ret_last); /* since the last call */
uint64_t node_now(void); /* boot-time clock, ns */

/* ---- packets. Buffers have NODE_FRAME bytes. */

struct node_inner {
	bool six;
	uint8_t tos, hops;
	bool tcp;
	size_t payload; /* of UDP or TCP */
};

/* An IP packet from one virtual address to the other. Its length. */
size_t node_inner_make(uint8_t *out, const struct node *from, const struct node *to, const struct node_inner *what);
/* The same in a frame as it comes out of the helper pair. */
size_t node_frame_make(uint8_t *out, const uint8_t *inner, size_t len);
/* What a peer would send: sealed by lib/aead.h, under the key with that first byte. */
struct node_outer {
	bool four;
	uint8_t tos, type, key;
	uint64_t counter, path_id; /* 0: NODE_PATH_ID */
};
size_t node_outer_make(uint8_t *out, const struct node *from, const struct node *to, const struct node_outer *what,
		       const uint8_t *text, size_t len);
/*
 * Checks a frame of `from` in every field (sums too), opens it, and returns the text's length.
 * ret_what has the type, counter and tos it came with.
 */
int node_outer_open(const uint8_t *frame, size_t len, const struct node *from, const struct node *to,
		    struct node_outer *what, uint8_t *ret_text);
bool node_sums_right(const uint8_t *packet, size_t len); /* IP, and UDP, TCP or ICMP behind it */

/* ---- running. tc: the verdict, as a negative number where it is one. */
int node_egress(struct node *node, const uint8_t *packet, size_t len, unsigned gso_size, struct prog_run *run);
int node_seal(struct node *node, const uint8_t *frame, size_t len, struct prog_run *run);
int node_receive(struct node *node, const uint8_t *frame, size_t len, struct prog_run *run);
int node_commit(struct node *node, uint32_t tag, uint64_t counter);
#endif
