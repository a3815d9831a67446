/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tc_egress.bpf.c - at the egress of ntm0, where applications' packets come first: parse.h -> lane.h ->
 * path.h. The inline lane is redirected into ntm0s and comes out at ntm0p, before tc_seal.bpf.c; all else
 * goes on to the TUN and daemon/user_egress.c.
 *
 * A packet here may be a super-packet, and mostly lacks its checksum, which BPF cannot compute and must not
 * cover with a seal: it is sealed behind the helper pair, never here.
 */
#include "event.h"
#include "inner.h"
#include "lane.h"

#include "crypt.h"

char LICENSE[] SEC("license") __weak = "GPL";

/* Whether BPF can send on this path at all. */
static __always_inline bool path_sends(const struct path *path, const struct ntm_ends_copy *ends, __u64 now)
{
	if ((ends->flags & (NTM_ENDS_ROUTE | NTM_ENDS_AWAY)) != NTM_ENDS_ROUTE || ends->phase > 3)
		return false;
	return path_key(path->slot, ends->phase, now) &&
	       READ_ONCE(path->state->tx_next) < NTM_STOP_AFTER_CHACHA;
}

/*
 * Whether a packet that could go inline does. Without ntmd it must. With it, ntmd answers what is too big,
 * and holds what no route takes.
 */
static __always_inline bool goes_inline(struct __sk_buff *skb, const struct ntm_config *config,
					const struct path *path, const struct ntm_ends_copy *ends,
					const struct lane *lane, __u64 now)
{
	__u32 mtu = ends->mtu < CRYPT_LEN_MAX ? ends->mtu : CRYPT_LEN_MAX;

	if (!config_alive(config, now))
		return true;
	if (!skb->gso_size && skb->len > mtu)
		return false;
	if (!(ends->flags & NTM_ENDS_SECOND) &&
	    !path_allowed(path, ends, skb->len + NTM_HEADER_LEN + NTM_TAG_LEN, false)) {
		lane_stays(lane, now);
		return false;
	}
	return ends->flags & NTM_ENDS_BULK_DEAD || !lane->bulk;
}

/* Into the helper pair, which wants an Ethernet header: no addresses, but the slot, which tc_seal need not
 * look for. */
static __always_inline int redirect(struct __sk_buff *skb, const struct ntm_config *config, __u8 version,
				    __u32 slot)
{
	struct ethhdr *eth;

	if (bpf_skb_change_head(skb, sizeof(*eth), 0))
		return TC_ACT_UNSPEC;
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end) {
		drop_count(-NTM_DROP_SEND);
		return TC_ACT_SHOT;
	}
	__builtin_memset(eth->h_dest, 0, ETH_ALEN);
	__builtin_memset(eth->h_source, 0, ETH_ALEN);
	((struct path_hint *)eth)->slot = slot + 1;
	eth->h_proto = version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	return bpf_redirect(config->seal_in, 0);
}

SEC("tc")
int tc_egress(struct __sk_buff *skb)
{
	const struct ntm_config *config = config_get();
	struct ntm_ends_copy ends;
	struct inner inner;
	struct path path;
	struct lane lane;
	struct parse p;
	__u32 *slot;
	__u64 now;

	if (!config)
		return TC_ACT_UNSPEC;
	p = inner_pull(skb, INNER_HEADER);
	if (inner_parse(&inner, p, skb->len))
		return TC_ACT_UNSPEC;
	now = bpf_ktime_get_boot_ns();
	lane_choose(&lane, skb, config, &inner, p, now);
	if (lane_is_clear(&lane) && config_alive(config, now))
		return TC_ACT_UNSPEC;
	slot = bpf_map_lookup_elem(&ntm_vips, &inner.dest);
	if (!slot) {
		lane_stays(&lane, now);
		return TC_ACT_UNSPEC;
	}
	if (!inner_is_own(config, &inner, &inner.source)) {
		drop_count(-NTM_DROP_INNER_SOURCE);
		return TC_ACT_SHOT;
	}
	if (lane.flow)
		lane.flow->slot = *slot;
	if (path_take(&path, &ends, *slot) || !path_sends(&path, &ends, now)) {
		lane_stays(&lane, now);
		return TC_ACT_UNSPEC;
	}
	if (!goes_inline(skb, config, &path, &ends, &lane, now))
		return TC_ACT_UNSPEC;
	return redirect(skb, config, inner.version, path.slot);
}
