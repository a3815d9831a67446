/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * limits.h - every number that the network could otherwise grow, and every timer.
 * doc/PROTOCOL.md, "Limits and timers", gives the reasons.
 */
#ifndef NTM_LIMITS_H
#define NTM_LIMITS_H

#define NTM_PORT 6866 /* UDP, all signalling and tunnels */

/* ---- messages: bytes and counts */
#define NTM_PACKET_MAX 65535 /* largest UDP datagram read */
#define NTM_CONTROL_MAX 1200 /* largest packet that is no data: fits every IPv6 path */
#define NTM_PROBE_MAX 9000 /* but a PATH_CHALLENGE padded to find the path's MTU */
#define NTM_REAL_ADDRS_MAX 8 /* real addresses (RIP4/RIP6) a node registers */
#define NTM_SERVERS_MAX 8 /* endpoints of one DC or RS */
#define NTM_CANDIDATES_MAX 8 /* direct candidates in a Route Direction */
#define NTM_RELAYS_MAX 4 /* relays told to a node */
#define NTM_VERDICTS_MAX 16 /* explained routes in a Route Direction */

/* ---- sessions (Noise IK) */
#define NTM_SESSION_LIFETIME_S 86400 /* a new handshake is made after this */
#define NTM_SESSION_COUNTER_MAX (1ULL << 48) /* packets under one session key */
/* Packets of one session key: what a server sends at once may overtake itself */
#define NTM_SESSION_WINDOW 512
#define NTM_REPLAY_WINDOW 2048 /* packets, per lane and key (RFC 6479's way) */
#define NTM_HANDSHAKES_PER_S 200 /* more, over all sources, count as load: cookies are asked for */
/* Of one CPU's time for the handshakes of those who showed a cookie, at most */
#define NTM_HANDSHAKE_SHARE_PERCENT 60
#define NTM_COOKIES_PER_S 10000 /* cookies sent, over all sources: some microseconds each */
/* The same to one source address, which may be forged, or a large NAT's */
#define NTM_COOKIES_SOURCE_PER_S 100
#define NTM_COOKIE_LIFETIME_S 120 /* a cookie secret is used for this long, then remembered as long again */
#define NTM_UNAUTH_REPLIES_PER_S 100 /* resets, echoes, challenges: each kind, over all sources */
#define NTM_UNAUTH_REPLIES_SOURCE_PER_S 10 /* the same from one source address */
#define NTM_SOURCES_MAX 1024 /* source addresses remembered by a rate limiter */

/* ---- requests: milliseconds */
#define NTM_RTO_FIRST_MS 300 /* before a round trip was measured */
#define NTM_RTO_MIN_MS 50
#define NTM_RTO_MAX_MS 4000
/* A session sends to an address that is not proven so many times what came from there, at most */
#define NTM_UNPROVEN_FACTOR 3
/* Of a Registration Request's packet: thrice that is the longest response and a challenge */
#define NTM_REGISTRATION_LEN 420
#define NTM_REQUEST_TIMEOUT_MS 8000 /* a request is given up after this */
#define NTM_REQUESTS_MAX 64 /* outstanding requests a peer; a DC to an RS or DC: NTM_REQUESTS_SERVER_MAX */
#define NTM_REQUESTS_SERVER_MAX 65536
#define NTM_ANSWERS_KEPT 8 /* answers remembered per peer, so that a repeated request changes nothing */

/* ---- registration */
#define NTM_LOCATION_LIFETIME_S 90 /* the DC forgets a node it has not heard for this long */
#define NTM_KEEPALIVE_S 25 /* to the DC, to the standby RS, on an idle direct path: holds NAT mappings */
#define NTM_KEEPALIVE_MISSES 3 /* then the far end is taken to be gone */
#define NTM_REGISTER_RETRY_MIN_MS 500
#define NTM_REGISTER_RETRY_MAX_MS 30000

