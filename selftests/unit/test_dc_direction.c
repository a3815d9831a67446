/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dc_direction.c - what a DC directs, in which order, and what is said when it cannot be (dc/direction.c,
 * dc/relay.c, dc/path.c, dc/registration.c, dc/recall.c), in the world of dc_world.h. Other DCs: test_dc_peers.c.
 */
#include "dc_world.h"

/* ---- registration */

static void a_node_registers_under_its_own_name_only(void **state)
{
	(void)state;
	send_registration(&mn, CN);
	assert_refused(&mn, NTM_ERROR_WRONG_NAME);
	assert_non_null(strstr(mn.outcome.error.text, MN));
	assert_int_equal(dc.locations, 0);
	registered(&mn, MN);
	assert_int_equal(dc.locations, 1);
	assert_memory_equal(mn.outcome.registration.vip4, "\xc6\x12\x00\x02", 4);
	assert_int_equal(mn.outcome.registration.vip4_prefix, 16);
	assert_true(ntm_endpoint_equal(&mn.outcome.registration.observed, &mn.udp.bound));
	assert_int_equal(mn.outcome.registration.relays, 1);
	assert_string_equal(mn.outcome.registration.relay[0].name, "rs1.ntm.example");
}

static void a_keepalive_holds_a_location_and_makes_none(void **state)
{
	uint8_t body[DC_BODY_MAX];
	int64_t heard_ms;

	(void)state;
	send_request(&mn, NTM_MSG_KEEPALIVE_REQUEST, body, 0);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED);
	registered(&mn, MN);
	heard_ms = TAILQ_FIRST(&dc.location)->heard_ms;
	settle();
	send_request(&mn, NTM_MSG_KEEPALIVE_REQUEST, body, 0);
	until(mn.outcome.done);
	assert_int_equal(mn.outcome.err, 0);
	assert_true(TAILQ_FIRST(&dc.location)->heard_ms > heard_ms);
	dc_keepalive_expire(&dc, ntm_loop_now_ms() + (NTM_LOCATION_LIFETIME_S - 1) * 1000LL);
	assert_int_equal(dc.locations, 1);
	dc_keepalive_expire(&dc, ntm_loop_now_ms() + (NTM_LOCATION_LIFETIME_S + 1) * 1000LL);
	assert_int_equal(dc.locations, 0);
}

/* ---- a restart */

static int collect_session(void *ctx, const struct dc_store_session *session)
{
	struct dc_store_session *found = ctx;

	*(found->id ? found + 1 : found) = *session;
	return 0;
}

static bool stored(struct dc_store_session found[2])
{
	char why[DC_STORE_WHY];

	memset(found, 0, 2 * sizeof(*found));
	assert_int_equal(dc_store_sessions(dc.store, collect_session, found, why, sizeof(why)), 0);
	return found[0].id;
}

/* Waits for the next batch, but not for the time that passes before it is written. */
static void until_stored(struct dc_store_session found[2], unsigned count)
{
	ntm_timer_set_ms(dc.recall_store, 0);
	until(stored(found) && (count < 2 || found[1].id));
}

static void the_store_has_where_a_member_is_until_its_location_expires(void **state)
{
	struct dc_store_session found[2];
	uint8_t body[DC_BODY_MAX];
	struct dc_member *member = dc_member_find(&dc, MN);

	(void)state;
	registered(&mn, MN);
	assert_false(stored(found)); /* not on the way of a message */
	until(stored(found));
	assert_true(!found[1].id);
	assert_string_equal(found[0].fqdn, MN);
	assert_true(ntm_endpoint_equal(&found[0].remote, &mn.udp.bound));
	assert_true(ntm_endpoint_equal(&found[0].listen, &dc.udp[0].bound));
	assert_true(found[0].id == ntm_session_id(&member->actor.peer));
	send_request(&mn, NTM_MSG_KEEPALIVE_REQUEST, body, 0);
	until(mn.outcome.done);
	registered(&mn, MN);
	assert_false(member->changed); /* nothing to write */
	dc_keepalive_expire(&dc, ntm_loop_now_ms() + NTM_LOCATION_LIFETIME_S * 1000LL + 1);
	assert_null(member->location);
	until(!stored(found));
	assert_true(!member->stored);
}

