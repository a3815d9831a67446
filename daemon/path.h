/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path.h - correspondent nodes and the paths to them.
 *
 * A correspondent node (struct ntmd_cn) is there from the first name query, packet or Route Direction until
 * its last path ends. It has one path, and during a replacement a second one that takes over when it is up. A
 * path (struct ntmd_path) has routes (ways the packets could take), keys by phase, and an engine path behind
 * engine.h.
 *
 *	direction.c -> route_direction.c -> path.c -> tunnel.c -> session_keys.c -> engine.h
 *	                                       \-> route.c, relay_bind.c, keepalive.c, handover.c
 */
#ifndef NTMD_PATH_H
#define NTMD_PATH_H

#include "daemon/path_mtu.h"
#include "noise.h"
#include "ntmd.h"
#include "replay.h"

/* ---- correspondent nodes: cn.c */

struct ntmd_verdict { /* a struct ntm_verdict, without room for the longest name in each */
	uint8_t kind, why;
	char *name; /* of the relay, if it is about one; NULL otherwise */
};

struct ntmd_cn {
	LIST_ENTRY(ntmd_cn) next, by_name, by_vip[2];
	struct ntmd *ntmd;
	/* Both are changed only by ntmd_cn_name_set and ntmd_cn_vips_set. */
	const char *fqdn; /* its own copy; empty while only the virtual address is known */
	struct ntm_addr vip4, vip6;
	uint8_t public_key[NTM_KEY_LEN];
	struct ntmd_path *path; /* the one in use, or about to be */
	struct ntmd_path *next_path; /* takes over when it is up */
	struct ntmd_engine_path *waiting; /* holds packets while there is no path yet */
	/* direction.c */
	struct ntm_session_request *direction;
	enum { NTMD_CN_ASK, NTMD_CN_EXPECT, NTMD_CN_FORGET } timer_for; /* what direction_timer is about */
	uint8_t direction_reason;
	bool known; /* fqdn, addresses and key came from a Route Direction */
	bool lost; /* it has said since then that it knows our path no more: its addresses may be another's */
	bool going; /* not to be released: it is being freed, or changes its path */
	int64_t direction_failed_ms;
	/* asks again after a loss, with jitter; waits for a Route Direction; forgets a refused node after a
	 * pause */
	struct event *direction_timer;
	unsigned direction_failures;
	char *error; /* why the last direction failed; NULL: it did not */
	struct ntmd_dns_wait *dns_wait[4];
	LIST_HEAD(ntmd_ping_list, ntmd_ping) ping; /* command_ping.c */
	struct ntmd_verdict *verdict; /* why which route: the DC's words */
	unsigned verdicts;
};

struct ntmd_cn *ntmd_cn_find(struct ntmd *ntmd, const char *fqdn);
struct ntmd_cn *ntmd_cn_find_vip(struct ntmd *ntmd, const struct ntm_addr *vip);
/* What was only known by its virtual address turns out to be this node: its packets go by this one's path,
 * and it is freed. */
void ntmd_cn_join(struct ntmd_cn *cn, struct ntmd_cn *unnamed);
/* The same with all that there are; vip: none is well */
void ntmd_cn_unnamed_join(struct ntmd_cn *cn, const struct ntm_addr *vip);
/* Who is known to have this address, by a Route Direction that nothing speaks against, other than the node of
 * that name. */
struct ntmd_cn *ntmd_cn_find_holder(struct ntmd *ntmd, const struct ntm_addr *vip, const char *but_fqdn);
/* fqdn or vip may be NULL; NULL: no memory or too many. */
struct ntmd_cn *ntmd_cn_new(struct ntmd *ntmd, const char *fqdn, const struct ntm_addr *vip);
void ntmd_cn_verdicts_set(struct ntmd_cn *cn, const struct ntm_verdict *verdict, unsigned count);
int ntmd_cn_name_set(struct ntmd_cn *cn, const char *fqdn); /* 0, or -ENOMEM: it has the old one */
void ntmd_cn_vips_set(struct ntmd_cn *cn, const struct ntm_addr *vip4, const struct ntm_addr *vip6);
/*
 * Its virtual addresses are about to change (ntmd_cn_vips_set): its paths carry only packets from and to the
 * old ones, so they end, without a word to it: it has left them.
 */
