/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_user_piece.c - packets larger than the path between two real user engines: which go in pieces, which are answered, and
 * what happens to pieces that get lost, come twice or by the wrong lane. Rules of putting together: test_piece.c.
 */
#include "user_pair.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#define MTU 1064

static void send4(size_t len, uint32_t number, bool df)
{
	uint8_t packet[65536];

	inner_make(packet, &a.vip4, &b.vip4, len, number);
	packet[6] = df ? 0x40 : 0;
	app_write(&a, packet, len);
}

static void send6(size_t len, uint32_t number)
{
	uint8_t packet[2048];

	app_write(&a, packet, inner_make(packet, &a.vip6, &b.vip6, len, number));
}

static uint64_t sent(void)
{
	return stats_of(&a).tx_packets;
}

/* Which ICMP error a's application got; its MTU. */
static unsigned error_mtu(int version)
{
	uint8_t packet[2048];

	assert_true(app_read(&a, packet, sizeof(packet)) > 48);
	assert_int_equal(packet[0] >> 4, version);
	if (version == 4) {
		assert_int_equal(packet[20], ICMP_DEST_UNREACH);
		assert_int_equal(packet[21], ICMP_FRAG_NEEDED);
		return (unsigned)packet[26] << 8 | packet[27];
	}
	assert_int_equal(packet[40], ICMP6_PACKET_TOO_BIG);
	return (unsigned)packet[46] << 8 | packet[47];
}

