#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the BPF programs load on Linux 6.1 (Debian 12), and packets go through them
# timeout: 900
# shellcheck source=selftests/vm/lib.sh
. "$(dirname "$0")/lib.sh"
vm_needed "the BPF programs load on Linux 6.1"
vm_run bookworm prog/test_aead prog/test_node_out prog/test_relay prog/test_relay_map netns/../vm/tunnel
