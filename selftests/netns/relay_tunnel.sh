#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the Relay Server carries what has no direct route, stands by for what has, and comes back after a crash
#
#	dc (srv1), rs1 (srv2) ---- core ---- four (v4), six (v6), far (v4b)
#	                            |------- [NAT] n1 (nat1)	10.0.1.10
#	                            |------- [NAT] n3 (nat3)	10.0.1.10 too
#	                            |------- [hard NAT] h1 (hard1)
#	                            '------- [hard NAT] h2 (hard2)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

relayed() { # SENTENCE FROM TO
	check "$1: reached by name" reaches "$2" "$3.$ZONE" -W 4
	check "$1: by the relay, as $2 sees it" eventually 2 route_is "$2" "$3" relay
	check "$1: by the relay, as $3 sees it" eventually 2 route_is "$3" "$2" relay
	eq "$1: by rs1" "rs1.$ZONE" "$(tunnel "$2" "$3" .relay)"
	check "$1: TCP" echoes "$2" "$3.$ZONE" 7001
}
rs_path() { # NAME PEER FILTER
	local id
	id=$(tunnel "$1" "$2" .path_id)
	ns rs1 ntmctl -j rs tunnel list | jq -r ".[] | select(.path_id == \"$id\") | $3"
}
standby_bound() { [ "$(tunnel "$1" "$2" '"\(.standby.name) \(.standby.bound)"')" = "rs1.$ZONE true" ]; }

net_up
dc_start rs1
rs_start rs1
nodes_add h1=hard1 h2=hard2 n1=nat1 n3=nat3 four=v4 six=v6 far=v4b
for name in h2 n1 n3 six; do server_start "$name" 7001; done

# ---- two hard NATs: for good
relayed "two hard NATs" h1 h2
check "rs tunnel list shows the leg of h1" grep -q "^$(host_outside4 h1):" <<<"$(rs_path h1 h2 .leg0)"
check "rs tunnel list shows the leg of h2" grep -q "^$(host_outside4 h2):" <<<"$(rs_path h1 h2 .leg1)"
# Path control (Keep Alives, path MTU checks) may come between.
before=$(rs_path h1 h2 '"\(.packets0) \(.packets1)"')
ns h1 ping -q -i 0.02 -c 20 "$(vip4 h2)" >/dev/null
read -r before0 before1 <<<"$before"
read -r after0 after1 <<<"$(rs_path h1 h2 '"\(.packets0) \(.packets1)"')"
check "20 pings are 20 packets more on leg 0 ($before0, $after0)" test $((after0 - before0)) -ge 20 -a $((after0 - before0)) -le 32
check "20 answers are 20 packets more on leg 1 ($before1, $after1)" test $((after1 - before1)) -ge 20 -a $((after1 - before1)) -le 32
# At its router: what XDP relays is seen by nobody else in rs1.
capture_start r-srv2 lan relay.pcap udp port 6866
echo "nothing-for-relays-$NTM_MARK" | ns h1 nc -N -w 3 h2.$ZONE 7001 >/dev/null
capture_stop
check "the relay saw packets" test "$(tcpdump -n -r "$WORK/relay.pcap" 2>/dev/null | wc -l)" -gt 8
check_not "the relay cannot read them" grep -qa "nothing-for-relays" "$WORK/relay.pcap"

# ---- families
relayed "IPv4 only to IPv6 only" four six
relayed "IPv6 only to behind a NAT" six n1

# ---- two NATs with the same addresses inside
check "two sites with the same private prefix: reached by name" reaches n1 n3.$ZONE -W 4
check "two sites with the same private prefix: TCP" echoes n1 n3.$ZONE 7001
check_not "it does not go to a neighbour who happens to have the address" \
	grep -qF "$(host_addr4 n3):" <<<"$(tunnel n1 n3 .remote)"

# ---- direct, with a standby
check "two global nodes: reached by name" reaches four far.$ZONE -W 4
check "two global nodes: direct" eventually 3 route_is four far direct
check "a direct path has a standby relay that is bound" eventually 3 standby_bound four far
check "at the other end, too" eventually 3 standby_bound far four
check "so the relay has both of its legs" test "$(rs_path four far '[.leg0, .leg1] | map(select(. != null)) | length')" = 2
eq "the DC knows the relay as alive" "rs1.$ZONE up" \
	"$(ns dc ntmctl -j dc relay list | jq -r '.[0] | "\(.name) \(.state)"')"

# ---- the relay dies and comes back
check "before the relay dies, TCP works" echoes h1 h2.$ZONE 7001
daemon_stop rs1 ntm-rs KILL
check "without ntm-rs XDP relays on" reaches h1 "$(vip4 h2)" -W 0.5
check "ntm-rs --detach ends that" ns rs1 ntm-rs -c "$WORK/rs1/ntm-rs.conf" --detach
check_not "without the relay nothing comes through" reaches h1 "$(vip4 h2)" -W 0.5
check "a direct path does not care" reaches four "$(vip4 far)"
daemon_run rs1 ntm-rs
start=$(now_ms)
check "after a restart of the relay, traffic comes back by itself" eventually 12 reaches h1 "$(vip4 h2)" -W 0.3
echo "# after $((($(now_ms) - start) / 100)) tenths of a second"
check "IPv4 to IPv6 comes back, too" eventually 12 reaches four "$(vip6 six)" -W 0.3
for name in h1 h2 n1 n3 four six far; do
	no_drops "nothing failed authentication at $name" "$name" auth inner_source
done
