/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_ntmctl.c - the program ntmctl against a daemon made up here: the control socket is the real one
 * (lib/control.c), the answers are canned. Checked are what ntmctl asks, what it prints, and how it exits.
 *
 * The program is $NTM_BIN/ntmctl (.output/ntmctl); without it the tests are skipped.
 */
#include "ntmctl_world.h"

static void a_bare_ntmctl_is_status(void **state)
{
	static const char text[] = "name:            mn.ntm.example\n"
				   "virtual IPv4:    198.18.0.1\n"
				   "virtual IPv6:    fd4e:544d:1::1\n"
				   "registered:      yes\n"
				   "DC:              dc.ntm.example 203.0.113.10:6866 up 0.412 ms\n"
				   "relays:          rs1.ntm.example 203.0.113.20:6866 0.900 ms\n"
				   "                 rs2.ntm.example 203.0.113.21:6866 no answer\n"
				   "real addresses:  192.168.1.2\n"
				   "                 2001:db8::2\n"
				   "seen outside as: 198.51.100.7:40001\n"
				   "NAT:             easy\n"
				   "tunnels:         2\n"
				   "engine:          user\n"
				   "ciphers:         chacha20-poly1305 by openssl ns for 1420 bytes: 850\n"
				   "                 aes-256-gcm by libipsec-mb ns for 1420 bytes: 118\n"
				   "offloads:        tso=yes uso=no udp_segment=yes udp_gro=yes\n"
				   "data threads:    2\n"
				   "socket buffers:  to receive 208.0 KiB to send 4.0 MiB lost packets: 3\n"
				   "larger ones by:  sysctl -w net.core.rmem_max=4194304\n"
				   "device:          ntm0\n"
				   "DNS:             resolv.conf at 127.0.0.54:53\n"
				   "public key:      " PUBLIC_KEY "\n"
				   "running for:     3 min 2 s\n"
				   "version:         0.1.0\n";

	(void)state;
	skip_without_program();
	assert_run(ARGS("--socket", sock), 0, text);
	assert_run(ASK("status"), 0, text);
}

static void json_is_what_the_daemon_said(void **state)
{
	char expected[sizeof(status_json) + 1];

	(void)state;
	skip_without_program();
	snprintf(expected, sizeof(expected), "%s\n", status_json);
	assert_run(ASK("-j"), 0, expected);
	assert_run(ASK("-j", "tunnel", "list"), 0, "[{" TUNNEL "}]\n");
	assert_run(ASK("tunnel", "list", "--json"), 0, "[{" TUNNEL "}]\n");
	assert_run(ASK("-j", "dc", "node", "list"), 0, "[]\n");
	assert_run(ASK("-j", "dc", "node", "del", "mn.ntm.example"), 0, "null\n");
	assert_run(ASK("-p", "tunnel", "close", "cn.ntm.example"), 0,
		   "{\n  \"path_id\": \"00c0ffee00c0ffee\"\n}\n");
}

static void tunnels_are_listed_shown_and_closed(void **state)
{
	(void)state;
	skip_without_program();
	assert_run(ASK("tunnel", "list"), 0,
		   "PEER            PATH ID           STATE          UP       RTT  RECEIVED    SENT  CIPHER       ROUTE\n"
		   "cn.ntm.example  00c0ffee00c0ffee  up     1 min 15 s  1.234 ms  12.3 MiB  1000 B  aes-256-gcm  "
		   "relay rs1.ntm.example 203.0.113.20:6866\n");
	assert_run(ASK("tunnel", "show", "CN.ntm.Example."), 0,
		   "peer:           cn.ntm.example\n"
		   "Path ID:        00c0ffee00c0ffee\n"
		   "state:          up\n"
		   "up for:         1 min 15 s\n"
		   "virtual IPv4:   198.18.0.2\n"
		   "virtual IPv6:   fd4e:544d:1::2\n"
		   "route:          relay rs1.ntm.example 203.0.113.20:6866\n"
		   "kind of route:  relay\n"
		   "local:          192.168.1.2:6866\n"
		   "remote:         203.0.113.20:6866\n"
		   "standby relay:  rs1.ntm.example 203.0.113.20:6866 bound: yes\n"
		   "round trip:     1.234 ms\n"
		   "received:       12.3 MiB in packets: 9001\n"
		   "sent:           1000 B in packets: 10\n"
		   "drops:          3\n"
		   "held packets:   0\n"
		   "engine:         user\n"
		   "lane:           bulk\n"
		   "cipher:         aes-256-gcm\n"
		   "age of the key: 1 min 1 s\n"
		   "key phase:      2\n"
		   "side:           requester\n"
		   "peer's key:     " PUBLIC_KEY "\n"
		   "\n"
		   "ROUTE    STATE    RTT  LOCAL             REMOTE\n"
		   "direct4  probing    -  192.168.1.2:6866  203.0.113.5:6866\n");
	assert_asked("command", "tunnel show");
	assert_asked("peer", "cn.ntm.example");
	assert_run(ASK("tunnel", "close", "00c0ffee00c0ffee"), 0, "closed the tunnel 00c0ffee00c0ffee\n");
	assert_asked("peer", "00c0ffee00c0ffee");
}

