/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * loop.c - what the daemons' main() share: options, clocks, the event loop with its signals, and telling
 * systemd.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "log.h"

#ifndef NTM_VERSION
#define NTM_VERSION "unknown"
#endif

static int64_t clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t ntm_loop_now_us(void)
{
	return clock_us(CLOCK_BOOTTIME);
}

int64_t ntm_loop_cpu_us(void)
{
	return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

int64_t ntm_loop_waited_us(void)
{
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	unsigned long long waited_ns;
	char text[80];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = 0;
	return sscanf(text, "%*u %llu", &waited_ns) == 1 ? (int64_t)(waited_ns / 1000) : -EIO;
}

uint64_t ntm_loop_real_us(void)
{
	static uint64_t last;
	uint64_t now = (uint64_t)clock_us(CLOCK_REALTIME);

	/* The clock may be set back, and two calls may fall into one microsecond. */
	last = now > last ? now : last + 1;
	return last;
}

/* ---- options */

static void help(const char *program, const char *role, const char *default_config)
{
	printf("Usage: %s [-c FILE] [-v]... [--check-config]\n"
	       "%s\n\n"
	       "  -c, --config FILE   configuration (%s)\n"
	       "      --check-config  read the configuration, say what is wrong, and exit\n"
	       "  -v, --verbose       log more; twice: debug\n"
	       "  -V, --version       print the version and exit\n"
	       "  -h, --help          print this and exit\n\n"
	       "Exit status: 0 ended by a signal, 1 bad configuration or usage, 2 the system refused "
	       "something.\n",
	       program, role, default_config);
}

static int usage(const char *program, const char *what, const char *value)
{
	if (what)
		fprintf(stderr, "%s: %s %s\n", program, what, value);
	fprintf(stderr, "Try '%s --help'.\n", program);
	return NTM_EXIT_CONFIG;
}

bool ntm_loop_option_take(int *argc, char **argv, const char *option)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], option))
			continue;
		memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
		(*argc)--;
		return true;
	}
	return false;
}

int ntm_loop_options_parse(struct ntm_loop_options *ret_options, int argc, char **argv, const char *program,
			   const char *role, const char *default_config)
{
	enum { CHECK_CONFIG = 256 };
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"verbose", no_argument, NULL, 'v'},
						{"version", no_argument, NULL, 'V'},
						{"help", no_argument, NULL, 'h'},
						{"check-config", no_argument, NULL, CHECK_CONFIG},
						{0}};
	struct ntm_loop_options parsed = {.config = default_config};
	int c, level = NTM_LOG_NOTICE;

	while ((c = getopt_long(argc, argv, "c:vVh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			parsed.config = optarg;
			break;
		case 'v':
			level++;
			break;
		case 'V':
			printf("%s %s\n", program, NTM_VERSION);
			return NTM_EXIT_OK;
		case 'h':
			help(program, role, default_config);
			return NTM_EXIT_OK;
		case CHECK_CONFIG:
			parsed.check_config = true;
			break;
		default: /* getopt_long has said what is wrong */
			return usage(program, NULL, NULL);
		}
	}
	if (optind < argc)
		return usage(program, "takes no argument:", argv[optind]);
	ntm_log_set_level(level);
	*ret_options = parsed;
	return -1;
}

/* ---- the loop */

static void on_end(evutil_socket_t number, short what, void *arg)
{
	struct ntm_loop *loop = arg;

	(void)what;
	ntm_info("%s: ending", strsignal((int)number));
	event_base_loopbreak(loop->base);
}

static void on_hup(evutil_socket_t number, short what, void *arg)
{
	struct ntm_loop *loop = arg;

	(void)number;
	(void)what;
	if (loop->reload)
		loop->reload(loop->ctx);
}

static void loop_free(struct ntm_loop *loop)
{
	struct event **signals[] = {&loop->term, &loop->intr, &loop->hup};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (*signals[i])
			event_free(*signals[i]);
		*signals[i] = NULL;
	}
	if (loop->base)
		event_base_free(loop->base);
	loop->base = NULL;
}

int ntm_loop_init(struct ntm_loop *loop, void (*reload)(void *ctx), void *ctx)
{
	/* A client that goes away must not end the daemon. */
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	memset(loop, 0, sizeof(*loop));
	loop->reload = reload;
	loop->ctx = ctx;
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	loop->base = event_base_new();
	if (!loop->base || event_base_priority_init(loop->base, NTM_LOOP_PRIORITIES) < 0) {
		loop_free(loop);
		return -ENOMEM;
	}
	loop->term = evsignal_new(loop->base, SIGTERM, on_end, loop);
	loop->intr = evsignal_new(loop->base, SIGINT, on_end, loop);
	loop->hup = evsignal_new(loop->base, SIGHUP, on_hup, loop);
	if (!loop->term || !loop->intr || !loop->hup || event_priority_set(loop->term, 0) ||
	    event_priority_set(loop->intr, 0) || event_priority_set(loop->hup, 0) ||
	    event_add(loop->term, NULL) || event_add(loop->intr, NULL) || event_add(loop->hup, NULL)) {
		loop_free(loop);
		return -ENOMEM;
	}
	return 0;
}

void ntm_loop_ready(const char *status)
{
#ifdef HAVE_SYSTEMD
	sd_notifyf(0, "READY=1\nSTATUS=%s", status ? status : "");
#endif
	ntm_info("ready: %s", status ? status : "");
}

void ntm_loop_run(struct ntm_loop *loop)
{
	event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void ntm_loop_clear(struct ntm_loop *loop)
{
#ifdef HAVE_SYSTEMD
	sd_notify(0, "STOPPING=1");
#endif
	loop_free(loop);
}

/* ---- timers */

struct event *ntm_timer_new(struct event_base *base, void (*fired)(evutil_socket_t fd, short what, void *arg),
			    void *arg)
{
	return evtimer_new(base, fired, arg);
}

void ntm_timer_set_ms(struct event *timer, int64_t ms)
{
	struct timeval tv = {0};

	if (ms > 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000;
	}
	evtimer_add(timer, &tv);
}
