/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * loop.h - what the three daemons' main() share: options, the libevent loop, clocks, signals, sd_notify.
 */
#ifndef NTM_LIB_LOOP_H
#define NTM_LIB_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

/* CLOCK_BOOTTIME, microseconds: goes on while the machine sleeps. */
int64_t ntm_loop_now_us(void);
int64_t ntm_loop_cpu_us(void); /* time this thread has run: microseconds */
/* Time this thread could have run, and others had its CPU: microseconds; -errno where the kernel does not
 * tell. */
int64_t ntm_loop_waited_us(void);
static inline int64_t ntm_loop_now_ms(void)
{
	return ntm_loop_now_us() / 1000;
}
/* CLOCK_REALTIME, microseconds, forced to grow by at least one a call (a counter that survives restarts). */
uint64_t ntm_loop_real_us(void);

/* Exit status of a daemon (design: contract, "Programs"). */
enum ntm_exit { NTM_EXIT_OK = 0, NTM_EXIT_CONFIG = 1, NTM_EXIT_SYSTEM = 2 };

struct ntm_loop_options {
	const char *config; /* -c */
	bool check_config; /* --check-config */
};

/*
 * Parses -c FILE, -v, -V, -h/--help, --check-config; sets the log level. Returns -1 to go on, else the exit
 * status (0 after -V and --help, 1 for wrong usage: said on stderr).
 */
int ntm_loop_options_parse(struct ntm_loop_options *ret_options, int argc, char **argv, const char *program,
			   const char *role, const char *default_config);

/* Whether this option of one daemon alone is there; it is taken out, before the common ones are parsed. */
bool ntm_loop_option_take(int *argc, char **argv, const char *option);

/*
 * Events of three kinds, the first first: 0 signals, 1 whatever says nothing (control, timers, DNS), 2 the
 * sockets and devices that carry data. These take a bounded time each (udp.c, user_egress.c), and after each
 * round of them the loop looks whether anything else has come.
 */
#define NTM_LOOP_PRIORITIES 3
#define NTM_LOOP_DATA 2

struct ntm_loop {
	struct event_base *base;
	struct event *term, *intr, *hup;
	void (*reload)(void *ctx); /* SIGHUP; may be NULL */
	void *ctx;
};

/* Signals: SIGTERM and SIGINT end the loop, SIGHUP calls reload, SIGPIPE is ignored. 0 or -errno. */
int ntm_loop_init(struct ntm_loop *loop, void (*reload)(void *ctx), void *ctx);
/* sd_notify("READY=1", ...) where libsystemd is built in and asked for. */
void ntm_loop_ready(const char *status);
void ntm_loop_run(struct ntm_loop *loop); /* until a signal or event_base_loopbreak */
void ntm_loop_clear(struct ntm_loop *loop); /* sd_notify STOPPING=1 comes first */

/* A one-shot timer: make, (re)arm, stop. */
struct event *ntm_timer_new(struct event_base *base, void (*fired)(evutil_socket_t fd, short what, void *arg),
			    void *arg);
void ntm_timer_set_ms(struct event *timer, int64_t ms); /* from now; replaces an earlier time; < 0 as 0 */

#endif
