#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: XDP relays between all families, untouched and counted, while legs move and routes change; and what it cannot, user space does
#
#	dc (srv1), rs1 (srv2) ---- core ---- p4 (v4)  q4 (v4b)
#	                             '------ p6 (v6)  q6 (v6b)	v4 and v4b, v6 and v6b only reach each other by rs1
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/relay_steps.sh
. "$(dirname "$0")/relay_steps.sh"

pairs() { # SENTENCE
	local p q
	for p in p4 p6; do
		for q in q4 q6; do
			check "$1, $p to $q: reached" reaches $p $q.$ZONE -W 4
			check "$1, $p to $q: by the relay" eventually 2 route_is $p $q relay
			by_xdp "$1, $p to $q: TCP" $p $q echoes $p $q.$ZONE 7001
			whole "$1, $p to $q: 3 MiB arrive as they were" $p $q "$(vip4 $q)"
			whole "$1, $p to $q: 3 MiB back" $q $p "$(vip6 $p)"
		done
	done
}

net_up
dc_start rs1
rs_start rs1
nodes_add p4=v4 p6=v6 q4=v4b q6=v6b
no_direct
for name in q4 q6; do server_start $name 7001; done
check "auto on veth is generic XDP" xdp_is generic
check "the status says why" grep -q veth <<<"$(rs_status .mode_why)"
pairs "generic"
dump=$(ns rs1 bpftool map dump pinned $PINS/rs_paths)
for field in leg remote addr port local slot; do
	check "bpftool shows rs_paths with the field $field" grep -q "\"$field\"" <<<"$dump"
done
eq "and as many of them as there are paths" "$(rs_status .paths)" "$(jq length <<<"$dump")"
check "rs tunnel list shows both legs" \
	test "$(rs_path p4 q6 '"\(.leg0) \(.leg1)"' | grep -c "^$(host_addr4 p4):[0-9]* \[$(host_addr6 q6)\]:")" = 1

# ---- drops are counted by their reasons, XDP's among all
before=$(rs_stats '.xdp_drops.source // 0')
ns rs1 true
id=$(tunnel p4 q6 .path_id)
ns q4 "$NTM_BIN/udpload" send "$(host_addr4 rs1)" 6866 100 0.2 100 head="8000000000000001$id" >/dev/null
check "data from a stranger is dropped by XDP, as source" test "$(rs_stats .xdp_drops.source)" -ge $((before + 10))
eq "stats sums both relays' drops" "$(rs_stats .xdp_drops.source)" "$(rs_stats .drops.source)"

# ---- a leg moves
monitor_start rs1 rs
host_move p4 v4b
check "p4 moves: reached again" eventually 5 reaches p4 "$(vip4 q6)" -W 0.2
check "the relay tells" eventually 2 grep -q leg_moved "$WORK/rs1-monitor.log"
pings "p4 has moved: nothing is lost" p4 "$(vip4 q6)"
by_xdp "p4 has moved: IPv4 to IPv6" p4 q6 echoes p4 "$(vip6 q6)" 7001
host_attach p4 v4 eth1 50
check "p4 moves with both networks there: the relay tells" \
	eventually 5 grep -q "\"leg_moved\".*\"$(host_addr4 p4 eth1):" "$WORK/rs1-monitor.log"
pings "then nothing is lost" p4 "$(vip4 q6)"
host_detach p4 eth0
pings "nor without the old network" p4 "$(vip4 q6)"

# ---- routes and neighbours change
mac=$(nsip r-srv2 -j link show dev lan | jq -r '.[0].address')
gateway4=203.0.113.17
# Only that it works: what was asked of p4's moves may still be under way here.
check "before the neighbour changes it works" eventually 5 reaches q4 "$(vip4 p6)" -W 0.5
nsip rs1 neigh replace $gateway4 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
check_not "a neighbour with another address is used at once" reaches q4 "$(vip4 p6)" -W 0.5
nsip rs1 neigh replace $gateway4 lladdr "$mac" dev eth0 nud reachable
pings "and so is the right one again" q4 "$(vip4 p6)"
nsip rs1 route add unreachable "$(host_addr4 q4)/32"
check_not "so is a route" reaches q4 "$(vip4 p6)" -W 0.5
nsip rs1 route del unreachable "$(host_addr4 q4)/32"
pings "and its end" q4 "$(vip4 p6)"

# ---- by hand
check "ntmctl rs detach" ns rs1 ntmctl rs detach
check "it is user space then" xdp_is user
pings "which relays" p6 "$(vip6 q4)"
check "ntmctl rs attach" ns rs1 ntmctl rs attach
check "it is generic XDP then" xdp_is generic
by_xdp "attached again" p6 q4 reaches p6 "$(vip6 q4)"

# ---- without offloads: checksums are what they are
for name in core r-srv2 r-v4 r-v6 r-v4b r-v6b rs1 p4 p6 q4 q6; do
	for dev in $(nsip "$name" -o link show type veth | awk '{ sub(/[@:].*/, "", $2); print $2 }'); do
		offloads_off "$name" "$dev"
	done
done
pairs "without offloads"
for name in p4 p6 q4 q6; do no_drops "nothing was changed on its way to $name" $name auth; done
check_not "the relay had nothing to warn of" grep -qi "warning\|error" "$WORK/rs1-ntm-rs.log"

# ---- exact counts: without the nodes' daemons there is nothing but what is sent here
id=$(tunnel p4 q4 .path_id)
from=$(rs_path p4 q4 .leg0) to=$(rs_path p4 q4 .leg1)
for name in p4 p6 q4 q6; do daemon_stop $name ntmd KILL; done
counts() { ns rs1 ntmctl -j rs tunnel list | jq -r ".[] | select(.path_id == \"$id\") | \"\(.xdp_packets0) \(.bytes0)\""; }
read -r packets0 bytes0 <<<"$(counts)"
nsbg q4 exact.log "$NTM_BIN/udpload" sink "${to##*:}" 10 2
sink=$SPAWNED
eventually 2 listening q4 "${to##*:}"
sent=$(ns p4 "$NTM_BIN/udpload" send "$(host_addr4 rs1)" 6866 100 0.5 2000 from="$from" head="8000000000000001$id" | awk '{ print $2 }')
eventually 12 not_alive "$sink"
read -r packets bytes <<<"$(counts)"
check "packets of a bound leg were sent ($sent)" test "$sent" -gt 500
eq "XDP counts each of them" "$sent" $((packets - packets0))
eq "and each byte of their payload" $((sent * 100)) $((bytes - bytes0))
eq "all of them arrive" "$sent" "$(awk '{ print $2 }' "$WORK/exact.log")"