/* As a DC that was killed and started: it knows no session, and who was registered only from the store. */
static void forget_like_a_restart(const char *fqdn)
{
	struct dc_member *member = dc_member_find(&dc, fqdn);
	struct ntm_peer *peer = &member->actor.peer;
	uint8_t key[NTM_KEY_LEN];

	memcpy(key, peer->key, NTM_KEY_LEN);
	dc_member_location_end(member);
	member->stored = 0;
	ntm_peer_remove(peer);
	memset(peer, 0, sizeof(*peer));
	memcpy(peer->key, key, NTM_KEY_LEN);
	assert_int_equal(ntm_peer_add(&dc.sessions, peer), 0);
}

static void a_restarted_dc_calls_the_nodes_back_that_are_away(void **state)
{
	struct dc_store_session found[2];
	struct dc_member *member;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	until_stored(found, 2);
	forget_like_a_restart(MN);
	dc_recall_start(&dc);
	until(!ntm_peer_is_up(&mn.dc)); /* the reset came, and was believed */
	assert_true(ntm_peer_is_up(&cn.dc)); /* this one was not away */
	registered(&mn, MN);
	member = dc_member_find(&dc, MN);
	until(!member->call);
	settle();
	assert_true(ntm_peer_is_up(&mn.dc)); /* once is enough */
	ntm_timer_set_ms(dc.recall_store, 0);
	until(stored(found) && (found[0].id == ntm_session_id(&member->actor.peer) ||
				found[1].id == ntm_session_id(&member->actor.peer)));
}

static void who_does_not_come_back_is_forgotten(void **state)
{
	struct dc_store_session found[2];

	(void)state;
	registered(&mn, MN);
	until_stored(found, 1);
	forget_like_a_restart(MN);
	dc_recall_start(&dc);
	until(!dc_member_find(&dc, MN)->call);
	settle();
	assert_true(stored(found));
	dc.recall_end_ms = ntm_loop_now_ms(); /* the life of a location later */
	ntm_timer_set_ms(dc.recall_call, 0);
	until(!stored(found));
}

static void a_removed_member_learns_it_at_once_and_why(void **state)
{
	struct dc_store_session found[2];
	char why[512];

	(void)state;
	registered(&mn, MN);
	until_stored(found, 1);
	assert_int_equal(dc_member_del(&dc, MN, why, sizeof(why)), 0);
	assert_false(stored(found));
	until(!ntm_peer_is_up(&mn.dc));
	send_registration(&mn, MN);
	assert_refused(&mn, NTM_ERROR_NOT_MEMBER);
	assert_true(ntm_peer_is_up(&mn.dc));
	until(LIST_EMPTY(&dc.leaver));
	until(!ntm_peer_is_up(&mn.dc)); /* nor is the session it was told in any more */
}

/* ---- directions */

static void both_ends_and_the_relay_are_directed_to_one_path(void **state)
{
	uint8_t context[9], leg[NTM_KEY_LEN];

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(mn.routes, 1);
	assert_int_equal(cn.routes, 1);
	assert_int_equal(rs.directions, 1);
	assert_true(mn.order > cn.order && mn.order > rs.order); /* the requester last */
	assert_string_equal(mn.route.fqdn, CN);
	assert_string_equal(cn.route.fqdn, MN);
	assert_int_equal(mn.route.side, 0);
	assert_int_equal(cn.route.side, 1);
	assert_memory_equal(mn.route.public_key, cn.sessions.public_key, NTM_KEY_LEN);
	assert_memory_equal(cn.route.public_key, mn.sessions.public_key, NTM_KEY_LEN);
	assert_memory_equal(mn.route.ck, cn.route.ck, NTM_KEY_LEN);
	assert_true(mn.route.path_id && mn.route.path_id == cn.route.path_id &&
		    mn.route.path_id == rs.direction.path_id);
	assert_true(mn.outcome.direction.path_id == mn.route.path_id);
	assert_string_equal(mn.outcome.direction.fqdn, CN);
	assert_memory_equal(mn.route.vip4, "\xc6\x12\x00\x03", 4);
	assert_memory_equal(cn.route.vip4, "\xc6\x12\x00\x02", 4);
	assert_string_equal(mn.route.relay.name, "rs1.ntm.example");
	assert_string_equal(cn.route.relay.name, "rs1.ntm.example");
	assert_int_equal(mn.route.candidates, 1); /* the same "NAT": both are seen as 127.0.0.1 */
	assert_int_equal(mn.route.candidate[0].kind, NTM_ROUTE_PRIVATE4);
	assert_int_equal(mn.route.verdicts, 6);
	for (int i = 0; i < 8; i++)
		context[i] = (uint8_t)(mn.route.path_id >> (56 - 8 * i));
	for (int side = 0; side < 2; side++) {
		context[8] = (uint8_t)side;
		ntm_crypto_derive(leg, mn.route.ck, "leg", context, 9);
		assert_memory_equal(rs.direction.leg_key[side], leg, NTM_KEY_LEN);
	}
}

