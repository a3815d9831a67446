#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the networks that the other tests stand on are what lib.sh says
#
# No daemon runs here. The networks are drawn in lib.sh.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

# A mirror tells each sender the address and port it came from.
mirror() { # HOST
	# shellcheck disable=SC2016 # for socat's shell
	nsbg "$1" "mirror-$1.log" socat UDP4-RECVFROM:7000,fork,reuseaddr \
		SYSTEM:'read x; echo $SOCAT_PEERADDR $SOCAT_PEERPORT'
	eventually 2 listening "$1" 7000
}
seen_from() { # HOST SOURCE_PORT MIRROR: "address port" as that mirror sees it
	echo x | ns "$1" socat -t 0.3 - "UDP4:$(host_addr4 "$3"):7000,sourceport=$2"
}

# shellcheck disable=SC2034 # lib.sh reads them by their names
NET_DELAY_MS_v4b=20 NET_LOSS_EVERY_v6b=4
net_up
host_add a dual
host_add b dual2
host_add four v4
host_add six v6
host_add n1 nat1
host_add n1b nat1
host_add n2 nat2
host_add n3 nat3
host_add h1 hard1
host_add h2 hard2
host_add d dnat
host_add far v4b
host_add lossy v6b
host_add home home
host_add two v4 v6

# ---- global networks
check "a dual-stack host reaches the core by IPv4" reaches a 192.0.2.1
check "a dual-stack host reaches the core by IPv6" reaches a 2001:db8::1
check "two dual-stack networks reach each other by IPv6" reaches a "$(host_addr6 b)"
check "an IPv4-only host reaches a dual-stack one" reaches four "$(host_addr4 a)"
check_not "an IPv4-only host has no route to IPv6" reaches four 2001:db8::1
check "an IPv6-only host reaches a dual-stack one" reaches six "$(host_addr6 a)"
check_not "an IPv6-only host has no route to IPv4" reaches six 192.0.2.1

# ---- NATs
mirror a
mirror b
eq "nat1 keeps the port and shows its own address" "$(host_outside4 n1) 4000" "$(seen_from n1 4000 a)"
eq "nat1 has the same port for another destination" "$(host_outside4 n1) 4000" "$(seen_from n1 4000 b)"
eq "nat2 is another NAT" "$(host_outside4 n2) 4000" "$(seen_from n2 4000 a)"
check_not "nat1 and nat2 differ" test "$(host_outside4 n1)" = "$(host_outside4 n2)"
eq "a double NAT shows the outer address" "$(host_outside4 d) 4000" "$(seen_from d 4000 a)"
for host in h1 h2; do
	first=$(seen_from $host 4000 a) second=$(seen_from $host 4000 b)
	eq "the hard NAT of $host shows its own address" "$(host_outside4 $host)" "${first% *}"
	check_not "the hard NAT of $host draws a port for each destination" test "$first" = "$second"
done
check "two hosts behind one NAT see each other" reaches n1 "$(host_addr4 n1b)"
eq "nat3 has the private addresses of nat1" "$(host_addr4 n1)" "$(host_addr4 n3)"
check_not "nat3 is not nat1: its host does not see n1b" reaches n3 "$(host_addr4 n1b)"

# ---- from outside: the mapping of n1:4000 to a (above) lets in a, and b, whom n1 also asked, but no stranger
nsbg n1 inbound.log socat -u UDP4-RECV:4000 STDOUT
eventually 2 listening n1 4000
from_outside() { # HOST WORD OPTIONS
	echo "$2" | ns "$1" socat -t 0.1 -u - "UDP4:$(host_outside4 n1):4000$3"
}
from_outside four stranger ""
from_outside a other-port ",sourceport=7001"
from_outside a asked ",sourceport=7000,reuseaddr"
check "whom n1 asked gets in through nat1" eventually 2 grep -q asked "$WORK/inbound.log"
check_not "what nobody asked for does not get in through nat1" grep -qE 'stranger|other-port' "$WORK/inbound.log"
check_not "the private addresses cannot be reached from outside" reaches a "$(host_addr4 n1b)"
check "a home reaches IPv6" reaches home "$(host_addr6 a)"
check_not "a home's firewall lets no stranger in by IPv6" reaches a "$(host_addr6 home)"

