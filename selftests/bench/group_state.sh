#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# group_state.sh - memory of a node with 100 tunnels, beside wireguard-go with 100 peers; for bench.sh.
#
#	dc (srv1) ---- core ---- hub
#	                 '------ r-many: a bridge, and the peers p1 .. p100, each an ntmd in a namespace
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
# shellcheck source=selftests/bench/measure.sh
. "$ROOT/selftests/bench/measure.sh"
# shellcheck source=selftests/bench/peers.sh
. "$ROOT/selftests/bench/peers.sh"

TUNNELS=$((BENCH_QUICK == 1 ? 20 : 100))
AT_ONCE=10 # peers that start, or are called, together
REST=12 # seconds after which a tunnel without data is idle (REST_MS and a tick of daemon/keepalive.c)

memory() { # PID FIELD: bytes
	awk -v f="$2:" '$1 == f { print $2 * 1024 }' "/proc/$1/status"
}
mebibytes() { awk -v b="$1" 'BEGIN { printf "%.1f\n", b / 1048576 }'; }
# What the second half added: the first one also pays for what is there once.
each() { awk -v a="$1" -v b="$2" -v n=$((TUNNELS / 2)) 'BEGIN { printf "%.0f\n", (b - a) / n }'; }

# A peer needs no files of its own in /etc or /run: everything is named in its configuration.
peer_start() { # NUMBER
	local name=p$1 dir=$WORK/p$1
	ns_make "$name"
	link_make r-many "m$1" "$name" eth0
	nsip r-many link set dev "m$1" master lan
	nsip "$name" addr add "198.51.101.$((1 + $1))/24" dev eth0
	nsip "$name" route add default via 198.51.101.1
	mkdir "$dir"
	{
		printf '%s\n' "[node]" "fqdn = $name.$ZONE" "private-key-file = $WORK/$name.key" \
			"control-socket = $dir/ntmd.sock" "state-dir = $dir"
		printf '%s\n' "[dc]" "$(node_dc_section)" "[dns]" "mode = off" "listen = 127.0.0.54:53" \
			"upstream = $DC_ADDR4" "[datapath]" "engine = user"
	} >"$dir/ntmd.conf"
	member_add "$name.$ZONE" "$(public_key "$name")"
	nsbg "$name" "$name.log" "$NTM_BIN/ntmd" -c "$dir/ntmd.conf"
}

peer_registered() { ns "p$1" ntmctl --socket "$WORK/p$1/ntmd.sock" -j status | jq -e .registered; }
hub_has() { [ "$(tunnels hub 'map(select(.state == "up")) | length')" = "$1" ]; }

peers_start() {
	local i
	for ((i = 1; i <= TUNNELS; i++)); do
		peer_start $i
		[ $((i % AT_ONCE)) != 0 ] || eventually 20 peer_registered $i
	done
	for ((i = 1; i <= TUNNELS; i++)); do eventually 20 peer_registered $i; done
}

# Calls the peers; prints the memory with half of the tunnels.
hub_calls() { # PID
	local address called=0
	for address in $(ns dc ntmctl -j dc node list | jq -r '.[] | select(.fqdn | startswith("p")) | .virtual4'); do
		ns hub ping -q -c 1 -W 5 "$address" >/dev/null &
		called=$((called + 1))
		[ $((called % AT_ONCE)) != 0 ] || eventually 10 hub_has $called
		if [ $called = $((TUNNELS / 2)) ]; then
			sleep $REST
			memory "$1" RssAnon
		fi
	done
	wait
}

wireguard_add() { # FROM TO
	local i
	for ((i = $1; i <= $2; i++)); do
		echo "[Peer]"
		echo "PublicKey = $(wg genkey | wg pubkey)"
		echo "AllowedIPs = 10.73.0.$i/32"
	done >"$WORK/peers.conf"
	ns w wg addconf wg0 "$WORK/peers.conf"
	sleep 1
}

# In a namespace of its own; it is only told of the peers.
wireguard_with_peers() {
	local pid before
	host_add w
	nsbg w wireguard.log env LOG_LEVEL=error WG_PROCESS_FOREGROUND=1 "$WIREGUARD_GO" wg0
	pid=$SPAWNED
	eventually 5 ns w test -S /var/run/wireguard/wg0.sock
	nsip w link set dev wg0 up
	wireguard_add 1 $((TUNNELS / 2))
	before=$(memory "$pid" RssAnon)
	wireguard_add $((TUNNELS / 2 + 1)) $TUNNELS
	sample memory_100 wireguard-go "$(mebibytes "$(memory "$pid" VmRSS)")"
	sample memory_tunnel wireguard-go "$(each "$before" "$(memory "$pid" RssAnon)")"
}

net_up
dc_start
host_add hub dual
node_start hub "hub.$ZONE" "[datapath]" "engine = ${NTM_ENGINE:-auto}"
eventually 10 nodes_registered hub
router_make r-many
bridge_make r-many
link_make core many r-many wan
nsip core addr add 192.0.2.201/30 dev many
nsip r-many addr add 192.0.2.202/30 dev wan
nsip r-many addr add 198.51.101.1/24 dev lan
nsip r-many route add default via 192.0.2.201
nsip core route add 198.51.101.0/24 via 192.0.2.202
peers_start
pid=$(daemon_pid hub ntmd)
half=$(hub_calls "$pid")
eventually 10 hub_has $TUNNELS
sleep $REST
sample memory_100 ntm "$(mebibytes "$(memory "$pid" VmRSS)")"
sample memory_tunnel ntm "$(each "$half" "$(memory "$pid" RssAnon)")"
for row in memory_100 memory_tunnel; do
	note $row "$TUNNELS tunnels, measured once, engine $(status hub .engine)"
	note $row "wireguard-go's peers are only configured"
done
if wireguard_go; then
	wireguard_with_peers
else
	skip_row memory_100 "wireguard-go could not be had to compare with"
	skip_row memory_tunnel "wireguard-go could not be had to compare with"
fi
