/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * device.c - lists the network devices (device.h), for xdp.c.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"

static bool is_veth(int fd, const char *name)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (void *)&info};

	memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return !ioctl(fd, SIOCETHTOOL, &request) && !strcmp(info.driver, "veth");
}

static void vlan_read(int fd, struct rs_device *device)
{
	struct vlan_ioctl_args request = {.cmd = GET_VLAN_REALDEV_NAME_CMD};
	unsigned parent;

	memcpy(request.device1, device->name, sizeof(device->name));
	if (ioctl(fd, SIOCGIFVLAN, &request))
		return;
	request.u.device2[sizeof(request.u.device2) - 1] = '\0';
	parent = if_nametoindex(request.u.device2);
	request.cmd = GET_VLAN_VID_CMD;
	if (ioctl(fd, SIOCGIFVLAN, &request))
		return;
	device->parent = parent;
	device->vlan = (uint16_t)request.u.VID;
}

static void device_read(int fd, struct rs_device *device, const struct if_nameindex *at)
{
	struct ifreq request = {0};

	memset(device, 0, sizeof(*device));
	device->ifindex = at->if_index;
	memcpy(device->name, at->if_name, strnlen(at->if_name, sizeof(device->name) - 1));
	memcpy(request.ifr_name, device->name, sizeof(device->name));
	if (!ioctl(fd, SIOCGIFHWADDR, &request)) {
		device->ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
		device->loopback = request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
	}
	device->veth = is_veth(fd, device->name);
	vlan_read(fd, device);
}

int rs_devices_read(struct rs_device device[RS_DEVICES_MAX])
{
	struct if_nameindex *all = if_nameindex();
	int n = 0, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!all || fd < 0) {
		n = -errno;
		goto out;
	}
	for (; n < RS_DEVICES_MAX && all[n].if_index; n++)
		device_read(fd, &device[n], &all[n]);
out:
	if (fd >= 0)
		close(fd);
	if (all)
		if_freenameindex(all);
	return n;
}
