/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * registration.c - Registration (paper A, section II.B): the node tells its DC where it is, at start and
 * whenever that changes, and learns its virtual addresses. Codec: lib/msg_registration.c; other end:
 * dc/registration.c.
 *
 *	ntmd_registration_start -> Registration Request -> Response: addresses on ntm0, zone, netcheck
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "endpoint.h"
#include "log.h"
#include "path.h"

#ifndef NTM_VERSION
#define NTM_VERSION "unknown"
#endif

static void retry_in(struct ntmd *ntmd)
{
	int64_t ms = NTM_REGISTER_RETRY_MIN_MS;

	for (unsigned i = 1; i < ntmd->registration.failures && ms < NTM_REGISTER_RETRY_MAX_MS; i++)
		ms *= 2;
	if (ms > NTM_REGISTER_RETRY_MAX_MS)
		ms = NTM_REGISTER_RETRY_MAX_MS;
	ntm_timer_set_ms(ntmd->registration.timer, ms + ntm_crypto_random_below((uint32_t)ms / 4 + 1));
}

static void failed(struct ntmd *ntmd, const char *why)
{
	/* Once a cause, not at every retry. */
	if (strcmp(ntmd->registration.error, why)) {
		snprintf(ntmd->registration.error, sizeof(ntmd->registration.error), "%s", why);
		ntm_warn("registration failed: %s; trying again", why);
		ntmd_event(ntmd, "registration_failed", "error", why, NULL);
	}
	ntmd->registration.state = NTMD_UNREGISTERED;
	ntmd->registration.failures++;
	retry_in(ntmd);
}

static void virtual_addresses_set(struct ntmd *ntmd, const struct ntm_registration_response *response)
{
	bool had = !ntm_addr_is_none(&ntmd->registration.vip4) || !ntm_addr_is_none(&ntmd->registration.vip6);
	char text4[NTM_ADDR_TEXT], text6[NTM_ADDR_TEXT];
	struct ntm_addr vip4, vip6;
	int err;

	ntm_addr_from4(&vip4, response->vip4);
	ntm_addr_from6(&vip6, response->vip6);
	if (ntm_addr_equal(&vip4, &ntmd->registration.vip4) &&
	    ntm_addr_equal(&vip6, &ntmd->registration.vip6) &&
	    response->vip4_prefix == ntmd->registration.vip4_prefix &&
	    response->vip6_prefix == ntmd->registration.vip6_prefix)
		return;
	/* Peers take nothing from the new addresses by a path that was made with the old ones, and have
	 * nothing else to send to. */
	if (had)
		ntmd_cn_own_readdressed(ntmd);
	ntmd->registration.vip4 = vip4;
	ntmd->registration.vip6 = vip6;
	ntmd->registration.vip4_prefix = response->vip4_prefix;
	ntmd->registration.vip6_prefix = response->vip6_prefix;
	ntmd_engine_own_set(ntmd->engine, &vip4, &vip6);
	err = ntmd_interface_configure(ntmd);
	if (err == -EACCES) /* what the kernel says to an IPv6 address then, and to nothing else here */
		ntm_warn(
			"no virtual IPv6 address: IPv6 is switched off on %s; `sysctl net.ipv6.conf.%s.disable_ipv6=0` and a "
			"restart of ntmd set it",
			ntmd->config.device, ntmd->config.device);
	else if (err)
		ntm_error("cannot set the virtual addresses on %s: %s", ntmd->config.device, strerror(-err));
	ntm_timer_set_ms(ntmd->network_timer, 0); /* real addresses are those of no pool */
	ntm_notice("virtual addresses: %s %s", ntm_addr_format(&vip4, text4), ntm_addr_format(&vip6, text6));
	ntmd_event(ntmd, "readdressed", "virtual4", text4, "virtual6", text6, NULL);
}

/* The DC knows the new place now: is there a shorter route from here? With jitter, where there are many
 * paths. */
static void better_routes_ask(struct ntmd *ntmd)
{
	struct ntmd_path *path;

	LIST_FOREACH(path, &ntmd->path, next)
		if (path->state == NTMD_PATH_UP)
			ntmd_direction_again(path->cn, NTM_REASON_HANDOVER);
}

