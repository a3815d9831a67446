/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * attach.c - the BPF engine from the node's side: attached at start, by `ntmctl attach`, or not at all; and
 * the paths of an earlier ntmd, whose kernel part goes on without keys for anything else: each gets a new
 * direction. Behind it: bpf_engine.c.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/bpf_engine.h"
#include "log.h"
#include "path.h"

#define PASSED "the device was passed to ntmd, and may lie in another network namespace"
#define CHANGING "the BPF programs are being attached, or detached: try again in a moment"
#define INHERIT_MS 50 /* until the DC knows us */
/* Between two tries for a peer that could not be directed, at first; then twice as long each time */
#define INHERIT_AGAIN_MS 1000
#define INHERIT_WAIT_MAX_MS 60000
#define INHERIT_UP_MS 1000 /* a new path is up for so long, and has replaced the old one if it can */
#define INHERIT_AT_ONCE 32 /* directions begun at a time */

/* ---- paths of an earlier ntmd */

struct inheritance {
	struct ntmd *ntmd;
	unsigned begun, left, seen;
};

/* true: it is to end. */
static bool inherited_direct(void *ctx, const struct ntm_addr *vip4, const struct ntm_addr *vip6)
{
	struct inheritance *inheritance = ctx;
	struct ntmd *ntmd = inheritance->ntmd;
	struct ntmd_cn *cn = NULL;

	inheritance->left++;
	if (inheritance->begun >= INHERIT_AT_ONCE || inheritance->left <= ntmd->attach.inherit_skip)
		return false;
	inheritance->seen = inheritance->left;
	if (!ntm_addr_is_none(vip4))
		cn = ntmd_cn_find_vip(ntmd, vip4);
	if (!cn && !ntm_addr_is_none(vip6))
		cn = ntmd_cn_find_vip(ntmd, vip6);
	if (!cn) {
		cn = ntmd_cn_new(ntmd, NULL, ntm_addr_is_none(vip4) ? vip6 : vip4);
		if (!cn)
			return false;
		ntmd_cn_vips_set(cn, vip4, vip6);
	}
	/* The new one found no place in BPF: packets must not go on into the old one. */
	if (cn->path && cn->path->state == NTMD_PATH_UP &&
	    ntm_loop_now_ms() - cn->path->up_ms >= INHERIT_UP_MS)
		return true;
	if (cn->path || cn->next_path || cn->direction || ntmd_direction_is_expected(cn))
		return false; /* on its way */
	inheritance->begun++;
	ntmd_direction_start(cn, NTM_REASON_LOST);
	ntmd_cn_release(cn);
	return false;
}

static void inherit_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd *ntmd = arg;
	struct inheritance inheritance = { .ntmd = ntmd };

	(void)fd;
	(void)what;
	if (ntmd->registration.state != NTMD_REGISTERED) {
		ntm_timer_set_ms(ntmd->attach.inherit_timer, INHERIT_MS);
		return;
	}
	ntmd_bpf_inherited_each(ntmd->engine, inherited_direct, &inheritance);
	if (!inheritance.left)
		return;
	if (inheritance.begun >= INHERIT_AT_ONCE) {
		ntmd->attach.inherit_skip = inheritance.seen;
		ntm_timer_set_ms(ntmd->attach.inherit_timer, INHERIT_MS);
		return;
	}
	/* All were asked for. Those that are away may stay away. */
	ntmd->attach.inherit_skip = 0;
	ntm_timer_set_ms(ntmd->attach.inherit_timer, ntmd->attach.inherit_wait_ms);
	if (ntmd->attach.inherit_wait_ms < INHERIT_WAIT_MAX_MS)
		ntmd->attach.inherit_wait_ms *= 2;
}

void ntmd_attach_path_up(struct ntmd *ntmd)
{
	if (!event_pending(ntmd->attach.inherit_timer, EV_TIMEOUT, NULL) ||
	    ntmd->attach.inherit_wait_ms == INHERIT_AGAIN_MS)
		return;
	ntmd->attach.inherit_wait_ms = INHERIT_AGAIN_MS;
	ntm_timer_set_ms(ntmd->attach.inherit_timer, INHERIT_AGAIN_MS);
}

