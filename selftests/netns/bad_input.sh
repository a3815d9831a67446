#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: rubbish, replays and floods from strangers do no harm, and nobody is answered with more than he sent
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn (v4)
#	                            |------- six (v6)		mn - six: by rs1
#	                            '------- evil (v4b)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

RUBBISH=$ROOT/selftests/netns/rubbish.pl
evil() { ns evil perl "$RUBBISH" "$@"; }
drops() { # NAME: all that were counted
	case $1 in
	dc) ns dc ntmctl -j dc stats ;;
	rs1) ns rs1 ntmctl -j rs stats ;;
	*) ns "$1" ntmctl -j stats ;;
	esac | jq '[.drops[]?] | add // 0'
}
program() { case $1 in dc) echo ntm-dc ;; rs1) echo ntm-rs ;; *) echo ntmd ;; esac }

net_up
dc_start rs1
rs_start rs1
nodes_add mn=v4 six=v6
host_add evil v4b
PORT_MN=$(cat "$WORK/mn/lib/port")
declare -A TARGET=([dc]="$DC_ADDR4 6866" [rs1]="$(host_addr4 rs1) 6866" [mn]="$(host_addr4 mn) $PORT_MN")

# ---- a capture of the real thing, to replay; outside of mn, where XDP has opened nothing yet
read -r net port <<<"${PORT[mn.eth0]}"
capture_start "r-$net" "$port" real.pcap udp
reaches mn six.$ZONE -W 4 >/dev/null
ns mn ping -q -i 0.02 -c 40 "$(vip4 six)" >/dev/null
capture_stop
monitor_start mn
path=$(tunnel mn six .path_id) remote=$(tunnel mn six .remote)

for name in dc rs1 mn; do
	# shellcheck disable=SC2086 # address and port
	set -- ${TARGET[$name]}
	before=$(drops $name)
	counted=0
	for how in "random 600" "damaged $WORK/real.pcap" "replay $WORK/real.pcap"; do
		# shellcheck disable=SC2086
		sent=$(evil ${how% *} "$1" "$2" ${how##* })
		counted=$((counted + ${sent#sent }))
	done
	sleep 0.3
	if [ $name = mn ]; then
		check "mn's monitor tells that packets of six came again" grep -q '"packet_replayed","peer":"six\.' "$WORK/mn-monitor.log"
		check "once a second at most" jq -es '[.[] | select(.event == "packet_replayed") | .time] |
			[range(1; length) as $i | .[$i] - .[$i - 1]] | all(. >= 0.99)' "$WORK/mn-monitor.log"
	fi
	dropped=$(($(drops $name) - before))
	check "$name lives on after $counted packets of rubbish" daemon_ready $name "$(program $name)"
	check "$name counted nearly all of them as drops ($dropped)" test "$dropped" -ge $((counted * 8 / 10))
	read -r _ sent _ answered _ longer <<<"$(evil probe "$1" "$2" 240)"
	eq "$name answered none of $sent probes with more than it got" 0 "$longer"
	if [ $name != mn ]; then
		check "$name answered echoes ($answered answers)" test "$answered" -ge 5
	fi
	# shellcheck disable=SC2086
	evil handshakes "$1" "$2" 20000 >/dev/null &
	flood=$!
	check "$name answers ntmctl in a flood of handshakes" timeout 2 bash -c "$(declare -f ns daemon_ready); $(declare -p HOLDER NTM_MARK);
		daemon_ready $name $(program $name)"
	if [ $name = mn ]; then check "and its tunnel carries data" reaches mn "$(vip4 six)"; fi
	wait "$flood"
	check "$name lives on after 20000 of them" daemon_ready $name "$(program $name)"
done

evil random "$DC_ADDR4" 53 500 >/dev/null
check "the DC's name server lives on" test "$(ns evil dig +short +time=2 "@$DC_ADDR4" six.$ZONE A)" = "$(vip4 six)"
ns evil sh -c "head -c 3000 /dev/urandom | nc -N -w 1 $DC_ADDR4 53" >/dev/null 2>&1 || :
check "by TCP, too" test "$(ns evil dig +tcp +short +time=2 "@$DC_ADDR4" six.$ZONE A)" = "$(vip4 six)"

# ---- as if nothing had been
check "data flows" reaches mn "$(vip4 six)"
eq "the path is the same" "$path" "$(tunnel mn six .path_id)"
eq "it leads where it led" "$remote" "$(tunnel mn six .remote)"
check "mn and six are registered" nodes_registered mn six
check "the DC answers new directions" ns six ntmctl ping mn.$ZONE -c 1
check_not "evil's address is in no path" grep -qF "$(host_addr4 evil)" <<<"$(tunnels mn tostring)$(ns rs1 ntmctl -j rs tunnel list)"

# ---- somebody on the way who sends each packet once more, as it was: where BPF has the inline lane, XDP sees these
replayed() { monitored mn 'select(.event == "packet_replayed")' | wc -l; }
replays=$(replayed) drops=$(stats mn .drops.replay)
nsbg core mitm.log "$NTM_BIN/mitm" c-srv2 "$(host_addr4 rs1)" "$(host_addr4 mn)" types=80-8f
eventually 3 grep -q ready "$WORK/mitm.log"
check "pings whose answers are copied are answered" ns mn ping -q -i 0.05 -c 20 "$(vip4 six)"
all_refused() { [ $(($(stats mn .drops.replay) - drops)) -ge 20 ]; }
check "each copy is refused" eventually 3 all_refused
end_pids "$SPAWNED"
check "and the monitor tells" test "$(replayed)" -gt "$replays"
