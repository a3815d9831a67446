#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# beside_wireguard.sh - runs in the virtual machine (wireguard.sh): the tunnel beside the kernel's WireGuard, between
# the same two hosts. The processor is emulated, so only the ratios mean something, and those not much.
#
#	dc (srv1) ---- core ---- mn (dual)    cn (dual2)	ntm0 and wg0
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"

tcp_mbit() { # WHERE: received, 5 s
	ns mn iperf3 -c "$1" -p 7300 -t 5 -O 1 -J | jq -r '.end.sum_received.bits_per_second / 1e6 | floor'
}
ping_us() { # WHERE: the median of 100
	ns mn ping -q -n -i 0.02 -c 100 -W 2 "$1" >"$WORK/ping.log" || true
	sed -n 's,.*= [0-9.]*/\([0-9.]*\)/.*,\1,p' "$WORK/ping.log" | awk '{ printf "%d\n", $1 * 1000 }'
}

wg_start() { # NAME OTHER ADDRESS OTHER_ADDRESS
	ns "$1" wg set wg0 private-key "$WORK/$1.wg" listen-port 51820 peer "$(wg pubkey <"$WORK/$2.wg")" \
		allowed-ips "$4/32" endpoint "$(host_addr4 "$2"):51820"
	nsip "$1" addr add "$3/24" dev wg0
	nsip "$1" link set dev wg0 mtu 1420 up
}

net_up
dc_start
nodes_add mn=dual cn=dual2
check "a tunnel is there" reaches mn "cn.$ZONE" -W 5
(umask 077 && wg genkey >"$WORK/mn.wg" && wg genkey >"$WORK/cn.wg")
for host in mn cn; do nsip "$host" link add wg0 type wireguard; done
wg_start mn cn 10.72.0.1 10.72.0.2
wg_start cn mn 10.72.0.2 10.72.0.1
check "WireGuard's tunnel is there" eventually 10 reaches mn 10.72.0.2
nsbg cn iperf.log iperf3 -s -p 7300
eventually 10 accepting cn 7300
for what in "TCP, Mbit/s: tcp_mbit" "ping, us: ping_us"; do
	ours=$(${what##*: } "$(vip4 cn)") theirs=$(${what##*: } 10.72.0.2)
	check "both are measured: ${what%: *}: here $ours, WireGuard $theirs, ratio $(
		awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.2f", b ? a / b : 0 }')" \
		test "${ours:-0}" -gt 0 -a "${theirs:-0}" -gt 0
done
