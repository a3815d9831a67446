/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_dns_stub.c - daemon/dns_*.c on loopback, in the world of dns_world.h. No root.
 */
#include "dns_world.h"

#define SLACK_MS 2500 /* a busy machine may take so much longer */

/* ---- ordinary names */

static void ordinary_name_is_answered_as_upstream_has_it(void **state)
{
	const uint8_t expected[4] = {192, 0, 2, 80};

	(void)state;
	ask("wWw.Example.COM.", KNOT_RRTYPE_A, 0);
	assert_int_equal(knot_pkt_ext_rcode(answer), KNOT_RCODE_NOERROR);
	assert_false(knot_pkt_has_edns(answer));
	assert_last(1, "wWw.Example.COM.", KNOT_RRTYPE_A, expected, 4);
	assert_int_equal(directions, 0);
	/* All four at once. */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(upstream[0].asked_type[i], 1);
	/* From now on only the question itself, until the SOA's minimum is over. */
	ask("www.example.com.", KNOT_RRTYPE_AAAA, 1232);
	assert_true(knot_pkt_has_edns(answer));
	assert_int_equal(upstream[0].asked, 5);
	assert_int_equal(upstream[0].asked_type[1], 2);
}

static void other_family_is_not_waited_for(void **state)
{
	const uint8_t expected[16] = {0x20, 1, 0x0d, 0xb8, [15] = 6};

	(void)state;
	assert_true(ask("six.example.com.", KNOT_RRTYPE_AAAA, 0) < 150);
	assert_last(1, "six.example.com.", KNOT_RRTYPE_AAAA, expected, 16);
}

static void name_that_does_not_exist_is_nxdomain(void **state)
{
	(void)state;
	ask("nothing.example.com.", KNOT_RRTYPE_A, 1232);
	assert_int_equal(knot_pkt_ext_rcode(answer), KNOT_RCODE_NXDOMAIN);
	assert_int_equal(knot_pkt_section(answer, KNOT_AUTHORITY)->count, 1);
}

static void dropped_ntm_questions_cost_300_ms_once(void **state)
{
	int64_t took;

	(void)state;
	took = ask("dropper.example.com.", KNOT_RRTYPE_A, 0);
	assert_in_range(took, 290, 290 + SLACK_MS);
	assert_int_equal(knot_pkt_section(answer, KNOT_ANSWER)->count, 1);
	assert_true(ask("dropper.example.com.", KNOT_RRTYPE_A, 0) < 290);
}

static void other_types_are_forwarded(void **state)
{
	(void)state;
	ask("www.example.com.", KNOT_RRTYPE_TXT, 0);
	assert_last(1, "www.example.com.", KNOT_RRTYPE_TXT, "\5hello", 6);
	assert_int_equal(upstream[0].asked, 1);
	ask("cn.ntm.example.", NTMD_DNS_TYPE_NTM4, 0);
	assert_int_equal(knot_pkt_rr(knot_pkt_section(answer, KNOT_ANSWER), 0)->rrs.rdata->len,
			 NTM_RECORD4_LEN);
	assert_int_equal(directions, 0);
}

static void do_bit_is_passed_on(void **state)
{
	uint8_t wire[512];
	int fd = application(SOCK_DGRAM);
	size_t len = query_make(wire, "www.example.com.", KNOT_RRTYPE_TXT, 1232, true);

	(void)state;
	assert_int_equal(send(fd, wire, len, 0), (ssize_t)len);
	assert_true(receive(fd, 1000));
	assert_true(upstream[0].last_do);
	assert_true(knot_pkt_has_dnssec(answer));
	close(fd);
	ask("www.example.com.", KNOT_RRTYPE_TXT, 1232);
	assert_false(upstream[0].last_do);
}

static void same_questions_share_one_upstream(void **state)
{
	int fd = application(SOCK_DGRAM);

	(void)state;
	for (int i = 0; i < 20; i++)
		send_query(fd, "www.example.com.", KNOT_RRTYPE_TXT, 0);
	for (int i = 0; i < 20; i++)
		assert_true(receive(fd, 1000));
	close(fd);
	assert_int_equal(upstream[0].asked, 1);
}

