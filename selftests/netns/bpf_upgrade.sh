#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a new ntmd puts its BPF programs in the place of those that run, also with other maps, and no packet is lost
#
#	dc (srv1) ---- core ---- mn (v4), cn (v4b)	ntmd of mn is replaced while datagrams go both ways
#
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

LAYOUT=$(awk '$2 == "NTM_MAPS_LAYOUT" { print $3 }' "$ROOT/include/ntm/maps.h")

links() { # NAME FIELD: of its pinned links, sorted
	local link
	for link in $(ns "$1" sh -c 'ls -d /sys/fs/bpf/ntm/ntm0/link_*'); do
		ns "$1" bpftool -j link show pinned "$link"
	done | jq -sc "[.[] | if type == \"array\" then .[] else . end | .$2] | sort"
}

net_up
dc_start
NTM_ENGINE=bpf nodes_add mn=v4 cn=v4b
reaches mn "$(vip4 cn)" -W 3 >/dev/null
eventually 3 inline_is mn cn bpf

# ---- the same layout
links=$(links mn id) programs=$(links mn prog_id)
datagrams_start mn cn 200 5
datagrams_start cn mn 200 5
sleep 1
daemon_stop mn ntmd KILL
daemon_run mn ntmd
check "the new ntmd has the tunnel again" eventually 5 inline_is mn cn bpf
datagrams_end "not a datagram from mn is lost"  mn cn
datagrams_end "not a datagram to mn is lost" cn mn
check "there are links" test "$(jq length <<<"$links")" -ge 1
eq "they are the same" "$links" "$(links mn id)"
check "their programs are not" test "$programs" != "$(links mn prog_id)"
no_drops "nothing was seen twice or failed authentication at cn" cn auth replay checksum
no_drops "nor at mn" mn auth replay checksum

# ---- another layout
if [ ! -x "$NTM_BIN/ntmd-next" ]; then
	fail "ntmd-next is built" "make tests"
	exit 1
fi
eq "the pins are of this layout" "ntm0-layout$LAYOUT" "$(ns mn readlink /sys/fs/bpf/ntm/ntm0)"
datagrams_start mn cn 200 16
datagrams_start cn mn 200 16
sleep 1
daemon_stop mn ntmd KILL
nsbg mn mn-ntmd.log "$NTM_BIN/ntmd-next" -c "$WORK/mn/ntmd.conf"
DAEMON[mn-ntmd]=$SPAWNED
eventually 10 daemon_ready_or_gone mn ntmd
eq "the pins are of the other layout" ntm0-layout1000 "$(ns mn readlink /sys/fs/bpf/ntm/ntm0)"
check "the maps can be read where they were" ns mn bpftool map dump pinned /sys/fs/bpf/ntm/ntm0/ntm_ends
check "the old set is there until its paths are replaced" \
	ns mn test -e "/sys/fs/bpf/ntm/ntm0-layout$LAYOUT/ntm_vips"
check "the tunnel is new" eventually 5 inline_is mn cn bpf
check "the old set is removed" eventually 16 ns mn test ! -e "/sys/fs/bpf/ntm/ntm0-layout$LAYOUT"
check "and its helper pair" eventually 2 ns mn test ! -e /sys/class/net/ntm0s
eq "XDP is on eth0" generic "$(status mn '.interfaces[0].mode')"
datagrams_end "not a datagram from mn is lost" mn cn
datagrams_end "not a datagram to mn is lost" cn mn
before=$(tunnel mn cn .rx_inline_packets)
ns mn ping -q -i 0.01 -c 20 "$(vip4 cn)" >/dev/null
eq "the new programs open packets" $((before + 20)) "$(tunnel mn cn .rx_inline_packets)"
no_drops "nothing was seen twice or failed authentication at cn" cn auth replay checksum
no_drops "nor at mn" mn auth replay checksum
check "detach" ns mn ntmctl detach
nothing_pinned "nothing is left of either" mn