void ntmd_cn_readdressed(struct ntmd_cn *cn);
/* Ours have: all paths are closed, so that no peer goes on with the old ones; new ones are made when there is
 * something to send. */
void ntmd_cn_own_readdressed(struct ntmd *ntmd);
/* Frees it if nothing needs it: no path, no direction, no ping. */
void ntmd_cn_release(struct ntmd_cn *cn);
void ntmd_cn_free(struct ntmd_cn *cn); /* and its paths */

/* ---- routes: route.c */

enum ntmd_route_state {
	NTMD_ROUTE_IDLE, /* not tried yet, or no keys yet */
	NTMD_ROUTE_PROBING,
	NTMD_ROUTE_PROVEN,
	NTMD_ROUTE_FAILED,
};

struct ntmd_route {
	uint8_t kind; /* enum ntm_route_kind; NTM_ROUTE_NONE: slot is free */
	uint8_t state; /* enum ntmd_route_state */
	bool way; /* there is a network; otherwise the route waits for one */
	uint8_t tries;
	uint8_t doubts; /* questions to a proven route that were not answered */
	bool was_proven; /* once: it is the peer's indeed */
	/* nat_mapping.c: where the peer saw us by this route, folded; 0: it has not told */
	uint16_t observed;
	uint32_t rank; /* of the network: less is better */
	/* The peer's newest Path Update when it last asked this way: it wants to be sent to there */
	uint32_t wished;
	struct ntm_flow flow; /* ifindex 0: by what the kernel says */
	uint64_t nonce; /* of the question that is out; 0: none */
	int64_t sent_us;
	bool again; /* that was not the first time for this nonce */
	struct ntm_rtt rtt;
	int64_t heard_ms; /* an authentic packet came this way */
	struct ntmd_path_mtu mtu;
};

/* After a network has come, its relay waits so long for its direct routes, which the DC may have to tell. */
#define NTMD_NETWORK_WAIT_MS 400

/* How packets could leave for a remote endpoint. */
struct ntmd_way {
	struct ntm_addr local;
	unsigned ifindex; /* 0: as the kernel says */
	uint32_t rank;
};
#define NTMD_WAYS_MAX (NTMD_NETWORKS_MAX + 1)

/* ---- binds at relays: relay_bind.c */

struct ntmd_relay { /* one RS endpoint with paths of ours; its Keep Alive serves them all */
	LIST_ENTRY(ntmd_relay) next;
	struct ntmd *ntmd;
	char name[NTM_FQDN_MAX + 1];
	struct ntm_endpoint endpoint;
	struct ntm_endpoint observed; /* where it sees us, */
	struct ntm_addr observed_local; /* at this address of ours */
	/* When all legs there were last bound again for something that it said; 0: never */
	int64_t rebound_ms;
	int64_t moved_ms; /* when it last saw us elsewhere without our doing */
	struct event *keepalive;
	unsigned misses;
	unsigned users;
	bool silent; /* told already: it does not answer */
	uint64_t keepalive_counter; /* of the one that is out; 0: none */
	struct ntm_addr keepalive_local; /* where it was sent from */
	int64_t sent_us;
	struct ntm_rtt rtt;
};

enum ntmd_bind_state { NTMD_BIND_NONE, NTMD_BIND_ASKED, NTMD_BIND_ECHOED, NTMD_BIND_BOUND };

