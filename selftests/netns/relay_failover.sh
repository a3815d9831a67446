#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: relays and the DC may die: relayed paths move to another relay within 2 s, direct ones and live nodes do not care
#
#	dc (srv1), rs1 (srv2), rs2 (srv3) ---- core ---- mn (v4; later v6, v4b)
#	                                        |------- cn (dual)
#	                                        |------- [hard NAT] h1 (hard1)
#	                                        '------- [hard NAT] h2 (hard2)
#
# h1 and h2 reach each other by a relay only, mn and cn directly.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

relay_of() { tunnel h1 h2 .relay | cut -d . -f 1; }
relayed_by() { # RELAY
	local one two
	one=$(tunnel h1 h2 '"\(.relay) \(.state)"') two=$(tunnel h2 h1 '"\(.relay) \(.state)"')
	echo "$one, $two"
	[ "$one" = "$1.$ZONE up" ] && [ "$two" = "$1.$ZONE up" ]
}
streams_start() { stream_start h1 h2 "$(vip4 h2)" 7300 1000 90; stream_start h2 h1 "$(vip4 h1)" 7301 1000 90; stream_start mn cn "$(vip4 cn)" 7302 1000 90; sleep 0.5; }
silent() { # SENTENCE PORT MS
	local gap
	stream_end "$2"
	gap=$(stream_gap_since "$2" "$KILLED")
	# Also what never went on is silent.
	check "$1: silent for $gap ms, at most $3, and then whole ($LOST of $SENT lost)" test "$gap" -le "$3" -a "$LOST" -le $((gap + 50))
	eq "$1: nothing came twice" 0 "$DUPLICATE"
}
whole() { # SENTENCE PORT
	stream_end "$2"
	eq "$1: none of $SENT lost" 0 "$LOST"
}
sends_to() { [[ "$(tunnel "$1" "$2" .remote)" = "$3:"* ]]; }
mn_moves() { # SENTENCE NET ROUTE
	local without
	stream_start mn cn "$(vip4 cn)" 7303 1000 90
	sleep 0.3
	host_move mn "$2"
	without=$(awk -v a="$MOVED_DOWN" -v b="$MOVED_ADDRESS" 'BEGIN { printf "%.0f", (b - a) * 1000 }')
	KILLED=$MOVED_DOWN
	check "without the DC: mn moves $1, and its route is $3" eventually 3 route_is mn cn "$3"
	check "without the DC: data flows" reaches cn "$(vip4 mn)"
	silent "without the DC: mn moves $1, $without ms without a network" 7303 $((without + 1000))
}
registered_at_dc() { # NAME...
	local name list
	list=$(ns dc ntmctl -j dc node list | jq -r '.[] | select(.registered) | .fqdn')
	for name; do grep -qx "$name.$ZONE" <<<"$list" || return 1; done
}
# XDP would go on without ntm-rs (relay_restart.sh): this is a machine that stops relaying.
relay_dies() { # NAME
	KILLED=$EPOCHREALTIME
	daemon_stop "$1" ntm-rs KILL
	ns "$1" ntm-rs -c "$WORK/$1/ntm-rs.conf" --detach
}
both_advance() { [ "$(flow_offset 7100)" -gt "$SEEN_UP" ] && [ "$(flow_offset 7101)" -gt "$SEEN_DOWN" ]; }
go_on() { # SENTENCE SECONDS
	SEEN_UP=$(flow_offset 7100) SEEN_DOWN=$(flow_offset 7101)
	check "$1" eventually "$2" both_advance
}

net_up
for net in v6 v4b; do access_make $net; done
dc_start rs1 rs2
rs_start rs1
rs_start rs2
nodes_add cn=dual mn=v4 h1=hard1 h2=hard2
reaches h1 h2.$ZONE -W 4 >/dev/null
reaches mn cn.$ZONE -W 4 >/dev/null
check "between hard NATs a relay is used" eventually 5 route_is h1 h2 relay
check "elsewhere the route is direct" eventually 3 route_is mn cn direct
flow_start h1 h2 "$(vip4 h2)" 7100 300 90
flow_start h1 h2 "$(vip6 h2)" 7101 300 90 serve

# ---- the DC dies
sleep 0.3 # it writes down where nodes are within a moment
daemon_stop dc ntm-dc KILL
streams_start
sleep 1
whole "without the DC: from h1 by a relay" 7300
whole "without the DC: from h2 by a relay" 7301
whole "without the DC: directly" 7302
mn_moves "to another IPv4 network" v4b direct
check "without the DC: cn sends to its new address" eventually 3 sends_to cn mn "$(host_addr4 mn)"
mn_moves "to IPv6 only" v6 direct
mn_moves "back to IPv4" v4 direct
go_on "without the DC: TCP by a relay goes on" 3
daemon_run dc ntm-dc
check "the DC is back: all register again" eventually 8 registered_at_dc mn cn h1 h2
check "new directions work" eventually 8 reaches mn h1.$ZONE -W 3

# ---- the relay dies
streams_start
first=$(relay_of)
if [ "$first" = rs1 ]; then other=rs2; else other=rs1; fi
relay_dies "$first"
check "$first dies: both ends use $other within 5 s" eventually 5 relayed_by $other
sleep 0.5
silent "from h1, by $first and then by $other" 7300 2000
silent "from h2, by $first and then by $other" 7301 2000
whole "the direct path does not care" 7302
go_on "the TCP connections go on" 3

# ---- and the other one, when the first is back
rs_start "$first"
eventually 10 relay_up "$first"
sleep 1
stream_start h1 h2 "$(vip4 h2)" 7300 1000 90
sleep 0.3
relay_dies $other
check "$other dies as well: both ends use $first within 5 s" eventually 5 relayed_by "$first"
sleep 0.5
silent "from h1, by $first again" 7300 2000
flow_end "every byte from h1 to h2 arrived, in one connection" 7100
flow_end "every byte from h2 to h1 arrived, in one connection" 7101

# ---- and then nobody is left: cn's other address is known
daemon_stop dc ntm-dc KILL
relay_dies "$first"
mn_moves "to IPv6 only, without any relay" v6 direct
for name in mn cn h1 h2; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
