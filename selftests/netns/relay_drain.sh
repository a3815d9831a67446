#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a relay that is drained takes no new paths, its paths go on over another relay, and it ends when none is left
#
#	dc (srv1), rs1 (srv2), rs2 (srv3) ---- core ---- four (v4), far (v4b), six (v6)
#
# four - six is relayed, four - far is direct with a standby. Whichever relay four - six has is drained.
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

relay_state() { ns dc ntmctl -j dc relay list | jq -r ".[] | select(.name == \"$1.$ZONE\") | .state"; }
relay_is() { [ "$(relay_state "$1")" = "$2" ]; }
relay_of() { local is; is=$(tunnel "$1" "$2" .relay); echo "${is%%.*}"; }
has_relay() { [ "$(relay_of "$1" "$2")" != null ]; } # null: between two of them
relayed_by() { # NAME PEER RELAY
	local is
	is=$(relay_of "$1" "$2")
	echo "$is"
	[ "$is" = "$3" ] && route_is "$1" "$2" relay
}
paths_of() { ns "$1" ntmctl -j rs status | jq .paths; }
has_paths() { [ "$(paths_of "$1")" -ge 1 ]; }
standby_is() { [ "$(tunnel "$1" "$2" '"\(.standby.name) \(.standby.bound)"')" = "$3.$ZONE true" ]; }

net_up
dc_start rs1 rs2
rs_start rs1
rs_start rs2
check "both relays are up" eventually 8 relay_is rs1 up
eventually 8 relay_is rs2 up
nodes_add four=v4 far=v4b six=v6
check "four reaches six" reaches four six.$ZONE -W 4
eventually 2 has_relay four six
check "four reaches far" reaches four far.$ZONE -W 4
eventually 3 route_is four far direct
OLD=$(relay_of four six)
case $OLD in rs1) NEW=rs2 ;; *) NEW=rs1 ;; esac
id=$(tunnel four six .path_id)
eventually 3 has_paths "$OLD"

# ---- called off in time
check "drain tells how many paths are left" grep -q "draining, [1-9][0-9]* paths left" <<<"$(ns "$OLD" ntmctl rs drain)"
check "the DC knows at once" eventually 1 relay_is "$OLD" draining
check "drain --cancel calls it off" grep -q "not draining" <<<"$(ns "$OLD" ntmctl rs drain --cancel)"
check "the DC knows that, too" eventually 1 relay_is "$OLD" up
# It may have been quicker: then the pair is back where it was, or stays.
eventually 3 has_relay four six
OLD=$(relay_of four six)
case $OLD in rs1) NEW=rs2 ;; *) NEW=rs1 ;; esac
echo "# draining $OLD"

# ---- for good, with a flow
flow_start four six "$(vip6 six)" 7200 200 12
sleep 1
monitor_start "$OLD" rs
start=$(now_ms)
ns "$OLD" ntmctl rs drain >/dev/null
check "the tunnel moves to the other relay" eventually 5 relayed_by four six "$NEW"
check "six sees it so" eventually 2 relayed_by six four "$NEW"
echo "# after $(($(now_ms) - start)) ms"
eq "it is the same path" "$id" "$(tunnel four six .path_id)"
check "the standby of the direct path has moved as well" eventually 5 standby_is four far "$NEW"
check "a new path goes to the other relay" reaches far six.$ZONE -W 4
check "by it, as far sees it" eventually 2 relayed_by far six "$NEW"
check "the drained relay ends by itself" eventually 20 not_alive "$(daemon_pid "$OLD" ntm-rs)"
echo "# after $((($(now_ms) - start) / 1000)) s"
if wait "$(daemon_pid "$OLD" ntm-rs)"; then status=0; else status=$?; fi
eq "with exit status 0" 0 "$status"
check "it told of the end" grep -q '"drained"' "$WORK/$OLD-monitor.log"
check "the DC sees it down" eventually 12 relay_is "$OLD" down
flow_end "the flow lost nothing" 7200
check "four still reaches six" reaches four "$(vip4 six)"
check "far still reaches six" reaches far "$(vip4 six)"

# ---- and back
daemon_run "$OLD" ntm-rs
check "started again it takes paths" eventually 8 relay_is "$OLD" up
