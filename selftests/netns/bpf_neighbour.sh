#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: what waits in the kernel for a neighbour arrives when that answers; if it never does, TCP is not kept from sending again
#
#	dc (srv1) ---- core ---- mn, cn (v4, v4b)
#
# For a moment mn's default route leads to an address that nobody has, as in a move. The kernel asks for it for 3 s, and keeps
# what was sent there; TCP sends nothing again that it believes to be still on its way out of the host.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

AT=7201
NOBODY=198.51.100.189

gateway_set() { nsip mn route replace default via "$1"; }
goes_on() { [ "$(flow_offset $AT)" -gt "$SEEN" ]; }

net_up
dc_start
NTM_ENGINE=bpf NODE_CONFIG="[datapath]"$'\n'"lane = inline" nodes_add mn=v4 cn=v4b
reaches mn "$(vip4 cn)" -W 3 >/dev/null
eventually 3 inline_is mn cn bpf
eventually 3 inline_is cn mn bpf
read -r gateway < <(nsip mn -j route show default | jq -r '.[0].gateway')

answered=0
for _ in $(seq 10); do
	nsip mn neigh del "$gateway" dev eth0
	if reaches mn "$(vip4 cn)"; then answered=$((answered + 1)); fi
done
eq "packets that find no neighbour wait for it" 10 $answered

flow_start mn cn "$(vip4 cn)" $AT 500 30
sleep 1
for i in 1 2 3; do
	before=$(nsip mn -s -j link show dev ntm0s | jq '.[0].stats64.tx.packets')
	gateway_set $NOBODY
	sleep 0.15
	check "move $i: packets went there" test "$(nsip mn -s -j link show dev ntm0s | jq '.[0].stats64.tx.packets')" -gt $((before + 10))
	gateway_set "$gateway"
	SEEN=$(flow_offset $AT)
	check "move $i: the connection goes on within 1.5 s" eventually 1.5 goes_on
	sleep 3 # until the kernel has given up
	nsip mn neigh flush to $NOBODY
done
flow_end "every byte arrived" $AT