struct ntmd_bind {
	char *name; /* NULL: the path has no standby RS */
	struct ntm_endpoint *server; /* of it */
	unsigned servers;
	struct ntmd_relay *relay; /* the endpoint in use; NULL: none is routable */
	struct ntmd_way way; /* by which the leg reaches it */
	/* Where the leg was before; data may still go there until old_until_ms; NULL: nowhere */
	struct ntm_flow *old;
	int64_t old_until_ms;
	enum ntmd_bind_state state;
	uint8_t leg_key[NTM_KEY_LEN];
	struct ntm_transaction *transaction; /* while ASKED or ECHOED; NULL: none */
	struct ntm_bind *echo; /* what is repeated while ECHOED; NULL otherwise */
	uint64_t counter; /* of the last packet sent */
	int64_t asked_ms; /* when the leg was last begun to be bound */
	uint8_t reset_token[NTM_MAC_LEN];
	unsigned first; /* endpoint to try first; the next one after a failure */
	bool has_token;
};

/* ---- paths: path.c */

enum ntmd_path_state { NTMD_PATH_DIRECTED, NTMD_PATH_HANDSHAKE, NTMD_PATH_UP };

struct ntmd_path_keys { /* path control under one key phase */
	uint8_t send[NTM_KEY_LEN], receive[NTM_KEY_LEN];
	uint64_t counter;
	struct ntm_replay replay;
	int64_t created_ms, drop_ms; /* drop_ms 0: not yet decided */
};

struct ntmd_tunnel; /* a handshake that is going on: tunnel.c */

/* What only paths with data need. */
struct ntmd_move {
	int64_t keep_ms; /* not forgotten before: something below bounds what others can make us do */

	/* path_watch.c */
	struct event *watch_timer; /* NULL: no data lately */
	unsigned watch_questions; /* asked since nothing comes */
	int64_t watch_ms; /* when the first was */
	int64_t watch_end_ms; /* after the last one: when the route is left */
	bool watch_inline; /* all goes inline, since nobody has answered */
	struct event *look_timer; /* at what the kernel sends and takes */
	int64_t look_ms, look_tx_ms, look_rx_ms; /* when that was last, and what it showed; 0: nobody looks */

	/* route_probe.c */
	int64_t retry_ms; /* when better routes that failed are asked again */
	uint32_t retry_wait_ms; /* and how long after that */
	unsigned announce_tries;
	/* Of the Path Update by which we changed to another network that works; 0: none is out */
	uint64_t announce_nonce;
	/* Our address that the peer sends to, as far as we have told; none: it found it itself */
	struct ntm_addr announced;
	int64_t moved_us; /* when we last moved or announced another network */

	/* handover.c */
	int64_t seen_ms; /* when the peer's packets last came from an unknown place */
	unsigned seen_in_vain; /* places where it was seen, one after the other, and that never answered */
};

struct ntmd_path {
	LIST_ENTRY(ntmd_path) next, by_id;
	struct ntmd *ntmd;
	struct ntmd_cn *cn;
	uint64_t id;
	enum ntm_side side;
	enum ntmd_path_state state;
	int64_t directed_ms, up_ms;
	uint8_t ck[NTM_KEY_LEN];
	int64_t ck_expires_ms;
	struct ntmd_engine_path *engine;

	/* tunnel.c, session_keys.c */
	struct ntmd_tunnel *tunnel;
	struct ntmd_path_keys *keys[NTM_TYPE_PHASES]; /* NULL: none */
	int phase; /* sending, there are keys of it; -1: none */
	enum ntm_cipher cipher; /* bulk lane */
	uint8_t peer_token[NTM_MAC_LEN]; /* its resets */
	uint8_t answered[NTM_KEY_LEN]; /* side 1: ephemeral key of the request that was answered last */
	uint8_t *answer; /* and the answer; NULL: none, or nobody asks for it any more */
	size_t answer_len;
	struct ntm_endpoint answer_to;
	bool has_token;
	bool refused; /* side 1: the answer is a refusal; the path ends with the handshake's time */
	bool rekey; /* asked for, whatever the key's age: the next tick does it */
	bool unproven; /* the engine was told to send not more than NTM_UNPROVEN_BYTES by the active one */
	uint32_t peer_ciphers; /* of the request that was refused, bits */
	struct event *tick; /* keepalive.c: liveness, rekey, key ends */
	int64_t probe_ms; /* side 1: last Tunnel Probe */
	uint64_t probe_counter; /* side 0: last probe taken */
	uint64_t request_seen; /* side 1: transaction of the newest Tunnel Request that opened */