/* ---- upstream */

static void forged_answers_are_passed_over(void **state)
{
	const uint8_t expected[4] = {192, 0, 2, 80};

	(void)state;
	upstream[0].behaviour = FORGES;
	ask("www.example.com.", KNOT_RRTYPE_A, 0);
	assert_last(1, "www.example.com.", KNOT_RRTYPE_A, expected, 4);
}

static void ids_and_ports_differ(void **state)
{
	uint16_t ids[8], ports[8];
	unsigned same_ids = 0, same_ports = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		ask("www.example.com.", KNOT_RRTYPE_TXT, 0);
		ids[i] = upstream[0].last_id;
		ports[i] = upstream[0].last_port;
		same_ids += i && ids[i] == ids[i - 1];
		same_ports += i && ports[i] == ports[i - 1];
	}
	assert_true(same_ids < 2);
	assert_true(same_ports < 2);
}

static void silent_server_is_followed_by_the_next(void **state)
{
	(void)state;
	servers_use(0, 2);
	upstream[0].behaviour = SAYS_NOTHING;
	assert_in_range(ask("www.example.com.", KNOT_RRTYPE_TXT, 0), 190, 190 + SLACK_MS);
	assert_int_equal(upstream[1].asked, 1);
}

static void failing_and_absent_servers_are_followed_at_once(void **state)
{
	struct ntm_endpoint servers[3];

	(void)state;
	servers[0] = loopback(1); /* nobody there: refused */
	servers[1] = loopback(upstream[0].port);
	servers[2] = loopback(upstream[1].port);
	ntmd_dns_upstream_set(dns, servers, 3);
	upstream[0].behaviour = FAILS;
	assert_true(ask("www.example.com.", KNOT_RRTYPE_TXT, 0) < 150);
	assert_int_equal(knot_pkt_section(answer, KNOT_ANSWER)->count, 1);
	upstream[1].behaviour = FAILS;
	assert_true(ask("www.example.com.", KNOT_RRTYPE_TXT, 0) < 150);
	assert_int_equal(knot_pkt_ext_rcode(answer), KNOT_RCODE_SERVFAIL);
}

static void lost_question_is_sent_again(void **state)
{
	int fd = application(SOCK_DGRAM);

	(void)state;
	upstream[0].behaviour = SAYS_NOTHING;
	send_query(fd, "www.example.com.", KNOT_RRTYPE_TXT, 0);
	run_ms(100);
	assert_int_equal(upstream[0].asked, 1);
	upstream[0].behaviour = ANSWERS;
	assert_true(receive(fd, 300));
	assert_int_equal(upstream[0].asked, 2);
	close(fd);
}

static void kick_sends_again_at_once(void **state)
{
	uint16_t port;
	int fd = application(SOCK_DGRAM);

	(void)state;
	upstream[0].behaviour = SAYS_NOTHING;
	send_query(fd, "www.example.com.", KNOT_RRTYPE_TXT, 0);
	run_ms(50);
	port = upstream[0].last_port;
	upstream[0].behaviour = ANSWERS;
	ntmd_dns_kick(dns);
	assert_true(receive(fd, 80));
	assert_int_equal(upstream[0].asked, 2);
	assert_int_not_equal(upstream[0].last_port, port);
	close(fd);
}

static void silence_ends_in_servfail_after_5_s(void **state)
{
	struct ntmd_dns_stats stats;

	(void)state;
	upstream[0].behaviour = SAYS_NOTHING;
	assert_in_range(ask("www.example.com.", KNOT_RRTYPE_TXT, 1232), 4900, 4900 + SLACK_MS);
	assert_failed(23, "no answer from the upstream servers");
	ntmd_dns_stats(dns, &stats);
	assert_int_equal(stats.upstream_timeouts, 1);
	assert_int_equal(stats.failures, 1);
}

