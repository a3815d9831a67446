/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * record.h - RDATA of the NTMv4 and NTMv6 records (paper A, section II.A; doc/PROTOCOL.md, "Names").
 * Written by dc/dns_zone.c, read by daemon/dns_stub.c.
 *
 *	NTMv4:  virtual 4 | DC 4  | DC port 2 | public key 32 | real 4  | NAT 4     50 bytes
 *	NTMv6:  virtual 16 | DC 16 | DC port 2 | public key 32 | real 16 | NAT 16   98 bytes
 *
 * real and NAT are zero unless the DC publishes locations; the DC's address is zero if it has none of the
 * family.
 */
#ifndef NTM_LIB_RECORD_H
#define NTM_LIB_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

#define NTM_RECORD4_LEN 50
#define NTM_RECORD6_LEN 98

struct ntm_record {
	bool is4;
	struct ntm_addr vip, real, nat;
	struct ntm_endpoint dc;
	uint8_t public_key[NTM_KEY_LEN];
};

/* out has room for NTM_RECORD6_LEN bytes; returns the length. */
size_t ntm_record_build(uint8_t *out, const struct ntm_record *record);
/* 0 or -EINVAL: wrong length. */
int ntm_record_parse(struct ntm_record *ret_record, bool is4, const uint8_t *rdata, size_t len);

#endif
