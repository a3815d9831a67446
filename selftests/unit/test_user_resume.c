/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_user_resume.c - what is sent once more when a path that was interrupted works again
 * (daemon/user_resume.c): of what the user engine has sent, and of what the kernel's part has.
 */
#include <signal.h>

#include "user_pair.h"

#define SEGMENT 100

/* A segment of the connection with this source port: its payload is the number. payload: 0 or 4 */
static size_t segment_make(uint8_t packet[SEGMENT], const struct ntm_addr *to, uint16_t port, uint32_t number,
			   size_t payload)
{
	uint8_t *tcp = packet + 20;
	size_t len = inner_make(packet, &a.vip4, to, 40 + payload, number);
	uint32_t sum = 0;

	packet[9] = 6;
	memset(tcp, 0, 20);
	tcp[0] = (uint8_t)(port >> 8);
	tcp[1] = (uint8_t)port;
	tcp[12] = 5 << 4;
	if (payload)
		memcpy(tcp + 20, &number, sizeof(number));
	for (size_t i = 12; i < len; i++)
		sum += (uint32_t)packet[i] << (i & 1 ? 0 : 8);
	sum += 6 + 20 + (uint32_t)payload;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	tcp[16] = (uint8_t)(sum >> 8);
	tcp[17] = (uint8_t)sum;
	return len;
}

static void segment_send(uint16_t port, uint32_t number, size_t payload)
{
	uint8_t packet[SEGMENT];

	app_write(&a, packet, segment_make(packet, &b.vip4, port, number, payload));
}

/* What b's application reads: the number of a segment, 0: a bare acknowledgement, -1: nothing, -2: no TCP. */
static int64_t segment_number(void)
{
	uint8_t packet[200];
	uint32_t number = 0;
	int n = app_read(&b, packet, sizeof(packet));

	if (n < 0)
		return -1;
	if (packet[9] != 6)
		return -2;
	if (n > 40)
		memcpy(&number, packet + 40, sizeof(number));
	return number;
}

static void after_an_interruption_the_last_segment_of_each_connection_goes_again(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	segment_send(1000, 1, 4);
	segment_send(1000, 2, 4); /* the one that counts */
	segment_send(1000, 0, 0); /* acknowledges, needs no acknowledgement */
	app_send(&a, 60, 7); /* UDP */
	pump();
	while (segment_number() != -1)
		;
	ntmd_engine_path_route_set(a.path, NULL, NULL, 0);
	segment_send(1000, 3, 4); /* held */
	ntmd_engine_path_resume(a.path);
	pump();
	assert_int_equal(segment_number(), -1); /* no route */
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	assert_int_equal(segment_number(), 2);
	assert_int_equal(segment_number(), 3);
	assert_int_equal(segment_number(), -1);
	assert_int_equal(stats_of(&a).resent_packets, 1);
	ntmd_engine_path_resume(a.path);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	assert_int_equal(segment_number(), 3);
	assert_int_equal(segment_number(), -1);
	pass_ms(61000); /* too old by now */
	ntmd_engine_path_resume(a.path);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	assert_int_equal(segment_number(), -1);
	assert_int_equal(stats_of(&a).resent_packets, 2);
}

/* ---- what the kernel's part has sent */

static struct kept {
	uint8_t packet[SEGMENT];
	size_t len;
	int64_t sent_ms;
} kept[8];
static unsigned kept_count;

static struct kept *keep(const struct ntm_addr *to, uint16_t port, uint32_t number, int64_t ago_ms)
{
	struct kept *one = &kept[kept_count++];

	one->len = segment_make(one->packet, to, port, number, 4);
	one->sent_ms = clock_us / 1000 - ago_ms;
	return one;
}

static void kept_each(struct ntmd_kernel *kernel, const struct ntmd_kernel_each *each)
{
	(void)kernel;
	for (unsigned i = 0; i < kept_count; i++)
		each->take(each->ctx, kept[i].packet, kept[i].len, kept[i].sent_ms);
}

static void what_the_kernel_sent_last_goes_again_too(void **state)
{
	static const struct ntmd_kernel_ops ops = {.segments_each = kept_each};
	struct ntm_flow flow = flow_to(&a, &b.udp);
	int64_t number;
	unsigned seen = 0;

	(void)state;
	segment_send(1000, 1, 4);
	segment_send(1001, 2, 4);
	pump();
	while (segment_number() != -1)
		;
	pass_ms(100);
	kept_count = 0;
	keep(&b.vip4, 1000, 3, 50); /* newer than what the user engine has of this connection */
	keep(&b.vip4, 1001, 4, 200); /* older */
	keep(&b.vip4, 1002, 5, 50);
	keep(&a.vip4, 1003, 6, 50); /* another peer's */
	keep(&b.vip4, 1004, 7, 50)->packet[30] ^= 1; /* two programs wrote it at the same time */
	keep(&b.vip4, 1005, 8, 61000); /* nobody waits for that any more */
	keep(&b.vip4, 1006, 9, 50)->len = 39;
	a.engine->kernel = (struct ntmd_kernel *)&a;
	a.engine->kernel_ops = &ops;
	ntmd_engine_path_resume(a.path);
	a.engine->kernel = NULL;
	a.engine->kernel_ops = NULL;
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	while ((number = segment_number()) >= 0)
		seen |= 1U << number;
	assert_int_equal(seen, 1 << 2 | 1 << 3 | 1 << 5);
	assert_int_equal(stats_of(&a).resent_packets, 3);
}

#define established_test(f) cmocka_unit_test_setup_teardown(f, pair_open_established, pair_close)

int main(void)
{
	const struct CMUnitTest user_resume[] = {
		established_test(after_an_interruption_the_last_segment_of_each_connection_goes_again),
		established_test(what_the_kernel_sent_last_goes_again_too),
	};

	signal(SIGPIPE, SIG_IGN); /* as ntm_loop_init does */
	return cmocka_run_group_tests(user_resume, NULL, NULL);
}
