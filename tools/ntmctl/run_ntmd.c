/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * run_ntmd.c - the ntmd of `ntmctl run`: a child forked while we are still outside, which becomes ntmd when
 * it has the descriptors from inside (run_namespace.c; daemon/fd_passing.c takes them). It has no privilege
 * of any kind.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define FIRST_FD 3
#define STOP_TRIES 60 /* of 50 ms */

union control {
	struct cmsghdr align;
	char b[CMSG_SPACE(sizeof(int) * RUN_FDS)];
};

static int failed(const char *what)
{
	ntmctl_fail("%s: %s", what, strerror(errno));
	return RUN_FAILED;
}

/* ---- the child */

/* 0, or -1 if our parent gave up. */
static int fds_receive(int hand, int fd[RUN_FDS])
{
	union control control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *cmsg;
	ssize_t n;

	do
		n = recvmsg(hand, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	cmsg = n == 1 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS || cmsg->cmsg_len != CMSG_LEN(sizeof(int) * RUN_FDS))
		return -1;
	memcpy(fd, CMSG_DATA(cmsg), sizeof(int) * RUN_FDS);
	return 0;
}

/* They become 3 and up, whatever they were; everything else is closed. */
static int fds_place(int fd[RUN_FDS])
{
	for (int i = 0; i < RUN_FDS; i++) {
		fd[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, FIRST_FD + RUN_FDS);
		if (fd[i] < 0)
			return -1;
	}
	for (int i = 0; i < RUN_FDS; i++)
		if (dup2(fd[i], FIRST_FD + i) < 0)
			return -1;
	/* All others are closed by the exec: but for those that we were started with. */
	return close_range(FIRST_FD + RUN_FDS, ~0u, 0) && errno != ENOSYS ? -1 : 0;
}

static void environment_make(const struct run_places *places)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof(text), "%d", RUN_FDS);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", "tun:netlink:dns:dns", 1);
	setenv("NTM_CONTROL_SOCKET", places->socket, 1);
	setenv("NTM_STATE_HOME", places->state, 1);
	unsetenv("NOTIFY_SOCKET"); /* whoever waits there waits for the command, not for this */
}

static void child(int hand, int log, pid_t parent, const struct run_places *places)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd[RUN_FDS];
	sigset_t none;

	/* A session of its own: the terminal's Ctrl-C is for the command. */
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(RUN_FAILED);
	if (fds_receive(hand, fd))
		_exit(0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(log, STDERR_FILENO) < 0 || fds_place(fd)) {
		failed("cannot pass descriptors to ntmd");
		_exit(RUN_FAILED);
	}
	environment_make(places);
	execl(places->program, "ntmd", "-c", places->config, (char *)NULL);
	failed(places->program);
	_exit(RUN_FAILED);
}

/* ---- its life, seen from us */

int ntmctl_run_ntmd_start(struct run_ntmd *ret_ntmd, const struct run_places *places)
{
	pid_t pid, parent = getpid();
	int hand[2], log[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, hand))
		return failed("no socket");
	/* Not blocking at either end: ntmd must go on while we are stopped (Ctrl-Z). */
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK)) {
		failed("no pipe");
		goto fail;
	}
	pid = fork();
	if (pid < 0) {
		failed("cannot start ntmd");
		close(log[0]);
		close(log[1]);
		goto fail;
	}
	if (!pid) {
		close(hand[0]);
		child(hand[1], log[1], parent, places);
	}
	close(hand[1]);
	close(log[1]);
	*ret_ntmd = (struct run_ntmd){ .pid = pid, .hand = hand[0], .log = log[0], .starting = true };
	return 0;
fail:
	close(hand[0]);
	close(hand[1]);
	return RUN_FAILED;
}

int ntmctl_run_ntmd_hand(struct run_ntmd *ntmd, const int fd[RUN_FDS])
{
	union control control = { .b = { 0 } };
	struct iovec iov = { (char *)"", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * RUN_FDS);
	memcpy(CMSG_DATA(cmsg), fd, sizeof(int) * RUN_FDS);
	if (sendmsg(ntmd->hand, &msg, MSG_NOSIGNAL) != 1)
		return failed("cannot hand the device over to ntmd");
	close(ntmd->hand);
	ntmd->hand = -1;
	return 0;
}

/* ---- what it says */

static void say(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

static void line_take(struct run_ntmd *ntmd)
{
	ntmd->line[ntmd->len] = '\0';
	if (strstr(ntmd->line, ": error: ") || strstr(ntmd->line, ": warning: ") ||
	    strstr(ntmd->line, "Sanitizer: ") || strstr(ntmd->line, "runtime error: ")) {
		say(ntmd->line, ntmd->len);
	} else if (ntmd->starting && ntmd->len <= sizeof(ntmd->kept) - ntmd->kept_len) {
		memcpy(ntmd->kept + ntmd->kept_len, ntmd->line, ntmd->len);
		ntmd->kept_len += ntmd->len;
	}
	ntmd->len = 0;
}

void ntmctl_run_ntmd_log(struct run_ntmd *ntmd)
{
	char buf[1024];
	ssize_t n;

	while (ntmd->log >= 0 && (n = read(ntmd->log, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		for (ssize_t i = 0; i < n; i++) {
			ntmd->line[ntmd->len++] = buf[i];
			if (buf[i] == '\n' || ntmd->len == sizeof(ntmd->line) - 1)
				line_take(ntmd);
		}
	}
	if (ntmd->log >= 0)
		close(ntmd->log);
	ntmd->log = -1;
}

void ntmctl_run_ntmd_gone(struct run_ntmd *ntmd, int status)
{
	ntmd->pid = 0;
	ntmctl_run_ntmd_log(ntmd);
	if (ntmd->starting)
		say(ntmd->kept, ntmd->kept_len);
	if (ntmd->starting && WIFEXITED(status))
		return; /* it has said why */
	if (WIFSIGNALED(status))
		ntmctl_fail("ntmd was ended by a signal (%s)%s", strsignal(WTERMSIG(status)),
			    ntmd->starting ? "" : ": the command has no network any more");
	else
		ntmctl_fail("ntmd has ended: the command has no network any more");
}

void ntmctl_run_ntmd_stop(struct run_ntmd *ntmd)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000000 };
	pid_t r = 0;

	if (ntmd->hand >= 0)
		close(ntmd->hand); /* one that still waits goes */
	ntmd->hand = -1;
	if (ntmd->pid)
		kill(ntmd->pid, SIGTERM);
	for (int i = 0; ntmd->pid && i < STOP_TRIES; i++) {
		r = waitpid(ntmd->pid, NULL, WNOHANG);
		if (r)
			break;
		ntmctl_run_ntmd_log(ntmd);
		nanosleep(&pause, NULL);
	}
	if (ntmd->pid && !r) {
		kill(ntmd->pid, SIGKILL);
		waitpid(ntmd->pid, NULL, 0);
	}
	ntmd->pid = 0;
	ntmctl_run_ntmd_log(ntmd);
}
