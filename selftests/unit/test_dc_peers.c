/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dc_peers.c - DCs that trust each other, and how far: locations, directions for each other's members, names
 * and virtual addresses (dc/location.c, dc/route_direction.c, dc/config.c), in the world of dc_world.h.
 */
#include <sys/stat.h>

#include "dc_world.h"

static void describe(struct station *station, const char *fqdn)
{
	station->location = (struct ntm_location){.vip4 = {198, 19, 0, 9},
					       .vip6 = {0xfd, 1, [15] = 9},
					       .registered = 1,
					       .reals = 1,
					       .observeds = 1};
	strcpy(station->location.fqdn, fqdn);
	memset(station->location.public_key, 0x55, NTM_KEY_LEN);
	assert_int_equal(ntm_endpoint_parse(&station->location.real[0], "192.0.2.1:7000", 0), 0);
	station->location.observed[0] = station->location.real[0];
}

static void far_describe(void)
{
	describe(&other, FAR);
}

static void a_member_of_another_dc_is_directed_through_it(void **state)
{
	struct ntm_route_withdraw withdraw = {.reason = NTM_REASON_IDLE};
	uint8_t body[DC_BODY_MAX];

	(void)state;
	far_describe();
	registered(&mn, MN);
	directed(&mn, FAR, 0, NTM_REASON_NAME);
	assert_int_equal(other.routes, 1);
	assert_string_equal(other.route.target, FAR);
	assert_string_equal(other.route.fqdn, MN);
	assert_int_equal(other.route.side, 1);
	assert_string_equal(mn.route.fqdn, FAR);
	assert_string_equal(mn.route.target, "");
	assert_memory_equal(mn.route.vip4, other.location.vip4, 4);
	assert_memory_equal(mn.route.public_key, other.location.public_key, NTM_KEY_LEN);
	assert_int_equal(mn.route.candidate[0].kind, NTM_ROUTE_NAT4);
	/* the other DC's member closes it: our member is told */
	withdraw.path_id = mn.route.path_id;
	strcpy(withdraw.target, MN);
	send_request(&other, NTM_MSG_ROUTE_WITHDRAW, body,
		     ntm_msg_route_withdraw_build(DC_FIELDS(body), DC_FIELDS_MAX, &withdraw));
	until(mn.withdrawals == 1);
	dc_path_tick(&dc, ntm_loop_now_ms() + DC_DRAIN_MS + 1);
	until(rs.relay_withdrawals == 1);
	assert_int_equal(dc.path.count, 0);
}

static void another_dc_is_believed_about_its_own_zone_only(void **state)
{
	(void)state;
	registered(&mn, MN);
	far_describe();
	strcpy(other.location.fqdn, "far.third.example");
	send_direction(&mn, FAR, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_REFUSED);
	far_describe();
	other.location.vip4[1] = 18; /* an address of our pool */
	send_direction(&mn, FAR, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_REFUSED);
	far_describe();
	other.location.registered = 0;
	send_direction(&mn, FAR, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_NOT_REGISTERED);
	assert_int_equal(dc.path.count, 0);
}

static void send_far_route(const char *target, const char *fqdn, uint8_t vip4_second)
{
	struct ntm_route_direction route = {.path_id = 42,
					    .side = 1,
					    .lifetime_s = 1000,
					    .vip4 = {198, vip4_second, 0, 9},
					    .vip6 = {0xfd, 1, [15] = 9},
					    .reason = NTM_REASON_NAME};
	uint8_t body[DC_BODY_MAX];

	strcpy(route.fqdn, fqdn);
	strcpy(route.target, target);
	memset(route.public_key, 0x55, NTM_KEY_LEN);
	memset(route.ck, 0x66, NTM_KEY_LEN);
	send_request(&other, NTM_MSG_ROUTE_DIRECTION, body,
		     ntm_msg_route_direction_build(DC_FIELDS(body), DC_FIELDS_MAX, &route));
}

