#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# demo.sh - `make demo`: the papers' network in namespaces, and the main job in it. Two nodes find each other by name, data
# goes through the tunnel, and one of them moves from IPv4 to IPv6 and back in the middle of a TCP transfer. Prints what it
# does in sentences, and a table of times in the shape of paper A's table I. Exit status 0 only if everything worked;
# otherwise the daemons' logs follow.
#
#	      dc (srv1)    rs1 (srv2)			dual stack: 203.0.113.0/28 and .16/28, 2001:db8:1::/48
#	          |            |
#	  +-------+------------+--------+		the core
#	  |            |                |
#	[NAT] nat2    v6 (IPv6 only)  [NAT] nat1
#	  |            |                |
#	  mn - - - - - mn               cn
#
# The networks are those of lib.sh, the flow is flow.c.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

STARTED=$(now_ms)
STEP=0
FLOW_PORT=7100

step() {
	STEP=$((STEP + 1))
	printf '\n%d. %s\n' $STEP "$1"
}
say() { printf '   %s\n' "$@"; }
# What must hold; said if it does.
must() { # SENTENCE CMD...
	local sentence=$1 output
	shift
	if output=$("$@" 2>&1); then
		say "$sentence"
	else
		fail "$sentence" "$*"$'\n'"$output"
		exit 1
	fi
}
seconds_between() { awk -v a="$1" -v b="$2" 'BEGIN { d = b - a; if (d < 0) d = 0; printf "%.3f", d }'; }
later() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

# When mn's ntmd, after the moment, first did that: path_update_sent, as soon as it has an address; route_proven, when
# packets of the tunnel go both ways again.
first_after() { monitored mn "select(.event == \"$1\" and .time > $2) | .time" | sed 1q; }
happened_after() { [ -n "$(first_after "$1" "$2")" ]; }
# The longest silence of the receiver that ended after the moment: "FROM TO".
silence_after() {
	awk -v t="$1" '$1 == "gap" && $3 > t && $3 - $2 > longest { longest = $3 - $2; from = $2; to = $3 }
		END { print from, to }' "$WORK/flow-$FLOW_PORT.log"
}
has_more_than() { [ "$(flow_offset $FLOW_PORT)" -gt "$1" ]; }

# CASE: 1 or 2; its parts go into L2, ADDRESS, TUNNEL, TCP and TOTAL.
declare -A L2=() ADDRESS=() TUNNEL=() TCP=() TOTAL=()
move() { # CASE NET
	local before update proven from to
	before=$(flow_offset $FLOW_PORT)
	say "mn has received $((before / 1000)) kB so far; its link is cut and comes back in the network $2"
	host_roam mn "$2"
	must "it has $(nsip mn -o addr show dev eth0 scope global | awk '{ print $4 }') now, and proves that to its peer" \
		eventually 5 happened_after handover_done "$MOVED_LINK"
	must "the transfer goes on in the same TCP connection" eventually 8 has_more_than $((before + 400000))
	update=$(first_after path_update_sent "$MOVED_LINK")
	proven=$(first_after route_proven "$update")
	read -r from to <<<"$(silence_after "$MOVED_DOWN")"
	if [ -z "$to" ]; then # shorter than flow writes down
		from=$MOVED_DOWN to=$proven
	fi
	say "the tunnel now runs $(tunnel mn cn '"by \(.route_kind): \(.local) to \(.remote)"')"
	L2[$1]=$(seconds_between "$MOVED_DOWN" "$MOVED_LINK")
	ADDRESS[$1]=$(seconds_between "$MOVED_LINK" "$update")
	TUNNEL[$1]=$(seconds_between "$update" "$proven")
	TCP[$1]=$(seconds_between "$proven" "$to")
	TOTAL[$1]=$(seconds_between "$from" "$to")
}

row() { # NAME PAPER1 PAPER2 OURS1 OURS2
	printf '   %-24s %10s %10s %12s %12s\n' "$@"
}

