#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the programs are on a device below the one that has the address: its packets are taken and delivered all the same
#
#	dc (srv1) ---- core ---- mn (v4)
#	                 '------ cn, cv (v4b): eth0, with the programs, and on it over0, a macvlan or a VLAN, with the address
#
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

# XDP on eth0 sees frames for over0 before the kernel finds out whose they are: for eth0 they are somebody else's, or
# have a tag, which a NIC takes off before.
stack() { # NAME KIND...
	local gateway address port
	address=$(host_addr4 "$1")
	read -r _ _ gateway _ <<<"${NETS[v4b]}"
	read -r _ port <<<"${PORT[$1.eth0]}"
	nsip "$1" addr flush dev eth0
	nsip "$1" link add link eth0 name over0 type "${@:2}"
	if [ "$2" = vlan ]; then
		nsip r-v4b link set dev "$port" nomaster
		nsip r-v4b link add link "$port" name "$port.tag" type "${@:2}"
		nsip r-v4b link set dev "$port.tag" master lan up
	fi
	nsip "$1" link set dev over0 up
	nsip "$1" addr add "$address/${gateway#*/}" dev over0
	nsip "$1" route add default via "${gateway%/*}" dev over0
}

packets() { # NAME KIND
	local name=$1 before
	check "the programs go to the device below ($2)" ns "$name" ntmctl attach --interface eth0
	eventually 5 reaches mn "$(vip4 "$name")" || :
	eventually 5 inline_is mn "$name" bpf
	eventually 5 inline_is "$name" mn bpf
	sleep 0.5
	before=$(lane "$name" mn rx inline)
	ns mn ping -q -i 0.005 -c 100 -W 1 "$(vip4 "$name")" >"$WORK/ping" || :
	check "100 pings are answered ($2)" grep -q '100 received' "$WORK/ping"
	eq "the programs opened them ($2)" $((before + 100)) "$(lane "$name" mn rx inline)"
	rm "$WORK/ping"
	server_start "$name" 7001
	check "TCP request and response ($2)" echoes mn "$(vip4 "$name")" 7001
	no_drops "nothing failed ($2)" "$name" auth checksum inner_source
}

net_up
dc_start
host_add mn v4
NTM_ENGINE=bpf node_start mn mn.$ZONE
host_add cn v4b
stack cn macvlan mode private
NTM_ENGINE=bpf node_start cn cn.$ZONE
eventually 10 nodes_registered mn cn
packets cn macvlan

modprobe -q 8021q || : # where it is a module
if nsip mn link add link eth0 name try0 type vlan id 5 2>/dev/null; then
	nsip mn link del dev try0
	host_add cv v4b
	stack cv vlan id 5
	NTM_ENGINE=bpf node_start cv cv.$ZONE
	eventually 10 nodes_registered cv
	packets cv VLAN
else
	skip "the same with a VLAN" "the kernel knows none"
fi
