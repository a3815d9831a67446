/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_noise.c - lib/noise.c against the cacophony vectors, with the transport messages through lib/aead.c,
 * and against forged, cut and reflected messages.
 */
#include "vectors.h"

#include <errno.h>
#include <stdbool.h>

#include "aead.h"
#include "crypto.h"
#include "noise.h"

static const char prologue[] = "NTM1 and a header";

struct pair {
	uint8_t i_private[32], i_public[32], r_private[32], r_public[32], psk[32];
	struct ntm_noise i, r;
};

static void pair_init(struct pair *pair, bool psk)
{
	ntm_crypto_keypair(pair->i_private, pair->i_public);
	ntm_crypto_keypair(pair->r_private, pair->r_public);
	ntm_crypto_random(pair->psk, sizeof(pair->psk));
	ntm_noise_init(&pair->i, true, psk ? pair->psk : NULL, prologue, sizeof(prologue), pair->i_private, pair->i_public,
		       pair->r_public);
	ntm_noise_init(&pair->r, false, psk ? pair->psk : NULL, prologue, sizeof(prologue), pair->r_private, pair->r_public,
		       NULL);
}

/* Both sides' keys and hash agree, and the state is gone. */
static void pair_split(struct pair *pair)
{
	static const struct ntm_noise wiped;
	uint8_t i_send[32], i_receive[32], i_hash[32], r_send[32], r_receive[32], r_hash[32];

	ntm_noise_split(&pair->i, i_send, i_receive, i_hash);
	ntm_noise_split(&pair->r, r_send, r_receive, r_hash);
	assert_memory_equal(i_send, r_receive, 32);
	assert_memory_equal(i_receive, r_send, 32);
	assert_memory_equal(i_hash, r_hash, 32);
	assert_memory_not_equal(i_send, i_receive, 32);
	assert_memory_equal(&pair->i, &wiped, sizeof(wiped));
	assert_memory_equal(&pair->r, &wiped, sizeof(wiped));
}

/* ---- published vectors */

static void vector_init(struct ntm_noise *noise, struct json_object *vector, bool initiator)
{
	uint8_t text[256], own[32], ephemeral[32], remote[32], psk[32];
	size_t len = vectors_hex(vector, initiator ? "init_prologue" : "resp_prologue", text, sizeof(text));
	bool has_psk = json_object_object_get_ex(vector, "init_psks", NULL);

	vectors_hex(vector, initiator ? "init_static" : "resp_static", own, 32);
	vectors_hex(vector, initiator ? "init_ephemeral" : "resp_ephemeral", ephemeral, 32);
	vectors_hex(vector, "init_remote_static", remote, 32);
	if (has_psk) {
		struct json_object *psks = vectors_get(vector, initiator ? "init_psks" : "resp_psks");

		hex(json_object_get_string(json_object_array_get_idx(psks, 0)), psk, 32);
	}
	ntm_noise_init(noise, initiator, has_psk ? psk : NULL, text, len, own, NULL, initiator ? remote : NULL);
	ntm_noise_set_ephemeral(noise, ephemeral);
}

/* Message n of a vector: 0 and 1 are the handshake, the others go by turns under the transport keys. */
static size_t vector_message(struct json_object *vector, size_t n, uint8_t payload[512], uint8_t sealed[512],
			     size_t *ret_payload_len)
{
	struct json_object *message = json_object_array_get_idx(vectors_get(vector, "messages"), n);

	*ret_payload_len = vectors_hex(message, "payload", payload, 512);
	return vectors_hex(message, "ciphertext", sealed, 512);
}

static void vector_handshake(struct json_object *vector, struct ntm_noise *i, struct ntm_noise *r)
{
	uint8_t payload[512], sealed[512], out[512], opened[512];
	uint8_t i_public[32];
	size_t len, sealed_len;

	memcpy(i_public, i->s_pub, 32);
	sealed_len = vector_message(vector, 0, payload, sealed, &len);
	assert_int_equal(ntm_noise_msg1_build(i, payload, len, out), sealed_len);
	assert_memory_equal(out, sealed, sealed_len);
	assert_int_equal(ntm_noise_msg1_parse(r, sealed, sealed_len, opened), len);
	assert_memory_equal(opened, payload, len);
	assert_memory_equal(r->rs, i_public, 32);

	sealed_len = vector_message(vector, 1, payload, sealed, &len);
	assert_int_equal(ntm_noise_msg2_build(r, payload, len, out), sealed_len);
	assert_memory_equal(out, sealed, sealed_len);
	assert_int_equal(ntm_noise_msg2_parse(i, sealed, sealed_len, opened), len);
	assert_memory_equal(opened, payload, len);
}

