#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: also where links compute no checksums and cut no segments, every packet that BPF has is right
#
#	dc (srv1) ---- core ---- mn, cn (dual, dual2)	by IPv6
#	                 '------ mn4, cn4 (v4, v4b)	by IPv4
#
# NTM_OFFLOADS=off selftests/run.sh netns NAME does that with any other test.
export NTM_OFFLOADS=off
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

net_up
dc_start
NTM_ENGINE=bpf nodes_add mn=dual cn=dual2 mn4=v4 cn4=v4b
strict mn cn mn4 cn4
for name in cn cn4; do server_start $name 7001; done
for pair in "mn cn" "mn4 cn4"; do
	read -r a b <<<"$pair"
	reaches $a "$(vip4 $b)" -W 3 >/dev/null
	check "$a and $b: BPF has the inline lane" eventually 4 inline_is $a $b bpf
	eventually 4 inline_is $b $a bpf
done
sleep 0.5
replays_note mn cn mn4 cn4
check "by IPv6" grep -qF "[$(host_addr6 cn)]:" <<<"$(tunnel mn cn .remote)"
small_packets mn cn IPv6
bulk_packets mn cn IPv6
large_packets mn cn
small_packets mn4 cn4 IPv4
bulk_packets mn4 cn4 IPv4
large_packets mn4 cn4
clean mn cn mn4 cn4
