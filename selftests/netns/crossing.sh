#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: two nodes that ask for one another at the same moment end with one path
#
#	dc (srv1), rs1 (srv2) ---- core ---- a (v4), b (v4b)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

one_path() { # both ends have one tunnel, the same
	local a b
	a=$(tunnels a '[.[] | select(.state == "up") | .path_id] | join(" ")') b=$(tunnels b '[.[] | select(.state == "up") | .path_id] | join(" ")')
	echo "a: $a, b: $b"
	[ -n "$a" ] && [ "$a" = "$b" ] && [ "$(wc -w <<<"$a")" = 1 ] && [ "$(tunnels a length) $(tunnels b length)" = "1 1" ]
}
no_path() { [ "$(tunnels a length) $(tunnels b length)" = "0 0" ]; }

net_up
dc_start rs1
rs_start rs1
nodes_add a=v4 b=v4b
va=$(vip4 a) vb=$(vip4 b)
for round in 1 2 3 4 5; do
	ns a ping -q -c 2 -i 0.2 -W 3 "$vb" >"$WORK/ping-a.log" 2>&1 &
	first=$!
	ns b ping -q -c 2 -i 0.2 -W 3 "$va" >"$WORK/ping-b.log" 2>&1 &
	second=$!
	# Only this shell can wait for them.
	if wait "$first"; then ok "round $round: a's first packets arrive"; else fail "round $round: a's first packets arrive" "$(cat "$WORK/ping-a.log")"; fi
	if wait "$second"; then ok "round $round: b's first packets arrive"; else fail "round $round: b's first packets arrive" "$(cat "$WORK/ping-b.log")"; fi
	check "round $round: exactly one path is left, the same at both ends" eventually 6 one_path
	check "round $round: data flows" reaches a b.$ZONE
	if [ $((round % 2)) = 1 ]; then closer=a peer=b; else closer=b peer=a; fi
	ns "$closer" ntmctl tunnel close "$peer.$ZONE" >/dev/null
	check "round $round: $closer closes it, and both ends forget it" eventually 4 no_path
done
for name in a b; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