static void another_dc_directs_routes_to_our_members_and_gets_their_answer(void **state)
{
	char why[512];

	(void)state;
	send_far_route(MN, FAR, 19);
	assert_refused(&other, NTM_ERROR_NOT_REGISTERED);
	registered(&mn, MN);
	send_far_route("nobody.ntm.example", FAR, 19);
	assert_refused(&other, NTM_ERROR_NAME_UNKNOWN);
	send_far_route(MN, CN, 19);
	assert_refused(&other, NTM_ERROR_REFUSED);
	send_far_route(MN, FAR, 18);
	assert_refused(&other, NTM_ERROR_REFUSED);
	assert_int_equal(mn.routes, 0);
	mn.refuses_once = NTM_ERROR_PATH_ID_TAKEN;
	send_far_route(MN, FAR, 19);
	assert_refused(&other, NTM_ERROR_PATH_ID_TAKEN);
	assert_int_equal(dc.path.count, 0);
	send_far_route(MN, FAR, 19);
	until(other.outcome.done);
	assert_int_equal(other.outcome.err, 0);
	assert_int_equal(mn.routes, 2);
	assert_string_equal(mn.route.fqdn, FAR);
	assert_string_equal(mn.route.target, "");
	assert_int_equal(dc.path.count, 1);
	/* removal tells both */
	assert_int_equal(dc_member_del(&dc, MN, why, sizeof(why)), 0);
	until(mn.withdrawals == 1 && other.withdrawals == 1);
	assert_string_equal(other.withdraw.target, FAR);
}

/* ---- virtual addresses: whose they are */

static void may_hand_out(unsigned peer, const char *prefix)
{
	struct dc_prefix parsed;
	int family;

	assert_int_equal(dc_prefix_parse_any(&parsed, prefix), 0);
	family = !ntm_addr_is4(&parsed.addr);
	dc.config.peer[peer].prefix[family][dc.config.peer[peer].prefixes[family]++] = parsed;
}

static void assert_far_refused(uint64_t foreign)
{
	send_direction(&mn, FAR, 0, NTM_REASON_NAME);
	assert_refused(&mn, NTM_ERROR_REFUSED);
	assert_int_equal(ntm_drops[NTM_DROP_FOREIGN], foreign);
}

static void another_dc_hands_out_what_it_may(void **state)
{
	(void)state;
	registered(&mn, MN);
	far_describe(); /* 198.19.0.9, fd01::9 */
	ntm_drops[NTM_DROP_FOREIGN] = 0;
	may_hand_out(0, "198.20.0.0/16");
	may_hand_out(0, "198.19.0.0/29"); /* as far as .7 */
	assert_far_refused(1);
	assert_non_null(strstr(mn.outcome.error.text, "198.19.0.9"));
	may_hand_out(0, "198.19.0.8/29");
	may_hand_out(0, "fd02::/64");
	assert_far_refused(2);
	assert_non_null(strstr(mn.outcome.error.text, "fd01::9"));
	/* nobody else may have what is this one's, whether his own are known or not */
	memset(dc.config.peer[0].prefixes, 0, sizeof(dc.config.peer[0].prefixes));
	may_hand_out(1, "fd01::9/128");
	assert_far_refused(3);
	assert_non_null(strstr(mn.outcome.error.text, "dc.third.example"));
	send_far_route(MN, FAR, 19);
	assert_refused(&other, NTM_ERROR_REFUSED);
	assert_int_equal(mn.routes, 0);
	assert_int_equal(ntm_drops[NTM_DROP_FOREIGN], 4);
	assert_int_equal(dc.other[0].distrusts, 3); /* said once */
	memset(dc.config.peer[1].prefixes, 0, sizeof(dc.config.peer[1].prefixes));
	may_hand_out(0, "198.19.0.9/32");
	may_hand_out(0, "fd01::/16");
	directed(&mn, FAR, 0, NTM_REASON_NAME);
	assert_int_equal(ntm_drops[NTM_DROP_FOREIGN], 4);
}

