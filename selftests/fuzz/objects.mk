# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# Which objects of the programs a fuzz target is linked with; see mk/tests.mk.
fuzz_inner: daemon/inner
fuzz_segment: daemon/checksum daemon/inner daemon/segment
fuzz_coalesce: daemon/checksum daemon/coalesce daemon/inner daemon/segment
fuzz_piece: daemon/piece
fuzz_dns_stub: daemon/dns_answer daemon/dns_cache daemon/dns_lookup daemon/dns_servers daemon/dns_stub daemon/dns_tcp daemon/dns_upstream daemon/resolv_conf
fuzz_dns_zone: dc/dns_guard dc/dns_zone
