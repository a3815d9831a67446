/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_zone.h - the authoritative answers of a DC's zone: query packet in, answer packet out (RFC 1034, 1035,
 * 2308, 6891, 7873, 8020, 8482). No I/O; dc/dns.c brings the packets. libknot knows the wire format.
 */
#ifndef DC_DNS_ZONE_H
#define DC_DNS_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/limits.h>
#include <ntm/types.h>

#define DC_ZONE_TTL_S 60 /* A, AAAA, NS, SOA */
#define DC_ZONE_NTM_TTL_S 30 /* NTMv4, NTMv6, and names that do not exist */
#define DC_ZONE_UDP_MAX 1232 /* largest answer over UDP, by EDNS: bytes */
#define DC_ZONE_QUERY_MAX 4096 /* larger queries are none */
#define DC_ZONE_ANSWER_MAX 4096

struct dc_zone;

enum dc_zone_found {
	DC_ZONE_NONE, /* no such name */
	DC_ZONE_EMPTY, /* others lie below it */
	DC_ZONE_NODE,
};

struct dc_zone_node {
	uint8_t vip4[4], vip6[16];
	uint8_t public_key[NTM_KEY_LEN];
	struct ntm_addr real4, real6, nat4, nat6; /* none unless the DC publishes locations */
};

struct dc_zone_config {
	const char *apex, *dc_name; /* normalised; dc_name is the zone's name server */
	const struct ntm_endpoint *dc; /* where the DC listens: for NTM records */
	unsigned dcs;
	const struct ntm_endpoint *dns; /* where its DNS listens: the addresses of dc_name */
	unsigned dnss;
	/* name in lower case, below the apex; fills ret_node for DC_ZONE_NODE */
	enum dc_zone_found (*find)(void *ctx, const char *name, struct dc_zone_node *ret_node);
	uint32_t (*serial)(void *ctx);
	void *ctx;
	uint32_t rate_limit; /* answers a second by UDP to each network (dns_guard.h); 0: any number */
};

struct dc_zone_asker {
	const struct ntm_endpoint *from;
	int64_t now_us; /* of a clock that never goes back */
	bool tcp;
};

/* The config's arrays are copied. 0, -EINVAL: a name has no wire form, -ENOMEM. */
int dc_zone_new(struct dc_zone **ret_zone, const struct dc_zone_config *config);
void dc_zone_free(struct dc_zone *zone);

/*
 * Answers a query. ret_answer has room for DC_ZONE_ANSWER_MAX bytes; returns the answer's length, 0: what
 * came is no query, or one too many: stay silent. Over UDP the answer fits what the query says (512 without
 * EDNS), else it is truncated; and so are some of those beyond the limit.
 */
size_t dc_zone_answer(struct dc_zone *zone, const struct dc_zone_asker *asker, const uint8_t *query,
		      size_t len, uint8_t *ret_answer);

#endif
