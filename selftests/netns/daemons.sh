# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# daemons.sh - the zone ntm.example in the networks of lib.sh, which includes this file: the DC on srv1,
# relays on srv2 and srv3, nodes on hosts that the test has added.
#
#	dc_start [RELAY...]		host dc, and ntm-dc that may direct these relays (rs1, rs2)
#	rs_start NAME			host NAME (rs1, rs2), and ntm-rs; before or after dc_start
#	node_config NAME FQDN [LINE...]	makes FQDN a member of the zone, and the configuration of ntmd in the host NAME
#	node_start NAME FQDN [LINE...]	the same, and starts ntmd
#	nodes_add NAME=NET[,NET...]...	hosts, and nodes NAME.ntm.example on them; waits until all are registered
#	nodes_registered NAME...	for eventually: whether all are
#	daemon_stop NAME PROGRAM [SIGNAL]	waits until it has ended (TERM); $STATUS is its exit status
#	daemon_run NAME PROGRAM		starts it again with the configuration it had, and waits until ready
#	daemon_pid NAME PROGRAM
#	public_key NAME			of that server or node, made when it is first asked for
#
# LINEs are added to the configuration; a section that they open ("[dns]") replaces the one below. Likewise
# DC_CONFIG and RS_CONFIG (variables, lines). NODE_LINES (a variable) are added to the nodes' section [node]. Logs are $WORK/NAME-PROGRAM.log, configurations
# $WORK/NAME/PROGRAM.conf, sockets where ntmctl looks for them: `ns mn ntmctl status`, `ns dc ntmctl dc node list`.
#
#	NTM_ENGINE	(environment) engine of nodes without a [datapath] of their own: auto, bpf or user; user if it is not set
#	NTM_THREADS	(environment) their data threads: [datapath] threads
#	NTM_DAEMON_ARGS	(environment) further arguments of all daemons: -v

ZONE=ntm.example
DC_FQDN=dc.$ZONE
DC_ADDR4=203.0.113.10
DC_ADDR6=2001:db8:1:1::10
declare -A DAEMON=() # NAME-PROGRAM -> process ID
declare -A MEMBER=() # FQDN -> registered at the DC
declare -A RELAY_NET=([rs1]=srv2 [rs2]=srv3)
STATUS=

zone_servers() { # NAME: the DC's name servers, first the one in a family that this host has
	if [ -n "${ADDR4[$1.eth0]-}" ]; then echo "$DC_ADDR4 $DC_ADDR6"; else echo "$DC_ADDR6 $DC_ADDR4"; fi
}

public_key() { # NAME
	if [ ! -e "$WORK/$1.pub" ]; then
		(umask 077 && ntmctl key gen >"$WORK/$1.key")
		ntmctl key pub <"$WORK/$1.key" >"$WORK/$1.pub"
	fi
	cat "$WORK/$1.pub"
}

server_host() { # NAME NET
	[ -n "${HOLDER[$1]-}" ] || host_add "$1" "$2"
}

section() { # HEADER LINES EXTRA: the section, unless the extra lines have it
	case $'\n'$3$'\n' in
	*$'\n'"$1"$'\n'*) ;;
	*) printf '%s\n%s\n' "$1" "$2" ;;
	esac
}

daemon_pid() { echo "${DAEMON[$1-$2]}"; }

daemon_ready() { # NAME PROGRAM: whether it answers
	case $2 in
	ntmd) ns "$1" ntmctl status ;;
	ntm-dc) ns "$1" ntmctl dc relay list ;; # the list of nodes may be long
	ntm-rs) ns "$1" ntmctl rs tunnel list ;;
	esac
}

# Also ends the wait for a daemon that has given up.
daemon_ready_or_gone() { daemon_ready "$1" "$2" || ! alive "${DAEMON[$1-$2]}"; }

daemon_run() { # NAME PROGRAM
	local args=()
	read -r -a args <<<"${NTM_DAEMON_ARGS-}"
	# With mode = off nobody else makes applications ask ntmd.
	if [ "$2" = ntmd ] && grep -q '^mode = off' "$WORK/$1/ntmd.conf"; then host_resolver "$1" 127.0.0.54; fi
	nsbg "$1" "$1-$2.log" "$NTM_BIN/$2" -c "$WORK/$1/$2.conf" "${args[@]}"
	DAEMON[$1-$2]=$SPAWNED
	eventually 10 daemon_ready_or_gone "$1" "$2"
	alive "${DAEMON[$1-$2]}" || { echo "$2 in $1 ended: $(tail -n 3 "$WORK/$1-$2.log")" >&2; return 1; }
}

daemon_stop() { # NAME PROGRAM [SIGNAL]
	local pid=${DAEMON[$1-$2]}
	kill -s "${3:-TERM}" "$pid" || :
	# bash would tell of a killed one.
	{
		eventually 5 not_alive "$pid"
		# shellcheck disable=SC2034 # for the test
		if wait "$pid"; then STATUS=0; else STATUS=$?; fi
	} 2>/dev/null
}

not_alive() { ! alive "$@"; }

