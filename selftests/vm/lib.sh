# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# lib.sh - what the tests of this tier share. Each runs tests of the other tiers on another kernel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
NTM_BIN=$(realpath -m "${NTM_BIN:-.output}")
export NTM_BIN

# What the virtual machine needs, or one skipped line for the test.
vm_needed() { # SENTENCE
	local tool
	for tool in "qemu-system-$(uname -m)" busybox cpio depmod xz; do
		command -v "$tool" >/dev/null || {
			echo "skip - $1: $tool is missing (\`make check-vm\` installs it)"
			exit 0
		}
	done
}

prog_tests() { (cd selftests && ls prog/test_*.c | sed 's/\.c$//'); }

# Without the archive there is no kernel: that is no fault of the programs.
vm_run() { # SUITE TEST...: see inside.sh
	local suite=$1 status=0
	shift
	GUEST_TIMEOUT=${GUEST_TIMEOUT:-1800} selftests/vm/guest.sh "$suite" bash selftests/vm/inside.sh "$@" || status=$?
	case $status in
	126) echo "skip - tests on the kernel of $suite: no kernel or no machine to run it on (the log says more)" ;;
	124 | 125) echo "not ok - the virtual machine with the kernel of $suite runs to its end" ;;
	*) exit "$status" ;;
	esac
}