/* An answer with an address in our own pool, in each family alone. */
static void another_dc_does_not_hand_out_ours(void **state)
{
	struct ntm_addr own6;

	(void)state;
	registered(&mn, MN);
	far_describe();
	ntm_drops[NTM_DROP_FOREIGN] = 0;
	assert_int_equal(ntm_addr_parse(&own6, "fd4e:544d:1::2"), 0); /* a member's */
	memcpy(other.location.vip6, own6.b, sizeof(other.location.vip6));
	assert_far_refused(1);
	far_describe();
	memset(other.location.vip6, 0, sizeof(other.location.vip6));
	other.location.vip4[1] = 18;
	other.location.vip4[3] = 2;
	assert_far_refused(2);
	/* nor what belongs to no DC */
	far_describe();
	memcpy(other.location.vip4, (uint8_t[]){8, 8, 8, 8}, 4);
	assert_far_refused(3);
	memcpy(other.location.vip4, (uint8_t[]){127, 0, 0, 1}, 4);
	assert_far_refused(4);
	assert_int_equal(mn.routes, 0);
}

static void direction_by_vip(const char *text)
{
	struct ntm_direction_request request = {.reason = NTM_REASON_PACKET};
	uint8_t body[DC_BODY_MAX];

	assert_int_equal(ntm_addr_parse(&request.vip, text), 0);
	send_request(&mn, NTM_MSG_DIRECTION_REQUEST, body,
		     ntm_msg_direction_request_build(DC_FIELDS(body), DC_FIELDS_MAX, &request));
	until(mn.outcome.done);
}

static void an_address_is_asked_for_where_it_can_be(void **state)
{
	(void)state;
	registered(&mn, MN);
	/* the first one claims it under a name that is not its own: the second is asked */
	describe(&other, "x.third.example");
	describe(&third, "x.third.example");
	direction_by_vip("198.19.0.9");
	assert_int_equal(mn.outcome.err, 0);
	assert_string_equal(mn.route.fqdn, "x.third.example");
	assert_int_equal(other.asked, 1);
	assert_int_equal(third.asked, 1);
	/* it claims it under a name that is: it cannot be known better, unless the prefixes are */
	far_describe();
	direction_by_vip("198.19.0.9");
	assert_int_equal(mn.outcome.err, 0);
	assert_string_equal(mn.route.fqdn, FAR);
	may_hand_out(1, "198.19.0.0/16");
	direction_by_vip("198.19.0.9");
	assert_int_equal(mn.outcome.err, 0);
	assert_string_equal(mn.route.fqdn, "x.third.example");
	assert_int_equal(other.asked, 2);
	assert_int_equal(third.asked, 2);
	/* an address of nobody's is asked for at those alone that may have any */
	direction_by_vip("198.51.100.1");
	assert_int_equal(mn.outcome.err, -EREMOTEIO);
	assert_int_equal(other.asked, 3);
	assert_int_equal(third.asked, 2);
}

#define CONFIG_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

