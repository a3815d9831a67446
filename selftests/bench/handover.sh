#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# handover.sh - `make bench-handover`: paper A's table I, part by part, for its cases 1 and 2 and some more, over paths with
# round trips of 1 and 40 ms; and the paper's figure 5, the sequence numbers of a TCP connection around a handover.
#
#	      dc (srv1)    rs1 (srv2)
#	          |            |
#	  +-------+------------+--------+------+-------+		the core
#	  |            |                |      |       |
#	[NAT] nat2    v6 (IPv6 only)   v4     v4b    [NAT] nat1
#	  |            |                |              |  the cable with the delay
#	  mn - - - - - mn - - - - - - - mn             cn
#
#	case1		mn behind a NAT moves to a network that has only IPv6 (the route leads by the RS, cn has only IPv4)
#	case2		and back
#	nat		from behind its NAT into a network without one, IPv4 both
#	rebind		mn's NAT gets another outside address, which no event at mn tells
#	dead		the direct route loses everything from now on, and no event tells: measured from the last datagram that came
#	both		both ends move at the same moment: mn to v4, cn to v4b
#	overlap		make before break: the new network is there before the old one goes
#
# In all of them run: a TCP transfer from cn to mn, and 2000 UDP datagrams a second both ways. Parts, in ms:
#
#	L2	from when the cable is cut until there is a link		not our part
#	address	from then until the kernel has an address and a default route	not our part
#	tunnel	from then until datagrams come through, both ways		ours
#	tcp	from then until mn's application gets bytes of the TCP transfer
#	total	the longest silence that this application saw
#
# The delay of the cable is not the whole round trip: what both ends' kernels and the cable itself need comes to it. So it is
# measured, by ping, with the streams running: outside the tunnel (link), which the tunnel's part is compared with, and
# inside, which is what TCP sees.
#
#	BENCH_RUNS	of each case (10); BENCH_RTT: the round trips in ms ("1 40"); CASES: which ones
#	NTM_ENGINE	of both nodes: auto, which users have; or user
#	BENCH_JSON	bench-handover.json; BENCH_SVG: handover.svg, if gnuplot is there
#
# Exit status: 0 if everything was measured, whether the goals are met or not.
# shellcheck source=selftests/netns/lib.sh
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
BENCH_RUNS=${BENCH_RUNS:-10}
BENCH_JSON=$(realpath -m "${BENCH_JSON:-bench-handover.json}")
BENCH_SVG=$(realpath -m "${BENCH_SVG:-handover.svg}")
export NTM_ENGINE=${NTM_ENGINE:-auto}
CASES=${CASES:-case1 case2 nat rebind dead both overlap}
TCP=7100 UP=7201 DOWN=7202

if [ "${1-}" != one ]; then
	# A network of its own for each round trip: this script again.
	out=$(mktemp -d "${TMPDIR:-/tmp}/ntmhandover.XXXXXX") || exit 2
	trap 'rm -rf "$out"' EXIT
	for rtt in ${BENCH_RTT:-1 40}; do
		echo "== round trip $rtt ms, engine = $NTM_ENGINE"
		SAMPLES=$out/$rtt TRACE=$out/trace-$rtt bash "$0" one "$rtt" || exit 1
	done
	cat "$out"/[0-9]* >"$out/samples"
	awk -f selftests/bench/handover.awk -v json="$BENCH_JSON" "$out/samples"
	trace=$(find "$out" -name 'trace-*' | sort -V | tail -n 1)
	if command -v gnuplot >/dev/null && [ -s "$trace/tcp" ]; then
		gnuplot -e "dir='$trace'; svg='$BENCH_SVG'" selftests/bench/handover.gnuplot && echo "the diagram is in $BENCH_SVG"
	else
		echo "no diagram: gnuplot is missing (package gnuplot-nox), or case1 was not measured"
	fi
	echo "the figures are in $BENCH_JSON"
	exit 0
fi

export TZ=UTC0 # ip monitor tells local time
. selftests/netns/lib.sh
RTT=$2
sample() { # CASE PART MS
	printf '%s %s %s %s\n' "$RTT" "$1" "$2" "$3" >>"$SAMPLES"
	SHOWN+=" $2 $3"
}
ms_between() { awk -v a="$1" -v b="$2" 'BEGIN { d = (b - a) * 1000; printf "%.1f", d < 0 ? 0 : d }'; }
later_of() { printf '%s\n' "$@" | sort -g | tail -n 1; }

# ---- what happened when, in seconds since 1970

# The kernel of NAME has told of a default route: with the address before it, the last thing that is set.
usable_after() { # NAME MOMENT
	awk -v t="$2" '/^\[/ { split($1, at, /[][T:.-]/); when = mktime(at[2] " " at[3] " " at[4] " " at[5] " " at[6] " " at[7]) "." at[8]
			sub(/^\[[^]]*\] */, "") }
		/^default/ && when + 0 > t { print when; exit }' "$WORK/$1-routes.log"
}
is_usable() { [ -n "$(usable_after "$@")" ]; }

