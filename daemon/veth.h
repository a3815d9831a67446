/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * veth.h - the helper pair of the BPF engine: what bpf/tc_egress.bpf.c takes from ntm0 goes into ntm0s, where
 * the kernel completes checksums and segments, and comes out of ntm0p one whole packet at a time, where
 * bpf/tc_seal.bpf.c seals it.
 */
#ifndef NTMD_VETH_H
#define NTMD_VETH_H

#include <stdbool.h>
#include <stddef.h>

struct ntmd_veth {
	unsigned in; /* index of DEVICEs: packets go in */
	unsigned out; /* of DEVICEp: packets come out */
};

/*
 * Makes the pair, or takes it over, for inner packets of mtu bytes at most. other: another pair than the
 * usual one, DEVICEt and DEVICEq, where programs of another version still use that. 0; or -errno and a
 * sentence in ret_why. Made again, it begins empty: what is attached to it is gone.
 */
int ntmd_veth_open(struct ntmd_veth *ret_veth, const char *device, bool other, unsigned mtu, char *ret_why,
		   size_t why_len);
void ntmd_veth_remove(const char *device, bool other); /* harmless if there is none */
bool ntmd_veth_is_other(unsigned out); /* whether this is the far end of another pair than the usual one */

/* The driver's name of a device into ret_name ("veth"), empty if it does not tell. */
void ntmd_veth_driver(unsigned ifindex, char *ret_name, size_t name_len);

#endif