void ntmd_attach_inherited_end(struct ntmd_cn *cn)
{
	ntmd_bpf_inherited_end(cn->ntmd->engine, &cn->vip4, &cn->vip6);
}

/* ---- attaching */

static enum ntmd_bpf_mode mode_read(const char *name)
{
	return name && !strcmp(name, "native")	? NTMD_BPF_NATIVE :
	       name && !strcmp(name, "generic") ? NTMD_BPF_GENERIC :
						  NTMD_BPF_AUTO;
}

static enum ntmd_maps_lane lane_of(const char *name)
{
	return !strcmp(name, "inline") ? NTMD_MAPS_LANE_INLINE :
	       !strcmp(name, "bulk")   ? NTMD_MAPS_LANE_BULK :
					 NTMD_MAPS_LANE_AUTO;
}

static struct ntmd_bpf_attach attach_make(const struct ntmd *ntmd, enum ntmd_bpf_mode mode)
{
	return (struct ntmd_bpf_attach){
		.pin_dir = ntmd->config.pin_dir,
		.device = ntmd->config.device,
		.mtu = ntmd->mtu,
		.paths = ntmd->config.paths,
		.lane = lane_of(ntmd->config.lane),
		.interface = ntmd->attach.interfaces ? ntmd->attach.interface : ntmd->config.interface,
		.interfaces = ntmd->attach.interfaces ? ntmd->attach.interfaces : ntmd->config.interfaces,
		.mode = mode,
		.port = {ntmd->udp4.fd >= 0 ? ntmd->udp4.bound.port : 0,
			 ntmd->udp6.fd >= 0 ? ntmd->udp6.bound.port : 0},
	};
}

static void attached(struct ntmd *ntmd)
{
	ntmd->attach.why[0] = 0;
	ntmd_session_keys_renew(ntmd); /* what BPF gets begins with a new key phase */
	ntmd->attach.inherit_skip = 0;
	ntmd->attach.inherit_wait_ms = INHERIT_AGAIN_MS;
	ntm_timer_set_ms(ntmd->attach.inherit_timer, 0);
	ntmd_event(ntmd, "attached", NULL);
}

int ntmd_attach_open(struct ntmd *ntmd)
{
	bool must = !strcmp(ntmd->config.engine, "bpf");
	struct ntmd_bpf_attach attach;
	int err;

	ntmd->attach.inherit_timer = ntm_timer_new(ntmd->loop.base, inherit_fired, ntmd);
	if (!ntmd->attach.inherit_timer || ntmd_bpf_open(ntmd->engine, ntmd->loop.base))
		return -ENOMEM;
	if (!strcmp(ntmd->config.engine, "user")) {
		snprintf(ntmd->attach.why, sizeof(ntmd->attach.why), "[datapath] engine = user");
		if (ntmd->config.tun_fd < 0 &&
		    ntmd_bpf_clean(ntmd->config.pin_dir, ntmd->config.device, true))
			ntm_notice(
				"removed the BPF programs that an earlier ntmd had attached: [datapath] engine = user");
		return 0;
	}
	if (ntmd->config.tun_fd >= 0) {
		snprintf(ntmd->attach.why, sizeof(ntmd->attach.why), PASSED);
		err = -EOPNOTSUPP;
	} else {
		attach = attach_make(ntmd, NTMD_BPF_AUTO);
		err = ntmd_bpf_attach(ntmd->engine, &attach, ntmd->attach.why, sizeof(ntmd->attach.why));
		if (!err)
			attached(ntmd);
	}
	if (!err || (!must && ntmd->config.tun_fd >= 0))
		return 0;
	if (must) {
		ntm_error("%s ([datapath] engine = bpf; with auto the user engine does without)",
			  ntmd->attach.why);
		return err;
	}
	ntm_notice("no BPF engine: %s; the user engine carries everything", ntmd->attach.why);
	/* It does not while programs of an earlier ntmd take the packets, for paths that nobody looks
	 * after. */
	if (ntmd_bpf_clean(ntmd->config.pin_dir, ntmd->config.device, true))
		ntm_notice("removed the BPF programs that an earlier ntmd had attached");
	return 0;
}