static void no_server_is_said(void **state)
{
	(void)state;
	ntmd_dns_upstream_set(dns, NULL, 0);
	ntmd_dns_servers_files(dns, "/nonexistent/resolv.conf", "/nonexistent/uplink");
	ask("www.example.com.", KNOT_RRTYPE_A, 1232);
	assert_failed(23, "no upstream server");
}

static void server_without_edns_is_asked_without(void **state)
{
	const uint8_t expected[4] = {192, 0, 2, 81};

	(void)state;
	ask("old.example.com.", KNOT_RRTYPE_A, 1232);
	assert_last(1, "old.example.com.", KNOT_RRTYPE_A, expected, 4);
	assert_int_equal(upstream[0].asked_type[0], 2);
}

static void truncated_answer_is_fetched_by_tcp(void **state)
{
	uint8_t wire[514];
	size_t len;
	int fd;

	(void)state;
	ask("big.example.com.", KNOT_RRTYPE_TXT, 1232);
	assert_int_equal(upstream[0].by_tcp, 1);
	/* Too long for the application's UDP, too. */
	assert_true(knot_wire_get_tc(answer->wire));
	assert_int_equal(knot_pkt_section(answer, KNOT_ANSWER)->count, 0);
	assert_true(answer->size <= 1232);

	fd = application(SOCK_STREAM);
	len = query_make(wire + 2, "big.example.com.", KNOT_RRTYPE_TXT, 0, false);
	knot_wire_write_u16(wire, (uint16_t)len);
	assert_int_equal(send(fd, wire, len + 2, 0), (ssize_t)len + 2);
	assert_true(receive_tcp(fd, 2000));
	assert_false(knot_wire_get_tc(answer->wire));
	assert_int_equal(knot_pkt_section(answer, KNOT_ANSWER)->count, 30);
	close(fd);
}

