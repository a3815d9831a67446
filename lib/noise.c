/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * noise.c - the Noise handshakes IK and IKpsk2, as the framework (revision 34) writes them down: a symmetric
 * state (section 5.2) and the handshake's tokens (section 5.3) over it.
 * Below it: crypto.c, aead.c; above it: whoever builds session and tunnel handshake packets.
 *
 * Each message is worked out on a copy of the state, which replaces the state when all of it succeeded.
 */
#include <errno.h>
#include <string.h>

#include "aead.h"
#include "crypto.h"
#include "noise.h"

#define MESSAGE_MAX 65535 /* Noise, section 3 */
#define KEY_SEALED (NTM_KEY_LEN + NTM_TAG_LEN)

/* ---- symmetric state: ck, h, k and nonce */

static void mix_hash(struct ntm_noise *noise, const void *data, size_t len)
{
	struct iovec part[] = {{noise->h, sizeof(noise->h)}, {(void *)data, len}};

	ntm_crypto_hash(noise->h, part, 2);
}

static void mix_key(struct ntm_noise *noise, const void *input, size_t len)
{
	ntm_crypto_hkdf(noise->ck, noise->k, NULL, noise->ck, input, len);
	noise->has_key = true;
	noise->nonce = 0;
}

static void mix_key_and_hash(struct ntm_noise *noise, const void *input, size_t len)
{
	uint8_t temp[NTM_KEY_LEN];

	ntm_crypto_hkdf(noise->ck, temp, noise->k, noise->ck, input, len);
	mix_hash(noise, temp, sizeof(temp));
	noise->has_key = true;
	noise->nonce = 0;
	ntm_crypto_wipe(temp, sizeof(temp));
}

/*
 * out gets len + 16 bytes. Noise sends plain text before there is a key; neither pattern here comes to that,
 * so that a call out of order must not do it either.
 */
static void encrypt_and_hash(struct ntm_noise *noise, const void *text, size_t len, uint8_t *out)
{
	if (!noise->has_key)
		ntm_crypto_broken("a handshake message out of order");
	ntm_aead_seal_once(noise->k, noise->nonce++, noise->h, sizeof(noise->h), text, len, out);
	mix_hash(noise, out, len + NTM_TAG_LEN);
}

/* ret_text gets len - 16 bytes; returns that or -EBADMSG. */
static int decrypt_and_hash(struct ntm_noise *noise, const uint8_t *sealed, size_t len, void *ret_text)
{
	int n;

	if (!noise->has_key)
		return -EBADMSG;
	n = ntm_aead_open_once(noise->k, noise->nonce, noise->h, sizeof(noise->h), sealed, len, ret_text);
	if (n < 0)
		return -EBADMSG;
	noise->nonce++;
	mix_hash(noise, sealed, len);
	return n;
}

/* ---- tokens */

/* "e", both ways: with a psk an ephemeral key is mixed into ck too (section 9.2). */
static void token_e(struct ntm_noise *noise, const uint8_t public_key[NTM_KEY_LEN])
{
	mix_hash(noise, public_key, NTM_KEY_LEN);
	if (noise->has_psk)
		mix_key(noise, public_key, NTM_KEY_LEN);
}

/* "es", "ss", "ee", "se": 0, or -EINVAL for a public key of small order. */
static int token_dh(struct ntm_noise *noise, const uint8_t private_key[NTM_KEY_LEN],
		    const uint8_t public_key[NTM_KEY_LEN])
{
	uint8_t shared[NTM_KEY_LEN];
	int r = ntm_crypto_shared(shared, private_key, public_key);

	if (!r)
		mix_key(noise, shared, sizeof(shared));
	ntm_crypto_wipe(shared, sizeof(shared));
	return r;
}

static void token_psk(struct ntm_noise *noise)
{
	if (noise->has_psk)
		mix_key_and_hash(noise, noise->psk, sizeof(noise->psk));
}

/* Takes over the state that a message led to, if it did, and wipes the copy. Returns r. */
static int finish(struct ntm_noise *noise, struct ntm_noise *next, int r)
{
	if (r >= 0)
		*noise = *next;
	ntm_noise_wipe(next);
	return r;
}

static void ephemeral_make(struct ntm_noise *noise)
{
	static const uint8_t none[NTM_KEY_LEN];

	if (!memcmp(noise->e_pub, none, sizeof(none)))
		ntm_crypto_keypair(noise->e, noise->e_pub);
}

/* ---- handshake state */

void ntm_noise_init(struct ntm_noise *noise, bool initiator, const uint8_t *psk, const void *prologue,
		    size_t prologue_len, const uint8_t private_key[NTM_KEY_LEN], const uint8_t *public_key,
		    const uint8_t *remote_static)
{
	const char *name =
		psk ? "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s" : "Noise_IK_25519_ChaChaPoly_BLAKE2s";
	struct iovec part = {(void *)name, strlen(name)};

	memset(noise, 0, sizeof(*noise));
	noise->initiator = initiator;
	if (psk) {
		noise->has_psk = true;
		memcpy(noise->psk, psk, sizeof(noise->psk));
	}
	memcpy(noise->s, private_key, sizeof(noise->s));
	if (public_key)
		memcpy(noise->s_pub, public_key, sizeof(noise->s_pub));
	else
		ntm_crypto_public(noise->s_pub, noise->s);
	if (remote_static)
		memcpy(noise->rs, remote_static, sizeof(noise->rs));

	/* both names are longer than a hash, so h begins with their hash */
	ntm_crypto_hash(noise->h, &part, 1);
	memcpy(noise->ck, noise->h, sizeof(noise->ck));
	mix_hash(noise, prologue, prologue_len);
	mix_hash(noise, initiator ? noise->rs : noise->s_pub, NTM_KEY_LEN); /* <- s */
}

