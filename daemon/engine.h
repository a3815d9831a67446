/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * engine.h - the narrow waist between signalling and packets. Above: path.c, tunnel.c, handover.c say which
 * paths there are, by which keys and routes. Below: the user engine (user_engine.c, user_egress.c,
 * user_ingress.c on ntm0.c's TUN) seals, sends, opens and delivers. Another engine stands behind the same
 * calls.
 *
 * An engine path exists from the moment packets for it may come: without keys or route it holds them
 * (NTM_HELD_BYTES, NTM_HELD_MS), and lets them go in order when both are there.
 */
#ifndef NTMD_ENGINE_H
#define NTMD_ENGINE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ntm/header.h>
#include <ntm/limits.h>
#include <ntm/types.h>

#include "udp.h"

struct ntmd_engine;
struct ntmd_engine_path;

/*
 * What the engine tells; every pointer must be set. All run in the loop. `user` is the pointer given to
 * path_add. They may call everything below but ntmd_engine_close, and may delete any path, also the one they
 * are told about.
 */
#define NTMD_ENGINE_REPLAYED_MS 1000

struct ntmd_engine_ops {
	/* A packet from an application to a virtual address that no path has. Returns a path that holds it,
	 * or NULL: drop. */
	struct ntmd_engine_path *(*no_path)(void *ctx, const struct ntm_addr *dst);
	/* The first packet under this key phase has opened. */
	void (*phase_opened)(void *ctx, void *user, unsigned phase);
	/* An authentic packet came from an endpoint that is not among the path's routes or sources. At most
	 * once a second a path. */
	void (*new_source)(void *ctx, void *user, const struct ntm_flow *from);
	/* Bulk data comes in; at most once in NTM_BULK_ACK_MS a path: tell the peer that we live. */
	void (*bulk_received)(void *ctx, void *user);
	/* No ntmd_engine_path_bulk_acked for NTM_BULK_DEAD_MS while bulk data went out: the path uses the
	 * inline lane now. */
	void (*bulk_dead)(void *ctx, void *user);
	/* Data went out, and nothing authentic has come by the same route since: once until
	 * ntmd_engine_path_unheard() says that it has. */
	void (*unheard)(void *ctx, void *user);
	/* After ntmd_engine_path_expect: the first data packet from where packets go now. */
	void (*arrived)(void *ctx, void *user);
	/* The sending key of the current phase is near its packet limit (NTM_REKEY_AFTER_*): once a key. */
	void (*key_worn)(void *ctx, void *user);
	/* Sending failed for lack of a route or the like (errno, positive): once until the next route_set.
	 * Packets are held meanwhile and now and then tried again. */
	void (*send_failed)(void *ctx, void *user, int err);
	/*
	 * A data packet came again, or one that looks so; it went no further. At most once in
	 * NTMD_ENGINE_REPLAYED_MS a path. Usual while packets go by two routes.
	 */
	void (*replayed)(void *ctx, void *user);
	/* A data packet under a Path ID that no engine path has. */
	void (*path_unknown)(void *ctx, const struct ntm_flow *from, uint64_t path_id, size_t len);
};

struct ntmd_engine_config {
	const char *device; /* ntm0 */
	int tun_fd; /* a ready TUN (the engine closes it, once it is open), or -1 */
	unsigned mtu; /* inner MTU of the device */
	/*
	 * Data threads; 0 or 1: all is done in the loop. More of them have further queues of the device, and
	 * further sockets beside these, which were opened by ntm_udp_open_one and are the loop's ([0]: IPv4;
	 * NULL or closed: none). If that cannot be, there is one thread, and a warning says why.
	 */
	unsigned threads;
	struct ntm_udp *udp[2];
	/* ready queues, one a thread (the engine closes them); NULL: of `device`, or with tun_fd none */
	const int *tun_queue;
};

/* Makes (or takes over) the persistent TUN device. 0 or -errno with a sentence for the user in ret_why. */
int ntmd_engine_open(struct ntmd_engine **ret_engine, struct event_base *base,
		     const struct ntmd_engine_config *config, const struct ntmd_engine_ops *ops, void *ctx,
		     char *ret_why, size_t why_len);
void ntmd_engine_close(struct ntmd_engine *engine); /* paths must be deleted before */
unsigned ntmd_engine_threads(const struct ntmd_engine *engine); /* 1: the loop is the only one */
unsigned ntmd_engine_ifindex(const struct ntmd_engine *engine); /* 0: tun_fd was no TUN */
/* "bpf": the inline lane is the kernel's, or "user" */
const char *ntmd_engine_name(const struct ntmd_engine *engine);

/* What saves work and was found to be there; only speed depends on it. */
struct ntmd_engine_offloads {
	bool tso, uso; /* applications' TCP, UDP trains come from the device in one piece, and go back so */
	bool train; /* no route's device has refused trains of packets (UDP_SEGMENT) lately */
};
void ntmd_engine_offloads(const struct ntmd_engine *engine, struct ntmd_engine_offloads *ret_offloads);

/* Own virtual addresses; inner packets to us must have them as destination, packets from us as source. */
void ntmd_engine_own_set(struct ntmd_engine *engine, const struct ntm_addr *vip4,
			 const struct ntm_addr *vip6);

/* NULL: no memory or NTM_PATHS_MAX. */
struct ntmd_engine_path *ntmd_engine_path_add(struct ntmd_engine *engine, void *user);
/*
 * The peer's virtual addresses, either may be none: inner packets from the peer must have one as source, and
 * packets to them go to the path that was mapped last. When that path goes, the one mapped before it takes
 * over.
 */
void ntmd_engine_path_map(struct ntmd_engine_path *path, const struct ntm_addr *vip4,
			  const struct ntm_addr *vip6);
/* Gives the path its ID and our side; before that only packets are held. 0 or -EEXIST. */
int ntmd_engine_path_identify(struct ntmd_engine_path *path, uint64_t path_id, enum ntm_side side);
/*
 * Held packets and the mapping of virtual addresses go over to another path (a newer one of the same pair).
 * `to` keeps an address that it has; `from` goes on to receive.
 */
void ntmd_engine_path_hand_over(struct ntmd_engine_path *from, struct ntmd_engine_path *to);
/* Packets still held are dropped, or refused to the applications (ICMP host unreachable) if refuse. */
void ntmd_engine_path_delete(struct ntmd_engine_path *path, bool refuse);

struct ntmd_engine_keys {
	struct {
		enum ntm_cipher cipher;
		uint8_t send[NTM_KEY_LEN], receive[NTM_KEY_LEN];
	} lane[NTM_LANES];
};

/*
 * Installs keys for receiving under this phase, valid until the boot-time clock says expires_ms. Replaces
 * older keys of the phase; the same keys once more only get the new time: their counters and windows go on.
 * 0, -EINVAL (phase, or an inline lane that is not ChaCha20-Poly1305), -ENOTSUP (cipher), -ENOMEM. The caller
 * wipes *keys.
 */
int ntmd_engine_path_key_set(struct ntmd_engine_path *path, unsigned phase,
			     const struct ntmd_engine_keys *keys, int64_t expires_ms);
/*
 * From now on packets are sealed under this phase; lets held packets go if there is a route. A key that is
 * over its time or packet limit (NTM_STOP_AFTER_*) seals nothing more: packets are held, and those that grow
 * too old count as key_expired.
 */
void ntmd_engine_path_phase_set(struct ntmd_engine_path *path, unsigned phase);
void ntmd_engine_path_key_drop(struct ntmd_engine_path *path, unsigned phase);

/* No data has come or gone for a while: gives back memory that the next packet makes again (some
 * microseconds). */
void ntmd_engine_path_rest(struct ntmd_engine_path *path);

/*
 * Where packets go. second (may be NULL): every packet goes there as well, while one of the two is not
 * proven; unproven_bytes > 0 bounds what is sent to `route` until the next route_set (the rest goes to second
 * only), less what went to others so lately. route NULL: hold packets.
 */
void ntmd_engine_path_route_set(struct ntmd_engine_path *path, const struct ntm_flow *route,
				const struct ntm_flow *second, uint64_t unproven_bytes);
/*
 * What was sent lately may be lost: the path did not work. The last segment of each TCP connection goes out
 * once more, before held packets, when the next route is set (user_resume.c says why).
 */
void ntmd_engine_path_resume(struct ntmd_engine_path *path);
/* The endpoints packets may come from besides the routes; a copy is kept (NTM_ROUTES_MAX at most). */
void ntmd_engine_path_sources_set(struct ntmd_engine_path *path, const struct ntm_endpoint *source,
				  unsigned count);
/* An authentic path control message came from the peer's daemon. */
void ntmd_engine_path_bulk_acked(struct ntmd_engine_path *path);
void ntmd_engine_path_heard(struct ntmd_engine_path *path); /* one came by the route in use */
/*
 * The peer's daemon does not answer, but its kernel may still open the inline lane: all goes there until the
 * daemon is heard again, and what TCP waits for goes at once. false: the kernel here does not have that lane.
 */
bool ntmd_engine_path_inline_try(struct ntmd_engine_path *path);
/* When the kernel sent and took something of this path last, by whatever route (boot-time clock, ms); 0:
 * never. */
void ntmd_engine_path_kernel_times(const struct ntmd_engine_path *path, int64_t *ret_tx_ms,
				   int64_t *ret_rx_ms);
/* When the first data went out since anything authentic came by the route in use (boot-time clock); 0: all is
 * well, and unheard is told again. */
int64_t ntmd_engine_path_unheard(struct ntmd_engine_path *path);
/* The kernel has sent something since then, and nothing has come. false: that something waits is known
 * already. */
bool ntmd_engine_path_unheard_since(struct ntmd_engine_path *path, int64_t since_ms);
void ntmd_engine_path_unheard_forget(struct ntmd_engine_path *path); /* as if something had come */
void ntmd_engine_path_expect(struct ntmd_engine_path *path); /* tell arrived */

/* Largest inner packet this path takes, bytes; 0: as large as the device's. Larger ones are answered with
 * ICMP "too big". A smaller size that sending teaches (EMSGSIZE) holds until the next route_set. */
void ntmd_engine_path_mtu_set(struct ntmd_engine_path *path, unsigned mtu);

struct ntmd_engine_stats {
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets; /* inner ones, delivered or sent */
	uint64_t drops;
	uint64_t lane_rx_packets[NTM_LANES], lane_tx_packets[NTM_LANES]; /* authentic ones, also empty */
	int64_t last_rx_ms, last_tx_ms; /* boot-time clock, 0: never */
	uint64_t resent_packets; /* by ntmd_engine_path_resume */
	unsigned held_packets;
	unsigned held_bytes; /* as NTM_HELD_BYTES bounds them: with some overhead a packet */
	enum ntm_lane lane; /* that bulk data takes now */
};
/* who has the inline lane of the phase in use */
const char *ntmd_engine_path_name(const struct ntmd_engine_path *path);
void ntmd_engine_path_stats(const struct ntmd_engine_path *path, struct ntmd_engine_stats *ret_stats);

/*
 * A data packet (NTM_TYPE_DATA...) from a socket. Counts its own drops. It must stay where it is until
 * ntmd_engine_flush, which comes after the last of the packets that arrived together: only then the
 * applications have all of them.
 */
void ntmd_engine_receive(struct ntmd_engine *engine, const struct ntm_flow *from, uint8_t *packet,
			 size_t len);
void ntmd_engine_flush(struct ntmd_engine *engine);

#endif
