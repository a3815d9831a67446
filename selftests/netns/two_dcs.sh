#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: nodes of two DCs that trust each other reach one another by name; no DC hands out addresses that are not its own
#
#	dc, ntm.example (srv1), rs1 (srv3) ---- core ---- a (v4), a6 (v6), h (nat1): members of dc
#	dc2, other.example (srv2) ----------------'------ x (v4b): a member of dc2
#
# a and a6 ask names upstream at dc2, and x at dc. Only dc has a relay: it is the requester's DC that directs one.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

RELAY_NET[rs1]=srv3
DC2_ADDR4=203.0.113.20 DC2_ADDR6=2001:db8:1:2::20
OTHER=other.example

peer_section() { # NAME ZONE KEY_OF ADDRESS
	printf '%s\n' "[peer \"$1\"]" "zone = $2" "public-key = $(public_key "$3")" "endpoint = $4:6866"
}
dc2_start() {
	mkdir -p "$WORK/dc2"
	public_key dc2 >/dev/null
	cat >"$WORK/dc2/ntm-dc.conf" <<-CONFIG
	[dc]
	name = dc.$OTHER
	zone = $OTHER
	private-key-file = $WORK/dc2.key
	listen = $DC2_ADDR4:6866
	listen = [$DC2_ADDR6]:6866
	control-socket = /run/ntm/dc.sock
	database = sqlite:/var/lib/ntm/dc.sqlite
	virtual4 = 198.19.0.0/16
	virtual6 = fd4e:544d:2::/64
	[dns]
	listen = $DC2_ADDR4:53
	listen = [$DC2_ADDR6]:53
	$(peer_section "$DC_FQDN" $ZONE dc $DC_ADDR4)
	CONFIG
	daemon_run dc2 ntm-dc
}
dns_section() { printf '%s\n' "[dns]" "mode = off" "listen = 127.0.0.54:53" "upstream = $1"; }
dc2_pools() { # NAME VIRTUAL4 VIRTUAL6: dc2 begins anew with these pools
	daemon_stop dc2 ntm-dc
	sed -i "s|^virtual4.*|virtual4 = $2|; s|^virtual6.*|virtual6 = $3|
		s|^database.*|database = sqlite:/var/lib/ntm/$1.sqlite|" "$WORK/dc2/ntm-dc.conf"
	daemon_run dc2 ntm-dc
	ns dc2 ntmctl dc node add x.$OTHER "$(public_key x)" >/dev/null
	ns dc2 ntmctl dc node add away.$OTHER "$(public_key away)" >/dev/null
	# x asks it for something, and so learns at once that it is not known there any more
	ns x dig +time=1 +tries=1 @127.0.0.54 away.$OTHER A >/dev/null || :
	check "dc2 begins anew with $2, and x has an address of it" eventually 8 x_has "$2"
}
x_has() { [ "$(vip4 x | cut -d. -f1,2)" = "$(cut -d. -f1,2 <<<"$1")" ] && nodes_registered x; }
foreign() { ns dc ntmctl -j dc stats | jq '.drops.foreign // 0'; }
tunnel_to() { ns "$1" ntmctl -j tunnel show "$2" | jq -r "$3"; }
up() { [ "$(tunnel_to "$1" "$2" '"\(.route) \(.state)"')" = "$3 up" ]; }

net_up
host_add dc2 srv2
eq "dc2 has the address that is written above" $DC2_ADDR4 "$(host_addr4 dc2)"
DC_CONFIG=$(peer_section dc.$OTHER $OTHER dc2 $DC2_ADDR4; printf '%s\n' "virtual4 = 198.19.0.0/16" "virtual6 = fd4e:544d:2::/64") \
	dc_start rs1
rs_start rs1
dc2_start
host_add a v4
node_start a a.$ZONE "$(dns_section $DC2_ADDR4)"
host_add a6 v6
node_start a6 a6.$ZONE "$(dns_section "[$DC2_ADDR6]")"
host_add x v4b
ns dc2 ntmctl dc node add x.$OTHER "$(public_key x)" >/dev/null
MEMBER[x.$OTHER]=1
node_start x x.$OTHER "[dc]" "public-key = $(public_key dc2)" "endpoint = $DC2_ADDR4:6866" "$(dns_section $DC_ADDR4)"
check "all register, each with its DC" eventually 10 nodes_registered a a6 x
eq "x is dc2's" "dc.$OTHER" "$(status x .dc.name)"
check "its virtual address is of dc2's pool" grep -q '^198\.19\.' <<<"$(vip4 x)"