# ---- delay and loss
received_is() { [ "$(stat -c %s "$WORK/received")" = "$1" ]; }
round_trip_ms() { ns "$1" ping -q -i 0.05 -c 5 "$2" | sed -n 's|^rtt.*= \([0-9]*\).*|\1|p'; }
ns far ping -q -c 1 192.0.2.1 >/dev/null # neighbour discovery
rtt=$(round_trip_ms far 192.0.2.1)
check "20 ms each way are 40 to 50 ms both ways ($rtt)" test "$rtt" -ge 40 -a "$rtt" -lt 50
check "a large packet passes the delay whole" ns far ping -q -c 1 -s 1472 -M "do" 192.0.2.1
nsbg a server.log socat -u TCP4-LISTEN:7002 "OPEN:$WORK/received,creat"
# What comes back in TCP was segmented and checksummed by software.
eventually 2 accepting a 7002
head -c 300000 /dev/zero | ns far socat -u - "TCP4:$(host_addr4 a):7002"
check "TCP passes the delay whole" eventually 3 received_is 300000
eventually 8 reaches lossy 2001:db8::1
received=$(ns lossy ping -q -i 0.01 -c 40 -W 1 2001:db8::1 2>/dev/null | sed -n 's/.* \([0-9]*\) received.*/\1/p') || :
check "every 4th frame each way is lost ($received of 40 answers)" test "$received" -ge 15 -a "$received" -le 27

# ---- moving
old=$(host_addr4 four)
index=$(ns four cat /sys/class/net/eth0/ifindex)
host_move four nat2
check "after a move to nat2 the host reaches the core" reaches four 192.0.2.1
eq "after a move to nat2 it is seen from there" "$(host_outside4 n2)" "$(host_outside4 four)"
eq "its old address is gone" "" "$(ns four ip -o addr show to "$old")"
check_not "its device is a new one" test "$(ns four cat /sys/class/net/eth0/ifindex)" = "$index"
host_move four v6
check "after a move to v6 the host reaches the core by IPv6" reaches four 2001:db8::1
check_not "after a move to v6 the host has no IPv4" reaches four 192.0.2.1
index=$(ns four cat /sys/class/net/eth0/ifindex)
host_roam four dual
check "roaming to dual, the host reaches the core by IPv4" reaches four 192.0.2.1
check "roaming to dual, the host reaches the core by IPv6" reaches four 2001:db8::1
eq "roaming keeps the device" "$index" "$(ns four cat /sys/class/net/eth0/ifindex)"
host_attach four nat1 wlan0
check "a second device has an address before the first is gone" reaches n1 "$(host_addr4 four wlan0)"
host_detach four eth0
check "the second device carries on alone" reaches four 192.0.2.1
check "a host of two networks has both families" reaches two 192.0.2.1
check "a host of two networks has both families by two devices" reaches two 2001:db8::1

# ---- private files
host_resolver a 127.0.0.54
eq "a host has its own resolv.conf" "nameserver 127.0.0.54" "$(ns a cat /etc/resolv.conf)"
check_not "the other hosts keep theirs" ns b grep 127.0.0.54 /etc/resolv.conf
check_not "the machine keeps its own" grep 127.0.0.54 /etc/resolv.conf
check "resolv.conf can be replaced, not only written" \
	ns a sh -c 'echo "nameserver ::1" >/etc/new && mv /etc/new /etc/resolv.conf && grep -q ::1 /etc/resolv.conf'
ns a touch /run/ntm/mark
check "/run/ntm of a host is in the work folder" test -e "$WORK/a/run/mark"
check "a host has a BPF file system of its own" ns a mountpoint -q /sys/fs/bpf
ns a touch /var/lib/ntm/mark
check_not "/var/lib/ntm of a host is private" ns b test -e /var/lib/ntm/mark
check_not "nothing of it is on the machine" test -e /var/lib/ntm/mark