static void what_cannot_be_directed_is_refused_with_a_reason(void **state)
{
	(void)state;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED); /* itself */
	registered(&mn, MN);
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED); /* the other */
	assert_non_null(strstr(mn.outcome.error.text, CN));
	send_direction(&mn, "nobody.ntm.example", 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NAME_UNKNOWN);
	send_direction(&mn, "www.example.com", 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NAME_UNKNOWN);
	send_direction(&mn, MN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_REFUSED);
	assert_int_equal(dc.path.count, 0);
	assert_int_equal(dc.directions, 0);
}

static void a_held_path_keeps_its_id_and_a_lost_one_does_not(void **state)
{
	uint8_t ck[NTM_KEY_LEN];
	uint64_t id;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	id = mn.route.path_id;
	memcpy(ck, mn.route.ck, NTM_KEY_LEN);
	directed(&mn, CN, id, NTM_REASON_HANDOVER);
	assert_true(mn.route.path_id == id);
	assert_memory_equal(mn.route.ck, ck, NTM_KEY_LEN);
	/* the other end may ask too, and keeps its side */
	directed(&cn, MN, id, NTM_REASON_HANDOVER);
	assert_true(cn.route.path_id == id);
	assert_int_equal(cn.route.side, 1);
	assert_int_equal(mn.route.side, 0);
	/* a renewed one has a new CK */
	directed(&mn, CN, id, NTM_REASON_RENEW);
	assert_true(cn.route.path_id == id);
	assert_memory_not_equal(cn.route.ck, ck, NTM_KEY_LEN);
	assert_memory_equal(cn.route.ck, mn.route.ck, NTM_KEY_LEN);
	assert_int_equal(dc.path.count, 1);
	/* one the DC does not know is drawn anew */
	directed(&mn, CN, id ^ 1, NTM_REASON_HANDOVER);
	assert_true(mn.route.path_id != id && mn.route.path_id != (id ^ 1));
	id = mn.route.path_id;
	directed(&cn, MN, id, NTM_REASON_LOST);
	assert_true(cn.route.path_id != id);
	assert_int_equal(cn.route.side, 0);
	/* those before are withdrawn at the relay after a while */
	assert_int_equal(dc.path.count, 3);
	dc_path_tick(&dc, ntm_loop_now_ms() + DC_DRAIN_MS + 1);
	assert_int_equal(dc.path.count, 1);
	until(rs.relay_withdrawals == 2);
}

static void without_the_relay_a_direct_candidate_is_enough(void **state)
{
	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	rs.silent = true;
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_string_equal(mn.route.relay.name, "");
	assert_string_equal(cn.route.relay.name, "");
	assert_int_equal(mn.route.verdict[5].why, NTM_WHY_RELAY_DOWN);
	assert_false(dc.relay[0].alive);
}

static void without_relay_and_candidate_there_is_no_route(void **state)
{
	(void)state;
	cn.real = "2001:db8::2";
	registered(&mn, MN);
	registered(&cn, CN);
	/* the correspondent is seen by IPv6 only */
	memset(&dc_member_find(&dc, CN)->location->observed, 0,
	       sizeof(dc_member_find(&dc, CN)->location->observed));
	rs.silent = true;
	dc.relay[0].has6 = true;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NO_ROUTE);
	assert_non_null(strstr(mn.outcome.error.text, "relay"));
	assert_int_equal(mn.routes, 0);
	assert_int_equal(dc.path.count, 0);
	until(cn.withdrawals == 1); /* it had been told */
}

