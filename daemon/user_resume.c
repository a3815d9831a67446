/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * user_resume.c - makes the TCP connections of both ends go on at once when a path works again. user_egress.c
 * shows what it has sent, bpf/resume.h keeps what went inline; route.c tells that a path was interrupted
 * (ntmd_engine_path_resume); user_held.c lets this go first.
 *
 * Packets sent between the moment a path broke and the moment that was known are lost, and the kernel's TCP
 * sends them again when its timer says so: 200 ms later, then 400, 800 ..., whatever is known here. So the
 * last segment with data of each connection is kept, and sent once more when the path works again. That is
 * enough:
 *
 *  - before the sender's timer has run out, this segment is the end of its data. If more is missing, the
 *    receiver answers with a selective acknowledgement at once, and that makes the sender fill the hole (RFC
 *    8985); if nothing is, the receiver repeats its acknowledgement, which may have been lost as well;
 *  - afterwards it is what the timer sent again: the first byte that is not acknowledged. Its acknowledgement
 *    ends the backoff.
 *
 * The ICMP way of RFC 6069 was not taken: it takes back one doubling of the timer, which may still leave 200
 * ms, and nothing where it has not run out yet. No other packets are sent twice: UDP's receivers would see
 * them twice.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/checksum.h"
#include "daemon/inner.h"
#include "daemon/user_engine.h"
#include "endpoint.h"

#define CONNECTIONS 16 /* of a path; two that fall on one place have the newer segment there */
#define AGE_MS 60000 /* what is older is answered, or given up by everybody */
#define SEGMENT_MAX 9216 /* bytes; longer ones are not kept */
#define TCP_LEN 20
#define TCP_FLAGS 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02

struct segment {
	int64_t sent_ms;
	unsigned len, room; /* 0: none */
	uint8_t *packet;
};

struct ntmd_user_resume {
	struct segment segment[CONNECTIONS];
};

/* Where the connection's segment is kept; -1: this packet needs no acknowledgement by TCP. */
static int place_of(const uint8_t *packet, size_t len)
{
	size_t ip_len = packet[0] >> 4 == 4 ? (packet[0] & 15) * 4u : 40;
	bool is4 = packet[0] >> 4 == 4;
	const uint8_t *tcp = packet + ip_len;
	uint32_t hash = 0;

	if (len < ip_len + TCP_LEN || (is4 ? packet[9] : packet[6]) != IPPROTO_TCP)
		return -1;
	if (is4 && ((packet[6] & 0x1f) || packet[7])) /* not the first fragment */
		return -1;
	if (len <= ip_len + (tcp[12] >> 4) * 4u && !(tcp[TCP_FLAGS] & (TCP_SYN | TCP_FIN)))
		return -1;
	/* A path has one pair of addresses in each family: the ports tell connections apart. */
	memcpy(&hash, tcp, 4);
	hash = (hash + is4) * 0x9e3779b1u;
	return (int)(hash >> 28);
}
_Static_assert(CONNECTIONS == 1 << 4, "place_of() takes four bits");

/* It was sent then. */
static void segment_keep(struct ntmd_engine_path *path, const uint8_t *packet, size_t len, int64_t sent_ms)
{
	int place = place_of(packet, len);
	struct segment *segment;
	uint8_t *grown;

	if (place < 0 || path->resuming)
		return;
	if (!path->resume)
		path->resume = calloc(1, sizeof(*path->resume));
	if (!path->resume)
		return;
	segment = &path->resume->segment[place];
	if (segment->len && segment->sent_ms > sent_ms)
		return;
	segment->len = 0;
	if (len > SEGMENT_MAX)
		return;
	if (len > segment->room) {
		grown = realloc(segment->packet, len);
		if (!grown)
			return;
		segment->packet = grown;
		segment->room = (unsigned)len;
	}
	memcpy(segment->packet, packet, len);
	segment->len = (unsigned)len;
	segment->sent_ms = sent_ms;
}

void ntmd_user_resume_note(struct ntmd_engine_path *path, const uint8_t *packet, size_t len)
{
	segment_keep(path, packet, len, ntmd_user_now_ms(path->engine));
}

/* One of two that were written at the same time is neither. */
static bool is_whole(const uint8_t *packet, size_t len, const struct ntmd_inner *inner)
{
	bool is4 = inner->version == 4;
	size_t tcp_len = len - inner->header_len;
	uint64_t sum = ntmd_checksum_pseudo(packet + (is4 ? 12 : 8), is4 ? 8 : 32, IPPROTO_TCP, tcp_len);

	return ntmd_checksum_fold(sum + ntmd_checksum_sum(packet + inner->header_len, tcp_len)) == 0xffff;
}

static void kernel_segment_keep(void *ctx, const uint8_t *packet, size_t len, int64_t sent_ms)
{
	struct ntmd_engine_path *path = ctx;
	struct ntmd_inner inner;

	if (!ntmd_inner_parse(&inner, packet, len) && is_whole(packet, len, &inner) &&
	    ntm_addr_equal(&inner.dest, &path->vip[ntmd_user_family(inner.version)]))
		segment_keep(path, packet, len, sent_ms);
}

/* By the control loop. */
static void kernel_segments_keep(struct ntmd_engine_path *path)
{
	const struct ntmd_kernel_each each = {.take = kernel_segment_keep, .ctx = path};
	const struct ntmd_engine *main = path->engine->main;

	if (main->kernel)
		main->kernel_ops->segments_each(main->kernel, &each);
}

void ntmd_user_resume_send(struct ntmd_engine_path *path)
{
	int64_t now = ntmd_user_now_ms(path->engine);

	path->resume_due = false;
	if (!path->resume)
		return;
	path->resuming = true;
	for (unsigned i = 0; i < CONNECTIONS && path->resume; i++) {
		const struct segment *segment = &path->resume->segment[i];

		if (segment->len && now - segment->sent_ms < AGE_MS &&
		    !ntmd_user_egress_send(path, segment->packet, segment->len))
			path->stats.resent_packets++;
	}
	path->resuming = false;
}

void ntmd_user_resume_rest(struct ntmd_engine_path *path)
{
	int64_t now = ntmd_user_now_ms(path->engine);

	for (unsigned i = 0; path->resume && i < CONNECTIONS; i++)
		if (path->resume->segment[i].len && now - path->resume->segment[i].sent_ms < AGE_MS)
			return;
	ntmd_user_resume_clear(path);
}

void ntmd_user_resume_clear(struct ntmd_engine_path *path)
{
	if (!path->resume)
		return;
	for (unsigned i = 0; i < CONNECTIONS; i++)
		free(path->resume->segment[i].packet);
	free(path->resume);
	path->resume = NULL;
}

void ntmd_user_resume_move(struct ntmd_engine_path *from, struct ntmd_engine_path *to)
{
	if (!from->resume || to->resume)
		return;
	to->resume = from->resume;
	from->resume = NULL;
}

void ntmd_engine_path_resume(struct ntmd_engine_path *path)
{
	NTMD_USER_LOCKED(path->engine);

	path->resume_due = true;
	kernel_segments_keep(path);
}
