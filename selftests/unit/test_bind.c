/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_bind.c - lib/bind.c: the packets of a Relay Bind byte for byte (the bytes were computed by a second
 * implementation, Python's hashlib and hmac, from doc/PROTOCOL.md), and that nothing altered is accepted.
 */
#include "vectors.h"

#include <stdbool.h>

#include <ntm/drop.h>

#include "bind.h"
#include "endpoint.h"

#define PATH_ID 0x0123456789abcdefULL
#define COUNTER 0x0102030405060ULL
#define NOW_S 1000

static const char leg0_hex[] = "553729b1fbb9ea3401eb3e59331001ce2ebec7ce027413a9c57b255f8b19e1e2";
static const char leg1_hex[] = "59fd5086f84adb7b58fc0bfb361b49095945b81f255b1d244626618dd4ee996c";
static const char request_hex[] =
	"08001020304050600123456789abcdef000100000000000000000000000000000000000000000000"
	"0000000000000000000000000000000059804b24e6d036effd4b2a463b6ea5dd";
static const char challenge_hex[] =
	"08001020304050600123456789abcdef01011ad2000003e800000000000000000000ffffc0000207"
	"ae143627849414e5b4dff6be2f0745ee5a9cade363b6bcdcc44e1b647e01f12d";
static const char echo_hex[] =
	"08001020304050610123456789abcdef02010000000003e800000000000000000000000000000000"
	"ae143627849414e5b4dff6be2f0745ee2e116a07514fdb44e501bf8e6e3724ef";
static const char ack_hex[] =
	"08001020304050610123456789abcdef03011ad20000000000000000000000000000ffffc0000207"
	"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a588bb0f0cf337f9ddd287cb18f0e825b1";

struct fixture {
	uint8_t key[NTM_KEY_LEN], secret[NTM_KEY_LEN];
	struct ntm_endpoint source;
	struct ntm_bind request, challenge, echo;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	hex(leg1_hex, f->key, sizeof(f->key));
	memset(f->secret, 0x5a, sizeof(f->secret));
	assert_int_equal(ntm_endpoint_parse(&f->source, "192.0.2.7:6866", 0), 0);
	ntm_bind_request_build(&f->request, NTM_BIND_REQUEST, PATH_ID, NTM_SIDE_OTHER, COUNTER, f->key);
	ntm_bind_challenge_build(&f->challenge, &f->request, &f->source, NOW_S, f->secret, f->key);
	ntm_bind_echo_build(&f->echo, &f->challenge, COUNTER + 1, f->key);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void packet_is(const struct ntm_bind *bind, const char *text)
{
	uint8_t expected[sizeof(*bind)];

	assert_int_equal(hex(text, expected, sizeof(expected)), sizeof(expected));
	assert_memory_equal(bind, expected, sizeof(expected));
}

static void leg_keys(void **state)
{
	uint8_t ck[NTM_KEY_LEN], expected[NTM_KEY_LEN], key[NTM_KEY_LEN];

	(void)state;
	for (unsigned i = 0; i < sizeof(ck); i++)
		ck[i] = (uint8_t)i;
	ntm_bind_leg_key(key, ck, PATH_ID, NTM_SIDE_REQUESTER);
	hex(leg0_hex, expected, sizeof(expected));
	assert_memory_equal(key, expected, sizeof(key));
	ntm_bind_leg_key(key, ck, PATH_ID, NTM_SIDE_OTHER);
	hex(leg1_hex, expected, sizeof(expected));
	assert_memory_equal(key, expected, sizeof(key));
	ntm_bind_leg_key(key, ck, PATH_ID + 1, NTM_SIDE_OTHER);
	assert_memory_not_equal(key, expected, sizeof(key));
}

static void packets(void **state)
{
	struct fixture *f = *state;
	struct ntm_endpoint observed;
	uint8_t token[NTM_MAC_LEN];
	struct ntm_bind ack;

	packet_is(&f->request, request_hex);
	packet_is(&f->challenge, challenge_hex);
	packet_is(&f->echo, echo_hex);
	memset(token, 0xa5, sizeof(token));
	ntm_bind_ack_build(&ack, &f->echo, &f->source, token, f->key);
	packet_is(&ack, ack_hex);
	assert_memory_equal(ntm_bind_reset_token(&ack), token, sizeof(token));
	ntm_bind_observed(&ack, &observed);
	assert_true(ntm_endpoint_equal(&observed, &f->source));

	/* An answer may be written over what it answers. */
	ntm_bind_ack_build(&f->echo, &f->echo, &f->source, token, f->key);
	packet_is(&f->echo, ack_hex);
	ntm_bind_challenge_build(&f->request, &f->request, &f->source, NOW_S, f->secret, f->key);
	packet_is(&f->request, challenge_hex);
	ntm_bind_echo_build(&f->request, &f->request, COUNTER + 1, f->key);
	packet_is(&f->request, echo_hex);
}

static void parse(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[sizeof(struct ntm_bind) + 1] = {0};
	const struct ntm_bind *bind = NULL;

	memcpy(packet, &f->request, sizeof(f->request));
	assert_int_equal(ntm_bind_parse(&bind, packet, sizeof(f->request) - 1, NTM_BIND_FROM_NODE),
			 -NTM_DROP_SHORT);
	assert_int_equal(ntm_bind_parse(&bind, packet, sizeof(f->request) + 1, NTM_BIND_FROM_NODE),
			 -NTM_DROP_LONG);
	assert_null(bind);
	/* The kinds of one sender are refused from the other, and unknown ones from both. */
	for (int kind = 0; kind < 256; kind++) {
		bool node = kind == NTM_BIND_REQUEST || kind == NTM_BIND_ECHO || kind == NTM_BIND_KEEPALIVE;
		bool rs = kind == NTM_BIND_CHALLENGE || kind == NTM_BIND_ACK;

		packet[offsetof(struct ntm_bind, kind)] = (uint8_t)kind;
		assert_int_equal(ntm_bind_parse(&bind, packet, sizeof(f->request), NTM_BIND_FROM_NODE),
				 node ? 0 : -NTM_DROP_FIELD_VALUE);
		assert_int_equal(ntm_bind_parse(&bind, packet, sizeof(f->request), NTM_BIND_FROM_RS),
				 rs ? 0 : -NTM_DROP_FIELD_VALUE);
	}
	packet[offsetof(struct ntm_bind, kind)] = NTM_BIND_ECHO;
	packet[offsetof(struct ntm_bind, side)] = 2;
	assert_int_equal(ntm_bind_parse(&bind, packet, sizeof(f->request), NTM_BIND_FROM_NODE),
			 -NTM_DROP_FIELD_VALUE);
}

static void altered(void **state)
{
	struct fixture *f = *state;
	uint8_t key[NTM_KEY_LEN];

	assert_true(ntm_bind_verify(&f->echo, f->key));
	for (unsigned bit = 0; bit < 8 * sizeof(f->echo); bit++) {
		struct ntm_bind bind = f->echo;

		((uint8_t *)&bind)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(ntm_bind_verify(&bind, f->key));
	}
	hex(leg0_hex, key, sizeof(key));
	assert_false(ntm_bind_verify(&f->echo, key));
}

static void challenges(void **state)
{
	struct fixture *f = *state;
	struct ntm_endpoint other = f->source;
	uint8_t secret[NTM_KEY_LEN];
	struct ntm_bind echo;

	assert_true(ntm_bind_challenge_ok(&f->echo, &f->source, NOW_S, f->secret));
	assert_true(ntm_bind_challenge_ok(&f->echo, &f->source, NOW_S + NTM_BIND_CHALLENGE_S, f->secret));
	assert_false(
		ntm_bind_challenge_ok(&f->echo, &f->source, NOW_S + NTM_BIND_CHALLENGE_S + 1, f->secret));
	assert_false(ntm_bind_challenge_ok(&f->echo, &f->source, NOW_S - 1, f->secret));
	other.port++;
	assert_false(ntm_bind_challenge_ok(&f->echo, &other, NOW_S, f->secret));
	other = f->source;
	other.addr.b[15]++;
	assert_false(ntm_bind_challenge_ok(&f->echo, &other, NOW_S, f->secret));
	memset(secret, 0x5b, sizeof(secret));
	assert_false(ntm_bind_challenge_ok(&f->echo, &f->source, NOW_S, secret));

	/* Who holds the leg key cannot make an old challenge younger, nor use it for another leg or path. */
	echo = f->echo;
	echo.time[3]++;
	assert_false(ntm_bind_challenge_ok(&echo, &f->source, NOW_S + 1, f->secret));
	echo = f->echo;
	echo.side = NTM_SIDE_REQUESTER;
	assert_false(ntm_bind_challenge_ok(&echo, &f->source, NOW_S, f->secret));
	echo = f->echo;
	echo.h.id[7]++;
	assert_false(ntm_bind_challenge_ok(&echo, &f->source, NOW_S, f->secret));

	/* The clock may pass 2^32 seconds between. */
	ntm_bind_challenge_build(&f->challenge, &f->request, &f->source, UINT32_MAX, f->secret, f->key);
	ntm_bind_echo_build(&f->echo, &f->challenge, COUNTER + 1, f->key);
	assert_true(ntm_bind_challenge_ok(&f->echo, &f->source, 3, f->secret));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leg_keys),
		cmocka_unit_test_setup_teardown(packets, setup, teardown),
		cmocka_unit_test_setup_teardown(parse, setup, teardown),
		cmocka_unit_test_setup_teardown(altered, setup, teardown),
		cmocka_unit_test_setup_teardown(challenges, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
