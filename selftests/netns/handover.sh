#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: TCP connections survive every move of the mobile node, from family to family and from NAT to NAT
#
#	dc (srv1), rs1 (srv2) ---- core ---- v4, v4b	(global IPv4)
#	                            |------- v6		(IPv6 only)
#	                            |------- [NAT] nat2
#	                            '------- [NAT] nat1: cn
#
# MN begins in v4 and visits all of them, in the end CN's own network. Two connections run all the time: MN sends on one,
# and receives on the other.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

UP=7100 DOWN=7101
both_advance() { [ "$(flow_offset $UP)" -gt "$SEEN_UP" ] && [ "$(flow_offset $DOWN)" -gt "$SEEN_DOWN" ]; }
# The longest silence of a flow that ended after the moment.
gap_since() { awk -v t="$2" '$1 == "gap" && $3 > t { g = ($3 - $2) * 1000; if (g > m) m = g } END { printf "%.0f", m }' "$WORK/flow-$1.log"; }

moves() { # SENTENCE HOW NET ROUTE
	$2 mn "$3"
	sleep 0.1 # what was on its way
	SEEN_UP=$(flow_offset $UP) SEEN_DOWN=$(flow_offset $DOWN)
	check "$1: both connections go on within 3 s" eventually 3 both_advance
	check "$1: then the route is $4" eventually 5 route_is mn cn "$4"
	sleep 0.3
	up=$(gap_since $UP "$MOVED_DOWN") down=$(gap_since $DOWN "$MOVED_DOWN")
	without=$(awk -v a="$MOVED_DOWN" -v b="$MOVED_ADDRESS" 'BEGIN { printf "%.0f", (b - a) * 1000 }')
	check "$1: silent for $up ms from mn and $down ms to mn, of that $without ms without an address" \
		test "$up" -lt $((without + 1000)) -a "$down" -lt $((without + 1000))
}

# `ntmctl monitor` has told of this step since MOVED_DOWN: with its time, not before that of the one before.
step() { # NAME EVENT
	local at
	at=$(monitored "$1" "select(.event == \"$2\" and .time >= $MOVED_DOWN) | .time" | sed 1q)
	echo "$2 at ${at:-no time}, the step before at $STEP"
	[ -n "$at" ] || return 1
	awk -v a="$at" -v b="$STEP" -v now="$EPOCHREALTIME" 'BEGIN { exit !(a >= b && a <= now) }' || return 1
	STEP=$at
}
steps() { # SENTENCE NAME EVENT...; those of one node, in order
	local sentence=$1 name=$2 event ms
	shift 2
	STEP=$MOVED_DOWN
	for event; do
		if eventually 2 step "$name" "$event"; then
			step "$name" "$event" >/dev/null
			ms=$(awk -v a="$STEP" -v b="$MOVED_DOWN" 'BEGIN { printf "%.1f", (a - b) * 1000 }')
			ok "$sentence: $name tells $event, $ms ms after the old network was lost"
		else
			fail "$sentence: $name tells $event, in order" "$(step "$name" "$event")"
		fi
	done
}

net_up
for net in v4b v6 nat2; do access_make $net; done
dc_start rs1
rs_start rs1
nodes_add mn=v4 cn=nat1
monitor_start mn
monitor_start cn
vips=$(vip4 mn)\ $(vip6 mn)
reaches mn cn.$ZONE -W 4 >/dev/null
check "at first the route is direct" eventually 3 route_is mn cn direct
flow_start mn cn cn.$ZONE $UP 500 60
flow_start mn cn "$(vip6 cn)" $DOWN 500 60 serve

moves "case 1, IPv4 to IPv6 only" host_move v6 relay
steps "case 1" mn network_changed path_update_sent data_flows
steps "case 1" mn path_update_sent handover_done
steps "case 1" cn peer_moved
check "monitor's numbers are numbers" jq -es '[.[] | select(.event == "handover_done" or .event == "path_update_sent") |
	(.ms, .sequence) | select(. != null) | type] | length > 1 and all(. == "number")' <(monitored mn .)
moves "case 2, IPv6 only to IPv4" host_move v4 direct
moves "to another IPv4 network" host_roam v4b direct
moves "behind another NAT than CN's" host_roam nat2 direct
moves "behind the same NAT as CN" host_move nat1 direct
check "in the same network the private address is used" eventually 3 \
	grep -q "^$(host_addr4 cn):" <<<"$(tunnel mn cn .remote)"
moves "out again, to IPv6 only" host_roam v6 relay
moves "and back home" host_roam v4 direct

eq "MN's virtual addresses never changed" "$vips" "$(vip4 mn) $(vip6 mn)"
check "it registered again wherever it went" grep -q '"registered"' "$WORK/mn-monitor.log"
flow_end "every byte from mn to cn arrived, in one connection" $UP
flow_end "every byte from cn to mn arrived, in one connection" $DOWN
for name in mn cn; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
