/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * pass.bpf.c - an XDP program that does nothing, for group_bpf.sh: what the mode itself costs. frags as
 * bpf/xdp_ingress.bpf.c.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp.frags")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
