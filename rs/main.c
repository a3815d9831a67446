/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * main.c - ntm-rs: options, configuration, loop. The server itself begins in server.c.
 */
#include <string.h>

#include "log.h"
#include "loop.h"
#include "rs.h"

#define CONFIG_DEFAULT "/etc/ntm/rs.conf"

static void reload(void *ctx)
{
	rs_reload(ctx);
}

int main(int argc, char **argv)
{
	struct ntm_loop_options options;
	static struct rs rs;
	struct rs_config config;
	struct ntm_loop loop;
	char why[512];
	int r;

	r = ntm_loop_options_parse(&options, argc, argv, "ntm-rs",
				   "Relay Server of NTMobile: relays tunnels between nodes.", CONFIG_DEFAULT);
	if (r >= 0)
		return r;
	if (rs_config_read(&config, options.config, why, sizeof(why))) {
		ntm_error("%s", why);
		return NTM_EXIT_CONFIG;
	}
	if (options.check_config) {
		rs_config_clear(&config);
		return NTM_EXIT_OK;
	}
	r = ntm_loop_init(&loop, reload, &rs);
	if (r) {
		ntm_error("cannot make the event loop: %s", strerror(-r));
		rs_config_clear(&config);
		return NTM_EXIT_SYSTEM;
	}
	r = rs_open(&rs, loop.base, options.config, &config, why, sizeof(why));
	if (r) {
		ntm_error("%s", why);
		ntm_loop_clear(&loop);
		return NTM_EXIT_SYSTEM;
	}
	ntm_loop_ready("relaying");
	ntm_loop_run(&loop);
	rs_close(&rs);
	ntm_loop_clear(&loop);
	return NTM_EXIT_OK;
}
