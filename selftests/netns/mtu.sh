#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a direct tunnel by IPv4 delivers everything over links of 1500, 1360, 1280 and 1124 bytes
# with: mtu_ipv6 mtu_relay mtu_blackhole
#
#	dc (srv1) ---- core -(MTU)-- [r-v4] mn (v4)     cn (v4b)
#
# By IPv6: mtu_ipv6.sh; relayed: mtu_relay.sh; without ICMP: mtu_blackhole.sh.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/mtu_steps.sh
. "$(dirname "$0")/mtu_steps.sh"

net_up
dc_start
nodes_add mn=v4 cn=v4b
for name in mn cn; do sums_start "$name"; done
capture_start core c-v4 outer.pcap "ip[6:2] & 0x3fff != 0" # fragments
for mtu in 1500 1360 1280 1124; do direct_step mn cn v4 "$mtu" 28; done
# 1124 bytes on the way: what the tunnel has found, and what ICMP has told the kernel of the way to the DC, once it sends large ones.
path_mtu_is() { [ "$(ns mn ntmctl -j netcheck | jq -c --arg n "$1.$ZONE" '[.path_mtu[] | select(.name == $n) | .mtu, .at_least, .known_by]')" = "$2" ]; }
check "netcheck has the path MTU of the tunnel" path_mtu_is cn '[1124,false,"answer"]'
check "and of the way to the DC by the interface" path_mtu_is dc '[1500,false,"kernel"]'
ns mn ping -q -c 2 -i 0.1 -W 0.2 -M "do" -s 1400 "$DC_ADDR4" >/dev/null || : # refused
check "until ICMP has told more" path_mtu_is dc '[1124,false,"kernel"]'
capture_stop
eq "no outer packet was a fragment" "" "$(tcpdump -n -r "$WORK/outer.pcap" 2>/dev/null)"

# ---- one's own interface
nsip mn link set dev eth0 mtu 1300
tunnel_anew mn cn
check "one's own interface of 1300 bytes is asked first" eventually 1 mtu_is mn cn 1064 1240
delivers "10 MiB of TCP by IPv4 from there" mn "$(vip4 cn)"
delivers "10 MiB of TCP by IPv6 from there" mn "$(vip6 cn)"
for name in mn cn; do no_drops "nothing came in a wrong piece at $name" "$name" piece auth; done
