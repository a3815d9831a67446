#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: the same as bpf_datapath with links that compute no checksums and cut no segments
# timeout: 150
export NTM_OFFLOADS=off
# shellcheck source=selftests/netns/bpf_datapath.sh
. "$(dirname "$0")/bpf_datapath.sh"
