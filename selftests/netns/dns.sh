#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: names lead to virtual addresses, all else is answered as the servers upstream answer it
#
#	dc (srv1), authoritative for ntm.example ---- core ---- mn (dual): the stub at 127.0.0.54
#	                                               |------- cn (dual2)
#	                                               |------- off (v4): registers late
#	                                               '------- rc (v4b): with mode = resolv.conf
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

STUB=127.0.0.54
ask() { # HOST SERVER DIG_ARGS...
	local host=$1 server=$2
	shift 2
	ns "$host" dig +time=4 +tries=1 "@$server" "$@" || :
}
short() { ask "$@" +short; }
rcode() { ask "$@" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p'; }
answers() { ask "$@" | sed -n 's/.* ANSWER: \([0-9]*\),.*/\1/p'; }
section_of() { ask "$@" +noall +answer +authority | sed '/^;/d;/^$/d' | awk '{ $2 = "TTL"; print }' | sort; }
short_is() { # EXPECTED HOST SERVER DIG_ARGS...
	local expected=$1
	shift
	[ "$(short "$@")" = "$expected" ]
}

net_up
dc_start
nodes_add mn=dual cn=dual2
host_add off v4
member_add off.$ZONE "$(public_key off)"
cn4=$(vip4 cn) cn6=$(vip6 cn)

# ---- the DC's own server
for server in $DC_ADDR4 $DC_ADDR6; do
	eq "A of a node at $server" "$cn4" "$(short mn $server cn.$ZONE A)"
	eq "AAAA of a node at $server" "$cn6" "$(short mn $server cn.$ZONE AAAA)"
done
eq "over TCP" "$cn4" "$(short mn $DC_ADDR4 +tcp cn.$ZONE A)"
eq "with 512 bytes" "$cn4" "$(short mn $DC_ADDR4 +bufsize=512 cn.$ZONE A)"
eq "without EDNS" "$cn4" "$(short mn $DC_ADDR4 +noedns cn.$ZONE A)"
check "the question's spelling comes back" grep -q '^;cN.nTm.ExaMple.' <<<"$(ask mn $DC_ADDR4 cN.nTm.ExaMple A)"
eq "and is answered" "$cn4" "$(short mn $DC_ADDR4 cN.nTm.ExaMple A)"
eq "no such name" NXDOMAIN "$(rcode mn $DC_ADDR4 nobody.$ZONE A)"
check "with the SOA" grep -q 'SOA' <<<"$(ask mn $DC_ADDR4 nobody.$ZONE A +noall +authority)"
eq "outside of the zone" REFUSED "$(rcode mn $DC_ADDR4 www.example.net A)"
eq "a type that is not there: no error" NOERROR "$(rcode mn $DC_ADDR4 cn.$ZONE MX)"
eq "a type that is not there: no answer" 0 "$(answers mn $DC_ADDR4 cn.$ZONE MX)"
eq "the apex has a SOA" 1 "$(answers mn $DC_ADDR4 $ZONE SOA)"
check "ANY is answered or refused, not ignored" grep -qE 'NOERROR|REFUSED|NOTIMP' <<<"$(rcode mn $DC_ADDR4 +notcp cn.$ZONE ANY)"
check_not "the zone is not given away" grep -q "$cn4" <<<"$(ask mn $DC_ADDR4 +tcp $ZONE AXFR)"
eq "it claims authority" 1 "$(ask mn $DC_ADDR4 cn.$ZONE A | grep -c 'flags:.* aa')"
check "NTMv4 has at least 37 bytes" grep -qE '\\# ([4-9][0-9]|3[7-9]|[1-9][0-9]{2}) ' <<<"$(ask mn $DC_ADDR4 cn.$ZONE TYPE65280 +noall +answer)"

# ---- the stub
eq "a name leads to the virtual IPv4 address" "$cn4" "$(short mn $STUB cn.$ZONE A)"
eq "and to the virtual IPv6 address" "$cn6" "$(short mn $STUB cn.$ZONE AAAA)"
check "by then the tunnel is there" route_is mn cn direct
eq "over TCP" "$cn4" "$(short mn $STUB +tcp cn.$ZONE A)"
eq "spelling does not matter" "$cn4" "$(short mn $STUB CN.NTM.EXAMPLE A)"
eq "its own name, too" "$(vip4 mn)" "$(short mn $STUB mn.$ZONE A)"
eq "applications get it by getaddrinfo" "$cn4" "$(ns mn getent ahostsv4 cn.$ZONE | awk 'NR == 1 { print $1 }')"
eq "no such name" NXDOMAIN "$(rcode mn $STUB nobody.$ZONE A)"
eq "an NTM record passes as it is" "$(short mn $DC_ADDR4 cn.$ZONE TYPE65280)" "$(short mn $STUB cn.$ZONE TYPE65280)"
for question in "$ZONE SOA" "$ZONE NS" "cn.$ZONE MX" "nobody.$ZONE AAAA" "cn.$ZONE TYPE65281"; do
	# shellcheck disable=SC2086 # name and type
	eq "$question is answered as upstream does" "$(rcode mn $DC_ADDR4 $question) $(section_of mn $DC_ADDR4 $question)" \
		"$(rcode mn $STUB $question) $(section_of mn $STUB $question)"
done
check "a name of another zone gets what upstream says of it" grep -qE 'REFUSED|SERVFAIL' <<<"$(rcode mn $STUB www.example.net A)"

# ---- a node that is not there
start=$(now_ms)
output=$(ask mn $STUB off.$ZONE A)
took=$(($(now_ms) - start))
check "a member that is offline: SERVFAIL" grep -q 'status: SERVFAIL' <<<"$output"
check "with an Extended DNS Error for people" grep -qE 'EDE: 22' <<<"$output"
check "within 2.5 s ($took ms)" test "$took" -lt 2500
node_start off off.$ZONE
eventually 5 nodes_registered off
check "when it comes online the name works" eventually 4 short_is "$(vip4 off)" mn $STUB off.$ZONE A
check "and a ping by name" reaches mn off.$ZONE
eq "with mode = off nobody touches resolv.conf" "nameserver 127.0.0.54" "$(ns mn cat /etc/resolv.conf)"

# ---- mode = resolv.conf
host_add rc v4b
printf '%s\n' "# by hand" "search example.net" "nameserver $DC_ADDR4" "options timeout:3" |
	ns rc sh -c 'cat >/etc/resolv.conf'
before=$(ns rc cat /etc/resolv.conf)
node_start rc rc.$ZONE "[dns]" "mode = resolv.conf" "listen = 127.0.0.54:53"
eventually 5 nodes_registered rc
taken() { ns rc grep -q '^nameserver 127.0.0.54' /etc/resolv.conf; }
check "resolv.conf leads to the stub" eventually 2 taken
eq "it is the only server" 1 "$(ns rc grep -c ^nameserver /etc/resolv.conf)"
check "search stays" ns rc grep -q '^search example.net' /etc/resolv.conf
check "names work" reaches rc cn.$ZONE -W 3
daemon_stop rc ntmd
eq "TERM restores resolv.conf" "$before" "$(ns rc cat /etc/resolv.conf)"
daemon_run rc ntmd
eventually 5 nodes_registered rc
daemon_stop rc ntmd KILL
check "after kill -9 it still leads to the stub" taken
daemon_run rc ntmd
eventually 5 nodes_registered rc
check "names work after kill -9 and a new start" reaches rc cn.$ZONE -W 3
daemon_stop rc ntmd
eq "and TERM restores what was there before the first start" "$before" "$(ns rc cat /etc/resolv.conf)"
daemon_run rc ntmd
eventually 5 taken
echo "nameserver $DC_ADDR6" | ns rc sh -c 'cat >/etc/new && mv /etc/new /etc/resolv.conf'
daemon_stop rc ntmd
eq "what another program wrote is not overwritten" "nameserver $DC_ADDR6" "$(ns rc cat /etc/resolv.conf)"

# ---- the DC is asked too much, and wants to be asked by TCP
sed -i 's/^\[dns\]$/&\nrate-limit = 1/' "$WORK/dc/ntm-dc.conf"
daemon_stop dc ntm-dc
daemon_run dc ntm-dc
daemon_run rc ntmd # its stub remembers nothing
eventually 5 nodes_registered cn rc
limited=$(ns dc ntmctl -j dc stats | jq '.drops.rate // 0')
eq "the stub asks by TCP what the DC truncates" "$cn4 $cn6" "$(short rc $STUB cn.$ZONE A) $(short rc $STUB cn.$ZONE AAAA)"
check "it was truncated indeed" test "$(ns dc ntmctl -j dc stats | jq '.drops.rate // 0')" -gt "$limited"
