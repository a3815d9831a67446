/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_egress.c - from applications to the network: TUN -> segments -> path -> lane -> seal -> train. Before
 * it: ntm0.c's device and segment.c; behind it: user_train.c; beside it: user_held.c for what cannot go yet;
 * at the far end: user_ingress.c.
 *
 * A super-packet of the TUN is looked up once. Each of its segments is sealed from the read buffer straight
 * into the train that one system call sends.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "daemon/inner.h"
#include "daemon/user_shard.h"
#include "endpoint.h"
#include "log.h"
#include "stats.h"

#define PIECE_LEN 1420 /* longest piece, with its header: bytes */

/* ---- too big */

void ntmd_user_egress_too_big(struct ntmd_engine_path *path, const uint8_t *packet, size_t len, unsigned mtu)
{
	uint8_t error[NTMD_INNER_ERROR_MAX];
	size_t error_len = ntmd_inner_too_big_build(error, packet, len, mtu);

	ntmd_user_path_drop(path, NTM_DROP_TOO_BIG);
	if (error_len && ntmd_user_ingress_write(path->engine, error, error_len))
		ntm_drop_count(NTM_DROP_TUN_WRITE);
}

static unsigned path_mtu(const struct ntmd_engine_path *path)
{
	unsigned mtu = path->mtu ? path->mtu : NTMD_USER_PACKET_MAX;

	return path->mtu_learned && path->mtu_learned < mtu ? path->mtu_learned : mtu;
}

/* ---- sealing */

/* Bulk data that nobody acknowledges: the peer's daemon is gone, but its kernel may still open the inline
 * lane. */
static enum ntm_lane lane_choose(struct ntmd_engine_path *path)
{
	if (!path->bulk_dead && path->bulk_waiting &&
	    ntmd_user_now_ms(path->engine) - path->bulk_since_ms >= NTM_BULK_DEAD_MS) {
		path->bulk_dead = true;
		path->notes |= NTMD_USER_NOTE_DEAD;
		ntmd_user_path_changed(path);
	}
	return path->bulk_dead ? NTM_LANE_INLINE : NTM_LANE_BULK;
}

/* By what a path sends now; good until the loop goes on. */
struct sending {
	struct ntmd_user_key *key;
	struct ntmd_user_lane *keys;
	enum ntm_lane lane;
	uint8_t type;
	unsigned mtu;
};

/* 0, or -EAGAIN: something is missing. */
static int sending_prepare(struct sending *sending, struct ntmd_engine_path *path)
{
	struct ntmd_user_key *key = ntmd_user_key_sending(path);

	if (!path->identified || !key || key->inline_only || !path->has_route ||
	    (path->retry_ms && ntmd_user_now_ms(path->engine) < path->retry_ms))
		return -EAGAIN;
	sending->key = key;
	sending->lane = lane_choose(path);
	sending->keys = &key->lane[sending->lane];
	sending->type =
		(uint8_t)(NTM_TYPE_DATA | path->phase << NTM_TYPE_PHASE_SHIFT |
			  (path->side ? NTM_TYPE_SIDE_BIT : 0) | (sending->lane ? NTM_TYPE_LANE_BIT : 0));
	sending->mtu = path_mtu(path);
	return 0;
}

/* Seals one packet into the path's train. 0, or -EAGAIN: hold it. */
static int packet_seal(const struct sending *sending, struct ntmd_engine_path *path, const uint8_t *packet,
		       size_t len)
{
	struct ntmd_user_lane *keys = sending->keys;
	struct ntm_header *header;

	if (keys->next >= keys->hard || !ntmd_user_train_allowed(path, NTMD_USER_OVERHEAD + len))
		return -EAGAIN;
	header =
		(struct ntm_header *)ntmd_user_train_add(path, keys, sending->lane, NTMD_USER_OVERHEAD + len);
	if (!header)
		return -EAGAIN;
	ntm_header_set(header, sending->type, keys->next, path->id);
	/* Counted before it is used: whatever happens below, this counter is never used again. */
	keys->next++;
	ntm_aead_seal(&keys->seal, keys->next - 1, header, sizeof(*header), packet, len, header + 1);
	if (keys->next >= keys->soft && !sending->key->worn) {
		sending->key->worn = true;
		path->notes |= NTMD_USER_NOTE_WORN;
	}
	return 0;
}