static void accepted(struct ntmd *ntmd, const struct ntm_registration_response *response)
{
	char text[NTM_ENDPOINT_TEXT];

	ntmd->registration.failures = 0;
	ntmd->registration.error[0] = 0;
	virtual_addresses_set(ntmd, response);
	snprintf(ntmd->registration.dc_name, sizeof(ntmd->registration.dc_name), "%s", response->dc_name);
	if (strcmp(ntmd->registration.zone, response->zone)) {
		snprintf(ntmd->registration.zone, sizeof(ntmd->registration.zone), "%s", response->zone);
		if (ntmd->resolver)
			ntmd_resolver_zone_set(ntmd->resolver, response->zone);
	}
	if (ntmd->dns)
		ntmd_dns_zone_set(ntmd->dns, response->zone, response->dns, response->dnss);
	if (ntmd->registration.state != NTMD_REGISTERED) {
		ntm_notice("registered with %s as %s", response->dc_name, ntmd->config.fqdn);
		ntm_loop_ready("registered");
	}
	ntmd->registration.state = NTMD_REGISTERED;
	ntmd_event(ntmd, "registered", "dc", response->dc_name, "observed",
		   ntm_endpoint_format(&response->observed, text), NULL);
	if (!ntm_endpoint_equal(&ntmd->registration.observed, &response->observed)) {
		ntmd->registration.observed = response->observed;
		ntmd_netcheck_start(ntmd, response);
		ntmd->registration.moved = true;
	} else if (!ntmd_netcheck_knows(ntmd, response)) {
		ntmd_netcheck_start(ntmd, response);
	}
	/* A further network may have shorter routes, too. */
	if (ntmd->registration.moved)
		better_routes_ask(ntmd);
	ntmd->registration.moved = false;
}

static void done(void *arg, int err, const struct ntm_message *message, const struct ntm_error_message *error)
{
	struct ntmd *ntmd = arg;
	struct ntm_registration_response response;

	ntmd->registration.request = NULL;
	if (err == -ECANCELED)
		return; /* ntmd ends */
	if (err == -EREMOTEIO) {
		failed(ntmd, error->text);
	} else if (err) {
		failed(ntmd,
		       "the DC does not answer; check [dc] endpoint and public-key, that UDP gets through, and that "
		       "this node's key is enrolled there (ntmctl dc node list)");
	} else if (ntm_msg_registration_response_parse(&response, message->fields, message->len)) {
		failed(ntmd, "the DC's answer cannot be read: another version?");
	} else {
		accepted(ntmd, &response);
		ntm_timer_set_ms(ntmd->registration.timer, NTM_KEEPALIVE_S * 1000LL);
	}
	if (ntmd->registration.again) {
		ntmd->registration.again = false;
		ntmd_registration_start(ntmd);
	}
}

static void told_set(struct ntmd *ntmd, const struct ntm_registration_request *request)
{
	size_t len = request->reals * sizeof(request->real[0]);

	if (request->reals == ntmd->registration.tolds &&
	    !memcmp(request->real, ntmd->registration.told, len))
		return;
	memcpy(ntmd->registration.told, request->real, len);
	ntmd->registration.tolds = request->reals;
	ntmd->registration.moved = true;
}

/*
 * The fields, and so many zero bytes that the longest response may be sent to where this comes from, before
 * that is proven: after a move it saves a round trip. Their bytes or -errno.
 */
static int request_build(uint8_t *fields, size_t room, struct ntm_registration_request *request)
{
	const int wanted = NTM_REGISTRATION_LEN - (NTM_HEADER_LEN + NTM_MSG_HEADER_LEN + NTM_TAG_LEN);
	int n = ntm_msg_registration_request_build(fields, room, request);

	if (n < 0 || n + NTM_FIELD_HEADER_LEN >= wanted)
		return n;
	request->padding = (uint16_t)(wanted - n - NTM_FIELD_HEADER_LEN);
	return ntm_msg_registration_request_build(fields, room, request);
}

