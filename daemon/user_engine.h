/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_engine.h - what the files of the user engine share; nobody else looks behind engine.h (but its unit
 *test).
 *
 *	user_engine.c	the engine and its timer
 *	user_path.c	paths: finding them, whom they lead to, routes, statistics
 *	user_tell.c	what control and the kernel's part are told
 *	user_key.c	keys by phase
 *	user_held.c	packets that wait for a key or a route
 *	user_resume.c	the last segment of each TCP connection, sent again after an interruption
 *	user_egress.c	TUN -> segments -> path -> seal -> train
 *	user_train.c	trains of sealed packets -> UDP socket
 *	user_ingress.c	data packet -> path -> window -> open -> checks -> coalesce -> TUN
 *	user_piece.c	packets in pieces: which are cut, and what waits for its other pieces
 *	user_table.c	finding paths
 *	user_shard.h	several data threads, each with an engine of its own
 *	kernel.h	what the BPF engine does for it, if there is one
 */
#ifndef NTMD_USER_ENGINE_H
#define NTMD_USER_ENGINE_H

#include <sys/queue.h>

#include <ntm/drop.h>

#include "aead.h"
#include "daemon/coalesce.h"
#include "daemon/engine.h"
#include "daemon/kernel.h"
#include "daemon/ntm0.h"
#include "daemon/piece.h"
#include "daemon/segment.h"
#include "daemon/user_table.h"
#include "replay.h"

#define NTMD_USER_PACKET_MAX 65535 /* largest inner packet: bytes */
/* What is read at once: vnet header, IPv6's fixed header, its payload; one more: longer is seen as such. */
#define NTMD_USER_READ_MAX (NTMD_VNET_LEN + 40 + 65535 + 1)
#define NTMD_USER_OVERHEAD (NTM_HEADER_LEN + NTM_TAG_LEN)
#define NTMD_USER_BATCH 64 /* packets read from the TUN before the loop looks at other things */
#define NTMD_USER_BATCH_BYTES (1 << 20) /* and bytes: super-packets are about a millisecond's work */
/* UDP packets, both directions, before other processes get a turn: about 0.1 ms of work */
#define NTMD_USER_TURN 256
#define NTMD_USER_TRAINS 4 /* paths whose packets are gathered at the same time */
#define NTMD_USER_RETRY_MS 100 /* between two tries of a route that failed */
#define NTMD_USER_SOURCE_MS 1000 /* between two new_source of a path */
#define NTMD_USER_UNPROVEN_MS 1000 /* in so long what may go to unproven routes comes back */
#define NTMD_USER_HELD_TOTAL (64U << 20) /* held by all paths together: bytes */

/* One lane of one key phase. */
struct ntmd_user_lane {
	struct ntm_aead seal, open;
	uint64_t next; /* counter of the next packet sealed */
	uint64_t soft, hard; /* key_worn is told at soft, nothing is sealed from hard on */
	struct ntm_replay window;
};

struct ntmd_user_key {
	int64_t expires_ms;
	bool opened; /* phase_opened was told */
	bool worn; /* key_worn was told */
	bool inline_only; /* taken over from an earlier ntmd: nobody has its bulk keys any more */
	uint8_t digest[NTM_KEY_LEN]; /* of the keys: counters must not start again under the same ones */
	struct ntmd_kernel_phase *kernel; /* has the inline lane's counter and window; NULL: they are below */
	struct ntmd_user_lane lane[NTM_LANES];
};

/* A packet that waits, as the application sent it. */
struct ntmd_user_held {
	TAILQ_ENTRY(ntmd_user_held) in_path, in_engine;
	struct ntmd_engine_path *path;
	int64_t since_ms;
	unsigned len;
	bool going; /* by ntmd_user_held_flush, which still needs it */
	uint8_t packet[];
};
TAILQ_HEAD(ntmd_user_held_list, ntmd_user_held);

