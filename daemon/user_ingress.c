/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_ingress.c - from the network to applications: data packet -> path -> window -> open -> inner checks ->
 * coalesce -> TUN. Before it: receive.c, which knows by the first byte that this is data; at the far end:
 * user_egress.c.
 *
 * Nothing of a packet counts before it has opened; where it came from never matters for delivery.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "daemon/inner.h"
#include "daemon/user_shard.h"
#include "endpoint.h"
#include "stats.h"

int ntmd_user_ingress_write(struct ntmd_engine *engine, const uint8_t *packet, size_t len)
{
	static struct virtio_net_hdr complete; /* a whole packet, its checksum for the kernel to verify */
	struct iovec part[2] = {{&complete, engine->tun.vnet ? NTMD_VNET_LEN : 0}, {(void *)packet, len}};
	ssize_t n = writev(engine->tun.fd, part, 2);

	if (n < 0)
		return -errno;
	return (size_t)n == part[0].iov_len + len ? 0 : -EIO;
}

/* What was coalesced goes into the device with one call. */
static void joined_write(void *ctx, const struct iovec *part, int parts, unsigned packets)
{
	const struct ntmd_engine *engine = ctx;

	if (writev(engine->tun.fd, part, parts) >= 0)
		return;
	for (unsigned i = 0; i < packets; i++)
		ntm_drop_count(NTM_DROP_TUN_WRITE);
}

void ntmd_user_ingress_init(struct ntmd_engine *engine)
{
	engine->coalesce.udp = engine->tun.uso;
	engine->coalesce.write = joined_write;
	engine->coalesce.ctx = engine;
}

/*
 * UDP's sender waits for nobody: an application that shares our CPU and gets no turn loses what its socket
 * has no room for, after all the work was done; and what is sealed faster than the other end takes it is lost
 * there. So under load other processes get a turn every so many packets. TCP's sender goes by what arrives.
 */
bool ntmd_user_turn_due(struct ntmd_engine *engine)
{
	if (engine->udp_since_turn < NTMD_USER_TURN)
		return false;
	engine->udp_since_turn = 0;
	return true;
}

void ntmd_engine_flush(struct ntmd_engine *engine)
{
	ntmd_coalesce_flush(&engine->coalesce);
	engine->batch_ms = 0;
	if (!engine->shard && ntmd_user_turn_due(engine)) /* a thread does it without its lock */
		sched_yield();
}

/* The clock is read once for packets that arrived together. */
static int64_t batch_now_ms(struct ntmd_engine *engine)
{
	if (!engine->batch_ms)
		engine->batch_ms = ntmd_user_now_ms(engine);
	return engine->batch_ms;
}

/* Opens in place. The plaintext's length (it begins behind the header), or -NTM_DROP_*. */
static int packet_open(struct ntmd_engine_path *path, uint8_t *packet, size_t len)
{
	const struct ntm_header *header = (const struct ntm_header *)packet;
	uint8_t *body = packet + sizeof(*header);
	uint64_t counter = ntm_header_counter(header);
	struct ntmd_user_key *key = path->key[NTM_TYPE_PHASE(header->type)];
	struct ntmd_kernel_phase *kernel = NULL;
	struct ntmd_user_lane *keys;
	int n;

	if (NTM_TYPE_SIDE(header->type) == path->side)
		return -NTM_DROP_SIDE;
	if (!key)
		return -NTM_DROP_PHASE_UNKNOWN;
	if (batch_now_ms(path->engine) >= key->expires_ms)
		return -NTM_DROP_KEY_EXPIRED;
	keys = &key->lane[NTM_TYPE_LANE(header->type)];
	if (NTM_TYPE_LANE(header->type) != NTM_LANE_INLINE) {
		if (key->inline_only)
			return -NTM_DROP_PHASE_UNKNOWN;
	} else if (key->kernel) {
		kernel = key->kernel;
	}
	if (!kernel && !ntm_replay_check(&keys->window, counter))
		return -NTM_DROP_REPLAY;
	n = ntm_aead_open(&keys->open, counter, header, sizeof(*header), body, len - sizeof(*header), body);
	if (n < 0)
		return -NTM_DROP_AUTH;
	if (kernel ? !path->engine->main->kernel_ops->phase_commit(ntmd_user_kernel(path->engine), kernel,
								   counter)
		   : !ntm_replay_commit(&keys->window, counter))
		return -NTM_DROP_REPLAY;
	return n;
}

