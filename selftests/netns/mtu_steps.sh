# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# mtu_steps.sh - what mtu.sh, mtu_ipv6.sh, mtu_relay.sh and mtu_blackhole.sh share, after lib.sh.
#
#	link_mtu NET BYTES		of the link between that access network and the core
#	icmp_filter ROUTER...		these send no ICMP and ICMPv6 errors any more: a black hole
#	icmp_filtered ROUTER...		whether any had to be dropped
#	sums_start NAME			a server that answers 10 MiB by their sum
#	mtu_is FROM TO LEAST MOST	what the tunnel takes; for eventually
#	tunnel_anew MN CN		closes it, forgets learnt MTUs, and makes it by a small packet
#	delivers SENTENCE FROM WHERE	10 MiB of TCP
#	direct_step MN CN NET LINK OUTER	all of this with the link of NET so large; OUTER: bytes of IP and UDP header
#	delivers_all SENTENCE MN CN MTU	TCP and large pings of both families, both ways; MTU: what the tunnel takes

MIB10=$((10 << 20))

link_mtu() { # NET BYTES
	nsip "r-$1" link set dev wan mtu "$2"
	nsip core link set dev "c-$1" mtu "$2"
}

icmp_filter() { # ROUTER...
	local name
	for name; do
		ns "$name" nft -f - <<-RULES
		table inet blackhole {
			chain output {
				type filter hook output priority filter;
				icmp type destination-unreachable counter drop
				icmpv6 type packet-too-big counter drop
			}
		}
		RULES
	done
}

icmp_filtered() { # ROUTER...
	local name rules
	for name; do
		rules=$(ns "$name" nft list table inet blackhole)
		! grep -q 'counter packets [1-9]' <<<"$rules" || return 0
	done
	return 1
}

sums_start() { # NAME
	if [ ! -e "$WORK/10mib" ]; then
		head -c "$MIB10" /dev/urandom >"$WORK/10mib"
		SUM=$(sha256sum <"$WORK/10mib")
	fi
	nsbg "$1" "sums-$1.log" socat TCP6-LISTEN:7003,ipv6only=0,fork,reuseaddr "SYSTEM:head -c $MIB10 | sha256sum"
	eventually 2 accepting "$1" 7003
}

mtu_is() { # FROM TO LEAST MOST
	local is
	is=$(tunnel "$1" "$2" .mtu)
	echo "$1 to $2: $is"
	[ "$is" -ge "$3" ] && [ "$is" -le "$4" ]
}

# At both ends: an answer that was still on its way may have made it again, and a word of its end may be lost.
tunnel_ends() { # MN CN
	ns "$1" ntmctl tunnel close "$2.$ZONE" >/dev/null 2>&1 || :
	ns "$2" ntmctl tunnel close "$1.$ZONE" >/dev/null 2>&1 || :
	gives 0 tunnels "$1" length && gives 0 tunnels "$2" length
}
tunnel_anew() { # MN CN
	local name
	eventually 5 tunnel_ends "$1" "$2"
	for name; do
		nsip "$name" route flush cache
		nsip "$name" -6 route flush cache
	done
	eventually 5 reaches "$1" "$2.$ZONE" >/dev/null
}

delivers() { # SENTENCE FROM WHERE
	eq "$1" "$SUM" "$(ns "$2" nc -N -w 5 "$3" 7003 <"$WORK/10mib")"
}

# An error about its size may come first, at either end: the next one is as small as it said.
ping_passes() { # NAME WHERE OPTION...
	eventually 6 reaches "$@" -W 0.5
}

delivers_all() { # SENTENCE MN CN MTU
	local a b
	for a in "$2 $3" "$3 $2"; do
		read -r a b <<<"$a"
		# 1400 bytes, header included: without DF they must not need a second try.
		check "$1: IPv4 without DF, $a to $b" reaches "$a" "$(vip4 "$b")" -M "dont" -s 1372 -c 3 -i 0.05
		if [ "$4" -lt 1400 ]; then
			check_not "$1: IPv4 with DF is refused, $a to $b" reaches "$a" "$(vip4 "$b")" -M "do" -s 1372 -W 0.2
			check "$1: IPv4 with DF that fits, $a to $b" reaches "$a" "$(vip4 "$b")" -M "do" -s $(($4 - 36))
		else
			check "$1: IPv4 with DF, $a to $b" reaches "$a" "$(vip4 "$b")" -M "do" -s 1372
		fi
		check "$1: 1400 bytes of data by IPv4, $a to $b" ping_passes "$a" "$(vip4 "$b")" -s 1400
		check "$1: 1400 bytes of data by IPv6, $a to $b" ping_passes "$a" "$(vip6 "$b")" -s 1400
		check "$1: IPv6's least packet, $a to $b" reaches "$a" "$(vip6 "$b")" -M "do" -s 1232
		delivers "$1: 10 MiB of TCP by IPv4, $a to $b" "$a" "$(vip4 "$b")"
		delivers "$1: 10 MiB of TCP by IPv6, $a to $b" "$a" "$(vip6 "$b")"
	done
}

direct_step() { # MN CN NET LINK OUTER
	local mtu=$(($4 - $5 - 32))
	[ "$mtu" -le 1420 ] || mtu=1420 # ntm0's own
	link_mtu "$3" "$4"
	tunnel_anew "$1" "$2"
	check "$3, $4 bytes: $1 knows what passes" eventually 1 mtu_is "$1" "$2" "$mtu" "$mtu"
	check "$3, $4 bytes: $2 does" eventually 1 mtu_is "$2" "$1" "$mtu" "$mtu"
	delivers_all "$3, $4 bytes" "$1" "$2" "$mtu"
}
