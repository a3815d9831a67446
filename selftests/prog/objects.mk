# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# Which objects of the programs a test of BPF programs is linked with; see mk/tests.mk.
test_dns_cgroup: daemon/dns_answer daemon/dns_cache daemon/dns_lookup daemon/dns_servers daemon/dns_stub daemon/dns_tcp daemon/dns_upstream daemon/resolv_conf daemon/resolver_bpf
test_relay: rs/relay_slot
test_relay_map: rs/path rs/relay_map rs/relay_slot
