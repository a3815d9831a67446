#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a relay on a VLAN device (802.1Q) relays by XDP with tags in, out, and in and out: generic on it, native on the one below
#
#	dc (srv1) ---- core ---- p4 (v4)  q4 (v4b)  q6 (v6)	p4 and q4 only reach each other by rs1
#	                | |===== rs1 eth0 (srv2): IPv4, a VLAN device on the cable `wire`, which carries nothing without tag 7
#	                '------- rs1 eth1 (srv3): IPv6, no VLAN
#
# selftests/vm runs it as well: many kernels that are made for machines of one purpose have no 8021q.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/relay_steps.sh
. "$(dirname "$0")/relay_steps.sh"

TAG=7

# eth0 of rs1 becomes a VLAN device, with addresses of its own, and the network's end of its cable another.
vlan_make() {
	local net port
	read -r net port <<<"${PORT[rs1.eth0]}"
	nsip rs1 link set dev eth0 down
	nsip rs1 -4 addr flush dev eth0
	nsip rs1 link set dev eth0 name wire
	nsip rs1 link set dev wire up
	nsip rs1 link add link wire name eth0 type vlan id $TAG 2>"$WORK/vlan" || return 1
	nsip rs1 link set dev eth0 up
	nsip "r-$net" link set dev "$port" nomaster
	nsip "r-$net" link add link "$port" name tagged type vlan id $TAG
	nsip "r-$net" link set dev tagged master lan up
	# In the frames, as on a real cable, and not beside them.
	ns "r-$net" ethtool -K "$port" txvlan off rxvlan off
	ns rs1 ethtool -K wire txvlan off rxvlan off
	eventually 3 is_up rs1 eth0
	host_configure rs1 "$net" eth0
	nsip rs1 route del default dev eth1 # IPv4 is eth0's
	nsip rs1 -6 route del default dev eth0
}
is_up() { [[ $(nsip "$1" -o link show dev "$2") = *" state UP "* ]]; }

attached_to() { [ "$(rs_status '[.interfaces[] | select(.mode != "off") | .name] | sort | join(" ")')" = "$1" ]; }

step() { # MODE INTERFACES: with the relay that runs
	local q
	check "$1: the relay comes back" eventually 12 relay_up
	check "$1: by XDP" eventually 5 xdp_is "$1"
	check "$1: on $2" attached_to "$2"
	for q in q4 q6; do
		check "$1, p4 to $q: reached" eventually 12 reaches p4 $q.$ZONE -W 4
		check "$1, p4 to $q: by the relay" eventually 5 route_is p4 $q relay
		by_xdp "$1, p4 to $q: TCP" p4 $q echoes p4 $q.$ZONE 7001
		pings "$1, p4 to $q: nothing is lost" p4 "$(vip4 $q)"
		whole "$1, p4 to $q: 3 MiB arrive as they were" p4 $q "$(vip4 $q)"
		whole "$1, p4 to $q: 3 MiB back" $q p4 "$(vip6 p4)"
	done
}

NTM_OFFLOADS=off
net_up
host_add rs1 srv2
host_attach rs1 srv3 eth1 50
if ! vlan_make; then
	skip "a relay on a VLAN device relays by XDP" "this kernel has no VLAN devices, 8021q ($(head -n 1 "$WORK/vlan"))"
	exit 0
fi
far_end_make
DC_CONFIG="[relay \"rs1.$ZONE\"]
public-key = $(public_key rs1)
endpoint = $(host_addr4 rs1):6866
endpoint = [$(host_addr6 rs1 eth1)]:6866"
dc_start
RS_CONFIG=$(rs_config_apart generic) rs_start rs1
nodes_add p4=v4 q4=v4b q6=v6
no_direct
for name in q4 q6; do server_start $name 7001; done
read -r net port <<<"${PORT[rs1.eth0]}"
capture_start "r-$net" "$port" wire.pcap -s 64
step generic "eth0 eth1"
daemon_stop rs1 ntm-rs
ns rs1 ntm-rs -c "$WORK/rs1/ntm-rs.conf" --detach 2>/dev/null
for dev in eth0 eth1; do far_end on $dev; done
RS_CONFIG=$(rs_config_apart native) rs_start rs1
step native "eth1 wire"
capture_stop
wire() { tcpdump -n -r "$WORK/wire.pcap" "$@" 2>/dev/null | wc -l; }
check "packets were on that cable with their tags ($(wire vlan $TAG and udp))" test "$(wire vlan $TAG and udp)" -gt 1000
eq "and none without" 0 "$(wire "ip and not vlan")"
for name in p4 q4 q6; do no_drops "nothing was changed on its way to $name" $name auth; done
