# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# apps.sh - what tests ask the daemons of daemons.sh (by ntmctl -j and jq), and the applications that they run in hosts.
# Included by lib.sh.
#
# Asking
#	status NAME FILTER		of `ntmctl -j status`; likewise stats NAME FILTER
#	vip4 NAME; vip6 NAME		its virtual addresses
#	tunnel NAME PEER FILTER		of `tunnel show`; PEER is a NAME too
#	tunnels NAME FILTER		of `tunnel list`
#	gives VALUE CMD...		whether the command prints just that: asked anew each time, for eventually
#	route_is NAME PEER ROUTE	direct or relay, and the tunnel is up; for check and eventually
#	no_drops SENTENCE NAME REASON...	checks that none of these was ever counted
#
# Applications
#	reaches NAME WHERE [OPTION...]	one ping, answered within a second
#	listening NAME PORT; accepting NAME PORT	whether somebody listens there, UDP; TCP
#	server_start NAME PORT		TCP: gives back what it gets
#	echoes NAME WHERE PORT		whether a line comes back from it
#	capture_start NAME DEV FILE [FILTER...]	tcpdump into $WORK/FILE; capture_stop ends it, $CAPTURE is its process ID
#	monitor_start NAME [OBJECT]	`ntmctl -j OBJECT monitor` into $WORK/NAME-monitor.log
#	monitored NAME FILTER		a value for each event that the jq filter gives one for
#	flow_start FROM TO WHERE PORT KBYTES_PER_S SECONDS [serve]	flow(.c) through the tunnel, from TO to FROM with "serve":
#					$FLOW_FROM, $FLOW_TO are process IDs, the receiver's log is $WORK/flow-PORT.log
#	flow_end SENTENCE PORT		ends it; checks that all bytes came
#	flow_offset PORT		bytes that its receiver has (to 100 ms)
#	stream_start FROM TO WHERE PORT PPS SECONDS [GAP_MS]	stream(.c): numbered datagrams; the receiver's log is
#					$WORK/stream-PORT.log
#	stream_end PORT			ends it; sets SENT, RECEIVED, LOST (also those after the last that came), DUPLICATE and
#					REORDERED
#	stream_gap_since PORT MOMENT	its longest silence that ended after the moment: ms

status() { ns "$1" ntmctl -j status | jq -r "$2"; }
stats() { ns "$1" ntmctl -j stats | jq -r "$2"; }
vip4() { status "$1" .virtual4; }
vip6() { status "$1" .virtual6; }
tunnel() { ns "$1" ntmctl -j tunnel show "$2.$ZONE" | jq -r "$3"; }
tunnels() { ns "$1" ntmctl -j tunnel list | jq -r "$2"; }

gives() { # VALUE CMD...
	local value=$1 is
	shift
	is=$("$@")
	echo "$is"
	[ "$is" = "$value" ]
}

route_is() { # NAME PEER ROUTE
	local is
	is=$(tunnel "$1" "$2" '"\(.route) \(.state)"')
	echo "$is"
	[ "$is" = "$3 up" ]
}

no_drops() { # SENTENCE NAME REASON...
	local sentence=$1 name=$2 reason counted=""
	shift 2
	for reason; do
		counted+=$(stats "$name" ".drops.$reason // 0 | select(. != 0) | \"$reason \\(.) \"")
	done
	eq "$sentence" "" "$counted"
}

reaches() { # NAME WHERE [OPTION...]
	local name=$1 where=$2
	shift 2
	ns "$name" ping -q -c 1 -W 1 "$@" "$where"
}

listening() { [ -n "$(ns "$1" ss -Hlun "sport = :$2")" ]; }
accepting() { [ -n "$(ns "$1" ss -Hltn "sport = :$2")" ]; }

server_start() { # NAME PORT
	nsbg "$1" "server-$1.log" socat "TCP6-LISTEN:$2,ipv6only=0,fork,reuseaddr" EXEC:cat
	eventually 2 accepting "$1" "$2"
}

echoes() { # NAME WHERE PORT
	[ "$(echo "from $1" | ns "$1" nc -N -w $((3 * ${NTM_PATIENCE:-1})) "$2" "$3")" = "from $1" ]
}

CAPTURE=
capture_start() { # NAME DEV FILE [FILTER...]
	local name=$1 dev=$2 file=$3
	shift 3
	nsbg "$name" "$file.log" tcpdump -i "$dev" --immediate-mode -U -n -s 0 -Z root -w "$WORK/$file" "$@"
	CAPTURE=$SPAWNED
	eventually 3 grep -q 'listening on' "$WORK/$file.log"
}

