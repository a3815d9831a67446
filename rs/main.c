/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * main.c - ntm-rs: options, configuration, loop. The server itself begins in server.c.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "control.h"
#include "log.h"
#include "loop.h"
#include "pin.h"
#include "pins.h"
#include "rs.h"

#define CONFIG_DEFAULT "/etc/ntm/rs.conf"

static void reload(void *ctx)
{
	rs_reload(ctx);
}

static void no_part(void *ctx, struct json_object *part)
{
	(void)ctx;
	(void)part;
}

static bool is_running(const struct rs_config *config)
{
	struct json_object *status = json_object_new_object();
	char why[256];
	int r;

	json_object_object_add(status, "command", json_object_new_string("status"));
	r = ntm_control_call(config->control_socket, status, no_part, NULL, why, sizeof(why));
	json_object_put(status);
	return r >= 0;
}

/* What XDP relays without any ntm-rs ends. */
static int detach(const struct rs_config *config)
{
	unsigned layout, links;
	int err, lock = -1;

	if (is_running(config)) {
		ntm_error("ntm-rs is running: `ntmctl rs detach` detaches it, or stop it before");
		return NTM_EXIT_SYSTEM;
	}
	if (rs_pin_sets(config->pin_dir, &layout, 1) > 0)
		lock = ntm_pins_lock(config->pin_dir);
	if (lock == -EBUSY) {
		ntm_error("another ntm-rs, with another control socket, has its maps at %s", config->pin_dir);
		return NTM_EXIT_SYSTEM;
	}
	err = rs_pin_remove(config->pin_dir, &links);
	ntm_pins_unlock(config->pin_dir, lock);
	if (err) {
		ntm_error("cannot remove what is pinned in %s: %s", config->pin_dir,
			  err == -ENOTSUP ? "it is in no BPF file system" : strerror(-err));
		return NTM_EXIT_SYSTEM;
	}
	ntm_notice("detached from %u interfaces", links);
	return NTM_EXIT_OK;
}

int main(int argc, char **argv)
{
	struct ntm_loop_options options;
	static struct rs rs;
	struct rs_config config;
	struct ntm_loop loop;
	bool detach_only = ntm_loop_option_take(&argc, argv, "--detach");
	char why[512];
	int r;

	r = ntm_loop_options_parse(
		&options, argc, argv, "ntm-rs",
		"Relay Server of NTMobile: relays tunnels between nodes.\n"
		"With --detach it only ends what XDP relays after an ntm-rs that was stopped.",
		CONFIG_DEFAULT);
	if (r >= 0)
		return r;
	if (rs_config_read(&config, options.config, why, sizeof(why))) {
		ntm_error("%s", why);
		return NTM_EXIT_CONFIG;
	}
	if (options.check_config || detach_only) {
		r = detach_only ? detach(&config) : NTM_EXIT_OK;
		rs_config_clear(&config);
		return r;
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
