/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * bpf_internal.h - what bpf_engine.c, bpf_event.c, bpf_load.c and bpf_path.c share.
 */
#ifndef NTMD_BPF_INTERNAL_H
#define NTMD_BPF_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "daemon/bpf_engine.h"
#include "daemon/user_engine.h"

/* A set and who needs it: attached, or only for packets of phases that began under it. */
struct ntmd_bpf_use {
	struct ntmd_bpf_set *set;
	unsigned phases;
	bool attached;
};

/* A slot of the attached set. */
struct ntmd_kernel_path {
	TAILQ_ENTRY(ntmd_kernel_path) draining;
	struct ntmd_engine_path *path; /* NULL: deleted, it drains */
	unsigned slot;
	int64_t drain_ms; /* it is given back then; 0: it lives */
	bool inherited; /* of an earlier ntmd: nothing about it changes but its end */
	bool worn; /* its counter is near its end: it takes no further key */
	struct ntm_addr vip[2]; /* packets to these go by it, [0]: IPv4; none: not */
	struct ntmd_maps_ends ends; /* as they were last told */
	bool ends_told;
	/* BPF finds no way by the route of this serial, or there is none for it: ntmd sends until the next
	 * route or key */
	bool blocked;
	unsigned blocked_serial;
	unsigned route_serial; /* of the path, when the local ends below were found */
	struct ntm_endpoint local, second_local;
};

struct ntmd_kernel_phase {
	struct ntmd_bpf_use *use;
	unsigned slot, phase;
	uint32_t tag;
	bool drains; /* its path is gone, its slot is not */
};

/* Programs on their way into the kernel. */
struct ntmd_bpf_load {
	struct ntmd_kernel *kernel;
	struct ntmd_bpf_attach attach;
	bool check; /* only whether they load */
	void (*done)(void *ctx, int err, const char *why);
	void *ctx;
	pthread_t thread;
	struct event *ended;
	/* Eventfd, written by the thread at its end; until then the following is the thread's */
	int ended_fd;
	struct ntmd_bpf_set *set;
	int err;
	char why[256];
};

struct ntmd_kernel {
	struct ntmd_engine *engine;
	struct event_base *base;
	struct ntmd_bpf_use *now; /* NULL: not attached */
	struct ntmd_bpf_load *load; /* NULL: nothing is being loaded */
	bool leaving; /* we end, the maps stay as they are */
	bool stopping; /* detach is under way */
	void (*stopped)(void *ctx);
	void *stopped_ctx;
	struct event *beat, *stop_timer, *drain_timer, *readable;
	struct ring_buffer *ring;
	int packet_fd; /* AF_PACKET, sends into ntm0s; -1: none */
	unsigned packet_ifindex;
	struct ntmd_bpf_attach attach;
	struct ntmd_kernel_path **by_slot; /* of the attached set; NULL: nobody's */
	TAILQ_HEAD(, ntmd_kernel_path) draining; /* the first to end first */
	struct ntm_addr *old_vip; /* of a set of another layout that runs beside; NULL: none does */
	size_t old_vips;
	int64_t old_until_ms; /* it ends then at the latest */
	struct event *old_timer;
	struct event *interfaces_timer; /* programs are where the networks were */
	int64_t full_ms; /* when it was last said that the slots are too few; 0: never */
};

/* bpf_engine.c */
void ntmd_bpf_loaded(struct ntmd_bpf_load *load); /* takes its set, or leaves it there to be freed */

/* bpf_event.c: libbpf's callback for one event; ctx is the kernel. 0 */
int ntmd_bpf_event_take(void *ctx, void *data, size_t size);

/* bpf_load.c */
/* 0, or -errno and a sentence in ret_why */
int ntmd_bpf_load(struct ntmd_bpf_set **ret_set, const struct ntmd_kernel *kernel,
		  const struct ntmd_bpf_attach *attach, char *ret_why, size_t why_len);
/* By a thread; ntmd_bpf_loaded() is called from the loop. 0 or -errno: it is not. */
int ntmd_bpf_load_start(struct ntmd_kernel *kernel, const struct ntmd_bpf_attach *attach, bool check,
			void (*done)(void *ctx, int err, const char *why), void *ctx);
void ntmd_bpf_load_end(struct ntmd_kernel *kernel); /* waits for the thread; nobody is called */

/* bpf_path.c */
extern const struct ntmd_kernel_ops ntmd_bpf_ops;
void ntmd_bpf_path_sync(struct ntmd_kernel *kernel, struct ntmd_engine_path *path);
void ntmd_bpf_drain_arm(struct ntmd_kernel *kernel);
void ntmd_bpf_drain_fired(evutil_socket_t fd, short what, void *arg);
void ntmd_bpf_inherit(struct ntmd_kernel *kernel); /* the paths that are in the maps */
void ntmd_bpf_paths_retire(struct ntmd_kernel *kernel); /* the set goes: paths forget it, counts are kept */
void ntmd_bpf_use_drop(struct ntmd_bpf_use *use); /* frees it when nobody needs it */

#endif
