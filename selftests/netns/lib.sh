# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# lib.sh - what every netns test shares: networks, hosts in them, processes in those, assertions; and
# everything is taken down however the test ends. The servers and nodes are in daemons.sh, applications in apps.sh; this includes both.
#
#	srv1 203.0.113.0/28    srv2 203.0.113.16/28  srv3 203.0.113.32/28     dual stack: the servers
#	  | .10 dc               | .20 rs1             | .40 rs2
#	+-+----------------------+---------------------+------------------------------------------------+
#	|      core: 192.0.2.1, 2001:db8::1; a link 192.0.2.N/30, 2001:db8:ff:N::/64 to each router     |
#	+-+--------+--------+--------+--------+---------+---------+---------+----------+----------+-----+
#	  |        |        |        |      [NAT]     [NAT]     [NAT]     [NAT]      [NAT]      [NAT]+v6
#	dual     v4       v6         |      nat1      nat2      nat3      hard1      [NAT]       home
#	dual2    v4b      v6b        |      10.0.1/24 10.0.2/24 10.0.1/24 hard2      dnat        10.0.3/24
#	                                                                  10.0.11/24 10.0.21/24
#	                                                                  10.0.12/24
#
#	dual, dual2	global IPv4 and IPv6: 198.51.100.0/26 and .64/26
#	v4, v4b		global IPv4 only: 198.51.100.128/26 and .192/26
#	v6, v6b		global IPv6 only
#	nat1, nat2	private IPv4 behind a NAT that keeps a source port where it can (one mapping for all
#			destinations) and drops what nobody asked for
#	nat3		another NAT, with the private prefix, and so the addresses, of nat1
#	hard1, hard2	behind a NAT that draws a new port for every destination
#	dnat		behind a NAT behind a NAT (100.64.0.0/24 between them)
#	home		private IPv4 behind a NAT, and global IPv6 behind a firewall
#
# An access network (its router, and a bridge `lan` in it) is made when it is first used. Hosts get
# addresses in order: .10, .11 ... where the table NETS says no other. A test begins like this:
#
#	# test: two hosts of one network see each other
#	. "$(dirname "$0")/lib.sh"
#	net_up
#	host_add a dual; host_add b nat1
#	check "b reaches a" ns b ping -c 1 "$(host_addr4 a)"
#
# Networks
#	net_up				the core
#	host_add NAME NET...		a host on these networks: eth0, eth1 ... (metric 100, 200 ...)
#	host_move NAME NET [DEV]	break before make: DEV (eth0) is taken away, a new one of that name
#					is in NET, with addresses and routes as DHCP and RA would set them
#	host_roam NAME NET [DEV]	the same with the device kept (carrier lost and found, as Wi-Fi does)
#	host_attach NAME NET DEV [METRIC]	one more device (200): make before break; host_detach NAME DEV
#	host_addr4 NAME [DEV]		its address; host_addr6; host_outside4: its NAT's outside one
#	host_resolver NAME ADDR...	writes its /etc/resolv.conf; at first it names the DC's name server
#   HOST_DAD=optimistic		(a variable) the kernel asks whether the next IPv6 addresses are unique;
#				empty: the same, and it does not use them until it knows
#   Set before a network's first use:
#	NET_DELAY_MS_nat1=20		each frame needs 20 ms more between core and router, each way
#	NET_LOSS_EVERY_nat1=100		every 100th frame each way is lost there
#	NET_RATE_MBIT_nat1=100		tbf both ways there
#	NTM_LOG_LINES=200		(environment) of each log, when a test has failed; 25 if it is not set
#	NTM_OFFLOADS=off		(environment) all links without checksum and segmentation offload
#
# Processes: a host has a network namespace and private mounts: /etc (a copy, so resolv.conf may be
# rewritten or replaced), /run, /var/lib, /sys and the BPF file system; its /run/ntm and /var/lib/ntm are
# $WORK/NAME/run and $WORK/NAME/lib. They last until the test ends, whatever runs in the host.
#	ns NAME CMD...			in that host, or core, or r-NET (a router)
#	nsbg NAME LOG CMD...		in the background, output to $WORK/LOG; $SPAWNED is its process ID
#	end_pids PID...			TERM, and KILL after 3 s
#
# Assertions: each prints a line that run.sh counts
#	ok SENTENCE; fail SENTENCE [DETAIL]; skip SENTENCE REASON
#	check SENTENCE CMD...		holds if CMD succeeds
#	check_not SENTENCE CMD...	holds if CMD fails
#	eq SENTENCE EXPECTED ACTUAL
#	eventually SECONDS CMD...	no line: tries CMD until it succeeds or SECONDS have passed; NTM_PATIENCE (environment):
#					so many times longer, on a machine that is slow
# A command that fails outside these (set -e) ends the test as failed.
#
# MOVED_DOWN, MOVED_LINK, MOVED_ADDRESS (seconds since 1970, with a fraction) say when host_move or host_roam last began,
# had the new link, and had the addresses and routes on it.

