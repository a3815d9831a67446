/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_guard.h - who gets long answers by UDP: whoever shows by a DNS cookie (RFC 7873, RFC 9018) that queries
 * come from where they say, and of all others so many a second from one network. Sources can be forged, and
 * answers are longer than queries.
 */
#ifndef DC_DNS_GUARD_H
#define DC_DNS_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/types.h>

struct dc_guard;

#define DC_GUARD_COOKIE_LEN 24 /* the client's 8 bytes and ours */

enum dc_guard_cookie {
	DC_GUARD_NONE, /* the query has no cookie */
	DC_GUARD_NEW, /* none of ours, or one that is too old or another's */
	DC_GUARD_OURS, /* whoever sent this has got our answer there */
	DC_GUARD_BROKEN, /* no cookie has this length */
};

enum dc_guard_verdict { DC_GUARD_ANSWER, DC_GUARD_TRUNCATE, DC_GUARD_SILENT };

/* per_s: answers by UDP to each network, 0: no limit; a burst may be one second's. 0 or -ENOMEM. */
int dc_guard_new(struct dc_guard **ret_guard, uint32_t per_s);
void dc_guard_free(struct dc_guard *guard);

/*
 * What the data of a COOKIE option (len bytes) of a query from there is. Not NONE, BROKEN: ret_cookie is the
 * data of the option for the answer. now_us: a clock that never goes back.
 */
enum dc_guard_cookie dc_guard_cookie(struct dc_guard *guard, int64_t now_us, const struct ntm_endpoint *from,
				     const uint8_t *cookie, size_t len,
				     uint8_t ret_cookie[DC_GUARD_COOKIE_LEN]);
/* What a query by UDP gets that has no cookie of ours, and a long answer. Of those beyond the limit every
 * second is truncated: real clients come by TCP. */
enum dc_guard_verdict dc_guard_take(struct dc_guard *guard, int64_t now_us, const struct ntm_endpoint *from);

#endif
