#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# inside.sh - runs in the virtual machine: tests of the other tiers, one after the other, as they are. What they
# print is what run.sh counts.
#
#	inside.sh TIER/NAME...		prog/test_NAME is a program, netns/NAME a script; NAME=VALUE sets a variable
#					for those after it
set -u
NTM_BIN=$(realpath -m "${NTM_BIN:-.output}")
export NTM_BIN CMOCKA_MESSAGE_OUTPUT=TAP NTM_PATIENCE=8 # emulation is some ten times slower than the machine
echo "# Linux $(uname -r)"
failed=0 tests=0
for test; do
	case $test in
	*=*) export "${test?}" && continue ;;
	netns/*) command=(bash "selftests/$test.sh") ;;
	*) command=("$NTM_BIN/$test") ;;
	esac
	echo "# $test"
	tests=$((tests + 1))
	if ! NTM_MARK=ntmv$$x$tests timeout -k 5 600 "${command[@]}" 2>&1; then
		echo "not ok - $test ends well on Linux $(uname -r)"
		failed=1
	fi
	rm -rf "/tmp/ntmv$$x$tests"
done
exit $failed