static void the_daemons_reason_is_told_with_status_1(void **state)
{
	(void)state;
	skip_without_program();
	assert_refused(ASK("tunnel", "show", "nobody.ntm.example"), 1,
		       "there is no tunnel to nobody.ntm.example");
	assert_refused(ASK("-j", "tunnel", "close", "nobody.ntm.example"), 1, "no tunnel to nobody");
	assert_refused(ASK("rs", "tunnel", "list", "more"), 2, "\"more\" is too much");
}

static void the_node_commands_print_text(void **state)
{
	(void)state;
	skip_without_program();
	assert_run(ASK("path", "explain", "cn.ntm.example"), 0,
		   "peer:    cn.ntm.example\nPath ID: 00c0ffee00c0ffee\ntaken:   relay\n\n"
		   "ROUTE    BY               VERDICT  WHY\n"
		   "direct6  -                no       cn.ntm.example has no IPv6\n"
		   "relay    rs1.ntm.example  taken    least round trip\n");
	assert_asked("fqdn", "cn.ntm.example");
	assert_run(ASK("netcheck"), 0,
		   "IPv4:           yes\nIPv6:           no\nreal addresses: 192.168.1.2\nNAT:            hard\n"
		   "device MTU:     1420\n"
		   "path MTU:       1400 to rs1.ntm.example 203.0.113.20:6866 by kernel\n"
		   "                at least 1480 to cn.ntm.example 203.0.113.5:6866 by answer\n"
		   "DC:             dc.ntm.example\n"
		   "relays:         rs1.ntm.example no answer\n");
	assert_run(ASK("stats"), 0, "drops.replay       12\ndrops.no_path      0\nengine.rx_packets  5\n");
}

static void the_dc_commands_print_text(void **state)
{
	(void)state;
	skip_without_program();
	assert_run(ASK("dc", "node", "add", "MN.ntm.example", PUBLIC_KEY), 0,
		   "name:         mn.ntm.example\nvirtual IPv4: 198.18.0.1\nvirtual IPv6: fd4e:544d:1::1\n");
	assert_asked("command", "node add");
	assert_asked("fqdn", "mn.ntm.example");
	assert_asked("public_key", PUBLIC_KEY);
	assert_run(ASK("dc", "node", "del", "mn.ntm.example"), 0, "mn.ntm.example is no member any more\n");
	assert_run(ASK("dc", "node", "list"), 0,
		   "no members; `ntmctl dc node add FQDN PUBLIC_KEY` makes one\n");
	assert_run(ASK("dc", "relay", "list"), 0,
		   "RELAY            STATE       RTT  PATHS  PACKETS/S    BYTES/S     CPU  ENDPOINTS\n"
		   "rs1.ntm.example  up     0.200 ms      7       1000  2.0 KiB/s  12.5 %  "
		   "203.0.113.20:6866 [2001:db8::20]:6866\n");
	assert_run(ASK("dc", "path", "list"), 0,
		   "PATH ID           AGE  REQUESTER       CORRESPONDENT   RELAY\n"
		   "00c0ffee00c0ffee  5 s  mn.ntm.example  cn.ntm.example  -\n");
}

