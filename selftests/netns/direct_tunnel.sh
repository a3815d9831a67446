#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: two nodes find each other by name, and applications of both families run through a direct tunnel
#
#	dc (srv1) ---- core ---- mn (v4)    cn (v4b)	direct over IPv4
#	                 '------ mn6 (v6)   cn6 (v6b)	direct over IPv6
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

SECRET=the-eagle-has-landed-at-$RANDOM-$RANDOM

# sshd with a host key and a user's key of its own.
ssh_start() { # NAME
	local dir=$WORK/$1/ssh
	mkdir "$dir"
	ssh-keygen -q -t ed25519 -N "" -f "$dir/host"
	ssh-keygen -q -t ed25519 -N "" -f "$dir/user"
	cp "$dir/user.pub" "$dir/authorized"
	chmod 600 "$dir/authorized"
	nsbg "$1" "sshd-$1.log" /usr/sbin/sshd -D -e -f /dev/null -h "$dir/host" -p 22 \
		-o "AuthorizedKeysFile=$dir/authorized" -o StrictModes=no -o UsePAM=no -o PermitRootLogin=yes \
		-o PasswordAuthentication=no -o PidFile=none
	eventually 5 accepting "$1" 22
}

by_ssh() { # NAME WHERE CMD...
	local name=$1 where=$2
	shift 2
	ns "$name" ssh -q -i "$WORK/cn/ssh/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o BatchMode=yes -o ConnectTimeout=5 "root@$where" "$@"
}

