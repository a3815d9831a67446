#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_servers.sh - the DC's DNS beside Knot, and the RS in user space beside coturn; for bench.sh.
#
#	a ------ core ------ b		the relay, ntm-rs or turnserver, is in core itself (192.0.2.1): no further hop
#	           |    '--- q		asks
#	           '-------- dc		ntm-dc at port 53, knotd at port 5300: the same zone
#
# The relay has CPU 1 for itself, the sender CPU 0. What it forwards is counted, and dropped, as it enters b.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"

CORE=192.0.2.1
MEMBERS=100
SIZE=64 # bytes of the datagram that leaves the relay
DNS_SECONDS=$((BENCH_QUICK == 1 ? 2 : 5))
RELAY_SECONDS=$([ "$BENCH_QUICK" = 1 ] && echo 0.5 || echo 1)
RELAY_KPPS="200 300 450 600 800 1000 1300 0" # 0: as fast as it goes

pin() { # CPU: words to start something there
	[ "$(nproc)" -lt 2 ] || echo "taskset -c $1"
}

# ---- DNS

# The zone as the DC answers it.
knot_start() {
	local dir=$WORK/knot i type
	mkdir "$dir"
	for ((i = 1; i <= MEMBERS; i++)); do
		member_add "n$i.$ZONE" "$(ntmctl key gen | ntmctl key pub)"
		for type in A AAAA TYPE65280 TYPE65281; do echo "n$i.$ZONE $type"; done
	done >"$dir/queries"
	ns q dig +noall +answer "@$DC_ADDR4" "$ZONE" SOA "$ZONE" NS -f "$dir/queries" >"$dir/zone"
	cat >"$dir/knot.conf" <<-CONFIG
	server:
	    listen: $DC_ADDR4@5300
	    rundir: $dir
	    udp-workers: 1
	    tcp-workers: 1
	    background-workers: 1
	database:
	    storage: $dir
	zone:
	  - domain: $ZONE
	    storage: $dir
	    file: zone
	    zonefile-sync: -1
	CONFIG
	# shellcheck disable=SC2046 # no word, or three
	nsbg dc knot.log $(pin 1) knotd -c "$dir/knot.conf"
	eventually 5 knot_answers
}
knot_answers() {
	local last=n$MEMBERS.$ZONE
	[ "$(ns q dig +short -p 5300 "@$DC_ADDR4" "$last" A)" = "$(ns q dig +short "@$DC_ADDR4" "$last" A)" ]
}

queries_per_s() { # PORT
	# shellcheck disable=SC2046
	ns q $(pin 0) dnsperf -s "$DC_ADDR4" -p "$1" -d "$WORK/knot/queries" -l "$DNS_SECONDS" -c 4 -T 1 -q 400 >"$WORK/dnsperf"
	# Nothing counts if anything was refused.
	awk '/Response codes:/ { good = $3 == "NOERROR" && NF == 5 }
		/Queries per second:/ { rate = $4 }
		END { print (good ? rate : 0) }' "$WORK/dnsperf"
}

turn_dns() {
	sample dns_queries ntm "$(queries_per_s 53)"
	sample dns_queries knot "$(queries_per_s 5300)"
}

# ---- relay

relay_config() {
	printf '%s\n' "[rs]" "name = rs1.$ZONE" "private-key-file = $WORK/rs1.key" "listen = $CORE:6866" \
		"control-socket = $WORK/rs.sock" "[dc \"$DC_FQDN\"]" "public-key = $(public_key dc)" "$@"
}
relay_start() {
	# One that knows XDP must not use it for this row.
	relay_config "[datapath]" "xdp = off" >"$WORK/ntm-rs.conf"
	ntm-rs --check-config -c "$WORK/ntm-rs.conf" >/dev/null 2>&1 || relay_config >"$WORK/ntm-rs.conf"
	# shellcheck disable=SC2046
	nsbg core ntm-rs.log $(pin 1) "$NTM_BIN/ntm-rs" -c "$WORK/ntm-rs.conf"
	eventually 10 relay_up
}
relay_up() { [ "$(ns dc ntmctl -j dc relay list | jq -r '.[0].state')" = up ]; }

# What is as long as the load is counted and dropped; binds and tunnelled pings are longer.
sink_rules() {
	ns b nft -f - <<-RULES
	table netdev sink {
		counter arrived { }
		chain in {
			type filter hook ingress device "eth0" priority 0;
			udp length $((8 + SIZE)) counter name arrived drop
		}
	}
	RULES
}
arrived() { ns b nft -j list counter netdev sink arrived | jq '[.nftables[] | .counter? // empty | .packets][0]'; }

