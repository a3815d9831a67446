#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_direct.sh - rows of a direct tunnel over a router, beside plain routing and wireguard-go; for bench.sh.
#
#	a, c ------ core ------ b, d		underlay MTU 1500, veth with the offloads that it has
#	           '--- srv1: dc
#
# The nodes have the user engine, unless NTM_ENGINE says otherwise: what BPF adds is group_bpf.sh's. c and d only for udp64_no_uso. All three ways from a to b are there at once, and used in turns.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"
# shellcheck source=selftests/bench/peers.sh
. "$ROOT/selftests/bench/peers.sh"
# shellcheck source=selftests/bench/rootless.sh
. "$ROOT/selftests/bench/rootless.sh"

: "${NTM_ENGINE:=user}" # of bench_node
FIXED_RATE=2 # Gbit/s, of cpu_per_gb
SEGMENTS=32 # datagrams in a message
declare -A TO=() # way -> address of b
WAYS=()

# ---- a turn of each row: every way once

turn_bulk_tcp() {
	local way
	for way in "${WAYS[@]}"; do
		sample bulk_tcp "$way" "$(tcp_gbit a "${TO[$way]}" "$BENCH_SECONDS")"
	done
}

turn_udp64() {
	local way
	for way in "${WAYS[@]}"; do
		sample udp64 "$way" "$(udp_best a "${TO[$way]}" b | cut -d' ' -f1)"
	done
}

# Between c and d, whose ntmd find the TUN of an older kernel.
turn_udp64_no_uso() {
	sample udp64_no_uso ntm "$(udp_best c "$NO_USO" d | cut -d' ' -f1)"
	sample udp64_no_uso plain "$(udp_best c "$(host_addr4 d)" d | cut -d' ' -f1)"
}

# Sets OFFERED, kpps: where the best was.
declare -A OFFERED=()
turn_udp64_segment() {
	local way best
	for way in "${WAYS[@]}"; do
		read -r best "OFFERED[$way]" <<<"$(udp_best a "${TO[$way]}" b segment=$SEGMENTS)"
		sample udp64_segment "$way" "$best"
	done
}

# By the turn before it. The best of many short looks is partly luck: the peak is what the same offer brings once more, for as
# long as the overload. One message for each datagram would cost the sender too much to offer that.
turn_overload() {
	local way peak is seconds=$((BENCH_QUICK == 1 ? 1 : 3))
	for way in "${WAYS[@]}"; do
		peak=$(udp_point a "${TO[$way]}" b $seconds $((OFFERED[$way] * 1000)) segment=$SEGMENTS)
		is=$(udp_point a "${TO[$way]}" b $seconds "$(awk -v p="$peak" 'BEGIN { printf "%d", 2000 * p }')" segment=$SEGMENTS)
		sample overload "$way" "$(awk -v a="$is" -v b="$peak" 'BEGIN { printf "%.1f", 100 * a / b }')"
		note overload "$way: peak $peak kpps, offered $(awk -v p="$peak" '{ printf "%d", $2 / $4 / 10 / p }' "$WORK/sent") %"
	done
}

# CPU of the whole machine, without what iperf3's two ends used in user space: daemons and kernel. The kernel keeps the rate:
# iperf3 itself would ask for the time all the while, which is the kernel's CPU time, too.
turn_cpu_per_gb() {
	local way before after
	for way in "${WAYS[@]}"; do
		before=$(busy)
		tcp_json a "${TO[$way]}" "$BENCH_SECONDS" --fq-rate "${FIXED_RATE}G" >"$WORK/cpu.json"
		after=$(busy)
		sample cpu_per_gb "$way" "$(jq --argjson busy "$(minus "$after" "$before")" '.end |
			($busy - (.cpu_utilization_percent | .host_user + .remote_user) / 100 * .sum_received.seconds) /
			(.sum_received.bytes / 1e9) * 1000 | round / 1000' "$WORK/cpu.json")"
		jq -e --argjson rate $FIXED_RATE '.end.sum_received.bits_per_second >= $rate * 0.95e9' "$WORK/cpu.json" >/dev/null ||
			note cpu_per_gb "$way reached only $(jq '.end.sum_received.bits_per_second / 1e7 | round / 100' \
				"$WORK/cpu.json") Gbit/s"
	done
}

turn_rtt() {
	local way median p99 plain_median=0 plain_p99=0
	for way in plain "${WAYS[@]}"; do
		ns a ping -q -i 0.01 -c 20 "${TO[$way]}" >/dev/null
		read -r median p99 <<<"$(rtt a "${TO[$way]}" 500 0.002)"
		if [ "$plain_median" = 0 ]; then
			plain_median=$median plain_p99=$p99
		elif [ "$way" != plain ]; then
			sample rtt_median "$way" "$(minus "$median" "$plain_median")"
			sample rtt_p99 "$way" "$(minus "$p99" "$plain_p99")"
		fi
	done
	note rtt_median "plain itself: $plain_median us"
	note rtt_p99 "plain itself: $plain_p99 us"
}

