/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_user_lanes.c - data packets of the user engine: keys and phases, windows, lanes, and every check
 * between the network and the TUN (daemon/user_key.c, user_ingress.c). Holding and routes:
 * test_user_engine.c.
 */
#include <malloc.h>

#include "daemon/path.h"
#include "user_pair.h"

static void packets_of_both_families_go_both_ways_unchanged(void **state)
{
	uint8_t out[1500], in[1500];

	(void)state;
	for (int round = 0; round < 4; round++) {
		struct node *from = round & 1 ? &b : &a, *to = round & 1 ? &a : &b;
		size_t len = round & 2 ? inner_make(out, &from->vip6, &to->vip6, 1420, 7)
				       : inner_make(out, &from->vip4, &to->vip4, 28, 7);

		app_write(from, out, len);
		assert_int_equal(app_read(to, in, sizeof(in)), len);
		assert_memory_equal(in, out, len);
		assert_int_equal(app_read(to, in, sizeof(in)), -1);
	}
	assert_int_equal(stats_of(&a).tx_packets, 2);
	assert_int_equal(stats_of(&a).tx_bytes, 1448);
	assert_int_equal(stats_of(&b).rx_packets, 2);
	assert_int_equal(stats_of(&b).rx_bytes, 1448);
	assert_int_equal(stats_of(&b).lane_rx_packets[NTM_LANE_BULK], 2);
	assert_int_equal(stats_of(&b).lane_rx_packets[NTM_LANE_INLINE], 0);
	assert_int_equal(stats_of(&b).last_rx_ms, clock_us / 1000);
	assert_int_equal(dropped_in_all(), 0);
}

static void the_packet_on_the_wire_is_as_specified(void **state)
{
	struct ntmd_engine_keys keys = keys_make(&a, 0);
	struct ntm_aead aead = {0};
	uint8_t inner[100], expected[100 + NTM_TAG_LEN];
	const struct ntm_header *header = (const struct ntm_header *)b.capture[1];

	(void)state;
	b.capturing = true;
	app_send(&a, 100, 1);
	app_send(&a, 100, 2);
	assert_int_equal(b.captured, 2);
	assert_int_equal(b.capture_len[1], 100 + 32);
	assert_int_equal(header->type, 0x81); /* data, phase 0, side 0, bulk */
	assert_int_equal(ntm_header_counter(header), 1);
	assert_int_equal(ntm_header_counter((const struct ntm_header *)b.capture[0]), 0);
	assert_int_equal(ntm_header_id(header), PATH_ID);
	inner_make(inner, &a.vip4, &b.vip4, 100, 2);
	assert_int_equal(ntm_aead_init(&aead, keys.lane[NTM_LANE_BULK].cipher, keys.lane[NTM_LANE_BULK].send),
			 0);
	ntm_aead_seal(&aead, 1, header, sizeof(*header), inner, sizeof(inner), expected);
	ntm_aead_clear(&aead);
	assert_memory_equal(b.capture[1] + sizeof(*header), expected, sizeof(expected));
}

static void rekeying_goes_through_all_four_phases_without_loss(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 9; i++) {
		unsigned phase = i % 4;

		key_set(&b, phase, (uint8_t)i);
		key_set(&a, phase, (uint8_t)i);
		b.capturing = true; /* one under the old key is still on its way */
		app_send(&a, 60, 1000 + i);
		b.capturing = false;
		ntmd_engine_path_phase_set(a.path, phase);
		app_send(&a, 60, i);
		assert_int_equal(app_number(&b), i);
		assert_int_equal(b.phase, phase);
		replay(&b, b.capture[0], b.capture_len[0]);
		b.captured = 0;
		assert_int_equal(app_number(&b), 1000 + i);
		ntmd_engine_path_phase_set(b.path, phase);
		app_send(&b, 60, i);
		assert_int_equal(app_number(&a), i);
		ntmd_engine_path_key_drop(a.path, (phase + 3) % 4);
		ntmd_engine_path_key_drop(b.path, (phase + 3) % 4);
	}
	/* b was told of phase 0's first key too, by the late packet; a only of what b used */
	assert_int_equal(b.phase_opened, 10);
	assert_int_equal(a.phase_opened, 9);
	assert_int_equal(dropped_in_all(), 0);
}

