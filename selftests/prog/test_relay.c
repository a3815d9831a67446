/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_relay.c - the relay's XDP program (bpf/xdp_relay.bpf.c): what it does with each kind of packet, to the
 * byte and to the counter. What comes out is compared with a frame built from its description, not changed.
 */
#include "relay_fuzz.h"
#include "relay_kept.h"

/* ---- passed on */

static void vlan_in(struct frame *f)
{
	f->vlan = 99;
}

static void two_tags_in(struct frame *f)
{
	f->outer_vlan = 5;
	f->vlan = 99;
}

static void no_payload(struct frame *f)
{
	f->payload = 0;
}

static void odd_payload(struct frame *f)
{
	f->payload = 33;
}

static void check_zero(struct frame *f)
{
	f->check = CHECK_ZERO;
}

static void check_partial(struct frame *f)
{
	f->check = CHECK_PARTIAL;
}

static void check_full(struct frame *f)
{
	f->check = CHECK_FULL;
}

/* A finished checksum that looks unfinished. */
static void check_twin(struct frame *f)
{
	bool is4 = ntm_endpoint_is4(&f->source);

	frame_steer(f, (uint16_t)frame_pseudo(frame_addr(&f->source), frame_addr(&f->dest), is4, IPPROTO_UDP,
					      UDP_LEN + NTM_HEADER_LEN + f->payload));
}

/* What comes out would be 0. */
static void check_becomes_zero44(struct frame *f)
{
	struct frame out = *f;

	out.source = endpoint(world_local[LOCAL4]);
	out.dest = endpoint("198.51.100.10:2000");
	frame_steer(&out, 0);
	f->payload_end = out.payload_end;
}

static void check_becomes_zero46(struct frame *f)
{
	struct frame out = *f;

	out.source = endpoint(world_local[LOCAL6]);
	out.dest = endpoint("[2001:db8:2::10]:2000");
	frame_steer(&out, 0);
	f->payload_end = out.payload_end;
}

static void padded(struct frame *f)
{
	f->payload = 0;
	f->trailer = 6;
}

static void largest(struct frame *f) /* for nw1 */
{
	f->payload = WORLD_NARROW - IP4_LEN - UDP_LEN - NTM_HEADER_LEN;
}

static void largest46(struct frame *f)
{
	f->payload = WORLD_NARROW - IP6_LEN - UDP_LEN - NTM_HEADER_LEN;
}

static void may_be_cut(struct frame *f) /* no DF */
{
	f->ip4_frag = 0;
}

#define ON44 .out_from = "192.0.2.1:6866", .out_to = "198.51.100.10:2000"
#define ON66 .out_from = "[2001:db8:1::1]:6866", .out_to = "[2001:db8:2::10]:2000"
#define BACK4 .out_from = "192.0.2.1:6866", .out_to = "192.0.2.10:1000"
#define BACK6 .out_from = "[2001:db8:1::1]:6866", .out_to = "[2001:db8:1::10]:1000"
#define FROM0 .from = "192.0.2.10:1000"
#define FROM0_6 .from = "[2001:db8:1::10]:1000"
#define FROM1 .from = "198.51.100.10:2000"
#define FROM1_6 .from = "[2001:db8:2::10]:2000"

