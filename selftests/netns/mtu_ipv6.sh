#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# test: a direct tunnel by IPv6 delivers everything over links of 1500, 1360 and 1280 bytes
#
#	dc (srv1) ---- core -(MTU)-- [r-v6] mn6 (v6)   cn6 (v6b)
# shellcheck source=selftests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=selftests/netns/mtu_steps.sh
. "$(dirname "$0")/mtu_steps.sh"

net_up
dc_start
nodes_add mn6=v6 cn6=v6b
for name in mn6 cn6; do sums_start "$name"; done
for mtu in 1500 1360 1280; do direct_step mn6 cn6 v6 "$mtu" 48; done
for name in mn6 cn6; do no_drops "nothing came in a wrong piece at $name" "$name" piece auth; done
