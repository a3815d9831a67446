/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp_ingress.bpf.c - at the NIC: outer.h -> path.h -> replay.h -> crypt.h -> decap.h -> the stack (GRO) ->
 * tc_ingress.bpf.c. At the near end: tc_seal.bpf.c.
 *
 * Only what is certainly ours is taken: to an address and port of our sockets, of a known path, from one of
 * the two endpoints it uses now, under a key that BPF has. Everything else passes untouched, to
 * daemon/user_ingress.c, which opens it too and asks the same window (inline_commit.bpf.c).
 */
#include "crypt.h"
#include "decap.h"
#include "event.h"
#include "outer.h"
#include "replay.h"

char LICENSE[] SEC("license") __weak = "GPL";

/* A verdict that is no drop reason: to the stack, untouched. */
#define PASS (-NTM_DROP_MAX)

struct opening {
	const struct ntm_config *config;
	const struct ntm_map_key *key;
	struct ntm_window *window;
	struct path path;
	__u64 now, counter;
	__u32 text, len; /* of the ciphertext: where it begins in the frame; with the tag */
	__u8 type, tos; /* of the outer packet */
	bool expected;
};

/* What fails goes and is counted, or goes up to ntmd, which counts it. */
static __always_inline int refused(const struct opening *o, int reason)
{
	return o->config->flags & NTM_CONFIG_GENERIC ? PASS : reason;
}

/*
 * Whether the frame is for BPF: path, key and window. 0, PASS, or -NTM_DROP_*. Not inlined: its stack
 * is not on the way to crypt.h, where there is little left.
 */
static __noinline int opening_begin(struct xdp_md *ctx, struct opening *o)
{
	struct ntm_ends_copy ends;
	struct outer outer;
	__u32 *slot, tag;

	if (outer_parse(&outer, parse_start(ctx)) || !bpf_map_lookup_elem(&ntm_local, &outer.to))
		return PASS;
	slot = bpf_map_lookup_elem(&ntm_paths, &outer.path_id);
	if (!slot || path_take(&o->path, &ends, *slot) || o->path.ends->path_id != outer.path_id ||
	    NTM_TYPE_SIDE(outer.type) == o->path.ends->side)
		return PASS;
	if (!(ends.flags & NTM_ENDS_ROUTE && way_equal(&outer.from, &ends.route)) &&
	    !(ends.flags & NTM_ENDS_SECOND && way_equal(&outer.from, &ends.second)))
		return PASS;
	o->counter = outer.counter;
	o->text = outer.text;
	o->len = outer.len;
	o->type = outer.type;
	o->tos = outer.tos;
	o->expected = ends.flags & NTM_ENDS_EXPECTED;
	o->now = bpf_ktime_get_boot_ns();
	o->key = path_key(o->path.slot, NTM_TYPE_PHASE(o->type), o->now);
	if (!o->key)
		return PASS;
	tag = READ_ONCE(o->key->tag);
	o->window = bpf_map_lookup_elem(&ntm_windows, &tag);
	if (!o->window)
		return PASS;
	if (replay_check(o->window, o->counter))
		return 0;
	event_hint(&o->path, NTM_EVENT_REPLAY, NTM_TYPE_PHASE(o->type), o->counter, o->now);
	return refused(o, -NTM_DROP_REPLAY);
}

/*
 * Opens in place. Room for the mark is made before: where the driver has none, ntmd gets the packet as it
 * came. The plaintext's length, PASS or -NTM_DROP_*
 */
static __always_inline int opening_open(struct xdp_md *ctx, struct opening *o)
{
	bool first;
	int len;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(struct decap_meta)))
		return PASS;
	len = crypt_open_xdp(ctx, o->text, o->len, o->key->receive, o->counter);
	if (len < 0) {
		bpf_xdp_adjust_meta(ctx, sizeof(struct decap_meta));
		/* too long for BPF: several in one, or the peer's user engine sends such */
		return len == -NTM_DROP_AUTH ? refused(o, len) : PASS;
	}
	if (!replay_commit(o->window, o->counter, &first)) /* another CPU had it at the same time */
		return -NTM_DROP_REPLAY;
	o->path.state->rx_ns = o->now;
	if (first)
		event_send(&o->path, NTM_EVENT_PHASE_OPENED, NTM_TYPE_PHASE(o->type), o->key->tag, o->now);
	return len;
}

/* The inner packet of `len` bytes becomes the frame. 0 or -NTM_DROP_* */
static __always_inline int opening_deliver(struct xdp_md *ctx, struct opening *o, __u32 len)
{
	struct parse p = parse_start(ctx);
	__u32 offset = o->text;
	struct inner inner;
	int err, ecn;

	barrier_var(offset); /* the verifier has forgotten what it can be */
	p.at += offset & 0xff;
	if (p.at + 1 > p.end)
		return -NTM_DROP_INNER_SHORT;
	if (!*(__u8 *)p.at) /* pieces are bulk */
		return -NTM_DROP_PIECE;
	err = inner_parse(&inner, p, len);
	if (err)
		return err;
	if (inner.len != len)
		return -NTM_DROP_INNER_SHORT;
	if (!inner_is_peers(o->path.ends, &inner, &inner.source))
		return -NTM_DROP_INNER_SOURCE;
	if (!inner_is_own(o->config, &inner, &inner.dest))
		return -NTM_DROP_INNER_DEST;
	ecn = decap_ecn(inner.tos, o->tos);
	if (ecn < 0)
		return ecn;
	if (ecn != (inner.tos & ECN_MASK)) {
		err = decap_ecn_set(p, &inner, ecn);
		if (err)
			return err;
	}
	err = decap_cut(ctx, o->text, len, inner.version, o->config);
	if (err)
		return err;
	__sync_fetch_and_add(&o->path.state->rx_packets, 1);
	__sync_fetch_and_add(&o->path.state->rx_bytes, len);
	if (o->expected)
		event_hint(&o->path, NTM_EVENT_ARRIVED, NTM_TYPE_PHASE(o->type), 0, o->now);
	return 0;
}

/*
 * frags, though nothing is looked at but a frame's first part: in generic mode the kernel would first make
 * whole trains of the bulk lane (62 KiB) linear, without waiting for memory, and lose the train when none is
 * free in one piece (measured: several a second). With it, from Linux 6.9 on, it copies them page by page.
 */
SEC("xdp.frags")
int xdp_ingress(struct xdp_md *ctx)
{
	struct opening o;
	int result;

	o.config = config_get();
	if (!o.config)
		return XDP_PASS;
	result = opening_begin(ctx, &o);
	if (result == PASS)
		return XDP_PASS;
	if (!result) {
		result = opening_open(ctx, &o);
		if (result == PASS)
			return XDP_PASS;
		if (!result) /* an empty packet only keeps the path alive */
			return XDP_DROP;
		if (result > 0)
			result = opening_deliver(ctx, &o, result);
	}
	if (!result)
		return XDP_PASS;
	path_drop(&o.path, result);
	return XDP_DROP;
}