static bool source_known(const struct ntmd_engine_path *path, const struct ntm_endpoint *from)
{
	if ((path->has_route && ntm_endpoint_equal(from, &path->route.remote)) ||
	    (path->has_second && ntm_endpoint_equal(from, &path->second.remote)))
		return true;
	for (unsigned i = 0; i < path->sources; i++)
		if (ntm_endpoint_equal(from, &path->source[i]))
			return true;
	return false;
}

/* From where packets go, at the address they leave from. */
static bool came_by_route(const struct ntmd_engine_path *path, const struct ntm_flow *from)
{
	const struct ntm_flow *route =
		path->has_second && ntm_endpoint_equal(&from->remote, &path->second.remote) ? &path->second
											    : &path->route;

	return path->has_route && ntm_endpoint_equal(&from->remote, &route->remote) &&
	       (ntm_addr_is_none(&route->local) || ntm_addr_equal(&from->local, &route->local));
}

/* The same as below, by a shard: the control loop tells it a moment later. */
static void opened_note(struct ntmd_engine_path *path, const struct ntm_flow *from, unsigned phase,
			int64_t now)
{
	unsigned notes = 0;

	if ((path->unheard_ms || path->expecting) && came_by_route(path, from)) {
		path->unheard_ms = 0;
		notes |= path->expecting ? NTMD_USER_NOTE_ARRIVED | NTMD_USER_NOTE_CHANGED : 0;
		path->expecting = false;
	}
	if (!path->key[phase]->opened)
		notes |= NTMD_USER_NOTE_OPENED << phase;
	path->key[phase]->opened = true;
	if (!source_known(path, &from->remote) && now - path->new_source_ms >= NTMD_USER_SOURCE_MS) {
		path->new_source_ms = now;
		path->local->from = *from;
		ntmd_user_shard_flow(path->engine->main->shards, NULL, &path->local->from);
		notes |= NTMD_USER_NOTE_SOURCE;
	}
	if (notes)
		ntmd_user_shard_tell(path, notes);
}

static void arrived_tell(struct ntmd_engine_path *path)
{
	path->expecting = false;
	ntmd_user_path_changed(path);
	path->engine->ops->arrived(path->engine->ctx, path->user);
}

/* An authentic packet: tells what it shows. */
static void opened_tell(struct ntmd_engine_path *path, const struct ntm_flow *from, uint8_t type)
{
	struct ntmd_engine *engine = path->engine;
	struct ntmd_user_key *key = path->key[NTM_TYPE_PHASE(type)];
	int64_t now = batch_now_ms(engine);

	path->stats.lane_rx_packets[NTM_TYPE_LANE(type)]++;
	path->stats.last_rx_ms = now;
	if (engine->shard) {
		opened_note(path, from, NTM_TYPE_PHASE(type), now);
		if (NTM_TYPE_LANE(type) == NTM_LANE_BULK)
			ntmd_user_bulk_received(path);
		return;
	}
	if ((path->unheard_ms || path->expecting) && came_by_route(path, from)) {
		path->unheard_ms = 0;
		if (path->expecting && !path->gone)
			arrived_tell(path);
	}
	if (!key->opened) {
		key->opened = true;
		engine->ops->phase_opened(engine->ctx, path->user, NTM_TYPE_PHASE(type));
	}
	if (!path->gone && !source_known(path, &from->remote) &&
	    now - path->new_source_ms >= NTMD_USER_SOURCE_MS) {
		path->new_source_ms = now;
		engine->ops->new_source(engine->ctx, path->user, from);
	}
	if (NTM_TYPE_LANE(type) == NTM_LANE_BULK && !path->gone)
		ntmd_user_bulk_received(path);
}

