# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# rootless.sh - `ntmctl run` as an ordinary user in a host that may have a node as usual, too: neither its ntmd nor what runs on
# it has any privilege. Included by group_*.sh after measure.sh.
#
#	rootless_start HOST		a member of its own, rootless-HOST, and what the user needs
#	rootless_run HOST CMD...	with an ntmd of its own, that ends with CMD
#	rootless_tcp HOST TO		Gbit/s; without the first second, in which the tunnel is made
#	buffers_allow BYTES CMD...	with that as net.core.rmem_max and wmem_max, which are the whole machine's

ROOTLESS_UID=12345

rootless_start() { # HOST
	local home=$WORK/rootless-$1
	# The build may lie where only root may look; and /dev/net/tun as udev gives it to everyone.
	chmod 711 "$WORK"
	if [ ! -d "$WORK/bin" ]; then
		mkdir -m 755 "$WORK/bin"
		install -m 755 "$NTM_BIN/ntmctl" "$NTM_BIN/ntmd" "$WORK/bin"
		mknod -m 666 "$WORK/tun" c 10 200
	fi
	ns "$1" mount --bind "$WORK/tun" /dev/net/tun
	mkdir -m 700 "$home" "$home/run"
	member_add "rootless-$1.$ZONE" "$(public_key "rootless-$1")"
	cp "$WORK/rootless-$1.key" "$home/key"
	{
		printf '%s\n' "[node]" "fqdn = rootless-$1.$ZONE" "private-key-file = $home/key" \
			"control-socket = /run/ntm/ntmd.sock" "state-dir = /var/lib/ntm" "[dc]" "$(node_dc_section)" \
			"[dns]" "mode = resolv.conf" "$(zone_servers "$1" | tr ' ' '\n' | sed 's/.*:.*/[&]/; s/^/upstream = /')" \
			"[datapath]" "interface = eth0"
	} >"$home/ntmd.conf"
	chown -R $ROOTLESS_UID:$ROOTLESS_UID "$home"
}

rootless_run() { # HOST CMD...
	local home=$WORK/rootless-$1
	ns "$1" setpriv --reuid=$ROOTLESS_UID --regid=$ROOTLESS_UID --clear-groups env HOME="$home" TMPDIR="$home" \
		XDG_RUNTIME_DIR="$home/run" PATH="$WORK/bin:$PATH" timeout $((BENCH_SECONDS + 45)) \
		ntmctl run -c "$home/ntmd.conf" -- "${@:2}"
}

rootless_tcp() { # HOST TO
	rootless_run "$1" iperf3 -J -c "$2" -t "$BENCH_SECONDS" -O 1 | jq '.end.sum_received.bits_per_second / 1e9'
}

buffers_allow() ( # BYTES CMD...
	read -r receive </proc/sys/net/core/rmem_max
	read -r send </proc/sys/net/core/wmem_max
	trap 'echo "$receive" >/proc/sys/net/core/rmem_max; echo "$send" >/proc/sys/net/core/wmem_max' EXIT
	trap 'exit 143' INT TERM
	echo "$1" >/proc/sys/net/core/rmem_max
	echo "$1" >/proc/sys/net/core/wmem_max
	"${@:2}"
)
