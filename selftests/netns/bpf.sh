# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# bpf.sh - what the tests of the BPF engine share, beside lib.sh.
#
#	inline_is NAME PEER ENGINE	who has the inline lane of the tunnel: bpf or user; for eventually
#	datagrams_start FROM TO LEN SECONDS	UDP datagrams through the tunnel, 1000 a second
#	datagrams_end SENTENCE FROM TO	waits for their end, and checks that all came
#	nothing_pinned SENTENCE NAME	checks that neither pins nor programs nor helper devices are left
#	strict NAME...			the kernel takes IPv4 packets only by the interface that leads back
#					(rp_filter = 1): those that BPF has opened must come by ntm0
#	lane NAME PEER tx|rx inline|bulk	packets so far
#	state NAME FIELD		a number in ntm_state, of all slots together
#	small_packets MN CN OUTER	pings, datagrams and TCP (port 7001 of CN), counted; OUTER: IPv4 or IPv6
#	bulk_packets MN CN OUTER	a second of bulk TCP
#	large_packets MN CN		of the size of the MTU, and larger
#	stalls_start NAME...		watches how long ntmd of these has to wait for a CPU; stalls_end sets STALLED: the longest
#					wait within 20 ms (or, where the machine is a virtual one, what was stolen then), ms
#	loop_cpu_ms NAME		CPU time that the main thread of its ntmd has used
#	replays_note NAME...		before; clean NAME... checks that nothing was wrong with any packet since

inline_is() { # NAME PEER ENGINE
	local is
	is=$(tunnel "$1" "$2" '"\(.engine) \(.state)"')
	echo "$is"
	[ "$is" = "$3 up" ]
}

strict() { # NAME...
	local name
	for name; do nssysctl "$name" net.ipv4.conf.{all,default,eth0}.rp_filter=1; done
}

lane() { tunnel "$1" "$2" ".$3_$4_packets"; } # NAME PEER tx|rx inline|bulk

# One at a time: several within a millisecond would be bulk.
datagrams_start() { # FROM TO LEN SECONDS
	local port=$((5300 + ${#DATAGRAMS[@]})) from=$1-$2
	nsbg "$2" "datagrams-$from-sink.log" "$NTM_BIN/udpload" sink "$port" $(($4 + 10)) 2
	DATAGRAMS[$from]=$SPAWNED
	eventually 3 listening "$2" "$port"
	# shellcheck disable=SC2046 # one word
	nsbg "$1" "datagrams-$from.log" "$NTM_BIN/udpload" send $(vip4 "$2") "$port" "$3" "$4" 1000 single
	DATAGRAMS[$from]+=" $SPAWNED"
}
declare -A DATAGRAMS=()

datagrams_end() { # SENTENCE FROM TO
	local from=$2-$3 sent received pids
	read -r -a pids <<<"${DATAGRAMS[$from]}"
	eventually 40 not_alive "${pids[@]}" || :
	sent=$(awk '$1 == "sent" { n = $2 } END { print n + 0 }' "$WORK/datagrams-$from.log")
	received=$(awk '$1 == "received" { n = $2 } END { print n + 0 }' "$WORK/datagrams-$from-sink.log")
	if [ "$sent" -gt 1000 ]; then eq "$1 ($sent)" "$sent" "$received"; else fail "$1" "only $sent were sent"; fi
	rm -f "$WORK/datagrams-$from.log" "$WORK/datagrams-$from-sink.log"
}

nothing_pinned() { # SENTENCE NAME
	eq "$1" "" "$(ns "$2" sh -c 'ls -d /sys/fs/bpf/ntm/* /sys/class/net/ntm0?' 2>/dev/null)$(
		ns "$2" bpftool -j net | jq -r '.[] | .xdp[], .tc[] | .devname')"
}

state() { # NAME FIELD: of all slots
	ns "$1" bpftool -j map dump pinned /sys/fs/bpf/ntm/ntm0/ntm_state | jq "[.[].formatted.value.$2] | add"
}

small_packets() { # MN CN OUTER
	local mn=$1 cn=$2 outer=$3 tx rx bulk tx_state vip i
	for vip in vip4 vip6; do
		tx=$(lane "$mn" "$cn" tx inline) rx=$(lane "$mn" "$cn" rx inline) bulk=$(lane "$mn" "$cn" tx bulk)
		tx_state=$(state "$mn" tx_packets)
		ns "$mn" ping -q -i 0.005 -c 100 -W 1 "$($vip "$cn")" >"$WORK/ping" || :
		check "100 pings to $vip over $outer are answered" grep -q '100 received' "$WORK/ping"
		eq "they are 100 packets more that BPF sent ($vip over $outer)" $((tx + 100)) "$(lane "$mn" "$cn" tx inline)"
		eq "and 100 that it received" $((rx + 100)) "$(lane "$mn" "$cn" rx inline)"
		eq "by the counter in ntm_state" $((tx_state + 100)) "$(state "$mn" tx_packets)"
		eq "and none in the bulk lane" "$bulk" "$(lane "$mn" "$cn" tx bulk)"
	done
	tx=$(lane "$mn" "$cn" tx inline) rx=$(lane "$mn" "$cn" rx inline)
	datagrams_start "$mn" "$cn" 64 2
	datagrams_start "$cn" "$mn" 512 2
	datagrams_end "each UDP datagram of 64 bytes arrives over $outer" "$mn" "$cn"
	datagrams_end "each UDP datagram of 512 bytes arrives over $outer" "$cn" "$mn"
	check "inline" test "$(($(lane "$mn" "$cn" tx inline) - tx))" -ge 1500
	check "both ways" test "$(($(lane "$mn" "$cn" rx inline) - rx))" -ge 1500
	tx=$(lane "$mn" "$cn" tx inline)
	for vip in vip4 vip6; do
		for i in 1 2 3; do
			check "TCP request and response $i ($vip over $outer)" echoes "$mn" "$($vip "$cn")" 7001
		done
	done
	check "inline, too" test "$(($(lane "$mn" "$cn" tx inline) - tx))" -ge 24
	rm "$WORK/ping"
}

bulk_packets() { # MN CN OUTER
	local before
	nsbg "$2" iperf.log iperf3 -s -1
	eventually 3 accepting "$2" 5201
	before=$(lane "$1" "$2" tx bulk)
	ns "$1" iperf3 -J -t 1 -c "$(vip4 "$2")" >"$WORK/bulk.json"
	check "bulk TCP over $3 takes the bulk lane ($(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$WORK/bulk.json") Mbit/s)" \
		test "$(($(lane "$1" "$2" tx bulk) - before))" -gt 2000
	rm "$WORK/bulk.json"
}

