/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * route_direction.c - Route Direction and Withdraw (paper A, section II.C.3): the DC tells this end of a path
 * who the other end is, the common key CK, where the other end may be reached and which RS stands by. Codec:
 * lib/msg_route_direction.c; sender: dc/route_direction.c; what follows: tunnel.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "daemon/bpf_engine.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"
#include "netlink.h"
#include "path.h"

/* The public key of the requester of a path decides between two that cross: the lower one is kept. */
static const uint8_t *requester_key(const struct ntmd *ntmd, const struct ntmd_cn *cn, enum ntm_side side)
{
	return side == NTM_SIDE_REQUESTER ? ntmd->sessions.public_key : cn->public_key;
}

/* Whether an unfinished or very young path of the same pair, asked for by the other end, is to be kept
 * instead. */
static bool is_superseded(struct ntmd_cn *cn, const struct ntm_route_direction *direction)
{
	struct ntmd_path *other = cn->next_path ? cn->next_path : cn->path;

	if (!other || other->side == direction->side ||
	    ntm_loop_now_ms() - other->directed_ms > NTM_CROSSING_WINDOW_MS)
		return false;
	return memcmp(requester_key(cn->ntmd, cn, other->side), requester_key(cn->ntmd, cn, direction->side),
		      NTM_KEY_LEN) < 0;
}

static void route_to_vip(struct ntmd *ntmd, const struct ntm_addr *vip)
{
	const struct ntm_addr *own = ntm_addr_is4(vip) ? &ntmd->registration.vip4 : &ntmd->registration.vip6;
	unsigned bits =
		ntm_addr_is4(vip) ? ntmd->registration.vip4_prefix + 96u : ntmd->registration.vip6_prefix;

	if (ntm_addr_is_none(vip) || ntm_addr_is_none(own) || ntm_addr_in_prefix(vip, own, bits))
		return;
	ntmd_interface_route_add(ntmd, vip, own); /* a node of another DC */
}

static void vips_read(const uint8_t vip4[4], const uint8_t vip6[16], struct ntm_addr *ret_vip4,
		      struct ntm_addr *ret_vip6)
{
	static const uint8_t none[4];

	memset(ret_vip4, 0, sizeof(*ret_vip4));
	if (memcmp(vip4, none, sizeof(none)))
		ntm_addr_from4(ret_vip4, vip4);
	ntm_addr_from6(ret_vip6, vip6);
}

/* It has other addresses than it had: its DC lost its database, say, or it was removed and added again. */
static bool is_readdressed(struct ntmd_cn *cn, const struct ntm_addr *vip4, const struct ntm_addr *vip6)
{
	char text4[NTM_ADDR_TEXT], text6[NTM_ADDR_TEXT];

	if (!cn->known || (ntm_addr_equal(&cn->vip4, vip4) && ntm_addr_equal(&cn->vip6, vip6)))
		return false;
	ntm_addr_format(vip4, text4);
	ntm_addr_format(vip6, text6);
	ntm_notice("%s has other virtual addresses now: %s %s", cn->fqdn, text4, text6);
	ntmd_event(cn->ntmd, "peer_readdressed", "peer", cn->fqdn, "virtual4", text4, "virtual6", text6,
		   NULL);
	return true;
}

/* 0, or -ENOMEM: nothing is changed. Frees its paths if its addresses are others. */
static int learn(struct ntmd_cn *cn, const struct ntm_route_direction *direction)
{
	struct ntm_addr vip4, vip6;

	if (ntmd_cn_name_set(cn, direction->fqdn))
		return -ENOMEM;
	vips_read(direction->vip4, direction->vip6, &vip4, &vip6);
	if (is_readdressed(cn, &vip4, &vip6))
		ntmd_cn_readdressed(cn);
	ntmd_cn_vips_set(cn, &vip4, &vip6);
	memcpy(cn->public_key, direction->public_key, NTM_KEY_LEN);
	ntmd_cn_verdicts_set(cn, direction->verdict, direction->verdicts);
	cn->known = true;
	cn->lost = false;
	ntmd_cn_unnamed_join(cn, &cn->vip4);
	ntmd_cn_unnamed_join(cn, &cn->vip6);
	route_to_vip(cn->ntmd, &cn->vip4);
	route_to_vip(cn->ntmd, &cn->vip6);
	return 0;
}

/* The node the direction is about; one that was only known by its virtual address gets its name now. */
static struct ntmd_cn *cn_for(struct ntmd *ntmd, const struct ntm_route_direction *direction)
{
	struct ntmd_cn *cn = ntmd_cn_find(ntmd, direction->fqdn);
	struct ntm_addr vip;

	if (cn)
		return cn;
	ntm_addr_from4(&vip, direction->vip4);
	cn = ntmd_cn_find_vip(ntmd, &vip);
	if (!cn) {
		ntm_addr_from6(&vip, direction->vip6);
		cn = ntmd_cn_find_vip(ntmd, &vip);
	}
	return cn && !cn->fqdn[0] ? cn : ntmd_cn_new(ntmd, direction->fqdn, NULL);
}