static void file_write(const char *dir, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void expect_servers(const char *first, unsigned count)
{
	const knot_dname_t root[1] = {0};
	const struct ntmd_dns_servers *servers;
	struct ntm_endpoint ep;
	char text[NTM_ENDPOINT_TEXT];

	dns->file_checked_ms -= dns->file_checked_ms ? 1001 : 0;
	servers = ntmd_dns_servers_for(dns, root);
	assert_int_equal(servers->count, count);
	if (!count)
		return;
	assert_int_equal(ntm_endpoint_from_sockaddr(&ep, (const struct sockaddr *)&servers->server[0].sa), 0);
	assert_string_equal(ntm_endpoint_format(&ep, text), first);
}

static void servers_come_from_resolv_conf(void **state)
{
	static const char *const names[] = {"resolv.conf", "resolv.conf.ntm-saved", "uplink"};
	char dir[32] = "/tmp/ntm-dns-XXXXXX", conf[128], uplink[128];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(conf, sizeof(conf), "%s/resolv.conf", dir);
	snprintf(uplink, sizeof(uplink), "%s/uplink", dir);
	ntmd_dns_upstream_set(dns, NULL, 0);
	ntmd_dns_servers_files(dns, conf, uplink);
	expect_servers(NULL, 0);
	file_write(dir, "resolv.conf",
		   "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\nnameserver nonsense\n"
		   "nameserver\t2001:db8::53\nnameserver fe80::1%lo\nnameservers 192.0.2.2");
	expect_servers("192.0.2.1:53", 3);
	assert_int_equal(((struct sockaddr_in6 *)&dns->file_servers.server[2].sa)->sin6_scope_id, 1);
	/* Read again only when it changed, and not more often than each second. */
	file_write(dir, "resolv.conf", "nameserver 192.0.2.77\n");
	assert_int_equal(ntmd_dns_servers_for(dns, (const knot_dname_t *)"")->count, 3);
	expect_servers("192.0.2.77:53", 1);
	/* Ourselves. */
	dns->listen.port = 53;
	file_write(dir, "resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.3\n");
	expect_servers("192.0.2.3:53", 1);
	/* Written by resolver_file.c. */
	file_write(dir, "resolv.conf.ntm-saved", "nameserver 192.0.2.4\n");
	file_write(dir, "resolv.conf", NTMD_RESOLV_CONF_MARK "\nnameserver 127.0.0.1\n");
	expect_servers("192.0.2.4:53", 1);
	/* systemd-resolved would ask us. */
	file_write(dir, "resolv.conf", "nameserver 127.0.0.53\n");
	expect_servers("127.0.0.53:53", 1);
	file_write(dir, "uplink", "nameserver 192.0.2.5\nnameserver 127.0.0.1\n");
	expect_servers("192.0.2.5:53", 1);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(conf, sizeof(conf), "%s/%s", dir, names[i]);
		unlink(conf);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void zone_names_are_asked_at_the_zone_servers(void **state)
{
	struct ntm_endpoint server = loopback(upstream[1].port);

	(void)state;
	ntmd_dns_zone_set(dns, "NTM.example", &server, 1);
	up_at_once = true;
	ask("cn.ntm.example.", KNOT_RRTYPE_A, 0);
	assert_virtual(KNOT_RRTYPE_A);
	assert_int_equal(upstream[0].asked, 0);
	assert_int_equal(upstream[1].asked, 4);
	ask("xntm.example.", KNOT_RRTYPE_A, 0);
	assert_int_equal(upstream[1].asked, 4);
	assert_true(upstream[0].asked > 0);
}

/* ---- NTM nodes */

static void node_is_answered_when_its_tunnel_is_up(void **state)
{
	int fd = application(SOCK_DGRAM);
	uint16_t types[2];

	(void)state;
	send_query(fd, "cn.ntm.example.", KNOT_RRTYPE_A, 0);
	send_query(fd, "cn.ntm.example.", KNOT_RRTYPE_AAAA, 0);
	assert_false(receive(fd, 100));
	assert_int_equal(directions, 1);
	assert_string_equal(directed, "cn.ntm.example");
	send_query(fd, "CN.ntm.example.", KNOT_RRTYPE_A, 0); /* joins */
	assert_false(receive(fd, 50));
	ntmd_dns_result(waiting, NTMD_DNS_UP, vip4, vip6, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(receive(fd, 100));
		types[i] = knot_pkt_qtype(answer);
		assert_virtual(types[i]);
	}
	assert_int_not_equal(types[0], types[1]);
	assert_true(receive(fd, 100));
	assert_last(1, "CN.ntm.example.", KNOT_RRTYPE_A, vip4, 4);
	assert_int_equal(directions, 1);
	assert_int_equal(abandoned, 0);
	close(fd);
}

static void node_known_already_costs_no_question(void **state)
{
	(void)state;
	up_at_once = true;
	ask("cn.ntm.example.", KNOT_RRTYPE_A, 0);
	assert_virtual(KNOT_RRTYPE_A);
	assert_in_range(upstream[0].asked, 1, 4);
	upstream[0].asked = 0;
	ask("cn.ntm.example.", KNOT_RRTYPE_AAAA, 0);
	assert_virtual(KNOT_RRTYPE_AAAA);
	assert_int_equal(upstream[0].asked, 0);
	assert_int_equal(directions, 2);
}

static void node_without_the_family_has_no_address_of_it(void **state)
{
	static const uint8_t none[4];

	(void)state;
	int fd = application(SOCK_DGRAM);

	send_query(fd, "six.ntm.example.", KNOT_RRTYPE_A, 0);
	assert_false(receive(fd, 100));
	assert_int_equal(directions, 1);
	ntmd_dns_result(waiting, NTMD_DNS_UP, none, vip6, NULL);
	assert_true(receive(fd, 100));
	assert_int_equal(knot_pkt_ext_rcode(answer), KNOT_RCODE_NOERROR);
	assert_int_equal(knot_pkt_section(answer, KNOT_ANSWER)->count, 0);
	close(fd);
}

static void alias_counts_as_the_node_it_leads_to(void **state)
{
	int fd = application(SOCK_DGRAM);

	(void)state;
	send_query(fd, "alias.example.com.", KNOT_RRTYPE_A, 1232);
	send_query(fd, "cn.ntm.example.", KNOT_RRTYPE_A, 1232);
	assert_false(receive(fd, 100));
	assert_string_equal(directed, "cn.ntm.example");
	assert_int_equal(directions, 1);
	ntmd_dns_result(waiting, NTMD_DNS_UP, vip4, vip6, NULL);
	for (int i = 0; i < 2; i++) {
		assert_true(receive(fd, 100));
		assert_last(knot_pkt_qname(answer)[0] == 5 ? 2 : 1, "cn.ntm.example.", KNOT_RRTYPE_A, vip4,
			    4);
	}
	close(fd);
}

static void failure_is_servfail_with_its_text(void **state)
{
	int fd = application(SOCK_DGRAM);

	(void)state;
	send_query(fd, "cn.ntm.example.", KNOT_RRTYPE_A, 1232);
	assert_false(receive(fd, 100));
	ntmd_dns_result(waiting, NTMD_DNS_FAILED, NULL, NULL, "cn.ntm.example is not registered");
	assert_true(receive(fd, 100));
	assert_failed(22, "cn.ntm.example is not registered");
	close(fd);
}

static void registered_node_is_answered_after_2_s(void **state)
{
	int fd = application(SOCK_DGRAM);
	int64_t start = ntm_loop_now_ms();

	(void)state;
	send_query(fd, "cn.ntm.example.", KNOT_RRTYPE_A, 0);
	assert_false(receive(fd, 100));
	ntmd_dns_result(waiting, NTMD_DNS_REGISTERED, vip4, vip6, NULL);
	assert_true(receive(fd, 3000));
	assert_virtual(KNOT_RRTYPE_A);
	assert_in_range(ntm_loop_now_ms() - start, 1950, 1950 + SLACK_MS);
	assert_int_equal(abandoned, 1);
	close(fd);
}

static void direction_without_news_is_servfail_after_2_s(void **state)
{
	(void)state;
	assert_in_range(ask("cn.ntm.example.", KNOT_RRTYPE_A, 1232), 1950, 1950 + SLACK_MS);
	assert_failed(22, "no answer from the Direction Coordinator in time");
	assert_int_equal(abandoned, 1);
}

/* ---- applications that misbehave, and TCP */

static void nonsense_is_refused_or_ignored(void **state)
{
	static const uint8_t ixfr[] = {0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 251, 0, 1};
	uint8_t wire[512];
	int fd = application(SOCK_DGRAM);
	size_t len = query_make(wire, "www.example.com.", KNOT_RRTYPE_A, 0, false);

	(void)state;
	wire[2] |= 0x80; /* an answer */
	send(fd, wire, len, 0);
	send(fd, wire, 5, 0);
	run_ms(50);
	assert_int_equal(recv(fd, answer_wire, sizeof(answer_wire), MSG_DONTWAIT), -1);
	wire[2] = 0x28; /* an update */
	send(fd, wire, len, 0);
	run_ms(50);
	assert_int_equal(recv(fd, answer_wire, sizeof(answer_wire), MSG_DONTWAIT), 12);
	assert_int_equal(knot_wire_get_rcode(answer_wire), KNOT_RCODE_NOTIMPL);
	wire[2] = 1;
	send(fd, wire, len - 3, 0); /* cut off */
	run_ms(50);
	assert_int_equal(recv(fd, answer_wire, sizeof(answer_wire), MSG_DONTWAIT), 12);
	assert_int_equal(knot_wire_get_rcode(answer_wire), KNOT_RCODE_FORMERR);
	send(fd, ixfr, sizeof(ixfr), 0);
	run_ms(50);
	assert_int_equal(recv(fd, answer_wire, sizeof(answer_wire), MSG_DONTWAIT), 12);
	assert_int_equal(knot_wire_get_rcode(answer_wire), KNOT_RCODE_NOTIMPL);
	close(fd);
	assert_int_equal(upstream[0].asked, 0);
}

static void tcp_questions_may_come_at_once_and_in_pieces(void **state)
{
	uint8_t wire[4096];
	size_t len = 0;
	int fd = application(SOCK_STREAM);

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		size_t one = query_make(wire + len + 2, i % 2 ? "www.example.com." : "cn.ntm.example.",
					KNOT_RRTYPE_A, 0, false);

		knot_wire_write_u16(wire + len, (uint16_t)one);
		len += one + 2;
	}
	up_at_once = true;
	assert_int_equal(send(fd, wire, 51, 0), 51);
	run_ms(30);
	assert_int_equal(send(fd, wire + 51, len - 51, 0), (ssize_t)len - 51);
	shutdown(fd, SHUT_WR); /* answers are owed all the same */
	for (unsigned i = 0; i < 40; i++)
		assert_true(receive_tcp(fd, 1000));
	assert_false(receive_tcp(fd, 1000)); /* and then it is closed */
	assert_int_equal(dns->tcp_count, 0);
	close(fd);
}

static void tcp_connections_are_bounded(void **state)
{
	int fds[NTMD_DNS_TCP_MAX + 8];
	char byte;

	(void)state;
	for (unsigned i = 0; i < NTMD_DNS_TCP_MAX + 8; i++) {
		fds[i] = application(SOCK_STREAM);
		run_ms(5);
	}
	assert_int_equal(dns->tcp_count, NTMD_DNS_TCP_MAX);
	assert_int_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), 0); /* idle for longest: closed */
	assert_int_equal(recv(fds[NTMD_DNS_TCP_MAX + 7], &byte, 1, MSG_DONTWAIT), -1);
	for (unsigned i = 0; i < NTMD_DNS_TCP_MAX + 8; i++)
		close(fds[i]);
}