web_start() { # NAME: one page, for ever
	cat >"$WORK/page.sh" <<-'PAGE'
	while read -r line && [ ${#line} -gt 1 ]; do :; done
	printf "HTTP/1.0 200 OK\r\n\r\nthe page\n"
	PAGE
	nsbg "$1" "web-$1.log" socat TCP6-LISTEN:80,ipv6only=0,fork,reuseaddr "EXEC:bash $WORK/page.sh"
	eventually 2 accepting "$1" 80
}

applications() { # MN CN
	local mn=$1 cn=$2 where=$2.$ZONE route=$3
	check "ping $where ($route)" reaches "$mn" "$where" -W 3
	check "$mn has a direct tunnel to $cn ($route)" route_is "$mn" "$cn" direct
	check "$cn has it too ($route)" route_is "$cn" "$mn" direct
	check "ping -4 ($route)" reaches "$mn" "$where" -4
	check "ping -6 ($route)" reaches "$mn" "$where" -6
	check "$cn finds $mn by its name ($route)" reaches "$cn" "$mn.$ZONE"
	web_start "$cn"
	eq "curl http://$where/ ($route)" "the page" "$(ns "$mn" curl -s -m 5 "http://$where/")"
	eq "curl -6 ($route)" "the page" "$(ns "$mn" curl -6 -s -m 5 "http://$where/")"
	server_start "$cn" 7001
	check "nc -4 ($route)" echoes "$mn" "$(vip4 "$cn")" 7001
	check "nc -6 ($route)" echoes "$mn" "$(vip6 "$cn")" 7001
}

received_bytes() { tunnel "$1" "$2" .rx_bytes; }

net_up
dc_start
nodes_add mn=v4 cn=v4b mn6=v6 cn6=v6b

# A name server's answer that comes when nobody waits for it any more is refused by ICMP.
OTHERWISE="not udp and not arp and not icmp6 and not ip6 multicast and not igmp and not icmp[0] = 3"

# ---- IPv4, everything on the wire captured
# At the router's end of the cable: a capture on an interface with XDP sees what XDP has made of a packet. And what BPF takes
# at ntm0 is first seen behind it, in ntm0s.
read -r _ port <<<"${PORT[mn.eth0]}"
capture_start r-v4 "$port" wire.pcap
wire=$CAPTURE
capture_start mn "$([ "$(status mn .engine)" = bpf ] && echo ntm0s || echo ntm0)" inner.pcap
inner=$CAPTURE
eq "nothing has a tunnel yet" "[]" "$(tunnels mn tostring)"
applications mn cn "IPv4"
check "the route is the global IPv4 address" grep -qF "$(host_addr4 cn):" <<<"$(tunnel mn cn .remote)"
nsbg cn secret.log socat -u TCP6-LISTEN:7002,ipv6only=0 STDOUT
eventually 2 accepting cn 7002
echo "$SECRET" | ns mn nc -N -w 3 cn.$ZONE 7002
check "a secret arrives" eventually 2 grep -q "$SECRET" "$WORK/secret.log"
capture_stop "$wire"
capture_stop "$inner"
check "on ntm0 it can be read" grep -qa "$SECRET" "$WORK/inner.pcap"
check_not "on the wire it cannot" grep -qa "$SECRET" "$WORK/wire.pcap"
eq "the wire carries nothing but UDP and neighbour discovery" "" \
	"$(tcpdump -n -r "$WORK/wire.pcap" "$OTHERWISE" 2>/dev/null)"
check "most of it is tunnel" test "$(tcpdump -n -r "$WORK/wire.pcap" "host $(host_addr4 cn) and udp" 2>/dev/null | wc -l)" -gt 40
ssh_start cn
eq "ssh cn.ntm.example" "hello from ssh" "$(by_ssh mn cn.$ZONE echo hello from ssh)"

# ---- exact counts
sleep 0.5 # the last segments of ssh
mn_tx=$(tunnel mn cn .tx_packets) cn_rx=$(tunnel cn mn .rx_packets) cn_tx=$(tunnel cn mn .tx_packets)
ns mn ping -q -i 0.02 -c 20 "$(vip4 cn)" >/dev/null
eq "20 pings are 20 packets more that mn sent" $((mn_tx + 20)) "$(tunnel mn cn .tx_packets)"
eq "20 pings are 20 packets more that cn received" $((cn_rx + 20)) "$(tunnel cn mn .rx_packets)"
eq "20 answers are 20 packets more that cn sent" $((cn_tx + 20)) "$(tunnel cn mn .tx_packets)"
no_drops "nothing failed authentication at mn" mn auth replay handshake inner_source
no_drops "nothing failed authentication at cn" cn auth replay handshake inner_source
check "ntmctl ping" ns mn ntmctl ping cn.$ZONE -c 3 -i 0.05
eq "ntmctl -j ping counts" "3 3" \
	"$(ns mn ntmctl -j ping cn.$ZONE -c 3 -i 0.05 | jq -r '"\(.sent) \(.received)"')"

# ---- bulk
nsbg cn iperf.log iperf3 -s -1
eventually 3 accepting cn 5201
before=$(received_bytes cn mn)
bits=$(ns mn iperf3 -J -t 2 -c cn.$ZONE | jq '.end.sum_received.bits_per_second | floor')
# One that is emulated is a hundred times slower.
check "iperf3 moves data for 2 s ($((bits / 1000)) kbit/s)" test "$bits" -gt $((20000000 / (${NTM_PATIENCE:-1} * ${NTM_PATIENCE:-1} * 2)))
moved=$(($(received_bytes cn mn) - before))
check "the tunnel's counters have seen it ($moved bytes)" test "$moved" -gt $((bits / 8))
no_drops "nothing of it failed authentication or was replayed" cn auth replay handshake inner_source

# ---- sizes
mtu=$(ns mn cat /sys/class/net/ntm0/mtu)
check "the largest packet passes whole ($mtu bytes)" reaches mn "$(vip4 cn)" -M "do" -s $((mtu - 28))
check "the largest IPv6 packet passes whole" reaches mn "$(vip6 cn)" -M "do" -s $((mtu - 48))
check "a larger one passes in fragments" reaches mn "$(vip4 cn)" -s 8000
check "a larger one passes in fragments in IPv6, too" reaches mn "$(vip6 cn)" -s 8000
eq "nothing was too big on the way" 0 "$(stats mn '.drops.too_big // 0')"

# ---- no name asked: a packet is enough
check "the tunnel can be closed" ns mn ntmctl tunnel close cn.$ZONE
check "then cn has none either" eventually 3 gives 0 tunnels cn length
check "a packet straight to a virtual address makes a tunnel" reaches mn "$(vip4 cn)" -W 3
check "it is a direct one" eventually 3 route_is mn cn direct
ns mn ntmctl tunnel close cn.$ZONE >/dev/null
check "a packet to a virtual IPv6 address does, too" reaches mn "$(vip6 cn)" -W 3

# ---- IPv6
applications mn6 cn6 "IPv6"
check "the route is the global IPv6 address" grep -qF "[$(host_addr6 cn6)]:" <<<"$(tunnel mn6 cn6 .remote)"
no_drops "nothing failed authentication over IPv6" cn6 auth replay handshake inner_source
