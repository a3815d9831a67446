/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * prog.c - BPF_PROG_TEST_RUN; see prog.h.
 */
#include "prog.h"

#include <errno.h>

#include <bpf/bpf.h>

int prog_run(const struct bpf_program *prog, struct prog_run *run)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = run->in, .data_size_in = (__u32)run->len,
		    .data_out = run->out, .data_size_out = sizeof(run->out),
		    .repeat = (int)(run->repeat ? run->repeat : 1));

	if (run->ctx) {
		opts.ctx_in = opts.ctx_out = run->ctx;
		opts.ctx_size_in = opts.ctx_size_out = (__u32)run->ctx_len;
	}
	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		return -errno;
	run->verdict = opts.retval;
	run->out_len = opts.data_size_out;
	run->ns = opts.duration;
	return 0;
}

int prog_ns(const struct bpf_program *prog, struct prog_run *run, unsigned int turns, unsigned int repeat)
{
	uint32_t best = UINT32_MAX;

	run->repeat = repeat;
	for (unsigned int i = 0; i < turns; i++) {
		int err = prog_run(prog, run);

		if (err)
			return err;
		if (run->ns < best)
			best = run->ns;
	}
	return (int)best;
}

int prog_verified(const struct bpf_program *prog)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) ? -errno : (int)info.verified_insns;
}
