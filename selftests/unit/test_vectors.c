/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_vectors.c - whole packets with fixed keys, as doc/PROTOCOL.md describes them: handshakes and derived
 * keys (selftests/vectors/handshake.txt), all packets of fixed form and sealed ones (packets.txt). The
 * handshakes are put together here from lib/noise.h by the specification; that lib/session_handshake.c
 * follows the same one is tested by giving it the vector.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <unistd.h>

#include <event2/event.h>
#include <ntm/drop.h>
#include <ntm/header.h>

#include "aead.h"
#include "bind.h"
#include "cookie.h"
#include "crypto.h"
#include "loop.h"
#include "msg.h"
#include "noise.h"
#include "record.h"
#include "session.h"
#include "vector_file.h"

#define HANDSHAKE "handshake.txt"
#define PACKETS "packets.txt"
#define PATH_ID 0x4142434445464748ULL
#define SESSION_ID_INITIATOR 0x0102030405060708ULL
#define SESSION_ID_RESPONDER 0x1112131415161718ULL
#define TRANSACTION 0x00a1a2a3a4a5a6ULL

/* Key material that a reader can type: 32 consecutive bytes. */
static void key_from(uint8_t key[NTM_KEY_LEN], uint8_t first)
{
	for (int i = 0; i < NTM_KEY_LEN; i++)
		key[i] = (uint8_t)(first + i);
}

/* One handshake as both ends saw it. */
struct run {
	uint8_t s[2][NTM_KEY_LEN], s_pub[2][NTM_KEY_LEN], e[2][NTM_KEY_LEN];
	uint8_t prologue[1024];
	size_t prologue_len;
	struct ntm_noise noise[2];
	uint8_t packet[2][512];
	size_t len[2]; /* without the MACs */
	uint8_t send[2][NTM_KEY_LEN], receive[2][NTM_KEY_LEN]; /* by end */
};

static void run_begin(struct run *run)
{
	memset(run, 0, sizeof(*run));
	for (int end = 0; end < 2; end++) {
		key_from(run->s[end], (uint8_t)(0x01 + 0x20 * end));
		key_from(run->e[end], (uint8_t)(0x41 + 0x20 * end));
		ntm_crypto_public(run->s_pub[end], run->s[end]);
	}
}

static void put(struct run *run, const void *bytes, size_t len)
{
	memcpy(run->prologue + run->prologue_len, bytes, len);
	run->prologue_len += len;
}

/* Both messages: headers in run->packet, the prologue ready. Leaves the packets without MACs and the
 * transport keys. */
static void run_messages(struct run *run, const uint8_t *ck, const void *payload1, size_t len1,
			 const void *payload2, size_t len2)
{
	uint8_t got[64];
	int n;

	for (int end = 0; end < 2; end++) {
		ntm_noise_init(&run->noise[end], !end, ck, run->prologue, run->prologue_len, run->s[end], NULL,
			       end ? NULL : run->s_pub[1]);
		ntm_noise_set_ephemeral(&run->noise[end], run->e[end]);
	}
	n = ntm_noise_msg1_build(&run->noise[0], payload1, len1, run->packet[0] + NTM_HEADER_LEN);
	assert_int_equal(n, len1 + NTM_NOISE_MSG1_OVERHEAD);
	run->len[0] = NTM_HEADER_LEN + (size_t)n;
	assert_int_equal(
		ntm_noise_msg1_parse(&run->noise[1], run->packet[0] + NTM_HEADER_LEN, (size_t)n, got), len1);
	assert_memory_equal(got, payload1, len1);
	assert_memory_equal(run->noise[1].rs, run->s_pub[0], NTM_KEY_LEN);
	n = ntm_noise_msg2_build(&run->noise[1], payload2, len2, run->packet[1] + NTM_HEADER_LEN);
	assert_int_equal(n, len2 + NTM_NOISE_MSG2_OVERHEAD);
	run->len[1] = NTM_HEADER_LEN + (size_t)n;
}