static void a_path_id_that_is_taken_is_drawn_again(void **state)
{
	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	cn.refuses_once = NTM_ERROR_PATH_ID_TAKEN;
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(cn.routes, 2);
	assert_true(rs.direction.path_id == cn.route.path_id && mn.route.path_id == cn.route.path_id);
	assert_memory_equal(mn.route.ck, cn.route.ck, NTM_KEY_LEN);
	assert_int_equal(dc.path.count, 1);
}

static void what_the_correspondent_refuses_is_passed_on(void **state)
{
	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	cn.refuses_once = NTM_ERROR_SUPERSEDED;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_SUPERSEDED);
	assert_int_equal(mn.routes, 0);
	assert_int_equal(dc.path.count, 0);
	cn.silent = true;
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_TIMEOUT);
	assert_int_equal(dc.path.count, 0);
}

static void of_crossing_directions_that_of_the_lower_key_is_kept(void **state)
{
	bool mn_is_lower = memcmp(mn.sessions.public_key, cn.sessions.public_key, NTM_KEY_LEN) < 0;
	struct station *kept = mn_is_lower ? &mn : &cn, *refused = mn_is_lower ? &cn : &mn;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	rs.silent = true; /* holds both in the middle */
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	send_direction(&cn, MN, 0, NTM_REASON_NAME);
	until(refused->outcome.done);
	assert_refused(refused, NTM_ERROR_SUPERSEDED);
	until(kept->outcome.done);
	assert_int_equal(kept->outcome.err, 0);
	settle();
	assert_int_equal(dc.path.count, 1);
	assert_true(kept->route.path_id == refused->route.path_id);
	assert_int_equal(kept->route.side, 0);
	assert_int_equal(refused->route.side, 1);
}

/* The other one would leave both on what was possible from there, and nobody would ask again. */
static void a_crossing_direction_to_where_a_node_was_is_not_kept(void **state)
{
	bool mn_is_lower = memcmp(mn.sessions.public_key, cn.sessions.public_key, NTM_KEY_LEN) < 0;
	struct station *old = mn_is_lower ? &mn : &cn, *moved = mn_is_lower ? &cn : &mn;
	const char *old_name = mn_is_lower ? MN : CN, *moved_name = mn_is_lower ? CN : MN;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	rs.silent = true; /* holds it in the middle */
	send_direction(old, moved_name, 0, NTM_REASON_NAME);
	settle();
	moved->real = "198.51.100.77";
	registered(moved, moved_name);
	send_direction(moved, old_name, 0, NTM_REASON_NAME);
	until(old->outcome.done);
	assert_refused(old, NTM_ERROR_SUPERSEDED);
	until(moved->outcome.done);
	assert_int_equal(moved->outcome.err, 0);
	settle();
	assert_int_equal(dc.path.count, 1);
	assert_true(old->route.path_id == moved->route.path_id);
	assert_int_equal(moved->route.side, 0);
}

/* ---- the end of paths */

static void removing_a_member_ends_its_paths_everywhere(void **state)
{
	char why[512];

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(dc_member_del(&dc, CN, why, sizeof(why)), 0);
	until(mn.withdrawals == 1 && cn.withdrawals == 1 && rs.relay_withdrawals == 1);
	assert_true(mn.withdraw.path_id == mn.route.path_id);
	assert_int_equal(mn.withdraw.reason, NTM_REASON_REMOVED);
	assert_int_equal(dc.path.count, 0);
	send_registration(&cn, CN);
	assert_refused(&cn, NTM_ERROR_NOT_MEMBER);
	send_direction(&mn, CN, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NAME_UNKNOWN);
}

