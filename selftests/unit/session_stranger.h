/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * session_stranger.h - what test_session_network.c and test_session_handshake.c have beside session_ends.h:
 * third, a stranger's socket.
 */
#ifndef NTM_UNIT_SESSION_STRANGER_H
#define NTM_UNIT_SESSION_STRANGER_H

#include "session_ends.h"

static struct ntm_udp third;

static int setup(void **state)
{
	static const struct ntm_endpoint loopback = {
		.addr = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
	int r = ends_setup(state);

	assert_int_equal(ntm_udp_open(&third, NULL, &loopback, true, NULL, NULL), 0);
	return r;
}

static int teardown(void **state)
{
	ntm_udp_close(&third);
	return ends_teardown(state);
}

static void third_sends(const struct end *to, const uint8_t *packet, size_t len)
{
	struct ntm_flow flow = {.udp = &third, .remote = to->udp[0].bound};

	assert_int_equal(ntm_udp_send(&flow, packet, len), 0);
}

static bool drop_all(struct end *end, const struct ntm_flow *from, const uint8_t *packet, size_t len)
{
	(void)end;
	(void)from;
	(void)packet;
	(void)len;
	return true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