capture_stop() { # [PID]
	sleep 0.1
	end_pids "${1:-$CAPTURE}"
}

monitor_start() { # NAME [OBJECT]
	# shellcheck disable=SC2086 # no OBJECT is no word
	nsbg "$1" "$1-monitor.log" ntmctl -j ${2-} monitor
	sleep 0.2 # it says nothing when it has begun
}

# The last line may be half written.
monitored() { grep '}$' "$WORK/$1-monitor.log" | jq -r "$2"; }

FLOW_FROM='' FLOW_TO=''
flow_start() { # FROM TO WHERE PORT KBYTES_PER_S SECONDS [serve]
	if [ "${7-}" = serve ]; then
		nsbg "$2" "flow-$4-sent.log" "$NTM_BIN/flow" serve "$4" "$5" "$6"
		FLOW_TO=$SPAWNED
		eventually 2 accepting "$2" "$4"
		nsbg "$1" "flow-$4.log" "$NTM_BIN/flow" fetch "$3" "$4"
		FLOW_FROM=$SPAWNED
	else
		nsbg "$2" "flow-$4.log" "$NTM_BIN/flow" receive "$4"
		FLOW_TO=$SPAWNED
		eventually 2 accepting "$2" "$4"
		nsbg "$1" "flow-$4-sent.log" "$NTM_BIN/flow" send "$3" "$4" "$5" "$6"
		FLOW_FROM=$SPAWNED
	fi
	FLOW_PIDS[$4]="$FLOW_FROM $FLOW_TO"
	eventually 5 grep -q '^at ' "$WORK/flow-$4.log"
}
declare -A FLOW_PIDS=()

flow_ended() { not_alive "$@"; }

flow_end() { # SENTENCE PORT [SECONDS]
	local pids line
	read -r -a pids <<<"${FLOW_PIDS[$2]}"
	kill -s USR1 "${pids[@]}" 2>/dev/null || :
	eventually "${3:-8}" flow_ended "${pids[@]}" 2>/dev/null || :
	line=$(grep '^received ' "$WORK/flow-$2.log") || :
	if [ -n "$line" ] && grep -q '^sent [1-9]' "$WORK/flow-$2-sent.log"; then
		ok "$1"
	else
		fail "$1" "$(grep -h '^flow:' "$WORK/flow-$2.log" "$WORK/flow-$2-sent.log" || echo "it did not end")"
		end_pids "${pids[@]}"
	fi
}

flow_offset() { awk '$1 == "at" { o = $3 } END { print o + 0 }' "$WORK/flow-$1.log"; }

declare -A STREAM_PIDS=()
stream_start() { # FROM TO WHERE PORT PPS SECONDS [GAP_MS]
	local receiver
	rm -f "$WORK/stream-$4.log" "$WORK/stream-$4-sent.log" # of one before
	nsbg "$2" "stream-$4.log" "$NTM_BIN/stream" receive "$4" "${7-5}"
	receiver=$SPAWNED
	eventually 2 grep -q listening "$WORK/stream-$4.log"
	nsbg "$1" "stream-$4-sent.log" "$NTM_BIN/stream" send "$3" "$4" "$5" "$6"
	STREAM_PIDS[$4]="$SPAWNED $receiver"
}

stream_end() { # PORT
	local sender receiver line
	read -r sender receiver <<<"${STREAM_PIDS[$1]}"
	kill -s USR1 "$sender" 2>/dev/null || :
	eventually 3 not_alive "$sender"
	sleep "${STREAM_DRAIN:-0.3}" # what is on its way
	kill -s USR1 "$receiver"
	eventually 3 not_alive "$receiver"
	SENT=$(awk '$1 == "sent" { print $2 }' "$WORK/stream-$1-sent.log")
	line=$(grep '^received ' "$WORK/stream-$1.log")
	# shellcheck disable=SC2034 # for the tests
	read -r _ RECEIVED _ _ _ DUPLICATE _ REORDERED _ <<<"$line"
	LOST=$((SENT - RECEIVED))
}

stream_gap_since() { # PORT MOMENT
	awk -v t="$2" '$1 == "gap" && $3 > t { g = ($3 - $2) * 1000; if (g > m) m = g } END { printf "%.0f", m }' "$WORK/stream-$1.log"
}
