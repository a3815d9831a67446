/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_aead.c - ChaCha20-Poly1305 in BPF (bpf/crypt.h by aead.bpf.c) against libcrypto's, at every length,
 * and against Wycheproof's vectors.
 */
#include "../unit/vectors.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/random.h>

#include <ntm/drop.h>
#include <ntm/header.h>

#include "aead.h"
#include "prog.h"
#include "selftests/prog/aead.skel.h"

#define ETH 14
#define TEXT \
	(ETH + NTM_HEADER_LEN) /* where the text begins in a frame: at an even offset, not a whole word */
#define TEXT_MAX 1500
#define ODD 3 /* bytes of the frame behind the packet, which nothing may touch */

static struct aead_bpf *bpf;

static int load(void **state)
{
	(void)state;
	bpf = aead_bpf__open_and_load();
	if (!bpf)
		print_error("the programs do not load: %s\n", strerror(errno));
	return bpf ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	aead_bpf__destroy(bpf);
	return 0;
}

static void fill(void *bytes, size_t len)
{
	assert_int_equal(getrandom(bytes, len, 0), len);
}

/* A frame with a random key, counter, header and text, and what it is sealed, by libcrypto. */
struct packet {
	uint8_t key[NTM_KEY_LEN];
	uint64_t counter;
	size_t len; /* of the text */
	uint8_t plain[TEXT + TEXT_MAX + NTM_TAG_LEN + ODD], sealed[TEXT + TEXT_MAX + NTM_TAG_LEN + ODD];
	size_t frame_len;
};

static void packet_make(struct packet *p, size_t len)
{
	struct ntm_aead aead;

	assert_true(len <= TEXT_MAX);
	fill(p, sizeof(*p));
	p->plain[12] = 0x88; /* no protocol that the kernel looks into when it makes the frame */
	p->plain[13] = 0xb5;
	p->len = len;
	p->frame_len = TEXT + len + NTM_TAG_LEN + ODD;
	memcpy(p->sealed, p->plain, sizeof(p->sealed));
	assert_int_equal(ntm_aead_init(&aead, NTM_CIPHER_CHACHA20_POLY1305, p->key), 0);
	ntm_aead_seal(&aead, p->counter, p->plain + ETH, NTM_HEADER_LEN, p->plain + TEXT, len,
		      p->sealed + TEXT);
	ntm_aead_clear(&aead);
}

/* Runs a program on a frame with the packet's key and counter; returns its result. */
static int run_on(struct bpf_program *prog, const struct packet *p, const uint8_t *frame, size_t length,
		  struct prog_run *run)
{
	memcpy(bpf->bss->key, p->key, NTM_KEY_LEN);
	bpf->bss->counter = p->counter;
	bpf->bss->offset = TEXT;
	bpf->bss->length = (uint32_t)length;
	bpf->bss->result = 1 << 30;
	*run = (struct prog_run){.in = frame, .len = p->frame_len};
	assert_int_equal(prog_run(prog, run), 0);
	assert_int_equal(run->out_len, p->frame_len);
	return bpf->bss->result;
}

/* The ones' complement sum of big-endian 16-bit words, folded, as memory has it. */
static uint16_t checksum(const uint8_t *bytes, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? bytes[i] : (uint64_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum >> 8 | sum << 8);
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void packets_of_every_length_are_sealed_as_by_libcrypto(void **state)
{
	(void)state;
	for (size_t len = 0; len <= TEXT_MAX; len++) {
		struct prog_run run;
		struct packet p;

		packet_make(&p, len);
		assert_int_equal(run_on(bpf->progs.seal, &p, p.plain, len, &run), 0);
		assert_memory_equal(run.out, p.sealed, p.frame_len);
	}
}

static void packets_of_every_length_open_as_by_libcrypto(void **state)
{
	(void)state;
	for (size_t len = 0; len <= TEXT_MAX; len++) {
		size_t tag = TEXT + len;
		struct prog_run run;
		struct packet p;

		packet_make(&p, len);
		assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, len + NTM_TAG_LEN, &run), len);
		assert_memory_equal(run.out, p.plain, tag);
		assert_memory_equal(run.out + tag, p.sealed + tag, p.frame_len - tag);
	}
}

