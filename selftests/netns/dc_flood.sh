#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: nodes keep their registrations while strangers flood the DC with handshakes, from addresses they show to be theirs
#
#	load ---- core ---- dc (srv1)	load: 200 nodes and the flood, from 512 addresses (bench/dcload.c)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

SOURCES=11.0.0.0/16
NODES=200

part() { awk -v p="$1" -v n="$2" '$1 == p { print $n }' "$WORK/dcload.out"; } # PART COLUMN

flooded() {
	ns load "$NTM_BIN/bench/dcload" load "$(daemon_pid dc ntm-dc)" "$(public_key dc)" "$DC_ADDR4" "${SOURCES%/*}" "$ZONE" \
		$NODES 3 flood >"$WORK/dcload.out"
}

net_up
dc_start
host_add load
link_make core to-load load eth0
nsip core addr add 198.51.100.1/28 dev to-load
nsip load addr add 198.51.100.10/28 dev eth0
nsip load route add default via 198.51.100.1
nsip load route add local $SOURCES dev lo
nsip core route add $SOURCES via 198.51.100.10
daemon_stop dc ntm-dc
rm -f "$WORK"/dc/lib/dc.sqlite*
"$NTM_BIN/bench/dcload" members "$WORK/dc/lib/dc.sqlite" "$ZONE" 198.18.0.0/16 fd4e:544d:1::/64 $NODES
daemon_run dc ntm-dc
check "every Keep Alive is answered during the flood" flooded
cat "$WORK/dcload.out"
check "hundreds were asked for ($(part flood 2))" test "$(part flood 2)" -gt 300
check "half of them within 0.3 s ($(part flood_rtt_us 2) us)" test "$(part flood_rtt_us 2)" -lt 300000
eq "all nodes are registered" $NODES "$(ns dc ntmctl -j dc node list | jq '[.[] | select(.registered)] | length')"
drops=$(ns dc ntmctl -j dc stats)
echo "$drops"
check "cookies were asked for" test "$(jq '.drops.cookie_needed // 0' <<<"$drops")" -gt 100
check "strangers with a cookie were worked on" test "$(jq '.drops.stranger // 0' <<<"$drops")" -gt 100
check "but not all" test "$(jq '.drops.rate // 0' <<<"$drops")" -gt 100
