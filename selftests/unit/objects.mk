# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# Which objects of the programs a unit test is linked with; see mk/tests.mk.
test_configs: daemon/config dc/addr_pool dc/config rs/config
test_state: daemon/state
test_rs_path: rs/path
test_rs_relay: rs/config rs/control rs/device rs/drain rs/inherit rs/keepalive rs/next_hop rs/path rs/pin rs/relay_map rs/relay_slot rs/xdp rs/xdp_attach rs/xdp_link rs/receive rs/registration rs/relay rs/server rs/too_big rs/user_lane rs/user_relay rs/user_send
test_rs_lanes: rs/config rs/control rs/device rs/drain rs/inherit rs/keepalive rs/next_hop rs/path rs/pin rs/relay_map rs/relay_slot rs/xdp rs/xdp_attach rs/xdp_link rs/receive rs/registration rs/relay rs/server rs/too_big rs/user_lane rs/user_relay rs/user_send
test_dns_stub: daemon/dns_answer daemon/dns_cache daemon/dns_lookup daemon/dns_servers daemon/dns_stub daemon/dns_tcp daemon/dns_upstream daemon/resolv_conf
test_resolver: daemon/dns_answer daemon/dns_cache daemon/dns_lookup daemon/dns_servers daemon/dns_stub daemon/dns_tcp daemon/dns_upstream daemon/resolv_conf daemon/resolver daemon/resolver_bpf daemon/resolver_file daemon/resolver_resolved
test_inner: daemon/inner
test_segment: daemon/checksum daemon/segment
test_coalesce: daemon/checksum daemon/coalesce daemon/segment
test_user_engine: daemon/inner daemon/ntm0 daemon/checksum daemon/coalesce daemon/segment daemon/user_table daemon/user_key daemon/user_held daemon/user_resume daemon/user_engine daemon/user_path daemon/user_tell daemon/user_egress daemon/user_train daemon/user_ingress daemon/piece daemon/user_piece daemon/user_shard daemon/user_place daemon/steer
test_user_lanes: daemon/inner daemon/ntm0 daemon/checksum daemon/coalesce daemon/segment daemon/user_table daemon/user_key daemon/user_held daemon/user_resume daemon/user_engine daemon/user_path daemon/user_tell daemon/user_egress daemon/user_train daemon/user_ingress daemon/piece daemon/user_piece daemon/user_shard daemon/user_place daemon/steer
test_user_offload: daemon/inner daemon/ntm0 daemon/checksum daemon/coalesce daemon/segment daemon/user_table daemon/user_key daemon/user_held daemon/user_resume daemon/user_engine daemon/user_path daemon/user_tell daemon/user_egress daemon/user_train daemon/user_ingress daemon/piece daemon/user_piece daemon/user_shard daemon/user_place daemon/steer
test_addr_pool: dc/addr_pool
test_path_select: dc/path_select
test_dns_zone: dc/dns_guard dc/dns_zone
test_dns_guard: dc/dns_guard dc/dns_zone
test_dc_store: dc/store
test_dc_direction: dc/addr_pool dc/config dc/control dc/direction dc/direction_round dc/keepalive dc/location dc/member dc/path dc/path_select dc/recall dc/receive dc/registration dc/relay dc/route_direction dc/store dc/table
test_dc_peers: dc/addr_pool dc/config dc/control dc/direction dc/direction_round dc/keepalive dc/location dc/member dc/path dc/path_select dc/recall dc/receive dc/registration dc/relay dc/route_direction dc/store dc/table
test_fd_passing: daemon/fd_passing
test_piece: daemon/piece
test_path_mtu: daemon/path_mtu
test_user_piece: daemon/inner daemon/ntm0 daemon/checksum daemon/coalesce daemon/segment daemon/user_table daemon/user_key daemon/user_held daemon/user_resume daemon/user_engine daemon/user_path daemon/user_tell daemon/user_egress daemon/user_train daemon/user_ingress daemon/piece daemon/user_piece daemon/user_shard daemon/user_place daemon/steer
test_user_resume: daemon/inner daemon/ntm0 daemon/checksum daemon/coalesce daemon/segment daemon/user_table daemon/user_key daemon/user_held daemon/user_resume daemon/user_engine daemon/user_path daemon/user_tell daemon/user_egress daemon/user_train daemon/user_ingress daemon/piece daemon/user_piece daemon/user_shard daemon/user_place daemon/steer
test_user_shard: daemon/inner daemon/ntm0 daemon/checksum daemon/coalesce daemon/segment daemon/user_table daemon/user_key daemon/user_held daemon/user_resume daemon/user_engine daemon/user_path daemon/user_tell daemon/user_egress daemon/user_train daemon/user_ingress daemon/piece daemon/user_piece daemon/user_shard daemon/user_place
