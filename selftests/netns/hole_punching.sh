#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: behind different NATs nodes begin on the relay, change to a direct path in the background, and fall back at once when it dies
#
#	dc (srv1), rs1 (srv2) ---- core ---- [NAT] a, a2 (nat1)
#	                            |------- [NAT] b (nat2)
#	                            |------- [hard NAT] h1 (hard1)
#	                            '------- [hard NAT] h2 (hard2)
#
# The core lets UDP between the two NATs pass or not.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

direct_stop() {
	ns core nft -f - <<-RULES
	table ip stop {
		chain forward {
			type filter hook forward priority filter;
			ip saddr $(host_outside4 a) ip daddr $(host_outside4 b) drop
			ip saddr $(host_outside4 b) ip daddr $(host_outside4 a) drop
		}
	}
	RULES
}
direct_go() { ns core nft delete table ip stop; }

leads_to() { [[ "$(tunnel "$1" "$2" .remote)" = "$3:"* ]]; }
both_by() { # NAME PEER ROUTE
	route_is "$1" "$2" "$3" && route_is "$2" "$1" "$3"
}
told() { [ "$(monitored a 'select(.time > '"$STOPPED"' and (.event == "route_failed" or .event == "peer_moved")) | .event' | wc -l)" -gt 0 ]; }
whole() { # SENTENCE PORT
	stream_end "$2"
	eq "$1: none of $SENT lost" 0 "$LOST"
	eq "$1: none came twice" 0 "$DUPLICATE"
}
fell_back() { # SENTENCE PORT: three round trips, 200 ms, and what a busy machine adds
	local gap
	stream_end "$2"
	gap=$(stream_gap_since "$2" "$STOPPED")
	check "$1: silent for $gap ms, at most 1000" test "$gap" -le 1000
	check "$1: then nothing is lost any more ($LOST of $SENT lost)" test "$LOST" -le $((gap + 20))
}

net_up
dc_start rs1
rs_start rs1
nodes_add a=nat1 b=nat2 a2=nat1
monitor_start a

# ---- the first packet goes by the relay or directly, whichever is sooner; none is lost
stream_start a b "$(vip4 b)" 7300 1000 30
check "a new tunnel becomes direct by hole punching" eventually 5 both_by a b direct
sleep 0.3
whole "from the first packet of a new tunnel on" 7300
check "the route leads to b's NAT" grep -q "^$(host_outside4 b):" <<<"$(tunnel a b .remote)"
ns a ntmctl tunnel close b.$ZONE >/dev/null

# ---- the direct way is closed at first, and then opens
direct_stop
stream_start a b "$(vip4 b)" 7300 1000 60
check "while direct packets do not get through the relay is used" eventually 5 both_by a b relay
stream_start b a "$(vip4 a)" 7301 1000 60
sleep 3 # all probes have failed
check "and stays in use" both_by a b relay
direct_go
check "when they do, a direct route is found in the background within 15 s" eventually 15 both_by a b direct
sleep 0.3
whole "from a, while the route changed" 7300
whole "from b, while the route changed" 7301

# ---- the direct way dies
stream_start a b "$(vip4 b)" 7300 1000 60
stream_start b a "$(vip4 a)" 7301 1000 60
sleep 0.5
STOPPED=$EPOCHREALTIME
direct_stop
check "the direct route dies: both ends use the relay within 3 s" eventually 3 both_by a b relay
sleep 0.3
fell_back "from a" 7300
fell_back "from b" 7301
# One of them notices first, and tells the other.
check "monitor tells of it" eventually 2 told

# ---- and comes back, whether one of them noticed first or both at once
stream_start a b "$(vip4 b)" 7300 1000 60
stream_start b a "$(vip4 a)" 7301 1000 60
for i in 1 2; do
	direct_go
	check "turn $i: the direct way is there again, and taken by both within 8 s" eventually 8 both_by a b direct
	sleep 0.5
	direct_stop
	check "turn $i: it dies again" eventually 3 both_by a b relay
	sleep 0.5
done
direct_go
stream_end 7300
stream_end 7301

# ---- hard NATs: there is nothing to punch
nodes_add h1=hard1 h2=hard2
stream_start h1 h2 "$(vip4 h2)" 7302 1000 30
check "behind hard NATs the relay is used" eventually 5 both_by h1 h2 relay
sleep 3
check "and stays in use" both_by h1 h2 relay
whole "behind hard NATs, from the first packet on" 7302

# ---- the same NAT
stream_start a a2 "$(vip4 a2)" 7303 1000 30
check "behind the same NAT the route is direct" eventually 5 both_by a a2 direct
check "it leads to the private address" eventually 3 leads_to a a2 "$(host_addr4 a2)"
check "from the other end as well" eventually 3 leads_to a2 a "$(host_addr4 a)"
whole "behind the same NAT, from the first packet on" 7303
for name in a b a2 h1 h2; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
