#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: where the kernel refuses BPF ntmd says why, and the user engine carries on unless engine = bpf
#
#	dc (srv1) ---- core ---- mn, cn (v4, v4b)
#
# More that cannot be (no BPF file system, somebody else's pins, too many paths) is in bpf_datapath.sh.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

NO_PERMISSION="setpriv --bounding-set=-bpf,-sys_admin,-perfmon"
NO_BPF="$NTM_BIN/nobpf all"
NO_PROGRAMS="$NTM_BIN/nobpf load"

engine_set() { sed -i "s/^engine = .*/engine = $1/" "$WORK/mn/ntmd.conf"; }

carries_on() { # SENTENCE HOW WHY: by `status`
	local why
	engine_set auto
	rm -f "$WORK/refused.log"
	# shellcheck disable=SC2086 # a command
	nsbg mn refused.log $2 "$NTM_BIN/ntmd" -c "$WORK/mn/ntmd.conf"
	eventually 5 nodes_registered mn
	why=$(status mn .engine_why)
	eq "$1: the user engine is there" user "$(status mn .engine)"
	check "$1: the status says why ($why)" grep -qF "$3" <<<"$why"
	eq "$1: the log says so once, in one line" 1 "$(grep -cF "$3" "$WORK/refused.log")"
	check "$1: and it reaches its peer" eventually 5 reaches mn "$(vip4 cn)"
	eq "$1: cn's BPF has the tunnel, mn's user engine has" "bpf user" \
		"$(tunnel cn mn .engine) $(tunnel mn cn .engine)"
	nothing_pinned "$1: nothing is pinned or attached" mn
	end_pids "$SPAWNED"
}

starts_not() { # SENTENCE HOW WHY
	local status=0
	engine_set bpf
	# shellcheck disable=SC2086 # a command
	ns mn timeout 5 $2 "$NTM_BIN/ntmd" -c "$WORK/mn/ntmd.conf" >"$WORK/refused.log" 2>&1 || status=$?
	eq "$1: with engine = bpf the daemon ends with exit status 2" 2 $status
	eq "$1: and says why, once" 1 "$(grep -cF "$3" "$WORK/refused.log")"
}

net_up
dc_start
NTM_ENGINE=bpf nodes_add mn=v4 cn=v4b
daemon_stop mn ntmd
ns mn ntmctl detach >/dev/null

carries_on "no permission" "$NO_PERMISSION" "no permission to load BPF programs"
starts_not "no permission" "$NO_PERMISSION" "no permission to load BPF programs"
carries_on "a kernel without BPF" "$NO_BPF" "this kernel has no BPF"
starts_not "a kernel without BPF" "$NO_BPF" "this kernel has no BPF"
carries_on "a kernel that refuses the programs" "$NO_PROGRAMS" "this kernel does not take the BPF programs"
starts_not "a kernel that refuses the programs" "$NO_PROGRAMS" "this kernel does not take the BPF programs"

daemon_run mn ntmd
eventually 5 reaches mn "$(vip4 cn)" -W 2 >/dev/null
check "and where nothing is refused BPF has the tunnel" eventually 5 inline_is mn cn bpf