static const struct fixture passed_on[] = {
	{.name = "IPv4 to IPv4", .path = P44, .type = DATA0, FROM0, .verdict = XDP_REDIRECT, ON44},
	{.name = "IPv4 to IPv4, back", .path = P44, .type = DATA1, FROM1, .verdict = XDP_TX, BACK4},
	{.name = "IPv6 to IPv6", .path = P66, .type = DATA0, FROM0_6, .verdict = XDP_REDIRECT, ON66},
	{.name = "IPv6 to IPv6, back", .path = P66, .type = DATA1, FROM1_6, .verdict = XDP_TX, BACK6},
	{.name = "IPv4 to IPv6", .path = P46, .type = DATA0, FROM0, .verdict = XDP_REDIRECT, ON66},
	{.name = "IPv6 to IPv4", .path = P46, .type = DATA1, FROM1_6, .verdict = XDP_TX, BACK4},
	{.name = "both ends behind one interface: sent back", .path = P_SAME, .type = DATA0, FROM0,
	 .verdict = XDP_TX, .out_from = "192.0.2.1:6866", .out_to = "192.0.2.11:1000"},
	{.name = "the same in IPv6", .path = P_SAME6, .type = DATA0, FROM0_6, .verdict = XDP_TX,
	 .out_from = "[2001:db8:1::1]:6866", .out_to = "[2001:db8:1::11]:1000"},
	{.name = "the same across families", .path = P_SAME46, .type = DATA0, FROM0, .verdict = XDP_TX,
	 .out_from = "[2001:db8:1::1]:6866", .out_to = "[2001:db8:1::11]:1000"},
	{.name = "leaves from the address its receiver bound itself at", .path = P_OTHER, .type = DATA0, FROM0,
	 .verdict = XDP_TX, .out_from = "198.51.100.1:6866", .out_to = "192.0.2.11:1000"},
	{.name = "is taken at any address of ours", .path = P_OTHER, .type = DATA1, .from = "192.0.2.11:1000",
	 .verdict = XDP_TX, BACK4},
	{.name = "bulk lane and key phase make no difference", .path = P44,
	 .type = NTM_TYPE_DATA | NTM_TYPE_LANE_BIT | 3 << NTM_TYPE_PHASE_SHIFT, FROM0, .verdict = XDP_REDIRECT, ON44},
	{.name = "path control of side 0", .path = P44, .type = NTM_TYPE_PATH, FROM0, .verdict = XDP_REDIRECT, ON44},
	{.name = "path control of side 1", .path = P44, .type = NTM_TYPE_PATH | NTM_TYPE_SIDE_BIT, FROM1,
	 .verdict = XDP_TX, BACK4},
	{.name = "Tunnel Request", .path = P44, .type = NTM_TYPE_TUNNEL_REQUEST, FROM0, .verdict = XDP_REDIRECT,
	 ON44},
	{.name = "Tunnel Response", .path = P44, .type = NTM_TYPE_TUNNEL_RESPONSE, FROM1, .verdict = XDP_TX, BACK4},
	{.name = "tunnel probe", .path = P44, .type = NTM_TYPE_TUNNEL_PROBE, FROM1, .verdict = XDP_TX, BACK4},
	{.name = "cookie of side 0", .path = P44, .type = NTM_TYPE_COOKIE, FROM0, .verdict = XDP_REDIRECT, ON44},
	{.name = "cookie of side 1", .path = P44, .type = NTM_TYPE_COOKIE, FROM1, .verdict = XDP_TX, BACK4},
	{.name = "reset", .path = P44, .type = NTM_TYPE_RESET, FROM1, .verdict = XDP_TX, BACK4},
	{.name = "no payload", .path = P46, .type = DATA0, FROM0, .describe = no_payload, .verdict = XDP_REDIRECT,
	 ON66},
	{.name = "what pads a short frame is no part of it", .path = P46, .type = DATA0, FROM0, .describe = padded,
	 .verdict = XDP_REDIRECT, ON66},
	{.name = "odd length", .path = P46, .type = DATA0, FROM0, .describe = odd_payload, .verdict = XDP_REDIRECT,
	 ON66},
	{.name = "the largest packet that fits", .path = P44, .type = DATA0, FROM0, .describe = largest,
	 .verdict = XDP_REDIRECT, ON44},
	{.name = "the largest that still fits when it has grown", .path = P46, .type = DATA0, FROM0,
	 .describe = largest46, .verdict = XDP_REDIRECT, ON66},
	{.name = "IPv4 without DF stays so", .path = P44, .type = DATA0, FROM0, .describe = may_be_cut,
	 .verdict = XDP_REDIRECT, ON44},
};