static void what_a_status_has_beyond_its_description_is_shown_too(void **state)
{
	(void)state;
	skip_without_program();
	assert_run(ASK("dc", "status"), 0,
		   "virtual IPv4:   198.18.0.1\nvirtual IPv6:   fd4e:544d:1::1\nregistered now: yes\n"
		   "relays:         name=rs1.ntm.example rtt_us=900 endpoint=203.0.113.20:6866 "
		   "name=rs2.ntm.example rtt_us=- endpoint=203.0.113.21:6866\n"
		   "public key:     " PUBLIC_KEY "\nrunning for:    3 min 2 s\nversion:        0.1.0\n"
		   "fqdn                         mn.ntm.example\n"
		   "dc.name                      dc.ntm.example\n"
		   "dc.endpoint                  203.0.113.10:6866\n"
		   "dc.rtt_us                    412\n"
		   "dc.state                     up\n"
		   "engine                       user\n"
		   "ciphers.0.name               chacha20-poly1305\n"
		   "ciphers.0.implementation     openssl\n"
		   "ciphers.0.ns_per_1420        850\n"
		   "ciphers.1.name               aes-256-gcm\n"
		   "ciphers.1.implementation     libipsec-mb\n"
		   "ciphers.1.ns_per_1420        118\n"
		   "offloads.tso                 yes\n"
		   "offloads.uso                 no\n"
		   "offloads.udp_segment         yes\n"
		   "offloads.udp_gro             yes\n"
		   "threads                      2\n"
		   "socket_buffer.receive_bytes  212992\n"
		   "socket_buffer.send_bytes     4194304\n"
		   "socket_buffer.overruns       3\n"
		   "socket_buffer.advice         sysctl -w net.core.rmem_max=4194304\n"
		   "nat                          easy\n"
		   "real                         192.168.1.2 2001:db8::2\n"
		   "observed                     198.51.100.7:40001\n"
		   "tunnels                      2\n"
		   "device                       ntm0\n"
		   "dns.mode                     resolv.conf\n"
		   "dns.listen                   127.0.0.54:53\n");
}

static void a_ping_tells_each_reply_and_whether_any_came(void **state)
{
	(void)state;
	skip_without_program();
	assert_run(ASK("ping", "cn.ntm.example", "-c", "2", "-i", "0.2"), 0,
		   "reply from cn.ntm.example: seq=1 time=0.412 ms via direct 203.0.113.5:6866\n"
		   "no reply from cn.ntm.example: seq=2\n"
		   "cn.ntm.example: 2 sent, 1 received, 50 % lost, "
		   "round trip min/avg/max 0.412/0.412/0.412 ms\n");
	assert_asked("fqdn", "cn.ntm.example");
	assert_int_equal(ntm_control_arg_int(asked, "count", 0), 2);
	assert_int_equal(ntm_control_arg_int(asked, "interval_ms", 0), 200);
	assert_run(ASK("-j", "ping", "cn.ntm.example"), 0,
		   "{\"sent\":2,\"received\":1,\"min_us\":412,\"avg_us\":412,\"max_us\":412,\"replies\":["
		   "{\"seq\":1,\"rtt_us\":412,\"route\":\"direct\",\"remote\":\"203.0.113.5:6866\"},"
		   "{\"seq\":2,\"timeout\":true}]}\n");
	assert_run(ASK("ping", "nobody.ntm.example"), 1,
		   "no reply from nobody.ntm.example: seq=2\n"
		   "nobody.ntm.example: 1 sent, 0 received, 100 % lost\n");
	assert_refused(ASK("ping", "cn.ntm.example", "-c", "0"), 2, "a number from 1");
	assert_refused(ASK("ping", "cn.ntm.example", "-c", "2x"), 2, "a number from 1");
	assert_refused(ASK("ping", "cn.ntm.example", "-i", "nan"), 2, "seconds from 0.01");
	assert_refused(ASK("ping", "cn.ntm.example", "-c"), 2, "needs a value");
	assert_refused(ASK("status", "-c", "2"), 2, "has no option -c");
}

