/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * record.c - RDATA of the NTMv4 and NTMv6 records. dc/dns_zone.c writes it, daemon/dns_stub.c reads it.
 * Both forms are the same fields in the same order; only the addresses' size differs.
 */
#include <errno.h>
#include <string.h>

#include "record.h"

/* An IPv4 address stands in the last four of the 16 bytes (::ffff:a.b.c.d). */
#define V4_OFFSET 12

static const struct ntm_addr v4_prefix = {{[10] = 0xff, [11] = 0xff}};

static uint8_t *addr_put(uint8_t *out, const struct ntm_addr *addr, bool is4)
{
	bool addr_is4 = !memcmp(addr->b, v4_prefix.b, V4_OFFSET);

	/* an address of the other family has no form here: zero, as none */
	if (addr_is4 == is4)
		memcpy(out, is4 ? addr->b + V4_OFFSET : addr->b, is4 ? 4 : 16);
	else
		memset(out, 0, is4 ? 4 : 16);
	return out + (is4 ? 4 : 16);
}

static const uint8_t *addr_get(struct ntm_addr *ret_addr, const uint8_t *in, bool is4)
{
	static const uint8_t zero[4];

	memset(ret_addr, 0, sizeof(*ret_addr));
	if (!is4) {
		memcpy(ret_addr->b, in, 16);
		return in + 16;
	}
	if (memcmp(in, zero, 4)) {
		*ret_addr = v4_prefix;
		memcpy(ret_addr->b + V4_OFFSET, in, 4);
	}
	return in + 4;
}

size_t ntm_record_build(uint8_t *out, const struct ntm_record *record)
{
	bool is4 = record->is4;
	uint8_t *at = out;

	at = addr_put(at, &record->vip, is4);
	at = addr_put(at, &record->dc.addr, is4);
	*at++ = (uint8_t)(record->dc.port >> 8);
	*at++ = (uint8_t)record->dc.port;
	memcpy(at, record->public_key, NTM_KEY_LEN);
	at = addr_put(at + NTM_KEY_LEN, &record->real, is4);
	at = addr_put(at, &record->nat, is4);
	return (size_t)(at - out);
}

int ntm_record_parse(struct ntm_record *ret_record, bool is4, const uint8_t *rdata, size_t len)
{
	struct ntm_record record = {.is4 = is4};

	if (len != (is4 ? NTM_RECORD4_LEN : NTM_RECORD6_LEN))
		return -EINVAL;
	rdata = addr_get(&record.vip, rdata, is4);
	rdata = addr_get(&record.dc.addr, rdata, is4);
	record.dc.port = (uint16_t)(rdata[0] << 8 | rdata[1]);
	memcpy(record.public_key, rdata + 2, NTM_KEY_LEN);
	rdata = addr_get(&record.real, rdata + 2 + NTM_KEY_LEN, is4);
	addr_get(&record.nat, rdata, is4);
	*ret_record = record;
	return 0;
}
