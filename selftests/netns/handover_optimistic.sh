#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a new IPv6 address is used before the kernel knows that it is unique where that is allowed (RFC 4429)
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn: v4, then v6; it asks three times for duplicates, 3 s
#	                            '------- cn (dual)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

# Addresses are made with duplicate address detection, optimistic or not.
optimistic() { # 0|1
	nssysctl mn net.ipv6.conf.default.{accept_dad=1,dad_transmits=3}
	nssysctl mn net.ipv6.conf.default.{optimistic_dad,use_optimistic}="$1"
}
is_tentative() { [[ $(nsip mn -6 -o addr show dev eth0 to "$(host_addr6 mn)") = *" tentative"* ]]; }
router_mac() { nsip r-v6 -j link show dev lan | jq -r ".[0].address"; }

# To a network with IPv6 only. From an optimistic address the kernel asks for no neighbours: it knows the
# router by what that has advertised.
move_to_v6() { # HOW: see lib.sh
	HOST_DAD=$1 host_move mn v6
	nsip mn neigh replace fe80::1 lladdr "$(router_mac)" dev eth0
}

net_up
access_make v6
dc_start rs1
rs_start rs1
nodes_add mn=v4 cn=dual
if ! ns mn test -e /proc/sys/net/ipv6/conf/default/optimistic_dad; then
	skip "optimistic addresses" "the kernel was built without CONFIG_IPV6_OPTIMISTIC_DAD"
	exit 0
fi
reaches mn cn.$ZONE -W 4 >/dev/null
check "at first the route is direct" eventually 3 route_is mn cn direct

optimistic 1
move_to_v6 optimistic
check "optimistic: it is used within 1 s" eventually 1 reaches mn "$(vip4 cn)" -W 0.3
check "optimistic: directly" eventually 1 route_is mn cn direct
check "optimistic: and the kernel was not sure of it yet" is_tentative
host_move mn v4
check "back: the route is direct" eventually 5 route_is mn cn direct

optimistic 0
move_to_v6 ""
check_not "not optimistic: the address cannot be used" eventually 1 reaches mn "$(vip4 cn)" -W 0.3
check "not optimistic: since the kernel is not sure of it" is_tentative
check "not optimistic: when it is, the tunnel works" eventually 6 reaches mn "$(vip4 cn)" -W 0.5
check_not "not optimistic: not before" is_tentative