static void run_split(struct run *run)
{
	uint8_t got[64];

	assert_true(ntm_noise_msg2_parse(&run->noise[0], run->packet[1] + NTM_HEADER_LEN,
					 run->len[1] - NTM_HEADER_LEN, got) > 0);
	for (int end = 0; end < 2; end++)
		ntm_noise_split(&run->noise[end], run->send[end], run->receive[end], NULL);
	assert_memory_equal(run->send[0], run->receive[1], NTM_KEY_LEN);
	assert_memory_equal(run->send[1], run->receive[0], NTM_KEY_LEN);
}

static void session_run(struct run *run)
{
	struct ntm_session_hello hello = {.version = NTM_VERSION_1};
	struct ntm_session_welcome welcome = {.session_id = SESSION_ID_RESPONDER};
	uint8_t payload1[64], payload2[64];
	int n1, n2;

	run_begin(run);
	memset(hello.reset_token, 0xa0, sizeof(hello.reset_token));
	memset(welcome.reset_token, 0xb0, sizeof(welcome.reset_token));
	n1 = ntm_msg_session_hello_build(payload1, sizeof(payload1), &hello);
	n2 = ntm_msg_session_welcome_build(payload2, sizeof(payload2), &welcome);
	ntm_header_set((struct ntm_header *)run->packet[0], NTM_TYPE_SESSION_INIT, TRANSACTION,
		       SESSION_ID_INITIATOR);
	ntm_header_set((struct ntm_header *)run->packet[1], NTM_TYPE_SESSION_RESPONSE, TRANSACTION,
		       SESSION_ID_INITIATOR);
	put(run, "NTM1", 4);
	put(run, run->packet[0], NTM_HEADER_LEN);
	run_messages(run, NULL, payload1, (size_t)n1, payload2, (size_t)n2);
}

static void session_handshake(void **state)
{
	uint8_t mac1_key[NTM_KEY_LEN], cookie[NTM_MAC_LEN];
	struct run run;

	(void)state;
	session_run(&run);
	vector_begin(HANDSHAKE, "# Whole handshake packets with fixed keys: selftests/unit/test_vectors.c; 0 "
				"is the initiator, 1 the responder.\n");
	for (int end = 0; end < 2; end++) {
		vector_check(HANDSHAKE, end ? "static_private1" : "static_private0", run.s[end], NTM_KEY_LEN);
		vector_check(HANDSHAKE, end ? "static_public1" : "static_public0", run.s_pub[end],
			     NTM_KEY_LEN);
		vector_check(HANDSHAKE, end ? "ephemeral_private1" : "ephemeral_private0", run.e[end],
			     NTM_KEY_LEN);
	}
	vector_check(HANDSHAKE, "session_prologue", run.prologue, run.prologue_len);
	ntm_cookie_mac1_key(mac1_key, run.s_pub[1]);
	vector_check(HANDSHAKE, "session_mac1_key1", mac1_key, NTM_KEY_LEN);
	ntm_cookie_macs_add(run.packet[0], run.len[0], mac1_key, NULL);
	vector_check(HANDSHAKE, "session_message1", run.packet[0], run.len[0] + NTM_HANDSHAKE_MACS);
	memset(cookie, 0xc0, sizeof(cookie));
	vector_check(HANDSHAKE, "cookie", cookie, sizeof(cookie));
	ntm_cookie_macs_add(run.packet[0], run.len[0], mac1_key, cookie);
	vector_check(HANDSHAKE, "session_message1_with_cookie", run.packet[0],
		     run.len[0] + NTM_HANDSHAKE_MACS);
	ntm_cookie_mac1_key(mac1_key, run.s_pub[0]);
	ntm_cookie_macs_add(run.packet[1], run.len[1], mac1_key, NULL);
	vector_check(HANDSHAKE, "session_message2", run.packet[1], run.len[1] + NTM_HANDSHAKE_MACS);
	run_split(&run);
	vector_check(HANDSHAKE, "session_key_0_to_1", run.send[0], NTM_KEY_LEN);
	vector_check(HANDSHAKE, "session_key_1_to_0", run.send[1], NTM_KEY_LEN);
}

