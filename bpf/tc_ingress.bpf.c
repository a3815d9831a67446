/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tc_ingress.bpf.c - at the ingress of the NIC: what xdp_ingress.bpf.c decapsulated and marked, and GRO may
 * have merged, enters ntm0, so that firewalls, rp_filter and applications see it come from there.
 */
#include "decap.h"
#include "inner.h"

char LICENSE[] SEC("license") __weak = "GPL";

/*
 * Cuts off what is behind the packet, see decap.h. A merged packet has nothing there. ethernet: length of the
 * header before it. 0, or negative: drop it
 */
static __always_inline long trim(struct __sk_buff *skb, __u32 ethernet)
{
	struct parse p = inner_pull(skb, ethernet + INNER_HEADER);
	struct inner inner;

	if (skb->gso_size)
		return 0;
	if ((ethernet && !parse_take(&p, ETH_HLEN)) || inner_parse(&inner, p, skb->len - ethernet))
		return -1;
	return skb->len > ethernet + inner.len ? bpf_skb_change_tail(skb, ethernet + inner.len, 0) : 0;
}

SEC("tc")
int tc_ingress(struct __sk_buff *skb)
{
	const struct decap_meta *meta = (void *)(long)skb->data_meta;
	const struct ntm_config *config = config_get();
	long err;

	if ((void *)(meta + 1) > (void *)(long)skb->data || !config || !config->magic)
		return TC_ACT_UNSPEC;
	if (meta->magic == config->magic)
		err = trim(skb, ETH_HLEN);
	else if (decap_source_is_marked(meta, config))
		err = trim(skb, 0);
	else
		return TC_ACT_UNSPEC;
	if (err) {
		drop_count(-NTM_DROP_SEND);
		return TC_ACT_SHOT;
	}
	/* The NIC has looked at the outer packet's checksum, not at this one's. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_RESET);
	return bpf_redirect(config->device, BPF_F_INGRESS);
}