check "a reaches x by name" reaches a x.$OTHER -W 4
check "by a direct path" eventually 3 up a x.$OTHER direct
check "x has it too" eventually 3 up x a.$ZONE direct
check "x reaches a by name" reaches x a.$ZONE
server_start x 7001
check "TCP over virtual IPv4" echoes a "$(vip4 x)" 7001
check "TCP over virtual IPv6" echoes a "$(vip6 x)" 7001
ns a ntmctl tunnel close x.$OTHER >/dev/null
sleep 0.3
check "the other way round: x asks first" reaches x a.$ZONE -W 4
refusal=$(ns x dig +time=4 +tries=1 @127.0.0.54 a6.$ZONE A)
check "x asks for a node that has only IPv6, and dc2 has no relay: SERVFAIL" grep -q 'status: SERVFAIL' <<<"$refusal"
check "and why: $(sed -n 's/^; EDE: //p' <<<"$refusal")" grep -q 'EDE: 22' <<<"$refusal"
check "that node asks for x: its DC has one" reaches a6 x.$OTHER -W 4
check "it is a relayed path" eventually 3 up x a6.$ZONE relay
check "a name that nobody has is not found" test "$(ns a dig +time=4 "@127.0.0.54" nobody.$OTHER A | grep -c NXDOMAIN)" -ge 1

# ---- without the other DC
daemon_stop dc2 ntm-dc
check "tunnels outlive the other DC" reaches x "$(vip4 a)"
check "the DC's own members do not care" ns a ntmctl netcheck
daemon_run dc2 ntm-dc
sleep 0.3
ns x ntmctl tunnel close a.$ZONE >/dev/null
check "when it is back, new tunnels are made" eventually 8 reaches x a.$ZONE -W 4
for name in a x; do
	no_drops "nothing failed authentication at $name" $name auth inner_source
done

# ---- a DC that hands out addresses that are not its own
public_key away >/dev/null
eq "until now dc was told nothing that it had to refuse" 0 "$(foreign)"
dc2_pools ours 198.18.0.0/16 fd4e:544d:1::/64
eq "x has one of a node of dc" "$(vip4 a)" "$(vip4 x)"
refusal=$(ns a6 dig +time=4 +tries=1 @127.0.0.54 x.$OTHER A)
check "dc does not believe it: SERVFAIL" grep -q 'status: SERVFAIL' <<<"$refusal"
check "and why: $(sed -n 's/^; EDE: //p' <<<"$refusal")" grep -q 'EDE: .*198\.18\.0\..* lies in our own pool' <<<"$refusal"
check "it is counted" test "$(foreign)" -ge 1
check "and in the log" grep -q "the DC dc.$OTHER told of x.$OTHER: not believed, 198.18.0." "$WORK/dc-ntm-dc.log"
check_not "dc2 cannot direct it either" reaches x a6.$ZONE -W 3
check "a is reached by its address as before" reaches a6 "$(vip4 a)" -W 4
dc2_pools thirds 10.9.0.0/16 fd4e:544d:3::/64
refusal=$(ns a6 dig +time=4 +tries=1 @127.0.0.54 x.$OTHER A)
check "dc does not believe that: $(sed -n 's/^; EDE: //p' <<<"$refusal")" grep -q 'EDE: .*10\.9\..* lies in no virtual4' <<<"$refusal"
check_not "and takes no direction for it" reaches x a6.$ZONE -W 3
eq "no tunnel came about" null "$(ns a6 ntmctl -j tunnel list | jq ".[] | select(.peer == \"x.$OTHER\")" | jq -s '.[0]')"
eq "the log has said so once" 1 "$(grep -c 'not believed' "$WORK/dc-ntm-dc.log")"
dc2_pools own 198.19.0.0/16 fd4e:544d:2::/64
check "with addresses of its own it is believed again, and x is reached" eventually 6 reaches a6 x.$OTHER -W 4

# ---- dc lets it hand out what a node's own network has, too
daemon_stop dc ntm-dc
sed -i '/^virtual4 = 198.19/a virtual4 = 10.0.1.0/24' "$WORK/dc/ntm-dc.conf"
daemon_run dc ntm-dc
host_add h nat1
node_start h h.$ZONE "$(dns_section $DC2_ADDR4)"
check "h, whose network is 10.0.1.0/24, registers" eventually 8 nodes_registered h a
dc2_pools lan 10.0.1.0/24 fd4e:544d:2::/64
refusal=$(ns h dig +time=4 +tries=1 @127.0.0.54 x.$OTHER A)
check "h refuses x: $(sed -n 's/^; EDE: //p' <<<"$refusal")" grep -q 'EDE: .*in use here' <<<"$refusal"
eq "what is meant for its network stays there" "" "$(ns h ip route show dev ntm0 | grep '^10\.' || :)"
check "a is in no such network, and reaches x" eventually 6 reaches a x.$OTHER -W 4

# ---- a third one
{
	cat "$WORK/dc/ntm-dc.conf"
	peer_section dc.third.example third.example a 192.0.2.77
	echo "virtual4 = 198.20.0.0/16"
} >"$WORK/three.conf"
warned() { ns dc ntm-dc --check-config -c "$WORK/three.conf" 2>&1; }
check "with two peers ntm-dc warns of the one that may hand out any address" \
	grep -q '\[peer "dc.third.example"\] has no virtual6' <<<"$(warned)"
check_not "and of no other" grep -q "dc.$OTHER" <<<"$(warned)"
echo "virtual6 = fd4e:544d:3::/64" >>"$WORK/three.conf"
eq "when it has prefixes there is nothing to say" "" "$(warned)"
