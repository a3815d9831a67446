#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: what XDP relays outlives ntm-rs: killed, stopped, upgraded; nothing is lost, and the new one serves all paths
#
#	dc (srv1), rs1 (srv2) ---- core ---- p4 (v4)  q4 (v4b)
#	                             '------ p6 (v6)  q6 (v6b)	v4 and v4b, v6 and v6b only reach each other by rs1
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/relay_steps.sh
. "$(dirname "$0")/relay_steps.sh"

SET=$PINS/v$(awk '$2 == "NTM_RELAY_LAYOUT" { print $3 }' "$ROOT/include/ntm/relay_map.h")
legs() { ns rs1 ntmctl -j rs tunnel list | jq -c 'map([.path_id, .leg0, .leg1]) | sort'; }
directed_again() { [ "$(rs_status .inherited)" = 0 ]; }
detach() { ns rs1 ntm-rs -c "$WORK/rs1/ntm-rs.conf" --detach; }

net_up
dc_start rs1
rs_start rs1
nodes_add p4=v4 p6=v6 q4=v4b q6=v6b
no_direct
# As network cards do: a veth hands on trains of datagrams in one, which are too large for generic XDP to send.
for name in p4 p6 q4 q6; do ns $name ethtool -K eth0 tx-udp-segmentation off >/dev/null; done
for peer in p4:q4 p4:q6 p6:q4 p6:q6; do
	check "${peer/:/ to }: reached" reaches "${peer%:*}" "${peer#*:}.$ZONE" -W 4
done
server_start q6 7001
pings "before all" p4 "$(vip4 q6)"

again() { # SENTENCE HOW: while a stream runs, ntm-rs ends and begins
	local legs counted
	legs=$(legs)
	counted=$(rs_path p4 q6 .xdp_packets0)
	stream_start p4 q6 "$(vip4 q6)" 5
	sleep 1
	"$2"
	sleep 0.5
	daemon_run rs1 ntm-rs
	eq "$1: all paths are there, with both legs" "$legs" "$(legs)"
	check "$1: the DC directs all of them again" eventually 10 directed_again
	stream_end "$1: no packet of a stream was lost"
	[ "$2" = upgraded ] || check "$1: the counters go on" test "$(rs_path p4 q6 .xdp_packets0)" -gt $((counted + 1000))
	check "$1: it is generic XDP" xdp_is generic
	by_xdp "$1: afterwards" p6 q4 reaches p6 "$(vip4 q4)"
}
killed() { daemon_stop rs1 ntm-rs KILL; }
stopped() {
	daemon_stop rs1 ntm-rs TERM
	eq "ntm-rs ends well by TERM" 0 "$STATUS"
}
upgraded() {
	killed
	ns rs1 mv $SET $PINS/v77
}
again "killed" killed
again "stopped" stopped
again "another layout" upgraded
check "the set of the other layout is gone" ns rs1 test ! -e $PINS/v77
check "ours is there" ns rs1 test -e $SET/rs_paths

# ---- what needs the keys works again
monitor_start rs1 rs
host_move p4 v4b
check "after all that a leg can move: p4 is reached again" eventually 5 reaches p4 "$(vip4 q6)" -W 0.2
check "the relay tells" eventually 2 grep -q leg_moved "$WORK/rs1-monitor.log"
daemon_stop rs1 ntm-rs KILL
host_move p6 v6b
sleep 0.5
daemon_run rs1 ntm-rs
check "a leg that moves while there is no ntm-rs moves when there is" eventually 8 reaches p6 "$(vip4 q4)" -W 0.2

# ---- addresses come and go: more than rs_local has places for (32)
daemon_stop rs1 ntm-rs KILL
sed -i 's/listen = [0-9].*/listen = 0.0.0.0:6866/; s/listen = \[.*/listen = [::]:6866/' "$WORK/rs1/ntm-rs.conf"
daemon_run rs1 ntm-rs
by_xdp "at all addresses" p6 q4 reaches p6 "$(vip4 q4)"
knows_local() { # THIRD FOURTH, of 10.66.0.0/16
	ns rs1 bpftool map dump pinned $PINS/rs_local | jq -e "any(.[]; .value.at.addr.b[12:] == [10, 66, $1, $2])" >/dev/null
}
for i in 1 2 3 4; do
	for j in {1..10}; do nsip rs1 address add "10.66.$i.$j/32" dev eth0; done
	check "ten other addresses ($i) are known to XDP" eventually 3 knows_local $i 10
	for j in {1..10}; do nsip rs1 address del "10.66.$i.$j/32" dev eth0; done
