#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_relay.sh - the RS by XDP and in user space, beside a bare XDP redirect and coturn; for bench.sh.
#
#	a ------ core ------ b		the relay, ntm-rs or turnserver, is in core itself (192.0.2.1): no further hop
#	           '-------- dc
#
# relay_feed makes frames in the kernel, out of a, as if from the leg that a's ntmd has bound (or from a TURN client):
# more than any relay takes. What is relayed is counted, and dropped, by XDP as it enters b. CPU 0 has the feed and all
# that the kernel does when frames arrive: so XDP relays there, beside the feed, as the bare redirect does. Relays in
# user space have CPU 1 for themselves. Trains that leave are cut before the wire: b counts packets.
#
# What the XDP program takes by itself, and with a million paths, comes from relay_prog.c: no network, no ntm-rs.
#
#	BENCH_XDP	native (the default), generic, or off: then only the rows without XDP
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"

CORE=192.0.2.1
SIZE=64 # bytes of the datagram that leaves the relay
FEED_SECONDS=$([ "$BENCH_QUICK" = 1 ] && echo 0.5 || echo 2)
XDP=${BENCH_XDP:-native}
FEED=$NTM_BIN/bench/relay_feed
TURN_PORT=''

pin() { # CPU: words to start something there
	[ "$(nproc)" -lt 2 ] || echo "taskset -c $1"
}
rs_ctl() { ns core ntmctl --socket "$WORK/rs.sock" -j rs "$@"; }
mac() { nsip "$1" -j link show dev "$2" | jq -r ".[0].address"; }

relay_start() {
	printf '%s\n' "[rs]" "name = rs1.$ZONE" "private-key-file = $WORK/rs1.key" "listen = $CORE:6866" \
		"control-socket = $WORK/rs.sock" "[dc \"$DC_FQDN\"]" "public-key = $(public_key dc)" \
		"[datapath]" "xdp = $XDP" "interface = to-a" "interface = to-b" "pin-dir = $WORK/pins" >"$WORK/ntm-rs.conf"
	# shellcheck disable=SC2046
	nsbg core ntm-rs.log unshare --mount --propagation private $(pin 1) "$NTM_BIN/ntm-rs" -c "$WORK/ntm-rs.conf"
	eventually 10 relay_up
}
relay_up() { [ "$(ns dc ntmctl -j dc relay list | jq -r '.[0].state')" = up ]; }

helper_start() { # HOST ARGS...: sink or redirect, until it is attached; $HELPER is its process ID
	nsbg "$1" helper.log "$FEED" "${@:2}"
	HELPER=$SPAWNED
	eventually 3 grep -q ready "$WORK/helper.log"
	rm -f "$WORK/helper.log"
}

arrived() { ns b ethtool -S eth0 | awk '/xdp_drops:/ { n += $2 } END { print n }'; }

fed() { # FROM TO SIZE HEAD: kpps that reached b
	local before
	before=$(arrived)
	# shellcheck disable=SC2046
	ns a $(pin 0) "$FEED" feed eth0 "$FEED_SECONDS" "$(mac core to-a)" "$1" "$2" "$3" "$4" >"$WORK/sent"
	sleep 0.1
	awk -v n=$(($(arrived) - before)) '{ printf "%.1f\n", n / $4 / 1000 }' "$WORK/sent"
}
fed_relay() { fed "$LEG" $CORE:6866 $SIZE "$HEAD"; }
# What it is fed so may be too much for it: the best of that and of what a client offers at a pace counts.
best_coturn() {
	local kpps before best
	best=$(fed_coturn)
	for kpps in 150 220 300; do
		before=$(arrived)
		# shellcheck disable=SC2046
		ns a $(pin 0) "$NTM_BIN/udpload" turn $CORE "$(host_addr4 b)" 9001 $SIZE 1 $((kpps * 1000)) >"$WORK/sent"
		sleep 0.1
		best=$(awk -v best="$best" -v n=$(($(arrived) - before)) \
			'{ is = n / $4 / 1000; printf "%.1f\n", (is > best ? is : best) }' "$WORK/sent")
	done
	echo "$best"
}
fed_coturn() { fed "$(host_addr4 a):$TURN_PORT" $CORE:3478 $((SIZE + 4)) "$(printf '4000%04x' $SIZE)"; }

turn_relay() {
	local user bare coturn xdp
	if [ "$XDP" != off ]; then rs_ctl detach >/dev/null; fi
	user=$(fed_relay)
	coturn=$(best_coturn)
	sample relay64_user ntm "$user"
	sample relay64_user coturn "$coturn"
	[ "$XDP" != off ] || return 0
	helper_start core redirect to-a to-b $SIZE "$XDP"
	bare=$(fed_relay)
	end_pids "$HELPER"
	rs_ctl attach >/dev/null
	[ "$(rs_ctl status | jq -r .mode)" = "$XDP" ] || { echo "no $XDP XDP: $(rs_ctl status)"; return 1; }
	fed_relay >/dev/null # the next hop is found
	xdp=$(fed_relay)
	sample relay64_xdp ntm "$xdp"
	sample relay64_xdp redirect "$bare"
	sample relay64_coturn ntm "$xdp"
	sample relay64_coturn coturn "$coturn"
	sample relay64_gain ntm "$xdp"
	sample relay64_gain user "$user"
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
	for type in 80 82; do # side 0 or 1 of the path
		HEAD=${type}00000000000001$id
		before=$(arrived)
		ns a "$NTM_BIN/udpload" send $CORE 6866 $SIZE 0.1 100 from="$LEG" head="$HEAD" >/dev/null
		sleep 0.1
		[ "$(arrived)" = "$before" ] || return 0
	done
	echo "the relay does not forward data of $LEG in path $id: $(rs_ctl stats)"
	return 1
}

