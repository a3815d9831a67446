/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cn.c - correspondent nodes: finding, making and forgetting them. What happens to them is in direction.c and path.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "ntm0.h"
#include "path.h"

struct ntmd_cn *ntmd_cn_find(struct ntmd *ntmd, const char *fqdn)
{
	struct ntmd_cn *cn;

	LIST_FOREACH(cn, &ntmd->cn, next)
		if (!strcmp(cn->fqdn, fqdn))
			return cn;
	return NULL;
}

struct ntmd_cn *ntmd_cn_find_vip(struct ntmd *ntmd, const struct ntm_addr *vip)
{
	struct ntmd_cn *cn;

	LIST_FOREACH(cn, &ntmd->cn, next)
		if (ntm_addr_equal(&cn->vip4, vip) || ntm_addr_equal(&cn->vip6, vip))
			return cn;
	return NULL;
}

struct ntmd_cn *ntmd_cn_new(struct ntmd *ntmd, const char *fqdn, const struct ntm_addr *vip)
{
	struct ntmd_cn *cn;

	if (ntmd->cns >= NTM_PATHS_MAX)
		return NULL;
	cn = calloc(1, sizeof(*cn));
	if (!cn)
		return NULL;
	cn->ntmd = ntmd;
	LIST_INIT(&cn->ping);
	if (fqdn)
		snprintf(cn->fqdn, sizeof(cn->fqdn), "%s", fqdn);
	if (vip && ntm_addr_is4(vip))
		cn->vip4 = *vip;
	else if (vip)
		cn->vip6 = *vip;
	LIST_INSERT_HEAD(&ntmd->cn, cn, next);
	ntmd->cns++;
	return cn;
}

void ntmd_cn_release(struct ntmd_cn *cn)
{
	if (!cn->going && !cn->path && !cn->next_path && !cn->direction && !cn->waiting && LIST_EMPTY(&cn->ping) &&
	    !(cn->direction_timer && event_pending(cn->direction_timer, EV_TIMEOUT, NULL)))
		ntmd_cn_free(cn);
}

void ntmd_cn_free(struct ntmd_cn *cn)
{
	cn->going = true; /* its paths would release it when they go */
	if (cn->next_path)
		ntmd_path_free(cn->next_path, false);
	if (cn->path)
		ntmd_path_free(cn->path, false);
	ntmd_direction_cancel(cn);
	if (cn->known) {
		ntmd_ntm0_route_del(ntmd_engine_ifindex(cn->ntmd->engine), &cn->vip4);
		ntmd_ntm0_route_del(ntmd_engine_ifindex(cn->ntmd->engine), &cn->vip6);
	}
	LIST_REMOVE(cn, next);
	cn->ntmd->cns--;
	free(cn);
}
