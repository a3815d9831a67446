#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: while ntm-rs is dead and XDP relays on, nodes stay at their relay, also when its Keep Alives are not answered
# long
#
#	dc (srv1), rs1 (srv2) ---- core ---- p4 (v4)  q4 (v4b)
#	                             '------ p6 (v6)  q6 (v6b)	v4 and v4b, v6 and v6b only reach each other by rs1
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/relay_steps.sh
. "$(dirname "$0")/relay_steps.sh"

told() { grep -q "\"$2\"" "$WORK/$1-monitor.log"; } # NAME EVENT

net_up
dc_start rs1
rs_start rs1
nodes_add p4=v4 p6=v6 q4=v4b q6=v6b
no_direct
for name in p4 p6 q4 q6; do ns $name ethtool -K eth0 tx-udp-segmentation off >/dev/null; done
for peer in p4:q6 p6:q4; do check "${peer/:/ to }: reached" reaches "${peer%:*}" "${peer#*:}.$ZONE" -W 4; done
check "it is generic XDP" xdp_is generic
for name in p6 q4; do monitor_start $name; done
id=$(tunnel p4 q6 .path_id)

# Keep Alives are 25 s apart; three of them are missed. From p6 to q4 nothing is sent all that time. Where a stream runs a node
# may doubt its route when the machine is busy, and look again; only the stream itself tells whether it went on.
stream_start p4 q6 "$(vip4 q6)" 35
sleep 0.5
daemon_stop rs1 ntm-rs KILL
for name in p6 q4; do check "$name misses the relay's answers" eventually 34 told $name relay_lost; done
stream_end "ntm-rs is dead: no packet of a stream was lost"
for name in p6 q4; do check_not "$name gives up no route" told $name route_failed; done
check "the idle path works, too" reaches p6 "$(vip6 q4)" -W 1
eq "ntm-rs is dead: it is the same path" "$id" "$(tunnel p4 q6 .path_id)"
check "by the relay" route_is p4 q6 relay

# ---- and it is served again by the next one
for name in p6 q4; do eq "$name tells once" 1 "$(grep -c '"relay_lost"' "$WORK/$name-monitor.log")"; done
daemon_run rs1 ntm-rs
pings "a new ntm-rs: nothing is lost" p4 "$(vip4 q6)"
by_xdp "a new ntm-rs" p4 q6 reaches p4 "$(vip4 q6)"
by_xdp "a new ntm-rs, the idle path" p6 q4 reaches p6 "$(vip4 q4)"
