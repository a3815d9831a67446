#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: every command of ntmctl works as text and as JSON, and its exit status and errors say what happened
#
#	dc (srv1), rs1 (srv2) ---- core ---- mn (v4), cn (v4b)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

says() { # SENTENCE HOST PATTERN ARGS...: exit 0, and the pattern is in the text
	local sentence=$1 host=$2 pattern=$3 output
	shift 3
	if output=$(ns "$host" timeout 5 ntmctl "$@" 2>&1) && grep -qE -- "$pattern" <<<"$output"; then
		ok "$sentence"
	else
		fail "$sentence" "ntmctl $*: no $pattern in"$'\n'"$output"
	fi
}
json() { # SENTENCE HOST FILTER ARGS...: one document, for which the filter is true
	local sentence=$1 host=$2 filter=$3 output
	shift 3
	if output=$(ns "$host" timeout 5 ntmctl -j "$@" 2>&1) && [ "$(wc -l <<<"$output")" = 1 ] &&
		jq -e "$filter" <<<"$output" >/dev/null 2>&1; then
		ok "$sentence"
	else
		fail "$sentence" "ntmctl -j $*: not $filter for"$'\n'"$output"
	fi
}
refuses() { # SENTENCE HOST EXIT PATTERN ARGS...: the sentence for people on stderr, nothing on stdout
	local sentence=$1 host=$2 expected=$3 pattern=$4 status=0
	shift 4
	ns "$host" timeout 5 ntmctl "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
	if [ "$status" = "$expected" ] && grep -qE -- "$pattern" "$WORK/err" && [ ! -s "$WORK/out" ]; then
		ok "$sentence"
	else
		fail "$sentence" "ntmctl $*: exit $status, expected $expected and $pattern"$'\n'"$(cat "$WORK/out" "$WORK/err")"
	fi
}

net_up
dc_start rs1
rs_start rs1
nodes_add mn=v4 cn=v4b
host_add alone v4

# ---- keys
key=$(ntmctl key gen)
pub=$(ntmctl key pub <<<"$key")
check "key gen makes 44 characters" grep -qE '^[A-Za-z0-9+/]{43}=$' <<<"$key"
check "key pub makes another 44" grep -qE '^[A-Za-z0-9+/]{43}=$' <<<"$pub"
check_not "twice the same key is not made" test "$key" = "$(ntmctl key gen)"
refuses "key pub of rubbish" mn 1 'private key' key pub

# ---- the node
says "status" mn 'registered: +yes' status
says "a bare ntmctl is status" mn 'registered: +yes'
json "status -j" mn '.fqdn == "mn.ntm.example" and .registered == true and (.virtual4 | startswith("198.18.")) and
	(.virtual6 | startswith("fd4e:")) and (.dc | type == "object") and .engine != null and .nat != null' status
says "status tells which offloads there are" mn '^offloads: +tso=(yes|no) uso=(yes|no) udp_segment=(yes|no) udp_gro=(yes|no)$' status
says "and how many threads carry data" mn '^data threads: +[1-9]' status
says "and how large the socket buffers are" mn '^socket buffers: +to receive 4\.0 MiB to send 4\.0 MiB lost packets: 0$' status
check "status -p is more than one line" test "$(ns mn ntmctl -p status | wc -l)" -gt 5
says "tunnel list without tunnels" mn 'no tunnels' tunnel list
json "tunnel list -j without tunnels" mn '. == []' tunnel list
says "ping" mn 'reply from cn\.ntm\.example' ping cn.$ZONE -c 2 -i 0.05
json "ping -j" mn '.sent == 2 and .received == 2 and (.replies | length) == 2' ping cn.$ZONE -c 2 -i 0.05
says "tunnel list" mn 'cn\.ntm\.example +[0-9a-f]{16}' tunnel list
json "tunnel list -j has the fields that were promised" mn '.[0] | .peer == "cn.ntm.example" and .route == "direct" and
	(has("path_id") and has("relay") and has("local") and has("remote") and has("engine") and has("cipher") and has("rx_bytes")
	and has("tx_bytes") and has("rx_packets") and has("tx_packets") and has("rtt_us") and has("established_s"))' tunnel list
id=$(tunnel mn cn .path_id)
says "tunnel show by name" mn "$id" tunnel show cn.$ZONE
says "tunnel show by Path ID" mn 'cn\.ntm\.example' tunnel show "$id"
json "tunnel show -j" mn '.peer == "cn.ntm.example" and .state == "up" and (.routes | length) > 0' tunnel show cn.$ZONE
refuses "tunnel show of nobody" mn 1 'nobody' tunnel show nobody.$ZONE
says "path explain" mn 'direct' path explain cn.$ZONE
json "path explain -j" mn '(.routes | length) > 1 and (.routes[0] | has("route") and has("verdict") and has("why"))' path explain cn.$ZONE
json "it tells why this route was taken" mn '.routes[] | select(.verdict == "taken") | .route == "direct IPv4" and
	.why == "both ends probe it, and it works"' path explain cn.$ZONE
json "and whose address is missing for another" mn '.routes[] | select(.route == "direct IPv6") | .why == "this node has no such address"' \
	path explain cn.$ZONE
json "as the other end sees it, too" cn '.routes[] | select(.route == "direct IPv6") | .why == "the peer has no such address"' \
	path explain mn.$ZONE
refuses "path explain of nobody" mn 1 . path explain nobody.$ZONE
refuses "ping to nobody" mn 1 . ping nobody.$ZONE -c 1
says "netcheck" mn 'NAT: +none' netcheck
json "netcheck -j" mn '.ipv4 == true and .ipv6 == false and .nat == "none"' netcheck
json "netcheck tells the path MTU to the DC, the relay and the peer" mn '[.path_mtu[] | [.name, .mtu, .at_least, .known_by]] | sort ==
	[["cn.ntm.example", 1480, true, "answer"], ["dc.ntm.example", 1500, false, "kernel"],
	["rs1.ntm.example", 1500, false, "kernel"]]' netcheck
