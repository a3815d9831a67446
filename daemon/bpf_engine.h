/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_engine.h - the BPF engine: attached, it has the inline lane of every key phase that begins from then
 * on; the bulk lane, and what BPF leaves, stay the user engine's. It stands beside that one behind engine.h,
 * by kernel.h.
 *
 *	attach.c, main.c -> bpf_engine.c -> bpf_load.c, bpf_attach.c (programs), datapath_maps.c (maps)
 *	user_engine.c -> kernel.h -> bpf_path.c -> datapath_maps.c
 */
#ifndef NTMD_BPF_ENGINE_H
#define NTMD_BPF_ENGINE_H

#include "daemon/bpf_attach.h"
#include "daemon/engine.h"

struct ntmd_bpf_attach {
	const char *pin_dir, *device; /* these stay the caller's, and as they are */
	unsigned mtu, paths;
	enum ntmd_maps_lane lane;
	char **interface; /* names; none: those that default routes leave by. Likewise */
	unsigned interfaces;
	enum ntmd_bpf_mode mode;
	uint16_t port[2]; /* of our sockets, [0]: IPv4; 0: none */
};

/* Once for an engine that has made its device, before any path is added. 0 or -ENOMEM. */
int ntmd_bpf_open(struct ntmd_engine *engine, struct event_base *base);
/* After the paths are deleted. What is attached stays so. */
void ntmd_bpf_close(struct ntmd_engine *engine);

/*
 * Attaches what is not attached yet. Each path changes over with its next key phase: the caller asks for one.
 * What an earlier ntmd attached is taken over with its paths. 0, or -errno and a sentence in ret_why: then
 * everything is as before. This takes some 0.3 s: it is for the start.
 */
int ntmd_bpf_attach(struct ntmd_engine *engine, const struct ntmd_bpf_attach *attach, char *ret_why,
		    size_t why_len);
/*
 * The same while everything goes on: done() is called from the loop, with what ntmd_bpf_attach() would have
 * returned. If it is attached, interfaces and mode change, and done() is called at once. With check nothing
 * is attached: it only shows whether the programs load here. 0, -EBUSY
 * (ntmd_bpf_is_changing), -ENOMEM or -EAGAIN: done() will not be called.
 */
int ntmd_bpf_attach_start(struct ntmd_engine *engine, const struct ntmd_bpf_attach *attach, bool check,
			  void (*done)(void *ctx, int err, const char *why), void *ctx);
bool ntmd_bpf_is_attached(const struct ntmd_engine *engine);
bool ntmd_bpf_is_changing(const struct ntmd_engine *engine); /* an attach, or detach, has not ended */
/*
 * Nothing goes through BPF any more; done() is called, from the loop, when what was on the way is through and
 * all pins are removed. Packets of old phases that still come are opened here. 0, -EALREADY if it is not
 * attached, or -EBUSY (ntmd_bpf_is_changing).
 */
int ntmd_bpf_detach(struct ntmd_engine *engine, void (*done)(void *ctx), void *ctx);
/* We end; the programs go on with the paths they have. */
void ntmd_bpf_leave(struct ntmd_engine *engine);

void ntmd_bpf_network_changed(struct ntmd_engine *engine); /* addresses, routes or links */
const struct ntmd_bpf_interface *ntmd_bpf_interfaces(const struct ntmd_engine *engine, unsigned *ret_count);
void ntmd_bpf_drops_add(const struct ntmd_engine *engine, uint64_t drops[NTM_DROP_MAX]);
/* Paths of an earlier ntmd to these addresses end at once: there may be no tunnel. */
void ntmd_bpf_inherited_end(struct ntmd_engine *engine, const struct ntm_addr *vip4,
			    const struct ntm_addr *vip6);
/* The one of this ID, if there is one */
void ntmd_bpf_inherited_withdraw(struct ntmd_engine *engine, uint64_t path_id);
/*
 * Calls each() for every path of an earlier ntmd that still serves a peer: it wants a new one. Those end for
 * which each() says so, and those whose keys are all too old.
 */
void ntmd_bpf_inherited_each(struct ntmd_engine *engine,
			     bool (*each)(void *ctx, const struct ntm_addr *vip4,
					  const struct ntm_addr *vip6),
			     void *ctx);

#endif
