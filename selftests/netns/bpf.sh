# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# bpf.sh - what the tests of the BPF engine share, beside lib.sh.
#
#	inline_is NAME PEER ENGINE	who has the inline lane of the tunnel: bpf or user; for eventually
#	datagrams_start FROM TO LEN SECONDS [PER_S]	UDP datagrams through the tunnel, 1000 a second
#	datagrams_end SENTENCE FROM TO	waits for their end, and checks that all came
#	nothing_pinned SENTENCE NAME	checks that neither pins nor programs nor helper devices are left
#	lane NAME PEER tx|rx inline|bulk	packets so far

inline_is() { # NAME PEER ENGINE
	local is
	is=$(tunnel "$1" "$2" '"\(.engine) \(.state)"')
	echo "$is"
	[ "$is" = "$3 up" ]
}

lane() { tunnel "$1" "$2" ".$3_$4_packets"; } # NAME PEER tx|rx inline|bulk

datagrams_start() { # FROM TO LEN SECONDS [PER_S]
	local port=$((5300 + $3 + ${#1} * 7 + $(cksum <<<"$1$2" | cut -c 1-2)))
	nsbg "$2" "datagrams-$1-$2-server.log" iperf3 -s -1 -p "$port"
	eventually 3 accepting "$2" "$port"
	# shellcheck disable=SC2046 # one word
	nsbg "$1" "datagrams-$1-$2.json" iperf3 -J -u -p "$port" -l "$3" -b $((${5:-1000} * $3 * 8)) -t "$4" -c $(vip4 "$2")
	DATAGRAMS[$1-$2]=$SPAWNED
	: >"$WORK/datagrams-$1-$2.json"
}
declare -A DATAGRAMS=()

datagrams_end() { # SENTENCE FROM TO
	local file=$WORK/datagrams-$2-$3.json
	eventually 40 not_alive "${DATAGRAMS[$2-$3]}" || :
	echo "# $(jq -r '"\(.end.sum.packets) datagrams, \(.end.sum.lost_packets) lost, jitter \(.end.sum.jitter_ms) ms"' "$file")"
	eq "$1" "0 lost" "$(jq -r 'if .end.sum.packets > 1000 then "\(.end.sum.lost_packets) lost" else .error // "too few" end' "$file")"
	rm -f "$file"
}

nothing_pinned() { # SENTENCE NAME
	eq "$1" "" "$(ns "$2" sh -c 'ls -d /sys/fs/bpf/ntm/* /sys/class/net/ntm0?' 2>/dev/null)$(
		ns "$2" bpftool -j net | jq -r '.[] | .xdp[], .tc[] | .devname')"
}
