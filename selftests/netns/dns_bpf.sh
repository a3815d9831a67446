#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: with [dns] mode = bpf applications reach the stub whatever server they ask, and see that server
#
#	dc (srv1): answers for ntm.example, refuses the rest ------ core --- mn (dual): mode = bpf, its resolv.conf names dc
#	world (srv2): answers anything with 192.0.2.80 ---------------|------ cn (dual2): another node
#	                                                              |------ other (dual): no node
#	                                                              |------ rc (v4): mode = auto, a resolver of its own
#	                                                              '------ old (v4b): without cgroup2
#
# mn's stub asks world: whoever asks dc for www.example.com gets 192.0.2.80 by the stub, and code 5 (REFUSED) by dc.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

DC="$DC_ADDR4 $DC_ADDR6"
NOBODY="203.0.113.9 2001:db8:1:1::9" # in dc's network
WWW=www.example.com
LED=192.0.2.80
command -v dig >/dev/null || { skip "queries are led to the stub" "dig is missing (package bind9-dnsutils)"; exit 0; }

ask() { # HOST ASK_ARGS...
	local host=$1
	shift
	ns "$host" perl "$ROOT/selftests/netns/ask.pl" "$@" || :
}
# What dig says of an answer: its code, the address, from whom. It takes no answer from another than whom it asked.
dug() { # HOST SERVER DIG_ARGS...
	local host=$1 server=$2
	shift 2
	ns "$host" dig +time=3 +tries=1 "@$server" "$@" A |
		awk '/status:/ { sub(",", "", $6); code = $6 } /^[^;].*[ \t]A[ \t]/ { address = $NF }
			/^;; SERVER:/ { server = $3 } END { print code, address == "" ? "-" : address, server }'
}
sum() { ns "$1" sha256sum /etc/resolv.conf; }
mode_is() { [ "$(status "$1" .dns.mode)" = "$2" ]; }
# For eventually: whether an answer for www.example.com came from the stub, from dc.
led() { [ "$(ask "$1" sendto $WWW "$2")" = "0 $LED from $2 53" ]; }
left() { [ "$(ask "$1" sendto $WWW "$2")" = "5 - from $2 53" ]; }
all_left() { # SENTENCE: at once, every way
	local server
	for server in $DC; do
		eq "$1: UDP to $server" "5 - from $server 53" "$(ask mn sendto $WWW "$server")"
		eq "$1: connected UDP to $server" "5 - from $server 53 peer $server 53" "$(ask mn connected $WWW "$server")"
		eq "$1: TCP to $server" "5 - from $server 53 peer $server 53" "$(ask mn tcp $WWW "$server")"
	done
}

net_up
dc_start
host_add world srv2
TOOL=$NTM_BIN/unit/test_resolver
WORLD4=$(host_addr4 world) WORLD6=$(host_addr6 world)
nsbg world world.log "$TOOL" answer "$WORLD4:53"
nsbg world world6.log "$TOOL" answer "[$WORLD6]:53"
nsbg world port.log "$TOOL" answer "$WORLD4:5300"
eventually 5 grep -q ready "$WORK/port.log"
nodes_add cn=dual2
host_add other dual
host_add mn dual
before=$(sum mn)
node_start mn mn.$ZONE "[dns]" "mode = bpf" "upstream = $WORLD4"
eventually 10 nodes_registered mn
cn4=$(vip4 cn) cn6=$(vip6 cn)
eq "status tells the mode" bpf "$(status mn .dns.mode)"

# ---- dig: connected sockets
for server in $DC $NOBODY; do
	eq "UDP to $server" "NOERROR $LED $server#53($server)" "$(dug mn "$server" $WWW)"
	eq "TCP to $server" "NOERROR $LED $server#53($server)" "$(dug mn "$server" +tcp $WWW)"
	eq "a node's name at $server" "NOERROR $cn4 $server#53($server)" "$(dug mn "$server" cn.$ZONE)"
done
check "a name led to a tunnel" route_is mn cn direct
eq "AAAA, too" "$cn6" "$(ns mn dig +short "@$DC_ADDR6" cn.$ZONE AAAA)"
check "the stub's own query reached its server" grep -qx "asked $WWW. 1" "$WORK/world.log"

