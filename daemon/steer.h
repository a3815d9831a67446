/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * steer.h - tells the kernel which data thread shall get a packet: the queue of the TUN device by virtual
 * address, the socket by the far endpoint. Called by user_place.c.
 */
#ifndef NTMD_STEER_H
#define NTMD_STEER_H

#include <ntm/types.h>

struct ntmd_steer;

/*
 * Loads the programs, for this many threads. 0 or -errno: -EPERM without CAP_BPF; -EINVAL and the like: the
 * kernel lacks what it takes (Linux 4.18).
 */
int ntmd_steer_open(struct ntmd_steer **ret_steer, unsigned threads);
void ntmd_steer_close(struct ntmd_steer *steer);
/* All queues of the device, all sockets of the group (SO_REUSEPORT) from now on. 0 or -errno. */
int ntmd_steer_tun(struct ntmd_steer *steer, int fd);
int ntmd_steer_udp(struct ntmd_steer *steer, int fd);
/* thread: 0 is the control loop, which also gets what is not set. 0 or -errno. */
int ntmd_steer_vip(struct ntmd_steer *steer, const struct ntm_addr *vip, unsigned thread);
/* thread: from 1 */
int ntmd_steer_end(struct ntmd_steer *steer, const struct ntm_endpoint *end, unsigned thread);

#endif
