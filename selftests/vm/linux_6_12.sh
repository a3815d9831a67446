#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the same on Linux 6.12 (Debian 13)
# timeout: 1800
# long
# shellcheck source=selftests/vm/lib.sh
. "$(dirname "$0")/lib.sh"
vm_needed "the BPF programs load on Linux 6.12"
vm_run trixie prog/test_load netns/vm_ping
