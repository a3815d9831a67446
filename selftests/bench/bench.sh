#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# bench.sh - `make bench`: measures, prints one table, and writes bench.json.
#
#	make bench				all rows that can be measured here
#	make bench ROWS="bulk_tcp udp64"	these
#	selftests/bench/bench.sh --list		what there is
#
# Every row is measured beside its reference in the same run, one after the other in turns: only the ratio of the two
# says something on another machine. Each row belongs to a group, a script group_NAME.sh beside this one that makes the
# networks for it and writes samples (measure.sh); peers.sh has what we are compared with.
#
#	BENCH_RUNS	turns; medians are of that many (3; of the rows paper_* 10)
#	BENCH_SECONDS	how long a bulk transfer lasts (8; of the rows paper_* at most 2)
#	BENCH_QUICK=1	one short turn, to see that it works: the figures mean little, and are marked
#	BENCH_QUIET	seconds to wait for a quiet machine before each turn of a row (60)
#	BENCH_TRIES	how often at most a turn is tried that other processes disturb (3)
#	BENCH_CACHE	where programs that are compared lie after the first run (/var/cache/ntm-bench)
#	BENCH_JSON	the file (bench.json)
#	BENCH_XDP	of the relay: native, generic or off (group_relay.sh)
#	NTM_ENGINE	auto, bpf or user (group_direct.sh: user; others: auto, or both as the rows say)
#	NTM_LONG=1	also dc_memory_1m, which takes minutes; naming it in ROWS does, too
#
# Exit status: 0 if all that was asked for was measured, whether the goals are met or not; 1 if something broke.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
BENCH=selftests/bench
if [ "${BENCH_QUICK:-0}" = 1 ]; then
	BENCH_RUNS=${BENCH_RUNS:-1} BENCH_SECONDS=${BENCH_SECONDS:-2}
fi
export BENCH_QUICK=${BENCH_QUICK:-0} BENCH_RUNS=${BENCH_RUNS-} BENCH_SECONDS=${BENCH_SECONDS:-8}
export BENCH_CACHE=${BENCH_CACHE:-/var/cache/ntm-bench}
export BENCH_QUIET=${BENCH_QUIET:-60} BENCH_TRIES=${BENCH_TRIES:-3}
JSON=${BENCH_JSON:-bench.json}

