#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the kernel goes on while ntmd is dead: no packet of the inline lane is lost, bulk TCP goes inline, and comes back to its lane
#
#	dc (srv1) ---- core ---- mn (v4), cn (v4b)
#
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

mbit() { jq '.end.sum_received.bits_per_second / 1e6 | floor' "$1"; }

net_up
dc_start
NTM_ENGINE=bpf nodes_add mn=v4 cn=v4b
reaches mn "$(vip4 cn)" -W 3 >/dev/null
eventually 3 inline_is mn cn bpf
eventually 3 inline_is cn mn bpf
id=$(tunnel mn cn .path_id)
vip4_cn=$(vip4 cn)

# ---- small packets, killed and started at one end, then at the other, then stopped properly
datagrams_start mn cn 200 12
datagrams_start cn mn 100 12
sleep 1
daemon_stop mn ntmd KILL
sleep 1
daemon_run mn ntmd
check "killed and started, ntmd of mn has a tunnel again" eventually 5 inline_is mn cn bpf
check "it is a new one" test "$(tunnel mn cn .path_id)" != "$id"
daemon_stop cn ntmd KILL
sleep 1
daemon_run cn ntmd
check "killed and started, so has the one of cn" eventually 5 inline_is cn mn bpf
start=$(now_ms)
daemon_stop mn ntmd TERM
took=$(($(now_ms) - start))
eq "ntmd ends well by TERM" 0 "$STATUS"
check "within 2 s ($took ms)" test "$took" -lt 2000
check "what is pinned stays" ns mn test -e /sys/fs/bpf/ntm/ntm0/ntm_ends
daemon_run mn ntmd
check "stopped and started, too" eventually 5 inline_is mn cn bpf
datagrams_end "not one of the datagrams from mn is lost" mn cn
datagrams_end "not one of the datagrams to mn is lost" cn mn
no_drops "nothing was seen twice or failed authentication at mn" mn auth replay checksum
no_drops "nor at cn" cn auth replay checksum

# ---- bulk
nsbg cn iperf.log iperf3 -s
eventually 3 accepting cn 5201
ns mn iperf3 -J -t 2 -c "$vip4_cn" >"$WORK/alive.json"
flow_start mn cn "$vip4_cn" 7100 2000 30
bulk=$(lane mn cn tx bulk)
check "bulk TCP is in the bulk lane" test "$bulk" -gt 5000
daemon_stop mn ntmd KILL
inline=$(state mn tx_packets)
ns mn iperf3 -J -t 2 -c "$vip4_cn" >"$WORK/dead.json"
check "with ntmd of the sender dead TCP goes on: $(mbit "$WORK/dead.json") Mbit/s, $(mbit "$WORK/alive.json") before" \
	test "$(mbit "$WORK/dead.json")" -gt 100
check "inline" test "$(($(state mn tx_packets) - inline))" -gt 5000
eq "a packet that is too big is answered without ntmd" 1 \
	"$(ns mn ping -c 1 -W 1 -M "do" -s 1472 "$vip4_cn" 2>&1 | grep -ciE 'too long|frag needed')"
daemon_run mn ntmd
eventually 5 inline_is mn cn bpf
daemon_stop cn ntmd KILL
sleep 1.5 # the sender waits so long for the other daemon's word
ns mn iperf3 -J -t 2 -c "$vip4_cn" >"$WORK/dead.json"
check "with ntmd of the receiver dead, too: $(mbit "$WORK/dead.json") Mbit/s" test "$(mbit "$WORK/dead.json")" -gt 100
daemon_run cn ntmd
eventually 8 inline_is cn mn bpf
sleep 0.3
bulk=$(lane mn cn tx bulk)
ns mn iperf3 -J -t 1 -c "$vip4_cn" >"$WORK/again.json"
check "with both back, bulk is back in its lane ($(mbit "$WORK/again.json") Mbit/s)" \
	test "$(($(lane mn cn tx bulk) - bulk))" -gt 5000
flow_end "a TCP stream through all of it lost nothing" 7100
no_drops "nothing failed authentication at mn" mn auth checksum
no_drops "nothing failed authentication at cn" cn auth checksum

# ---- without ntmd for good
daemon_stop mn ntmd KILL
check "applications still reach the peer" reaches mn "$vip4_cn"
check "ntmctl detaches without ntmd" ns mn ntmctl detach
nothing_pinned "nothing is left" mn
check_not "once more: there is nothing" ns mn ntmctl detach

# ---- what ended ntmd also took the helper pair, and it cannot be made again
daemon_run mn ntmd
eventually 5 nodes_registered mn
eventually 8 reaches mn "$vip4_cn"
check "BPF has the tunnel" eventually 5 inline_is mn cn bpf
daemon_stop mn ntmd KILL
nsip mn link del dev ntm0s
nsip mn link add ntm0s type bridge
sed -i 's/^engine = .*/engine = auto/' "$WORK/mn/ntmd.conf"
daemon_run mn ntmd
check "it says why BPF does not" grep -qF "another device has that name" <<<"$(status mn .engine_why)"
eq "the programs of the earlier one are gone" "" "$(ns mn sh -c 'ls /sys/fs/bpf/ntm')"
check "the user engine reaches the peer" eventually 8 reaches mn "$vip4_cn"
nsip mn link del dev ntm0s
daemon_stop mn ntmd
sed -i 's/^engine = .*/engine = bpf/' "$WORK/mn/ntmd.conf"

# ---- keys of a tunnel that is closed do not outlast ntmd
keys_dropped() { # NAME: those that nobody uses
	ns "$1" bpftool -j map dump pinned /sys/fs/bpf/ntm/ntm0/ntm_keys |
		jq '[.[].formatted.value | select(.tag == 0 and (.send + .receive | add) != 0)] | length'
}
keys_used() {
	ns "$1" bpftool -j map dump pinned /sys/fs/bpf/ntm/ntm0/ntm_keys |
		jq '[.[].formatted.value | select(.tag != 0)] | length'
}
daemon_run mn ntmd
eventually 5 nodes_registered mn
eventually 8 reaches mn "$vip4_cn"
check "BPF has the tunnel again" eventually 5 inline_is mn cn bpf
check "with keys" test "$(keys_used mn)" -ge 1
ns mn ntmctl tunnel close cn.$ZONE >/dev/null
check "for a moment they are there" test "$(keys_dropped mn)" -ge 1
daemon_stop mn ntmd TERM
eq "then they are wiped" "0 0" "$(keys_used mn) $(keys_dropped mn)"

# ---- a crash in the middle of attaching: what is pinned is not complete
daemon_run mn ntmd
eventually 5 nodes_registered mn
daemon_stop mn ntmd KILL
ns mn rm /sys/fs/bpf/ntm/ntm0
sed -i 's/^engine = .*/engine = user/' "$WORK/mn/ntmd.conf"
daemon_run mn ntmd
nothing_pinned "what a crash left half made is removed at the next start" mn
eq "the user engine does it" user "$(status mn .engine)"
check "it reaches the peer" eventually 8 reaches mn "$vip4_cn"
