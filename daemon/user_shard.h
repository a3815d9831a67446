/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_shard.h - data threads of the user engine. Each has a struct ntmd_engine of its own (a shard): tables,
 * trains, held packets, a queue of the TUN device, sockets at our port. A path that has a route is in one
 * shard, and all of its packets are worked on there, so that they stay in order and need no lock of their
 * own. The control loop has an engine too, the main one: with one thread (the default on small machines)
 * there is no other, and nothing of this file is used.
 *
 *	TUN queue i, socket i -> thread i: user_egress.c, user_ingress.c  <- lock -> engine.h, control
 *	                           |  what is not of this shard, and what control must know
 *	                           +-> up (bounded) -> control loop: ops, or into the right shard
 *
 *	user_shard.c	threads, locks, what goes up
 *	user_place.c	which path is in which shard, and how it gets there without its packets changing order
 *	steer.c		tells the kernel
 *
 * Rules: a thread holds its shard's lock while it works on one wake-up's packets (a bounded number), and only
 * ever its own. Control may hold several. Control takes it for each call of engine.h (NTMD_USER_LOCKED), and
 * the next wake-up waits for control. ops are never called for a shard's paths but from the control loop,
 * without any lock.
 */
#ifndef NTMD_USER_SHARD_H
#define NTMD_USER_SHARD_H

#include <pthread.h>

#include "daemon/user_engine.h"

struct ntmd_steer;

/* What only the threads need of a path. */
/* A remote endpoint that routes lead to: all of it goes to one shard. */
struct ntmd_user_end {
	struct ntmd_user_link link; /* in the table of all shards */
	struct ntm_endpoint at;
	struct ntmd_user_shard *shard;
	unsigned users; /* paths */
};

struct ntmd_user_local {
	struct ntmd_engine_path *path;
	struct ntmd_user_link by_id, by_vip[2]; /* in the tables of its shard */
	TAILQ_ENTRY(ntmd_user_local) to_tell, to_place, on_way;
	struct ntmd_user_end *at; /* its route's, once it is placed by it; NULL: not */
	bool telling, placing; /* in the lists of its shard, of the control loop */
	struct ntm_flow from; /* of NTMD_USER_NOTE_SOURCE */
	struct ntm_endpoint end[2]; /* that the kernel was last told of */
	bool sources_new; /* it was not told of all of these */
};
TAILQ_HEAD(ntmd_user_local_list, ntmd_user_local);

/* A queue in memory, of packets with what is known of them. */
struct ntmd_user_up {
	uint8_t *data;
	size_t used;
};

struct ntmd_user_shard {
	struct ntmd_engine *engine, *main;
	unsigned number; /* from 1: as steer.h counts */
	unsigned paths, coming; /* control's: that are in it, and on their way there */
	struct ntm_udp udp[2]; /* [0]: IPv4 */
	int wake_fd; /* eventfd: the timer is due earlier, or it shall end */
	bool stop, deaf; /* deaf: the device is gone */

	/* the lock, fair: who waits at the door is next */
	pthread_mutex_t door, room;
	unsigned depth; /* of control's calls; control's */
	bool by_control; /* who is in the room */

	struct ntmd_user_local_list to_tell;
	struct ntmd_user_up up, up_read; /* up_read: control's, which changes them */
	pthread_t thread;
	bool running;
};

/* Hangs at the main engine. */
struct ntmd_user_shards {
	struct ntmd_engine *main;
	struct ntmd_user_shard **shard;
	unsigned count;
	struct ntm_udp *udp[2]; /* control's */
	struct ntmd_steer *steer;
	int up_fd; /* eventfd: something came up */
	struct event *up, *place;
	struct ntmd_user_local_list to_place;
	struct ntmd_user_table ends;
};

/* ---- user_shard.c */
/*
 * Once the main engine has its device: as many threads as config says, or fewer. 0; -ENOMEM; or another
 * -errno with a sentence in ret_why: then there are none.
 */
int ntmd_user_shards_open(struct ntmd_engine *main, const struct ntmd_engine_config *config, char *ret_why,
			  size_t why_len);
void ntmd_user_shards_start(struct ntmd_user_shards *shards); /* again: no harm */
void ntmd_user_shards_close(struct ntmd_user_shards *shards);

/* Its thread must look at the time, if it is not itself that works. The lock is held. */
void ntmd_user_shard_timer(struct ntmd_user_shard *shard);
/* The control loop shall tell what path->notes has, and these. The lock is held. */
void ntmd_user_shard_tell(struct ntmd_engine_path *path, unsigned notes);
/* What came is not of this shard, or not data at all: control knows. Copied; dropped and counted if control
 * is behind. */
void ntmd_user_shard_up_datagram(struct ntmd_user_shard *shard, const struct ntm_flow *from,
				 const uint8_t *packet, size_t len);
void ntmd_user_shard_up_plain(struct ntmd_user_shard *shard, const struct virtio_net_hdr *vnet,
			      const uint8_t *packet, size_t len);
/* Works on what came up from there until now. From the loop only. */
void ntmd_user_shard_up_take(struct ntmd_user_shard *shard);
/* A flow of one side's sockets as one of the other's: NULL is control's. */
void ntmd_user_shard_flow(const struct ntmd_user_shards *shards, struct ntmd_user_shard *shard,
			  struct ntm_flow *flow);

/* ---- user_place.c: all by the control loop, after the main engine's tables have changed; nothing without
 * threads */
int ntmd_user_place_add(struct ntmd_engine_path *path); /* 0 or -ENOMEM */
void ntmd_user_place_free(struct ntmd_engine_path *path);
void ntmd_user_place_want(struct ntmd_engine_path *path); /* soon */
void ntmd_user_place_route(struct ntmd_engine_path *path); /* it has another route, or none */
void ntmd_user_place_identified(struct ntmd_engine_path *path);
void ntmd_user_place_forget(struct ntmd_engine_path *path); /* it is deleted; its shard's lock is held */
/* Before a path loses an address (0: IPv4), while its shard's lock is held, and after one has a new path or
 * none. */
void ntmd_user_place_unmap(struct ntmd_engine_path *path, int family);
void ntmd_user_place_mapped(struct ntmd_engine *main, const struct ntm_addr *vip);
void ntmd_user_place_all(evutil_socket_t fd, short what, void *arg);

#endif
