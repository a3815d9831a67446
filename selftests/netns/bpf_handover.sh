#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: BPF keeps the inline lane through moves, new keys, a dead relay and a new tunnel; nothing comes twice
#
#	dc (srv1), rs1 (srv2), rs2 (srv3) ---- core ---- mn: [NAT] nat1, v6, nat1 again, v4, v6
#	                                        |------- cn: dual, v4b, dual2
#	                                        |------- k1 (v4b), k2 (v4)
#	                                        |------- [hard NAT] h1 (hard1)		h1 - h2: by a relay
#	                                        '------- [hard NAT] h2 (hard2)
#
# Each pair has a stream of small datagrams both ways, mn and cn have TCP both ways as well. All have
# rekey-after = 2.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bpf.sh"

PPS=500
declare -A OUT=([mn]=7300 [k1]=7302 [h1]=7304) # the way back: one more
declare -A PEER=([mn]=cn [k1]=k2 [h1]=h2)

pair_start() { # FROM TO
	stream_start "$1" "$2" "$(vip4 "$2")" "${OUT[$1]}" $PPS 90
	stream_start "$2" "$1" "$(vip6 "$1")" $((OUT[$1] + 1)) $PPS 90
}

both_inline() { inline_is "$1" "$2" bpf && inline_is "$2" "$1" bpf; }

# Both ends receive inline: from now on.
both_come() { # FROM TO
	local one two
	one=$(lane "$1" "$2" rx inline) two=$(lane "$2" "$1" rx inline)
	echo "$one of more than $COME_ONE, $two of more than $COME_TWO"
	[ "$one" -gt "$COME_ONE" ] && [ "$two" -gt "$COME_TWO" ]
}
comes_again() { # SENTENCE FROM TO MS: and was silent for at most so long since MOVED_DOWN
	local up down
	sleep 0.05 # what was on its way
	COME_ONE=$(($(lane "$2" "$3" rx inline) + 25)) COME_TWO=$(($(lane "$3" "$2" rx inline) + 25))
	check "$1: packets come inline both ways" eventually 3 both_come "$2" "$3"
	check "$1: BPF has the inline lane at both ends" eventually 3 both_inline "$2" "$3"
	up=$(stream_gap_since "${OUT[$2]}" "$MOVED_DOWN")
	down=$(stream_gap_since $((OUT[$2] + 1)) "$MOVED_DOWN")
	check "$1: silent for $up ms and $down ms, at most $4" test "$up" -le "$4" -a "$down" -le "$4"
}

# Data that passes the core, to or from one of these addresses, and all.
old_packets() { # gone|every
	ns core nft -j list counter inet old "$1" | jq '[.nftables[].counter.packets // empty] | add'
}
nothing_to() { # SENTENCE ADDRESS...
	local sentence=$1 address family rules="" data='meta l4proto udp @th,64,8 & 0xf0 == 0x80 counter name'
	shift
	for address; do
		family=ip
		[[ $address != *:* ]] || family=ip6
		rules+="$family daddr $address $data gone"$'\n'"$family saddr $address $data gone"$'\n'
	done
	sleep 0.2 # the other end has its answer, too
	ns core nft -f - <<-RULES
	table inet old {
		counter every { }
		counter gone { }
		chain forward {
			type filter hook forward priority filter;
			$data every
			$rules
		}
	}
	RULES
	sleep 0.4
	check "$sentence: data passes" test "$(old_packets every)" -gt $((PPS / 5))
	eq "$sentence: none of it to or from the old address" 0 "$(old_packets gone)"
	ns core nft delete table inet old
}

tcp_goes_on() { # SENTENCE
	SEEN=$(flow_offset 7100)
	check "$1: TCP goes on within 2 s" eventually 2 tcp_advances
}
tcp_advances() { [ "$(flow_offset 7100)" -gt "$SEEN" ]; }

moves() { # SENTENCE ROUTE CMD...; OLD: what was left
	local sentence=$1 route=$2
	shift 2
	"$@"
	comes_again "$sentence" mn cn 1500
	check "$sentence: the route is $route" eventually 5 route_is mn cn "$route"
	tcp_goes_on "$sentence"
	# shellcheck disable=SC2086 # one or more
	nothing_to "$sentence" $OLD
}
both_move() { host_move mn v4; host_move cn dual2; }

# So long that TCP has waited for its timer several times. It does not have to for the next time.
is_away() { # NET
	local port gap
	host_detach mn eth0
	sleep 1.7
	host_attach mn "$1" eth0 100
	sleep 0.5
	for port in 7100 7101; do
		gap=$(awk -v t="$MOVED_ADDRESS" \
			'$1 == "gap" && $3 - $2 > 1 { ms = int(($3 - t) * 1000) } END { print ms }' \
			"$WORK/flow-$port.log")
		check "away for a moment: TCP $port goes on within 250 ms of the address (${gap:-never})" \
			test "${gap:-1000}" -le 250
	done
}

