/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_resolver.c - daemon/resolver_file.c in a folder of its own, and what resolver.c refuses. No root.
 *
 * With arguments it is no test but a part of netns/resolved.sh, until SIGTERM:
 *
 *	test_resolver serve LISTEN IFINDEX UPSTREAM ZONE ZONE_SERVER
 *		the stub with its resolver; every NTM node is up at once, as 198.18.0.7 and fd4e:544d:1::7
 *	test_resolver answer LISTEN
 *		a name server: cn.ntm.example is an NTM node, everything else has the address 192.0.2.80
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <libknot/libknot.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/dns_stub.h"
#include "daemon/resolv_conf.h"
#include "daemon/resolver.h"
#include "daemon/resolver_internal.h"
#include "endpoint.h"
#include "loop.h"
#include "record.h"

static char dir[64], conf[96], saved[128];
static struct event_base *base;
static struct ntmd_resolver_file *file;
static char why[256];

static const char original[] = "# by hand\nsearch example.com\nnameserver 192.0.2.1\nnameserver fe80::1%lo\n"
			       "options edns0 timeout:2\nnameserver 2001:db8::1\n";
static const char ours[] = NTMD_RESOLV_CONF_MARK "\nnameserver 127.0.0.54\nsearch example.com\n"
						 "options edns0 timeout:2\n";

