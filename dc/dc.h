/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * dc.h - what the files of ntm-dc share. A message's way:
 *
 *	receive.c -> registration.c, keepalive.c            -> the member's location
 *	          -> direction.c -> location.c (other DCs)  -> path_select.c -> relay.c and route_direction.c
 *	          -> path.c (withdrawals)
 *	dns.c     -> dns_zone.c -> dns_guard.c, member.c
 *	control.c -> member.c -> addr_pool.c, store.c
 *	recall.c  -> store.c; calls the members back after a restart
 *
 * Members are durable (store.c); locations, paths and directions are soft state and end with the process.
 */
#ifndef DC_DC_H
#define DC_DC_H

#include <event2/event.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <ntm/limits.h>
#include <ntm/types.h>
#include <ntm/wire.h>

#include "control.h"
#include "dc/addr_pool.h"
#include "dc/path_select.h"
#include "dc/store.h"
#include "dc/table.h"
#include "loop.h"
#include "msg.h"
#include "session.h"
#include "udp.h"

#define DC_PEERS_MAX 64 /* DCs that one DC trusts */
#define DC_PEER_PREFIXES 8 /* of each family that one of them may hand out addresses of */
#define DC_DISTRUST_LOG_MS 60000 /* what one of them told that was not believed is logged so often */
#define DC_RELAY_TIMEOUT_MS 1500 /* an RS that has not answered by then is passed over: at most, */
/* And this much with 8 round trips, where they are known: tunnels wait for another one */
#define DC_RELAY_PATIENCE_MS 600
#define DC_NODE_TIMEOUT_MS 3500 /* a CN that has not: the requester itself waits NTM_REQUEST_TIMEOUT_MS */
#define DC_LOCATION_TIMEOUT_MS 2000 /* another DC */
#define DC_PROOF_MS 400 /* a requester that moved may take this long to prove where it is */
#define DC_PATH_ID_DRAWS 4 /* the first and three more */
#define DC_DRAIN_MS (NTM_KEY_DRAIN_S * 1000) /* a replaced path is withdrawn this much later */
#define DC_LEAVING_MS 3000 /* a removed member is told for this long */
#define DC_RECALLS 2 /* resets to each member that was registered before a restart */
#define DC_RELAY_KEEPALIVE_MS 1000 /* to each RS; also how long it may take to answer */
#define DC_RELAY_RETRY_MS 1000 /* to one that is down */
#define DC_RELAY_MISSES 2 /* then it is down */
#define DC_RELAY_MOVES 64 /* paths that a second's tick moves away from an RS that is being drained */
#define DC_RELAY_MOVE_MS 3000 /* until it is tried again with one that could not be moved */
#define DC_RELAY_REDIRECTS 256 /* Relay Directions on their way at once to an RS that forgot them */
#define DC_BODY_MAX (NTM_CONTROL_MAX - NTM_HEADER_LEN - NTM_TAG_LEN) /* message header and fields: bytes */

struct dc;
struct dc_path;
struct dc_direction;

/* ---- config.c */

struct dc_config_relay {
	char name[NTM_FQDN_MAX + 1];
	uint8_t public_key[NTM_KEY_LEN];
	struct ntm_endpoint endpoint[NTM_SERVERS_MAX];
	uint16_t endpoints;
	uint64_t path_rate; /* bytes a second that each path may use there; 0: no limit */
};

struct dc_config_peer {
	char name[NTM_FQDN_MAX + 1], zone[NTM_FQDN_MAX + 1];
	uint8_t public_key[NTM_KEY_LEN];
	struct ntm_endpoint endpoint[NTM_SERVERS_MAX];
	uint16_t endpoints;
	/* what virtual addresses its nodes may have: [0] IPv4, [1] IPv6; none: any that nobody else has */
	struct dc_prefix prefix[2][DC_PEER_PREFIXES];
	unsigned prefixes[2];
};

struct dc_config {
	char name[NTM_FQDN_MAX + 1], zone[NTM_FQDN_MAX + 1];
	char *private_key_file, *control_socket, *database;
	uint8_t private_key[NTM_KEY_LEN];
	struct ntm_endpoint listen[NTM_SERVERS_MAX];
	uint16_t listens;
	struct dc_prefix virtual4, virtual6;
	struct ntm_endpoint dns[NTM_SERVERS_MAX];
	uint16_t dnss;
	uint32_t dns_rate_limit; /* answers a second by UDP to each network; 0: no limit */
	bool locations_public;
	struct dc_config_relay *relay;
	unsigned relays;
	struct dc_config_peer *peer;
	unsigned peers;
};

