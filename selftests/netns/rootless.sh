#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: an ordinary user's command is on the overlay by `ntmctl run`, with names, handover, signals, and no privilege
#
#	dc (srv1), rs1 (srv2) ---- core ---- dual, nat1, v6: u, where user 12345 does `ntmctl run -- COMMAND`
#	                            |
#	                            '------- dual2: cn, a node as usual
#
# The command is in namespaces of its own; its ntmd is outside, in u, as the same user. The user's node is rn.ntm.example,
# a second one of the user is rn2.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

USER_ID=12345
NC_PORT=7200 UP=7201 DOWN=7202

net_up
chmod 711 "$WORK"
dc_start rs1
rs_start rs1
nodes_add cn=dual2
host_add u dual

# The build may lie where only root may look; the same for /dev/net/tun, which udev gives to everyone.
mkdir -m 755 "$WORK/bin"
install -m 755 "$NTM_BIN/ntmctl" "$NTM_BIN/ntmd" "$NTM_BIN/flow" "$WORK/bin"
mknod -m 600 "$WORK/tun" c 10 200
ns u mount --bind "$WORK/tun" /dev/net/tun
HOME_OF=$WORK/home
mkdir -m 700 "$HOME_OF" "$HOME_OF/run" "$HOME_OF/.config" "$HOME_OF/.config/ntm"

user_config() { # NAME FILE: a node of the user
	member_add "$1.$ZONE" "$(public_key "$1")"
	cp "$WORK/$1.key" "$HOME_OF/$1.key"
	{
		printf '%s\n' "[node]" "fqdn = $1.$ZONE" "private-key-file = $HOME_OF/$1.key" \
			"control-socket = /run/ntm/ntmd.sock" "state-dir = /var/lib/ntm" "[dc]"
		node_dc_section
		printf '%s\n' "[dns]" "mode = resolv.conf" "upstream = $DC_ADDR4"
	} >"$2"
	chown -R $USER_ID:$USER_ID "$HOME_OF"
}
user_config rn "$HOME_OF/.config/ntm/ntmd.conf"
user_config rn2 "$HOME_OF/rn2.conf"

AS_USER=(setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups env --default-signal=INT -u NTM_CONTROL_SOCKET "HOME=$HOME_OF"
	"XDG_RUNTIME_DIR=$HOME_OF/run" "PATH=$WORK/bin:$PATH" "ASAN_OPTIONS=${ASAN_OPTIONS-}")
user() { ns u "${AS_USER[@]}" "$@"; }
userbg() { # LOG CMD...
	local log=$1
	shift
	nsbg u "$log" "${AS_USER[@]}" "$@"
}
run() { user ntmctl run -- "$@"; }
status_of() { # CMD...: its exit status in $STATUS, what it says in $SAID
	if SAID=$("$@" 2>&1); then STATUS=0; else STATUS=$?; fi
	echo "$SAID" >>"$WORK/said.log" # for what a sanitizer may have found
}
says() { # SENTENCE PATTERN
	if grep -qE "$2" <<<"$SAID"; then ok "$1"; else fail "$1" "$SAID"; fi
}
user_processes() { pgrep -u $USER_ID -a || :; }

# ---- what may be in the way
status_of run true
eq "without access to /dev/net/tun it fails" 125 "$STATUS"
says "and says what to do" 'no permission to open /dev/net/tun.*chmod 666'
chmod 666 "$WORK/tun"
status_of user unshare --user --map-root-user sh -c 'sysctl -qw user.max_user_namespaces=0 && exec ntmctl run -- true'
eq "without user namespaces it fails" 125 "$STATUS"
says "and says which setting is in the way, and what to do" \
	'switched off.*user.max_user_namespaces = 0.*sysctl -w user.max_user_namespaces='
status_of user env HOME=/nonexistent ntmctl run -c "$HOME_OF/rn2.conf" -- true
eq "without a place for its state it fails" 125 "$STATUS"
status_of user ntmctl run -c "$HOME_OF/none.conf" -- true
eq "without its configuration it fails" 125 "$STATUS"
says "and says what ntmd said" 'none.conf: cannot open'
status_of user env XDG_CONFIG_HOME="$HOME_OF/none" ntmctl run -- true
eq "without any configuration it fails" 125 "$STATUS"
says "and says where one belongs" "neither $HOME_OF/none/ntm/ntmd.conf nor"
status_of user ntmctl run
eq "without a command it is wrong usage" 2 "$STATUS"

