#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a TCP transfer outlives the crash of either node, the DC and the relay
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn (v4)
#	                            |------- [NAT] cn (nat1)		mn - cn: direct
#	                            |------- [hard NAT] h1 (hard1)
#	                            '------- [hard NAT] h2 (hard2)	h1 - h2: by rs1
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

advances() { # PORT: whether its receiver gets on; to be asked repeatedly
	local now
	now=$(flow_offset "$1")
	[ "$now" -gt "$SEEN" ]
}
goes_on() { # SENTENCE PORT SECONDS
	local start
	start=$(now_ms)
	sleep 0.15 # what was on its way
	SEEN=$(flow_offset "$2")
	check "$1" eventually "$3" advances "$2"
	echo "# after $(($(now_ms) - start)) ms"
}

registered_at_dc() { # NAME...
	local name list
	list=$(ns dc ntmctl -j dc node list | jq -r '.[] | select(.registered) | .fqdn')
	for name; do grep -qx "$name.$ZONE" <<<"$list" || return 1; done
}

net_up
dc_start rs1
rs_start rs1
nodes_add mn=v4 cn=nat1 h1=hard1 h2=hard2
reaches mn cn.$ZONE -W 4 >/dev/null
flow_start mn cn cn.$ZONE 7100 400 60
flow_start h1 h2 "$(vip4 h2)" 7200 400 60

# ---- the nodes
daemon_stop mn ntmd KILL
daemon_run mn ntmd
goes_on "the sender's ntmd is killed: its TCP goes on within 5 s of the new start" 7100 5
daemon_stop cn ntmd KILL
daemon_run cn ntmd
goes_on "the receiver's ntmd is killed: its TCP goes on within 5 s of the new start" 7100 5
check "mn keeps its virtual address" reaches cn "$(vip4 mn)"
start=$(now_ms)
daemon_stop h2 ntmd TERM
took=$(($(now_ms) - start))
eq "ntmd ends well by TERM, with a tunnel" 0 "$STATUS"
check "within 2 s ($took ms)" test "$took" -lt 2000
daemon_run h2 ntmd
goes_on "ntmd is stopped and started: TCP by the relay goes on within 5 s" 7200 5

# ---- the DC
sleep 0.3 # it writes down where nodes are within a moment
daemon_stop dc ntm-dc KILL
goes_on "the DC is killed: tunnels do not care" 7100 1
goes_on "the DC is killed: neither do relayed ones" 7200 1
start=$(now_ms)
daemon_run dc ntm-dc
check "the DC is started: all nodes register again within 3 s, long before their Keep Alive" \
	eventually 3 registered_at_dc mn cn h1 h2
echo "# after $(($(now_ms) - start)) ms"
check "a direction works then" reaches cn h1.$ZONE -W 4
nodes_add newcomer=v4b
check "after its restart a newcomer registers, and an old node that knows nothing of it gets there" \
	eventually 6 reaches mn newcomer.$ZONE -W 3
check "by then the DC knows both again" registered_at_dc mn newcomer
goes_on "and the tunnels go on" 7100 1

# ---- the relay
daemon_stop rs1 ntm-rs KILL
daemon_run rs1 ntm-rs
goes_on "the relay is killed and started: relayed TCP goes on" 7200 12

flow_end "every byte from mn to cn arrived" 7100
flow_end "every byte from h1 to h2 arrived" 7200

# ---- the control socket
check_not "without ntmd ntmctl fails" env -i "PATH=$PATH" ntmctl --socket "$WORK/none.sock" status
daemon_stop newcomer ntmd KILL
check "kill -9 leaves the control socket" test -S "$WORK/newcomer/run/ntmd.sock"
check_not "which nobody answers at" ns newcomer ntmctl status
daemon_run newcomer ntmd
check "a new ntmd takes its place" ns newcomer ntmctl status
check_not "a second ntmd beside it refuses to start" ns newcomer timeout 3 ntmd -c "$WORK/newcomer/ntmd.conf"
check "and leaves the first one's socket alone" ns newcomer ntmctl status
daemon_stop newcomer ntmd
check_not "TERM removes the socket" test -e "$WORK/newcomer/run/ntmd.sock"
for name in mn cn h1 h2; do
	no_drops "nothing came in with a wrong source at $name" "$name" inner_source
done
