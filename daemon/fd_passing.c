/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fd_passing.c - descriptors that another process made for us: by number in the configuration, or by name
 * with LISTEN_FDS (sd_listen_fds(3)). A ready TUN as Android's VpnService hands one over, the sockets that
 * the stub answers on, and a netlink socket to set up the TUN in its own namespace. `ntmctl run` passes all
 * of them.
 *
 * Next: main.c gives the TUN to the engine and the sockets to dns_stub.c, interface.c has the netlink one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "ntmd.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define FDS_MAX 16

static int fail(char *ret_why, size_t why_len, int fd, const char *sentence)
{
	snprintf(ret_why, why_len, "descriptor %d %s", fd, sentence);
	return -EINVAL;
}

static int name_take(struct ntmd_config *config, const char *name, int fd, char *ret_why, size_t why_len)
{
	if (!strcmp(name, "tun") && config->tun_fd < 0)
		config->tun_fd = fd;
	else if (!strcmp(name, "netlink") && config->netlink_fd < 0)
		config->netlink_fd = fd;
	else if (!strcmp(name, "dns") && config->dns_fds < 2)
		config->dns_fd[config->dns_fds++] = fd;
	else
		return fail(
			ret_why, why_len, fd,
			"was passed (LISTEN_FDNAMES) with another name than tun, netlink and dns, or too often: at most one "
			"tun, one netlink and two dns");
	return 0;
}

/* What LISTEN_FDS says, if it is for us and not for the process that started us. */
static int environment_take(struct ntmd_config *config, char *ret_why, size_t why_len)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS"),
		   *names = getenv("LISTEN_FDNAMES");
	char copy[256], *rest = copy, *name;
	long count;
	int err = 0;

	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	count = strtol(fds, NULL, 10);
	if (count < 0 || count > FDS_MAX ||
	    (size_t)snprintf(copy, sizeof(copy), "%s", names ? names : "") >= sizeof(copy)) {
		snprintf(ret_why, why_len, "LISTEN_FDS=%s: at most %d descriptors can be passed", fds,
			 FDS_MAX);
		return -EINVAL;
	}
	for (int i = 0; i < count && !err; i++) {
		name = strsep(&rest, ":");
		err = name_take(config, name ? name : "", FIRST_FD + i, ret_why, why_len);
	}
	/* Not for programs that we might start. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return err;
}

static int option_int(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

static bool is_tun(int fd)
{
	struct ifreq request = { 0 };

	return !ioctl(fd, TUNGETIFF, &request) &&
	       (request.ifr_flags & (IFF_TUN | IFF_NO_PI)) == (IFF_TUN | IFF_NO_PI);
}

static bool is_dns(int fd)
{
	int domain = option_int(fd, SO_DOMAIN), type = option_int(fd, SO_TYPE);

	return (domain == AF_INET || domain == AF_INET6) &&
	       (type == SOCK_DGRAM || (type == SOCK_STREAM && option_int(fd, SO_ACCEPTCONN) == 1));
}

static int dns_check(struct ntmd_config *config, char *ret_why, size_t why_len)
{
	struct sockaddr_storage sa;
	socklen_t len;

	for (unsigned i = 0; i < config->dns_fds; i++) {
		int fd = config->dns_fd[i];

		len = sizeof(sa);
		if (!is_dns(fd) || getsockname(fd, (struct sockaddr *)&sa, &len) ||
		    ntm_endpoint_from_sockaddr(&config->dns_listen, (struct sockaddr *)&sa) ||
		    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			return fail(
				ret_why, why_len, fd,
				"([dns] listen-fd) is neither a bound UDP socket nor a listening TCP socket");
	}
	if (config->dns_fds && (config->dns_fds != 2 || option_int(config->dns_fd[0], SO_TYPE) ==
								option_int(config->dns_fd[1], SO_TYPE))) {
		snprintf(ret_why, why_len,
			 "[dns] listen-fd: expected two sockets, one for UDP and one for TCP");
		return -EINVAL;
	}
	if (config->dns_fds && option_int(config->dns_fd[0], SO_TYPE) == SOCK_STREAM) {
		int tcp = config->dns_fd[0]; /* UDP goes first from here on */

		config->dns_fd[0] = config->dns_fd[1];
		config->dns_fd[1] = tcp;
	}
	return 0;
}

int ntmd_fd_passing_take(struct ntmd_config *config, char *ret_why, size_t why_len)
{
	int err = environment_take(config, ret_why, why_len);
	int fds[] = { config->tun_fd, config->netlink_fd, config->dns_fds > 0 ? config->dns_fd[0] : -1,
		      config->dns_fds > 1 ? config->dns_fd[1] : -1 };

	if (err)
		return err;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0 && fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0)
			return fail(ret_why, why_len, fds[i],
				    "is not open: whoever starts ntmd must pass it");
	if (config->tun_fd >= 0 && !is_tun(config->tun_fd))
		return fail(ret_why, why_len, config->tun_fd,
			    "([datapath] tun-fd) is no TUN of the kind IFF_TUN | IFF_NO_PI");
	if (config->netlink_fd >= 0 && config->tun_fd < 0)
		return fail(ret_why, why_len, config->netlink_fd,
			    "([datapath] netlink-fd) is of use with a tun-fd only");
	if (config->netlink_fd >= 0 && (option_int(config->netlink_fd, SO_DOMAIN) != AF_NETLINK ||
					option_int(config->netlink_fd, SO_PROTOCOL) != NETLINK_ROUTE))
		return fail(ret_why, why_len, config->netlink_fd,
			    "([datapath] netlink-fd) is no rtnetlink socket");
	return dns_check(config, ret_why, why_len);
}
