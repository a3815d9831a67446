/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * vnet.h - the header before each packet of a TUN device with IFF_VNET_HDR: what is left to do about its
 * checksum, and into which pieces it falls. Read by segment.c, written by coalesce.c, switched on by ntm0.c.
 */
#ifndef NTMD_VNET_H
#define NTMD_VNET_H

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

/* Younger than the headers of Debian 12. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define NTMD_VNET_LEN sizeof(struct virtio_net_hdr) /* the short form: 10 bytes */

#endif
