/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * resolv_conf.c - reads resolv.conf(5) for dns_servers.c and resolver_file.c.
 */
#include "resolv_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void state_from(struct ntmd_resolv_conf_state *ret_state, const struct stat *st)
{
	memset(ret_state, 0, sizeof(*ret_state));
	ret_state->device = st->st_dev;
	ret_state->inode = st->st_ino;
	ret_state->size = st->st_size;
	ret_state->changed = st->st_mtim;
}

void ntmd_resolv_conf_stat(struct ntmd_resolv_conf_state *ret_state, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		state_from(ret_state, &st);
	else
		memset(ret_state, 0, sizeof(*ret_state));
}

int ntmd_resolv_conf_read(char **ret_text, struct ntmd_resolv_conf_state *ret_state, const char *path)
{
	struct stat st;
	size_t len = 0;
	ssize_t got;
	char *text;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	text = malloc(NTMD_RESOLV_CONF_MAX + 1);
	if (!text || fstat(fd, &st) < 0) {
		err = text ? -errno : -ENOMEM;
		goto out;
	}
	while ((got = read(fd, text + len, NTMD_RESOLV_CONF_MAX + 1 - len)) > 0)
		len += (size_t)got;
	err = got < 0 ? -errno : len > NTMD_RESOLV_CONF_MAX ? -EFBIG : 0;
	if (err)
		goto out;
	text[len] = '\0';
	*ret_text = text;
	text = NULL;
	if (ret_state)
		state_from(ret_state, &st);
out:
	free(text);
	close(fd);
	return err;
}

bool ntmd_resolv_conf_is_ours(const char *text)
{
	return strncmp(text, NTMD_RESOLV_CONF_MARK "\n", sizeof(NTMD_RESOLV_CONF_MARK)) == 0;
}

/* getaddrinfo() and not inet_pton(): it knows %eth0. */
static bool server_parse(struct sockaddr_storage *ret_server, const char *word)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				       .ai_socktype = SOCK_DGRAM};
	struct addrinfo *found;

	if (getaddrinfo(word, "53", &hints, &found) != 0)
		return false;
	memset(ret_server, 0, sizeof(*ret_server));
	memcpy(ret_server, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

unsigned ntmd_resolv_conf_servers(const char *text,
				  struct sockaddr_storage ret_servers[NTMD_RESOLV_CONF_SERVERS])
{
	static const char keyword[] = "nameserver";
	unsigned count = 0;
	char word[128];
	size_t len;

	for (const char *line = text; *line && count < NTMD_RESOLV_CONF_SERVERS; line += *line == '\n') {
		const char *value = line + sizeof(keyword) - 1;

		if (strncmp(line, keyword, sizeof(keyword) - 1) == 0 && (*value == ' ' || *value == '\t')) {
			value += strspn(value, " \t");
			len = strcspn(value, " \t\r\n");
			if (len > 0 && len < sizeof(word)) {
				memcpy(word, value, len);
				word[len] = '\0';
				if (server_parse(&ret_servers[count], word))
					count++;
			}
		}
		line += strcspn(line, "\n");
	}
	return count;
}
