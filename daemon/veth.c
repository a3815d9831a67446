/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * veth.c - the helper pair ntm0s, ntm0p between tc_egress and tc_seal: made, set up, taken over, removed.
 * Before it: bpf_attach.c; on the packet's way see veth.h.
 *
 * Locally sent packets lack their checksums until a device that cannot compute them takes them. So the pair
 * has no offload at all: then the kernel completes checksums, segments super-packets and makes packets
 * linear, before the seal.
 */
#include "daemon/veth.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

#define QUEUE 1000 /* packets; the pair has no queue of its own while nobody gives it one */
#define FEATURES_MAX 256

static int ethtool_call(const char *name, void *command)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	request.ifr_data = command;
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		err = -errno;
	close(fd);
	return err;
}

void ntmd_veth_driver(unsigned ifindex, char *ret_name, size_t name_len)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	char name[IF_NAMESIZE];

	*ret_name = 0;
	if (if_indextoname(ifindex, name) && !ethtool_call(name, &info))
		snprintf(ret_name, name_len, "%.*s", (int)sizeof(info.driver), info.driver);
}

/* Names of offloads that would leave a packet unfinished. */
static bool leaves_work(const char *feature)
{
	return !strncmp(feature, "tx-", 3) &&
	       (strstr(feature, "checksum") || strstr(feature, "segmentation") ||
		strstr(feature, "scatter") || strstr(feature, "gso"));
}

/* The kernel names its features; how many there are differs. */
static int features_read(const char *name, struct ethtool_gstrings **ret_strings)
{
	union {
		struct ethtool_sset_info info;
		uint8_t room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
	} set;
	struct ethtool_gstrings *strings;
	uint32_t count;
	int err;

	memset(&set, 0, sizeof(set));
	set.info.cmd = ETHTOOL_GSSET_INFO;
	set.info.sset_mask = 1ULL << ETH_SS_FEATURES;
	err = ethtool_call(name, &set);
	if (err)
		return err;
	count = set.info.data[0];
	if (!count || count > FEATURES_MAX)
		return -EOPNOTSUPP;
	strings = calloc(1, sizeof(*strings) + (size_t)count * ETH_GSTRING_LEN);
	if (!strings)
		return -ENOMEM;
	strings->cmd = ETHTOOL_GSTRINGS;
	strings->string_set = ETH_SS_FEATURES;
	strings->len = count;
	err = ethtool_call(name, strings);
	if (err)
		free(strings);
	else
		*ret_strings = strings;
	return err;
}

static int offloads_off(const char *name)
{
	union {
		struct ethtool_sfeatures set;
		uint8_t room[sizeof(struct ethtool_sfeatures) +
			     FEATURES_MAX / 32 * sizeof(struct ethtool_set_features_block)];
	} off;
	struct ethtool_gstrings *strings;
	int err = features_read(name, &strings);

	if (err)
		return err;
	memset(&off, 0, sizeof(off));
	off.set.cmd = ETHTOOL_SFEATURES;
	off.set.size = (strings->len + 31) / 32;
	for (unsigned i = 0; i < strings->len; i++) {
		char feature[ETH_GSTRING_LEN + 1];

		snprintf(feature, sizeof(feature), "%.*s", ETH_GSTRING_LEN,
			 (char *)strings->data + i * ETH_GSTRING_LEN);
		if (leaves_work(feature))
			off.set.features[i / 32].valid |= 1U << i % 32;
	}
	free(strings);
	return ethtool_call(name, &off);
}

static int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

/*
 * bpf_fib_lookup answers only for a packet that may be forwarded from where it came in. Nothing is: tc_seal
 * takes all that comes out there. 0 or -errno, also where a family is not there.
 */
static int forwarding_on(const char *name)
{
	static const char *const family[] = { "ipv4", "ipv6" };
	char path[96];
	int err, worst = 0;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/forwarding", family[i], name);
		err = file_write(path, "1");
		if (err && err != -ENOENT)
			worst = err;
	}
	return worst;
}

static int names_make(const char *device, bool other, char in[IF_NAMESIZE], char out[IF_NAMESIZE])
{
	if (strlen(device) + 1 >= IF_NAMESIZE)
		return -ENAMETOOLONG;
	snprintf(in, IF_NAMESIZE, "%s%c", device, other ? 't' : 's');
	snprintf(out, IF_NAMESIZE, "%s%c", device, other ? 'q' : 'p');
	return 0;
}

/* Whether both ends are there and are ours to use. */
static bool is_there(const char *in, const char *out, struct ntmd_veth *ret_veth)
{
	char driver[32];

	ret_veth->in = if_nametoindex(in);
	ret_veth->out = if_nametoindex(out);
	if (!ret_veth->in || !ret_veth->out)
		return false;
	ntmd_veth_driver(ret_veth->in, driver, sizeof(driver));
	if (strcmp(driver, "veth"))
		return false;
	ntmd_veth_driver(ret_veth->out, driver, sizeof(driver));
	return !strcmp(driver, "veth");
}

int ntmd_veth_open(struct ntmd_veth *ret_veth, const char *device, bool other, unsigned mtu, char *ret_why,
		   size_t why_len)
{
	char in[IF_NAMESIZE], out[IF_NAMESIZE];
	struct ntmd_veth veth;
	int err = names_make(device, other, in, out);
	bool made = false;

	if (err) {
		snprintf(
			ret_why, why_len,
			"the name of the device %s leaves no room for those of its helpers: at most %d letters",
			device, IF_NAMESIZE - 2);
		return err;
	}
	if (!is_there(in, out, &veth)) {
		err = ntm_netlink_veth_add(in, out, mtu, QUEUE);
		made = !err;
		if (!err && !is_there(in, out, &veth))
			err = -ENODEV;
	}
	if (!err)
		err = offloads_off(in);
	if (!err)
		err = offloads_off(out);
	if (!err)
		err = ntm_netlink_link_silent(veth.out);
	if (!err)
		err = ntm_netlink_link_silent(veth.in);
	if (!err)
		err = forwarding_on(out);
	if (!err)
		err = ntm_netlink_link_up(veth.out, mtu);
	if (!err)
		err = ntm_netlink_link_up(veth.in, mtu);
	if (err) {
		snprintf(ret_why, why_len, "cannot make the helper devices %s and %s: %s%s", in, out,
			 strerror(-err), err == -EEXIST ? "; another device has that name" : "");
		if (made)
			ntm_netlink_link_del(veth.in);
		return err;
	}
	*ret_veth = veth;
	return 0;
}

bool ntmd_veth_is_other(unsigned out)
{
	char name[IF_NAMESIZE];

	return if_indextoname(out, name) && name[0] && name[strlen(name) - 1] == 'q';
}

void ntmd_veth_remove(const char *device, bool other)
{
	char in[IF_NAMESIZE], out[IF_NAMESIZE];
	struct ntmd_veth veth;

	if (!names_make(device, other, in, out) && is_there(in, out, &veth))
		ntm_netlink_link_del(veth.in); /* and with it the other end */
}
