/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * nat_mapping.c - a NAT of ours forgot who we are and gives us another address or port, which the kernel does
 * not tell. Peers do, in the answers to our questions (path_control.c), and relays (relay_bind.c). What one
 * of them shows holds for all: the peer is told, and the DC and the relays are asked where they see us now
 * (keepalive.c).
 */
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define TELL_MS 1000 /* at most once in so long, and so for each path: the peer could say anything */

/* Another port of the same address is always another value. Never 0. */
static uint16_t folded(const struct ntm_endpoint *endpoint)
{
	uint16_t value = endpoint->port;

	for (unsigned i = 0; i < sizeof(endpoint->addr.b); i += 2)
		value ^= (uint16_t)(endpoint->addr.b[i] << 8 | endpoint->addr.b[i + 1]);
	return value ? value : 0xffff;
}

/* false: that was done a moment ago. */
static bool tell(struct ntmd *ntmd, const char *who, const struct ntm_endpoint *observed)
{
	int64_t now = ntm_loop_now_ms();
	char text[NTM_ENDPOINT_TEXT];

	if (ntmd->mapping_ms && now - ntmd->mapping_ms < TELL_MS)
		return false;
	ntmd->mapping_ms = now;
	ntm_endpoint_format(observed, text);
	ntm_info("%s sees us at %s now", who, text);
	ntmd_event(ntmd, "mapping_changed", "seen_by", who, "observed", text, NULL);
	ntmd_keepalive_dc(ntmd);
	return true;
}

void ntmd_nat_mapping_relay(struct ntmd_relay *relay)
{
	tell(relay->ntmd, relay->name, &relay->observed);
}

void ntmd_nat_mapping_observed(struct ntmd_path *path, const struct ntm_flow *from,
			       const struct ntm_endpoint *observed)
{
	struct ntmd_route *route = ntmd_route_find(path, from);
	int64_t now = ntm_loop_now_ms();
	uint16_t before;
	bool told;

	if (!route || route->kind == NTM_ROUTE_RELAY || ntm_endpoint_is_none(observed))
		return;
	before = route->observed;
	route->observed = folded(observed);
	if (!before || before == route->observed)
		return;
	told = tell(path->ntmd, path->cn->fqdn, observed);
	/* Each peer, also if another one's answer came first. */
	if (path->active == ntmd_route_index(path, route) && !path->update_us &&
	    !(path->move && path->move->moved_us && now - path->move->moved_us / 1000 < TELL_MS))
		ntmd_route_announce(path, route);
	if (told)
		ntmd_relay_bind_ask(path->ntmd);
}
