/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * main.c - ntmd: reads the configuration, opens what the node needs, runs the loop, closes it again.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cipher.h"
#include "crypto.h"
#include "daemon/bpf_attach.h"
#include "daemon/bpf_engine.h"
#include "endpoint.h"
#include "key.h"
#include "log.h"
#include "path.h"

#define UNDERLAY_MTU 1500
/* IPv6 40, UDP 8, data header 16, tag 16: what every path takes without fragments */
#define TUNNEL_OVERHEAD (40 + 8 + NTM_HEADER_LEN + NTM_TAG_LEN)
#define THREADS_AUTO_MAX 8

/* A thread a CPU that is ours; but on two of them one thread is not slower, and waits for nobody
 * (DATAPATH.md). */
static unsigned threads_count(const struct ntmd_config *config)
{
	cpu_set_t cpus;
	int count;

	if (config->tun_fd >= 0) /* it has one queue */
		return 1;
	if (config->threads)
		return config->threads;
	count = sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus);
	return count <= 2 ? 1 : count > THREADS_AUTO_MAX ? THREADS_AUTO_MAX : (unsigned)count;
}

/* Data threads open further sockets at the same port: then this one shares it, after a look whether anybody
 * else has it. */
static int socket_open(struct ntmd *ntmd, struct ntm_udp *udp, struct ntm_endpoint *at, bool is4)
{
	struct ntm_udp alone;
	int err;

	if (ntmd->threads < 2)
		return ntm_udp_open(udp, ntmd->loop.base, at, is4, ntmd_receive, ntmd);
	err = ntm_udp_open(&alone, NULL, at, is4, NULL, NULL);
	if (err)
		return err;
	at->port = alone.bound.port;
	ntm_udp_close(&alone);
	return ntm_udp_open_one(udp, ntmd->loop.base, at, is4, ntmd_receive, ntmd);
}

static int sockets_open(struct ntmd *ntmd)
{
	uint16_t port = ntmd->config.listen_port ? ntmd->config.listen_port : ntmd_state_port_load(ntmd);
	struct ntm_endpoint any = { .port = port };
	char text[64];
	int err;

	ntmd->udp4.fd = ntmd->udp6.fd = -1;
	err = socket_open(ntmd, &ntmd->udp4, &any, true);
	if (err == -EADDRINUSE && !ntmd->config.listen_port) {
		any.port = 0; /* the kept one was only a wish */
		err = socket_open(ntmd, &ntmd->udp4, &any, true);
	}
	if (err) {
		ntm_error("cannot open UDP port %u: %s; set another [node] listen-port, or 0 for any", port,
			  strerror(-err));
		return err;
	}
	any.port = ntmd->udp4.bound.port;
	err = socket_open(ntmd, &ntmd->udp6, &any, false);
	if (err == -EADDRINUSE) {
		ntm_error("UDP port %u is free for IPv4 but taken for IPv6; set another [node] listen-port",
			  any.port);
		return err;
	}
	if (err) {
		snprintf(text, sizeof(text), "%s", strerror(-err));
		ntm_notice("no IPv6 here (%s)", text);
		ntmd->udp6.fd = -1;
	}
	ntmd->udp4.flush = ntmd->udp6.flush = ntmd_receive_flush;
	ntmd->udp4.by_interface = ntmd->udp6.by_interface = true;
	ntmd->udp4.too_big = ntmd->udp6.too_big = ntmd_path_mtu_told;
	ntmd_state_port_save(ntmd, ntmd->udp4.bound.port);
	return 0;
}

static int engine_open(struct ntmd *ntmd)
{
	struct ntmd_engine_config config = { .device = ntmd->config.device, .tun_fd = ntmd->config.tun_fd,
					     .threads = ntmd->threads, .udp = { &ntmd->udp4, &ntmd->udp6 } };
	char why[256];
	int err;

	ntmd->mtu = ntmd->config.mtu ? ntmd->config.mtu : UNDERLAY_MTU - TUNNEL_OVERHEAD;
	config.mtu = ntmd->mtu;
	ntm_cipher_measure(ntmd->cipher_ns);
	ntmd->ciphers = ntm_cipher_bits(ntmd->config.cipher, ntmd->cipher_ns);
	err = ntmd_engine_open(&ntmd->engine, ntmd->loop.base, &config, &ntmd_engine_ops, ntmd, why,
			       sizeof(why));
	if (err)
		ntm_error("%s", why);
	if (!err)
		err = ntmd_interface_open(ntmd);
	return err ? err : ntmd_attach_open(ntmd);
}

