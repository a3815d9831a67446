/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_lane_internal.h - what is in a lane, for the two files that make it: user_lane.c receives, decides and
 * hands over, user_send.c sends.
 */
#ifndef NTM_RS_USER_LANE_INTERNAL_H
#define NTM_RS_USER_LANE_INTERNAL_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "rs.h"

#define BATCH 64 /* messages in one system call */
#define OUTS 64 /* messages that wait to be sent */
#define SLOTS 128 /* power of two: a leg's open train is looked for at one place */
/* Not a power of two: the beginnings of all buffers would compete for the same few places of the cache. */
#define BUFFER (NTM_PACKET_MAX + 1 + 5 * 64)
#define CONTROL_LEN 128 /* control messages of one received datagram (its local address, size, TOS): bytes */

/* One message that waits to be sent. */
struct out {
	const struct rs_leg *leg; /* that it goes to; only to compare with, and only in its batch */
	unsigned listen;
	size_t size, len; /* of a datagram, of all: bytes */
	unsigned segments, parts;
	bool closed; /* its last datagram was shorter */
	struct ntm_flow from;
	struct sockaddr_storage to;
	socklen_t to_len;
	size_t control_len;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
						 CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
	struct iovec part[NTM_UDP_SEGMENTS_ALWAYS];
};

/* One received batch. */
struct batch {
	struct sockaddr_storage from[BATCH];
	struct iovec part[BATCH];
	struct mmsghdr msg[BATCH];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_LEN];
	uint8_t buf[BATCH][BUFFER]; /* only pages that packets reached take memory */
};

struct handed {
	struct ntm_flow from;
	size_t len; /* bytes it had */
	bool header_only;
	uint8_t packet[NTM_CONTROL_MAX];
};

struct rs_lane {
	struct rs *rs;
	bool is_main;
	struct ntm_udp udp[NTM_SERVERS_MAX], urgent[NTM_SERVERS_MAX];
	bool any[NTM_SERVERS_MAX]; /* bound to no address: each packet's own matters */
	int64_t no_segment_us[NTM_SERVERS_MAX]; /* until then */
	unsigned udps, urgents;
	unsigned ask[NTM_SERVERS_MAX]; /* messages next time */
	unsigned outs;
	uint8_t slot[SLOTS]; /* hash of a leg -> number of its out, plus one */
	struct out out[OUTS];
	struct mmsghdr msg[OUTS]; /* being sent */
	struct out *sending[OUTS];
	/* to the main loop */
	pthread_mutex_t inbox_lock;
	int inbox_fd;
	unsigned handed_in; /* under the lock; as is `in` */
	struct handed *in, *read; /* written by the lane; taken by the main loop */
	unsigned unknown; /* handed over since unknown_us */
	int64_t unknown_us;
	struct batch batch;
};

/* ---- user_send.c */

/*
 * What a leg is to get, from the buffer it came in, which stays as it is until it is sent. The caller has
 * seen to it that there is room for one out more.
 */
void rs_lane_out_add(struct rs_lane *lane, const struct rs_leg *leg, const struct ntm_flow *from,
		     uint8_t *buf, size_t len, int64_t now_us);
/* Sends all of it: before the buffers are received into again. */
void rs_lane_flush(struct rs_lane *lane);

#endif
