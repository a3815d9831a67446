#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# deps.sh - what building and testing need, and the Debian packages that have it.
#
#	mk/deps.sh check build|all	one line for each thing missing; status 1 if anything is
#	mk/deps.sh has PROBE NAME	whether this one is there
#	mk/deps.sh install		install what is missing (root), or say what to install
#	mk/deps.sh install-bench	what only `make bench` compares with
#	mk/deps.sh install-vm		what runs other kernels: `make check-vm`
set -u

# FOR PROBE NAME PACKAGE. FOR: build, test for what the programs can do without, bench for what they are compared
# with, or vm for what runs other kernels. PROBE: command, library (by pkg-config), header, or runtime: clang's libclang_rt.NAME.
list() {
	cat <<-LIST
	build command ${CC:-gcc} $(case ${CC:-gcc} in *clang*) echo clang ;; *) echo gcc ;; esac)
	build command ar binutils
	build command pkg-config pkg-config
	build library libevent libevent-dev
	build library libmnl libmnl-dev
	build library inih libinih-dev
	build library json-c libjson-c-dev
	build library libknot libknot-dev
	build library sqlite3 libsqlite3-dev
	build library libcrypto libssl-dev
	build library libbpf libbpf-dev
	build command clang clang
	build command bpftool bpftool
	test library libsystemd libsystemd-dev
	$(ipsec_mb_arch && echo test header intel-ipsec-mb.h libipsec-mb-dev)
	test library cmocka libcmocka-dev
	test runtime fuzzer libclang-rt-$(clang_major)-dev
	test command ip iproute2
	test command bridge iproute2
	test command nft nftables
	test command ping iputils-ping
	test command ethtool ethtool
	test command iperf3 iperf3
	test command dig bind9-dnsutils
	test command curl curl
	test command nc netcat-openbsd
	test command socat socat
	test command sshd openssh-server
	test command ssh openssh-client
	test command tcpdump tcpdump
	test command jq jq
	test command ps procps
	vm command qemu-system-$(uname -m | sed 's/arm64/aarch64/') $(case $(uname -m) in x86_64) echo qemu-system-x86 ;; *) echo qemu-system-arm ;; esac)
	vm command busybox busybox-static
	vm command cpio cpio
	vm command depmod kmod
	vm command xz xz-utils
	vm command zstd zstd
	vm command wg wireguard-tools
	bench command wg wireguard-tools
	bench command dnsperf dnsperf
	bench command knotd knot
	bench command turnserver coturn
	bench command gnuplot gnuplot-nox
	LIST
}

# libipsec-mb is for x86-64 only.
ipsec_mb_arch() {
	case $(${CC:-gcc} -dumpmachine 2>/dev/null || uname -m) in x86_64*) return 0 ;; *) return 1 ;; esac
}

# Of the clang that is there, else of the one that Debian 12 has.
clang_major() {
	major=$(clang -dumpversion 2>/dev/null | cut -d. -f1)
	echo "${major:-14}"
}

found() { # PROBE NAME
	case $1 in
	command) command -v "$2" >/dev/null ;;
	library) pkg-config --exists "$2" 2>/dev/null ;;
	header) echo "#include <$2>" | ${CC:-gcc} -E -x c -o /dev/null - 2>/dev/null ;;
	runtime)
		for file in "$(clang -print-resource-dir 2>/dev/null)"/lib/*/libclang_rt."$2"*.a; do
			[ -e "$file" ] && return 0
		done
		return 1
		;;
	esac
}

missing() { # all (that is build and test), build, bench or vm: prints the list's lines that are not there
	list | while read -r for probe name package; do
		[ -n "$for" ] || continue
		[ "$1" = "$for" ] || { [ "$1" = all ] && [ "$for" != bench ] && [ "$for" != vm ]; } || continue
		found "$probe" "$name" || echo "$for $probe $name $package"
	done
}

check() { # build|all|bench|vm
	gone=$(missing "$1")
	[ -n "$gone" ] || return 0
	echo "$gone" | while read -r _ probe name package; do
		echo "$probe $name is missing: apt-get install $package" >&2
	done
	echo "(\`make deps\` as root installs everything)" >&2
	return 1
}

# A service that comes with a package must not start: tests start their own, in their own namespaces.
# Where the system has a policy for that, it stays as it is.
POLICY=/usr/sbin/policy-rc.d
apt_get_install() {
	if [ ! -e $POLICY ]; then
		trap 'rm -f $POLICY' EXIT
		trap 'exit 130' HUP INT PIPE TERM
		printf '#!/bin/sh\nexit 101\n' >$POLICY && chmod 755 $POLICY || return 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q && apt-get install -q -y --no-install-recommends "$@"
}

install_missing() { # all|bench|vm
	packages=$(missing "$1" | awk '!seen[$4]++ { print $4 }')
	[ -n "$packages" ] || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		check "$1"
		return 1
	fi
	# shellcheck disable=SC2086 # words are package names
	apt_get_install $packages || return 1
	check "$1"
}

PATH=$PATH:/usr/sbin:/sbin
case "${1-} ${2-}" in
"check build" | "check all") check "$2" ;;
"has "*) found "${2-}" "${3-}" ;;
"install ") install_missing all ;;
"install-bench ") install_missing bench ;;
"install-vm ") install_missing vm ;;
*) echo "usage: mk/deps.sh check build|all, mk/deps.sh has PROBE NAME, or mk/deps.sh install[-bench|-vm]" >&2; exit 2 ;;
esac
