/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_attach.h - the BPF programs of the node: loaded, pinned, attached, replaced, detached. What they do is
 * in bpf/; what is in their maps is datapath_maps.c's. Before it: bpf_engine.c; beside it: veth.c,
 * lib/pins.c.
 */
#ifndef NTMD_BPF_ATTACH_H
#define NTMD_BPF_ATTACH_H

#include <event2/event.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "daemon/datapath_maps.h"
#include "pins.h"

#define NTMD_INTERFACES_MAX 64

enum ntmd_bpf_mode { NTMD_BPF_AUTO, NTMD_BPF_NATIVE, NTMD_BPF_GENERIC };

struct ntmd_bpf_config {
	const char *pin_dir, *device; /* ntm0 */
	unsigned device_index, mtu;
	unsigned paths; /* slots; what is taken over keeps the number it has */
	enum ntmd_maps_lane lane;
	bool check; /* to be loaded only: whoever uses pin_dir does not matter */
};

struct ntmd_bpf_interface {
	unsigned ifindex;
	char name[IF_NAMESIZE];
	bool attached;
	bool native; /* else generic */
	enum ntm_pins_how how; /* of the tc program */
	char why[128]; /* not attached, or not native though asked for: what the kernel said */
};

/* Programs and maps that belong together. */
struct ntmd_bpf_set;

/*
 * Loads the programs; where a set of the same layout is pinned, for its maps. Nothing is attached or pinned
 * yet; any thread may do it. 0, or -errno and a sentence in ret_why: -ESTALE if the pinned maps are not what
 * the programs expect.
 */
int ntmd_bpf_set_load(struct ntmd_bpf_set **ret_set, const struct ntmd_bpf_config *config, char *ret_why,
		      size_t why_len);
/* Next, from the thread of the loop. As above. */
int ntmd_bpf_set_open(struct ntmd_bpf_set *set, struct event_base *base, char *ret_why, size_t why_len);
bool ntmd_bpf_set_is_taken_over(const struct ntmd_bpf_set *set);
struct ntmd_maps *ntmd_bpf_set_maps(const struct ntmd_bpf_set *set);
unsigned ntmd_bpf_set_seal_in(const struct ntmd_bpf_set *set); /* index of ntm0s, once attached */
int ntmd_bpf_set_events_fd(const struct ntmd_bpf_set *set);
/*
 * Pins and attaches everything but the programs of interfaces, or puts it in the place of what is attached.
 * On failure a new set leaves nothing behind; one that was taken over goes on as it was. 0, or -errno and a
 * sentence in ret_why.
 */
int ntmd_bpf_set_attach(struct ntmd_bpf_set *set, char *ret_why, size_t why_len);
/* The programs of interfaces are on these from now on, and on no others. Failures stand in the list. */
void ntmd_bpf_set_interfaces(struct ntmd_bpf_set *set, const unsigned *ifindex, unsigned count,
			     enum ntmd_bpf_mode mode);
const struct ntmd_bpf_interface *ntmd_bpf_set_interface_list(const struct ntmd_bpf_set *set,
							     unsigned *ret_count);
/*
 * A set of another layout, which an older or newer ntmd left, goes on beside ours, behind it, for packets to
 * addresses that ours has no path to; and it has the interfaces' XDP. What its maps mean is not known, but
 * for ntm_vips, whose keys are addresses in every layout. NULL: there is none; else its addresses, which the
 * caller frees.
 */
struct ntm_addr *ntmd_bpf_set_old_vips(const struct ntmd_bpf_set *set, size_t *ret_count);
/* It ends: its XDP links get our program, all else of it is removed. */
void ntmd_bpf_set_old_end(struct ntmd_bpf_set *set);

/* No packet is taken any more; those that were are still sent and delivered. */
void ntmd_bpf_set_stop(struct ntmd_bpf_set *set);
/* Removes all pins, and so programs and the helper pair; maps live until _free. */
void ntmd_bpf_set_remove(struct ntmd_bpf_set *set);
void ntmd_bpf_set_free(struct ntmd_bpf_set *set);

/* Whether the kernel takes the programs: they are loaded, and let go. 0, or -errno and a sentence in
 * ret_why. */
int ntmd_bpf_check(char *ret_why, size_t why_len);

/* Removes what a crash left half made, or with all: everything. 0: nothing was there; 1 something was
 * removed. */
int ntmd_bpf_clean(const char *pin_dir, const char *device, bool all);

#endif