/* Reads the file and the private key. 0, or -EINVAL with the sentence for the user in ret_why. */
int dc_config_read(struct dc_config *ret_config, const char *path, char *ret_why, size_t why_len);
void dc_config_clear(struct dc_config *config);

/* ---- who talks to us */

enum dc_actor_kind { DC_ACTOR_MEMBER, DC_ACTOR_RELAY, DC_ACTOR_DC };

/* Stands first in members, relays and other DCs, so that a session's peer tells which it is. */
struct dc_actor {
	struct ntm_peer peer;
	enum dc_actor_kind kind;
};

struct dc_location { /* where a member is: soft state, forgotten NTM_LOCATION_LIFETIME_S after it was last
			heard */
	TAILQ_ENTRY(dc_location) by_expiry;
	struct dc_member *member;
	uint64_t boot_id;
	int64_t heard_ms; /* boot-time clock */
	struct {
		uint8_t relay; /* its number */
		uint32_t rtt_us;
	} rtt[NTM_RELAYS_MAX];
	struct ntm_endpoint observed[2]; /* [0] IPv4, [1] IPv6; proven sources only */
	uint16_t version; /* another one with every change of real or observed addresses */
	uint8_t nat; /* enum ntm_nat, as the node says */
	uint8_t rtts, reals;
	struct ntm_endpoint real[]; /* as many as it told of: there may be a million locations */
};

struct dc_path_end { /* one end of a path, as the DC knows it */
	LIST_ENTRY(dc_path_end) by_member;
	struct dc_path *path;
	struct dc_member *member; /* ours, or NULL: */
	struct dc_other *other; /* a member of this DC */
	char *name; /* then its name */
	uint8_t public_key[NTM_KEY_LEN];
};

struct dc_call { /* recall.c: how to call a member back after a restart, as the store had it */
	struct dc_member *member;
	struct ntm_endpoint remote, listen; /* where it was; the address of ours that it talked to */
	uint64_t session; /* our ID */
	unsigned calls; /* yet to be made */
	int64_t call_ms; /* the next */
	TAILQ_ENTRY(dc_call) by_call;
};
TAILQ_HEAD(dc_calls, dc_call);
TAILQ_HEAD(dc_members, dc_member);

/* A million of them are meant to fit into a gigabyte, with their locations and sessions. */
struct dc_member {
	struct dc_actor actor; /* first */
	struct dc_table_link by_name, by_number;
	uint32_t number; /* in the address pool */
	unsigned paths, directions;
	bool leaving; /* removed; told so until that ends */
	bool changed; /* recall.c: the store is to be told */
	struct dc *dc;
	struct dc_location *location; /* NULL: not registered */
	LIST_HEAD(, dc_path_end) path;
	LIST_HEAD(, dc_direction) direction; /* that it asked for and that are under way */
	struct dc_call *call; /* NULL: not to be called back */
	uint64_t stored; /* recall.c: a hash of where the store has it; 0: it has nothing */
	TAILQ_ENTRY(dc_member) by_change;
	char fqdn[];
};

struct dc_other { /* another DC */
	struct dc_actor actor; /* first */
	const struct dc_config_peer *config;
	int64_t distrust_ms; /* when the log was last told of something that was not believed; 0: never */
	unsigned distrusts; /* since then, not logged */
};

struct dc_relay {
	struct dc_actor actor; /* first */
	struct dc *dc;
	const struct dc_config_relay *config;
	unsigned number;
	bool alive; /* it answers */
	bool draining; /* as it says: it takes no new paths */
	uint64_t boot_id; /* 0: not told yet */
	struct ntm_load load;
	bool has4, has6;
	unsigned misses; /* keepalives without an answer, in a row */
	bool forgot; /* its session was lost: when it answers again, it needs its paths again */
	struct event *timer;
	TAILQ_HEAD(dc_relay_paths, dc_path)
	directed, undirected; /* paths by it: acknowledged; to be sent again */
	unsigned paths, redirects; /* of both lists; on their way again */
};

/* ---- path.c: what is directed. Forgotten when CK ends. */

typedef void (*dc_relay_done)(void *arg, int err, const char *why);

