/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_mtu_probe.c - asks how large a datagram each proven route carries, as path_mtu.c says, and tells the
 * engine what the routes in use carry. Questions are PATH_CHALLENGEs with padding (path_control.c); the other
 * end answers them as any.
 */
#include <string.h>

#include "crypto.h"
#include "daemon/inner.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define OUTER4_LEN 28 /* IPv4 and UDP headers: bytes */
#define OUTER6_LEN 48
#define SEAL_LEN (NTM_HEADER_LEN + NTM_TAG_LEN)
/* A challenge with a padding of no length */
#define QUESTION_MIN (SEAL_LEN + NTM_MSG_HEADER_LEN + 2 * NTM_FIELD_HEADER_LEN + 8)
#define TRAFFIC_BYTES 1200 /* sent since the last check: so much may have been a large packet */

static unsigned outer_len(const struct ntmd_route *route)
{
	return ntm_endpoint_is4(&route->flow.remote) ? OUTER4_LEN : OUTER6_LEN;
}

/* Largest inner packet that both ends' devices take. */
static unsigned inner_wanted(const struct ntmd_path *path)
{
	unsigned own = path->ntmd->mtu, peer = path->peer_mtu;

	/* No device has less (ntmd.conf(5)). A peer that says so would have us cut and seal segments of a few
	 * bytes. */
	if (peer && peer < NTMD_INNER_MTU_MIN6)
		peer = NTMD_INNER_MTU_MIN6;
	return peer && peer < own ? peer : own;
}

static unsigned size_wanted(const struct ntmd_path *path)
{
	unsigned size = inner_wanted(path) + SEAL_LEN;

	return size < NTM_PROBE_MAX ? size : NTM_PROBE_MAX;
}

unsigned ntmd_path_mtu_inner(const struct ntmd_path *path, const struct ntmd_route *route)
{
	/* Beyond what is asked for: the longest question's answer must do. */
	if (!route->mtu.wanted || route->mtu.size >= size_wanted(path))
		return inner_wanted(path);
	return route->mtu.size - SEAL_LEN;
}

unsigned ntmd_path_mtu_outer(const struct ntmd_path *path, const struct ntmd_route *route, bool *ret_more)
{
	if (!route->mtu.proven || route->mtu.proven != route->mtu.size)
		return 0;
	*ret_more = route->mtu.size >= size_wanted(path);
	return route->mtu.size + outer_len(route);
}

void ntmd_path_mtu_apply(struct ntmd_path *path)
{
	unsigned mtu = inner_wanted(path), second;

	if (path->active >= 0)
		mtu = ntmd_path_mtu_inner(path, path->route[path->active]);
	if (path->second >= 0) {
		second = ntmd_path_mtu_inner(path, path->route[path->second]);
		if (second < mtu)
			mtu = second;
	}
	ntmd_engine_path_mtu_set(path->engine, mtu);
}

/* ---- asking */

/* 0 or -errno. size: of the datagram. */
static int question_send(struct ntmd_path *path, struct ntmd_route *route, uint64_t nonce, unsigned size)
{
	struct ntm_challenge challenge = { .nonce = nonce };
	uint8_t body[NTM_PROBE_MAX];
	int n;

	if (size > QUESTION_MIN)
		challenge.padding = (uint16_t)(size - QUESTION_MIN);
	n = ntm_msg_challenge_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &challenge);
	return n < 0 ? n
		     : ntmd_path_control_send(path, &route->flow, NTM_MSG_PATH_CHALLENGE, 0, body, (size_t)n);
}

static void changed(struct ntmd_path *path, struct ntmd_route *route, unsigned before)
{
	if (route->mtu.size == before)
		return;
	ntm_info("packets to %s by %s: %u bytes at most (were %u)", path->cn->fqdn,
		 ntm_route_name(route->kind), route->mtu.size - SEAL_LEN, before - SEAL_LEN);
	ntmd_path_mtu_apply(path);
}

static void route_step(struct ntmd_path *path, struct ntmd_route *route, int64_t now)
{
	struct ntmd_path_mtu *mtu = &route->mtu;
	unsigned before = mtu->size;

	/* A size that is refused at once leads to the next question. */
	while (ntmd_path_mtu_step(mtu, now, route->rtt.srtt_us, ntm_crypto_random_u64())) {
		unsigned probe = mtu->probe;

		if (question_send(path, route, mtu->nonce, probe) == -EMSGSIZE) {
			if (mtu->probe == probe) /* the error queue may have told better */
				ntmd_path_mtu_refused(mtu, now);
			continue;
		}
		if (mtu->probe == probe)
			question_send(path, route, mtu->nonce + mtu->tries, 0);
		break;
	}
	changed(path, route, before);
}

