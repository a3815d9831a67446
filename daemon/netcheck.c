/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * netcheck.c - what the network does to our one socket: echoes to the DC's and the relays' addresses show
 * whether a NAT is there, whether it maps by destination (RFC 4787, section 4.1), and how far the relays are.
 * The answers are hints: they choose candidates and relays, nothing is believed because of them.
 */
#include <errno.h>
#include <string.h>

#include <ntm/drop.h>
#include <ntm/header.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define ECHO_TRIES 4
#define ECHO_INTERVAL_MS 250

/* IPv4 decides where there is any: it is what NATs are for. */
static enum ntm_nat nat_conclude(const struct ntmd *ntmd)
{
	const struct ntm_endpoint *first = NULL;
	bool own6 = false;

	for (unsigned i = 0; i < ntmd->netcheck.count; i++) {
		const struct ntm_endpoint *seen = &ntmd->netcheck.observed[i];

		if (ntm_endpoint_is_none(seen))
			continue;
		if (!ntm_endpoint_is4(&ntmd->netcheck.server[i])) {
			own6 = own6 || ntmd_real_address_is_own(ntmd, &seen->addr);
			continue;
		}
		if (ntmd_real_address_is_own(ntmd, &seen->addr))
			return NTM_NAT_NONE;
		if (first && !ntm_endpoint_equal(first, seen))
			return NTM_NAT_HARD;
		if (first)
			return NTM_NAT_EASY; /* two servers, one mapping */
		first = seen;
	}
	return !first && own6 ? NTM_NAT_NONE : NTM_NAT_UNKNOWN;
}

static void conclude(struct ntmd *ntmd)
{
	enum ntm_nat nat = nat_conclude(ntmd);
	bool told = nat == ntmd->netcheck.nat;

	ntmd->netcheck.nat = nat;
	ntm_info("NAT: %s", ntm_nat_name(nat));
	if (!told)
		ntmd_event(ntmd, "nat", "nat", ntm_nat_name(nat), NULL);
	for (unsigned i = 0; i < ntmd->netcheck.count; i++)
		told = told && !ntmd->netcheck.rtt_us[i];
	if (!told)
		ntmd_registration_start(ntmd);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd *ntmd = arg;
	unsigned missing = 0;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < ntmd->netcheck.count; i++) {
		struct ntm_flow flow = ntmd_flow_to(ntmd, &ntmd->netcheck.server[i]);
		struct ntm_addr local;
		struct ntm_echo echo;

		if (!ntm_endpoint_is_none(&ntmd->netcheck.observed[i]) || !flow.udp ||
		    ntm_udp_source(&flow.remote, &local))
			continue; /* answered, or of a family that we do not have here */
		missing++;
		if (ntmd->netcheck.tries >= ECHO_TRIES)
			continue;
		memset(&echo, 0, sizeof(echo));
		/* One number for all tries: a late answer counts. */
		if (!ntmd->netcheck.number[i]) {
			ntmd->netcheck.number[i] = (ntm_crypto_random_u64() & NTM_COUNTER_MASK) | 1;
			ntmd->netcheck.sent_us[i] = ntm_loop_now_us();
		}
		ntm_header_set(&echo.h, NTM_TYPE_ECHO, ntmd->netcheck.number[i], 0);
		ntm_udp_send(&flow, &echo, sizeof(echo));
	}
	if (missing && ntmd->netcheck.tries++ < ECHO_TRIES)
		ntm_timer_set_ms(ntmd->netcheck.timer, ECHO_INTERVAL_MS);
	else
		conclude(ntmd);
}

static void server_add(struct ntmd *ntmd, const struct ntm_endpoint *server)
{
	unsigned max = sizeof(ntmd->netcheck.server) / sizeof(ntmd->netcheck.server[0]);

	for (unsigned i = 0; i < ntmd->netcheck.count; i++)
		if (ntm_endpoint_equal(&ntmd->netcheck.server[i], server))
			return;
	if (ntmd->netcheck.count < max)
		ntmd->netcheck.server[ntmd->netcheck.count++] = *server;
}

void ntmd_netcheck_start(struct ntmd *ntmd, const struct ntm_registration_response *response)
{
	if (response) {
		ntmd->netcheck.count = 0;
		for (unsigned i = 0; i < response->servers; i++)
			server_add(ntmd, &response->server[i]);
		ntmd->netcheck.relays = response->relays;
		for (unsigned i = 0; i < response->relays; i++) {
			ntmd->netcheck.relay[i] = response->relay[i];
			for (unsigned k = 0; k < response->relay[i].servers; k++)
				server_add(ntmd, &response->relay[i].server[k]);
		}
	}
	memset(ntmd->netcheck.observed, 0, sizeof(ntmd->netcheck.observed));
	memset(ntmd->netcheck.rtt_us, 0, sizeof(ntmd->netcheck.rtt_us));
	memset(ntmd->netcheck.number, 0, sizeof(ntmd->netcheck.number));
	ntmd->netcheck.tries = 0;
	if (ntmd->netcheck.count)
		ntm_timer_set_ms(ntmd->netcheck.timer, 0);
}

/* Servers of a family that we do not have here cannot answer. */
bool ntmd_netcheck_is_complete(const struct ntmd *ntmd)
{
	struct ntm_addr local;

	for (unsigned i = 0; i < ntmd->netcheck.count; i++)
		if (ntm_endpoint_is_none(&ntmd->netcheck.observed[i]) &&
		    !ntm_udp_source(&ntmd->netcheck.server[i], &local))
			return false;
	return true;
}