static void vector_transport(struct json_object *vector, struct ntm_noise *i, struct ntm_noise *r)
{
	uint8_t send[32], receive[32], hash[32], payload[512], sealed[512], out[512], expected_hash[32];
	size_t messages = json_object_array_length(vectors_get(vector, "messages"));
	struct ntm_aead seal[2], open[2]; /* [0]: by the initiator, [1]: by the responder */

	assert_true(messages >= 6);
	vectors_hex(vector, "handshake_hash", expected_hash, 32);
	ntm_noise_split(i, send, receive, hash);
	assert_memory_equal(hash, expected_hash, 32);
	ntm_aead_init(&seal[0], NTM_CIPHER_CHACHA20_POLY1305, send);
	ntm_aead_init(&open[1], NTM_CIPHER_CHACHA20_POLY1305, receive);
	ntm_noise_split(r, send, receive, hash);
	assert_memory_equal(hash, expected_hash, 32);
	ntm_aead_init(&seal[1], NTM_CIPHER_CHACHA20_POLY1305, send);
	ntm_aead_init(&open[0], NTM_CIPHER_CHACHA20_POLY1305, receive);

	for (size_t n = 2; n < messages; n++) {
		uint64_t counter = n / 2 - 1;
		size_t len, sealed_len = vector_message(vector, n, payload, sealed, &len);

		ntm_aead_seal(&seal[n % 2], counter, NULL, 0, payload, len, out);
		assert_int_equal(len + 16, sealed_len);
		assert_memory_equal(out, sealed, sealed_len);
		assert_int_equal(ntm_aead_open(&open[n % 2], counter, NULL, 0, sealed, sealed_len, out), len);
		assert_memory_equal(out, payload, len);
	}
	for (int n = 0; n < 2; n++) {
		ntm_aead_clear(&seal[n]);
		ntm_aead_clear(&open[n]);
	}
}

static void vectors_of(const char *protocol)
{
	struct json_object *vectors = vectors_open("noise_cacophony.json");
	struct json_object *list = vectors_get(vectors, "vectors");
	int found = 0;

	for (size_t n = 0; n < json_object_array_length(list); n++) {
		struct json_object *vector = json_object_array_get_idx(list, n);
		struct ntm_noise i, r;

		if (strcmp(vectors_text(vector, "protocol_name"), protocol))
			continue;
		vector_init(&i, vector, true);
		vector_init(&r, vector, false);
		vector_handshake(vector, &i, &r);
		vector_transport(vector, &i, &r);
		found++;
	}
	json_object_put(vectors);
	assert_true(found > 0);
}

static void ik_writes_and_reads_the_published_messages(void **state)
{
	(void)state;
	vectors_of("Noise_IK_25519_ChaChaPoly_BLAKE2s");
}

static void ikpsk2_writes_and_reads_the_published_messages(void **state)
{
	(void)state;
	vectors_of("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
}

/* ---- handshakes with fresh keys */

static void both_sides_end_with_the_same_keys_at_any_payload_length(void **state)
{
	static const size_t lens[] = {0, 1, 64, 1104, 65535 - NTM_NOISE_MSG1_OVERHEAD};
	static uint8_t payload[65535], msg[65535], opened[65535];

	(void)state;
	ntm_crypto_random(payload, sizeof(payload));
	for (size_t n = 0; n < 2 * sizeof(lens) / sizeof(lens[0]); n++) {
		size_t len = lens[n / 2];
		struct pair pair;

		pair_init(&pair, n % 2);
		assert_int_equal(ntm_noise_msg1_build(&pair.i, payload, len, msg),
				 len + NTM_NOISE_MSG1_OVERHEAD);
		assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, len + NTM_NOISE_MSG1_OVERHEAD, opened),
				 len);
		assert_memory_equal(opened, payload, len);
		assert_memory_equal(pair.r.rs, pair.i_public, 32);
		assert_int_equal(ntm_noise_msg2_build(&pair.r, payload, len, msg),
				 len + NTM_NOISE_MSG2_OVERHEAD);
		assert_int_equal(ntm_noise_msg2_parse(&pair.i, msg, len + NTM_NOISE_MSG2_OVERHEAD, opened),
				 len);
		assert_memory_equal(opened, payload, len);
		pair_split(&pair);
	}
}