static void on_due(evutil_socket_t fd, short what, void *arg);

static void timer_arm(struct ntmd_path *path)
{
	int64_t due = INT64_MAX;

	for (unsigned i = 0; i < path->routes; i++)
		if (path->route[i]->kind && path->route[i]->mtu.wanted && path->route[i]->mtu.due_ms < due)
			due = path->route[i]->mtu.due_ms;
	if (due == INT64_MAX)
		return;
	if (!path->mtu_timer)
		path->mtu_timer = ntm_timer_new(path->ntmd->loop.base, on_due, path);
	if (path->mtu_timer)
		ntm_timer_set_ms(path->mtu_timer, due - ntm_loop_now_ms());
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_path *path = arg;
	int64_t now = ntm_loop_now_ms();

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];

		if (!route->kind || now < route->mtu.due_ms)
			continue;
		if (route->state == NTMD_ROUTE_PROVEN && path->phase >= 0 && ntmd_route_usable(path, route) &&
		    !ntmd_route_is_standby(path, route))
			route_step(path, route, now);
		else
			route->mtu.due_ms = INT64_MAX; /* when it is proven again, it begins again */
	}
	timer_arm(path);
}

void ntmd_path_mtu_start(struct ntmd_path *path, struct ntmd_route *route)
{
	bool is6 = route->kind != NTM_ROUTE_RELAY && !ntm_endpoint_is4(&route->flow.remote);

	ntmd_path_mtu_begin(&route->mtu, size_wanted(path), is6 ? NTM_PATH_MTU_FLOOR6 : NTM_PATH_MTU_FLOOR4,
			    ntm_loop_now_ms());
	timer_arm(path);
}

bool ntmd_path_mtu_response(struct ntmd_path *path, uint64_t nonce)
{
	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];
		unsigned before = route->mtu.size;

		if (!route->kind || !ntmd_path_mtu_answered(&route->mtu, nonce, ntm_loop_now_ms()))
			continue;
		if (path->active == (int)i && route->mtu.proven == route->mtu.size)
			path->mtu_checked_ms = ntm_loop_now_ms();
		changed(path, route, before);
		timer_arm(path);
		return true;
	}
	return false;
}

void ntmd_path_mtu_tick(struct ntmd_path *path, uint64_t tx_bytes)
{
	struct ntmd_route *route = path->active >= 0 ? path->route[path->active] : NULL;
	int64_t now = ntm_loop_now_ms();

	if (!route || now - path->mtu_checked_ms < NTM_PATH_MTU_CHECK_MS ||
	    tx_bytes - path->mtu_checked_tx < TRAFFIC_BYTES)
		return;
	path->mtu_checked_ms = now;
	path->mtu_checked_tx = tx_bytes;
	ntmd_path_mtu_check(&route->mtu, now);
	timer_arm(path);
}

void ntmd_path_mtu_free(struct ntmd_path *path)
{
	if (path->mtu_timer)
		event_free(path->mtu_timer);
	path->mtu_timer = NULL;
}

/* ---- being told */

static void path_told(struct ntmd_path *path, const struct ntm_udp_too_big *told)
{
	int64_t now = ntm_loop_now_ms();

	for (unsigned i = 0; i < path->routes; i++) {
		struct ntmd_route *route = path->route[i];
		unsigned before = route->mtu.size, outer = outer_len(route), size;

		if (!route->kind || !route->mtu.wanted ||
		    !ntm_addr_equal(&route->flow.remote.addr, &told->remote.addr) ||
		    (told->remote.port && told->remote.port != route->flow.remote.port))
			continue;
		size = told->mtu < outer ? 0 : told->mtu - outer;
		if (told->local)
			ntmd_path_mtu_local(&route->mtu, size, now);
		else
			ntmd_path_mtu_hint(&route->mtu, size, now);
		changed(path, route, before);
	}
	timer_arm(path);
}

/*
 * What ICMP says must quote the Path ID: so a stranger's cost nothing, and those that cannot (RFC 792's 8
 * bytes) are done without, as where ICMP is filtered. One's own interface quotes nothing.
 */
void ntmd_path_mtu_told(void *ctx, const struct ntm_udp_too_big *told)
{
	struct ntmd *ntmd = ctx;
	struct ntmd_path *path;

	if (told->local) {
		LIST_FOREACH(path, &ntmd->path, next)
			path_told(path, told);
		return;
	}
	if (told->quote_len < NTM_HEADER_LEN)
		return;
	path = ntmd_path_find(ntmd, ntm_header_id((const struct ntm_header *)told->quote));
	if (path)
		path_told(path, told);
}
