/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tc_ingress.bpf.c - at the ingress of the NIC: what xdp_ingress.bpf.c decapsulated and marked, and GRO may have merged,
 * enters ntm0, so that firewalls, rp_filter and applications see it come from there.
 */
#include "decap.h"
#include "path.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

SEC("tc")
int tc_ingress(struct __sk_buff *skb)
{
	const struct decap_meta *meta = (void *)(long)skb->data_meta;
	const struct ntm_config *config = config_get();

	if ((void *)(meta + 1) > (void *)(long)skb->data || !config || meta->magic != config->magic || !config->magic)
		return TC_ACT_UNSPEC;
	/* The NIC has looked at the outer packet's checksum, not at this one's. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_RESET);
	return bpf_redirect(config->device, BPF_F_INGRESS);
}
