/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_train.c - trains of sealed packets: user_egress.c seals one packet after the other into them, one
 * system call sends many (ntm_udp_send_train), and what happens to those that cannot be sent is decided here.
 *
 * A train holds packets of one path, sealed under one key, in the order of their counters; all but the last
 * have one size. It does not keep their plaintext. Where that is needed again (a failure, so rarely), the
 * packet is opened with the key that sealed it.
 */
#include <errno.h>
#include <string.h>

#include "daemon/inner.h"
#include "daemon/user_engine.h"
#include "endpoint.h"
#include "netlink.h"
#include "stats.h"

#define OUTER4_LEN 28 /* IPv4 and UDP headers: bytes */
#define OUTER6_LEN 48

/* ---- filling */

static struct ntmd_user_train *train_of(const struct ntmd_engine_path *path)
{
	struct ntmd_engine *engine = path->engine;

	for (unsigned i = 0; i < NTMD_USER_TRAINS; i++)
		if (engine->train[i].path == path && !engine->train[i].going)
			return &engine->train[i];
	return NULL;
}

static int train_send(struct ntmd_user_train *train, bool hold);

/* An empty one; if all are in use, they go in turn. At most one is going. */
static struct ntmd_user_train *train_empty(struct ntmd_engine *engine)
{
	struct ntmd_user_train *train;

	for (unsigned i = 0; i < NTMD_USER_TRAINS; i++)
		if (!engine->train[i].path)
			return &engine->train[i];
	do {
		train = &engine->train[engine->train_next];
		engine->train_next = (engine->train_next + 1) % NTMD_USER_TRAINS;
	} while (train->going);
	train_send(train, true);
	return train;
}

static bool fits(const struct ntmd_user_train *train, const struct ntmd_user_lane *keys, enum ntm_lane lane,
		 size_t len)
{
	return train->keys == keys && train->lane == lane && len <= train->size &&
	       train->len == train->count * train->size && train->count < ntm_udp_segments_max() &&
	       train->len + len <= NTM_UDP_DATAGRAM_MAX;
}

uint8_t *ntmd_user_train_add(struct ntmd_engine_path *path, struct ntmd_user_lane *keys, enum ntm_lane lane,
			     size_t len)
{
	struct ntmd_user_train *train = train_of(path);
	uint8_t *at;

	if (train && !fits(train, keys, lane, len)) {
		if (train_send(train, true))
			return NULL;
		train = NULL;
	}
	if (!train) {
		train = train_empty(path->engine);
		train->path = path;
		train->keys = keys;
		train->lane = lane;
		train->count = 0;
		train->size = len;
		train->len = 0;
	}
	at = train->data + train->len;
	train->count++;
	train->len += len;
	return at;
}

/* ---- sending */

static bool to_route(const struct ntmd_engine_path *path, size_t len)
{
	/* The kernel counts its half */
	uint64_t most = path->kernel ? path->unproven_bytes / 2 : path->unproven_bytes;

	return path->has_route && (!path->unproven_bytes || path->unproven_sent + len <= most);
}

bool ntmd_user_train_takes(const struct ntmd_engine_path *path, const struct ntmd_user_lane *keys,
			   enum ntm_lane lane, size_t len)
{
	const struct ntmd_user_train *train = train_of(path);

	if (!train)
		return ntmd_user_train_allowed(path, len);
	return fits(train, keys, lane, len) && to_route(path, train->len) == to_route(path, train->len + len);
}

bool ntmd_user_train_allowed(const struct ntmd_engine_path *path, size_t len)
{
	return path->has_second || to_route(path, len);
}

static void failure_note(struct ntmd_engine_path *path, int err)
{
	if (path->failed_told)
		return;
	path->failed_told = true;
	path->failed_err = -err;
	path->notes |= NTMD_USER_NOTE_FAILED;
}

/* Neither for size nor for lack of room now: the route itself is bad. */
static bool route_failed(int err)
{
	return err && err != -EMSGSIZE && err != -EAGAIN && err != -ENOBUFS && err != -ENOMEM;
}

/* What of a train goes out next. */
struct rest {
	const uint8_t *data;
	size_t len, size;
};

