/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * config.c - rs.conf into struct rs_config, by lib/config.c's tables. Read by main.c and again at SIGHUP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "crypto.h"
#include "key.h"
#include "rs.h"

#define CONTROL_SOCKET_DEFAULT "/run/ntm/rs.sock"
#define PIN_DIR_DEFAULT "/sys/fs/bpf/ntm/rs"
#define MAX_PATHS_DEFAULT 131072 /* 31 MiB of maps */

static const char *set_listen(void *ctx, const char *value, void *arg)
{
	struct rs_config *config = ctx;
	struct ntm_endpoint ep;

	(void)arg;
	/* Port 0 would be another one at every start, and nobody could be told it. */
	if (ntm_endpoint_parse(&ep, value, NTM_PORT) || !ep.port ||
	    !(ntm_addr_is_host(&ep.addr) || ntm_addr_is_any(&ep.addr)))
		return "an address and port, as 192.0.2.1:6866 or [2001:db8::1]:6866";
	if (config->listens == NTM_SERVERS_MAX)
		return "at most 8 listen endpoints";
	for (unsigned i = 0; i < config->listens; i++) {
		if (ntm_endpoint_equal(&config->listen[i], &ep))
			return "each listen endpoint only once";
	}
	config->listen[config->listens++] = ep;
	return NULL;
}

static const char *begin_dc(void *ctx, const char *name)
{
	struct rs_config *config = ctx;
	struct rs_config_dc *dc = &config->dc[config->dcs];

	if (config->dcs == RS_DCS_MAX)
		return "at most 64 [dc] sections";
	memset(dc, 0, sizeof(*dc));
	if (ntm_name_normalise(dc->name, name))
		return "the DC's name, as [dc \"dc.ntm.example\"]";
	for (unsigned i = 0; i < config->dcs; i++) {
		if (!strcmp(config->dc[i].name, dc->name))
			return "one section for each DC";
	}
	config->dcs++;
	return NULL;
}

static const char *set_dc_key(void *ctx, const char *value, void *arg)
{
	struct rs_config *config = ctx;
	struct rs_config_dc *dc = &config->dc[config->dcs - 1];

	(void)arg;
	if (ntm_key_parse(dc->key, value))
		return "the DC's public key, 44 characters of base64 as `ntmctl key pub` prints it";
	for (unsigned i = 0; i + 1 < config->dcs; i++) {
		if (!memcmp(config->dc[i].key, dc->key, NTM_KEY_LEN))
			return "a key that no other DC has";
	}
	return NULL;
}

static const char *set_xdp(void *ctx, const char *value, void *arg)
{
	static const char *const mode[] = {"auto", "native", "generic", "off"};
	struct rs_config *config = ctx;

	(void)arg;
	for (unsigned i = 0; i < sizeof(mode) / sizeof(mode[0]); i++) {
		if (!strcmp(value, mode[i])) {
			config->xdp = (enum rs_xdp_mode)i;
			return NULL;
		}
	}
	return "auto, native, generic or off";
}

static const char *set_interface(void *ctx, const char *value, void *arg)
{
	struct rs_config *config = ctx;

	(void)arg;
	if (!ntm_config_is_device(value))
		return "the name of a network interface, as eth0";
	for (unsigned i = 0; i < config->interfaces; i++) {
		if (!strcmp(config->interface[i], value))
			return "each interface only once";
	}
	if (config->interfaces == RS_INTERFACES_MAX)
		return "at most 16 interfaces";
	strcpy(config->interface[config->interfaces++], value);
	return NULL;
}

static const char *paths_parse(const char *value, unsigned *ret_paths)
{
	unsigned long number;
	char *end;

	number = strtoul(value, &end, 10);
	if (value[0] < '1' || value[0] > '9' || *end || number > NTM_RELAY_PATHS_MAX)
		return "a number of paths from 1 to 1048576";
	*ret_paths = (unsigned)number;
	return NULL;
}

static const char *set_max_paths(void *ctx, const char *value, void *arg)
{
	struct rs_config *config = ctx;

	(void)arg;
	return paths_parse(value, &config->max_paths);
}

static const char *set_dc_max_paths(void *ctx, const char *value, void *arg)
{
	struct rs_config *config = ctx;

	(void)arg;
	return paths_parse(value, &config->dc[config->dcs - 1].max_paths);
}

static const char *set_threads(void *ctx, const char *value, void *arg)
{
	struct rs_config *config = ctx;

	(void)arg;
	if (value[0] < '1' || value[0] > '0' + RS_THREADS_MAX || value[1])
		return "a number of threads from 1 to 8";
	config->threads = (unsigned)(value[0] - '0');
	return NULL;
}

#define AT(member) ((void *)offsetof(struct rs_config, member))

static const struct ntm_config_key keys[] = {
	{.section = "rs", .name = "name", .required = true, .set = ntm_config_set_name, .arg = AT(name)},
	{.section = "rs",
	 .name = "private-key-file",
	 .required = true,
	 .set = ntm_config_set_string,
	 .arg = AT(private_key_file)},
	{.section = "rs", .name = "listen", .repeats = true, .required = true, .set = set_listen},
	{.section = "rs", .name = "control-socket", .set = ntm_config_set_socket, .arg = AT(control_socket)},
	{.section = "dc", .name = "public-key", .required = true, .set = set_dc_key},
	{.section = "dc", .name = "max-paths", .set = set_dc_max_paths},
	{.section = "datapath", .name = "xdp", .set = set_xdp},
	{.section = "datapath", .name = "interface", .repeats = true, .set = set_interface},
	{.section = "datapath", .name = "threads", .set = set_threads},
	{.section = "datapath", .name = "max-paths", .set = set_max_paths},
	{.section = "datapath", .name = "pin-dir", .set = ntm_config_set_folder, .arg = AT(pin_dir)},
	{0},
};

static const struct ntm_config_section sections[] = {
	{.section = "dc", .begin = begin_dc},
	{0},
};

static int config_default(char **string, const char *value)
{
	if (!*string)
		*string = strdup(value);
	return *string ? 0 : -1;
}

/* One DC alone may use the whole relay; of several none may fill it, so that the others still get in. */
static void dcs_default(struct rs_config *config)
{
	unsigned share = config->dcs > 1 ? (config->max_paths + 1) / 2 : config->max_paths;

	for (unsigned i = 0; i < config->dcs; i++) {
		if (!config->dc[i].max_paths)
			config->dc[i].max_paths = share;
	}
}

int rs_config_read(struct rs_config *ret_config, const char *path, char *ret_why, size_t why_len)
{
	char why[256];

	memset(ret_config, 0, sizeof(*ret_config));
	ret_config->max_paths = MAX_PATHS_DEFAULT;
	if (ntm_config_read(path, ret_config, keys, sections, ret_why, why_len))
		goto bad;
	if (config_default(&ret_config->control_socket, CONTROL_SOCKET_DEFAULT) ||
	    config_default(&ret_config->pin_dir, PIN_DIR_DEFAULT)) {
		snprintf(ret_why, why_len, "%s: out of memory", path);
		goto bad;
	}
	if (ntm_key_load(ret_config->private_key, ret_config->private_key_file, why, sizeof(why))) {
		snprintf(ret_why, why_len, "%s: [rs] private-key-file: %s", path, why);
		goto bad;
	}
	dcs_default(ret_config);
	return 0;

bad:
	rs_config_clear(ret_config);
	return -1;
}

void rs_config_clear(struct rs_config *config)
{
	free(config->private_key_file);
	free(config->control_socket);
	free(config->pin_dir);
	ntm_crypto_wipe(config, sizeof(*config));
}
