/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_egress.c - from applications to the network: TUN -> path -> lane -> seal -> UDP socket. Before it:
 * ntm0.c's device; beside it: user_held.c for what cannot go yet; at the far end: user_ingress.c.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/inner.h"
#include "daemon/user_engine.h"
#include "endpoint.h"
#include "log.h"
#include "netlink.h"
#include "stats.h"

#define OUTER4_LEN 28 /* IPv4 and UDP headers: bytes */
#define OUTER6_LEN 48

/* ---- too big */

static void too_big(struct ntmd_engine_path *path, const uint8_t *packet, size_t len, unsigned mtu)
{
	uint8_t error[NTMD_INNER_ERROR_MAX];
	size_t error_len = ntmd_inner_too_big_build(error, packet, len, mtu);

	ntmd_user_path_drop(path, NTM_DROP_TOO_BIG);
	if (error_len && ntmd_user_ingress_write(path->engine, error, error_len))
		ntm_drop_count(NTM_DROP_TUN_WRITE);
}

/* Largest inner packet after the system refused one of len bytes to this remote end. */
static unsigned mtu_learn(const struct ntm_flow *flow, size_t len)
{
	unsigned outer = ntm_endpoint_is4(&flow->remote) ? OUTER4_LEN : OUTER6_LEN, ifindex, mtu;

	if (ntm_netlink_route_get(&flow->remote.addr, &ifindex, &mtu) || mtu <= outer + NTMD_USER_OVERHEAD ||
	    mtu - outer - NTMD_USER_OVERHEAD >= len)
		return ntmd_inner_mtu_guess(len);
	return mtu - outer - NTMD_USER_OVERHEAD;
}

static unsigned path_mtu(const struct ntmd_engine_path *path)
{
	unsigned mtu = path->mtu ? path->mtu : NTMD_USER_PACKET_MAX;

	return path->mtu_learned && path->mtu_learned < mtu ? path->mtu_learned : mtu;
}

/* ---- sending */

/* Bulk data that nobody acknowledges: the peer's daemon is gone, but its kernel may still open the inline
 * lane. */
static enum ntm_lane lane_choose(struct ntmd_engine_path *path)
{
	if (!path->bulk_dead && path->bulk_waiting &&
	    ntmd_user_now_ms(path->engine) - path->bulk_since_ms >= NTM_BULK_DEAD_MS) {
		path->bulk_dead = true;
		path->notes |= NTMD_USER_NOTE_DEAD;
	}
	return path->bulk_dead ? NTM_LANE_INLINE : NTM_LANE_BULK;
}