/* 0 or -NTM_DROP_* */
static int inner_check(const struct ntmd_engine_path *path, const uint8_t *packet, size_t len)
{
	struct ntmd_inner inner;
	const struct ntm_addr *peer, *own;
	int err;

	if (!packet[0])
		return -NTM_DROP_PIECE;
	err = ntmd_inner_parse(&inner, packet, len);
	if (err)
		return err;
	peer = &path->vip[ntmd_user_family(inner.version)];
	own = &path->engine->own[ntmd_user_family(inner.version)];
	if (ntm_addr_is_none(peer) || !ntm_addr_equal(&inner.source, peer))
		return -NTM_DROP_INNER_SOURCE;
	if (ntm_addr_is_none(own) || !ntm_addr_equal(&inner.dest, own))
		return -NTM_DROP_INNER_DEST;
	return 0;
}

/* tos: of the outer packet */
static void inner_deliver(struct ntmd_engine_path *path, uint8_t tos, uint8_t *packet, size_t len)
{
	int err = inner_check(path, packet, len);

	if (!err)
		err = ntmd_inner_ecn(packet, tos);
	if (err) {
		ntmd_user_path_drop(path, err);
		return;
	}
	if (path->engine->tun.tso) {
		ntmd_coalesce_add(&path->engine->coalesce, packet, len);
	} else if (ntmd_user_ingress_write(path->engine, packet, len)) {
		ntmd_user_path_drop(path, NTM_DROP_TUN_WRITE);
		return;
	}
	if (packet[packet[0] >> 4 == 4 ? 9 : 6] == IPPROTO_UDP)
		path->engine->udp_since_turn++;
	path->stats.rx_packets++;
	path->stats.rx_bytes += len;
}

/* The last piece of a packet lets it go on like one that came whole. */
static void piece_deliver(struct ntmd_engine_path *path, uint8_t type, uint8_t tos, const uint8_t *plain,
			  size_t len)
{
	uint8_t *packet;
	int n;

	if (NTM_TYPE_LANE(type) != NTM_LANE_BULK) {
		ntmd_user_path_drop(path, NTM_DROP_PIECE);
		return;
	}
	n = ntmd_user_piece_take(path, plain, len, &packet);
	if (!n)
		return;
	inner_deliver(path, tos, packet, (size_t)n);
	ntmd_coalesce_flush(&path->engine->coalesce); /* it may have been gathered, and goes away */
	free(packet);
}

void ntmd_engine_receive(struct ntmd_engine *engine, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	const struct ntm_header *header = (const struct ntm_header *)packet;
	struct ntmd_engine_path *path;
	int n;

	if (len < NTMD_USER_OVERHEAD) {
		ntm_drop_count(NTM_DROP_SHORT);
		return;
	}
	if ((header->type & NTM_TYPE_CLASS) != NTM_TYPE_DATA) {
		ntm_drop_count(NTM_DROP_TYPE_UNEXPECTED);
		return;
	}
	path = ntmd_user_path_by_id(engine, ntm_header_id(header));
	if (path && path->engine != engine) {
		engine = ntmd_user_lock(path->engine);
		ntmd_engine_receive(engine, from, packet, len);
		ntmd_engine_flush(engine);
		ntmd_user_unlock(engine);
		return;
	}
	if (!path && engine->shard) {
		ntmd_user_shard_up_datagram(engine->shard, from, packet, len);
		return;
	}
	if (!path) {
		ntm_drop_count(NTM_DROP_PATH_UNKNOWN);
		engine->ops->path_unknown(engine->ctx, from, ntm_header_id(header), len);
		return;
	}
	n = packet_open(path, packet, len);
	if (n < 0) {
		ntmd_user_path_drop(path, n);
		if (n == -NTM_DROP_REPLAY)
			ntmd_user_replayed(path);
		/* A path of an earlier ntmd, under keys that are gone: the peer should know. */
		if (n == -NTM_DROP_PHASE_UNKNOWN && !path->user)
			engine->ops->path_unknown(engine->ctx, from, ntm_header_id(header), len);
		return;
	}
	ntmd_user_path_pin(path);
	opened_tell(path, from, header->type);
	if (n && !packet[sizeof(*header)] && !path->gone)
		piece_deliver(path, header->type, from->tos, packet + sizeof(*header), (size_t)n);
	else if (n) /* an empty packet only keeps the path alive */
		inner_deliver(path, from->tos, packet + sizeof(*header), (size_t)n);
	ntmd_user_path_unpin(path);
}
