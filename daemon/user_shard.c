/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_shard.c - the data threads: their loops, their locks, and what they hand up to the control loop.
 * user_shard.h says how they stand to each other; user_place.c which path is where.
 */
#include "daemon/user_shard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/steer.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"
#include "stats.h"

#define UP_BYTES (1 << 20) /* waiting for the control loop: of each thread. Memory only when it is needed */
#define TELL_MAX 256 /* paths told of before the loop looks at other things */

/* ---- locks */

struct ntmd_engine *ntmd_user_lock(struct ntmd_engine *engine)
{
	struct ntmd_user_shard *shard = engine->shard;

	if (!shard || shard->depth++)
		return engine;
	pthread_mutex_lock(&shard->door);
	pthread_mutex_lock(&shard->room);
	pthread_mutex_unlock(&shard->door);
	shard->by_control = true;
	return engine;
}

void ntmd_user_unlock(struct ntmd_engine *engine)
{
	struct ntmd_user_shard *shard = engine->shard;

	if (!shard || --shard->depth)
		return;
	shard->by_control = false;
	pthread_mutex_unlock(&shard->room);
}

void ntmd_user_unlock_at_end(struct ntmd_engine **engine)
{
	ntmd_user_unlock(*engine);
}

static void thread_lock(struct ntmd_user_shard *shard)
{
	pthread_mutex_lock(&shard->door);
	pthread_mutex_lock(&shard->room);
	pthread_mutex_unlock(&shard->door);
}

static void thread_unlock(struct ntmd_user_shard *shard)
{
	pthread_mutex_unlock(&shard->room);
}

bool ntmd_user_in_thread(const struct ntmd_engine *engine)
{
	return engine->shard && !engine->shard->by_control;
}

/* It can only be full if it was written to before, and that is as good. */
static void eventfd_tell(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n;
}

static void eventfd_take(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n;
}

void ntmd_user_shard_timer(struct ntmd_user_shard *shard)
{
	if (shard->by_control)
		eventfd_tell(shard->wake_fd);
}

/* ---- up, by the threads */

enum record_kind {
	RECORD_DATAGRAM, /* from the network */
	RECORD_PLAIN, /* from an application */
	RECORD_TOO_BIG, /* the quote of what a socket tells */
};

/* What is before each packet. */
struct record {
	size_t len, room; /* of the packet, and rounded up */
	enum record_kind kind;
	struct ntm_flow from;
	struct virtio_net_hdr vnet;
	struct ntm_udp_too_big told;
} __attribute__((aligned(16)));

void ntmd_user_shard_tell(struct ntmd_engine_path *path, unsigned notes)
{
	struct ntmd_user_shard *shard = path->engine->shard;

	path->notes |= notes;
	if (!path->notes || path->local->telling || path->gone)
		return;
	path->local->telling = true;
	if (TAILQ_EMPTY(&shard->to_tell))
		eventfd_tell(shard->main->shards->up_fd);
	TAILQ_INSERT_TAIL(&shard->to_tell, path->local, to_tell);
}

static void up_put(struct ntmd_user_shard *shard, struct record *record, const uint8_t *packet, size_t len)
{
	struct ntmd_user_up *up = &shard->up;

	record->len = len;
	record->room = (len + 15) / 16 * 16;
	if (sizeof(*record) + record->room > UP_BYTES - up->used) {
		if (record->kind != RECORD_TOO_BIG) /* that is only a hint */
			ntm_drop_count(record->kind == RECORD_PLAIN ? NTM_DROP_HELD_FULL
								    : NTM_DROP_SOCKET_OVERRUN);
		return;
	}
	if (!up->used)
		eventfd_tell(shard->main->shards->up_fd);
	memcpy(up->data + up->used, record, sizeof(*record));
	memcpy(up->data + up->used + sizeof(*record), packet, len);
	up->used += sizeof(*record) + record->room;
}

void ntmd_user_shard_up_datagram(struct ntmd_user_shard *shard, const struct ntm_flow *from,
				 const uint8_t *packet, size_t len)
{
	struct record record = {.kind = RECORD_DATAGRAM, .from = *from};

	ntmd_user_shard_flow(shard->main->shards, NULL, &record.from);
	up_put(shard, &record, packet, len);
}

void ntmd_user_shard_up_plain(struct ntmd_user_shard *shard, const struct virtio_net_hdr *vnet,
			      const uint8_t *packet, size_t len)
{
	struct record record = {.kind = RECORD_PLAIN, .vnet = *vnet};

	up_put(shard, &record, packet, len);
}

