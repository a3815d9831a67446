#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a peer that vanishes without a word is found at its new place, or given up and told to applications
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn (v4)
#	                            '------- cn: v4b, then [NAT] nat1, then nowhere
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

no_tunnel() { [ "$(tunnels mn length)" = 0 ]; }

net_up
access_make nat1
dc_start rs1
rs_start rs1
nodes_add mn=v4 cn=v4b
reaches mn cn.$ZONE -W 4 >/dev/null
check "mn and cn have a direct tunnel" eventually 3 route_is mn cn direct
flow_start mn cn cn.$ZONE 7100 200 60
monitor_start mn

# ---- killed, moved, and started elsewhere: its old address answers no more, and its new one says nothing
daemon_stop cn ntmd KILL
host_move cn nat1
daemon_run cn ntmd
start=$(now_ms)
check "a peer that was killed and started elsewhere is found again" eventually 10 reaches mn "$(vip4 cn)"
echo "# after $(($(now_ms) - start)) ms"
SEEN=$(flow_offset 7100)
advances() { [ "$(flow_offset 7100)" -gt "$SEEN" ]; }
check "TCP goes on" eventually 8 advances
flow_end "every byte arrived" 7100
check "the route is direct again" eventually 6 route_is mn cn direct

# ---- killed for good; so that the DC forgets it at once and not after 90 s, it starts anew
address=$(vip4 cn)
daemon_stop cn ntmd KILL
ns cn ntmctl detach >/dev/null 2>&1 || : # else its kernel would go on answering
daemon_stop dc ntm-dc KILL
daemon_run dc ntm-dc
nsbg mn ping.log ping -i 0.3 "$address"
ping=$SPAWNED
start=$(now_ms)
check "the tunnel to a peer that is gone is given up" eventually 15 no_tunnel
echo "# after $(($(now_ms) - start)) ms"
check "applications are told" eventually 2 grep -qi unreachable "$WORK/ping.log"
check "its name is answered with SERVFAIL" grep -q 'status: SERVFAIL' <<<"$(ns mn dig +time=4 +tries=1 @127.0.0.54 cn.$ZONE A)"
daemon_run cn ntmd
eventually 5 nodes_registered cn
check "when it comes back it is reached" eventually 5 reaches mn cn.$ZONE -W 3

# ---- asked by its name in vain, and by its address a moment later: the name has that tunnel, too
end_pids "$ping"
ns mn ntmctl tunnel close cn.$ZONE >/dev/null
eventually 3 no_tunnel
failures() { monitored mn 'select(.event == "direction_failed") | .event' | wc -l; }
fails_again() { [ "$(failures)" -gt "$before" ]; }
before=$(failures)
kill -STOP "$(daemon_pid cn ntmd)"
check "while it does not answer, neither does its name" grep -q 'status: SERVFAIL' <<<"$(ns mn dig +time=9 +tries=1 @127.0.0.54 cn.$ZONE A)"
eventually 15 fails_again
kill -CONT "$(daemon_pid cn ntmd)"
check "then its address does" eventually 3 reaches mn "$address"
eq "and its name at once" "$address" "$(ns mn dig +short +time=2 +tries=1 @127.0.0.54 cn.$ZONE A)"
eq "by one tunnel" 1 "$(tunnels mn length)"