# The end of the silence in which the moment lies; the moment itself if there was none worth the name.
silence_end() { # LOG MOMENT
	awk -v t="$2" '$1 == "gap" && $2 <= t + 0.001 && $3 > t { to = $3 } END { printf "%.6f", to ? to : t }' "$WORK/$1"
}
long_silence_begin() { # LOG MOMENT
	awk -v t="$2" '$1 == "gap" && $3 > t && $3 - $2 > 0.05 { printf "%.6f", $2; exit }' "$WORK/$1"
}
silence_ms() { # LOG MOMENT
	awk -v t="$2" '$1 == "gap" && $3 > t { g = ($3 - $2) * 1000; if (g > m) m = g } END { printf "%.1f", m }' "$WORK/$1"
}
# Waits without a process: to start one costs this machine milliseconds, and they would be those that are measured.
idle() { read -r -t "$1" -u "$IDLE" || :; }
tcp_advances() { [ "$(flow_offset $TCP)" -gt $((SEEN + 200000)) ]; }

# ---- cases

# Runs CMD, a move of mn (and cn); then writes down the parts.
measure() { # CASE CMD...
	local case=$1 usable tunnel tcp
	shift
	SEEN=$(flow_offset $TCP)
	"$@"
	idle 0.5
	SHOWN=
	eventually 20 tcp_advances || { fail "case $case: the transfer goes on"; exit 1; }
	sleep 0.3
	usable=${USABLE:-}
	if [ "$case" = dead ]; then
		usable=$(printf '%s\n' "$(long_silence_begin stream-$UP.log "$usable")" "$(long_silence_begin stream-$DOWN.log "$usable")" |
			grep . | sort -g | sed 1q)
	fi
	if [ -z "$usable" ]; then
		eventually 2 is_usable mn "$MOVED_DOWN"
		usable=$(usable_after mn "$MOVED_DOWN")
		if [ "$case" = both ]; then usable=$(later_of "$usable" "$(usable_after cn "$MOVED_DOWN")"); fi
		sample "$case" L2 "$(ms_between "$MOVED_DOWN" "$MOVED_LINK")"
		sample "$case" address "$(ms_between "$MOVED_LINK" "$usable")"
	fi
	tunnel=$(later_of "$(silence_end stream-$UP.log "$usable")" "$(silence_end stream-$DOWN.log "$usable")")
	tcp=$(silence_end flow-$TCP.log "$usable")
	sample "$case" tunnel "$(ms_between "$usable" "$tunnel")"
	sample "$case" tcp "$(ms_between "$tunnel" "$tcp")"
	sample "$case" total "$(silence_ms flow-$TCP.log "$MOVED_DOWN")"
	echo "  $case:$SHOWN"
	sleep 0.5 # the better route, if one is asked for
}

# New mappings, at other ports: those that are there go with the address they were made for.
rebind() {
	local number
	read -r number _ <<<"${NETS[nat2]}"
	MOVED_DOWN=$EPOCHREALTIME
	PORTS_FROM=$((PORTS_FROM + 100))
	ns r-nat2 nft "flush chain ip nat postrouting; add rule ip nat postrouting oifname wan meta l4proto udp masquerade to :$PORTS_FROM-$((PORTS_FROM + 99))"
	nsip r-nat2 addr del "192.0.2.$((4 * number + 2))/30" dev wan
	nsip r-nat2 addr add "192.0.2.$((4 * number + 2))/30" dev wan
	nsip r-nat2 route replace default via "192.0.2.$((4 * number + 1))"
	USABLE=$EPOCHREALTIME
}
PORTS_FROM=20000

dead() {
	local one two
	one=$(host_outside4 mn) two=$(host_outside4 cn)
	MOVED_DOWN=$EPOCHREALTIME
	USABLE=$MOVED_DOWN
	ns core nft "add table ip cut; add chain ip cut forward { type filter hook forward priority filter; };
		add rule ip cut forward ip saddr { $one, $two } ip daddr { $one, $two } drop"
}

both() {
	local down=$EPOCHREALTIME
	host_roam cn v4b
	host_roam mn v4
	MOVED_DOWN=$down
}

moved_to() { grep -q "^$1:" <<<"$(tunnel mn cn .local)"; }
overlap() {
	local lost=0 twice=0 late=0 port
	stream_start mn cn "$(vip4 cn)" 7203 1000 60
	stream_start cn mn "$(vip4 mn)" 7204 1000 60
	sleep 0.3
	MOVED_DOWN=$EPOCHREALTIME
	host_attach mn v4 eth1 50
	eventually 5 moved_to "$(host_addr4 mn eth1)" || { fail "overlap: the tunnel goes to the better network"; exit 1; }
	sleep 0.5
	host_detach mn eth0
	sleep 0.5
	for port in 7203 7204; do
		stream_end $port
		lost=$((lost + LOST)) twice=$((twice + DUPLICATE)) late=$((late + REORDERED))
	done
	SHOWN=
	sample overlap total "$(silence_ms flow-$TCP.log "$MOVED_DOWN")"
	sample overlap lost $lost
	sample overlap twice $twice
	sample overlap reordered $late
	echo "  overlap:$SHOWN"
}