	/* route.c */
	/* Made when first needed, used again, and kept until the path ends: a pointer to one stays good
	 * meanwhile. */
	struct ntmd_route *route[NTM_ROUTES_MAX];
	unsigned routes; /* slots there are */
	int active; /* index, -1: none */
	int second; /* packets go there too until one is proven; -1: none */
	struct event *probe_timer; /* while there is something to prove */
	struct ntmd_bind bind;
	struct ntm_rtt rtt;

	/* path_mtu_probe.c */
	unsigned peer_mtu; /* largest inner packet that the peer's device takes, bytes; 0: not told yet */
	struct event *mtu_timer;
	int64_t mtu_checked_ms; /* the active route was, last, or a question about it was answered */
	uint64_t mtu_checked_tx; /* bytes sent by then */

	/* keepalive.c */
	int64_t heard_ms; /* path control or data last came */
	unsigned misses;
	bool resting; /* no data for a while: what can be made again was given back */
	uint32_t keepalive_number;
	int64_t keepalive_us; /* when the one that is out was first sent; 0: none */
	int64_t keepalive_again_us; /* and when last */

	/* handover.c */
	uint64_t update_sent, update_seen; /* sequence numbers */
	int64_t moves_ms; /* path_control.c: how far the peer's moves are ahead of what they may be */
	int64_t update_us; /* when ours was last sent: 0: nothing under way */
	const char *why; /* the route in use was taken, in words; NULL: as the first that worked */
	struct ntmd_move *move; /* NULL: nothing to remember */
	/* What was sent lately may be lost: TCP's last segments go out again by the next guess (RESUME), and
	 * by the route that is proven then. */
	enum { NTMD_PATH_WHOLE, NTMD_PATH_GUESSED, NTMD_PATH_INTERRUPTED } interrupted;
};

struct ntmd_move *ntmd_path_move(struct ntmd_path *path); /* NULL: no memory */
struct ntmd_path *ntmd_path_find(struct ntmd *ntmd, uint64_t id);
/* From a Route Direction; NULL: no memory or a limit. */
struct ntmd_path *ntmd_path_new(struct ntmd_cn *cn, uint64_t id, enum ntm_side side);
void ntmd_path_up(struct ntmd_path *path); /* keys of both ends are there and a route works */
/* refuse: applications whose packets wait are told; tell_peer: a Tunnel Close is sent, the DC gets a Route
 * Withdraw. */
void ntmd_path_close(struct ntmd_path *path, enum ntm_reason reason, bool tell_peer);
void ntmd_path_free(struct ntmd_path *path, bool refuse);
const char *ntmd_path_state_name(const struct ntmd_path *path);
struct json_object *ntmd_path_json(struct ntmd_path *path, bool all);
extern const struct ntmd_engine_ops ntmd_engine_ops;

/* ---- direction.c, route_direction.c */

/* Starts a direction for the node unless one is out or its path is up (reasons NAME and PACKET). */
void ntmd_direction_start(struct ntmd_cn *cn, enum ntm_reason reason);
/* A path of this node was lost: ask again soon, with jitter. */
void ntmd_direction_again(struct ntmd_cn *cn, enum ntm_reason reason);
void ntmd_direction_settled(struct ntmd_cn *cn); /* its path is up: whoever waits is told */
void ntmd_direction_failed(struct ntmd_cn *cn, const char *text);
void ntmd_direction_cancel(struct ntmd_cn *cn);
/* The node's last path is gone: whoever still waits for it is told. */
void ntmd_direction_ended(struct ntmd_cn *cn);
bool ntmd_direction_is_expected(const struct ntmd_cn *cn); /* answered, its Route Direction is on the way */
extern const struct ntmd_dns_ops ntmd_dns_ops;
/* Whether the node of that name may have these virtual addresses (all zero: none). */
bool ntmd_route_direction_may_have(struct ntmd *ntmd, const char *fqdn, const uint8_t vip4[4],
				   const uint8_t vip6[16]);