static const struct fixture tags[] = {
	{.name = "tagged in, untagged out", .path = P44, .type = DATA0, FROM0, .describe = vlan_in,
	 .verdict = XDP_REDIRECT, ON44},
	{.name = "two tags in, untagged out", .path = P44, .type = DATA0, FROM0, .describe = two_tags_in,
	 .verdict = XDP_REDIRECT, ON44},
	{.name = "untagged in, out by a VLAN", .path = P_VLAN, .type = DATA0, FROM0, .verdict = XDP_TX,
	 .out_from = "192.0.2.1:6866", .out_to = "203.0.113.10:2000"},
	{.name = "tagged in, out by another VLAN", .path = P_VLAN, .type = DATA0, FROM0, .describe = vlan_in,
	 .verdict = XDP_TX, .out_from = "192.0.2.1:6866", .out_to = "203.0.113.10:2000"},
	{.name = "untagged in, out by a VLAN in the other family", .path = P_VLAN6, .type = DATA0, FROM0,
	 .verdict = XDP_TX, .out_from = "[2001:db8:1::1]:6866", .out_to = "[2001:db8:3::10]:2000"},
	{.name = "two tags in, out by a VLAN in the other family", .path = P_VLAN6, .type = DATA0, FROM0,
	 .describe = two_tags_in, .verdict = XDP_TX, .out_from = "[2001:db8:1::1]:6866",
	 .out_to = "[2001:db8:3::10]:2000"},
	{.name = "tagged in by IPv6, back untagged to IPv4", .path = P_VLAN6, .type = DATA1,
	 .from = "[2001:db8:3::10]:2000", .describe = vlan_in, .verdict = XDP_TX, BACK4},
};

static const struct fixture checksums[] = {
	{.name = "no UDP checksum in IPv4 stays so", .path = P44, .type = DATA0, FROM0, .describe = check_zero,
	 .verdict = XDP_REDIRECT, ON44},
	{.name = "no UDP checksum from IPv4 to IPv6: dropped", .path = P46, .type = DATA0, FROM0,
	 .describe = check_zero, .verdict = XDP_DROP, .drop = NTM_DROP_CHECKSUM_NONE},
	{.name = "no UDP checksum from IPv6 to IPv4: dropped", .path = P46, .type = DATA1, FROM1_6,
	 .describe = check_zero, .verdict = XDP_DROP, .drop = NTM_DROP_CHECKSUM_NONE},
	{.name = "no UDP checksum from IPv6 to IPv6: dropped", .path = P66, .type = DATA0, FROM0_6,
	 .describe = check_zero, .verdict = XDP_DROP, .drop = NTM_DROP_CHECKSUM_NONE},
	{.name = "a checksum that becomes 0 is written as 0xffff", .path = P44, .type = DATA0, FROM0,
	 .describe = check_becomes_zero44, .verdict = XDP_REDIRECT, ON44},
	{.name = "the same across families", .path = P46, .type = DATA0, FROM0, .describe = check_becomes_zero46,
	 .verdict = XDP_REDIRECT, ON66},
	{.name = "native: an unfinished checksum is finished", .path = P44, .type = DATA0, FROM0,
	 .describe = check_partial, .verdict = XDP_REDIRECT, ON44, .expect = check_full, .modes = NATIVE},
	{.name = "native: the same across families, odd length", .path = P46, .type = DATA0, FROM0,
	 .describe = check_partial, .verdict = XDP_REDIRECT, ON66, .expect = check_full, .modes = NATIVE},
	{.name = "generic: an unfinished checksum stays one", .path = P44, .type = DATA0, FROM0,
	 .describe = check_partial, .verdict = XDP_REDIRECT, ON44, .modes = GENERIC},
	{.name = "generic: the same across families", .path = P46, .type = DATA1, FROM1_6, .describe = check_partial,
	 .verdict = XDP_TX, BACK4, .modes = GENERIC},
	{.name = "a finished checksum that looks unfinished", .path = P44, .type = DATA0, FROM0,
	 .describe = check_twin, .verdict = XDP_REDIRECT, ON44, .expect = check_full},
	{.name = "the same in IPv6", .path = P66, .type = DATA0, FROM0_6, .describe = check_twin,
	 .verdict = XDP_REDIRECT, ON66, .expect = check_full},
};

/* ---- for the kernel */

