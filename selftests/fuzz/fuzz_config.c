/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * fuzz_config.c - lib/config.c on any file: it is read, or refused with a sentence that names the file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ntm/types.h>

#include "config.h"

struct config {
	char *text, *other;
	char name[NTM_FQDN_MAX + 1];
	struct ntm_endpoint endpoint;
	uint16_t port;
	uint8_t key[NTM_KEY_LEN];
	unsigned int number;
	unsigned sections;
};

#define AT(member) (void *)offsetof(struct config, member)

static const char *begin(void *config, const char *name)
{
	struct config *c = config;

	if (!name || !*name)
		return "a name";
	return ++c->sections > 16 ? "at most 16 of them" : NULL;
}

static const struct ntm_config_key keys[] = {
	{"node", "fqdn", false, true, ntm_config_set_name, AT(name)},
	{"node", "device", false, false, ntm_config_set_string, AT(text)},
	{"node", "listen-port", false, false, ntm_config_set_port, AT(port)},
	{"node", "mtu", false, false, ntm_config_set_number, AT(number)},
	{"dc", "public-key", false, true, ntm_config_set_key, AT(key)},
	{"dc", "endpoint", true, true, ntm_config_set_endpoint, AT(endpoint)},
	{"pin", "public-key", false, true, ntm_config_set_key, AT(key)},
	{"pin", "note", true, false, ntm_config_set_string, AT(other)},
	{0},
};

static const struct ntm_config_section sections[] = {{"pin", begin}, {0}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config config = {0};
	char path[64], why[256];
	int fd = memfd_create("config", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	memset(why, 0x55, sizeof(why));
	if (ntm_config_read(path, &config, keys, sections, why, sizeof(why)) < 0) {
		if (!memchr(why, 0, sizeof(why)) || strncmp(why, path, strlen(path)))
			abort();
	} else if (!config.name[0] || !config.endpoint.port) {
		abort(); /* required, and set by none but good values */
	}
	free(config.text);
	free(config.other);
	close(fd);
	return 0;
}