/* What egress found and tells when it has done with its buffers. */
enum ntmd_user_note {
	NTMD_USER_NOTE_WORN = 1,
	NTMD_USER_NOTE_FAILED = 2,
	NTMD_USER_NOTE_DEAD = 4,
	NTMD_USER_NOTE_UNHEARD = 8,
	/* Only of paths in shards, whose ops are told by the control loop: */
	NTMD_USER_NOTE_OPENED = 16, /* and 32, 64, 128: by phase */
	NTMD_USER_NOTE_ARRIVED = 256,
	NTMD_USER_NOTE_SOURCE = 512,
	NTMD_USER_NOTE_BULK = 1024,
	NTMD_USER_NOTE_CHANGED = 2048, /* the kernel's part must know */
	NTMD_USER_NOTE_FLUSH = 4096, /* something waits that only control can send */
	NTMD_USER_NOTE_REPLAYED = 8192,
};

struct ntmd_user_told {
	unsigned notes; /* enum ntmd_user_note */
	int err; /* of NTMD_USER_NOTE_FAILED */
	struct ntm_flow from; /* of NTMD_USER_NOTE_SOURCE */
};

/*
 * Sealed packets of one path that go out together: of one size, the last one may be shorter. Trains are
 * filled and sent while the TUN is read; none is left when ops are called or the loop goes on.
 */
struct ntmd_user_train {
	struct ntmd_engine_path *path; /* NULL: empty */
	bool going; /* it is being sent */
	struct ntmd_user_lane *keys; /* that sealed them */
	enum ntm_lane lane;
	unsigned count;
	size_t size, len; /* of the first packet, of all: bytes */
	/* a single packet may be larger than UDP takes */
	uint8_t data[NTMD_USER_READ_MAX + NTMD_USER_OVERHEAD];
};

struct ntmd_engine_path {
	struct ntmd_engine *engine;
	void *user;
	LIST_ENTRY(ntmd_engine_path) all;
	unsigned pins; /* held by code that calls out; see ntmd_user_path_pin */
	bool gone; /* deleted, memory still pinned */
	bool unsettled; /* in engine->unsettled */
	TAILQ_ENTRY(ntmd_engine_path) to_settle;

	/* ---- who */
	struct ntmd_user_link by_id, by_vip[2]; /* in the main engine's tables, [0]: IPv4 */
	struct ntmd_user_local *local; /* NULL: there are no threads */
	struct ntm_addr vip[2]; /* the peer's */
	uint64_t id;
	uint8_t side; /* ours */
	bool identified;
	bool replaced; /* another path has its addresses */
	bool unheard_told, expecting;
	bool resume_due, resuming; /* what resume keeps is sent again, when that is possible; now */
	struct ntmd_kernel_path *kernel;

	/* ---- keys */
	struct ntmd_user_key *key[NTM_TYPE_PHASES];
	int phase; /* that seals; -1: none yet */
	unsigned sources; /* there are in source */

	/* ---- where to */
	unsigned route_serial; /* counts route_set */
	struct ntm_flow route, second;
	bool has_route, has_second, failed_told, settling, again;
	bool train_refused; /* the route's device does not segment: packets go one by one */
	uint64_t unproven_bytes, unproven_sent; /* by this route_set; 0: no bound */
	uint64_t unproven_spent; /* by those before, less what came back since unproven_ms */
	int64_t unproven_ms;
	int64_t retry_ms; /* nothing is sent before; 0: no failure */
	unsigned mtu, mtu_learned; /* inner; 0: not known */
	struct ntm_endpoint *source;
	int64_t new_source_ms, replayed_ms; /* told last; 0: never */

	/* ---- does the peer's daemon live? does the peer hear that ours does? */
	bool bulk_dead, bulk_waiting; /* waiting: bulk went out since the last acknowledgement */
	bool ack_paused, ack_owed; /* paused: told less than NTM_BULK_ACK_MS ago, in engine->acks */
	uint32_t piece_id; /* of the next packet that is sent in pieces */
	int64_t bulk_since_ms; /* the first of it */
	int64_t ack_ms; /* when the pause ends */
	TAILQ_ENTRY(ntmd_engine_path) acks;

