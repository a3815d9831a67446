/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tunnel.c - Tunnel Request, Response and Probe (paper A, section II.C.4): a Noise IKpsk2 handshake between
 * the two ends, with the DC's common key CK as the pre-shared key. Side 0 sends Requests, on every usable way
 * at once; side 1 answers, and asks for one by a Probe. Keys: session_keys.c; payloads: lib/msg_tunnel.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ntm/drop.h>

#include "cipher.h"
#include "cookie.h"
#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"
#include "stats.h"

#define PAYLOAD_MAX 96
#define PROLOGUE_MAX (4 + NTM_HEADER_LEN + 2 * (NTM_FQDN_MAX + 1 + 4 + 16))
#define PROBE_PAUSE_MS 100 /* a probe makes side 0 send again, but not more often than this */
#define PROBE_LATE_MS 1000 /* keys younger than this answer a probe that was late */

struct ntmd_tunnel {
	struct ntm_transaction transaction;
	/* side 0 */
	struct ntm_noise noise;
	uint64_t number; /* transaction in the header */
	unsigned phase;
	uint8_t packet[NTM_HEADER_LEN + NTM_NOISE_MSG1_OVERHEAD + PAYLOAD_MAX + NTM_HANDSHAKE_MACS];
	size_t len; /* without the MACs */
	uint8_t cookie[NTM_MAC_LEN];
	bool has_cookie;
	int64_t probed_ms;
};

static size_t name_put(uint8_t *out, const char *fqdn, const struct ntm_addr *vip4,
		       const struct ntm_addr *vip6)
{
	size_t len = strlen(fqdn) + 1;

	memcpy(out, fqdn, len);
	memcpy(out + len, vip4->b + 12, 4);
	memcpy(out + len + 4, vip6->b, 16);
	return len + 20;
}

/* "NTM1" | header of the request | FQDN 0 VIP4 VIP6 of side 0 | the same of side 1 */
static size_t prologue_make(const struct ntmd_path *path, const void *header, uint8_t out[PROLOGUE_MAX])
{
	const struct ntmd *ntmd = path->ntmd;
	const struct ntmd_cn *cn = path->cn;
	size_t len = 4 + NTM_HEADER_LEN;

	memcpy(out, NTM_PROLOGUE, 4);
	memcpy(out + 4, header, NTM_HEADER_LEN);
	for (int side = 0; side < 2; side++)
		len += side == (int)path->side ? name_put(out + len, ntmd->config.fqdn,
							  &ntmd->registration.vip4, &ntmd->registration.vip6)
					       : name_put(out + len, cn->fqdn, &cn->vip4, &cn->vip6);
	return len;
}

static void mac1_key_make(const struct ntmd_path *path, uint8_t out[NTM_KEY_LEN])
{
	ntm_crypto_derive(out, path->ck, "mac1", NULL, 0);
}

/* No cipher in common: what a user must know to mend it, in the words of the side that it is said at. */
static void ciphers_differ(const struct ntmd_path *path, uint32_t peer, char text[NTM_TEXT_MAX + 1])
{
	char theirs[NTM_CIPHERS_TEXT], ours[NTM_CIPHERS_TEXT];

	snprintf(text, NTM_TEXT_MAX + 1,
		 "the peer allows only %s for bulk data, this node only %s ([datapath] cipher)",
		 ntm_cipher_list(peer, theirs), ntm_cipher_list(path->ntmd->ciphers, ours));
}

/* ---- sending, again and again */

static void way_send(struct ntmd_path *path, struct ntmd_route *route, void *arg)
{
	const struct iovec *packet = arg;

	(void)path;
	ntm_udp_send(&route->flow, packet->iov_base, packet->iov_len);
}

static void everywhere_send(struct ntmd_path *path, void *packet, size_t len)
{
	struct iovec part = { packet, len };

	if (path->state == NTMD_PATH_UP && path->active >= 0) {
		way_send(path, path->route[path->active], &part);
		if (path->second >= 0)
			way_send(path, path->route[path->second], &part);
		return;
	}
	ntmd_route_each_usable(path, way_send, &part);
}