set -eEuo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NTM_BIN=$(realpath -m "${NTM_BIN:-$ROOT/.output}")
PATH=$NTM_BIN:$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Names of namespaces begin with the mark, processes have it in their environment: run.sh looks for both.
export NTM_MARK=${NTM_MARK:-ntmt$$} PATH
export LC_ALL=C
WORK=${TMPDIR:-/tmp}/$NTM_MARK
FAILED=0
PIDS=()          # what nsbg started
SPAWNED=
declare -A HOLDER=()    # host -> process that keeps its mounts
declare -A ROUTER=()    # access network -> made
declare -A NEXT=()      # access network -> last part of the next address
declare -A PORT=()      # host.device -> "network port": the far end of the device
declare -A METRIC=() ADDR4=() ADDR6=() # host.device -> metric, address or nothing
PORTS=0
LINKS=0

# network -> number, kind of router, gateway/length or -, first host, IPv6 prefix or -
declare -A NETS=(
	[srv1]="1 route 203.0.113.1/28 10 2001:db8:1:1::"
	[srv2]="2 route 203.0.113.17/28 20 2001:db8:1:2::"
	[srv3]="3 route 203.0.113.33/28 40 2001:db8:1:3::"
	[dual]="4 route 198.51.100.1/26 10 2001:db8:2:1::"
	[dual2]="5 route 198.51.100.65/26 70 2001:db8:2:2::"
	[v4]="6 route 198.51.100.129/26 130 -"
	[v4b]="7 route 198.51.100.193/26 200 -"
	[v6]="8 route - 10 2001:db8:3:1::"
	[v6b]="9 route - 10 2001:db8:3:2::"
	[nat1]="10 nat 10.0.1.1/24 10 -"
	[nat2]="11 nat 10.0.2.1/24 10 -"
	[nat3]="12 nat 10.0.1.1/24 10 -"
	[hard1]="13 hard 10.0.11.1/24 10 -"
	[hard2]="14 hard 10.0.12.1/24 10 -"
	[dnat]="15 nat 10.0.21.1/24 10 -"
	[home]="16 nat 10.0.3.1/24 10 2001:db8:3:3::"
)

# ---- assertions

ok() { echo "ok - $1"; }

fail() { # SENTENCE [DETAIL]
	echo "not ok - $1"
	[ -z "${2-}" ] || printf '#   %s\n' "${2//$'\n'/$'\n'#   }"
	FAILED=$((FAILED + 1))
}

skip() { echo "skip - $1: $2"; }

check() { # SENTENCE CMD...
	local sentence=$1 output
	shift
	if output=$("$@" 2>&1); then ok "$sentence"; else fail "$sentence" "$*"$'\n'"$output"; fi
}

check_not() { # SENTENCE CMD...
	local sentence=$1 output
	shift
	if output=$("$@" 2>&1); then fail "$sentence" "$* should have failed"$'\n'"$output"; else ok "$sentence"; fi
}

eq() { # SENTENCE EXPECTED ACTUAL
	if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "expected: $2"$'\n'"actual:   $3"; fi
}

now_ms() { date +%s%3N; }

eventually() { # SECONDS CMD...; SECONDS may have a fraction
	local end output
	end=$(($(now_ms) + $(awk -v s="$1" -v times="${NTM_PATIENCE:-1}" 'BEGIN { print int(s * times * 1000) }')))
	shift
	until output=$("$@" 2>&1); do
		if [ "$(now_ms)" -ge "$end" ]; then
			echo "gave up: $*"$'\n'"$output" >&2
			return 1
		fi
		sleep 0.05
	done
}

# ---- processes

ns() { # NAME CMD...
	local name=$1
	shift
	if [ -n "${HOLDER[$name]-}" ]; then
		nsenter --target="${HOLDER[$name]}" --mount --net -- "$@"
	else
		nsenter --net="/run/netns/$NTM_MARK-$name" -- "$@"
	fi
}