static enum ntmd_resolver_mode resolver_mode(const char *name)
{
	return !strcmp(name, "resolved")    ? NTMD_RESOLVER_RESOLVED :
	       !strcmp(name, "bpf")	    ? NTMD_RESOLVER_BPF :
	       !strcmp(name, "resolv.conf") ? NTMD_RESOLVER_RESOLV_CONF :
	       !strcmp(name, "off")	    ? NTMD_RESOLVER_OFF :
					      NTMD_RESOLVER_AUTO;
}

/* On sockets that were passed to us. Who made them sees to it that applications ask there. */
static int dns_open_passed(struct ntmd *ntmd)
{
	char why[256];
	int err = ntmd_dns_open_sockets(&ntmd->dns, ntmd->loop.base, ntmd->config.dns_fd,
					ntmd->config.dns_upstream, ntmd->config.dns_upstreams, &ntmd_dns_ops,
					ntmd, why, sizeof(why));

	if (err)
		ntm_error("%s", why);
	return err;
}

static int dns_open(struct ntmd *ntmd)
{
	enum ntmd_resolver_mode mode = resolver_mode(ntmd->config.dns_mode);
	bool configured = !ntm_endpoint_is_none(&ntmd->config.dns_listen);
	/* systemd-resolved holds 127.0.0.54 itself where it runs. */
	static const char *const standard[] = { "127.0.0.54", "127.0.0.55" };
	char why[256];
	int err = -EADDRINUSE;

	for (unsigned i = 0; i < 2 && err == -EADDRINUSE; i++) {
		if (!configured)
			ntm_endpoint_parse(&ntmd->config.dns_listen, standard[i], 53);
		err = ntmd_dns_open(&ntmd->dns, ntmd->loop.base, &ntmd->config.dns_listen,
				    ntmd->config.dns_upstream, ntmd->config.dns_upstreams, &ntmd_dns_ops,
				    ntmd, why, sizeof(why));
		if (configured)
			break;
	}
	if (!err)
		err = ntmd_resolver_open(&ntmd->resolver, ntmd->loop.base, mode, ntmd->dns,
					 &ntmd->config.dns_listen, ntmd_interface_index(ntmd),
					 ntmd->registration.zone, why, sizeof(why));
	if (err)
		ntm_error("%s", why);
	return err;
}

static int dc_add(struct ntmd *ntmd)
{
	memcpy(ntmd->dc.key, ntmd->config.dc_key, NTM_KEY_LEN);
	ntmd->dc.server = ntmd->config.dc;
	ntmd->dc.servers = (uint16_t)ntmd->config.dcs;
	return ntm_peer_add(&ntmd->sessions, &ntmd->dc);
}

/* SIGHUP: pins are taken over, the rest needs a restart. */
static void reload(void *ctx)
{
	struct ntmd *ntmd = ctx;
	struct ntmd_config config;
	struct ntmd_pin *pin = ntmd->config.pin;
	unsigned pins = ntmd->config.pins;
	char why[512];

	if (ntmd_config_read(&config, ntmd->config_path, why, sizeof(why))) {
		ntm_error("%s; the configuration stays as it was", why);
		ntmd_config_clear(&config);
		return;
	}
	ntmd->config.pin = config.pin;
	ntmd->config.pins = config.pins;
	config.pin = pin;
	config.pins = pins;
	ntmd_config_clear(&config);
	ntm_notice("%s was read again: %u pins; other changes need a restart", ntmd->config_path,
		   ntmd->config.pins);
}

static int control_open(struct ntmd *ntmd)
{
	int err = ntm_control_open(&ntmd->control, ntmd->loop.base, ntmd->config.control_socket,
				   ntmd_commands, ntmd);

	if (err == -EADDRINUSE)
		ntm_error("another ntmd answers at %s; end it, or set another [node] control-socket",
			  ntmd->config.control_socket);
	else if (err)
		ntm_error(
			"cannot open the control socket %s: %s; set [node] control-socket to a path that this user may write",
			ntmd->config.control_socket, strerror(-err));
	return err;
}

static int open_all(struct ntmd *ntmd, const uint8_t private_key[NTM_KEY_LEN])
{
	char why[256];
	int err;

	err = ntm_loop_init(&ntmd->loop, reload, ntmd);
	if (err)
		return err;
	err = control_open(ntmd); /* first: it tells whether another one runs */
	if (err)
		return err;
	err = ntmd_state_open(ntmd, why, sizeof(why));
	if (err) {
		ntm_error("%s", why);
		return err;
	}
	err = ntm_sessions_init(&ntmd->sessions, ntmd->loop.base, private_key, &ntmd_session_ops, ntmd,
				ntmd_socket_for);
	if (err)
		return err;
	err = dc_add(ntmd);
	if (!err)
		err = sockets_open(ntmd);
	if (!err)
		err = ntmd_socket_buffer_watch(ntmd);
	if (!err)
		err = engine_open(ntmd);
	if (!err)
		err = ntmd_registration_init(ntmd);
	if (!err)
		err = ntmd_netcheck_init(ntmd);
	if (!err)
		err = ntmd_ifmon_open(ntmd);
	if (!err)
		err = ntmd->config.dns_fds ? dns_open_passed(ntmd) : dns_open(ntmd);
	return err;
}