static void on_too_big(void *ctx, const struct ntm_udp_too_big *told)
{
	struct record record = {.kind = RECORD_TOO_BIG, .told = *told};

	up_put(ctx, &record, told->quote, told->quote_len);
}

void ntmd_user_shard_flow(const struct ntmd_user_shards *shards, struct ntmd_user_shard *shard,
			  struct ntm_flow *flow)
{
	bool ours = flow->udp == shards->udp[0] || flow->udp == shards->udp[1];

	for (unsigned i = 0; i < shards->count && !ours; i++)
		ours = flow->udp == &shards->shard[i]->udp[0] || flow->udp == &shards->shard[i]->udp[1];
	if (ours && flow->udp)
		flow->udp = shard ? &shard->udp[!flow->udp->is4] : shards->udp[!flow->udp->is4];
}

/* ---- up, in the control loop */

static void record_take(const struct ntmd_user_shards *shards, struct record *record)
{
	uint8_t *packet = (uint8_t *)(record + 1);
	const struct ntm_udp *udp = record->from.udp;

	switch (record->kind) {
	case RECORD_DATAGRAM:
		udp->receive(udp->ctx, &record->from, packet, record->len);
		break;
	case RECORD_PLAIN:
		ntmd_user_egress_packet(shards->main, &record->vnet, packet, record->len);
		break;
	case RECORD_TOO_BIG:
		udp = shards->udp[!ntm_endpoint_is4(&record->told.remote)];
		record->told.quote = packet;
		if (udp && udp->too_big)
			udp->too_big(udp->ctx, &record->told);
		break;
	}
}

void ntmd_user_shard_up_take(struct ntmd_user_shard *shard)
{
	struct ntmd_user_shards *shards = shard->main->shards;
	struct ntmd_user_up full;

	ntmd_user_lock(shard->engine);
	full = shard->up;
	shard->up = shard->up_read;
	ntmd_user_unlock(shard->engine);
	for (size_t at = 0; at < full.used;) {
		struct record *record = (struct record *)(full.data + at);

		at += sizeof(*record) + record->room;
		record_take(shards, record);
	}
	for (int i = 0; full.used && i < 2; i++)
		if (shards->udp[i] && shards->udp[i]->flush)
			shards->udp[i]->flush(shards->udp[i]->ctx);
	full.used = 0;
	shard->up_read = full;
}

static void path_tell(struct ntmd_engine_path *path)
{
	struct ntmd_user_told told = {
		.notes = path->notes, .err = path->failed_err, .from = path->local->from};
	struct ntmd_engine *engine = path->engine;

	path->notes = 0;
	if (told.notes & NTMD_USER_NOTE_CHANGED)
		ntmd_user_path_changed(path);
	if (told.notes & NTMD_USER_NOTE_FLUSH)
		ntmd_user_path_settle(path);
	ntmd_user_path_pin(path);
	ntmd_user_unlock(engine);
	ntmd_user_notes_tell(path, &told);
	ntmd_user_lock(engine);
	ntmd_user_path_unpin(path);
}

static void shard_tell(struct ntmd_user_shard *shard)
{
	struct ntmd_user_local *local;

	ntmd_user_lock(shard->engine);
	for (int i = 0; i < TELL_MAX && (local = TAILQ_FIRST(&shard->to_tell)); i++) {
		TAILQ_REMOVE(&shard->to_tell, local, to_tell);
		local->telling = false;
		path_tell(local->path);
	}
	if (!TAILQ_EMPTY(&shard->to_tell))
		eventfd_tell(shard->main->shards->up_fd);
	ntmd_user_unlock(shard->engine);
}

static void on_up(evutil_socket_t fd, short what, void *arg)
{
	struct ntmd_user_shards *shards = arg;

	(void)what;
	eventfd_take(fd);
	for (unsigned i = 0; i < shards->count; i++) {
		shard_tell(shards->shard[i]);
		ntmd_user_shard_up_take(shards->shard[i]);
	}
}

/* ---- a thread */

static void on_datagram(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len)
{
	struct ntmd_user_shard *shard = ctx;

	if (len >= NTM_HEADER_LEN && (packet[0] & NTM_TYPE_CLASS) == NTM_TYPE_DATA)
		ntmd_engine_receive(shard->engine, from, packet, len);
	else
		ntmd_user_shard_up_datagram(shard, from, packet, len);
}

static void on_flush(void *ctx)
{
	ntmd_engine_flush(((struct ntmd_user_shard *)ctx)->engine);
}

