#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: nodes behind NATs have direct tunnels wherever their NATs allow it
#
#	dc (srv1), rs1 (srv2) ---- core ---- g (v4)
#	                            |------- [NAT] n1, n1b (nat1)
#	                            |------- [NAT] n2 (nat2)
#	                            |------- [hard NAT] h1 (hard1)
#	                            '------- [NAT]-[NAT] d (dnat)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

# One direction: who asks, whom, and where the route must lead in the end.
direct() { # SENTENCE FROM TO [REMOTE]
	check "$1: reached by name" reaches "$2" "$3.$ZONE" -W 4
	check "$1: direct, as $2 sees it" eventually 4 route_is "$2" "$3" direct
	check "$1: direct, as $3 sees it" eventually 4 route_is "$3" "$2" direct
	[ -z "${4-}" ] || check "$1: the route leads to $4" grep -q "^$4:" <<<"$(tunnel "$2" "$3" .remote)"
	check "$1: data flows" reaches "$2" "$3.$ZONE"
	check "$1: data flows back" reaches "$3" "$2.$ZONE"
	ns "$2" ntmctl tunnel close "$3.$ZONE" >/dev/null
	eventually 3 no_tunnel "$3" "$2"
}
no_tunnel() { [ "$(tunnels "$1" "map(select(.peer == \"$2.$ZONE\")) | length")" = 0 ]; }
nat_is() { [ "$(status "$1" .nat)" = "$2" ]; }

net_up
dc_start rs1
rs_start rs1
nodes_add g=v4 n1=nat1 n1b=nat1 n2=nat2 h1=hard1 d=dnat

check "g knows that it has no NAT" eventually 4 nat_is g none
check "n1 knows its NAT" eventually 4 nat_is n1 easy
check "h1 knows its hard NAT" eventually 4 nat_is h1 hard
check "d knows its NATs" eventually 4 nat_is d easy

direct "behind a NAT to global" n1 g "$(host_addr4 g)"
direct "global to behind a NAT" g n1 "$(host_outside4 n1)"
direct "behind the same NAT" n1 n1b "$(host_addr4 n1b)"
direct "behind two NATs to global" d g "$(host_addr4 g)"
direct "global to behind two NATs" g d "192.0.2.62"
direct "behind a hard NAT to global" h1 g "$(host_addr4 g)"
direct "global to behind a hard NAT" g h1 "$(host_outside4 h1)"
direct "behind two different NATs, by hole punching" n1 n2 "$(host_outside4 n2)"
check "path explain has a verdict for each route" \
	test "$(ns n1 ntmctl ping n2.$ZONE -c 1 >/dev/null; ns n1 ntmctl -j path explain n2.$ZONE | jq '.routes | length')" -ge 3
for name in g n1 n1b n2 h1 d; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