static void list_free(char **list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

static void interfaces_forget(struct ntmd *ntmd)
{
	list_free(ntmd->attach.interface, ntmd->attach.interfaces);
	ntmd->attach.interface = NULL;
	ntmd->attach.interfaces = 0;
}

void ntmd_attach_close(struct ntmd *ntmd)
{
	if (ntmd->engine)
		ntmd_bpf_close(ntmd->engine);
	interfaces_forget(ntmd);
	if (ntmd->attach.inherit_timer)
		event_free(ntmd->attach.inherit_timer);
	ntmd->attach.inherit_timer = NULL;
}

/* ---- for ntmctl */

struct json_object *ntmd_attach_interfaces_json(const struct ntmd *ntmd)
{
	struct json_object *array = json_object_new_array(), *o;
	const struct ntmd_bpf_interface *interface;
	unsigned count;

	interface = ntmd_bpf_interfaces(ntmd->engine, &count);
	for (unsigned i = 0; i < count; i++) {
		o = json_object_new_object();
		json_object_object_add(o, "name", json_object_new_string(interface[i].name));
		json_object_object_add(o, "mode",
				       json_object_new_string(!interface[i].attached ? "none" :
							      interface[i].native    ? "native" :
										       "generic"));
		json_object_object_add(o, "tc",
				       !interface[i].attached ? NULL :
				       interface[i].how == NTM_PINS_TCX ?
								json_object_new_string("tcx") :
								json_object_new_string("clsact"));
		json_object_object_add(o, "why",
				       interface[i].why[0] ? json_object_new_string(interface[i].why) : NULL);
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *attached_json(const struct ntmd *ntmd)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "engine", json_object_new_string(ntmd_engine_name(ntmd->engine)));
	json_object_object_add(o, "interfaces", ntmd_attach_interfaces_json(ntmd));
	return o;
}

/* Whether all of them are there: a slip of the pen must not take the programs off the others. */
static bool interfaces_exist(struct ntm_control_request *request, struct json_object *args)
{
	struct json_object *array;
	const char *name;

	if (!json_object_object_get_ex(args, "interfaces", &array) ||
	    !json_object_is_type(array, json_type_array))
		return true;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		name = json_object_get_string(json_object_array_get_idx(array, i));
		if (name && if_nametoindex(name))
			continue;
		ntm_control_fail(request, "there is no interface %s; nothing was changed",
				 name ? name : "of no name");
		return false;
	}
	return true;
}

