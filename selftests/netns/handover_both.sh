#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: both ends of a TCP connection move at the same moment, and it survives
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn: v4, then v6, then nat2
#	                            '------- cn: v4b, then v6b, then nat1
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

advances() { [ "$(flow_offset 7100)" -gt "$SEEN" ]; }

both_move() { # SENTENCE MN_NET CN_NET
	local start
	host_move mn "$2"
	host_move cn "$3"
	start=$(now_ms)
	sleep 0.1
	SEEN=$(flow_offset 7100)
	check "$1: the connection goes on within 4 s" eventually 4 advances
	echo "# $1: after $(($(now_ms) - start)) ms"
	check "$1: a ping goes through" eventually 2 reaches mn "$(vip6 cn)"
	check "$1: both ends have the path" test "$(tunnel mn cn .path_id)" = "$(tunnel cn mn .path_id)"
	sleep 0.5
}

net_up
for net in v6 v6b nat1 nat2; do access_make $net; done
dc_start rs1
rs_start rs1
nodes_add mn=v4 cn=v4b
reaches mn cn.$ZONE -W 4 >/dev/null
check "at first the route is direct" eventually 3 route_is mn cn direct
flow_start mn cn cn.$ZONE 7100 300 60
sleep 0.5 # both ends bind at the standby relay

both_move "IPv4 to IPv6, both" v6 v6b
check "then it is direct again, in IPv6" eventually 6 route_is mn cn direct
both_move "each behind a NAT of its own" nat2 nat1
both_move "to IPv4 and IPv6" v4 v6
both_move "and crosswise" v6b v4b
both_move "back to IPv4" v4 nat1
# XDP would go on without ntm-rs: this is a machine that stops relaying.
daemon_stop rs1 ntm-rs KILL
ns rs1 ntm-rs -c "$WORK/rs1/ntm-rs.conf" --detach
both_move "the relay is dead, the DC is asked" v4b v4
check "then it is direct" eventually 6 route_is mn cn direct
flow_end "every byte arrived, in one connection" 7100
for name in mn cn; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
