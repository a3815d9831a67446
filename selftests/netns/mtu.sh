#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a direct tunnel by IPv4 delivers everything over links of 1500, 1360, 1280 and 1124 bytes
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
capture_stop
eq "no outer packet was a fragment" "" "$(tcpdump -n -r "$WORK/outer.pcap" 2>/dev/null)"

# ---- one's own interface
nsip mn link set dev eth0 mtu 1300
tunnel_anew mn cn
check "one's own interface of 1300 bytes is asked first" eventually 1 mtu_is mn cn 1064 1240
delivers "10 MiB of TCP by IPv4 from there" mn "$(vip4 cn)"
delivers "10 MiB of TCP by IPv6 from there" mn "$(vip6 cn)"
for name in mn cn; do no_drops "nothing came in a wrong piece at $name" "$name" piece auth; done
