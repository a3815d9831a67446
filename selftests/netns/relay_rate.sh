#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# long
# test: a path gets no more of the relay than path-rate in dc.conf says, and another path does not pay for it
#
#	dc (srv1), rs1 (srv2) ---- core ---- four, five (v4), six (v6)
#
# In user space, and as `auto` chooses.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

RATE=200000 # bytes a second of UDP payload
SIZE=500 # with headers of the tunnel and IP inside 500 + 28 + 32

drops_rate() { ns rs1 ntmctl -j rs stats | jq '.drops.rate // 0'; }
load() { # FROM PPS: sets BYTES, what arrived at six in 3 s, as the relay counts it
	local sink
	nsbg six sink.log "$NTM_BIN/udpload" sink 7300 10 2
	sink=$SPAWNED
	eventually 2 listening six 7300
	ns "$1" "$NTM_BIN/udpload" send "$(vip4 six)" 7300 $SIZE 3 "$2" >"$WORK/sent"
	eventually 5 not_alive "$sink"
	BYTES=$(($(awk '{ print $2 }' "$WORK/sink.log") * (SIZE + 60)))
	rm -f "$WORK/sink.log"
}
step() { # MODE MOST: bytes a second that may pass at most
	local before
	check "$1: four reaches six by the relay" eventually 12 reaches four six.$ZONE -W 1
	eventually 3 route_is four six relay
	check "$1: five reaches six by the relay" eventually 12 reaches five six.$ZONE -W 1
	before=$(drops_rate)
	load four 1500 # four times its rate
	# The burst of 64 KiB and what waits in queues is in it.
	check "$1: of four times the rate not more arrives ($((BYTES / 3)) bytes a second)" \
		test $((BYTES / 3)) -ge $((RATE * 7 / 10)) -a $((BYTES / 3)) -le $(($2 * 14 / 10))
	check "$1: the rest is counted as rate" test "$(drops_rate)" -gt $((before + 1000))
	before=$(drops_rate)
	load five 200
	check "$1: another path below the rate loses nothing ($BYTES bytes)" \
		test "$BYTES" -ge $((195 * 3 * (SIZE + 60)))
	eq "$1: and has no such drops" "$before" "$(drops_rate)"
	check "$1: the tunnel lives" reaches four "$(vip4 six)"
}

net_up
server_host rs1 srv2
DC_CONFIG="[relay \"rs1.$ZONE\"]
$(relay_section rs1)
path-rate = $RATE"
dc_start
RS_CONFIG=$'[datapath]\nxdp = off' rs_start rs1
eventually 8 relay_up
nodes_add four=v4 five=v4 six=v6
step user $RATE
daemon_stop rs1 ntm-rs
RS_CONFIG=$'[datapath]\nxdp = auto' rs_start rs1
eventually 8 relay_up
mode=$(ns rs1 ntmctl -j rs status | jq -r .mode)
step "auto ($mode)" $RATE