static void tcp_connection_with_too_many_questions_is_not_read(void **state)
{
	uint8_t wire[8192];
	size_t len = 0;
	int fd = application(SOCK_STREAM);

	(void)state;
	upstream[0].behaviour = SAYS_NOTHING;
	for (unsigned i = 0; i < NTMD_DNS_TCP_QUERIES_MAX + 36; i++) {
		size_t one = query_make(wire + len + 2, "www.example.com.", KNOT_RRTYPE_TXT, 0, false);

		knot_wire_write_u16(wire + len, (uint16_t)one);
		len += one + 2;
	}
	assert_int_equal(send(fd, wire, len, 0), (ssize_t)len);
	run_ms(50);
	assert_int_equal(dns->query_count, NTMD_DNS_TCP_QUERIES_MAX);
	upstream[0].behaviour = ANSWERS;
	ntmd_dns_kick(dns);
	for (unsigned i = 0; i < NTMD_DNS_TCP_QUERIES_MAX + 36; i++)
		assert_true(receive_tcp(fd, 1000));
	close(fd);
	run_ms(20);
	assert_int_equal(dns->tcp_count, 0);
}

static void questions_are_bounded(void **state)
{
	int fd = application(SOCK_DGRAM);
	unsigned refused = 0;
	char name[64];

	(void)state;
	upstream[0].behaviour = SAYS_NOTHING;
	for (unsigned i = 0; i < NTMD_DNS_ASKS_MAX + 10; i++) {
		snprintf(name, sizeof(name), "n%u.example.com.", i);
		send_query(fd, name, KNOT_RRTYPE_TXT, 1232);
		if (i % 16 == 0)
			run_ms(2);
	}
	while (receive(fd, 30)) {
		refused++;
		assert_failed(0, "too many questions at once");
	}
	assert_int_equal(refused, 10);
	assert_int_equal(dns->ask_count, NTMD_DNS_ASKS_MAX);
	close(fd);
}

