/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * udp_send.c - datagrams and trains of them out of UDP sockets, from a local address and interface; udp.c
 * opens the sockets. The last of ours that a packet meets on its way out; the kernel is next.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "udp_internal.h"

/* What sendmsg needs besides the bytes: where to, from which address, cut into which size. */
struct outgoing {
	struct msghdr msg;
	struct sockaddr_storage sa;
	union ntm_udp_control control;
};

static void put_control(struct outgoing *out, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)(out->control.b + out->msg.msg_controllen);

	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	out->msg.msg_control = &out->control;
	out->msg.msg_controllen += CMSG_SPACE(len);
}

static void put_source(struct outgoing *out, const struct ntm_addr *local, unsigned ifindex, bool is4)
{
	struct in6_pktinfo info6 = {0};
	struct in_pktinfo info4 = {0};

	if (is4) {
		memcpy(&info4.ipi_spec_dst, local->b + 12, 4);
		info4.ipi_ifindex = (int)ifindex;
		put_control(out, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
	} else {
		memcpy(&info6.ipi6_addr, local->b, 16);
		info6.ipi6_ifindex = ifindex;
		put_control(out, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
}

static int outgoing_init(struct outgoing *out, const struct ntm_flow *to)
{
	const struct ntm_udp *udp = to->udp;

	if (udp->fd < 0)
		return -EBADF;
	if (ntm_endpoint_is4(&to->remote) != udp->is4)
		return -EAFNOSUPPORT;
	memset(&out->msg, 0, sizeof(out->msg));
	out->msg.msg_name = &out->sa;
	out->msg.msg_namelen = ntm_endpoint_to_sockaddr(&to->remote, &out->sa);
	if (!ntm_addr_is_none(&to->local)) {
		if (ntm_addr_is4(&to->local) != udp->is4)
			return -EAFNOSUPPORT;
		put_source(out, &to->local, to->ifindex, udp->is4);
	}
	return 0;
}

static int send_once(int fd, const struct msghdr *msg)
{
	ssize_t n;

	do
		n = sendmsg(fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	/* A full queue of the device is to the caller the same as a full buffer. */
	return errno == ENOBUFS ? -EAGAIN : -errno;
}

/* Errors that may be an earlier packet's ICMP: taking them once clears them. */
static bool may_be_old(int error)
{
	switch (error) {
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -EHOSTDOWN:
	case -ENONET:
	case -ENOPROTOOPT:
	case -EOPNOTSUPP:
	case -EPROTO:
	case -EACCES:
	case -EMSGSIZE:
		return true;
	default:
		return false;
	}
}

static int send_again(const struct ntm_udp *udp, const struct msghdr *msg)
{
	int r = send_once(udp->fd, msg);
	bool more;

	if (!may_be_old(r))
		return r;
	more = ntm_udp_errors_drain(udp);
	r = send_once(udp->fd, msg);
	/* However many a stranger made queue up: being told of one takes it away. */
	return more && may_be_old(r) ? send_once(udp->fd, msg) : r;
}

int ntm_udp_sendv(const struct ntm_flow *to, const struct iovec *part, int parts)
{
	struct outgoing out;
	int r = outgoing_init(&out, to);

	if (r)
		return r;
	out.msg.msg_iov = (struct iovec *)part;
	out.msg.msg_iovlen = (size_t)parts;
	return send_again(to->udp, &out.msg);
}

static unsigned segments_taken = NTM_UDP_SEGMENTS_MAX; /* by this kernel, as far as it was seen */

unsigned ntm_udp_segments_max(void)
{
	return __atomic_load_n(&segments_taken, __ATOMIC_RELAXED);
}

/* Kernels before Linux 6.9 take fewer of them, and say only that something is wrong. Moves `part` on. */
static int train_send_parts(const struct ntm_udp *udp, const struct msghdr *msg, struct iovec *part,
			    size_t size, unsigned *sent)
{
	size_t left = part->iov_len;
	int r;

	for (; left; left -= part->iov_len, part->iov_base = (uint8_t *)part->iov_base + part->iov_len) {
		part->iov_len = left < NTM_UDP_SEGMENTS_ALWAYS * size ? left : NTM_UDP_SEGMENTS_ALWAYS * size;
		r = send_again(udp, msg);
		if (r)
			return r;
		*sent += (unsigned)((part->iov_len + size - 1) / size);
		__atomic_store_n(&segments_taken, NTM_UDP_SEGMENTS_ALWAYS, __ATOMIC_RELAXED);
	}
	return 0;
}

/* UDP_SEGMENT. What the kernel says differs by version: only a way of sending one by one tells more. */
static int train_send_whole(const struct ntm_udp *udp, struct outgoing *out, struct iovec *whole, size_t size,
			    unsigned *sent)
{
	unsigned count = (unsigned)((whole->iov_len + size - 1) / size);
	uint16_t segment = (uint16_t)size;
	int r;

	put_control(out, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	out->msg.msg_iov = whole;
	out->msg.msg_iovlen = 1;
	r = count > ntm_udp_segments_max() ? -EINVAL : send_again(udp, &out->msg);
	if (!r)
		*sent = count;
	else if (r == -EINVAL && count > NTM_UDP_SEGMENTS_ALWAYS)
		r = train_send_parts(udp, &out->msg, whole, size, sent);
	return !*sent && (r == -EINVAL || r == -EMSGSIZE || r == -EOPNOTSUPP || r == -ENOPROTOOPT) ? -EIO : r;
}

/* sendmmsg stops at the first that fails, and tells why only if that is its first. */
static int train_send_single(const struct ntm_udp *udp, const struct outgoing *out, const uint8_t *buf,
			     size_t len, size_t size, unsigned *sent)
{
	struct mmsghdr msg[NTM_UDP_SEGMENTS_MAX];
	struct iovec part[NTM_UDP_SEGMENTS_MAX];
	unsigned count = 0;

	for (size_t at = 0; at < len && count < NTM_UDP_SEGMENTS_MAX; at += size, count++) {
		part[count] = (struct iovec){(void *)(buf + at), size < len - at ? size : len - at};
		msg[count].msg_hdr = out->msg;
		msg[count].msg_hdr.msg_iov = &part[count];
		msg[count].msg_hdr.msg_iovlen = 1;
	}
	while (*sent < count) {
		int n = sendmmsg(udp->fd, msg + *sent, count - *sent, MSG_DONTWAIT | MSG_NOSIGNAL), r;

		if (n > 0) {
			*sent += (unsigned)n;
			continue;
		}
		r = send_again(udp, &msg[*sent].msg_hdr);
		if (r)
			return r;
		++*sent;
	}
	return 0;
}

int ntm_udp_send_train(const struct ntm_flow *to, const uint8_t *buf, size_t len, size_t size, bool segment,
		       unsigned *ret_sent)
{
	struct iovec whole = {(void *)buf, len};
	struct outgoing out;
	unsigned sent = 0;
	int r;

	*ret_sent = 0;
	if (len <= size) {
		r = ntm_udp_sendv(to, &whole, 1);
		*ret_sent = !r;
		return r;
	}
	r = outgoing_init(&out, to);

	if (!r && segment)
		r = train_send_whole(to->udp, &out, &whole, size, &sent);
	else if (!r)
		r = train_send_single(to->udp, &out, buf, len, size, &sent);
	*ret_sent = sent;
	return r;
}

int ntm_udp_send(const struct ntm_flow *to, const void *buf, size_t len)
{
	struct iovec part = {(void *)buf, len};

	return ntm_udp_sendv(to, &part, 1);
}

/* A socket that the kernel has a route for: its descriptor or -errno. */
static int routed_open(const struct ntm_endpoint *remote, unsigned ifindex)
{
	struct sockaddr_storage sa;
	socklen_t len = ntm_endpoint_to_sockaddr(remote, &sa);
	int r, fd;

	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = ifindex ? ntm_udp_set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)ifindex) : 0;
	if (!r && connect(fd, (struct sockaddr *)&sa, len) < 0)
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

int ntm_udp_source_by(const struct ntm_endpoint *remote, unsigned ifindex, struct ntm_addr *ret_local)
{
	int r, fd = routed_open(remote, ifindex);
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct ntm_endpoint local;

	if (fd < 0)
		return fd;
	r = getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ? -errno : 0;
	if (!r)
		r = ntm_endpoint_from_sockaddr(&local, (struct sockaddr *)&sa);
	if (!r)
		*ret_local = local.addr;
	close(fd);
	return r;
}

int ntm_udp_source(const struct ntm_endpoint *remote, struct ntm_addr *ret_local)
{
	return ntm_udp_source_by(remote, 0, ret_local);
}

int ntm_udp_path_mtu(const struct ntm_endpoint *remote, unsigned *ret_mtu)
{
	bool is4 = ntm_endpoint_is4(remote);
	int mtu = 0, r = 0, fd = routed_open(remote, 0);
	socklen_t len = sizeof(mtu);

	if (fd < 0)
		return fd;
	if (getsockopt(fd, is4 ? IPPROTO_IP : IPPROTO_IPV6, is4 ? IP_MTU : IPV6_MTU, &mtu, &len) < 0)
		r = -errno;
	else if (mtu <= 0)
		r = -ENODATA;
	else
		*ret_mtu = (unsigned)mtu;
	close(fd);
	return r;
}
