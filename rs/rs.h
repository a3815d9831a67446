/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * rs.h - the Relay Server: its one structure, and what its files offer each other.
 *
 *	socket -> user_lane.c --> receive.c -+-> registration.c  sessions of the DCs (Noise IK)
 *	             ^                       |     relay.c       Relay Direction, Withdraw -> path.c
 *	             |                       |     keepalive.c   Keep Alive, load reports
 *	             |                       +-> relay.c         binds -> path.c
 *	             +-----------------------+-- rs_lane_forward(): Path ID -> path.c -> the other leg
 *
 * Everything runs in the main loop but rs_receive_relayed() and what it calls in user_lane.c, path.c and
 * too_big.c: user_relay.c has a thread for each lane of data. server.c puts them together, control.c answers
 * ntmctl.
 */
#ifndef NTM_RS_H
#define NTM_RS_H

#include <event2/event.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <ntm/header.h>
#include <ntm/limits.h>
#include <ntm/types.h>

#include "control.h"
#include "endpoint.h"
#include "path.h"
#include "session.h"
#include "too_big.h"
#include "udp.h"
#include "user_lane.h"
#include "xdp.h"

#define RS_DCS_MAX 64 /* DCs in rs.conf */
#define RS_THREADS_MAX 8 /* that relay in user space */
#define RS_MONITORS_MAX 64 /* clients of `monitor`; the control socket takes no more */

/* ---- config.c: rs.conf(5) */

struct rs_config_dc {
	char name[NTM_FQDN_MAX + 1];
	uint8_t key[NTM_KEY_LEN]; /* public */
	unsigned max_paths;
};

struct rs_config {
	char name[NTM_FQDN_MAX + 1];
	char *private_key_file, *control_socket;
	uint8_t private_key[NTM_KEY_LEN];
	struct ntm_endpoint listen[NTM_SERVERS_MAX];
	unsigned listens;
	struct rs_config_dc dc[RS_DCS_MAX];
	unsigned dcs;
	enum rs_xdp_mode xdp;
	char interface[RS_INTERFACES_MAX][RS_INTERFACE_MAX];
	unsigned interfaces;
	char *pin_dir;
	unsigned max_paths;
	unsigned threads; /* that relay in user space; 0: as many as there are CPUs */
};

/* 0, or -1 with "FILE:LINE: what was expected" in ret_why; ret_config is then cleared. */
int rs_config_read(struct rs_config *ret_config, const char *path, char *ret_why, size_t why_len);
void rs_config_clear(struct rs_config *config); /* wipes the key */

/* ---- the server */

struct rs_dc { /* a DC that may direct this relay */
	LIST_ENTRY(rs_dc) entry;
	struct ntm_peer peer;
	char name[NTM_FQDN_MAX + 1];
	int64_t connected_ms, directed_ms; /* when its session began, and its last Relay Direction came */
	/* Its part of the table (path.c), and how many new paths that may come to */
	unsigned paths, max_paths;
};

struct rs {
	const char *config_path;
	struct rs_config config;
	struct event_base *base;
	struct ntm_sessions sessions;
	LIST_HEAD(rs_dc_list, rs_dc) dcs;
	struct rs_paths paths;
	struct event *sweep; /* every second */
	uint64_t boot_id; /* random, never 0 */
	uint8_t bind_secret[NTM_KEY_LEN]; /* of challenges, random */
	int64_t started_ms;

	struct rs_lane *lane[1 + RS_THREADS_MAX]; /* the main loop's, and the threads' */
	unsigned lanes;
	struct rs_user_relay *user_relay; /* threads and events of the lanes */
	struct rs_too_big *too_big; /* NULL: not allowed to tell */
	uint64_t packets, bytes; /* relayed in user space since the start; bytes of UDP payload; atomic */

	struct rs_xdp *xdp;
	struct rs_relay_map *map; /* NULL: XDP does not relay, and never has since the start */

	bool draining; /* drain.c */

	struct event *report; /* keepalive.c */
	struct ntm_load load; /* of the last interval */
	uint64_t load_packets, load_bytes; /* at its end */
	int64_t load_us;
	uint64_t load_cpu_ns;

	struct ntm_control *control;
	struct rs_monitor { /* a client that follows events */
		struct ntm_control_request *request; /* NULL: this place is free */
	} monitor[RS_MONITORS_MAX];
};

/* server.c: everything from the sockets on. config is taken over, also on failure. 0, or -errno and what to
 * do in ret_why. */
int rs_open(struct rs *rs, struct event_base *base, const char *config_path, struct rs_config *config,
	    char *ret_why, size_t why_len);
