#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: idle tunnels outlast short NAT timeouts, and a peer, DC or relay that is gone is noticed
# long
#
#	dc (srv1), rs1 (srv2) ---- core ---- g, dead (v4)
#	                            '------- [NAT, forgets in 30 s] n1 (nat1)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

registered_at_dc() { [ "$(ns dc ntmctl -j dc node list | jq "[.[] | select(.registered)] | length")" = 2 ]; }
no_tunnel() { [ "$(tunnels "$1" "map(select(.peer == \"$2.$ZONE\")) | length")" = 0 ]; }

net_up
access_make nat1
nssysctl r-nat1 net.netfilter.nf_conntrack_udp_timeout=30 net.netfilter.nf_conntrack_udp_timeout_stream=30
dc_start rs1
rs_start rs1
nodes_add n1=nat1 g=v4 dead=v4
reaches n1 g.$ZONE -W 4 >/dev/null
eventually 4 route_is n1 g direct
reaches g dead.$ZONE -W 4 >/dev/null
id=$(tunnel n1 g .path_id)

# ---- a peer that is gone without a word, and a DC that has forgotten everybody
daemon_stop dead ntmd KILL
daemon_stop dc ntm-dc KILL
daemon_run dc ntm-dc
start=$(now_ms)
check "nodes register with the new DC by themselves" eventually 60 \
	registered_at_dc
echo "# after $((($(now_ms) - start) / 1000)) s"
check "the tunnel to the dead peer is given up" eventually 120 no_tunnel g dead
echo "# after $((($(now_ms) - start) / 1000)) s"
check "its name is then answered with SERVFAIL" grep -q 'status: SERVFAIL' <<<"$(ns g dig +time=4 +tries=1 @127.0.0.54 dead.$ZONE A)"
remaining=$((70000 - ($(now_ms) - start)))
[ "$remaining" -lt 0 ] || sleep $((remaining / 1000))
check "g reaches n1 after more than a minute of silence" reaches g "$(vip4 n1)"
eq "by the same path" "$id" "$(tunnel g n1 .path_id)"
check "it is direct" route_is g n1 direct
