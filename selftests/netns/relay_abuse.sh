#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: floods and forgeries at a relay gain nothing: nothing is amplified or reflected, all is counted, and control goes on
#
#	dc (srv1), rs1 (srv2) ---- core ---- a, c to i (v4)		each to b: by rs1
#	                             |------ b (v6)
#	                             |------ victim (dual)
#	                             '------ evil (v4b): may forge any source
#
# In user space, and as `auto` chooses. What enters and leaves rs1 is counted at its router.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

PPS=20000
SECONDS_EACH=1.5

drops() { # REASON...: their sum at the relay
	local reason filter=0
	for reason; do filter+=" + (.drops.$reason // 0)"; done
	ns rs1 ntmctl -j rs stats | jq "$filter"
}
xdp_drops() { ns rs1 ntmctl -j rs stats | jq ".xdp_drops.$1 // 0"; } # REASON
relay_bytes() { # "IN OUT"
	local net port
	read -r net port <<<"${PORT[rs1.eth0]}"
	nsip "r-$net" -j -s link show dev "$port" | jq -r '.[0].stats64 | "\(.tx.bytes) \(.rx.bytes)"'
}
flood() { # HEAD SIZE [OPTION...]: from evil, in the background: $FLOOD, log flood.log
	rm -f "$WORK/flood.log"
	nsbg evil flood.log "$NTM_BIN/udpload" send "$(host_addr4 rs1)" 6866 "$2" $SECONDS_EACH $PPS head="$1" "${@:3}"
	FLOOD=$SPAWNED
}
flood_wait() { # sets SENT
	eventually 10 not_alive "$FLOOD"
	read -r _ SENT _ <"$WORK/flood.log"
	sleep 0.2
}
heard() { # HOST: packets that it got from the relay, Keep Alives not counted
	ns "$1" nft -j list counter inet abuse from_relay | jq '[.nftables[] | .counter? // empty | .packets][0]'
}
count_from_relay() { # HOST
	ns "$1" nft -f - <<-RULES
	table inet abuse {
		counter from_relay { }
		chain input {
			type filter hook input priority filter;
			ip saddr $(host_addr4 rs1) udp sport 6866 counter name from_relay
			ip6 saddr $(host_addr6 rs1) udp sport 6866 counter name from_relay
		}
	}
	RULES
}

attack() { # SENTENCE REASONS HEAD SIZE [OPTION...]; REASONS: under which nearly all must be counted
	local sentence=$1 reasons=$2 before in0 out0 in1 out1 counted victim0
	# shellcheck disable=SC2086 # words
	before=$(drops $reasons)
	victim0=$(heard victim)
	read -r in0 out0 <<<"$(relay_bytes)"
	flood "${@:3}"
	[ -z "$MEANWHILE" ] || $MEANWHILE "$sentence"
	flood_wait
	read -r in1 out1 <<<"$(relay_bytes)"
	# shellcheck disable=SC2086
	counted=$(($(drops $reasons) - before))
	check "$sentence: $counted of $SENT are counted as ${reasons// / or }" test "$counted" -ge $((SENT * 9 / 10))
	check "$sentence: no more leaves than came ($((out1 - out0)) of $((in1 - in0)) bytes)" \
		test $((out1 - out0)) -le $((in1 - in0))
	eq "$sentence: the victim hears nothing" "$victim0" "$(heard victim)"
}

# Nobody but the flood may be disturbed: control and a tunnel that is there already.
NEXT_NODE=(c d e f g h i)
new_tunnel() { # SENTENCE
	local name=${NEXT_NODE[0]}
	NEXT_NODE=("${NEXT_NODE[@]:1}")
	check "$1: a tunnel can be set up meanwhile" reaches "$name" b.$ZONE -W 4
	check "$1: by the relay" eventually 2 route_is "$name" b relay
	check "$1: ntmctl is answered meanwhile" timeout 2 nsenter --target="${HOLDER[rs1]}" --mount --net ntmctl -j rs status
}
old_tunnel() { # SENTENCE
	local received
	received=$(ns a ping -q -i 0.02 -c 40 -W 1 "$(vip6 b)" | sed -n 's/.* \([0-9]*\) received.*/\1/p') || :
	check "$1: the tunnel that is there goes on ($received of 40)" test "${received:-0}" -ge 38
}

