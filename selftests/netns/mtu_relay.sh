#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a tunnel relayed between the families delivers everything when either leg's link is narrow
#
#	dc (srv1), rs1 (srv2) ---- core -(MTU)-- [r-v4] four (v4)
#	                             '----(MTU)-- [r-v6] six (v6)
#
# The relay cannot tell a sender what does not fit behind it: the ends find out.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/mtu_steps.sh
. "$(dirname "$0")/mtu_steps.sh"

step() { # NET LINK OUTER: bytes of IP and UDP header there
	local mtu=$(($2 - $3 - 32))
	[ "$mtu" -le 1420 ] || mtu=1420
	link_mtu "$1" "$2"
	tunnel_anew four six
	check "$1, $2 bytes: by the relay" eventually 2 route_is four six relay
	# 8 bytes is how near a search comes.
	check "$1, $2 bytes: four finds what passes" eventually 3 mtu_is four six $((mtu - 8)) "$mtu"
	check "$1, $2 bytes: six does" eventually 3 mtu_is six four $((mtu - 8)) "$mtu"
	delivers_all "$1, $2 bytes" four six "$mtu"
	link_mtu "$1" 1500
}

net_up
dc_start rs1
rs_start rs1
nodes_add four=v4 six=v6
for name in four six; do sums_start "$name"; done
step v4 1500 28
step v4 1360 28
step v4 1124 28
step v6 1360 48
step v6 1280 48
for name in four six; do no_drops "nothing came in a wrong piece at $name" "$name" piece auth; done
