/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * steer.c - loads bpf/steer.bpf.c and fills its maps. Before it: user_place.c, which decides.
 */
#include "daemon/steer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bpf/steer.skel.h"
#include "daemon/steer_map.h"
#include "endpoint.h"

struct ntmd_steer {
	struct steer_bpf *skel;
};

int ntmd_steer_open(struct ntmd_steer **ret_steer, unsigned threads)
{
	struct ntmd_steer *steer = calloc(1, sizeof(*steer));
	libbpf_print_fn_t before;
	int err = -ENOMEM;

	if (!steer)
		return err;
	before = libbpf_set_print(NULL); /* the caller says what it means */
	steer->skel = steer_bpf__open();
	if (steer->skel) {
		steer->skel->rodata->steer_threads = threads;
		err = steer_bpf__load(steer->skel);
	}
	libbpf_set_print(before);
	if (err) {
		steer_bpf__destroy(steer->skel);
		free(steer);
		return err;
	}
	*ret_steer = steer;
	return 0;
}

void ntmd_steer_close(struct ntmd_steer *steer)
{
	if (!steer)
		return;
	steer_bpf__destroy(steer->skel);
	free(steer);
}

int ntmd_steer_tun(struct ntmd_steer *steer, int fd)
{
	int prog = bpf_program__fd(steer->skel->progs.steer_tun);

	return ioctl(fd, TUNSETSTEERINGEBPF, &prog) < 0 ? -errno : 0;
}

int ntmd_steer_udp(struct ntmd_steer *steer, int fd)
{
	int prog = bpf_program__fd(steer->skel->progs.steer_udp);

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

static int set(struct bpf_map *map, const void *key, unsigned thread)
{
	__u32 value = thread;

	return bpf_map_update_elem(bpf_map__fd(map), key, &value, BPF_ANY) < 0 ? -errno : 0;
}

int ntmd_steer_vip(struct ntmd_steer *steer, const struct ntm_addr *vip, unsigned thread)
{
	struct bpf_map *map = steer->skel->maps.steer_vips;

	if (thread)
		return set(map, vip, thread);
	return bpf_map_delete_elem(bpf_map__fd(map), vip) < 0 && errno != ENOENT ? -errno : 0;
}

int ntmd_steer_end(struct ntmd_steer *steer, const struct ntm_endpoint *end, unsigned thread)
{
	struct ntmd_steer_end key = {.addr = end->addr, .port = end->port};

	return set(steer->skel->maps.steer_ends, &key, thread);
}