static void request_send(struct ntm_transaction *transaction, void *arg)
{
	struct ntmd_path *path = arg;
	struct ntmd_tunnel *tunnel = path->tunnel;
	uint8_t mac1_key[NTM_KEY_LEN];

	(void)transaction;
	mac1_key_make(path, mac1_key);
	ntm_cookie_macs_add(tunnel->packet, tunnel->len, mac1_key,
			    tunnel->has_cookie ? tunnel->cookie : NULL);
	everywhere_send(path, tunnel->packet, tunnel->len + NTM_HANDSHAKE_MACS);
	ntm_crypto_wipe(mac1_key, sizeof(mac1_key));
}

static void probe_send(struct ntm_transaction *transaction, void *arg)
{
	struct ntmd_path *path = arg;
	uint8_t key[NTM_KEY_LEN];
	struct ntm_probe probe;

	(void)transaction;
	if (path->refused)
		return; /* it would only be asked again */
	ntm_header_set(&probe.h, NTM_TYPE_TUNNEL_PROBE, ntmd_counter_next(path->ntmd), path->id);
	ntm_crypto_derive(key, path->ck, "probe", NULL, 0);
	ntm_crypto_mac(probe.mac, sizeof(probe.mac), key, &probe.h, sizeof(probe.h));
	ntm_crypto_wipe(key, sizeof(key));
	everywhere_send(path, &probe, sizeof(probe));
}

static void timed_out(struct ntm_transaction *transaction, void *arg)
{
	struct ntmd_path *path = arg;
	struct ntmd_cn *cn = path->cn;
	bool requested = path->side == NTM_SIDE_REQUESTER;
	char why[NTM_TEXT_MAX + 1] = "the peer does not answer on any route";

	(void)transaction;
	ntmd_tunnel_free(path);
	if (path->state == NTMD_PATH_UP && path->phase >= 0)
		return; /* the keys it has are good to their hard limit; the next tick tries again */
	if (path->refused)
		ciphers_differ(path, path->peer_ciphers, why);
	else
		ntm_info("no answer from %s to the handshake", cn->fqdn);
	/* Side 1, too: somebody may wait for the tunnel that the peer began. */
	if (cn->path == path && (requested || !cn->direction))
		ntmd_direction_failed(cn, why);
	ntmd_path_free(path, true);
}

static int request_build(struct ntmd_path *path, struct ntmd_tunnel *tunnel)
{
	struct ntmd *ntmd = path->ntmd;
	struct ntm_tunnel_request request = {
		.version = NTM_VERSION_1,
		/* At first any: the other end may still have keys of a phase that we have lost. */
		.phase = (uint8_t)(path->phase < 0 ? ntm_crypto_random_below(NTM_TYPE_PHASES) :
						     (unsigned)(path->phase + 1) % NTM_TYPE_PHASES),
		.ciphers = ntmd->ciphers,
		.mtu = (uint16_t)ntmd->mtu,
	};
	uint8_t payload[PAYLOAD_MAX], prologue[PROLOGUE_MAX];
	size_t prologue_len;
	int n;

	tunnel->phase = request.phase;
	tunnel->number = ntmd_counter_next(path->ntmd); /* grows: side 1 takes no older one */
	ntm_session_reset_token(&ntmd->sessions, path->id, request.reset_token);
	n = ntm_msg_tunnel_request_build(payload, sizeof(payload), &request);
	if (n < 0)
		return n;
	ntm_header_set((struct ntm_header *)tunnel->packet, NTM_TYPE_TUNNEL_REQUEST, tunnel->number,
		       path->id);
	prologue_len = prologue_make(path, tunnel->packet, prologue);
	ntm_noise_init(&tunnel->noise, true, path->ck, prologue, prologue_len, ntmd->sessions.private_key,
		       ntmd->sessions.public_key, path->cn->public_key);
	n = ntm_noise_msg1_build(&tunnel->noise, payload, (size_t)n, tunnel->packet + NTM_HEADER_LEN);
	if (n < 0)
		return n;
	tunnel->len = NTM_HEADER_LEN + (size_t)n;
	return 0;
}

