#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: after 100 handovers in a row, a flapping link, addresses that come and go, and a suspended node all is as before
#
#	dc (srv1), rs1 (srv2) ---- core ---- cn (dual)
#	                            |------- v4: mn's eth0
#	                            '------- v4b: mn's eth1, sometimes
#
# What must not grow: memory, file descriptors and timers of ntmd, paths, routes; and the DC and the relay must not be asked
# more often than they can bear.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

# Its heap, KiB. What packets are received into is not there: up to 2 MiB a socket, of which a busy machine touches more and more.
heap() { awk '/\[heap\]$/ { heap = 1 } heap && $1 == "Rss:" { kib = $2; exit } END { print kib + 0 }' "/proc/$(daemon_pid "$1" ntmd)/smaps"; }
fds() { ls "/proc/$(daemon_pid "$1" ntmd)/fd" | wc -l; }
received() { ns dc ntmctl -j dc stats | jq "[.messages.$1 // 0] | .[0]"; } # messages of a kind that the DC had

# What a quiet node has: one path, its routes, descriptors.
state_of() { # NAME PEER
	echo "tunnels $(tunnels "$1" length) routes $(tunnel "$1" "$2" '.routes | length') fds $(fds "$1") kernel_routes $(ns "$1" ip -4 route | wc -l) $(ns "$1" ip -6 route | wc -l)"
}
# Fewer are well: places where the peer was seen are forgotten one after the other.
is_as_before() {
	paste <(tr ' ' '\n' <<<"$BEFORE") <(tr ' ' '\n' <<<"$(state_of mn cn)"$'\n'"$(state_of cn mn)") |
		awk '$1 != $2 && !($1 ~ /^[0-9]+$/ && $2 ~ /^[0-9]+$/ && $2 <= $1) { exit 1 }'
}
relay_has_one() {
	local list
	list=$(ns rs1 ntmctl -j rs tunnel list)
	echo "$list; mn has $(tunnels mn 'map(.path_id) | join(" ")')"
	[ "$(jq length <<<"$list")" = 1 ]
}
flow_beyond() { [ "$(flow_offset 7100)" -gt "$1" ]; } # BYTES
works() { # SENTENCE
	check "$1: a packet gets through within 1 s" eventually 1 reaches mn "$(vip4 cn)"
	check "$1: and one from outside" eventually 1 reaches cn "$(vip4 mn)"
	check "$1: the route is direct again" eventually 8 route_is mn cn direct
}
since() { # SENTENCE: how much the DC had to do since STARTED
	local seconds requests directions
	seconds=$(awk -v a="$STARTED" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	requests=$(($(received registration_request) - REQUESTS)) directions=$(($(received direction_request) - DIRECTIONS))
	check "$1: the DC had $requests Registration Requests in $seconds s, at most 25 a second" \
		awk -v n="$requests" -v s="$seconds" 'BEGIN { exit !(n <= 25 * s + 10) }'
	check "$1: the DC had $directions Direction Requests, at most 10 a second" \
		awk -v n="$directions" -v s="$seconds" 'BEGIN { exit !(n <= 10 * s + 5) }'
}
start_counting() {
	STARTED=$EPOCHREALTIME
	HANDOVERS=$(stats mn .engine.handovers)
	REQUESTS=$(received registration_request) DIRECTIONS=$(received direction_request)
}
has_moved() { [ "$(stats mn .engine.handovers)" -ge "$1" ]; }
pause() { sleep "0.$(printf '%03d' $((50 + RANDOM % 100)))"; }

net_up
access_make v4b
dc_start rs1
rs_start rs1
nodes_add cn=dual mn=v4
reaches mn cn.$ZONE -W 4 >/dev/null
check "at first the route is direct" eventually 3 route_is mn cn direct
flow_start mn cn "$(vip4 cn)" 7100 200 90
# Twenty moves first: what is made once and kept is there then.
for ((i = 0; i < 20; i++)); do
	ns mn ip addr flush dev eth0 scope global
	host_configure mn v4 eth0
	pause
done
eventually 8 route_is mn cn direct
sleep 2
BEFORE=$(state_of mn cn)$'\n'$(state_of cn mn)
HEAP_MN=$(heap mn) HEAP_CN=$(heap cn)

# ---- addresses that come and go: 100 handovers, IPv4 addresses in turn
start_counting
for ((i = 0; i < 100; i++)); do
	NEXT[v4]=$((140 + i % 40))
	ns mn ip addr flush dev eth0 scope global
	host_configure mn v4 eth0
	pause
	eventually 2 has_moved $((HANDOVERS + i + 1)) || : # on a busy machine it might see two moves as one
done
works "100 handovers in a row"
since "100 handovers in a row"
check "mn has moved 100 times at least ($(($(stats mn .engine.handovers) - HANDOVERS)))" test $(($(stats mn .engine.handovers) - HANDOVERS)) -ge 100

# ---- the same address again and again
start_counting
for ((i = 0; i < 20; i++)); do
	ns mn ip addr del "$(host_addr4 mn)/26" dev eth0
	sleep 0.05
	ns mn ip addr add "$(host_addr4 mn)/26" dev eth0
	ns mn ip route replace default via 198.51.100.129 dev eth0 metric 100
	sleep 0.05
done
works "an address is removed and added 20 times"
since "an address is removed and added 20 times"

# ---- a link that flaps
start_counting
for ((i = 0; i < 40; i++)); do
	ns mn ip link set dev eth0 down
	sleep 0.05
	ns mn ip link set dev eth0 up
	ns mn ip route replace default via 198.51.100.129 dev eth0 metric 100
	sleep 0.05
done
works "a link flaps 40 times"
since "a link flaps 40 times"

# ---- a second network that comes and goes
start_counting
for ((i = 0; i < 15; i++)); do
	NEXT[v4b]=$((200 + i))
	host_attach mn v4b eth1 50
	pause
	host_detach mn eth1
	pause
done
works "a better network comes and goes 15 times"
since "a better network comes and goes 15 times"

# ---- suspend and resume
kill -STOP "$(daemon_pid mn ntmd)"
sleep 3
kill -CONT "$(daemon_pid mn ntmd)"
works "the node was suspended for 3 s"
kill -STOP "$(daemon_pid mn ntmd)"
host_move mn v4b
sleep 1
kill -CONT "$(daemon_pid mn ntmd)"
works "it was suspended, and woke up in another network"
host_move mn v4

# ---- and now all is as before
offset=$(flow_offset 7100)
check "the connection goes on" eventually 5 flow_beyond "$offset"
flow_end "every byte of the TCP connection arrived" 7100
check "there are no more tunnels, routes and descriptors at both ends than before" eventually 12 is_as_before
echo "# before: ${BEFORE//$'\n'/, }; now: $(state_of mn cn), $(state_of cn mn)"
check "mn's ntmd has at most 512 KiB more on its heap ($(($(heap mn) - HEAP_MN)) KiB)" test "$(($(heap mn) - HEAP_MN))" -le 512
check "cn's ntmd has at most 512 KiB more on its heap ($(($(heap cn) - HEAP_CN)) KiB)" test "$(($(heap cn) - HEAP_CN))" -le 512
# A path that was replaced is withdrawn by the DC a moment later.
check "the relay has one path" eventually 20 relay_has_one
for name in mn cn; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