static void the_sum_of_what_was_sealed_is_that_of_its_bytes(void **state)
{
	(void)state;
	for (size_t len = 0; len <= TEXT_MAX; len++) {
		struct prog_run run;
		struct packet p;

		packet_make(&p, len);
		assert_int_equal(run_on(bpf->progs.seal, &p, p.plain, len, &run), 0);
		assert_int_equal(folded(bpf->bss->csum), checksum(run.out + ETH, NTM_HEADER_LEN + len + NTM_TAG_LEN));
	}
}

static void a_flipped_bit_of_header_text_or_tag_keeps_a_packet_shut(void **state)
{
	static const size_t lengths[] = {0, 1, 15, 16, 17, 63, 64, 65, 255, 1419, TEXT_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = lengths[i], end = TEXT + len + NTM_TAG_LEN;
		struct prog_run run;
		struct packet p;

		packet_make(&p, len);
		for (size_t at = ETH; at < end; at++) {
			uint8_t bit = (uint8_t)(1 << (at % 8));

			/* long texts: each bit of header and tag, and a sample of the rest */
			if (at >= TEXT + 64 && at + 64 < TEXT + len && at % 7)
				continue;
			p.sealed[at] ^= bit;
			assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, len + NTM_TAG_LEN, &run),
					 -NTM_DROP_AUTH);
			assert_memory_equal(run.out, p.sealed, p.frame_len);
			p.sealed[at] ^= bit;
		}
		assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, len + NTM_TAG_LEN, &run), len);
	}
}

static void every_bit_of_the_tag_counts(void **state)
{
	struct prog_run run;
	struct packet p;

	(void)state;
	packet_make(&p, 100);
	for (int bit = 0; bit < 8 * NTM_TAG_LEN; bit++) {
		uint8_t *byte = &p.sealed[TEXT + 100 + bit / 8];

		*byte ^= (uint8_t)(1 << (bit % 8));
		assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, 100 + NTM_TAG_LEN, &run),
				 -NTM_DROP_AUTH);
		*byte ^= (uint8_t)(1 << (bit % 8));
	}
	assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, 100 + NTM_TAG_LEN, &run), 100);
}

static void another_key_or_counter_does_not_open(void **state)
{
	struct prog_run run;
	struct packet p;

	(void)state;
	packet_make(&p, 64);
	for (int bit = 0; bit < 256; bit++) {
		p.key[bit / 8] ^= (uint8_t)(1 << (bit % 8));
		assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, 80, &run), -NTM_DROP_AUTH);
		p.key[bit / 8] ^= (uint8_t)(1 << (bit % 8));
	}
	for (int bit = 0; bit < 64; bit++) {
		p.counter ^= 1ULL << bit;
		assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, 80, &run), -NTM_DROP_AUTH);
		p.counter ^= 1ULL << bit;
	}
	assert_int_equal(run_on(bpf->progs.open, &p, p.sealed, 80, &run), 64);
}

/* One wrong length: the result, and that the frame stayed as it was. */
static void refused(struct bpf_program *prog, const struct packet *p, size_t length, int result)
{
	const uint8_t *frame = prog == bpf->progs.seal ? p->plain : p->sealed;
	struct prog_run run;

	assert_int_equal(run_on(prog, p, frame, length, &run), result);
	assert_memory_equal(run.out, frame, p->frame_len);
}

static void lengths_beyond_the_bounds_are_refused(void **state)
{
	struct packet p;

	(void)state;
	packet_make(&p, TEXT_MAX);
	refused(bpf->progs.seal, &p, TEXT_MAX + 1, -NTM_DROP_LONG);
	refused(bpf->progs.seal, &p, UINT32_MAX, -NTM_DROP_LONG);
	refused(bpf->progs.open, &p, TEXT_MAX + NTM_TAG_LEN + 1, -NTM_DROP_LONG);
	refused(bpf->progs.open, &p, UINT32_MAX, -NTM_DROP_LONG);
	refused(bpf->progs.open, &p, NTM_TAG_LEN - 1, -NTM_DROP_SHORT);
	refused(bpf->progs.open, &p, 0, -NTM_DROP_SHORT);
	/* within the bounds, but not within the frame */
	packet_make(&p, 100);
	refused(bpf->progs.seal, &p, 100 + ODD + 1, -NTM_DROP_SHORT); /* no room for the tag */
	refused(bpf->progs.seal, &p, 100 + NTM_TAG_LEN + ODD + 1, -NTM_DROP_SHORT);
	refused(bpf->progs.open, &p, 100 + NTM_TAG_LEN + ODD + 1, -NTM_DROP_SHORT);
}