#define NTMD_VIP_REFUSED "its virtual address is in use here, or public"
void ntmd_route_direction_handle(struct ntmd *ntmd, const struct ntm_session_from *from,
				 const struct ntm_message *message);
void ntmd_route_withdraw_handle(struct ntmd *ntmd, const struct ntm_session_from *from,
				const struct ntm_message *message);

/* ---- tunnel.c, session_keys.c */

void ntmd_tunnel_start(struct ntmd_path *path); /* side 0: a handshake; side 1: a probe that asks for one */
void ntmd_tunnel_kick(struct ntmd_path *path); /* a route became usable: send again now */
void ntmd_tunnel_free(struct ntmd_path *path);
void ntmd_tunnel_rest(struct ntmd_path *path); /* idle, and the last handshake is long over */
/* 0 or negative drop reason */
int ntmd_tunnel_request_receive(struct ntmd *ntmd, const struct ntm_flow *from, uint8_t *packet, size_t len);
int ntmd_tunnel_response_receive(struct ntmd *ntmd, const struct ntm_flow *from, uint8_t *packet, size_t len);
int ntmd_tunnel_probe_receive(struct ntmd *ntmd, const struct ntm_flow *from, const uint8_t *packet,
			      size_t len);
int ntmd_tunnel_cookie_receive(struct ntmd *ntmd, const uint8_t *packet, size_t len);

/* The keys of one handshake, by direction as Noise split them; both are wiped. */
int ntmd_session_keys_set(struct ntmd_path *path, unsigned phase, enum ntm_cipher cipher,
			  uint8_t send[NTM_KEY_LEN], uint8_t receive[NTM_KEY_LEN]);
/* A packet under this phase opened: side 1 seals under it from now on if it is newer than the one in use. */
void ntmd_session_keys_opened(struct ntmd_path *path, unsigned phase);
/* Seal under this phase from now on; the ones before drain. */
void ntmd_session_keys_use(struct ntmd_path *path, unsigned phase);
void ntmd_session_keys_renew(struct ntmd *ntmd); /* new keys for every path, soon */
void ntmd_session_keys_tick(struct ntmd_path *path); /* rekey, ends of old keys */
void ntmd_session_keys_wipe(struct ntmd_path *path);

/* ---- path_control.c */

/* body: NTM_MSG_HEADER_LEN free bytes, then fields. 0 or -errno. */
int ntmd_path_control_send(struct ntmd_path *path, const struct ntm_flow *to, uint16_t type,
			   uint32_t transaction, uint8_t *body, size_t fields_len);
int ntmd_path_control_receive(struct ntmd *ntmd, const struct ntm_flow *from, uint8_t *packet, size_t len);
int ntmd_path_reset_receive(struct ntmd *ntmd, const uint8_t *packet, size_t len);

/* ---- route.c */

int ntmd_route_index(const struct ntmd_path *path, const struct ntmd_route *route); /* as in path->active */
/* By flow's remote and local address. */
struct ntmd_route *ntmd_route_find(struct ntmd_path *path, const struct ntm_flow *flow);
/* Finds or adds the routes by all ways there are; returns that of the preferred one. NULL: no slot left.
 * Keeps the better kind. */
struct ntmd_route *ntmd_route_add(struct ntmd_path *path, enum ntm_route_kind kind,
				  const struct ntm_endpoint *remote);
/* An authentic packet came from there: finds or adds. NULL: no slot left. */
struct ntmd_route *ntmd_route_seen(struct ntmd_path *path, const struct ntm_flow *from);
/* Networks have come or gone: makes and removes routes. Whether the active one has lost its way: the caller
 * chooses anew. */
