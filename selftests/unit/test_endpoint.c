/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_endpoint.c - lib/endpoint.c: addresses, endpoints and names as text, as sockaddrs, and what kind they
 * are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "endpoint.h"

static struct ntm_addr addr_of(const char *text)
{
	struct ntm_addr addr;

	assert_int_equal(ntm_addr_parse(&addr, text), 0);
	return addr;
}

static void addresses_survive_text_and_ipv4_is_mapped(void **state)
{
	static const char *const texts[] = {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1",
					    "::",	 "::1",	    "fe80::1"};
	char out[NTM_ADDR_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ntm_addr addr = addr_of(texts[i]);

		assert_string_equal(ntm_addr_format(&addr, out), texts[i]);
		assert_int_equal(ntm_addr_is4(&addr), i < 3);
		assert_int_equal(ntm_addr_is_none(&addr), i == 4);
	}
	assert_string_equal(ntm_addr_format(&(struct ntm_addr){{[10] = 0xff, 0xff, 1, 2, 3, 4}}, out),
			    "1.2.3.4");
}

static void text_that_is_no_address_is_refused_and_changes_nothing(void **state)
{
	static const char *const texts[] = {"",		"1.2.3",	 "1.2.3.4.5",  "256.1.1.1",
					    " 1.2.3.4", "1.2.3.4 ",	 "fe80::1%lo", "::g",
					    "[::1]",	"mn.ntm.example"};
	struct ntm_addr addr, before;

	(void)state;
	memset(&addr, 0xa5, sizeof(addr));
	before = addr;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(ntm_addr_parse(&addr, texts[i]), -EINVAL);
	assert_memory_equal(&addr, &before, sizeof(addr));
}

static void each_kind_of_address_is_known(void **state)
{
	static const struct {
		const char *text;
		bool global, usable;
	} kind[] = {
		{"8.8.8.8", true, true},
		{"192.0.2.1", true, true}, /* documentation */
		{"198.51.100.1", true, true},
		{"203.0.113.1", true, true},
		{"2001:db8::1", true, true},
		{"2400:cb00::1", true, true},
		{"9.255.255.255", true, true},
		{"10.0.0.1", false, true},
		{"11.0.0.0", true, true},
		{"100.63.255.255", true, true},
		{"100.64.0.1", false, true},
		{"100.127.255.255", false, true},
		{"100.128.0.0", true, true},
		{"172.15.255.255", true, true},
		{"172.16.0.1", false, true},
		{"172.31.255.255", false, true},
		{"172.32.0.0", true, true},
		{"192.168.1.1", false, true},
		{"192.0.0.8", false, true},
		{"198.17.255.255", true, true},
		{"198.18.0.1", false, true}, /* virtual */
		{"198.19.255.255", false, true},
		{"198.20.0.0", true, true},
		{"fd4e:544d:1::1", false, true},
		{"2001:2::1", false, true},
		{"2001:3::1", true, true},
		{"1fff::1", false, true},
		{"4000::1", false, true},
		{"0.0.0.0", false, false},
		{"0.1.2.3", false, false},
		{"127.0.0.1", false, false},
		{"169.254.1.1", false, false},
		{"224.0.0.1", false, false},
		{"239.255.255.255", false, false},
		{"240.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"::", false, false},
		{"::1", false, false},
		{"fe80::1", false, false},
		{"febf::1", false, false},
		{"fec0::1", false, true},
		{"ff02::1", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
		struct ntm_addr addr = addr_of(kind[i].text);

		if (ntm_addr_is_global(&addr) != kind[i].global ||
		    ntm_addr_is_usable(&addr) != kind[i].usable)
			fail_msg("%s is taken for the wrong kind", kind[i].text);
	}
}

static void a_prefix_holds_its_addresses_to_the_bit(void **state)
{
	struct ntm_addr net = addr_of("2001:db8:80::"), v4 = addr_of("198.18.0.0"), in, out;

	(void)state;
	in = addr_of("2001:db8:bf:ffff::1");
	out = addr_of("2001:db8:c0::");
	assert_true(ntm_addr_in_prefix(&in, &net, 42));
	assert_false(ntm_addr_in_prefix(&out, &net, 42));
	assert_true(ntm_addr_in_prefix(&out, &net, 41));
	assert_true(ntm_addr_in_prefix(&v4, &net, 0));
	assert_true(ntm_addr_in_prefix(&net, &net, 128));
	assert_false(ntm_addr_in_prefix(&in, &net, 128));
	assert_false(ntm_addr_in_prefix(&net, &net, 129));
	in = addr_of("198.19.255.255");
	out = addr_of("198.20.0.0");
	assert_true(ntm_addr_in_prefix(&in, &v4, 96 + 15));
	assert_false(ntm_addr_in_prefix(&out, &v4, 96 + 15));
}

static void endpoints_are_read_with_and_without_a_port(void **state)
{
	static const struct {
		const char *text, *out;
	} good[] = {
		{"192.0.2.1:53", "192.0.2.1:53"},
		{"192.0.2.1", "192.0.2.1:6866"},
		{"[2001:db8::1]:53", "[2001:db8::1]:53"},
		{"[2001:db8::1]", "[2001:db8::1]:6866"},
		{"2001:db8::1", "[2001:db8::1]:6866"},
		{"::ffff:192.0.2.1", "192.0.2.1:6866"},
		{"[::]:65535", "[::]:65535"},
		{"127.0.0.1:0", "127.0.0.1:0"},
	};
	static const char *const bad[] = {"",
					  ":53",
					  "192.0.2.1:",
					  "192.0.2.1:65536",
					  "192.0.2.1:-1",
					  "192.0.2.1:5x",
					  "192.0.2.1:000053",
					  "[192.0.2.1]:53",
					  "[::1",
					  "[::1]53",
					  "[::1]:",
					  "[]:53",
					  "mn.example:53",
					  "192.0.2.1:53:53",
					  "[2001:db8:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]:53"};
	char out[NTM_ENDPOINT_TEXT];
	struct ntm_endpoint ep;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(ntm_endpoint_parse(&ep, good[i].text, 6866), 0);
		assert_string_equal(ntm_endpoint_format(&ep, out), good[i].out);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (ntm_endpoint_parse(&ep, bad[i], 6866) != -EINVAL)
			fail_msg("'%s' was taken for an endpoint", bad[i]);
	}
	assert_string_equal(ntm_endpoint_format(&ep, out), "127.0.0.1:0"); /* untouched by failures */
	memset(&ep, 0, sizeof(ep));
	assert_true(ntm_endpoint_is_none(&ep));
	assert_string_equal(ntm_endpoint_format(&ep, out), "-");
}

static void endpoints_survive_sockaddrs_of_both_families(void **state)
{
	static const char *const texts[] = {"192.0.2.1:53", "[2001:db8::1]:53"};
	struct sockaddr_storage sa;
	struct ntm_endpoint a, b;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ntm_endpoint_parse(&a, texts[i], 1), 0);
		assert_int_equal(ntm_endpoint_to_sockaddr(&a, &sa),
				 i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		assert_int_equal(sa.ss_family, i ? AF_INET6 : AF_INET);
		assert_int_equal(ntm_endpoint_is4(&a), !i);
		memset(&b, 0xa5, sizeof(b));
		assert_int_equal(ntm_endpoint_from_sockaddr(&b, (struct sockaddr *)&sa), 0);
		assert_true(ntm_endpoint_equal(&a, &b));
		assert_memory_equal(&a, &b, sizeof(a));
		b.port++;
		assert_false(ntm_endpoint_equal(&a, &b));
	}
	sa.ss_family = AF_UNIX;
	assert_int_equal(ntm_endpoint_from_sockaddr(&b, (struct sockaddr *)&sa), -EAFNOSUPPORT);
}

