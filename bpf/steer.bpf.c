/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * steer.bpf.c - with several data threads (daemon/user_shard.c): which of them gets a packet. The kernel asks
 * steer_tun for the queue of the TUN device that an application's packet goes to, and steer_udp for the
 * socket of our port that a datagram goes to. Number 0 is the control loop's; a thread's number is that of
 * its place among them, from 1. daemon/steer.c loads these and fills the maps.
 *
 * All data from one endpoint goes to one thread, known path or not: the kernel joins datagrams of one pair of
 * endpoints (GRO), whatever their Path IDs, and what it joins must not be taken apart again.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <ntm/header.h>

#include "daemon/steer_map.h"

char LICENSE[] SEC("license") = "GPL";

/* peer's virtual address -> thread */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NTMD_STEER_VIPS);
	__type(key, struct ntm_addr);
	__type(value, __u32);
} steer_vips SEC(".maps");

/* endpoint -> thread; those that nobody uses any more leave by age */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NTMD_STEER_ENDS);
	__type(key, struct ntmd_steer_end);
	__type(value, __u32);
} steer_ends SEC(".maps");

const volatile __u32 steer_threads = 1;

static const __u8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

SEC("socket")
int steer_tun(struct __sk_buff *skb)
{
	struct ntm_addr dest;
	__u32 *thread;
	__u8 version;

	if (bpf_skb_load_bytes(skb, 0, &version, 1))
		return 0;
	if (version >> 4 == 4) {
		__builtin_memcpy(dest.b, mapped, sizeof(mapped));
		if (bpf_skb_load_bytes(skb, 16, dest.b + 12, 4))
			return 0;
	} else if (bpf_skb_load_bytes(skb, 24, dest.b, 16)) {
		return 0;
	}
	thread = bpf_map_lookup_elem(&steer_vips, &dest);
	return thread ? *thread : 0;
}

/* 0, or -1: it has headers that nobody sends us. */
static __always_inline int remote_read(struct __sk_buff *skb, struct ntmd_steer_end *end)
{
	__u8 first, next;
	__u16 port;
	__u32 at = 40;

	if (bpf_skb_load_bytes_relative(skb, 0, &first, 1, BPF_HDR_START_NET))
		return -1;
	if (first >> 4 == 4) {
		at = (first & 15) * 4;
		__builtin_memcpy(end->addr.b, mapped, sizeof(mapped));
		if (bpf_skb_load_bytes_relative(skb, 12, end->addr.b + 12, 4, BPF_HDR_START_NET))
			return -1;
	} else if (bpf_skb_load_bytes_relative(skb, 6, &next, 1, BPF_HDR_START_NET) || next != 17 ||
		   bpf_skb_load_bytes_relative(skb, 8, end->addr.b, 16, BPF_HDR_START_NET)) {
		return -1;
	}
	if (bpf_skb_load_bytes_relative(skb, at, &port, 2, BPF_HDR_START_NET))
		return -1;
	end->port = bpf_ntohs(port);
	return 0;
}

/* The packet begins with UDP's payload. */
SEC("socket")
int steer_udp(struct __sk_buff *skb)
{
	struct ntmd_steer_end end = {};
	__u32 *thread, hash = 0;
	__u8 type;

	if (bpf_skb_load_bytes(skb, 0, &type, 1) || (type & NTM_TYPE_CLASS) != NTM_TYPE_DATA)
		return 0;
	if (remote_read(skb, &end))
		return 0;
	thread = bpf_map_lookup_elem(&steer_ends, &end);
	if (thread)
		return *thread;
	/* Not known, or not yet: it does not use up the receive buffer of control. */
	for (int i = 0; i < 16; i++)
		hash = hash * 31 + end.addr.b[i];
	return 1 + (hash * 31 + end.port) % steer_threads;
}
