/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolver_resolved.c - tells systemd-resolved by D-Bus (org.freedesktop.resolve1(5)) to ask the stub for the
 * names of the DC's zone: as the DNS server of the TUN device, with the zone as a routing domain. resolved
 * keeps this over a restart of its own, and forgets it with the device. resolver.c chooses this way.
 *
 * Calls block, for CALL_US at most: they are made at start, at the end, and when the zone changes.
 */
#include "resolver_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_SYSTEMD
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "endpoint.h"
#include "log.h"

#define CALL_US 3000000 /* us */

static const char service[] = "org.freedesktop.resolve1";
static const char path[] = "/org/freedesktop/resolve1";
static const char manager[] = "org.freedesktop.resolve1.Manager";

struct ntmd_resolver_resolved {
	sd_bus *bus;
	unsigned ifindex;
	struct ntm_endpoint stub;
};

/* Ends message. 0 or -errno; then ret_why says what resolved said. */
static int call_end(sd_bus *bus, sd_bus_message *message, int err, char *ret_why, size_t why_len)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *method = message ? sd_bus_message_get_member(message) : "call";

	if (err >= 0)
		err = sd_bus_call(bus, message, CALL_US, &error, NULL);
	if (err < 0)
		snprintf(ret_why, why_len, "systemd-resolved: %s: %s", method,
			 error.message ? error.message : strerror(-err));
	sd_bus_error_free(&error);
	sd_bus_message_unref(message);
	return err < 0 ? err : 0;
}

static int dns_set(struct ntmd_resolver_resolved *resolved, bool extended, char *ret_why, size_t why_len)
{
	bool is4 = ntm_endpoint_is4(&resolved->stub);
	const uint8_t *addr = resolved->stub.addr.b + (is4 ? 12 : 0);
	sd_bus_message *message = NULL;
	int err;

	err = sd_bus_message_new_method_call(resolved->bus, &message, service, path, manager,
					     extended ? "SetLinkDNSEx" : "SetLinkDNS");
	if (err >= 0)
		err = sd_bus_message_append(message, "i", (int)resolved->ifindex);
	if (err >= 0)
		err = sd_bus_message_open_container(message, 'a', extended ? "(iayqs)" : "(iay)");
	if (err >= 0)
		err = sd_bus_message_open_container(message, 'r', extended ? "iayqs" : "iay");
	if (err >= 0)
		err = sd_bus_message_append(message, "i", is4 ? AF_INET : AF_INET6);
	if (err >= 0)
		err = sd_bus_message_append_array(message, 'y', addr, is4 ? 4 : 16);
	if (err >= 0 && extended)
		err = sd_bus_message_append(message, "qs", resolved->stub.port, "");
	if (err >= 0)
		err = sd_bus_message_close_container(message);
	if (err >= 0)
		err = sd_bus_message_close_container(message);
	return call_end(resolved->bus, message, err, ret_why, why_len);
}

static int domains_set(struct ntmd_resolver_resolved *resolved, const char *zone, char *ret_why,
		       size_t why_len)
{
	sd_bus_message *message = NULL;
	int err;

	err = sd_bus_message_new_method_call(resolved->bus, &message, service, path, manager,
					     "SetLinkDomains");
	if (err >= 0)
		err = sd_bus_message_append(message, "ia(sb)", (int)resolved->ifindex, 1,
					    zone && *zone ? zone : ".", 1 /* only for routing */);
	return call_end(resolved->bus, message, err, ret_why, why_len);
}

/* value: for "ib" and "is". */
static int link_set(struct ntmd_resolver_resolved *resolved, const char *method, const char *types,
		    const char *text, char *ret_why, size_t why_len)
{
	sd_bus_message *message = NULL;
	int err;

	err = sd_bus_message_new_method_call(resolved->bus, &message, service, path, manager, method);
	if (err >= 0 && *types)
		err = sd_bus_message_append(message, "i", (int)resolved->ifindex);
	if (err >= 0 && strcmp(types, "ib") == 0)
		err = sd_bus_message_append(message, "b", 0);
	else if (err >= 0 && strcmp(types, "is") == 0)
		err = sd_bus_message_append(message, "s", text);
	return call_end(resolved->bus, message, err, ret_why, why_len);
}

static int link_configure(struct ntmd_resolver_resolved *resolved, const char *zone, char *ret_why,
			  size_t why_len)
{
	char unused[256];
	int err;

	err = dns_set(resolved, true, ret_why, why_len);
	/* Before systemd 246. */
	if ((err == -EBADR || err == -ENOSYS || err == -EOPNOTSUPP) && resolved->stub.port == 53)
		err = dns_set(resolved, false, ret_why, why_len);
	if (!err)
		err = domains_set(resolved, zone, ret_why, why_len);
	if (!err)
		err = link_set(resolved, "SetLinkDefaultRoute", "ib", NULL, ret_why, why_len);
	if (err)
		return err;
	/*
	 * The stub is on this machine and makes its answers: it speaks no TLS and signs nothing. A build of
	 * resolved without TLS or DNSSEC refuses these; then there is nothing to switch off.
	 */
	(void)link_set(resolved, "SetLinkDNSOverTLS", "is", "no", unused, sizeof(unused));
	(void)link_set(resolved, "SetLinkDNSSEC", "is", "no", unused, sizeof(unused));
	return 0;
}

