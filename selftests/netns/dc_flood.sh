#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: nodes keep their registrations while strangers flood the DC with handshakes, from addresses they show to be theirs; and
# its DNS answers whom it can while somebody has it flood another network
#
#	load ---- core ---- dc (srv1)	load: 200 nodes and the flood, from 512 addresses (bench/dcload.c); and queries from
#					the addresses of two networks
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

SOURCES=11.0.0.0/16
NODES=200

part() { awk -v p="$1" -v n="$2" '$1 == p { print $n }' "$WORK/dcload.out"; } # PART COLUMN

flooded() {
	ns load "$NTM_BIN/bench/dcload" load "$(daemon_pid dc ntm-dc)" "$(public_key dc)" "$DC_ADDR4" "${SOURCES%/*}" "$ZONE" \
		$NODES 3 flood >"$WORK/dcload.out"
}

net_up
dc_start
host_add load
link_make core to-load load eth0
nsip core addr add 198.51.100.1/28 dev to-load
nsip load addr add 198.51.100.10/28 dev eth0
nsip load route add default via 198.51.100.1
nsip load route add local $SOURCES dev lo
nsip core route add $SOURCES via 198.51.100.10
daemon_stop dc ntm-dc
rm -f "$WORK"/dc/lib/dc.sqlite*
"$NTM_BIN/bench/dcload" members "$WORK/dc/lib/dc.sqlite" "$ZONE" 198.18.0.0/16 fd4e:544d:1::/64 $NODES
daemon_run dc ntm-dc
check "every Keep Alive is answered during the flood" flooded
cat "$WORK/dcload.out"
check "hundreds were asked for ($(part flood 2))" test "$(part flood 2)" -gt 300
check "half of them within 0.3 s ($(part flood_rtt_us 2) us)" test "$(part flood_rtt_us 2)" -lt 300000
eq "all nodes are registered" $NODES "$(ns dc ntmctl -j dc node list | jq '[.[] | select(.registered)] | length')"
drops=$(ns dc ntmctl -j dc stats)
echo "$drops"
check "cookies were asked for" test "$(jq '.drops.cookie_needed // 0' <<<"$drops")" -gt 100
check "strangers with a cookie were worked on" test "$(jq '.drops.stranger // 0' <<<"$drops")" -gt 100
check "but not all" test "$(jq '.drops.rate // 0' <<<"$drops")" -gt 100

# ---- queries with forged sources
LIMIT=200
printf '%s\n' "[dc]" "$(dc_section)" "[dns]" "listen = $DC_ADDR4:53" "rate-limit = $LIMIT" >"$WORK/dc/ntm-dc.conf"
daemon_stop dc ntm-dc
daemon_run dc ntm-dc
NAME=n1.$ZONE
ask() { ns load dig +time=1 +tries=1 "@$DC_ADDR4" "$NAME" TYPE65281 "$@"; }
RECORD=$(ask -b 11.0.7.1 +short)
check "the name is known" test ${#RECORD} -gt 196
nsbg load dns-flood.log "$ROOT/selftests/netns/dns_flood.pl" "$DC_ADDR4" $NAME 11.0.5 4000 3
sleep 1
asked=0 answered=0
for _ in {1..20}; do
	asked=$((asked + 1))
	[ "$(ask -b 11.0.6.9 +ignore +nocookie +short)" != "$RECORD" ] || answered=$((answered + 1))
done
# Networks share places in the DC's table: one in a thousand pairs of them does.
if [ $answered != $asked ]; then
	echo "# another network: $answered of $asked, and now a third one"
	answered=0
	for _ in {1..20}; do [ "$(ask -b 11.0.7.9 +ignore +nocookie +short)" != "$RECORD" ] || answered=$((answered + 1)); done
fi
eq "another network gets all its answers" $asked $answered
eq "by TCP the flooded one gets them" "$RECORD" "$(ask -b 11.0.5.77 +tcp +short)"
cookie=$(ask -b 11.0.5.78 +tcp | sed -n 's/^; COOKIE: \([0-9a-f]*\).*/\1/p')
check "a cookie comes with that (${#cookie} digits)" test ${#cookie} = 48
answered=0
for _ in {1..20}; do [ "$(ask -b 11.0.5.78 +ignore "+cookie=$cookie" +short)" != "$RECORD" ] || answered=$((answered + 1)); done
eq "and with it all answers by UDP" 20 $answered
flood_ended() { grep -q ^sent "$WORK/dns-flood.log"; }
check "the flood has ended" eventually 10 flood_ended
cat "$WORK/dns-flood.log"
read -r _ sent _ sent_bytes _ whole _ truncated _ bytes _ ms <"$WORK/dns-flood.log"
check "the flooded network gets some answers" test "$whole" -ge $((LIMIT / 2))
check "but not more than the limit and one second's burst" test "$whole" -le $((LIMIT * (ms + 1000) / 1000 + 1))
check "and truncated ones to at most half the rest" test "$truncated" -gt 0 -a "$truncated" -le $(((sent - whole) / 2 + 1))
check "the DC sends it less than it is sent ($bytes of $sent_bytes bytes)" test "$bytes" -lt "$sent_bytes"
check "what was too much is counted" test "$(ns dc ntmctl -j dc stats | jq '.drops.rate // 0')" -ge $((sent - whole - truncated))
