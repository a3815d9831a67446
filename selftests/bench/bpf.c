/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf.c - nanoseconds a packet of the BPF programs, by BPF_PROG_TEST_RUN (root), which adds some 35 ns
 * itself. Sealing and opening by bpf/crypt.h, with libcrypto's sealing of the same in user space beside them.
 * The best of many batches counts, as in aead.c.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ntm/header.h>

#include "aead.h"
#include "selftests/prog/aead.skel.h"
#include "selftests/prog/prog.h"

#define BATCH 500
#define BATCHES 100
#define TEXT (14 + NTM_HEADER_LEN)

static const size_t lengths[] = {64, 256, 512, 1420};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static int measure(const struct bpf_program *prog, const void *frame, size_t len)
{
	struct prog_run run = {.in = frame, .len = len};
	int ns = prog_ns(prog, &run, BATCHES, BATCH);

	if (ns < 0) {
		fprintf(stderr, "bpf: %s: %s\n", bpf_program__name(prog), strerror(-ns));
		exit(1);
	}
	return ns;
}

static int measure_libcrypto(size_t len)
{
	static const uint8_t key[NTM_KEY_LEN] = {1};
	uint8_t packet[NTM_HEADER_LEN + 1420 + NTM_TAG_LEN] = {0}, *text = packet + NTM_HEADER_LEN;
	struct timespec start, end;
	struct ntm_aead aead;
	long best = LONG_MAX;

	if (ntm_aead_init(&aead, NTM_CIPHER_CHACHA20_POLY1305, key))
		abort();
	for (int i = 0; i < BATCHES; i++) {
		long ns;

		clock_gettime(CLOCK_MONOTONIC, &start);
		for (int k = 0; k < BATCH; k++)
			ntm_aead_seal(&aead, 1, packet, NTM_HEADER_LEN, text, len, text);
		clock_gettime(CLOCK_MONOTONIC, &end);
		ns = (end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec;
		if (ns < best)
			best = ns;
	}
	ntm_aead_clear(&aead);
	return (int)(best / BATCH);
}

static void row(const char *name, const int ns[LENGTHS])
{
	printf("%-16s", name);
	for (size_t i = 0; i < LENGTHS; i++)
		printf(" %7d", ns[i]);
	putchar('\n');
}

static void aead(void)
{
	int seal[LENGTHS], open[LENGTHS], libcrypto[LENGTHS];
	struct aead_bpf *bpf = aead_bpf__open_and_load();

	if (!bpf) {
		fprintf(stderr, "bpf: the programs do not load: %s\n", strerror(errno));
		exit(1);
	}
	for (size_t i = 0; i < LENGTHS; i++) {
		uint8_t frame[TEXT + 1420 + NTM_TAG_LEN] = {[12] = 0x88, [13] = 0xb5};
		size_t len = TEXT + lengths[i] + NTM_TAG_LEN;
		struct prog_run run = {.in = frame, .len = len};

		bpf->bss->offset = TEXT;
		bpf->bss->length = (__u32)lengths[i];
		seal[i] = measure(bpf->progs.seal, frame, len);
		if (bpf->bss->result || prog_run(bpf->progs.seal, &run))
			abort();
		bpf->bss->length += NTM_TAG_LEN;
		memcpy(bpf->bss->sealed, run.out + TEXT, bpf->bss->length);
		open[i] = measure(bpf->progs.reopen, frame, len);
		if (bpf->bss->result != (int)lengths[i])
			abort();
		/* what has been opened must be replaced, which is not opening */
		open[i] -= measure(bpf->progs.refill, frame, len) - measure(bpf->progs.nothing, frame, len);
		libcrypto[i] = measure_libcrypto(lengths[i]);
	}
	aead_bpf__destroy(bpf);
	row("seal", seal);
	row("open", open);
	row("seal, libcrypto", libcrypto);
}

int main(void)
{
	printf("%-16s", "ns a packet of");
	for (size_t i = 0; i < LENGTHS; i++)
		printf(" %5zu B", lengths[i]);
	putchar('\n');
	aead();
	return 0;
}
