#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a NAT changes its mappings and the node behind it is not told: connections go on, and an idle tunnel is found again
#
#	dc (srv1), rs1 (srv2) ---- core ---- cn, idle2 (v4)
#	                            |------- [NAT] mn, idle1 (nat1)
#	                            '------- [NAT] far (nat2)
#
# The routers' outside addresses are taken away and come back: with that the kernel forgets all mappings. New ones use ports
# that none had before.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

PORTS_NEXT=20000
OUTAGE_MS=0
# All mappings of these networks are other ones from now on. The rules change at once: a flow that begins while there is none
# would be without a mapping for as long as it lasts. OUTAGE_MS: so long there was no way out.
rebind() { # NET...
	local net number dev=wan
	for net; do
		ns "r-$net" nft -f - <<-RULES
		flush chain ip nat postrouting
		add rule ip nat postrouting oifname wan meta l4proto udp masquerade to :$PORTS_NEXT-$((PORTS_NEXT + 99))
		add rule ip nat postrouting oifname wan masquerade
		RULES
		PORTS_NEXT=$((PORTS_NEXT + 100))
	done
	MOVED_DOWN=$EPOCHREALTIME
	for net; do
		read -r number _ <<<"${NETS[$net]}"
		nsip "r-$net" addr del "192.0.2.$((4 * number + 2))/30" dev $dev
	done
	for net; do
		read -r number _ <<<"${NETS[$net]}"
		nsip "r-$net" -batch - <<-BATCH
		addr add 192.0.2.$((4 * number + 2))/30 dev $dev
		route replace default via 192.0.2.$((4 * number + 1))
		BATCH
	done
	OUTAGE_MS=$(awk -v a="$MOVED_DOWN" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", (b - a) * 1000 }')
	REBOUND=$EPOCHSECONDS
	sleep 0.1 # what was on its way
}

both_advance() { [ "$(flow_offset 7100)" -gt "$SEEN_UP" ] && [ "$(flow_offset 7101)" -gt "$SEEN_DOWN" ]; }
go_on() { # SENTENCE
	SEEN_UP=$(flow_offset 7100) SEEN_DOWN=$(flow_offset 7101)
	check "$1: both TCP connections go on within 3 s" eventually 3 both_advance
}
at_port_of() { # NAME PEER FIRST: NAME sends to a port of the range that begins with FIRST
	local port
	port=$(tunnel "$1" "$2" .remote)
	echo "$port"
	port=${port##*:}
	[ "$port" -ge "$3" ] && [ "$port" -lt $(($3 + 100)) ]
}
stream_silent() { # SENTENCE PORT MS: and the outage
	local gap most=$(($3 + OUTAGE_MS))
	stream_end "$2"
	gap=$(stream_gap_since "$2" "$MOVED_DOWN")
	check "$1: silent for at most $most ms ($gap ms, $OUTAGE_MS of them without a way out; $LOST of $SENT lost)" \
		test "$gap" -le "$most" -a "$LOST" -le "$most"
	eq "$1: nothing came twice" 0 "$DUPLICATE"
}

net_up
for net in nat1 nat2; do access_make $net; done
dc_start rs1
rs_start rs1
nodes_add cn=v4 idle2=v4 mn=nat1 idle1=nat1 far=nat2
check "a tunnel that then is idle" reaches idle1 idle2.$ZONE -W 4
check "it is direct" eventually 3 route_is idle2 idle1 direct
idle_since=$EPOCHSECONDS
monitor_start mn
monitor_start cn

# ---- both ends' mappings change at the same time
reaches far mn.$ZONE -W 4 >/dev/null
check "between two NATs: at first the route is direct" eventually 4 route_is far mn direct
check "between two NATs: both ends see it so" eventually 4 route_is mn far direct
flow_start far mn "$(vip4 mn)" 7100 300 60
flow_start far mn "$(vip6 mn)" 7101 300 60 serve
sleep 0.5
rebind nat1 nat2
go_on "both ends' mappings at the same moment"
check "then it is direct again" eventually 12 route_is far mn direct
check "and for the other end" eventually 4 route_is mn far direct
flow_end "every byte from far to mn arrived, in one connection" 7100
flow_end "every byte from mn to far arrived, in one connection" 7101

# ---- only one end's, and the other's NAT lets nothing in from where it never sent: neither hears the other
monitor_start far
stream_start far mn "$(vip4 mn)" 7304 1000 60
stream_start mn far "$(vip4 far)" 7305 1000 60
sleep 1
rebind nat2
forgot() { [ -n "$(monitored far 'select(.event == "route_changed" and .why == "a NAT of ours forgot us") | .time')" ]; }
check "one end's mapping: its relay's answer tells that end that a NAT forgot it" eventually 2 forgot
check "one end's mapping: direct again" eventually 12 route_is far mn direct
sleep 0.2
stream_silent "one end's mapping: to the other" 7304 600
stream_silent "one end's mapping: from the other" 7305 600

# ---- with data both ways
reaches mn cn.$ZONE -W 4 >/dev/null
check "at first the route is direct" eventually 3 route_is cn mn direct
flow_start mn cn cn.$ZONE 7100 500 60
flow_start mn cn cn.$ZONE 7101 500 60 serve
stream_start mn cn "$(vip4 cn)" 7300 1000 60
stream_start cn mn "$(vip4 mn)" 7301 1000 60
sleep 0.5
rebind nat1
go_on "another mapping"
check "another mapping: cn sends to it" eventually 2 at_port_of cn mn $((PORTS_NEXT - 100))
eq "another mapping: nothing has changed at mn itself" "" "$(monitored mn 'select(.event == "network_changed") | .event')"
sleep 0.2
stream_silent "from mn" 7300 1000
stream_silent "to mn" 7301 1000

# ---- data only towards the NAT: its node does not know that it is missed
stream_start cn mn "$(vip4 mn)" 7302 1000 60
stream_start mn cn "$(vip4 cn)" 7303 2 60 # a sign of life now and then
flow_end "every byte from mn to cn arrived, in one connection" 7100
flow_end "every byte from cn to mn arrived, in one connection" 7101
rebind nat1
check "data comes from outside only: cn sends to the new mapping" eventually 4 at_port_of cn mn $((PORTS_NEXT - 100))
sleep 0.2
stream_end 7303
stream_silent "data comes from outside only" 7302 1500

# ---- what the data showed is told to the DC, too: others find mn where it is now
check "a node that knows nothing of mn reaches it within 4 s" eventually 4 reaches idle2 "$(vip4 mn)"

# ---- without data: idle1's Keep Alive tells idle2 where it is now
last=$((PORTS_NEXT - 100))
# On a slow machine it may have been before the last new mapping: then it is the next one.
patience=$((32 - (EPOCHSECONDS - idle_since)))
[ $((REBOUND - idle_since)) -lt 23 ] || patience=32
[ $patience -ge 3 ] || patience=3
check "an idle tunnel: its Keep Alive, at most 28 s after it fell silent, shows the new mapping" \
	eventually $patience at_port_of idle2 idle1 $last
check "an idle tunnel: the first packet from outside gets in" reaches idle2 "$(vip4 idle1)"
for name in mn cn idle1 idle2 far; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
