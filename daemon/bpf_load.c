/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_load.c - loads the programs of the BPF engine, by a thread of its own where packets flow already: the
 * kernel checks them for some 0.3 s, in which the loop has others to serve, and peers would take us for dead.
 * Before it: bpf_engine.c; behind it: bpf_attach.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/bpf_internal.h"
#include "log.h"

static int set_load(struct ntmd_bpf_set **ret_set, const struct ntmd_kernel *kernel,
		    const struct ntmd_bpf_attach *attach, char *ret_why, size_t why_len)
{
	struct ntmd_bpf_config config = {.pin_dir = attach->pin_dir,
					 .device = attach->device,
					 .mtu = attach->mtu,
					 .device_index = kernel->engine->tun.ifindex,
					 .paths = attach->paths,
					 .lane = attach->lane};

	return ntmd_bpf_set_load(ret_set, &config, ret_why, why_len);
}

int ntmd_bpf_load(struct ntmd_bpf_set **ret_set, const struct ntmd_kernel *kernel,
		  const struct ntmd_bpf_attach *attach, char *ret_why, size_t why_len)
{
	int err;

	ntmd_bpf_clean(attach->pin_dir, attach->device, false);
	err = set_load(ret_set, kernel, attach, ret_why, why_len);
	if (err != -ESTALE)
		return err;
	ntm_warn("the BPF maps at %s are not what this version expects: they are made anew", attach->pin_dir);
	ntmd_bpf_clean(attach->pin_dir, attach->device, true);
	return set_load(ret_set, kernel, attach, ret_why, why_len);
}

/* Below a folder that nobody else has: what is pinned is left alone, and not looked at. */
int ntmd_bpf_check(char *ret_why, size_t why_len)
{
	struct ntmd_bpf_config config = {
		.pin_dir = "/sys/fs/bpf/ntm-check", .device = "ntm0", .paths = 1, .check = true};
	struct ntmd_bpf_set *set;
	int err = ntmd_bpf_set_load(&set, &config, ret_why, why_len);

	if (!err)
		ntmd_bpf_set_free(set);
	return err;
}

/* ---- by a thread */

/* Of the kernel and its engine it uses only what stays as it is. */
static void *load_run(void *arg)
{
	struct ntmd_bpf_load *load = arg;
	uint64_t one = 1;

	load->err = (load->check ? set_load : ntmd_bpf_load)(&load->set, load->kernel, &load->attach,
							     load->why, sizeof(load->why));
	while (write(load->ended_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return NULL;
}

static void load_free(struct ntmd_bpf_load *load)
{
	ntmd_bpf_set_free(load->set);
	if (load->ended)
		event_free(load->ended);
	if (load->ended_fd >= 0)
		close(load->ended_fd);
	free(load);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_bpf_load *load = arg;

	(void)fd;
	(void)what;
	pthread_join(load->thread, NULL);
	load->kernel->load = NULL;
	ntmd_bpf_loaded(load);
	load_free(load);
}

/* Signals are the loop's. */
static int thread_start(struct ntmd_bpf_load *load)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&load->thread, NULL, load_run, load);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int ntmd_bpf_load_start(struct ntmd_kernel *kernel, const struct ntmd_bpf_attach *attach, bool check,
			void (*done)(void *ctx, int err, const char *why), void *ctx)
{
	struct ntmd_bpf_load *load = calloc(1, sizeof(*load));
	int err = -ENOMEM;

	if (!load)
		return err;
	load->kernel = kernel;
	load->attach = *attach;
	load->check = check;
	load->done = done;
	load->ctx = ctx;
	load->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (load->ended_fd >= 0)
		load->ended = event_new(kernel->base, load->ended_fd, EV_READ, on_ended, load);
	if (!load->ended || event_add(load->ended, NULL) < 0)
		goto fail;
	err = thread_start(load);
	if (err)
		goto fail;
	kernel->load = load;
	return 0;
fail:
	load_free(load);
	return err;
}

void ntmd_bpf_load_end(struct ntmd_kernel *kernel)
{
	if (!kernel->load)
		return;
	pthread_join(kernel->load->thread, NULL);
	load_free(kernel->load);
	kernel->load = NULL;
}