static void a_packet_counts_once_in_each_lane(void **state)
{
	(void)state;
	b.capturing = true;
	app_send(&a, 60, 1);
	a.path->bulk_dead = true;
	app_send(&a, 60, 2);
	assert_int_equal(b.capture[0][0], 0x81);
	assert_int_equal(b.capture[1][0], 0x80);
	for (int i = 0; i < 3; i++) {
		replay(&b, b.capture[0], b.capture_len[0]);
		replay(&b, b.capture[1], b.capture_len[1]);
	}
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(app_number(&b), 2);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(dropped(NTM_DROP_REPLAY), 4);
	assert_int_equal(dropped_in_all(), 4);
	assert_int_equal(stats_of(&b).drops, 4);
	assert_int_equal(b.replayed, 1); /* told once: the others came within the second */
	assert_int_equal(stats_of(&b).lane_rx_packets[NTM_LANE_BULK], 1);
	assert_int_equal(stats_of(&b).lane_rx_packets[NTM_LANE_INLINE], 1);
}

static void a_forged_packet_does_not_move_the_window(void **state)
{
	uint8_t forged[2048];

	(void)state;
	b.capturing = true;
	app_send(&a, 60, 1);
	memcpy(forged, b.capture[0], b.capture_len[0]);
	forged[5] = 0xff; /* a counter far ahead */
	replay(&b, forged, b.capture_len[0]);
	memcpy(forged, b.capture[0], b.capture_len[0]);
	forged[40] ^= 1;
	replay(&b, forged, b.capture_len[0]);
	assert_int_equal(dropped(NTM_DROP_AUTH), 2);
	replay(&b, b.capture[0], b.capture_len[0]);
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(dropped_in_all(), 2);
}

static void what_does_not_belong_is_dropped_for_its_reason(void **state)
{
	uint8_t packet[2048];
	size_t len;

	(void)state;
	b.capturing = true;
	app_send(&a, 60, 1);
	len = b.capture_len[0];

	replay(&a, b.capture[0], len); /* reflected */
	assert_int_equal(dropped(NTM_DROP_SIDE), 1);
	for (size_t cut = 0; cut < 32; cut++)
		replay(&b, b.capture[0], cut);
	assert_int_equal(dropped(NTM_DROP_SHORT), 32);
	for (size_t cut = 32; cut < len; cut++)
		replay(&b, b.capture[0], cut);
	assert_int_equal(dropped(NTM_DROP_AUTH), len - 32);
	for (unsigned phase = 1; phase < 4; phase++) {
		memcpy(packet, b.capture[0], len);
		packet[0] |= (uint8_t)(phase << 2);
		replay(&b, packet, len);
	}
	assert_int_equal(dropped(NTM_DROP_PHASE_UNKNOWN), 3);
	memcpy(packet, b.capture[0], len);
	packet[0] = NTM_TYPE_PATH;
	replay(&b, packet, len);
	assert_int_equal(dropped(NTM_DROP_TYPE_UNEXPECTED), 1);
	memcpy(packet, b.capture[0], len);
	packet[15] ^= 1;
	replay(&b, packet, len);
	assert_int_equal(dropped(NTM_DROP_PATH_UNKNOWN), 1);
	assert_int_equal(b.path_unknown, 1);
	packet[0] ^= NTM_TYPE_LANE_BIT; /* the other lane's key */
	packet[15] ^= 1;
	replay(&b, packet, len);
	assert_int_equal(dropped(NTM_DROP_AUTH), len - 32 + 1);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(b.phase_opened + b.new_source + b.bulk_received, 0);
	replay(&b, b.capture[0], len);
	assert_int_equal(app_number(&b), 1);
}

static void a_key_opens_nothing_after_its_time(void **state)
{
	(void)state;
	b.capturing = true;
	app_send(&a, 60, 1);
	app_send(&a, 60, 2);
	pass_ms(NTM_KEY_HARD_LIFETIME_S * 1000 - 1);
	replay(&b, b.capture[0], b.capture_len[0]);
	assert_int_equal(app_number(&b), 1);
	pass_ms(1);
	replay(&b, b.capture[1], b.capture_len[1]);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(dropped(NTM_DROP_KEY_EXPIRED), 1);
	assert_int_equal(dropped_in_all(), 1);
}

