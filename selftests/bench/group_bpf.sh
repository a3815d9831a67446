#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_bpf.sh - rows of the BPF engine, beside the user engine; for bench.sh.
#
#	a, c, e, g ------ core ------ b, d, f, h	underlay MTU 1500, veth with the offloads that it has
#	                    '--- srv1: dc
#
#	a, b	engine = bpf
#	c, d	engine = user; for some rows with a bare XDP program on the interfaces, in the mode that a and b have
#	e, f	engine = bpf, lane = inline		only for the rows lane_*
#	g, h	engine = bpf, lane = bulk
#
# What a row says about the BPF programs alone comes from bpf.c and bpf_node.c.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"

PORT_PINGPONG=9100
RATES=(1 10 100 300 600) # kpps, of the rows lane_*
PASS=$NTM_BIN/selftests/bench/pass.bpf.o
declare -A TO=() # the sending host of a pair -> the virtual address of the other
declare -A LANE=([a]=ntm [e]=inline [g]=bulk)

# ---- pairs

pair_start() { # A B ENGINE LANE
	local name
	for name in "$1" "$2"; do
		bench_host "$name"
		node_start "$name" "$name.$ZONE" "[datapath]" "engine = $3" "lane = $4" "interface = eth0"
		eventually 10 nodes_registered "$name"
	done
	TO[$1]=$(vip4 "$2")
	eventually 5 reaches "$1" "${TO[$1]}"
	eventually 5 route_is "$1" "$2" direct
	# The programs have the inline lane from the second key phase on.
	[ "$3" = user ] || eventually 5 inline_is_bpf "$1" "$2"
}

inline_is_bpf() { [ "$(tunnel "$1" "$2" .engine)" = bpf ] && [ "$(tunnel "$2" "$1" .engine)" = bpf ]; }

pass_attach() {
	local name
	for name in c d; do
		ns "$name" bpftool prog load "$PASS" /sys/fs/bpf/pass type xdp
		ns "$name" bpftool net attach "$XDP_MODE" pinned /sys/fs/bpf/pass dev eth0
		ns "$name" rm /sys/fs/bpf/pass
	done
}

pass_detach() {
	local name
	for name in c d; do ns "$name" bpftool net detach "$XDP_MODE" dev eth0; done
}

# ---- a turn of each row

# 500 pings each way, by turns 50 at a time: how fast an idle machine answers at all changes from second to second.
turn_rtt() {
	local way i median p99 plain_median plain_p99
	local -A to=([plain]=$(host_addr4 d) [a]=${TO[a]} [c]=${TO[c]})
	for ((i = 0; i <= 10; i++)); do
		for way in plain a c; do
			[ $i -gt 0 ] || : >"$WORK/rtt-$way" # the first ones do not count
			rtt_times ${way/plain/c} "${to[$way]}" 50 0.002 >"$WORK/times"
			[ $i = 0 ] || cat "$WORK/times" >>"$WORK/rtt-$way"
		done
	done
	read -r plain_median plain_p99 < <(rtt_of <"$WORK/rtt-plain")
	for way in a c; do
		read -r median p99 < <(rtt_of <"$WORK/rtt-$way")
		[ $way = a ] && way=ntm || way=user
		sample bpf_rtt_median $way "$(minus "$median" "$plain_median")"
		sample bpf_rtt_p99 $way "$(minus "$p99" "$plain_p99")"
		sample bpf_rtt_times $way "$median"
		sample bpf_rtt_times_p99 $way "$p99"
	done
	sample bpf_rtt_times plain "$plain_median"
	sample bpf_rtt_times_p99 plain "$plain_p99"
	note bpf_rtt_median "plain itself: $plain_median us"
	note bpf_rtt_p99 "plain itself: $plain_p99 us"
}

turn_bulk_tcp() {
	sample bpf_bulk_tcp ntm "$(tcp_gbit a "${TO[a]}" "$BENCH_SECONDS")"
	pass_attach
	sample bpf_bulk_tcp pass "$(tcp_gbit c "${TO[c]}" "$BENCH_SECONDS")"
	pass_detach
	sample bpf_bulk_tcp user "$(tcp_gbit c "${TO[c]}" "$BENCH_SECONDS")"
}

