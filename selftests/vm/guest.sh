#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# guest.sh - runs a command as root on the kernel of a Debian release, in a virtual machine that is thrown away.
#
#	guest.sh SUITE COMMAND [ARG...]		SUITE: bookworm (Linux 6.1), trixie (6.12), ...
#
# The machine's root is this machine's, read only, with a layer of memory above it: the same programs at the same
# paths, and nothing that is written stays, but what goes to $GUEST_OUT, a folder of the host. There is no network to
# the outside. COMMAND starts in the working directory; its output is ours, its exit status too; 124: it lasted longer
# than GUEST_TIMEOUT seconds (900), 125: the machine did not start, 126: something is missing here.
#
# The kernel comes from Debian's archive, as apt is set up here, into $GUEST_CACHE (~/.cache/ntm/kernels): once, later
# runs take it from there. The processor is emulated unless GUEST_ACCEL=kvm: for correctness, never for speed.
set -euo pipefail

MODULES=(virtio_pci virtio_console 9pnet_virtio 9p overlay) # Debian's kernels have nothing of it built in
CACHE=${GUEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ntm/kernels}
ARCH=$(dpkg --print-architecture)

die() { echo "guest.sh: $*" >&2; exit 126; }
[ $# -ge 2 ] || die "usage: guest.sh SUITE COMMAND [ARG...]"
SUITE=$1
shift
case $ARCH in
amd64) QEMU=(qemu-system-x86_64 -M q35 -cpu max) CONSOLE=ttyS0 BOOT="tsc=reliable no_timer_check" ;;
arm64) QEMU=(qemu-system-aarch64 -M virt -cpu "max,pauth-impdef=on") CONSOLE=ttyAMA0 BOOT= ;;
*) die "no virtual machine is described here for $ARCH" ;;
esac
for tool in "${QEMU[0]}" cpio depmod xz zstd; do
	command -v "$tool" >/dev/null || die "$tool is missing (\`make check-vm\` installs it)"
done
BUSYBOX=$(command -v busybox) || die "busybox is missing: apt-get install busybox-static"
DIR=$CACHE/$SUITE-$ARCH

