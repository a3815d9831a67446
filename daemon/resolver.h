/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolver.h - how applications come to ask the stub (`[dns] mode`): systemd-resolved told by D-Bus,
 * queries led to it by BPF, /etc/resolv.conf taken over and restored, or nothing.
 */
#ifndef NTMD_RESOLVER_H
#define NTMD_RESOLVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include <ntm/types.h>

enum ntmd_resolver_mode {
	NTMD_RESOLVER_AUTO,
	NTMD_RESOLVER_RESOLVED,
	NTMD_RESOLVER_BPF,
	NTMD_RESOLVER_RESOLV_CONF,
	NTMD_RESOLVER_OFF
};

struct ntmd_dns;
struct ntmd_resolver;

/*
 * AUTO: resolved if it runs and answers on the system bus, else bpf if the kernel and our privileges allow
 * it, else resolv.conf. RESOLVED: SetLinkDNS(Ex), SetLinkDomains (zone as a search-less routing domain
 * "~zone", or "~." if the zone is not known yet), SetLinkDefaultRoute false, on the TUN's ifindex; RevertLink
 * at close. RESOLV_CONF: writes the file atomically (the old one is kept beside it as resolv.conf.ntm-saved
 * and restored at close; after a kill -9 the next start finds and uses the saved one); a file that is a
 * symlink is followed. A file that another program puts there later is taken over in its turn. BPF: hooks in
 * the kernel lead queries of this network namespace to dns, until close or the end of the process.
 * dns, stub: the stub and where it listens; dns is needed until close. 0 or -errno with a sentence in
 * ret_why.
 */
int ntmd_resolver_open(struct ntmd_resolver **ret_resolver, struct event_base *base,
		       enum ntmd_resolver_mode mode, struct ntmd_dns *dns, const struct ntm_endpoint *stub,
		       unsigned ifindex, const char *zone, char *ret_why, size_t why_len);
/* The zone became known or changed (registration). */
void ntmd_resolver_zone_set(struct ntmd_resolver *resolver, const char *zone);
/* Mode bpf: takes the hooks out of the kernel, puts them back (`ntmctl detach`, `attach`); in other modes
 * nothing happens. Attached after open. 0 or -errno with a sentence in ret_why; whether they were there. */
int ntmd_resolver_attach(struct ntmd_resolver *resolver, char *ret_why, size_t why_len);
bool ntmd_resolver_detach(struct ntmd_resolver *resolver);
/* The mode in use: "resolved", "bpf", "resolv.conf", "off" (also bpf, detached). */
const char *ntmd_resolver_name(const struct ntmd_resolver *resolver);
void ntmd_resolver_close(struct ntmd_resolver *resolver); /* restores */

#endif