/* A network of this host, beside ntm0: more than a default route, or halves of one, leads there. */
static bool is_routed_here(const struct ntmd *ntmd, const struct ntm_addr *vip)
{
	unsigned ifindex, bits;

	if (!ntmd_interface_index(ntmd) || ntmd->config.tun_fd >= 0)
		return false; /* applications are elsewhere, with routes of their own */
	return !ntm_netlink_route_match(vip, &ifindex, &bits) && bits > 1 &&
	       ifindex != ntmd_interface_index(ntmd);
}

/*
 * A DC may give its nodes addresses of its pools; not ours, not those of another node, and none that the
 * Internet or this host uses: traffic for them would go into the tunnel.
 */
static bool is_vip_allowed(struct ntmd *ntmd, const struct ntm_addr *vip, const char *fqdn)
{
	const struct ntm_addr *own = ntm_addr_is4(vip) ? &ntmd->registration.vip4 : &ntmd->registration.vip6;
	unsigned bits =
		ntm_addr_is4(vip) ? ntmd->registration.vip4_prefix + 96u : ntmd->registration.vip6_prefix;

	if (ntm_addr_is_none(vip))
		return true;
	if (ntm_addr_equal(vip, own) || ntmd_real_address_is_own(ntmd, vip))
		return false;
	for (unsigned i = 0; i < ntmd->dc.servers; i++)
		if (ntm_addr_equal(vip, &ntmd->dc.server[i].addr))
			return false;
	if (ntmd_cn_find_holder(ntmd, vip, fqdn))
		return false;
	if (!ntm_addr_is_none(own) && ntm_addr_in_prefix(vip, own, bits))
		return true;
	return ntm_addr_is_usable(vip) && !ntm_addr_is_global(vip) && !is_routed_here(ntmd, vip);
}

bool ntmd_route_direction_may_have(struct ntmd *ntmd, const char *fqdn, const uint8_t vip4[4],
				   const uint8_t vip6[16])
{
	struct ntm_addr v4, v6;

	vips_read(vip4, vip6, &v4, &v6);
	return is_vip_allowed(ntmd, &v4, fqdn) && is_vip_allowed(ntmd, &v6, fqdn);
}

/* Who has the address may have another one now, and we have not heard of it: then it says that it does not
 * know our path. */
static void holders_ask(struct ntmd *ntmd, const struct ntm_route_direction *direction)
{
	struct ntm_addr vip[2];

	vips_read(direction->vip4, direction->vip6, &vip[0], &vip[1]);
	for (int i = 0; i < 2; i++) {
		struct ntmd_cn *holder = ntmd_cn_find_holder(ntmd, &vip[i], direction->fqdn);

		if (holder && holder->path)
			ntmd_keepalive_ask(holder->path);
	}
}

/* What an earlier ntmd had with this node may not go on either. */
static void refused_end(struct ntmd *ntmd, const struct ntm_route_direction *direction)
{
	struct ntm_addr vip4, vip6;

	vips_read(direction->vip4, direction->vip6, &vip4, &vip6);
	ntmd_bpf_inherited_end(ntmd->engine, &vip4, &vip6);
}

/* Whoever waits for a tunnel that was refused need not wait on. */
static void wait_end(struct ntmd *ntmd, const struct ntm_route_direction *direction, const char *why)
{
	struct ntmd_cn *cn = ntmd_cn_find(ntmd, direction->fqdn);

	if (cn && !cn->path && !cn->next_path)
		ntmd_direction_failed(cn, why);
}

/* 0, or the error for the DC. */
static enum ntm_error key_check(struct ntmd *ntmd, const struct ntm_route_direction *direction)
{
	char text[NTM_KEY_TEXT_LEN + 1];
	struct ntmd_cn *cn;

	if (!memcmp(direction->public_key, ntmd->sessions.public_key, NTM_KEY_LEN))
		return NTM_ERROR_REFUSED;
	if (ntmd_state_key_check(ntmd, direction->fqdn, direction->public_key) != -EKEYREJECTED)
		return NTM_ERROR_NONE;
	ntm_key_format(text, direction->public_key);
	ntm_warn("refused a tunnel with %s: its key %s is not the pinned one", direction->fqdn, text);
	ntmd_event(ntmd, "peer_key_refused", "peer", direction->fqdn, "key", text, NULL);
	cn = ntmd_cn_find(ntmd, direction->fqdn);
	refused_end(ntmd, direction);
	if (cn && !cn->path)
		ntmd_direction_failed(cn, "its key is not the one pinned here");
	return NTM_ERROR_PEER_KEY;
}

