#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_setup.sh - how long an application waits for the name of a peer that it has no tunnel to; for bench.sh.
#
#	dc (srv1), rs1 (srv2) ---- core ---- near (v4)    near2 (v4b)
#	                             '------ far (dual)   far2 (dual2)	20 ms each way on these two links
#
# The reference is what doc/PROTOCOL.md says it costs, from round trips measured in the same turn: node to DNS, node to
# DC, the longer one of DC to peer and DC to relay, and node to peer.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"

no_tunnels() { [ "$(tunnels "$1" length)" = 0 ]; }

rtt_ms() { # FROM TO
	ns "$1" ping -q -i 0.05 -c 5 "$2" | sed -n 's|^rtt[^=]*= [^/]*/\([^/]*\)/.*|\1|p'
}

turn_setup() { # ROW FROM TO
	local to dc relay asked
	to=$(host_addr4 "$3")
	if ! no_tunnels "$2"; then ns "$2" ntmctl tunnel close "$3.$ZONE" >/dev/null; fi
	eventually 5 no_tunnels "$2"
	eventually 5 no_tunnels "$3"
	dc=$(rtt_ms "$2" "$DC_ADDR4")
	relay=$(printf '%s\n' "$(rtt_ms dc "$to")" "$(rtt_ms dc "$(host_addr4 rs1)")" | sort -n | tail -n 1)
	sample "$1" sum "$(awk -v d="$dc" -v r="$relay" -v e="$(rtt_ms "$2" "$to")" 'BEGIN { printf "%.2f", 2 * d + r + e }')"
	ns "$2" dig -u +tries=1 +time=5 @127.0.0.54 "$3.$ZONE" A >"$WORK/dig"
	grep -q "IN.*A.*$(vip4 "$3")" "$WORK/dig" || { echo "no address:"; cat "$WORK/dig"; return 1; }
	asked=$(sed -n 's/.*Query time: \([0-9]*\) usec/\1/p' "$WORK/dig")
	sample "$1" ntm "$(awk -v t="$asked" 'BEGIN { printf "%.2f", t / 1000 }')"
	check "the tunnel is there when the answer is" route_is "$2" "$3" direct
}

label sum "round trips it needs"
# shellcheck disable=SC2034 # lib.sh reads them by their names
NET_DELAY_MS_dual=20 NET_DELAY_MS_dual2=20
net_up
dc_start rs1
rs_start rs1
nodes_add near=v4 near2=v4b far=dual far2=dual2
for _ in $(turns); do
	if wanted setup_0ms; then timed turn_setup setup_0ms near near2; fi
	if wanted setup_20ms; then timed turn_setup setup_20ms far far2; fi
done