# ---- what sockets show
for server in $DC; do
	eq "a socket that is not connected, to $server" "0 $LED from $server 53" "$(ask mn sendto $WWW "$server")"
	eq "a connected one" "0 $LED from $server 53 peer $server 53" "$(ask mn connected $WWW "$server")"
	eq "TCP" "0 $LED from $server 53 peer $server 53" "$(ask mn tcp $WWW "$server")"
done
mapped="::ffff:$DC_ADDR4 53"
eq "IPv4 by an IPv6 socket that is not connected" "0 $LED from $mapped" "$(ask mn mapped sendto $WWW $DC_ADDR4)"
eq "by a connected one" "0 $LED from $mapped peer $mapped" "$(ask mn mapped connected $WWW $DC_ADDR4)"
eq "by TCP" "0 $LED from $mapped peer $mapped" "$(ask mn mapped tcp $WWW $DC_ADDR4)"
for how in sendto connected tcp; do
	check "an IPv6 socket that can no IPv4: $how" grep -q "^0 $LED from $DC_ADDR6 53" <<<"$(ask mn only6 $how $WWW $DC_ADDR6)"
done
eq "several IPv4 servers at once (musl)" "0 $LED from $DC_ADDR4 53" "$(ask mn sendto $WWW 203.0.113.9 $DC_ADDR4)"
check "servers of both families at once" grep -qE "^0 $LED from ($mapped|$DC_ADDR6 53)$" \
	<<<"$(ask mn mapped sendto $WWW $DC_ADDR6 $DC_ADDR4)"
eq "getaddrinfo" "$cn4" "$(ns mn getent ahostsv4 cn.$ZONE | awk 'NR == 1 { print $1 }')"
eq "getaddrinfo of another name" "$LED" "$(ns mn getent ahostsv4 $WWW | awk 'NR == 1 { print $1 }')"

# ---- one question is one question
count=$(stats mn .dns.queries)
ask mn sendto $WWW $DC_ADDR4 >/dev/null
eq "a query comes to the stub once" $((count + 1)) "$(stats mn .dns.queries)"

# ---- what is left alone
eq "the stub itself may be asked" "NOERROR $cn4 127.0.0.54#53(127.0.0.54)" "$(dug mn 127.0.0.54 cn.$ZONE)"
for how in sendto connected tcp; do
	for server in $DC; do
		check "a host that is no node asks $server itself: $how" grep -q "^5 - from $server 53" \
			<<<"$(ask other "$how" $WWW "$server")"
		check "so does a node of another mode: $how, $server" grep -q "^5 - from $server 53" <<<"$(ask cn "$how" $WWW "$server")"
		check "a socket with ntmd's mark: $how, $server" grep -q "^5 - from $server 53" <<<"$(ask mn marked "$how" $WWW "$server")"
		check "a socket bound to an interface: $how, $server" grep -q "^5 - from $server 53" \
			<<<"$(ask mn bound=eth0 "$how" $WWW "$server")"
	done
done
eq "another port" "NOERROR $LED $WORLD4#5300($WORLD4)" "$(dug mn "$WORLD4" -p 5300 other.port.example)"
check "is asked where it is" grep -qx "asked other.port.example. 1" "$WORK/port.log"

# ---- a stub that hangs
ntmd=$(daemon_pid mn ntmd)
kill -STOP "$ntmd"
start=$(now_ms)
check "a stub that hangs gets no more queries" eventually 8 left mn $DC_ADDR4
took=$(($(now_ms) - start))
check "after 2 s (+ the 4 s of a query that it took; $took ms)" test "$took" -lt 6500
all_left "the stub hangs"
kill -CONT "$ntmd"
check "and gets them again when it goes on" eventually 2 led mn $DC_ADDR4
check "by IPv6, too" led mn $DC_ADDR6

# ---- ntmctl detach, attach
ns mn ntmctl detach >/dev/null
all_left "detached"
eq "status tells it" off "$(status mn .dns.mode)"
ns mn ntmctl attach >/dev/null || :
check "attach has queries led again" led mn $DC_ADDR4
eq "and status tells that" bpf "$(status mn .dns.mode)"