static void wrong_ip_check(struct frame *f)
{
	f->b[f->ip + 10] ^= 0x55;
}

static void first_fragment(struct frame *f)
{
	frame_put16(f->b + f->ip + 6, 0x2000);
	frame_ip4_fix(f);
}

static void last_fragment(struct frame *f)
{
	frame_put16(f->b + f->ip + 6, 0x0010);
	frame_ip4_fix(f);
}

/* n bytes of headers in front of UDP, whose first byte is the next header's number in IPv6 */
static void insert(struct frame *f, size_t n, const uint8_t *bytes)
{
	memmove(f->b + f->udp + n, f->b + f->udp, f->len - f->udp);
	memcpy(f->b + f->udp, bytes, n);
	f->len += n;
}

static void ip4_options(struct frame *f)
{
	static const uint8_t router_alert[4] = {0x94, 4, 0, 0};

	insert(f, sizeof(router_alert), router_alert);
	f->b[f->ip] = 0x46;
	frame_put16(f->b + f->ip + 2, (unsigned)(f->len - f->ip));
	frame_ip4_fix(f);
}

static void ip6_extension(struct frame *f, uint8_t number, const uint8_t bytes[8])
{
	insert(f, 8, bytes);
	f->b[f->ip + 6] = number;
	frame_put16(f->b + f->ip + 4, (unsigned)(f->len - f->ip - IP6_LEN));
}

static void ip6_hop_by_hop(struct frame *f)
{
	ip6_extension(f, 0, (const uint8_t[8]){IPPROTO_UDP, 0, 1, 4});
}

static void ip6_destination(struct frame *f)
{
	ip6_extension(f, 60, (const uint8_t[8]){IPPROTO_UDP, 0, 1, 4});
}

static void ip6_fragment(struct frame *f)
{
	ip6_extension(f, 44, (const uint8_t[8]){IPPROTO_UDP, 0, 0, 1, 1, 2, 3, 4});
}

static void tcp(struct frame *f)
{
	f->b[f->ip + 9] = IPPROTO_TCP;
	frame_ip4_fix(f);
}

static void udp_longer(struct frame *f)
{
	frame_put16(f->b + f->udp + 4, frame_get16(f->b + f->udp + 4) + 1u);
}

static void udp_shorter(struct frame *f)
{
	frame_put16(f->b + f->udp + 4, 20);
}

static void ip_longer(struct frame *f)
{
	frame_put16(f->b + f->ip + 2, frame_get16(f->b + f->ip + 2) + 4u);
	frame_put16(f->b + f->udp + 4, frame_get16(f->b + f->udp + 4) + 4u);
	frame_ip4_fix(f);
}

static void truncated(struct frame *f)
{
	f->len = f->ntm + 8;
}

static void arp(struct frame *f)
{
	frame_put16(f->b + f->ip - 2, 0x0806);
}

static void three_tags(struct frame *f)
{
	memmove(f->b + ETH_LEN + 10, f->b + ETH_LEN - 2, f->len - ETH_LEN + 2);
	for (size_t i = 0; i < 3; i++) {
		frame_put16(f->b + ETH_LEN - 2 + i * 4, 0x8100);
		frame_put16(f->b + ETH_LEN + i * 4, 9);
	}
	f->len += 12;
}

/* An IPv4 endpoint of ours, and of theirs, in an IPv6 header. */
static void mapped(struct frame *f)
{
	struct ntm_endpoint source = endpoint("192.0.2.10:1000"), dest = endpoint("192.0.2.1:6866");

	memcpy(f->b + f->ip + 8, &source.addr, 16);
	memcpy(f->b + f->ip + 24, &dest.addr, 16);
}