bool ntmd_route_sync(struct ntmd_path *path);
void ntmd_route_relays_forget(struct ntmd_path *path); /* those by a relay that takes nothing from us */
void ntmd_route_free_all(struct ntmd_path *path); /* the path ends */
/* The kernel has a way to it, and a relay is asked */
bool ntmd_route_usable(struct ntmd_path *path, struct ntmd_route *route);
/* The candidates of a Route Direction replace those of the one before; what is proven stays. */
void ntmd_route_candidates_set(struct ntmd_path *path, const struct ntm_candidate *candidate, unsigned count);
/* Calls each() for every usable route, best first. */
void ntmd_route_each_usable(struct ntmd_path *path,
			    void (*each)(struct ntmd_path *path, struct ntmd_route *route, void *arg),
			    void *arg);
void ntmd_route_proven(struct ntmd_path *path, struct ntmd_route *route);
void ntmd_route_failed(struct ntmd_path *path, struct ntmd_route *route);
/* By network, then by kind. */
bool ntmd_route_outranks_active(const struct ntmd_path *path, const struct ntmd_route *route);
/* NULL: none is usable */
struct ntmd_route *ntmd_route_best(struct ntmd_path *path, enum ntmd_route_state state);
/* Chooses the best proven route, or the best guess, and tells the engine. */
void ntmd_route_select(struct ntmd_path *path);
void ntmd_route_tell(struct ntmd_path *path); /* the peer, which network of ours is in use, unless it knows */
/* What was sent lately may be lost. why: in words, why the route is taken that is next; NULL: as the first
 * that works. */
void ntmd_route_interrupted(struct ntmd_path *path, const char *why);
/* Before ntmd_route_apply: tells the engine if the path was interrupted, which is `now` what it says (enum in
 * struct ntmd_path). */
void ntmd_route_resume(struct ntmd_path *path, int now);
/* Sets the engine's routes: unproven ones with a second one beside it. */
void ntmd_route_apply(struct ntmd_path *path, int active, int second, uint64_t unproven_bytes);
struct json_object *ntmd_routes_json(struct ntmd_path *path);

/* ---- route_probe.c */

/* By a network that is only used when the one in use fails. */
bool ntmd_route_is_standby(const struct ntmd_path *path, const struct ntmd_route *route);
void ntmd_route_probe(struct ntmd_path *path); /* challenge all that are not proven (again) */
void ntmd_route_challenge(struct ntmd_path *path, struct ntmd_route *route);
void ntmd_route_response(struct ntmd_path *path, const struct ntm_flow *from, uint64_t nonce);
/* false: not to one of our questions */
bool ntmd_route_keepalive_response(struct ntmd_path *path, uint32_t number);
void ntmd_route_wait(struct ntmd_path *path); /* ntmd_route_select is called again in a moment */
/* The peer is to send there from now on */
void ntmd_route_announce(struct ntmd_path *path, struct ntmd_route *route);
/* There is a new network, or candidate: at the next tick, and often at first */
void ntmd_route_retry_soon(struct ntmd_path *path);
/* Of keepalive.c's tick: better ones that failed; all, if none works */
void ntmd_route_retry(struct ntmd_path *path, int64_t now_ms);
/* Of keepalive.c's tick: networks that stand by */
void ntmd_route_upkeep(struct ntmd_path *path, int64_t now_ms);

/* ---- route_way.c */

/* The preferred one first; how many. */
unsigned ntmd_route_ways(const struct ntmd *ntmd, const struct ntm_endpoint *remote,
			 struct ntmd_way ret_way[NTMD_WAYS_MAX]);
/* From on to off the networks do not change: what was found is used again. */
void ntmd_route_ways_remember(struct ntmd *ntmd, bool on);

/* ---- relay_bind.c */

void ntmd_relay_bind_set(struct ntmd_path *path, const struct ntm_relay_info *info); /* and starts */
void ntmd_relay_bind_start(struct ntmd_path *path); /* (again): we moved */
void ntmd_relay_bind_clear(struct ntmd_path *path);
int ntmd_relay_bind_receive(struct ntmd *ntmd, const struct ntm_flow *from, const uint8_t *packet,
			    size_t len);
