/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * config.c - ntmd.conf: keys, defaults, and what of it is wrong. The reader is lib/config.c.
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "endpoint.h"
#include "key.h"
#include "ntmd.h"

#define PATHS_DEFAULT 4096 /* of the BPF engine: 4 MiB of maps */
#define OFFSET(member) ((void *)offsetof(struct ntmd_config, member))

/* Somewhere to send to: one machine, and a port. */
static bool is_host(const struct ntm_endpoint *endpoint)
{
	return endpoint->port && ntm_addr_is_host(&endpoint->addr);
}

static const char *set_dc_endpoint(void *ctx, const char *value, void *arg)
{
	struct ntmd_config *config = ctx;

	(void)arg;
	if (config->dcs == NTM_SERVERS_MAX)
		return "at most 8 endpoints";
	if (ntm_endpoint_parse(&config->dc[config->dcs], value, NTM_PORT) ||
	    !is_host(&config->dc[config->dcs]))
		return "an address and port, as 192.0.2.1:6866 or [2001:db8::1]:6866";
	config->dcs++;
	return NULL;
}

static const char *set_upstream(void *ctx, const char *value, void *arg)
{
	struct ntmd_config *config = ctx;
	struct ntm_endpoint *upstream = &config->dns_upstream[config->dns_upstreams];

	(void)arg;
	if (config->dns_upstreams == sizeof(config->dns_upstream) / sizeof(config->dns_upstream[0]))
		return "at most 4 upstream servers";
	if (ntm_endpoint_parse(upstream, value, 53) || !is_host(upstream))
		return "an address, as 192.0.2.53 or [2001:db8::53]:53";
	config->dns_upstreams++;
	return NULL;
}

static const char *set_dns_listen(void *ctx, const char *value, void *arg)
{
	struct ntmd_config *config = ctx;
	struct ntm_endpoint listen;

	(void)arg;
	if (ntm_endpoint_parse(&listen, value, 53) || !listen.port ||
	    !(ntm_addr_is_host(&listen.addr) || ntm_addr_is_any(&listen.addr)))
		return "an address of this machine and a port, as 127.0.0.54:53";
	config->dns_listen = listen;
	return NULL;
}

static const char *set_choice(char **field, const char *value, const char *const *choice,
			      const char *expected)
{
	for (; *choice; choice++) {
		if (strcmp(*choice, value))
			continue;
		free(*field);
		*field = strdup(value);
		return *field ? NULL : "more memory";
	}
	return expected;
}

static const char *set_dns_mode(void *ctx, const char *value, void *arg)
{
	static const char *const choice[] = { "auto", "resolved", "bpf", "resolv.conf", "off", NULL };

	(void)arg;
	return set_choice(&((struct ntmd_config *)ctx)->dns_mode, value, choice,
			  "auto, resolved, bpf, resolv.conf or off");
}

static const char *set_engine(void *ctx, const char *value, void *arg)
{
	static const char *const choice[] = { "auto", "bpf", "user", NULL };

	(void)arg;
	return set_choice(&((struct ntmd_config *)ctx)->engine, value, choice, "auto, bpf or user");
}

static const char *set_lane(void *ctx, const char *value, void *arg)
{
	static const char *const choice[] = { "auto", "inline", "bulk", NULL };

	(void)arg;
	return set_choice(&((struct ntmd_config *)ctx)->lane, value, choice, "auto, inline or bulk");
}

static const char *set_cipher(void *ctx, const char *value, void *arg)
{
	static const char *const choice[] = { "auto", "chacha20-poly1305", "aes-256-gcm", NULL };

	(void)arg;
	return set_choice(&((struct ntmd_config *)ctx)->cipher, value, choice,
			  "auto, chacha20-poly1305 or aes-256-gcm");
}

static const char *set_threads(void *ctx, const char *value, void *arg)
{
	unsigned long number;
	char *end;

	(void)arg;
	if (!strcmp(value, "auto"))
		return NULL;
	number = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || !number || number > NTMD_THREADS_MAX)
		return "auto, or a number from 1 to 32";
	((struct ntmd_config *)ctx)->threads = (unsigned)number;
	return NULL;
}

static const char *set_interface(void *ctx, const char *value, void *arg)
{
	struct ntmd_config *config = ctx;
	char **grown;

	(void)arg;
	if (!ntm_config_is_device(value))
		return "the name of an interface, as eth0";
	for (unsigned i = 0; i < config->interfaces; i++)
		if (!strcmp(config->interface[i], value))
			return "each interface only once";
	grown = realloc(config->interface, (config->interfaces + 1) * sizeof(*grown));
	if (!grown)
		return "more memory";
	config->interface = grown;
	grown[config->interfaces] = strdup(value);
	if (!grown[config->interfaces])
		return "more memory";
	config->interfaces++;
	return NULL;
}