static void a_key_seals_nothing_after_its_time(void **state)
{
	(void)state;
	pass_ms(NTM_KEY_HARD_LIFETIME_S * 1000);
	app_send(&a, 60, 1);
	assert_int_equal(stats_of(&a).held_packets, 1);
	pass_ms(NTM_HELD_MS);
	assert_int_equal(dropped(NTM_DROP_KEY_EXPIRED), 1);
	app_send(&a, 60, 2);
	key_set(&b, 1, 1);
	key_set(&a, 1, 1);
	ntmd_engine_path_phase_set(a.path, 1);
	pump();
	assert_int_equal(app_number(&b), 2);
	assert_int_equal(dropped_in_all(), 1);
}

static void a_worn_key_is_told_once_and_stops_at_its_limit(void **state)
{
	struct ntmd_user_lane *lane = &a.path->key[0]->lane[NTM_LANE_BULK];

	(void)state;
	assert_int_equal(lane->hard, NTM_STOP_AFTER_AESGCM);
	lane->next = NTM_REKEY_AFTER_AESGCM - 2;
	app_send(&a, 60, 1);
	assert_int_equal(a.key_worn, 0);
	app_send(&a, 60, 2);
	app_send(&a, 60, 3);
	assert_int_equal(a.key_worn, 1);
	lane->next = NTM_STOP_AFTER_AESGCM - 1;
	app_send(&a, 60, 4);
	app_send(&a, 60, 5);
	assert_int_equal(lane->next, NTM_STOP_AFTER_AESGCM);
	assert_int_equal(stats_of(&a).held_packets, 1);
	for (int i = 1; i <= 4; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(app_number(&b), -1);
}

static void keys_set_twice_do_not_start_their_counters_again(void **state)
{
	(void)state;
	app_send(&a, 60, 1);
	key_set(&a, 0, 0);
	key_set(&b, 0, 0);
	assert_int_equal(a.path->key[0]->lane[NTM_LANE_BULK].next, 1);
	app_send(&a, 60, 2);
	assert_int_equal(app_number(&b), 1);
	assert_int_equal(app_number(&b), 2);
	key_set(&a, 0, 1);
	assert_int_equal(a.path->key[0]->lane[NTM_LANE_BULK].next, 0);
}

static void bad_keys_are_refused_and_leave_the_old_ones(void **state)
{
	struct ntmd_engine_keys keys = keys_make(&a, 3);

	(void)state;
	assert_int_equal(ntmd_engine_path_key_set(a.path, 4, &keys, 1LL << 40), -EINVAL);
	keys.lane[NTM_LANE_BULK].cipher = NTM_CIPHERS;
	assert_int_equal(ntmd_engine_path_key_set(a.path, 0, &keys, 1LL << 40), -ENOTSUP);
	keys.lane[NTM_LANE_INLINE].cipher = NTM_CIPHER_AES_256_GCM;
	assert_int_equal(ntmd_engine_path_key_set(a.path, 0, &keys, 1LL << 40), -EINVAL);
	app_send(&a, 60, 1);
	assert_int_equal(app_number(&b), 1);
}

/* ---- inner checks at the receiver: a peer with the keys sends what it should not */

static void peer_sends(uint64_t counter, const uint8_t *text, size_t len)
{
	struct ntmd_engine_keys keys = keys_make(&a, 0);
	struct ntm_aead aead = {0};
	uint8_t packet[2048];
	struct ntm_header *header = (struct ntm_header *)packet;

	ntm_header_set(header, NTM_TYPE_DATA, counter, PATH_ID);
	assert_int_equal(ntm_aead_init(&aead, keys.lane[0].cipher, keys.lane[0].send), 0);
	ntm_aead_seal(&aead, counter, header, sizeof(*header), text, len, packet + sizeof(*header));
	ntm_aead_clear(&aead);
	replay(&b, packet, len + 32);
}

static void a_peer_cannot_send_as_or_to_somebody_else(void **state)
{
	uint8_t packet[256] = {0};
	struct ntm_addr other4, other6, none = {0};
	uint64_t counter = 0;

	(void)state;
	assert_int_equal(ntm_addr_parse(&other4, "198.18.0.3"), 0);
	assert_int_equal(ntm_addr_parse(&other6, "fd4e:544d:1::3"), 0);
	peer_sends(counter++, packet, inner_make(packet, &other4, &b.vip4, 60, 1));
	peer_sends(counter++, packet, inner_make(packet, &other6, &b.vip6, 60, 1));
	peer_sends(counter++, packet, inner_make(packet, &b.vip4, &b.vip4, 60, 1));
	assert_int_equal(dropped(NTM_DROP_INNER_SOURCE), 3);
	peer_sends(counter++, packet, inner_make(packet, &a.vip4, &other4, 60, 1));
	peer_sends(counter++, packet, inner_make(packet, &a.vip6, &other6, 60, 1));
	assert_int_equal(dropped(NTM_DROP_INNER_DEST), 2);
	/* an IPv6 header with an IPv4-mapped address is not the IPv4 address */
	inner_make(packet, &a.vip6, &b.vip6, 60, 1);
	memcpy(packet + 8, a.vip4.b, 16);
	peer_sends(counter++, packet, 60);
	assert_int_equal(dropped(NTM_DROP_INNER_SOURCE), 4);
	/* a peer without an IPv6 address has not the address :: */
	ntmd_engine_path_map(b.path, &a.vip4, &none);
	peer_sends(counter++, packet, inner_make(packet, &none, &b.vip6, 60, 1));
	assert_int_equal(dropped(NTM_DROP_INNER_SOURCE), 5);
	assert_int_equal(app_number(&b), -1);
	peer_sends(counter++, packet, inner_make(packet, &a.vip4, &b.vip4, 60, 9));
	assert_int_equal(app_number(&b), 9);
	assert_int_equal(stats_of(&b).drops, 7);
}

static void inner_lengths_and_versions_are_checked(void **state)
{
	uint8_t packet[256];
	uint64_t counter = 0;

	(void)state;
	inner_make(packet, &a.vip4, &b.vip4, 60, 1);
	peer_sends(counter++, packet, 59); /* cut off */
	peer_sends(counter++, packet, 61); /* something behind it */
	peer_sends(counter++, packet, 19);
	peer_sends(counter++, packet, 1);
	assert_int_equal(dropped(NTM_DROP_INNER_SHORT), 4);
	packet[0] = 0x55;
	peer_sends(counter++, packet, 60);
	assert_int_equal(dropped(NTM_DROP_INNER_VERSION), 1);
	packet[0] = 0;
	peer_sends(counter++, packet, 60);
	assert_int_equal(dropped(NTM_DROP_PIECE), 1);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(dropped_in_all(), 6);
}

static void an_empty_packet_keeps_alive_and_delivers_nothing(void **state)
{
	(void)state;
	clock_us += 1000000;
	peer_sends(0, (const uint8_t *)"", 0);
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(dropped_in_all(), 0);
	assert_int_equal(stats_of(&b).lane_rx_packets[NTM_LANE_INLINE], 1);
	assert_int_equal(stats_of(&b).rx_packets, 0);
	assert_int_equal(stats_of(&b).last_rx_ms, clock_us / 1000);
	assert_int_equal(b.phase_opened, 1);
	assert_int_equal(b.bulk_received, 0);
}

static void an_authentic_packet_from_elsewhere_is_delivered_and_told(void **state)
{
	struct ntm_flow flow = flow_to(&a, &b.udp);

	(void)state;
	flow.udp = &a.udp2;
	app_send(&a, 60, 1);
	assert_int_equal(b.new_source, 0);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	app_send(&a, 60, 2);
	app_send(&a, 60, 3);
	assert_int_equal(b.new_source, 1);
	assert_true(ntm_endpoint_equal(&b.from.remote, &a.udp2.bound));
	pass_ms(NTMD_USER_SOURCE_MS);
	app_send(&a, 60, 4);
	assert_int_equal(b.new_source, 2);
	pass_ms(NTMD_USER_SOURCE_MS);
	ntmd_engine_path_sources_set(b.path, &a.udp2.bound, 1);
	app_send(&a, 60, 5);
	assert_int_equal(b.new_source, 2);
	for (int i = 1; i <= 5; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(dropped_in_all(), 0);
}

/* ---- lanes */

static void bulk_is_acknowledged_at_once_and_then_at_intervals(void **state)
{
	(void)state;
	app_send(&a, 60, 1);
	assert_int_equal(b.bulk_received, 1);
	app_send(&a, 60, 2);
	pass_ms(NTM_BULK_ACK_MS - 1);
	app_send(&a, 60, 3);
	assert_int_equal(b.bulk_received, 1);
	pass_ms(1); /* the end of a burst is acknowledged too */
	assert_int_equal(b.bulk_received, 2);
	pass_ms(NTM_BULK_ACK_MS);
	pass_ms(NTM_BULK_ACK_MS);
	assert_int_equal(b.bulk_received, 2);
	app_send(&a, 60, 4);
	assert_int_equal(b.bulk_received, 3);
}

static void unacknowledged_bulk_changes_to_the_inline_lane_and_back(void **state)
{
	(void)state;
	app_send(&a, 60, 1);
	pass_ms(NTM_BULK_DEAD_MS - 1);
	app_send(&a, 60, 2);
	assert_int_equal(stats_of(&a).lane, NTM_LANE_BULK);
	ntmd_engine_path_bulk_acked(a.path);
	pass_ms(1);
	app_send(&a, 60, 3);
	assert_int_equal(a.bulk_dead, 0);
	pass_ms(NTM_BULK_DEAD_MS);
	app_send(&a, 60, 4);
	app_send(&a, 60, 5);
	assert_int_equal(a.bulk_dead, 1);
	assert_int_equal(stats_of(&a).lane, NTM_LANE_INLINE);
	assert_int_equal(stats_of(&a).lane_tx_packets[NTM_LANE_INLINE], 2);
	ntmd_engine_path_bulk_acked(a.path);
	app_send(&a, 60, 6);
	assert_int_equal(stats_of(&a).lane, NTM_LANE_BULK);
	assert_int_equal(stats_of(&a).lane_tx_packets[NTM_LANE_BULK], 4);
	for (int i = 1; i <= 6; i++)
		assert_int_equal(app_number(&b), i);
	assert_int_equal(dropped_in_all(), 0);
}

static void a_path_may_be_deleted_while_it_tells(void **state)
{
	(void)state;
	b.delete_when_opened = true;
	app_send(&a, 60, 1);
	assert_int_equal(b.phase_opened, 1);
	assert_null(b.path);
	assert_int_equal(app_number(&b), 1);
	app_send(&a, 60, 2);
	assert_int_equal(b.path_unknown, 1);
}

/* Whether this lane of phase 0 has what takes memory besides the key. */
static bool is_awake(const struct node *node, enum ntm_lane lane)
{
	const struct ntmd_user_lane *keys = &node->path->key[0]->lane[lane];

	return keys->seal.seal_ctx || keys->seal.open_ctx || keys->open.seal_ctx || keys->open.open_ctx;
}

static void a_path_that_rested_goes_on_where_it_was(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= 3; i++) {
		b.capturing = true;
		app_send(&a, 60, i);
		b.capturing = false;
		assert_true(is_awake(&a, NTM_LANE_BULK));
		replay(&b, b.capture[0], b.capture_len[0]);
		assert_true(is_awake(&b, NTM_LANE_BULK));
		assert_int_equal(app_number(&b), i);
		ntmd_engine_path_rest(a.path);
		ntmd_engine_path_rest(b.path);
		ntmd_engine_path_rest(b.path);
		for (int lane = 0; lane < NTM_LANES; lane++)
			assert_true(!is_awake(&a, (enum ntm_lane)lane) && !is_awake(&b, (enum ntm_lane)lane));
		assert_int_equal(ntm_header_counter((const struct ntm_header *)b.capture[0]), i - 1);
		replay(&b, b.capture[0], b.capture_len[0]);
		assert_int_equal(dropped(NTM_DROP_REPLAY), i);
		b.captured = 0;
	}
	assert_int_equal(app_number(&b), -1);
	assert_int_equal(dropped_in_all(), 3);
}

#define IDLE_PATHS 64
#define IDLE_BYTES 4096 /* of a tunnel, at most */
#define CHUNK 16 /* malloc's own, of each piece of memory */

/* A path with everything an established one has, over which a packet went. */
static struct ntmd_engine_path *idle_path_make(uint8_t number)
{
	struct ntm_endpoint source[3] = {b.udp.bound, b.udp2.bound, a.udp2.bound};
	struct ntm_addr vip4 = b.vip4, vip6 = b.vip6;
	struct ntmd_engine_keys keys = keys_make(&a, 0);
	struct ntm_flow flow = flow_to(&a, &b.udp);
	uint8_t packet[60];

	vip4.b[14] = vip6.b[14] = number;
	a.path = ntmd_engine_path_add(a.engine, &a);
	assert_non_null(a.path);
	ntmd_engine_path_map(a.path, &vip4, &vip6);
	assert_int_equal(ntmd_engine_path_identify(a.path, number, 0), 0);
	assert_int_equal(ntmd_engine_path_key_set(a.path, 0, &keys, clock_us / 1000 + 1000), 0);
	ntmd_engine_path_phase_set(a.path, 0);
	ntmd_engine_path_sources_set(a.path, source, 3);
	ntmd_engine_path_route_set(a.path, &flow, NULL, 0);
	app_write(&a, packet, inner_make(packet, &a.vip4, &vip4, sizeof(packet), number));
	assert_int_equal(stats_of(&a).tx_packets, 1);
	assert_true(is_awake(&a, NTM_LANE_BULK));
	ntmd_engine_path_rest(a.path);
	return a.path;
}

/* As in path.c and the files behind it: three routes, one standby RS, one key phase; timers: tick, MTU. */
static size_t idle_signalling(void)
{
	return sizeof(struct ntmd_cn) + sizeof(struct ntmd_path) + 3 * sizeof(struct ntmd_route) +
	       sizeof(struct ntmd_path_keys) + 2 * (event_get_struct_event_size() + sizeof(void *)) +
	       2 * 32 /* names */ + 2 * sizeof(struct ntm_endpoint) + 3 * sizeof(struct ntmd_verdict) +
	       12 * CHUNK;
}

static void an_idle_tunnel_has_at_most_4_kib(void **state)
{
	struct ntmd_engine_path *path[IDLE_PATHS];
	size_t before, each;

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip(); /* its malloc does not tell */
#endif
	path[0] = idle_path_make(1); /* also what is there once */
	before = mallinfo2().uordblks;
	for (uint8_t i = 1; i < IDLE_PATHS; i++)
		path[i] = idle_path_make((uint8_t)(i + 1));
	each = (mallinfo2().uordblks - before) / (IDLE_PATHS - 1);
	assert_in_range(each, sizeof(struct ntmd_engine_path) + sizeof(struct ntmd_user_key), IDLE_BYTES);
	assert_in_range(each + idle_signalling(), each, IDLE_BYTES);
	print_message("an idle tunnel: %zu bytes of the engine, %zu of signalling\n", each,
		      idle_signalling());
	for (int i = 0; i < IDLE_PATHS; i++)
		ntmd_engine_path_delete(path[i], false);
	a.path = NULL;
}

#define pair_test(f) cmocka_unit_test_setup_teardown(f, pair_open_established, pair_close)

int main(void)
{
	const struct CMUnitTest user_lanes[] = {
		pair_test(packets_of_both_families_go_both_ways_unchanged),
		pair_test(the_packet_on_the_wire_is_as_specified),
		pair_test(rekeying_goes_through_all_four_phases_without_loss),
		pair_test(a_packet_counts_once_in_each_lane),
		pair_test(a_forged_packet_does_not_move_the_window),
		pair_test(what_does_not_belong_is_dropped_for_its_reason),
		pair_test(a_key_opens_nothing_after_its_time),
		pair_test(a_key_seals_nothing_after_its_time),
		pair_test(a_worn_key_is_told_once_and_stops_at_its_limit),
		pair_test(keys_set_twice_do_not_start_their_counters_again),
		pair_test(bad_keys_are_refused_and_leave_the_old_ones),
		pair_test(a_peer_cannot_send_as_or_to_somebody_else),
		pair_test(inner_lengths_and_versions_are_checked),
		pair_test(an_empty_packet_keeps_alive_and_delivers_nothing),
		pair_test(an_authentic_packet_from_elsewhere_is_delivered_and_told),
		pair_test(bulk_is_acknowledged_at_once_and_then_at_intervals),
		pair_test(unacknowledged_bulk_changes_to_the_inline_lane_and_back),
		pair_test(a_path_may_be_deleted_while_it_tells),
		pair_test(a_path_that_rested_goes_on_where_it_was),
		cmocka_unit_test_setup_teardown(an_idle_tunnel_has_at_most_4_kib, pair_open, pair_close),
	};

	return cmocka_run_group_tests(user_lanes, NULL, NULL);
}