/* ---- the whole of the algorithm, beyond what packets have of it */

struct raw {
	uint8_t key[32], nonce[12], ad[528], text[1024], sealed[1024 + 16];
	size_t ad_len, len;
};

/* Runs a raw program on the padded associated data, and body (text and 16 bytes); ret_body like it. */
static int raw_run(struct bpf_program *prog, const struct raw *raw, const void *body, void *ret_body)
{
	size_t at = (raw->ad_len + 15) / 16 * 16, size = raw->len + NTM_TAG_LEN;
	uint8_t frame[2048] = {0};
	struct prog_run run = {.in = frame, .len = at + size < ETH ? ETH : at + size};

	memcpy(frame, raw->ad, raw->ad_len);
	memcpy(frame + at, body, size);
	memcpy(bpf->bss->key, raw->key, 32);
	memcpy(bpf->bss->nonce, raw->nonce, 12);
	bpf->bss->ad_length = (uint32_t)raw->ad_len;
	bpf->bss->length = (uint32_t)raw->len;
	assert_int_equal(prog_run(prog, &run), 0);
	assert_int_equal(run.verdict, 2); /* XDP_PASS */
	assert_memory_equal(run.out, frame, at);
	memcpy(ret_body, run.out + at, size);
	return bpf->bss->result;
}

/* Returns whether it was to open. */
static bool wycheproof_case(struct json_object *test)
{
	bool valid = !strcmp(vectors_text(test, "result"), "valid");
	uint8_t body[1024 + 16];
	struct raw raw = {0};

	assert_int_equal(vectors_hex(test, "key", raw.key, 32), 32);
	assert_int_equal(vectors_hex(test, "iv", raw.nonce, 12), 12);
	raw.ad_len = vectors_hex(test, "aad", raw.ad, sizeof(raw.ad));
	raw.len = vectors_hex(test, "msg", raw.text, sizeof(raw.text));
	assert_int_equal(vectors_hex(test, "ct", raw.sealed, sizeof(raw.sealed) - 16), raw.len);
	assert_int_equal(vectors_hex(test, "tag", raw.sealed + raw.len, 16), 16);

	memset(body, 0xa5, sizeof(body));
	memcpy(body, raw.text, raw.len);
	assert_int_equal(raw_run(bpf->progs.raw_seal, &raw, body, body), 0);
	if (valid) {
		assert_memory_equal(body, raw.sealed, raw.len + 16);
		assert_int_equal(raw_run(bpf->progs.raw_open, &raw, raw.sealed, body), 0);
		assert_memory_equal(body, raw.text, raw.len);
	} else {
		assert_memory_not_equal(body, raw.sealed, raw.len + 16);
		assert_int_equal(raw_run(bpf->progs.raw_open, &raw, raw.sealed, body), -NTM_DROP_AUTH);
		assert_memory_equal(body, raw.sealed, raw.len);
	}
	return valid;
}

/* All cases with a nonce of 96 bits; the rest of the file is about other lengths, which cannot be given. */
static void wycheproofs_cases_have_their_results(void **state)
{
	struct json_object *vectors = vectors_open("wycheproof_chacha20_poly1305_test.json");
	struct json_object *groups = vectors_get(vectors, "testGroups");
	int valid = 0, invalid = 0;

	(void)state;
	for (size_t g = 0; g < json_object_array_length(groups); g++) {
		struct json_object *group = json_object_array_get_idx(groups, g);
		struct json_object *tests = vectors_get(group, "tests");

		if (json_object_get_int(vectors_get(group, "ivSize")) != 96)
			continue;
		for (size_t i = 0; i < json_object_array_length(tests); i++) {
			if (wycheproof_case(json_object_array_get_idx(tests, i)))
				valid++;
			else
				invalid++;
		}
	}
	json_object_put(vectors);
	print_message("%d valid and %d invalid cases\n", valid, invalid);
	assert_true(valid >= 250 && invalid >= 55);
}

