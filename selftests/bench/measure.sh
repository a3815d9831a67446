# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# measure.sh - what the groups of bench.sh share: samples, the lock, and the measurements themselves. Included by
# group_*.sh after netns/lib.sh.
#
# Samples
#	wanted ROW...			whether any of these rows is asked for
#	sample ROW WHO VALUE		WHO: ntm, the row's reference, or another
#	label WHO TEXT; note ROW TEXT; goal ROW GOAL; skip_row ROW REASON
#
# timed CMD...	holds the lock, on a machine that has become quiet; again if others disturbed it, BENCH_TRIES times in all.
#		Nothing that lives longer than CMD is started in it.
#
# Measurements, from host FROM to the address TO of host AT; each prints figures
#	tcp_start AT			iperf3's server, for good
#	tcp_gbit FROM TO SECONDS [OPTION...]	received
#	udp_point FROM TO AT SECONDS PPS [OPTION...]	64-byte datagrams (udpload): received kpps
#	udp_best FROM TO AT [OPTION...]	the best of a sweep, and the kpps offered then
#	rtt FROM TO COUNT INTERVAL	"MEDIAN P99" in microseconds; rtt_times: each in ms; rtt_of <TIMES: of those
#	busy				CPU seconds that the whole machine has used

BENCH_LOCK=/tmp/bench.lock # everybody's on this machine who measures or makes it busy
QUIET_S=${BENCH_QUIET:-60} # how long to wait for a quiet machine
QUIET_TICKS=5 # ticks that others may use in 0.3 s
DISTURBED_MAX=15 # % of a CPU that others may use during a turn; above it the turn is tried again
DISTURBED=0
PORT_UDP=9000
UDP_SECONDS=0.7
UDP_FIRST=150 # kpps
UDP_LAST=4000
if [ "$BENCH_QUICK" = 1 ]; then UDP_SECONDS=0.4; fi

wanted() { # ROW...
	local row
	for row; do
		case " $BENCH_ROWS " in *" $row "*) return 0 ;; esac
	done
	return 1
}

sample() { # ROW WHO VALUE
	wanted "$1" || return 0
	[[ $3 =~ ^-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?$ ]] || { echo "no figure for $1 of $2: '$3'"; return 1; }
	echo "sample $*" >>"$BENCH_SAMPLES"
	printf '  %-16s %-14s %s\n' "$1" "$2" "$3"
}
label() { echo "label $*" >>"$BENCH_SAMPLES"; }
note() { echo "note $*" >>"$BENCH_SAMPLES"; }
goal() { echo "goal $*" >>"$BENCH_SAMPLES"; }
skip_row() { # ROW REASON
	wanted "$1" || return 0
	echo "skip $*" >>"$BENCH_SAMPLES"
	printf '  %-16s not measured: %s\n' "$1" "${*:2}"
}

turns() { seq "${BENCH_RUNS:-${1:-3}}"; } # [NUMBER unless BENCH_RUNS says another]

# ---- the lock, and others' use of the machine

