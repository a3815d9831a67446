/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cn.c - correspondent nodes: finding, making and forgetting them. What happens to them is in direction.c and
 * path.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "path.h"

/* Names and addresses are chosen by DCs we trust to direct us, not by strangers: FNV-1a will do. */
static unsigned bucket(const void *data, size_t len)
{
	const uint8_t *byte = data;
	uint32_t hash = 2166136261u;

	while (len--)
		hash = (hash ^ *byte++) * 16777619u;
	return (hash ^ hash >> 16) % NTMD_CN_BUCKETS;
}

int ntmd_cn_name_set(struct ntmd_cn *cn, const char *fqdn)
{
	char *copy = fqdn[0] ? strdup(fqdn) : NULL;

	if (fqdn[0] && !copy)
		return -ENOMEM;
	if (cn->fqdn[0]) {
		LIST_REMOVE(cn, by_name);
		free((char *)cn->fqdn);
	}
	cn->fqdn = copy ? copy : "";
	if (copy)
		LIST_INSERT_HEAD(&cn->ntmd->cn_by_name[bucket(copy, strlen(copy))], cn, by_name);
	return 0;
}

static void vip_set(struct ntmd_cn *cn, int family, struct ntm_addr *own, const struct ntm_addr *vip)
{
	if (!ntm_addr_is_none(own))
		LIST_REMOVE(cn, by_vip[family]);
	*own = *vip;
	if (!ntm_addr_is_none(own))
		LIST_INSERT_HEAD(&cn->ntmd->cn_by_vip[family][bucket(own, sizeof(*own))], cn, by_vip[family]);
}

struct ntmd_cn *ntmd_cn_find_holder(struct ntmd *ntmd, const struct ntm_addr *vip, const char *but_fqdn)
{
	int family = ntm_addr_is4(vip) ? 0 : 1;
	struct ntmd_cn *cn;

	if (ntm_addr_is_none(vip))
		return NULL;
	LIST_FOREACH(cn, &ntmd->cn_by_vip[family][bucket(vip, sizeof(*vip))], by_vip[family])
		if (cn->known && !cn->lost && strcmp(cn->fqdn, but_fqdn) &&
		    ntm_addr_equal(family ? &cn->vip6 : &cn->vip4, vip))
			return cn;
	return NULL;
}

/* The host route of a node of another DC goes, unless the address is another node's by now. */
static void route_forget(struct ntmd_cn *cn, const struct ntm_addr *vip)
{
	if (!ntm_addr_is_none(vip) && !ntmd_cn_find_holder(cn->ntmd, vip, cn->fqdn))
		ntmd_interface_route_del(cn->ntmd, vip);
}

static void routes_forget(struct ntmd_cn *cn)
{
	if (!cn->known)
		return;
	route_forget(cn, &cn->vip4);
	route_forget(cn, &cn->vip6);
}

void ntmd_cn_vips_set(struct ntmd_cn *cn, const struct ntm_addr *vip4, const struct ntm_addr *vip6)
{
	vip_set(cn, 0, &cn->vip4, vip4);
	vip_set(cn, 1, &cn->vip6, vip6);
}

void ntmd_cn_verdicts_set(struct ntmd_cn *cn, const struct ntm_verdict *verdict, unsigned count)
{
	for (unsigned i = 0; i < cn->verdicts; i++)
		free(cn->verdict[i].name);
	free(cn->verdict);
	cn->verdict = count ? calloc(count, sizeof(*cn->verdict)) : NULL;
	cn->verdicts = cn->verdict ? count : 0;
	for (unsigned i = 0; i < cn->verdicts; i++) {
		cn->verdict[i].kind = verdict[i].kind;
		cn->verdict[i].why = verdict[i].why;
		cn->verdict[i].name = verdict[i].name[0] ? strdup(verdict[i].name) : NULL;
	}
}

struct ntmd_cn *ntmd_cn_find(struct ntmd *ntmd, const char *fqdn)
{
	struct ntmd_cn *cn;

	LIST_FOREACH(cn, &ntmd->cn_by_name[bucket(fqdn, strlen(fqdn))], by_name)
		if (!strcmp(cn->fqdn, fqdn))
			return cn;
	return NULL;
}

struct ntmd_cn *ntmd_cn_find_vip(struct ntmd *ntmd, const struct ntm_addr *vip)
{
	struct ntmd_cn *cn;

	int family = ntm_addr_is4(vip) ? 0 : 1;

	LIST_FOREACH(cn, &ntmd->cn_by_vip[family][bucket(vip, sizeof(*vip))], by_vip[family])
		if (ntm_addr_equal(family ? &cn->vip6 : &cn->vip4, vip))
			return cn;
	return NULL;
}