void ntm_noise_set_ephemeral(struct ntm_noise *noise, const uint8_t private_key[NTM_KEY_LEN])
{
	memcpy(noise->e, private_key, sizeof(noise->e));
	ntm_crypto_public(noise->e_pub, noise->e);
}

/* -> e, es, s, ss, payload */
int ntm_noise_msg1_build(struct ntm_noise *noise, const void *payload, size_t len, void *out)
{
	struct ntm_noise next = *noise;
	uint8_t *p = out;
	int r = -EINVAL;

	if (len > MESSAGE_MAX - NTM_NOISE_MSG1_OVERHEAD)
		goto out;
	ephemeral_make(&next);
	token_e(&next, next.e_pub);
	r = token_dh(&next, next.e, next.rs);
	if (r < 0)
		goto out;
	memcpy(p, next.e_pub, NTM_KEY_LEN);
	encrypt_and_hash(&next, next.s_pub, NTM_KEY_LEN, p + NTM_KEY_LEN);
	/* cannot fail: whether a public key is of small order was found out above */
	r = token_dh(&next, next.s, next.rs);
	if (r < 0)
		goto out;
	encrypt_and_hash(&next, payload, len, p + NTM_KEY_LEN + KEY_SEALED);
	r = (int)len + NTM_NOISE_MSG1_OVERHEAD;
out:
	return finish(noise, &next, r);
}

int ntm_noise_msg1_parse(struct ntm_noise *noise, const void *msg, size_t len, void *ret_payload)
{
	struct ntm_noise next = *noise;
	const uint8_t *p = msg;
	int r = -EINVAL;

	if (len < NTM_NOISE_MSG1_OVERHEAD || len > MESSAGE_MAX)
		goto out;
	r = -EBADMSG;
	memcpy(next.re, p, NTM_KEY_LEN);
	token_e(&next, next.re);
	if (token_dh(&next, next.s, next.re) < 0)
		goto out;
	if (decrypt_and_hash(&next, p + NTM_KEY_LEN, KEY_SEALED, next.rs) < 0)
		goto out;
	if (token_dh(&next, next.s, next.rs) < 0)
		goto out;
	p += NTM_KEY_LEN + KEY_SEALED;
	len -= NTM_KEY_LEN + KEY_SEALED;
	r = decrypt_and_hash(&next, p, len, ret_payload);
	if (r < 0)
		ntm_crypto_wipe(ret_payload, len - NTM_TAG_LEN);
out:
	return finish(noise, &next, r);
}

/* <- e, ee, se [, psk], payload */
int ntm_noise_msg2_build(struct ntm_noise *noise, const void *payload, size_t len, void *out)
{
	struct ntm_noise next = *noise;
	uint8_t *p = out;
	int r = -EINVAL;

	if (len > MESSAGE_MAX - NTM_NOISE_MSG2_OVERHEAD)
		goto out;
	ephemeral_make(&next);
	token_e(&next, next.e_pub);
	r = token_dh(&next, next.e, next.re);
	if (r < 0)
		goto out;
	r = token_dh(&next, next.e, next.rs);
	if (r < 0)
		goto out;
	token_psk(&next);
	memcpy(p, next.e_pub, NTM_KEY_LEN);
	encrypt_and_hash(&next, payload, len, p + NTM_KEY_LEN);
	r = (int)len + NTM_NOISE_MSG2_OVERHEAD;
out:
	return finish(noise, &next, r);
}

int ntm_noise_msg2_parse(struct ntm_noise *noise, const void *msg, size_t len, void *ret_payload)
{
	struct ntm_noise next = *noise;
	const uint8_t *p = msg;
	int r = -EINVAL;

	if (len < NTM_NOISE_MSG2_OVERHEAD || len > MESSAGE_MAX)
		goto out;
	r = -EBADMSG;
	memcpy(next.re, p, NTM_KEY_LEN);
	token_e(&next, next.re);
	if (token_dh(&next, next.e, next.re) < 0 || token_dh(&next, next.s, next.re) < 0)
		goto out;
	token_psk(&next);
	p += NTM_KEY_LEN;
	len -= NTM_KEY_LEN;
	r = decrypt_and_hash(&next, p, len, ret_payload);
	if (r < 0)
		ntm_crypto_wipe(ret_payload, len - NTM_TAG_LEN);
out:
	return finish(noise, &next, r);
}

void ntm_noise_split(struct ntm_noise *noise, uint8_t ret_send[NTM_KEY_LEN], uint8_t ret_receive[NTM_KEY_LEN],
		     uint8_t *ret_hash)
{
	uint8_t *first = noise->initiator ? ret_send : ret_receive;
	uint8_t *second = noise->initiator ? ret_receive : ret_send;

	ntm_crypto_hkdf(first, second, NULL, noise->ck, NULL, 0);
	if (ret_hash)
		memcpy(ret_hash, noise->h, sizeof(noise->h));
	ntm_noise_wipe(noise);
}

void ntm_noise_wipe(struct ntm_noise *noise)
{
	ntm_crypto_wipe(noise, sizeof(*noise));
}
