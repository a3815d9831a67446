# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# peers.sh - the programs that we are compared with. Included by group_*.sh after measure.sh.
#
#	wireguard_go			sets WIREGUARD_GO to the program of Debian 13, else of Debian 12, and its label
#	wireguard_start A B		between the hosts A and B; $WG_ADDR is B's address in it

WG_ADDR=10.72.0.2
WIREGUARD_GO=

# Fetched by the packages' names with a configuration of apt's own, so that the system's sources stay as they are; the
# mirror is the one that the system uses. Signatures are checked with Debian's keyring.
fetch() { # SUITE PACKAGE: into $BENCH_CACHE/SUITE
	local suite=$1 package=$2 mirror dir keys=/usr/share/keyrings/debian-archive-keyring.gpg options
	dir=$(mktemp -d "$BENCH_CACHE/fetch.XXXXXX")
	# shellcheck disable=SC2016 # for apt
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | awk '/\/debian\/?$/ { print; exit }')
	if [ -z "$mirror" ] || [ ! -e $keys ]; then
		echo "no source of apt that is a Debian mirror, or no $keys"
		rm -rf "$dir"
		return 1
	fi
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	: >"$dir/status"
	echo "deb [signed-by=$keys] $mirror $suite main" >"$dir/sources"
	options=(-q -o "Dir::Etc::sourcelist=$dir/sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::Cache=$dir"
		-o "Dir::State::lists=$dir/lists" -o "Dir::State::status=$dir/status" -o APT::Sandbox::User=root
		-o Acquire::Languages=none)
	if apt-get "${options[@]}" update && (cd "$dir/archives" && apt-get "${options[@]}" download "$package") &&
		dpkg-deb -x "$dir/archives/$package"_*.deb "$BENCH_CACHE/$suite"; then
		rm -rf "$dir"
	else
		rm -rf "$dir"
		return 1
	fi
}

wireguard_go() {
	local suite name
	mkdir -p "$BENCH_CACHE" || return 1
	command -v wg >/dev/null || { echo "wg is missing"; return 1; }
	for suite in trixie bookworm; do
		name="Debian 13"
		[ $suite = trixie ] || name="Debian 12"
		WIREGUARD_GO=$BENCH_CACHE/$suite/usr/bin/wireguard-go
		if [ -x "$WIREGUARD_GO" ] || fetch $suite wireguard-go >&2; then
			label wireguard-go "wireguard-go ($name)"
			[ $suite = trixie ] || for row in $BENCH_ROWS; do
				note "$row" "wireguard-go of Debian 13 could not be had; that of Debian 12 has no offloads"
			done
			return 0
		fi
	done
	WIREGUARD_GO=
	return 1
}

wireguard_start() { # A B
	local name other i=0
	local -A private=() public=()
	for name; do
		(umask 077 && wg genkey >"$WORK/$name.wg")
		private[$name]=$WORK/$name.wg
		public[$name]=$(wg pubkey <"$WORK/$name.wg")
		nsbg "$name" "wireguard-$name.log" env LOG_LEVEL=error WG_PROCESS_FOREGROUND=1 "$WIREGUARD_GO" wg0
		eventually 5 ns "$name" test -S /var/run/wireguard/wg0.sock
	done
	for name; do
		i=$((i + 1))
		other=$1
		[ "$name" != "$1" ] || other=$2
		ns "$name" wg set wg0 private-key "${private[$name]}" listen-port 51820 peer "${public[$other]}" \
			allowed-ips "10.72.0.$((3 - i))/32" endpoint "$(host_addr4 "$other"):51820"
		nsip "$name" addr add "10.72.0.$i/24" dev wg0
		nsip "$name" link set dev wg0 mtu 1420 up
	done
	eventually 5 reaches "$1" $WG_ADDR
}
