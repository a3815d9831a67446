/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dns_guard.c - DNS cookies, and the limit of answers by UDP. Before it: dns_zone.c, with a query that it has
 * parsed.
 *
 * Nothing is kept of who asks but a time in the fixed table of lib/cookie.h's limiter, where a /24 of IPv4 or
 * a /56 of IPv6 is one source: whoever is flooded with our answers has more addresses than one, and forging
 * them costs nothing.
 */
#include "dc/dns_guard.h"

#include <errno.h>
#include <libknot/libknot.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <ntm/drop.h>

#include "cookie.h"
#include "crypto.h"
#include "endpoint.h"
#include "stats.h"

#define PREFIX4 3 /* bytes of the address */
#define PREFIX6 7
#define COOKIE_S 3600 /* one of ours is good for so long (RFC 9018, 4.3) */
#define SECRET_S 86400 /* then another one makes the cookies; the one before still shows them */
#define MANY 1000000 /* answers a second: no limit of all together, only of each network */

struct dc_guard {
	struct ntm_limiter limiter;
	unsigned refused;
	int64_t secret_s; /* when secret[0] was drawn */
	uint8_t secret[2][KNOT_EDNS_COOKIE_SECRET_SIZE];
};

int dc_guard_new(struct dc_guard **ret_guard, uint32_t per_s)
{
	struct dc_guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return -ENOMEM;
	ntm_limiter_init(&guard->limiter, MANY, per_s);
	ntm_crypto_random(guard->secret, sizeof(guard->secret));
	*ret_guard = guard;
	return 0;
}

void dc_guard_free(struct dc_guard *guard)
{
	if (!guard)
		return;
	ntm_crypto_wipe(guard, sizeof(*guard));
	free(guard);
}

/* Of the loop's clock, which never goes back; ahead of it, so that no cookie is from before 0. */
static uint32_t stamp(int64_t now_us)
{
	return (uint32_t)(now_us / 1000000 + 2 * COOKIE_S);
}

static void secret_age(struct dc_guard *guard, int64_t now_s)
{
	if (!guard->secret_s)
		guard->secret_s = now_s;
	if (now_s - guard->secret_s < SECRET_S)
		return;
	memcpy(guard->secret[1], guard->secret[0], sizeof(guard->secret[1]));
	ntm_crypto_random(guard->secret[0], sizeof(guard->secret[0]));
	guard->secret_s = now_s;
}

enum dc_guard_cookie dc_guard_cookie(struct dc_guard *guard, int64_t now_us, const struct ntm_endpoint *from,
				     const uint8_t *cookie, size_t len,
				     uint8_t ret_cookie[DC_GUARD_COOKIE_LEN])
{
	struct sockaddr_storage at;
	knot_edns_cookie_params_t params = { .version = KNOT_EDNS_COOKIE_VERSION,
					     .timestamp = stamp(now_us),
					     .lifetime_before = COOKIE_S,
					     .client_addr = &at };
	knot_edns_cookie_t client, server, ours;
	bool known = false, made;

	if (!cookie)
		return DC_GUARD_NONE;
	if (knot_edns_cookie_parse(&client, &server, cookie, (uint16_t)len))
		return DC_GUARD_BROKEN;
	secret_age(guard, params.timestamp);
	ntm_endpoint_to_sockaddr(from, &at);
	for (int i = 1; i >= 0; i--) {
		memcpy(params.secret, guard->secret[i], sizeof(params.secret));
		known = known || (server.len && !knot_edns_cookie_server_check(&server, &client, &params));
	}
	/* A new one each time, by the newest secret: as long as somebody asks it does not grow old. */
	made = !knot_edns_cookie_server_generate(&ours, &client, &params) &&
	       !knot_edns_cookie_write(ret_cookie, DC_GUARD_COOKIE_LEN, &client, &ours);
	ntm_crypto_wipe(params.secret, sizeof(params.secret));
	if (!made)
		return DC_GUARD_NONE;
	return known ? DC_GUARD_OURS : DC_GUARD_NEW;
}

enum dc_guard_verdict dc_guard_take(struct dc_guard *guard, int64_t now_us, const struct ntm_endpoint *from)
{
	struct ntm_endpoint network = { .addr = from->addr };

	if (!guard->limiter.source_per_s)
		return DC_GUARD_ANSWER;
	if (ntm_addr_is4(&network.addr))
		memset(network.addr.b + 12 + PREFIX4, 0, sizeof(network.addr.b) - 12 - PREFIX4);
	else
		memset(network.addr.b + PREFIX6, 0, sizeof(network.addr.b) - PREFIX6);
	if (ntm_limiter_take(&guard->limiter, now_us, &network, 0))
		return DC_GUARD_ANSWER;
	ntm_drop_count(-NTM_DROP_RATE);
	return guard->refused++ % 2 ? DC_GUARD_SILENT : DC_GUARD_TRUNCATE;
}