static void closing_forgets_everything(void **state)
{
	int fd = application(SOCK_DGRAM), tcp = application(SOCK_STREAM);
	uint8_t wire[514];
	size_t len = query_make(wire + 2, "www.example.com.", KNOT_RRTYPE_TXT, 0, false);

	(void)state;
	send_query(fd, "cn.ntm.example.", KNOT_RRTYPE_A, 0);
	run_ms(50);
	assert_non_null(waiting);
	upstream[0].behaviour = SAYS_NOTHING;
	send_query(fd, "www.example.com.", KNOT_RRTYPE_A, 0);
	send_query(fd, "www.example.com.", KNOT_RRTYPE_TXT, 0);
	knot_wire_write_u16(wire, (uint16_t)len);
	assert_int_equal(send(tcp, wire, len + 2, 0), (ssize_t)len + 2);
	run_ms(50);
	assert_int_equal(dns->query_count, 4);
	ntmd_dns_close(dns);
	dns = NULL;
	assert_int_equal(abandoned, 1);
	close(fd);
	close(tcp);
}

static void taken_port_is_explained(void **state)
{
	const struct ntmd_dns_ops ops = {.direct = on_direct, .abandoned = on_abandoned};
	struct ntm_endpoint listen = dns->listen;
	struct ntmd_dns *second;
	char why[256];

	(void)state;
	assert_int_equal(ntmd_dns_open(&second, base, &listen, NULL, 0, &ops, NULL, why, sizeof(why)),
			 -EADDRINUSE);
	assert_non_null(strstr(why, "another program answers there"));
}

