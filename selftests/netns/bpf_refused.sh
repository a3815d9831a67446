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

# ---- a second ntmd with the same pin-dir; it may be in another container, with sockets and a state of its own
twin() { # ENGINE LOG
	mkdir -p "$WORK/twin"
	sed "s|^fqdn = .*|fqdn = twin.$ZONE|; s|^device = .*|device = ntm1|; s|^control-socket = .*|control-socket = $WORK/twin/sock|
		s|^state-dir = .*|state-dir = $WORK/twin|; s|^engine = .*|engine = $1|; s|^listen = 127.*|listen = 127.0.0.56:53|" \
		"$WORK/mn/ntmd.conf" >"$WORK/twin/ntmd.conf"
	ns mn timeout 2 "$NTM_BIN/ntmd" -c "$WORK/twin/ntmd.conf" >"$WORK/$2" 2>&1 || :
}
still_bpf() { inline_is mn cn bpf && reaches mn "$(vip4 cn)"; }

twin bpf twin.log
check "another ntmd does not get this one's pins" grep -qF "another ntmd has its BPF programs at" "$WORK/twin.log"
twin auto twin.log
check "with engine = auto its user engine carries on" grep -q "no BPF engine: another ntmd .*user engine" "$WORK/twin.log"
twin user twin.log
check "and with engine = user it removes nothing" still_bpf
eq "nor does ntmctl that does not find the ntmd" \
	"ntmctl: an ntmd runs that has its BPF programs at /sys/fs/bpf/ntm/ntm0: name its control socket with --socket" \
	"$(ns mn ntmctl --socket "$WORK/twin/sock" detach 2>&1 || :)"
check "all goes on" still_bpf
daemon_stop mn ntmd KILL
ns mn ntmctl detach >/dev/null
nothing_pinned "once it is dead they can be removed" mn