void rs_close(struct rs *rs);
/* Reads the configuration again; [dc] sections that came or went take effect. */
void rs_reload(struct rs *rs);

/* ---- receive.c: the one place where packets and messages find their handler */

/* One datagram, in the main loop. buf may be changed and must live until the lane's batch is sent. */
void rs_receive_packet(struct rs *rs, const struct ntm_flow *from, uint8_t *buf, size_t len, int64_t now_us);
/* The same in a thread that relays. */
void rs_receive_relayed(struct rs_lane *lane, const struct ntm_flow *from, uint8_t *buf, size_t len,
			int64_t now_us);
/* Such a thread got a packet of len bytes with this header, whose Path ID nobody knows. */
void rs_receive_unknown(struct rs *rs, const struct ntm_flow *from, const uint8_t header[NTM_HEADER_LEN],
			size_t len);
/* A request in a session, for struct ntm_session_ops. */
void rs_receive_request(void *ctx, const struct ntm_session_from *from, const struct ntm_message *message);

/* ---- registration.c: sessions of the DCs */

int rs_registration_open(struct rs *rs, char *ret_why, size_t why_len); /* 0 or -errno */
void rs_registration_close(struct rs *rs);
/* The DCs become those of config; paths of a DC that went are removed. 0 or -errno, then some DCs may be
 * missing. */
int rs_registration_update(struct rs *rs, const struct rs_config *config);
struct rs_dc *rs_registration_dc(struct ntm_peer *peer);

/* ---- relay.c: Relay Direction, Relay Withdraw, and the binds of both legs */

void rs_relay_direction_handle(struct rs *rs, const struct ntm_session_from *from,
			       const struct ntm_message *message);
void rs_relay_withdraw_handle(struct rs *rs, const struct ntm_session_from *from,
			      const struct ntm_message *message);
/*
 * Every second: forgets inherited paths whose DC is back, but has directed nothing for NTM_RELAY_INHERITED_S.
 * While it is away they stay, and end with their lifetime.
 */
void rs_relay_inherited_check(struct rs *rs, int64_t now_ms);
/* Returns 0, or the negative drop reason, not yet counted. */
int rs_relay_bind_handle(struct rs *rs, const struct ntm_flow *from, const uint8_t *packet, size_t len,
			 int64_t now_us);

/* ---- user_relay.c: the sockets, and the threads that forward */

int rs_user_relay_open(struct rs *rs, char *ret_why, size_t why_len); /* the sockets; 0 or -errno */
/* The threads, when the table has all paths of an earlier ntm-rs: until then packets wait. 0 or -errno. */
int rs_user_relay_start(struct rs *rs, char *ret_why, size_t why_len);
void rs_user_relay_stop(struct rs *rs); /* ends the threads; again: no harm */
void rs_user_relay_close(struct rs *rs);
/* The socket that flows of this listen endpoint are told by, and the other way round. */
struct ntm_udp *rs_user_relay_udp(struct rs *rs, unsigned listen);
unsigned rs_user_relay_listen(const struct rs *rs, const struct ntm_udp *udp);
/* The socket and source address of a flow that is bound at `local`; false: nobody listens there. */
bool rs_user_relay_flow(struct rs *rs, const struct ntm_endpoint *local, struct ntm_flow *flow);
/* Whether the kernel may join datagrams to trains for us, before generic XDP sees them. */
void rs_user_relay_gro(struct rs *rs, bool on);

/* ---- keepalive.c: Keep Alive of the DCs, and what they are told of our load */

int rs_keepalive_open(struct rs *rs); /* 0 or -errno */
void rs_keepalive_close(struct rs *rs);
void rs_keepalive_handle(struct rs *rs, const struct ntm_session_from *from,
			 const struct ntm_message *message);

/* The load since the last report, now. */
void rs_keepalive_report(struct rs *rs);

/* ---- drain.c: no new paths; the end, when there are none left */

void rs_drain_set(struct rs *rs, bool draining); /* and tells the DCs */
void rs_drain_check(struct rs *rs); /* every second, and when a path went: ends the loop if it is time */

/* ---- control.c: what ntmctl asks */

int rs_control_open(struct rs *rs, char *ret_why, size_t why_len); /* 0 or -errno */
void rs_control_close(struct rs *rs);

/* Events for `monitor`; they cost nothing while nobody listens. */
void rs_control_path_event(struct rs *rs, const char *event, const struct rs_path *path);
void rs_control_leg_event(struct rs *rs, const char *event, const struct rs_path *path, unsigned side);
void rs_control_rs_event(struct rs *rs, const char *event);
void rs_control_dc_event(struct rs *rs, const char *event, const struct rs_dc *dc);

#endif