	int64_t unheard_ms; /* the first data since anything came; 0: nothing waits */

	struct ntmd_user_held_list held;
	struct ntmd_user_pieces *pieces; /* received; NULL: none */
	struct ntmd_user_resume *resume; /* NULL: no TCP lately */
	unsigned notes; /* enum ntmd_user_note */
	int failed_err;
	struct ntmd_engine_stats stats;
};

struct ntmd_engine {
	struct ntmd_engine *main; /* the control loop's: itself, unless this is a shard */
	struct ntmd_user_shard *shard; /* NULL: the main one */
	struct ntmd_user_shards *shards; /* of the main one; NULL: it is alone */
	struct event_base *base;
	const struct ntmd_engine_ops *ops;
	void *ctx;
	struct ntmd_ntm0 tun;
	struct ntmd_kernel *kernel; /* NULL: none */
	const struct ntmd_kernel_ops *kernel_ops;
	bool train_refused; /* by some path's device, the last time a path asked: for people */
	struct event *readable, *timer;
	int64_t timer_ms; /* armed for; INT64_MAX: not armed */
	int64_t (*now_us)(void); /* boot-time clock */
	struct ntm_addr own[2]; /* own virtual addresses, [0]: IPv4 */

	LIST_HEAD(, ntmd_engine_path) paths;
	unsigned path_count;
	struct ntmd_user_table by_id, by_vip;
	struct ntmd_user_held_list held; /* of all paths, oldest first */
	uint64_t held_bytes, held_max;
	TAILQ_HEAD(, ntmd_engine_path) acks; /* paused paths, the first to go on first */

	LIST_HEAD(, ntmd_user_pieces) pieces; /* of all paths */
	struct ntmd_piece_room piece_room;
	TAILQ_HEAD(, ntmd_engine_path) unsettled; /* have notes or held packets since the TUN was read */
	bool reading; /* the TUN is being read: nothing is settled meanwhile */
	struct ntmd_segments segments;
	struct ntmd_coalesce coalesce;
	/* clock when the first of the packets that arrived together was opened; 0: none was */
	int64_t batch_ms;
	unsigned udp_since_turn; /* UDP packets, both directions, since other processes had a turn */
	struct ntmd_user_train train[NTMD_USER_TRAINS];
	unsigned train_next; /* sent early if another path needs one */
	uint8_t plain[NTMD_USER_READ_MAX];
};

static inline int64_t ntmd_user_now_ms(const struct ntmd_engine *engine)
{
	return engine->now_us() / 1000;
}

/* Index of an address's family in vip[], own[], by_vip[]. */
static inline int ntmd_user_family(unsigned version)
{
	return version == 6;
}

/* Who calls ops pins the path it works on, since ops may delete it. */
static inline void ntmd_user_path_pin(struct ntmd_engine_path *path)
{
	path->pins++;
}
void ntmd_user_path_unpin(struct ntmd_engine_path *path);

/* The kernel's part is the main engine's. */
static inline struct ntmd_kernel *ntmd_user_kernel(const struct ntmd_engine *engine)
{
	return engine->main->kernel;
}

/* What the kernel's part must know of the path is not what it was. */
void ntmd_user_kernel_changed(struct ntmd_engine_path *path);
static inline void ntmd_user_path_changed(struct ntmd_engine_path *path)
{
	if (ntmd_user_kernel(path->engine) && !path->gone)
		ntmd_user_kernel_changed(path);
}

/* ---- user_shard.c: for calls of engine.h, which are all of the control loop; the shard waits until their
 * end */
struct ntmd_engine *ntmd_user_lock(struct ntmd_engine *engine);
void ntmd_user_unlock(struct ntmd_engine *engine);
void ntmd_user_unlock_at_end(struct ntmd_engine **engine);
#define NTMD_USER_LOCKED(engine)                                                                \
	struct ntmd_engine *locked_ __attribute__((cleanup(ntmd_user_unlock_at_end), unused)) = \
		ntmd_user_lock(engine)
