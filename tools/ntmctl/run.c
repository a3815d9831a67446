/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * run.c - `ntmctl run -- COMMAND...`: an ordinary user's command on the overlay, without any privilege. We
 * fork the ntmd that will serve it (run_ntmd.c), move into namespaces of our own (run_namespace.c), hand the
 * TUN that is there to ntmd, and start the command in them once the node is registered. Its signals and its
 * exit status are passed through.
 *
 *	outside:  ntmd ---- UDP of the host's network
 *	            ^
 *	            | TUN, netlink socket, name server's sockets (SCM_RIGHTS)
 *	inside:   ntmctl run -> COMMAND
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "run.h"

#define REGISTER_S 15 /* the node must be registered by then */
#define LINGER_S 10 /* for what the command has sent but nobody acknowledged yet */
#define ASK_MS 30 /* between two looks */
#define SYSTEM_CONFIG "/etc/ntm/ntmd.conf"

struct run {
	struct run_places places;
	struct run_ntmd ntmd;
	pid_t waiter; /* looks until the node is registered; 0: ended */
	pid_t command; /* 0: not started */
	int signals; /* signalfd */
	sigset_t mask; /* as we were started with it */
	bool registered, ended;
	int status; /* of the command: for waitpid's macros */
	int abort; /* the signal that ended us before it began, or that will not let us linger */
};

/* ---- places */

/* Own memory, as sprintf; NULL: no memory. */
__attribute__((format(printf, 1, 2))) static char *text(const char *format, ...)
{
	va_list args;
	char *made;

	va_start(args, format);
	if (vasprintf(&made, format, args) < 0)
		made = NULL;
	va_end(args);
	return made;
}

/* The folder that a variable of the XDG base directory specification names, or its default in the home. */
static char *xdg(const char *variable, const char *in_home)
{
	const char *value = getenv(variable), *home = getenv("HOME");

	if (value && *value == '/')
		return strdup(value);
	return home && *home == '/' ? text("%s/%s", home, in_home) : NULL;
}

static int config_find(struct run_places *places, const char *given)
{
	char *home;

	if (given) {
		places->config = strdup(given);
		return places->config ? 0 : RUN_FAILED;
	}
	home = xdg("XDG_CONFIG_HOME", ".config");
	if (home)
		places->config = text("%s/ntm/ntmd.conf", home);
	free(home);
	if (places->config && !access(places->config, F_OK))
		return 0;
	if (!access(SYSTEM_CONFIG, R_OK)) {
		free(places->config);
		places->config = strdup(SYSTEM_CONFIG);
		return places->config ? 0 : RUN_FAILED;
	}
	ntmctl_fail("there is neither %s nor a readable " SYSTEM_CONFIG
		    ": write one (see ntmd.conf(5)), or name another with -c",
		    places->config ? places->config : "~/.config/ntm/ntmd.conf");
	return RUN_FAILED;
}

char *ntmctl_ntmd_find(void)
{
	static const char *const beside[] = { "ntmd", "../sbin/ntmd" };
	char self[4096], *list, *rest, *folder, *program = NULL;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *path = getenv("PATH");

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/'))
		strrchr(self, '/')[1] = '\0';
	for (int i = 0; n > 0 && i < 2; i++) {
		program = text("%s%s", self, beside[i]);
		if (program && !access(program, X_OK))
			return program;
		free(program);
	}
	program = NULL;
	rest = list = text("%s:/usr/local/sbin:/usr/sbin", path ? path : "");
	while (rest && (folder = strsep(&rest, ":"))) {
		program = *folder == '/' ? text("%s/ntmd", folder) : NULL;
		if (program && !access(program, X_OK))
			break;
		free(program);
		program = NULL;
	}
	free(list);
	if (!program)
		ntmctl_fail("ntmd is not installed: it is not beside ntmctl, nor in PATH");
	return program;
}

/* With the folders above it. */
static int folder_make(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700); /* if that fails, so does the last one */
		*slash = '/';
	}
	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	ntmctl_fail("cannot make the folder %s: %s", path, strerror(errno));
	return RUN_FAILED;
}