# apt with lists of its own: the release wanted need not be this machine's.
apt_here() { # TOOL ARG...
	local tool=$1 apt=$DIR/apt
	shift
	"$tool" -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
		-o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

archives() { # the addresses of Debian's main and security archives here
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sed 's,/*$,,' | sort -u |
		grep -E "/debian(-security)?$" || true
}

kernel_get() {
	local archive package release apt=$DIR/apt
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	: >"$apt/status"
	for archive in $(archives); do
		case $archive in
		*-security) echo "deb $archive $SUITE-security main" ;;
		*) echo "deb $archive $SUITE main" ;;
		esac
	done >"$apt/sources.list"
	[ -s "$apt/sources.list" ] || die "apt knows no Debian archive"
	apt_here apt-get update || die "no package lists of $SUITE"
	# The versioned packages the kernel's metapackage comes down to.
	package=$(apt_here apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "linux-image-$ARCH" | grep -E '^linux-(image|modules|binary)-[0-9]' | sort -u)
	[ -n "$package" ] || die "no linux-image-$ARCH in $SUITE"
	# shellcheck disable=SC2086 # words are package names
	(cd "$apt/archives" && apt_here apt-get download $package) || die "cannot download $package"
	rm -rf "$DIR/tree"
	mkdir -p "$DIR/tree/usr/lib"
	for archive in "$apt"/archives/*.deb; do dpkg-deb -x "$archive" "$DIR/tree"; done
	[ -e "$DIR/tree/lib" ] || ln -s usr/lib "$DIR/tree/lib"
	release=$(basename "$DIR"/tree/lib/modules/*)
	depmod -b "$DIR/tree" "$release"
	cp "$DIR/tree/boot/vmlinuz-$release" "$DIR/vmlinuz" 2>/dev/null ||
		cp "$DIR/tree/lib/modules/$release/vmlinuz" "$DIR/vmlinuz"
	rm -rf "$apt"
	echo "$release" >"$DIR/release" # last: without it the next run starts again
}

# First a small root in memory that finds the real one; then `start`, in the real one.
initramfs_make() {
	local root release module
	release=$(<"$DIR/release")
	root=$(mktemp -d)
	mkdir -p "$root"/{dev,proc,sys,lower,layer,root,modules}
	cp -L "$BUSYBOX" "$root/busybox"
	modprobe -d "$DIR/tree" -S "$release" --show-depends -a "${MODULES[@]}" |
		awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r module; do
		case $module in
		*.xz) xz -dc "$module" ;;
		*.zst) zstd -dcq "$module" ;;
		*) cat "$module" ;;
		esac >"$root/modules/$(printf %03d "$(find "$root/modules" -type f | wc -l)")"
	done
	cat >"$root/init" <<-'INIT'
		#!/busybox sh
		export PATH=/
		for applet in mount insmod mkdir cp poweroff switch_root; do /busybox ln -s busybox /$applet; done
		give_up() { echo "guest: $*"; poweroff -f; }
		mount -t devtmpfs dev /dev
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		for module in /modules/*; do insmod "$module" || give_up "$module"; done
		shared=trans=virtio,version=9p2000.L,msize=512000
		mount -t 9p -o $shared,ro,cache=loose root /lower || give_up "no root"
		mount -t tmpfs -o size=75% layer /layer
		mkdir /layer/upper /layer/work
		mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work root /root || give_up overlay
		for dir in dev proc sys; do mkdir -p /root/$dir; mount --move /$dir /root/$dir; done
		mount -t tmpfs run /root/run
		mkdir -p /root/run/guest /root/run/lock /root/run/netns /root/lib/modules
		mount -t 9p -o $shared,ro,cache=loose modules /root/lib/modules || give_up "no modules"
		mount -t 9p -o $shared out /root/run/guest || give_up "no folder for results"
		cp /busybox /start /root/run/
		exec switch_root /root /run/busybox sh /run/start
	INIT
	cat >"$root/start" <<-'START'
		export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
		b=/run/busybox
		$b mkdir -p /dev/pts /dev/shm /dev/net
		$b mount -t devpts devpts /dev/pts
		$b mount -t tmpfs shm /dev/shm
		$b mount -t bpf bpf /sys/fs/bpf
		$b mount -t cgroup2 cgroup2 /sys/fs/cgroup
		[ -e /dev/net/tun ] || $b mknod /dev/net/tun c 10 200
		for pair in fd: stdin:/0 stdout:/1 stderr:/2; do $b ln -sf /proc/self/fd${pair#*:} /dev/${pair%%:*}; done
		$b ip link set lo up
		exec 3<>/dev/hvc0 # kept open: its last close would reset it
		$b stty raw -echo <&3
		$b setsid bash /run/guest/command </dev/null >&3 2>&3
		echo $? >/run/guest/status
		$b sync
		$b poweroff -f
	START
	chmod 755 "$root/init"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$DIR/initramfs.new"
	mv "$DIR/initramfs.new" "$DIR/initramfs"
	rm -rf "$root"
}

mkdir -p "$DIR"
exec 9>"$DIR/lock"
flock 9
[ -s "$DIR/release" ] || kernel_get >&2
[ "$DIR/initramfs" -nt "$0" ] || initramfs_make
exec 9>&-

OUT=${GUEST_OUT:-}
if [ -z "$OUT" ]; then
	OUT=$(mktemp -d "${TMPDIR:-/tmp}/${NTM_MARK:-ntm-guest}.XXXXXX")
	trap 'rm -rf "$OUT"' EXIT
fi
mkdir -p "$OUT"
OUT=$(realpath "$OUT")
rm -f "$OUT/status"
{
	printf 'cd %q\nexport GUEST_OUT=/run/guest\nexec' "$PWD"
	printf ' %q' "$@"
	echo
} >"$OUT/command"

share() { echo "local,id=$1,mount_tag=$1,path=$2,security_model=none,multidevs=remap${3-}"; }
timeout -k 5 "${GUEST_TIMEOUT:-900}" "${QEMU[@]}" -accel "${GUEST_ACCEL:-tcg,thread=multi}" -smp 2 -m 3072 \
	-nodefaults -no-user-config -display none -nic none -no-reboot -kernel "$DIR/vmlinuz" -initrd "$DIR/initramfs" \
	-append "console=$CONSOLE panic=-1 mitigations=off quiet $BOOT" -serial "file:$OUT/console" \
	-device virtio-serial-pci -chardev stdio,id=out,signal=off -device virtconsole,chardev=out \
	-virtfs "$(share root / ,readonly=on)" -virtfs "$(share out "$OUT")" \
	-virtfs "$(share modules "$DIR/tree/lib/modules" ,readonly=on)" </dev/null &
MACHINE=$!
trap 'kill "$MACHINE" 2>/dev/null; exit 143' INT TERM HUP
ended=0
wait "$MACHINE" || ended=$?
trap - INT TERM HUP
if [ -s "$OUT/status" ]; then
	status=$(<"$OUT/status")
elif [ "$ended" = 124 ] || [ "$ended" = 137 ]; then
	status=124
else
	echo "guest.sh: the machine ended early (qemu: $ended); its last words:" >&2
	tail -n 20 "$OUT/console" >&2 || true
	status=125
fi
[ -n "${GUEST_OUT:-}" ] || rm -rf "$OUT"
exit "$status"