void ntmd_tunnel_start(struct ntmd_path *path)
{
	struct ntmd_tunnel *tunnel;
	bool requester = path->side == NTM_SIDE_REQUESTER;

	ntmd_tunnel_free(path); /* CK or the routes may have changed: from the start */
	tunnel = calloc(1, sizeof(*tunnel));
	if (!tunnel)
		return;
	if (ntm_transaction_init(&tunnel->transaction, path->ntmd->loop.base, &path->rtt,
				 requester ? request_send : probe_send, timed_out, path) ||
	    (requester && request_build(path, tunnel))) {
		ntm_transaction_clear(&tunnel->transaction);
		free(tunnel);
		return;
	}
	path->tunnel = tunnel;
	if (path->state == NTMD_PATH_DIRECTED)
		path->state = NTMD_PATH_HANDSHAKE;
	ntm_transaction_start(&tunnel->transaction, NTM_HANDSHAKE_TIMEOUT_MS);
}

void ntmd_tunnel_kick(struct ntmd_path *path)
{
	if (path->tunnel)
		ntm_transaction_kick(&path->tunnel->transaction);
}

void ntmd_tunnel_free(struct ntmd_path *path)
{
	struct ntmd_tunnel *tunnel = path->tunnel;

	if (!tunnel)
		return;
	path->tunnel = NULL;
	ntm_transaction_clear(&tunnel->transaction);
	ntm_crypto_wipe(tunnel, sizeof(*tunnel));
	free(tunnel);
}

/* A copy of its request is a replay from then on. */
void ntmd_tunnel_rest(struct ntmd_path *path)
{
	if (path->phase < 0 ||
	    ntm_loop_now_ms() - path->keys[path->phase]->created_ms < 2 * NTM_HANDSHAKE_TIMEOUT_MS)
		return;
	free(path->answer);
	path->answer = NULL;
}

/* ---- side 1: Request in, Response out */

static void answer_send(struct ntmd_path *path, const struct ntm_flow *to)
{
	path->answer_to = to->remote;
	ntm_udp_send(to, path->answer, path->answer_len);
}

/* Opens the request; 0 or negative drop reason. */
static int request_open(struct ntmd_path *path, struct ntm_noise *noise, const uint8_t *packet, size_t len,
			struct ntm_tunnel_request *ret_request)
{
	uint8_t prologue[PROLOGUE_MAX], payload[NTM_CONTROL_MAX];
	size_t prologue_len = prologue_make(path, packet, prologue);
	int n;

	ntm_noise_init(noise, false, path->ck, prologue, prologue_len, path->ntmd->sessions.private_key,
		       path->ntmd->sessions.public_key, NULL);
	n = ntm_noise_msg1_parse(noise, packet + NTM_HEADER_LEN, len - NTM_HEADER_LEN - NTM_HANDSHAKE_MACS,
				 payload);
	if (n < 0)
		return -NTM_DROP_HANDSHAKE;
	if (!ntm_crypto_equal(noise->rs, path->cn->public_key, NTM_KEY_LEN))
		return -NTM_DROP_STRANGER;
	n = ntm_msg_tunnel_request_parse(ret_request, payload, (size_t)n);
	if (n < 0)
		return n;
	if (ntm_header_counter((const struct ntm_header *)packet) <= path->request_seen)
		return -NTM_DROP_REPLAY;
	if (ret_request->version != NTM_VERSION_1 || ret_request->phase == path->phase)
		return -NTM_DROP_FIELD_VALUE;
	path->request_seen = ntm_header_counter((const struct ntm_header *)packet);
	return 0;
}

/*
 * Builds the answer, installs the keys: nothing is sealed under them before a packet under them has opened.
 * -NTM_DROP_CIPHER: there is an answer, which refuses.
 */