round_trip() { # PART NAME WHERE: the median of 100
	sample link "$1" "$(ns "$2" ping -c 100 -i 0.01 "$3" | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -g | sed -n 50p)"
}

settle() { # as at the start of each turn
	eventually 10 reaches mn "$(vip4 cn)"
	sleep 1
}

# A turn begins and ends with mn in nat2 and cn in nat1.
turn() {
	local case
	for case in $CASES; do
		USABLE=
		case $case in
		case1) measure case1 host_roam mn v6 ;;
		case2)
			[[ " $CASES " = *" case1 "* ]] || { host_roam mn v6; settle; }
			measure case2 host_roam mn nat2
			;;
		nat) measure nat host_roam mn v4; host_roam mn nat2; settle ;;
		rebind) measure rebind rebind ;;
		dead)
			eventually 12 route_is mn cn direct
			sleep 1 # the round trip is known well
			measure dead dead
			ns core nft delete table ip cut
			eventually 12 route_is mn cn direct
			settle
			;;
		both) measure both both; host_roam cn nat1; host_roam mn nat2; settle ;;
		overlap) overlap; host_attach mn nat2 eth0 100; sleep 0.5; host_detach mn eth1; settle ;;
		*) echo "no case $case" >&2; exit 2 ;;
		esac
		if [ "$case" = case1 ] && [[ " $CASES " != *" case2 "* ]]; then host_roam mn nat2; settle; fi
	done
}

# What figure 5 shows, of the segments that mn's application gets: time and sequence number, with the moments of a case 1.
trace() {
	local event
	mkdir "$TRACE"
	monitor_start mn
	capture_start mn ntm0 handover.pcap "tcp src port $TCP"
	sleep 1
	host_roam mn v6
	sleep 2.5
	capture_stop
	tcpdump -n -tt -S -r "$WORK/handover.pcap" 2>/dev/null |
		awk -v t="$MOVED_DOWN" '{ for (i = 1; i < NF; i++) if ($i == "seq") { split($(i + 1), s, /[:,]/)
			if (s[2] != "") { if (!first) first = s[1]; print $1 - t, (s[1] - first) / 1000 } } }' >"$TRACE/tcp"
	{
		echo "0 \"link cut\""
		awk -v a="$MOVED_LINK" -v t="$MOVED_DOWN" 'BEGIN { print a - t, "\"link\"" }'
		awk -v a="$(usable_after mn "$MOVED_DOWN")" -v t="$MOVED_DOWN" 'BEGIN { print a - t, "\"address\"" }'
		for event in route_proven data_flows; do
			monitored mn "select(.event == \"$event\" and .time > $MOVED_LINK) | .time" | sed 1q |
				awk -v t="$MOVED_DOWN" -v e=$event '{ gsub("_", " ", e); print $1 - t, "\"" e "\"" }'
		done
	} >"$TRACE/moments"
	echo "$RTT" >"$TRACE/rtt"
	host_roam mn nat2
	settle
}

net_up
mkfifo "$WORK/idle"
exec {IDLE}<>"$WORK/idle"
# shellcheck disable=SC2034 # lib.sh reads it
NET_DELAY_MS_nat1=$(awk -v r="$RTT" 'BEGIN { print r / 2 }')
# cn elsewhere is as far away
# shellcheck disable=SC2034
NET_DELAY_MS_v4b=$NET_DELAY_MS_nat1
for net in v6 v4 v4b nat1 nat2; do access_make $net; done
dc_start rs1
rs_start rs1
nodes_add mn=nat2 cn=nat1
for host in mn cn; do nsbg $host $host-routes.log stdbuf -oL ip -ts monitor route; done
eventually 8 reaches mn cn.$ZONE
stream_start mn cn "$(vip4 cn)" $UP 2000 8000 2.5
stream_start cn mn "$(vip4 mn)" $DOWN 2000 8000 2.5
flow_start mn cn cn.$ZONE $TCP 800 16000 serve
settle
SHOWN=
round_trip outside cn 192.0.2.1
round_trip inside cn "$(vip4 mn)"
echo " round trip:$SHOWN"
for ((run = 1; run <= BENCH_RUNS; run++)); do
	echo " turn $run"
	turn
done
if [[ " $CASES " = *" case1 "* ]]; then trace; fi
flow_end "every byte of the transfer arrived, in one connection" $TCP