dc_start() { # [RELAY...]
	local relay extra=${DC_CONFIG-}
	server_host dc srv1
	for relay; do
		server_host "$relay" "${RELAY_NET[$relay]}"
		public_key "$relay" >/dev/null
	done
	public_key dc >/dev/null
	{
		section "[dc]" "$(dc_section)" "$extra"
		section "[dns]" "listen = $DC_ADDR4:53"$'\n'"listen = [$DC_ADDR6]:53" "$extra"
		for relay; do
			section "[relay \"$relay.$ZONE\"]" "$(relay_section "$relay")" "$extra"
		done
		echo "$extra"
	} >"$WORK/dc/ntm-dc.conf"
	daemon_run dc ntm-dc
}

dc_section() {
	cat <<-CONFIG
	name = $DC_FQDN
	zone = $ZONE
	private-key-file = $WORK/dc.key
	listen = $DC_ADDR4:6866
	listen = [$DC_ADDR6]:6866
	control-socket = /run/ntm/dc.sock
	database = sqlite:/var/lib/ntm/dc.sqlite
	virtual4 = 198.18.0.0/16
	virtual6 = fd4e:544d:1::/64
	CONFIG
}

relay_section() { # NAME
	cat <<-CONFIG
	public-key = $(public_key "$1")
	endpoint = $(host_addr4 "$1"):6866
	endpoint = [$(host_addr6 "$1")]:6866
	CONFIG
}

rs_start() { # NAME
	local extra=${RS_CONFIG-}
	server_host "$1" "${RELAY_NET[$1]}"
	public_key "$1" >/dev/null
	{
		section "[rs]" "$(rs_section "$1")" "$extra"
		section "[dc \"$DC_FQDN\"]" "public-key = $(public_key dc)" "$extra"
		echo "$extra"
	} >"$WORK/$1/ntm-rs.conf"
	daemon_run "$1" ntm-rs
}

# For RS_CONFIG: rs1 has IPv4 at eth0 and IPv6 at eth1.
rs_config_apart() { # MODE
	cat <<-CONFIG
	[rs]
	name = rs1.$ZONE
	private-key-file = $WORK/rs1.key
	listen = $(host_addr4 rs1):6866
	listen = [$(host_addr6 rs1 eth1)]:6866
	control-socket = /run/ntm/rs.sock
	[datapath]
	xdp = $1
	CONFIG
}

# The DC hears it: directions from now on name it. For check and eventually.
relay_up() { # [NAME]
	[ "$(ns dc ntmctl -j dc relay list | jq -r ".[] | select(.name == \"${1:-rs1}.$ZONE\") | .state")" = up ]
}

rs_section() { # NAME
	cat <<-CONFIG
	name = $1.$ZONE
	private-key-file = $WORK/$1.key
	listen = $(host_addr4 "$1"):6866
	listen = [$(host_addr6 "$1")]:6866
	control-socket = /run/ntm/rs.sock
	CONFIG
}

member_add() { # FQDN PUBLIC_KEY
	[ -z "${MEMBER[$1]-}" ] || return 0
	ns dc ntmctl dc node add "$1" "$2" >/dev/null
	MEMBER[$1]=1
}

node_config() { # NAME FQDN [LINE...]
	local name=$1 fqdn=$2 extra
	shift 2
	extra=$(printf '%s\n' "$@")
	[ -z "${NTM_THREADS-}" ] || extra=${extra/"[datapath]"/"[datapath]"$'\n'"threads = $NTM_THREADS"}
	member_add "$fqdn" "$(public_key "$name")"
	{
		section "[node]" "$(node_section "$name" "$fqdn")" "$extra"
		section "[dc]" "$(node_dc_section)" "$extra"
		section "[dns]" "$(node_dns_section "$name")" "$extra"
		section "[datapath]" "engine = ${NTM_ENGINE:-user}${NTM_THREADS:+$'\n'"threads = $NTM_THREADS"}" "$extra"
		echo "$extra"
	} >"$WORK/$name/ntmd.conf"
}

node_start() { # NAME FQDN [LINE...]
	node_config "$@"
	daemon_run "$1" ntmd
}

nodes_add() { # NAME=NET[,NET...]...; NODE_CONFIG (a variable): lines for each
	local one names=()
	for one; do
		names+=("${one%%=*}")
		# shellcheck disable=SC2046 # one word a network
		host_add "${one%%=*}" $(tr , ' ' <<<"${one#*=}")
		node_start "${one%%=*}" "${one%%=*}.$ZONE" "${NODE_CONFIG-}"
	done
	eventually 10 nodes_registered "${names[@]}"
}

node_section() { # NAME FQDN
	cat <<-CONFIG
	fqdn = $2
	private-key-file = $WORK/$1.key
	device = ntm0
	control-socket = /run/ntm/ntmd.sock
	state-dir = /var/lib/ntm
	${NODE_LINES-}
	CONFIG
}

# Names outside of the zone are the DC's to refuse, unless a test has another server.
node_dns_section() { # NAME
	printf '%s\n' "mode = off" "listen = 127.0.0.54:53"
	zone_servers "$1" | tr ' ' '\n' | sed 's/.*:.*/[&]/; s/^/upstream = /'
}

node_dc_section() {
	cat <<-CONFIG
	public-key = $(public_key dc)
	endpoint = $DC_ADDR4:6866
	endpoint = [$DC_ADDR6]:6866
	CONFIG
}

nodes_registered() { # NAME...
	local name
	for name; do
		ns "$name" ntmctl -j status | jq -e '.registered == true' || return 1
	done
}