static struct ntmd_cn *find_unnamed(struct ntmd *ntmd, const struct ntm_addr *vip)
{
	int family = ntm_addr_is4(vip) ? 0 : 1;
	struct ntmd_cn *cn;

	if (ntm_addr_is_none(vip))
		return NULL;
	LIST_FOREACH(cn, &ntmd->cn_by_vip[family][bucket(vip, sizeof(*vip))], by_vip[family])
		if (!cn->fqdn[0] && ntm_addr_equal(family ? &cn->vip6 : &cn->vip4, vip))
			return cn;
	return NULL;
}

void ntmd_cn_join(struct ntmd_cn *cn, struct ntmd_cn *unnamed)
{
	struct ntmd_engine_path *to = cn->path ? cn->path->engine : cn->waiting;

	if (unnamed->waiting && to) {
		ntmd_engine_path_hand_over(unnamed->waiting, to);
	} else if (unnamed->waiting) {
		cn->waiting = unnamed->waiting;
		unnamed->waiting = NULL;
	}
	ntmd_cn_free(unnamed);
}

void ntmd_cn_unnamed_join(struct ntmd_cn *cn, const struct ntm_addr *vip)
{
	struct ntmd_cn *unnamed;

	while ((unnamed = find_unnamed(cn->ntmd, vip)))
		ntmd_cn_join(cn, unnamed);
}

struct ntmd_cn *ntmd_cn_new(struct ntmd *ntmd, const char *fqdn, const struct ntm_addr *vip)
{
	static const struct ntm_addr none;
	struct ntmd_cn *cn;

	if (ntmd->cns >= NTM_PATHS_MAX)
		return NULL;
	cn = calloc(1, sizeof(*cn));
	if (!cn)
		return NULL;
	cn->ntmd = ntmd;
	cn->fqdn = "";
	LIST_INIT(&cn->ping);
	if (fqdn && ntmd_cn_name_set(cn, fqdn)) {
		free(cn);
		return NULL;
	}
	if (vip)
		ntmd_cn_vips_set(cn, ntm_addr_is4(vip) ? vip : &none, ntm_addr_is4(vip) ? &none : vip);
	LIST_INSERT_HEAD(&ntmd->cn, cn, next);
	ntmd->cns++;
	return cn;
}

void ntmd_cn_readdressed(struct ntmd_cn *cn)
{
	cn->going = true; /* not with its last path: there will be a new one */
	if (cn->next_path)
		ntmd_path_free(cn->next_path, true);
	if (cn->path)
		ntmd_path_free(cn->path, true);
	cn->going = false;
	if (cn->waiting)
		ntmd_engine_path_delete(cn->waiting, true); /* for an address that is not its own any more */
	cn->waiting = NULL;
	routes_forget(cn);
}

void ntmd_cn_own_readdressed(struct ntmd *ntmd)
{
	static const struct ntm_addr none;
	struct ntmd_path *path;
	struct ntmd_cn *cn;

	while ((path = LIST_FIRST(&ntmd->path)))
		ntmd_path_close(path, NTM_REASON_SUPERSEDED, true);
	/* Those that are still asked for: theirs may have changed for the same reason, and one's old may be
	 * ours now. */
	LIST_FOREACH(cn, &ntmd->cn, next) {
		if (!cn->fqdn[0])
			continue;
		routes_forget(cn);
		cn->known = false;
		ntmd_cn_vips_set(cn, &none, &none);
	}
}

void ntmd_cn_release(struct ntmd_cn *cn)
{
	if (!cn->going && !cn->path && !cn->next_path && !cn->direction && !cn->waiting &&
	    LIST_EMPTY(&cn->ping) &&
	    !(cn->direction_timer && event_pending(cn->direction_timer, EV_TIMEOUT, NULL)))
		ntmd_cn_free(cn);
}

void ntmd_cn_free(struct ntmd_cn *cn)
{
	static const struct ntm_addr none;

	cn->going = true; /* its paths would release it when they go */
	if (cn->next_path)
		ntmd_path_free(cn->next_path, false);
	if (cn->path)
		ntmd_path_free(cn->path, false);
	ntmd_direction_cancel(cn);
	routes_forget(cn);
	ntmd_cn_verdicts_set(cn, NULL, 0);
	ntmd_cn_name_set(cn, "");
	ntmd_cn_vips_set(cn, &none, &none);
	LIST_REMOVE(cn, next);
	cn->ntmd->cns--;
	free(cn->error);
	free(cn);
}