static void text_write(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static void assert_text(const char *path, const char *expected)
{
	char *text;

	assert_int_equal(ntmd_resolv_conf_read(&text, NULL, path), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void assert_absent(const char *path)
{
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(errno, ENOENT);
}

static int take_over(const char *path, uint16_t port)
{
	struct ntm_endpoint stub = {.port = port};

	ntm_addr_from4(&stub.addr, (const uint8_t[4]){127, 0, 0, 54});
	return ntmd_resolver_file_open(&file, base, path, &stub, why, sizeof(why));
}

/* What kill -9 leaves: the process's memory is gone, the files stay. */
static void forget(void)
{
	char *now;

	assert_int_equal(ntmd_resolv_conf_read(&now, NULL, conf), 0);
	assert_int_equal(rename(saved, "kept"), 0);
	text_write(conf, "");
	ntmd_resolver_file_close(file);
	text_write(conf, now);
	assert_int_equal(rename("kept", saved), 0);
	free(now);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ntm-resolver-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	snprintf(conf, sizeof(conf), "%s/resolv.conf", dir);
	snprintf(saved, sizeof(saved), "%s.ntm-saved", conf);
	base = event_base_new();
	file = NULL;
	return 0;
}

static int teardown(void **state)
{
	char link[96];

	(void)state;
	event_base_free(base);
	snprintf(link, sizeof(link), "%s/link", dir);
	unlink(link);
	unlink(conf);
	unlink(saved);
	assert_int_equal(chdir("/"), 0);
	return rmdir(dir); /* fails if a temporary file was left */
}

static void file_is_taken_over_and_restored(void **state)
{
	struct stat st;

	(void)state;
	text_write(conf, original);
	assert_int_equal(chmod(conf, 0640), 0);
	assert_int_equal(take_over(conf, 53), 0);
	assert_text(conf, ours);
	assert_text(saved, original);
	/* fe80::1%lo has a scope, which an endpoint cannot hold: the stub finds it in the saved file. */
	assert_int_equal(stat(conf, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	ntmd_resolver_file_close(file);
	assert_text(conf, original);
	assert_absent(saved);
	assert_int_equal(stat(conf, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void file_of_a_killed_daemon_is_recognised(void **state)
{
	(void)state;
	text_write(conf, original);
	assert_int_equal(take_over(conf, 53), 0);
	forget();
	assert_text(conf, ours);
	assert_text(saved, original);
	assert_int_equal(take_over(conf, 53), 0);
	assert_text(conf, ours);
	assert_text(saved, original);
	ntmd_resolver_file_close(file);
	assert_text(conf, original);
	assert_absent(saved);
}

static void file_of_another_program_is_left_alone(void **state)
{
	(void)state;
	text_write(conf, original);
	assert_int_equal(take_over(conf, 53), 0);
	text_write(conf, "nameserver 192.0.2.99\n");
	ntmd_resolver_file_close(file);
	assert_text(conf, "nameserver 192.0.2.99\n");
	assert_absent(saved);
}

static void file_replaced_while_running_is_taken_over_again(void **state)
{
	(void)state;
	text_write(conf, original);
	assert_int_equal(take_over(conf, 53), 0);
	/* A DHCP client in another network; not at once, so that two programs do not race. */
	text_write(conf, "nameserver 192.0.2.99\n");
	ntmd_resolver_file_check(file, ntm_loop_now_ms());
	assert_text(conf, "nameserver 192.0.2.99\n");
	ntmd_resolver_file_check(file, ntm_loop_now_ms() + 10000);
	assert_text(conf, NTMD_RESOLV_CONF_MARK "\nnameserver 127.0.0.54\n");
	assert_text(saved, "nameserver 192.0.2.99\n");
	ntmd_resolver_file_close(file);
	assert_text(conf, "nameserver 192.0.2.99\n");
	assert_absent(saved);
}

static void absent_file_is_absent_again(void **state)
{
	(void)state;
	assert_int_equal(take_over(conf, 53), 0);
	assert_text(conf, NTMD_RESOLV_CONF_MARK "\nnameserver 127.0.0.54\n");
	ntmd_resolver_file_close(file);
	assert_absent(conf);
	assert_absent(saved);
}

static void link_is_followed(void **state)
{
	char link[96];
	struct stat st;

	(void)state;
	snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink("resolv.conf", link), 0);
	assert_int_equal(take_over(link, 53), -ENOENT);
	assert_non_null(strstr(why, "leads nowhere"));
	text_write(conf, original);
	assert_int_equal(take_over(link, 53), 0);
	assert_text(conf, ours);
	assert_text(saved, original);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	ntmd_resolver_file_close(file);
	assert_text(conf, original);
}

static void other_port_than_53_is_refused(void **state)
{
	(void)state;
	text_write(conf, original);
	assert_int_equal(take_over(conf, 5353), -EINVAL);
	assert_non_null(strstr(why, "must be on port 53, not 5353"));
	assert_text(conf, original);
}

static void modes_without_a_way_are_said(void **state)
{
	struct ntm_endpoint stub = {.port = 53};
	struct ntmd_resolver *resolver;

	(void)state;
	setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
	assert_true(ntmd_resolver_open(&resolver, base, NTMD_RESOLVER_RESOLVED, NULL, &stub, 1, NULL, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "systemd-resolved"));
	unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
	assert_int_equal(ntmd_resolver_open(&resolver, base, NTMD_RESOLVER_OFF, NULL, &stub, 1, NULL, why, sizeof(why)),
			 0);
	assert_string_equal(ntmd_resolver_name(resolver), "off");
	ntmd_resolver_zone_set(resolver, "ntm.example");
	ntmd_resolver_close(resolver);
}

/* As containers have it: nothing can be renamed onto it. The last tests: they leave the mounts of the others.
 */
static void mounted_file_is_written_in_place(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip(); /* needs root */
	text_write(conf, original);
	assert_int_equal(mount(conf, conf, NULL, MS_BIND, NULL), 0);
	assert_int_equal(take_over(conf, 53), 0);
	assert_text(conf, ours);
	assert_text(saved, original);
	ntmd_resolver_file_close(file);
	assert_text(conf, original);
	assert_absent(saved);
	assert_int_equal(umount(conf), 0);
	assert_text(conf, original);
}

/* Room for the file and the kept copy, and for nothing else. */
static void full_disk_leaves_the_file_as_it_was(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip(); /* needs root */
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "nr_blocks=2"), 0);
	text_write(conf, original);
	assert_int_equal(take_over(conf, 53), -ENOSPC);
	assert_non_null(strstr(why, "set another [dns] mode"));
	assert_text(conf, original);
	assert_absent(saved);
	unlink(conf);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* ---- for netns/resolved.sh */

static void serve_direct(void *ctx, const char *fqdn, struct ntmd_dns_wait *wait)
{
	static const uint8_t vip4[4] = {198, 18, 0, 7};
	static const uint8_t vip6[16] = {0xfd, 0x4e, 0x54, 0x4d, 0, 1, [15] = 7};

	(void)ctx;
	printf("direct %s\n", fqdn);
	ntmd_dns_result(wait, NTMD_DNS_UP, vip4, vip6, NULL);
}

static void serve_abandoned(void *ctx, struct ntmd_dns_wait *wait)
{
	(void)ctx;
	(void)wait;
}

struct serving {
	struct ntmd_dns *dns;
	struct ntmd_resolver *resolver;
	struct ntm_endpoint zone_server;
	const char *zone;
};

/* SIGHUP: as if the registration had told the zone. */
static void serve_zone(void *ctx)
{
	struct serving *serving = ctx;

	ntmd_dns_zone_set(serving->dns, serving->zone, &serving->zone_server, 1);
	ntmd_resolver_zone_set(serving->resolver, serving->zone);
	puts("zone set");
}

static int serve(char **args)
{
	const struct ntmd_dns_ops ops = {.direct = serve_direct, .abandoned = serve_abandoned};
	struct serving serving = {.zone = args[3]};
	struct ntm_endpoint listen, server;
	struct ntm_loop loop;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ntm_endpoint_parse(&listen, args[0], 53) < 0 || ntm_endpoint_parse(&server, args[2], 53) < 0 ||
	    ntm_endpoint_parse(&serving.zone_server, args[4], 53) < 0 ||
	    ntm_loop_init(&loop, serve_zone, &serving) < 0)
		return 2;
	if (ntmd_dns_open(&serving.dns, loop.base, &listen, &server, 1, &ops, NULL, why, sizeof(why)) < 0 ||
	    ntmd_resolver_open(&serving.resolver, loop.base, NTMD_RESOLVER_RESOLVED, serving.dns, &listen,
			       (unsigned)strtoul(args[1], NULL, 10), NULL, why,
			       sizeof(why)) < 0) {
		puts(why);
		return 1;
	}
	printf("ready %s\n", ntmd_resolver_name(serving.resolver));
	ntm_loop_run(&loop);
	ntmd_resolver_close(serving.resolver);
	ntmd_dns_close(serving.dns);
	ntm_loop_clear(&loop);
	return 0;
}

/* One datagram: question in, answer out; prints who asks for what. */
static void answer_one(int fd)
{
	static uint8_t in[65535], out[65535];
	static const uint8_t address[4] = {192, 0, 2, 80};
	struct ntm_record node = {.is4 = true};
	uint8_t rdata[NTM_RECORD6_LEN];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
	knot_pkt_t *query, *packet;
	knot_rrset_t rr;
	char name[256];
	size_t len;

	if (got < 0)
		return;
	query = knot_pkt_new(in, (uint16_t)got, NULL);
	packet = knot_pkt_new(out, sizeof(out), NULL);
	knot_pkt_clear(packet);
	if (knot_pkt_parse(query, 0) == KNOT_EOK && knot_pkt_init_response(packet, query) == KNOT_EOK &&
	    knot_dname_to_str(name, knot_pkt_qname(query), sizeof(name))) {
		uint16_t type = knot_pkt_qtype(query);
		bool is_node = strcmp(name, "cn.ntm.example.") == 0;

		printf("asked %s %u\n", name, type);
		memcpy(node.vip.b, "\0\0\0\0\0\0\0\0\0\0\377\377\306\22\0\7", 16);
		node.dc.addr = node.real = node.nat = node.vip;
		len = is_node ? ntm_record_build(rdata, &node) : 0;
		knot_rrset_init(&rr, knot_dname_copy(knot_pkt_qname(query), NULL), type, KNOT_CLASS_IN, 60);
		if (type == KNOT_RRTYPE_A || (is_node && type == 65280)) {
			knot_rrset_add_rdata(&rr, type == KNOT_RRTYPE_A ? address : rdata,
					     type == KNOT_RRTYPE_A ? 4 : (uint16_t)len, NULL);
			knot_pkt_begin(packet, KNOT_ANSWER);
			knot_pkt_put(packet, 0, &rr, 0);
		}
		sendto(fd, out, packet->size, 0, (struct sockaddr *)&from, from_len);
		knot_rrset_clear(&rr, NULL);
	}
	knot_pkt_free(packet);
	knot_pkt_free(query);
}

static int answer_all(const char *listen)
{
	struct sockaddr_storage sa;
	struct ntm_endpoint ep;
	socklen_t len;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ntm_endpoint_parse(&ep, listen, 53) < 0)
		return 2;
	len = ntm_endpoint_to_sockaddr(&ep, &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0) {
		perror(listen);
		return 1;
	}
	puts("ready");
	for (;;)
		answer_one(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(file_is_taken_over_and_restored),	  T(file_of_a_killed_daemon_is_recognised),
		T(file_of_another_program_is_left_alone), T(file_replaced_while_running_is_taken_over_again),
		T(absent_file_is_absent_again),		  T(link_is_followed),
		T(other_port_than_53_is_refused),	  T(modes_without_a_way_are_said),
		T(mounted_file_is_written_in_place),
		T(full_disk_leaves_the_file_as_it_was),
	};

	if (argc == 7 && strcmp(argv[1], "serve") == 0)
		return serve(argv + 2);
	if (argc == 3 && strcmp(argv[1], "answer") == 0)
		return answer_all(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