struct dc_path {
	struct dc *dc;
	struct dc_table_link by_id;
	TAILQ_ENTRY(dc_path) by_age; /* of CK */
	TAILQ_ENTRY(dc_path) draining; /* oldest first; if drain_ms */
	TAILQ_ENTRY(dc_path) by_relay;
	uint64_t id;
	uint8_t ck[NTM_KEY_LEN];
	int64_t made_ms, ck_ms, drain_ms;
	bool renewed; /* a renewal of this CK was tried */
	bool closing; /* drain_ms is its end, not its old relay's */
	bool foreign; /* directed by another DC; ours has one end */
	bool established; /* the requester acknowledged it once too */
	struct dc_path_end end[2]; /* by side */
	struct dc_relay *relay, *old_relay; /* standby now; the one before, while draining */
	bool relay_directed;
	uint8_t relay_bound; /* bits by side: legs that were bound there when it last answered a direction */
	int64_t move_ms; /* when it was last tried to move it off a draining relay; 0: never */
	struct ntm_session_request *relay_request; /* the Relay Direction on its way */
	dc_relay_done relay_done; /* told of its end; NULL: nobody */
	void *relay_arg;
	bool relay_again; /* it is one of the relay's redirects */
	struct ntm_session_request *route_request; /* the Route Direction to the requester on its way */
	struct dc_direction *direction; /* the one that works on it */
};

/* Room for a body and its fields behind the message header. */
#define DC_FIELDS(body) ((body) + NTM_MSG_HEADER_LEN)
#define DC_FIELDS_MAX (DC_BODY_MAX - NTM_MSG_HEADER_LEN)

struct dc {
	struct dc_config config;
	struct ntm_loop loop;
	struct ntm_sessions sessions;
	struct ntm_udp udp[NTM_SERVERS_MAX];
	unsigned udps;
	struct ntm_control *control;
	struct dc_dns *dns;
	const char *config_path;
	struct event *tick; /* every second: locations and paths that end */
	int64_t started_ms;
	/* member.c */
	struct dc_store *store;
	struct dc_addr_pool pool;
	struct dc_table member_by_name, member_by_number, empty_name;
	uint64_t hash_seed;
	uint32_t zone_serial;
	TAILQ_HEAD(, dc_location) location; /* the next to expire first */
	unsigned locations;
	LIST_HEAD(, dc_leaver) leaver;
	/* recall.c */
	struct dc_members changed; /* oldest first */
	/* By the number of calls yet to be made, less one; the next first */
	struct dc_calls call[DC_RECALLS];
	struct event *recall_store, *recall_call;
	int64_t recall_end_ms; /* who is not back then is forgotten; 0: that is done */
	bool recall_failed; /* said so already */
	/* relay.c, location.c */
	struct dc_relay *relay;
	unsigned relays;
	struct dc_other *other;
	unsigned others;
	/* path.c */
	struct dc_table path;
	TAILQ_HEAD(, dc_path) path_by_age, path_draining;
	/* direction.c */
	LIST_HEAD(, dc_direction) direction;
	unsigned directions;
	/* control.c */
	LIST_HEAD(, dc_monitor) monitor;
	uint64_t messages[256]; /* received, by enum ntm_msg_type */
	uint64_t refused, dns_queries;
};

/* ---- member.c */

int dc_member_open(struct dc *dc, char *ret_why,
		   size_t why_len); /* the store and all its members; 0, or -errno and the sentence */
void dc_member_close(struct dc *dc);
struct dc_member *dc_member_find(struct dc *dc, const char *fqdn); /* normalised */
struct dc_member *dc_member_find_vip(struct dc *dc, const struct ntm_addr *vip);
/* Whether other names lie below this one, which itself is none (RFC 8020): NODATA, not NXDOMAIN. */
bool dc_member_name_is_empty(struct dc *dc, const char *fqdn);
/*
 * Adds a member (again: the same name and key change nothing). 0, or -errno and the sentence: -EINVAL name
 * outside the zone or otherwise impossible, -EEXIST name or key taken, -ENOSPC the pool is full, -EIO
 * database.
 */
int dc_member_add(struct dc *dc, const char *fqdn, const uint8_t public_key[NTM_KEY_LEN],
		  struct dc_member **ret_member, char *ret_why, size_t why_len);
/* Removes it, withdraws its paths, gives its addresses back. -ENOENT, -EIO as above. */
int dc_member_del(struct dc *dc, const char *fqdn, char *ret_why, size_t why_len);
void dc_member_vips(const struct dc_member *member, uint8_t ret_vip4[4], uint8_t ret_vip6[16]);
static inline bool dc_member_is_registered(const struct dc_member *member)
{
	return member->location;
}
void dc_member_location_end(struct dc_member *member);

