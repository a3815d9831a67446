/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolver.c - chooses how applications come to ask the stub: resolver_resolved.c, resolver_bpf.c,
 * resolver_file.c, or not at all.
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
	struct ntmd_resolver_bpf *bpf;
	struct ntmd_resolver_file *file;
};

/* The first mode of AUTO that works here. */
static int auto_start(struct ntmd_resolver *resolver, struct event_base *base, struct ntmd_dns *dns,
		      const struct ntm_endpoint *stub, unsigned ifindex, const char *zone, char *ret_why,
		      size_t why_len)
{
	if (ntmd_resolver_resolved_open(&resolver->resolved, stub, ifindex, zone, ret_why, why_len) == 0)
		return 0;
	ntm_info("%s; leading queries to the stub by BPF instead", ret_why);
	if (ntmd_resolver_bpf_open(&resolver->bpf, base, dns, stub, ret_why, why_len) == 0)
		return 0;
	ntm_info("%s; taking over %s instead", ret_why, NTMD_RESOLV_CONF);
	return ntmd_resolver_file_open(&resolver->file, base, NTMD_RESOLV_CONF, stub, ret_why, why_len);
}

static int resolver_start(struct ntmd_resolver *resolver, struct event_base *base,
			  enum ntmd_resolver_mode mode, struct ntmd_dns *dns, const struct ntm_endpoint *stub,
			  unsigned ifindex, const char *zone, char *ret_why, size_t why_len)
{
	/* A kill -9 of an ntmd that took the file over leaves it so. With any mode but that one, nobody else
	 * would put it right. */
	if (mode != NTMD_RESOLVER_RESOLV_CONF)
		ntmd_resolver_file_put_back(NTMD_RESOLV_CONF, stub);
	switch (mode) {
	case NTMD_RESOLVER_OFF:
		return 0;
	case NTMD_RESOLVER_RESOLVED:
		return ntmd_resolver_resolved_open(&resolver->resolved, stub, ifindex, zone, ret_why,
						   why_len);
	case NTMD_RESOLVER_BPF:
		return ntmd_resolver_bpf_open(&resolver->bpf, base, dns, stub, ret_why, why_len);
	case NTMD_RESOLVER_AUTO:
		return auto_start(resolver, base, dns, stub, ifindex, zone, ret_why, why_len);
	case NTMD_RESOLVER_RESOLV_CONF:
		break;
	}
	return ntmd_resolver_file_open(&resolver->file, base, NTMD_RESOLV_CONF, stub, ret_why, why_len);
}

int ntmd_resolver_open(struct ntmd_resolver **ret_resolver, struct event_base *base,
		       enum ntmd_resolver_mode mode, struct ntmd_dns *dns, const struct ntm_endpoint *stub,
		       unsigned ifindex, const char *zone, char *ret_why, size_t why_len)
{
	struct ntmd_resolver *resolver = calloc(1, sizeof(*resolver));
	int err;

	if (!resolver) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	err = resolver_start(resolver, base, mode, dns, stub, ifindex, zone, ret_why, why_len);
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
	if (resolver->bpf && ntmd_resolver_bpf_attached(resolver->bpf))
		return "bpf";
	return resolver->resolved ? "resolved" : resolver->file ? "resolv.conf" : "off";
}

int ntmd_resolver_attach(struct ntmd_resolver *resolver, char *ret_why, size_t why_len)
{
	return resolver->bpf ? ntmd_resolver_bpf_attach(resolver->bpf, ret_why, why_len) : 0;
}

bool ntmd_resolver_detach(struct ntmd_resolver *resolver)
{
	if (!resolver->bpf || !ntmd_resolver_bpf_attached(resolver->bpf))
		return false;
	ntmd_resolver_bpf_detach(resolver->bpf);
	return true;
}

void ntmd_resolver_close(struct ntmd_resolver *resolver)
{
	if (!resolver)
		return;
	if (resolver->resolved)
		ntmd_resolver_resolved_close(resolver->resolved);
	if (resolver->bpf)
		ntmd_resolver_bpf_close(resolver->bpf);
	if (resolver->file)
		ntmd_resolver_file_close(resolver->file);
	free(resolver);
}
