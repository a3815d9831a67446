/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * prog.h - running one BPF program on one frame, by BPF_PROG_TEST_RUN. For the tests of this folder and
 * selftests/bench/bpf.c; programs are loaded by their skeletons.
 */
#ifndef NTM_PROG_PROG_H
#define NTM_PROG_PROG_H

#include <stddef.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#define PROG_FRAME_MAX 3072 /* longest frame that the kernel takes for all kinds of programs here: bytes */

struct prog_run {
	const void *in; /* the frame, with its Ethernet header */
	size_t len;
	void *ctx; /* struct __sk_buff or struct xdp_md, read and written; NULL: as the kernel makes it */
	size_t ctx_len;
	unsigned int repeat; /* on the same frame, as the last run left it; 0: once */
	/* results */
	uint32_t verdict;
	uint8_t out[PROG_FRAME_MAX + 512];
	size_t out_len;
	uint32_t ns; /* of one run, the mean */
};

/* 0, or -errno of the kernel; the verdict is no error. */
int prog_run(const struct bpf_program *prog, struct prog_run *run);

/* The fastest of `turns` times `repeat` runs: ns, or -errno. What else the machine does only makes it slower.
 */
int prog_ns(const struct bpf_program *prog, struct prog_run *run, unsigned int turns, unsigned int repeat);

/* How many instructions the verifier looked at, or -errno; 0 before Linux 5.16. */
int prog_verified(const struct bpf_program *prog);

#endif