# ROW GROUP UNIT REFERENCE GOAL WHAT. A goal compares the value, or the ratio value/reference, or with ref+N the value
# with the reference and so much more; "-": none is set. A group may set another goal that fits what it finds.
table() {
	cat <<-'TABLE'
	bulk_tcp direct Gbit/s wireguard-go ratio>=3 TCP, one stream, underlay MTU 1500
	udp64 direct kpps plain ratio>=0.8 UDP 64 B, a message each: best received rate of a paced sweep
	udp64_no_uso direct kpps plain ratio>=0.8 the same where the TUN device knows no UDP super-packets (before Linux 6.2)
	udp64_segment direct kpps plain - UDP 64 B, 32 a message by UDP_SEGMENT: best received rate
	overload direct % wireguard-go value>=80 UDP 64 B (UDP_SEGMENT) at twice the peak rate: received, in % of it
	cpu_per_gb direct s/GB wireguard-go ratio<=0.334 CPU seconds (daemons and kernel) per GB at 2 Gbit/s of TCP
	rtt_median direct us wireguard-go - round trip, idle, minus plain: median of 500 pings
	rtt_p99 direct us wireguard-go - round trip, idle, minus plain: p99 of 500 pings
	loaded_p99 direct us wireguard-go ratio<=1 round trip while a bulk TCP flow runs: p99
	rootless_tcp direct Gbit/s root ratio>=0.8 TCP, one stream, out of `ntmctl run` as an ordinary user
	rootless_default direct Gbit/s root - the same with the small socket buffers that Linux allows by default
	paper_case1 paper % plain value>=99.5 100 Mbit/s, global IPv4, user engine: goodput in % of the pure header limit
	paper_case2 paper % plain value>=99.5 100 Mbit/s, IPv6, user engine: goodput in % of the pure header limit
	paper_case3 paper % plain value>=99.5 100 Mbit/s, private IPv4 to IPv6 by RS, user engine: in % of the limit
	paper_bpf1 paper % plain value>=99.5 case 1, BPF engine: goodput in % of the pure header limit
	paper_bpf2 paper % plain value>=99.5 case 2, BPF engine: goodput in % of the pure header limit
	paper_bpf3 paper % plain value>=99.5 case 3, BPF engine: goodput in % of the pure header limit
	paper_rootless1 paper % plain value>=99.5 case 1, as an ordinary user: goodput in % of the pure header limit
	paper_rootless2 paper % plain value>=99.5 case 2, as an ordinary user: goodput in % of the pure header limit
	paper_rootless3 paper % plain value>=99.5 case 3, as an ordinary user: goodput in % of the pure header limit
	paper_loss1 paper % paper ref+0 100 Mbit/s, global IPv4: loss of the user engine against plain
	paper_loss2 paper % paper ref+0 100 Mbit/s, IPv6: loss of the user engine against plain
	paper_loss3 paper % paper ref+0 100 Mbit/s, private IPv4 to IPv6 by RS: loss of the user engine against plain IPv4
	threads_seal threads Gbit/s one ratio>=1 ntmd seals UDP to two peers, on 2 CPUs: two data threads, beside one
	threads_1cpu threads Gbit/s one ratio>=0.8 the same with ntmd on one CPU
	threads_cpu threads s/GB one ratio<=1.2 CPU seconds of ntmd for each GB sealed, on 2 CPUs
	memory_100 state MiB wireguard-go value<=64 resident with 100 tunnels
	memory_tunnel state bytes wireguard-go value<=4096 for each idle tunnel
	setup_0ms setup ms sum ref+3 DNS query for a new peer to answer
	setup_20ms setup ms sum ref+3 the same over links with 20 ms each way
	dns_queries servers queries/s knot ratio>=0.5 DC: DNS queries answered, one worker
	dc_handshakes dc 1/s x25519 ratio>=0.7 DC: new sessions for each second of a CPU
	dc_refreshes dc 1/s x25519 value>=50000 DC: Keep Alives in established sessions, for each second of a CPU
	dc_registrations dc 1/s x25519 - DC: Registrations in established sessions, for each second of a CPU
	dc_directions dc 1/s x25519 value>=20000 DC: directions, for each second of a CPU
	dc_handovers dc 1/s x25519 value>=20000 DC: handovers, for each second of a CPU
	dc_memory dc bytes limit value<=1024 DC: resident for each registered node
	dc_memory_1m dc bytes limit value<=1024 DC: resident for each registered node, a million of them
	relay64_user relay kpps coturn ratio>=1.5 RS in user space, 64 B, one core
	relay64_xdp relay kpps redirect ratio>=0.85 RS by XDP, 64 B, one core
	relay64_coturn relay kpps coturn ratio>=3 RS by XDP, 64 B
	relay64_gain relay kpps user ratio>=1.5 RS by XDP, 64 B
	relay_ns_4to4 relay ns bare value<=60 BPF: relay's program, 64 B, one path, IPv4 to IPv4
	relay_ns_6to6 relay ns bare value<=60 BPF: relay's program, 64 B, one path, IPv6 to IPv6
	relay_ns_4to6 relay ns bare value<=120 BPF: relay's program, 64 B, one path, IPv4 to IPv6
	relay_ns_6to4 relay ns bare value<=120 BPF: relay's program, 64 B, one path, IPv6 to IPv4
	relay_ns_unknown relay ns known ratio<=1 BPF: relay's program, 64 B, an unknown Path ID beyond what is answered
	relay_paths_1k relay kpps one - RS by XDP, live frames of 64 B on one CPU, 1000 paths at random
	relay_paths_100k relay kpps one - the same, 100,000 paths
	relay_paths_1m relay kpps one ratio>=0.55 RS by XDP, live frames of 64 B on one CPU, 1 million paths at random
	relay_paths_hot relay kpps one ratio>=0.9 the same, 1000 paths have 90 % of the packets
	relay_paths_bytes relay bytes limit value<=256 RS by XDP: memory of maps for each of 1 million paths
	bpf_rtt_median bpf us user value<=3 BPF engine: round trip, idle, minus plain: median of 500 pings
	bpf_rtt_p99 bpf us user value<=10 BPF engine: round trip, idle, minus plain: p99 of 500 pings
	bpf_rtt_times bpf us plain ratio<=2.5 BPF engine: round trip, idle, beside plain routing: median of 500 pings
	bpf_rtt_times_p99 bpf us plain ratio<=3.5 BPF engine: round trip, idle, beside plain routing: p99 of 500 pings
	bpf_requests bpf requests/s user - BPF engine: a byte there and one back over TCP, one at a time
	bpf_bulk_tcp bpf Gbit/s pass ratio>=0.9 BPF engine: TCP, one stream, underlay MTU 1500
	bpf_udp64 bpf kpps pass ratio>=0.9 BPF engine: UDP 64 B: best received rate of a paced sweep
	bpf_dead_tcp bpf Gbit/s alive - BPF engine: TCP, one stream, while both daemons are stopped
	lane_1k bpf kpps best ratio>=0.9 UDP 64 B, 1000 a second: received, lane chosen automatically
	lane_1k_delay bpf us best ratio<=1.25 the same: median of the time one way
	lane_1k_p99 bpf us bulk - the same: p99 of it
	lane_10k bpf kpps best ratio>=0.9 UDP 64 B, 10 thousand a second: received
	lane_10k_delay bpf us best ratio<=1.25 the same: median of the time one way
	lane_10k_p99 bpf us bulk - the same: p99 of it
	lane_100k bpf kpps best ratio>=0.9 UDP 64 B, 100 thousand a second: received
	lane_100k_delay bpf us best - the same: median of the time one way
	lane_100k_p99 bpf us bulk - the same: p99 of it
	lane_300k bpf kpps best ratio>=0.9 UDP 64 B, 300 thousand a second: received
	lane_300k_delay bpf us best - the same: median of the time one way
	lane_300k_p99 bpf us bulk - the same: p99 of it
	lane_600k bpf kpps best ratio>=0.9 UDP 64 B, 600 thousand a second: received
	lane_600k_delay bpf us best - the same: median of the time one way
	lane_600k_p99 bpf us bulk - the same: p99 of it
	bpf_seal_64 bpf ns libcrypto value<=308 BPF: sealing 64 bytes
	bpf_seal_256 bpf ns libcrypto value<=825 BPF: sealing 256 bytes
	bpf_seal_512 bpf ns libcrypto value<=1485 BPF: sealing 512 bytes
	bpf_seal_1420 bpf ns libcrypto value<=3960 BPF: sealing 1420 bytes
	bpf_open_64 bpf ns libcrypto value<=308 BPF: opening 64 bytes
	bpf_open_256 bpf ns libcrypto value<=825 BPF: opening 256 bytes
	bpf_open_512 bpf ns libcrypto value<=1485 BPF: opening 512 bytes
	bpf_open_1420 bpf ns libcrypto value<=3960 BPF: opening 1420 bytes
	bpf_egress_64 bpf ns nothing - BPF, whole program: tc_egress, 64 B inline
	bpf_leaves_64 bpf ns nothing - BPF, whole program: tc_egress, 64 B of bulk, which goes on to ntmd
	bpf_out4_64 bpf ns nothing - BPF, whole program: tc_seal, 64 B over IPv4
	bpf_out4_1400 bpf ns nothing - BPF, whole program: tc_seal, 1400 B over IPv4
	bpf_out6_64 bpf ns nothing - BPF, whole program: tc_seal, 64 B over IPv6
	bpf_out6_1400 bpf ns nothing - BPF, whole program: tc_seal, 1400 B over IPv6
	bpf_in4_64 bpf ns nothing - BPF, whole program: xdp_ingress, 64 B over IPv4
	bpf_in4_1400 bpf ns nothing - BPF, whole program: xdp_ingress, 1400 B over IPv4
	bpf_in6_64 bpf ns nothing - BPF, whole program: xdp_ingress, 64 B over IPv6
	bpf_in6_1400 bpf ns nothing - BPF, whole program: xdp_ingress, 1400 B over IPv6
	bpf_passes_1400 bpf ns nothing - BPF, whole program: xdp_ingress, 1400 B of bulk, which passes
	bpf_paths_out bpf ns one - BPF, whole program: tc_seal, 64 B, 65,536 paths in turns
	bpf_paths_in bpf ns one - BPF, whole program: xdp_ingress, 64 B, 65,536 paths in turns
	bpf_paths_bytes bpf bytes limit ratio<=1 BPF: memory of maps for each of 65,536 paths
	TABLE
}

