#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_threads.sh - rows of the data threads, for bench.sh: what ntmd of one node seals for two peers at once, with one and with
# two threads, on one CPU and on two.
#
#	a ---- [r-v4: drops data] ---- core ---- b, c
#
# All is on one machine, so that the work of everybody else must be small: applications send 32 datagrams in a message, and
# the router of a throws data packets away (path control passes, the tunnels live on). Counted is what a's ntmd has sealed
# and sent, by the counters of its tunnels. ChaCha20-Poly1305 without the CPU's vector instructions (OPENSSL_ia32cap), since
# that is the most work.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"

SIZE=1372 # bytes: with its headers 1400
PPS=300000 # offered to each peer: more than a thread seals
DRIVE_S=3
DATA_PORT=9100

sealed_bytes() { tunnels a '[.[].tx_bytes] | add'; }

ntmd_cpu() { # seconds
	awk -v hz="$HZ" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$(daemon_pid a ntmd)/stat"
}

drops() { ns r-v4 nft -f -; }

data_dropped() {
	drops <<-RULES
	table inet data {
		chain prerouting {
			type filter hook prerouting priority raw;
			udp length > 200 @th,64,4 0x8 drop
		}
	}
	RULES
}

# Sets GBIT and CPU (seconds for each GB).
drive() { # CPUS
	local before after cpu senders=() to start end
	taskset -apc "$1" "$(daemon_pid a ntmd)" >/dev/null
	for to in b c; do
		nsbg a "send-$to.log" "$NTM_BIN/udpload" send "${VIP[$to]}" $DATA_PORT $SIZE $((DRIVE_S + 2)) $PPS segment=32
		senders+=("$SPAWNED")
	done
	sleep 0.7
	before=$(sealed_bytes) cpu=$(ntmd_cpu) start=$(now_ms)
	sleep $DRIVE_S
	after=$(sealed_bytes) cpu=$(minus "$(ntmd_cpu)" "$cpu") end=$(now_ms)
	end_pids "${senders[@]}"
	GBIT=$(awk -v b=$((after - before)) -v ms=$((end - start)) 'BEGIN { printf "%.2f", b * 8 / ms / 1e6 }')
	CPU=$(awk -v b=$((after - before)) -v cpu="$cpu" 'BEGIN { printf "%.3f", cpu / (b / 1e9) }')
}

# Another number of threads needs a new start; a device that can have several queues serves one as well.
threads_set() { # THREADS
	daemon_stop a ntmd
	sed -i "s/^threads = .*/threads = $1/" "$WORK/a/ntmd.conf"
	OPENSSL_ia32cap=0:0 daemon_run a ntmd
	ns r-v4 nft flush ruleset
	for to in b c; do
		eventually 10 reaches a "${VIP[$to]}"
		eventually 5 route_is a "$to" direct
	done
	data_dropped
}

turn_threads() {
	local threads who
	for threads in 1 2; do
		who=$([ $threads = 1 ] && echo one || echo ntm)
		threads_set $threads
		[ "$(status a .threads)" = $threads ] || { echo "ntmd has not $threads threads"; return 1; }
		drive 0
		sample threads_1cpu "$who" "$GBIT"
		note threads_1cpu "$threads: $CPU s/GB on one CPU"
		drive 0,1
		sample threads_seal "$who" "$GBIT"
		sample threads_cpu "$who" "$CPU"
	done
}

declare -A VIP=()
if [ "$(nproc)" -lt 2 ]; then
	for row in $BENCH_ROWS; do skip_row "$row" "there is one CPU"; done
	exit 0
fi
net_up
dc_start
NODE_CONFIG=$'[datapath]\nengine = user\ncipher = chacha20-poly1305\nthreads = 2' nodes_add a=v4
NODE_CONFIG=$'[datapath]\nengine = user\ncipher = chacha20-poly1305\nthreads = 1' nodes_add b=v4b c=dual
for to in b c; do VIP[$to]=$(vip4 $to); done
for _ in $(turns); do timed turn_threads; done
