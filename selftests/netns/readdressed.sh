#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: nodes that get other virtual addresses while they run are reached at these, and no path goes on with the old ones
#
#	dc (srv1), rs1 (srv2) ---- core ---- a (v4), b (v4b), c (nat1)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

# The DC loses its database, and gets these members again in this order: addresses are given in order, too.
dc_forget() { # NAME...
	local name
	daemon_stop dc ntm-dc KILL
	rm -f "$WORK/dc/lib/dc.sqlite"*
	daemon_run dc ntm-dc
	for name in "$@" away; do
		ns dc ntmctl dc node add "$name.$ZONE" "$(public_key "$name")" >/dev/null
	done
	# Who asks the DC for something learns at once that it is not known there, and not by its next Keep Alive.
	for name; do
		ns "$name" dig +time=1 +tries=1 @127.0.0.54 "away.$ZONE" A >/dev/null || :
	done
}
listed() { ns dc ntmctl -j dc node list | jq -r ".[] | select(.fqdn == \"$1.$ZONE\" and .registered) | .virtual4"; }
as_listed() { # NAME...: registered, with the addresses that the DC has
	local name
	for name; do [ "$(vip4 "$name")" = "$(listed "$name")" ] || return 1; done
}
knows() { [ "$(tunnel "$1" "$2" '"\(.virtual4) \(.state)"')" = "$(vip4 "$2") up" ]; } # NAME PEER
all_reach_all() { # what
	local from to
	for from in a b c; do
		for to in a b c; do
			[ $from = $to ] && continue
			check "$1: $from reaches $to by name" eventually 6 reaches $from $to.$ZONE -W 2
			check "and has a tunnel to its address" eventually 3 knows $from $to
		done
	done
}

net_up
dc_start rs1
rs_start rs1
nodes_add a=v4 b=v4b c=nat1
public_key away >/dev/null
all_reach_all "at first"
server_start b 7001
old_a=$(vip4 a) old_b=$(vip4 b) old_c=$(vip4 c) old6_a=$(vip6 a)

# ---- the DC has lost its database, and gives a and c each other's address
dc_forget c b a
check "all register again" eventually 8 as_listed a b c
eq "a has c's old address, c has a's, b its own" "$old_c $old_b $old_a" "$(vip4 a) $(vip4 b) $(vip4 c)"
check "a has it on ntm0" grep -qF "inet $old_c/32" <<<"$(ns a ip addr show dev ntm0)"
check_not "and the old one no more" grep -qE "inet6? ($old_a/32|$old6_a/128)" <<<"$(ns a ip addr show dev ntm0)"
all_reach_all "with new addresses"
check "TCP from the new IPv4 address" echoes a "$(vip4 b)" 7001
check "TCP from the new IPv6 address" echoes a "$(vip6 b)" 7001

# ---- the same, but one does not hear that its path is closed: what it has is a's old address, which is c's now
ns b nft -f - <<-RULES
	table inet deaf {
		chain in {
			type filter hook input priority 0;
			ip saddr { $(host_addr4 a), $(host_addr4 rs1) } drop
		}
	}
RULES
dc_forget a b c
check "all register again" eventually 8 as_listed a b c
eq "b still has a's old address" "$old_c up" "$(tunnel b a '"\(.virtual4) \(.state)"')"
ns b nft delete table inet deaf
check "b reaches c, who has that address now" eventually 6 reaches b c.$ZONE -W 2
check "and has its tunnel there" eventually 3 knows b c
all_reach_all "after a close that was lost"

# ---- removed, and added again
before=$(vip4 a)
ns dc ntmctl dc node del a.$ZONE >/dev/null
ns dc ntmctl dc node add a.$ZONE "$(public_key a)" >/dev/null
check "a node that was removed and added again registers" eventually 20 as_listed a
check_not "with another address" test "$before" = "$(vip4 a)"
all_reach_all "when it is back"

# ---- a new ntmd, whose predecessor (or its kernel) had paths with the old addresses
daemon_stop a ntmd KILL
dc_forget b c a
daemon_run a ntmd
check "all register, one with a new ntmd" eventually 10 as_listed a b c
all_reach_all "after a restart"
for name in a b c; do
	no_drops "$name dropped nothing for its source" $name inner_source
done
