/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * udp_internal.h - what udp.c (sockets, receiving) and udp_send.c share; udp.h is for everybody else.
 */
#ifndef NTM_LIB_UDP_INTERNAL_H
#define NTM_LIB_UDP_INTERNAL_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "udp.h"

union ntm_udp_control {
	struct cmsghdr align;
	uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)) +
		  2 * CMSG_SPACE(sizeof(int))];
};

int ntm_udp_set_int(int fd, int level, int option, int value); /* setsockopt: 0 or -errno */

/*
 * ICMP errors queue up (IP_RECVERR), and a queue that is not empty keeps the socket readable for ever. True:
 * there may be more, and the next send is told of one of them.
 */
bool ntm_udp_errors_drain(const struct ntm_udp *udp);

#endif
