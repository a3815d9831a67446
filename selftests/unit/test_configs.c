/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_configs.c - what ntmd.conf, dc.conf and rs.conf may hold (daemon/config.c, dc/config.c, rs/config.c): every value
 * that is none is refused with file and line, before anything is opened. The reader itself: test_config.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/ntmd.h"
#include "dc/dc.h"
#include "rs/rs.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define LONG16 "abcdefghijklmnop"
#define LONG108 "/" LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 "abcdefghijk"

static char config_path[] = "/tmp/ntm-test-configs-XXXXXX", key_path[] = "/tmp/ntm-test-configs-key-XXXXXX";
static char why[1024];

static int files_make(void **state)
{
	int fd = mkstemp(config_path), key = mkstemp(key_path);

	(void)state;
	if (fd < 0 || key < 0 || write(key, KEY "\n", sizeof(KEY)) != sizeof(KEY))
		return -1;
	close(fd);
	return close(key);
}

static int files_remove(void **state)
{
	(void)state;
	return unlink(config_path) || unlink(key_path);
}

static int ntmd_read(void)
{
	struct ntmd_config config;
	int err = ntmd_config_read(&config, config_path, why, sizeof(why));

	ntmd_config_clear(&config);
	return err;
}

static int dc_read(void)
{
	struct dc_config config;
	int err = dc_config_read(&config, config_path, why, sizeof(why));

	if (!err)
		dc_config_clear(&config);
	return err;
}

static int rs_read(void)
{
	static struct rs_config config; /* 64 DCs */
	int err = rs_config_read(&config, config_path, why, sizeof(why));

	if (!err)
		rs_config_clear(&config);
	return err;
}

enum { NTMD, DC, RS };

/* What each needs at least, in 8 lines; a line of the test follows as the ninth. %s: the file of the key. */
static const struct {
	const char *text;
	int (*read)(void);
} program[] = {
	[NTMD] = {"[node]\nfqdn = mn.ntm.example\nprivate-key-file = %s\n\n\n[dc]\npublic-key = " KEY
		  "\nendpoint = 192.0.2.1\n",
		  ntmd_read},
	[DC] = {"[relay \"rs1.ntm.example\"]\npublic-key = " KEY
		"\nendpoint = 192.0.2.2\n[dc]\nname = dc.ntm.example\nzone = ntm.example\nprivate-key-file = %s\nlisten = 192.0.2.1\n",
		dc_read},
	[RS] = {"[dc \"dc.ntm.example\"]\npublic-key = " KEY
		"\n\n\n[rs]\nname = rs1.ntm.example\nprivate-key-file = %s\nlisten = 192.0.2.2\n",
		rs_read},
};

static int config_read(int which, const char *section, const char *line)
{
	FILE *file = fopen(config_path, "w");

	assert_non_null(file);
	fprintf(file, program[which].text, key_path);
	if (section)
		fprintf(file, "[%s]\n", section);
	fprintf(file, "%s\n", line);
	assert_int_equal(fclose(file), 0);
	*why = 0;
	return program[which].read();
}

/* The line is the tenth behind a section of its own, else the ninth. */
struct config_case {
	int which;
	const char *section, *line;
};

