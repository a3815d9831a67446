#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_dc.sh - what many nodes cost a DC; for bench.sh.
#
#	load (dual) ------ core ------ dc (srv1)	dcload: many nodes and their sessions in one process
#
# The DC's own clock is read, so that the figures are operations for each second of its CPU, however fast dcload is. Both
# share CPU 1 and do not interrupt each other (SCHED_BATCH): when the DC's turn comes, as much waits for it as for one whose CPU
# is full, which is what the figures are about. Where each packet wakes it, most of its time is waking up. What it sends
# is taken on by another CPU at the far end of its cable: without that the whole network between the two would run on the
# DC's time; what telling that CPU costs (an interrupt from one CPU to the other) does.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"

NODES=1000
# Sizes whose difference to the first is what so many nodes cost.
MEMORY_FEW=$((BENCH_QUICK == 1 ? 2000 : 10000))
MEMORY_NODES=$((BENCH_QUICK == 1 ? 12000 : 60000))
MEMORY_MANY=$((BENCH_QUICK == 1 ? 22000 : 1000000))
SECONDS_EACH=$((BENCH_QUICK == 1 ? 1 : 3))
MULTIPLICATIONS=5 # scalar multiplications of a handshake at its responder: an ephemeral key, es, ss, ee, se
SOURCES=11.0.0.0/16 # dcload's addresses

dc_fresh() { # NODES: a DC with so many members
	daemon_stop dc ntm-dc
	rm -f "$WORK"/dc/lib/dc.sqlite*
	"$NTM_BIN/bench/dcload" members "$WORK/dc/lib/dc.sqlite" "$ZONE" "$VIRTUAL4" fd4e:544d:1::/64 "$1"
	daemon_run dc ntm-dc
	[ "$(nproc)" -lt 2 ] || taskset -pc 1 "$(daemon_pid dc ntm-dc)" >/dev/null
	chrt -b -p 0 "$(daemon_pid dc ntm-dc)"
}

load_run() { # NODES PART...: prints "PART COUNT PER_CPU_SECOND RESIDENT_KIB"
	local nodes=$1
	shift
	dc_fresh "$nodes"
	# shellcheck disable=SC2046 # no word, or three
	ns load chrt -b 0 $([ "$(nproc)" -lt 2 ] || echo taskset -c 1) "$NTM_BIN/bench/dcload" load "$(daemon_pid dc ntm-dc)" "$(public_key dc)" \
		"$DC_ADDR4" "${SOURCES%/*}" "$ZONE" "$nodes" "$SECONDS_EACH" "$@"
}

# What one CPU does of nothing but multiplications.
bare_handshakes() {
	taskset -c 1 openssl speed -seconds "$SECONDS_EACH" ecdhx25519 2>/dev/null |
		awk -v n=$MULTIPLICATIONS '/X25519/ { printf "%.0f\n", $NF / n }'
}

turn_dc() {
	local part rate row bare
	bare=$(bare_handshakes)
	load_run $NODES refreshes registrations directions handovers >"$WORK/dcload.out"
	while read -r part _ rate _; do
		row=dc_$part
		sample "$row" ntm "$rate"
		sample "$row" x25519 "$bare"
	done <"$WORK/dcload.out"
}

# Resident after NODES nodes have registered, rested, and all have sent a Keep Alive, twice.
resident() { # NODES
	# Not in a subshell, which would keep the process ID of the new DC to itself.
	load_run "$1" round round >"$WORK/dcload.out"
	RESIDENT=$(awk 'END { print $4 }' "$WORK/dcload.out")
}

memory_row() { # ROW NODES RESIDENT_KIB_OF_FEW
	wanted "$1" || return 0
	resident "$2"
	sample "$1" ntm $(((RESIDENT - $3) * 1024 / ($2 - MEMORY_FEW)))
	sample "$1" limit 1024
	note "$1" "registered, and just after a Keep Alive of each: what $2 have more than $MEMORY_FEW"
}

turn_memory() {
	resident $MEMORY_FEW
	local few=$RESIDENT
	memory_row dc_memory $MEMORY_NODES "$few"
	memory_row dc_memory_1m $MEMORY_MANY "$few"
}

VIRTUAL4=10.0.0.0/8 # room for a million
net_up
dc_start
sed -i "s|^virtual4.*|virtual4 = $VIRTUAL4|" "$WORK/dc/ntm-dc.conf"
bench_host load
nsip load route add local $SOURCES dev lo
nsip core route add $SOURCES via "$(host_addr4 load)"
read -r net port <<<"${PORT[dc.eth0]}"
[ "$(nproc)" -lt 2 ] || ip netns exec "$NTM_MARK-r-$net" sh -c "echo 1 >/sys/class/net/$port/queues/rx-0/rps_cpus"
label x25519 "bare handshakes"
label limit "the limit"
note dc_handshakes "with the first Registration and, as there are so many at once, a cookie; beside $MULTIPLICATIONS bare multiplications of X25519 (openssl speed), as in all of these rows"
note dc_handovers "each: a Registration from another address, proven by a challenge, and a direction for a path, both ends told"
note dc_registrations "from where the node was, in its session"
for _ in $(turns); do
	if wanted dc_handshakes dc_refreshes dc_registrations dc_directions dc_handovers; then timed turn_dc; fi
done
if wanted dc_memory dc_memory_1m; then BENCH_TRIES=1 timed turn_memory; fi # others do not matter, and a million take minutes
