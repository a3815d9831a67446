#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: somebody on the way who copies, repeats or redirects packets cannot move a path, nor get its traffic sent to him
#
#	dc (srv1) ------------------- core ---------- mn (v4; later dual)
#	                               | |---- 10 ms - cn (v4b)
#	rs1 (srv2) ---- 5 ms ----------+ |---- [hard NAT] h1 (hard1)
#	                                 |---- [hard NAT] h2 (hard2)
#	                                 '---- eve (dual2)
#
# Eve sees what passes the core. She sends copies from her own address, or from others': behind the original, before it (from
# the far end of the delay), or much later. What is sent to her address is counted.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

PORT_EVE=4000
QUESTIONS=$((16 * 20 * 100)) # a path has at most 16 routes, and asks 20 times on each, in 92 bytes
CAP=$((65536 + QUESTIONS)) # 64 KiB to an address that is not proven
MITM=
mitm_start() { # DEV SRC DST [OPTION...]
	local log=mitm-$RANDOM.log
	nsbg core "$log" "$NTM_BIN/mitm" "$@"
	MITM=$SPAWNED MITM_LOG=$WORK/$log
	eventually 3 grep -q ready "$MITM_LOG"
}
mitm_end() { # sets COPIED and COPIED_BYTES
	kill "$MITM"
	eventually 3 not_alive "$MITM"
	read -r _ COPIED _ COPIED_BYTES < <(grep '^copied' "$MITM_LOG")
}
to_eve() { ns core nft -j list counter inet spy eve | jq '.nftables[] | .counter? // empty | .bytes'; }
replays() { stats "$1" '.drops.replay // 0'; }
leads_to() { [[ "$(tunnel "$1" "$2" .remote)" = "$3:"* ]]; }
begin() {
	EVE=$(to_eve) REPLAYS=$(replays cn)
	stream_start mn cn "$(vip4 cn)" 7300 1000 60
	stream_start cn mn "$(vip4 mn)" 7301 1000 60 # what eve would like to have
	flow_start mn cn "$(vip4 cn)" 7100 300 60 serve
	sleep 0.5
}
unmoved() { # SENTENCE BYTES: eve may have had so much of it
	local got
	sleep 0.3
	got=$(($(to_eve) - EVE))
	check "$1: eve was sent $got bytes, at most $2" test "$got" -le "$2"
	check "$1: cn sends to mn" eventually 2 leads_to cn mn "$(host_addr4 mn)"
	check "$1: data flows" reaches cn "$(vip4 mn)"
	for port in 7300 7301; do
		stream_end $port
		eq "$1: nothing came twice ($port)" 0 "$DUPLICATE"
	done
	flow_end "$1: every byte of the TCP connection arrived" 7100
}
copies_refused() { # SENTENCE: all copies of packets that a window guards were counted
	local counted
	counted=$(($(replays cn) - REPLAYS))
	check "$1: cn refused $counted of $COPIED copies as replays" test "$COPIED" -ge 100 -a "$counted" -ge $((COPIED * 9 / 10))
}

NTM_OFFLOADS=off # one datagram a frame
net_up
NET_DELAY_MS_v4b=10
NET_DELAY_MS_srv2=5
for net in dual v4b; do access_make $net; done
dc_start rs1
rs_start rs1
nodes_add cn=v4b mn=v4 h1=hard1 h2=hard2
host_add eve dual2
nsbg eve eve.log socat -u UDP4-RECV:$PORT_EVE OPEN:/dev/null # she does not answer, not even by ICMP
ns eve nft -f - <<-RULES
	table inet quiet {
		chain output { type filter hook output priority filter; meta l4proto icmp drop; }
	}
RULES
ns core nft -f - <<-RULES
	table inet spy {
		counter eve { }
		chain forward {
			type filter hook forward priority filter;
			ip daddr $(host_addr4 eve) counter name eve
		}
	}
RULES
reaches mn cn.$ZONE -W 4 >/dev/null
check "at first the route is direct" eventually 3 route_is mn cn direct
MN=$(host_addr4 mn) CN=$(host_addr4 cn) FAR=netns=/run/netns/$NTM_MARK-r-v4b
eve=$(host_addr4 eve)

# ---- copies behind the originals
begin
mitm_start c-v4 "$MN" "$CN" "as=$eve:$PORT_EVE" delay=2
sleep 0.7
mitm_end
copies_refused "copies from elsewhere"
unmoved "copies from elsewhere" 0

# ---- the same source, a second later
begin
mitm_start c-v4 "$MN" "$CN" delay=1000
sleep 1.6
mitm_end
copies_refused "copies a second later"
unmoved "copies a second later" 0