/* Nobody else may be able to put anything there. */
static int folder_check(const char *path)
{
	struct stat st;

	if (lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & (S_IWGRP | S_IWOTH))) {
		ntmctl_fail("%s is not a folder of yours that only you can write to", path);
		return RUN_FAILED;
	}
	return 0;
}

static int places_find(struct run_places *places, const char *config)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *state = xdg("XDG_STATE_HOME", ".local/state");
	int r;

	if (state)
		places->state = text("%s/ntm", state);
	free(state);
	places->runtime =
		runtime && *runtime == '/' ? text("%s/ntm", runtime) : text("/tmp/ntm-%u", geteuid());
	if (!places->state || !places->runtime) {
		ntmctl_fail("no place for the node's state: set HOME or XDG_STATE_HOME");
		return RUN_FAILED;
	}
	places->socket = text("%s/run-%d.sock", places->runtime, (int)getpid());
	if (!places->socket)
		return RUN_FAILED;
	r = config_find(places, config);
	if (!r) {
		places->program = ntmctl_ntmd_find();
		r = places->program ? 0 : RUN_FAILED;
	}
	if (!r)
		r = folder_make(places->runtime);
	if (!r)
		r = folder_check(places->runtime);
	if (!r)
		r = folder_make(places->state);
	return r ? r : folder_check(places->state);
}

static void places_free(struct run_places *places)
{
	free(places->config);
	free(places->program);
	free(places->runtime);
	free(places->state);
	free(places->socket);
}

/* ---- until the node is registered */

static void registered_see(void *arg, struct json_object *status)
{
	struct json_object *value;

	*(bool *)arg = json_object_object_get_ex(status, "registered", &value) &&
		       json_object_get_boolean(value);
}

/* In a process of its own: asking blocks. */
static void wait_registered(const struct run *run, pid_t parent)
{
	const struct timespec pause = { .tv_nsec = ASK_MS * 1000000 };
	struct json_object *request = ntmctl_request("status");
	bool registered = false;
	char why[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent && !registered) {
		nanosleep(&pause, NULL);
		ntm_control_call(run->places.socket, request, registered_see, &registered, why, sizeof(why));
	}
	json_object_put(request);
	_exit(!registered);
}

static int waiter_start(struct run *run)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		sigprocmask(SIG_SETMASK, &run->mask, NULL);
		wait_registered(run, parent);
	}
	if (pid < 0) {
		ntmctl_fail("cannot fork: %s", strerror(errno));
		return RUN_FAILED;
	}
	run->waiter = pid;
	return 0;
}

/* ---- the command */

static void command_exec(const struct run *run, char **argv, pid_t parent)
{
	int err;

	/* Should we be killed, it would be left without a network. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(RUN_FAILED);
	setenv("NTM_CONTROL_SOCKET", run->places.socket, 1);
	sigprocmask(SIG_SETMASK, &run->mask, NULL);
	execvp(argv[0], argv);
	err = errno;
	ntmctl_fail("%s: %s", argv[0], strerror(err));
	_exit(err == ENOENT || err == ENOTDIR ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE);
}

static int command_start(struct run *run, char **argv)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid)
		command_exec(run, argv, parent);
	if (pid < 0) {
		ntmctl_fail("cannot fork: %s", strerror(errno));
		return RUN_FAILED;
	}
	run->command = pid;
	return 0;
}

/* ---- what happens */

static void children_reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == run->command) {
			run->ended = true;
			run->status = status;
		} else if (pid == run->waiter) {
			run->waiter = 0;
			run->registered = WIFEXITED(status) && !WEXITSTATUS(status);
		} else if (pid == run->ntmd.pid) {
			ntmctl_run_ntmd_gone(&run->ntmd, status);
		}
	}
}

static void signals_read(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			children_reap(run);
		else if (!run->command || run->ended)
			run->abort = (int)info.ssi_signo;
		else if (info.ssi_code <= 0) /* the terminal's own go to all of its processes */
			kill(run->command, (int)info.ssi_signo);
	}
}

