#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: on Linux 6.12 the tunnel runs beside the kernel's WireGuard (ratios only: emulated)
# timeout: 1200
# long
# shellcheck source=selftests/vm/lib.sh
. "$(dirname "$0")/lib.sh"
vm_needed "the tunnel runs beside the kernel's WireGuard"
command -v wg >/dev/null || { echo "skip - the tunnel runs beside the kernel's WireGuard: wg is missing"; exit 0; }
vm_run trixie netns/../vm/beside_wireguard
