#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: idle nodes hold their NAT mappings: keepalives go out to the DC, the relay and the peer, and are acknowledged
#
#	dc (srv1), rs1 (srv2) ---- core ---- g (v4)
#	                            '------- [NAT] n1 (nat1)
#
# Keepalives come every 25 s: this needs half a minute, most of which it waits. keepalive_lost.sh needs longer.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

between() { # FROM TO [PORT]: UDP packets in the capture
	tcpdump -n -r "$WORK/idle.pcap" "udp and not port 53 and src $1 and dst $2" 2>/dev/null | wc -l
}

net_up
dc_start rs1
rs_start rs1
check "the relay is up" eventually 5 relay_up
nodes_add n1=nat1 g=v4
reaches n1 g.$ZONE -W 4 >/dev/null
check "n1 and g have a direct path" eventually 4 route_is n1 g direct
sleep 2 # all that setting up has to say
id=$(tunnel n1 g .path_id) packets=$(tunnel n1 g '"\(.tx_packets) \(.rx_packets)"')
before=$(stats n1 '.drops // {} | tostring')
capture_start n1 eth0 idle.pcap
sleep 26.5
capture_stop
n1=$(host_addr4 n1)
for peer in "the DC $DC_ADDR4" "the relay $(host_addr4 rs1)" "the peer $(host_addr4 g)"; do
	address=${peer##* } name=${peer% *}
	out=$(between "$n1" "$address") in=$(between "$address" "$n1")
	check "$name hears n1 within 26 s ($out packets)" test "$out" -ge 1 -a "$out" -le 6
	check "$name acknowledges it ($in packets)" test "$in" -ge 1 -a "$in" -le 6
done
eq "applications' counters do not count keepalives" "$packets" "$(tunnel n1 g '"\(.tx_packets) \(.rx_packets)"')"
eq "nothing of it was dropped" "$before" "$(stats n1 '.drops // {} | tostring')"
check "g reaches n1 through the NAT" reaches g "$(vip4 n1)"
eq "the path is the same one" "$id" "$(tunnel g n1 .path_id)"
check "n1 is still registered" nodes_registered n1
