/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * direction.c - Direction Request (paper A, section II.C.1): a name was looked up, a packet has no tunnel, or
 * a path was lost; the DC is asked to direct both ends. What it directs comes as a Route Direction
 * (route_direction.c). Codec: lib/msg_direction.c; other end: dc/direction.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#define REFUSED_PAUSE_MS 1000 /* packets do not ask again sooner after a refusal */
#define AGAIN_FAILURES_MAX 8
/* Directions after a loss; a DC that has started anew needs a moment to learn who is there */
#define GONE_FAILURES 4

static void waits_tell(struct ntmd_cn *cn, enum ntmd_dns_result result, const char *text)
{
	uint8_t vip4[4], vip6[16];

	memcpy(vip4, cn->vip4.b + 12, 4);
	memcpy(vip6, cn->vip6.b, 16);
	for (unsigned i = 0; i < sizeof(cn->dns_wait) / sizeof(cn->dns_wait[0]); i++) {
		struct ntmd_dns_wait *wait = cn->dns_wait[i];

		if (!wait)
			continue;
		if (result != NTMD_DNS_REGISTERED)
			cn->dns_wait[i] = NULL;
		ntmd_dns_result(wait, result, vip4, vip6, text);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg);

/* The one timer of a node: a new purpose replaces the old. false: no memory. */
static bool timer_set(struct ntmd_cn *cn, int purpose, int64_t ms)
{
	if (!cn->direction_timer)
		cn->direction_timer = ntm_timer_new(cn->ntmd->loop.base, on_timer, cn);
	if (!cn->direction_timer)
		return false;
	cn->timer_for = purpose;
	ntm_timer_set_ms(cn->direction_timer, ms);
	return true;
}

static bool timer_runs(const struct ntmd_cn *cn)
{
	return cn->direction_timer && event_pending(cn->direction_timer, EV_TIMEOUT, NULL);
}

bool ntmd_direction_is_expected(const struct ntmd_cn *cn)
{
	return cn->timer_for == NTMD_CN_EXPECT && timer_runs(cn);
}

void ntmd_direction_settled(struct ntmd_cn *cn)
{
	free(cn->error);
	cn->error = NULL;
	cn->direction_failures = 0;
	if (cn->direction_timer)
		event_free(cn->direction_timer);
	cn->direction_timer = NULL;
	waits_tell(cn, NTMD_DNS_UP, NULL);
	ntmd_ping_settled(cn, NULL);
}

void ntmd_direction_ended(struct ntmd_cn *cn)
{
	waits_tell(cn, NTMD_DNS_FAILED, "the tunnel was closed");
	ntmd_ping_settled(cn, "the tunnel was closed");
}

void ntmd_direction_failed(struct ntmd_cn *cn, const char *text)
{
	free(cn->error);
	cn->error = strdup(text);
	cn->direction_failed_ms = ntm_loop_now_ms();
	ntm_info("no tunnel to %s: %s", cn->fqdn[0] ? cn->fqdn : "that virtual address", text);
	ntmd_event(cn->ntmd, "direction_failed", "peer", cn->fqdn, "error", text, NULL);
	waits_tell(cn, NTMD_DNS_FAILED, text);
	ntmd_ping_settled(cn, text);
	if (cn->waiting) {
		ntmd_engine_path_delete(cn->waiting, true);
		cn->waiting = NULL;
	}
	/* It is remembered for a moment, so that not every packet to it asks the DC. */
	if (!cn->path && !cn->next_path)
		timer_set(cn, NTMD_CN_FORGET, REFUSED_PAUSE_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_cn *cn = arg;

	(void)fd;
	(void)what;
	if (cn->timer_for == NTMD_CN_ASK) {
		ntmd_direction_start(cn, (enum ntm_reason)cn->direction_reason);
		return;
	}
	if (cn->timer_for == NTMD_CN_EXPECT && !cn->path) {
		ntmd_direction_failed(cn, "the DC's Route Direction was refused here or did not come");
		return;
	}
	ntmd_cn_release(cn);
}

/* Nothing is heard of it by any route, and the DC has not heard of it either. */
static bool is_gone(const struct ntmd_cn *cn, uint16_t error)
{
	return (error == NTM_ERROR_NOT_REGISTERED || error == NTM_ERROR_NAME_UNKNOWN) &&
	       cn->direction_reason == NTM_REASON_LOST && cn->direction_failures >= GONE_FAILURES &&
	       cn->path && !cn->next_path && cn->path->active < 0;
}

static void done(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct ntmd_cn *cn = arg, *named;
	struct ntm_direction_response response;
	struct ntm_addr vip4, vip6;
	bool has_path = cn->path || cn->next_path;

	cn->direction = NULL;
	if (err == -ECANCELED)
		return;
	if (!err && ntm_msg_direction_response_parse(&response, message->fields, message->len))
		err = -EBADMSG;
	if (!err) {
		/* The Route Direction may come a moment later; what it says is what counts. */
		named = cn->fqdn[0] ? NULL : ntmd_cn_find(cn->ntmd, response.fqdn);
		/* It was asked for by its name as well: two of one name would not know of each other's
		 * path */
		if (named) {
			ntmd_cn_join(named, cn);
			cn = named;
			has_path = cn->path || cn->next_path;
		} else if (!cn->fqdn[0]) { /* without memory it stays without a name for now */
			ntmd_cn_name_set(cn, response.fqdn);
		}
		if (!cn->known &&
		    !ntmd_route_direction_may_have(cn->ntmd, response.fqdn, response.vip4, response.vip6)) {
			ntmd_direction_failed(cn, NTMD_VIP_REFUSED);
			return;
		}
		if (!cn->known) {
			ntm_addr_from4(&vip4, response.vip4);
			ntm_addr_from6(&vip6, response.vip6);
			ntmd_cn_vips_set(cn, &vip4, &vip6);
		}
		waits_tell(cn, NTMD_DNS_REGISTERED, NULL);
		/* Otherwise each handover would wait longer for its better route than the one before. */
		if (cn->path && cn->path->state == NTMD_PATH_UP)
			cn->direction_failures = 0;
		if (!has_path)
			timer_set(cn, NTMD_CN_EXPECT, NTM_HANDSHAKE_TIMEOUT_MS);
		return;
	}
	/* Superseded: the other end's direction is kept, its Route Direction brings the path. */
	if (err == -EREMOTEIO && error->code == NTM_ERROR_SUPERSEDED) {
		if (!has_path)
			timer_set(cn, NTMD_CN_EXPECT, NTM_HANDSHAKE_TIMEOUT_MS);
		return;
	}
	if (has_path && cn->direction_reason == NTM_REASON_HANDOVER)
		return; /* the path it has goes on */
	if (err == -EREMOTEIO && (error->code == NTM_ERROR_NAME_UNKNOWN || error->code == NTM_ERROR_REFUSED ||
				  error->code == NTM_ERROR_PEER_KEY))
		ntmd_attach_inherited_end(cn);
	ntmd_direction_failed(cn, err == -EREMOTEIO ? error->text :
			      err == -ETIMEDOUT	    ? "the DC does not answer" :
							strerror(-err));
	if (err == -EREMOTEIO && is_gone(cn, error->code))
		ntmd_path_close(cn->path, NTM_REASON_LOST, false); /* and cn with it */
	else if (has_path)
		ntmd_direction_again(cn, cn->direction_reason);
}

void ntmd_direction_start(struct ntmd_cn *cn, enum ntm_reason reason)
{
	struct ntmd *ntmd = cn->ntmd;
	uint8_t body[NTM_CONTROL_MAX];
	struct ntm_direction_request request;
	int n;

	if (cn->direction || ntmd_direction_is_expected(cn))
		return;
	if (reason == NTM_REASON_PACKET && cn->direction_failed_ms &&
	    ntm_loop_now_ms() - cn->direction_failed_ms < REFUSED_PAUSE_MS)
		return;
	memset(&request, 0, sizeof(request));
	request.reason = (uint8_t)reason;
	snprintf(request.fqdn, sizeof(request.fqdn), "%s", cn->fqdn);
	if (!cn->fqdn[0])
		request.vip = ntm_addr_is_none(&cn->vip4) ? cn->vip6 : cn->vip4;
	if (cn->path)
		request.path_id = cn->path->id;
	n = ntm_msg_direction_request_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN,
					    &request);
	cn->direction_reason = (uint8_t)reason;
	if (n >= 0)
		n = ntm_session_request(&ntmd->dc, NTM_MSG_DIRECTION_REQUEST, body, (size_t)n,
					NTM_REQUEST_TIMEOUT_MS, done, cn, &cn->direction);
	if (n == -EAGAIN && cn->path)
		ntmd_direction_again(cn, reason); /* too many at once: it has a path meanwhile */
	else if (n < 0)
		ntmd_direction_failed(cn, strerror(-n));
	else
		ntmd_event(ntmd, "direction_requested", "peer", cn->fqdn, NULL);
}

void ntmd_direction_again(struct ntmd_cn *cn, enum ntm_reason reason)
{
	int64_t ms = 100;

	if (cn->direction)
		return;
	if (timer_runs(cn) && cn->timer_for == NTMD_CN_ASK) {
		if (reason == NTM_REASON_LOST) /* says more than what was going to be asked */
			cn->direction_reason = (uint8_t)reason;
		return;
	}
	for (unsigned i = 0; i < cn->direction_failures; i++)
		ms *= 2;
	if (cn->direction_failures < AGAIN_FAILURES_MAX)
		cn->direction_failures++;
	cn->direction_reason = (uint8_t)reason;
	timer_set(cn, NTMD_CN_ASK, ms / 2 + ntm_crypto_random_below((uint32_t)ms));
}

void ntmd_direction_cancel(struct ntmd_cn *cn)
{
	if (cn->direction)
		ntm_session_cancel(cn->direction);
	cn->direction = NULL;
	if (cn->direction_timer)
		event_free(cn->direction_timer);
	cn->direction_timer = NULL;
	waits_tell(cn, NTMD_DNS_FAILED, "the tunnel was given up");
	ntmd_ping_settled(cn, "the tunnel was given up");
	if (cn->waiting)
		ntmd_engine_path_delete(cn->waiting, true);
	cn->waiting = NULL;
}

/* ---- what starts directions: names and packets */

static void direct(void *ctx, const char *fqdn, struct ntmd_dns_wait *wait)
{
	struct ntmd *ntmd = ctx;
	struct ntmd_cn *cn = ntmd_cn_find(ntmd, fqdn);

	if (!strcmp(fqdn, ntmd->config.fqdn)) {
		ntmd_dns_result(wait, NTMD_DNS_UP, ntmd->registration.vip4.b + 12, ntmd->registration.vip6.b,
				NULL);
		return;
	}
	if (!cn)
		cn = ntmd_cn_new(ntmd, fqdn, NULL);
	if (!cn) {
		ntmd_dns_result(wait, NTMD_DNS_FAILED, NULL, NULL, "too many correspondent nodes");
		return;
	}
	if (cn->path && cn->path->state == NTMD_PATH_UP) {
		ntmd_dns_result(wait, NTMD_DNS_UP, cn->vip4.b + 12, cn->vip6.b, NULL);
		return;
	}
	for (unsigned i = 0; i < sizeof(cn->dns_wait) / sizeof(cn->dns_wait[0]); i++)
		if (!cn->dns_wait[i]) {
			cn->dns_wait[i] = wait;
			wait = NULL;
			break;
		}
	if (wait) {
		ntmd_dns_result(wait, NTMD_DNS_FAILED, NULL, NULL, "too many queries for this name");
		return;
	}
	if (cn->path || cn->next_path) {
		if (cn->known)
			waits_tell(cn, NTMD_DNS_REGISTERED, NULL); /* its handshake is on the way */
		return;
	}
	ntmd_direction_start(cn, NTM_REASON_NAME);
	if (!cn->direction)
		ntmd_cn_release(cn);
}

static void abandoned(void *ctx, struct ntmd_dns_wait *wait)
{
	struct ntmd *ntmd = ctx;
	struct ntmd_cn *cn;

	LIST_FOREACH(cn, &ntmd->cn, next)
		for (unsigned i = 0; i < sizeof(cn->dns_wait) / sizeof(cn->dns_wait[0]); i++)
			if (cn->dns_wait[i] == wait)
				cn->dns_wait[i] = NULL;
}

const struct ntmd_dns_ops ntmd_dns_ops = { .direct = direct, .abandoned = abandoned };
