#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# tunnel.sh - runs in the virtual machine: BPF has the inline lane of a tunnel by IPv4 and of one by IPv6, and XDP relays
# between the families. Short, for the processor is emulated.
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn, cn (v4, v4b)
#	                             '------ mn6, cn6 (v6, v6b)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/netns/bpf.sh
. "$(dirname "$0")/../netns/bpf.sh"
# shellcheck source=selftests/netns/relay_steps.sh
. "$(dirname "$0")/../netns/relay_steps.sh"

twenty() { # NAME WHERE
	ns "$1" ping -q -i 0.05 -c 20 -W 5 "$2" | grep -q '20 received'
}

net_up
dc_start rs1
rs_start rs1
NTM_ENGINE=bpf nodes_add mn=v4 cn=v4b mn6=v6 cn6=v6b
for pair in "mn cn" "mn6 cn6"; do
	read -r a b <<<"$pair"
	check "$a reaches $b by its name" eventually 2 reaches $a $b.$ZONE -W 10
	check "$a and $b: BPF has the inline lane" eventually 5 inline_is $a $b bpf
	eventually 5 inline_is $b $a bpf
	before=$(lane $a $b rx inline)
	for vip in vip4 vip6; do
		check "$a and $b: 20 pings to $vip are answered" twenty $a "$($vip $b)"
	done
	check "$a and $b: BPF has opened the answers" test $(($(lane $a $b rx inline) - before)) -ge 40
done
check "mn reaches cn6 by its name" eventually 2 reaches mn cn6.$ZONE -W 10
check "by the relay" eventually 5 route_is mn cn6 relay
check "which has XDP" xdp_is generic
by_xdp "20 pings to another family" mn cn6 twenty mn "$(vip4 cn6)"
for name in mn cn mn6 cn6; do
	no_drops "nothing failed authentication at $name" $name auth checksum inner_source
	check "$name detaches" ns $name ntmctl detach
	nothing_pinned "nothing is left at $name" $name
done