void ntmd_relay_bind_rest(struct ntmd_path *path);
/* A Keep Alive now: a NAT may have forgotten where our legs are */
void ntmd_relay_bind_ask(struct ntmd *ntmd);
/* The RS forgot us: binds again */
bool ntmd_relay_bind_reset(struct ntmd_path *path, const uint8_t token[NTM_MAC_LEN]);
/* Whether the RS takes, or is asked to take, what we send by this route to it. */
bool ntmd_relay_bind_serves(const struct ntmd_path *path, const struct ntmd_route *route);
/* Not where the leg was before */
bool ntmd_relay_bind_is_leg(const struct ntmd_path *path, const struct ntmd_route *route);
/* One of the standby RS's */
bool ntmd_relay_bind_is_named(const struct ntmd_bind *bind, const struct ntm_endpoint *remote);
/* Another network is preferred, or the one it used is gone */
bool ntmd_relay_bind_is_stale(const struct ntmd_path *path);
static inline bool ntmd_relay_bind_asked(const struct ntmd_path *path)
{
	return path->bind.relay && path->bind.state != NTMD_BIND_NONE;
}

/* ---- keepalive.c */

void ntmd_keepalive_start(struct ntmd_path *path);
void ntmd_keepalive_ask(struct ntmd_path *path); /* now: is the peer there, and does it know the path? */
void ntmd_keepalive_response(struct ntmd_path *path, uint32_t transaction);
void ntmd_keepalive_heard(struct ntmd_path *path, const struct ntm_flow *from);

/* ---- nat_mapping.c */

/* What an answer that came this way tells: where the peer sees us; none: it does not tell. */
void ntmd_nat_mapping_relay(struct ntmd_relay *relay); /* its `observed` is another one now */
void ntmd_nat_mapping_observed(struct ntmd_path *path, const struct ntm_flow *from,
			       const struct ntm_endpoint *observed);

/* ---- path_watch.c */

void ntmd_path_watch_start(struct ntmd_path *path); /* data went out, and nothing came since */
/* Now and then: the kernel may have begun to send */
void ntmd_path_watch_kernel(struct ntmd_path *path, int64_t now_ms);
/*
 * Our leg at the relay is bound. It saw us elsewhere without our doing, at that time: if the route in use, by
 * the same address of ours, has not answered since, the path moves now.
 */
void ntmd_path_watch_leg_bound(struct ntmd_path *path, const struct ntm_addr *local, int64_t moved_ms);
void ntmd_path_watch_rest(struct ntmd_path *path); /* no data lately: forgets what may be forgotten */
void ntmd_path_watch_clear(struct ntmd_path *path); /* the path ends */

/* ---- handover.c */

void ntmd_handover_arrived(struct ntmd_path *path); /* data came by the new route */
/* The active route does not answer: takes another that has answered since then, or asks by every way. */
void ntmd_handover_route_dead(struct ntmd_path *path, int64_t since_ms);
/* And gives us another address or port: as if we had moved */
void ntmd_handover_nat_forgot(struct ntmd_path *path);

void ntmd_handover_path(struct ntmd_path *path); /* our address changed: Path Update on every way */
/* An authentic packet came from an endpoint that is no route of the path: its NAT changed, or it moved and
 * its Path Update is on the way. */
void ntmd_handover_peer_seen(struct ntmd_path *path, const struct ntm_flow *from);
void ntmd_handover_seen_in_vain(struct ntmd_path *path); /* it did not answer there */
void ntmd_handover_update_handle(struct ntmd_path *path, const struct ntm_flow *from,
				 const struct ntm_message *message);

/* ---- command_ping.c */
void ntmd_ping_response(struct ntmd_cn *cn, uint32_t transaction);
void ntmd_ping_settled(struct ntmd_cn *cn, const char *error); /* NULL: the path is up */
void ntmd_ping_handle(void *ctx, struct ntm_control_request *request, struct json_object *args);

#endif