static int flow_send(struct ntmd_engine_path *path, const struct ntm_flow *flow, const struct rest *rest,
		     unsigned *ret_sent)
{
	bool train = rest->len > rest->size && flow->udp->segment && !path->train_refused;
	int err;

	err = ntm_udp_send_train(flow, rest->data, rest->len, rest->size, train, ret_sent);
	if (!train)
		return err;
	if (err != -EIO) {
		path->engine->train_refused = false;
		return err;
	}
	/* Either the device cannot, then this goes well; or what is wrong is found. */
	err = ntm_udp_send_train(flow, rest->data, rest->len, rest->size, false, ret_sent);
	if (!err)
		path->train_refused = path->engine->train_refused = true;
	return err;
}

/* To one or both routes. The same bytes: the receiver's window takes only one of them. */
static int routes_send(struct ntmd_engine_path *path, const struct rest *rest, unsigned *ret_sent)
{
	bool first = to_route(path, rest->len);
	unsigned sent = 0, second_sent = 0;
	int err = -ENETUNREACH, second_err;

	if (first) {
		err = flow_send(path, &path->route, rest, &sent);
		path->unproven_sent += err ? sent * rest->size : rest->len;
		if (route_failed(err))
			failure_note(path, err);
	}
	if (path->has_second) {
		second_err = flow_send(path, &path->second, rest, &second_sent);
		if (!second_err || !first) {
			err = second_err;
			sent = second_sent;
		}
	}
	*ret_sent = sent;
	return err;
}

static void sent_note(struct ntmd_engine_path *path, enum ntm_lane lane, unsigned count, size_t bytes)
{
	int64_t now = ntmd_user_now_ms(path->engine);

	path->stats.tx_packets += count;
	path->stats.tx_bytes += bytes;
	path->stats.lane_tx_packets[lane] += count;
	path->stats.last_tx_ms = now;
	if (!path->unheard_ms)
		path->unheard_ms = now;
	if (!path->unheard_told) {
		path->unheard_told = true;
		path->notes |= NTMD_USER_NOTE_UNHEARD;
		if (path->engine->reading)
			ntmd_user_egress_unsettled(path);
	}
	if (lane == NTM_LANE_BULK && !path->bulk_waiting) {
		path->bulk_waiting = true;
		path->bulk_since_ms = now;
	}
}

/* ---- what was not sent */

static size_t sealed_len(const struct ntmd_user_train *train, unsigned i)
{
	size_t left = train->len - i * train->size;

	return left < train->size ? left : train->size;
}

/* The i-th packet as the application sent it, opened in place. Never fails: we have sealed it. */
static const uint8_t *plain_of(struct ntmd_user_train *train, unsigned i, size_t *ret_len)
{
	uint8_t *packet = train->data + i * train->size;
	const struct ntm_header *header = (const struct ntm_header *)packet;
	uint8_t *body = packet + sizeof(*header);
	int n = ntm_aead_open(&train->keys->seal, ntm_header_counter(header), header, sizeof(*header), body,
			      sealed_len(train, i) - sizeof(*header), body);

	*ret_len = n < 0 ? 0 : (size_t)n;
	return body;
}

/*
 * Largest inner packet after the system refused one of len bytes to this remote end; 0: the device takes it,
 * so size was not the reason.
 */
static unsigned mtu_learn(const struct ntm_flow *flow, size_t len)
{
	unsigned outer = ntm_endpoint_is4(&flow->remote) ? OUTER4_LEN : OUTER6_LEN, ifindex, mtu;

	if (ntm_netlink_route_get(&flow->remote.addr, &ifindex, &mtu) || mtu <= outer + NTMD_USER_OVERHEAD)
		return ntmd_inner_mtu_guess(len);
	mtu -= outer + NTMD_USER_OVERHEAD;
	return mtu < len ? mtu : 0;
}

/* Sends it again, in pieces, now that the MTU is known; false: it is none for pieces. */
static bool piece_hold(struct ntmd_user_train *train, const uint8_t *packet, size_t len)
{
	/* What is not larger than that would be refused again, for ever. */
	if (train->lane != NTM_LANE_BULK || len <= train->path->mtu_learned ||
	    !ntmd_user_piece_needed(packet, len))
		return false;
	ntmd_user_held_put(train->path, packet, len);
	ntmd_user_egress_unsettled(train->path);
	return true;
}