nsbg() { # NAME LOG CMD...
	local name=$1 log=$2
	shift 2
	# exec all the way: $! is CMD itself.
	if [ -n "${HOLDER[$name]-}" ]; then
		nsenter --target="${HOLDER[$name]}" --mount --net -- "$@" </dev/null >>"$WORK/$log" 2>&1 &
	else
		nsenter --net="/run/netns/$NTM_MARK-$name" -- "$@" </dev/null >>"$WORK/$log" 2>&1 &
	fi
	SPAWNED=$!
	PIDS+=("$SPAWNED")
}

alive() { # PID...: whether any of them runs (a zombie does not)
	local pid state
	for pid; do
		state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) || continue
		[ "$state" = Z ] || return 0
	done
	return 1
}

end_pids() { # PID...
	local i
	[ $# -gt 0 ] || return 0
	kill "$@" 2>/dev/null || :
	for ((i = 0; i < 60; i++)); do
		alive "$@" || return 0
		sleep 0.05
	done
	echo "# had to be killed: $*"
	kill -9 "$@" 2>/dev/null || :
}

# ---- namespaces

nsip() { # NAME ARGS...: ip(8) in a namespace
	local name=$1
	shift
	ip -n "$NTM_MARK-$name" "$@"
}

nssysctl() { # NAME KEY=VALUE...
	local name=$1
	shift
	nsenter --net="/run/netns/$NTM_MARK-$name" sysctl -qw "$@"
}

ns_make() { # NAME: addresses are usable at once, nothing comes from router advertisements
	ip netns add "$NTM_MARK-$1"
	nssysctl "$1" net.ipv4.conf.{all,default}.rp_filter=0 \
		net.ipv6.conf.{all,default}.{accept_dad,dad_transmits,accept_ra}=0
	nsip "$1" link set dev lo up
}

router_make() { # NAME
	ns_make "$1"
	nssysctl "$1" net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# A router keeps its MAC address. A bridge without one of its own takes its lowest port's: the gateway's would change
# as hosts come and go, and the others lose what they send until they have learned it. Where br_netfilter is loaded,
# frames between two hosts of a network must not meet the NAT.
bridge_make() { # NAME
	local key
	nsip "$1" link add name lan address 02:00:5e:00:53:01 type bridge mcast_snooping 0
	for key in iptables ip6tables arptables; do
		nssysctl "$1" "net.bridge.bridge-nf-call-$key=0" 2>/dev/null || :
	done
	nsip "$1" link set dev lan up
}

offloads_off() { # NAME DEV
	ns "$1" ethtool -K "$2" tx off rx off tso off gso off gro off >/dev/null
}

# The two ends of a cable get different numbers (index): where they happen to be the same, the kernel takes its time, up to
# a second, to tell of a carrier that is back.
link_make() { # NAME1 DEV1 NAME2 DEV2
	LINKS=$((LINKS + 1))
	nsip "$1" link add name "$2" index $((1000 + LINKS)) type veth peer name "$4" netns "$NTM_MARK-$3"
	if [ "${NTM_OFFLOADS:-on}" = off ]; then
		offloads_off "$1" "$2"
		offloads_off "$3" "$4"
	fi
	nsip "$1" link set dev "$2" up
	nsip "$3" link set dev "$4" up
}

net_up() {
	[ "$(id -u)" = 0 ] || { echo "$0: needs root" >&2; exit 2; }
	mkdir -m 700 "$WORK"
	router_make core
	nsip core addr add 192.0.2.1/32 dev lo
	nsip core addr add 2001:db8::1/128 dev lo nodad
}

# The link of an access network to what is above it, with the delay, loss and rate it shall have.
uplink_make() { # NET ROUTER ABOVE DEV: DEV is the device of ABOVE
	local net=$1 router=$2 above=$3 dev=$4 delay=NET_DELAY_MS_$1 loss=NET_LOSS_EVERY_$1 rate=NET_RATE_MBIT_$1
	if [ "${!delay:-0}" = 0 ] && [ "${!loss:-0}" = 0 ]; then
		link_make "$above" "$dev" "$router" wan
	else
		[ -x "$NTM_BIN/linkdelay" ] || { echo "$NTM_BIN/linkdelay is missing: make tests" >&2; return 1; }
		# Without addresses, so that nobody there answers what only passes through.
		ns_make "d-$net"
		nssysctl "d-$net" net.ipv6.conf.{all,default}.disable_ipv6=1
		link_make "d-$net" a "$router" wan
		link_make "d-$net" b "$above" "$dev"
		offloads_off "$router" wan
		offloads_off "$above" "$dev"
		nsbg "d-$net" "linkdelay-$net.log" "$NTM_BIN/linkdelay" a b "${!delay:-0}" "${!loss:-0}"
		eventually 5 grep -q ready "$WORK/linkdelay-$net.log"
	fi
	if [ "${!rate:-0}" != 0 ]; then
		ns "$router" tc qdisc add dev wan root tbf rate "${!rate}mbit" burst 64kb latency 50ms
		ns "$above" tc qdisc add dev "$dev" root tbf rate "${!rate}mbit" burst 64kb latency 50ms
	fi
}

nat_rules() { # ROUTER KIND
	local how=""
	[ "$2" != hard ] || how=" random,fully-random"
	# What nobody asked for is dropped in `input` too: answered there, it would take the port that a
	# mapping from inside is about to get.
	ns "$1" nft -f - <<-RULES
	table ip nat {
		chain postrouting {
			type nat hook postrouting priority srcnat;
			oifname "wan" masquerade$how
		}
	}
	table inet filter {
		chain input {
			type filter hook input priority filter;
			meta l4proto ipv6-icmp accept
			iifname "wan" ct state != { established, related } drop
		}
		chain forward {
			type filter hook forward priority filter;
			iifname "wan" ct state != { established, related } drop
		}
	}
	RULES
}

access_make() { # NET
	local net=$1 number kind gateway first prefix router=r-$1 outside
	[ -z "${ROUTER[$net]-}" ] || return 0
	[ -n "${NETS[$net]-}" ] || { echo "no network $net; there are: ${!NETS[*]}" >&2; return 1; }
	read -r number kind gateway first prefix <<<"${NETS[$net]}"
	ROUTER[$net]=1
	NEXT[$net]=$first
	outside=$router
	if [ "$net" = dnat ]; then
		outside=r-dnat0
		router_make "$outside"
	fi
	router_make "$router"
	bridge_make "$router"
	uplink_make "$net" "$outside" core "c-$net"
	nsip core addr add "192.0.2.$((4 * number + 1))/30" dev "c-$net"
	nsip core addr add "2001:db8:ff:$number::1/64" dev "c-$net" nodad
	nsip "$outside" addr add "192.0.2.$((4 * number + 2))/30" dev wan
	nsip "$outside" addr add "2001:db8:ff:$number::2/64" dev wan nodad
	nsip "$outside" route add default via "192.0.2.$((4 * number + 1))"
	nsip "$outside" route add default via "2001:db8:ff:$number::1"
	# Routers in service know each other: one that has to ask first holds little of what comes meanwhile, and loses the rest.
	ns "$outside" ping -q -c 1 -W 1 "192.0.2.$((4 * number + 1))" >/dev/null || :
	ns "$outside" ping -q -c 1 -W 1 "2001:db8:ff:$number::1" >/dev/null || :
	if [ "$net" = dnat ]; then
		link_make "$outside" lan "$router" wan
		nsip "$outside" addr add 100.64.0.1/24 dev lan
		nsip "$router" addr add 100.64.0.2/24 dev wan
		nsip "$router" route add default via 100.64.0.1
		nat_rules "$outside" "$kind"
	fi
	if [ "$gateway" != - ]; then
		nsip "$router" addr add "$gateway" dev lan
		if [ "$kind" = route ]; then
			nsip core route add "$(network_of "$gateway")" via "192.0.2.$((4 * number + 2))"
		fi
	fi
	if [ "$prefix" != - ]; then
		nsip "$router" addr add "${prefix}1/64" dev lan nodad
		nsip "$router" addr add fe80::1/64 dev lan nodad
		nsip core route add "$prefix/64" via "2001:db8:ff:$number::2"
	fi
	[ "$kind" = route ] || nat_rules "$router" "$kind"
}

network_of() { # A.B.C.D/LENGTH of a gateway, which is the first address of its network
	local address=${1%/*}
	echo "${address%.*}.$((${address##*.} - 1))/${1#*/}"
}

# ---- hosts

# Runs as the holder of a host's mounts: $1 its folder.
# shellcheck disable=SC2016 # for the inner shell
HOLDER_SCRIPT='
set -e
mkdir "$1/run" "$1/lib" "$1/etc" "$1/cgroup"
mount --rbind /sys/fs/cgroup "$1/cgroup"
mount -t sysfs sysfs /sys
mount --move "$1/cgroup" /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs "$1/etc"
mkdir "$1/etc/upper" "$1/etc/work"
if ! mount -t overlay -o "lowerdir=/etc,upperdir=$1/etc/upper,workdir=$1/etc/work" overlay /etc 2>/dev/null; then
	cp -a /etc/. "$1/etc/upper"
	mount --bind "$1/etc/upper" /etc
fi
mkdir -p /etc/ntm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir /run/ntm /run/sshd /var/lib/ntm
mount --bind "$1/run" /run/ntm
mount --bind "$1/lib" /var/lib/ntm
touch "$1/ready"
exec sleep infinity
'

host_add() { # NAME NET...
	local name=$1 net i=0
	shift
	for net; do access_make "$net"; done
	ns_make "$name"
	mkdir "$WORK/$name"
	nsenter --net="/run/netns/$NTM_MARK-$name" unshare --mount --propagation private \
		bash -c "$HOLDER_SCRIPT" holder "$WORK/$name" </dev/null >"$WORK/$name/holder.log" 2>&1 &
	HOLDER[$name]=$!
	disown # bash need not tell of its end
	eventually 10 test -e "$WORK/$name/ready" || { cat "$WORK/$name/holder.log" >&2; return 1; }
	for net; do
		host_attach "$name" "$net" "eth$i" $((100 * (i + 1)))
		i=$((i + 1))
	done
	# shellcheck disable=SC2046 # two words
	host_resolver "$name" $(zone_servers "$name")
}

host_resolver() { # NAME ADDR...
	local name=$1
	shift
	ns "$name" rm -f /etc/resolv.conf
	printf 'nameserver %s\n' "$@" | ns "$name" sh -c 'exec cat >/etc/resolv.conf'
}

host_attach() { # NAME NET DEV [METRIC]
	local key=$1.$3
	access_make "$2"
	PORTS=$((PORTS + 1))
	PORT[$key]="$2 p$PORTS"
	METRIC[$key]=${4:-200}
	link_make "r-$2" "p$PORTS" "$1" "$3"
	nsip "r-$2" link set dev "p$PORTS" master lan
	link_wait "$1" "$3" "$2" "p$PORTS"
	MOVED_LINK=$EPOCHREALTIME
	host_configure "$1" "$2" "$3"
}

# Until both ends of the cable carry: addresses come after that with DHCP, too. A neighbour solicitation or an ARP request
# that is sent before is lost, and repeated a second later.
link_wait() { # NAME DEV NET PORT
	local i
	for ((i = 0; i < 300; i++)); do
		if [[ $(nsip "$1" -o link show dev "$2") = *" state UP "* ]] &&
			[[ $(bridge -n "$NTM_MARK-r-$3" link show dev "$4") = *" state forwarding "* ]]; then
			return 0
		fi
		sleep 0.005
	done
	echo "$2 of $1 gets no carrier" >&2
	return 1
}

# Addresses and routes, as DHCP and router advertisements would leave them.
host_configure() { # NAME NET DEV
	local key=$1.$3 gateway first prefix length metric=${METRIC[$1.$3]} n=${NEXT[$2]} batch=""
	read -r _ _ gateway first prefix <<<"${NETS[$2]}"
	NEXT[$2]=$((n + 1))
	ADDR4[$key]="" ADDR6[$key]=""
	if [ "$prefix" != - ]; then
		ADDR6[$key]=$prefix$n
		nsip "$1" addr add "${ADDR6[$key]}/64" dev "$3" ${HOST_DAD-nodad}
		batch+="route add default via fe80::1 dev $3 metric $metric"$'\n'
	fi
	if [ "$gateway" != - ]; then
		length=${gateway#*/} gateway=${gateway%/*}
		ADDR4[$key]=${gateway%.*}.$n
		batch+="addr add ${ADDR4[$key]}/$length dev $3"$'\n'
		batch+="route add default via $gateway dev $3 metric $metric"$'\n'
	fi
	# Without duplicate address detection an IPv6 address is sent from at once, but the kernel takes packets for it only a
	# moment later: with a route as well, the router's answer to a neighbour solicitation in between would be lost.
	[ "$prefix" = - ] || [ -n "${HOST_DAD+set}" ] || eventually 2 takes_packets "$1" "${ADDR6[$key]}"
	nsip "$1" -batch - <<<"$batch"
	# shellcheck disable=SC2034 # for tests that measure
	MOVED_ADDRESS=$EPOCHREALTIME
}

takes_packets() { [[ $(nsip "$1" -6 route show table local) = *"local $2 "* ]]; }

host_detach() { # NAME DEV
	local key=$1.$2
	nsip "$1" link del dev "$2"
	unset "PORT[$key]" "ADDR4[$key]" "ADDR6[$key]"
}

host_move() { # NAME NET [DEV]
	local dev=${3:-eth0}
	access_make "$2"
	MOVED_DOWN=$EPOCHREALTIME
	host_detach "$1" "$dev"
	host_attach "$1" "$2" "$dev" "${METRIC[$1.$dev]}"
}

host_roam() { # NAME NET [DEV]
	local dev=${3:-eth0} old port
	access_make "$2"
	read -r old port <<<"${PORT[$1.$dev]}"
	# shellcheck disable=SC2034
	MOVED_DOWN=$EPOCHREALTIME
	nsip "r-$old" link set dev "$port" netns "$NTM_MARK-r-$2"
	nsip "$1" -4 addr flush dev "$dev"
	nsip "$1" -6 addr flush dev "$dev" scope global
	nsip "$1" -6 route flush dev "$dev" proto boot
	PORT[$1.$dev]="$2 $port"
	nsip "r-$2" link set dev "$port" master lan up
	link_wait "$1" "$dev" "$2" "$port"
	# shellcheck disable=SC2034
	MOVED_LINK=$EPOCHREALTIME
	host_configure "$1" "$2" "$dev"
}

host_addr4() { echo "${ADDR4[$1.${2:-eth0}]}"; }
host_addr6() { echo "${ADDR6[$1.${2:-eth0}]}"; }

host_outside4() { # NAME [DEV]: what others see as the source of its IPv4 packets
	local net number kind
	read -r net _ <<<"${PORT[$1.${2:-eth0}]}"
	read -r number kind _ <<<"${NETS[$net]}"
	if [ "$kind" = route ]; then host_addr4 "$@"; else echo "192.0.2.$((4 * number + 2))"; fi
}

# ---- the end

namespaces() { ip netns list 2>/dev/null | awk -v p="$NTM_MARK-" 'index($1, p) == 1 { print $1 }'; }

# What a sanitizer wrote into a log is a failure, whatever the test looked at.
sanitizer_findings() {
	grep -lE 'ERROR: (Address|Leak|Thread)Sanitizer|runtime error: ' "$WORK"/*.log 2>/dev/null
}

finish() {
	local status=$? name log pid pids
	trap - EXIT ERR
	trap '' INT TERM
	set +eE
	end_pids "${PIDS[@]}"
	for pid in "${PIDS[@]}"; do
		wait "$pid" 2>/dev/null
		case $? in
		132 | 134 | 135 | 136 | 139) fail "no program crashes" "process $pid did: exit status $?" ;;
		esac
	done
	if log=$(sanitizer_findings); then fail "the sanitizers find nothing" "$log"; fi
	if [ "$status" != 0 ] && [ "$FAILED" = 0 ]; then fail "the test runs to its end" "exit status $status"; fi
	if [ "$FAILED" != 0 ]; then
		for log in "$WORK"/*.log; do
			[ -s "$log" ] || continue
			echo "# --- the end of ${log##*/}"
			tail -n "${NTM_LOG_LINES:-25}" "$log" | sed 's/^/# /'
		done
	fi
	mapfile -t pids < <(for name in $(namespaces); do ip netns pids "$name"; done)
	if [ ${#pids[@]} != 0 ]; then
		kill -9 "${pids[@]}" 2>/dev/null
		while alive "${pids[@]}"; do sleep 0.02; done
	fi
	for name in $(namespaces); do ip netns del "$name"; done
	rm -rf --one-file-system "$WORK"
	[ "$FAILED" = 0 ] || exit 1
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'echo "# failed: ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

# shellcheck source=selftests/netns/daemons.sh
. "$ROOT/selftests/netns/daemons.sh"
# shellcheck source=selftests/netns/apps.sh
. "$ROOT/selftests/netns/apps.sh"
