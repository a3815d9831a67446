# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# Which objects of the programs a fuzz target is linked with; see mk/tests.mk.
fuzz_inner: daemon/inner
fuzz_segment: daemon/checksum daemon/inner daemon/segment
fuzz_coalesce: daemon/checksum daemon/coalesce daemon/inner daemon/segment
fuzz_piece: daemon/piece