# ---- the papers' network
echo "NTMobile: two nodes, their names, and a handover in the middle of a transfer"
step "The network: a dual-stack core, a DC, a relay (RS), and mn and cn, each behind a NAT of its own"
net_up
access_make v6
dc_start rs1
rs_start rs1
say "the DC serves $ZONE at $DC_ADDR4 and $DC_ADDR6, the RS stands at $(host_addr4 rs1) and $(host_addr6 rs1)"
nodes_add mn=nat2 cn=nat1
monitor_start mn
for name in mn cn; do
	say "$name.$ZONE: real address $(host_addr4 $name), outside of its NAT $(host_outside4 $name);" \
		"               virtual addresses $(vip4 $name) and $(vip6 $name)"
done

step "mn asks for cn by name"
address=$(ns mn dig +short +time=4 cn.$ZONE A)
must "dig cn.$ZONE A answers $address, the virtual address of cn" test "$address" = "$(vip4 cn)"
address=$(ns mn dig +short +time=4 cn.$ZONE AAAA)
must "dig cn.$ZONE AAAA answers $address" test "$address" = "$(vip6 cn)"
must "ping -4 cn.$ZONE: an answer in $(ns mn ping -4 -c 3 -i 0.1 cn.$ZONE | sed -n 's|^rtt.*= [^/]*/\([^/]*\)/.*|\1 ms|p')" \
	reaches mn cn.$ZONE -4
must "ping -6 cn.$ZONE: answered" reaches mn cn.$ZONE -6
must "ping mn.$ZONE from cn: answered" reaches cn mn.$ZONE
say "$(tunnel mn cn '"the tunnel of the two runs by \(.route_kind), sealed with \(.cipher); standby relay: \(.standby.name)"')"

step "A file of 20 MB goes through the tunnel"
head -c 20000000 /dev/urandom >"$WORK/file"
nsbg cn file.log sh -c "nc -N -l 7001 >'$WORK/copy'"
eventually 3 accepting cn 7001
start=$(now_ms)
ns mn nc -N cn.$ZONE 7001 <"$WORK/file"
copied() { [ "$(stat -c %s "$WORK/copy")" = 20000000 ]; }
eventually 10 copied
say "it took $(($(now_ms) - start)) ms"
must "its SHA-256 is the same at both ends: $(sha256sum <"$WORK/file" | cut -c1-16)..." cmp "$WORK/file" "$WORK/copy"
must "nothing failed authentication" test "$(stats cn '.drops.auth // 0')" = 0

step "A TCP transfer from cn to mn, checked byte by byte, in the course of which mn moves"
flow_start mn cn cn.$ZONE $FLOW_PORT 800 60 serve
sleep 1
echo "   Case 1, from IPv4 behind a NAT to a network that has only IPv6:"
move 1 v6
sleep 1
echo "   Case 2, from IPv6 back to IPv4 behind the NAT:"
move 2 nat2
sleep 1
flow_end "all bytes arrived, in order, in one TCP connection" $FLOW_PORT | sed 's/^ok - /   /'
grep -q '^received ' "$WORK/flow-$FLOW_PORT.log" || { fail "all bytes arrived"; exit 1; }
say "it was $(awk '$1 == "received" { print $2 }' "$WORK/flow-$FLOW_PORT.log") bytes"

step "The times, in seconds, as in the paper's table I (case 1: to IPv6, case 2: to IPv4)"
echo
row "" "paper" "paper" "here" "here"
row "" "case 1" "case 2" "case 1" "case 2"
row "L2 handover" 0.58 0.47 "${L2[1]}" "${L2[2]}"
row "Acquiring IP address" 1.71 0.67 "${ADDRESS[1]}" "${ADDRESS[2]}"
row "Tunnel establishment" 0.17 0.12 "${TUNNEL[1]}" "${TUNNEL[2]}"
row "TCP retransmission" 1.17 0.66 "${TCP[1]}" "${TCP[2]}"
row "Total time" 3.63 1.92 "${TOTAL[1]}" "${TOTAL[2]}"
echo
say "The paper had Wi-Fi, Android phones and DHCP; here a virtual cable changes its network, and addresses are set at once:" \
	"the first two rows cannot be compared. Tunnel: from when mn's ntmd has an address until it has proven a route from it." \
	"TCP: from then until mn's application gets bytes again. Total: the longest silence that this application saw."
printf '\nEverything worked, in %d.%d s.\n' $((($(now_ms) - STARTED) / 1000)) $((($(now_ms) - STARTED) % 1000 / 100))
