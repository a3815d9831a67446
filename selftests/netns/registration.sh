#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: nodes register with their DC, keep their virtual addresses, and are told what is wrong when they cannot
#
#	dc (srv1) ---- core ---- a, bad (dual)
#	                 |------ b (nat1)
#	                 |------ six (v6)
#	                 '------ late (v4)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

error_is() { # NAME PATTERN: what status says is wrong
	local error
	error=$(status "$1" '.dc.error // ""')
	echo "$error"
	grep -qE "$2" <<<"$error"
}

# Runs a daemon that must refuse: exit status, and a sentence that the pattern finds.
refuses() { # SENTENCE HOST EXIT PATTERN CMD...
	local sentence=$1 host=$2 expected=$3 pattern=$4 output status=0
	shift 4
	output=$(ns "$host" timeout 5 "$@" 2>&1) || status=$?
	eq "$sentence: exit status $expected" "$expected" "$status"
	check "$sentence: it says why" grep -qE "$pattern" <<<"$output"
}

with() { # FILE SED_EXPRESSION: a changed copy of a configuration
	sed "$2" "$1" >"$WORK/changed.conf"
	echo "$WORK/changed.conf"
}

net_up
dc_start
host_add bad dual
host_add stranger dual
host_add fooled dual

# ---- those who cannot register: asked for their errors further down, they need time
public_key other >/dev/null
member_add stranger.$ZONE "$(public_key other)"
node_start stranger stranger.$ZONE
node_start fooled fooled.$ZONE "[dc]" "public-key = $(public_key other)" "endpoint = $DC_ADDR4:6866"

# ---- those who can
nodes_add a=dual b=nat1 six=v6
for name in a b six; do
	eq "$name has the name it asked for" "$name.$ZONE" "$(status "$name" .fqdn)"
	check "the virtual addresses of $name are of the DC's pools" grep -qE '^198\.18\.[0-9]+\.[0-9]+ fd4e:544d:1:[0-9a-f:]+$' \
		<<<"$(vip4 "$name") $(vip6 "$name")"
	check "$name has them on ntm0" grep -q "inet $(vip4 "$name")/32" <<<"$(ns "$name" ip addr show dev ntm0)"
	check "$name has them on ntm0 in IPv6" grep -q "inet6 $(vip6 "$name")/128" <<<"$(ns "$name" ip addr show dev ntm0)"
done
eq "virtual IPv4 addresses are unique" 3 "$(for name in a b six; do vip4 $name; done | sort -u | wc -l)"
eq "virtual IPv6 addresses are unique" 3 "$(for name in a b six; do vip6 $name; done | sort -u | wc -l)"
eq "the name of the DC is known" "$DC_FQDN" "$(status a .dc.name)"
check "a node that has only IPv6 registers over IPv6" grep -qF "[$DC_ADDR6]:6866" <<<"$(status six .dc.endpoint)"
check "b is seen with the address of its NAT" grep -qF "$(host_outside4 b):" <<<"$(status b '.observed | tostring')"
eq "the DC lists whom it has" "a b six" \
	"$(ns dc ntmctl -j dc node list | jq -r '[.[] | select(.registered) | .fqdn | split(".")[0]] | sort | join(" ")')"

# ---- addresses stay
before=$(for name in a b six; do echo "$(vip4 $name) $(vip6 $name)"; done)
daemon_stop a ntmd
eq "ntmd ends well by TERM" 0 "$STATUS"
daemon_run a ntmd
check "a registers again after a restart" eventually 5 nodes_registered a
daemon_stop dc ntm-dc
eq "ntm-dc ends well by TERM" 0 "$STATUS"
daemon_run dc ntm-dc
daemon_stop b ntmd KILL
daemon_run b ntmd
check "b registers after a kill -9 and a restart of the DC" eventually 5 nodes_registered b
daemon_stop dc ntm-dc KILL
daemon_run dc ntm-dc
daemon_stop six ntmd
daemon_run six ntmd
check "six registers after a kill -9 of the DC" eventually 5 nodes_registered six
eq "virtual addresses stay over restarts of nodes and the DC" "$before" \
	"$(for name in a b six; do echo "$(vip4 $name) $(vip6 $name)"; done)"
eq "the DC's list says the same" "$before" "$(ns dc ntmctl -j dc node list | jq -r 'sort_by(.fqdn)[] |
	select(.fqdn | split(".")[0] | IN("a", "b", "six")) | "\(.virtual4) \(.virtual6)"')"

# ---- a DC that comes later
daemon_stop dc ntm-dc
host_add late v4
MEMBER[late.$ZONE]=1
node_start late late.$ZONE
sleep 0.5
check_not "without a DC nobody is registered" nodes_registered late
daemon_run dc ntm-dc
ns dc ntmctl dc node add late.$ZONE "$(public_key late)" >/dev/null
check "a node whose DC comes later registers by itself" eventually 8 nodes_registered late

# ---- names
check_not "a second node with a name that is taken is refused" \
	ns dc ntmctl dc node add a.$ZONE "$(public_key bad)"
check "the same member with the same key may be added twice" \
	ns dc ntmctl dc node add a.$ZONE "$(public_key a)"