# ---- the command and what it sees
eq "it is the user" "$USER_ID $USER_ID" "$(run sh -c 'echo $(id -u) $(id -g)')"
eq "it has no capability" 0000000000000000 "$(run awk '$1 == "CapEff:" { print $2 }' /proc/self/status)"
eq "it has lo and ntm0, and nothing else" "lo ntm0" "$(run sh -c 'cd /sys/class/net; ip -o link | cut -d: -f2 | xargs')"
VIP4=$(run sh -c 'ntmctl -j status' | jq -r .virtual4)
eq "ntmctl in it asks its ntmd" "198.18.0." "${VIP4%.*}."
check "status tells how large the socket buffers are" jq -e '.socket_buffer.receive_bytes > 0' <<<"$(run ntmctl -j status)"
eq "the virtual address is on ntm0" "$VIP4/32" "$(run sh -c 'ip -o -4 addr show ntm0' | awk '{ print $4 }')"
check "a name leads to a node: ping" run ping -c 1 -W 2 cn.$ZONE
check "by IPv6, too" run ping -6 -c 1 -W 2 cn.$ZONE
eq "dig asks the stub" "$(vip4 cn)" "$(run dig +short +tries=1 cn.$ZONE A)"
eq "by TCP, too" "$(vip6 cn)" "$(run dig +tcp +short +tries=1 cn.$ZONE AAAA)"
status_of run ping -c 1 -W 1 "$DC_ADDR4"
says "the network around is not there" 'Network is unreachable'
check_not "the resolver files outside are as they were" ns u grep -q 127.0.0.54 /etc/resolv.conf
check_not "there is no ntm0 outside" ns u ip link show ntm0

# ---- exit status and signals
status_of run sh -c 'exit 42'
eq "the exit status is the command's" 42 "$STATUS"
status_of run "$HOME_OF/nothing"
eq "127: not found" 127 "$STATUS"
status_of run "$HOME_OF/rn.key"
eq "126: cannot be executed" 126 "$STATUS"
status_of run sh -c 'kill -9 $$'
eq "a signal ends both" 137 "$STATUS"
eq "standard input and output are the command's" "through" "$(echo through | run cat)"
userbg signal.log ntmctl run -- sh -c 'trap "echo got INT" INT; trap "echo got TERM; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
SIGNALLED=$SPAWNED
eventually 10 grep -q ready "$WORK/signal.log"
kill -INT "$SIGNALLED"
check "an interrupt reaches the command" eventually 3 grep -q "got INT" "$WORK/signal.log"
kill -TERM "$SIGNALLED"
if wait "$SIGNALLED"; then STATUS=0; else STATUS=$?; fi
eq "and TERM, and the command's exit status comes back" "7 got TERM" "$STATUS $(tail -n 1 "$WORK/signal.log")"
userbg killed.log ntmctl run -- sleep 1000
KILLED=$SPAWNED
check "a sleep runs" eventually 10 user pgrep -u $USER_ID -x sleep
kill -9 "$KILLED"
wait "$KILLED" 2>/dev/null || :
none_left() { [ -z "$(user_processes)" ]; }
check "ntmctl killed: command and ntmd end, too" eventually 5 none_left

cat >"$WORK/terminal.sh" <<'SCRIPT'
trap : INT
ntmctl run -- sh -c 'trap "echo the command has it; exit 9" INT; echo ready; while :; do sleep 0.1; done'
echo "it ended with $?"
SCRIPT
chmod 644 "$WORK/terminal.sh"
printf 'exec %s "$@"\n' "${AS_USER[*]}" >"$WORK/user.sh" # socat has its own ideas of colons
mkfifo "$WORK/keys"
nsbg u terminal.log socat "GOPEN:$WORK/keys,rdonly!!STDOUT" "EXEC:sh $WORK/user.sh sh $WORK/terminal.sh,pty,setsid,ctty,stderr"
exec 9<>"$WORK/keys"
eventually 10 grep -q ready "$WORK/terminal.log"
printf '\003' >&9
check "Ctrl-C in a terminal is for the command, once" eventually 5 grep -q "it ended with 9" "$WORK/terminal.log"
eq "and ntmd ends after it" 1 "$(grep -c 'the command has it' "$WORK/terminal.log")"
exec 9>&-
check "nothing is left of it" eventually 5 none_left