/* poll's timeout: ms. The lock is held. */
static int timeout_of(const struct ntmd_engine *engine)
{
	int64_t left;

	if (engine->timer_ms == INT64_MAX)
		return -1;
	left = engine->timer_ms - ntmd_user_now_ms(engine);
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void *shard_run(void *arg)
{
	struct ntmd_user_shard *shard = arg;
	struct ntmd_engine *engine = shard->engine;
	struct pollfd fds[4] = {
		{.fd = shard->wake_fd, .events = POLLIN},
		{.fd = engine->tun.fd, .events = POLLIN},
		{.fd = shard->udp[0].fd, .events = POLLIN},
		{.fd = shard->udp[1].fd, .events = POLLIN},
	};
	int timeout = 0;

	for (bool stop = false, turn; !stop;) {
		if (poll(fds, 4, timeout) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			eventfd_take(shard->wake_fd);
		for (int i = 2; i < 4; i++) {
			if (!fds[i].revents)
				continue;
			thread_lock(shard);
			ntm_udp_read(&shard->udp[i - 2]);
			turn = ntmd_user_turn_due(engine);
			thread_unlock(shard);
			if (turn)
				sched_yield();
		}
		thread_lock(shard);
		if (fds[1].revents && !shard->deaf)
			ntmd_user_egress_read(engine);
		if (ntmd_user_now_ms(engine) >= engine->timer_ms)
			ntmd_user_timer_run(engine);
		if (shard->deaf)
			fds[1].fd = -1;
		timeout = timeout_of(engine);
		stop = shard->stop;
		turn = ntmd_user_turn_due(engine);
		thread_unlock(shard);
		if (turn)
			sched_yield();
	}
	return NULL;
}

/* Signals are the control loop's. */
static int shard_start(struct ntmd_user_shard *shard)
{
	sigset_t all, before;
	char name[16];
	int err;

	if (shard->running)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&shard->thread, NULL, shard_run, shard);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	shard->running = true;
	snprintf(name, sizeof(name), "ntmd/%u", shard->number);
	pthread_setname_np(shard->thread, name);
	return 0;
}

void ntmd_user_shards_start(struct ntmd_user_shards *shards)
{
	int err = 0;

	for (unsigned i = 0; i < shards->count && !err; i++) {
		if (!shards->shard[i]->running)
			shards->shard[i]->engine->now_us = shards->main->now_us;
		err = shard_start(shards->shard[i]);
	}
	if (err)
		ntm_error("cannot start the data threads: %s; set [datapath] threads = 1", strerror(-err));
}

/* ---- opening */

static void shard_free(struct ntmd_user_shard *shard)
{
	struct ntmd_engine *engine = shard->engine;

	if (shard->running) {
		ntmd_user_lock(engine);
		shard->stop = true;
		ntmd_user_unlock(engine);
		eventfd_tell(shard->wake_fd);
		pthread_join(shard->thread, NULL);
	}
	for (int i = 0; i < 2; i++)
		ntm_udp_close(&shard->udp[i]);
	if (shard->wake_fd >= 0)
		close(shard->wake_fd);
	free(shard->up.data);
	free(shard->up_read.data);
	pthread_mutex_destroy(&shard->door);
	pthread_mutex_destroy(&shard->room);
	if (engine && engine->tun.fd >= 0)
		close(engine->tun.fd);
	if (engine) {
		ntmd_user_table_clear(&engine->by_id);
		ntmd_user_table_clear(&engine->by_vip);
	}
	free(engine);
	free(shard);
}

static struct ntmd_user_shard *shard_new(struct ntmd_engine *main, unsigned number)
{
	struct ntmd_user_shard *shard = calloc(1, sizeof(*shard));

	if (!shard)
		return NULL;
	pthread_mutex_init(&shard->door, NULL);
	pthread_mutex_init(&shard->room, NULL);
	TAILQ_INIT(&shard->to_tell);
	shard->udp[0].fd = shard->udp[1].fd = -1;
	shard->main = main;
	shard->number = number;
	shard->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	shard->up.data = malloc(UP_BYTES);
	shard->up_read.data = malloc(UP_BYTES);
	shard->engine = calloc(1, sizeof(*shard->engine));
	if (shard->engine) {
		shard->engine->tun.fd = -1;
		shard->engine->shard = shard;
		shard->engine->main = main;
	}
	if (shard->wake_fd >= 0 && shard->up.data && shard->up_read.data && shard->engine &&
	    !ntmd_user_engine_init(shard->engine, main->base, main->ops, main->ctx))
		return shard;
	shard_free(shard);
	return NULL;
}

/* fd: of a queue; it is the shard's now. */
static int shard_open(struct ntmd_user_shard *shard, const struct ntmd_user_shards *shards, int fd)
{
	struct ntmd_engine *engine = shard->engine;
	int flags = fcntl(fd, F_GETFL), err = 0;

	engine->tun = shards->main->tun;
	engine->tun.fd = fd;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	ntmd_user_ingress_init(engine);
	for (int i = 0; i < 2 && !err; i++) {
		if (!shards->udp[i] || shards->udp[i]->fd < 0)
			continue;
		err = ntm_udp_open_one(&shard->udp[i], NULL, &shards->udp[i]->bound, !i, on_datagram, shard);
		shard->udp[i].flush = on_flush;
		shard->udp[i].by_interface = shards->udp[i]->by_interface;
		shard->udp[i].too_big = on_too_big;
	}
	return err;
}

static int shards_make(struct ntmd_user_shards *shards, const struct ntmd_engine_config *config)
{
	int err = 0, fd;

	for (unsigned i = 0; i < config->threads && !err; i++) {
		shards->shard[i] = shard_new(shards->main, i + 1);
		if (!shards->shard[i])
			return -ENOMEM;
		shards->count++;
		fd = config->tun_queue ? config->tun_queue[i] : ntmd_ntm0_queue_open(config->device);
		err = fd < 0 ? fd : shard_open(shards->shard[i], shards, fd);
	}
	return err;
}

static int steer(struct ntmd_user_shards *shards)
{
	int err = ntmd_steer_open(&shards->steer, shards->count);

	if (!err)
		err = ntmd_steer_tun(shards->steer, shards->main->tun.fd);
	for (int i = 0; i < 2 && !err; i++)
		if (shards->udp[i] && shards->udp[i]->fd >= 0)
			err = ntmd_steer_udp(shards->steer, shards->udp[i]->fd);
	return err;
}

static int events_make(struct ntmd_user_shards *shards)
{
	struct event_base *base = shards->main->base;

	shards->up_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (shards->up_fd < 0)
		return -errno;
	shards->up = event_new(base, shards->up_fd, EV_READ | EV_PERSIST, on_up, shards);
	shards->place = event_new(base, -1, 0, ntmd_user_place_all, shards);
	/* With the sockets, in turn: whoever makes threads hand up a lot must not keep control packets
	 * away. */
	if (!shards->up || !shards->place ||
	    event_priority_set(shards->up, event_base_get_npriorities(base) - 1) < 0 ||
	    event_add(shards->up, NULL) < 0)
		return -ENOMEM;
	return 0;
}

/* What bounds all engines together. */
static void room_share(struct ntmd_engine *engine)
{
	unsigned engines = engine->main->shards->count + 1;

	engine->held_max /= engines;
	engine->piece_room.max /= engines;
}

int ntmd_user_shards_open(struct ntmd_engine *main, const struct ntmd_engine_config *config, char *ret_why,
			  size_t why_len)
{
	struct ntmd_user_shards *shards = calloc(1, sizeof(*shards));
	int err = -ENOMEM;

	if (!shards)
		goto explain;
	shards->main = main;
	shards->up_fd = -1;
	shards->udp[0] = config->udp[0];
	shards->udp[1] = config->udp[1];
	TAILQ_INIT(&shards->to_place);
	shards->shard = calloc(config->threads, sizeof(shards->shard[0]));
	if (!shards->shard || ntmd_user_table_init(&shards->ends))
		goto fail;
	err = events_make(shards);
	if (!err)
		err = shards_make(shards, config);
	if (err)
		goto fail;
	err = steer(shards);
	if (err) {
		snprintf(ret_why, why_len, "the kernel does not steer packets by BPF programs for us: %s",
			 strerror(-err));
		ntmd_user_shards_close(shards);
		return err;
	}
	main->shards = shards;
	room_share(main);
	for (unsigned i = 0; i < shards->count; i++)
		room_share(shards->shard[i]->engine);
	return 0;
fail:
	ntmd_user_shards_close(shards);
explain:
	snprintf(ret_why, why_len, "no %u data threads: %s", config->threads, strerror(-err));
	return err;
}

void ntmd_user_shards_close(struct ntmd_user_shards *shards)
{
	if (!shards)
		return;
	for (unsigned i = 0; i < shards->count; i++)
		shard_free(shards->shard[i]);
	ntmd_steer_close(shards->steer);
	if (shards->up)
		event_free(shards->up);
	if (shards->place)
		event_free(shards->place);
	if (shards->up_fd >= 0)
		close(shards->up_fd);
	ntmd_user_table_clear(&shards->ends);
	free(shards->shard);
	free(shards);
}
