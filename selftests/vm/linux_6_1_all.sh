#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: every BPF program and its tests, on Linux 6.1 (Debian 12)
# timeout: 1800
# long
# shellcheck source=selftests/vm/lib.sh
. "$(dirname "$0")/lib.sh"
vm_needed "the BPF programs load on Linux 6.1"
vm_run bookworm $(prog_tests) netns/../vm/tunnel netns/relay_vlan netns/dns_bpf NTM_ENGINE=bpf netns/direct_tunnel