static void sent(struct ntmd_engine_path *path, enum ntm_lane lane, size_t len)
{
	int64_t now = ntmd_user_now_ms(path->engine);

	path->stats.tx_packets++;
	path->stats.tx_bytes += len;
	path->stats.lane_tx_packets[lane]++;
	path->stats.last_tx_ms = now;
	if (lane == NTM_LANE_BULK && !path->bulk_waiting) {
		path->bulk_waiting = true;
		path->bulk_since_ms = now;
	}
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

/* What becomes of a packet that no route took; err is the first one's. */
static int refused(struct ntmd_engine_path *path, const struct ntm_flow *flow, const uint8_t *packet,
		   size_t len, int err)
{
	if (err == -EMSGSIZE) {
		path->mtu_learned = mtu_learn(flow, len);
		too_big(path, packet, len, path->mtu_learned);
		return 0;
	}
	if (!route_failed(err)) {
		ntmd_user_path_drop(path, NTM_DROP_SEND);
		return 0;
	}
	failure_note(path, err);
	path->retry_ms = ntmd_user_now_ms(path->engine) + NTMD_USER_RETRY_MS;
	return -EAGAIN;
}

/* Sends what lies sealed to one or both routes. The same bytes: the receiver's window takes only one of them.
 */
static int datagram_send(struct ntmd_engine_path *path, size_t len, bool to_route, bool to_second)
{
	const uint8_t *datagram = path->engine->sealed;
	int err = -ENETUNREACH, second_err;

	if (to_route) {
		err = ntm_udp_send(&path->route, datagram, len);
		if (!err)
			path->unproven_sent += len;
		else if (route_failed(err))
			failure_note(path, err);
	}
	if (!to_second)
		return err;
	second_err = ntm_udp_send(&path->second, datagram, len);
	return !second_err || !to_route ? second_err : err;
}

int ntmd_user_egress_send(struct ntmd_engine_path *path, const uint8_t *packet, size_t len)
{
	struct ntmd_engine *engine = path->engine;
	struct ntm_header *header = (struct ntm_header *)engine->sealed;
	struct ntmd_user_key *key = ntmd_user_key_sending(path);
	bool to_route =
		path->has_route && (!path->unproven_bytes ||
				    path->unproven_sent + NTMD_USER_OVERHEAD + len <= path->unproven_bytes);
	struct ntmd_user_lane *keys;
	enum ntm_lane lane;
	int err;

	if (!path->identified || !key || (!to_route && !path->has_second) ||
	    (path->retry_ms && ntmd_user_now_ms(engine) < path->retry_ms))
		return -EAGAIN;
	lane = lane_choose(path);
	keys = &key->lane[lane];
	if (keys->next >= keys->hard)
		return -EAGAIN;
	if (len > path_mtu(path)) {
		too_big(path, packet, len, path_mtu(path));
		return 0;
	}
	ntm_header_set(header,
		       (uint8_t)(NTM_TYPE_DATA | path->phase << NTM_TYPE_PHASE_SHIFT |
				 (path->side ? NTM_TYPE_SIDE_BIT : 0) | (lane ? NTM_TYPE_LANE_BIT : 0)),
		       keys->next, path->id);
	/* Counted before it is used: whatever happens below, this counter is never used again. */
	keys->next++;
	ntm_aead_seal(&keys->seal, keys->next - 1, header, sizeof(*header), packet, len,
		      engine->sealed + sizeof(*header));
	if (keys->next >= keys->soft && !key->worn) {
		key->worn = true;
		path->notes |= NTMD_USER_NOTE_WORN;
	}
	err = datagram_send(path, len + NTMD_USER_OVERHEAD, to_route, path->has_second);
	if (err)
		return refused(path, to_route ? &path->route : &path->second, packet, len, err);
	path->retry_ms = 0;
	sent(path, lane, len);
	return 0;
}

/* ---- from the TUN */

static struct ntmd_engine_path *path_find(struct ntmd_engine *engine, const struct ntmd_inner *inner)
{
	const struct ntm_addr *own = &engine->own[ntmd_user_family(inner->version)];
	struct ntmd_engine_path *path = NULL;

	/* The kernel's own chatter (router solicitations, multicast reports) comes from other sources: look
	 * here first. */
	if (ntmd_inner_is_local(&inner->dest)) {
		ntm_drop_count(NTM_DROP_NO_PATH);
		return NULL;
	}
	if (ntm_addr_is_none(own) || !ntm_addr_equal(&inner->source, own)) {
		ntm_drop_count(NTM_DROP_INNER_SOURCE);
		return NULL;
	}
	if (!ntm_addr_equal(&inner->dest, own)) {
		path = ntmd_user_path_by_vip(engine, &inner->dest);
		if (!path)
			path = engine->ops->no_path(engine->ctx, &inner->dest);
	}
	if (!path)
		ntm_drop_count(NTM_DROP_NO_PATH);
	return path;
}

static void packet_take(struct ntmd_engine *engine, const uint8_t *packet, size_t len)
{
	struct ntmd_engine_path *path;
	struct ntmd_inner inner;
	int reason = ntmd_inner_parse(&inner, packet, len);

	if (reason) {
		ntm_drop_count(reason);
		return;
	}
	path = path_find(engine, &inner);
	if (!path)
		return;
	ntmd_user_path_pin(path);
	/* Behind packets that wait, so that they are not overtaken. */
	if (!TAILQ_EMPTY(&path->held) || ntmd_user_egress_send(path, packet, len) == -EAGAIN)
		ntmd_user_held_put(path, packet, len);
	if (!TAILQ_EMPTY(&path->held) || path->notes)
		ntmd_user_path_settle(path);
	ntmd_user_path_unpin(path);
}

void ntmd_user_egress_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_engine *engine = arg;

	(void)what;
	for (int i = 0; i < NTMD_USER_BATCH; i++) {
		ssize_t n = read(fd, engine->plain, sizeof(engine->plain));

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) { /* it would be readable for ever */
			ntm_error("the TUN device is gone (%s): restart ntmd",
				  n ? strerror(errno) : "end of file");
			event_del(engine->readable);
			return;
		}
		packet_take(engine, engine->plain, (size_t)n);
	}
}