says "stats" mn . stats
json "stats -j" mn 'type == "object" and length > 0' stats
says "tunnel close" mn 'closed' tunnel close cn.$ZONE
refuses "tunnel close of one that is not there" mn 1 . tunnel close cn.$ZONE

# ---- monitor
monitor_start mn
nsbg mn text-monitor.log ntmctl monitor
sleep 0.2
ns mn ntmctl ping cn.$ZONE -c 1 >/dev/null
sleep 0.3
check "monitor -j has a JSON line for each event" jq -e . "$WORK/mn-monitor.log"
check "each with time and name" test "$(monitored mn 'select((.time | type) != "number" or .event == null)' | wc -l)" = 0
check "monitor saw the direction" grep -q direction_requested "$WORK/mn-monitor.log"
check "monitor as text" grep -q direction_requested "$WORK/text-monitor.log"

# ---- the DC
says "dc status" dc 'ntm\.example' dc status
says "dc status tells how many are here" dc '^registered now: +2$' dc status
json "dc status -j" dc '.name == "dc.ntm.example" and .zone == "ntm.example"' dc status
says "dc node list" dc 'mn\.ntm\.example +198' dc node list
json "dc node list -j" dc 'length == 2 and all(.[]; .registered)' dc node list
says "dc node add" dc '198\.18\.' dc node add new.$ZONE "$pub"
json "dc node add -j again: the same addresses" dc '.fqdn == "new.ntm.example" and (.virtual4 | startswith("198.18."))' \
	dc node add new.$ZONE "$pub"
eq "adding twice makes one" 3 "$(ns dc ntmctl -j dc node list | jq length)"
json "names are the same in capitals" dc '.fqdn == "new.ntm.example"' dc node add NEW.NTM.EXAMPLE "$pub"
refuses "another key for that name" dc 1 'new\.ntm\.example' dc node add new.$ZONE "$key"
refuses "no key" dc 2 'public key' dc node add other.$ZONE rubbish
refuses "no name" dc 2 . dc node add "no name" "$pub"
says "dc node del" dc 'no member' dc node del new.$ZONE
refuses "dc node del twice" dc 1 . dc node del new.$ZONE
says "dc relay list" dc 'rs1\.ntm\.example' dc relay list
json "dc relay list -j" dc '.[0].name == "rs1.ntm.example"' dc relay list
says "dc path list" dc 'mn\.ntm\.example' dc path list
json "dc path list -j" dc '.[0] | .requester == "mn.ntm.example" and .correspondent == "cn.ntm.example"' dc path list
says "dc stats" dc . dc stats
json "dc stats -j" dc 'type == "object" and length > 0' dc stats
nsbg dc dc-monitor.log ntmctl -j dc monitor
sleep 0.2

# ---- a member that is removed
unregistered() { [ "$(status cn .registered)" = false ]; }
says_removed() { grep -q 'cn\.ntm\.example was removed' <<<"$(status cn .dc.error)"; }
gone() { [ "$(tunnels mn length)" = 0 ]; }
check "before, data flows" reaches mn "$(vip4 cn)"
old=$(vip4 cn)
says "a member with tunnels can be removed" dc 'no member' dc node del cn.$ZONE
check "its status says within 3 s that it is not registered" eventually 3 unregistered
check "and why" eventually 3 says_removed
check "its tunnels are withdrawn" eventually 3 gone
check_not "nobody reaches it any more" reaches mn "$old"
eq "the DC lists it no more" mn.$ZONE "$(ns dc ntmctl -j dc node list | jq -r '.[].fqdn')"
check_not "its name is gone" grep -q "$old" <<<"$(ns mn dig +short "@$DC_ADDR4" cn.$ZONE A)"
check "dc monitor told" grep -q '"event"' "$WORK/dc-monitor.log"

# ---- the relay
says "rs status" rs1 'rs1\.ntm\.example' rs status
json "rs status -j" rs1 '.name == "rs1.ntm.example" and .dcs[0].connected == true' rs status
json "rs tunnel list -j" rs1 'type == "array"' rs tunnel list
says "rs stats" rs1 . rs stats
json "rs stats -j" rs1 'has("packets") and has("drops")' rs stats

# ---- wrong usage: 2; not done: 1
refuses "no such command" mn 2 'unknown command' rubbish
refuses "half a command" mn 2 'whole command' tunnel
refuses "too few arguments" mn 2 'usage' tunnel show
refuses "too many arguments" mn 2 'too much' status now
refuses "no such option" mn 2 'unknown option' --rubbish
refuses "an option of another command" mn 2 'no option' status -c 3
refuses "a count that is none" mn 2 'number' ping cn.$ZONE -c many
refuses "no name, but for a terminal" mn 2 'a\?\[31m' tunnel show $'a\e[31m..b'
check_not "errors hold nothing but text" grep -q $'\e' "$WORK/err"
refuses "an interface of no name" mn 2 'no name of an interface' attach --interface a/b
refuses "no daemon: status" alone 1 'ntmd' status
refuses "no daemon: dc" alone 1 'ntm-dc' dc node list
refuses "no daemon: rs" alone 1 'ntm-rs' rs tunnel list
refuses "no daemon: ping" alone 1 'ntmd' ping cn.$ZONE -c 1
says "another socket" alone 'mn\.ntm\.example' --socket "$WORK/mn/run/ntmd.sock" status
says "--help" alone 'usage: ntmctl' --help
says "--version" alone '[0-9]+\.[0-9]+' --version
