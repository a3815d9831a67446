/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_msg.c - every control message of lib/msg.h, all its fields filled: the bytes are those of
 * selftests/vectors/messages.txt, come back as the same structure, and are refused when they are damaged.
 */
#include <errno.h>
#include <stdbool.h>

#include <ntm/drop.h>

#include "msg.h"
#include "vector_file.h"

#define FILE_NAME "messages.txt"

/* 192.0.2.x and 2001:db8::x */
#define EP4(last, port_)                                                                                   \
	{                                                                                                  \
		.addr = {{[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = (last)}}, .port = (port_) \
	}
#define EP6(last, port_)                                                           \
	{                                                                          \
		.addr = {{0x20, 0x01, 0x0d, 0xb8, [15] = (last)}}, .port = (port_) \
	}
#define BYTES16(b)                                                                                        \
	{                                                                                                 \
		b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7, b + 8, b + 9, b + 10, b + 11, b + 12, \
			b + 13, b + 14, b + 15                                                            \
	}
#define BYTES32(b)                                                                                        \
	{                                                                                                 \
		b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7, b + 8, b + 9, b + 10, b + 11, b + 12, \
			b + 13, b + 14, b + 15, b + 16, b + 17, b + 18, b + 19, b + 20, b + 21, b + 22,   \
			b + 23, b + 24, b + 25, b + 26, b + 27, b + 28, b + 29, b + 30, b + 31            \
	}
#define VIP4                  \
	{                     \
		198, 18, 0, 7 \
	}
#define VIP6                                           \
	{                                              \
		0xfd, 0x4e, 0x54, 0x4d, 0, 1, [15] = 7 \
	}
#define RELAY1                                                                                      \
	{                                                                                           \
		.name = "rs1.ntm.example", .server = {EP4(20, 6866), EP6(0x20, 6866)}, .servers = 2 \
	}
#define RELAY2                                                                      \
	{                                                                           \
		.name = "rs2.ntm.example", .server = {EP6(0x21, 443)}, .servers = 1 \
	}

static const struct ntm_session_hello sample_session_hello = {.version = 1, .reset_token = BYTES16(0x10)};
static const struct ntm_session_welcome sample_session_welcome = {.session_id = 0x1112131415161718,
								  .reset_token = BYTES16(0x20)};
static const struct ntm_challenge sample_challenge = {.nonce = 0x2122232425262728, .padding = 5};
static const struct ntm_error_message sample_error_message = {
	.code = NTM_ERROR_NOT_MEMBER, .text = "mn.ntm.example is not a member of this DC"};
static const struct ntm_registration_request sample_registration_request = {
	.fqdn = "mn.ntm.example",
	.real = {EP4(1, 40000), EP6(1, 40000)},
	.reals = 2,
	.nat = NTM_NAT_EASY,
	.rtt = {{.name = "rs1.ntm.example", .rtt_us = 10500}, {.name = "rs2.ntm.example", .rtt_us = 20500}},
	.rtts = 2,
	.boot_id = 0x3132333435363738,
	.software = "ntmd 0.1.0",
};
static const struct ntm_registration_response sample_registration_response = {
	.lifetime_s = NTM_LOCATION_LIFETIME_S,
	.vip4 = VIP4,
	.vip6 = VIP6,
	.vip4_prefix = 16,
	.vip6_prefix = 64,
	.observed = EP4(99, 55555),
	.server = {EP4(10, 6866), EP4(11, 6866), EP6(0x10, 6866)},
	.servers = 3,
	.relay = {RELAY1, RELAY2},
	.relays = 2,
	.zone = "ntm.example",
	.dc_name = "dc.ntm.example",
	.dns = {EP4(10, 53)},
	.dnss = 1,
};
static const struct ntm_keepalive sample_keepalive = {.observed = EP4(99, 55555)};
static const struct ntm_direction_request sample_direction_request = {
	.fqdn = "cn.ntm.example",
	.vip = {VIP6},
	.path_id = 0x4142434445464748,
	.reason = NTM_REASON_HANDOVER,
};
static const struct ntm_direction_response sample_direction_response = {
	.path_id = 0x4142434445464748,
	.fqdn = "cn.ntm.example",
	.vip4 = VIP4,
	.vip6 = VIP6,
};
static const struct ntm_location_request sample_location_request = {.fqdn = "cn.other.example",
								    .vip = {VIP6}};
static const struct ntm_location sample_location = {
	.fqdn = "cn.other.example",
	.public_key = BYTES32(0x50),
	.vip4 = VIP4,
	.vip6 = VIP6,
	.real = {EP4(2, 40001)},
	.reals = 1,
	.nat = NTM_NAT_HARD,
	.observed = {EP4(98, 44444), EP6(2, 40001)},
	.observeds = 2,
	.rtt = {{.name = "rs1.ntm.example", .rtt_us = 7}},
	.rtts = 1,
	.registered = 1,
};
static const struct ntm_route_direction sample_route_direction = {
	.fqdn = "cn.ntm.example",
	.path_id = 0x4142434445464748,
	.side = NTM_SIDE_OTHER,
	.public_key = BYTES32(0x50),
	.ck = BYTES32(0x80),
	.lifetime_s = NTM_CK_LIFETIME_S,
	.vip4 = VIP4,
	.vip6 = VIP6,
	.relay = RELAY1,
	.candidate = {{NTM_ROUTE_DIRECT6, EP6(2, 40001)}, {NTM_ROUTE_PUNCH4, EP4(98, 44444)}},
	.candidates = 2,
	.verdict = {{.kind = NTM_ROUTE_DIRECT6, .why = NTM_WHY_CANDIDATE},
		    {.kind = NTM_ROUTE_RELAY, .why = NTM_WHY_RELAY_SLOWER, .name = "rs2.ntm.example"}},
	.verdicts = 2,
	.reason = NTM_REASON_NAME,
	.target = "mn.ntm.example",
};
static const struct ntm_route_withdraw sample_route_withdraw = {
	.path_id = 0x4142434445464748, .reason = NTM_REASON_REMOVED, .target = "mn.ntm.example"};
static const struct ntm_relay_direction sample_relay_direction = {
	.path_id = 0x4142434445464748,
	.lifetime_s = NTM_CK_LIFETIME_S,
	.leg_key = {BYTES32(0xa0), BYTES32(0xc0)},
	.rate = 12500000,
};
static const struct ntm_relay_response sample_relay_response = {.boot_id = 0x6162636465666768, .bound = 3};
static const struct ntm_relay_withdraw sample_relay_withdraw = {.path_id = 0x4142434445464748};
static const struct ntm_relay_report sample_relay_report = {
	.boot_id = 0x6162636465666768,
	.load = {.packets_per_s = 100000, .bytes_per_s = 125000000, .paths = 4711, .cpu_permille = 250},
	.draining = 1,
};
static const struct ntm_tunnel_request sample_tunnel_request = {
	.version = 1, .phase = 3, .ciphers = 3, .mtu = 1420, .reset_token = BYTES16(0x30)};
static const struct ntm_tunnel_response sample_tunnel_response = {
	.error = NTM_ERROR_CIPHER, .ciphers = 0x10003, .cipher = NTM_CIPHER_AES_256_GCM, .mtu = 1400,
	.reset_token = BYTES16(0x40)};
static const struct ntm_path_update sample_path_update = {.nonce = 0x7172737475767778, .sequence = 5};
static const struct ntm_path_response sample_path_response = {.nonce = 0x7172737475767778,
							      .observed = EP4(97, 33333)};
static const struct ntm_tunnel_close sample_tunnel_close = {.reason = NTM_REASON_SHUTDOWN};

union any {
#define X(name) struct ntm_##name name;
	NTM_MSG_LIST(X)
#undef X
};

struct kind {
	const char *name;
	const void *sample;
	size_t size;
	int (*build)(uint8_t *out, size_t size, const void *msg);
	int (*parse)(void *ret_msg, const uint8_t *fields, size_t len);
};

#define X(name)                                                                   \
	static int build_##name(uint8_t *out, size_t size, const void *msg)       \
	{                                                                         \
		return ntm_msg_##name##_build(out, size, msg);                    \
	}                                                                         \
	static int parse_##name(void *ret_msg, const uint8_t *fields, size_t len) \
	{                                                                         \
		return ntm_msg_##name##_parse(ret_msg, fields, len);              \
	}
NTM_MSG_LIST(X)
#undef X

static const struct kind kinds[] = {
#define X(name) {#name, &sample_##name, sizeof(sample_##name), build_##name, parse_##name},
	NTM_MSG_LIST(X)
#undef X
};
#define FOR_EACH_KIND(k) for (const struct kind *k = kinds; k < kinds + sizeof(kinds) / sizeof(kinds[0]); k++)

/* From memory of exactly the size of the input, so that AddressSanitizer sees a byte read too much. */
static int parse_exact(const struct kind *kind, union any *ret_msg, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	r = kind->parse(ret_msg, copy, len);
	free(copy);
	return r;
}

static size_t build_sample(const struct kind *kind, uint8_t out[NTM_CONTROL_MAX])
{
	int n = kind->build(out, NTM_CONTROL_MAX, kind->sample);

	if (n <= 0)
		fail_msg("%s: build says %d", kind->name, n);
	return (size_t)n;
}

static void messages_have_the_bytes_of_the_vectors(void **state)
{
	uint8_t out[NTM_CONTROL_MAX];

	(void)state;
	vector_begin(FILE_NAME,
		     "# The fields of every control message, all filled: selftests/unit/test_msg.c has the "
		     "values.\n"
		     "# The 8 bytes of the message header, which stand before them, are not here.\n");
	FOR_EACH_KIND(kind)
	vector_check(FILE_NAME, kind->name, out, build_sample(kind, out));
}

static void messages_come_back_as_they_were(void **state)
{
	uint8_t out[NTM_CONTROL_MAX];
	union any got;

	(void)state;
	FOR_EACH_KIND(kind)
	{
		assert_int_equal(parse_exact(kind, &got, out, build_sample(kind, out)), 0);
		if (memcmp(&got, kind->sample, kind->size))
			fail_msg("%s comes back different", kind->name);
	}
}

static void every_byte_of_the_structures_is_on_the_wire(void **state)
{
	uint8_t out[NTM_CONTROL_MAX], other[NTM_CONTROL_MAX];
	union any changed;

	(void)state;
	/* A byte of the sample that is set (padding, and the rest of names and lists, is not) must change
	 * what is sent. */
	FOR_EACH_KIND(kind)
	{
		size_t len = build_sample(kind, out);

		for (size_t i = 0; i < kind->size; i++) {
			int n;

			memcpy(&changed, kind->sample, kind->size);
			if (!((uint8_t *)&changed)[i])
				continue;
			((uint8_t *)&changed)[i]--;
			n = kind->build(other, sizeof(other), &changed);
			if (n == (int)len && !memcmp(out, other, len))
				fail_msg("%s: byte %zu of the structure is not sent", kind->name, i);
		}
	}
}

static void a_flipped_bit_is_refused_or_seen(void **state)
{
	uint8_t out[NTM_CONTROL_MAX];
	union any got;

	(void)state;
	FOR_EACH_KIND(kind)
	{
		size_t len = build_sample(kind, out);

		for (size_t bit = 0; bit < 8 * len; bit++) {
			out[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (!parse_exact(kind, &got, out, len) && !memcmp(&got, kind->sample, kind->size))
				fail_msg("%s: bit %zu means nothing", kind->name, bit);
			out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void a_cut_message_is_refused_or_a_shorter_one(void **state)
{
	uint8_t out[NTM_CONTROL_MAX], again[NTM_CONTROL_MAX];
	union any got;

	(void)state;
	FOR_EACH_KIND(kind)
	{
		size_t len = build_sample(kind, out);

		for (size_t cut = 0; cut < len; cut++) {
			int n;

			if (parse_exact(kind, &got, out, cut))
				continue;
			n = kind->build(again, sizeof(again), &got);
			if (n != (int)cut || memcmp(again, out, cut))
				fail_msg("%s cut after %zu bytes is taken for something else", kind->name,
					 cut);
		}
	}
}

static void one_byte_more_is_refused(void **state)
{
	uint8_t out[NTM_CONTROL_MAX + 1];
	union any got;

	(void)state;
	FOR_EACH_KIND(kind)
	{
		size_t len = build_sample(kind, out);

		for (int byte = 0; byte < 256; byte++) {
			out[len] = (uint8_t)byte;
			assert_int_equal(parse_exact(kind, &got, out, len + 1), -NTM_DROP_FIELD_TRUNCATED);
		}
	}
}

static void messages_do_not_fit_into_less_than_they_need(void **state)
{
	uint8_t out[NTM_CONTROL_MAX];

	(void)state;
	FOR_EACH_KIND(kind)
	{
		size_t len = build_sample(kind, out);

		for (size_t size = 0; size < len; size++) {
			uint8_t *exact = malloc(size ? size : 1);

			assert_int_equal(kind->build(exact, size, kind->sample), -EMSGSIZE);
			free(exact);
		}
	}
}

static void empty_messages_are_refused_where_a_field_is_required(void **state)
{
	union any got;

	(void)state;
	FOR_EACH_KIND(kind)
	{
		/* these two may be empty; what they ask is for the handlers to find missing */
		bool may = !strcmp(kind->name, "keepalive") || !strcmp(kind->name, "location_request");

		assert_int_equal(parse_exact(kind, &got, (const uint8_t *)"", 0),
				 may ? 0 : -NTM_DROP_FIELD_MISSING);
	}
}

static void the_header_comes_back_and_its_zero_must_be_zero(void **state)
{
	uint8_t body[NTM_MSG_HEADER_LEN + 3] = {0};
	struct ntm_message message;

	(void)state;
	ntm_msg_header_build(body, NTM_MSG_ROUTE_DIRECTION, 0x89abcdef);
	vector_check(FILE_NAME, "header", body, NTM_MSG_HEADER_LEN);
	assert_int_equal(ntm_msg_header_parse(&message, body, sizeof(body)), 0);
	assert_int_equal(message.type, NTM_MSG_ROUTE_DIRECTION);
	assert_int_equal(message.transaction, 0x89abcdef);
	assert_ptr_equal(message.fields, body + NTM_MSG_HEADER_LEN);
	assert_int_equal(message.len, 3);
	assert_int_equal(ntm_msg_header_parse(&message, body, NTM_MSG_HEADER_LEN), 0);
	assert_int_equal(message.len, 0);
	for (size_t len = 0; len < NTM_MSG_HEADER_LEN; len++)
		assert_int_equal(ntm_msg_header_parse(&message, body, len), -NTM_DROP_SHORT);
	body[3] = 1;
	assert_int_equal(ntm_msg_header_parse(&message, body, sizeof(body)), -NTM_DROP_FIELD_VALUE);
}

static void every_request_has_a_name_and_a_response(void **state)
{
	unsigned named = 0;

	(void)state;
	for (unsigned type = 0; type <= 0xffff; type++) {
		const char *name = ntm_msg_name((uint16_t)type);

		if (!name)
			continue;
		named++;
		if (type & 1 && type != NTM_MSG_PATH_UPDATE) /* that is answered by PATH_RESPONSE */
			assert_non_null(ntm_msg_name((uint16_t)(type + 1)));
	}
	assert_int_equal(named, 26);
	assert_string_equal(ntm_error_name(NTM_ERROR_NOT_MEMBER), "NOT_MEMBER");
	assert_non_null(ntm_error_text(0xffff));
	assert_non_null(ntm_why_text(0xff));
	assert_non_null(ntm_route_name((enum ntm_route_kind)99));
	assert_string_equal(ntm_nat_name(NTM_NAT_HARD), "hard");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_have_the_bytes_of_the_vectors),
		cmocka_unit_test(messages_come_back_as_they_were),
		cmocka_unit_test(every_byte_of_the_structures_is_on_the_wire),
		cmocka_unit_test(a_flipped_bit_is_refused_or_seen),
		cmocka_unit_test(a_cut_message_is_refused_or_a_shorter_one),
		cmocka_unit_test(one_byte_more_is_refused),
		cmocka_unit_test(messages_do_not_fit_into_less_than_they_need),
		cmocka_unit_test(empty_messages_are_refused_where_a_field_is_required),
		cmocka_unit_test(the_header_comes_back_and_its_zero_must_be_zero),
		cmocka_unit_test(every_request_has_a_name_and_a_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
