/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ntmd.h - the node: what its parts share. Each part is a file named after its procedure; who calls whom is
 * in doc/PROTOCOL.md and in the head of each file.
 */
#ifndef NTMD_H
#define NTMD_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <ntm/limits.h>
#include <ntm/types.h>

#include "control.h"
#include "dns_stub.h"
#include "engine.h"
#include "loop.h"
#include "netlink.h"
#include "resolver.h"
#include "session.h"

#define NTMD_PATH_BUCKETS 4096 /* Path IDs are random */
#define NTMD_CN_BUCKETS 4096

struct ntmd_cn;
struct ntmd_path;
struct ntmd_relay;

struct ntmd_pin {
	char fqdn[NTM_FQDN_MAX + 1];
	uint8_t public_key[NTM_KEY_LEN];
};

struct ntmd_metric {
	char name[16];
	unsigned metric;
};

#define NTMD_THREADS_MAX 32

struct ntmd_config {
	char fqdn[NTM_FQDN_MAX + 1];
	char *private_key_file, *device, *control_socket, *state_dir, *engine, *dns_mode, *cipher, *lane,
		*pin_dir;
	uint16_t listen_port;
	unsigned rekey_after_s, mtu, paths;
	unsigned threads; /* 0: auto */
	int tun_fd, netlink_fd; /* passed to us, or -1 */
	int dns_fd[2]; /* likewise: UDP, TCP */
	unsigned dns_fds;
	uint8_t dc_key[NTM_KEY_LEN];
	struct ntm_endpoint dc[NTM_SERVERS_MAX], dns_listen, dns_upstream[4];
	unsigned dcs, dns_upstreams;
	struct ntmd_pin *pin;
	unsigned pins;
	char **interface;
	unsigned interfaces;
	struct ntmd_metric *metric; /* of interfaces, instead of that of their routes */
	unsigned metrics;
};

#define NTMD_NETWORKS_MAX 8

/* An interface with a default route. */
struct ntmd_network {
	unsigned ifindex;
	char name[16];
	uint32_t metric; /* less is better */
	bool has[2]; /* a default route of the family, 0: IPv4 */
	bool down; /* no carrier */
};

enum ntmd_registration_state { NTMD_UNREGISTERED, NTMD_REGISTERING, NTMD_REGISTERED };

struct ntmd {
	struct ntmd_config config;
	const char *config_path;
	struct ntm_loop loop;
	struct ntm_sessions sessions;
	struct ntm_peer dc;
	struct ntm_udp udp4, udp6; /* one port, kept over restarts */
	unsigned threads; /* data threads that are wanted; ntmd_engine_threads() says how many there are */
	struct ntmd_engine *engine;
	struct ntmd_dns *dns;
	struct ntmd_resolver *resolver;
	struct ntm_control *control;
	struct ntm_netlink_watch *watch;
	uint64_t boot_id;
	int64_t started_ms;

	/* registration.c */
	struct {
		enum ntmd_registration_state state;
		struct ntm_session_request *request;
		bool again; /* something changed while a request was out */
		struct ntm_endpoint told[NTM_REAL_ADDRS_MAX]; /* real addresses in the last request */
		unsigned tolds;
		bool moved; /* they were others than in the one before that was answered */
		struct event *timer;
		unsigned failures;
		char error[NTM_TEXT_MAX + 1]; /* why it failed last */
		struct ntm_addr vip4, vip6;
		uint8_t vip4_prefix, vip6_prefix;
		char zone[NTM_FQDN_MAX + 1], dc_name[NTM_FQDN_MAX + 1];
		struct ntm_endpoint observed;
	} registration;

	/* real_address.c */
	struct ntmd_real {
		struct ntm_addr addr[NTM_REAL_ADDRS_MAX];
		unsigned ifindex[NTM_REAL_ADDRS_MAX]; /* where it is */
		unsigned count;
		struct ntmd_network network[NTMD_NETWORKS_MAX]; /* the preferred one first */
		unsigned networks;
	} real;

	/* netcheck.c */
	struct {
		/* To compare mappings, and relays */
		struct ntm_endpoint server[NTM_SERVERS_MAX + NTM_RELAYS_MAX * 2];
		struct ntm_endpoint observed[NTM_SERVERS_MAX + NTM_RELAYS_MAX * 2]; /* as that one saw us */
		uint32_t rtt_us[NTM_SERVERS_MAX + NTM_RELAYS_MAX * 2]; /* 0: no answer */
		/* Transaction of the echo that is out; 0: none */
		uint64_t number[NTM_SERVERS_MAX + NTM_RELAYS_MAX * 2];
		int64_t sent_us[NTM_SERVERS_MAX + NTM_RELAYS_MAX * 2]; /* when it was first sent */
		unsigned count, tries;
		struct event *timer;
		enum ntm_nat nat;
		struct ntm_relay_info relay[NTM_RELAYS_MAX];
		unsigned relays;
	} netcheck;