relay_of() { tunnel h1 h2 .relay | cut -d . -f 1; }
relayed_by() { # RELAY
	[ "$(tunnel h1 h2 '"\(.relay) \(.state)"')" = "$1.$ZONE up" ] &&
		[ "$(tunnel h2 h1 '"\(.relay) \(.state)"')" = "$1.$ZONE up" ]
}
# XDP would go on without ntm-rs: this is a machine that stops relaying.
relay_dies() {
	MOVED_DOWN=$EPOCHREALTIME
	daemon_stop "$1" ntm-rs KILL
	ns "$1" ntm-rs -c "$WORK/$1/ntm-rs.conf" --detach
}

net_up
for net in v6 dual2; do access_make $net; done
dc_start rs1 rs2
rs_start rs1
rs_start rs2
NTM_ENGINE=bpf NODE_LINES="rekey-after = 2" nodes_add mn=nat1 cn=dual k1=v4b k2=v4 h1=hard1 h2=hard2
strict mn cn k1 k2 h1 h2
for a in mn k1 h1; do
	b=${PEER[$a]}
	reaches $a "$(vip4 "$b")" -W 4 >/dev/null
	check "$a and $b: BPF has the inline lane" eventually 4 both_inline $a "$b"
done
check "mn and cn: the route is direct" eventually 4 route_is mn cn direct
check "h1 and h2: it is the relay's" eventually 4 route_is h1 h2 relay
monitor_start k1
for a in mn k1 h1; do pair_start $a "${PEER[$a]}"; done
flow_start mn cn "$(vip4 cn)" 7100 50 90
flow_start mn cn "$(vip6 cn)" 7101 50 90 serve
begun=$EPOCHREALTIME

# ---- moves
OLD=$(host_outside4 mn)
moves "from behind a NAT to IPv6 only" direct host_move mn v6
OLD=$(host_addr6 mn)
moves "back behind the NAT" direct host_move mn nat1
OLD="$(host_addr4 cn) $(host_addr6 cn)"
moves "the peer moves" direct host_move cn v4b
OLD="$(host_outside4 mn) $(host_addr4 cn)"
moves "both move" direct both_move
is_away v6

# ---- the relay dies
first=$(relay_of)
if [ "$first" = rs1 ]; then other=rs2; else other=rs1; fi
relay_dies "$first"
check "$first dies: both ends use $other within 5 s" eventually 5 relayed_by $other
comes_again "$first dies" h1 h2 2000
OLD="$(host_addr4 "$first") $(host_addr6 "$first")"
# shellcheck disable=SC2086 # two
nothing_to "$first dies" $OLD

# ---- keys
stream_end "${OUT[k1]}"
eq "through all the new keys: of $SENT datagrams none is lost, none came twice, none was overtaken" "0 0 0" \
	"$LOST $DUPLICATE $REORDERED"
sent=$SENT
stream_end $((OUT[k1] + 1))
eq "and none of $SENT the other way" "0 0 0" "$LOST $DUPLICATE $REORDERED"
seconds=$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", b - a }')
changes=$(monitored k1 'select(.event == "keys_changed") | .event' | wc -l)
check "there were $changes new keys in $seconds s" test "$changes" -ge $((seconds / 4))
check "they went inline" test "$(lane k1 k2 tx inline)" -ge $((sent * 9 / 10))

# ---- a tunnel is closed, and made anew by what is sent
id=$(tunnel mn cn .path_id)
MOVED_DOWN=$EPOCHREALTIME
ns mn ntmctl tunnel close cn.$ZONE >/dev/null
other_path() { [ "$(tunnel mn cn .path_id)" != "$id" ] && [ "$(tunnel mn cn .state)" = up ]; }
check "closed: there is another tunnel within 3 s" eventually 3 other_path
comes_again "closed" mn cn 1500
tcp_goes_on "closed"

for a in mn h1; do
	for port in ${OUT[$a]} $((OUT[$a] + 1)); do
		stream_end "$port"
		eq "stream $port ($SENT, $LOST lost): nothing came twice" 0 "$DUPLICATE"
	done
done
flow_end "every byte from mn to cn arrived, in one connection" 7100
flow_end "every byte from cn to mn arrived, in one connection" 7101
for name in mn cn k1 k2 h1 h2; do
	no_drops "nothing failed at $name" $name auth checksum inner_source phase_unknown
	programs=$(ns $name bpftool -j net | jq -r '.[].xdp[].devname')
	check "its interface has the programs" test -n "$programs"
done