static void a_node_withdraws_its_own_paths_only(void **state)
{
	struct ntm_route_withdraw withdraw = {.reason = NTM_REASON_IDLE};
	struct station *outsider = calloc(1, sizeof(*outsider));
	struct dc_member *member;
	uint8_t body[DC_BODY_MAX];
	char why[512];

	(void)state;
	station_open(outsider, "192.0.2.9");
	station_connect(outsider, true);
	assert_int_equal(dc_member_add(&dc, "outsider.ntm.example", outsider->sessions.public_key, &member, why,
				       sizeof(why)),
			 0);
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	withdraw.path_id = mn.route.path_id;
	send_request(outsider, NTM_MSG_ROUTE_WITHDRAW, body,
		     ntm_msg_route_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw));
	until(outsider->outcome.done);
	assert_int_equal(dc.path.count, 1);
	send_request(&cn, NTM_MSG_ROUTE_WITHDRAW, body,
		     ntm_msg_route_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw));
	until(cn.outcome.done);
	assert_int_equal(cn.outcome.err, 0);
	/* the relay serves it a while longer, or what the node tells its peer of the end would get lost */
	assert_int_equal(dc.path.count, 1);
	directed(&mn, CN, withdraw.path_id, NTM_REASON_NAME);
	assert_true(mn.route.path_id != withdraw.path_id);
	assert_int_equal(rs.relay_withdrawals, 0);
	dc_path_tick(&dc, ntm_loop_now_ms() + DC_DRAIN_MS + 1);
	assert_int_equal(dc.path.count, 1);
	until(rs.relay_withdrawals == 1);
	station_close(outsider);
	free(outsider);
}

static void a_restarted_relay_is_directed_again(void **state)
{
	struct ntm_relay_report report = {.boot_id = 7, .load = {.cpu_permille = 123}};
	uint8_t body[DC_BODY_MAX];
	int n;

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	assert_int_equal(rs.directions, 1);
	for (int boot = 0; boot < 2; boot++) { /* the same, then a new one */
		report.boot_id = rs.boot_id = 7 + (uint64_t)boot;
		n = ntm_msg_relay_report_build(DC_FIELDS(body), DC_FIELDS_MAX, &report);
		assert_true(n > 0);
		assert_int_equal(ntm_session_notify(&rs.dc, NTM_MSG_RELAY_REPORT, body, (size_t)n), 0);
		settle();
		assert_int_equal(dc.relay[0].load.cpu_permille, 123);
		assert_int_equal(rs.directions, 1 + boot);
	}
	assert_true(rs.direction.path_id == mn.route.path_id);
	assert_int_equal(dc.relay[0].redirects, 0);
}

static void a_ck_that_grows_old_is_renewed_and_then_forgotten(void **state)
{
	uint8_t ck[NTM_KEY_LEN];

	(void)state;
	registered(&mn, MN);
	registered(&cn, CN);
	directed(&mn, CN, 0, NTM_REASON_NAME);
	memcpy(ck, mn.route.ck, NTM_KEY_LEN);
	dc_path_tick(&dc, ntm_loop_now_ms() + NTM_CK_LIFETIME_S * 800LL); /* 80 % of it */
	until(mn.routes == 2 && cn.routes == 2);
	assert_int_equal(mn.route.reason, NTM_REASON_RENEW);
	assert_memory_equal(mn.route.ck, cn.route.ck, NTM_KEY_LEN);
	assert_memory_not_equal(mn.route.ck, ck, NTM_KEY_LEN);
	assert_int_equal(dc.path.count, 1);
	dc_path_tick(&dc, ntm_loop_now_ms() + NTM_CK_LIFETIME_S * 1000LL + 1000);
	assert_int_equal(dc.path.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_node_registers_under_its_own_name_only),
		TEST(a_keepalive_holds_a_location_and_makes_none),
		TEST(the_store_has_where_a_member_is_until_its_location_expires),
		TEST(a_restarted_dc_calls_the_nodes_back_that_are_away),
		TEST(who_does_not_come_back_is_forgotten),
		TEST(a_removed_member_learns_it_at_once_and_why),
		TEST(both_ends_and_the_relay_are_directed_to_one_path),
		TEST(what_cannot_be_directed_is_refused_with_a_reason),
		TEST(a_held_path_keeps_its_id_and_a_lost_one_does_not),
		TEST(without_the_relay_a_direct_candidate_is_enough),
		TEST(without_relay_and_candidate_there_is_no_route),
		TEST(a_path_id_that_is_taken_is_drawn_again),
		TEST(what_the_correspondent_refuses_is_passed_on),
		TEST(of_crossing_directions_that_of_the_lower_key_is_kept),
		TEST(a_crossing_direction_to_where_a_node_was_is_not_kept),
		TEST(removing_a_member_ends_its_paths_everywhere),
		TEST(a_node_withdraws_its_own_paths_only),
		TEST(a_restarted_relay_is_directed_again),
		TEST(a_ck_that_grows_old_is_renewed_and_then_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