	/* cn.c, path.c, relay_bind.c */
	LIST_HEAD(ntmd_cn_list, ntmd_cn) cn, cn_by_name[NTMD_CN_BUCKETS], cn_by_vip[2][NTMD_CN_BUCKETS];
	LIST_HEAD(ntmd_path_list, ntmd_path) path, path_by_id[NTMD_PATH_BUCKETS];
	LIST_HEAD(ntmd_relay_list, ntmd_relay) relay;
	uint64_t counter; /* ntmd_counter_next's last */
	unsigned cns, paths;
	uint32_t ciphers; /* of the bulk lane: what this node offers, bits (cipher.h) */
	uint32_t cipher_ns[NTM_CIPHERS]; /* for a packet of NTM_CIPHER_PACKET bytes */
	unsigned mtu; /* inner */

	/* interface.c */
	struct {
		unsigned index; /* of our own device; 0: it was passed to us */
		unsigned passed; /* of a passed one, in its namespace; 0: not ours to set up */
		struct ntm_addr vip[2]; /* set on the passed one, by family (0: IPv4) */
		unsigned prefix[2];
	} interface;
	struct event *rest_timer; /* keepalive.c; NULL: no path has come to rest yet */
	struct event *buffer_timer; /* socket_buffer.c; NULL: the buffers are as large as wanted */
	int state_fd; /* state.c: holds the lock on state-dir */

	/* handover.c */
	struct ntmd_ways_known *ways_known; /* route_way.c; NULL: nothing is remembered */
	struct event *network_timer; /* several kernel events are one change */
	int64_t network_due_ms; /* ifmon.c: how far changes are ahead of what they may be */
	uint64_t handovers;
	int64_t networks_ms; /* when our networks or addresses changed last */
	int64_t mapping_ms; /* nat_mapping.c: when a NAT's last change was told on */
	struct ntm_addr dc_local; /* our source towards the DC when we last looked */

	/* attach.c */
	struct {
		char why[256]; /* the BPF programs are not attached; empty: they are, or nobody wants them */
		/* Asked for it, and waits; NULL: nobody does */
		struct ntm_control_request *attaching, *detaching;
		bool check, again; /* attaching: only whether it can be done; it was attached before */
		char **interface; /* as `ntmctl attach` named them; NULL: as the configuration does */
		unsigned interfaces;
		struct event *inherit_timer;
		unsigned inherit_skip; /* of the paths of an earlier ntmd: were asked for in this round */
		int64_t inherit_wait_ms; /* to the next round */
	} attach;

	/* event.c */
	LIST_HEAD(ntmd_monitor_list, ntmd_monitor) monitor;
};

/*
 * For what the far end takes only if it is newer than all before (binds, Tunnel Requests and Probes): the
 * time, so that a restarted ntmd goes on above; but it never goes back when the clock is set back.
 */
static inline uint64_t ntmd_counter_next(struct ntmd *ntmd)
{
	uint64_t now = (uint64_t)ntm_loop_real_us() & NTM_COUNTER_MASK;

	ntmd->counter = now > ntmd->counter ? now : ntmd->counter + 1;
	return ntmd->counter;
}

/* config.c */
int ntmd_config_read(struct ntmd_config *config, const char *path, char *ret_why, size_t why_len);
void ntmd_config_clear(struct ntmd_config *config);

/*
 * fd_passing.c: takes what LISTEN_FDS names, and checks these and the ones that the configuration has. 0 or
 * -EINVAL with a sentence in ret_why.
 */
int ntmd_fd_passing_take(struct ntmd_config *config, char *ret_why, size_t why_len);

/* interface.c: 0 or -errno, said to the log only by _open. */
int ntmd_interface_open(struct ntmd *ntmd); /* after the engine */
/* In our own network namespace; 0: it is in another */
unsigned ntmd_interface_index(const struct ntmd *ntmd);
int ntmd_interface_configure(struct ntmd *ntmd); /* virtual addresses and pools as registration has them */
/* A virtual address outside the pools: a node of another DC. source: our virtual address. */
int ntmd_interface_route_add(struct ntmd *ntmd, const struct ntm_addr *vip, const struct ntm_addr *source);
int ntmd_interface_route_del(struct ntmd *ntmd, const struct ntm_addr *vip);

/* socket_buffer.c */
int ntmd_socket_buffer_watch(struct ntmd *ntmd); /* 0 or -ENOMEM */
void ntmd_socket_buffer_clear(struct ntmd *ntmd);
struct json_object *ntmd_socket_buffer_json(struct ntmd *ntmd); /* "socket_buffer" of `ntmctl status` */

/* receive.c: the one switch from packet and message types to handlers */
void ntmd_receive(void *ctx, const struct ntm_flow *from, uint8_t *packet, size_t len);
/* The interface that a packet came by only counts if it is a network of ours. */
void ntmd_flow_clean(const struct ntmd *ntmd, struct ntm_flow *from);
void ntmd_receive_flush(void *ctx); /* those that arrived together are through */
extern const struct ntm_session_ops ntmd_session_ops;
struct ntm_udp *ntmd_socket_for(void *ctx, const struct ntm_endpoint *remote);
/* The flow to an endpoint, source chosen by the kernel. */
struct ntm_flow ntmd_flow_to(struct ntmd *ntmd, const struct ntm_endpoint *remote);