/* Whether it is the shard's thread that works. The lock is held. */
bool ntmd_user_in_thread(const struct ntmd_engine *engine);

/* ---- user_engine.c */
int ntmd_user_engine_init(struct ntmd_engine *engine, struct event_base *base,
			  const struct ntmd_engine_ops *ops, void *ctx);
void ntmd_user_timer_run(struct ntmd_engine *engine); /* what is due */
uint64_t ntmd_user_vip_hash(const struct ntmd_engine *engine, const struct ntm_addr *vip);
void ntmd_user_notes_tell(struct ntmd_engine_path *path, const struct ntmd_user_told *told); /* calls ops */

/* Counts a drop, globally and at the path. */
void ntmd_user_path_drop(struct ntmd_engine_path *path, int reason);
struct ntmd_engine_path *ntmd_user_path_by_id(const struct ntmd_engine *engine, uint64_t id);
struct ntmd_engine_path *ntmd_user_path_by_vip(const struct ntmd_engine *engine, const struct ntm_addr *vip);
/* Another of the main engine's with this address of that family ([0]: IPv4), older than this one; NULL:
 * none. */
struct ntmd_engine_path *ntmd_user_path_by_vip_next(const struct ntmd_engine_path *path, int family);
/* Lets held packets go where possible, then tells what egress noted. The path may be freed if it is not
 * pinned. */
void ntmd_user_path_settle(struct ntmd_engine_path *path);
/* Something is due at this time. */
void ntmd_user_timer_arm(struct ntmd_engine *engine, int64_t due_ms);
/* Bulk data came in: tells bulk_received now, or when the pause is over. The path must be pinned. */
void ntmd_user_bulk_received(struct ntmd_engine_path *path);
void ntmd_user_replayed(struct ntmd_engine_path *path);
/* whether to tell of it now: not so soon after the last */
bool ntmd_user_replay_due(struct ntmd_engine_path *path);

/* ---- user_key.c */
/* The key that seals now, or NULL: none, or over its time. */
struct ntmd_user_key *ntmd_user_key_sending(const struct ntmd_engine_path *path);
bool ntmd_user_key_spent(const struct ntmd_engine_path *path); /* there is one, but over a limit */
void ntmd_user_key_drop_all(struct ntmd_engine_path *path);

/*
 * Keys of an earlier ntmd, of which only the inline lane's are left, and whose counters and window `kernel`
 * has. 0 or -errno; the caller wipes the keys.
 */
int ntmd_user_key_inherit(struct ntmd_engine_path *path, unsigned phase, const uint8_t send[NTM_KEY_LEN],
			  const uint8_t receive[NTM_KEY_LEN], int64_t expires_ms,
			  struct ntmd_kernel_phase *kernel);

/* ---- user_held.c */
void ntmd_user_held_put(struct ntmd_engine_path *path, const uint8_t *packet, size_t len);
void ntmd_user_held_remove(struct ntmd_user_held *held); /* and frees it */
void ntmd_user_held_expire(struct ntmd_engine *engine);
void ntmd_user_held_flush(struct ntmd_engine_path *path);
void ntmd_user_held_clear(struct ntmd_engine_path *path, bool refuse);
/* to another engine, before the path goes there */
void ntmd_user_held_take(struct ntmd_engine_path *path, struct ntmd_engine *to);
void ntmd_user_held_move(struct ntmd_engine_path *from, struct ntmd_engine_path *to);

/* ---- user_egress.c */
void ntmd_user_egress_readable(evutil_socket_t fd, short what, void *arg);
bool ntmd_user_egress_read(struct ntmd_engine *engine); /* a wake-up's worth. true: there may be more */
/* One that a thread has read. By the control loop. */
void ntmd_user_egress_packet(struct ntmd_engine *engine, const struct virtio_net_hdr *vnet, uint8_t *packet,
			     size_t len);