coturn_start() {
	# shellcheck disable=SC2046
	nsbg core coturn.log $(pin 1) turnserver -n --no-auth --no-cli --no-tls --no-dtls -L $CORE -E $CORE -m 1 \
		--realm bench --simple-log --log-file "$WORK/coturn.log" --pidfile "$WORK/coturn.pid" --db "$WORK/coturn.db"
	eventually 5 listening core 3478
	# A channel that stays: frames are made in its name.
	nsbg a turn.log "$NTM_BIN/udpload" turn $CORE "$(host_addr4 b)" 9001 $SIZE 3600 5
	eventually 3 turn_has_port
	TURN_PORT=$(turn_port)
}
turn_port() { ns a ss -Hun "dst $CORE:3478" | awk '{ sub(/.*:/, "", $3); print $3 }'; }
turn_has_port() { [ -n "$(turn_port)" ]; }

# ---- from relay_prog: lines of a name, a figure and its unit

figure() { awk -v name="$1" '$1 == name { print $2 }' "$WORK/relay_prog"; }

relay_prog() { # pairs or paths
	# shellcheck disable=SC2046
	$(pin 0) "$NTM_BIN/bench/relay_prog" "$1" $([ "$BENCH_QUICK" = 1 ] && echo quick) >"$WORK/relay_prog"
}

turn_pairs() {
	local pair
	relay_prog pairs
	for pair in 4to4 6to6 4to6 6to4; do
		sample "relay_ns_$pair" ntm "$(figure $pair)"
		sample "relay_ns_$pair" bare "$(figure ${pair}_bare)"
	done
	sample relay_ns_unknown ntm "$(figure unknown)"
	sample relay_ns_unknown known "$(figure 4to4)"
}

turn_paths() {
	local paths
	relay_prog paths
	for paths in 1000 100000; do
		[ -n "$(figure live_$paths)" ] || continue
		sample relay_paths_$((paths / 1000))k ntm "$(figure live_$paths)"
		sample relay_paths_$((paths / 1000))k one "$(figure live_${paths}_one)"
	done
	sample relay_paths_1m ntm "$(figure live_random)"
	sample relay_paths_1m one "$(figure live_random_one)"
	sample relay_paths_hot ntm "$(figure live_hot)"
	sample relay_paths_hot one "$(figure live_hot_one)"
	sample relay_paths_bytes ntm "$(figure map_bytes)"
	sample relay_paths_bytes limit 256
}

PAIRS=(relay_ns_4to4 relay_ns_6to6 relay_ns_4to6 relay_ns_6to4 relay_ns_unknown)
PATHS=(relay_paths_1k relay_paths_100k relay_paths_1m relay_paths_hot relay_paths_bytes)
LIVE=(relay64_user relay64_xdp relay64_coturn relay64_gain)
net_up # also the folder that all need
label bare "reading, lookup and redirect alone"
label one "one path"
label known "a packet that is forwarded"
label limit "the limit"
for _ in $(turns); do
	if wanted "${PAIRS[@]}"; then timed turn_pairs; fi
	if wanted "${PATHS[@]}"; then timed turn_paths; fi
done
if wanted "${PATHS[@]}"; then
	note relay_paths_1m "in the last turn a bare redirect of them: $(figure live_redirect) kpps; one path, with one wait for memory that is far: $(figure live_far) kpps; such waits: $(figure far_ns) ns each"
fi
wanted "${LIVE[@]}" || exit 0

# ---- networks
if ! command -v turnserver >/dev/null; then
	for row in "${LIVE[@]}"; do skip_row "$row" "turnserver is needed (package coturn)"; done
	exit 0
fi
if [ "$XDP" = off ]; then
	for row in relay64_xdp relay64_coturn relay64_gain; do skip_row $row "BENCH_XDP=off"; done
fi
bench_host a
bench_host b
# shellcheck disable=SC2034 # for dc_start
DC_CONFIG="[relay \"rs1.$ZONE\"]
public-key = $(public_key rs1)
endpoint = $CORE:6866"
dc_start
# Frames that XDP sends into a veth are taken only where somebody polls.
for end in "core to-a" "core to-b" "a eth0" "b eth0"; do
	read -r host dev <<<"$end"
	ns "$host" ethtool -K "$dev" gro on >/dev/null
done
ns core ethtool -K to-b tx-udp-segmentation off >/dev/null
helper_start b sink eth0 $SIZE
relay_start
bench_node a
bench_node b
relay_path
coturn_start
label coturn "coturn"
label redirect "bare XDP redirect"
label user "in user space"
note relay64_user "64-byte datagrams leave; arriving ones are joined to trains by GRO where the relay takes them; coturn: a channel without authentication"
note relay64_xdp "$XDP XDP on veth, beside the feed on one CPU"
for _ in $(turns); do timed turn_relay; done
