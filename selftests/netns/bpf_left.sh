#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: XDP that still runs on an interface which ntmd has just left puts no wrong byte into a TCP stream
#
#	dc (srv1) ---- core ---- mn, cn (v4, v4b)
#
# A CPU may be in a program that another has just detached. That moment is too short for a test, so the program is attached
# again here, by hand, after ntmd has left the interface: the default route is gone, but all addresses are still reached by
# two halves of it. What a program in generic mode must not do then is to cut packets as native XDP would (bpf/decap.h): where the
# kernel appends a packet to the one before it, some bytes in between would be wrong. The receiver stops now and then, so that it
# has packets to append.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

AT=7200

programs() { ns mn bpftool -j net | jq -r '[.[].xdp[] | select(.devname == "eth0") | .id // .ifindex] | length'; }
has_left() { [ "$(programs)" = 0 ]; }
xdp_id() { ns mn ip -d -j link show dev eth0 | jq -r '.[0].xdp.prog.id'; }

net_up
dc_start
NTM_ENGINE=bpf NODE_CONFIG="[datapath]"$'\n'"lane = inline" nodes_add mn=v4 cn=v4b
reaches mn "$(vip4 cn)" -W 3 >/dev/null
eventually 3 inline_is mn cn bpf
eventually 3 inline_is cn mn bpf
id=$(xdp_id)

read -r gateway _ <<<"$(nsip mn -j route show default | jq -r '.[0].gateway')"
nsip mn route add 0.0.0.0/1 via "$gateway"
nsip mn route add 128.0.0.0/1 via "$gateway"
nsip mn route del default
check "without a default route there is no program on the interface" eventually 3 has_left
check "attached by hand, it runs" ns mn bpftool net attach xdpgeneric id "$id" dev eth0

before=$(state mn rx_packets)
flow_start mn cn "$(vip4 cn)" $AT 500 30 serve
for _ in $(seq 20); do
	kill -STOP "$FLOW_FROM"
	sleep 0.1
	kill -CONT "$FLOW_FROM"
	sleep 0.05
done
check "packets come by the program" test "$(($(state mn rx_packets) - before))" -gt 500
flow_end "every byte from cn to mn arrived as it was sent" $AT
no_drops "nothing failed authentication at mn" mn auth inner_source
