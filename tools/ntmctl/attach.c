/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * attach.c - ntmctl attach and detach: ntmd is asked to load its BPF programs, or to remove them. What is
 * pinned outlives ntmd; so without one, detach removes it here (lib/pins.c). The other side: daemon/attach.c.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netlink.h"
#include "ntmctl.h"
#include "pins.h"
#include "run.h"

#define PIN_DIR "/sys/fs/bpf/ntm/ntm0"
#define THROUGH_US 50000 /* packets between the programs are through by then */

static const struct ntm_print_column interface_columns[] = {
	{ "name", "INTERFACE", NTM_PRINT_PLAIN },
	{ "mode", "XDP", NTM_PRINT_PLAIN },
	{ "tc", "TC", NTM_PRINT_PLAIN },
	{ "why", "", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static int request_send(const struct ntmctl *ctl, struct json_object *request, const char *done)
{
	struct json_object *result, *interfaces;
	int r = ntmctl_ask(ctl, request, &result);

	if (r != NTMCTL_DONE)
		return r;
	if (ctl->mode != NTM_PRINT_TEXT) {
		ntm_print_json(stdout, ctl->mode, result);
	} else {
		puts(done);
		interfaces = ntm_print_find(result, "interfaces");
		if (json_object_is_type(interfaces, json_type_array) && json_object_array_length(interfaces))
			ntm_print_table(stdout, NTM_PRINT_TEXT, interfaces, interface_columns, "");
	}
	json_object_put(result);
	return NTMCTL_DONE;
}

/* Without ntmd: the program has what would be loaded. */
static int check_alone(const struct ntmctl *ctl)
{
	char *program = ntmctl_ntmd_find();
	int status = -1;
	pid_t pid;

	if (!program)
		return NTMCTL_FAILED;
	pid = fork();
	if (!pid) {
		execl(program, "ntmd", "--check-bpf", (char *)NULL);
		_exit(NTMCTL_FAILED);
	}
	free(program);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return ntmctl_fail("cannot start ntmd: %s", strerror(errno));
	if (status)
		return NTMCTL_FAILED; /* it has said why */
	puts(ctl->mode == NTM_PRINT_TEXT ? "the kernel takes the BPF programs; ntmd does not run"
					 : "{\"engine\":null,\"interfaces\":[]}");
	return NTMCTL_DONE;
}

int ntmctl_attach(const struct ntmctl *ctl)
{
	struct json_object *request, *interfaces = json_object_new_array();
	const char *mode = ctl->mode_name ? ctl->mode_name : "auto";

	if (strcmp(mode, "auto") && strcmp(mode, "native") && strcmp(mode, "generic")) {
		json_object_put(interfaces);
		return ntmctl_usage(ctl, "--mode %s: expected auto, native or generic", mode);
	}
	if (ctl->check && !ntmctl_answers(ctl)) {
		json_object_put(interfaces);
		return check_alone(ctl);
	}
	for (unsigned i = 0; i < ctl->interfaces; i++)
		json_object_array_add(interfaces, json_object_new_string(ctl->interface[i]));
	request = ntmctl_request("attach");
	json_object_object_add(request, "interfaces", interfaces);
	json_object_object_add(request, "mode", json_object_new_string(mode));
	json_object_object_add(request, "check", json_object_new_boolean(ctl->check));
	return request_send(ctl, request, ctl->check ? "the kernel takes the BPF programs" : "attached");
}

/* ---- without ntmd */

struct removal {
	unsigned failed;
	int err;
};

static void taking_remove(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	(void)ctx;
	if (!strcmp(hook, "xdp") || !strcmp(hook, "egress"))
		ntm_pins_hook_remove(pins, hook, ifindex);
}

static void stop_one(void *ctx, const struct ntm_pins *pins, bool complete)
{
	(void)ctx;
	(void)complete;
	ntm_pins_hooks_each(pins, taking_remove, NULL);
}

/* One end of a helper pair; its name ends with p or q, and the other end goes with it. */
static void helper_note(void *ctx, const struct ntm_pins *pins, const char *hook, unsigned ifindex)
{
	char name[IF_NAMESIZE];
	unsigned *helper = ctx;

	(void)pins;
	if (!strcmp(hook, "inseal") && if_indextoname(ifindex, name) && name[0] &&
	    strchr("pq", name[strlen(name) - 1]))
		*helper = ifindex;
}

static void remove_one(void *ctx, const struct ntm_pins *pins, bool complete)
{
	struct removal *removal = ctx;
	unsigned helper = 0;
	int err;

	(void)complete;
	ntm_pins_hooks_each(pins, helper_note, &helper);
	err = ntm_pins_remove(pins);
	if (!err)
		err = ntm_netlink_link_del(helper);
	if (err) {
		removal->failed++;
		removal->err = err;
	}
}

static int detach_alone(const struct ntmctl *ctl)
{
	const char *pin_dir = ctl->pin_dir ? ctl->pin_dir : PIN_DIR;
	struct removal removal = { 0 };
	int lock;

	if (access("/sys/fs/bpf", R_OK | X_OK) && errno == EACCES)
		return ntmctl_fail("no permission for %s: run ntmctl as root (sudo ntmctl detach)", pin_dir);
	if (!ntm_pins_each(pin_dir, NULL, NULL))
		return ntmctl_fail("ntmd does not run, and no BPF programs are pinned at %s", pin_dir);
	lock = ntm_pins_lock(pin_dir);
	if (lock == -EBUSY)
		return ntmctl_fail(
			"an ntmd runs that has its BPF programs at %s: name its control socket with --socket",
			pin_dir);
	ntm_pins_each(pin_dir, stop_one, NULL);
	usleep(THROUGH_US);
	ntm_pins_each(pin_dir, remove_one, &removal);
	ntm_pins_unlock(pin_dir, lock);
	if (removal.failed)
		return ntmctl_fail("cannot remove all that is pinned at %s: %s", pin_dir,
				   strerror(-removal.err));
	if (ctl->mode == NTM_PRINT_TEXT)
		printf("detached; ntmd does not run\n");
	else
		printf("{\"engine\":null,\"interfaces\":[]}\n");
	return NTMCTL_DONE;
}

int ntmctl_detach(const struct ntmctl *ctl)
{
	if (!ntmctl_answers(ctl))
		return detach_alone(ctl);
	return request_send(ctl, ntmctl_request("detach"), "detached");
}