# ---- descriptors that are no good
status_of ns u sh -c "sed 's/^.dns.$/[datapath]\\ntun-fd = 7\\n[dns]/' '$HOME_OF/rn2.conf' >'$WORK/tun.conf'
	exec ntmd -c '$WORK/tun.conf' 7</dev/null"
eq "a tun-fd that is no TUN is bad configuration" 1 "$STATUS"
says "and ntmd says so" 'descriptor 7 .*tun-fd.* is no TUN'

# ---- data and two at once
head -c 3000000 /dev/urandom >"$WORK/data"
chmod 644 "$WORK/data"
nsbg cn received.log sh -c "exec nc -N -l $NC_PORT </dev/null >'$WORK/received'"
eventually 3 accepting cn $NC_PORT
run sh -c "exec nc -N -w 10 cn.$ZONE $NC_PORT" <"$WORK/data"
same() { cmp "$WORK/data" "$WORK/received"; }
check "3 MB arrive at a node as they were" eventually 5 same
userbg first.log ntmctl run -- sh -c 'echo ready; exec sleep 1000'
FIRST=$SPAWNED
eventually 10 grep -q ready "$WORK/first.log"
status_of run true
eq "the same node once more is refused" 125 "$STATUS"
says "and why" 'another ntmd uses .*rn.ntm.example: one node runs once'
status_of user ntmctl run -c "$HOME_OF/rn2.conf" -- ping -c 1 -W 2 rn.$ZONE
eq "another node of the user runs beside it, and reaches it" 0 "$STATUS"
end_pids "$FIRST"

# ---- handover: one node of the user sends, another one receives, and the machine moves
nsbg cn flow-$UP.log "$NTM_BIN/flow" receive $UP
FLOW_TO=$SPAWNED
eventually 2 accepting cn $UP
userbg flow-$UP-sent.log ntmctl run -- flow send cn.$ZONE $UP 500 60
FLOW_PIDS[$UP]="$SPAWNED $FLOW_TO"
nsbg cn flow-$DOWN-sent.log "$NTM_BIN/flow" serve $DOWN 500 60
FLOW_FROM=$SPAWNED
eventually 2 accepting cn $DOWN
userbg flow-$DOWN.log ntmctl run -c "$HOME_OF/rn2.conf" -- flow fetch cn.$ZONE $DOWN
FLOW_PIDS[$DOWN]="$FLOW_FROM $SPAWNED"
eventually 10 grep -q '^at ' "$WORK/flow-$UP.log"
eventually 10 grep -q '^at ' "$WORK/flow-$DOWN.log"

both_advance() { [ "$(flow_offset $UP)" -gt "$SEEN_UP" ] && [ "$(flow_offset $DOWN)" -gt "$SEEN_DOWN" ]; }
moves() { # SENTENCE NET
	host_move u "$2"
	sleep 0.1 # what was on its way
	SEEN_UP=$(flow_offset $UP) SEEN_DOWN=$(flow_offset $DOWN)
	check "$1: both connections go on within 3 s" eventually 3 both_advance
	sleep 1
}
moves "to IPv6 only" v6
moves "behind a NAT" nat1
flow_end "every byte from the user's node arrived, in one connection" $UP
flow_end "every byte to the user's node arrived, in one connection" $DOWN

# ---- beside a node of the machine
ns u umount /dev/net/tun # root's own
node_start u u.$ZONE
eventually 10 nodes_registered u
OUTSIDE=$(vip4 u)
ns u mount --bind "$WORK/tun" /dev/net/tun
REAL=$(run sh -c 'sleep 1; ntmctl -j status' | jq -r '.real | join(" ")')
eq "the machine's real address is a way to the user's node, its virtual addresses are none" \
	"$(host_addr4 u)" "$REAL"
check "both reach each other, beside each other" run ping -c 1 -W 3 u.$ZONE
eq "the machine's device is as it was" "$OUTSIDE/32" "$(nsip u -o -4 addr show ntm0 | awk '{ print $4 }')"

# ---- the end
check "no process of the user is left" eventually 5 none_left
eq "nor a file of the runs" "" "$(find "$HOME_OF/run" ! -type d)"
eq "what is kept is the state of the nodes" "rn.$ZONE rn2.$ZONE" \
	"$(cd "$HOME_OF/.local/state/ntm" && echo *)"
no_drops "nothing failed authentication at cn" cn auth inner_source