/* ---- recall.c */

int dc_recall_open(struct dc *dc); /* after the store; 0 or -ENOMEM */
void dc_recall_start(struct dc *dc); /* after the members and the sockets: calls back who was registered */
void dc_recall_close(struct dc *dc); /* writes what is left to be written */
/* The member's location was refreshed, moved or ended: the store learns it soon if that matters. Cheap. */
void dc_recall_note(struct dc_member *member);
void dc_recall_forget(struct dc_member *member); /* it is being removed, and so is what the store has */

/* ---- receive.c */

/* A packet that came to one of our listen endpoints. */
void dc_receive(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len);
extern const struct ntm_session_ops dc_receive_ops;
/* ctx is struct dc: the socket for a relay or DC we call. */
struct ntm_udp *dc_receive_socket_for(void *ctx, const struct ntm_endpoint *remote);
/* Refuses a request whose fields do not parse (drop: negative reason), and counts. */
void dc_receive_malformed(struct dc *dc, const struct ntm_session_from *from, int drop);

/* ---- registration.c, keepalive.c */

void dc_registration_handle(struct dc *dc, struct dc_member *member, const struct ntm_session_from *from,
			    const struct ntm_message *message);
/* The member's session is, proven, at peer.flow now. */
void dc_registration_moved(struct dc *dc, struct dc_member *member);
void dc_keepalive_handle(struct dc *dc, const struct ntm_session_from *from,
			 const struct ntm_message *message);
/* The location lives on for its full lifetime. */
void dc_keepalive_refresh(struct dc *dc, struct dc_location *location);
void dc_keepalive_expire(struct dc *dc, int64_t now_ms); /* forgets the locations whose time is over */

/* ---- location.c: members of other DCs */

struct dc_location_query;
/* err 0: location (of a name in that DC's zone, checked); else code and why tell what to refuse the requester
 * with. */
typedef void (*dc_location_done)(void *arg, struct dc_other *other, const struct ntm_location *location,
				 enum ntm_error code, const char *why);
int dc_location_open(struct dc *dc, char *ret_why, size_t why_len); /* the other DCs; 0 or -errno */
void dc_location_close(struct dc *dc);
/* Asks the DC of the zone, or for a virtual address one after the other. done comes later, or -ENOENT: there
 * is nobody to ask. */
int dc_location_find(struct dc *dc, const char *fqdn, const struct ntm_addr *vip, dc_location_done done,
		     void *arg, struct dc_location_query **ret_query);
void dc_location_cancel(struct dc_location_query *query);
void dc_location_handle(struct dc *dc, struct dc_other *other, const struct ntm_session_from *from,
			const struct ntm_message *message);
/*
 * Whether a node of that DC may have this name and these virtual addresses (all zero: none): NULL, or why
 * not, in why.
 */
const char *dc_location_distrust(struct dc *dc, const struct dc_other *other, const char *fqdn,
				 const uint8_t vip4[4], const uint8_t vip6[16], char *why, size_t why_len);
/* What it told is not believed: counted as drop (a negative reason), and in the log, once a minute. */
void dc_location_distrusted(struct dc *dc, struct dc_other *other, const char *fqdn, int drop,
			    const char *why);
void dc_location_describe(const struct dc_member *member, struct ntm_location *ret_location);

/* ---- direction.c */

void dc_direction_handle(struct dc *dc, struct dc_member *mn, const struct ntm_session_from *from,
			 const struct ntm_message *message);
/*
 * Directs an established path anew: NTM_REASON_RENEW with a new CK, NTM_REASON_HANDOVER with the routes that
 * there are now.
 */
void dc_direction_renew(struct dc_path *path, enum ntm_reason reason);
void dc_direction_moved(
	struct dc_member *member); /* its address is proven: directions that waited for it go on */
void dc_direction_forget_member(struct dc_member *member); /* ends the directions of and to it */
void dc_direction_cancel(struct dc_direction *direction, enum ntm_error code, const char *why);
void dc_direction_path_gone(struct dc_direction *direction); /* the path it works on is being freed */
void dc_direction_close(struct dc *dc);

/* ---- route_direction.c */

/* The Route Direction as a message body: what does not fit is left out, verdicts first. Bytes of fields, or
 * -EMSGSIZE. */
int dc_route_direction_build(uint8_t body[DC_BODY_MAX], const struct ntm_route_direction *route);
/* Sends it to an end of a path, by its DC if it is not ours. As ntm_session_request. */
int dc_route_direction_send(struct dc_path_end *end, struct ntm_route_direction *route, ntm_session_done done,
			    void *arg, struct ntm_session_request **ret_request);