/* ---- paths */
#define NTM_CK_LIFETIME_S 86400 /* common key CK */
#define NTM_REKEY_AFTER_S 120 /* soft: a new handshake, if there was traffic */
#define NTM_KEY_HARD_LIFETIME_S 900 /* a key is never used after this */
#define NTM_KEY_DRAIN_S 10 /* the old key opens this much longer */
#define NTM_REKEY_AFTER_AESGCM (1ULL << 27) /* packets a key: soft */
#define NTM_STOP_AFTER_AESGCM (1ULL << 28) /* packets a key: hard */
#define NTM_REKEY_AFTER_CHACHA (1ULL << 48)
#define NTM_STOP_AFTER_CHACHA (1ULL << 49)
#define NTM_HANDSHAKE_TIMEOUT_MS 5000 /* Tunnel Request without a Response */
#define NTM_CROSSING_WINDOW_MS 5000 /* directions of one pair this close together are crossing ones */
#define NTM_PATH_IDLE_S 600 /* a path without data for this long is closed */
#define NTM_PATHS_MAX 65536 /* paths of one node */
#define NTM_ROUTES_MAX 16 /* routes kept per path: candidates, reflexive ones, relay */
#define NTM_HELD_BYTES 262144 /* packets waiting for a tunnel or a route, per path */
#define NTM_HELD_MS 3000 /* and for how long at most */
#define NTM_UNPROVEN_BYTES 65536 /* to an address not yet proven */
#define NTM_PUNCH_INTERVAL_MS 100 /* between probes of a candidate */
#define NTM_PUNCH_TRIES 20
#define NTM_BULK_ACK_MS 250 /* receiver of bulk data tells that its daemon lives */
#define NTM_BULK_DEAD_MS 1000 /* without: only the inline lane */
/* path MTU: sizes of datagrams (UDP payloads), bytes */
#define NTM_PATH_MTU_FLOOR4 1096 /* no ICMP error makes it less, by IPv4 or a relay: 1124 - 20 - 8 */
#define NTM_PATH_MTU_FLOOR6 1232 /* by IPv6: 1280 - 40 - 8 */
#define NTM_PATH_MTU_LEAST 548 /* nor one's own interface: 576 - 20 - 8 */
#define NTM_PATH_MTU_GRAIN 8 /* a search that is this near ends */
#define NTM_PATH_MTU_CHECK_MS 3000 /* whether the size in use still passes, while there is traffic */
#define NTM_PATH_MTU_RAISE_MS 600000 /* whether a larger one passes now */
/* pieces of inner packets that do not fit the path, and may not be refused */
#define NTM_PIECES_MAX 64 /* of one packet */
#define NTM_PIECE_PACKETS_MAX 8 /* incomplete ones of a path */
#define NTM_PIECE_BYTES 65536 /* of a path */
#define NTM_PIECE_TOTAL (16U << 20) /* of all paths of a node */
#define NTM_PIECE_MS 2000 /* then an incomplete one is given up */
#define NTM_DNS_WAIT_MS 2000 /* a name query is answered after this at the latest */
/* [dns] mode = bpf: the stub says this often that it lives, and gets no more queries when it has not said so
 * for so long: before an application asks again (glibc: 5 s), and not because of one late turn of the event
 * loop */
#define NTM_DNS_BEAT_MS 500
#define NTM_DNS_DEAD_MS 2000
/* and this is the mark of its sockets towards servers (SO_MARK): no bit of the masks that packet filters and
 * VPNs are known to use */
#define NTM_DNS_MARK 0x1035

/* ---- relay */
#define NTM_BIND_CHALLENGE_S 10 /* a challenge is good for this long */
#define NTM_RELAY_PATHS_MAX 1048576
#define NTM_RELAY_UNBOUND_S 60 /* a relayed path that no leg has bound is forgotten */
#define NTM_RELAY_IDLE_S 600 /* nor one with neither a packet nor a sign of life of its nodes for this long */
/* A DC that is back has directed again by then what a restarted RS still serves */
#define NTM_RELAY_INHERITED_S 60
#define NTM_RELAY_REPORT_S 5 /* between two load reports */

#endif