static void a_message_longer_than_noise_allows_is_refused(void **state)
{
	static uint8_t payload[65535], msg[65536 + 96], opened[65536];
	struct ntm_noise before;
	struct pair pair;

	(void)state;
	pair_init(&pair, false);
	before = pair.i;
	assert_int_equal(ntm_noise_msg1_build(&pair.i, payload, 65536 - NTM_NOISE_MSG1_OVERHEAD, msg),
			 -EINVAL);
	assert_memory_equal(&pair.i, &before, sizeof(before));
	assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, 65536, opened), -EINVAL);
	assert_int_equal(ntm_noise_msg2_build(&pair.r, payload, 65536 - NTM_NOISE_MSG2_OVERHEAD, msg),
			 -EINVAL);
	assert_int_equal(ntm_noise_msg2_parse(&pair.i, msg, 65536, opened), -EINVAL);
}

static void each_handshake_has_an_ephemeral_key_of_its_own(void **state)
{
	uint8_t a[NTM_NOISE_MSG1_OVERHEAD], b[NTM_NOISE_MSG1_OVERHEAD];
	struct ntm_noise again;
	struct pair pair;

	(void)state;
	pair_init(&pair, false);
	again = pair.i;
	ntm_noise_msg1_build(&pair.i, NULL, 0, a);
	ntm_noise_msg1_build(&again, NULL, 0, b);
	assert_memory_not_equal(a, b, 32);
}

/*
 * Every byte of message 1 damaged in turn, then its length: refused, the responder's state and the payload as
 * promised, and the true message still opens.
 */
static void a_forged_message_1_changes_nothing(void **state)
{
	static const uint8_t zero[20];
	uint8_t msg[NTM_NOISE_MSG1_OVERHEAD + 20], opened[20];
	struct ntm_noise before;
	struct pair pair;

	(void)state;
	for (int psk = 0; psk < 2; psk++) {
		pair_init(&pair, psk);
		before = pair.r;
		assert_int_equal(ntm_noise_msg1_build(&pair.i, "a payload of 20 byte", 20, msg), sizeof(msg));
		for (size_t i = 0; i < sizeof(msg); i++) {
			msg[i] ^= 1;
			assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, sizeof(msg), opened), -EBADMSG);
			if (i >= 80)
				assert_memory_equal(opened, zero, 20);
			assert_memory_equal(&pair.r, &before, sizeof(before));
			msg[i] ^= 1;
		}
		for (size_t len = 0; len < sizeof(msg); len++) {
			assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, len, opened),
					 len < NTM_NOISE_MSG1_OVERHEAD ? -EINVAL : -EBADMSG);
			assert_memory_equal(&pair.r, &before, sizeof(before));
		}
		assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, sizeof(msg), opened), 20);
	}
}

static void a_forged_message_2_changes_nothing(void **state)
{
	uint8_t msg[NTM_NOISE_MSG2_OVERHEAD + 20], first[NTM_NOISE_MSG1_OVERHEAD], opened[20];
	struct ntm_noise before;
	struct pair pair;

	(void)state;
	for (int psk = 0; psk < 2; psk++) {
		pair_init(&pair, psk);
		assert_int_equal(ntm_noise_msg1_build(&pair.i, NULL, 0, first), sizeof(first));
		assert_int_equal(ntm_noise_msg1_parse(&pair.r, first, sizeof(first), opened), 0);
		assert_int_equal(ntm_noise_msg2_build(&pair.r, "a payload of 20 byte", 20, msg), sizeof(msg));
		before = pair.i;
		for (size_t i = 0; i < sizeof(msg); i++) {
			msg[i] ^= 1;
			assert_int_equal(ntm_noise_msg2_parse(&pair.i, msg, sizeof(msg), opened), -EBADMSG);
			assert_memory_equal(&pair.i, &before, sizeof(before));
			msg[i] ^= 1;
		}
		for (size_t len = 0; len < sizeof(msg); len++) {
			assert_int_equal(ntm_noise_msg2_parse(&pair.i, msg, len, opened),
					 len < NTM_NOISE_MSG2_OVERHEAD ? -EINVAL : -EBADMSG);
			assert_memory_equal(&pair.i, &before, sizeof(before));
		}
		assert_int_equal(ntm_noise_msg2_parse(&pair.i, msg, sizeof(msg), opened), 20);
		pair_split(&pair);
	}
}

static void ephemeral_keys_of_small_order_are_refused(void **state)
{
	uint8_t msg[NTM_NOISE_MSG1_OVERHEAD], opened[1];
	struct ntm_noise before;
	struct pair pair;

	(void)state;
	pair_init(&pair, false);
	ntm_noise_msg1_build(&pair.i, NULL, 0, msg);
	memset(msg, 0, 32);
	before = pair.r;
	assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, sizeof(msg), opened), -EBADMSG);
	assert_memory_equal(&pair.r, &before, sizeof(before));
	before = pair.i;
	assert_int_equal(ntm_noise_msg2_parse(&pair.i, msg, NTM_NOISE_MSG2_OVERHEAD, opened), -EBADMSG);
	assert_memory_equal(&pair.i, &before, sizeof(before));
}