/* From another DC, for one of our members. */
void dc_route_direction_handle(struct dc *dc, struct dc_other *other, const struct ntm_session_from *from,
			       const struct ntm_message *message);

/* ---- path.c */

int dc_path_open(struct dc *dc); /* 0 or -ENOMEM */
void dc_path_close(struct dc *dc);
struct dc_path *dc_path_find(struct dc *dc, uint64_t id);
/* A random Path ID that is not in use here. */
uint64_t dc_path_id_draw(struct dc *dc);
/* A path without ends, or NULL: no memory. */
struct dc_path *dc_path_new(struct dc *dc, uint64_t id, const uint8_t ck[NTM_KEY_LEN]);
/* Sets an end: a member of ours, or the name and key of a member of other. 0 or -ENOMEM. */
int dc_path_end_set(struct dc_path *path, int side, struct dc_member *member, struct dc_other *other,
		    const char *name, const uint8_t public_key[NTM_KEY_LEN]);
const char *dc_path_end_name(const struct dc_path_end *end);
void dc_path_id_set(struct dc_path *path, uint64_t id);
void dc_path_ck_set(struct dc_path *path, const uint8_t ck[NTM_KEY_LEN]);
uint32_t dc_path_ck_left_s(const struct dc_path *path); /* seconds CK is still good, at least 1 */
void dc_path_relay_set(struct dc_path *path,
		       struct dc_relay *relay); /* the one before is withdrawn after the drain time */
/* Forgets the path, and withdraws it at the relays. */
void dc_path_free(struct dc_path *path);
void dc_path_drain(struct dc_path *path); /* frees it after the drain time */
/* Ends the older paths of the same two ends. */
void dc_path_supersede(struct dc_path *path);
/* Tells an end (by its DC if it is not ours) that the path is over. */
void dc_path_withdraw(struct dc_path *path, int side, enum ntm_reason reason);
void dc_path_withdraw_handle(struct dc *dc, const struct ntm_session_from *from,
			     const struct ntm_message *message);
void dc_path_tick(struct dc *dc, int64_t now_ms); /* renews and forgets by age */

/* ---- relay.c */

int dc_relay_open(struct dc *dc, char *ret_why, size_t why_len); /* 0 or -errno and the sentence */
void dc_relay_start(struct dc *dc); /* calls them */
void dc_relay_close(struct dc *dc);
void dc_relay_info(const struct dc_relay *relay, struct ntm_relay_info *ret_info);
struct dc_relay *dc_relay_find(struct dc *dc, const char *name);
/*
 * Sends the Relay Direction of the path to path->relay with keys by ck. done is called once, later;
 * path->relay_done may be set to NULL to be left alone. 0 or -errno, then not.
 */
int dc_relay_direct(struct dc_path *path, const uint8_t ck[NTM_KEY_LEN], uint32_t lifetime_s,
		    dc_relay_done done, void *arg);
void dc_relay_direct_cancel(struct dc_path *path);
void dc_relay_withdraw(struct dc_relay *relay, uint64_t path_id);
void dc_relay_report_handle(struct dc *dc, struct dc_relay *relay, const struct ntm_message *message);
void dc_relay_tick(struct dc *dc, int64_t now_ms); /* moves paths off relays that are being drained */
void dc_relay_answered(struct dc_relay *relay); /* anything authentic came from it */
void dc_relay_lost(struct dc_relay *relay); /* it lost its state, or cannot be reached */

/* ---- dns.c */

int dc_dns_open(struct dc *dc, char *ret_why, size_t why_len); /* 0 or -errno and the sentence */
void dc_dns_close(struct dc *dc);

/* ---- control.c */

int dc_control_open(struct dc *dc, char *ret_why, size_t why_len);
void dc_control_close(struct dc *dc);
bool dc_control_is_watched(const struct dc *dc); /* whether events are worth making */
void dc_control_event(struct dc *dc, struct json_object *event); /* to every monitor; takes over event */
/* An event of two names (either may be NULL) and a text. */
void dc_control_tell(struct dc *dc, const char *event, const char *fqdn, const char *peer,
		     const char *detail);

/* ---- main.c */

/* Why the socket for ep could not be opened, with what to do about it. protocol: "UDP", "TCP". */
void dc_listen_explain(char *ret_why, size_t why_len, const char *protocol, const struct ntm_endpoint *ep,
		       int err);

#endif