/* What resolved learnt about the zone's names before counts no more. */
static void caches_flush(struct ntmd_resolver_resolved *resolved)
{
	char why[256];

	if (link_set(resolved, "FlushCaches", "", NULL, why, sizeof(why)) < 0)
		ntm_warn("%s", why);
}

static int service_check(sd_bus *bus, char *ret_why, size_t why_len)
{
	int err = sd_bus_get_name_creds(bus, service, 0, NULL);

	if (err >= 0)
		return 0;
	snprintf(ret_why, why_len, "systemd-resolved is not running (no %s on the system bus)", service);
	return err;
}

int ntmd_resolver_resolved_open(struct ntmd_resolver_resolved **ret_resolved, const struct ntm_endpoint *stub,
				unsigned ifindex, const char *zone, char *ret_why, size_t why_len)
{
	struct ntmd_resolver_resolved *resolved = calloc(1, sizeof(*resolved));
	int err;

	if (!resolved) {
		snprintf(ret_why, why_len, "out of memory");
		return -ENOMEM;
	}
	resolved->ifindex = ifindex;
	resolved->stub = *stub;
	err = sd_bus_open_system(&resolved->bus);
	if (err < 0) {
		snprintf(
			ret_why, why_len,
			"systemd-resolved cannot be asked, there is no system bus: %s; start dbus and systemd-resolved, or set "
			"[dns] mode = auto",
			strerror(-err));
		goto no_bus;
	}
	sd_bus_set_allow_interactive_authorization(resolved->bus, 0);
	err = service_check(resolved->bus, ret_why, why_len);
	if (err < 0)
		goto failed;
	err = link_configure(resolved, zone, ret_why, why_len);
	if (err < 0)
		goto failed;
	caches_flush(resolved);
	*ret_resolved = resolved;
	return 0;
failed:
	sd_bus_flush_close_unref(resolved->bus);
no_bus:
	free(resolved);
	return err;
}

/* The connection is only used now and then: after a restart of the bus a new one is needed. */
static int bus_again(struct ntmd_resolver_resolved *resolved)
{
	sd_bus *bus;
	int err;

	/* Nothing reads the connection in between: take in what the bus sent, a hang-up among it. */
	while ((err = sd_bus_process(resolved->bus, NULL)) > 0)
		;
	if (err == 0 && sd_bus_is_ready(resolved->bus) > 0)
		return 0;
	err = sd_bus_open_system(&bus);
	if (err < 0)
		return err;
	sd_bus_close_unref(resolved->bus);
	resolved->bus = bus;
	return 0;
}

void ntmd_resolver_resolved_zone_set(struct ntmd_resolver_resolved *resolved, const char *zone)
{
	char why[256] = "systemd-resolved: the system bus is gone";
	int err = bus_again(resolved);

	/* All of it: resolved may have lost it. */
	if (!err)
		err = link_configure(resolved, zone, why, sizeof(why));
	if (err)
		ntm_warn("names of %s may not be found: %s", zone, why);
	else
		caches_flush(resolved);
}

void ntmd_resolver_resolved_close(struct ntmd_resolver_resolved *resolved)
{
	char why[256] = "systemd-resolved: the system bus is gone";
	int err = bus_again(resolved);

	if (!err)
		err = link_set(resolved, "RevertLink", "i", NULL, why, sizeof(why));
	if (err)
		ntm_debug("%s", why); /* usual when the device is already gone: resolved forgot it then */
	sd_bus_flush_close_unref(resolved->bus);
	free(resolved);
}

#else

int ntmd_resolver_resolved_open(struct ntmd_resolver_resolved **ret_resolved, const struct ntm_endpoint *stub,
				unsigned ifindex, const char *zone, char *ret_why, size_t why_len)
{
	(void)ret_resolved;
	(void)stub;
	(void)ifindex;
	(void)zone;
	snprintf(ret_why, why_len, "systemd-resolved: this build has no libsystemd");
	return -ENOTSUP;
}

void ntmd_resolver_resolved_zone_set(struct ntmd_resolver_resolved *resolved, const char *zone)
{
	(void)resolved;
	(void)zone;
}

void ntmd_resolver_resolved_close(struct ntmd_resolver_resolved *resolved)
{
	(void)resolved;
}

#endif