static const struct fixture for_the_kernel[] = {
	{.name = "another port of ours", .path = P44, .type = DATA0, FROM0, .to = "192.0.2.1:6867",
	 .verdict = XDP_PASS},
	{.name = "another address", .path = P44, .type = DATA0, FROM0, .to = "192.0.2.2:6866", .verdict = XDP_PASS},
	{.name = "TCP", .path = P44, .type = DATA0, FROM0, .change = tcp, .verdict = XDP_PASS},
	{.name = "ARP", .path = P44, .type = DATA0, FROM0, .change = arp, .verdict = XDP_PASS},
	{.name = "first fragment", .path = P44, .type = DATA0, FROM0, .change = first_fragment, .verdict = XDP_PASS},
	{.name = "later fragment", .path = P44, .type = DATA0, FROM0, .change = last_fragment, .verdict = XDP_PASS},
	{.name = "IPv4 options", .path = P44, .type = DATA0, FROM0, .change = ip4_options, .verdict = XDP_PASS},
	{.name = "wrong IPv4 header checksum", .path = P44, .type = DATA0, FROM0, .change = wrong_ip_check,
	 .verdict = XDP_PASS},
	{.name = "IPv6 hop-by-hop options", .path = P66, .type = DATA0, FROM0_6, .change = ip6_hop_by_hop,
	 .verdict = XDP_PASS},
	{.name = "IPv6 destination options", .path = P66, .type = DATA0, FROM0_6, .change = ip6_destination,
	 .verdict = XDP_PASS},
	{.name = "IPv6 fragment", .path = P66, .type = DATA0, FROM0_6, .change = ip6_fragment, .verdict = XDP_PASS},
	{.name = "IPv4-mapped addresses in IPv6", .path = P44, .type = DATA0, FROM0_6, .change = mapped,
	 .verdict = XDP_PASS},
	{.name = "UDP longer than IP", .path = P44, .type = DATA0, FROM0, .change = udp_longer, .verdict = XDP_PASS},
	{.name = "UDP shorter than an NTM header", .path = P44, .type = DATA0, FROM0, .change = udp_shorter,
	 .verdict = XDP_PASS},
	{.name = "longer than the frame", .path = P44, .type = DATA0, FROM0, .change = ip_longer,
	 .verdict = XDP_PASS},
	{.name = "frame cut off within the NTM header", .path = P66, .type = DATA0, FROM0_6, .change = truncated,
	 .verdict = XDP_PASS},
	{.name = "three tags", .path = P44, .type = DATA0, FROM0, .change = three_tags, .verdict = XDP_PASS},
	{.name = "Relay Bind", .path = P44, .type = NTM_TYPE_RELAY_BIND, FROM0, .verdict = XDP_PASS},
	{.name = "session handshake", .path = P44, .type = NTM_TYPE_SESSION_INIT, FROM0, .verdict = XDP_PASS},
	{.name = "session", .path = P44, .type = NTM_TYPE_SESSION, FROM0, .verdict = XDP_PASS},
	{.name = "echo", .path = P44, .type = NTM_TYPE_ECHO, FROM0, .verdict = XDP_PASS},
	{.name = "cookie of no path", .path = P_NONE, .type = NTM_TYPE_COOKIE, FROM0, .verdict = XDP_PASS},
	{.name = "reset of no path", .path = P_NONE, .type = NTM_TYPE_RESET, FROM0, .verdict = XDP_PASS},
	{.name = "unknown Path ID within the limit: to be answered", .path = P_NONE, .type = DATA0, FROM0,
	 .verdict = XDP_PASS},
	{.name = "no neighbour", .path = P_NO_NEIGHBOUR, .type = DATA0, FROM0, .verdict = XDP_PASS},
	{.name = "no route", .path = P_NO_ROUTE, .type = DATA0, FROM0, .verdict = XDP_PASS},
	{.name = "a device that may not be used", .path = P_NO_DEVICE, .type = DATA0, FROM0, .verdict = XDP_PASS},
	{.name = "a device that takes no redirected frames", .path = P_TX_ONLY, .type = DATA0, FROM0,
	 .verdict = XDP_PASS},
	{.name = "and again, now that it is known", .path = P_TX_ONLY, .type = DATA0, FROM0, .verdict = XDP_PASS},
	{.name = "a path that ntm-rs relays", .path = P_USER, .type = DATA0, FROM0, .verdict = XDP_PASS},
	{.name = "a moving path without entry: another source", .path = P_MOVING_FULL, .type = DATA0,
	 .from = "192.0.2.11:9", .verdict = XDP_PASS},
};