static void cache_is_bounded_and_forgets(void **state)
{
	struct ntmd_dns_cache *cache = dns->cache;
	knot_dname_storage_t first, name;
	const uint8_t *wire;
	char text[32];
	size_t len;

	(void)state;
	assert_non_null(knot_dname_from_str(first, "n0.", sizeof(first)));
	for (unsigned i = 0; i <= NTMD_DNS_CACHE_MAX; i++) {
		snprintf(text, sizeof(text), "n%u.", i);
		assert_non_null(knot_dname_from_str(name, text, sizeof(name)));
		ntmd_dns_cache_put(cache, name, NTMD_DNS_ORDINARY, NULL, 0, 1);
	}
	assert_int_equal(ntmd_dns_cache_find(cache, first, &wire, &len), NTMD_DNS_UNKNOWN);
	assert_int_equal(ntmd_dns_cache_find(cache, name, &wire, &len), NTMD_DNS_ORDINARY);
	run_ms(1010);
	assert_int_equal(ntmd_dns_cache_find(cache, name, &wire, &len), NTMD_DNS_UNKNOWN);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ordinary_name_is_answered_as_upstream_has_it),
		T(other_family_is_not_waited_for),
		T(name_that_does_not_exist_is_nxdomain),
		T(dropped_ntm_questions_cost_300_ms_once),
		T(other_types_are_forwarded),
		T(do_bit_is_passed_on),
		T(same_questions_share_one_upstream),
		T(forged_answers_are_passed_over),
		T(ids_and_ports_differ),
		T(silent_server_is_followed_by_the_next),
		T(failing_and_absent_servers_are_followed_at_once),
		T(lost_question_is_sent_again),
		T(kick_sends_again_at_once),
		T(silence_ends_in_servfail_after_5_s),
		T(no_server_is_said),
		T(server_without_edns_is_asked_without),
		T(truncated_answer_is_fetched_by_tcp),
		T(servers_come_from_resolv_conf),
		T(zone_names_are_asked_at_the_zone_servers),
		T(node_is_answered_when_its_tunnel_is_up),
		T(node_known_already_costs_no_question),
		T(node_without_the_family_has_no_address_of_it),
		T(alias_counts_as_the_node_it_leads_to),
		T(failure_is_servfail_with_its_text),
		T(registered_node_is_answered_after_2_s),
		T(direction_without_news_is_servfail_after_2_s),
		T(nonsense_is_refused_or_ignored),
		T(tcp_questions_may_come_at_once_and_in_pieces),
		T(tcp_connections_are_bounded),
		T(tcp_connection_with_too_many_questions_is_not_read),
		T(questions_are_bounded),
		T(closing_forgets_everything),
		T(taken_port_is_explained),
		T(cache_is_bounded_and_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