/* state.c: what survives a restart, in state-dir. All 0 or -errno, said to the log. */
int ntmd_state_open(struct ntmd *ntmd, char *ret_why, size_t why_len); /* makes the folder, and locks it */
uint16_t ntmd_state_port_load(struct ntmd *ntmd); /* 0: none kept */
void ntmd_state_port_save(struct ntmd *ntmd, uint16_t port);
/*
 * Whether this key may be taken for that name: 0 as first seen or pinned, 1 first seen now (kept),
 * -EKEYREJECTED not the pinned one, -EKEYREVOKED another than first seen (the new one is kept, the user is
 * told loudly).
 */
int ntmd_state_key_check(struct ntmd *ntmd, const char *fqdn, const uint8_t key[NTM_KEY_LEN]);

/* registration.c: tells the DC where we are */
int ntmd_registration_init(struct ntmd *ntmd);
void ntmd_registration_clear(struct ntmd *ntmd);
void ntmd_registration_start(struct ntmd *ntmd); /* now, or right after the one that is out */
void ntmd_registration_lost(struct ntmd *ntmd); /* the DC has forgotten us, or does not answer */
struct json_object *ntmd_registration_json(struct ntmd *ntmd); /* "dc" of `ntmctl status` */

/* real_address.c: RIP4 and RIP6 of the interfaces in use */
void ntmd_real_address_read(struct ntmd *ntmd);
/* NULL: it is none */
const struct ntmd_network *ntmd_network_find(const struct ntmd *ntmd, unsigned ifindex);
unsigned ntmd_real_address_interface(const struct ntmd *ntmd, const struct ntm_addr *addr); /* 0: not ours */
/* Whether no better network has an address of the family of real.addr[i]. */
bool ntmd_real_address_is_preferred(const struct ntmd *ntmd, unsigned i);
bool ntmd_real_address_is_own(const struct ntmd *ntmd, const struct ntm_addr *addr);

/* netcheck.c: NAT mapping behaviour and round trips to relays, by echoes from the one socket */
int ntmd_netcheck_init(struct ntmd *ntmd);
void ntmd_netcheck_clear(struct ntmd *ntmd);
/* NULL: same servers again */
void ntmd_netcheck_start(struct ntmd *ntmd, const struct ntm_registration_response *response);
/* Whether these are the relays it looks at. */
bool ntmd_netcheck_knows(const struct ntmd *ntmd, const struct ntm_registration_response *response);
/* Whether every server that can be reached has answered. */
bool ntmd_netcheck_is_complete(const struct ntmd *ntmd);
int ntmd_netcheck_receive(struct ntmd *ntmd, const struct ntm_flow *from, const uint8_t *packet, size_t len);
struct json_object *ntmd_netcheck_relays_json(struct ntmd *ntmd);
struct json_object *ntmd_netcheck_path_mtu_json(struct ntmd *ntmd); /* "path_mtu" of `ntmctl netcheck` */

/* keepalive.c: to the DC and on paths; never without acknowledgement */
void ntmd_keepalive_dc(struct ntmd *ntmd);
void ntmd_keepalive_close(struct ntmd *ntmd);

/* handover.c, ifmon.c */
int ntmd_ifmon_open(struct ntmd *ntmd);
void ntmd_ifmon_close(struct ntmd *ntmd);
void ntmd_handover_network_changed(struct ntmd *ntmd);

/* event.c: `ntmctl monitor` */
struct ntmd_monitor;
void ntmd_event_monitor(struct ntmd *ntmd, struct ntm_control_request *request);
/* For a value of ntmd_event: text, which it writes. */
const char *ntmd_event_number(char *text, size_t len, uint64_t number);
/* "event", then pairs of name and text, ended by NULL; "#name": the text is a number */
void ntmd_event(struct ntmd *ntmd, const char *event, ...) __attribute__((sentinel));

/* attach.c: the BPF engine from the node's side */
int ntmd_attach_open(struct ntmd *ntmd); /* as [datapath] engine says; 0, or -errno said to the log */
void ntmd_attach_close(struct ntmd *ntmd); /* after the paths, before the engine */
/* There may be no tunnel with it: what an earlier ntmd had ends */
void ntmd_attach_inherited_end(struct ntmd_cn *cn);
void ntmd_attach_path_up(struct ntmd *ntmd); /* one of those may have been replaced */
void ntmd_attach_handle(void *ctx, struct ntm_control_request *request, struct json_object *args);
void ntmd_detach_handle(void *ctx, struct ntm_control_request *request, struct json_object *args);
struct json_object *ntmd_attach_interfaces_json(const struct ntmd *ntmd);

/* command.c: what the control socket understands */
extern const struct ntm_control_command ntmd_commands[];

#endif