static int request_answer(struct ntmd_path *path, struct ntm_noise *noise, const uint8_t *packet,
			  const struct ntm_tunnel_request *request)
{
	const struct ntm_header *header = (const struct ntm_header *)packet;
	struct ntm_tunnel_response response = { .mtu = (uint16_t)path->ntmd->mtu };
	uint8_t payload[PAYLOAD_MAX], mac1_key[NTM_KEY_LEN], send[NTM_KEY_LEN], receive[NTM_KEY_LEN], *answer;
	int cipher = ntm_cipher_choose(request->ciphers, path->ntmd->ciphers), n;

	if (cipher >= 0) {
		response.cipher = (uint8_t)cipher;
	} else {
		response.error = NTM_ERROR_CIPHER;
		response.ciphers = path->ntmd->ciphers;
	}
	ntm_session_reset_token(&path->ntmd->sessions, path->id, response.reset_token);
	n = ntm_msg_tunnel_response_build(payload, sizeof(payload), &response);
	answer = malloc(NTM_HEADER_LEN + NTM_NOISE_MSG2_OVERHEAD + PAYLOAD_MAX + NTM_HANDSHAKE_MACS);
	if (!answer)
		return -NTM_DROP_LIMIT;
	ntm_header_set((struct ntm_header *)answer, NTM_TYPE_TUNNEL_RESPONSE, ntm_header_counter(header),
		       path->id);
	n = ntm_noise_msg2_build(noise, payload, (size_t)n, answer + NTM_HEADER_LEN);
	if (n < 0) {
		free(answer);
		return -NTM_DROP_HANDSHAKE;
	}
	if (cipher >= 0) {
		ntm_noise_split(noise, send, receive, NULL);
		if (ntmd_session_keys_set(path, request->phase, (enum ntm_cipher)cipher, send, receive)) {
			free(answer);
			return -NTM_DROP_LIMIT;
		}
	}
	mac1_key_make(path, mac1_key);
	ntm_cookie_macs_add(answer, NTM_HEADER_LEN + (size_t)n, mac1_key, NULL);
	ntm_crypto_wipe(mac1_key, sizeof(mac1_key));
	free(path->answer);
	path->answer = answer;
	path->answer_len = NTM_HEADER_LEN + (size_t)n + NTM_HANDSHAKE_MACS;
	memcpy(path->answered, packet + NTM_HEADER_LEN, NTM_KEY_LEN);
	path->refused = cipher < 0;
	path->peer_ciphers = request->ciphers;
	if (path->refused)
		return -NTM_DROP_CIPHER;
	memcpy(path->peer_token, request->reset_token, NTM_MAC_LEN);
	path->has_token = true;
	path->peer_mtu = request->mtu;
	ntmd_path_mtu_apply(path);
	return 0;
}

int ntmd_tunnel_request_receive(struct ntmd *ntmd, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct ntmd_path *path;
	uint8_t mac1_key[NTM_KEY_LEN];
	struct ntm_tunnel_request request;
	struct ntm_noise noise;
	bool by_relay, ok;
	int n;

	if (len < NTM_HANDSHAKE1_MIN)
		return -NTM_DROP_SHORT;
	if (len > NTM_CONTROL_MAX)
		return -NTM_DROP_LONG;
	path = ntmd_path_find(ntmd, ntm_header_id((const struct ntm_header *)packet));
	if (!path)
		return -NTM_DROP_PATH_UNKNOWN; /* unanswered: its Route Direction may be on the way */
	if (path->side != NTM_SIDE_OTHER)
		return -NTM_DROP_SIDE;
	mac1_key_make(path, mac1_key);
	ok = ntm_cookie_mac1_ok(packet, len, mac1_key);
	ntm_crypto_wipe(mac1_key, sizeof(mac1_key));
	if (!ok)
		return -NTM_DROP_MAC1;
	if (path->answer && !memcmp(path->answered, packet + NTM_HEADER_LEN, NTM_KEY_LEN)) {
		answer_send(path, from); /* the same request by another way, or its answer was lost */
		return 0;
	}
	by_relay = path->bind.relay && ntm_endpoint_equal(&path->bind.relay->endpoint, &from->remote);
	n = ntm_session_handshake_admit(&ntmd->sessions, from, by_relay ? path->id : 0, packet, len);
	if (n)
		return n;
	n = request_open(path, &noise, packet, len, &request);
	if (!n)
		n = request_answer(path, &noise, packet, &request);
	ntm_noise_wipe(&noise);
	if (n == -NTM_DROP_CIPHER) {
		char why[NTM_TEXT_MAX + 1];

		ciphers_differ(path, request.ciphers, why);
		ntm_warn("refused a tunnel with %s: %s", path->cn->fqdn, why);
		ntmd_attach_inherited_end(path->cn);
		answer_send(path, from); /* again for each copy of the request, until timed_out() */
		return n;
	}
	if (n)
		return n;
	ntmd_tunnel_free(path); /* the probes have done their work */
	answer_send(path, from);
	return 0;
}

