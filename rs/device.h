/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * device.h - the network devices of this machine, as far as XDP has to know them. Used by xdp.c.
 */
#ifndef NTM_RS_DEVICE_H
#define NTM_RS_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "xdp_link.h"

#define RS_DEVICES_MAX 256

struct rs_device {
	char name[RS_INTERFACE_MAX];
	unsigned ifindex;
	bool loopback, ethernet, veth;
	unsigned parent; /* of a VLAN device: index of the device it is on; 0: it is none */
	uint16_t vlan; /* its VLAN ID */
};

/* Returns how many, RS_DEVICES_MAX at most, or -errno. */
int rs_devices_read(struct rs_device device[RS_DEVICES_MAX]);

#endif
