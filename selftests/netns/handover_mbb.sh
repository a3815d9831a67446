#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: with two networks at once a node changes from one to the other without losing, doubling or reordering a packet
#
#	dc (srv1), rs1 (srv2) ---- core ---- cn (dual)
#	                            |------- v4, v4b, v6, [NAT] nat1: mn's eth0 and eth1, one of them or both
#	                            |- 15 ms - v6b
#	                            '------- v4b: fix's eth0; v4: fix's eth1, preferred by its configuration
#
# Two streams of 2000 datagrams a second run all the time, one each way. MN's better network appears, is used, and the old one
# goes; the least metric is the better one. FIX prefers eth1 whatever the routes say.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

PPS=2000 OUT=7300 IN=7301
# Two cables, two processors. What the kernel itself receives and sends by one of them waits while that processor has other work.
TWO_CABLES=2
[ "${NTM_ENGINE:-user}" = user ] || TWO_CABLES=$((PPS * 30 / 1000))

# NAME's packets to cn leave from this device, and cn's come there.
uses() { # NAME DEV [SEEN]: SEEN: cn sends to the address of DEV, too
	local local4 local6 is
	is=$(tunnel "$1" cn '"\(.local) \(.state)"')
	local4=$(host_addr4 "$1" "$2") local6=$(host_addr6 "$1" "$2")
	[[ "$is" = "${local4:-none}:"*" up" || "$is" = "[${local6:-none}]:"*" up" ]] || { echo "$is, not by $2"; return 1; }
	is=$(tunnel cn "$1" .remote)
	echo "cn sends to $is"
	[[ -z "${3-}" || "$is" = "$local4:"* || "$is" = "[$local6]:"* ]]
}

METRIC_NEXT=90
better_appears() { # SENTENCE NET NEW OLD [SEEN]: SEEN: also cn sees the address
	METRIC_NEXT=$((METRIC_NEXT - 10))
	host_attach mn "$2" "$3" $METRIC_NEXT
	check "$1: it is used within 3 s" eventually 3 uses mn "$3" ${5+seen}
	sleep 0.3 # what is on its way
	host_detach mn "$4"
	sleep 0.2
	check "$1: and still is when the old one is gone" uses mn "$3" ${5+seen}
}

whole() { # SENTENCE PORT REORDERED_MAX
	stream_end "$2"
	eq "$1: none of $SENT lost" 0 "$LOST"
	eq "$1: none came twice" 0 "$DUPLICATE"
	check "$1: at most $3 overtaken ($REORDERED)" test "$REORDERED" -le "$3"
}

begin() { # NAME
	reaches "$1" cn.$ZONE -W 4 >/dev/null
	check "at first $1's route is direct" eventually 3 route_is "$1" cn direct
	stream_start "$1" cn "$(vip4 cn)" $OUT $PPS 60
	stream_start cn "$1" "$(vip4 "$1")" $IN $PPS 60
	sleep 0.3
}

net_up
NET_DELAY_MS_v6b=15
for net in v4b v6 v6b nat1; do access_make $net; done
dc_start rs1
rs_start rs1
nodes_add cn=dual mn=v4
monitor_start mn

# ---- networks of one length
begin mn
better_appears "another IPv4 network" v4b eth1 eth0 seen
follows() { monitored mn 'select(.event == "peer_follows" and .time > 0) | .peer' | grep -qx cn.$ZONE; }
check "another IPv4 network: mn tells that cn follows" follows
better_appears "an IPv6 network" v6 eth0 eth1 seen
better_appears "and the first one again" v4 eth1 eth0 seen
whole "to cn" $OUT $TWO_CABLES
whole "to mn" $IN $TWO_CABLES

# ---- by the relay meanwhile: that is longer by a process, which may have to wait for its turn
begin mn
better_appears "a network behind a NAT" nat1 eth0 eth1
better_appears "and global IPv6 again" v6 eth1 eth0 seen
whole "to cn, from behind a NAT" $OUT $((PPS * 30 / 1000))
whole "to mn, behind a NAT" $IN $((PPS * 30 / 1000))

# ---- one that is 15 ms longer, and back: what was sent by the long one is overtaken by what is sent by the short one. A busy
# machine makes the long one longer: it holds what is under way in user space (linkdelay.c).
begin mn
better_appears "a longer network" v6b eth0 eth1 seen
better_appears "a shorter one" v4 eth1 eth0 seen
whole "to cn, back on the short one" $OUT $((PPS * 45 / 1000))
whole "to mn, back on the short one" $IN $((PPS * 45 / 1000))

# ---- a worse network changes nothing, and stands by
begin mn
before=$(tunnel mn cn .local)
host_attach mn v6 eth0 900
sleep 1
eq "a worse network is not used" "$before" "$(tunnel mn cn .local)"
stands_by() { [ "$(ns mn ntmctl -j path explain cn.$ZONE | jq -r '[.tried[]? | select(.interface == "eth0" and .state == "proven")] | length')" -gt 0 ]; }
check "but it is proven, and stands by" eventually 3 stands_by
whole "to cn, meanwhile" $OUT $TWO_CABLES
whole "to mn, meanwhile" $IN $TWO_CABLES
begin mn
MOVED_DOWN=$EPOCHREALTIME
host_detach mn eth1
check "when the good one goes without a word the other one is used within 2 s" eventually 2 uses mn eth0 seen
sleep 0.3
stream_end $OUT
out=$(stream_gap_since $OUT "$MOVED_DOWN")
stream_end $IN
in=$(stream_gap_since $IN "$MOVED_DOWN")
check "it was silent for $out ms to cn and $in ms to mn, at most 500" test "$out" -le 500 -a "$in" -le 500
ns mn ntmctl tunnel close cn.$ZONE >/dev/null
daemon_stop mn ntmd

# ---- by configuration
NODE_CONFIG=$'[interface "eth1"]\nmetric = 1'
nodes_add fix=v4b
host_attach fix v4 eth1 900
begin fix
check "the interface that the configuration prefers is used, though the routes prefer another" eventually 3 uses fix eth1 seen
host_detach fix eth1
check "without it the other one is used" eventually 3 uses fix eth0 seen
stream_end $OUT
stream_end $IN
begin fix
host_attach fix v4 eth1 900
check "it is back: used again" eventually 3 uses fix eth1 seen
sleep 0.3
whole "to cn, from the network that the routes prefer to the one that the configuration does" $OUT $TWO_CABLES
whole "to fix, likewise" $IN $TWO_CABLES
for name in mn cn fix; do
	[ "$name" = mn ] || no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
