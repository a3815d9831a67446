/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * run.h - what the parts of `ntmctl run` share: run.c has the command and its end, run_namespace.c the
 * network that it sees, run_ntmd.c the daemon that serves it.
 */
#ifndef NTM_TOOLS_NTMCTL_RUN_H
#define NTM_TOOLS_NTMCTL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "ntmctl.h"

#define RUN_STUB "127.0.0.54" /* where the stub answers inside */

enum ntmctl_run_exit { RUN_FAILED = 125, RUN_NOT_EXECUTABLE = 126, RUN_NOT_FOUND = 127 };

/* Where things of a user lie; every path ends without a slash. */
struct run_places {
	char *config; /* of ntmd */
	char *program; /* ntmd itself */
	char *runtime; /* $XDG_RUNTIME_DIR/ntm */
	char *state; /* $XDG_STATE_HOME/ntm */
	char *socket; /* the control socket of this run */
};

/* Beside ntmctl, where it is installed next to that, or where the shell looks for programs; to be freed.
 * NULL: said why. */
char *ntmctl_ntmd_find(void);

/* The descriptors that ntmd gets, in this order, from 3 on. */
enum run_fd { RUN_TUN, RUN_NETLINK, RUN_UDP, RUN_TCP, RUN_FDS };

/* ---- run_ntmd.c: the daemon outside of the namespace */

struct run_ntmd {
	pid_t pid; /* 0: ended */
	int hand; /* the descriptors go here */
	int log; /* its standard error */
	bool starting; /* what it says is kept until it is known whether it is of interest */
	char line[1024];
	size_t len;
	char kept[4096];
	size_t kept_len;
};

/* Forks; it becomes ntmd when it gets its descriptors, and ends with us. 0, or RUN_FAILED (said why). */
int ntmctl_run_ntmd_start(struct run_ntmd *ret_ntmd, const struct run_places *places);
/* 0 or RUN_FAILED. */
int ntmctl_run_ntmd_hand(struct run_ntmd *ntmd, const int fd[RUN_FDS]);
/* Passes warnings and errors on to our standard error; never blocks. */
void ntmctl_run_ntmd_log(struct run_ntmd *ntmd);
/* It has ended by itself: says so, and all that it said if it had only begun. */
void ntmctl_run_ntmd_gone(struct run_ntmd *ntmd, int status);
/* Ends it, within about 3 s. */
void ntmctl_run_ntmd_stop(struct run_ntmd *ntmd);

/* ---- run_namespace.c: we move into namespaces of our own */

/*
 * User, network and mount namespaces in which we remain the user we are: lo is up, there is a TUN named ntm0,
 * and names are asked at RUN_STUB. ret_fd: what ntmd gets. scratch: a folder. 0, or RUN_FAILED (said why).
 */
int ntmctl_run_namespace_enter(const char *scratch, int ret_fd[RUN_FDS]);

#endif
