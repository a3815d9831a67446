/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ntm0.h - the TUN device applications send to: made or taken over at start, addresses and routes as the DC
 * gives them. Packets are read and written by user_egress.c and user_ingress.c.
 */
#ifndef NTMD_NTM0_H
#define NTMD_NTM0_H

#include <stdbool.h>
#include <stddef.h>

#include <ntm/types.h>

/* A TUN device that is open, and what it does for us. */
struct ntmd_ntm0 {
	int fd; /* non-blocking; the caller closes it */
	unsigned ifindex; /* 0: a ready descriptor that is no TUN device */
	bool vnet; /* packets have a struct virtio_net_hdr before them */
	bool queues; /* it may have several */
	bool tso, uso; /* TCP and UDP come, and may be given, in super-packets (vnet.h) */
};

/*
 * Makes the persistent TUN device, or takes it over from an earlier ntmd, sets its MTU (bytes) and brings it
 * up. 0; or -errno and a sentence for the user in ret_why: -ENOENT or -ENXIO no /dev/net/tun, -EPERM no
 * CAP_NET_ADMIN, -EBUSY another process holds the device, -EINVAL a bad name, or a device of another kind.
 * queues: a new device can have several; one that is there stays as it is (ret_ntm0->queues).
 */
int ntmd_ntm0_open(struct ntmd_ntm0 *ret_ntm0, const char *device, unsigned mtu, bool queues, char *ret_why,
		   size_t why_len);
/* One more queue of a device that is open and may have several: a descriptor, or -errno. */
int ntmd_ntm0_queue_open(const char *device);

/* The same about a ready descriptor; how it was opened says what it can. */
void ntmd_ntm0_adopt(struct ntmd_ntm0 *ret_ntm0, int fd);

/* Brings a device up, with an MTU (bytes) and a queue for us; tso: it may be given super-packets. 0 or
 * -errno. */
int ntmd_ntm0_link_up(unsigned ifindex, bool tso, unsigned mtu);

/*
 * Gives the device its virtual addresses (/32 and /128; either may be none) and routes to the pools they are
 * from (prefix lengths in bits, of 32 and of 128), and takes away addresses of earlier calls and earlier
 * processes. 0 or -errno: -EINVAL for a prefix length of 0 or too long; else what the kernel said, the rest
 * being tried all the same.
 */
int ntmd_ntm0_configure(unsigned ifindex, const struct ntm_addr *vip4, unsigned prefix4,
			const struct ntm_addr *vip6, unsigned prefix6);

#endif