# ---- its end
daemon_stop mn ntmd
eq "TERM ends it well" 0 "$STATUS"
all_left "after TERM"
daemon_run mn ntmd
check "a new one has them at once" led mn $DC_ADDR4
daemon_stop mn ntmd KILL
all_left "after kill -9"
daemon_run mn ntmd
check "and after that, too" led mn $DC_ADDR6
eventually 10 nodes_registered mn
eq "names work again" "$cn4" "$(ns mn dig +short +time=4 "@$DC_ADDR4" cn.$ZONE A)"

# ---- a server of this machine: its own queries must not come back to us
nsbg mn local.log "$TOOL" answer 127.0.0.1:53
host_resolver mn 127.0.0.1
check "where resolv.conf names a server of this machine, others are left alone" eventually 3 left mn $DC_ADDR4
eq "also by IPv6" "5 - from $DC_ADDR6 53" "$(ask mn sendto $WWW $DC_ADDR6)"
eq "and queries to it are led" "0 $cn4 from 127.0.0.1 53" "$(ask mn sendto cn.$ZONE 127.0.0.1)"
check_not "it did not see them" grep -q "cn.$ZONE" "$WORK/local.log"
eq "getaddrinfo, then" "$cn4" "$(ns mn getent ahostsv4 cn.$ZONE | awk 'NR == 1 { print $1 }')"
# shellcheck disable=SC2046 # two words
host_resolver mn $(zone_servers mn)
check "and all are led again when it does not" eventually 3 led mn $DC_ADDR4
daemon_stop mn ntmd
eq "resolv.conf was never touched" "$before" "$(sum mn)"

# A forwarder, as dnsmasq is: the stub asks it, it asks world.
host_add rc v4
nsbg rc forwarder.log socat "UDP4-RECVFROM:53,bind=127.0.0.1,fork" "UDP4-SENDTO:$WORLD4:53"
host_resolver rc 127.0.0.1
before=$(sum rc)
node_start rc rc.$ZONE "[dns]" "mode = auto"
eventually 10 nodes_registered rc
eq "auto becomes bpf where no systemd-resolved is" bpf "$(status rc .dns.mode)"
eq "a forwarder of this machine is asked by the stub, and asks on" "0 $LED from 127.0.0.1 53" \
	"$(ask rc sendto circle.example.com 127.0.0.1)"
check "its server saw the query" grep -qx "asked circle.example.com. 1" "$WORK/world.log"
eq "beside it a node's name" "0 $cn4 from 127.0.0.1 53 peer 127.0.0.1 53" "$(ask rc tcp cn.$ZONE 127.0.0.1)"
daemon_stop rc ntmd
eq "its resolv.conf was not touched" "$before" "$(sum rc)"

# ---- after an ntmd with mode = resolv.conf was killed
node_config rc rc.$ZONE "[dns]" "mode = resolv.conf"
daemon_run rc ntmd
eq "resolv.conf is taken over" "nameserver 127.0.0.54" "$(ns rc grep ^nameserver /etc/resolv.conf)"
daemon_stop rc ntmd KILL
node_config rc rc.$ZONE "[dns]" "mode = bpf"
daemon_run rc ntmd
eq "an ntmd with mode = bpf puts it back" "$before" "$(sum rc)"
check "and says so" grep -q "which a former ntmd wrote, was restored" "$WORK/rc-ntmd.log"

# ---- without cgroup2
host_add old v4b
ns old umount -R /sys/fs/cgroup
node_config old old.$ZONE "[dns]" "mode = bpf"
nsbg old old.log "$NTM_BIN/ntmd" -c "$WORK/old/ntmd.conf"
wait "$SPAWNED" && code=0 || code=$?
eq "without cgroup2 the mode fails" 2 "$code"
check "and says why" grep -q "no cgroup2 file system is mounted here" "$WORK/old.log"
node_config old old.$ZONE "[dns]" "mode = auto"
daemon_run old ntmd
eq "auto goes on to the next mode" resolv.conf "$(status old .dns.mode)"