large_packets() { # MN CN
	local mtu
	mtu=$(ns "$1" cat /sys/class/net/ntm0/mtu)
	check "the largest packet passes whole ($mtu bytes)" reaches "$1" "$(vip4 "$2")" -M "do" -s $((mtu - 28))
	check "a larger one passes in fragments" reaches "$1" "$(vip4 "$2")" -s 4000
}

# While a node of two families finds its route, some packets go by two routes: only one of each is taken.
declare -A REPLAYS=()
replays_note() { for name; do REPLAYS[$name]=$(stats "$name" .drops.replay); done; } # NAME...

clean() { # NAME...
	for name; do
		no_drops "no wrong checksum, no failed authentication at $name" "$name" auth checksum inner_source no_route
		eq "no packet came twice at $name" "${REPLAYS[$name]}" "$(stats "$name" .drops.replay)"
	done
}

# It may be late itself: then it sees more at once.
stalls_watch() { # FILE PID...
	local file=$1 pid waited steal most=0 never
	local -A before=()
	shift
	exec {never}<> <(:) # nothing ever comes
	while :; do
		for pid; do
			read -r _ waited _ 2>/dev/null <"/proc/$pid/task/$pid/schedstat" || continue
			waited=$((waited / 1000000))
			if [ $((waited - ${before[$pid]:-$waited})) -gt $most ]; then most=$((waited - before[$pid])); fi
			before[$pid]=$waited
		done
		read -r _ _ _ _ _ _ _ _ steal _ </proc/stat
		if [ $((10 * (steal - ${before[steal]:-$steal}))) -gt $most ]; then most=$((10 * (steal - before[steal]))); fi
		before[steal]=$steal
		echo $most >"$file"
		read -r -t 0.02 -u "$never" || :
	done
}
stalls_start() { # NAME...
	local name pids=()
	for name; do pids+=("$(daemon_pid "$name" ntmd)"); done
	stalls_watch "$WORK/stalled" "${pids[@]}" </dev/null >/dev/null 2>&1 &
	STALLS=$!
	PIDS+=("$STALLS")
}
stalls_end() {
	end_pids "$STALLS"
	# shellcheck disable=SC2034 # for the test
	STALLED=$(cat "$WORK/stalled")
}
loop_cpu_ms() { # NAME
	local pid ns
	pid=$(daemon_pid "$1" ntmd)
	read -r ns _ <"/proc/$pid/task/$pid/schedstat"
	echo $((ns / 1000000))
}
