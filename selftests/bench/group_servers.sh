#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_servers.sh - the DC's DNS beside Knot; for bench.sh.
#
#	core ---- q		asks
#	  '------ dc		ntm-dc at port 53, knotd at port 5300: the same zone
#
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"

MEMBERS=100
DNS_SECONDS=$((BENCH_QUICK == 1 ? 2 : 5))

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

# ---- networks
net_up
# All queries come from one address, which is what the limit is against.
DC_CONFIG="[dns]
listen = $DC_ADDR4:53
rate-limit = 0" dc_start
label knot "Knot DNS"
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