/* Waits at most ms for something, and deals with it; < 0: as long as it takes. */
static void step(struct run *run, int ms)
{
	struct pollfd fd[2] = {{.fd = run->signals, .events = POLLIN},
			       {.fd = run->ntmd.log, .events = POLLIN}};

	if (poll(fd, 2, ms) < 0 && errno != EINTR)
		return;
	ntmctl_run_ntmd_log(&run->ntmd);
	signals_read(run);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int registered_wait(struct run *run)
{
	int64_t end = now_ms() + REGISTER_S * 1000, left;
	int r = waiter_start(run);

	while (!r && !run->registered && !run->abort && run->ntmd.pid) {
		left = end - now_ms();
		if (left <= 0) {
			ntmctl_fail(
				"the node is not registered after %d seconds: the command was not started",
				REGISTER_S);
			r = RUN_FAILED;
		} else {
			step(run, (int)left);
		}
	}
	if (run->waiter) {
		kill(run->waiter, SIGKILL);
		waitpid(run->waiter, NULL, 0);
		run->waiter = 0;
	}
	return run->registered && !run->abort ? r : RUN_FAILED;
}

/* TCP connections that a process has closed, while data or the end is still to be acknowledged. path: of
 * /proc/net. */
static bool is_sending(const char *path)
{
	enum { FIN_WAIT1 = 4, LAST_ACK = 9, CLOSING = 11 };
	FILE *file = fopen(path, "re");
	bool sending = false;
	char line[512];
	unsigned state;

	while (file && !sending && fgets(line, sizeof(line), file))
		sending = sscanf(line, " %*[0-9]: %*s %*s %x", &state) == 1 &&
			  (state == FIN_WAIT1 || state == LAST_ACK || state == CLOSING);
	if (file)
		fclose(file);
	return sending;
}

/* A machine goes on sending what a program left in its sockets. So must ntmd, until all of that has
 * arrived. */
static void linger(struct run *run)
{
	int64_t end = now_ms() + LINGER_S * 1000;

	while (run->ntmd.pid && !run->abort && now_ms() < end &&
	       (is_sending("/proc/self/net/tcp") || is_sending("/proc/self/net/tcp6")))
		step(run, ASK_MS);
}

static int signals_open(struct run *run)
{
	static const int numbers[] = { SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	signal(SIGCHLD, SIG_DFL); /* ignored, the exit status would be lost */
	sigprocmask(SIG_BLOCK, &set, &run->mask);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signals >= 0)
		return 0;
	ntmctl_fail("cannot wait for signals: %s", strerror(errno));
	return RUN_FAILED;
}

/* 0 once the command has ended. */
static int serve(struct run *run, char **argv)
{
	int fd[RUN_FDS] = { -1, -1, -1, -1 }, r;

	r = ntmctl_run_ntmd_start(&run->ntmd, &run->places);
	if (r)
		return r;
	r = ntmctl_run_namespace_enter(run->places.runtime, fd);
	if (!r)
		r = ntmctl_run_ntmd_hand(&run->ntmd, fd);
	/* ntmd alone has them: the device ends with it. */
	for (int i = 0; i < RUN_FDS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	if (!r)
		r = registered_wait(run);
	run->ntmd.starting = false;
	if (!r)
		r = command_start(run, argv);
	while (!r && !run->ended)
		step(run, -1);
	if (run->ended)
		linger(run);
	return r;
}

/* Ends us as the signal ended the command: our parent sees the same. */
static int die_by(const struct run *run, int number)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core); /* it has made its own */
	signal(number, SIG_DFL);
	sigprocmask(SIG_SETMASK, &run->mask, NULL);
	raise(number);
	return 128 + number;
}

int ntmctl_run(const struct ntmctl *ctl)
{
	struct run run = { .signals = -1, .ntmd = { .hand = -1, .log = -1 } };
	int r = places_find(&run.places, ctl->count); /* -c */

	if (r)
		goto out;
	r = signals_open(&run);
	if (r)
		goto out;
	r = serve(&run, ctl->argv);
	ntmctl_run_ntmd_stop(&run.ntmd);
	unlink(run.places.socket); /* of one that was killed */
	close(run.signals);
out:
	places_free(&run.places);
	if (run.ended)
		r = WIFSIGNALED(run.status) ? die_by(&run, WTERMSIG(run.status)) : WEXITSTATUS(run.status);
	else if (run.abort)
		r = die_by(&run, run.abort);
	return r;
}