static void names_are_lower_cased_and_checked(void **state)
{
	static const char *const bad[] = {"",	  ".",	  "..",	 "a..b", ".a",	      "a.b..", "-a.b",
					  "a-.b", "a.b-", "a b", "a/b",	 "a\xc3\xa9", "a.b\n"};
	char name[NTM_FQDN_MAX + 1], text[NTM_FQDN_MAX + 3];

	(void)state;
	assert_int_equal(ntm_name_normalise(name, "MN.Ntm.Example."), 0);
	assert_string_equal(name, "mn.ntm.example");
	assert_int_equal(ntm_name_normalise(name, "_a-1.0"), 0);
	assert_string_equal(name, "_a-1.0");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (ntm_name_normalise(name, bad[i]) != -EINVAL)
			fail_msg("'%s' was taken for a name", bad[i]);
	}
	assert_string_equal(name, "_a-1.0");
	memset(text, 'a', sizeof(text));
	text[64] = 0;
	assert_int_equal(ntm_name_normalise(name, text), -EINVAL);
	text[63] = 0;
	assert_int_equal(ntm_name_normalise(name, text), 0);
	memset(text, 'a', sizeof(text));
	for (int i = 63; i < 254; i += 64)
		text[i] = '.';
	text[254] = 0;
	assert_int_equal(ntm_name_normalise(name, text), -EINVAL); /* 254 */
	text[253] = '.'; /* closing dot: 253 */
	assert_int_equal(ntm_name_normalise(name, text), 0);
	assert_int_equal(strlen(name), 253);
}

static void a_zone_holds_itself_and_what_is_below(void **state)
{
	(void)state;
	assert_true(ntm_name_in_zone("ntm.example", "ntm.example"));
	assert_true(ntm_name_in_zone("a.mn.ntm.example", "ntm.example"));
	assert_false(ntm_name_in_zone("antm.example", "ntm.example"));
	assert_false(ntm_name_in_zone("example", "ntm.example"));
	assert_false(ntm_name_in_zone("mn.ntm.example.org", "ntm.example"));
}

int main(void)
{
	const struct CMUnitTest endpoint[] = {
		cmocka_unit_test(addresses_survive_text_and_ipv4_is_mapped),
		cmocka_unit_test(text_that_is_no_address_is_refused_and_changes_nothing),
		cmocka_unit_test(each_kind_of_address_is_known),
		cmocka_unit_test(a_prefix_holds_its_addresses_to_the_bit),
		cmocka_unit_test(endpoints_are_read_with_and_without_a_port),
		cmocka_unit_test(endpoints_survive_sockaddrs_of_both_families),
		cmocka_unit_test(names_are_lower_cased_and_checked),
		cmocka_unit_test(a_zone_holds_itself_and_what_is_below),
	};

	return cmocka_run_group_tests(endpoint, NULL, NULL);
}