/* The i-th packet was too large. Returns the next one that may be small enough. */
static unsigned too_big(struct ntmd_user_train *train, unsigned i)
{
	struct ntmd_engine_path *path = train->path;
	size_t len = sealed_len(train, i);
	const struct ntm_flow *flow = to_route(path, len) ? &path->route : &path->second;
	const uint8_t *packet = plain_of(train, i, &len);
	unsigned mtu = mtu_learn(flow, len);

	if (!mtu) {
		ntmd_user_path_drop(path, NTM_DROP_SEND);
		return i + 1;
	}
	path->mtu_learned = mtu;
	ntmd_user_path_changed(path);
	if (!piece_hold(train, packet, len))
		ntmd_user_egress_too_big(path, packet, len, path->mtu_learned);
	for (i++; i < train->count && sealed_len(train, i) - NTMD_USER_OVERHEAD > path->mtu_learned; i++) {
		packet = plain_of(train, i, &len);
		if (!piece_hold(train, packet, len))
			ntmd_user_path_drop(path, NTM_DROP_TOO_BIG);
	}
	return i;
}

/* No route: all from the i-th on waits. */
static int route_lost(struct ntmd_user_train *train, unsigned i, int err, bool hold)
{
	struct ntmd_engine_path *path = train->path;
	const uint8_t *packet;
	size_t len;

	failure_note(path, err);
	path->retry_ms = ntmd_user_now_ms(path->engine) + NTMD_USER_RETRY_MS;
	for (; hold && i < train->count; i++) {
		packet = plain_of(train, i, &len);
		ntmd_user_held_put(path, packet, len);
	}
	if (hold)
		ntmd_user_egress_unsettled(path);
	return -EAGAIN;
}

/* ret_done: packets that need not be sent again. */
static int train_send_some(struct ntmd_user_train *train, bool hold, unsigned *ret_done)
{
	struct ntmd_engine_path *path = train->path;
	unsigned i = 0, sent;
	int err = 0;

	train->going = true;
	/* Sending reads what ICMP told of earlier packets (ntm_udp.too_big): who hears of that may act on
	 * it. */
	ntmd_user_path_pin(path);
	while (i < train->count) {
		size_t at = i * train->size;
		struct rest rest = {train->data + at, train->len - at, train->size};

		err = routes_send(path, &rest, &sent);
		if (path->gone)
			break;
		if (sent)
			sent_note(path, train->lane, sent,
				  (err ? sent * rest.size : rest.len) - sent * NTMD_USER_OVERHEAD);
		i += sent;
		if (err == -EMSGSIZE) {
			i = too_big(train, i);
			err = 0;
		} else if (route_failed(err)) {
			err = route_lost(train, i, err, hold);
			break;
		} else if (err) {
			/* No room: what comes later would find none either. */
			for (err = 0; i < train->count; i++)
				ntmd_user_path_drop(path, NTM_DROP_SEND);
		}
	}
	if (!err)
		path->retry_ms = 0;
	train->path = NULL;
	train->going = false;
	*ret_done = i;
	ntmd_user_path_unpin(path);
	return err;
}

static int train_send(struct ntmd_user_train *train, bool hold)
{
	unsigned done;

	return train_send_some(train, hold, &done);
}

void ntmd_user_train_forget(const struct ntmd_engine_path *path)
{
	struct ntmd_user_train *train = train_of(path);

	if (train)
		train->path = NULL;
}

int ntmd_user_train_flush(struct ntmd_engine_path *path, bool hold)
{
	struct ntmd_user_train *train = train_of(path);

	return train ? train_send(train, hold) : 0;
}

int ntmd_user_train_flush_some(struct ntmd_engine_path *path, unsigned *ret_done)
{
	struct ntmd_user_train *train = train_of(path);

	*ret_done = 0;
	return train ? train_send_some(train, false, ret_done) : 0;
}

void ntmd_user_train_flush_all(struct ntmd_engine *engine)
{
	for (unsigned i = 0; i < NTMD_USER_TRAINS; i++)
		if (engine->train[i].path && !engine->train[i].going)
			train_send(&engine->train[i], true);
}
