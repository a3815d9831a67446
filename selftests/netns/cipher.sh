#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the bulk lane has the cipher that is fast at both ends, or the one a user insists on; where two users insist on different ones, both are told
#
#	dc (srv1) ---- core ---- mn (v4), cn (v4b): cipher = auto, chacha20-poly1305, aes-256-gcm
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

export NTM_ENGINE=user # what small packets show here of the bulk lane would go inline
CHACHA=chacha20-poly1305 AES=aes-256-gcm
NO_AES='~0x200000200000000' # libcrypto's way to do without the CPU's AES and carry-less multiplication

# Both nodes again, each with its cipher; "slow": auto, on a CPU without AES instructions.
nodes_again() { # MN_CIPHER CN_CIPHER
	local name cipher lines
	for name in mn cn; do
		daemon_stop "$name" ntmd
		if [ "$name" = mn ]; then cipher=$1; else cipher=$2; fi
		lines="[datapath]"$'\n'"engine = ${NTM_ENGINE:-auto}"$'\n'
		if [ "$cipher" = slow ]; then
			node_config "$name" "$name.$ZONE" "${lines}cipher = auto"
			OPENSSL_ia32cap=$NO_AES daemon_run "$name" ntmd
		else
			node_config "$name" "$name.$ZONE" "${lines}cipher = $cipher"
			daemon_run "$name" ntmd
		fi
	done
	eventually 10 nodes_registered mn cn
}

cipher_ns() { status "$1" ".ciphers[] | select(.name == \"$2\").ns_per_1420"; }
dropped() { stats "$1" '.drops.cipher // 0'; }

# By the lane that bulk data takes; bulk and inline packets both arrive.
agree() { # SENTENCE CIPHER
	local bulk id try
	check "$1: data passes" eventually 5 reaches mn "cn.$ZONE"
	eq "$1: $2" "$2 $2" "$(tunnel mn cn .cipher) $(tunnel cn mn .cipher)"
	eq "$1: the list says it, too" "$2" "$(tunnels mn '.[0].cipher')"
	# A path that was directed anew meanwhile, on a machine that let one of them wait for long, begins to count: then once more.
	for try in 1 2 3; do
		id=$(tunnel cn mn .path_id) bulk=$(tunnel cn mn .rx_bulk_packets)
		ns mn ping -q -i 0.01 -c 20 -s 1300 "$(vip4 cn)" >/dev/null || :
		if [ "$id" = "$(tunnel cn mn .path_id)" ]; then break; fi
		echo "# the path was directed anew ($try)"
	done
	check "$1: the bulk lane carries packets" test "$(tunnel cn mn .rx_bulk_packets)" -ge $((bulk + 20))
	no_drops "$1: none failed to open" cn auth handshake cipher
	no_drops "$1: neither did one at mn" mn auth handshake cipher
}

# The end that asks is told at once, in words that name both settings; the other end's log says the same.
differ() { # ASKER PEER ASKER_CIPHER PEER_CIPHER
	local start answer why="the peer allows only $4 for bulk data, this node only $3"
	start=$(now_ms)
	if answer=$(ns "$1" ntmctl ping "$2.$ZONE" -c 1 2>&1); then fail "$1 has no tunnel to $2" "$answer"; fi
	check "$1 ($3) is told why it has no tunnel to $2 ($4)" grep -qF "$why" <<<"$answer"
	check "it is told at once" test $(($(now_ms) - start)) -lt 1500
	check "its log says it" grep -qF "$2.$ZONE refused a tunnel: $why" "$WORK/$1-ntmd.log"
	check "so does the log of $2, from its side" grep -qF \
		"refused a tunnel with $1.$ZONE: the peer allows only $3 for bulk data, this node only $4" "$WORK/$2-ntmd.log"
	check "$1 counts it" test "$(dropped "$1")" -ge 1
	check "$2 counts it" test "$(dropped "$2")" -ge 1
	eq "$1 keeps no tunnel" "[]" "$(tunnels "$1" tostring)"
	check_not "no packet passes" reaches "$1" "$(vip4 "$2")"
	if answer=$(ns "$2" ntmctl ping "$1.$ZONE" -c 1 2>&1); then fail "$2 has no tunnel to $1" "$answer"; fi
	check "$2 is told as well, from its side" grep -qF "the peer allows only $3 for bulk data, this node only $4" <<<"$answer"
	check "$2 keeps no tunnel either, when the time of a handshake is over" eventually 7 no_tunnel "$2"
	check "nor does $1" eventually 7 no_tunnel "$1"
	no_drops "nothing else went wrong at $1" "$1" auth handshake field_value field_unknown
}
no_tunnel() { [ "$(tunnels "$1" length)" = 0 ]; }

net_up
dc_start
nodes_add mn=v4 cn=v4b

# ---- what is measured
for cipher in $CHACHA $AES; do
	check "$cipher is measured ($(cipher_ns mn "$cipher") ns for 1420 bytes, by $(status mn \
		".ciphers[] | select(.name == \"$cipher\").implementation"))" test "$(cipher_ns mn $cipher)" -gt 20
done
check "people can read it" grep -qE "^ciphers: +$CHACHA by openssl ns for 1420 bytes: [0-9]+$" <<<"$(ns mn ntmctl status)"

# ---- auto
if [ "$(cipher_ns mn $AES)" -le "$(cipher_ns mn $CHACHA)" ] && [ "$(cipher_ns cn $AES)" -le "$(cipher_ns cn $CHACHA)" ]; then
	agree "auto, where AES is fast" $AES
else
	agree "auto, where AES is slow" $CHACHA
fi

# ---- AES slow at one end
if [ "$(uname -m)" = x86_64 ]; then
	nodes_again slow auto
	check "without the CPU's AES it is the slower one ($(cipher_ns mn $AES) ns)" \
		test "$(cipher_ns mn $AES)" -gt "$(cipher_ns mn $CHACHA)"
	eq "and libcrypto's" openssl "$(status mn ".ciphers[] | select(.name == \"$AES\").implementation")"
	agree "auto, with AES slow at mn" $CHACHA
	nodes_again $AES slow
	agree "mn insists on AES, cn has it slow" $AES
else
	skip "auto with AES slow at one end" "the way to switch it off is known for x86-64 only"
fi

# ---- one end insists, both do
nodes_again $CHACHA auto
agree "mn insists on ChaCha20" $CHACHA
nodes_again auto $CHACHA
agree "cn insists on ChaCha20" $CHACHA
nodes_again $AES $AES
agree "both insist on AES" $AES

# ---- they cannot agree
nodes_again $AES $CHACHA
differ mn cn $AES $CHACHA
differ cn mn $CHACHA $AES

# ---- and that is mended by changing one of them
nodes_again $AES auto
agree "after one gave way" $AES
