#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the programs are on a device below the one that has the address: its packets are taken and delivered all the same
#
#	dc (srv1) ---- core ---- mn (v4)
#	                 '------ cn (v4b): eth0, with the programs, and on it mv0, a macvlan with an address of its own
#
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

# XDP on eth0 sees frames for mv0 before the kernel finds out whose they are; for eth0 they are somebody else's.
stack() { # NAME
	local gateway address
	address=$(host_addr4 "$1")
	read -r _ _ gateway _ <<<"${NETS[v4b]}"
	nsip "$1" addr flush dev eth0
	nsip "$1" link add link eth0 name mv0 type macvlan mode private
	nsip "$1" link set dev mv0 up
	nsip "$1" addr add "$address/${gateway#*/}" dev mv0
	nsip "$1" route add default via "${gateway%/*}" dev mv0
}

net_up
dc_start
host_add mn v4
host_add cn v4b
stack cn
NTM_ENGINE=bpf node_start mn mn.$ZONE
NTM_ENGINE=bpf node_start cn cn.$ZONE
eventually 10 nodes_registered mn cn
check "the programs go to the device below" ns cn ntmctl attach --interface eth0
reaches mn "$(vip4 cn)" -W 3 >/dev/null || :
eventually 3 inline_is mn cn bpf
eventually 3 inline_is cn mn bpf
sleep 0.5

before=$(lane cn mn rx inline)
ns mn ping -q -i 0.005 -c 100 -W 1 "$(vip4 cn)" >"$WORK/ping" || :
check "100 pings are answered" grep -q '100 received' "$WORK/ping"
eq "the programs opened them" $((before + 100)) "$(lane cn mn rx inline)"
rm "$WORK/ping"
server_start cn 7001
check "TCP request and response" echoes mn "$(vip4 cn)" 7001
no_drops "nothing failed at cn" cn auth checksum inner_source