/* ---- side 0: Response in */

/* The answer is authentic, and no. */
static int response_refused(struct ntmd_path *path, const struct ntm_tunnel_response *response)
{
	struct ntmd_cn *cn = path->cn;
	char why[NTM_TEXT_MAX + 1];

	if (response->error == NTM_ERROR_CIPHER)
		ciphers_differ(path, response->ciphers, why);
	else
		snprintf(why, sizeof(why), "the peer refuses the tunnel: %s",
			 ntm_error_text(response->error));
	ntm_warn("%s refused a tunnel: %s", cn->fqdn, why);
	ntmd_attach_inherited_end(cn);
	if (cn->path == path)
		ntmd_direction_failed(cn, why);
	ntmd_path_free(path, true);
	return response->error == NTM_ERROR_CIPHER ? -NTM_DROP_CIPHER : -NTM_DROP_HANDSHAKE;
}

int ntmd_tunnel_response_receive(struct ntmd *ntmd, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	const struct ntm_header *header = (const struct ntm_header *)packet;
	uint8_t payload[NTM_CONTROL_MAX], mac1_key[NTM_KEY_LEN], send[NTM_KEY_LEN], receive[NTM_KEY_LEN];
	struct ntmd_path *path = ntmd_path_find(ntmd, ntm_header_id(header));
	struct ntm_tunnel_response response;
	struct ntmd_tunnel *tunnel;
	struct ntmd_route *route;
	unsigned phase;
	bool ok;
	int n;

	if (len < NTM_HANDSHAKE2_MIN)
		return -NTM_DROP_SHORT;
	if (len > NTM_CONTROL_MAX)
		return -NTM_DROP_LONG;
	if (!path)
		return -NTM_DROP_PATH_UNKNOWN;
	tunnel = path->tunnel;
	if (path->side != NTM_SIDE_REQUESTER || !tunnel || tunnel->number != ntm_header_counter(header))
		return -NTM_DROP_UNMATCHED; /* a second copy, by another way */
	mac1_key_make(path, mac1_key);
	ok = ntm_cookie_mac1_ok(packet, len, mac1_key);
	ntm_crypto_wipe(mac1_key, sizeof(mac1_key));
	if (!ok)
		return -NTM_DROP_MAC1;
	n = ntm_noise_msg2_parse(&tunnel->noise, packet + NTM_HEADER_LEN,
				 len - NTM_HEADER_LEN - NTM_HANDSHAKE_MACS, payload);
	if (n < 0)
		return -NTM_DROP_HANDSHAKE;
	n = ntm_msg_tunnel_response_parse(&response, payload, (size_t)n);
	if (n < 0)
		return n;
	if (response.error)
		return response_refused(path, &response);
	if (!(ntmd->ciphers & 1u << response.cipher))
		return -NTM_DROP_FIELD_VALUE;
	phase = tunnel->phase;
	ntm_noise_split(&tunnel->noise, send, receive, NULL);
	ntm_transaction_answered(&tunnel->transaction);
	ntmd_tunnel_free(path);
	if (ntmd_session_keys_set(path, phase, (enum ntm_cipher)response.cipher, send, receive))
		return -NTM_DROP_LIMIT;
	memcpy(path->peer_token, response.reset_token, NTM_MAC_LEN);
	path->has_token = true;
	path->peer_mtu = response.mtu;
	ntmd_path_mtu_apply(path);
	ntmd_session_keys_use(path, phase);
	/* A way we asked by and were answered by works; another one the answer may have been copied to. */
	route = ntmd_route_find(path, from);
	if (!route)
		ntmd_route_seen(path, from);
	else if (path->state != NTMD_PATH_UP)
		ntmd_route_proven(path, route);
	ntmd_path_up(path);
	/* Also the first packets under the new keys, which side 1 waits for. */
	if (route)
		ntmd_route_challenge(path, route);
	ntmd_route_probe(path);
	ntmd_route_select(path);
	return 0;
}