turn_udp64() {
	sample bpf_udp64 ntm "$(udp_best a "${TO[a]}" b | cut -d' ' -f1)"
	pass_attach
	sample bpf_udp64 pass "$(udp_best c "${TO[c]}" d | cut -d' ' -f1)"
	pass_detach
	sample bpf_udp64 user "$(udp_best c "${TO[c]}" d | cut -d' ' -f1)"
}

turn_requests() {
	local rate who
	for who in a c; do
		rate=$(ns $who "$NTM_BIN/bench/pingpong" ask "${TO[$who]}" $PORT_PINGPONG $((BENCH_QUICK == 1 ? 1 : 3)) |
			awk '{ print $2 }')
		[ $who = a ] && who=ntm || who=user
		sample bpf_requests $who "$rate"
	done
}

# Both daemons are stopped, as if they were dead: the programs carry all. (Not killed: other rows need them.)
turn_dead() {
	local pids
	sample bpf_dead_tcp alive "$(tcp_gbit a "${TO[a]}" 2)"
	pids="$(daemon_pid a ntmd) $(daemon_pid b ntmd)"
	# shellcheck disable=SC2086 # two words
	kill -STOP $pids
	sleep 0.3
	sample bpf_dead_tcp ntm "$(tcp_gbit a "${TO[a]}" 4 || :)"
	# shellcheck disable=SC2086
	kill -CONT $pids
	eventually 10 reaches a "${TO[a]}"
	eventually 10 route_is a b direct
	eventually 10 inline_is_bpf a b
}

lane_point() { # FROM AT KPPS: "KPPS MEDIAN_US P99_US"
	local log=sink-$RANDOM.log sink
	nsbg "$2" "$log" "$NTM_BIN/udpload" sink $PORT_UDP 8 0.3 stamp
	sink=$SPAWNED
	eventually 2 listening "$2" $PORT_UDP
	ns "$1" "$NTM_BIN/udpload" send "${TO[$1]}" $PORT_UDP 64 1 $(($3 * 1000)) stamp >"$WORK/sent"
	wait "$sink" || :
	awk 'FNR == NR { seconds = $4; next } { printf "%.2f %s %s\n", $2 / seconds / 1000, $6, $8 }' "$WORK/sent" "$WORK/$log"
	rm -f "$WORK/$log"
}

# The reference is the better one of both lanes in this turn.
turn_lane() { # KPPS
	local who kpps median p99 best_kpps=0 best_median=1e9
	for who in e g a; do
		lane_point $who "$(printf %s $who | tr ega fhb)" "$1" >"$WORK/point"
		read -r kpps median p99 <"$WORK/point"
		sample "lane_${1}k" "${LANE[$who]}" "$kpps"
		sample "lane_${1}k_delay" "${LANE[$who]}" "$median"
		sample "lane_${1}k_p99" "${LANE[$who]}" "$p99"
		[ $who != a ] || continue
		best_kpps=$(awk -v a="$best_kpps" -v b="$kpps" 'BEGIN { print (a > b ? a : b) }')
		best_median=$(awk -v a="$best_median" -v b="$median" 'BEGIN { print (a < b ? a : b) }')
	done
	sample "lane_${1}k" best "$best_kpps"
	sample "lane_${1}k_delay" best "$best_median"
}

# ---- from bpf.c and bpf_node.c: lines of a name and figures

figure() { # FILE NAME COLUMN: of what comes after the name
	awk -v name="$2" -v column="$3" 'index($0, name) == 1 && substr($0, length(name) + 1) ~ /^ *[0-9]/ {
		$0 = substr($0, length(name) + 1)
		print $column
	}' "$1"
}

turn_aead() {
	local i=0 len what
	"$NTM_BIN/bench/bpf" >"$WORK/aead"
	for len in 64 256 512 1420; do
		i=$((i + 1))
		for what in seal open; do
			sample "bpf_${what}_$len" ntm "$(figure "$WORK/aead" $what $i)"
			sample "bpf_${what}_$len" libcrypto "$(figure "$WORK/aead" "seal, libcrypto" $i)"
		done
	done
}