static void tunnel_run(struct run *run, uint8_t ck[NTM_KEY_LEN])
{
	static const uint8_t vip4[2][4] = {{198, 18, 0, 7}, {198, 18, 0, 8}};
	static const char *const fqdn[2] = {"mn.ntm.example", "cn.other.example"};
	struct ntm_tunnel_request request = {.version = NTM_VERSION_1, .phase = 1, .ciphers = 3, .mtu = 1420};
	struct ntm_tunnel_response response = {.cipher = NTM_CIPHER_AES_256_GCM, .mtu = 1400};
	uint8_t payload1[64], payload2[64];
	int n1, n2;

	run_begin(run);
	key_from(ck, 0x81);
	memset(request.reset_token, 0xa1, sizeof(request.reset_token));
	memset(response.reset_token, 0xb1, sizeof(response.reset_token));
	n1 = ntm_msg_tunnel_request_build(payload1, sizeof(payload1), &request);
	n2 = ntm_msg_tunnel_response_build(payload2, sizeof(payload2), &response);
	ntm_header_set((struct ntm_header *)run->packet[0], NTM_TYPE_TUNNEL_REQUEST, TRANSACTION, PATH_ID);
	ntm_header_set((struct ntm_header *)run->packet[1], NTM_TYPE_TUNNEL_RESPONSE, TRANSACTION, PATH_ID);
	put(run, "NTM1", 4);
	put(run, run->packet[0], NTM_HEADER_LEN);
	for (int side = 0; side < 2; side++) {
		uint8_t vip6[16] = {0xfd, 0x4e, 0x54, 0x4d, 0, 1, [15] = (uint8_t)(7 + side)};

		put(run, fqdn[side], strlen(fqdn[side]) + 1); /* with its zero */
		put(run, vip4[side], 4);
		put(run, vip6, 16);
	}
	run_messages(run, ck, payload1, (size_t)n1, payload2, (size_t)n2);
}

static void tunnel_handshake_and_derived_keys(void **state)
{
	static const char *const label[] = {"inline", "bulk", "control"};
	uint8_t ck[NTM_KEY_LEN], mac1_key[NTM_KEY_LEN], key[NTM_KEY_LEN];
	char name[64];
	struct run run;

	(void)state;
	tunnel_run(&run, ck);
	vector_check(HANDSHAKE, "ck", ck, NTM_KEY_LEN);
	vector_check(HANDSHAKE, "tunnel_prologue", run.prologue, run.prologue_len);
	ntm_crypto_derive(mac1_key, ck, "mac1", NULL, 0);
	vector_check(HANDSHAKE, "tunnel_mac1_key", mac1_key, NTM_KEY_LEN);
	for (int end = 0; end < 2; end++) {
		ntm_cookie_macs_add(run.packet[end], run.len[end], mac1_key, NULL);
		vector_check(HANDSHAKE, end ? "tunnel_response" : "tunnel_request", run.packet[end],
			     run.len[end] + NTM_HANDSHAKE_MACS);
	}
	run_split(&run);
	for (int side = 0; side < 2; side++) {
		snprintf(name, sizeof(name), "tunnel_base_%d_to_%d", side, !side);
		vector_check(HANDSHAKE, name, run.send[side], NTM_KEY_LEN);
		for (int i = 0; i < 3; i++) {
			ntm_crypto_derive(key, run.send[side], label[i], NULL, 0);
			snprintf(name, sizeof(name), "tunnel_%s_%d_to_%d", label[i], side, !side);
			vector_check(HANDSHAKE, name, key, NTM_KEY_LEN);
		}
		ntm_bind_leg_key(key, ck, PATH_ID, (uint8_t)side);
		snprintf(name, sizeof(name), "leg_key_%d", side);
		vector_check(HANDSHAKE, name, key, NTM_KEY_LEN);
	}
	ntm_crypto_derive(key, ck, "probe", NULL, 0);
	vector_check(HANDSHAKE, "probe_key", key, NTM_KEY_LEN);
	ntm_crypto_derive(key, run.s[1], "reset", NULL, 0);
	vector_check(HANDSHAKE, "reset_key1", key, NTM_KEY_LEN);
}

