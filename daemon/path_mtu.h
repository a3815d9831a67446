/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_mtu.h - how large a datagram may be on a route (doc/PROTOCOL.md, "Path MTU"). path_mtu.c is the
 * search, without I/O; path_mtu_probe.c sends its questions (padded PATH_CHALLENGEs) and tells the engine
 * what came out.
 *
 *	route.c: a route is proven --\                                    /-> PATH_CHALLENGE -> path_control.c
 *	udp.c: EMSGSIZE, ICMP --------+-> path_mtu_probe.c <-> path_mtu.c
 *	keepalive.c: there is traffic /                                   \-> ntmd_engine_path_mtu_set
 *
 * A route begins with the size that both ends' devices ask for, and a question of that size goes out when it
 * is proven, so most paths know after one round trip that all is well. Each try is the large question and a
 * small one behind it: only a try whose small question is answered while the large one is not says something
 * about the size. So it needs no waiting where ICMP is filtered, and loss alone is not taken for it easily.
 *
 * ICMP is a hint: it is believed at once only while the size in use has not been answered yet, never below
 * NTM_PATH_MTU_FLOOR*, and larger sizes are asked again. After that it only makes us ask.
 *
 * Sizes are UDP payloads: what a relay carries from IPv4 to IPv6 stays the same in them.
 */
#ifndef NTMD_PATH_MTU_H
#define NTMD_PATH_MTU_H

#include <stdbool.h>
#include <stdint.h>

struct ntmd_path_mtu {
	uint16_t wanted; /* the largest that is of use; 0: not begun */
	uint16_t floor; /* what ICMP or silence cannot get below */
	uint16_t size; /* in use */
	uint16_t proven; /* the last that was answered; 0: none */
	uint16_t too_big; /* the smallest that does not pass; 0: none known */
	uint16_t hint; /* what ICMP named; 0: nothing */
	uint16_t probe; /* asked now; 0: nothing */
	bool check; /* ask for the size in use again */
	bool small_back; /* the small question of this try is answered */
	/* of the probe: lost ones count, silent ones (both are missing) do not */
	uint8_t tries, lost, silent;
	int64_t due_ms; /* boot-time clock; INT64_MAX: nothing is to be done */
	int64_t raise_ms; /* when larger ones are asked again; 0: the search goes on */
	uint64_t nonce; /* of the large question; a small one's has the number of its try in the low byte */
};

/* Again: the size in use is kept if it is not larger than wanted, and asked first. */
void ntmd_path_mtu_begin(struct ntmd_path_mtu *mtu, unsigned wanted, unsigned floor, int64_t now_ms);
/*
 * What is due. True: send the question mtu->probe with mtu->nonce, then a small one with mtu->nonce +
 * mtu->tries; their size is the caller's. rtt_us: 0 if not known. random: for a new nonce.
 */
bool ntmd_path_mtu_step(struct ntmd_path_mtu *mtu, int64_t now_ms, uint32_t rtt_us, uint64_t random);
/* True: the nonce is one of the questions that are out. */
bool ntmd_path_mtu_answered(struct ntmd_path_mtu *mtu, uint64_t nonce, int64_t now_ms);
/* The system refused to send the large question for its size. */
void ntmd_path_mtu_refused(struct ntmd_path_mtu *mtu, int64_t now_ms);
void ntmd_path_mtu_hint(struct ntmd_path_mtu *mtu, unsigned size, int64_t now_ms); /* by ICMP */
/* by one's own interface */
void ntmd_path_mtu_local(struct ntmd_path_mtu *mtu, unsigned size, int64_t now_ms);
void ntmd_path_mtu_check(struct ntmd_path_mtu *mtu, int64_t now_ms); /* does the size in use still pass? */

/* ---- path_mtu_probe.c */

struct ntm_udp_too_big;
struct ntmd_path;
struct ntmd_route;

void ntmd_path_mtu_start(struct ntmd_path *path, struct ntmd_route *route); /* the route is proven (again) */
/* of a PATH_RESPONSE; false: not one of ours */
bool ntmd_path_mtu_response(struct ntmd_path *path, uint64_t nonce);
void ntmd_path_mtu_apply(struct ntmd_path *path); /* tells the engine what the routes in use carry */
/* of keepalive.c; sent by the path so far */
void ntmd_path_mtu_tick(struct ntmd_path *path, uint64_t tx_bytes);
void ntmd_path_mtu_free(struct ntmd_path *path);
/* largest inner packet */
unsigned ntmd_path_mtu_inner(const struct ntmd_path *path, const struct ntmd_route *route);
/*
 * Largest outer IP packet, as it leaves here, that the route has been shown to carry; 0: nothing yet.
 * ret_more: larger ones were never asked for, since no inner packet needs them.
 */
unsigned ntmd_path_mtu_outer(const struct ntmd_path *path, const struct ntmd_route *route, bool *ret_more);
/* struct ntm_udp's too_big; ctx: struct ntmd */
void ntmd_path_mtu_told(void *ctx, const struct ntm_udp_too_big *told);

#endif