relay_point() { # CMD... PPS: kpps that b got
	local before
	before=$(arrived)
	# shellcheck disable=SC2046
	ns a $(pin 0) "$NTM_BIN/udpload" "$@" >"$WORK/sent"
	sleep 0.2
	awk -v n=$(($(arrived) - before)) '{ printf "%.1f\n", n / $4 / 1000 }' "$WORK/sent"
}

load_ntm() { # PPS
	relay_point send $CORE 6866 $SIZE "$RELAY_SECONDS" "$1" from="$LEG" head="$HEAD"
}
load_coturn() { relay_point turn $CORE "$(host_addr4 b)" 9001 $SIZE "$RELAY_SECONDS" "$1"; }

turn_relay() {
	local way kpps is best
	for way in ntm coturn; do
		best=0
		for kpps in $RELAY_KPPS; do
			is=$("load_$way" $((kpps * 1000)))
			best=$(awk -v a="$best" -v b="$is" 'BEGIN { print (a > b ? a : b) }')
		done
		sample relay64_user $way "$best"
	done
}

# A leg of the path from a to b, which have no way but the relay: LEG is where a has bound it, HEAD how its data begin.
relay_path() {
	local id type before
	ns core nft -f - <<-RULES
	table inet apart {
		chain forward {
			type filter hook forward priority filter;
			iifname { "to-a", "to-b" } oifname { "to-a", "to-b" } meta l4proto udp drop
		}
	}
	RULES
	eventually 8 reaches a "$(vip4 b)"
	eventually 5 route_is a b relay
	id=$(tunnel a b .path_id)
	LEG=$(tunnel a b .local)
	case $LEG in *:0 | "" | null | 0.*) LEG=$(host_addr4 a):$(status a .port) ;; esac
	sink_rules
	for type in 80 82; do # side 0 or 1 of the path
		HEAD=${type}00000000000001$id
		before=$(arrived)
		ns a "$NTM_BIN/udpload" send $CORE 6866 $SIZE 0.1 100 from="$LEG" head="$HEAD" >/dev/null
		sleep 0.1
		[ "$(arrived)" = "$before" ] || return 0
	done
	echo "the relay does not forward data of $LEG in path $id: $(ns core ntmctl --socket "$WORK/rs.sock" -j rs stats)"
	return 1
}

coturn_start() {
	# shellcheck disable=SC2046
	nsbg core coturn.log $(pin 1) turnserver -n --no-auth --no-cli --no-tls --no-dtls -L $CORE -E $CORE -m 1 \
		--realm bench --simple-log --log-file "$WORK/coturn.log" --pidfile "$WORK/coturn.pid" --db "$WORK/coturn.db"
	eventually 5 listening core 3478
}

# ---- networks
net_up
# shellcheck disable=SC2034 # for dc_start
DC_CONFIG="[relay \"rs1.$ZONE\"]
public-key = $(public_key rs1)
endpoint = $CORE:6866"
dc_start
label knot "Knot DNS"
label coturn "coturn"
if wanted dns_queries; then
	if ! command -v knotd >/dev/null || ! command -v dnsperf >/dev/null; then
		skip_row dns_queries "knotd and dnsperf are needed (packages knot, dnsperf)"
	else
		bench_host q
		# shellcheck disable=SC2046
		[ "$(nproc)" -lt 2 ] || taskset -pc 1 "$(daemon_pid dc ntm-dc)" >/dev/null
		knot_start
		note dns_queries "A, AAAA, NTMv4 and NTMv6 of $MEMBERS members; both servers pinned to one CPU, dnsperf to another"
		for _ in $(turns); do timed turn_dns; done
		[ "$(nproc)" -lt 2 ] || taskset -pc 0-$(($(nproc) - 1)) "$(daemon_pid dc ntm-dc)" >/dev/null
	fi
fi
if wanted relay64_user; then
	if ! command -v turnserver >/dev/null; then
		skip_row relay64_user "turnserver is needed (package coturn)"
	else
		relay_start
		bench_host a
		bench_host b
		bench_node a
		bench_node b
		relay_path
		coturn_start
		note relay64_user "64-byte datagrams leave; for coturn a channel without authentication"
		for _ in $(turns); do timed turn_relay; done
	fi
fi
