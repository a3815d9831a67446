/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_node_mutate.c - frames changed at random before bpf/xdp_ingress.bpf.c. One by one: test_node_in.c.
 */
#include "node_pair.h"

static bool untouched(const struct prog_run *run, const struct arrival *p)
{
	return run->verdict == NODE_PASS && run->out_len == p->len && !memcmp(run->out, p->frame, p->len);
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static unsigned random_below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % n;
}

/* The inner packet as it was sent, but for its congestion field. */
static bool delivered_marked(struct prog_run *run, const struct arrival *p)
{
	uint8_t *inner = run->out + 8 + 14;

	if (run->verdict != NODE_PASS || run->out_len != 8 + 14 + p->inner_len)
		return false;
	if (!node_sums_right(inner, p->inner_len))
		return false;
	inner[1] = p->inner[1];
	if (p->inner[0] >> 4 == 4)
		memcpy(inner + 10, p->inner + 10, 2);
	return !memcmp(inner, p->inner, p->inner_len);
}

/*
 * Whatever is changed in a frame, its length too: it passes as it came, is dropped, or the packet that was sealed comes
 * out, and nothing else.
 */
static void no_mutation_delivers_anything_but_what_was_sealed(void **state)
{
	unsigned kinds[3] = {0};

	for (unsigned i = 0; i < 30000; i++) {
		struct prog_run run;
		struct arrival p;
		size_t sealed_len;

		if (!(i % 2000)) {
			fresh(state);
			node_path(&b, &a, i / 2000 & 1);
			if (i / 4000 & 1)
				b.config->flags = NTM_CONFIG_GENERIC;
		}
		arrival_make(&p, i / 2000 & 1, i & 1, i);
		sealed_len = p.len;
		for (unsigned n = 1 + random_below(3); n; n--)
			p.frame[random_below(random_below(2) ? 80 : (unsigned)p.len)] = (uint8_t)random_below(256);
		if (!random_below(8))
			p.len = 14 + random_below((unsigned)p.len - 14);
		else if (!random_below(8))
			p.len += random_below(100);
		node_receive(&b, p.frame, p.len, &run);
		if (run.verdict == NODE_DROP) {
			kinds[0]++;
		} else if (untouched(&run, &p)) {
			kinds[1]++;
		} else {
			if (b.config->flags) /* the end is still there */
				run.out_len = run.out_len - (p.len - sealed_len) - NTM_TAG_LEN;
			assert_true(delivered_marked(&run, &p));
			kinds[2]++;
		}
	}
	print_message("%u dropped, %u left alone, %u delivered as they were sealed\n", kinds[0], kinds[1], kinds[2]);
	assert_true(kinds[0] > 1000 && kinds[1] > 1000 && kinds[2] > 100);
}

int main(void)
{
	const struct CMUnitTest mutate[] = {
		cmocka_unit_test_setup(no_mutation_delivers_anything_but_what_was_sealed, fresh),
	};

	return cmocka_run_group_tests(mutate, setup, teardown);
}
