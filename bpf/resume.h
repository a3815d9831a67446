/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resume.h - keeps the last segment with data of each TCP connection whose packets tc_seal.bpf.c sends, as
 * daemon/user_resume.c does for those that ntmd sends, which also sends these again when a path works again.
 */
#ifndef NTM_BPF_RESUME_H
#define NTM_BPF_RESUME_H

#include "path.h"

#define RESUME_LEN_MIN 40 /* IPv4's header and TCP's */
#define RESUME_OFFSET 12 /* in TCP's header: how long that is */
#define RESUME_FLAGS 13
#define RESUME_SYN_FIN 0x03
#define RESUME_HASH 0x9e3779b1U

/*
 * A packet of `len` bytes behind an Ethernet header, TCP's header `at` bytes from the frame's begin. SYN and
 * FIN count as data: they are acknowledged. What does not fit into the place is not sent either.
 */
static __noinline int resume_note(struct __sk_buff *skb, __u32 at, __u32 len, __u32 slot, __u64 now)
{
	__u8 tcp[RESUME_FLAGS + 1] __attribute__((aligned(4))) = {};
	struct ntm_map_segment *segment;
	__u32 index;

	if (bpf_skb_load_bytes(skb, at, tcp, sizeof(tcp)))
		return 0;
	if (len <= at - ETH_HLEN + (tcp[RESUME_OFFSET] >> 4) * 4 && !(tcp[RESUME_FLAGS] & RESUME_SYN_FIN))
		return 0;
	index = ((*(__u32 *)tcp ^ slot * RESUME_HASH) * RESUME_HASH) >> 16 & (NTM_SEGMENTS_SLOTS - 1);
	segment = bpf_map_lookup_elem(&ntm_segments, &index);
	if (!segment)
		return 0;
	segment->sent_ns = 0;
	/* Compared one by one: Linux 6.1 does not understand what the compiler makes of both together. */
	asm volatile("" : "+r"(len));
	if (len < RESUME_LEN_MIN)
		return 0;
	asm volatile("" : "+r"(len));
	if (len > NTM_SEGMENT_MAX)
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, segment->packet, len))
		return 0;
	segment->len = len;
	segment->sent_ns = now;
	return 0;
}

#endif