rows_of() { table | awk -v g="$1" -v want=" $ROWS " '$2 == g && index(want, " " $1 " ") { print $1 }'; }

die() { echo "bench.sh: $*" >&2; exit 2; }

case ${1-} in
--list) table | awk '{ w = $6; for (i = 7; i <= NF; i++) w = w " " $i; printf "%-16s %s, beside %s\n", $1, w, $4 }'; exit 0 ;;
?*) die "usage: [ROWS=...] selftests/bench/bench.sh [--list]" ;;
esac
if [ -z "${ROWS-}" ]; then
	ROWS=$(table | awk -v long="${NTM_LONG:-0}" 'long == 1 || $1 != "dc_memory_1m" { print $1 }')
fi
ROWS=${ROWS//$'\n'/ }
for row in $ROWS; do
	table | grep -q "^$row " || die "no row $row; selftests/bench/bench.sh --list shows what there is"
done
[ "$(id -u)" = 0 ] || die "needs root: network namespaces"

TMP=$(mktemp -d "${TMPDIR:-/tmp}/ntmbench.XXXXXX") || exit 2
CHILD=
# shellcheck disable=SC2317 # by the trap
interrupted() {
	trap - INT TERM
	# The whole group of processes: bash itself would wait for what it has started.
	[ -z "$CHILD" ] || { kill -TERM -- "-$CHILD" 2>/dev/null; wait "$CHILD" 2>/dev/null; }
	exit 130
}
trap interrupted INT TERM
trap 'cgroup_remove; rm -rf "$TMP"' EXIT
export BENCH_SAMPLES=$TMP/samples
: >"$BENCH_SAMPLES"

# A cgroup, of either version, only to know what CPU time the measurements use themselves, and so what others do.
BENCH_CGROUP=
cgroup_make() {
	local dir
	for dir in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/cpuacct; do
		[ -e "$dir/cgroup.procs" ] || continue
		mkdir "$dir/ntmbench$$" 2>/dev/null || continue
		BENCH_CGROUP=$dir/ntmbench$$
		[ ! -e "$BENCH_CGROUP/cpuacct.usage" ] && ! grep -qs usage_usec "$BENCH_CGROUP/cpu.stat" || return 0
		rmdir "$BENCH_CGROUP"
		BENCH_CGROUP=
	done
	echo "no cgroup: others are noticed only at the end of each turn"
}
# shellcheck disable=SC2317 # by the trap
cgroup_remove() {
	[ -z "$BENCH_CGROUP" ] || rmdir "$BENCH_CGROUP" 2>/dev/null || { sleep 0.5; rmdir "$BENCH_CGROUP"; }
}

# ---- measuring
cgroup_make
export BENCH_CGROUP
BROKEN=0
for group in $(table | awk '!seen[$2]++ { print $2 }'); do
	rows=$(rows_of "$group" | paste -sd' ')
	[ -n "$rows" ] || continue
	echo "== $group: $rows"
	: >"$TMP/$group.log"
	BENCH_ROWS=$rows setsid bash "$BENCH/group_$group.sh" >>"$TMP/$group.log" 2>&1 </dev/null &
	CHILD=$!
	# What it has measured so far, as it comes.
	tail -n +1 -f --pid="$CHILD" "$TMP/$group.log" | grep --line-buffered '^  ' &
	SHOWN=$!
	wait "$CHILD" # a signal interrupts this, as it would no foreground process
	STATUS=$?
	wait $SHOWN
	[ $STATUS = 0 ] || {
		BROKEN=1
		echo "   group_$group.sh broke; the end of what it said:"
		grep -v '^  ' "$TMP/$group.log" | tail -n 30 | sed 's/^/   | /'
	}
	CHILD=
done

# ---- the report. A line a row: name, unit, value, least, most, reference, its value, least, most, ratio, goal, met,
# note, what, samples; separated by tabs, "-" for nothing.
report() {
	awk -v rows="$ROWS" -v OFS='\t' -f "$BENCH/report.awk" <(table) "$BENCH_SAMPLES"
}

report >"$TMP/report"
{
	echo
	echo "$(uname -m), $(nproc) CPUs ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | sed 1q)), kernel $(uname -r);" \
		"medians of as many runs as the last column says, least to most in brackets"
	[ "$BENCH_QUICK" = 0 ] || echo "BENCH_QUICK: short runs, only to see that it works"
	awk -F'\t' '
		function shown(v, lo, hi) { return lo == hi ? v : v " [" lo ".." hi "]" }
		BEGIN {
			f = "%-16s %-26s %-9s %-44s %-7s %-14s %-3s %s\n"
			printf f, "row", "value", "unit", "reference", "ratio", "goal", "met", "runs"
		}
		{ printf f, $1, shown($3, $4, $5), $2, shown($7, $8, $9) " " $6, $10, $11, $12, $15 }
		{ what[++n] = sprintf("%-16s %s%s", $1, $14, $13 == "-" ? "" : "; " $13) }
		END { print ""; for (i = 1; i <= n; i++) print what[i] }' "$TMP/report"
	awk '$1 == "skip" { row = $2; sub(/^skip [^ ]+ /, ""); printf "%-16s not measured: %s\n", row, $0 }' "$BENCH_SAMPLES"
}
jq -R -s --argjson quick "$([ "$BENCH_QUICK" = 1 ] && echo true || echo false)" '
	def number: if . == "-" then null else tonumber end;
	[split("\n")[] | select(length > 0) | split("\t") | {
		row: .[0], value: (.[2] | number), unit: .[1], reference: .[5], reference_value: (.[6] | number),
		ratio: (.[9] | number), goal: (if .[10] == "-" then null else .[10] end),
		met: (if .[11] == "-" then null else .[11] == "yes" end),
		min: (.[3] | number), max: (.[4] | number), reference_min: (.[7] | number), reference_max: (.[8] | number),
		runs: (.[14] | number), quick: $quick, what: .[13], note: (if .[12] == "-" then null else .[12] end)
	}]' "$TMP/report" >"$JSON" || BROKEN=1
echo
echo "written to $JSON"
exit $BROKEN