done
by_xdp "afterwards" p6 q4 reaches p6 "$(vip4 q4)"

# ---- the device of a pinned link is gone
daemon_stop rs1 ntm-rs KILL
NEXT[srv2]=20
host_detach rs1 eth0
host_attach rs1 srv2 eth0 100
daemon_run rs1 ntm-rs
check "with a new eth0, XDP is on that" xdp_is generic
check "and relays" eventually 10 reaches p4 "$(vip4 q6)" -W 0.3
by_xdp "on the new eth0" p4 q6 echoes p4 "$(vip4 q6)" 7001
eq "one link is pinned" 1 "$(ns rs1 ls $SET | grep -c ^link_)"
NEXT[srv2]=20
host_detach rs1 eth0
host_attach rs1 srv2 eth0 100
attached() { nsip rs1 link show dev eth0 | grep xdp; }
check "eth0 is replaced under the running ntm-rs, which attaches to the new one" eventually 5 attached
check "that is generic XDP" eventually 2 xdp_is generic
check "it relays again" eventually 10 reaches p4 "$(vip4 q6)" -W 0.3
by_xdp "on the newest eth0" p4 q6 echoes p4 "$(vip4 q6)" 7001

# ---- no pins: no file system for them, then none at all
daemon_stop rs1 ntm-rs
check "ntm-rs --detach" detach
check "nothing is pinned then" ns rs1 test ! -e $PINS
check_not "and nothing is attached" grep -q xdp <<<"$(nsip rs1 link show dev eth0)"
ns rs1 umount /sys/fs/bpf
daemon_run rs1 ntm-rs
check "without a BPF file system ntm-rs mounts one" ns rs1 test -e $PINS/rs_paths
check "and relays by XDP" xdp_is generic
daemon_stop rs1 ntm-rs KILL
check "xdp = off detaches what was left" true
printf '[datapath]\nxdp = off\n' >>"$WORK/rs1/ntm-rs.conf"
daemon_run rs1 ntm-rs
check "it is user space then" xdp_is user
check_not "nothing is attached" grep -q xdp <<<"$(nsip rs1 link show dev eth0)"
check "user space relays" eventually 12 reaches p4 "$(vip4 q6)" -W 0.3
daemon_stop rs1 ntm-rs
sed -i 's/^xdp = off/xdp = auto/' "$WORK/rs1/ntm-rs.conf"

# ---- a pin-dir with something else in it
ns rs1 mkdir /run/own
ns rs1 touch /run/own/file
echo 'pin-dir = /run/own' >>"$WORK/rs1/ntm-rs.conf"
daemon_run rs1 ntm-rs
check "a folder of files gets no file system on top of it" ns rs1 test -e /run/own/file
check "and that is said" grep -q 'pin-dir = /run/own .* holds other files' "$WORK/rs1-ntm-rs.log"
check "it relays by XDP, without pins" eventually 5 xdp_is generic
daemon_stop rs1 ntm-rs
sed -i '/^pin-dir = .run.own/d' "$WORK/rs1/ntm-rs.conf"

# ---- XDP of somebody else: here, what was left with another pin-dir
daemon_run rs1 ntm-rs
daemon_stop rs1 ntm-rs KILL
echo "pin-dir = $PINS-too" >>"$WORK/rs1/ntm-rs.conf"
daemon_run rs1 ntm-rs
check "where another XDP program is attached it relays in user space" eventually 5 xdp_is user
check "and the status says so" grep -q 'eth0: another XDP program' <<<"$(rs_status .mode_why)"
daemon_stop rs1 ntm-rs
sed -i '/^pin-dir = .*-too/d' "$WORK/rs1/ntm-rs.conf"
check "ntm-rs --detach" detach

# ---- without permission
nsbg rs1 rs1-ntm-rs.log setpriv --bounding-set=-bpf,-sys_admin,-net_admin,-perfmon "$NTM_BIN/ntm-rs" -c "$WORK/rs1/ntm-rs.conf"
check "without permission ntm-rs runs" eventually 5 xdp_is user
check "and says so once" test "$(grep -c 'no permission to load BPF programs' "$WORK/rs1-ntm-rs.log")" = 1
check "the status says why" grep -q CAP_BPF <<<"$(rs_status .mode_why)"
check "user space relays" eventually 12 reaches p4 "$(vip4 q6)" -W 0.3
end_pids "$SPAWNED"
for name in p4 p6 q4 q6; do no_drops "nothing was changed on its way to $name" $name auth; done