void ntmd_registration_start(struct ntmd *ntmd)
{
	uint8_t body[NTM_CONTROL_MAX];
	struct ntm_registration_request request;
	int n;

	if (ntmd->registration.request) {
		ntmd->registration.again = true;
		return;
	}
	memset(&request, 0, sizeof(request));
	snprintf(request.fqdn, sizeof(request.fqdn), "%s", ntmd->config.fqdn);
	for (unsigned i = 0; i < ntmd->real.count; i++) {
		struct ntm_endpoint *real = &request.real[request.reals];

		/* Others come by the preferred network; a less preferred one is this end's to offer. */
		if (!ntmd_real_address_is_preferred(ntmd, i))
			continue;
		real->addr = ntmd->real.addr[i];
		real->port = ntm_addr_is4(&real->addr) ? ntmd->udp4.bound.port : ntmd->udp6.bound.port;
		request.reals++;
	}
	told_set(ntmd, &request);
	request.nat = (uint8_t)ntmd->netcheck.nat;
	for (unsigned i = 0; i < ntmd->netcheck.count && request.rtts < NTM_RELAYS_MAX; i++)
		for (unsigned k = 0; k < ntmd->netcheck.relays; k++) {
			const struct ntm_relay_info *relay = &ntmd->netcheck.relay[k];

			if (!ntmd->netcheck.rtt_us[i] ||
			    !ntm_endpoint_equal(&relay->server[0], &ntmd->netcheck.server[i]))
				continue;
			snprintf(request.rtt[request.rtts].name, sizeof(request.rtt[0].name), "%s",
				 relay->name);
			request.rtt[request.rtts++].rtt_us = ntmd->netcheck.rtt_us[i];
			break;
		}
	request.boot_id = ntmd->boot_id;
	snprintf(request.software, sizeof(request.software), "ntmd %s", NTM_VERSION);
	n = request_build(body + NTM_MSG_HEADER_LEN, sizeof(body) - NTM_MSG_HEADER_LEN, &request);
	if (n >= 0)
		n = ntm_session_request(&ntmd->dc, NTM_MSG_REGISTRATION_REQUEST, body, (size_t)n,
					NTM_REQUEST_TIMEOUT_MS, done, ntmd, &ntmd->registration.request);
	if (n < 0)
		failed(ntmd, strerror(-n));
	else if (ntmd->registration.state == NTMD_UNREGISTERED)
		ntmd->registration.state = NTMD_REGISTERING;
}

void ntmd_registration_lost(struct ntmd *ntmd)
{
	if (ntmd->registration.state == NTMD_REGISTERED) {
		ntm_notice("the DC has lost our registration, registering again");
		ntmd_event(ntmd, "registration_lost", NULL);
		ntmd->registration.state = NTMD_UNREGISTERED;
	}
	/* All its nodes notice at about the same time: spread them. A request that is out goes on by
	 * itself. */
	if (!ntmd->registration.request)
		ntm_timer_set_ms(ntmd->registration.timer, ntm_crypto_random_below(1000));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd *ntmd = arg;

	(void)fd;
	(void)what;
	if (ntmd->registration.state == NTMD_REGISTERED && ntm_peer_is_up(&ntmd->dc)) {
		ntmd_keepalive_dc(ntmd);
		ntm_timer_set_ms(ntmd->registration.timer, NTM_KEEPALIVE_S * 1000LL);
	} else {
		ntmd_registration_start(ntmd);
	}
}

int ntmd_registration_init(struct ntmd *ntmd)
{
	ntmd->registration.timer = ntm_timer_new(ntmd->loop.base, on_timer, ntmd);
	return ntmd->registration.timer ? 0 : -ENOMEM;
}

void ntmd_registration_clear(struct ntmd *ntmd)
{
	if (ntmd->registration.timer)
		event_free(ntmd->registration.timer);
	ntmd->registration.timer = NULL;
}

struct json_object *ntmd_registration_json(struct ntmd *ntmd)
{
	static const char *const state[] = { "unregistered", "registering", "registered" };
	struct json_object *o = json_object_new_object();
	char text[NTM_ENDPOINT_TEXT];
	const struct ntm_endpoint *endpoint = ntmd->dc.flow.udp ? &ntmd->dc.flow.remote : &ntmd->config.dc[0];

	if (ntmd->registration.dc_name[0])
		json_object_object_add(o, "name", json_object_new_string(ntmd->registration.dc_name));
	json_object_object_add(o, "endpoint", json_object_new_string(ntm_endpoint_format(endpoint, text)));
	if (ntmd->dc.rtt.srtt_us)
		json_object_object_add(o, "rtt_us", json_object_new_int64(ntmd->dc.rtt.srtt_us));
	json_object_object_add(o, "state", json_object_new_string(state[ntmd->registration.state]));
	if (ntmd->registration.error[0])
		json_object_object_add(o, "error", json_object_new_string(ntmd->registration.error));
	return o;
}