static void path_update(struct ntmd_path *path, const struct ntm_route_direction *direction)
{
	bool new_ck = !ntm_crypto_equal(path->ck, direction->ck, NTM_KEY_LEN);

	path->directed_ms = ntm_loop_now_ms();
	if (new_ck) /* what the old one authenticated says nothing any more */
		path->request_seen = path->probe_counter = 0;
	memcpy(path->ck, direction->ck, NTM_KEY_LEN);
	path->ck_expires_ms = ntm_loop_now_ms() + direction->lifetime_s * 1000LL;
	ntmd_route_candidates_set(path, direction->candidate, direction->candidates);
	ntmd_relay_bind_set(path, &direction->relay);
	if (path->state != NTMD_PATH_UP || new_ck)
		ntmd_tunnel_start(path);
	else
		ntmd_route_probe(path);
	if (path->state == NTMD_PATH_UP && path->active < 0)
		ntmd_route_select(path); /* by the new relay, say: what waits goes at once */
}

void ntmd_route_direction_handle(struct ntmd *ntmd, const struct ntm_session_from *from,
				 const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN];
	struct ntm_route_direction direction;
	struct ntmd_path *path;
	struct ntmd_cn *cn;
	enum ntm_error error;

	if (ntm_msg_route_direction_parse(&direction, message->fields, message->len)) {
		ntm_session_refuse(from, NTM_ERROR_MALFORMED, "Route Direction is malformed");
		return;
	}
	error = key_check(ntmd, &direction);
	if (error) {
		ntm_session_refuse(from, error, "%s", ntm_error_text((uint16_t)error));
		wait_end(ntmd, &direction, ntm_error_text((uint16_t)error));
		goto wipe;
	}
	if (!ntmd_route_direction_may_have(ntmd, direction.fqdn, direction.vip4, direction.vip6)) {
		ntm_warn(
			"refused a tunnel with %s: the DC gives it a virtual address that is in use here, or public",
			direction.fqdn);
		ntm_session_refuse(from, NTM_ERROR_REFUSED, NTMD_VIP_REFUSED);
		wait_end(ntmd, &direction, NTMD_VIP_REFUSED);
		holders_ask(ntmd, &direction);
		goto wipe;
	}
	path = ntmd_path_find(ntmd, direction.path_id);
	if (path && strcmp(path->cn->fqdn, direction.fqdn)) {
		ntm_session_refuse(from, NTM_ERROR_PATH_ID_TAKEN, "the Path ID is in use for another pair");
		goto wipe;
	}
	cn = cn_for(ntmd, &direction);
	if (!cn) {
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "too many correspondent nodes");
		goto wipe;
	}
	if (!path && is_superseded(cn, &direction)) {
		ntm_session_refuse(from, NTM_ERROR_SUPERSEDED, "another direction for this pair is kept");
		goto wipe;
	}
	if (learn(cn, &direction)) {
		ntm_session_refuse(from, NTM_ERROR_LIMIT, "no memory");
		ntmd_cn_release(cn);
		goto wipe;
	}
	path = ntmd_path_find(ntmd, direction.path_id); /* unless it ended with the peer's old addresses */
	if (!path) {
		/* Its unfinished predecessor gives way; one that is up goes on until this one is. */
		cn->going = true; /* not with its last path: there is a new one */
		if (cn->next_path)
			ntmd_path_free(cn->next_path, false);
		if (cn->path && cn->path->state != NTMD_PATH_UP)
			ntmd_path_free(cn->path, false);
		cn->going = false;
		path = ntmd_path_new(cn, direction.path_id, direction.side);
		if (!path) {
			ntm_session_refuse(from, NTM_ERROR_LIMIT, "too many paths");
			ntmd_cn_release(cn);
			goto wipe;
		}
		ntmd_event(ntmd, "path_directed", "peer", cn->fqdn, "relay", direction.relay.name, NULL);
	}
	ntm_session_answer(from, NTM_MSG_ROUTE_DIRECTION_ACK, body, 0);
	path_update(path, &direction);
wipe:
	ntm_crypto_wipe(&direction, sizeof(direction));
}

void ntmd_route_withdraw_handle(struct ntmd *ntmd, const struct ntm_session_from *from,
				const struct ntm_message *message)
{
	uint8_t body[NTM_MSG_HEADER_LEN];
	struct ntm_route_withdraw withdraw;
	struct ntmd_path *path;

	if (ntm_msg_route_withdraw_parse(&withdraw, message->fields, message->len)) {
		ntm_session_refuse(from, NTM_ERROR_MALFORMED, "Route Withdraw is malformed");
		return;
	}
	ntm_session_answer(from, NTM_MSG_ROUTE_WITHDRAW_ACK, body, 0); /* also if it is gone already */
	ntmd_bpf_inherited_withdraw(ntmd->engine, withdraw.path_id);
	path = ntmd_path_find(ntmd, withdraw.path_id);
	if (path) {
		ntm_notice("the DC withdrew the path to %s", path->cn->fqdn);
		ntmd_path_close(path, withdraw.reason, false);
	}
}
