#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: keys are renewed while data flows, and not one packet is lost by it
#
#	dc (srv1) ---- core ---- mn (v4), cn (v4b): rekey-after = 2
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
dc_start
NODE_LINES="rekey-after = 2" nodes_add mn=v4 cn=v4b
reaches mn cn.$ZONE -W 3 >/dev/null
eventually 3 route_is mn cn direct
id=$(tunnel mn cn .path_id)
nsbg cn iperf.log iperf3 -s -1
eventually 3 accepting cn 5201
ns mn iperf3 -J -u -b 2M -l 400 -t 9 -c cn.$ZONE >"$WORK/udp.json" &
udp=$!
flow_start cn mn "$(vip6 mn)" 7100 300 20
phases="" youngest=0 last=""
for ((i = 0; i < 45; i++)); do
	read -r phase age <<<"$(tunnel mn cn '"\(.phase) \(.key_age_s)"')"
	[ "$phase" = "$last" ] || phases+="$phase "
	last=$phase
	[ "$age" -le "$youngest" ] || youngest=$age
	sleep 0.2
done
wait "$udp"
echo "# key phases as they came: $phases"
check "the key phase went through at least 4 values in 9 s" test "$(wc -w <<<"$phases")" -ge 4
check "all 4 phases were used" test "$(tr ' ' '\n' <<<"$phases" | sort -u | grep -c .)" = 4
check "no key was used for more than 4 s (at most $youngest s)" test "$youngest" -le 4
eq "the path is the same one" "$id" "$(tunnel mn cn .path_id)"
check "enough datagrams went" test "$(jq .end.sum.packets "$WORK/udp.json")" -gt 4000
eq "not one datagram was lost" 0 "$(jq .end.sum.lost_packets "$WORK/udp.json")"
flow_end "TCP the other way lost nothing either" 7100
for name in mn cn; do
	no_drops "nothing failed authentication, was replayed or came under an unknown key at $name" \
		"$name" auth replay phase_unknown key_expired inner_source handshake
done
