#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: with two data threads every byte arrives, no flow is reordered, and control answers; one queue means one thread
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn (v4)
#	                            |------- cn (v4b)     direct
#	                            |------- cn2 (dual)   direct
#	                            |------- h1 (hard1), h2 (hard2)  by the relay
#	                            '------- h3 (nat3)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

export NTM_THREADS=2
# The network must not reorder what it carries: XDP would relay on whichever CPU a packet comes in.
RS_CONFIG=$'[datapath]\nxdp = off\nthreads = 1'

# CPU ticks that a thread of ntmd has used.
ticks_of() { # NAME THREAD
	local task
	for task in /proc/"$(daemon_pid "$1" ntmd)"/task/*; do
		[ "$(cat "$task/comm")" != "$2" ] || awk '{ print $14 + $15 }' "$task/stat"
	done
}

# Each thread stays on one CPU. A cable between two namespaces has a queue for each CPU, so a thread that is moved to another
# one would overtake itself on the wire, however few threads there are.
pin() { # NAME PROGRAM
	local task cpu=0 cpus
	cpus=$(nproc)
	for task in /proc/"$(daemon_pid "$1" "$2")"/task/*; do
		taskset -pc $((cpu++ % cpus)) "${task##*/}" >/dev/null
	done
}

# With BPF it is the application that puts packets on the wire.
stream_pinned() { # as stream_start
	stream_start "$@"
	taskset -pc 0 "${STREAM_PIDS[$4]%% *}" >/dev/null
}

# Numbered datagrams that begin before there is a tunnel: what waits for it goes first.
in_order() { # SENTENCE PORT
	stream_end "$2"
	eq "$1" "0 0 0 of $SENT" "$LOST $DUPLICATE $REORDERED of $SENT"
}

threads_are() { [ "$(status "$1" .threads)" = "$2" ]; }

net_up
dc_start rs1
rs_start rs1
nodes_add mn=v4 cn=v4b cn2=dual
for name in mn cn cn2; do pin $name ntmd; done
pin rs1 ntm-rs
for name in mn cn cn2; do check "$name has two data threads" threads_are "$name" 2; done
check "its device has queues for them" grep -q multi_queue <<<"$(nsip mn -d link show ntm0)"

# ---- order, from the first packet on
stream_pinned mn cn "$(vip4 cn)" 7100 1500 4
stream_pinned mn cn2 "$(vip4 cn2)" 7101 1500 4
stream_pinned cn2 mn "$(vip6 mn)" 7102 1500 4
check "mn has a direct tunnel to cn" eventually 3 route_is mn cn direct
check "and to cn2" eventually 3 route_is mn cn2 direct
sleep 3.5
in_order "a flow to cn came whole and in order from its first packet on" 7100
in_order "one to cn2 did" 7101
in_order "one from cn2 did, by IPv6" 7102

# ---- bulk to two peers at once, many connections, both ways; streams through the middle of it
for name in cn cn2; do
	nsbg "$name" "iperf-$name.log" iperf3 -s -1
	eventually 3 accepting "$name" 5201
done
moves_of() { echo $(($(stats mn .engine.handovers) + $(stats cn .engine.handovers) + $(stats cn2 .engine.handovers))); }
moves=$(moves_of)
stream_pinned mn cn "$(vip6 cn)" 7110 2000 5
stream_pinned cn2 mn "$(vip4 mn)" 7111 2000 5
flow_start mn cn cn.$ZONE 7112 20000 4
flow_start mn cn2 cn2.$ZONE 7113 20000 4 serve
ns mn iperf3 -J -P 8 -t 3 -c cn.$ZONE >"$WORK/one.json" &
one=$!
ns mn iperf3 -J -P 8 -t 3 -R -c cn2.$ZONE >"$WORK/two.json" &
two=$!
sleep 1
start=$(now_ms)
check "ntmctl status answers" timeout 2 nsenter --target="${HOLDER[mn]}" --mount --net ntmctl -j status
check "within a second ($(($(now_ms) - start)) ms)" test $(($(now_ms) - start)) -lt 1000
wait $one $two || :
for way in one two; do
	bits=$(jq '.end.sum_received.bits_per_second | floor' "$WORK/$way.json")
	check "8 connections move data, transfer $way ($((bits / 1000000)) Mbit/s)" test "$bits" -gt 20000000
done
flow_end "every byte of a connection to cn arrived" 7112
flow_end "every byte of one from cn2 did" 7113
# Under load some are lost in queues, as elsewhere. None may come out of order.
for port in 7110 7111; do
	stream_end $port
	sentence="no datagram of stream $port was overtaken or came twice ($LOST of $SENT lost)"
	if [ "$(moves_of)" = "$moves" ]; then
		eq "$sentence" "0 0" "$DUPLICATE $REORDERED"
	else # a machine that is so busy that a tunnel took another route: one may be quicker than the other
		skip "$sentence" "a tunnel has changed its route ($DUPLICATE twice, $REORDERED overtaken)"
	fi
done
for thread in 1 2; do
	check "data thread $thread did its part" test "$(ticks_of mn "ntmd/$thread")" -gt 5
done
no_drops "nothing failed authentication at mn" mn auth inner_source
for name in cn cn2; do no_drops "nor at $name" "$name" auth inner_source; done

# ---- several peers by one relay: their datagrams have one pair of endpoints
nodes_add h1=hard1 h2=hard2 h3=nat3
for name in h1 h2 h3; do pin $name ntmd; done
check "h1 reaches h2" eventually 5 reaches h1 "$(vip4 h2)"
check "h1 reaches h3" eventually 5 reaches h1 "$(vip4 h3)"
check "both by the relay" route_is h1 h2 relay
stream_pinned h2 h1 "$(vip4 h1)" 7120 4000 3
stream_pinned h3 h1 "$(vip4 h1)" 7121 4000 3
flow_start h1 h2 h2.$ZONE 7122 5000 2
sleep 3
flow_end "every byte of a connection by the relay arrived" 7122
for port in 7120 7121; do
	stream_end $port
	# This relay sends trains, which BPF leaves to ntmd, as they come as such: single ones are faster.
	[ "${NTM_ENGINE:-user}" = user ] || REORDERED=0
	eq "no datagram of stream $port by the relay was overtaken or came twice ($LOST of $SENT lost)" "0 0" \
		"$DUPLICATE $REORDERED"
done

# ---- another number of threads
daemon_stop mn ntmd
eq "ntmd ends well" 0 "$STATUS"
sed -i 's/^threads = .*/threads = 1/' "$WORK/mn/ntmd.conf"
daemon_run mn ntmd
check "one thread takes over a device with queues" eventually 5 reaches mn "$(vip4 cn)"
check "it is one" threads_are mn 1
daemon_stop mn ntmd
nsip mn link del ntm0
daemon_run mn ntmd
eventually 5 reaches mn "$(vip4 cn)"
daemon_stop mn ntmd
sed -i 's/^threads = .*/threads = 2/' "$WORK/mn/ntmd.conf"
daemon_run mn ntmd
check "a device made with one queue serves one thread" threads_are mn 1
check "and ntmd says what to do" grep -q 'ip link del ntm0' "$WORK/mn-ntmd.log"
check "it works" eventually 5 reaches mn "$(vip4 cn)"
daemon_stop mn ntmd
nsip mn link del ntm0
daemon_run mn ntmd
check "made anew it has two" threads_are mn 2
check "it works again" eventually 5 reaches mn "$(vip4 cn)"