/* ---- dropped */

static void last_hop(struct frame *f)
{
	f->ttl = 1;
}

static void no_source_port(struct frame *f)
{
	f->source.port = 0;
}

static const struct fixture dropped[] = {
	{.name = "type 0", .path = P44, .type = 0, FROM0, .verdict = XDP_DROP, .drop = NTM_DROP_TYPE_UNKNOWN},
	{.name = "a type nobody knows", .path = P44, .type = 0xc0, FROM0, .verdict = XDP_DROP,
	 .drop = NTM_DROP_TYPE_UNKNOWN},
	{.name = "another address", .path = P44, .type = DATA0, .from = "192.0.2.11:1000", .verdict = XDP_DROP,
	 .drop = NTM_DROP_SOURCE},
	{.name = "another port", .path = P44, .type = DATA0, .from = "192.0.2.10:1001", .verdict = XDP_DROP,
	 .drop = NTM_DROP_SOURCE},
	{.name = "another IPv6 address", .path = P66, .type = DATA0, .from = "[2001:db8:1::11]:1000",
	 .verdict = XDP_DROP, .drop = NTM_DROP_SOURCE},
	{.name = "a cookie from elsewhere", .path = P44, .type = NTM_TYPE_COOKIE, .from = "192.0.2.10:1001",
	 .verdict = XDP_DROP, .drop = NTM_DROP_SOURCE},
	{.name = "source port 0", .path = P_HALF, .type = DATA1, FROM0, .describe = no_source_port,
	 .verdict = XDP_DROP, .drop = NTM_DROP_SOURCE},
	{.name = "source :: port 0 is not an unbound leg", .path = P_HALF, .type = DATA1, .from = "[::]:1",
	 .describe = no_source_port, .verdict = XDP_DROP, .drop = NTM_DROP_SOURCE},
	{.name = "reflected: side 1's data from side 0", .path = P44, .type = DATA1, FROM0, .verdict = XDP_DROP,
	 .drop = NTM_DROP_SIDE},
	{.name = "reflected: side 0's data from side 1", .path = P44, .type = DATA0, FROM1, .verdict = XDP_DROP,
	 .drop = NTM_DROP_SIDE},
	{.name = "a Tunnel Request of side 1", .path = P44, .type = NTM_TYPE_TUNNEL_REQUEST, FROM1,
	 .verdict = XDP_DROP, .drop = NTM_DROP_SIDE},
	{.name = "a Tunnel Response of side 0", .path = P44, .type = NTM_TYPE_TUNNEL_RESPONSE, FROM0,
	 .verdict = XDP_DROP, .drop = NTM_DROP_SIDE},
	{.name = "the other leg has not bound", .path = P_HALF, .type = DATA0, FROM0, .verdict = XDP_DROP,
	 .drop = NTM_DROP_LEG_UNBOUND},
	{.name = "TTL used up", .path = P44, .type = DATA0, FROM0, .describe = last_hop, .verdict = XDP_DROP,
	 .drop = NTM_DROP_HOP_LIMIT},
	{.name = "hop limit used up", .path = P66, .type = DATA0, FROM0_6, .describe = last_hop, .verdict = XDP_DROP,
	 .drop = NTM_DROP_HOP_LIMIT},
};

/* With limits of 0 */
static const struct fixture unknown_flood[] = {
	{.name = "unknown Path ID beyond the limit", .path = P_NONE, .type = DATA0, FROM0, .verdict = XDP_DROP,
	 .drop = NTM_DROP_PATH_UNKNOWN},
	{.name = "handshake of an unknown Path ID", .path = P_NONE, .type = NTM_TYPE_TUNNEL_REQUEST, FROM0,
	 .verdict = XDP_DROP, .drop = NTM_DROP_PATH_UNKNOWN},
	{.name = "a path whose time is over", .path = P_OVER, .type = DATA0, FROM0, .verdict = XDP_DROP,
	 .drop = NTM_DROP_PATH_UNKNOWN},
	{.name = "a bind of an unknown Path ID", .path = P_NONE, .type = NTM_TYPE_RELAY_BIND, FROM0,
	 .verdict = XDP_DROP, .drop = NTM_DROP_PATH_UNKNOWN},
	{.name = "a bind of a path whose time is over", .path = P_OVER, .type = NTM_TYPE_RELAY_BIND, FROM0,
	 .verdict = XDP_DROP, .drop = NTM_DROP_PATH_UNKNOWN},
	{.name = "binds of known paths go on to ntm-rs under a flood", .path = P44, .type = NTM_TYPE_RELAY_BIND, FROM0,
	 .verdict = XDP_PASS},
	{.name = "sessions go on to ntm-rs under a flood", .path = P_NONE, .type = NTM_TYPE_SESSION, FROM0,
	 .verdict = XDP_PASS},
};