ticks() { awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
busy() { awk -v t="$(ticks)" -v hz="$HZ" 'BEGIN { print t / hz }'; }
HZ=$(getconf CLK_TCK)

# The group's script, and so all that it starts, counts as ours.
if [ -n "$BENCH_CGROUP" ]; then echo $$ >"$BENCH_CGROUP/cgroup.procs"; fi

# CPU time in milliseconds that processes of others have used; interrupts are nobody's.
others_ms() {
	local own=0
	if [ -e "$BENCH_CGROUP/cpuacct.usage" ]; then
		own=$(($(cat "$BENCH_CGROUP/cpuacct.usage") / 1000000))
	else
		own=$(awk '$1 == "usage_usec" { printf "%d", $2 / 1000 }' "$BENCH_CGROUP/cpu.stat")
	fi
	awk -v own="$own" -v hz="$HZ" '$1 == "cpu" { printf "%d", ($2 + $3 + $4) * 1000 / hz - own }' /proc/stat
}

in_a_moment() { # ticks that were used in 0.3 s
	local before
	before=$(ticks)
	sleep 0.3
	echo $(($(ticks) - before))
}

quiet_wait() {
	local end=$((SECONDS + QUIET_S))
	while [ "$(in_a_moment)" -gt $QUIET_TICKS ]; do
		[ $SECONDS -lt $end ] || return 0
	done
}

# Runs CMD with its samples set aside; sets DISTURBED to the share of one CPU that others used, in %.
attempt() { # CMD...
	local samples=$BENCH_SAMPLES before start
	BENCH_SAMPLES=$WORK/turn
	: >"$BENCH_SAMPLES"
	start=$(now_ms) before=0
	[ -z "$BENCH_CGROUP" ] || before=$(others_ms)
	"$@"
	DISTURBED=0
	if [ -n "$BENCH_CGROUP" ]; then
		DISTURBED=$((100 * ($(others_ms) - before) / ($(now_ms) - start + 1)))
	elif [ "$(in_a_moment)" -gt $((2 * QUIET_TICKS)) ]; then
		DISTURBED=100
	fi
	BENCH_SAMPLES=$samples
}

# CMD does not inherit the lock's descriptor.
timed() { # CMD...
	local try
	for ((try = 1; try <= BENCH_TRIES; try++)); do
		exec 9>"$BENCH_LOCK"
		flock -w 1800 9
		quiet_wait 9>&-
		attempt "$@" 9>&-
		exec 9>&-
		[ $DISTURBED -gt $DISTURBED_MAX ] || break
		echo "  (others used $DISTURBED % of a CPU)"
	done
	if [ $DISTURBED -gt $DISTURBED_MAX ]; then
		awk -v d=$DISTURBED '$1 == "sample" && !seen[$2]++ { print "disturbed", $2, d }' "$WORK/turn" >>"$BENCH_SAMPLES"
	fi
	cat "$WORK/turn" >>"$BENCH_SAMPLES"
	sleep 0.2
}

# ---- TCP

tcp_start() { # AT
	nsbg "$1" "iperf-$1.log" iperf3 -s
	eventually 3 accepting "$1" 5201
}

tcp_json() { # FROM TO SECONDS [OPTION...]: iperf3's report
	ns "$1" timeout $(($3 + 15)) iperf3 -J -c "$2" -t "$3" "${@:4}"
}

tcp_gbit() { tcp_json "$@" | jq '.end.sum_received.bits_per_second / 1e9'; }

# ---- UDP

udp_point() { # FROM TO AT SECONDS PPS [OPTION...]
	local log=sink-$RANDOM.log
	nsbg "$3" "$log" "$NTM_BIN/udpload" sink $PORT_UDP 8
	local sink=$SPAWNED
	eventually 2 listening "$3" $PORT_UDP
	ns "$1" "$NTM_BIN/udpload" send "$2" $PORT_UDP 64 "$4" "$5" "${@:6}" >"$WORK/sent"
	wait "$sink" || :
	awk 'FNR == NR { seconds = $4; next } { printf "%.1f\n", $2 / seconds / 1000 }' "$WORK/sent" "$WORK/$log"
	rm -f "$WORK/$log"
}

# Until clearly less arrives than at the best rate, twice: one bad point is somebody else's.
udp_best() { # FROM TO AT [OPTION...]
	local kpps=$UDP_FIRST best=0 offered=0 is worse=0
	while [ "$kpps" -le $UDP_LAST ] && [ $worse -lt 2 ]; do
		is=$(udp_point "$1" "$2" "$3" $UDP_SECONDS $((kpps * 1000)) "${@:4}")
		read -r best offered <<<"$(awk -v a="$best" -v b="$is" -v o="$offered" -v k="$kpps" \
			'BEGIN { print (a > b ? a " " o : b " " k) }')"
		if awk -v a="$is" -v b="$best" -v o="$kpps" 'BEGIN { exit !(a < 0.8 * b || a < 0.5 * o) }'; then
			worse=$((worse + 1))
		else
			worse=0
		fi
		kpps=$((kpps * 5 / 4))
	done
	echo "$best $offered"
}

# ---- round trips

rtt_times() { # FROM TO COUNT INTERVAL
	ns "$1" ping -n -i "$4" -c "$3" "$2" | sed -n 's/.*time=\([0-9.]*\) ms/\1/p'
}

rtt_of() { # what rtt_times said, of one or several
	sort -n | awk '
		{ v[NR] = $1 * 1000 }
		END { if (NR) print v[int((NR + 1) / 2)], v[int((NR * 99 + 99) / 100)] }'
}

rtt() { rtt_times "$@" | rtt_of; }

minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f\n", a - b }'; }

# ---- networks: hosts with cables of their own to `core`, which stands between them: a - core - b

LAST_BENCH_HOST=0
bench_host() { # NAME
	local n=$((16 * LAST_BENCH_HOST))
	LAST_BENCH_HOST=$((LAST_BENCH_HOST + 1))
	host_add "$1"
	link_make core "to-$1" "$1" eth0
	nsip core addr add "198.51.100.$((n + 1))/28" dev "to-$1"
	nsip "$1" addr add "198.51.100.$((n + 10))/28" dev eth0
	nsip "$1" route add default via "198.51.100.$((n + 1))"
	# shellcheck disable=SC2034 # lib.sh reads them
	ADDR4[$1.eth0]=198.51.100.$((n + 10))
	# shellcheck disable=SC2034
	ADDR6[$1.eth0]=
	# shellcheck disable=SC2046 # two words
	host_resolver "$1" $(zone_servers "$1")
	eventually 3 reaches "$1" "198.51.100.$((n + 1))"
}

# A node that uses only its cable: other tunnels' devices are there, too.
bench_node() { # NAME
	node_start "$1" "$1.$ZONE" "[datapath]" "engine = ${NTM_ENGINE:-auto}" "interface = eth0"
	eventually 10 nodes_registered "$1"
}