/* RFC 8439, section 2.8.2, for when Wycheproof's file is not there */
static void the_example_of_rfc_8439_has_its_result(void **state)
{
	struct raw raw = {.ad_len = 12};
	uint8_t body[200];

	(void)state;
	hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", raw.key, 32);
	hex("070000004041424344454647", raw.nonce, 12);
	hex("50515253c0c1c2c3c4c5c6c7", raw.ad, 12);
	raw.len = (size_t)sprintf((char *)raw.text,
				  "Ladies and Gentlemen of the class of '99: If I could offer "
				  "you only one tip for the future, sunscreen would be it.");
	assert_int_equal(raw_run(bpf->progs.raw_seal, &raw, raw.text, body), 0);
	assert_hex(body, raw.len + 16,
		   "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
		   "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
		   "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
		   "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");
	assert_int_equal(raw_run(bpf->progs.raw_open, &raw, body, body), 0);
	assert_memory_equal(body, raw.text, raw.len);
}

static void nothing_of_a_key_stays_in_the_buffer(void **state)
{
	int cpus = libbpf_num_possible_cpus();
	struct bpf_map *map = bpf->maps.ntm_scratch;
	size_t size = (bpf_map__value_size(map) + 7) / 8 * 8;
	uint8_t *values = calloc((size_t)cpus, size);
	uint8_t once[128] = {0};
	struct prog_run run;
	struct packet p;
	uint32_t zero = 0;
	bool used = false;

	(void)state;
	assert_non_null(values);
	packet_make(&p, TEXT_MAX);
	assert_int_equal(run_on(bpf->progs.seal, &p, p.plain, TEXT_MAX, &run), 0);
	assert_int_equal(bpf_map__lookup_elem(map, &zero, sizeof(zero), values, (size_t)cpus * size, 0), 0);
	for (int cpu = 0; cpu < cpus; cpu++) {
		uint8_t *value = values + (size_t)cpu * size;

		used |= !memcmp(value + NTM_HEADER_LEN, p.sealed + TEXT, TEXT_MAX);
		assert_null(memmem(value, size, p.key, 16));
		assert_null(memmem(value, size, p.key + 16, 16));
		assert_memory_equal(value + 2048 + 64, once, sizeof(once)); /* CRYPT_ONCE */
	}
	assert_true(used);
	free(values);
}

/* It gives up at 1,000,000, and whoever includes the header has more to show it. */
static void the_verifier_has_little_to_look_at(void **state)
{
	(void)state;
	print_message("seal: %d, open: %d instructions verified\n", prog_verified(bpf->progs.seal),
		      prog_verified(bpf->progs.open));
	assert_in_range(prog_verified(bpf->progs.seal), 0, 36000);
	assert_in_range(prog_verified(bpf->progs.open), 0, 36000);
}

int main(void)
{
	const struct CMUnitTest aead[] = {
		cmocka_unit_test(packets_of_every_length_are_sealed_as_by_libcrypto),
		cmocka_unit_test(packets_of_every_length_open_as_by_libcrypto),
		cmocka_unit_test(the_sum_of_what_was_sealed_is_that_of_its_bytes),
		cmocka_unit_test(a_flipped_bit_of_header_text_or_tag_keeps_a_packet_shut),
		cmocka_unit_test(every_bit_of_the_tag_counts),
		cmocka_unit_test(another_key_or_counter_does_not_open),
		cmocka_unit_test(lengths_beyond_the_bounds_are_refused),
		cmocka_unit_test(the_example_of_rfc_8439_has_its_result),
		cmocka_unit_test(wycheproofs_cases_have_their_results),
		cmocka_unit_test(nothing_of_a_key_stays_in_the_buffer),
		cmocka_unit_test(the_verifier_has_little_to_look_at),
	};

	return cmocka_run_group_tests(aead, load, unload);
}