check_not "one key cannot have two names" ns dc ntmctl dc node add twin.$ZONE "$(public_key a)"
check_not "a name outside of the zone is refused" ns dc ntmctl dc node add bad.other.example "$(public_key bad)"
member_add bad.$ZONE "$(public_key bad)"
MEMBER[a.$ZONE]=1
node_start bad a.$ZONE
check "a node that claims another's name is told so" eventually 5 error_is bad "enrolled as bad\.$ZONE"
check_not "it is not registered" nodes_registered bad
daemon_stop bad ntmd
check "a node with a wrong key is told to check it" eventually 10 error_is stranger 'check .*(key|member)'
check "a node that has a wrong key of the DC is told to check it" eventually 10 error_is fooled 'check .*public-key'
check_not "the one with a wrong key is not registered" nodes_registered stranger
check_not "the one with a wrong key of the DC is not registered" nodes_registered fooled

# ---- configurations: status 1, file and line
conf=$WORK/a/ntmd.conf
refuses "an unknown key in ntmd.conf" bad 1 'changed\.conf:2: ' ntmd -c "$(with "$conf" 's/^fqdn/fqnd/')"
refuses "an unknown section" bad 1 'changed\.conf:[0-9]+: ' ntmd -c "$(with "$conf" 's/^\[dns\]/[dsn]/')"
refuses "no such file" bad 1 'nowhere\.conf' ntmd -c /nowhere.conf
chmod 644 "$WORK/other.key"
refuses "a private key that others can read" bad 1 'other\.key' \
	ntmd -c "$(with "$conf" "s|^private-key-file.*|private-key-file = $WORK/other.key|")"
refuses "a bad endpoint in dc.conf" dc 1 'changed\.conf:[0-9]+: ' \
	ntm-dc -c "$(with "$WORK/dc/ntm-dc.conf" 's/^listen = 203.*/listen = here/')"
refuses "a pool that is too small" dc 1 'changed\.conf:[0-9]+: .*virtual4|virtual4' \
	ntm-dc -c "$(with "$WORK/dc/ntm-dc.conf" 's|^virtual4.*|virtual4 = 198.18.0.0/30|')"
check "--check-config of a good file is quiet and good" ns bad ntmd --check-config -c "$conf"

# ---- the system refuses: status 2
nsbg bad taken.log socat -u UDP4-RECV:7777 STDOUT
nsbg bad taken6.log socat -u UDP6-RECV:7777,ipv6only=1 STDOUT
eventually 2 listening bad 7777
NODE_LINES="listen-port = 7777" node_config bad bad.$ZONE
refuses "a port that is taken (ntmd)" bad 2 7777 ntmd -c "$WORK/bad/ntmd.conf"
refuses "a port that is taken (ntm-dc)" dc 2 6866 ntm-dc -c \
	"$(with "$WORK/dc/ntm-dc.conf" 's|^control-socket.*|control-socket = /run/ntm/dc2.sock|; s|^database.*|database = sqlite:/var/lib/ntm/dc2.sqlite|')"

head -c 1000 /dev/urandom >"$WORK/dc/lib/rubbish.sqlite"
refuses "a database that is none" dc 2 'put a copy back' ntm-dc -c \
	"$(with "$WORK/dc/ntm-dc.conf" 's|^control-socket.*|control-socket = /run/ntm/dc2.sock|; s|^database.*|database = sqlite:/var/lib/ntm/rubbish.sqlite|')"
touch "$WORK/bad/lib/file"
refuses "a file for a state folder" bad 2 'Not a directory; set .node. state-dir' \
	ntmd -c "$(with "$conf" 's|^state-dir.*|state-dir = /var/lib/ntm/file|')"

# ---- a host whose IPv6 is switched off
host_add four v4b
nssysctl four net.ipv6.conf.{all,default}.disable_ipv6=1
node_start four four.$ZONE
check "without IPv6 a node registers" eventually 5 nodes_registered four
check "the log says what is missing, and how to have it" grep -q 'IPv6 is switched off on ntm0; .*sysctl' "$WORK/four-ntmd.log"
# (a may have been registered anew a moment before the DC was killed: then that learns of it by its next Keep Alive)
check "and it has its virtual IPv4 address" reaches four "$(vip4 late)"

# ---- a full pool
daemon_stop dc ntm-dc
sed -i 's|^virtual4.*|virtual4 = 198.18.0.0/29|; s|^database.*|database = sqlite:/var/lib/ntm/small.sqlite|' "$WORK/dc/ntm-dc.conf"
daemon_run dc ntm-dc
for ((added = 0; added < 8; added++)); do
	refusal=$(ns dc ntmctl dc node add "n$added.$ZONE" "$(ntmctl key gen | ntmctl key pub)" 2>&1) || break
done
check "a /29 has room for 5 or 6 nodes ($added)" test "$added" -ge 5 -a "$added" -le 6
check "a full pool is said: $refusal" grep -qiE 'full|no .*address|no room|pool' <<<"$refusal"
ns dc ntmctl dc node del "n0.$ZONE" >/dev/null
check "a member that leaves makes room" ns dc ntmctl dc node add "again.$ZONE" "$(ntmctl key gen | ntmctl key pub)"