static void close_all(struct ntmd *ntmd)
{
	struct ntmd_cn *cn;
	struct ntmd_path *path;

	if (ntmd->control) /* first: nobody waits for an answer any more */
		ntm_control_close(ntmd->control);
	ntmd->control = NULL;
	LIST_FOREACH(cn, &ntmd->cn, next)
		if (cn->direction_timer)
			event_del(cn->direction_timer);
	/* What BPF serves goes on without us: our successor takes it over. */
	if (ntmd->engine)
		ntmd_bpf_leave(ntmd->engine);
	while ((path = LIST_FIRST(&ntmd->path))) {
		if (!strcmp(ntmd_engine_path_name(path->engine), "bpf"))
			ntmd_path_free(path, false);
		else
			ntmd_path_close(path, NTM_REASON_SHUTDOWN, true);
	}
	while ((cn = LIST_FIRST(&ntmd->cn)))
		ntmd_cn_free(cn);
	if (ntmd->resolver)
		ntmd_resolver_close(ntmd->resolver);
	if (ntmd->dns)
		ntmd_dns_close(ntmd->dns);
	ntmd_ifmon_close(ntmd);
	ntmd_socket_buffer_clear(ntmd);
	ntmd_keepalive_close(ntmd);
	ntmd_netcheck_clear(ntmd);
	ntmd_registration_clear(ntmd);
	if (ntmd->dc.sessions)
		ntm_peer_remove(&ntmd->dc);
	ntmd_attach_close(ntmd);
	if (ntmd->engine)
		ntmd_engine_close(ntmd->engine);
	ntm_udp_close(&ntmd->udp4);
	ntm_udp_close(&ntmd->udp6);
	if (ntmd->state_fd >= 0)
		close(ntmd->state_fd); /* last: a new one may begin */
	if (ntmd->sessions.base)
		ntm_sessions_clear(&ntmd->sessions);
}

int main(int argc, char **argv)
{
	struct ntm_loop_options options;
	uint8_t private_key[NTM_KEY_LEN];
	bool check_bpf = ntm_loop_option_take(&argc, argv, "--check-bpf");
	static struct ntmd ntmd;
	char why[512];
	int status;

	status = ntm_loop_options_parse(
		&options, argc, argv, "ntmd",
		"NTMobile node.\nWith --check-bpf it only tells whether the kernel takes its BPF programs.",
		"/etc/ntm/ntmd.conf");
	if (status >= 0)
		return status;
	if (check_bpf) {
		status = ntmd_bpf_check(why, sizeof(why)) ? NTM_EXIT_SYSTEM : NTM_EXIT_OK;
		if (status)
			ntm_error("%s", why);
		return status;
	}
	if (ntmd_config_read(&ntmd.config, options.config, why, sizeof(why))) {
		ntm_error("%s", why);
		ntmd_config_clear(&ntmd.config);
		return NTM_EXIT_CONFIG;
	}
	if (ntm_key_load(private_key, ntmd.config.private_key_file, why, sizeof(why))) {
		ntm_error("%s: [node] private-key-file: %s", options.config, why);
		ntmd_config_clear(&ntmd.config);
		return NTM_EXIT_CONFIG;
	}
	if (options.check_config) {
		ntm_crypto_wipe(private_key, sizeof(private_key));
		ntmd_config_clear(&ntmd.config);
		return NTM_EXIT_OK;
	}
	if (ntmd_fd_passing_take(&ntmd.config, why, sizeof(why))) {
		ntm_error("%s", why);
		ntm_crypto_wipe(private_key, sizeof(private_key));
		ntmd_config_clear(&ntmd.config);
		return NTM_EXIT_CONFIG;
	}
	ntmd.config_path = options.config;
	ntmd.threads = threads_count(&ntmd.config);
	ntmd.boot_id = ntm_crypto_random_u64() | 1;
	ntmd.started_ms = ntm_loop_now_ms();
	ntmd.udp4.fd = ntmd.udp6.fd = ntmd.state_fd = -1;
	status = open_all(&ntmd, private_key) ? NTM_EXIT_SYSTEM : NTM_EXIT_OK;
	ntm_crypto_wipe(private_key, sizeof(private_key));
	if (!status) {
		ntmd_real_address_read(&ntmd);
		ntmd_registration_start(&ntmd);
		ntm_loop_ready("registering");
		ntm_loop_run(&ntmd.loop);
	}
	close_all(&ntmd);
	ntm_loop_clear(&ntmd.loop);
	ntmd_config_clear(&ntmd.config);
	return status;
}