turn_programs() {
	local row name columns i
	"$NTM_BIN/bench/bpf_node" >"$WORK/node"
	sed '/paths in use/,$d' "$WORK/node" >"$WORK/programs"
	sed -n '/paths in use/,$p' "$WORK/node" >"$WORK/paths"
	while IFS=: read -r row name columns; do
		for i in $columns; do
			sample "${row}_$([ "$i" = 1 ] && echo 64 || echo 1400)" ntm "$(figure "$WORK/programs" "$name" "$i")"
			sample "${row}_$([ "$i" = 1 ] && echo 64 || echo 1400)" nothing \
				"$(figure "$WORK/programs" "nothing (tc_ingress)" "$i")"
		done
	done <<-ROWS
	bpf_egress:tc_egress, inline:1
	bpf_leaves:tc_egress, bulk passes:1
	bpf_out4:tc_seal, IPv4:1 4
	bpf_out6:tc_seal, IPv6:1 4
	bpf_in4:xdp_ingress, IPv4:1 4
	bpf_in6:xdp_ingress, IPv6:1 4
	bpf_passes:xdp_ingress, bulk passes:4
	ROWS
}

# The same program's figures with one path and with 65,536, and the memory of these.
turn_paths() {
	sample bpf_paths_out ntm "$(figure "$WORK/paths" "tc_seal, IPv4" 2)"
	sample bpf_paths_out one "$(figure "$WORK/paths" "tc_seal, IPv4" 1)"
	sample bpf_paths_in ntm "$(figure "$WORK/paths" "xdp_ingress, IPv4" 2)"
	sample bpf_paths_in one "$(figure "$WORK/paths" "xdp_ingress, IPv4" 1)"
	sample bpf_paths_bytes ntm "$(awk '/ bytes of maps a path / { print $1 }' "$WORK/paths")"
	sample bpf_paths_bytes limit 1024
}

# ---- networks
label plain "plain routing"
label user "the user engine"
label pass "the user engine with a bare XDP program"
label alive "both alive"
label libcrypto "libcrypto's sealing"
label nothing "a program that does nothing"
label one "one path"
label best "the better lane"
label inline "inline"
label bulk "bulk"

net_up # also the folder that all need
LANES=()
for rate in "${RATES[@]}"; do
	if wanted "lane_${rate}k" "lane_${rate}k_delay" "lane_${rate}k_p99"; then LANES+=("$rate"); fi
done

for _ in $(turns); do
	if [[ " $BENCH_ROWS " =~ \ bpf_(seal|open)_ ]]; then timed turn_aead; fi
	if [[ " $BENCH_ROWS " =~ \ bpf_(egress|leaves|out|in|passes|paths) ]]; then timed turn_programs; fi
	if wanted bpf_paths_in bpf_paths_out bpf_paths_bytes; then turn_paths; fi
done
if [ ${#LANES[@]} = 0 ] && ! wanted bpf_rtt_median bpf_rtt_p99 bpf_rtt_times bpf_rtt_times_p99 bpf_bulk_tcp bpf_udp64 bpf_requests bpf_dead_tcp; then exit 0; fi

dc_start
pair_start a b bpf auto
pair_start c d user auto
XDP_MODE=xdpgeneric
[ "$(status a '.interfaces[0].mode')" = generic ] || XDP_MODE=xdpdrv
if [ ${#LANES[@]} -gt 0 ]; then
	pair_start e f bpf inline
	pair_start g h bpf bulk
fi
for name in b d; do
	tcp_start $name
	nsbg $name "pingpong-$name.log" "$NTM_BIN/bench/pingpong" serve $PORT_PINGPONG
	eventually 3 accepting $name $PORT_PINGPONG
done
for row in bpf_bulk_tcp bpf_udp64 bpf_dead_tcp; do
	note $row "XDP mode $(status a '.interfaces[0].mode'), cipher of bulk $(tunnel a b .cipher)"
done

for _ in $(turns); do
	if wanted bpf_rtt_median bpf_rtt_p99 bpf_rtt_times bpf_rtt_times_p99; then timed turn_rtt; fi
	if wanted bpf_requests; then timed turn_requests; fi
	if wanted bpf_bulk_tcp; then timed turn_bulk_tcp; fi
	if wanted bpf_udp64; then timed turn_udp64; fi
	for rate in "${LANES[@]}"; do timed turn_lane "$rate"; done
	if wanted bpf_dead_tcp; then timed turn_dead; fi
done
for host in a b; do
	echo "  drops at $host: $(ns $host ntmctl -j stats | jq -c '.drops | with_entries(select(.value != 0))')"
done
