/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_lane.h - a lane: one thread's sockets, two a listen endpoint (the main loop's one), the batch it
 * received and the trains it is about to send. Lane 0 is the main loop's and takes what only that may handle
 * (sessions, binds); the others are threads that relay (user_relay.c makes them all, and has the kernel put
 * each packet into the right one).
 *
 *	recvmmsg -> rs_lane_read() -> receive.c -+-> rs_lane_forward() -> trains -> sendmmsg
 *	                                         '-> rs_lane_hand_over() -> the main loop
 */
#ifndef NTM_RS_USER_LANE_H
#define NTM_RS_USER_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "udp.h"

struct rs;
struct rs_lane;

/* Its sockets are still to be opened: rs_lane_open(). NULL: no memory. */
struct rs_lane *rs_lane_new(struct rs *rs, bool is_main);
/* The next listen endpoint, shared with the other lanes. 0 or -errno. */
int rs_lane_open(struct rs_lane *lane, const struct ntm_endpoint *listen);
/* A thread's second socket there, after the first: for what must not wait, or be lost, in a flood of data. 0
 * or -errno. */
int rs_lane_open_urgent(struct rs_lane *lane, const struct ntm_endpoint *listen);
/* The thread has ended. NULL: nothing. */
void rs_lane_free(struct rs_lane *lane);

bool rs_lane_is_any(const struct ntm_addr *addr); /* no address, or 0.0.0.0 */
struct ntm_udp *rs_lane_udp(struct rs_lane *lane, unsigned listen);
struct ntm_udp *rs_lane_urgent(struct rs_lane *lane, unsigned listen); /* of a thread */

/*
 * Receives one batch from a socket (a thread's second one: urgent), and sends what is to be forwarded. True:
 * there may be more. Of lanes that are not the main one's any thread may call it, but one at a time.
 */
bool rs_lane_read(struct rs_lane *lane, unsigned listen, bool urgent);

/*
 * For receive.c, during rs_lane_read(): passes a packet on by its Path ID, unchanged. 0, or the negative drop
 * reason, not yet counted: -NTM_DROP_PATH_UNKNOWN, or rs_path_admit()'s.
 */
int rs_lane_forward(struct rs_lane *lane, const struct ntm_flow *from, uint8_t *buf, size_t len,
		    int64_t now_us);

/*
 * The same, from a lane that is not the main one's: the main loop is to see this packet, or, with
 * header_only, that there is nobody who knows its ID. What is too much for it is dropped and counted.
 */
void rs_lane_hand_over(struct rs_lane *lane, const struct ntm_flow *from, const uint8_t *buf, size_t len,
		       bool header_only, int64_t now_us);
int rs_lane_inbox_fd(const struct rs_lane *lane); /* readable: something was handed over */
void rs_lane_inbox_read(struct rs_lane *lane); /* gives it to receive.c, in the main loop */

#endif