static bool is_listed(char *const *list, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

/*
 * "interfaces": ["eth0"]; none: as the configuration says. 0 or -ENOMEM: then the list stays, of which the
 * engine has the address.
 */
static int interfaces_read(struct ntmd *ntmd, struct json_object *args)
{
	struct json_object *array, *one;
	const char *name;
	char **list = NULL;
	unsigned count = 0, n = 0;

	if (json_object_object_get_ex(args, "interfaces", &array) &&
	    json_object_is_type(array, json_type_array))
		count = (unsigned)json_object_array_length(array);
	if (count) {
		list = calloc(count, sizeof(*list));
		if (!list)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < count; i++) {
		one = json_object_array_get_idx(array, i);
		name = json_object_get_string(one);
		if (is_listed(list, n, name))
			continue;
		list[n] = strdup(name);
		if (!list[n]) {
			list_free(list, n);
			return -ENOMEM;
		}
		n++;
	}
	interfaces_forget(ntmd);
	ntmd->attach.interface = list;
	ntmd->attach.interfaces = n;
	return 0;
}

/* What was asked for by name must work; 0 or -errno after failing the request. */
static int named_check(struct ntmd *ntmd, struct ntm_control_request *request)
{
	const struct ntmd_bpf_interface *interface;
	unsigned count;

	interface = ntmd_bpf_interfaces(ntmd->engine, &count);
	for (unsigned i = 0; i < ntmd->attach.interfaces; i++) {
		const struct ntmd_bpf_interface *found = NULL;

		for (unsigned k = 0; k < count; k++)
			if (!strcmp(interface[k].name, ntmd->attach.interface[i]))
				found = &interface[k];
		if (found && found->attached)
			continue;
		ntm_control_fail(request, "not attached to %s: %s; what comes in there is opened by ntmd",
				 ntmd->attach.interface[i],
				 found ? found->why : "it is one of our own, or the loopback device");
		return -ENODEV;
	}
	return 0;
}

static void attaching_gone(void *arg)
{
	struct ntmd *ntmd = arg;

	ntmd->attach.attaching = NULL;
}

static void attach_done(void *ctx, int err, const char *why)
{
	struct ntmd *ntmd = ctx;
	struct ntm_control_request *request = ntmd->attach.attaching;
	char dns_why[256];

	ntmd->attach.attaching = NULL;
	if (!ntmd->attach.check) {
		if (err)
			snprintf(ntmd->attach.why, sizeof(ntmd->attach.why), "%s", why);
		else if (!ntmd->attach.again)
			attached(ntmd);
		if (ntmd->resolver && ntmd_resolver_attach(ntmd->resolver, dns_why, sizeof(dns_why)) && !err)
			err = -EIO, why = dns_why;
	}
	if (!request)
		return;
	if (err)
		ntm_control_fail(request, "%s", why);
	else if (ntmd->attach.check || !named_check(ntmd, request))
		ntm_control_reply(request, attached_json(ntmd));
}

void ntmd_attach_handle(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct ntmd *ntmd = ctx;
	struct ntmd_bpf_attach attach;
	struct json_object *check;
	int err = 0;

	if (ntmd->config.tun_fd >= 0) {
		ntm_control_fail(request, PASSED);
		return;
	}
	if (ntmd_bpf_is_changing(ntmd->engine)) {
		ntm_control_fail(request, CHANGING);
		return;
	}
	if (!interfaces_exist(request, args))
		return;
	ntmd->attach.attaching = request;
	ntmd->attach.check =
		json_object_object_get_ex(args, "check", &check) && json_object_get_boolean(check);
	ntmd->attach.again = ntmd_bpf_is_attached(ntmd->engine);
	if (!ntmd->attach.check)
		err = interfaces_read(ntmd, args);
	if (!err) {
		attach = attach_make(ntmd, mode_read(ntm_control_arg_string(args, "mode")));
		ntm_control_on_gone(request, attaching_gone, ntmd);
		err = ntmd_bpf_attach_start(ntmd->engine, &attach, ntmd->attach.check, attach_done, ntmd);
	}
	if (err) {
		ntmd->attach.attaching = NULL;
		ntm_control_fail(request, "cannot load the BPF programs: %s", strerror(-err));
	}
}

static void detaching_gone(void *arg)
{
	struct ntmd *ntmd = arg;

	ntmd->attach.detaching = NULL;
}

static void detached(void *ctx)
{
	struct ntmd *ntmd = ctx;

	snprintf(ntmd->attach.why, sizeof(ntmd->attach.why), "detached by ntmctl");
	ntmd_session_keys_renew(ntmd); /* the old ones' inline lane was BPF's: nobody seals by it any more */
	ntmd_event(ntmd, "detached", NULL);
	if (ntmd->attach.detaching)
		ntm_control_reply(ntmd->attach.detaching, attached_json(ntmd));
	ntmd->attach.detaching = NULL;
}

void ntmd_detach_handle(void *ctx, struct ntm_control_request *request, struct json_object *args)
{
	struct ntmd *ntmd = ctx;
	bool dns;

	(void)args;
	if (ntmd_bpf_is_changing(ntmd->engine)) {
		ntm_control_fail(request, CHANGING);
		return;
	}
	dns = ntmd->resolver && ntmd_resolver_detach(ntmd->resolver);
	if (ntmd_bpf_detach(ntmd->engine, detached, ntmd)) {
		if (dns) /* [dns] mode = bpf without the engine */
			ntm_control_reply(request, attached_json(ntmd));
		else
			ntm_control_fail(request, "the BPF programs are not attached");
		return;
	}
	ntmd->attach.detaching = request;
	ntm_control_on_gone(request, detaching_gone, ntmd);
}