/* ---- packets */

static void sealed_packets(void **state)
{
	static const uint8_t inner[28] = {0x45, 0,    0,    28,	  0, 0, 0x40, 0,   64, 17,
					  0xae, 0x98, 198,  18,	  0, 7, 198,  18,  0,  8,
					  0x13, 0x88, 0x13, 0x89, 0, 8, 0x4b, 0x93};
	uint8_t packet[256], body[NTM_MSG_HEADER_LEN + 32], ck[NTM_KEY_LEN], key[NTM_KEY_LEN];
	struct ntm_path_update update = {.nonce = 0x7172737475767778, .sequence = 5};
	struct ntm_aead aead;
	struct run run;
	int n;

	(void)state;
	vector_begin(PACKETS, "# Every other packet, with keys of handshake.txt: "
			      "selftests/unit/test_vectors.c has the values.\n");
	session_run(&run);
	run_split(&run);
	ntm_header_set((struct ntm_header *)packet, NTM_TYPE_SESSION, 3, SESSION_ID_RESPONDER);
	ntm_msg_header_build(body, NTM_MSG_KEEPALIVE_REQUEST, 0x89abcdef);
	ntm_aead_seal_once(run.send[0], 3, packet, NTM_HEADER_LEN, body, NTM_MSG_HEADER_LEN,
			   packet + NTM_HEADER_LEN);
	vector_check(PACKETS, "session_keepalive_request", packet,
		     NTM_HEADER_LEN + NTM_MSG_HEADER_LEN + NTM_TAG_LEN);

	tunnel_run(&run, ck);
	run_split(&run);
	/* path control of side 0, phase 1 */
	ntm_header_set((struct ntm_header *)packet, NTM_TYPE_PATH | 1 << NTM_TYPE_PHASE_SHIFT, 7, PATH_ID);
	ntm_msg_header_build(body, NTM_MSG_PATH_UPDATE, 0x01020304);
	n = ntm_msg_path_update_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &update);
	assert_true(n > 0);
	ntm_crypto_derive(key, run.send[0], "control", NULL, 0);
	ntm_aead_seal_once(key, 7, packet, NTM_HEADER_LEN, body, NTM_MSG_HEADER_LEN + (size_t)n,
			   packet + NTM_HEADER_LEN);
	vector_check(PACKETS, "path_update", packet,
		     NTM_HEADER_LEN + NTM_MSG_HEADER_LEN + (size_t)n + NTM_TAG_LEN);
	/* data: inline lane of side 0, bulk lane of side 1, both phase 1 */
	ntm_header_set((struct ntm_header *)packet, NTM_TYPE_DATA | 1 << NTM_TYPE_PHASE_SHIFT, 0x123456789a,
		       PATH_ID);
	ntm_crypto_derive(key, run.send[0], "inline", NULL, 0);
	ntm_aead_seal_once(key, 0x123456789a, packet, NTM_HEADER_LEN, inner, sizeof(inner),
			   packet + NTM_HEADER_LEN);
	vector_check(PACKETS, "inner", inner, sizeof(inner));
	vector_check(PACKETS, "data_inline_side0", packet, NTM_HEADER_LEN + sizeof(inner) + NTM_TAG_LEN);
	ntm_header_set((struct ntm_header *)packet,
		       NTM_TYPE_DATA | 1 << NTM_TYPE_PHASE_SHIFT | NTM_TYPE_SIDE_BIT | NTM_TYPE_LANE_BIT, 0,
		       PATH_ID);
	ntm_crypto_derive(key, run.send[1], "bulk", NULL, 0);
	assert_int_equal(ntm_aead_init(&aead, NTM_CIPHER_AES_256_GCM, key), 0);
	ntm_aead_seal(&aead, 0, packet, NTM_HEADER_LEN, inner, sizeof(inner), packet + NTM_HEADER_LEN);
	ntm_aead_clear(&aead);
	vector_check(PACKETS, "data_bulk_aes_side1", packet, NTM_HEADER_LEN + sizeof(inner) + NTM_TAG_LEN);
}

