#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: native XDP relays where the far end takes its frames; where nothing of it arrives the relay notices, falls back, and tells
#
#	dc (srv1), rs1 (srv2) ---- core ---- p4 (v4)  q4 (v4b)
#	                             '------ p6 (v6)  q6 (v6b)	v4 and v4b, v6 and v6b only reach each other by rs1
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/relay_steps.sh
. "$(dirname "$0")/relay_steps.sh"

# Checksums must be there when native XDP sees a packet, as they are when a network card has received it.
NTM_OFFLOADS=off
net_up
far_end_make
dc_start rs1
server_host rs1 srv2
far_end on
RS_CONFIG=$'[datapath]\nxdp = native\ninterface = eth0' rs_start rs1
nodes_add p4=v4 p6=v6 q4=v4b q6=v6b
no_direct
for name in q4 q6; do server_start $name 7001; done
check "xdp = native is native XDP, also on veth" xdp_is native
for p in p4 p6; do
	check "native, $p to q6: reached" reaches $p q6.$ZONE -W 4
	by_xdp "native, $p to q6: TCP" $p q6 echoes $p q6.$ZONE 7001
	pings "native, $p to q6: nothing is lost" $p "$(vip4 q6)"
	whole "native, $p to q6: 3 MiB arrive as they were" $p q6 "$(vip4 q6)"
	whole "native, $p to q6: 3 MiB back" q6 $p "$(vip6 $p)"
done

# ---- a restart in native mode
stream_start p4 q6 "$(vip4 q6)" 4
sleep 1
daemon_stop rs1 ntm-rs KILL
daemon_run rs1 ntm-rs
stream_end "native: ntm-rs is killed and started, and no packet of a stream is lost"
check "it is native still" xdp_is native

# ---- the far end takes nothing any more
far_end off
check_not "what native XDP sends is lost then" reaches p4 "$(vip4 q6)" -W 0.5
asked() { # Somebody new wants to reach somebody
	reaches p6 q4.$ZONE -W 0.3 || :
	xdp_is user
}
check "Tunnel Requests without any answer: it falls back" eventually 20 asked
check "the log tells" grep -q "no answer came" "$WORK/rs1-ntm-rs.log"
check "the status tells" grep -q "no answer came" <<<"$(rs_status .mode_why)"
check "user space relays" eventually 8 reaches p6 q4.$ZONE -W 1
pings "and loses nothing" p6 "$(vip4 q4)"
pings "nor on paths that there were" p4 "$(vip4 q6)"
far_end on
check "ntmctl rs attach tries again" ns rs1 ntmctl rs attach
check "it is native XDP again" xdp_is native
by_xdp "native again" p6 q4 reaches p6 "$(vip4 q4)"

# ---- auto, where native does not come into question
daemon_stop rs1 ntm-rs
sed -i 's/^xdp = native/xdp = auto/' "$WORK/rs1/ntm-rs.conf"
daemon_run rs1 ntm-rs
check "auto on veth takes generic XDP, whatever was there before" xdp_is generic
by_xdp "generic" p6 q4 reaches p6 "$(vip4 q4)"

# ---- a second ntm-rs with the same pin-dir; it may be in another container
twin_config() { # XDP
	sed "s|:6866|:6867|; s|^control-socket = .*|control-socket = $WORK/twin.sock|; s|^xdp = .*|xdp = $1|" \
		"$WORK/rs1/ntm-rs.conf" >"$WORK/twin.conf"
}
twin() { twin_config "$1"; ns rs1 timeout 1 ntm-rs -c "$WORK/twin.conf" >"$WORK/twin.log" 2>&1 || :; }
twin auto
check "another ntm-rs does not get this one's pins, and says so" \
	grep -q "relaying in user space: another ntm-rs has its maps at" "$WORK/twin.log"
twin off
check "nor does it remove them with xdp = off" ns rs1 test -e /sys/fs/bpf/ntm/rs/rs_paths
check "nor with --detach" grep -q "another ntm-rs, with another control socket" \
	<<<"$(ns rs1 ntm-rs -c "$WORK/twin.conf" --detach 2>&1 || :)"
by_xdp "XDP still relays" p6 q4 reaches p6 "$(vip4 q4)"

# ---- an interface that somebody else has
daemon_stop rs1 ntm-rs
ns rs1 ntm-rs -c "$WORK/rs1/ntm-rs.conf" --detach
nsip rs1 link add name other type veth peer name other2
nsip rs1 link set dev other up
sed -i 's/^interface = eth0/interface = other/' "$WORK/rs1/ntm-rs.conf"
daemon_run rs1 ntm-rs
check "XDP is where interface = says" test "$(rs_status '.interfaces[].name')" = other
check "what comes in elsewhere, user space relays" eventually 12 reaches p6 "$(vip4 q4)" -W 0.3
eq "all of it" 0 "$(passed p6 q4 | cut -d' ' -f1)"