# ---- copies before the originals: they are authentic, and the originals are the replays
begin
mitm_start c-v4 "$MN" "$CN" "as=$eve:$PORT_EVE" "$FAR"
sleep 1.2
mitm_end
copies_refused "copies that overtake"
unmoved "copies that overtake" $CAP

# ---- and each from another port
begin
mitm_start c-v4 "$MN" "$CN" "as=$eve:5000-5999" "$FAR"
sleep 3
mitm_end
unmoved "copies that overtake, from 1000 ports" $((2 * CAP)) # one a second counts at first, then fewer

# ---- the originals are lost: eve redirects
begin
ns core nft add chain inet spy stop '{ type filter hook forward priority filter; }'
mitm_start c-v4 "$MN" "$CN" "as=$eve:$PORT_EVE" "$FAR"
ns core nft add rule inet spy stop ip saddr "$MN" ip daddr "$CN" drop
sleep 1
ns core nft flush chain inet spy stop
mitm_end
check "redirected packets: there were some ($COPIED)" test "$COPIED" -ge 100
unmoved "redirected packets" $CAP

# ---- mn moves, and eve copies the Path Updates
begin
mitm_start c-dual 198.51.100.10 "$CN" "as=$eve:$PORT_EVE" delay=2
host_move mn dual
check "mn moves: cn sends to its new address within 3 s" eventually 3 leads_to cn mn "$(host_addr4 mn)"
mitm_end
check "mn moves: there were copies ($COPIED)" test "$COPIED" -ge 3
unmoved "mn moves" $QUESTIONS

# ---- it moves back, and what it sends comes from eve first
begin
MN=198.51.100.$((NEXT[v4]))
mitm_start c-v4 "$MN" "$CN" "as=$eve:$PORT_EVE" "$FAR"
host_move mn v4
sleep 1
check "mn moves, overtaken: data flows" eventually 3 reaches mn "$(vip4 cn)"
sleep 1
mitm_end
check "mn moves, overtaken: there were copies ($COPIED)" test "$COPIED" -ge 3
check "mn moves, overtaken: afterwards the route is direct" eventually 8 route_is cn mn direct
unmoved "mn moves, overtaken" $((2 * CAP))

# ---- what it sent from its old place is repeated from there when it has gone
begin
mitm_start c-v4 "$MN" "$CN" delay=1500
sleep 1
host_move mn dual
sleep 1.5
mitm_end
copies_refused "the past is repeated from the old place"
unmoved "the past is repeated from the old place" $QUESTIONS

# ---- the relay
relay_legs() { ns rs1 ntmctl -j rs tunnel list | jq -c '[.. | strings | select(test("^[0-9.]+:[0-9]+$"))] | sort'; }
reaches h1 h2.$ZONE -W 4 >/dev/null
check "between hard NATs the relay is used" eventually 5 route_is h1 h2 relay
before=$(relay_legs) EVE=$(to_eve)
stream_start h1 h2 "$(vip4 h2)" 7300 500 60
stream_start h2 h1 "$(vip4 h1)" 7301 500 60
mitm_start c-hard1 "$(host_outside4 h1)" "$(host_addr4 rs1)" "as=$eve:$PORT_EVE" "netns=/run/netns/$NTM_MARK-r-srv2"
sleep 1.5
mitm_end
check "copies for the relay, overtaking: there were some ($COPIED)" test "$COPIED" -ge 100
eq "copies for the relay: both legs are where they were" "$before" "$(relay_legs)"
got=$(($(to_eve) - EVE))
check "copies for the relay: eve was sent $got bytes, no more than she sent ($COPIED_BYTES)" test "$got" -le "$COPIED_BYTES"
check "copies for the relay: it dropped them" test "$(ns rs1 ntmctl -j rs stats | jq '.drops.source // 0')" -ge 100
for port in 7300 7301; do
	stream_end $port
	eq "copies for the relay: none of $SENT lost ($port)" 0 "$LOST"
	eq "copies for the relay: nothing came twice ($port)" 0 "$DUPLICATE"
done
# A tunnel that is made while its binds are copied.
ns h1 ntmctl tunnel close h2.$ZONE >/dev/null
EVE=$(to_eve)
mitm_start c-hard1 "$(host_outside4 h1)" "$(host_addr4 rs1)" "as=$eve:$PORT_EVE"
check "binds are copied: the tunnel comes up all the same" eventually 4 reaches h1 "$(vip4 h2)"
mitm_end
got=$(($(to_eve) - EVE))
check "binds are copied: eve was sent $got bytes, no more than she sent ($COPIED_BYTES)" test "$got" -le $((COPIED_BYTES + 28 * COPIED))
for name in mn cn h1 h2; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
