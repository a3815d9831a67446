# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# bpf.sh - what the tests of the BPF engine share, beside lib.sh.
#
#	inline_is NAME PEER ENGINE	who has the inline lane of the tunnel: bpf or user; for eventually
#	datagrams_start FROM TO LEN SECONDS	UDP datagrams through the tunnel, 1000 a second
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

# One at a time: several within a millisecond would be bulk.
datagrams_start() { # FROM TO LEN SECONDS
	local port=$((5300 + ${#DATAGRAMS[@]})) from=$1-$2
	nsbg "$2" "datagrams-$from-sink.log" "$NTM_BIN/udpload" sink "$port" $(($4 + 10)) 2
	DATAGRAMS[$from]=$SPAWNED
	eventually 3 listening "$2" "$port"
	# shellcheck disable=SC2046 # one word
	nsbg "$1" "datagrams-$from.log" "$NTM_BIN/udpload" send $(vip4 "$2") "$port" "$3" "$4" 1000 single
	DATAGRAMS[$from]+=" $SPAWNED"
}
declare -A DATAGRAMS=()

datagrams_end() { # SENTENCE FROM TO
	local from=$2-$3 sent received pids
	read -r -a pids <<<"${DATAGRAMS[$from]}"
	eventually 40 not_alive "${pids[@]}" || :
	sent=$(awk '$1 == "sent" { n = $2 } END { print n + 0 }' "$WORK/datagrams-$from.log")
	received=$(awk '$1 == "received" { n = $2 } END { print n + 0 }' "$WORK/datagrams-$from-sink.log")
	if [ "$sent" -gt 1000 ]; then eq "$1 ($sent)" "$sent" "$received"; else fail "$1" "only $sent were sent"; fi
	rm -f "$WORK/datagrams-$from.log" "$WORK/datagrams-$from-sink.log"
}

nothing_pinned() { # SENTENCE NAME
	eq "$1" "" "$(ns "$2" sh -c 'ls -d /sys/fs/bpf/ntm/* /sys/class/net/ntm0?' 2>/dev/null)$(
		ns "$2" bpftool -j net | jq -r '.[] | .xdp[], .tc[] | .devname')"
}