turn_loaded_p99() {
	local way
	for way in "${WAYS[@]}"; do
		tcp_json a "${TO[$way]}" "$BENCH_SECONDS" >/dev/null &
		sleep 0.5
		sample loaded_p99 "$way" "$(rtt a "${TO[$way]}" $(((BENCH_SECONDS - 1) * 100)) 0.01 | cut -d' ' -f2)"
		wait $!
	done
}

# ---- as an ordinary user: a third node, whose ntmd and applications have no privilege at all
BUFFERS_LARGE=4194304 # what ntmd asks for, and root gets
BUFFERS_DEFAULT=212992 # what Linux allows everybody

turn_rootless_tcp() {
	local root
	root=$(tcp_gbit a "${TO[ntm]}" "$BENCH_SECONDS" -O 1)
	sample rootless_tcp ntm "$(buffers_allow $BUFFERS_LARGE rootless_tcp a "${TO[ntm]}")"
	sample rootless_tcp root "$root"
	wanted rootless_default || return 0
	sample rootless_default ntm "$(buffers_allow $BUFFERS_DEFAULT rootless_tcp a "${TO[ntm]}")"
	sample rootless_default root "$root"
}

# ---- networks
net_up
dc_start
bench_host a
bench_host b
bench_node a
bench_node b
TO[plain]=$(host_addr4 b)
TO[ntm]=$(vip4 b)
eventually 5 reaches a "${TO[ntm]}"
eventually 5 route_is a b direct
WAYS=(ntm plain)
if wireguard_go; then
	wireguard_start a b
	TO[wireguard-go]=$WG_ADDR
	WAYS=(ntm wireguard-go plain)
else
	for row in bulk_tcp overload cpu_per_gb rtt_median rtt_p99 loaded_p99; do
		skip_row $row "neither Debian 13's wireguard-go nor Debian 12's, or no wg, could be had"
	done
fi
tcp_start b
for row in $BENCH_ROWS; do
	note "$row" "engine $(status a .engine), cipher $(tunnel a b .cipher)"
done
label plain "plain routing"
if [[ $(ns a ethtool -k ntm0 2>/dev/null) = *"tx-udp-segmentation: on"* ]]; then goal udp64 "ratio>=1.5"; fi
# Messages by UDP_SEGMENT are no way to compare a tunnel with: over these cables they are never cut before the receiver's
# socket, on a real link every datagram is a packet. So there is nothing to gain for a tunnel, and it has each one to seal.
note udp64_segment "plain messages are never cut on their way"
if wanted udp64_no_uso; then
	if "$NTM_BIN/bench/no_uso" true; then
		mkdir "$WORK/no_uso"
		ln -s "$NTM_BIN"/* "$WORK/no_uso"
		rm "$WORK/no_uso/ntmd"
		printf '#!/bin/sh\nexec "%s/bench/no_uso" "%s/ntmd" "$@"\n' "$NTM_BIN" "$NTM_BIN" >"$WORK/no_uso/ntmd"
		chmod +x "$WORK/no_uso/ntmd"
		for name in c d; do
			bench_host $name
			NTM_BIN=$WORK/no_uso bench_node $name
		done
		NO_USO=$(vip4 d)
		eventually 5 reaches c "$NO_USO"
		eventually 5 route_is c d direct
		note udp64_no_uso "USO: $(status c .offloads.uso)"
	else
		skip_row udp64_no_uso "no seccomp filter can be set"
	fi
fi
if wanted rootless_tcp rootless_default; then
	if ! ns a ntmctl run -h >/dev/null 2>&1; then
		REASON="this ntmctl has no command run"
	else
		rootless_start a
		if rootless_run a ping -q -c 1 -W 5 "${TO[ntm]}" >"$WORK/rootless.log" 2>&1; then
			label root "the same with root"
			note rootless_tcp "net.core.rmem_max and wmem_max: $BUFFERS_LARGE"
			note rootless_default "net.core.rmem_max and wmem_max: $BUFFERS_DEFAULT"
			ROOTLESS=1
		else
			REASON="ntmctl run does not reach the peer: $(tail -n 1 "$WORK/rootless.log")"
		fi
	fi
	if [ "${ROOTLESS:-0}" = 0 ]; then
		for row in rootless_tcp rootless_default; do skip_row $row "$REASON"; done
	fi
fi

for _ in $(turns); do
	if wanted bulk_tcp; then timed turn_bulk_tcp; fi
	if wanted udp64; then timed turn_udp64; fi
	if [ -n "${NO_USO-}" ]; then timed turn_udp64_no_uso; fi
	if wanted udp64_segment overload; then timed turn_udp64_segment; fi
	if wanted overload; then timed turn_overload; fi
	if wanted cpu_per_gb; then timed turn_cpu_per_gb; fi
	if wanted rtt_median rtt_p99; then timed turn_rtt; fi
	if wanted loaded_p99; then timed turn_loaded_p99; fi
	if [ "${ROOTLESS:-0}" = 1 ]; then timed turn_rootless_tcp; fi
done
for host in a b; do
	echo "  drops at $host: $(ns $host ntmctl -j stats | jq -c '.drops | with_entries(select(.value != 0))')"
done
