#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: where ICMP is filtered the path's MTU is found all the same, when a tunnel begins and when it gets narrower later
#
#	dc (srv1) ---- core -(MTU, no ICMP)-- [r-v4] mn (v4)     cn (v4b)
#	                 '----(MTU, no ICMP)-- [r-v6] mn6 (v6)   cn6 (v6b)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/mtu_steps.sh
. "$(dirname "$0")/mtu_steps.sh"

found() { # MN CN LEAST MOST: both ways
	mtu_is "$1" "$2" "$3" "$4" && mtu_is "$2" "$1" "$3" "$4"
}
begins() { # MN CN NET LINK OUTER
	local mtu=$(($4 - $5 - 32)) start
	link_mtu "$3" "$4"
	start=$(now_ms)
	tunnel_anew "$1" "$2"
	check "$3, $4 bytes: found within 3 s" eventually 3 found "$1" "$2" $((mtu - 8)) "$mtu"
	echo "# after $(($(now_ms) - start)) ms, with making the tunnel"
	if [ "$4" -gt 1280 ]; then
		delivers "$3, $4 bytes: 10 MiB of TCP by IPv4" "$1" "$(vip4 "$2")"
	else
		delivers_all "$3, $4 bytes" "$1" "$2" "$mtu"
	fi
	link_mtu "$3" 1500
}

net_up
dc_start
nodes_add mn=v4 cn=v4b mn6=v6 cn6=v6b
for name in mn cn mn6 cn6; do sums_start "$name"; done
icmp_filter core r-v4 r-v6
begins mn cn v4 1360 28
begins mn cn v4 1124 28
begins mn6 cn6 v6 1280 48

# ---- later, while data flows
tunnel_anew mn cn
check "a wide path again" eventually 2 found mn cn 1420 1420
flow_start mn cn "$(vip4 cn)" 7005 2000 5
link_mtu v4 1280
start=$(now_ms)
check "a path that gets narrower is noticed within 5 s, by who sends" eventually 5 mtu_is mn cn 1212 1220
echo "# after $(($(now_ms) - start)) ms"
flow_end "the flow loses nothing" 7005 12
check "ICMP errors were there to be filtered, by IPv4" icmp_filtered r-v4
check "ICMP errors were there to be filtered, by IPv6" icmp_filtered r-v6
for name in mn cn mn6 cn6; do no_drops "nothing came in a wrong piece at $name" "$name" piece auth; done