static const struct fixture moving[] = {
	{.name = "from where it was bound", .path = P_MOVING, .type = DATA0, FROM0, .verdict = XDP_REDIRECT, ON44},
	{.name = "from the candidate", .path = P_MOVING, .type = DATA0, .from = MOVED_TO, .verdict = XDP_REDIRECT,
	 ON44},
	{.name = "from the old source", .path = P_MOVING, .type = DATA0, .from = MOVED_FROM,
	 .verdict = XDP_REDIRECT, ON44},
	{.name = "to the bound endpoint only", .path = P_MOVING, .type = DATA1, FROM1, .verdict = XDP_TX, BACK4},
	{.name = "a cookie from the candidate", .path = P_MOVING, .type = NTM_TYPE_COOKIE, .from = MOVED_TO,
	 .verdict = XDP_REDIRECT, ON44},
	{.name = "the candidate as the other side", .path = P_MOVING, .type = DATA1, .from = MOVED_TO,
	 .verdict = XDP_DROP, .drop = NTM_DROP_SIDE},
	{.name = "from the old source, too late", .path = P_MOVING, .type = DATA1, .from = MOVED_LONG_AGO,
	 .verdict = XDP_DROP, .drop = NTM_DROP_SOURCE},
	{.name = "from anywhere else", .path = P_MOVING, .type = DATA0, .from = "192.0.2.11:1213",
	 .verdict = XDP_DROP, .drop = NTM_DROP_SOURCE},
	{.name = "without an entry, from where it is bound", .path = P_MOVING_FULL, .type = DATA0, FROM0,
	 .verdict = XDP_REDIRECT, ON44},
};

/* ---- larger than the MTU */

static void too_large(struct frame *f) /* for nw1 */
{
	f->payload = WORLD_NARROW - IP4_LEN - UDP_LEN - NTM_HEADER_LEN + 2;
}

static void too_large46(struct frame *f)
{
	f->payload = WORLD_NARROW - IP6_LEN - UDP_LEN - NTM_HEADER_LEN + 2;
}

static void too_large_tagged(struct frame *f)
{
	too_large(f);
	f->vlan = 99;
}

static void train(struct frame *f)
{
	too_large(f);
	f->check = CHECK_PARTIAL;
}

static void too_large_may_be_cut(struct frame *f)
{
	too_large(f);
	f->ip4_frag = 0;
}

static const struct fixture too_big_quiet[] = {
	{.name = "generic: maybe a train, for ntm-rs", .path = P44, .type = DATA0, FROM0, .describe = train,
	 .verdict = XDP_PASS, .modes = GENERIC},
	{.name = "may be fragmented: for ntm-rs", .path = P44, .type = DATA0, FROM0,
	 .describe = too_large_may_be_cut, .verdict = XDP_PASS},
	{.name = "only the bound source is told, not the candidate", .path = P_MOVING, .type = DATA0,
	 .from = MOVED_TO, .describe = too_large, .verdict = XDP_DROP, .drop = NTM_DROP_TOO_BIG},
};

static const struct fixture too_big_limited[] = {
	{.name = "at a limited rate", .path = P44, .type = DATA0, FROM0, .describe = too_large, .verdict = XDP_DROP,
	 .drop = NTM_DROP_TOO_BIG},
};

#define QUOTE 160