static void packets_of_fixed_form(void **state)
{
	struct ntm_endpoint source = {.addr = {{[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 99}},
				      .port = 55555};
	struct ntm_echo echo = {0};
	struct ntm_probe probe;
	struct ntm_reset reset;
	struct ntm_cookie_packet cookie;
	struct ntm_cookie cookies = {0};
	uint8_t key[NTM_KEY_LEN], ck[NTM_KEY_LEN];
	struct run run;

	(void)state;
	run_begin(&run);
	key_from(ck, 0x81);
	/* the secret is random and the receiver's own affair, so the vector fixes it */
	key_from(cookies.secret[0], 0xd1);
	ntm_header_set(&cookie.h, NTM_TYPE_COOKIE, TRANSACTION, SESSION_ID_INITIATOR);
	ntm_cookie_make(&cookies, 0, &source, 0, cookie.cookie);
	vector_check(PACKETS, "secret", cookies.secret[0], NTM_KEY_LEN);
	vector_check(PACKETS, "cookie", &cookie, sizeof(cookie));

	ntm_header_set(&probe.h, NTM_TYPE_TUNNEL_PROBE, 1700000000000000, PATH_ID);
	ntm_crypto_derive(key, ck, "probe", NULL, 0);
	ntm_crypto_mac(probe.mac, NTM_MAC_LEN, key, &probe.h, sizeof(probe.h));
	vector_check(PACKETS, "tunnel_probe", &probe, sizeof(probe));

	ntm_header_set(&reset.h, NTM_TYPE_RESET, 0, SESSION_ID_RESPONDER);
	ntm_crypto_derive(key, run.s[1], "reset", NULL, 0);
	ntm_crypto_mac(reset.token, NTM_MAC_LEN, key, &reset.h, sizeof(reset.h));
	vector_check(PACKETS, "reset", &reset, sizeof(reset));

	ntm_header_set(&echo.h, NTM_TYPE_ECHO, TRANSACTION, 0);
	vector_check(PACKETS, "echo_request", &echo, sizeof(echo));
	ntm_header_set(&echo.h, NTM_TYPE_ECHO, TRANSACTION, 1);
	memcpy(echo.addr, source.addr.b, 16);
	echo.port[0] = (uint8_t)(source.port >> 8);
	echo.port[1] = (uint8_t)source.port;
	vector_check(PACKETS, "echo_answer", &echo, sizeof(echo));
}

static void bind_packets(void **state)
{
	struct ntm_endpoint source = {.addr = {{[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 99}},
				      .port = 55555};
	uint8_t ck[NTM_KEY_LEN], key[NTM_KEY_LEN], secret[NTM_KEY_LEN], token[NTM_MAC_LEN];
	struct ntm_bind request, challenge, echo, ack, keepalive;

	(void)state;
	key_from(ck, 0x81);
	key_from(secret, 0xd1);
	memset(token, 0xb2, sizeof(token));
	ntm_bind_leg_key(key, ck, PATH_ID, NTM_SIDE_OTHER);
	ntm_bind_request_build(&request, NTM_BIND_REQUEST, PATH_ID, NTM_SIDE_OTHER, 1700000000000000, key);
	vector_check(PACKETS, "bind_request", &request, sizeof(request));
	ntm_bind_challenge_build(&challenge, &request, &source, 1000, secret, key);
	vector_check(PACKETS, "bind_challenge", &challenge, sizeof(challenge));
	ntm_bind_echo_build(&echo, &challenge, 1700000000010000, key);
	vector_check(PACKETS, "bind_echo", &echo, sizeof(echo));
	assert_true(ntm_bind_challenge_ok(&echo, &source, 1001, secret));
	ntm_bind_ack_build(&ack, &echo, &source, token, key);
	vector_check(PACKETS, "bind_ack", &ack, sizeof(ack));
	ntm_bind_request_build(&keepalive, NTM_BIND_KEEPALIVE, PATH_ID, NTM_SIDE_OTHER, 1700000025000000,
			       key);
	vector_check(PACKETS, "bind_keepalive", &keepalive, sizeof(keepalive));
}

static void ntm_records(void **state)
{
	struct ntm_record record = {.is4 = true, .dc = {.port = 6866}};
	uint8_t rdata[NTM_RECORD6_LEN];
	size_t len;

	(void)state;
	key_from(record.public_key, 0x51);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:198.18.0.7", record.vip.b), 1);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:203.0.113.10", record.dc.addr.b), 1);
	len = ntm_record_build(rdata, &record);
	vector_check(PACKETS, "record_ntmv4", rdata, len);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.168.1.2", record.real.b), 1);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.99", record.nat.b), 1);
	len = ntm_record_build(rdata, &record);
	vector_check(PACKETS, "record_ntmv4_with_locations", rdata, len);
	record = (struct ntm_record){.dc = {.port = 6866}};
	key_from(record.public_key, 0x51);
	assert_int_equal(inet_pton(AF_INET6, "fd4e:544d:1::7", record.vip.b), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::10", record.dc.addr.b), 1);
	len = ntm_record_build(rdata, &record);
	vector_check(PACKETS, "record_ntmv6", rdata, len);
}