/* Seals and sends. 0: sent, or dropped and counted; -EAGAIN: cannot be sent now, hold it. */
int ntmd_user_egress_send(struct ntmd_engine_path *path, const uint8_t *packet, size_t len);
/*
 * Seals one into the path's train, which the caller sends. false: it does not go with those that are in it,
 * or not at all in a train; send that, and then this by itself.
 */
bool ntmd_user_egress_gather(struct ntmd_engine_path *path, const uint8_t *packet, size_t len);
bool ntmd_user_egress_can_send(struct ntmd_engine_path *path); /* there are key and route */
/* Drops a packet larger than the path's MTU (bytes), and answers it. */
void ntmd_user_egress_too_big(struct ntmd_engine_path *path, const uint8_t *packet, size_t len, unsigned mtu);
void ntmd_user_egress_unsettled(struct ntmd_engine_path *path); /* settle it before the loop goes on */

/* ---- user_resume.c */
/* it was sent */
void ntmd_user_resume_note(struct ntmd_engine_path *path, const uint8_t *packet, size_t len);
void ntmd_user_resume_send(struct ntmd_engine_path *path);
void ntmd_user_resume_rest(struct ntmd_engine_path *path); /* forgets what is too old to be sent again */
void ntmd_user_resume_clear(struct ntmd_engine_path *path);
void ntmd_user_resume_move(struct ntmd_engine_path *from, struct ntmd_engine_path *to);

/* ---- user_piece.c */
/* Whether a packet that does not fit the path goes in pieces, since ICMP cannot make its sender send smaller
 * ones. */
bool ntmd_user_piece_needed(const uint8_t *packet, size_t len);
/* Counts what is dropped. The length of a packet that is complete now, and ret_packet, which the caller
 * frees; or 0. */
int ntmd_user_piece_take(struct ntmd_engine_path *path, const uint8_t *plain, size_t len,
			 uint8_t **ret_packet);
void ntmd_user_piece_expire(struct ntmd_engine *engine);
void ntmd_user_piece_clear(struct ntmd_engine_path *path);

/* ---- user_train.c */
/* Whether a sealed packet of len bytes may go anywhere now: a route that is not proven takes only so much. */
bool ntmd_user_train_allowed(const struct ntmd_engine_path *path, size_t len);
/*
 * Room for a sealed packet of len bytes, which the caller fills at once, or NULL: a train of this path that
 * had to go first failed, hold the packet.
 */
uint8_t *ntmd_user_train_add(struct ntmd_engine_path *path, struct ntmd_user_lane *keys, enum ntm_lane lane,
			     size_t len);
/*
 * Sends what is gathered for this path. 0: all of it is sent, or dropped and counted; -EAGAIN: no route took
 * it. Then it is held, in order, if hold; else the caller still has it.
 */
int ntmd_user_train_flush(struct ntmd_engine_path *path, bool hold);
/* As ntmd_user_train_flush without hold. ret_done: of its packets, from the first on, the caller need not
 * keep so many. */
int ntmd_user_train_flush_some(struct ntmd_engine_path *path, unsigned *ret_done);
/* Whether one more sealed packet, of len bytes, can go with those that are gathered, and by the same
 * routes. */
bool ntmd_user_train_takes(const struct ntmd_engine_path *path, const struct ntmd_user_lane *keys,
			   enum ntm_lane lane, size_t len);
void ntmd_user_train_flush_all(struct ntmd_engine *engine); /* holds */
void ntmd_user_train_forget(const struct ntmd_engine_path *path); /* it is deleted, with its keys */

/* ---- user_ingress.c */
/* Writes one packet into the TUN. 0 or -errno. */
int ntmd_user_ingress_write(struct ntmd_engine *engine, const uint8_t *packet, size_t len);
/* whether it is time for a turn of other processes: sched_yield */
bool ntmd_user_turn_due(struct ntmd_engine *engine);
void ntmd_user_ingress_init(struct ntmd_engine *engine); /* once the device is open */

#endif