static void events_are_a_line_each(void **state)
{
	(void)state;
	skip_without_program();
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	assert_run(ASK("monitor"), 1, "2025-11-21 22:43:26.043 tunnel_up peer=cn.ntm.example\n"
				      "2025-11-21 22:43:27.500 end\n");
	assert_run(ASK("-j", "monitor"), 1,
		   "{\"time\":1763765006.0426,\"event\":\"tunnel_up\",\"peer\":\"cn.ntm.example\"}\n"
		   "{\"time\":1763765007.5,\"event\":\"end\"}\n");
}

static void wrong_usage_is_explained_with_status_2(void **state)
{
	(void)state;
	skip_without_program();
	assert_refused(ASK("staus"), 2, "unknown command \"staus\"; there are:\n  key gen");
	assert_refused(ASK("tunnel", "lst"), 2, "unknown command \"tunnel lst\"; there are:\n  tunnel list");
	assert_refused(ASK("dc", "node"), 2, "\"dc node\" is not a whole command; there are:\n  dc node add");
	assert_refused(ASK("status list"), 2, "unknown command");
	assert_refused(ASK("tunnel", "show"), 2, "usage: ntmctl tunnel show FQDN|PATH_ID");
	assert_refused(ASK("tunnel", "show", "no..name"), 2, "is no name of a node");
	assert_refused(ASK("dc", "node", "add", "mn.ntm.example", "short"), 2, "is no public key");
	assert_refused(ASK("status", "-x"), 2, "unknown option -x");
	assert_refused(ASK("status", "--what"), 2, "unknown option --what");
	assert_refused(ARGS("--socket"), 2, "--socket needs a value");
}

static void help_and_version_need_no_daemon(void **state)
{
	const char *const *const lines[] = { ARGS("-h"), ARGS("--help"), ARGS("tunnel", "-h"),
					     ARGS("ping", "-h"), ARGS("dc", "node", "add", "--help") };
	static const char *const words[] = { "netcheck", "rs monitor", "tunnel close", "-i SECONDS",
					     "PUBLIC_KEY" };
	struct run run;

	(void)state;
	skip_without_program();
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		run_as(&run, 0, "", lines[i]);
		assert_int_equal(run.status, 0);
		assert_non_null(strstr(run.out, words[i]));
		assert_string_equal(run.err, "");
		run_end(&run);
	}
	run_as(&run, 0, "", ARGS("-V"));
	assert_int_equal(run.status, 0);
	assert_memory_equal(run.out, "ntmctl ", 7);
	run_end(&run);
}

static void without_a_daemon_it_says_where_it_looked_and_how_to_start_one(void **state)
{
	char nowhere[128], words[256];

	(void)state;
	skip_without_program();
	snprintf(nowhere, sizeof(nowhere), "%s/nowhere.sock", dir);
	snprintf(words, sizeof(words), "nobody answers at %s\n", nowhere);
	assert_refused(ARGS("--socket", nowhere), 1, words);
	assert_refused(ARGS("--socket", nowhere, "tunnel", "list"), 1,
		       "`systemctl start ntmd` or `ntmd -c /etc/ntm/ntmd.conf`");
	assert_refused(ARGS("--socket", nowhere, "dc", "status"), 1, "`ntm-dc -c /etc/ntm/dc.conf`");
	assert_refused(ARGS("--socket", nowhere, "rs", "status"), 1, "`ntm-rs -c /etc/ntm/rs.conf`");
}

static void without_permission_it_says_who_has_it(void **state)
{
	struct run run;

	(void)state;
	skip_without_program();
	assert_int_equal(chmod(sock, 0), 0); /* root may all the same, so it becomes nobody */
	assert_int_equal(chmod(dir, 0755), 0);
	run_as(&run, getuid() ? 0 : NOBODY, "", ASK("status"));
	assert_int_equal(chmod(sock, 0660), 0);
	assert_int_equal(run.status, 1);
	assert_string_equal(run.out, "");
	assert_non_null(strstr(run.err, "no permission for "));
	assert_non_null(strstr(run.err, "as root"));
	run_end(&run);
}