int ntmd_tunnel_probe_receive(struct ntmd *ntmd, const struct ntm_flow *from, const uint8_t *packet,
			      size_t len)
{
	const struct ntm_probe *probe = (const struct ntm_probe *)packet;
	uint8_t key[NTM_KEY_LEN], mac[NTM_MAC_LEN];
	struct ntmd_path *path;

	if (len != sizeof(*probe))
		return len < sizeof(*probe) ? -NTM_DROP_SHORT : -NTM_DROP_LONG;
	path = ntmd_path_find(ntmd, ntm_header_id(&probe->h));
	if (!path)
		return -NTM_DROP_PATH_UNKNOWN;
	if (path->side != NTM_SIDE_REQUESTER)
		return -NTM_DROP_SIDE;
	ntm_crypto_derive(key, path->ck, "probe", NULL, 0);
	ntm_crypto_mac(mac, sizeof(mac), key, &probe->h, sizeof(probe->h));
	ntm_crypto_wipe(key, sizeof(key));
	if (!ntm_crypto_equal(mac, probe->mac, sizeof(mac)))
		return -NTM_DROP_AUTH;
	if (ntm_header_counter(&probe->h) <= path->probe_counter)
		return -NTM_DROP_REPLAY;
	path->probe_counter = ntm_header_counter(&probe->h);
	ntmd_route_seen(path, from);
	if (ntm_loop_now_ms() - path->probe_ms < PROBE_PAUSE_MS ||
	    (path->phase >= 0 && ntm_loop_now_ms() - path->keys[path->phase]->created_ms < PROBE_LATE_MS))
		return 0;
	path->probe_ms = ntm_loop_now_ms();
	if (path->tunnel)
		ntmd_tunnel_kick(path);
	else
		ntmd_tunnel_start(path);
	return 0;
}

int ntmd_tunnel_cookie_receive(struct ntmd *ntmd, const uint8_t *packet, size_t len)
{
	const struct ntm_cookie_packet *cookie = (const struct ntm_cookie_packet *)packet;
	struct ntmd_path *path;
	struct ntmd_tunnel *tunnel;

	if (len != sizeof(*cookie))
		return len < sizeof(*cookie) ? -NTM_DROP_SHORT : -NTM_DROP_LONG;
	path = ntmd_path_find(ntmd, ntm_header_id(&cookie->h));
	tunnel = path ? path->tunnel : NULL;
	if (!tunnel || tunnel->number != ntm_header_counter(&cookie->h) || path->side != NTM_SIDE_REQUESTER)
		return -NTM_DROP_UNMATCHED;
	memcpy(tunnel->cookie, cookie->cookie, NTM_MAC_LEN);
	/* A later one goes with the next try: the receiver is busy, or it is forged */
	if (!tunnel->has_cookie) {
		tunnel->has_cookie = true;
		ntmd_tunnel_kick(path);
	}
	return 0;
}
