#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_paper.sh - the three cases in which paper B measured its node in user space, at 100 Mbit/s; for bench.sh. There a
# node lost 8.95 to 9.12 % against communication without NTMobile (7.04 to 7.43 % with the kernel module).
#
#	case 1	mn1 (v4)  ==100 Mbit/s== core ---- cn4 (v4b)	global IPv4
#	case 2	mn2 (v6)  ==100 Mbit/s== core ---- cn6 (v6b)	IPv6
#	case 3	mn3 [NAT] ==100 Mbit/s== core ---- cn6		private IPv4 to IPv6, by rs1
#
# mn sends: plain, with the user engine, as an ordinary user (`ntmctl run`), and with the BPF engine at both ends. Case 3 has
# no plain counterpart; mn3 to cn4, IPv4 through its NAT, stands for it.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"
# shellcheck source=selftests/bench/rootless.sh
. "$ROOT/selftests/bench/rootless.sh"

BENCH_SECONDS=$((BENCH_SECONDS > 2 ? 2 : BENCH_SECONDS)) # a shaped link is even: ten short turns say more than three long ones
RATE=100 # Mbit/s, counted from the Ethernet header on, as tbf does
UNDERLAY=1500
ETHERNET=14
TUNNEL=$((8 + 16 + 16)) # UDP, the header of every packet, and the tag: doc/PROTOCOL.md
TCP4=$((20 + 20 + 12)) # inner IPv4, TCP and its timestamps
# shellcheck disable=SC2034 # lib.sh reads them by their names
NET_RATE_MBIT_v4=$RATE NET_RATE_MBIT_v6=$RATE NET_RATE_MBIT_nat1=$RATE
declare -A MN=([1]=mn1 [2]=mn2 [3]=mn3) CN=([1]=cn4 [2]=cn6 [3]=cn6) PLAIN=() LOSS=([1]=8.95 [2]=9.12 [3]=9.12)
# Outer IP header on the way of the shaped link, and the longest on the whole way.
declare -A OUTER=([1]=20 [2]=40 [3]=20) LONGEST=([1]=20 [2]=40 [3]=40)

# Mbit/s that TCP could get if all that is lost were headers.
limit_tunnel() { # CASE: with the largest inner packet that fits
	local inner=$((UNDERLAY - LONGEST[$1] - TUNNEL))
	awk -v p=$((inner - TCP4)) -v f=$((inner + TUNNEL + OUTER[$1] + ETHERNET)) -v r=$RATE 'BEGIN { print r * p / f }'
}
limit_plain() { # CASE
	local headers=$TCP4
	[ "$1" != 2 ] || headers=$((TCP4 + 20))
	awk -v p=$((UNDERLAY - headers)) -v f=$((UNDERLAY + ETHERNET)) -v r=$RATE 'BEGIN { print r * p / f }'
}
# Of a goodput in Gbit/s, in % of a limit in Mbit/s.
percent() { awk -v g="$1" -v l="$2" 'BEGIN { if (g != "") printf "%.2f\n", 1e5 * g / l }'; }
loss() { awk -v g="$1" -v p="$2" 'BEGIN { if (g != "") printf "%.2f\n", 100 * (1 - g / p) }'; }

wanted_case() { wanted "paper_case$1" "paper_bpf$1" "paper_rootless$1" "paper_loss$1"; }

declare -A GBIT=() # case -> of plain communication in this turn
goodput_note() { # CASE ROW WHO GBIT
	sample "$2$1" ntm "$(percent "$4" "$(limit_tunnel "$1")")"
	sample "$2$1" plain "$(percent "${GBIT[$1]}" "$(limit_plain "$1")")"
	sample "paper_loss$1" "$3" "$(loss "$4" "${GBIT[$1]}")"
}

turn_case() { # CASE: plain, with the user engine, as an ordinary user
	local to=${VIP[${CN[$1]}]}
	GBIT[$1]=$(tcp_gbit "${MN[$1]}" "${PLAIN[$1]}" "$BENCH_SECONDS" -O 2)
	goodput_note "$1" paper_case ntm "$(tcp_gbit "${MN[$1]}" "$to" "$BENCH_SECONDS" -O 2)"
	if wanted "paper_rootless$1" "paper_loss$1"; then
		goodput_note "$1" paper_rootless rootless "$(rootless_tcp "${MN[$1]}" "$to")"
	fi
	sample "paper_loss$1" paper "${LOSS[$1]}"
}

turn_bpf() { # CASE: after turn_case
	goodput_note "$1" paper_bpf bpf "$(tcp_gbit "${MN[$1]}" "${VIP[${CN[$1]}]}" "$BENCH_SECONDS" -O 2)"
}

inline_is() { # ENGINE CASE
	[ "$(tunnel "${MN[$2]}" "${CN[$2]}" .engine)" = "$1" ] && [ "$(tunnel "${CN[$2]}" "${MN[$2]}" .engine)" = "$1" ]
}

engine_is() { # ENGINE CASE...
	local name case
	for name in mn1 mn2 mn3 cn4 cn6; do
		if [ "$1" = bpf ]; then ns "$name" ntmctl attach; else ns "$name" ntmctl detach; fi
	done
	for case in "${@:2}"; do
		eventually 5 reaches "${MN[$case]}" "${VIP[${CN[$case]}]}"
		eventually 10 inline_is "$1" "$case"
	done
}

cases() {
	local case
	for case in 1 2 3; do if wanted_case $case; then echo $case; fi; done
}

label paper "paper B, in user space"
label plain "plain"
net_up
dc_start rs1
rs_start rs1
NODE_CONFIG=$'[datapath]\nengine = user' nodes_add mn1=v4 mn2=v6 mn3=nat1 cn4=v4b cn6=v6b
PLAIN=([1]=$(host_addr4 cn4) [2]=$(host_addr6 cn6) [3]=$(host_addr4 cn4))
declare -A VIP=([cn4]=$(vip4 cn4) [cn6]=$(vip4 cn6))
mapfile -t CASES < <(cases)
for case in "${CASES[@]}"; do
	eventually 5 reaches "${MN[$case]}" "${VIP[${CN[$case]}]}"
	eventually 5 route_is "${MN[$case]}" "${CN[$case]}" "$([ "$case" = 3 ] && echo relay || echo direct)"
	rootless_start "${MN[$case]}"
	for row in paper_case paper_bpf paper_rootless; do
		note "$row$case" "limits: $(limit_tunnel "$case") Mbit/s in the tunnel, $(limit_plain "$case") plain"
	done
done
tcp_start cn4
tcp_start cn6
for _ in $(turns 10); do
	for case in "${CASES[@]}"; do timed turn_case "$case"; done
	wanted paper_bpf1 paper_bpf2 paper_bpf3 paper_loss1 paper_loss2 paper_loss3 || continue
	engine_is bpf "${CASES[@]}"
	for case in "${CASES[@]}"; do timed turn_bpf "$case"; done
	engine_is user "${CASES[@]}"
done
