/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_coalesce.c - daemon/coalesce.c: what is joined and what is not, a case for each rule, in both families.
 * Whatever is written is cut again by daemon/segment.c, which test_segment.c tests, and must give the packets
 * that went in, byte for byte and in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/coalesce.h"
#include "daemon/segment.h"
#include "inner_packets.h"

#define MAX 80

static struct ntmd_coalesce coalesce;
static uint8_t sent[MAX][PACKET_ROOM], given[MAX][PACKET_ROOM], out[PACKET_ROOM];
static size_t sent_len[MAX];
static unsigned sents, matched;
static bool found[MAX];
static unsigned joined[MAX], writes; /* packets of each write */
static struct virtio_net_hdr last_vnet;
static bool any_id; /* the ID of the IPv4 header is not looked at */

static bool same(const uint8_t *a, const uint8_t *b, size_t len)
{
	if (!any_id)
		return !memcmp(a, b, len);
	return !memcmp(a, b, 4) && !memcmp(a + 6, b + 6, 4) && !memcmp(a + 12, b + 12, len - 12);
}

/* Every packet comes out once; those of one flow in order, which numbers in them would not show better. */
static void written(void *ctx, const struct iovec *part, int parts, unsigned packets)
{
	static struct ntmd_segments segments;
	size_t len = 0, n;
	unsigned count = 0, i;
	uint8_t *got;

	assert_ptr_equal(ctx, &coalesce);
	assert_int_equal(part[0].iov_len, NTMD_VNET_LEN);
	memcpy(&last_vnet, part[0].iov_base, NTMD_VNET_LEN);
	for (int p = 1; p < parts; p++) {
		memcpy(out + len, part[p].iov_base, part[p].iov_len);
		len += part[p].iov_len;
	}
	if (packets == 1)
		assert_int_equal(last_vnet.gso_type | last_vnet.flags, 0);
	else
		assert_true(last_vnet.gso_type && last_vnet.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(ntmd_segment_begin(&segments, &last_vnet, out, len), 0);
	while ((got = ntmd_segment_next(&segments, &n))) {
		for (i = 0; i < sents && (found[i] || sent_len[i] != n || !same(got, sent[i], n)); i++)
			;
		assert_true(i < sents);
		found[i] = true;
		matched++;
		count++;
	}
	assert_int_equal(count, packets);
	joined[writes++] = packets;
}

static int set_up(void **state)
{
	(void)state;
	memset(&coalesce, 0, sizeof(coalesce));
	coalesce.udp = true;
	coalesce.write = written;
	coalesce.ctx = &coalesce;
	sents = matched = writes = 0;
	memset(found, 0, sizeof(found));
	any_id = false;
	return 0;
}

static void add_bytes(const uint8_t *packet, size_t len)
{
	memcpy(sent[sents], packet, len);
	memcpy(given[sents], packet, len);
	sent_len[sents++] = len;
	ntmd_coalesce_add(&coalesce, given[sents - 1], len);
}

static void add(const struct spec *spec)
{
	static uint8_t packet[PACKET_ROOM];

	add_bytes(packet, spec_make(packet, spec, false));
}

/* Flushes; the writes must have had these numbers of packets. */
static void expect(unsigned count, ...)
{
	va_list list;

	ntmd_coalesce_flush(&coalesce);
	assert_int_equal(matched, sents);
	assert_int_equal(writes, count);
	va_start(list, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(joined[i], va_arg(list, unsigned));
	va_end(list);
	set_up(NULL);
}

static const struct spec base = {
	.is4 = true, .tcp = true, .host = 1, .port = 4000, .id = 7, .window = 512, .ttl = 64, .flags = TCP_F_ACK,
	.df = true, .seq = 1000, .ack = 99, .options = 12, .option = 1, .payload = 1000,
};

static struct spec next_of(const struct spec *spec)
{
	struct spec next = *spec;

	next.seq += (uint32_t)spec->payload;
	next.id++;
	return next;
}

/* Forms: TCP and UDP over IPv4 and IPv6. */
static struct spec form(int i)
{
	struct spec spec = base;

	spec.is4 = i & 1;
	spec.tcp = i & 2;
	if (!spec.tcp)
		spec.options = 0;
	return spec;
}

static void packets_that_follow_on_each_other_are_joined(void **state)
{
	(void)state;
	for (int f = 0; f < 4; f++) {
		struct spec spec = form(f);

		spec.seq = 0xfffff800; /* and wrap */
		spec.id = 0xfffe;
		for (int i = 0; i < 5; i++, spec = next_of(&spec))
			add(&spec);
		expect(1, 5u);
	}
}

static void a_short_one_ends_it_and_a_longer_one_begins_anew(void **state)
{
	(void)state;
	for (int f = 0; f < 4; f++) {
		struct spec spec = form(f);

		add(&spec);
		spec = next_of(&spec);
		spec.payload = 999;
		add(&spec);
		spec = next_of(&spec);
		add(&spec);
		spec = next_of(&spec);
		spec.payload = 1000;
		add(&spec);
		spec = next_of(&spec);
		add(&spec);
		expect(3, 2u, 1u, 2u);
	}
}

static void push_and_fin_end_it(void **state)
{
	static const uint8_t flags[] = {TCP_F_PSH, TCP_F_FIN, TCP_F_PSH | TCP_F_FIN};

	(void)state;
	for (int f = 2; f < 4; f++) {
		for (int i = 0; i < 3; i++) {
			struct spec spec = form(f);

			add(&spec);
			spec = next_of(&spec);
			spec.flags |= flags[i];
			add(&spec);
			spec = next_of(&spec);
			spec.flags = TCP_F_ACK;
			add(&spec);
			spec = next_of(&spec);
			add(&spec);
			expect(2, 2u, 2u);
			/* the first one */
			spec.flags |= flags[i];
			add(&spec);
			spec = next_of(&spec);
			spec.flags = TCP_F_ACK;
			add(&spec);
			expect(2, 1u, 1u);
		}
	}
}

static void cwr_stands_only_in_the_first(void **state)
{
	(void)state;
	for (int f = 2; f < 4; f++) {
		struct spec spec = form(f);

		spec.flags |= TCP_F_CWR;
		add(&spec);
		spec = next_of(&spec);
		spec.flags &= (uint8_t)~TCP_F_CWR;
		add(&spec);
		ntmd_coalesce_flush(&coalesce);
		assert_true(last_vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN);
		expect(1, 2u);
		spec = next_of(&spec);
		add(&spec);
		spec = next_of(&spec);
		spec.flags |= TCP_F_CWR;
		add(&spec);
		ntmd_coalesce_flush(&coalesce);
		assert_false(last_vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN);
		expect(2, 1u, 1u);
	}
}

/* One thing differs in the second packet: apply() changes it. */
static void split_by(int first_form, int last_form, void (*apply)(struct spec *))
{
	for (int f = first_form; f <= last_form; f++) {
		struct spec one = form(f), two = next_of(&one);

		apply(&two);
		add(&one);
		add(&two);
		expect(2, 1u, 1u);
	}
}

static void differ_host(struct spec *spec) { spec->host++; }
static void differ_port(struct spec *spec) { spec->port++; }
static void differ_ttl(struct spec *spec) { spec->ttl--; }
static void differ_tos(struct spec *spec) { spec->tos ^= 3; }
static void differ_seq(struct spec *spec) { spec->seq++; }
static void differ_seq_back(struct spec *spec) { spec->seq -= 1000; }
static void differ_ack(struct spec *spec) { spec->ack++; }
static void differ_window(struct spec *spec) { spec->window++; }
static void differ_option(struct spec *spec) { spec->option++; }
static void differ_options(struct spec *spec) { spec->options += 4; }
static void differ_ece(struct spec *spec) { spec->flags ^= TCP_F_ECE; }
static void differ_no_ack(struct spec *spec) { spec->flags = 0; }
static void differ_syn(struct spec *spec) { spec->flags |= TCP_F_SYN; }
static void differ_rst(struct spec *spec) { spec->flags |= TCP_F_RST; }
static void differ_urg(struct spec *spec) { spec->flags |= TCP_F_URG; }
static void differ_empty(struct spec *spec) { spec->payload = 0; }
static void differ_longer(struct spec *spec) { spec->payload++; }
static void differ_label(struct spec *spec) { spec->flow_label++; }
static void differ_id(struct spec *spec) { spec->id++; }
static void differ_id_back(struct spec *spec) { spec->id -= 2; }
static void differ_df(struct spec *spec) { spec->df = false; }

static void nothing_is_joined_whose_headers_disagree(void **state)
{
	(void)state;
	split_by(0, 3, differ_host);
	split_by(0, 3, differ_port);
	split_by(0, 3, differ_ttl);
	split_by(0, 3, differ_tos);
	split_by(0, 3, differ_longer);
	split_by(0, 3, differ_empty);
	split_by(2, 3, differ_seq);
	split_by(2, 3, differ_seq_back);
	split_by(2, 3, differ_ack);
	split_by(2, 3, differ_window);
	split_by(2, 3, differ_option);
	split_by(2, 3, differ_options);
	split_by(2, 3, differ_ece);
	split_by(2, 3, differ_no_ack);
	split_by(2, 3, differ_syn);
	split_by(2, 3, differ_rst);
	split_by(2, 3, differ_urg);
	for (int f = 0; f < 4; f += 2)
		split_by(f, f, differ_label);
	for (int f = 1; f < 4; f += 2) {
		split_by(f, f, differ_id);
		split_by(f, f, differ_id_back);
		split_by(f, f, differ_df);
	}
}

static void one_id_for_all_is_taken_only_of_udp_that_is_not_fragmented(void **state)
{
	struct spec spec = form(1);

	(void)state;
	any_id = true;
	for (int i = 0; i < 3; i++, spec = next_of(&spec), spec.id--)
		add(&spec);
	expect(1, 3u);
	any_id = true;
	for (int i = 0; i < 4; i++, spec = next_of(&spec), spec.id -= i < 2) /* then it counts */
		add(&spec);
	expect(2, 2u, 2u);
	spec.df = false;
	for (int i = 0; i < 2; i++, spec = next_of(&spec), spec.id--)
		add(&spec);
	expect(2, 1u, 1u);
	spec = form(3);
	for (int i = 0; i < 2; i++, spec = next_of(&spec), spec.id--)
		add(&spec);
	expect(2, 1u, 1u);
}

/* Each byte of the second packet, and of the first, spoilt: what does not verify is not joined, and arrives as
 * it was. */
static void nothing_is_joined_whose_checksum_is_wrong(void **state)
{
	static uint8_t one[PACKET_ROOM], two[PACKET_ROOM];

	(void)state;
	for (int f = 0; f < 4; f++) {
		struct spec spec = form(f), next;
		size_t len, next_len;

		spec.payload = 64;
		next = next_of(&spec);
		len = spec_make(one, &spec, false);
		next_len = spec_make(two, &next, false);
		for (size_t at = spec_transport(&spec); at < len; at++) {
			one[at] ^= 0x10;
			add_bytes(one, len);
			add_bytes(two, next_len);
			expect(2, 1u, 1u);
			one[at] ^= 0x10;
			two[at] ^= 0x10;
			add_bytes(one, len);
			add_bytes(two, next_len);
			expect(2, 1u, 1u);
			two[at] ^= 0x10;
		}
		if (!spec.is4)
			continue;
		two[10] ^= 1; /* of the IPv4 header */
		add_bytes(one, len);
		add_bytes(two, next_len);
		expect(2, 1u, 1u);
	}
}

static void a_udp_datagram_without_checksum_stays_alone(void **state)
{
	static uint8_t packet[PACKET_ROOM];

	(void)state;
	for (int f = 0; f < 2; f++) {
		struct spec spec = form(f);

		for (int i = 0; i < 2; i++, spec = next_of(&spec)) {
			size_t len = spec_make(packet, &spec, false);

			spec_put16(spec_check(&spec, packet), 0);
			add_bytes(packet, len);
		}
		expect(2, 1u, 1u);
	}
}

static void without_uso_udp_stays_alone(void **state)
{
	(void)state;
	for (int f = 0; f < 4; f++) {
		struct spec spec = form(f), next = next_of(&spec);

		coalesce.udp = false;
		add(&spec);
		add(&next);
		if (spec.tcp)
			expect(1, 2u);
		else
			expect(2, 1u, 1u);
	}
}

/* Bounds: 64 packets, 65535 bytes. */
static void super_packets_are_bounded(void **state)
{
	(void)state;
	for (int f = 0; f < 4; f++) {
		struct spec spec = form(f);

		spec.payload = 10;
		for (int i = 0; i < 70; i++, spec = next_of(&spec))
			add(&spec);
		expect(2, 64u, 6u);
		spec.payload = 1400;
		for (int i = 0; i < 50; i++, spec = next_of(&spec))
			add(&spec);
		expect(2, 46u, 4u);
	}
}

/* What cannot be joined keeps its place among the packets of its flow, and lets others pass on. */
static void a_flow_is_never_reordered(void **state)
{
	struct spec one = form(3), two = form(3), ack;

	(void)state;
	two.port++;
	add(&one);
	add(&two);
	ack = next_of(&one);
	ack.payload = 0;
	add(&ack); /* behind one, before nothing of two */
	assert_int_equal(writes, 2);
	assert_true(found[0] && found[2] && !found[1]);
	two = next_of(&two);
	add(&two);
	expect(3, 1u, 1u, 2u);
}

/* Fragments, IP options, extension headers, other protocols: as they are, behind everything before them. */
static void what_is_not_plain_passes_as_it_is(void **state)
{
	static uint8_t packet[PACKET_ROOM];

	(void)state;
	for (int f = 0; f < 4; f++) {
		for (int what = 0; what < 5; what++) {
			struct spec spec = form(f), next = next_of(&spec), third = next_of(&next);
			size_t len = spec_make(packet, &next, false);

			add(&spec);
			if (spec.is4) {
				if (what == 0)
					packet[6] = 0x20; /* more fragments */
				else if (what == 1)
					packet[7] = 5; /* a later one */
				else if (what == 2)
					packet[0] = 0x46; /* an option */
				else if (what == 3)
					packet[9] = 1;
				else
					packet[6] |= 0x80; /* reserved */
			} else {
				packet[6] = (uint8_t[]){44, 0, 60, 58, 50}[what];
			}
			add_bytes(packet, len);
			assert_int_equal(writes, 2);
			third.id = next.id; /* else it could follow on the first */
			add(&third);
			expect(3, 1u, 1u, 1u);
		}
	}
}

static void more_flows_than_room_push_out_the_oldest(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < NTMD_COALESCE_FLOWS + 3; i++) {
		struct spec spec = form(i % 4);

		spec.port = (uint16_t)(100 + i);
		add(&spec);
		spec = next_of(&spec);
		add(&spec);
	}
	assert_int_equal(writes, 3);
	assert_true(found[0] && found[5] && !found[6]);
	ntmd_coalesce_flush(&coalesce);
	assert_int_equal(writes, NTMD_COALESCE_FLOWS + 3);
	assert_int_equal(matched, sents);
	ntmd_coalesce_flush(&coalesce); /* nothing is left */
	assert_int_equal(writes, NTMD_COALESCE_FLOWS + 3);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packets_that_follow_on_each_other_are_joined),
		TEST(a_short_one_ends_it_and_a_longer_one_begins_anew),
		TEST(push_and_fin_end_it),
		TEST(cwr_stands_only_in_the_first),
		TEST(nothing_is_joined_whose_headers_disagree),
		TEST(one_id_for_all_is_taken_only_of_udp_that_is_not_fragmented),
		TEST(nothing_is_joined_whose_checksum_is_wrong),
		TEST(a_udp_datagram_without_checksum_stays_alone),
		TEST(without_uso_udp_stays_alone),
		TEST(super_packets_are_bounded),
		TEST(a_flow_is_never_reordered),
		TEST(what_is_not_plain_passes_as_it_is),
		TEST(more_flows_than_room_push_out_the_oldest),
	};

	return cmocka_run_group_tests_name("coalesce", tests, NULL, NULL);
}
