/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * config.c - dc.conf as struct dc_config. Each key checks its own value; what concerns several keys is
 * checked at the end. Before it: lib/config.c reads the lines. After it: main.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "crypto.h"
#include "dc/dc.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"

#define DEFAULT_SOCKET "/run/ntm/dc.sock"
#define DEFAULT_DATABASE "sqlite:/var/lib/ntm/dc.sqlite"
#define DNS_PORT 53
#define DNS_RATE 500 /* a /24 of resolvers needs less: they keep an answer for 30 s at least */
#define DNS_RATE_MAX 1000000
#define DC_PATH_RATE_MIN 1000 /* with less not even handshakes would pass in time */

static const char an_endpoint[] = "an address and port, as 192.0.2.1:6866 or [2001:db8::1]:6866";
static const char too_many[] = "at most 8 of this key";

/* Others are told these endpoints, and send there. */
static const char *endpoint_add(struct ntm_endpoint *list, uint16_t *count, const char *value)
{
	struct ntm_endpoint endpoint;

	if (ntm_endpoint_parse(&endpoint, value, NTM_PORT) || !endpoint.port)
		return an_endpoint;
	if (!ntm_addr_is_host(&endpoint.addr))
		return "the address of one machine, as others reach it";
	for (unsigned i = 0; i < *count; i++)
		if (ntm_endpoint_equal(&list[i], &endpoint))
			return "each endpoint only once";
	if (*count == NTM_SERVERS_MAX)
		return too_many;
	list[(*count)++] = endpoint;
	return NULL;
}

static const char *set_listen(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;

	(void)arg;
	return endpoint_add(c->listen, &c->listens, value);
}

static const char *set_dns_listen(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;
	struct ntm_endpoint endpoint;

	(void)arg;
	if (ntm_endpoint_parse(&endpoint, value, DNS_PORT) || !endpoint.port ||
	    !(ntm_addr_is_host(&endpoint.addr) || ntm_addr_is_any(&endpoint.addr)))
		return "an address and port, as 192.0.2.1:53 or [2001:db8::1]:53";
	for (unsigned i = 0; i < c->dnss; i++)
		if (ntm_endpoint_equal(&c->dns[i], &endpoint))
			return "each endpoint only once";
	if (c->dnss == NTM_SERVERS_MAX)
		return too_many;
	c->dns[c->dnss++] = endpoint;
	return NULL;
}

static const char *set_rate_limit(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;
	unsigned long rate;
	char *end;

	(void)arg;
	errno = 0;
	rate = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || rate > DNS_RATE_MAX)
		return "answers a second, at most 1000000, or 0 for no limit";
	c->dns_rate_limit = (uint32_t)rate;
	return NULL;
}

static const char *set_locations(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;

	(void)arg;
	if (strcmp(value, "none") && strcmp(value, "public"))
		return "none or public";
	c->locations_public = !strcmp(value, "public");
	return NULL;
}

static const char *set_database(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;

	(void)arg;
	if (strncmp(value, "sqlite:", 7) || !value[7])
		return "sqlite:PATH, as sqlite:/var/lib/ntm/dc.sqlite";
	return ntm_config_set_string(&c->database, value, NULL);
}

static const char *set_virtual4(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;
	struct dc_prefix prefix;

	(void)arg;
	if (dc_prefix_parse(&prefix, value) || !ntm_addr_is4(&prefix.addr) ||
	    !ntm_addr_is_usable(&prefix.addr))
		return "a unicast IPv4 prefix of 8 to 29 bits without host bits, as 198.18.0.0/16";
	c->virtual4 = prefix;
	return NULL;
}

static const char *set_virtual6(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;
	struct dc_prefix prefix;

	(void)arg;
	if (dc_prefix_parse(&prefix, value) || ntm_addr_is4(&prefix.addr) ||
	    !ntm_addr_is_usable(&prefix.addr))
		return "a unicast IPv6 prefix of 8 to 125 bits without host bits, as fd4e:544d:1::/64";
	c->virtual6 = prefix;
	return NULL;
}

/* ---- [relay "NAME"] and [peer "NAME"]: keys belong to the section begun last */

static const char *relay_begin(void *config, const char *name)
{
	struct dc_config *c = config;
	struct dc_config_relay relay = {0};
	void *grown;

	if (ntm_name_normalise(relay.name, name))
		return "the relay's name, as [relay \"rs1.ntm.example\"]";
	for (unsigned i = 0; i < c->relays; i++)
		if (!strcmp(c->relay[i].name, relay.name))
			return "one section for each relay";
	if (c->relays == DC_RELAYS_MAX)
		return "at most 64 relays";
	grown = realloc(c->relay, (c->relays + 1) * sizeof(*c->relay));
	if (!grown)
		return "more memory than there is";
	c->relay = grown;
	c->relay[c->relays++] = relay;
	return NULL;
}

static const char *set_relay_key(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;

	return ntm_config_set_key(c->relay[c->relays - 1].public_key, value, arg);
}