bool ntmd_netcheck_knows(const struct ntmd *ntmd, const struct ntm_registration_response *response)
{
	return ntmd->netcheck.relays == response->relays &&
	       !memcmp(ntmd->netcheck.relay, response->relay, response->relays * sizeof(response->relay[0]));
}

int ntmd_netcheck_receive(struct ntmd *ntmd, const struct ntm_flow *from, const uint8_t *packet, size_t len)
{
	const struct ntm_echo *echo = (const struct ntm_echo *)packet;

	if (len != sizeof(*echo))
		return len < sizeof(*echo) ? -NTM_DROP_SHORT : -NTM_DROP_LONG;
	if (ntm_header_id(&echo->h) != 1)
		return -NTM_DROP_TYPE_UNEXPECTED; /* nodes answer no echoes */
	for (unsigned i = 0; i < ntmd->netcheck.count; i++) {
		int64_t rtt = ntm_loop_now_us() - ntmd->netcheck.sent_us[i];

		if (!ntmd->netcheck.number[i] || ntmd->netcheck.number[i] != ntm_header_counter(&echo->h) ||
		    !ntm_endpoint_equal(&ntmd->netcheck.server[i], &from->remote))
			continue;
		ntmd->netcheck.number[i] = 0;
		memcpy(ntmd->netcheck.observed[i].addr.b, echo->addr, 16);
		ntmd->netcheck.observed[i].port = (uint16_t)(echo->port[0] << 8 | echo->port[1]);
		ntmd->netcheck.rtt_us[i] = rtt > 0 ? (uint32_t)rtt : 1;
		return 0;
	}
	return -NTM_DROP_UNMATCHED;
}

int ntmd_netcheck_init(struct ntmd *ntmd)
{
	ntmd->netcheck.timer = ntm_timer_new(ntmd->loop.base, on_timer, ntmd);
	return ntmd->netcheck.timer ? 0 : -ENOMEM;
}

void ntmd_netcheck_clear(struct ntmd *ntmd)
{
	if (ntmd->netcheck.timer)
		event_free(ntmd->netcheck.timer);
	ntmd->netcheck.timer = NULL;
}

struct json_object *ntmd_netcheck_relays_json(struct ntmd *ntmd)
{
	struct json_object *array = json_object_new_array();
	char text[NTM_ENDPOINT_TEXT];

	for (unsigned k = 0; k < ntmd->netcheck.relays; k++) {
		const struct ntm_relay_info *relay = &ntmd->netcheck.relay[k];
		struct json_object *o = json_object_new_object();
		uint32_t best = 0;

		for (unsigned i = 0; i < ntmd->netcheck.count; i++)
			for (unsigned s = 0; s < relay->servers; s++)
				if (ntm_endpoint_equal(&relay->server[s], &ntmd->netcheck.server[i]) &&
				    ntmd->netcheck.rtt_us[i] && (!best || ntmd->netcheck.rtt_us[i] < best))
					best = ntmd->netcheck.rtt_us[i];
		json_object_object_add(o, "name", json_object_new_string(relay->name));
		json_object_object_add(o, "endpoint",
				       json_object_new_string(ntm_endpoint_format(&relay->server[0], text)));
		json_object_object_add(o, "rtt_us", best ? json_object_new_int64(best) : NULL);
		json_object_array_add(array, o);
	}
	return array;
}

/* ---- how large a packet may be */

static void path_mtu_add(struct json_object *array, const char *name, const struct ntm_endpoint *endpoint,
			 unsigned mtu, const char *known_by, bool at_least)
{
	struct json_object *o = json_object_new_object();
	char text[NTM_ENDPOINT_TEXT];

	json_object_object_add(o, "name", *name ? json_object_new_string(name) : NULL);
	json_object_object_add(o, "endpoint", json_object_new_string(ntm_endpoint_format(endpoint, text)));
	json_object_object_add(o, "mtu", json_object_new_int64(mtu));
	json_object_object_add(o, "at_least", json_object_new_boolean(at_least));
	json_object_object_add(o, "known_by", json_object_new_string(known_by));
	json_object_array_add(array, o);
}

/* Whose server this is: a relay's, else the DC's. */
static const char *server_name(const struct ntmd *ntmd, const struct ntm_endpoint *server)
{
	for (unsigned k = 0; k < ntmd->netcheck.relays; k++)
		for (unsigned s = 0; s < ntmd->netcheck.relay[k].servers; s++)
			if (ntm_endpoint_equal(&ntmd->netcheck.relay[k].server[s], server))
				return ntmd->netcheck.relay[k].name;
	return ntmd->registration.dc_name;
}

/* Servers are not asked by large packets, nobody would answer: of them it is the kernel's view. Tunnels ask
 * (path_mtu_probe.c). */
struct json_object *ntmd_netcheck_path_mtu_json(struct ntmd *ntmd)
{
	struct json_object *array = json_object_new_array();
	struct ntmd_path *path;
	unsigned mtu;

	for (unsigned i = 0; i < ntmd->netcheck.count; i++)
		if (!ntm_udp_path_mtu(&ntmd->netcheck.server[i], &mtu))
			path_mtu_add(array, server_name(ntmd, &ntmd->netcheck.server[i]),
				     &ntmd->netcheck.server[i], mtu, "kernel", false);
	LIST_FOREACH(path, &ntmd->path, next) {
		const struct ntmd_route *route = path->active < 0 ? NULL : path->route[path->active];
		bool more = false;

		mtu = route ? ntmd_path_mtu_outer(path, route, &more) : 0;
		if (mtu)
			path_mtu_add(array, path->cn->fqdn, &route->flow.remote, mtu, "answer", more);
	}
	return array;
}
