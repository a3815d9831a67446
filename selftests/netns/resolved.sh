#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: systemd-resolved asks the stub for the DC's zone and nothing else, and forgets it at the end
#
#	an application -> systemd-resolved 127.0.0.53 --- cn.ntm.example --> stub 127.0.0.55, the server of ntm0
#	                                   |                                 '--> the zone's server 192.0.2.54
#	                                   '--- everything else --> 192.0.2.53, the server of d0
#
# The real systemd-resolved of Debian's package, unpacked into the test's folder and never installed, with a message bus
# of its own, in a host's private mounts. The stub and its resolver are test_resolver's (see there): the same objects
# that ntmd has.
. "$(dirname "$0")/lib.sh"

SENTENCE="systemd-resolved routes the zone to the stub"
need() { # COMMAND PACKAGE
	command -v "$1" >/dev/null || { skip "$SENTENCE" "$1 is missing (package $2)"; exit 0; }
}
need dbus-daemon dbus
need apt-get apt
net_up

# apt's own cache of lists must be there; the folder must be writable for the user who downloads.
mkdir -m 755 "$WORK/package"
if ! (cd "$WORK/package" && apt-get -q -o APT::Sandbox::User=root download systemd-resolved) >"$WORK/apt.log" 2>&1; then
	skip "$SENTENCE" "apt-get download systemd-resolved failed (apt-get update first?)"
	exit 0
fi
dpkg -x "$WORK"/package/*.deb "$WORK/package/root"
RESOLVED=$(find "$WORK/package/root" -name systemd-resolved -type f -perm -u+x | head -n 1)
RESOLVECTL=$WORK/package/root/usr/bin/resolvectl
if [ -z "$RESOLVED" ] || ldd "$RESOLVED" | grep -q 'not found'; then
	skip "$SENTENCE" "systemd-resolved of the package does not start on this system"
	exit 0
fi
TOOL=$NTM_BIN/unit/test_resolver

# resolved gives up root for a user of its own, who must be able to reach its folder's files.
chmod 711 "$WORK"
host_add a dual
ns a sh -c 'grep -q "^systemd-resolve:" /etc/passwd || {
	echo "systemd-resolve:x:64990:64990::/:/usr/sbin/nologin" >>/etc/passwd
	echo "systemd-resolve:x:64990:" >>/etc/group; }
	mkdir -p /run/dbus /run/systemd /etc/systemd/resolved.conf.d
	# As an administrator may have them for everything: the link of the stub must not follow.
	printf "[Resolve]\nDNSSEC=yes\nDNSOverTLS=opportunistic\nFallbackDNS=\n" >/etc/systemd/resolved.conf.d/test.conf'
cat >"$WORK/bus.conf" <<'CONF'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
CONF
nsbg a bus.log dbus-daemon --nofork --nopidfile --config-file="$WORK/bus.conf"
eventually 5 ns a test -S /run/dbus/system_bus_socket

# ntm0 needs an address: resolved passes over links without.
nsip a link add ntm0 type veth peer name ntm0far
nsip a addr add 198.18.0.1/32 dev ntm0
nsip a link set ntm0far up
nsip a link set ntm0 up
nsip a link add d0 type veth peer name d0far
nsip a addr add 192.0.2.53/24 dev d0
nsip a addr add 192.0.2.54/24 dev d0
nsip a link set d0far up
nsip a link set d0 up
nsbg a other.log "$TOOL" answer 192.0.2.53:53
nsbg a zone.log "$TOOL" answer 192.0.2.54:53
INDEX=$(ns a cat /sys/class/net/ntm0/ifindex)

serve() { # LOG LISTEN
	nsbg a "$1" "$TOOL" serve "$2" "$INDEX" 192.0.2.53:53 ntm.example 192.0.2.54:53
}

# ---- without resolved
serve none.log 127.0.0.55:53
NONE=$SPAWNED
wait "$NONE" && status=0 || status=$?
eq "without systemd-resolved the mode fails" 1 "$status"
check "and says why" grep -q "systemd-resolved is not running" "$WORK/none.log"

nsbg a resolved.log env SYSTEMD_LOG_LEVEL=info "$RESOLVED"
RESOLVED_PID=$SPAWNED
ctl() { ns a env SYSTEMD_PAGER= "$RESOLVECTL" "$@"; }
eventually 10 ctl status ntm0 >/dev/null
ctl dns d0 192.0.2.53
ctl default-route d0 yes
ctl dnssec d0 no
ctl dnsovertls d0 no

# ---- before the registration told the zone
serve stub.log 127.0.0.55:53
STUB=$SPAWNED
eventually 5 grep -q "ready resolved" "$WORK/stub.log"
eq "the stub is the link's server" "Link $INDEX (ntm0): 127.0.0.55" "$(ctl dns ntm0)"
eq "every name is routed to it while the zone is not known" "Link $INDEX (ntm0): ~." "$(ctl domain ntm0)"

# ---- afterwards
kill -HUP "$STUB"
eventually 5 grep -q "zone set" "$WORK/stub.log"
eq "then only the zone's" "Link $INDEX (ntm0): ~ntm.example" "$(ctl domain ntm0)"
eq "the link is nobody's default" "Link $INDEX (ntm0): no" "$(ctl default-route ntm0)"
eq "its answers need no signatures" "Link $INDEX (ntm0): no" "$(ctl dnssec ntm0)"
eq "and no TLS" "Link $INDEX (ntm0): no" "$(ctl dnsovertls ntm0)"

query() { # NAME TYPE: by resolved's stub, as an application's resolver does
	ns a dig +short +tries=1 +time=5 @127.0.0.53 "$1" "$2"
}
eq "an application gets a node's virtual IPv4 address" 198.18.0.7 "$(query cn.ntm.example A)"
eq "and the virtual IPv6 address" fd4e:544d:1::7 "$(query cn.ntm.example AAAA)"
check "after a direction" grep -q "direct cn.ntm.example" "$WORK/stub.log"
check_not "the other server was not asked for it" grep -q "cn.ntm.example" "$WORK/other.log"
eq "a name elsewhere has its address" 192.0.2.80 "$(query www.example.com A)"
check "from the other server" grep -q "asked www.example.com. 1$" "$WORK/other.log"
check_not "who was not asked for NTM records: the stub never saw it" grep -q "65280" "$WORK/other.log"

# ---- a restart of resolved
end_pids "$RESOLVED_PID"
nsbg a resolved.log "$RESOLVED"
eventually 10 ctl status ntm0 >/dev/null
eq "a restart of systemd-resolved changes nothing" "Link $INDEX (ntm0): ~ntm.example" "$(ctl domain ntm0)"
kill -HUP "$STUB"
eq "names are found again" 198.18.0.7 "$(query cn.ntm.example A)"

# ---- the end
end_pids "$STUB"
eq "the link has no server at the end" "Link $INDEX (ntm0):" "$(ctl dns ntm0)"
eq "and no domain" "Link $INDEX (ntm0):" "$(ctl domain ntm0)"
serve taken.log 127.0.0.54:53
wait "$SPAWNED" && status=0 || status=$?
eq "an address that systemd-resolved holds is refused" 1 "$status"
check "with what to do" grep -q "set another address in \[dns\] listen" "$WORK/taken.log"