static const char *set_relay_endpoint(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;
	struct dc_config_relay *relay = &c->relay[c->relays - 1];

	(void)arg;
	return endpoint_add(relay->endpoint, &relay->endpoints, value);
}

static const char *set_relay_rate(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;
	unsigned long long rate;
	char *end;

	(void)arg;
	errno = 0;
	rate = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || (rate && rate < DC_PATH_RATE_MIN))
		return "bytes a second, at least 1000, or 0 for no limit";
	c->relay[c->relays - 1].path_rate = rate;
	return NULL;
}

static const char *peer_begin(void *config, const char *name)
{
	struct dc_config *c = config;
	struct dc_config_peer peer = {0};
	void *grown;

	if (ntm_name_normalise(peer.name, name))
		return "the other DC's name, as [peer \"dc.other.example\"]";
	for (unsigned i = 0; i < c->peers; i++)
		if (!strcmp(c->peer[i].name, peer.name))
			return "one section for each DC";
	if (c->peers == DC_PEERS_MAX)
		return "at most 64 other DCs";
	grown = realloc(c->peer, (c->peers + 1) * sizeof(*c->peer));
	if (!grown)
		return "more memory than there is";
	c->peer = grown;
	c->peer[c->peers++] = peer;
	return NULL;
}

static const char *set_peer_key(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;

	return ntm_config_set_key(c->peer[c->peers - 1].public_key, value, arg);
}

static const char *set_peer_zone(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;

	(void)arg;
	return ntm_name_normalise(c->peer[c->peers - 1].zone, value) ? "a domain name, as other.example"
								     : NULL;
}

static const char *peer_prefix_add(struct dc_config *config, const char *value, int family,
				   const char *expected)
{
	struct dc_config_peer *peer = &config->peer[config->peers - 1];
	struct dc_prefix prefix;

	if (dc_prefix_parse_any(&prefix, value) || ntm_addr_is4(&prefix.addr) != !family)
		return expected;
	if (peer->prefixes[family] == DC_PEER_PREFIXES)
		return too_many;
	peer->prefix[family][peer->prefixes[family]++] = prefix;
	return NULL;
}

static const char *set_peer_virtual4(void *config, const char *value, void *arg)
{
	(void)arg;
	return peer_prefix_add(config, value, 0,
			       "an IPv4 prefix of 8 to 32 bits without host bits, as 198.19.0.0/16");
}

static const char *set_peer_virtual6(void *config, const char *value, void *arg)
{
	(void)arg;
	return peer_prefix_add(config, value, 1,
			       "an IPv6 prefix of 8 to 128 bits without host bits, as fd4e:544d:2::/64");
}

static const char *set_peer_endpoint(void *config, const char *value, void *arg)
{
	struct dc_config *c = config;
	struct dc_config_peer *peer = &c->peer[c->peers - 1];

	(void)arg;
	return endpoint_add(peer->endpoint, &peer->endpoints, value);
}

#define AT(member) (void *)offsetof(struct dc_config, member)

static const struct ntm_config_key keys[] = {
	{.section = "dc", .name = "name", .required = true, .set = ntm_config_set_name, .arg = AT(name)},
	{.section = "dc", .name = "zone", .required = true, .set = ntm_config_set_name, .arg = AT(zone)},
	{.section = "dc",
	 .name = "private-key-file",
	 .required = true,
	 .set = ntm_config_set_string,
	 .arg = AT(private_key_file)},
	{.section = "dc", .name = "listen", .required = true, .repeats = true, .set = set_listen},
	{.section = "dc", .name = "control-socket", .set = ntm_config_set_socket, .arg = AT(control_socket)},
	{.section = "dc", .name = "database", .set = set_database},
	{.section = "dc", .name = "virtual4", .set = set_virtual4},
	{.section = "dc", .name = "virtual6", .set = set_virtual6},
	{.section = "dns", .name = "listen", .repeats = true, .set = set_dns_listen},
	{.section = "dns", .name = "rate-limit", .set = set_rate_limit},
	{.section = "dns", .name = "locations", .set = set_locations},
	{.section = "relay", .name = "public-key", .required = true, .set = set_relay_key},
	{.section = "relay",
	 .name = "endpoint",
	 .required = true,
	 .repeats = true,
	 .set = set_relay_endpoint},
	{.section = "relay", .name = "path-rate", .set = set_relay_rate},
	{.section = "peer", .name = "zone", .required = true, .set = set_peer_zone},
	{.section = "peer", .name = "public-key", .required = true, .set = set_peer_key},
	{.section = "peer", .name = "endpoint", .required = true, .repeats = true, .set = set_peer_endpoint},
	{.section = "peer", .name = "virtual4", .repeats = true, .set = set_peer_virtual4},
	{.section = "peer", .name = "virtual6", .repeats = true, .set = set_peer_virtual6},
	{0},
};

static const struct ntm_config_section sections[] = {
	{.section = "relay", .begin = relay_begin},
	{.section = "peer", .begin = peer_begin},
	{0},
};

/* Two zones of which one holds the other: a name would have two DCs. */
static bool zones_meet(const char *a, const char *b)
{
	return ntm_name_in_zone(a, b) || ntm_name_in_zone(b, a);
}