/* The error answers `in`, whose sender is a neighbour on nw0. */
static bool icmp_is(const struct world_run *run, const struct frame *in, unsigned mtu)
{
	bool is4 = ntm_endpoint_is4(&in->source);
	size_t ip_len = is4 ? IP4_LEN : IP6_LEN, n = is4 ? 4 : 16;
	const uint8_t *ip = run->out + ETH_LEN, *icmp = ip + ip_len;
	uint8_t smac[6], dmac[6];

	world_mac(smac, 0, 0);
	world_mac(dmac, 1, 0x10);
	if (run->len != ETH_LEN + ip_len + 8 + QUOTE || !frame_checks_hold(run->out, run->len))
		return false;
	if (memcmp(run->out, dmac, 6) || memcmp(run->out + 6, smac, 6))
		return false;
	if (memcmp(is4 ? ip + 12 : ip + 8, frame_addr(&in->dest), n) ||
	    memcmp(is4 ? ip + 16 : ip + 24, frame_addr(&in->source), n))
		return false;
	if ((is4 ? ip[9] != IPPROTO_ICMP || icmp[0] != 3 || icmp[1] != 4 :
		   ip[6] != IPPROTO_ICMPV6 || icmp[0] != 2 || icmp[1]))
		return false;
	if (frame_get16(icmp + 4) || frame_get16(icmp + 6) != mtu)
		return false;
	return !memcmp(icmp + 8, in->b + in->ip, QUOTE);
}

static void icmp_check(const char *name, enum path path, uint8_t type, const char *from,
		       void (*describe)(struct frame *), unsigned mtu)
{
	const struct fixture fixture = {.path = path, .type = type, .from = from, .describe = describe};
	uint64_t before[NTM_DROP_MAX];
	struct world_run run = {0};
	struct frame in;
	bool holds;

	world_drops(&world, before);
	frame_in(&fixture, &in);
	holds = !world_run(&world, prog_of(NATIVE), in.b, in.len, &run) && run.verdict == XDP_TX &&
		drops_are(before, NTM_DROP_TOO_BIG) && icmp_is(&run, &in, mtu);
	if (!check(holds, name))
		dump("came out", run.out, run.len);
}

static void test_too_big(void)
{
	icmp_check("too big from IPv4 to IPv4: its sender is told", P44, DATA0, "192.0.2.10:1000", too_large,
		   WORLD_NARROW);
	icmp_check("too big from IPv6 to IPv6: its sender is told", P66, DATA0, "[2001:db8:1::10]:1000", too_large,
		   WORLD_NARROW);
	icmp_check("too big once grown from IPv4 to IPv6: its sender is told 20 bytes less", P46, DATA0,
		   "192.0.2.10:1000", too_large46, WORLD_NARROW - 20);
	icmp_check("too big with a tag", P44, DATA0, "192.0.2.10:1000", too_large_tagged,
		   WORLD_NARROW);
	FIXTURES_RUN(too_big_quiet);
	world.config.too_big_limit = 0;
	world_config(&world);
	FIXTURES_RUN(too_big_limited);
	world.config.too_big_limit = 1000000;
	world_config(&world);
}

static void all(void)
{
	world.config.unknown_limit = 1000000;
	world_config(&world);
	FIXTURES_RUN(passed_on);
	FIXTURES_RUN(tags);
	FIXTURES_RUN(checksums);
	FIXTURES_RUN(for_the_kernel);
	FIXTURES_RUN(dropped);
	FIXTURES_RUN(moving);
	test_too_big();
	world.config.unknown_limit = 0;
	world_config(&world);
	FIXTURES_RUN(unknown_flood);
	test_counters();
	test_rate();
	test_rate_up();
	test_hops();
	test_ways();
	test_control();
	test_fuzz();
}

int main(void)
{
	int err = world_open(&world, WORLD_ROOM);

	if (!err)
		err = slots_take();
	if (err || paths_make()) {
		check(false, "the relay's program is loaded and attached");
		return 1;
	}
	all();
	shown = true;
	check(!paths_make(), "all paths are found");
	all();
	world_close(&world);
	return failed;
}
