#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a pinned key is the only one taken, and a key that changes is reported loudly, once
#
#	dc (srv1) ---- core ---- mn (v4), cn (v4b)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

warnings() { grep -c "THE KEY OF cn.$ZONE HAS CHANGED" "$WORK/mn-ntmd.log" || :; }
mn_again() { # [LINE...]: mn with these lines in its configuration
	daemon_stop mn ntmd
	node_start mn mn.$ZONE "$@"
	eventually 5 nodes_registered mn
}
pin() { printf '%s\n' "[pin \"cn.$ZONE\"]" "public-key = $1"; }

net_up
dc_start
public_key other >/dev/null
nodes_add mn=v4 cn=v4b

# ---- the first key is taken and kept
check "a key seen for the first time is taken" reaches mn cn.$ZONE -W 4
eq "without a warning" 0 "$(warnings)"
check "it is kept in state-dir" grep -qF "cn.$ZONE $(public_key cn)" "$WORK/mn/lib/peers"
check_not "where nobody else reads it" test -n "$(find "$WORK/mn/lib/peers" -perm /077)"

# ---- pins
mn_again "$(pin "$(public_key cn)")"
check "the pinned key is taken" reaches mn cn.$ZONE -W 4
mn_again "$(pin "$(public_key other)")"
monitor_start mn
refusal=$(ns mn dig +time=4 +tries=1 @127.0.0.54 cn.$ZONE A)
check "with another key pinned, the name is answered with SERVFAIL" grep -q 'status: SERVFAIL' <<<"$refusal"
check "and why: $(sed -n 's/^; EDE: //p' <<<"$refusal")" grep -qi 'EDE: 22.*key' <<<"$refusal"
check_not "no packet gets through" reaches mn "$(vip4 cn)"
check_not "the other way round neither" reaches cn mn.$ZONE -W 3
eq "there is no tunnel at mn" 0 "$(tunnels mn length)"
eq "nor at cn" 0 "$(tunnels cn 'map(select(.state == "up")) | length')"
check "monitor tells of it" grep -q peer_key_refused "$WORK/mn-monitor.log"
check "so does the log" grep -q "refused a tunnel with cn.$ZONE" "$WORK/mn-ntmd.log"

# ---- a key that changes
mn_again
check "without a pin it works again" reaches mn cn.$ZONE -W 4
daemon_stop cn ntmd
ns dc ntmctl dc node del cn.$ZONE >/dev/null
rm "$WORK/cn.key" "$WORK/cn.pub"
ns dc ntmctl dc node add cn.$ZONE "$(public_key cn)" >/dev/null
daemon_run cn ntmd
eventually 5 nodes_registered cn
check "cn comes back with another key, and is reached" eventually 6 reaches mn cn.$ZONE -W 3
eq "mn's log says so, once" 1 "$(warnings)"
mn_again
check "after a restart it is reached" reaches mn cn.$ZONE -W 4
eq "and the warning is not repeated" 1 "$(warnings)"