static void what_may_not_be_refused_goes_in_pieces(void **state)
{
	(void)state;
	ntmd_engine_path_mtu_set(a.path, MTU);
	send4(MTU, 1, false);
	assert_int_equal(sent(), 1);
	send4(MTU + 1, 2, false);
	assert_int_equal(sent(), 3);
	send4(1420, 3, false);
	send6(1280, 4);
	send6(MTU + 1, 5);
	assert_int_equal(sent(), 9);
	send4(65535, 6, false);
	assert_int_equal(sent(), 9 + 65535 / (MTU - 8) + 1);
	for (int i = 1; i <= 6; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(stats_of(&b).rx_packets, 6);
	assert_int_equal(dropped_in_all(), 0);
	assert_null(b.path->pieces);
	assert_int_equal(b.engine->piece_room.used, 0);
}

static void what_may_be_refused_is(void **state)
{
	(void)state;
	ntmd_engine_path_mtu_set(a.path, MTU);
	send4(MTU + 1, 1, true);
	assert_int_equal(error_mtu(4), MTU);
	send6(1281, 2);
	assert_int_equal(error_mtu(6), 1280);
	assert_int_equal(dropped(NTM_DROP_TOO_BIG), 2);
	assert_int_equal(sent(), 0);
	/* A path that takes IPv6's least has no pieces of it. */
	ntmd_engine_path_mtu_set(a.path, 1300);
	send6(1301, 3);
	assert_int_equal(error_mtu(6), 1300);
	assert_int_equal(app_number(&b), -1);
}

static void the_inline_lane_has_no_pieces(void **state)
{
	struct ntmd_user_lane *lane = &a.path->key[0]->lane[NTM_LANE_INLINE];
	uint8_t plain[100] = {0}, packet[NTM_HEADER_LEN + sizeof(plain) + NTM_TAG_LEN];
	struct ntm_header *header = (struct ntm_header *)packet;

	(void)state;
	ntmd_engine_path_mtu_set(a.path, MTU);
	a.path->bulk_dead = true;
	send4(1420, 1, false);
	assert_int_equal(error_mtu(4), MTU);
	assert_int_equal(sent(), 0);
	ntmd_piece_header_build(plain, true, 0, 1);
	ntm_header_set(header, NTM_TYPE_DATA, lane->next, PATH_ID);
	ntm_aead_seal(&lane->seal, lane->next, header, sizeof(*header), plain, sizeof(plain), header + 1);
	replay(&b, packet, sizeof(packet));
	assert_int_equal(dropped(NTM_DROP_PIECE), 1);
	assert_null(b.path->pieces);
}

static void a_lost_piece_costs_its_packet_only_and_no_memory(void **state)
{
	(void)state;
	ntmd_engine_path_mtu_set(a.path, MTU);
	b.capturing = true;
	send4(1420, 1, false);
	send4(1420, 2, false);
	assert_int_equal(b.captured, 4);
	b.capturing = false;
	replay(&b, b.capture[3], b.capture_len[3]);
	replay(&b, b.capture[0], b.capture_len[0]);
	assert_int_equal(app_number(&b), -1);
	replay(&b, b.capture[2], b.capture_len[2]);
	assert_int_equal(app_number(&b), 2);
	assert_true(b.engine->piece_room.used > 0);
	replay(&b, b.capture[0], b.capture_len[0]); /* the window sees to copies */
	assert_int_equal(dropped(NTM_DROP_REPLAY), 1);
	pass_ms(NTM_PIECE_MS - 1);
	assert_non_null(b.path->pieces);
	pass_ms(1);
	assert_int_equal(dropped(NTM_DROP_PIECE), 1);
	assert_null(b.path->pieces);
	assert_int_equal(b.engine->piece_room.used, 0);
	replay(&b, b.capture[1], b.capture_len[1]); /* too late: the begin of nothing */
	assert_int_equal(app_number(&b), -1);
	/* The path ends with a piece waiting; the test's end looks for what was not freed. */
	assert_non_null(b.path->pieces);
	ntmd_engine_path_delete(b.path, true);
	b.path = NULL;
	assert_int_equal(b.engine->piece_room.used, 0);
}

static void pieces_do_not_get_round_the_inner_checks(void **state)
{
	struct ntm_addr other = a.vip4;

	(void)state;
	ntmd_engine_path_mtu_set(a.path, MTU);
	other.b[15]++;
	other.b[14]++;
	ntmd_engine_path_map(b.path, &other, &a.vip6);
	send4(1420, 1, false);
	assert_int_equal(dropped(NTM_DROP_INNER_SOURCE), 1);
	assert_int_equal(app_number(&b), -1);
	send6(1280, 2);
	assert_int_equal(app_number(&b), 2);
}

static void a_packet_that_the_system_refuses_goes_again_in_pieces(void **state)
{
	(void)state;
	send4(65535, 1, false); /* more than the loopback device takes, and UDP */
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(dropped_in_all(), 0);
	assert_int_equal(stats_of(&a).held_packets, 0);
	send4(65535, 2, false);
	assert_int_equal(app_number(&b), 2);
}

/* The queue has no room for another copy of the one being sent, which is its oldest. */
static void a_held_packet_that_the_system_refuses_goes_again_in_pieces(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	ntmd_engine_path_route_set(a.path, NULL, NULL, 0);
	for (uint32_t i = 1; i <= 3; i++)
		send4(65535, i, false);
	send4(60000, 4, false);
	assert_int_equal(stats_of(&a).held_packets, 4);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	assert_int_equal(stats_of(&a).held_packets, 0);
	assert_int_equal(stats_of(&a).held_bytes, 0);
	assert_int_equal(dropped(NTM_DROP_HELD_FULL), 1); /* the next oldest */
	assert_int_equal(dropped_in_all(), 1);
	assert_int_equal(app_number(&b), 3);
	assert_int_equal(app_number(&b), 4);
	assert_int_equal(app_number(&b), 1);
}

static void a_path_too_narrow_for_any_piece_refuses(void **state)
{
	(void)state;
	for (unsigned mtu = 1; mtu <= NTMD_PIECE_HEADER; mtu++) {
		ntmd_engine_path_mtu_set(a.path, mtu);
		send4(60, mtu, false);
		assert_int_equal(error_mtu(4), 68);
	}
	assert_int_equal(sent(), 0);
	ntmd_engine_path_mtu_set(a.path, 100); /* more than NTM_PIECES_MAX */
	send4(92 * NTM_PIECES_MAX + 1, 1, false);
	assert_int_equal(error_mtu(4), 100);
	send4(92 * NTM_PIECES_MAX, 2, false);
	assert_int_equal(sent(), NTM_PIECES_MAX);
	assert_int_equal(app_number(&b), 2);
}

static void an_unproven_route_gets_no_more_pieces_than_its_bound(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	ntmd_engine_path_mtu_set(a.path, MTU);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 4000);
	ntmd_engine_path_mtu_set(a.path, MTU);
	for (int i = 1; i <= 4; i++)
		send4(1420, (uint32_t)i, false);
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(app_number(&b), 2);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(stats_of(&a).held_packets, 2);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	pump();
	assert_int_equal(app_number(&b), 3);
	assert_int_equal(app_number(&b), 4);
}

#define established_test(f) cmocka_unit_test_setup_teardown(f, pair_open_established, pair_close)

int main(void)
{
	const struct CMUnitTest user_piece[] = {
		established_test(what_may_not_be_refused_goes_in_pieces),
		established_test(what_may_be_refused_is),
		established_test(the_inline_lane_has_no_pieces),
		established_test(a_lost_piece_costs_its_packet_only_and_no_memory),
		established_test(pieces_do_not_get_round_the_inner_checks),
		established_test(a_packet_that_the_system_refuses_goes_again_in_pieces),
		established_test(a_held_packet_that_the_system_refuses_goes_again_in_pieces),
		established_test(a_path_too_narrow_for_any_piece_refuses),
		established_test(an_unproven_route_gets_no_more_pieces_than_its_bound),
	};

	return cmocka_run_group_tests(user_piece, NULL, NULL);
}
