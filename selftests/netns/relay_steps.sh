# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# relay_steps.sh - what relay_xdp.sh and relay_restart.sh share, after lib.sh. The relay is rs1.
#
#	PINS				its pin directory, in its namespace
#	rs_status FILTER		of `ntmctl -j rs status`; likewise rs_stats FILTER
#	rs_path NAME PEER FILTER	of the object for their path in `ntmctl -j rs tunnel list`
#	xdp_is MODE			for eventually: all interfaces are relayed so
#	passed NAME PEER		"XDP_PACKETS USER_PACKETS" of their path so far
#	by_xdp SENTENCE NAME PEER CMD...	checks that CMD succeeds, that XDP passed on packets, and user space none
#	no_direct			the networks v4 and v4b, v6 and v6b do not reach each other: only by the relay
#	whole SENTENCE FROM TO WHERE	a file of random bytes by TCP: checks its sum
#	stream_start FROM TO ADDR SECONDS	paced datagrams through the tunnel, from one to the other
#	stream_end SENTENCE		checks that every one of them arrived
#	pings SENTENCE FROM ADDR	50 in half a second, all answered
#	far_end_make; far_end on|off [DEV]	the far end of the cable of rs1's eth0, or DEV, has an XDP program, as native XDP wants it

PINS=/sys/fs/bpf/ntm/rs

rs_status() { ns rs1 ntmctl -j rs status | jq -r "$1"; }
rs_stats() { ns rs1 ntmctl -j rs stats | jq -r "$1"; }
rs_path() { # NAME PEER FILTER
	local id
	id=$(tunnel "$1" "$2" .path_id)
	ns rs1 ntmctl -j rs tunnel list | jq -r ".[] | select(.path_id == \"$id\") | $3"
}
xdp_is() { [ "$(rs_status '[.mode, .interfaces[].mode] | unique | join(" ")')" = "$1" ]; }

passed() { # NAME PEER
	rs_path "$1" "$2" '"\(.xdp_packets0 + .xdp_packets1) \(.packets0 + .packets1 - .xdp_packets0 - .xdp_packets1)"'
}

# A path that was directed anew meanwhile has another Path ID, and begins to count: then once more.
by_xdp() { # SENTENCE NAME PEER CMD...
	local sentence=$1 name=$2 peer=$3 xdp user xdp_before user_before id try
	shift 3
	for try in 1 2 3; do
		id=$(tunnel "$name" "$peer" .path_id)
		read -r xdp_before user_before <<<"$(passed "$name" "$peer")"
		check "$sentence" "$@"
		read -r xdp user <<<"$(passed "$name" "$peer")"
		if [ "$id" = "$(tunnel "$name" "$peer" .path_id)" ]; then break; fi
		echo "  the path was directed anew ($try)"
	done
	check "$sentence: by XDP ($((xdp - xdp_before)) packets)" test "$xdp" -gt "$xdp_before"
	eq "$sentence: and nothing by user space" "$user_before" "$user"
}

no_direct() {
	ns core nft -f - <<-RULES
	table inet apart {
		chain forward {
			type filter hook forward priority filter;
			iifname { "c-v4", "c-v6" } oifname { "c-v4b", "c-v6b" } drop
			iifname { "c-v4b", "c-v6b" } oifname { "c-v4", "c-v6" } drop
		}
	}
	RULES
}

whole() { # SENTENCE FROM TO WHERE
	local port=7100
	[ -e "$WORK/whole" ] || head -c $((3 << 20)) /dev/urandom >"$WORK/whole"
	nsbg "$3" "whole-$3.log" sh -c "socat -u TCP6-LISTEN:$port,ipv6only=0,reuseaddr - | sha256sum >$WORK/whole.sum"
	eventually 2 accepting "$3" $port
	ns "$2" nc -N -w 5 "$4" $port <"$WORK/whole" || :
	eventually 5 test -s "$WORK/whole.sum" 2>/dev/null || :
	eq "$1" "$(sha256sum <"$WORK/whole")" "$(cat "$WORK/whole.sum")"
	rm -f "$WORK/whole.sum"
}

STREAM_FROM='' STREAM_TO=''
stream_start() { # FROM TO ADDR SECONDS
	rm -f "$WORK/stream-sent.log" "$WORK/stream.log"
	nsbg "$2" stream.log "$NTM_BIN/udpload" sink 7200 $(($4 + 10)) 3
	STREAM_TO=$SPAWNED
	eventually 2 listening "$2" 7200
	nsbg "$1" stream-sent.log "$NTM_BIN/udpload" send "$3" 7200 400 "$4" 400
	STREAM_FROM=$SPAWNED
}
stream_end() { # SENTENCE
	local sent received
	eventually 30 not_alive "$STREAM_FROM" "$STREAM_TO"
	read -r _ sent _ <"$WORK/stream-sent.log"
	read -r _ received _ <"$WORK/stream.log"
	check "$1 ($received of $sent)" test "$sent" -gt 100 -a "$sent" = "$received"
}

pings() { # SENTENCE FROM ADDR
	local output
	output=$(ns "$2" ping -q -i 0.01 -c 50 -W 3 "$3") || :
	eq "$1" "50 packets transmitted, 50 received" "$(grep -o '.* received' <<<"$output")"
}

# The far end of a cable takes frames from native XDP only while it has a program of its own, too.
far_end() { # on|off [DEV]
	local net port
	read -r net port <<<"${PORT[rs1.${2:-eth0}]}"
	if [ "$1" = on ]; then
		# ip makes folders in the BPF file system that it finds, and leaves them.
		ns "r-$net" unshare --mount --propagation private sh -c "mount -t bpf bpf /sys/fs/bpf &&
			exec ip link set dev $port xdpdrv obj $WORK/pass.o sec xdp"
	else
		ns "r-$net" ip link set dev "$port" xdpdrv off
	fi
}
far_end_make() {
	clang -target bpf -O2 -x c -c -o "$WORK/pass.o" - <<-PROGRAM
	__attribute__((section("xdp"), used)) int pass(void *ctx) { return 2; }
	char gpl[] __attribute__((section("license"), used)) = "GPL";
	PROGRAM
}