/* ---- the session code speaks what the vectors say */

static struct ntm_peer vector_peer;
static unsigned requests_seen;

static struct ntm_peer *accept_vector(void *ctx, const uint8_t key[NTM_KEY_LEN])
{
	(void)ctx;
	return memcmp(key, vector_peer.key, NTM_KEY_LEN) ? NULL : &vector_peer;
}

static void request_seen(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message)
{
	(void)ctx;
	(void)from;
	assert_int_equal(message->type, NTM_MSG_KEEPALIVE_REQUEST);
	assert_int_equal(message->transaction, 0x89abcdef);
	requests_seen++;
}

static struct ntm_udp *no_socket(void *ctx, const struct ntm_endpoint *remote)
{
	(void)ctx;
	(void)remote;
	return NULL;
}

static void sessions_understand_the_vectors(void **state)
{
	static const struct ntm_session_ops ops = {.accept = accept_vector, .request = request_seen};
	struct ntm_endpoint loopback = {.addr = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
	uint8_t mac1_key[NTM_KEY_LEN], packet[512], payload[512], body[NTM_MSG_HEADER_LEN];
	uint8_t send[NTM_KEY_LEN], receive[NTM_KEY_LEN];
	struct ntm_reset reset;
	struct ntm_session_welcome welcome;
	struct event_base *base = event_base_new();
	struct ntm_sessions sessions;
	struct ntm_udp near, far;
	struct ntm_flow flow = {0};
	struct run run;
	ssize_t len;
	int n;

	(void)state;
	assert_int_equal(ntm_udp_open(&near, NULL, &loopback, true, NULL, NULL), 0);
	assert_int_equal(ntm_udp_open(&far, NULL, &loopback, true, NULL, NULL), 0);
	flow.udp = &near;
	flow.remote = far.bound;
	session_run(&run);
	ntm_cookie_mac1_key(mac1_key, run.s_pub[1]);
	ntm_cookie_macs_add(run.packet[0], run.len[0], mac1_key, NULL);
	assert_int_equal(ntm_sessions_init(&sessions, base, run.s[1], &ops, NULL, no_socket), 0);
	memset(&vector_peer, 0, sizeof(vector_peer));
	memcpy(vector_peer.key, run.s_pub[0], NTM_KEY_LEN);
	assert_int_equal(ntm_peer_add(&sessions, &vector_peer), 0);

	assert_int_equal(
		ntm_session_receive(&sessions, &flow, run.packet[0], run.len[0] + NTM_HANDSHAKE_MACS), 0);
	assert_false(ntm_peer_is_up(&vector_peer)); /* message 1 alone changes nothing */
	len = read(far.fd, packet, sizeof(packet));
	assert_true(len > NTM_HANDSHAKE2_MIN);
	assert_int_equal(packet[0], NTM_TYPE_SESSION_RESPONSE);
	assert_memory_equal(packet + 1, run.packet[0] + 1, NTM_HEADER_LEN - 1);
	assert_true(ntm_cookie_mac1_ok(packet, (size_t)len,
				       (ntm_cookie_mac1_key(mac1_key, run.s_pub[0]), mac1_key)));
	n = ntm_noise_msg2_parse(&run.noise[0], packet + NTM_HEADER_LEN,
				 (size_t)len - NTM_HEADER_LEN - NTM_HANDSHAKE_MACS, payload);
	assert_true(n > 0);
	assert_int_equal(ntm_msg_session_welcome_parse(&welcome, payload, (size_t)n), 0);
	ntm_session_reset_token(&sessions, welcome.session_id, payload);
	assert_memory_equal(payload, welcome.reset_token, NTM_MAC_LEN);
	ntm_noise_split(&run.noise[0], send, receive, NULL);
	if (!vector_writing()) { /* the same bytes once more */
		ntm_header_set(&reset.h, NTM_TYPE_RESET, 0, SESSION_ID_RESPONDER);
		ntm_session_reset_token(&sessions, SESSION_ID_RESPONDER, reset.token);
		vector_check(PACKETS, "reset", &reset, sizeof(reset));
	}

	ntm_header_set((struct ntm_header *)packet, NTM_TYPE_SESSION, 0, welcome.session_id);
	ntm_msg_header_build(body, NTM_MSG_KEEPALIVE_REQUEST, 0x89abcdef);
	ntm_aead_seal_once(send, 0, packet, NTM_HEADER_LEN, body, sizeof(body), packet + NTM_HEADER_LEN);
	assert_int_equal(
		ntm_session_receive(&sessions, &flow, packet, NTM_HEADER_LEN + sizeof(body) + NTM_TAG_LEN),
		0);
	assert_int_equal(requests_seen, 1);
	assert_true(ntm_peer_is_up(&vector_peer));

	ntm_peer_remove(&vector_peer);
	ntm_sessions_clear(&sessions);
	ntm_udp_close(&near);
	ntm_udp_close(&far);
	event_base_free(base);
}

static void another_version_is_refused(void **state)
{
	static const struct ntm_session_ops ops = {.accept = accept_vector, .request = request_seen};
	struct ntm_session_hello hello = {.version = NTM_VERSION_1 + 1};
	uint8_t mac1_key[NTM_KEY_LEN], payload[64];
	struct event_base *base = event_base_new();
	struct ntm_sessions sessions;
	struct ntm_flow flow = {0};
	struct run run;
	int n;

	(void)state;
	session_run(&run); /* for its keys and prologue */
	n = ntm_msg_session_hello_build(payload, sizeof(payload), &hello);
	run_messages(&run, NULL, payload, (size_t)n, payload, (size_t)n);
	ntm_cookie_mac1_key(mac1_key, run.s_pub[1]);
	ntm_cookie_macs_add(run.packet[0], run.len[0], mac1_key, NULL);
	assert_int_equal(ntm_sessions_init(&sessions, base, run.s[1], &ops, NULL, no_socket), 0);
	memset(&vector_peer, 0, sizeof(vector_peer));
	memcpy(vector_peer.key, run.s_pub[0], NTM_KEY_LEN);
	assert_int_equal(ntm_peer_add(&sessions, &vector_peer), 0);
	assert_int_equal(
		ntm_session_receive(&sessions, &flow, run.packet[0], run.len[0] + NTM_HANDSHAKE_MACS),
		-NTM_DROP_FIELD_VALUE);
	ntm_peer_remove(&vector_peer);
	ntm_sessions_clear(&sessions);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(session_handshake),
		cmocka_unit_test(tunnel_handshake_and_derived_keys),
		cmocka_unit_test(sealed_packets),
		cmocka_unit_test(packets_of_fixed_form),
		cmocka_unit_test(bind_packets),
		cmocka_unit_test(ntm_records),
		cmocka_unit_test(sessions_understand_the_vectors),
		cmocka_unit_test(another_version_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