/* Seals a packet in pieces, at most NTM_PIECES_MAX. 0, or -EAGAIN: hold it. */
static int packet_cut(const struct sending *sending, struct ntmd_engine_path *path, const uint8_t *packet,
		      size_t len, size_t most)
{
	uint8_t piece[PIECE_LEN];
	uint32_t id = path->piece_id++;

	if (!ntmd_user_train_allowed(path, len + (len / most + 1) * (NTMD_USER_OVERHEAD + NTMD_PIECE_HEADER)))
		return -EAGAIN;
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < most ? len - at : most;
		ntmd_piece_header_build(piece, at + n < len, (unsigned)at, id);
		memcpy(piece + NTMD_PIECE_HEADER, packet + at, n);
		if (packet_seal(sending, path, piece, NTMD_PIECE_HEADER + n))
			return -EAGAIN;
	}
	return 0;
}

/* Only the control loop knows the kernel's part: it is held for it. */
static int inline_pass(struct ntmd_engine_path *path, const uint8_t *packet, size_t len)
{
	struct ntmd_engine *main = path->engine->main;

	if (!ntmd_user_in_thread(path->engine))
		return main->kernel_ops->path_send(main->kernel, path, packet, len);
	path->notes |= NTMD_USER_NOTE_FLUSH;
	return -EAGAIN;
}

/* Seals a packet as the path's MTU allows. answered: its sender was told of the MTU. 0, or -EAGAIN: hold
 * it. */
static int packet_pass(const struct sending *sending, struct ntmd_engine_path *path, const uint8_t *packet,
		       size_t len, bool *answered)
{
	size_t room = sending->mtu < PIECE_LEN ? sending->mtu : PIECE_LEN;
	size_t most = room > NTMD_PIECE_HEADER ? room - NTMD_PIECE_HEADER : 0;

	/* Its counter is not ours: what came here all the same (it waited, or the kernel left it) goes
	 * there. */
	if (len <= sending->mtu && sending->lane == NTM_LANE_INLINE && sending->key->kernel)
		return inline_pass(path, packet, len);
	if (len <= sending->mtu)
		return packet_seal(sending, path, packet, len);
	if (sending->lane == NTM_LANE_BULK && len <= most * NTM_PIECES_MAX &&
	    ntmd_user_piece_needed(packet, len))
		return packet_cut(sending, path, packet, len, most);
	if (*answered)
		ntmd_user_path_drop(path, NTM_DROP_TOO_BIG);
	else
		ntmd_user_egress_too_big(path, packet, len, sending->mtu);
	*answered = true;
	return 0;
}

bool ntmd_user_egress_can_send(struct ntmd_engine_path *path)
{
	struct sending sending;

	return !sending_prepare(&sending, path);
}

bool ntmd_user_egress_gather(struct ntmd_engine_path *path, const uint8_t *packet, size_t len)
{
	struct sending sending;

	if (sending_prepare(&sending, path) || len > sending.mtu ||
	    (sending.lane == NTM_LANE_INLINE && sending.key->kernel))
		return false;
	return ntmd_user_train_takes(path, sending.keys, sending.lane, NTMD_USER_OVERHEAD + len) &&
	       !packet_seal(&sending, path, packet, len);
}

int ntmd_user_egress_send(struct ntmd_engine_path *path, const uint8_t *packet, size_t len)
{
	struct sending sending;
	bool answered = false;
	int err, flushed;

	if (sending_prepare(&sending, path))
		return -EAGAIN;
	err = packet_pass(&sending, path, packet, len, &answered);
	/* Also pieces before one that failed: none may wait with its key */
	flushed = ntmd_user_train_flush(path, false);
	if (!err && !flushed && !path->gone)
		ntmd_user_resume_note(path, packet, len);
	return err ? err : flushed;
}

void ntmd_user_egress_unsettled(struct ntmd_engine_path *path)
{
	if (path->unsettled || path->gone)
		return;
	path->unsettled = true;
	TAILQ_INSERT_TAIL(&path->engine->unsettled, path, to_settle);
}

/* ---- from the TUN */

/* ret_up: NULL is returned because only the control loop knows */
static struct ntmd_engine_path *path_find(struct ntmd_engine *engine, const struct ntmd_inner *inner,
					  bool *ret_up)
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
		*ret_up = !path && engine->shard;
		if (*ret_up)
			return NULL;
		if (!path) {
			ntmd_user_train_flush_all(engine);
			path = engine->ops->no_path(engine->ctx, &inner->dest);
		}
	}
	if (!path)
		ntm_drop_count(NTM_DROP_NO_PATH);
	return path;
}