# Without XDP: more unknown Path IDs than the threads can look up, since they get only what others leave of the CPUs.
# Their sockets overflow; but what sets up a tunnel comes by others.
outrun() {
	local name=${NEXT_NODE[0]} task id overruns floods=()
	NEXT_NODE=("${NEXT_NODE[@]:1}")
	for task in /proc/"$(daemon_pid rs1 ntm-rs)"/task/*; do
		case $(cat "$task/comm") in ntm-rs/*) renice -n 19 -p "${task##*/}" >/dev/null ;; esac
	done
	overruns=$(drops socket_overrun)
	for id in deadbeefdeadbeee deadbeefdeadbeef; do # for different threads
		nsbg evil "flood-$id.log" "$NTM_BIN/udpload" send "$(host_addr4 rs1)" 6866 64 8 0 "head=8000000000000001$id"
		floods+=("$SPAWNED")
	done
	sleep 1
	nsbg "$name" new-ping.log ping -q -i 0.2 -w 6 b.$ZONE
	check "user, unknown Path IDs, too many for its threads: a tunnel can be set up meanwhile" \
		eventually 6 route_is "$name" b relay
	end_pids "${floods[@]}"
	sleep 0.2
	overruns=$(($(drops socket_overrun) - overruns))
	check "user: $overruns of them were lost before a thread saw them" test "$overruns" -ge 1000
}

abuse() { # MODE
	local id leg port before answers
	check "$1: a reaches b" eventually 12 reaches a b.$ZONE -W 1
	eventually 3 route_is a b relay
	id=$(tunnel a b .path_id)
	leg=$(ns rs1 ntmctl -j rs tunnel list | jq -r ".[] | select(.path_id == \"$id\") | .leg0")
	port=$(host_addr4 victim):7000
	MEANWHILE=new_tunnel
	attack "$1, unknown Path IDs" "path_unknown rate socket_overrun" 8000000000000001deadbeefdeadbeef 200
	# 72 bytes; kind REQUEST, side 0, no MAC
	attack "$1, binds with a wrong MAC" "auth rate socket_overrun" "0800000000000001${id}0000" 72
	before=$(xdp_drops path_unknown)
	attack "$1, binds of unknown Path IDs" "path_unknown socket_overrun" 0800000000000001deadbeefdeadbeef0000 72
	[ "$1" = user ] || check "$1, binds of unknown Path IDs: XDP drops them" \
		test $(($(xdp_drops path_unknown) - before)) -ge $((SENT * 9 / 10))
	MEANWHILE=old_tunnel
	attack "$1, sessions nobody knows" "session_unknown socket_overrun" 0400000000000001deadbeefdeadbeef 200
	before=$(xdp_drops rate)
	attack "$1, echoes" "rate socket_overrun" 09000000000000010000000000000000 40
	[ "$1" = user ] || check "$1, echoes: XDP drops what would not be answered anyway" \
		test $(($(xdp_drops rate) - before)) -ge $((SENT / 2))
	attack "$1, a path's data from elsewhere" "source socket_overrun" "8000000000000001$id" 200
	attack "$1, the same in the victim's name" "source socket_overrun" "8000000000000001$id" 200 from="$port"
	# So the counting counts; and whoever is named is told of an unknown ID, but not at every packet.
	before=$(heard victim)
	flood 8000000000000001deadbeefdeadbeef 200 from="$port"
	flood_wait
	answers=$(($(heard victim) - before))
	check "$1, unknown Path IDs in the victim's name: a few short answers ($answers)" \
		test "$answers" -ge 1 -a "$answers" -le 40
	attack "$1, a leg's own packets reflected" "side socket_overrun" "8200000000000001$id" 200 from="$leg"
	MEANWHILE=
	attack "$1, unknown types" "type_unknown socket_overrun" "3000000000000001$id" 200
	attack "$1, too short" "short socket_overrun" "80000000" 8
	check "$1: a still reaches b" reaches a "$(vip6 b)"
	eq "$1: the leg is where it was" "$leg" \
		"$(ns rs1 ntmctl -j rs tunnel list | jq -r ".[] | select(.path_id == \"$id\") | .leg0")"
}

net_up
dc_start rs1
RS_CONFIG=$'[datapath]\nxdp = off' rs_start rs1
nodes_add a=v4 b=v6 c=v4 d=v4 e=v4 f=v4 g=v4 h=v4 i=v4
host_add evil v4b
host_add victim dual
count_from_relay victim
abuse user
outrun
daemon_stop rs1 ntm-rs
RS_CONFIG=$'[datapath]\nxdp = auto' rs_start rs1
eventually 8 relay_up
mode=$(ns rs1 ntmctl -j rs status | jq -r .mode)
abuse "auto ($mode)"
for name in a b; do no_drops "nothing failed authentication at $name" "$name" auth inner_source; done
