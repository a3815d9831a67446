#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a relay whose outgoing interface is too narrow tells the sender, also where the packet has grown by crossing families
#
#	dc (srv1) ---- core ---- four (v4)
#	                |  |---- six (v6)
#	                |  '---- rs1 eth0 (srv2): IPv4, 1500 bytes
#	                '------- rs1 eth1 (srv3): IPv6, MTU bytes on the interface and on the link behind it
#
# four's packets fit eth0 and must leave by eth1, 20 bytes longer. In user space, and as `auto` chooses.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/mtu_steps.sh
. "$(dirname "$0")/mtu_steps.sh"

narrow() { # BYTES
	local net port
	read -r net port <<<"${PORT[rs1.eth1]}"
	nsip rs1 link set dev eth1 mtu "$1"
	nsip "r-$net" link set dev "$port" mtu "$1"
	link_mtu srv3 "$1"
}
too_big() { ns rs1 ntmctl -j rs stats | jq '.drops.too_big // 0'; }
# What four's kernel was told by ICMP.
# shellcheck disable=SC2016 # for awk
told() { ns four awk '$1 == "Icmp:" && $2 ~ /^[0-9]+$/ { print $5 }' /proc/net/snmp; }

step() { # MODE MTU
	local mtu=$(($2 - 48 - 32)) refused heard
	narrow "$2"
	refused=$(too_big) heard=$(told)
	tunnel_anew four six
	check "$1, $2 bytes: by the relay" eventually 2 route_is four six relay
	check "$1, $2 bytes: four learns exactly what passes" eventually 2 mtu_is four six "$mtu" "$mtu"
	check "$1, $2 bytes: the relay refused what was too big ($refused, $(too_big))" test "$(too_big)" -gt "$refused"
	check "$1, $2 bytes: and told four by ICMP" test "$(told)" -gt "$heard"
	check "$1, $2 bytes: six learns it" eventually 3 mtu_is six four $((mtu - 8)) "$mtu"
	delivers "$1, $2 bytes: 10 MiB of TCP by IPv4" four "$(vip4 six)"
	delivers "$1, $2 bytes: 10 MiB of TCP by IPv6" four "$(vip6 six)"
	delivers "$1, $2 bytes: 10 MiB of TCP back" six "$(vip4 four)"
	check "$1, $2 bytes: a large ping" ping_passes four "$(vip4 six)" -s 1400
	narrow 1500
}

net_up
host_add rs1 srv2
host_attach rs1 srv3 eth1 50
# IPv4 stays at eth0.
nsip rs1 route del default dev eth1
DC_CONFIG="[relay \"rs1.$ZONE\"]
public-key = $(public_key rs1)
endpoint = $(host_addr4 rs1):6866
endpoint = [$(host_addr6 rs1 eth1)]:6866"
dc_start
RS_CONFIG=$(rs_config_apart off)
rs_start rs1
eventually 8 relay_up
nodes_add four=v4 six=v6
for name in four six; do sums_start "$name"; done
step user 1400
step user 1300
daemon_stop rs1 ntm-rs
RS_CONFIG=$(rs_config_apart auto)
rs_start rs1
echo "# auto: $(ns rs1 ntmctl -j rs status | jq -r '.mode')"
eventually 8 relay_up
check "the tunnel comes back" eventually 12 reaches four "$(vip4 six)" -W 0.3
step auto 1400
step auto 1300
for name in four six; do no_drops "nothing came in a wrong piece at $name" "$name" piece auth; done