/* The segments of one super-packet, or the one packet. */
static void segments_send(struct ntmd_engine *engine, struct ntmd_engine_path *path)
{
	/* Behind packets that wait, so that they are not overtaken. */
	bool hold = !TAILQ_EMPTY(&path->held), answered = false;
	struct sending sending;
	uint8_t *packet, *sent = NULL;
	size_t len, sent_len = 0;

	/* Sending reads what ICMP told: who hears of that may delete the path. */
	ntmd_user_path_pin(path);
	hold = hold || sending_prepare(&sending, path);
	if (!hold)
		ntmd_segment_limit(&engine->segments, sending.mtu);
	while (!path->gone && (packet = ntmd_segment_next(&engine->segments, &len))) {
		if (packet[packet[0] >> 4 == 4 ? 9 : 6] == IPPROTO_UDP)
			engine->udp_since_turn++;
		/* One answer tells of all segments */
		if (!hold && packet_pass(&sending, path, packet, len, &answered)) {
			ntmd_user_train_flush(path, true);
			hold = true;
		}
		if (hold) {
			ntmd_user_held_put(path, packet, len);
			sent = NULL; /* this one's header stands where its end was */
		} else {
			sent = packet;
			sent_len = len;
		}
		if (!hold && path->unproven_bytes) /* each packet is looked at for itself */
			hold = ntmd_user_train_flush(path, true) != 0;
	}
	if (sent && !path->gone)
		ntmd_user_resume_note(path, sent, sent_len);
	if (!TAILQ_EMPTY(&path->held) || path->notes)
		ntmd_user_egress_unsettled(path);
	ntmd_user_path_unpin(path);
}

static void packet_send(struct ntmd_engine_path *path, const struct virtio_net_hdr *vnet, uint8_t *packet,
			size_t len)
{
	int reason = ntmd_segment_begin(&path->engine->segments, vnet, packet, len);

	if (reason)
		ntmd_user_path_drop(path, reason);
	else
		segments_send(path->engine, path);
}

static void reading_end(struct ntmd_engine *engine);

/* The control loop has it, but its path is in a shard. */
static void packet_hand_down(struct ntmd_engine_path *path, const struct virtio_net_hdr *vnet,
			     uint8_t *packet, size_t len)
{
	struct ntmd_engine *engine = ntmd_user_lock(path->engine);

	engine->reading = true;
	packet_send(path, vnet, packet, len);
	reading_end(engine);
	ntmd_user_unlock(engine);
}

static void packet_take(struct ntmd_engine *engine, const struct virtio_net_hdr *vnet, uint8_t *packet,
			size_t len)
{
	struct ntmd_engine_path *path;
	struct ntmd_inner inner;
	int reason = ntmd_inner_parse(&inner, packet, len);
	bool up = false;

	if (reason) {
		ntm_drop_count(reason);
		return;
	}
	path = path_find(engine, &inner, &up);
	if (up)
		ntmd_user_shard_up_plain(engine->shard, vnet, packet, len);
	else if (path && path->engine != engine)
		packet_hand_down(path, vnet, packet, len);
	else if (path)
		packet_send(path, vnet, packet, len);
}

void ntmd_user_egress_packet(struct ntmd_engine *engine, const struct virtio_net_hdr *vnet, uint8_t *packet,
			     size_t len)
{
	engine->reading = true;
	packet_take(engine, vnet, packet, len);
	reading_end(engine);
}

/* Bytes read, 0: nothing left or broken. */
static size_t device_read(struct ntmd_engine *engine)
{
	size_t before = engine->tun.vnet ? NTMD_VNET_LEN : 0;
	struct virtio_net_hdr vnet = {0};
	ssize_t n = read(engine->tun.fd, engine->plain, sizeof(engine->plain));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) { /* it would be readable for ever */
		ntm_error("the TUN device is gone (%s): restart ntmd", n ? strerror(errno) : "end of file");
		if (engine->shard)
			engine->shard->deaf = true;
		else
			event_del(engine->readable);
		return 0;
	}
	if ((size_t)n < before) {
		ntm_drop_count(NTM_DROP_INNER_SHORT);
		return (size_t)n;
	}
	memcpy(&vnet, engine->plain, before);
	packet_take(engine, &vnet, engine->plain + before, (size_t)n - before);
	return (size_t)n;
}

static void all_settle(struct ntmd_engine *engine)
{
	struct ntmd_engine_path *path;

	while ((path = TAILQ_FIRST(&engine->unsettled))) {
		TAILQ_REMOVE(&engine->unsettled, path, to_settle);
		path->unsettled = false;
		ntmd_user_path_settle(path);
	}
}

static void reading_end(struct ntmd_engine *engine)
{
	ntmd_user_train_flush_all(engine);
	engine->reading = false;
	all_settle(engine);
}

bool ntmd_user_egress_read(struct ntmd_engine *engine)
{
	size_t bytes = 0, n = 1;

	engine->reading = true;
	for (int i = 0; n && i < NTMD_USER_BATCH && bytes < NTMD_USER_BATCH_BYTES; i++) {
		n = device_read(engine);
		bytes += n;
	}
	reading_end(engine);
	return n;
}

void ntmd_user_egress_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	if (ntmd_user_egress_read(arg) && ntmd_user_turn_due(arg))
		sched_yield();
}