/* 0 to 2 are standard input, output and error. */
static const char *fd_parse(const char *value, int *ret_fd)
{
	char *end;
	long number = strtol(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || number < 3 || number > 65535)
		return "the number of a descriptor, 3 or more";
	*ret_fd = (int)number;
	return NULL;
}

static const char *set_fd(void *ctx, const char *value, void *arg)
{
	return fd_parse(value, (int *)((char *)ctx + (uintptr_t)arg));
}

static const char *set_dns_fd(void *ctx, const char *value, void *arg)
{
	struct ntmd_config *config = ctx;
	const char *expected;

	(void)arg;
	if (config->dns_fds == 2)
		return "two descriptors, one for UDP and one for TCP";
	expected = fd_parse(value, &config->dns_fd[config->dns_fds]);
	if (!expected)
		config->dns_fds++;
	return expected;
}

static const char *begin_pin(void *ctx, const char *name)
{
	struct ntmd_config *config = ctx;
	struct ntmd_pin *grown;
	struct ntmd_pin pin;

	memset(&pin, 0, sizeof(pin));
	if (ntm_name_normalise(pin.fqdn, name))
		return "the name of a node, as [pin \"cn.ntm.example\"]";
	for (unsigned i = 0; i < config->pins; i++)
		if (!strcmp(config->pin[i].fqdn, pin.fqdn))
			return "one [pin] section for each node";
	grown = realloc(config->pin, (config->pins + 1) * sizeof(*grown));
	if (!grown)
		return "more memory";
	config->pin = grown;
	config->pin[config->pins++] = pin;
	return NULL;
}

static const char *begin_interface(void *ctx, const char *name)
{
	struct ntmd_config *config = ctx;
	struct ntmd_metric *grown;

	if (!ntm_config_is_device(name))
		return "the name of an interface, as [interface \"wlan0\"]";
	for (unsigned i = 0; i < config->metrics; i++)
		if (!strcmp(config->metric[i].name, name))
			return "one [interface] section for each interface";
	grown = realloc(config->metric, (config->metrics + 1) * sizeof(*grown));
	if (!grown)
		return "more memory";
	config->metric = grown;
	memset(&grown[config->metrics], 0, sizeof(*grown));
	strcpy(grown[config->metrics++].name, name);
	return NULL;
}

static const char *set_metric(void *ctx, const char *value, void *arg)
{
	struct ntmd_config *config = ctx;
	unsigned long metric;
	char *end;

	(void)arg;
	metric = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || metric > 1000000)
		return "a number from 0 (best) to 1000000";
	config->metric[config->metrics - 1].metric = (unsigned)metric;
	return NULL;
}

static const char *set_pin_key(void *ctx, const char *value, void *arg)
{
	struct ntmd_config *config = ctx;

	(void)arg;
	return ntm_key_parse(config->pin[config->pins - 1].public_key, value) ?
		       "a public key of 44 characters, as `ntmctl key pub` prints it" :
		       NULL;
}

static const char *set_rekey_after(void *ctx, const char *value, void *arg)
{
	unsigned seconds;

	(void)arg;
	if (ntm_config_set_number(&seconds, value, NULL) || !seconds || seconds > NTM_REKEY_AFTER_S)
		return "1 to 120 seconds";
	((struct ntmd_config *)ctx)->rekey_after_s = seconds;
	return NULL;
}

static const char *set_paths(void *ctx, const char *value, void *arg)
{
	unsigned paths;

	(void)arg;
	if (ntm_config_set_number(&paths, value, NULL) || !paths || paths > NTM_PATHS_MAX)
		return "a number of tunnels from 1 to 65536";
	((struct ntmd_config *)ctx)->paths = paths;
	return NULL;
}

static const char *set_mtu(void *ctx, const char *value, void *arg)
{
	unsigned mtu;

	(void)arg;
	if (ntm_config_set_number(&mtu, value, NULL) || (mtu && (mtu < 1280 || mtu > 65000)))
		return "1280 (the least IPv6 works with) to 65000 bytes, or 0 for the default";
	((struct ntmd_config *)ctx)->mtu = mtu;
	return NULL;
}