/* The prefix of another one that meets one of these; NULL: none. */
static const struct dc_prefix *prefix_meeting(const struct dc_config_peer *peer, int family,
					      const struct dc_prefix *prefix)
{
	for (unsigned i = 0; i < peer->prefixes[family]; i++)
		if (dc_prefix_meets(&peer->prefix[family][i], prefix))
			return &peer->prefix[family][i];
	return NULL;
}

/* An address would be of two DCs. */
static int peer_prefixes_check(const struct dc_config *config, const struct dc_config_peer *peer, int family,
			       const char *path, char *ret_why, size_t why_len)
{
	const struct dc_prefix *own = family ? &config->virtual6 : &config->virtual4;
	const struct dc_prefix *met = prefix_meeting(peer, family, own), *other = own;
	const char *of = "the pool of this DC";
	char text[NTM_ADDR_TEXT], other_text[NTM_ADDR_TEXT];

	for (const struct dc_config_peer *before = config->peer; before != peer && !met; before++)
		for (unsigned i = 0; i < before->prefixes[family] && !met; i++) {
			other = &before->prefix[family][i];
			of = before->name;
			met = prefix_meeting(peer, family, other);
		}
	if (!met)
		return 0;
	snprintf(
		ret_why, why_len,
		"%s: [peer \"%s\"]: virtual%c %s/%u meets %s/%u of %s: expected prefixes apart from each other; if both "
		"DCs really hand out addresses of it, give one of them another pool",
		path, peer->name, family ? '6' : '4', ntm_addr_format(&met->addr, text), met->bits,
		ntm_addr_format(&other->addr, other_text), other->bits, of);
	return -EINVAL;
}

static int peers_check(const struct dc_config *config, const char *path, char *ret_why, size_t why_len)
{
	for (unsigned i = 0; i < config->peers; i++) {
		const struct dc_config_peer *peer = &config->peer[i];
		const char *meets = zones_meet(peer->zone, config->zone) ? "this DC" : NULL;

		for (unsigned j = 0; j < i && !meets; j++)
			if (zones_meet(peer->zone, config->peer[j].zone))
				meets = config->peer[j].name;
		if (meets) {
			snprintf(ret_why, why_len,
				 "%s: [peer \"%s\"]: expected a zone apart from that of %s, not %s", path,
				 peer->name, meets, peer->zone);
			return -EINVAL;
		}
		for (int family = 0; family < 2; family++)
			if (peer_prefixes_check(config, peer, family, path, ret_why, why_len))
				return -EINVAL;
	}
	return 0;
}

/*
 * Of two others of which nothing is configured neither can be told to have taken the other's address. One
 * alone has nobody to take from: our own pool, and public addresses, it is not believed anyway.
 */
static void prefixes_ask_for(const struct dc_config *config, const char *path)
{
	for (unsigned i = 0; config->peers > 1 && i < config->peers; i++) {
		const struct dc_config_peer *peer = &config->peer[i];

		if (!peer->prefixes[0] || !peer->prefixes[1])
			ntm_warn(
				"%s: [peer \"%s\"] has no %s: that DC is believed an address that another peer's node has",
				path, peer->name,
				peer->prefixes[0]   ? "virtual6"
				: peer->prefixes[1] ? "virtual4"
						    : "virtual4 and virtual6");
	}
}

static int default_set(char **string, const char *value)
{
	if (!*string)
		*string = strdup(value);
	return *string ? 0 : -ENOMEM;
}

static int check(struct dc_config *config, const char *path, char *ret_why, size_t why_len)
{
	char why[256];

	if (default_set(&config->control_socket, DEFAULT_SOCKET) ||
	    default_set(&config->database, DEFAULT_DATABASE)) {
		snprintf(ret_why, why_len, "%s: out of memory", path);
		return -EINVAL;
	}
	if (ntm_key_load(config->private_key, config->private_key_file, why, sizeof(why))) {
		snprintf(ret_why, why_len, "%s: [dc] private-key-file: %s", path, why);
		return -EINVAL;
	}
	if (peers_check(config, path, ret_why, why_len))
		return -EINVAL;
	prefixes_ask_for(config, path);
	return 0;
}

int dc_config_read(struct dc_config *ret_config, const char *path, char *ret_why, size_t why_len)
{
	struct dc_config config = { .dns_rate_limit = DNS_RATE };

	dc_prefix_parse(&config.virtual4, "198.18.0.0/16");
	dc_prefix_parse(&config.virtual6, "fd4e:544d:1::/64");
	if (ntm_config_read(path, &config, keys, sections, ret_why, why_len) ||
	    check(&config, path, ret_why, why_len)) {
		dc_config_clear(&config);
		return -EINVAL;
	}
	*ret_config = config;
	ntm_crypto_wipe(config.private_key, sizeof(config.private_key));
	return 0;
}

void dc_config_clear(struct dc_config *config)
{
	free(config->private_key_file);
	free(config->control_socket);
	free(config->database);
	free(config->relay);
	free(config->peer);
	ntm_crypto_wipe(config, sizeof(*config));
}