/* Reads a configuration with these lines behind that of a peer. NULL: it is good, else why not. */
static const char *config_error(const char *lines, struct dc_config *ret_config)
{
	static char why[512];
	char path[96], key[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/dc.conf", folder);
	snprintf(key, sizeof(key), "%s/dc.key", folder);
	assert_non_null(file = fopen(key, "w"));
	fputs(CONFIG_KEY "\n", file);
	fclose(file);
	chmod(key, 0600);
	assert_non_null(file = fopen(path, "w"));
	fprintf(file,
		"[dc]\nname = dc.ntm.example\nzone = ntm.example\nprivate-key-file = %s\nlisten = 127.0.0.1\n"
		"[peer \"dc.other.example\"]\nzone = other.example\npublic-key = " CONFIG_KEY
		"\nendpoint = 192.0.2.1\n%s\n",
		key, lines);
	fclose(file);
	return dc_config_read(ret_config, path, why, sizeof(why)) ? why : NULL;
}

static void assert_config_error(const char *lines, const char *part)
{
	struct dc_config config;
	const char *why = config_error(lines, &config);

	if (!why || !strstr(why, part))
		fail_msg("%s: %s", lines, why ? why : "no error");
}

static void prefixes_of_other_dcs_are_configured(void **state)
{
	static const char third_dc[] = "virtual4 = 198.19.0.0/16\nvirtual6 = fd4e:544d:2::/64\n"
				       "[peer \"dc.third.example\"]\nzone = third.example\n"
				       "public-key = " CONFIG_KEY "\nendpoint = 192.0.2.2\n";
	struct dc_config config;
	char lines[1024];

	(void)state;
	assert_null(config_error("virtual4 = 198.19.0.0/16\nvirtual4 = 198.20.0.7/32\nvirtual6 = fd4e:544d:2::/64",
				 &config));
	assert_int_equal(config.peer->prefixes[0], 2);
	assert_int_equal(config.peer->prefixes[1], 1);
	assert_int_equal(config.peer->prefix[0][1].bits, 32);
	dc_config_clear(&config);
	assert_null(config_error("", &config));
	assert_int_equal(config.peer->prefixes[0] + config.peer->prefixes[1], 0);
	dc_config_clear(&config);
	assert_config_error("virtual4 = 198.19.0.0", "dc.conf:10: ");
	assert_config_error("virtual4 = 198.19.0.1/16", "without host bits, as 198.19.0.0/16");
	assert_config_error("virtual4 = fd4e:544d:2::/64", "an IPv4 prefix");
	assert_config_error("virtual6 = 198.19.0.0/16", "an IPv6 prefix");
	/* what is ours, in part or wholly */
	assert_config_error("virtual4 = 198.18.7.0/24", "[peer \"dc.other.example\"]: virtual4 198.18.7.0/24");
	assert_config_error("virtual4 = 198.18.0.0/15", "another pool");
	assert_config_error("virtual6 = fd4e:544d:1::9/128", "of the pool of this DC");
	/* what is another peer's */
	snprintf(lines, sizeof(lines), "%svirtual6 = fd4e:544d:2:0:1::/80", third_dc);
	assert_config_error(lines, "of dc.other.example");
	snprintf(lines, sizeof(lines), "%svirtual4 = 198.20.0.0/16", third_dc);
	assert_null(config_error(lines, &config));
	dc_config_clear(&config);
	lines[0] = '\0';
	for (int i = 0; i <= DC_PEER_PREFIXES; i++)
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "virtual4 = 10.%d.0.0/16\n", i);
	assert_config_error(lines, "at most 8");
}

static void the_limit_of_dns_answers_is_configured(void **state)
{
	static const struct {
		const char *value;
		uint32_t limit;
	} good[] = { { "0", 0 }, { "1", 1 }, { "1000000", 1000000 } };
	static const char *const bad[] = { "", "-1", "1000001", "10/s", "99999999999999999999", "all" };
	struct dc_config config;
	char lines[128];

	(void)state;
	assert_null(config_error("", &config));
	assert_int_equal(config.dns_rate_limit, 500);
	dc_config_clear(&config);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		snprintf(lines, sizeof(lines), "[dns]\nrate-limit = %s", good[i].value);
		assert_null(config_error(lines, &config));
		assert_int_equal(config.dns_rate_limit, good[i].limit);
		dc_config_clear(&config);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(lines, sizeof(lines), "[dns]\nrate-limit = %s", bad[i]);
		assert_config_error(lines, "dc.conf:11: ");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_member_of_another_dc_is_directed_through_it),
		TEST(another_dc_is_believed_about_its_own_zone_only),
		TEST(another_dc_directs_routes_to_our_members_and_gets_their_answer),
		TEST(another_dc_hands_out_what_it_may),
		TEST(another_dc_does_not_hand_out_ours),
		TEST(an_address_is_asked_for_where_it_can_be),
		TEST(prefixes_of_other_dcs_are_configured),
		TEST(the_limit_of_dns_answers_is_configured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