static void public_keys_come_from_private_ones(void **state)
{
	static const char *const bad[] = { "", "\n", "short\n", PRIVATE_KEY "A\n",
					   PRIVATE_KEY "\n" PRIVATE_KEY "\n",
					   ("!" PUBLIC_KEY) };
	struct run run;

	(void)state;
	skip_without_program();
	run_as(&run, 0, PRIVATE_KEY "\n", ARGS("key", "pub"));
	assert_int_equal(run.status, 0);
	assert_string_equal(run.out, PUBLIC_KEY "\n");
	run_end(&run);
	run_as(&run, 0, PRIVATE_KEY, ARGS("key", "pub", "-j"));
	assert_string_equal(run.out, "{\"public_key\":\"" PUBLIC_KEY "\"}\n");
	run_end(&run);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		run_as(&run, 0, bad[i], ARGS("key", "pub"));
		assert_int_equal(run.status, 1);
		assert_string_equal(run.out, "");
		assert_non_null(strstr(run.err, "no private key on standard input"));
		run_end(&run);
	}
}

static void private_keys_are_new_clamped_and_well_formed(void **state)
{
	char before[NTM_KEY_TEXT_LEN + 2] = "";
	uint8_t key[NTM_KEY_LEN];
	struct run run;

	(void)state;
	skip_without_program();
	for (int i = 0; i < 8; i++) {
		run_as(&run, 0, "", ARGS("key", "gen"));
		assert_int_equal(run.status, 0);
		assert_string_equal(run.err, "");
		assert_int_equal(strlen(run.out), NTM_KEY_TEXT_LEN + 1);
		assert_string_not_equal(run.out, before);
		strcpy(before, run.out);
		run.out[NTM_KEY_TEXT_LEN] = '\0';
		assert_int_equal(ntm_key_parse(key, run.out), 0);
		assert_int_equal(key[0] & 7, 0);
		assert_int_equal(key[31] & 0xc0, 0x40);
		run_end(&run);
	}
}

static int status_of_shell(const char *command)
{
	int status = system(command);

	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_private_key_in_a_file_for_all_is_warned_of(void **state)
{
	static const char *const masks[] = { "022", "077" };
	static const char *const tests[] = { "grep -q 'chmod 600' w", "test ! -s w && test -s k" };
	char command[512];

	(void)state;
	skip_without_program();
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		snprintf(command, sizeof(command),
			 "cd %s && umask %s && /proc/%d/fd/%d key gen >k 2>w && %s; r=$?; rm -f k w; exit $r",
			 dir, masks[i], (int)getpid(), program, tests[i]);
		assert_int_equal(status_of_shell(command), 0);
	}
}

static void a_full_disk_is_not_success(void **state)
{
	static const char *const args[] = { "-h", "key gen" };
	char command[512];

	(void)state;
	skip_without_program();
	if (access("/dev/full", W_OK))
		skip();
	for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		snprintf(command, sizeof(command), "/proc/%d/fd/%d %s >/dev/full 2>/dev/null", (int)getpid(),
			 program, args[i]);
		assert_int_equal(status_of_shell(command), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bare_ntmctl_is_status),
		cmocka_unit_test(json_is_what_the_daemon_said),
		cmocka_unit_test(tunnels_are_listed_shown_and_closed),
		cmocka_unit_test(the_daemons_reason_is_told_with_status_1),
		cmocka_unit_test(the_node_commands_print_text),
		cmocka_unit_test(the_dc_commands_print_text),
		cmocka_unit_test(what_a_status_has_beyond_its_description_is_shown_too),
		cmocka_unit_test(a_ping_tells_each_reply_and_whether_any_came),
		cmocka_unit_test(events_are_a_line_each),
		cmocka_unit_test(wrong_usage_is_explained_with_status_2),
		cmocka_unit_test(help_and_version_need_no_daemon),
		cmocka_unit_test(without_a_daemon_it_says_where_it_looked_and_how_to_start_one),
		cmocka_unit_test(without_permission_it_says_who_has_it),
		cmocka_unit_test(public_keys_come_from_private_ones),
		cmocka_unit_test(private_keys_are_new_clamped_and_well_formed),
		cmocka_unit_test(a_private_key_in_a_file_for_all_is_warned_of),
		cmocka_unit_test(a_full_disk_is_not_success),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
