/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolver.c - chooses how applications come to ask the stub: resolver_resolved.c, resolver_file.c, or not at
 * all.
 */
#include "resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "resolv_conf.h"
#include "resolver_internal.h"

struct ntmd_resolver {
	struct ntmd_resolver_resolved *resolved;
	struct ntmd_resolver_file *file;
};

static int resolver_start(struct ntmd_resolver *resolver, struct event_base *base,
			  enum ntmd_resolver_mode mode, const struct ntm_endpoint *stub, unsigned ifindex,
			  const char *zone, char *ret_why, size_t why_len)
{
	int err;

	switch (mode) {
	case NTMD_RESOLVER_OFF:
		return 0;
	case NTMD_RESOLVER_BPF:
		snprintf(ret_why, why_len,
			 "[dns] mode = bpf is not in this build: use auto, resolved, resolv.conf or off");
		return -ENOTSUP;
	case NTMD_RESOLVER_RESOLVED:
	case NTMD_RESOLVER_AUTO:
		err = ntmd_resolver_resolved_open(&resolver->resolved, stub, ifindex, zone, ret_why, why_len);
		if (!err || mode == NTMD_RESOLVER_RESOLVED)
			return err;
		ntm_info("%s; taking over %s instead", ret_why, NTMD_RESOLV_CONF);
		break;
	case NTMD_RESOLVER_RESOLV_CONF:
		break;
	}
	return ntmd_resolver_file_open(&resolver->file, base, NTMD_RESOLV_CONF, stub, ret_why, why_len);
}

int ntmd_resolver_open(struct ntmd_resolver **ret_resolver, struct event_base *base,
		       enum ntmd_resolver_mode mode, const struct ntm_endpoint *stub, unsigned ifindex,
		       const char *zone, char *ret_why, size_t why_len)
{
	struct ntmd_resolver *resolver = calloc(1, sizeof(*resolver));
	int err;

	if (!resolver) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	err = resolver_start(resolver, base, mode, stub, ifindex, zone, ret_why, why_len);
	if (err) {
		free(resolver);
		return err;
	}
	*ret_resolver = resolver;
	return 0;
}

void ntmd_resolver_zone_set(struct ntmd_resolver *resolver, const char *zone)
{
	if (resolver->resolved)
		ntmd_resolver_resolved_zone_set(resolver->resolved, zone);
}

const char *ntmd_resolver_name(const struct ntmd_resolver *resolver)
{
	return resolver->resolved ? "resolved" : resolver->file ? "resolv.conf" : "off";
}

void ntmd_resolver_close(struct ntmd_resolver *resolver)
{
	if (!resolver)
		return;
	if (resolver->resolved)
		ntmd_resolver_resolved_close(resolver->resolved);
	if (resolver->file)
		ntmd_resolver_file_close(resolver->file);
	free(resolver);
}