static const struct config_case bad[] = {
	{NTMD, "node", "device = " LONG16},
	{NTMD, "node", "device = a/b"},
	{NTMD, "node", "device = a b"},
	{NTMD, "node", "device = eth%d"},
	{NTMD, "node", "device = .."},
	{NTMD, "node", "control-socket = " LONG108},
	{NTMD, "node", "rekey-after = 0"},
	{NTMD, "node", "rekey-after = 121"},
	{NTMD, "node", "rekey-after = x"},
	{NTMD, "datapath", "paths = 0"},
	{NTMD, "datapath", "paths = 65537"},
	{NTMD, "datapath", "mtu = 1279"},
	{NTMD, "datapath", "mtu = 65001"},
	{NTMD, "datapath", "interface = a/b"},
	{NTMD, "datapath", "interface = eth0\ninterface = eth0"},
	{NTMD, "datapath", "pin-dir = pins"},
	{NTMD, "datapath", "pin-dir = /"},
	{RS, "datapath", "pin-dir = pins"},
	{RS, "datapath", "pin-dir = //"},
	{NTMD, "datapath", "threads = +5"},
	{NTMD, "datapath", "threads = 33"},
	{NTMD, "datapath", "tun-fd = 2"},
	{NTMD, NULL, "endpoint = 192.0.2.1:0"},
	{NTMD, NULL, "endpoint = 0.0.0.0"},
	{NTMD, NULL, "endpoint = [::]:6866"},
	{NTMD, NULL, "endpoint = 224.0.0.1"},
	{NTMD, NULL, "endpoint = [ff02::1]:6866"},
	{NTMD, NULL, "endpoint = 255.255.255.255"},
	{NTMD, "dns", "listen = 127.0.0.1:0"},
	{NTMD, "dns", "listen = 224.0.0.1"},
	{NTMD, "dns", "upstream = 192.0.2.53:0"},
	{NTMD, "dns", "upstream = 0.0.0.0"},
	{NTMD, "pin \"cn.ntm.example\"", "public-key = " ZEROS},
	{NTMD, "interface \"eth0\"", "metric = -1"},
	{DC, NULL, "listen = 0.0.0.0"},
	{DC, NULL, "listen = 192.0.2.1:6866"}, /* twice */
	{DC, NULL, "listen = 224.0.0.1"},
	{DC, NULL, "control-socket = " LONG108},
	{DC, NULL, "database = mysql:x"},
	{DC, NULL, "database = sqlite:"},
	{DC, NULL, "virtual4 = 127.0.0.0/8"},
	{DC, NULL, "virtual4 = 224.0.0.0/8"},
	{DC, NULL, "virtual4 = 0.0.0.0/8"},
	{DC, NULL, "virtual6 = ff00::/8"},
	{DC, NULL, "virtual6 = fe80::/64"},
	{DC, NULL, "virtual6 = ::/8"},
	{DC, "dns", "listen = 192.0.2.1:0"},
	{DC, "dns", "listen = 224.0.0.1"},
	{RS, NULL, "listen = 224.0.0.1"},
	{RS, NULL, "control-socket = " LONG108},
	{RS, "datapath", "interface = a b"},
	{RS, "datapath", "interface = eth0\ninterface = eth0"},
};

static void bad_values_are_refused_with_their_line(void **state)
{
	char where[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int line = bad[i].section ? 10 : 9;

		if (strchr(bad[i].line, '\n'))
			line++;
		snprintf(where, sizeof(where), "%s:%d: ", config_path, line);
		if (!config_read(bad[i].which, bad[i].section, bad[i].line))
			fail_msg("%s is taken", bad[i].line);
		if (strncmp(why, where, strlen(where)) || !strstr(why, "expected "))
			fail_msg("%s: %s", bad[i].line, why);
	}
}

static const struct config_case good[] = {
	{NTMD, "node", "device = ntm-0.1_x"},
	{NTMD, "node", "rekey-after = 120"},
	{NTMD, "datapath", "paths = 65536"},
	{NTMD, "datapath", "mtu = 0"},
	{NTMD, "datapath", "mtu = 1280"},
	{NTMD, "datapath", "threads = 32"},
	{NTMD, "datapath", "interface = eth0.10\ninterface = eth1"},
	{NTMD, NULL, "endpoint = [2001:db8::1]:1"},
	{NTMD, "dns", "listen = 127.0.0.54"},
	{NTMD, "dns", "upstream = [::1]:5353"},
	{DC, NULL, "listen = 127.0.0.1:1"},
	{DC, NULL, "virtual4 = 100.64.0.0/10"},
	{DC, NULL, "virtual6 = fd00::/8"},
	{DC, "dns", "listen = 0.0.0.0"},
	{RS, NULL, "listen = [::]:6867"},
};

static void good_values_are_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (config_read(good[i].which, good[i].section, good[i].line))
			fail_msg("%s: %s", good[i].line, why);
}

static void a_bad_key_file_is_named_with_its_section(void **state)
{
	(void)state;
	assert_int_equal(chmod(key_path, 0644), 0);
	assert_int_equal(config_read(DC, NULL, ""), -EINVAL);
	assert_non_null(strstr(why, "[dc] private-key-file: "));
	assert_non_null(strstr(why, "chmod 600"));
	assert_int_equal(config_read(RS, NULL, ""), -1);
	assert_non_null(strstr(why, "[rs] private-key-file: "));
	assert_int_equal(chmod(key_path, 0600), 0);
	assert_int_equal(config_read(RS, NULL, ""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_values_are_refused_with_their_line),
		cmocka_unit_test(good_values_are_taken),
		cmocka_unit_test(a_bad_key_file_is_named_with_its_section),
	};

	return cmocka_run_group_tests(tests, files_make, files_remove);
}
