/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * config.h - INI files (libinih) by a table of the keys that exist. Errors name file, line and what was
 * expected.
 */
#ifndef NTM_LIB_CONFIG_H
#define NTM_LIB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

/*
 * One key. set() gets the text of the value and stores it in config; it returns NULL, or what was expected
 * ("an address and port, as 192.0.2.1:6866") in static storage.
 */
struct ntm_config_key {
	const char *section; /* "dc"; for [relay "NAME"] it is "relay" */
	const char *name;
	bool repeats;
	bool required; /* in every section of this kind; sections without a name must be there then */
	const char *(*set)(void *config, const char *value, void *arg);
	void *arg; /* such as an offset */
};

/*
 * A kind of section with a name: [pin "cn.ntm.example"]. begin() is called at each, with the name; same
 * returns as set().
 */
struct ntm_config_section {
	const char *section;
	const char *(*begin)(void *config, const char *name);
};

/*
 * Reads the file. 0, or -1 with the sentence in ret_why: "FILE:LINE: ...". keys ends with a NULL section;
 * sections may be NULL, ends likewise. Unknown sections and keys, keys that may not repeat, missing keys,
 * lines that are neither: errors.
 */
int ntm_config_read(const char *path, void *config, const struct ntm_config_key *keys,
		    const struct ntm_config_section *sections, char *ret_why, size_t why_len);

/* Whether a network device can be named so: 1 to 15 bytes, none of them "/%:", a blank or a quotation
 * mark. */
bool ntm_config_is_device(const char *name);

/* Ready-made setters; arg is the offset of the field in config. */
const char *ntm_config_set_string(void *config, const char *value,
				  void *arg); /* char *, freed and replaced */
const char *ntm_config_set_device(void *config, const char *value, void *arg); /* char *, as above */
/* Char *: absolute, not the root */
const char *ntm_config_set_folder(void *config, const char *value, void *arg);
/* Char *: a path for AF_UNIX */
const char *ntm_config_set_socket(void *config, const char *value, void *arg);
const char *ntm_config_set_name(void *config, const char *value, void *arg); /* char[NTM_FQDN_MAX + 1] */
const char *ntm_config_set_endpoint(void *config, const char *value,
				    void *arg); /* struct ntm_endpoint; default port 6866 */
const char *ntm_config_set_port(void *config, const char *value, void *arg); /* uint16_t */
const char *ntm_config_set_key(void *config, const char *value, void *arg); /* uint8_t[32], base64 */
const char *ntm_config_set_number(void *config, const char *value, void *arg); /* unsigned int */

#endif