static void a_responder_key_of_small_order_is_refused_before_anything_is_written(void **state)
{
	static const uint8_t zero[NTM_NOISE_MSG1_OVERHEAD];
	uint8_t own[32], public_key[32], msg[NTM_NOISE_MSG1_OVERHEAD] = {0};
	struct ntm_noise noise, before;

	(void)state;
	ntm_crypto_keypair(own, public_key);
	ntm_noise_init(&noise, true, NULL, NULL, 0, own, NULL, zero);
	before = noise;
	assert_int_equal(ntm_noise_msg1_build(&noise, NULL, 0, msg), -EINVAL);
	assert_memory_equal(&noise, &before, sizeof(before));
	assert_memory_equal(msg, zero, sizeof(msg));
}

/* What the two sides do not share keeps a message shut. */
static void another_prologue_psk_or_responder_does_not_open(void **state)
{
	uint8_t msg[NTM_NOISE_MSG1_OVERHEAD], second[NTM_NOISE_MSG2_OVERHEAD], opened[1];
	struct pair pair, other;

	(void)state;
	pair_init(&pair, false);
	ntm_noise_msg1_build(&pair.i, NULL, 0, msg);
	ntm_noise_init(&pair.r, false, NULL, prologue, sizeof(prologue) - 1, pair.r_private, NULL, NULL);
	assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, sizeof(msg), opened), -EBADMSG);

	pair_init(&other, false);
	assert_int_equal(ntm_noise_msg1_parse(&other.r, msg, sizeof(msg), opened), -EBADMSG);

	/* the psk comes in with message 2 */
	pair_init(&pair, true);
	pair.r.psk[31] ^= 1;
	ntm_noise_msg1_build(&pair.i, NULL, 0, msg);
	assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, sizeof(msg), opened), 0);
	assert_int_equal(ntm_noise_msg2_build(&pair.r, NULL, 0, second), sizeof(second));
	assert_int_equal(ntm_noise_msg2_parse(&pair.i, second, sizeof(second), opened), -EBADMSG);

	/* IK and IKpsk2 are two protocols from the first message on */
	pair_init(&pair, true);
	ntm_noise_msg1_build(&pair.i, NULL, 0, msg);
	ntm_noise_init(&pair.r, false, NULL, prologue, sizeof(prologue), pair.r_private, NULL, NULL);
	assert_int_equal(ntm_noise_msg1_parse(&pair.r, msg, sizeof(msg), opened), -EBADMSG);
}

static void who_took_the_initiators_public_key_cannot_answer_for_the_responder(void **state)
{
	uint8_t msg[NTM_NOISE_MSG1_OVERHEAD], second[NTM_NOISE_MSG2_OVERHEAD], opened[1];
	struct pair pair, thief;

	(void)state;
	pair_init(&pair, false);
	pair_init(&thief, false);
	ntm_noise_msg1_build(&pair.i, NULL, 0, msg);
	/* all that is public is right: the initiator's keys and the hash so far */
	thief.r = thief.i;
	thief.r.initiator = false;
	memcpy(thief.r.re, msg, 32);
	memcpy(thief.r.rs, pair.i_public, 32);
	memcpy(thief.r.h, pair.i.h, 32);
	assert_int_equal(ntm_noise_msg2_build(&thief.r, NULL, 0, second), sizeof(second));
	assert_int_equal(ntm_noise_msg2_parse(&pair.i, second, sizeof(second), opened), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest noise[] = {
		cmocka_unit_test(ik_writes_and_reads_the_published_messages),
		cmocka_unit_test(ikpsk2_writes_and_reads_the_published_messages),
		cmocka_unit_test(both_sides_end_with_the_same_keys_at_any_payload_length),
		cmocka_unit_test(a_message_longer_than_noise_allows_is_refused),
		cmocka_unit_test(each_handshake_has_an_ephemeral_key_of_its_own),
		cmocka_unit_test(a_forged_message_1_changes_nothing),
		cmocka_unit_test(a_forged_message_2_changes_nothing),
		cmocka_unit_test(ephemeral_keys_of_small_order_are_refused),
		cmocka_unit_test(a_responder_key_of_small_order_is_refused_before_anything_is_written),
		cmocka_unit_test(another_prologue_psk_or_responder_does_not_open),
		cmocka_unit_test(who_took_the_initiators_public_key_cannot_answer_for_the_responder),
	};

	return cmocka_run_group_tests(noise, NULL, NULL);
}