static const struct ntm_config_key keys[] = {
	{ "node", "fqdn", false, true, ntm_config_set_name, OFFSET(fqdn) },
	{ "node", "private-key-file", false, true, ntm_config_set_string, OFFSET(private_key_file) },
	{ "node", "device", false, false, ntm_config_set_device, OFFSET(device) },
	{ "node", "listen-port", false, false, ntm_config_set_port, OFFSET(listen_port) },
	{ "node", "control-socket", false, false, ntm_config_set_socket, OFFSET(control_socket) },
	{ "node", "state-dir", false, false, ntm_config_set_string, OFFSET(state_dir) },
	{ "node", "rekey-after", false, false, set_rekey_after, NULL },
	{ "dc", "public-key", false, true, ntm_config_set_key, OFFSET(dc_key) },
	{ "dc", "endpoint", true, true, set_dc_endpoint, NULL },
	{ "dns", "mode", false, false, set_dns_mode, NULL },
	{ "dns", "listen", false, false, set_dns_listen, NULL },
	{ "dns", "listen-fd", true, false, set_dns_fd, NULL },
	{ "dns", "upstream", true, false, set_upstream, NULL },
	{ "datapath", "engine", false, false, set_engine, NULL },
	{ "datapath", "paths", false, false, set_paths, NULL },
	{ "datapath", "pin-dir", false, false, ntm_config_set_folder, OFFSET(pin_dir) },
	{ "datapath", "interface", true, false, set_interface, NULL },
	{ "datapath", "cipher", false, false, set_cipher, NULL },
	{ "datapath", "threads", false, false, set_threads, NULL },
	{ "datapath", "lane", false, false, set_lane, NULL },
	{ "datapath", "mtu", false, false, set_mtu, NULL },
	{ "datapath", "tun-fd", false, false, set_fd, OFFSET(tun_fd) },
	{ "datapath", "netlink-fd", false, false, set_fd, OFFSET(netlink_fd) },
	{ "pin", "public-key", false, true, set_pin_key, NULL },
	{ "interface", "metric", false, true, set_metric, NULL },
	{ NULL, NULL, false, false, NULL, NULL },
};

static const struct ntm_config_section sections[] = {
	{ "pin", begin_pin },
	{ "interface", begin_interface },
	{ NULL, NULL },
};

static int set_default(char **field, const char *value)
{
	if (!*field)
		*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

/*
 * `ntmctl run` starts any user's ntmd with any configuration, also one that was written for root: it says
 * where the socket and the state go, whatever stands there. Nodes of several names have a folder each.
 */
static int environment_read(struct ntmd_config *config)
{
	const char *socket = getenv("NTM_CONTROL_SOCKET"), *home = getenv("NTM_STATE_HOME");

	if (socket && *socket) {
		free(config->control_socket);
		config->control_socket = strdup(socket);
		if (!config->control_socket)
			return -ENOMEM;
	}
	if (home && *home) {
		free(config->state_dir);
		if (asprintf(&config->state_dir, "%s/%s", home, config->fqdn) < 0) {
			config->state_dir = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

int ntmd_config_read(struct ntmd_config *config, const char *path, char *ret_why, size_t why_len)
{
	memset(config, 0, sizeof(*config));
	config->rekey_after_s = NTM_REKEY_AFTER_S;
	config->paths = PATHS_DEFAULT;
	config->tun_fd = config->netlink_fd = -1;
	if (ntm_config_read(path, config, keys, sections, ret_why, why_len))
		return -1;
	if (environment_read(config) || set_default(&config->device, "ntm0") ||
	    set_default(&config->control_socket, "/run/ntm/ntmd.sock") ||
	    set_default(&config->state_dir, "/var/lib/ntm") || set_default(&config->engine, "auto") ||
	    set_default(&config->dns_mode, "auto") || set_default(&config->cipher, "auto") ||
	    set_default(&config->lane, "auto") || set_default(&config->pin_dir, "/sys/fs/bpf/ntm/ntm0")) {
		snprintf(ret_why, why_len, "%s: out of memory", path);
		return -1;
	}
	return 0;
}

void ntmd_config_clear(struct ntmd_config *config)
{
	free(config->private_key_file);
	free(config->device);
	free(config->control_socket);
	free(config->state_dir);
	free(config->engine);
	free(config->dns_mode);
	free(config->cipher);
	free(config->lane);
	free(config->pin_dir);
	free(config->pin);
	free(config->metric);
	for (unsigned i = 0; i < config->interfaces; i++)
		free(config->interface[i]);
	free(config->interface);
	memset(config, 0, sizeof(*config));
}
